//! From a file to what texts say.

use super::FORM;
use super::record::{
    self, Block, File, Head, Name, Number, Owner, Place, SERVICE_KINDS, SEVERITIES, Said, Tables,
    Template,
};
use crate::cluster::interner::{Interner, WrittenPort};
use crate::cluster::object::{self, Object};
use crate::cluster::{Labels, NamedPort, Protocol};
use crate::diagnostic::{Diagnostic, Label, ObjectRef, codes};
use crate::frontend::kinds::Kind;
use crate::frontend::load::Read;
use crate::source::{FileId, SourceFile, Span};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What was found in a file.
#[derive(Default)]
pub(in crate::frontend) struct Kept<'f> {
    /// Whether it is damaged, or has another layout.
    pub(in crate::frontend) unusable: bool,
    tables: Shared,
    /// By the digest of the text.
    texts: FxHashMap<[u8; 32], Known<'f>>,
}

/// What is known of a text.
struct Known<'f> {
    sha256: [u8; 32],
    says: &'f [u8],
}

/// Bytes that say nothing that a text could.
pub(in crate::frontend) struct Unusable;

/// What the numbers of records stand for.
#[derive(Default)]
struct Shared {
    strings: Vec<Arc<str>>,
    labels: Vec<Arc<Labels>>,
    ports: Vec<Arc<[NamedPort]>>,
}

impl<'f> Kept<'f> {
    /// Reads a file. Nothing is taken of one under another print.
    pub(in crate::frontend) fn read(file: &'f [u8], print: &[u8; 32], interner: &Interner) -> Self {
        let found = FORM.whole(file).and_then(|told| {
            let (own, rest) = told.split_first_chunk::<32>()?;
            if own != print {
                return Some(Self::default());
            }
            let file: File<'f> = postcard::from_bytes(rest).ok()?;
            let texts = file.texts.iter().map(|text| {
                let (sha256, says) = (text.sha256, text.says);
                (text.print, Known { sha256, says })
            });
            Some(Self {
                unusable: false,
                tables: Shared::of(&file.tables, interner),
                texts: texts.collect(),
            })
        });
        found.unwrap_or(Self {
            unusable: true,
            ..Self::default()
        })
    }

    /// The texts of which there is something.
    pub(in crate::frontend) fn texts(&self) -> impl ExactSizeIterator<Item = &[u8; 32]> {
        self.texts.keys()
    }

    /// What a text says, where that is known. `Err` where it is nothing that the text could say.
    pub(in crate::frontend) fn take(
        &self,
        file: FileId,
        source: &SourceFile,
    ) -> Result<Option<Read>, Unusable> {
        let Some(known) = self.texts.get(source.print()) else {
            return Ok(None);
        };
        let taker = Taker {
            tables: &self.tables,
            file,
            text: source.text(),
        };
        let read = taker.read(known.says).ok_or(Unusable)?;
        source.set_sha256(known.sha256);
        Ok(Some(read))
    }
}

impl Shared {
    fn of(tables: &Tables<'_>, interner: &Interner) -> Self {
        let strings = tables.strings.iter();
        let labels = tables.labels.iter();
        let ports = tables.ports.iter().map(|ports| {
            let ports = ports.iter().map(|(name, (protocol, number))| WrittenPort {
                name,
                protocol: Protocol(*protocol),
                number: *number,
            });
            interner.ports(&ports.collect::<Vec<_>>())
        });
        Self {
            strings: strings.map(|text| interner.string(text)).collect(),
            labels: labels
                .map(|labels| interner.labels(labels.iter().copied()))
                .collect(),
            ports: ports.collect(),
        }
    }

    fn string(&self, number: Number) -> Option<Arc<str>> {
        self.strings.get(number as usize).cloned()
    }

    fn labels(&self, number: Number) -> Option<Arc<Labels>> {
        self.labels.get(number as usize).cloned()
    }

    fn ports(&self, number: Number) -> Option<Arc<[NamedPort]>> {
        self.ports.get(number as usize).cloned()
    }
}

/// Takes what one text says.
struct Taker<'t> {
    tables: &'t Shared,
    file: FileId,
    text: &'t str,
}

impl Taker<'_> {
    fn read(&self, says: &[u8]) -> Option<Read> {
        let (head, mut rest) = postcard::take_from_bytes::<Head<'_>>(says).ok()?;
        let mut objects = Vec::new();
        // An object takes more bytes than a few: what is said of their number needs not be true.
        objects.reserve_exact(head.objects.min(rest.len() / 8));
        for _ in 0..head.objects {
            let (object, behind) = postcard::take_from_bytes(rest).ok()?;
            objects.push(self.object(object)?);
            rest = behind;
        }
        let diagnostics = head.diagnostics.iter().map(|said| self.said(said));
        let names = |names: &[Name<'_>]| names.iter().copied().map(name).collect();
        rest.is_empty().then_some(Read {
            objects,
            drafts: Vec::new(),
            diagnostics: diagnostics.collect::<Option<_>>()?,
            documents: head.documents,
            count: head.count,
            refused: names(&head.refused),
            mendable: names(&head.mendable),
            unsupported: names(&head.unsupported),
            unusable: names(&head.unusable),
            foreign: names(&head.foreign),
            secrets: Vec::new(),
        })
    }

    /// A place in the text.
    fn span(&self, (start, end): Place) -> Option<Span> {
        let span = Span::new(self.file, start..end);
        self.text.get(span.range()).map(|_| span)
    }

    fn said(&self, said: &Said<'_>) -> Option<Diagnostic> {
        let code = codes::ALL.binary_search_by(|code| code.id.cmp(said.code));
        let label = |(place, text): &(Place, &str)| {
            Some(Label {
                span: self.span(*place)?,
                text: (*text).into(),
            })
        };
        let related = said.related.iter().map(label);
        Some(Diagnostic {
            code: codes::ALL.get(code.ok()?)?,
            severity: *SEVERITIES.get(usize::from(said.severity))?,
            message: said.message.into(),
            label: match &said.label {
                Some(told) => Some(label(told)?),
                None => None,
            },
            related: related.collect::<Option<_>>()?,
            help: said.help.map(Into::into),
            field: said.field.map(Into::into),
            object: said.object.map(name),
            file: None,
        })
    }

    fn object(&self, object: record::Object<'_>) -> Option<Object> {
        Some(match object {
            record::Object::Pod(pod) => Object::Pod(self.pod(pod)?),
            record::Object::Namespace(name, labels, place) => {
                Object::Namespace(object::Namespace {
                    name: name.into(),
                    labels: self.tables.labels(labels)?,
                    span: self.span(place)?,
                })
            }
            record::Object::Node(node) => Object::Node(object::Node {
                name: node.name.into(),
                labels: self.tables.labels(node.labels)?,
                addresses: node.addresses.into_owned(),
                pod_cidrs: blocks(&node.pod_cidrs)?,
                span: self.span(node.place)?,
            }),
            record::Object::Workload(workload) => Object::Workload(self.workload(&workload)?),
            record::Object::Service(service) => Object::Service(self.service(service)?),
            record::Object::Endpoints(endpoints) => Object::Endpoints(self.endpoints(endpoints)?),
            record::Object::ServiceAccount(namespace, name, labels, place) => {
                Object::ServiceAccount(object::ServiceAccount {
                    namespace: self.tables.string(namespace)?,
                    name: name.into(),
                    labels: self.tables.labels(labels)?,
                    span: self.span(place)?,
                })
            }
            record::Object::BlockGroup(group) => Object::BlockGroup(object::BlockGroup {
                name: group.name.into(),
                labels: pairs(&group.labels),
                blocks: blocks(&group.blocks)?,
                span: self.span(group.place)?,
            }),
            record::Object::DnsSnapshot(name, answers, place) => {
                let answers = answers.into_iter();
                Object::DnsSnapshot(object::DnsSnapshot {
                    name: name.into(),
                    answers: answers
                        .map(|(name, addresses)| (name.into(), addresses.into_owned()))
                        .collect(),
                    span: self.span(place)?,
                })
            }
        })
    }

    fn pod(&self, pod: record::Pod<'_>) -> Option<object::Pod> {
        Some(object::Pod {
            namespace: self.tables.string(pod.namespace)?,
            name: pod.name.into(),
            template: self.template(pod.template)?,
            owner: self.owner(pod.owner)?,
            finished: pod.finished,
            addresses: pod.addresses.into_owned().into(),
            host_addresses: pod.host_addresses.into_owned().into(),
            span: self.span(pod.place)?,
        })
    }

    fn template(&self, template: Template) -> Option<object::Template> {
        Some(object::Template {
            labels: self.tables.labels(template.labels)?,
            ports: self.tables.ports(template.ports)?,
            host_network: template.host_network,
            service_account: self.tables.string(template.service_account)?,
            node: match template.node {
                Some(node) => Some(self.tables.string(node)?),
                None => None,
            },
        })
    }

    fn owner(&self, owner: Option<Owner>) -> Option<Option<object::Owner>> {
        let Some(Owner { kind, name }) = owner else {
            return Some(None);
        };
        Some(Some(object::Owner {
            kind: self.tables.string(kind)?,
            name: self.tables.string(name)?,
        }))
    }

    fn workload(&self, workload: &record::Workload<'_>) -> Option<object::Workload> {
        Some(object::Workload {
            namespace: self.tables.string(workload.namespace)?,
            kind: Kind::named(workload.kind)?.name(),
            name: workload.name.into(),
            template: self.template(workload.template)?,
            active: workload.active,
            several: workload.several,
            owner: self.owner(workload.owner)?,
            span: self.span(workload.place)?,
        })
    }

    fn service(&self, service: record::Service<'_>) -> Option<object::Service> {
        let ports = service.ports.iter().map(|port| self.service_port(port));
        Some(object::Service {
            namespace: self.tables.string(service.namespace)?,
            name: service.name.into(),
            kind: *SERVICE_KINDS.get(usize::from(service.kind))?,
            ports: ports.collect::<Option<_>>()?,
            addresses: service.addresses.into_owned(),
            external_addresses: service.external_addresses.into_owned(),
            labels: pairs(&service.labels),
            selector: service.selector.as_deref().map(pairs),
            span: self.span(service.place)?,
        })
    }

    fn service_port(&self, port: &record::ServicePort<'_>) -> Option<object::ServicePort> {
        let (protocol, number) = port.port;
        Some(object::ServicePort {
            name: port.name.into(),
            protocol: Protocol(protocol),
            number,
            node_port: port.node_port,
            target: match port.target {
                record::Target::Number(number) => object::Target::Number(number),
                record::Target::Name(name) => object::Target::Name(name.into()),
            },
            span: self.span(port.place)?,
        })
    }

    fn endpoints(&self, endpoints: record::Endpoints<'_>) -> Option<object::Endpoints> {
        let subsets = endpoints.subsets.into_iter();
        let subsets = subsets.map(|(addresses, ports)| object::Subset {
            addresses: addresses.into_owned(),
            ports: ports.into_iter().map(endpoint_port).collect(),
        });
        Some(object::Endpoints {
            namespace: self.tables.string(endpoints.namespace)?,
            name: endpoints.name.into(),
            service: endpoints.service.map(Into::into),
            slice: endpoints.slice,
            subsets: subsets.collect(),
            span: self.span(endpoints.place)?,
        })
    }
}

fn endpoint_port((name, protocol, number): (&str, u8, Option<u16>)) -> object::EndpointPort {
    object::EndpointPort {
        name: name.into(),
        protocol: Protocol(protocol),
        number,
    }
}

fn name((kind, namespace, name): Name<'_>) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        namespace: namespace.map(Into::into),
        name: name.into(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn blocks(blocks: &[Block]) -> Option<Vec<IpNet>> {
    let block = |(address, length): &Block| IpNet::new(*address, *length).ok();
    blocks.iter().map(block).collect()
}
