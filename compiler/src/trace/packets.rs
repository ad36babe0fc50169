//! The way of a capture: packets, their connections, and the answers about these.
//!
//! Input: frames, in the order of the file. Output: what is counted, and a reply for each where replies are wanted.
//! Guarantee: one thread, since what a packet is hangs on those before it; each connection is judged once, by the packet
//! that opens it, and again only where DNS answers have changed what its ends are.

mod ended;
mod judged;

pub(super) use judged::Answered;

use super::answer::{Answers, Judge};
use super::capture::file::Frame;
use super::capture::{Packet, Passed, dissect};
use super::changes::Changes;
use super::connections::{Connections, State, Tracking};
use super::group::Groups;
use super::pcap::Denied;
use super::record::Word;
use super::seen;
use super::tally::{Counts, Tally};
use super::translated::Translations;
use super::{By, Options, dns};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use rustc_hash::{FxHashMap, FxHashSet};
use std::io::{self, Write};
use std::net::IpAddr;

/// Follows captures.
pub(super) struct Packets<'a> {
    answers: Answers<'a>,
    /// By the policies that are compared with.
    before: Option<Answers<'a>>,
    options: Options,
    connections: Connections,
    translations: Translations,
    groups: Groups,
    counts: Counts,
    /// How many packets have an answer, by the answer.
    hits: Vec<u64>,
    changes: Changes,
    passed: FxHashMap<Passed, u64>,
    outside: FxHashSet<IpAddr>,
    older: u64,
    /// The link types of the trace that are not read.
    unread_links: Vec<u16>,
    defects: Vec<(u64, Diagnostic)>,
    line: Vec<u8>,
    lookups: dns::Lookups,
    waiting: Vec<Waiting>,
}

/// How many packets are looked up together: as many as hide how long memory takes, and few enough for what was found to
/// be there still when it is needed.
const BLOCK: usize = 64;

/// A packet that waits for others.
struct Waiting {
    record: u64,
    frame: Frame<'static>,
    packet: Result<Packet<'static>, Passed>,
}

fn unread_link(link: u16) -> Diagnostic {
    Diagnostic::new(
        &codes::LINK_TYPE,
        format!("packets of link type {link} are not read"),
    )
    .help("capture on an interface of a pod or a node: Ethernet, raw IP, Linux cooked, loopback and NFLOG are read")
}

/// Where a packet goes that has a reply, or is denied.
pub(super) struct Outputs<'w, 'd> {
    pub(super) replies: &'w mut dyn Write,
    pub(super) denied: Option<&'w mut Denied<'d>>,
}

impl<'a> Packets<'a> {
    pub(super) fn new(judge: Judge<'a>, against: Option<Judge<'a>>, options: Options) -> Self {
        let tracking = Tracking::of(judge.settings.dialect);
        Self {
            answers: Answers::new(judge),
            before: against.map(Answers::new),
            connections: Connections::new(options.by.keeps_connections(), tracking),
            translations: Translations::default(),
            groups: Groups::default(),
            counts: Counts::default(),
            hits: Vec::new(),
            changes: Changes::new(options.max_changes),
            passed: FxHashMap::default(),
            outside: FxHashSet::default(),
            older: 0,
            unread_links: Vec::new(),
            defects: Vec::new(),
            line: Vec::new(),
            lookups: dns::Lookups::default(),
            waiting: Vec::with_capacity(BLOCK),
            options,
        }
    }

    fn cluster(&self) -> &'a Cluster {
        self.answers.cluster()
    }

    /// Takes in a packet, which is this record. It may wait for others, up to [`Self::flush`].
    ///
    /// # Errors
    /// Where a reply or a denied packet cannot be written.
    pub(super) fn frame(
        &mut self,
        record: u64,
        frame: Frame<'_>,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        self.counts.records += 1;
        self.counts.bytes += u64::from(frame.length);
        self.counts.span.add(frame.time);
        let packet = dissect(frame, self.options.tunnels);
        let has_name = |packet: &Packet<'_>| self.wants_names() && dns::may_answer(packet);
        if outputs.denied.is_some() || packet.as_ref().is_ok_and(has_name) {
            // Its bytes are looked at, which do not wait.
            self.flush(outputs)?;
            return self.packet(record, frame, packet, outputs);
        }
        self.waiting.push(Waiting {
            record,
            frame: Frame { data: &[], ..frame },
            packet: packet.map(Packet::without_data),
        });
        if self.waiting.len() >= BLOCK {
            self.flush(outputs)?;
        }
        Ok(())
    }

    /// Takes in what waits.
    ///
    /// # Errors
    /// As for [`Self::frame`].
    pub(super) fn flush(&mut self, outputs: &mut Outputs<'_, '_>) -> io::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.make_room();
        self.warm(&waiting);
        for one in waiting.drain(..) {
            self.packet(one.record, one.frame, one.packet, outputs)?;
        }
        self.waiting = waiting;
        Ok(())
    }

    fn packet(
        &mut self,
        record: u64,
        frame: Frame<'_>,
        packet: Result<Packet<'_>, Passed>,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(passed) => return self.pass(record, (frame.at, frame.time), passed, outputs),
        };
        let Some(ends) = self.connections.with_ports(packet, frame.time) else {
            return self.pass(record, (frame.at, frame.time), Passed::Fragment, outputs);
        };
        self.learn(&packet, frame.time);
        let Some(judged) = self.judge(&ends, packet.carried, frame) else {
            return self.pass(record, (frame.at, frame.time), Passed::NoAnswer, outputs);
        };
        if self.options.replies && self.options.by == By::Record {
            self.reply(record, frame.time, &judged, outputs)?;
        }
        if judged.verdict == Word::Deny
            && judged.state != State::Reply
            && let Some(denied) = &mut outputs.denied
        {
            denied.write(frame)?;
        }
        if self.connections.has_ended() {
            let ended = self.connections.take_ended();
            self.end(ended, outputs)?;
        }
        Ok(())
    }

    /// The defects that packets of this trace have; the next trace begins.
    pub(super) fn take_defects(&mut self) -> Vec<(u64, Diagnostic)> {
        self.unread_links.clear();
        std::mem::take(&mut self.defects)
    }

    /// What DNS answers say, for what is judged after them.
    fn learn(&mut self, packet: &Packet<'_>, now: u64) {
        if !self.wants_names() {
            return;
        }
        self.forget_names(now);
        for answer in self.lookups.read(packet) {
            self.learn_answer(&answer, now);
        }
    }

    /// Forgets addresses of names whose lifetime has passed and that no living connection uses.
    fn forget_names(&mut self, now: u64) {
        let before = self.before.as_ref();
        if !self.answers.may_forget_names(now)
            && !before.is_some_and(|before| before.may_forget_names(now))
        {
            return;
        }
        let used = self.connections.used(now);
        self.fold();
        self.answers.forget_names(now, &used);
        if let Some(before) = &mut self.before {
            before.forget_names(now, &used);
        }
    }

    fn wants_names(&self) -> bool {
        self.answers.wants_names() || self.before.as_ref().is_some_and(Answers::wants_names)
    }

    fn learn_answer(&mut self, answer: &dns::Answer, now: u64) {
        let before = self.before.as_ref();
        if self.answers.would_learn(answer) || before.is_some_and(|one| one.would_learn(answer)) {
            // What was counted by an answer's number is told apart from what comes.
            self.fold();
        }
        self.answers.learn(answer, Some(now));
        if let Some(before) = &mut self.before {
            before.learn(answer, Some(now));
        }
    }

    fn pass(
        &mut self,
        record: u64,
        (at, time): (u64, u64),
        passed: Passed,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        *self.passed.entry(passed).or_default() += 1;
        if let Passed::Link(link) = passed
            && !self.unread_links.contains(&link)
        {
            self.unread_links.push(link);
            self.defects.push((at, unread_link(link)));
        }
        if self.options.replies && self.options.by == By::Record && self.before.is_none() {
            self.line.clear();
            seen::passed(record, time, passed, self.options.human, &mut self.line);
            outputs.replies.write_all(&self.line)?;
        }
        Ok(())
    }

    /// Counts by record what was counted by the number of an answer.
    fn fold(&mut self) {
        for (hits, id) in std::mem::take(&mut self.hits).into_iter().zip(0..) {
            if let (1.., Some(answer)) = (hits, self.answers.get_number(id)) {
                let sides = [Some(answer.egress), Some(answer.ingress)];
                self.counts.add_answer(answer.verdict, sides, hits);
            }
        }
    }

    /// Tells what came of all packets.
    ///
    /// # Errors
    /// Where a reply cannot be written.
    pub(super) fn finish(
        mut self,
        tally: &mut Tally,
        groups: &mut Groups,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        self.flush(outputs)?;
        self.fold();
        let rest = self.connections.take_rest();
        if self.options.by.keeps_connections() {
            self.end(rest, outputs)?;
        }
        let cluster = self.cluster();
        let outcome = &mut tally.outcome;
        outcome.connections = self.connections.opened();
        outcome.older = self.older;
        outcome.forgotten = self.connections.forgotten();
        outcome.outside = self.outside.len() as u64;
        outcome.translated = self.translations.explained;
        outcome.unexplained = self.translations.unexplained;
        outcome.learnt = self.answers.learnt();
        outcome.not_learnt = self.answers.not_learnt();
        let examples = self.translations.examples.iter();
        outcome.translations = examples
            .map(|(before, after)| seen::translation(cluster, before, after))
            .collect();
        for (passed, count) in self.passed {
            *outcome.passed.entry(passed.to_string()).or_default() += count;
        }
        tally.add(self.counts);
        tally.changes.append(&mut self.changes);
        groups.append(&mut self.groups);
        Ok(())
    }
}
