//! A part of a stream in memory, that moves on.

use std::io::{self, Read};

/// How much is read at once: so little that it stays near, beside what the packets are looked up in.
const STEP_BYTES: usize = 1 << 18;

/// The part, and where in the stream it is.
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; STEP_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
        }
    }

    /// Where the part begins in the stream, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Whether there are that many bytes, after reading on if need be.
    pub(super) fn has(&mut self, wanted: usize) -> io::Result<bool> {
        while self.end - self.start < wanted && !self.ended {
            self.read(wanted)?;
        }
        Ok(self.end - self.start >= wanted)
    }

    fn read(&mut self, wanted: usize) -> io::Result<()> {
        if self.start > 0 && self.buffer.len() - self.start < wanted.max(STEP_BYTES / 2) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.start < wanted {
            self.buffer.resize(self.start + wanted, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        match self.reader.read(room) {
            Ok(0) => self.ended = !room.is_empty(),
            Ok(read) => self.end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Moves on by some bytes of those in memory.
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }
}
