//! What is loaded, attached and counted on a node, read from its pins.

use super::hold::Held;
use super::layout::Layout;
use super::lock::{self, Hold};
use super::places::{self, By, DIRECTIONS, Found, Kind, Place, program_name};
use super::problem::{Done, not_loaded, pins};
use super::{Hands, Hook, Release, needs, stored};
use crate::attachments;
use crate::attest::Witness;
use crate::generation::{Generation, Options, sums};
use aya::maps::{Map, MapData, PerCpuArray};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use verdict_abi::datapath::{Counter, Reason};
use verdict_abi::{Action, Code, Config, Section, Tables as _};
use verdict_compiler::diagnostic::Diagnostic;
use verdict_compiler::image::{Image, Origin};

/// What a node does.
#[derive(Clone, Debug)]
pub struct Status {
    /// The generation that enforces.
    pub generation: Option<GenerationStatus>,
    /// The one to which `rollback` goes.
    pub previous: Option<StoredStatus>,
    /// What is attached.
    pub attached: Vec<Attached>,
    /// What of the pins cannot be read, or is none of them.
    pub damaged: Vec<Diagnostic>,
    /// What was counted by reason, over all generations.
    pub reasons: Vec<ReasonStatus>,
}

/// A generation that is kept.
#[derive(Clone, Debug)]
pub struct StoredStatus {
    /// Its number.
    pub number: u64,
    /// The SHA-256 digest of its image.
    pub digest: [u8; 32],
}

/// The generation that enforces.
#[derive(Clone, Debug)]
pub struct GenerationStatus {
    /// Its number and digest.
    pub stored: StoredStatus,
    /// The node that its image was made for; `None` for the pods whose node is not known.
    pub node: Option<String>,
    /// The endpoints of its image.
    pub endpoints: Vec<String>,
    /// The generation of the bundle that the image is from; `None` where it was loaded from a file of its own.
    pub release: Option<Release>,
    /// What was left out of the policies.
    pub incomplete: Vec<String>,
    /// Who says that its maps hold the image.
    pub witness: Witness,
    /// What was counted by rule since it was loaded; rules that decided nothing are left out.
    pub rules: Vec<RuleStatus>,
}

/// What a rule decided.
#[derive(Clone, Debug)]
pub struct RuleStatus {
    /// The rule, or the policy that isolates; `None` where no policy has a say.
    pub origin: Option<Origin>,
    /// What it does.
    pub action: Action,
    /// How often.
    pub counter: Counter,
}

/// What was decided for a reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonStatus {
    /// The reason.
    pub reason: Reason,
    /// How often.
    pub counter: Counter,
}

/// What is attached.
#[derive(Clone, Debug)]
pub struct Attached {
    /// To what.
    pub kind: Kind,
    /// The index of the interface, or the number of the cgroup.
    pub number: u64,
    /// The name of the interface, or its index where it has none in this network namespace.
    pub name: String,
    /// Whether the interface is in another network namespace.
    pub elsewhere: bool,
    /// The endpoint, or the path of the cgroup.
    pub of: String,
    /// By what the programs are held; `None` at a cgroup.
    pub hook: Option<Hook>,
    /// Whether it is protected.
    pub state: AttachedState,
}

/// Whether something that was asked to be protected is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedState {
    /// By the policies of the generation.
    Enforced,
    /// Nothing passes: nothing is loaded, or the image does not have the endpoint.
    Closed,
    /// A command was killed: some programs are of another generation. Or a program of somebody else comes before ours. The next
    /// command mends it.
    Unfinished,
    /// What it was attached to is no more.
    Gone,
    /// It is in another network namespace, where alone it can be looked at.
    Elsewhere,
    /// A pin is lost: who is behind it is not known.
    Damaged,
}

impl Status {
    /// Reads the state of a node, and changes nothing.
    ///
    /// # Errors
    /// Where the node lacks something, another command is at work, or a pin cannot be read; and where a map holds something
    /// else than the image.
    pub fn read(hands: &Hands) -> Done<Self> {
        needs::check(&hands.root)?;
        let layout = Layout {
            root: hands.root.clone(),
        };
        if !layout.root.exists() {
            return Ok(Self {
                generation: None,
                previous: None,
                attached: Vec::new(),
                damaged: Vec::new(),
                reasons: Vec::new(),
            });
        }
        let _lock = lock::take(&layout.root, Hold::Look, hands.patience)?;
        let marker = layout.marker()?;
        let mut generation = None;
        let mut previous = None;
        let mut known = None;
        if let Some(marker) = marker {
            let read = current(&layout, hands, marker.current)?;
            let folder = layout.generation(marker.current);
            let interfaces = attachments::interfaces(&folder);
            known = Some(Known {
                endpoints: read.endpoints.clone(),
                interfaces: interfaces.map_err(|error| not_loaded(&error))?,
            });
            generation = Some(read);
            // One that cannot be read is none to go back to; `rollback` says why.
            previous = marker
                .previous
                .and_then(|number| digest_of(&layout.generation(number), number).ok());
        }
        let programs = match marker {
            Some(marker) => layout.generation(marker.current),
            None => layout.closed(),
        };
        let Found { places, strays } = places::found(&layout)?;
        let attached = places
            .iter()
            .map(|place| attached(place, &programs, known.as_ref()));
        let attached = attached.collect();
        let mut damaged: Vec<Diagnostic> =
            places.into_iter().filter_map(|own| own.damage).collect();
        damaged.extend(strays);
        Ok(Self {
            generation,
            previous,
            attached,
            damaged,
            reasons: reasons(&layout)?,
        })
    }

    /// Whether a generation enforces at everything that is attached, and all pins are whole.
    #[must_use]
    pub fn is_enforcing(&self) -> bool {
        let enforced = |one: &Attached| one.state == AttachedState::Enforced;
        self.generation.is_some() && self.damaged.is_empty() && self.attached.iter().all(enforced)
    }
}

fn digest_of(folder: &Path, number: u64) -> Result<StoredStatus, stored::NotRead> {
    let bytes = stored::read(folder)?;
    Ok(StoredStatus {
        number,
        digest: Sha256::digest(bytes).into(),
    })
}

fn current(layout: &Layout, hands: &Hands, number: u64) -> Done<GenerationStatus> {
    let folder = layout.generation(number);
    let bytes = stored::read(&folder).map_err(|error| error.of(&folder))?;
    let image = Image::decode(&bytes)
        .map_err(|error| pins(&folder, "read", &io::Error::other(error.to_string())))?;
    let options = Options {
        shared: Some(&layout.shared()),
        connections: hands.connections,
        settings: 0,
    };
    let opened = Generation::open(&image, options, &folder);
    let mut generation = opened.map_err(|error| not_loaded(&error))?;
    let witness = generation
        .attest(&image)
        .map_err(|error| not_loaded(&error))?;
    let counters = generation.codes().map_err(|error| not_loaded(&error))?;
    let source = image.source();
    Ok(GenerationStatus {
        stored: StoredStatus {
            number,
            digest: Sha256::digest(&bytes).into(),
        },
        node: source.node.as_deref().map(str::to_owned),
        endpoints: source.endpoints.iter().map(ToString::to_string).collect(),
        release: Release::read(&folder)?,
        incomplete: source.incomplete.iter().map(ToString::to_string).collect(),
        witness,
        rules: rules(&image, &counters),
    })
}

/// What was counted by code, put together by rule.
fn rules(image: &Image<'_>, counters: &[Counter]) -> Vec<RuleStatus> {
    let mut by_rule: BTreeMap<(u32, u8), RuleStatus> = BTreeMap::new();
    for (counter, index) in counters.iter().zip(0..image.count(Config::Codes)) {
        let code = image.word(Section::Codes, index).and_then(Code::of);
        let Some(code) = code.filter(|_| counter.packets > 0) else {
            continue;
        };
        let key = (code.origin, code.action as u8);
        let rule = by_rule.entry(key).or_insert_with(|| RuleStatus {
            origin: image.source().decider(code).cloned(),
            action: code.action,
            counter: Counter::default(),
        });
        rule.counter.packets += counter.packets;
        rule.counter.bytes += counter.bytes;
    }
    by_rule.into_values().collect()
}

fn reasons(layout: &Layout) -> Done<Vec<ReasonStatus>> {
    let path = layout.shared().join("reason_counters");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |error| pins(&path, "read", &io::Error::other(error));
    let map = MapData::from_pin(&path).and_then(Map::from_map_data);
    let counters = map.and_then(PerCpuArray::try_from).map_err(failed)?;
    let counted = sums(&counters, Reason::ALL.len()).map_err(failed)?;
    let counted = Reason::ALL.into_iter().zip(counted);
    Ok(counted
        .map(|(reason, counter)| ReasonStatus { reason, counter })
        .collect())
}

fn attached(place: &Place, programs: &Path, known: Option<&Known>) -> Attached {
    let state = state(place, programs, known);
    Attached {
        kind: place.kind,
        number: place.number,
        // Another interface may have its index by now.
        name: match state {
            AttachedState::Gone => place.number.to_string(),
            AttachedState::Enforced
            | AttachedState::Closed
            | AttachedState::Unfinished
            | AttachedState::Elsewhere
            | AttachedState::Damaged => place.shown(),
        },
        elsewhere: place.is_elsewhere(),
        of: place.of.clone(),
        hook: place.interface().map(|_| match place.by {
            By::Links => Hook::Tcx,
            By::Filters(_) => Hook::Clsact,
        }),
        state,
    }
}

fn state(place: &Place, programs: &Path, known: Option<&Known>) -> AttachedState {
    if place.is_out_of_reach() {
        return AttachedState::Elsewhere;
    }
    if place.damage.is_some() {
        return AttachedState::Damaged;
    }
    let mut state = AttachedState::Enforced;
    match (place.interface(), known) {
        (_, None) => state = AttachedState::Closed,
        (Some(_), Some(known)) if !known.endpoints.contains(&place.of) => {
            state = AttachedState::Closed;
        }
        // Nobody has said yet who is behind it.
        (Some(interface), Some(known)) if !known.interfaces.contains(&interface) => {
            state = AttachedState::Unfinished;
        }
        (Some(_) | None, Some(_)) => {}
    }
    for direction in DIRECTIONS {
        let program = programs.join(program_name(place.kind, direction, known.is_some()));
        match place.holds(direction, &program) {
            Ok(Held::Right) => {}
            Ok(Held::Gone) => return AttachedState::Gone,
            Ok(Held::Other) | Err(_) => state = AttachedState::Unfinished,
        }
    }
    state
}

/// What the generation knows that enforces.
struct Known {
    endpoints: Vec<String>,
    /// The interfaces of which it is said who is behind them.
    interfaces: Vec<u32>,
}
