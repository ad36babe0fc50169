//! The labels of an end, as far as they are asked for.

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;

/// What is read of the labels of an end.
#[derive(Clone, Copy, Default)]
pub(super) struct Labels {
    pub(super) is_host: bool,
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of labels")
    }

    fn visit_unit<E>(self) -> Result<Labels, E> {
        Ok(Labels::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        while let Some(IsHost(is_host)) = seq.next_element()? {
            labels.is_host |= is_host;
        }
        Ok(labels)
    }
}

/// Whether a label is that of the node itself; the text of others is not kept.
struct IsHost(bool);

impl<'de> Deserialize<'de> for IsHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(IsHostVisitor)
    }
}

struct IsHostVisitor;

impl Visitor<'_> for IsHostVisitor {
    type Value = IsHost;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a label")
    }

    fn visit_str<E>(self, label: &str) -> Result<IsHost, E> {
        Ok(IsHost(label == "reserved:host"))
    }
}
