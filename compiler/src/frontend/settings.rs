//! The settings that change verdicts: the text of `verdict.toml`, and single ones as `key=value`.
//!
//! Input: one text, with the file under which its spans go. Output: [`Settings`] and diagnostics with places.
//! Guarantee: a key or a value that is not known is an error, never ignored; a setting that stands in no text
//! has its documented default. Entries: [`Settings::read`] and [`Settings::set`]; [`Settings::without_effect`] once
//! all are read.

pub mod cilium;

use crate::cluster::HostNetwork;
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::Semantics;
use crate::source::{FileId, Span, to_u32};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys, each with what its value may be.
pub const KEYS: [(&str, &str); 4] = [
    (DIALECT, "`kubernetes` or `cilium`"),
    (CIDR_MATCHES_PODS, "`true` or `false`"),
    (HOST_NETWORK, "`pod` or `node`"),
    (CILIUM, "a table of Cilium's own options"),
];

const DIALECT: &str = "dialect";
const CIDR_MATCHES_PODS: &str = "cidr-matches-pods";
const HOST_NETWORK: &str = "host-network";
const CILIUM: &str = "cilium";

/// How alike a word must be to a known one to be taken for it, from 0 to 1.
const ALIKE: f64 = 0.7;

/// Whose implementation answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// What the Kubernetes API documents.
    #[default]
    Kubernetes,
    /// What Cilium's agent enforces.
    Cilium,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Cilium => "cilium",
        })
    }
}

/// The dialects that have a name but are not read by this version.
const LATER_DIALECTS: [&str; 2] = ["gke", "aws"];

/// The settings of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose implementation answers.
    pub dialect: Dialect,
    /// Whether a block of addresses matches pods; `None` leaves it to the dialect.
    pub cidr_matches_pods: Option<bool>,
    /// What NetworkPolicy takes pods on their nodes' networks for; `None` leaves it to the dialect.
    pub host_network: Option<HostNetwork>,
    /// Where a text takes them for pods.
    pub host_network_span: Option<Span>,
    /// The options of Cilium's agent.
    pub cilium: cilium::Options,
    /// Where the texts give such options.
    pub cilium_keys: Vec<(String, Span)>,
}

impl Settings {
    /// The switches for the engines: what is set, else the dialect's default.
    #[must_use]
    pub fn semantics(&self) -> Semantics {
        let default = match self.dialect {
            Dialect::Kubernetes => Semantics::default(),
            // Pods and nodes on their networks have identities of their own: a block matches neither.
            Dialect::Cilium => Semantics {
                cidr_matches_pods: false,
                host_network: HostNetwork::Node,
            },
        };
        Semantics {
            cidr_matches_pods: self.cidr_matches_pods.unwrap_or(default.cidr_matches_pods),
            // Cilium has no identity for a pod on the network of its node but that of the node.
            host_network: match self.dialect {
                Dialect::Kubernetes => self.host_network.unwrap_or(default.host_network),
                Dialect::Cilium => default.host_network,
            },
        }
    }

    /// Takes over what the text of a `verdict.toml` sets.
    pub fn read(&mut self, file: FileId, text: &str) -> Vec<Diagnostic> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut found: Vec<Diagnostic> = errors
            .iter()
            .map(|error| syntax_error(file, text, error))
            .collect();
        let reader = Reader { file, shift: 0 };
        for (key, value) in table.get_ref() {
            found.extend(reader.entry(self, key, value));
        }
        first_of_broken_lines(text, found)
    }

    /// Takes over one setting that is written as `key=value`. A value that is no TOML is a bare string.
    pub fn set(&mut self, file: FileId, text: &str) -> Vec<Diagnostic> {
        let Some((key, value)) = text.split_once('=') else {
            let span = Span::new(file, 0..to_u32(text.len()));
            return vec![
                Diagnostic::new(
                    &codes::SETTINGS_SYNTAX,
                    format!("`{text}` is not of the form `key=value`"),
                )
                .at(span, "no `=` in it")
                .help(format!("the settings are {}", key_list())),
            ];
        };
        let parsed = DeValue::parse(value).unwrap_or_else(|_| {
            Spanned::new(
                0..value.len(),
                DeValue::String(value.trim().to_owned().into()),
            )
        });
        let key = Spanned::new(0..key.len(), key.trim().to_owned().into());
        let shift = key.span().end + 1;
        let reader = Reader { file, shift };
        reader.entry(self, &key, &parsed)
    }

    /// What was set and has no effect in the dialect that came to be set.
    #[must_use]
    pub fn without_effect(&self) -> Vec<Diagnostic> {
        let pods = self.host_network == Some(HostNetwork::Pod);
        let keys = match self.dialect {
            Dialect::Kubernetes => self.cilium_keys.as_slice(),
            Dialect::Cilium => {
                let message = "pods on the network of their node are the node in the dialect `cilium`: Cilium has no other \
                               identity for them";
                let note = |span| {
                    Diagnostic::new(&codes::SETTING_IGNORED, message)
                        .at(span, "")
                        .field(HOST_NETWORK)
                };
                let span = self.host_network_span.filter(|_| pods);
                return span.map(note).into_iter().collect();
            }
        };
        let note = |(key, span): &(String, Span)| {
            let message = format!(
                "Cilium's options have no effect in the dialect `{}`",
                self.dialect
            );
            Diagnostic::new(&codes::SETTING_IGNORED, message)
                .at(*span, "")
                .field(&**key)
        };
        keys.iter().map(note).collect()
    }
}

/// Of a line that is no TOML the first error says enough: what follows it there is a guess.
fn first_of_broken_lines(text: &str, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let line = |one: &Diagnostic| {
        let start = one
            .label
            .as_ref()
            .map_or(0, |label| label.span.range().start);
        text.get(..start).unwrap_or(text).matches('\n').count()
    };
    found.sort_by(|one, other| one.order().cmp(&other.order()));
    let mut broken = BTreeSet::new();
    found.retain(|one| {
        if one.code == &codes::SETTINGS_SYNTAX {
            broken.insert(line(one))
        } else {
            !broken.contains(&line(one))
        }
    });
    found
}

fn syntax_error(file: FileId, text: &str, error: &toml::de::Error) -> Diagnostic {
    let range = error.span().unwrap_or(0..text.len());
    let message = error.message().lines().next().unwrap_or_default();
    Diagnostic::new(
        &codes::SETTINGS_SYNTAX,
        format!("the settings are not TOML: {message}"),
    )
    .at(span(file, range), "")
    .help("write one `key = value` a line, text in quotes: `dialect = \"kubernetes\"`")
}

fn span(file: FileId, range: Range<usize>) -> Span {
    Span::new(file, to_u32(range.start)..to_u32(range.end))
}

/// Where the entries of a text stand.
#[derive(Clone, Copy)]
struct Reader {
    file: FileId,
    /// What is added to the place of a value.
    shift: usize,
}

type Key<'t> = Spanned<std::borrow::Cow<'t, str>>;

impl Reader {
    fn key_span(self, key: &Key<'_>) -> Span {
        span(self.file, key.span())
    }

    fn value_span(self, value: &Spanned<DeValue<'_>>) -> Span {
        let range = value.span();
        span(self.file, range.start + self.shift..range.end + self.shift)
    }

    fn entry(
        self,
        settings: &mut Settings,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<Diagnostic> {
        match &**key.get_ref() {
            DIALECT => match self.dialect(value) {
                Ok(dialect) => settings.dialect = dialect,
                Err(error) => return vec![*error],
            },
            CIDR_MATCHES_PODS => match value.get_ref().as_bool() {
                Some(switch) => settings.cidr_matches_pods = Some(switch),
                None => return vec![self.no_switch(value)],
            },
            HOST_NETWORK => match value.get_ref().as_str() {
                Some("pod") => {
                    settings.host_network = Some(HostNetwork::Pod);
                    settings.host_network_span = Some(self.key_span(key));
                }
                Some("node") => settings.host_network = Some(HostNetwork::Node),
                Some(other) => {
                    let meant = closest(other, ["pod", "node"]);
                    return vec![self.wrong_value(HOST_NETWORK, value, meant)];
                }
                None => return vec![self.wrong_value(HOST_NETWORK, value, None)],
            },
            CILIUM => return self.cilium_table(settings, key, value),
            unknown => match unknown.strip_prefix("cilium.") {
                Some(name) => {
                    let place = (unknown.to_owned(), self.key_span(key));
                    settings.cilium_keys.push(place);
                    return self
                        .cilium(settings, name, key, value)
                        .into_iter()
                        .collect();
                }
                None => return vec![self.unknown_key(unknown, key)],
            },
        }
        Vec::new()
    }

    fn cilium_table(
        self,
        settings: &mut Settings,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<Diagnostic> {
        let Some(table) = value.get_ref().as_table() else {
            return vec![self.wrong_value(CILIUM, value, None)];
        };
        let place = (CILIUM.to_owned(), self.key_span(key));
        settings.cilium_keys.push(place);
        // The place of a key inside counts from the value's text, as that of the value does.
        let options = table.iter().filter_map(|(key, value)| {
            let span = key.span().start + self.shift..key.span().end + self.shift;
            let key = Spanned::new(span, key.get_ref().clone());
            self.cilium(settings, &key.get_ref().clone(), &key, value)
        });
        options.collect()
    }

    /// One of Cilium's options.
    fn cilium(
        self,
        settings: &mut Settings,
        name: &str,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Diagnostic> {
        let field = format!("{CILIUM}.{name}");
        let Some(option) = cilium::described(name) else {
            return Some(self.unknown_option(name, key).field(field));
        };
        let text = text_of(value.get_ref());
        let taken = text
            .as_deref()
            .and_then(|text| settings.cilium.give(name, text, cilium::Origin::Settings));
        if taken.is_some() {
            return None;
        }
        let diagnostic = option.wrong_value(text.as_deref().unwrap_or("a table"));
        Some(diagnostic.at(self.value_span(value), "").field(field))
    }

    fn unknown_option(self, name: &str, key: &Key<'_>) -> Diagnostic {
        let alike = name.replace('_', "-").to_lowercase();
        let known = cilium::ALL.iter().map(|option| option.name);
        let help = match closest(&alike, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "the book lists the options under `Settings`".to_owned(),
        };
        Diagnostic::new(
            &codes::UNKNOWN_SETTING,
            format!("`{name}` is no option of Cilium that changes what policies mean"),
        )
        .at(self.key_span(key), "not a setting")
        .help(help)
    }

    fn dialect(self, value: &Spanned<DeValue<'_>>) -> Result<Dialect, Box<Diagnostic>> {
        match value.get_ref().as_str() {
            Some("kubernetes") => Ok(Dialect::Kubernetes),
            Some("cilium") => Ok(Dialect::Cilium),
            Some(later) if LATER_DIALECTS.contains(&later) => Err(Box::new(
                Diagnostic::new(
                    &codes::DIALECT_NOT_READ,
                    format!("the dialect `{later}` is not read by this version of verdict"),
                )
                .at(self.value_span(value), "not read")
                .help("set `dialect` to `kubernetes` or `cilium`, or use a version that reads it")
                .field(DIALECT),
            )),
            Some(other) => {
                let known = ["kubernetes", "cilium"].into_iter().chain(LATER_DIALECTS);
                Err(Box::new(self.wrong_value(
                    DIALECT,
                    value,
                    closest(other, known),
                )))
            }
            None => Err(Box::new(self.wrong_value(DIALECT, value, None))),
        }
    }

    fn no_switch(self, value: &Spanned<DeValue<'_>>) -> Diagnostic {
        let mut diagnostic = self.wrong_value(CIDR_MATCHES_PODS, value, None);
        let text = value.get_ref().as_str().unwrap_or_default();
        match &*text.to_lowercase() {
            word @ ("true" | "false") => {
                diagnostic.message =
                    format!("`{CIDR_MATCHES_PODS}` takes `true` or `false`, not the text `{text}`");
                diagnostic.help(format!(
                    "write `{word}` in small letters and without quotes"
                ))
            }
            _ => diagnostic,
        }
    }

    fn wrong_value(
        self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        meant: Option<&str>,
    ) -> Diagnostic {
        let wanted = KEYS
            .iter()
            .find(|(known, _)| *known == key)
            .map_or("", |(_, wanted)| wanted);
        let given = match value.get_ref().as_str() {
            Some(text) => format!("`{text}`"),
            None => format!("a value of type {}", value.get_ref().type_str()),
        };
        let help = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write {wanted}"),
        };
        Diagnostic::new(
            &codes::SETTING_VALUE,
            format!("`{key}` takes {wanted}, not {given}"),
        )
        .at(self.value_span(value), "")
        .help(help)
        .field(key)
    }

    fn unknown_key(self, unknown: &str, key: &Key<'_>) -> Diagnostic {
        let alike = unknown.replace('_', "-").to_lowercase();
        let help = match closest(&alike, KEYS.map(|(known, _)| known)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the settings are {}", key_list()),
        };
        Diagnostic::new(
            &codes::UNKNOWN_SETTING,
            format!("there is no setting `{unknown}`"),
        )
        .at(self.key_span(key), "not a setting")
        .help(help)
        .field(unknown)
    }
}

/// A value as Cilium's own configuration, which knows texts only, would have it; nothing for tables.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| text_of(item.get_ref()));
            texts
                .collect::<Option<Vec<_>>>()
                .map(|texts| texts.join(","))
        }
        DeValue::Table(_) => None,
    }
}

impl cilium::Described {
    /// That a value is none of the option's; without a place.
    pub(in crate::frontend) fn wrong_value(&self, text: &str) -> Diagnostic {
        let meant = closest(text, self.words.iter().copied());
        let help = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write {}", self.wanted),
        };
        let message = format!("`{}` takes {}, not `{text}`", self.name, self.wanted);
        Diagnostic::new(&codes::SETTING_VALUE, message).help(help)
    }
}

fn key_list() -> String {
    KEYS.map(|(key, _)| format!("`{key}`")).join(", ")
}

fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id@start..end: message; help`, one a line.
    fn show(text: &str, found: &[Diagnostic]) -> String {
        let lines = found.iter().map(|one| {
            let at = one
                .label
                .as_ref()
                .map_or("-", |label| &text[label.span.range()]);
            let help = one.help.as_deref().unwrap_or("");
            format!("{} at `{at}`: {}; {help}", one.code.id, one.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn check(text: &str, expected: &str) -> Settings {
        let mut settings = Settings::default();
        let found = settings.read(FileId(0), text);
        assert_eq!(show(text, &found), expected, "{text}");
        settings
    }

    fn check_set(text: &str, expected: &str) -> Settings {
        let mut settings = Settings::default();
        let found = settings.set(FileId(0), text);
        assert_eq!(show(text, &found), expected, "{text}");
        settings
    }

    #[test]
    fn known_settings_are_taken_over() {
        let settings = check("dialect = \"kubernetes\"\ncidr-matches-pods = false\n", "");
        assert!(!settings.semantics().cidr_matches_pods);
        assert!(check("", "").semantics().cidr_matches_pods);
        assert!(
            !check_set("cidr-matches-pods=false", "")
                .semantics()
                .cidr_matches_pods
        );
        for (text, host_network) in [("pod", HostNetwork::Pod), ("node", HostNetwork::Node)] {
            let settings = check_set(&format!("host-network={text}"), "");
            assert_eq!(settings.semantics().host_network, host_network);
        }
        check_set("dialect=kubernetes", "");
        check_set("dialect=\"kubernetes\"", "");
    }

    #[test]
    fn whatever_is_wrong_has_a_place() {
        check(
            "cidr_matches_pods = true",
            "V0542 at `cidr_matches_pods`: there is no setting `cidr_matches_pods`; did you mean `cidr-matches-pods`?",
        );
        check_set(
            "DIALECT=kubernetes",
            "V0542 at `DIALECT`: there is no setting `DIALECT`; did you mean `dialect`?",
        );
        check(
            "xyz = 1",
            "V0542 at `xyz`: there is no setting `xyz`; the settings are `dialect`, `cidr-matches-pods`, `host-network`, `cilium`",
        );
        check(
            "cidr-matches-pods = 1",
            "V0543 at `1`: `cidr-matches-pods` takes `true` or `false`, not a value of type integer; write `true` or `false`",
        );
        check(
            "dialect = \"kubernets\"",
            "V0543 at `\"kubernets\"`: `dialect` takes `kubernetes` or `cilium`, not `kubernets`; did you mean `kubernetes`?",
        );
        check(
            "dialect = \"gke\"",
            "V0544 at `\"gke\"`: the dialect `gke` is not read by this version of verdict; set `dialect` to `kubernetes` or `cilium`, or use a version that reads it",
        );
        check(
            "[cilium]\nenable-polcy = \"always\"",
            "V0542 at `enable-polcy`: `enable-polcy` is no option of Cilium that changes what policies mean; did you mean `enable-policy`?",
        );
        check(
            "[cilium]\nenable-policy = \"alway\"\nenable-ipv6 = 6",
            "V0543 at `\"alway\"`: `enable-policy` takes `default`, `always` or `never`, not `alway`; did you mean `always`?\n\
             V0543 at `6`: `enable-ipv6` takes `true` or `false`, not `6`; write `true` or `false`",
        );
    }

    #[test]
    fn options_of_cilium_are_typed_and_the_last_text_wins() {
        let text = "dialect = \"cilium\"\n[cilium]\nversion = 1.19\nenable-ipv6 = false\n\
                    policy-cidr-match-mode = [\"nodes\"]\ncluster-id = 7\nenable-policy = \"always\"\n";
        let mut settings = check(text, "");
        assert_eq!(settings.dialect, Dialect::Cilium);
        assert!(!settings.semantics().cidr_matches_pods);
        assert_eq!(settings.cilium.version, cilium::Version::V1_19);
        assert!(!settings.cilium.enable_ipv6);
        assert!(settings.cilium.policy_cidr_match_mode.nodes);
        assert_eq!(settings.cilium.cluster_id, 7);
        assert_eq!(settings.set(FileId(0), "cilium.enable-policy=never"), []);
        assert_eq!(settings.cilium.enable_policy, cilium::EnablePolicy::Never);
        assert_eq!(settings.without_effect(), []);
        assert_eq!(settings.set(FileId(0), "host-network=pod"), []);
        assert_eq!(settings.semantics().host_network, HostNetwork::Node);
        assert_eq!(settings.without_effect().len(), 1);
        settings.dialect = Dialect::Kubernetes;
        let notes = settings.without_effect();
        assert_eq!(
            show(text, &notes[..1]),
            "V0545 at `cilium`: Cilium's options have no effect in the dialect `kubernetes`; "
        );
    }

    #[test]
    fn text_is_no_switch() {
        check(
            "cidr-matches-pods = \"true\"",
            "V0543 at `\"true\"`: `cidr-matches-pods` takes `true` or `false`, not the text `true`; write `true` in small letters and without quotes",
        );
        check_set(
            "cidr-matches-pods=False",
            "V0543 at `False`: `cidr-matches-pods` takes `true` or `false`, not the text `False`; write `false` in small letters and without quotes",
        );
    }

    #[test]
    fn a_broken_line_has_one_error() {
        const HELP: &str =
            "write one `key = value` a line, text in quotes: `dialect = \"kubernetes\"`";
        for (text, expected) in [
            (
                "[[[",
                "V0541 at ``: the settings are not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`",
            ),
            (
                "cidr-matches-pods = yes",
                "V0541 at `yes`: the settings are not TOML: string values must be quoted, expected literal string",
            ),
            (
                "cidr-matches-pods: true",
                "V0541 at `:`: the settings are not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`",
            ),
        ] {
            check(text, &format!("{expected}; {HELP}"));
        }
    }

    #[test]
    fn single_settings_are_checked_alike() {
        check_set(
            "dialect=gke",
            "V0544 at `gke`: the dialect `gke` is not read by this version of verdict; set `dialect` to `kubernetes` or `cilium`, or use a version that reads it",
        );
        check_set(
            "cidr-matches-pods=yes",
            "V0543 at `yes`: `cidr-matches-pods` takes `true` or `false`, not `yes`; write `true` or `false`",
        );
        check_set(
            "dialect",
            "V0541 at `dialect`: `dialect` is not of the form `key=value`; the settings are `dialect`, `cidr-matches-pods`, `host-network`, `cilium`",
        );
        check_set(
            "cilium.enable-policy=alway",
            "V0543 at `alway`: `enable-policy` takes `default`, `always` or `never`, not `alway`; did you mean `always`?",
        );
        check_set(
            "cilium.enable-polcy=always",
            "V0542 at `cilium.enable-polcy`: `enable-polcy` is no option of Cilium that changes what policies mean; did you mean `enable-policy`?",
        );
    }

    #[test]
    fn broken_text_does_not_hide_the_rest() {
        let mut settings = Settings::default();
        let found = settings.read(FileId(0), "dialect = \ncidr-matches-pods = false\n");
        assert_eq!(found[0].code.id, "V0541");
        assert_eq!(settings.cidr_matches_pods, Some(false));
    }
}
