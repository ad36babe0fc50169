//! What can be wrong with an image.

use std::fmt;
use verdict_abi::open::WireError;

/// Why bytes are no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They do not begin as an image does.
    NoImage,
    /// It was made for a machine of the other byte order.
    ForeignEndian,
    /// The layout of the file or of the tables is older or newer than what is read.
    Version {
        /// `format` or `ABI`.
        of: &'static str,
        /// The version of the file.
        found: u32,
        /// The version that is read.
        read: u32,
    },
    /// There are fewer or more bytes than the header says.
    Length {
        /// The header's number.
        expected: u64,
        /// The number of bytes.
        found: usize,
    },
    /// Bytes are not what their digest says.
    Digest {
        /// `header`, or the section.
        of: &'static str,
    },
    /// A section is missing, there twice, unknown, or stands where none can.
    Section {
        /// The section.
        of: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A value leads nowhere.
    Value {
        /// The section.
        of: &'static str,
        /// The index of the value.
        index: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A section that is no map cannot be read.
    Wire {
        /// The section.
        of: &'static str,
        /// What is wrong.
        why: WireError,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage => f.write_str("it does not begin as an image does"),
            Self::ForeignEndian => f.write_str("it was made for a machine of the other byte order"),
            Self::Version { of, found, read } if found > read => write!(
                f,
                "its {of} version is {found}, newer than {read}, the one that is read: a newer verdict made it"
            ),
            Self::Version { of, found, read } => write!(
                f,
                "its {of} version is {found}, older than {read}, the one that is read: compile it again"
            ),
            Self::Length { expected, found } => {
                write!(f, "it has {found} bytes, and its header says {expected}")
            }
            Self::Digest { of } => write!(f, "the digest of its {of} does not fit: it is damaged"),
            Self::Section { of, why } => write!(f, "section {of} {why}"),
            Self::Wire { of, why } => write!(f, "section {of} {why}"),
            Self::Value { of, index, why } => write!(f, "value {index} of section {of} {why}"),
        }
    }
}

impl std::error::Error for DecodeError {}
