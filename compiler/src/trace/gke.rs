//! Policy-action logs of GKE, as records.
//!
//! Input: a line as the node's agent writes it to `/var/log/network/policy_action.log`, or as Cloud Logging exports it, with
//! the entry in `jsonPayload`. Output: a [`Record`] that asks the side on which the connection was logged, and how many
//! connections the entry stands for. Guarantee: an end is the pod, node or address of the snapshot that owns its address,
//! else the pod of its name.

use super::record::{NumberOrText, Record, Side, Word};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use serde::Deserialize;
use std::borrow::Cow;

/// The most connections that an entry stands for: with any more, sums might overflow.
const MAX_COUNT: u64 = u32::MAX as u64;

/// Whether a line is an entry of such a log.
pub(super) fn is_entry(text: &[u8]) -> bool {
    let has = |what: &[u8]| memchr::memmem::find(text, what).is_some();
    has(b"\"disposition\"") && has(b"\"connection\"")
}

/// An entry as Cloud Logging exports it.
#[derive(Deserialize)]
struct Exported<'a> {
    #[serde(borrow, rename = "jsonPayload")]
    entry: Entry<'a>,
}

/// What is read of an entry.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    connection: Connection<'a>,
    disposition: Disposition,
    #[serde(borrow, default)]
    src: End<'a>,
    #[serde(borrow, default)]
    dest: End<'a>,
    #[serde(default)]
    count: Option<Count>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Connection<'a> {
    #[serde(borrow)]
    src_ip: Cow<'a, str>,
    #[serde(borrow)]
    dest_ip: Cow<'a, str>,
    #[serde(default)]
    src_port: u16,
    #[serde(default)]
    dest_port: u16,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    direction: Side,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Disposition {
    Allow,
    Deny,
}

#[derive(Default, Deserialize)]
struct End<'a> {
    #[serde(borrow, default)]
    pod_name: Cow<'a, str>,
    #[serde(borrow, default)]
    pod_namespace: Cow<'a, str>,
}

/// A count: Cloud Logging writes whole numbers as text at times.
#[derive(Clone, Copy)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// Reads an entry: the record, and how many connections it stands for.
pub(super) fn read<'a>(text: &'a [u8], cluster: &Cluster) -> Result<(Record<'a>, u64), Diagnostic> {
    let is_exported = memchr::memmem::find(text, b"\"jsonPayload\"").is_some();
    let entry: Entry<'a> = if is_exported {
        let exported: Exported<'a> =
            serde_json::from_slice(text).map_err(|error| unread(&error))?;
        exported.entry
    } else {
        serde_json::from_slice(text).map_err(|error| unread(&error))?
    };
    let connection = entry.connection;
    let has_ports = ["tcp", "udp", "sctp"]
        .iter()
        .any(|name| connection.protocol.eq_ignore_ascii_case(name));
    let record = Record {
        src: peer(&entry.src, connection.src_ip, cluster),
        dst: peer(&entry.dest, connection.dest_ip, cluster),
        protocol: NumberOrText::Text(connection.protocol),
        dport: has_ports.then_some(NumberOrText::Number(connection.dest_port.into())),
        sport: has_ports.then_some(connection.src_port),
        icmp_type: None,
        code: None,
        direction: Some(connection.direction),
        time: entry.timestamp,
        expect: None,
        recorded: Some(match entry.disposition {
            Disposition::Allow => Word::Allow,
            Disposition::Deny => Word::Deny,
        }),
    };
    let count = entry.count.map_or(1, |Count(count)| count);
    Ok((record, count.clamp(1, MAX_COUNT)))
}

fn peer<'a>(end: &End<'a>, address: Cow<'a, str>, cluster: &Cluster) -> Cow<'a, str> {
    let owner = address
        .parse()
        .ok()
        .and_then(|address| cluster.owner(address));
    let is_known = cluster
        .find_pod(&end.pod_namespace, &end.pod_name)
        .is_some();
    if owner.is_none() && is_known {
        return format!("{}/{}", end.pod_namespace, end.pod_name).into();
    }
    address
}

fn unread(error: &serde_json::Error) -> Diagnostic {
    Diagnostic::new(
        &codes::RECORD_FIELD,
        format!("the line is no entry of a policy-action log of GKE: {error}"),
    )
    .help(
        "write the entries as the node's agent does, or as Cloud Logging exports them, one a line",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"connection":{"src_ip":"10.84.0.252","dest_ip":"10.84.0.165","src_port":52648,"dest_port":8080,"protocol":"tcp","direction":"ingress"},"disposition":"deny","src":{"pod_name":"client","pod_namespace":"shop","namespace":"shop"},"dest":{"pod_name":"api","pod_namespace":"shop","namespace":"shop"},"count":3,"timestamp":"2026-01-01T00:00:00Z"}"#;

    #[test]
    fn an_entry_asks_the_side_on_which_it_was_logged() {
        for text in [ENTRY.to_owned(), format!("{{\"jsonPayload\":{ENTRY}}}")] {
            assert!(is_entry(text.as_bytes()));
            let (record, count) = read(text.as_bytes(), &Cluster::default()).unwrap();
            assert_eq!((&*record.src, &*record.dst), ("10.84.0.252", "10.84.0.165"));
            assert_eq!(record.dport, Some(NumberOrText::Number(8080)));
            assert_eq!(record.direction, Some(Side::Ingress));
            assert_eq!((record.recorded, count), (Some(Word::Deny), 3));
        }
    }

    #[test]
    fn what_is_no_entry_says_why() {
        let broken = ENTRY.replace("\"deny\"", "\"maybe\"");
        let diagnostic = read(broken.as_bytes(), &Cluster::default()).unwrap_err();
        assert!(
            diagnostic.message.contains("unknown variant `maybe`"),
            "{}",
            diagnostic.message
        );
    }
}
