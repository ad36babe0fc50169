//! What a node holds, read from what Cilium's command line prints.
//!
//! Input: the texts of four commands ([`DumpFile`]). Output: [`Dump`]. Fields that are not asked for may be anything,
//! so that other versions are read too. Refused, each with its file: what is no JSON of that shape, a key whose length
//! no lookup has, and an address block that is none.

use crate::policymap::bytes::POLICY_STATIC_BITS;
use crate::policymap::{Block, Demand, Entry};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A file of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DumpFile {
    /// The policy map of every endpoint.
    Policy,
    /// Which address has which identity.
    Ipcache,
    /// The endpoints of the node.
    Endpoints,
    /// Which identity has which labels.
    Identities,
}

impl DumpFile {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Policy,
        Self::Ipcache,
        Self::Endpoints,
        Self::Identities,
    ];

    /// Its name in the folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy.json",
            Self::Ipcache => "ipcache.json",
            Self::Endpoints => "endpoints.json",
            Self::Identities => "identities.json",
        }
    }

    /// The command that prints it.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Policy => "cilium-dbg bpf policy get --all -o json",
            Self::Ipcache => "cilium-dbg bpf ipcache list -o json",
            Self::Endpoints => "cilium-dbg endpoint list -o json",
            Self::Identities => "cilium-dbg identity list -o json",
        }
    }
}

/// Why a file of a dump cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpError {
    /// The file.
    pub file: DumpFile,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// What a node holds.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// The entries of each endpoint's policy map, by the number of the endpoint.
    pub policies: BTreeMap<u64, Vec<Entry>>,
    /// The identity of each block of addresses.
    pub ipcache: BTreeMap<IpNet, u32>,
    /// The other ends of the tunnels that lead to blocks of addresses.
    pub tunnels: BTreeMap<IpNet, IpAddr>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The labels of each identity, as written.
    pub identities: BTreeMap<u32, Vec<String>>,
}

/// An endpoint of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub id: u64,
    /// The namespace and the name of its pod; `None` for an endpoint that is no pod's.
    pub pod: Option<(String, String)>,
    /// Its identity.
    pub identity: u32,
}

impl Dump {
    /// Reads the texts of the four files.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn read(mut text: impl FnMut(DumpFile) -> Vec<u8>) -> Result<Self, Vec<DumpError>> {
        let mut errors = Vec::new();
        let mut dump = Self::default();
        for file in DumpFile::ALL {
            if let Err(why) = dump.add(file, &text(file)) {
                errors.push(DumpError { file, why });
            }
        }
        if errors.is_empty() {
            Ok(dump)
        } else {
            Err(errors)
        }
    }

    fn add(&mut self, file: DumpFile, text: &[u8]) -> Result<(), String> {
        match file {
            DumpFile::Policy => self.policies = policies(parsed(text)?)?,
            DumpFile::Ipcache => (self.ipcache, self.tunnels) = ipcache(parsed(text)?)?,
            DumpFile::Endpoints => {
                let endpoints: Vec<PrintedEndpoint> = parsed(text)?;
                self.endpoints = endpoints.into_iter().map(Endpoint::from).collect();
            }
            DumpFile::Identities => {
                let identities: Vec<PrintedIdentity> = parsed(text)?;
                let identities = identities.into_iter();
                self.identities = identities.map(|one| (one.id, one.labels)).collect();
            }
        }
        Ok(())
    }
}

fn parsed<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// A policy map as `bpf policy get --all -o json` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrintedMap {
    #[serde(rename = "EndpointID")]
    endpoint: String,
    /// `null` for an empty map.
    content: Option<Vec<PrintedEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrintedEntry {
    proxy_port_network: u16,
    flags: u8,
    #[serde(default)]
    auth_requirement: u8,
    precedence: u32,
    key: PrintedKey,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrintedKey {
    prefixlen: u32,
    identity: u32,
    traffic_direction: u8,
    nexthdr: u8,
    dest_port_network: u16,
}

/// The bit of the flags that says that an entry denies.
const DENIES: u8 = 1;

fn policies(printed: Vec<PrintedMap>) -> Result<BTreeMap<u64, Vec<Entry>>, String> {
    let mut policies = BTreeMap::new();
    for PrintedMap { endpoint, content } in printed {
        // Cilium takes the number from the name of the map's file, with its zeros.
        let id = endpoint
            .parse()
            .map_err(|_| format!("`{endpoint}` is no number of an endpoint"))?;
        let entries = content.unwrap_or_default().into_iter().map(entry);
        let entries = entries.collect::<Result<_, _>>();
        let entries = entries.map_err(|why| format!("endpoint {endpoint}: {why}"))?;
        policies.insert(id, entries);
    }
    Ok(policies)
}

fn entry(printed: PrintedEntry) -> Result<Entry, String> {
    let key = printed.key;
    let length = key.prefixlen.checked_sub(POLICY_STATIC_BITS);
    let length = length.filter(|length| matches!(length, 0 | 8..=24));
    let length = length.and_then(|length| u8::try_from(length).ok());
    Ok(Entry {
        identity: key.identity,
        egress: match key.traffic_direction {
            0 => false,
            1 => true,
            other => return Err(format!("{other} is no direction of an entry")),
        },
        block: Block {
            protocol: key.nexthdr,
            // Printed is the number in network order as the node's processor reads it, and those that Cilium runs on
            // are little-endian.
            port: key.dest_port_network.swap_bytes(),
            length: length.ok_or_else(|| format!("{} is no length of a key", key.prefixlen))?,
        },
        denies: printed.flags & DENIES != 0,
        proxy: printed.proxy_port_network.swap_bytes(),
        auth: Demand(printed.auth_requirement),
        precedence: printed.precedence,
    })
}

/// The identity of each block, and the other end of the tunnel to it.
type Addresses = (BTreeMap<IpNet, u32>, BTreeMap<IpNet, IpAddr>);

/// The ipcache as `bpf ipcache list -o json` prints it: `identity=N encryptkey=...` for each block.
fn ipcache(printed: BTreeMap<String, Vec<String>>) -> Result<Addresses, String> {
    let mut ipcache = BTreeMap::new();
    let mut tunnels = BTreeMap::new();
    // Blocks of another cluster have its number behind an `@`: no rule here speaks of them alone.
    for (prefix, values) in printed
        .into_iter()
        .filter(|(prefix, _)| !prefix.contains('@'))
    {
        let block = block(&prefix).ok_or_else(|| format!("`{prefix}` is no block of addresses"))?;
        let words = || values.iter().flat_map(|value| value.split_whitespace());
        let said = |key| words().find_map(|word| word.strip_prefix(key));
        let tunnel = said("tunnelendpoint=").and_then(|end| end.parse().ok());
        let tunnel = tunnel.filter(|end: &IpAddr| !end.is_unspecified());
        tunnels.extend(tunnel.map(|end| (block, end)));
        let identity = said("identity=");
        let identity = identity.and_then(|number| number.parse().ok());
        let identity = identity.ok_or_else(|| format!("`{prefix}` has no `identity=NUMBER`"))?;
        ipcache.insert(block, identity);
    }
    Ok((ipcache, tunnels))
}

fn block(text: &str) -> Option<IpNet> {
    let block: Option<IpNet> = text.parse().ok();
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    block.or_else(address).map(|block| block.trunc())
}

/// An endpoint as `endpoint list -o json` prints it.
#[derive(Debug, Deserialize)]
struct PrintedEndpoint {
    id: u64,
    status: PrintedStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PrintedStatus {
    external_identifiers: Option<PrintedNames>,
    /// Missing while the endpoint is being made.
    identity: Option<PrintedIdentity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PrintedNames {
    k8s_namespace: Option<String>,
    k8s_pod_name: Option<String>,
    /// Both, in the words of older versions.
    pod_name: Option<String>,
}

/// An identity as `identity list -o json` and `endpoint list -o json` print it.
#[derive(Debug, Deserialize)]
struct PrintedIdentity {
    id: u32,
    #[serde(default)]
    labels: Vec<String>,
}

impl From<PrintedEndpoint> for Endpoint {
    fn from(printed: PrintedEndpoint) -> Self {
        let PrintedStatus {
            external_identifiers: names,
            identity,
        } = printed.status;
        Self {
            id: printed.id,
            pod: names.and_then(PrintedNames::pod),
            identity: identity.map_or(0, |identity| identity.id),
        }
    }
}

impl PrintedNames {
    fn pod(self) -> Option<(String, String)> {
        match (self.k8s_namespace, self.k8s_pod_name) {
            (Some(namespace), Some(name)) if !name.is_empty() => Some((namespace, name)),
            (_, _) => {
                let both = self.pod_name?;
                let (namespace, name) = both.split_once('/')?;
                Some((namespace.to_owned(), name.to_owned()))
            }
        }
    }
}
