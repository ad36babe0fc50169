//! From bytes to an image that is looked up.

use super::layout::{ENTRIES, ENTRY, HEADER_DIGEST, Place, SOURCE, SUBJECTS, WORLD, digest, name};
use super::parts::{Part, Parts};
use super::{Common, DecodeError, SourceTable};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;
use verdict_abi::open::{Decider, Subjects, WireError, World};
use verdict_abi::{
    ABI_VERSION, Code, Config, DIRECTORY_ENTRIES, ENDIAN_MARK, FORMAT_VERSION, HOST_WORDS, MAGIC,
    PAGE, PAGE_ENTRIES, Section, TO_DIRECTORY, Tables, config, half, leaf_v4, leaf_v6, quarter,
};

/// An image: every lookup in it finds an answer.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// In the order of [`Section::ALL`].
    sections: [&'a [u8]; Section::ALL.len()],
    digests: [[u8; 32]; Section::ALL.len()],
    /// The bytes of the section `world`.
    written: &'a [u8],
    /// Sizes and digests, in the order of [`OTHERS`].
    others: [(usize, [u8; 32]); OTHERS.len()],
    source: SourceTable,
    world: Arc<World>,
    subjects: Subjects,
    /// Who stands behind each origin of a code, from 1.
    deciders: Vec<Decider>,
}

/// What was checked of sections that other images have as well: the same memory, not only equal bytes.
#[derive(Clone, Debug)]
pub struct Known {
    /// The sections of addresses, in the order of [`Section::OF_LEAVES`].
    addresses: [Arc<[u8]>; Section::OF_LEAVES.len()],
    /// What the configuration says of them, and the number of leaves to which they were held.
    counts: [u32; COUNTS.len()],
    /// The bytes of the section `world`.
    written: Arc<[u8]>,
    world: Arc<World>,
    names: Arc<Names>,
}

/// What the configuration says of the sections of addresses: where it says the same, and they are the same, so is who an address is.
pub(crate) const COUNTS: [Config; 9] = [
    Config::Leaves,
    Config::V4Entries,
    Config::V4Root,
    Config::V4Near,
    Config::V4NearFirst,
    Config::V4NearBits,
    Config::V6Runs,
    Config::V6Groups,
    Config::V6Hosts,
];

/// The policies of a world, by name.
type Names = FxHashMap<Box<str>, Vec<u32>>;

/// The sections of a file, as they come.
#[derive(Default)]
struct Contents<'a> {
    tables: [Option<&'a [u8]>; Section::ALL.len()],
    digests: [[u8; 32]; Section::ALL.len()],
    /// Source table, world and subjects.
    others: [Option<&'a [u8]>; OTHERS.len()],
    other_digests: [[u8; 32]; OTHERS.len()],
}

/// The sections that are no maps.
const OTHERS: [u32; 3] = [SOURCE, WORLD, SUBJECTS];

impl<'a> Contents<'a> {
    fn add(&mut self, kind: u32, content: &'a [u8], digest: [u8; 32]) -> Decoded<()> {
        let wrong = |why| DecodeError::Section {
            of: name(kind),
            why,
        };
        let other = OTHERS.iter().position(|own| *own == kind);
        let index = (kind as usize).wrapping_sub(1);
        let slot = match other {
            Some(other) => self.others.get_mut(other),
            None => self.tables.get_mut(index),
        };
        if slot
            .ok_or(wrong("is not known"))?
            .replace(content)
            .is_some()
        {
            return Err(wrong("is there twice"));
        }
        if let Some(other) = other {
            if let Some(slot) = self.other_digests.get_mut(other) {
                *slot = digest;
            }
            return Ok(());
        }
        if !content.len().is_multiple_of(8) {
            return Err(wrong("is not made of words"));
        }
        if let Some(slot) = self.digests.get_mut(index) {
            *slot = digest;
        }
        Ok(())
    }

    /// The image of all sections, of which the tables are still to be checked.
    fn image(self, known: Option<&Known>) -> Decoded<Image<'a>> {
        let missing = |kind| DecodeError::Section {
            of: name(kind),
            why: "is missing",
        };
        let mut sections = [&[][..]; Section::ALL.len()];
        for ((section, slot), found) in Section::ALL.into_iter().zip(self.tables).zip(&mut sections)
        {
            *found = slot.ok_or(missing(section as u32))?;
        }
        let mut others = self.other_digests.map(|digest| (0, digest));
        for ((length, _), content) in others.iter_mut().zip(self.others) {
            *length = content.map_or(0, <[u8]>::len);
        }
        let [source, world, subjects] = self.others;
        let source = source.ok_or(missing(SOURCE))?;
        let source = serde_json::from_slice(source).map_err(|_| DecodeError::Section {
            of: name(SOURCE),
            why: "is no source table",
        })?;
        let wire = |kind| {
            move |why: WireError| DecodeError::Wire {
                of: name(kind),
                why,
            }
        };
        let written = world.ok_or(missing(WORLD))?;
        let known = known.filter(|known| std::ptr::eq(&*known.written, written));
        let (world, names) = match known {
            Some(known) => (Arc::clone(&known.world), Arc::clone(&known.names)),
            None => {
                let world = World::read(written).map_err(wire(WORLD))?;
                let names = names(&world);
                (Arc::new(world), Arc::new(names))
            }
        };
        let subjects = subjects.ok_or(missing(SUBJECTS))?;
        let subjects = Subjects::read(subjects, &world).map_err(wire(SUBJECTS))?;
        Ok(Image {
            sections,
            written,
            digests: self.digests,
            others,
            deciders: deciders(&source, &world, &names)?,
            source,
            world,
            subjects,
        })
    }
}

fn names(world: &World) -> Names {
    let mut names = Names::default();
    for (policy, index) in world.policies.iter().zip(0..) {
        names.entry(policy.name.clone()).or_default().push(index);
    }
    names
}

/// Who the origins of the source table are in the world.
fn deciders(source: &SourceTable, world: &World, names: &Names) -> Decoded<Vec<Decider>> {
    let origins = source.origins.iter().enumerate();
    let decider = |(index, origin): (usize, &super::Origin)| {
        let own = names.get(&*origin.policy).into_iter().flatten().rev();
        let found = own
            .filter_map(|policy| decider(world, *policy, origin))
            .next();
        found.ok_or(DecodeError::Value {
            of: name(SOURCE),
            index,
            why: "is no policy or rule of section world",
        })
    };
    origins.map(decider).collect()
}

/// Who an origin is, if it is in this policy.
fn decider(world: &World, index: u32, origin: &super::Origin) -> Option<Decider> {
    let policy = world.policies.get(index as usize)?;
    if *origin.file != *world.string(policy.file) {
        return None;
    }
    let Some(path) = &origin.rule else {
        return (policy.line == origin.line).then_some(Decider::Policy(index));
    };
    let mut rules = policy.rules.iter().flatten().rev();
    let found = rules.find(|rule| rule.line == origin.line && *world.string(rule.path) == **path);
    Some(Decider::Rule(found?.id))
}

impl Tables for Image<'_> {
    #[inline]
    fn word(&self, section: Section, index: u32) -> Option<u64> {
        let bytes = self.sections.get(section as usize - 1)?;
        let at = index as usize * 8;
        let word = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }
}

pub(super) type Decoded<T> = Result<T, DecodeError>;

impl<'a> Image<'a> {
    /// Reads an image, and checks everything that it says.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn decode(bytes: &'a [u8]) -> Decoded<Self> {
        let header = header(bytes)?;
        let mut found = Contents::default();
        let mut next = PAGE;
        for (place, expected) in entries(header)? {
            let content = content(bytes, place, &mut next)?;
            if digest(content) != expected {
                return Err(DecodeError::Digest {
                    of: name(place.kind),
                });
            }
            found.add(place.kind, content, expected)?;
        }
        if next != bytes.len() {
            return Err(DecodeError::Length {
                expected: next as u64,
                found: bytes.len(),
            });
        }
        let image = found.image(None)?;
        image.check(None)?;
        Ok(image)
    }

    /// Reads an image that is not in a file yet, as [`Self::decode`] reads its file. Sections that are known are not looked at
    /// once more, where they are the same memory.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn of_parts(parts: &'a Parts, known: Option<&Known>) -> Decoded<Self> {
        let page = parts.header();
        let header = page_of_header(&page)?;
        let mut found = Contents::default();
        let mut next = PAGE;
        let entries = entries(header)?;
        let told = entries
            .iter()
            .map(|(place, digest)| (place.kind, place.length, *digest));
        let own = parts.sections().iter();
        if !told.eq(own.map(|part| (part.kind, part.bytes.len(), part.digest))) {
            return Err(DecodeError::Digest { of: "header" });
        }
        for ((place, expected), part) in entries.into_iter().zip(parts.sections()) {
            if place.offset != next {
                return Err(DecodeError::Section {
                    of: name(place.kind),
                    why: "stands where none can",
                });
            }
            next += place.length.next_multiple_of(PAGE);
            found.add(place.kind, &part.bytes, expected)?;
        }
        let expected = long(header, 24);
        if expected != next as u64 {
            return Err(DecodeError::Length {
                expected,
                found: next,
            });
        }
        let image = found.image(known)?;
        image.check(known)?;
        Ok(image)
    }

    /// What is known now of sections that other images share with this one.
    #[must_use]
    pub fn known(&self, common: &Common) -> Option<Known> {
        let addresses = common.addresses();
        let written = self.written;
        let same =
            |(part, section): (&Part, Section)| std::ptr::eq(&*part.bytes, self.section(section));
        let is_own = addresses.iter().zip(Section::OF_LEAVES).all(same)
            && std::ptr::eq(&*common.world().bytes, written);
        is_own.then(|| Known {
            addresses: addresses.each_ref().map(|part| Arc::clone(&part.bytes)),
            counts: COUNTS.map(|field| self.count(field)),
            written: Arc::clone(&common.world().bytes),
            world: Arc::clone(&self.world),
            names: Arc::new(names(&self.world)),
        })
    }

    /// The policies with their selectors, and who the leaves are, as images share them.
    #[must_use]
    pub fn shared_world(&self) -> &Arc<World> {
        &self.world
    }

    /// The policies with their selectors, and who the leaves are.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Who the endpoints are.
    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Who stands behind each origin of a code, from 1.
    #[must_use]
    pub fn deciders(&self) -> &[Decider] {
        &self.deciders
    }

    /// What its numbers stand for.
    #[must_use]
    pub fn source(&self) -> &SourceTable {
        &self.source
    }

    /// The tables with their names, sizes in bytes and SHA-256 digests, in the order in which they stand.
    pub fn sections(&self) -> impl Iterator<Item = (&'static str, usize, [u8; 32])> {
        let sections = Section::ALL
            .into_iter()
            .zip(&self.sections)
            .zip(&self.digests);
        sections.map(|((section, bytes), digest)| (name(section as u32), bytes.len(), *digest))
    }

    /// The bytes of a table.
    #[must_use]
    pub fn section(&self, section: Section) -> &'a [u8] {
        let bytes = self.sections.get(section as usize - 1);
        bytes.copied().unwrap_or_default()
    }

    /// The digest of the bytes of a table.
    #[must_use]
    pub fn digest_of(&self, section: Section) -> [u8; 32] {
        let digest = self.digests.get(section as usize - 1);
        digest.copied().unwrap_or_default()
    }

    /// The sections that are no maps, as [`Self::sections`] gives the others.
    pub fn other_sections(&self) -> impl Iterator<Item = (&'static str, usize, [u8; 32])> {
        let others = OTHERS.into_iter().zip(&self.others);
        others.map(|(kind, (bytes, digest))| (name(kind), *bytes, *digest))
    }

    /// How many there are of something.
    #[must_use]
    pub fn count(&self, field: Config) -> u32 {
        config(self, field).unwrap_or_default()
    }

    /// The leaf of an address.
    #[must_use]
    pub fn leaf(&self, address: IpAddr) -> Option<u32> {
        match address.to_canonical() {
            IpAddr::V4(address) => leaf_v4(self, address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                leaf_v6(self, (bits >> 64) as u64, bits as u64)
            }
        }
    }

    /// The number of an endpoint: `namespace/name`.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<u32> {
        let found = self
            .source
            .endpoints
            .iter()
            .position(|own| **own == *name)?;
        u32::try_from(found).ok()
    }

    fn length(&self, section: Section, size: usize) -> usize {
        let bytes = self.sections.get(section as usize - 1);
        bytes.map_or(0, |bytes| bytes.len() / size)
    }

    fn check(&self, known: Option<&Known>) -> Decoded<()> {
        self.counts()?;
        let is_known = known.is_some_and(|known| {
            let same = |(bytes, section): (&Arc<[u8]>, Section)| {
                std::ptr::eq(&**bytes, self.section(section))
            };
            known.counts == COUNTS.map(|field| self.count(field))
                && known.addresses.iter().zip(Section::OF_LEAVES).all(same)
        });
        if !is_known {
            self.check_addresses()?;
        }
        let leaves = self.count(Config::Leaves) as usize;
        self.quarters(Section::Leaves, leaves, Config::Classes)?;
        self.ports()?;
        let classes = self.count(Config::Classes) as usize;
        let tables = self.count(Config::Tables) as usize;
        self.quarters(Section::Rows, classes.saturating_mul(tables), Config::Rows)?;
        let port_classes = self.count(Config::PortClasses) as usize;
        let rows = self.count(Config::Rows) as usize;
        self.quarters(
            Section::Cells,
            port_classes.saturating_mul(rows),
            Config::Codes,
        )?;
        self.codes()?;
        let endpoints = self.count(Config::Endpoints);
        for index in 0..endpoints.saturating_mul(4) {
            let table = half(self, Section::Endpoints, index);
            let known = table.is_some_and(|table| table < self.count(Config::Tables));
            self.ensure(known, Section::Endpoints, index as usize, "is no table")?;
        }
        self.addresses()
    }

    /// Each section is as long as the configuration says.
    fn counts(&self) -> Decoded<()> {
        let many = |field| self.count(field) as usize;
        let quarters = |count: usize| count.div_ceil(4);
        let pairs = |count: usize| count.div_ceil(2);
        let expected = [
            (Section::Config, Config::WORDS),
            (Section::V4, pairs(many(Config::V4Entries))),
            (Section::V6Starts, many(Config::V6Runs) * 2),
            (Section::V6Leaves, pairs(many(Config::V6Runs))),
            (Section::Leaves, quarters(many(Config::Leaves))),
            (Section::Protocols, 128),
            (
                Section::Directories,
                quarters(many(Config::Directories) * DIRECTORY_ENTRIES as usize),
            ),
            (
                Section::Pages,
                quarters(many(Config::Pages) * PAGE_ENTRIES as usize),
            ),
            (
                Section::Rows,
                quarters(many(Config::Tables).saturating_mul(many(Config::Classes))),
            ),
            (
                Section::Cells,
                quarters(many(Config::Rows).saturating_mul(many(Config::PortClasses))),
            ),
            (Section::Codes, many(Config::Codes)),
            (Section::Endpoints, many(Config::Endpoints) * 2),
            (Section::Addresses, many(Config::Addresses) * 3),
            (Section::V6Groups, quarters(many(Config::V6Groups))),
            (Section::V6Hosts, many(Config::V6Hosts) * HOST_WORDS),
        ];
        for (section, words) in expected {
            if self.length(section, 8) != words {
                return Err(DecodeError::Section {
                    of: name(section as u32),
                    why: "is not as long as the configuration says",
                });
            }
        }
        for (field, word) in
            (0..Config::WORDS).map(|field| (field, self.word(Section::Config, field as u32)))
        {
            // Entries of the trie and addresses have a bit more.
            let of_v4 = [Config::V4Root, Config::V4Near, Config::V4NearFirst];
            let bits = 31 + u32::from(of_v4.iter().any(|own| *own as usize == field));
            let small = word.is_some_and(|word| word < 1 << bits);
            self.ensure(small, Section::Config, field, "is too large")?;
        }
        Ok(())
    }

    pub(super) fn ensure(
        &self,
        holds: bool,
        section: Section,
        index: usize,
        why: &'static str,
    ) -> Decoded<()> {
        if holds {
            return Ok(());
        }
        Err(DecodeError::Value {
            of: name(section as u32),
            index,
            why,
        })
    }

    pub(super) fn halves(&self, section: Section, count: Config, below: Config) -> Decoded<()> {
        for index in 0..self.count(count) {
            let known = half(self, section, index).is_some_and(|value| value < self.count(below));
            self.ensure(known, section, index as usize, "is too large")?;
        }
        Ok(())
    }

    fn quarters(&self, section: Section, count: usize, below: Config) -> Decoded<()> {
        let most = self.count(below);
        let (pairs, _) = self.section(section).as_chunks::<2>();
        let wrong = pairs
            .iter()
            .take(count)
            .position(|pair| u32::from(u16::from_le_bytes(*pair)) >= most)
            // What is not there is not known either.
            .or_else(|| (pairs.len() < count).then_some(pairs.len()));
        match wrong {
            None => Ok(()),
            Some(index) => self.ensure(false, section, index, "is too large"),
        }
    }

    fn ports(&self) -> Decoded<()> {
        let classes = self.count(Config::PortClasses);
        for protocol in 0..256 {
            let entry = half(self, Section::Protocols, protocol).unwrap_or(u32::MAX);
            let known = if entry & TO_DIRECTORY == 0 {
                entry < classes
            } else {
                entry & !TO_DIRECTORY < self.count(Config::Directories)
            };
            self.ensure(
                known,
                Section::Protocols,
                protocol as usize,
                "leads nowhere",
            )?;
        }
        for directory in 0..self.count(Config::Directories) {
            for entry in 0..=256 {
                let index = directory * DIRECTORY_ENTRIES + entry;
                let value = quarter(self, Section::Directories, index).unwrap_or(u32::MAX);
                let most = if entry == 256 {
                    classes
                } else {
                    self.count(Config::Pages)
                };
                self.ensure(
                    value < most,
                    Section::Directories,
                    index as usize,
                    "is too large",
                )?;
            }
        }
        let pages = self.count(Config::Pages) as usize;
        self.quarters(
            Section::Pages,
            pages * PAGE_ENTRIES as usize,
            Config::PortClasses,
        )
    }

    fn codes(&self) -> Decoded<()> {
        let origins = self.source.origins.len();
        for index in 0..self.count(Config::Codes) {
            let code = self.word(Section::Codes, index).and_then(Code::of);
            let known = code.is_some_and(|code| {
                let acts = !code.depends || code.action == verdict_abi::Action::Deny;
                acts && code.origin as usize <= origins
            });
            self.ensure(known, Section::Codes, index as usize, "is no code")?;
            let is_denied = code.is_some_and(|code| code.action == verdict_abi::Action::Deny);
            let is_redirected =
                code.is_some_and(|code| code.action == verdict_abi::Action::Redirect);
            let in_order = is_denied == (index < self.count(Config::Denies))
                && is_redirected == (index >= self.count(Config::Direct));
            self.ensure(
                in_order,
                Section::Codes,
                index as usize,
                "is not where its action stands",
            )?;
        }
        let named = self.source.endpoints.len() == self.count(Config::Endpoints) as usize;
        if !named {
            return Err(DecodeError::Section {
                of: name(SOURCE),
                why: "does not name each endpoint",
            });
        }
        // Where nothing new has a place, the node itself may stand behind its pods: it has no identity.
        let identities = self.subjects.identities.len();
        let endpoints = self.count(Config::Endpoints) as usize;
        let has_host = self.world.closed && identities + 1 == endpoints;
        let subjects = if has_host { endpoints } else { identities };
        let counts = [
            (SUBJECTS, subjects, Config::Endpoints),
            (WORLD, self.world.leaves.len(), Config::Leaves),
        ];
        for (kind, found, expected) in counts {
            if found != self.count(expected) as usize {
                return Err(DecodeError::Section {
                    of: name(kind),
                    why: "does not tell who each endpoint or leaf is",
                });
            }
        }
        Ok(())
    }

    fn addresses(&self) -> Decoded<()> {
        let count = self.count(Config::Addresses);
        let of = |index: u32| [0, 1].map(|half| self.word(Section::Addresses, index * 3 + half));
        for index in 0..count {
            let endpoint = self.word(Section::Addresses, index * 3 + 2);
            let known =
                endpoint.is_some_and(|endpoint| endpoint < self.count(Config::Endpoints).into());
            self.ensure(
                known,
                Section::Addresses,
                index as usize,
                "is of no endpoint",
            )?;
            let ascends = index == 0 || of(index - 1) < of(index);
            self.ensure(
                ascends,
                Section::Addresses,
                index as usize,
                "does not ascend",
            )?;
        }
        Ok(())
    }
}

/// The header, with its digest checked.
fn page_of_header(bytes: &[u8]) -> Decoded<&[u8]> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC[..]) {
        return Err(DecodeError::NoImage);
    }
    let short = DecodeError::Length {
        expected: PAGE as u64,
        found: bytes.len(),
    };
    let header = bytes.get(..PAGE).ok_or(short)?;
    match number(header, 16) {
        ENDIAN_MARK => {}
        mark if mark == ENDIAN_MARK.swap_bytes() => return Err(DecodeError::ForeignEndian),
        _ => return Err(DecodeError::Digest { of: "header" }),
    }
    let versions = [("format", 8, FORMAT_VERSION), ("ABI", 12, ABI_VERSION)];
    for (of, at, read) in versions {
        let found = number(header, at);
        if found != read {
            return Err(DecodeError::Version { of, found, read });
        }
    }
    let (told, own) = header.split_at(HEADER_DIGEST);
    if digest(told) != *own {
        return Err(DecodeError::Digest { of: "header" });
    }
    Ok(header)
}

/// The header of a file, which is as long as it says.
fn header(bytes: &[u8]) -> Decoded<&[u8]> {
    let header = page_of_header(bytes)?;
    let expected = long(header, 24);
    if expected != bytes.len() as u64 {
        return Err(DecodeError::Length {
            expected,
            found: bytes.len(),
        });
    }
    Ok(header)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn entries(header: &[u8]) -> Decoded<Vec<(Place, [u8; 32])>> {
    let wrong = || DecodeError::Section {
        of: "header",
        why: "has more sections than it has room for",
    };
    let count = number(header, 20) as usize;
    if count > (HEADER_DIGEST - ENTRIES) / ENTRY {
        return Err(wrong());
    }
    let entry = |index: usize| {
        let at = ENTRIES + index * ENTRY;
        let digest = header.get(at + 32..at + ENTRY)?.try_into().ok()?;
        let place = Place {
            kind: number(header, at),
            offset: usize::try_from(long(header, at + 8)).ok()?,
            length: usize::try_from(long(header, at + 16)).ok()?,
        };
        Some((place, digest))
    };
    (0..count)
        .map(|index| entry(index).ok_or_else(wrong))
        .collect()
}

/// The bytes of a section. Sections follow each other, each padded with zeros to whole pages: no byte of a file is under
/// no check.
fn content<'a>(bytes: &'a [u8], place: Place, next: &mut usize) -> Decoded<&'a [u8]> {
    let wrong = |why| DecodeError::Section {
        of: name(place.kind),
        why,
    };
    let ends = |end: usize| Some((end, end.checked_next_multiple_of(PAGE)?));
    let end = place.offset.checked_add(place.length).and_then(ends);
    let (end, padded) = end
        .filter(|_| place.offset == *next)
        .ok_or(wrong("stands where none can"))?;
    let found = bytes.get(place.offset..end).zip(bytes.get(end..padded));
    let (content, padding) = found.ok_or(wrong("stands where none can"))?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(wrong("has something behind its end"));
    }
    *next = padded;
    Ok(content)
}
