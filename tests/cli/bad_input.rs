//! Input that cannot be a file of the repository: folders without anything, bytes that are no text, sizes.

use super::run;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {containers: [{name: c, image: d}]}\n";

/// A folder with one file `in.yaml`.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.yaml");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Checks a text: the exit code, and what standard error must hold.
fn check(bytes: &[u8], code: i32, said: &[&str]) {
    let (_folder, path) = file(bytes);
    let ran = run(["check".as_ref(), path.as_os_str()]);
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert!(
        ran.stderr.len() < 50_000,
        "{} bytes of words",
        ran.stderr.len()
    );
    for words in said {
        assert!(
            ran.stderr.contains(words),
            "no `{words}` in:\n{}",
            ran.stderr
        );
    }
}

#[test]
fn an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(["check".as_ref(), folder.path().as_os_str()]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("error[V0004]: there is no manifest in"),
        "{}",
        ran.stderr
    );
}

#[test]
fn input_without_an_object() {
    for text in ["", "# nothing\n", "---\n---\nnull\n"] {
        check(text.as_bytes(), 2, &["error[V0004]: there is no object in"]);
    }
    check(
        b"kind: List\napiVersion: v1\nitems: []\n",
        0,
        &["no problems"],
    );
    let (_folder, empty) = file(b"");
    let (_other, pod) = file(POD.as_bytes());
    let both = run(["check".as_ref(), empty.as_os_str(), pod.as_os_str()]);
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    let none = run(["check", "-"]);
    assert_eq!(none.code, Some(2));
    let said = "there is no object in `<stdin>`";
    assert!(none.stderr.contains(said), "{}", none.stderr);
}

#[cfg(unix)]
#[test]
fn settings_that_cannot_be_read_are_not_passed_over() {
    let (folder, path) = file(POD.as_bytes());
    std::os::unix::fs::symlink("nowhere", folder.path().join("verdict.toml")).unwrap();
    let ran = run(["check".as_ref(), path.as_os_str()]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("verdict.toml` cannot be read: there is no such file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn policies_whose_names_the_server_makes_are_not_the_same() {
    let one = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {generateName: a, namespace: b}\nspec: {podSelector: {}}\n---\n";
    check(one.repeat(2).as_bytes(), 0, &["in 1 file, 2 objects"]);
    let named = one.replace("generateName", "name");
    check((one.to_owned() + &named).as_bytes(), 0, &["2 objects"]);
    check(named.repeat(2).as_bytes(), 1, &["error[V0108]"]);
}

#[test]
fn standard_input_is_given_once() {
    for arguments in [&["check", "-", "-"][..], &["check", "-", "--settings", "-"]] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(2));
        let said = "error[V0001]: `<stdin>` cannot be read twice";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}

#[test]
fn bytes_that_are_no_text() {
    let cases: [(&[u8], &[&str]); 7] = [
        (
            b"a: 1\nb: \xff\xfe\n",
            &["byte 0xff on line 2", "iconv -f ISO-8859-1"],
        ),
        (
            b"\xff\xfea\0\x00\xd8",
            &["starts as UTF-16 does", "save it as UTF-8"],
        ),
        (
            b"a\0:\0 \x001\0",
            &["UTF-16 without a byte order mark", "-f UTF-16LE"],
        ),
        (
            b"\0a\0:\0 \x001",
            &["UTF-16 without a byte order mark", "-f UTF-16BE"],
        ),
        (b"\x1f\x8b\x08\0", &["is compressed by gzip", "gunzip"]),
        (b"\x28\xb5\x2f\xfd", &["is compressed by zstd", "unzstd"]),
        (b"PK\x03\x04", &["is a zip archive", "unzip"]),
    ];
    for (bytes, said) in cases {
        check(bytes, 1, &["error[V0002]", "in 1 file,"]);
        check(bytes, 1, said);
    }
    check(
        b"\xff\xfea\0:\0 \x001\0",
        1,
        &[
            "error[V0010]: kubectl does not read UTF-16",
            "iconv -f UTF-16 ",
        ],
    );
    check(
        b"a: \0\n",
        1,
        &["error[V0010]: the control character U+0000"],
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = file(POD.as_bytes());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let ran = run(["check".as_ref(), path.as_os_str()]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("permission denied"), "{}", ran.stderr);
}

#[test]
fn deep_nesting() {
    check("[".repeat(100_000).as_bytes(), 1, &["error[V00"]);
    check("- ".repeat(100_000).as_bytes(), 1, &["error["]);
    let json = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    check(json.as_bytes(), 1, &["error["]);
}

#[test]
fn aliases_that_grow_or_go_round() {
    check(b"a: &a [*a]\n", 1, &["error["]);
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let item = format!("*a{},", level - 1).repeat(9);
        laughs.push_str(&format!("a{level}: &a{level} [{item}]\n"));
    }
    check(laughs.as_bytes(), 1, &["error[V0012]"]);
}

#[test]
fn a_broken_document_does_not_hide_the_next() {
    let text = format!("{POD}---\nfoo: [1\n---\nkind: Pod\n");
    check(text.as_bytes(), 1, &["error[V0010]", "error[V0104]"]);
}

#[test]
fn a_list_of_many_faulty_objects_ends_with_every_fault_counted() {
    let item = "- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: on}\n  spec: {podSelector: {}, podSelector: {}}\n";
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}",
        item.repeat(20_000)
    );
    check(
        text.as_bytes(),
        1,
        &["40000 errors in 1 file, 20000 objects"],
    );
}

#[test]
fn a_set_of_many_items_ends() {
    let mut text = String::from(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: a}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n  egress:\n  - action: Deny\n    to:\n    - networks:\n",
    );
    for block in 0..20_000 {
        text.push_str(&format!(
            "      - 10.{}.{}.0/24\n",
            block / 256,
            block % 256
        ));
    }
    text.push_str("      - 10.0.0.0/24\n");
    check(
        text.as_bytes(),
        1,
        &["stands twice in the list", "2 errors"],
    );
}

/// A line of some length, in megabytes, with a mistake at its end.
fn long_line(megabytes: usize) -> String {
    let filler = "x".repeat(1 << 20);
    let fillers: Vec<String> = (0..megabytes)
        .map(|index| format!("\"f{index}\":\"{filler}\""))
        .collect();
    let fillers = fillers.join(",");
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"a\",\"annotations\":{{{fillers}}}}},\"spec\":{{\"containers\":[{{\"name\":\"c\",\"image\":\"d\"}}],\"hostNetwork\":1}}}}"
    )
}

#[test]
fn a_line_of_megabytes_is_cut_around_its_mistake() {
    check(long_line(4).as_bytes(), 1, &["hostNetwork"]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes long without optimisation")]
fn a_line_of_64_megabytes_is_cut_around_its_mistake() {
    check(long_line(64).as_bytes(), 1, &["hostNetwork"]);
}

const TOO_LONG: &[&str] = &[
    "error[V0003]: a text of more than 3145728 bytes is not read",
    "the API server takes no request",
    "1 error",
];

#[test]
fn a_line_of_one_letter() {
    check("a".repeat(31 << 20).as_bytes(), 2, TOO_LONG);
}

#[test]
#[ignore = "takes seconds, and a gigabyte of memory and of disk"]
fn a_line_of_one_letter_and_a_gigabyte() {
    check("a".repeat(1 << 30).as_bytes(), 2, TOO_LONG);
}

#[test]
fn many_equal_problems_are_counted() {
    let one = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: ns}\nspec: {podSelector: {}, x: 1}\n---\n";
    check(
        one.repeat(100).as_bytes(),
        1,
        &["… and 80 more of V0101", "100 errors"],
    );
}

#[test]
fn more_connections_than_are_written_one_by_one() {
    let pods: String = (0..1_001)
        .map(|index| {
            format!(
                "---\n{}",
                POD.replace("name: a,", &format!("name: a{index},"))
            )
        })
        .collect();
    let (_folder, path) = file(pods.as_bytes());
    let list = |options: &[&str]| {
        let words = ["list".as_ref(), path.as_os_str()].into_iter();
        run(words.chain(options.iter().map(AsRef::as_ref)))
    };
    for format in ["json", "csv"] {
        let ran = list(&["--format", format]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        for words in [
            "error[V0522]: there are 1003002 connections",
            "1001000 lead to the",
            "namespace `b`",
            "--group",
            "--focus PEER",
        ] {
            assert!(
                ran.stderr.contains(words),
                "no `{words}` in:\n{}",
                ran.stderr
            );
        }
    }
    let ran = list(&["--format", "json", "--group"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ran = list(&["--format", "csv", "--focus", "b/a7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1 + 2 * 1_000 + 2);
    assert!(list(&[]).stdout.contains("every workload"));
}
