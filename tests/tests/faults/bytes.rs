//! Changes of an image, as faults of encoding and damage would make them. But for the last ones, the digests are made to fit.

use verdict_abi::{Config, Section, TO_BLOCK};
use verdict_compiler::image::SourceTable;
use verdict_tests::generate::random::Random;
use verdict_tests::images::sealed;

/// A change: its name, and what makes it; false where there is nothing to change.
pub(super) type Change = (&'static str, fn(&mut File, &mut Random) -> bool);

/// The kinds of the sections that are no tables: the source table, and those for the open world.
const SOURCE: u32 = 64;
const WORLD: u32 = 65;
const SUBJECTS: u32 = 66;
const PAGE: usize = 4096;

/// The bytes of an image.
#[derive(Clone)]
pub(super) struct File(pub(super) Vec<u8>);

impl File {
    fn entry(&self, kind: u32) -> (usize, usize, usize) {
        let number = |at: usize| u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap());
        let at = (0..number(20) as usize)
            .map(|index| 32 + index * 64)
            .find(|at| number(*at) == kind)
            .unwrap();
        let [offset, length] = [8, 16].map(|field| usize::try_from(long(at + field)).unwrap());
        (at, offset, length)
    }

    fn section(&mut self, section: Section) -> &mut [u8] {
        let (_, offset, length) = self.entry(section as u32);
        &mut self.0[offset..offset + length]
    }

    fn words<const N: usize>(&mut self, section: Section) -> Vec<[u8; N]> {
        let bytes = self.section(section).chunks_exact(N);
        bytes.map(|bytes| bytes.try_into().unwrap()).collect()
    }

    fn halves(&mut self, section: Section) -> Vec<u32> {
        self.words::<4>(section)
            .into_iter()
            .map(u32::from_le_bytes)
            .collect()
    }

    fn quarters(&mut self, section: Section) -> Vec<u16> {
        self.words::<2>(section)
            .into_iter()
            .map(u16::from_le_bytes)
            .collect()
    }

    fn longs(&mut self, section: Section) -> Vec<u64> {
        self.words::<8>(section)
            .into_iter()
            .map(u64::from_le_bytes)
            .collect()
    }

    fn write(&mut self, section: Section, bytes: &[u8]) {
        self.section(section).copy_from_slice(bytes);
    }

    fn write_halves(&mut self, section: Section, values: &[u32]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.write(section, &bytes);
    }

    fn write_quarters(&mut self, section: Section, values: &[u16]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.write(section, &bytes);
    }

    fn write_longs(&mut self, section: Section, values: &[u64]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.write(section, &bytes);
    }

    fn source(&self) -> SourceTable {
        let (_, offset, length) = self.entry(SOURCE);
        serde_json::from_slice(&self.0[offset..offset + length]).unwrap()
    }

    /// What stands behind the source table is moved.
    fn write_source(&mut self, table: &SourceTable) {
        let (at, offset, length) = self.entry(SOURCE);
        let behind = (offset + length).next_multiple_of(PAGE);
        let rest = self.0.split_off(behind);
        self.0.truncate(offset);
        self.0.extend(serde_json::to_vec(table).unwrap());
        let length = (self.0.len() - offset) as u64;
        self.0[at + 16..at + 24].copy_from_slice(&length.to_le_bytes());
        self.0.resize(self.0.len().next_multiple_of(PAGE), 0);
        let moved = self.0.len();
        self.0.extend(rest);
        for kind in [WORLD, SUBJECTS] {
            let (at, own, _) = self.entry(kind);
            let own = if own < behind {
                own
            } else {
                own - behind + moved
            } as u64;
            self.0[at + 8..at + 16].copy_from_slice(&own.to_le_bytes());
        }
        let whole = self.0.len() as u64;
        self.0[24..32].copy_from_slice(&whole.to_le_bytes());
    }

    /// With its digests written anew.
    pub(super) fn sealed(self) -> Vec<u8> {
        sealed(self.0)
    }
}

/// Writes the value at a random place over one that differs beside it: `up` moves the boundary up.
fn shift<T: Copy + PartialEq>(values: &mut [T], random: &mut Random, up: bool) -> bool {
    let bounds: Vec<usize> = (1..values.len())
        .filter(|at| values[*at] != values[*at - 1])
        .collect();
    if bounds.is_empty() {
        return false;
    }
    let at = bounds[random.below(bounds.len())];
    if up {
        values[at] = values[at - 1];
    } else {
        values[at - 1] = values[at];
    }
    true
}

/// A boundary between leaves of the trie.
fn shift_v4(file: &mut File, random: &mut Random, up: bool) -> bool {
    let mut entries = file.halves(Section::V4);
    // In front of the blocks nothing is looked up but the root.
    let mut leaves: Vec<&mut [u32]> = entries[16..]
        .chunk_by_mut(|one, other| (one | other) & TO_BLOCK == 0)
        .filter(|leaves| leaves.len() > 1)
        .collect();
    if leaves.is_empty() {
        return false;
    }
    let run = random.below(leaves.len());
    let shifted = shift(leaves[run], random, up);
    file.write_halves(Section::V4, &entries);
    shifted
}

/// Changes one of the IPv6 addresses that stand alone, given with all others.
fn change_host(
    file: &mut File,
    random: &mut Random,
    change: fn(&mut [u64], &[u64]) -> bool,
) -> bool {
    let mut words = file.longs(Section::V6Hosts);
    let others = words.clone();
    let mut hosts: Vec<&mut [u64]> = words.chunks_mut(3).filter(|host| host[2] != 0).collect();
    if hosts.is_empty() {
        return false;
    }
    let at = random.below(hosts.len());
    let changed = change(hosts[at], &others);
    file.write_longs(Section::V6Hosts, &words);
    changed
}

fn shift_v6(file: &mut File, random: &mut Random, up: bool) -> bool {
    let mut words = file.longs(Section::V6Starts);
    let runs = words.len() / 2;
    if runs < 2 {
        return false;
    }
    let at = 1 + random.below(runs - 1);
    let lower = &mut words[at * 2 + 1];
    *lower = if up {
        lower.wrapping_add(1)
    } else {
        lower.wrapping_sub(1)
    };
    file.write_longs(Section::V6Starts, &words);
    true
}

fn change_source(file: &mut File, change: impl FnOnce(&mut SourceTable) -> bool) -> bool {
    let mut table = file.source();
    let changed = change(&mut table);
    file.write_source(&table);
    changed
}

/// A table of an endpoint is that of another use or endpoint.
fn other_table(file: &mut File, random: &mut Random, uses: &[usize]) -> bool {
    let mut tables = file.halves(Section::Endpoints);
    let endpoint = random.below(tables.len() / 4);
    let at = endpoint * 4 + uses[random.below(uses.len())];
    let new = tables[random.below(tables.len())];
    let differs = tables[at] != new;
    tables[at] = new;
    file.write_halves(Section::Endpoints, &tables);
    differs
}

fn exchange<T: Copy + PartialEq>(values: &mut [T], random: &mut Random) -> bool {
    if values.is_empty() {
        return false;
    }
    let (one, other) = (random.below(values.len()), random.below(values.len()));
    values.swap(one, other);
    values[one] != values[other]
}

pub(super) const SEALED: [Change; 34] = [
    (
        "a boundary of IPv4 addresses is one too high",
        |file, random| shift_v4(file, random, true),
    ),
    (
        "a boundary of IPv4 addresses is one too low",
        |file, random| shift_v4(file, random, false),
    ),
    ("a block of IPv4 addresses is another", |file, random| {
        let mut entries = file.halves(Section::V4);
        let mut links: Vec<&mut u32> = entries
            .iter_mut()
            .filter(|entry| **entry & TO_BLOCK != 0)
            .collect();
        let count = links.len();
        if count < 2 {
            return false;
        }
        let new = *links[random.below(count)];
        let link = &mut links[random.below(count)];
        let differs = **link != new;
        **link = new;
        file.write_halves(Section::V4, &entries);
        differs
    }),
    (
        "lookups of IPv4 addresses begin elsewhere",
        |file, random| {
            let mut words = file.longs(Section::Config);
            words[Config::V4Near as usize + random.below(3)] ^= 1;
            file.write_longs(Section::Config, &words);
            true
        },
    ),
    (
        "a boundary of IPv6 addresses is one too high",
        |file, random| shift_v6(file, random, true),
    ),
    (
        "a boundary of IPv6 addresses is one too low",
        |file, random| shift_v6(file, random, false),
    ),
    (
        "runs of IPv6 addresses have each other's leaves",
        |file, random| {
            let mut leaves = file.halves(Section::V6Leaves);
            let runs = file.section(Section::V6Starts).len() / 16;
            let changed = exchange(&mut leaves[..runs], random);
            file.write_halves(Section::V6Leaves, &leaves);
            changed
        },
    ),
    (
        "an IPv6 address that stands alone has another's leaf",
        |file, random| {
            change_host(file, random, |host, others| {
                let mut others = others.chunks(3).map(|other| other[2]);
                let new = others.find(|leaf| *leaf != 0 && *leaf != host[2]);
                new.map(|leaf| host[2] = leaf).is_some()
            })
        },
    ),
    (
        "an IPv6 address that stands alone is one too high",
        |file, random| {
            change_host(file, random, |host, _| {
                host[1] = host[1].wrapping_add(1);
                true
            })
        },
    ),
    (
        "an IPv6 address that stands alone is missing",
        |file, random| {
            change_host(file, random, |host, _| {
                host.fill(0);
                true
            })
        },
    ),
    ("a group of IPv6 addresses is moved", |file, random| {
        let mut groups = file.quarters(Section::V6Groups);
        if groups.is_empty() {
            return false;
        }
        let at = random.below(groups.len());
        groups[at] = groups[at].wrapping_add(1);
        file.write_quarters(Section::V6Groups, &groups);
        true
    }),
    (
        "a leaf has another's class in the image alone",
        |file, random| {
            let mut classes = file.quarters(Section::Leaves);
            let changed = exchange(&mut classes, random);
            file.write_quarters(Section::Leaves, &classes);
            changed
        },
    ),
    ("a protocol has another's classes", |file, random| {
        let mut protocols = file.halves(Section::Protocols);
        let (one, other) = (random.one(&[6, 17, 132]), random.below(256));
        let differs = protocols[one] != protocols[other];
        protocols[one] = protocols[other];
        file.write_halves(Section::Protocols, &protocols);
        differs
    }),
    ("a directory has another page", |file, random| {
        let mut directories = file.quarters(Section::Directories);
        let Some(directory) = directories.get_mut(..256) else {
            return false;
        };
        let changed = exchange(directory, random);
        file.write_quarters(Section::Directories, &directories);
        changed
    }),
    ("what is not known has another class", |file, random| {
        let classes = file.longs(Section::Config)[1];
        let mut directories = file.quarters(Section::Directories);
        let count = directories.len() / 260;
        if count == 0 || classes < 2 {
            return false;
        }
        let at = random.below(count) * 260 + 256;
        directories[at] = u16::try_from((u64::from(directories[at]) + 1) % classes).unwrap();
        file.write_quarters(Section::Directories, &directories);
        true
    }),
    ("a boundary in a page is one too high", |file, random| {
        let mut pages = file.quarters(Section::Pages);
        let page = random.below((pages.len() / 256).max(1));
        let page = pages.get_mut(page * 256..page * 256 + 256);
        let changed = page.is_some_and(|page| shift(page, random, true));
        file.write_quarters(Section::Pages, &pages);
        changed
    }),
    ("a boundary in a page is one too low", |file, random| {
        let mut pages = file.quarters(Section::Pages);
        let page = random.below((pages.len() / 256).max(1));
        let page = pages.get_mut(page * 256..page * 256 + 256);
        let changed = page.is_some_and(|page| shift(page, random, false));
        file.write_quarters(Section::Pages, &pages);
        changed
    }),
    ("a port amid a page has another class", |file, random| {
        let classes = file.longs(Section::Config)[1];
        let mut pages = file.quarters(Section::Pages);
        if pages.is_empty() || classes < 2 {
            return false;
        }
        let at = random.below(pages.len());
        pages[at] = u16::try_from((u64::from(pages[at]) + 1) % classes).unwrap();
        file.write_quarters(Section::Pages, &pages);
        true
    }),
    ("an endpoint has another's table", |file, random| {
        other_table(file, random, &[0, 1])
    }),
    (
        "an endpoint has another's table for itself",
        |file, random| other_table(file, random, &[2, 3]),
    ),
    ("tables have each other's rows", |file, random| {
        let mut rows = file.quarters(Section::Rows);
        let changed = exchange(&mut rows, random);
        file.write_quarters(Section::Rows, &rows);
        changed
    }),
    ("cells have each other's codes", |file, random| {
        let mut cells = file.quarters(Section::Cells);
        let changed = exchange(&mut cells, random);
        file.write_quarters(Section::Cells, &cells);
        changed
    }),
    ("a code lets pass what it dropped", |file, _| {
        let mut codes = file.longs(Section::Codes);
        let code = codes.iter_mut().find(|code| **code & 0xFFFF == 0);
        let found = code.map(|code| *code |= 2).is_some();
        file.write_longs(Section::Codes, &codes);
        found
    }),
    ("a code no longer hangs on what is not known", |file, _| {
        let mut codes = file.longs(Section::Codes);
        let code = codes.iter_mut().find(|code| **code & 0x100 != 0);
        let found = code.map(|code| *code &= !0x100).is_some();
        file.write_longs(Section::Codes, &codes);
        found
    }),
    ("a code has another's origin", |file, random| {
        let mut codes = file.longs(Section::Codes);
        let (one, other) = (random.below(codes.len()), random.below(codes.len()));
        let new = codes[one] & 0xFFFF_FFFF | codes[other] >> 32 << 32;
        let differs = codes[one] != new;
        codes[one] = new;
        file.write_longs(Section::Codes, &codes);
        differs
    }),
    ("an address is another endpoint's", |file, _| {
        let endpoints = file.longs(Section::Config)[6];
        let mut words = file.longs(Section::Addresses);
        let Some(endpoint) = words.get_mut(2).filter(|_| endpoints > 1) else {
            return false;
        };
        *endpoint = (*endpoint + 1) % endpoints;
        file.write_longs(Section::Addresses, &words);
        true
    }),
    ("an address of an endpoint is one too high", |file, _| {
        let mut words = file.longs(Section::Addresses);
        let last = words.len().wrapping_sub(2);
        let Some(lower) = words.get_mut(last) else {
            return false;
        };
        *lower += 1;
        file.write_longs(Section::Addresses, &words);
        true
    }),
    ("an origin is a line further down", |file, random| {
        change_source(file, |table| {
            let count = table.origins.len();
            let origin = table.origins.get_mut(random.below(count.max(1)));
            origin.map(|origin| origin.line += 1).is_some()
        })
    }),
    ("an origin is in another file", |file, _| {
        change_source(file, |table| {
            let origin = table.origins.first_mut();
            origin
                .map(|origin| origin.file = "another.yaml".into())
                .is_some()
        })
    }),
    ("an origin is another policy's", |file, _| {
        change_source(file, |table| {
            let origin = table.origins.first_mut();
            origin
                .map(|origin| origin.policy = "NetworkPolicy/a/b".into())
                .is_some()
        })
    }),
    ("an origin is another rule", |file, _| {
        change_source(file, |table| {
            let mut origins = table.origins.iter_mut();
            let origin = origins.find(|origin| origin.rule.is_some());
            origin
                .map(|origin| origin.rule = Some("spec.ingress[99]".into()))
                .is_some()
        })
    }),
    ("origins are exchanged", |file, _| {
        change_source(file, |table| {
            let [first, .., last] = &mut table.origins[..] else {
                return false;
            };
            std::mem::swap(first, last);
            first != last
        })
    }),
    ("endpoints have each other's names", |file, _| {
        change_source(file, |table| {
            let [first, .., last] = &mut table.endpoints[..] else {
                return false;
            };
            std::mem::swap(first, last);
            true
        })
    }),
    ("the image is another node's", |file, _| {
        change_source(file, |table| {
            table.node = Some("another".into());
            true
        })
    }),
];

/// Damage that leaves the digests as they were.
pub(super) const UNSEALED: [Change; 8] = [
    ("a bit of a section is flipped", |file, random| {
        let (_, offset, length) = file.entry(random.one(&[2, 3, 5, 8, 9, 10, 15, 64]));
        let at = offset + random.below(length.max(1));
        file.0[at] ^= 1 << random.below(8);
        length > 0
    }),
    ("a bit of the header is flipped", |file, random| {
        let at = random.below(PAGE);
        file.0[at] ^= 1 << random.below(8);
        true
    }),
    ("the digest of a section is another's", |file, _| {
        let (from, ..) = file.entry(Section::Rows as u32);
        let (to, ..) = file.entry(Section::Cells as u32);
        file.0.copy_within(from + 32..from + 64, to + 32);
        true
    }),
    ("sections have each other's places", |file, _| {
        let (from, ..) = file.entry(Section::Rows as u32);
        let (to, ..) = file.entry(Section::Cells as u32);
        let (rows, cells) = (Section::Rows as u32, Section::Cells as u32);
        file.0[from..from + 4].copy_from_slice(&cells.to_le_bytes());
        file.0[to..to + 4].copy_from_slice(&rows.to_le_bytes());
        true
    }),
    ("something stands behind a section", |file, _| {
        let (_, offset, length) = file.entry(Section::Config as u32);
        file.0[offset + length] = 1;
        true
    }),
    ("the end is missing", |file, random| {
        let kept = random.below(file.0.len());
        file.0.truncate(kept);
        true
    }),
    ("something follows the end", |file, _| {
        file.0.push(0);
        true
    }),
    ("a page is missing", |file, random| {
        let page = random.below(file.0.len() / PAGE);
        file.0.drain(page * PAGE..(page + 1) * PAGE);
        true
    }),
];
