//! Decisions of nodes whose tables were made together, proved together.
//!
//! A chain of a [`Library`] is proved once against the definition, for each case that has it: at every leaf and every packet, for
//! ends that are two, for the node of the endpoint, and for what the endpoint sends to itself. Of each node, its image is held
//! to the chains of its endpoints: again at every leaf and every packet, but number against number, and nothing is asked.
//! What an image says is what its chain says, which is what the definition says; so a decision of any node is proved.
//!
//! What does not hold here is not wrong yet: it is looked at by the node alone ([`super::decisions`]), which finds what is wrong
//! and says where.

use super::expected::{Expected, Relation, Row};
use super::keys::Part;
use super::named::is_said;
use super::runs::dense;
use super::subjects::Case;
use super::{Prover, Subject};
use crate::cluster::Owner;
use crate::hir::Direction;
use crate::hir::spec::Side;
use crate::image::Image;
use crate::lir::transport::{LAST, packet_from, parts, whole};
use crate::lir::{Decision, LeafId};
use crate::lock::lock;
use crate::opt::{Library, Tabulated};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::Cell;
use std::sync::{Mutex, OnceLock};
use verdict_abi::{
    Config, DIRECTORY_ENTRIES, PAGE_ENTRIES, Section, TO_DIRECTORY, Use, half, port_class, quarter,
};

/// What is proved of the chains of a library.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The packets, cut wherever a rule of the cluster or the library changes its mind.
    parts: Vec<Part>,
    /// The first key of each part.
    starts: Vec<u32>,
    decisions: FxHashMap<Decision, u32>,
    /// By case and chain.
    proofs: FxHashMap<(u32, u32), Proof>,
}

/// The proof of a chain in a case.
#[derive(Debug, Default)]
struct Proof {
    /// How many decisions were compared where the ends are two; none where one is not what the definition says.
    apart: OnceLock<Option<u64>>,
    aside: Mutex<Aside>,
}

/// What is proved of ends that are the node of the endpoint, or the endpoint itself.
#[derive(Debug, Default)]
struct Aside {
    /// By group of leaves, class of the chain, and whether both ends are one: whether what is said is right.
    known: FxHashMap<(u32, u32, bool), bool>,
    /// The leaves of which that is right, with whether both ends are one.
    right: FxHashSet<(u32, bool)>,
}

/// What was proved of a chain in a case, where nothing is left to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many decisions were compared where the ends are two.
    pub(crate) apart: u64,
    /// The leaves that were looked at as the node of the endpoint, and as the endpoint itself. Ascending.
    pub(crate) aside: [Vec<u32>; 2],
}

/// No number.
const NONE: u32 = u32::MAX;

/// A side that the definition told, and the number of the decision that is right for it.
type Right = FxHashSet<(*const Side, u32)>;

impl Shared {
    /// Nothing is proved yet of the chains of some cases, but for what was proved before.
    pub(crate) fn new(
        prover: &Prover<'_>,
        library: &Library,
        cases: impl Iterator<Item = (u32, u32, Option<Held>)>,
    ) -> Self {
        let proofs = cases.map(|(case, chain, held)| {
            let proof = held.map_or_else(Proof::default, |held| {
                let [node, itself] = held.aside;
                let node = node.into_iter().map(|leaf| (leaf, false));
                let right = node.chain(itself.into_iter().map(|leaf| (leaf, true)));
                Proof {
                    apart: OnceLock::from(Some(held.apart)),
                    aside: Mutex::new(Aside {
                        known: FxHashMap::default(),
                        right: right.collect(),
                    }),
                }
            });
            ((case, chain), proof)
        });
        let proofs = proofs.collect();
        let decisions = library.decisions().iter().copied().zip(0..);
        let parts = prover.keys.cut(library.transports());
        Self {
            starts: parts.iter().map(|(start, _)| *start).collect(),
            parts: parts.into_iter().map(|(_, part)| part).collect(),
            decisions: decisions.collect(),
            proofs,
        }
    }

    /// What is proved of the chains of all cases: case, chain, and what of it. Ascending.
    pub(crate) fn held(&self) -> Vec<(u32, u32, Held)> {
        let proofs = self.proofs.iter().filter_map(|((case, chain), proof)| {
            let apart = (*proof.apart.get()?)?;
            let right = lock(&proof.aside);
            let of = |is_itself: bool| {
                let own = right
                    .right
                    .iter()
                    .filter(|(_, itself)| *itself == is_itself);
                let mut leaves: Vec<u32> = own.map(|(leaf, _)| *leaf).collect();
                leaves.sort_unstable();
                leaves
            };
            let aside = [of(false), of(true)];
            Some((*case, *chain, Held { apart, aside }))
        });
        let mut proofs: Vec<_> = proofs.collect();
        proofs.sort_unstable_by_key(|(case, chain, _)| (*case, *chain));
        proofs
    }

    /// Holds the decisions of a node to its chains, and those to the definition. Returns how many were compared, equal ones once;
    /// none where something differs.
    pub(super) fn decisions(
        &self,
        prover: &Prover<'_>,
        library: &Library,
        subject: &Subject<'_>,
    ) -> Option<u64> {
        let node = Node::of(self, prover, library, subject)?;
        let mut known = FxHashSet::default();
        let mut held = FxHashSet::default();
        let mut compared: u64 = 0;
        let endpoints = subject.pods.iter().zip(&subject.program.endpoints);
        for ((pod, endpoint), index) in endpoints.zip(0_u32..) {
            let itself = prover.own_leaves(subject.lowering, *pod);
            for (direction, of, hairpin) in [
                (Direction::Ingress, Use::Ingress, Use::HairpinIngress),
                (Direction::Egress, Use::Egress, Use::HairpinEgress),
            ] {
                let Some((number, case)) = prover.subjects.case(Owner::Pod(*pod), direction) else {
                    continue;
                };
                let chain = library.chain_of(*pod, direction)?;
                let proof = self.proofs.get(&(number, chain))?;
                let table =
                    |of: Use| half(subject.image, Section::Endpoints, index * 4 + of as u32);
                let (table, hairpin) = (table(of)?, table(hairpin)?);
                let chain_of_program = *endpoint.chains.get(direction);
                let tabulated = library.chain(chain)?;
                let of_case = OfCase {
                    shared: self,
                    prover,
                    case,
                    proof,
                    chain: tabulated,
                    library,
                };
                if held.insert((number, chain, table, NONE)) {
                    let told = of_case.apart()?;
                    if held.insert((NONE, chain, table, NONE)) && !node.holds(tabulated, table) {
                        return None;
                    }
                    for own in &node.own {
                        if !of_case.aside(own.0, own.2, Relation::OwnNode)? {
                            return None;
                        }
                    }
                    if known.insert((number, chain_of_program, table, NONE)) {
                        let own = (node.own.len() * self.parts.len()) as u64;
                        compared = compared.saturating_add(told).saturating_add(own);
                    }
                }
                for leaf in &itself {
                    if held.insert((number, chain, hairpin, leaf.0))
                        && !(node.holds_itself(tabulated, hairpin, *leaf)
                            && of_case.aside(*leaf, node.class(*leaf)?, Relation::Itself)?)
                    {
                        return None;
                    }
                    if known.insert((number, chain_of_program, hairpin, leaf.0)) {
                        compared += self.parts.len() as u64;
                    }
                }
            }
        }
        Some(compared)
    }
}

/// A chain in a case, held to the definition.
struct OfCase<'s, 'a> {
    shared: &'s Shared,
    prover: &'s Prover<'a>,
    case: &'s Case<'a>,
    proof: &'s Proof,
    chain: &'s Tabulated,
    library: &'s Library,
}

impl OfCase<'_, '_> {
    fn expected(&self) -> &Expected {
        let ask = || Expected::of(self.prover, self.case);
        self.case.expected.get_or_init(ask)
    }

    /// Every leaf that is another end.
    fn apart(&self) -> Option<u64> {
        *self.proof.apart.get_or_init(|| self.every_leaf())
    }

    fn every_leaf(&self) -> Option<u64> {
        let expected = self.expected();
        let leaves = self.library.leaves();
        let width = self.chain.rows.len();
        let mut seen = vec![false; expected.groups.len().checked_mul(width)?];
        let mut done = FxHashSet::default();
        let mut right = Right::default();
        let mut compared = 0;
        let groups = dense(&expected.leaves, leaves.len());
        if groups.len() != leaves.len() {
            return None;
        }
        for (group, class) in groups.into_iter().zip(leaves) {
            let class = *self.chain.remotes.get(class.index())?;
            let slot = seen.get_mut(group as usize * width + class as usize)?;
            if std::mem::replace(slot, true) {
                continue;
            }
            let row = expected.groups.get(group as usize)?.row;
            let decided = *self.chain.rows.get(class as usize)?;
            if done.insert((row, decided)) {
                if !self.is_right(
                    expected,
                    expected.rows.get(row as usize)?,
                    decided,
                    &mut right,
                )? {
                    return None;
                }
                compared += self.shared.parts.len() as u64;
            }
        }
        Some(compared)
    }

    /// A leaf that is the node of the endpoint, or the endpoint itself; `class` is that of the library.
    fn aside(&self, leaf: LeafId, class: u32, relation: Relation) -> Option<bool> {
        let is_itself = relation == Relation::Itself;
        let proofs = || lock(&self.proof.aside);
        if proofs().right.contains(&(leaf.0, is_itself)) {
            return Some(true);
        }
        let expected = self.expected();
        let number = super::runs::at(&expected.leaves, leaf.0)?;
        let class = *self.chain.remotes.get(class as usize)?;
        let key = (number, class, is_itself);
        let known = proofs().known.get(&key).copied();
        let found = match known {
            Some(known) => known,
            None => {
                let group = expected.groups.get(number as usize)?;
                let row = expected.row(self.prover, self.case, group, leaf, relation)?;
                let decided = *self.chain.own.get(class as usize)?;
                self.is_right(expected, &row, decided, &mut Right::default())?
            }
        };
        let mut proofs = proofs();
        proofs.known.insert(key, found);
        if found {
            proofs.right.insert((leaf.0, is_itself));
        }
        Some(found)
    }

    fn is_right(
        &self,
        expected: &Expected,
        row: &Row,
        decided: u32,
        right: &mut Right,
    ) -> Option<bool> {
        let decided = self.library.row(decided)?;
        for part in &self.shared.parts {
            let (_, side) = expected.said(row, part.cell)?;
            let number = *decided.get(part.class.index())?;
            if right.contains(&(std::ptr::from_ref(side), number)) {
                continue;
            }
            let decision = *self.library.decisions().get(number as usize)?;
            if !is_said(self.prover.policies, decision, side) {
                return Some(false);
            }
            right.insert((side, number));
        }
        Some(true)
    }
}

/// The image of a node, in the classes of the library.
struct Node<'n> {
    /// By class of the image: the rows of all tables.
    rows: &'n [u8],
    cells: &'n [u8],
    classes: usize,
    port_classes: usize,
    /// By code: the decision of the library.
    codes: Vec<u32>,
    /// The classes of packets: in the image and in the library.
    keys: Vec<(u32, u32)>,
    /// The classes of leaves that are not the node's own: in the image and in the library, each pair once.
    apart: Vec<(u32, u32)>,
    /// The leaves that are: with both classes.
    own: Vec<(LeafId, u32, u32)>,
    image: &'n Image<'n>,
    library: &'n Library,
    /// By row of the library: one of the image that says the same.
    held: Vec<Cell<u32>>,
}

impl<'n> Node<'n> {
    fn of(
        shared: &Shared,
        prover: &Prover<'_>,
        library: &'n Library,
        subject: &Subject<'n>,
    ) -> Option<Self> {
        let image = subject.image;
        let codes = super::named::coded(subject.program).into_iter();
        let codes = codes.map(|code| shared.decisions.get(&code).copied().unwrap_or(NONE));
        let mut keys: Vec<(u32, u32)> = classes_of_packets(image, &shared.starts)?
            .into_iter()
            .zip(&shared.parts)
            .map(|(class, part)| (class, part.class.0))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let own_leaves = prover.ends.of_node(subject.node);
        if library.leaves().len() != image.count(Config::Leaves) as usize
            || prover.ends.examples.len() != library.leaves().len()
        {
            return None;
        }
        let (mut apart, mut own) = (Vec::new(), Vec::new());
        let mut last = vec![NONE; library.classes() as usize];
        for (class, leaf) in library.leaves().iter().zip(0..) {
            let found = quarter(image, Section::Leaves, leaf)?;
            let slot = last.get_mut(class.index())?;
            if own_leaves.contains(&LeafId(leaf)) {
                own.push((LeafId(leaf), found, class.0));
            } else if *slot != found {
                *slot = found;
                apart.push((found, class.0));
            }
        }
        Some(Self {
            rows: image.section(Section::Rows),
            cells: image.section(Section::Cells),
            classes: image.count(Config::Classes) as usize,
            port_classes: image.count(Config::PortClasses) as usize,
            codes: codes.collect(),
            keys,
            apart,
            own,
            image,
            library,
            held: vec![Cell::new(NONE); library.row_count()],
        })
    }

    /// The class of a leaf in the library.
    fn class(&self, leaf: LeafId) -> Option<u32> {
        Some(self.library.leaves().get(leaf.index())?.0)
    }

    /// Whether a table says what a chain does, about all leaves.
    fn holds(&self, chain: &Tabulated, table: u32) -> bool {
        let first = table as usize * self.classes;
        let rows = self.rows.get(first * 2..(first + self.classes) * 2);
        let Some(rows) = rows else { return false };
        let mut seen = vec![NONE; chain.rows.len()];
        let apart = self.apart.iter().all(|(class, of_library)| {
            let told = chain.remotes.get(*of_library as usize);
            let Some((told, row)) = told.zip(short(rows, *class as usize)) else {
                return false;
            };
            let Some(slot) = seen.get_mut(*told as usize) else {
                return false;
            };
            *slot == row || {
                *slot = row;
                self.holds_row(chain.rows.get(*told as usize), row)
            }
        });
        apart
            && self.own.iter().all(|(_, class, of_library)| {
                let told = chain.remotes.get(*of_library as usize);
                let row = short(rows, *class as usize);
                told.zip(row)
                    .is_some_and(|(told, row)| self.holds_row(chain.own.get(*told as usize), row))
            })
    }

    /// Whether a table says what a chain does about what an endpoint sends to itself.
    fn holds_itself(&self, chain: &Tabulated, table: u32, leaf: LeafId) -> bool {
        let class = quarter(self.image, Section::Leaves, leaf.0);
        let told = self.class(leaf);
        let told = told.and_then(|class| chain.remotes.get(class as usize));
        told.zip(class).is_some_and(|(told, class)| {
            let row = short(self.rows, table as usize * self.classes + class as usize);
            row.is_some_and(|row| self.holds_row(chain.own.get(*told as usize), row))
        })
    }

    /// Whether a row says what one of the library does, about all packets.
    fn holds_row(&self, decided: Option<&u32>, row: u32) -> bool {
        let Some(decided) = decided else {
            return false;
        };
        let held = self.held.get(*decided as usize);
        if held.is_some_and(|held| held.get() == row) {
            return true;
        }
        let first = row as usize * self.port_classes;
        let cells = self.cells.get(first * 2..(first + self.port_classes) * 2);
        let Some((cells, told)) = cells.zip(self.library.row(*decided)) else {
            return false;
        };
        let holds = self.keys.iter().all(|(class, of_library)| {
            let code = short(cells, *class as usize);
            let found = code.and_then(|code| self.codes.get(code as usize));
            found.is_some() && found == told.get(*of_library as usize)
        });
        if let Some(held) = held.filter(|_| holds) {
            held.set(row);
        }
        holds
    }
}

/// A value of 16 bits.
fn short(bytes: &[u8], index: usize) -> Option<u32> {
    let pair = bytes.get(index * 2..index * 2 + 2)?;
    Some(u16::from_le_bytes(pair.try_into().ok()?).into())
}

/// The class that an image has for all packets from each start to the next; none where it has several.
fn classes_of_packets(image: &Image<'_>, starts: &[u32]) -> Option<Vec<u32>> {
    let mut found: Vec<u32> = vec![NONE; starts.len()];
    let mut uniform: Vec<Option<bool>> = vec![None; image.count(Config::Pages) as usize];
    let mut next = packet_from(0);
    let mut part = 0;
    while let Some(packet) = next {
        while starts.get(part + 1).is_some_and(|start| *start <= packet) {
            part += 1;
        }
        let end = starts.get(part + 1).copied().unwrap_or(LAST + 1);
        let (protocol, value) = parts(packet);
        let class = port_class(image, protocol.0, value)?;
        let slot = found.get_mut(part)?;
        if *slot != NONE && *slot != class {
            return None;
        }
        *slot = class;
        // Up to there every packet has the class of this one.
        let entry = half(image, Section::Protocols, protocol.0.into())?;
        let same = if entry & TO_DIRECTORY == 0 {
            whole(protocol).1 + 1
        } else if value & 0xFF == 0 && value >> 16 == 0 {
            let directory = (entry & 0xFFFF) * DIRECTORY_ENTRIES;
            let page = quarter(image, Section::Directories, directory + (value >> 8))?;
            let known = uniform.get_mut(page as usize)?;
            let is_uniform = *known.get_or_insert_with(|| {
                let entries = page * PAGE_ENTRIES..(page + 1) * PAGE_ENTRIES;
                let mut entries = entries.map(|entry| quarter(image, Section::Pages, entry));
                entries.all(|entry| entry == Some(class))
            });
            packet + if is_uniform { 0x100 } else { 1 }
        } else {
            packet + 1
        };
        next = Some(same.min(end))
            .filter(|next| *next <= LAST)
            .and_then(packet_from);
    }
    Some(found)
}
