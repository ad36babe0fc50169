//! Bundles of random worlds, in memory.

use crate::generate::World;
use std::collections::BTreeMap;
use std::sync::Mutex;
use verdict_compiler::bundle::{
    self, Blob, BundleError, Digest, Inputs, Manifest, Node, Packed, Packer, Record, Shared, Stored,
};
use verdict_compiler::compile::Compiler;
use verdict_compiler::image::{Limits, Part};
use verdict_compiler::ir;

/// A bundle, and the images that it was made of.
#[derive(Clone, Debug)]
pub struct Bundled {
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The stored bytes of each blob.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// By node.
    pub images: Vec<Vec<u8>>,
}

/// Bundles the images of all nodes of a world, in their order or backwards.
///
/// # Panics
/// Where a world has no images.
#[must_use]
pub fn of(world: &World, seed: u64, backwards: bool) -> Bundled {
    of_common(world, seed, backwards, common(world, seed))
}

/// The sections that all images of a world share.
#[must_use]
pub fn common(world: &World, seed: u64) -> Vec<Part> {
    let loaded = world.load_for(seed);
    let sources = world.sources();
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program).shared()
}

/// As [`of`], with other sections taken for those that all images share.
///
/// # Panics
/// Where a world has no images.
#[must_use]
pub fn of_common(world: &World, seed: u64, backwards: bool, common: Vec<Part>) -> Bundled {
    let loaded = world.load_for(seed);
    let sources = world.sources();
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
    let blobs: Mutex<BTreeMap<Digest, Vec<u8>>> = Mutex::default();
    let packer = Packer::new(
        common,
        |blob: &Blob, bytes: &[u8]| -> Result<(), BundleError> {
            blobs
                .lock()
                .expect("a map")
                .insert(blob.sha256, bytes.to_vec());
            Ok(())
        },
    );
    let mut nodes: Vec<_> = compiler.lowering().nodes().iter().collect();
    if backwards {
        nodes.reverse();
    }
    let mut packed = Vec::new();
    let mut images = BTreeMap::new();
    for (node, pods) in nodes {
        let name = node.and_then(|node| loaded.cluster.node(node));
        let name = name.map(|node| &*node.name);
        let made = compiler.node(*node, pods).expect("an image");
        let one = packer.add(name, made.endpoints, &made.image);
        packed.push(one.expect("a packed image"));
        images.insert(name.map(str::to_owned), made.image.write());
    }
    let inputs = packer.inputs(&Inputs::default()).expect("inputs");
    let shared = packer.shared(&Shared::default(), Stored::NOTHING);
    let program = Digest::new(compiler.compiled().digest);
    let mut manifest = Manifest::new(program, inputs, shared.expect("shared sections"));
    Packed::list(packed, Limits::default(), &mut manifest);
    drop(packer);
    let images = manifest.nodes.iter().map(|node| {
        let name = node.name.as_deref().map(str::to_owned);
        images.remove(&name).expect("an image")
    });
    Bundled {
        images: images.collect(),
        manifest: manifest.write(),
        blobs: blobs.into_inner().expect("a map"),
    }
}

impl Bundled {
    /// What the manifest says.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&self) -> Result<Manifest, BundleError> {
        Manifest::read(&self.manifest)
    }

    /// The image of a node.
    ///
    /// # Errors
    /// Where it cannot be put together.
    pub fn image(&self, manifest: &Manifest, node: &Node) -> Result<Vec<u8>, BundleError> {
        let fetch = |blob: &Blob| {
            let found = self.blobs.get(&blob.sha256);
            found.cloned().ok_or(BundleError::Missing(blob.sha256))
        };
        bundle::image(&fetch, manifest, node)
    }

    /// All records.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, BundleError> {
        let manifest = self.read()?;
        let fetch = |blob: &Blob| {
            let found = self.blobs.get(&blob.sha256);
            found.cloned().ok_or(BundleError::Missing(blob.sha256))
        };
        let nodes = manifest.nodes.iter();
        nodes
            .map(|node| bundle::record(&fetch, &manifest, node))
            .collect()
    }

    /// All images, as far as they can be read.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn all(&self) -> Result<Vec<Vec<u8>>, BundleError> {
        let manifest = self.read()?;
        let nodes = manifest.nodes.iter();
        nodes.map(|node| self.image(&manifest, node)).collect()
    }
}
