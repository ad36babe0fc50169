//! What can go wrong between an image and the kernel.

use aya::programs::ProgramError;
use std::fmt;
use std::io;
use verdict_compiler::cli::reason;

/// Why a generation was not loaded. Nothing of it is left in the kernel then.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel refuses a map, or the object.
    Object(aya::EbpfError),
    /// A map cannot be read or written.
    Map(&'static str, aya::maps::MapError),
    /// A map cannot be filled.
    Fill(&'static str, io::Error),
    /// A map cannot be pinned.
    Pin(&'static str, aya::pin::PinError),
    /// The verifier refuses a program, or it cannot be attached.
    Program(&'static str, ProgramError),
    /// The object lacks something: it and this program are of two versions.
    Missing(&'static str),
    /// There are more interfaces with near indices than the map of attachments has room for.
    NoRoom(u32),
    /// A map holds something else than the image.
    Differs(&'static str),
    /// A map does not tell what it holds.
    Silent(&'static str, io::Error),
    /// A number of connections that is no power of two, or too small.
    Connections(u32),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => write!(f, "the kernel does not take the programs: {error}"),
            Self::Map(name, error) => write!(f, "map `{name}`: {error}"),
            Self::Fill(name, error) => {
                write!(f, "map `{name}` cannot be filled: {}", reason(error))
            }
            Self::Pin(name, error) => write!(f, "map `{name}` cannot be pinned: {error}"),
            Self::Program(
                name,
                ProgramError::LoadError {
                    io_error,
                    verifier_log,
                },
            ) => {
                let why = reason(io_error);
                write!(f, "program `{name}` is refused: {why}")?;
                match verifier_log.to_string().trim() {
                    "" => Ok(()),
                    log => write!(f, "\n{log}"),
                }
            }
            Self::Program(name, error) => write!(f, "program `{name}`: {error}"),
            Self::Missing(name) => write!(f, "the object has no `{name}`"),
            Self::NoRoom(interface) => write!(f, "no room for interface {interface}"),
            Self::Differs(name) => write!(f, "map `{name}` holds something else than the image"),
            Self::Silent(name, error) => {
                write!(f, "map `{name}` cannot be asked: {}", reason(error))
            }
            Self::Connections(given) => {
                write!(f, "{given} connections are no power of two from 8 on")
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Object(error) => Some(error),
            Self::Map(_, error) => Some(error),
            Self::Fill(_, error) | Self::Silent(_, error) => Some(error),
            Self::Pin(_, error) => Some(error),
            Self::Program(_, ProgramError::LoadError { io_error, .. }) => Some(io_error),
            Self::Program(_, error) => Some(error),
            Self::Missing(_) | Self::NoRoom(_) | Self::Differs(_) | Self::Connections(_) => None,
        }
    }
}
