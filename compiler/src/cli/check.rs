//! `verdict check`: everything there is to say about the input.

use super::args::{Check, CheckFormat, Deny, Global};
use super::output::{self, Answer, Style};
use super::render::{self, Report, human};
use super::session::Session;
use super::{Answered, Failure};
use crate::diagnostic::Severity;

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
    let for_people = format == CheckFormat::Human;
    if for_people && global.output.is_none() {
        let style = Style::of_stderr(global.color);
        output::remark(&human::check(report, denied, style, global));
        return Ok(());
    }
    Answer::new(global).write(|out| render::write(format, report, denied, global, out))?;
    if let Some(file) = global
        .output
        .as_ref()
        .filter(|_| for_people && !global.quiet)
    {
        let summary = human::summary(report);
        let file = file.display();
        output::remark(&format!("{}; written to {file}\n", summary.trim_end()));
    }
    Ok(())
}
