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
use crate::query::Family;
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
            let sees = ends.chain(chain).is_some_and(|chain| chain.sees_addresses);
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
    /// By [`PeersId`] and family: the ends that match, as pods see them that are not on their node.
    touched: Vec<Touched>,
    /// The same, as pods see them that are; none where that makes no difference.
    touched_here: Option<Vec<Touched>>,
}

/// The ends that a list of peers matches, in each family.
type Touched = [Vec<(EndId, Truth)>; 2];

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
        let touched = program
            .peers
            .par_iter()
            .map(|peers| touched(cluster, program, ends, peers))
            .collect();
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
            chain: self.ends.chain(key.chain),
            known: FxHashMap::default(),
            answers: Vec::new(),
        };
        let signatures = self.signatures(&row, &self.touched);
        let here = self.touched_here.as_ref();
        let here = here.map(|touched| self.signatures(&row, touched));
        let default = row.answer(Vec::new(), NamedPorts::None, false);
        let names = key.direction == Direction::Egress
            && row
                .chain
                .is_some_and(|chain| asks_for_names(self.program, chain));
        let mut others = Vec::new();
        let mut own_node = Vec::new();
        for (end, one) in self.ends.iter() {
            let signature = signatures.get(&end);
            let is_node = matches!(one.kind, EndKind::Node { .. });
            if signature.is_none() && !names && !is_node {
                continue;
            }
            let signature = signature.cloned().unwrap_or_default();
            let named = if names {
                one.named(self.cluster, self.program)
            } else {
                NamedPorts::None
            };
            if !is_node {
                others.push((end, row.answer(signature, named, false)));
                continue;
            }
            let own = match &here {
                None => signature.clone(),
                Some(here) => here.get(&end).cloned().unwrap_or_default(),
            };
            let own = row.answer(own, named, true);
            own_node.push((end, own));
            let other = row.answer(signature, named, false);
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

    /// The ends that rules of a chain name.
    fn signatures(&self, row: &Making<'_>, touched: &[Touched]) -> FxHashMap<EndId, Signature> {
        let mut signatures: FxHashMap<EndId, Signature> = FxHashMap::default();
        for (index, _, peers) in row.rules() {
            let of_family = touched
                .get(peers.index())
                .map(|[v4, v6]| match row.key.family {
                    Some(Family::V4) | None => v4,
                    Some(Family::V6) => v6,
                });
            for (end, truth) in of_family.into_iter().flatten() {
                signatures.entry(*end).or_default().push((index, *truth));
            }
        }
        signatures
    }
}

/// A row that is being made.
struct Making<'a> {
    context: &'a Context<'a>,
    key: RowKey,
    chain: Option<&'a Chain>,
    known: FxHashMap<(Signature, NamedPorts<'a>, bool), usize>,
    answers: Vec<Answer>,
}

impl<'a> Making<'a> {
    /// The rules that the chain asks, as [`rules_of`] gives them.
    fn rules(&self) -> impl Iterator<Item = (u32, &'a Rule, PeersId)> + use<'a> {
        let program = self.context.program;
        let chain = self.chain.into_iter();
        chain.flat_map(move |chain| rules_of(program, chain))
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
        let answer = self
            .chain
            .map_or_else(Answer::all, |chain| side.tiers(chain, own_node));
        self.answers.push(answer);
        let index = self.answers.len() - 1;
        self.known.insert(key, index);
        index
    }

    /// The number of the answer that two answers make together.
    fn agreed(&mut self, one: usize, other: usize) -> usize {
        let pair = self.answers.get(one).zip(self.answers.get(other));
        let both = pair.filter(|_| one != other).map(|(a, b)| a.agreed(b));
        let Some(both) = both else { return one };
        self.answers.push(both);
        self.answers.len() - 1
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

/// The ends that each list of peers matches, in each family, where rules ask for identities. `here`: as they are seen from
/// their own node.
fn touched_by_kind(
    cluster: &Cluster,
    program: &Program,
    ends: &Ends<'_>,
    here: bool,
) -> Vec<Touched> {
    let by_kind = [Family::V4, Family::V6].map(|family| {
        let mut by_kind: FxHashMap<KindId, Vec<EndId>> = FxHashMap::default();
        for (id, end) in ends.iter() {
            let from = match end.kind {
                EndKind::Node { node, .. } if here => From::of(node),
                EndKind::Node { .. } | EndKind::Pod { .. } => From::Elsewhere,
            };
            let endpoint = end.endpoint(cluster, family);
            // Of what may be the own node or another, the first is the own one.
            let others = program.others(&endpoint, from);
            let kinds: Vec<KindId> = others.iter().filter_map(Other::kind).collect();
            let kind = if here { kinds.first() } else { kinds.last() };
            if let Some(kind) = kind {
                by_kind.entry(*kind).or_default().push(id);
            }
        }
        by_kind
    });
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
    program.peers.par_iter().map(of_peers).collect()
}

/// The ends that a list of peers matches, in each family.
fn touched(
    cluster: &Cluster,
    program: &Program,
    ends: &Ends<'_>,
    peers: &Peers,
) -> [Vec<(EndId, Truth)>; 2] {
    let by_address = peers.domains || peers.block_families != BlockFamilies::default();
    if !by_address && peers.nodes.is_empty() && peers.node_selectors.is_empty() {
        let named = ends.of_identities(&peers.pods.to_vec());
        let named: Vec<_> = named.into_iter().map(|end| (end, Truth::Yes)).collect();
        return [named.clone(), named];
    }
    [Family::V4, Family::V6].map(|family| {
        let truth = |end: &End| {
            let end = end.endpoint(cluster, family);
            program.other(&end).is_in(program, peers)
        };
        let all = ends.iter().map(|(id, end)| (id, truth(end)));
        all.filter(|(_, truth)| *truth != Truth::No).collect()
    })
}
