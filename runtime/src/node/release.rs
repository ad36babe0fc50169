//! The generation of a bundle that an image is from, as it is written down beside its maps.

use super::layout::{text, write_text};
use super::problem::{Done, pins};
use std::io;
use std::path::Path;
use verdict_compiler::bundle::Digest;
use verdict_compiler::cli::Signed;

/// The generation of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The fleet of the bundle.
    pub fleet: Option<Box<str>>,
    /// Its generation.
    pub generation: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Whether it is known who signed it.
    pub signed: Signed,
}

/// The name of what says so.
const NAME: &str = "bundle";

impl Release {
    /// Writes it down in the folder of a generation.
    pub(super) fn keep(&self, folder: &Path) -> Done<()> {
        write_text(&folder.join(NAME), &self.text())
    }

    /// What is written down in the folder of a generation; `None` where its image is from no bundle.
    pub(super) fn read(folder: &Path) -> Done<Option<Self>> {
        let path = folder.join(NAME);
        let failed = |error: &io::Error| pins(&path, "read", error);
        match text(&path) {
            Ok(text) => match Self::of(&text) {
                Some(release) => Ok(Some(release)),
                None => Err(failed(&io::Error::other(
                    "it names no generation of a bundle",
                ))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// A fleet may have any name, so it comes last.
    fn text(&self) -> String {
        let (generation, manifest) = (self.generation, self.manifest);
        let signed = word(self.signed);
        match &self.fleet {
            Some(fleet) => format!("{generation} {manifest} {signed} {fleet}"),
            None => format!("{generation} {manifest} {signed}"),
        }
    }

    fn of(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        Some(Self {
            generation: words.next()?.parse().ok()?,
            manifest: words.next()?.parse().ok()?,
            signed: signed(words.next()?)?,
            fleet: words.next().map(Into::into),
        })
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match &self.fleet {
            Some(fleet) => format!("generation {} of fleet `{fleet}`", self.generation),
            None => format!("generation {}", self.generation),
        }
    }
}

const fn word(signed: Signed) -> &'static str {
    match signed {
        Signed::Checked => "checked",
        Signed::NotChecked => "not-checked",
        Signed::No => "none",
    }
}

fn signed(text: &str) -> Option<Signed> {
    let all = [Signed::Checked, Signed::NotChecked, Signed::No];
    all.into_iter().find(|signed| word(*signed) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_they_are_written() {
        for (fleet, signed) in [
            (None, Signed::No),
            (Some("prod"), Signed::Checked),
            (Some("prod of two  words"), Signed::NotChecked),
        ] {
            let release = Release {
                fleet: fleet.map(Into::into),
                generation: 7,
                manifest: Digest::of(b"x"),
                signed,
            };
            assert_eq!(Release::of(&release.text()), Some(release));
        }
        for wrong in ["", "7", "7 x none", "7 none"] {
            assert_eq!(Release::of(wrong), None, "{wrong}");
        }
    }
}
