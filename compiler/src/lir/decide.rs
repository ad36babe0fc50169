//! What a program says of a flow. The order is that of [`crate::hir::spec`], which has the citations.

use super::{
    Action, Chain, ClassId, Decision, Level, Match, Origin, PortClassId, PortsId, Program,
    RemotesId, Rule, RuleChain,
};
use crate::hir::spec::Truth;
use crate::ranges::Ranges;

/// A question about one class of leaves and one of transport keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) program: &'a Program,
    pub(crate) class: ClassId,
    pub(crate) port_class: PortClassId,
    /// The endpoint sends to itself by way of a service.
    pub(crate) hairpin: bool,
}

/// What asking some rules may lead to.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    allow: bool,
    deny: bool,
    pass: bool,
}

/// The rules that matched, of which one will name the decision.
#[derive(Default)]
struct Named<'a> {
    rules: Vec<&'a Rule>,
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
            Chain::Rules(chain) => Question {
                program: self,
                class,
                port_class,
                hairpin,
            }
            .decide(chain),
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

impl<'a> Question<'a> {
    pub(crate) fn decide(self, chain: &'a RuleChain) -> Decision {
        let mut named = Named::default();
        let (admin, open) = self.ordered(&chain.admin, &mut named);
        let mut outcomes = Outcomes {
            pass: false,
            ..admin
        };
        if !admin.pass && !open {
            return named.decision(outcomes, &[]);
        }
        if chain.isolated_by.is_empty() {
            let (baseline, open) = self.ordered(&chain.baseline, &mut named);
            outcomes.allow |= baseline.allow || baseline.pass || open;
            outcomes.deny |= baseline.deny;
        } else if self.hairpin || self.program.own_node.contains(self.class.0) {
            outcomes.allow = true;
        } else {
            let best = self.union(&chain.namespace, &mut named);
            outcomes.allow |= best != Truth::No;
            outcomes.deny |= best != Truth::Yes;
        }
        named.decision(outcomes, &chain.isolated_by)
    }

    /// The greatest truth among all rules; those that have it decide.
    fn union(self, rules: &'a [Rule], named: &mut Named<'a>) -> Truth {
        let first = named.rules.len();
        let mut best = Truth::No;
        for rule in rules {
            let truth = self.rule(rule);
            if truth > best {
                named.rules.truncate(first);
                best = truth;
            }
            if truth == best && truth != Truth::No {
                named.rules.push(rule);
            }
        }
        best
    }

    /// What a tier may decide, and whether it may decide nothing.
    fn ordered(self, levels: &'a [Level], named: &mut Named<'a>) -> (Outcomes, bool) {
        let mut outcomes = Outcomes::default();
        for level in levels {
            let mut may_miss = true;
            for rules in &level.lists {
                may_miss &= self.first_match(rules, &mut outcomes, named);
            }
            if !may_miss {
                return (outcomes, false);
            }
        }
        (outcomes, true)
    }

    /// Asks the rules of one policy; returns whether none of them surely matches.
    fn first_match(
        self,
        rules: &'a [Rule],
        outcomes: &mut Outcomes,
        named: &mut Named<'a>,
    ) -> bool {
        for rule in rules {
            let truth = self.rule(rule);
            if truth != Truth::No {
                outcomes.add(rule.action);
                named.rules.push(rule);
            }
            if truth == Truth::Yes {
                return false;
            }
        }
        true
    }

    pub(crate) fn rule(self, rule: &Rule) -> Truth {
        let remotes = rule.remotes.truth(self.program, self.class.0);
        if remotes == Truth::No {
            return remotes;
        }
        remotes.min(rule.ports.truth(self.program, self.port_class.0))
    }
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

impl Outcomes {
    fn add(&mut self, action: Action) {
        match action {
            Action::Allow | Action::Audit | Action::Redirect(_) => self.allow = true,
            Action::Deny => self.deny = true,
            Action::Pass => self.pass = true,
        }
    }
}

impl Named<'_> {
    /// The decision of these outcomes. It is named after the rule that decides; of several, after the one with
    /// the greatest action that comes first.
    fn decision(&self, outcomes: Outcomes, isolated_by: &[crate::hir::PolicyId]) -> Decision {
        let depends = outcomes.allow && outcomes.deny;
        let denied = outcomes.deny;
        let decides = |rule: &&&Rule| {
            depends
                || if denied {
                    rule.action == Action::Deny
                } else {
                    rule.action.passes()
                }
        };
        // `max_by_key` gives the last of equals.
        let rule = self
            .rules
            .iter()
            .rev()
            .filter(decides)
            .max_by_key(|rule| rule.action);
        let origin = rule.and_then(|rule| rule.origins.first());
        let isolation = isolated_by.first().filter(|_| denied);
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
}
