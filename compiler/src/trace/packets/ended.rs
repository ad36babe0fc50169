//! What is told of connections that have ended.

use super::judged::{Answered, transport};
use super::{Outputs, Packets};
use crate::trace::connections::Connection;
use crate::trace::group::{self, ConnectionReport, Counted, Key};
use crate::trace::memory::SideAnswer;
use crate::trace::record::Word;
use crate::trace::{By, ReplyRule, Span, seen};
use std::io;

impl Packets<'_> {
    /// Takes in connections that have ended.
    pub(super) fn end(
        &mut self,
        ended: Vec<Connection>,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        for connection in ended {
            match self.options.by {
                By::Connection => self.tell(&connection, outputs)?,
                By::Workload => self.group(&connection),
                By::Record | By::Policy => {}
            }
        }
        Ok(())
    }

    fn recorded(&self, connection: &Connection) -> Option<Word> {
        match &self.before {
            Some(_) => connection.answer.and_then(|answer| answer.before),
            None => connection.is_answered.then_some(Word::Allow),
        }
    }

    fn tell(&mut self, connection: &Connection, outputs: &mut Outputs<'_, '_>) -> io::Result<()> {
        let verdict = verdict(connection);
        let (recorded, compares) = (self.recorded(connection), self.before.is_some());
        let agrees = verdict.and_then(|verdict| Some(agree(compares, recorded?, verdict)));
        if !self.options.replies || (self.before.is_some() && agrees != Some(false)) {
            return Ok(());
        }
        let ends = &connection.ends;
        let [src, dst] = self.answers.names_of((ends.src, ends.dst));
        let (first, last) = group::times(connection.first, connection.last);
        let report = ConnectionReport {
            connection: connection.number,
            src,
            dst,
            port: seen::port(transport(ends, connection.icmp)),
            sport: ends.protocol.has_ports().then_some(ends.ports.0),
            side: None,
            verdict,
            recorded,
            agrees,
            older: connection.is_older,
            packets: connection.packets.first().copied().unwrap_or(0),
            replies: connection.packets.last().copied().unwrap_or(0),
            bytes: connection.bytes.iter().sum(),
            first,
            last,
            rules: self.rules(connection),
        };
        self.line.clear();
        seen::line(&report, self.options.human, &mut self.line);
        outputs.replies.write_all(&self.line)
    }

    /// The rules of the answer about a connection: those of an answer that was forgotten are not told.
    fn rules(&self, connection: &Connection) -> Vec<ReplyRule> {
        let context = self.answers.context();
        let known = connection.answer;
        let known = known.filter(|answer| {
            let [own, _] = answer.generation;
            own == self.answers.generation()
        });
        let answer = known.and_then(|answer| self.answers.get(answer.id?));
        let sides = answer.map(|answer| [answer.egress, answer.ingress]);
        let ids = sides.into_iter().flatten().flat_map(SideAnswer::rule_ids);
        ids.filter_map(|id| ReplyRule::of(context, id)).collect()
    }

    fn group(&mut self, connection: &Connection) {
        let Some(verdict) = verdict(connection) else {
            return;
        };
        let (recorded, compares) = (self.recorded(connection), self.before.is_some());
        let records: u64 = connection.packets.iter().sum();
        let count = |agrees: bool| match recorded {
            Some(recorded) if agree(compares, recorded, verdict) == agrees => records,
            Some(_) | None => 0,
        };
        if self.before.is_some() && count(false) == 0 {
            return;
        }
        let ends = &connection.ends;
        let [src, dst] = self.answers.workloads_of((ends.src, ends.dst));
        let key = Key {
            src: src.into(),
            dst: dst.into(),
            port: seen::port(transport(ends, connection.icmp)).into(),
            sport: None,
            side: None,
            verdict,
        };
        let counted = Counted {
            records,
            bytes: connection.bytes.iter().sum(),
            agreeing: count(true),
            disagreeing: count(false),
            recorded,
            span: Span(Some((connection.first, connection.last))),
            rules: Vec::new(),
        };
        self.groups.add(key, counted);
    }
}

fn verdict(connection: &Connection) -> Option<Word> {
    let answered = connection.answer.as_ref();
    answered.and_then(|Answered { id, verdict, .. }| id.map(|_| *verdict))
}

/// Whether a verdict is what was recorded. But where policies are compared, a capture proves that a connection passed, and not by
/// what way.
pub(super) fn agree(compares: bool, recorded: Word, verdict: Word) -> bool {
    recorded == verdict || !compares && verdict == Word::Redirect
}
