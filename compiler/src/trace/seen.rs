//! What is written of a packet.

use super::capture::{Passed, Tuple};
use super::memory::{Answer, SideAnswer};
use super::record::Word;
use super::{shown, time, told};
use crate::cluster::Cluster;
use crate::cluster::peer::{PeerSpec, resolve};
use crate::hir::flow::Transport;
use serde::Serialize;
use std::fmt;
use std::io::Write as _;

/// A packet as it is named: its ends are those of its connection.
pub(super) struct Seen {
    pub(super) record: u64,
    pub(super) time: u64,
    pub(super) src: String,
    pub(super) dst: String,
    pub(super) port: String,
    pub(super) state: &'static str,
    pub(super) older: bool,
}

/// What a packet carries, as ports are written.
pub(super) fn port(transport: Transport) -> String {
    let Transport {
        protocol,
        port,
        icmp,
    } = transport;
    match (port, icmp) {
        (Some(port), _) => format!("{port}/{protocol}"),
        (None, Some((kind, _))) => format!("{kind}/{protocol}"),
        (None, None) => protocol.to_string(),
    }
}

/// Writes the line of a packet that is passed over.
pub(super) fn passed(record: u64, at: u64, why: Passed, human: bool, out: &mut Vec<u8>) {
    let at = time::text(at);
    if human {
        // Writing to memory does not fail.
        let _ = writeln!(out, "{record:>9}  {at}  passed over: {why}");
        return;
    }
    shown::write_number(record, out);
    for (name, value) in [("time", &at), ("passed_over", &why.to_string())] {
        shown::write_field(name, out);
        shown::write_json(value, out);
    }
    out.extend_from_slice(b"}\n");
}

/// Writes the line of a packet.
pub(super) fn reply(
    seen: &Seen,
    answer: Answer<'_>,
    (recorded, agrees): (Option<Word>, Option<bool>),
    incomplete: &[String],
    human: bool,
    out: &mut Vec<u8>,
) {
    let Seen {
        record,
        time,
        src,
        dst,
        port,
        state,
        older,
    } = seen;
    let at = time::text(*time);
    if human {
        let verdict = answer.verdict.as_str();
        let was = match (recorded, agrees) {
            (Some(was), Some(false)) => format!("  (was {was})"),
            (Some(_) | None, _) => String::new(),
        };
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "{record:>9}  {at}  {verdict:<8}  {state:<11}  {src} -> {dst}  {port}{was}"
        );
        return;
    }
    shown::write_number(*record, out);
    let fields = [
        ("time", at.as_str()),
        ("src", src),
        ("dst", dst),
        ("port", port),
        ("state", state),
    ];
    for (name, value) in fields {
        shown::write_field(name, out);
        shown::write_json(value, out);
    }
    if *older {
        shown::write_field("older", out);
        out.extend_from_slice(b"true");
    }
    let side = |side: &SideAnswer| Some(side.verdict);
    shown::write_words(
        [
            ("verdict", Some(answer.verdict)),
            ("egress", side(answer.egress)),
            ("ingress", side(answer.ingress)),
            ("recorded", recorded),
        ],
        out,
    );
    shown::write_rest(
        agrees,
        incomplete,
        [Some(answer.egress), Some(answer.ingress)],
        out,
    );
}

/// Writes a line: as text, or as JSON.
pub(super) fn line(value: &(impl Serialize + fmt::Display), human: bool, out: &mut Vec<u8>) {
    if human {
        // Writing to memory does not fail.
        let _ = writeln!(out, "{value}");
        return;
    }
    shown::write_json(value, out);
    out.push(b'\n');
}

/// A connection that is shown twice, as it is told.
pub(super) fn translation(cluster: &Cluster, before: &Tuple, after: &Tuple) -> String {
    let end = |address: std::net::IpAddr, port: u16| {
        let text = address.to_canonical().to_string();
        let ends = PeerSpec::parse(&text).and_then(|peer| resolve(cluster, &peer));
        let name = ends.map_or(text.clone(), |ends| told::name(cluster, &ends, &text));
        format!("{name} ({text}) port {port}")
    };
    let whole = |ends: &Tuple| {
        format!(
            "{} -> {}",
            end(ends.src, ends.ports.0),
            end(ends.dst, ends.ports.1)
        )
    };
    format!("{}; then {}", whole(before), whole(after))
}
