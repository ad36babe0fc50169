//! `verdict replay`: recorded traffic.

use super::args::{Global, Replay};
use super::{Answered, Failure};

pub(super) fn run(_global: &Global, _replay: &Replay) -> Result<Answered, Failure> {
    Err(Failure::Usage("not yet".into()))
}
