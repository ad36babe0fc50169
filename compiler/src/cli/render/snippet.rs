//! The lines around labels, for miette.
//!
//! Input: a file and the spans of its labels. Output: a [`SourceCode`] that finds lines by the file's line
//! table, so that a place far down a large file costs no more than one at its top. Guarantee: a window is a
//! few lines of bounded length, also where a line is a gigabyte long, and holds no control characters.

use crate::source::{SourceFile, Span, to_u32};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::borrow::Cow;
use std::ops::Range;

/// Lines that are shown before and after a label.
pub(super) const CONTEXT: u32 = 1;
/// The longest line that is shown whole, in bytes.
const LONG_LINE: u32 = 240;
/// How much of a longer line is shown before a label, and in all, in bytes.
const BEFORE: u32 = 40;
const CUT: u32 = 160;

/// What is shown of a file.
#[derive(Debug)]
pub(super) struct Snippet<'a> {
    file: &'a SourceFile,
    windows: Vec<Window<'a>>,
}

#[derive(Debug)]
struct Window<'a> {
    range: Range<u32>,
    text: Cow<'a, str>,
}

impl<'a> Snippet<'a> {
    /// What is shown around some spans of a file.
    pub(super) fn new(file: &'a SourceFile, spans: impl IntoIterator<Item = Span>) -> Self {
        let mut ranges: Vec<Range<u32>> = spans
            .into_iter()
            .map(|span| window(file, span.start))
            .collect();
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u32>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end && are_lines(file, last, &range) => {
                    last.end = last.end.max(range.end);
                }
                Some(_) | None => merged.push(range),
            }
        }
        let windows = merged
            .into_iter()
            .map(|range| Window {
                text: visible(file, &range),
                range,
            })
            .collect();
        Self { file, windows }
    }

    /// A label's range of bytes as it is shown: its first line, within its window.
    pub(super) fn shown(&self, span: Span) -> Range<usize> {
        let Some(window) = self.window_of(span.start) else {
            return span.range();
        };
        let offset = (span.start - window.range.start) as usize;
        let rest = window.text.get(offset..).unwrap_or("");
        let line = rest.find('\n').unwrap_or(rest.len());
        let line = rest.get(..line).map_or(0, |line| line.trim_end().len());
        let length = span.range().len().min(line);
        span.start as usize..span.start as usize + length
    }

    fn window_of(&self, offset: u32) -> Option<&Window<'a>> {
        let around =
            |window: &&Window<'_>| window.range.contains(&offset) || window.range.end == offset;
        self.windows.iter().find(around)
    }
}

/// Whether both ranges are whole lines; pieces of one long line are not joined.
fn are_lines(file: &SourceFile, one: &Range<u32>, other: &Range<u32>) -> bool {
    let starts_line = |range: &Range<u32>| file.line_starts().binary_search(&range.start).is_ok();
    starts_line(one) && starts_line(other)
}

fn slice<'a>(file: &'a SourceFile, range: &Range<u32>) -> &'a str {
    let range = range.start as usize..range.end as usize;
    file.text().get(range).unwrap_or("")
}

/// The number of the line, from 0, that an offset is in.
fn line_of(file: &SourceFile, offset: u32) -> u32 {
    let behind = file.line_starts().partition_point(|start| *start <= offset);
    to_u32(behind.saturating_sub(1))
}

/// The bytes of a line, without its break.
fn line(file: &SourceFile, number: u32) -> Option<Range<u32>> {
    let starts = file.line_starts();
    let index = number as usize;
    let start = *starts.get(index)?;
    let next = starts.get(index + 1).copied();
    let whole = start..next.unwrap_or(to_u32(file.text().len()));
    let text = slice(file, &whole);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Some(start..start + to_u32(text.len()))
}

/// What is shown around an offset: its line with neighbours, or a piece of a long line.
fn window(file: &SourceFile, offset: u32) -> Range<u32> {
    let number = line_of(file, offset);
    let Some(own) = line(file, number) else {
        return 0..0;
    };
    if own.len() > LONG_LINE as usize {
        return piece(file.text(), own, offset);
    }
    let short = |number: &u32| {
        line(file, *number).is_some_and(|it| it.len() <= LONG_LINE as usize && !file.is_secret(it))
    };
    let first = (number.saturating_sub(CONTEXT)..number)
        .rev()
        .take_while(short)
        .last();
    let last = (number + 1..=number + CONTEXT).take_while(short).last();
    let start = first
        .and_then(|first| line(file, first))
        .unwrap_or(own.clone())
        .start;
    let end = last.and_then(|last| line(file, last)).unwrap_or(own).end;
    start..end
}

fn piece(text: &str, line: Range<u32>, offset: u32) -> Range<u32> {
    let start = offset.saturating_sub(BEFORE).max(line.start);
    let end = start.saturating_add(CUT).min(line.end).max(start);
    let on_character = |at: u32| to_u32(text.floor_char_boundary(at as usize));
    on_character(start)..on_character(end)
}

/// A part of the text with each control character replaced by one of the same length, so that offsets stay, and so
/// with each character of a secret. A line ends with a line feed.
fn visible<'a>(file: &'a SourceFile, range: &Range<u32>) -> Cow<'a, str> {
    let text = slice(file, range);
    let harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let has_secret = file.is_secret(range.clone());
    if !text.contains(harmful) && !has_secret {
        return text.into();
    }
    let bytes = text.as_bytes();
    let replaced = text.char_indices().flat_map(|(at, c)| {
        let start = range.start + to_u32(at);
        let with = match c {
            '\r' if bytes.get(at + 1) == Some(&b'\n') => '\r',
            '\r' => '\n',
            c if harmful(c) => '?',
            '\n' => '\n',
            _ if has_secret && file.is_secret(start..start + 1) => '*',
            c => return std::iter::repeat_n(c, 1),
        };
        std::iter::repeat_n(with, c.len_utf8())
    });
    replaced.collect::<String>().into()
}

impl SourceCode for Snippet<'_> {
    fn read_span<'s>(
        &'s self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'s> + 's>, MietteError> {
        let start = to_u32(span.offset());
        let end = to_u32(span.offset() + span.len());
        let window = self
            .window_of(start)
            .filter(|window| end <= window.range.end)
            .ok_or(MietteError::OutOfBounds)?;
        let alone = before == 0 && after == 0;
        let shown = if alone {
            start..end
        } else {
            window.range.clone()
        };
        let inner =
            (shown.start - window.range.start) as usize..(shown.end - window.range.start) as usize;
        let data = window.text.get(inner).ok_or(MietteError::OutOfBounds)?;
        let number = line_of(self.file, shown.start);
        let location = self.file.location(shown.start);
        let lines = memchr::memchr_iter(b'\n', data.as_bytes()).count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.name().to_string(),
            data.as_bytes(),
            (shown.start as usize, data.len()).into(),
            number as usize,
            location.column as usize - 1,
            lines,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn file(text: &str) -> SourceFile {
        SourceFile::new("x", text.as_bytes().to_vec()).unwrap()
    }

    fn span(range: Range<u32>) -> Span {
        Span::new(FileId(0), range)
    }

    #[test]
    fn a_window_is_the_line_with_its_neighbours() {
        let file = file("one\ntwo\nthree\nfour\nfive\n");
        let shown = |offset| slice(&file, &window(&file, offset));
        assert_eq!(shown(9), "two\nthree\nfour");
        assert_eq!(shown(0), "one\ntwo");
        assert_eq!(shown(24), "five\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_label() {
        let text = format!(
            "short\n{}X{}\nshort",
            "é".repeat(10_000),
            "-".repeat(10_000)
        );
        let file = file(&text);
        let at = to_u32(text.find('X').unwrap());
        let snippet = Snippet::new(&file, [span(at..at + 5_000)]);
        let window = &snippet.windows[0];
        assert!(window.text.len() <= CUT as usize + 4);
        assert!(window.text.contains("éX-"));
        assert!(snippet.shown(span(at..at + 5_000)).len() <= CUT as usize);
    }

    #[test]
    fn control_characters_are_replaced_in_place() {
        let text = file("a\u{1b}b\u{85}c");
        assert_eq!(visible(&text, &(0..6)), "a?b??c");
    }

    #[test]
    fn lines_end_as_in_yaml() {
        let file = file("a\r\nb\rc\nd\r\n");
        assert_eq!(file.line_starts(), [0, 3, 5, 7, 10]);
        let snippet = Snippet::new(&file, [span(5..6)]);
        assert_eq!(snippet.windows[0].text, "b\nc\nd");
    }

    #[test]
    fn a_secret_beside_a_label_is_not_shown() {
        let text = "- kind: A\n- kind: Secret\n  data: x\n- kind: B, data: y";
        let mut sources = crate::source::Sources::default();
        let id = sources.add(file(text));
        sources.hide(&[span(12..34), span(46..53)]);
        let file = sources.get(id).unwrap();
        let snippet = Snippet::new(file, [span(2..6), span(37..41)]);
        let shown: Vec<&str> = snippet.windows.iter().map(|it| &*it.text).collect();
        assert_eq!(shown, ["- kind: A", "- kind: B, *******"]);
    }

    #[test]
    fn a_label_is_cut_to_its_first_line() {
        let file = file("a:\n  b: 1\n  c: 2\n");
        let snippet = Snippet::new(&file, [span(0..17)]);
        assert_eq!(snippet.shown(span(0..17)), 0..2);
    }
}
