//! What is pinned where: the state of a node, below one folder of a bpffs.
//!
//! | path | what |
//! | --- | --- |
//! | `shared/` | the maps that generations share: connections, fragments, counters |
//! | `closed/` | the programs that let nothing pass |
//! | `generations/N/` | the maps and programs of a generation, `image`: the rest of its image, and `bundle`, a symbolic link whose text is the generation of the bundle that it is from |
//! | `current` | a symbolic link whose text is the number of the generation that enforces, and of the one before |
//! | `interfaces/INDEX/` | `endpoint`, a symbolic link whose text is the name; the links `ingress` and `egress` with `namespace`, a symbolic link whose text is the network namespace or, where there are filters, `clsact`, one whose text is where they are |
//! | `cgroups/NUMBER/` | `path`, a symbolic link to the cgroup; the links `ingress` and `egress` |
//! | `making/`, `marker`, `removing/` | what is not finished, or not needed any more: removed by the next command |
//!
//! A bpffs has no files that could be written to; names have no dots. A folder is made as `making` and renamed when it is
//! whole, so that each of the others is whole.

use super::problem::{Done, pins};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The paths below the folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

/// Which generations there are to go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// The one that enforces.
    pub(super) current: u64,
    /// The one that enforced before, if it is still there.
    pub(super) previous: Option<u64>,
}

impl Marker {
    fn text(self) -> String {
        match self.previous {
            Some(previous) => format!("{} {previous}", self.current),
            None => self.current.to_string(),
        }
    }

    fn of(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        Some(Self {
            current: numbers.next()?.ok()?,
            previous: numbers.next().transpose().ok()?,
        })
    }
}

impl Layout {
    pub(super) fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }

    pub(super) fn closed(&self) -> PathBuf {
        self.root.join("closed")
    }

    pub(super) fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.generations().join(number.to_string())
    }

    pub(super) fn making(&self) -> PathBuf {
        self.root.join("making")
    }

    pub(super) fn removing(&self) -> PathBuf {
        self.root.join("removing")
    }

    fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Makes the folders that are always there.
    pub(super) fn make(&self) -> Done<()> {
        for path in [
            self.root.clone(),
            self.shared(),
            self.generations(),
            self.root.join("interfaces"),
            self.root.join("cgroups"),
        ] {
            fs::create_dir_all(&path).map_err(|error| pins(&path, "made", &error))?;
        }
        Ok(())
    }

    /// Removes what a command left that was killed.
    pub(super) fn clean(&self) -> Done<()> {
        remove_all(&self.making())?;
        remove_all(&self.removing())?;
        remove(&self.root.join("marker"))
    }

    /// Makes the folder for what is not finished.
    pub(super) fn begin(&self) -> Done<PathBuf> {
        let making = self.making();
        remove_all(&making)?;
        fs::create_dir(&making).map_err(|error| pins(&making, "made", &error))?;
        Ok(making)
    }

    /// What is finished takes its place.
    pub(super) fn finish(&self, place: &Path) -> Done<()> {
        rename(&self.making(), place)
    }

    /// Takes a folder from its place, in one step. Returns where it is until it is removed by [`Self::clean`].
    pub(super) fn give_up(&self, folder: &Path) -> Done<PathBuf> {
        let removing = self.removing();
        remove_all(&removing)?;
        rename(folder, &removing)?;
        Ok(removing)
    }

    /// Which generations there are to go to; `None` where nothing is loaded.
    pub(super) fn marker(&self) -> Done<Option<Marker>> {
        let path = self.current();
        match text(&path) {
            Ok(text) => match Marker::of(&text) {
                Some(marker) => Ok(Some(marker)),
                None => {
                    let error = io::Error::other("it names no generation");
                    Err(pins(&path, "read", &error))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(pins(&path, "read", &error)),
        }
    }

    /// Decides which generation enforces: from here on a command that is killed is finished by the next one.
    pub(super) fn mark(&self, marker: Marker) -> Done<()> {
        let new = self.root.join("marker");
        write_text(&new, &marker.text())?;
        rename(&new, &self.current())
    }

    /// Decides that none enforces.
    pub(super) fn unmark(&self) -> Done<()> {
        remove(&self.current())
    }

    /// The generations that are there, ascending.
    pub(super) fn numbers(&self) -> Done<Vec<u64>> {
        let folder = self.generations();
        let mut numbers: Vec<u64> = names(&folder)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Done<Vec<String>> {
    let failed = |error: io::Error| pins(folder, "read", &error);
    let mut names = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(failed)?;
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    names.sort();
    Ok(names)
}

/// The text that a symbolic link carries.
pub(super) fn text(path: &Path) -> io::Result<String> {
    Ok(fs::read_link(path)?.to_string_lossy().into_owned())
}

/// Makes a symbolic link that carries a text.
pub(super) fn write_text(path: &Path, text: &str) -> Done<()> {
    remove(path)?;
    std::os::unix::fs::symlink(text, path).map_err(|error| pins(path, "made", &error))
}

pub(super) fn rename(from: &Path, to: &Path) -> Done<()> {
    fs::rename(from, to).map_err(|error| pins(to, "made", &error))
}

pub(super) fn remove(path: &Path) -> Done<()> {
    gone(path, fs::remove_file(path))
}

pub(super) fn remove_all(path: &Path) -> Done<()> {
    gone(path, fs::remove_dir_all(path))
}

fn gone(path: &Path, removed: io::Result<()>) -> Done<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(pins(path, "removed", &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Marker;

    #[test]
    fn markers_are_read_as_they_are_written() {
        for (current, previous) in [(1, None), (7, Some(6)), (6, Some(7))] {
            let marker = Marker { current, previous };
            assert_eq!(Marker::of(&marker.text()), Some(marker));
        }
        assert_eq!(Marker::of("x"), None);
        assert_eq!(Marker::of("1 x"), None);
    }
}
