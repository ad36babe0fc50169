//! The sections of addresses as words, to be kept for another compile, and back.

use super::encode::Addresses;
use super::parts::Part;
use super::trie::Near;
use crate::kept::{Words, bytes_of, write_list};
use verdict_abi::Section;

impl Addresses {
    /// Adds them to some words.
    pub(crate) fn write(&self, words: &mut Vec<u32>) {
        words.push(self.root);
        words.extend([self.near.entry, self.near.first, self.near.bits]);
        for part in &self.parts {
            // Sections are made of whole words.
            let (own, _) = part.bytes.as_chunks::<4>();
            write_list(words, own.iter().map(|word| u32::from_le_bytes(*word)));
        }
    }

    /// Reads them.
    pub(crate) fn read(words: &mut Words<'_>) -> Option<Self> {
        let root = words.one()?;
        let [entry, first, bits] = *words.some(3)?.first_chunk()?;
        let mut part = |section: Section| {
            let bytes = bytes_of(words.list()?);
            Some(Part::new(section as u32, bytes))
        };
        let [a, b, c, d, e] = Section::OF_LEAVES;
        Some(Self {
            parts: [part(a)?, part(b)?, part(c)?, part(d)?, part(e)?],
            root,
            near: Near { entry, first, bits },
        })
    }
}
