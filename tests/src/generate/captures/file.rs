//! Capture files.

/// The byte order of the machine that captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most machines.
    Little,
    /// Few.
    Big,
}

impl Order {
    fn short(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn long(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// A packet of a file.
#[derive(Clone, Debug)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// How long it was.
    pub length: usize,
    /// What was captured of it.
    pub data: Vec<u8>,
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A capture of the older format, in microseconds.
#[must_use]
pub fn pcap(order: Order, link: u16, records: &[Record]) -> Vec<u8> {
    classic(order, (0xA1B2_C3D4, 1_000), link, records)
}

/// A capture of the older format, in nanoseconds.
#[must_use]
pub fn pcap_in_nanoseconds(order: Order, link: u16, records: &[Record]) -> Vec<u8> {
    classic(order, (0xA1B2_3C4D, 1), link, records)
}

fn classic(order: Order, (magic, unit): (u32, u64), link: u16, records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(order.long(magic));
    bytes.extend(order.short(2));
    bytes.extend(order.short(4));
    for number in [0, 0, 262_144, u32::from(link)] {
        bytes.extend(order.long(number));
    }
    for record in records {
        let (seconds, rest) = (record.time / 1_000_000_000, record.time % 1_000_000_000);
        bytes.extend(order.long(u32::try_from(seconds).unwrap_or(u32::MAX)));
        bytes.extend(order.long(u32::try_from(rest / unit).unwrap_or(0)));
        bytes.extend(order.long(small(record.data.len())));
        bytes.extend(order.long(small(record.length)));
        bytes.extend(&record.data);
    }
    bytes
}

/// A block of the newer format.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    /// An interface: its link type and options.
    Interface(u16, &'a [(u16, &'a [u8])]),
    /// A packet: its interface, its time in the units of that, and its bytes; with so many bytes of a comment.
    Packet(u32, u64, &'a [u8], Option<usize>),
    /// A packet without interface and time.
    Simple(&'a [u8]),
    /// A packet as they were written at first.
    Obsolete(u16, u64, &'a [u8]),
    /// Statistics of an interface.
    Statistics,
    /// Anything else.
    Unknown(u32, &'a [u8]),
}

/// A section of the newer format.
#[must_use]
pub fn pcapng(order: Order, blocks: &[Block<'_>]) -> Vec<u8> {
    let mut body = order.long(0x1A2B_3C4D).to_vec();
    body.extend(order.short(1));
    body.extend(order.short(0));
    body.extend([0xFF; 8]);
    let mut bytes = block(order, 0x0A0D_0D0A, &body);
    for one in blocks {
        let (kind, body) = body_of(order, *one);
        bytes.extend(block(order, kind, &body));
    }
    bytes
}

fn body_of(order: Order, one: Block<'_>) -> (u32, Vec<u8>) {
    let mut body = Vec::new();
    let long = |body: &mut Vec<u8>, number| body.extend(order.long(number));
    let time = |body: &mut Vec<u8>, time: u64| {
        body.extend(order.long((time >> 32) as u32));
        body.extend(order.long(time as u32));
    };
    let kind = match one {
        Block::Interface(link, options) => {
            body.extend(order.short(link));
            body.extend([0, 0]);
            long(&mut body, 0);
            for (code, value) in options {
                option(order, &mut body, *code, value);
            }
            if !options.is_empty() {
                option(order, &mut body, 0, &[]);
            }
            1
        }
        Block::Packet(interface, at, data, comment) => {
            long(&mut body, interface);
            time(&mut body, at);
            long(&mut body, small(data.len()));
            long(&mut body, small(data.len()));
            body.extend(data);
            pad(&mut body);
            if let Some(length) = comment {
                option(order, &mut body, 1, &vec![b'x'; length]);
                option(order, &mut body, 0, &[]);
            }
            6
        }
        Block::Simple(data) => {
            long(&mut body, small(data.len()));
            body.extend(data);
            3
        }
        Block::Obsolete(interface, at, data) => {
            body.extend(order.short(interface));
            body.extend(order.short(0));
            time(&mut body, at);
            long(&mut body, small(data.len()));
            long(&mut body, small(data.len()));
            body.extend(data);
            2
        }
        Block::Statistics => {
            long(&mut body, 0);
            time(&mut body, 0);
            5
        }
        Block::Unknown(kind, data) => {
            body.extend(data);
            kind
        }
    };
    (kind, body)
}

fn option(order: Order, body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(order.short(code));
    body.extend(order.short(u16::try_from(value.len()).unwrap_or(0)));
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    pad(&mut padded);
    let length = order.long(small(padded.len() + 12));
    let mut bytes = order.long(kind).to_vec();
    bytes.extend(length);
    bytes.extend(padded);
    bytes.extend(length);
    bytes
}
