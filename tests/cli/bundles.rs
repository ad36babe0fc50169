//! Bundles: every form, generations, and every way in which one can be bad.

use super::{Ran, run, verdict};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata");

/// A folder with manifests, and places for bundles.
pub(super) struct Place(pub(super) TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let text = fs::read_to_string(format!("{ROOT}/cli/programs.in/cluster.yaml")).unwrap();
        fs::write(
            place.path("new.yaml"),
            text.replace("192.0.2.0", "192.0.3.0"),
        )
        .unwrap();
        fs::write(place.path("old.yaml"), text).unwrap();
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command in the folder.
    pub(super) fn run(&self, line: &str) -> Ran {
        let arguments = line.replace("KEYS", &format!("{ROOT}/bundle"));
        let mut command = verdict();
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path());
        super::ran(command.output().unwrap())
    }

    /// Runs a command that is to end with a code.
    pub(super) fn ends(&self, code: i32, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(code), "{line}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs a command that is to be refused with a diagnostic.
    pub(super) fn refused(&self, exit: i32, code: &str, line: &str) -> String {
        let ran = self.ends(exit, line);
        assert!(
            ran.stderr.contains(&format!("error[{code}]")),
            "{line}\n{}",
            ran.stderr
        );
        // Where lines end hangs on how long a path is.
        ran.stderr.replace("\n  │ ", " ")
    }
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub(super) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let named = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path.strip_prefix(folder).unwrap().to_owned(), bytes)
    };
    files(folder).into_iter().map(named).collect()
}

#[test]
fn every_form_is_the_same_bytes_each_time_and_holds() {
    let place = Place::new();
    for (form, names) in [
        ("dir", ["a", "b"]),
        ("oci", ["c", "d"]),
        ("tar", ["e.tar", "f.tar"]),
    ] {
        for name in names {
            place.ends(
                0,
                &format!("compile old.yaml --bundle {name} --bundle-format {form}"),
            );
            let ran = place.ends(0, &format!("image verify {name} --against old.yaml"));
            assert!(
                ran.stdout.contains("it is what the manifests say"),
                "{}",
                ran.stdout
            );
            place.ends(0, &format!("compile --check {name} old.yaml"));
            let said = place
                .ends(1, &format!("compile --check {name} new.yaml"))
                .stdout;
            assert_eq!(said.lines().count(), 1, "{said}");
            let ran = place.ends(0, &format!("image inspect {name} --format json"));
            let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(report["bundles"][0]["form"], form);
        }
        let [one, other] = names.map(|name| place.path(name));
        if form == "tar" {
            assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
        } else {
            assert_eq!(contents(&one), contents(&other));
        }
    }
    let left = fs::read_dir(place.0.path()).unwrap().flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "a folder is left behind");
}

#[test]
fn the_image_of_a_node_is_taken_out_byte_for_byte() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --out images");
    for (form, name) in [("dir", "a"), ("oci", "b"), ("tar", "c.tar")] {
        let more = "--fleet prod --sign KEYS/key.pem";
        place.ends(
            0,
            &format!("compile old.yaml --bundle {name} --bundle-format {form} {more}"),
        );
        let asked = "--verify-key KEYS/key.pub.pem --fleet prod --at-least 1 --output out.image";
        let extract = format!("image extract {name} --node worker-1");
        place.ends(0, &format!("{extract} {asked}"));
        let [out, compiled] =
            ["out.image", "images/worker-1.image"].map(|name| fs::read(place.path(name)).unwrap());
        assert_eq!(out, compiled, "{form}");
        for (code, asked) in [
            ("V0708", "--verify-key KEYS/other.pub.pem"),
            ("V0709", "--verify-key old.yaml"),
            ("V0710", "--fleet test"),
            ("V0711", "--at-least 2"),
        ] {
            fs::write(place.path("out.image"), "before").unwrap();
            place.refused(2, code, &format!("{extract} {asked} --output out.image"));
            assert_eq!(fs::read(place.path("out.image")).unwrap(), b"before");
        }
        for (node, meant) in [
            ("worker-3", "did you mean `worker-1` or `worker-2`?"),
            ("worker-1.example.com", "did you mean `worker-1`?"),
            ("somebody", "there are `"),
        ] {
            let said = place.refused(2, "V0714", &format!("image extract {name} --node {node}"));
            // A line may end within a name.
            let [words, meant] = [&*said, meant].map(|text| text.replace(' ', ""));
            assert!(words.contains(&meant), "{node}: {said}");
        }
    }
    let said = place.ends(2, "image extract c.tar --node worker-1 --output c.tar");
    assert!(
        said.stderr.contains("would overwrite it"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_answer_damages_no_bundle_and_no_key() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle b --cache kept");
    for key in ["key.pem", "key.pub.pem"] {
        fs::copy(format!("{ROOT}/bundle/{key}"), place.path(key)).unwrap();
    }
    let manifest = || fs::read(place.path("b/manifest.json")).unwrap();
    let before = manifest();
    let (damage, overwrite) = ("would damage it", "would overwrite it");
    for (line, words) in [
        ("image verify b --output b/manifest.json", damage),
        ("image gc b --output b/manifest.json", damage),
        ("image diff b b --output b/new.json", damage),
        (
            "image extract b --node worker-1 --output b/blobs/new",
            damage,
        ),
        (
            "compile old.yaml --check b --output b/manifest.json",
            damage,
        ),
        (
            "compile old.yaml --bundle new --output new/manifest.json",
            damage,
        ),
        (
            "compile old.yaml --bundle b --parent b --output ./b/../b/answer",
            damage,
        ),
        (
            "compile old.yaml --cache kept --bundle new --output kept/answer",
            damage,
        ),
        (
            "compile old.yaml --bundle new --sign key.pem --output key.pem",
            overwrite,
        ),
        (
            "image verify b --verify-key key.pub.pem --output key.pub.pem",
            overwrite,
        ),
    ] {
        let said = place.ends(2, line);
        assert!(said.stderr.contains(words), "{line}: {}", said.stderr);
        assert_eq!(manifest(), before, "{line}");
    }
    assert!(!place.path("new").exists());
    place.ends(0, "image verify b --output answer.json");
}

#[test]
fn the_first_difference_is_told_as_a_packet() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a");
    let ran = place.ends(1, "image verify a --against new.yaml");
    for line in [
        "node worker-1: 192.0.2.0 to shop/api (ingress), 8080/TCP",
        "the bundle says     allow by NetworkPolicy/shop/api spec.ingress[0]  old.yaml:29",
        "the manifests say   deny by NetworkPolicy/shop/api isolates, and no rule allows it  new.yaml:23",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
}

#[test]
fn a_generation_is_written_next_to_the_one_before() {
    let place = Place::new();
    for form in ["dir", "oci"] {
        place.ends(
            0,
            &format!("compile old.yaml --bundle {form} --bundle-format {form} --fleet prod"),
        );
        let first = contents(&place.path(form));
        let again = place.ends(0, &format!("compile old.yaml --bundle {form}"));
        assert!(
            again.stdout.contains("it says the same"),
            "{}",
            again.stdout
        );
        assert_eq!(contents(&place.path(form)), first);
        let next = place.ends(0, &format!("compile new.yaml --bundle {form}"));
        assert!(
            next.stdout.contains("generation 2 of fleet prod"),
            "{}",
            next.stdout
        );
        let both = contents(&place.path(form));
        let kept = first
            .iter()
            .filter(|(name, _)| !matches!(name.to_str(), Some("manifest.json" | "index.json")));
        assert!(kept.into_iter().all(|file| both.contains(file)), "{form}");
        // Nothing is lost that a manifest names, and everything else is.
        fs::write(place.path(form).join("unknown"), "x").unwrap();
        place.ends(0, &format!("image gc {form}"));
        let kept = contents(&place.path(form));
        assert_eq!(kept.len(), both.len() + 1);
        place.ends(0, &format!("image gc {form} --keep 1"));
        place.ends(
            0,
            &format!("image verify {form} --against new.yaml --fleet prod --at-least 2"),
        );
        assert!(contents(&place.path(form)).len() < kept.len());
    }
    place.ends(0, "compile old.yaml --bundle old.tar");
    place.ends(0, "compile new.yaml --bundle new.tar --parent old.tar");
    let ran = place.ends(1, "image diff old.tar new.tar --format json");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["generations"], serde_json::json!([1, 2]));
    assert_eq!(report["nodes"][0]["changes"][0]["peer"], "192.0.2.0");
    assert_eq!(report["nodes"][0]["changes"][0]["after"]["verdict"], "deny");
    place.ends(0, "image diff old.tar old.tar");
    assert_eq!(place.run("image gc old.tar").code, Some(2));
}

#[test]
fn a_chunk_that_is_missing_or_another_is_named() {
    let place = Place::new();
    let damage = |name: &str, change: &dyn Fn(&[PathBuf])| {
        place.ends(0, &format!("compile old.yaml --bundle {name}"));
        change(&files(&place.path(name).join("chunks")));
    };
    damage("missing", &|chunks| fs::remove_file(&chunks[0]).unwrap());
    let said = place.refused(1, "V0706", "image verify missing");
    assert!(said.contains("is missing"), "{said}");
    damage("swapped", &|chunks| {
        let (one, other) = (fs::read(&chunks[0]).unwrap(), fs::read(&chunks[1]).unwrap());
        fs::write(&chunks[0], other).unwrap();
        fs::write(&chunks[1], one).unwrap();
    });
    place.refused(1, "V0707", "image verify swapped");
    damage("cut", &|chunks| fs::write(&chunks[2], "").unwrap());
    place.refused(1, "V0707", "image verify cut");
    damage("folder", &|chunks| {
        fs::remove_file(&chunks[0]).unwrap();
        fs::create_dir(&chunks[0]).unwrap();
    });
    place.refused(1, "V0707", "image verify folder");
    for name in ["missing", "swapped", "cut"] {
        // Compiling once more puts right what is wrong, and says so.
        let said = place.ends(0, &format!("compile old.yaml --bundle {name}"));
        let mended = "it says the same as what was there; ";
        assert!(said.stdout.contains(mended), "{}", said.stdout);
        assert!(said.stdout.contains("whole now"), "{}", said.stdout);
        place.ends(0, &format!("image verify {name}"));
    }
}

#[test]
fn keys_fleets_and_generations_are_told_apart() {
    let place = Place::new();
    place.ends(
        0,
        "compile old.yaml --bundle a --fleet prod --sign KEYS/key.pem",
    );
    place.ends(
        0,
        "image verify a --verify-key KEYS/key.pub.pem --fleet prod --at-least 1",
    );
    let said = place.refused(1, "V0708", "image verify a --verify-key KEYS/other.pub.pem");
    assert!(said.contains("not one of this key"), "{said}");
    place.refused(1, "V0710", "image verify a --fleet test");
    place.refused(1, "V0711", "image verify a --at-least 2");
    let said = place.refused(2, "V0709", "image verify a --verify-key KEYS/key.pem");
    assert!(said.contains("it is a private key"), "{said}");
    let said = place.refused(
        2,
        "V0709",
        "compile old.yaml --bundle b --sign KEYS/key.pub.pem",
    );
    assert!(said.contains("it is a public key"), "{said}");
    assert!(!place.path("b").exists());
    place.refused(2, "V0710", "compile new.yaml --bundle a --fleet test");
    place.ends(0, "compile old.yaml --bundle plain");
    let said = place.refused(
        1,
        "V0708",
        "image verify plain --verify-key KEYS/key.pub.pem",
    );
    assert!(said.contains("it is not signed"), "{said}");
    let said = place.ends(0, "compile old.yaml --bundle plain --sign KEYS/key.pem");
    assert!(said.stdout.contains("; signed now"), "{}", said.stdout);
    place.ends(0, "image verify plain --verify-key KEYS/key.pub.pem");
    // The manifest of one fleet with the signature of another.
    place.ends(
        0,
        "compile new.yaml --bundle forged --fleet prod --sign KEYS/other.pem",
    );
    place.refused(
        1,
        "V0708",
        "image verify forged --verify-key KEYS/key.pub.pem",
    );
    for form in ["oci", "tar"] {
        let line = format!(
            "compile old.yaml --bundle s.{form} --bundle-format {form} --sign KEYS/key.pem"
        );
        place.ends(0, &line);
        place.ends(
            0,
            &format!("image verify s.{form} --verify-key KEYS/key.pub.pem"),
        );
        place.refused(
            1,
            "V0708",
            &format!("image verify s.{form} --verify-key KEYS/other.pub.pem"),
        );
    }
}

#[test]
fn what_is_no_bundle_is_told() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a");
    let manifest = place.path("a/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for (what, words) in [
        (String::new(), "cannot be read"),
        ("[".repeat(100_000), "cannot be read"),
        (
            text.replace("\"version\":2", "\"version\":7"),
            "a newer verdict made it",
        ),
        (
            text.replace("\"version\":2", "\"version\":1"),
            "its version is 1, older than 2, the one that is read: compile it again",
        ),
        (
            text.replace("\"plain\":", "\"plain\":99999999999"),
            "more than the",
        ),
        (text.replace("\"nodes\"", "\"policies\""), "unknown field"),
    ] {
        fs::write(&manifest, what).unwrap();
        let said = place.refused(2, "V0705", "image verify a");
        assert!(said.replace("\n  │ ", " ").contains(words), "{said}");
    }
    let node = text.find("{\"name\":").unwrap();
    let end = node + text[node..].find("}}").unwrap() + 2;
    let twice = format!("{}{},{}", &text[..node], &text[node..end], &text[node..]);
    fs::write(&manifest, twice).unwrap();
    place.refused(2, "V0712", "image verify a");
    fs::create_dir(place.path("empty")).unwrap();
    place.refused(2, "V0705", "image verify empty");
    fs::write(place.path("empty/x"), "").unwrap();
    place.refused(2, "V0705", "compile old.yaml --bundle empty");
    assert_eq!(place.run("image verify nowhere").code, Some(2));
    place.refused(2, "V0705", "image verify old.yaml");
    let said = place.refused(2, "V0705", "compile old.yaml --bundle old.yaml");
    assert!(said.contains("name another place"), "{said}");
    place.ends(2, "compile old.yaml --bundle a --node worker-1");
    place.ends(2, "compile old.yaml");
}

#[test]
fn a_manifest_that_was_changed_by_hand_is_seen_without_a_key() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a --fleet prod");
    let manifest = place.path("a/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"prod\"", "\"test\"")).unwrap();
    let said = place.refused(2, "V0705", "image verify a");
    assert!(said.contains("was changed"), "{said}");
    // The manifest and the chunks alone are what a node needs.
    fs::write(&manifest, text).unwrap();
    fs::remove_dir_all(place.path("a/manifests")).unwrap();
    place.ends(0, "image verify a --fleet prod");
}

#[test]
fn an_archive_that_is_compressed_is_told() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a.tar");
    let packed = fs::File::create(place.path("a.tar.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    let bytes = fs::read(place.path("a.tar")).unwrap();
    std::io::Write::write_all(&mut packed, &bytes).unwrap();
    packed.finish().unwrap();
    for line in ["image verify a.tar.gz", "image inspect a.tar.gz"] {
        let said = place.refused(2, "V0705", line);
        assert!(said.contains("`gunzip`"), "{said}");
    }
}

#[test]
fn a_bundle_may_stand_among_the_manifests() {
    for form in ["dir", "oci"] {
        let place = Place::new();
        fs::create_dir(place.path("in")).unwrap();
        fs::copy(place.path("old.yaml"), place.path("in/old.yaml")).unwrap();
        let line = format!("compile in --bundle in/fleet --bundle-format {form}");
        for _ in 0..2 {
            place.ends(0, &line);
        }
        place.ends(0, "image verify in/fleet --against in");
        let said = place.ends(0, "check in").stderr;
        assert!(said.contains("`in/fleet` is a bundle"), "{said}");
        // What is no bundle is read, whatever it is called.
        fs::create_dir(place.path("in/more")).unwrap();
        fs::write(place.path("in/more/oci-layout"), "").unwrap();
        fs::write(place.path("in/more/x.yaml"), "kind: x").unwrap();
        place.ends(1, "check in");
    }
}

#[test]
fn a_folder_of_images_is_told_apart_from_a_bundle() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --out images");
    let said = place.refused(2, "V0705", "image verify images");
    assert!(
        said.contains("`verdict compile --out` writes them"),
        "{said}"
    );
    let shown = place.ends(0, "image inspect images").stdout;
    for node in ["worker-1", "worker-2"] {
        assert!(shown.contains(&format!("images/{node}.image: ")), "{shown}");
    }
}

/// One entry of a tar file.
fn entry(name: &str, size: u64, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header
        .iter_mut()
        .zip(name.bytes())
        .for_each(|(to, from)| *to = from);
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    header[263..265].copy_from_slice(b"00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut file = header.to_vec();
    file.extend(bytes);
    file.resize(file.len().next_multiple_of(512), 0);
    file
}

#[test]
fn archives_with_paths_of_their_own_are_refused() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle good.tar");
    let good = fs::read(place.path("good.tar")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        (
            "up",
            entry("../../etc/passwd", 1, b'0', b"x"),
            "has no place",
        ),
        (
            "absolute",
            entry("/etc/passwd", 1, b'0', b"x"),
            "has no place",
        ),
        ("link", entry("manifest.json", 0, b'2', b""), "has no place"),
        ("folder", entry("chunks/", 0, b'5', b""), "has no place"),
        ("twice", entry("manifest.json", 1, b'0', b"{"), "twice"),
        (
            "giant",
            entry("manifest.json", 0o77_777_777_777, b'0', b"{"),
            "is cut",
        ),
        ("torn", b"x".repeat(512), ""),
    ];
    for (name, first, words) in cases {
        let file = format!("{name}.tar");
        fs::write(place.path(&file), [first, good.clone()].concat()).unwrap();
        let said = place.refused(2, "V0705", &format!("image verify {file}"));
        assert!(said.contains(words), "{name}: {said}");
    }
    fs::write(place.path("short.tar"), &good[..good.len() / 2]).unwrap();
    assert!(place.run("image verify short.tar").code > Some(0));
    // Any byte changed: refused, or of no meaning (times and padding).
    for at in (0..good.len()).step_by(331) {
        let mut changed = good.clone();
        changed[at] ^= 0x55;
        fs::write(place.path("changed.tar"), changed).unwrap();
        let ran = place.run("image verify changed.tar");
        assert!(!ran.stderr.contains("V0901"), "byte {at}: {}", ran.stderr);
    }
}

/// A disk that fills up leaves no bundle, and the one that was there as it was.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let place = Place::new();
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let program = env!("CARGO_BIN_EXE_verdict");
    let script = format!(
        "mount -t tmpfs -o size=48k tmpfs disk && {program} compile old.yaml --bundle disk/a >/dev/null && \
         find disk/a -type f | sort > before && dd if=/dev/zero of=disk/fill bs=1k 2>/dev/null; \
         {program} compile new.yaml --bundle disk/a; echo code $?; \
         {program} compile new.yaml --bundle disk/new; echo code $?; \
         {program} compile new.yaml --bundle disk/new.tar; echo code $?; \
         find disk/a -type f | sort | cmp - before && ls -A disk && rm disk/fill && {program} image verify disk/a"
    );
    let ran = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(place.0.path())
        .env("NO_COLOR", "1")
        .output();
    let Ok(output) = ran else { return };
    let ran = super::ran(output);
    if ran.stderr.contains("unshare") || ran.stderr.contains("mount:") {
        // No namespaces for this user on this machine.
        return;
    }
    assert_eq!(
        ran.stdout.matches("code 2").count(),
        3,
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert!(
        ran.stderr.contains("no space left on device") || ran.stderr.contains("storage"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("\na\nfill\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("generation 1 holds"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn two_bundles_in_one_run_and_images_beside_them() {
    let place = Place::new();
    place.ends(0, "compile old.yaml --bundle a --out images");
    let ran = place.ends(0, "image inspect a images/worker-1.image --format json");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        report["images"][0]["bytes"],
        report["bundles"][0]["nodes"][0]["bytes"]
    );
    let ran = run(["image", "diff", "/nowhere", "/nowhere"]);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn a_cache_has_nothing_of_nodes_that_are_gone() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("old.yaml")).unwrap();
    let documents = text.split("\n---\n");
    let kept = documents.filter(|one| !one.contains("metadata: {name: worker-2}"));
    let kept = kept.collect::<Vec<_>>().join("\n---\n");
    let moved = kept.replace("nodeName: worker-2", "nodeName: worker-1");
    assert!(!moved.contains("worker-2"));
    fs::write(place.path("moved.yaml"), moved).unwrap();
    let own = || {
        let entries = fs::read_dir(place.path("cache")).unwrap().flatten();
        let files = entries.filter(|entry| entry.path().is_file());
        let mut names: Vec<_> = files.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    place.ends(0, "compile old.yaml --bundle a --cache cache");
    let before = own();
    let length = || fs::metadata(place.path("cache/images")).unwrap().len();
    let of_all = length();
    // The files that a verdict wrote for each node, until one file had all.
    for name in ["none", &"0123456789abcdef".repeat(4)] {
        fs::write(place.path("cache").join(name), "older").unwrap();
    }
    // What two other compiles have not finished: one goes on, the other was ended a day ago.
    for (name, age) in [(".verdict-goes-on", 0), (".verdict-was-ended", 24 * 3600)] {
        let file = fs::File::create(place.path("cache").join(name)).unwrap();
        let age = std::time::Duration::from_secs(age);
        file.set_modified(std::time::SystemTime::now() - age)
            .unwrap();
    }
    place.ends(0, "compile old.yaml --bundle a --cache cache");
    assert_eq!(own().len(), before.len() + 1);
    place.ends(0, "compile moved.yaml --bundle a --cache cache");
    let after = own();
    assert_eq!(after[0], ".verdict-goes-on");
    assert_eq!(after[1..], before);
    assert!(length() < of_all);
    // A compile of one node keeps what there is of the others.
    place.ends(0, "compile old.yaml --bundle a --cache cache");
    let kept = || fs::read(place.path("cache/images")).unwrap();
    let all = kept();
    for file in ["old", "moved", "old"] {
        let line = format!("compile {file}.yaml --node worker-1 --out images --cache cache");
        place.ends(0, &line);
    }
    assert_eq!(kept(), all);
}

#[test]
fn a_cache_says_what_was_taken_of_it() {
    let place = Place::new();
    let line = "compile old.yaml --bundle a --cache cache";
    let compiled = || {
        let ran = place.ends(0, &format!("{line} --format json"));
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        place.ends(0, "image verify a --against old.yaml");
        let count = |of: &str| report["cache"][of].as_u64().unwrap();
        let is_noted = ran.stderr.contains("note[V0713]");
        (count("images"), count("of"), count("tables"), is_noted)
    };
    let forget = || fs::remove_file(place.path("cache/images")).unwrap();
    let (none, all, tables, is_noted) = compiled();
    assert_eq!((none, tables, is_noted), (0, 0, false));
    assert!(all > 1);
    assert_eq!(compiled(), (all, all, 0, false));
    let told = place.ends(0, line).stdout;
    assert!(
        told.ends_with(&format!("cache: {all} of {all} images taken\n")),
        "{told}"
    );
    // Images that are gone are made of the tables.
    forget();
    let (none, _, tables, is_noted) = compiled();
    assert_eq!((none, is_noted), (0, false));
    assert!(tables > 1);
    // Tables that are damaged are not used, and are there again.
    forget();
    fs::write(place.path("cache").join("tables"), "no tables").unwrap();
    assert_eq!(compiled(), (0, all, 0, true));
    forget();
    assert_eq!(compiled(), (0, all, tables, false));
    // So are images that are damaged.
    let path = place.path("cache/images");
    let mut file = fs::read(&path).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    fs::write(&path, file).unwrap();
    assert_eq!(compiled(), (0, all, tables, true));
    assert_eq!(compiled(), (all, all, 0, false));
    // Blobs of the cache are looked at where the bundle does not have them, whole: some are damaged, and others gone.
    let blobs = || files(&place.path("cache/blobs"));
    for (index, path) in blobs().into_iter().enumerate() {
        match index % 3 {
            0 => fs::write(path, "damaged").unwrap(),
            1 => fs::remove_file(path).unwrap(),
            _ => {}
        }
    }
    assert_eq!(compiled(), (all, all, 0, false));
    let before = contents(&place.path("a"));
    fs::remove_dir_all(place.path("a")).unwrap();
    let (taken, _, _, is_noted) = compiled();
    assert!(taken < all && is_noted);
    assert_eq!(contents(&place.path("a")), before);
    // And those of the bundle are replaced from there.
    for path in files(&place.path("a/chunks")) {
        fs::write(path, "damaged").unwrap();
    }
    assert_eq!(compiled(), (all, all, 0, false));
    assert_eq!(contents(&place.path("a")), before);
}
