//! The images of a session, one by one, for whoever takes them.

use super::super::args::Global;
use super::super::progress::Progress;
use super::super::session::Session;
use super::super::{Failure, explain, output};
use super::cache::{Cache, build};
use super::{problem, refuse_nobody, refuse_shared_addresses};
use crate::bundle::Digest;
use crate::cluster::{NodeId, PodId};
use crate::compile::{Artifact, CompileError, Compiler, Kept};
use crate::hir::Resolution;
use crate::image::Limits;
use crate::ir::Program;
use rayon::prelude::*;

/// Takes the image of a node. It is called from several threads.
pub(in crate::cli) type Take<'t, T> =
    dyn Fn(Option<&str>, &Artifact) -> Result<T, Failure> + Sync + 't;

/// How images are made.
#[derive(Clone, Copy, Default)]
pub(in crate::cli) struct How<'c> {
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
    /// The digest of what was compiled, free of any node.
    pub(in crate::cli) program: Digest,
    /// How large an image may be.
    pub(in crate::cli) limits: Limits,
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
    let program = Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(
        &loaded.cluster,
        &loaded.policies,
        &session.sources,
        &program,
    );
    let left_out = session.incomplete();
    let left_out = left_out.iter().map(|text| text.as_str().into());
    let compiler = compiler.incomplete(left_out.collect());
    let nodes = compiler.lowering().nodes().iter();
    let wanted: Vec<_> = nodes
        .filter(|(node, _)| asked.is_empty() || asked.contains(node))
        .cloned()
        .collect();
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| loaded.cluster.node(node));
        node.map(|node| &*node.name)
    };
    // Fingerprints say all that a proof by isolation is about, and not yet what one by precedence is.
    let cache = match loaded.policies.resolution {
        Resolution::Isolation => how.cache,
        Resolution::Precedence(_) => None,
    };
    let kept = kept(&compiler, cache, &wanted, &name);
    let missing = wanted
        .iter()
        .zip(&kept)
        .filter(|(_, (_, artifact))| artifact.is_none());
    let missing: Vec<_> = missing.map(|(group, _)| group).collect();
    let compiler = if how.by_node || missing.is_empty() {
        compiler
    } else {
        compiler.for_nodes(missing.into_iter())
    };
    drop(preparing);
    let progress = Progress::of(global, "compiling", wanted.len());
    let results: Vec<Result<T, NotMade>> = wanted
        .par_iter()
        .zip(kept)
        .map(|((node, pods), (fingerprint, kept))| {
            let is_new = kept.is_none();
            let artifact = kept.map_or_else(|| compiler.node(*node, pods), Ok);
            let taken = artifact.map_err(NotMade::Compile).and_then(|artifact| {
                if let Some((cache, fingerprint)) = cache.zip(fingerprint).filter(|_| is_new) {
                    let keep = cache.keep(name(*node), &fingerprint, &Kept::of(&artifact));
                    keep.map_err(NotMade::Taken)?;
                }
                take(name(*node), &artifact).map_err(NotMade::Taken)
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
        }
    }
    if problems.is_empty() {
        return Ok(Made {
            nodes: taken,
            program: Digest::new(compiler.compiled().digest),
            limits: compiler.limits(),
        });
    }
    explain::say(global, session, &problems);
    Err(Failure::Input)
}

/// By node: the fingerprint of its proof where there is a cache, and its image where that has it.
type Restored = (Option<[u8; 32]>, Option<Artifact>);

/// What a cache has of the images of some nodes.
fn kept<'n>(
    compiler: &Compiler<'_>,
    cache: Option<&Cache>,
    wanted: &[(Option<NodeId>, Vec<PodId>)],
    name: &(impl Fn(Option<NodeId>) -> Option<&'n str> + Sync),
) -> Vec<Restored> {
    let Some((cache, build)) = cache.and_then(|cache| Some((cache, build()?))) else {
        return wanted.iter().map(|_| (None, None)).collect();
    };
    let common = compiler.fingerprints(&build);
    let find = |(node, pods): &(Option<NodeId>, Vec<PodId>)| {
        let fingerprint = compiler.fingerprint(&common, *node, pods);
        let kept = cache.find(name(*node), &fingerprint);
        let restored = kept.and_then(|kept| {
            let restored = compiler.restore(*node, pods, &kept);
            // Sections that are whole and no image: somebody else wrote them.
            restored.inspect_err(|_| cache.refuse()).ok()
        });
        (Some(fingerprint), restored)
    };
    wanted.par_iter().map(find).collect()
}

/// Why there is no image.
enum NotMade {
    Compile(CompileError),
    Taken(Failure),
}
