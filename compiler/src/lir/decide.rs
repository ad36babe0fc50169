//! What a program says of a flow. The order of tiers is that of [`crate::ir::tiers`].

use super::{
    Action, Chain, ClassId, Decision, Level, Match, Origin, PortClassId, PortsId, Program,
    RemotesId, Rule, RuleChain,
};
use crate::hir::{
    self,
    spec::{Truth, Verdict},
};
use crate::ir::tiers::{self, Effect, LastOf, Outcomes};
use crate::ranges::Ranges;

/// A question about one class of leaves and one of transport keys.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    program: &'a Program,
    chain: &'a RuleChain,
    class: ClassId,
    port_class: PortClassId,
}

impl Program {
    /// What a chain decides.
    #[must_use]
    pub fn decide(
        &self,
        chain: &Chain,
        class: ClassId,
        port_class: PortClassId,
        hairpin: bool,
    ) -> Decision {
        match chain {
            Chain::Rules(chain) => {
                let passes = hairpin && chain.skips_itself || self.unasked.contains(port_class.0);
                if passes {
                    return Decision::OPEN;
                }
                let mut outcomes = Outcomes::default();
                let mut rules = Vec::new();
                for class in self.classes_behind(&class) {
                    let question = Question {
                        program: self,
                        chain,
                        class: *class,
                        port_class,
                    };
                    let own_node = self.own_node.contains(class.0) && !chain.keeps_own_node;
                    let asked = tiers::ask(&question, hairpin || own_node, &mut rules);
                    outcomes = outcomes.or(asked);
                }
                decision(
                    outcomes,
                    &rules,
                    chain.isolated_by.as_deref().unwrap_or(&[]),
                )
            }
            Chain::Table(table) => {
                let rows = if hairpin { &table.hairpin } else { &table.rows };
                let row = rows.get(class.index());
                let row = row.and_then(|row| self.rows.get(row.index()));
                let code = row.and_then(|row| row.get(port_class.index()));
                let decision = code.and_then(|code| self.codes.get(code.index()));
                decision.copied().unwrap_or(Decision::CLOSED)
            }
        }
    }

    /// What a class may be: itself, but where that is open.
    fn classes_behind<'a>(&'a self, class: &'a ClassId) -> &'a [ClassId] {
        let known = self.either.binary_search_by_key(class, |(open, _)| *open);
        match known.ok().and_then(|index| self.either.get(index)) {
            Some((_, classes)) => classes,
            None => std::slice::from_ref(class),
        }
    }

    /// The class of a transport key.
    #[must_use]
    pub fn port_class(&self, key: u32) -> PortClassId {
        let after = self.transports.partition_point(|(start, _)| *start <= key);
        let run = after
            .checked_sub(1)
            .and_then(|run| self.transports.get(run));
        run.map_or(PortClassId(0), |(_, class)| *class)
    }
}

impl Decision {
    /// What a lookup gives that finds nothing: it does not occur in a well-formed program.
    pub(crate) const CLOSED: Self = Self {
        action: Action::Deny,
        depends: false,
        origin: Origin::Nobody,
    };
}

impl<'a> tiers::Question for Question<'a> {
    type Rule = &'a Rule;
    type Name = &'a Rule;

    fn first(&self) -> impl Iterator<Item = (impl Iterator<Item = &'a Rule>, LastOf)> {
        policies(&self.chain.admin)
    }

    fn is_isolated(&self) -> bool {
        self.chain.isolated_by.is_some()
    }

    fn namespace(&self) -> impl Iterator<Item = &'a Rule> {
        self.chain.namespace.iter()
    }

    fn baseline(&self) -> impl Iterator<Item = (impl Iterator<Item = &'a Rule>, LastOf)> {
        policies(&self.chain.baseline)
    }

    fn truth(&self, rule: &'a Rule, _in_order: bool) -> Truth {
        let remotes = rule.remotes.truth(self.program, self.class.0);
        if remotes == Truth::No {
            return remotes;
        }
        remotes.min(rule.ports.truth(self.program, self.port_class.0))
    }

    fn effect(rule: &'a Rule) -> Effect {
        match rule.action {
            Action::Allow | Action::Audit => Effect::Allow,
            Action::Redirect(_) => Effect::Redirect,
            Action::Deny => Effect::Deny,
            Action::Pass => Effect::Pass,
        }
    }

    fn name(rule: &'a Rule) -> &'a Rule {
        rule
    }
}

/// The policies of the levels of a tier, each with what it is the last of.
fn policies(levels: &[Level]) -> impl Iterator<Item = (std::slice::Iter<'_, Rule>, LastOf)> {
    let levels = levels.iter().zip((0..levels.len()).rev());
    levels.flat_map(|(level, further)| {
        let left = (0..level.lists.len()).rev();
        let lists = level.lists.iter().zip(left);
        lists.map(move |(rules, left)| {
            let last_of = match (left, further) {
                (0, 0) => LastOf::Tier,
                (0, _) if level.ends_tier => LastOf::Tier,
                (0, _) => LastOf::Level,
                (_, _) => LastOf::Nothing,
            };
            (rules.iter(), last_of)
        })
    })
}

impl Match<RemotesId> {
    fn truth(self, program: &Program, class: u32) -> Truth {
        truth(
            program.remote_set(self.yes),
            program.remote_set(self.maybe),
            class,
        )
    }
}

impl Match<PortsId> {
    fn truth(self, program: &Program, class: u32) -> Truth {
        truth(
            program.port_set(self.yes),
            program.port_set(self.maybe),
            class,
        )
    }
}

fn truth(yes: &Ranges<u32>, maybe: &Ranges<u32>, member: u32) -> Truth {
    if yes.contains(member) {
        Truth::Yes
    } else if maybe.contains(member) {
        Truth::Unknown
    } else {
        Truth::No
    }
}

/// The decision of these outcomes. It is named after the rule that decides; of several, after the one with
/// the greatest action that comes first.
fn decision(outcomes: Outcomes, rules: &[&Rule], isolated_by: &[hir::PolicyId]) -> Decision {
    let depends = outcomes.verdict() == Verdict::Depends;
    let denied = outcomes.deny || depends;
    let decides = |rule: &&&Rule| {
        depends
            || if denied {
                rule.action == Action::Deny
            } else {
                rule.action.passes()
            }
    };
    // `max_by_key` gives the last of equals.
    let rule = rules
        .iter()
        .rev()
        .filter(decides)
        .max_by_key(|rule| rule.action);
    let origin = rule.and_then(|rule| rule.origins.first());
    let isolation = isolated_by.first().filter(|_| outcomes.deny);
    let origin = origin
        .map(|id| Origin::Rule(*id))
        .or_else(|| isolation.map(|id| Origin::Isolation(*id)));
    let action = match rule {
        Some(rule) if !denied => rule.action,
        Some(_) | None if denied => Action::Deny,
        Some(_) | None => Action::Allow,
    };
    Decision {
        action,
        depends,
        origin: origin.unwrap_or(Origin::Nobody),
    }
}
