//! Recorded traffic between the pods of a large world: as Hubble prints it, and as a capture.

use super::captures::file::{Order, Record, pcap};
use super::captures::packet::{Tcp, ethernet, v4};
use super::large::{Size, address};
use super::random::Random;
use std::fmt::Write as _;

const PORTS: [u16; 7] = [80, 443, 5432, 8080, 8443, 9090, 53];

/// Flows as `hubble observe -o jsonpb` prints them, with all that such lines have.
#[must_use]
pub fn hubble(size: Size, seed: u64, records: usize) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for number in 0..records {
        let (src, dst) = (random.below(size.pods), random.below(size.pods));
        let (port, sport) = (random.one(&PORTS), random.between(32_768, 60_999));
        let side = random.one(&["INGRESS", "EGRESS"]);
        let end = |index: usize| {
            let (app, team) = (
                index % size.label_sets.max(1),
                index % size.label_sets.max(1) % size.namespaces.max(1),
            );
            format!(
                r#"{{"ID":{},"identity":{},"cluster_name":"default","namespace":"team-{team}","labels":["k8s:app=app-{app}","k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=team-{team}","k8s:io.cilium.k8s.namespace.labels.team=team-{team}","k8s:io.cilium.k8s.policy.cluster=default","k8s:io.cilium.k8s.policy.serviceaccount=default","k8s:io.kubernetes.pod.namespace=team-{team}"],"pod_name":"app-{app}-7d9c8b6f5-{index:05}","workloads":[{{"name":"app-{app}","kind":"Deployment"}}]}}"#,
                1000 + index,
                10_000 + app
            )
        };
        let _ = writeln!(
            text,
            r#"{{"flow":{{"time":"2026-01-01T00:00:{:02}.{:09}Z","uuid":"00000000-0000-4000-8000-{number:012}","verdict":"FORWARDED","ethernet":{{"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02"}},"IP":{{"source":"{}","destination":"{}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{sport},"destination_port":{port},"flags":{{"SYN":true}}}}}},"source":{},"destination":{},"Type":"L3_L4","node_name":"default/node-1","event_type":{{"type":5}},"traffic_direction":"{side}","policy_match_type":1,"is_reply":false,"Summary":"TCP Flags: SYN","egress_allowed_by":[{{"name":"allow","namespace":"team-1","labels":["k8s:io.cilium.k8s.policy.derived-from=NetworkPolicy","k8s:io.cilium.k8s.policy.name=allow"],"revision":"2"}}]}},"node_name":"default/node-1","time":"2026-01-01T00:00:00Z"}}"#,
            number / 1_000_000 % 60,
            number % 1_000_000 * 1_000,
            address(src),
            address(dst),
            end(src),
            end(dst),
        );
    }
    text
}

/// A capture of connections, each of ten packets of 64 to 1,500 bytes, of which a thousand are open at a time.
#[must_use]
pub fn capture(size: Size, seed: u64, packets: usize) -> Vec<u8> {
    const OPEN: usize = 1_000;
    let mut random = Random::new(seed);
    let mut open: Vec<(usize, usize, (u16, u16), u32)> = Vec::new();
    let mut records = Vec::with_capacity(packets);
    for number in 0..packets {
        if open.len() < OPEN {
            let sport = u16::try_from(random.between(32_768, 60_999)).unwrap_or(40_000);
            let ends = (random.below(size.pods), random.below(size.pods));
            open.push((ends.0, ends.1, (sport, random.one(&PORTS)), 0));
        }
        let at = random.below(open.len());
        let (src, dst, ports, step) = open[at];
        let is_back = step % 2 == 1;
        let flags = match step {
            0 => "S",
            1 => "SA",
            8 | 9 => "FA",
            _ => "PA",
        };
        let segment = Tcp {
            ports: if is_back { (ports.1, ports.0) } else { ports },
            flags,
            sequence: u32::try_from(number).unwrap_or(0) ^ step,
            acknowledged: step,
        };
        let data = vec![
            b'x';
            if flags == "PA" {
                random.below(1_446)
            } else {
                10
            }
        ];
        let (from, to) = if is_back { (dst, src) } else { (src, dst) };
        let data = ethernet(&v4(&address(from), &address(to), segment.bytes(&data)));
        records.push(Record {
            time: 1_767_225_600_000_000_000 + number as u64 * 10_000,
            length: data.len(),
            data,
        });
        if step == 9 {
            open.swap_remove(at);
        } else {
            open[at].3 += 1;
        }
    }
    pcap(Order::Little, 1, &records)
}
