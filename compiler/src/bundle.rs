//! The images of a fleet in content-addressed chunks, with a manifest that names them.
//!
//! Input: the image of each node ([`Packer`]), and what the manifest says beside them ([`Manifest`]). Output: blobs, each
//! named by the SHA-256 of its bytes, and the bytes of the manifest. Back: [`Manifest::read`], [`Record`]s and images
//! ([`image`]). Guarantees: equal input gives equal bytes; what is read is bounded by what the manifest states and by the
//! limits of this module, a blob is what its name says, and an image is what its record says. Where blobs are kept is not
//! known here.
//!
//! The manifest names a record for each node, a record names the chunks that make up the image of the node, directly or by
//! way of a list; lists are blobs as well, so nodes share them as they share chunks.

mod chunk;
mod compare;
mod digest;
mod error;
mod manifest;
mod pack;
mod read;
mod sign;

pub use chunk::{MAX_BLOB, open_blob};
pub use compare::{Change, Changes, Decided, Examples, compare};
pub use digest::Digest;
pub use error::BundleError;
pub use manifest::{
    Blob, Input, Inputs, LimitUsed, List, MAX_MANIFEST, Manifest, Node, Part, Record, SectionRecord,
};
pub use pack::{NotPacked, Packed, Packer, Piece};
pub use read::{Fetch, blobs, blobs_of, image, inputs, record, sections, stored_bytes};
pub use sign::{Signer, Verifier};
