//! Images: what is written is proved and read back, limits hold, and what is no image is refused.

use rayon::prelude::*;
use verdict_abi::{ABI_VERSION, FORMAT_VERSION, Section, Tables};
use verdict_compiler::compile::{CompileError, Compiler};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::image::{DecodeError, Image, Limits, Memory, Resource};
use verdict_compiler::ir;
use verdict_compiler::opt;
use verdict_compiler::source::Sources;
use verdict_compiler::verify::Check;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, of_both, small, with_images};
use verdict_tests::images::{self, sealed};

fn worlds() -> u64 {
    std::env::var("VERDICT_WORLDS").map_or(60, |count| count.parse().unwrap())
}

struct Loading {
    sources: Sources,
    loaded: Loaded,
    program: ir::Program,
}

impl Loading {
    fn of(world: &World, seed: u64) -> Self {
        Self::with(world, world.load_for(seed))
    }

    fn with(world: &World, loaded: Loaded) -> Self {
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        Self {
            sources: world.sources(),
            loaded,
            program,
        }
    }

    fn compiler(&self) -> Compiler<'_> {
        Compiler::new(
            &self.loaded.cluster,
            &self.loaded.policies,
            &self.sources,
            &self.program,
        )
    }
}

#[test]
fn every_image_is_proved() {
    let mut compared = 0;
    for (seed, world, loaded) in of_both(0..worlds()).filter(with_images) {
        let loading = Loading::with(&world, loaded);
        let compiler = loading.compiler();
        for (node, pods) in compiler.lowering().nodes() {
            let made = compiler.node(*node, pods);
            let made =
                made.unwrap_or_else(|error| panic!("world {seed}: {error}\n{}", world.text()));
            compared += made.compared;
            let again = compiler.node(*node, pods).unwrap();
            assert_eq!(made.image, again.image);
        }
    }
    assert!(compared > 30_000, "only {compared} decisions were compared");
}

/// The prover finds by itself that an end is governed by other policies at one of its addresses than at another.
#[test]
fn what_has_no_image_is_not_proved() {
    let mut refused = 0;
    for (seed, world, loaded) in of_both(0..worlds()).filter(|world| !with_images(world)) {
        let loading = Loading::with(&world, loaded);
        let compiler = loading.compiler();
        for (node, pods) in compiler.lowering().nodes() {
            let Err(CompileError::Mismatch(mismatch)) = compiler.node(*node, pods) else {
                panic!("world {seed}\n{}", world.text());
            };
            assert_eq!(mismatch.by, Check::Endpoints, "world {seed}: {mismatch}");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

/// Tables in memory say what the bytes of the image say, in whatever width they are asked.
#[test]
fn tables_in_memory_are_those_of_the_bytes() {
    let bytes = some_image();
    let image = Image::decode(&bytes).unwrap();
    let memory = Memory::of(&image);
    for section in Section::ALL {
        let words = u32::try_from(image.section(section).len() / 8).unwrap();
        for index in (0..words * 4 + 4).chain([u32::MAX / 4, u32::MAX / 2, u32::MAX]) {
            assert_eq!(
                widths(&memory, section, index),
                widths(&image, section, index),
                "{section:?}[{index}]"
            );
        }
    }
}

/// What stands at an index as a word, as a half and as a quarter of one.
fn widths(tables: &impl Tables, section: Section, index: u32) -> [Option<u64>; 3] {
    [
        tables.word(section, index),
        tables.half(section, index).map(u64::from),
        tables.quarter(section, index).map(u64::from),
    ]
}

/// Tables that are made for all nodes together are those that are made for each.
#[test]
fn tables_of_all_nodes_are_those_of_each() {
    for seed in 0..worlds() {
        let world = small::world(seed);
        let loading = Loading::of(&world, seed);
        let by_node = loading.compiler();
        let nodes = by_node.lowering().nodes();
        let library = opt::Library::new(by_node.lowering(), nodes.iter());
        let together = loading.compiler().for_nodes(nodes.iter());
        for (node, pods) in nodes {
            let lowered = by_node.lowering().node(*node, pods);
            let expected = opt::optimize(lowered, |_, _| {});
            let found = library.program(by_node.lowering(), *node, pods);
            assert_eq!(found, expected, "world {seed}\n{}", world.text());
            let images = [&by_node, &together].map(|one| one.node(*node, pods).unwrap().image);
            assert_eq!(images[0], images[1], "world {seed}");
        }
    }
}

/// Neither what is made nor what is found wrong depends on how many threads there are.
#[test]
fn nothing_depends_on_the_number_of_threads() {
    let mut wrong = 0;
    for seed in [2, 4, 5, 9] {
        let loading = Loading::of(&small::world(seed), seed);
        let made = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let compiler = loading.compiler();
                let nodes = compiler.lowering().nodes().par_iter();
                let images: Vec<(Vec<u8>, u64, Option<String>)> = nodes
                    .map(|(node, pods)| {
                        let made = compiler.node(*node, pods).unwrap();
                        let lowered = compiler.lowering().node(*node, pods);
                        let mut faulty = opt::optimize(lowered, |_, _| {});
                        faulty.codes.reverse();
                        let bytes = compiler.encode(*node, pods, &faulty).unwrap();
                        let wrong = compiler.prove(*node, pods, &faulty, &bytes).err();
                        let wrong = wrong.map(|error| error.to_string());
                        (made.image.write(), made.compared, wrong)
                    })
                    .collect();
                images
            })
        });
        let [one, two, seven] = made;
        assert_eq!(one, two);
        assert_eq!(one, seven);
        wrong += one.iter().filter(|(.., wrong)| wrong.is_some()).count();
    }
    assert!(wrong > 2, "only {wrong} faults were found");
}

/// The least that an image needs is enough, and one less is refused by name, with the policies that contribute.
#[test]
fn every_limit_holds() {
    let loading = Loading::of(&small::world(4), 4);
    let compiler = loading.compiler();
    let nodes = compiler.lowering().nodes();
    let (node, pods) = nodes.iter().max_by_key(|(_, pods)| pods.len()).unwrap();
    let mut blamed = 0;
    for resource in Resource::ALL {
        let most = |most| {
            let limits = Limits::default().lower(resource, most);
            loading.compiler().with_limits(limits).node(*node, pods)
        };
        let Err(CompileError::Limit(error, _)) = most(0) else {
            panic!("there is room for no {resource}");
        };
        assert_eq!((error.of, error.most), (resource, 0));
        assert!(error.given > 0, "{error}");
        assert!(most(error.given).is_ok(), "{error}");
        let Err(CompileError::Limit(less, blame)) = most(error.given - 1) else {
            panic!("there is room for one {resource} too many");
        };
        assert_eq!(less.given, error.given);
        assert!(blame.is_sorted_by(|a, b| a.count >= b.count), "{blame:?}");
        assert!(blame.len() <= 5, "{blame:?}");
        blamed += usize::from(!blame.is_empty());
    }
    assert!(blamed > 5, "only {blamed} limits name a policy");
}

fn some_image() -> Vec<u8> {
    images::of(&small::world(4), 4)
}

#[test]
fn damage_is_refused() {
    let image = some_image();
    assert!(Image::decode(&image).is_ok());
    for length in (0..image.len()).step_by(509) {
        assert!(Image::decode(&image[..length]).is_err(), "cut at {length}");
    }
    let mut random = Random::new(7);
    for _ in 0..2000 {
        let most = if random.below(2) == 0 {
            4096
        } else {
            image.len()
        };
        let byte = random.below(most);
        let mut damaged = image.clone();
        damaged[byte] ^= 1 << random.below(8);
        assert!(Image::decode(&damaged).is_err(), "byte {byte}");
    }
}

#[test]
fn a_changed_image_with_right_digests_is_refused_or_answers_every_question() {
    let image = some_image();
    let mut random = Random::new(11);
    let mut refused = 0_u64;
    for _ in 0..3000 {
        let mut changed = image.clone();
        for _ in 0..=random.below(3) {
            let byte = if random.below(3) == 0 {
                random.below(1024)
            } else {
                random.below(changed.len())
            };
            changed[byte] = u8::try_from(random.below(256)).unwrap();
        }
        let changed = sealed(changed);
        refused += u64::from(!images::take(&changed));
    }
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn what_is_no_image_is_told_apart() {
    let image = some_image();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = image.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Image::decode(&sealed(changed))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(Image::decode(b"").unwrap_err(), DecodeError::NoImage);
    assert_eq!(with(0, b"GZIP"), "it does not begin as an image does");
    assert_eq!(
        with(16, &[1, 2, 3, 4]),
        "it was made for a machine of the other byte order"
    );
    assert_eq!(
        with(8, &[9, 0, 0, 0]),
        format!(
            "its format version is 9, newer than {FORMAT_VERSION}, the one that is read: a newer verdict made it"
        )
    );
    assert_eq!(
        with(12, &[0, 0, 0, 0]),
        format!(
            "its ABI version is 0, older than {ABI_VERSION}, the one that is read: compile it again"
        )
    );
    assert!(with(24, &[1]).starts_with("it has "));
    assert_eq!(with(32, &[99, 0, 0, 0]), "section unknown is not known");
    assert_eq!(with(32, &[2, 0, 0, 0]), "section v4 is there twice");
    let cut = Image::decode(&image[..4096]).map(|_| ()).unwrap_err();
    assert!(matches!(cut, DecodeError::Length { .. }), "{cut}");
}
