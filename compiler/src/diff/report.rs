//! What `diff --format json` prints.

use super::rules::{Decision, When};
use super::{DeltaId, Diff, Reason, Way};
use crate::explain::report::{IsolationReport, RuleReport};
use crate::explain::{deciding_rule, isolating_policy};
use crate::hir::spec::Truth;
use crate::hir::{Direction, PolicyId, RuleId};
use crate::list::report::{PeerReport, Ports, Shown};
use crate::list::{Pair, Party};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// All connections that differ between two worlds.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct DiffReport<'a> {
    /// The version of this shape.
    pub version: u32,
    /// Connections of which nothing passed before.
    pub added: Vec<OneSided<'a>>,
    /// Connections of which nothing passes any more.
    pub removed: Vec<OneSided<'a>>,
    /// Connections of which something else passes than before.
    pub changed: Vec<Changed<'a>>,
    /// What was left out of the input, so that the answer may be another: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// A connection that one side has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OneSided<'a> {
    /// The source.
    pub src: &'a PeerReport,
    /// The destination.
    pub dst: &'a PeerReport,
    /// What is allowed on that side.
    pub ports: &'a [Ports],
    /// What is neither surely allowed nor surely denied on that side.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends: &'a [Ports],
    /// `workload` where one of the ends is new or has vanished; absent where both sides have both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// What makes the difference; absent where one of the ends is new or has vanished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// A packet that one side allows and the other does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The rules that decide about this packet.
    pub rules: Rules<'a>,
    /// The policies that isolate an end, where the packet is denied for want of a rule that allows it.
    #[serde(skip_serializing_if = "Isolation::is_empty")]
    pub isolated_by: Isolation<'a>,
}

/// A connection that both sides have.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Changed<'a> {
    /// The source.
    pub src: &'a PeerReport,
    /// The destination.
    pub dst: &'a PeerReport,
    /// What was allowed.
    pub before: &'a [Ports],
    /// What is allowed.
    pub after: &'a [Ports],
    /// What was neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends_before: &'a [Ports],
    /// What is neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends_after: &'a [Ports],
    /// What makes the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// A packet of which the sides say something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The rules that decide about this packet.
    pub rules: Rules<'a>,
    /// The policies that isolate an end, where the packet is denied for want of a rule that allows it.
    #[serde(skip_serializing_if = "Isolation::is_empty")]
    pub isolated_by: Isolation<'a>,
}

/// Why a connection stands apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// One of its ends is new or has vanished.
    Workload,
}

/// What makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The policies: on the old cluster the new ones say what they say on the new one.
    Policy,
    /// The cluster: on the old one the new policies say what the old ones said.
    Cluster,
    /// Both.
    Both,
}

/// A packet between two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Witness {
    /// The protocol.
    pub protocol: String,
    /// The destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The address outside from which it comes or to which it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
}

/// The rules that decide on either side.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Rules<'a> {
    /// Before the change.
    pub before: Vec<&'a RuleReport>,
    /// Behind it.
    pub after: Vec<&'a RuleReport>,
}

/// The policies that isolate on either side.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Isolation<'a> {
    /// Before the change.
    pub before: Vec<&'a IsolationReport>,
    /// Behind it.
    pub after: Vec<&'a IsolationReport>,
}

impl Isolation<'_> {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl From<Reason> for Option<Cause> {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Policy => Some(Cause::Policy),
            Reason::Cluster => Some(Cause::Cluster),
            Reason::Both => Some(Cause::Both),
            Reason::Workload => None,
        }
    }
}

impl From<&Decision> for Witness {
    fn from(decision: &Decision) -> Self {
        let transport = decision.transport;
        Self {
            protocol: transport.protocol.to_string(),
            port: transport.port,
            icmp_type: transport.icmp.map(|(kind, _)| kind),
            ip: decision.address,
        }
    }
}

/// A rule of one side.
type RuleKey = (When, RuleId, Truth);

/// What decides about a connection, by ids.
#[derive(Clone, Debug, Default)]
struct Decided {
    witness: Option<Witness>,
    rules: Vec<RuleKey>,
    isolating: Vec<(When, PolicyId)>,
}

/// All that connections need to be shown, each made once.
#[derive(Debug, Default)]
pub struct Told {
    shown: Shown,
    rules: FxHashMap<RuleKey, RuleReport>,
    policies: FxHashMap<(When, PolicyId), IsolationReport>,
    /// In the order of the pairs.
    decided: Vec<Decided>,
}

impl Told {
    /// All that some pairs need.
    #[must_use]
    pub fn of(diff: &mut Diff<'_>, pairs: &[Pair<DeltaId>]) -> Self {
        let mut told = Self::default();
        for pair in pairs {
            let delta = diff.delta(pair.answer);
            for answer in [delta.before, delta.after] {
                told.shown.add_answer(answer, diff.answer(answer));
            }
            for end in [pair.src, pair.dst] {
                told.shown.add(diff.directory(), end);
            }
            let decided = told.decide(diff, pair);
            told.decided.push(decided);
        }
        told
    }

    fn decide(&mut self, diff: &mut Diff<'_>, pair: &Pair<DeltaId>) -> Decided {
        let mut decided = Decided::default();
        let mut isolated = Vec::new();
        if let Some(decision) = diff.decision(pair) {
            decided.witness = Some(decision.into());
            for when in When::ALL {
                let rules = decision.rules(when).into_iter();
                decided
                    .rules
                    .extend(rules.map(|(id, truth)| (when, id, truth)));
                isolated.extend(decision.isolated(when).map(|direction| (when, direction)));
            }
        }
        for key in &decided.rules {
            let (when, id, truth) = *key;
            if !self.rules.contains_key(key)
                && let Some(report) = deciding_rule(diff.context(when), id, truth)
            {
                self.rules.insert(*key, report);
            }
        }
        for (when, direction) in isolated {
            for policy in isolating(diff, pair, when, direction) {
                if !self.policies.contains_key(&(when, policy))
                    && let Some(report) = isolating_policy(diff.context(when), policy)
                {
                    self.policies.insert((when, policy), report);
                }
                decided.isolating.push((when, policy));
            }
        }
        decided
    }

    /// The report of the pairs for which this was made.
    #[must_use]
    pub fn report(&self, diff: &Diff<'_>, pairs: &[Pair<DeltaId>]) -> DiffReport<'_> {
        let mut report = DiffReport {
            version: VERSION,
            ..DiffReport::default()
        };
        for (pair, decided) in pairs.iter().zip(&self.decided) {
            self.add(diff, pair, decided, &mut report);
        }
        report
    }

    fn add<'s>(
        &'s self,
        diff: &Diff<'_>,
        pair: &Pair<DeltaId>,
        decided: &Decided,
        report: &mut DiffReport<'s>,
    ) -> Option<()> {
        let delta = diff.delta(pair.answer);
        let (src, dst) = (self.shown.party(pair.src)?, self.shown.party(pair.dst)?);
        let (before, depends_before) = self.shown.answer(delta.before)?;
        let (after, depends_after) = self.shown.answer(delta.after)?;
        let witness = decided.witness.clone();
        let rules = self.rules_of(decided);
        let isolated_by = self.isolation_of(decided);
        let one_sided = |(ports, depends)| OneSided {
            src,
            dst,
            ports,
            depends,
            because: (delta.reason == Reason::Workload).then_some(Because::Workload),
            cause: delta.reason.into(),
            witness: witness.clone(),
            rules: rules.clone(),
            isolated_by: isolated_by.clone(),
        };
        match delta.way() {
            Way::Added => report.added.push(one_sided((after, depends_after))),
            Way::Removed => report.removed.push(one_sided((before, depends_before))),
            Way::Changed => report.changed.push(Changed {
                src,
                dst,
                before,
                after,
                depends_before,
                depends_after,
                cause: delta.reason.into(),
                witness,
                rules,
                isolated_by,
            }),
        }
        Some(())
    }

    fn rules_of(&self, decided: &Decided) -> Rules<'_> {
        let of = |when| {
            let keys = decided.rules.iter().filter(move |(own, ..)| *own == when);
            keys.filter_map(|key| self.rules.get(key)).collect()
        };
        Rules {
            before: of(When::Before),
            after: of(When::After),
        }
    }

    fn isolation_of(&self, decided: &Decided) -> Isolation<'_> {
        let of = |when| {
            let keys = decided
                .isolating
                .iter()
                .filter(move |(own, _)| *own == when);
            keys.filter_map(|key| self.policies.get(key)).collect()
        };
        Isolation {
            before: of(When::Before),
            after: of(When::After),
        }
    }
}

/// The policies that isolate the end of a connection that is governed in a direction.
fn isolating(
    diff: &Diff<'_>,
    pair: &Pair<DeltaId>,
    when: When,
    direction: Direction,
) -> Vec<PolicyId> {
    let governed = match direction {
        Direction::Ingress => pair.dst,
        Direction::Egress => pair.src,
    };
    match governed {
        Party::Peer(peer) => diff.isolating(when, peer, direction),
        Party::Outside(_) => Vec::new(),
    }
}
