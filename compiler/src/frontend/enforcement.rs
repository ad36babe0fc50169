//! How the policies of a run come to a verdict together.
//!
//! Input: the settings, the snapshot and the policies. Output: [`Resolution`], in Cilium's dialect with the
//! identities that the snapshot has under these policies. Guarantee: every block and every pattern of names that a
//! policy mentions has its label, whether a rule tells it apart or not, as in the agent.

use super::settings::cilium::{AllowLocalhost, EnablePolicy, Options, Version};
use super::settings::{Dialect, Settings};
use crate::cluster::{Cluster, NamedPort};
use crate::hir::{DomainPattern, Enforcement, Mode, Peer, PolicySet, Resolution};
use crate::identity::{self, Identities, LabelFilter, Mentioned};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a policy set is resolved under these settings.
pub(crate) fn resolution(
    settings: &Settings,
    cluster: &Cluster,
    policies: &PolicySet,
) -> Resolution {
    match settings.dialect {
        Dialect::Kubernetes => Resolution::Isolation,
        Dialect::Cilium => {
            let options = &settings.cilium;
            let mentioned = mentioned(cluster, policies);
            let mut identity = identity_options(options);
            identity.blocks_match_pods |= settings.semantics().cidr_matches_pods;
            let identities = Identities::new(cluster, &mentioned, identity);
            Resolution::Precedence(Arc::new(enforcement(options, cluster, identities)))
        }
    }
}

fn enforcement(options: &Options, cluster: &Cluster, identities: Identities) -> Enforcement {
    Enforcement {
        mode: match options.enable_policy {
            EnablePolicy::Default => Mode::Default,
            EnablePolicy::Always => Mode::Always,
            EnablePolicy::Never => Mode::Never,
        },
        allows_own_node: match options.allow_localhost {
            AllowLocalhost::Auto | AllowLocalhost::Always => true,
            AllowLocalhost::Policy => false,
        },
        own_node_needs_rule: is_recent(options),
        shared_ports: (!is_recent(options)).then(|| shared_ports(cluster)),
        allows_fragmentation_needed: options.allow_icmp_frag_needed,
        has_icmp_types: options.enable_icmp_rules,
        governs_nodes: options.enable_host_firewall,
        audits: options.policy_audit_mode,
        has_names: cluster.has_names(),
        identities,
    }
}

/// Whether it is 1.20.
fn is_recent(options: &Options) -> bool {
    match options.version {
        Version::V1_19 => false,
        Version::V1_20 => true,
    }
}

/// Every port that has a name: 1.19 looks names of destinations up in one list for the whole cluster.
fn shared_ports(cluster: &Cluster) -> Vec<NamedPort> {
    let pods = cluster.pods().iter();
    let pods = pods.filter(|pod| !pod.host_network && !pod.finished);
    let ports: BTreeSet<&NamedPort> = pods.flat_map(|pod| cluster.ports(pod.ports)).collect();
    ports.into_iter().cloned().collect()
}

fn identity_options(options: &Options) -> identity::Options {
    let is_recent = is_recent(options);
    let labels: Vec<&str> = options.labels.0.iter().map(String::as_str).collect();
    identity::Options {
        cluster: options.cluster_name.as_str().into(),
        cluster_id: options.cluster_id,
        v4: options.enable_ipv4,
        v6: options.enable_ipv6,
        blocks_match_nodes: options.policy_cidr_match_mode.nodes,
        blocks_match_pods: options.policy_cidr_match_mode.pods,
        node_labels: options.enable_node_selector_labels,
        governs_nodes: options.enable_host_firewall,
        aggregates: is_recent,
        named_ports: is_recent,
        filter: LabelFilter::new(&labels),
    }
}

fn mentioned(cluster: &Cluster, policies: &PolicySet) -> Mentioned {
    let rules = policies.policies.iter();
    let rules = rules.flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
    let mut mentioned = Mentioned::default();
    for peer in rules.flat_map(|rule| rule.peers.iter().flatten()) {
        match peer {
            Peer::Addresses(block) => {
                let blocks = std::iter::once(&block.cidr).chain(&block.except);
                mentioned.blocks.extend(blocks.map(IpNet::trunc));
            }
            Peer::Identities(selectors) => {
                let blocks = selectors.iter().flat_map(|selector| &selector.except);
                mentioned.blocks.extend(blocks.map(IpNet::trunc));
            }
            Peer::Domain(pattern) => name(cluster, pattern, &mut mentioned),
            Peer::Pods(_) | Peer::Nodes(_) => {}
        }
    }
    mentioned
}

fn name(cluster: &Cluster, pattern: &DomainPattern, mentioned: &mut Mentioned) {
    let seen = cluster
        .names()
        .iter()
        .filter(|(name, _)| pattern.matches(name));
    for address in seen.flat_map(|(_, addresses)| addresses) {
        let names = mentioned.names.entry(address.to_canonical()).or_default();
        names.insert(pattern.to_string().into());
    }
}
