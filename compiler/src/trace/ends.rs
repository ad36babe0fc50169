//! The flows of a record whose ends are several: workloads, services, ports by name.

use super::answer::Judge;
use super::peers::{Peer, PeerId};
use crate::cluster::peer::PortSpec;
use crate::diagnostic::Diagnostic;
use crate::hir::flow::{Flow, Transport};
use crate::query::meant::{sources, targets};
use crate::query::{Apart, Ends};

/// A question as a record puts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) src: PeerId,
    pub(super) dst: PeerId,
    pub(super) transport: Transport,
    /// The name of the port, where the record has no number.
    pub(super) port_name: Option<Box<str>>,
}

/// The flows that a question stands for; at least one.
pub(super) fn flows<'p>(
    judge: Judge<'p>,
    from: &'p Peer,
    to: &'p Peer,
    question: &Question,
) -> Result<Vec<Flow<'p>>, Diagnostic> {
    let cluster = judge.context.cluster;
    let with_nodes = from.has_node || to.has_node;
    let mut src = Vec::new();
    for end in from.ends(with_nodes) {
        src.extend(sources(cluster, end).map_err(|problem| problem.field("src"))?);
    }
    let port = port_spec(question);
    let mut dst = Vec::new();
    let mut refused = None;
    for end in to.ends(with_nodes) {
        match targets(cluster, end, &port) {
            Ok(found) => dst.extend(found),
            Err(problem) => refused = refused.or(Some(problem)),
        }
    }
    if let (true, Some(problem)) = (dst.is_empty(), refused) {
        return Err(problem.field("dst"));
    }
    let ends = Ends {
        cluster,
        families: judge.families,
        src,
        dst,
    };
    ends.flows(question.transport).map_err(Apart::diagnostic)
}

fn port_spec(question: &Question) -> PortSpec {
    let Transport { protocol, port, .. } = question.transport;
    match (&question.port_name, port) {
        (Some(name), _) => PortSpec::Named {
            protocol,
            name: name.clone(),
        },
        (None, Some(port)) => PortSpec::Range {
            protocol,
            first: port,
            last: port,
        },
        (None, None) => PortSpec::Protocol(protocol),
    }
}
