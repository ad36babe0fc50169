//! Progress of long work, on a terminal only.

use super::args::Global;
use super::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How often the picture changes.
const TICK: Duration = Duration::from_millis(200);

/// What is being done; disappears when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows what is being done, where that is wanted.
    #[must_use]
    pub(super) fn start(global: &Global, what: &'static str) -> Self {
        Self::shown(
            global,
            what,
            None,
            "{spinner} {msg} {human_pos} [{elapsed}]",
        )
    }

    /// Shows what is being done so many times.
    #[must_use]
    pub(super) fn of(global: &Global, what: &'static str, total: usize) -> Self {
        let picture = "{spinner} {msg} {human_pos} of {human_len} [{elapsed}]";
        Self::shown(global, what, Some(total as u64), picture)
    }

    fn shown(global: &Global, what: &'static str, total: Option<u64>, picture: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, target(global));
        if let Ok(style) = ProgressStyle::with_template(picture) {
            bar.set_style(style);
        }
        bar.set_message(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self { bar }
    }

    /// Counts one more.
    pub(super) fn count(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn target(global: &Global) -> ProgressDrawTarget {
    if output::shows_progress(global) {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}
