//! What `compile --cache` keeps of texts: the result is the same, and what is damaged is not used.

use super::Ran;
use super::bundles::{Place, contents};
use std::fs;

/// A folder `all` with a file of what the cluster holds, long enough to be kept, and one of policies.
fn place() -> Place {
    let place = Place::new();
    let text = fs::read_to_string(place.path("old.yaml")).unwrap();
    let is_policy = |one: &&str| one.contains("kind: NetworkPolicy");
    let of = |text: &str, wanted: bool| {
        let documents = text.split("---\n").filter(|one| is_policy(one) == wanted);
        documents.collect::<Vec<_>>().join("---\n")
    };
    fs::create_dir(place.path("all")).unwrap();
    let remark = "# a long remark\n".repeat(5000);
    let cluster = format!("{}{remark}", of(&text, false));
    fs::write(place.path("all/cluster.yaml"), cluster).unwrap();
    fs::write(place.path("all/policies.yaml"), of(&text, true)).unwrap();
    place
}

fn edit(place: &Place, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(place.path(name)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(place.path(name), text.replace(from, to)).unwrap();
}

/// Compiles with the cache and without, and gives what the cache said.
fn compiled(place: &Place, round: &str) -> Ran {
    let with = place.ends(
        0,
        &format!("compile -v all --bundle with-{round} --cache kept"),
    );
    let without = place.ends(0, &format!("compile -v all --bundle without-{round}"));
    assert_eq!(
        contents(&place.path(&format!("with-{round}"))),
        contents(&place.path(&format!("without-{round}")))
    );
    let noted = with.stderr.lines();
    let told: Vec<&str> = noted.filter(|line| !line.contains("V0713")).collect();
    assert_eq!(told, without.stderr.lines().collect::<Vec<_>>());
    with
}

#[test]
fn edits_of_what_is_kept_and_beside_it_count() {
    let place = place();
    let kept = || fs::read(place.path("kept/texts")).unwrap();
    compiled(&place, "a");
    let first = kept();
    compiled(&place, "b");
    assert_eq!(kept(), first);
    edit(&place, "all/policies.yaml", "192.0.2.0", "192.0.3.0");
    compiled(&place, "c");
    assert_eq!(kept(), first);
    // Another name: the same text, under another number.
    fs::rename(place.path("all/cluster.yaml"), place.path("all/z.yaml")).unwrap();
    compiled(&place, "d");
    assert_eq!(kept(), first);
    place.ends(0, "compile all --check with-d --cache kept");
    edit(&place, "all/z.yaml", "kind: Pod", "kind: Pod # one");
    place.ends(0, "compile all --check with-d --cache kept");
    assert_ne!(kept(), first);
    compiled(&place, "e");
    fs::write(place.path("all/verdict.toml"), "host-network = \"node\"\n").unwrap();
    compiled(&place, "f");
}

#[test]
fn what_is_damaged_is_noted_and_written_anew() {
    let place = place();
    let path = place.path("kept/texts");
    compiled(&place, "a");
    let whole = fs::read(&path).unwrap();
    let mut other = whole.clone();
    // The version of the layout.
    other[8] ^= 1;
    let mut flipped = whole.clone();
    flipped[60] ^= 1;
    let damaged = [other, flipped, whole[..whole.len() / 2].to_vec()];
    for (file, round) in damaged.iter().zip(["b", "c", "d"]) {
        fs::write(&path, file).unwrap();
        let ran = compiled(&place, round);
        assert!(ran.stderr.contains("note[V0713]"), "{}", ran.stderr);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    assert!(!compiled(&place, "e").stderr.contains("V0713"));
}

/// A pipe has no end, and a device none either: neither is read, and files stand in their places afterwards.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_noted_and_not_read() {
    let place = place();
    compiled(&place, "a");
    for (name, round) in ["texts", "leaves", "images"]
        .into_iter()
        .zip(["b", "c", "d"])
    {
        let path = place.path(&format!("kept/{name}"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let ran = compiled(&place, round);
        assert!(ran.stderr.contains("note[V0713]"), "{}", ran.stderr);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }
}

/// A folder where a file is to stand cannot be written: the answer is the same, and it is said.
#[test]
fn what_cannot_be_kept_is_noted() {
    let place = place();
    compiled(&place, "a");
    for (name, round) in ["texts", "leaves", "images", "tables"]
        .into_iter()
        .zip(["b", "c", "d", "e"])
    {
        edit(
            &place,
            "all/policies.yaml",
            "metadata",
            &format!("# {round}\nmetadata"),
        );
        let path = place.path(&format!("kept/{name}"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let ran = compiled(&place, round);
        let told = format!("{name}` cannot be written: it is a folder");
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
        fs::remove_dir(&path).unwrap();
    }
}
