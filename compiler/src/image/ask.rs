//! A flow asked of an image alone.
//!
//! Endpoints are asked by the tables. A pod that does not exist has no place in them: both sides of its flows are
//! judged by the policies that the image carries ([`verdict_abi::open`]).

use super::{Image, Origin, demand};
use crate::cluster::{Labels, NAMESPACE_NAME_LABEL, Protocol};
use crate::lir::transport;
use std::net::{IpAddr, Ipv6Addr};
use verdict_abi::open::{self, Address, Packet, Places, Pod, RuleAction, Verdict, Who};
use verdict_abi::{Action, Code, Config, Query, Section, Tables as _, Use, decide};

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// An endpoint of the image, with its addresses.
    Endpoint(u32, Vec<IpAddr>),
    /// Another address.
    Address(IpAddr),
    /// A pod that does not exist.
    New(Box<Pod>),
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The code; its origin is `origin`.
    pub code: Code,
    /// Who decides; none where no policy has a say.
    pub origin: Option<Origin>,
}

impl Said {
    /// Nobody is asked.
    const EXEMPT: Self = Self {
        code: Code {
            action: Action::Allow,
            depends: false,
            listener: 0,
            origin: 0,
        },
        origin: None,
    };
}

/// The answer: what is said by each side that is an endpoint of the image, or a pod that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The addresses that the flow has, where they are known.
    pub addresses: (Option<IpAddr>, Option<IpAddr>),
    /// The source's side.
    pub egress: Option<Said>,
    /// The destination's side.
    pub ingress: Option<Said>,
    /// Whether an end is a pod for which the tables have no class: they deny it until the image is compiled again.
    pub needs_recompile: bool,
}

/// Why a flow cannot be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// Neither end is an endpoint of the image.
    NoEndpoint,
    /// The ends have no address of one family that carries the protocol.
    Apart,
}

impl Image<'_> {
    /// The image, ready for ends to be placed that it has not seen.
    #[must_use]
    pub fn places(&self) -> Places<'_, Self> {
        Places::new(self.world(), self.subjects(), self, self.deciders())
    }

    /// The end of an address: the endpoint that has it, or anyone else.
    #[must_use]
    pub fn end_of_address(&self, address: IpAddr) -> End {
        let address = address.to_canonical();
        match self.endpoint_addresses().find(|(own, _)| *own == address) {
            Some((_, endpoint)) => End::Endpoint(endpoint, vec![address]),
            None => End::Address(address),
        }
    }

    /// The end that is an endpoint: `namespace/name`.
    #[must_use]
    pub fn end_of_endpoint(&self, name: &str) -> Option<End> {
        let endpoint = self.endpoint(name)?;
        let own = self.endpoint_addresses().filter(|(_, of)| *of == endpoint);
        Some(End::Endpoint(
            endpoint,
            own.map(|(address, _)| address).collect(),
        ))
    }

    /// A pod that does not exist in a namespace that the image knows; `None` where it knows none of the name.
    #[must_use]
    pub fn new_pod_in(&self, namespace: &str, labels: &Labels) -> Option<End> {
        let world = self.world();
        let known = world.namespace(namespace)?;
        let pod = Pod {
            namespace_labels: world.label_set(known.labels).clone(),
            ..world.new_pod(namespace, [], labels.iter())
        };
        Some(End::New(pod.into()))
    }

    /// A pod that does not exist in a namespace that does not exist either.
    #[must_use]
    pub fn new_pod(&self, namespace_labels: &Labels, labels: &Labels) -> End {
        let namespace = namespace_labels.get(NAMESPACE_NAME_LABEL).unwrap_or("");
        let pod = self
            .world()
            .new_pod(namespace, namespace_labels.iter(), labels.iter());
        End::New(pod.into())
    }

    /// The addresses of endpoints, each with its endpoint.
    pub(crate) fn endpoint_addresses(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        (0..self.count(Config::Addresses)).filter_map(|index| {
            let [upper, lower, endpoint] =
                [0, 1, 2].map(|word| self.word(Section::Addresses, index * 3 + word));
            let bits = u128::from(upper?) << 64 | u128::from(lower?);
            let address = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
            Some((address, u32::try_from(endpoint?).ok()?))
        })
    }

    /// Asks about a flow between two ends, of which `key` is the [transport key](transport).
    ///
    /// # Errors
    /// Where the image has nothing to say.
    pub fn ask(&self, src: &End, dst: &End, key: u32) -> Result<Asked, NotAsked> {
        if let (End::Address(_), End::Address(_)) = (src, dst) {
            return Err(NotAsked::NoEndpoint);
        }
        let (protocol, _) = transport::parts(key);
        let mut answers = Vec::new();
        for v4 in families(protocol) {
            let Some(pair) = in_family(src, *v4).zip(in_family(dst, *v4)) else {
                continue;
            };
            answers.push(self.ask_in(*v4, (src, pair.0), (dst, pair.1), key));
        }
        let agreed = answers.into_iter().reduce(agreed);
        agreed.ok_or(NotAsked::Apart)
    }

    fn ask_in(
        &self,
        v4: bool,
        (src, from): (&End, Option<IpAddr>),
        (dst, to): (&End, Option<IpAddr>),
        key: u32,
    ) -> Asked {
        let at = |address: Option<IpAddr>| {
            address.map_or(Address::Unknown { v4, v6: !v4 }, Address::Known)
        };
        let is_new = |end: &End| matches!(end, End::New(_));
        let (egress, ingress) = if is_new(src) || is_new(dst) {
            let ends = (self.open_end(src, at(from)), self.open_end(dst, at(to)));
            (
                self.judged(src, &ends.0, &ends.1, false, key),
                self.judged(dst, &ends.1, &ends.0, true, key),
            )
        } else {
            match (src, dst) {
                // At its own address, not by way of a service, a pod reaches itself whatever policies say.
                (End::Endpoint(one, _), End::Endpoint(other, _))
                    if one == other && !self.is_host(*one) =>
                {
                    (Some(Said::EXEMPT), Some(Said::EXEMPT))
                }
                (End::Endpoint(..) | End::Address(_) | End::New(_), _) => (
                    to.and_then(|to| self.side(src, Use::Egress, to, key)),
                    from.and_then(|from| self.side(dst, Use::Ingress, from, key)),
                ),
            }
        };
        let lacks = |end: &End, address| match end {
            End::New(_) => {
                let open = self.open_end(end, at(address));
                open.is_none_or(|open| self.places().leaf(&open).is_none())
            }
            End::Endpoint(..) | End::Address(_) => false,
        };
        Asked {
            addresses: (from, to),
            egress,
            ingress,
            needs_recompile: lacks(src, from) || lacks(dst, to),
        }
    }

    /// Whether an endpoint is the node itself.
    #[must_use]
    pub fn is_host(&self, endpoint: u32) -> bool {
        endpoint as usize >= self.subjects().identities.len()
    }

    fn side(&self, subject: &End, of: Use, other: IpAddr, key: u32) -> Option<Said> {
        let End::Endpoint(endpoint, _) = subject else {
            return None;
        };
        let (protocol, value) = transport::parts(key);
        let query = Query {
            endpoint: *endpoint,
            of,
            leaf: self.leaf(other)?,
            protocol: protocol.0,
            value,
        };
        let (_, code) = decide(self, query)?;
        Some(Said {
            code,
            origin: self.source().decider(code).cloned(),
        })
    }

    /// An end as the policies in the image see it.
    fn open_end(&self, end: &End, address: Address) -> Option<open::End> {
        let world = self.world();
        let who = match end {
            End::Endpoint(endpoint, _) => Who::Pod(self.subjects().pod(world, *endpoint)?),
            End::Address(own) => world.leaf(self.leaf(*own)?)?,
            End::New(pod) => Who::Pod((**pod).clone()),
        };
        Some(open::End { who, address })
    }

    /// What the policies in the image say of an endpoint or of a pod that does not exist.
    fn judged(
        &self,
        subject: &End,
        own: &Option<open::End>,
        other: &Option<open::End>,
        ingress: bool,
        key: u32,
    ) -> Option<Said> {
        let (own, other) = (own.as_ref()?, other.as_ref()?);
        let pod = match (subject, &own.who) {
            (End::Endpoint(..) | End::New(_), Who::Pod(pod)) => pod,
            (End::Address(_), _) | (_, Who::Node(_) | Who::Outside) => return None,
        };
        let packet = transport::example(key);
        let packet = Packet {
            protocol: packet.protocol.0,
            port: packet.port,
        };
        let governing = self.world().governing(pod);
        let side = self.world().judge(pod, &governing, other, ingress, packet);
        let action = match side.verdict {
            Verdict::Allow => Action::Allow,
            Verdict::Deny | Verdict::Depends => Action::Deny,
        };
        Some(Said {
            code: Code {
                action,
                depends: side.verdict == Verdict::Depends,
                listener: 0,
                origin: 0,
            },
            origin: self.decider(&side),
        })
    }

    /// The rule that decides, or the policy that isolates.
    fn decider(&self, side: &open::Side) -> Option<Origin> {
        let world = self.world();
        let rules = || side.rules.iter().filter_map(|rule| world.rule(*rule));
        let decides = |action| match (side.verdict, action) {
            (Verdict::Allow, RuleAction::Allow) | (Verdict::Deny, RuleAction::Deny) => true,
            (Verdict::Depends, RuleAction::Allow | RuleAction::Deny) => true,
            (Verdict::Allow | Verdict::Deny | Verdict::Depends, _) => false,
        };
        if let Some((policy, rule)) = rules().find(|(_, rule)| decides(rule.action)) {
            return Some(Origin {
                policy: policy.name.clone(),
                rule: Some(world.string(rule.path).into()),
                file: world.string(policy.file).into(),
                line: rule.line,
            });
        }
        let isolating = side.isolated_by.first();
        let isolating = isolating.filter(|_| side.verdict != Verdict::Allow);
        let policy = world.policies.get(*isolating? as usize)?;
        Some(Origin {
            policy: policy.name.clone(),
            rule: None,
            file: world.string(policy.file).into(),
            line: policy.line,
        })
    }
}

/// The families that carry a protocol: whether each is IPv4.
fn families(protocol: Protocol) -> &'static [bool] {
    match protocol {
        Protocol::ICMP => &[true],
        Protocol::ICMPV6 => &[false],
        Protocol(_) => &[true, false],
    }
}

/// The address of an end in a family, known or not; `None` where it has none.
#[expect(
    clippy::option_option,
    reason = "an end without an address of the family is not one whose address is not known"
)]
fn in_family(end: &End, v4: bool) -> Option<Option<IpAddr>> {
    match end {
        End::Endpoint(_, own) => {
            let own = own.iter().find(|address| address.is_ipv4() == v4);
            own.map(|address| Some(*address))
        }
        End::Address(own) => (own.is_ipv4() == v4).then_some(Some(*own)),
        End::New(_) => Some(None),
    }
}

/// The answer in both families: what differs hangs on which it is.
fn agreed(one: Asked, other: Asked) -> Asked {
    let side = |one: Option<Said>, other: Option<Said>| {
        let (mut one, other) = (one?, other?);
        let same = (one.code.action, one.code.depends) == (other.code.action, other.code.depends);
        if !same {
            one.code.action = Action::Deny;
            one.code.depends = true;
        }
        Some(one)
    };
    Asked {
        addresses: one.addresses,
        egress: side(one.egress, other.egress),
        ingress: side(one.ingress, other.ingress),
        needs_recompile: one.needs_recompile || other.needs_recompile,
    }
}

impl Asked {
    /// What the sides say together: the first that denies, else one that hangs on something not known, else one by way
    /// of a proxy.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let sides = || {
            self.egress
                .iter()
                .chain(&self.ingress)
                .map(|said| said.code)
        };
        let any = |what: fn(Code) -> bool| sides().any(what);
        if any(|code| code.action == Action::Deny && !code.depends) {
            "deny"
        } else if any(|code| code.depends) {
            "depends"
        } else if any(|code| demand::proxy(code).is_some()) {
            "redirect"
        } else {
            "allow"
        }
    }
}
