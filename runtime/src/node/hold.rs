//! The programs at a place: which run there, and how others take their place.
//!
//! A place has one link for each direction or, at an interface of a kernel without tcx, one filter. Either way the program is
//! replaced in one step, so that each packet is judged by one of both.

use super::Problems;
use super::layout::Layout;
use super::places::{
    By, DIRECTIONS, Filters, Kind, Place, cgroup_number, interface_name, link_name,
    overtaking_name, program_name, put_back,
};
use super::problem::{Done, causes, pins, problem};
use crate::kernel;
use crate::netlink::{self, Side};
use crate::{Generation, Options};
use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, LinkOrder, ProgramInfo, SchedClassifier,
    TcAttachType,
};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use verdict_abi::datapath::Direction;
use verdict_compiler::diagnostic::codes;

/// Connections of the stand-in that lets nothing pass: it keeps none.
const STAND_IN_CONNECTIONS: u32 = 1 << 10;

/// What became of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs the programs that it should.
    Attached(Duration),
    /// There is nothing left to attach to.
    Gone,
}

/// What runs at a direction of a place.
#[derive(Debug)]
enum Runs {
    /// A program, by the kernel's number of it; the link that holds it, where it is held by one.
    Program(u32, Option<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// There is nothing left to attach to.
    Gone,
}

/// Whether a direction of a place runs the program that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It does.
    Right,
    /// It runs another one, or none yet, or a program of somebody else comes before it.
    Other,
    /// There is nothing left to attach to.
    Gone,
}

/// Whether this kernel holds programs at interfaces by links of tcx.
pub(super) fn has_tcx() -> bool {
    // A kernel that does not know the kind refuses to tell what is attached.
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

/// What comes to the endpoint leaves the host's side of its interface.
const fn side(direction: Direction) -> Side {
    match direction {
        Direction::Ingress => Side::Out,
        Direction::Egress => Side::In,
    }
}

impl Filters {
    /// Whether there is a filter of ours on either side.
    pub(super) fn are_taken(self) -> io::Result<bool> {
        let found = DIRECTIONS.map(|direction| netlink::filter(self.interface, side(direction)));
        let [one, other] = found;
        Ok(one?.is_some() || other?.is_some())
    }

    /// Removes them from this network namespace.
    fn remove(self) -> io::Result<()> {
        for direction in DIRECTIONS {
            netlink::remove_filter(self.interface, side(direction))?;
        }
        Ok(())
    }
}

/// Removes the filters of a place that was given up by a command that was killed.
pub(super) fn finish_release(layout: &Layout) -> Done<()> {
    let removing = layout.removing();
    match Filters::read(&removing)? {
        Some(filters) if filters.are_here() => filters
            .remove()
            .map_err(|error| pins(&removing, "removed", &error)),
        Some(filters) => put_back(layout, filters),
        None => Ok(()),
    }
}

impl Place {
    /// Makes both directions run the programs of a folder.
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
        let failed = |error: io::Error| self.not_changed(direction, &error);
        self.drop_overtaking(direction).map_err(failed)?;
        let (old, link) = match self.runs(direction)? {
            Runs::Nothing if self.is_elsewhere() => return Err(self.elsewhere()),
            Runs::Nothing => return self.create(direction, program),
            Runs::Gone => return Ok(State::Gone),
            Runs::Program(old, link) => (old, link),
        };
        let wanted = kernel::pinned(program).map_err(|error| pins(program, "read", &error))?;
        let id = kernel::program(wanted.as_fd()).map_err(failed)?;
        let is_first = self.is_first(direction, old).map_err(failed)?;
        if id == old && is_first {
            return Ok(State::Attached(Duration::ZERO));
        }
        let start = Instant::now();
        let swapped = match (self.by, link) {
            (By::Filters(filters), _) if !is_first => filters.raise(direction, wanted.as_fd()),
            (By::Filters(filters), _) => filters.set(direction, wanted.as_fd()),
            (By::Links, Some(link)) => kernel::update_link(link.as_fd(), wanted.as_fd()),
            (By::Links, None) => Ok(()),
        };
        match swapped {
            Ok(()) if is_first || self.by != By::Links => Ok(State::Attached(start.elapsed())),
            Ok(()) => match self.overtake(direction, wanted.as_fd()) {
                Ok(true) => Ok(State::Attached(start.elapsed())),
                Ok(false) => Ok(State::Gone),
                Err(error) => Err(self.not_attached(&*error)),
            },
            // It went away meanwhile.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLINK | libc::ENODEV)) => {
                Ok(State::Gone)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether a direction runs a program.
    pub(super) fn holds(&self, direction: Direction, program: &Path) -> Done<Held> {
        let found = match self.runs(direction)? {
            Runs::Gone => return Ok(Held::Gone),
            Runs::Nothing => return Ok(Held::Other),
            Runs::Program(found, _) => found,
        };
        // A command was killed that put another link before it.
        if self.overtaking(direction).exists() {
            return Ok(Held::Other);
        }
        let is_first = self.is_first(direction, found);
        let is_first = is_first.map_err(|error| self.not_changed(direction, &error))?;
        let wanted = kernel::pinned(program).and_then(|program| kernel::program(program.as_fd()));
        Ok(match wanted {
            Ok(wanted) if wanted == found && is_first => Held::Right,
            _ => Held::Other,
        })
    }

    /// Whether no program of somebody else comes before the one that runs. All programs of a cgroup are asked, in any order;
    /// those of an interface of another network namespace are not told here.
    fn is_first(&self, direction: Direction, runs: u32) -> io::Result<bool> {
        match (self.by, self.kind) {
            (By::Filters(filters), _) => netlink::is_first(filters.interface, side(direction)),
            (By::Links, Kind::Interface) if !self.is_elsewhere() => {
                let first = first_at(self.number, direction)?;
                Ok(first.is_none_or(|first| first == runs))
            }
            (By::Links, Kind::Interface | Kind::Cgroup) => Ok(true),
        }
    }

    /// Where the link waits that comes before all others, until it is in the place of the one that no longer does.
    fn overtaking(&self, direction: Direction) -> PathBuf {
        self.folder.join(overtaking_name(direction))
    }

    /// Puts another link before all others, in place of the one that was: nothing passes until the latter is gone. False where
    /// there is no such interface any more.
    fn overtake(&self, direction: Direction, wanted: BorrowedFd<'_>) -> Made<bool> {
        // One of its own: the kernel takes no program twice at one place.
        let mut alone = Generation::closed(Options {
            connections: STAND_IN_CONNECTIONS,
            ..Options::default()
        })?;
        let stand_in = alone.classifier("closed")?;
        let Some(link) = first_link(self.number, direction, stand_in)? else {
            return Ok(false);
        };
        let pin = self.folder.join(link_name(direction));
        let old = kernel::pinned(&pin)?;
        let waiting = self.overtaking(direction);
        link.pin(&waiting)?;
        // Whoever is killed from here on leaves an interface that is closed, and the next command opens it.
        fs::rename(&waiting, &pin)?;
        kernel::detach_link(old.as_fd())?;
        kernel::update_link(kernel::pinned(&pin)?.as_fd(), wanted)?;
        Ok(true)
    }

    /// Lets go of a link that a command left there that was killed.
    fn drop_overtaking(&self, direction: Direction) -> io::Result<()> {
        let waiting = self.overtaking(direction);
        match kernel::pinned(&waiting) {
            Ok(link) => {
                kernel::detach_link(link.as_fd())?;
                fs::remove_file(waiting)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn runs(&self, direction: Direction) -> Done<Runs> {
        match self.by {
            By::Links => self.link_runs(direction),
            By::Filters(filters) if !filters.are_here() => Err(self.elsewhere()),
            By::Filters(filters) => {
                match netlink::filter(filters.interface, side(direction)) {
                    Ok(Some(program)) => Ok(Runs::Program(program, None)),
                    // The index has a name as long as there is the interface.
                    Ok(None) if interface_name(filters.interface).is_err() => Ok(Runs::Gone),
                    Ok(None) => Ok(Runs::Nothing),
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(Runs::Gone),
                    Err(error) => Err(self.not_changed(direction, &error)),
                }
            }
        }
    }

    fn link_runs(&self, direction: Direction) -> Done<Runs> {
        let pin = self.folder.join(link_name(direction));
        let link = match kernel::pinned(&pin) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Runs::Nothing),
            Err(error) => return Err(pins(&pin, "read", &error)),
        };
        let info = kernel::link(link.as_fd()).map_err(|error| pins(&pin, "read", &error))?;
        Ok(match info.place {
            Some(_) => Runs::Program(info.program, Some(link)),
            None => Runs::Gone,
        })
    }

    /// Protects it no longer.
    pub(super) fn release(&self, layout: &Layout) -> Done<()> {
        if self.is_out_of_reach() {
            return Err(self.elsewhere());
        }
        let folder = layout.give_up(&self.folder)?;
        match self.by {
            By::Links => {
                let names = DIRECTIONS.map(|side| [link_name(side), overtaking_name(side)]);
                for name in names.as_flattened() {
                    if let Ok(link) = kernel::pinned(&folder.join(name)) {
                        // Where that is refused it happens when the pin is gone.
                        let _ = kernel::detach_link(link.as_fd());
                    }
                }
            }
            By::Filters(_) => finish_release(layout)?,
        }
        layout.clean()
    }

    fn create(&self, direction: Direction, program: &Path) -> Done<State> {
        let start = Instant::now();
        let made = match (self.by, self.kind) {
            (By::Filters(filters), _) => filters.create(direction, program),
            (By::Links, Kind::Interface) => {
                self.pin(direction, interface_link(self.number, direction, program))
            }
            (By::Links, Kind::Cgroup) => {
                let link = cgroup_link(Path::new(&self.of), self.number, direction, program);
                self.pin(direction, link)
            }
        };
        match made {
            Ok(true) => Ok(State::Attached(start.elapsed())),
            Ok(false) => Ok(State::Gone),
            Err(error) => Err(self.not_attached(&*error)),
        }
    }

    fn pin(&self, direction: Direction, link: Made<Option<FdLink>>) -> Made<bool> {
        let Some(link) = link? else {
            return Ok(false);
        };
        link.pin(self.folder.join(link_name(direction)))?;
        Ok(true)
    }

    fn not_changed(&self, direction: Direction, error: &io::Error) -> Problems {
        match self.by {
            By::Links => pins(&self.folder.join(link_name(direction)), "changed", error),
            By::Filters(_) => self.not_attached(error),
        }
    }

    fn not_attached(&self, error: &(dyn Error + 'static)) -> Problems {
        let why = causes(error);
        problem(
            &codes::NOT_ATTACHED,
            format!("{} cannot be attached: {why}", self.name()),
            "what was attached before stays so; `verdict-node status` says what there is",
        )
    }
}

type Made<T> = Result<T, Box<dyn Error>>;

impl Filters {
    fn set(self, direction: Direction, program: BorrowedFd<'_>) -> io::Result<()> {
        let name = program_name(Kind::Interface, direction, true);
        netlink::set_filter(self.interface, side(direction), program, name)
    }

    fn raise(self, direction: Direction, program: BorrowedFd<'_>) -> io::Result<()> {
        let name = program_name(Kind::Interface, direction, true);
        netlink::raise_filter(self.interface, side(direction), program, name)
    }

    /// False where there is no such interface any more.
    fn create(self, direction: Direction, program: &Path) -> Made<bool> {
        let program = kernel::pinned(program)?;
        let made = netlink::add_clsact(self.interface);
        // A stand-in may be there of a command that was killed.
        let made = made.and_then(|()| self.raise(direction, program.as_fd()));
        match made {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of an interface; `None` where there is none any more.
fn name_of(number: u64) -> Option<String> {
    let index = u32::try_from(number).ok()?;
    interface_name(index).ok()
}

const fn tcx_side(direction: Direction) -> TcAttachType {
    match side(direction) {
        Side::Out => TcAttachType::Egress,
        Side::In => TcAttachType::Ingress,
    }
}

/// The kernel's number of the program that comes first at an interface, by tcx.
fn first_at(number: u64, direction: Direction) -> io::Result<Option<u32>> {
    let Some(name) = name_of(number) else {
        return Ok(None);
    };
    let found = SchedClassifier::query_tcx(&name, tcx_side(direction));
    let (_, programs) = found.map_err(io::Error::other)?;
    Ok(programs.first().map(ProgramInfo::id))
}

/// `None` where there is no such interface any more.
fn interface_link(number: u64, direction: Direction, program: &Path) -> Made<Option<FdLink>> {
    first_link(number, direction, &mut SchedClassifier::from_pin(program)?)
}

fn first_link(
    number: u64,
    direction: Direction,
    program: &mut SchedClassifier,
) -> Made<Option<FdLink>> {
    let Some(name) = name_of(number) else {
        return Ok(None);
    };
    let side = tcx_side(direction);
    // Before all others: what one of them takes for granted would not be judged.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&name, side, options)?;
    Ok(Some(program.take_link(id)?.try_into()?))
}

/// `None` where there is no such cgroup any more.
fn cgroup_link(
    path: &Path,
    number: u64,
    direction: Direction,
    program: &Path,
) -> Made<Option<FdLink>> {
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
