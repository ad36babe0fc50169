//! Images of random worlds, changed images, and every question that an image must answer.

use crate::generate::World;
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_abi::open::{Address, End, Packet, Who};
use verdict_abi::{Config, Query, Use, decide};
use verdict_compiler::cluster::{Labels, Protocol};
use verdict_compiler::compile::Compiler;
use verdict_compiler::image::Image;
use verdict_compiler::ir;
use verdict_compiler::lir::transport::key;

/// The image of a world's node with most endpoints.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn of(world: &World, seed: u64) -> Vec<u8> {
    let loaded = world.load_for(seed);
    let sources = world.sources();
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
    let nodes = compiler.lowering().nodes().iter();
    let (node, pods) = nodes.max_by_key(|(_, pods)| pods.len()).expect("a node");
    compiler.node(*node, pods).expect("an image").image.write()
}

/// Writes the digests of an image anew, as one does who changes it on purpose.
#[must_use]
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let number = |bytes: &[u8], at: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let sections = bytes.get(20).copied().unwrap_or(0);
    for index in 0..usize::from(sections).min(60) {
        let at = 32 + index * 64;
        let range = number(&bytes, at + 8).zip(number(&bytes, at + 16));
        let range = range.and_then(|(offset, length)| {
            let end = offset.checked_add(length)?;
            Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
        });
        let Some(content) = range.and_then(|range| bytes.get(range)) else {
            continue;
        };
        let digest = Sha256::digest(content);
        if let Some(place) = bytes.get_mut(at + 32..at + 64) {
            place.copy_from_slice(&digest);
        }
    }
    if let Some(header) = bytes.get(..4064) {
        let digest = Sha256::digest(header);
        bytes[4064..]
            .iter_mut()
            .zip(digest)
            .for_each(|(byte, new)| *byte = new);
    }
    bytes
}

/// How many of each kind are asked about.
const MANY: u32 = 12;

/// Reads an image, and asks it. Returns whether it is one.
///
/// # Panics
/// Where a lookup finds nothing.
pub fn take(bytes: &[u8]) -> bool {
    let Ok(image) = Image::decode(bytes) else {
        return false;
    };
    ask_tables(&image);
    ask_open(&image);
    true
}

/// The first and the last of so many, and some between.
fn some(count: u32) -> impl Iterator<Item = u32> {
    let step = count.div_ceil(MANY).max(1);
    (0..count)
        .step_by(step as usize)
        .chain(count.checked_sub(1))
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    let v4 = [0, 1, 0x0a00_0001, 0x7fff_ffff, 0xc000_0207, u32::MAX];
    let v6 = [0, 1, 0x2001_0db8 << 96, u128::MAX / 3, u128::MAX];
    let v4 = v4.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    v4.into_iter()
        .chain(v6.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))))
}

fn ask_tables(image: &Image<'_>) {
    for address in addresses() {
        assert!(image.leaf(address).is_some(), "{address}");
    }
    let uses = [
        Use::Ingress,
        Use::Egress,
        Use::HairpinIngress,
        Use::HairpinEgress,
    ];
    for endpoint in some(image.count(Config::Endpoints)) {
        for leaf in some(image.count(Config::Leaves)) {
            for of in uses {
                for (protocol, value) in [
                    (6, 80),
                    (17, 65_535),
                    (1, 2048),
                    (0, 0),
                    (255, 0),
                    (6, 65_536),
                ] {
                    let query = Query {
                        endpoint,
                        of,
                        leaf,
                        protocol,
                        value,
                    };
                    assert!(decide(image, query).is_some(), "{query:?}");
                }
            }
        }
    }
    // Whatever is asked about what is not there, nothing is found, and nothing panics.
    for endpoint in [image.count(Config::Endpoints), u32::MAX / 4, u32::MAX] {
        let query = Query {
            endpoint,
            of: Use::HairpinEgress,
            leaf: u32::MAX,
            protocol: 6,
            value: u32::MAX,
        };
        assert_eq!(decide(image, query), None);
    }
}

fn ask_open(image: &Image<'_>) {
    let labels: Labels = [("a", "0"), ("b", "new")].into_iter().collect();
    let places = image.places();
    let world = image.world();
    let new = image.new_pod(&labels, &labels);
    let pod = world.new_pod("x", labels.iter(), labels.iter());
    let _ = places.endpoint(&pod);
    let governing = world.governing(&pod);
    for address in addresses().step_by(3) {
        let end = End {
            who: Who::Pod(pod.clone()),
            address: Address::Known(address),
        };
        if let Some(leaf) = places.leaf(&end) {
            assert!(leaf < image.count(Config::Leaves));
        }
        let packet = Packet {
            protocol: 6,
            port: Some(80),
        };
        let _ = world.judge(&pod, &governing, &end, true, packet);
        let _ = image.ask(&new, &image.end_of_address(address), key(Protocol(6), 80));
    }
}
