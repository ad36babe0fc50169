//! Random worlds: manifests as text, the same for the same seed.
//!
//! [`small::world`] makes worlds of a few pods in which rules overlap as much as they can; [`large::world`]
//! makes clusters of a given size; [`flows`] makes flows between everything that a loaded world has and much
//! that it has not. Every object that comes out is one that the API server takes.

pub mod captures;
pub mod cilium;
pub mod edit;
pub mod flows;
pub mod large;
pub mod policy;
pub mod random;
pub mod small;
pub mod traffic;
pub mod yaml;

use verdict_compiler::cluster::HostNetwork;
use verdict_compiler::frontend::load::{Loaded, load};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{SourceFile, Sources};

/// Manifests: file names with their texts.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The files.
    pub files: Vec<(String, String)>,
}

/// The worlds of some seeds, of both dialects: each with its seed.
pub fn of_both(seeds: std::ops::Range<u64>) -> impl Iterator<Item = (u64, World, Loaded)> {
    seeds.flat_map(|seed| {
        let world = small::world(seed);
        let loaded = world.load_for(seed);
        let of_cilium = cilium::loaded(seed).map(|(world, loaded)| (seed, world, loaded));
        std::iter::once((seed, world, loaded)).chain(of_cilium)
    })
}

/// Whether there are images of a world.
#[must_use]
pub fn with_images((_, _, loaded): &(u64, World, Loaded)) -> bool {
    cilium::has_images(loaded)
}

/// The settings that change verdicts, in turn.
#[must_use]
pub fn settings_for(seed: u64) -> Settings {
    Settings {
        cidr_matches_pods: Some(!seed.is_multiple_of(3)),
        host_network: Some(if seed.is_multiple_of(2) {
            HostNetwork::Pod
        } else {
            HostNetwork::Node
        }),
        ..Settings::default()
    }
}

impl World {
    /// The files as sources.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        for (name, text) in &self.files {
            if let Ok(file) = SourceFile::new(name.as_str(), text.clone().into_bytes()) {
                sources.add(file);
            }
        }
        sources
    }

    /// What the files say, with a switch for the setting `cidr-matches-pods`.
    #[must_use]
    pub fn load(&self, cidr_matches_pods: bool) -> Loaded {
        self.load_with(&Settings {
            cidr_matches_pods: Some(cidr_matches_pods),
            ..Settings::default()
        })
    }

    /// What the files say, under all settings that change verdicts in turn.
    #[must_use]
    pub fn load_for(&self, seed: u64) -> Loaded {
        self.load_with(&settings_for(seed))
    }

    /// What the files say under some settings.
    #[must_use]
    pub fn load_with(&self, settings: &Settings) -> Loaded {
        load(&self.sources(), settings)
    }

    /// All files as one text, to show a world that fails a test.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self
            .files
            .iter()
            .map(|(name, text)| format!("# {name}\n{text}"));
        texts.collect::<Vec<_>>().join("---\n")
    }
}
