//! The whole way of traces: captures packet by packet, and all others in batches of lines, answered by all threads and
//! written in order.

use super::answer::Judge;
use super::batch::{Batch, Batches};
use super::capture::Tunnels;
use super::capture::file::{Capture, Event};
use super::group::{Groups, PolicyReport};
use super::names::Dns;
use super::packets::{Outputs, Packets};
use super::pcap::Denied;
use super::source::{Content, Source};
use super::tally::Tally;
use super::worker::Worker;
use super::{Outcome, Place, Problem, seen};
use crate::diagnostic::{Diagnostic, codes};
use crate::engine::Engine;
use crate::explain::Context;
use crate::frontend::settings::Settings;
use crate::query::Families;
use rayon::prelude::*;
use std::io::{self, BufRead, Write};

/// What is put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Nothing: each record, each packet of a capture, stands by itself.
    #[default]
    Record,
    /// Connections.
    Connection,
    /// Pairs of workloads with a port.
    Workload,
    /// Policies and their rules.
    Policy,
}

impl By {
    /// Whether it matters what becomes of connections.
    pub(super) fn keeps_connections(self) -> bool {
        match self {
            Self::Connection | Self::Workload => true,
            Self::Record | Self::Policy => false,
        }
    }
}

/// What is wanted of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a reply is written for each record, or what `by` says.
    pub replies: bool,
    /// What a reply is about.
    pub by: By,
    /// Whether replies are text, not JSON.
    pub human: bool,
    /// Which tunnels are looked into.
    pub tunnels: Tunnels,
    /// Which DNS answers count.
    pub dns: Dns,
    /// How many different flows that disagree are kept.
    pub max_changes: usize,
    /// How many problems are kept.
    pub max_problems: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replies: true,
            by: By::default(),
            human: false,
            tunnels: Tunnels::default(),
            dns: Dns::default(),
            max_changes: 1_000,
            max_problems: 1_000,
        }
    }
}

/// By what traces are judged.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The texts, the snapshot and the policies.
    pub context: Context<'a>,
    /// Who judges.
    pub engine: &'a Engine<'a>,
    /// The settings under which they were read.
    pub settings: &'a Settings,
}

impl<'a> Asked<'a> {
    fn judge(self, dns: Dns) -> Judge<'a> {
        Judge {
            context: self.context,
            engine: self.engine,
            families: Families::of(self.context.cluster),
            settings: self.settings,
            dns,
        }
    }
}

/// A replay of one or several traces: connections may go on from one to the next.
pub struct Replay<'a> {
    asked: Asked<'a>,
    against: Option<Asked<'a>>,
    options: Options,
    workers: Vec<Worker<'a>>,
    packets: Option<Box<Packets<'a>>>,
    tally: Tally,
    groups: Groups,
    records: u64,
    /// The number of the trace, counted from zero.
    trace: usize,
}

impl<'a> Replay<'a> {
    /// Begins a replay; with `against`, only what that one judges otherwise is told.
    #[must_use]
    pub fn new(asked: Asked<'a>, against: Option<Asked<'a>>, options: Options) -> Self {
        Self {
            asked,
            against,
            workers: Vec::new(),
            packets: None,
            tally: Tally::new(&options),
            groups: Groups::default(),
            records: 0,
            trace: 0,
            options,
        }
    }

    /// Replays a trace: reads its records, writes replies.
    ///
    /// # Errors
    /// Where the reader or a writer fails.
    pub fn trace<'r>(
        &mut self,
        reader: impl BufRead + 'r,
        replies: &mut dyn Write,
        denied: Option<&mut Denied<'_>>,
    ) -> io::Result<()> {
        let (mut source, content) = Source::open(reader)?;
        match content {
            Content::Lines => self.lines(&mut source, replies)?,
            Content::Pcap | Content::PcapNg => {
                let mut outputs = Outputs { replies, denied };
                self.capture(&mut source, content, &mut outputs)?;
            }
        }
        // What a defect hides may be the fault of what packed it.
        source.finish()?;
        if let Some(damage) = source.damage() {
            self.problem(Place::Trace, damage);
        }
        self.trace += 1;
        Ok(())
    }

    fn problem(&mut self, place: Place, diagnostic: Diagnostic) {
        self.tally.problem(Problem {
            trace: self.trace,
            place,
            excerpt: String::new(),
            diagnostic,
        });
    }

    fn capture(
        &mut self,
        source: &mut Source<'_>,
        content: Content,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        let dns = self.options.dns;
        let (asked, against) = (self.asked, self.against);
        let options = self.options;
        let mut packets = self.packets.take().unwrap_or_else(|| {
            let against = against.map(|against| against.judge(dns));
            Box::new(Packets::new(asked.judge(dns), against, options))
        });
        let mut capture = Capture::new(source, content);
        while let Some(event) = capture.next()? {
            match event {
                Event::Frame(frame) => {
                    packets.frame(self.records, frame, outputs)?;
                    self.records += 1;
                }
                Event::Defect(at, diagnostic) => self.problem(Place::Byte(at), diagnostic),
            }
        }
        packets.flush(outputs)?;
        for (at, defect) in packets.take_defects() {
            self.problem(Place::Byte(at), defect);
        }
        self.packets = Some(packets);
        Ok(())
    }

    fn lines(&mut self, source: &mut Source<'_>, replies: &mut dyn Write) -> io::Result<()> {
        let mut batches = Batches::new(source, self.records);
        let (mut last, mut is_first) = (None, true);
        while let Some(batch) = batches.next(last)? {
            if let Some(what) = is_first.then(|| batch.what_else()).flatten() {
                let help = "give a capture (pcap, pcapng), flows of Hubble's, policy-action logs of GKE, or one JSON \
                            object a line";
                let message = format!("this is no trace: it is {what}");
                self.problem(
                    Place::Trace,
                    Diagnostic::new(&codes::NO_TRACE, message).help(help),
                );
                return Ok(());
            }
            is_first = false;
            self.batch(&batch, replies)?;
            last = Some(batch);
        }
        self.records = batches.records();
        Ok(())
    }

    /// Answers a batch: in parts, where lines tell DNS answers, which nobody knows who stands in front of them.
    fn batch(&mut self, batch: &Batch, replies: &mut dyn Write) -> io::Result<()> {
        self.make_workers();
        let mut lines = batch.lines.as_slice();
        while !lines.is_empty() {
            let wants_names = self.workers.first().is_some_and(Worker::wants_names);
            let found = lines.iter().enumerate().filter(|_| wants_names);
            let mut found = found
                .filter_map(|(at, line)| Some((at, super::hubble::dns_answer(batch.text(line))?)));
            // All know the same.
            let mut first = self.workers.first_mut();
            let found = found.find(|(_, (answer, from))| {
                let first = first.as_mut();
                first.is_some_and(|worker| worker.would_learn(answer, *from))
            });
            let length = found.as_ref().map_or(lines.len(), |(at, _)| at + 1);
            let (part, rest) = lines.split_at(length);
            let share = part.len().div_ceil(self.workers.len()).max(1);
            self.workers
                .par_iter_mut()
                .zip(part.par_chunks(share))
                .for_each(|(worker, lines)| worker.work(batch, lines));
            for worker in &mut self.workers {
                worker.tell(self.trace, replies, &mut self.tally, &mut self.groups)?;
            }
            if let Some((_, (answer, from))) = &found {
                let latest = self.tally.latest();
                for worker in &mut self.workers {
                    worker.learn(answer, *from, latest);
                }
            }
            lines = rest;
        }
        Ok(())
    }

    fn make_workers(&mut self) {
        if self.workers.is_empty() {
            let dns = self.options.dns;
            let against = self.against;
            let worker = |_| {
                let against = against.map(|against| against.judge(dns));
                Worker::new(self.asked.judge(dns), against, self.options)
            };
            let threads = rayon::current_num_threads().max(1);
            self.workers = (0..threads).map(worker).collect();
        }
    }

    /// Ends a replay: what is put together is told, and what came of all.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn finish(mut self, replies: &mut dyn Write) -> io::Result<Outcome> {
        if let Some(packets) = self.packets.take() {
            let mut outputs = Outputs {
                replies,
                denied: None,
            };
            packets.finish(&mut self.tally, &mut self.groups, &mut outputs)?;
        }
        if let Some(worker) = self.workers.first() {
            worker.learnt().tell(&mut self.tally.outcome);
        }
        self.tally.outcome.more_groups = self.groups.more();
        let outcome = self.tally.finish(self.asked.context);
        if self.options.replies {
            let mut line = Vec::new();
            let human = self.options.human;
            match self.options.by {
                By::Record => {}
                By::Connection => self
                    .groups
                    .connections()
                    .for_each(|report| seen::line(&report, human, &mut line)),
                By::Workload => self
                    .groups
                    .workloads()
                    .iter()
                    .for_each(|report| seen::line(report, human, &mut line)),
                By::Policy => policies(&outcome)
                    .iter()
                    .for_each(|report| seen::line(report, human, &mut line)),
            }
            replies.write_all(&line)?;
        }
        replies.flush()?;
        Ok(outcome)
    }
}

/// The policies that decide, each with its rules.
fn policies(outcome: &Outcome) -> Vec<PolicyReport> {
    let mut reports = Vec::new();
    for (policy, records) in &outcome.by_policy {
        let policy: crate::explain::report::PolicyName = policy.into();
        let rules = outcome.by_rule.iter();
        let rules: Vec<PolicyReport> = rules
            .filter(|count| count.rule.policy == policy)
            .map(|count| PolicyReport {
                policy: policy.clone(),
                rule: Some(count.rule.rule.clone()),
                action: Some(count.rule.action.clone()),
                file: Some(count.rule.file.clone()),
                line: Some(count.rule.line),
                records: count.records,
            })
            .collect();
        reports.push(PolicyReport {
            policy,
            rule: None,
            action: None,
            file: None,
            line: None,
            records: *records,
        });
        reports.extend(rules);
    }
    reports
}

/// Replays one trace.
///
/// # Errors
/// Where the reader or the writer fails.
pub fn replay(
    asked: Asked<'_>,
    options: Options,
    reader: impl BufRead,
    writer: &mut impl Write,
) -> io::Result<Outcome> {
    let mut replay = Replay::new(asked, None, options);
    replay.trace(reader, writer, None)?;
    replay.finish(writer)
}
