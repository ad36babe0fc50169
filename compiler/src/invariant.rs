//! Invariants that a check found broken. Each module whose data has invariants lists them by number at its top, and checks
//! them by `ensure`.

use std::fmt;

/// An invariant that does not hold: a bug in verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number, as listed in the module that checks it.
    pub invariant: u8,
    /// What it does not hold of.
    pub of: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invariant {} does not hold of {}",
            self.invariant, self.of
        )
    }
}

impl std::error::Error for Violation {}

pub(crate) fn ensure(holds: bool, invariant: u8, of: impl fmt::Display) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    Err(Violation {
        invariant,
        of: of.to_string(),
    })
}
