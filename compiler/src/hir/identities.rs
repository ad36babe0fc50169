//! Ends by what their identity is labelled.

use super::Operator;
use crate::identity::{Identity, key, source};
use ipnet::IpNet;
use std::fmt;

/// A selector over the labels of an identity: every requirement must hold. Without any it selects everything, what
/// has no identity included.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentitySelector {
    /// The requirements.
    pub requirements: Vec<SourcedRequirement>,
    /// Blocks that the identity must not be in.
    pub except: Vec<IpNet>,
}

/// A requirement of a label that may have to be of one source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcedRequirement {
    /// The source; [`source::ANY`] is every source.
    pub source: Box<str>,
    /// The key.
    pub key: Box<str>,
    /// What must be true of the label.
    pub operator: Operator,
}

impl IdentitySelector {
    /// The selector that selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && self.except.is_empty()
    }

    /// What has a label of the implementation's own.
    #[must_use]
    pub fn reserved(key: &str) -> Self {
        let requirement = SourcedRequirement::new(source::RESERVED, key, Operator::Exists);
        [requirement].into_iter().collect()
    }

    /// Whether the labels of an identity meet every requirement.
    #[must_use]
    pub fn matches(&self, identity: &Identity) -> bool {
        self.meets(identity, |source, key| identity.labels.get(source, key))
    }

    /// The same of the subject of a policy.
    #[must_use]
    pub fn matches_subject(&self, identity: &Identity) -> bool {
        self.meets(identity, |source, key| identity.get_as_subject(source, key))
    }

    fn meets<'i>(
        &self,
        identity: &Identity,
        label: impl Fn(&str, &str) -> Option<&'i str>,
    ) -> bool {
        let excepted = |except: &IpNet| identity.blocks.iter().any(|own| except.contains(own));
        self.requirements.iter().all(|one| one.is_met(&label)) && !self.except.iter().any(excepted)
    }
}

impl FromIterator<SourcedRequirement> for IdentitySelector {
    fn from_iter<I: IntoIterator<Item = SourcedRequirement>>(requirements: I) -> Self {
        Self {
            requirements: requirements.into_iter().collect(),
            except: Vec::new(),
        }
    }
}

impl SourcedRequirement {
    /// A requirement.
    #[must_use]
    pub fn new(source: &str, key: &str, operator: Operator) -> Self {
        Self {
            source: source.into(),
            key: key.into(),
            operator,
        }
    }

    /// The requirement that a label has this value.
    #[must_use]
    pub fn equal(source: &str, key: &str, value: &str) -> Self {
        Self::new(source, key, Operator::In(vec![value.into()]))
    }

    /// That the end is in this namespace.
    #[must_use]
    pub fn in_namespace(namespace: &str) -> Self {
        Self::equal(source::K8S, key::NAMESPACE, namespace)
    }

    /// Whether labels meet it. A label that is not there is none of the values.
    #[must_use]
    pub fn matches(&self, identity: &Identity) -> bool {
        self.is_met(|source, key| identity.labels.get(source, key))
    }

    /// Whether labels meet it of which this gives the value, by source and key.
    fn is_met<'i>(&self, label: impl Fn(&str, &str) -> Option<&'i str>) -> bool {
        let value = label(&self.source, &self.key);
        let is_one_of = |values: &[Box<str>]| match &*self.source {
            // Two groups with different values of one key may have the same block.
            source::CIDR_GROUP => values.iter().any(|value| {
                let both = crate::identity::group_key(&self.key, value);
                label(&self.source, &both).is_some()
            }),
            _ => value.is_some_and(|value| values.iter().any(|known| &**known == value)),
        };
        match &self.operator {
            Operator::In(values) => is_one_of(values),
            Operator::NotIn(values) => !is_one_of(values),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for IdentitySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        for (index, except) in self.except.iter().enumerate() {
            let before = if index == 0 { " except " } else { "," };
            write!(f, "{before}{except}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SourcedRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, key) = (&self.source, &self.key);
        match &self.operator {
            Operator::In(values) => match values.as_slice() {
                [value] => write!(f, "{source}:{key}={value}"),
                values => write!(f, "{source}:{key} in ({})", values.join(",")),
            },
            Operator::NotIn(values) => write!(f, "{source}:{key} notin ({})", values.join(",")),
            Operator::Exists => write!(f, "{source}:{key}"),
            Operator::DoesNotExist => write!(f, "!{source}:{key}"),
        }
    }
}
