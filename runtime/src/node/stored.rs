//! The image of a generation, as it is kept in the kernel.
//!
//! The tables of an image are the maps that programs look into. The rest of the file, among it which rule stands in which
//! line, is kept in one more map, `image`, so that the file can be put together again, byte for byte, and checked.

use super::Problems;
use super::problem::{pins, problem};
use crate::object::map_name;
use crate::{kernel, memory};
use aya::maps::{Array, MapData, MapError};
use aya::pin::PinError;
use sha2::{Digest as _, Sha256};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use verdict_abi::Section;
use verdict_compiler::diagnostic::codes;
use verdict_compiler::image::Image;

/// The name of the pin.
const NAME: &str = "image";
/// The first word. Its last byte is the version of what stands behind it.
const MAGIC: u64 = u64::from_le_bytes(*b"verdict\x02");
// Other tables are another layout: it wants another version.
const _: () = assert!(Section::ALL.len() == 15);
/// Words before the rest of the file: magic, length, digest, place and length of each table.
const HEAD: usize = 2 + 4 + 2 * Section::ALL.len();
/// `BPF_F_MMAPABLE` of Linux.
const MMAPABLE: u32 = 1 << 10;
/// A file is no longer than this: as the decoder has it, each section is at most half a gibibyte.
const LONGEST: u64 = 1 << 34;

/// Where a table stands in the file, and how long it is.
type Place = (usize, usize);

/// Keeps the rest of an image.
pub(super) fn keep(folder: &Path, bytes: &[u8], image: &Image<'_>) -> io::Result<()> {
    let places = Section::ALL.map(|section| place(bytes, image.section(section)));
    let mut kept: Vec<u8> = Vec::new();
    let words = [MAGIC, bytes.len() as u64];
    kept.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    kept.extend(Sha256::digest(bytes));
    for (offset, length) in places {
        kept.extend((offset as u64).to_le_bytes());
        kept.extend((length as u64).to_le_bytes());
    }
    for range in gaps(places, bytes.len()) {
        kept.extend(bytes.get(range).unwrap_or_default());
    }
    kept.resize(kept.len().next_multiple_of(8), 0);
    let entries = u32::try_from(kept.len() / 8).map_err(io::Error::other)?;
    let pin = folder.join(NAME);
    let map = Array::<MapData, u64>::create(entries, MMAPABLE).map_err(of_map)?;
    map.pin(&pin).map_err(of_pin)?;
    let map = MapData::from_pin(&pin).map_err(of_map)?;
    memory::fill(&map, &kept)?;
    kernel::freeze(map.fd().as_fd())
}

/// Why an image cannot be put together again.
#[derive(Debug)]
pub(super) enum NotRead {
    /// A pin cannot be read, or is of another kind.
    Pin(io::Error),
    /// The maps hold something else than what was loaded.
    Other,
    /// It was kept by a verdict that keeps images in another way.
    Version,
}

impl From<io::Error> for NotRead {
    fn from(error: io::Error) -> Self {
        Self::Pin(error)
    }
}

impl NotRead {
    /// What is said of it.
    pub(super) fn of(self, folder: &Path) -> Problems {
        match self {
            Self::Pin(error) => pins(folder, "read", &error),
            Self::Other => problem(
                &codes::NOT_ATTESTED,
                format!(
                    "the maps in `{}` hold something else than the image that was loaded",
                    folder.display()
                ),
                "load the image again: what is pinned there was changed, or the memory of this machine is not to be trusted",
            ),
            Self::Version => problem(
                &codes::PINS_UNUSABLE,
                format!(
                    "`{}` was loaded by another verdict, which kept its image in another way",
                    folder.display()
                ),
                "load an image of this verdict; what was loaded enforces until then",
            ),
        }
    }
}

/// Puts an image together again.
pub(super) fn read(folder: &Path) -> Result<Vec<u8>, NotRead> {
    let kept = contents(folder, NAME)?;
    let word = |index: usize| -> io::Result<u64> {
        let bytes = kept.get(index * 8..index * 8 + 8);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(u64::from_le_bytes(bytes.ok_or_else(damaged)?))
    };
    let number = |index| usize::try_from(word(index)?).map_err(io::Error::other);
    // The version stands in the highest byte.
    let magic = word(0)?;
    if magic != MAGIC && magic << 8 == MAGIC << 8 {
        return Err(NotRead::Version);
    }
    if magic != MAGIC || word(1)? > LONGEST {
        return Err(damaged().into());
    }
    let length = number(1)?;
    let mut places = [(0, 0); Section::ALL.len()];
    for (place, index) in places.iter_mut().zip((6..).step_by(2)) {
        *place = (number(index)?, number(index + 1)?);
    }
    let mut file = vec![0; length];
    for (section, (offset, length)) in Section::ALL.into_iter().zip(places) {
        let table = contents(folder, map_name(section))?;
        let table = table.get(..length).ok_or_else(damaged)?;
        put(&mut file, offset, table)?;
    }
    let mut rest = kept.get(HEAD * 8..).ok_or_else(damaged)?;
    for range in gaps(places, length) {
        let (part, more) = rest.split_at_checked(range.len()).ok_or_else(damaged)?;
        put(&mut file, range.start, part)?;
        rest = more;
    }
    let digest = kept.get(16..48).ok_or_else(damaged)?;
    if *Sha256::digest(&file) != *digest {
        return Err(NotRead::Other);
    }
    Ok(file)
}

fn put(file: &mut [u8], offset: usize, part: &[u8]) -> io::Result<()> {
    let end = offset.checked_add(part.len()).ok_or_else(damaged)?;
    let place = file.get_mut(offset..end).ok_or_else(damaged)?;
    place.copy_from_slice(part);
    Ok(())
}

fn place(file: &[u8], section: &[u8]) -> Place {
    let offset = section.as_ptr().addr().wrapping_sub(file.as_ptr().addr());
    // A section of nothing may stand nowhere.
    if section.is_empty() {
        (0, 0)
    } else {
        (offset, section.len())
    }
}

/// What of a file is no table.
fn gaps(places: [Place; Section::ALL.len()], length: usize) -> Vec<std::ops::Range<usize>> {
    let mut places = places;
    places.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = 0;
    for (offset, table) in places {
        if offset > next {
            gaps.push(next..offset);
        }
        next = next.max(offset.saturating_add(table));
    }
    if length > next {
        gaps.push(next..length);
    }
    gaps
}

fn contents(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let map = MapData::from_pin(folder.join(name)).map_err(of_map)?;
    memory::contents(&map)
}

fn of_map(error: MapError) -> io::Error {
    if let MapError::CreateError { io_error, .. } = error {
        return io_error;
    }
    if let MapError::SyscallError(error) = error {
        return error.io_error;
    }
    io::Error::other(error)
}

fn of_pin(error: PinError) -> io::Error {
    if let PinError::SyscallError(error) = error {
        return error.io_error;
    }
    io::Error::other(error)
}

fn damaged() -> io::Error {
    io::Error::other("its pins are not those of one image")
}
