//! What the author of a rule for services is likely to have meant otherwise.

use super::Reading;
use crate::cluster::{Protocol, Service};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::lower::DraftRule;
use crate::hir::{ItemOrigin, PortMatch};
use std::collections::BTreeSet;

/// An item whose services do not exist, or lead nowhere. Where no other peer stands beside them, a rule with ports is
/// for anyone.
pub(super) fn nowhere(
    rule: &DraftRule,
    origin: &ItemOrigin,
    is_for_all: bool,
    reading: Reading<'_>,
) -> Option<Diagnostic> {
    // The service may be among what was refused.
    let may_be_refused = reading
        .refused
        .iter()
        .any(|object| ["Service", "Endpoints", "EndpointSlice"].contains(&&*object.kind));
    if may_be_refused || rule.peers.as_ref().is_some_and(|peers| !peers.is_empty()) {
        return None;
    }
    let field = format!("{}.{}", rule.path, origin.path);
    Some(if is_for_all {
        Diagnostic::new(
            &codes::FAIL_OPEN_SERVICES,
            "no service of the snapshot stands behind this: Cilium takes it for no peer at all, and the rule is for every \
             peer on its ports",
        )
        .at(origin.span, "matches everything")
        .field(field)
        .help("name a service that exists, or select its pods by `toEndpoints`")
    } else {
        Diagnostic::new(
            &codes::PEER_SELECTS_NOTHING,
            "this peer selects no service of the snapshot",
        )
        .at(origin.span, "no service of the snapshot")
        .field(field)
        .help("compare the name, the namespace and the labels with those of the services")
    })
}

/// A key with a dot in the selector of a service, of which 1.19 takes the front part for a source.
pub(super) fn dotted(
    service: &Service,
    rule: &DraftRule,
    origin: &ItemOrigin,
    reading: Reading<'_>,
) -> Option<Diagnostic> {
    let mut keys = service.selector.iter().flat_map(|labels| labels.iter());
    let (key, _) = keys.find(|(key, _)| key.contains('.') && reading.splits_keys_at_dots)?;
    let message = format!(
        "Cilium 1.19 does not find the pods behind the service `{}`: of `{key}` in its selector it takes what is in front of \
         the first dot for a source",
        service.name
    );
    Some(
        Diagnostic::new(&codes::FAIL_OPEN_SERVICES, message)
            .at(origin.span, "matches nothing")
            .field(format!("{}.{}", rule.path, origin.path))
            .help("select the pods by `toEndpoints`, or run 1.20"),
    )
}

/// Ports under which services are offered, where their pods have others: policies see the latter.
pub(super) fn ports(services: &[&Service], rule: &DraftRule) -> Vec<Diagnostic> {
    let all = || services.iter().flat_map(|service| &service.ports);
    let behind: BTreeSet<(Protocol, u16)> = all()
        .flat_map(|port| {
            let backends = port.backends.iter().map(|(_, number)| *number);
            let pods = port.pods.iter().map(|(_, number)| *number);
            backends.chain(pods).map(|number| (port.protocol, number))
        })
        .collect();
    let mut doubts = Vec::new();
    let mut told = BTreeSet::new();
    for (port, origin) in rule.ports.iter().flatten() {
        let PortMatch::Range { protocol, ports } = port else {
            continue;
        };
        let is_meant = |(own, number): &(Protocol, u16)| own == protocol && ports.contains(*number);
        if ports.first != ports.last || behind.iter().any(is_meant) {
            continue;
        }
        let offered = all().find(|own| own.protocol == *protocol && own.number == ports.first);
        let Some(offered) = offered else { continue };
        let real = offered.backends.first().map(|(_, number)| *number);
        let real = real.or(offered.pods.first().map(|(_, number)| *number));
        let Some(real) = real.filter(|_| told.insert(origin.span)) else {
            continue;
        };
        let message = format!(
            "{protocol} {} is a port of the service, and policies see that of its pods, {real}",
            ports.first
        );
        doubts.push(
            Diagnostic::new(&codes::SERVICE_PORT, message)
                .at(origin.span, "matches nothing")
                .field(format!("{}.{}", rule.path, origin.path))
                .help(format!("write `port: \"{real}\"`")),
        );
    }
    doubts
}
