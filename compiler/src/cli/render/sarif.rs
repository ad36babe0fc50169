//! Diagnostics as SARIF 2.1.0, as far as code scanning services read it.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use super::{Place, Report, json};
use crate::diagnostic::{Code, Diagnostic, Label, Severity};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What a fingerprint is made by; another number where that changes.
const FINGERPRINT: &str = "verdict/v1";

#[derive(Serialize)]
struct Log<'a> {
    version: &'static str,
    #[serde(rename = "$schema")]
    schema: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    information_uri: &'static str,
    rules: Vec<RuleOf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleOf {
    id: &'static str,
    short_description: Message<'static>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Message<'a>,
    locations: Vec<At<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<At<'a>>,
    partial_fingerprints: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Message<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct At<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<Logical>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
}

/// Writes one log with one run.
pub(in crate::cli) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut codes: Vec<&'static Code> = report.diagnostics.iter().map(|one| one.code).collect();
    codes.sort_by_key(|code| code.id);
    codes.dedup_by_key(|code| code.id);
    let results = report.diagnostics.iter();
    let log = Log {
        version: "2.1.0",
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        runs: [Run {
            results: results.map(|one| outcome(report, &codes, one)).collect(),
            tool: Tool {
                driver: driver(&codes),
            },
            column_kind: "unicodeCodePoints",
        }],
    };
    json::line(&log, out)
}

fn driver(codes: &[&'static Code]) -> Driver {
    Driver {
        name: "verdict",
        semantic_version: env!("CARGO_PKG_VERSION"),
        information_uri: env!("CARGO_PKG_REPOSITORY"),
        rules: codes.iter().map(|code| rule(code)).collect(),
    }
}

fn rule(code: &'static Code) -> RuleOf {
    RuleOf {
        id: code.id,
        short_description: Message {
            text: code.title.into(),
        },
        default_configuration: Configuration {
            level: level(code.severity),
        },
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn outcome<'a>(report: &Report<'a>, codes: &[&'static Code], one: &'a Diagnostic) -> Outcome<'a> {
    let text = match &one.help {
        Some(help) => format!("{}\nhelp: {help}", one.message).into(),
        None => one.message.as_str().into(),
    };
    let related = one.related.iter().enumerate();
    Outcome {
        rule_id: one.code.id,
        rule_index: codes
            .binary_search_by_key(&one.code.id, |code| code.id)
            .unwrap_or(0),
        level: level(one.severity),
        message: Message { text },
        locations: location(report, one).into_iter().collect(),
        related_locations: related
            .filter_map(|(index, label)| related_location(report, index, label))
            .collect(),
        partial_fingerprints: BTreeMap::from([(FINGERPRINT, fingerprint(one))]),
    }
}

fn location<'a>(report: &Report<'a>, one: &Diagnostic) -> Option<At<'a>> {
    let logical = one.object.as_ref().map(|object| Logical {
        fully_qualified_name: object.to_string(),
    });
    let physical_location = match report.place_of(one.label.as_ref()) {
        Some(place) => physical(place),
        None => Physical {
            artifact_location: Artifact {
                uri: uri(one.file.as_ref()?),
            },
            region: None,
        },
    };
    Some(At {
        id: None,
        physical_location,
        logical_locations: logical.into_iter().collect(),
        message: None,
    })
}

fn related_location<'a>(report: &Report<'a>, index: usize, label: &'a Label) -> Option<At<'a>> {
    Some(At {
        id: Some(index),
        physical_location: physical(report.place(label.span)?),
        logical_locations: Vec::new(),
        message: Some(Message {
            text: label.text.as_str().into(),
        }),
    })
}

fn physical(place: Place<'_>) -> Physical {
    Physical {
        artifact_location: Artifact {
            uri: uri(place.file),
        },
        region: Some(Region {
            start_line: place.start.line,
            start_column: place.start.column,
            end_line: place.end.line,
            end_column: place.end.column,
        }),
    }
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let escaped = path.bytes().map(|byte| {
        if plain(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    escaped.collect()
}

/// What stays the same while lines move: code, object, field and words. FNV-1a, 64 bits.
fn fingerprint(one: &Diagnostic) -> String {
    let object = one.object.as_ref().map(ToString::to_string);
    let parts = [
        one.code.id,
        object.as_deref().unwrap_or_default(),
        one.field.as_deref().unwrap_or_default(),
        &one.message,
    ];
    let hash = parts
        .join("\0")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri_reference() {
        assert_eq!(uri("a b/ü.yaml"), "a%20b/%C3%BC.yaml");
    }
}
