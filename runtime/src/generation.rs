//! One generation: maps that hold one image, and programs that decide by them.

use crate::attachments::{self, Programs};
use crate::attest::{Witness, attest};
use crate::error::LoadError;
use crate::object::{OBJECT, SHARED, Table, map_name};
use crate::{kernel, memory, object};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::{CgroupSkb, SchedClassifier};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type};
use std::borrow::Borrow;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use verdict_abi::datapath::connections::{Slot, WAYS};
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{
    Attachment, CLOSED, Counter, OVERLAY, PASS_FOREIGN, PICK_UP, Reason, open_directions,
};
use verdict_abi::{Config, Section};
use verdict_compiler::image::Image;

/// How a generation is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// A folder of a bpffs, that exists: the maps of the node are taken from there, and pinned there if they are not
    /// yet. Without it they are this generation's own.
    pub shared: Option<&'a Path>,
    /// How many connections there is room for where the table is made now: a power of two.
    pub connections: u32,
    /// Word 0 of the map `settings`.
    pub settings: u64,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            shared: None,
            connections: 262_144,
            settings: 0,
        }
    }
}

/// Maps that hold one image, and programs that decide by them. Dropped, it is gone, but for what was pinned or is
/// attached.
#[derive(Debug)]
pub struct Generation {
    /// The tables, in the order of [`Section::ALL`]; none without an image.
    tables: Vec<MapData>,
    ebpf: Ebpf,
    settings: u64,
    /// By endpoint, which of its directions are open.
    open: Vec<u32>,
}

impl Generation {
    /// Makes the maps of an image, and fills and freezes them. A program is loaded against them when it is first asked
    /// for: each costs the verifier some tenths of a second.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn load(image: &Image<'_>, options: Options<'_>) -> Result<Self, LoadError> {
        Self::load_object(OBJECT, image, options)
    }

    /// The same with another object that has these maps: what benchmarks compare with.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn load_object(
        object: &[u8],
        image: &Image<'_>,
        options: Options<'_>,
    ) -> Result<Self, LoadError> {
        let generation = Self::maps(object, Some(image), options, None)?;
        generation.fill(image)?;
        Ok(generation)
    }

    /// A generation whose maps are pinned in a folder by [`Self::pin`]. `image` is the one that they hold.
    ///
    /// # Errors
    /// Where a map is not there, or the kernel refuses something.
    pub fn open(image: &Image<'_>, options: Options<'_>, folder: &Path) -> Result<Self, LoadError> {
        for name in own_maps() {
            if !folder.join(name).exists() {
                return Err(LoadError::Missing(name));
            }
        }
        Self::maps(OBJECT, Some(image), options, Some(folder))
    }

    /// Pins the maps of this generation in a folder of a bpffs.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn pin(&self, folder: &Path) -> Result<(), LoadError> {
        for name in own_maps() {
            let pinned = self.map(name)?.pin(folder.join(name));
            pinned.map_err(|error| LoadError::Pin(name, error))?;
        }
        Ok(())
    }

    /// A generation without an image: the programs `closed` and `cgroup_closed` are to be had from it, which let
    /// nothing pass but what a link needs.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn closed(options: Options<'_>) -> Result<Self, LoadError> {
        Self::maps(OBJECT, None, options, None)
    }

    fn maps(
        object: &[u8],
        image: Option<&Image<'_>>,
        options: Options<'_>,
        own: Option<&Path>,
    ) -> Result<Self, LoadError> {
        let buckets = buckets(options.connections)?;
        let shared = options.shared.into_iter();
        let shared = shared.flat_map(|folder| SHARED.map(|name| (name, folder.join(name))));
        let own_pins = own.into_iter();
        let own_pins = own_pins.flat_map(|folder| OTHERS.map(|name| (name, folder.join(name))));
        let pins: Vec<_> = shared.chain(own_pins).collect();
        let mut loader = EbpfLoader::new();
        // The log costs time and memory that grow with the programs; what they cost is told without it.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        let mut tables = Vec::new();
        let mut with_tables = None;
        if let Some(image) = image {
            for section in Section::ALL {
                tables.push(table(image, section, own)?);
            }
            let places = places(image, &tables);
            let object = object::with_tables(object, &places);
            with_tables = Some(object.map_err(LoadError::Missing)?);
            loader.map_max_entries("code_counters", image.count(Config::Codes).max(1));
        }
        loader.map_max_entries("connections", options.connections);
        for (name, path) in &pins {
            loader.map_pin_path(name, path.as_path());
        }
        let object = with_tables.as_deref().unwrap_or(object);
        let ebpf = loader.load(object).map_err(LoadError::Object)?;
        let mut generation = Self {
            tables,
            ebpf,
            settings: 0,
            open: image.map(open_directions).unwrap_or_default(),
        };
        if own.is_some() {
            generation.settings = generation.read_settings()?;
        } else {
            generation.set_settings(options.settings)?;
        }
        generation.seed(buckets)?;
        Ok(generation)
    }

    fn fill(&self, image: &Image<'_>) -> Result<(), LoadError> {
        for section in Section::ALL {
            let name = map_name(section);
            let map = self.map(name)?;
            let bytes = image.section(section);
            let filled = if bytes.is_empty() {
                Ok(())
            } else {
                memory::fill(map, bytes)
            };
            let frozen = filled.and_then(|()| kernel::freeze(map.fd().as_fd()));
            frozen.map_err(|error| LoadError::Fill(name, error))?;
        }
        Ok(())
    }

    /// Makes the table of connections ready if it was made now.
    fn seed(&mut self, buckets: u32) -> Result<(), LoadError> {
        let mut table: Array<_, [u64; 6]> = self.typed("table")?;
        let failed = |error| LoadError::Map("table", error);
        if table.get(&0, 0).map_err(failed)? == [0; 6] {
            // The standard library takes them from the system's source of random numbers.
            let source = RandomState::new();
            let [a, b, c, d, e] = [0_u8, 1, 2, 3, 4].map(|key| source.hash_one(key));
            let words = [u64::from(buckets) - 1, a, b, c, d, e];
            table.set(0, words, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// A map.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn map(&self, name: &'static str) -> Result<&MapData, LoadError> {
        let sections = Section::ALL.map(map_name);
        let mut tables = sections.into_iter().zip(&self.tables);
        if let Some((_, table)) = tables.find(|(own, _)| *own == name) {
            return Ok(table);
        }
        match self.ebpf.map(name) {
            Some(Map::Array(map) | Map::PerCpuArray(map)) => Ok(map),
            Some(Map::HashMap(map) | Map::LruHashMap(map) | Map::LpmTrie(map)) => Ok(map),
            _ => Err(LoadError::Missing(name)),
        }
    }

    /// A map as one of its kind.
    ///
    /// # Errors
    /// Where there is none of this name and kind.
    pub fn typed<'a, T>(&'a mut self, name: &'static str) -> Result<T, LoadError>
    where
        T: TryFrom<&'a mut Map, Error = MapError>,
    {
        let map = self.ebpf.map_mut(name).ok_or(LoadError::Missing(name))?;
        T::try_from(map).map_err(|error| LoadError::Map(name, error))
    }

    /// A program for interfaces, loaded: `ingress`, `egress` or `closed`.
    ///
    /// # Errors
    /// Where there is none of this name, or the verifier refuses it.
    pub fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, LoadError> {
        let failed = |error| LoadError::Program(name, error);
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or(LoadError::Missing(name))?;
        let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
        if program.fd().is_err() {
            program.load().map_err(failed)?;
        }
        Ok(program)
    }

    /// A program for cgroups, loaded: `cgroup_ingress`, `cgroup_egress` or `cgroup_closed`.
    ///
    /// # Errors
    /// Where there is none of this name, or the verifier refuses it.
    pub fn cgroup(&mut self, name: &'static str) -> Result<&mut CgroupSkb, LoadError> {
        let failed = |error| LoadError::Program(name, error);
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or(LoadError::Missing(name))?;
        let program: &mut CgroupSkb = program.try_into().map_err(failed)?;
        if program.fd().is_err() {
            program.load().map_err(failed)?;
        }
        Ok(program)
    }

    /// Says which endpoint is behind an interface, before the programs are attached to it. An entry of the same
    /// interface is written over. Which directions are open is added.
    ///
    /// # Errors
    /// Where there is no room, or the kernel refuses.
    pub fn attach_interface(&mut self, attachment: Attachment) -> Result<(), LoadError> {
        self.attach_interfaces(&[attachment], Programs::Idle)
    }

    /// The same of several interfaces; where programs may run already, an interface whose entry changes is closed meanwhile.
    pub(crate) fn attach_interfaces(
        &mut self,
        attachments: &[Attachment],
        programs: Programs,
    ) -> Result<(), LoadError> {
        let attachments: Vec<Attachment> = attachments
            .iter()
            .map(|attachment| Attachment {
                flags: attachment.flags | self.open_directions(attachment),
                ..*attachment
            })
            .collect();
        attachments::write(&mut self.typed(attachments::NAME)?, &attachments, programs)
    }

    fn open_directions(&self, attachment: &Attachment) -> u32 {
        if attachment.flags & CLOSED != 0 {
            return 0;
        }
        let open = self.open.get(attachment.endpoint as usize);
        open.copied().unwrap_or(0)
    }

    /// Compares what the kernel holds with an image: the digest of every table that is one of its maps. Returns who says
    /// that it is the same, the best witness that this kernel has.
    ///
    /// # Errors
    /// Where a map holds something else, or cannot be asked.
    pub fn attest(&self, image: &Image<'_>) -> Result<Witness, LoadError> {
        let name = map_name(Section::Config);
        let witness = Witness::of_kernel(name, self.map(name)?)?;
        self.attest_by(image, witness)?;
        Ok(witness)
    }

    /// The same by a certain witness.
    ///
    /// # Errors
    /// As above; and where the kernel computes no digests, and is asked for them.
    pub fn attest_by(&self, image: &Image<'_>, witness: Witness) -> Result<(), LoadError> {
        attest(image, witness, |name| self.map(name))
    }

    /// Writes word 0 of the map `settings`.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn set_settings(&mut self, settings: u64) -> Result<(), LoadError> {
        let mut words: Array<_, [u64; 2]> = self.typed("settings")?;
        let written = words.set(0, [settings, 0], 0);
        written.map_err(|error| LoadError::Map("settings", error))?;
        self.settings = settings;
        Ok(())
    }

    fn read_settings(&mut self) -> Result<u64, LoadError> {
        let words: Array<_, [u64; 2]> = self.typed("settings")?;
        let words = words.get(&0, 0);
        let [settings, _] = words.map_err(|error| LoadError::Map("settings", error))?;
        Ok(settings)
    }

    /// What was asked for when it was loaded, of word 0 of the map `settings`.
    pub(crate) const fn asked(&self) -> u64 {
        self.settings & (PASS_FOREIGN | PICK_UP)
    }

    /// Gives an address a leaf that the tables do not have for it.
    ///
    /// # Errors
    /// Where there is no room, or the kernel refuses.
    pub fn learn(&mut self, address: Address, leaf: u32) -> Result<(), LoadError> {
        let mut overlay: HashMap<_, [u64; 2], u32> = self.typed("overlay")?;
        let written = overlay.insert([address.upper, address.lower], leaf, 0);
        written.map_err(|error| LoadError::Map("overlay", error))?;
        self.set_settings(self.settings | OVERLAY)
    }

    /// Forgets all connections.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn forget_connections(&self) -> Result<(), LoadError> {
        let map = self.map("connections")?;
        let info = map.info();
        let info = info.map_err(|error| LoadError::Map("connections", error))?;
        let bytes = info.max_entries() as usize * size_of::<Slot>();
        let cleared = memory::clear(map, bytes);
        cleared.map_err(|error| LoadError::Fill("connections", error))
    }

    /// What was counted by reason, in the order of [`Reason::ALL`]. [`Reason::Allowed`] and [`Reason::Denied`] are counted
    /// by code alone.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn reasons(&mut self) -> Result<Vec<(Reason, Counter)>, LoadError> {
        let counted = self.counters("reason_counters", Reason::ALL.len())?;
        Ok(Reason::ALL.into_iter().zip(counted).collect())
    }

    /// What was counted by verdict code.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn codes(&mut self) -> Result<Vec<Counter>, LoadError> {
        let counters: PerCpuArray<_, [u64; 2]> = self.typed("code_counters")?;
        let many = counters.len() as usize;
        self.counters("code_counters", many)
    }

    fn counters(&mut self, name: &'static str, many: usize) -> Result<Vec<Counter>, LoadError> {
        let counters: PerCpuArray<_, [u64; 2]> = self.typed(name)?;
        sums(&counters, many).map_err(|error| LoadError::Map(name, error))
    }
}

/// The first counters of a map, each summed over the processors.
pub(crate) fn sums<T: Borrow<MapData>>(
    counters: &PerCpuArray<T, [u64; 2]>,
    many: usize,
) -> Result<Vec<Counter>, MapError> {
    let indices = 0..u32::try_from(many).unwrap_or(u32::MAX);
    indices
        .map(|index| {
            let each = counters.get(&index, 0)?;
            let sum = |total: Counter, [packets, bytes]: &[u64; 2]| Counter {
                packets: total.packets + packets,
                bytes: total.bytes + bytes,
            };
            Ok(each.iter().fold(Counter::default(), sum))
        })
        .collect()
}

/// Of the maps of a generation that are its own, those that are no tables.
const OTHERS: [&str; 4] = ["settings", attachments::NAME, "overlay", "code_counters"];

/// The maps of a generation that are its own.
pub(crate) fn own_maps() -> impl Iterator<Item = &'static str> {
    Section::ALL.map(map_name).into_iter().chain(OTHERS)
}

/// Words of the map of a section: it has one element at least.
fn words(image: &Image<'_>, section: Section) -> u32 {
    let words = (image.section(section).len() / 8).max(section.element());
    // The decoder lets no section be longer than half a gibibyte.
    u32::try_from(words).unwrap_or(u32::MAX)
}

/// The map of a section: made, or as it is pinned in a folder.
fn table(image: &Image<'_>, section: Section, folder: Option<&Path>) -> Result<MapData, LoadError> {
    let name = map_name(section);
    let bytes = words(image, section).saturating_mul(8);
    let map = match folder {
        Some(folder) => MapData::from_pin(folder.join(name)),
        None => {
            let kind = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
            let map = aya_obj::Map::new_from_params(kind, 4, bytes, 1, BPF_F_MMAPABLE);
            MapData::create(map, name, None)
        }
    };
    map.map_err(|error| LoadError::Map(name, error))
}

/// What programs are told of the tables.
fn places(image: &Image<'_>, tables: &[MapData]) -> Vec<Table> {
    let tables = Section::ALL.into_iter().zip(tables);
    let place = |(section, map): (Section, &MapData)| Table {
        section,
        fd: map.fd().as_fd().as_raw_fd(),
        words: words(image, section).cast_signed(),
    };
    tables.map(place).collect()
}

fn buckets(connections: u32) -> Result<u32, LoadError> {
    let ways = WAYS as u32;
    if connections.is_power_of_two() && connections >= 2 * ways {
        Ok(connections / ways)
    } else {
        Err(LoadError::Connections(connections))
    }
}
