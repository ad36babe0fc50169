//! The names that are known at a moment of a trace, and the answers that hang on them.
//!
//! The engine has the names of the snapshot. From the first answer in the trace that a policy can tell apart, ends outside
//! are judged by the definition, with the names that are known then; all others are the engine's as before.
//!
//! An address that a packet told is known, to all that stands behind it in the trace, from the time of the packet on for as long
//! as the answer says, at least for `tofqdns-min-ttl` in the dialect `cilium`, up to the next full minute; and beyond that while a
//! connection that passes uses it, as Cilium's agent does (`pkg/fqdn`: `DNSGCJobInterval`, and its zombies). A later answer
//! prolongs an earlier one, and never shortens it. What flows tell is known from [a little](FLOW_SLACK) before their time on and does
//! not end: they do not show which connections use it. What the snapshot has is known at any time.
//! Guarantee: at most [`MAX_LEARNT`] addresses are remembered, each with a few [spans] of time.

mod spans;

use super::Outcome;
use super::dns::Answer;
use crate::cluster::Cluster;
use crate::frontend::load;
use crate::frontend::settings::{Dialect, Settings};
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Judgement, World};
use crate::hir::{DomainPattern, Peer, PolicySet, Resolution};
use rustc_hash::{FxHashMap, FxHashSet};
use spans::Spans;
use std::net::IpAddr;
use std::ops::Range;

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

/// How many addresses are remembered: beyond, those that are over are forgotten, and else further ones are not taken in.
const MAX_LEARNT: usize = 1 << 16;

const SECOND: u64 = 1_000_000_000;

/// How often addresses end.
const INTERVAL: u64 = 60 * SECOND;

/// How much earlier than a packet in front of it one may be and still count as of the time of that one: queues of a
/// network card hand packets over out of order by less.
const SLACK: u64 = SECOND / 1_000;

/// How much earlier than an answer in a flow another flow behind it may be and still know it: the exports of several nodes
/// are put together out of order by less. It hangs on the answer and not on the flow in front, so that threads agree.
const FLOW_SLACK: u64 = 5 * SLACK;

/// The names that are known at a time.
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
    /// The addresses that the trace told.
    told: FxHashMap<(Box<str>, IpAddr), Told>,
    /// Whether there are names at any time.
    has_names: bool,
    /// From when on there are, as far as the trace tells.
    first: u64,
    /// The time, and all times around it at which the same is known.
    now: u64,
    same: Range<u64>,
    /// Until when nothing that is kept is over, since room was looked for.
    full_until: u64,
    /// The latest time.
    latest: u64,
    counts: Learnt,
}

/// An address that the trace told.
#[derive(Default)]
struct Told {
    spans: Spans,
    /// Whether it is known now.
    is_shown: bool,
    /// Whether it stands behind records that are later, and is counted as that.
    is_late: bool,
}

/// How many addresses a trace told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learnt {
    /// How many were learnt.
    pub(super) learnt: u64,
    /// How many were not, for want of room.
    pub(super) not_learnt: u64,
    /// How many stand behind packets that are later, and were judged without them.
    pub(super) late: u64,
    /// How many were forgotten for want of room after they were over: packets of that time that come later do not know them.
    pub(super) forgotten: u64,
}

impl Learnt {
    /// Adds what was learnt to what is told.
    pub(super) fn tell(self, outcome: &mut Outcome) {
        outcome.learnt += self.learnt;
        outcome.not_learnt += self.not_learnt;
        outcome.late += self.late;
        outcome.names_forgotten += self.forgotten;
    }
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
            has_names: cluster.has_names,
            first: u64::MAX,
            now: 0,
            same: 0..u64::MAX,
            full_until: 0,
            latest: 0,
            counts: Learnt::default(),
        };
        if dns == Dns::Trace {
            names.cluster.names.clear();
            names.cluster.has_names = true;
            names.has_names = true;
            (names.differ, names.is_resolved) = (true, false);
        }
        Some(Box::new(names))
    }

    /// How many addresses the trace told.
    pub(super) fn counts(&self) -> Learnt {
        self.counts
    }

    /// Whether an answer tells what is not known now and what a policy asks for.
    pub(super) fn is_news(&self, answer: &Answer) -> bool {
        self.new_in(answer).next().is_some() && self.is_asked(answer)
    }

    /// Whether an answer of a flow tells what is not known from its time on and what a policy asks for, and there is room for it.
    pub(super) fn would_learn(&self, answer: &Answer, from: u64) -> bool {
        let from = from.saturating_sub(FLOW_SLACK);
        let fits = |address: &IpAddr| {
            !self.is_known_at(&answer.name, *address, from)
                && (self.has_room() || self.is_told(&answer.name, *address))
        };
        self.is_asked(answer) && answer.addresses.iter().any(fits)
    }

    /// Counts what an answer of a flow tells that there is no room for, where it is not [taken in](Self::learn_for_ever).
    pub(super) fn pass_over(&mut self, answer: &Answer) {
        if self.has_room() || !self.is_asked(answer) {
            return;
        }
        let new = self.new_in(answer);
        let unknown = new.filter(|address| !self.is_told(&answer.name, **address));
        self.counts.not_learnt += unknown.count() as u64;
    }

    /// Whether the trace told an address by a name, of whatever time.
    fn is_told(&self, name: &str, address: IpAddr) -> bool {
        self.told.contains_key(&(name.into(), address))
    }

    /// Whether an address is known by a name at a time.
    fn is_known_at(&self, name: &str, address: IpAddr, time: u64) -> bool {
        match self.told.get(&(name.into(), address)) {
            Some(told) => told.spans.is_in(time),
            // What the trace did not tell, the snapshot has.
            None => self.is_known(name, address),
        }
    }

    /// Whether an address is known by a name now.
    fn is_known(&self, name: &str, address: IpAddr) -> bool {
        let known = self.cluster.names.get(name);
        known.is_some_and(|known| known.contains(&address))
    }

    fn has_room(&self) -> bool {
        self.told.len() < MAX_LEARNT
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

    /// Takes in an answer of a packet, which is known from now on for as long as it says. Whether it changes what is known now.
    pub(super) fn learn(&mut self, answer: &Answer, now: u64) -> bool {
        let lifetime = u64::from(answer.seconds.max(self.least_seconds())) * SECOND;
        let until = minute_after(now.saturating_add(lifetime));
        self.learn_for(answer, (now, until), self.is_late(now, SLACK))
    }

    /// Takes in an answer of a flow, which is known from [a little](FLOW_SLACK) before a time on that is now. Whether it
    /// changes what is known now.
    pub(super) fn learn_for_ever(&mut self, answer: &Answer, from: u64) -> bool {
        let is_late = self.is_late(from, FLOW_SLACK);
        self.learn_for(answer, (from.saturating_sub(FLOW_SLACK), u64::MAX), is_late)
    }

    /// Whether an answer of some time, where it has one, stands behind records that are later.
    fn is_late(&self, time: u64, slack: u64) -> bool {
        time > 0 && time.saturating_add(slack) < self.latest
    }

    fn learn_for(&mut self, answer: &Answer, span: (u64, u64), is_late: bool) -> bool {
        if !self.is_asked(answer) {
            return false;
        }
        let mut is_new = false;
        for address in &answer.addresses {
            is_new |= self.learn_one(&answer.name, *address, span, is_late);
        }
        if is_new {
            self.cluster.has_names = true;
            (self.differ, self.is_resolved) = (true, false);
        }
        is_new
    }

    fn learn_one(
        &mut self,
        name: &str,
        address: IpAddr,
        (from, until): (u64, u64),
        is_late: bool,
    ) -> bool {
        let key = (name.into(), address);
        let is_known = self.is_known(name, address);
        if !self.told.contains_key(&key) {
            if is_known {
                // The snapshot has it.
                return false;
            }
            if !self.has_room() {
                self.make_room();
            }
            if !self.has_room() {
                self.counts.not_learnt += 1;
                return false;
            }
            self.counts.learnt += 1;
        }
        let told = self.told.entry(key).or_default();
        self.counts.forgotten += u64::from(told.spans.add(from, until));
        let is_known_now = told.spans.is_in(self.now);
        told.is_shown |= is_known_now;
        self.first = self.first.min(from);
        for turn in told.spans.turns().chain([self.first]) {
            narrow(&mut self.same, self.now, turn);
        }
        if is_known || !is_known_now {
            return false;
        }
        self.counts.late += u64::from(is_late && !told.is_late);
        told.is_late |= is_late;
        let known = self.cluster.names.entry(name.into()).or_default();
        known.push(address);
        true
    }

    /// Forgets what is over.
    fn make_room(&mut self) {
        let now = self.now;
        if now < self.full_until {
            return;
        }
        let before = self.told.len();
        self.told
            .retain(|_, told| told.is_shown || !told.spans.is_over(now));
        self.counts.forgotten += (before - self.told.len()) as u64;
        // Answers end with a minute: none is over sooner.
        self.full_until = minute_after(now.saturating_add(1));
    }

    fn least_seconds(&self) -> u32 {
        match self.settings.dialect {
            Dialect::Cilium => self.settings.cilium.tofqdns_min_ttl,
            Dialect::Kubernetes => 0,
        }
    }

    /// Says that there was a record of this time.
    pub(super) fn pass(&mut self, time: u64) {
        self.latest = self.latest.max(time);
    }

    /// Goes to the time of a packet, but not [next to nothing](SLACK) back. As [`Self::go_to`].
    pub(super) fn go_on_to(&mut self, now: u64) -> bool {
        self.pass(now);
        let is_near = now < self.now && self.now - now <= SLACK;
        is_near || self.go_to(now)
    }

    /// Goes to another time. Whether the same names are known then; else they are to be [shown](Self::show).
    pub(super) fn go_to(&mut self, now: u64) -> bool {
        self.now = now;
        self.same.contains(&now)
    }

    /// Whether it matters now which addresses connections use.
    pub(super) fn awaits_use(&self) -> bool {
        self.told.values().any(|told| told.spans.awaits(self.now))
    }

    /// Finds the names that are known now, when connections use some addresses. Whether these are others than before.
    pub(super) fn show(&mut self, used: &FxHashSet<IpAddr>) -> bool {
        let now = self.now;
        self.same = 0..u64::MAX;
        let has_names = self.has_names || self.first <= now;
        narrow(&mut self.same, now, self.first);
        let mut is_new = has_names != self.cluster.has_names;
        self.cluster.has_names = has_names;
        for ((name, address), told) in &mut self.told {
            let until = minute_after(now.saturating_add(1));
            told.spans.say(now, used.contains(address), until);
            for turn in told.spans.turns() {
                narrow(&mut self.same, now, turn);
            }
            let is_known = told.spans.is_in(now);
            if is_known == told.is_shown {
                continue;
            }
            (told.is_shown, is_new) = (is_known, true);
            let known = self.cluster.names.entry(name.clone()).or_default();
            if is_known {
                known.push(*address);
            } else {
                known.retain(|one| one != address);
                if known.is_empty() {
                    self.cluster.names.remove(name);
                }
            }
        }
        if is_new {
            (self.differ, self.is_resolved) = (true, false);
        }
        is_new
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

/// The full minute at or behind a time.
fn minute_after(time: u64) -> u64 {
    time.checked_next_multiple_of(INTERVAL).unwrap_or(u64::MAX)
}

/// Leaves of a range that holds a time what lies on its side of another.
fn narrow(range: &mut Range<u64>, now: u64, turn: u64) {
    if turn <= now {
        range.start = range.start.max(turn);
    } else {
        range.end = range.end.min(turn);
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
