//! Diagnostics about a whole cluster, few enough to be read: a hundred thousand pods give no hundred thousand
//! notes.
//!
//! [`Report::add`] is for what must be seen one by one, up to [`MOST_OF_A_KIND`]; a [`Tally`] is one note about
//! many things.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use std::collections::BTreeMap;

/// How many diagnostics of one code are given in full: more are a systematic fault, and counted.
const MOST_OF_A_KIND: usize = 20;

/// How many things a [`Tally`] names.
const MOST_EXAMPLES: usize = 3;

#[derive(Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
    counts: BTreeMap<&'static str, (&'static Code, usize)>,
}

impl Report {
    /// Adds a diagnostic, or counts it where there are enough of its code.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        let code = diagnostic.code;
        let (_, count) = self.counts.entry(code.id).or_insert((code, 0));
        *count += 1;
        if *count <= MOST_OF_A_KIND {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Everything that was said, in the order in which it is shown.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        for (code, count) in self.counts.into_values() {
            if let Some(more @ 1..) = count.checked_sub(MOST_OF_A_KIND) {
                let message = format!("{}: {more} more like those before", code.title);
                self.diagnostics.push(Diagnostic::new(code, message));
            }
        }
        self.diagnostics
            .sort_by(|one, other| one.order().cmp(&other.order()));
        self.diagnostics
    }
}

/// Many things that call for one note.
#[derive(Default)]
pub(super) struct Tally {
    count: usize,
    examples: Vec<(String, Span)>,
}

impl Tally {
    /// Counts a thing; the first few are named.
    pub(super) fn add(&mut self, span: Span, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push((name(), span));
        }
    }

    /// One diagnostic about all of them, none where there are none. `one` and `many` say what is wrong, with
    /// the number in front of `many`.
    pub(super) fn report(
        self,
        code: &'static Code,
        one: &str,
        many: &str,
        help: &str,
    ) -> Option<Diagnostic> {
        let subject = match self.count {
            0 => return None,
            1 => one.to_owned(),
            count => format!("{count} {many}"),
        };
        let message = format!("{subject}: {}", self.names());
        let mut examples = self.examples.into_iter();
        let mut diagnostic = Diagnostic::new(code, message).help(help);
        if let Some((name, span)) = examples.next() {
            diagnostic = diagnostic.at(span, format!("`{name}`"));
        }
        for (name, span) in examples {
            diagnostic = diagnostic.related(span, format!("`{name}`"));
        }
        Some(diagnostic)
    }

    fn names(&self) -> String {
        let names: Vec<String> = self
            .examples
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        match self.count - self.examples.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

impl Extend<Diagnostic> for Report {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        diagnostics
            .into_iter()
            .for_each(|diagnostic| self.add(diagnostic));
    }
}
