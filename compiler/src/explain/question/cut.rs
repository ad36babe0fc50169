//! Where the answer may change within a range of ports.

use crate::explain::Context;
use crate::hir::flow::{EndpointKind, Flow};
use crate::hir::{PortMatch, PortRange, Rule};
use std::collections::BTreeSet;

/// Cuts a range at every port where a rule or a named port of the destination begins or ends.
pub(super) fn cut(
    context: Context<'_>,
    flow: &Flow<'_>,
    ports: Option<PortRange>,
) -> Vec<(Option<u16>, Option<u16>)> {
    let Some(PortRange { first, last }) = ports else {
        return vec![(None, None)];
    };
    let mut starts = BTreeSet::from([first]);
    let mut between = |range: PortRange| {
        starts.insert(range.first);
        starts.extend(range.last.checked_add(1));
    };
    for rule in context
        .policies
        .policies
        .iter()
        .flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress))
    {
        ranges(rule, flow).for_each(&mut between);
    }
    if let EndpointKind::Pod(pod) = &flow.dst.kind {
        for port in pod.ports.unwrap_or_default() {
            between(PortRange {
                first: port.number,
                last: port.number,
            });
        }
    }
    let starts: Vec<u16> = starts.range(first..=last).copied().collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([last]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (Some(*start), Some(end)))
        .collect()
}

fn ranges(rule: &Rule, flow: &Flow<'_>) -> impl Iterator<Item = PortRange> {
    let own = flow.transport.protocol;
    rule.ports
        .iter()
        .flatten()
        .filter_map(move |port| match port {
            PortMatch::Range { protocol, ports } if *protocol == own => Some(*ports),
            PortMatch::Range { .. } | PortMatch::Named { .. } => None,
        })
}
