//! A node: what is loaded and attached on it.
//!
//! Input: images, and what is asked to be protected. Output: programs that enforce, all of whose state is pinned below one
//! folder of a bpffs (`node/layout.rs` has the table). Guarantees:
//!
//! - One symbolic link, `current`, decides which generation enforces; it changes in one step. Whatever is killed before
//!   leaves the old generation, whatever is killed after is finished by the next command ([`Node::open`]): until then some
//!   links run programs of the old generation and some those of the new one, each of which judges its packets alone.
//! - A place that was asked to be protected has programs attached from then on: those of the generation, or those that
//!   let nothing pass where nothing is loaded.
//! - A command that fails changes nothing that enforces.

mod problem;
mod needs;
mod layout;
mod lock;
mod places;
mod hold;
mod who;
mod routes;
mod release;
mod stored;
mod load;
mod attach;
mod status;

pub use attach::{Hook, How};
pub use load::{Loading, Takes};
pub use places::{Kind, Named};
pub use problem::{Done, Problems};
pub use release::Release;
pub use status::{
    Attached, AttachedState, GenerationStatus, ReasonStatus, RuleStatus, Status, StoredStatus,
};

use crate::attachments::{self, Programs};
use crate::attest::Witness;
use crate::generation::{Generation, Options};
use hold::State;
use layout::{Layout, Marker, remove};
use lock::Hold;
use places::Place;
use problem::{not_loaded, pins};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use verdict_compiler::diagnostic::{Diagnostic, Severity, codes};
use verdict_compiler::image::Image;
use who::say_who;

/// Where a node keeps what it has, if nobody says otherwise.
pub const ROOT: &str = "/sys/fs/bpf/verdict";

/// A node, held by this process alone.
#[derive(Debug)]
pub struct Node {
    layout: Layout,
    shared: PathBuf,
    connections: u32,
    /// What was gone when the node was taken, and is forgotten.
    gone: Vec<Named>,
    _lock: File,
}

/// How a node is held.
#[derive(Clone, Debug)]
pub struct Hands {
    /// The folder of pins.
    pub root: PathBuf,
    /// How long to wait for other commands.
    pub patience: Duration,
    /// How many connections there is room for where nothing was loaded before: a power of two.
    pub connections: u32,
}

/// What came of a change.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// The number of the generation that enforces; `None` where none does.
    pub generation: Option<u64>,
    /// Who attested its maps.
    pub witness: Option<Witness>,
    /// The generation of the bundle that its image is from, where one was loaded.
    pub release: Option<Release>,
    /// Whether the image enforced already: nothing was loaded.
    pub unchanged: bool,
    /// What is protected by it.
    pub attached: Vec<Named>,
    /// What is protected no longer.
    pub detached: Vec<Named>,
    /// What was swapped, and how long it took.
    pub swapped: Vec<(String, Duration)>,
    /// What was attached to what is no more, and is forgotten.
    pub gone: Vec<Named>,
    /// What is worth knowing: endpoints that are closed, interfaces that are gone.
    pub warnings: Vec<Diagnostic>,
}

/// A generation whose maps are pinned.
struct Held {
    number: u64,
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl Held {
    fn image(&self) -> Done<Image<'_>> {
        Image::decode(&self.bytes).map_err(|error| {
            let error = std::io::Error::other(error.to_string());
            pins(&self.folder, "read", &error)
        })
    }
}

impl Node {
    /// Takes a node, and finishes what a command left undone that was killed.
    ///
    /// # Errors
    /// Where the node lacks something, another command is at work, or a pin cannot be read.
    pub fn open(hands: &Hands) -> Done<Self> {
        let mut node = Self::hold(hands)?;
        node.gone = node.recover()?;
        Ok(node)
    }

    fn hold(hands: &Hands) -> Done<Self> {
        needs::check(&hands.root)?;
        let layout = Layout {
            root: hands.root.clone(),
        };
        layout.make()?;
        let lock = lock::take(&layout.root, Hold::Change, hands.patience)?;
        // Whoever held it may have removed them.
        layout.make()?;
        Ok(Self {
            shared: layout.shared(),
            layout,
            connections: hands.connections,
            gone: Vec::new(),
            _lock: lock,
        })
    }

    fn options(&self, settings: u64) -> Options<'_> {
        Options {
            shared: Some(&self.shared),
            connections: self.connections,
            settings,
        }
    }

    /// Returns what is gone.
    fn recover(&self) -> Done<Vec<Named>> {
        hold::finish_release(&self.layout)?;
        self.layout.clean()?;
        self.ensure_closed()?;
        let marker = self.layout.marker()?;
        let places = places::all(&self.layout)?;
        if let Some(marker) = marker {
            self.say_missing(&places, marker);
        }
        let pointed = self.point(&places, marker)?;
        self.tidy(marker)?;
        Ok(pointed.gone)
    }

    /// The programs that let nothing pass are there before anything else is.
    fn ensure_closed(&self) -> Done<()> {
        let folder = self.layout.closed();
        if folder.exists() {
            return Ok(());
        }
        let making = self.layout.begin()?;
        let mut closed = Generation::closed(self.options(0)).map_err(|error| not_loaded(&error))?;
        for name in ["closed", "cgroup_closed"] {
            pin_program(&mut closed, name, &making)?;
        }
        self.layout.finish(&folder)
    }

    /// Says who is behind interfaces of which it is not known: a command was killed. They are closed until then.
    fn say_missing(&self, places: &[Place], marker: Marker) {
        let folder = self.layout.generation(marker.current);
        let Ok(known) = attachments::interfaces(&folder) else {
            // Those that are damaged are told by whoever reads all of it, and mended by the next image.
            return;
        };
        let is_missing = |place: &&Place| {
            place
                .interface()
                .is_some_and(|interface| !known.contains(&interface))
        };
        let missing: Vec<Place> = places.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            // As above: they stay closed then.
            let _ = self.held(marker.current).and_then(|held| {
                let image = held.image()?;
                let mut generation = self.opened(&image, &held.folder)?;
                say_who(&mut generation, &image, &missing, Programs::Running)
            });
        }
    }

    /// Removes generations that nobody can go to any more, and from the others what they know of interfaces that are not
    /// attached any more.
    fn tidy(&self, marker: Option<Marker>) -> Done<()> {
        let places = places::all(&self.layout)?;
        let is_attached = |interface| {
            places
                .iter()
                .any(|place| place.interface() == Some(interface))
        };
        let kept = |number| {
            marker.is_some_and(|marker| marker.current == number || marker.previous == Some(number))
        };
        for number in self.layout.numbers()? {
            if !kept(number) {
                self.layout.give_up(&self.layout.generation(number))?;
                self.layout.clean()?;
            } else if attachments::retain(&self.layout.generation(number), is_attached).is_err() {
                // Such entries take room, and are gone with the generation.
            }
        }
        Ok(())
    }

    /// Makes all places run the programs that they should, but those that are out of reach, which are warned of.
    fn point(&self, places: &[Place], marker: Option<Marker>) -> Done<Changed> {
        let programs = match marker {
            Some(marker) => self.layout.generation(marker.current),
            None => self.layout.closed(),
        };
        let mut changed = Changed {
            generation: marker.map(|marker| marker.current),
            ..Changed::default()
        };
        // All that can be done is done, and all problems are told.
        let mut problems = Vec::new();
        for place in places {
            if place.is_out_of_reach() {
                // It must not keep the others from what they should run.
                let Problems(elsewhere) = place.elsewhere();
                let elsewhere = elsewhere.into_iter();
                let elsewhere = elsewhere.map(|one| one.severity(Severity::Warning));
                changed.warnings.extend(elsewhere);
                continue;
            }
            match place.point(&programs, marker.is_some()) {
                Ok(State::Attached(taken)) if taken.is_zero() => {}
                Ok(State::Attached(taken)) => changed.swapped.push((place.name(), taken)),
                Ok(State::Gone) => {
                    changed.warnings.push(gone(place));
                    changed.gone.push(place.named());
                    place.release(&self.layout)?;
                }
                Err(Problems(more)) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            Ok(changed)
        } else {
            Err(Problems(problems))
        }
    }

    fn held(&self, number: u64) -> Done<Held> {
        let folder = self.layout.generation(number);
        let bytes = stored::read(&folder).map_err(|error| error.of(&folder))?;
        Ok(Held {
            number,
            folder,
            bytes,
        })
    }

    fn opened(&self, image: &Image<'_>, folder: &Path) -> Done<Generation> {
        Generation::open(image, self.options(0), folder).map_err(|error| not_loaded(&error))
    }
}

impl Changed {
    /// Whether everything that it is about is enforced.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_remark = |warning: &Diagnostic| warning.code.id == codes::SEVERAL_INTERFACES.id;
        self.warnings.iter().all(is_remark)
    }

    fn with(mut self, warnings: Vec<Diagnostic>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

/// Pins the programs for some kinds of places beside the maps that they look into, if they are not there yet.
fn ensure_programs(generation: &mut Generation, kinds: &[Kind], folder: &Path) -> Done<()> {
    for kind in kinds {
        for direction in places::DIRECTIONS {
            let name = places::program_name(*kind, direction, true);
            if !folder.join(name).exists() {
                pin_program(generation, name, folder)?;
            }
        }
    }
    Ok(())
}

fn pin_program(generation: &mut Generation, name: &'static str, folder: &Path) -> Done<()> {
    let path = folder.join(name);
    remove(&path)?;
    let pinned = if name.starts_with("cgroup") {
        generation.cgroup(name).map(|program| program.pin(&path))
    } else {
        generation
            .classifier(name)
            .map(|program| program.pin(&path))
    };
    let pinned = pinned.map_err(|error| not_loaded(&error))?;
    pinned.map_err(|error| not_loaded(&crate::LoadError::Pin(name, error)))
}

fn closed(place: &Place, why: &str) -> Diagnostic {
    let name = place.name();
    Diagnostic::new(
        &codes::ENDPOINT_CLOSED,
        format!("{name} is closed, nothing passes: {why}"),
    )
    .help(match place.damage {
        None => "load an image of this node that has it",
        Some(_) => "attach it again, which says who is behind it",
    })
}

fn gone(place: &Place) -> Diagnostic {
    let name = place.name();
    Diagnostic::new(
        &codes::INTERFACE_GONE,
        format!("{name} is gone, and no longer attached"),
    )
    .help("attach it again where it comes back")
}
