//! The YAML that programs and most people write, read line by line: ten times as fast as by events.
//!
//! Input: the text of one document. Output: its nodes, or nothing where the text holds more than this reader
//! knows: lists and mappings in block style, scalars on one line, plain or quoted, and literal blocks.
//! Guarantee: what it reads, libyaml's events give alike, spans included (both are compared in tests). Refused: nesting and
//! texts beyond the limits; everything else that is wrong is left to the reader by events, which says what. [`read`] is the entry.

use super::Kind;
use super::build::{Builder, Refused};
use super::scalar::{self, Scalar, Tag};
use crate::source::{FileId, to_u32};

use std::ops::Range;

/// A key must end within 1024 characters of its start.
const MAX_KEY: usize = 1_000;

/// Reads `body`, which stands at `base` in `text`: the builder with what was read, and whether that is a
/// document or nothing but comments.
pub(super) fn read<'s>(
    file: FileId,
    text: &'s str,
    base: usize,
    body: &'s str,
) -> Option<(Builder<'s>, Result<bool, Refused>)> {
    if !is_ordinary(body) {
        return None;
    }
    let mut reader = Reader {
        text,
        at: base,
        end: base + body.len(),
        builder: Builder::new(file, text, body.len()),
        open: Vec::with_capacity(8),
        last_end: base,
    };
    match reader.lines() {
        Ok(found) => Some((reader.builder, Ok(found))),
        Err(Stop::Unknown) => None,
        Err(Stop::Refused(refused)) => Some((reader.builder, Err(refused))),
    }
}

/// Whether a text holds no tabs, no control characters and no line breaks but LF and CRLF.
fn is_ordinary(text: &str) -> bool {
    // Many bytes are looked at at once where none of them stops the others.
    let are_plain = |bytes: &[u8]| {
        let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
        bytes.iter().fold(true, |all, byte| all & plain(byte))
    };
    let (chunks, rest) = text.as_bytes().as_chunks::<64>();
    if chunks.iter().all(|chunk| are_plain(chunk)) && are_plain(rest) {
        return true;
    }
    let known = |sign: char| {
        matches!(
            sign,
            ' '..='~' | '\n' | '\r' | '\u{A0}'..='\u{2027}' | '\u{202A}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}'
                | '\u{10000}'..
        )
    };
    let mut returns = memchr::memchr_iter(b'\r', text.as_bytes());
    returns.all(|at| {
        text.as_bytes().get(at + 1) == Some(&b'\n')
            && at.checked_sub(1).and_then(|at| text.as_bytes().get(at)) != Some(&b'\r')
    }) && text.chars().all(known)
}

/// Why reading stops.
enum Stop {
    /// More than this reader knows.
    Unknown,
    Refused(Refused),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A list or mapping that may go on.
struct Open {
    /// The column of its dashes or keys.
    column: usize,
    mapping: bool,
    /// Where the value goes that has not come yet: the offset behind the `:` or `-`.
    due: Option<usize>,
}

struct Reader<'s> {
    text: &'s str,
    /// The start of the next line.
    at: usize,
    end: usize,
    builder: Builder<'s>,
    open: Vec<Open>,
    /// The end of the scalar that was read last.
    last_end: usize,
}

/// The part of a line that is not read yet.
#[derive(Clone, Copy)]
struct Rest<'s> {
    text: &'s str,
    start: usize,
}

impl<'s> Rest<'s> {
    fn skip(self, count: usize) -> Self {
        Self {
            text: self.text.get(count..).unwrap_or(""),
            start: self.start + count,
        }
    }

    fn skip_spaces(self) -> Self {
        self.skip(self.text.len() - self.text.trim_start_matches(' ').len())
    }

    /// Whether nothing is left but spaces and a comment, which needs a space in front.
    fn is_over(self) -> bool {
        let content = self.text.trim_start_matches(' ');
        content.is_empty() || content.starts_with('#') && content.len() < self.text.len()
    }
}

impl<'s> Reader<'s> {
    fn lines(&mut self) -> Result<bool, Stop> {
        let first = self.peek_line();
        if first.text.starts_with("---") {
            if !first.skip(3).is_over() {
                return Err(Stop::Unknown);
            }
            self.next_line();
        }
        while self.at < self.end {
            let line = self.next_line();
            let content = line.skip_spaces();
            if content.text.is_empty() || content.text.starts_with('#') {
                continue;
            }
            let column = content.start - line.start;
            if column == 0
                && content.text.starts_with(['-', '.', '%'])
                && !content.text.starts_with("- ")
                && content.text != "-"
            {
                return Err(Stop::Unknown);
            }
            let is_item = content.text == "-" || content.text.starts_with("- ");
            self.settle(column, is_item)?;
            self.node(content, column)?;
        }
        while !self.open.is_empty() {
            self.close()?;
        }
        Ok(self.builder.is_complete())
    }

    /// The next line without its line break.
    fn peek_line(&self) -> Rest<'s> {
        let rest = self.text.get(self.at..self.end).unwrap_or("");
        let length = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or("");
        Rest {
            text: line.strip_suffix('\r').unwrap_or(line),
            start: self.at,
        }
    }

    fn next_line(&mut self) -> Rest<'s> {
        let rest = self.text.get(self.at..self.end).unwrap_or("");
        let length = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or("");
        let start = self.at;
        self.at = (start + length + 1).min(self.end);
        Rest {
            text: line.strip_suffix('\r').unwrap_or(line),
            start,
        }
    }

    /// Closes what a line at this column ends. Afterwards the innermost open collection takes the line, as a
    /// further entry or as the value that is due.
    fn settle(&mut self, column: usize, is_item: bool) -> Result<(), Stop> {
        while let Some(top) = self.open.last() {
            if top.due.is_some()
                && (column > top.column || column == top.column && top.mapping && is_item)
            {
                return Ok(());
            }
            if column == top.column && is_item != top.mapping {
                return self.fill();
            }
            // Keys at the column of the dashes belong to the mapping that holds the list.
            if column > top.column {
                return Err(Stop::Unknown);
            }
            self.close()?;
        }
        // Only the first line starts a document.
        if self.builder.next_index() == 0 {
            Ok(())
        } else {
            Err(Stop::Unknown)
        }
    }

    /// Closes the innermost collection.
    fn close(&mut self) -> Result<(), Stop> {
        self.fill()?;
        self.open.pop();
        self.builder.close(self.last_end);
        Ok(())
    }

    /// Gives a key or dash without a value the value null.
    fn fill(&mut self) -> Result<(), Stop> {
        if let Some(top) = self.open.last_mut()
            && let Some(at) = top.due.take()
        {
            self.last_end = at;
            self.builder.leaf(at, at, Kind::Null)?;
        }
        Ok(())
    }

    /// Reads what starts at a column: an item, an entry, or a scalar where one is due.
    fn node(&mut self, content: Rest<'s>, column: usize) -> Result<(), Stop> {
        let (mut content, mut column) = (content, column);
        while content.text == "-" || content.text.starts_with("- ") {
            self.enter(content.start, column, false)?;
            let behind = content.skip(1);
            self.due(behind.start);
            if behind.is_over() {
                return Ok(());
            }
            let next = behind.skip_spaces();
            column += next.start - content.start;
            content = next;
        }
        let Some((key, quoted, behind)) = key(content) else {
            let top = self.open.last_mut().ok_or(Stop::Unknown)?;
            // A scalar on a line of its own may go on on the next: only items end with their line here.
            if top.mapping || top.due.take().is_none() {
                return Err(Stop::Unknown);
            }
            return self.scalar(content);
        };
        self.enter(content.start, column, true)?;
        self.key(key, quoted)?;
        let value = behind.skip_spaces();
        if behind.is_over() {
            self.due(behind.start);
            return Ok(());
        }
        self.scalar(value)
    }

    /// Opens a list or mapping at a column, unless the innermost one goes on there.
    fn enter(&mut self, start: usize, column: usize, mapping: bool) -> Result<(), Stop> {
        if let Some(top) = self.open.last_mut()
            && top.due.take().is_none()
        {
            let goes_on = top.column == column && top.mapping == mapping;
            return if goes_on { Ok(()) } else { Err(Stop::Unknown) };
        }
        self.last_end = start;
        if mapping {
            self.builder.open_mapping(start)?;
        } else {
            self.builder.open_sequence(start)?;
        }
        self.open.push(Open {
            column,
            mapping,
            due: None,
        });
        Ok(())
    }

    fn due(&mut self, at: usize) {
        if let Some(top) = self.open.last_mut() {
            top.due = Some(at);
        }
    }

    fn key(&mut self, inner: Range<usize>, quoted: bool) -> Result<(), Stop> {
        let written = self.text.get(inner.clone()).unwrap_or("");
        let outer = if quoted {
            inner.start - 1..inner.end + 1
        } else {
            inner.clone()
        };
        self.last_end = outer.end;
        let value = if quoted {
            Scalar::Text
        } else {
            implicit(written)
        };
        let kind = self.builder.key_kind(value, written, slice(&inner));
        if !matches!(value, Scalar::Text) {
            self.builder.report_key(value, written, inner);
        }
        Ok(self.builder.leaf(outer.start, outer.end, kind)?)
    }

    /// Reads a scalar up to the end of the line, or the lines of a literal block.
    fn scalar(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        match rest.text.as_bytes() {
            [b'"', ..] => self.double_quoted(rest),
            [b'\'', ..] => self.single_quoted(rest),
            [b'[', b']', ..] if rest.skip(2).is_over() => {
                self.builder.open_sequence(rest.start)?;
                self.end_empty(rest)
            }
            [b'{', b'}', ..] if rest.skip(2).is_over() => {
                self.builder.open_mapping(rest.start)?;
                self.end_empty(rest)
            }
            [b'|', ..] => self.literal(rest),
            [first, ..] if starts_plain(*first) => self.plain(rest),
            [b'-', next, ..] if *next != b' ' => self.plain(rest),
            _ => Err(Stop::Unknown),
        }
    }

    fn end_empty(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        self.last_end = rest.start + 2;
        self.builder.close(self.last_end);
        Ok(())
    }

    fn plain(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        let mut text = rest.text;
        for at in memchr::memchr2_iter(b':', b'#', rest.text.as_bytes()) {
            let around = |at: Option<usize>| at.and_then(|at| rest.text.as_bytes().get(at));
            if rest.text.as_bytes().get(at) == Some(&b':') {
                if matches!(around(at.checked_add(1)), None | Some(b' ')) {
                    return Err(Stop::Unknown);
                }
            } else if around(at.checked_sub(1)) == Some(&b' ') {
                text = rest.text.get(..at).unwrap_or("");
                break;
            }
        }
        let written = text.trim_end_matches(' ');
        let span = rest.start..rest.start + written.len();
        self.last_end = span.end;
        let value = implicit(written);
        let kind = self.builder.value_kind(value, written, slice(&span));
        if !matches!(value, Scalar::Text) {
            self.builder.report_value(value, written, span.clone());
        }
        Ok(self.builder.leaf(span.start, span.end, kind)?)
    }

    fn double_quoted(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        let inner = rest.skip(1);
        let mut value: Option<String> = None;
        let mut from = 0;
        let mut signs = memchr::memchr2_iter(b'"', b'\\', inner.text.as_bytes());
        loop {
            let at = signs.next().ok_or(Stop::Unknown)?;
            if at < from {
                continue;
            }
            let before = inner.text.get(from..at).unwrap_or("");
            if inner.text.as_bytes().get(at) == Some(&b'"') {
                if let Some(value) = &mut value {
                    value.push_str(before);
                }
                return self.quoted(rest, inner.start..inner.start + at, value);
            }
            let escaped = match inner.text.as_bytes().get(at + 1) {
                Some(b'"') => '"',
                Some(b'\\') => '\\',
                Some(b'n') => '\n',
                Some(b't') => '\t',
                _ => return Err(Stop::Unknown),
            };
            let value = value.get_or_insert_default();
            value.push_str(before);
            value.push(escaped);
            self.builder.check_length(value.len(), rest.start)?;
            from = at + 2;
        }
    }

    fn single_quoted(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        let inner = rest.skip(1);
        let mut doubled = false;
        let mut signs = memchr::memchr_iter(b'\'', inner.text.as_bytes());
        loop {
            let at = signs.next().ok_or(Stop::Unknown)?;
            if inner.text.as_bytes().get(at + 1) == Some(&b'\'') {
                doubled = true;
                signs.next();
                continue;
            }
            let text = inner.text.get(..at).unwrap_or("");
            let value = doubled.then(|| text.replace("''", "'"));
            return self.quoted(rest, inner.start..inner.start + at, value);
        }
    }

    /// A quoted scalar, whose text is that between the quotes unless there were escapes.
    fn quoted(
        &mut self,
        rest: Rest<'s>,
        inner: Range<usize>,
        value: Option<String>,
    ) -> Result<(), Stop> {
        let end = inner.end + 1;
        if !rest.skip(end - rest.start).is_over() {
            return Err(Stop::Unknown);
        }
        self.last_end = end;
        let kind = match value {
            Some(value) => self.builder.keep(value),
            None => slice(&inner),
        };
        Ok(self.builder.leaf(rest.start, end, kind)?)
    }

    /// A literal block: `|` or `|-`, with text from the next line on.
    fn literal(&mut self, rest: Rest<'s>) -> Result<(), Stop> {
        let strip = rest.text.starts_with("|-");
        if !rest.skip(if strip { 2 } else { 1 }).is_over() {
            return Err(Stop::Unknown);
        }
        let parent = self.open.last().map_or(0, |open| open.column);
        let first = self.peek_line();
        let indent = first.skip_spaces().start - first.start;
        if indent <= parent || indent == first.text.len() {
            return Err(Stop::Unknown);
        }
        let mut value = String::new();
        let mut breaks = 0;
        let mut end = rest.start;
        while self.at < self.end {
            let line = self.peek_line();
            let spaces = line.skip_spaces().start - line.start;
            let content = line.skip(spaces.min(indent));
            if spaces < indent && !content.text.is_empty() {
                break;
            }
            self.next_line();
            if !content.text.is_empty() {
                value.extend(std::iter::repeat_n('\n', breaks));
                value.push_str(content.text);
                self.builder.check_length(value.len(), rest.start)?;
                breaks = 0;
                let trimmed = content.text.trim_end();
                if !trimmed.is_empty() {
                    end = content.start + trimmed.len();
                }
            }
            breaks += 1;
        }
        if !strip {
            value.push('\n');
        }
        self.last_end = end;
        let kind = self.builder.keep(value);
        Ok(self.builder.leaf(rest.start, end, kind)?)
    }
}

/// A key at the start of a line: where its text is, whether in quotes, and what follows its colon.
fn key(content: Rest<'_>) -> Option<(Range<usize>, bool, Rest<'_>)> {
    let bytes = content.text.as_bytes();
    let quote = bytes.first().filter(|first| matches!(first, b'"' | b'\''));
    let (inner, colon) = if let Some(quote) = quote {
        let inside = bytes.get(1..)?;
        let length = inside
            .iter()
            .position(|byte| byte == quote || *byte == b'\\')?;
        (1..1 + length, length + 2)
    } else {
        let length = bytes.iter().position(|byte| !in_key(*byte))?;
        let first = bytes.first()?;
        if !(first.is_ascii_alphanumeric() || *first == b'_' || *first == b'/') {
            return None;
        }
        (0..length, length)
    };
    let closed = quote.is_none_or(|quote| bytes.get(inner.end) == Some(quote));
    let is_key = bytes.get(colon) == Some(&b':')
        && matches!(bytes.get(colon + 1), None | Some(b' '))
        && closed
        && colon <= MAX_KEY;
    let range = content.start + inner.start..content.start + inner.end;
    is_key.then(|| (range, quote.is_some(), content.skip(colon + 1)))
}

fn in_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
}

/// Signs that start a plain scalar whatever follows.
fn starts_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'.'
                | b'/'
                | b'+'
                | b'~'
                | b'<'
                | b'='
                | b'$'
                | b'('
                | b'^'
                | b'\\'
                | b';'
                | 0x80..
        )
}

fn implicit(written: &str) -> Scalar {
    scalar::resolve(Tag::Implicit, written).unwrap_or(Scalar::Text)
}

fn slice(range: &Range<usize>) -> Kind {
    Kind::Slice {
        start: to_u32(range.start),
        end: to_u32(range.end),
    }
}
