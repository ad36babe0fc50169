//! Keeps the text of Secrets out of what is printed: what `check` says ends up in logs.
//!
//! Input: a document that was looked at, and what was found in it. Output: the places whose text is not to be
//! shown, and diagnostics that do not quote it. Guarantee: of a Secret, diagnostics tell kind, name, fields and
//! place alone; a text that is no object and names the kind counts as a Secret.

use super::manifest::{NodeRef, Value};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{SourceFile, Span};

/// The kinds that hold secrets, in any API group; a misspelt one is no less of a secret.
const KINDS: [&str; 3] = ["Secret", "Secrets", "SecretList"];

/// The places of Secrets in a chunk of a file: all of the chunk, with the comments in it, or items of a list.
pub(super) fn places(source: &SourceFile, chunk: Span, root: Option<NodeRef<'_>>) -> Vec<Span> {
    let object = root.filter(|root| matches!(root.value(), Value::Mapping(_)));
    let Some(object) = object else {
        let text = source.text().get(chunk.range()).unwrap_or("");
        let is_named = words(text).any(|word| KINDS.contains(&word));
        return Vec::from_iter(is_named.then_some(chunk));
    };
    if is_secret(object) {
        return vec![chunk];
    }
    let mut secrets = Vec::new();
    collect(object, &mut secrets);
    secrets
}

/// The Secrets among the items of a list, which may be lists themselves.
fn collect(list: NodeRef<'_>, secrets: &mut Vec<Span>) {
    for item in list.get("items").into_iter().flat_map(NodeRef::items) {
        if is_secret(item) {
            secrets.push(item.span());
        } else {
            collect(item, secrets);
        }
    }
}

fn is_secret(object: NodeRef<'_>) -> bool {
    let is_kind = |word: &str| KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(word));
    let kind = object.get("kind");
    kind.is_some_and(|kind| words(kind.as_str().unwrap_or(kind.raw())).any(is_kind))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

/// Takes quoted text out of what is said about some places.
pub(super) fn redact(diagnostics: &mut [Diagnostic], secrets: &[Span]) {
    for one in diagnostics {
        let is_secret = |span: Span| secrets.iter().any(|secret| secret.contains(span));
        let mut places = one.label.iter().chain(&one.related);
        // These two name fields, kinds and versions only.
        let quotes = ![&codes::NOT_AN_OBJECT, &codes::UNKNOWN_KIND].contains(&one.code);
        if quotes && places.any(|label| is_secret(label.span)) {
            one.message = format!("in a Secret, {}", one.code.title);
            one.help = Some("look at the line itself: the text of a Secret is not shown".into());
            let labels = one.label.iter_mut().chain(&mut one.related);
            labels.for_each(|label| label.text = "not shown".into());
        }
    }
}
