//! The images of a session, one by one, for whoever takes them.

use super::super::args::Global;
use super::super::progress::Progress;
use super::super::session::Session;
use super::super::{Failure, explain, output};
use super::{problem, refuse_shared_addresses};
use crate::bundle::Digest;
use crate::cluster::NodeId;
use crate::compile::{Artifact, CompileError, Compiler};
use crate::image::Limits;
use crate::ir::Program;
use rayon::prelude::*;

/// Takes the image of a node. It is called from several threads.
pub(in crate::cli) type Take<'t, T> =
    dyn Fn(Option<&str>, &Artifact) -> Result<T, Failure> + Sync + 't;

/// How the optimiser runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Passes {
    /// Once for all nodes, as far as it does not depend on the node.
    Once,
    /// For each node by itself, so that the sizes after each pass are known.
    ByNode,
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
    passes: Passes,
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
    let compiler = match passes {
        Passes::Once => compiler.for_nodes(wanted.iter()),
        Passes::ByNode => compiler,
    };
    drop(preparing);
    let progress = Progress::of(global, "compiling", wanted.len());
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| loaded.cluster.node(node));
        node.map(|node| &*node.name)
    };
    let results: Vec<Result<T, NotMade>> = wanted
        .par_iter()
        .map(|(node, pods)| {
            let artifact = compiler.node(*node, pods).map_err(NotMade::Compile);
            let taken =
                artifact.and_then(|artifact| take(name(*node), &artifact).map_err(NotMade::Taken));
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

/// Why there is no image.
enum NotMade {
    Compile(CompileError),
    Taken(Failure),
}
