//! Diagnostics as JUnit XML, as the servers of continuous integration read it.
//!
//! A file is a suite. Its first case is the file itself, with what is about no object; every object of which there
//! is something to say is a case of its own, so that a viewer lists it by its name and, by the attributes `file`
//! and `line`, links to it. What is milder than asked for does not fail: it stands in the case's output.
//! Guarantee: well-formed XML 1.0, whatever users wrote.

use super::{Report, clean, prefix};
use crate::diagnostic::{Diagnostic, ObjectRef, Severity};
use crate::source::FileId;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The suite of what is about no file.
const NO_FILE: &str = "verdict";

/// The problems of one suite: first those of no object, then by object.
type Cases<'a> = BTreeMap<Option<&'a ObjectRef>, Vec<&'a Diagnostic>>;

/// Writes one report with a suite for each file. What has the severity of `denied` or a higher one has failed.
pub(in crate::cli) fn write(
    report: &Report<'_>,
    denied: Severity,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut whole = quick_junit::Report::new("verdict");
    whole.add_test_suites(suites(report).into_iter().map(|(file, cases)| {
        let mut suite = TestSuite::new(text(file));
        let cases = cases.into_iter();
        suite.add_test_cases(
            cases.map(|(object, problems)| case(report, denied, file, object, &problems)),
        );
        suite
    }));
    whole.serialize(out).map_err(io::Error::other)
}

/// The problems by file and object: files in the order in which they were given, then what could not be read.
fn suites<'a>(report: &Report<'a>) -> Vec<(&'a str, Cases<'a>)> {
    let mut read: BTreeMap<FileId, Cases<'_>> = BTreeMap::new();
    for (id, _) in report.sources.iter().take(report.files) {
        read.entry(id).or_default().entry(None).or_default();
    }
    let mut others: BTreeMap<&str, Cases<'_>> = BTreeMap::new();
    for one in report.diagnostics {
        let cases = match &one.label {
            Some(label) => read.entry(label.span.file).or_default(),
            None => others
                .entry(one.file.as_deref().unwrap_or(NO_FILE))
                .or_default(),
        };
        cases.entry(one.object.as_ref()).or_default().push(one);
    }
    let name = |id| report.sources.get(id).map_or(NO_FILE, |file| file.name());
    read.into_iter()
        .map(|(id, cases)| (name(id), cases))
        .chain(others)
        .collect()
}

fn case(
    report: &Report<'_>,
    denied: Severity,
    file: &str,
    object: Option<&ObjectRef>,
    problems: &[&Diagnostic],
) -> TestCase {
    let (failed, mild): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
        problems.iter().partition(|one| one.severity >= denied);
    let name = object.map_or_else(|| file.to_owned(), ObjectRef::to_string);
    let mut case = TestCase::new(text(&name), status(report, &failed));
    case.set_classname(text(file));
    case.extra.insert("file".into(), text(file).into());
    let first = failed.first().or(mild.first());
    if let Some(place) = first.and_then(|one| report.place_of(one.label.as_ref())) {
        let line = place.start.line.to_string();
        case.extra.insert("line".into(), line.into());
    }
    if !mild.is_empty() {
        case.set_system_out(list(report, &mild));
    }
    case
}

fn status(report: &Report<'_>, failed: &[&Diagnostic]) -> TestCaseStatus {
    let Some((first, more)) = failed.split_first() else {
        return TestCaseStatus::success();
    };
    let message = match more.len() {
        0 => first.message.clone(),
        more => format!("{} (and {more} more)", first.message),
    };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_message(text(&message))
        .set_type(first.code.id)
        .set_description(list(report, failed));
    status
}

/// `file:line:column: error[V0101]: message`, with the remedy and further places below.
fn list(report: &Report<'_>, problems: &[&Diagnostic]) -> String {
    let mut lines = Vec::new();
    for one in problems {
        let place = prefix(report, one).map(|place| format!("{place}: "));
        lines.push(format!(
            "{}{}[{}]: {}",
            place.unwrap_or_default(),
            one.severity,
            one.code.id,
            one.message
        ));
        for label in &one.related {
            if let Some(place) = report.place(label.span) {
                lines.push(format!("  {}:{}: {}", place.file, place.start, label.text));
            }
        }
        lines.extend(one.help.iter().map(|help| format!("  help: {help}")));
    }
    text(&lines.join("\n"))
}

/// The text with what XML cannot hold made visible. <https://www.w3.org/TR/xml/#charsets>
fn text(text: &str) -> String {
    clean(text)
        .replace('\u{fffe}', "\\u{fffe}")
        .replace('\u{ffff}', "\\u{ffff}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::codes;
    use crate::source::{SourceFile, Sources, Span};

    fn written(name: &str, message: &str) -> String {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile::new(name, b"a: 1\n".to_vec()).unwrap());
        let object = ObjectRef {
            kind: message.into(),
            namespace: None,
            name: message.into(),
        };
        let one = Diagnostic::new(&codes::UNKNOWN_FIELD, message)
            .at(Span::new(file, 0..1), message)
            .related(Span::new(file, 3..4), message)
            .help(message)
            .object(object);
        let report = Report {
            sources: &sources,
            diagnostics: &[one],
            files: 1,
            objects: 1,
        };
        let mut out = Vec::new();
        write(&report, Severity::Error, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_text_is_a_character_of_xml_and_comes_back() {
        let every: String = (0..0x3000_u32)
            .chain(0xd000..=0xffff)
            .chain([0x1_0000, 0x10_ffff])
            .filter_map(char::from_u32)
            .collect();
        let xml = written("<a & \"b\">\u{1b}[31m.yaml", &every);
        let allowed = |c: char| matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{1_0000}'..);
        assert!(xml.chars().all(allowed));
        let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
        let suite = &read.test_suites[0];
        assert_eq!(&*suite.name, "<a & \"b\">\\u{1b}[31m.yaml");
        let TestCaseStatus::NonSuccess { message, .. } = &suite.test_cases[1].status else {
            panic!("{xml}");
        };
        let message = message.as_ref().unwrap().as_str();
        assert_eq!(message, text(&every));
    }

    #[test]
    fn a_file_without_problems_has_passed() {
        let mut sources = Sources::default();
        sources.add(SourceFile::new("a.yaml", Vec::new()).unwrap());
        let report = Report {
            sources: &sources,
            diagnostics: &[],
            files: 1,
            objects: 0,
        };
        let mut out = Vec::new();
        write(&report, Severity::Error, &mut out).unwrap();
        let xml = String::from_utf8(out).unwrap();
        assert!(xml.contains("tests=\"1\" skipped=\"0\" failures=\"0\""));
    }
}
