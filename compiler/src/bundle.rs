//! The images of a fleet in content-addressed chunks, with a manifest that names them.
//!
//! Input: the image of each node ([`Packer`]), and what the manifest says beside them ([`Manifest`]). Output: blobs, each
//! named by the SHA-256 of its bytes, and the bytes of the manifest. Back: [`Manifest::read`], [`Record`]s and images
//! ([`image`]). Guarantees: equal input gives equal bytes; what is read is bounded by what the manifest states and by the
//! limits of this module, a blob is what its name says, and an image is what its record says. Where blobs are kept is not
//! known here.
//!
//! The manifest names what all images share, and for each node its image and a record; a record names what is the node's own, so
//! that it stays as it is where what is shared alone changes. Both name the chunks, directly or by way of a list; lists are blobs
//! as well, so nodes share them as they share chunks.

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
    Blob, Input, Inputs, LimitUsed, List, MAX_MANIFEST, Manifest, Node, Part, Record,
    SectionRecord, Shared, UNASSIGNED,
};
pub use pack::{NotPacked, Packed, Packer, Stored, Used};
pub use read::{
    Fetch, Section, blobs, blobs_of, image, inputs, own_sections, record, stored_bytes,
};
pub use sign::{Signer, Verifier};
