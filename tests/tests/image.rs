//! Images: what is written is read back, every fault is found, and what is no image is refused.

use std::collections::BTreeSet;
use verdict_abi::{ABI_VERSION, FORMAT_VERSION};
use verdict_compiler::cluster::{Owner, PodId};
use verdict_compiler::compile::{CompileError, Compiler};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::image::{DecodeError, Image};
use verdict_compiler::ir;
use verdict_compiler::lir::{
    Action, Chain, ClassId, CodeId, Origin, PortClassId, Program, RowId, transport,
};
use verdict_compiler::opt;
use verdict_compiler::query::{Families, Family, Who, endpoint};
use verdict_compiler::source::Sources;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, small};
use verdict_tests::images::{self, sealed};

fn worlds() -> u64 {
    std::env::var("VERDICT_WORLDS").map_or(60, |count| count.parse().unwrap())
}

struct Loading {
    sources: Sources,
    loaded: Loaded,
    program: ir::Program,
}

impl Loading {
    fn of(world: &World, seed: u64) -> Self {
        let loaded = world.load_for(seed);
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        Self {
            sources: world.sources(),
            loaded,
            program,
        }
    }

    fn compiler(&self) -> Compiler<'_> {
        Compiler::new(
            &self.loaded.cluster,
            &self.loaded.policies,
            &self.sources,
            &self.program,
        )
    }
}

#[test]
fn every_image_is_proved() {
    let mut compared = 0;
    for seed in 0..worlds() {
        let world = small::world(seed);
        let loading = Loading::of(&world, seed);
        let compiler = loading.compiler();
        for (node, pods) in compiler.lowering().nodes() {
            let made = compiler.node(*node, pods);
            let made =
                made.unwrap_or_else(|error| panic!("world {seed}: {error}\n{}", world.text()));
            compared += made.compared;
            let again = compiler.node(*node, pods).unwrap();
            assert_eq!(made.bytes, again.bytes);
        }
    }
    assert!(compared > 50_000, "only {compared} decisions were compared");
}

/// A change that a faulty pass, or a damaged file, might make.
type Fault = (&'static str, fn(&mut Program, &mut Random) -> bool);

fn tables(program: &mut Program) -> impl Iterator<Item = &mut Vec<RowId>> {
    program.chains.iter_mut().flat_map(|chain| match chain {
        Chain::Table(table) => [&mut table.rows, &mut table.hairpin],
        Chain::Rules(_) => panic!("a chain of rules after all passes"),
    })
}

fn cell<'p>(program: &'p mut Program, random: &mut Random) -> &'p mut CodeId {
    let row = random.below(program.rows.len());
    let row = &mut program.rows[row];
    let index = random.below(row.len());
    &mut row[index]
}

const TABLE_FAULTS: [Fault; 12] = [
    ("a cell has another code", |program, random| {
        let codes = u32::try_from(program.codes.len()).unwrap();
        let cell = cell(program, random);
        cell.0 = (cell.0 + 1) % codes;
        codes > 1
    }),
    ("a class has another row", |program, random| {
        let rows = u32::try_from(program.rows.len()).unwrap();
        let chains = program.chains.len();
        let table = tables(program).nth(random.below(chains) * 2).unwrap();
        let index = random.below(table.len());
        table[index].0 = (table[index].0 + 1) % rows;
        rows > 1
    }),
    ("a hairpin has another row", |program, random| {
        let rows = u32::try_from(program.rows.len()).unwrap();
        let chains = program.chains.len();
        let table = tables(program).nth(random.below(chains) * 2 + 1).unwrap();
        table.rotate_left(1);
        for row in table.iter_mut() {
            row.0 = (row.0 + 1) % rows;
        }
        rows > 1
    }),
    ("a leaf is in another class", |program, random| {
        let index = random.below(program.leaves.len());
        program.leaves[index].0 = (program.leaves[index].0 + 1) % program.classes;
        program.classes > 1
    }),
    ("two classes are merged", |program, _| {
        for class in &mut program.leaves {
            if *class == ClassId(1) {
                *class = ClassId(0);
            }
        }
        program.classes > 1
    }),
    ("a boundary of ports is one too high", |program, random| {
        let runs = program.transports.len();
        if runs < 2 {
            return false;
        }
        let index = 1 + random.below(runs - 1);
        program.transports[index].0 += 1;
        program
            .transports
            .get(index + 1)
            .is_none_or(|(next, _)| *next > program.transports[index].0)
    }),
    ("a boundary of ports is one too low", |program, random| {
        let runs = program.transports.len();
        if runs < 2 {
            return false;
        }
        let index = 1 + random.below(runs - 1);
        program.transports[index].0 -= 1;
        program.transports[index - 1].0 < program.transports[index].0
    }),
    ("two classes of ports are exchanged", |program, _| {
        for (_, class) in &mut program.transports {
            *class = match class.0 {
                0 => PortClassId(1),
                1 => PortClassId(0),
                other => PortClassId(other),
            };
        }
        program.port_classes > 1
    }),
    ("an action is turned round", |program, random| {
        let index = random.below(program.codes.len());
        let code = &mut program.codes[index];
        code.action = if code.action == Action::Deny {
            Action::Allow
        } else {
            Action::Deny
        };
        !code.depends
    }),
    ("what depends is sure", |program, _| {
        let code = program.codes.iter_mut().find(|code| code.depends);
        code.map(|code| code.depends = false).is_some()
    }),
    ("a decision is named after nobody", |program, _| {
        let named = program
            .codes
            .iter_mut()
            .find(|code| code.action == Action::Deny);
        named.map(|code| code.origin = Origin::Nobody).is_some()
    }),
    ("endpoints have each other's chains", |program, _| {
        let [first, second, ..] = &mut program.endpoints[..] else {
            return false;
        };
        std::mem::swap(&mut first.chains, &mut second.chains);
        first.chains != second.chains
    }),
];

/// Changes of what a pass works on.
const RULE_FAULTS: [Fault; 12] = [
    ("a rule is dropped", |program, random| {
        lists(program).into_iter().any(|rules| {
            !rules.is_empty() && {
                let index = random.below(rules.len());
                rules.remove(index);
                true
            }
        })
    }),
    ("a rule stands before the one in front", |program, _| {
        lists(program).into_iter().any(|rules| {
            rules.len() > 1 && rules[0].action != rules[1].action && {
                rules.swap(0, 1);
                true
            }
        })
    }),
    ("a deny is an allow", |program, _| {
        action(program, Action::Deny, Action::Allow)
    }),
    ("a deny is a pass", |program, _| {
        action(program, Action::Deny, Action::Pass)
    }),
    ("a pass is an allow", |program, _| {
        action(program, Action::Pass, Action::Allow)
    }),
    ("a pass is a deny", |program, _| {
        action(program, Action::Pass, Action::Deny)
    }),
    ("a rule names another", |program, _| {
        lists(program)
            .into_iter()
            .flatten()
            .next()
            .is_some_and(|rule| {
                rule.origins[0].0 += 1000;
                true
            })
    }),
    ("a set lacks its first member", |program, random| {
        let sets = program.remotes.len();
        if sets == 0 {
            return false;
        }
        let set = &mut program.remotes[random.below(sets)];
        let Some(first) = set.first() else {
            return false;
        };
        *set = set.intersection(&verdict_compiler::ranges::Ranges::new(vec![(
            first + 1,
            u32::MAX,
        )]));
        true
    }),
    (
        "a set of ports lacks its first member",
        |program, random| {
            let sets = program.ports.len();
            if sets == 0 {
                return false;
            }
            let set = &mut program.ports[random.below(sets)];
            let Some(first) = set.first() else {
                return false;
            };
            *set = set.intersection(&verdict_compiler::ranges::Ranges::new(vec![(
                first + 1,
                u32::MAX,
            )]));
            true
        },
    ),
    ("nothing isolates", |program, _| {
        program.chains.iter_mut().any(|chain| match chain {
            Chain::Rules(chain) if !chain.isolated_by.is_empty() => {
                chain.isolated_by.clear();
                true
            }
            Chain::Rules(_) | Chain::Table(_) => false,
        })
    }),
    ("the own node is forgotten", |program, _| {
        let had = !program.own_node.is_empty();
        program.own_node = verdict_compiler::ranges::Ranges::default();
        had
    }),
    ("two levels are one", |program, _| {
        program.chains.iter_mut().any(|chain| match chain {
            Chain::Rules(chain) if chain.admin.len() > 1 => {
                let lists = chain.admin.remove(1).lists;
                chain.admin[0].lists.extend(lists);
                true
            }
            Chain::Rules(_) | Chain::Table(_) => false,
        })
    }),
];

fn lists(program: &mut Program) -> Vec<&mut Vec<verdict_compiler::lir::Rule>> {
    program
        .chains
        .iter_mut()
        .flat_map(|chain| match chain {
            Chain::Rules(chain) => {
                let levels = chain.admin.iter_mut().chain(&mut chain.baseline);
                levels
                    .flat_map(|level| &mut level.lists)
                    .chain([&mut chain.namespace])
                    .collect::<Vec<_>>()
            }
            Chain::Table(_) => Vec::new(),
        })
        .collect()
}

fn action(program: &mut Program, from: Action, to: Action) -> bool {
    let mut changed = false;
    for rule in lists(program).into_iter().flatten() {
        if rule.action == from {
            rule.action = to;
            changed = true;
        }
    }
    changed
}

/// Whether two programs decide every cell alike, by the same origins.
fn same(one: &Program, other: &Program, own: &[Vec<usize>]) -> bool {
    let starts = one.transports.iter().chain(&other.transports);
    let mut keys: BTreeSet<u32> = starts.map(|(start, _)| *start).collect();
    // Keys between the protocols stand for no packet.
    keys.retain(|key| transport::of(transport::example(*key)) == *key);
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

fn is_found(
    compiler: &Compiler<'_>,
    node: Option<verdict_compiler::cluster::NodeId>,
    pods: &[PodId],
    program: &Program,
) -> bool {
    let Ok(bytes) = compiler.encode(node, pods, program) else {
        return true;
    };
    match compiler.prove(node, pods, program, &bytes) {
        Ok(_) => false,
        Err(CompileError::Mismatch(_) | CompileError::Decode(_) | CompileError::Limit(_)) => true,
    }
}

#[test]
fn every_fault_that_changes_a_decision_is_found() {
    let mut tried = vec![0; TABLE_FAULTS.len() + RULE_FAULTS.len()];
    for seed in 0..worlds() {
        let loading = Loading::of(&small::world(seed), seed);
        let compiler = loading.compiler();
        let mut random = Random::new(seed);
        for (node, pods) in compiler.lowering().nodes() {
            let lowered = compiler.lowering().node(*node, pods);
            let own = own_leaves(&loading, &compiler, pods);
            let right = opt::optimize(lowered.clone(), |_, _| {});
            if right.endpoints.is_empty() {
                continue;
            }
            let of_rules = RULE_FAULTS.iter().map(|fault| (fault, &lowered));
            let of_tables = TABLE_FAULTS.iter().map(|fault| (fault, &right));
            for (((name, fault), from), tried) in of_rules.chain(of_tables).zip(&mut tried) {
                let mut faulty = from.clone();
                if !fault(&mut faulty, &mut random) {
                    continue;
                }
                for pass in opt::PASSES {
                    if std::ptr::eq(from, &raw const lowered) {
                        (pass.run)(&mut faulty);
                    }
                }
                // Some changes mean nothing: a rule that never decides, a class that no leaf has.
                if same(&right, &faulty, &own) {
                    continue;
                }
                // Another rule that decides the same is as good a name.
                let found = is_found(&compiler, *node, pods, &faulty);
                let renamed = !found && same(&unnamed(&right), &unnamed(&faulty), &own);
                assert!(found || renamed, "world {seed}: {name} is not found");
                *tried += usize::from(found);
            }
        }
    }
    let names = RULE_FAULTS
        .iter()
        .chain(&TABLE_FAULTS)
        .map(|(name, _)| *name);
    let never: Vec<&str> = names
        .zip(&tried)
        .filter(|(_, tried)| **tried == 0)
        .map(|(name, _)| name)
        .collect();
    assert!(never.is_empty(), "never found in a world: {never:?}");
}

/// The program with no origins, to compare what is done alone.
fn unnamed(program: &Program) -> Program {
    let mut program = program.clone();
    for code in &mut program.codes {
        code.origin = Origin::Nobody;
    }
    program
}

fn some_image() -> Vec<u8> {
    images::of(&small::world(4), 4)
}

#[test]
fn damage_is_refused() {
    let image = some_image();
    assert!(Image::decode(&image).is_ok());
    for length in (0..image.len()).step_by(509) {
        assert!(Image::decode(&image[..length]).is_err(), "cut at {length}");
    }
    let mut random = Random::new(7);
    for _ in 0..2000 {
        let most = if random.below(2) == 0 {
            4096
        } else {
            image.len()
        };
        let byte = random.below(most);
        let mut damaged = image.clone();
        damaged[byte] ^= 1 << random.below(8);
        assert!(Image::decode(&damaged).is_err(), "byte {byte}");
    }
}

#[test]
fn a_changed_image_with_right_digests_is_refused_or_answers_every_question() {
    let image = some_image();
    let mut random = Random::new(11);
    let mut refused = 0_u64;
    for _ in 0..3000 {
        let mut changed = image.clone();
        for _ in 0..=random.below(3) {
            let byte = if random.below(3) == 0 {
                random.below(1024)
            } else {
                random.below(changed.len())
            };
            changed[byte] = u8::try_from(random.below(256)).unwrap();
        }
        let changed = sealed(changed);
        refused += u64::from(!images::take(&changed));
    }
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn what_is_no_image_is_told_apart() {
    let image = some_image();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = image.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Image::decode(&sealed(changed))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(Image::decode(b"").unwrap_err(), DecodeError::NoImage);
    assert_eq!(with(0, b"GZIP"), "it does not begin as an image does");
    assert_eq!(
        with(16, &[1, 2, 3, 4]),
        "it was made for a machine of the other byte order"
    );
    assert_eq!(
        with(8, &[9, 0, 0, 0]),
        format!(
            "its format version is 9, newer than {FORMAT_VERSION}, the one that is read: a newer verdict made it"
        )
    );
    assert_eq!(
        with(12, &[0, 0, 0, 0]),
        format!(
            "its ABI version is 0, older than {ABI_VERSION}, the one that is read: compile it again"
        )
    );
    assert!(with(24, &[1]).starts_with("it has "));
    assert_eq!(with(32, &[99, 0, 0, 0]), "section unknown is not known");
    assert_eq!(with(32, &[2, 0, 0, 0]), "section v4 is there twice");
    let cut = Image::decode(&image[..4096]).map(|_| ()).unwrap_err();
    assert!(matches!(cut, DecodeError::Length { .. }), "{cut}");
}
