//! Manifests as kubectl reads them: the vectors, and our own files in `testdata/yaml`.
//!
//! A case is a text and the documents that kubectl's reader makes of it, up to the first error; documents
//! behind an error are ours alone. In `testdata/yaml` a case is an input and beside it `INPUT.expected`: a
//! line of JSON for each document and for each thing that is said. `VERDICT_BLESS=1` writes them anew.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use verdict_compiler::diagnostic::{Severity, codes};
use verdict_compiler::frontend::manifest;
use verdict_compiler::source::{FileId, SourceFile};

/// The documents of a text: JSON, or the messages of the errors, one line each.
fn read(bytes: Vec<u8>) -> (Vec<Result<String, String>>, bool) {
    let source = match SourceFile::new("case", bytes) {
        Ok(source) => source,
        Err(error) => return (vec![Err(format!("{error:?}"))], false),
    };
    let mut documents = Vec::new();
    let mut duplicate = false;
    for chunk in manifest::split(FileId(0), &source) {
        let (document, diagnostics) = manifest::parse(&source, &chunk);
        duplicate |= diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == &codes::DUPLICATE_KEY);
        for diagnostic in &diagnostics {
            let label = diagnostic.label.as_ref().expect("every one has a place");
            let range = label.span.range();
            assert!(source.text().get(range).is_some(), "{diagnostic:?}");
            assert!(diagnostic.help.is_some(), "{diagnostic:?}");
        }
        let error = diagnostics
            .iter()
            .find(|diagnostic| diagnostic.severity == Severity::Error);
        match (document, error) {
            (Some(_), Some(error)) => panic!("a document and the error {error:?}"),
            (Some(document), None) => documents.push(Ok(document.root().json().to_string())),
            (None, Some(error)) => documents.push(Err(error.message.clone())),
            (None, None) => {}
        }
    }
    (documents, duplicate)
}

/// Equal as JSON; numbers are equal where their values are.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

#[test]
fn files() {
    let folder = root().join("testdata/yaml");
    let bless = std::env::var_os("VERDICT_BLESS").is_some();
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = entry.unwrap().path();
        if input
            .extension()
            .is_some_and(|extension| extension == "expected")
        {
            continue;
        }
        let found = describe(std::fs::read(&input).unwrap());
        let expected = PathBuf::from(format!("{}.expected", input.display()));
        if bless {
            std::fs::write(&expected, found).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            failures.push(format!("{}: found\n{found}", input.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is read from a text, and what is said about it, where.
fn describe(bytes: Vec<u8>) -> String {
    let source = SourceFile::new("case", bytes).unwrap();
    let mut lines = String::new();
    for chunk in manifest::split(FileId(0), &source) {
        let (document, diagnostics) = manifest::parse(&source, &chunk);
        for diagnostic in diagnostics {
            let label = diagnostic.label.unwrap();
            let line = serde_json::json!({
                diagnostic.severity.to_string(): diagnostic.message,
                "code": diagnostic.code.id,
                "at": source.location(label.span.start).to_string(),
                "text": source.text()[label.span.range()],
                "label": label.text,
                "help": diagnostic.help,
            });
            writeln!(lines, "{line}").unwrap();
        }
        if let Some(document) = document {
            writeln!(lines, "{{\"json\":{}}}", document.root().json()).unwrap();
        }
    }
    lines
}

fn parse_deep(text: &str) -> Value {
    use serde::Deserialize as _;
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).expect("it is JSON")
}

/// What is wrong with what was read, where kubectl reads `expected`.
fn compare(found: &[Result<String, String>], expected: &[Value]) -> Option<String> {
    for (at, want) in expected.iter().enumerate() {
        let got = found.get(at);
        if let Some(error) = want.get("error") {
            return match got {
                Some(Err(_)) => None,
                _ => Some(format!("document {at}: {got:?}, not the error {error}")),
            };
        }
        let Some(Ok(json)) = got else {
            return Some(format!("document {at}: {got:?}, not {want}"));
        };
        if !same(&parse_deep(json), &want["json"]) {
            return Some(format!("document {at}: {json}, not {want}"));
        }
    }
    (found.len() != expected.len())
        .then(|| format!("{} documents, not {}", found.len(), expected.len()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn vectors() {
    let folder = match std::env::var_os("VERDICT_VECTORS") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared/vectors"),
    };
    let Ok(cases) = std::fs::read_to_string(folder.join("yaml/cases.jsonl")) else {
        println!("skipped: no yaml/cases.jsonl in {}", folder.display());
        return;
    };
    // Deep cases are compared recursively.
    let thread = std::thread::Builder::new().stack_size(1 << 28);
    let run = thread.spawn(move || run_vectors(&cases)).unwrap();
    run.join().unwrap();
}

fn run_vectors(cases: &str) {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in cases.lines() {
        let case = parse_deep(line);
        let bytes = match &case["base64"] {
            Value::String(text) => decode(text),
            _ => case["text"].as_str().unwrap().as_bytes().to_vec(),
        };
        let (found, duplicate) = read(bytes);
        let expected = &case["expected"];
        let problem = compare(&found, expected["documents"].as_array().unwrap());
        if let Some(problem) = problem {
            failures.push(format!("{}: {problem}", case["id"]));
        } else if expected["duplicate"] != duplicate && !line.contains("<<") {
            // kubectl's strict mode also takes a merged key that is set again for a duplicate.
            let expected = expected["duplicate"].as_bool().unwrap_or(duplicate);
            if expected != duplicate {
                failures.push(format!("{}: duplicate keys: {duplicate}", case["id"]));
            }
        }
        count += 1;
    }
    println!("{} of {count} vectors", count - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn decode(base64: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = base64
        .bytes()
        .filter(|byte| *byte != b'=')
        .map(digit)
        .collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(group.len() * 6 / 8));
    }
    bytes
}

/// Reads a text of any kind; all that matters is that it ends.
fn read_text(text: &str) -> (Vec<Result<String, String>>, bool) {
    read(text.as_bytes().to_vec())
}

fn error_of(text: &str) -> String {
    let (mut found, _) = read_text(text);
    match found.pop() {
        Some(Err(message)) if found.is_empty() => message,
        other => panic!("no error: {:.80}", format!("{other:?}")),
    }
}

#[test]
fn nesting_has_a_limit() {
    let deep = |open: &str, count: usize| open.repeat(count);
    for text in [
        deep("[", 100_000),
        deep("{a: ", 100_000),
        deep("- ", 100_000),
        deep("? ", 100_000),
        deep("{\"a\":", 100_000),
        format!("{{\"a\": {}", deep("[", 100_000)),
    ] {
        let message = error_of(&text);
        assert!(
            message.contains("nested more than 10000 deep") || message.contains("cannot be a key"),
            "{message}"
        );
    }
    let fits = format!("{}{}", deep("[", 10_000), deep("]", 10_000));
    assert_eq!(read_text(&fits).0, [Ok(fits)]);
    let fits = format!("{{\"a\":{}{}}}", deep("[", 9_999), deep("]", 9_999));
    assert_eq!(read_text(&fits).0, [Ok(fits)]);
}

#[test]
fn aliases_have_a_budget() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        let items = [below.as_str(); 9].join(",");
        writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
    }
    assert!(error_of(&bomb).contains("expand to too much"));
    // One level of a great many aliases is fine as long as they are cheap.
    let many = format!("a: &a [1]\nb: [{}]\n", vec!["*a"; 50_000].join(","));
    assert!(read_text(&many).0[0].is_ok());
    // Each mapping merges the one before.
    let mut chain = "m0: &m0 {k0: 0}\n".to_owned();
    for level in 1..2_000 {
        let before = level - 1;
        writeln!(
            chain,
            "m{level}: &m{level}\n  <<: *m{before}\n  k{level}: 0"
        )
        .unwrap();
    }
    assert!(error_of(&chain).contains("expand to too much"));
}

#[test]
fn large_mappings_and_long_lines_are_read_in_time() {
    let mut large = String::new();
    for number in 0..100_000 {
        writeln!(large, "k{number}: {number}").unwrap();
    }
    large.push_str("k5: again\n");
    let (found, duplicate) = read_text(&large);
    assert!(duplicate && found[0].is_ok());
    let long = format!("a: \"{}\"\n", "x y ".repeat(700_000));
    assert!(read_text(&long).0[0].is_ok());
    let json = format!("{{\"a\": \"{}\"}}", "\\n".repeat(1_000_000));
    assert!(read_text(&json).0[0].is_ok());
    let colons = format!("a: [{}]\n", vec!["x:"; 10_000].join(","));
    assert!(read_text(&colons).0[0].is_err());
}

#[test]
fn spans_are_what_the_author_wrote() {
    let text =
        "# c\na: &x !!str  17 # d\nb:\n- \"q\"\n- >\n  folded\n  text\n\n# end\nc: {d: [1, 2]}\n";
    let source = SourceFile::new("case", text.into()).unwrap();
    let chunk = &manifest::split(FileId(0), &source)[0];
    let (document, _) = manifest::parse(&source, chunk);
    let document = document.unwrap();
    let root = document.root();
    let raw = |path: &[&str]| root.at(path).unwrap().raw();
    assert_eq!(raw(&["a"]), "17");
    assert_eq!(raw(&["b"]), "- \"q\"\n- >\n  folded\n  text");
    assert_eq!(raw(&["c"]), "{d: [1, 2]}");
    assert_eq!(raw(&["c", "d"]), "[1, 2]");
    let items: Vec<_> = root
        .at(&["b"])
        .unwrap()
        .items()
        .map(|item| item.raw())
        .collect();
    assert_eq!(items, ["\"q\"", ">\n  folded\n  text"]);
    let keys: Vec<_> = root.entries().map(|entry| entry.key_node.raw()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
}

/// Signs that mean something to YAML or JSON, and a few that do not.
const SIGNS: &[&str] = &[
    "a",
    "b",
    "k: ",
    "- ",
    "-",
    ": ",
    ":",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "\n  ",
    "\n ",
    "\"",
    "'",
    "#",
    " # c",
    "|\n  x\n",
    ">-\n  y\n",
    "&x ",
    "*x",
    "!",
    "!!str ",
    "!!int ",
    "<<: *x",
    "<<",
    "%",
    "@",
    "~",
    "yes",
    "017",
    "1.5",
    "\n---\n",
    "---",
    "...",
    "\t",
    "\\",
    "\\n",
    "\\ud800",
    "\\/",
    "\r\n",
    "\r",
    "é",
    "\u{2028}",
    "\u{85}",
    "\u{FEFF}",
    "{}",
    "[]",
    "\"a\": ",
    "{\"a\":1}",
    "\0",
    "\u{7F}",
    "{{ .x }}",
    "=",
    "%YAML 1.1\n",
    "\u{E000}",
    "1e400",
    ".inf",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(bytes);
    }

    #[test]
    fn any_signs_end(signs in proptest::collection::vec(proptest::sample::select(SIGNS), 0..30)) {
        let text = signs.concat();
        for json in read_text(&text).0.into_iter().flatten() {
            let again: Value = serde_json::from_str(&json).expect("it is JSON");
            prop_assert!(!again.is_null());
        }
    }

    #[test]
    fn damaged_manifests_end(at in 0..POLICY.len(), width in 0_usize..12, sign in proptest::sample::select(SIGNS)) {
        let end = (at + width).min(POLICY.len());
        read_text(&format!("{}{sign}{}", &POLICY[..at], &POLICY[end..]));
    }

    /// JSON is read alike by both readers, but for what YAML says otherwise.
    #[test]
    fn json_is_read_as_it_was_written(value in json_value()) {
        let text = serde_json::json!({ "a": value }).to_string();
        prop_assert_eq!(&read_text(&text).0, &[Ok(text.clone())]);
        let behind_a_comment = format!("# c\n{text}");
        let (found, _) = read_text(&behind_a_comment);
        let found: Value = serde_json::from_str(found[0].as_ref().unwrap()).unwrap();
        prop_assert!(same(&found, &serde_json::from_str(&text).unwrap()));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9:# é\"'\n-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x, namespace: a}
spec:
  podSelector:
    matchLabels: {tier: \"db\"}
  ingress: # who may come in
  - from:
    - namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [x, 'y']}]}
    ports:
    - port: 5432
      protocol: TCP
";
