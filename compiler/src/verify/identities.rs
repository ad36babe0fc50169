//! What ends are where rules ask for identities: what the definition takes each for, asked once.

use crate::cluster::NodeId;
use crate::hir::flow::{Endpoint, EndpointKind};
use crate::hir::spec::Truth;
use crate::hir::spec::precedence::matches::{identities_of, may_be_behind, peer_matches};
use crate::hir::{Enforcement, Peer, Tier};
use crate::identity::{Identity, key};

/// A node on which no end is.
pub(super) const ELSEWHERE: NodeId = NodeId(u32::MAX);

/// What an end is to endpoints that do not run on its node.
#[derive(Debug)]
pub(super) struct Seen {
    /// None where that is open.
    pub(super) only: Option<Identity>,
    is_outside: bool,
}

impl Seen {
    pub(super) fn of(enforcement: &Enforcement, end: &Endpoint<'_>) -> Self {
        let end = end.seen_in(Tier::Admin);
        let mut found = identities_of(enforcement, &end, Some(ELSEWHERE));
        let only = found.pop().filter(|_| found.is_empty());
        Self {
            // What is the own node is asked about by itself.
            only: only.filter(|only| !only.labels.has_reserved(key::HOST)),
            is_outside: matches!(end.kind, EndpointKind::Outside),
        }
    }

    /// Whether a peer is this end. What is open is asked about as a whole.
    pub(super) fn truth(&self, enforcement: &Enforcement, peer: &Peer) -> Truth {
        match &self.only {
            None => Truth::Unknown,
            Some(only) => truth(enforcement, peer, only, self.is_outside),
        }
    }
}

/// Whether a peer is an end of this identity.
pub(super) fn truth(
    enforcement: &Enforcement,
    peer: &Peer,
    identity: &Identity,
    is_outside: bool,
) -> Truth {
    if peer_matches(enforcement, peer, identity) {
        Truth::Yes
    } else if is_outside && may_be_behind(enforcement, peer) {
        Truth::Unknown
    } else {
        Truth::No
    }
}

/// Whether no rule tells two ends apart, wherever the endpoint is that sees them.
pub(super) fn same_identities(
    enforcement: &Enforcement,
    one: &Endpoint<'_>,
    other: &Endpoint<'_>,
) -> bool {
    let (one, other) = (one.seen_in(Tier::Admin), other.seen_in(Tier::Admin));
    let alike = match (&one.kind, &other.kind) {
        (EndpointKind::Pod(a), EndpointKind::Pod(b)) => a.ports == b.ports,
        (EndpointKind::Node(a), EndpointKind::Node(b)) => a.id == b.id,
        (EndpointKind::Outside, EndpointKind::Outside) => true,
        (EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside, _) => false,
    };
    let node = match &one.kind {
        EndpointKind::Node(node) => node.id,
        EndpointKind::Pod(_) | EndpointKind::Outside => None,
    };
    let seen =
        |end| [None, node, Some(ELSEWHERE)].map(|from| identities_of(enforcement, end, from));
    alike && seen(&one) == seen(&other)
}
