//! What the program says of itself: completions and manual pages.

use super::args::{self, Global};
use super::output::Answer;
use super::{Answered, Failure};
use clap_complete::Shell;
use std::io;
use std::path::Path;

/// `verdict completions`
pub(super) fn completions(global: &Global, shell: Shell) -> Result<Answered, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(None), "verdict", &mut script);
    Answer::new(global).write(|out| out.write_all(&script))?;
    Ok(Answered::Yes)
}

/// `verdict man`: all pages in one stream, or one file each in a folder.
pub(super) fn man(global: &Global) -> Result<Answered, Failure> {
    let mut command = args::command(None).disable_help_subcommand(true);
    command.build();
    match &global.output {
        Some(folder) => {
            into_folder(&command, folder).map_err(|error| Failure::Write(folder.clone(), error))?
        }
        None => {
            Answer::new(global).write(|out| pages(&command, &mut |_, page| out.write_all(page)))?
        }
    }
    Ok(Answered::Yes)
}

fn into_folder(command: &clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    pages(command, &mut |name, page| {
        std::fs::write(folder.join(format!("{name}.1")), page)
    })
}

/// Gives out the page of a command, then those of the commands below it.
fn pages(
    command: &clap::Command,
    take: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    take(&name, &page)?;
    command
        .get_subcommands()
        .try_for_each(|below| pages(below, take))
}
