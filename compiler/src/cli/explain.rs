//! `verdict explain`: one question, one answer.

use super::args::{Explain, Global};
use super::{Answered, Failure};

pub(super) fn run(_global: &Global, _explain: &Explain) -> Result<Answered, Failure> {
    Err(Failure::Usage("not yet".into()))
}
