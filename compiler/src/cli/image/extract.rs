//! `verdict image extract`: the image of one node out of a bundle, as it is loaded.

use super::super::args::{Global, ImageExtract};
use super::super::bundle::take;
use super::super::output::Answer;
use super::super::{Answered, Failure};

pub(super) fn run(global: &Global, asked: &ImageExtract) -> Result<Answered, Failure> {
    let taken = take(&asked.bundle, &asked.node, &asked.terms);
    let taken = taken.map_err(|error| error.said(global))?;
    Answer::new(global).write(|out| out.write_all(&taken.image))?;
    Ok(Answered::Yes)
}
