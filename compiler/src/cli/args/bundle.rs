//! The arguments of what works on bundles.

use super::ImageFormat;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

/// `verdict compile`: a bundle.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Bundles")]
pub struct CompileBundle {
    /// Write a bundle of all nodes there: their images in chunks, those that nodes share once. Where a bundle is there already,
    /// its next generation is written next to it.
    #[arg(long, value_name = "BUNDLE", conflicts_with = "node")]
    pub bundle: Option<PathBuf>,
    /// The form of the bundle; without it that of what is there, `tar` for a name that ends so, and else `dir`.
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        requires = "bundle",
        conflicts_with = "check"
    )]
    pub bundle_format: Option<BundleForm>,
    /// The bundle that the new one replaces, where that is at another place: its generation is the next, and its fleet the same.
    #[arg(
        long,
        value_name = "BUNDLE",
        requires = "bundle",
        conflicts_with = "check"
    )]
    pub parent: Option<PathBuf>,
    /// The fleet that the bundle is for, by any name; with `--check` it is to be for that one.
    #[arg(long, value_name = "NAME", requires = "bundle", value_parser = fleet_name)]
    pub fleet: Option<String>,
    /// Sign the manifest with this ed25519 private key (PKCS #8, PEM).
    #[arg(
        long,
        value_name = "KEY",
        requires = "bundle",
        conflicts_with = "check"
    )]
    pub sign: Option<PathBuf>,
    /// Write nothing, and say whether this bundle is what the manifests say.
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["bundle", "node", "explain_passes"])]
    pub check: Option<PathBuf>,
}

/// A name that a bundle can have, and that is shown in a line.
fn fleet_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("a fleet has a name without control characters".into());
    }
    Ok(text.to_owned())
}

/// The forms of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BundleForm {
    /// A folder.
    Dir,
    /// One archive file.
    Tar,
    /// An OCI image layout, which registry tools push as it is.
    Oci,
}

impl BundleForm {
    /// Its name on the command line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Tar => "tar",
            Self::Oci => "oci",
        }
    }
}

/// What is asked of a bundle.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Terms {
    /// It must be signed with the private half of this ed25519 public key (SPKI, PEM).
    #[arg(long, value_name = "KEY")]
    pub verify_key: Option<PathBuf>,
    /// It must be for this fleet.
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<String>,
    /// It must be of this generation, or a later one.
    #[arg(long, value_name = "GENERATION")]
    pub at_least: Option<u64>,
}

/// `verdict image verify`
#[derive(Debug, ClapArgs)]
pub struct ImageVerify {
    /// The bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Also: is it what these manifests compile to?
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub against: Vec<PathBuf>,
    /// What else must be so.
    #[command(flatten)]
    pub terms: Terms,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
}

/// `verdict image diff`
#[derive(Debug, ClapArgs)]
pub struct ImageDiff {
    /// The bundle before.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The bundle after.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
}

/// `verdict image extract`
#[derive(Debug, ClapArgs)]
pub struct ImageExtract {
    /// The bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The node, as the manifests name it.
    #[arg(long, value_name = "NAME")]
    pub node: String,
    /// What else must be so.
    #[command(flatten)]
    pub terms: Terms,
}

/// `verdict image gc`
#[derive(Debug, ClapArgs)]
pub struct ImageGc {
    /// The bundle: a folder or an OCI image layout.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Keep this many generations, the newest; without it, all that are there.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// How to show what was removed.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
}

pub(super) const VERIFY_HELP: &str = "\
Every chunk of every node is read, held to its digest, put together and decoded. With --against the manifests are compiled \
(and proved) anew, and the first difference is shown as a packet: what the bundle says of it, and what the manifests say.

Exit code 0 says that all of it holds, 1 that something does not, 2 that it could not be looked at (no bundle, no key, \
manifests with errors).

Examples:
  verdict image verify fleet.bundle
  verdict image verify fleet.bundle --verify-key policy.pub.pem --fleet prod --at-least 17
  verdict image verify fleet.bundle --against deploy/ cluster/";

pub(super) const IMAGE_DIFF_HELP: &str = "\
Of each node: which packets get another verdict, and how many bytes it fetches that has the old bundle. Exit code 0 says that \
no image differs, 1 that some do, 2 that one bundle could not be read.

Examples:
  verdict image diff old.bundle new.bundle
  verdict image diff old.tar new.tar --format json";

pub(super) const EXTRACT_HELP: &str = "\
The image is the same as with `verdict compile --out`, byte for byte. Its chunks are held to their digests, and the whole is \
decoded. Without --output it goes to standard output. Exit code 0 says that it is there, 2 that nothing was written.

Examples:
  verdict image extract fleet.bundle --node worker-1 --output worker-1.image
  verdict image extract fleet.tar --node worker-1 --verify-key policy.pub.pem | verdict-node load -";

pub(super) const GC_HELP: &str = "\
A bundle keeps the manifest of every generation, for going back. Chunks that none of those names are removed, and what a \
compile left that was ended. Exit code 0 says that it is done; where a manifest cannot be read nothing is removed, and the \
exit code is 2.

Examples:
  verdict image gc fleet.bundle
  verdict image gc fleet.bundle --keep 3";
