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

/// What the connections of a capture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Each between two pods of which any is as likely as any other, of ten packets.
    Even,
    /// As in a data centre: a few services have most of the clients, and a few connections most of the packets. The
    /// applications that ask and those that are asked are drawn by Zipf's law; each service has one port; a connection has
    /// ten packets in the median and forty in the mean, by a logarithmic normal distribution. The pods of an application
    /// are equally likely.
    Skewed,
}

/// A connection before it is opened: its pods, its ports and how many packets it has.
struct Planned {
    src: usize,
    dst: usize,
    ports: (u16, u16),
    packets: u32,
}

/// Draws connections.
struct Planner {
    traffic: Traffic,
    size: Size,
    /// The sums of the weights of the applications, of which the first has the greatest.
    sums: Vec<usize>,
}

impl Planner {
    fn new(traffic: Traffic, size: Size) -> Self {
        let weights = (1..=size.label_sets.max(1)).map(|rank| 1_000_000 / rank);
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            traffic,
            size,
            sums: sums.collect(),
        }
    }

    fn next(&self, random: &mut Random) -> Planned {
        let sport = u16::try_from(random.between(32_768, 60_999)).unwrap_or(40_000);
        match self.traffic {
            Traffic::Even => Planned {
                src: random.below(self.size.pods),
                dst: random.below(self.size.pods),
                ports: (sport, random.one(&PORTS)),
                packets: 10,
            },
            Traffic::Skewed => {
                let (src, dst) = (self.application(random), self.application(random));
                // Those that ask most are not those that are asked most.
                let src = (src * 7 + 3) % self.sums.len();
                let port = PORTS[dst % PORTS.len()];
                Planned {
                    src: self.pod(random, src),
                    dst: self.pod(random, dst),
                    ports: (sport, port),
                    packets: length(random),
                }
            }
        }
    }

    fn application(&self, random: &mut Random) -> usize {
        let drawn = random.below(self.sums.last().copied().unwrap_or(1));
        self.sums.partition_point(|sum| *sum <= drawn)
    }

    fn pod(&self, random: &mut Random, application: usize) -> usize {
        let applications = self.sums.len();
        let pods = (self.size.pods + applications - 1 - application) / applications;
        application + random.below(pods) * applications
    }
}

/// How many packets a connection has: four for its beginning and its end at least.
fn length(random: &mut Random) -> u32 {
    const MEDIAN: f64 = 10.0;
    const MEAN: f64 = 40.0;
    // Twelve even numbers make one that is nearly normal.
    let normal = (0..12).map(|_| random.below(1 << 20) as f64 / f64::from(1 << 20));
    let normal = normal.sum::<f64>() - 6.0;
    let deviation = (2.0 * (MEAN / MEDIAN).ln()).sqrt();
    ((MEDIAN * (deviation * normal).exp()) as u32).max(4)
}

/// A capture of connections of which a thousand are open at a time. Packets have 64 to 1,500 bytes.
#[must_use]
pub fn capture(size: Size, seed: u64, packets: usize, traffic: Traffic) -> Vec<u8> {
    const OPEN: usize = 1_000;
    let mut random = Random::new(seed);
    let planner = Planner::new(traffic, size);
    let mut open: Vec<(Planned, u32)> = Vec::new();
    let mut records = Vec::with_capacity(packets);
    for number in 0..packets {
        if open.len() < OPEN {
            open.push((planner.next(&mut random), 0));
        }
        let at = random.below(open.len());
        let (planned, step) = &mut open[at];
        let is_back = *step % 2 == 1;
        let flags = match *step {
            0 => "S",
            1 => "SA",
            step if step + 2 >= planned.packets => "FA",
            _ => "PA",
        };
        let Planned {
            src, dst, ports, ..
        } = *planned;
        let segment = Tcp {
            ports: if is_back { (ports.1, ports.0) } else { ports },
            flags,
            sequence: u32::try_from(number).unwrap_or(0) ^ *step,
            acknowledged: *step,
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
        *step += 1;
        if *step == planned.packets {
            open.swap_remove(at);
        }
    }
    pcap(Order::Little, 1, &records)
}
