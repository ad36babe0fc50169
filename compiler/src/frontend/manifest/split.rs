//! Where one document of a file ends and the next starts.
//!
//! Input: a file. Output: its [`Chunk`]s, in order, each of which [`parse`] reads on its own: in parallel, and
//! whatever is wrong with the others. Guarantee: the cuts that kubectl's `YAMLOrJSONDecoder` makes. A text
//! that starts with `{` is a stream of JSON values; where none or one of them could be read, the rest is
//! taken for YAML. YAML is cut at lines that start with `---`. Where kubectl gives up, the chunk is one that
//! yields an error, and cutting goes on at the next line `---`. Refused: nothing here.

use super::{Document, json, yaml};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{Encoding, FileId, SourceFile, Span, to_u32};
use std::ops::Range;

/// A part of a file that holds at most one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it stands.
    pub span: Span,
    form: Form,
}

/// How a chunk is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
    /// YAML that was first tried as JSON, and what JSON's reader said, and where. kubectl reports that.
    YamlOrJson(usize, &'static str),
    /// Not JSON behind two JSON values or more: kubectl does not try YAML.
    NotJson(usize, &'static str),
    /// YAML in front of a line that starts with `---` and goes on with something else.
    BadSeparator(Range<usize>),
    /// UTF-16 as kubectl cannot read it.
    Utf16(&'static str),
}

/// kubectl looks for a `{` in so many bytes.
const GUESS_BYTES: usize = 4096;

/// The chunks of a file.
#[must_use]
pub fn split(file: FileId, source: &SourceFile) -> Vec<Chunk> {
    let mut splitter = Splitter {
        file,
        text: source.text(),
        chunks: Vec::new(),
    };
    match source.encoding() {
        Encoding::Utf8 => splitter.json_or_yaml(),
        // kubectl looks for lines byte by byte: it finds no separators in UTF-16, and the single byte that
        // it puts behind the last line is half a character.
        Encoding::Utf16Be if source.text().ends_with('\n') => {
            splitter.push(0..source.text().len(), Form::Yaml);
        }
        Encoding::Utf16Be => splitter.push(
            0..source.text().len(),
            Form::Utf16("kubectl does not read UTF-16 without a line break at the end"),
        ),
        Encoding::Utf16Le => splitter.push(
            0..source.text().len(),
            Form::Utf16("kubectl does not read UTF-16 with the low byte first"),
        ),
    }
    splitter.chunks
}

/// Reads a chunk of [`split`]. There is no document where the chunk holds nothing, null, or an error.
#[must_use]
pub fn parse<'s>(source: &'s SourceFile, chunk: &Chunk) -> (Option<Document<'s>>, Vec<Diagnostic>) {
    let text = source.text();
    let file = chunk.span.file;
    let refused = |diagnostic: Diagnostic| (None, vec![diagnostic]);
    match &chunk.form {
        Form::Yaml => yaml::read(file, text, chunk.span.range()),
        Form::Json => json::read(file, text, chunk.span.range()),
        Form::YamlOrJson(at, problem) => {
            let (document, mut diagnostics) = yaml::read(file, text, chunk.span.range());
            let template = text.get(*at..).is_some_and(|rest| rest.starts_with('{'));
            for error in &mut diagnostics {
                if error.code == &codes::YAML_SYNTAX && !template {
                    *error = json::syntax_error(file, text, *at, problem);
                }
            }
            (document, diagnostics)
        }
        Form::NotJson(at, problem) => refused(json::syntax_error(file, text, *at, problem)),
        Form::BadSeparator(line) => refused(bad_separator(file, text, line)),
        Form::Utf16(message) => refused(
            Diagnostic::new(&codes::YAML_SYNTAX, *message)
                .at(
                    Span::new(file, 0..0),
                    "kubectl: incomplete UTF-16 character",
                )
                .help("convert it to UTF-8: `iconv -f UTF-16 -t UTF-8 FILE`"),
        ),
    }
}

fn bad_separator(file: FileId, text: &str, line: &Range<usize>) -> Diagnostic {
    let written = text.get(line.clone()).unwrap_or("");
    let behind = written.get(3..).unwrap_or("").trim();
    Diagnostic::new(
        &codes::YAML_SYNTAX,
        "a line that starts with `---` separates documents and holds nothing else",
    )
    .at(
        Span::new(file, to_u32(line.start)..to_u32(line.end)),
        format!("kubectl: invalid Yaml document separator: {behind}"),
    )
    .help(
        "put what follows `---` on the next line; kubectl reads nothing of this file from here on",
    )
}

struct Splitter<'s> {
    file: FileId,
    text: &'s str,
    chunks: Vec<Chunk>,
}

impl Splitter<'_> {
    fn push(&mut self, range: Range<usize>, form: Form) {
        self.chunks.push(Chunk {
            span: Span::new(self.file, to_u32(range.start)..to_u32(range.end)),
            form,
        });
    }

    fn json_or_yaml(&mut self) {
        let content = self.text.trim_start();
        let start = self.text.len() - content.len();
        if content.starts_with('{') && start < GUESS_BYTES {
            self.json();
        } else {
            self.yaml(0, None);
        }
    }

    fn json(&mut self) {
        let mut end = 0;
        let (at, problem) = loop {
            match json::end_of_value(self.text, end) {
                Ok(None) => return,
                Ok(Some(range)) => {
                    end = range.end;
                    self.push(range, Form::Json);
                }
                Err(problem) => break problem,
            }
        };
        let start = self.yaml_behind_json(end);
        if let Some(start) = start.filter(|_| self.chunks.len() < 2) {
            self.yaml(start, Some((at, problem)));
            return;
        }
        let rest = self.text.get(end..).unwrap_or("").as_bytes();
        let next = memchr::memmem::find(rest, b"\n---");
        let stop = next.map_or(self.text.len(), |line| end + line + 1);
        self.push(end..stop, Form::NotJson(at, problem));
        if stop < self.text.len() {
            self.yaml(stop, None);
        }
    }

    /// Where YAML starts behind JSON: white space up to and including the first line break belongs to the
    /// JSON in front of it. kubectl looks four bytes ahead, and gives up where there are fewer.
    fn yaml_behind_json(&self, end: usize) -> Option<usize> {
        let mut start = end;
        loop {
            let rest = self.text.get(start..).filter(|rest| rest.len() >= 4)?;
            let next = rest.chars().next().filter(|next| next.is_whitespace());
            let Some(space) = next else {
                return Some(start);
            };
            start += space.len_utf8();
            if space == '\n' {
                return Some(start);
            }
        }
    }

    /// Cuts YAML; the first chunk was tried as JSON if there is a problem to report.
    fn yaml(&mut self, from: usize, mut tried: Option<(usize, &'static str)>) {
        let bytes = self.text.as_bytes();
        let mut start = from;
        // Separators start at the very beginning or behind a line break.
        let mut search = from;
        let next = |search: &mut usize| {
            if *search == from && self.text.get(from..)?.starts_with("---") {
                *search = from + 3;
                return Some(from);
            }
            let found = *search + memchr::memmem::find(bytes.get(*search..)?, b"\n---")? + 1;
            *search = found + 3;
            Some(found)
        };
        let mut cuts = Vec::new();
        while let Some(cut) = next(&mut search) {
            cuts.push(cut);
        }
        for cut in cuts {
            let rest = self.text.get(cut..).unwrap_or("");
            let length = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or("").trim_end();
            let behind = line.get(3..).unwrap_or("").trim_start();
            let line_end = (cut + length + 1).min(self.text.len());
            if !behind.is_empty() && !behind.starts_with('#') {
                self.push(start..line_end, Form::BadSeparator(cut..cut + line.len()));
                start = line_end;
                tried = None;
            } else if cut > start {
                let form = tried.take();
                self.push(
                    start..cut,
                    form.map_or(Form::Yaml, |(at, problem)| Form::YamlOrJson(at, problem)),
                );
                start = line_end;
            }
            // A separator with nothing in front of it belongs to the document behind it.
        }
        if start < self.text.len() {
            let form = tried.map_or(Form::Yaml, |(at, problem)| Form::YamlOrJson(at, problem));
            self.push(start..self.text.len(), form);
        }
    }
}
