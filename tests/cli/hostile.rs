//! Bundles that somebody made who means ill: what they say of themselves is not believed, and bounds what is unpacked.

use super::bundles::{Place, files};
use std::fs;
use std::path::Path;
use verdict_compiler::bundle::{Blob, Digest, List, Manifest, Part, Record};

/// Puts a document into a bundle.
fn put(place: &Place, plain: &[u8]) -> Blob {
    let stored = zstd::bulk::compress(plain, 3).unwrap();
    let blob = Blob {
        sha256: Digest::of(&stored),
        bytes: stored.len() as u64,
        plain: plain.len() as u64,
    };
    let name = blob.sha256.to_string();
    let folder = place.path("a").join("chunks").join(&name[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), stored).unwrap();
    blob
}

fn manifest(place: &Place, bundle: &str) -> Manifest {
    let text = fs::read(place.path(bundle).join("manifest.json")).unwrap();
    Manifest::read(&text).unwrap()
}

/// Gives a bundle another manifest, as if it had been written so.
fn with_manifest(place: &Place, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = manifest(place, "a");
    change(&mut manifest);
    let text = manifest.write();
    let digest = Digest::of(&text);
    fs::write(place.path(&format!("a/manifests/{digest}.json")), &text).unwrap();
    fs::write(place.path("a/manifest.json"), text).unwrap();
}

/// Gives the first node of a bundle another record.
fn with(place: &Place, change: impl Fn(&mut Record)) {
    with_manifest(place, |manifest| {
        let node = manifest.nodes.first_mut().unwrap();
        let name = node.record.sha256.to_string();
        let path = place.path("a").join("chunks").join(&name[..2]);
        let stored = fs::read(path.join(&name)).unwrap();
        let plain = zstd::bulk::decompress(&stored, 1 << 20).unwrap();
        let mut record: Record = serde_json::from_slice(&plain).unwrap();
        change(&mut record);
        node.record = put(place, &serde_json::to_vec(&record).unwrap());
    });
}

/// Copies the chunks of a bundle into another.
fn merge(from: &Path, to: &Path) {
    for file in files(from) {
        let name = file.strip_prefix(from).unwrap();
        let target = to.join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// A small blob that unpacks to 64 MiB, a thousand times. It is not there: who wants to unpack it says so.
fn bombs(place: &Place) -> Part {
    let bomb = Blob {
        sha256: Digest::of(b"bomb"),
        bytes: 6000,
        plain: 64 << 20,
    };
    let chunks = vec![bomb; 1000];
    let list = serde_json::to_vec(&List { chunks }).unwrap();
    Part::List(put(place, &list))
}

#[test]
fn no_more_is_unpacked_than_an_image_says_that_it_has() {
    let place = Place::new();
    let begin = || {
        let _ = fs::remove_dir_all(place.path("a"));
        place.ends(0, "compile old.yaml --bundle a");
    };
    begin();
    // A record that says 16 GiB.
    with(&place, |record| {
        record.sections[0].bytes = 16 << 30;
    });
    let said = place.refused(1, "V0705", "image verify a");
    assert!(
        said.replace("\n  │ ", " ")
            .contains("more than the 4294967296 that it may have"),
        "{said}"
    );
    begin();
    // As many as there are numbers.
    with(&place, |record| record.sections[0].bytes = u64::MAX);
    place.refused(1, "V0705", "image verify a");
    begin();
    let bombs_of_node = bombs(&place);
    with(&place, |record| record.chunks = vec![bombs_of_node]);
    let said = place.refused(1, "V0707", "image verify a");
    assert!(!said.contains("V0706"), "it was asked for: {said}");
    begin();
    let bombs_of_all = bombs(&place);
    with_manifest(&place, |manifest| {
        manifest.shared.chunks = vec![bombs_of_all];
    });
    let said = place.refused(1, "V0707", "image verify a");
    assert!(said.contains("make up something else"), "{said}");
    assert!(!said.contains("V0706"), "it was asked for: {said}");
}

#[test]
fn an_older_generation_of_another_layout_keeps_nothing_from_the_next() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a");
    with_manifest(&place, |manifest| manifest.abi -= 1);
    let said = place.refused(1, "V0705", "image verify a");
    assert!(said.contains("the tables of its images version"), "{said}");
    // The next is written upon it, and counts from there.
    place.ends(0, "compile new.yaml --bundle a");
    assert_eq!(manifest(&place, "a").generation, 2);
    for line in [
        "image verify a",
        "image inspect a",
        "image gc a --keep 1",
        "image verify a",
    ] {
        place.ends(0, line);
    }
}

#[test]
fn what_is_not_named_as_a_chunk_is_none_that_may_go() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a");
    let chunk = Digest::of(b"left").to_string();
    let left = format!("a/chunks/{}/{chunk}", &chunk[..2]);
    let own = [
        "a/chunks/docs/letter",
        "a/chunks/.note",
        "a/manifests/notes.txt",
    ];
    for path in own.into_iter().chain([left.as_str()]) {
        let path = place.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "left").unwrap();
    }
    let said = place.ends(0, "image gc a").stdout;
    assert!(said.contains("and 1 chunk, 4 bytes"), "{said}");
    assert!(!place.path(&left).exists());
    for path in own {
        assert!(place.path(path).exists(), "{path}");
    }
}

#[test]
fn an_older_generation_that_was_changed_is_named_by_its_file() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a");
    let digest = Digest::of(&manifest(&place, "a").write());
    let first = format!("a/manifests/{digest}.json");
    place.ends(0, "compile new.yaml --bundle a");
    fs::write(place.path(&first), "{}").unwrap();
    let said = place.refused(2, "V0705", "image gc a");
    assert!(said.contains(&format!("{digest}.json")), "{said}");
    assert!(said.contains("remove that file"), "{said}");
    place.ends(0, "image verify a");
    fs::remove_file(place.path(&first)).unwrap();
    place.ends(0, "image gc a");
    place.ends(0, "image verify a");
}

#[test]
fn what_does_not_belong_together_is_no_image() {
    let place = Place::new();
    place.ends(0, "compile new.yaml --bundle b");
    let begin = || {
        let _ = fs::remove_dir_all(place.path("a"));
        place.ends(0, "compile old.yaml --bundle a");
        merge(&place.path("b/chunks"), &place.path("a/chunks"));
        place.ends(0, "image verify a");
    };
    let refused = |code: &str, words: &str| {
        for line in [
            "image verify a",
            "image extract a --node worker-1 --output out",
        ] {
            let exit = if line.starts_with("image verify") {
                1
            } else {
                2
            };
            let said = place.refused(exit, code, line);
            assert!(said.contains(words), "{line}: {said}");
        }
    };
    let (old, new) = (|| manifest(&place, "a"), manifest(&place, "b"));
    let other = "are of another image than the manifest names";
    begin();
    // What the images of another generation share.
    assert_ne!(old().shared, new.shared);
    with_manifest(&place, |manifest| manifest.shared = new.shared.clone());
    refused("V0707", other);
    begin();
    // A section of it that is said to be another.
    with_manifest(&place, |manifest| {
        manifest.shared.sections[0].sha256 = Digest::of(b"another");
    });
    refused("V0707", other);
    begin();
    // The chunks of that of another generation.
    with_manifest(&place, |manifest| {
        manifest.shared.chunks.clone_from(&new.shared.chunks);
    });
    refused("V0707", "all images share make up something else");
    begin();
    // The record of another node, and that with the image of the other.
    with_manifest(&place, |manifest| {
        let record = manifest.nodes[1].record;
        manifest.nodes[0].record = record;
    });
    refused("V0707", other);
    begin();
    with_manifest(&place, |manifest| {
        let (record, image) = (manifest.nodes[1].record, manifest.nodes[1].image);
        (manifest.nodes[0].record, manifest.nodes[0].image) = (record, image);
    });
    refused("V0707", "another image than its record says");
    begin();
    // That of the node itself, of another generation.
    let node = old().nodes[0].clone();
    let of_new = new.nodes.iter().find(|one| one.name == node.name).unwrap();
    assert_ne!(node.image, of_new.image);
    with_manifest(&place, |manifest| manifest.nodes[0].image = of_new.image);
    refused("V0707", other);
    begin();
    // Sections twice, or in another order.
    with(&place, |record| record.sections.reverse());
    refused("V0705", "do not ascend");
    begin();
    // A record that says that there is nothing else.
    with(&place, |record| record.whole = true);
    refused("V0707", other);
    begin();
    // One of an older verdict.
    let path = place.path("a/manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_dir_all(place.path("a/manifests")).unwrap();
    fs::write(&path, text.replacen("\"version\":2", "\"version\":1", 1)).unwrap();
    let said = place.refused(2, "V0705", "image verify a");
    assert!(said.contains("older than 2"), "{said}");
    let said = place.refused(2, "V0705", "compile old.yaml --bundle a");
    assert!(said.contains("compile it again"), "{said}");
}

#[test]
fn a_wrong_signature_is_told_before_anything_is_unpacked() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a --sign KEYS/key.pem");
    let chunks = files(&place.path("a/chunks"));
    fs::remove_file(&chunks[0]).unwrap();
    let said = place.refused(1, "V0708", "image verify a --verify-key KEYS/other.pub.pem");
    assert!(!said.contains("V0706"), "{said}");
    place.refused(1, "V0706", "image verify a --verify-key KEYS/key.pub.pem");
}

#[test]
fn what_others_say_in_an_index_stays() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a --bundle-format oci");
    let path = place.path("a/index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["annotations"] = serde_json::json!({"org.example.owner": "team"});
    index["manifests"][0]["platform"] = serde_json::json!({"os": "linux", "architecture": "amd64"});
    fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
    for line in [
        "compile old.yaml --bundle a",
        "compile new.yaml --bundle a",
        "image gc a",
    ] {
        place.ends(0, line);
        let now: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(now["annotations"], index["annotations"], "{line}");
        assert_eq!(now["manifests"][0], index["manifests"][0], "{line}");
    }
    place.ends(0, "image verify a --against new.yaml");
}
