//! Bundles: what is packed is read back, in whatever order it was packed; what is damaged or forged is refused; and what is
//! said to differ between two images is what packets are told.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use verdict_abi::{Query, Use, decide};
use verdict_compiler::bundle::{
    Blob, BundleError, Changes, Decided, Digest, Examples, Manifest, Packer, Signer, Stored,
    Verifier, compare,
};
use verdict_compiler::hir::Direction;
use verdict_compiler::image::{Image, Parts};
use verdict_tests::bundles::{self, Bundled};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::small;

#[test]
fn what_is_packed_is_read_back_whatever_the_order() {
    let mut shared = 0;
    for seed in 0..20 {
        let world = small::world(seed);
        let bundled = bundles::of(&world, seed, false);
        assert_eq!(bundled.all().unwrap(), bundled.images, "world {seed}");
        let other = bundles::of(&world, seed, true);
        assert_eq!(other.manifest, bundled.manifest);
        assert_eq!(other.blobs, bundled.blobs);
        let stored: usize = bundled.blobs.values().map(Vec::len).sum();
        let whole: usize = bundled.images.iter().map(Vec::len).sum();
        shared += usize::from(stored * 2 < whole);
    }
    assert!(
        shared >= 15,
        "only {shared} bundles are much smaller than their images"
    );
}

/// Changes a bundle at random, below the manifest or in it.
fn mutate(bundled: &mut Bundled, random: &mut Random) {
    let names: Vec<Digest> = bundled.blobs.keys().copied().collect();
    let one = names[random.below(names.len())];
    let other = names[random.below(names.len())];
    match random.below(6) {
        0 => {
            bundled.blobs.remove(&one);
        }
        1 => {
            let swapped = bundled.blobs[&other].clone();
            bundled.blobs.insert(one, swapped);
        }
        2 | 3 => {
            let blob = bundled.blobs.get_mut(&one).unwrap();
            if !blob.is_empty() {
                let at = random.below(blob.len());
                blob[at] ^= 1 << random.below(8);
            }
        }
        4 => {
            let blob = bundled.blobs.get_mut(&one).unwrap();
            blob.truncate(random.below(blob.len().max(1)));
        }
        _ => {
            let at = random.below(bundled.manifest.len());
            let bytes = [b'0', b'9', b'"', b'{', b',', b'f', 0xff];
            bundled.manifest[at] = bytes[random.below(bytes.len())];
        }
    }
}

#[test]
fn what_is_damaged_is_refused_or_gives_the_same_images() {
    let mut random = Random::new(3);
    let mut refused = 0;
    let originals: Vec<Bundled> = [4, 7, 11]
        .into_iter()
        .map(|seed| bundles::of(&small::world(seed), seed, false))
        .collect();
    for round in 0..1500 {
        let original = &originals[round % originals.len()];
        let mut changed = original.clone();
        for _ in 0..=random.below(2) {
            mutate(&mut changed, &mut random);
        }
        match changed.all() {
            Err(_) => refused += 1,
            // Names of nodes and digests of inputs are what the signature is for.
            Ok(images) => assert!(
                images == original.images || changed.manifest != original.manifest,
                "round {round}"
            ),
        }
    }
    assert!(refused > 700, "only {refused} were refused");
}

/// A manifest with its text changed by hand.
fn edited(text: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Result<Manifest, BundleError> {
    let mut value: serde_json::Value = serde_json::from_slice(text).unwrap();
    edit(&mut value);
    Manifest::read(&serde_json::to_vec(&value).unwrap())
}

#[test]
fn manifests_that_no_compile_writes_are_told_apart() {
    let bundled = bundles::of(&small::world(4), 4, false);
    let text = &bundled.manifest;
    let said = |edit: &dyn Fn(&mut serde_json::Value)| edited(text, edit).unwrap_err().to_string();
    let twice = said(&|value| {
        let nodes = value["nodes"].as_array_mut().unwrap();
        nodes.insert(0, nodes[0].clone());
    });
    assert!(twice.starts_with("it has two nodes named `"), "{twice}");
    let newer = said(&|value| value["version"] = 9.into());
    assert!(newer.contains("a newer verdict made it"), "{newer}");
    let giant = said(&|value| value["inputs"]["plain"] = (1_u64 << 60).into());
    assert!(giant.contains("more than the"), "{giant}");
    let orphan = said(&|value| value["generation"] = 7.into());
    assert!(orphan.contains("has no parent"), "{orphan}");
    let last = said(&|value| value["generation"] = u64::MAX.into());
    assert!(last.contains("there is no generation 1844"), "{last}");
    let control = said(&|value| value["fleet"] = "a\nb".into());
    assert!(control.contains("control characters"), "{control}");
    let unknown = said(&|value| value["policy"] = "x".into());
    assert!(unknown.contains("unknown field"), "{unknown}");
    let shared = said(&|value| {
        let sections = value["shared"]["sections"].as_array_mut().unwrap();
        sections.reverse();
    });
    assert!(shared.contains("its sections do not ascend"), "{shared}");
    let many = said(&|value| {
        let sections = value["shared"]["sections"].as_array_mut().unwrap();
        let one = sections[0].clone();
        *sections = (0..64).map(|_| one.clone()).collect();
        for (section, kind) in sections.iter_mut().zip(1..) {
            section["kind"] = kind.into();
        }
    });
    assert!(many.contains("64 sections, and an image has 63"), "{many}");
    let older = said(&|value| value["version"] = 1.into());
    assert!(older.contains("compile it again"), "{older}");
    let digest = said(&|value| value["program"] = "x".into());
    assert!(digest.contains("64 hexadecimal digits"), "{digest}");
    assert!(Manifest::read(b"").is_err());
    assert!(Manifest::read(&[b'['; 100_000]).is_err());
    let spaced = [text.as_slice(), b" "].concat();
    assert!(Manifest::read(&spaced).is_err());
    assert!(Manifest::read(text).is_ok());
}

/// What is said of the first image of a bundle whose manifest was changed by hand.
fn said_of(bundled: &Bundled, edit: impl Fn(&mut Manifest)) -> String {
    let mut forged = bundled.read().unwrap();
    edit(&mut forged);
    // It is a manifest all the same: only an image shows that it is wrong.
    assert_eq!(Manifest::read(&forged.write()).as_ref(), Ok(&forged));
    let errors = forged.nodes.iter().map(|node| bundled.image(&forged, node));
    let first = errors.filter_map(Result::err).next();
    first.map_or(String::new(), |error| error.to_string())
}

#[test]
fn what_a_manifest_says_of_its_images_is_held_to_them() {
    let bundled = bundles::of(&small::world(4), 4, false);
    let count = bundled.read().unwrap().limits.len();
    assert_eq!(said_of(&bundled, |_| {}), "");
    for index in 0..count {
        let less = said_of(&bundled, |forged| {
            let limit = &mut forged.limits[index];
            limit.used = limit.used.saturating_sub(1);
        });
        let is_none = bundled.read().unwrap().limits[index].used == 0;
        assert!(less.contains("no image has more than") || is_none, "{less}");
        let edits: [fn(&mut Manifest, usize); 3] = [
            |forged, index| {
                forged.limits.remove(index);
            },
            |forged, index| forged.limits[index].of = "anything".into(),
            |forged, index| forged.limits.push(forged.limits[index].clone()),
        ];
        for edit in edits {
            let unsaid = said_of(&bundled, |forged| edit(forged, index));
            assert!(unsaid.contains("it does not say once how many"), "{unsaid}");
        }
    }
    let program = said_of(&bundled, |forged| forged.program = Digest::of(b"x"));
    assert!(
        program.contains("its program is not what the image"),
        "{program}"
    );
    let layout = said_of(&bundled, |forged| forged.format += 1);
    assert!(
        layout.contains("it gives the layout of its images version"),
        "{layout}"
    );
    let tables = said_of(&bundled, |forged| forged.abi -= 1);
    assert!(
        tables.contains("it gives the tables of its images version"),
        "{tables}"
    );
}

fn key(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/bundle");
    fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

#[test]
fn a_signature_is_of_one_key_over_one_manifest() {
    let signer = Signer::read(&key("key.pem")).unwrap();
    let right = Verifier::read(&key("key.pub.pem")).unwrap();
    let wrong = Verifier::read(&key("other.pub.pem")).unwrap();
    let signature = signer.sign(b"manifest");
    assert_eq!(right.check(b"manifest", Some(&signature)), Ok(()));
    let refused = Err(BundleError::WrongKey);
    assert_eq!(wrong.check(b"manifest", Some(&signature)), refused);
    assert_eq!(right.check(b"another", Some(&signature)), refused);
    assert_eq!(right.check(b"manifest", Some(&signature[1..])), refused);
    assert_eq!(right.check(b"manifest", Some(&[])), refused);
    assert_eq!(right.check(b"manifest", None), Err(BundleError::Unsigned));
    for text in [
        "",
        "x",
        &key("key.pub.pem"),
        "-----BEGIN PRIVATE KEY-----\n",
    ] {
        assert!(Signer::read(text).is_err(), "{text}");
    }
    for text in [
        "",
        &key("key.pem"),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(Verifier::read(text).is_err(), "{text}");
    }
}

/// What an image says of a packet of a change; none where it has no such endpoint.
fn asked(
    image: &Image<'_>,
    change: &verdict_compiler::bundle::Change,
    value: u32,
) -> Option<(u8, bool)> {
    let of = match (change.direction, change.by_service) {
        (Direction::Ingress, false) => Use::Ingress,
        (Direction::Egress, false) => Use::Egress,
        (Direction::Ingress, true) => Use::HairpinIngress,
        (Direction::Egress, true) => Use::HairpinEgress,
    };
    let query = Query {
        endpoint: image.endpoint(&change.endpoint)?,
        of,
        leaf: image.leaf(change.other?)?,
        protocol: change.protocol.0,
        value,
    };
    let (_, code) = decide(image, query)?;
    Some((code.action as u8, code.depends))
}

/// Counts what differs between the images of two worlds, and holds each example to both images.
fn held(before: &[u8], after: &[u8]) -> Changes {
    let (one, other) = (
        Image::decode(before).unwrap(),
        Image::decode(after).unwrap(),
    );
    let changes = compare(&one, &other, Examples(50));
    for change in &changes.examples {
        assert_ne!(change.before, change.after);
        assert!(matches!(change.before, Decided::Said(_)));
        if change.other.is_none() {
            continue;
        }
        for value in [change.values.0, change.values.1] {
            let said = [&one, &other].map(|image| asked(image, change, value));
            assert_ne!(said[0], said[1], "{change:?}");
        }
    }
    changes
}

#[test]
fn what_differs_between_images_is_what_packets_are_told() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..30 {
        let world = small::world(seed);
        let before = bundles::of(&world, seed, false);
        for image in &before.images {
            assert!(held(image, image).is_empty());
        }
        // The same cluster with the policies of another world.
        let other = small::world(seed + 100);
        let after = bundles::of(&other, seed, false);
        let (one, two) = (before.read().unwrap(), after.read().unwrap());
        for (node, image) in one.nodes.iter().zip(&before.images) {
            let Some(at) = two.nodes.iter().position(|own| own.name == node.name) else {
                continue;
            };
            let changes = held(image, &after.images[at]);
            with += usize::from(changes.verdicts > 0);
            without += usize::from(changes.verdicts == 0);
        }
    }
    assert!(with > 5, "{with} with another verdict, {without} without");
}

#[test]
fn an_image_that_shares_nothing_is_named_as_a_whole() {
    for seed in 0..6 {
        let world = small::world(seed);
        let (whole, shared) = (
            bundles::of_common(&world, seed, false, Vec::new()),
            bundles::of(&world, seed, false),
        );
        assert!(whole.read().unwrap().shared.is_empty());
        assert!(!shared.read().unwrap().shared.is_empty());
        assert_eq!(whole.all().unwrap(), shared.images);
        // What others share is that of another cluster.
        let other = bundles::of_common(&world, seed, false, bundles::common(&small::world(99), 99));
        assert_eq!(other.all().unwrap(), shared.images);
        for (one, node) in other.records().unwrap().iter().zip(&shared.images) {
            assert!(one.whole && !node.is_empty());
        }
        assert!(shared.records().unwrap().iter().all(|one| !one.whole));
    }
}

/// Who the endpoints are takes room by their number: where it is enough to be cut, it is cut whether the image is new or not.
#[test]
fn endpoints_are_packed_alike_whether_the_image_is_new_or_not() {
    const SUBJECTS: u32 = 66;
    let image = |endpoints: usize, seed: u64| {
        let mut random = Random::new(seed);
        let mut bytes =
            |count: usize| -> Arc<[u8]> { (0..count).map(|_| random.below(256) as u8).collect() };
        let mut parts = Parts::default();
        parts.push(1, Arc::from(vec![7; 5_000]));
        parts.push(SUBJECTS, bytes(endpoints));
        parts
    };
    for (before, after) in [(100, 300_000), (300_000, 100), (300_000, 310_000), (50, 60)] {
        let blobs: Mutex<BTreeMap<Digest, Vec<u8>>> = Mutex::default();
        let put = |blob: &Blob, bytes: &[u8]| {
            blobs.lock().unwrap().insert(blob.sha256, bytes.to_vec());
            Ok::<(), BundleError>(())
        };
        let [old, new] = [image(before, 2), image(after, 3)];
        let known = Packer::new(Vec::new(), put).add(Some("a"), 1, &old);
        let expected = Packer::new(Vec::new(), put).add(Some("a"), 1, &new);
        let stored = blobs.lock().unwrap().clone();
        let fetch = |blob: &Blob| {
            let found = stored.get(&blob.sha256).cloned();
            found.ok_or(BundleError::Missing(blob.sha256))
        };
        let stored = Stored {
            has: &|_| false,
            fetch: &fetch,
        };
        let subjects = new.sections().last().unwrap();
        let again =
            Packer::new(Vec::new(), put).again(Some("a"), subjects, &known.unwrap(), stored);
        assert_eq!(again.unwrap(), Some(expected.unwrap()), "{before} {after}");
    }
}
