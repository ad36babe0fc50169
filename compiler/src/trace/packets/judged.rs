//! The answer about a packet: that about its connection.

use super::ended::agree;
use super::{Outputs, Packets, Waiting};
use crate::cluster::Protocol;
use crate::hir::flow::Transport;
use crate::trace::Change;
use crate::trace::answer::Answers;
use crate::trace::capture::{Carried, Tuple};
use crate::trace::connections::{Connection, Place, Sought, State};
use crate::trace::memory::AnswerId;
use crate::trace::record::Word;
use crate::trace::seen::{self, Seen};
use rustc_hash::FxHashSet;
use std::io;
use std::net::IpAddr;

/// How many addresses outside are told apart.
const MAX_OUTSIDE: usize = 1 << 16;

/// What is known of the answer about a connection.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Answered {
    /// When it was asked: what was remembered then may be forgotten, and names may have other addresses.
    pub(in super::super) generation: [u32; 2],
    /// The answer, where there is one.
    pub(in super::super) id: Option<AnswerId>,
    pub(in super::super) verdict: Word,
    /// The verdict of the policies that are compared with.
    pub(in super::super) before: Option<Word>,
    /// Whether the answer takes something for granted.
    assumed: bool,
    change: Noted,
}

/// Where the disagreement of a connection is noted: its place on the list of changes, or why it has none. As small as can be,
/// since each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Noted(u32);

impl Noted {
    /// It was not looked for.
    const NOT_YET: Self = Self(u32::MAX);
    /// On no list: that is full.
    const NOWHERE: Self = Self(u32::MAX - 1);

    fn at(place: Option<usize>) -> Self {
        place.map_or(Self::NOWHERE, |place| Self(crate::source::to_u32(place)))
    }

    fn place(self) -> Option<usize> {
        (self.0 < Self::NOWHERE.0).then_some(self.0 as usize)
    }
}

/// A packet with the answer about its connection.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    pub(super) state: State,
    pub(super) verdict: Word,
    pub(super) recorded: Option<Word>,
    pub(super) agrees: Option<bool>,
    id: AnswerId,
    /// The connection.
    place: Place,
}

/// What a connection carries.
pub(super) fn transport(ends: &Tuple, icmp: Option<(u8, u8)>) -> Transport {
    let protocol = ends.protocol;
    Transport {
        protocol,
        port: protocol.has_ports().then_some(ends.ports.1),
        icmp: icmp.filter(|_| matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)),
    }
}

impl Packets<'_> {
    /// The answer about a packet; `None` where there is none.
    pub(super) fn judge(
        &mut self,
        sought: Sought,
        ends: &Tuple,
        carried: &Carried<'_>,
        (now, length): (u64, u32),
    ) -> Option<Judged> {
        let about = match carried {
            Carried::Error { about, .. } => about.as_ref(),
            Carried::Tcp(..)
            | Carried::Udp(_)
            | Carried::Sctp(_)
            | Carried::Icmp { .. }
            | Carried::Other
            | Carried::LaterFragment => None,
        };
        // Whoever gets the error has sent what it is about.
        let about = about.filter(|about| about.src == ends.dst);
        let about = about.and_then(|about| self.connections.related(about, now));
        let (state, place) = match about {
            Some(about) => (State::Related, about),
            None => self.connections.follow(sought, ends, carried, now)?,
        };
        let connection = self.connections.get_mut(place)?;
        if connection.packets == [0, 0] {
            self.older += u64::from(connection.is_older);
            if let Carried::Tcp(tcp, _) = carried {
                let cluster = self.answers.cluster();
                self.translations.see(cluster, ends, *tcp, now);
            }
        }
        if state != State::Related {
            connection.count(state == State::Reply, length);
        }
        let generation = generation(&self.answers, self.before.as_ref());
        let answered = match connection.answer {
            Some(known) if known.generation == generation => known,
            last => {
                let (answers, before) = (&mut self.answers, self.before.as_mut());
                let answered = ask(answers, before, connection, last, &mut self.outside);
                connection.answer = Some(answered);
                answered
            }
        };
        let id = answered.id?;
        let recorded = if self.before.is_some() {
            answered.before
        } else {
            connection.is_answered.then_some(Word::Allow)
        };
        let verdict = answered.verdict;
        let agrees = recorded.map(|recorded| agree(self.before.is_some(), recorded, verdict));
        match (agrees, recorded) {
            (Some(true), _) => self.counts.agreeing += 1,
            (Some(false), Some(recorded)) => {
                self.counts.disagreeing += 1;
                let mut noted = answered.change;
                if noted == Noted::NOT_YET {
                    let (ends, icmp) = (connection.ends, connection.icmp);
                    let parts = (ends.src, ends.dst, transport(&ends, icmp));
                    let at = self.changes.find_made_of((parts, recorded, verdict), || {
                        change(&mut self.answers, connection, recorded, verdict)
                    });
                    noted = Noted::at(at);
                }
                self.changes.count(noted.place(), 1);
                if let Some(answered) = &mut connection.answer {
                    answered.change = noted;
                }
            }
            (Some(false) | None, _) => {}
        }
        let judged = Judged {
            state,
            verdict,
            recorded,
            agrees,
            id,
            place,
        };
        self.counts.assumed += u64::from(answered.assumed);
        self.hit(id);
        Some(judged)
    }

    fn hit(&mut self, id: AnswerId) {
        let index = id.index();
        if index >= self.hits.len() {
            self.hits.resize(index + 1, 0);
        }
        if let Some(hits) = self.hits.get_mut(index) {
            *hits += 1;
        }
    }

    /// Looks for the connections of packets, and reads what the ends of new ones will be looked up in, one step for all
    /// after another: memory answers many questions in the time of one.
    pub(super) fn warm(&mut self, waiting: &mut [Waiting]) {
        let mut opening = std::mem::take(&mut self.opening);
        for one in &mut *waiting {
            let packet = one.packet.as_ref().ok();
            one.sought = packet.map(|packet| self.connections.guess(&packet.ends));
        }
        let mut seen = 0;
        for one in waiting {
            let (Ok(packet), Some(sought)) = (&one.packet, &one.sought) else {
                continue;
            };
            seen ^= self.connections.touch(sought);
            if !sought.may_be_known() {
                opening.push(packet.ends);
            }
        }
        seen ^= self.answers.warm(&opening);
        std::hint::black_box(seen);
        opening.clear();
        self.opening = opening;
    }

    /// Forgets answers where it is time to. Within a block of packets none are forgotten.
    pub(super) fn make_room(&mut self) {
        if self.answers.is_full() || self.before.as_ref().is_some_and(Answers::is_full) {
            self.fold();
            self.answers.forget();
            if let Some(before) = &mut self.before {
                before.forget();
            }
        }
    }

    /// Writes the reply to a packet.
    pub(super) fn reply(
        &mut self,
        record: u64,
        time: u64,
        judged: &Judged,
        outputs: &mut Outputs<'_, '_>,
    ) -> io::Result<()> {
        if self.before.is_some() && judged.agrees == Some(true) {
            return Ok(());
        }
        let Some(connection) = self.connections.get(judged.place) else {
            return Ok(());
        };
        let ends = connection.ends;
        let pair = (ends.src, ends.dst);
        let [src, dst] = self.answers.names_of(pair);
        let seen = Seen {
            record,
            time,
            src,
            dst,
            port: seen::port(transport(&ends, connection.icmp)),
            state: judged.state.as_str(),
            older: connection.is_older,
        };
        let incomplete: Vec<String> = self
            .answers
            .assumed_between(pair)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let Some(answer) = self.answers.get(judged.id) else {
            return Ok(());
        };
        self.line.clear();
        let said = (judged.recorded, judged.agrees);
        seen::reply(
            &seen,
            answer,
            said,
            &incomplete,
            self.options.human,
            &mut self.line,
        );
        outputs.replies.write_all(&self.line)
    }
}

/// Asks about a connection, and notes which of its addresses are outside.
fn ask(
    answers: &mut Answers<'_>,
    before: Option<&mut Answers<'_>>,
    connection: &Connection,
    last: Option<Answered>,
    outside: &mut FxHashSet<IpAddr>,
) -> Answered {
    let transport = transport(&connection.ends, connection.icmp);
    let pair = (connection.ends.src, connection.ends.dst);
    let found = answers.about(pair, transport);
    for (address, is_outside) in [pair.0, pair.1].into_iter().zip(found.outside) {
        if is_outside && outside.len() < MAX_OUTSIDE {
            outside.insert(address);
        }
    }
    let verdict = found.answer.map(|(_, verdict)| verdict);
    let generation = generation(answers, before.as_deref());
    let before = before.and_then(|before| before.about(pair, transport).answer);
    let before = before.map(|(_, verdict)| verdict);
    Answered {
        generation,
        id: found.answer.map(|(id, _)| id),
        verdict: verdict.unwrap_or(Word::Depends),
        before,
        assumed: found.is_assumed,
        change: match last {
            Some(last) if verdict == Some(last.verdict) && before == last.before => last.change,
            Some(_) | None => Noted::NOT_YET,
        },
    }
}

/// Which answers hold now, and which of the other side.
fn generation(answers: &Answers<'_>, before: Option<&Answers<'_>>) -> [u32; 2] {
    [answers.generation(), before.map_or(0, Answers::generation)]
}

fn change(answers: &mut Answers<'_>, connection: &Connection, before: Word, after: Word) -> Change {
    let [src, dst] = answers.names_of((connection.ends.src, connection.ends.dst));
    Change {
        src,
        dst,
        port: seen::port(transport(&connection.ends, connection.icmp)),
        side: None,
        before,
        after,
    }
}
