//! The sections of an image, before they stand in a file.

use super::layout::{ENTRIES, ENTRY, HEADER_DIGEST, SUBJECTS, digest};
use crate::lir::number;
use std::io::{self, Write};
use std::sync::Arc;
use verdict_abi::{ABI_VERSION, ENDIAN_MARK, FORMAT_VERSION, MAGIC, PAGE};

/// A section. Images share it where they share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its kind, as in the header.
    pub kind: u32,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Their SHA-256 digest.
    pub digest: [u8; 32],
}

impl Part {
    /// The section that says who the endpoints are.
    pub(crate) fn subjects(bytes: Vec<u8>) -> Self {
        Self::new(SUBJECTS, bytes)
    }

    pub(super) fn new(kind: u32, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            kind,
            digest: digest(&bytes),
            bytes,
        }
    }
}

/// An image as its sections, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    sections: Vec<Part>,
}

impl Parts {
    pub(super) fn of(sections: Vec<Part>) -> Self {
        Self { sections }
    }

    /// Adds a section behind the others.
    pub fn push(&mut self, kind: u32, bytes: Arc<[u8]>) {
        self.sections.push(Part::new(kind, bytes));
    }

    /// The sections.
    #[must_use]
    pub fn sections(&self) -> &[Part] {
        &self.sections
    }

    /// Kind, length and digest of each section.
    fn told(&self) -> impl Iterator<Item = Told> + Clone {
        let sections = self.sections.iter();
        sections.map(|part| (part.kind, part.bytes.len() as u64, part.digest))
    }

    /// How many bytes the file has.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(size_of(self.told())).unwrap_or(usize::MAX)
    }

    /// The first page of the file. Its last bytes are the digest of what is before them, and so of the whole image.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        header_of(self.told())
    }

    /// The digest of the header.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(self.told())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Where `out` takes no more.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.header())?;
        for part in &self.sections {
            out.write_all(&part.bytes)?;
            let padding = part.bytes.len().next_multiple_of(PAGE) - part.bytes.len();
            out.write_all([0; PAGE].get(..padding).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The bytes of the file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.size());
        // A vector takes everything.
        let _ = self.write_to(&mut file);
        file
    }
}

/// Kind, length and digest of a section.
pub(crate) type Told = (u32, u64, [u8; 32]);

/// How many bytes the file of an image of these sections has.
pub(crate) fn size_of(sections: impl Iterator<Item = Told>) -> u64 {
    let padded = sections.map(|(_, length, _)| length.next_multiple_of(PAGE as u64));
    padded.fold(PAGE as u64, u64::saturating_add)
}

/// The digest of the header of an image of these sections.
pub(crate) fn digest_of(sections: impl Iterator<Item = Told> + Clone) -> [u8; 32] {
    let header = header_of(sections);
    let own = header.get(HEADER_DIGEST..).unwrap_or_default();
    own.try_into().unwrap_or_default()
}

fn header_of(sections: impl Iterator<Item = Told> + Clone) -> Vec<u8> {
    let mut header = Vec::with_capacity(PAGE);
    header.extend(MAGIC);
    header.extend(FORMAT_VERSION.to_le_bytes());
    header.extend(ABI_VERSION.to_le_bytes());
    header.extend(ENDIAN_MARK.to_le_bytes());
    header.extend(number(sections.clone().count()).to_le_bytes());
    header.extend(size_of(sections.clone()).to_le_bytes());
    debug_assert_eq!(header.len(), ENTRIES);
    let mut offset = PAGE as u64;
    for (kind, length, digest) in sections {
        let start = header.len();
        header.extend(kind.to_le_bytes());
        header.extend([0; 4]);
        header.extend(offset.to_le_bytes());
        header.extend(length.to_le_bytes());
        header.extend([0; 8]);
        header.extend(digest);
        debug_assert_eq!(header.len() - start, ENTRY);
        offset = offset.saturating_add(length.next_multiple_of(PAGE as u64));
    }
    header.resize(HEADER_DIGEST, 0);
    header.extend(digest(&header));
    header
}
