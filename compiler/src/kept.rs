//! What is kept between compiles: files that are whole or not used; and files of words, and how these are read.
//!
//! Words are read without trust: whoever reads them looks at every number before it is used as one of something.

use crate::source::to_u32;

/// How hard the compressor tries: most of the words are small numbers that repeat.
const LEVEL: i32 = 1;
/// More bytes of words are neither kept nor unpacked.
const MOST_BYTES: u64 = 1 << 30;

/// How the files of a kind begin.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) magic: &'static [u8; 8],
    /// The version of the layout of what comes behind.
    pub(crate) version: u32,
}

impl Form {
    /// The first bytes of a file.
    pub(crate) fn begun(self) -> Vec<u8> {
        [self.magic.as_slice(), &self.version.to_le_bytes()].concat()
    }

    /// What stands between the first bytes and the digest of a file that is whole.
    pub(crate) fn whole(self, file: &[u8]) -> Option<&[u8]> {
        let (told, digest) = file.split_last_chunk::<32>()?;
        if print(told) != *digest {
            return None;
        }
        let told = told.strip_prefix(self.magic.as_slice())?;
        told.strip_prefix(self.version.to_le_bytes().as_slice())
    }
}

/// A file that says of itself that it is whole: its digest stands behind all else.
pub(crate) fn closed(mut file: Vec<u8>) -> Vec<u8> {
    let digest = print(&file);
    file.extend(digest);
    file
}

/// The digest by which verdict knows bytes again that it kept (BLAKE3): of no other use, and made in a third of the time that SHA-256
/// takes.
pub(crate) fn print(bytes: &[u8]) -> [u8; 32] {
    blake3::hash(bytes).into()
}

/// The bytes of a file of words; none where there are too many.
pub(crate) fn sealed(form: Form, words: &[u32]) -> Option<Vec<u8>> {
    if words.len() as u64 * 4 > MOST_BYTES {
        return None;
    }
    let plain = bytes_of(words);
    let mut file = form.begun();
    file.extend((plain.len() as u64).to_le_bytes());
    file.extend(zstd::bulk::compress(&plain, LEVEL).ok()?);
    Some(closed(file))
}

/// The bytes of words.
pub(crate) fn bytes_of(words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; words.len() * 4];
    let (places, _) = bytes.as_chunks_mut::<4>();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    bytes
}

/// The words of a file that is whole.
pub(crate) fn unsealed(form: Form, file: &[u8]) -> Option<Vec<u32>> {
    let (length, packed) = form.whole(file)?.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    if length > MOST_BYTES {
        return None;
    }
    let plain = zstd::bulk::decompress(packed, usize::try_from(length).ok()?).ok()?;
    let (words, rest) = plain.as_chunks::<4>();
    let is_whole = rest.is_empty() && plain.len() as u64 == length;
    is_whole.then(|| words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

/// Words that are read one after another.
pub(crate) struct Words<'w>(pub(crate) &'w [u32]);

impl<'w> Words<'w> {
    /// The next word.
    pub(crate) fn one(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// So many words.
    pub(crate) fn some(&mut self, count: usize) -> Option<&'w [u32]> {
        let (own, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(own)
    }

    /// A list, which begins with how many words it has.
    pub(crate) fn list(&mut self) -> Option<&'w [u32]> {
        let count = self.one()?;
        self.some(count as usize)
    }

    /// A list of numbers below another.
    pub(crate) fn below(&mut self, most: u32) -> Option<&'w [u32]> {
        let list = self.list()?;
        list.iter().all(|number| *number < most).then_some(list)
    }
}

/// Adds a list, which begins with how many words it has.
pub(crate) fn write_list(words: &mut Vec<u32>, list: impl ExactSizeIterator<Item = u32>) {
    words.push(to_u32(list.len()));
    words.extend(list);
}

/// How many words a digest has.
pub(crate) const PRINT: usize = 8;

/// A digest as words.
pub(crate) fn words_of(print: &[u8; 32]) -> [u32; PRINT] {
    let (chunks, _) = print.as_chunks::<4>();
    let mut words = [0; PRINT];
    for (word, bytes) in words.iter_mut().zip(chunks) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Words as a digest.
pub(crate) fn print_of(words: &[u32; PRINT]) -> [u8; 32] {
    let mut print = [0; 32];
    let (chunks, _) = print.as_chunks_mut::<4>();
    for (bytes, word) in chunks.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    print
}
