//! What is wrong with a line of a trace that is no record.
//!
//! Input: a line that [`Record`](super::Record) refuses. Output: the first thing that is wrong with it, in words about
//! records, with the remedy and the byte at which it stands. The entry is [`of`].

use crate::cluster::peer::nearest;
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::manifest::{self, NodeRef, Value};
use crate::source::{FileId, SourceFile, Span};
use serde::de::IgnoredAny;

/// What the value of a field may be.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    NumberOrText,
    NumberTo(u64),
    OneOf(&'static [&'static str]),
}

const SIDES: &[&str] = &["egress", "ingress"];
const WORDS: &[&str] = &["allow", "deny", "redirect", "depends"];

/// The fields of a record, what they take, and an example where they are required.
const FIELDS: [(&str, Takes, Option<&str>); 11] = [
    ("src", Takes::Text, Some("\"src\":\"shop/web\"")),
    ("dst", Takes::Text, Some("\"dst\":\"10.0.0.7\"")),
    (
        "protocol",
        Takes::NumberOrText,
        Some("\"protocol\":\"TCP\""),
    ),
    ("dport", Takes::NumberOrText, None),
    ("sport", Takes::NumberTo(u16::MAX as u64), None),
    ("type", Takes::NumberTo(u8::MAX as u64), None),
    ("code", Takes::NumberTo(u8::MAX as u64), None),
    ("direction", Takes::OneOf(SIDES), None),
    ("time", Takes::Text, None),
    ("expect", Takes::OneOf(WORDS), None),
    ("recorded", Takes::OneOf(WORDS), None),
];

/// What is wrong with a line, and at which byte, counted from zero.
pub(super) fn of(text: &[u8]) -> (Diagnostic, usize) {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(text) {
        return no_json(text, &error);
    }
    let start = text.len() - text.trim_ascii_start().len();
    if text.get(start) != Some(&b'{') {
        return no_object(start);
    }
    let Ok(source) = SourceFile::new("", text.to_vec()) else {
        return unclear();
    };
    // The reader of manifests knows where each key and value stands.
    let document = manifest::split(FileId(0), &source)
        .first()
        .and_then(|chunk| manifest::parse(&source, chunk).0);
    match &document {
        Some(document) => in_record(document.root(), start).unwrap_or_else(unclear),
        None => unclear(),
    }
}

fn fault(message: String, help: impl Into<String>, span: Span) -> (Diagnostic, usize) {
    let diagnostic = Diagnostic::new(&codes::RECORD_FIELD, message).help(help);
    (diagnostic, span.range().start)
}

fn no_json(text: &[u8], error: &serde_json::Error) -> (Diagnostic, usize) {
    let at = error.column().saturating_sub(1).min(text.len());
    let rest = text.get(at..).unwrap_or_default();
    let found = String::from_utf8_lossy(rest).chars().next();
    let (message, help) = match found {
        _ if error.is_eof() => (
            "the line ends before its JSON does".to_owned(),
            "write one JSON object a line, and each on one line",
        ),
        Some(found) => (
            format!(
                "this is not JSON: `{}` cannot stand here",
                found.escape_debug()
            ),
            "write one JSON object a line",
        ),
        None => (
            "this is not JSON".to_owned(),
            "write one JSON object a line",
        ),
    };
    let at = if error.is_eof() {
        text.trim_ascii_end().len()
    } else {
        at
    };
    (
        Diagnostic::new(&codes::RECORD_SYNTAX, message).help(help),
        at,
    )
}

fn no_object(at: usize) -> (Diagnostic, usize) {
    let diagnostic = Diagnostic::new(&codes::RECORD_FIELD, "this is not a JSON object")
        .help("write one JSON object a line");
    (diagnostic, at)
}

fn unclear() -> (Diagnostic, usize) {
    let diagnostic = Diagnostic::new(&codes::RECORD_FIELD, "this is no record")
        .help(format!("the fields of a record are {}", field_list()));
    (diagnostic, 0)
}

fn field_list() -> String {
    quoted(FIELDS.map(|(name, ..)| name).as_slice(), ", ")
}

fn quoted(names: &[&str], between: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(between)
}

/// The first thing that is wrong with an object.
fn in_record(root: NodeRef<'_>, start: usize) -> Option<(Diagnostic, usize)> {
    if let Some(key) = root.own_repeated_keys().first() {
        let diagnostic = key.warning();
        let span = diagnostic.label?.span;
        let help = "remove one of the two";
        return Some(fault(
            format!("{} in a record", diagnostic.message),
            help,
            span,
        ));
    }
    for entry in root.entries() {
        let Some((name, takes, example)) = FIELDS.iter().find(|(name, ..)| *name == entry.key)
        else {
            return Some(unknown(entry.key, entry.key_node.span()));
        };
        let is_left_out = example.is_none() && entry.value.is_null();
        if !is_left_out && !takes.takes(entry.value) {
            return Some(wrong_value(name, *takes, entry.value));
        }
    }
    let (name, example) = FIELDS
        .iter()
        .filter_map(|(name, _, example)| Some((name, (*example)?)))
        .find(|(name, _)| root.get(name).is_none())?;
    let diagnostic = Diagnostic::new(&codes::RECORD_FIELD, format!("the record lacks `{name}`"))
        .help(format!("add it, for example `{example}`"));
    Some((diagnostic, start))
}

fn unknown(key: &str, span: Span) -> (Diagnostic, usize) {
    let near = nearest(key, FIELDS.map(|(name, ..)| name));
    let help = match near.first() {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the fields of a record are {}", field_list()),
    };
    fault(format!("a record has no field `{key}`"), help, span)
}

fn wrong_value(name: &str, takes: Takes, value: NodeRef<'_>) -> (Diagnostic, usize) {
    let found = match value.value() {
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "an object".to_owned(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::String(_) => format!("`{}`", value.raw()),
    };
    let (expected, help) = match takes {
        Takes::Text => ("text".to_owned(), "put it in double quotes".to_owned()),
        Takes::NumberOrText => (
            "text or a whole number that is not negative".to_owned(),
            "write a number, or a name in double quotes".to_owned(),
        ),
        Takes::NumberTo(most) => (
            format!("a whole number from 0 to {most}"),
            "write the number, without quotes".to_owned(),
        ),
        Takes::OneOf(words) => {
            let near = nearest(value.as_str().unwrap_or_default(), words.iter().copied());
            let help = match near.first() {
                Some(word) => format!("did you mean `{word}`?"),
                None => "write one of these, in double quotes and small letters".to_owned(),
            };
            (quoted(words, " or "), help)
        }
    };
    fault(
        format!("`{name}` must be {expected}, not {found}"),
        help,
        value.span(),
    )
}

impl Takes {
    fn takes(self, value: NodeRef<'_>) -> bool {
        let number = match value.value() {
            Value::Int(number) => u64::try_from(number).ok(),
            Value::Uint(number) => Some(number),
            Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_) => None,
        };
        match self {
            Self::Text => value.as_str().is_some(),
            Self::NumberOrText => number.is_some() || value.as_str().is_some(),
            Self::NumberTo(most) => number.is_some_and(|number| number <= most),
            Self::OneOf(words) => value.as_str().is_some_and(|text| words.contains(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;

    #[test]
    fn the_fields_are_those_of_a_record() {
        let schema = serde_json::to_value(schemars::schema_for!(Record<'_>)).unwrap();
        let mut fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut known = FIELDS.map(|(name, ..)| name);
        fields.sort();
        known.sort_unstable();
        assert_eq!(fields, known);
    }

    /// A record is either read, or its first fault is known; `rest` stands behind the required fields.
    fn check(rest: &str, expected: &str) {
        let text = format!("{{\"src\":\"a\",\"dst\":\"b\",\"protocol\":6{rest}");
        check_line(&text, expected);
    }

    fn check_line(text: &str, expected: &str) {
        assert!(serde_json::from_str::<Record<'_>>(text).is_err(), "{text}");
        let (diagnostic, at) = of(text.as_bytes());
        let rest: String = text[at..].chars().take(8).collect();
        let found = format!(
            "{} at `{rest}`: {}; {}",
            diagnostic.code.id,
            diagnostic.message,
            diagnostic.help.unwrap()
        );
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn fields() {
        check(
            r#","dprot":1}"#,
            "V0602 at `\"dprot\":`: a record has no field `dprot`; did you mean `dport`?",
        );
        check(
            r#","x-y-z":1}"#,
            "V0602 at `\"x-y-z\":`: a record has no field `x-y-z`; the fields of a record are `src`, `dst`, `protocol`, `dport`, `sport`, `type`, `code`, `direction`, `time`, `expect`, `recorded`",
        );
        check(
            r#","dport":1,"dport":2}"#,
            "V0602 at `\"dport\":`: the key `dport` stands twice in a record; remove one of the two",
        );
        check_line(
            r#" {"src":"a","dst":"b"}"#,
            "V0602 at `{\"src\":\"`: the record lacks `protocol`; add it, for example `\"protocol\":\"TCP\"`",
        );
        check_line(
            r#"{"src":null,"dst":"b","protocol":6}"#,
            "V0602 at `null,\"ds`: `src` must be text, not `null`; put it in double quotes",
        );
    }

    #[test]
    fn values() {
        check(
            r#","sport":70000}"#,
            "V0602 at `70000}`: `sport` must be a whole number from 0 to 65535, not `70000`; write the number, without quotes",
        );
        check(
            r#","type":"8"}"#,
            "V0602 at `\"8\"}`: `type` must be a whole number from 0 to 255, not `\"8\"`; write the number, without quotes",
        );
        check(
            r#","dport":-1}"#,
            "V0602 at `-1}`: `dport` must be text or a whole number that is not negative, not `-1`; write a number, or a name in double quotes",
        );
        check(
            r#","dport":[1]}"#,
            "V0602 at `[1]}`: `dport` must be text or a whole number that is not negative, not a list; write a number, or a name in double quotes",
        );
        check(
            r#","direction":"Egress"}"#,
            "V0602 at `\"Egress\"`: `direction` must be `egress` or `ingress`, not `\"Egress\"`; did you mean `egress`?",
        );
        check(
            r#","expect":true}"#,
            "V0602 at `true}`: `expect` must be `allow` or `deny` or `redirect` or `depends`, not `true`; write one of these, in double quotes and small letters",
        );
        check(
            r#","time":0}"#,
            "V0602 at `0}`: `time` must be text, not `0`; put it in double quotes",
        );
    }

    #[test]
    fn text_that_is_no_record_at_all() {
        check(
            "",
            "V0601 at ``: the line ends before its JSON does; write one JSON object a line, and each on one line",
        );
        check(
            r#",}"#,
            "V0601 at `}`: this is not JSON: `}` cannot stand here; write one JSON object a line",
        );
        check(
            "} // x",
            "V0601 at `// x`: this is not JSON: `/` cannot stand here; write one JSON object a line",
        );
        check(
            r#","dprot":1,x"#,
            "V0601 at `x`: this is not JSON: `x` cannot stand here; write one JSON object a line",
        );
        check_line(
            " [1]",
            "V0602 at `[1]`: this is not a JSON object; write one JSON object a line",
        );
    }
}
