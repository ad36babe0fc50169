//! Worlds that differ from another one a little, as a change under review does.

use super::random::Random;
use super::{World, small};

/// The name of the file with the cluster of a small world.
pub const CLUSTER: &str = "cluster.yaml";
/// The name of the file with its policies.
pub const POLICIES: &str = "policies.yaml";

/// A world with another cluster, other policies, or both; all are small worlds.
#[must_use]
pub fn edited(world: &World, seed: u64) -> World {
    edited_as(world, &small::world(seed ^ 0x5eed), seed)
}

/// The same, where what is other may come from a stranger.
#[must_use]
pub fn edited_as(world: &World, stranger: &World, seed: u64) -> World {
    let mut random = Random::new(seed);
    let mut edited = world.clone();
    let (policies_change, cluster_changes) =
        random.one(&[(true, false), (false, true), (true, true)]);
    if policies_change {
        let own = text(&mut edited, POLICIES);
        let mut policies = documents(own);
        match random.below(4) {
            0 => remove(&mut policies, &mut random),
            1 => policies.retain(|_| random.chance(50)),
            2 => swap(&mut policies, &mut random),
            _ => policies = documents(&text(&mut stranger.clone(), POLICIES).clone()),
        }
        *own = policies.concat();
    }
    if cluster_changes {
        let own = text(&mut edited, CLUSTER);
        let mut objects = documents(own);
        match random.below(6) {
            0 => remove(&mut objects, &mut random),
            1..=3 => (0..4).for_each(|_| swap(&mut objects, &mut random)),
            4 => objects.retain(|_| random.chance(80)),
            _ => objects = documents(&text(&mut stranger.clone(), CLUSTER).clone()),
        }
        *own = objects.concat();
    }
    edited
}

/// The same world in another order, with other names of policies.
#[must_use]
pub fn renamed(world: &World) -> World {
    let mut renamed = world.clone();
    let own = text(&mut renamed, CLUSTER);
    let mut objects = documents(own);
    objects.reverse();
    *own = objects.concat();
    let own = text(&mut renamed, POLICIES);
    let mut policies = documents(own);
    policies.reverse();
    *own = policies
        .concat()
        .replace("name: np-", "name: other-")
        .replace("name: anp-", "name: other-")
        .replace("name: cnp-", "name: other-");
    renamed
}

/// The cluster of one world with the policies of another.
#[must_use]
pub fn crossed(cluster: &World, policies: &World) -> World {
    World {
        files: vec![
            (CLUSTER.into(), text(&mut cluster.clone(), CLUSTER).clone()),
            (
                POLICIES.into(),
                text(&mut policies.clone(), POLICIES).clone(),
            ),
        ],
    }
}

/// The text of a file.
fn text<'w>(world: &'w mut World, name: &str) -> &'w mut String {
    let found = world.files.iter().position(|(own, _)| own == name);
    let index = found.unwrap_or_else(|| {
        world.files.push((name.into(), String::new()));
        world.files.len() - 1
    });
    &mut world.files[index].1
}

/// The documents of a text, each with its `---`.
fn documents(text: &str) -> Vec<String> {
    let parts = text.split("---\n").skip(1);
    parts.map(|part| format!("---\n{part}")).collect()
}

fn remove(documents: &mut Vec<String>, random: &mut Random) {
    if !documents.is_empty() {
        documents.remove(random.below(documents.len()));
    }
}

/// Other labels, ports or addresses in one of some documents.
fn swap(documents: &mut [String], random: &mut Random) {
    let index = random.below(documents.len());
    let Some(document) = documents.get_mut(index) else {
        return;
    };
    let (from, to) = random.one(&[
        ("\"0\"", "\"1\""),
        ("\"1\"", "\"0\""),
        (": 80\n", ": 81\n"),
        ("10.0.0.", "10.0.1."),
        ("node-1", "node-0"),
        ("Allow", "Deny"),
        ("TCP", "UDP"),
    ]);
    *document = document.replace(from, to);
}
