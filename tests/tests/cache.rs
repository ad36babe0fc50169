//! What is kept of images between compiles: over random edits the result is that of a full compile, much of it is kept, and of what
//! is damaged nothing is taken.

use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};
use verdict_compiler::bundle::{Blob, BundleError, Digest, Packer, Shared, Stored};
use verdict_compiler::cluster::{NodeId, PodId};
use verdict_compiler::compile::{
    CompileError, Compiler, GroundFile, Kept, KeptGround, KeptImages, NotRestored, Together,
    Written,
};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::image::{Common, Limits, Parts, Resource};
use verdict_compiler::ir;
use verdict_compiler::lir::LeafId;
use verdict_compiler::verify::{Check, Fingerprints};
use verdict_tests::generate::edit::edited;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, cilium, small};
use verdict_tests::readings::closed;

/// What is kept: a file of the images of all nodes, and blobs.
#[derive(Default)]
struct Cache {
    images: Option<Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// The tables of all kinds of endpoints.
    tables: Option<Vec<u8>>,
    /// The leaves and who each address is.
    ground: Option<Vec<u8>>,
}

/// How often images were kept and made.
#[derive(Debug, Default)]
struct Counts {
    kept: usize,
    /// Of these, how often nothing was put together anew.
    as_they_are: usize,
    made: usize,
    /// How often some of what all images share was taken.
    shared: usize,
    /// How many kinds of endpoints had tables that were kept, and how often all images were made of such.
    tables: usize,
    by_tables: usize,
    /// How often leaves were taken, and how often those that were kept are others now.
    ground: usize,
    other_ground: usize,
}

/// Packs images, and keeps the blobs.
fn packed<T>(
    compiler: &Compiler<'_>,
    blobs: &mut BTreeMap<Digest, Vec<u8>>,
    pack: impl FnOnce(&Pack<'_>) -> T,
) -> T {
    let new: Mutex<BTreeMap<Digest, Vec<u8>>> = Mutex::default();
    let put = |blob: &Blob, bytes: &[u8]| {
        new.lock().unwrap().insert(blob.sha256, bytes.to_vec());
        Ok(())
    };
    let packer = Packer::new(compiler.shared(), &put as &Put<'_>);
    let made = pack(&packer);
    drop(packer);
    blobs.extend(new.into_inner().unwrap());
    made
}

type Put<'p> = dyn Fn(&Blob, &[u8]) -> Result<(), BundleError> + 'p;
type Pack<'p> = Packer<&'p Put<'p>>;

/// What is stored where nothing is where blobs go.
fn only<'f>(fetch: &'f (dyn Fn(&Blob) -> Result<Vec<u8>, BundleError> + Sync)) -> Stored<'f> {
    let has = &|_: &Blob| false;
    Stored { has, fetch }
}

/// Compiles all nodes of a world with a cache, and holds each image to the one that is made without.
fn compile(world: &World, loaded: &Loaded, cache: &mut Cache, counts: &mut Counts) {
    let sources = world.sources();
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let (cluster, policies) = (&loaded.cluster, &loaded.policies);
    let file = cache.ground.take();
    let written = Written::of(cluster, policies, &sources);
    let (compiler, ground) = Compiler::upon(
        written,
        &program,
        Some(b"test"),
        file.as_deref().map(KeptGround::of),
    );
    let full = Compiler::new(cluster, policies, &sources, &program);
    match ground {
        GroundFile::Missing => assert!(file.is_none()),
        GroundFile::Unusable => panic!("what was kept is not damaged"),
        GroundFile::Stale => counts.other_ground += 1,
        GroundFile::Taken => counts.ground += 1,
    }
    let (taken, found) = (compiler.lowering().leaves(), full.lowering().leaves());
    assert_eq!(taken.list(), found.list(), "{}", world.text());
    assert_eq!((taken.v4(), taken.v6()), (found.v4(), found.v6()));
    let proved = compiler.prove_common();
    let common = compiler.fingerprints(b"test");
    // As if the images themselves were gone.
    let tables = cache.tables.take();
    let tables = tables.map(|file| compiler.kept_tables(&common, &file).unwrap());
    let together = compiler.library_with(tables, compiler.lowering().nodes().iter());
    counts.tables += together.as_ref().map_or(0, Together::taken);
    let images = cache.images.take();
    let mut images = images.map_or(KeptImages::default(), |file| {
        KeptImages::read(&file, b"test").unwrap()
    });
    shared(&compiler, cache, &mut images, counts);
    for (node, pods) in compiler.lowering().nodes() {
        let name = node.and_then(|node| cluster.node(node));
        let name = name.map_or(String::new(), |node| node.name.to_string());
        // An edit may give two pods one address: no image is made of that.
        let Ok(expected) = full.node(*node, pods) else {
            continue;
        };
        if let Some(together) = &together {
            let made = compiler.node_by(Some(together), *node, pods);
            let made = made.unwrap_or_else(|error| panic!("{error}\n{}", world.text()));
            assert_eq!(made.image, expected.image, "node {name}\n{}", world.text());
            counts.by_tables += 1;
        }
        let mut blobs = BTreeMap::new();
        let record = packed(&compiler, &mut blobs, |packer| {
            packer.add(Some(&name), expected.endpoints, &expected.image)
        });
        let record = record.unwrap();
        let fingerprint = compiler.fingerprint(&common, *node, pods);
        if let Some(kept) = images.find(Some(&name), &fingerprint) {
            let fetch = |blob: &Blob| {
                let found = cache.blobs.get(&blob.sha256).cloned();
                found.ok_or(BundleError::Missing(blob.sha256))
            };
            let restored = compiler.restore(*node, pods, kept, &fetch);
            let restored = restored.unwrap_or_else(|error| panic!("{error:?}\n{}", world.text()));
            assert_eq!(
                restored.image,
                expected.image,
                "node {name}\n{}",
                world.text()
            );
            assert_eq!(restored.endpoints, expected.endpoints);
            let subjects = compiler.subjects_of(*node, pods);
            let proved = proved.as_ref().unwrap();
            let held = compiler.hold(proved, (*node, pods), &subjects, kept);
            held.unwrap();
            let mut taken = BTreeMap::new();
            let again = packed(&compiler, &mut taken, |packer| {
                packer.again(Some(&name), &subjects, &kept.packed, only(&fetch))
            });
            assert_eq!(
                again.unwrap().as_ref(),
                Some(&record),
                "node {name}\n{}",
                world.text()
            );
            assert_eq!(taken, blobs);
            // What is there already is not even fetched.
            let has = |blob: &Blob| blobs.get(&blob.sha256) == cache.blobs.get(&blob.sha256);
            let fetch = &|blob: &Blob| Err(BundleError::Missing(blob.sha256));
            let mut taken = BTreeMap::new();
            let again = packed(&compiler, &mut taken, |packer| {
                let stored = Stored { has: &has, fetch };
                packer.again(Some(&name), &subjects, &kept.packed, stored)
            });
            assert_eq!(again.unwrap().as_ref(), Some(&record));
            counts.as_they_are += usize::from(taken.is_empty());
            counts.kept += 1;
        } else {
            counts.made += 1;
        }
        let kept = Kept {
            compared: expected.compared,
            packed: record,
        };
        images.keep(fingerprint, kept);
        cache.blobs.extend(blobs);
    }
    cache.images = Some(images.write(b"test"));
    cache.tables = together.and_then(|made| compiler.keep_tables(&common, &made));
    cache.ground = compiler.keep_ground().or(file);
}

/// Packs what all images share, as far as it is not there already, and holds it to what is made without a cache.
fn shared(
    compiler: &Compiler<'_>,
    cache: &mut Cache,
    images: &mut KeptImages,
    counts: &mut Counts,
) {
    let pack = |before: &Shared, stored: Stored<'_>| {
        let mut blobs = BTreeMap::new();
        let made = packed(compiler, &mut blobs, |packer| packer.shared(before, stored));
        (made.unwrap(), blobs)
    };
    let (expected, all) = pack(&Shared::default(), Stored::NOTHING);
    let fetch = |blob: &Blob| {
        let found = cache.blobs.get(&blob.sha256).cloned();
        found.ok_or(BundleError::Missing(blob.sha256))
    };
    assert_eq!(
        pack(&images.shared, only(&fetch)),
        (expected.clone(), all.clone())
    );
    // Those of another compile, that are gone.
    let gone = pack(&images.shared, Stored::NOTHING);
    assert_eq!(gone, (expected.clone(), all.clone()));
    let known = cache.blobs.clone();
    let has = |blob: &Blob| known.contains_key(&blob.sha256);
    let stored = Stored {
        has: &has,
        fetch: &fetch,
    };
    let (made, new) = pack(&images.shared, stored);
    assert_eq!(made, expected);
    counts.shared += usize::from(new.len() < all.len());
    cache.blobs.extend(all);
    images.shared = made;
}

/// Where a kind of documents is: file and number.
fn documents(world: &World, kind: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for ((_, text), file) in world.files.iter().zip(0..) {
        for (document, index) in text.split("---\n").zip(0..) {
            if document.contains(kind) {
                found.push((file, index));
            }
        }
    }
    found
}

fn change(world: &mut World, at: (usize, usize), edit: impl FnOnce(&str) -> String) {
    let text = &mut world.files[at.0].1;
    let mut documents: Vec<String> = text.split("---\n").map(str::to_owned).collect();
    documents[at.1] = edit(&documents[at.1]);
    documents.retain(|document| !document.is_empty());
    *text = documents.join("---\n");
}

/// One edit: of a policy, a pod, a label or a namespace; taken out, put in, or made another.
fn edit(world: &mut World, other: &World, random: &mut Random) {
    let kind = random.one(&[
        "Policy",
        "kind: Pod",
        "kind: Namespace",
        "kind: Node",
        "Policy",
    ]);
    let own = documents(world, kind);
    if own.is_empty() {
        return;
    }
    let at = own[random.below(own.len())];
    match random.below(5) {
        0 => change(world, at, |_| String::new()),
        1 => {
            let theirs = documents(other, kind);
            if let Some((file, index)) = theirs.first() {
                let text = other.files[*file]
                    .1
                    .split("---\n")
                    .nth(*index)
                    .unwrap_or("");
                let named = text.replace("name: ", "name: n");
                world
                    .files
                    .push((format!("new-{}.yaml", random.below(1000)), named));
            }
        }
        2 => change(world, at, |text| text.replacen("\"0\"", "\"1\"", 1)),
        3 => change(world, at, |text| text.replacen("80", "81", 1)),
        // A line further down: the same policies, said at other places.
        _ => change(world, at, |text| format!("# a remark\n{text}")),
    }
}

/// Compiles a world again and again while it is edited.
fn edits(
    mut world: World,
    other: &World,
    load: impl Fn(&World) -> Option<Loaded>,
    random: &mut Random,
    counts: &mut Counts,
) {
    let mut cache = Cache::default();
    for _ in 0..8 {
        if let Some(loaded) = load(&world) {
            compile(&world, &loaded, &mut cache, counts);
        }
        if random.chance(20) {
            world = edited(&world, random.below(1 << 20) as u64);
        } else {
            edit(&mut world, other, random);
        }
    }
    let Some(loaded) = load(&world) else { return };
    // Nothing changed: everything is kept.
    compile(&world, &loaded, &mut cache, counts);
    let before = counts.made;
    compile(&world, &loaded, &mut cache, counts);
    assert_eq!(counts.made, before, "{}", world.text());
}

#[test]
fn what_is_kept_is_what_a_full_compile_makes() {
    let (mut counts, mut random) = (Counts::default(), Random::new(17));
    for seed in 0..25 {
        let load = |world: &World| Some(world.load_for(seed));
        let (world, other) = (small::world(seed), small::world(seed + 500));
        edits(world, &other, load, &mut random, &mut counts);
    }
    assert!(counts.kept > 100 && counts.made > 100, "{counts:?}");
    assert!(counts.as_they_are > 20, "{counts:?}");
    assert!(counts.shared > 100, "{counts:?}");
    assert!(counts.tables > 300 && counts.by_tables > 300, "{counts:?}");
    assert!(counts.ground > 50 && counts.other_ground > 20, "{counts:?}");
}

#[test]
fn so_it_is_in_the_dialect_of_cilium() {
    let (mut counts, mut random) = (Counts::default(), Random::new(19));
    for seed in 0..30 {
        let Some((world, _)) = cilium::with_images(seed) else {
            continue;
        };
        let load = |world: &World| {
            let loaded = world.load_with(&cilium::settings(seed));
            let is_able = !loaded.has_errors() && cilium::has_images(&loaded);
            is_able.then_some(loaded)
        };
        edits(
            world,
            &cilium::world(seed + 500),
            load,
            &mut random,
            &mut counts,
        );
    }
    assert!(counts.kept > 50 && counts.made > 50, "{counts:?}");
    assert!(counts.as_they_are > 20, "{counts:?}");
    assert!(counts.ground > 20 && counts.other_ground > 5, "{counts:?}");
}

/// A policy that governs nobody, of which the proof of no node is about.
const OF_NOBODY: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: of-nobody, namespace: default}
spec:
  podSelector: {matchLabels: {no-pod-has: this}}
  ingress: [{from: [{podSelector: {}}]}]
";

/// The images of all nodes, by fingerprint.
fn kept(compiler: &Compiler<'_>) -> Vec<([u8; 32], Kept)> {
    let common = compiler.fingerprints(b"test");
    let nodes = compiler.lowering().nodes().iter();
    nodes
        .map(|(node, pods)| {
            let made = compiler.node(*node, pods).unwrap();
            let packed = packed(compiler, &mut BTreeMap::new(), |packer| {
                packer.add(None, made.endpoints, &made.image).unwrap()
            });
            let compared = made.compared;
            let fingerprint = compiler.fingerprint(&common, *node, pods);
            (fingerprint, Kept { compared, packed })
        })
        .collect()
}

fn is_mismatch(error: &CompileError, check: Check) -> bool {
    matches!(error, CompileError::Mismatch(mismatch) if mismatch.by == check)
}

#[test]
fn what_images_share_is_proved_where_all_are_kept() {
    let mut found = [0; 4];
    for seed in 0..12 {
        let with = |text: String| {
            let mut world = small::world(seed);
            world.files.push(("of-nobody.yaml".to_owned(), text));
            world
        };
        let moved = format!("# a remark\n{OF_NOBODY}");
        let worlds = [small::world(seed), with(OF_NOBODY.to_owned()), with(moved)];
        let loaded = worlds.each_ref().map(|world| world.load_for(seed));
        let sources = worlds.each_ref().map(World::sources);
        let program = |of: &Loaded| ir::Program::resolve(&of.cluster, &of.policies);
        let programs = loaded.each_ref().map(program);
        let compiler = |of: usize| {
            let (cluster, policies) = (&loaded[of].cluster, &loaded[of].policies);
            Compiler::new(cluster, policies, &sources[of], &programs[of])
        };
        let (before, mut after) = (compiler(0), compiler(1));
        let all = kept(&before);
        let prints = |of: &[([u8; 32], Kept)]| of.iter().map(|(print, _)| *print).collect();
        let [one, other]: [Vec<_>; 2] = [prints(&all), prints(&kept(&after))];
        if one != other {
            continue;
        }
        let proved = after.prove_common().unwrap();
        // Endpoints that are those of another node.
        for ((node, pods), (_, kept)) in after.lowering().nodes().iter().zip(&all) {
            for (other, theirs) in after.lowering().nodes() {
                let subjects = after.subjects_of(*other, theirs);
                let taken = after.hold(&proved, (*node, pods), &subjects, kept);
                assert_eq!(taken.is_ok(), node == other, "world {seed}");
                found[0] += usize::from(node != other);
            }
        }
        // A section `world` that lacks the policy, or has it on another line.
        let (v4, v6) = (
            after.lowering().leaves().v4(),
            after.lowering().leaves().v6(),
        );
        let (v4, v6) = (v4.to_vec(), v6.to_vec());
        let world = after.compiled().bytes.to_vec();
        for (other, count) in [(0, 1), (2, 3)] {
            let wrong = compiler(other).compiled().bytes.to_vec();
            assert_ne!(world, wrong);
            *after.common_mut() = Common::new(&v4, &v6, wrong);
            let error = after.prove_common().unwrap_err();
            assert!(is_mismatch(&error, Check::OpenWorld), "{error}");
            found[count] += 1;
            after = compiler(1);
        }
        // Addresses that are somebody else's.
        let mut wrong = v4;
        let last = wrong.last_mut().unwrap();
        last.1 = LeafId(u32::from(last.1 == LeafId(0)));
        *after.common_mut() = Common::new(&wrong, &v6, world);
        let error = after.prove_common().unwrap_err();
        assert!(is_mismatch(&error, Check::Addresses), "{error}");
        found[2] += 1;
    }
    assert!(found.iter().all(|count| *count >= 5), "{found:?}");
}

#[test]
fn what_is_kept_has_the_room_of_an_image() {
    let world = small::world(3);
    let (loaded, sources) = (world.load_for(3), world.sources());
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = || Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
    let roomy = compiler();
    let (node, pods) = roomy.lowering().nodes().first().unwrap();
    let mut blobs = BTreeMap::new();
    let made = roomy.node(*node, pods).unwrap();
    let packed = packed(&roomy, &mut blobs, |packer| {
        packer.add(None, made.endpoints, &made.image).unwrap()
    });
    let longest = made.image.sections().iter().map(|part| part.bytes.len());
    let longest = longest.max().unwrap();
    let kept = Kept {
        compared: made.compared,
        packed,
    };
    let fetch = |blob: &Blob| {
        let found = blobs.get(&blob.sha256).cloned();
        found.ok_or(BundleError::Missing(blob.sha256))
    };
    let proved = roomy.prove_common().unwrap();
    for (most, has_room) in [(longest, true), (longest - 1, false)] {
        let limits = Limits::default().lower(Resource::SectionBytes, most);
        let compiler = compiler().with_limits(limits);
        let subjects = compiler.subjects_of(*node, pods);
        let held = compiler.hold(&proved, (*node, pods), &subjects, &kept);
        assert_eq!(matches!(held, Err(CompileError::Limit(..))), !has_room);
        let restored = compiler.restore(*node, pods, &kept, &fetch);
        assert_eq!(restored.is_ok(), has_room);
        assert_eq!(
            matches!(restored, Err(NotRestored::Compile(CompileError::Limit(..)))),
            !has_room
        );
    }
}

/// The tables of all nodes of a world, as they are kept.
fn tables(compiler: &Compiler<'_>, prints: &Fingerprints) -> Vec<u8> {
    let nodes = compiler.lowering().nodes();
    let together = compiler.library(nodes.iter()).unwrap();
    for (node, pods) in nodes {
        compiler.node_by(Some(&together), *node, pods).unwrap();
    }
    compiler.keep_tables(prints, &together).unwrap()
}

#[test]
fn tables_are_taken_for_what_they_were_made_of_alone() {
    let (mut all, mut some) = (0, 0);
    for seed in 0..12 {
        let world = small::world(seed);
        let (loaded, sources) = (world.load_for(seed), world.sources());
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
        let prints = compiler.fingerprints(b"test");
        let file = tables(&compiler, &prints);
        let nodes = compiler.lowering().nodes();
        let take = |prints: &Fingerprints, file: &[u8]| {
            let kept = compiler.kept_tables(prints, file);
            kept.map(|kept| compiler.library_with(Some(kept), nodes.iter()).unwrap())
        };
        let taken = take(&prints, &file).unwrap();
        all += taken.taken();
        // What was taken is kept again, whether it was asked for or not.
        let none = compiler.kept_tables(&prints, &file).unwrap();
        let none = compiler
            .library_with(Some(none), std::iter::empty())
            .unwrap();
        for kept in [&taken, &none] {
            let again = compiler.keep_tables(&prints, kept).unwrap();
            assert_eq!(take(&prints, &again).unwrap().taken(), taken.taken());
        }
        // Those of another verdict are no tables of this one.
        let other = compiler.fingerprints(b"another");
        assert_eq!(take(&other, &file).unwrap().taken(), 0);
        // Damaged ones, and those of another layout, are none at all.
        let mut random = Random::new(seed);
        for _ in 0..200 {
            let damaged = random.damaged(&file);
            assert!(compiler.kept_tables(&prints, &damaged).is_none());
        }
        // Words that are not those of tables are refused, or looked up without a panic.
        for _ in 0..30 {
            let forged = forged(&file, &mut random);
            let Some(taken) = take(&prints, &forged) else {
                continue;
            };
            some += 1;
            for (node, pods) in nodes {
                let _ = compiler.node_by(Some(&taken), *node, pods);
            }
        }
    }
    assert!(all > 40 && some > 5, "{all} {some}");
}

#[test]
fn leaves_are_taken_for_the_same_addresses_alone() {
    let mut forgeries = 0;
    for seed in 0..12 {
        let world = small::world(seed);
        let (loaded, sources) = (world.load_for(seed), world.sources());
        let (cluster, policies) = (&loaded.cluster, &loaded.policies);
        let program = ir::Program::resolve(cluster, policies);
        let upon = |build: &[u8], file: Option<&[u8]>| {
            let written = Written::of(cluster, policies, &sources);
            Compiler::upon(written, &program, Some(build), file.map(KeptGround::of))
        };
        let (compiler, found) = upon(b"test", None);
        assert_eq!(found, GroundFile::Missing);
        // What is not proved yet is not kept.
        assert!(compiler.keep_ground().is_none());
        compiler.prove_common().unwrap();
        let file = compiler.keep_ground().unwrap();
        let (taken, found) = upon(b"test", Some(&file));
        assert_eq!(found, GroundFile::Taken);
        assert!(taken.keep_ground().is_none());
        // That of another verdict is of other leaves.
        assert_eq!(upon(b"another", Some(&file)).1, GroundFile::Stale);
        let mut random = Random::new(seed);
        for _ in 0..200 {
            let damaged = random.damaged(&file);
            assert_eq!(upon(b"test", Some(&damaged)).1, GroundFile::Unusable);
        }
        // Words that are no leaves are refused, or looked up without a panic.
        for _ in 0..30 {
            let forged = forged(&file, &mut random);
            let (compiler, found) = upon(b"test", Some(&forged));
            if found != GroundFile::Taken {
                continue;
            }
            forgeries += 1;
            let _ = compiler.prove_common();
            for (node, pods) in compiler.lowering().nodes() {
                let _ = compiler.node(*node, pods);
            }
        }
    }
    assert!(forgeries > 20, "{forgeries}");
}

/// Other words in a file of tables or leaves, which says that it is whole.
fn forged(file: &[u8], random: &mut Random) -> Vec<u8> {
    const HEAD: usize = 20;
    let packed = &file[HEAD..file.len() - 32];
    let mut plain = zstd::bulk::decompress(packed, 1 << 24).unwrap();
    for _ in 0..=random.below(3) {
        let at = random.below(plain.len() / 4) * 4;
        let words = [0, 1, 2, 7, 1000, u32::MAX];
        plain[at..at + 4].copy_from_slice(&random.one(&words).to_le_bytes());
    }
    let mut forged = file[..HEAD].to_vec();
    forged.extend(zstd::bulk::compress(&plain, 1).unwrap());
    closed(forged)
}

#[test]
fn of_what_is_damaged_nothing_is_taken() {
    let world = small::world(4);
    let mut cache = Cache::default();
    compile(
        &world,
        &world.load_for(4),
        &mut cache,
        &mut Counts::default(),
    );
    let mut random = Random::new(5);
    let file = cache.images.unwrap();
    let kept = KeptImages::read(&file, b"test").unwrap();
    assert_ne!(kept, KeptImages::default());
    assert_eq!(kept.write(b"test"), file);
    // Nothing is taken of that of another verdict.
    assert_eq!(KeptImages::read(&file, b"another"), None);
    for _ in 0..2000 {
        let damaged = random.damaged(&file);
        assert_eq!(KeptImages::read(&damaged, b"test"), None);
        // And in one that says that it is whole there is what can be read.
        if let Some((told, _)) = damaged.split_last_chunk::<32>() {
            let forged = closed(told.to_vec());
            let _ = KeptImages::read(&forged, b"test");
        }
    }
    assert_eq!(KeptImages::read(b"", b"test"), None);
}

#[test]
fn a_record_that_is_gone_is_written_anew() {
    let world = small::world(4);
    let (loaded, sources) = (world.load_for(4), world.sources());
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
    let common = compiler.prove_common().unwrap();
    for (node, pods) in compiler.lowering().nodes() {
        let made = compiler.node(*node, pods).unwrap();
        let mut blobs = BTreeMap::new();
        let pack = |packer: &Pack<'_>| packer.add(None, made.endpoints, &made.image);
        let record = packed(&compiler, &mut blobs, pack).unwrap();
        let kept = Kept {
            compared: made.compared,
            packed: record.clone(),
        };
        let subjects = compiler.subjects_of(*node, pods);
        let held = compiler.hold(&common, (*node, pods), &subjects, &kept);
        held.unwrap();
        let own = record.node.record.sha256;
        for damaged in [None, Some(b"another".to_vec())] {
            let fetch = |blob: &Blob| {
                let stored = blobs.get(&blob.sha256).cloned();
                let stored = if blob.sha256 == own {
                    damaged.clone()
                } else {
                    stored
                };
                stored.ok_or(BundleError::Missing(blob.sha256))
            };
            let mut taken = BTreeMap::new();
            let again = packed(&compiler, &mut taken, |packer| {
                packer.again(None, &subjects, &kept.packed, only(&fetch))
            });
            assert_eq!(again.unwrap().as_ref(), Some(&record));
            assert_eq!(taken, blobs);
        }
    }
}

#[test]
fn threads_that_begin_at_once_make_the_same() {
    for seed in 0..20 {
        let world = small::world(seed);
        let (loaded, sources) = (world.load_for(seed), world.sources());
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        let compiler = || Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
        let one = compiler();
        let nodes = one.lowering().nodes();
        let image = |compiler: &Compiler<'_>, (node, pods): &(Option<NodeId>, Vec<PodId>)| {
            compiler.node(*node, pods).unwrap().image
        };
        let expected: Vec<Parts> = nodes.iter().map(|node| image(&one, node)).collect();
        // Each thread finds that nothing is known yet of the sections that all images share.
        let (all, begin) = (compiler(), Barrier::new(nodes.len()));
        let made: Vec<Parts> = std::thread::scope(|scope| {
            let threads = nodes.iter().map(|node| {
                let (all, begin) = (&all, &begin);
                scope.spawn(move || {
                    begin.wait();
                    image(all, node)
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(made, expected, "seed {seed}");
        all.prove_common().unwrap();
    }
}
