//! The engines: each gives every flow the same judgement as the definition does.

mod image;

pub use image::{Found, Images};

use crate::cluster::{Cluster, PodId};
use crate::compile::NodeError;
use crate::hir::flow::{Endpoint, Flow, Transport};
use crate::hir::spec::{self, Judgement, World};
use crate::hir::{PolicySet, Resolution};
use crate::ir::{EndClass, Program};
use crate::source::Sources;
use std::fmt;
use std::sync::OnceLock;

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// The definition: slow and obvious.
    Spec,
    /// The resolved program: fast.
    #[default]
    Ir,
    /// The images of nodes: what nodes do.
    Image,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 3] = [Self::Spec, Self::Ir, Self::Image];
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Ir => "ir",
            Self::Image => "image",
        })
    }
}

/// An end of the snapshot, as an engine knows it: found once for many flows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its class.
    pub(crate) class: EndClass,
    /// Where images have it.
    found: Option<Found>,
}

/// An engine, ready to judge flows of one cluster by one policy set.
#[derive(Debug)]
pub enum Engine<'a> {
    /// The definition.
    Spec(World<'a>),
    /// The resolved program.
    Ir(Box<Program>),
    /// The images of nodes.
    Image(Box<Images<'a>>),
}

impl<'a> Engine<'a> {
    /// Makes an engine ready for any flow.
    ///
    /// # Errors
    /// Where an image has no room for something.
    pub fn new(
        kind: EngineKind,
        sources: &Sources,
        cluster: &'a Cluster,
        policies: &'a PolicySet,
    ) -> Result<Self, NodeError> {
        Self::about(kind, sources, cluster, policies, None)
    }

    /// Makes an engine ready for flows from and to some pods; for any where none are given.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn about(
        kind: EngineKind,
        sources: &Sources,
        cluster: &'a Cluster,
        policies: &'a PolicySet,
        pods: Option<&[PodId]>,
    ) -> Result<Self, NodeError> {
        Ok(match kind {
            EngineKind::Spec => Self::Spec(World {
                policies,
                names: cluster.names(),
            }),
            EngineKind::Ir => Self::Ir(Box::new(Program::resolve(cluster, policies))),
            EngineKind::Image => {
                Self::Image(Box::new(Images::new(sources, cluster, policies, pods)?))
            }
        })
    }

    /// Makes an engine ready for flows of which it is not known between whom they are: the image of a node is made when
    /// a flow first asks for it. The program that images are made of is put into `room`.
    pub fn lazy(
        kind: EngineKind,
        sources: &'a Sources,
        cluster: &'a Cluster,
        policies: &'a PolicySet,
        room: &'a OnceLock<Program>,
    ) -> Result<Self, NodeError> {
        match (kind, &policies.resolution) {
            (EngineKind::Image, Resolution::Isolation) => {
                let program = room.get_or_init(|| Program::resolve(cluster, policies));
                let images = Images::lazy(sources, cluster, policies, program)?;
                Ok(Self::Image(Box::new(images)))
            }
            (EngineKind::Spec | EngineKind::Ir, _)
            | (EngineKind::Image, Resolution::Precedence(_)) => {
                Self::new(kind, sources, cluster, policies)
            }
        }
    }

    /// Why an image could not be made that flows asked for: what was judged about its pods since then, the policies said
    /// and not the image.
    #[must_use]
    pub fn failure(&self) -> Option<&NodeError> {
        match self {
            Self::Spec(_) | Self::Ir(_) => None,
            Self::Image(images) => images.failure(),
        }
    }

    /// Judges a flow.
    #[must_use]
    pub fn judge(&self, flow: &Flow<'_>) -> Judgement {
        match self {
            Self::Spec(world) => spec::judge(*world, flow),
            Self::Ir(program) => program.judge(flow),
            Self::Image(images) => images.judge(flow),
        }
    }

    /// An end, found once for many flows; `None` where the engine has no use for that, or the end is not of the snapshot.
    #[must_use]
    pub fn know(&self, end: &Endpoint<'_>) -> Option<Known> {
        Some(Known {
            class: self.program()?.end_class(end)?,
            found: self.find(end),
        })
    }

    fn find(&self, end: &Endpoint<'_>) -> Option<Found> {
        match self {
            Self::Spec(_) | Self::Ir(_) => None,
            Self::Image(images) => Some(images.find(end)),
        }
    }

    /// Judges one of many flows: the same judgement, faster where the engine has a way.
    #[must_use]
    pub fn look_up(&self, flow: &Flow<'_>) -> Judgement {
        match (self, self.find(&flow.src).zip(self.find(&flow.dst))) {
            (Self::Image(images), Some((src, dst))) => images.look_up(flow, [src, dst]),
            (Self::Spec(_) | Self::Ir(_) | Self::Image(_), _) => self.judge(flow),
        }
    }

    /// Judges the flows between two known ends, source first, as [`Self::judge`] does, and without reading them. `false`
    /// where it takes the ends themselves to tell: `said` is nothing then.
    #[must_use]
    pub fn look_up_between(
        &self,
        cluster: &Cluster,
        [src, dst]: [&Known; 2],
        transport: Transport,
        said: &mut Judgement,
    ) -> bool {
        let by_class = |program: &Program, said: &mut Judgement| {
            program.judge_between(cluster, [&src.class, &dst.class], transport, said)
        };
        match self {
            Self::Spec(_) => false,
            Self::Ir(program) => by_class(program, said),
            Self::Image(images) => {
                let itself = src.class.is_same_pod(&dst.class);
                by_class(images.program(), said)
                    && src.found.zip(dst.found).is_some_and(|(src, dst)| {
                        images.tell_both([src, dst], itself, transport, said)
                    })
            }
        }
    }

    /// Reads what [`Self::look_up_between`] will look a flow up in, so that it is near then. What comes out has no meaning.
    pub(crate) fn warm(&self, [src, dst]: [&Known; 2], transport: Transport) -> u64 {
        match (self, src.found.zip(dst.found)) {
            (Self::Image(images), Some((src, dst))) => images.warm(src, dst, transport),
            (Self::Spec(_) | Self::Ir(_) | Self::Image(_), _) => 0,
        }
    }

    /// The program, where the engine works on one: flows of one of its classes get one judgement.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        match self {
            Self::Spec(_) => None,
            Self::Ir(program) => Some(program),
            Self::Image(images) => Some(images.program()),
        }
    }
}
