//! `verdict check`: everything there is to say about the input.

use super::args::{Check, CheckFormat, Deny, Global};
use super::output::{self, Answer, Style};
use super::render::{self, Report, human};
use super::session::{Session, is_incomplete};
use super::{Answered, Failure};
use crate::diagnostic::{Diagnostic, Severity};

pub(super) fn run(global: &Global, check: &Check) -> Result<Answered, Failure> {
    let session = Session::open(global, &check.inputs);
    let denied = match check.deny {
        Some(Deny::Warnings) => Severity::Warning,
        None => Severity::Error,
    };
    let found = session.report();
    let needed = |one: &&Diagnostic| one.severity >= denied || is_incomplete(one.code);
    let narrowed: Vec<Diagnostic>;
    let for_eyes = matches!(check.format, CheckFormat::Human | CheckFormat::Concise);
    let report = if global.common.quiet && for_eyes {
        narrowed = found.diagnostics.iter().filter(needed).cloned().collect();
        Report {
            diagnostics: &narrowed,
            ..found
        }
    } else {
        found
    };
    print(global, check.format, denied, &report)?;
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
        let style = Style::of_stderr(global.common.color);
        output::remark(&human::check(report, style, global));
        return Ok(());
    }
    Answer::new(global).write(|out| render::write(format, report, denied, global, out))?;
    if let Some(file) = global
        .output
        .as_ref()
        .filter(|_| for_people && !global.common.quiet)
    {
        let summary = human::summary(report);
        let file = file.display();
        output::remark(&format!("{}; written to {file}\n", summary.trim_end()));
    }
    Ok(())
}
