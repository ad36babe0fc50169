//! Keys that stand twice, kept for those who refuse them.
//!
//! Input: what the reader notes while it settles a document. Output: for any node, every such key in what it
//! holds ([`NodeRef::repeated_keys`]), wherever that is written: through aliases and merges too. Guarantee:
//! time in proportion to what the node spans, and none where no key stands twice. Refused: nothing.

use super::{Document, Kind, NodeRef};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use std::collections::BTreeSet;

/// A key that stands twice in one mapping, or that a merge sets again.
#[derive(Clone, Debug)]
pub struct RepeatedKey {
    /// The mapping whose effective entries lack one of the two.
    pub(super) mapping: u32,
    pub(super) key: Box<str>,
    pub(super) dropped: Span,
    pub(super) taken: Span,
    /// Whether a merge below the key replaces it.
    pub(super) merged: bool,
}

impl RepeatedKey {
    /// The reader's warning.
    #[must_use]
    pub fn warning(&self) -> Diagnostic {
        if self.merged {
            return Diagnostic::new(
                &codes::DUPLICATE_KEY,
                format!("a merge below the key `{}` replaces its value", self.key),
            )
            .at(self.dropped, "kubectl drops this one")
            .related(self.taken, "and takes this one")
            .help("put `<<` first: kubectl takes what stands last");
        }
        Diagnostic::new(
            &codes::DUPLICATE_KEY,
            format!("the key `{}` stands twice", self.key),
        )
        .at(self.taken, "kubectl takes this one")
        .related(self.dropped, "and drops this one")
        .help("remove one of the two, or merge their values")
    }
}

impl Document<'_> {
    /// The keys that stand twice in the mappings of a range of nodes.
    pub(super) fn repeated_between(&self, start: u32, end: u32) -> &[RepeatedKey] {
        let from = self.repeated.partition_point(|key| key.mapping < start);
        let to = self.repeated.partition_point(|key| key.mapping < end);
        self.repeated.get(from..to).unwrap_or_default()
    }
}

impl<'a> NodeRef<'a> {
    /// The keys that stand twice in the mapping itself.
    #[must_use]
    pub fn own_repeated_keys(self) -> &'a [RepeatedKey] {
        let index = self.target().index;
        self.document.repeated_between(index, index + 1)
    }

    /// The keys that stand twice in the value and in all that it holds.
    #[must_use]
    pub fn repeated_keys(self) -> Vec<&'a RepeatedKey> {
        let mut found = Vec::new();
        if self.document.repeated.is_empty() {
            return found;
        }
        let mut followed = BTreeSet::new();
        let mut open = vec![self.target().index];
        while let Some(start) = open.pop() {
            let rest = self.document.nodes.get(start as usize..);
            let size = rest.and_then(<[_]>::first).map_or(1, super::Node::size);
            found.extend(self.document.repeated_between(start, start + size));
            let spanned = rest.into_iter().flatten().take(size as usize);
            for node in spanned {
                if let Kind::Alias(target) = node.kind
                    && followed.insert(target)
                {
                    open.push(target);
                }
            }
        }
        found
    }
}
