//! `verdict dump`: what verdict makes of manifests, stage by stage.

use super::args::{Dump, DumpFormat, Global, Stage};
use super::output::{self, Answer, Style};
use super::render::{Report, human, json};
use super::session::{self, Session};
use super::{Answered, Failure};
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::frontend::manifest;
use crate::hir::text;
use crate::source::{FileId, SourceFile, Sources};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};

pub(super) fn run(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    match (dump.stage, dump.format) {
        (Stage::Yaml, Some(DumpFormat::Jsonl) | None) => yaml(global, dump),
        (Stage::Hir, Some(DumpFormat::Text) | None) => hir(global, dump),
        (Stage::Yaml, Some(DumpFormat::Text)) => Err(Failure::Usage(
            "`--stage yaml` has the format `jsonl` only".into(),
        )),
        (Stage::Hir, Some(DumpFormat::Jsonl)) => Err(Failure::Usage(
            "`--stage hir` has the format `text` only".into(),
        )),
    }
}

fn hir(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    let session = Session::open(global, &dump.inputs);
    session.answerable(global)?;
    session.remark_incomplete();
    let text = text::print(&session.loaded.policies, &session.sources);
    Answer::new(global).write(|out| out.write_all(text.as_bytes()))?;
    Ok(Answered::Yes)
}

/// A line of `dump --stage yaml --format jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    document: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> Line<'a> {
    /// A file that is no text: it stands for one document that kubectl refuses.
    fn unread(document: usize, diagnostic: &'a Diagnostic) -> Self {
        Self {
            document,
            file: None,
            json: None,
            error: Some(&diagnostic.message),
            line: None,
        }
    }
}

/// Documents that kubectl refuses are part of this answer, not a reason to give none.
fn yaml(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    let (sources, unread) = session::read(global, &dump.inputs);
    let several = sources.iter().len() > 1;
    Answer::new(global).write(|out| {
        let mut number = 0;
        for (id, file) in sources.iter() {
            let name = several.then(|| &**file.name());
            documents(id, file, name, &mut number, out)?;
        }
        for diagnostic in unread.iter().filter(|one| *one.code == codes::NOT_TEXT) {
            json::line(&Line::unread(number, diagnostic), out)?;
            number += 1;
        }
        Ok(())
    })?;
    if unread.is_empty() {
        return Ok(Answered::Yes);
    }
    say(global, &sources, &unread);
    if unread.iter().any(session::is_error) {
        return Err(Failure::Input);
    }
    Ok(Answered::Yes)
}

fn say(global: &Global, sources: &Sources, diagnostics: &[Diagnostic]) {
    let report = Report {
        sources,
        diagnostics,
        files: sources.iter().len(),
        objects: 0,
    };
    let style = Style::of_stderr(global.color);
    output::remark(&human::before_answer(&report, style, global));
}

fn documents(
    id: FileId,
    file: &SourceFile,
    name: Option<&str>,
    number: &mut usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    for chunk in manifest::split(id, file) {
        let (document, diagnostics) = manifest::parse(file, &chunk);
        let error = diagnostics
            .iter()
            .find(|one| one.severity == Severity::Error);
        let text = document.map(|document| document.root().json().to_string());
        let line = Line {
            document: *number,
            file: name,
            // What the reader writes is JSON.
            json: text
                .as_deref()
                .filter(|_| error.is_none())
                .and_then(|text| serde_json::from_str(text).ok()),
            error: error.map(|one| one.message.as_str()),
            line: error
                .and_then(|one| one.label.as_ref())
                .map(|label| file.location(label.span.start).line),
        };
        if line.json.is_some() || line.error.is_some() {
            json::line(&line, out)?;
            *number += 1;
        }
    }
    Ok(())
}
