//! The object with the programs, and the names in it.

use verdict_abi::Section;

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
