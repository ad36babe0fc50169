//! What those may write who mean ill: tables of addresses that say more than they have bytes for, and addresses chosen by their
//! hashes.

use verdict_abi::{Block, Config, Section, group, hash};
use verdict_compiler::bundle::{Examples, compare};
use verdict_compiler::compile::Compiler;
use verdict_compiler::image::{Common, Image, Parts};
use verdict_compiler::ir;
use verdict_compiler::lir::LeafId;
use verdict_tests::generate::small;

/// Where blocks begin: the first entry leads to the root.
const BEGIN: u32 = 16;

fn image() -> Parts {
    let world = small::world(1);
    let (loaded, sources) = (world.load_for(1), world.sources());
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
    let nodes = compiler.lowering().nodes().iter();
    let (node, pods) = nodes.max_by_key(|(_, pods)| pods.len()).unwrap();
    compiler.node(*node, pods).unwrap().image
}

/// An image with a trie of these entries behind the first, which leads to a root that looks at so many bits.
fn with(image: &Parts, root: u32, entries: &[u32]) -> Parts {
    let root = Block::at(BEGIN, 0, 32 - root).entry();
    let mut all = vec![0; BEGIN as usize];
    all[0] = root;
    all.extend(entries);
    let mut parts = Parts::default();
    for part in image.sections() {
        let mut bytes = part.bytes.to_vec();
        if part.kind == Section::Config as u32 {
            for (field, value) in [
                (Config::V4Root, u64::from(root)),
                (Config::V4Near, u64::from(root)),
                (Config::V4NearFirst, 0),
                (Config::V4NearBits, 32),
                (Config::V4Entries, all.len() as u64),
            ] {
                let at = field as usize * 8;
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        if part.kind == Section::V4 as u32 {
            bytes = all.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        }
        parts.push(part.kind, bytes.into());
    }
    parts
}

/// A root of so many bits whose entries all lead to one block of so many further bits, in which two leaves alternate.
fn shared(image: &Parts, root: u32, below: u32, leaves: [u32; 2]) -> Parts {
    let block = BEGIN + (1 << root);
    let shift = 32 - root;
    let links = (0..1_u32 << root).map(|part| {
        let first = part << shift;
        Block::at(block, first, shift - below).entry()
    });
    let own = (0..1_usize << below).map(|at| leaves[at % 2]);
    with(image, root, &links.chain(own).collect::<Vec<u32>>())
}

#[test]
fn blocks_that_are_shared_are_compared() {
    let image = image();
    let right = Image::of_parts(&image, None).unwrap();
    let (mut told, mut silent) = (0, 0);
    for leaf in 1..right.count(Config::Leaves) {
        let [one, other] = [[0, leaf], [leaf, 0]].map(|leaves| shared(&image, 8, 8, leaves));
        let [one, other] = [&one, &other].map(|parts| Image::of_parts(parts, None).unwrap());
        let changes = compare(&one, &other, Examples(1000));
        assert!(!changes.cut);
        let classes = [0, leaf].map(|leaf| verdict_abi::quarter(&right, Section::Leaves, leaf));
        for change in &changes.examples {
            let address = change.other.unwrap();
            assert_ne!(one.leaf(address), other.leaf(address), "{address}");
            assert_ne!(change.before, change.after);
        }
        if changes.is_empty() {
            silent += 1;
        } else {
            assert_ne!(classes[0], classes[1]);
            told += 1;
        }
    }
    assert!(told > 0, "{told} told, {silent} without a change");
}

#[test]
fn a_small_trie_of_four_billion_runs_is_not_written_out() {
    let image = image();
    let [one, other] = [[0, 1], [1, 0]].map(|leaves| shared(&image, 16, 16, leaves));
    let [one, other] = [&one, &other].map(|parts| Image::of_parts(parts, None).unwrap());
    let changes = compare(&one, &other, Examples(1));
    assert!(changes.cut && !changes.is_empty());
}

#[test]
fn blocks_that_overlap_are_refused() {
    let image = image();
    // Sixteen blocks of 256 entries, each an entry behind the one before.
    let links = (0..16_u32).map(|part| Block::at(BEGIN + 16 + part, part << 28, 20).entry());
    let leaves = std::iter::repeat_n(0, 256 + 16);
    let parts = with(&image, 4, &links.chain(leaves).collect::<Vec<u32>>());
    let error = Image::of_parts(&parts, None).unwrap_err().to_string();
    assert!(error.contains("overlaps"), "{error}");
}

/// Runs of single addresses, and the addresses of which there is a place in the table.
fn placed(addresses: &[u128]) -> usize {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    let singles = addresses.iter().flat_map(|address| {
        let (own, rest) = (LeafId(1), LeafId(0));
        [(*address, own), (address + 1, rest)]
    });
    let mut runs = vec![(0, LeafId(0))];
    runs.extend(singles);
    let common = Common::new(&[(0, LeafId(0))], &runs, Vec::new());
    let of = |section: Section| {
        let mut parts = common.addresses().iter();
        let part = parts.find(|part| part.kind == section as u32).unwrap();
        part.bytes.to_vec()
    };
    let hosts = of(Section::V6Hosts);
    let placed = hosts.chunks_exact(24).filter(|host| host[16..] != [0; 8]);
    let placed = placed.count();
    // What has no place is in runs.
    let left = of(Section::V6Starts).len() / 16;
    assert_eq!(left, 1 + 2 * (addresses.len() - placed));
    placed
}

#[test]
fn addresses_chosen_by_their_hashes_stay_in_runs() {
    let all = (1_u128..).map(|at| 0xFD00 << 112 | at << 16);
    let halves = |address: u128| ((address >> 64) as u64, address as u64);
    // So few addresses have eight groups.
    let of_one_group = all.filter(|address| {
        let (upper, lower) = halves(*address);
        group(hash(upper, lower), 8) == 3
    });
    let chosen: Vec<u128> = of_one_group.take(17).collect();
    assert_eq!(placed(&chosen[..16]), 16);
    assert_eq!(placed(&chosen), 0);
    // Two addresses of one hash: what the one adds in its upper half the other adds in its lower.
    let inverse = (0..6).fold(1_u64, |inverse, _| {
        let product = 0xC2B2_AE3D_27D4_EB4F_u64.wrapping_mul(inverse);
        inverse.wrapping_mul(2_u64.wrapping_sub(product))
    });
    let one = (0xFD00_u64 << 48, 0x1000_u64);
    let step = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(inverse);
    let other = (one.0 + 1, one.1.wrapping_sub(step));
    assert_eq!(hash(one.0, one.1), hash(other.0, other.1));
    let address = |(upper, lower): (u64, u64)| u128::from(upper) << 64 | u128::from(lower);
    let mut some: Vec<u128> = (1..=30).map(|at| 0xFD00 << 112 | at << 24).collect();
    some.push(address(one));
    assert_eq!(placed(&some), 31);
    some.push(address(other));
    assert!(placed(&some) <= 30);
}
