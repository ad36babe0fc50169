//! `verdict dump`: what verdict makes of manifests, stage by stage.

use super::args::{Dump, DumpFormat, Global, Stage};
use super::output::{self, Answer, Style};
use super::render::{Report, human, json};
use super::session::{self, Session};
use super::{Answered, Failure};
use crate::cluster::{NodeId, peer};
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::frontend::manifest;
use crate::hir::text;
use crate::lir::{self, LeafId, Lowering};
use crate::opt;
use crate::source::{FileId, SourceFile, Sources};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};

pub(super) fn run(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    let is_of_nodes = matches!(dump.stage, Stage::Ir | Stage::Opt);
    if !dump.node.is_empty() && !is_of_nodes {
        return Err(Failure::Usage(
            "`--node` goes with `--stage ir` and `--stage opt` only".into(),
        ));
    }
    match (dump.stage, dump.format) {
        (Stage::Yaml, Some(DumpFormat::Jsonl) | None) => yaml(global, dump),
        (Stage::Hir, Some(DumpFormat::Text) | None) => hir(global, dump),
        (Stage::Ir | Stage::Opt, Some(DumpFormat::Text) | None) => programs(global, dump),
        (Stage::Yaml, Some(DumpFormat::Text)) => Err(Failure::Usage(
            "`--stage yaml` has the format `jsonl` only".into(),
        )),
        (Stage::Hir | Stage::Ir | Stage::Opt, Some(DumpFormat::Jsonl)) => Err(Failure::Usage(
            "this stage has the format `text` only".into(),
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

/// The program of each node, as it is lowered or after all passes, under a heading and with who each leaf is.
fn programs(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    let session = Session::open(global, &dump.inputs);
    session.imageable(global)?;
    session.remark_incomplete();
    let loaded = &session.loaded;
    let cluster = &loaded.cluster;
    let resolved = session.program();
    let lowering = Lowering::new(cluster, resolved);
    let asked = asked_nodes(global, &session, &dump.node)?;
    let wanted = |node| dump.node.is_empty() || asked.contains(&node);
    let nodes = lowering.nodes().iter();
    let nodes: Vec<_> = nodes.filter(|(node, _)| wanted(*node)).collect();
    let leaves = lowering.leaves();
    Answer::new(global).write(|out| {
        for (index, (node, pods)) in nodes.iter().enumerate() {
            let name = node.and_then(|node| cluster.nodes().get(node.index()));
            let name = name.map_or("not known", |node| &node.name);
            if index > 0 {
                writeln!(out)?;
            }
            writeln!(out, "# node {name}")?;
            for leaf in (0..).map(LeafId).take(leaves.list().len()) {
                writeln!(out, "# {leaf} {}", leaves.describe(cluster, resolved, leaf))?;
            }
            let mut program = lowering.node(*node, pods);
            if dump.stage == Stage::Opt {
                program = opt::optimize(program, |_, _| {});
            }
            out.write_all(lir::text::print(&program).as_bytes())?;
        }
        Ok(())
    })?;
    Ok(Answered::Yes)
}

/// The nodes of these names.
pub(super) fn asked_nodes(
    global: &Global,
    session: &Session,
    names: &[String],
) -> Result<Vec<Option<NodeId>>, Failure> {
    let cluster = &session.loaded.cluster;
    let unknown = names
        .iter()
        .filter(|name| cluster.find_node(name).is_none());
    let problems: Vec<Diagnostic> = unknown
        .map(|name| peer::no_node(cluster, name, ""))
        .collect();
    if !problems.is_empty() {
        super::explain::say(global, session, &problems);
        return Err(Failure::Input);
    }
    Ok(names.iter().map(|name| cluster.find_node(name)).collect())
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
    fn unread(document: usize, file: Option<&'a str>, diagnostic: &'a Diagnostic) -> Self {
        Self {
            document,
            file,
            json: None,
            error: Some(&diagnostic.message),
            line: None,
        }
    }
}

/// Documents that kubectl refuses are part of this answer, not a reason to give none.
fn yaml(global: &Global, dump: &Dump) -> Result<Answered, Failure> {
    let (sources, unread) = session::read(global, &dump.inputs);
    let is_no_text = |one: &&Diagnostic| *one.code == codes::NOT_TEXT;
    let several = sources.iter().len() + unread.iter().filter(is_no_text).count() > 1;
    Answer::new(global).write(|out| {
        let mut number = 0;
        for (id, file) in sources.iter() {
            let name = several.then(|| &**file.name());
            documents(id, file, name, &mut number, out)?;
        }
        for diagnostic in unread.iter().filter(is_no_text) {
            let name = diagnostic.file.as_deref().filter(|_| several);
            json::line(&Line::unread(number, name, diagnostic), out)?;
            number += 1;
        }
        Ok(())
    })?;
    if unread.is_empty() {
        return Ok(Answered::Yes);
    }
    say(global, &sources, &unread);
    let unseen = |one: &&Diagnostic| session::is_error(one) && !is_no_text(one);
    if unread.iter().find(unseen).is_some() {
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
    let style = Style::of_stderr(global.common.color);
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
