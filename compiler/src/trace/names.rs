//! The names that are known at a moment of a trace, and the answers that hang on them.
//!
//! The engine has the names of the snapshot. From the first answer in the trace that a policy can tell apart, ends outside
//! are judged by the definition, with the names that are known then; all others are the engine's as before. An address that
//! was answered stays known: agents keep it for as long as a connection uses it, and lifetimes of answers are not applied.

use super::dns::Answer;
use crate::cluster::Cluster;
use crate::frontend::load;
use crate::frontend::settings::Settings;
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Judgement, World};
use crate::hir::{DomainPattern, Peer, PolicySet, Resolution};
use std::net::IpAddr;

/// Which DNS answers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dns {
    /// Those in the trace, each from its time on.
    Trace,
    /// Those of the snapshot, at any time.
    Snapshot,
    /// Those of the snapshot at any time, and those in the trace from their time on.
    #[default]
    Both,
}

/// The names that are known now.
pub(super) struct Names {
    /// The snapshot with these names.
    cluster: Cluster,
    /// The policies, resolved with these names where that makes a difference.
    policies: PolicySet,
    patterns: Vec<DomainPattern>,
    settings: Settings,
    is_resolved: bool,
    /// Whether the engine does not have these names.
    pub(super) differ: bool,
    learnt: u64,
}

impl Names {
    /// The names at the beginning of a trace; `None` where no policy asks for names, or where the trace does not count.
    pub(super) fn new(
        dns: Dns,
        cluster: &Cluster,
        policies: &PolicySet,
        settings: &Settings,
    ) -> Option<Box<Self>> {
        let patterns = patterns(policies);
        if dns == Dns::Snapshot || patterns.is_empty() {
            return None;
        }
        let mut names = Self {
            cluster: cluster.clone(),
            policies: policies.clone(),
            patterns,
            settings: settings.clone(),
            is_resolved: true,
            differ: false,
            learnt: 0,
        };
        if dns == Dns::Trace {
            names.cluster.names.clear();
            names.cluster.has_names = true;
            (names.differ, names.is_resolved) = (true, false);
        }
        Some(Box::new(names))
    }

    /// How many addresses the trace told.
    pub(super) fn learnt(&self) -> u64 {
        self.learnt
    }

    /// Whether an answer tells what is not known yet and what a policy asks for.
    pub(super) fn would_learn(&self, answer: &Answer) -> bool {
        let known = self.cluster.names.get(answer.name.as_str());
        let is_new = |address: &IpAddr| known.is_none_or(|known| !known.contains(address));
        answer.addresses.iter().any(is_new)
            && self
                .patterns
                .iter()
                .any(|pattern| pattern.matches(&answer.name))
    }

    /// Takes in an answer.
    pub(super) fn learn(&mut self, answer: &Answer) {
        let known = self
            .cluster
            .names
            .entry(answer.name.as_str().into())
            .or_default();
        for address in &answer.addresses {
            if !known.contains(address) {
                known.push(*address);
                self.learnt += 1;
            }
        }
        self.cluster.has_names = true;
        (self.differ, self.is_resolved) = (true, false);
    }

    /// Makes the policies ready for the names that are known now.
    pub(super) fn resolve(&mut self) {
        if self.is_resolved {
            return;
        }
        if let Resolution::Precedence(_) = self.policies.resolution {
            self.policies.resolution =
                load::resolution(&self.settings, &self.cluster, &self.policies);
        }
        self.is_resolved = true;
    }

    /// What the definition says of a flow now.
    pub(super) fn judge(&self, flow: &Flow<'_>) -> Judgement {
        let world = World {
            policies: &self.policies,
            names: self.cluster.names(),
        };
        spec::judge(world, flow)
    }
}

/// The patterns of names that policies ask for, each once.
fn patterns(policies: &PolicySet) -> Vec<DomainPattern> {
    let rules = policies.policies.iter();
    let rules = rules.flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
    let mut patterns: Vec<DomainPattern> = Vec::new();
    for peer in rules.flat_map(|rule| rule.peers.iter().flatten()) {
        match peer {
            Peer::Domain(pattern) if !patterns.contains(pattern) => patterns.push(pattern.clone()),
            Peer::Domain(_)
            | Peer::Addresses(_)
            | Peer::Identities(_)
            | Peer::Pods(_)
            | Peer::Nodes(_) => {}
        }
    }
    patterns
}
