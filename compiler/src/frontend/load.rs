//! The whole way from texts to what can be judged.
//!
//! Input: the texts of one run and the settings. Output: [`Loaded`]. Guarantee: every problem of every
//! document is among the diagnostics; an object that has an error is left out whole; the result depends on
//! the texts and their names only, not on their order or on the number of threads.

pub(crate) use super::enforcement::resolution;
use super::kept::{Keeping, Known, Readings};
use super::kinds::{Kind, Recognised};
use super::lower::{self, Draft};
use super::manifest::{self, NodeRef, Value};
use super::report::{key_span, object_ref, subject_span};
use super::settings::cilium::Version;
use super::settings::{Dialect, Settings};
use super::standing::{self, Standing};
use super::validate::Acceptance;
use super::{cilium_config, conflicts, identify, lint, objects, secret, validate};
use crate::cluster::interner::Interner;
use crate::cluster::object::Object;
use crate::cluster::{Cluster, build};
use crate::diagnostic::{Diagnostic, ObjectRef, Severity, codes};
use crate::hir::PolicySet;
use crate::source::{FileId, SourceFile, Sources, Span};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
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
    /// How many documents hold something that can be read.
    pub documents: usize,
    /// How many objects were read, those that were refused among them.
    pub objects: usize,
    /// The objects that were refused and left out.
    pub refused: Vec<ObjectRef>,
    /// The objects that were refused for what leaves no doubt about what they say, and count.
    pub mendable: Vec<ObjectRef>,
    /// Policies of kinds that change verdicts and are not read: every answer is incomplete by them.
    pub unsupported: Vec<ObjectRef>,
    /// Policies that the API server takes and whose meaning is not defined: every answer is incomplete by them too.
    pub unusable: Vec<ObjectRef>,
    /// Policies of another dialect than the one that is set: every answer is incomplete by them too.
    pub foreign: Vec<ObjectRef>,
    /// The settings with those that stand among the texts.
    pub settings: Settings,
    /// The places of Secrets, whose text is not to be shown.
    pub secrets: Vec<Span>,
}

impl Loaded {
    /// Whether anything was refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads all texts.
#[must_use]
pub fn load(sources: &Sources, settings: &Settings) -> Loaded {
    load_with(sources, settings, None).0
}

/// Reads all texts but those of which it is known what they say. The result is the same.
#[must_use]
pub fn load_with(
    sources: &Sources,
    settings: &Settings,
    keeping: Option<Keeping<'_>>,
) -> (Loaded, Readings) {
    let (settings, diagnostics) = cilium_config::with_config_map(sources, settings);
    let interner = &Interner::default();
    let known = keeping.map(|keeping| {
        let known = || Known::new(keeping, &settings, interner);
        let (known, ()) = rayon::join(known, || keeping.digest(sources));
        known
    });
    let texts = sources.iter().collect::<Vec<_>>().into_par_iter();
    let mut texts: Vec<Vec<Read>> = texts
        .map(|(id, file)| {
            let known = known.as_ref().and_then(|known| known.take(id, file));
            known.map_or_else(|| read(id, file, &settings, interner), |known| vec![known])
        })
        .collect();
    let readings = known.map(|known| known.keep(sources, &texts));
    // They are most of what was read: they stay where they are.
    let objects = texts.iter_mut().flatten();
    let objects = objects.map(|part| std::mem::take(&mut part.objects));
    let objects: Vec<Vec<Object>> = objects.collect();
    let mut all = Read {
        diagnostics,
        ..Read::default()
    };
    all.append_all(texts.into_iter().flatten().collect());
    let loaded = finish(all, objects, settings);
    (loaded, readings.unwrap_or_default())
}

/// Reads a text with any threads: its parts, in their order.
fn read(id: FileId, file: &SourceFile, settings: &Settings, interner: &Interner) -> Vec<Read> {
    let chunks = manifest::split(id, file).into_par_iter();
    let parts = chunks.fold(
        || Reader::new(settings, interner),
        |reader, chunk| reader.with_document(file, &chunk),
    );
    parts.map(|part| part.read).collect()
}

fn finish(all: Read, objects: Vec<Vec<Object>>, settings: Settings) -> Loaded {
    let Read {
        objects: _,
        drafts,
        mut diagnostics,
        documents,
        count,
        mut refused,
        mut mendable,
        unsupported,
        unusable,
        foreign,
        secrets,
    } = all;
    refused.sort();
    mendable.sort();
    let place = |place: fn(&Lowered) -> Span| {
        let drafts = drafts.iter();
        drafts
            .map(|lowered| (lowered.draft.span(), place(lowered)))
            .collect()
    };
    let subjects: lint::Subjects = place(|lowered| lowered.subject);
    let namespaces: BTreeMap<Span, Span> = place(|lowered| lowered.namespace);
    let drafts = without_duplicates(drafts, &mut diagnostics);
    let referred = referred(&drafts, &namespaces);
    let semantics = settings.semantics();
    // Policies wait for the cluster where there are services to look up in it.
    let (ready, mut waiting) = if drafts.iter().any(Draft::has_services) {
        (None, drafts)
    } else {
        (Some(drafts), Vec::new())
    };
    let ((mut cluster, more), ready) = rayon::join(
        || build::build(objects, referred, &refused),
        || ready.map(|drafts| lower::assemble(drafts, semantics)),
    );
    diagnostics.extend(more);
    cluster.host_network = semantics.host_network;
    let reading = lower::cilium::Reading {
        splits_keys_at_dots: settings.cilium.version == Version::V1_19,
        refused: &refused,
    };
    diagnostics.extend(lower::cilium::resolve_services(
        &cluster,
        &mut waiting,
        reading,
    ));
    let mut policies = ready.unwrap_or_else(|| lower::assemble(waiting, semantics));
    policies.resolution = resolution(&settings, &cluster, &policies);
    diagnostics.extend(not_modelled(&settings));
    diagnostics.extend(not_enforced(&settings));
    diagnostics.extend(conflicts::conflicts(&cluster, &policies));
    diagnostics.extend(lint::lint(&cluster, &policies, &subjects, &refused));
    diagnostics.par_sort_by(|a, b| a.order().cmp(&b.order()));
    Loaded {
        cluster,
        policies,
        diagnostics,
        documents,
        objects: count,
        refused,
        mendable,
        unsupported,
        unusable,
        foreign,
        settings,
        secrets,
    }
}

/// The namespaces that policies name, with the first place of each. `places` are those where the policies do.
fn referred(drafts: &[Draft], places: &BTreeMap<Span, Span>) -> Vec<(Box<str>, Span)> {
    let mut first: FxHashMap<&str, Span> = FxHashMap::default();
    for draft in drafts {
        if let Some(name) = draft.object().namespace.as_deref() {
            let span = draft.span();
            let place = *places.get(&span).unwrap_or(&span);
            let known = first.entry(name).or_insert(place);
            *known = place.min(*known);
        }
    }
    let first = first.into_iter();
    first.map(|(name, place)| (name.into(), place)).collect()
}

/// A policy, and whether it has a name of its own.
#[derive(Debug)]
pub(super) struct Lowered {
    draft: Draft,
    is_named: bool,
    /// Where its subject is named.
    subject: Span,
    /// Where its namespace is.
    namespace: Span,
}

/// What a part of the texts says.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) objects: Vec<Object>,
    pub(super) drafts: Vec<Lowered>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) documents: usize,
    pub(super) count: usize,
    pub(super) refused: Vec<ObjectRef>,
    pub(super) mendable: Vec<ObjectRef>,
    pub(super) unsupported: Vec<ObjectRef>,
    pub(super) unusable: Vec<ObjectRef>,
    pub(super) foreign: Vec<ObjectRef>,
    pub(super) secrets: Vec<Span>,
}

impl Read {
    fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.drafts.append(&mut other.drafts);
        self.diagnostics.append(&mut other.diagnostics);
        self.documents += other.documents;
        self.count += other.count;
        self.refused.append(&mut other.refused);
        self.mendable.append(&mut other.mendable);
        self.unsupported.append(&mut other.unsupported);
        self.unusable.append(&mut other.unusable);
        self.foreign.append(&mut other.foreign);
        self.secrets.append(&mut other.secrets);
    }

    fn append_all(&mut self, parts: Vec<Self>) {
        let objects = parts.iter().map(|part| part.objects.len()).sum();
        self.objects.reserve(objects);
        parts.into_iter().for_each(|part| self.append(part));
    }
}

/// Reads a part of the texts: one thread's share.
struct Reader<'r> {
    settings: &'r Settings,
    interner: &'r Interner,
    read: Read,
}

impl<'r> Reader<'r> {
    fn new(settings: &'r Settings, interner: &'r Interner) -> Self {
        Self {
            settings,
            interner,
            read: Read::default(),
        }
    }

    /// With what another document says.
    fn with_document(mut self, source: &SourceFile, chunk: &manifest::Chunk) -> Self {
        let (document, diagnostics) = manifest::parse(source, chunk);
        let mut before = std::mem::replace(&mut self.read.diagnostics, diagnostics);
        let root = document.as_ref().map(manifest::Document::root);
        if let Some(root) = root {
            self.read.documents += 1;
            self.document(root);
            validate::settle(&mut self.read.diagnostics);
        }
        // Where a Secret is, there is something to say: that it is not read, or cannot be.
        if !self.read.diagnostics.is_empty() {
            let mut secrets = secret::places(source, chunk.span, root);
            secret::redact(&mut self.read.diagnostics, &secrets);
            self.read.secrets.append(&mut secrets);
        }
        before.append(&mut self.read.diagnostics);
        self.read.diagnostics = before;
        self
    }

    /// Reads an object, or a list with any threads: the whole dump of a cluster may be one. Lists in lists are read by
    /// the thread that meets them, so that their depth costs no more of the stack.
    fn document(&mut self, root: NodeRef<'_>) {
        let recognised = identify::identify(root, None, &mut self.read.diagnostics);
        let Recognised::List(kind) = recognised else {
            return self.recognised(recognised, root);
        };
        check_list(root, &mut self.read);
        let (settings, interner) = (self.settings, self.interner);
        let items: Vec<NodeRef<'_>> = items(root).collect();
        let parts: Vec<Read> = items
            .into_par_iter()
            .fold(
                || Reader::new(settings, interner),
                |mut reader, item| {
                    reader.object(item, kind);
                    reader
                },
            )
            .map(|part| part.read)
            .collect();
        self.read.append_all(parts);
    }

    /// Reads an object; the items of a list of a known kind may leave out what the list says.
    fn object(&mut self, root: NodeRef<'_>, listed: Option<Kind>) {
        let recognised = identify::identify(root, listed, &mut self.read.diagnostics);
        self.recognised(recognised, root);
    }

    fn recognised(&mut self, recognised: Recognised, root: NodeRef<'_>) {
        match recognised {
            Recognised::List(kind) => {
                check_list(root, &mut self.read);
                items(root).for_each(|item| self.object(item, kind));
            }
            Recognised::Known(kind) => self.known(kind, root),
            Recognised::OtherVersion(kind, _) | Recognised::Misspelt(kind) => {
                self.read.count += 1;
                self.read.refused.push(object_ref(kind, root));
            }
            Recognised::CiliumConfig => {
                self.read.count += 1;
                let unused = self.unused_config(root);
                self.read.diagnostics.extend(unused);
            }
            Recognised::UnsupportedPolicy(_) => {
                self.read.count += 1;
                self.read.unsupported.push(foreign_ref(root));
            }
            Recognised::Unknown => self.read.count += 1,
        }
    }

    fn unused_config(&self, root: NodeRef<'_>) -> Option<Diagnostic> {
        match self.settings.dialect {
            Dialect::Kubernetes => Some(
                Diagnostic::new(
                    &codes::SETTING_IGNORED,
                    "Cilium's options have no effect in the dialect `kubernetes`",
                )
                .at(
                    root.get("kind").map_or(root.span(), NodeRef::span),
                    "not read",
                )
                .object(foreign_ref(root))
                .help("set `dialect = \"cilium\"` if the cluster runs it"),
            ),
            Dialect::Cilium => None,
        }
    }

    /// Checks an object and lowers or decodes it.
    fn known(&mut self, kind: Kind, root: NodeRef<'_>) {
        let object = || object_ref(kind, root);
        let read = &mut self.read;
        read.count += 1;
        let standing = kind.policy().map_or(Standing::Enforced, |policy| {
            standing::of(policy, self.settings)
        });
        let remark = standing::remark(standing, kind, root, self.settings);
        read.diagnostics.extend(remark);
        match validate::check_object(kind, root, self.settings, &mut read.diagnostics) {
            Acceptance::Whole => {}
            Acceptance::Mendable => read.mendable.push(object()),
            Acceptance::Unusable => return read.unusable.push(object()),
            Acceptance::Refused => return read.refused.push(object()),
        }
        lint::lint_object(kind, root, &self.settings.cilium, &mut read.diagnostics);
        match standing {
            Standing::Enforced => self.lower(kind, root),
            Standing::Foreign(_) => read.foreign.push(object()),
            Standing::Ignored(_) => {}
        }
    }

    fn lower(&mut self, kind: Kind, root: NodeRef<'_>) {
        let read = &mut self.read;
        let Some(policy) = kind.policy() else {
            let decoded = objects::decode(kind, root, self.interner, &mut read.diagnostics);
            return read.objects.extend(decoded);
        };
        let object = object_ref(kind, root);
        match lower::lower(policy, object.clone(), root, self.settings) {
            Err(unread) => {
                read.diagnostics.push(unread.diagnostic(object.clone()));
                read.refused.push(object);
            }
            Ok(drafts) => {
                let is_named = has_name(root);
                let subject = subject_span(root);
                let namespace = key_span(root, &["metadata", "namespace"]);
                let lowered = drafts.into_iter().map(|draft| Lowered {
                    draft,
                    is_named,
                    subject,
                    namespace,
                });
                read.drafts.extend(lowered);
            }
        }
    }
}

fn items(list: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    list.get("items").into_iter().flat_map(NodeRef::items)
}

fn has_name(root: NodeRef<'_>) -> bool {
    let name = root.at(&["metadata", "name"]).and_then(NodeRef::as_str);
    name.is_some_and(|name| !name.is_empty())
}

/// A list without items of its own would be read as nothing at all, and of `items` that stand twice only the last
/// would count: neither is taken in silence.
fn check_list(root: NodeRef<'_>, read: &mut Read) {
    let twice = root.own_repeated_keys().iter();
    read.diagnostics
        .extend(twice.map(|key| key.warning().severity(Severity::Error)));
    let items = root.entries().find(|entry| entry.key == "items");
    let problem = match items.map(|entry| entry.value) {
        Some(items) if items.is_null() || matches!(items.value(), Value::Sequence(_)) => return,
        Some(items) => Diagnostic::new(&codes::WRONG_TYPE, "`items` of a list is no list")
            .at(
                items.span(),
                format!("of type {}", items.value().type_name()),
            )
            .help("write each object as an item: `- apiVersion: ...`"),
        None => Diagnostic::new(&codes::MISSING_FIELD, "a list has no `items`")
            .at(
                root.get("kind").map_or(root.span(), NodeRef::span),
                "a list",
            )
            .help("write the objects below `items:`"),
    };
    read.diagnostics.push(problem.field("items"));
}

/// An object of a kind that is not read, as its author names it.
fn foreign_ref(root: NodeRef<'_>) -> ObjectRef {
    let text = |path: &[&str]| root.at(path).and_then(NodeRef::as_str);
    ObjectRef {
        kind: text(&["kind"]).unwrap_or("").into(),
        namespace: text(&["metadata", "namespace"]).map(Into::into),
        name: text(&["metadata", "name"]).unwrap_or("").into(),
    }
}

/// Options of Cilium's agent that are set and make no difference here.
fn not_modelled(settings: &Settings) -> Option<Diagnostic> {
    let names = match settings.dialect {
        Dialect::Kubernetes => return None,
        Dialect::Cilium => settings.cilium.not_modelled(),
    };
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let message = format!("answers take no notice of {}", quoted.join(", "));
    let warning = Diagnostic::new(&codes::SETTING_IGNORED, message)
        .severity(Severity::Warning)
        .help("answers are as under the defaults of Cilium; leave them out where that is meant");
    (!names.is_empty()).then_some(warning)
}

/// Whether what policies deny passes.
fn not_enforced(settings: &Settings) -> Option<Diagnostic> {
    let audits = settings.dialect == Dialect::Cilium && settings.cilium.policy_audit_mode;
    let message =
        "with `policy-audit-mode` nothing is denied: what policies deny passes, and is recorded";
    let warning = Diagnostic::new(&codes::NOT_ENFORCED, message)
        .help("leave the option out to see what is enforced without it");
    audits.then_some(warning)
}

/// Keeps the first of several policies that have one kind, namespace and name: the API server would hold one.
/// Where it makes the names itself (`generateName`), each is another.
fn without_duplicates(drafts: Vec<Lowered>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Draft> {
    let (mut named, unnamed): (Vec<Lowered>, Vec<Lowered>) =
        drafts.into_iter().partition(|lowered| lowered.is_named);
    let mut kept: Vec<Draft> = Vec::with_capacity(named.len());
    named.par_sort_by(|Lowered { draft: a, .. }, Lowered { draft: b, .. }| {
        (a.object(), a.span()).cmp(&(b.object(), b.span()))
    });
    for Lowered { draft, .. } in named {
        match kept.last() {
            // One object may have several rule objects.
            Some(first) if first.object() == draft.object() && first.span() != draft.span() => {
                diagnostics.push(duplicate(first, &draft));
            }
            _ => kept.push(draft),
        }
    }
    kept.extend(unnamed.into_iter().map(|lowered| lowered.draft));
    kept
}

fn duplicate(first: &Draft, again: &Draft) -> Diagnostic {
    Diagnostic::new(
        &codes::DUPLICATE_OBJECT,
        format!("`{}` is defined twice", again.object()),
    )
    .at(again.span(), "this definition is left out")
    .related(first.span(), "the first definition")
    .object(again.object().clone())
    .help("give one of them another name, or remove it: the API server holds one object of a name")
}
