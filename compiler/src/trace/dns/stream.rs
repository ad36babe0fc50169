//! DNS over TCP: messages with their length in front (RFC 1035, section 4.2.2), put together from the segments of the
//! server.
//!
//! A stream is read from the SYN of the server on. What was seen already is passed over, and what comes too early waits for what
//! is missing, [`MAX_AHEAD`] segments of [`MAX_AHEAD_BYTES`] together. Where that does not come, or was cut off, the rest of
//! the stream is not read: it is not known where its messages begin. Guarantee: at most [`MAX_STREAMS`] streams are followed,
//! each with the bytes of one message and of what waits.

use super::{Answer, read};
use crate::trace::capture::{Tcp, Tuple};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// How many streams are followed at a time: beyond, the one of which nothing was heard for longest is given up.
const MAX_STREAMS: usize = 64;

/// How many segments of a stream wait for one that is missing.
const MAX_AHEAD: usize = 32;

/// How many bytes they have together: as many as a message.
const MAX_AHEAD_BYTES: usize = 1 << 16;

/// The two ends of a stream, the server first.
type Ends = (IpAddr, IpAddr, u16);

struct Stream {
    /// The sequence number of the first byte, and that of the next one.
    first: u32,
    next: u32,
    /// What comes behind bytes that are missing, each with the number of its first byte.
    ahead: Vec<(u32, Vec<u8>)>,
    /// What there is of a message, its length included.
    begun: Vec<u8>,
    /// The number of the last segment, of those of all streams.
    last: u64,
    has_ended: bool,
}

/// The streams that are followed.
#[derive(Default)]
pub(super) struct Streams {
    known: FxHashMap<Ends, Stream>,
    segments: u64,
}

impl Streams {
    /// The answers that a segment of a server completes.
    pub(super) fn read(&mut self, ends: &Tuple, tcp: Tcp, data: &[u8]) -> Vec<Answer> {
        let key = (ends.src, ends.dst, ends.ports.1);
        self.segments += 1;
        if tcp.flags.syn {
            self.begin(key, tcp.sequence.wrapping_add(1));
            return Vec::new();
        }
        let Some(stream) = self.known.get_mut(&key) else {
            return Vec::new();
        };
        stream.last = self.segments;
        let answers = stream.take(tcp.sequence, data);
        stream.has_ended |= tcp.flags.fin;
        let is_done = stream.has_ended && stream.ahead.is_empty();
        if answers.is_none() || is_done || tcp.flags.rst {
            self.known.remove(&key);
        }
        answers.unwrap_or_default()
    }

    fn begin(&mut self, key: Ends, first: u32) {
        if self
            .known
            .get(&key)
            .is_some_and(|known| known.first == first)
        {
            // The same SYN again.
            return;
        }
        if self.known.len() >= MAX_STREAMS && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, stream)| stream.last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.known.remove(&oldest);
            }
        }
        let stream = Stream {
            first,
            next: first,
            ahead: Vec::new(),
            begun: Vec::new(),
            last: self.segments,
            has_ended: false,
        };
        self.known.insert(key, stream);
    }
}

impl Stream {
    /// Takes in a segment; `None` where too much waits for bytes that are missing.
    fn take(&mut self, sequence: u32, data: &[u8]) -> Option<Vec<Answer>> {
        if !self.append(sequence, data) {
            let waiting = self.ahead.iter().map(|(_, data)| data.len());
            let bytes = waiting.sum::<usize>() + data.len();
            if self.ahead.len() >= MAX_AHEAD || bytes > MAX_AHEAD_BYTES {
                return None;
            }
            self.ahead.push((sequence, data.to_vec()));
            return Some(Vec::new());
        }
        loop {
            let mut ahead = std::mem::take(&mut self.ahead);
            let count = ahead.len();
            ahead.retain(|(sequence, data)| !self.append(*sequence, data));
            self.ahead = ahead;
            if self.ahead.len() == count {
                break;
            }
        }
        Some(self.messages())
    }

    /// Appends what of a segment was not seen; `false` where bytes before it are missing.
    fn append(&mut self, sequence: u32, data: &[u8]) -> bool {
        // Sequence numbers wrap.
        let seen = self.next.wrapping_sub(sequence);
        if seen > u32::MAX / 2 {
            return false;
        }
        let fresh = data.get(seen as usize..).unwrap_or(&[]);
        self.next = self.next.wrapping_add(crate::source::to_u32(fresh.len()));
        self.begun.extend_from_slice(fresh);
        true
    }

    /// The answers of the messages that are whole.
    fn messages(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut rest = self.begun.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<2>()
            && let Some(message) = behind.get(..usize::from(u16::from_be_bytes(*length)))
        {
            answers.extend(read(message));
            rest = behind.get(message.len()..).unwrap_or(&[]);
        }
        let done = self.begun.len() - rest.len();
        self.begun.drain(..done);
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Protocol;
    use crate::trace::capture::Flags;
    use std::net::Ipv4Addr;

    /// The answer that `a` has an address, with its length in front.
    const MESSAGE: [u8; 37] = [
        0, 35, 0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1, 0xC0, 12, 0, 1, 0,
        1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,
    ];

    fn ends() -> Tuple {
        Tuple {
            src: Ipv4Addr::new(10, 0, 0, 53).into(),
            dst: Ipv4Addr::new(10, 0, 0, 1).into(),
            protocol: Protocol::TCP,
            ports: (53, 40_000),
        }
    }

    fn segment(streams: &mut Streams, flags: &str, sequence: u32, data: &[u8]) -> usize {
        let has = |flag| flags.contains(flag);
        let tcp = Tcp {
            flags: Flags {
                syn: has('S'),
                ack: true,
                fin: has('F'),
                rst: has('R'),
            },
            sequence,
            acknowledged: 0,
        };
        streams.read(&ends(), tcp, data).len()
    }

    /// A stream whose first byte is missing, behind which so many segments of one byte came, and at last that byte.
    fn behind_a_gap(count: u32) -> usize {
        let mut streams = Streams::default();
        segment(&mut streams, "S", 0, b"");
        let mut text = MESSAGE.repeat(2).into_iter();
        let first = text.next().expect("it is long");
        for (byte, at) in text.zip(2..2 + count) {
            assert_eq!(segment(&mut streams, "A", at, &[byte]), 0);
        }
        segment(&mut streams, "A", 1, &[first])
    }

    #[test]
    fn segments_wait_for_one_that_is_missing_within_bounds() {
        let mut streams = Streams::default();
        segment(&mut streams, "S", u32::MAX - 3, b"");
        let (one, rest) = MESSAGE.split_at(9);
        // The end of it, and of the stream, comes first; then the same SYN again.
        let behind = (u32::MAX - 2).wrapping_add(9);
        assert_eq!(segment(&mut streams, "F", behind, rest), 0);
        assert_eq!(segment(&mut streams, "S", u32::MAX - 3, b""), 0);
        assert_eq!(segment(&mut streams, "A", u32::MAX - 2, one), 1);
        assert_eq!(streams.known.len(), 0);
        let most = u32::try_from(MAX_AHEAD).expect("it is small");
        let length = u32::try_from(MESSAGE.len()).expect("it is short");
        assert!(most < length);
        // All that wait are taken in behind it, and the rest of the message may come.
        let mut streams = Streams::default();
        segment(&mut streams, "S", 0, b"");
        for at in (1..=most).rev() {
            let byte = MESSAGE.get(at as usize).copied().expect("it is in there");
            segment(&mut streams, "A", 1 + at, &[byte]);
        }
        segment(&mut streams, "A", 1, &MESSAGE[..1]);
        assert_eq!(
            segment(&mut streams, "A", 2 + most, &MESSAGE[1 + most as usize..]),
            1
        );
        // One more is too much.
        assert_eq!(behind_a_gap(most + 1), 0);
        let mut streams = Streams::default();
        segment(&mut streams, "S", 0, b"");
        segment(&mut streams, "A", 2, &vec![0; MAX_AHEAD_BYTES + 1]);
        assert_eq!(segment(&mut streams, "A", 1, &MESSAGE), 0);
    }
}
