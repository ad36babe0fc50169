//! A compile that is ended halfway leaves nothing that a reader takes for whole, and what was there as it was.

use super::bundles::Place;
use super::verdict;
use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A cluster with so many nodes that a bundle has many files.
fn cluster(nodes: usize, port: u16) -> String {
    let mut text = String::new();
    for node in 0..nodes {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: n{node}}}\n\
             ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{node}, namespace: shop, labels: {{app: a{node}}}}}\n\
             spec: {{nodeName: n{node}, containers: [{{name: main}}]}}\n\
             status: {{podIPs: [{{ip: 10.0.{node}.1}}]}}\n\
             ---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{node}, namespace: shop}}\n\
             spec:\n  podSelector: {{matchLabels: {{app: a{node}}}}}\n  ingress:\n\
             \x20 - from: [{{podSelector: {{matchLabels: {{app: a{}}}}}}}]\n    ports: [{{port: {port}}}]\n",
            (node + 1) % nodes
        );
    }
    text
}

/// Ends a command by force after a while. Whether it was still running.
#[cfg(unix)]
fn ended(place: &Place, line: &str, after: Duration) -> bool {
    let mut command = verdict();
    command.args(line.split(' ')).current_dir(place.0.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(after);
    let was_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_running
}

fn hidden(place: &Place) -> usize {
    let left = fs::read_dir(place.0.path()).unwrap().flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    left.count()
}

#[cfg(unix)]
#[test]
fn a_compile_that_is_killed_leaves_nothing_half_written() {
    let place = Place::new();
    fs::write(place.path("one.yaml"), cluster(60, 80)).unwrap();
    fs::write(place.path("two.yaml"), cluster(60, 81)).unwrap();
    let start = Instant::now();
    place.ends(0, "compile one.yaml --bundle timed");
    let whole = start.elapsed();
    let mut killed = 0;
    for (form, name) in [("dir", "dir"), ("oci", "oci"), ("tar", "a.tar")] {
        let of = |file: &str| {
            format!("compile {file}.yaml --bundle {name} --bundle-format {form} --cache cache")
        };
        // Nothing is there.
        for step in 1..=8 {
            if place.path(name).exists() {
                break;
            }
            killed += usize::from(ended(&place, &of("one"), whole * step / 8));
            if place.path(name).exists() {
                place.ends(0, &format!("image verify {name} --against one.yaml"));
            }
        }
        place.ends(0, &of("one"));
        // There is a generation.
        for step in 1..=10 {
            killed += usize::from(ended(&place, &of("two"), whole * step / 10));
            let is = |file: &str| {
                let line = format!("image verify {name} --against {file}.yaml");
                place.run(&line).code == Some(0)
            };
            assert!(is("one") || is("two"), "{form}, step {step}");
            place.ends(0, &format!("image verify {name}"));
        }
        place.ends(0, &of("two"));
        place.ends(0, &format!("image verify {name} --against two.yaml"));
        if form != "tar" {
            place.ends(0, &format!("image gc {name} --keep 1"));
            place.ends(0, &format!("image verify {name} --against two.yaml"));
            let inside = fs::read_dir(place.path(name)).unwrap().flatten();
            let inside =
                inside.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
            assert_eq!(inside.count(), 0, "{form}");
            assert_eq!(hidden(&place), 0, "{form}");
        }
    }
    assert!(killed >= 5, "only {killed} were still running");
}
