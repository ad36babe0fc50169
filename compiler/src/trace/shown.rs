//! An answer as the line that is written for it.
//!
//! Input: a record's number, what it asks for, and its answer. Output: the JSON text of a
//! [`Reply`](super::Reply). It is put together from texts that are ready, since making it anew for each record
//! would take longer than everything else.

use super::Change;
use super::changes::Changes;
use super::memory::{Answer, SideAnswer};
use super::record::{Record, Side, Word};
use crate::cluster::Protocol;
use crate::hir::{Auth, RuleId};
use std::io::Write as _;

/// An answer with what of it the record asks for.
pub(super) struct Shown<'a> {
    pub(super) record: u64,
    pub(super) verdict: Word,
    pub(super) egress: Option<&'a SideAnswer>,
    pub(super) ingress: Option<&'a SideAnswer>,
    recorded: Option<Word>,
    expect: Option<Word>,
    /// The verdict of the policies that are compared with.
    pub(super) before: Option<Word>,
    pub(super) agrees: Option<bool>,
    pub(super) incomplete: Vec<&'a str>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(
        number: u64,
        record: &Record<'_>,
        (answer, incomplete): (Answer<'a>, Vec<&'a str>),
        before: Option<Word>,
    ) -> Self {
        let Answer {
            verdict,
            egress,
            ingress,
        } = answer;
        let (verdict, egress, ingress) = match record.direction {
            None => (verdict, Some(egress), Some(ingress)),
            Some(Side::Egress) => (egress.verdict, Some(egress), None),
            Some(Side::Ingress) => (ingress.verdict, None, Some(ingress)),
        };
        let said = match before {
            Some(_) => [before, None],
            None => [record.recorded, record.expect],
        };
        let mut said = said.into_iter().flatten().peekable();
        Self {
            record: number,
            verdict,
            egress,
            ingress,
            recorded: record.recorded,
            expect: record.expect,
            before,
            agrees: said
                .peek()
                .is_some()
                .then(|| said.all(|word| word == verdict)),
            incomplete,
        }
    }

    /// The verdict of an answer to a record: that of the side that is asked.
    pub(super) fn verdict(record: &Record<'_>, answer: Answer<'_>) -> Word {
        match record.direction {
            None => answer.verdict,
            Some(Side::Egress) => answer.egress.verdict,
            Some(Side::Ingress) => answer.ingress.verdict,
        }
    }

    /// The rules that decide.
    pub(super) fn rule_ids(&self) -> impl Iterator<Item = RuleId> + use<'a> {
        let sides = [self.egress, self.ingress];
        sides.into_iter().flatten().flat_map(SideAnswer::rule_ids)
    }

    /// Writes the reply for people.
    pub(super) fn write_text(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let protocol = record
            .protocol()
            .map_or_else(|_| String::new(), |protocol| port(record, protocol));
        let side = record.direction.map(|side| format!(" ({})", side.as_str()));
        let side = side.unwrap_or_default();
        let before = self.before.or(self.recorded).or(self.expect);
        let was = match (before, self.agrees) {
            (Some(before), Some(false)) => format!("  (was {before})"),
            (Some(_) | None, _) => String::new(),
        };
        let (number, verdict) = (self.record, self.verdict.as_str());
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "{number:>9}  {verdict:<8}  {} -> {}  {protocol}{side}{was}",
            record.src, record.dst
        );
    }

    /// What was recorded or expected, or is the verdict of the policies that are compared with, if the verdict is another.
    pub(super) fn differs_from(&self) -> Option<Word> {
        let differs = |word: &Word| *word != self.verdict;
        match self.before {
            Some(before) => Some(before).filter(differs),
            None => self
                .expect
                .filter(differs)
                .or(self.recorded.filter(differs)),
        }
    }

    /// Where on a list of changes this one is.
    pub(super) fn note(
        &self,
        record: &Record<'_>,
        before: Word,
        changes: &mut Changes,
    ) -> Option<usize> {
        let protocol = record.protocol().ok()?;
        let carried = (protocol, record.port(protocol).ok(), record.icmp_type);
        let side = record.direction;
        let words = (before, self.verdict);
        changes.find_made_of((&record.src, &record.dst, carried, side, words), || {
            Change {
                src: record.src.to_string(),
                dst: record.dst.to_string(),
                port: port(record, protocol),
                side: side.map(Side::as_str),
                before,
                after: self.verdict,
            }
        })
    }

    /// Writes the reply and ends its line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_number(self.record, out);
        let word_of = |side: &SideAnswer| side.verdict;
        let words = [
            ("verdict", Some(self.verdict)),
            ("egress", self.egress.map(word_of)),
            ("ingress", self.ingress.map(word_of)),
            ("recorded", self.recorded),
            ("expect", self.expect),
            ("before", self.before),
        ];
        write_words(words, out);
        write_rest(
            self.agrees,
            &self.incomplete,
            [self.egress, self.ingress],
            out,
        );
    }
}

/// What a record carries, as ports are written.
pub(super) fn port(record: &Record<'_>, protocol: Protocol) -> String {
    match (&record.dport, record.icmp_type) {
        (Some(port), _) => format!("{port}/{protocol}"),
        (None, Some(kind)) => format!("{kind}/{protocol}"),
        (None, None) => protocol.to_string(),
    }
}

/// Writes verdicts.
pub(super) fn write_words<const N: usize>(words: [(&str, Option<Word>); N], out: &mut Vec<u8>) {
    for (name, word) in words {
        if let Some(word) = word {
            write_field(name, out);
            out.push(b'"');
            out.extend_from_slice(word.as_str().as_bytes());
            out.push(b'"');
        }
    }
}

/// Writes what stands behind the verdicts, and ends the line.
pub(super) fn write_rest<S: serde::Serialize>(
    agrees: Option<bool>,
    incomplete: &[S],
    sides: [Option<&SideAnswer>; 2],
    out: &mut Vec<u8>,
) {
    if let Some(agrees) = agrees {
        write_field("agrees", out);
        out.extend_from_slice(if agrees { b"true" } else { b"false" });
    }
    if !incomplete.is_empty() {
        write_field("incomplete", out);
        write_json(incomplete, out);
    }
    let auth = auth(sides);
    if !auth.is_empty() {
        write_field("auth", out);
        write_json(&auth, out);
    }
    write_field("rules", out);
    out.push(b'[');
    let rules = sides
        .into_iter()
        .flatten()
        .map(|side| side.rules.as_bytes());
    let mut rules = rules.filter(|rules| !rules.is_empty());
    if let Some(first) = rules.next() {
        out.extend_from_slice(first);
    }
    for more in rules {
        out.push(b',');
        out.extend_from_slice(more);
    }
    out.extend_from_slice(b"]}\n");
}

/// What the ends must prove to the sides that were asked, each once.
fn auth(sides: [Option<&SideAnswer>; 2]) -> Vec<String> {
    let sides = sides.into_iter().flatten();
    let mut asked: Vec<Auth> = sides.filter_map(SideAnswer::auth).collect();
    asked.sort_unstable();
    asked.dedup();
    asked.iter().map(Auth::to_string).collect()
}

/// Writes the reply to a record that has no answer.
pub(super) fn write_unanswered(record: u64, error: &str, out: &mut Vec<u8>) {
    write_number(record, out);
    write_field("error", out);
    write_json(error, out);
    out.extend_from_slice(b"}\n");
}

pub(super) fn write_number(record: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"record\":");
    write_json(&record, out);
}

pub(super) fn write_field(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

pub(super) fn write_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and neither does making text of these values.
    let _ = serde_json::to_writer(out.by_ref(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::report::PolicyName;
    use crate::trace::{Reply, ReplyRule};

    fn rule(name: &str) -> ReplyRule {
        ReplyRule {
            policy: PolicyName {
                kind: "NetworkPolicy".into(),
                namespace: Some("shop".into()),
                name: name.into(),
            },
            rule: "spec.ingress[0]".into(),
            action: "allow".into(),
            file: "a \"b\".yaml".into(),
            line: 7,
        }
    }

    fn side(verdict: Word, rules: &[ReplyRule]) -> SideAnswer {
        let texts: Vec<String> = rules
            .iter()
            .map(|rule| serde_json::to_string(rule).unwrap())
            .collect();
        let auth = rules.first().map(|_| Auth::Required);
        SideAnswer::of_rules(verdict, &texts.join(","), auth)
    }

    #[test]
    fn what_is_written_is_the_reply() {
        let rules = [vec![], vec![rule("one")], vec![rule("two"), rule("three")]];
        let records = [
            r#"{"src":"a","dst":"b","protocol":6}"#,
            r#"{"src":"a","dst":"b","protocol":6,"direction":"egress","expect":"deny"}"#,
            r#"{"src":"a","dst":"b","protocol":6,"direction":"ingress","recorded":"allow"}"#,
            r#"{"src":"a","dst":"b","protocol":6,"recorded":"allow","expect":"deny"}"#,
        ];
        for record in records {
            for (out, inward) in rules
                .iter()
                .flat_map(|out| rules.iter().map(move |inward| (out, inward)))
            {
                for incomplete in [vec![], vec!["a \"note\"", "another"]] {
                    check(
                        &serde_json::from_str(record).unwrap(),
                        out,
                        inward,
                        &incomplete,
                    );
                }
            }
        }
    }

    fn check(record: &Record<'_>, out: &[ReplyRule], inward: &[ReplyRule], incomplete: &[&str]) {
        let (egress, ingress) = (side(Word::Allow, out), side(Word::Deny, inward));
        let answer = Answer {
            verdict: Word::Deny,
            egress: &egress,
            ingress: &ingress,
        };
        let mut written = Vec::new();
        Shown::new(1_000, record, (answer, incomplete.to_vec()), None).write(&mut written);
        let asked = |side| record.direction.is_none_or(|asked| asked == side);
        let (outward, inbound) = (asked(Side::Egress), asked(Side::Ingress));
        let verdict = if inbound { Word::Deny } else { Word::Allow };
        let said = [record.recorded, record.expect];
        let rules = out.iter().filter(|_| outward);
        let rules: Vec<ReplyRule> = rules
            .chain(inward.iter().filter(|_| inbound))
            .cloned()
            .collect();
        let reply = Reply {
            record: 1_000,
            time: None,
            src: None,
            dst: None,
            port: None,
            state: None,
            older: false,
            passed_over: None,
            before: None,
            verdict: Some(verdict),
            egress: outward.then_some(Word::Allow),
            ingress: inbound.then_some(Word::Deny),
            recorded: record.recorded,
            expect: record.expect,
            agrees: (said != [None, None])
                .then(|| said.iter().flatten().all(|word| *word == verdict)),
            auth: rules
                .first()
                .map(|_| Auth::Required.to_string())
                .into_iter()
                .collect(),
            incomplete: incomplete.iter().map(|&text| text.to_owned()).collect(),
            rules: Some(rules),
            error: None,
        };
        let expected = serde_json::to_string(&reply).unwrap() + "\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn what_is_written_without_an_answer_is_the_reply() {
        let mut written = Vec::new();
        write_unanswered(3, "line 4: \"x\"", &mut written);
        let reply = Reply {
            record: 3,
            time: None,
            src: None,
            dst: None,
            port: None,
            state: None,
            older: false,
            passed_over: None,
            before: None,
            verdict: None,
            egress: None,
            ingress: None,
            recorded: None,
            expect: None,
            agrees: None,
            incomplete: Vec::new(),
            auth: Vec::new(),
            rules: None,
            error: Some("line 4: \"x\"".into()),
        };
        let expected = serde_json::to_string(&reply).unwrap() + "\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
