//! Label sets and sets of named ports, each stored once and known by its number.

use crate::cluster::{Labels, LabelsId, NamedPort, PortsId};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::hash::Hash;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Sets {
    labels: Numbered<Labels>,
    ports: Numbered<[NamedPort]>,
}

impl Sets {
    pub(super) fn labels(&mut self, labels: &Arc<Labels>) -> LabelsId {
        LabelsId(self.labels.number(labels))
    }

    /// The number of a port list as a set: sorted, each port once.
    pub(super) fn ports(&mut self, ports: &Arc<[NamedPort]>) -> PortsId {
        if ports.is_sorted_by(|one, other| one < other) {
            return PortsId(self.ports.number(ports));
        }
        let mut sorted = ports.to_vec();
        sorted.sort();
        sorted.dedup();
        PortsId(self.ports.number(&sorted.into()))
    }

    pub(super) fn into_lists(self) -> (Vec<Labels>, Vec<Box<[NamedPort]>>) {
        let ports = self.ports.into_list();
        let ports = ports.iter().map(|ports| ports.to_vec().into()).collect();
        let labels = self.labels.into_list();
        (
            labels.into_iter().map(Arc::unwrap_or_clone).collect(),
            ports,
        )
    }
}

struct Numbered<T: ?Sized> {
    /// By the address of what is shared: most values are, and need not be looked at.
    shared: FxHashMap<usize, (Arc<T>, u32)>,
    numbers: FxHashMap<Arc<T>, u32>,
    list: Vec<Arc<T>>,
}

impl<T: ?Sized> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            shared: FxHashMap::default(),
            numbers: FxHashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<T: ?Sized + Eq + Hash> Numbered<T> {
    fn number(&mut self, value: &Arc<T>) -> u32 {
        // The address is nobody else's while the value is held here.
        let address = Arc::as_ptr(value).addr();
        if let Some((_, number)) = self.shared.get(&address) {
            return *number;
        }
        let number = self.number_by_value(value);
        self.shared.insert(address, (Arc::clone(value), number));
        number
    }

    fn number_by_value(&mut self, value: &Arc<T>) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = to_u32(self.list.len());
        self.numbers.insert(Arc::clone(value), number);
        self.list.push(Arc::clone(value));
        number
    }

    fn into_list(self) -> Vec<Arc<T>> {
        self.list
    }
}
