//! What is attached, and what is to be attached: interfaces and cgroups.

use super::layout::{Layout, names, text, write_text};
use super::problem::{Done, pins, problem};
use crate::kernel;
use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, LinkOrder, SchedClassifier, TcAttachType,
};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use verdict_abi::datapath::Direction;
use verdict_compiler::diagnostic::codes;

/// Both directions.
pub(super) const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// What programs are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The host's side of a pod's interface.
    Interface,
    /// The cgroup of a pod.
    Cgroup,
}

/// Something that was asked to be protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// The index of the interface, or the number of the cgroup.
    pub(super) number: u64,
    /// The endpoint `namespace/name`, or the path of the cgroup.
    pub(super) of: String,
    pub(super) folder: PathBuf,
}

/// What became of the two links of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// They run the programs that they should.
    Attached(Duration),
    /// There is nothing left to attach to.
    Gone,
}

const fn folder_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Interface => "interfaces",
        Kind::Cgroup => "cgroups",
    }
}

const fn label_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Interface => "endpoint",
        Kind::Cgroup => "path",
    }
}

/// The name of a link.
pub(super) const fn link_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// The name of the program for a direction of a place; where nothing is loaded, of the one that lets nothing pass.
pub(super) const fn program_name(kind: Kind, direction: Direction, loaded: bool) -> &'static str {
    match (kind, direction, loaded) {
        (Kind::Interface, Direction::Ingress, true) => "ingress",
        (Kind::Interface, Direction::Egress, true) => "egress",
        (Kind::Interface, _, false) => "closed",
        (Kind::Cgroup, Direction::Ingress, true) => "cgroup_ingress",
        (Kind::Cgroup, Direction::Egress, true) => "cgroup_egress",
        (Kind::Cgroup, _, false) => "cgroup_closed",
    }
}

/// Everything that was asked to be protected.
pub(super) fn all(layout: &Layout) -> Done<Vec<Place>> {
    let mut places = Vec::new();
    for kind in [Kind::Interface, Kind::Cgroup] {
        let folder = layout.root.join(folder_of(kind));
        for name in names(&folder)? {
            let folder = folder.join(&name);
            let label = folder.join(label_of(kind));
            let of = text(&label).map_err(|error| pins(&label, "read", &error))?;
            if let Ok(number) = name.parse() {
                places.push(Place {
                    kind,
                    number,
                    of,
                    folder,
                });
            }
        }
    }
    places.sort_by_key(|place| (place.kind, place.number));
    Ok(places)
}

/// Writes down that something is to be protected: from here on every command sees to it that it is.
pub(super) fn intend(layout: &Layout, kind: Kind, number: u64, of: &str) -> Done<Place> {
    let folder = layout.root.join(folder_of(kind)).join(number.to_string());
    if folder.exists() {
        // The name of who is behind an interface may change; the links stay.
        let new = layout.root.join("marker");
        write_text(&new, of)?;
        super::layout::rename(&new, &folder.join(label_of(kind)))?;
    } else {
        let making = layout.begin()?;
        write_text(&making.join(label_of(kind)), of)?;
        layout.finish(&folder)?;
    }
    Ok(Place {
        kind,
        number,
        of: of.to_owned(),
        folder,
    })
}

impl Place {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Interface => format!("interface {} of {}", self.shown(), self.of),
            Kind::Cgroup => format!("cgroup {}", self.of),
        }
    }

    /// The name of the interface, or its index where it has none any more.
    pub(super) fn shown(&self) -> String {
        let index = u32::try_from(self.number).ok();
        index
            .and_then(|index| interface_name(index).ok())
            .unwrap_or_else(|| self.number.to_string())
    }

    /// Makes both links run the programs of a folder.
    pub(super) fn point(&self, programs: &Path, loaded: bool) -> Done<State> {
        let mut taken = Duration::ZERO;
        for direction in DIRECTIONS {
            let program = programs.join(program_name(self.kind, direction, loaded));
            match self.point_one(direction, &program)? {
                State::Attached(each) => taken += each,
                State::Gone => return Ok(State::Gone),
            }
        }
        Ok(State::Attached(taken))
    }

    fn point_one(&self, direction: Direction, program: &Path) -> Done<State> {
        let pin = self.folder.join(link_name(direction));
        let failed = |error: io::Error| pins(&pin, "changed", &error);
        let link = match kernel::pinned(&pin) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.create(direction, program, &pin);
            }
            Err(error) => return Err(pins(&pin, "read", &error)),
        };
        let info = kernel::link(link.as_fd()).map_err(failed)?;
        if info.place.is_none() {
            return Ok(State::Gone);
        }
        let wanted = kernel::pinned(program).map_err(|error| pins(program, "read", &error))?;
        let id = kernel::program(wanted.as_fd()).map_err(failed)?;
        if id == info.program {
            return Ok(State::Attached(Duration::ZERO));
        }
        let start = Instant::now();
        match kernel::update_link(link.as_fd(), wanted.as_fd()) {
            Ok(()) => Ok(State::Attached(start.elapsed())),
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(State::Gone),
            Err(error) => Err(failed(error)),
        }
    }

    /// Protects it no longer.
    pub(super) fn release(&self, layout: &Layout) -> Done<()> {
        let folder = layout.give_up(&self.folder)?;
        for direction in DIRECTIONS {
            if let Ok(link) = kernel::pinned(&folder.join(link_name(direction))) {
                // Where that is refused it happens when the pin is gone.
                let _ = kernel::detach_link(link.as_fd());
            }
        }
        layout.clean()
    }

    fn create(&self, direction: Direction, program: &Path, pin: &Path) -> Done<State> {
        let start = Instant::now();
        let made = match self.kind {
            Kind::Interface => interface_link(self.number, direction, program),
            Kind::Cgroup => cgroup_link(Path::new(&self.of), self.number, direction, program),
        };
        let link = match made {
            Ok(Some(link)) => link,
            Ok(None) => return Ok(State::Gone),
            Err(error) => return Err(self.not_attached(&*error)),
        };
        match link.pin(pin) {
            Ok(_) => Ok(State::Attached(start.elapsed())),
            Err(error) => Err(self.not_attached(&error)),
        }
    }

    fn not_attached(&self, error: &(dyn Error + 'static)) -> super::Problems {
        let why = super::problem::causes(error);
        problem(
            &codes::NOT_ATTACHED,
            format!("{} cannot be attached: {why}", self.name()),
            "what was attached before stays so; `verdict-node status` says what there is",
        )
    }
}

type Made = Result<Option<FdLink>, Box<dyn Error>>;

/// `None` where there is no such interface any more.
fn interface_link(number: u64, direction: Direction, program: &Path) -> Made {
    let Some(name) = u32::try_from(number)
        .ok()
        .and_then(|index| interface_name(index).ok())
    else {
        return Ok(None);
    };
    // What comes to the endpoint leaves the host's side of its interface.
    let side = match direction {
        Direction::Ingress => TcAttachType::Egress,
        Direction::Egress => TcAttachType::Ingress,
    };
    let mut program = SchedClassifier::from_pin(program)?;
    // Before all others: what one of them takes for granted would not be judged.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&name, side, options)?;
    Ok(Some(program.take_link(id)?.try_into()?))
}

/// `None` where there is no such cgroup any more.
fn cgroup_link(path: &Path, number: u64, direction: Direction, program: &Path) -> Made {
    if cgroup_number(path).ok() != Some(number) {
        return Ok(None);
    }
    let side = match direction {
        Direction::Ingress => CgroupSkbAttachType::Ingress,
        Direction::Egress => CgroupSkbAttachType::Egress,
    };
    let mut program = CgroupSkb::from_pin(program, side)?;
    // A link lets others be attached beside it, and the kernel wants no flag for that.
    let id = program.attach(File::open(path)?, side, CgroupAttachMode::Single)?;
    Ok(Some(program.take_link(id)?.try_into()?))
}

/// The number of a cgroup: that of its folder.
pub(super) fn cgroup_number(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(path)?.ino())
}

/// The name of an interface of this network namespace.
pub(super) fn interface_name(index: u32) -> io::Result<String> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::index_to_name(any, index)?)
}

/// The index of an interface of this network namespace.
pub(super) fn interface_index(name: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(any, name)?)
}
