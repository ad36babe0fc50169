//! Packets written as a capture: pcapng with one interface for each link type, time in nanoseconds.
//!
//! Source: <https://datatracker.ietf.org/doc/html/draft-ietf-opsawg-pcapng>.

use super::capture::file::Frame;
use std::io::{self, Write};

/// A capture that is written.
pub struct Denied<'w> {
    writer: &'w mut dyn Write,
    /// The link types of the interfaces so far.
    links: Vec<u16>,
    block: Vec<u8>,
}

impl<'w> Denied<'w> {
    /// Begins a capture.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn new(writer: &'w mut dyn Write) -> io::Result<Self> {
        let mut denied = Self {
            writer,
            links: Vec::new(),
            block: Vec::new(),
        };
        denied.begin(0x0A0D_0D0A);
        denied.put(0x1A2B_3C4D);
        // Version 1.0, and a section whose length is not told.
        denied.block.extend_from_slice(&1_u16.to_le_bytes());
        denied.block.extend_from_slice(&0_u16.to_le_bytes());
        denied.block.extend_from_slice(&(-1_i64).to_le_bytes());
        denied.end()?;
        Ok(denied)
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn finish(self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Writes a packet.
    pub(super) fn write(&mut self, frame: Frame<'_>) -> io::Result<()> {
        let known = self.links.iter().position(|link| *link == frame.link);
        let interface = match known {
            Some(interface) => interface,
            None => self.interface(frame.link)?,
        };
        self.begin(6);
        self.put(crate::source::to_u32(interface));
        self.put((frame.time >> 32) as u32);
        self.put(frame.time as u32);
        self.put(crate::source::to_u32(frame.data.len()));
        self.put(frame.length);
        self.block.extend_from_slice(frame.data);
        self.end()
    }

    fn interface(&mut self, link: u16) -> io::Result<usize> {
        self.begin(1);
        self.block.extend_from_slice(&link.to_le_bytes());
        self.block.extend_from_slice(&[0, 0]);
        self.put(0);
        // The option `if_tsresol`: powers of ten; and the end of the options.
        self.block.extend_from_slice(&[9, 0, 1, 0, 9, 0, 0, 0]);
        self.put(0);
        self.end()?;
        self.links.push(link);
        Ok(self.links.len() - 1)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.put(kind);
        // The length, which is known at the end.
        self.put(0);
    }

    fn put(&mut self, number: u32) {
        self.block.extend_from_slice(&number.to_le_bytes());
    }

    fn end(&mut self) -> io::Result<()> {
        let padded = self.block.len().next_multiple_of(4);
        self.block.resize(padded, 0);
        let length = crate::source::to_u32(padded + 4).to_le_bytes();
        self.block.extend_from_slice(&length);
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&length);
        }
        self.writer.write_all(&self.block)
    }
}
