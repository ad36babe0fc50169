//! What a program says of itself: completions and manual pages.

use super::args::{self, Global};
use super::output::Answer;
use super::{Answered, Failure};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::Path;

/// `verdict completions`
pub(super) fn completions(global: &Global, shell: Shell) -> Result<Answered, Failure> {
    let script = script(&mut args::command(None), shell);
    Answer::new(global).write(|out| out.write_all(&script))?;
    Ok(Answered::Yes)
}

/// `verdict man`: all pages in one stream, or one file each in a folder.
pub(super) fn man(global: &Global) -> Result<Answered, Failure> {
    let command = args::command(None);
    match &global.output {
        Some(folder) => {
            pages_into(command, folder).map_err(|error| Failure::Write(folder.clone(), error))?
        }
        None => Answer::new(global).write(|out| pages(command, out))?,
    }
    Ok(Answered::Yes)
}

/// The completion script of a command for a shell.
#[must_use]
pub fn script(command: &mut clap::Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    script
}

/// Writes the manual pages of a command and of those below it one after the other.
///
/// # Errors
/// Where they cannot be written.
pub fn pages(command: clap::Command, out: &mut dyn Write) -> io::Result<()> {
    each(&built(command), &mut |_, page| out.write_all(page))
}

/// Writes the manual pages of a command and of those below it into a folder, one file each.
///
/// # Errors
/// Where they cannot be written.
pub fn pages_into(command: clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    each(&built(command), &mut |name, page| {
        std::fs::write(folder.join(format!("{name}.1")), page)
    })
}

fn built(command: clap::Command) -> clap::Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

/// Gives out the page of a command, then those of the commands below it.
fn each(
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
        .try_for_each(|below| each(below, take))
}
