//! The engines: each gives every flow the same judgement as the definition does.

use crate::cluster::Cluster;
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Judgement, World};
use crate::hir::{PolicySet, Resolution};
use crate::ir::Program;
use std::fmt;

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// The definition: slow and obvious.
    Spec,
    /// The resolved program: fast.
    #[default]
    Ir,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Spec, Self::Ir];
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Ir => "ir",
        })
    }
}

/// An engine, ready to judge flows of one cluster by one policy set.
#[derive(Debug)]
pub enum Engine<'a> {
    /// The definition.
    Spec(World<'a>),
    /// The resolved program.
    Ir(Box<Program>),
}

impl<'a> Engine<'a> {
    /// Makes an engine ready. Policies that are resolved by precedence have the definition alone.
    #[must_use]
    pub fn new(kind: EngineKind, cluster: &'a Cluster, policies: &'a PolicySet) -> Self {
        match (kind, &policies.resolution) {
            (EngineKind::Spec, _) | (EngineKind::Ir, Resolution::Precedence(_)) => {
                Self::Spec(World {
                    policies,
                    names: cluster.names(),
                })
            }
            (EngineKind::Ir, Resolution::Isolation) => {
                Self::Ir(Box::new(Program::resolve(cluster, policies)))
            }
        }
    }

    /// Judges a flow.
    #[must_use]
    pub fn judge(&self, flow: &Flow<'_>) -> Judgement {
        match self {
            Self::Spec(world) => spec::judge(*world, flow),
            Self::Ir(program) => program.judge(flow),
        }
    }

    /// The program, where the engine works on one.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        match self {
            Self::Spec(_) => None,
            Self::Ir(program) => Some(program),
        }
    }
}
