//! What an image says by name: its node, its endpoints with their addresses, and for each code who decides and where that is
//! written.

use super::mismatch::{Check, Mismatch, general};
use super::{Prover, Subject};
use crate::cluster::{Cluster, Owner};
use crate::hir::spec::{Side, Truth, Verdict};
use crate::hir::{Action as Written, Auth, Policy, PolicySet};
use crate::image::{by_action, demand};
use crate::lir::{Action, CodeId, Decision, Origin, Program};
use crate::source::{Sources, Span};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;
use verdict_abi::{Code, Config, Section, Tables as _};

/// The line of each policy and of each rule, once it is asked for.
#[derive(Debug)]
pub(super) struct Lines {
    policies: Vec<OnceLock<u32>>,
    rules: Vec<OnceLock<u32>>,
}

impl Lines {
    pub(super) fn of(policies: &PolicySet) -> Self {
        let none = |count| std::iter::repeat_with(OnceLock::new).take(count).collect();
        Self {
            policies: none(policies.policies.len()),
            rules: none(policies.origins.len()),
        }
    }

    /// File and line of an origin, which is written in this span.
    fn place<'s>(
        &self,
        origin: Origin,
        sources: &'s Sources,
        span: Span,
    ) -> Option<(&'s str, u32)> {
        let slot = match origin {
            Origin::Nobody => None,
            Origin::Isolation(policy) => self.policies.get(policy.index()),
            Origin::Rule(rule) => self.rules.get(rule.index()),
        };
        let line = slot?.get_or_init(|| sources.line(span).1);
        Some((sources.get(span.file)?.name(), *line))
    }
}

/// The name of an endpoint: `namespace/name`, `node/name`.
pub(super) fn name(cluster: &Cluster, of: Owner) -> Option<String> {
    Some(match of {
        Owner::Pod(pod) => {
            let pod = cluster.pod(pod)?;
            format!("{}/{}", cluster.namespace_name(pod.namespace), pod.name)
        }
        Owner::Node(node) => format!("node/{}", cluster.node(node)?.name),
    })
}

impl Subject<'_> {
    /// The endpoints are the pods of the node, in their order, and the node where policies govern it, each with its addresses.
    pub(super) fn endpoints(&self) -> Result<(), Box<Mismatch>> {
        let wrong = |question: &str, expected: String, found: String| {
            Err(general(Check::Endpoints, question, expected, found))
        };
        let source = self.image.source();
        let node = self.node.and_then(|node| self.cluster.node(node));
        let node = node.map(|node| node.name.clone());
        if source.node != node {
            return wrong(
                "the node",
                format!("{node:?}"),
                format!("{:?}", source.node),
            );
        }
        let pods = self.pods.iter().filter_map(|pod| self.cluster.pod(*pod));
        let host = self.host().and_then(|node| self.cluster.node(node));
        let owners = self.pods.iter().map(|pod| Owner::Pod(*pod));
        let owners = owners.chain(self.host().map(Owner::Node));
        let names: Vec<String> = owners
            .filter_map(|owner| name(self.cluster, owner))
            .collect();
        let own = self
            .program
            .endpoints
            .iter()
            .map(|endpoint| &*endpoint.name);
        let written = source.endpoints.iter().map(|name| &**name);
        let expected = names.iter().map(|name| &**name);
        if !own.eq(expected.clone()) || !written.clone().eq(expected) {
            let found = written.collect::<Vec<_>>().join(" ");
            return wrong("the endpoints", names.join(" "), found);
        }
        let mut expected: BTreeMap<u128, u32> = BTreeMap::new();
        let all = pods.map(|pod| (pod.host_network, &*pod.addresses));
        let all = all.chain(host.map(|node| (false, node.addresses.as_slice())));
        for ((is_elsewhere, addresses), index) in all.zip(0..) {
            if is_elsewhere {
                continue;
            }
            for address in addresses {
                // Where several have an address, the first has it.
                expected.entry(bits(*address)).or_insert(index);
            }
        }
        let found = (0..self.image.count(Config::Addresses)).map(|index| {
            let word = |part| self.image.word(Section::Addresses, index * 3 + part);
            let bits = u128::from(word(0)?) << 64 | u128::from(word(1)?);
            Some((bits, word(2)?))
        });
        let found: Vec<Option<(u128, u64)>> = found.collect();
        let right = expected
            .iter()
            .map(|(bits, endpoint)| Some((*bits, u64::from(*endpoint))));
        if right.clone().eq(found.iter().copied()) {
            return Ok(());
        }
        let say = |entry: Option<(u128, u64)>| match entry {
            Some((bits, endpoint)) => {
                format!("{} of endpoint {endpoint}", Ipv6Addr::from_bits(bits))
            }
            None => "nothing".to_owned(),
        };
        let mut pairs = right
            .clone()
            .map(Some)
            .chain([None])
            .zip(found.into_iter().map(Some).chain([None]));
        let first = pairs.find(|(right, found)| right != found);
        let (right, found) = first.unwrap_or_default();
        wrong(
            "the addresses of endpoints",
            say(right.flatten()),
            say(found.flatten()),
        )
    }

    /// Each code of the image does what that of the program does, and names the place that decides.
    pub(super) fn codes(&self, prover: &Prover<'_>) -> Result<(), Box<Mismatch>> {
        let count = self.image.count(Config::Codes) as usize;
        if count != self.program.codes.len() {
            return Err(general(
                Check::Codes,
                "the codes",
                format!("{} of them", self.program.codes.len()),
                count.to_string(),
            ));
        }
        for (decision, index) in coded(self.program).iter().zip(0..) {
            let code = self.image.word(Section::Codes, index).and_then(Code::of);
            if code.is_some_and(|code| self.is_same(prover, *decision, code)) {
                continue;
            }
            let found = code.map(|code| {
                let origin = self.image.source().decider(code);
                format!("{code:?} by {origin:?}")
            });
            return Err(general(
                Check::Codes,
                CodeId(index).to_string(),
                decision.to_string(),
                found.unwrap_or_else(|| "nothing".to_owned()),
            ));
        }
        Ok(())
    }

    fn is_same(&self, prover: &Prover<'_>, decision: Decision, code: Code) -> bool {
        let action = match (decision.action, code.action) {
            (Action::Deny | Action::Pass, verdict_abi::Action::Deny)
            | (Action::Audit, verdict_abi::Action::Audit)
            | (Action::Allow, verdict_abi::Action::Allow) => code.listener == 0,
            (Action::Redirect(listener), verdict_abi::Action::Redirect) => {
                listener == code.listener
            }
            (Action::Prove(auth, listener), verdict_abi::Action::Redirect) => {
                let own = (listener > 0).then_some(listener);
                demand::auth(code) == Some(auth) && demand::proxy(code) == own
            }
            (
                Action::Deny
                | Action::Pass
                | Action::Audit
                | Action::Allow
                | Action::Redirect(_)
                | Action::Prove(_, _),
                _,
            ) => false,
        };
        action
            && decision.depends == code.depends
            && self.is_written(&prover.lines, decision.origin, code.origin)
    }

    /// Whether the source table says of an origin what the texts do.
    fn is_written(&self, lines: &Lines, origin: Origin, number: u32) -> bool {
        let found = self.image.source().decider_at(number);
        let (policy, rule, span): (Option<&Policy>, Option<&str>, Option<Span>) = match origin {
            Origin::Nobody => return number == 0,
            Origin::Isolation(policy) => {
                let policy = self.policies.policy(policy);
                (policy, None, policy.map(|policy| policy.span))
            }
            Origin::Rule(rule) => {
                let origin = self.policies.origin(rule);
                let policy = origin.and_then(|origin| self.policies.policy(origin.policy));
                let path = origin.map(|origin| &*origin.path);
                (policy, path, origin.map(|origin| origin.span))
            }
        };
        let (Some(policy), Some(span), Some(found)) = (policy, span, found) else {
            return false;
        };
        let Some((file, line)) = lines.place(origin, self.sources, span) else {
            return false;
        };
        is_text_of(&found.policy, &policy.object)
            && found.rule.as_deref() == rule
            && *found.file == *file
            && found.line == line
    }
}

/// Whether a text is how a thing is written.
fn is_text_of(text: &str, thing: &impl fmt::Display) -> bool {
    struct Left<'t>(&'t str);
    impl fmt::Write for Left<'_> {
        fn write_str(&mut self, written: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut left = Left(text);
    write!(left, "{thing}").is_ok() && left.0.is_empty()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Whether a decision is what the definition says, named after a rule or a policy that the definition names.
pub(super) fn is_said(policies: &PolicySet, decision: Decision, side: &Side) -> bool {
    let verdict = match decision {
        Decision { depends: true, .. } => Verdict::Depends,
        Decision { action, .. } if action.listener().is_some() => Verdict::Redirect,
        Decision { action, .. } if action.passes() => Verdict::Allow,
        Decision { .. } => Verdict::Deny,
    };
    if decision.action.auth() != side.auth.filter(|auth| *auth != Auth::Disabled) {
        return false;
    }
    let denies = |rule: &crate::hir::RuleId| {
        let rule = policies.rule(*rule);
        rule.is_some_and(|(_, rule)| rule.action == Written::Deny)
    };
    // No rule may match, and it may be open whether the other end is one that nothing keeps apart.
    let is_open = side.verdict == Verdict::Depends && side.rules.is_empty();
    let is_audited = side.audited != Truth::No;
    if (decision.action == Action::Audit) != is_audited {
        return false;
    }
    let is_by_default = side.verdict == Verdict::Deny || is_open || is_audited;
    let named = match decision.origin {
        Origin::Rule(rule) => side.rules.contains(&rule),
        Origin::Isolation(policy) => {
            is_by_default && side.isolated_by.contains(&policy) && !side.rules.iter().any(denies)
        }
        // A switch may isolate without a policy.
        Origin::Nobody if is_by_default => {
            side.isolated_by.is_empty() && !side.rules.iter().any(denies)
        }
        Origin::Nobody => side.verdict == Verdict::Allow,
    };
    verdict == side.verdict && named
}

/// The decisions of a program by the numbers of their codes in its image.
pub(super) fn coded(program: &Program) -> Vec<Decision> {
    let order = by_action(&program.codes);
    let decisions = order
        .iter()
        .map(|own| program.codes.get(own.index()).copied());
    decisions.flatten().collect()
}
