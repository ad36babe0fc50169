//! The program of a node against the definition, before and after each pass.

use verdict_compiler::cluster::PodId;
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::flow::{EndpointKind, Flow, Transport};
use verdict_compiler::hir::spec::{self, Exemption, Side, Truth, Verdict, World as Judged};
use verdict_compiler::hir::{Auth, Direction, RuleId};
use verdict_compiler::ir;
use verdict_compiler::lir::{Action, Decision, Lowering, Origin, Program, check, text, transport};
use verdict_compiler::opt;
use verdict_compiler::query::{Families, Who, endpoint, families_of};
use verdict_tests::generate::{of_both, with_images};
use verdict_tests::judging::{packets, pods};

fn worlds() -> u64 {
    std::env::var("VERDICT_WORLDS").map_or(60, |count| count.parse().unwrap())
}

/// Everything that may stand at the other end.
fn others(loaded: &Loaded) -> Vec<Who<'_>> {
    let nodes = 0..u32::try_from(loaded.cluster.nodes().len()).unwrap();
    let strangers = [
        "8.8.8.8",
        "10.0.0.1",
        "10.1.2.3",
        "172.16.0.9",
        "192.0.2.7",
        "2001:db8::7",
        "2001:db8:1::1",
    ];
    pods(loaded)
        .map(Who::Pod)
        .chain(nodes.map(|node| Who::Node(verdict_compiler::cluster::NodeId(node))))
        .chain(
            strangers
                .iter()
                .map(|address| Who::Address(address.parse().unwrap())),
        )
        .chain([Who::World])
        .collect()
}

fn keys() -> impl Iterator<Item = Transport> {
    let unknown = [6, 17, 132].map(|protocol| {
        transport::example(transport::key(
            verdict_compiler::cluster::Protocol(protocol),
            transport::NOT_KNOWN,
        ))
    });
    let smaller =
        [(1, 3 << 8 | 4), (1, 3 << 8 | 1), (1, transport::NOT_KNOWN)].map(|(protocol, value)| {
            let protocol = verdict_compiler::cluster::Protocol(protocol);
            transport::example(transport::key(protocol, value))
        });
    packets().into_iter().chain(unknown).chain(smaller)
}

struct Case<'a> {
    loaded: &'a Loaded,
    lowering: &'a Lowering<'a>,
    pod: PodId,
    endpoint: usize,
    direction: Direction,
}

impl Case<'_> {
    /// What is asked of a program, with what the definition says.
    fn questions(&self) -> Vec<(u32, Transport, bool, Side)> {
        let cluster = &self.loaded.cluster;
        let world = Judged {
            policies: &self.loaded.policies,
            names: cluster.names(),
        };
        let mut found = Vec::new();
        let families = Families::of(cluster);
        for who in others(self.loaded) {
            let own = families_of(cluster, families, Who::Pod(self.pod));
            for family in own.and(families_of(cluster, families, who)).iter() {
                for by_service in [false, true] {
                    let subject = endpoint(cluster, Who::Pod(self.pod), family);
                    let other = endpoint(cluster, who, family);
                    let itself =
                        matches!(other.kind, EndpointKind::Pod(pod) if pod.id == Some(self.pod));
                    let leaf = self
                        .lowering
                        .leaves()
                        .of(self.lowering.resolved(), &other)
                        .unwrap();
                    let (src, mut dst) = match self.direction {
                        Direction::Ingress => (other, subject),
                        Direction::Egress => (subject, other),
                    };
                    dst.by_service = by_service;
                    for packet in keys() {
                        let flow = Flow {
                            src,
                            dst,
                            transport: packet,
                        };
                        let side = spec::judge_side(world, &flow, self.direction);
                        if side.exempt == Some(Exemption::Itself) {
                            continue;
                        }
                        found.push((leaf.0, packet, itself, side));
                    }
                }
            }
        }
        found
    }
}

fn verdict(decision: Decision) -> Verdict {
    match decision {
        Decision { depends: true, .. } => Verdict::Depends,
        Decision {
            action: Action::Deny,
            ..
        } => Verdict::Deny,
        Decision { action, .. } if action.listener().is_some() => Verdict::Redirect,
        Decision { action, .. } => {
            assert!(action.passes());
            Verdict::Allow
        }
    }
}

fn is_named(decision: Decision, side: &Side) -> bool {
    let is_audited = side.audited != Truth::No;
    if (decision.action == Action::Audit) != is_audited {
        return false;
    }
    match decision.origin {
        Origin::Nobody if is_audited => side.isolated_by.is_empty(),
        Origin::Isolation(policy) if is_audited => side.isolated_by.contains(&policy),
        Origin::Nobody if matches!(side.verdict, Verdict::Deny | Verdict::Depends) => {
            side.isolated_by.is_empty()
        }
        Origin::Nobody => side.verdict == Verdict::Allow,
        Origin::Isolation(policy) => {
            side.isolated_by.contains(&policy) && side.verdict != Verdict::Allow
        }
        Origin::Rule(rule) => side.rules.contains(&RuleId(rule.0)),
    }
}

fn faults(
    case: &Case<'_>,
    program: &Program,
    stage: &str,
    questions: &[(u32, Transport, bool, Side)],
) -> Vec<String> {
    let endpoint = &program.endpoints[case.endpoint];
    let chain = &program.chains[endpoint.chains.get(case.direction).index()];
    let mut faults = Vec::new();
    for (leaf, packet, hairpin, side) in questions {
        let class = program.leaves[*leaf as usize];
        let port_class = program.port_class(transport::of(*packet));
        let decision = program.decide(chain, class, port_class, *hairpin);
        let auth = side.auth.filter(|auth| *auth != Auth::Disabled);
        let same = verdict(decision) == side.verdict && decision.action.auth() == auth;
        if !same || !is_named(decision, side) {
            faults.push(format!(
                "{stage}: {} {} leaf {:?} {packet:?} hairpin {hairpin}: {decision:?}, not {side:?}",
                endpoint.name,
                case.direction,
                case.lowering.leaves().list()[*leaf as usize],
            ));
        }
    }
    faults
}

#[test]
fn every_pass_keeps_what_the_definition_says() {
    for (seed, world, loaded) in of_both(0..worlds()).filter(with_images) {
        let resolved = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        let lowering = Lowering::new(&loaded.cluster, &resolved);
        for (node, pods) in lowering.nodes() {
            let mut program = lowering.node(*node, pods);
            let asked: Vec<(Case<'_>, Vec<_>)> = pods
                .iter()
                .enumerate()
                .flat_map(|(endpoint, pod)| {
                    [Direction::Ingress, Direction::Egress]
                        .map(|direction| (endpoint, *pod, direction))
                })
                .map(|(endpoint, pod, direction)| {
                    let case = Case {
                        loaded: &loaded,
                        lowering: &lowering,
                        pod,
                        endpoint,
                        direction,
                    };
                    let questions = case.questions();
                    (case, questions)
                })
                .collect();
            let examine = |program: &Program, stage: &str| {
                assert_eq!(check::check(program), Ok(()), "world {seed}: {stage}");
                let printed = text::print(program);
                let read =
                    text::parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
                assert_eq!(&read, program, "world {seed}: {stage}\n{printed}");
                let faults: Vec<String> = asked
                    .iter()
                    .flat_map(|(case, questions)| faults(case, program, stage, questions))
                    .collect();
                assert!(
                    faults.is_empty(),
                    "world {seed}: {} faults\n{}\n{}",
                    faults.len(),
                    faults[..faults.len().min(5)].join("\n"),
                    world.text()
                );
            };
            examine(&program, "lowered");
            for pass in opt::PASSES {
                (pass.run)(&mut program);
                examine(&program, pass.name);
            }
        }
    }
}
