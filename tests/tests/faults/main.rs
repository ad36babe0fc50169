//! Seeded faults: every kind of mistake that a pass, the encoder or damage might make is found, and by which check.
//!
//! The table of what found each stands in `snapshots/faults`. A fault that is not found must change no decision; each kind is
//! found in some world.

mod bytes;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use verdict_abi::{Config, Query, Use, decide};
use verdict_compiler::cluster::{NodeId, Owner, PodId};
use verdict_compiler::compile::{CompileError, Compiler};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::image::Image;
use verdict_compiler::ir;
use verdict_compiler::lir::{Action, Origin, Program, transport};
use verdict_compiler::opt;
use verdict_compiler::query::{Families, Family, Who, endpoint};
use verdict_compiler::source::Sources;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::small;

/// How often a kind is to be found before it is not tried any more.
const ENOUGH: usize = 3;

/// How many worlds are tried. The table holds for this number.
const WORLDS: u64 = 60;

/// A kind of fault: what is at fault, and what happens.
type Kind = (&'static str, &'static str);

/// What found each kind, and how often it was found.
#[derive(Default)]
struct Found(BTreeMap<Kind, (BTreeSet<String>, usize)>);

impl Found {
    fn is_enough(&self, kind: Kind) -> bool {
        self.0.get(&kind).is_some_and(|(_, count)| *count >= ENOUGH)
    }

    fn add(&mut self, kind: Kind, by: Option<String>) {
        let (found, count) = self.0.entry(kind).or_default();
        *count += usize::from(by.is_some());
        found.extend(by);
    }
}

struct Loading {
    sources: Sources,
    loaded: Loaded,
    program: ir::Program,
}

impl Loading {
    fn of(seed: u64) -> Self {
        let world = small::world(seed);
        let loaded = world.load_for(seed);
        Self {
            sources: world.sources(),
            program: ir::Program::resolve(&loaded.cluster, &loaded.policies),
            loaded,
        }
    }
}

/// A node whose image is right.
struct Right<'a> {
    compiler: &'a Compiler<'a>,
    /// The same, with the tables of all nodes made together.
    together: &'a Compiler<'a>,
    node: Option<NodeId>,
    pods: &'a [PodId],
    lowered: Program,
    program: Program,
    bytes: Vec<u8>,
    /// The leaves of each pod: what it may send to itself.
    own: Vec<Vec<usize>>,
}

#[test]
fn every_fault_is_found() {
    let mut found = Found::default();
    for seed in 0..WORLDS {
        let loading = Loading::of(seed);
        let (cluster, policies) = (&loading.loaded.cluster, &loading.loaded.policies);
        let compiler = Compiler::new(cluster, policies, &loading.sources, &loading.program);
        let together = Compiler::new(cluster, policies, &loading.sources, &loading.program);
        let together = together.for_nodes(compiler.lowering().nodes().iter());
        let mut random = Random::new(seed);
        for (node, pods) in compiler.lowering().nodes() {
            let lowered = compiler.lowering().node(*node, pods);
            if lowered.endpoints.is_empty() {
                continue;
            }
            let program = opt::optimize(lowered.clone(), |_, _| {});
            let right = Right {
                compiler: &compiler,
                together: &together,
                node: *node,
                pods,
                own: own_leaves(&loading, &compiler, pods),
                bytes: compiler.encode(*node, pods, &program).unwrap(),
                lowered,
                program,
            };
            assert!(right.found_in(&right.program).is_none(), "world {seed}");
            right.of_programs(&mut found, &mut random);
            right.of_bytes(&mut found, &mut random);
        }
    }
    let never: Vec<Kind> = kinds()
        .filter(|kind| found.0.get(kind).is_none_or(|(_, count)| *count == 0))
        .collect();
    assert!(never.is_empty(), "never found in a world: {never:?}");
    assert!(found.0.len() >= 30, "only {} kinds", found.0.len());
    let mut table = String::new();
    for ((at, fault), (by, _)) in &found.0 {
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        writeln!(table, "{at:<18}{fault:<56}{}", by.join(", ")).unwrap();
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/faults");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("table", table));
}

/// What is decided by code, without who decides.
fn decided(image: &Image<'_>, query: Query) -> Option<(u8, bool)> {
    decide(image, query).map(|(_, code)| (code.action as u8, code.depends))
}

/// Tables that are made once for all nodes are not believed either: a fault in them is found at the nodes that it reaches.
#[test]
fn a_fault_of_the_tables_of_all_nodes_is_found() {
    let (mut found, mut meaningless) = (0, 0);
    for seed in 0..20 {
        let loading = Loading::of(seed);
        let (cluster, policies) = (&loading.loaded.cluster, &loading.loaded.policies);
        let compiler = Compiler::new(cluster, policies, &loading.sources, &loading.program);
        let nodes = compiler.lowering().nodes();
        let mut random = Random::new(seed);
        for round in 0..6 {
            let mut together = compiler.library(nodes.iter()).unwrap();
            let (decisions, rows) = together.tables_mut();
            if decisions.len() < 2 || rows.is_empty() {
                continue;
            }
            if round % 3 == 0 {
                let index = random.below(decisions.len());
                let mut other = decisions[index];
                other.action = if other.action == Action::Deny {
                    Action::Allow
                } else {
                    Action::Deny
                };
                // A table has a decision once, and one that depends denies.
                if other.depends || decisions.contains(&other) {
                    continue;
                }
                decisions[index] = other;
            } else {
                let row = random.below(rows.len());
                let cell = random.below(rows[row].len());
                let count = u32::try_from(decisions.len()).unwrap();
                rows[row][cell] = (rows[row][cell] + 1) % count;
            }
            for (node, pods) in nodes {
                match compiler.node_by(Some(&together), *node, pods) {
                    Err(CompileError::Mismatch(_)) => found += 1,
                    Err(error) => panic!("{error}"),
                    Ok(made) => {
                        let right = compiler.node(*node, pods).unwrap();
                        meaningless += usize::from(right.image != made.image);
                        same_actions(&right.image.write(), &made.image.write());
                    }
                }
            }
        }
    }
    assert!(found > 40, "{found} found, {meaningless} without a meaning");
}

/// Whether two images do the same about every endpoint, leaf and packet, whoever decides.
fn same_actions(right: &[u8], other: &[u8]) {
    let [right, other] = [right, other].map(|bytes| Image::decode(bytes).unwrap());
    let endpoints = u32::try_from(right.source().endpoints.len()).unwrap();
    let packets = [(6, 80), (6, 8080), (6, 443), (17, 53), (1, 0x800), (47, 0)];
    for endpoint in 0..endpoints {
        for leaf in 0..right.count(Config::Leaves) {
            for of in [Use::Ingress, Use::Egress] {
                for (protocol, value) in packets {
                    let query = Query {
                        endpoint,
                        of,
                        leaf,
                        protocol,
                        value,
                    };
                    assert_eq!(decided(&right, query), decided(&other, query));
                }
            }
        }
    }
}

/// Every kind of fault.
fn kinds() -> impl Iterator<Item = Kind> {
    let lowering = program::OF_RULES
        .iter()
        .map(|(name, _)| ("lowering", *name));
    let passes = program::OF_PASSES
        .iter()
        .map(|(pass, (name, _))| (*pass, *name));
    let tables = program::OF_TABLES
        .iter()
        .map(|(name, _)| ("last pass", *name));
    let image = bytes::SEALED.iter().map(|(name, _)| ("encoding", *name));
    let damage = bytes::UNSEALED.iter().map(|(name, _)| ("damage", *name));
    lowering
        .chain(passes)
        .chain(tables)
        .chain(image)
        .chain(damage)
}

impl Right<'_> {
    /// Makes each change behind a pass (or before all), and runs those that follow.
    fn of_programs(&self, found: &mut Found, random: &mut Random) {
        let first = program::OF_RULES
            .iter()
            .map(|change| ("lowering", None, change));
        let amid = program::OF_PASSES.iter().map(|(pass, change)| {
            let index = opt::PASSES.iter().position(|own| own.name == *pass);
            (*pass, Some(index.unwrap()), change)
        });
        let last = opt::PASSES.len() - 1;
        let last = program::OF_TABLES
            .iter()
            .map(|change| ("last pass", Some(last), change));
        for (at, pass, (name, change)) in first.chain(amid).chain(last) {
            let kind = (at, *name);
            if found.is_enough(kind) {
                continue;
            }
            let mut faulty = self.lowered.clone();
            let (before, after) = opt::PASSES.split_at(pass.map_or(0, |pass| pass + 1));
            before.iter().for_each(|pass| (pass.run)(&mut faulty));
            if !change(&mut faulty, random) {
                continue;
            }
            after.iter().for_each(|pass| (pass.run)(&mut faulty));
            let by = self.found_in(&faulty);
            // Some changes mean nothing: a rule that never decides. Another rule that decides the same is as good a name.
            let means_nothing = || same(&unnamed(&self.program), &unnamed(&faulty), &self.own);
            assert!(by.is_some() || means_nothing(), "{kind:?} is not found");
            found.add(kind, by);
        }
    }

    fn of_bytes(&self, found: &mut Found, random: &mut Random) {
        let sealed = bytes::SEALED.iter().map(|change| ("encoding", change));
        let damage = bytes::UNSEALED.iter().map(|change| ("damage", change));
        for (at, (name, change)) in sealed.chain(damage) {
            let kind = (at, *name);
            if found.is_enough(kind) {
                continue;
            }
            let mut file = bytes::File(self.bytes.clone());
            if !change(&mut file, random) {
                continue;
            }
            let faulty = if at == "encoding" {
                file.sealed()
            } else {
                file.0
            };
            let by = self.found_by(&self.program, &faulty);
            assert!(
                by.is_some() || self.same_answers(&faulty),
                "{kind:?} is not found"
            );
            found.add(kind, by);
        }
    }

    fn found_in(&self, program: &Program) -> Option<String> {
        match self.compiler.encode(self.node, self.pods, program) {
            Ok(bytes) => self.found_by(program, &bytes),
            Err(_) => Some("limits".into()),
        }
    }

    /// What finds a fault: the same whether a node is proved by itself or by what is proved of all nodes together.
    fn found_by(&self, program: &Program, bytes: &[u8]) -> Option<String> {
        let found = [self.compiler, self.together].map(|compiler| {
            match compiler.prove(self.node, self.pods, program, bytes) {
                Ok(_) => None,
                Err(CompileError::Mismatch(mismatch)) => Some(mismatch.by.to_string()),
                Err(CompileError::Decode(_)) => Some("decoding".into()),
                Err(CompileError::Limit(..)) => Some("limits".into()),
            }
        });
        let [alone, together] = found;
        assert_eq!(alone, together);
        alone
    }

    /// Whether an image answers every question as the right one does.
    fn same_answers(&self, faulty: &[u8]) -> bool {
        let (right, faulty) = (
            Image::decode(&self.bytes).unwrap(),
            Image::decode(faulty).unwrap(),
        );
        let keys = packets(&[&self.program]);
        self.own.iter().zip(0..).all(|(own, endpoint)| {
            [
                Use::Ingress,
                Use::Egress,
                Use::HairpinIngress,
                Use::HairpinEgress,
            ]
            .into_iter()
            .all(|of| {
                let hairpin = matches!(of, Use::HairpinIngress | Use::HairpinEgress);
                let leaves =
                    (0..self.program.leaves.len()).filter(|leaf| !hairpin || own.contains(leaf));
                leaves.into_iter().all(|leaf| {
                    keys.iter().all(|key| {
                        let (protocol, value) = transport::parts(*key);
                        let query = Query {
                            endpoint,
                            of,
                            leaf: u32::try_from(leaf).unwrap(),
                            protocol: protocol.0,
                            value,
                        };
                        decide(&right, query) == decide(&faulty, query)
                    })
                })
            })
        })
    }
}

/// A packet for each run of keys.
fn packets(programs: &[&Program]) -> BTreeSet<u32> {
    let starts = programs.iter().flat_map(|program| &program.transports);
    let starts = starts.map(|(start, _)| *start);
    // Keys between the protocols stand for no packet.
    starts
        .filter(|key| transport::of(transport::example(*key)) == *key)
        .collect()
}

/// Whether two programs decide every cell alike, by the same origins.
fn same(one: &Program, other: &Program, own: &[Vec<usize>]) -> bool {
    let keys = packets(&[one, other]);
    let mut sides = one.endpoints.iter().zip(&other.endpoints).zip(own);
    sides.all(|((a, b), own)| {
        let chains = [
            (a.chains.ingress, b.chains.ingress),
            (a.chains.egress, b.chains.egress),
        ];
        chains.iter().all(|(a, b)| {
            let mut leaves = one.leaves.iter().zip(&other.leaves).enumerate();
            leaves.all(|(leaf, (x, y))| {
                keys.iter().all(|key| {
                    [false, true]
                        .iter()
                        .filter(|hairpin| !**hairpin || own.contains(&leaf))
                        .all(|hairpin| {
                            one.decide(&one.chains[a.index()], *x, one.port_class(*key), *hairpin)
                                == other.decide(
                                    &other.chains[b.index()],
                                    *y,
                                    other.port_class(*key),
                                    *hairpin,
                                )
                        })
                })
            })
        })
    })
}

/// The leaves of each pod: what it may send to itself.
fn own_leaves(loading: &Loading, compiler: &Compiler<'_>, pods: &[PodId]) -> Vec<Vec<usize>> {
    let leaves = compiler.lowering().leaves();
    let of = |pod: &PodId| {
        let known = loading.loaded.cluster.pods()[pod.index()].addresses.iter();
        let known =
            known.map(|address| (Who::Owned(*address, Owner::Pod(*pod)), Family::of(*address)));
        let unknown = Families::ALL.iter().map(|family| (Who::Pod(*pod), family));
        let ends = known
            .chain(unknown)
            .map(|(who, family)| endpoint(&loading.loaded.cluster, who, family));
        ends.filter_map(|end| Some(leaves.of(&loading.program, &end)?.index()))
            .collect()
    };
    pods.iter().map(of).collect()
}

/// The program with no origins, to compare what is done alone.
fn unnamed(program: &Program) -> Program {
    let mut program = program.clone();
    for code in &mut program.codes {
        code.origin = Origin::Nobody;
    }
    program
}
