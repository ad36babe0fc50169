//! Where answers and remarks go.
//!
//! The answer goes to standard output or, whole or not at all, to a file; remarks go to standard error. A
//! reader that goes away is no error: what it does not want is not written.

use super::Failure;
use super::args::{Color, Global};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The width of text where there is no terminal.
pub(super) const DEFAULT_WIDTH: usize = 100;
/// Text is never set narrower or wider than this.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=120;

/// How text for people is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// With colour.
    pub(super) color: bool,
    /// In how many columns.
    pub(super) width: usize,
}

impl Style {
    /// For text that stands in another document.
    #[must_use]
    pub(super) fn plain() -> Self {
        Self {
            color: false,
            width: DEFAULT_WIDTH,
        }
    }

    /// For standard error.
    #[must_use]
    pub(super) fn of_stderr(color: Color) -> Self {
        let choice = anstream::AutoStream::choice(&io::stderr());
        let width = terminal_size::terminal_size_of(io::stderr());
        Self::new(color, choice, width)
    }

    /// For the answer.
    #[must_use]
    pub(super) fn of_answer(global: &Global) -> Self {
        if global.output.is_some() {
            return Self {
                color: global.common.color == Color::Always,
                width: DEFAULT_WIDTH,
            };
        }
        let choice = anstream::AutoStream::choice(&io::stdout());
        let width = terminal_size::terminal_size_of(io::stdout());
        Self::new(global.common.color, choice, width)
    }

    fn new(
        color: Color,
        choice: anstream::ColorChoice,
        size: Option<(terminal_size::Width, terminal_size::Height)>,
    ) -> Self {
        let color = match color {
            Color::Auto => choice != anstream::ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        let width = size.map_or(DEFAULT_WIDTH, |(width, _)| width.0.into());
        Self {
            color,
            width: width.clamp(*WIDTHS.start(), *WIDTHS.end()),
        }
    }
}

/// Where the answer of one run goes.
#[derive(Debug)]
pub(super) struct Answer {
    file: Option<PathBuf>,
}

impl Answer {
    /// As the options say.
    #[must_use]
    pub(super) fn new(global: &Global) -> Self {
        Self {
            file: global.output.clone(),
        }
    }

    /// Lets `print` write the answer.
    ///
    /// # Errors
    /// Where it cannot be written; a file is then as it was before.
    pub(super) fn write(
        &self,
        print: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        match &self.file {
            Some(path) => replace(path, print).map_err(|error| Failure::Write(path.clone(), error)),
            None => to_stdout(print),
        }
    }
}

fn to_stdout(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    // `--color always` is obeyed by those who print; here nothing is stripped.
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer is not wanted any more.
            let _ = out.into_parts();
            Ok(())
        }
        result => result.map_err(|error| Failure::Write("standard output".into(), error)),
    }
}

/// Writes a file beside the wanted one and puts it in its place once it is whole. What is no regular file (a
/// pipe, a device) is written to directly.
pub(super) fn replace(
    path: &Path,
    print: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    stage(path, print)?.keep()
}

/// A file that is whole, beside its place. It is gone when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    /// Where it is to be; none where it was written already.
    waiting: Option<(NamedTempFile, PathBuf)>,
}

impl Staged {
    /// Puts it in its place.
    pub(super) fn keep(self) -> io::Result<()> {
        if let Some((temporary, target)) = self.waiting {
            temporary.persist(&target).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

/// Writes a file beside the wanted one. What is no regular file is written to directly.
pub(super) fn stage(
    path: &Path,
    print: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Staged> {
    let known = std::fs::metadata(path);
    if let Ok(known) = &known
        && !known.is_file()
    {
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        print(&mut file)?;
        return Ok(Staged { waiting: None });
    }
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let temporary = temporary(folder, known.ok()).map_err(|error| of_folder(folder, &error))?;
    let mut out = io::BufWriter::new(temporary);
    print(&mut out)?;
    let temporary = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    temporary.as_file().sync_all()?;
    Ok(Staged {
        waiting: Some((temporary, target)),
    })
}

/// Whether two paths lead to one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// Whether a file is in a folder, or will be where one of both is not there yet.
#[must_use]
pub(super) fn is_within(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| {
        let whole = std::path::absolute(path).ok()?;
        whole.ancestors().find_map(|above| {
            let rest = whole.strip_prefix(above).ok()?;
            Some(std::fs::canonicalize(above).ok()?.join(rest))
        })
    };
    let folder = real(folder).filter(|folder| !folder.is_file());
    folder.is_some_and(|folder| real(file).is_some_and(|file| file.starts_with(folder)))
}

/// An error about the temporary file says what is wrong with the folder: the user knows no such file.
fn of_folder(folder: &Path, error: &io::Error) -> io::Error {
    let is_folder = folder.is_dir();
    let folder = folder.display();
    let kind = error.kind();
    let words = if kind == io::ErrorKind::NotFound && !is_folder {
        format!("there is no folder `{folder}`")
    } else if kind == io::ErrorKind::NotADirectory {
        format!("`{folder}` is no folder")
    } else {
        let why = reason(&kind.into());
        format!("files cannot be made in `{folder}`: {why}")
    };
    io::Error::new(kind, words)
}

/// Why something cannot be read or written, without the system's number for it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    const KNOWN: [(io::ErrorKind, &str); 4] = [
        (io::ErrorKind::NotFound, "there is no such file or folder"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a folder"),
        (
            io::ErrorKind::NotADirectory,
            "a part of the path is no folder",
        ),
    ];
    let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
    if let (Some((_, words)), None) = (known, error.get_ref()) {
        return (*words).to_owned();
    }
    let words = error.to_string();
    let words = words.split(" (os error ").next().unwrap_or_default();
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// A file with the permissions of the one that it replaces, or those of any new file.
fn temporary(folder: &Path, replaced: Option<std::fs::Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".verdict-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The umask takes away what new files of this user do not have.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    if let Some(replaced) = replaced {
        temporary
            .as_file()
            .set_permissions(replaced.permissions())?;
    }
    Ok(temporary)
}

/// Writes a remark to standard error. Where that cannot be written to, there is nobody to tell.
pub(super) fn remark(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether progress is shown.
#[must_use]
pub(super) fn shows_progress(global: &Global) -> bool {
    !global.common.quiet && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer");
        std::fs::write(&path, "before").unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        replace(&path, |out| out.write_all(b"after")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer");
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, |out| out.write_all(b"after")).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
