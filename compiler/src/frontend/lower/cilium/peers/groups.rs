//! Groups of addresses: those that a cloud provider knows, and those that are selected by their labels.

use crate::frontend::lower::Unread;
use crate::frontend::lower::cilium::selector::Defaults;
use crate::frontend::lower::selector::text;
use crate::frontend::manifest::NodeRef;
use crate::hir::{IdentitySelector, Operator, Peer, SourcedRequirement};
use crate::identity::{key, source};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha224};
use std::collections::BTreeMap;

/// In front of the key of a group that the operator looks up at a cloud provider and keeps as a CiliumCIDRGroup.
const EXTERNAL_GROUP: &str = "extgrp.cilium.io/";
/// How much of the text of a group is part of the key.
const KEY_BYTES: usize = 63;

/// An item of `fromGroups` in the order of Cilium's fields (`pkg/policy/api/groups.go`).
#[derive(Serialize)]
struct Groups<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aws: Option<AwsGroup<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AwsGroup<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_groups_ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_groups_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
}

/// An item of `fromGroups` or `toGroups`: whom a CiliumCIDRGroup has that the operator labels with its key.
pub(super) fn peer(item: NodeRef<'_>) -> Result<Peer, Unread> {
    let texts = |group: NodeRef<'_>, key: &str| match group.get(key) {
        Some(list) => list
            .items()
            .filter_map(NodeRef::as_str)
            .map(str::to_owned)
            .collect(),
        None => Vec::new(),
    };
    let group = item.get("aws");
    let lists = group
        .map(|group| ["securityGroupsIds", "securityGroupsNames"].map(|key| texts(group, key)));
    let labels: BTreeMap<String, String> = group
        .and_then(|group| group.get("labels"))
        .into_iter()
        .flat_map(NodeRef::entries)
        .filter_map(|entry| Some((entry.key.to_owned(), entry.value.as_str()?.to_owned())))
        .collect();
    let aws = group
        .zip(lists.as_ref())
        .map(|(group, [ids, names])| AwsGroup {
            labels: labels
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect(),
            security_groups_ids: ids.iter().map(String::as_str).collect(),
            security_groups_names: names.iter().map(String::as_str).collect(),
            region: text(group, "region").filter(|region| !region.is_empty()),
        });
    let key = format!("{EXTERNAL_GROUP}{}", key_of(&Groups { aws }));
    let requirement = SourcedRequirement::new(source::CIDR_GROUP, &key, Operator::Exists);
    Ok(Peer::Identities(vec![[requirement].into_iter().collect()]))
}

/// The key of a group: its JSON and then a digest of nothing, of which the start is taken. So two groups whose JSON has the
/// same 47 bytes in front are one.
fn key_of(groups: &Groups<'_>) -> String {
    // Go escapes these signs in JSON.
    let text = serde_json::to_string(groups).unwrap_or_default();
    let escaped = text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    let mut bytes = escaped.into_bytes();
    bytes.extend(Sha224::digest([]));
    let mut key = URL_SAFE_NO_PAD.encode(bytes);
    key.truncate(KEY_BYTES);
    key
}

/// Whom a selector of groups has: since 1.20 what blocks of addresses may match at all, and of that what it asks for. One
/// that asks for a label of a group has nothing else anyway.
pub(super) fn of_addresses(
    selector: IdentitySelector,
    defaults: Defaults<'_>,
) -> Vec<IdentitySelector> {
    let translation = defaults.translation;
    let asks = |requirement: &SourcedRequirement| match &requirement.operator {
        Operator::In(_) | Operator::Exists => true,
        Operator::NotIn(_) | Operator::DoesNotExist => false,
    };
    if selector.requirements.iter().any(asks) || !translation.blocks_are_outside {
        return vec![selector];
    }
    let mut kinds: Vec<SourcedRequirement> = [key::WORLD, key::WORLD_V4, key::WORLD_V6]
        .map(|key| SourcedRequirement::new(source::RESERVED, key, Operator::Exists))
        .into();
    if translation.blocks_match_nodes {
        kinds.extend(
            [key::HOST, key::REMOTE_NODE]
                .map(|key| SourcedRequirement::new(source::RESERVED, key, Operator::Exists)),
        );
    }
    if translation.blocks_match_pods {
        let pods = SourcedRequirement::new(source::K8S, key::NAMESPACE, Operator::Exists);
        kinds.push(pods);
    }
    kinds
        .into_iter()
        .map(|kind| {
            let mut own = selector.clone();
            own.requirements.insert(0, kind);
            own
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the comment of `pkg/policy/groups` of Cilium 1.20.
    #[test]
    fn the_key_of_a_group_is_that_of_cilium() {
        let group = Groups {
            aws: Some(AwsGroup {
                labels: [("foo", "bar")].into(),
                security_groups_ids: Vec::new(),
                security_groups_names: Vec::new(),
                region: None,
            }),
        };
        assert_eq!(
            key_of(&group),
            "eyJhd3MiOnsibGFiZWxzIjp7ImZvbyI6ImJhciJ9fX3RSgKMKjoryUdhArsogjT"
        );
    }
}
