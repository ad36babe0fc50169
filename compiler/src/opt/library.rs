//! The tables of all chains of a cluster, made once; the program of a node is put together from those of its endpoints.
//!
//! Equation: [`Library::program`] is [`super::optimize`] of the program of the node. Proof: the passes up to `tabulate` look at a
//! chain by itself, through the classes that its own sets tell apart, so a chain becomes the same table whatever stands beside
//! it. What depends on the node is which leaves are its own: there no policy of a namespace keeps the two apart, which is
//! what a table says of an endpoint that sends to itself. Classes, rows and codes are numbered by what comes first, here as there.
//! Tests hold the one to the other; and like all programs, each is proved against the definition. Where rules are resolved by
//! precedence more depends on the node (what a node is to an endpoint), and programs are made one by one.

pub(crate) mod kept;

use super::rows::Decided;
use super::sets::intern;
use super::{PASSES, TABULATE, chains, classes, rows};
use crate::cluster::{NodeId, PodId};
use crate::hir::{Direction, PerDirection};
use crate::lir::leaves::Remote;
use crate::lir::{
    Chain, ChainId, ClassId, CodeId, Decision, Endpoint, Lowering, PortClassId, Program, RowId,
    Table, number,
};
use crate::ranges::Ranges;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::hash::Hash;

/// The tables. See the module.
#[derive(Debug)]
pub struct Library {
    /// By leaf: its class, as all chains together tell leaves apart.
    leaves: Vec<ClassId>,
    classes: u32,
    /// Classes of keys, as all chains together tell keys apart.
    transports: Vec<(u32, PortClassId)>,
    port_classes: u32,
    chains: Vec<Tabulated>,
    /// The rows of all chains, equal ones once: by class of keys the index of a decision.
    rows: Vec<Box<[u32]>>,
    decisions: Vec<Decision>,
    endpoints: FxHashMap<PodId, PerDirection<ChainId>>,
}

/// What a chain decides, by its own classes: the coarsest that its decisions allow.
#[derive(Debug)]
pub(crate) struct Tabulated {
    /// By class of leaves: that of the chain.
    pub(crate) remotes: Box<[u32]>,
    /// By class of keys: that of the chain.
    ports: Box<[u32]>,
    port_classes: u32,
    /// By class of leaves of the chain: a row of the library.
    pub(crate) rows: Box<[u32]>,
    /// The same for what an endpoint sends to itself, and for its node.
    pub(crate) own: Box<[u32]>,
}

/// Decisions and rows, equal ones once.
#[derive(Default)]
struct Known {
    codes: FxHashMap<Decision, u32>,
    decisions: Vec<Decision>,
    numbers: FxHashMap<Box<[u32]>, u32>,
    rows: Vec<Box<[u32]>>,
}

impl Known {
    fn row(&mut self, decided: &[Decision], ports: &[u32]) -> u32 {
        let codes: Vec<u32> = decided
            .iter()
            .map(|decision| intern(&mut self.codes, &mut self.decisions, *decision))
            .collect();
        let row: Box<[u32]> = ports.iter().map(|port| at(&codes, *port)).collect();
        intern(&mut self.numbers, &mut self.rows, row)
    }

    fn chain(&mut self, decided: &Decided) -> Tabulated {
        let mut all = |rows: &[Vec<Decision>]| -> Vec<u32> {
            let rows = rows.iter().map(|row| self.row(row, &decided.ports));
            rows.collect()
        };
        let rows = all(&decided.rows);
        let own = decided.hairpin.as_deref().map(&mut all);
        let own = own.unwrap_or_else(|| rows.clone());
        let told: Vec<(u32, u32)> = rows.into_iter().zip(own).collect();
        let (remotes, kept) = merged(decided.remotes.iter().map(|class| {
            let told = told.get(*class as usize);
            told.copied().unwrap_or_default()
        }));
        let width = decided.ports.iter().max().map_or(0, |most| most + 1);
        let column = |port: u32| -> Vec<Option<Decision>> {
            let rows = decided.rows.iter().chain(decided.hairpin.iter().flatten());
            rows.map(|row| row.get(port as usize).copied()).collect()
        };
        let (columns, _) = merged((0..width).map(column));
        let (ports, port_classes) = merged(decided.ports.iter().map(|port| at(&columns, *port)));
        Tabulated {
            remotes: remotes.into(),
            ports: ports.into(),
            port_classes: number(port_classes.len()),
            rows: kept.iter().map(|(row, _)| *row).collect(),
            own: kept.iter().map(|(_, own)| *own).collect(),
        }
    }
}

/// The number of each thing, equal ones alike, and the things by number, in the order in which they come.
fn merged<T: Clone + Eq + Hash>(things: impl Iterator<Item = T>) -> (Vec<u32>, Vec<T>) {
    let (mut known, mut kept) = (FxHashMap::default(), Vec::new());
    let numbers = things.map(|thing| intern(&mut known, &mut kept, thing));
    (numbers.collect(), kept)
}

impl Library {
    /// Tabulates the chains of the endpoints of some nodes.
    #[must_use]
    pub fn new<'p>(
        lowering: &Lowering<'_>,
        nodes: impl Iterator<Item = &'p (Option<NodeId>, Vec<PodId>)>,
    ) -> Self {
        let pods: Vec<PodId> = nodes.flat_map(|(_, pods)| pods.iter().copied()).collect();
        let mut program = lowering.node(None, &pods);
        for pass in PASSES.iter().take_while(|pass| pass.name != TABULATE.name) {
            (pass.run)(&mut program);
        }
        let of = |chain: &Chain| Decided::of_chain(&program, chain);
        let decided: Vec<Option<Decided>> = program.chains.par_iter().map(of).collect();
        let mut known = Known::default();
        let chains = decided.iter().flatten().map(|decided| known.chain(decided));
        let chains = chains.collect();
        let chains_of = program
            .endpoints
            .into_iter()
            .map(|endpoint| endpoint.chains);
        let endpoints = pods.iter().copied().zip(chains_of).collect();
        Self {
            leaves: program.leaves,
            classes: program.classes,
            transports: program.transports,
            port_classes: program.port_classes,
            chains,
            rows: known.rows,
            decisions: known.decisions,
            endpoints,
        }
    }

    /// With these endpoints in place of those that it has.
    pub(crate) fn with_endpoints(
        self,
        endpoints: impl Iterator<Item = (PodId, PerDirection<ChainId>)>,
    ) -> Self {
        Self {
            endpoints: endpoints.collect(),
            ..self
        }
    }

    /// How many chains there are.
    pub(crate) fn chain_count(&self) -> u32 {
        number(self.chains.len())
    }

    /// The chain of an endpoint.
    pub(crate) fn chain_of(&self, pod: PodId, direction: Direction) -> Option<u32> {
        Some(self.endpoints.get(&pod)?.get(direction).0)
    }

    pub(crate) fn chain(&self, chain: u32) -> Option<&Tabulated> {
        self.chains.get(chain as usize)
    }

    pub(crate) fn tables_mut(&mut self) -> (&mut [Decision], &mut [Box<[u32]>]) {
        (&mut self.decisions, &mut self.rows)
    }

    /// A row: by class of keys, the index of a decision.
    pub(crate) fn row(&self, row: u32) -> Option<&[u32]> {
        self.rows.get(row as usize).map(|row| &**row)
    }

    /// How many rows there are.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// What chains decide.
    pub(crate) fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// By leaf: its class.
    pub(crate) fn leaves(&self) -> &[ClassId] {
        &self.leaves
    }

    /// How many classes of leaves there are.
    pub(crate) fn classes(&self) -> u32 {
        self.classes
    }

    /// The classes of keys.
    pub(crate) fn transports(&self) -> &[(u32, PortClassId)] {
        &self.transports
    }

    /// The program of a node after all passes.
    #[must_use]
    pub fn program(
        &self,
        lowering: &Lowering<'_>,
        node: Option<NodeId>,
        pods: &[PodId],
    ) -> Program {
        let mut program = self.tables(lowering, node, pods);
        chains::run(&mut program);
        classes::ports(&mut program);
        // What the chains cannot tell apart is one class already, but for the node's own leaves.
        if own_is_another(&program) {
            classes::leaves(&mut program);
            rows::share(&mut program);
        }
        debug_assert_eq!(crate::lir::check::check(&program), Ok(()));
        program
    }

    /// The program with each row once, before chains and keys are looked at together.
    fn tables(&self, lowering: &Lowering<'_>, node: Option<NodeId>, pods: &[PodId]) -> Program {
        let (endpoints, chains) = self.endpoints(lowering, pods);
        let own = node.map(|node| lowering.leaves().of_who(Remote::Node(node)));
        let (own_first, own_end) = own.unwrap_or_default();
        // Leaves that no chain tells apart, those of the node by themselves: the class of all chains, and whose they are.
        let mut known = vec![NONE; self.classes as usize * 2];
        let mut elements: Vec<(u32, bool)> = Vec::new();
        let leaves = self.leaves.iter().zip(0..).map(|(class, leaf)| {
            let is_own = (own_first..own_end).contains(&leaf);
            let slot = known.get_mut(class.index() * 2 + usize::from(is_own));
            slot.map_or(NONE, |slot| {
                if *slot == NONE {
                    *slot = number(elements.len());
                    elements.push((class.0, is_own));
                }
                *slot
            })
        });
        let leaves: Vec<u32> = leaves.collect();
        let mut classes = Classes::new(elements.iter().map(|(_, is_own)| u32::from(*is_own)), 2);
        let mut ports = Classes::new((0..self.port_classes).map(|_| 0), 1);
        for chain in &chains {
            let of = elements.iter().map(|(class, _)| at(&chain.remotes, *class));
            classes.refine(of, number(chain.rows.len()));
            ports.refine(chain.ports.iter().copied(), chain.port_classes);
        }
        let examples: Vec<(u32, bool)> = classes
            .examples()
            .iter()
            .filter_map(|element| elements.get(*element as usize).copied())
            .collect();
        let port_examples = ports.examples();
        let mut rows = Rows::new(self, &port_examples);
        let tables = chains.iter().map(|chain| rows.table(chain, &examples));
        let tables: Vec<Chain> = tables.map(Chain::Table).collect();
        let own_node = examples.iter().zip(0..).filter(|((_, is_own), _)| *is_own);
        let own_node = own_node.map(|(_, class)| (class, class)).collect();
        let class_of = |element: &u32| ClassId(at(&classes.of, *element));
        let mut transports: Vec<(u32, PortClassId)> = self
            .transports
            .iter()
            .map(|(start, class)| (*start, PortClassId(at(&ports.of, class.0))))
            .collect();
        transports.dedup_by_key(|(_, class)| *class);
        Program {
            leaves: leaves.iter().map(class_of).collect(),
            classes: number(examples.len()),
            either: Vec::new(),
            own_node: Ranges::new(own_node),
            transports,
            port_classes: number(port_examples.len()),
            unasked: Ranges::default(),
            remotes: Vec::new(),
            ports: Vec::new(),
            chains: tables,
            rows: rows.rows,
            codes: rows.codes,
            endpoints,
        }
    }

    /// The endpoints, with their chains numbered as they come.
    fn endpoints(
        &self,
        lowering: &Lowering<'_>,
        pods: &[PodId],
    ) -> (Vec<Endpoint>, Vec<&Tabulated>) {
        let (mut known, mut ids) = (FxHashMap::default(), Vec::new());
        let mut renumber = |chain: ChainId| ChainId(intern(&mut known, &mut ids, chain.index()));
        let endpoints = pods.iter().filter_map(|pod| {
            let chains = self.endpoints.get(pod)?;
            Some(Endpoint {
                name: lowering.name(*pod)?,
                chains: PerDirection {
                    ingress: renumber(chains.ingress),
                    egress: renumber(chains.egress),
                },
            })
        });
        let endpoints: Vec<Endpoint> = endpoints.collect();
        let chains = ids.iter().filter_map(|chain| self.chains.get(*chain));
        (endpoints, chains.collect())
    }
}

/// Whether the leaves of the node are decided as others are, in all tables.
fn own_is_another(program: &Program) -> bool {
    let own = program
        .own_node
        .iter()
        .flat_map(|(first, last)| first..=last);
    own.into_iter().any(|own| {
        (0..program.classes).any(|other| {
            other != own
                && program.chains.iter().all(|chain| match chain {
                    Chain::Table(table) => [&table.rows, &table.hairpin]
                        .iter()
                        .all(|rows| rows.get(own as usize) == rows.get(other as usize)),
                    Chain::Rules(_) => true,
                })
        })
    })
}

fn at(list: &[u32], index: u32) -> u32 {
    list.get(index as usize).copied().unwrap_or_default()
}

/// Things in classes that become finer, numbered by what comes first.
struct Classes {
    /// By thing.
    of: Vec<u32>,
    count: u32,
    /// By class of before and class of what refines: the class of now.
    scratch: Vec<u32>,
}

/// No class yet.
const NONE: u32 = u32::MAX;

impl Classes {
    fn new(of: impl ExactSizeIterator<Item = u32>, count: u32) -> Self {
        let mut classes = Self {
            of: vec![0; of.len()],
            count: 1,
            scratch: Vec::new(),
        };
        classes.refine(of, count);
        classes
    }

    fn refine(&mut self, by: impl Iterator<Item = u32>, count: u32) {
        if count <= 1 {
            return;
        }
        let cells = (self.count as usize).saturating_mul(count as usize);
        self.scratch.clear();
        self.scratch.resize(cells, NONE);
        let mut next = 0;
        for (own, by) in self.of.iter_mut().zip(by) {
            let cell = *own as usize * count as usize + by as usize;
            let Some(slot) = self.scratch.get_mut(cell) else {
                continue;
            };
            if *slot == NONE {
                *slot = next;
                next += 1;
            }
            *own = *slot;
        }
        self.count = next;
    }

    /// The first thing of each class.
    fn examples(&self) -> Vec<u32> {
        let mut examples = Vec::with_capacity(self.count as usize);
        for (class, thing) in self.of.iter().zip(0..) {
            if *class as usize == examples.len() {
                examples.push(thing);
            }
        }
        examples
    }
}

/// The rows and codes of a node, as they come.
struct Rows<'l> {
    library: &'l Library,
    /// By class of keys of the node: a class of all chains.
    ports: &'l [u32],
    rows: Vec<Vec<CodeId>>,
    codes: Vec<Decision>,
    /// By decision of the library: its code.
    known: Vec<u32>,
    /// By row of the library: that of the node.
    known_rows: Vec<u32>,
}

impl<'l> Rows<'l> {
    fn new(library: &'l Library, ports: &'l [u32]) -> Self {
        Self {
            library,
            ports,
            rows: Vec::new(),
            codes: Vec::new(),
            known: vec![NONE; library.decisions.len()],
            known_rows: vec![NONE; library.rows.len()],
        }
    }

    fn table(&mut self, chain: &Tabulated, classes: &[(u32, bool)]) -> Table {
        // The node's own leaves are decided as the endpoint itself is.
        let rows = self.column(
            chain,
            classes,
            |own| if own { &chain.own } else { &chain.rows },
        );
        Table {
            hairpin: if chain.own == chain.rows {
                rows.clone()
            } else {
                self.column(chain, classes, |_| &chain.own)
            },
            rows,
        }
    }

    /// By class of leaves of the node: a row.
    fn column<'c>(
        &mut self,
        chain: &Tabulated,
        classes: &[(u32, bool)],
        of: impl Fn(bool) -> &'c [u32],
    ) -> Vec<RowId> {
        let rows = classes.iter().map(|(class, is_own)| {
            let row = at(of(*is_own), at(&chain.remotes, *class));
            let known = at(&self.known_rows, row);
            if known == NONE {
                self.row(row)
            } else {
                RowId(known)
            }
        });
        rows.collect()
    }

    fn row(&mut self, row: u32) -> RowId {
        let decided = self.library.row(row).unwrap_or_default();
        let codes = self.ports.iter().map(|port| {
            let decision = at(decided, *port) as usize;
            let Some(slot) = self.known.get_mut(decision) else {
                return CodeId(0);
            };
            if *slot == NONE {
                *slot = number(self.codes.len());
                let of = self.library.decisions.get(decision);
                self.codes.push(of.copied().unwrap_or(Decision::CLOSED));
            }
            CodeId(*slot)
        });
        self.rows.push(codes.collect());
        let id = number(self.rows.len() - 1);
        if let Some(slot) = self.known_rows.get_mut(row as usize) {
            *slot = id;
        }
        RowId(id)
    }
}
