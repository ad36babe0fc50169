//! System calls that aya keeps to itself.
#![expect(unsafe_code, reason = "system calls, and structures of the kernel")]

use rustix::net::{AddressFamily, SocketType};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// `enum bpf_cmd` (Linux, `include/uapi/linux/bpf.h`).
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const MAP_FREEZE: libc::c_int = 22;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` of the commands here: as many words as the longest of them reads.
type Attribute = [u32; 4];

fn bpf(command: libc::c_int, attribute: &Attribute) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads as many bytes as it is told that there are, and keeps no pointer.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attribute.as_ptr(),
            size_of_val(attribute),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(libc::c_int::try_from(done).unwrap_or_default())
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Opens what is pinned: a map, a program or a link.
pub(crate) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let [low, high] = halves(path.as_ptr() as u64);
    let fd = bpf(OBJ_GET, &[low, high, 0, 0])?;
    // SAFETY: the kernel made it now, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The kernel's number of a program.
pub(crate) fn program(program: BorrowedFd<'_>) -> io::Result<u32> {
    // `struct bpf_prog_info`: the type and the number.
    let mut found = [0_u32; 2];
    info(program, &mut found)?;
    let [_, id] = found;
    Ok(id)
}

/// From now on nobody changes the map from outside the kernel.
pub(crate) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    bpf(MAP_FREEZE, &[number(map), 0, 0, 0]).map(drop)
}

/// Replaces the program of a link in one step.
pub(crate) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_UPDATE, &[number(link), number(program), 0, 0]).map(drop)
}

/// Takes a link from where it is attached, at once: without it that happens some time after its last pin is gone.
pub(crate) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(LINK_DETACH, &[number(link), 0, 0, 0]).map(drop)
}

/// `struct bpf_map_info`, up to what kernels know of digests.
#[repr(C)]
struct MapInfo {
    before: [u64; 11],
    hash: u64,
    hash_size: u32,
    unused: u32,
}

/// `struct bpf_link_info`, up to what is asked here.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    unused: u32,
    place: u64,
    rest: [u64; 5],
}

fn info<T>(fd: BorrowedFd<'_>, into: &mut T) -> io::Result<()> {
    let address = std::ptr::from_mut(into) as u64;
    let [low, high] = halves(address);
    let length = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    // The kernel writes as many bytes as it is told that there are, all of which are the caller's.
    bpf(OBJ_GET_INFO_BY_FD, &[number(fd), length, low, high]).map(drop)
}

/// A 64-bit field as the two words that stand in memory.
fn halves(field: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = field.to_ne_bytes();
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    ]
}

/// The kernel's own SHA-256 of the contents of an array map that is frozen. `None` where this kernel computes none: that
/// is so before Linux 6.18.
pub(crate) fn digest(map: BorrowedFd<'_>) -> io::Result<Option<[u8; 32]>> {
    let mut digest = [0_u8; 32];
    let mut asked = MapInfo {
        before: [0; 11],
        hash: digest.as_mut_ptr() as u64,
        hash_size: 32,
        unused: 0,
    };
    match info(map, &mut asked) {
        Ok(()) => Ok(Some(digest)),
        // An older kernel finds bytes behind the end of what it knows, a newer one may have no digest for the type.
        Err(error) if matches!(error.raw_os_error(), Some(libc::E2BIG | libc::EINVAL)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until every program that is running now has ended: what is written before is seen by all that begin later.
pub(crate) fn wait_for_programs() {
    /// `MEMBARRIER_CMD_GLOBAL` (Linux, `include/uapi/linux/membarrier.h`): waits for all readers by RCU, as which
    /// programs run.
    const GLOBAL: libc::c_int = 1;
    // SAFETY: it takes two numbers more, and no memory.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if done < 0 {
        // A kernel that leaves processors without its clock (`nohz_full`) refuses. A program runs for microseconds.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The kernel's number of this network namespace, which no other has before the machine starts anew.
pub(crate) fn network_namespace() -> io::Result<u64> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut number = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or_default();
    // SAFETY: the kernel writes at most as many bytes as it is told that there are.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            std::ptr::from_mut(&mut number).cast(),
            &raw mut length,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(number)
    }
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// The kernel's number of the program.
    pub(crate) program: u32,
    /// Where it is attached: the index of an interface or the number of a cgroup; `None` where that is gone.
    pub(crate) place: Option<u64>,
}

/// `BPF_LINK_TYPE_TCX`: of the place only the first half is the index of the interface.
const LINK_TCX: u32 = 11;

/// What a link is.
pub(crate) fn link(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut found = RawLinkInfo::default();
    info(link, &mut found)?;
    let place = if found.kind == LINK_TCX {
        let [first, ..] = halves(found.place);
        first.into()
    } else {
        found.place
    };
    Ok(LinkInfo {
        program: found.program,
        place: (place != 0).then_some(place),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_the_kernel_has_them() {
        assert_eq!(std::mem::offset_of!(MapInfo, hash), 88);
        assert_eq!(std::mem::offset_of!(MapInfo, hash_size), 96);
        assert_eq!(std::mem::offset_of!(RawLinkInfo, place), 16);
    }
}
