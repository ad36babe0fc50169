//! From text to [`PeerSpec`].

use super::{NamespaceSpec, PEER_GRAMMAR, PeerSpec};
use crate::cluster::Labels;
use crate::diagnostic::{Diagnostic, codes};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl PeerSpec {
    /// Reads a peer.
    ///
    /// # Errors
    /// [`codes::MALFORMED_PEER`] with the grammar.
    pub fn parse(text: &str) -> Result<Self, Box<Diagnostic>> {
        let text = text.trim();
        parse(text).map_err(|why| Box::new(malformed(text, &why)))
    }
}

fn malformed(text: &str, why: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::MALFORMED_PEER,
        format!("`{text}` is no peer: {why}"),
    )
    .help(PEER_GRAMMAR)
}

fn parse(text: &str) -> Result<PeerSpec, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if let Some(address) = address(text) {
        return Ok(PeerSpec::Address(address));
    }
    if text.contains(['[', ']']) {
        return hypothetical(text);
    }
    match text.split_once(':') {
        Some((prefix, rest)) => prefixed(prefix, rest),
        None => named(text),
    }
}

/// An address; one of IPv6 may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .filter(|text| text.contains(':'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(address.to_canonical())
}

fn prefixed(prefix: &str, rest: &str) -> Result<PeerSpec, String> {
    match prefix {
        "entity" => Ok(PeerSpec::Entity(name(rest)?.to_ascii_lowercase().into())),
        "fqdn" => domain(rest),
        "service" => match rest.split('/').collect::<Vec<_>>().as_slice() {
            [service] => Ok(PeerSpec::Service {
                namespace: None,
                name: name(service)?,
            }),
            [namespace, service] => Ok(PeerSpec::Service {
                namespace: Some(name(namespace)?),
                name: name(service)?,
            }),
            _ => Err("a service is `service:NAMESPACE/NAME`".into()),
        },
        _ => Err(format!(
            "`{prefix}:` is neither an address nor one of `service:`, `fqdn:` and `entity:`"
        )),
    }
}

fn domain(text: &str) -> Result<PeerSpec, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.contains('*') {
        return Err("a question is about one name, without `*`".into());
    }
    let text = name(text)?;
    Ok(PeerSpec::Fqdn(text.to_ascii_lowercase().into()))
}

fn named(text: &str) -> Result<PeerSpec, String> {
    let parts: Vec<&str> = text.split('/').collect();
    if let [address, length] = parts.as_slice()
        && address.parse::<IpAddr>().is_ok()
        && length.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err("a peer is one address, not a block of them".into());
    }
    let (namespace, kind, own) = match parts.as_slice() {
        [own] if looks_like_an_address(own) => return Err("it is no IP address".into()),
        [own] => (None, None, own),
        ["node" | "nodes", own] => return Ok(PeerSpec::Node(name(own)?)),
        [namespace, own] => (Some(name(namespace)?), None, own),
        [namespace, kind, own] => (Some(name(namespace)?), Some(name(kind)?), own),
        _ => return Err("it has more than three parts".into()),
    };
    Ok(PeerSpec::Named {
        namespace,
        kind,
        name: name(own)?,
    })
}

fn looks_like_an_address(text: &str) -> bool {
    text.contains('.')
        && text
            .bytes()
            .all(|byte| byte == b'.' || byte.is_ascii_digit())
}

/// A name, if no other part of the grammar stands in it.
fn name(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() {
        return Err("a name is missing".into());
    }
    if text == "*" {
        return Err("for any pod of a namespace write `NAMESPACE[*]`".into());
    }
    let is_foreign = |character: char| {
        character.is_whitespace() || character.is_control() || "[]=,*:/".contains(character)
    };
    match text.chars().find(|character| is_foreign(*character)) {
        Some(character) => Err(format!("no name has a `{}`", character.escape_debug())),
        None => Ok(text.into()),
    }
}

fn hypothetical(text: &str) -> Result<PeerSpec, String> {
    let (namespace, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, rest) = rest
                .split_once("]/[")
                .ok_or("a pod stands in a namespace: `[KEY=VALUE,...]/[KEY=VALUE,...]`")?;
            (NamespaceSpec::Labels(labels(inner)?), rest)
        }
        None => {
            let (namespace, rest) = text
                .split_once('[')
                .ok_or("a `]` has no `[` in front of it")?;
            (NamespaceSpec::Named(name(namespace)?), rest)
        }
    };
    let inner = rest
        .strip_suffix(']')
        .ok_or("a `[` has no `]` at the end")?;
    Ok(PeerSpec::Hypothetical {
        namespace,
        labels: labels(inner)?,
    })
}

/// `key=value,...`; nothing and `*` are no labels.
fn labels(text: &str) -> Result<Labels, String> {
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    if matches!(text.trim(), "" | "*") {
        return Ok(Labels::default());
    }
    for item in text.split(',') {
        let item = item.trim();
        let (key, value) = item
            .split_once('=')
            .ok_or_else(|| format!("`{item}` is no label `KEY=VALUE`"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() {
            return Err(format!("`{item}` has no key"));
        }
        let parts = [key, value];
        if let Some(part) = parts
            .iter()
            .find(|part| part.contains(is_foreign_to_labels))
        {
            return Err(format!("`{part}` is no part of a label"));
        }
        if labels
            .insert(key, value)
            .is_some_and(|known| known != value)
        {
            return Err(format!("the label `{key}` has two values"));
        }
    }
    Ok(labels.into_iter().collect())
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
fn is_foreign_to_labels(character: char) -> bool {
    !character.is_ascii_alphanumeric() && !"-_./".contains(character)
}
