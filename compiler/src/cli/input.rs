//! From paths to texts.
//!
//! Input: the paths of the command line. Output: [`Sources`] and what could not be read. A file is read
//! whatever its name is; a folder is walked for `.yaml`, `.yml` and `.json`, sorted by name, through symbolic
//! links, without bundles and entries whose name starts with a dot (`.git`, the `..data` of a mounted ConfigMap)
//! unless they are given themselves. `-` is standard input and is shown as `<stdin>`. A file that is reached twice is
//! read once, under its first name.
//!
//! Guarantee: the ids of the files depend on the paths and the folders only, not on threads; every problem is
//! a diagnostic and hides no other file.

use super::Failure;
use super::bundle;
use super::output;
use super::progress::Progress;
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::packed::Packed;
pub(super) use crate::source::MAX_FILE_BYTES;
use crate::source::{SourceFile, Sources, TextError};
use rayon::prelude::*;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The name of standard input.
pub(super) const STDIN: &str = "<stdin>";

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The texts.
    pub(super) sources: Sources,
    /// What could not be read.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Something to read.
#[derive(Debug)]
enum Item {
    Stdin,
    File { path: PathBuf, name: String },
}

/// Reads all texts behind some paths. What an earlier run wrote as its answer into a folder is none of them.
#[must_use]
pub(super) fn read(paths: &[PathBuf], output: Option<&Path>, progress: &Progress) -> Texts {
    let mut found = Walk {
        output,
        ..Walk::default()
    };
    for path in paths {
        found.path(path);
    }
    let texts: Vec<Result<SourceFile, Box<Diagnostic>>> = found
        .items
        .par_iter()
        .map(|item| {
            progress.count();
            text(item)
        })
        .collect();
    let mut read = Texts {
        diagnostics: found.diagnostics,
        ..Texts::default()
    };
    for text in texts {
        match text {
            Ok(file) => {
                read.sources.add(file);
            }
            Err(diagnostic) => read.diagnostics.push(*diagnostic),
        }
    }
    read
}

/// Whether a file is one of some paths, or one of those that are read in the folders among them: no answer of an earlier run.
#[must_use]
pub(super) fn is_read<'a>(paths: impl Iterator<Item = &'a PathBuf> + Clone, output: &Path) -> bool {
    let mut named = paths.clone().filter(|path| path.is_file());
    named.any(|path| output::is_same(path, output)) || output.is_file() && is_found(paths, output)
}

fn is_found<'a>(paths: impl Iterator<Item = &'a PathBuf>, output: &Path) -> bool {
    let mut found = Walk {
        output: Some(output),
        ..Walk::default()
    };
    for folder in paths.filter(|path| path.is_dir()) {
        found.folder(folder);
    }
    found.items.iter().any(|item| match item {
        Item::Stdin => false,
        Item::File { path, .. } => output::is_same(path, output),
    })
}

/// What was found on the way.
#[derive(Default)]
struct Walk<'a> {
    output: Option<&'a Path>,
    items: Vec<Item>,
    diagnostics: Vec<Diagnostic>,
    /// The files so far by their real paths.
    known: HashSet<PathBuf>,
}

impl Walk<'_> {
    fn path(&mut self, path: &Path) {
        if path == Path::new("-") {
            if self.known.insert(path.into()) {
                self.items.push(Item::Stdin);
            } else {
                self.diagnostics.push(stdin_twice());
            }
            return;
        }
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.folder(path),
            Ok(_) => self.file(path.into()),
            Err(error) => self.unreadable(&shown(path), &error),
        }
    }

    fn folder(&mut self, folder: &Path) {
        let before = self.diagnostics.len();
        let mut any = false;
        let mut left_out = Vec::new();
        let mut walk = WalkDir::new(folder)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry));
        while let Some(entry) = walk.next() {
            match entry {
                Ok(entry) if entry.depth() > 0 && is_bundle(&entry) => {
                    left_out.push(a_bundle(&shown(entry.path())));
                    walk.skip_current_dir();
                }
                Ok(entry) if self.is_output(entry.path()) => {}
                Ok(entry) if entry.file_type().is_file() && is_manifest(entry.path()) => {
                    any = true;
                    self.file(entry.into_path());
                }
                Ok(entry) if !entry.file_type().is_dir() && is_manifest(entry.path()) => {
                    self.diagnostics.push(no_file(&shown(entry.path())));
                }
                Ok(_) => {}
                Err(error) => self.walk_error(&error),
            }
        }
        if !any && self.diagnostics.len() == before {
            self.diagnostics.push(nothing_in(folder));
        }
        self.diagnostics.append(&mut left_out);
    }

    /// Whether an earlier run left its answer there.
    fn is_output(&self, path: &Path) -> bool {
        self.output
            .is_some_and(|output| output::is_same(output, path) && is_answer(path))
    }

    fn file(&mut self, path: PathBuf) {
        // A pipe has no real path; it stands for itself.
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if self.known.insert(real) {
            let name = shown(&path);
            self.items.push(Item::File { path, name });
        }
    }

    fn walk_error(&mut self, error: &walkdir::Error) {
        let path = error.path().map(shown).unwrap_or_default();
        if let Some(ancestor) = error.loop_ancestor() {
            self.diagnostics.push(
                Diagnostic::new(
                    &codes::UNREADABLE,
                    format!(
                        "`{path}` leads back to `{}` and is not followed",
                        shown(ancestor)
                    ),
                )
                .severity(Severity::Note)
                .file(path),
            );
            return;
        }
        match error.io_error() {
            // A broken link with another name than a manifest's is nothing that is missed.
            Some(error)
                if error.kind() == io::ErrorKind::NotFound && !is_manifest(Path::new(&path)) => {}
            Some(error) => self.unreadable(&path, error),
            None => {}
        }
    }

    fn unreadable(&mut self, name: &str, error: &io::Error) {
        self.diagnostics.push(unreadable(name, error));
    }
}

pub(super) fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Whether a folder is a bundle: a pipeline may keep it beside the manifests that it is made of.
fn is_bundle(entry: &DirEntry) -> bool {
    entry.file_type().is_dir() && bundle::is_folder_of_one(entry.path())
}

fn a_bundle(name: &str) -> Diagnostic {
    let message = format!("`{name}` is a bundle, and nothing in it is read");
    Diagnostic::new(&codes::UNREADABLE, message)
        .severity(Severity::Note)
        .file(name)
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// How answers in JSON begin. No manifest does: those have no such fields, and whoever writes them puts spaces.
const ANSWERS: [&[u8]; 4] = [
    br#"{"version":"#,
    br#"{"record":"#,
    br#"{"document":"#,
    br#"{"code":"#,
];

/// Whether a file is empty or begins as answers do.
fn is_answer(path: &Path) -> bool {
    let longest = ANSWERS.iter().map(|start| start.len()).max().unwrap_or(0);
    let mut start = Vec::new();
    let limit = u64::try_from(longest).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut start));
    read.is_ok() && (start.is_empty() || ANSWERS.iter().any(|answer| start.starts_with(answer)))
}

/// A path as the user wrote it, and as annotations of other tools need it: `.` in front says nothing. Control
/// characters are escaped, so that no name makes lines of its own.
fn shown(path: &Path) -> String {
    let rest = path.strip_prefix(".").ok();
    let rest = rest.filter(|rest| *rest != Path::new(""));
    let name = rest.unwrap_or(path).display().to_string();
    if !name.contains(char::is_control) {
        return name;
    }
    let escaped = |sign: char| {
        let is_control = sign.is_control();
        let escaped = is_control.then(|| sign.escape_default());
        escaped
            .into_iter()
            .flatten()
            .chain((!is_control).then_some(sign))
    };
    name.chars().flat_map(escaped).collect()
}

/// Reads one file that is no manifest.
pub(super) fn file(path: &Path) -> Result<SourceFile, Box<Diagnostic>> {
    if path == Path::new("-") {
        return text(&Item::Stdin);
    }
    let name = shown(path);
    text(&Item::File {
        path: path.into(),
        name,
    })
}

fn text(item: &Item) -> Result<SourceFile, Box<Diagnostic>> {
    let (name, bytes) = match item {
        Item::Stdin => (STDIN, stream_bytes(io::stdin().lock())),
        Item::File { path, name } => (name.as_str(), bytes_of(path, MAX_FILE_BYTES)),
    };
    let bytes = bytes.map_err(|error| unreadable(name, &error))?;
    if let Some((what, remedy)) = other_than_text(&bytes) {
        let diagnostic = Diagnostic::new(&codes::NOT_TEXT, format!("`{name}` is {what}"));
        return Err(Box::new(diagnostic.file(name).help(remedy)));
    }
    SourceFile::decoded(name, bytes)
        .map_err(|(error, bytes)| Box::new(no_text(name, error, &bytes)))
}

/// What is read of standard input, a pipe or a device: none of them tells how much there is, and it may have no end.
const MAX_STREAM_BYTES: usize = 1 << 30;

/// Reads a file that is no manifest, of `most` bytes at most.
///
/// # Errors
/// [`Failure::Read`], if it is larger or cannot be read.
pub(super) fn whole_file(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    bytes_of(path, most).map_err(|error| Failure::Read(path.to_owned(), error))
}

/// Reads a file, a pipe or a device, of `most` bytes at most.
pub(super) fn bytes_of(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return bytes(file, 0, most.min(MAX_STREAM_BYTES));
    }
    match usize::try_from(metadata.len()) {
        Ok(size) if size <= most => bytes(file, size, most),
        Ok(_) | Err(_) => Err(too_large(metadata.len(), most)),
    }
}

fn stream_bytes(from: impl Read) -> io::Result<Vec<u8>> {
    bytes(from, 0, MAX_STREAM_BYTES)
}

/// Reads `expected` bytes, and what there is beyond them. That there is no memory for them is an error as any other.
fn bytes(from: impl Read, expected: usize, most: usize) -> io::Result<Vec<u8>> {
    let mut from = from.take(most as u64 + 1);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(expected + 1)?;
    from.read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(too_large(bytes.len() as u64, most));
    }
    Ok(bytes)
}

fn too_large(size: u64, most: usize) -> io::Error {
    let message = format!("{size} bytes or more, and {most} are read at most");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Standard input can be read to its end once only.
pub(super) fn stdin_twice() -> Diagnostic {
    Diagnostic::new(
        &codes::UNREADABLE,
        format!("`{STDIN}` cannot be read twice"),
    )
    .file(STDIN)
    .help("give `-` once, and files for the rest")
}

/// Bytes of a kind that is known and is no text, with what to do about them.
fn other_than_text(bytes: &[u8]) -> Option<(String, String)> {
    if let Some(packed) = Packed::of(bytes) {
        return Some((
            format!("compressed by {}", packed.name()),
            format!("unpack it: `{}`", packed.unpacker()),
        ));
    }
    let (what, remedy) = match bytes {
        [b'P', b'K', 3, 4, ..] => ("a zip archive", "unpack it: `unzip`"),
        [0, 1..=0x7F, ..] => (
            "UTF-16 without a byte order mark",
            "convert it to UTF-8: `iconv -f UTF-16BE -t UTF-8`",
        ),
        [1..=0x7F, 0, ..] => (
            "UTF-16 without a byte order mark",
            "convert it to UTF-8: `iconv -f UTF-16LE -t UTF-8`",
        ),
        _ => return None,
    };
    Some((what.into(), remedy.into()))
}

fn place(bytes: &[u8], offset: usize) -> String {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let byte = bytes.get(offset).copied().unwrap_or_default();
    format!("byte 0x{byte:02x} on line {line}")
}

const SPLIT: &str = "split it, or leave out what network policy does not need";

/// `bytes` are those that were to be UTF-8 and are not.
fn no_text(name: &str, error: TextError, bytes: &[u8]) -> Diagnostic {
    let (code, message, help) = match error {
        TextError::NotText { offset } if bytes.is_empty() => (
            &codes::NOT_TEXT,
            format!("`{name}` starts as UTF-16 does, but is none at offset {offset}"),
            "save it as UTF-8, or leave it out if it is no manifest",
        ),
        TextError::NotText { offset } => (
            &codes::NOT_TEXT,
            format!("`{name}` is not UTF-8: {}", place(bytes, offset)),
            "convert it to UTF-8 (for example `iconv -f ISO-8859-1 -t UTF-8`), or leave it out if it is no manifest",
        ),
        TextError::TooLarge { given } => (
            &codes::TOO_LARGE,
            format!("`{name}` has {given} bytes of text, and {MAX_FILE_BYTES} are read at most"),
            SPLIT,
        ),
    };
    Diagnostic::new(code, message).file(name).help(help)
}

fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return Diagnostic::new(&codes::TOO_LARGE, format!("`{name}` has {error}"))
            .file(name)
            .help(SPLIT);
    }
    let why = output::reason(error);
    Diagnostic::new(
        &codes::UNREADABLE,
        format!("`{name}` cannot be read: {why}"),
    )
    .file(name)
}

/// In a folder a pipe, a socket or a device is not opened: reading it may have no end.
fn no_file(name: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::UNREADABLE,
        format!("`{name}` is a pipe, a socket or a device and is not read"),
    )
    .severity(Severity::Note)
    .file(name)
    .help("name it as a path of its own if it is meant")
}

fn nothing_in(folder: &Path) -> Diagnostic {
    let name = shown(folder);
    Diagnostic::new(
        &codes::NOTHING_TO_READ,
        format!("there is no manifest in `{name}`"),
    )
    .help("a folder is searched for `.yaml`, `.yml` and `.json`; hidden files and folders are left out")
    .file(name)
}

/// That files hold no object: what was to write them has failed, more often than not.
pub(super) fn nothing_in_files(sources: &Sources) -> Diagnostic {
    let mut names = sources.iter().map(|(_, file)| file.name());
    let diagnostic = |message| {
        Diagnostic::new(&codes::NOTHING_TO_READ, message)
            .help("check what was to write it, and whether the right files are given")
    };
    match (names.next(), names.len()) {
        (Some(name), 0) => diagnostic(format!("there is no object in `{name}`")).file(&**name),
        (Some(_), more) => diagnostic(format!("there is no object in {} files", more + 1)),
        (None, _) => diagnostic("there is nothing to read".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{self, Global};
    use std::fs;

    fn progress() -> Progress {
        let arguments = ["verdict", "man", "--quiet"].map(Into::into);
        let global: Global = args::parse(&arguments).unwrap().global;
        Progress::start(&global, "")
    }

    /// The names of the files and the problems, folder names cut off.
    fn names(folder: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
        let read = read(&paths, None, &progress());
        let prefix = format!("{}/", folder.display());
        let files = read.sources.iter().map(|(_, file)| file.name().to_string());
        let problems = read
            .diagnostics
            .iter()
            .map(|one| format!("{} {}", one.code.id, one.message));
        files
            .chain(problems)
            .map(|text| text.replace(&prefix, ""))
            .collect()
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: 1\n").unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_walked_in_order_and_without_hidden_entries() {
        let folder = folder(&[
            "x/b.yml",
            "x/a/z.yaml",
            "x/c.json",
            "x/.git/d.yaml",
            "x/.e.yaml",
            "x/f.txt",
        ]);
        assert_eq!(
            names(folder.path(), &["x"]),
            ["x/a/z.yaml", "x/b.yml", "x/c.json"]
        );
        assert_eq!(names(folder.path(), &["x/.git"]), ["x/.git/d.yaml"]);
    }

    #[test]
    fn a_file_is_read_once_and_whatever_its_name() {
        let folder = folder(&["x/a.yaml", "policy"]);
        assert_eq!(
            names(folder.path(), &["x/a.yaml", "policy", "x"]),
            ["x/a.yaml", "policy"]
        );
    }

    #[test]
    fn each_problem_is_told_and_hides_nothing() {
        let folder = folder(&["a.yaml"]);
        fs::create_dir(folder.path().join("empty")).unwrap();
        fs::write(folder.path().join("bad.yaml"), b"a: 1\nb: \xff\n").unwrap();
        assert_eq!(
            names(folder.path(), &["missing", "empty", "bad.yaml", "a.yaml"]),
            [
                "a.yaml",
                "V0001 `missing` cannot be read: there is no such file or folder",
                "V0004 there is no manifest in `empty`",
                "V0002 `bad.yaml` is not UTF-8: byte 0xff on line 2",
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let folder = folder(&["x/a.yaml", "y/b.yaml"]);
        symlink(folder.path().join("x"), folder.path().join("x/again")).unwrap();
        symlink(folder.path().join("y"), folder.path().join("x/y")).unwrap();
        symlink("nowhere", folder.path().join("x/gone.txt")).unwrap();
        let found = names(folder.path(), &["x"]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[..2], ["x/a.yaml", "x/y/b.yaml"]);
        assert!(
            found[2].starts_with("V0001 `x/again` leads back to"),
            "{found:?}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_told_and_not_opened() {
        let folder = folder(&["a.yaml"]);
        let path = folder.path().join("b.yaml");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("c.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero")).unwrap();
        let is = "is a pipe, a socket or a device and is not read";
        assert_eq!(
            names(folder.path(), &["."]),
            [
                "./a.yaml".to_owned(),
                format!("V0001 `./b.yaml` {is}"),
                format!("V0001 `./c.yaml` {is}"),
            ]
        );
    }

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(
            shown(Path::new("a\nb\u{1b}[31m é.yaml")),
            "a\\nb\\u{1b}[31m é.yaml"
        );
    }

    #[test]
    fn a_dot_in_front_is_not_shown() {
        assert_eq!(shown(Path::new("./a/b.yaml")), "a/b.yaml");
        assert_eq!(shown(Path::new("../b.yaml")), "../b.yaml");
        assert_eq!(shown(Path::new(".")), ".");
    }
}
