//! Blocks as sections of rows: what reads the same stands together.

use crate::list::{Block, Listing, Party, words};
use rustc_hash::FxHashMap;

/// Some destinations and all that reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) dst: Vec<Party>,
    pub(super) rows: Vec<Row>,
}

/// What passes, and from whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    /// `TCP 80`
    pub(super) what: String,
    /// Whether it is not sure.
    pub(super) perhaps: bool,
    pub(super) src: Vec<Party>,
}

impl Row {
    /// `TCP 80`, `perhaps TCP 80`
    pub(super) fn text(&self) -> String {
        if self.perhaps {
            format!("perhaps {}", self.what)
        } else {
            self.what.clone()
        }
    }
}

/// The sections of some blocks. Answers that differ only in what one family of addresses cannot carry read the
/// same: their rows are one.
pub(super) fn sections(listing: &Listing<'_>, blocks: &[Block]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut known: FxHashMap<Vec<Row>, Vec<usize>> = FxHashMap::default();
    for block in blocks {
        let rows = rows(listing, block);
        let alike = known.entry(rows.clone()).or_default();
        let same = alike.iter().copied().find(|index| {
            let section = sections.get(*index);
            section.is_some_and(|section| is_outside(&section.dst) == is_outside(&block.dst))
        });
        match same.and_then(|index| sections.get_mut(index)) {
            Some(section) => {
                section.dst.extend(&block.dst);
                section.dst.sort_unstable();
            }
            None => {
                alike.push(sections.len());
                sections.push(Section {
                    dst: block.dst.clone(),
                    rows,
                });
            }
        }
    }
    sections
}

fn is_outside(parties: &[Party]) -> bool {
    matches!(parties.first(), Some(Party::Outside(_)))
}

fn rows(listing: &Listing<'_>, block: &Block) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (answer, src) in &block.src {
        let answer = listing.answer(*answer);
        for (packets, perhaps) in [(&answer.allow, false), (&answer.depends, true)] {
            if packets.is_empty() {
                continue;
            }
            let what = words::packets(packets);
            let same = |row: &&mut Row| row.what == what && row.perhaps == perhaps;
            match rows.iter_mut().find(same) {
                Some(row) => {
                    row.src.extend(src);
                    row.src.sort_unstable();
                }
                None => rows.push(Row {
                    what,
                    perhaps,
                    src: src.clone(),
                }),
            }
        }
    }
    rows
}
