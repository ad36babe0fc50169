//! What is kept of texts between runs: over random edits it says what the texts say, most of it is taken, and of what is damaged
//! nothing is.

use std::path::{Path, PathBuf};
use verdict_compiler::cluster::HostNetwork;
use verdict_compiler::frontend::kept::{Keeping, Readings, SMALLEST};
use verdict_compiler::frontend::load::load_with;
use verdict_compiler::frontend::settings::{Dialect, Settings};
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, cilium, settings_for, small};
use verdict_tests::readings::{BUILD, next, read, sealed};

/// The manifests of `testdata`, objects of every kind and mistakes of every code among them.
fn testdata() -> Vec<(String, Vec<u8>)> {
    let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(extension, Some("yaml" | "yml" | "json")) {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path.display().to_string(), bytes));
            }
        }
    }
    found.sort();
    found
}

fn sources<'f>(files: impl IntoIterator<Item = &'f (String, Vec<u8>)>) -> Sources {
    let mut sources = Sources::default();
    for (name, bytes) in files {
        if let Ok(file) = SourceFile::new(name.as_str(), bytes.clone()) {
            sources.add(file);
        }
    }
    sources
}

fn dialects() -> [Settings; 2] {
    [Dialect::Kubernetes, Dialect::Cilium].map(|dialect| Settings {
        dialect,
        ..Settings::default()
    })
}

#[test]
fn every_manifest_says_the_same_when_it_is_taken() {
    let files = testdata();
    for settings in dialects() {
        let mut taken = 0;
        for one in &files {
            let sources = sources([one]);
            let mut file = None;
            next(&sources, &settings, &mut file);
            let again = next(&sources, &settings, &mut file);
            assert_eq!(again.file, None, "{}", one.0);
            taken += again.taken;
        }
        assert!(taken > 100, "{taken}");
        let (all, mut file) = (sources(&files), None);
        let first = next(&all, &settings, &mut file);
        let again = next(&all, &settings, &mut file);
        assert_eq!((first.taken, again.unusable), (0, false));
        assert!(again.taken > 100, "{}", again.taken);
        assert_eq!(again.file, None);
    }
}

/// A world whose cluster is in many files, of a few objects each.
fn in_files(mut world: World, random: &mut Random) -> World {
    let mut files: Vec<(String, String)> = Vec::new();
    for (name, text) in std::mem::take(&mut world.files) {
        for document in text.split("---\n").filter(|one| !one.trim().is_empty()) {
            match files.last_mut() {
                Some((_, last)) if random.chance(60) => {
                    last.push_str("---\n");
                    last.push_str(document);
                }
                _ => files.push((format!("{}-{name}", files.len()), document.to_owned())),
            }
        }
    }
    world.files = files;
    world
}

/// What may come to stand in a file: mistakes, and what is not kept.
const STRANGERS: [&str; 6] = [
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\ndata: {a: 1}\n",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: default}\nspec: {contaners: []}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\ndata: {policy-cidr-match-mode: nodes}\n",
    "apiVersion: v1\nkind: Node\nmetadata: {name: node-0, labels: {a: on}}\nstatus: {addresses: [{type: InternalIP, address: 1.2.3}]}\n",
    "apiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {name: c, namespace: default}\n",
    "a: [\n",
];

/// One edit of a file: of its text, its name or its place; or of what is set.
fn edit(world: &mut World, settings: &mut Settings, other: &World, random: &mut Random) {
    let count = world.files.len();
    let at = random.below(count);
    let theirs = random.one(&other.files);
    let (name, text) = &mut world.files[at];
    match random.below(11) {
        0 => name.insert_str(0, "renamed-"),
        1 => *text = format!("# a remark\n{text}"),
        2 => *text = text.replacen("80", "81", 1),
        3 => *text = text.replacen("app", "App", 1),
        4 => *text = text.replacen("name: ", "name: x", 1),
        5 => text.push_str(&format!("---\n{}", random.one(&STRANGERS))),
        6 if count > 2 => drop(world.files.remove(at)),
        7 => world.files.swap(at, random.below(count)),
        8 => world.files.push(theirs),
        9 => *text = theirs.1,
        _ => {
            settings.host_network = random.one(&[None, Some(HostNetwork::Node)]);
            settings.cidr_matches_pods = random.one(&[None, Some(true)]);
        }
    }
}

/// How often texts were taken and how often there was a new file.
#[derive(Debug, Default)]
struct Counts {
    taken: usize,
    of: usize,
    written: usize,
}

fn edits(
    world: World,
    other: World,
    mut settings: Settings,
    random: &mut Random,
    counts: &mut Counts,
) {
    let mut world = in_files(world, random);
    let other = in_files(other, random);
    let mut file = None;
    for _ in 0..12 {
        let sources = world.sources();
        let Readings {
            taken,
            unusable,
            file: new,
        } = next(&sources, &settings, &mut file);
        assert!(!unusable);
        counts.taken += taken;
        counts.of += world.files.len();
        counts.written += usize::from(new.is_some());
        edit(&mut world, &mut settings, &other, random);
    }
    let sources = world.sources();
    next(&sources, &settings, &mut file);
    assert_eq!(next(&sources, &settings, &mut file).file, None);
}

#[test]
fn what_is_kept_is_what_the_texts_say() {
    let (mut counts, mut random) = (Counts::default(), Random::new(23));
    for seed in 0..25 {
        let (world, other) = (small::world(seed), small::world(seed + 500));
        let settings = settings_for(seed);
        edits(world, other, settings, &mut random, &mut counts);
        let (world, other) = (cilium::world(seed), cilium::world(seed + 500));
        let settings = cilium::settings(seed);
        edits(world, other, settings, &mut random, &mut counts);
    }
    // Policies are never kept.
    assert!(counts.taken > counts.of / 4, "{counts:?}");
    assert!(counts.written > 150, "{counts:?}");
}

/// Two files of pods, and the file that is kept of them.
fn kept() -> (Sources, Settings, Vec<u8>) {
    let settings = Settings::default();
    let sources = in_files(small::world(4), &mut Random::new(1)).sources();
    let file = read(&sources, &settings, None).1.file;
    (sources, settings, file.unwrap())
}

#[test]
fn of_another_program_or_other_settings_nothing_is_taken() {
    let (sources, settings, file) = kept();
    assert!(read(&sources, &settings, Some(&file)).1.taken > 1);
    let other = Settings {
        cidr_matches_pods: Some(true),
        ..settings.clone()
    };
    let (_, of_other) = read(&sources, &other, Some(&file));
    let keeping = Keeping {
        build: b"another",
        file: Some(&file),
        smallest: 0,
    };
    let (_, by_another) = load_with(&sources, &settings, Some(keeping));
    for readings in [of_other, by_another] {
        assert_eq!((readings.taken, readings.unusable), (0, false));
        assert_ne!(readings.file.unwrap(), file);
    }
}

#[test]
fn short_texts_are_read() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: default}\n";
    let long = format!("{pod}{}", "#".repeat(SMALLEST - pod.len()));
    fn keeping(file: Option<&[u8]>) -> Option<Keeping<'_>> {
        Some(Keeping {
            build: BUILD,
            file,
            smallest: SMALLEST,
        })
    }
    let short = &long[..SMALLEST - 1];
    let settings = Settings::default();
    for (text, count) in [(short, 0), (long.as_str(), 1)] {
        let sources = sources(&[("a.yaml".to_owned(), text.as_bytes().to_vec())]);
        let (_, first) = load_with(&sources, &settings, keeping(None));
        assert_eq!(first.file.is_some(), count == 1);
        let file = first.file.as_deref();
        let (_, again) = load_with(&sources, &settings, keeping(file));
        assert_eq!(again.taken, count);
    }
}

#[test]
fn of_what_is_damaged_nothing_is_taken() {
    let (sources, settings, file) = kept();
    let mut random = Random::new(5);
    for round in 0..100 {
        let mut damaged = random.damaged(&file);
        // Another version of the layout, whole as it is.
        if round == 0 {
            damaged.clone_from(&file);
            damaged[8] += 1;
            damaged = sealed(damaged);
        }
        let mut kept = Some(damaged);
        let readings = next(&sources, &settings, &mut kept);
        assert_eq!((readings.taken, readings.unusable), (0, true));
        assert_eq!(kept.as_ref(), Some(&file));
    }
}

#[test]
fn what_is_forged_is_refused_or_said_at_places_of_the_text() {
    let (sources, settings, file) = kept();
    let (mut random, mut refused, mut taken) = (Random::new(7), 0, 0);
    for _ in 0..600 {
        let mut forged = file.clone();
        for _ in 0..=random.below(3) {
            let at = 44 + random.below(file.len() - 76);
            let byte = random.below(256) as u8;
            match random.below(3) {
                0 => forged[at] = random.one(&[0, 1, 0x7F, 0x80, 0xFF]),
                1 => forged[at] = byte,
                _ => drop(forged.splice(at..at + 1, [0xFF, 0xFF, 0xFF, 0xFF, byte])),
            }
        }
        let (loaded, readings) = read(&sources, &settings, Some(&sealed(forged)));
        refused += usize::from(readings.unusable);
        taken += readings.taken;
        for label in loaded
            .diagnostics
            .iter()
            .filter_map(|one| one.label.as_ref())
        {
            let source = sources.get(label.span.file).unwrap();
            assert!(source.text().get(label.span.range()).is_some());
        }
    }
    assert!(refused > 100 && taken > 100, "{refused} {taken}");
}
