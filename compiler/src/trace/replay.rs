//! The whole way of a trace: batches of lines, answered by all threads, written in order.

use super::answer::{Answers, Judge};
use super::batch::{Batch, Batches, Line};
use super::record::{Record, Word};
use super::shown::{self, Shown};
use super::{MAX_LINE_BYTES, Problem, fault, hubble};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::engine::Engine;
use crate::explain::Context;
use crate::hir::PolicyId;
use crate::query::Families;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Write};

/// What is wanted of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a [`Reply`](super::Reply) is written for each record.
    pub replies: bool,
    /// How many different flows that disagree are kept.
    pub max_changes: usize,
    /// How many problems are kept.
    pub max_problems: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replies: true,
            max_changes: 1_000,
            max_problems: 1_000,
        }
    }
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many records there were, those without an answer among them.
    pub records: u64,
    /// How many records have which verdict.
    pub by_verdict: BTreeMap<Word, u64>,
    /// How many records a policy decides, alone or with others, by the policy.
    pub by_policy: BTreeMap<ObjectRef, u64>,
    /// How many records have the verdict that was recorded and expected.
    pub agreeing: u64,
    /// How many have another.
    pub disagreeing: u64,
    /// How many records have an answer that takes something for granted that the snapshot does not tell.
    pub assumed: u64,
    /// The flows that disagree, in the order in which they first occur, with how often they do.
    pub changes: Vec<(Change, u64)>,
    /// How many records disagree that are none of these.
    pub more_changes: u64,
    /// The lines without an answer.
    pub problems: Vec<Problem>,
    /// How many there are beyond these.
    pub more_problems: u64,
}

/// A flow whose verdict is not what was recorded or expected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The source as the record names it.
    pub src: String,
    /// The destination as the record names it.
    pub dst: String,
    /// Protocol and port: `443/TCP`.
    pub port: String,
    /// The side that was asked, if only one was.
    pub side: Option<&'static str>,
    /// What was recorded or expected.
    pub before: Word,
    /// What the policies say.
    pub after: Word,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            src,
            dst,
            port,
            before,
            after,
            ..
        } = self;
        write!(f, "{src} -> {dst} {port}: {before} -> {after}")
    }
}

/// Replays a trace: reads records, writes replies.
///
/// # Errors
/// Where the reader or the writer fails.
pub fn replay(
    context: Context<'_>,
    engine: &Engine<'_>,
    options: Options,
    reader: impl BufRead,
    writer: &mut impl Write,
) -> io::Result<Outcome> {
    let judge = Judge {
        context,
        engine,
        families: Families::of(context.cluster),
    };
    let threads = rayon::current_num_threads().max(1);
    let mut workers: Vec<Worker<'_>> = (0..threads).map(|_| Worker::new(judge, options)).collect();
    let mut batches = Batches::new(reader);
    let mut tally = Tally::default();
    let mut last = None;
    while let Some(batch) = batches.next(last)? {
        let share = batch.lines.len().div_ceil(threads).max(1);
        workers
            .par_iter_mut()
            .zip(batch.lines.par_chunks(share))
            .for_each(|(worker, lines)| worker.work(&batch, lines));
        for worker in &mut workers {
            writer.write_all(&worker.replies)?;
            tally.add(worker, options);
        }
        last = Some(batch);
    }
    writer.flush()?;
    Ok(tally.finish(context))
}

/// What one thread does with its share of a batch.
struct Worker<'a> {
    answers: Answers<'a>,
    options: Options,
    replies: Vec<u8>,
    counts: Counts,
    problems: Vec<Problem>,
    /// In the order in which they first occur.
    changes: Vec<(Change, u64)>,
    seen: FxHashMap<Change, usize>,
}

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    /// By [`Word`].
    by_verdict: Vec<u64>,
    /// By [`PolicyId`].
    by_policy: Vec<u64>,
    agreeing: u64,
    disagreeing: u64,
    assumed: u64,
}

/// Adds to the count with this index.
fn count(counts: &mut Vec<u64>, index: usize, more: u64) {
    if index >= counts.len() {
        counts.resize(index + 1, 0);
    }
    if let Some(count) = counts.get_mut(index) {
        *count += more;
    }
}

impl<'a> Worker<'a> {
    fn new(judge: Judge<'a>, options: Options) -> Self {
        Self {
            answers: Answers::new(judge),
            options,
            replies: Vec::new(),
            counts: Counts::default(),
            problems: Vec::new(),
            changes: Vec::new(),
            seen: FxHashMap::default(),
        }
    }

    fn work(&mut self, batch: &Batch, lines: &[Line]) {
        for line in lines {
            self.line(line, batch.text(line));
        }
    }

    fn line(&mut self, line: &Line, text: &[u8]) {
        self.counts.records += 1;
        let text = match line.number {
            1 => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
            _ => text,
        };
        let record = match read(text, self.answers.cluster()) {
            Ok(record) => record,
            Err((diagnostic, column)) => return self.problem(line, text, column, diagnostic),
        };
        match self.answers.answer(&record) {
            Ok(answer) => {
                let reply = Shown::new(line.record, &record, answer);
                self.counts.add(&reply);
                if let Some(change) = reply.change(&record) {
                    let index = *self.seen.entry(change).or_insert_with_key(|change| {
                        self.changes.push((change.clone(), 0));
                        self.changes.len() - 1
                    });
                    if let Some((_, count)) = self.changes.get_mut(index) {
                        *count += 1;
                    }
                }
                if self.options.replies {
                    reply.write(&mut self.replies);
                }
            }
            Err(diagnostic) => self.problem(line, text, None, diagnostic),
        }
    }

    fn problem(&mut self, line: &Line, text: &[u8], column: Option<usize>, diagnostic: Diagnostic) {
        if self.options.replies {
            let error = format!("line {}: {}", line.number, diagnostic.message);
            shown::write_unanswered(line.record, &error, &mut self.replies);
        }
        self.problems.push(Problem {
            line: line.number,
            column,
            excerpt: excerpt(text),
            diagnostic,
        });
    }
}

/// How much of a line is shown.
const EXCERPT_BYTES: usize = 200;

fn excerpt(text: &[u8]) -> String {
    let start = text.get(..EXCERPT_BYTES).unwrap_or(text);
    String::from_utf8_lossy(start).trim_end().to_owned()
}

/// What some editors put in front of a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads a line, or says what is wrong with it, and at which byte counted from one.
fn read<'t>(text: &'t [u8], cluster: &Cluster) -> Result<Record<'t>, (Diagnostic, Option<usize>)> {
    if text.len() > MAX_LINE_BYTES {
        let message = format!("a line of more than {MAX_LINE_BYTES} bytes is not read");
        let help = "a record has a few hundred; is the trace one JSON object a line?";
        return Err((
            Diagnostic::new(&codes::RECORD_TOO_LONG, message).help(help),
            None,
        ));
    }
    // A struct could be read from an array too.
    let is_native = text.trim_ascii_start().starts_with(b"{") && !hubble::is_wrapped(text);
    if is_native && let Ok(record) = serde_json::from_slice(text) {
        return Ok(record);
    }
    if hubble::is_flow(text) {
        return hubble::read(text, cluster).map_err(|diagnostic| (diagnostic, None));
    }
    let (diagnostic, at) = fault::of(text);
    Err((diagnostic, Some(at + 1)))
}

impl Counts {
    fn add(&mut self, shown: &Shown<'_>) {
        count(&mut self.by_verdict, shown.verdict as usize, 1);
        match shown.agrees {
            Some(true) => self.agreeing += 1,
            Some(false) => self.disagreeing += 1,
            None => {}
        }
        self.assumed += u64::from(!shown.incomplete.is_empty());
        let egress = shown.egress.map_or(&[][..], |side| &side.policies);
        let ingress = shown.ingress.map_or(&[][..], |side| &side.policies);
        let twice = |policy: &&PolicyId| !egress.contains(policy);
        for policy in egress.iter().chain(ingress.iter().filter(twice)) {
            count(&mut self.by_policy, policy.index(), 1);
        }
    }

    fn append(&mut self, other: Self) {
        self.records += other.records;
        self.agreeing += other.agreeing;
        self.disagreeing += other.disagreeing;
        self.assumed += other.assumed;
        for (index, more) in other.by_verdict.into_iter().enumerate() {
            count(&mut self.by_verdict, index, more);
        }
        for (index, more) in other.by_policy.into_iter().enumerate() {
            count(&mut self.by_policy, index, more);
        }
    }
}

/// What all threads found, in the order of the lines.
#[derive(Default)]
struct Tally {
    counts: Counts,
    outcome: Outcome,
    seen: FxHashMap<Change, usize>,
}

impl Tally {
    /// Takes what a worker found in its share of a batch.
    fn add(&mut self, worker: &mut Worker<'_>, options: Options) {
        worker.replies.clear();
        self.counts.append(std::mem::take(&mut worker.counts));
        for problem in worker.problems.drain(..) {
            if self.outcome.problems.len() < options.max_problems {
                self.outcome.problems.push(problem);
            } else {
                self.outcome.more_problems += 1;
            }
        }
        worker.seen.clear();
        for (change, count) in worker.changes.drain(..) {
            self.change(change, count, options.max_changes);
        }
    }

    fn change(&mut self, change: Change, count: u64, most: usize) {
        let changes = &mut self.outcome.changes;
        if let Some(known) = self
            .seen
            .get(&change)
            .and_then(|index| changes.get_mut(*index))
        {
            known.1 += count;
        } else if changes.len() < most {
            self.seen.insert(change.clone(), changes.len());
            changes.push((change, count));
        } else {
            self.outcome.more_changes += count;
        }
    }

    fn finish(self, context: Context<'_>) -> Outcome {
        let Counts {
            records,
            by_verdict,
            by_policy,
            agreeing,
            disagreeing,
            assumed,
        } = self.counts;
        let by_policy = by_policy.into_iter().zip(&context.policies.policies);
        let by_verdict = Word::ALL.into_iter().zip(by_verdict);
        Outcome {
            records,
            by_verdict: by_verdict.filter(|(_, count)| *count > 0).collect(),
            by_policy: by_policy
                .filter(|(count, _)| *count > 0)
                .map(|(count, policy)| (policy.object.clone(), count))
                .collect(),
            agreeing,
            disagreeing,
            assumed,
            ..self.outcome
        }
    }
}
