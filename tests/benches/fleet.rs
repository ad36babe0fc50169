//! A fleet: all images of a cluster made, proved and packed, and made again after one policy changed.
//!
//! `cargo bench -p verdict-tests --bench fleet`. 100,000 pods on 1,000 nodes, 10,000 policies, 2,000 label sets, both families;
//! `VERDICT_BENCH_PODS`, `VERDICT_BENCH_NODES` and `VERDICT_BENCH_THREADS` set other numbers, `VERDICT_BENCH_PARTS` shows the parts of each
//! compile, and `VERDICT_BENCH_AGAIN` asks, for a profiler, how often the compile of which all is kept is to be done, and nothing else then.
//! `VERDICT_BENCH_POLICIES` asks how many policies are to change besides, one after the other, taken evenly from all that there are: what each costs
//! hangs on how many nodes it governs a pod of.
//! Two threads. Times are on the wall and of all threads, since
//! other work on the machine stretches the former.
//!
//! Bounds: all images validated and packed in 15 seconds and 4 GiB after reading; the bundle 10 % of the images at most; after one
//! policy changed, with what is kept, a tenth of that, and 5 % of an image to fetch.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/threads.rs"]
mod threads;

use memory::peak;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::Mutex;
use std::time::Instant;
use threads::on_cpu;
use verdict_compiler::bundle::{
    self, Blob, BundleError, Digest, Inputs, Manifest, Packed, Packer, Stored,
};
use verdict_compiler::cluster::NodeId;
use verdict_compiler::compile::{Compiler, Kept, KeptGround, KeptImages, Together, Written};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::ir::Program;
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};

type Blobs = FxHashMap<Digest, Vec<u8>>;

/// What one compile gave.
struct Fleet {
    packed: Vec<Packed>,
    /// Without nodes.
    manifest: Manifest,
    blobs: Blobs,
    images: u64,
    kept: Vec<u8>,
    tables: Option<Vec<u8>>,
    ground: Option<Vec<u8>>,
    taken: usize,
    /// How many kinds of endpoints had tables that were kept.
    kinds: usize,
}

fn number(name: &str, usual: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number("VERDICT_BENCH_THREADS", 2));
    pool.build_global().expect("two threads");
    let size = Size {
        pods: number("VERDICT_BENCH_PODS", 100_000),
        namespaces: 200,
        policies: 10_000,
        cluster_policies: 50,
        label_sets: 2_000,
        nodes: number("VERDICT_BENCH_NODES", 1_000),
        dual_stack: true,
    };
    println!("{} pods on {} nodes", size.pods, size.nodes);
    let folder = std::env::temp_dir().join(format!("verdict-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in large::world(size, 1).files {
        std::fs::write(folder.join(name), text).expect("a manifest");
    }
    std::fs::write(folder.join(FEW), few(8080)).expect("a manifest");
    let read =
        || Asked::read(std::slice::from_ref(&folder), &Settings::default()).expect("manifests");
    let before = timed("read the YAML", read);
    let full = timed("all images, packed", || compile(&before, Cache::default()));
    let same = timed("again, all kept", || compile(&before, full.cache()));
    assert!(same.packed == full.packed && same.taken == full.packed.len());
    let again = number("VERDICT_BENCH_AGAIN", 0);
    for _ in 0..again {
        timed("again, all kept", || compile(&before, full.cache()));
    }
    let changes: [(&str, &dyn Fn()); 2] = [
        ("a policy of a namespace changed", &|| change(&folder)),
        ("a policy of one label set changed too", &|| {
            std::fs::write(folder.join(FEW), few(8443)).expect("a manifest");
        }),
    ];
    let mut before = full;
    for (what, change) in changes.into_iter().filter(|_| again == 0) {
        change();
        let after = read();
        let next = timed(what, || compile(&after, before.cache()));
        let whole = timed("the same without what was kept", || {
            compile(&after, Cache::default())
        });
        assert!(next.packed == whole.packed, "another result");
        tell(&before, &next);
        before = next;
    }
    let policies = number("VERDICT_BENCH_POLICIES", 0);
    if policies > 0 && again == 0 {
        let (before, whole) = spent(|| compile(&read(), Cache::default()));
        each_of(policies, &folder, &read, before, whole);
    }
    std::fs::remove_dir_all(&folder).expect("the folder");
    println!("peak of memory: {:.0} MB", peak() / 1e6);
}

/// The file of a policy of the pods of one label set. It comes last: the other change is of the first policy that there is.
const FEW: &str = "zz-few.yaml";

/// A policy of these, with this port.
fn few(port: u16) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: few, namespace: team-7}}
spec:
  podSelector: {{matchLabels: {{app: app-7}}}}
  ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{protocol: TCP, port: {port}}}]}}]
"
    )
}

/// What is kept of one compile in the next, and how much of an image a node fetches.
fn tell(full: &Fleet, next: &Fleet) {
    let stored: usize = full.blobs.values().map(Vec::len).sum();
    let share = 100.0 * stored as f64 / full.images as f64;
    println!(
        "bundle: {stored} bytes in {} blobs, {share:.2} % of {}",
        full.blobs.len(),
        full.images
    );
    println!(
        "taken from what was kept: {} of {} images, tables of {} kinds of endpoints",
        next.taken,
        next.packed.len(),
        next.kinds
    );
    let fetched: Vec<f64> = full
        .packed
        .iter()
        .zip(&next.packed)
        .map(|(old, new)| fetched(full, next, old, new))
        .collect();
    let most = fetched.iter().fold(0.0, |most: f64, one| most.max(*one));
    let mean = fetched.iter().sum::<f64>() / fetched.len() as f64;
    println!("fetched of an image after the change: {mean:.2} % on average, {most:.2} % at most");
}

/// The share of a node's new image that the node has to fetch, in percent.
fn fetched(old: &Fleet, new: &Fleet, before: &Packed, after: &Packed) -> f64 {
    let blobs = |fleet: &Fleet, packed: &Packed| {
        let fetch = |blob: &Blob| {
            let found = fleet.blobs.get(&blob.sha256).cloned();
            found.ok_or(BundleError::Missing(blob.sha256))
        };
        let blobs = bundle::blobs_of(&fetch, &fleet.manifest, &packed.node);
        (blobs.expect("blobs"), packed.bytes)
    };
    let (known, _) = blobs(old, before);
    let (mut named, image) = blobs(new, after);
    named.retain(|digest, _| !known.contains_key(digest));
    100.0 * bundle::stored_bytes(&named) as f64 / image as f64
}

/// Another port in the first policy that has one.
fn change(folder: &std::path::Path) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder")
        .flatten()
        .collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files {
        let text = std::fs::read_to_string(file.path()).expect("a manifest");
        let at = text
            .find("kind: NetworkPolicy")
            .or_else(|| text.find("\"kind\":\"NetworkPolicy\""));
        let Some(at) = at else { continue };
        let Some(port) = text[at..].find("8080") else {
            continue;
        };
        let mut changed = text.clone();
        changed.replace_range(at + port..at + port + 4, "8443");
        std::fs::write(file.path(), changed).expect("a manifest");
        return;
    }
}

/// What it costs, with what was kept, that one policy changes: of some policies, one after the other. `whole` is what a compile
/// of everything costs.
fn each_of(
    policies: usize,
    folder: &std::path::Path,
    read: &dyn Fn() -> Asked,
    mut before: Fleet,
    whole: [f64; 2],
) {
    let path = folder.join("policies.yaml");
    let text = std::fs::read_to_string(&path).expect("policies");
    let mut documents: Vec<String> = text.split("---\n").map(str::to_owned).collect();
    let with_port = (0..documents.len()).filter(|index| {
        let document = &documents[*index];
        document.contains("kind: NetworkPolicy")
            && document.contains("port: 8")
            && !document.contains("endPort")
    });
    let with_port: Vec<usize> = with_port.collect();
    let step = (with_port.len() / policies).max(1);
    let mut costs: Vec<([f64; 2], usize)> = Vec::new();
    for index in with_port.into_iter().step_by(step).take(policies) {
        documents[index] = documents[index].replacen("port: 8", "port: 18", 1);
        std::fs::write(&path, documents.join("---\n")).expect("policies");
        let after = read();
        let (next, spent) = spent(|| compile(&after, before.cache()));
        costs.push((spent, next.packed.len() - next.taken));
        before = next;
    }
    let count = costs.len().max(1);
    let nodes: usize = costs.iter().map(|(_, nodes)| nodes).sum();
    println!(
        "{} policies changed, one after the other: {} nodes made anew on average",
        costs.len(),
        nodes / count
    );
    for (part, of) in ["on the wall", "of all threads"].into_iter().zip(0..) {
        let mut shares: Vec<f64> = costs
            .iter()
            .map(|(spent, _)| spent[of] / whole[of])
            .collect();
        shares.sort_by(f64::total_cmp);
        let mean = shares.iter().sum::<f64>() / count as f64;
        let at = |share: usize| shares[(shares.len() - 1) * share / 100];
        println!(
            "  {part}: {mean:.3} of a whole compile on average; {:.3} half of them, {:.3} nine in ten, {:.3} all at most",
            at(50),
            at(90),
            at(100)
        );
    }
}

/// What a cache has: a file of all images, one of all tables, and blobs.
#[derive(Clone, Copy, Default)]
struct Cache<'f> {
    images: Option<&'f [u8]>,
    tables: Option<&'f [u8]>,
    ground: Option<&'f [u8]>,
    blobs: Option<&'f Blobs>,
}

impl Fleet {
    fn cache(&self) -> Cache<'_> {
        Cache {
            images: Some(&self.kept),
            tables: self.tables.as_deref(),
            ground: self.ground.as_deref(),
            blobs: Some(&self.blobs),
        }
    }
}

fn compile(asked: &Asked, cache: Cache<'_>) -> Fleet {
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let (written, (program, ground)) = phase("resolving, and what is made meanwhile", || {
        rayon::join(
            || Written::of(cluster, policies, &asked.sources),
            || {
                let resolve = || Program::resolve(cluster, policies);
                rayon::join(resolve, || cache.ground.map(KeptGround::of))
            },
        )
    });
    let compiler = phase("preparing", || {
        let (compiler, _) = Compiler::upon(written, &program, Some(b"bench"), ground);
        compiler
    });
    let (proved, prints) = phase("what images share, and fingerprints", || {
        rayon::join(
            || compiler.prove_common(),
            || compiler.fingerprints(b"bench"),
        )
    });
    let common = proved.expect("sections that are right");
    let nodes = compiler.lowering().nodes().to_vec();
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| cluster.node(node));
        node.map(|node| &*node.name)
    };
    let blobs: Mutex<Blobs> = Mutex::default();
    let packer = Packer::new(
        compiler.shared(),
        |blob: &Blob, bytes: &[u8]| -> Result<(), BundleError> {
            blobs
                .lock()
                .expect("a map")
                .insert(blob.sha256, bytes.to_vec());
            Ok(())
        },
    );
    let fetch = |blob: &Blob| {
        let found = cache.blobs.and_then(|blobs| blobs.get(&blob.sha256));
        found.cloned().ok_or(BundleError::Missing(blob.sha256))
    };
    let stored = Stored {
        has: &|_| false,
        fetch: &fetch,
    };
    let mut images = KeptImages::default();
    let (restored, tables) = phase("taking", || {
        if let Some(file) = cache.images {
            images = KeptImages::read(file, b"bench").expect("kept images");
        }
        let images = &images;
        let prints_of = nodes.par_iter();
        let prints_of = prints_of.map(|(node, pods)| compiler.fingerprint(&prints, *node, pods));
        let prints_of: Vec<[u8; 32]> = prints_of.collect();
        let mut found = nodes.iter().zip(&prints_of);
        let is_found = |((node, _), print): (&(Option<NodeId>, _), _)| {
            images.find(name(*node), print).is_some()
        };
        let tables = cache.tables.filter(|_| !found.all(is_found));
        let taken = nodes
            .par_iter()
            .zip(&prints_of)
            .map(|((node, pods), print)| {
                let fingerprint = *print;
                let Some(kept) = images.find(name(*node), &fingerprint) else {
                    return (fingerprint, None);
                };
                let subjects = compiler.subjects_of(*node, pods);
                let held = compiler.hold(&common, (*node, pods), &subjects, kept);
                held.expect("endpoints that are right");
                let packed = packer.again(name(*node), &subjects, &kept.packed, stored);
                let packed = packed.expect("a packed image");
                (fingerprint, packed.map(|packed| (packed, kept.compared)))
            });
        rayon::join(
            || taken.collect::<Vec<_>>(),
            || tables.and_then(|file| compiler.kept_tables(&prints, file)),
        )
    });
    let missing = nodes
        .iter()
        .zip(&restored)
        .filter(|(_, (_, taken))| taken.is_none());
    let missing: Vec<_> = missing.map(|(group, _)| group).collect();
    let taken = nodes.len() - missing.len();
    let library = phase("tabulating", || {
        compiler.library_with(tables, missing.into_iter())
    });
    let made: Vec<([u8; 32], Kept)> = phase("making", || {
        let made = nodes.par_iter().zip(restored);
        let made = made.map(|((node, pods), (fingerprint, taken))| {
            let (packed, compared) = taken.unwrap_or_else(|| {
                let made = compiler.node_by(library.as_ref(), *node, pods);
                let made = made.expect("an image");
                let packed = packer.add(name(*node), made.endpoints, &made.image);
                (packed.expect("a packed image"), made.compared)
            });
            (fingerprint, Kept { compared, packed })
        });
        made.collect()
    });
    let packed: Vec<Packed> = made.iter().map(|(_, kept)| kept.packed.clone()).collect();
    let keep_images = || {
        let shared = packer.shared(&images.shared, stored);
        images.shared = shared.expect("what images share");
        for (fingerprint, kept) in made {
            images.keep(fingerprint, kept);
        }
        let inputs = packer.inputs(&Inputs::default()).expect("inputs");
        let program = Digest::new(compiler.compiled().digest);
        let manifest = Manifest::new(program, inputs, images.shared.clone());
        (manifest, images.write(b"bench"))
    };
    let keep_tables = || {
        let made = library.as_ref().filter(|_| taken < nodes.len());
        made.and_then(|made| compiler.keep_tables(&prints, made))
    };
    let ((manifest, kept), (tables, ground)) = phase("keeping", || {
        rayon::join(keep_images, || {
            rayon::join(keep_tables, || compiler.keep_ground())
        })
    });
    let kinds = library.as_ref().map_or(0, Together::taken);
    drop(packer);
    Fleet {
        images: packed.iter().map(|packed| packed.bytes).sum(),
        kept,
        manifest,
        packed,
        blobs: blobs.into_inner().expect("a map"),
        ground: ground.or_else(|| cache.ground.map(<[u8]>::to_vec)),
        tables: tables.or_else(|| cache.tables.map(<[u8]>::to_vec)),
        taken,
        kinds,
    }
}

/// Times a part where `VERDICT_BENCH_PARTS` is set.
fn phase<T>(what: &str, run: impl FnOnce() -> T) -> T {
    if std::env::var_os("VERDICT_BENCH_PARTS").is_none() {
        return run();
    }
    timed(&format!("  {what}"), run)
}

/// What it takes to do something: seconds on the wall, and of all threads.
fn spent<T>(run: impl FnOnce() -> T) -> (T, [f64; 2]) {
    let (start, before) = (Instant::now(), on_cpu());
    let made = run();
    (made, [start.elapsed().as_secs_f64(), on_cpu() - before])
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (made, [wall, cpu]) = spent(run);
    println!("{what:<36}{wall:>10.2} s on the wall{cpu:>10.2} s of all threads");
    made
}
