//! From what texts say to a file.

use super::FORM;
use super::record::{
    self, Block, File, Head, Name, Number, Owner, Pairs, Place, SERVICE_KINDS, SEVERITIES, Said,
    Tables, Template, Text, number_of,
};
use crate::cluster::object::{self, Object};
use crate::cluster::{Labels, NamedPort};
use crate::diagnostic::{Diagnostic, Label, ObjectRef};
use crate::frontend::load::Read;
use crate::kept::closed;
use crate::source::{SourceFile, Span, to_u32};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file of what texts say, by the digests of these, under the print of a run; `None` where it cannot be written down.
pub(in crate::frontend) fn write(
    texts: &BTreeMap<&[u8; 32], (&SourceFile, &[Read])>,
    print: &[u8; 32],
) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    let says = texts.values().map(|(_, parts)| writer.text(parts));
    let says = says.collect::<Result<Vec<_>, _>>().ok()?;
    let texts = texts.iter().zip(&says);
    let texts = texts.map(|((print, (source, _)), says)| Text {
        print: **print,
        sha256: *source.sha256(),
        says,
    });
    let file = File {
        tables: writer.tables(),
        texts: texts.collect(),
    };
    let mut head = FORM.begun();
    head.extend(print);
    Some(closed(postcard::to_extend(&file, head).ok()?))
}

/// Shared values by their addresses, which are nobody else's while they are held.
struct Table<'o, T: ?Sized> {
    numbers: FxHashMap<usize, Number>,
    list: Vec<&'o T>,
}

impl<T: ?Sized> Default for Table<'_, T> {
    fn default() -> Self {
        Self {
            numbers: FxHashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<'o, T: ?Sized> Table<'o, T> {
    fn number(&mut self, value: &'o Arc<T>) -> Number {
        let address = Arc::as_ptr(value).addr();
        *self.numbers.entry(address).or_insert_with(|| {
            self.list.push(value);
            to_u32(self.list.len() - 1)
        })
    }
}

#[derive(Default)]
struct Writer<'o> {
    strings: Table<'o, str>,
    labels: Table<'o, Labels>,
    ports: Table<'o, [NamedPort]>,
}

impl<'o> Writer<'o> {
    fn tables(&self) -> Tables<'o> {
        let port = |port: &'o NamedPort| (&*port.name, (port.protocol.0, port.number));
        let ports = self.ports.list.iter();
        Tables {
            strings: self.strings.list.clone(),
            labels: self.labels.list.iter().map(|one| pairs(one)).collect(),
            ports: ports
                .map(|ports| ports.iter().map(port).collect())
                .collect(),
        }
    }

    fn text(&mut self, parts: &'o [Read]) -> postcard::Result<Vec<u8>> {
        let mut bytes = postcard::to_allocvec(&head(parts))?;
        for object in parts.iter().flat_map(|part| &part.objects) {
            bytes = postcard::to_extend(&self.object(object), bytes)?;
        }
        Ok(bytes)
    }

    fn object(&mut self, object: &'o Object) -> record::Object<'o> {
        match object {
            Object::Pod(pod) => record::Object::Pod(self.pod(pod)),
            Object::Namespace(object) => record::Object::Namespace(
                &object.name,
                self.labels.number(&object.labels),
                place(object.span),
            ),
            Object::Node(node) => record::Object::Node(record::Node {
                name: &node.name,
                labels: self.labels.number(&node.labels),
                addresses: node.addresses.as_slice().into(),
                pod_cidrs: blocks(&node.pod_cidrs),
                place: place(node.span),
            }),
            Object::Workload(workload) => record::Object::Workload(self.workload(workload)),
            Object::Service(service) => record::Object::Service(self.service(service)),
            Object::Endpoints(endpoints) => record::Object::Endpoints(self.endpoints(endpoints)),
            Object::ServiceAccount(account) => record::Object::ServiceAccount(
                self.strings.number(&account.namespace),
                &account.name,
                self.labels.number(&account.labels),
                place(account.span),
            ),
            Object::BlockGroup(group) => record::Object::BlockGroup(record::BlockGroup {
                name: &group.name,
                labels: pairs(&group.labels),
                blocks: blocks(&group.blocks),
                place: place(group.span),
            }),
            Object::DnsSnapshot(snapshot) => {
                let answers = snapshot.answers.iter();
                let answers = answers.map(|(name, addresses)| (&**name, addresses.into()));
                record::Object::DnsSnapshot(&snapshot.name, answers.collect(), place(snapshot.span))
            }
        }
    }

    fn pod(&mut self, pod: &'o object::Pod) -> record::Pod<'o> {
        record::Pod {
            namespace: self.strings.number(&pod.namespace),
            name: &pod.name,
            template: self.template(&pod.template),
            owner: self.owner(pod.owner.as_ref()),
            finished: pod.finished,
            addresses: (&*pod.addresses).into(),
            host_addresses: (&*pod.host_addresses).into(),
            place: place(pod.span),
        }
    }

    fn template(&mut self, template: &'o object::Template) -> Template {
        let object::Template {
            labels,
            ports,
            host_network,
            service_account,
            node,
        } = template;
        Template {
            labels: self.labels.number(labels),
            ports: self.ports.number(ports),
            host_network: *host_network,
            service_account: self.strings.number(service_account),
            node: node.as_ref().map(|node| self.strings.number(node)),
        }
    }

    fn owner(&mut self, owner: Option<&'o object::Owner>) -> Option<Owner> {
        owner.map(|object::Owner { kind, name }| Owner {
            kind: self.strings.number(kind),
            name: self.strings.number(name),
        })
    }

    fn workload(&mut self, workload: &'o object::Workload) -> record::Workload<'o> {
        record::Workload {
            namespace: self.strings.number(&workload.namespace),
            kind: workload.kind,
            name: &workload.name,
            template: self.template(&workload.template),
            active: workload.active,
            several: workload.several,
            owner: self.owner(workload.owner.as_ref()),
            place: place(workload.span),
        }
    }

    fn service(&mut self, service: &'o object::Service) -> record::Service<'o> {
        record::Service {
            namespace: self.strings.number(&service.namespace),
            name: &service.name,
            kind: number_of(&SERVICE_KINDS, &service.kind),
            addresses: service.addresses.as_slice().into(),
            external_addresses: service.external_addresses.as_slice().into(),
            labels: pairs(&service.labels),
            selector: service.selector.as_ref().map(pairs),
            ports: service.ports.iter().map(service_port).collect(),
            place: place(service.span),
        }
    }

    fn endpoints(&mut self, endpoints: &'o object::Endpoints) -> record::Endpoints<'o> {
        let port = |port: &'o object::EndpointPort| (&*port.name, port.protocol.0, port.number);
        let subsets = endpoints.subsets.iter().map(|subset| {
            let ports = subset.ports.iter().map(port).collect();
            (subset.addresses.as_slice().into(), ports)
        });
        record::Endpoints {
            namespace: self.strings.number(&endpoints.namespace),
            name: &endpoints.name,
            service: endpoints.service.as_deref(),
            slice: endpoints.slice,
            subsets: subsets.collect(),
            place: place(endpoints.span),
        }
    }
}

/// What the parts of a text say besides objects.
fn head(parts: &[Read]) -> Head<'_> {
    let mut head = Head::default();
    for part in parts {
        let Read {
            objects,
            drafts: _,
            diagnostics,
            documents,
            count,
            refused,
            mendable,
            unsupported,
            unusable,
            foreign,
            secrets: _,
        } = part;
        head.documents += documents;
        head.count += count;
        head.diagnostics.extend(diagnostics.iter().map(said));
        head.refused.extend(refused.iter().map(name));
        head.mendable.extend(mendable.iter().map(name));
        head.unsupported.extend(unsupported.iter().map(name));
        head.unusable.extend(unusable.iter().map(name));
        head.foreign.extend(foreign.iter().map(name));
        head.objects += objects.len();
    }
    head
}

fn said(diagnostic: &Diagnostic) -> Said<'_> {
    let Diagnostic {
        code,
        severity,
        message,
        label,
        related,
        help,
        field,
        object,
        file: _,
    } = diagnostic;
    fn told(label: &Label) -> (Place, &str) {
        (place(label.span), &label.text)
    }
    Said {
        code: code.id,
        severity: number_of(&SEVERITIES, severity),
        message,
        label: label.as_ref().map(told),
        related: related.iter().map(told).collect(),
        help: help.as_deref(),
        field: field.as_deref(),
        object: object.as_ref().map(name),
    }
}

fn name(object: &ObjectRef) -> Name<'_> {
    (&object.kind, object.namespace.as_deref(), &object.name)
}

fn service_port(port: &object::ServicePort) -> record::ServicePort<'_> {
    record::ServicePort {
        name: &port.name,
        port: (port.protocol.0, port.number),
        node_port: port.node_port,
        target: match &port.target {
            object::Target::Number(number) => record::Target::Number(*number),
            object::Target::Name(name) => record::Target::Name(name),
        },
        place: place(port.span),
    }
}

fn place(span: Span) -> Place {
    (span.start, span.end)
}

fn pairs(labels: &Labels) -> Pairs<'_> {
    labels.iter().collect()
}

fn blocks(blocks: &[IpNet]) -> Vec<Block> {
    let block = |block: &IpNet| (block.addr(), block.prefix_len());
    blocks.iter().map(block).collect()
}
