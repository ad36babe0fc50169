//! The files of a node.

use super::{FileReport, Folder, MostReport, NodeReport, UNASSIGNED, endpoint_name};
use crate::audit::{DumpFile, IPCACHE, PINNED, policy_path, print};
use crate::cli::Failure;
use crate::cli::output::{self, Staged};
use crate::image::digest_text;
use crate::policymap::{NodeMaps, bytes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file for `bpftool batch file`.
const BATCH: &str = "maps.batch";

/// The maps of a node beside their places.
pub(super) struct Made {
    pub(super) report: NodeReport,
    pub(super) folder: Folder,
    pub(super) files: Vec<(PathBuf, Staged)>,
}

pub(super) fn stage(
    path: PathBuf,
    node: Option<String>,
    maps: &NodeMaps,
    compared: u64,
) -> Result<Made, Failure> {
    let folder = Folder::make(&path)?;
    let base = node.clone().unwrap_or_else(|| UNASSIGNED.to_owned());
    let mut reports = Vec::new();
    let mut files = Vec::new();
    let mut add = |name: &str, text: Vec<u8>| {
        let path = path.join(name);
        reports.push(FileReport {
            file: format!("{base}/{name}"),
            bytes: text.len(),
            sha256: digest_text(&text),
        });
        let staged = output::stage(&path, |out| out.write_all(&text));
        let staged = staged.map_err(|error| Failure::Write(path.clone(), error))?;
        files.push((path, staged));
        Ok(())
    };
    for file in DumpFile::ALL {
        let mut text = Vec::new();
        print(maps, file, &mut text).map_err(|error| Failure::Write(path.clone(), error))?;
        add(file.name(), text)?;
    }
    let mut text = Vec::new();
    batch(maps, &mut text).map_err(|error| Failure::Write(path.clone(), error))?;
    add(BATCH, text)?;
    let most = maps
        .endpoints
        .iter()
        .rev()
        .max_by_key(|endpoint| endpoint.entries.len());
    let entries = maps.entries();
    Ok(Made {
        report: NodeReport {
            node,
            files: reports,
            endpoints: maps.endpoints.len(),
            identities: maps.identities.len(),
            ipcache: maps.ipcache.len(),
            entries,
            bytes: entries * bytes::POLICY_ENTRY_BYTES,
            most: most.map(|endpoint| MostReport {
                endpoint: endpoint_name(endpoint),
                entries: endpoint.entries.len(),
            }),
            compared,
        },
        folder,
        files,
    })
}

/// A command of `bpftool` for each entry. Policies come before addresses, so that no address leads to an identity that
/// policies do not know yet.
fn batch(maps: &NodeMaps, out: &mut dyn Write) -> io::Result<()> {
    for endpoint in &maps.endpoints {
        let path = policy_path(maps, endpoint);
        for entry in endpoint.entries.iter() {
            let (key, value) = (bytes::policy_key(entry), bytes::policy_value(entry));
            update(&path, &key, &value, out)?;
        }
    }
    let path = format!("{PINNED}/{IPCACHE}");
    for (block, address) in &maps.ipcache {
        let (key, value) = (bytes::ipcache_key(*block), bytes::ipcache_value(*address));
        update(&path, &key, &value, out)?;
    }
    Ok(())
}

fn update(path: &str, key: &[u8], value: &[u8], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "map update pinned {path} key hex")?;
    hex(key, out)?;
    write!(out, " value hex")?;
    hex(value, out)?;
    writeln!(out)
}

fn hex(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| write!(out, " {byte:02x}"))
}

/// The folder of a node, in which nothing but its files is.
pub(in crate::cli) fn is_of(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name == Some(BATCH) || DumpFile::ALL.iter().any(|file| name == Some(file.name()))
}
