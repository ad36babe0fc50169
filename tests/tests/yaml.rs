//! Manifests as kubectl reads them: the vectors, and our own files in `testdata/yaml`.
//!
//! A case is a text and the documents that kubectl's reader makes of it, up to the first error; documents
//! behind an error are ours alone. In `testdata/yaml` a case is a pair of files: `NAME.yaml` (or another
//! extension) and `NAME.expected`, one line of JSON per document.

use serde_json::Value;
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
