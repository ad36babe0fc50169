//! When an address is known by a name: some spans of time, in their order, apart from each other.

/// How many spans are remembered of an address: of one that comes and goes more often, the first are forgotten.
const MAX_SPANS: usize = 4;

/// From when until when, both included: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u64,
    until: u64,
    /// When it was seen that it is over, and that no connection uses it.
    over_at: u64,
}

/// The times at which an address is known by a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Adds a span. One that it meets goes on: it is never shortened. Whether another was forgotten for it.
    pub(super) fn add(&mut self, mut from: u64, mut until: u64) -> bool {
        self.0.retain(|span| {
            let meets = span.from <= until && from <= span.until;
            if meets {
                from = from.min(span.from);
                until = until.max(span.until);
            }
            !meets
        });
        let at = self.0.partition_point(|span| span.from < from);
        let over_at = u64::MAX;
        self.0.insert(
            at,
            Span {
                from,
                until,
                over_at,
            },
        );
        let is_full = self.0.len() > MAX_SPANS;
        if is_full {
            self.0.remove(0);
        }
        is_full
    }

    /// Whether the address is known then.
    pub(super) fn is_in(&self, now: u64) -> bool {
        self.begun(now).is_some_and(|span| now <= span.until)
    }

    /// Whether it is over then, as far as is known, and it is not known whether a connection uses it.
    pub(super) fn awaits(&self, now: u64) -> bool {
        let begun = self.begun(now);
        begun.is_some_and(|span| span.until < now && now < span.over_at)
    }

    /// Says that a connection uses the address then, or that none does: it is known up to `until` if so.
    pub(super) fn say(&mut self, now: u64, is_used: bool, until: u64) {
        if !self.awaits(now) {
            return;
        }
        let begun = self.0.iter_mut().rev().find(|span| span.from <= now);
        let Some(span) = begun else {
            return;
        };
        if is_used {
            let from = span.from;
            self.0.retain(|span| span.from != from);
            self.add(from, until);
        } else {
            span.over_at = now;
        }
    }

    /// Whether it is over for ever then.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.0.iter().all(|span| span.until < now)
    }

    /// The times at which it becomes known, and those from which on it is not any more.
    pub(super) fn turns(&self) -> impl Iterator<Item = u64> {
        let spans = self.0.iter();
        spans.flat_map(|span| [span.from, span.until.saturating_add(1)])
    }

    fn begun(&self, now: u64) -> Option<&Span> {
        self.0.iter().rev().find(|span| span.from <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(spans: &Spans) -> Vec<u64> {
        (0..60).filter(|now| spans.is_in(*now)).collect()
    }

    #[test]
    fn spans_that_meet_are_one_and_others_stay_apart() {
        let mut spans = Spans::default();
        assert!(!spans.add(10, 20));
        // Later in the file, and earlier in time.
        assert!(!spans.add(5, 12));
        assert!(!spans.add(15, 18));
        assert!(!spans.add(30, 32));
        assert_eq!(known(&spans), (5..=20).chain(30..=32).collect::<Vec<_>>());
        assert_eq!(spans.turns().collect::<Vec<_>>(), [5, 21, 30, 33]);
        assert!(!spans.is_over(32) && spans.is_over(33));
        assert!(!spans.add(20, 30));
        assert_eq!(known(&spans), (5..=32).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_spans_give_way() {
        let mut spans = Spans::default();
        let lost: Vec<bool> = (0..6).map(|at| spans.add(at * 10, at * 10 + 1)).collect();
        assert_eq!(lost, [false, false, false, false, true, true]);
        assert_eq!(known(&spans), [20, 21, 30, 31, 40, 41, 50, 51]);
    }

    #[test]
    fn what_is_used_stays_known_and_what_is_over_does_not_come_back() {
        let mut spans = Spans::default();
        spans.add(10, 20);
        spans.say(15, true, 25);
        assert_eq!(known(&spans), (10..=20).collect::<Vec<_>>());
        assert!(spans.awaits(24));
        spans.say(24, true, 30);
        // It was used in between too.
        assert_eq!(known(&spans), (10..=30).collect::<Vec<_>>());
        spans.say(40, false, 50);
        assert!(!spans.awaits(45));
        spans.say(45, true, 50);
        assert_eq!(known(&spans), (10..=30).collect::<Vec<_>>());
        // But it was not over before.
        assert!(spans.awaits(35));
        spans.say(35, true, 38);
        assert_eq!(known(&spans), (10..=38).collect::<Vec<_>>());
        // An answer makes it known again.
        spans.add(44, 46);
        assert!(spans.awaits(50));
    }
}
