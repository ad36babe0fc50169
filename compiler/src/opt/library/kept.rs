//! The tables of some chains as words, to be kept for another compile, and back; and the tables of two libraries together.
//!
//! Words are read without trust: what comes back is looked up without reading out of bounds, or it does not come back. Who decides
//! is told in the words of the caller, since numbers of policies and rules are those of one compile.

use super::{Library, Tabulated, at, merged};
use crate::kept::{Words, write_list};
use crate::lir::{Action, ClassId, Decision, Origin, PortClassId, number};
use crate::opt::sets::intern;
use rustc_hash::FxHashMap;

/// Who decides, as it is kept.
pub(crate) type Told = [u32; 3];

/// What a decision does, as it is kept; none of what no rule does where rules are resolved by isolation.
fn action_word(action: Action) -> Option<u32> {
    match action {
        Action::Deny => Some(0),
        Action::Allow => Some(1),
        Action::Pass | Action::Audit | Action::Redirect(_) | Action::Prove(_, _) => None,
    }
}

impl Library {
    /// Adds the tables of some chains to some words. False where something in them cannot be kept.
    pub(crate) fn write(
        &self,
        words: &mut Vec<u32>,
        chains: &[u32],
        tell: impl Fn(Origin) -> Option<Told>,
    ) -> bool {
        write_list(words, self.leaves.iter().map(|class| class.0));
        let transports = self.transports.iter();
        let transports = transports.flat_map(|(start, class)| [*start, class.0]);
        let transports: Vec<u32> = transports.collect();
        words.extend([self.classes, self.port_classes]);
        write_list(words, transports.into_iter());
        words.push(number(self.decisions.len()));
        for decision in &self.decisions {
            let Decision {
                action,
                depends,
                origin,
            } = *decision;
            let Some((action, told)) = action_word(action).zip(tell(origin)) else {
                return false;
            };
            words.extend([action, depends.into()]);
            words.extend(told);
        }
        // Rows that only other chains have are left out.
        let (mut new, mut rows) = (FxHashMap::default(), Vec::new());
        let mut used = |row: &u32| intern(&mut new, &mut rows, *row);
        let chains: Vec<_> = chains
            .iter()
            .filter_map(|chain| self.chain(*chain))
            .map(|chain| {
                let own: [Vec<u32>; 2] =
                    [&chain.rows, &chain.own].map(|rows| rows.iter().map(&mut used).collect());
                (chain, own)
            })
            .collect();
        words.push(number(rows.len()));
        for row in rows {
            write_list(words, self.row(row).unwrap_or_default().iter().copied());
        }
        words.push(number(chains.len()));
        for (chain, rows) in chains {
            for list in rows {
                write_list(words, list.into_iter());
            }
            words.push(chain.port_classes);
            for list in [&chain.remotes, &chain.ports] {
                write_list(words, list.iter().copied());
            }
        }
        true
    }

    /// The tables of the chains that are live, of so many leaves; for each chain its number, if it is there. None where the words are
    /// no tables. `who` is told who decides, and knows nobody that no live chain names.
    pub(crate) fn read(
        words: &mut Words<'_>,
        leaves: usize,
        live: &[bool],
        who: impl Fn(Told) -> Option<Origin>,
    ) -> Option<(Self, Vec<Option<u32>>)> {
        let own = words.list().filter(|own| own.len() == leaves)?;
        let (classes, port_classes) = (words.one()?, words.one()?);
        let (pairs, rest) = words.list()?.as_chunks::<2>();
        let transports: Vec<(u32, PortClassId)> = pairs
            .iter()
            .map(|pair| (pair[0], PortClassId(pair[1])))
            .collect();
        let is_whole = rest.is_empty()
            && own.iter().all(|class| *class < classes)
            && transports.iter().all(|(_, class)| class.0 < port_classes)
            && transports.first().is_some_and(|(start, _)| *start == 0)
            && transports.is_sorted_by(|(one, _), (other, _)| one < other);
        if !is_whole {
            return None;
        }
        let count = words.one()?;
        let mut decisions: Vec<Option<Decision>> = Vec::new();
        for _ in 0..count {
            let [action, depends, told @ ..] = *words.some(5)?.first_chunk::<5>()?;
            // What hangs on something that is not known is denied.
            let (action, depends) = match (action, depends) {
                (0, 0) => (Action::Deny, false),
                (0, 1) => (Action::Deny, true),
                (1, 0) => (Action::Allow, false),
                _ => return None,
            };
            decisions.push(who(told).map(|origin| Decision {
                action,
                depends,
                origin,
            }));
        }
        let count = words.one()?;
        let mut rows: Vec<(Box<[u32]>, bool)> = Vec::new();
        for _ in 0..count {
            let row = words.below(number(decisions.len()))?;
            if row.len() != port_classes as usize {
                return None;
            }
            let mut named = row.iter().map(|of| decisions.get(*of as usize));
            let is_known = named.all(|decision| decision.is_some_and(Option::is_some));
            rows.push((row.into(), is_known));
        }
        let is_known = |row: &u32| rows.get(*row as usize).is_some_and(|(_, known)| *known);
        let (mut chains, mut numbers) = (Vec::new(), Vec::new());
        if words.one()? as usize != live.len() {
            return None;
        }
        for is_live in live {
            let (of_rows, own) = (words.below(count)?, words.below(count)?);
            // A table tells no more packets apart than all of them together: what is forged must not ask for more memory.
            let of_ports = words.one().filter(|count| *count <= port_classes)?;
            let remotes = words.below(number(of_rows.len()))?;
            let ports = words.below(of_ports)?;
            let is_whole = own.len() == of_rows.len()
                && remotes.len() == classes as usize
                && ports.len() == port_classes as usize;
            if !is_whole {
                return None;
            }
            if !is_live {
                numbers.push(None);
                continue;
            }
            // Who decides in a table that is still asked for is there.
            if !of_rows.iter().chain(own).all(is_known) {
                return None;
            }
            numbers.push(Some(number(chains.len())));
            chains.push(Tabulated {
                remotes: remotes.into(),
                ports: ports.into(),
                port_classes: of_ports,
                rows: of_rows.into(),
                own: own.into(),
            });
        }
        let library = Self {
            leaves: own.iter().copied().map(ClassId).collect(),
            classes,
            transports,
            port_classes,
            chains,
            rows: rows.into_iter().map(|(row, _)| row).collect(),
            // Those that are gone stand in rows of chains that are gone.
            decisions: decisions
                .into_iter()
                .map(|decision| decision.unwrap_or(Decision::CLOSED))
                .collect(),
            endpoints: FxHashMap::default(),
        };
        Some((library, numbers))
    }

    /// These tables and others of the same leaves together: the chains of the others stand behind.
    pub(crate) fn and(self, other: Self) -> Self {
        if other.chains.is_empty() {
            return self;
        }
        let pairs = self.leaves.iter().zip(&other.leaves);
        let (leaves, classes) = merged(pairs.map(|(one, other)| (one.0, other.0)));
        let (transports, ports) = transports_of_both(&self.transports, &other.transports);
        let (mut codes, mut decisions) = (FxHashMap::default(), Vec::new());
        let (mut numbers, mut rows) = (FxHashMap::default(), Vec::new());
        let mut chains = Vec::with_capacity(self.chains.len() + other.chains.len());
        for (library, is_first) in [(self, true), (other, false)] {
            let side = |(one, other): &(u32, u32)| if is_first { *one } else { *other };
            let of_class: Vec<u32> = classes.iter().map(side).collect();
            let of_port: Vec<u32> = ports.iter().map(side).collect();
            let mut known: FxHashMap<u32, u32> = FxHashMap::default();
            let mut row = |row: u32| {
                *known.entry(row).or_insert_with(|| {
                    let told = library.row(row).unwrap_or_default();
                    let told = of_port.iter().map(|port| {
                        let decision = library.decisions.get(at(told, *port) as usize);
                        let decision = decision.copied().unwrap_or(Decision::CLOSED);
                        intern(&mut codes, &mut decisions, decision)
                    });
                    let told: Box<[u32]> = told.collect();
                    intern(&mut numbers, &mut rows, told)
                })
            };
            for chain in &library.chains {
                let through =
                    |of: &[u32], list: &[u32]| of.iter().map(|old| at(list, *old)).collect();
                chains.push(Tabulated {
                    remotes: through(&of_class, &chain.remotes),
                    ports: through(&of_port, &chain.ports),
                    port_classes: chain.port_classes,
                    rows: chain.rows.iter().map(|own| row(*own)).collect(),
                    own: chain.own.iter().map(|own| row(*own)).collect(),
                });
            }
        }
        Self {
            leaves: leaves.into_iter().map(ClassId).collect(),
            classes: number(classes.len()),
            transports,
            port_classes: number(ports.len()),
            chains,
            rows,
            decisions,
            endpoints: FxHashMap::default(),
        }
    }
}

/// The first key of a run, and its class.
type Run = (u32, PortClassId);

/// Keys by the classes of two lists of runs, with the classes of both by new class.
fn transports_of_both(one: &[Run], other: &[Run]) -> (Vec<Run>, Vec<(u32, u32)>) {
    let mut starts: Vec<u32> = one.iter().chain(other).map(|(start, _)| *start).collect();
    starts.sort_unstable();
    starts.dedup();
    let class = |runs: &[Run], start: u32| {
        let after = runs.partition_point(|(first, _)| *first <= start);
        let run = after.checked_sub(1).and_then(|run| runs.get(run));
        run.map_or(0, |(_, class)| class.0)
    };
    let both = |start: &u32| (class(one, *start), class(other, *start));
    let (numbers, classes) = merged(starts.iter().map(both));
    let runs = starts.into_iter().zip(numbers.into_iter().map(PortClassId));
    (runs.collect(), classes)
}
