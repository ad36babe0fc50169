//! DNS over TCP: messages with their length in front (RFC 1035, section 4.2.2), put together from the segments of the
//! server.
//!
//! A stream is read from the SYN of the server on, as long as each segment follows the one before; one that was seen already is
//! passed over. Where a segment is missing, was cut off, or comes too early, the rest of the stream is not read: it is not
//! known where its messages begin. Guarantee: at most [`MAX_STREAMS`] streams are followed, each with the bytes of one
//! message.

use super::{Answer, read};
use crate::trace::capture::{Tcp, Tuple};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// How many streams are followed at a time: beyond, the one of which nothing was heard for longest is given up.
const MAX_STREAMS: usize = 64;

/// The two ends of a stream, the server first.
type Ends = (IpAddr, IpAddr, u16);

struct Stream {
    /// The sequence number of the next byte.
    next: u32,
    /// What there is of a message, its length included.
    begun: Vec<u8>,
    /// The number of the last segment, of those of all streams.
    last: u64,
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
        if answers.is_none() || tcp.flags.fin || tcp.flags.rst {
            self.known.remove(&key);
        }
        answers.unwrap_or_default()
    }

    fn begin(&mut self, key: Ends, next: u32) {
        if self.known.len() >= MAX_STREAMS && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, stream)| stream.last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.known.remove(&oldest);
            }
        }
        let stream = Stream {
            next,
            begun: Vec::new(),
            last: self.segments,
        };
        self.known.insert(key, stream);
    }
}

impl Stream {
    /// Takes in the bytes of a segment; `None` where bytes before it are missing.
    fn take(&mut self, sequence: u32, data: &[u8]) -> Option<Vec<Answer>> {
        // What of it was seen already. Sequence numbers wrap.
        let seen = self.next.wrapping_sub(sequence);
        if seen > u32::MAX / 2 {
            return None;
        }
        let fresh = data.get(seen as usize..).unwrap_or(&[]);
        self.next = self.next.wrapping_add(crate::source::to_u32(fresh.len()));
        self.begun.extend_from_slice(fresh);
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
        Some(answers)
    }
}
