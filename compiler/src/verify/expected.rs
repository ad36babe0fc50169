//! What the definition says of a case, about every leaf and every packet.
//!
//! The definition judges by which policies govern the subject, by whether the two ends are never kept apart, and by how each
//! rule matches ([`spec::judge_by_rules`]); a rule matches as its peers and its ports do, whichever is less
//! ([`spec::judge_by`]). So leaves that match the lists of peers of all rules alike are one group, keys that match the lists
//! of ports alike are one class, and the definition itself is asked once for all pairs of a group and a class in which every
//! rule matches alike.

use super::Prover;
use super::identities::ELSEWHERE;
use super::keys::FRAGMENTATION_NEEDED;
use super::partition::Partition;
use super::runs::{self, Runs, extend, pairs};
use super::subjects::Case;
use super::truths::{Few, Truths};
use crate::cluster::PodId;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow};
use crate::hir::spec::{self, Side, Truth, precedence};
use crate::hir::{Direction, Enforcement, RuleId};
use crate::identity::key;
use crate::lir::{LeafId, number, transport};
use crate::query::Family;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::{Arc, OnceLock};

/// What is expected in one case.
#[derive(Debug)]
pub(super) struct Expected {
    /// The group of each leaf.
    pub(super) leaves: Runs<u32>,
    pub(super) groups: Vec<Group>,
    /// What is said of the groups, equal ones once.
    pub(super) rows: Vec<Row>,
    /// The classes of keys, by what named ports the destination has.
    keys: Vec<Keys>,
    /// Where each rule stands among the truths of a group or of a class of keys.
    places: FxHashMap<RuleId, usize>,
    /// What stands there: the index of a policy that governs, and that of a rule of it.
    standing: Vec<(u32, u32)>,
}

/// Leaves that the rules of a case cannot tell apart.
#[derive(Debug)]
pub(super) struct Group {
    /// How each rule's peers match.
    peers: Truths,
    /// A leaf of it.
    example: LeafId,
    /// Whether its leaf is asked about as a whole, since the snapshot leaves open what it is.
    is_open: bool,
    /// Its classes of keys.
    keys: u32,
    /// What is said where the ends are two.
    pub(super) row: u32,
    /// What is said where the other end is the node on which the subject runs.
    own_node: OnceLock<Row>,
    /// What is said where the subject sends to itself by way of a service.
    itself: OnceLock<Row>,
}

/// What is said by class of keys.
#[derive(Clone, Debug)]
pub(super) struct Row {
    keys: u32,
    sides: Box<[Arc<Side>]>,
}

/// The keys as the rules of a case tell them apart.
#[derive(Debug)]
struct Keys {
    /// By cell.
    class: Box<[u32]>,
    classes: Vec<KeyClass>,
}

#[derive(Debug)]
struct KeyClass {
    /// How each rule's ports match.
    ports: Truths,
    /// The same, of those that match.
    matching: Few,
    /// A key of it that packets have.
    packet: u32,
    /// Whether it may pass without being asked about.
    unasked: bool,
}

/// How the subject stands to the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The ends are two.
    Apart,
    /// The other is the node on which the subject runs.
    OwnNode,
    /// Both are one, and the flow goes by way of a service.
    Itself,
    /// The other is a node, and it is not known whether the subject runs there.
    Unplaced,
}

impl Expected {
    /// Asks the definition.
    pub(super) fn of(prover: &Prover<'_>, case: &Case<'_>) -> Self {
        let (leaves, mut groups, with_ports) = grouped(prover, case);
        let keys: Vec<Keys> = with_ports
            .iter()
            .map(|example| Keys::of(prover, case, *example))
            .collect();
        let places = places(case);
        let mut expected = Self {
            leaves,
            groups: Vec::new(),
            rows: Vec::new(),
            keys,
            standing: standing(case, &places),
            places,
        };
        // Of one `Sides`, equal sides are one.
        let mut known: FxHashMap<(u32, Vec<*const Side>), u32> = FxHashMap::default();
        let mut sides = Sides::default();
        for group in &mut groups {
            let row = expected.ask(
                prover,
                case,
                group,
                group.example,
                Relation::Apart,
                &mut sides,
            );
            let said = row.sides.iter().map(Arc::as_ptr).collect();
            group.row = *known.entry((row.keys, said)).or_insert_with(|| {
                expected.rows.push(row);
                number(expected.rows.len() - 1)
            });
        }
        expected.groups = groups;
        expected
    }

    /// The group of a leaf.
    pub(super) fn of_leaf(&self, leaf: u32) -> Option<&Group> {
        self.groups.get(runs::at(&self.leaves, leaf)? as usize)
    }

    /// What is said of a leaf of a group.
    pub(super) fn row(
        &self,
        prover: &Prover<'_>,
        case: &Case<'_>,
        group: &'_ Group,
        leaf: LeafId,
        relation: Relation,
    ) -> Option<Row> {
        let slot = match relation {
            Relation::Apart => return self.rows.get(group.row as usize).cloned(),
            // What a node is to its own endpoints is another thing for each.
            Relation::OwnNode if prover.enforcement().is_none() => &group.own_node,
            Relation::Itself => &group.itself,
            // Each leaf is asked about by itself.
            Relation::OwnNode | Relation::Unplaced => {
                return Some(self.ask(prover, case, group, leaf, relation, &mut Sides::default()));
            }
        };
        let ask = || self.ask(prover, case, group, leaf, relation, &mut Sides::default());
        Some(slot.get_or_init(ask).clone())
    }

    /// What a row says of a cell of keys.
    pub(super) fn said<'r>(&self, row: &'r Row, cell: u32) -> Option<(u32, &'r Side)> {
        let keys = self.keys.get(row.keys as usize)?;
        let class = *keys.class.get(cell as usize)?;
        Some((class, row.sides.get(class as usize)?))
    }

    fn ask(
        &self,
        prover: &Prover<'_>,
        case: &Case<'_>,
        group: &Group,
        leaf: LeafId,
        relation: Relation,
        sides: &mut Sides,
    ) -> Row {
        // How the rules match the leaf tells nothing where the other end is seen otherwise than the group is.
        let is_own = matches!(relation, Relation::OwnNode | Relation::Unplaced);
        let asked_alone = group.is_open || is_own && prover.enforcement().is_some();
        let alone = match prover.enforcement() {
            Some(enforcement) if asked_alone => {
                alternatives(prover, enforcement, case, leaf, relation)
            }
            Some(_) | None => Vec::new(),
        };
        let classes = self.keys.get(group.keys as usize);
        let classes = classes.into_iter().flat_map(|keys| &keys.classes);
        let mut matching = Few::default();
        let said = classes.enumerate().map(|(index, class)| {
            let flow = Between {
                leaf,
                packet: class.packet,
                relation,
            };
            if asked_alone {
                let Some(enforcement) = prover.enforcement() else {
                    return Arc::new(judge(prover, case, flow));
                };
                let found = of_alternatives(&alone, class);
                let mut side = self.judge_matching(prover, enforcement, case, flow, &found);
                if side.exempt.is_none() {
                    side.isolated_by = case.isolated_by();
                }
                return Arc::new(side);
            }
            matching.least_of(&group.peers, &class.matching);
            let apart = (class.unasked, case.asks_for_auth.then_some(index));
            let of_class = sides.by_rules.entry(apart).or_default();
            if let Some(known) = of_class.get(&matching) {
                return Arc::clone(known);
            }
            let said = match prover.enforcement() {
                Some(enforcement) => {
                    let found = [(0, matching.clone())];
                    self.judge_matching(prover, enforcement, case, flow, &found)
                }
                None => {
                    let mut rules = group.peers.clone();
                    rules.least_of(&group.peers, &class.ports);
                    self.judge_by_rules(prover, case, flow, &rules)
                }
            };
            let side = match sides.equal.get(&said) {
                Some(known) => Arc::clone(known),
                None => {
                    let mut side = said.clone();
                    if prover.enforcement().is_some() && side.exempt.is_none() {
                        side.isolated_by = case.isolated_by();
                    }
                    let side = Arc::new(side);
                    sides.equal.insert(said, Arc::clone(&side));
                    side
                }
            };
            of_class.insert(matching.clone(), Arc::clone(&side));
            side
        });
        Row {
            keys: group.keys,
            sides: said.collect(),
        }
    }

    /// Asks the definition about one leaf and one packet, where it is known how the rules match them.
    fn judge_by_rules(
        &self,
        prover: &Prover<'_>,
        case: &Case<'_>,
        of: Between,
        rules: &Truths,
    ) -> Side {
        between(prover, case, of, |flow| {
            spec::judge_by_rules(&case.governing, flow, case.direction, &|_, rule| {
                let place = self.places.get(&rule.id);
                place.map_or(Truth::No, |place| rules.get(*place))
            })
        })
    }

    /// The same by precedence, but for what isolates: of each thing that the other end may be.
    fn judge_matching(
        &self,
        prover: &Prover<'_>,
        enforcement: &Enforcement,
        case: &Case<'_>,
        of: Between,
        matching: &[(usize, Few)],
    ) -> Side {
        let standing = |(place, truth): (usize, Truth)| -> Option<precedence::Matching<'_>> {
            let (policy, rule) = *self.standing.get(place)?;
            let policy = case.governing.get(policy as usize)?;
            let rule = policy.rules.get(case.direction).get(rule as usize)?;
            Some((policy.tier, truth, rule))
        };
        let matching: Vec<(usize, Vec<_>)> = matching
            .iter()
            .map(|(other, few)| (*other, few.iter().filter_map(standing).collect()))
            .collect();
        let (governing, direction) = (&case.governing, case.direction);
        between(prover, case, of, |flow| {
            precedence::judge_by_rules(
                prover.policies,
                enforcement,
                governing,
                &matching,
                flow,
                direction,
            )
        })
    }
}

/// Asks the definition about one leaf and one packet, where no rule asks for identities.
fn judge(prover: &Prover<'_>, case: &Case<'_>, of: Between) -> Side {
    between(prover, case, of, |flow| {
        spec::judge_by(prover.world(), &case.governing, flow, case.direction)
    })
}

/// Something that the other end may be: whether it is the own node of the subject, and how the peers of each rule match it.
type Alternative = (bool, Truths);

/// Everything that a leaf may be.
fn alternatives(
    prover: &Prover<'_>,
    enforcement: &Enforcement,
    case: &Case<'_>,
    leaf: LeafId,
    relation: Relation,
) -> Vec<Alternative> {
    // What it may be does not hang on the packet.
    let flow = Between {
        leaf,
        packet: 0,
        relation,
    };
    let (others, is_outside) = between(prover, case, flow, |flow| {
        precedence::others(enforcement, flow, case.direction)
    });
    let places = places(case);
    let count = places.values().max().map_or(0, |last| last + 1);
    let mut lists: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
    for rule in &case.rules {
        if let Some(place) = places.get(&rule.id) {
            lists.entry(rule.peers).or_default().push(*place);
        }
    }
    let others = others.iter().map(|other| {
        let mut truths = Truths::none(count);
        for (list, places) in &lists {
            let truth = prover
                .lists
                .of_identity(enforcement, *list, other, is_outside);
            if truth != Truth::No {
                places.iter().for_each(|place| truths.set(*place, truth));
            }
        }
        (other.labels.has_reserved(key::HOST), truths)
    });
    others.collect()
}

/// The rules that match packets of a class, by what the other end may be; of what is told apart by nothing only the first.
fn of_alternatives(alternatives: &[Alternative], class: &KeyClass) -> Vec<(usize, Few)> {
    let mut known = FxHashSet::default();
    let mut found = Vec::new();
    let mut matching = Few::default();
    for (index, (is_own_node, truths)) in alternatives.iter().enumerate() {
        matching.least_of(truths, &class.matching);
        let told = (*is_own_node, matching.clone());
        if known.insert(told) {
            found.push((index, matching.clone()));
        }
    }
    found
}

/// Asks about the flow between a leaf and the subject of a case.
fn between<T>(
    prover: &Prover<'_>,
    case: &Case<'_>,
    of: Between,
    ask: impl Fn(&Flow<'_>) -> T,
) -> T {
    let mut kind = case.subject;
    match &mut kind {
        EndpointKind::Pod(pod)
            if prover.enforcement().is_some() && of.relation != Relation::Unplaced =>
        {
            pod.node = Some(ELSEWHERE);
        }
        // What is not told of it is no matter: the policies that govern it are known.
        EndpointKind::Node(node) => node.id = Some(ELSEWHERE),
        EndpointKind::Pod(_) | EndpointKind::Outside => {}
    }
    let example = prover.ends.examples.get(of.leaf.index()).copied();
    let mut other = example.unwrap_or(subject(kind, Family::V4));
    let family = match other.address {
        Address::Known(address) => Family::of(address),
        Address::Unknown { v4: true, .. } => Family::V4,
        Address::Unknown { v4: false, .. } => Family::V6,
    };
    match (of.relation, &mut other.kind, &mut kind) {
        (Relation::OwnNode, EndpointKind::Node(node), EndpointKind::Pod(pod)) => pod.node = node.id,
        (Relation::OwnNode, EndpointKind::Node(node), EndpointKind::Node(own)) => own.id = node.id,
        (Relation::Itself, EndpointKind::Pod(own), EndpointKind::Pod(pod)) => {
            pod.id = pod.id.or(Some(PodId(0)));
            own.id = pod.id;
        }
        (Relation::Apart | Relation::OwnNode | Relation::Itself | Relation::Unplaced, ..) => {}
    }
    let own = subject(kind, family);
    let (src, mut dst) = match case.direction {
        Direction::Ingress => (other, own),
        Direction::Egress => (own, other),
    };
    dst.by_service = of.relation == Relation::Itself;
    ask(&Flow {
        src,
        dst,
        transport: transport::example(of.packet),
    })
}

/// Who the subject of a case speaks with, and by what.
#[derive(Clone, Copy)]
struct Between {
    leaf: LeafId,
    packet: u32,
    relation: Relation,
}

/// Where each rule of a case stands among truths: those of cluster-wide policies, and the others behind them.
fn places(case: &Case<'_>) -> FxHashMap<RuleId, usize> {
    let wide = case.wide.lists.len();
    let behind = Truths::behind(wide);
    let places = (0..wide).chain(behind..);
    let rules = case.rules.iter().map(|rule| rule.id);
    rules.zip(places).collect()
}

/// By place: which policy of a case and which rule of that stands there; where none does, one that is not there.
fn standing(case: &Case<'_>, places: &FxHashMap<RuleId, usize>) -> Vec<(u32, u32)> {
    let mut standing = Vec::new();
    for (policy, index) in case.governing.iter().zip(0..) {
        for (rule, at) in policy.rules.get(case.direction).iter().zip(0..) {
            let Some(place) = places.get(&rule.id) else {
                continue;
            };
            if standing.len() <= *place {
                standing.resize(place + 1, (u32::MAX, u32::MAX));
            }
            if let Some(slot) = standing.get_mut(*place) {
                *slot = (index, at);
            }
        }
    }
    standing
}

/// What else than rules that match may tell packets apart: whether they may pass without being asked about and, where a
/// rule asks for authentication, their class of keys.
type Apart = (bool, Option<usize>);

/// What was said so far of one case and relation.
#[derive(Default)]
struct Sides {
    /// By the rules that match.
    by_rules: FxHashMap<Apart, FxHashMap<Few, Arc<Side>>>,
    equal: FxHashMap<Side, Arc<Side>>,
}

/// The leaves by how the peers of each rule match and, where rules for what goes out go by name, by their named ports. With
/// them an end for each set of named ports that the destination may have.
fn grouped(prover: &Prover<'_>, case: &Case<'_>) -> (Runs<u32>, Vec<Group>, Vec<Option<LeafId>>) {
    let wide = case.wide.leaves(prover);
    let own = case.rules.iter().skip(case.wide.lists.len());
    let own: Vec<u32> = own.map(|rule| rule.peers).collect();
    let own = Partition::of(prover, &own);
    let mut told: Vec<Truths> = Vec::new();
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    let mut by_peers: Runs<u32> = Vec::new();
    for (first, of_wide, of_own) in pairs(&wide.leaves, &own.leaves) {
        let id = *known.entry((of_wide, of_own)).or_insert_with(|| {
            let truths = [(wide, of_wide), (&own, of_own)]
                .map(|(leaves, class)| leaves.classes.get(class as usize));
            if let [Some(wide), Some(own)] = truths {
                told.push(wide.then(own));
            }
            number(told.len() - 1)
        });
        extend(&mut by_peers, first, id);
    }
    let of_leaf = case.by_name && case.direction == Direction::Egress;
    let same = vec![(0, 0)];
    let ports = if of_leaf { &prover.ends.ports } else { &same };
    let open = open_leaves(prover);
    let mut groups: Vec<Group> = Vec::new();
    let mut ids: FxHashMap<(u32, u32, u32), u32> = FxHashMap::default();
    let mut leaves: Runs<u32> = Vec::new();
    let peers_and_ports: Runs<(u32, u32)> = pairs(&by_peers, ports)
        .map(|(first, peers, keys)| (first, (peers, keys)))
        .collect();
    for (first, (peers, keys), open) in pairs(&peers_and_ports, &open) {
        let id = *ids.entry((peers, keys, open)).or_insert_with(|| {
            groups.push(Group {
                peers: told.get(peers as usize).cloned().unwrap_or_default(),
                example: LeafId(first),
                is_open: open > 0,
                keys,
                row: 0,
                own_node: OnceLock::new(),
                itself: OnceLock::new(),
            });
            number(groups.len() - 1)
        });
        extend(&mut leaves, first, id);
    }
    let with_ports = if of_leaf {
        let leaves = prover.ends.with_ports.iter();
        leaves.map(|leaf| Some(*leaf)).collect()
    } else {
        vec![None]
    };
    (leaves, groups, with_ports)
}

/// Each leaf of which it is open what it is, with a number of its own; 0 is told of all others.
fn open_leaves(prover: &Prover<'_>) -> Runs<u32> {
    let mut open = vec![(0, 0)];
    for (seen, leaf) in prover.ends.identities.iter().zip(0..) {
        let number = if seen.only.is_none() { leaf + 1 } else { 0 };
        extend(&mut open, leaf, number);
    }
    open
}

impl Keys {
    /// The keys as the rules of a case match them where the destination is a leaf, or the subject itself.
    fn of(prover: &Prover<'_>, case: &Case<'_>, dst: Option<LeafId>) -> Self {
        let dst = dst.and_then(|leaf| prover.ends.examples.get(leaf.index()));
        let dst = dst.copied().unwrap_or(subject(case.subject, Family::V4));
        let mut answers: FxHashMap<u32, Box<[Truth]>> = FxHashMap::default();
        for rule in &case.rules {
            let lists = &prover.lists;
            let ask = || lists.ports(prover.world(), &prover.keys, rule.ports, &dst);
            answers.entry(rule.ports).or_insert_with(ask);
        }
        let columns = case.rules.iter().map(|rule| answers.get(&rule.ports));
        let columns: Vec<&[Truth]> = columns
            .map(|answers| answers.map_or(&[][..], |answers| answers))
            .collect();
        let (wide, own) = columns
            .split_at_checked(case.wide.lists.len())
            .unwrap_or_default();
        let mut known: FxHashMap<(Truths, bool, Vec<u32>), u32> = FxHashMap::default();
        let mut classes: Vec<KeyClass> = Vec::new();
        let class = prover
            .keys
            .packets
            .iter()
            .enumerate()
            .map(|(cell, packet)| {
                // No packet is in such a cell, and nothing is asked of it.
                let Some(packet) = *packet else { return 0 };
                let [wide, own] = [wide, own].map(|columns| {
                    let truths = columns.iter().map(|column| column.get(cell));
                    Truths::of(truths.map(|truth| truth.copied().unwrap_or(Truth::No)))
                });
                let unasked = prover.enforcement().is_some()
                    && transport::example(packet).icmp == Some(FRAGMENTATION_NEEDED);
                let told = (wide.then(&own), unasked, widths(prover, case, dst, packet));
                *known.entry(told).or_insert_with_key(|(ports, ..)| {
                    classes.push(KeyClass {
                        ports: ports.clone(),
                        matching: Few::of(ports),
                        packet,
                        unasked,
                    });
                    number(classes.len() - 1)
                })
            });
        let class = class.collect();
        Self { class, classes }
    }
}

/// Of how few ports each rule has the packet: what the ends must prove hangs on that, where a rule asks for it.
fn widths(prover: &Prover<'_>, case: &Case<'_>, dst: Endpoint<'_>, packet: u32) -> Vec<u32> {
    let enforcement = prover.enforcement().filter(|_| case.asks_for_auth);
    let Some(enforcement) = enforcement else {
        return Vec::new();
    };
    let flow = Flow {
        src: dst,
        dst,
        transport: transport::example(packet),
    };
    let governing = case.governing.iter();
    let rules = governing.flat_map(|policy| policy.rules.get(case.direction));
    rules
        .map(|rule| precedence::width(enforcement, rule, &flow, case.direction))
        .collect()
}

fn subject(kind: EndpointKind<'_>, family: Family) -> Endpoint<'_> {
    Endpoint {
        kind,
        address: family.unknown(),
        by_service: false,
    }
}
