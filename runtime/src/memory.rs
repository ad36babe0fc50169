//! The memory of array maps: filled at once, then frozen.
#![expect(
    unsafe_code,
    reason = "memory that is shared with the kernel, and a system call that aya keeps to itself"
)]

use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// Copies bytes to the beginning of an array map of 64-bit words that was made with `BPF_F_MMAPABLE`.
pub(crate) fn fill(map: &MapData, bytes: &[u8]) -> io::Result<()> {
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

/// `BPF_MAP_FREEZE` of `enum bpf_cmd` (Linux, `include/uapi/linux/bpf.h`).
const MAP_FREEZE: libc::c_int = 22;

/// From now on nobody changes the map from outside the kernel.
pub(crate) fn freeze(map: &MapData) -> io::Result<()> {
    // `union bpf_attr`, of which this command reads the first field and wants the rest to be zero.
    let mut attribute = [0_u32; 32];
    if let Some(first) = attribute.first_mut() {
        *first = map.fd().as_fd().as_raw_fd().cast_unsigned();
    }
    // SAFETY: the kernel reads as many bytes as it is told that there are, and keeps no pointer.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_FREEZE,
            attribute.as_ptr(),
            size_of_val(&attribute),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
