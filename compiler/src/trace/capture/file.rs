//! The packets of a capture file, and its defects.
//!
//! Sources: <https://datatracker.ietf.org/doc/html/draft-ietf-opsawg-pcap> and `...-pcapng`. Reading goes on behind a
//! defect where the format allows: a block of pcapng tells its length, and where that makes no sense the next section
//! header is looked for; a record of pcap with a wrong length hides all that follows. Captures that were written one behind
//! the other are read as one.

mod section;

use super::super::source::{Content, content};
use super::window::Window;
use crate::diagnostic::{Code, Diagnostic, codes};
use pcap_parser::{Block, PcapHeader, nom};
use section::Section;
use std::io::{self, Read};

/// The most bytes that a packet has in a capture (`MAXIMUM_SNAPLEN` of libpcap is 262,144 for nearly all links).
const MAX_PACKET_BYTES: u32 = 1 << 20;

/// The most bytes that a block has.
const MAX_BLOCK_BYTES: u32 = 1 << 24;

/// A packet of a file.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Frame<'a> {
    /// Where in the file its record or block begins, in bytes.
    pub(in super::super) at: u64,
    /// When it was captured: nanoseconds since 1970.
    pub(in super::super) time: u64,
    /// The link type (<https://www.tcpdump.org/linktypes.html>).
    pub(in super::super) link: u16,
    /// The byte order of the machine that captured it.
    pub(in super::super) big_endian: bool,
    /// What was captured of it.
    pub(in super::super) data: &'a [u8],
    /// How long it was on the wire.
    pub(in super::super) length: u32,
}

/// What comes out of a file.
#[derive(Debug)]
pub(in super::super) enum Event<'a> {
    /// A packet.
    Frame(Frame<'a>),
    /// A defect, and the byte at which it stands.
    Defect(u64, Diagnostic),
}

/// What is known of the file so far.
enum Format {
    Pcap(PcapHeader),
    PcapNg(Section),
}

/// Whether the header of a pcap file stands where a packet would: as the time of one it would be of 2055 or 2039, and a
/// certain microsecond.
fn begins_capture(bytes: &[u8]) -> bool {
    let magic = bytes.get(..4).unwrap_or_default();
    let version = bytes.get(4..8).unwrap_or_default();
    content(magic) == Content::Pcap && matches!(version, [2, 0, 4, 0] | [0, 2, 0, 4])
}

/// A capture that is read.
pub(in super::super) struct Capture<R> {
    window: Window<R>,
    content: Content,
    format: Option<Format>,
    /// How much of the window the last event took.
    taken: usize,
    done: bool,
}

/// What a step through the window found, without borrowing it.
enum Step {
    /// A packet in these bytes of the window.
    Frame {
        time: u64,
        link: u16,
        data: (usize, usize),
        length: u32,
    },
    Defect(u64, Diagnostic),
    /// Nothing to tell.
    Nothing,
    End,
}

impl<R: Read> Capture<R> {
    pub(in super::super) fn new(reader: R, content: Content) -> Self {
        Self {
            window: Window::new(reader),
            content,
            format: None,
            taken: 0,
            done: false,
        }
    }

    /// The next packet or defect; `None` at the end.
    ///
    /// # Errors
    /// Where the reader fails.
    pub(in super::super) fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        loop {
            self.window.advance(self.taken);
            self.taken = 0;
            if self.done {
                return Ok(None);
            }
            match self.step()? {
                Step::Nothing => {}
                Step::End => return Ok(None),
                Step::Defect(at, diagnostic) => return Ok(Some(Event::Defect(at, diagnostic))),
                Step::Frame {
                    time,
                    link,
                    data: (start, end),
                    length,
                } => {
                    let big_endian = self.is_big_endian();
                    let at = self.window.offset();
                    let data = self.window.bytes().get(start..end).unwrap_or(&[]);
                    return Ok(Some(Event::Frame(Frame {
                        at,
                        time,
                        link,
                        big_endian,
                        data,
                        length,
                    })));
                }
            }
        }
    }

    fn is_big_endian(&self) -> bool {
        match &self.format {
            Some(Format::Pcap(header)) => header.is_bigendian(),
            Some(Format::PcapNg(section)) => section.big_endian,
            None => false,
        }
    }

    fn step(&mut self) -> io::Result<Step> {
        match (&self.format, self.content) {
            (Some(Format::Pcap(header)), _) => {
                let header = header.clone();
                self.record(&header)
            }
            (None, Content::Pcap) => self.header(),
            (_, Content::PcapNg | Content::Lines | Content::Pcap) => self.block(),
        }
    }

    /// A defect behind which nothing is read.
    fn last(&mut self, code: &'static Code, message: impl Into<String>, help: &str) -> Step {
        self.done = true;
        let diagnostic = Diagnostic::new(code, message).help(help);
        Step::Defect(self.window.offset(), diagnostic)
    }

    fn cut_off(&mut self, what: &str) -> Step {
        let have = self.window.bytes().len();
        self.last(
            &codes::CAPTURE_CUT_OFF,
            format!("the capture ends within {what}, of which it has {have} bytes"),
            "what stands before was read; stop the recorder with SIGINT, so that it writes what it has",
        )
    }

    fn header(&mut self) -> io::Result<Step> {
        self.window.has(PcapHeader::new().size())?;
        Ok(match pcap_parser::parse_pcap_header(self.window.bytes()) {
            Ok((_, header)) => {
                self.taken = header.size();
                self.format = Some(Format::Pcap(header));
                Step::Nothing
            }
            Err(nom::Err::Incomplete(_)) => self.cut_off("its header"),
            Err(_) => self.last(
                &codes::CAPTURE_BROKEN,
                "the header of the capture makes no sense",
                "is it a capture?",
            ),
        })
    }

    fn record(&mut self, header: &PcapHeader) -> io::Result<Step> {
        let size = if header.is_modified_format() { 24 } else { 16 };
        if !self.window.has(size)? {
            return Ok(match self.window.bytes() {
                [] => Step::End,
                _ => self.cut_off("the header of a packet"),
            });
        }
        if begins_capture(self.window.bytes()) {
            return self.header();
        }
        let number = |at| number(self.window.bytes(), at, header.is_bigendian());
        let (seconds, fraction) = (number(0), number(4));
        let (captured, length) = (number(8), number(12));
        if captured > MAX_PACKET_BYTES.max(header.snaplen.min(MAX_BLOCK_BYTES)) {
            return Ok(self.last(
                &codes::CAPTURE_BROKEN,
                format!("a packet of {captured} bytes: nothing has so many, and where the next one begins is not known"),
                "what stands before was read; in pcapng more can be saved (`tcpdump` cannot write it, `dumpcap` does)",
            ));
        }
        let end = size + captured as usize;
        if !self.window.has(end)? {
            return Ok(self.cut_off("a packet"));
        }
        let unit = if header.is_nanosecond_precision() {
            1
        } else {
            1_000
        };
        self.taken = end;
        Ok(Step::Frame {
            time: u64::from(seconds) * SECOND + u64::from(fraction) * unit,
            link: link_type(header.network.0),
            data: (size, end),
            length: length.max(captured),
        })
    }

    fn block(&mut self) -> io::Result<Step> {
        if !self.window.has(12)? {
            return Ok(match self.window.bytes() {
                [] => Step::End,
                _ => self.cut_off("the header of a block"),
            });
        }
        let bytes = self.window.bytes();
        let begins_section = bytes.starts_with(&SECTION);
        let big_endian = if begins_section {
            bytes.get(8..12) == Some(&[0x1A, 0x2B, 0x3C, 0x4D])
        } else {
            self.is_big_endian()
        };
        let length = number(bytes, 4, big_endian);
        if !(12..=MAX_BLOCK_BYTES).contains(&length) || !length.is_multiple_of(4) {
            let message = format!("a block of {length} bytes, which makes no sense");
            return self.search(message);
        }
        if !self.window.has(length as usize)? {
            return Ok(self.cut_off("a block"));
        }
        let bytes = self.window.bytes();
        let end = number(bytes, length as usize - 4, big_endian);
        if end != length {
            let message =
                format!("a block has {length} bytes at its beginning and {end} at its end");
            return self.search(message);
        }
        self.taken = length as usize;
        Ok(self.content(length as usize, big_endian, begins_section))
    }

    /// Looks for the next section behind a block whose length is wrong.
    fn search(&mut self, message: String) -> io::Result<Step> {
        let at = self.window.offset();
        self.window.advance(4);
        loop {
            if !self.window.has(12)? {
                self.done = true;
                break;
            }
            let bytes = self.window.bytes();
            let found = memchr::memmem::find_iter(bytes, &SECTION).find(|at| {
                let magic = bytes.get(at + 8..at + 12);
                magic.is_none_or(|magic| [BYTE_ORDER, BYTE_ORDER_SWAPPED].contains(&magic))
            });
            match found {
                Some(0) => break,
                Some(next) => self.window.advance(next),
                None => self.window.advance(bytes.len() - (SECTION.len() - 1)),
            }
        }
        let help = if self.done {
            "what stands before was read; there is no further section"
        } else {
            "what stands before was read, and it goes on with the next section"
        };
        let diagnostic = Diagnostic::new(&codes::CAPTURE_BROKEN, message).help(help);
        Ok(Step::Defect(at, diagnostic))
    }

    fn content(&mut self, length: usize, big_endian: bool, begins_section: bool) -> Step {
        let bytes = self.window.bytes().get(..length).unwrap_or(&[]);
        let parsed = if big_endian {
            pcap_parser::pcapng::parse_block_be(bytes)
        } else {
            pcap_parser::pcapng::parse_block_le(bytes)
        };
        let block = match parsed {
            Ok((_, block)) => block,
            Err(_) => return self.broken_block(begins_section, big_endian),
        };
        let section = match &mut self.format {
            Some(Format::PcapNg(section)) => section,
            Some(Format::Pcap(_)) | None => {
                let section = Section::new(big_endian);
                self.format = Some(Format::PcapNg(section));
                match &mut self.format {
                    Some(Format::PcapNg(section)) => section,
                    Some(Format::Pcap(_)) | None => return Step::End,
                }
            }
        };
        let at = self.window.offset();
        match block {
            Block::SectionHeader(_) => {
                *section = Section::new(big_endian);
                Step::Nothing
            }
            Block::InterfaceDescription(block) => section.interface(at, &block),
            Block::EnhancedPacket(block) => {
                let ticks = (u64::from(block.ts_high) << 32) | u64::from(block.ts_low);
                let start = 28;
                section.packet(
                    at,
                    length,
                    (block.if_id, ticks),
                    start,
                    (block.caplen, block.origlen),
                )
            }
            Block::SimplePacket(block) => section.simple(length, block.origlen),
            Block::Unknown(block) if block.block_type == OBSOLETE_PACKET => {
                section.obsolete(at, bytes)
            }
            Block::NameResolution(_)
            | Block::InterfaceStatistics(_)
            | Block::SystemdJournalExport(_)
            | Block::DecryptionSecrets(_)
            | Block::ProcessInformation(_)
            | Block::Custom(_)
            | Block::Unknown(_) => Step::Nothing,
        }
    }

    fn broken_block(&mut self, begins_section: bool, big_endian: bool) -> Step {
        if begins_section {
            // What it says of itself is lost, and its packets can be read all the same.
            self.format = Some(Format::PcapNg(Section::new(big_endian)));
        }
        broken(
            self.window.offset(),
            "the content of a block makes no sense",
            "the other blocks were read",
        )
    }
}

const SECOND: u64 = 1_000_000_000;
const SECTION: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
const BYTE_ORDER: &[u8] = &[0x1A, 0x2B, 0x3C, 0x4D];
const BYTE_ORDER_SWAPPED: &[u8] = &[0x4D, 0x3C, 0x2B, 0x1A];

/// The block of packets before there was the enhanced one.
const OBSOLETE_PACKET: u32 = 2;

fn broken(at: u64, message: impl Into<String>, help: &str) -> Step {
    let diagnostic = Diagnostic::new(&codes::CAPTURE_BROKEN, message).help(help);
    Step::Defect(at, diagnostic)
}

/// The link type without what may stand above it: how long the check sequence of frames is.
fn link_type(network: i32) -> u16 {
    u16::try_from(network & 0xFFFF).unwrap_or(u16::MAX)
}

fn number(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    let convert = if big_endian {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    bytes.map_or(0, convert)
}
