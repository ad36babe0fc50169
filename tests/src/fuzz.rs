//! What must hold of any bytes: the bodies of the fuzz targets in `tests/fuzz`, and of `tests/tests/fuzz.rs`.
//!
//! Input: bytes. Guarantee: a body returns, or it panics where something is wrong with verdict.

use crate::asking::Asked;
use crate::bundles::{self, Bundled};
use crate::generate::small;
use crate::images;
use crate::readings;
use std::sync::LazyLock;
use verdict_compiler::bundle::{Blob, Digest, Manifest, open_blob};
use verdict_compiler::cli::args::{CheckFormat, Color, Common, Global};
use verdict_compiler::cli::render::{self, Report};
use verdict_compiler::diagnostic::{Diagnostic, Severity};
use verdict_compiler::engine::EngineKind;
use verdict_compiler::frontend::load::load;
use verdict_compiler::frontend::manifest;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{FileId, SourceFile, Sources};
use verdict_compiler::trace::{Options, Place, Tunnels};

/// The formats of `check`.
const FORMATS: [CheckFormat; 8] = [
    CheckFormat::Human,
    CheckFormat::Concise,
    CheckFormat::Json,
    CheckFormat::Jsonl,
    CheckFormat::Github,
    CheckFormat::Sarif,
    CheckFormat::Markdown,
    CheckFormat::Junit,
];

/// Bytes to documents: the chunks follow one another within the text, and so does what is said about them.
///
/// # Panics
/// Where the reader does, or breaks its word.
pub fn read(bytes: &[u8]) {
    let Ok(source) = SourceFile::new("fuzz", bytes.to_vec()) else {
        return;
    };
    let mut end = 0;
    for chunk in manifest::split(FileId(0), &source) {
        assert!(chunk.span.start >= end, "{chunk:?} begins before {end}");
        assert!(source.text().get(chunk.span.range()).is_some(), "{chunk:?}");
        end = chunk.span.end;
        let (document, diagnostics) = manifest::parse(&source, &chunk);
        if let Some(document) = document {
            std::hint::black_box(document.root().json().to_string());
        }
        for diagnostic in &diagnostics {
            assert_within(&source, diagnostic);
        }
    }
}

/// Bytes to everything that `check` says about them, in every format.
///
/// # Panics
/// Where `check` does, or breaks its word.
pub fn check(bytes: &[u8]) {
    let Ok(source) = SourceFile::new("fuzz", bytes.to_vec()) else {
        return;
    };
    let mut sources = Sources::default();
    let id = sources.add(source);
    let loaded = load(&sources, &Settings::default());
    let source = sources.get(id).expect("it was added");
    for diagnostic in &loaded.diagnostics {
        assert_within(source, diagnostic);
    }
    let report = Report {
        sources: &sources,
        diagnostics: &loaded.diagnostics,
        files: 1,
        objects: loaded.objects,
    };
    for format in FORMATS {
        let mut text = Vec::new();
        render::write(format, &report, Severity::Error, &verbose(), &mut text).expect("memory");
        String::from_utf8(text).expect("every format is text");
    }
}

/// An image that the edits of [`image`] are made to.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| images::of(&small::world(4), 4));

/// Any bytes to an image, as they are and with the digests put right; and a good image with each four bytes as an edit,
/// a place and a value. What is read answers every question.
///
/// # Panics
/// Where reading or asking does, or breaks its word.
pub fn image(bytes: &[u8]) {
    images::take(bytes);
    images::take(&images::sealed(bytes.to_vec()));
    let mut edited = IMAGE.clone();
    for edit in bytes.chunks_exact(4).take(64) {
        let &[low, middle, high, value] = edit else {
            continue;
        };
        let at = u32::from_le_bytes([low, middle, high, 0]) as usize % edited.len();
        if let Some(byte) = edited.get_mut(at) {
            *byte = value;
        }
    }
    if let Some(last) = bytes.get(256) {
        edited.truncate(edited.len() - usize::from(*last) * 16);
    }
    images::take(&images::sealed(edited));
}

/// Texts, and a file of what they say that [`texts`] edits.
static TEXTS: LazyLock<(Sources, Vec<u8>)> = LazyLock::new(|| {
    let sources = small::world(4).sources();
    let (_, kept) = readings::read(&sources, &Settings::default(), None);
    (sources, kept.file.expect("it has a cluster"))
});

/// Any bytes to what is kept of texts, as they are and with the digest put right; and a good file with each four bytes as an
/// edit, a place and a value. What is taken of it is at places of the texts.
///
/// # Panics
/// Where reading does, or breaks its word.
pub fn texts(bytes: &[u8]) {
    let (sources, file) = &*TEXTS;
    let take = |file: &[u8]| {
        let (loaded, _) = readings::read(sources, &Settings::default(), Some(file));
        for diagnostic in &loaded.diagnostics {
            for label in diagnostic.label.iter().chain(&diagnostic.related) {
                let source = sources.get(label.span.file).expect("one of the texts");
                assert!(source.text().get(label.span.range()).is_some());
            }
        }
    };
    take(bytes);
    take(&readings::sealed(bytes.to_vec()));
    let mut edited = file.clone();
    for edit in bytes.chunks_exact(4).take(64) {
        let &[low, middle, high, value] = edit else {
            continue;
        };
        let at = u32::from_le_bytes([low, middle, high, 0]) as usize % edited.len();
        if let Some(byte) = edited.get_mut(at) {
            *byte = value;
        }
    }
    take(&readings::sealed(edited));
}

/// A bundle whose documents and chunks [`bundle`] edits.
static BUNDLE: LazyLock<Bundled> = LazyLock::new(|| bundles::of(&small::world(4), 4, false));

/// Any bytes to a manifest; and a good bundle with each four bytes as an edit of one of its documents or chunks: which, a
/// place and a value. What a blob unpacks to is bounded, and images that are put together answer every question.
///
/// # Panics
/// Where reading or asking does, or breaks its word.
pub fn bundle(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::read(bytes) {
        assert_eq!(manifest.write(), bytes);
    }
    let mut edited = BUNDLE.clone();
    for edit in bytes.chunks_exact(4).take(64) {
        let &[which, low, high, value] = edit else {
            continue;
        };
        let texts = edited.blobs.values_mut().chain([&mut edited.manifest]);
        let mut texts: Vec<&mut Vec<u8>> = texts.collect();
        let which = usize::from(which) % texts.len();
        let Some(text) = texts.get_mut(which) else {
            continue;
        };
        let at = usize::from(u16::from_le_bytes([low, high])) % text.len();
        if let Some(byte) = text.get_mut(at) {
            *byte = value;
        }
    }
    let Ok(manifest) = edited.read() else { return };
    for node in &manifest.nodes {
        if let Ok(image) = edited.image(&manifest, node) {
            assert!(images::take(&image));
        }
    }
    for blob in edited.blobs.values() {
        for plain in [0, 100, 1 << 20] {
            let sha256 = Digest::of(blob);
            let bytes = blob.len() as u64;
            let named = Blob {
                sha256,
                bytes,
                plain,
            };
            if let Ok(opened) = open_blob(&named, blob) {
                assert_eq!(opened.len() as u64, plain);
            }
        }
    }
}

fn assert_within(source: &SourceFile, diagnostic: &Diagnostic) {
    for label in diagnostic.label.iter().chain(&diagnostic.related) {
        let range = label.span.range();
        assert!(source.text().get(range).is_some(), "{diagnostic:?}");
    }
}

/// All there is to show, in colour.
fn verbose() -> Global {
    Global {
        settings: Vec::new(),
        set: Vec::new(),
        output: None,
        verbose: true,
        keep_going: false,
        strict: false,
        common: Common {
            quiet: false,
            exit_zero: false,
            color: Color::Always,
        },
    }
}

/// A small world that [`trace`] replays in.
static WORLD: LazyLock<Asked> = LazyLock::new(|| {
    let files = small::world(4).files.into_iter();
    let files = files.map(|(name, text)| (name, text.into_bytes()));
    Asked::of(files.collect(), &Settings::default())
});

/// Any bytes as a trace: every packet or line has a reply, and each defect stands within the bytes.
///
/// # Panics
/// Where replaying does, or breaks its word.
pub fn trace(bytes: &[u8]) {
    let options = Options {
        tunnels: Tunnels {
            vxlan: true,
            geneve: true,
        },
        ..Options::default()
    };
    let (replies, outcome) = WORLD
        .replay_as(EngineKind::Ir, options, bytes)
        .expect("memory");
    let lines = replies.lines().count() as u64;
    assert!(lines <= outcome.records, "{lines} of {}", outcome.records);
    let is_packed = matches!(
        bytes,
        [0x1F, 0x8B, ..] | [0x28, 0xB5, ..] | [_, 0x2A, 0x4D, 0x18, ..]
    );
    for problem in &outcome.problems {
        if let Place::Byte(at) = problem.place {
            assert!(is_packed || at <= bytes.len() as u64, "{problem:?}");
        }
    }
}
