//! What is attached is told, is found again by what it is called, and is of one network namespace; lost pins block nothing.

use super::cage::{on, root, run, sh, within};
use super::faults::{enforcing, refused};
use super::net::build;
use super::world::{OTHER, TIERS, World, pod};
use serde_json::Value;
use std::path::Path;

both_hooks! {
    what_is_attached_is_told_and_given_up_by_its_names
    an_interface_is_of_one_network_namespace
    lost_pins_block_nothing
}

/// The names of the interfaces in a list of an answer.
fn interfaces(list: &Value) -> Vec<&str> {
    let all = list.as_array().unwrap().iter();
    all.map(|one| one["interface"].as_str().unwrap()).collect()
}

fn images() -> (String, String) {
    let tiers = World::of(TIERS).write(Path::new("/run/netns/images"));
    let other = World::of(OTHER).write(Path::new("/run/netns/other"));
    (tiers.of("n1"), other.of("n1"))
}

fn attach(interface: &str, pod: &str, hook: &str) -> Vec<String> {
    let words = [
        "attach",
        "--interface",
        interface,
        "--pod",
        pod,
        "--hook",
        hook,
        "--format",
        "json",
    ];
    words.map(str::to_owned).to_vec()
}

/// Runs a command on the first node.
fn n1(arguments: &[String]) -> super::cage::Ran {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    on("n1", &words)
}

fn what_is_attached_is_told_and_given_up_by_its_names(hook: &str) {
    build();
    let (image, other) = images();
    refused(
        on("n1", &["attach", "--address", pod("web").v4]),
        "V0805",
        "nothing is loaded",
    );
    on("n1", &["load", &image]).must(0);
    let done = n1(&attach("veth-web", "shop/web", hook)).must(0).json();
    assert_eq!(interfaces(&done["attached"]), ["veth-web"]);
    assert_eq!(done["attached"][0]["endpoint"], "shop/web");

    // The same image again is nothing new, and `rollback` goes where it went.
    on("n1", &["load", &other]).must(0);
    let again = on("n1", &["load", &other, "--format", "json"])
        .must(0)
        .json();
    assert_eq!(
        (&again["unchanged"], &again["generation"]),
        (&true.into(), &2.into())
    );
    let status = on("n1", &["status", "--format", "json"]).must(0).json();
    assert_eq!(status["previous"]["number"], 1);
    let said = on("n1", &["load", &other]).must(0).stdout;
    assert!(said.contains("is this image already"), "{said}");
    // Asked for other settings, or by force, it is loaded.
    let set = on("n1", &["load", &other, "--pass-non-ip", "--format", "json"])
        .must(0)
        .json();
    assert_eq!(
        (&set["unchanged"], &set["generation"]),
        (&false.into(), &3.into())
    );
    let forced = [
        "load",
        &other,
        "--pass-non-ip",
        "--force",
        "--format",
        "json",
    ];
    assert_eq!(on("n1", &forced).must(0).json()["generation"], 4);

    // A pod at two interfaces is told, and both are named when it is given up.
    let twice = n1(&attach("veth-api", "shop/web", hook)).must(0);
    assert!(twice.said().contains("V0812"), "{}", twice.said());
    assert_eq!(twice.json()["warnings"][0]["code"], "V0812");
    let done = on("n1", &["detach", "shop/web", "--format", "json"])
        .must(0)
        .json();
    let mut names = interfaces(&done["detached"]);
    names.sort_unstable();
    assert_eq!(names, ["veth-api", "veth-web"]);

    // An interface that protects a pod is not given to another one in passing.
    n1(&attach("veth-web", "shop/web", hook)).must(0);
    let before = enforcing("n1");
    refused(
        n1(&attach("veth-web", "shop/api", hook)),
        "V0805",
        "protects shop/web already",
    );
    refused(
        on(
            "n1",
            &["attach", "--address", pod("web").v4, "--pod", "shop/api"],
        ),
        "V0805",
        "protects shop/web already",
    );
    assert_eq!(enforcing("n1"), before);

    // What is gone is called as `status` calls it: by the pod, or by its index.
    for by_index in [false, true] {
        sh("ip -n web link del eth0");
        let status = on("n1", &["status", "--format", "json"]).must(1).json();
        let gone = &status["attachments"][0];
        assert_eq!(gone["state"], "gone");
        let index = gone["number"].to_string();
        assert_eq!(gone["interface"], *index);
        let name = if by_index { &index } else { "shop/web" };
        let done = on("n1", &["detach", name, "--format", "json"])
            .must(0)
            .json();
        assert_eq!(interfaces(&done["detached"]), [index.as_str()]);
        refused(on("n1", &["detach", name]), "V0805", "nothing is attached");
        sh("ip link add veth-web netns n1 type veth peer name eth0 netns web");
        n1(&attach("veth-web", "shop/web", hook)).must(0);
    }
}

fn an_interface_is_of_one_network_namespace(hook: &str) {
    build();
    let (image, other) = images();
    // Two interfaces of one index.
    for (namespace, name) in [("aa", "host-a"), ("bb", "host-b")] {
        sh(&format!(
            "ip netns add {namespace}; ip -n {namespace} link add {name} index 77 type veth peer name peer"
        ));
    }
    let root = root("n1");
    let of = |namespace: &str, arguments: &[&str]| {
        within(namespace, || run(&[&["--root", &root], arguments].concat()))
    };
    let attach = |namespace: &str, interface: &str, pod: &str| {
        let line = [
            "attach",
            "--interface",
            interface,
            "--pod",
            pod,
            "--hook",
            hook,
        ];
        of(namespace, &[&line[..], &["--replace"]].concat())
    };
    of("aa", &["load", &image]).must(0);
    attach("aa", "host-a", "shop/web").must(0);
    refused(
        attach("bb", "host-b", "shop/api"),
        "V0805",
        "in another network namespace",
    );
    refused(
        attach("bb", "host-b", "shop/web"),
        "V0805",
        "in another network namespace",
    );
    refused(
        of("bb", &["detach", "shop/web"]),
        "V0805",
        "in another network namespace",
    );
    if hook == "tcx" {
        refused(
            of("bb", &["detach", "77"]),
            "V0805",
            "another network namespace",
        );
    }
    let here = of("aa", &["status"]).must(0).stdout;
    assert!(
        here.contains("enforced    shop/web  host-a (interface 77"),
        "{here}"
    );
    let there = of("bb", &["status"]);
    let text = &there.stdout;
    assert!(
        text.contains("shop/web  in another network namespace (interface 77"),
        "{text}"
    );
    let status = of("bb", &["status", "--format", "json"]).json();
    let own = &status["attachments"][0];
    assert_eq!(
        (&own["elsewhere"], &own["interface"]),
        (&true.into(), &"77".into())
    );
    if hook == "tcx" {
        // Links can be changed and looked at from everywhere.
        assert_eq!(own["state"], "enforced");
        of("bb", &["load", &other]).must(0);
        of("aa", &["status"]).must(0);
        of("bb", &["unload", "--all"]).must(0);
    } else {
        assert_eq!(own["state"], "elsewhere");
        of("aa", &["unload", "--all"]).must(0);
    }
    assert!(!Path::new(&root).exists());
    attach("bb", "host-b", "shop/api").must(1);
    of("bb", &["unload", "--all"]).must(0);
}

fn lost_pins_block_nothing(hook: &str) {
    build();
    let (image, other) = images();
    let root = root("n1");
    let lose = || {
        on("n1", &["load", &image]).must(0);
        for name in ["web", "api"] {
            let (veth, path) = (pod(name).veth(), pod(name).path());
            n1(&attach(&veth, &path, hook)).must(0);
        }
        let line = format!(
            "for pin in {root}/interfaces/*; do readlink $pin/endpoint | grep -q web && rm $pin/endpoint; done; mkdir {root}/interfaces/stray"
        );
        sh(&format!("set +e; {line}"));
    };
    let lost = || {
        let status = on("n1", &["status", "--format", "json"]);
        assert!(status.said().contains("V0809"), "{}", status.said());
        let status = status.must(1).json();
        let all = status["attachments"].as_array().unwrap().iter();
        let words = all.map(|one| one["state"].as_str().unwrap().to_owned());
        assert_eq!(status["damaged"].as_array().unwrap().len(), 2, "{status}");
        words.collect::<Vec<_>>()
    };
    lose();
    assert_eq!(lost(), ["damaged", "enforced"]);
    // A load goes on; who is not known is closed by it.
    let loaded = on("n1", &["load", &other]).must(1);
    assert!(
        loaded.said().contains("who is behind it"),
        "{}",
        loaded.said()
    );
    assert_eq!(lost(), ["damaged", "enforced"]);
    // Attached again, it is whole.
    n1(&attach("veth-web", "shop/web", hook)).must(0);
    sh(&format!("rmdir {root}/interfaces/stray"));
    enforcing("n1");
    on("n1", &["unload", "--all"]).must(0);
    // Or given up.
    lose();
    let done = on("n1", &["detach", "veth-web", "--format", "json"])
        .must(0)
        .json();
    assert_eq!(interfaces(&done["detached"]), ["veth-web"]);
    n1(&attach("veth-web", "shop/web", hook)).must(0);
    sh(&format!("rmdir {root}/interfaces/stray"));
    // Or everything is.
    lose();
    let done = on("n1", &["unload", "--all", "--format", "json"])
        .must(0)
        .json();
    assert_eq!(interfaces(&done["detached"]), ["veth-web", "veth-api"]);
    assert!(!Path::new(&root).exists());
    n1(&attach("veth-web", "shop/web", hook)).must(1);
}
