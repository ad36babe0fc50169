//! That memory does not grow with a capture, whatever is in it. Alone in its process, since it looks at the peak of memory.

#[path = "../benches/common/memory.rs"]
mod memory;

use std::io::{BufReader, Read};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::trace::{Options, replay};
use verdict_tests::asking::Asked;
use verdict_tests::generate::captures::file::{Order, Record, pcap};
use verdict_tests::generate::captures::packet::{Tcp, ethernet, udp, v4};

/// A capture that is made while it is read: each packet opens a connection between ends that were not seen before.
struct Stream {
    packet: u32,
    packets: u32,
    part: Vec<u8>,
    read: usize,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.part.len() {
            if self.packet == self.packets {
                return Ok(0);
            }
            self.part = self.next_part();
            self.read = 0;
        }
        let count = buffer.len().min(self.part.len() - self.read);
        buffer[..count].copy_from_slice(&self.part[self.read..][..count]);
        self.read += count;
        Ok(count)
    }
}

impl Stream {
    fn next_part(&mut self) -> Vec<u8> {
        let first = self.packet;
        self.packet = self.packets.min(first + 1_000);
        let records: Vec<Record> = (first..self.packet).map(record).collect();
        let bytes = pcap(Order::Little, 1, &records);
        // The header of the file stands in front of its first packet alone.
        bytes[if first == 0 { 0 } else { 24 }..].to_vec()
    }
}

fn record(number: u32) -> Record {
    let [_, a, b, c] = number.to_be_bytes();
    let (src, dst) = (format!("10.{a}.{b}.{c}"), format!("172.{a}.{c}.{b}"));
    let ports = (40_000, 443);
    let payload = if number.is_multiple_of(2) {
        udp(ports, &[0; 1_000])
    } else {
        let segment = Tcp {
            ports,
            flags: "S",
            sequence: number,
            acknowledged: 0,
        };
        segment.bytes(&[0; 1_000])
    };
    let data = ethernet(&v4(&src, &dst, payload));
    Record {
        time: 1_767_225_600_000_000_000 + u64::from(number) * 1_000,
        length: data.len(),
        data,
    }
}

#[test]
fn memory_does_not_grow_with_a_capture() {
    let packets = std::env::var("VERDICT_STREAM_PACKETS");
    let packets: u32 = packets.map_or(700_000, |count| count.parse().expect("a number"));
    let asked = Asked::of(Vec::new(), &Settings::default());
    let loaded = &asked.loaded;
    let engine = Engine::new(
        EngineKind::Image,
        &asked.sources,
        &loaded.cluster,
        &loaded.policies,
    );
    let engine = engine.expect("an engine");
    let options = Options {
        replies: false,
        ..Options::default()
    };
    let stream = Stream {
        packet: 0,
        packets,
        part: Vec::new(),
        read: 0,
    };
    let outcome = replay(
        asked.asked(&engine),
        options,
        BufReader::new(stream),
        &mut std::io::sink(),
    );
    let outcome = outcome.expect("memory");
    assert_eq!(outcome.records, u64::from(packets));
    assert_eq!(outcome.connections, u64::from(packets));
    // Those that were opened first are forgotten though they live, and it is told.
    assert!(outcome.forgotten > 0);
    let peak = memory::peak();
    assert!(peak < 200.0 * 1024.0 * 1024.0, "{peak} bytes");
}
