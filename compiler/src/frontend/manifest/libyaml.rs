//! The events of libyaml, behind a safe face: the only `unsafe` code of this crate.
//!
//! Input: one text. Output: its events, one at a time, with byte offsets into the text. Guarantee: an event
//! borrows from its [`Events`] and cannot outlive it; the text may hold any characters. Refused: nothing
//! here but a text between two events of more than [`MAX_UNBROKEN_BYTES`], of which libyaml would make copies first;
//! what libyaml refuses comes out as a [`Problem`]. Behind a text that does not end with a line break one is added,
//! as kubectl's line reader does.

#![expect(unsafe_code, reason = "libyaml-rs keeps the C library's interface")]

use super::build::MAX_TEXT_BYTES;
use libyaml_rs::{
    YAML_ALIAS_EVENT, YAML_BLOCK_MAPPING_STYLE, YAML_BLOCK_SEQUENCE_STYLE, YAML_DOCUMENT_END_EVENT,
    YAML_DOCUMENT_START_EVENT, YAML_MAPPING_END_EVENT, YAML_MAPPING_START_EVENT,
    YAML_PLAIN_SCALAR_STYLE, YAML_SCALAR_EVENT, YAML_SCANNER_ERROR, YAML_SEQUENCE_END_EVENT,
    YAML_SEQUENCE_START_EVENT, YAML_STREAM_START_EVENT, YAML_UTF8_ENCODING, yaml_event_delete,
    yaml_event_t, yaml_mark_t, yaml_parser_delete, yaml_parser_initialize, yaml_parser_parse,
    yaml_parser_set_encoding, yaml_parser_set_input, yaml_parser_t,
};
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// How much text there may be between two events, comment lines and blank ones not counted: a scalar of the longest
/// that is read, in the longest way to write it, ten bytes for one (`\U00000041`).
const MAX_UNBROKEN_BYTES: usize = 10 * MAX_TEXT_BYTES;

/// What libyaml sees next, and where: byte offsets into the text.
pub(super) struct Event<'e> {
    pub(super) what: What<'e>,
    pub(super) range: Range<usize>,
}

/// The kinds of events.
pub(super) enum What<'e> {
    StreamStart,
    DocumentStart {
        /// The numbers of a `%YAML` directive.
        version: Option<(i32, i32)>,
    },
    DocumentEnd,
    /// The end of the stream.
    End,
    Alias(&'e str),
    Scalar(ScalarEvent<'e>),
    SequenceStart {
        anchor: Option<&'e str>,
        block: bool,
    },
    SequenceEnd,
    MappingStart {
        anchor: Option<&'e str>,
        block: bool,
    },
    MappingEnd,
}

/// A scalar as it stands in the text, unescaped and folded.
pub(super) struct ScalarEvent<'e> {
    pub(super) anchor: Option<&'e str>,
    pub(super) tag: Option<&'e str>,
    pub(super) value: &'e [u8],
    /// Written without quotes and not as a block.
    pub(super) plain: bool,
    /// The reader may find the type from the text.
    pub(super) implicit: bool,
}

/// Why there is no next event.
pub(super) enum Failure {
    /// libyaml refuses the text.
    Refused(Problem),
    /// There is more text than may be without an event.
    TooLong,
}

/// Why libyaml refuses a text.
pub(super) struct Problem {
    /// libyaml's words.
    pub(super) text: &'static str,
    /// What it was doing: `while parsing a block mapping`; may be empty.
    pub(super) context: &'static str,
    /// Where, as an offset into the text.
    pub(super) at: usize,
    /// The line that go-yaml reports, 1-based within the text, if it reports one.
    pub(super) line: Option<usize>,
}

/// The text and how much of it has been handed out.
struct Input {
    text: *const u8,
    length: usize,
    next: usize,
    line_break_due: bool,
    unbroken: Unbroken,
}

/// What was handed out since the last event.
struct Unbroken {
    bytes: usize,
    line: Line,
}

/// What is known of the line up to here.
#[derive(Clone, Copy)]
enum Line {
    Blank,
    Comment,
    Content,
}

impl Unbroken {
    /// Counts the bytes of lines that are neither blank nor comments.
    fn add(&mut self, mut text: &[u8]) {
        while let Some(first) = text.first() {
            let (line, length) = match (self.line, first) {
                (_, b'\n') => (Line::Blank, 1),
                (Line::Blank, b' ') => (Line::Blank, 1),
                (Line::Blank, b'#') | (Line::Comment, _) => (Line::Comment, rest_of_line(text)),
                (Line::Blank | Line::Content, _) => (Line::Content, rest_of_line(text)),
            };
            self.line = line;
            if let Line::Content = line {
                self.bytes += length;
            }
            text = text.get(length..).unwrap_or(&[]);
        }
    }
}

fn rest_of_line(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).unwrap_or(text.len())
}

/// The events of one text.
pub(super) struct Events<'t> {
    parser: Box<MaybeUninit<yaml_parser_t>>,
    /// The event that was given last. Deleting an event clears it, and a cleared one may be deleted again.
    event: MaybeUninit<yaml_event_t>,
    /// Owned by `parser` as its read handler's argument; freed on drop.
    input: *mut Input,
    length: usize,
    text: PhantomData<&'t str>,
}

impl<'t> Events<'t> {
    /// The events of a text.
    pub(super) fn new(text: &'t str) -> Self {
        let input = Box::into_raw(Box::new(Input {
            text: text.as_ptr(),
            length: text.len(),
            next: 0,
            line_break_due: !text.ends_with('\n'),
            unbroken: Unbroken {
                bytes: 0,
                line: Line::Blank,
            },
        }));
        let mut parser = Box::new(MaybeUninit::<yaml_parser_t>::uninit());
        // SAFETY: `parser` points to memory for one parser, which initialising fills without reading; it
        // cannot fail but by running out of memory, which aborts. `input` stays valid until drop, the text
        // that it points to for 't.
        unsafe {
            let _ok = yaml_parser_initialize(parser.as_mut_ptr());
            yaml_parser_set_encoding(parser.as_mut_ptr(), YAML_UTF8_ENCODING);
            yaml_parser_set_input(parser.as_mut_ptr(), read, input.cast());
        }
        Self {
            parser,
            event: MaybeUninit::zeroed(),
            input,
            length: text.len(),
            text: PhantomData,
        }
    }

    /// The next event. Behind the end and behind a problem there is no more.
    pub(super) fn next(&mut self) -> Result<Event<'_>, Failure> {
        // SAFETY: the parser was initialised in `new`. The event is all zeroes or was filled by the parser,
        // and is cleared before it is filled again; what is borrowed from it cannot be used beyond that,
        // because it borrows `self`. The parser fills the event even where it fails (with zeroes). `input` is valid
        // until drop, and used by the parser only while that parses.
        let event = unsafe {
            yaml_event_delete(self.event.as_mut_ptr());
            (*self.input).unbroken.bytes = 0;
            if yaml_parser_parse(self.parser.as_mut_ptr(), self.event.as_mut_ptr()).fail {
                return Err(if (*self.input).unbroken.bytes > MAX_UNBROKEN_BYTES {
                    Failure::TooLong
                } else {
                    Failure::Refused(self.problem())
                });
            }
            self.event.assume_init_ref()
        };
        Ok(Event {
            range: self.offset(event.start_mark)..self.offset(event.end_mark),
            what: what(event),
        })
    }

    fn offset(&self, mark: yaml_mark_t) -> usize {
        usize::try_from(mark.index).map_or(self.length, |index| index.min(self.length))
    }

    fn problem(&self) -> Problem {
        // SAFETY: the parser was initialised in `new`; its error fields are plain data, the two texts null
        // or constants of the library that end with a zero.
        let (parser, text, context) = unsafe {
            let parser = self.parser.assume_init_ref();
            (parser, constant(parser.problem), constant(parser.context))
        };
        let known = |line| usize::try_from(line).ok().filter(|line| *line != 0);
        let scanner = parser.error == YAML_SCANNER_ERROR;
        let line = known(parser.problem_mark.line)
            .map(|line| line + usize::from(scanner))
            .or_else(|| known(parser.context_mark.line));
        let read = usize::try_from(parser.problem_offset).unwrap_or(0);
        Problem {
            text,
            context,
            at: self.offset(parser.problem_mark).max(read.min(self.length)),
            line,
        }
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: both were initialised in `new` and are not used again; `input` came from `Box::into_raw`
        // and the parser, which alone uses it, is gone.
        unsafe {
            yaml_event_delete(self.event.as_mut_ptr());
            yaml_parser_delete(self.parser.as_mut_ptr());
            drop(Box::from_raw(self.input));
        }
    }
}

/// Hands out the next bytes of the text, then the line break that is due; fails where there was too much without an
/// event.
///
/// # Safety
/// `data` is the [`Input`] of [`Events::new`], `buffer` has room for `size` bytes, `read` may be written.
unsafe fn read(data: *mut c_void, buffer: *mut u8, size: u64, read: *mut u64) -> i32 {
    let room = usize::try_from(size).unwrap_or(usize::MAX);
    // SAFETY: as the caller guarantees; at most `room` bytes are written, and `next` never exceeds `length`,
    // so that the source stays within the text.
    unsafe {
        let input = &mut *data.cast::<Input>();
        let mut count = room.min(input.length - input.next);
        let source = input.text.add(input.next);
        input
            .unbroken
            .add(std::slice::from_raw_parts(source, count));
        if input.unbroken.bytes > MAX_UNBROKEN_BYTES {
            return 0;
        }
        std::ptr::copy_nonoverlapping(source, buffer, count);
        input.next += count;
        if input.next == input.length && input.line_break_due && count < room {
            buffer.add(count).write(b'\n');
            count += 1;
            input.line_break_due = false;
        }
        read.write(count as u64);
    }
    1
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add kinds of events"
)]
fn what(event: &yaml_event_t) -> What<'_> {
    // SAFETY: the type says which member of the union is filled; its texts are null or end with a zero, a
    // scalar's value has the length that stands beside it, and all live as long as the event.
    unsafe {
        let data = &event.data;
        match event.type_ {
            YAML_STREAM_START_EVENT => What::StreamStart,
            YAML_DOCUMENT_START_EVENT => What::DocumentStart {
                version: data
                    .document_start
                    .version_directive
                    .as_ref()
                    .map(|version| (version.major, version.minor)),
            },
            YAML_DOCUMENT_END_EVENT => What::DocumentEnd,
            YAML_ALIAS_EVENT => What::Alias(name(data.alias.anchor).unwrap_or("")),
            YAML_SCALAR_EVENT => What::Scalar(ScalarEvent {
                anchor: name(data.scalar.anchor),
                tag: name(data.scalar.tag),
                value: if data.scalar.value.is_null() {
                    &[]
                } else {
                    let length = usize::try_from(data.scalar.length).unwrap_or(0);
                    std::slice::from_raw_parts(data.scalar.value, length)
                },
                plain: data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
                implicit: data.scalar.plain_implicit,
            }),
            YAML_SEQUENCE_START_EVENT => What::SequenceStart {
                anchor: name(data.sequence_start.anchor),
                block: data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE,
            },
            YAML_SEQUENCE_END_EVENT => What::SequenceEnd,
            YAML_MAPPING_START_EVENT => What::MappingStart {
                anchor: name(data.mapping_start.anchor),
                block: data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE,
            },
            YAML_MAPPING_END_EVENT => What::MappingEnd,
            _ => What::End,
        }
    }
}

/// A name (anchor or tag) of an event.
///
/// # Safety
/// `text` is null or ends with a zero and lives for `'e`.
unsafe fn name<'e>(text: *const u8) -> Option<&'e str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as the caller guarantees.
    let bytes = unsafe { CStr::from_ptr(text.cast::<c_char>()) };
    Some(bytes.to_str().unwrap_or("?"))
}

/// A message of the library.
///
/// # Safety
/// `text` is null or a constant that ends with a zero.
unsafe fn constant(text: *const i8) -> &'static str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as the caller guarantees.
    let bytes = unsafe { CStr::from_ptr(text.cast::<c_char>()) };
    bytes.to_str().unwrap_or("")
}
