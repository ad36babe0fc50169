//! Endpoints come and go: an interface, an address or a cgroup is protected, and no longer.
//!
//! First it is written down what is to be protected, then the generation is told who it is, then programs are attached: a
//! command that is killed in between is finished by the next one, and until then nothing passes there that would not have.

use super::hold;
use super::load::forgotten;
use super::places::{self, By, Filters, Kind, Named, Place};
use super::problem::{Done, not_loaded, pins, problem, quoted};
use super::routes;
use super::who::{addresses, say_who};
use super::{Changed, Marker, Node, Problems, closed, ensure_programs};
use crate::attachments::{self, Programs};
use rustix::fs::statfs;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use verdict_compiler::diagnostic::{Diagnostic, codes};

/// `CGROUP2_SUPER_MAGIC` (Linux, `include/uapi/linux/magic.h`).
const CGROUP2: u32 = 0x6367_7270;

/// By what programs are held at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// By links of tcx: Linux 6.6 and later.
    Tcx,
    /// By filters of traffic control.
    Clsact,
}

/// How an interface is attached.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// By what the programs are held; `None`: as they are already, or as the kernel can.
    pub hook: Option<Hook>,
    /// Whether another endpoint may be behind the interface from now on than the one that is.
    pub replace: bool,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

impl Node {
    /// Protects an endpoint at the host's side of its interface.
    ///
    /// # Errors
    /// Where there is no such interface, another endpoint is behind it, or it cannot be attached.
    pub fn attach_interface(&self, interface: &str, endpoint: &str, how: How) -> Done<Changed> {
        let index = places::interface_index(interface).map_err(|_| {
            problem(
                &codes::NOT_ATTACHED,
                format!("there is no interface `{interface}` in this network namespace"),
                "it is the host's side of the pod's interface that is wanted: `ip link` lists all",
            )
        })?;
        self.is_no_host(endpoint)?;
        let places = places::all(&self.layout)?;
        let own = |place: &&Place| place.interface() == Some(index);
        if let Some(own) = places.iter().find(own) {
            is_ours(own, interface, endpoint, how.replace)?;
        }
        let by = self.by(index, how.hook)?;
        let others: Vec<&Place> = places.iter().filter(|place| !own(place)).collect();
        let warning = several(&others, interface, endpoint);
        let changed = self.attach(Kind::Interface, index.into(), endpoint, by)?;
        Ok(changed.with(warning.into_iter().collect()))
    }

    /// Refuses the node itself, where an image is loaded that has it: its own interfaces carry what is for its pods as well.
    fn is_no_host(&self, endpoint: &str) -> Done<()> {
        let Some(marker) = self.layout.marker()? else {
            return Ok(());
        };
        let held = self.held(marker.current)?;
        let image = held.image()?;
        let is_host = image
            .endpoint(endpoint)
            .is_some_and(|own| image.is_host(own));
        if is_host {
            return Err(problem(
                &codes::NOT_ATTACHED,
                format!("`{endpoint}` is the node itself, which is not attached by an interface"),
                "attach the cgroup of its processes by `--cgroup`: by their addresses they are told to be the node's",
            ));
        }
        Ok(())
    }

    /// Protects the endpoint that has an address, at the interface to which the route to it leads.
    ///
    /// # Errors
    /// Where there is no such route, the image has no endpoint with the address and none is named, or as for
    /// [`Self::attach_interface`].
    pub fn attach_address(
        &self,
        address: IpAddr,
        endpoint: Option<&str>,
        how: How,
    ) -> Done<Changed> {
        if endpoint.is_none() && self.layout.marker()?.is_none() {
            return Err(problem(
                &codes::NOT_ATTACHED,
                format!("nothing is loaded: which pod has the address {address} is not known"),
                "load an image first; or name the pod by `--pod NAMESPACE/NAME`: it is closed until an image has it",
            ));
        }
        let interface = routes::interface(address)?;
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None => self.endpoint_of(address)?,
        };
        self.attach_interface(&interface, &endpoint, how)
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
        if !is_cgroup(&path).unwrap_or(false) {
            return Err(problem(
                &codes::NOT_ATTACHED,
                format!(
                    "{} is no cgroup: it is not in a cgroup v2 file system",
                    quoted(path.display())
                ),
                "`findmnt -t cgroup2` says where one is mounted: it is a folder in there that is wanted",
            ));
        }
        self.attach(Kind::Cgroup, number, &path.to_string_lossy(), By::Links)
    }

    /// How an interface is held: as it is already, or as the kernel can.
    fn by(&self, interface: u32, hook: Option<Hook>) -> Done<By> {
        let places = places::all(&self.layout)?;
        let mut own = places.iter();
        if let Some(own) = own.find(|place| place.interface() == Some(interface)) {
            if own.is_out_of_reach() {
                return Err(own.elsewhere());
            }
            let held = match own.by {
                By::Links => Hook::Tcx,
                By::Filters(_) => Hook::Clsact,
            };
            if hook.is_some_and(|hook| hook != held) {
                return Err(problem(
                    &codes::NOT_ATTACHED,
                    format!("{} is attached by {held}", own.name()),
                    "leave out `--hook`; or detach it first, when everything passes for a moment",
                ));
            }
            return Ok(own.by);
        }
        match hook {
            Some(Hook::Clsact) => filters(interface),
            None if !hold::has_tcx() => filters(interface),
            Some(Hook::Tcx) if !hold::has_tcx() => Err(problem(
                &codes::NOT_ATTACHED,
                "this kernel has no tcx",
                "leave out `--hook`: filters of traffic control (clsact) do then",
            )),
            None | Some(Hook::Tcx) => Ok(By::Links),
        }
    }

    fn attach(&self, kind: Kind, number: u64, of: &str, by: By) -> Done<Changed> {
        let places = places::all(&self.layout)?;
        let mut known = places.iter();
        let known = known.find(|other| other.kind == kind && other.number == number);
        let marker = self.layout.marker()?;
        let changed = match marker {
            Some(marker) => {
                let held = self.held(marker.current)?;
                let image = held.image()?;
                let mut generation = self.opened(&image, &held.folder)?;
                ensure_programs(&mut generation, &[kind], &held.folder)?;
                if kind == Kind::Interface && known.is_some_and(|known| known.of != of) {
                    // Nothing passes from here on until the new name is known.
                    let others = |interface| u64::from(interface) != number;
                    attachments::retain(&held.folder, others)
                        .map_err(|error| not_loaded(&error))?;
                }
                let place = places::intend(&self.layout, kind, number, of, by)?;
                let one = std::slice::from_ref(&place);
                let said = say_who(&mut generation, &image, one, Programs::Running);
                said.and_then(|warnings| Ok(self.attached(&place, Some(marker))?.with(warnings)))
                    .map_err(|problems| (place, problems))
            }
            None => {
                let place = places::intend(&self.layout, kind, number, of, by)?;
                let warnings = vec![closed(&place, "nothing is loaded")];
                self.attached(&place, None)
                    .map(|changed| changed.with(warnings))
                    .map_err(|problems| (place, problems))
            }
        };
        changed.map_err(|(place, mut problems)| {
            if known.is_none()
                && place.folder.exists()
                && let Err(Problems(more)) = place.release(&self.layout)
            {
                // The next command goes on with it.
                problems.0.extend(more);
            }
            problems
        })
    }

    /// Attaches what is written down.
    fn attached(&self, place: &Place, marker: Option<Marker>) -> Done<Changed> {
        let changed = self.point(std::slice::from_ref(place), marker)?;
        if changed.gone.is_empty() {
            return Ok(Changed {
                attached: vec![place.named()],
                ..changed
            });
        }
        Err(problem(
            &codes::NOT_ATTACHED,
            format!("{} went away", place.name()),
            "attach it again when it is back",
        ))
    }

    /// Protects an endpoint no longer. Whatever is attached to its interface, or to the cgroup, passes everything from
    /// then on. Filters that are out of reach are forgotten, by the number of their interface, and go on.
    ///
    /// # Errors
    /// Where nothing of that name is attached, or the pins cannot be removed.
    pub fn detach(&self, what: &str) -> Done<Changed> {
        let places = places::all(&self.layout)?;
        let is_meant = |named: &Named| named.is_called(what);
        let mut found = places;
        found.retain(|place| is_meant(&place.named()));
        // What is gone was forgotten when the node was taken, which is what was asked for.
        let gone = self.gone.iter().filter(|gone| is_meant(gone));
        let mut detached: Vec<Named> = gone.cloned().collect();
        // Filters that are out of reach may be forgotten by their number, which is that of no interface here.
        let may_be_forgotten =
            |place: &Place| place.is_out_of_reach() && place.number.to_string() == what;
        let elsewhere = found
            .iter()
            .filter(|place| place.is_elsewhere() && !may_be_forgotten(place));
        let problems: Vec<Diagnostic> = elsewhere.flat_map(|place| place.elsewhere().0).collect();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        if found.is_empty() && detached.is_empty() {
            return Err(problem(
                &codes::NOT_ATTACHED,
                format!("nothing is attached that is called `{what}`"),
                "`verdict-node status` names what is",
            ));
        }
        let mut warnings = Vec::new();
        for place in &found {
            if place.is_out_of_reach() {
                self.layout.give_up(&place.folder)?;
                self.layout.clean()?;
                warnings.push(forgotten(place.number));
            } else {
                place.release(&self.layout)?;
            }
            detached.push(place.named());
        }
        let marker = self.layout.marker()?;
        self.tidy(marker)?;
        Ok(Changed {
            generation: marker.map(|marker| marker.current),
            detached,
            warnings,
            ..Changed::default()
        })
    }
}

/// That an interface that is protected already is the one of this network namespace, and may get an endpoint.
fn is_ours(own: &Place, interface: &str, endpoint: &str, replace: bool) -> Done<()> {
    if own.is_elsewhere() {
        return Err(problem(
            &codes::NOT_ATTACHED,
            format!(
                "`{interface}` has index {}, by which {} is protected in another network namespace",
                own.number, own.of
            ),
            "a folder of pins knows an index once: give each network namespace one of its own by `--root DIR`",
        ));
    }
    if own.of != endpoint && own.damage.is_none() && !replace {
        return Err(problem(
            &codes::NOT_ATTACHED,
            format!("`{interface}` protects {} already", own.of),
            "`--replace` puts the other pod in its place; or `verdict-node detach` gives it up first, when everything passes \
             for a moment",
        ));
    }
    Ok(())
}

/// An endpoint is told to be behind an interface that is behind others already.
fn several(others: &[&Place], interface: &str, endpoint: &str) -> Option<Diagnostic> {
    let own = others.iter().filter(|place| place.of == endpoint);
    let own: Vec<String> = own.map(|place| quoted(place.shown())).collect();
    (!own.is_empty()).then(|| {
        Diagnostic::new(
            &codes::SEVERAL_INTERFACES,
            format!(
                "{endpoint} is protected at {} already, and at `{interface}` from now on",
                own.join(", ")
            ),
        )
        .help("where it is one of them alone, `verdict-node detach INTERFACE` gives up the other")
    })
}

fn is_cgroup(path: &Path) -> io::Result<bool> {
    let found = statfs(path)?;
    Ok(u32::try_from(found.f_type).unwrap_or_default() == CGROUP2)
}

/// Filters of an interface where there are none of ours yet.
fn filters(interface: u32) -> Done<By> {
    let failed = |error| pins(Path::new("/proc/self/ns/net"), "read", &error);
    let filters = Filters::here(interface).map_err(failed)?;
    if filters.are_taken().unwrap_or(false) {
        return Err(problem(
            &codes::NOT_ATTACHED,
            format!(
                "interface {interface} has filters of verdict's already, of another folder of pins"
            ),
            "detach it by the `--root` by which it was attached; `tc filter show` shows what there is",
        ));
    }
    Ok(By::Filters(filters))
}
