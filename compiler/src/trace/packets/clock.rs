//! The time of packets, as far as it is believed.
//!
//! One packet with a time far from that of its neighbours is a fault of the recorder: if it counted, connections and names would be
//! forgotten because of it. Two in a row are another capture that was written behind the first.

/// How far a packet may be from the one before it, in nanoseconds: a day, in which all connections end.
const FAR: u64 = 86_400 * 1_000_000_000;

/// The time so far.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<u64>,
    /// The time of the packet before, which was not believed.
    doubted: Option<u64>,
    /// How many packets were not believed.
    count: u64,
}

impl Clock {
    /// The time that counts for a packet: its own, or, where that is far from the one before, the time of that one.
    pub(super) fn at(&mut self, time: u64) -> u64 {
        let is_near = |other: Option<u64>| other.is_some_and(|other| other.abs_diff(time) <= FAR);
        if self.now.is_none() || is_near(self.now) || is_near(self.doubted) {
            self.doubted = None;
            self.now = Some(time);
            return time;
        }
        self.doubted = Some(time);
        self.count += 1;
        self.now.unwrap_or(time)
    }

    /// How many packets have a time that was not believed.
    pub(super) fn doubted(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_that_is_far_from_its_neighbours_is_not_believed() {
        let mut clock = Clock::default();
        let times = [
            10 * FAR,
            11 * FAR,
            13 * FAR,
            11 * FAR + 5,
            0,
            11 * FAR + 4,
            // Two in a row.
            20 * FAR,
            20 * FAR + 1,
            20 * FAR - 1,
            11 * FAR,
            11 * FAR + 1,
        ];
        let found = times.map(|time| clock.at(time));
        assert_eq!(
            found,
            [
                10 * FAR,
                11 * FAR,
                11 * FAR,
                11 * FAR + 5,
                11 * FAR + 5,
                11 * FAR + 4,
                11 * FAR + 4,
                20 * FAR + 1,
                20 * FAR - 1,
                20 * FAR - 1,
                11 * FAR + 1,
            ]
        );
        assert_eq!(clock.doubted(), 4);
    }
}
