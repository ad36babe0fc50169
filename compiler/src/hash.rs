//! A number for two, for keys of hash tables whose bits differ in a few places only.

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_number_hides_the_other() {
        for fixed in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f] {
            let first: HashSet<u64> = (0..1000).map(|other| mixed(fixed, other)).collect();
            let second: HashSet<u64> = (0..1000).map(|one| mixed(one, fixed)).collect();
            assert_eq!([first.len(), second.len()], [1000, 1000], "{fixed:x}");
        }
    }
}
