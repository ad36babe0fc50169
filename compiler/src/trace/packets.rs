//! The way of a capture: packets, their connections, and the answers about these.
//!
//! Input: frames, in the order of the file. Output: what is counted, and a reply for each where replies are wanted.
//! Guarantee: one thread, since what a packet is hangs on those before it; each connection is judged once, by the packet
//! that opens it, and again only where DNS answers have changed what its ends are.

mod clock;
mod ended;
mod judged;

pub(super) use judged::Answered;

use super::answer::{Answers, Judge};
use super::capture::file::Frame;
use super::capture::{Packet, Passed, Tuple, dissect};
use super::changes::Changes;
use super::connections::{Connections, Sought, State, Tracking};
use super::group::Groups;
use super::pcap::Denied;
use super::record::Word;
use super::seen;
use super::tally::{Counts, Tally};
use super::translated::Translations;
use super::{By, Options, dns};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use clock::Clock;
use rustc_hash::{FxHashMap, FxHashSet};
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::Range;

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
    /// The ends of packets that wait and have no connection yet.
    opening: Vec<Tuple>,
    /// What the packets that wait carry, of those that may tell names.
    held: Vec<u8>,
    clock: Clock,
}

/// How many packets are looked up together: as many as hide how long memory takes, and few enough for what was found to
/// be there still when it is needed.
const BLOCK: usize = 128;

/// A packet that waits for others.
struct Waiting {
    record: u64,
    frame: Frame<'static>,
    packet: Result<Packet<'static>, Passed>,
    /// Where what it carries is held, if that is looked at.
    held: Range<usize>,
    /// What is known of its connection; nothing before it is looked for.
    sought: Option<Sought>,
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
            opening: Vec::new(),
            held: Vec::new(),
            clock: Clock::default(),
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
        if outputs.denied.is_some() {
            // The frame may be written, and does not wait.
            self.flush(outputs)?;
            return self.packet((record, &frame), &packet, None, outputs);
        }
        let begin = self.held.len();
        if let Ok(packet) = &packet
            && self.wants_names()
            && dns::may_answer(packet)
        {
            self.held.extend_from_slice(packet.data());
        }
        self.waiting.push(Waiting {
            record,
            frame: Frame { data: &[], ..frame },
            packet: packet.map(|packet| packet.with_data(&[])),
            held: begin..self.held.len(),
            sought: None,
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
        let mut held = std::mem::take(&mut self.held);
        self.make_room();
        self.warm(&mut waiting);
        for one in &waiting {
            let at = (one.record, &one.frame);
            match (&one.packet, held.get(one.held.clone())) {
                (Ok(packet), Some(data @ [_, ..])) => {
                    let packet = Ok(packet.with_data(data));
                    self.packet(at, &packet, one.sought, outputs)?;
                }
                (packet, _) => self.packet(at, packet, one.sought, outputs)?,
            }
        }
        waiting.clear();
        held.clear();
        (self.waiting, self.held) = (waiting, held);
        Ok(())
    }

    fn packet(
        &mut self,
        (record, frame): (u64, &Frame<'_>),
        packet: &Result<Packet<'_>, Passed>,
        sought: Option<Sought>,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(passed) => return self.pass(record, (frame.at, frame.time), *passed, outputs),
        };
        let now = self.clock.at(frame.time);
        let of_fragment;
        let (ends, sought) = match packet.fragment {
            None => (&packet.ends, sought),
            // It has its ports from another.
            Some(number) => match self.connections.with_ports(packet, number, now) {
                Some(found) => {
                    of_fragment = found;
                    (&of_fragment, None)
                }
                None => {
                    return self.pass(record, (frame.at, frame.time), Passed::Fragment, outputs);
                }
            },
        };
        self.learn(packet, now);
        let sought = sought.unwrap_or_else(|| self.connections.guess(ends));
        let length = frame.length;
        let Some(judged) = self.judge(sought, ends, &packet.carried, (now, length)) else {
            return self.pass(record, (frame.at, frame.time), Passed::NoAnswer, outputs);
        };
        if self.tells_packets() {
            self.reply(record, frame.time, &judged, outputs)?;
        }
        if judged.verdict == Word::Deny
            && judged.state != State::Reply
            && let Some(denied) = &mut outputs.denied
        {
            denied.write(*frame)?;
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
        self.go_to(now);
        for answer in self.lookups.read(packet) {
            self.learn_answer(&answer, now);
        }
    }

    /// Goes to the time of a packet, at which other names may be known.
    fn go_to(&mut self, now: u64) {
        let is_same = self.answers.go_on_to(now);
        let before = self.before.as_mut();
        if before.is_none_or(|before| before.go_on_to(now)) && is_same {
            return;
        }
        let before = self.before.as_ref();
        let awaits_use = self.answers.awaits_use() || before.is_some_and(Answers::awaits_use);
        let used = if awaits_use {
            self.connections.used(now)
        } else {
            FxHashSet::default()
        };
        self.fold();
        self.answers.show_names(&used);
        if let Some(before) = &mut self.before {
            before.show_names(&used);
        }
    }

    /// Whether each packet has a reply.
    fn tells_packets(&self) -> bool {
        self.options.replies && self.options.by == By::Record
    }

    fn wants_names(&self) -> bool {
        self.answers.wants_names() || self.before.as_ref().is_some_and(Answers::wants_names)
    }

    fn learn_answer(&mut self, answer: &dns::Answer, now: u64) {
        let before = self.before.as_ref();
        if self.answers.is_news(answer) || before.is_some_and(|one| one.is_news(answer)) {
            // What was counted by an answer's number is told apart from what comes.
            self.fold();
        }
        self.answers.learn(answer, now);
        if let Some(before) = &mut self.before {
            before.learn(answer, now);
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
        if self.tells_packets() && self.before.is_none() {
            self.line.clear();
            seen::passed(record, time, passed, self.options.human, &mut self.line);
            outputs.replies.write_all(&self.line)?;
        }
        Ok(())
    }

    /// Counts by record what was counted by the number of an answer.
    fn fold(&mut self) {
        for (number, hits) in std::mem::take(&mut self.hits).into_iter().enumerate() {
            if let (1.., Some(answer)) = (hits, self.answers.get_number(number)) {
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
        outcome.doubted = self.clock.doubted();
        self.answers.learnt().tell(outcome);
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
