//! `verdict list`: every connection at once.
//!
//! Formats for people and pictures put together what is equal; `json` and `csv` have each pair by itself, up to
//! [`MAX_CONNECTIONS`].

use super::args::{Global, List, ListFormat};
use super::explain::say;
use super::output::{self, Answer, Style};
use super::progress::Progress;
use super::render::{json, list as render};
use super::session::Session;
use super::{Answered, Failure};
use crate::diagnostic::{Diagnostic, codes, counted};
use crate::flows::Connections;
use crate::hir::Direction;
use crate::ir::Program;
use crate::list::exposure::Exposure;
use crate::list::exposure::report::NewPodsPart;
use crate::list::report::{GroupReport, ListReport, Shown, VERSION};
use crate::list::{Count, Focus, Listing};
use crate::query::Families;

/// How many connections are written one by one: what a program may still want to read, some 200 MB of JSON.
pub(super) const MAX_CONNECTIONS: usize = 1_000_000;

/// How many arrows Mermaid draws unless it is told otherwise (`maxEdges`), which a page cannot tell it.
const MAX_MERMAID_EDGES: usize = 500;

pub(super) fn run(global: &Global, list: &List) -> Result<Answered, Failure> {
    if list.group && list.format == ListFormat::Csv {
        let message = "`--group` needs `--format json`: a line of csv is one pair";
        return Err(Failure::Usage(message.into()));
    }
    if list.exposure
        && matches!(
            list.format,
            ListFormat::Csv | ListFormat::Dot | ListFormat::Mermaid
        )
    {
        let message = "`--exposure` needs `--format human`, `markdown` or `json`";
        return Err(Failure::Usage(message.into()));
    }
    let session = Session::open(global, &list.inputs);
    session.answerable(global)?;
    let cluster = &session.loaded.cluster;
    let progress = Progress::start(global, "listing");
    let program = Program::resolve(cluster, &session.loaded.policies);
    let connections = Connections::new(cluster, &program, Families::of(cluster));
    let mut listing = Listing::new(connections, list.by.into());
    drop(progress);
    let focus = focus(global, list, &session, &listing)?;
    if listing.peers().is_empty() {
        say(global, &session, &[nothing()]);
        return Err(Failure::Input);
    }
    let progress = Progress::start(global, "asking for new pods");
    let new_pods = list.exposure.then(|| listing.exposure());
    drop(progress);
    let asked = Asked { focus, new_pods };
    match (list.format, list.group) {
        (ListFormat::Json, false) | (ListFormat::Csv, _) => {
            pairs(global, list, &session, &mut listing, &asked)?;
        }
        (ListFormat::Json, true) => groups(global, &session, &mut listing, &asked)?,
        (ListFormat::Human | ListFormat::Dot | ListFormat::Mermaid | ListFormat::Markdown, _) => {
            view(global, list, &session, &mut listing, &asked)?
        }
    }
    Ok(session.incomplete().is_empty().into())
}

/// What is asked for.
struct Asked {
    focus: Focus,
    /// What pods that do not exist yet could reach, if that is asked for.
    new_pods: Option<Exposure>,
}

impl Asked {
    /// What is told to programs of pods that do not exist yet.
    fn part(&self, listing: &Listing<'_>) -> Option<NewPodsPart> {
        let new_pods = self.new_pods.as_ref();
        new_pods.map(|new_pods| NewPodsPart::of(listing, new_pods, &self.focus))
    }
}

/// Whose connections are asked for, after what there is to say about that.
fn focus(
    global: &Global,
    list: &List,
    session: &Session,
    listing: &Listing<'_>,
) -> Result<Focus, Failure> {
    if list.focus.is_empty() {
        return Ok(Focus::everything());
    }
    let direction = list.direction.map(Direction::from);
    match Focus::of(listing, &list.focus, direction) {
        Ok((focus, notes)) => {
            say(global, session, &notes);
            Ok(focus)
        }
        Err(problems) => {
            say(global, session, &problems);
            Err(Failure::Input)
        }
    }
}

/// Each pair by itself.
fn pairs(
    global: &Global,
    list: &List,
    session: &Session,
    listing: &mut Listing<'_>,
    asked: &Asked,
) -> Result<(), Failure> {
    let progress = Progress::start(global, "listing");
    let count = listing.count_of(&asked.focus);
    if count.total > MAX_CONNECTIONS {
        drop(progress);
        let help = "`--format json --group` puts together what is equal, `--focus PEER` lists the connections of \
                    one peer";
        say(global, session, &[too_many(&count, help)]);
        return Err(Failure::Input);
    }
    let pairs = listing.pairs_of(&asked.focus);
    let shown = Shown::of(listing, &pairs);
    drop(progress);
    let answer = Answer::new(global);
    if list.format == ListFormat::Csv {
        session.remark_incomplete();
        return answer.write(|out| render::csv::write(listing, &pairs, out));
    }
    let report = ListReport {
        version: VERSION,
        new_pods: asked.part(listing),
        connections: pairs
            .iter()
            .filter_map(|pair| shown.connection(pair))
            .collect(),
        incomplete: session.incomplete(),
    };
    answer.write(|out| json::line(&report, out))
}

/// What is equal together, for programs.
fn groups(
    global: &Global,
    session: &Session,
    listing: &mut Listing<'_>,
    asked: &Asked,
) -> Result<(), Failure> {
    let blocks = listing.blocks_of(&asked.focus);
    let shown = Shown::of_blocks(listing, &blocks);
    let report = GroupReport {
        version: VERSION,
        new_pods: asked.part(listing),
        groups: blocks
            .iter()
            .flat_map(|block| shown.groups(block))
            .collect(),
        incomplete: session.incomplete(),
    };
    Answer::new(global).write(|out| json::line(&report, out))
}

/// What is equal together, for people and pictures.
fn view(
    global: &Global,
    list: &List,
    session: &Session,
    listing: &mut Listing<'_>,
    asked: &Asked,
) -> Result<(), Failure> {
    let progress = Progress::start(global, "listing");
    let blocks = listing.blocks_of(&asked.focus);
    let view = render::View::new(
        listing,
        &blocks,
        &asked.focus,
        render::Setting {
            policies: session.loaded.policies.policies.len(),
            incomplete: session.incomplete(),
            verbose: global.verbose,
        },
    );
    let new_pods = |style| {
        let new_pods = asked.new_pods.as_ref();
        new_pods.map(|new_pods| render::exposure::text(&view, new_pods, &asked.focus, style))
    };
    let text = match list.format {
        ListFormat::Human => {
            let style = Style::of_answer(global);
            let mut text = render::human::text(&view, style, global.common.quiet);
            text.extend(new_pods(style));
            text
        }
        ListFormat::Markdown => {
            let new_pods = new_pods(Style::plain());
            render::markdown::text(&view, new_pods.as_deref())
        }
        ListFormat::Dot | ListFormat::Mermaid | ListFormat::Json | ListFormat::Csv => {
            let graph = render::graph::Graph::of(&view);
            if list.format == ListFormat::Dot {
                render::dot::text(&view, &graph)
            } else {
                remark_edges(global, graph.edges.len());
                render::mermaid::text(&view, &graph)
            }
        }
    };
    drop(progress);
    if matches!(list.format, ListFormat::Dot | ListFormat::Mermaid) {
        session.remark_incomplete();
    }
    Answer::new(global).write(|out| out.write_all(text.as_bytes()))
}

fn remark_edges(global: &Global, edges: usize) {
    if edges > MAX_MERMAID_EDGES && !global.common.quiet {
        output::remark(&format!(
            "the chart has {edges} arrows, and Mermaid draws {MAX_MERMAID_EDGES} unless its `maxEdges` is \
             raised (`--focus PEER` narrows the chart, `--format dot` has no limit)\n"
        ));
    }
}

fn nothing() -> Diagnostic {
    Diagnostic::new(
        &codes::NOTHING_TO_LIST,
        "the inputs have no pods and no workloads, so there is nothing to list",
    )
    .help(
        "add the manifests of the workloads or a snapshot of the cluster: \
         `kubectl get namespaces,nodes,pods -A -o json | verdict list - PATH...`",
    )
}

/// That there are more connections than are written one by one.
pub(super) fn too_many<A>(count: &Count<A>, help: &str) -> Diagnostic {
    let Count {
        total,
        outside,
        by_namespace,
        ..
    } = count;
    let most = by_namespace.iter().max_by_key(|(_, count)| **count);
    let most = match most {
        Some((namespace, count)) if *count > *outside => {
            format!("{count} lead to the namespace `{namespace}`")
        }
        Some(_) | None => format!("{outside} are with the outside"),
    };
    let message = format!(
        "there are {}, and {MAX_CONNECTIONS} are written one by one at most: {most}",
        counted(*total, "connection")
    );
    Diagnostic::new(&codes::TOO_MANY_CONNECTIONS, message).help(help)
}
