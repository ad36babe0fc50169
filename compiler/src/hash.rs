//! A number for two, for keys of hash tables whose bits differ in a few places only; and what `Hash` tells of a thing, as bytes.

use sha2::{Digest as _, Sha256};
use std::hash::{Hash, Hasher};

/// Both halves of a product, folded: every bit of both numbers counts for the lower bits as for the upper ones, which
/// multiplying hashes such as that of `rustc-hash` do not see to. No defence against keys that are chosen to collide.
#[must_use]
pub(crate) fn mixed(one: u64, other: u64) -> u64 {
    let one = one ^ 0x9e37_79b9_7f4a_7c15;
    let other = other ^ 0xc2b2_ae3d_27d4_eb4f;
    let [low, high] = [0, 64].map(|shift| (u128::from(one) * u128::from(other)) >> shift);
    // Where one factor is nought, the numbers themselves are left.
    (low as u64) ^ (high as u64) ^ one.rotate_left(32) ^ other
}

/// What was found for the thing before: where things come in a row, many are found as that was.
#[derive(Debug)]
pub(crate) struct Latest<K, V>(Option<(K, V)>);

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Copy + PartialEq, V: Copy> Latest<K, V> {
    /// What belongs to a key, which is found where the key before was another.
    pub(crate) fn get(&mut self, key: K, find: impl FnOnce(K) -> V) -> V {
        match self.0 {
            Some((known, found)) if known == key => found,
            Some(_) | None => {
                let found = find(key);
                self.0 = Some((key, found));
                found
            }
        }
    }
}

/// Takes what `Hash` tells of things: where it is derived that is everything, and with the lengths of lists, so that no two things tell
/// the same. It is the same on every machine that orders the bytes of its numbers as maps of images are ordered, whatever their width.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Vec<u8>);

impl Hasher for Told {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_i16(&mut self, number: i16) {
        self.write(&number.to_le_bytes());
    }

    fn write_i32(&mut self, number: i32) {
        self.write(&number.to_le_bytes());
    }

    fn write_i64(&mut self, number: i64) {
        self.write(&number.to_le_bytes());
    }

    fn write_i128(&mut self, number: i128) {
        self.write(&number.to_le_bytes());
    }

    fn write_isize(&mut self, number: isize) {
        self.write_i64(number as i64);
    }

    /// Of no use: whoever takes the bytes digests them.
    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The SHA-256 digest of what `Hash` tells of a thing, which is told into what is given: many are told there one after another.
pub(crate) fn digest_by(told: &mut Told, thing: &impl Hash) -> [u8; 32] {
    told.0.clear();
    thing.hash(told);
    Sha256::digest(&told.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn things_that_differ_tell_different_bytes() {
        let told = |thing: &[&[&str]]| digest_by(&mut Told::default(), &thing);
        let things: [&[&[&str]]; 6] = [
            &[],
            &[&[]],
            &[&["ab"]],
            &[&["a", "b"]],
            &[&["a"], &["b"]],
            &[&["b"], &["a"]],
        ];
        let digests: HashSet<[u8; 32]> = things.into_iter().map(told).collect();
        assert_eq!(digests.len(), things.len());
        // Whatever the width of numbers.
        let mut bytes = Told::default();
        (1_usize, -1_isize, Some("é"), 7_u16).hash(&mut bytes);
        let expected: [&[u8]; 5] = [
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0xff; 8],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0xc3, 0xa9, 0xff],
            &[7, 0],
        ];
        assert_eq!(bytes.0, expected.concat());
    }

    #[test]
    fn no_number_hides_the_other() {
        for fixed in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f] {
            let first: HashSet<u64> = (0..1000).map(|other| mixed(fixed, other)).collect();
            let second: HashSet<u64> = (0..1000).map(|one| mixed(one, fixed)).collect();
            assert_eq!([first.len(), second.len()], [1000, 1000], "{fixed:x}");
        }
    }
}
