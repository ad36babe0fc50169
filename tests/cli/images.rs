//! `compile` and `image`: what is written, and what is refused.

use super::run;
use std::fs;
use std::path::Path;

const CLUSTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testdata/cli/programs.in/cluster.yaml"
);

fn compile(path: &str, out: &Path, more: &[&str]) -> super::Ran {
    let mut arguments = vec!["compile", path, "--out", out.to_str().unwrap()];
    arguments.extend(more);
    run(arguments)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_node_has_an_image_and_the_order_of_files_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("one");
    let ran = compile(CLUSTER, &one, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(names(&one), ["worker-1.image", "worker-2.image"]);
    assert!(
        ran.stdout.contains("worker-1.image: 1 endpoint"),
        "{}",
        ran.stdout
    );

    // The same documents in other files and in another order: places differ, so the source table does, and no map.
    let text = fs::read_to_string(CLUSTER).unwrap();
    let mut documents: Vec<&str> = text.split("---\n").collect();
    documents.reverse();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    for (document, index) in documents.iter().zip(0..) {
        fs::write(manifests.join(format!("{index}.yaml")), document).unwrap();
    }
    let other = folder.path().join("other");
    compile(manifests.to_str().unwrap(), &other, &[]);
    let inspect = |folder: &Path| -> serde_json::Value {
        let image = folder.join("worker-1.image");
        let ran = run([
            "image",
            "inspect",
            image.to_str().unwrap(),
            "--format",
            "json",
        ]);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        report["images"][0]["sections"].clone()
    };
    assert_eq!(inspect(&one), inspect(&other));
    let again = folder.path().join("again");
    compile(CLUSTER, &again, &["--node", "worker-1"]);
    assert_eq!(names(&again), ["worker-1.image"]);
    let [first, second] =
        [&one, &again].map(|folder| fs::read(folder.join("worker-1.image")).unwrap());
    assert_eq!(first, second);
}

/// A policy that cannot be read may be one that denies: no image goes without it in silence.
#[test]
fn an_image_that_lacks_a_policy_is_made_only_on_request_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::copy(CLUSTER, manifests.join("cluster.yaml")).unwrap();
    let policy = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testdata/cli/unusable.in/policies.yaml"
    );
    fs::copy(policy, manifests.join("policies.yaml")).unwrap();
    let manifests = manifests.to_str().unwrap();
    let out = folder.path().join("out");
    let ran = compile(manifests, &out, &[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("no image: it would lack"),
        "{}",
        ran.stderr
    );
    assert!(!out.exists());
    let ran = compile(manifests, &out, &["--keep-going"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let image = out.join("worker-1.image");
    let image = image.to_str().unwrap();
    let ran = run(["image", "inspect", image]);
    assert!(
        ran.stdout
            .contains("incomplete    policies without a defined meaning"),
        "{}",
        ran.stdout
    );
    let flow = ["--from", "192.0.2.1", "--to", "shop/api", "--port", "80"];
    let ran = run(["image", "explain", image].into_iter().chain(flow));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("incomplete: "), "{}", ran.stdout);
}

/// An image has one leaf for an address, so it cannot say of two pods at once what the policies say.
#[test]
fn two_owners_of_an_address_have_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("cluster.yaml");
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x}}\n\
             spec: {{containers: [{{name: c, image: i}}]}}\nstatus: {{podIP: 10.0.0.2}}\n---\n"
        )
    };
    fs::write(&manifests, pod("a") + &pod("b")).unwrap();
    let out = folder.path().join("out");
    let ran = compile(manifests.to_str().unwrap(), &out, &["--keep-going"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("error[V0304]") && ran.stderr.contains("no image: "),
        "{}",
        ran.stderr
    );
    assert!(!out.exists());
}

/// Rules for the ports that have one bit set, and one rule for each bit: no two ports are alike.
#[test]
fn more_classes_of_ports_than_an_image_has_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let rules: String = (0..16)
        .map(|bit| {
            let ports = (0..1_u32 << 16).step_by(2 << bit).map(|first| {
                let (first, last) = (first + (1 << bit), first + (2 << bit) - 1);
                format!("{{port: {first}, endPort: {last}}}")
            });
            let ports: Vec<String> = ports.collect();
            format!(
                "  - from: [{{podSelector: {{matchLabels: {{bit: b{bit}}}}}}}]\n    ports: [{}]\n",
                ports.join(", ")
            )
        })
        .collect();
    let pods: String = (0..17).map(|bit| format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{bit}, namespace: x, labels: {{bit: b{bit}}}}}\n\
         spec: {{containers: [{{name: c, image: i}}]}}\nstatus: {{podIP: 10.0.0.{bit}}}\n"
    )).collect();
    let policy = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                  metadata: {name: bits, namespace: x}\n\
                  spec:\n  podSelector: {matchLabels: {bit: b16}}\n  ingress:\n";
    let manifests = folder.path().join("cluster.yaml");
    fs::write(&manifests, format!("{pods}{policy}{rules}")).unwrap();
    let out = folder.path().join("out");
    let ran = compile(manifests.to_str().unwrap(), &out, &[]);
    assert_eq!(ran.code, Some(2));
    for words in [
        "error[V0701]",
        "65537 classes of ports, and an image",
        "`NetworkPolicy/x/bits` has 65535 ports, more than any other policy",
    ] {
        assert!(
            ran.stderr.contains(words),
            "no `{words}` in:\n{}",
            ran.stderr
        );
    }
    assert!(!out.exists());
}

#[test]
fn a_pod_reaches_itself() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("cluster.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n\
        spec: {containers: [{name: c, image: i}]}\nstatus: {podIP: 10.0.0.2}\n---\n\
        apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: closed}\n\
        spec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n  \
        ingress: [{action: Deny, from: [{namespaces: {}}]}]\n";
    fs::write(&manifests, text).unwrap();
    let out = folder.path().join("out");
    let ran = compile(manifests.to_str().unwrap(), &out, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let image = out.join("_unassigned.image");
    let ask = |to: &str| {
        let ran = run([
            "image",
            "explain",
            image.to_str().unwrap(),
            "--from",
            "x/a",
            "--to",
            to,
            "--port",
            "80",
        ]);
        ran.code
    };
    assert_eq!(ask("x/a"), Some(0));
    assert_eq!(ask("10.0.0.2"), Some(0));
}

#[test]
fn an_answer_does_not_replace_an_image() {
    let folder = tempfile::tempdir().unwrap();
    compile(CLUSTER, folder.path(), &[]);
    let image = folder.path().join("worker-1.image");
    let before = fs::read(&image).unwrap();
    let ran = compile(
        CLUSTER,
        folder.path(),
        &["--output", image.to_str().unwrap()],
    );
    assert_eq!(ran.code, Some(2));
    assert_eq!(fs::read(&image).unwrap(), before);
}

#[test]
fn the_order_of_arguments_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(CLUSTER).unwrap();
    let (pods, policies) = text.split_at(text.rfind("---\n").unwrap());
    let paths = [("pods.yaml", pods), ("policies.yaml", policies)].map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let [one, other] = [[0, 1], [1, 0]].map(|order| {
        let out = folder.path().join(format!("{order:?}"));
        let [first, second] = order.map(|index: usize| paths[index].as_str());
        let ran = compile(first, &out, &[second]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        fs::read(out.join("worker-1.image")).unwrap()
    });
    assert_eq!(one, other);
}

/// Whenever it is killed, every image in the folder is whole: that of before, or the new one.
#[test]
fn what_is_interrupted_leaves_whole_images() {
    use std::fmt::Write as _;
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("many.yaml");
    let mut text = fs::read_to_string(CLUSTER).unwrap();
    for node in 10..40 {
        write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web-{node}, namespace: shop, labels: {{app: web}}}}\n\
             spec: {{nodeName: worker-{node}, containers: [{{name: main}}]}}\nstatus: {{podIPs: [{{ip: 10.0.2.{node}}}]}}\n"
        )
        .unwrap();
    }
    fs::write(&manifests, text).unwrap();
    let manifests = manifests.to_str().unwrap();
    let whole = folder.path().join("whole");
    let start = Instant::now();
    assert_eq!(compile(manifests, &whole, &[]).code, Some(0));
    let took = start.elapsed();
    let out = folder.path().join("out");
    let mut interrupted = 0;
    for eighth in 1..=8_u32 {
        let mut child = super::verdict()
            .args(["compile", manifests, "--out", out.to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep((took / 8 * eighth).min(Duration::from_secs(20)));
        child.kill().unwrap();
        interrupted += usize::from(!child.wait().unwrap().success());
        let found = if out.exists() {
            names(&out)
        } else {
            Vec::new()
        };
        for name in found.iter().filter(|name| name.ends_with(".image")) {
            let [found, expected] =
                [&out, &whole].map(|folder| fs::read(folder.join(name)).unwrap());
            assert!(found == expected, "{name} is not whole");
        }
    }
    assert!(interrupted > 0, "it was never interrupted");
}

#[test]
fn an_image_replaces_nothing_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("worker-1.image");
    fs::copy(CLUSTER, &manifest).unwrap();
    let before = fs::read(&manifest).unwrap();
    let ran = compile(manifest.to_str().unwrap(), folder.path(), &[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("is read"), "{}", ran.stderr);
    assert_eq!(fs::read(&manifest).unwrap(), before);
}

#[test]
fn passes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let ran = compile(
        CLUSTER,
        folder.path(),
        &["--explain-passes", "--format", "json"],
    );
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let passes = report["images"][0]["passes"].as_array().unwrap();
    let names: Vec<&str> = passes
        .iter()
        .map(|pass| pass["pass"].as_str().unwrap())
        .collect();
    assert_eq!(names.first(), Some(&"lowered"));
    assert!(
        names.contains(&"identity-classes") && names.contains(&"tabulate"),
        "{names:?}"
    );
    assert!(report["images"][0]["compared"].as_u64() > Some(0));
    let ran = compile(CLUSTER, folder.path(), &["--explain-passes"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let of = |pass: &str| {
        lines
            .iter()
            .find(|line| line.trim_start().starts_with(pass))
    };
    assert!(of("pass ").is_some_and(|line| line.ends_with("codes")));
    // The tables come of rules, and sets are gone with them.
    let words: Vec<&str> = of("tabulate").unwrap().split_whitespace().collect();
    assert!(words.len() > 3 && words.contains(&"0"), "{words:?}");
}

#[test]
fn nothing_is_written_where_there_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "foo: [1\n").unwrap();
    for (path, more) in [
        (broken.to_str().unwrap(), &[][..]),
        (CLUSTER, &["--node", "worker-9"]),
        ("no-such-file.yaml", &[]),
    ] {
        let ran = compile(path, &out, more);
        assert_eq!(ran.code, Some(2), "{path}: {}", ran.stderr);
        assert!(!out.exists());
    }
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    let ran = compile(CLUSTER, &taken, &[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cannot be written"), "{}", ran.stderr);
}

#[test]
fn what_is_no_image_is_refused_and_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    compile(CLUSTER, folder.path(), &[]);
    let good = folder.path().join("worker-1.image");
    let bad = folder.path().join("bad.image");
    let mut bytes = fs::read(&good).unwrap();
    bytes[4100] ^= 1;
    fs::write(&bad, bytes).unwrap();
    let ran = run(["image", "inspect", bad.to_str().unwrap(), CLUSTER]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("V0702").count(), 2, "{}", ran.stderr);
    let ran = run(["image", "inspect", "no-such.image"]);
    assert_eq!(ran.code, Some(2));
    let ran = run(["image", "inspect", good.to_str().unwrap()]);
    assert!(ran.stdout.contains("shop/api"), "{}", ran.stdout);
    let dominates = "largest is v4, which grows with the addresses of the cluster";
    assert!(ran.stdout.contains(dominates), "{}", ran.stdout);
}

#[test]
fn an_image_says_what_the_manifests_say() {
    let folder = tempfile::tempdir().unwrap();
    compile(CLUSTER, folder.path(), &[]);
    let image = folder.path().join("worker-1.image");
    let ask = |from: &str, to: &str, port: &str| {
        let image = image.to_str().unwrap();
        run([
            "image", "explain", image, "--from", from, "--to", to, "--port", port,
        ])
    };
    for (from, port, code, verdict) in [
        ("10.0.1.7", "8080/TCP", 0, "allow"),
        ("192.0.2.9", "8080/TCP", 0, "allow"),
        ("10.0.1.7", "8081/TCP", 1, "deny"),
        ("10.0.1.7", "/47", 1, "deny"),
        ("10.0.1.7", "8/ICMP", 1, "deny"),
        ("8.8.8.8", "8080/TCP", 1, "deny"),
        ("172.18.0.1", "9/UDP", 0, "allow"),
        ("172.18.0.2", "9/UDP", 1, "deny"),
    ] {
        let ran = ask(from, "shop/api", port);
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(code), ""),
            "{from} {port}"
        );
        assert!(
            ran.stdout.starts_with(&format!(
                "{verdict}: {from} to shop/api (10.0.0.7), {port}\n"
            )),
            "{}",
            ran.stdout
        );
        let from_manifests = run([
            "explain", CLUSTER, "--from", from, "--to", "shop/api", "--port", port,
        ]);
        assert_eq!(from_manifests.code, Some(code), "{}", from_manifests.stdout);
    }
    let ran = ask("10.0.1.7", "shop/api", "8080/TCP");
    assert!(
        ran.stdout
            .contains("by NetworkPolicy/shop/api spec.ingress[0]"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("cluster.yaml:"), "{}", ran.stdout);
    let ran = ask("10.0.0.7", "10.0.0.7", "80/TCP");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    for (from, to, port, why) in [
        (
            "shop/web",
            "shop/api",
            "80/TCP",
            "knows other pods by their addresses only",
        ),
        (
            "nowhere[app=web]",
            "shop/api",
            "80/TCP",
            "in a namespace that this image does not know",
        ),
        ("1.2.3.4", "1.2.3.5", "80/TCP", "neither end is an endpoint"),
        ("::1", "shop/api", "80/TCP", "no address of one family"),
        ("1.2.3.4", "shop/api", "ANY", "more than one packet"),
        ("1.2.3.4", "shop/api", "http/TCP", "more than one packet"),
        ("1.2.3.4", "shop/api", "99999/TCP", "is no port"),
    ] {
        let ran = ask(from, to, port);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_with_an_image_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    compile(CLUSTER, folder.path(), &[]);
    let good = fs::read(folder.path().join("worker-1.image")).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    for (name, bytes, why) in [
        (
            "truncated",
            good[..good.len() - 4096].to_vec(),
            "bytes, and its header says",
        ),
        ("short", good[..100].to_vec(), "it has 100 bytes"),
        ("corrupted", with(4096, b"\xff\xfe\xfd"), "it is damaged"),
        (
            "header",
            with(40, b"\xff"),
            "the digest of its header does not fit: it is damaged",
        ),
        (
            "foreign",
            with(16, &[1, 2, 3, 4]),
            "it was made for a machine of the other byte order",
        ),
        (
            "newer-format",
            with(8, &[200, 0, 0, 0]),
            "its format version is 200, newer than",
        ),
        (
            "newer-tables",
            with(12, &[200, 0, 0, 0]),
            "its ABI version is 200, newer than",
        ),
        (
            "older",
            with(8, &[0, 0, 0, 0]),
            "its format version is 0, older than",
        ),
        (
            "other",
            b"apiVersion: v1".to_vec(),
            "it does not begin as an image does",
        ),
        ("empty", Vec::new(), "it does not begin as an image does"),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let file = file.to_str().unwrap();
        let asked = ["--from", "10.0.1.7", "--to", "shop/api", "--port", "80"];
        for arguments in [
            vec!["inspect", file],
            [&["explain", file][..], &asked].concat(),
        ] {
            let ran = run([&["image"][..], &arguments].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{name}");
            let words = ran.stderr.split_whitespace().filter(|word| *word != "│");
            let said: Vec<&str> = words.collect();
            assert!(
                said.join(" ").contains(why) && ran.stderr.contains("V0702"),
                "{name}: {}",
                ran.stderr
            );
        }
    }
}

#[test]
fn an_image_knows_what_becomes_of_pods_that_do_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    compile(CLUSTER, folder.path(), &[]);
    let image = folder.path().join("worker-1.image");
    let image = image.to_str().unwrap();
    for (from, to, port, code, by) in [
        (
            "shop[app=web]",
            "shop/api",
            "8080/TCP",
            0,
            "spec.ingress[0]",
        ),
        ("shop[app=other]", "shop/api", "8080/TCP", 1, ""),
        ("[team=blue]/[app=web]", "shop/api", "8080/TCP", 1, ""),
        (
            "shop[app=web]",
            "shop/api",
            "8081/TCP",
            1,
            "isolates, and no rule allows it",
        ),
        ("shop/api", "[team=blue]/[app=web]", "80/TCP", 0, ""),
        // A pod that is selected by the policy, wherever it will run.
        (
            "10.0.1.7",
            "shop[app=api]",
            "9/UDP",
            1,
            "isolates, and no rule allows it",
        ),
        ("8.8.8.8", "shop[app=web]", "9/UDP", 0, ""),
    ] {
        let asked = ["--from", from, "--to", to, "--port", port];
        let ran = run([&["image", "explain", image][..], &asked].concat());
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(code), ""),
            "{from}: {}",
            ran.stdout
        );
        assert!(ran.stdout.contains(by), "{from}: {}", ran.stdout);
        let by_manifests = run([&["explain", CLUSTER][..], &asked].concat());
        assert_eq!(
            by_manifests.code,
            Some(code),
            "{from}: {}",
            by_manifests.stdout
        );
    }
}

#[test]
fn every_engine_explains_alike() {
    for (from, to, port) in [
        ("shop/web", "shop/api", "8080/TCP"),
        ("shop/web", "shop/api", "80-9000/TCP"),
        ("shop[app=web]", "shop/api", "http/TCP"),
        ("192.0.2.9", "shop/api", "ANY"),
        ("node/worker-1", "shop/api", "8/ICMP"),
        ("entity:world", "shop/api", "8080/TCP"),
    ] {
        let said = ["spec", "ir", "image"].map(|engine| {
            let asked = [
                "--from", from, "--to", to, "--port", port, "--format", "json",
            ];
            let ran = run([&["explain", CLUSTER, "--engine", engine][..], &asked].concat());
            (ran.code, ran.stdout)
        });
        assert_eq!(said[0], said[1], "{from}");
        assert_eq!(said[0], said[2], "{from}");
    }
}
