//! From a record to its answer: what it says is resolved, and then looked up or judged.

use super::ends::Question;
use super::memory::{Answer, AnswerId, Memory};
use super::peers::{Peer, PeerId, Peers};
use super::record::{Port, Record};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use crate::engine::Engine;
use crate::explain::Context;
use crate::hir::flow::Transport;
use crate::query::Families;

/// What is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) context: Context<'a>,
    pub(super) engine: &'a Engine<'a>,
    pub(super) families: Families,
}

/// Answers records: one thread's share.
pub(super) struct Answers<'a> {
    judge: Judge<'a>,
    peers: Peers<'a>,
    memory: Memory,
}

impl<'a> Answers<'a> {
    pub(super) fn new(judge: Judge<'a>) -> Self {
        Self {
            judge,
            peers: Peers::new(judge.context.cluster, judge.engine, judge.families),
            memory: Memory::default(),
        }
    }

    /// The snapshot.
    pub(super) fn cluster(&self) -> &'a Cluster {
        self.judge.context.cluster
    }

    /// Answers a record; with what the answer takes for granted that the snapshot does not tell.
    pub(super) fn answer(
        &mut self,
        record: &Record<'_>,
    ) -> Result<(Answer<'_>, Vec<&str>), Diagnostic> {
        if self.peers.trim() || self.memory.is_full() {
            self.memory = Memory::default();
        }
        let (id, ends) = self.find(record)?;
        let answer = self.memory.get(id).ok_or_else(|| forgotten("an answer"))?;
        let mut assumed = Vec::new();
        for end in ends {
            for one in &known(&self.peers, end)?.assumed {
                if !assumed.contains(&&**one) {
                    assumed.push(&**one);
                }
            }
        }
        Ok((answer, assumed))
    }

    fn find(&mut self, record: &Record<'_>) -> Result<(AnswerId, [PeerId; 2]), Diagnostic> {
        let protocol = record.protocol().map_err(in_field("protocol"))?;
        let port = record.port(protocol).map_err(in_field("dport"))?;
        let icmp = record.icmp(protocol).map_err(in_field("type"))?;
        let (src, dst) = (self.peers.find(&record.src), self.peers.find(&record.dst));
        let from = known(&self.peers, src).map_err(in_field("src"))?;
        let to = known(&self.peers, dst).map_err(in_field("dst"))?;
        let (port, port_name) = match port {
            Port::None => (None, None),
            Port::Number(number) => (Some(number), None),
            Port::Name(name) => (None, Some(name)),
        };
        let transport = Transport {
            protocol,
            port,
            icmp,
        };
        if port_name.is_none()
            && let Some(answer) = self.memory.between_two(self.judge, from, to, transport)
        {
            return Ok((answer, [src, dst]));
        }
        let question = Question {
            src,
            dst,
            transport,
            port_name: port_name.map(Into::into),
        };
        let answer = self
            .memory
            .between_several(self.judge, from, to, question)?;
        Ok((answer, [src, dst]))
    }
}

fn known<'p>(peers: &'p Peers<'_>, id: PeerId) -> Result<&'p Peer, Diagnostic> {
    match peers.get(id) {
        Some(Ok(peer)) => Ok(peer),
        Some(Err(diagnostic)) => Err(diagnostic.clone()),
        None => Err(forgotten("a peer")),
    }
}

pub(super) fn forgotten(what: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::INTERNAL,
        format!("{what} was forgotten while it was needed"),
    )
}

fn in_field(field: &'static str) -> impl Fn(Diagnostic) -> Diagnostic {
    move |diagnostic| match diagnostic.field {
        None => diagnostic.field(field),
        Some(_) => diagnostic,
    }
}
