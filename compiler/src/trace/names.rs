//! The names that are known at a moment of a trace, and the answers that hang on them.
//!
//! The engine has the names of the snapshot. From the first answer in the trace that a policy can tell apart, ends outside
//! are judged by the definition, with the names that are known then; all others are the engine's as before.
//!
//! An address that a packet told is known for as long as the answer says, at least for `tofqdns-min-ttl` in the dialect
//! `cilium`, and beyond that while a connection that passes uses it: once a minute what is over is forgotten, as Cilium's
//! agent does (`pkg/fqdn`: `DNSGCJobInterval`, and its zombies). A later answer prolongs an earlier one, and never shortens
//! it. What flows tell, and what the snapshot has, is known to the end: they do not show which connections use it. Guarantee:
//! at most [`MAX_LEARNT`] addresses are learnt at a time.

use super::dns::Answer;
use crate::cluster::Cluster;
use crate::frontend::load;
use crate::frontend::settings::{Dialect, Settings};
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Judgement, World};
use crate::hir::{DomainPattern, Peer, PolicySet, Resolution};
use rustc_hash::{FxHashMap, FxHashSet};
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

/// How many addresses are learnt at a time: beyond, further ones are not taken in.
const MAX_LEARNT: usize = 1 << 16;

const SECOND: u64 = 1_000_000_000;

/// How often it is looked for what is over.
const INTERVAL: u64 = 60 * SECOND;

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
    /// The addresses that the trace told, each with the time up to which it is known; for ever where that is not told.
    told: FxHashMap<(Box<str>, IpAddr), u64>,
    /// When it is looked for what is over.
    look_at: u64,
    learnt: u64,
    not_learnt: u64,
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
            told: FxHashMap::default(),
            look_at: 0,
            learnt: 0,
            not_learnt: 0,
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

    /// How many addresses were not learnt for want of room.
    pub(super) fn not_learnt(&self) -> u64 {
        self.not_learnt
    }

    /// Whether an answer tells what is not known yet and what a policy asks for.
    pub(super) fn would_learn(&self, answer: &Answer) -> bool {
        self.told.len() < MAX_LEARNT
            && self.new_in(answer).next().is_some()
            && self.is_asked(answer)
    }

    /// Counts what an answer tells and there is no room for.
    pub(super) fn miss(&mut self, answer: &Answer) {
        if self.told.len() < MAX_LEARNT || !self.is_asked(answer) {
            return;
        }
        self.not_learnt += self.new_in(answer).count() as u64;
    }

    /// The addresses of an answer that its name is not known to have.
    fn new_in<'a>(&'a self, answer: &'a Answer) -> impl Iterator<Item = &'a IpAddr> {
        let known = self.cluster.names.get(answer.name.as_str());
        let is_new = move |address: &&IpAddr| known.is_none_or(|known| !known.contains(address));
        answer.addresses.iter().filter(is_new)
    }

    fn is_asked(&self, answer: &Answer) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.matches(&answer.name))
    }

    /// Takes in an answer, which is known from now on for as long as it says, or to the end. Whether it tells anything new.
    pub(super) fn learn(&mut self, answer: &Answer, now: Option<u64>) -> bool {
        if !self.is_asked(answer) {
            return false;
        }
        let lifetime = u64::from(answer.seconds.max(self.least_seconds())) * SECOND;
        let until = now.map_or(u64::MAX, |now| now.saturating_add(lifetime));
        let mut is_new = false;
        for address in &answer.addresses {
            is_new |= self.learn_one(&answer.name, *address, until);
        }
        if is_new {
            self.cluster.has_names = true;
            (self.differ, self.is_resolved) = (true, false);
        }
        is_new
    }

    fn learn_one(&mut self, name: &str, address: IpAddr, until: u64) -> bool {
        let known = self.cluster.names.get(name);
        if known.is_some_and(|known| known.contains(&address)) {
            if let Some(told) = self.told.get_mut(&(name.into(), address)) {
                *told = (*told).max(until);
            }
            return false;
        }
        if self.told.len() >= MAX_LEARNT {
            self.not_learnt += 1;
            return false;
        }
        self.told.insert((name.into(), address), until);
        self.cluster
            .names
            .entry(name.into())
            .or_default()
            .push(address);
        self.learnt += 1;
        true
    }

    fn least_seconds(&self) -> u32 {
        match self.settings.dialect {
            Dialect::Cilium => self.settings.cilium.tofqdns_min_ttl,
            Dialect::Kubernetes => 0,
        }
    }

    /// Whether it is time to look for what is over.
    pub(super) fn may_forget(&self, now: u64) -> bool {
        now >= self.look_at && !self.told.is_empty()
    }

    /// Forgets what is over and not used. Whether there was any.
    pub(super) fn forget(&mut self, now: u64, used: &FxHashSet<IpAddr>) -> bool {
        self.look_at = now.saturating_add(INTERVAL);
        let told = self.told.iter();
        let over = told.filter(|((_, address), until)| **until < now && !used.contains(address));
        let over: Vec<(Box<str>, IpAddr)> = over.map(|(key, _)| key.clone()).collect();
        for (name, address) in &over {
            self.told.remove(&(name.clone(), *address));
            if let Some(known) = self.cluster.names.get_mut(name) {
                known.retain(|one| one != address);
            }
        }
        if !over.is_empty() {
            (self.differ, self.is_resolved) = (true, false);
        }
        !over.is_empty()
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
