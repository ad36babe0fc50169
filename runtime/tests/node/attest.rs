//! What a kernel holds, by each witness.

use super::cage::{BPFFS, caged};
use super::world::{NOTHING, OTHER, TIERS, World};
use verdict_compiler::image::Image;
use verdict_runtime::node::Problems;
use verdict_runtime::{Generation, Options, Witness};

#[test]
fn either_witness_tells_one_image_from_another() {
    caged(
        "attest::either_witness_tells_one_image_from_another",
        || {
            let worlds = [World::of(TIERS), World::of(OTHER)];
            let bytes = worlds.map(|world| world.images()["n1"].clone());
            let [one, other] = [0, 1].map(|index| Image::decode(&bytes[index]).unwrap());
            let folder = std::path::Path::new(BPFFS).join("own");
            std::fs::create_dir(&folder).unwrap();
            let options = Options {
                connections: 64,
                ..Options::default()
            };
            let generation = Generation::load(&one, options).unwrap();
            let best = generation.attest(&one).unwrap();
            generation.pin(&folder).unwrap();
            for witness in [Witness::ReadBack, best] {
                generation.attest_by(&one, witness).unwrap();
                // The maps of one image, taken for those of another.
                let opened = Generation::open(&other, options, &folder).unwrap();
                let error = opened.attest_by(&other, witness).unwrap_err();
                let Problems(problems) = error.into();
                assert_eq!(problems[0].code.id, "V0804", "{witness}");
                let words = "holds something else than the image";
                assert!(
                    problems[0].message.contains(words),
                    "{}",
                    problems[0].message
                );
            }
        },
    );
}

#[test]
fn tables_without_entries_are_what_the_image_says() {
    caged(
        "attest::tables_without_entries_are_what_the_image_says",
        || {
            for v6 in [false, true] {
                let bytes = World::of_family(v6, NOTHING).images()["n1"].clone();
                let image = Image::decode(&bytes).unwrap();
                assert!(image.sections().any(|(_, length, _)| length == 0));
                let options = Options {
                    connections: 64,
                    ..Options::default()
                };
                let generation = Generation::load(&image, options).unwrap();
                let best = generation.attest(&image).unwrap();
                for witness in [Witness::ReadBack, best] {
                    generation.attest_by(&image, witness).unwrap();
                }
            }
        },
    );
}
