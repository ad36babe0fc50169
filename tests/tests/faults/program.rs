//! Changes of a program, as faults of lowering and of passes would make them.

use verdict_compiler::lir::{Action, Chain, ClassId, CodeId, Origin, PortClassId, Program, RowId};
use verdict_tests::generate::random::Random;

/// A change: its name, and what makes it; false where there is nothing to change.
pub(super) type Change = (&'static str, fn(&mut Program, &mut Random) -> bool);

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

/// Changes of tables, as a damaged pass at the end would make them.
pub(super) const OF_TABLES: [Change; 12] = [
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

/// Changes of rules, as faulty lowering would make them.
pub(super) const OF_RULES: [Change; 12] = [
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
            Chain::Rules(chain) if chain.isolated_by.is_some() => {
                chain.isolated_by = None;
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

/// Changes that a pass would make by mistake, each behind the pass.
pub(super) const OF_PASSES: [(&str, Change); 10] = [
    (
        "intern-sets",
        ("two sets are taken for equal", |program, _| {
            let [first, second, ..] = &mut program.remotes[..] else {
                return false;
            };
            let differ = first != second;
            *first = second.clone();
            differ
        }),
    ),
    (
        "intern-sets",
        ("two sets of ports are taken for equal", |program, _| {
            let [first, second, ..] = &mut program.ports[..] else {
                return false;
            };
            let differ = first != second;
            *first = second.clone();
            differ
        }),
    ),
    (
        "share-chains",
        ("two chains are taken for equal", |program, _| {
            let [first, second, ..] = &mut program.endpoints[..] else {
                return false;
            };
            first.chains.ingress = second.chains.ingress;
            true
        }),
    ),
    (
        "port-classes",
        (
            "two classes of ports that differ are merged",
            |program, random| {
                let merged = 1 + random.below(program.port_classes as usize);
                for (_, class) in &mut program.transports {
                    if class.0 as usize == merged {
                        class.0 -= 1;
                    }
                }
                merged < program.port_classes as usize
            },
        ),
    ),
    (
        "identity-classes",
        (
            "two classes of peers that differ are merged",
            |program, random| {
                let merged = 1 + random.below(program.classes as usize);
                for class in &mut program.leaves {
                    if class.0 as usize == merged {
                        class.0 -= 1;
                    }
                }
                merged < program.classes as usize
            },
        ),
    ),
    (
        "dead-rules",
        ("a rule that decides is dropped", |program, random| {
            let mut lists = lists(program);
            lists.retain(|rules| !rules.is_empty());
            let list = random.below(lists.len().max(1));
            lists.get_mut(list).is_some_and(|rules| {
                rules.remove(random.below(rules.len()));
                true
            })
        }),
    ),
    (
        "merge-rules",
        ("two rules with other peers are merged", |program, _| {
            lists(program).into_iter().any(|rules| {
                rules.len() > 1 && rules[0].remotes != rules[1].remotes && {
                    let other = rules.remove(1);
                    rules[0].origins.extend(other.origins);
                    rules[0].origins.sort_unstable();
                    rules[0].origins.dedup();
                    true
                }
            })
        }),
    ),
    (
        "merge-rules",
        ("two rules with other ports are merged", |program, _| {
            lists(program).into_iter().any(|rules| {
                rules.len() > 1 && rules[0].ports != rules[1].ports && {
                    let other = rules.remove(1);
                    rules[0].origins.extend(other.origins);
                    rules[0].origins.sort_unstable();
                    rules[0].origins.dedup();
                    true
                }
            })
        }),
    ),
    (
        "tabulate",
        ("two rows are exchanged", |program, random| {
            let rows = program.rows.len();
            let (one, other) = (random.below(rows), random.below(rows));
            program.rows.swap(one, other);
            program.rows[one] != program.rows[other]
        }),
    ),
    (
        "share-rows",
        ("two rows are taken for equal", |program, random| {
            let rows = program.rows.len();
            let (one, other) = (random.below(rows), random.below(rows));
            program.rows[one] = program.rows[other].clone();
            one != other
        }),
    ),
];
