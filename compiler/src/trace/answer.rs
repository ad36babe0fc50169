//! From what is asked to its answer: the ends are resolved, and then looked up or judged.

use super::capture::Tuple;
use super::dns;
use super::ends::Question;
use super::memory::{Ahead, Answer, AnswerId, Memory};
use super::names::{Dns, Learnt, Names};
use super::peers::{Facts, Peer, PeerId, Peers};
use super::record::{Port, Record, Word};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use crate::engine::Engine;
use crate::explain::Context;
use crate::frontend::settings::Settings;
use crate::hir::flow::Transport;
use crate::query::Families;
use rustc_hash::FxHashSet;
use std::net::IpAddr;

/// What is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) context: Context<'a>,
    pub(super) engine: &'a Engine<'a>,
    pub(super) families: Families,
    pub(super) settings: &'a Settings,
    pub(super) dns: Dns,
}

/// What is said of a flow from an address to another.
pub(super) struct About {
    /// The answer, where there is one.
    pub(super) answer: Option<(AnswerId, Word)>,
    /// Whether it takes something for granted.
    pub(super) is_assumed: bool,
    /// Whether nobody in the snapshot has the address of the source, of the destination.
    pub(super) outside: [bool; 2],
}

/// Answers records: one thread's share.
pub(super) struct Answers<'a> {
    judge: Judge<'a>,
    peers: Peers<'a>,
    memory: Memory,
    names: Option<Box<Names>>,
    generation: u32,
    /// Room for the flows that will be asked about.
    ahead: (Vec<[PeerId; 2]>, Vec<Ahead>),
}

impl<'a> Answers<'a> {
    pub(super) fn new(judge: Judge<'a>) -> Self {
        let Judge {
            context,
            engine,
            families,
            settings,
            dns,
        } = judge;
        Self {
            judge,
            peers: Peers::new(context.cluster, engine, families),
            memory: Memory::default(),
            names: Names::new(dns, context.cluster, context.policies, settings),
            generation: 0,
            ahead: Default::default(),
        }
    }

    /// The snapshot.
    pub(super) fn cluster(&self) -> &'a Cluster {
        self.judge.context.cluster
    }

    /// What an id stands for changes with this number.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.peers.is_full() || self.memory.is_full()
    }

    /// Forgets all answers.
    pub(super) fn forget(&mut self) {
        self.peers.forget();
        self.begin_anew();
    }

    /// Whether it matters what DNS answers say.
    pub(super) fn wants_names(&self) -> bool {
        self.names.is_some()
    }

    /// Whether an answer of DNS tells what is not known now and what a policy asks for.
    pub(super) fn is_news(&self, answer: &dns::Answer) -> bool {
        let names = self.names.as_ref();
        names.is_some_and(|names| names.is_news(answer))
    }

    /// Whether an answer of DNS in a flow of some time tells what is not known from then on, and there is room for it.
    pub(super) fn would_learn(&self, answer: &dns::Answer, from: u64) -> bool {
        let names = self.names.as_ref();
        names.is_some_and(|names| names.would_learn(answer, from))
    }

    /// Counts what such an answer tells that there is no room for, where it is not taken in.
    pub(super) fn pass_over(&mut self, answer: &dns::Answer) {
        if let Some(names) = &mut self.names {
            names.pass_over(answer);
        }
    }

    /// Takes in an answer of DNS in a packet, whose addresses are known for as long as it says.
    pub(super) fn learn(&mut self, answer: &dns::Answer, now: u64) {
        let names = self.names.as_mut();
        if names.is_some_and(|names| names.learn(answer, now)) {
            self.begin_anew();
        }
    }

    /// Takes in an answer of DNS in a flow of some time, behind records of which the latest is of another; its addresses
    /// are known from a little before then on.
    pub(super) fn learn_for_ever(&mut self, answer: &dns::Answer, from: u64, latest: u64) {
        self.be_at(from);
        let Some(names) = &mut self.names else {
            return;
        };
        names.pass(latest);
        if names.learn_for_ever(answer, from) {
            self.begin_anew();
        }
    }

    /// Goes to the time of a flow: what was told of that time, or of a little later, is known.
    pub(super) fn be_at(&mut self, time: u64) {
        let names = self.names.as_mut();
        if names.is_some_and(|names| !names.go_to(time)) {
            self.show_names(&FxHashSet::default());
        }
    }

    /// Goes to the time of a packet. Whether the same names are known then; else they are to be
    /// [shown](Self::show_names).
    pub(super) fn go_on_to(&mut self, now: u64) -> bool {
        let names = self.names.as_mut();
        names.is_none_or(|names| names.go_on_to(now))
    }

    /// Whether it matters now which addresses connections use.
    pub(super) fn awaits_use(&self) -> bool {
        let names = self.names.as_ref();
        names.is_some_and(|names| names.awaits_use())
    }

    /// Finds the names that are known now, when connections use some addresses.
    pub(super) fn show_names(&mut self, used: &FxHashSet<IpAddr>) {
        let names = self.names.as_mut();
        if names.is_some_and(|names| names.show(used)) {
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        self.memory = Memory::default();
        self.generation = self.generation.wrapping_add(1);
    }

    /// How many addresses the trace told.
    pub(super) fn learnt(&self) -> Learnt {
        let names = self.names.as_ref();
        names.map_or(Learnt::default(), |names| names.counts())
    }

    /// Answers a record; with what the answer takes for granted that the snapshot does not tell.
    pub(super) fn answer(
        &mut self,
        record: &Record<'_>,
    ) -> Result<(Answer<'_>, Vec<&str>), Diagnostic> {
        if self.is_full() {
            self.forget();
        }
        let (id, ends) = self.find(record)?;
        let answer = self.memory.get(id).ok_or_else(|| forgotten("an answer"))?;
        Ok((answer, self.assumed(ends)?))
    }

    fn assumed(&self, ends: [PeerId; 2]) -> Result<Vec<&str>, Diagnostic> {
        let mut assumed = Vec::new();
        for end in ends {
            for one in &known(&self.peers, end)?.assumed {
                if !assumed.contains(&&**one) {
                    assumed.push(&**one);
                }
            }
        }
        Ok(assumed)
    }

    /// What is said of a flow from an address to another. Not to be called where it is
    /// [time to forget](Self::is_full).
    pub(super) fn about(&mut self, (src, dst): (IpAddr, IpAddr), transport: Transport) -> About {
        let ends = self.ends(src, dst);
        let id = self.judged(ends, transport, None).ok();
        let facts = ends.map(|id| self.peers.facts(id));
        let is = |what: fn(&Facts) -> bool| facts.map(|facts| facts.is_some_and(what));
        About {
            answer: id.and_then(|id| Some((id, self.memory.verdict(id)?))),
            is_assumed: is(|facts| facts.is_assumed) != [false; 2],
            outside: is(|facts| facts.is_unknown),
        }
    }

    /// Reads what flows between addresses will be looked up in, one step for all after another. What comes out has no
    /// meaning.
    pub(super) fn warm(&mut self, flows: &[Tuple]) -> u64 {
        let (mut ends, mut ahead) = std::mem::take(&mut self.ahead);
        ends.extend(flows.iter().map(|flow| self.ends(flow.src, flow.dst)));
        let facts = |id: &PeerId| self.peers.facts(*id);
        let flows = flows.iter().zip(&ends);
        ahead.extend(flows.filter_map(|(flow, [src, dst])| {
            Ahead::of(self.judge, [facts(src)?, facts(dst)?], flow)
        }));
        let mut seen = self.memory.warm(&mut ahead);
        for flow in &ahead {
            let [src, dst] = &flow.ends;
            seen ^= self.judge.engine.warm([src, dst], flow.transport);
        }
        ends.clear();
        ahead.clear();
        self.ahead = (ends, ahead);
        seen
    }

    fn ends(&mut self, src: IpAddr, dst: IpAddr) -> [PeerId; 2] {
        [self.peers.at(src), self.peers.at(dst)]
    }

    /// What the answer about two addresses takes for granted.
    pub(super) fn assumed_between(&mut self, (src, dst): (IpAddr, IpAddr)) -> Vec<&str> {
        let ends = self.ends(src, dst);
        self.assumed(ends).unwrap_or_default()
    }

    /// An answer that was given.
    pub(super) fn get(&self, id: AnswerId) -> Option<Answer<'_>> {
        self.memory.get(id)
    }

    /// An answer by its number.
    pub(super) fn get_number(&self, number: usize) -> Option<Answer<'_>> {
        self.memory.get_number(number)
    }

    /// What replies draw on.
    pub(super) fn context(&self) -> Context<'a> {
        self.judge.context
    }

    /// The names of two addresses.
    pub(super) fn names_of(&mut self, ends: (IpAddr, IpAddr)) -> [String; 2] {
        self.told(ends, Peer::name)
    }

    /// The workloads of two addresses.
    pub(super) fn workloads_of(&mut self, ends: (IpAddr, IpAddr)) -> [String; 2] {
        self.told(ends, Peer::workload)
    }

    fn told(
        &mut self,
        (src, dst): (IpAddr, IpAddr),
        of: for<'p> fn(&'p Peer, &Cluster) -> &'p str,
    ) -> [String; 2] {
        let ids = self.ends(src, dst);
        let one = |id: PeerId, address: IpAddr| match self.peers.get(id) {
            Some(Ok(peer)) => of(peer, self.cluster()).to_owned(),
            Some(Err(_)) | None => address.to_canonical().to_string(),
        };
        let [from, to] = ids;
        [one(from, src), one(to, dst)]
    }

    /// The workloads of a record's ends.
    pub(super) fn workloads(&mut self, record: &Record<'_>) -> [Box<str>; 2] {
        let ids = [self.peers.find(&record.src), self.peers.find(&record.dst)];
        ids.map(|id| match self.peers.get(id) {
            Some(Ok(peer)) => peer.workload(self.cluster()).into(),
            Some(Err(_)) | None => Box::default(),
        })
    }

    fn find(&mut self, record: &Record<'_>) -> Result<(AnswerId, [PeerId; 2]), Diagnostic> {
        let protocol = record.protocol().map_err(in_field("protocol"))?;
        let port = record.port(protocol).map_err(in_field("dport"))?;
        let icmp = record.icmp(protocol).map_err(in_field("type"))?;
        let ends = [self.peers.find(&record.src), self.peers.find(&record.dst)];
        let [src, dst] = ends;
        known(&self.peers, src).map_err(in_field("src"))?;
        known(&self.peers, dst).map_err(in_field("dst"))?;
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
        let answer = self.judged(ends, transport, port_name)?;
        Ok((answer, ends))
    }

    fn judged(
        &mut self,
        [src, dst]: [PeerId; 2],
        transport: Transport,
        port_name: Option<&str>,
    ) -> Result<AnswerId, Diagnostic> {
        let names = self.names.as_mut().filter(|names| names.differ);
        let facts = self.peers.facts(src).zip(self.peers.facts(dst));
        let may_be_outside =
            |(from, to): (&Facts, &Facts)| from.may_be_outside || to.may_be_outside;
        let names = names.filter(|_| facts.is_some_and(may_be_outside));
        if port_name.is_none()
            && names.is_none()
            && let Some((from, to)) = facts
            && let Some(answer) = self.memory.between_two(self.judge, from, to, transport)
        {
            return Ok(answer);
        }
        let (from, to) = (known(&self.peers, src)?, known(&self.peers, dst)?);
        let question = Question {
            src,
            dst,
            transport,
            port_name: port_name.map(Into::into),
        };
        let names = names.map(|names| {
            names.resolve();
            &**names
        });
        self.memory
            .between_several(self.judge, (from, to), question, names)
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
