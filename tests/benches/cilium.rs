//! Cilium's benchmark of 1,000 address blocks with rules that deny: the image of a node with 50 such endpoints against the 50
//! policy maps that Cilium's datapath has there.
//!
//! `cargo bench -p verdict-tests --bench cilium`. The rules are CiliumNetworkPolicies of the dialect `cilium`
//! ([`yardstick`]). Ours goes from the policies as they were read to an image that is proved; the entries of the maps are
//! counted, and timed, by our own [`policymap`](verdict_compiler::policymap), which has as many as Cilium's engine says.
//! That engine itself takes some 0.12 s and 52 MB for each endpoint (`BenchmarkRegenerateCIDRDenyPolicyRules`, release 1.20.2).
//! One thread; the time is that of the processor, since other work on the machine stretches that on the wall.
//!
//! Bounds: a tenth of Cilium's time for each endpoint, and a twentieth of the bytes of its maps.

#[path = "common/clock.rs"]
mod clock;

use clock::best;
use verdict_compiler::compile::{Artifact, Compiler};
use verdict_compiler::frontend::settings::{Dialect, Settings};
use verdict_compiler::hir::Resolution;
use verdict_compiler::ir::Program;
use verdict_compiler::policymap::NodeMaps;
use verdict_tests::asking::Asked;
use verdict_tests::yardstick;

const PODS: u8 = 50;
const ROUNDS: usize = 3;
/// What Cilium's engine takes for an endpoint, in seconds, on such a machine.
const CILIUM: f64 = 0.12;
/// A key and a value of a policy map.
const ENTRY: usize = 24;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread();
    pool.build_global().expect("one thread");
    for (name, denies, pods) in [
        ("1,000 rules, 50 endpoints", false, PODS),
        ("1,000 rules with denies, 1 endpoint", true, 1),
        ("1,000 rules with denies, 50 endpoints", true, PODS),
    ] {
        println!("{name}");
        compare(denies, pods);
    }
}

fn compare(denies: bool, pods: u8) {
    let settings = Settings {
        dialect: Dialect::Cilium,
        ..Settings::default()
    };
    let text = yardstick::blocks(denies, pods);
    let asked = Asked::of(vec![("blocks.yaml".into(), text.into_bytes())], &settings);
    assert_eq!(asked.errors(), Vec::<String>::new());
    let mut images = None;
    let ours = best(ROUNDS, || images = Some(compile(&asked)));
    let image = images.expect("an image");
    let bytes = image.image.write().len();
    let mut entries = 0;
    let theirs = best(1, || entries = maps(&asked)).cpu;
    let each = ours.cpu / f64::from(pods);
    println!(
        "  from policies to a proved image, CPU ms   {:>12.1}",
        ours.cpu * 1e3
    );
    println!(
        "  the same for each endpoint                {:>12.2}",
        each * 1e3
    );
    println!(
        "  Cilium's entries made by us, CPU ms       {:>12.1}",
        theirs * 1e3
    );
    println!(
        "  decisions compared with the definition    {:>12}",
        image.compared
    );
    println!("  bytes of the image                        {bytes:>12}");
    println!("  entries of Cilium's maps                  {entries:>12}");
    println!(
        "  their bytes                               {:>12}",
        entries * ENTRY
    );
    println!(
        "  times as fast as Cilium for an endpoint   {:>12.1}",
        CILIUM / each
    );
    println!(
        "  times as small as the maps                {:>12.1}",
        (entries * ENTRY) as f64 / bytes as f64
    );
}

fn compile(asked: &Asked) -> Artifact {
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let program = Program::resolve(cluster, policies);
    let compiler = Compiler::new(cluster, policies, &asked.sources, &program);
    let (node, pods) = compiler.lowering().nodes().first().expect("a node").clone();
    compiler.node(node, &pods).expect("an image")
}

/// How many entries the endpoints of the node have.
fn maps(asked: &Asked) -> usize {
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let Resolution::Precedence(enforcement) = &policies.resolution else {
        panic!("not resolved by precedence");
    };
    let node = cluster.find_node("one");
    let maps = NodeMaps::new(cluster, policies, enforcement, node).expect("maps");
    maps.entries()
}
