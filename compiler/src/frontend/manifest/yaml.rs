//! YAML as go-yaml v2 reads it.
//!
//! Input: a part of a text that holds one document, as [`super::split`] cuts it. Output: the document,
//! unless it is empty, and diagnostics. Guarantee: the value that kubectl's reader gives the text. Refused:
//! what libyaml's scanner and parser refuse, unknown anchors, keys that are lists or mappings, tags that the
//! value does not fit; an error carries go-yaml's words and line beside ours. [`read`] is the entry.

mod dialect;

use super::build::{Builder, Refused, too_long};
use super::disguise::{BYTE_ORDER_MARK, Fed};
use super::libyaml::{Events, Failure, Problem, ScalarEvent, What};
use super::problem::explain;
use super::scalar::{self, Scalar, Tag};
use super::{Document, Kind, block, expand};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::template;
use crate::source::FileId;
use std::collections::BTreeMap;
use std::ops::Range;

/// Reads the document in `range` of `text`.
pub(super) fn read(
    file: FileId,
    text: &str,
    range: Range<usize>,
) -> (Option<Document<'_>>, Vec<Diagnostic>) {
    let chunk = text.get(range.clone()).unwrap_or("");
    // libyaml skips the mark without counting it.
    let body = chunk.strip_prefix(BYTE_ORDER_MARK).unwrap_or(chunk);
    let base = range.start + (chunk.len() - body.len());
    let by_lines = block::read(file, text, base, body);
    let (builder, outcome) = by_lines.unwrap_or_else(|| read_events(file, text, base, body));
    let mut diagnostics = builder.diagnostics;
    let document = match outcome {
        Ok(true) => expand::finish(builder.raw, &mut diagnostics).map(Some),
        Ok(false) => Ok(None),
        Err(refused) => Err(refused),
    };
    match document {
        Ok(document) => (
            document.filter(|found| !found.root().is_null()),
            diagnostics,
        ),
        Err(refused) => {
            diagnostics.push(*refused);
            (None, diagnostics)
        }
    }
}

/// Reads any YAML: the builder with what was read, and whether that is a document.
fn read_events<'s>(
    file: FileId,
    text: &'s str,
    base: usize,
    body: &'s str,
) -> (Builder<'s>, Result<bool, Refused>) {
    let mut fed = Fed::new(body);
    loop {
        let mut reader = Reader {
            text,
            fed: &fed,
            base,
            builder: Builder::new(file, text, body.len()),
            anchors: BTreeMap::new(),
            last_end: base,
            flow_depth: 0,
        };
        let outcome = reader.document();
        let Reader { builder, .. } = reader;
        match outcome {
            Ok(found) => return (builder, Ok(found)),
            Err(Stop::Refused(refused)) => return (builder, Err(refused)),
            Err(Stop::Differs(at, refused)) => {
                if !fed.disguise(at) {
                    return (builder, Err(refused));
                }
            }
        }
    }
}

/// What an anchor names.
enum Anchor {
    /// A scalar: its value and its text, since a key is made of both.
    Scalar { value: Scalar, text: Kind },
    /// The list or mapping at this index.
    Collection(u32),
}

/// Why reading stops.
enum Stop {
    Refused(Refused),
    /// libyaml takes the sign at this offset of the body for an indicator, go-yaml for text; and the error
    /// if it cannot be helped.
    Differs(usize, Refused),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

struct Reader<'s, 'f> {
    /// The whole file.
    text: &'s str,
    /// The part to read, which starts at `base`.
    fed: &'f Fed<'s>,
    base: usize,
    builder: Builder<'s>,
    anchors: BTreeMap<Box<str>, Anchor>,
    /// The end of the scalar, alias or bracket that was read last.
    last_end: usize,
    /// How many brackets and braces are open.
    flow_depth: usize,
}

impl Reader<'_, '_> {
    /// Reads the first document; false where there is none. go-yaml does not look behind its end.
    fn document(&mut self) -> Result<bool, Stop> {
        let mut events = Events::new(&self.fed.text);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Failure::Refused(problem)) => return Err(self.refuse(&problem)),
                Err(Failure::TooLong) => {
                    let at = self.builder.span(self.last_end, self.last_end);
                    return Err(Stop::Refused(too_long(at)));
                }
            };
            let start = self.base + event.range.start;
            let end = self.base + event.range.end;
            match event.what {
                What::StreamStart => {}
                What::DocumentStart { version } => self.check_version(version, start, end)?,
                What::DocumentEnd => {
                    self.report_ignored(end);
                    return Ok(self.builder.is_complete());
                }
                What::End => return Ok(false),
                What::Alias(name) => self.alias(name, start, end)?,
                What::Scalar(event) => self.scalar(&event, start, end)?,
                What::SequenceStart { anchor, block } => {
                    self.name_collection(anchor, start, end)?;
                    self.builder.open_sequence(start)?;
                    self.last_end = if block { start } else { end };
                    self.flow_depth += usize::from(!block);
                }
                What::MappingStart { anchor, block } => {
                    self.name_collection(anchor, start, end)?;
                    self.builder.open_mapping(start)?;
                    self.last_end = if block { start } else { end };
                    self.flow_depth += usize::from(!block);
                }
                What::SequenceEnd | What::MappingEnd => {
                    // The end of a block is seen at what follows it, behind blank lines and comments.
                    let bracket = matches!(self.text.as_bytes().get(start), Some(b']' | b'}'));
                    if bracket && end > start {
                        self.last_end = end;
                    }
                    self.builder.close(self.last_end);
                    self.flow_depth = self.flow_depth.saturating_sub(1);
                }
            }
        }
    }

    fn check_version(
        &self,
        version: Option<(i32, i32)>,
        start: usize,
        end: usize,
    ) -> Result<(), Refused> {
        match version {
            None | Some((1, 1)) => Ok(()),
            Some((major, minor)) => Err(self.error(
                start..end,
                format!("kubectl does not read YAML {major}.{minor}"),
                "found incompatible YAML document",
                "remove the `%YAML` line",
            )),
        }
    }

    fn name_collection(
        &mut self,
        anchor: Option<&str>,
        start: usize,
        end: usize,
    ) -> Result<(), Refused> {
        if self.builder.at_key() {
            return Err(self.collection_as_key(start, end));
        }
        if let Some(name) = anchor {
            let index = self.builder.next_index();
            self.anchors.insert(name.into(), Anchor::Collection(index));
        }
        Ok(())
    }

    fn collection_as_key(&self, start: usize, end: usize) -> Refused {
        let mut refused = self.error(
            start..end,
            "a list or mapping cannot be a key".to_owned(),
            "invalid map key",
            "quote the key if it is meant as text",
        );
        if self
            .text
            .get(start..)
            .is_some_and(|rest| rest.starts_with('{'))
            && self.is_template()
        {
            refused.message = "a template is no manifest".to_owned();
        }
        refused
    }

    fn alias(&mut self, name: &str, start: usize, end: usize) -> Result<(), Refused> {
        let is_key = self.builder.at_key();
        let index = self.builder.next_index();
        self.last_end = end;
        match self.anchors.get(name) {
            None => Err(self.error(
                start..end,
                format!("nothing is named `&{name}` before this"),
                &format!("unknown anchor '{name}' referenced"),
                "name the value with `&` in the same document, or quote the text if `*` belongs to it",
            )),
            Some(Anchor::Collection(_)) if is_key => Err(self.collection_as_key(start, end)),
            Some(Anchor::Collection(target)) => {
                let target = *target;
                self.builder.raw.aliases = true;
                self.builder.leaf(start, end, Kind::Alias(target))
            }
            Some(Anchor::Scalar { value, text }) => {
                let (value, text) = (*value, *text);
                self.builder.raw.scalar_aliases.push(index);
                let written = self.builder.raw.document.string(text).unwrap_or("").to_owned();
                let kind = if is_key {
                    self.builder.key_kind(value, &written, text)
                } else {
                    self.builder.value_kind(value, &written, text)
                };
                self.builder.leaf(start, end, kind)
            }
        }
    }

    fn scalar(&mut self, event: &ScalarEvent<'_>, start: usize, end: usize) -> Result<(), Stop> {
        let is_key = self.builder.at_key();
        let written = self.fed.restore(event.value);
        let slice = self.slice(event, end);
        self.check_dialect(event, slice.as_ref(), start, end)?;
        let span = match &slice {
            Some(slice) if event.plain => slice.clone(),
            Some(slice) => slice.start - 1..end,
            None => start..start + self.text.get(start..end).unwrap_or("").trim_end().len(),
        };
        self.last_end = span.end;

        let merge = event.tag == Some("tag:yaml.org,2002:merge");
        if is_key && event.value == b"<<" && (event.implicit || merge) {
            let index = self.builder.next_index();
            self.builder.raw.merges.push(index);
        }
        let tag = if self.has_bare_tag(event, start, end) {
            Tag::Other
        } else {
            Tag::new(event.tag, event.implicit)
        };
        let Ok(value) = scalar::resolve(tag, &written) else {
            return Err(Stop::Refused(self.error(
                span,
                format!("`{}` is no {}", excerpt(&written), tag.name()),
                "cannot decode the value as its tag says",
                "remove the tag, or write a value of that type",
            )));
        };

        let in_text = slice.map(|slice| Kind::Slice {
            start: crate::source::to_u32(slice.start),
            end: crate::source::to_u32(slice.end),
        });
        let needs_text = matches!(value, Scalar::Text) || event.anchor.is_some();
        let text = match in_text {
            Some(kind) => kind,
            None if needs_text => self.builder.keep(written.as_ref()),
            None => Kind::Null,
        };
        if let Some(name) = event.anchor {
            self.anchors
                .insert(name.into(), Anchor::Scalar { value, text });
        }
        let kind = if is_key {
            self.builder.key_kind(value, &written, text)
        } else {
            self.builder.value_kind(value, &written, text)
        };
        let is_guess = tag == Tag::Implicit && event.plain && !matches!(value, Scalar::Text);
        match (is_guess, is_key) {
            (false, _) => {}
            (true, true) => self.builder.report_key(value, &written, span.clone()),
            (true, false) => self.builder.report_value(value, &written, span.clone()),
        }
        Ok(self.builder.leaf(span.start, span.end, kind)?)
    }

    /// Where the value of a scalar stands in the text as it is, without quotes.
    fn slice(&self, event: &ScalarEvent<'_>, end: usize) -> Option<Range<usize>> {
        let end = if event.plain {
            end
        } else {
            end.checked_sub(1)?
        };
        let start = end.checked_sub(event.value.len())?;
        // A quote of its own kind is escaped in a quoted value, however much its end looks like the value.
        let quote = event.plain
            || match self.text.as_bytes().get(start.checked_sub(1)?) {
                Some(quote @ (b'"' | b'\'')) => !event.value.contains(quote),
                _ => false,
            };
        let body = start.checked_sub(self.base)?..end.checked_sub(self.base)?;
        let same = self.fed.text.as_bytes().get(body) == Some(event.value);
        (same && quote).then_some(start..end)
    }

    /// Text behind the end of the document: go-yaml reads one document, and kubectl asks for one.
    fn report_ignored(&mut self, end: usize) {
        let chunk_end = self.base + self.fed.text.len();
        let rest = self.text.get(end..chunk_end).unwrap_or("");
        let mut at = end;
        for line in rest.split_inclusive(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            let blank = |c: char| c.is_whitespace() || c == BYTE_ORDER_MARK;
            let content = line.trim_matches(blank);
            if !content.is_empty() && !content.starts_with('#') && content != "..." {
                let start = at + (line.len() - line.trim_start_matches(blank).len());
                let span = self.builder.span(start, start + content.len());
                self.builder.warn(|| {
                    Diagnostic::new(
                        &codes::IGNORED_TEXT,
                        "kubectl does not read what stands behind the end of a document",
                    )
                    .at(span, "dropped from here on")
                    .help("start a new document with a line `---`, or remove the text")
                });
                return;
            }
            at += line.len();
        }
    }

    fn is_template(&self) -> bool {
        template::is_in(&self.fed.text)
    }

    /// An error with our words and with go-yaml's.
    fn error(&self, span: Range<usize>, message: String, theirs: &str, help: &str) -> Refused {
        let help = if self.is_template() {
            template::REMEDY
        } else {
            help
        };
        Box::new(
            Diagnostic::new(&codes::YAML_SYNTAX, message)
                .at(
                    self.builder.span(span.start, span.end),
                    format!("kubectl: {theirs}"),
                )
                .help(help),
        )
    }

    fn refuse(&self, problem: &Problem) -> Stop {
        // What is missing at the end is shown behind the last line, not on the `---` that follows.
        let content = self.fed.text.trim_end().len();
        let at = self.fed.text.floor_char_boundary(problem.at);
        let start = self.base
            + if at == self.fed.text.len() {
                content
            } else {
                at
            };
        let found = self.text.get(start..).and_then(|rest| rest.chars().next());
        let width = found
            .filter(|found| *found != '\n')
            .map_or(0, char::len_utf8);
        let (message, help) = explain(problem.text, problem.context, found);
        let theirs = match problem.line {
            Some(line) => format!("line {line}: {}", problem.text),
            None => problem.text.to_owned(),
        };
        let refused = self.error(start..start + width, message, &theirs, help);
        let in_plain = problem.text == "found unexpected ':'";
        let escape = problem.text == "found unknown escape character"
            && self
                .fed
                .text
                .get(at..)
                .is_some_and(|rest| rest.starts_with("\\'"));
        let in_tag = problem.context.ends_with("a tag") && matches!(found, Some(',' | '[' | ']'));
        if escape {
            Stop::Differs(at + 1, refused)
        } else if in_plain || in_tag {
            Stop::Differs(at, refused)
        } else {
            Stop::Refused(refused)
        }
    }
}

/// The first characters of a value, for a message.
fn excerpt(text: &str) -> String {
    let mut excerpt: String = text.chars().take(40).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::manifest::Node;
    use proptest::prelude::*;

    /// What a reader made of a text: every node with its place, and what was said.
    fn describe(
        (builder, outcome): (Builder<'_>, Result<bool, Refused>),
    ) -> (Vec<String>, Vec<Diagnostic>) {
        let Builder {
            raw,
            mut diagnostics,
            ..
        } = builder;
        let node = |node: &Node| match raw.document.string(node.kind) {
            Some(text) => format!("{}..{} {text:?}", node.start, node.end),
            None => format!("{}..{} {:?}", node.start, node.end, node.kind),
        };
        let nodes = raw.document.nodes.iter().map(node).collect();
        diagnostics.extend(outcome.err().map(|refused| *refused));
        (nodes, diagnostics)
    }

    /// What the reader by lines reads at all, the reader by events reads alike.
    fn check(text: &str) -> bool {
        let Some(by_lines) = block::read(FileId(0), text, 0, text) else {
            return false;
        };
        let by_events = read_events(FileId(0), text, 0, text);
        if matches!(by_lines.1, Ok(false)) {
            // Comments, and perhaps a `---`, behind which libyaml sees null.
            let (nodes, _) = describe(by_events);
            assert!(nodes.iter().all(|node| node.ends_with(" Null")), "{text:?}");
        } else {
            assert_eq!(describe(by_lines), describe(by_events), "{text:?}");
        }
        true
    }

    #[test]
    fn ordinary_manifests_are_read_by_lines() {
        for text in [
            "a: 1\n",
            "- '''s'\n- \"\\\"s\"\n",
            "---\na:\n  b: c\n  d:\n  - e\n  - f: g\n    h:\n  i:\n",
            "# c\n- a\n-\n  b: 1\n- - c\n  - d\n",
            "a: []\nb: {} # c\nc: \"x # y\" # c\nd: 'it''s'\ne: x#y # c\n",
            "a: |\n  x\n\n   y\n   \n\nb: |-\n  z",
            "a: \"\\\"\\n\"\r\nb:\r\n- on\r\n",
            "on: yes\n1.10: 017\nk: null\nk: ~\n",
            "a:\n    - b\n    - c:\n        d: e\nf: \n",
            "---\n",
            "",
            "---\n# c\n  \n",
            "/: é\n\"q\": -x\n",
        ] {
            assert!(check(text), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_left_to_events() {
        for text in [
            "a",
            "a: b\n  c\n",
            "a: b: c\n",
            "a: &x 1\n",
            "a: [1]\n",
            "a: >\n x\n",
            "a:\tb\n",
            "a: \"x\n y\"\n",
            "a: 1\n b: 2\n",
            "a: 1\n- b\n",
            "a: 1\n...\n",
            "? a\n",
            "<<: {}\n",
            "a: |\nb: 1\n",
            "a:\n  b\n",
        ] {
            assert!(!check(text), "{text:?}");
        }
    }

    const PARTS: &[&str] = &[
        "a", "b", "k:", "k: ", "on: ", "- ", "-", ": ", ":", " ", "  ", "\n", "\n", "\n  ",
        "\n    ", "\n- ", "\n  - ", "\"q\"", "'s'", "''", "\\n", "#", " # c", "|\n", "|-\n", "|",
        "[]", "{}", "[", "yes", "017", "~", "1.5", "x y", "\r\n", "é", "...", "---", "/", "=",
        "<<", "\u{85}", "\t", "\"k\": ", "&", "*", "!", "%", "?",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn both_readers_agree(parts in proptest::collection::vec(proptest::sample::select(PARTS), 1..16)) {
            check(&parts.concat());
        }

        #[test]
        fn both_readers_agree_on_lines(
            lines in proptest::collection::vec(
                (0_usize..4, "(- ){0,2}", "[ab]: ?|on: |", "|x|1_0|\"q\"|'s'|\\[\\]|\\|-?|# c|x # c|x: y|- z| +"),
                1..8,
            )
        ) {
            let mut text = String::new();
            for (indent, dashes, key, value) in lines {
                text.push_str(&" ".repeat(indent));
                text.push_str(&dashes);
                text.push_str(&key);
                text.push_str(&value);
                text.push('\n');
            }
            check(&text);
        }
    }
}
