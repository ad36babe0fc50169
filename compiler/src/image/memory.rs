//! The tables of an image in the memory of the host, as a node's maps hold them.

use super::Image;
use verdict_abi::{Section, Tables};

/// Tables as words: looked up faster than the bytes of a file.
#[derive(Clone, Debug)]
pub struct Memory {
    /// In the order of [`Section::ALL`].
    sections: [Box<[u64]>; Section::ALL.len()],
}

impl Memory {
    /// Copies the tables of an image.
    #[must_use]
    pub fn of(image: &Image<'_>) -> Self {
        let words = |section| -> Box<[u64]> {
            let words = (0..).map_while(|index| image.word(section, index));
            words.collect()
        };
        Self {
            sections: Section::ALL.map(words),
        }
    }
}

impl Tables for Memory {
    #[inline]
    fn word(&self, section: Section, index: u32) -> Option<u64> {
        let words = self.sections.get(section as usize - 1)?;
        words.get(index as usize).copied()
    }
}
