//! Connections as lines of values, one for each pair.

use crate::cli::render::clean;
use crate::list::{Listing, Pair, Party, words};
use std::io::{self, Write};

const HEADER: [&str; 12] = [
    "src_kind",
    "src_namespace",
    "src_name",
    "src_addresses",
    "dst_kind",
    "dst_namespace",
    "dst_name",
    "dst_addresses",
    "allow",
    "depends",
    "proxied",
    "authenticated",
];

/// Writes some pairs.
pub(in crate::cli) fn write(
    listing: &Listing<'_>,
    pairs: &[Pair],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines = csv::Writer::from_writer(out);
    lines.write_record(HEADER).map_err(of_stream)?;
    for pair in pairs {
        let answer = listing.answer(pair.answer);
        let ends = [pair.src, pair.dst].map(|end| values(listing, end));
        let ports = [
            &answer.allow,
            &answer.depends,
            &answer.proxied,
            &answer.proving,
        ];
        let ports = ports.map(words::ports);
        let values = ends.iter().flatten().chain(&ports);
        lines
            .write_record(values.map(|value| harmless(value)))
            .map_err(of_stream)?;
    }
    lines.flush()
}

/// The error of the stream itself: a reader that went away is known by its kind.
fn of_stream(error: csv::Error) -> io::Error {
    let words = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() {
        return error;
    }
    io::Error::other(words)
}

/// The kind, namespace, name and addresses of an end.
fn values(listing: &Listing<'_>, end: Party) -> [String; 4] {
    match end {
        Party::Peer(id) => listing.peer(id).map_or_else(Default::default, |peer| {
            let kind = peer.workload.as_deref().unwrap_or("Pod");
            [kind, &peer.namespace, &peer.name, ""].map(str::to_owned)
        }),
        Party::Outside(id) => {
            let runs = listing.addresses(id).iter();
            let runs: Vec<String> = runs.map(|run| words::run_text(*run)).collect();
            [
                "outside".into(),
                String::new(),
                String::new(),
                runs.join(" "),
            ]
        }
    }
}

/// A value that spreadsheets take for text: no name that the API server takes begins like a formula.
fn harmless(value: &str) -> String {
    let value = clean(value);
    if value.starts_with(['=', '+', '-', '@']) {
        format!("'{value}")
    } else {
        value.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_a_formula() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("a=1"), "a=1");
        assert_eq!(harmless("a\u{1b}"), "a\\u{1b}");
    }
}
