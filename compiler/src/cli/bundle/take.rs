//! The image of one node out of a bundle, as a node takes it.
//!
//! Input: a bundle in any form, and what is asked of it ([`Terms`]). Output: the bytes of the image ([`Taken`]), put together
//! from chunks that are what their names say. Refused: another key, another fleet, an older generation, a node that it does
//! not have, a chunk that is missing or another. What the manifest says is believed only when its signature was checked, where
//! a key is given.

use super::super::args::Terms;
use super::Bundle;
use super::problem::{self, NotTaken, expired, other_fleet};
use crate::bundle::{Digest, Verifier};
use std::path::Path;

/// The image of a node, and where it is from.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The bytes of the image.
    pub image: Vec<u8>,
    /// The fleet of the bundle.
    pub fleet: Option<Box<str>>,
    /// The generation of the bundle.
    pub generation: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether it is known who signed it.
    pub signed: Signed,
}

/// Whether it is known who signed a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The key that was asked for.
    Checked,
    /// There is a signature that was not looked at, since no key was given.
    NotChecked,
    /// There is none, and none was asked for.
    No,
}

/// Takes the image of a node, as the manifests name it, out of a bundle. Without a key the signature is not looked at.
///
/// # Errors
/// Where it is no bundle, or not the one that was asked for, or the image cannot be put together.
pub fn take(path: &Path, node: &str, terms: &Terms) -> Result<Taken, NotTaken> {
    let key = terms.verify_key.as_deref();
    let key = key.map(|path| problem::key(path, Verifier::read));
    let key = key.transpose()?;
    let bundle = Bundle::find(path)?;
    let refused = |error| NotTaken::refused(path, &error);
    let signed = match (&key, &bundle.signature) {
        (Some(key), signature) => {
            let checked = key.check(&bundle.text, signature.as_deref());
            checked.map_err(refused)?;
            Signed::Checked
        }
        (None, Some(_)) => Signed::NotChecked,
        (None, None) => Signed::No,
    };
    let manifest = &bundle.manifest;
    let asked = terms.fleet.as_deref();
    if let Some(problem) = asked.and_then(|asked| other_fleet(&bundle, asked)) {
        return Err(problem.into());
    }
    if let Some(problem) = terms.at_least.and_then(|least| expired(&bundle, least)) {
        return Err(problem.into());
    }
    let node = manifest.wanted(node).map_err(refused)?;
    Ok(Taken {
        image: bundle.image(node).map_err(refused)?,
        fleet: manifest.fleet.clone(),
        generation: manifest.generation,
        manifest: bundle.digest(),
        signed,
    })
}
