//! What changes between workloads of both sides, and apart from it with those of one side.

use super::cause;
use super::notes::{self, Most};
use crate::cli::render::list::table::{self, Row, Section, Tone};
use crate::diff::{Delta, DeltaId, Diff, Reason, Way};
use crate::flows::Answer;
use crate::list::{Block, words};

/// Whose connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Between workloads that both sides have.
    Both,
    /// Of workloads that the old side does not have.
    New,
    /// Of workloads that the new side does not have.
    Vanished,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Both, Self::New, Self::Vanished];

    /// Where a difference belongs.
    pub(super) fn of(delta: &Delta) -> Self {
        match (delta.reason, delta.way()) {
            (Reason::Policy | Reason::Cluster | Reason::Both, _) => Self::Both,
            (Reason::Workload, Way::Added) => Self::New,
            (Reason::Workload, Way::Removed | Way::Changed) => Self::Vanished,
        }
    }

    /// What belongs here of some blocks.
    pub(super) fn sections(
        self,
        diff: &mut Diff<'_>,
        blocks: &[Block<DeltaId>],
        most: Most,
    ) -> Vec<Section> {
        table::sections(blocks, |block| self.rows(diff, block, most))
    }

    fn rows(self, diff: &mut Diff<'_>, block: &Block<DeltaId>, most: Most) -> Vec<Row> {
        let mut rows = Vec::new();
        for (id, src) in &block.src {
            let delta = diff.delta(*id);
            if Self::of(&delta) != self {
                continue;
            }
            let row = Row {
                what: format!("{}{}", what(diff, &delta), cause(delta.reason)),
                tone: match delta.way() {
                    Way::Added => Tone::Added,
                    Way::Removed => Tone::Removed,
                    Way::Changed => Tone::Changed,
                },
                src: src.clone(),
                notes: notes::notes(diff, *id, [src, &block.dst], most),
            };
            table::add(&mut rows, row);
        }
        rows
    }
}

/// `TCP 80`, or `TCP 80 -> TCP 80,443`
fn what(diff: &Diff<'_>, delta: &Delta) -> String {
    let [before, after] = [delta.before, delta.after].map(|id| diff.answer(id));
    match delta.way() {
        Way::Added => text(after),
        Way::Removed => text(before),
        Way::Changed => changed(before, after),
    }
}

fn changed(before: &Answer, after: &Answer) -> String {
    let [was, is] = [before, after].map(text);
    if was != is {
        return format!("{was} -> {is}");
    }
    // What no address of the ends could carry is not told, and may be all that differs.
    let (more, less) = (
        after.possible().minus(&before.possible()),
        before.possible().minus(&after.possible()),
    );
    let parts = [("with", more), ("without", less)];
    let parts = parts.iter().filter(|(_, packets)| !packets.is_empty());
    let parts: Vec<String> = parts
        .map(|(word, packets)| format!("{word} {}", words::packets(packets)))
        .collect();
    format!("{is}, now {}", parts.join(" and "))
}

/// `TCP 80, TCP 443 (L7), perhaps UDP 53`
fn text(answer: &Answer) -> String {
    let sets = [(&answer.allow, ""), (&answer.depends, "perhaps ")];
    let parts = sets.into_iter().flat_map(|(packets, before)| {
        let parts = words::by_way(answer, packets);
        parts.map(move |(part, mark)| format!("{before}{}{mark}", words::packets(&part)))
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Protocol;
    use crate::flows::Packets;
    use crate::query::Family;

    #[test]
    fn what_reads_the_same_says_what_differs() {
        let all = Answer::all();
        let v4 = all.within(&Packets::carried_by(Family::V4));
        let tcp = all.within(&Packets::of_protocol(Protocol::TCP));
        assert_eq!(changed(&all, &tcp), "everything -> TCP");
        assert_eq!(changed(&v4, &all), "everything, now with ICMPv6");
        assert_eq!(changed(&all, &v4), "everything, now without ICMPv6");
        let by_proxy = Answer {
            proxied: Packets::of_protocol(Protocol::TCP),
            ..all.clone()
        };
        assert_eq!(
            changed(&all, &by_proxy),
            "everything -> everything but TCP, TCP (L7)"
        );
        let proving = Answer {
            proving: Packets::all(),
            ..by_proxy.clone()
        };
        assert_eq!(
            changed(&by_proxy, &proving),
            "everything but TCP, TCP (L7) -> everything but TCP (authenticated), TCP (L7, authenticated)"
        );
    }
}
