//! From peers and a port, as they were resolved, to the question that they stand for.
//!
//! Input: who is meant on each side, and the port as written. Output: a [`Question`] with at least one end on
//! each side. Refused is what [`crate::query::meant`] refuses, where it refuses all ends of a side.

use super::Context;
use super::party::party;
use super::question::{Destination, Question, TransportRange};
use crate::cluster::Protocol;
use crate::cluster::peer::{PortSpec, Resolved};
use crate::diagnostic::Diagnostic;
use crate::hir::PortRange;
use crate::query::meant::{sources, targets};
use crate::query::{Families, Target};

/// The ports that a packet can have.
const EVERY_PORT: PortRange = PortRange {
    first: 1,
    last: u16::MAX,
};

/// The types of echo requests, which stand for a family's ICMP where no type is asked for.
const ECHO: [(Protocol, u8); 2] = [(Protocol::ICMP, 8), (Protocol::ICMPV6, 128)];

/// The question that two sets of peers and a port stand for.
///
/// # Errors
/// Diagnostics where it makes no sense for any of the ends.
pub fn question<'a>(
    context: Context<'a>,
    from: &'a [Resolved],
    to: &'a [Resolved],
    port: &PortSpec,
) -> Result<Question<'a>, Vec<Diagnostic>> {
    let cluster = context.cluster;
    let families = Families::of(cluster);
    let mut problems = Vec::new();
    let mut src = Vec::new();
    for peer in from {
        match sources(cluster, peer) {
            Ok(found) => src.extend(
                found
                    .into_iter()
                    .map(|who| (party(cluster, peer, who), who)),
            ),
            Err(problem) => problems.push(problem),
        }
    }
    let mut dst = Vec::new();
    for peer in to {
        match targets(cluster, peer, port) {
            Ok(found) => dst.extend(found.into_iter().map(|target| Destination {
                party: party(cluster, peer, target.who),
                target,
                transports: transports(families, target, port),
            })),
            Err(problem) => problems.push(problem),
        }
    }
    if src.is_empty() || dst.is_empty() {
        return Err(problems);
    }
    // A port name that some pods of a workload have is asked of those.
    let left_out = problems.into_iter().map(|problem| problem.message);
    Ok(Question {
        families,
        src,
        dst,
        left_out: left_out.collect(),
    })
}

/// What a flow to this end may carry, where the question is about this port.
fn transports(families: Families, target: Target<'_>, port: &PortSpec) -> Vec<TransportRange> {
    if let Some((protocol, port)) = target.port {
        return vec![ported(protocol, port, port)];
    }
    match port {
        PortSpec::Any => every_transport(families),
        PortSpec::Protocol(protocol) if protocol.has_ports() => {
            vec![every_port(*protocol)]
        }
        PortSpec::Protocol(protocol) => {
            let echo = ECHO.iter().find(|(own, _)| own == protocol);
            vec![portless(*protocol, echo.map(|(_, kind)| *kind))]
        }
        PortSpec::Range {
            protocol,
            first,
            last,
        } => vec![ported(*protocol, *first, *last)],
        PortSpec::Icmp { protocol, kind } => vec![portless(*protocol, Some(*kind))],
        // Whoever has ports by names that are known has a number by now.
        PortSpec::Named { protocol, .. } => vec![portless(*protocol, None)],
    }
}

fn every_transport(families: Families) -> Vec<TransportRange> {
    let echo = ECHO
        .into_iter()
        .filter(|(protocol, _)| !families.common(families, *protocol).is_empty());
    let with_ports = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    with_ports
        .into_iter()
        .map(every_port)
        .chain(echo.map(|(protocol, kind)| portless(protocol, Some(kind))))
        .collect()
}

fn every_port(protocol: Protocol) -> TransportRange {
    ported(protocol, EVERY_PORT.first, EVERY_PORT.last)
}

fn ported(protocol: Protocol, first: u16, last: u16) -> TransportRange {
    TransportRange {
        protocol,
        ports: Some(PortRange { first, last }),
        icmp: None,
    }
}

fn portless(protocol: Protocol, icmp_type: Option<u8>) -> TransportRange {
    TransportRange {
        protocol,
        ports: None,
        icmp: icmp_type.map(|kind| (kind, 0)),
    }
}
