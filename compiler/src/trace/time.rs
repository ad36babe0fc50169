//! When records were taken.

use std::time::{Duration, UNIX_EPOCH};

/// The first and the last of some times: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub Option<(u64, u64)>);

impl Span {
    /// Takes in a time.
    pub(super) fn add(&mut self, time: u64) {
        self.join(Self(Some((time, time))));
    }

    pub(super) fn join(&mut self, other: Self) {
        let Some((first, last)) = other.0 else {
            return;
        };
        self.0 = Some(match self.0 {
            Some((from, to)) => (from.min(first), to.max(last)),
            None => (first, last),
        });
    }

    /// The first time as text.
    #[must_use]
    pub fn first(self) -> Option<String> {
        self.0.map(|(first, _)| text(first))
    }

    /// The last time as text.
    #[must_use]
    pub fn last(self) -> Option<String> {
        self.0.map(|(_, last)| text(last))
    }
}

/// A time as text: RFC 3339, UTC, as many digits behind the second as it needs.
pub(super) fn text(time: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(time);
    humantime::format_rfc3339(time).to_string()
}

/// The time that a text tells, if it is one of RFC 3339 in UTC.
pub(super) fn read(text: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for time in [
            0,
            1_767_225_600_000_000_000,
            1_767_225_600_123_456_789,
            u64::MAX,
        ] {
            assert_eq!(read(&text(time)), Some(time), "{}", text(time));
        }
        assert_eq!(
            text(1_767_225_600_500_000_000),
            "2026-01-01T00:00:00.500000000Z"
        );
        assert_eq!(read("yesterday"), None);
    }
}
