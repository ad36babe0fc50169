//! `verdict image audit`: whether a live node holds what the manifests say.

use super::super::args::{Global, ImageAudit, ImageFormat};
use super::super::input::{MAX_FILE_BYTES, whole_file};
use super::super::output::Answer;
use super::super::render::{clean, json};
use super::super::session::Session;
use super::super::{Answered, Failure};
use super::refuse;
use crate::audit::report::{AddressReport, DifferenceReport, EndpointReport};
use crate::audit::{AuditReport, Dump, DumpError, DumpFile, audit};
use crate::diagnostic::{Diagnostic, codes};
use crate::explain::Context;
use crate::hir::Resolution;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

pub(super) fn run(global: &Global, asked: &ImageAudit) -> Result<Answered, Failure> {
    let dump = read(global, &asked.cilium)?;
    let session = Session::open(global, &asked.inputs);
    session.answerable(global)?;
    let loaded = &session.loaded;
    let Resolution::Precedence(enforcement) = &loaded.policies.resolution else {
        let dialect = loaded.settings.dialect;
        return Err(Failure::Usage(format!(
            "a node of Cilium's is compared in the dialect `cilium`, and this is `{dialect}`: set it in `verdict.toml` \
             or by `--set dialect=cilium`"
        )));
    };
    let node = loaded.cluster.find_node(&asked.node).ok_or_else(|| {
        Failure::Usage(format!(
            "the manifests have no node `{}`: `kubectl get nodes -o yaml` prints those of a cluster",
            asked.node
        ))
    })?;
    let context = Context {
        sources: &session.sources,
        cluster: &loaded.cluster,
        policies: &loaded.policies,
    };
    let mut report = audit(context, enforcement, node, &dump);
    report.incomplete = session.incomplete();
    match asked.format {
        ImageFormat::Json => Answer::new(global).write(|out| json::line(&report, out))?,
        ImageFormat::Human => Answer::new(global).write(|out| print(&report, out))?,
    }
    Ok((report.is_clean() && report.incomplete.is_empty()).into())
}

/// Reads the files of a dump.
fn read(global: &Global, folder: &Path) -> Result<Dump, Failure> {
    let mut texts = BTreeMap::new();
    for file in DumpFile::ALL {
        let path = folder.join(file.name());
        let text = whole_file(&path, MAX_FILE_BYTES)?;
        texts.insert(file, text);
    }
    let dump = Dump::read(|file| texts.remove(&file).unwrap_or_default());
    dump.map_err(|errors| {
        let problems = errors.iter().map(|error| no_dump(folder, error));
        refuse(global, &problems.collect::<Vec<_>>())
    })
}

fn no_dump(folder: &Path, error: &DumpError) -> Diagnostic {
    let name = folder.join(error.file.name()).display().to_string();
    let command = error.file.command();
    let message = format!("`{name}` is not what `{command}` prints: {error}");
    Diagnostic::new(&codes::NO_DUMP, message)
        .file(name)
        .help("print it again on the node, in the agent's pod")
}

/// How many identities are named to people, where the same is said of several.
const NAMED: usize = 3;

fn print(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let AuditReport {
        node,
        compared,
        incomplete,
        endpoints,
        differences,
        ipcache,
        version: _,
    } = report;
    let word = if report.is_clean() {
        "holds what the manifests say"
    } else {
        "does not hold what the manifests say"
    };
    let s = if *compared == 1 { "" } else { "s" };
    writeln!(out, "{}: {word} ({compared} endpoint{s})", clean(node))?;
    for left_out in incomplete {
        writeln!(out, "  incomplete: {}", clean(left_out))?;
    }
    for EndpointReport { pod, endpoint } in endpoints {
        let pod = clean(pod);
        match endpoint {
            Some(endpoint) => writeln!(out, "  {pod}: endpoint {endpoint} is in no manifest")?,
            None => writeln!(out, "  {pod}: has no endpoint on the node")?,
        }
    }
    for alike in grouped(differences) {
        print_alike(&alike, out)?;
    }
    for AddressReport {
        prefix,
        node,
        manifests,
    } in ipcache
    {
        writeln!(out, "  {prefix}: another identity")?;
        writeln!(out, "    node       {}", clean(&node.join(",")))?;
        writeln!(out, "    manifests  {}", clean(&manifests.join(",")))?;
    }
    Ok(())
}

/// Differences that are the same but for the other end, in the order in which they come first.
fn grouped(differences: &[DifferenceReport]) -> Vec<Vec<&DifferenceReport>> {
    let mut groups: Vec<Vec<&DifferenceReport>> = Vec::new();
    let same = |one: &DifferenceReport, other: &DifferenceReport| {
        let key = |of: &DifferenceReport| (of.endpoint, of.node, of.manifests);
        key(one) == key(other)
            && one.direction == other.direction
            && one.protocol == other.protocol
            && one.ranges == other.ranges
            && one.auth == other.auth
            && one.rules == other.rules
    };
    for difference in differences {
        let group = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same(first, difference)));
        match group {
            Some(group) => group.push(difference),
            None => groups.push(vec![difference]),
        }
    }
    groups
}

fn print_alike(alike: &[&DifferenceReport], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = alike.first() else {
        return Ok(());
    };
    let what = match &first.auth {
        None => format!(
            "the node says {}, the manifests {}",
            first.node, first.manifests
        ),
        Some(auth) => format!(
            "the ends must prove `{}` on the node, `{}` by the manifests",
            auth.node, auth.manifests
        ),
    };
    writeln!(
        out,
        "  {} {} {}: {what}",
        clean(&first.pod),
        first.direction,
        carried(first),
    )?;
    for peer in alike.iter().take(NAMED) {
        writeln!(
            out,
            "    {} {}  {}",
            if peer.direction == "egress" {
                "to"
            } else {
                "from"
            },
            peer.number,
            clean(&peer.identity.join(","))
        )?;
    }
    if let Some(more @ 1..) = alike.len().checked_sub(NAMED) {
        writeln!(out, "    and {more} more")?;
    }
    for rule in &first.rules {
        writeln!(
            out,
            "    by {} {}  {}:{}",
            rule.policy, rule.rule, rule.file, rule.line
        )?;
    }
    Ok(())
}

/// The packets of a difference.
fn carried(difference: &DifferenceReport) -> String {
    let ranges = difference.ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    let ranges: Vec<String> = ranges.collect();
    match (difference.protocol.as_str(), ranges.as_slice()) {
        ("other", _) => "other protocols".to_owned(),
        (protocol, []) => protocol.to_owned(),
        (protocol, ranges) => format!("{}/{protocol}", ranges.join(",")),
    }
}
