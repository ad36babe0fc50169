//! What a program says of a flow. The order of tiers is that of [`crate::ir::tiers`].

use super::{
    Action, Asks, Chain, ClassId, Decision, Level, Match, Origin, PortClassId, PortsId, Program,
    RemotesId, Rule, RuleChain, ToItself,
};
use crate::hir::{
    self, Auth,
    spec::{Truth, Verdict},
};
use crate::ir::tiers::{self, Effect, LastOf, Outcomes};
use crate::ranges::Ranges;

/// A question about one class of leaves and one of transport keys, as the rules that match them.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    rules: &'a Placed<'a>,
    matching: &'a [(u32, Truth)],
}

/// The rules of a chain in the order in which they stand, each with its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    chain: &'a RuleChain,
    has_pass: bool,
    rules: Vec<(Place, &'a Rule)>,
}

/// Where a rule stands in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a list of a level of a tier, each by its number among those of its tiers.
    Admin(Listed),
    Namespace,
    Baseline(Listed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    tier: u32,
    level: u32,
    list: u32,
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
                let placed = Placed::of(chain);
                if self.passes_unasked(chain, port_class, hairpin) {
                    return Decision::OPEN;
                }
                let behind = self.classes_behind(&class).iter();
                let cells: Vec<(ClassId, Vec<(u32, Truth)>)> = behind
                    .map(|class| (*class, placed.matching(self, *class, port_class)))
                    .collect();
                let cells = cells.iter().map(|(class, cell)| (*class, cell.as_slice()));
                placed.decide(self, cells, hairpin)
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

    /// Whether a packet passes without a rule being asked.
    pub(crate) fn passes_unasked(
        &self,
        chain: &RuleChain,
        port_class: PortClassId,
        hairpin: bool,
    ) -> bool {
        hairpin && chain.to_itself == ToItself::Passes || self.unasked.contains(port_class.0)
    }

    /// What a class may be: itself, but where that is open.
    pub(crate) fn classes_behind<'a>(&'a self, class: &'a ClassId) -> &'a [ClassId] {
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

impl<'a> Placed<'a> {
    pub(crate) fn of(chain: &'a RuleChain) -> Self {
        let mut rules = Vec::new();
        listed(&chain.admin, |at, rule| {
            rules.push((Place::Admin(at), rule))
        });
        let namespace = chain.namespace.iter();
        rules.extend(namespace.map(|rule| (Place::Namespace, rule)));
        listed(&chain.baseline, |at, rule| {
            rules.push((Place::Baseline(at), rule))
        });
        Self {
            chain,
            has_pass: rules.iter().any(|(_, rule)| rule.action == Action::Pass),
            rules,
        }
    }

    /// The rules, by the numbers that they have in questions.
    pub(crate) fn rules(&self) -> impl ExactSizeIterator<Item = &'a Rule> {
        self.rules.iter().map(|(_, rule)| *rule)
    }

    /// The numbers of the rules that match a class of leaves and one of transport keys, and how they do.
    fn matching(
        &self,
        program: &Program,
        class: ClassId,
        port_class: PortClassId,
    ) -> Vec<(u32, Truth)> {
        let rules = self.rules().zip(0..);
        let truths = rules.map(|(rule, number)| {
            let remotes = rule.remotes.truth(program, class.0);
            (number, remotes.min(rule.ports.truth(program, port_class.0)))
        });
        truths.filter(|(_, truth)| *truth != Truth::No).collect()
    }

    /// What is decided of a class of leaves that is one of some, each with the rules that match, in their order.
    pub(crate) fn decide<'m>(
        &self,
        program: &Program,
        cells: impl Iterator<Item = (ClassId, &'m [(u32, Truth)])>,
        hairpin: bool,
    ) -> Decision {
        let hairpin = hairpin && self.chain.to_itself != ToItself::AsOthers;
        let mut outcomes = Outcomes::default();
        let mut rules = Vec::new();
        for (class, matching) in cells {
            let question = Question {
                rules: self,
                matching,
            };
            let own_node = program.own_node.contains(class.0) && !self.chain.keeps_own_node;
            let asked = tiers::ask(&question, hairpin || own_node, &mut rules);
            outcomes = outcomes.or(asked);
        }
        let isolated_by = self.chain.isolated_by.as_deref();
        let mut decision = decision(outcomes, &rules, isolated_by.unwrap_or(&[]));
        decision.action = decision.action.proved(self.auth(&rules));
        let lacks_auth = decision.action.auth().is_some();
        if self.chain.audits && (lacks_auth || outcomes.deny && !outcomes.redirect) {
            decision.action = Action::Audit;
            decision.depends = false;
        }
        decision
    }

    /// What rules that let a packet pass say of authentication, as
    /// [the definition](crate::hir::spec::precedence) hears them.
    fn auth(&self, rules: &[&Rule]) -> Option<Auth> {
        let passing = rules.iter().filter(|rule| rule.action.passes());
        let mut asking: Vec<Asks> = passing.filter_map(|rule| rule.asks).collect();
        asking.sort_unstable();
        let fewest = asking.first()?.width;
        let mut heard = asking
            .iter()
            .filter(|asks| !self.has_pass || asks.width == fewest);
        heard.find_map(|asks| asks.auth)
    }
}

/// Every rule of some levels with its place.
fn listed<'a>(levels: &'a [Level], mut add: impl FnMut(Listed, &'a Rule)) {
    let mut tier = 0;
    for (level, number) in levels.iter().zip(0..) {
        for (rules, list) in level.lists.iter().zip(0..) {
            let at = Listed {
                tier,
                level: number,
                list,
            };
            rules.iter().for_each(|rule| add(at, rule));
        }
        tier += u32::from(level.ends_tier);
    }
}

/// A rule that matches.
type Matching<'a> = (&'a Rule, Truth);

impl<'a> Question<'a> {
    fn placed(self) -> impl Iterator<Item = (Place, Matching<'a>)> + Clone {
        let rules = &self.rules.rules;
        self.matching.iter().filter_map(|(number, truth)| {
            let (place, rule) = rules.get(*number as usize)?;
            Some((*place, (*rule, *truth)))
        })
    }

    /// The lists of the tiers of one kind. One without a rule that matches says nothing, nor does a level or a tier.
    fn lists(
        self,
        of: fn(Place) -> Option<Listed>,
    ) -> impl Iterator<Item = (impl Iterator<Item = Matching<'a>>, LastOf)> {
        let mut rest = self
            .placed()
            .filter_map(move |(place, rule)| Some((of(place)?, rule)))
            .peekable();
        std::iter::from_fn(move || {
            let (at, first) = rest.next()?;
            let mut list = vec![first];
            while let Some((_, rule)) = rest.next_if(|(next, _)| *next == at) {
                list.push(rule);
            }
            let last_of = match rest.peek() {
                Some((next, _)) if next.tier != at.tier => LastOf::Tier,
                Some((next, _)) if next.level != at.level => LastOf::Level,
                Some(_) => LastOf::Nothing,
                None => LastOf::Tier,
            };
            Some((list.into_iter(), last_of))
        })
    }
}

impl<'a> tiers::Question for Question<'a> {
    type Rule = Matching<'a>;
    type Name = &'a Rule;

    fn first(&self) -> impl Iterator<Item = (impl Iterator<Item = Matching<'a>>, LastOf)> {
        self.lists(|place| match place {
            Place::Admin(at) => Some(at),
            Place::Namespace | Place::Baseline(_) => None,
        })
    }

    fn is_isolated(&self) -> bool {
        self.rules.chain.isolated_by.is_some()
    }

    fn namespace(&self) -> impl Iterator<Item = Matching<'a>> {
        let namespace = self.placed();
        let namespace = namespace.filter(|(place, _)| *place == Place::Namespace);
        namespace.map(|(_, rule)| rule)
    }

    fn baseline(&self) -> impl Iterator<Item = (impl Iterator<Item = Matching<'a>>, LastOf)> {
        self.lists(|place| match place {
            Place::Baseline(at) => Some(at),
            Place::Admin(_) | Place::Namespace => None,
        })
    }

    fn truth(&self, (_, truth): Matching<'a>, _in_order: bool) -> Truth {
        truth
    }

    fn effect((rule, _): Matching<'a>) -> Effect {
        match rule.action {
            Action::Allow | Action::Audit => Effect::Allow,
            Action::Prove(_, 0) => Effect::Allow,
            Action::Redirect(_) | Action::Prove(_, _) => Effect::Redirect,
            Action::Deny => Effect::Deny,
            Action::Pass => Effect::Pass,
        }
    }

    fn name((rule, _): Matching<'a>) -> &'a Rule {
        rule
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
