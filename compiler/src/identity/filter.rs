//! Which labels of pods count: the rest is left out of identities, and no rule finds it.
//!
//! Input: patterns as Cilium's options `labels` and `label-prefix-file` write them. Guarantee: without any, the
//! default of `pkg/labelsfilter/filter.go`.

use super::source;

/// Patterns at the start of a key, in the words of [`Pattern`].
const INCLUDED: [&str; 6] = [
    "io.kubernetes.pod.namespace",
    "io.cilium.k8s.namespace.labels",
    "app.kubernetes.io",
    "io.cilium.k8s.policy.cluster",
    "io.cilium.k8s.policy.serviceaccount",
    "reserved:.*",
];

const IGNORED: [&str; 15] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    ".*beta.kubernetes.io",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
    "annotation.*",
    "etcd_node",
    "topology.kubernetes.io",
];

/// Which labels count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFilter {
    include: Vec<Pattern>,
    ignore: Vec<Pattern>,
    /// Whether a user names what counts: then nothing else does.
    is_list: bool,
}

impl Default for LabelFilter {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl LabelFilter {
    /// The default with patterns of a user: `[source:]start`, with `!` in front of the start for labels that do not count
    /// (`parseLabelPrefix` of `pkg/labelsfilter`).
    #[must_use]
    pub fn new(user: &[&str]) -> Self {
        let mut filter = Self {
            include: INCLUDED.into_iter().map(Pattern::new).collect(),
            ignore: IGNORED.into_iter().map(Pattern::new).collect(),
            is_list: false,
        };
        for pattern in user {
            let mut pattern = Pattern::new(pattern);
            match pattern.start.strip_prefix('!') {
                Some(ignored) => {
                    pattern.start = ignored.into();
                    filter.ignore.push(pattern);
                }
                None => {
                    filter.include.push(pattern);
                    filter.is_list = true;
                }
            }
        }
        filter
    }

    /// Whether a label counts: the longest pattern that includes it is longer than the shortest that ignores it,
    /// or neither has it and no user names what counts.
    #[must_use]
    pub fn keeps(&self, source: &str, key: &str) -> bool {
        let lengths = |patterns: &[Pattern]| -> Vec<usize> {
            let found = patterns.iter().filter_map(|one| one.matched(source, key));
            found.collect()
        };
        let included = lengths(&self.include).into_iter().max();
        let ignored = lengths(&self.ignore).into_iter().min();
        match (included, ignored) {
            (included, None) => included.is_some() || !self.is_list,
            (Some(included), Some(ignored)) => included > ignored,
            (None, Some(_)) => false,
        }
    }
}

/// The start of a key: a text in which `.` stands for any sign and `.*` for any signs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    source: Option<Box<str>>,
    start: Box<str>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let (source, start) = match text.split_once(':') {
            Some((source, start)) if source != source::ANY => (Some(source.into()), start),
            Some((_, start)) => (None, start),
            None => (None, text),
        };
        Self {
            source,
            start: start.into(),
        }
    }

    /// How much of the key it has.
    fn matched(&self, source: &str, key: &str) -> Option<usize> {
        let own = self.source.as_deref().is_none_or(|own| own == source);
        own.then(|| matched(self.start.as_bytes(), key.as_bytes()))?
    }
}

/// The length of the longest start of `key` that a pattern matches.
fn matched(pattern: &[u8], key: &[u8]) -> Option<usize> {
    match pattern {
        [] => Some(0),
        [b'.', b'*', rest @ ..] => {
            let ends = (0..=key.len()).rev();
            ends.filter_map(|skipped| Some(skipped + matched(rest, key.get(skipped..)?)?))
                .max()
        }
        [b'\\', sign, rest @ ..] | [sign, rest @ ..] => {
            let (first, behind) = key.split_first()?;
            let any = pattern.first() == Some(&b'.');
            (any || first == sign).then(|| matched(rest, behind).map(|length| length + 1))?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: &[&str], key: &str, expected: bool) {
        assert_eq!(
            LabelFilter::new(user).keeps(source::K8S, key),
            expected,
            "{user:?} {key}"
        );
    }

    #[test]
    fn what_identifies_no_workload_is_left_out() {
        check(&[], "app", true);
        check(&[], "app.kubernetes.io/name", true);
        check(&[], "io.kubernetes.pod.namespace", true);
        check(&[], "io.kubernetes.pod.name", false);
        check(&[], "io.cilium.k8s.namespace.labels.team", true);
        check(&[], "kubernetes.io/hostname", false);
        check(&[], "beta.kubernetes.io/arch", false);
        check(&[], "node.beta.kubernetes.io/arch", false);
        check(&[], "pod-template-hash", false);
        check(&[], "pod-template", true);
        check(&[], "statefulset.kubernetes.io/pod-name", false);
        check(&[], "topology.kubernetes.io/zone", false);
    }

    #[test]
    fn a_user_who_names_labels_names_all_that_count() {
        check(&["k8s:team"], "team", true);
        check(&["k8s:team"], "app", false);
        check(&["k8s:team"], "io.kubernetes.pod.namespace", true);
        check(&["other:team"], "team", false);
        check(&["!team"], "team", false);
        check(&["!team"], "app", true);
        check(&["k8s:!team"], "team", false);
        check(&["k8s:!team"], "app", true);
        check(&["other:!team"], "team", true);
        check(
            &["pod-template-hash-of-mine"],
            "pod-template-hash-of-mine",
            true,
        );
    }
}
