//! Whether the kernel holds an image: the digest of every table.

use crate::error::LoadError;
use crate::object::map_name;
use crate::{kernel, memory};
use aya::maps::MapData;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use verdict_abi::Section;
use verdict_compiler::image::Image;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The kernel: it computed the digests itself, of maps that nobody changes any more.
    Kernel,
    /// The maps were read back, since the kernel computes no digests (it does from Linux 6.18 on).
    ReadBack,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::ReadBack => "read-back",
        })
    }
}

impl Witness {
    /// The best that this kernel has, found out with a map that is frozen.
    pub(crate) fn of_kernel(name: &'static str, map: &MapData) -> Result<Self, LoadError> {
        let found = kernel::digest(map.fd().as_fd());
        Ok(
            match found.map_err(|error| LoadError::Silent(name, error))? {
                Some(_) => Self::Kernel,
                None => Self::ReadBack,
            },
        )
    }

    /// The digest of all of a map.
    fn digest(self, map: &MapData) -> io::Result<[u8; 32]> {
        match self {
            Self::Kernel => {
                let none = || io::Error::other("this kernel computes no digest of it");
                kernel::digest(map.fd().as_fd())?.ok_or_else(none)
            }
            Self::ReadBack => Ok(Sha256::digest(memory::contents(map)?).into()),
        }
    }
}

/// Compares the maps that hold the sections of an image with the digests that it says.
pub(crate) fn attest<'m>(
    image: &Image<'_>,
    witness: Witness,
    map: impl Fn(&'static str) -> Result<&'m MapData, LoadError>,
) -> Result<(), LoadError> {
    for (section, (_, length, digest)) in Section::ALL.into_iter().zip(image.sections()) {
        let name = map_name(section);
        let map = map(name)?;
        // A section of no elements has a map of one, all zeros.
        let expected = if length == 0 {
            Sha256::digest(vec![0_u8; 8 * section.element()]).into()
        } else {
            digest
        };
        let found = witness
            .digest(map)
            .map_err(|error| LoadError::Silent(name, error))?;
        if found != expected {
            return Err(LoadError::Differs(name));
        }
    }
    Ok(())
}
