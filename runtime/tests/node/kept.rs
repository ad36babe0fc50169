//! Images that another verdict loaded.

use super::cage::{caged, on, root, sh};
use super::faults::{enforcing, refused};
use super::net::build;
use super::world::{OTHER, TIERS, World, pod};
use aya::maps::{Array, Map, MapData};
use std::path::Path;

/// Puts another first word into the map with the rest of an image, as another verdict would have made it.
fn age(folder: &str) {
    let pin = format!("{folder}/image");
    let map = Map::from_map_data(MapData::from_pin(&pin).unwrap()).unwrap();
    let old: Array<_, u64> = map.try_into().unwrap();
    let mut words: Vec<u64> = old.iter().map(Result::unwrap).collect();
    assert_eq!(words[0], u64::from_le_bytes(*b"verdict\x02"));
    words[0] = u64::from_le_bytes(*b"verdict\x01");
    sh(&format!("rm {pin}"));
    let mapped = 1 << 10;
    let mut new =
        Array::<MapData, u64>::create(u32::try_from(words.len()).unwrap(), mapped).unwrap();
    for (index, word) in (0..).zip(words) {
        new.set(index, word, 0).unwrap();
    }
    new.pin(&pin).unwrap();
}

#[test]
fn what_another_verdict_loaded_is_told_and_is_loaded_again() {
    caged(
        "kept::what_another_verdict_loaded_is_told_and_is_loaded_again",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            let others = World::of(OTHER).write(Path::new("/run/netns/others"));
            on("n1", &["load", &others.of("n1")]).must(0);
            on("n1", &["load", &images.of("n1")]).must(0);
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            let before = enforcing("n1");
            let generations = format!("{}/generations", root("n1"));
            age(&format!("{generations}/1"));
            refused(on("n1", &["rollback"]), "V0809", "by another verdict");
            assert_eq!(enforcing("n1"), before);
            age(&format!("{generations}/2"));
            for arguments in [&["status"][..], &["attach", "--address", pod("api").v4]] {
                refused(
                    on("n1", arguments),
                    "V0809",
                    "generations/2` was loaded by another verdict",
                );
            }
            on("n1", &["load", &images.of("n1")]).must(0);
            assert_eq!(enforcing("n1"), before);
        },
    );
}
