//! The maps of a node as Cilium's command line prints them, so that they can be compared with what a live one prints.

use super::dump::DumpFile;
use crate::identity::{Identity, source};
use crate::policymap::bytes::{address_flags, flags, prefix_length};
use crate::policymap::{Address, Endpoint, Entry, NodeMaps};
use ipnet::IpNet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

/// The folder where Cilium pins its maps.
pub const PINNED: &str = "/sys/fs/bpf/tc/globals";
/// The name of the ipcache.
pub const IPCACHE: &str = "cilium_ipcache_v2";

/// The path of the policy map of an endpoint. In the maps of 1.19 no entry stands for several identities.
#[must_use]
pub fn policy_path(maps: &NodeMaps, endpoint: &Endpoint) -> String {
    let version = if maps.has_aggregates { 3 } else { 2 };
    format!("{PINNED}/cilium_policy_v{version}_{:05}", endpoint.id)
}

/// Prints one file.
///
/// # Errors
/// Where it cannot be written.
pub fn print(maps: &NodeMaps, file: DumpFile, out: &mut dyn Write) -> io::Result<()> {
    match file {
        DumpFile::Policy => json(&policies(maps), out),
        DumpFile::Ipcache => json(&ipcache(maps), out),
        DumpFile::Endpoints => json(&endpoints(maps), out),
        DumpFile::Identities => json(&identities(maps), out),
    }
}

fn json<T: Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyMap {
    #[serde(rename = "EndpointID")]
    endpoint: String,
    path: String,
    content: Vec<PolicyEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyEntry {
    proxy_port_network: u16,
    flags: u8,
    auth_requirement: u8,
    precedence: u32,
    cookie: u32,
    packets: u64,
    bytes: u64,
    key: PolicyKey,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyKey {
    prefixlen: u32,
    identity: u32,
    traffic_direction: u8,
    nexthdr: u8,
    dest_port_network: u16,
}

fn policies(maps: &NodeMaps) -> Vec<PolicyMap> {
    let of = |endpoint: &Endpoint| PolicyMap {
        endpoint: endpoint.id.to_string(),
        path: policy_path(maps, endpoint),
        content: endpoint.entries.iter().map(policy_entry).collect(),
    };
    maps.endpoints.iter().map(of).collect()
}

fn policy_entry(entry: &Entry) -> PolicyEntry {
    PolicyEntry {
        proxy_port_network: entry.proxy.swap_bytes(),
        flags: flags(entry),
        auth_requirement: entry.auth.0,
        precedence: entry.precedence,
        cookie: 0,
        packets: 0,
        bytes: 0,
        key: PolicyKey {
            prefixlen: prefix_length(entry),
            identity: entry.identity,
            traffic_direction: u8::from(entry.egress),
            nexthdr: entry.block.protocol,
            // As a little-endian machine reads a number in network order.
            dest_port_network: entry.block.port.swap_bytes(),
        },
    }
}

fn ipcache(maps: &NodeMaps) -> BTreeMap<String, Vec<String>> {
    let of = |(block, address): (&IpNet, &Address)| {
        let Address { identity, tunnel } = *address;
        let flags = match (address_flags(*address), tunnel) {
            (0, _) | (_, None) => "<none>",
            (_, Some(IpAddr::V4(_))) => "hastunnel",
            (_, Some(IpAddr::V6(_))) => "hastunnel,ipv6tunnel",
        };
        let tunnel = tunnel.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let text =
            format!("identity={identity} encryptkey=0 tunnelendpoint={tunnel} flags={flags}");
        (block.to_string(), vec![text])
    };
    maps.ipcache.iter().map(of).collect()
}

#[derive(Debug, Serialize)]
struct PrintedEndpoint {
    id: u16,
    status: Status,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    external_identifiers: Option<Names>,
    identity: PrintedIdentity,
    networking: Networking,
    state: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Names {
    k8s_namespace: String,
    k8s_pod_name: String,
    pod_name: String,
}

#[derive(Debug, Serialize)]
struct Networking {
    addressing: Vec<BTreeMap<&'static str, String>>,
}

#[derive(Debug, Serialize)]
struct PrintedIdentity {
    id: u32,
    labels: Vec<String>,
}

fn endpoints(maps: &NodeMaps) -> Vec<PrintedEndpoint> {
    let of = |endpoint: &Endpoint| {
        let addresses = endpoint.addresses.iter().map(|address| {
            let family = match address {
                IpAddr::V4(_) => "ipv4",
                IpAddr::V6(_) => "ipv6",
            };
            (family, address.to_string())
        });
        let known = maps.identities.get(&endpoint.identity);
        PrintedEndpoint {
            id: endpoint.id,
            status: Status {
                external_identifiers: endpoint.pod.as_ref().map(|(namespace, name)| Names {
                    k8s_namespace: namespace.clone(),
                    k8s_pod_name: name.clone(),
                    pod_name: format!("{namespace}/{name}"),
                }),
                identity: PrintedIdentity {
                    id: endpoint.identity,
                    labels: known.map_or(Vec::new(), |known| labels(&known.identity)),
                },
                networking: Networking {
                    addressing: vec![addresses.collect()],
                },
                state: "ready",
            },
        }
    };
    maps.endpoints.iter().map(of).collect()
}

fn identities(maps: &NodeMaps) -> Vec<PrintedIdentity> {
    let known = maps.identities.iter();
    known
        .map(|(number, peer)| PrintedIdentity {
            id: *number,
            labels: labels(&peer.identity),
        })
        .collect()
}

/// Labels as Cilium writes them: those of blocks have `-` for `:`.
fn labels(identity: &Identity) -> Vec<String> {
    let blocks = identity.blocks.iter().map(|block| {
        let text = block.to_string().replace(':', "-");
        let (address, length) = text.split_once('/').unwrap_or((&text, ""));
        let before = if address.starts_with('-') { "0" } else { "" };
        let behind = if address.ends_with('-') { "0" } else { "" };
        format!("{}:{before}{address}{behind}/{length}", source::CIDR)
    });
    let mut all: Vec<String> = blocks
        .chain(identity.labels.iter().map(ToString::to_string))
        .collect();
    all.sort();
    all
}
