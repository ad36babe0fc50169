//! Which policies contribute most to what an image has no room for.
//!
//! What is counted is what the policy's text has of it: rules where each may make a row or a code of its own, ports where
//! each may cut them, blocks and their exceptions where each may cut addresses, peers where each may tell some apart.

use crate::cluster::PodId;
use crate::hir::{Peer, Policy, PolicyId, PolicySet, Rule};
use crate::image::Resource;
use crate::ir;
use std::collections::BTreeSet;

/// How many policies are named.
const NAMED: usize = 5;

/// What a policy contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The policy.
    pub policy: PolicyId,
    /// How many it has.
    pub count: usize,
    /// Of what.
    pub of: &'static str,
}

/// The policies that contribute most, the greatest first. Addresses are the cluster's, all else the node's.
pub(super) fn most(
    resource: Resource,
    policies: &PolicySet,
    program: &ir::Program,
    pods: &[PodId],
) -> Vec<Contribution> {
    let of_node: BTreeSet<u32> = pods
        .iter()
        .flat_map(|pod| program.governing_of(*pod))
        .copied()
        .collect();
    let everywhere = match resource {
        Resource::Leaves | Resource::V4Entries | Resource::V6Runs => true,
        Resource::Classes
        | Resource::PortClasses
        | Resource::Rows
        | Resource::Codes
        | Resource::Pages
        | Resource::SectionBytes => false,
    };
    let asked = policies.policies.iter().zip(0..);
    let asked = asked.filter(|(_, index)| everywhere || of_node.contains(index));
    let mut found: Vec<Contribution> = asked
        .map(|(policy, _)| {
            let (count, of) = contributed(resource, policy);
            Contribution {
                policy: policy.id,
                count,
                of,
            }
        })
        .filter(|contribution| contribution.count > 0)
        .collect();
    found.sort_by_key(|contribution| (std::cmp::Reverse(contribution.count), contribution.policy));
    found.truncate(NAMED);
    found
}

fn contributed(resource: Resource, policy: &Policy) -> (usize, &'static str) {
    let rules = || policy.rules.ingress.iter().chain(&policy.rules.egress);
    let blocks = |v4: bool, v6: bool| -> usize {
        let peers = rules().flat_map(|rule| rule.peers.iter().flatten());
        peers
            .map(|peer| match peer {
                Peer::Addresses(block) if block.cidr.addr().is_ipv4() => {
                    usize::from(v4) * (1 + block.except.len())
                }
                Peer::Addresses(block) => usize::from(v6) * (1 + block.except.len()),
                Peer::Domain(_) => 1,
                Peer::Pods(_) | Peer::Nodes(_) | Peer::Identities(_) => 0,
            })
            .sum()
    };
    let listed = |length: fn(&Rule) -> usize| rules().map(length).sum();
    match resource {
        Resource::Leaves => (blocks(true, true), "block"),
        Resource::V4Entries => (blocks(true, false), "block"),
        Resource::V6Runs => (blocks(false, true), "block"),
        Resource::Classes => (
            listed(|rule| rule.peers.as_ref().map_or(0, Vec::len)),
            "peer",
        ),
        Resource::PortClasses | Resource::Pages => (
            listed(|rule| rule.ports.as_ref().map_or(0, Vec::len)),
            "port",
        ),
        Resource::Rows | Resource::Codes | Resource::SectionBytes => (rules().count(), "rule"),
    }
}
