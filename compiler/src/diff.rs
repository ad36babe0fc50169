//! Which connections a change opens or closes.
//!
//! Input: two worlds ([`Worlds`]), each a snapshot with policies. Output: [`Diff`], the peers of both with what
//! changes between any two; from it [`Diff::pairs_of`], one by one, and [`Diff::blocks_of`], where what is equal
//! stands together. Guarantee: between two peers, or a peer and an address, stands a [`Delta`] exactly where the
//! [`Listing`] of one side says something else than that of the other. Peers are the same
//! by namespace, name and kind of workload. Work is done per pair of classes of peers that are equal on both
//! sides, never per pair of pods.
//!
//! Why something changes is asked of a third list, of the new policies on the old cluster: where that is as new,
//! the policies make the difference, and where it is as old, the cluster does. Which rules make it is asked of a
//! packet that both sides judge ([`rules`]).

mod compare;
mod focus;
mod inspected;
mod matching;
mod outside;
pub mod report;
pub mod rules;
mod told;
mod witness;

pub use compare::{Delta, DeltaId, Reason, Way};
pub use inspected::Inspected;
pub use told::Told;

use crate::explain::Context;
use crate::flows::{Answer, AnswerId, Connections};
use crate::hir::Direction;
use crate::ir::Program;
use crate::list::matrix::Matrix;
use crate::list::peers::ClassId;
use crate::list::{Block, By, Count, Directory, Focus, Listing, Pair, Party, PeerId, RangesId};
use crate::query::{Families, Family};
use compare::{Deltas, Which};
use matching::Matching;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Worlds<'a> {
    /// Before the change.
    pub old: Context<'a>,
    /// Behind it.
    pub new: Context<'a>,
}

impl Worlds<'_> {
    /// The families that pods without an address may have on either side: a family that only one of them has is
    /// no difference.
    #[must_use]
    pub fn families(&self) -> Families {
        let [old, new] = [self.old, self.new].map(|side| Families::of(side.cluster));
        old.or(new).or_else(Families::only(Family::V4))
    }
}

/// The policies of both sides, applied.
#[derive(Debug)]
pub struct Programs {
    old: Program,
    new: Program,
    /// The new policies on the old cluster, where that is another.
    crossed: Option<Program>,
}

impl Programs {
    /// Applies the policies of both worlds.
    #[must_use]
    pub fn resolve(worlds: &Worlds<'_>) -> Self {
        let Worlds { old, new } = worlds;
        Self::of(worlds, !old.cluster.is_same(new.cluster))
    }

    /// The same where nobody asks why something changes.
    pub(crate) fn without_reasons(worlds: &Worlds<'_>) -> Self {
        Self::of(worlds, false)
    }

    fn of(Worlds { old, new }: &Worlds<'_>, crossed: bool) -> Self {
        let (of_old, (of_new, crossed)) = rayon::join(
            || Program::resolve(old.cluster, old.policies),
            || {
                rayon::join(
                    || Program::resolve(new.cluster, new.policies),
                    || crossed.then(|| Program::resolve(old.cluster, new.policies)),
                )
            },
        );
        Self {
            old: of_old,
            new: of_new,
            crossed,
        }
    }
}

/// What changes between the peers of two worlds.
#[derive(Debug)]
pub struct Diff<'a> {
    worlds: Worlds<'a>,
    /// Those of pods without an address, on both sides.
    families: Families,
    programs: &'a Programs,
    old: Listing<'a>,
    new: Listing<'a>,
    crossed: Option<Listing<'a>>,
    directory: Directory,
    matching: Matching,
    deltas: Deltas,
    outside: FxHashMap<(ClassId, Direction), Vec<(RangesId, DeltaId)>>,
    decisions: rules::Decisions,
}

impl<'a> Diff<'a> {
    /// Compares two worlds by workload or by pod.
    #[must_use]
    pub fn new(worlds: Worlds<'a>, programs: &'a Programs, by: By) -> Self {
        Self::in_families(worlds, programs, by, worlds.families())
    }

    /// The same where pods without an address may have other families than those of the snapshots.
    pub(crate) fn in_families(
        worlds: Worlds<'a>,
        programs: &'a Programs,
        by: By,
        families: Families,
    ) -> Self {
        let crossed = programs.crossed.as_ref();
        // Where one side governs nodes, it is told of them on both.
        let mut all = [&programs.old, &programs.new].into_iter().chain(crossed);
        let nodes = all.any(Program::governs_nodes);
        let listing = |context: Context<'a>, program| {
            let connections = Connections::with_nodes(context.cluster, program, families, nodes);
            Listing::new(connections, by)
        };
        let (old, (new, crossed)) = rayon::join(
            || listing(worlds.old, &programs.old),
            || {
                rayon::join(
                    || listing(worlds.new, &programs.new),
                    || crossed.map(|program| listing(worlds.old, program)),
                )
            },
        );
        let (peers, matching) = matching::matched(&old, &new, crossed.as_ref());
        let mut diff = Self {
            worlds,
            families,
            programs,
            old,
            new,
            crossed,
            directory: Directory::new(peers),
            matching,
            deltas: Deltas::default(),
            outside: FxHashMap::default(),
            decisions: rules::Decisions::default(),
        };
        for class in diff.class_ids() {
            for direction in [Direction::Ingress, Direction::Egress] {
                let changed = diff.make_outside(class, direction);
                diff.outside.insert((class, direction), changed);
            }
        }
        diff
    }

    /// What is compared.
    #[must_use]
    pub fn worlds(&self) -> Worlds<'a> {
        self.worlds
    }

    /// The peers of both sides.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What changes between those that have this id.
    #[must_use]
    pub fn delta(&self, id: DeltaId) -> Delta {
        self.deltas.get(id)
    }

    /// The answer behind an id of a [`Delta`].
    #[must_use]
    pub fn answer(&self, id: AnswerId) -> &Answer {
        self.deltas.answer(id)
    }

    /// The peers that only one side has: those that are new, those that have vanished.
    #[must_use]
    pub fn unmatched(&self) -> (Vec<PeerId>, Vec<PeerId>) {
        let lacks = |which| {
            let ids = self.directory.peer_ids();
            ids.filter(|id| self.matching.peer(which, *id).is_none())
                .collect()
        };
        (lacks(Which::Old), lacks(Which::New))
    }

    /// How many connections change that are wanted.
    pub fn count_of(&mut self, focus: &Focus) -> Count<DeltaId> {
        crate::list::pairs::count(self, focus)
    }

    /// The connections that change and are wanted, by source and destination; the outside comes last.
    pub fn pairs_of(&mut self, focus: &Focus) -> Vec<Pair<DeltaId>> {
        crate::list::pairs::pairs(self, focus)
    }

    /// The same by destination: those with the same changes from the same sources stand together.
    pub fn blocks_of(&mut self, focus: &Focus) -> Vec<Block<DeltaId>> {
        crate::list::blocks::blocks(self, focus)
    }

    /// How many connections there are in some blocks, by what changes: less work than to count all.
    pub fn counted(&mut self, blocks: &[Block<DeltaId>]) -> BTreeMap<DeltaId, usize> {
        let mut counted: BTreeMap<DeltaId, usize> = BTreeMap::new();
        for block in blocks {
            for (delta, sources) in &block.src {
                // A single pod stands among its own sources where others of its block have them too.
                let itself = block.dst.iter().filter(|dst| match dst {
                    Party::Peer(peer) => {
                        sources.binary_search(dst).is_ok() && self.within(*peer).is_none()
                    }
                    Party::Outside(_) => false,
                });
                let pairs = sources.len() * block.dst.len() - itself.count();
                *counted.entry(*delta).or_default() += pairs;
            }
        }
        counted.retain(|_, pairs| *pairs > 0);
        counted
    }

    fn listing(&self, which: Which) -> Option<&Listing<'a>> {
        match which {
            Which::Old => Some(&self.old),
            Which::New => Some(&self.new),
            Which::Crossed => self.crossed.as_ref(),
        }
    }

    fn listing_mut(&mut self, which: Which) -> Option<&mut Listing<'a>> {
        match which {
            Which::Old => Some(&mut self.old),
            Which::New => Some(&mut self.new),
            Which::Crossed => self.crossed.as_mut(),
        }
    }

    /// An answer of one list as an id that all have in common.
    fn shared(&mut self, which: Which, id: AnswerId) -> AnswerId {
        if let Some(known) = self.deltas.known(which, id) {
            return known;
        }
        let answer = self.listing(which).map(|listing| listing.answer(id));
        let answer = answer.cloned().unwrap_or_default();
        self.deltas.share(which, id, answer)
    }

    /// What changes, by what each list says; `on_both`: both ends are on both sides.
    fn compared(
        &mut self,
        mut say: impl FnMut(&mut Self, Which) -> Option<AnswerId>,
        on: On,
    ) -> DeltaId {
        let answers = Which::ALL.map(|which| {
            let answer = say(self, which);
            answer.map(|answer| self.shared(which, answer))
        });
        self.deltas.between(answers, on)
    }
}

/// On which sides both ends of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    Old,
    New,
    Neither,
}

impl Matrix for Diff<'_> {
    type Entry = DeltaId;

    const NOTHING: DeltaId = DeltaId::NOTHING;

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn classes(&self) -> usize {
        self.matching.classes()
    }

    fn class_of(&self, peer: PeerId) -> Option<ClassId> {
        self.matching.class_of(peer)
    }

    fn between_classes(&mut self, src: ClassId, dst: ClassId) -> DeltaId {
        let on = self.matching.on(src, Some(dst));
        self.compared(
            |diff, which| {
                let src = diff.matching.class(which, src)?;
                let dst = diff.matching.class(which, dst)?;
                Some(diff.listing_mut(which)?.between_classes(src, dst))
            },
            on,
        )
    }

    fn within(&mut self, peer: PeerId) -> Option<DeltaId> {
        let class = self.matching.class_of(peer)?;
        let on = self.matching.on(class, None);
        let mut several = false;
        let delta = self.compared(
            |diff, which| {
                let own = diff.matching.peer(which, peer)?;
                let answer = diff.listing_mut(which)?.within(own);
                several |= answer.is_some();
                Some(answer.unwrap_or(AnswerId::NOTHING))
            },
            on,
        );
        several.then_some(delta)
    }

    fn varies(&self, _: ClassId) -> bool {
        true
    }

    fn outside_of(&self, class: ClassId, direction: Direction) -> &[(RangesId, DeltaId)] {
        let known = self.outside.get(&(class, direction));
        known.map_or(&[], Vec::as_slice)
    }
}
