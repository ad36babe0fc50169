//! The object with the programs, the names in it, and what is written into it before it is loaded.

use object::{Object as _, ObjectSection as _, SectionKind};
use std::collections::BTreeSet;
use verdict_abi::{Section, places};

/// The programs: `ebpf/program`, built by `ebpf/build`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/program/verdict.o");

/// The maps that all generations of a node share.
pub const SHARED: [&str; 4] = ["connections", "table", "fragments", "reason_counters"];

/// The name of the map of a section.
#[must_use]
pub const fn map_name(section: Section) -> &'static str {
    match section {
        Section::Config => "config",
        Section::V4 => "v4",
        Section::V6Starts => "v6_starts",
        Section::V6Leaves => "v6_leaves",
        Section::Leaves => "leaves",
        Section::Protocols => "protocols",
        Section::Directories => "directories",
        Section::Pages => "pages",
        Section::Rows => "rows",
        Section::Cells => "cells",
        Section::Codes => "codes",
        Section::Endpoints => "endpoints",
        Section::Addresses => "addresses",
        Section::V6Groups => "v6_groups",
        Section::V6Hosts => "v6_hosts",
    }
}

/// An instruction of a program as it stands in the object (Linux, `struct bpf_insn`).
const INSTRUCTION: usize = 8;
/// `BPF_LD | BPF_IMM | BPF_DW`: sets a register to a number of 64 bits, the upper half of which stands in the instruction behind it.
const LOAD: u8 = 0x18;
/// `BPF_ALU64 | BPF_MOV | BPF_K`: sets a register to a number of 32 bits.
const MOVE: u8 = 0xB7;
/// In place of a source register: the number is the address of a map's memory.
const MAP_VALUE: u8 = 2;

/// A map that holds a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) section: Section,
    pub(crate) fd: i32,
    pub(crate) words: i32,
}

/// The object with the places of tables in its programs: see [`places`].
///
/// # Errors
/// The name of what is missing: programs, or a table that they do not read. Such a table would be filled and attested, and decide
/// nothing.
pub(crate) fn with_tables(object: &[u8], tables: &[Table]) -> Result<Vec<u8>, &'static str> {
    let mut read = BTreeSet::new();
    let bytes = put_all(object, tables, &mut read).ok_or("programs")?;
    // Of the codes their number says all.
    let mut needed = tables
        .iter()
        .filter(|table| table.section != Section::Codes);
    match needed.find(|table| !read.contains(&(table.section as u32))) {
        Some(table) => Err(map_name(table.section)),
        None => Ok(bytes),
    }
}

fn put_all(object: &[u8], tables: &[Table], read: &mut BTreeSet<u32>) -> Option<Vec<u8>> {
    let mut bytes = object.to_vec();
    let parsed = object::File::parse(object).ok()?;
    let code = parsed
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    for (offset, length) in code.filter_map(|section| section.file_range()) {
        let begin = usize::try_from(offset).ok()?;
        let end = begin.checked_add(usize::try_from(length).ok()?)?;
        put_tables(bytes.get_mut(begin..end)?, tables, read);
    }
    Some(bytes)
}

/// Adds the sections whose addresses were put somewhere to `read`.
fn put_tables(code: &mut [u8], tables: &[Table], read: &mut BTreeSet<u32>) {
    let (instructions, _) = code.as_chunks_mut::<INSTRUCTION>();
    let mut instructions = instructions.iter_mut();
    while let Some([operation, registers, _, _, immediate @ ..]) = instructions.next() {
        let number = u32::from_le_bytes(*immediate);
        if *operation == MOVE {
            let is_it = |table: &&Table| places::count(table.section) == number;
            if let Some(table) = tables.iter().find(is_it) {
                *immediate = table.words.to_le_bytes();
            }
        } else if *operation == LOAD
            && let Some([_, _, _, _, upper @ ..]) = instructions.next()
        {
            let number = u64::from(u32::from_le_bytes(*upper)) << 32 | u64::from(number);
            let is_it = |table: &&Table| places::place(table.section) == number;
            if let Some(table) = tables.iter().find(is_it) {
                read.insert(table.section as u32);
                *registers |= MAP_VALUE << 4;
                *immediate = table.fd.to_le_bytes();
                *upper = [0; 4];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bytes: &[u8], number: u32) -> usize {
        let number = number.to_le_bytes();
        bytes.windows(4).filter(|window| *window == number).count()
    }

    #[test]
    fn every_table_is_put_where_programs_look_for_it() {
        let tables = Section::ALL.map(|section| Table {
            section,
            fd: 0x1111_0000 | section as i32,
            words: 0x2222_0000 | section as i32,
        });
        let with = with_tables(OBJECT, &tables).unwrap();
        for Table { section, fd, words } in tables {
            let marks = count(OBJECT, places::count(section));
            // The codes are read by the host alone: of them the number tells programs all.
            let is_read = section != Section::Codes;
            assert_eq!(marks > 0, is_read, "{section:?}");
            assert_eq!(count(&with, words.cast_unsigned()), marks, "{section:?}");
            assert_eq!(count(&with, fd.cast_unsigned()), marks, "{section:?}");
            assert_eq!(count(&with, places::count(section)), 0, "{section:?}");
        }
        assert_eq!(count(&with, places::PLACE), 0);
        assert_eq!(with.len(), OBJECT.len());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(with_tables(b"no object", &[]), Err("programs"));
        assert_eq!(with_tables(&OBJECT[..100], &[]), Err("programs"));
    }

    #[test]
    fn programs_that_do_not_read_a_table_are_refused() {
        let table = |section| Table {
            section,
            fd: 1,
            words: 1,
        };
        let tables = Section::ALL.map(table);
        let rows = places::place(Section::Rows);
        let (low, high) = (rows as u32, (rows >> 32) as u32);
        let mut object = OBJECT.to_vec();
        let mut found = 0;
        for at in 0..object.len() - 16 {
            let [lower, upper] = [at + 4, at + 12].map(|at| object[at..at + 4].to_vec());
            if object[at] == LOAD && lower == low.to_le_bytes() && upper == high.to_le_bytes() {
                object[at + 4] = 0;
                found += 1;
            }
        }
        assert!(found > 0);
        assert_eq!(with_tables(&object, &tables), Err("rows"));
    }
}
