//! Rules on our own document DnsSnapshot.
//!
//! Guarantee: each name is a domain name without wildcards, each answer an address.

use super::text;
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::report::{Place, Report};
use std::net::IpAddr;

/// Checks the document at `root`. It needs no metadata: it is no object of a cluster.
pub(super) fn check(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(names) = root.get("names") else {
        return;
    };
    for (name, answers) in names.entries() {
        let bare = name.strip_suffix('.').unwrap_or(name);
        if text::dns_subdomain(&bare.to_lowercase().replace('_', "a")).is_err() {
            let spot = answers.spot();
            report.add(
                Diagnostic::new(
                    &codes::INVALID_VALUE,
                    format!("`{name}` is not a domain name"),
                )
                .at(spot.head, "not a domain name")
                .field(names.spot().field)
                .help("write the name that was asked for, such as `api.example.com`"),
            );
        }
        for answer in answers.items() {
            check_answer(&answer, report);
        }
    }
}

fn check_answer(answer: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(text) = answer.node.as_str()
        && text.parse::<IpAddr>().is_err()
    {
        report.add(
            answer
                .spot()
                .at_value(
                    &codes::INVALID_ADDRESS,
                    format!("`{text}` is not an address"),
                    "not an address",
                )
                .help("write an address such as `192.0.2.7` or `2001:db8::7`"),
        );
    }
}
