//! Locks whose holders never panic: what they guard is as good as ever where one was left by a thread that did.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a lock guards.
pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
