//! JSON as encoding/json reads it.
//!
//! Input: a part of a text that holds one JSON value. Output: the document, unless it is null, and
//! diagnostics. Guarantee: the value that kubectl's reader gives the text: of a key that stands twice the
//! last, a lone surrogate as U+FFFD, numbers as they are written. Refused: what is not JSON, numbers beyond
//! 64-bit floats. [`read`] is the entry.
//!
//! The tokenizer is our own. serde_json tells no offsets of values; of the readers that do, jiter, hifijson,
//! struson and json-event-parser refuse lone surrogates, which Go takes, and struson and json-event-parser
//! read through a buffer that allows no slices of the text.

use super::build::{Builder, Refused};
use super::{Document, Kind, expand};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{FileId, to_u32};
use std::ops::Range;

/// Reads the value in `range` of `text`.
pub(super) fn read(
    file: FileId,
    text: &str,
    range: Range<usize>,
) -> (Option<Document<'_>>, Vec<Diagnostic>) {
    let end = range.end.min(text.len());
    let mut reader = Reader {
        text,
        at: range.start.min(end),
        end,
        builder: Builder::new(file, text, end.saturating_sub(range.start)),
    };
    reader.builder.raw.document.json = true;
    let outcome = reader.document();
    let Builder {
        raw,
        mut diagnostics,
        ..
    } = reader.builder;
    match outcome.and_then(|()| expand::finish(raw, &mut diagnostics)) {
        Ok(document) if document.root().is_null() => (None, diagnostics),
        Ok(document) => (Some(document), diagnostics),
        Err(refused) => {
            diagnostics.push(*refused);
            (None, diagnostics)
        }
    }
}

struct Reader<'s> {
    text: &'s str,
    /// The offset of the next byte.
    at: usize,
    end: usize,
    builder: Builder<'s>,
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

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Refused> {
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
                    self.builder.open_mapping(start)?;
                    self.at += 1;
                    open.push(true);
                    Expect::FirstKey
                }
                (Expect::Value | Expect::FirstItem, Some(b'[')) => {
                    self.builder.open_sequence(start)?;
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
        self.builder.close(self.at);
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

    fn scalar(&mut self) -> Result<(), Refused> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Kind::Bool(true)),
            Some(b'f') => self.word("false", Kind::Bool(false)),
            Some(b'n') => self.word("null", Kind::Null),
            _ => Err(self.error("a value is missing")),
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), Refused> {
        let start = self.at;
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error("a value is missing"));
        }
        self.at += word.len();
        self.builder.leaf(start, self.at, kind)
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..self.end).unwrap_or(&[])
    }

    fn digits(&mut self) -> Result<(), Refused> {
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

    fn number(&mut self) -> Result<(), Refused> {
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
        let integer = || {
            let signed = text.parse().map(Kind::Int);
            signed.or_else(|_| text.parse().map(Kind::Uint)).ok()
        };
        let float = || {
            let value = text.parse::<f64>().ok();
            value.filter(|value| value.is_finite()).map(Kind::Float)
        };
        let kind = if whole {
            integer().or_else(float)
        } else {
            float()
        };
        let Some(kind) = kind else {
            self.at = start;
            return Err(self.error("the number is too large"));
        };
        self.builder.leaf(start, self.at, kind)
    }

    fn string(&mut self) -> Result<(), Refused> {
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
            Some(text) => self.builder.keep(text),
            None => Kind::Slice {
                start: to_u32(start + 1),
                end: to_u32(self.at),
            },
        };
        self.at += 1;
        self.builder.leaf(start, self.at, kind)
    }

    /// Reads an escape; a surrogate without its other half gives U+FFFD, as in Go.
    fn escape(&mut self) -> Result<char, Refused> {
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

    fn unicode_escape(&mut self) -> Result<char, Refused> {
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

    fn error(&self, message: &str) -> Refused {
        let at = self.text.floor_char_boundary(self.at.min(self.end));
        let width = self.text.get(at..).and_then(|rest| rest.chars().next());
        let end = at
            + width
                .filter(|found| *found != '\n')
                .map_or(0, char::len_utf8);
        Box::new(
            Diagnostic::new(&codes::JSON_SYNTAX, message)
                .at(self.builder.span(at, end), "expected here")
                .help("correct the JSON; a program that writes JSON should have done so"),
        )
    }
}
