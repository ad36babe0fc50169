//! Blocks as sections of rows: what reads the same stands together.

use crate::list::{Block, Listing, Party, words};
use rustc_hash::FxHashMap;

/// Some destinations and all that reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::render) struct Section {
    pub(in crate::cli::render) dst: Vec<Party>,
    pub(in crate::cli::render) rows: Vec<Row>,
}

/// What passes, and from whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cli::render) struct Row {
    /// `TCP 80`
    pub(in crate::cli::render) what: String,
    pub(in crate::cli::render) tone: Tone,
    pub(in crate::cli::render) src: Vec<Party>,
    /// What there is to say about it, a line each.
    pub(in crate::cli::render) notes: Vec<String>,
}

/// How a row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cli::render) enum Tone {
    /// It passes.
    Surely,
    /// It is not sure.
    Perhaps,
    /// It did not pass before.
    Added,
    /// It does not pass any more.
    Removed,
    /// Something else passes than before.
    Changed,
}

impl Tone {
    /// What stands in front of a row.
    pub(in crate::cli::render) fn sign(self) -> &'static str {
        match self {
            Self::Surely => "",
            Self::Perhaps => "perhaps ",
            Self::Added => "+ ",
            Self::Removed => "- ",
            Self::Changed => "~ ",
        }
    }
}

impl Row {
    /// `TCP 80`, `perhaps TCP 80`, `+ TCP 80`
    pub(in crate::cli::render) fn text(&self) -> String {
        format!("{}{}", self.tone.sign(), self.what)
    }
}

/// The sections of some blocks. Blocks that read the same are one.
pub(in crate::cli::render) fn sections<A>(
    blocks: &[Block<A>],
    mut rows: impl FnMut(&Block<A>) -> Vec<Row>,
) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut known: FxHashMap<Vec<Row>, Vec<usize>> = FxHashMap::default();
    for block in blocks {
        let rows = rows(block);
        if rows.is_empty() {
            continue;
        }
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

/// Adds a row to those before it: to one that reads the same where there is one.
pub(in crate::cli::render) fn add(rows: &mut Vec<Row>, row: Row) {
    let same = |known: &&mut Row| known.what == row.what && known.tone == row.tone;
    match rows.iter_mut().find(same) {
        Some(known) => {
            known.src.extend(row.src);
            known.src.sort_unstable();
            for note in row.notes {
                if !known.notes.contains(&note) {
                    known.notes.push(note);
                }
            }
        }
        None => rows.push(row),
    }
}

/// The rows of a list. Answers that differ only in what one family of addresses cannot carry read the same: their
/// rows are one.
pub(super) fn listed(listing: &Listing<'_>, block: &Block) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (answer, src) in &block.src {
        let answer = listing.answer(*answer);
        for (packets, tone) in [
            (&answer.allow, Tone::Surely),
            (&answer.depends, Tone::Perhaps),
        ] {
            for (packets, mark) in words::by_way(answer, packets) {
                let row = Row {
                    what: format!("{}{mark}", words::packets(&packets)),
                    tone,
                    src: src.clone(),
                    notes: Vec::new(),
                };
                add(&mut rows, row);
            }
        }
    }
    rows
}
