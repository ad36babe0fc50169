//! The memory of array maps.
#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// Copies bytes to the beginning of an array map of 64-bit words that was made with `BPF_F_MMAPABLE`.
///
/// # Errors
/// Where the map is shorter, or cannot be mapped.
pub fn fill(map: &MapData, bytes: &[u8]) -> io::Result<()> {
    let memory = mapped(map, bytes.len())?;
    // SAFETY: the memory is as long as the bytes, nobody has a reference into it, and it is not the bytes' own.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.as_mut_ptr(), bytes.len());
    }
    Ok(())
}

/// Writes zeros to the beginning of an array map that was made with `BPF_F_MMAPABLE`. A program that runs meanwhile sees
/// each byte before or after.
pub(crate) fn clear(map: &MapData, bytes: usize) -> io::Result<()> {
    let memory = mapped(map, bytes)?;
    // SAFETY: the memory is that long, and nobody has a reference into it.
    unsafe {
        std::ptr::write_bytes(memory.as_mut_ptr(), 0, bytes);
    }
    Ok(())
}

fn mapped(map: &MapData, length: usize) -> io::Result<MmapRaw> {
    MmapOptions::new()
        .len(length)
        .map_raw(map.fd().as_fd().as_raw_fd())
}

/// Reads the beginning of an array map that was made with `BPF_F_MMAPABLE`, frozen or not.
pub(crate) fn read(map: &MapData, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; length];
    if length > 0 {
        let memory = MmapOptions::new()
            .len(length)
            .map_raw_read_only(map.fd().as_fd().as_raw_fd())?;
        // SAFETY: the memory is as long as the bytes, which are no part of it. Where a program writes it meanwhile, each
        // byte is read before or after.
        unsafe {
            std::ptr::copy_nonoverlapping(memory.as_ptr(), bytes.as_mut_ptr(), length);
        }
    }
    Ok(bytes)
}

/// Reads all of an array map that was made with `BPF_F_MMAPABLE`, whose entries are whole words.
pub(crate) fn contents(map: &MapData) -> io::Result<Vec<u8>> {
    let info = map.info().map_err(io::Error::other)?;
    read(
        map,
        info.max_entries() as usize * info.value_size() as usize,
    )
}
