//! The whole way from texts to what can be judged.
//!
//! Input: the texts of one run and the settings. Output: [`Loaded`]. Guarantee: every problem of every
//! document is among the diagnostics; an object that has an error is left out whole; the result depends on
//! the texts and their names only, not on their order or on the number of threads.

use super::kinds::{self, Kind, Recognised};
use super::lower::{self, Draft};
use super::manifest::{self, Document, NodeRef, Value};
use super::settings::Settings;
use super::{lint, objects, validate};
use crate::cluster::object::Object;
use crate::cluster::{Cluster, build};
use crate::diagnostic::{Diagnostic, ObjectRef, Severity, codes};
use crate::hir::PolicySet;
use crate::source::{SourceFile, Sources, Span};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What the texts say.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot.
    pub cluster: Cluster,
    /// The policies.
    pub policies: PolicySet,
    /// Everything there is to say about the texts, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// How many objects were read, those that were refused among them.
    pub objects: usize,
    /// The objects that were refused and left out.
    pub refused: Vec<ObjectRef>,
    /// Policies of kinds that change verdicts and are not read: every answer is incomplete by them.
    pub unsupported: Vec<ObjectRef>,
}

impl Loaded {
    /// Whether anything was refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads all texts.
#[must_use]
pub fn load(sources: &Sources, settings: &Settings) -> Loaded {
    let documents: Vec<Read> = sources
        .iter()
        .collect::<Vec<_>>()
        .into_par_iter()
        .flat_map(|(id, file)| manifest::split(id, file).into_par_iter().map(move |chunk| read(file, &chunk)))
        .collect();
    let mut all = Read::default();
    for document in documents {
        all.append(document);
    }
    finish(all, settings)
}

fn finish(all: Read, settings: &Settings) -> Loaded {
    let Read { objects, drafts, mut diagnostics, count, mut refused, unsupported, skipped: kinds } = all;
    diagnostics.extend(kinds.iter().map(|(name, (count, span))| skipped(name, *count, *span)));
    refused.sort();
    let drafts = without_duplicates(drafts, &mut diagnostics);
    let referred = drafts.iter().filter_map(|draft| Some((draft.object().namespace.clone()?, draft.span())));
    let (cluster, more) = build::build(objects, referred);
    diagnostics.extend(more);
    let policies = lower::assemble(drafts, settings.semantics());
    diagnostics.extend(lint::lint(&cluster, &policies));
    diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
    Loaded { cluster, policies, diagnostics, objects: count, refused, unsupported }
}

/// What a part of the texts says.
#[derive(Debug, Default)]
struct Read {
    objects: Vec<Object>,
    drafts: Vec<Draft>,
    diagnostics: Vec<Diagnostic>,
    count: usize,
    refused: Vec<ObjectRef>,
    unsupported: Vec<ObjectRef>,
    /// How many objects of each other kind there are, and where the first stands.
    skipped: BTreeMap<String, (usize, Span)>,
}

impl Read {
    fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.drafts.append(&mut other.drafts);
        self.diagnostics.append(&mut other.diagnostics);
        self.count += other.count;
        self.refused.append(&mut other.refused);
        self.unsupported.append(&mut other.unsupported);
        for (name, (count, span)) in other.skipped {
            let (known, first) = self.skipped.entry(name).or_insert((0, span));
            *known += count;
            *first = span.min(*first);
        }
    }
}

fn read(source: &SourceFile, chunk: &manifest::Chunk) -> Read {
    let (document, diagnostics) = manifest::parse(source, chunk);
    let mut read = Read { diagnostics, ..Read::default() };
    if let Some(document) = &document {
        read_document(document, &mut read);
    }
    read
}

fn read_document(document: &Document<'_>, read: &mut Read) {
    let root = document.root();
    match root.value() {
        Value::Null => {}
        Value::Mapping(_) => read_object(root, None, read),
        _ => read.diagnostics.push(not_an_object(root, root.span())),
    }
}

fn not_an_object(node: NodeRef<'_>, span: Span) -> Diagnostic {
    let what = node.value().type_name();
    Diagnostic::new(&codes::NOT_AN_OBJECT, format!("the document is no Kubernetes object but of type {what}"))
        .at(span, "expected a mapping with `apiVersion` and `kind`")
        .help("write `apiVersion:` and `kind:` at the top of the document, or remove it")
}

/// Reads an object; the items of a list of a known kind may leave out what the list says.
fn read_object(root: NodeRef<'_>, listed: Option<Kind>, read: &mut Read) {
    let text = |key| root.get(key).and_then(NodeRef::as_str);
    let recognised = match (text("apiVersion"), text("kind"), listed) {
        (None, None, Some(kind)) => Recognised::Known(kind),
        (Some(version), Some(kind), _) => kinds::recognise(version, kind),
        _ => {
            read.count += 1;
            read.diagnostics.push(without_kind(root));
            return;
        }
    };
    match recognised {
        Recognised::List(kind) => {
            for item in root.get("items").into_iter().flat_map(NodeRef::items) {
                read_object(item, kind, read);
            }
        }
        Recognised::Known(kind) => read_known(kind, root, read),
        Recognised::OtherVersion(kind, version) => {
            refuse(root, read, other_version(root, kind, version));
        }
        Recognised::Misspelt(kind) => refuse(root, read, misspelt(root, kind)),
        Recognised::UnsupportedPolicy(owner) => {
            read.count += 1;
            read.unsupported.push(objects::object_ref(root));
            read.diagnostics.push(unsupported(root, owner));
        }
        Recognised::Unknown => {
            read.count += 1;
            let name = format!("{} {}", text("apiVersion").unwrap_or(""), text("kind").unwrap_or(""));
            let (count, _) = read.skipped.entry(name).or_insert((0, root.span()));
            *count += 1;
        }
    }
}

fn refuse(root: NodeRef<'_>, read: &mut Read, diagnostic: Diagnostic) {
    let object = objects::object_ref(root);
    read.count += 1;
    read.diagnostics.push(diagnostic.object(object.clone()));
    read.refused.push(object);
}

/// Checks an object and lowers or decodes it.
fn read_known(kind: Kind, root: NodeRef<'_>, read: &mut Read) {
    read.count += 1;
    let object = objects::object_ref(root);
    if !validate::check_object(kind, root, &mut read.diagnostics) {
        read.refused.push(object);
        return;
    }
    match lower::lower(kind, object, root) {
        Some(draft) => read.drafts.push(draft),
        None => read.objects.extend(objects::decode(kind, root, &mut read.diagnostics)),
    }
}

fn without_kind(root: NodeRef<'_>) -> Diagnostic {
    let missing = match (root.get("apiVersion"), root.get("kind")) {
        (None, None) => "`apiVersion` and `kind`",
        (None, Some(_)) => "`apiVersion`",
        (Some(_), _) => "`kind`",
    };
    let span = root.entries().next().map_or(root.span(), |entry| entry.key_node.span());
    Diagnostic::new(&codes::NOT_AN_OBJECT, format!("the document is no Kubernetes object: it has no {missing}"))
        .at(span, "the document starts here")
        .help(format!("write {missing} at the top of the document, or remove it"))
}

/// Where an object says what it is.
fn kind_span(root: NodeRef<'_>, key: &str) -> Span {
    root.get(key).map_or(root.span(), NodeRef::span)
}

fn other_version(root: NodeRef<'_>, kind: Kind, version: &str) -> Diagnostic {
    let given = root.get("apiVersion").and_then(NodeRef::as_str).unwrap_or("");
    Diagnostic::new(&codes::OTHER_VERSION, format!("`{given}` has no {} that is read", kind.name()))
        .at(kind_span(root, "apiVersion"), format!("{} is read in version `{version}`", kind.name()))
        .field("apiVersion")
        .help(format!("write `apiVersion: {version}` and check the fields against that version"))
}

fn misspelt(root: NodeRef<'_>, kind: Kind) -> Diagnostic {
    let given = root.get("kind").and_then(NodeRef::as_str).unwrap_or("");
    Diagnostic::new(&codes::MISSPELT_KIND, format!("there is no kind `{given}` in this API group"))
        .at(kind_span(root, "kind"), "the API server does not know this kind")
        .field("kind")
        .help(format!("did you mean `{}`?", kind.name()))
}

fn unsupported(root: NodeRef<'_>, owner: &str) -> Diagnostic {
    let object = objects::object_ref(root);
    Diagnostic::new(
        &codes::UNSUPPORTED_POLICY,
        format!("{} policy `{object}` changes verdicts and is not read", owner),
    )
    .at(kind_span(root, "kind"), "every answer is incomplete by this policy")
    .object(object)
    .help("take the policy out of the inputs to ask about the others alone")
}

fn skipped(name: &str, count: usize, span: Span) -> Diagnostic {
    let objects = if count == 1 { "object" } else { "objects" };
    Diagnostic::new(&codes::UNKNOWN_KIND, format!("{count} {objects} of kind `{name}` skipped"))
        .at(span, "the first of them")
        .help("such objects do not change verdicts here; `--strict` makes this an error")
}

/// Keeps the first of several policies that have one kind, namespace and name: the API server would hold one.
fn without_duplicates(mut drafts: Vec<Draft>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Draft> {
    drafts.sort_by(|a, b| (a.object(), a.span()).cmp(&(b.object(), b.span())));
    let mut kept: Vec<Draft> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        match kept.last() {
            Some(first) if first.object() == draft.object() && !draft.object().name.is_empty() => {
                diagnostics.push(duplicate(first, &draft));
            }
            _ => kept.push(draft),
        }
    }
    kept
}

fn duplicate(first: &Draft, again: &Draft) -> Diagnostic {
    Diagnostic::new(&codes::DUPLICATE_OBJECT, format!("`{}` is defined twice", again.object()))
        .at(again.span(), "this definition is left out")
        .related(first.span(), "the first definition")
        .object(again.object().clone())
        .help("give one of them another name, or remove it: the API server holds one object of a name")
}
