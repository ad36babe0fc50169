//! `verdict check`: everything there is to say about the input.

use super::args::{Check, CheckFormat, Deny, Global};
use super::output::{self, Answer, Style};
use super::render::{Report, concise, github, human, json, markdown, sarif};
use super::session::Session;
use super::{Answered, Failure};
use crate::diagnostic::Severity;
use std::io::{self, Write};

pub(super) fn run(global: &Global, check: &Check) -> Result<Answered, Failure> {
    let session = Session::open(global, &check.inputs);
    let denied = match check.deny {
        Some(Deny::Warnings) => Severity::Warning,
        None => Severity::Error,
    };
    print(global, check.format, denied, &session.report())?;
    if session.could_not_look() {
        return Err(Failure::Input);
    }
    let valid = session.diagnostics.iter().all(|one| one.severity < denied);
    Ok(valid.into())
}

fn print(
    global: &Global,
    format: CheckFormat,
    denied: Severity,
    report: &Report<'_>,
) -> Result<(), Failure> {
    let answer = Answer::new(global);
    let write: fn(&Report<'_>, &mut dyn Write) -> io::Result<()> = match format {
        CheckFormat::Human => return print_for_people(global, denied, report),
        CheckFormat::Concise => concise::write,
        CheckFormat::Json => json::write,
        CheckFormat::Jsonl => json::write_lines,
        CheckFormat::Github => github::write,
        CheckFormat::Sarif => sarif::write,
        CheckFormat::Markdown => markdown::write,
    };
    answer.write(|out| write(report, out))
}

/// Prints to standard error, or to a file, of which standard error then has the summary.
fn print_for_people(global: &Global, denied: Severity, report: &Report<'_>) -> Result<(), Failure> {
    let Some(file) = &global.output else {
        let style = Style::of_stderr(global.color);
        output::remark(&human::check(report, denied, style, global));
        return Ok(());
    };
    let text = human::check(report, denied, Style::of_answer(global), global);
    Answer::new(global).write(|out| out.write_all(text.as_bytes()))?;
    if !global.quiet {
        let summary = human::summary(report);
        let file = file.display();
        output::remark(&format!("{}; written to {file}\n", summary.trim_end()));
    }
    Ok(())
}
