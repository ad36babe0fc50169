//! Whether the kernel holds an image: the digest of every table.

use crate::error::LoadError;
use crate::object::map_name;
use crate::{kernel, memory};
use aya::maps::MapData;
use sha2::{Digest as _, Sha256};
use std::borrow::Borrow;
use std::fmt;
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

/// Compares the maps that hold the sections of an image with the digests that it says.
pub(crate) fn attest<M: Borrow<MapData>>(
    image: &Image<'_>,
    map: impl Fn(&'static str) -> Result<M, LoadError>,
) -> Result<Witness, LoadError> {
    let mut witness = Witness::Kernel;
    for (section, (_, length, digest)) in Section::ALL.into_iter().zip(image.sections()) {
        let name = map_name(section);
        let map = map(name)?;
        // A section of no words has a map of one that is 0.
        let expected = if length == 0 {
            Sha256::digest([0_u8; 8]).into()
        } else {
            digest
        };
        let silent = |error| LoadError::Silent(name, error);
        let own = kernel::digest(map.borrow().fd().as_fd()).map_err(silent)?;
        let found = match own {
            Some(found) => found,
            None => {
                witness = Witness::ReadBack;
                let bytes = memory::read(map.borrow(), length.max(8)).map_err(silent)?;
                Sha256::digest(bytes).into()
            }
        };
        if found != expected {
            return Err(LoadError::Differs(name));
        }
    }
    Ok(witness)
}
