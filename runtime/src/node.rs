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

mod layout;
mod lock;
mod needs;
mod places;
mod problem;
mod routes;
mod status;
mod stored;

pub use places::Kind;
pub use problem::{Done, Problems};
pub use status::{
    Attached, AttachedState, GenerationStatus, ReasonStatus, RuleStatus, Status, StoredStatus,
};

use crate::attest::Witness;
use crate::generation::{Generation, Options};
use layout::{Layout, Marker, remove};
use lock::Hold;
use places::{Place, State};
use problem::{not_loaded, pins, problem, quoted};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{Attachment, CLOSED, HAS_V4, HAS_V6};
use verdict_abi::{Config, Section, Tables as _};
use verdict_compiler::diagnostic::{Diagnostic, codes};
use verdict_compiler::image::{Image, hex};

/// Where a node keeps what it has, if nobody says otherwise.
pub const ROOT: &str = "/sys/fs/bpf/verdict";

/// A node, held by this process alone.
#[derive(Debug)]
pub struct Node {
    layout: Layout,
    shared: PathBuf,
    connections: u32,
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

/// How an image is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loading {
    /// The SHA-256 digest that its file must have.
    pub expected: Option<[u8; 32]>,
    /// Word 0 of the map `settings`.
    pub settings: u64,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The number of the generation that enforces; `None` where none does.
    pub generation: Option<u64>,
    /// Who attested its maps.
    pub witness: Option<Witness>,
    /// What was swapped, and how long it took.
    pub swapped: Vec<(String, Duration)>,
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
        let node = Self::hold(hands)?;
        node.recover()?;
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

    fn recover(&self) -> Done<()> {
        self.layout.clean()?;
        self.ensure_closed()?;
        let marker = self.layout.marker()?;
        self.point(&places::all(&self.layout)?, marker)?;
        self.tidy(marker)
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

    /// Removes generations that nobody can go to any more.
    fn tidy(&self, marker: Option<Marker>) -> Done<()> {
        let kept = |number| {
            marker.is_some_and(|marker| marker.current == number || marker.previous == Some(number))
        };
        for number in self.layout.numbers()? {
            if !kept(number) {
                self.layout.give_up(&self.layout.generation(number))?;
                self.layout.clean()?;
            }
        }
        Ok(())
    }

    /// Makes the links of all places run the programs that they should.
    fn point(&self, places: &[Place], marker: Option<Marker>) -> Done<Changed> {
        let programs = match marker {
            Some(marker) => self.layout.generation(marker.current),
            None => self.layout.closed(),
        };
        let mut changed = Changed {
            generation: marker.map(|marker| marker.current),
            witness: None,
            swapped: Vec::new(),
            warnings: Vec::new(),
        };
        // All that can be done is done, and all problems are told.
        let mut problems = Vec::new();
        for place in places {
            match place.point(&programs, marker.is_some()) {
                Ok(State::Attached(taken)) if taken.is_zero() => {}
                Ok(State::Attached(taken)) => changed.swapped.push((place.name(), taken)),
                Ok(State::Gone) => {
                    changed.warnings.push(gone(place));
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
        let bytes = stored::read(&folder).map_err(|error| pins(&folder, "read", &error))?;
        Ok(Held {
            number,
            folder,
            bytes,
        })
    }

    fn opened(&self, image: &Image<'_>, folder: &Path) -> Done<Generation> {
        Generation::open(image, self.options(0), folder).map_err(|error| not_loaded(&error))
    }

    /// Loads an image as the next generation, and lets it enforce wherever something is attached.
    ///
    /// # Errors
    /// Where it is no image or not the expected one, or the kernel does not take it. The old generation enforces then.
    pub fn load(&self, bytes: &[u8], loading: Loading) -> Done<Changed> {
        expect_digest(bytes, loading.expected)?;
        let image = Image::decode(bytes).map_err(|error| {
            problem(
                &codes::NO_IMAGE,
                format!("this is no image that can be loaded: {error}"),
                "compile it again, or fetch it again from where it came",
            )
        })?;
        let places = places::all(&self.layout)?;
        let making = self.layout.begin()?;
        let options = self.options(loading.settings);
        let loaded = Generation::load(&image, options).and_then(|generation| {
            let witness = generation.attest(&image)?;
            generation.pin(&making)?;
            Ok((generation, witness))
        });
        let (mut generation, witness) = loaded.map_err(|error| not_loaded(&error))?;
        stored::keep(&making, bytes, &image).map_err(|error| pins(&making, "filled", &error))?;
        let mut kinds: Vec<Kind> = places.iter().map(|place| place.kind).collect();
        kinds.push(Kind::Interface);
        ensure_programs(&mut generation, &kinds, &making)?;
        let mut warnings = say_who(&mut generation, &image, &places)?;
        warnings.extend(incomplete(&image));
        let number = self.layout.numbers()?.last().map_or(1, |last| last + 1);
        self.layout.finish(&self.layout.generation(number))?;
        let previous = self.layout.marker()?.map(|marker| marker.current);
        let changed = self.go_to(
            &places,
            Marker {
                current: number,
                previous,
            },
        )?;
        Ok(Changed {
            witness: Some(witness),
            ..changed
        }
        .with(warnings))
    }

    /// Decides, and then does it.
    fn go_to(&self, places: &[Place], marker: Marker) -> Done<Changed> {
        self.layout.mark(marker)?;
        let changed = self.point(places, Some(marker))?;
        self.tidy(Some(marker))?;
        Ok(changed)
    }

    /// Goes back to the generation that enforced before; asked again, it comes forth again.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read. The generation that enforced does so still.
    pub fn rollback(&self) -> Done<Changed> {
        let marker = self.layout.marker()?;
        let previous = marker.and_then(|marker| Some((marker.current, marker.previous?)));
        let Some((current, previous)) = previous else {
            return Err(problem(
                &codes::NO_GENERATION,
                "there is no generation to go back to",
                "`verdict-node load IMAGE` loads one",
            ));
        };
        let held = self.held(previous)?;
        let image = held.image()?;
        let mut generation = self.opened(&image, &held.folder)?;
        let witness = generation
            .attest(&image)
            .map_err(|error| not_loaded(&error))?;
        let places = places::all(&self.layout)?;
        let kinds: Vec<Kind> = places.iter().map(|place| place.kind).collect();
        ensure_programs(&mut generation, &kinds, &held.folder)?;
        let warnings = say_who(&mut generation, &image, &places)?;
        let marker = Marker {
            current: held.number,
            previous: Some(current),
        };
        let changed = self.go_to(&places, marker)?;
        Ok(Changed {
            witness: Some(witness),
            ..changed
        }
        .with(warnings))
    }

    /// Protects an endpoint at the host's side of its interface.
    ///
    /// # Errors
    /// Where there is no such interface, or it cannot be attached.
    pub fn attach_interface(&self, interface: &str, endpoint: &str) -> Done<Changed> {
        let index = places::interface_index(interface).map_err(|_| {
            problem(
                &codes::NOT_ATTACHED,
                format!("there is no interface `{interface}` in this network namespace"),
                "it is the host's side of the pod's interface that is wanted: `ip link` lists all",
            )
        })?;
        self.attach(Kind::Interface, index.into(), endpoint)
    }

    /// Protects the endpoint that has an address, at the interface to which the route to it leads.
    ///
    /// # Errors
    /// Where there is no such route, the image has no endpoint with the address and none is named, or as for
    /// [`Self::attach_interface`].
    pub fn attach_address(&self, address: IpAddr, endpoint: Option<&str>) -> Done<Changed> {
        let interface = routes::interface(address)?;
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None => self.endpoint_of(address)?,
        };
        self.attach_interface(&interface, &endpoint)
    }

    fn endpoint_of(&self, address: IpAddr) -> Done<String> {
        if let Some(marker) = self.layout.marker()? {
            let held = self.held(marker.current)?;
            let image = held.image()?;
            let found = addresses(&image).find(|(own, _)| *own == address.to_canonical());
            let name = found.and_then(|(_, endpoint)| {
                let endpoints = &image.source().endpoints;
                endpoints
                    .get(endpoint as usize)
                    .map(|name| name.to_string())
            });
            if let Some(name) = name {
                return Ok(name);
            }
        }
        Err(problem(
            &codes::NOT_ATTACHED,
            format!("no endpoint of the loaded image has the address {address}"),
            "name it by `--pod NAMESPACE/NAME`: it is closed until an image has it",
        ))
    }

    /// Protects the processes in a cgroup, whose endpoint is told by the addresses of its packets.
    ///
    /// # Errors
    /// Where there is no such cgroup, or it cannot be attached.
    pub fn attach_cgroup(&self, path: &Path) -> Done<Changed> {
        let number = std::fs::canonicalize(path).and_then(|path| {
            let number = places::cgroup_number(&path)?;
            Ok((path, number))
        });
        let (path, number) = number.map_err(|_| {
            problem(
                &codes::NOT_ATTACHED,
                format!("there is no cgroup {}", quoted(path.display())),
                "it is a folder of the cgroup v2 file system that is wanted",
            )
        })?;
        self.attach(Kind::Cgroup, number, &path.to_string_lossy())
    }

    fn attach(&self, kind: Kind, number: u64, of: &str) -> Done<Changed> {
        let marker = self.layout.marker()?;
        let mut place = Place {
            kind,
            number,
            of: of.to_owned(),
            folder: PathBuf::new(),
        };
        let mut warnings = Vec::new();
        match marker {
            Some(marker) => {
                let held = self.held(marker.current)?;
                let image = held.image()?;
                let mut generation = self.opened(&image, &held.folder)?;
                ensure_programs(&mut generation, &[kind], &held.folder)?;
                warnings = say_who(&mut generation, &image, std::slice::from_ref(&place))?;
            }
            None => warnings.push(closed(&place, "nothing is loaded")),
        }
        let is_new = !places::all(&self.layout)?
            .iter()
            .any(|other| other.kind == kind && other.number == number);
        place = places::intend(&self.layout, kind, number, of)?;
        let changed = self.point(std::slice::from_ref(&place), marker);
        let Ok(changed) = changed else {
            if is_new {
                place.release(&self.layout)?;
            }
            return changed;
        };
        if changed.warnings.is_empty() {
            return Ok(changed.with(warnings));
        }
        Err(problem(
            &codes::NOT_ATTACHED,
            format!("{} went away", place.name()),
            "attach it again when it is back",
        ))
    }

    /// Protects an endpoint no longer. Whatever is attached to its interface, or to the cgroup, passes everything from
    /// then on.
    ///
    /// # Errors
    /// Where nothing of that name is attached, or the pins cannot be removed.
    pub fn detach(&self, what: &str) -> Done<Changed> {
        let places = places::all(&self.layout)?;
        let named = |place: &&Place| {
            place.of == what || place.shown() == what || place.number.to_string() == what
        };
        let found: Vec<&Place> = places.iter().filter(named).collect();
        if found.is_empty() {
            return Err(problem(
                &codes::NOT_ATTACHED,
                format!("nothing is attached that is called `{what}`"),
                "`verdict-node status` names what is",
            ));
        }
        for place in found {
            place.release(&self.layout)?;
        }
        Ok(Changed {
            generation: self.layout.marker()?.map(|marker| marker.current),
            witness: None,
            swapped: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Gives up all generations. What is attached stays so, and lets nothing pass.
    ///
    /// # Errors
    /// Where a pin cannot be changed.
    pub fn unload(&self) -> Done<Changed> {
        self.layout.unmark()?;
        let places = places::all(&self.layout)?;
        let changed = self.point(&places, None)?;
        self.tidy(None)?;
        let warnings = places
            .iter()
            .map(|place| closed(place, "nothing is loaded"));
        Ok(changed.with(warnings.collect()))
    }

    /// Gives up everything: nothing is enforced any more, and nothing is pinned.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove(hands: &Hands) -> Done<()> {
        let node = Self::hold(hands)?;
        // First that by which a command would bring back the rest.
        node.layout.unmark()?;
        for place in places::all(&node.layout)? {
            place.release(&node.layout)?;
        }
        layout::remove_all(&node.layout.root)
    }
}

impl Changed {
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

/// Says to a generation who is behind each interface. Returns what is closed by it.
/// What was left out of the policies that the image was made of: one that denies may be among it.
fn incomplete(image: &Image<'_>) -> impl Iterator<Item = Diagnostic> {
    image.source().incomplete.iter().map(|left_out| {
        Diagnostic::new(
            &codes::IMAGE_INCOMPLETE,
            format!("the image enforces less than the manifests say: {left_out}"),
        )
        .help("mend what is left out, compile again, and load that image")
    })
}

fn say_who(
    generation: &mut Generation,
    image: &Image<'_>,
    places: &[Place],
) -> Done<Vec<Diagnostic>> {
    let mut warnings = Vec::new();
    for place in places {
        let (Kind::Interface, Ok(interface)) = (place.kind, u32::try_from(place.number)) else {
            continue;
        };
        let endpoint = image.endpoint(&place.of);
        if endpoint.is_none() {
            warnings.push(closed(place, "the image does not have it"));
        }
        let entry = entry(image, interface, endpoint);
        let said = generation.attach_interface(entry);
        said.map_err(|error| not_loaded(&error))?;
    }
    Ok(warnings)
}

fn entry(image: &Image<'_>, interface: u32, endpoint: Option<u32>) -> Attachment {
    let Some(endpoint) = endpoint else {
        return Attachment {
            interface,
            flags: CLOSED,
            ..Attachment::default()
        };
    };
    let mut entry = Attachment {
        interface,
        endpoint,
        ..Attachment::default()
    };
    // One address of each family is compared before the others are searched for.
    for (address, own) in addresses(image) {
        if own != endpoint {
            continue;
        }
        match address {
            IpAddr::V4(address) => {
                entry.flags |= HAS_V4;
                entry.v4 = address.to_bits();
            }
            IpAddr::V6(address) => {
                entry.flags |= HAS_V6;
                entry.v6 = Address::v6(address.to_bits());
            }
        }
    }
    entry
}

/// The addresses of the endpoints of an image.
fn addresses(image: &Image<'_>) -> impl Iterator<Item = (IpAddr, u32)> {
    (0..image.count(Config::Addresses)).filter_map(|index| {
        let words = [0, 1, 2].map(|word| image.word(Section::Addresses, index * 3 + word));
        let [Some(upper), Some(lower), Some(endpoint)] = words else {
            return None;
        };
        let bits = u128::from(upper) << 64 | u128::from(lower);
        let address = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
        Some((address, u32::try_from(endpoint).ok()?))
    })
}

fn expect_digest(bytes: &[u8], expected: Option<[u8; 32]>) -> Done<()> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let found: [u8; 32] = Sha256::digest(bytes).into();
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (hex(&found), hex(&expected));
    Err(problem(
        &codes::OTHER_DIGEST,
        format!("the digest of the image is {found}, and {expected} was expected"),
        "fetch the image again from where it came, or ask who gave the digest",
    ))
}

fn closed(place: &Place, why: &str) -> Diagnostic {
    let name = place.name();
    Diagnostic::new(
        &codes::ENDPOINT_CLOSED,
        format!("{name} is closed, nothing passes: {why}"),
    )
    .help("load an image of this node that has it")
}

fn gone(place: &Place) -> Diagnostic {
    let name = place.name();
    Diagnostic::new(
        &codes::INTERFACE_GONE,
        format!("{name} is gone, and no longer attached"),
    )
    .help("attach it again where it comes back")
}
