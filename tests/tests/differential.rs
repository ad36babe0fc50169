//! The ir engine against the definition, and what must be true of the definition itself, on random worlds.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use std::collections::HashMap;
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::flow::Flow;
use verdict_compiler::hir::spec::{self, Judgement, Verdict, World as Judged};
use verdict_compiler::ir::{FlowClass, Program, verify};
use verdict_tests::generate::flows::{Strangers, flows};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, small};

const FLOWS_PER_WORLD: usize = 60;

fn worlds() -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(400)
}

fn judged(loaded: &Loaded) -> Judged<'_> {
    Judged {
        policies: &loaded.policies,
        names: loaded.cluster.names(),
    }
}

fn load(world: &World, cidr_matches_pods: bool) -> Loaded {
    let loaded = world.load(cidr_matches_pods);
    assert!(
        !loaded.has_errors(),
        "{:#?}\n{}",
        loaded.diagnostics,
        world.text()
    );
    loaded
}

/// Some flows of a world with what the definition says of them.
fn answers<'c>(
    loaded: &'c Loaded,
    strangers: &'c Strangers,
    seed: u64,
) -> Vec<(Flow<'c>, Judgement)> {
    let mut random = Random::new(seed);
    (0..FLOWS_PER_WORLD)
        .flat_map(|_| flows(&mut random, &loaded.cluster, strangers))
        .map(|flow| (flow, spec::judge(judged(loaded), &flow)))
        .collect()
}

#[test]
fn the_ir_engine_is_the_definition() {
    let strangers = Strangers::default();
    let mut seen = [0_usize; 3];
    for seed in 0..worlds() {
        let world = small::world(seed);
        let loaded = load(&world, seed % 3 != 0);
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        if let Err(violation) = verify::verify(&program, &loaded.cluster, &loaded.policies) {
            panic!("seed {seed}: {violation}\n{}", world.text());
        }
        let mut classes: HashMap<FlowClass, Judgement> = HashMap::new();
        for (flow, expected) in answers(&loaded, &strangers, seed) {
            seen[expected.verdict as usize] += 1;
            assert_eq!(
                program.judge(&flow),
                expected,
                "seed {seed}: {flow:#?}\n{}",
                world.text()
            );
            if let Some(class) = program.classify(&flow) {
                let known = classes.entry(class).or_insert_with(|| expected.clone());
                assert_eq!(
                    *known,
                    expected,
                    "seed {seed}: {flow:#?} of {class:?}\n{}",
                    world.text()
                );
            }
        }
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "every verdict occurs: {seen:?}"
    );
}
