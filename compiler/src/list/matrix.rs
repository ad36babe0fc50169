//! What stands between any two of some peers, by classes of equal ones: answers, or differences of answers.

use super::directory::{Directory, RangesId};
use super::peers::{ClassId, PeerId};
use crate::hir::Direction;
use crate::source::to_u32;
use std::fmt;
use std::hash::Hash;

/// A table of everyone with everyone, and with the outside.
pub(crate) trait Matrix {
    /// What stands between two.
    type Entry: Copy + Ord + Hash + fmt::Debug;

    /// The entry of those between whom nothing stands.
    const NOTHING: Self::Entry;

    /// Who there is.
    fn directory(&self) -> &Directory;

    /// How many classes of equal peers there are.
    fn classes(&self) -> usize;

    /// The class of a peer.
    fn class_of(&self, peer: PeerId) -> Option<ClassId>;

    /// What stands between a peer of one class and another peer of another class or the same.
    fn between_classes(&mut self, src: ClassId, dst: ClassId) -> Self::Entry;

    /// What stands between the pods of a peer; `None` where it is a single one.
    fn within(&mut self, peer: PeerId) -> Option<Self::Entry>;

    /// Whether [`within`](Self::within) may be another for a peer of this class than what stands between peers
    /// of the class.
    fn varies(&self, class: ClassId) -> bool;

    /// What stands between a peer of a class and addresses outside, of which `direction` is the peer's side: never
    /// [`NOTHING`](Self::NOTHING).
    fn outside_of(&self, class: ClassId, direction: Direction) -> &[(RangesId, Self::Entry)];

    /// All classes.
    fn class_ids(&self) -> impl Iterator<Item = ClassId> + use<Self> {
        (0..to_u32(self.classes())).map(ClassId)
    }
}
