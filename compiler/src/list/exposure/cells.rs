//! Cutting pods into parts of which every selector takes all or nothing, and putting together again what has one
//! answer.

use super::labels::{Cell, Key};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::hash::Hash;

/// How many parts one kind of namespace is cut into; what selectors still tell apart beyond that is left open.
pub(super) const MAX_CELLS: usize = 512;

/// More parts than this are not made larger: nobody reads them, and it takes the square of their number.
const MAX_WIDENED: usize = 128;

/// Parts that have nothing in common, each with something.
pub(super) type Cells<T> = Vec<(Cell, T)>;

/// Cuts a part by selectors; `false` marks parts that some selector would cut further.
pub(super) fn split(cell: &Cell, selectors: &[&Cell]) -> Cells<bool> {
    let mut cells = vec![(cell.clone(), true)];
    for selector in selectors {
        if cells.len() > MAX_CELLS {
            for (cell, decided) in &mut cells {
                *decided &= !cell.meets(selector) || cell.is_within(selector);
            }
            continue;
        }
        let mut cut = Vec::with_capacity(cells.len());
        for (cell, decided) in cells {
            match cell.intersection(selector) {
                Some(inside) if inside != cell => {
                    cut.extend(
                        cell.outside(selector)
                            .into_iter()
                            .map(|part| (part, decided)),
                    );
                    cut.push((inside, decided));
                }
                Some(_) | None => cut.push((cell, decided)),
            }
        }
        cells = cut;
    }
    cells
}

/// Puts parts together that differ in one key only and have the same with them.
pub(super) fn merge<T: Clone + Eq + Hash>(mut cells: Cells<T>) -> Cells<T> {
    while cells.len() > 1 {
        let before = cells.len();
        let keys: BTreeSet<Key> = cells
            .iter()
            .flat_map(|(cell, _)| cell.keys())
            .cloned()
            .collect();
        for key in keys {
            cells = merge_by(&key, cells);
        }
        if cells.len() == before {
            break;
        }
    }
    cells
}

fn merge_by<T: Clone + Eq + Hash>(key: &Key, cells: Cells<T>) -> Cells<T> {
    let mut merged: Cells<T> = Vec::with_capacity(cells.len());
    let mut known: FxHashMap<(Cell, T), usize> = FxHashMap::default();
    for (cell, with) in cells {
        let mut rest = cell.clone();
        rest.set(key.clone(), Cell::default().get(key).clone());
        let index = *known.entry((rest, with.clone())).or_insert(merged.len());
        match merged.get_mut(index) {
            Some((other, _)) => {
                let values = other.get(key).union(cell.get(key));
                other.set(key.clone(), values);
            }
            None => merged.push((cell, with)),
        }
    }
    merged
}

/// Makes parts as large as their answer holds, within a space that all of them cover; they may overlap then, where
/// they have the same answer. Those within another are left out.
pub(super) fn widen<T: Clone + Eq>(cells: &Cells<T>, space: &Cell) -> Cells<T> {
    if cells.len() > MAX_WIDENED {
        return cells.clone();
    }
    let mut wide: Cells<T> = Vec::new();
    for (cell, with) in cells {
        let others = || cells.iter().filter(|(_, other)| other != with);
        let mut wider = cell.clone();
        for key in cell.keys() {
            let mut candidate = wider.clone();
            candidate.set(key.clone(), space.get(key).clone());
            if !others().any(|(other, _)| other.meets(&candidate)) {
                wider = candidate;
            }
        }
        let is_known = |(known, of): &(Cell, T)| of == with && wider.is_within(known);
        if !wide.iter().any(is_known) {
            wide.retain(|(known, of)| of != with || !known.is_within(&wider));
            wide.push((wider, with.clone()));
        }
    }
    wide
}
