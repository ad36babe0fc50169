//! What all pods of a peer agree on about addresses outside.

use super::Listing;
use super::directory::{Addresses, RangesId, push, without_nodes};
use super::peers::ClassId;
use crate::flows::{AnswerId, Outside};
use crate::hir::Direction;

impl Listing<'_> {
    /// The addresses outside with which peers of a class have connections: those with one answer together.
    pub(super) fn make_outside(
        &mut self,
        class: ClassId,
        direction: Direction,
    ) -> Vec<(RangesId, AnswerId)> {
        let members = self.peers.members(class).to_vec();
        let mut runs: Option<Vec<Outside>> = None;
        for member in &members {
            let more = self.connections.outside(member.end, direction);
            runs = Some(match runs {
                None => more,
                Some(runs) => self.merged(&runs, &more),
            });
        }
        let mut by_answer: Vec<(AnswerId, Addresses)> = Vec::new();
        let cluster = self.connections.cluster();
        let apart = self.connections.sets_nodes_apart().then_some(cluster);
        for (first, last, answer) in runs.unwrap_or_default() {
            let run = (answer != AnswerId::NOTHING)
                .then(|| without_nodes(apart.as_slice(), first, last))
                .flatten();
            let Some((first, last)) = run else {
                continue;
            };
            match by_answer.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, addresses)) => push(addresses, (first, last)),
                None => by_answer.push((answer, vec![(first, last)])),
            }
        }
        let numbered = by_answer.into_iter();
        numbered
            .map(|(answer, addresses)| (self.directory.ranges_id(addresses), answer))
            .collect()
    }

    /// What two lists of runs agree on. Both cover the families that they have from end to end.
    fn merged(&mut self, one: &[Outside], other: &[Outside]) -> Vec<Outside> {
        let mut merged = Vec::new();
        let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
        while let (Some((start, end, mine)), Some((other_start, other_end, theirs))) =
            (a.peek().copied(), b.peek().copied())
        {
            // A family that only one side has.
            if start.is_ipv4() != other_start.is_ipv4() {
                if start.is_ipv4() {
                    merged.extend(a.next());
                } else {
                    merged.extend(b.next());
                }
                continue;
            }
            let (first, last) = ((*start).max(*other_start), (*end).min(*other_end));
            let answer = self.connections.agreed(*mine, *theirs);
            merged.push((first, last, answer));
            if *end == last {
                a.next();
            }
            if *other_end == last {
                b.next();
            }
        }
        merged.extend(a);
        merged.extend(b);
        merged
    }
}
