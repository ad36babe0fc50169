//! What the leaves of a cluster, who each address is, and the proof of both are about, as a digest: where it is the same, leaves that
//! were proved are proved.
//!
//! Leaves stand for ends: pods and nodes with what rules may ask of them, and the addresses that the cluster owns or that blocks cut
//! out. So all these are told, and nothing of policies but where they cut. A policy that asks of the same addresses changes nothing
//! here, which is what most changes are.

use super::ends::AddressCells;
use super::fingerprint::{NONE, Print, Words};
use crate::cluster::{Cluster, Namespace, Node, Owner, Pod, PodId};
use crate::hir::PolicySet;
use crate::ir::Program;
use crate::lir::number;
use rayon::prelude::*;

/// The digest. `build` tells apart what found the leaves.
pub(crate) fn ground(
    build: &[u8],
    cluster: &Cluster,
    policies: &PolicySet,
    program: &Program,
) -> Print {
    let mut words = Words::new();
    words.add(&build);
    words.add(&policies.resolution);
    let (cells, classes) = (AddressCells::of(cluster, policies), &program.addresses);
    add_starts(&mut words, (&cells.v4, &cells.v6));
    add_starts(&mut words, (classes.v4.starts(), classes.v6.starts()));
    words.add_thing(&program.identities());
    words.add(&cluster.host_network());
    words.add_count(cluster.label_sets.len());
    for labels in &cluster.label_sets {
        words.add_count(labels.len());
        for (key, value) in labels.iter() {
            words.add_text(key);
            words.add_text(value);
        }
    }
    words.add_thing(&cluster.port_sets);
    words.add_count(cluster.namespaces().len());
    for namespace in cluster.namespaces() {
        let Namespace {
            name,
            labels,
            span: _,
        } = namespace;
        words.add_text(name);
        words.add_number(labels.0);
    }
    words.add_count(cluster.nodes().len());
    for node in cluster.nodes() {
        // Whose name it is and which blocks its pods have is asked of no end.
        let Node {
            name: _,
            labels,
            addresses,
            pod_cidrs: _,
            span: _,
        } = node;
        words.add_number(labels.0);
        words.add_addresses(addresses);
    }
    words.add_count(cluster.pods().len());
    let (pods, owned) = rayon::join(|| pods(cluster, program), || owned(cluster));
    pods.iter().for_each(|print| words.add_print(print));
    words.add_print(&owned);
    words.print()
}

/// The pods, some by some.
fn pods(cluster: &Cluster, program: &Program) -> Vec<Print> {
    let together = cluster.pods().par_chunks(TOGETHER).enumerate();
    let prints = together.map_init(Words::new, |words, (index, pods)| {
        let ids = (number(index * TOGETHER)..).map(PodId);
        for (pod, id) in pods.iter().zip(ids) {
            add_pod(words, pod);
            words.add_number(program.identity_of(id).map_or(NONE, |identity| identity.0));
        }
        words.next_print()
    });
    prints.collect()
}

/// Who owns each address, in the order in which these were taken in: another order is another digest, and nothing worse.
fn owned(cluster: &Cluster) -> Print {
    let mut words = Words::new();
    for (address, owner) in cluster.owned() {
        words.add_addresses(&[address]);
        let (kind, id) = match owner {
            Owner::Pod(pod) => (0, pod.0),
            Owner::Node(node) => (1, node.0),
        };
        words.add_bytes(&[kind]);
        words.add_number(id);
    }
    words.print()
}

/// How many pods are told together.
const TOGETHER: usize = 1 << 12;

fn add_pod(words: &mut Words, pod: &Pod) {
    let Pod {
        namespace,
        name: _,
        labels,
        addresses,
        ports,
        host_network,
        node,
        workload: _,
        stand_in: _,
        finished: _,
        service_account,
        span: _,
    } = pod;
    for number in [
        namespace.0,
        labels.0,
        ports.0,
        node.map_or(NONE, |node| node.0),
    ] {
        words.add_number(number);
    }
    words.add_bytes(&[u8::from(*host_network)]);
    words.add_addresses(addresses);
    words.add_text(service_account);
}

fn add_starts(words: &mut Words, (v4, v6): (&[u32], &[u128])) {
    words.add_count(v4.len());
    for start in v4 {
        words.add_number(*start);
    }
    words.add_count(v6.len());
    for start in v6 {
        words.add_bytes(&start.to_le_bytes());
    }
}
