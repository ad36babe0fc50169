//! Whose differences are wanted.

use super::Diff;
use super::compare::Which;
use crate::diagnostic::Diagnostic;
use crate::hir::Direction;
use crate::list::Focus;

impl Diff<'_> {
    /// Whose connections are wanted: each text names someone on one side at least. Beside them notes on how the
    /// texts were understood.
    ///
    /// # Errors
    /// What is wrong with each of the texts that name nobody.
    pub fn focus(
        &self,
        texts: &[String],
        direction: Option<Direction>,
    ) -> Result<(Focus, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (mut all, mut notes, mut problems) = (Focus::nobody(direction), Vec::new(), Vec::new());
        for text in texts {
            let text = std::slice::from_ref(text);
            let old = Focus::of(&self.old, text, direction);
            let new = Focus::of(&self.new, text, direction);
            if let (Err(_), Err(of_new)) = (&old, &new) {
                problems.extend(of_new.iter().cloned());
            }
            for (which, found) in [(Which::Old, old), (Which::New, new)] {
                if let Ok((focus, said)) = found {
                    all.add(&focus.renamed(|peer| self.matching.both(which, peer)));
                    notes.extend(said.into_iter().filter(|_| which == Which::New));
                }
            }
        }
        if problems.is_empty() {
            Ok((all, notes))
        } else {
            Err(problems)
        }
    }
}
