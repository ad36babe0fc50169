//! `verdict check`: everything there is to say about the input.

use super::args::{Check, CheckFormat, Deny, Global};
use super::output::{self, Answer, Style};
use super::render::{Report, concise, github, human, json, markdown, sarif};
use super::session::{Session, is_error};
use super::{Answered, Failure};
use crate::diagnostic::{Diagnostic, Severity};
use std::io::{self, Write};

pub(super) fn run(global: &Global, check: &Check) -> Result<Answered, Failure> {
    let session = Session::open(global, &check.inputs);
    print(global, check.format, &session.report())?;
    if session.could_not_look() {
        return Err(Failure::Input);
    }
    let denied = |one: &Diagnostic| match check.deny {
        Some(Deny::Warnings) => one.severity >= Severity::Warning,
        None => is_error(one),
    };
    Ok((!session.diagnostics.iter().any(denied)).into())
}

fn print(global: &Global, format: CheckFormat, report: &Report<'_>) -> Result<(), Failure> {
    let answer = Answer::new(global);
    let write: fn(&Report<'_>, &mut dyn Write) -> io::Result<()> = match format {
        CheckFormat::Human if global.output.is_none() => {
            let style = Style::of_stderr(global.color);
            output::remark(&human::check(report, style, global));
            return Ok(());
        }
        CheckFormat::Human => {
            let text = human::check(report, Style::of_answer(global), global);
            return answer.write(|out| out.write_all(text.as_bytes()));
        }
        CheckFormat::Concise => concise::write,
        CheckFormat::Json => json::write,
        CheckFormat::Jsonl => json::write_lines,
        CheckFormat::Github => github::write,
        CheckFormat::Sarif => sarif::write,
        CheckFormat::Markdown => markdown::write,
    };
    answer.write(|out| write(report, out))
}
