//! The optimiser: a fixed list of named passes over the program of a node.
//!
//! Input and output: [`Program`]. Guarantee of each pass: for every endpoint, direction, leaf and transport key,
//! [`Program::decide`] has the same action and the same `depends` before and after; the rule that it is named after
//! is one that decides. Each pass states its equation in its module. [`PASSES`] runs in order; some passes run
//! twice, because what stands between them makes more alike.

mod chains;
mod classes;
mod dead;
mod library;
mod merge;
mod rows;
mod sets;
mod space;

pub use library::Library;
pub(crate) use library::{Tabulated, kept};

use crate::lir::{Program, Size};

/// A pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Its name, for `--explain-passes` and for file tests.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Runs it.
    pub run: fn(&mut Program),
}

const INTERN: Pass = Pass {
    name: "intern-sets",
    about: "equal sets become one, and sets that no rule names are dropped",
    run: sets::run,
};
const SHARE_CHAINS: Pass = Pass {
    name: "share-chains",
    about: "endpoints with equal rules share one chain",
    run: chains::run,
};
const DEAD_RULES: Pass = Pass {
    name: "dead-rules",
    about: "rules that cannot decide are dropped",
    run: dead::run,
};
const MERGE_RULES: Pass = Pass {
    name: "merge-rules",
    about: "rules that cannot be told apart become one",
    run: merge::run,
};
const PORT_CLASSES: Pass = Pass {
    name: "port-classes",
    about: "transport keys that nothing tells apart become one class",
    run: classes::ports,
};
const IDENTITY_CLASSES: Pass = Pass {
    name: "identity-classes",
    about: "leaves that nothing tells apart become one class",
    run: classes::leaves,
};
const TABULATE: Pass = Pass {
    name: "tabulate",
    about: "chains of rules become tables of rows",
    run: rows::tabulate,
};
const SHARE_ROWS: Pass = Pass {
    name: "share-rows",
    about: "equal rows become one",
    run: rows::share,
};

/// The passes, in the order in which they run.
pub const PASSES: [Pass; 13] = [
    INTERN,
    SHARE_CHAINS,
    PORT_CLASSES,
    IDENTITY_CLASSES,
    DEAD_RULES,
    MERGE_RULES,
    INTERN,
    SHARE_CHAINS,
    TABULATE,
    SHARE_ROWS,
    PORT_CLASSES,
    IDENTITY_CLASSES,
    SHARE_ROWS,
];

/// The pass with a name.
#[must_use]
pub fn pass(name: &str) -> Option<Pass> {
    PASSES.into_iter().find(|pass| pass.name == name)
}

/// Runs all passes, and tells the size after each.
#[must_use]
pub fn optimize(mut program: Program, mut after: impl FnMut(Pass, Size)) -> Program {
    for pass in PASSES {
        (pass.run)(&mut program);
        debug_assert_eq!(
            crate::lir::check::check(&program),
            Ok(()),
            "after {}",
            pass.name
        );
        after(pass, program.size());
    }
    program
}
