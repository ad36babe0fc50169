//! Where things go: standard output, standard error, files, and readers that go away.

use super::{ran, run, verdict};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

const BROKEN: &str = "foo: [1\n";

#[test]
fn standard_input_is_a_path() {
    let mut child = verdict()
        .args(["check", "-", "--format", "concise"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(BROKEN.as_bytes()).unwrap();
    drop(stdin);
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("<stdin>:"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
}

#[cfg(target_os = "linux")]
#[test]
fn what_has_no_end_is_refused() {
    let zero = || fs::File::open("/dev/zero").unwrap();
    for path in ["-", "/dev/zero"] {
        let output = verdict().args(["check", path]).stdin(zero()).output();
        let ran = ran(output.unwrap());
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("V0003"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("1073741824 are read at most"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn one_side_of_a_comparison_may_be_standard_input() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/diff/tiers/");
    let [before, after] = ["before.yaml", "after.yaml"].map(|name| format!("{folder}{name}"));
    for (old, new, input) in [("-", &*after, &before), (&*before, "-", &after)] {
        let output = verdict()
            .args(["diff", old, new, "--format", "json"])
            .stdin(fs::File::open(input).unwrap())
            .output();
        let ran = ran(output.unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
        assert!(ran.stdout.contains("<stdin>"), "{}", ran.stdout);
    }
}

#[test]
fn machine_formats_go_to_standard_output_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.yaml");
    fs::write(&path, BROKEN).unwrap();
    for format in [
        "concise", "json", "jsonl", "github", "sarif", "markdown", "junit",
    ] {
        let ran = run(["check", path.to_str().unwrap(), "--format", format]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{format}");
        assert!(ran.stdout.contains("V0010"), "{format}: {}", ran.stdout);
        if ["json", "sarif"].contains(&format) {
            let _: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        }
    }
    let ran = run(["check", path.to_str().unwrap()]);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("V0010"));
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.yaml");
    fs::write(&path, BROKEN).unwrap();
    let check = |output: &str| {
        let output = folder.path().join(output);
        let arguments = [
            "check",
            path.to_str().unwrap(),
            "--format",
            "json",
            "--output",
        ];
        let ran = ran(verdict().args(arguments).arg(&output).output().unwrap());
        let said = ran
            .stderr
            .replace(folder.path().to_str().unwrap(), "FOLDER");
        assert!(!said.contains(".verdict-"), "{said}");
        let said = said.lines().last().unwrap_or_default().to_owned();
        (
            ran.code,
            ran.stdout + &said,
            fs::read_to_string(output).ok(),
        )
    };
    let (code, stdout, text) = check("out.json");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(text.unwrap().contains("V0010"));
    let (code, stdout, text) = check("missing/out.json");
    let said =
        "error: `FOLDER/missing/out.json` cannot be written: there is no folder `FOLDER/missing`";
    assert_eq!((code, stdout.as_str(), text), (Some(2), said, None));
    let (code, said, _) = check("in.yaml/out.json");
    let expected =
        "error: `FOLDER/in.yaml/out.json` cannot be written: `FOLDER/in.yaml` is no folder";
    assert_eq!((code, said.as_str()), (Some(2), expected));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn an_answer_replaces_nothing_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.yaml");
    fs::write(&path, BROKEN).unwrap();
    let check = |input: &Path, output: &Path| {
        let command = ["check", "--format", "json", "--output"].map(OsStr::new);
        run(command
            .into_iter()
            .chain([output.as_os_str(), input.as_os_str()]))
    };
    let ran = check(&path, &path);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .ends_with("in.yaml` is read, and `--output` would overwrite it\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), BROKEN);
    let output = folder.path().join("out.json");
    let first = check(folder.path(), &output);
    assert_eq!(first.code, Some(1));
    let answer = fs::read_to_string(&output).unwrap();
    let again = check(folder.path(), &output);
    assert_eq!(again.code, Some(1));
    assert_eq!(fs::read_to_string(&output).unwrap(), answer);
    // In the folder, and by a link from outside of it.
    let outside = tempfile::tempdir().unwrap();
    let link = outside.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for output in [&path, &link] {
        let ran = check(folder.path(), output);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("would overwrite it"), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), BROKEN);
    }
    let ran = check(&path, Path::new("-"));
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("`--output` takes a file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = verdict()
        .arg("man")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stderr, "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let arguments = ["man", "--color", "never"];
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = verdict().args(arguments).stdout(full).output().unwrap();
    let ran = ran(output);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("`standard output` cannot be written"),
        "{}",
        ran.stderr
    );
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.yaml");
    fs::write(&path, BROKEN).unwrap();
    let colored = |when: &str| {
        let ran = run(["check", path.to_str().unwrap(), "--color", when]);
        ran.stderr.contains('\u{1b}')
    };
    assert!(!colored("auto"));
    assert!(!colored("never"));
    assert!(colored("always"));
}

#[test]
fn manual_pages_go_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = run(["man".as_ref(), "--output".as_ref(), pages.as_os_str()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut names: Vec<String> = fs::read_dir(pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let commands = [
        "check",
        "compile",
        "completions",
        "diff",
        "dump",
        "explain",
        "image",
        "image-audit",
        "image-diff",
        "image-explain",
        "image-extract",
        "image-gc",
        "image-inspect",
        "image-verify",
        "list",
        "man",
        "replay",
        "schema",
    ];
    let mut expected = vec!["verdict.1".to_owned()];
    expected.extend(commands.map(|name| format!("verdict-{name}.1")));
    expected.sort();
    assert_eq!(names, expected);
}

#[cfg(unix)]
#[test]
fn a_trace_comes_out_of_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let replay = |trace: &Path| {
        let arguments: [OsString; 2] = ["replay".into(), testdata.join("shop").into_os_string()];
        run(arguments
            .iter()
            .map(OsString::as_os_str)
            .chain(["--trace".as_ref(), trace.as_os_str()]))
    };
    let capture = testdata.join("trace/raw.pcap");
    let bytes = fs::read(&capture).unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, bytes)
    });
    let ran = replay(&pipe);
    writer.join().unwrap().unwrap();
    assert_eq!(ran.stdout, replay(&capture).stdout);
}
