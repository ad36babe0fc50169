//! The images of a session, one by one, for whoever takes them.

use super::super::args::Global;
use super::super::bundle::{refused, say};
use super::super::progress::Progress;
use super::super::session::Session;
use super::super::{Failure, explain, output};
use super::cache::Cache;
use super::{problem, refuse_nobody, refuse_shared_addresses};
use crate::bundle::{Blob, Digest, Input, Inputs, NotPacked, Packed, Packer, Shared, Stored};
use crate::cluster::{NodeId, PodId};
use crate::compile::{
    Artifact, CompileError, Compiler, GroundFile, Kept, KeptImages, NotRestored, ProvedCommon,
    Together, Written,
};
use crate::image::Limits;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::path::Path;

/// Takes the image of a node. It is called from several threads.
pub(in crate::cli) type Take<'t, T> = dyn Fn(Image<'_>) -> Result<T, Failure> + Sync + 't;

/// Takes a blob. It is called from several threads.
pub(in crate::cli) type Sink<'s> = dyn Fn(&Blob, &[u8]) -> Result<(), Failure> + Sync + 's;

/// Whether a blob is there, and whole, where blobs go. It is called from several threads.
pub(in crate::cli) type Has<'h> = dyn Fn(&Blob) -> bool + Sync + 'h;

/// The image of a node.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Image<'i> {
    pub(in crate::cli) node: Option<&'i str>,
    /// Its bytes, where they are wanted or were made.
    pub(in crate::cli) artifact: Option<&'i Artifact>,
    /// What it became, where there is a sink or a cache.
    pub(in crate::cli) packed: Option<&'i Packed>,
    /// How many decisions were compared with the definition.
    pub(in crate::cli) compared: u64,
}

impl Image<'_> {
    /// The digest of the header.
    pub(in crate::cli) fn digest(&self) -> Digest {
        let made = self.artifact.map(|made| Digest::new(made.image.digest()));
        let made = made.or_else(|| Some(self.packed?.node.image));
        // It is one or the other.
        made.unwrap_or(Digest::new([0; 32]))
    }

    /// How many bytes the file has.
    pub(in crate::cli) fn size(&self) -> u64 {
        let made = self.artifact.map(|made| made.image.size() as u64);
        made.or_else(|| Some(self.packed?.bytes))
            .unwrap_or_default()
    }

    /// How many endpoints it has.
    pub(in crate::cli) fn endpoints(&self) -> usize {
        let made = self.artifact.map(|made| made.endpoints);
        made.or_else(|| Some(self.packed?.record.endpoints as usize))
            .unwrap_or_default()
    }
}

/// How images are made.
#[derive(Clone, Copy, Default)]
pub(in crate::cli) struct How<'c> {
    /// Where the blobs of images go; none where images are not packed.
    pub(in crate::cli) sink: Option<&'c Sink<'c>>,
    /// Tells which blobs are there already.
    pub(in crate::cli) has: Option<&'c Has<'c>>,
    /// Whether the bytes of all images are wanted, those that were kept among them.
    pub(in crate::cli) whole: bool,
    /// The passes run for each node by itself, so that the sizes after each are known; else once for all, as far as they do
    /// not depend on the node.
    pub(in crate::cli) by_node: bool,
    /// Where images are kept that were proved before.
    pub(in crate::cli) cache: Option<&'c Cache>,
}

/// What was made of all images.
pub(in crate::cli) struct Made<T> {
    /// By node.
    pub(in crate::cli) nodes: Vec<T>,
    /// What the images are compiled from, packed, where there is a sink.
    pub(in crate::cli) inputs: Option<Blob>,
    /// What all images share, packed, where there is a sink or a cache.
    pub(in crate::cli) shared: Shared,
    /// The digest of what was compiled, free of any node.
    pub(in crate::cli) program: Digest,
    /// How large an image may be.
    pub(in crate::cli) limits: Limits,
    pub(in crate::cli) taken: Taken,
}

/// What was taken from a cache.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Taken {
    /// Images.
    pub(in crate::cli) images: usize,
    /// Tables, by kind of endpoint and direction.
    pub(in crate::cli) tables: usize,
}

/// Says what must be said of the inputs before images are made of them, and first what `can` says.
///
/// # Errors
/// Where no image can be made, or it would lack something.
pub(in crate::cli) fn ready(
    global: &Global,
    session: &Session,
    can: fn(&Session, &Global) -> Result<(), Failure>,
) -> Result<(), Failure> {
    can(session, global)?;
    let incomplete = session.incomplete();
    if !incomplete.is_empty() && !global.keep_going {
        output::remark(&format!(
            "no image: it would lack {} (`--keep-going` compiles without, and the image says so)\n",
            incomplete.join("; ")
        ));
        return Err(Failure::Input);
    }
    refuse_shared_addresses(global, session)?;
    refuse_nobody(global, session)?;
    session.remark_incomplete();
    Ok(())
}

/// Makes the images of some nodes (of all where none are asked for), proves each and has it taken.
///
/// # Errors
/// Where one cannot be made or is not taken.
pub(in crate::cli) fn each<T: Send>(
    global: &Global,
    session: &Session,
    asked: &[Option<NodeId>],
    how: How<'_>,
    take: &Take<'_, T>,
) -> Result<Made<T>, Failure> {
    let loaded = &session.loaded;
    let preparing = Progress::start(global, "preparing");
    // Where what tells this verdict from others is not known nothing is kept, and nothing taken.
    let cache = how.cache.and_then(|cache| Some((cache, cache.build()?)));
    let compiler = prepared(session, cache);
    let left_out = session.incomplete();
    let left_out = left_out.iter().map(|text| text.as_str().into());
    // As with the session, and what it is made of.
    let compiler = ManuallyDrop::new(compiler.incomplete(left_out.collect()));
    let nodes = compiler.lowering().nodes().iter();
    let wanted: Vec<_> = nodes
        .filter(|(node, _)| asked.is_empty() || asked.contains(node))
        .cloned()
        .collect();
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| loaded.cluster.node(node));
        node.map(|node| &*node.name)
    };
    let put = |blob: &Blob, bytes: &[u8]| {
        if let Some(cache) = how.cache {
            cache.put(blob, bytes);
        }
        how.sink.map_or(Ok(()), |sink| sink(blob, bytes))
    };
    let packer = Packer::new(compiler.shared(), put);
    let is_packed = how.cache.is_some() || how.sink.is_some();
    let known = cache.map(|(cache, build)| {
        rayon::join(
            || {
                (
                    cache,
                    compiler.fingerprints(build),
                    build,
                    cache.images(build),
                )
            },
            // Where the sections that images share are wrong each image is made, by which it is found out and told.
            || compiler.prove_common().ok(),
        )
    });
    let (known, proved) = known.unzip();
    let proved = proved.flatten();
    let (kept, tables) = match &known {
        Some((cache, prints, _, images)) => {
            let keeping = Keeping {
                compiler: &compiler,
                packer: &packer,
                cache,
                images,
                has: how.has,
                whole: how.whole,
            };
            let prints_of: Vec<[u8; 32]> = wanted
                .par_iter()
                .map(|(node, pods)| compiler.fingerprint(prints, *node, pods))
                .collect();
            let mut found = wanted.iter().zip(&prints_of);
            let is_found = |((node, _), print): (&(Option<NodeId>, _), _)| {
                images.find(name(*node), print).is_some()
            };
            // Where an image is not there, tables are to be: they are read while other images are taken.
            let is_any_missing = !found.all(is_found);
            let (kept, tables) = rayon::join(
                || keeping.all(&prints_of, proved.as_ref(), &wanted, &name),
                || (is_any_missing && !how.by_node).then(|| cache.tables(&compiler, prints)),
            );
            (kept?, tables)
        }
        None => (wanted.iter().map(|_| (None, None)).collect(), None),
    };
    let missing = wanted
        .iter()
        .zip(&kept)
        .filter(|(_, (_, kept))| kept.is_none());
    let missing: Vec<_> = missing.map(|(group, _)| group).cloned().collect();
    let library = (!how.by_node && !missing.is_empty())
        .then(|| {
            let read = || {
                let (cache, prints, ..) = known.as_ref()?;
                cache.tables(&compiler, prints)
            };
            let tables = tables.unwrap_or_else(read);
            compiler.library_with(tables, missing.iter())
        })
        .flatten();
    let from_cache = Taken {
        images: wanted.len() - missing.len(),
        tables: library.as_ref().map_or(0, Together::taken),
    };
    drop(preparing);
    let progress = Progress::of(global, "compiling", wanted.len());
    let make = |node: Option<NodeId>, pods: &[PodId], fingerprint: Option<[u8; 32]>| {
        let artifact = compiler.node_by(library.as_ref(), node, pods);
        let artifact = artifact.map_err(NotMade::Compile)?;
        let packed = is_packed.then(|| packer.add(name(node), artifact.endpoints, &artifact.image));
        let packed = packed.transpose().map_err(NotMade::Packed)?;
        let compared = artifact.compared;
        if let Some(((cache, fingerprint), packed)) =
            how.cache.zip(fingerprint).zip(packed.as_ref())
        {
            let packed = packed.clone();
            cache.keep(fingerprint, Kept { compared, packed });
        }
        Ok(Restored {
            artifact: Some(artifact),
            packed,
            compared,
        })
    };
    let results: Vec<Result<T, NotMade>> = wanted
        .par_iter()
        .zip(kept)
        .map(|((node, pods), (fingerprint, kept))| {
            let made = kept.map_or_else(|| make(*node, pods, fingerprint), Ok);
            let taken = made.and_then(|made| {
                let image = Image {
                    node: name(*node),
                    artifact: made.artifact.as_ref(),
                    packed: made.packed.as_ref(),
                    compared: made.compared,
                };
                take(image).map_err(NotMade::Taken)
            });
            progress.count();
            taken
        })
        .collect();
    drop(progress);
    let mut taken = Vec::new();
    let mut problems = Vec::new();
    for (result, (node, _)) in results.into_iter().zip(&wanted) {
        match result {
            Ok(image) => taken.push(image),
            Err(NotMade::Compile(error)) => {
                let name = name(*node).map(str::to_owned);
                problems.push(problem(&loaded.policies, name, &error));
            }
            Err(NotMade::Taken(failure)) => return Err(failure),
            Err(NotMade::Packed(error)) => return Err(not_packed(global, error)),
        }
    }
    if !problems.is_empty() {
        explain::say(global, session, &problems);
        return Err(Failure::Input);
    }
    let (prints, images) = known
        .map(|(cache, prints, build, images)| (prints, (cache, build, images)))
        .unzip();
    let keep_tables = || {
        if let Some((cache, file)) = how.cache.zip(compiler.keep_ground()) {
            cache.keep_ground(&file);
        }
        let tables = prints.as_ref().zip(library.as_ref());
        let tables = tables.and_then(|(prints, made)| compiler.keep_tables(prints, made));
        if let Some((cache, tables)) = how.cache.zip(tables) {
            cache.keep_tables(&tables);
        }
    };
    let keep_images = || {
        let shared = match &images {
            _ if !is_packed => Ok(Shared::default()),
            Some((cache, _, images)) => {
                let again = |stored: Stored<'_>| packer.shared(&images.shared, stored);
                stored(cache, how.has, again)
            }
            None => packer.shared(&Shared::default(), Stored::NOTHING),
        };
        let shared = shared?;
        if let Some((cache, build, images)) = images {
            let nodes = || wanted.iter().map(|(node, _)| name(*node)).collect();
            let nodes: Option<BTreeSet<_>> = asked.is_empty().then(nodes);
            cache.keep_images(build, images, shared.clone(), nodes.as_ref());
        }
        if let Some(cache) = how.cache.filter(|_| asked.is_empty()) {
            cache.sweep();
        }
        let inputs = how.sink.map(|_| packer.inputs(&inputs(session)));
        Ok((shared, inputs.transpose()?))
    };
    let (kept, ()) = rayon::join(keep_images, keep_tables);
    let (shared, inputs) = kept.map_err(|error| not_packed(global, error))?;
    Ok(Made {
        nodes: taken,
        inputs,
        shared,
        program: Digest::new(compiler.compiled().digest),
        limits: compiler.limits(),
        taken: from_cache,
    })
}

/// A compiler, upon what a cache has of another compile.
fn prepared<'s>(session: &'s Session, cache: Option<(&Cache, &[u8])>) -> Compiler<'s> {
    let loaded = &session.loaded;
    let (written, (program, file)) = rayon::join(
        || Written::of(&loaded.cluster, &loaded.policies, &session.sources),
        || {
            let kept = || cache.and_then(|(cache, _)| cache.ground());
            rayon::join(|| session.program(), kept)
        },
    );
    let build = cache.map(|(_, build)| build);
    let (compiler, found) = Compiler::upon(written, program, build, file);
    if let Some((cache, _)) = cache.filter(|_| found == GroundFile::Unusable) {
        cache.refuse();
    }
    compiler
}

/// An image that is there.
struct Restored {
    artifact: Option<Artifact>,
    packed: Option<Packed>,
    compared: u64,
}

/// By node: the fingerprint of its proof where there is a cache, and its image where that has it.
type KeptNode = (Option<[u8; 32]>, Option<Restored>);

/// Takes images from a cache.
struct Keeping<'k, 'a, S> {
    compiler: &'k Compiler<'a>,
    packer: &'k Packer<S>,
    cache: &'k Cache,
    images: &'k KeptImages,
    has: Option<&'k Has<'k>>,
    whole: bool,
}

impl<S: Fn(&Blob, &[u8]) -> Result<(), Failure> + Sync> Keeping<'_, '_, S> {
    /// What the cache has of the images of some nodes.
    fn all<'n>(
        &self,
        prints: &[[u8; 32]],
        common: Option<&ProvedCommon>,
        wanted: &[(Option<NodeId>, Vec<PodId>)],
        name: &(impl Fn(Option<NodeId>) -> Option<&'n str> + Sync),
    ) -> Result<Vec<KeptNode>, Failure> {
        let find = |((node, pods), print): (&(Option<NodeId>, Vec<PodId>), &[u8; 32])| {
            let fingerprint = *print;
            let kept = common.and_then(|common| {
                let kept = self.images.find(name(*node), &fingerprint)?;
                let of = (fingerprint, kept);
                Some(self.one(common, (*node, pods), name(*node), of))
            });
            Ok((Some(fingerprint), kept.transpose()?.flatten()))
        };
        wanted.par_iter().zip(prints).map(find).collect()
    }

    /// An image of which everything is kept. `None` where something is missing or damaged.
    fn one(
        &self,
        common: &ProvedCommon,
        (node, pods): (Option<NodeId>, &[PodId]),
        name: Option<&str>,
        (fingerprint, kept): ([u8; 32], &Kept),
    ) -> Result<Option<Restored>, Failure> {
        let cache = self.cache;
        let compared = kept.compared;
        let failed = |error| match error {
            NotPacked::Sink(failure) => Err(failure),
            // It is larger than a bundle can name, as is said where it is made.
            NotPacked::Bundle(_) => Ok(None),
        };
        if !self.whole {
            let subjects = self.compiler.subjects_of(node, pods);
            let of = (node, pods);
            // What is wrong with the endpoints, or has no room, is told where the image is made.
            if self.compiler.hold(common, of, &subjects, kept).is_err() {
                return Ok(None);
            }
            let again =
                |stored: Stored<'_>| self.packer.again(name, &subjects, &kept.packed, stored);
            match stored(cache, self.has, again) {
                Ok(Some(packed)) => {
                    if packed.record != kept.packed.record {
                        // The blobs of before are swept: the next compile is to find those of now.
                        let packed = packed.clone();
                        cache.keep(fingerprint, Kept { compared, packed });
                    }
                    return Ok(Some(Restored {
                        artifact: None,
                        packed: Some(packed),
                        compared,
                    }));
                }
                Ok(None) => return Ok(None),
                Err(error) => return failed(error),
            }
        }
        let fetch = |blob: &Blob| cache.fetch(blob);
        let artifact = match self.compiler.restore(node, pods, kept, &fetch) {
            Ok(artifact) => artifact,
            Err(NotRestored::Bundle(_) | NotRestored::Compile(CompileError::Limit(..))) => {
                return Ok(None);
            }
            Err(NotRestored::Compile(CompileError::Mismatch(_) | CompileError::Decode(_))) => {
                // Sections that are whole and no image: somebody else wrote them.
                cache.refuse();
                return Ok(None);
            }
        };
        match self.packer.add(name, artifact.endpoints, &artifact.image) {
            Ok(packed) => Ok(Some(Restored {
                artifact: Some(artifact),
                packed: Some(packed),
                compared,
            })),
            Err(error) => failed(error),
        }
    }
}

/// Does something with what is stored: in a cache, and where blobs go.
fn stored<T>(cache: &Cache, has: Option<&Has<'_>>, act: impl FnOnce(Stored<'_>) -> T) -> T {
    let there = |blob: &Blob| {
        let is_there = has.is_some_and(|has| has(blob));
        if is_there {
            cache.name(blob);
        }
        is_there
    };
    act(Stored {
        has: &there,
        fetch: &|blob| cache.fetch(blob),
    })
}

/// Why there is no image.
enum NotMade {
    Compile(CompileError),
    Packed(NotPacked<Failure>),
    Taken(Failure),
}

/// What a packer says that cannot go on.
fn not_packed(global: &Global, error: NotPacked<Failure>) -> Failure {
    match error {
        NotPacked::Sink(failure) => failure,
        NotPacked::Bundle(error) => {
            say(global, &[refused(Path::new("the new bundle"), &error)]);
            Failure::Input
        }
    }
}

/// What the images are compiled from.
fn inputs(session: &Session) -> Inputs {
    let inputs = session.sources.iter().map(|(_, source)| Input {
        file: source.name().to_string().into(),
        sha256: Digest::new(*source.sha256()),
        bytes: source.text().len() as u64,
    });
    let mut inputs: Vec<Input> = inputs.collect();
    inputs.sort_unstable();
    Inputs { inputs }
}
