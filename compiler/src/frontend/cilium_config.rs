//! The options of Cilium's agent as a cluster holds them: the ConfigMap `cilium-config`.
//!
//! Input: all texts, and the settings so far. Output: the settings with what the ConfigMap says and they do not, and
//! what is wrong with it. Options that change no verdict are passed over, for there are hundreds of them. Guarantee:
//! texts without the name are not parsed. It is read before anything else, since what is refused hangs on it.

use super::kinds::{Kind, Recognised};
use super::manifest::{self, NodeRef, Value};
use super::settings::cilium::{self, Origin};
use super::settings::{Dialect, Settings};
use super::{identify, kinds};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::source::{Sources, Span};

/// The settings with those of the ConfigMap among the texts, if there is one and the dialect is Cilium's.
pub(super) fn with_config_map(
    sources: &Sources,
    settings: &Settings,
) -> (Settings, Vec<Diagnostic>) {
    let mut reader = Reader {
        settings: settings.clone(),
        diagnostics: Vec::new(),
        first: None,
    };
    match settings.dialect {
        Dialect::Kubernetes => {}
        Dialect::Cilium => {
            for (id, file) in sources.iter() {
                if !file.text().contains(kinds::CILIUM_CONFIG) {
                    continue;
                }
                for chunk in manifest::split(id, file) {
                    let (document, _) = manifest::parse(file, &chunk);
                    if let Some(document) = document {
                        reader.object(document.root(), None);
                    }
                }
            }
        }
    }
    (reader.settings, reader.diagnostics)
}

struct Reader {
    settings: Settings,
    diagnostics: Vec<Diagnostic>,
    /// Where the first such ConfigMap stands.
    first: Option<Span>,
}

impl Reader {
    fn object(&mut self, root: NodeRef<'_>, listed: Option<Kind>) {
        // What is wrong with the object itself is said when it is its turn.
        match identify::identify(root, listed, &mut Vec::new()) {
            Recognised::List(kind) => {
                for item in root.get("items").into_iter().flat_map(NodeRef::items) {
                    self.object(item, kind);
                }
            }
            Recognised::CiliumConfig => self.config_map(root),
            Recognised::Known(_)
            | Recognised::OtherVersion(..)
            | Recognised::Misspelt(_)
            | Recognised::UnsupportedPolicy(_)
            | Recognised::Unknown => {}
        }
    }

    fn config_map(&mut self, root: NodeRef<'_>) {
        let span = root.get("kind").map_or(root.span(), NodeRef::span);
        if let Some(first) = self.first {
            let message = format!("`{}` stands twice among the inputs", kinds::CILIUM_CONFIG);
            let again = Diagnostic::new(&codes::DUPLICATE_OBJECT, message)
                .at(span, "this one is left out")
                .related(first, "the first one")
                .help("leave one of them out: a cluster has one")
                .object(object(root));
            self.diagnostics.push(again);
            return;
        }
        self.first = Some(span);
        for entry in root.get("data").into_iter().flat_map(NodeRef::entries) {
            if entry.key != cilium::VERSION {
                self.option(entry.key, entry.value, root);
            }
        }
    }

    fn option(&mut self, name: &str, value: NodeRef<'_>, root: NodeRef<'_>) {
        let Some(option) = cilium::described(name) else {
            return;
        };
        let text = match value.value() {
            Value::String(text) => text,
            // The API server refuses other types in a ConfigMap, but templates that print them are common.
            Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => value.raw(),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => "",
        };
        let taken = self.settings.cilium.give(name, text, Origin::ConfigMap);
        if taken.is_none() {
            let wrong = option
                .wrong_value(text)
                .at(value.span(), "")
                .field(format!("data.{name}"))
                .object(object(root));
            self.diagnostics.push(wrong);
        }
    }
}

fn object(root: NodeRef<'_>) -> ObjectRef {
    let namespace = root.at(&["metadata", "namespace"]);
    ObjectRef {
        kind: "ConfigMap".into(),
        namespace: namespace.and_then(NodeRef::as_str).map(Into::into),
        name: kinds::CILIUM_CONFIG.into(),
    }
}
