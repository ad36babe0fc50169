//! How fast manifests are read: 20,000 Pods as YAML documents, as one list and as JSON, in MB/s; and what a second
//! thread is worth.
//!
//! `cargo bench -p verdict-tests --bench read`. The baseline, in the same run, is libyaml itself: its events,
//! thrown away. The best of several rounds counts, since other work on the machine only slows down; time on the
//! processor does not count other work at all.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its table"
)]

#[path = "common/clock.rs"]
mod clock;
#[path = "common/libyaml.rs"]
mod libyaml;

use rayon::prelude::*;
use std::fmt::Write as _;
use verdict_compiler::frontend::manifest;
use verdict_compiler::source::{FileId, SourceFile};

const PODS: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    let pods: Vec<String> = (0..PODS).map(pod).collect();
    let documents = source(&pods.join("---\n"));
    let list = source(&list(&pods));
    let json = source(&json(&documents));
    println!(
        "{:<34}{:>8}{:>10}{:>10}{:>12}",
        "one thread", "MB", "MB/s", "MB/s cpu", "documents"
    );
    let baseline = |source: &SourceFile| {
        let chunks = manifest::split(FileId(0), source);
        let text = source.text();
        let events = |chunk: &manifest::Chunk| libyaml::events(&text[chunk.span.range()]);
        chunks.iter().filter(|chunk| events(chunk) > 0).count()
    };
    report("libyaml's events, documents", &documents, baseline);
    report("documents", &documents, read);
    report("libyaml's events, list", &list, baseline);
    report("list", &list, read);
    report("JSON list", &json, read);
    report("split, documents", &documents, |source| {
        manifest::split(FileId(0), source).len()
    });
    report("split, JSON", &json, |source| {
        manifest::split(FileId(0), source).len()
    });
    scaling(&documents);
}

fn report(name: &str, source: &SourceFile, run: impl Fn(&SourceFile) -> usize) {
    let megabytes = source.text().len() as f64 / 1e6;
    let mut documents = 0;
    let best = clock::best(ROUNDS, || documents = run(source));
    println!(
        "{name:<34}{megabytes:>8.1}{:>10.1}{:>10.1}{documents:>12}",
        megabytes / best.wall,
        megabytes / best.cpu
    );
}

/// Reads documents on one thread and on more: by how much they are faster together.
fn scaling(source: &SourceFile) {
    let megabytes = source.text().len() as f64 / 1e6;
    println!(
        "{:<34}{:>8}{:>10}{:>10}",
        "documents", "MB", "MB/s", "ratio"
    );
    let mut alone = f64::INFINITY;
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        let wall = clock::best(ROUNDS, || {
            std::hint::black_box(pool.install(|| read_by_all(source)));
        })
        .wall;
        if threads == 1 {
            alone = wall;
        }
        println!(
            "{:<34}{megabytes:>8.1}{:>10.1}{:>10.2}",
            format!("{threads} threads"),
            megabytes / wall,
            alone / wall
        );
    }
}

/// Reads everything, each chunk by any thread.
fn read_by_all(source: &SourceFile) -> usize {
    let chunks = manifest::split(FileId(0), source);
    let documents = chunks
        .par_iter()
        .filter_map(|chunk| manifest::parse(source, chunk).0);
    documents
        .filter(|document| document.root().get("kind").is_some())
        .count()
}

/// Reads everything, one chunk after the other.
fn read(source: &SourceFile) -> usize {
    let chunks = manifest::split(FileId(0), source);
    let documents = chunks
        .iter()
        .filter_map(|chunk| manifest::parse(source, chunk).0);
    documents
        .filter(|document| document.root().get("kind").is_some())
        .count()
}

fn source(text: &str) -> SourceFile {
    SourceFile::new("bench", text.as_bytes().to_vec()).expect("it is text")
}

fn json(documents: &SourceFile) -> String {
    let chunks = manifest::split(FileId(0), documents);
    let items: Vec<String> = chunks
        .iter()
        .filter_map(|chunk| manifest::parse(documents, chunk).0)
        .map(|document| document.root().json().to_string())
        .collect();
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}\n",
        items.join(",")
    )
}

fn list(pods: &[String]) -> String {
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for pod in pods {
        for (at, line) in pod.lines().enumerate() {
            let indent = if at == 0 { "- " } else { "  " };
            let _ = writeln!(text, "{indent}{line}");
        }
    }
    text
}

/// A Pod as an API server shows it, about 2.3 kB.
fn pod(number: usize) -> String {
    let mut text = String::new();
    let (app, space) = (number % 97, number % 41);
    let ip = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let _ = write!(
        text,
        "apiVersion: v1
kind: Pod
metadata:
  annotations:
    checksum/config: 2f5a{number:060x}
    prometheus.io/scrape: \"true\"
    prometheus.io/port: \"9090\"
  creationTimestamp: \"2024-05-17T08:12:44Z\"
  generateName: app-{app}-7d9c5b8f6-
  labels:
    app.kubernetes.io/name: app-{app}
    app.kubernetes.io/instance: prod
    app.kubernetes.io/version: \"1.{app}\"
    pod-template-hash: 7d9c5b8f6
    tier: backend
  name: app-{app}-7d9c5b8f6-{number:05}
  namespace: team-{space}
  ownerReferences:
  - apiVersion: apps/v1
    blockOwnerDeletion: true
    controller: true
    kind: ReplicaSet
    name: app-{app}-7d9c5b8f6
    uid: 3f1c2b6e-0000-4000-8000-{number:012}
  resourceVersion: \"{number}\"
  uid: 9b2d5c1a-0000-4000-8000-{number:012}
spec:
  containers:
  - env:
    - name: LOG_LEVEL
      value: info
    - name: POD_IP
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: status.podIP
    image: registry.example/team-{space}/app-{app}:v1.{app}.3
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 3
      httpGet:
        path: /healthz
        port: http
        scheme: HTTP
      periodSeconds: 10
    name: app
    ports:
    - containerPort: 8080
      name: http
      protocol: TCP
    - containerPort: 9090
      name: metrics
      protocol: TCP
    resources:
      limits:
        cpu: \"1\"
        memory: 512Mi
      requests:
        cpu: 100m
        memory: 128Mi
    volumeMounts:
    - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      name: kube-api-access
      readOnly: true
  nodeName: node-{node}
  restartPolicy: Always
  serviceAccountName: app-{app}
  tolerations:
  - effect: NoExecute
    key: node.kubernetes.io/not-ready
    operator: Exists
    tolerationSeconds: 300
  - effect: NoExecute
    key: node.kubernetes.io/unreachable
    operator: Exists
    tolerationSeconds: 300
status:
  conditions:
  - lastProbeTime: null
    lastTransitionTime: \"2024-05-17T08:12:46Z\"
    status: \"True\"
    type: Ready
  hostIP: 192.168.0.{host}
  phase: Running
  podIP: {ip}
  podIPs:
  - ip: {ip}
  qosClass: Burstable
  startTime: \"2024-05-17T08:12:44Z\"
",
        node = number % 500,
        host = number % 250,
    );
    text
}
