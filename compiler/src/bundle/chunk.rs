//! Where the sections of an image are cut, and how a piece becomes a blob.
//!
//! Sections that are small stand together in one chunk with those next to them; one that is large is cut where its content
//! says (FastCDC), so that a change moves no cut but those near it; what is between is a chunk of its own, and so is the section that
//! says who the endpoints are: it changes where nothing else of a node does. A blob is a
//! Zstandard frame: the name is the digest of the stored bytes.

use super::{Blob, BundleError, Digest, SectionRecord};
use fastcdc::v2020::FastCDC;
use std::cell::RefCell;
use std::io;
use zstd::bulk::Compressor;

/// The most bytes of a blob, stored or not.
pub const MAX_BLOB: u64 = 1 << 26;
/// Sections below this size stand together.
const SMALL: usize = 16 << 10;
/// Sections from this size on are cut.
const LARGE: usize = 192 << 10;
/// The least, usual and most bytes of a piece of a large section.
const PIECES: [u32; 3] = [8 << 10, 32 << 10, 128 << 10];
/// How hard the compressor tries.
const LEVEL: i32 = 3;

/// A run of sections that are chunked together: their indices, and whether it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) sections: std::ops::Range<usize>,
    pub(super) is_cut: bool,
}

/// How sections are put together.
pub(super) fn groups(sections: &[SectionRecord]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut room = 0;
    for (index, section) in sections.iter().enumerate() {
        let size = section.size();
        let joins = size < SMALL && size <= room && !section.is_subjects();
        match groups.last_mut() {
            Some(last) if joins => {
                last.sections.end = index + 1;
                room -= size;
            }
            Some(_) | None => {
                groups.push(Group {
                    sections: index..index + 1,
                    is_cut: size >= LARGE,
                });
                room = SMALL.saturating_sub(size);
            }
        }
    }
    groups
}

/// The pieces of a large section.
pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let [min, average, max] = PIECES;
    FastCDC::new(bytes, min, average, max).map(|piece| {
        let piece = bytes.get(piece.offset..piece.offset + piece.length);
        piece.unwrap_or_default()
    })
}

thread_local! {
    /// The compressor of this thread: making one costs as much as a small chunk.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// The Zstandard frame of some bytes.
fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|known| {
        let compressor = match known {
            Some(compressor) => compressor,
            None => known.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(plain)
    })
}

/// Some bytes as a blob, and how it is named.
pub(super) fn seal(plain: &[u8]) -> Result<(Blob, Vec<u8>), BundleError> {
    let stored = compress(plain).map_err(|error| BundleError::malformed("a chunk", error))?;
    let blob = Blob {
        sha256: Digest::of(&stored),
        bytes: stored.len() as u64,
        plain: plain.len() as u64,
    };
    Ok((blob, stored))
}

/// The bytes of a blob, as they were before they were stored.
///
/// # Errors
/// Where the stored bytes are not those that the name says, or more come out than are stated.
pub fn open_blob(blob: &Blob, stored: &[u8]) -> Result<Vec<u8>, BundleError> {
    blob.check()?;
    if !blob.is_stored(stored) {
        return Err(BundleError::Damaged(blob.sha256));
    }
    let room = usize::try_from(blob.plain).unwrap_or(usize::MAX);
    let plain = zstd::bulk::decompress(stored, room).map_err(|_| {
        BundleError::malformed(
            format!("chunk {}", blob.sha256),
            "it does not unpack to what is stated",
        )
    })?;
    if plain.len() as u64 == blob.plain {
        return Ok(plain);
    }
    Err(BundleError::malformed(
        format!("chunk {}", blob.sha256),
        "it does not unpack to what is stated",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sections_stand_together_and_large_ones_are_cut() {
        let sizes = [100, 20_000, 200, 10_000, 9_000, 300_000, 5, 7];
        let kinds = [1, 2, 3, 4, 5, 6, 7, crate::image::SUBJECTS];
        let sections = kinds.into_iter().zip(sizes);
        let sections = sections.map(|(kind, bytes)| SectionRecord {
            kind,
            bytes,
            sha256: Digest::of(b""),
        });
        let sections: Vec<SectionRecord> = sections.collect();
        let found: Vec<_> = groups(&sections)
            .into_iter()
            .map(|group| (group.sections, group.is_cut))
            .collect();
        let expected = [
            (0..1, false),
            (1..2, false),
            (2..4, false),
            (4..5, false),
            (5..6, true),
            (6..7, false),
            (7..8, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_change_moves_few_cuts() {
        let mut state = 1_u32;
        let mut bytes: Vec<u8> = (0..1_000_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let before: Vec<Digest> = pieces(&bytes).map(Digest::of).collect();
        bytes.splice(500_000..500_000, [1, 2, 3]);
        let after: Vec<Digest> = pieces(&bytes).map(Digest::of).collect();
        assert_eq!(pieces(&bytes).map(<[u8]>::len).sum::<usize>(), bytes.len());
        let new = after.iter().filter(|piece| !before.contains(piece)).count();
        assert!(new <= 3 && before.len() > 15, "{new} of {}", before.len());
    }

    #[test]
    fn a_blob_is_opened_to_what_was_sealed_and_nothing_else() {
        let plain = vec![7; 100_000];
        let (blob, stored) = seal(&plain).unwrap();
        assert_eq!(open_blob(&blob, &stored), Ok(plain));
        let mut damaged = stored.clone();
        damaged[3] ^= 1;
        assert_eq!(
            open_blob(&blob, &damaged),
            Err(BundleError::Damaged(blob.sha256))
        );
        for plain in [0, 99_999, 100_001, MAX_BLOB] {
            assert!(
                open_blob(&Blob { plain, ..blob }, &stored).is_err(),
                "{plain}"
            );
        }
        let giant = Blob {
            plain: u64::MAX,
            ..blob
        };
        assert!(matches!(
            open_blob(&giant, &stored),
            Err(BundleError::TooLarge { .. })
        ));
    }
}
