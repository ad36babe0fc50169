//! What people see.

use super::*;
use crate::explain::report::{
    Edit, FlowReport, FurtherConnection, IsolationReport, Party, PartyKind, PolicyName,
};
use crate::list::report::{PeerReport, Ports};

fn pod(name: &str) -> Party {
    Party {
        kind: PartyKind::Pod,
        namespace: Some("shop".into()),
        name: Some(name.into()),
        workload: None,
        ip: None,
    }
}

fn policy() -> PolicyName {
    (&crate::diagnostic::ObjectRef {
        kind: "NetworkPolicy".into(),
        namespace: Some("shop".into()),
        name: "api".into(),
    })
        .into()
}

fn denied() -> Explanation {
    let egress = SideReport {
        verdict: Word::Allow,
        isolated: false,
        isolated_by: Vec::new(),
        exempt: None,
        auth: None,
        audited: false,
        because: "no policy isolates this end, and no rule matches".into(),
        rules: Vec::new(),
    };
    let rule = RuleReport {
        policy: policy(),
        tier: "NetworkPolicy".into(),
        rule: "spec.ingress[0]".into(),
        name: None,
        action: "allow".into(),
        matched: false,
        field: "spec.ingress[0].ports[0]".into(),
        why: "port 8080/TCP is not in 80/TCP".into(),
        file: "shop/policies.yaml".into(),
        line: 17,
        column: 5,
    };
    let ingress = SideReport {
        verdict: Word::Deny,
        isolated: true,
        isolated_by: vec![IsolationReport {
            policy: policy(),
            file: "shop/policies.yaml".into(),
            line: 3,
        }],
        exempt: None,
        auth: None,
        audited: false,
        because: "`NetworkPolicy/shop/api` isolates this end, and no rule allows the flow".into(),
        rules: vec![rule],
    };
    Explanation {
        version: 1,
        question: None,
        flow: FlowReport {
            src: pod("web"),
            dst: pod("api"),
            protocol: "TCP".into(),
            port: Some(8080),
            last_port: None,
            icmp_type: None,
        },
        verdict: Word::Deny,
        conditions: Vec::new(),
        incomplete: Vec::new(),
        egress,
        ingress,
        suggestion: Some(Suggestion {
            summary: String::new(),
            edits: vec![Edit {
                action: Action::Add,
                object: policy(),
                path: "spec.ingress[0].ports".into(),
                index: Some(1),
                value: serde_json::Value::Null,
                yaml: "- port: 8080\n  protocol: TCP\n".into(),
                file: "shop/policies.yaml".into(),
                line: 17,
            }],
            remaining: 0,
            one_family: false,
            opens: Further::default(),
            closes: Further::default(),
        }),
        no_suggestion: None,
        alike: 0,
        cases: Vec::new(),
    }
}

fn shown(explanation: &Explanation, width: usize) -> String {
    let setting = Setting {
        style: Style {
            color: false,
            width,
        },
        verbose: false,
        quiet: false,
        again: "verdict explain shop --from shop/web --to shop/api --port 8080",
    };
    text(explanation, setting)
}

#[test]
fn a_denial_says_why_and_what_to_do() {
    let expected = "\
DENY  shop/web -> shop/api 8080/TCP: ingress of shop/api: `NetworkPolicy/shop/api` isolates this
      end, and no rule allows the flow

egress of shop/web  ALLOW
  no policy isolates this end, and no rule matches

ingress of shop/api  DENY
  isolated by  NetworkPolicy/shop/api  shop/policies.yaml:3
  no match     NetworkPolicy/shop/api spec.ingress[0] allow  shop/policies.yaml:17
               ports[0]: port 8080/TCP is not in 80/TCP

to allow it  (tried: the flow is allowed then)
  add as       spec.ingress[0].ports[1] of NetworkPolicy/shop/api  shop/policies.yaml:17
      - port: 8080
        protocol: TCP
  it opens nothing else
  then check:
      verdict explain shop --from shop/web --to shop/api --port 8080
";
    assert_eq!(shown(&denied(), 100), expected);
}

#[test]
fn what_else_a_change_does_is_told() {
    let peer = |name: &str| PeerReport::Workload {
        namespace: "shop".into(),
        name: name.into(),
        workload: "Deployment".into(),
    };
    let ports = |first| {
        vec![Ports {
            protocol: "TCP".into(),
            ranges: vec![(first, u16::MAX)],
        }]
    };
    let connection = FurtherConnection {
        src: peer("cart"),
        dst: peer("api"),
        ports: ports(8080),
        depends: ports(1),
    };
    let mut explanation = denied();
    if let Some(suggestion) = &mut explanation.suggestion {
        suggestion.opens = Further {
            count: 1,
            connections: vec![connection],
        };
        suggestion.closes.count = 2000;
    }
    let text = shown(&explanation, 100);
    let expected = "\
  it opens 1 other connection:
    + shop/cart -> shop/api TCP 8080-65535, perhaps TCP
  it closes 2000 other connections, too many to name
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn where_nothing_is_suggested_the_reason_stands() {
    let explanation = Explanation {
        suggestion: None,
        no_suggestion: Some("the port is not known".into()),
        ..denied()
    };
    let text = shown(&explanation, 100);
    assert!(
        text.ends_with("\nto allow it  no edit is suggested: the port is not known\n"),
        "{text}"
    );
}

#[test]
fn prose_keeps_to_narrow_terminals() {
    let text = shown(&denied(), 50);
    let prose: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert!(
        prose.len() > 2 && prose.iter().all(|line| line.len() <= 50),
        "{text}"
    );
}

#[test]
fn several_answers_are_listed_with_those_that_do_not_allow_first() {
    let allowed = Explanation {
        verdict: Word::Allow,
        suggestion: None,
        ..denied()
    };
    let wide = Explanation {
        verdict: Word::Depends,
        cases: vec![allowed, denied()],
        ..denied()
    };
    let words: Vec<String> = shown(&wide, 100)
        .lines()
        .filter(|line| line.contains(" -> "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(words, ["DEPENDS", "DENY", "ALLOW"]);
}

#[test]
fn reasons_that_differ_do_not_hide_that_the_answer_is_one() {
    let wide = Explanation {
        cases: vec![denied(), denied()],
        ..denied()
    };
    let text = shown(&wide, 100);
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "DENY  shop/web -> shop/api 8080/TCP: no flow is allowed, each for reasons of its own"
    );
}
