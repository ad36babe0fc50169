//! Filters of traffic control: those of others beside them, and network namespaces that are gone.

use super::cage::{caged, on, root, run, sh, within};
use super::faults::{enforcing, refused};
use super::net::{PATIENCE, build, ping};
use super::world::{TIERS, World, pod};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramInfo, SchedClassifier, TcAttachType};
use std::path::Path;
use std::process::Command;

/// The filters at the side of an interface where packets of its pod come in, first those that come first.
fn shown(node: &str, veth: &str) -> Vec<String> {
    let line = ["-n", node, "filter", "show", "dev", veth, "ingress"];
    let output = Command::new("tc").args(line).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let filters = text.lines().filter(|line| line.contains(" handle "));
    filters.map(str::to_owned).collect()
}

fn state(node: &str, code: i32) -> String {
    let status = on(node, &["status", "--format", "json"]).must(code).json();
    status["attachments"][0]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn filters_of_others_that_come_before_are_told_and_overtaken() {
    caged(
        "filters::filters_of_others_that_come_before_are_told_and_overtaken",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            on("n1", &["load", &images.of("n1")]).must(0);
            let web = pod("web");
            let spy = pod("spy").addresses()[0];
            on("n1", &["attach", "--address", web.v4, "--hook", "clsact"]).must(0);
            assert!(!ping(web, spy, PATIENCE));
            // One that lets everything pass, of the same priority: it comes before.
            let add = |what: &str| {
                let filter = "tc filter add dev veth-web ingress pref 1 protocol all";
                within("n1", || sh(&format!("{filter} {what}")));
            };
            let passing = "bpf da bytecode '1,6 0 0 0,'";
            add(passing);
            let filters = shown("n1", "veth-web");
            assert!(
                filters.len() == 2 && filters[1].contains("0x76726474"),
                "{filters:?}"
            );
            assert!(ping(web, spy, PATIENCE), "{filters:?}");
            assert_eq!(state("n1", 1), "unfinished");
            // Whatever command comes next mends it, and leaves the other where it is.
            on("n1", &["rollback"]).must(2);
            let filters = shown("n1", "veth-web");
            assert!(
                filters.len() == 2 && filters[0].contains("0x76726474"),
                "{filters:?}"
            );
            assert_eq!(state("n1", 0), "enforced");
            assert!(!ping(web, spy, PATIENCE));
            // So does one that changes the program.
            add(passing);
            on("n1", &["load", &images.of("n1"), "--pass-non-ip"]).must(0);
            assert_eq!(state("n1", 0), "enforced");
            assert!(!ping(web, spy, PATIENCE));
            // As a command leaves it that was killed while a filter stood in for another.
            let pin = format!("{}/closed/closed", root("n1"));
            let stand_in = format!("handle 0x76726473 bpf da object-pinned {pin}");
            add(&stand_in);
            assert_eq!(state("n1", 1), "unfinished");
            sh("tc -n n1 filter del dev veth-web ingress pref 1 handle 0x76726474 bpf");
            on("n1", &["rollback"]).must(0);
            let filters = shown("n1", "veth-web");
            assert!(
                filters.len() == 3 && filters[0].contains("0x76726474"),
                "{filters:?}"
            );
            assert_eq!(state("n1", 0), "enforced");
            add(&stand_in);
            on("n1", &["detach", "shop/web"]).must(0);
            let filters = shown("n1", "veth-web").concat();
            assert!(
                !filters.is_empty() && !filters.contains("0x767264"),
                "{filters}"
            );
            assert!(ping(web, spy, PATIENCE));
        },
    );
}

/// The programs at the side of an interface where packets of its pod come in, by tcx.
fn programs(node: &str, veth: &str) -> Vec<u32> {
    within(node, || {
        let (_, found) = SchedClassifier::query_tcx(veth, TcAttachType::Ingress).unwrap();
        found.iter().map(ProgramInfo::id).collect()
    })
}

/// Puts a program of a generation of a node before all others at the interface of the web pod.
fn put_first(node: &str, generation: u32) -> SchedClassifierLink {
    let pin = format!("{}/generations/{generation}/ingress", root(node));
    let mut program = SchedClassifier::from_pin(pin).unwrap();
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    within("n1", || {
        let id = program.attach_with_options("veth-web", TcAttachType::Ingress, order);
        program.take_link(id.unwrap()).unwrap()
    })
}

#[test]
fn programs_of_others_that_come_before_by_tcx_are_told_and_overtaken() {
    caged(
        "filters::programs_of_others_that_come_before_by_tcx_are_told_and_overtaken",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            on("n1", &["load", &images.of("n1")]).must(0);
            on("n1", &["load", &images.of("n1"), "--pass-non-ip"]).must(0);
            let (web, spy) = (pod("web"), pod("spy").addresses()[0]);
            on("n1", &["attach", "--address", web.v4, "--hook", "tcx"]).must(0);
            let own = programs("n1", "veth-web");
            assert_eq!((own.len(), state("n1", 0).as_str()), (1, "enforced"));
            // The program for the other direction, attached by somebody else.
            let first = |generation: u32| put_first("n1", generation);
            let other = first(2);
            let both = programs("n1", "veth-web");
            assert!(both.len() == 2 && both[1] == own[0], "{both:?}");
            assert_eq!(state("n1", 1), "unfinished");
            // Whatever command comes next mends it, and leaves the other where it is.
            on("n1", &["rollback"]).must(0);
            let mended = programs("n1", "veth-web");
            assert!(mended.len() == 2 && mended[1] == both[0], "{mended:?}");
            assert_eq!(state("n1", 0), "enforced");
            // So does one that loads.
            let third = first(1);
            on("n1", &["load", &images.of("n1"), "--force"]).must(0);
            let all = programs("n1", "veth-web");
            assert!(all.len() == 3 && all[2] == both[0], "{all:?}");
            assert_eq!(state("n1", 0), "enforced");
            drop((other, third));
            assert_eq!(programs("n1", "veth-web"), [all[0]]);
            assert!(!ping(web, spy, PATIENCE));
            on("n1", &["detach", "shop/web"]).must(0);
            assert!(programs("n1", "veth-web").is_empty());
            assert!(ping(web, spy, PATIENCE));
        },
    );
}

#[test]
fn programs_of_others_are_overtaken_where_nothing_is_loaded() {
    caged(
        "filters::programs_of_others_are_overtaken_where_nothing_is_loaded",
        || {
            build();
            let web = pod("web");
            let arguments = ["attach", "--interface", "veth-web", "--pod", "shop/web"];
            let arguments = [&arguments[..], &["--hook", "tcx"]].concat();
            on("n1", &arguments).must(1);
            let own = programs("n1", "veth-web");
            assert_eq!(own.len(), 1);
            // A program of another node stands for whoever comes before.
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            on("n2", &["load", &images.of("n2")]).must(0);
            let other = put_first("n2", 1);
            let both = programs("n1", "veth-web");
            assert!(both.len() == 2 && both[1] == own[0], "{both:?}");
            on("n1", &arguments).must(1);
            let mended = programs("n1", "veth-web");
            assert!(mended == [own[0], both[0]], "{mended:?}");
            drop(other);
            assert_eq!(programs("n1", "veth-web"), own);
            assert!(!ping(web, pod("spy").addresses()[0], PATIENCE));
        },
    );
}

#[test]
fn a_namespace_that_is_gone_keeps_no_command_from_the_rest() {
    caged(
        "filters::a_namespace_that_is_gone_keeps_no_command_from_the_rest",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            let root = root("n1");
            // A place whose index is that of no interface of the node.
            sh("ip netns add short
                ip -n short link add spare index 4711 type veth peer name eth0");
            within("short", || {
                let attach = ["attach", "--interface", "spare", "--pod", "shop/spare"];
                let how = ["--root", &root, "--hook", "clsact"];
                run(&[&attach[..], &how].concat()).must(1);
            });
            sh("ip netns del short");
            let warned = |arguments: &[&str]| {
                let ran = on("n1", arguments).must(1).said();
                let words = "warning[V0805]: interface 4711 of shop/spare is in another network";
                assert!(ran.contains(words), "{arguments:?}: {ran}");
            };
            warned(&["load", &images.of("n1")]);
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            warned(&["load", &images.of("n1"), "--pass-non-ip"]);
            warned(&["rollback"]);
            let states = || {
                let status = on("n1", &["status", "--format", "json"]).json();
                let all = status["attachments"].as_array().unwrap().clone();
                let words = all
                    .iter()
                    .map(|one| one["state"].as_str().unwrap().to_owned());
                words.collect::<Vec<_>>()
            };
            assert_eq!(states(), ["enforced", "elsewhere"]);
            assert!(!ping(pod("web"), pod("spy").addresses()[0], PATIENCE));
            // An interface that has this index here is another one.
            sh("ip -n n1 link add again index 4711 type veth peer name peer");
            let attach = ["attach", "--interface", "again", "--pod", "shop/spare"];
            refused(on("n1", &attach), "V0805", "another network namespace");
            refused(
                on("n1", &["detach", "again"]),
                "V0805",
                "nothing is attached",
            );
            // Nothing passes where it can be reached, and the other is not said to be closed.
            let ran = on("n1", &["unload"]).must(0).said();
            assert!(!ran.contains("4711 of shop/spare is closed"), "{ran}");
            on("n1", &["load", &images.of("n1")]).must(1);
            let ran = on("n1", &["detach", "4711"]).must(1).said();
            assert!(ran.contains("V0810") && ran.contains("forgotten"), "{ran}");
            assert_eq!(states(), ["enforced"]);
            on("n1", &["load", &images.of("n1"), "--pass-non-ip"]).must(0);
            enforcing("n1");
        },
    );
}
