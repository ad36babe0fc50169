//! Interfaces come and go, and who is behind them is known or closed.

use super::cage::{caged, on, root, run, sh, within};
use super::faults::{enforcing, refused};
use super::net::{PATIENCE, build, ping};
use super::world::{TIERS, World, pod};
use aya::maps::{Array, Map, MapData};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::path::Path;
use std::process::Command;
use verdict_abi::datapath::Attachment;
use verdict_compiler::image::Image;

both_hooks! {
    interfaces_come_and_go
}

fn interfaces_come_and_go(hook: &str) {
    build();
    let images = World::of(TIERS).write(Path::new("/run/netns/images"));
    on("n1", &["load", &images.of("n1")]).must(0);
    on(
        "n1",
        &["attach", "--address", pod("web").v4, "--hook", hook],
    )
    .must(0);
    on(
        "n1",
        &["attach", "--address", pod("api").v6, "--hook", hook],
    )
    .must(0);
    sh("ip -n web link del eth0");
    let status = on("n1", &["status", "--format", "json"]).must(1).json();
    let states = status["attachments"].as_array().unwrap();
    let states: Vec<_> = states
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["gone", "enforced"]);
    on("n1", &["rollback"]).must(2);
    // Whatever command comes next forgets it.
    let status = on("n1", &["status", "--format", "json"]).must(0).json();
    assert_eq!(status["attachments"].as_array().unwrap().len(), 1);
    // Nor is anything known of it any more.
    assert_eq!(entries("n1", 1).len(), 1);
    // A pod that the image does not have is closed.
    sh("ip link add veth-new netns n1 type veth peer name eth0 netns web");
    let ran = on(
        "n1",
        &[
            "attach",
            "--interface",
            "veth-new",
            "--pod",
            "shop/new",
            "--hook",
            hook,
        ],
    )
    .must(1);
    assert!(
        ran.said().contains("V0806") && ran.said().contains("is closed"),
        "{}",
        ran.said()
    );
    // It turns out to be another one.
    let other = ["attach", "--interface", "veth-new", "--pod", "shop/web"];
    refused(on("n1", &other), "V0805", "protects shop/new already");
    on("n1", &[&other[..], &["--replace"]].concat()).must(0);
    let status = on("n1", &["status"]).must(0);
    assert!(
        status.stdout.contains("enforced    shop/web  veth-new"),
        "{}",
        status.stdout
    );
    assert_eq!(entries("n1", 1).len(), 2);
    on("n1", &["detach", "veth-new"]).must(0);
    assert_eq!(entries("n1", 1).len(), 1);
}

/// The entries of interfaces that a generation of a node has.
fn entries(node: &str, generation: u32) -> Vec<Attachment> {
    let pin = format!("{}/generations/{generation}/attachments", root(node));
    let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
    let map: Array<_, [u64; 8]> = map.try_into().unwrap();
    let all = map.iter().map(|words| Attachment::of_words(words.unwrap()));
    all.filter(|entry| entry.interface != 0).collect()
}

#[test]
fn who_is_behind_an_interface_is_said_by_the_next_command() {
    caged(
        "interfaces::who_is_behind_an_interface_is_said_by_the_next_command",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            on("n1", &["load", &images.of("n1")]).must(0);
            on("n1", &["attach", "--address", pod("api").v4]).must(0);
            // As a command leaves it that was killed when it had written down what is to be protected.
            let index = within("n1", || index_of("veth-web"));
            let folder = format!("{}/interfaces/{index}", root("n1"));
            sh(&format!("mkdir {folder}; ln -s shop/web {folder}/endpoint"));
            let states = |code| {
                let status = on("n1", &["status", "--format", "json"]).must(code).json();
                let all = status["attachments"].as_array().unwrap().clone();
                let words = all
                    .iter()
                    .map(|one| one["state"].as_str().unwrap().to_owned());
                words.collect::<Vec<_>>()
            };
            assert_eq!(states(1), ["unfinished", "enforced"]);
            on("n1", &["rollback"]).must(2);
            assert_eq!(states(0), ["enforced", "enforced"]);
            let image = std::fs::read(images.of("n1")).unwrap();
            let image = Image::decode(&image).unwrap();
            let known = entries("n1", 1);
            for name in ["shop/web", "shop/api"] {
                let endpoint = image.endpoint(name).unwrap();
                assert!(
                    known.iter().any(|entry| entry.endpoint == endpoint),
                    "{name}"
                );
            }
            // As one leaves it that was killed while the pod behind it changed: nobody is, and nothing passes.
            sh(&format!(
                "rm {folder}/endpoint; ln -s shop/api {folder}/endpoint"
            ));
            let pin = format!("{}/generations/1/attachments", root("n1"));
            let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
            let mut map: Array<_, [u64; 8]> = map.try_into().unwrap();
            map.set(index, [0; 8], 0).unwrap();
            assert_eq!(states(1), ["unfinished", "enforced"]);
            assert!(!ping(pod("web"), pod("api").addresses()[0], PATIENCE));
            on("n1", &["rollback"]).must(2);
            assert_eq!(states(0), ["enforced", "enforced"]);
            let endpoint = image.endpoint("shop/api").unwrap();
            assert!(
                entries("n1", 1)
                    .iter()
                    .all(|entry| entry.endpoint == endpoint)
            );
        },
    );
}

/// The index of an interface of this network namespace.
fn index_of(name: &str) -> u32 {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    netdevice::name_to_index(any, name).unwrap()
}

#[test]
fn filters_are_found_again_and_are_of_one_namespace() {
    caged(
        "interfaces::filters_are_found_again_and_are_of_one_namespace",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            let shown = |side: &str| {
                let line = ["-n", "n1", "filter", "show", "dev", "veth-web", side];
                let output = Command::new("tc").args(line).output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            on("n1", &["load", &images.of("n1")]).must(0);
            let attach = ["attach", "--address", pod("web").v4, "--hook"];
            let with = |hook| [&attach[..], &[hook]].concat();
            on("n1", &with("clsact")).must(0);
            for (side, name) in [("ingress", "egress"), ("egress", "ingress")] {
                let filters = shown(side);
                assert!(
                    filters.contains(&format!("{name} direct-action"))
                        && filters.contains("pref 1 "),
                    "{filters}"
                );
            }
            let status = on("n1", &["status"]).must(0).stdout;
            assert!(status.contains("by clsact)"), "{status}");
            on("n1", &with("auto")).must(0);
            refused(on("n1", &with("tcx")), "V0805", "is attached by clsact");
            // Another folder of pins.
            let second = within("n1", || {
                let load = ["--root", "/sys/fs/bpf/second", "load", &images.of("n1")];
                run(&load).must(0);
                run(&[&["--root", "/sys/fs/bpf/second"], &with("clsact")[..]].concat())
            });
            refused(second, "V0805", "has filters of verdict's already");
            // Somebody removes them: they are made again.
            sh("tc -n n1 filter del dev veth-web ingress; tc -n n1 qdisc del dev veth-web clsact");
            let status = on("n1", &["status", "--format", "json"]).must(1).json();
            assert_eq!(status["attachments"][0]["state"], "unfinished");
            on("n1", &["rollback"]).must(2);
            let before = enforcing("n1");
            // In another network namespace the index is that of another interface, or of none.
            let elsewhere = |arguments: &[&str]| {
                let root = root("n1");
                within("n2", || run(&[&["--root", &root], arguments].concat()))
            };
            let status = elsewhere(&["status", "--format", "json"]).must(1).json();
            assert_eq!(status["attachments"][0]["state"], "elsewhere");
            // Its filters go on as they are, and the next command there lets them run the new generation.
            let ran = elsewhere(&["load", &images.of("n1")]).must(1).said();
            assert!(
                ran.contains("warning[V0805]") && ran.contains("in another network namespace"),
                "{ran}"
            );
            let status = on("n1", &["status", "--format", "json"]).must(1).json();
            assert_eq!(status["attachments"][0]["state"], "unfinished");
            on("n1", &["rollback"]).must(0);
            assert_eq!(enforcing("n1"), before);
            // As a command leaves it that was killed while it gave up what it protected: elsewhere it is a place again.
            let root = root("n1");
            sh(&format!("mv {root}/interfaces/* {root}/removing"));
            let ran = elsewhere(&["rollback"]).must(1).said();
            assert!(ran.contains("V0805"), "{ran}");
            assert!(shown("ingress").contains("direct-action"));
            on("n1", &["rollback"]).must(0);
            assert_eq!(enforcing("n1"), before);
            sh(&format!("mv {root}/interfaces/* {root}/removing"));
            on("n1", &["rollback"]).must(0);
            assert_eq!(
                (shown("ingress"), shown("egress")),
                (String::new(), String::new())
            );
            // Everything is forgotten where it cannot be given up.
            on("n1", &with("clsact")).must(0);
            let ran = elsewhere(&["unload", "--all"]).must(1);
            assert!(ran.said().contains("V0810"), "{}", ran.said());
            assert!(!Path::new(&root).exists());
            let line = ran.said();
            let line = line
                .split("`tc ")
                .nth(1)
                .unwrap()
                .split('`')
                .next()
                .unwrap()
                .replace("NAME", "veth-web");
            sh(&format!("tc -n n1 {line}"));
            assert_eq!(shown("ingress"), "");
            sh("tc -n n1 qdisc del dev veth-web clsact");
            // And given up where it can be, also what a killed command left.
            let interface = ["attach", "--interface", "veth-web", "--pod", "shop/web"];
            on("n1", &[&interface[..], &["--hook", "clsact"]].concat()).must(1);
            assert!(shown("ingress").contains("direct-action"));
            sh(&format!("mv {root}/interfaces/* {root}/removing"));
            on("n1", &["unload", "--all"]).must(0);
            assert_eq!(
                (shown("ingress"), shown("egress")),
                (String::new(), String::new())
            );
        },
    );
}
