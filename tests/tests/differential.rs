//! The ir and the image engine against the definition, and what must be true of the definition itself, on random worlds.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use std::collections::HashMap;
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::flow::{Flow, Transport};
use verdict_compiler::hir::spec::{self, Judgement, Verdict, World as Judged};
use verdict_compiler::ir::{FlowClass, Program, verify};
use verdict_compiler::query::{Families, Who, flows_between};
use verdict_tests::generate::flows::{Strangers, every_flow, flows};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, cilium, of_both, small, with_images};

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

fn load(world: &World, seed: u64) -> Loaded {
    let loaded = world.load_for(seed);
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
        let loaded = load(&world, seed);
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        if let Err(violation) = verify::verify(&program, &loaded.cluster, &loaded.policies) {
            panic!("seed {seed}: {violation}\n{}", world.text());
        }
        for (flow, expected) in answers(&loaded, &strangers, seed) {
            seen[expected.verdict as usize] += 1;
            assert_eq!(
                program.judge(&flow),
                expected,
                "seed {seed}: {flow:#?}\n{}",
                world.text()
            );
        }
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "every verdict occurs: {seen:?}"
    );
}

/// How many worlds of Cilium's are refused at most, in a hundred.
const REFUSED: u64 = 40;

#[test]
fn the_ir_engine_is_the_definition_of_cilium() {
    let strangers = Strangers::default();
    let mut seen = [0_usize; 4];
    let mut refused = 0;
    for seed in 0..worlds() {
        let Some((world, loaded)) = cilium::loaded(seed) else {
            refused += 1;
            continue;
        };
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        if let Err(violation) = verify::verify(&program, &loaded.cluster, &loaded.policies) {
            panic!("seed {seed}: {violation}\n{}", world.text());
        }
        let mut classes: HashMap<FlowClass, Judgement> = HashMap::new();
        for (flow, expected) in answers(&loaded, &strangers, seed) {
            seen[expected.verdict as usize] += 1;
            let text = || format!("seed {seed}: {flow:#?}\n{}", world.text());
            assert_eq!(program.judge(&flow), expected, "{}", text());
            if let Some(class) = program.classify(&flow) {
                let known = classes.entry(class).or_insert_with(|| expected.clone());
                assert_eq!(*known, expected, "{class:?} {}", text());
            }
        }
    }
    assert!(refused * 100 <= worlds() * REFUSED, "{refused} are refused");
    assert!(
        seen.iter().all(|count| *count > 0),
        "every verdict occurs: {seen:?}"
    );
}

#[test]
fn the_image_engine_is_the_definition() {
    let strangers = Strangers::default();
    let mut seen = [0_usize; 4];
    for (seed, world, loaded) in of_both(0..worlds() * 3 / 5).filter(with_images) {
        let (cluster, policies) = (&loaded.cluster, &loaded.policies);
        let engine = Engine::new(EngineKind::Image, &world.sources(), cluster, policies).unwrap();
        for (flow, expected) in answers(&loaded, &strangers, seed) {
            seen[expected.verdict as usize] += 1;
            assert_eq!(
                engine.judge(&flow),
                expected,
                "seed {seed}: {flow:#?}\n{}",
                world.text()
            );
        }
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "every verdict occurs: {seen:?}"
    );
}

#[test]
fn ends_that_are_known_are_judged_as_if_they_were_read() {
    let strangers = Strangers::default();
    let mut told = 0;
    for (seed, world, loaded) in of_both(0..worlds() / 4).filter(with_images) {
        let (cluster, policies) = (&loaded.cluster, &loaded.policies);
        for kind in [EngineKind::Ir, EngineKind::Image] {
            let engine = Engine::new(kind, &world.sources(), cluster, policies).unwrap();
            // The room of one judgement is that of the next.
            let mut said = Judgement::default();
            for (flow, expected) in answers(&loaded, &strangers, seed) {
                let Some((src, dst)) = engine.know(&flow.src).zip(engine.know(&flow.dst)) else {
                    continue;
                };
                if engine.look_up_between(cluster, [&src, &dst], flow.transport, &mut said) {
                    told += 1;
                    assert_eq!(
                        said,
                        expected,
                        "seed {seed}, {kind}: {flow:#?}\n{}",
                        world.text()
                    );
                }
            }
        }
    }
    assert!(told > 1_000, "{told}");
}

#[test]
fn flows_of_one_class_get_one_judgement() {
    let mut shared = 0;
    for seed in 0..worlds() / 8 {
        let world = small::world(seed);
        let loaded = load(&world, seed);
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        let mut classes: HashMap<FlowClass, Judgement> = HashMap::new();
        for flow in every_flow(&loaded.cluster, &[80, 83, 9000, 9001]) {
            let Some(class) = program.classify(&flow) else {
                continue;
            };
            let judgement = program.judge(&flow);
            shared += usize::from(classes.contains_key(&class));
            let known = classes.entry(class).or_insert_with(|| judgement.clone());
            assert_eq!(
                *known,
                judgement,
                "seed {seed}: {flow:#?} of {class:?}\n{}",
                world.text()
            );
        }
    }
    assert!(shared > 0, "no two flows are of one class");
}

/// The verdicts of a pod that reaches itself: at its own address, and by the choice of a service.
fn of_itself(policies: &str) -> [Verdict; 2] {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n\
         spec: {containers: [{name: main, image: main}]}\nstatus: {podIP: 10.0.0.1}\n---\n";
    let world = World {
        files: vec![("world.yaml".into(), format!("{pod}{policies}"))],
    };
    let loaded = load(&world, 0);
    let program = Program::resolve(&loaded.cluster, &loaded.policies);
    let pod = Who::Pod(PodId(0));
    let families = Families::of(&loaded.cluster);
    let transport = Transport::to_port(Protocol::TCP, 80);
    [false, true].map(|by_service| {
        let mut flows = flows_between(&loaded.cluster, families, pod, pod, transport);
        let mut flow = flows.next().expect("the pod has an address");
        flow.dst.by_service = by_service;
        let judgement = spec::judge(judged(&loaded), &flow);
        assert_eq!(program.judge(&flow), judgement);
        judgement.verdict
    })
}

fn denying(tier: &str, direction: &str, peers: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
         metadata: {{name: deny}}\nspec:\n  tier: {tier}\n  priority: 5\n  subject: {{namespaces: {{}}}}\n  \
         {direction}: [{{action: Deny, {peers}: [{{namespaces: {{}}}}]}}]\n---\n"
    )
}

/// <https://network-policy-api.sigs.k8s.io/api-overview/>: at its own address a pod "is not subject to CNP", and
/// by "a Service IP that the service proxy load-balances back to the same Pod" it is. No NetworkPolicy keeps a
/// pod from itself.
#[test]
fn a_pod_reaches_itself_by_a_service_where_no_admin_denies_it() {
    let isolating = network_policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let (allow, by_address) = ([Verdict::Allow; 2], [Verdict::Allow, Verdict::Deny]);
    assert_eq!(of_itself(&isolating), allow);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let admin = denying("Admin", direction, peers);
        assert_eq!(of_itself(&admin), by_address);
        assert_eq!(of_itself(&(admin + &isolating)), by_address);
        let baseline = denying("Baseline", direction, peers);
        assert_eq!(of_itself(&baseline), by_address);
        assert_eq!(of_itself(&(baseline + &isolating)), allow);
    }
}

/// What two lists of answers have in common with the verdicts only.
fn verdicts(answers: &[(Flow<'_>, Judgement)]) -> Vec<Verdict> {
    answers
        .iter()
        .map(|(_, judgement)| judgement.verdict)
        .collect()
}

/// The same documents in another order and in other files.
fn shuffled(world: &World, seed: u64) -> World {
    let mut random = Random::new(seed);
    let mut documents: Vec<String> = world
        .files
        .iter()
        .flat_map(|(_, text)| text.split("---\n").filter(|text| !text.is_empty()))
        .map(|text| format!("---\n{text}"))
        .collect();
    random.shuffle(&mut documents);
    let cut = random.below(documents.len());
    let rest = documents.split_off(cut);
    World {
        files: vec![
            ("b.yaml".into(), documents.concat()),
            ("a.yaml".into(), rest.concat()),
        ],
    }
}

/// A world with further documents.
fn with(world: &World, more: &str) -> World {
    let mut world = world.clone();
    world.files.push(("more.yaml".into(), more.into()));
    world
}

fn network_policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: more, namespace: x}}\n\
         spec: {spec}\n"
    )
}

#[test]
fn the_order_of_files_and_documents_changes_nothing() {
    let strangers = Strangers::default();
    for seed in 0..worlds() / 4 {
        let world = small::world(seed);
        let other = shuffled(&world, seed);
        let (one, two) = (load(&world, seed), load(&other, seed));
        let (before, after) = (
            answers(&one, &strangers, seed),
            answers(&two, &strangers, seed),
        );
        assert_eq!(
            verdicts(&before),
            verdicts(&after),
            "seed {seed}\n{}",
            world.text()
        );
    }
}

#[test]
fn an_allowing_rule_where_a_pod_is_isolated_denies_nothing() {
    let strangers = Strangers::default();
    let none = network_policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let some = network_policy(
        "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 80}]}], \
         egress: [{to: [{podSelector: {}}]}]}",
    );
    for seed in 0..worlds() / 4 {
        let world = small::world(seed);
        let (one, two) = (
            load(&with(&world, &none), seed),
            load(&with(&world, &some), seed),
        );
        let (before, after) = (
            answers(&one, &strangers, seed),
            answers(&two, &strangers, seed),
        );
        for ((flow, before), (_, after)) in before.iter().zip(&after) {
            let worse = match before.verdict {
                Verdict::Allow | Verdict::Redirect => after.verdict != Verdict::Allow,
                Verdict::Depends => after.verdict == Verdict::Deny,
                Verdict::Deny => false,
            };
            assert!(
                !worse,
                "seed {seed}: {flow:#?}\n{before:?}\n{after:?}\n{}",
                world.text()
            );
        }
    }
}

#[test]
fn a_policy_that_isolates_allows_nothing_more() {
    // Where no NetworkPolicy isolates the Baseline tier may deny, which an isolating policy overrides: so only
    // worlds without that tier are asked.
    let strangers = Strangers::default();
    let none = network_policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let mut asked = 0;
    for seed in 0..worlds() {
        let world = small::world(seed);
        if world.text().contains("Baseline") {
            continue;
        }
        asked += 1;
        let (one, two) = (load(&world, seed), load(&with(&world, &none), seed));
        let (before, after) = (
            answers(&one, &strangers, seed),
            answers(&two, &strangers, seed),
        );
        for ((flow, before), (_, after)) in before.iter().zip(&after) {
            let denied = before.verdict == Verdict::Deny && after.verdict != Verdict::Deny;
            assert!(!denied, "seed {seed}: {flow:#?}\n{}", world.text());
        }
    }
    assert!(asked > 0);
}

#[test]
fn a_policy_cut_in_two_is_the_same_policy() {
    let strangers = Strangers::default();
    let rule = |index| {
        [
            "{from: [{podSelector: {matchLabels: {a: '0'}}}]}",
            "{ports: [{port: 80}]}",
        ][index]
    };
    let spec = |rules: String| format!("{{podSelector: {{}}, ingress: [{rules}]}}");
    let whole = network_policy(&spec([rule(0), rule(1)].join(", ")));
    let parts = network_policy(&spec(rule(0).into()))
        + "---\n"
        + &network_policy(&spec(rule(1).into())).replace("name: more", "name: rest");
    for seed in 0..worlds() / 4 {
        let world = small::world(seed);
        let (one, two) = (
            load(&with(&world, &whole), seed),
            load(&with(&world, &parts), seed),
        );
        let (before, after) = (
            answers(&one, &strangers, seed),
            answers(&two, &strangers, seed),
        );
        assert_eq!(
            verdicts(&before),
            verdicts(&after),
            "seed {seed}\n{}",
            world.text()
        );
    }
}

#[test]
fn a_flow_that_goes_on_is_allowed_by_both_sides() {
    let strangers = Strangers::default();
    for seed in 0..worlds() / 4 {
        let world = small::world(seed);
        let loaded = load(&world, seed);
        for (flow, judgement) in answers(&loaded, &strangers, seed) {
            let sides = [judgement.egress.verdict, judgement.ingress.verdict];
            let expected = if sides.contains(&Verdict::Deny) {
                Verdict::Deny
            } else if sides == [Verdict::Allow; 2] {
                Verdict::Allow
            } else {
                Verdict::Depends
            };
            assert_eq!(judgement.verdict, expected, "seed {seed}: {flow:#?}");
        }
    }
}
