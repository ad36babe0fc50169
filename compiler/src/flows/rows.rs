//! What the chains of a program say of every class of ends, and of the outside.
//!
//! A row is one chain with the named ports of its subjects; it has one answer for most ends, and others for
//! the ends that some rule names.

use super::answer::{Answer, AnswerId, Answers};
use super::ends::{ChainId, End, EndId, EndKind, Ends};
use super::side::{NamedPorts, Side};
use crate::cluster::{Cluster, PortsId};
use crate::hir::flow::{Address, Endpoint, EndpointKind};
use crate::hir::spec::Truth;
use crate::hir::{Direction, PerDirection};
use crate::ir::kinds::From;
use crate::ir::{BlockFamilies, Chain, ClassId, KindId, Other, Peers, PeersId, Program, Rule};
use crate::query::{self, Family};
use crate::source::to_u32;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The answers of one chain.
#[derive(Debug)]
pub(super) struct Row {
    /// For the ends that are not in `others`.
    default: AnswerId,
    others: FxHashMap<EndId, AnswerId>,
    /// For ends on the network of the subject's own node.
    own_node: FxHashMap<EndId, AnswerId>,
    /// For the outside: runs of addresses, in order, without gaps.
    pub(super) outside: Vec<(IpAddr, IpAddr, AnswerId)>,
}

impl Row {
    pub(super) fn answer(&self, other: EndId, own_node: bool) -> AnswerId {
        let exempt = own_node.then(|| self.own_node.get(&other)).flatten();
        let known = exempt.or_else(|| self.others.get(&other));
        known.copied().unwrap_or(self.default)
    }
}

/// The rows of all ends.
#[derive(Debug)]
pub(super) struct Rows {
    list: Vec<Row>,
    /// By [`EndId`], direction and family; `None` for ends that no policy governs.
    of_end: Vec<Option<PerDirection<[u32; 2]>>>,
}

impl Rows {
    pub(super) fn new(
        cluster: &Cluster,
        program: &Program,
        ends: &Ends<'_>,
        answers: &mut Answers,
    ) -> Self {
        let context = Context::new(cluster, program, ends);
        let mut wanted = Wanted::default();
        let of_end = ends
            .iter()
            .map(|(_, end)| {
                let (ports, placed) = match end.kind {
                    EndKind::Pod { ports, placed, .. } => (Some(ports), placed),
                    EndKind::Node { node, .. } => (None, node.is_some()),
                };
                let mut rows = |direction| {
                    let chains = end.chains_of(direction)?;
                    Some(wanted.rows(ends, chains, direction, ports, placed))
                };
                Some(PerDirection {
                    ingress: rows(Direction::Ingress)?,
                    egress: rows(Direction::Egress)?,
                })
            })
            .collect();
        let raw: Vec<RawRow> = wanted
            .list
            .par_iter()
            .map(|key| context.row(*key))
            .collect();
        let list = raw.into_iter().map(|raw| raw.interned(answers)).collect();
        Self { list, of_end }
    }

    /// The row of an end; `None` where no policy governs it.
    pub(super) fn of(&self, end: EndId, direction: Direction, family: Family) -> Option<&Row> {
        let rows = self.of_end.get(end.0 as usize)?.as_ref()?;
        let [v4, v6] = rows.get(direction);
        let row = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        self.list.get(*row as usize)
    }
}

/// What makes a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RowKey {
    chain: ChainId,
    direction: Direction,
    /// The subject's named ports, where it is a pod and the direction is that in which they are asked for.
    ports: Option<PortsId>,
    /// The family, where a rule looks at addresses.
    family: Option<Family>,
    /// Whether it is known which node is the subject's own.
    placed: bool,
}

/// The rows that ends ask for.
#[derive(Default)]
struct Wanted {
    list: Vec<RowKey>,
    ids: FxHashMap<RowKey, u32>,
}

impl Wanted {
    fn rows(
        &mut self,
        ends: &Ends<'_>,
        chains: [ChainId; 2],
        direction: Direction,
        ports: Option<PortsId>,
        placed: bool,
    ) -> [u32; 2] {
        let [v4, v6] = chains;
        [(v4, Family::V4), (v6, Family::V6)].map(|(chain, family)| {
            let sees = ends.chains(chain).iter().any(|chain| chain.sees_addresses);
            let key = RowKey {
                chain,
                direction,
                ports: ports.filter(|_| direction == Direction::Ingress),
                family: sees.then_some(family),
                placed,
            };
            let list = &mut self.list;
            *self.ids.entry(key).or_insert_with(|| {
                list.push(key);
                to_u32(list.len() - 1)
            })
        })
    }
}

/// A row before its answers are numbered.
struct RawRow {
    answers: Vec<Answer>,
    default: usize,
    others: Vec<(EndId, usize)>,
    own_node: Vec<(EndId, usize)>,
    outside: Vec<(IpAddr, IpAddr, usize)>,
}

impl RawRow {
    fn interned(self, answers: &mut Answers) -> Row {
        let ids: Vec<AnswerId> = self
            .answers
            .into_iter()
            .map(|one| answers.id(one))
            .collect();
        let id = |index: usize| ids.get(index).copied().unwrap_or(AnswerId::NOTHING);
        let of_ends = |list: Vec<(EndId, usize)>| {
            let numbered = list.into_iter().map(|(end, index)| (end, id(index)));
            numbered.collect()
        };
        let mut outside: Vec<(IpAddr, IpAddr, AnswerId)> = Vec::new();
        for (first, last, index) in self.outside {
            match outside.last_mut() {
                Some(run) if run.2 == id(index) && run.0.is_ipv4() == first.is_ipv4() => {
                    run.1 = last;
                }
                Some(_) | None => outside.push((first, last, id(index))),
            }
        }
        Row {
            default: id(self.default),
            others: of_ends(self.others),
            own_node: of_ends(self.own_node),
            outside,
        }
    }
}

/// Which peers, by the index of their rule, match an end: those that do not are left out.
pub(super) type Signature = Vec<(u32, Truth)>;

/// What is needed to make rows.
struct Context<'a> {
    cluster: &'a Cluster,
    program: &'a Program,
    ends: &'a Ends<'a>,
    /// The ends that match, as pods see them that are not on their node.
    touched: Touched,
    /// The same, as pods see them that are; none where that makes no difference.
    touched_here: Option<Touched>,
}

/// The ends that lists of peers match.
struct Touched {
    /// By [`PeersId`] and family, with which of the things that the end may be.
    ends: Vec<[Vec<(Alternative, Truth)>; 2]>,
    /// By family and [`EndId`]: how many things an end may be; none where each is one.
    alternatives: [Vec<u32>; 2],
}

/// One of the things that an end may be, by number.
type Alternative = (EndId, u32);

impl Touched {
    fn alternatives(&self, family: usize, end: EndId) -> u32 {
        let counts = self.alternatives.get(family);
        let count = counts.and_then(|counts| counts.get(end.0 as usize));
        count.copied().unwrap_or(1)
    }
}

impl<'a> Context<'a> {
    fn new(cluster: &'a Cluster, program: &'a Program, ends: &'a Ends<'a>) -> Self {
        if program.kinds.is_some() {
            let of = |here| touched_by_kind(cluster, program, ends, here);
            return Self {
                cluster,
                program,
                ends,
                touched: of(false),
                touched_here: Some(of(true)),
            };
        }
        let peers = program.peers.par_iter();
        let touched = Touched {
            ends: peers
                .map(|peers| touched(cluster, program, ends, peers))
                .collect(),
            alternatives: Default::default(),
        };
        Self {
            cluster,
            program,
            ends,
            touched,
            touched_here: None,
        }
    }

    fn row(&self, key: RowKey) -> RawRow {
        let mut row = Making {
            context: self,
            key,
            chains: self.ends.chains(key.chain),
            known: FxHashMap::default(),
            pairs: FxHashMap::default(),
            answers: Vec::new(),
        };
        let seen = Signatures::of(&row, &self.touched);
        let here = self.touched_here.as_ref();
        let here = here.map(|touched| Signatures::of(&row, touched));
        let default = row.answer(Vec::new(), NamedPorts::None, false);
        let names = key.direction == Direction::Egress
            && row
                .chains
                .iter()
                .any(|chain| asks_for_names(self.program, chain));
        let mut others = Vec::new();
        let mut own_node = Vec::new();
        for (end, one) in self.ends.iter() {
            let is_node = matches!(one.kind, EndKind::Node { .. });
            if !seen.touches(end) && !names && !is_node {
                continue;
            }
            let named = if names {
                one.named(self.cluster, self.program)
            } else {
                NamedPorts::None
            };
            if !is_node {
                others.push((end, row.answer_of(&seen, end, named, false)));
                continue;
            }
            let own = row.answer_of(here.as_ref().unwrap_or(&seen), end, named, true);
            own_node.push((end, own));
            let other = row.answer_of(&seen, end, named, false);
            let is_known = key.placed && !matches!(one.kind, EndKind::Node { node: None, .. });
            let is_known = is_known || self.program.kinds.is_none();
            let other = if is_known {
                other
            } else {
                row.agreed(own, other)
            };
            others.push((end, other));
        }
        let outside = row.outside();
        RawRow {
            answers: row.answers,
            default,
            others,
            own_node,
            outside,
        }
    }
}

/// The ends that rules of a row's chains name.
struct Signatures<'t> {
    touched: &'t Touched,
    family: usize,
    of: FxHashMap<Alternative, Signature>,
}

impl<'t> Signatures<'t> {
    fn of(row: &Making<'_>, touched: &'t Touched) -> Self {
        let family = match row.key.family {
            Some(Family::V4) | None => 0,
            Some(Family::V6) => 1,
        };
        let mut of: FxHashMap<Alternative, Signature> = FxHashMap::default();
        for (index, _, peers) in row.rules() {
            let ends = touched.ends.get(peers.index());
            let ends = ends.and_then(|families| families.get(family));
            for (end, truth) in ends.into_iter().flatten() {
                of.entry(*end).or_default().push((index, *truth));
            }
        }
        Self {
            touched,
            family,
            of,
        }
    }

    fn alternatives(&self, end: EndId) -> impl Iterator<Item = Alternative> + use<> {
        (0..self.touched.alternatives(self.family, end)).map(move |one| (end, one))
    }

    /// Whether rules name an end, whatever it is.
    fn touches(&self, end: EndId) -> bool {
        let mut alternatives = self.alternatives(end);
        alternatives.any(|one| self.of.contains_key(&one))
    }
}

/// A row that is being made.
struct Making<'a> {
    context: &'a Context<'a>,
    key: RowKey,
    /// One, but where it is open which governs.
    chains: &'a [&'a Chain],
    known: FxHashMap<(Signature, NamedPorts<'a>, bool), usize>,
    /// What answers make together.
    pairs: FxHashMap<(usize, usize), usize>,
    answers: Vec<Answer>,
}

impl<'a> Making<'a> {
    /// The rules that the chains ask, as [`rules_of`] gives them.
    fn rules(&self) -> impl Iterator<Item = (u32, &'a Rule, PeersId)> + use<'a> {
        let program = self.context.program;
        let mut rules: Vec<_> = self
            .chains
            .iter()
            .flat_map(|chain| rules_of(program, chain))
            .collect();
        if self.chains.len() > 1 {
            rules.sort_unstable_by_key(|(index, ..)| *index);
            rules.dedup_by_key(|(index, ..)| *index);
        }
        rules.into_iter()
    }

    /// The number of the answer for an end: what that is for all that it may be.
    fn answer_of(
        &mut self,
        seen: &Signatures<'_>,
        end: EndId,
        named: NamedPorts<'a>,
        own_node: bool,
    ) -> usize {
        let mut all = None;
        for alternative in seen.alternatives(end) {
            let signature = seen.of.get(&alternative).cloned().unwrap_or_default();
            let one = self.answer(signature, named, own_node);
            all = Some(all.map_or(one, |all| self.agreed(all, one)));
        }
        all.unwrap_or_else(|| self.answer(Vec::new(), named, own_node))
    }

    /// The number of the answer for an end with a signature.
    fn answer(&mut self, mut signature: Signature, named: NamedPorts<'a>, own_node: bool) -> usize {
        signature.sort_unstable();
        let named = match self.key.ports {
            Some(ports) => NamedPorts::of(self.context.program, self.context.cluster.ports(ports)),
            None => named,
        };
        let key = (signature, named, own_node);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let side = Side {
            program: self.context.program,
            named,
            peers: |rule: u32| {
                let found = key.0.binary_search_by_key(&rule, |(index, _)| *index);
                let found = found.ok().and_then(|at| key.0.get(at));
                found.map_or(Truth::No, |(_, truth)| *truth)
            },
        };
        let said = self.chains.iter();
        let said = said.map(|chain| side.tiers(chain, own_node));
        let answer = said.reduce(|one, other| one.agreed(&other));
        self.answers.push(answer.unwrap_or_else(Answer::all));
        let index = self.answers.len() - 1;
        self.known.insert(key, index);
        index
    }

    /// The number of the answer that two answers make together.
    fn agreed(&mut self, one: usize, other: usize) -> usize {
        if let Some(known) = self.pairs.get(&(one, other)) {
            return *known;
        }
        let pair = self.answers.get(one).zip(self.answers.get(other));
        let both = pair.filter(|_| one != other).map(|(a, b)| a.agreed(b));
        let Some(both) = both else { return one };
        self.answers.push(both);
        let index = self.answers.len() - 1;
        self.pairs.insert((one, other), index);
        index
    }

    /// The answers for the outside, by runs of addresses.
    fn outside(&mut self) -> Vec<(IpAddr, IpAddr, usize)> {
        let addresses = &self.context.program.addresses;
        let (v4, v6) = (to_u32(addresses.v4.len()), to_u32(addresses.v6.len()));
        let mut runs = Vec::new();
        for (family, first, end) in [(Family::V4, 0, v4), (Family::V6, v4, v4 + v6)] {
            if self.key.family.is_some_and(|own| own != family) {
                continue;
            }
            let mut starts = self.cuts(first, end);
            starts.push(end);
            for pair in starts.windows(2) {
                let &[from, to] = pair else { continue };
                let bounds = bounds(self.context.program, family, from - first, to - first);
                let is_node = self.context.program.is_of_node(ClassId(from));
                let before = runs.last_mut().filter(|(start, ..): &&mut (IpAddr, _, _)| {
                    start.is_ipv4() == bounds.0.is_ipv4()
                });
                // The address of a node is not outside: it stands with those in front of it.
                if let Some(before) = before.filter(|_| is_node) {
                    before.1 = bounds.1;
                    continue;
                }
                let index = self.answer_outside(bounds.0);
                runs.push((bounds.0, bounds.1, index));
            }
        }
        runs
    }

    /// Where, among classes of addresses from `first` to `end`, something changes for a rule.
    fn cuts(&self, first: u32, end: u32) -> Vec<u32> {
        let program = self.context.program;
        let mut cuts = vec![first];
        for (_, _, peers) in self.rules() {
            let Some(peers) = program.peers.get(peers.index()) else {
                continue;
            };
            for (from, to) in peers.blocks.iter().chain(peers.answers.iter()) {
                cuts.extend([from, to + 1]);
            }
        }
        if program.kinds.is_some() {
            cuts.extend(first..end);
        }
        cuts.retain(|cut| (first..end).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    fn answer_outside(&mut self, address: IpAddr) -> usize {
        let end = Endpoint {
            kind: EndpointKind::Outside,
            address: Address::Known(address),
            by_service: false,
        };
        let program = self.context.program;
        // What is outside at an address is one thing.
        let others = program.others(&end, From::Elsewhere);
        let Some(other) = others.first() else {
            return self.answer(Vec::new(), NamedPorts::None, false);
        };
        let signature = self
            .rules()
            .filter_map(|(index, _, peers)| {
                let peers = program.peers.get(peers.index())?;
                let truth = other.is_in(program, peers);
                (truth != Truth::No).then_some((index, truth))
            })
            .collect();
        self.answer(signature, NamedPorts::None, false)
    }
}

/// The rules that a chain asks, with their indices and peers; those that take any peer are left out.
pub(super) fn rules_of<'a>(
    program: &'a Program,
    chain: &'a Chain,
) -> impl Iterator<Item = (u32, &'a Rule, PeersId)> + use<'a> {
    chain.ranges().flat_map(move |range| {
        let rules = (range.first..).zip(program.rules_in(range));
        rules.filter_map(|(index, rule)| Some((index, rule, rule.peers?)))
    })
}

/// Whether a rule of a chain asks for a port of the destination by its name.
pub(super) fn asks_for_names(program: &Program, chain: &Chain) -> bool {
    chain.ranges().any(|range| {
        let lists = program.rules_in(range).iter().filter_map(|rule| rule.ports);
        let mut lists = lists.filter_map(|list| program.ports.get(list.index()));
        lists.any(|ports| !ports.named.is_empty())
    })
}

/// The first and the last address of the classes of a family from `from` up to, not including, `to`.
fn bounds(program: &Program, family: Family, from: u32, to: u32) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => {
            let (first, last) = program.addresses.v4.bounds(from, to);
            (
                Ipv4Addr::from_bits(first).into(),
                Ipv4Addr::from_bits(last).into(),
            )
        }
        Family::V6 => {
            let (first, last) = program.addresses.v6.bounds(from, to);
            (
                Ipv6Addr::from_bits(first).into(),
                Ipv6Addr::from_bits(last).into(),
            )
        }
    }
}

/// What an end may be in a family. `here`: as it is seen from its own node.
fn kinds_of(
    cluster: &Cluster,
    program: &Program,
    end: &End,
    family: Family,
    here: bool,
) -> Vec<KindId> {
    let from = match end.kind {
        EndKind::Node { node, .. } if here => From::of(node),
        EndKind::Node { .. } | EndKind::Pod { .. } => From::Elsewhere,
    };
    let mut kinds = Vec::new();
    for endpoint in end.endpoints(cluster, family) {
        let others = program.others(&endpoint, from);
        let mut own = others.iter().filter_map(Other::kind);
        match end.kind {
            EndKind::Pod { .. } => kinds.extend(own),
            // Of what may be the own node or another, the first is the own one.
            EndKind::Node { .. } if here => kinds.extend(own.next()),
            EndKind::Node { .. } => kinds.extend(own.next_back()),
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The ends that each list of peers matches, in each family, where rules ask for identities. `here`: as they are seen from
/// their own node.
fn touched_by_kind(cluster: &Cluster, program: &Program, ends: &Ends<'_>, here: bool) -> Touched {
    let mut alternatives: [Vec<u32>; 2] = Default::default();
    let of_family = |family, counts: &mut Vec<u32>| {
        let mut by_kind: FxHashMap<KindId, Vec<Alternative>> = FxHashMap::default();
        for (id, end) in ends.iter() {
            let kinds = kinds_of(cluster, program, end, family, here);
            counts.push(to_u32(kinds.len()));
            for (kind, alternative) in kinds.into_iter().zip(0..) {
                by_kind.entry(kind).or_default().push((id, alternative));
            }
        }
        by_kind
    };
    let [v4, v6] = &mut alternatives;
    let by_kind = [of_family(Family::V4, v4), of_family(Family::V6, v6)];
    let of_peers = |peers: &Peers| {
        [0, 1].map(|family| {
            let by_kind = by_kind.get(family);
            let kinds = peers.kinds.to_vec().into_iter();
            let named = kinds.filter_map(|kind| by_kind?.get(&KindId(kind)));
            let mut named: Vec<_> = named.flatten().map(|end| (*end, Truth::Yes)).collect();
            named.sort_unstable();
            named
        })
    };
    Touched {
        ends: program.peers.par_iter().map(of_peers).collect(),
        alternatives,
    }
}

/// The ends that a list of peers matches, in each family.
fn touched(
    cluster: &Cluster,
    program: &Program,
    ends: &Ends<'_>,
    peers: &Peers,
) -> [Vec<(Alternative, Truth)>; 2] {
    let by_address = peers.domains || peers.block_families != BlockFamilies::default();
    if !by_address && peers.nodes.is_empty() && peers.node_selectors.is_empty() {
        let named = ends.of_identities(&program.pods(peers).to_vec());
        let named = named.into_iter().map(|end| ((end, 0), Truth::Yes));
        let named: Vec<_> = named.collect();
        return [named.clone(), named];
    }
    [Family::V4, Family::V6].map(|family| {
        let truth = |end: &End| {
            let end = query::endpoint(cluster, end.sample, family);
            program.other(&end).is_in(program, peers)
        };
        let all = ends.iter().map(|(id, end)| ((id, 0), truth(end)));
        all.filter(|(_, truth)| *truth != Truth::No).collect()
    })
}
