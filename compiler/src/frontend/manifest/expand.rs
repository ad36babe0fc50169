//! From the arena as it is written to the one that kubectl reads: aliases, merges, duplicate keys.
//!
//! Input: a [`Raw`] document. Output: the [`Document`]. Guarantee: every mapping holds each key once, the
//! last one, with the entries that `<<` merges in; aliases form no cycle and expand to no more than go-yaml
//! allows; all can be written as JSON. Refused: what go-yaml, sigs.k8s.io/yaml or encoding/json refuse.
//! [`finish`] is the entry. A document without any of this passes through untouched.

use super::build::{MAX_DEPTH, Raw, Refused, too_deep};
use super::{Document, Kind, Node, RepeatedKey};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::to_u32;
use std::collections::{BTreeMap, BTreeSet};

/// Does what is left to do.
pub(super) fn finish<'s>(
    mut raw: Raw<'s>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Document<'s>, Refused> {
    if raw.aliases || !raw.scalar_aliases.is_empty() {
        check_aliases(&raw)?;
    }
    check_merges(&raw)?;
    let not_json = raw.not_json;
    // Mappings were noted as they closed.
    raw.document.repeated.sort_by_key(|key| key.mapping);
    let document = if !raw.document.repeated.is_empty() || !raw.merges.is_empty() {
        rewrite(raw, warnings)
    } else {
        raw.document
    };
    if not_json {
        check_json(&document)?;
    }
    Ok(document)
}

impl Node {
    /// How many nodes it spans, itself included.
    pub(super) fn size(&self) -> u32 {
        if let Kind::Sequence { size } | Kind::Mapping { size } = self.kind {
            size
        } else {
            1
        }
    }
}

/// Walks the document as go-yaml decodes it and keeps its count of what aliases expand to.
fn check_aliases(raw: &Raw<'_>) -> Result<(), Refused> {
    let nodes = &raw.document.nodes;
    let total = to_u32(nodes.len());
    let mut budget = Budget {
        decoded: 1,
        aliased: 0,
    };
    // Ranges of siblings that are not decoded yet, and the alias through which they were entered.
    let mut stack = vec![(0, total, None)];
    let mut active = BTreeSet::new();
    let mut alias_depth = 0_usize;
    while let Some((next, end, alias)) = stack.last_mut() {
        let index = *next;
        let Some(node) = nodes.get(index as usize).filter(|_| index < *end) else {
            if let Some(alias) = alias {
                active.remove(alias);
                alias_depth -= 1;
            }
            stack.pop();
            continue;
        };
        *next += node.size();
        if raw.merges.binary_search(&index).is_ok() {
            continue;
        }
        let mut allowed = budget.count(alias_depth > 0);
        match node.kind {
            Kind::Sequence { size } | Kind::Mapping { size } => {
                stack.push((index + 1, index + size, None));
            }
            Kind::Alias(target) => {
                if !active.insert(index) {
                    return Err(cyclic(&raw.document, index));
                }
                alias_depth += 1;
                allowed &= budget.count(true);
                let size = nodes.get(target as usize).map_or(1, Node::size);
                stack.push((target + 1, target + size, Some(index)));
            }
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Uint(_)
            | Kind::Float(_)
            | Kind::Slice { .. }
            | Kind::Owned(_) => {
                if raw.scalar_aliases.binary_search(&index).is_ok() {
                    allowed &= budget.count(true);
                }
            }
        }
        if !allowed {
            return Err(excessive(&raw.document, index));
        }
        if stack.len() > MAX_DEPTH + 1 {
            return Err(too_deep(raw.document.span_of(index)));
        }
    }
    Ok(())
}

/// go-yaml's guard against documents that blow up: the share of decoded nodes that may come from aliases
/// falls from 99 % for small documents to 10 % for large ones.
struct Budget {
    decoded: u32,
    aliased: u32,
}

impl Budget {
    const SMALL: u32 = 400_000;
    const LARGE: u32 = 4_000_000;

    /// Counts a node; false where the share is exceeded.
    fn count(&mut self, aliased: bool) -> bool {
        self.decoded = self.decoded.saturating_add(1);
        self.aliased += u32::from(aliased);
        if self.aliased <= 100 || self.decoded <= 1000 {
            return true;
        }
        let share = f64::from(self.aliased) / f64::from(self.decoded);
        let above = f64::from(self.decoded.clamp(Self::SMALL, Self::LARGE) - Self::SMALL);
        share <= 0.99 - 0.89 * (above / f64::from(Self::LARGE - Self::SMALL))
    }
}

fn cyclic(document: &Document<'_>, index: u32) -> Refused {
    let alias = document.span_of(index);
    Box::new(
        Diagnostic::new(&codes::EXCESSIVE_ALIASING, "the alias contains itself")
            .at(alias, "refers to a value around it")
            .help("kubectl refuses this: write the value out, or refer to one that is complete"),
    )
}

fn excessive(document: &Document<'_>, index: u32) -> Refused {
    Box::new(
        Diagnostic::new(
            &codes::EXCESSIVE_ALIASING,
            "the aliases of the document expand to too much",
        )
        .at(document.span_of(index), "the limit is reached here")
        .help("kubectl refuses this: write the values out, or use fewer aliases of aliases"),
    )
}

/// What `<<` merges must be a mapping, an alias of one, or a list of these.
fn check_merges(raw: &Raw<'_>) -> Result<(), Refused> {
    let document = &raw.document;
    for merge in &raw.merges {
        let value = *merge + 1;
        let mut merged = document.merged(value);
        let fits = merged.all(|item| document.mapping_behind(item).is_some());
        if !fits {
            return Err(Box::new(
                Diagnostic::new(&codes::YAML_SYNTAX, "only mappings can be merged with `<<`")
                    .at(
                        document.span_of(value),
                        "neither a mapping nor a list of mappings",
                    )
                    .help("give an alias of a mapping, or quote the key: `\"<<\"`"),
            ));
        }
    }
    Ok(())
}

impl Document<'_> {
    fn kind_of(&self, index: u32) -> Kind {
        self.nodes
            .get(index as usize)
            .map_or(Kind::Null, |node| node.kind)
    }

    /// The nodes directly below a list or mapping.
    fn children(&self, index: u32) -> impl Iterator<Item = u32> {
        let end = index + self.nodes.get(index as usize).map_or(1, Node::size);
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = next;
            next += self.nodes.get(child as usize)?.size();
            (child < end).then_some(child)
        })
    }

    /// The values that `<<` merges: the items of a list, or the value itself.
    fn merged(&self, value: u32) -> impl Iterator<Item = u32> {
        let list = matches!(self.kind_of(value), Kind::Sequence { .. });
        let items = list.then(|| self.children(value));
        let single = (!list).then_some(value);
        items.into_iter().flatten().chain(single)
    }

    fn mapping_behind(&self, index: u32) -> Option<u32> {
        let target = if let Kind::Alias(target) = self.kind_of(index) {
            target
        } else {
            index
        };
        matches!(self.kind_of(target), Kind::Mapping { .. }).then_some(target)
    }
}

/// What [`rewrite`] does next.
enum Step {
    /// Write this node of the old arena.
    Write(u32),
    /// The collection at this place of the new arena is complete.
    Close(u32),
}

/// Writes the arena anew, each mapping with its effective entries. A list or mapping that is reached again
/// (through an alias or a merge) becomes an alias of the first one.
fn rewrite<'s>(raw: Raw<'s>, warnings: &mut Vec<Diagnostic>) -> Document<'s> {
    let mut nodes: Vec<Node> = Vec::with_capacity(raw.document.nodes.len());
    let mut repeated = Vec::new();
    let mut placed = BTreeMap::new();
    let mut steps = vec![Step::Write(0)];
    while let Some(step) = steps.pop() {
        let new = to_u32(nodes.len());
        let index = match step {
            Step::Write(index) => index,
            Step::Close(open) => {
                if let Some(node) = nodes.get_mut(open as usize) {
                    node.set_size(new - open);
                }
                continue;
            }
        };
        let Some(written) = raw.document.nodes.get(index as usize) else {
            continue;
        };
        let target = if let Kind::Alias(target) = written.kind {
            target
        } else {
            index
        };
        if let Some(first) = placed.get(&target) {
            nodes.push(Node {
                kind: Kind::Alias(*first),
                ..*written
            });
            continue;
        }
        let kind = raw.document.kind_of(target);
        let below: Vec<Step> = if let Kind::Mapping { .. } = kind {
            let first = repeated.len();
            let entries = effective_entries(&raw, target, &mut repeated);
            for key in repeated.iter_mut().skip(first) {
                key.mapping = new;
                warnings.extend(key.merged.then(|| key.warning()));
            }
            entries
        } else if let Kind::Sequence { .. } = kind {
            raw.document.children(target).map(Step::Write).collect()
        } else {
            nodes.push(*written);
            continue;
        };
        placed.insert(target, new);
        nodes.push(Node { kind, ..*written });
        steps.push(Step::Close(new));
        steps.extend(below.into_iter().rev());
    }
    Document {
        nodes,
        repeated,
        ..raw.document
    }
}

impl Node {
    fn set_size(&mut self, new: u32) {
        if let Kind::Sequence { size } | Kind::Mapping { size } = &mut self.kind {
            *size = new;
        }
    }
}

/// The entries of a mapping in the order in which go-yaml sets them, of equal keys the last: `<<` sets its
/// entries where it stands, of a list the last mapping first.
/// The keys that stand twice among them, or in a mapping that is merged in, are added to `repeated`.
fn effective_entries(raw: &Raw<'_>, mapping: u32, repeated: &mut Vec<RepeatedKey>) -> Vec<Step> {
    let document = &raw.document;
    repeated.extend_from_slice(document.repeated_between(mapping, mapping + 1));
    let mut entries: Vec<(u32, u32)> = Vec::new();
    let mut stack = vec![(
        mapping + 1,
        mapping + document.nodes.get(mapping as usize).map_or(1, Node::size),
    )];
    while let Some((next, end)) = stack.last_mut() {
        if *next >= *end {
            stack.pop();
            continue;
        }
        let key = *next;
        let value = key + document.nodes.get(key as usize).map_or(1, Node::size);
        *next = value + document.nodes.get(value as usize).map_or(1, Node::size);
        if raw.merges.binary_search(&key).is_err() {
            entries.push((key, value));
            continue;
        }
        for item in document.merged(value) {
            if let Some(target) = document.mapping_behind(item) {
                let size = document.nodes.get(target as usize).map_or(1, Node::size);
                stack.push((target + 1, target + size));
                repeated.extend_from_slice(document.repeated_between(target, target + 1));
            }
        }
    }
    let end = mapping + document.nodes.get(mapping as usize).map_or(1, Node::size);
    let is_own = |key: u32| mapping < key && key < end;
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, (key, _)) in entries.iter().enumerate() {
        let Some(text) = document.string(document.kind_of(*key)) else {
            continue;
        };
        if let Some(other) = last.insert(text, at)
            && let Some((earlier, _)) = entries.get(other)
            && is_own(*earlier)
            && !is_own(*key)
        {
            repeated.push(RepeatedKey {
                mapping,
                key: text.into(),
                dropped: document.span_of(*earlier),
                taken: document.span_of(*key),
                merged: true,
            });
        }
    }
    let kept = |(at, (key, _)): &(usize, (u32, u32))| {
        document
            .string(document.kind_of(*key))
            .is_none_or(|text| last.get(text) == Some(at))
    };
    let kept = entries.iter().copied().enumerate().filter(kept);
    kept.flat_map(|(_, (key, value))| [Step::Write(key), Step::Write(value)])
        .collect()
}

/// JSON has no infinity, and sigs.k8s.io/yaml makes no key of null or of a number above 64 signed bits.
fn check_json(document: &Document<'_>) -> Result<(), Refused> {
    let refused = |at: u32, what: &str, help: &str| {
        let message = format!("{what} cannot be written as JSON");
        Err(Box::new(
            Diagnostic::new(&codes::YAML_SYNTAX, message)
                .at(document.span_of(at), "kubectl refuses this")
                .help(help),
        ))
    };
    for (index, node) in document.nodes.iter().enumerate() {
        let index = to_u32(index);
        if let Kind::Float(value) = node.kind
            && !value.is_finite()
        {
            return refused(
                index,
                "a number that is not finite",
                "quote it if text is meant",
            );
        }
        if let Kind::Mapping { .. } = node.kind {
            let mut keys = document.children(index).step_by(2);
            if let Some(key) = keys.find(|key| document.string(document.kind_of(*key)).is_none()) {
                return refused(key, "a key that is null or above 64 bits", "quote the key");
            }
        }
    }
    Ok(())
}
