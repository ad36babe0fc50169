//! The HIR as text, for people and for tests that pin what lowering makes of a manifest.
//!
//! Input: a policy set and the texts that it came from. Output: one block for each policy, with the ids that
//! other dumps use and the place of every policy, rule and item. Guarantee: same set, same text; whatever
//! bears on a verdict is printed. It is not read back. The entry is [`print()`].

use super::{
    Direction, ItemOrigin, NamespaceSelector, Operator, Peer, PodSelector, Policy, PolicySet,
    PortMatch, PortRange, Precedence, Requirement, Rule, Selector, Subject,
};
use crate::source::{Sources, Span};
use std::fmt::{self, Display, Formatter, Write as _};

/// Prints a policy set.
#[must_use]
pub fn print(policies: &PolicySet, sources: &Sources) -> String {
    let printer = Printer { policies, sources };
    let mut text = String::new();
    let switch = policies.semantics.cidr_matches_pods;
    // Writing to a string does not fail.
    let host_network = policies.semantics.host_network;
    let _ = writeln!(
        text,
        "semantics cidr-matches-pods={switch} host-network={host_network}"
    );
    for policy in &policies.policies {
        let _ = printer.policy(&mut text, policy);
    }
    text
}

struct Printer<'a> {
    policies: &'a PolicySet,
    sources: &'a Sources,
}

impl Printer<'_> {
    fn place(&self, span: Span) -> String {
        let (file, location) = self.sources.location(span);
        format!("{file}:{}", location.line)
    }

    fn policy(&self, out: &mut String, policy: &Policy) -> fmt::Result {
        writeln!(
            out,
            "\n{} {}  {}",
            policy.id,
            policy.object,
            self.place(policy.span)
        )?;
        writeln!(out, "  tier {} priority {}", policy.tier, policy.priority)?;
        writeln!(out, "  subject {}", policy.subject)?;
        for direction in [Direction::Ingress, Direction::Egress] {
            if *policy.isolates.get(direction) {
                writeln!(out, "  isolates {direction}")?;
            }
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            for rule in policy.rules.get(direction) {
                self.rule(out, direction, rule)?;
            }
        }
        Ok(())
    }

    fn rule(&self, out: &mut String, direction: Direction, rule: &Rule) -> fmt::Result {
        let origin = self.policies.origin(rule.id);
        write!(out, "  {} {direction} {}", rule.id, rule.word())?;
        self.precedence(out, rule)?;
        if let Some(origin) = origin {
            if let Some(name) = &origin.name {
                write!(out, " {name:?}")?;
            }
            write!(out, "  {} {}", origin.path, self.place(origin.span))?;
        }
        out.push('\n');
        let peers = origin.map_or(&[][..], |origin| &origin.peers);
        let ports = origin.map_or(&[][..], |origin| &origin.ports);
        self.items(out, "peer", rule.peers.as_deref(), peers)?;
        self.items(out, "port", rule.ports.as_deref(), ports)
    }

    fn precedence(&self, out: &mut String, rule: &Rule) -> fmt::Result {
        let Precedence {
            rank,
            redirect,
            auth,
        } = rule.precedence;
        if rank > 0 {
            write!(out, " rank={rank}")?;
        }
        if let Some(redirect) = redirect {
            write!(out, " listener={}", redirect.priority)?;
        }
        if let Some(auth) = auth {
            write!(out, " auth={auth}")?;
        }
        Ok(())
    }

    fn items<T: Display>(
        &self,
        out: &mut String,
        word: &str,
        items: Option<&[T]>,
        origins: &[ItemOrigin],
    ) -> fmt::Result {
        let Some(items) = items else {
            return writeln!(out, "    {word} any");
        };
        if items.is_empty() {
            writeln!(out, "    {word} none")?;
        }
        for (index, item) in items.iter().enumerate() {
            write!(out, "    {word} {item}")?;
            if let Some(origin) = origins.get(index) {
                write!(out, "  {} {}", origin.path, self.place(origin.span))?;
            }
            out.push('\n');
        }
        Ok(())
    }
}

impl Display for PodSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.namespaces {
            NamespaceSelector::Named(name) => write!(f, "pods {name}/[{}]", self.pods),
            NamespaceSelector::Labels(labels) => write!(f, "pods [{labels}]/[{}]", self.pods),
        }
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(selector) => selector.fmt(f),
            Self::Endpoints(selector) => write!(f, "endpoints [{selector}]"),
            Self::Nodes(selector) => write!(f, "nodes [{selector}]"),
        }
    }
}

impl Display for Selector {
    /// As `kubectl --selector` takes it; empty where everything is selected.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Display for Requirement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => match values.as_slice() {
                [value] => write!(f, "{key}={value}"),
                values => write!(f, "{key} in ({})", values.join(",")),
            },
            Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl Display for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(selector) => selector.fmt(f),
            Self::Nodes(selector) => write!(f, "nodes [{selector}]"),
            Self::Addresses(block) => {
                write!(f, "addresses {}", block.cidr)?;
                for (index, except) in block.except.iter().enumerate() {
                    let before = if index == 0 { " except " } else { "," };
                    write!(f, "{before}{except}")?;
                }
                Ok(())
            }
            Self::Domain(pattern) => write!(f, "domain {pattern}"),
            Self::Identities(selectors) => {
                f.write_str("ends ")?;
                for (index, selector) in selectors.iter().enumerate() {
                    let before = if index == 0 { "" } else { " or " };
                    write!(f, "{before}[{selector}]")?;
                }
                Ok(())
            }
        }
    }
}

impl Display for PortMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { protocol, ports } if *ports == PortRange::ALL => {
                write!(f, "any/{protocol}")
            }
            Self::Range { protocol, ports } if ports.first == ports.last => {
                write!(f, "{}/{protocol}", ports.first)
            }
            Self::Range { protocol, ports } => {
                write!(f, "{}-{}/{protocol}", ports.first, ports.last)
            }
            Self::Named {
                protocol: Some(protocol),
                name,
            } => write!(f, "{name:?}/{protocol}"),
            Self::Named {
                protocol: None,
                name,
            } => write!(f, "{name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Protocol;
    use crate::hir::IpBlock;

    fn check(item: &dyn Display, expected: &str) {
        assert_eq!(item.to_string(), expected);
    }

    #[test]
    fn items_have_one_spelling() {
        let requirement = |key: &str, operator| Requirement {
            key: key.into(),
            operator,
        };
        let pods: Selector = [
            Requirement::equal("app", "web"),
            requirement("tier", Operator::NotIn(vec!["a".into(), "b".into()])),
            requirement("old", Operator::DoesNotExist),
            requirement("new", Operator::Exists),
        ]
        .into_iter()
        .collect();
        check(&pods, "app=web,tier notin (a,b),!old,new");
        let namespaces = NamespaceSelector::Labels(Selector::everything());
        check(
            &Peer::Pods(PodSelector { namespaces, pods }),
            "pods []/[app=web,tier notin (a,b),!old,new]",
        );
        let block = IpBlock {
            cidr: "10.0.0.0/8".parse().unwrap(),
            except: vec![
                "10.1.0.0/16".parse().unwrap(),
                "10.2.0.0/16".parse().unwrap(),
            ],
        };
        check(
            &Peer::Addresses(block),
            "addresses 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16",
        );
        let range = |first, last| PortMatch::Range {
            protocol: Protocol::TCP,
            ports: PortRange { first, last },
        };
        check(&range(80, 80), "80/TCP");
        check(&range(80, 90), "80-90/TCP");
        check(&range(0, u16::MAX), "any/TCP");
        let name = "http".into();
        check(
            &PortMatch::Named {
                protocol: None,
                name,
            },
            "\"http\"",
        );
    }

    #[test]
    fn an_empty_set_still_says_its_semantics() {
        let text = print(&PolicySet::default(), &Sources::default());
        assert_eq!(text, "semantics cidr-matches-pods=true host-network=pod\n");
    }
}
