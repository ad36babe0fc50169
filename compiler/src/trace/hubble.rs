//! Flows as Hubble prints them, `hubble observe -o jsonpb`, as records.
//!
//! Input: a line with a flow (`api/v1/flow/flow.proto` of Cilium). Output: a [`Record`] that asks the side on which the
//! flow was seen; where the packet is a reply, the connection that it belongs to. `recorded` is what the agent decided
//! by policy: where it dropped for another reason, or only saw the packet, nothing is. Guarantee: an end is the pod,
//! node or address of the snapshot that owns its address, else the pod of its name.

mod labels;

use super::record::{NumberOrText, Record, Side, Word};
use super::{dns, time};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use labels::Labels;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// Whether a line is as the exporter wraps a flow.
pub(super) fn is_wrapped(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{\"flow\"")
}

/// Whether a line of Hubble's is about the stream: which nodes take part, and how many events were lost.
pub(super) fn is_no_flow(text: &[u8]) -> bool {
    let starts: [&[u8]; 2] = [b"{\"node_status\"", b"{\"lost_events\""];
    let text = text.trim_ascii_start();
    starts.iter().any(|start| text.starts_with(start))
}

/// Whether a line holds a flow of Hubble's.
pub(super) fn is_flow(text: &[u8]) -> bool {
    is_wrapped(text) || memchr::memmem::find(text, b"\"traffic_direction\"").is_some()
}

/// What a line tells of DNS, and from when on: a flow of Hubble's that is the answer to a question. One without a time counts
/// at any.
pub(super) fn dns_answer(text: &[u8]) -> Option<(dns::Answer, u64)> {
    #[derive(Deserialize)]
    struct Line {
        flow: Option<Flow>,
    }
    #[derive(Deserialize)]
    struct Flow {
        time: Option<String>,
        l7: Layer7,
    }
    #[derive(Deserialize)]
    struct Layer7 {
        dns: Dns,
    }
    #[derive(Deserialize)]
    struct Dns {
        query: String,
        ips: Vec<IpAddr>,
    }
    memchr::memmem::find(text, b"\"dns\"")?;
    let line: Line = serde_json::from_slice(text).ok()?;
    let flow = match line.flow {
        Some(flow) => flow,
        None => serde_json::from_slice(text).ok()?,
    };
    let Dns { query, ips } = flow.l7.dns;
    let answer = dns::Answer {
        name: dns::normal(&query),
        addresses: ips,
        seconds: 0,
    };
    let time = flow.time.as_deref().and_then(time::read);
    Some((answer, time.unwrap_or(0)))
}

/// A line: the flow itself, or the flow with the node that exported it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    flow: Option<Flow<'a>>,
}

/// What is read of a flow. Numbers that are zero and texts that are empty are left out by the exporter.
#[derive(Deserialize)]
struct Flow<'a> {
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    verdict: Cow<'a, str>,
    #[serde(borrow, default)]
    drop_reason_desc: Cow<'a, str>,
    #[serde(borrow, rename = "IP", default)]
    ip: Addresses<'a>,
    #[serde(default)]
    l4: Layer4,
    #[serde(borrow, default)]
    source: End<'a>,
    #[serde(borrow, default)]
    destination: End<'a>,
    #[serde(borrow, default)]
    node_name: Cow<'a, str>,
    #[serde(default)]
    event_type: EventType,
    #[serde(borrow, default)]
    traffic_direction: Cow<'a, str>,
    #[serde(default)]
    is_reply: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Addresses<'a> {
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    destination: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct End<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pod_name: Cow<'a, str>,
    #[serde(default)]
    labels: Labels,
}

#[derive(Default, Deserialize)]
struct EventType {
    #[serde(rename = "type", default)]
    kind: u32,
}

#[derive(Default, Deserialize)]
struct Layer4 {
    #[serde(rename = "TCP")]
    tcp: Option<Ports>,
    #[serde(rename = "UDP")]
    udp: Option<Ports>,
    #[serde(rename = "SCTP")]
    sctp: Option<Ports>,
    #[serde(rename = "ICMPv4")]
    icmp_v4: Option<Icmp>,
    #[serde(rename = "ICMPv6")]
    icmp_v6: Option<Icmp>,
    #[serde(rename = "VRRP")]
    vrrp: Option<serde::de::IgnoredAny>,
    #[serde(rename = "IGMP")]
    igmp: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    source_port: u16,
    #[serde(default)]
    destination_port: u16,
}

#[derive(Deserialize)]
struct Icmp {
    #[serde(rename = "type", default)]
    kind: u8,
    #[serde(default)]
    code: u8,
}

/// What a flow carries.
struct Carried {
    protocol: &'static str,
    /// The port of the sender, then that of the receiver.
    ports: Option<[u16; 2]>,
    icmp: Option<(u8, u8)>,
}

impl Layer4 {
    fn carried(&self) -> Option<Carried> {
        let ported = |protocol, ports: &Ports| Carried {
            protocol,
            ports: Some([ports.source_port, ports.destination_port]),
            icmp: None,
        };
        let with_type = |protocol, icmp: &Icmp| Carried {
            protocol,
            ports: None,
            icmp: Some((icmp.kind, icmp.code)),
        };
        let bare = |protocol| Carried {
            protocol,
            ports: None,
            icmp: None,
        };
        let ports = [("TCP", &self.tcp), ("UDP", &self.udp), ("SCTP", &self.sctp)];
        let icmp = [("ICMP", &self.icmp_v4), ("ICMPv6", &self.icmp_v6)];
        let other = [("112", &self.vrrp), ("2", &self.igmp)];
        let ports = ports
            .into_iter()
            .filter_map(|(name, own)| Some(ported(name, own.as_ref()?)));
        let icmp = icmp
            .into_iter()
            .filter_map(|(name, own)| Some(with_type(name, own.as_ref()?)));
        let other = other
            .into_iter()
            .filter_map(|(name, own)| own.map(|_| bare(name)));
        ports.chain(icmp).chain(other).next()
    }
}

/// Reads a flow.
pub(super) fn read<'a>(text: &'a [u8], cluster: &Cluster) -> Result<Record<'a>, Diagnostic> {
    // Of text that is known to be UTF-8 the parts need not be looked at again.
    let text = std::str::from_utf8(text).map_err(|error| unread(&error))?;
    let flow = match serde_json::from_str::<Line<'_>>(text) {
        Ok(Line { flow: Some(flow) }) => flow,
        Ok(Line { flow: None }) => serde_json::from_str(text).map_err(|error| unread(&error))?,
        Err(error) => return Err(unread(&error)),
    };
    let Some(carried) = flow.l4.carried() else {
        let message = "the flow has no protocol above IP that policies know";
        return Err(Diagnostic::new(&codes::RECORD_VALUE, message)
            .field("flow.l4")
            .help("leave out what is no IP traffic: `hubble observe --type policy-verdict`"));
    };
    let direction = match &*flow.traffic_direction {
        "INGRESS" => Some(Side::Ingress),
        "EGRESS" => Some(Side::Egress),
        _ => None,
    };
    let is_reply = flow.is_reply == Some(true);
    let (src, dst, port, side) = if is_reply {
        (
            1,
            0,
            carried.ports.map(|[sender, _]| sender),
            direction.map(opposite),
        )
    } else {
        (0, 1, carried.ports.map(|[_, receiver]| receiver), direction)
    };
    let ends = [
        (&flow.source, &flow.ip.source),
        (&flow.destination, &flow.ip.destination),
    ];
    let end = |index: usize| {
        let (end, address) = ends.get(index).copied().unwrap_or(ends[0]);
        peer(end, address, &flow.node_name, cluster)
    };
    Ok(Record {
        src: end(src),
        dst: end(dst),
        protocol: NumberOrText::Text(carried.protocol.into()),
        dport: port.map(|port| NumberOrText::Number(port.into())),
        sport: None,
        icmp_type: carried.icmp.map(|(kind, _)| match kind {
            // The reply to an echo is the answer to a connection that the request began.
            0 if is_reply => 8,
            129 if is_reply => 128,
            kind => kind,
        }),
        code: carried.icmp.map(|(_, code)| code),
        direction: side,
        expect: None,
        recorded: if is_reply { None } else { recorded(&flow) },
        time: flow.time,
    })
}

fn unread(error: &dyn fmt::Display) -> Diagnostic {
    Diagnostic::new(
        &codes::RECORD_FIELD,
        format!("the line is no flow of Hubble's: {error}"),
    )
    .help("write what `hubble observe -o jsonpb` prints, one flow a line")
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Egress => Side::Ingress,
        Side::Ingress => Side::Egress,
    }
}

/// Who an end is: by its address where the snapshot knows the owner, since a pod with two families has one address in
/// a flow; else the pod of the name; else the node that exported the flow, for what it calls its host.
fn peer<'a>(
    end: &End<'_>,
    address: &Cow<'a, str>,
    exporter: &str,
    cluster: &Cluster,
) -> Cow<'a, str> {
    let known = address
        .parse()
        .ok()
        .and_then(|address| cluster.owner(address));
    if known.is_some() {
        return address.clone();
    }
    let pod = cluster.find_pod(&end.namespace, &end.pod_name);
    if pod.is_some() || address.is_empty() {
        return format!("{}/{}", end.namespace, end.pod_name).into();
    }
    // The name of the cluster stands in front of that of the node.
    let node = exporter.rsplit('/').next().unwrap_or(exporter);
    if end.labels.is_host && cluster.find_node(node).is_some() {
        return format!("node/{node}").into();
    }
    address.clone()
}

/// The types of events that are decisions: drops, and verdicts of policy (`pkg/monitor/api`).
const DROP: u32 = 1;
const POLICY_VERDICT: u32 = 5;

/// What became of the flow by policy. A connection that waits for authentication is allowed by policy, and what is
/// only audited is not.
fn recorded(flow: &Flow<'_>) -> Option<Word> {
    let by_policy = ["POLICY_DENIED", "POLICY_DENY"].contains(&&*flow.drop_reason_desc);
    match (&*flow.verdict, flow.event_type.kind) {
        ("FORWARDED", POLICY_VERDICT) => Some(Word::Allow),
        ("REDIRECTED", POLICY_VERDICT) => Some(Word::Redirect),
        ("AUDIT", POLICY_VERDICT) => Some(Word::Deny),
        ("DROPPED", DROP | POLICY_VERDICT) if by_policy => Some(Word::Deny),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let found = match read(line.as_bytes(), &Cluster::default()) {
            Ok(Record {
                src,
                dst,
                protocol,
                dport,
                icmp_type,
                direction,
                recorded,
                ..
            }) => format!(
                "{src} -> {dst} {protocol} {dport:?} {icmp_type:?} {direction:?} {recorded:?}"
            ),
            Err(diagnostic) => diagnostic.message,
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn decisions_are_recorded_and_other_events_are_not() {
        let flow = |rest: &str| {
            format!(
                r#"{{"flow":{{"IP":{{"source":"10.0.0.1","destination":"10.0.0.2"}},"l4":{{"TCP":{{"source_port":7,"destination_port":80}}}},{rest}}},"node_name":"c/one"}}"#
            )
        };
        let asked = "10.0.0.1 -> 10.0.0.2 TCP Some(Number(80)) None";
        check(
            &flow(r#""verdict":"FORWARDED","event_type":{"type":5},"traffic_direction":"EGRESS""#),
            &format!("{asked} Some(Egress) Some(Allow)"),
        );
        check(
            &flow(
                r#""verdict":"DROPPED","drop_reason_desc":"POLICY_DENY","event_type":{"type":1},"traffic_direction":"INGRESS""#,
            ),
            &format!("{asked} Some(Ingress) Some(Deny)"),
        );
        check(
            &flow(
                r#""verdict":"DROPPED","drop_reason_desc":"AUTH_REQUIRED","event_type":{"type":5},"traffic_direction":"INGRESS""#,
            ),
            &format!("{asked} Some(Ingress) None"),
        );
        check(
            &flow(r#""verdict":"FORWARDED","event_type":{"type":4},"traffic_direction":"INGRESS""#),
            &format!("{asked} Some(Ingress) None"),
        );
    }

    #[test]
    fn a_reply_asks_for_its_connection() {
        check(
            r#"{"verdict":"FORWARDED","IP":{"source":"10.0.0.2","destination":"10.0.0.1"},"l4":{"UDP":{"source_port":53,"destination_port":4000}},"is_reply":true,"traffic_direction":"EGRESS","event_type":{"type":4}}"#,
            "10.0.0.1 -> 10.0.0.2 UDP Some(Number(53)) None Some(Ingress) None",
        );
    }

    #[test]
    fn numbers_that_are_left_out_are_zero() {
        check(
            r#"{"flow":{"IP":{"source":"10.0.0.2","destination":"10.0.0.1"},"l4":{"ICMPv4":{}},"traffic_direction":"EGRESS","event_type":{"type":5},"verdict":"REDIRECTED"}}"#,
            "10.0.0.2 -> 10.0.0.1 ICMP None Some(0) Some(Egress) Some(Redirect)",
        );
        check(
            r#"{"flow":{"IP":{},"l4":{}}}"#,
            "the flow has no protocol above IP that policies know",
        );
        check(
            r#"{"flow":7}"#,
            "the line is no flow of Hubble's: invalid type: integer `7`, expected struct Flow at line 1 column 9",
        );
    }
}
