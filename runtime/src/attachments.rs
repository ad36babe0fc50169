//! The map that says which endpoint is behind an interface.
//!
//! Programs read it while it is written. An entry is seen whole or not at all: what is in it is written while it names no
//! interface, and an entry that is to change is taken away before, so that its interface is closed meanwhile.

use crate::error::LoadError;
use crate::{kernel, memory};
use aya::maps::{Array, Map, MapData, MapError};
use std::borrow::{Borrow, BorrowMut};
use std::path::Path;
use verdict_abi::datapath::{ATTACHMENT_PROBES, ATTACHMENTS, Attachment};

/// The name of the map.
pub(crate) const NAME: &str = "attachments";

/// The map.
pub(crate) type Attachments<T> = Array<T, [u64; 8]>;

fn failed(error: MapError) -> LoadError {
    LoadError::Map(NAME, error)
}

/// Whether programs may run that look into the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// They may.
    Running,
    /// None is attached yet.
    Idle,
}

impl Programs {
    fn wait(self) {
        match self {
            Self::Running => kernel::wait_for_programs(),
            Self::Idle => {}
        }
    }
}

/// Writes entries, over those of the same interfaces where there are any.
pub(crate) fn write<T: BorrowMut<MapData>>(
    entries: &mut Attachments<T>,
    attachments: &[Attachment],
    programs: Programs,
) -> Result<(), LoadError> {
    let mut changed = Vec::new();
    let mut stale = Vec::new();
    for attachment in attachments {
        let interface = attachment.interface;
        match probe(entries, interface, |_, own| own == interface)? {
            Some((_, old)) if old == *attachment => {}
            found => {
                stale.extend(found);
                changed.push(*attachment);
            }
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    for (index, old) in &stale {
        set(entries, *index, unnamed(*old))?;
    }
    if !stale.is_empty() {
        programs.wait();
    }
    let mut places: Vec<(u32, Attachment)> = Vec::new();
    for attachment in changed {
        let interface = attachment.interface;
        let is_ours = |index| places.iter().any(|(other, _)| *other == index);
        let free = probe(entries, interface, |index, own| own == 0 && !is_ours(index))?;
        let (index, _) = free.ok_or(LoadError::NoRoom(interface))?;
        set(entries, index, unnamed(attachment))?;
        places.push((index, attachment));
    }
    programs.wait();
    for (index, attachment) in places {
        set(entries, index, attachment)?;
    }
    Ok(())
}

/// The interfaces that have an entry in the map of a generation that is pinned in a folder.
pub(crate) fn interfaces(folder: &Path) -> Result<Vec<u32>, LoadError> {
    let map = MapData::from_pin(folder.join(NAME)).map_err(failed)?;
    let taken = taken(&map)?;
    Ok(taken.iter().map(|(_, entry)| entry.interface).collect())
}

/// Takes away the entries of all interfaces but some, in the map of a generation that is pinned in a folder.
pub(crate) fn retain(folder: &Path, kept: impl Fn(u32) -> bool) -> Result<(), LoadError> {
    let map = MapData::from_pin(folder.join(NAME)).map_err(failed)?;
    let mut stale = taken(&map)?;
    stale.retain(|(_, entry)| !kept(entry.interface));
    if stale.is_empty() {
        return Ok(());
    }
    let map = Map::from_map_data(map).map_err(failed)?;
    let mut entries = Attachments::try_from(map).map_err(failed)?;
    for (index, entry) in stale {
        set(&mut entries, index, unnamed(entry))?;
    }
    Ok(())
}

/// The entries that are taken.
fn taken(map: &MapData) -> Result<Vec<(u32, Attachment)>, LoadError> {
    let bytes = memory::contents(map).map_err(|error| LoadError::Silent(NAME, error))?;
    let (words, _) = bytes.as_chunks::<8>();
    let (entries, _) = words.as_chunks::<8>();
    let read = entries
        .iter()
        .map(|entry| Attachment::of_words(entry.map(u64::from_ne_bytes)));
    let taken = (0..).zip(read).filter(|(_, entry)| entry.interface != 0);
    Ok(taken.collect())
}

/// The same, of no interface. Of what stands in the map one word alone is another.
fn unnamed(entry: Attachment) -> Attachment {
    Attachment {
        interface: 0,
        ..entry
    }
}

fn set<T: BorrowMut<MapData>>(
    entries: &mut Attachments<T>,
    index: u32,
    entry: Attachment,
) -> Result<(), LoadError> {
    entries.set(index, entry.words(), 0).map_err(failed)
}

/// The first place of those for an interface that fits: its index, and what stands there.
fn probe<T: Borrow<MapData>>(
    entries: &Attachments<T>,
    interface: u32,
    fits: impl Fn(u32, u32) -> bool,
) -> Result<Option<(u32, Attachment)>, LoadError> {
    for probe in 0..ATTACHMENT_PROBES {
        let index = interface.wrapping_add(probe) % ATTACHMENTS;
        let entry = Attachment::of_words(entries.get(&index, 0).map_err(failed)?);
        if fits(index, entry.interface) {
            return Ok(Some((index, entry)));
        }
    }
    Ok(None)
}
