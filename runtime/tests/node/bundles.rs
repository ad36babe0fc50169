//! Images out of bundles: what is taken, and what is refused and leaves what enforces.

use super::cage::{caged, on, root, sh};
use super::faults::{enforcing, refused};
use super::net::build;
use super::world::{OTHER, TIERS, pod, write_manifests};
use std::path::{Path, PathBuf};
use verdict_compiler::cli;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/bundle");

/// A place for manifests and bundles, which is gone with the cage.
const PLACE: &str = "/run/netns/bundles";

/// Compiles policies into a bundle.
fn compile(policies: &str, bundle: &str, more: &str) -> String {
    let manifests = format!("{PLACE}/manifests");
    write_manifests(policies, Path::new(&manifests));
    let bundle = format!("{PLACE}/{bundle}");
    let line = format!("verdict --quiet compile {manifests} --bundle {bundle} {more}");
    let line = line.replace("KEYS", KEYS);
    let code = cli::main(line.split_whitespace().map(Into::into).collect());
    assert_eq!(code, std::process::ExitCode::SUCCESS, "{line}");
    bundle
}

fn key(name: &str) -> String {
    format!("{KEYS}/{name}.pub.pem")
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

#[test]
fn every_form_is_loaded_by_the_name_of_the_host() {
    caged(
        "bundles::every_form_is_loaded_by_the_name_of_the_host",
        || {
            build();
            let key = key("key");
            for form in ["dir", "tar", "oci"] {
                let more = format!("--bundle-format {form} --fleet prod --sign KEYS/key.pem");
                let bundle = compile(TIERS, form, &more);
                let load = ["load", &bundle, "--verify-key", &key, "--format", "json"];
                std::fs::write("/proc/sys/kernel/hostname", "n1.example.com").unwrap();
                refused(on("n1", &load), "V0714", "did you mean `n1`?");
                std::fs::write("/proc/sys/kernel/hostname", "n1").unwrap();
                let loaded = on("n1", &load).must(0).json();
                assert_eq!(loaded["bundle"]["fleet"], "prod", "{loaded}");
                assert_eq!(loaded["bundle"]["generation"], 1);
                assert_eq!(loaded["bundle"]["signature"], "checked");
                let load = ["load", &bundle, "--node", "n2"];
                let told = on("n2", &load).must(0).stdout;
                let words = "bundle        generation 1 of fleet prod, manifest sha256 ";
                assert!(told.contains(words), "{told}");
                assert!(told.contains("signature: not checked"), "{told}");
            }
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            let status = on("n1", &["status", "--format", "json"]).must(0).json();
            assert_eq!(status["generation"]["bundle"]["signature"], "checked");
            assert_eq!(status["generation"]["node"], "n1");
        },
    );
}

#[test]
fn what_is_wrong_with_a_bundle_leaves_what_enforces() {
    caged(
        "bundles::what_is_wrong_with_a_bundle_leaves_what_enforces",
        || {
            build();
            let bundle = compile(TIERS, "fleet", "--fleet prod --sign KEYS/key.pem");
            sh(&format!("cp -r {bundle} {PLACE}/first"));
            let (right, wrong) = (key("key"), key("other"));
            let load = |bundle: &str, more: &[&str]| {
                let load = [&["load", bundle, "--node", "n1"][..], more].concat();
                on("n1", &load)
            };
            let damage = |generation: &str| {
                let pin = format!("{}/generations/{generation}/bundle", root("n1"));
                sh(&format!("rm {pin}; ln -s damaged {pin}"));
            };
            let first = format!("{PLACE}/first");
            load(&first, &["--verify-key", &right]).must(0);
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            let old = enforcing("n1");
            compile(OTHER, "fleet", "--sign KEYS/key.pem");

            // Signatures.
            refused(
                load(&bundle, &["--verify-key", &wrong]),
                "V0708",
                "not one of this key",
            );
            refused(
                load(&bundle, &["--verify-key", "/dev/null"]),
                "V0709",
                "no ed25519 public key",
            );
            refused(
                load(&bundle, &["--verify-key", "/nowhere"]),
                "error",
                "cannot be read",
            );
            let unsigned = compile(OTHER, "unsigned", "--fleet prod");
            refused(
                load(&unsigned, &["--verify-key", &right]),
                "V0708",
                "not signed",
            );

            // What was asked for.
            refused(
                on("n1", &["load", &bundle, "--node", "n3"]),
                "V0714",
                "did you mean `n1` or `n2`?",
            );
            refused(load(&bundle, &["--at-least", "3"]), "V0711", "generation 3");
            refused(
                load(&bundle, &["--fleet", "test"]),
                "V0710",
                "not for fleet `test`",
            );
            let other = compile(OTHER, "other", "--fleet test");
            refused(
                load(&other, &[]),
                "V0710",
                "the image that enforces is of one for fleet `prod`",
            );
            refused(load("/run/netns", &[]), "V0705", "this is no bundle");

            // Chunks: whichever is another or missing, the image is refused or does not need it.
            let mut found = [0, 0];
            for chunk in files(Path::new(&bundle)) {
                if !chunk.to_string_lossy().contains("/chunks/") {
                    continue;
                }
                let bytes = std::fs::read(&chunk).unwrap();
                let swapped = [&bytes[1..], b"x"].concat();
                for (found, (code, change)) in found
                    .iter_mut()
                    .zip([("V0706", None), ("V0707", Some(swapped))])
                {
                    match change {
                        None => std::fs::remove_file(&chunk).unwrap(),
                        Some(swapped) => std::fs::write(&chunk, swapped).unwrap(),
                    }
                    let node = ["load", &bundle, "--node", "n1", "--digest", &"0".repeat(64)];
                    let ran = on("n1", &node).must(2);
                    // Where the chunk is not needed, it is the digest that is refused.
                    *found += u32::from(ran.said().contains(code));
                    assert!(
                        ran.said().contains(code) || ran.said().contains("V0802"),
                        "{}",
                        ran.said()
                    );
                    std::fs::write(&chunk, &bytes).unwrap();
                }
            }
            assert!(found.iter().all(|found| *found > 1), "{found:?}");
            let tar = compile(TIERS, "cut.tar", "--fleet prod");
            let bytes = std::fs::read(&tar).unwrap();
            std::fs::write(&tar, &bytes[..bytes.len() / 2]).unwrap();
            let ran = load(&tar, &[]);
            assert!(
                ran.said().contains("V0705") || ran.said().contains("V0702"),
                "{}",
                ran.said()
            );
            ran.must(2);
            assert_eq!(enforcing("n1"), old);

            // Generations.
            load(&bundle, &["--verify-key", &right]).must(0);
            let new = enforcing("n1");
            assert_ne!(new, old);
            refused(
                load(&first, &[]),
                "V0711",
                "generation 1 of fleet `prod` has been replaced: generation 2 enforces",
            );
            assert_eq!(enforcing("n1"), new);
            load(&first, &["--allow-older"]).must(0);
            assert_eq!(enforcing("n1"), old);
            load(&other, &["--fleet", "test"]).must(0);

            // The pin that says which generation it is from is damaged: one is taken where any would be.
            damage("4");
            refused(load(&bundle, &[]), "V0809", "names no generation");
            refused(
                load(&bundle, &["--allow-older"]),
                "V0809",
                "`--allow-older` and the name",
            );
            load(&bundle, &["--allow-older", "--fleet", "prod"]).must(0);
            assert_eq!(enforcing("n1"), new);
            load(&other, &["--fleet", "test"]).must(0);
            let before = enforcing("n1");
            damage("5");
            refused(on("n1", &["rollback"]), "V0809", "names no generation");
            assert_eq!(enforcing("n1"), before);

            // An image by itself has no generation, and one node.
            let image = format!("{PLACE}/n1.image");
            let line = format!("verdict image extract {bundle} --node n1 --output {image}");
            let code = cli::main(line.split(' ').map(Into::into).collect());
            assert_eq!(code, std::process::ExitCode::SUCCESS);
            refused(
                on("n1", &["load", &image, "--node", "n2"]),
                "V0714",
                "for node `n1`, not for node `n2`",
            );
            refused(
                on("n1", &["load", &image, "--verify-key", &right]),
                "error",
                "are about bundles",
            );
            let loaded = on("n1", &["load", &image, "--node", "n1", "--format", "json"])
                .must(0)
                .json();
            assert_eq!(loaded["bundle"], serde_json::Value::Null);
            assert_eq!(enforcing("n1"), new);
        },
    );
}
