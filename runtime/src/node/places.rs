//! What is attached, and what is to be attached: interfaces and cgroups.

use super::layout::{Layout, names, text, write_text};
use super::problem::{Done, Problems, pins, problem};
use crate::kernel;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
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
    pub(super) by: By,
}

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
            let by = Filters::read(&folder)?.map_or(By::Links, By::Filters);
            if let Ok(number) = name.parse() {
                places.push(Place {
                    kind,
                    number,
                    of,
                    folder,
                    by,
                });
            }
        }
    }
    places.sort_by_key(|place| (place.kind, place.number));
    Ok(places)
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
        if let By::Filters(filters) = by {
            write_text(&making.join(CLSACT), &filters.text())?;
        }
        layout.finish(&folder)?;
    }
    Ok(Place {
        kind,
        number,
        of: of.to_owned(),
        folder,
        by,
    })
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

    /// Whether it is held by filters of another network namespace, which cannot be changed from here.
    pub(super) fn is_out_of_reach(&self) -> bool {
        match self.by {
            By::Links => false,
            By::Filters(filters) => !filters.are_here(),
        }
    }

    /// What is said of it then.
    pub(super) fn elsewhere(&self) -> Problems {
        problem(
            &codes::NOT_ATTACHED,
            format!(
                "interface {} of {} is in another network namespace, where its filters are",
                self.number, self.of
            ),
            format!(
                "they go on as they are: run the command there; where that is no more, `verdict-node detach {}` forgets it",
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

    /// The name of the interface, or its index where it has none any more.
    pub(super) fn shown(&self) -> String {
        // There, another one may have its index here.
        let index = self.interface().filter(|_| !self.is_out_of_reach());
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
