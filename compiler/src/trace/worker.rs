//! What one thread does with its share of a batch of lines.

use super::answer::{Answers, Judge};
use super::batch::{BYTE_ORDER_MARK, Batch, Line};
use super::changes::Changes;
use super::group::{Counted, Groups, Key};
use super::names::Learnt;
use super::record::Record;
use super::shown::{self, Shown};
use super::tally::{Counts, Tally};
use super::{
    By, MAX_LINE_BYTES, Options, Place, Problem, ReplyRule, Span, dns, fault, gke, hubble, time,
};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use std::io::{self, Write};

/// A thread's share.
pub(super) struct Worker<'a> {
    answers: Answers<'a>,
    /// By the policies that are compared with.
    before: Option<Answers<'a>>,
    options: Options,
    replies: Vec<u8>,
    counts: Counts,
    problems: Vec<Problem>,
    changes: Changes,
    groups: Groups,
}

impl<'a> Worker<'a> {
    pub(super) fn new(judge: Judge<'a>, against: Option<Judge<'a>>, options: Options) -> Self {
        Self {
            answers: Answers::new(judge),
            before: against.map(Answers::new),
            replies: Vec::new(),
            counts: Counts::default(),
            problems: Vec::new(),
            changes: Changes::new(options.max_changes),
            groups: Groups::default(),
            options,
        }
    }

    pub(super) fn wants_names(&self) -> bool {
        self.answers.wants_names() || self.before.as_ref().is_some_and(Answers::wants_names)
    }

    /// Whether an answer of DNS in a flow tells what is not known from its time on, and there is room for it on either side;
    /// where there is none, what it tells is counted.
    pub(super) fn would_learn(&mut self, answer: &dns::Answer, from: u64) -> bool {
        let before = self.before.as_ref();
        let would_learn = self.answers.would_learn(answer, from)
            || before.is_some_and(|one| one.would_learn(answer, from));
        if !would_learn {
            self.answers.pass_over(answer);
        }
        would_learn
    }

    /// Takes in such an answer, behind records of which the latest is of another time.
    pub(super) fn learn(&mut self, answer: &dns::Answer, from: u64, latest: u64) {
        self.answers.learn_for_ever(answer, from, latest);
        if let Some(before) = &mut self.before {
            before.learn_for_ever(answer, from, latest);
        }
    }

    pub(super) fn learnt(&self) -> Learnt {
        self.answers.learnt()
    }

    pub(super) fn work(&mut self, batch: &Batch, lines: &[Line]) {
        for line in lines {
            self.line(line, batch.text(line));
        }
    }

    /// Hands over what came of the lines.
    pub(super) fn tell(
        &mut self,
        trace: usize,
        replies: &mut dyn Write,
        tally: &mut Tally,
        groups: &mut Groups,
    ) -> io::Result<()> {
        replies.write_all(&self.replies)?;
        self.replies.clear();
        tally.add(std::mem::take(&mut self.counts));
        for mut problem in self.problems.drain(..) {
            problem.trace = trace;
            tally.problem(problem);
        }
        tally.changes.append(&mut self.changes);
        groups.append(&mut self.groups);
        Ok(())
    }

    fn line(&mut self, line: &Line, text: &[u8]) {
        let text = match line.number {
            1 => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
            _ => text,
        };
        let (record, count) = match read(text, self.answers.cluster()) {
            Ok(read) => read,
            Err((diagnostic, column)) => {
                self.counts.records += 1;
                return self.problem(line, text, column, diagnostic);
            }
        };
        self.counts.records += count;
        let at = record.time.as_deref().and_then(time::read);
        if let Some(at) = at {
            self.counts.span.add(at);
        }
        if let Err(diagnostic) = self.record(line, &record, count, at) {
            self.problem(line, text, None, diagnostic);
        }
    }

    fn record(
        &mut self,
        line: &Line,
        record: &Record<'_>,
        count: u64,
        at: Option<u64>,
    ) -> Result<(), Diagnostic> {
        let time = at.unwrap_or(UNTOLD);
        self.answers.be_at(time);
        if let Some(before) = &mut self.before {
            before.be_at(time);
        }
        let before = match &mut self.before {
            Some(before) => Some(Shown::verdict(record, before.answer(record)?.0)),
            None => None,
        };
        let workloads = match self.options.by {
            By::Workload => Some(self.answers.workloads(record)),
            By::Record | By::Connection | By::Policy => None,
        };
        let context = self.answers.context();
        let shown = Shown::new(line.record, record, self.answers.answer(record)?, before);
        self.counts.add(&shown, count);
        if let Some(before) = shown.differs_from() {
            let index = shown.note(record, before, &mut self.changes);
            self.changes.count(index, count);
        }
        if before.is_some() && shown.agrees == Some(true) {
            return Ok(());
        }
        let is_connection = match self.options.by {
            By::Record => {
                if self.options.replies && self.options.human {
                    shown.write_text(record, &mut self.replies);
                } else if self.options.replies {
                    shown.write(&mut self.replies);
                }
                return Ok(());
            }
            By::Policy => return Ok(()),
            By::Connection => true,
            By::Workload => false,
        };
        let [src, dst] = workloads.unwrap_or_else(|| [&*record.src, &*record.dst].map(Into::into));
        let protocol = record.protocol()?;
        let key = Key {
            src,
            dst,
            port: shown::port(record, protocol).into(),
            sport: record.sport.filter(|_| is_connection),
            side: record.direction,
            verdict: shown.verdict,
        };
        let counted = Counted {
            records: count,
            bytes: 0,
            agreeing: if shown.agrees == Some(true) { count } else { 0 },
            disagreeing: if shown.agrees == Some(false) {
                count
            } else {
                0
            },
            recorded: before.or(record.recorded),
            span: Span(at.map(|at| (at, at))),
            rules: if is_connection && !self.groups.knows(&key) {
                let ids = shown.rule_ids();
                ids.filter_map(|id| ReplyRule::of(context, id)).collect()
            } else {
                Vec::new()
            },
        };
        self.groups.add(key, counted);
        Ok(())
    }

    fn problem(&mut self, line: &Line, text: &[u8], column: Option<usize>, diagnostic: Diagnostic) {
        if self.options.replies && self.options.by == By::Record && !self.options.human {
            let error = format!("line {}: {}", line.number, diagnostic.message);
            shown::write_unanswered(line.record, &error, &mut self.replies);
        }
        self.problems.push(Problem {
            trace: 0,
            place: Place::Line {
                line: line.number,
                column,
            },
            excerpt: excerpt(text),
            diagnostic,
        });
    }
}

/// In place of the time of a record that does not tell: it knows all that stands in front of it.
const UNTOLD: u64 = u64::MAX - 1;

/// How much of a line is shown.
const EXCERPT_BYTES: usize = 200;

fn excerpt(text: &[u8]) -> String {
    let start = text.get(..EXCERPT_BYTES).unwrap_or(text);
    String::from_utf8_lossy(start).trim_end().to_owned()
}

/// Reads a line, with how many records it stands for; or says what is wrong with it, and at which byte counted from one.
fn read<'t>(
    text: &'t [u8],
    cluster: &Cluster,
) -> Result<(Record<'t>, u64), (Diagnostic, Option<usize>)> {
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
        return Ok((record, 1));
    }
    if hubble::is_flow(text) {
        let record = hubble::read(text, cluster).map_err(|diagnostic| (diagnostic, None))?;
        return Ok((record, 1));
    }
    if gke::is_entry(text) {
        return gke::read(text, cluster).map_err(|diagnostic| (diagnostic, None));
    }
    let (diagnostic, at) = fault::of(text);
    Err((diagnostic, Some(at + 1)))
}
