//! The engine that answers from images.
//!
//! Input: what manifests say. Images of the nodes are made of it in memory; of the bytes, tables and the section
//! `world` are kept, and all answers are theirs. Guarantee: for every flow the judgement of the definition. The verdict
//! of an endpoint about an end that an image knows is that of [`verdict_abi::decide`]; which rules lead to it, and what
//! becomes of ends that no image knows (a pod that does not exist, an address of a family that is left open), the
//! policies in the image say ([`verdict_abi::open`]).

use crate::cluster::{Cluster, NodeId, PodId};
use crate::compile::{CompileError, Compiler, NodeError};
use crate::hir::flow::{self, Endpoint, EndpointKind, Flow, PodView};
use crate::hir::spec::{self, Exemption, Judgement, Side, Truth, Verdict};
use crate::hir::{Auth, Direction, PolicyId, PolicySet, RuleId};
use crate::image::{self, Image, Memory, demand};
use crate::ir::Program;
use crate::lir::leaves::Leaves;
use crate::lir::{Lowering, number, transport};
use crate::opt;
use crate::source::Sources;
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use std::net::IpAddr;
use std::sync::OnceLock;
use verdict_abi::open::{self, Decider, Packet, World};
use verdict_abi::{Action, Code, Query, Use, decide, leaf_v4, leaf_v6};

/// Images, ready to be asked.
#[derive(Debug)]
pub struct Images<'a> {
    base: Base<'a>,
    world: World,
    nodes: Vec<OnceLock<Result<NodeImage, Box<NodeError>>>>,
    /// By pod: its image and its number there.
    endpoints: Vec<Option<(u32, u32)>>,
    /// By node, where policies govern nodes.
    hosts: Vec<Option<(u32, u32)>>,
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
    /// Whether it is a node.
    is_host: bool,
    /// Its leaf, where it has one.
    leaf: Option<u32>,
}

/// A node with its endpoints.
type Group = (Option<NodeId>, Vec<PodId>);

/// What is kept of an image.
#[derive(Debug)]
struct NodeImage {
    memory: Memory,
    deciders: Vec<Decider>,
}

/// What all images are made of.
#[derive(Debug)]
enum Base<'a> {
    /// All are made.
    Made {
        program: Box<Program>,
        leaves: Leaves,
    },
    /// Those that flows ask for are made then.
    Maker(Box<Maker<'a>>),
}

impl Base<'_> {
    fn program(&self) -> &Program {
        match self {
            Self::Made { program, .. } => program,
            Self::Maker(maker) => maker.program,
        }
    }

    fn leaves(&self) -> &Leaves {
        match self {
            Self::Made { leaves, .. } => leaves,
            Self::Maker(maker) => maker.compiler.lowering().leaves(),
        }
    }

    fn maker(&self) -> Option<&Maker<'_>> {
        match self {
            Self::Made { .. } => None,
            Self::Maker(maker) => Some(maker),
        }
    }
}

/// Makes images when they are asked for.
#[derive(Debug)]
struct Maker<'a> {
    program: &'a Program,
    compiler: Compiler<'a>,
}

impl Maker<'_> {
    /// The image with this number, or why it cannot be made; `None` where there is no such number.
    fn make(&self, number: usize) -> Option<Result<NodeImage, Box<NodeError>>> {
        let (node, own) = self.compiler.lowering().nodes().get(number)?;
        Some(make(&self.compiler, *node, own).map_err(Box::new))
    }
}

fn make(
    compiler: &Compiler<'_>,
    node: Option<NodeId>,
    own: &[PodId],
) -> Result<NodeImage, NodeError> {
    let program = opt::optimize(compiler.lowering().node(node, own), |_, _| {});
    let bytes = compiler.encode(node, own, &program);
    let bytes = bytes.map_err(|error| compiler.blame(error, own));
    let image = bytes.and_then(|bytes| NodeImage::read(&bytes));
    image.map_err(|error| NodeError { node, error })
}

impl<'a> Images<'a> {
    /// Makes no image yet: those that flows ask for are made then.
    ///
    /// # Errors
    /// Where what all images have in common cannot be made.
    pub fn lazy(
        sources: &'a Sources,
        cluster: &'a Cluster,
        policies: &'a PolicySet,
        program: &'a Program,
    ) -> Result<Self, NodeError> {
        let compiler = Compiler::new(cluster, policies, sources, program);
        let lowering = compiler.lowering();
        let groups: Vec<&Group> = lowering.nodes().iter().collect();
        let endpoints = endpoints(cluster, &groups);
        let hosts = hosts(cluster, lowering, &groups);
        let world = compiler.world()?;
        Ok(Self {
            nodes: groups.iter().map(|_| OnceLock::new()).collect(),
            endpoints,
            hosts,
            identities: identities(cluster, &compiler),
            governing: world.identities.iter().map(|_| OnceLock::new()).collect(),
            world,
            base: Base::Maker(Box::new(Maker { program, compiler })),
        })
    }

    /// Why an image could not be made that was asked for: of several the first, by its number, whichever was asked for first.
    pub(super) fn failure(&self) -> Option<&NodeError> {
        let mut made = self.nodes.iter().filter_map(OnceLock::get);
        made.find_map(|made| made.as_ref().err().map(|error| &**error))
    }

    /// An image. It is made outside of its place: making runs on all threads, and one that waited there might come upon the
    /// same place again.
    fn node(&self, number: usize) -> Option<&NodeImage> {
        let place = self.nodes.get(number)?;
        if place.get().is_none() {
            let made = self.base.maker()?.make(number)?;
            // Where another thread was faster, its image is the same.
            let _ = place.set(made);
        }
        place.get()?.as_ref().ok()
    }

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
        // Where policies govern nodes, those of any node may be asked.
        let pods = pods.filter(|_| !program.governs_nodes());
        let wanted: Option<FxHashSet<PodId>> = pods.map(|pods| pods.iter().copied().collect());
        let is_asked = |own: &[PodId]| {
            let any = |wanted: &FxHashSet<PodId>| own.iter().any(|pod| wanted.contains(pod));
            wanted.as_ref().is_none_or(any)
        };
        let groups = lowering.nodes().iter();
        let asked: Vec<_> = groups.filter(|(_, own)| is_asked(own)).collect();
        let nodes: Vec<NodeImage> = asked
            .par_iter()
            .map(|(node, own)| make(&compiler, *node, own))
            .collect::<Result<_, NodeError>>()?;
        let endpoints = endpoints(cluster, &asked);
        let hosts = hosts(cluster, lowering, &asked);
        let identities = identities(cluster, &compiler);
        // The section that all images have.
        let world = compiler.world()?;
        let leaves = compiler.into_leaves();
        Ok(Self {
            base: Base::Made {
                program: Box::new(program),
                leaves,
            },
            nodes: nodes.into_iter().map(|node| Ok(node).into()).collect(),
            endpoints,
            hosts,
            identities,
            governing: world.identities.iter().map(|_| OnceLock::new()).collect(),
            world,
        })
    }

    /// The resolved program that the images were made of: what it cannot tell apart they cannot.
    pub(super) fn program(&self) -> &Program {
        self.base.program()
    }

    /// An end, found in the images once for many flows.
    #[must_use]
    pub fn find(&self, end: &Endpoint<'_>) -> Found {
        Found {
            endpoint: self.endpoint(end),
            is_host: matches!(end.kind, EndpointKind::Node(_)),
            leaf: self.leaf(end),
        }
    }

    /// The image of an end, and its number there; none of a node that no policy governs.
    fn endpoint(&self, end: &Endpoint<'_>) -> Option<(u32, u32)> {
        match &end.kind {
            EndpointKind::Pod(pod) => *self.endpoints.get(pod.id?.index())?,
            // Which node it is, its address says.
            EndpointKind::Node(node) => {
                let node = self.program().node_at(node.id, end.address)?;
                *self.hosts.get(node.index())?
            }
            EndpointKind::Outside => None,
        }
    }

    /// What the tables say of the two sides of a flow, egress first, of which `key` is the
    /// [transport key](transport): nothing of an end that is no endpoint, and nothing at all of a pod that talks to
    /// itself, but by a service.
    #[must_use]
    pub fn codes(&self, src: Found, dst: Found, by_service: bool, key: u32) -> [Option<Code>; 2] {
        let itself = src.endpoint.is_some() && src.endpoint == dst.endpoint && !src.is_host;
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
            let (_, code) = decide(&self.node(image as usize)?.memory, query)?;
            Some(code)
        };
        [
            side(src, dst, Direction::Egress),
            side(dst, src, Direction::Ingress),
        ]
    }

    /// Looks a flow up in the images that are made, for nothing but to have the tables near.
    pub(super) fn warm(&self, src: Found, dst: Found, transport: flow::Transport) -> u64 {
        let is_made = |end: Found| {
            end.endpoint
                .is_none_or(|(image, _)| self.nodes.get(image as usize).is_some_and(is_set))
        };
        if !is_made(src) || !is_made(dst) {
            return 0;
        }
        let codes = self.codes(src, dst, false, transport::of(transport));
        let codes = codes.into_iter().flatten();
        codes.fold(0, |sum, code| sum ^ code.word())
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

    /// Judges a flow as [`Self::judge`] does, and faster: the verdict of a side is what its image decides, and the rules
    /// are those that the program names, where they lead to this verdict and the one that the image names is among them.
    /// Else all is the image's. The ends of the flow were [found](Self::find) before.
    pub(super) fn look_up(&self, flow: &Flow<'_>, [src, dst]: [Found; 2]) -> Judgement {
        let said = self.program().judge(flow);
        let side = |said: Side, direction, (subject, other)| {
            if self.tells(flow, direction, (subject, other), &said) {
                said
            } else {
                self.side(flow, direction)
            }
        };
        let egress = side(said.egress, Direction::Egress, (src, dst));
        let ingress = side(said.ingress, Direction::Ingress, (dst, src));
        Judgement {
            verdict: spec::both(egress.verdict, ingress.verdict),
            egress,
            ingress,
        }
    }

    /// Whether the images of both sides decide as is said of flows between two ends, source first; `itself` where both are
    /// one pod.
    pub(super) fn tell_both(
        &self,
        [src, dst]: [Found; 2],
        itself: bool,
        transport: flow::Transport,
        said: &Judgement,
    ) -> bool {
        let tells = |direction, ends, side: &Side| {
            // No image is asked about one that is exempt.
            side.exempt.is_some() || self.tell(ends, direction, itself, transport, side)
        };
        tells(Direction::Egress, (src, dst), &said.egress)
            && tells(Direction::Ingress, (dst, src), &said.ingress)
    }

    /// Whether the image of a side decides as is said.
    fn tells(
        &self,
        flow: &Flow<'_>,
        direction: Direction,
        found: (Found, Found),
        said: &Side,
    ) -> bool {
        let (subject, other) = ends(flow, direction);
        let itself = match &subject.kind {
            EndpointKind::Pod(pod) => spec::is_same_pod(pod, other),
            EndpointKind::Node(_) | EndpointKind::Outside => false,
        };
        let is_asked = !itself || flow.dst.by_service;
        is_asked && self.tell(found, direction, itself, flow.transport, said)
    }

    fn tell(
        &self,
        (own, far): (Found, Found),
        direction: Direction,
        itself: bool,
        transport: flow::Transport,
        said: &Side,
    ) -> bool {
        let Some(((image, endpoint), leaf)) = own.endpoint.zip(far.leaf) else {
            return false;
        };
        let Some(held) = self.node(image as usize) else {
            return false;
        };
        // Closed images judge what an endpoint sends to itself by way of a service as all else.
        let hairpin = itself && !self.world.closed;
        let query = query(endpoint, of(direction, hairpin), leaf, transport);
        let decided = decide(&held.memory, query);
        decided.is_some_and(|(_, code)| held.tells(&self.world, code, said))
    }

    fn side(&self, flow: &Flow<'_>, direction: Direction) -> Side {
        let (subject, other) = ends(flow, direction);
        if self.world.closed {
            return self.closed_side(flow, direction);
        }
        let EndpointKind::Pod(pod) = &subject.kind else {
            return Side::exempt(Exemption::NotAPod);
        };
        let itself = spec::is_same_pod(pod, other);
        if itself && !flow.dst.by_service {
            return Side::exempt(Exemption::Itself);
        }
        let said = self.said(pod, other, flow, direction);
        let held = self.endpoint(subject).and_then(|at| self.held(at));
        let asked = held.zip(self.leaf(other));
        let Some(((held, endpoint), leaf)) = asked else {
            return side(said);
        };
        let query = query(endpoint, of(direction, itself), leaf, flow.transport);
        held.decided(&self.world, query, side(said))
    }

    /// One side of a flow where the images are closed: what they do not have, and names of all rules that decide, are the
    /// resolved program's.
    fn closed_side(&self, flow: &Flow<'_>, direction: Direction) -> Side {
        let (subject, other) = ends(flow, direction);
        let said = self.program().judge_side(flow, direction);
        // An endpoint of an image is at an address of its.
        if said.exempt == Some(Exemption::Itself) || self.program().is_open(subject) {
            return said;
        }
        let held = self.endpoint(subject).and_then(|at| self.held(at));
        let Some(((held, endpoint), leaf)) = held.zip(self.leaf(other)) else {
            return said;
        };
        let query = query(endpoint, of(direction, false), leaf, flow.transport);
        held.decided(&self.world, query, said)
    }

    /// An image, with a number in it.
    fn held(&self, (image, endpoint): (u32, u32)) -> Option<(&NodeImage, u32)> {
        Some((self.node(image as usize)?, endpoint))
    }

    /// The leaf of an end that images know.
    fn leaf(&self, end: &Endpoint<'_>) -> Option<u32> {
        let address = match (&end.kind, end.address) {
            (EndpointKind::Outside, flow::Address::Known(address)) => Some(address),
            (EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside, _) => None,
        };
        let Some(address) = address else {
            let leaf = self.base.leaves().of(self.base.program(), end);
            return leaf.map(|leaf| leaf.0);
        };
        // All images have the same addresses; where none is made yet, there is what they will be made of.
        let ready = self.nodes.iter().find_map(|node| node.get()?.as_ref().ok());
        let Some(image) = ready else {
            return Some(self.base.leaves().of_address(address).0);
        };
        match address.to_canonical() {
            IpAddr::V4(address) => leaf_v4(&image.memory, address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                leaf_v6(&image.memory, (bits >> 64) as u64, bits as u64)
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

fn is_set<T>(place: &OnceLock<T>) -> bool {
    place.get().is_some()
}

/// By pod: its image and its number there.
fn endpoints(cluster: &Cluster, groups: &[&Group]) -> Vec<Option<(u32, u32)>> {
    let mut endpoints = vec![None; cluster.pods().len()];
    for ((_, own), image) in groups.iter().zip(0..) {
        for (pod, endpoint) in own.iter().zip(0..) {
            if let Some(slot) = endpoints.get_mut(pod.index()) {
                *slot = Some((image, endpoint));
            }
        }
    }
    endpoints
}

/// By node, where policies govern nodes: its image and its number there, behind its pods.
fn hosts(cluster: &Cluster, lowering: &Lowering<'_>, groups: &[&Group]) -> Vec<Option<(u32, u32)>> {
    let mut hosts = vec![None; cluster.nodes().len()];
    for ((node, own), image) in groups.iter().zip(0..) {
        let host = lowering.host(*node);
        if let Some(slot) = host.and_then(|node| hosts.get_mut(node.index())) {
            *slot = Some((image, number(own.len())));
        }
    }
    hosts
}

/// By pod: its identity in the world.
fn identities(cluster: &Cluster, compiler: &Compiler<'_>) -> Vec<Option<u32>> {
    let pods = (0..number(cluster.pods().len())).map(PodId);
    pods.map(|pod| compiler.identity(pod)).collect()
}

impl NodeImage {
    fn read(bytes: &[u8]) -> Result<Self, CompileError> {
        let image = Image::decode(bytes).map_err(CompileError::Decode)?;
        Ok(Self {
            memory: Memory::of(&image),
            deciders: image.deciders().to_vec(),
        })
    }

    /// Who decides by a code.
    fn decider(&self, code: Code) -> Option<&Decider> {
        let index = code.origin.checked_sub(1)?;
        self.deciders.get(index as usize)
    }

    /// Whether a code says the same.
    fn tells(&self, world: &World, code: Code, said: &Side) -> bool {
        let is_told = match self.decider(code) {
            None => true,
            Some(Decider::Policy(policy)) => {
                let mut isolating = said.isolated_by.iter();
                isolating.any(|own| own.0 == *policy || is_one_policy(world, own.0, *policy))
            }
            Some(Decider::Rule(rule)) => {
                let mut rules = said.rules.iter();
                said.rules.contains(&RuleId(*rule))
                    || rules.any(|own| is_written_with(world, own.0, *rule))
            }
        };
        let auth = said.auth.filter(|auth| *auth != Auth::Disabled);
        let is_audited = code.action == Action::Audit;
        is_told
            && verdict(code) == said.verdict
            && demand::auth(code) == auth
            && is_audited == (said.audited != Truth::No)
    }

    /// What the tables say to a question.
    fn decided(&self, world: &World, query: Query, said: Side) -> Side {
        match decide(&self.memory, query) {
            Some((_, code)) => self.named(world, code, said),
            // An image that was read answers every question.
            None => Side {
                verdict: Verdict::Deny,
                ..said
            },
        }
    }

    /// What a code says, with all rules that lead to it: those of the policies in the image where they say the same, else
    /// the one that the code names.
    fn named(&self, world: &World, code: Code, said: Side) -> Side {
        let (verdict, decider) = (verdict(code), self.decider(code));
        if self.tells(world, code, &said) {
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
            auth: demand::auth(code),
            audited: (code.action == Action::Audit).into(),
        }
    }
}

/// The end that is asked, and the other.
fn ends<'f, 'a>(flow: &'f Flow<'a>, direction: Direction) -> (&'f Endpoint<'a>, &'f Endpoint<'a>) {
    match direction {
        Direction::Ingress => (&flow.dst, &flow.src),
        Direction::Egress => (&flow.src, &flow.dst),
    }
}

fn query(endpoint: u32, of: Use, leaf: u32, transport: flow::Transport) -> Query {
    let (protocol, value) = transport::parts(transport::of(transport));
    Query {
        endpoint,
        of,
        leaf,
        protocol: protocol.0,
        value,
    }
}

fn verdict(code: Code) -> Verdict {
    match code.action {
        _ if code.depends => Verdict::Depends,
        Action::Deny => Verdict::Deny,
        Action::Audit | Action::Allow => Verdict::Allow,
        Action::Redirect if demand::proxy(code).is_none() => Verdict::Allow,
        Action::Redirect => Verdict::Redirect,
    }
}

/// Whether two policies are specifications of one: an image names the one alone.
fn is_one_policy(world: &World, one: u32, other: u32) -> bool {
    let place = |policy: u32| {
        let policy = world.policies.get(policy as usize)?;
        Some((&policy.name, policy.file, policy.line))
    };
    place(one).is_some() && place(one) == place(other)
}

/// Whether two rules stand at one place: what is written there may be several, which an image does not tell apart.
fn is_written_with(world: &World, one: u32, other: u32) -> bool {
    let place = |rule| {
        let (policy, rule) = world.rule(rule)?;
        Some((&policy.name, rule.path, rule.line))
    };
    place(one).is_some() && place(one) == place(other)
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
        audited: Truth::No,
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
