//! JSON as encoding/json reads it.
//!
//! Input: a part of a text that holds one JSON value. Output: the document, unless it is null, and
//! diagnostics. Guarantee: the value that kubectl's reader gives the text: of a key that stands twice the
//! last, a lone surrogate as U+FFFD, numbers as they are written. Refused: what is not JSON, numbers beyond
//! 64-bit floats. [`read`] is the entry; [`end_of_value`] finds where a value ends and keeps nothing.
//!
//! The tokenizer is our own. serde_json tells no offsets of values; of the readers that do, jiter, hifijson,
//! struson and json-event-parser refuse lone surrogates, which Go takes, and struson and json-event-parser
//! read through a buffer that allows no slices of the text.

use super::build::{Builder, MAX_DEPTH, Refused, too_deep};
use super::{Document, Kind, expand};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{FileId, Span, to_u32};
use std::ops::Range;

/// Reads the value in `range` of `text`.
pub(super) fn read(
    file: FileId,
    text: &str,
    range: Range<usize>,
) -> (Option<Document<'_>>, Vec<Diagnostic>) {
    let end = range.end.min(text.len());
    let mut builder = Builder::new(file, text, end.saturating_sub(range.start));
    builder.raw.document.json = true;
    let mut reader = Reader {
        text,
        at: range.start.min(end),
        end,
        sink: builder,
    };
    let outcome = reader.value().map_err(|stop| match stop {
        Stop::Refused(refused) => refused,
        Stop::Syntax(at, message) => Box::new(syntax_error(file, text, at, message)),
    });
    let Builder {
        raw,
        mut diagnostics,
        ..
    } = reader.sink;
    match outcome.and_then(|()| expand::finish(raw, &mut diagnostics)) {
        Ok(document) if document.root().is_null() => (None, diagnostics),
        Ok(document) => (Some(document), diagnostics),
        Err(refused) => {
            diagnostics.push(*refused);
            (None, diagnostics)
        }
    }
}

/// The offset behind the value that starts at `from`, or none where only white space is left.
///
/// # Errors
/// The offset and the description of what is not JSON.
pub(super) fn end_of_value(
    text: &str,
    from: usize,
) -> Result<Option<Range<usize>>, (usize, &'static str)> {
    let mut reader = Reader {
        text,
        at: from,
        end: text.len(),
        sink: Skip { depth: 0 },
    };
    let start = reader.skip_space();
    if start == text.len() {
        return Ok(None);
    }
    match reader.value() {
        Ok(()) => Ok(Some(start..reader.at)),
        Err(Stop::Syntax(at, message)) => Err((at, message)),
        Err(Stop::Refused(_)) => Err((reader.at, "lists and objects are nested too deeply")),
    }
}

/// What is not JSON, as a diagnostic.
pub(super) fn syntax_error(file: FileId, text: &str, at: usize, message: &str) -> Diagnostic {
    let at = text.floor_char_boundary(at);
    let found = text.get(at..).and_then(|rest| rest.chars().next());
    let end = at
        + found
            .filter(|found| *found != '\n')
            .map_or(0, char::len_utf8);
    Diagnostic::new(&codes::JSON_SYNTAX, message)
        .at(Span::new(file, to_u32(at)..to_u32(end)), "not JSON here")
        .help("correct the JSON; text that starts with `{` is read as JSON first")
}

/// Why reading stops.
enum Stop {
    /// Not JSON: where, and what is wrong.
    Syntax(usize, &'static str),
    /// Beyond a limit.
    Refused(Refused),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Takes what the reader finds: into an arena, or nowhere.
trait Sink {
    fn open(&mut self, at: usize, mapping: bool) -> Result<(), Refused>;
    fn close(&mut self, end: usize);
    fn leaf(&mut self, start: usize, end: usize, kind: Kind) -> Result<(), Refused>;
    fn keep(&mut self, text: String) -> Kind;
    /// The value of a number, unless it is out of range.
    fn number(&self, text: &str, whole: bool) -> Option<Kind>;
}

impl Sink for Builder<'_> {
    fn open(&mut self, at: usize, mapping: bool) -> Result<(), Refused> {
        if mapping {
            self.open_mapping(at)
        } else {
            self.open_sequence(at)
        }
    }

    fn close(&mut self, end: usize) {
        Builder::close(self, end);
    }

    fn leaf(&mut self, start: usize, end: usize, kind: Kind) -> Result<(), Refused> {
        Builder::leaf(self, start, end, kind)
    }

    fn keep(&mut self, text: String) -> Kind {
        Builder::keep(self, text)
    }

    fn number(&self, text: &str, whole: bool) -> Option<Kind> {
        if whole && let Ok(value) = text.parse() {
            return Some(Kind::Int(value));
        }
        if whole && let Ok(value) = text.parse() {
            return Some(Kind::Uint(value));
        }
        let value = text.parse::<f64>().ok();
        value.filter(|value| value.is_finite()).map(Kind::Float)
    }
}

/// Keeps nothing but the depth.
struct Skip {
    depth: usize,
}

impl Sink for Skip {
    fn open(&mut self, at: usize, _mapping: bool) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let at = to_u32(at);
            return Err(too_deep(Span::new(FileId(0), at..at)));
        }
        Ok(())
    }

    fn close(&mut self, _end: usize) {
        self.depth -= 1;
    }

    fn leaf(&mut self, _start: usize, _end: usize, _kind: Kind) -> Result<(), Refused> {
        Ok(())
    }

    fn keep(&mut self, _text: String) -> Kind {
        Kind::Null
    }

    fn number(&self, _text: &str, _whole: bool) -> Option<Kind> {
        Some(Kind::Null)
    }
}

struct Reader<'s, S> {
    text: &'s str,
    /// The offset of the next byte.
    at: usize,
    end: usize,
    sink: S,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value or `]`.
    FirstItem,
    /// A key or `}`.
    FirstKey,
    Key,
    /// `,` or the end of what is open.
    Separator,
}

impl<S: Sink> Reader<'_, S> {
    fn value(&mut self) -> Result<(), Stop> {
        // Whether each open collection is a mapping.
        let mut open: Vec<bool> = Vec::new();
        let mut expect = Expect::Value;
        loop {
            if expect == Expect::Separator && open.is_empty() {
                return Ok(());
            }
            let start = self.skip_space();
            let byte = self.peek();
            expect = match (expect, byte) {
                (Expect::Value | Expect::FirstItem, Some(b'{')) => {
                    self.sink.open(start, true)?;
                    self.at += 1;
                    open.push(true);
                    Expect::FirstKey
                }
                (Expect::Value | Expect::FirstItem, Some(b'[')) => {
                    self.sink.open(start, false)?;
                    self.at += 1;
                    open.push(false);
                    Expect::FirstItem
                }
                (Expect::FirstItem, Some(b']')) | (Expect::FirstKey, Some(b'}')) => {
                    self.close(&mut open)
                }
                (Expect::Value | Expect::FirstItem, _) => {
                    self.scalar()?;
                    Expect::Separator
                }
                (Expect::FirstKey | Expect::Key, Some(b'"')) => {
                    self.string()?;
                    self.skip_space();
                    if self.peek() != Some(b':') {
                        return Err(self.error("a `:` is missing behind the key"));
                    }
                    self.at += 1;
                    Expect::Value
                }
                (Expect::FirstKey | Expect::Key, _) => {
                    return Err(self.error("a key in double quotes is missing"));
                }
                (Expect::Separator, Some(b',')) => {
                    self.at += 1;
                    if open.last() == Some(&true) {
                        Expect::Key
                    } else {
                        Expect::Value
                    }
                }
                (Expect::Separator, Some(b'}')) if open.last() == Some(&true) => {
                    self.close(&mut open)
                }
                (Expect::Separator, Some(b']')) if open.last() == Some(&false) => {
                    self.close(&mut open)
                }
                (Expect::Separator, _) => {
                    return Err(self.error("a `,` or the closing bracket is missing"));
                }
            };
        }
    }

    fn close(&mut self, open: &mut Vec<bool>) -> Expect {
        self.at += 1;
        open.pop();
        self.sink.close(self.at);
        Expect::Separator
    }

    fn peek(&self) -> Option<u8> {
        if self.at < self.end {
            self.text.as_bytes().get(self.at).copied()
        } else {
            None
        }
    }

    fn skip_space(&mut self) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.at
    }

    fn scalar(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Kind::Bool(true)),
            Some(b'f') => self.word("false", Kind::Bool(false)),
            Some(b'n') => self.word("null", Kind::Null),
            _ => Err(self.error("a value is missing")),
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), Stop> {
        let start = self.at;
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error("a value is missing"));
        }
        self.at += word.len();
        Ok(self.sink.leaf(start, self.at, kind)?)
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..self.end).unwrap_or(&[])
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let count = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count == 0 {
            return Err(self.error("a digit is missing"));
        }
        self.at += count;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Stop> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        let kind = self.sink.number(text, whole);
        let Some(kind) = kind else {
            self.at = start;
            return Err(self.error("the number is too large"));
        };
        Ok(self.sink.leaf(start, self.at, kind)?)
    }

    fn string(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let from = self.at;
            let plain = self
                .rest()
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at = plain.map_or(self.end, |count| from + count);
            if let Some(unescaped) = &mut unescaped {
                unescaped.push_str(self.text.get(from..self.at).unwrap_or(""));
            }
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let so_far = self.text.get(start + 1..self.at).unwrap_or("");
                    let mut text = unescaped.take().unwrap_or_else(|| so_far.to_owned());
                    text.push(self.escape()?);
                    unescaped = Some(text);
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("the string does not end")),
            }
        }
        let kind = match unescaped {
            Some(text) => self.sink.keep(text),
            None => Kind::Slice {
                start: to_u32(start + 1),
                end: to_u32(self.at),
            },
        };
        self.at += 1;
        Ok(self.sink.leaf(start, self.at, kind)?)
    }

    /// Reads an escape; a surrogate without its other half gives U+FFFD, as in Go.
    fn escape(&mut self) -> Result<char, Stop> {
        let escaped = match *self.rest() {
            [_, b'"', ..] => '"',
            [_, b'\\', ..] => '\\',
            [_, b'/', ..] => '/',
            [_, b'b', ..] => '\u{8}',
            [_, b'f', ..] => '\u{C}',
            [_, b'n', ..] => '\n',
            [_, b'r', ..] => '\r',
            [_, b't', ..] => '\t',
            [_, b'u', ..] => return self.unicode_escape(),
            _ => return Err(self.error("an escape that JSON does not know")),
        };
        self.at += 2;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, Stop> {
        let Some(first) = self.unit() else {
            return Err(self.error("`\\u` needs four hexadecimal digits"));
        };
        self.at += 6;
        let mut units = [first, 0];
        let mut count = 1;
        if (0xD800..0xDC00).contains(&first)
            && let Some(second @ 0xDC00..0xE000) = self.unit()
        {
            units = [first, second];
            count = 2;
            self.at += 6;
        }
        let decoded = char::decode_utf16(units.into_iter().take(count)).next();
        Ok(decoded
            .and_then(Result::ok)
            .unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The value of the `\uXXXX` that comes next.
    fn unit(&self) -> Option<u16> {
        let [b'\\', b'u', a, b, c, d, ..] = *self.rest() else {
            return None;
        };
        [a, b, c, d].into_iter().try_fold(0, |value, digit| {
            let digit = char::from(digit).to_digit(16)?;
            Some(value << 4 | u16::try_from(digit).ok()?)
        })
    }

    fn error(&self, message: &'static str) -> Stop {
        Stop::Syntax(self.at.min(self.end), message)
    }
}
