//! What can be wrong with a bundle.

use super::Digest;
use crate::image::DecodeError;
use std::fmt;

/// Why a bundle is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// The manifest, a record or a list is not what it should be.
    Malformed {
        /// Of what.
        of: Box<str>,
        /// What is wrong.
        why: Box<str>,
    },
    /// It was made by a verdict that lays bundles out otherwise.
    Version {
        /// The version of the bundle.
        found: u32,
        /// The version that is read.
        read: u32,
    },
    /// An older generation of it is not the one that its name says: the file that was changed.
    OldGeneration(Box<str>),
    /// Something is larger than anything of its kind can be.
    TooLarge {
        /// What.
        of: Box<str>,
        /// How many bytes it has, or says that it has.
        given: u64,
        /// How many there may be.
        most: u64,
    },
    /// A blob is not there.
    Missing(Digest),
    /// The bytes of a blob are not those that its name says.
    Damaged(Digest),
    /// A blob cannot be fetched.
    Unreadable(Digest, Box<str>),
    /// Two nodes have one name.
    TwoNodes(Box<str>),
    /// It has no image for a node.
    NoNode {
        /// The node.
        node: Box<str>,
        /// The nodes that may have been meant, or those that there are, in words.
        known: Box<str>,
    },
    /// The record of a node, with what all images share, is of another image than the manifest names.
    OtherRecord(Box<str>),
    /// The chunks of a node make up another image than its record says.
    OtherImage(Box<str>),
    /// The chunks that all images share make up something else than the manifest says.
    OtherShared,
    /// What the chunks of a node make up is no image.
    NoImage(Box<str>, DecodeError),
    /// There is no signature, and one was wanted.
    Unsigned,
    /// The signature is not one of the key over this manifest.
    WrongKey,
    /// A key cannot be read.
    Key(Box<str>),
}

impl BundleError {
    pub(super) fn malformed(of: impl Into<Box<str>>, why: impl fmt::Display) -> Self {
        Self::Malformed {
            of: of.into(),
            why: why.to_string().into(),
        }
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { of, why } => write!(f, "{of} cannot be read: {why}"),
            Self::Version { found, read } if found > read => write!(
                f,
                "its version is {found}, newer than {read}, the one that is read: a newer verdict made it"
            ),
            Self::Version { found, read } => write!(
                f,
                "its version is {found}, older than {read}, the one that is read: compile it again"
            ),
            Self::TooLarge { of, given, most } => {
                write!(
                    f,
                    "{of} has {given} bytes, more than the {most} that it may have"
                )
            }
            Self::OldGeneration(file) => write!(
                f,
                "its older generation `{file}` was changed after it was written"
            ),
            Self::Missing(digest) => write!(f, "chunk {digest} is missing"),
            Self::Damaged(digest) => {
                write!(
                    f,
                    "what stands in the place of chunk {digest} is something else"
                )
            }
            Self::Unreadable(digest, why) => write!(f, "chunk {digest} cannot be read: {why}"),
            Self::TwoNodes(name) => write!(f, "it has two nodes named `{name}`"),
            Self::NoNode { node, known } => write!(f, "it has no node `{node}`; {known}"),
            Self::OtherRecord(node) => write!(
                f,
                "the record of node `{node}` and what all images share are of another image than the manifest names"
            ),
            Self::OtherShared => f.write_str(
                "the chunks that all images share make up something else than the manifest says",
            ),
            Self::OtherImage(node) => {
                write!(
                    f,
                    "the chunks of node `{node}` make up another image than its record says"
                )
            }
            Self::NoImage(node, why) => {
                write!(f, "the chunks of node `{node}` make up no image: {why}")
            }
            Self::Unsigned => f.write_str("it is not signed"),
            Self::WrongKey => {
                f.write_str("its signature is not one of this key over this manifest")
            }
            Self::Key(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for BundleError {}
