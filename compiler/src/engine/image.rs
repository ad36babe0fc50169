//! The engine that answers from images.
//!
//! Input: what manifests say. Images of the nodes are made of it in memory; of the bytes, tables and the section
//! `world` are kept, and all answers are theirs. Guarantee: for every flow the judgement of the definition. The verdict
//! of an endpoint about an end that an image knows is that of [`verdict_abi::decide`]; which rules lead to it, and what
//! becomes of ends that no image knows (a pod that does not exist, an address of a family that is left open), the
//! policies in the image say ([`verdict_abi::open`]).

use crate::cluster::{Cluster, PodId};
use crate::compile::{CompileError, Compiler, NodeError};
use crate::hir::flow::{self, Endpoint, EndpointKind, Flow, PodView};
use crate::hir::spec::{self, Exemption, Judgement, Side, Verdict};
use crate::hir::{Direction, PolicyId, PolicySet, RuleId};
use crate::image::{self, Image, Memory};
use crate::ir::Program;
use crate::lir::leaves::Leaves;
use crate::lir::transport;
use crate::opt;
use crate::source::Sources;
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use std::sync::OnceLock;
use verdict_abi::open::{self, Decider, Packet, World};
use verdict_abi::{Action, Code, Query, Use, decide, leaf_v4, leaf_v6};

/// Images, ready to be asked.
#[derive(Debug)]
pub struct Images {
    program: Program,
    leaves: Leaves,
    world: World,
    nodes: Vec<NodeImage>,
    /// By pod: its image and its number there.
    endpoints: Vec<Option<(u32, u32)>>,
    /// By pod: its identity in the world.
    identities: Vec<Option<u32>>,
    /// By identity of the world: the policies that govern it.
    governing: Vec<OnceLock<Vec<u32>>>,
}

/// An end of flows, as the images know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its image and its number there, where it is an endpoint.
    endpoint: Option<(u32, u32)>,
    /// Its leaf, where it has one.
    leaf: Option<u32>,
}

/// What is kept of an image.
#[derive(Debug)]
struct NodeImage {
    memory: Memory,
    deciders: Vec<Decider>,
}

impl Images {
    /// Makes the images of the nodes on which some pods run; of all nodes where none are given.
    ///
    /// # Errors
    /// Where an image has no room for something.
    pub fn new(
        sources: &Sources,
        cluster: &Cluster,
        policies: &PolicySet,
        pods: Option<&[PodId]>,
    ) -> Result<Self, NodeError> {
        let program = Program::resolve(cluster, policies);
        let compiler = Compiler::new(cluster, policies, sources, &program);
        let lowering = compiler.lowering();
        let wanted: Option<FxHashSet<PodId>> = pods.map(|pods| pods.iter().copied().collect());
        let is_asked = |own: &[PodId]| {
            let any = |wanted: &FxHashSet<PodId>| own.iter().any(|pod| wanted.contains(pod));
            wanted.as_ref().is_none_or(any)
        };
        let groups = lowering.nodes().iter();
        let asked: Vec<_> = groups.filter(|(_, own)| is_asked(own)).collect();
        let make = |node, own: &[PodId]| {
            let program = opt::optimize(lowering.node(node, own), |_, _| {});
            let bytes = compiler.encode(node, own, &program);
            NodeImage::read(&bytes.map_err(|error| compiler.blame(error, own))?)
        };
        let nodes: Vec<NodeImage> = asked
            .par_iter()
            .map(|(node, own)| make(*node, own).map_err(|error| NodeError { node: *node, error }))
            .collect::<Result<_, NodeError>>()?;
        let mut endpoints = vec![None; cluster.pods().len()];
        for ((_, own), image) in asked.iter().zip(0..) {
            for (pod, endpoint) in own.iter().zip(0..) {
                if let Some(slot) = endpoints.get_mut(pod.index()) {
                    *slot = Some((image, endpoint));
                }
            }
        }
        let pods = (0..crate::lir::number(cluster.pods().len())).map(PodId);
        let identities = pods.map(|pod| compiler.identity(pod)).collect();
        // The section that all images have.
        let world = compiler.world()?;
        let leaves = compiler.into_leaves();
        Ok(Self {
            leaves,
            nodes,
            endpoints,
            identities,
            governing: world.identities.iter().map(|_| OnceLock::new()).collect(),
            world,
            program,
        })
    }

    /// The resolved program that the images were made of: what it cannot tell apart they cannot.
    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// An end, found in the images once for many flows.
    #[must_use]
    pub fn find(&self, end: &Endpoint<'_>) -> Found {
        let pod = match &end.kind {
            EndpointKind::Pod(pod) => pod.id,
            EndpointKind::Node(_) | EndpointKind::Outside => None,
        };
        Found {
            endpoint: pod.and_then(|id| *self.endpoints.get(id.index())?),
            leaf: self.leaf(end),
        }
    }

    /// What the tables say of the two sides of a flow, egress first, of which `key` is the
    /// [transport key](transport): nothing of an end that is no endpoint, and nothing at all of a pod that talks to
    /// itself, but by a service.
    #[must_use]
    pub fn codes(&self, src: Found, dst: Found, by_service: bool, key: u32) -> [Option<Code>; 2] {
        let itself = src.endpoint.is_some() && src.endpoint == dst.endpoint;
        if itself && !by_service {
            return [None; 2];
        }
        let (protocol, value) = transport::parts(key);
        let side = |subject: Found, other: Found, direction| {
            let (image, endpoint) = subject.endpoint?;
            let query = Query {
                endpoint,
                of: of(direction, itself),
                leaf: other.leaf?,
                protocol: protocol.0,
                value,
            };
            let (_, code) = decide(&self.nodes.get(image as usize)?.memory, query)?;
            Some(code)
        };
        [
            side(src, dst, Direction::Egress),
            side(dst, src, Direction::Ingress),
        ]
    }

    /// Judges a flow.
    pub(super) fn judge(&self, flow: &Flow<'_>) -> Judgement {
        let egress = self.side(flow, Direction::Egress);
        let ingress = self.side(flow, Direction::Ingress);
        Judgement {
            verdict: spec::both(egress.verdict, ingress.verdict),
            egress,
            ingress,
        }
    }

    fn side(&self, flow: &Flow<'_>, direction: Direction) -> Side {
        let (subject, other) = match direction {
            Direction::Ingress => (&flow.dst, &flow.src),
            Direction::Egress => (&flow.src, &flow.dst),
        };
        if self.world.closed {
            return self.closed_side(flow, direction);
        }
        let EndpointKind::Pod(pod) = &subject.kind else {
            return exempt(Exemption::NotAPod);
        };
        let itself = spec::is_same_pod(pod, other);
        if itself && !flow.dst.by_service {
            return exempt(Exemption::Itself);
        }
        let said = self.said(pod, other, flow, direction);
        let held = pod.id.and_then(|id| self.held(id));
        let asked = held.zip(self.leaf(other));
        let Some(((held, endpoint), leaf)) = asked else {
            return side(said);
        };
        let (protocol, value) = transport::parts(transport::of(flow.transport));
        let query = Query {
            endpoint,
            of: of(direction, itself),
            leaf,
            protocol: protocol.0,
            value,
        };
        match decide(&held.memory, query) {
            Some((_, code)) => held.named(&self.world, code, side(said)),
            // An image that was read answers every question.
            None => Side {
                verdict: Verdict::Deny,
                ..side(said)
            },
        }
    }

    /// One side of a flow where the images are closed: what they do not have, and names of all rules that decide, are the
    /// resolved program's.
    fn closed_side(&self, flow: &Flow<'_>, direction: Direction) -> Side {
        let (subject, other) = match direction {
            Direction::Ingress => (&flow.dst, &flow.src),
            Direction::Egress => (&flow.src, &flow.dst),
        };
        let said = self.program.judge_side(flow, direction);
        let EndpointKind::Pod(pod) = &subject.kind else {
            return said;
        };
        if said.exempt == Some(Exemption::Itself) {
            return said;
        }
        let held = pod.id.and_then(|id| self.held(id));
        let Some(((held, endpoint), leaf)) = held.zip(self.leaf(other)) else {
            return said;
        };
        let (protocol, value) = transport::parts(transport::of(flow.transport));
        let query = Query {
            endpoint,
            of: of(direction, false),
            leaf,
            protocol: protocol.0,
            value,
        };
        match decide(&held.memory, query) {
            Some((_, code)) => held.named(&self.world, code, said),
            // An image that was read answers every question.
            None => Side {
                verdict: Verdict::Deny,
                ..said
            },
        }
    }

    /// The image of a pod, and its number there.
    fn held(&self, pod: PodId) -> Option<(&NodeImage, u32)> {
        let (image, endpoint) = (*self.endpoints.get(pod.index())?)?;
        Some((self.nodes.get(image as usize)?, endpoint))
    }

    /// The leaf of an end that images know.
    fn leaf(&self, end: &Endpoint<'_>) -> Option<u32> {
        match (&end.kind, end.address, self.nodes.first()) {
            (EndpointKind::Outside, flow::Address::Known(address), Some(image)) => {
                match address.to_canonical() {
                    std::net::IpAddr::V4(address) => leaf_v4(&image.memory, address.to_bits()),
                    std::net::IpAddr::V6(address) => {
                        let bits = address.to_bits();
                        leaf_v6(&image.memory, (bits >> 64) as u64, bits as u64)
                    }
                }
            }
            (EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside, _, _) => {
                self.leaves.of(&self.program, end).map(|leaf| leaf.0)
            }
        }
    }

    /// What the policies in the images say.
    fn said(
        &self,
        pod: &PodView<'_>,
        other: &Endpoint<'_>,
        flow: &Flow<'_>,
        direction: Direction,
    ) -> open::Side {
        let subject = image::seen_pod(&self.world, pod);
        let identity = pod.id.and_then(|id| *self.identities.get(id.index())?);
        let known = identity.and_then(|identity| self.governing.get(identity as usize));
        let fresh;
        let governing = match known {
            Some(known) => known.get_or_init(|| self.world.governing(&subject)),
            None => {
                fresh = self.world.governing(&subject);
                &fresh
            }
        };
        let packet = Packet {
            protocol: flow.transport.protocol.0,
            port: flow.transport.port,
        };
        let ingress = direction == Direction::Ingress;
        self.world.judge(
            &subject,
            governing,
            &image::seen(&self.world, other),
            ingress,
            packet,
        )
    }
}

impl NodeImage {
    fn read(bytes: &[u8]) -> Result<Self, CompileError> {
        let image = Image::decode(bytes).map_err(CompileError::Decode)?;
        Ok(Self {
            memory: Memory::of(&image),
            deciders: image.deciders().to_vec(),
        })
    }

    /// What a code says, with all rules that lead to it: those of the policies in the image where they say the same, else
    /// the one that the code names.
    fn named(&self, world: &World, code: Code, said: Side) -> Side {
        let verdict = match code.action {
            _ if code.depends => Verdict::Depends,
            Action::Deny => Verdict::Deny,
            Action::Audit | Action::Allow => Verdict::Allow,
            Action::Redirect => Verdict::Redirect,
        };
        let decider = code.origin.checked_sub(1);
        let decider = decider.and_then(|index| self.deciders.get(index as usize));
        let is_told = match decider {
            None => true,
            Some(Decider::Policy(policy)) => said.isolated_by.contains(&PolicyId(*policy)),
            Some(Decider::Rule(rule)) => {
                let mut rules = said.rules.iter();
                rules.any(|own| own.0 == *rule || is_written_with(world, own.0, *rule))
            }
        };
        if is_told && verdict == said.verdict {
            return said;
        }
        Side {
            verdict,
            exempt: None,
            rules: match decider {
                Some(Decider::Rule(rule)) => vec![RuleId(*rule)],
                Some(Decider::Policy(_)) | None => Vec::new(),
            },
            isolated_by: said.isolated_by,
            auth: None,
        }
    }
}

/// Whether two rules stand at one place: what is written there may be several, which an image does not tell apart.
fn is_written_with(world: &World, one: u32, other: u32) -> bool {
    let place = |rule| {
        let (policy, rule) = world.rule(rule)?;
        Some((&policy.name, rule.path, rule.line))
    };
    place(one).is_some() && place(one) == place(other)
}

fn exempt(exemption: Exemption) -> Side {
    Side {
        verdict: Verdict::Allow,
        exempt: Some(exemption),
        rules: Vec::new(),
        isolated_by: Vec::new(),
        auth: None,
    }
}

fn side(said: open::Side) -> Side {
    Side {
        verdict: match said.verdict {
            open::Verdict::Allow => Verdict::Allow,
            open::Verdict::Deny => Verdict::Deny,
            open::Verdict::Depends => Verdict::Depends,
        },
        exempt: None,
        rules: said.rules.into_iter().map(RuleId).collect(),
        isolated_by: said.isolated_by.into_iter().map(PolicyId).collect(),
        auth: None,
    }
}

fn of(direction: Direction, hairpin: bool) -> Use {
    match (direction, hairpin) {
        (Direction::Ingress, false) => Use::Ingress,
        (Direction::Egress, false) => Use::Egress,
        (Direction::Ingress, true) => Use::HairpinIngress,
        (Direction::Egress, true) => Use::HairpinEgress,
    }
}
