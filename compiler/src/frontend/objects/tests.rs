//! Decoding and building together: `testdata/cluster/*.yaml` to `snapshots/cluster/*.snap`.

use super::*;
use crate::cluster::Cluster;
use crate::cluster::build::build;
use crate::cluster::peer::{PeerSpec, PortSpec, Resolved, backends, note, resolve};
use crate::frontend::manifest::{parse, split};
use crate::source::{FileId, SourceFile, Span};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a case may say about namespaces that policies refer to.
const REFERS: &str = "# REFERS: ";

const KINDS: &[(&str, Kind)] = &[
    ("Namespace", Kind::Namespace),
    ("Node", Kind::Node),
    ("Pod", Kind::Pod),
    ("Service", Kind::Service),
    ("ServiceAccount", Kind::ServiceAccount),
    ("Endpoints", Kind::Endpoints),
    ("EndpointSlice", Kind::EndpointSlice),
    ("Deployment", Kind::Deployment),
    ("StatefulSet", Kind::StatefulSet),
    ("DaemonSet", Kind::DaemonSet),
    ("ReplicaSet", Kind::ReplicaSet),
    ("ReplicationController", Kind::ReplicationController),
    ("Job", Kind::Job),
    ("CronJob", Kind::CronJob),
    ("DnsSnapshot", Kind::DnsSnapshot),
    ("NetworkPolicy", Kind::NetworkPolicy),
];

struct Case {
    source: SourceFile,
    objects: Vec<Object>,
    referred: Vec<(String, Span)>,
    diagnostics: Vec<Diagnostic>,
}

fn read(file: u32, text: &str) -> Case {
    let source = SourceFile::new("case", text.into()).unwrap();
    let interner = Interner::default();
    let (mut objects, mut diagnostics) = (Vec::new(), Vec::new());
    for chunk in split(FileId(file), &source) {
        let (document, more) = parse(&source, &chunk);
        diagnostics.extend(more);
        if let Some(document) = &document {
            let root = document.root();
            match root.get("items") {
                Some(items) => objects.extend(
                    items
                        .items()
                        .filter_map(|item| decode_any(item, &interner, &mut diagnostics)),
                ),
                None => objects.extend(decode_any(root, &interner, &mut diagnostics)),
            }
        }
    }
    let referred = text.match_indices(REFERS).map(|(start, _)| {
        let name = text[start + REFERS.len()..].lines().next().unwrap();
        let start = u32::try_from(start).unwrap();
        (name.to_owned(), Span::new(FileId(file), start..start + 9))
    });
    let referred = referred.collect();
    Case {
        source,
        objects,
        referred,
        diagnostics,
    }
}

fn decode_any(
    root: NodeRef<'_>,
    interner: &Interner,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Object> {
    let kind = root.get("kind")?.as_str()?;
    let (_, kind) = KINDS.iter().find(|(name, _)| *name == kind)?;
    decode(*kind, root, interner, diagnostics)
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/cluster");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn show(source: &SourceFile, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    let place = |span: Span| source.location(span.start);
    for diagnostic in diagnostics {
        let label = diagnostic.label.as_ref();
        let at = label.map_or(String::new(), |label| format!(" {}", place(label.span)));
        let Diagnostic {
            code,
            severity,
            message,
            ..
        } = diagnostic;
        writeln!(out, "{severity} {}{at}: {message}", code.id).unwrap();
        for related in &diagnostic.related {
            writeln!(out, "  also {}: {}", place(related.span), related.text).unwrap();
        }
        if let Some(field) = &diagnostic.field {
            writeln!(out, "  field: {field}").unwrap();
        }
        if let Some(help) = &diagnostic.help {
            writeln!(out, "  help: {help}").unwrap();
        }
    }
    out
}

#[test]
fn clusters_are_built() {
    let mut settings = insta::Settings::clone_current();
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/cluster");
    settings.set_snapshot_path(snapshots);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in cases() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut case = read(0, &text);
        let (cluster, more) = build(vec![case.objects], case.referred, &[]);
        case.diagnostics.extend(more);
        let said = show(&case.source, &case.diagnostics);
        let shown = format!("{text}====\n{cluster}====\n{said}");
        settings.bind(|| insta::assert_snapshot!(name, shown));
    }
}

fn pool() -> Vec<Object> {
    let mut objects = Vec::new();
    for (file, path) in cases().iter().enumerate() {
        let text = std::fs::read_to_string(path).unwrap();
        objects.extend(read(u32::try_from(file).unwrap(), &text).objects);
    }
    objects
}

fn built(objects: Vec<Object>) -> (String, Vec<Diagnostic>) {
    let (cluster, diagnostics) = build(vec![objects], [] as [(&str, Span); 0], &[]);
    (cluster.to_string(), diagnostics)
}

/// Some of the objects of all cases, in their order and in another.
fn shuffles() -> impl Strategy<Value = (Vec<Object>, Vec<Object>)> {
    let pool = pool();
    let size = pool.len();
    proptest::sample::subsequence(pool, 0..=size)
        .prop_flat_map(|chosen| (Just(chosen.clone()), Just(chosen).prop_shuffle()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_objects_changes_nothing((chosen, shuffled) in shuffles()) {
        prop_assert_eq!(built(chosen), built(shuffled));
    }

    #[test]
    fn decoding_and_building_are_total(texts in proptest::collection::vec(document(), 0..8)) {
        let text = texts.join("\n---\n");
        let case = read(0, &text);
        let (cluster, diagnostics) = build(vec![case.objects], case.referred, &[]);
        let _ = (cluster.to_string(), show(&case.source, &diagnostics));
    }
}

/// An object of a known kind with fields that are known somewhere, but not here.
fn document() -> impl Strategy<Value = String> {
    let kinds: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let kind = proptest::sample::select(kinds);
    let part = proptest::sample::select(PARTS);
    let fields = proptest::collection::hash_map(part, value(), 0..5);
    (kind, fields).prop_map(|(kind, fields)| {
        let mut text = format!("{{\"kind\": \"{kind}\"");
        for (key, value) in fields {
            write!(text, ", \"{key}\": {value}").unwrap();
        }
        text + "}"
    })
}

const PARTS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "subsets",
    "endpoints",
    "ports",
    "names",
];

const FIELDS: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "labels",
    "ownerReferences",
    "controller",
    "kind",
    "containers",
    "initContainers",
    "restartPolicy",
    "ports",
    "containerPort",
    "protocol",
    "hostNetwork",
    "nodeName",
    "serviceAccountName",
    "phase",
    "podIP",
    "podIPs",
    "hostIP",
    "hostIPs",
    "ip",
    "addresses",
    "address",
    "type",
    "podCIDRs",
    "template",
    "jobTemplate",
    "spec",
    "metadata",
    "replicas",
    "suspend",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "selector",
    "targetPort",
    "port",
    "nodePort",
    "conditions",
    "ready",
    "notReadyAddresses",
    "kubernetes.io/service-name",
    "loadBalancer",
    "ingress",
];

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "65535",
    "65536",
    "-1",
    "1.5",
    "\"\"",
    "\"a\"",
    "\"web\"",
    "\"None\"",
    "\"10.0.0.1\"",
    "\"::ffff:10.0.0.1\"",
    "\"2001:db8::1\"",
    "\"10.0.0.0/8\"",
    "\"UDP\"",
    "\"Always\"",
    "\"InternalIP\"",
    "\"Succeeded\"",
    "\"Node\"",
    "\"ReplicaSet\"",
    "\"Job\"",
    "\"web-1\"",
];

fn value() -> impl Strategy<Value = String> {
    let scalar = proptest::sample::select(SCALARS).prop_map(String::from);
    scalar.prop_recursive(5, 60, 6, |inner| {
        let key = proptest::sample::select(FIELDS);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::hash_map(key, inner, 0..6).prop_map(|fields| {
                let fields = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\": {value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
---
apiVersion: v1
kind: Namespace
metadata: {name: empty}
---
apiVersion: v1
kind: Node
metadata: {name: worker-1}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: home}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api, ver: '1'}, ownerReferences: [{kind: ReplicaSet, name: api, controller: true}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: api-2, namespace: shop, labels: {app: api, ver: '2'}, ownerReferences: [{kind: ReplicaSet, name: api, controller: true}]}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: api-3, namespace: shop, labels: {app: api, ver: '2'}, ownerReferences: [{kind: ReplicaSet, name: api, controller: true}]}
status: {podIP: 10.0.0.4}
---
apiVersion: v1
kind: Pod
metadata: {name: api-4, namespace: shop, labels: {app: api, ver: '2'}, ownerReferences: [{kind: ReplicaSet, name: api, controller: true}]}
status: {podIP: 10.0.0.5}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: verdict.dev/v1
kind: DnsSnapshot
names: {api.example.com: [192.0.2.7]}
";

fn shop() -> Cluster {
    let case = read(0, SHOP);
    build(vec![case.objects], case.referred, &[]).0
}

fn name_of(cluster: &Cluster, resolved: &Resolved) -> String {
    match resolved {
        Resolved::Pod(id) => {
            let pod = cluster.pod(*id).unwrap();
            let stand_in = if pod.stand_in { "~" } else { "" };
            format!(
                "pod {}/{stand_in}{}",
                cluster.namespace_name(pod.namespace),
                pod.name
            )
        }
        Resolved::Node(id) => format!("node {}", cluster.node(*id).unwrap().name),
        Resolved::Address(address) => format!("address {address} {:?}", cluster.owner(*address)),
        Resolved::Hypothetical { namespace, labels } => format!("{namespace:?} [{labels}]"),
        Resolved::Fqdn { name, addresses } => format!("{name} {addresses:?}"),
        Resolved::Service { service, address } => {
            format!(
                "service {} {address:?}",
                cluster.service(*service).unwrap().name
            )
        }
        Resolved::World => "world".into(),
    }
}

fn ask(cluster: &Cluster, text: &str) -> String {
    let found = PeerSpec::parse(text).and_then(|peer| {
        assert_eq!(
            PeerSpec::parse(&peer.to_string()),
            Ok(peer.clone()),
            "{text}"
        );
        resolve(cluster, &peer)
    });
    match found {
        Ok(found) => {
            let names: Vec<String> = found.iter().map(|one| name_of(cluster, one)).collect();
            names.join(", ")
        }
        Err(diagnostic) => {
            let help = diagnostic.help.unwrap_or_default();
            format!("{} {}; {help}", diagnostic.code.id, diagnostic.message)
        }
    }
}

#[test]
fn peers_are_resolved() {
    let cluster = shop();
    let mut out = String::new();
    for text in [
        "shop/web",
        "shop/pod/web",
        "shop/deployment/web",
        "shop/Deploy/web",
        "home",
        "default/home",
        "shop/api",
        "shop/rs/api",
        "shop/api-2",
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "192.0.2.1",
        "203.0.113.9",
        "2001:db8::1",
        "[2001:DB8::1]",
        "10.96.0.1",
        "service:shop/front",
        "shop/svc/front",
        "node/worker-1",
        "entity:world",
        "ENTITY:world",
        "entity:World",
        "fqdn:API.example.com.",
        "fqdn:other.example.com",
        "shop[app=web,tier=front]",
        "shop[*]",
        "shop[]",
        "empty[ app = web ]",
        "[team=blue]/[app=web]",
        "[kubernetes.io/metadata.name=new]/[app.kubernetes.io/name=web]",
        "[*]/[*]",
        "shop/db",
        "shop/statefulset/db",
        "shop/job/db",
        "shop/wbe",
        "shop/nothing-like-it",
        "shop/front",
        "empty/web",
        "shpo/web",
        "elsewhere/web",
        "elsewhere[app=web]",
        "web",
        "api-1",
        "nowhere",
        "node/worker-2",
        "node/x",
        "service:shop/fornt",
        "service:front",
        "service:empty/x",
        "entity:host",
        "entity:wrold",
        "entity:moon",
        "",
        "/",
        "shop/",
        "/web",
        "a/b/c/d",
        "10.0.0.0/8",
        "10.0.0.256",
        "shop/*",
        "fqdn:*.example.com",
        "fqdn:",
        "host:80",
        "service:a/b/c",
        "shop[app]",
        "shop[=web]",
        "shop[app=web",
        "shop]",
        "shop[app=web]x",
        "shop[app=a,app=b]",
        "shop[app=a,app=a]",
        "shop[app=a b]",
        "[team=blue]",
        "[team=blue]/web",
        "shop/web[app=a]",
        "two words",
    ] {
        writeln!(out, "{text} => {}", ask(&cluster, text)).unwrap();
    }
    insta::with_settings!({
        snapshot_path => Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/peers"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("resolved", out) });
}

#[test]
fn a_service_address_is_noted() {
    let cluster = shop();
    let asked = |text| resolve(&cluster, &PeerSpec::parse(text).unwrap()).unwrap();
    let noted = note(&cluster, &asked("10.96.0.1")[0]).unwrap();
    assert_eq!(
        noted.message,
        "`10.96.0.1` is the address of service `shop/front`"
    );
    assert_eq!(note(&cluster, &asked("service:shop/front")[0]), None);
    assert_eq!(note(&cluster, &asked("10.0.0.1")[0]), None);
}

#[test]
fn ports_of_services_are_translated() {
    let cluster = shop();
    let service = cluster.find_service("shop", "front").unwrap();
    for (port, expected) in [
        ("80/TCP", vec![8080; 4]),
        ("http/TCP", vec![8080; 4]),
        ("/UDP", vec![53; 4]),
        ("1-100/UDP", vec![53; 4]),
        ("8080/TCP", vec![]),
        ("80/UDP", vec![]),
        ("dns/TCP", vec![]),
        ("8/ICMP", vec![]),
    ] {
        let port = PortSpec::parse(port).unwrap();
        let behind = backends(&cluster, service, &port);
        let numbers: Vec<u16> = behind.iter().map(|backend| backend.port).collect();
        assert_eq!(numbers, expected, "{port}");
    }
    assert_eq!(backends(&cluster, service, &PortSpec::Any).len(), 8);
}

proptest! {
    #[test]
    fn any_text_is_a_peer_and_a_port_or_is_refused(text in "[a-z0-9/:=,.*\\[\\] -]{0,24}|\\PC{0,16}") {
        let _ = PortSpec::parse(&text);
        if let Ok(peer) = PeerSpec::parse(&text) {
            prop_assert_eq!(PeerSpec::parse(&peer.to_string()), Ok(peer.clone()));
            let _ = resolve(&shop(), &peer);
        }
    }
}
