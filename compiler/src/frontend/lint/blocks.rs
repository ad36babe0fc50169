//! Blocks of addresses that have what Cilium never looks for in a block: pods, nodes and services.
//!
//! Pods and nodes are told by their labels, whatever their addresses, unless `policy-cidr-match-mode` says otherwise;
//! and the address of a service is that of a pod by the time policies are asked. Nothing is said of all addresses of a
//! family, which are meant for the outside.

use super::rules;
use crate::cluster::Cluster;
use crate::diagnostic::{Code, Diagnostic, Severity, codes};
use crate::hir::{IpBlock, ItemOrigin, Peer, Policy, PolicySet, Resolution, RuleOrigin};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What has an address that no block finds.
#[derive(Clone, Debug)]
struct Owner {
    code: &'static Code,
    name: String,
    help: &'static str,
}

const OF_PODS: &str = "select them by `toEndpoints` or `fromEndpoints` (`podSelector` in a NetworkPolicy), or add `pods` to \
                       `policy-cidr-match-mode`";

const OF_NODES: &str = "select them by entities (`toEntities: [remote-node]`), or add `nodes` to `policy-cidr-match-mode`";

const OF_SERVICES: &str = "name the pods behind the service, or the service by `toServices`";

/// The blocks of rules that have addresses of pods, nodes and services.
pub(super) fn blocks(cluster: &Cluster, policies: &PolicySet) -> Vec<Diagnostic> {
    let Resolution::Precedence(enforcement) = &policies.resolution else {
        return Vec::new();
    };
    let options = enforcement.identities.options();
    let mut owners: BTreeMap<IpAddr, Owner> = BTreeMap::new();
    for service in cluster.services() {
        let namespace = cluster.namespace_name(service.namespace);
        for address in service.addresses.iter().chain(&service.external_addresses) {
            let owner = Owner {
                code: &codes::BLOCK_OF_SERVICE,
                name: format!("service `{namespace}/{}`", service.name),
                help: OF_SERVICES,
            };
            owners.insert(address.to_canonical(), owner);
        }
    }
    for node in cluster
        .nodes()
        .iter()
        .filter(|_| !options.blocks_match_nodes)
    {
        for address in &node.addresses {
            let owner = Owner {
                code: &codes::BLOCK_OF_PODS,
                name: format!("node `{}`", node.name),
                help: OF_NODES,
            };
            owners.insert(address.to_canonical(), owner);
        }
    }
    let pods = cluster.pods().iter();
    for pod in pods.filter(|pod| !options.blocks_match_pods && !pod.host_network && !pod.finished) {
        let namespace = cluster.namespace_name(pod.namespace);
        for address in &pod.addresses {
            let owner = Owner {
                code: &codes::BLOCK_OF_PODS,
                name: format!("pod `{namespace}/{}`", pod.name),
                help: OF_PODS,
            };
            owners.insert(address.to_canonical(), owner);
        }
    }
    let mut diagnostics = Vec::new();
    for (policy, rule, origin) in rules(policies) {
        let peers = rule.peers.iter().flatten().zip(&origin.peers);
        for (peer, item) in peers {
            if let Peer::Addresses(block) = peer {
                diagnostics.extend(of_block(&owners, policy, origin, item, block));
            }
        }
    }
    diagnostics
}

/// One of each kind that a block has.
fn of_block(
    owners: &BTreeMap<IpAddr, Owner>,
    policy: &Policy,
    origin: &RuleOrigin,
    item: &ItemOrigin,
    block: &IpBlock,
) -> Vec<Diagnostic> {
    if block.cidr.prefix_len() == 0 {
        return Vec::new();
    }
    let within = owners.range(block.cidr.network()..=block.cidr.broadcast());
    let within: Vec<(&IpAddr, &Owner)> = within
        .filter(|(address, _)| block.contains(**address))
        .collect();
    let mut diagnostics = Vec::new();
    for code in [&codes::BLOCK_OF_PODS, &codes::BLOCK_OF_SERVICE] {
        let mut of_code = within.iter().filter(|(_, owner)| *owner.code == *code);
        let Some((address, owner)) = of_code.next() else {
            continue;
        };
        let more = match of_code.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let why = if *code == codes::BLOCK_OF_PODS {
            "Cilium tells pods and nodes by their labels: the block does not match them"
        } else {
            "what goes to a service has the address of a pod when policies are asked: the block does not match it"
        };
        let is_all = block.cidr.prefix_len() == block.cidr.max_prefix_len();
        let diagnostic = Diagnostic::new(
            code,
            format!(
                "{} has {address} of {}{more}, and {why}",
                block.cidr, owner.name
            ),
        )
        .at(
            item.span,
            if is_all {
                "matches nothing"
            } else {
                "does not match it"
            },
        )
        .field(format!("{}.{}", origin.path, item.path))
        .object(policy.object.clone())
        .help(owner.help);
        // A wider block may be meant for what is outside.
        diagnostics.push(if is_all {
            diagnostic
        } else {
            diagnostic.severity(Severity::Note)
        });
    }
    diagnostics
}
