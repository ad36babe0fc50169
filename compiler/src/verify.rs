//! Translation validation: an image is held to the policies that it was compiled from, on every compile.
//!
//! Input: the cluster, the policies, the program of a node and its image. Output: nothing, or the first flow about which
//! they disagree ([`Mismatch`]). What is compared, exhaustively:
//!
//! - every endpoint of the node, both directions, every leaf and every transport key that any rule or any table cuts:
//!   what the definition ([`crate::hir::spec`]) says, what the program says, what the image says; and what an endpoint
//!   sends to itself by way of a service;
//! - every address at which the owner or a class of addresses changes, and those beside it: the leaf that the image
//!   finds, against the owner that the cluster knows;
//! - the policies, leaves and endpoints that the image carries for the open world, lifted back to what was written.
//!
//! The definition is asked once for all leaves about which it cannot tell a difference: those that match the same peers
//! of the rules that govern the endpoint, each rule asked of each leaf. Nothing that the passes computed is used to find
//! out which these are.

mod open;

use crate::cluster::{Cluster, NodeId, Owner, PodId, Protocol};
use crate::hir::flow::{Endpoint, EndpointKind, Flow, NodeView};
use crate::hir::spec::{self, Side, Truth, Verdict, World};
use crate::hir::{Direction, Peer, Policy, PolicySet, PortMatch, Rule, Tier};
use crate::image::Image;
use crate::lir::transport::{self, LAST, NOT_KNOWN, key};
use crate::lir::{Action, Decision, LeafId, Lowering, Origin, Program};
use crate::query::{Family, Who, endpoint};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use verdict_abi::{Query, Use, decide, port_class};

/// A flow about which the policies and the image disagree, or an address that the image misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The endpoint: `namespace/name`, or none for an address.
    pub endpoint: Box<str>,
    /// What was asked, in words.
    pub question: Box<str>,
    /// What the policies, or the cluster, say.
    pub expected: Box<str>,
    /// What was found.
    pub found: Box<str>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            question,
            expected,
            found,
        } = self;
        write!(
            f,
            "{endpoint}, {question}: expected {expected}, found {found}"
        )
    }
}

/// What a node's image is held to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The snapshot.
    pub cluster: &'a Cluster,
    /// The policies.
    pub policies: &'a PolicySet,
    /// Who the leaves are.
    pub lowering: &'a Lowering<'a>,
    /// The node.
    pub node: Option<NodeId>,
    /// The endpoints, as in the program.
    pub pods: &'a [PodId],
    /// The program after all passes.
    pub program: &'a Program,
    /// The image; its origins are those of `program` by this list.
    pub image: &'a Image<'a>,
}

/// Compares everything. Returns how many decisions were compared.
///
/// # Errors
/// The first mismatch.
pub fn verify(subject: &Subject<'_>) -> Result<u64, Box<Mismatch>> {
    subject.addresses()?;
    open::verify(*subject)?;
    let mut peers = FxHashMap::default();
    let mut compared = 0;
    for (pod, index) in subject.pods.iter().zip(0..) {
        for direction in [Direction::Ingress, Direction::Egress] {
            compared += subject.side(*pod, index, direction, &mut peers)?;
        }
    }
    Ok(compared)
}

/// How each leaf matches a list of peers, in a tier.
type Matches<'a> = FxHashMap<(bool, Option<&'a Vec<Peer>>), Vec<Truth>>;

/// Leaves that the definition cannot tell apart.
type Signature = (Vec<u32>, bool, Option<(crate::cluster::PortsId, bool)>);

impl<'a> Subject<'a> {
    fn world(self, policies: &'a PolicySet) -> World<'a> {
        World {
            policies,
            names: self.cluster.names(),
        }
    }

    fn leaves(self) -> impl Iterator<Item = LeafId> {
        let count = crate::lir::number(self.lowering.leaves().list().len());
        (0..count).map(LeafId)
    }

    fn side(
        self,
        pod: PodId,
        index: u32,
        direction: Direction,
        peers: &mut Matches<'a>,
    ) -> Result<u64, Box<Mismatch>> {
        let Some(of) = self.cluster.pods().get(pod.index()) else {
            return Ok(0);
        };
        let view = crate::query::pod_view(self.cluster, pod, of);
        let all = self.policies.policies.iter();
        let governing: Vec<Policy> = all
            .clone()
            .filter(|policy| spec::governs(policy, &view))
            .cloned()
            .collect();
        let rules: Vec<(Tier, &Rule)> = all
            .filter(|policy| spec::governs(policy, &view))
            .flat_map(|policy| {
                policy
                    .rules
                    .get(direction)
                    .iter()
                    .map(|rule| (policy.tier, rule))
            })
            .collect();
        let policies = PolicySet {
            policies: governing,
            origins: Vec::new(),
            semantics: self.policies.semantics,
            resolution: self.policies.resolution.clone(),
        };
        let keys = self.keys(&rules);
        let groups = self.groups(direction, &rules, peers);
        let mut compared = 0;
        for leaves in groups.values() {
            let Some(example) = leaves
                .first()
                .and_then(|leaf| self.lowering.leaves().example(self.cluster, *leaf))
            else {
                continue;
            };
            let classes: BTreeSet<(u32, u32)> = leaves
                .iter()
                .filter_map(|leaf| {
                    let own = self.program.leaves.get(leaf.index())?.0;
                    let read =
                        verdict_abi::quarter(self.image, verdict_abi::Section::Leaves, leaf.0)?;
                    Some((own, read))
                })
                .collect();
            let family = match example.address {
                crate::hir::flow::Address::Known(address) => Family::of(address),
                crate::hir::flow::Address::Unknown { v4: true, .. } => Family::V4,
                crate::hir::flow::Address::Unknown { .. } => Family::V6,
            };
            let own = endpoint(self.cluster, Who::Pod(pod), family);
            for key in &keys {
                let side = self.judged(&policies, own, example, *key, direction);
                for (class, read) in &classes {
                    let leaf = leaves.iter().find(|leaf| {
                        self.program
                            .leaves
                            .get(leaf.index())
                            .is_some_and(|own| own.0 == *class)
                    });
                    let leaf = leaf.copied().unwrap_or(LeafId(0));
                    self.compare(index, direction, leaf, *read, *key, false, &side)?;
                    compared += 1;
                }
            }
        }
        // To itself, by way of a service.
        let addresses = of.addresses.iter();
        let known =
            addresses.map(|address| (Who::Owned(*address, Owner::Pod(pod)), Family::of(*address)));
        let unknown = crate::query::Families::ALL
            .iter()
            .map(|family| (Who::Pod(pod), family));
        for (who, family) in known.chain(unknown) {
            let own = endpoint(self.cluster, who, family);
            let Some(leaf) = self.lowering.leaves().of(self.lowering.resolved(), &own) else {
                continue;
            };
            let mut to = own;
            to.by_service = true;
            for key in &keys {
                let flow = Flow {
                    src: own,
                    dst: to,
                    transport: transport::example(*key),
                };
                let side = spec::judge_side(self.world(&policies), &flow, direction);
                let class = self
                    .program
                    .leaves
                    .get(leaf.index())
                    .map_or(0, |class| class.0);
                self.compare(index, direction, leaf, class, *key, true, &side)?;
                compared += 1;
            }
        }
        Ok(compared)
    }

    fn judged(
        self,
        policies: &PolicySet,
        own: Endpoint<'_>,
        other: Endpoint<'_>,
        key: u32,
        direction: Direction,
    ) -> Side {
        let (src, dst) = match direction {
            Direction::Ingress => (other, own),
            Direction::Egress => (own, other),
        };
        let flow = Flow {
            src,
            dst,
            transport: transport::example(key),
        };
        let world = World {
            policies,
            names: self.cluster.names(),
        };
        spec::judge_side(world, &flow, direction)
    }

    /// Every key at which a rule, a named port or the program changes its mind, and those beside it.
    fn keys(self, rules: &[(Tier, &Rule)]) -> BTreeSet<u32> {
        let mut keys: BTreeSet<u32> = BTreeSet::from([0, LAST]);
        let mut around = |first: u32, last: u32| {
            keys.extend([first.saturating_sub(1), first, last, (last + 1).min(LAST)]);
        };
        for (start, _) in &self.program.transports {
            around(*start, *start);
        }
        let ports = rules
            .iter()
            .flat_map(|(_, rule)| rule.ports.iter().flatten());
        for port in ports {
            match port {
                PortMatch::Range { protocol, ports } => {
                    around(
                        key(*protocol, ports.first.into()),
                        key(*protocol, ports.last.into()),
                    );
                }
                PortMatch::Named { name, .. } => {
                    let named = self.cluster.port_sets.iter().flatten();
                    for own in named.filter(|own| own.name == *name) {
                        let at = key(own.protocol, own.number.into());
                        around(at, at);
                    }
                }
            }
        }
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
            keys.insert(key(protocol, NOT_KNOWN));
        }
        // Keys between the protocols stand for no packet.
        keys.retain(|key| transport::of(transport::example(*key)) == *key);
        keys
    }

    /// The leaves by all that the definition asks of them.
    fn groups(
        self,
        direction: Direction,
        rules: &[(Tier, &'a Rule)],
        peers: &mut Matches<'a>,
    ) -> FxHashMap<Signature, Vec<LeafId>> {
        let asked: Vec<(bool, Option<&Vec<Peer>>)> = rules
            .iter()
            .map(|(tier, rule)| (*tier == Tier::Namespace, rule.peers.as_ref()))
            .collect();
        for ((of_namespace, list), (tier, rule)) in asked.iter().zip(rules) {
            peers
                .entry((*of_namespace, *list))
                .or_insert_with(|| self.matches(*tier, rule));
        }
        let mut told: Vec<Vec<u32>> = Vec::new();
        let by_name = rules
            .iter()
            .flat_map(|(_, rule)| rule.ports.iter().flatten())
            .any(|port| match port {
                PortMatch::Named { .. } => true,
                PortMatch::Range { .. } => false,
            });
        told.resize(self.lowering.leaves().list().len(), Vec::new());
        for (key, number) in asked.iter().zip(0_u32..) {
            for (told, truth) in told.iter_mut().zip(peers.get(key).into_iter().flatten()) {
                match truth {
                    Truth::Yes => told.push(number * 2),
                    Truth::Unknown => told.push(number * 2 + 1),
                    Truth::No => {}
                }
            }
        }
        let mut groups: FxHashMap<Signature, Vec<LeafId>> = FxHashMap::default();
        for (leaf, told) in self.leaves().zip(told) {
            let Some(example) = self.lowering.leaves().example(self.cluster, leaf) else {
                continue;
            };
            let own_node = matches!(
                &example.kind,
                EndpointKind::Node(NodeView { id: Some(id), .. }) if Some(*id) == self.node
            );
            let ports = self
                .named_ports(leaf)
                .filter(|_| by_name && direction == Direction::Egress);
            groups
                .entry((told, own_node, ports))
                .or_default()
                .push(leaf);
        }
        groups
    }

    fn named_ports(self, leaf: LeafId) -> Option<(crate::cluster::PortsId, bool)> {
        use crate::lir::leaves::Remote;
        match self.lowering.leaves().list().get(leaf.index())?.who {
            Remote::Identity(identity) => {
                let identity = self
                    .lowering
                    .resolved()
                    .identities()
                    .get(identity.index())?;
                Some((identity.ports, identity.host.is_some()))
            }
            Remote::Node(_) | Remote::UnknownNode | Remote::Outside => None,
        }
    }

    fn matches(self, tier: Tier, rule: &Rule) -> Vec<Truth> {
        let world = self.world(self.policies);
        let leaves = self.lowering.leaves();
        self.leaves()
            .map(|leaf| {
                let example = leaves.example(self.cluster, leaf);
                example.map_or(Truth::No, |end| spec::peers_match(world, tier, rule, &end))
            })
            .collect()
    }

    #[expect(clippy::too_many_arguments, reason = "a question and its answer")]
    fn compare(
        self,
        index: u32,
        direction: Direction,
        leaf: LeafId,
        read: u32,
        key: u32,
        hairpin: bool,
        side: &Side,
    ) -> Result<(), Box<Mismatch>> {
        let (protocol, value) = transport::parts(key);
        let of = match (direction, hairpin) {
            (Direction::Ingress, false) => Use::Ingress,
            (Direction::Egress, false) => Use::Egress,
            (Direction::Ingress, true) => Use::HairpinIngress,
            (Direction::Egress, true) => Use::HairpinEgress,
        };
        let Some(endpoint) = self.program.endpoints.get(index as usize) else {
            return Ok(());
        };
        let mismatch = |expected: String, found: String| {
            let who = self
                .lowering
                .leaves()
                .describe(self.cluster, self.lowering.resolved(), leaf);
            let way = match direction {
                Direction::Ingress => "from",
                Direction::Egress => "to",
            };
            let by_service = if hairpin { " by way of a service" } else { "" };
            Box::new(Mismatch {
                endpoint: endpoint.name.clone(),
                question: format!(
                    "{direction} {way} {who}{by_service}, protocol {} value {value}",
                    protocol.0
                )
                .into(),
                expected: expected.into(),
                found: found.into(),
            })
        };
        let chain = self
            .program
            .chains
            .get(endpoint.chains.get(direction).index());
        let class = self.program.leaves.get(leaf.index());
        let decision = chain.zip(class).map(|(chain, class)| {
            self.program
                .decide(chain, *class, self.program.port_class(key), hairpin)
        });
        let Some(decision) = decision else {
            return Err(mismatch(
                format!("{:?}", side.verdict),
                "no decision".into(),
            ));
        };
        if verdict(decision) != side.verdict || !self.is_named(decision, side) {
            return Err(mismatch(
                describe(side),
                format!("{decision} in the program"),
            ));
        }
        let query = Query {
            endpoint: index,
            of,
            leaf: leaf.0,
            protocol: protocol.0,
            value,
        };
        let own_class = class.map(|class| class.0);
        let found = decide(self.image, query);
        let same = found.is_some_and(|(number, code)| {
            let code_of = self.program.codes.get(number as usize);
            code_of == Some(&decision) && is_same(decision, code)
        });
        let ports = port_class(self.image, protocol.0, value);
        let classes = own_class == Some(read) && ports == Some(self.program.port_class(key).0);
        if same && classes {
            return Ok(());
        }
        let found = found.map_or("nothing".to_owned(), |(_, code)| format!("{code:?}"));
        Err(mismatch(
            decision.to_string(),
            format!("{found} in the image"),
        ))
    }

    /// Whether a decision is named after a rule or a policy that the definition names.
    fn is_named(self, decision: Decision, side: &Side) -> bool {
        let denies = |rule: &crate::hir::RuleId| {
            let rule = self.policies.rule(*rule);
            rule.is_some_and(|(_, rule)| rule.action == crate::hir::Action::Deny)
        };
        match decision.origin {
            Origin::Rule(rule) => side.rules.contains(&rule),
            Origin::Isolation(policy) => {
                side.verdict == Verdict::Deny
                    && side.isolated_by.contains(&policy)
                    && !side.rules.iter().any(denies)
            }
            Origin::Nobody => side.verdict == Verdict::Allow,
        }
    }

    /// The leaf of every address at which something changes, and of those beside it.
    fn addresses(self) -> Result<(), Box<Mismatch>> {
        let (v4, v6) = (self.lowering.leaves().v4(), self.lowering.leaves().v6());
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        for start in v4.iter().map(|(start, _)| *start).chain([u32::MAX]) {
            let around = [start.saturating_sub(1), start, start.saturating_add(1)];
            addresses.extend(around.map(|bits| IpAddr::from(std::net::Ipv4Addr::from_bits(bits))));
        }
        for start in v6.iter().map(|(start, _)| *start).chain([u128::MAX]) {
            let around = [start.saturating_sub(1), start, start.saturating_add(1)];
            addresses.extend(around.map(|bits| IpAddr::from(std::net::Ipv6Addr::from_bits(bits))));
        }
        for address in self
            .cluster
            .owned_addresses()
            .chain(self.lowering.resolved().addresses.firsts())
        {
            addresses.insert(address);
        }
        for address in addresses {
            let end = endpoint(self.cluster, Who::Address(address), Family::of(address));
            let expected = self.lowering.leaves().of(self.lowering.resolved(), &end);
            let found = self.image.leaf(address).map(LeafId);
            if expected.is_none() || found != expected {
                let say = |leaf: Option<LeafId>| {
                    let who = leaf.map(|leaf| {
                        self.lowering.leaves().describe(
                            self.cluster,
                            self.lowering.resolved(),
                            leaf,
                        )
                    });
                    who.unwrap_or("nothing".into()).into()
                };
                return Err(Box::new(Mismatch {
                    endpoint: "every endpoint".into(),
                    question: format!("who is {address}").into(),
                    expected: say(expected),
                    found: say(found),
                }));
            }
        }
        Ok(())
    }
}

fn verdict(decision: Decision) -> Verdict {
    if decision.depends {
        return Verdict::Depends;
    }
    if decision.action.passes() {
        Verdict::Allow
    } else {
        Verdict::Deny
    }
}

fn is_same(decision: Decision, code: verdict_abi::Code) -> bool {
    let action = match (decision.action, code.action) {
        (Action::Deny | Action::Pass, verdict_abi::Action::Deny)
        | (Action::Audit, verdict_abi::Action::Audit)
        | (Action::Allow, verdict_abi::Action::Allow) => true,
        (Action::Redirect(listener), verdict_abi::Action::Redirect) => listener == code.listener,
        (Action::Deny | Action::Pass | Action::Audit | Action::Allow | Action::Redirect(_), _) => {
            false
        }
    };
    let named = (decision.origin == Origin::Nobody) == (code.origin == 0);
    action && named && decision.depends == code.depends
}

fn describe(side: &Side) -> String {
    let rules = side.rules.iter().map(ToString::to_string);
    let policies = side.isolated_by.iter().map(ToString::to_string);
    let names: Vec<String> = rules.chain(policies).collect();
    format!("{:?} by {}", side.verdict, names.join(" "))
}
