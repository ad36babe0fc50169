//! Bundles that somebody made who means ill: what they say of themselves is not believed, and bounds what is unpacked.

use super::bundles::{Place, files};
use std::fs;
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

/// Gives the first node of a bundle another record.
fn with(place: &Place, change: impl Fn(&mut Record)) {
    let text = fs::read(place.path("a/manifest.json")).unwrap();
    let mut manifest = Manifest::read(&text).unwrap();
    let node = manifest.nodes.first_mut().unwrap();
    let name = node.record.sha256.to_string();
    let stored = fs::read(place.path("a").join("chunks").join(&name[..2]).join(&name)).unwrap();
    let plain = zstd::bulk::decompress(&stored, 1 << 20).unwrap();
    let mut record: Record = serde_json::from_slice(&plain).unwrap();
    change(&mut record);
    node.record = put(place, &serde_json::to_vec(&record).unwrap());
    let text = manifest.write();
    let digest = Digest::of(&text);
    fs::write(place.path(&format!("a/manifests/{digest}.json")), &text).unwrap();
    fs::write(place.path("a/manifest.json"), text).unwrap();
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
        record.bytes = (16 << 30) + 4096;
    });
    let said = place.refused(1, "V0705", "image verify a");
    assert!(
        said.replace("\n  │ ", " ")
            .contains("more than the 4294967296 that it may have"),
        "{said}"
    );
    begin();
    // The file and its sections have two sizes.
    with(&place, |record| record.bytes += 4096);
    let said = place.refused(1, "V0705", "image verify a");
    assert!(
        said.replace("\n  │ ", " ")
            .contains("another size than its sections"),
        "{said}"
    );
    begin();
    // A small blob that unpacks to 64 MiB, a thousand times. It is not there: who wants to unpack it says so.
    let bomb = Blob {
        sha256: Digest::of(b"bomb"),
        bytes: 6000,
        plain: 64 << 20,
    };
    let list = serde_json::to_vec(&List {
        chunks: vec![bomb; 1000],
    })
    .unwrap();
    let list = put(&place, &list);
    with(&place, |record| record.chunks = vec![Part::List(list)]);
    let said = place.refused(1, "V0707", "image verify a");
    assert!(!said.contains("V0706"), "it was asked for: {said}");
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
