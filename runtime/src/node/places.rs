//! What is attached, and what is to be attached: interfaces and cgroups.

use super::layout::{Layout, names, text, write_text};
use super::problem::{Done, Problems, pins, problem};
use crate::kernel;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use verdict_abi::datapath::Direction;
use verdict_compiler::cli::reason;
use verdict_compiler::diagnostic::{Diagnostic, codes};

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
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// The index of the interface, or the number of the cgroup.
    pub(super) number: u64,
    /// The endpoint `namespace/name`, or the path of the cgroup; [`NOT_KNOWN`] where the pin is lost that says so.
    pub(super) of: String,
    pub(super) folder: PathBuf,
    pub(super) by: By,
    /// The kernel's number of the network namespace where an interface has this index; `None` where it is not written down.
    namespace: Option<u64>,
    /// What of its pins cannot be read.
    pub(super) damage: Option<Diagnostic>,
}

/// Everything that was asked to be protected, and what stands there beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) places: Vec<Place>,
    /// What is no place.
    pub(super) strays: Vec<Diagnostic>,
}

/// What was asked to be protected, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// The index of the interface, or the number of the cgroup.
    pub number: u64,
    /// The name of the interface, or its index where it has none in this network namespace; that of a cgroup is its number.
    pub name: String,
    /// The endpoint `namespace/name`, or the path of the cgroup.
    pub of: String,
}

impl Named {
    /// Whether people mean it: by the endpoint, the interface, its index, or the path or the number of the cgroup.
    pub(super) fn is_called(&self, what: &str) -> bool {
        let is_path = self.kind == Kind::Cgroup && Path::new(&self.of) == Path::new(what);
        is_path || self.of == what || self.name == what || self.number.to_string() == what
    }
}

/// Who is behind a place where that is not known any more. No endpoint has this name.
const NOT_KNOWN: &str = "(not known)";

/// How programs are held at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By links, which are pinned.
    Links,
    /// By filters of the interface.
    Filters(Filters),
}

/// The filters of an interface, which cannot be pinned: where they are is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filters {
    /// The index of the interface.
    pub(super) interface: u32,
    /// The kernel's number of the network namespace where it has this index.
    pub(super) namespace: u64,
}

/// The name of what says where the filters are.
const CLSACT: &str = "clsact";
/// The name of what says in which network namespace the interface of links is.
const NAMESPACE: &str = "namespace";

impl Filters {
    /// Those of an interface of this network namespace.
    pub(super) fn here(interface: u32) -> io::Result<Self> {
        let namespace = kernel::network_namespace()?;
        Ok(Self {
            interface,
            namespace,
        })
    }

    /// Whether this is the network namespace where they are.
    pub(super) fn are_here(self) -> bool {
        kernel::network_namespace().is_ok_and(|here| here == self.namespace)
    }

    fn text(self) -> String {
        format!("{} {}", self.interface, self.namespace)
    }

    fn of(text: &str) -> Option<Self> {
        let (interface, namespace) = text.split_once(' ')?;
        Some(Self {
            interface: interface.parse().ok()?,
            namespace: namespace.parse().ok()?,
        })
    }

    /// What is written down in the folder of a place; `None` where it is held by links.
    pub(super) fn read(folder: &Path) -> Done<Option<Self>> {
        let path = folder.join(CLSACT);
        let failed = |error: &io::Error| pins(&path, "read", error);
        match text(&path) {
            Ok(text) => match Self::of(&text) {
                Some(filters) => Ok(Some(filters)),
                None => Err(failed(&io::Error::other("it names no interface"))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }
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

/// The name of a link that is to take its place, before all others.
pub(super) const fn overtaking_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress-first",
        Direction::Egress => "egress-first",
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
    found(layout).map(|found| found.places)
}

/// The same, with what stands there beside it.
pub(super) fn found(layout: &Layout) -> Done<Found> {
    let mut found = Found::default();
    for kind in [Kind::Interface, Kind::Cgroup] {
        let folder = layout.root.join(folder_of(kind));
        for name in names(&folder)? {
            let folder = folder.join(&name);
            match name.parse() {
                Ok(number) if folder.is_dir() => found.places.push(read(kind, number, folder)),
                _ => found.strays.push(stray(&folder)),
            }
        }
    }
    let order = |place: &Place| (place.kind, place.number);
    found.places.sort_by_key(order);
    Ok(found)
}

fn read(kind: Kind, number: u64, folder: PathBuf) -> Place {
    let mut damage = None;
    let mut by = By::Links;
    match Filters::read(&folder) {
        Ok(filters) => by = filters.map_or(By::Links, By::Filters),
        Err(Problems(problems)) => damage = problems.into_iter().next(),
    }
    let label = folder.join(label_of(kind));
    let of = text(&label).unwrap_or_else(|error| {
        damage = Some(lost(&label, kind, number, &error));
        NOT_KNOWN.to_owned()
    });
    let namespace = match by {
        By::Links => text(&folder.join(NAMESPACE)).ok(),
        By::Filters(filters) => Some(filters.namespace.to_string()),
    };
    Place {
        kind,
        number,
        of,
        by,
        namespace: namespace.and_then(|number| number.parse().ok()),
        damage,
        folder,
    }
}

/// A place of which the pin is lost that says who is behind it.
fn lost(label: &Path, kind: Kind, number: u64, error: &io::Error) -> Diagnostic {
    let (path, why) = (label.display(), reason(error));
    let word = match kind {
        Kind::Interface => "interface",
        Kind::Cgroup => "cgroup",
    };
    Diagnostic::new(
        &codes::PINS_UNUSABLE,
        format!("`{path}` cannot be read: {why}. Who is behind {word} {number} is not known"),
    )
    .help(format!(
        "attach it again, which mends it; or `verdict-node detach {number}` gives it up"
    ))
}

fn stray(path: &Path) -> Diagnostic {
    let path = path.display();
    Diagnostic::new(
        &codes::PINS_UNUSABLE,
        format!("`{path}` is none of verdict's pins"),
    )
    .help("remove it; `verdict-node unload --all` removes it with everything else")
}

/// Writes down that something is to be protected: from here on every command sees to it that it is.
pub(super) fn intend(layout: &Layout, kind: Kind, number: u64, of: &str, by: By) -> Done<Place> {
    let folder = layout.root.join(folder_of(kind)).join(number.to_string());
    if folder.exists() {
        // The name of who is behind an interface may change; the links stay.
        let new = layout.root.join("marker");
        write_text(&new, of)?;
        super::layout::rename(&new, &folder.join(label_of(kind)))?;
    } else {
        let making = layout.begin()?;
        write_text(&making.join(label_of(kind)), of)?;
        match (kind, by) {
            (Kind::Interface, By::Filters(filters)) => {
                write_text(&making.join(CLSACT), &filters.text())?;
            }
            (Kind::Interface, By::Links) => {
                let namespace = namespace_here()?;
                write_text(&making.join(NAMESPACE), &namespace.to_string())?;
            }
            (Kind::Cgroup, _) => {}
        }
        layout.finish(&folder)?;
    }
    Ok(read(kind, number, folder))
}

/// The kernel's number of this network namespace.
pub(super) fn namespace_here() -> Done<u64> {
    let path = Path::new("/proc/self/ns/net");
    kernel::network_namespace().map_err(|error| pins(path, "read", &error))
}

/// Makes a place again of what a command gave up that was killed, where its filters are out of reach: they go on.
pub(super) fn put_back(layout: &Layout, filters: Filters) -> Done<()> {
    let removing = layout.removing();
    // What has no name any more was given up as a whole, and is only to be removed.
    if text(&removing.join(label_of(Kind::Interface))).is_err() {
        return Ok(());
    }
    let folder = layout.root.join(folder_of(Kind::Interface));
    super::layout::rename(&removing, &folder.join(filters.interface.to_string()))
}

impl Place {
    /// What people call it.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Interface => format!("interface {} of {}", self.shown(), self.of),
            Kind::Cgroup => format!("cgroup {}", self.of),
        }
    }

    /// The same, in its parts.
    pub(super) fn named(&self) -> Named {
        Named {
            kind: self.kind,
            number: self.number,
            name: self.shown(),
            of: self.of.clone(),
        }
    }

    /// Whether its interface is in another network namespace than the command.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.namespace
            .is_some_and(|own| kernel::network_namespace().ok() != Some(own))
    }

    /// Whether it is held by filters of another network namespace: links can be changed from everywhere.
    pub(super) fn is_out_of_reach(&self) -> bool {
        matches!(self.by, By::Filters(_)) && self.is_elsewhere()
    }

    /// What is said of it then.
    pub(super) fn elsewhere(&self) -> Problems {
        problem(
            &codes::NOT_ATTACHED,
            format!(
                "interface {} of {} is in another network namespace",
                self.number, self.of
            ),
            format!(
                "run the command there; where that is no more, `verdict-node detach {}` forgets it",
                self.number
            ),
        )
    }

    /// The index of the interface, where it is one.
    pub(super) fn interface(&self) -> Option<u32> {
        match self.kind {
            Kind::Interface => u32::try_from(self.number).ok(),
            Kind::Cgroup => None,
        }
    }

    /// The name of the interface, or its index where it has none in this network namespace; that of a cgroup is its number.
    pub(super) fn shown(&self) -> String {
        let index = self.interface().filter(|_| !self.is_elsewhere());
        index
            .and_then(|index| interface_name(index).ok())
            .unwrap_or_else(|| self.number.to_string())
    }
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

#[cfg(test)]
mod tests {
    use super::Filters;

    #[test]
    fn where_filters_are_is_read_as_it_is_written() {
        let filters = Filters {
            interface: 7,
            namespace: 1 << 40,
        };
        assert_eq!(Filters::of(&filters.text()), Some(filters));
        for wrong in ["", "7", "7 x", "x 7", "7 1 1"] {
            assert_eq!(Filters::of(wrong), None, "{wrong}");
        }
    }
}
