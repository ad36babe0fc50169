//! The tables of all chains of a cluster, made once; the program of a node is put together from those of its endpoints.
//!
//! Equation: [`Library::program`] is [`super::optimize`] of the program of the node. Proof: the passes up to `tabulate` look at a
//! chain by itself, through the classes that its own sets tell apart, so a chain becomes the same table whatever stands beside
//! it. What depends on the node is which leaves are its own: there no policy of a namespace keeps the two apart, which is
//! what a table says of an endpoint that sends to itself. Classes, rows and codes are numbered by what comes first, here as there.
//! Tests hold the one to the other; and like all programs, each is proved against the definition. Where rules are resolved by
//! precedence more depends on the node (what a node is to an endpoint), and programs are made one by one.

use super::rows::Decided;
use super::sets::intern;
use super::{PASSES, TABULATE};
use crate::cluster::{NodeId, PodId};
use crate::hir::PerDirection;
use crate::lir::leaves::Remote;
use crate::lir::{
    Chain, ChainId, ClassId, CodeId, Decision, Endpoint, Lowering, PortClassId, Program, RowId,
    Table, number,
};
use crate::ranges::Ranges;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// The tables. See the module.
#[derive(Debug)]
pub struct Library {
    /// By leaf: its class, as all chains together tell leaves apart.
    leaves: Vec<ClassId>,
    /// Classes of keys, as all chains together tell keys apart.
    transports: Vec<(u32, PortClassId)>,
    port_classes: u32,
    chains: Vec<Tabulated>,
    decisions: Vec<Decision>,
    endpoints: FxHashMap<PodId, Endpoint>,
}

/// What a chain decides, by its own classes.
#[derive(Debug)]
struct Tabulated {
    /// By class of leaves: that of the chain.
    remotes: Vec<u32>,
    remote_classes: u32,
    /// By class of keys: that of the chain.
    ports: Vec<u32>,
    port_classes: u32,
    /// By both classes of the chain: indices of decisions.
    rows: Vec<Box<[u32]>>,
    /// For what an endpoint sends to itself, and for its node; none where that makes no difference.
    hairpin: Option<Vec<Box<[u32]>>>,
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
        let (mut known, mut decisions) = (FxHashMap::default(), Vec::new());
        let mut coded = |rows: Vec<Vec<Decision>>| -> Vec<Box<[u32]>> {
            let rows = rows.into_iter();
            rows.map(|row| {
                let codes = row.into_iter();
                codes
                    .map(|decision| intern(&mut known, &mut decisions, decision))
                    .collect()
            })
            .collect()
        };
        let chains = decided.into_iter().flatten().map(|decided| Tabulated {
            remote_classes: number(decided.rows.len()),
            port_classes: decided.ports.iter().max().map_or(0, |most| most + 1),
            rows: coded(decided.rows),
            hairpin: decided.hairpin.map(&mut coded),
            remotes: decided.remotes,
            ports: decided.ports,
        });
        let chains = chains.collect();
        let endpoints = pods.iter().copied().zip(program.endpoints).collect();
        Self {
            leaves: program.leaves,
            transports: program.transports,
            port_classes: program.port_classes,
            chains,
            decisions,
            endpoints,
        }
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
        let later = PASSES.iter().skip_while(|pass| pass.name != TABULATE.name);
        for pass in later.skip(1) {
            (pass.run)(&mut program);
        }
        debug_assert_eq!(crate::lir::check::check(&program), Ok(()));
        program
    }

    /// The program as it is after `tabulate`.
    fn tables(&self, lowering: &Lowering<'_>, node: Option<NodeId>, pods: &[PodId]) -> Program {
        let (endpoints, chains) = self.endpoints(pods);
        let own = node.map(|node| lowering.leaves().of_who(Remote::Node(node)));
        let (own_first, own_end) = own.unwrap_or_default();
        // Leaves that no chain tells apart, those of the node by themselves: the class of all chains, and whose they are.
        let (mut known, mut elements) = (FxHashMap::default(), Vec::new());
        let leaves = self.leaves.iter().zip(0..).map(|(class, leaf)| {
            let is_own = (own_first..own_end).contains(&leaf);
            intern(&mut known, &mut elements, (class.0, is_own))
        });
        let leaves: Vec<u32> = leaves.collect();
        let mut classes = Classes::new(elements.iter().map(|(_, is_own)| u32::from(*is_own)), 2);
        let mut ports = Classes::new((0..self.port_classes).map(|_| 0), 1);
        for chain in &chains {
            let of = elements.iter().map(|(class, _)| at(&chain.remotes, *class));
            classes.refine(of, chain.remote_classes);
            ports.refine(chain.ports.iter().copied(), chain.port_classes);
        }
        let examples: Vec<(u32, bool)> = classes
            .examples()
            .iter()
            .filter_map(|element| elements.get(*element as usize).copied())
            .collect();
        let port_examples = ports.examples();
        let mut rows = Rows::new(&self.decisions, &port_examples);
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
    fn endpoints(&self, pods: &[PodId]) -> (Vec<Endpoint>, Vec<&Tabulated>) {
        let (mut known, mut ids) = (FxHashMap::default(), Vec::new());
        let mut renumber = |chain: ChainId| ChainId(intern(&mut known, &mut ids, chain.index()));
        let own = pods.iter().filter_map(|pod| self.endpoints.get(pod));
        let endpoints: Vec<Endpoint> = own
            .map(|endpoint| Endpoint {
                name: endpoint.name.clone(),
                chains: PerDirection {
                    ingress: renumber(endpoint.chains.ingress),
                    egress: renumber(endpoint.chains.egress),
                },
            })
            .collect();
        let chains = ids.iter().filter_map(|chain| self.chains.get(*chain));
        (endpoints, chains.collect())
    }
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
    decisions: &'l [Decision],
    /// By class of keys of the node: a class of all chains.
    ports: &'l [u32],
    rows: Vec<Vec<CodeId>>,
    codes: Vec<Decision>,
    /// By decision of the library: its code.
    known: Vec<Option<CodeId>>,
}

impl<'l> Rows<'l> {
    fn new(decisions: &'l [Decision], ports: &'l [u32]) -> Self {
        Self {
            decisions,
            ports,
            rows: Vec::new(),
            codes: Vec::new(),
            known: vec![None; decisions.len()],
        }
    }

    fn table(&mut self, chain: &Tabulated, classes: &[(u32, bool)]) -> Table {
        let hairpin = chain.hairpin.as_ref();
        let rows = self.column(chain, classes, |own| {
            if own {
                hairpin.unwrap_or(&chain.rows)
            } else {
                &chain.rows
            }
        });
        Table {
            hairpin: match hairpin {
                Some(hairpin) => self.column(chain, classes, |_| hairpin),
                None => rows.clone(),
            },
            rows,
        }
    }

    /// By class of leaves of the node: a row of a chain, each once.
    fn column<'c>(
        &mut self,
        chain: &Tabulated,
        classes: &[(u32, bool)],
        of: impl Fn(bool) -> &'c Vec<Box<[u32]>>,
    ) -> Vec<RowId> {
        let mut known: Vec<Option<RowId>> = vec![None; chain.remote_classes as usize * 2];
        let mut column = Vec::with_capacity(classes.len());
        for (class, is_own) in classes {
            let own = at(&chain.remotes, *class) as usize;
            let Some(slot) = known.get_mut(own * 2 + usize::from(*is_own)) else {
                continue;
            };
            let row = slot.unwrap_or_else(|| {
                let decided = of(*is_own).get(own).map_or(&[][..], |row| row);
                self.row(chain, decided)
            });
            *slot = Some(row);
            column.push(row);
        }
        column
    }

    fn row(&mut self, chain: &Tabulated, decided: &[u32]) -> RowId {
        let codes: Vec<CodeId> = decided
            .iter()
            .map(|decision| {
                let slot = self.known.get_mut(*decision as usize);
                let code = slot.as_deref().copied().flatten();
                code.unwrap_or_else(|| {
                    let of = self.decisions.get(*decision as usize);
                    self.codes.push(of.copied().unwrap_or(Decision::CLOSED));
                    let code = CodeId(number(self.codes.len() - 1));
                    if let Some(slot) = slot {
                        *slot = Some(code);
                    }
                    code
                })
            })
            .collect();
        let row = self.ports.iter();
        let row = row.filter_map(|port| codes.get(at(&chain.ports, *port) as usize).copied());
        self.rows.push(row.collect());
        RowId(number(self.rows.len() - 1))
    }
}
