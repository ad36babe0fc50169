//! One generation: maps that hold one image, and programs that decide by them.

use crate::error::LoadError;
use crate::memory;
use crate::object::{OBJECT, SHARED, map_name};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::{CgroupSkb, SchedClassifier};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use verdict_abi::datapath::connections::{Slot, WAYS};
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{
    ATTACHMENT_PROBES, ATTACHMENTS, Attachment, Counter, OVERLAY, Reason, open_directions,
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
        let mut generation = Self::maps(object, Some(image), options)?;
        generation.fill(image)?;
        generation.open = open_directions(image);
        Ok(generation)
    }

    /// A generation without an image: the programs `closed` and `cgroup_closed` are to be had from it, which let
    /// nothing pass but what a link needs.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn closed(options: Options<'_>) -> Result<Self, LoadError> {
        Self::maps(OBJECT, None, options)
    }

    fn maps(
        object: &[u8],
        image: Option<&Image<'_>>,
        options: Options<'_>,
    ) -> Result<Self, LoadError> {
        let buckets = buckets(options.connections)?;
        let pins: Vec<_> = options
            .shared
            .iter()
            .flat_map(|folder| SHARED.map(|name| (name, folder.join(name))))
            .collect();
        let mut loader = EbpfLoader::new();
        // The log costs time and memory that grow with the programs; what they cost is told without it.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        if let Some(image) = image {
            for section in Section::ALL {
                loader.map_max_entries(map_name(section), entries(image, section));
            }
            loader.map_max_entries("code_counters", image.count(Config::Codes).max(1));
        }
        loader.map_max_entries("connections", options.connections);
        for (name, path) in &pins {
            loader.map_pin_path(name, path.as_path());
        }
        let ebpf = loader.load(object).map_err(LoadError::Object)?;
        let mut generation = Self {
            ebpf,
            settings: 0,
            open: Vec::new(),
        };
        generation.set_settings(options.settings)?;
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
            let frozen = filled.and_then(|()| memory::freeze(map));
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
        T: TryFrom<&'a mut Map, Error = aya::maps::MapError>,
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
    pub fn attach_interface(&mut self, mut attachment: Attachment) -> Result<(), LoadError> {
        let open = self.open.get(attachment.endpoint as usize);
        attachment.flags |= open.copied().unwrap_or(0);
        let interface = attachment.interface;
        let own = self.entry_of(interface)?;
        let entry = match own {
            Some(entry) => Some(entry),
            None => self.entry_of_any(interface, 0)?,
        };
        let entry = entry.ok_or(LoadError::NoRoom(interface))?;
        self.write_attachment(entry, attachment)
    }

    /// Forgets which endpoint is behind an interface, after the programs are detached from it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn detach_interface(&mut self, interface: u32) -> Result<(), LoadError> {
        match self.entry_of(interface)? {
            Some(entry) => self.write_attachment(entry, Attachment::default()),
            None => Ok(()),
        }
    }

    fn entry_of(&mut self, interface: u32) -> Result<Option<u32>, LoadError> {
        self.entry_of_any(interface, interface)
    }

    /// The entry, among those of an interface, that says it is of another.
    fn entry_of_any(&mut self, interface: u32, of: u32) -> Result<Option<u32>, LoadError> {
        let entries: Array<_, [u64; 8]> = self.typed("attachments")?;
        for probe in 0..ATTACHMENT_PROBES {
            let entry = interface.wrapping_add(probe) % ATTACHMENTS;
            let words = entries.get(&entry, 0);
            let words = words.map_err(|error| LoadError::Map("attachments", error))?;
            if Attachment::of_words(words).interface == of {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn write_attachment(&mut self, entry: u32, attachment: Attachment) -> Result<(), LoadError> {
        let mut entries: Array<_, [u64; 8]> = self.typed("attachments")?;
        let written = entries.set(entry, attachment.words(), 0);
        written.map_err(|error| LoadError::Map("attachments", error))
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
        let indices = 0..u32::try_from(many).unwrap_or(u32::MAX);
        indices
            .map(|index| {
                let each = counters.get(&index, 0);
                let each = each.map_err(|error| LoadError::Map(name, error))?;
                let sum = |total: Counter, [packets, bytes]: &[u64; 2]| Counter {
                    packets: total.packets + packets,
                    bytes: total.bytes + bytes,
                };
                Ok(each.iter().fold(Counter::default(), sum))
            })
            .collect()
    }
}

/// Entries of the map of a section: a map has one at least.
fn entries(image: &Image<'_>, section: Section) -> u32 {
    let words = if section == Section::Config {
        1
    } else {
        image.section(section).len() / 8
    };
    // The decoder lets no section be longer than a gibibyte.
    u32::try_from(words).unwrap_or(u32::MAX).max(1)
}

fn buckets(connections: u32) -> Result<u32, LoadError> {
    let ways = WAYS as u32;
    if connections.is_power_of_two() && connections >= 2 * ways {
        Ok(connections / ways)
    } else {
        Err(LoadError::Connections(connections))
    }
}
