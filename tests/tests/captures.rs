//! Captures: that the files of `testdata/trace` are what the generator makes, what is answered about each, by every engine,
//! and that neither the byte order, nor the link, nor how it is packed changes that.
//!
//! `VERDICT_BLESS=1` writes the captures and the answers anew.

use proptest::prelude::*;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::trace::inspect::{Item, inspect};
use verdict_compiler::trace::{By, Denied, Dns, Options, Outcome, Place, Replay, Tunnels};
use verdict_tests::asking::Asked;
use verdict_tests::fuzz;
use verdict_tests::generate::captures::files;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn is_blessed() -> bool {
    std::env::var_os("VERDICT_BLESS").is_some()
}

fn shop() -> Asked {
    let texts = ["cluster.yaml", "policies.yaml"].map(|name| {
        let text = std::fs::read(testdata().join("shop").join(name));
        (name.to_owned(), text.expect("the shop"))
    });
    let asked = Asked::of(texts.into(), &Settings::default());
    assert_eq!(asked.errors(), Vec::<String>::new());
    asked
}

fn of(name: &str) -> Vec<u8> {
    let found = files().into_iter().find(|(file, _)| *file == name);
    found.expect("a file of the generator").1
}

/// What all engines answer.
#[track_caller]
fn replay(asked: &Asked, options: Options, trace: &[u8]) -> (String, Outcome) {
    let [spec, ir, image] =
        EngineKind::ALL.map(|kind| asked.replay_as(kind, options, trace).expect("an answer"));
    assert_eq!(spec, ir);
    assert_eq!(spec, image);
    ir
}

/// What is told of an outcome besides the replies.
fn told(outcome: &Outcome) -> String {
    let mut text = String::new();
    for problem in &outcome.problems {
        let at = match problem.place {
            Place::Byte(at) => format!("byte {at}"),
            Place::Line { line, .. } => format!("line {line}"),
            Place::Trace => "the trace".into(),
        };
        text += &format!(
            "# {at}: {} {}\n",
            problem.diagnostic.code.id, problem.diagnostic.message
        );
    }
    for translation in &outcome.translations {
        text += &format!("# {translation}\n");
    }
    text += &format!(
        "# {} records, {} bytes, {} connections, {} older, {} outside, {} translated, {} not explained, {} agree, {} do not\n",
        outcome.records,
        outcome.bytes,
        outcome.connections,
        outcome.older,
        outcome.outside,
        outcome.translated,
        outcome.unexplained,
        outcome.agreeing,
        outcome.disagreeing
    );
    text
}

#[test]
fn the_files_are_what_the_generator_makes() {
    for (name, bytes) in files() {
        let path = testdata().join("trace").join(name);
        if is_blessed() {
            std::fs::create_dir_all(testdata().join("trace")).expect("a folder");
            std::fs::write(&path, &bytes).expect("written");
        }
        assert!(std::fs::read(&path).ok() == Some(bytes), "{name}: bless it");
    }
}

#[test]
fn each_capture_has_its_answers() {
    let shop = shop();
    let folder = testdata().join("trace");
    let mut captures: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "pcap" || end == "pcapng")
        })
        .collect();
    captures.sort();
    assert!(captures.len() >= files().len());
    for path in captures {
        let options = Options {
            tunnels: Tunnels {
                vxlan: true,
                geneve: true,
            },
            ..Options::default()
        };
        let bytes = std::fs::read(&path).expect("a capture");
        let (replies, outcome) = replay(&shop, options, &bytes);
        let found = replies + &told(&outcome);
        let expected = path.with_extension("jsonl");
        if is_blessed() {
            std::fs::write(&expected, &found).expect("written");
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
    }
}

#[test]
fn neither_order_nor_unit_nor_packing_changes_an_answer() {
    let shop = shop();
    let capture = of("every-kind.pcap");
    let expected = replay(&shop, Options::default(), &capture);
    for name in [
        "big-endian.pcap",
        "nanoseconds.pcap",
        "nanoseconds-big-endian.pcap",
    ] {
        let (replies, mut outcome) = replay(&shop, Options::default(), &of(name));
        let cut = |text: &str| text.replace("123456000Z", "Z").replace("123000Z", "Z");
        assert_eq!(
            cut(&replies).lines().count(),
            cut(&expected.0).lines().count()
        );
        outcome.span = expected.1.span;
        assert_eq!(outcome, expected.1, "{name}");
    }
    let (one, other) = capture.split_at(1_000);
    let gzip = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(bytes).expect("memory");
        packed.finish().expect("memory")
    };
    let zstd = |bytes: &[u8]| {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    };
    let skipped = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for packed in [
        gzip(&capture),
        [gzip(one), gzip(other)].concat(),
        zstd(&capture),
        [zstd(one), skipped.to_vec(), zstd(other)].concat(),
        [skipped.to_vec(), zstd(&capture)].concat(),
    ] {
        assert_eq!(replay(&shop, Options::default(), &packed), expected);
        let cut = packed.get(..packed.len() - 20).expect("it is longer");
        let (_, outcome) = replay(&shop, Options::default(), cut);
        let codes: Vec<&str> = outcome
            .problems
            .iter()
            .map(|problem| problem.diagnostic.code.id)
            .collect();
        assert!(codes.contains(&"V0608"), "{codes:?}");
    }
}

#[test]
fn the_link_changes_no_answer() {
    let shop = shop();
    let [expected, others @ ..] = [
        "raw.pcap",
        "null.pcap",
        "loop.pcap",
        "cooked.pcap",
        "cooked-2.pcap",
        "nflog.pcap",
        "tunnels.pcap",
    ]
    .map(|name| {
        let options = Options {
            tunnels: Tunnels {
                vxlan: true,
                geneve: true,
            },
            ..Options::default()
        };
        replay(&shop, options, &of(name))
    });
    for (replies, outcome) in others {
        assert_eq!(replies, expected.0);
        assert_eq!(outcome.changes, expected.1.changes);
    }
}

#[test]
fn connections_go_on_from_one_trace_to_the_next() {
    let shop = shop();
    let capture = of("raw.pcap");
    let (whole, expected) = replay(&shop, Options::default(), &capture);
    // The header is 24 bytes, and each record has one of 16.
    let first = 24 + 16 + 40;
    let (one, other) = capture.split_at(first);
    let other = [&capture[..24], other].concat();
    let engine = engine(&shop);
    let mut replay = Replay::new(shop.asked(&engine), None, Options::default());
    let mut replies = Vec::new();
    for part in [one, &other] {
        replay.trace(part, &mut replies, None).expect("memory");
    }
    let outcome = replay.finish(&mut replies).expect("memory");
    assert_eq!(String::from_utf8_lossy(&replies), whole);
    assert_eq!(outcome, expected);
    // Nor does it matter whether they were written one behind the other, in another byte order.
    let swapped = of("big-endian.pcap");
    let both = [one, &other].concat();
    assert_eq!(
        self::replay(&shop, Options::default(), &both),
        (whole, expected)
    );
    let (replies, outcome) = self::replay(&shop, Options::default(), &[&*both, &*swapped].concat());
    assert_eq!(outcome.problems.len(), 0);
    let one_by_one = [&*both, &*swapped].map(|part| items(part).len());
    let all = one_by_one.iter().sum::<usize>();
    assert_eq!(items(&[&*both, &*swapped].concat()).len(), all);
    assert!(replies.lines().count() > 0);
}

#[test]
fn what_is_damaged_within_gzip_is_said_to_be_packed() {
    let shop = shop();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(&of("every-kind.pcap")).expect("memory");
    let packed = packed.finish().expect("memory");
    // The length of a packet far from the end: nothing behind it is read, but for the checksum of gzip.
    let mut damaged = packed;
    for byte in damaged.iter_mut().skip(200).take(40) {
        *byte ^= 0xFF;
    }
    let (_, outcome) = replay(&shop, Options::default(), &damaged);
    let said = |word: &str| {
        let mut problems = outcome.problems.iter();
        problems.any(|problem| problem.diagnostic.message.contains(word))
    };
    assert!(said("gzip"), "{:?}", outcome.problems);
}

#[test]
fn denied_packets_are_written_as_a_capture() {
    let shop = shop();
    let engine = engine(&shop);
    let mut replay = Replay::new(shop.asked(&engine), None, Options::default());
    let (mut replies, mut written) = (Vec::new(), Vec::new());
    let mut denied = Denied::new(&mut written).expect("memory");
    let capture = of("every-kind.pcap");
    replay
        .trace(&capture[..], &mut replies, Some(&mut denied))
        .expect("memory");
    denied.finish().expect("memory");
    let denied = String::from_utf8_lossy(&replies)
        .lines()
        .filter(|line| {
            line.contains("\"verdict\":\"deny\"") && !line.contains("\"state\":\"reply\"")
        })
        .count();
    let all = items(&capture);
    let found = items(&written);
    assert_eq!(found.len(), denied);
    assert!(denied > 3);
    // Each is one of the capture, in its order, and a second replay denies all of them.
    let mut rest = all.iter();
    assert!(found.iter().all(|one| rest.any(|other| other == one)));
}

fn engine(asked: &Asked) -> Engine<'_> {
    let loaded = &asked.loaded;
    let engine = Engine::new(
        EngineKind::Ir,
        &asked.sources,
        &loaded.cluster,
        &loaded.policies,
    );
    engine.expect("an engine")
}

fn items(capture: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let is_capture = inspect(capture, Tunnels::default(), |item| items.push(item));
    assert!(is_capture.expect("memory"));
    items
}

const NAMED: &str = r#"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: names}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - action: Accept
    to: [{domainNames: [api.example.com]}]
  - action: Deny
    to: [{networks: ["203.0.113.0/24"]}]
"#;

const NAMED_POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: main, image: main}]}
status: {podIP: 10.244.1.10}
"#;

const NAMED_CILIUM: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names, namespace: shop}
spec:
  endpointSelector: {}
  egress:
  - toFQDNs: [{matchName: api.example.com}]
"#;

/// A policy and the pod that it governs.
fn with_pod(policy: &str) -> Vec<u8> {
    format!("{NAMED_POD}---{policy}").into()
}

const KUBERNETES: &str = "\"kubernetes\"";
const CILIUM: &str = "\"cilium\"";

fn named(dialect: &str, text: &str, dns: Dns) -> Vec<String> {
    named_in("names.pcap", dialect, text, dns)
}

fn named_in(file: &str, dialect: &str, text: &str, dns: Dns) -> Vec<String> {
    let mut settings = Settings::default();
    let id = verdict_compiler::source::FileId(1);
    settings.read(id, &format!("dialect = {dialect}"));
    let asked = Asked::of(vec![("names.yaml".into(), with_pod(text))], &settings);
    assert_eq!(asked.errors(), Vec::<String>::new());
    let options = Options {
        dns,
        ..Options::default()
    };
    let (replies, _) = replay(&asked, options, &of(file));
    let replies = replies
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    replies
        .filter(|reply: &serde_json::Value| reply["port"] == "443/TCP")
        .map(|reply| reply["verdict"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn names_are_known_from_their_answer_on() {
    // Asked before the answer, twice behind it, again, and at last for a name that no policy has.
    assert_eq!(named(KUBERNETES, NAMED, Dns::Snapshot), ["depends"; 5]);
    for dns in [Dns::Trace, Dns::Both] {
        assert_eq!(
            named(KUBERNETES, NAMED, dns),
            ["depends", "allow", "allow", "allow", "deny"]
        );
    }
    assert_eq!(
        named(CILIUM, NAMED_CILIUM, Dns::Trace),
        ["deny", "allow", "allow", "allow", "deny"]
    );
    assert_eq!(
        named(CILIUM, NAMED_CILIUM, Dns::Both),
        ["depends", "allow", "allow", "allow", "deny"]
    );
    assert_eq!(named(CILIUM, NAMED_CILIUM, Dns::Snapshot), ["depends"; 5]);
}

#[test]
fn names_are_learnt_from_streams() {
    // Before the message is whole, behind it, of the second message in a segment; none for another name, before the beginning
    // of a message of which the end came first, behind a gap, and in a stream without a beginning.
    let expected = [
        "deny", "allow", "allow", "deny", "deny", "allow", "deny", "deny",
    ];
    assert_eq!(
        named_in("names-tcp.pcap", CILIUM, NAMED_CILIUM, Dns::Trace),
        expected
    );
}

#[test]
fn names_are_known_by_the_time_of_their_answers() {
    let found = named_in("names-by-time.pcap", CILIUM, NAMED_CILIUM, Dns::Trace);
    let [before, behind, over, back, late] = [
        &["deny", "deny"][..],
        &["allow", "allow", "allow"],
        &["deny"],
        &["allow", "deny"],
        &["allow", "deny", "allow", "allow", "allow"],
    ];
    assert_eq!(found, [before, behind, over, back, late].concat());
}

#[test]
fn what_is_out_of_the_order_of_time_is_told() {
    let mut settings = Settings::default();
    settings.read(verdict_compiler::source::FileId(1), "dialect = \"cilium\"");
    let texts = vec![("names.yaml".into(), with_pod(NAMED_CILIUM))];
    let asked = Asked::of(texts, &settings);
    let (_, outcome) = replay(&asked, Options::default(), &of("names-by-time.pcap"));
    let learnt = (outcome.learnt, outcome.not_learnt);
    assert_eq!((learnt, outcome.late, outcome.doubted), ((3, 0), 1, 1));
    assert_eq!(outcome.names_forgotten, 0);
}

#[test]
fn names_are_known_where_packets_come_a_little_out_of_order() {
    let found = named_in("names-reordered.pcap", CILIUM, NAMED_CILIUM, Dns::Trace);
    assert_eq!(found, ["deny", "allow", "allow", "deny", "allow"]);
    let mut settings = Settings::default();
    settings.read(verdict_compiler::source::FileId(1), "dialect = \"cilium\"");
    let asked = Asked::of(
        vec![("names.yaml".into(), with_pod(NAMED_CILIUM))],
        &settings,
    );
    let (_, outcome) = replay(&asked, Options::default(), &of("names-reordered.pcap"));
    assert_eq!((outcome.learnt, outcome.late), (1, 0));
}

#[test]
fn names_are_known_for_as_long_as_they_say_or_are_used() {
    let found = |dialect| named_in("names-expire.pcap", dialect, NAMED_CILIUM, Dns::Trace);
    let [used, told_again, over] = ["allow", "allow", "deny"];
    assert_eq!(
        found(CILIUM),
        [
            "allow", "allow", "allow", told_again, used, used, over, over
        ]
    );
    // For five hours at least, whatever the answer says.
    let longer = "\"cilium\"\n[cilium]\ntofqdns-min-ttl = 18000";
    assert_eq!(
        found(longer),
        ["allow"; 6]
            .into_iter()
            .chain(["deny"; 2])
            .collect::<Vec<_>>()
    );
    let longest = "\"cilium\"\n[cilium]\ntofqdns-min-ttl = 36000";
    assert_eq!(found(longest), ["allow"; 8]);
}

#[test]
fn how_long_connections_live_the_dialect_says() {
    for (dialect, older) in [(KUBERNETES, 2), (CILIUM, 3)] {
        let mut settings = Settings::default();
        let id = verdict_compiler::source::FileId(1);
        settings.read(id, &format!("dialect = {dialect}"));
        let asked = Asked::of(vec![("names.yaml".into(), NAMED_POD.into())], &settings);
        let (_, outcome) = replay(&asked, Options::default(), &of("lifetimes.pcap"));
        assert_eq!(
            (outcome.connections, outcome.older),
            (8, older),
            "{dialect}"
        );
    }
}

#[test]
fn interfaces_are_bounded() {
    let block = |kind: u32, content: &[u8]| {
        let length = u32::try_from(12 + content.len()).expect("it is short");
        let (kind, length) = (kind.to_le_bytes(), length.to_le_bytes());
        [&kind[..], &length, content, &length].concat()
    };
    let mut capture = block(
        0x0A0D_0D0A,
        &[
            0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
        ],
    );
    let interface = block(1, &[101, 0, 0, 0, 0, 0, 0, 0]);
    for _ in 0..(1 << 16) + 3 {
        capture.extend(&interface);
    }
    let items = items(&capture);
    let [Item::Defect(at, diagnostic)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(*at, 28 + (1 << 16) * interface.len() as u64);
    assert_eq!(diagnostic.code.id, "V0607");
}

#[test]
fn names_in_flows_are_known_from_their_line_on() {
    let flow = r#"{"flow":{"verdict":"FORWARDED","IP":{"source":"10.244.1.10","destination":"203.0.113.7"},"l4":{"TCP":{"source_port":40000,"destination_port":443}},"event_type":{"type":4},"traffic_direction":"EGRESS"}}"#;
    let answer = r#"{"flow":{"verdict":"FORWARDED","IP":{"source":"10.244.2.53","destination":"10.244.1.10"},"l4":{"UDP":{"source_port":53,"destination_port":43000}},"l7":{"type":"RESPONSE","dns":{"query":"Api.Example.com.","ips":["203.0.113.7"],"rrtypes":["A"]}},"event_type":{"type":129},"traffic_direction":"INGRESS","is_reply":true}}"#;
    let mut settings = Settings::default();
    settings.read(verdict_compiler::source::FileId(1), "dialect = \"cilium\"");
    let asked = Asked::of(
        vec![("names.yaml".into(), with_pod(NAMED_CILIUM))],
        &settings,
    );
    let options = Options {
        dns: Dns::Trace,
        ..Options::default()
    };
    let trace = [flow, flow, answer, flow, flow].join("\n");
    let (replies, outcome) = replay(&asked, options, trace.as_bytes());
    let verdicts = replies
        .lines()
        .map(|line| line.contains("\"verdict\":\"allow\""));
    let verdicts: Vec<bool> = verdicts.collect();
    // The answer itself is the third record.
    assert_eq!(
        (&verdicts[..2], &verdicts[3..]),
        (&[false; 2][..], &[true; 2][..]),
        "{replies}"
    );
    assert_eq!(outcome.learnt, 1);
}

/// The field of a time in milliseconds of a day, where there is one.
fn exported_time(time: Option<u32>) -> String {
    time.map_or(String::new(), |time| {
        let (second, milli) = (time / 1000, time % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!(r#""time":"2026-01-01T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","#)
    })
}

/// A flow to the address with this last byte.
fn exported_flow(time: Option<u32>, last: u8) -> String {
    let time = exported_time(time);
    format!(
        r#"{{"flow":{{{time}"verdict":"FORWARDED","IP":{{"source":"10.244.1.10","destination":"203.0.113.{last}"}},"l4":{{"TCP":{{"source_port":40000,"destination_port":443}}}},"event_type":{{"type":4}},"traffic_direction":"EGRESS"}}}}"#
    )
}

/// A flow with an answer of DNS.
fn exported_answer(time: Option<u32>, name: &str, addresses: &[String]) -> String {
    let time = exported_time(time);
    let addresses = addresses.join(r#"",""#);
    format!(
        r#"{{"flow":{{{time}"verdict":"FORWARDED","IP":{{"source":"10.244.2.53","destination":"10.244.1.10"}},"l4":{{"UDP":{{"source_port":53,"destination_port":43000}}}},"l7":{{"type":"RESPONSE","dns":{{"query":"{name}.","ips":["{addresses}"]}}}},"event_type":{{"type":129}},"traffic_direction":"INGRESS","is_reply":true}}}}"#
    )
}

/// What a line of an export is, and what comes of it.
enum Exported {
    /// An answer of DNS, which names the address with this last byte.
    Answer(u8),
    /// A flow to such an address, and whether it is allowed.
    Flow(u8, bool),
}

#[test]
fn names_in_flows_are_known_by_the_time_of_their_answers() {
    use Exported::{Answer, Flow};
    // In the order of the lines, each with its millisecond.
    let lines = [
        (Some(10_000), Flow(7, false)),
        (Some(20_000), Answer(7)),
        // Behind it, and before it in time.
        (Some(19_000), Flow(7, false)),
        (Some(20_000), Flow(7, true)),
        // As much before it as lines are out of order, and more.
        (Some(19_995), Flow(7, true)),
        (Some(19_994), Flow(7, false)),
        (Some(20_001), Flow(7, true)),
        // It does not end.
        (Some(30_000_000), Flow(7, true)),
        // Told again.
        (Some(40_000), Answer(7)),
        (Some(15_000), Flow(7, false)),
        (Some(25_000), Flow(7, true)),
        // Nothing is known of another address, until an earlier answer comes late.
        (Some(35_000), Flow(8, false)),
        (Some(5_000), Answer(8)),
        (Some(35_000), Flow(8, true)),
        (Some(4_000), Flow(8, false)),
        (Some(6_000), Flow(8, true)),
        // Told for an earlier time.
        (Some(12_000), Answer(7)),
        (Some(15_000), Flow(7, true)),
        (Some(11_000), Flow(7, false)),
        // A little late is not late, and tells of an earlier time too.
        (Some(30_000_004), Flow(10, false)),
        (Some(30_000_003), Answer(10)),
        (Some(29_999_999), Flow(10, true)),
        (Some(30_000_000), Answer(10)),
        (Some(29_999_995), Flow(10, true)),
        (Some(29_999_994), Flow(10, false)),
        // Who does not tell the time knows what stands in front.
        (None, Flow(7, true)),
        (None, Flow(9, false)),
        (None, Answer(9)),
        (None, Flow(9, true)),
        (Some(1_000), Flow(9, true)),
    ];
    let line = |(time, exported): &(Option<u32>, Exported)| match exported {
        Flow(last, _) => exported_flow(*time, *last),
        Answer(last) => exported_answer(*time, "api.example.com", &[format!("203.0.113.{last}")]),
    };
    let trace: Vec<String> = lines.iter().map(line).collect();
    let trace = trace.join("\n");
    let mut settings = Settings::default();
    settings.read(verdict_compiler::source::FileId(1), "dialect = \"cilium\"");
    let asked = Asked::of(
        vec![("names.yaml".into(), with_pod(NAMED_CILIUM))],
        &settings,
    );
    let options = Options {
        dns: Dns::Trace,
        ..Options::default()
    };
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        let (replies, outcome) = pool.install(|| replay(&asked, options, trace.as_bytes()));
        assert_eq!(replies.lines().count(), lines.len());
        for (number, ((_, exported), reply)) in lines.iter().zip(replies.lines()).enumerate() {
            if let Flow(_, is_allowed) = exported {
                let found = reply.contains("\"verdict\":\"allow\"");
                assert_eq!(
                    found, *is_allowed,
                    "{threads} threads, line {number}: {reply}"
                );
            }
        }
        let counts = (outcome.learnt, outcome.late, outcome.not_learnt);
        // An address once, however often it is told for an earlier time.
        assert_eq!(counts, (4, 2, 0), "{threads} threads");
    }
}

#[test]
fn names_for_which_there_is_no_room_are_counted_once() {
    const NAMES: u32 = 256;
    let asked = |names: &str| {
        let policy = NAMED.replace("api.example.com", names);
        let texts = vec![("names.yaml".into(), with_pod(&policy))];
        let asked = Asked::of(texts, &Settings::default());
        assert_eq!(asked.errors(), Vec::<String>::new());
        asked
    };
    let new = asked(r#""*.example.com", other.test"#);
    let old = asked("other.test");
    let (new_engine, old_engine) = (engine(&new), engine(&old));
    // As many as are remembered, in the middle of an hour.
    let address = |name: u32, last: u32| format!("203.0.{name}.{last}");
    let fill = (0..NAMES).map(|name| {
        let addresses: Vec<String> = (0..256).map(|last| address(name, last)).collect();
        exported_answer(Some(1_800_000), &format!("n{name}.example.com"), &addresses)
    });
    let fill: Vec<String> = fill.collect();
    let told = |name: &str, time, last| {
        let addresses = [address(113, last), address(114, last)];
        exported_answer(Some(time), name, &addresses)
    };
    let more = [
        // Told for an earlier time, of which one address is known by that name.
        told("n113.example.com", 1_000_000, 7),
        exported_flow(Some(1_000_000), 7),
        exported_flow(Some(1_000_000), 8),
        // Neither side takes it in, or only the other.
        told("one.example.com", 1_900_000, 7),
        told("other.test", 1_900_000, 7),
        // Known there.
        told("other.test", 1_900_000, 7),
    ];
    let trace = [fill, more.into()].concat().join("\n");
    for against in [None, Some(old.asked(&old_engine))] {
        let options = Options {
            dns: Dns::Trace,
            ..Options::default()
        };
        let mut replies = Vec::new();
        let mut replay = Replay::new(new.asked(&new_engine), against, options);
        let trace = replay.trace(trace.as_bytes(), &mut replies, None);
        trace.expect("memory");
        let outcome = replay.finish(&mut replies).expect("memory");
        let replies = String::from_utf8_lossy(&replies);
        let counts = (outcome.learnt, outcome.not_learnt);
        assert_eq!(counts, (u64::from(NAMES) * 256, 7));
        // The two flows.
        let is_allowed = |record: u32| {
            let begin = format!(r#"{{"record":{record},"verdict":"allow""#);
            replies.lines().any(|reply| reply.starts_with(&begin))
        };
        assert_eq!([1, 2].map(|at| is_allowed(NAMES + at)), [true, false]);
    }
}

#[test]
fn only_what_other_policies_judge_otherwise_is_told() {
    let shop = shop();
    let texts = ["cluster.yaml"].map(|name| {
        let text = std::fs::read(testdata().join("shop").join(name));
        (name.to_owned(), text.expect("the shop"))
    });
    let open = Asked::of(texts.into(), &Settings::default());
    let (new, old) = (engine(&shop), engine(&open));
    for (against, told) in [(open.asked(&old), 7), (shop.asked(&new), 0)] {
        let mut replies = Vec::new();
        let mut replay = Replay::new(shop.asked(&new), Some(against), Options::default());
        replay
            .trace(&of("raw.pcap")[..], &mut replies, None)
            .expect("memory");
        let lines = [
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":8080}"#,
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":81}"#,
        ];
        replay
            .trace(lines.join("\n").as_bytes(), &mut replies, None)
            .expect("memory");
        let outcome = replay.finish(&mut replies).expect("memory");
        let count = String::from_utf8_lossy(&replies).lines().count() as u64;
        let more = u64::from(told > 0);
        assert_eq!((count, outcome.disagreeing), (told + more, told + more));
        assert_eq!(outcome.agreeing, outcome.records - told - more);
    }
}

#[test]
fn records_are_put_together() {
    let shop = shop();
    for (by, lines) in [(By::Connection, 4), (By::Workload, 4), (By::Policy, 8)] {
        let options = Options {
            by,
            ..Options::default()
        };
        let (replies, _) = replay(&shop, options, &of("raw.pcap"));
        assert_eq!(replies.lines().count(), lines, "{replies}");
        let human = Options {
            human: true,
            ..options
        };
        let (text, _) = replay(&shop, human, &of("raw.pcap"));
        assert_eq!(text.lines().count(), lines, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_the_reader(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        end in any::<prop::sample::Index>(),
    ) {
        let files = files();
        let mut bytes = file.get(&files).1.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if end.index(3) == 0 {
            bytes.truncate(end.index(bytes.len()));
        }
        fuzz::trace(&bytes);
    }
}
