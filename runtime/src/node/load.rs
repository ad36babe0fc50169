//! Generations come and go: an image is loaded, the one before comes back, all are given up.

use super::hold;
use super::layout;
use super::places::{self, Filters, Kind, Place};
use super::problem::{Done, Problems, not_loaded, pins, problem, quoted};
use super::release::Release;
use super::who::say_who;
use super::{Changed, Hands, Marker, Node, closed, ensure_programs, stored};
use crate::attachments::Programs;
use crate::generation::Generation;
use crate::netlink;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use verdict_abi::{Action, Code, Config, Section, Tables as _};
use verdict_compiler::diagnostic::{Diagnostic, codes};
use verdict_compiler::image::{Image, hex};

/// How an image is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loading<'a> {
    /// The file that it is from, as it is named to people.
    pub file: Option<&'a Path>,
    /// Whether it is loaded, too, where it enforces already.
    pub force: bool,
    /// The SHA-256 digest that its file must have.
    pub expected: Option<[u8; 32]>,
    /// The node that it must be for.
    pub node: Option<&'a str>,
    /// The generation of the bundle that it is from.
    pub release: Option<&'a Release>,
    /// Which generations are taken in the place of the one that enforces.
    pub takes: Takes,
    /// Word 0 of the map `settings`.
    pub settings: u64,
}

/// Which generations of bundles are taken in the place of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Takes {
    /// Older ones, too.
    pub older: bool,
    /// Those of another fleet, too.
    pub other_fleet: bool,
}

impl Node {
    /// Loads an image as the next generation, and lets it enforce wherever something is attached. Where it enforces already,
    /// as it was asked for, nothing is loaded: the generation to go back to stays.
    ///
    /// # Errors
    /// Where it is no image or not the expected one, or the kernel does not take it. The old generation enforces then.
    pub fn load(&self, bytes: &[u8], loading: Loading<'_>) -> Done<Changed> {
        expect_digest(bytes, loading.expected)?;
        let image = Image::decode(bytes).map_err(|error| {
            let file = loading.file.map(|file| quoted(file.display()));
            let file = file.unwrap_or_else(|| "this".to_owned());
            problem(
                &codes::NO_IMAGE,
                format!("{file} is no image that can be loaded: {error}"),
                "compile it again, or fetch it again from where it came",
            )
        })?;
        is_for_node(&image, loading.node)?;
        if let Some(new) = loading.release {
            self.follows(new, loading.takes)?;
        }
        let places = places::all(&self.layout)?;
        if !loading.force
            && let Some(unchanged) = self.enforces(bytes, &image, &loading, &places)
        {
            return Ok(unchanged);
        }
        let making = self.layout.begin()?;
        let options = self.options(loading.settings);
        let loaded = Generation::load(&image, options).and_then(|generation| {
            let witness = generation.attest(&image)?;
            generation.pin(&making)?;
            Ok((generation, witness))
        });
        let (mut generation, witness) = loaded.map_err(|error| not_loaded(&error))?;
        stored::keep(&making, bytes, &image).map_err(|error| pins(&making, "filled", &error))?;
        if let Some(release) = loading.release {
            release.keep(&making)?;
        }
        let mut kinds: Vec<Kind> = places.iter().map(|place| place.kind).collect();
        kinds.push(Kind::Interface);
        ensure_programs(&mut generation, &kinds, &making)?;
        let mut warnings = say_who(&mut generation, &image, &places, Programs::Idle)?;
        warnings.extend(shortcomings(&image));
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
            release: loading.release.cloned(),
            ..changed
        }
        .with(warnings))
    }

    /// Whether a generation of a bundle may take the place of the one whose image enforces.
    fn follows(&self, new: &Release, takes: Takes) -> Done<()> {
        let Some(marker) = self.layout.marker()? else {
            return Ok(());
        };
        match Release::read(&self.layout.generation(marker.current)) {
            Ok(Some(old)) => follows(new, &old, takes),
            Ok(None) => Ok(()),
            // Whatever it is, it is taken: so it is mended.
            Err(_) if takes.older && (takes.other_fleet || new.fleet.is_none()) => Ok(()),
            Err(Problems(problems)) => {
                let unknown = problems.into_iter().map(|problem| {
                    problem.help(
                        "which generation of a bundle enforces is not known: `--allow-older` and the name of the `--fleet` \
                         take any in its place",
                    )
                });
                Err(Problems(unknown.collect()))
            }
        }
    }

    /// What there is to say where an image enforces already, with the same settings and from the same generation of a bundle.
    /// `None` where it does not, or not everything of it is there any more: then it is loaded.
    fn enforces(
        &self,
        bytes: &[u8],
        image: &Image<'_>,
        loading: &Loading<'_>,
        places: &[Place],
    ) -> Option<Changed> {
        if places.iter().any(Place::is_out_of_reach) {
            return None;
        }
        let marker = self.layout.marker().ok()??;
        let held = self.held(marker.current).ok()?;
        let release = Release::read(&held.folder).ok()?;
        if held.bytes != bytes || release.as_ref() != loading.release {
            return None;
        }
        let mut generation = self.opened(image, &held.folder).ok()?;
        if generation.asked() != loading.settings {
            return None;
        }
        let witness = generation.attest(image).ok()?;
        let mut warnings = say_who(&mut generation, image, places, Programs::Running).ok()?;
        warnings.extend(shortcomings(image));
        let unchanged = Changed {
            generation: Some(marker.current),
            witness: Some(witness),
            release,
            unchanged: true,
            ..Changed::default()
        };
        Some(unchanged.with(warnings))
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
        let release = Release::read(&held.folder)?;
        let image = held.image()?;
        let mut generation = self.opened(&image, &held.folder)?;
        let witness = generation
            .attest(&image)
            .map_err(|error| not_loaded(&error))?;
        let places = places::all(&self.layout)?;
        let kinds: Vec<Kind> = places.iter().map(|place| place.kind).collect();
        ensure_programs(&mut generation, &kinds, &held.folder)?;
        let mut warnings = say_who(&mut generation, &image, &places, Programs::Idle)?;
        warnings.extend(shortcomings(&image));
        let marker = Marker {
            current: held.number,
            previous: Some(current),
        };
        let changed = self.go_to(&places, marker)?;
        Ok(Changed {
            witness: Some(witness),
            release,
            ..changed
        }
        .with(warnings))
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
        let reached = places.iter().filter(|place| !place.is_out_of_reach());
        let warnings = reached.map(|place| closed(place, "nothing is loaded"));
        Ok(changed.with(warnings.collect()))
    }

    /// Gives up everything: nothing is enforced any more, and nothing is pinned.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove(hands: &Hands) -> Done<Changed> {
        let node = Self::hold(hands)?;
        // First that by which a command would bring back the rest.
        node.layout.unmark()?;
        let mut changed = Changed::default();
        match Filters::read(&node.layout.removing()) {
            Ok(Some(filters)) if !filters.are_here() => {
                changed.warnings.push(forgotten(filters.interface.into()));
            }
            Ok(Some(_) | None) => hold::finish_release(&node.layout)?,
            // It says nothing that could be used.
            Err(_) => {}
        }
        for place in places::all(&node.layout)? {
            if place.is_out_of_reach() {
                changed.warnings.push(forgotten(place.number));
            } else {
                let named = place.named();
                place.release(&node.layout)?;
                changed.detached.push(named);
            }
        }
        layout::remove_all(&node.layout.root)?;
        Ok(changed)
    }
}

/// In what the node enforces otherwise than the policies say that the image was made of.
fn shortcomings(image: &Image<'_>) -> impl Iterator<Item = Diagnostic> {
    incomplete(image).chain(proxied(image))
}

/// Rules that a message names.
const NAMED_RULES: usize = 3;

/// Packets that should go by way of a proxy: none is there.
fn proxied(image: &Image<'_>) -> Option<Diagnostic> {
    let codes = (0..image.count(Config::Codes)).filter_map(|index| {
        let code = Code::of(image.word(Section::Codes, index)?)?;
        let origin = image.source().decider(code);
        origin.filter(|_| code.action == Action::Redirect)
    });
    let rules: BTreeSet<String> = codes
        .map(|origin| format!("{} ({}:{})", origin.policy, origin.file, origin.line))
        .collect();
    if rules.is_empty() {
        return None;
    }
    let named: Vec<&str> = rules.iter().take(NAMED_RULES).map(String::as_str).collect();
    let more = match rules.len().saturating_sub(NAMED_RULES) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let message = format!(
        "there is no proxy on this node: packets that should go by way of one are dropped, by {}{more}",
        named.join(", ")
    );
    let help = "their L7 rules, TLS contexts and listeners need Cilium's proxy; without them the ports are enforced here";
    Some(Diagnostic::new(&codes::NO_PROXY, message).help(help))
}

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

fn is_for_node(image: &Image<'_>, wanted: Option<&str>) -> Done<()> {
    let own = image.source().node.as_deref();
    let Some(wanted) = wanted.filter(|wanted| own != Some(*wanted)) else {
        return Ok(());
    };
    let own = own.map_or_else(
        || "the pods whose node is not known".to_owned(),
        |own| format!("node `{own}`"),
    );
    Err(problem(
        &codes::NO_NODE,
        format!("the image is for {own}, not for node `{wanted}`"),
        "load the image of this node, or name the node as the manifests do: `--node NAME`",
    ))
}

/// Whether a generation of a bundle may take the place of another one.
fn follows(new: &Release, old: &Release, takes: Takes) -> Done<()> {
    if new.fleet != old.fleet && !takes.other_fleet {
        let named = |release: &Release| match &release.fleet {
            Some(fleet) => format!("fleet `{fleet}`"),
            None => "no fleet in particular".to_owned(),
        };
        return Err(problem(
            &codes::OTHER_FLEET,
            format!(
                "the bundle is for {}, and the image that enforces is of one for {}",
                named(new),
                named(old)
            ),
            "fetch the bundle of this fleet; to change the fleet on purpose, name it by `--fleet`",
        ));
    }
    if new.fleet == old.fleet && new.generation < old.generation && !takes.older {
        return Err(problem(
            &codes::OLD_GENERATION,
            format!(
                "{} has been replaced: generation {} enforces",
                new.name(),
                old.generation
            ),
            "fetch the newest bundle; to go back on purpose, `--allow-older` takes it",
        ));
    }
    Ok(())
}

/// An interface of another network namespace that is not known any more.
pub(super) fn forgotten(interface: u64) -> Diagnostic {
    let handle = netlink::NUMBER;
    Diagnostic::new(
        &codes::INTERFACE_GONE,
        format!("interface {interface} is in another network namespace, and is forgotten"),
    )
    .help(format!(
        "what filters it there goes on: `tc filter del dev NAME ingress pref 1 handle {handle:#x} bpf` and the same for \
         `egress` remove them"
    ))
}
