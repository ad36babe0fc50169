//! What is kept of texts that were read, for the next run.
//!
//! Most of what a fleet's manifests hold is a dump of the cluster, and between two compiles little of it changes. So what a text
//! says is kept where it holds objects of the cluster and nothing else, under the digest of the text; a file has that of
//! all texts of a run, and what many objects have in common once. What a text says hangs on nothing but the text, the settings and
//! the program, which the print of the file covers, so what is kept is taken as it is. Places are kept without the file
//! that they are in, which has another number, and may have another name, in the next run. Of bytes that are damaged, or that have
//! another layout, nothing is taken; no bytes make it panic or take memory out of all proportion to their number.
//!
//! Not kept: policies, whose rules are as large as their text; texts with a Secret, of which nothing is to be found elsewhere; and
//! short texts, which are read as quickly as they are looked up.

mod record;
mod take;
mod write;

use super::load::Read;
use super::settings::Settings;
use crate::cluster::interner::Interner;
use crate::kept::Form;
use crate::source::{Encoding, FileId, SourceFile, Sources};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use take::{Kept, Unusable};
use write::write;

/// How the file begins.
const FORM: Form = Form {
    magic: b"VERDICTR",
    version: 2,
};

/// Texts of so many bytes are kept: one of fewer is read in a millisecond.
pub const SMALLEST: usize = 64 << 10;

/// What an earlier run kept, and for whom this one keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keeping<'k> {
    /// What tells this program from others.
    pub build: &'k [u8],
    /// The file of the earlier run, if there is one.
    pub file: Option<&'k [u8]>,
    /// How many bytes a text has at least that is kept.
    pub smallest: usize,
}

impl Keeping<'_> {
    /// Digests the texts that are kept, before each is asked for its own.
    pub(super) fn digest(&self, sources: &Sources) {
        let texts: Vec<&SourceFile> = sources.iter().map(|(_, text)| text).collect();
        let fit = texts.into_par_iter().filter(|text| self.is_fit(text));
        fit.for_each(|text| {
            let _ = text.print();
        });
    }

    /// Whether a text is one of those that are kept. What UTF-16 says hangs on more than its characters.
    fn is_fit(&self, source: &SourceFile) -> bool {
        source.text().len() >= self.smallest && source.encoding() == Encoding::Utf8
    }
}

/// What became of [`Keeping`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// How many texts were not read, since it was known what they say.
    pub taken: usize,
    /// Whether the file is damaged, or has another layout.
    pub unusable: bool,
    /// The file for the next run, where it is another.
    pub file: Option<Vec<u8>>,
}

/// What is known of the texts of this run.
pub(super) struct Known<'k> {
    keeping: Keeping<'k>,
    print: [u8; 32],
    kept: Kept<'k>,
    taken: AtomicUsize,
    /// Whether what is said of a text cannot be.
    is_wrong: AtomicBool,
}

impl<'k> Known<'k> {
    /// Reads what an earlier run kept.
    pub(super) fn new(keeping: Keeping<'k>, settings: &Settings, interner: &Interner) -> Self {
        let print = print(keeping.build, settings);
        let file = keeping.file;
        let kept = file.map(|file| Kept::read(file, &print, interner));
        Self {
            keeping,
            print,
            kept: kept.unwrap_or_default(),
            taken: AtomicUsize::new(0),
            is_wrong: AtomicBool::new(false),
        }
    }

    /// What a text says, where that was kept.
    pub(super) fn take(&self, file: FileId, source: &SourceFile) -> Option<Read> {
        if !self.keeping.is_fit(source) {
            return None;
        }
        let taken = self.kept.take(file, source).unwrap_or_else(|Unusable| {
            self.is_wrong.store(true, Ordering::Relaxed);
            None
        });
        self.taken
            .fetch_add(usize::from(taken.is_some()), Ordering::Relaxed);
        taken
    }

    /// Keeps what the texts say.
    pub(super) fn keep(self, sources: &Sources, texts: &[Vec<Read>]) -> Readings {
        let unusable = self.kept.unusable || self.is_wrong.load(Ordering::Relaxed);
        let texts = sources.iter().zip(texts);
        let fit =
            texts.filter(|((_, source), parts)| self.keeping.is_fit(source) && is_kept(parts));
        let fit = fit.map(|((_, source), parts)| (source.print(), (source, parts.as_slice())));
        let fit: BTreeMap<&[u8; 32], (&SourceFile, &[Read])> = fit.collect();
        let known: BTreeSet<&[u8; 32]> = self.kept.texts().collect();
        let is_as_it_was = !unusable && fit.keys().eq(&known);
        let file = (!is_as_it_was).then(|| write(&fit, &self.print));
        Readings {
            taken: self.taken.into_inner(),
            unusable,
            file: file.flatten(),
        }
    }
}

/// What readings hang on besides the texts.
fn print(build: &[u8], settings: &Settings) -> [u8; 32] {
    // Where settings stand has a part in nothing that is said of a manifest.
    let settings = Settings {
        host_network_span: None,
        cilium_keys: Vec::new(),
        ..settings.clone()
    };
    let mut print = Sha256::new();
    print.update((build.len() as u64).to_le_bytes());
    print.update(build);
    print.update(format!("{settings:?}"));
    print.finalize().into()
}

/// Whether what a text says can be kept: objects of the cluster, and what there is to say of them.
fn is_kept(parts: &[Read]) -> bool {
    parts.iter().all(|part| {
        part.drafts.is_empty()
            && part.secrets.is_empty()
            && part.diagnostics.iter().all(|one| one.file.is_none())
    })
}
