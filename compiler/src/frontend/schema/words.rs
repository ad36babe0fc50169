//! What is said of a value that has another shape than its schema: what was expected, as what the value is read,
//! and what to write instead.

use super::{Form, Object, Shapes};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::manifest::{NodeRef, Value};
use crate::frontend::report::Spot;

/// `` `spec.priority` ``, or `the object`.
pub(super) fn subject(spot: &Spot<'_>) -> String {
    if spot.field.is_empty() {
        "the object".to_owned()
    } else {
        format!("`{}`", spot.field)
    }
}

pub(super) fn missing(spot: &Spot<'_>, field: &str) -> Diagnostic {
    let message = format!("{} lacks `{field}`, which is required", subject(spot));
    spot.below(field)
        .at_head(&codes::MISSING_FIELD, message, format!("lacks `{field}`"))
        .help(format!("add `{field}`"))
}

pub(super) fn wrong_type(shapes: &Shapes, spot: &Spot<'_>, form: &Form) -> Diagnostic {
    let expected = description(form);
    let subject = subject(spot);
    let (reading, label) = reading(spot.node);
    let message = format!("{subject} must be {expected}, but {reading}");
    let help = remedy(shapes, spot, form).unwrap_or_else(|| format!("write {expected}"));
    spot.at_value(&codes::WRONG_TYPE, message, label).help(help)
}

fn description(form: &Form) -> &'static str {
    match form {
        Form::Any => "anything",
        Form::Boolean => "`true` or `false`",
        Form::Integer { .. } => "a whole number",
        Form::Number => "a number",
        Form::Text(_) => "a string",
        Form::IntOrString(_) => "a whole number or a string",
        Form::Quantity => "a quantity such as `500m`",
        Form::Time => "a time such as `2026-01-31T12:00:00Z`",
        Form::List { .. } => "a list",
        Form::Map { .. } | Form::Object(_) => "a mapping",
    }
}

/// What the value is taken for, as half a sentence and as a label.
fn reading(node: NodeRef<'_>) -> (String, String) {
    let raw = node.raw();
    let (what, plain) = match node.value() {
        Value::Null => return ("is null".to_owned(), "null".to_owned()),
        Value::Bool(value) => (format!("the boolean `{value}`"), value.to_string()),
        Value::Int(value) => (format!("the number `{value}`"), value.to_string()),
        Value::Uint(value) => (format!("the number `{value}`"), value.to_string()),
        Value::Float(value) => (format!("the number `{value}`"), value.to_string()),
        Value::String(_) => ("a string".to_owned(), raw.to_owned()),
        Value::Sequence(_) => return ("is a list".to_owned(), "a list".to_owned()),
        Value::Mapping(_) => return ("is a mapping".to_owned(), "a mapping".to_owned()),
    };
    if raw.is_empty() || raw.contains('\n') {
        (format!("is {what}"), what)
    } else if raw == plain {
        (format!("`{raw}` is {}", without_quote(&what)), what)
    } else {
        (
            format!("kubectl reads `{raw}` as {what}"),
            format!("read as {what}"),
        )
    }
}

/// ``the boolean `true` `` -> `a boolean`: the value stands before it already.
fn without_quote(what: &str) -> String {
    match what.split_once(" `") {
        Some((kind, _)) => kind.replacen("the", "a", 1),
        None => what.to_owned(),
    }
}

fn remedy(shapes: &Shapes, spot: &Spot<'_>, form: &Form) -> Option<String> {
    let raw = spot.node.raw();
    match (form, spot.node.value()) {
        (
            Form::Text(_) | Form::Time,
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_),
        ) => Some(format!("write `\"{raw}\"`")),
        (Form::Integer { .. } | Form::Number | Form::IntOrString(_), Value::String(text)) => text
            .parse::<i64>()
            .is_ok()
            .then(|| format!("write `{text}` without quotes")),
        (Form::Boolean, Value::String(text)) => unquoted_boolean(text),
        (_, Value::Null) => Some(remedy_of_null(spot, form)),
        (Form::List { .. }, Value::Mapping(_)) => Some("start each item with `- `".to_owned()),
        (Form::List { items, .. }, _) => match &shapes.get(*items).form {
            Form::Object(object) => as_field(object, spot.node)
                .map(|field| format!("write `[{{{field}}}]`"))
                .or_else(|| example(object, "a list of mappings")),
            Form::Any
            | Form::Boolean
            | Form::Integer { .. }
            | Form::Number
            | Form::Text(_)
            | Form::IntOrString(_)
            | Form::Quantity
            | Form::Time
            | Form::List { .. }
            | Form::Map { .. } => (!raw.contains('\n')).then(|| format!("write `[{raw}]`")),
        },
        (Form::Map { .. } | Form::Object(_), Value::Sequence(_)) => {
            Some("remove the `- ` in front of its fields".to_owned())
        }
        (Form::Object(object), _) => as_field(object, spot.node)
            .map(|field| format!("write `{field}`"))
            .or_else(|| example(object, "a mapping")),
        (
            Form::Any
            | Form::Boolean
            | Form::Integer { .. }
            | Form::Number
            | Form::Text(_)
            | Form::IntOrString(_)
            | Form::Quantity
            | Form::Time
            | Form::Map { .. },
            _,
        ) => None,
    }
}

fn unquoted_boolean(text: &str) -> Option<String> {
    let value = match &*text.to_lowercase() {
        "true" | "yes" | "on" => true,
        "false" | "no" | "off" => false,
        _ => return None,
    };
    Some(format!("write `{value}` without quotes"))
}

fn remedy_of_null(spot: &Spot<'_>, form: &Form) -> String {
    match form {
        Form::Object(object)
            if object.required.is_empty()
                && object.limits.least == 0
                && !spot.field.ends_with(']') =>
        {
            let key = spot.field.rsplit('.').next().unwrap_or("");
            format!("write `{key}: {{}}` for everything, or remove the field")
        }
        Form::Any
        | Form::Boolean
        | Form::Integer { .. }
        | Form::Number
        | Form::Text(_)
        | Form::IntOrString(_)
        | Form::Quantity
        | Form::Time
        | Form::List { .. }
        | Form::Map { .. }
        | Form::Object(_) => "give it a value, or remove it".to_owned(),
    }
}

/// A bare port where a mapping that names it belongs.
fn as_field(object: &Object, node: NodeRef<'_>) -> Option<String> {
    let is_port = matches!(node.value(), Value::Int(_)) && object.fields.contains_key("port");
    is_port.then(|| format!("port: {}", node.raw()))
}

fn example(object: &Object, what: &str) -> Option<String> {
    let mut names: Vec<&str> = object.fields.keys().map(|name| &**name).collect();
    names.sort_unstable();
    (names.len() <= 5).then(|| format!("write {what} with {}", quoted(&names, "or")))
}

/// `` `a`, `b` or `c` ``.
pub(super) fn quoted(names: &[&str], last: &str) -> String {
    let mut out = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push_str(if index + 1 == names.len() { " " } else { ", " });
            if index + 1 == names.len() {
                out.push_str(last);
                out.push(' ');
            }
        }
        out.push('`');
        out.push_str(name);
        out.push('`');
    }
    out
}
