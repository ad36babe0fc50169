//! A trace as a stream of plain bytes.
//!
//! Input: the bytes of a file, which may be packed by gzip (also in several members) or zstd (also in several frames).
//! Output: what is in it, and what it is by its content. Guarantee: memory does not grow with the stream; where the packed
//! stream is damaged, what stands before the damage comes out, and [`Source::damage`] says at which byte of the file it
//! is. The entry is [`Source::open`].

use super::zstd::Zstd;
use crate::diagnostic::{Diagnostic, codes};
use crate::packed::Packed;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

/// What a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// One JSON object a line.
    Lines,
    /// A capture of the older format.
    Pcap,
    /// A capture of the newer format.
    PcapNg,
}

/// How many bytes tell what a stream is.
const MAGIC_BYTES: usize = 4;

/// How much is unpacked at once.
const BUFFER_BYTES: usize = 1 << 18;

/// What is known of the file under a stream.
#[derive(Debug, Default)]
struct Under {
    read: Cell<u64>,
    failed: Cell<bool>,
}

/// The file, counted.
struct Counted<R> {
    inner: R,
    under: Rc<Under>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        match &read {
            Ok(count) => self.under.read.set(self.under.read.get() + *count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.under.failed.set(true),
        }
        read
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let read = self.inner.fill_buf();
        if let Err(error) = &read {
            let again = error.kind() == io::ErrorKind::Interrupted;
            self.under.failed.set(self.under.failed.get() || !again);
        }
        read
    }

    fn consume(&mut self, count: usize) {
        self.under.read.set(self.under.read.get() + count as u64);
        self.inner.consume(count);
    }
}

/// A stream of plain bytes.
pub(super) struct Source<'r> {
    inner: Box<dyn BufRead + 'r>,
    under: Rc<Under>,
    packed: Option<Packed>,
    damage: Option<Diagnostic>,
}

impl<'r> Source<'r> {
    /// Looks at the beginning of a stream, and unpacks it if it is packed.
    ///
    /// # Errors
    /// Where the reader fails.
    pub(super) fn open(reader: impl BufRead + 'r) -> io::Result<(Self, Content)> {
        let under = Rc::new(Under::default());
        let counted = Counted {
            inner: reader,
            under: Rc::clone(&under),
        };
        let (magic, file) = peek(counted)?;
        // What is packed otherwise is no trace that is read.
        let packed = Packed::of(&magic);
        let packed = packed.filter(|packed| matches!(packed, Packed::Gzip | Packed::Zstd));
        let inner: Box<dyn BufRead + 'r> = match packed {
            Some(Packed::Gzip) => unpacked(MultiGzDecoder::new(file)),
            Some(Packed::Zstd) => unpacked(Zstd::new(file)),
            Some(Packed::Xz | Packed::Bzip2) | None => Box::new(file),
        };
        let mut source = Self {
            inner,
            under,
            packed,
            damage: None,
        };
        if packed.is_none() {
            return Ok((source, content(&magic)));
        }
        let (magic, plain) = {
            let mut magic = Vec::new();
            let limit = MAGIC_BYTES as u64;
            source.by_ref().take(limit).read_to_end(&mut magic)?;
            let plain = Box::new(Cursor::new(magic.clone()).chain(source.inner));
            (magic, plain)
        };
        let source = Self {
            inner: plain,
            ..source
        };
        Ok((source, content(&magic)))
    }

    /// Reads on to the end of a packed stream of which no more is wanted: where it is damaged is known behind it.
    ///
    /// # Errors
    /// Where the reader fails.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.packed {
            Some(_) => io::copy(self, &mut io::sink()).map(drop),
            None => Ok(()),
        }
    }

    /// Where the packed stream is damaged, if it is; to be asked at its end.
    pub(super) fn damage(&mut self) -> Option<Diagnostic> {
        self.damage.take()
    }

    /// The end of the stream, where it is damaged; the error, where the file cannot be read.
    fn end_at(&mut self, error: io::Error) -> io::Result<()> {
        let Some(packed) = self.packed.filter(|_| !self.under.failed.get()) else {
            return Err(error);
        };
        if error.kind() == io::ErrorKind::Interrupted {
            return Err(error);
        }
        let what = if error.kind() == io::ErrorKind::UnexpectedEof {
            "ends before it is complete".to_owned()
        } else {
            format!("is damaged ({error})")
        };
        let at = self.under.read.get();
        let packed = packed.name();
        let message = format!("what {packed} packed {what}, near byte {at} of the file");
        self.damage.get_or_insert_with(|| {
            Diagnostic::new(&codes::CAPTURE_DAMAGED, message)
                .help("what stands before was read; copy the file again, or pack it again")
        });
        self.inner = Box::new(io::empty());
        Ok(())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => Ok(read),
            Err(error) => self.end_at(error).map(|()| 0),
        }
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.inner.fill_buf() {
            self.end_at(error)?;
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

fn unpacked<'r>(reader: impl Read + 'r) -> Box<dyn BufRead + 'r> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

/// The first bytes of a stream, and the whole of it.
fn peek<'r>(mut reader: impl BufRead + 'r) -> io::Result<(Vec<u8>, impl BufRead + 'r)> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    let limit = MAGIC_BYTES as u64;
    reader.by_ref().take(limit).read_to_end(&mut magic)?;
    Ok((magic.clone(), Cursor::new(magic).chain(reader)))
}

/// What a stream is that begins with these bytes.
pub(super) fn content(magic: &[u8]) -> Content {
    let first = <[u8; MAGIC_BYTES]>::try_from(magic).map_or(0, u32::from_le_bytes);
    match first {
        // Microseconds, nanoseconds, and the longer record headers of an old patch; either byte order.
        0xA1B2_C3D4 | 0xD4C3_B2A1 | 0xA1B2_3C4D | 0x4D3C_B2A1 | 0xA1B2_CD34 | 0x34CD_B2A1 => {
            Content::Pcap
        }
        0x0A0D_0D0A => Content::PcapNg,
        _ => Content::Lines,
    }
}
