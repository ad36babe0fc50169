//! Public lists of connections, compared in the form that does not depend on how addresses were cut.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the
//! test says so and passes. [`KNOWN`] has every case in which verdict and the tool that gave the list disagree.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use verdict_compiler::flows::Connections;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::ir::Program;
use verdict_compiler::list::report::{PeerReport, Ports, party, ports};
use verdict_compiler::list::{By, Listing, Party};
use verdict_compiler::query::Families;
use verdict_tests::asking::{Asked, cases, vectors};

/// The API server refuses a `pods` peer without `podSelector`, so that verdict leaves the policy out.
const POD_SELECTOR: &str = "an invalid policy counts: `pods` without `podSelector`";
/// The API server knows no such kind, and no such field, so that verdict leaves the objects out.
const NO_OBJECTS: &str = "a Pod of `apps/v1` and a misplaced `spec` count";
/// The API server refuses a named port towards blocks of addresses, so that verdict leaves the policy out.
const NAMED_PORT: &str = "an invalid policy counts: a named port in a rule with `networks`";
/// The list was made without the labels of the namespaces, which are among its inputs.
const NAMESPACE_LABELS: &str = "the labels of namespaces do not count";
/// The folder of the pods has policies too, which were given to the tool as pods only.
const OTHER_POLICIES: &str = "policies in the folder of the pods do not count";

/// Cases that end otherwise, with the reason. One that begins to pass must go from here.
const KNOWN: &[(&str, &str)] = &[
    ("npa/connlist/anp_test_11_swapping_rules", POD_SELECTOR),
    ("npa/connlist/anp_demo", POD_SELECTOR),
    ("npa/exposure/exposure_test_with_anp_15", POD_SELECTOR),
    ("nca/connectivity/034", NO_OBJECTS),
    (
        "npa/connlist/anp_test_named_ports_multiple_peers",
        NAMED_PORT,
    ),
    ("nca/connectivity/081", NAMESPACE_LABELS),
    ("nca/connectivity/092", OTHER_POLICIES),
];

/// Ports by protocol: TCP, UDP and SCTP.
type Allowed = BTreeMap<String, Vec<(u32, u32)>>;

/// Addresses with what is allowed: in order, disjoint, no two adjacent ones equal.
type Runs = Vec<(u64, u64, Allowed)>;

/// Connections in a form that has one spelling for one meaning.
#[derive(Debug, Default, PartialEq)]
struct Canonical {
    pairs: BTreeMap<String, Allowed>,
    external: BTreeMap<String, Runs>,
}

/// Sorted, disjoint, without port 0, which no service has.
fn merged_ports(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in ranges {
        let first = first.max(1);
        match merged.last_mut() {
            _ if last < first => {}
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn allowed(ranges: impl IntoIterator<Item = (String, (u32, u32))>) -> Allowed {
    let mut all: Allowed = BTreeMap::new();
    for (protocol, range) in ranges {
        if ["TCP", "UDP", "SCTP"].contains(&&*protocol) {
            all.entry(protocol).or_default().push(range);
        }
    }
    all.values_mut()
        .for_each(|ranges| *ranges = merged_ports(std::mem::take(ranges)));
    all.retain(|_, ranges| !ranges.is_empty());
    all
}

/// Every address once.
fn merged_runs(runs: &[(u64, u64, Allowed)]) -> Runs {
    let cuts: BTreeSet<u64> = runs
        .iter()
        .flat_map(|(first, last, _)| [*first, last + 1])
        .collect();
    let cuts: Vec<u64> = cuts.into_iter().collect();
    let mut merged: Runs = Vec::new();
    for pair in cuts.windows(2) {
        let (first, last) = (pair[0], pair[1] - 1);
        let here = runs.iter().filter(|run| run.0 <= first && last <= run.1);
        let all = allowed(here.flat_map(|(_, _, allowed)| {
            allowed.iter().flat_map(|(protocol, ranges)| {
                ranges.iter().map(|range| (protocol.clone(), *range))
            })
        }));
        match merged.last_mut() {
            _ if all.is_empty() => {}
            Some(before) if before.1 + 1 == first && before.2 == all => before.1 = last,
            _ => merged.push((first, last, all)),
        }
    }
    merged
}

fn number(address: IpAddr) -> Option<u64> {
    match address {
        IpAddr::V4(address) => Some(address.to_bits().into()),
        IpAddr::V6(_) => None,
    }
}

fn name(peer: &PeerReport, by: By) -> Option<String> {
    match (peer, by) {
        (PeerReport::Node { .. } | PeerReport::Ip { .. }, _) => None,
        (
            PeerReport::Workload {
                namespace,
                name,
                workload,
            },
            By::Workload,
        ) => Some(format!("{namespace}/{name}[{workload}]")),
        (
            PeerReport::Workload {
                namespace, name, ..
            }
            | PeerReport::Pod {
                namespace, name, ..
            },
            _,
        ) => Some(format!("{namespace}/{name}")),
    }
}

/// What verdict lists.
fn listed(paths: &[PathBuf], by: By) -> Canonical {
    let settings = Settings {
        cidr_matches_pods: Some(false),
        ..Settings::default()
    };
    let asked = Asked::read(paths, &settings).unwrap();
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let program = Program::resolve(cluster, policies);
    let connections = Connections::new(cluster, &program, Families::of(cluster));
    let mut listing = Listing::new(connections, by);
    let mut found = Canonical::default();
    let mut external: BTreeMap<String, Runs> = BTreeMap::new();
    for pair in listing.pairs() {
        let of_protocols = ports(&listing.answer(pair.answer).allow);
        let all = allowed(
            of_protocols
                .into_iter()
                .flat_map(|Ports { protocol, ranges }| {
                    let ranges = ranges.into_iter();
                    ranges.map(move |(first, last)| {
                        (protocol.to_string(), (first.into(), last.into()))
                    })
                }),
        );
        let name = |end: Party| name(&party(listing.directory(), end), by);
        let (key, ranges) = match (pair.src, pair.dst) {
            (Party::Peer(_), Party::Outside(ranges)) => {
                (format!("{}|egress|", name(pair.src).unwrap()), ranges)
            }
            (Party::Outside(ranges), Party::Peer(_)) => {
                (format!("{}|ingress|", name(pair.dst).unwrap()), ranges)
            }
            (src, dst) => {
                let (from, to) = (name(src).unwrap(), name(dst).unwrap());
                if from != to && !all.is_empty() {
                    found.pairs.insert(format!("{from}|{to}|"), all);
                }
                continue;
            }
        };
        let runs = listing.addresses(ranges).iter();
        let runs =
            runs.filter_map(|(first, last)| Some((number(*first)?, number(*last)?, all.clone())));
        external.entry(key).or_default().extend(runs);
    }
    found.external = canonical_runs(external);
    found
}

fn canonical_runs(external: BTreeMap<String, Runs>) -> BTreeMap<String, Runs> {
    let merged = external
        .into_iter()
        .map(|(key, runs)| (key, merged_runs(&runs)));
    merged.filter(|(_, runs)| !runs.is_empty()).collect()
}

fn allowed_of(value: &Value) -> Allowed {
    let protocols = value.as_object().into_iter().flatten();
    allowed(protocols.flat_map(|(protocol, ranges)| {
        let ranges = ranges.as_array().into_iter().flatten();
        ranges.map(|range| {
            let bound = |index: usize| u32::try_from(range[index].as_u64().unwrap()).unwrap();
            (protocol.clone(), (bound(0), bound(1)))
        })
    }))
}

/// What the vectors list.
fn wanted(value: &Value) -> Canonical {
    let pairs = value["pod_pairs"].as_object().into_iter().flatten();
    let pairs = pairs.filter(|(key, _)| {
        let mut ends = key.split('|');
        !key.contains("ingress-controller") && ends.next() != ends.next()
    });
    let external = value["external"].as_object().into_iter().flatten();
    let external = external.map(|(key, runs)| {
        let runs = runs.as_array().into_iter().flatten().map(|run| {
            let bound = |index: usize| -> IpAddr { run[index].as_str().unwrap().parse().unwrap() };
            let bounds = [0, 1].map(|index| number(bound(index)).unwrap());
            (bounds[0], bounds[1], allowed_of(&run[2]))
        });
        (key.clone(), runs.collect())
    });
    let pairs = pairs.map(|(key, value)| (key.clone(), allowed_of(value)));
    Canonical {
        pairs: pairs.filter(|(_, allowed)| !allowed.is_empty()).collect(),
        external: canonical_runs(external.collect()),
    }
}

/// The inputs of a case, and what must come out; `None` where it is about something else.
fn question(vectors: &Path, case: &Value) -> Option<(Vec<PathBuf>, By, Canonical)> {
    let features: Vec<&str> = strings(&case["features"]).collect();
    match case["kind"].as_str()? {
        "connlist" | "exposure" => {
            let out_of_scope = ["multi-network", "ingress-analysis", "yaml-error"];
            let asked = [
                "multiple_networks",
                "focus_workloads",
                "focus_workload_peers",
                "focus_direction",
                "focus_conn",
            ];
            if out_of_scope
                .iter()
                .any(|feature| features.contains(feature))
                || asked.iter().any(|option| is_set(&case["options"][option]))
            {
                return None;
            }
            let input = vectors.join(case["input"].as_str()?);
            Some((
                vec![input],
                By::Workload,
                wanted(&case["expected"]["canonical"]),
            ))
        }
        "connlist-pods" => {
            let config = case["configs"].as_object()?.values().next()?;
            let parts = ["namespaces", "pods", "resources", "policies"];
            let files = parts.iter().flat_map(|part| strings(&config[part]));
            let files = files.map(|file| vectors.join(file)).collect();
            let path = vectors.join(case["expected"]["canonical_file"].as_str()?);
            let text = std::fs::read_to_string(path).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            Some((files, By::Pod, wanted(&value)))
        }
        _ => None,
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// The first thing that differs.
fn difference(got: &Canonical, wanted: &Canonical) -> Option<String> {
    let pairs: BTreeSet<&String> = got.pairs.keys().chain(wanted.pairs.keys()).collect();
    let pair = pairs.into_iter().find_map(|key| {
        let (got, wanted) = (got.pairs.get(key), wanted.pairs.get(key));
        (got != wanted).then(|| format!("{key}: got {got:?}, wanted {wanted:?}"))
    });
    let keys: BTreeSet<&String> = got.external.keys().chain(wanted.external.keys()).collect();
    let mut keys = keys.into_iter();
    pair.or_else(|| {
        keys.find_map(|key| {
            let (got, wanted) = (got.external.get(key), wanted.external.get(key));
            (got != wanted).then(|| format!("{key}: got {got:?}, wanted {wanted:?}"))
        })
    })
}

#[test]
fn public_lists() {
    let Some(vectors) = vectors() else {
        println!("skipped: there is no folder ../shared/vectors, and VERDICT_VECTORS names none");
        return;
    };
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().collect();
    assert_eq!(known.len(), KNOWN.len(), "a case is known twice");
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    for source in ["npa", "nca"] {
        let (mut passed, mut total) = (0, 0);
        for case in cases(&vectors, source).unwrap() {
            let Some((paths, by, wanted)) = question(&vectors, &case) else {
                continue;
            };
            total += 1;
            let id = case["id"].as_str().unwrap();
            let listed = listed(&paths, by);
            let difference = difference(&listed, &wanted);
            passed += usize::from(difference.is_none());
            match (difference, known.get_key_value(id)) {
                (None, None) => {}
                (Some(_), Some((known, _))) => assert!(met.insert(*known), "{id} stands twice"),
                (Some(difference), None) => wrong.push(format!("{id}: {difference}")),
                (None, Some((_, reason))) => {
                    wrong.push(format!("{id} passes, and is known not to: {reason}"));
                }
            }
        }
        println!("{source:<6} {passed:>4} {total:>4}");
    }
    let unmet: Vec<_> = known.keys().filter(|id| !met.contains(*id)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        unmet.is_empty(),
        "known, and not among the cases: {unmet:?}"
    );
}
