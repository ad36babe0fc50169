//! A stream cut into batches of whole lines.
//!
//! Guarantee: a batch has at most [`BATCH_BYTES`] of text, however long the stream and its lines are and whatever
//! the reader holds at once: a line longer than that comes out cut, and is too long to be read anyway.

use super::hubble;
use std::io::{self, BufRead};
use std::ops::Range;

/// About how much text is in memory at once: enough for all threads to have some thousand records each.
pub(super) const BATCH_BYTES: usize = 4 << 20;

const _: () = assert!(BATCH_BYTES > super::MAX_LINE_BYTES);

/// Some lines of a stream.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: Vec<u8>,
    /// The lines that are neither empty nor about the stream itself.
    pub(super) lines: Vec<Line>,
}

/// Where a line is, and how it is counted.
#[derive(Clone, Debug)]
pub(super) struct Line {
    bytes: Range<usize>,
    /// Counted from one.
    pub(super) number: u64,
    /// Counted from zero, without those others.
    pub(super) record: u64,
}

impl Batch {
    /// The text of a line.
    pub(super) fn text(&self, line: &Line) -> &[u8] {
        self.text.get(line.bytes.clone()).unwrap_or(&[])
    }

    /// What the beginning of a file is that is no trace.
    pub(super) fn what_else(&self) -> Option<&'static str> {
        let beginning = self.text.get(..LOOKED_AT_BYTES).unwrap_or(&self.text);
        if memchr::memchr(0, beginning).is_some() {
            return Some("neither a capture nor text");
        }
        let is_object = |line: &Line| {
            let text = self.text(line);
            let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            text.trim_ascii_start().starts_with(b"{")
        };
        let lines = self.lines.get(..LOOKED_AT_LINES)?;
        let is_none = !lines.iter().any(is_object);
        is_none.then_some("text, but none of its first lines is a JSON object")
    }
}

/// How much of a file tells whether it is a trace: of one with fewer lines, each is said to be none.
const LOOKED_AT_BYTES: usize = 4096;
const LOOKED_AT_LINES: usize = 4;

/// What some editors put in front of a text.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads batches.
pub(super) struct Batches<R> {
    reader: R,
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
    /// The line being read was cut: what remains of it is not looked at.
    skipping: bool,
    lines: u64,
    records: u64,
}

impl<R: BufRead> Batches<R> {
    /// Reads batches; `records` were counted before.
    pub(super) fn new(reader: R, records: u64) -> Self {
        Self {
            reader,
            rest: Vec::new(),
            skipping: false,
            lines: 0,
            records,
        }
    }

    /// How many records were counted.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The next batch; `None` at the end of the stream. The memory of the last one is used again.
    pub(super) fn next(&mut self, last: Option<Batch>) -> io::Result<Option<Batch>> {
        let mut batch = last.unwrap_or_default();
        batch.lines.clear();
        batch.text.clear();
        batch.text.append(&mut self.rest);
        let more = self.fill(&mut batch.text)?;
        if batch.text.is_empty() && !more {
            return Ok(None);
        }
        self.cut(&mut batch, more);
        Ok(Some(batch))
    }

    /// Reads until there is enough; returns whether the stream may go on.
    fn fill(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        while text.len() < BATCH_BYTES {
            let read = self.reader.fill_buf()?;
            if read.is_empty() {
                return Ok(false);
            }
            let length = read.len().min(BATCH_BYTES - text.len());
            let read = read.get(..length).unwrap_or(read);
            let kept = if self.skipping {
                let end = memchr::memchr(b'\n', read);
                self.skipping = end.is_none();
                end.and_then(|end| read.get(end + 1..)).unwrap_or(&[])
            } else {
                read
            };
            text.extend_from_slice(kept);
            self.reader.consume(length);
        }
        Ok(true)
    }

    /// Finds the lines, and keeps what stands behind the last one for the next batch.
    fn cut(&mut self, batch: &mut Batch, more: bool) {
        let mut start = 0;
        let Batch { text, lines } = batch;
        for end in memchr::memchr_iter(b'\n', text) {
            self.push(lines, text, start..end);
            start = end + 1;
        }
        if start == text.len() {
            return;
        }
        if !more {
            self.push(lines, text, start..text.len());
        } else if start == 0 {
            self.skipping = true;
            self.push(lines, text, 0..text.len());
        } else {
            self.rest
                .extend_from_slice(text.get(start..).unwrap_or(&[]));
        }
    }

    fn push(&mut self, lines: &mut Vec<Line>, text: &[u8], bytes: Range<usize>) {
        self.lines += 1;
        let line = text.get(bytes.clone()).unwrap_or(&[]);
        if line.iter().all(u8::is_ascii_whitespace) || hubble::is_no_flow(line) {
            return;
        }
        lines.push(Line {
            bytes,
            number: self.lines,
            record: self.records,
        });
        self.records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &[u8], capacity: usize) -> Vec<(u64, u64, usize)> {
        let mut batches = Batches::new(BufReader::with_capacity(capacity, text), 0);
        let mut found = Vec::new();
        let mut last = None;
        while let Some(batch) = batches.next(last).unwrap() {
            for line in &batch.lines {
                found.push((line.number, line.record, batch.text(line).len()));
            }
            last = Some(batch);
        }
        found
    }

    #[test]
    fn empty_lines_count_as_lines_only() {
        assert_eq!(
            lines(b"a\n\n \r\nbb\r\nccc", 2),
            [(1, 0, 1), (4, 1, 3), (5, 2, 3)]
        );
        assert_eq!(lines(b"", 2), []);
        assert_eq!(lines(b"\n\n", 2), []);
    }

    #[test]
    fn what_is_no_trace_is_seen_at_its_beginning() {
        let what = |text: &[u8]| {
            let mut batches = Batches::new(text, 0);
            batches.next(None).unwrap().unwrap().what_else()
        };
        assert_eq!(what(b"{}\n"), None);
        assert_eq!(what(b"one\n\ntwo\nthree\n"), None);
        assert_eq!(what(b"one\ntwo\nthree\n {}\n"), None);
        assert_eq!(what("\u{feff}{}\n2\n3\n4\n".as_bytes()), None);
        assert!(what(b"a: 1\nb: 2\nc: 3\nd: 4\n").is_some());
        assert!(what(b"\x7fELF\0\n").is_some());
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_read() {
        let mut text = vec![b'x'; BATCH_BYTES * 2 + 7];
        text.extend(b"\nnext\n");
        let found = lines(&text, 1000);
        assert_eq!(found.len(), 2);
        assert!((BATCH_BYTES..BATCH_BYTES + 1000).contains(&found[0].2));
        assert_eq!(found[1], (2, 1, 4));
    }

    #[test]
    fn lines_that_cross_batches_are_whole() {
        let line = "y".repeat(999) + "\n";
        let text = line.repeat(BATCH_BYTES / 1000 * 3);
        let found = lines(text.as_bytes(), 4096);
        assert_eq!(found.len(), BATCH_BYTES / 1000 * 3);
        assert!(found.iter().all(|(_, _, length)| *length == 999));
    }
}
