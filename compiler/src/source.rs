//! Source texts and the places in them.
//!
//! Input: named byte strings. Guarantee: a [`Span`] made by this crate lies within its file and on
//! character boundaries; [`Sources::location`] turns it into a 1-based line and column. Refused: files of
//! 4 GiB and more, and bytes that are neither UTF-8 nor UTF-16 with a byte order mark.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The largest text that is read, in bytes: offsets are kept in 32 bits.
pub const MAX_FILE_BYTES: usize = u32::MAX as usize;

/// A file among the [`Sources`] of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes, `start..end`, in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `range` in `file`.
    #[must_use]
    pub fn new(file: FileId, range: Range<u32>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end,
        }
    }

    /// Whether another span lies within this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    /// The bytes of the span as a range of offsets.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place in a file as people and editors count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// 1-based line.
    pub line: u32,
    /// 1-based column, in characters.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why bytes are no text that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// More than [`MAX_FILE_BYTES`].
    TooLarge {
        /// The size that was given, in bytes.
        given: usize,
    },
    /// Neither UTF-8 nor UTF-16 with a byte order mark; the first offending byte.
    NotText {
        /// Offset of the first byte that does not decode.
        offset: usize,
    },
}

/// How a text was written in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, low byte first, with a byte order mark.
    Utf16Le,
    /// UTF-16, high byte first, with a byte order mark.
    Utf16Be,
}

/// One text with the name under which it is shown.
#[derive(Debug)]
pub struct SourceFile {
    name: Arc<str>,
    text: String,
    encoding: Encoding,
    lines: OnceLock<Lines>,
    sha256: OnceLock<[u8; 32]>,
    print: OnceLock<[u8; 32]>,
    /// What is not to be shown, ascending.
    secrets: Vec<Range<u32>>,
}

impl SourceFile {
    /// Decodes `bytes`: UTF-8, or UTF-16 where a byte order mark says so. Offsets in spans refer to the
    /// decoded text.
    ///
    /// # Errors
    /// [`TextError`] where the bytes are no text or too many.
    pub fn new(name: impl Into<Arc<str>>, bytes: Vec<u8>) -> Result<Self, TextError> {
        Self::decoded(name, bytes).map_err(|(error, _)| error)
    }

    /// The same; with the error come the bytes that were to be UTF-8 and are not.
    pub(crate) fn decoded(
        name: impl Into<Arc<str>>,
        bytes: Vec<u8>,
    ) -> Result<Self, (TextError, Vec<u8>)> {
        let (text, encoding) = decode(bytes)?;
        if text.len() > MAX_FILE_BYTES {
            return Err((TextError::TooLarge { given: text.len() }, Vec::new()));
        }
        Ok(Self {
            name: name.into(),
            text,
            encoding,
            lines: OnceLock::new(),
            sha256: OnceLock::new(),
            print: OnceLock::new(),
            secrets: Vec::new(),
        })
    }

    /// The name under which the file is shown, as the user wrote it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 digest of the text, made on first use.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        self.sha256
            .get_or_init(|| Sha256::digest(self.text.as_bytes()).into())
    }

    /// The digest by which a text that was read before is known again, made on first use.
    pub(crate) fn print(&self) -> &[u8; 32] {
        let text = self.text.as_bytes();
        self.print.get_or_init(|| crate::kept::print(text))
    }

    /// Takes the SHA-256 digest that was found of this text before, so that it is not made.
    pub(crate) fn set_sha256(&self, digest: [u8; 32]) {
        self.sha256.get_or_init(|| digest);
    }

    /// How the text was written in the bytes that were given.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The offsets at which lines start, made on first use. Lines end as in YAML 1.1, section 4.1.4: by a line feed,
    /// a carriage return, or both.
    #[must_use]
    pub fn line_starts(&self) -> &[u32] {
        &self.lines().starts
    }

    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(self.text.as_bytes()))
    }

    /// Whether a part of the text is not to be shown.
    #[must_use]
    pub fn is_secret(&self, part: Range<u32>) -> bool {
        let next = self
            .secrets
            .partition_point(|secret| secret.end <= part.start);
        let secret = self.secrets.get(next);
        secret.is_some_and(|secret| secret.start < part.end.max(part.start + 1))
    }

    /// The line and column of a byte offset; offsets past the end give the end.
    #[must_use]
    pub fn location(&self, offset: u32) -> Location {
        let line = self.line(offset);
        let start = self.line_starts().get(line as usize - 1).copied();
        let start = start.unwrap_or(0) as usize;
        let before = self.text.get(start..offset as usize).unwrap_or("");
        Location {
            line,
            column: to_u32(before.chars().count() + 1),
        }
    }

    /// The line of a byte offset alone, from 1.
    fn line(&self, offset: u32) -> u32 {
        self.lines().before(offset).max(1)
    }
}

/// Where the lines of a text start.
#[derive(Debug)]
struct Lines {
    starts: Vec<u32>,
    /// By block of the text: how many lines start in front of it. So a line is looked for among those of one block alone.
    by_block: Vec<u32>,
}

/// A block has two to the power of this many bytes.
const BLOCK: u32 = 9;

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        let breaks = memchr::memchr2_iter(b'\n', b'\r', bytes).filter(|at| {
            let both = bytes.get(*at..at + 2);
            both != Some(b"\r\n")
        });
        let starts = std::iter::once(0).chain(breaks.map(|at| to_u32(at + 1)));
        let starts: Vec<u32> = starts.collect();
        let mut by_block = Vec::with_capacity((bytes.len() >> BLOCK) + 1);
        for (start, index) in starts.iter().zip(0..) {
            let block = (start >> BLOCK) as usize;
            by_block.resize(by_block.len().max(block + 1), index);
        }
        Self { starts, by_block }
    }

    /// How many lines start at an offset or in front of it.
    fn before(&self, offset: u32) -> u32 {
        let block = (offset >> BLOCK) as usize;
        let count = to_u32(self.starts.len());
        let [first, end] =
            [block, block + 1].map(|block| self.by_block.get(block).copied().unwrap_or(count));
        let own = self.starts.get(first as usize..end as usize);
        let own = own.map_or(0, |own| own.partition_point(|start| *start <= offset));
        first + to_u32(own)
    }
}

/// The texts of one run, in the order in which they were given.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a file and gives its id.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(to_u32(self.files.len()));
        self.files.push(file);
        id
    }

    /// The file, unless the id is of another run.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// All files with their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (FileId, &SourceFile)> {
        self.files
            .iter()
            .enumerate()
            .map(|(index, file)| (FileId(to_u32(index)), file))
    }

    /// Marks texts that are not to be shown. Places that are given do not overlap.
    pub fn hide(&mut self, secrets: &[Span]) {
        for secret in secrets {
            if let Some(file) = self.files.get_mut(secret.file.0 as usize) {
                file.secrets.push(secret.start..secret.end);
            }
        }
        for file in &mut self.files {
            file.secrets.sort_by_key(|secret| secret.start);
        }
    }

    /// The text of a span; empty where the span is of another run.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file)
            .and_then(|file| file.text.get(span.range()))
            .unwrap_or("")
    }

    /// The name of the span's file and where the span starts.
    #[must_use]
    pub fn location(&self, span: Span) -> (&str, Location) {
        match self.get(span.file) {
            Some(file) => (&file.name, file.location(span.start)),
            None => ("", Location { line: 1, column: 1 }),
        }
    }

    /// The same without the column, which takes longer to find than the line.
    #[must_use]
    pub fn line(&self, span: Span) -> (&str, u32) {
        match self.get(span.file) {
            Some(file) => (&file.name, file.line(span.start)),
            None => ("", 1),
        }
    }
}

/// Offsets and counts of this crate stay below [`MAX_FILE_BYTES`]; larger ones saturate.
pub(crate) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A count.
pub(crate) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// The text of some bytes, or why they are none; then the bytes as well where they were to be UTF-8.
fn decode(bytes: Vec<u8>) -> Result<(String, Encoding), (TextError, Vec<u8>)> {
    let of_utf16 = |error| (error, Vec::new());
    let (text, encoding) = match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => (utf16(rest, u16::from_le_bytes), Encoding::Utf16Le),
        [0xFE, 0xFF, rest @ ..] => (utf16(rest, u16::from_be_bytes), Encoding::Utf16Be),
        _ => {
            let text = String::from_utf8(bytes).map_err(|error| {
                let offset = error.utf8_error().valid_up_to();
                (TextError::NotText { offset }, error.into_bytes())
            })?;
            return Ok((text, Encoding::Utf8));
        }
    };
    Ok((text.map_err(of_utf16)?, encoding))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, TextError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(TextError::NotText {
            offset: bytes.len() + 1,
        });
    }
    let mut text = String::with_capacity(bytes.len());
    for (index, decoded) in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).enumerate() {
        text.push(decoded.map_err(|_| TextError::NotText {
            offset: 2 + 2 * index,
        })?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_characters_not_bytes() {
        let file = SourceFile::new("x", "a: é!\nb".into()).unwrap();
        assert_eq!(file.location(5), Location { line: 1, column: 5 });
        assert_eq!(file.location(7), Location { line: 2, column: 1 });
        assert_eq!(file.location(99), Location { line: 2, column: 1 });
    }

    #[test]
    fn the_line_of_an_offset_is_that_of_the_last_start_in_front_of_it() {
        let blocks = "x".repeat(3 << BLOCK);
        let lines = "\n".repeat(2 << BLOCK);
        for text in [
            "",
            "\n",
            "a\r\nb\r",
            &lines,
            &blocks,
            &format!("{blocks}\ny{lines}{blocks}\n"),
        ] {
            let file = SourceFile::new("x", text.into()).unwrap();
            let starts = file.line_starts();
            for offset in (0..to_u32(text.len()) + 3).chain([u32::MAX]) {
                let expected = starts.partition_point(|start| *start <= offset);
                assert_eq!(file.line(offset), to_u32(expected), "{offset}");
            }
        }
    }

    #[test]
    fn utf16_with_a_mark_is_text_and_other_bytes_are_not() {
        assert_eq!(
            SourceFile::new("x", b"\xFE\xFF\0a".to_vec())
                .unwrap()
                .text(),
            "a"
        );
        assert_eq!(
            SourceFile::new("x", b"\xFF\xFEa\0".to_vec())
                .unwrap()
                .text(),
            "a"
        );
        let error = SourceFile::new("x", b"ab\xC3\x28".to_vec()).unwrap_err();
        assert_eq!(error, TextError::NotText { offset: 2 });
    }
}
