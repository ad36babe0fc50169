//! Holds an object against its schema.
//!
//! Input: an object and the [`Schema`] of its kind. Output: every place where the object has another shape,
//! into the [`Report`]. Guarantee: each node is visited once, on a stack of our own; what lies below a value of
//! the wrong type or an unknown field is not looked at. Numbers and nulls count as Go's decoder counts them.

use super::patterns::Pattern;
use super::words::{missing, quoted, subject, wrong_type};
use super::{Form, Limits, Object, Schema, Shape, ShapeId, Shapes, TextRule};
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::frontend::manifest::{Entries, Items, NodeRef, Value};
use crate::frontend::report::{Report, Spot, item_head, push_index, push_key};
use crate::frontend::validate::text;
use crate::source::Span;
use std::collections::HashSet;

/// Reports every place where `root` has another shape than `schema` gives it.
pub(in crate::frontend) fn walk(
    schema: &'static Schema,
    root: NodeRef<'_>,
    report: &mut Report<'_, '_>,
) {
    let mut walker = Walker {
        schema,
        shapes: &schema.shapes,
        report,
        stack: Vec::with_capacity(16),
        here: Step::Root,
    };
    walker.visit(root, schema.root);
    while let Some((step, node, shape)) = walker.next() {
        walker.here = step;
        match shape {
            Some(shape) => walker.visit(node, shape),
            None => walker.unknown_field(node),
        }
    }
}

struct Walker<'a, 'r, 'b, 'd> {
    schema: &'static Schema,
    shapes: &'static Shapes,
    report: &'r mut Report<'b, 'd>,
    stack: Vec<Frame<'a>>,
    /// The way from the innermost frame to the node that is visited.
    here: Step<'a>,
}

/// A list or mapping whose children are being visited.
struct Frame<'a> {
    step: Step<'a>,
    children: Children<'a>,
}

enum Children<'a> {
    Fields(Entries<'a>, &'static Object),
    Values(Entries<'a>, ShapeId),
    Items(Items<'a>, ShapeId, usize),
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str, NodeRef<'a>),
    Index(usize),
}

impl<'a> Walker<'a, '_, '_, '_> {
    /// The next child of the innermost frame, with its shape if it has one.
    fn next(&mut self) -> Option<(Step<'a>, NodeRef<'a>, Option<ShapeId>)> {
        while let Some(frame) = self.stack.last_mut() {
            let next = match &mut frame.children {
                Children::Fields(entries, object) => entries.next().map(|entry| {
                    let shape = object.fields.get(entry.key).copied();
                    (Step::Key(entry.key, entry.key_node), entry.value, shape)
                }),
                Children::Values(entries, shape) => entries.next().map(|entry| {
                    let step = Step::Key(entry.key, entry.key_node);
                    (step, entry.value, Some(*shape))
                }),
                Children::Items(items, shape, index) => items.next().map(|node| {
                    let step = Step::Index(*index);
                    *index += 1;
                    (step, node, Some(*shape))
                }),
            };
            if next.is_some() {
                return next;
            }
            self.stack.pop();
        }
        None
    }

    fn visit(&mut self, node: NodeRef<'a>, id: ShapeId) {
        let shape = self.shapes.get(id);
        match (&shape.form, node.value()) {
            (Form::Any, _) => {}
            (_, Value::Null) => self.null(node, shape),
            (Form::Boolean, Value::Bool(_))
            | (Form::Number | Form::Quantity, Value::Int(_) | Value::Uint(_) | Value::Float(_))
            | (Form::IntOrString(None) | Form::Quantity, Value::String(_)) => {}
            (Form::Text(rule), Value::String(text)) => self.text(node, text, rule),
            (Form::IntOrString(Some(pattern)), Value::String(text)) => {
                self.pattern(node, text, pattern);
            }
            (Form::Time, Value::String(text)) => self.time(node, text),
            (Form::IntOrString(_), Value::Int(_) | Value::Uint(_) | Value::Float(_)) => {
                self.integer(node, i64::from(i32::MIN), i64::from(i32::MAX), false);
            }
            (
                Form::Integer {
                    least,
                    most,
                    is_bounded,
                },
                Value::Int(_) | Value::Uint(_) | Value::Float(_),
            ) => self.integer(node, *least, *most, *is_bounded),
            (
                Form::List {
                    items,
                    limits,
                    is_set,
                },
                Value::Sequence(children),
            ) => {
                if limits.least > 0 || limits.most.is_some() {
                    self.limits(node, children.count(), *limits);
                }
                if *is_set {
                    self.no_item_twice(children);
                }
                self.push(Children::Items(children, *items, 0));
            }
            (Form::Map { values }, Value::Mapping(entries)) => {
                self.push(Children::Values(entries, *values));
            }
            (Form::Object(object), Value::Mapping(entries)) => self.object(node, entries, object),
            (
                Form::Boolean
                | Form::Integer { .. }
                | Form::Number
                | Form::Text(_)
                | Form::IntOrString(_)
                | Form::Quantity
                | Form::Time
                | Form::List { .. }
                | Form::Map { .. }
                | Form::Object(_),
                _,
            ) => self.wrong_type(node, &shape.form),
        }
    }

    fn push(&mut self, children: Children<'a>) {
        self.stack.push(Frame {
            step: self.here,
            children,
        });
    }

    fn object(&mut self, node: NodeRef<'a>, entries: Entries<'a>, object: &'static Object) {
        for field in object.required {
            if !entries.clone().any(|entry| entry.key == *field) {
                let spot = self.spot(node);
                self.report.add(missing(&spot, field));
            }
        }
        if object.limits.least > 0 || object.limits.most.is_some() {
            self.union(node, entries, object);
        }
        if !object.one_of.is_empty() {
            self.one_of(node, entries, object.one_of);
        }
        if !object.any_of.is_empty() {
            self.any_of(node, entries, object.any_of);
        }
        self.push(Children::Fields(entries, object));
    }

    /// An object of which only so many fields may be set. Unknown ones are dropped before they are counted.
    fn union(&mut self, node: NodeRef<'a>, entries: Entries<'a>, object: &Object) {
        let set: Vec<&str> = entries
            .map(|entry| entry.key)
            .filter(|key| object.fields.contains_key(*key))
            .collect();
        let Limits { least, most } = object.limits;
        let mut names: Vec<&str> = object.fields.keys().map(|name| &**name).collect();
        names.sort_unstable();
        let choice = quoted(&names, "or");
        if set.len() < least {
            let spot = self.spot(node);
            let message = format!("{} has none of its fields", subject(&spot));
            let help = format!(
                "set {}{choice}",
                if names.len() > 1 { "one of " } else { "" }
            );
            self.report.add(
                spot.at_head(&codes::ONE_FIELD_ONLY, message, "nothing is set here")
                    .help(help),
            );
        } else if most.is_some_and(|most| set.len() > most) {
            let spot = self.spot(node);
            let message = format!("{} sets {} at once", subject(&spot), quoted(&set, "and"));
            self.report.add(
                spot.at_head(&codes::ONE_FIELD_ONLY, message, "only one may be set")
                    .help(format!("set only one of {choice}; make one item for each")),
            );
        }
    }

    /// An object of which exactly one of some fields must be set, whatever else is.
    fn one_of(&mut self, node: NodeRef<'a>, entries: Entries<'a>, names: &[&str]) {
        let keys = entries.map(|entry| entry.key);
        let set: Vec<&str> = keys.filter(|key| names.contains(key)).collect();
        match set.as_slice() {
            [] => self.none_of(node, names),
            [_] => {}
            set => {
                let spot = self.spot(node);
                let message = format!("{} sets {} at once", subject(&spot), quoted(set, "and"));
                let help = format!("set only one of {}", quoted(names, "or"));
                self.report.add(
                    spot.at_head(&codes::ONE_FIELD_ONLY, message, "only one may be set")
                        .help(help),
                );
            }
        }
    }

    /// An object of which at least one of some fields must be set.
    fn any_of(&mut self, node: NodeRef<'a>, mut entries: Entries<'a>, names: &[&str]) {
        if !entries.any(|entry| names.contains(&entry.key)) {
            self.none_of(node, names);
        }
    }

    fn none_of(&mut self, node: NodeRef<'a>, names: &[&str]) {
        let spot = self.spot(node);
        let choice = quoted(names, "or");
        let message = format!(
            "{} lacks {choice}, one of which is required",
            subject(&spot)
        );
        self.report.add(
            spot.at_head(&codes::MISSING_FIELD, message, "has none of them")
                .help(format!("set one of {choice}")),
        );
    }

    fn limits(&mut self, node: NodeRef<'a>, count: usize, limits: Limits) {
        if count < limits.least {
            let spot = self.spot(node);
            let message = format!("{} must not be empty", subject(&spot));
            self.report.add(
                spot.at_value(&codes::TOO_FEW, message, "empty list")
                    .help("list at least one item"),
            );
        }
        if let Some(most) = limits.most.filter(|most| count > *most) {
            let spot = self.spot(node);
            let subject = subject(&spot);
            let message = if most == 0 {
                format!("{subject} has {count} items, and must be empty")
            } else {
                format!("{subject} has {count} items, and at most {most} are allowed")
            };
            self.report
                .add(
                    spot.at_value(&codes::TOO_MANY, message, "too many")
                        .help(if most == 0 {
                            "remove the field"
                        } else {
                            "split them over several rules or policies"
                        }),
                );
        }
    }

    fn no_item_twice(&mut self, items: Items<'a>) {
        let mut seen = HashSet::new();
        for (index, node) in items.enumerate() {
            let text = node.as_str();
            if text.is_some() && !seen.insert(text) {
                let mut spot = self.spot(node);
                push_index(&mut spot.field, index);
                let message = format!("`{}` stands twice in the list", text.unwrap_or(""));
                self.report.add(
                    spot.at_value(&codes::DUPLICATE_ITEM, message, "again")
                        .help("remove one of the two"),
                );
            }
        }
    }

    fn null(&mut self, node: NodeRef<'a>, shape: &Shape) {
        if shape.refuses_null {
            self.wrong_type(node, &shape.form);
        } else if let Step::Index(_) = self.here {
            self.null_item(node);
        }
    }

    /// Go's decoder takes a null item for an empty one: in a list of rules or ports, that allows.
    fn null_item(&mut self, node: NodeRef<'a>) {
        let list = match self.stack.last().map(|frame| frame.step) {
            Some(Step::Key(key, _)) => key,
            Some(Step::Root | Step::Index(_)) | None => "",
        };
        let (reading, remedy) = match list {
            "ingress" | "egress" => (
                "is read as an empty rule, which allows everything",
                "write `- {}` where that is meant, or remove the item",
            ),
            "ports" if self.report.kind.is_policy() => (
                "is read as an empty port, which is every TCP port",
                "write `- protocol: TCP` where that is meant, or remove the item",
            ),
            // Refused by the rules on these fields.
            "from" | "to" | "except" | "policyTypes" | "matchExpressions" => return,
            _ => ("is read as an empty item", "remove the item"),
        };
        let spot = self.spot(node);
        let written = match node.raw() {
            "" | "-" => "a lone `-`".to_owned(),
            raw => format!("`{raw}`"),
        };
        self.report.add(
            spot.at_value(
                &codes::NULL_ITEM,
                format!("{written} in `{list}` {reading}"),
                "empty item",
            )
            .help(remedy),
        );
    }

    fn text(&mut self, node: NodeRef<'a>, text: &str, rule: &TextRule) {
        if !rule.one_of.is_empty() && !rule.one_of.contains(&text) {
            let spot = self.spot(node);
            self.report.add(text::not_one_of(&spot, text, rule.one_of));
        }
        if let Some(most) = rule.most_characters {
            let count = text.chars().count();
            if count > most {
                let spot = self.spot(node);
                let message = format!(
                    "{} has {count} characters, and at most {most} are allowed",
                    subject(&spot)
                );
                self.report.add(
                    spot.at_value(&codes::TOO_MANY, message, "too long")
                        .help("shorten it"),
                );
                return;
            }
        }
        if let Some(pattern) = rule.pattern {
            self.pattern(node, text, pattern);
        }
    }

    fn pattern(&mut self, node: NodeRef<'a>, text: &str, pattern: &Pattern) {
        if !(pattern.holds)(text) {
            let spot = self.spot(node);
            self.report.add(pattern.refusal(&spot, text));
        }
    }

    fn time(&mut self, node: NodeRef<'a>, text: &str) {
        if !text::is_time(text) {
            let spot = self.spot(node);
            let message = format!("`{text}` is not a time");
            self.report.add(
                spot.at_value(&codes::WRONG_TYPE, message, "not RFC 3339")
                    .help("write a time such as `2026-01-31T12:00:00Z`, or leave the field to the server"),
            );
        }
    }

    fn integer(&mut self, node: NodeRef<'a>, least: i64, most: i64, is_bounded: bool) {
        let Some(value) = whole(node.value()) else {
            let spot = self.spot(node);
            let message = format!(
                "{} must be a whole number, not `{}`",
                subject(&spot),
                node.raw()
            );
            self.report.add(
                spot.at_value(&codes::WRONG_TYPE, message, "not a whole number")
                    .help("write a whole number"),
            );
            return;
        };
        if (i128::from(least)..=i128::from(most)).contains(&value) {
            return;
        }
        let spot = self.spot(node);
        let subject = subject(&spot);
        let diagnostic = if is_bounded {
            let message = format!("{subject} must be between {least} and {most}, not {value}");
            spot.at_value(&codes::OUT_OF_RANGE, message, "out of range")
                .help(format!("write a number from {least} to {most}"))
        } else {
            let bits = if most > i64::from(i32::MAX) { 64 } else { 32 };
            let message = format!(
                "{subject} must fit into {bits} bits, and `{}` does not",
                node.raw()
            );
            spot.at_value(&codes::WRONG_TYPE, message, "out of range")
                .help("write a number nearer to zero")
        };
        self.report.add(diagnostic);
    }

    fn wrong_type(&mut self, node: NodeRef<'a>, form: &Form) {
        let spot = self.spot(node);
        let diagnostic = wrong_type(self.shapes, &spot, form);
        // Where the cluster is described, `{}` for a list loses nothing; some tools dump it so.
        let is_harmless = !self.report.kind.is_policy()
            && matches!(form, Form::List { .. })
            && matches!(node.value(), Value::Mapping(entries) if entries.count() == 0);
        self.report.add(if is_harmless {
            diagnostic.severity(Severity::Warning)
        } else {
            diagnostic
        });
    }

    fn unknown_field(&mut self, node: NodeRef<'a>) {
        let Some(Frame {
            children: Children::Fields(_, object),
            ..
        }) = self.stack.last()
        else {
            return;
        };
        let Step::Key(key, key_node) = self.here else {
            return;
        };
        let holder = self.field_of(self.stack.len());
        let help = self.schema.suggest(object, &holder, key, node);
        let spot = self.spot(node);
        let message = if holder.is_empty() {
            format!("{} has no field `{key}`", self.report.kind.name())
        } else {
            format!("`{holder}` has no field `{key}`")
        };
        self.report.add(
            Diagnostic::new(&codes::UNKNOWN_FIELD, message)
                .at(key_node.span(), "unknown field")
                .field(spot.field)
                .help(help),
        );
    }

    fn spot(&self, node: NodeRef<'a>) -> Spot<'a> {
        let mut field = self.field_of(self.stack.len());
        push_step(&mut field, self.here);
        Spot {
            field,
            head: self.head(node),
            node,
        }
    }

    /// Where the node is shown by something that it lacks: at its key, or its first key.
    fn head(&self, node: NodeRef<'a>) -> Span {
        match self.here {
            Step::Key(_, key) => key.span(),
            Step::Root | Step::Index(_) => item_head(node),
        }
    }

    fn field_of(&self, depth: usize) -> String {
        let mut field = String::new();
        for frame in self.stack.iter().take(depth) {
            push_step(&mut field, frame.step);
        }
        field
    }
}

fn push_step(field: &mut String, step: Step<'_>) {
    match step {
        Step::Root => {}
        Step::Key(key, _) => push_key(field, key),
        Step::Index(index) => push_index(field, index),
    }
}

/// The value as a whole number, if it is one: `80.0` is, as JSON does not tell it from `80`.
pub(in crate::frontend) fn whole(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(value)),
        Value::Uint(value) => Some(i128::from(value)),
        Value::Float(value) if value.fract() == 0.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a cast of a larger float saturates, and is out of every range"
            )]
            let whole = value as i128;
            Some(whole)
        }
        Value::Float(_)
        | Value::Null
        | Value::Bool(_)
        | Value::String(_)
        | Value::Sequence(_)
        | Value::Mapping(_) => None,
    }
}
