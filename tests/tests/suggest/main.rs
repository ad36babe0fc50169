//! What `explain` claims, held against the spec engine in random small worlds: what matches does, what does
//! not does not, places are where they are said to be, and a suggestion, put into the text, does what it says.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends at what is not as it should be"
)]

mod further;
mod others;
mod worlds;

use proptest::prelude::*;
use serde_json::Value;
use verdict_compiler::cluster::Protocol;
use verdict_compiler::cluster::peer::{self, HypotheticalNamespace, PeerSpec, PortSpec, Resolved};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::explain::report::{
    Action, Edit, Explanation, Party, PolicyName, RuleReport, Suggestion, Word,
};
use verdict_compiler::explain::{Asking, Context};
use verdict_compiler::frontend::load::{self, Loaded};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use verdict_compiler::hir::spec::{self, Truth, Verdict};
use verdict_compiler::hir::{Direction, Policy};
use verdict_compiler::query::{Families, Hypothetical, Who, flows_between};
use verdict_compiler::source::{SourceFile, Sources};
use verdict_compiler::suggest;
use worlds::Dice;

/// Who is asked about; `*2` is the third pod.
const PEERS: [&str; 13] = [
    "*0",
    "*1",
    "*2",
    "*3",
    "*4",
    "node/n1",
    "node/n2",
    "192.0.2.7",
    "198.51.100.1",
    "2001:db8::1",
    "entity:world",
    "a[app=api]",
    "[team=z]/[app=web]",
];

const PORTS: [&str; 6] = [
    "80/TCP",
    "443/TCP",
    "9000/TCP",
    "53/UDP",
    "8/ICMP",
    "70-100/TCP",
];

struct World {
    objects: Vec<Value>,
    sources: Sources,
    loaded: Loaded,
}

impl World {
    fn new(objects: Vec<Value>) -> Self {
        let documents = objects
            .iter()
            .map(|object| serde_yaml::to_string(object).unwrap());
        let text: String = documents.map(|text| format!("---\n{text}")).collect();
        let mut sources = Sources::default();
        sources.add(SourceFile::new("world.yaml", text.clone().into_bytes()).unwrap());
        let loaded = load::load(&sources, &Settings::default());
        let messages: Vec<_> = loaded.diagnostics.iter().map(|one| &one.message).collect();
        assert!(!loaded.has_errors(), "{messages:?}\n{text}");
        Self {
            objects,
            sources,
            loaded,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            sources: &self.sources,
            cluster: &self.loaded.cluster,
            policies: &self.loaded.policies,
        }
    }

    fn resolve(&self, peer: &str) -> Vec<Resolved> {
        let cluster = &self.loaded.cluster;
        let spelt = match peer.strip_prefix('*') {
            Some(index) => {
                let name = format!("p{index}");
                let pod = cluster
                    .pods()
                    .iter()
                    .find(|pod| *pod.name == *name)
                    .unwrap();
                format!("{}/{name}", cluster.namespace_name(pod.namespace))
            }
            None => peer.to_owned(),
        };
        peer::resolve(cluster, &PeerSpec::parse(&spelt).unwrap()).unwrap()
    }

    fn policy(&self, name: &PolicyName) -> &Policy {
        let mut policies = self.loaded.policies.policies.iter();
        policies
            .find(|policy| PolicyName::from(&policy.object) == *name)
            .unwrap()
    }

    fn who<'a>(&'a self, resolved: &'a Resolved) -> Who<'a> {
        match resolved {
            Resolved::Pod(id) => Who::Pod(*id),
            Resolved::Node(id) => Who::Node(*id),
            Resolved::Address(address) => Who::Address(*address),
            Resolved::World => Who::World,
            Resolved::Hypothetical { namespace, labels } => {
                let cluster = &self.loaded.cluster;
                let (namespace, namespace_labels) = match namespace {
                    HypotheticalNamespace::Existing(id) => {
                        (cluster.namespace_name(*id), cluster.namespace_labels(*id))
                    }
                    HypotheticalNamespace::New(labels) => ("", labels),
                };
                Who::Hypothetical(Hypothetical {
                    namespace,
                    namespace_labels,
                    labels,
                })
            }
            Resolved::Fqdn { .. } | Resolved::Service { .. } => unreachable!("not among the peers"),
        }
    }

    /// Does something with each flow between two peers.
    fn for_each_flow(
        &self,
        (from, to): (&str, &str),
        transport: Transport,
        mut act: impl FnMut(&Flow<'_>),
    ) {
        let (from, to) = (self.resolve(from), self.resolve(to));
        let cluster = &self.loaded.cluster;
        let families = Families::of(cluster);
        let (from, to) = (self.who(&from[0]), self.who(&to[0]));
        flows_between(cluster, families, from, to, transport).for_each(|flow| act(&flow));
    }

    fn judge(&self, flow: &Flow<'_>) -> Verdict {
        spec::judge(self.context().world(), flow).verdict
    }
}

/// Whether an explanation may be about a flow: the addresses that are known are those that it shows.
fn is_about(explanation: &Explanation, flow: &Flow<'_>) -> bool {
    let is_shown = |party: &Party, end: &Endpoint<'_>| match end.address {
        Address::Known(address) => party.ip.as_deref() == Some(&*address.to_string()),
        Address::Unknown { .. } => true,
    };
    is_shown(&explanation.flow.src, &flow.src) && is_shown(&explanation.flow.dst, &flow.dst)
}

fn transport(explanation: &Explanation, port: Option<u16>) -> Transport {
    let protocol = match &*explanation.flow.protocol {
        "TCP" => Protocol::TCP,
        "UDP" => Protocol::UDP,
        _ => Protocol::ICMP,
    };
    Transport {
        protocol,
        port,
        icmp: explanation.flow.icmp_type.map(|kind| (kind, 0)),
    }
}

/// Every claim of an answer.
fn check(world: &World, ends: (&str, &str), explanation: &Explanation) {
    let sides = [
        (Direction::Egress, &explanation.egress),
        (Direction::Ingress, &explanation.ingress),
    ];
    let mut holds = false;
    world.for_each_flow(
        ends,
        transport(explanation, explanation.flow.port),
        |flow| {
            if is_about(explanation, flow) {
                let rules = sides
                    .iter()
                    .flat_map(|(direction, side)| side.rules.iter().map(|rule| (*direction, rule)));
                holds |= rules
                    .clone()
                    .all(|(direction, rule)| is_match(world, flow, direction, rule))
                    && (explanation.verdict != Word::Deny
                        || explanation.suggestion.is_some()
                        || may_lack_a_suggestion(explanation, flow));
            }
        },
    );
    assert!(
        holds,
        "{ends:?} {}",
        serde_json::to_string_pretty(explanation).unwrap()
    );
    for (_, side) in sides {
        side.rules.iter().for_each(|rule| check_place(world, rule));
    }
    if explanation.incomplete.is_empty() && explanation.verdict == Word::Deny {
        assert_ne!(
            explanation.suggestion.is_some(),
            explanation.no_suggestion.is_some()
        );
    }
    if let Some(suggestion) = &explanation.suggestion {
        assert_eq!(explanation.verdict, Word::Deny);
        check_suggestion(world, ends, explanation, suggestion);
    }
}

/// Whether a rule is told rightly to match the flow, or not to.
fn is_match(world: &World, flow: &Flow<'_>, direction: Direction, told: &RuleReport) -> bool {
    let policy = world.policy(&told.policy);
    let mut rules = policy.rules.get(direction).iter();
    let path = |id| &*world.loaded.policies.origin(id).unwrap().path;
    let rule = rules.find(|rule| path(rule.id) == told.rule).unwrap();
    let other = match direction {
        Direction::Egress => &flow.dst,
        Direction::Ingress => &flow.src,
    };
    let peers = spec::peers_match(world.context().world(), policy.tier, rule, other);
    let truth = peers.min(spec::ports_match(policy.tier, rule, flow));
    let verb = match truth {
        Truth::No => "",
        Truth::Unknown => "may match: ",
        Truth::Yes => "matches: ",
    };
    told.matched == (truth != Truth::No) && told.why.starts_with(verb)
}

/// The place of a rule is in its object, and what is written there is the field.
fn check_place(world: &World, rule: &RuleReport) {
    let policy = world.policy(&rule.policy);
    let file = world.sources.get(policy.span.file).unwrap();
    let (first, last) = (
        file.location(policy.span.start).line,
        file.location(policy.span.end).line,
    );
    assert!((first..=last).contains(&rule.line), "{rule:?}");
    let object = &world.objects[object_index(world, &rule.policy)];
    let line = file.text().lines().nth(rule.line as usize - 1).unwrap();
    let content = beginning(at(object, &rule.field).unwrap());
    assert!(
        line.contains(&content),
        "{content} is not in {line}: {rule:?}"
    );
    assert!(rule.field.starts_with(&rule.rule));
}

/// What the text of a value begins with.
fn beginning(value: &Value) -> String {
    match value {
        Value::Array(items) => beginning(&items[0]),
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_else(|| "{}".into()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn object_index(world: &World, name: &PolicyName) -> usize {
    let is_it = |object: &Value| {
        object["kind"] == *name.kind
            && object["metadata"]["name"] == *name.name
            && object["metadata"]["namespace"].as_str() == name.namespace.as_deref()
    };
    world.objects.iter().position(is_it).unwrap()
}

/// The keys and indices of a path such as `spec.ingress[0].from`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    steps(path).try_fold(value, |value, step| match step.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(step),
    })
}

/// Makes an edit in the objects of a world.
fn apply(world: &World, objects: &mut Vec<Value>, edit: &Edit) {
    match edit.action {
        Action::Create => {
            let yaml: Value = serde_yaml::from_str(&edit.yaml).unwrap();
            assert_eq!(yaml, edit.value);
            objects.push(yaml);
        }
        Action::Label => {
            let yaml: Value = serde_yaml::from_str(&edit.yaml).unwrap();
            assert_eq!(yaml, edit.value);
            let object = &mut objects[object_index(world, &edit.object)];
            let labels = steps(&edit.path).fold(object, |value, step| &mut value[step]);
            let (key, value) = yaml.as_object().unwrap().iter().next().unwrap();
            labels[key.as_str()] = value.clone();
        }
        Action::Add | Action::Replace => {
            apply_to_list(&mut objects[object_index(world, &edit.object)], edit);
        }
    }
}

fn apply_to_list(object: &mut Value, edit: &Edit) {
    let list = steps(&edit.path).fold(object, |value, step| match step.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[step],
    });
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let yaml: Vec<Value> = serde_yaml::from_str(&edit.yaml).unwrap();
    assert_eq!(yaml, std::slice::from_ref(&edit.value));
    let list = list.as_array_mut().unwrap();
    let index = edit.index.unwrap();
    if edit.action == Action::Replace {
        list.remove(index);
    }
    list.insert(index, edit.value.clone());
}

/// A suggestion is accepted where it says, allows the flow, and does what it says beside that.
fn check_suggestion(
    world: &World,
    ends: (&str, &str),
    explanation: &Explanation,
    suggestion: &Suggestion,
) {
    let mut objects = world.objects.clone();
    for edit in &suggestion.edits {
        apply(world, &mut objects, edit);
    }
    let changed = World::new(objects);
    assert!(
        allowed(&changed, ends, explanation).contains(&true),
        "{ends:?} {}",
        serde_json::to_string_pretty(explanation).unwrap()
    );
    further::check(world, &changed, explanation, suggestion);
    others::check(world, ends, explanation, suggestion);
}

/// Whether a world allows what an answer of another is about, on the first and the last port: for each flow that it may
/// be about, one for each family where no address is told.
fn allowed(world: &World, ends: (&str, &str), explanation: &Explanation) -> Vec<bool> {
    let last = explanation.flow.last_port.or(explanation.flow.port);
    let on = |port| {
        let mut allowed = Vec::new();
        world.for_each_flow(ends, transport(explanation, port), |flow| {
            if is_about(explanation, flow) {
                allowed.push(world.judge(flow) == Verdict::Allow);
            }
        });
        allowed
    };
    let both = on(explanation.flow.port).into_iter().zip(on(last));
    both.map(|(first, last)| first && last).collect()
}

/// The denied flows for which nothing need be suggested: one side is open, so that no change of the other
/// allows the flow; or the end that a rule would have to name is no pod and has no address to name.
fn may_lack_a_suggestion(explanation: &Explanation, flow: &Flow<'_>) -> bool {
    let sides = [
        (&explanation.egress, &flow.dst, &explanation.flow.dst),
        (&explanation.ingress, &flow.src, &explanation.flow.src),
    ];
    sides.into_iter().any(|(side, other, party)| {
        let is_nameless = match (&other.kind, other.address) {
            (_, Address::Known(_)) => false,
            (EndpointKind::Pod(pod), Address::Unknown { .. }) => pod.host.is_some(),
            (EndpointKind::Node(_), Address::Unknown { .. }) => true,
            (EndpointKind::Outside, Address::Unknown { .. }) => party.ip.is_some(),
        };
        side.verdict == Word::Depends || side.verdict == Word::Deny && is_nameless
    })
}

/// How many worlds are tried (`VERDICT_WORLDS`).
fn worlds() -> u32 {
    let wanted = std::env::var("VERDICT_WORLDS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: worlds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_claim_holds(bytes in proptest::collection::vec(any::<u8>(), 0..400), seed in any::<[u8; 24]>()) {
        let world = World::new(worlds::world(&mut Dice::new(&bytes)));
        let context = world.context();
        let engine = Engine::new(EngineKind::Spec, context.sources, context.cluster, context.policies).unwrap();
        let asking = Asking { context, engine: &engine };
        let mut dice = Dice::new(&seed);
        for _ in 0..8 {
            let (from, to, port) = (dice.pick(&PEERS), dice.pick(&PEERS), dice.pick(&PORTS));
            let (src, dst) = (world.resolve(from), world.resolve(to));
            let port = PortSpec::parse(port).unwrap();
            let Ok(answer) = suggest::ask(asking, &src, &dst, &port) else { continue };
            let cases = if answer.cases.is_empty() { std::slice::from_ref(&answer) } else { &answer.cases };
            for case in cases {
                check(&world, (from, to), case);
            }
        }
    }
}
