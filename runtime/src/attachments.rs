//! The map that says which endpoint is behind an interface.

use crate::error::LoadError;
use aya::maps::{Array, MapData, MapError};
use std::borrow::{Borrow, BorrowMut};
use verdict_abi::datapath::{ATTACHMENT_PROBES, ATTACHMENTS, Attachment};

/// The map.
pub(crate) type Attachments<T> = Array<T, [u64; 8]>;

fn failed(error: MapError) -> LoadError {
    LoadError::Map("attachments", error)
}

/// Writes an entry, over that of the same interface where there is one.
pub(crate) fn write<T: BorrowMut<MapData>>(
    entries: &mut Attachments<T>,
    attachment: Attachment,
) -> Result<(), LoadError> {
    let interface = attachment.interface;
    let entry = match place(entries, interface, interface)? {
        Some(entry) => Some(entry),
        None => place(entries, interface, 0)?,
    };
    let entry = entry.ok_or(LoadError::NoRoom(interface))?;
    entries.set(entry, attachment.words(), 0).map_err(failed)
}

/// Removes the entry of an interface.
pub(crate) fn clear<T: BorrowMut<MapData>>(
    entries: &mut Attachments<T>,
    interface: u32,
) -> Result<(), LoadError> {
    match place(entries, interface, interface)? {
        Some(entry) => {
            let free = Attachment::default().words();
            entries.set(entry, free, 0).map_err(failed)
        }
        None => Ok(()),
    }
}

/// The entry, among those of an interface, that says it is of another.
fn place<T: Borrow<MapData>>(
    entries: &Attachments<T>,
    interface: u32,
    of: u32,
) -> Result<Option<u32>, LoadError> {
    for probe in 0..ATTACHMENT_PROBES {
        let entry = interface.wrapping_add(probe) % ATTACHMENTS;
        let words = entries.get(&entry, 0).map_err(failed)?;
        if Attachment::of_words(words).interface == of {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
