//! Templates that were given in place of what they render to.
//!
//! A template in a plain value is mostly no YAML; in quotes it is a string, and whatever refuses that string is
//! told with the remedy for templates.

/// How a template becomes a manifest.
pub(super) const REMEDY: &str = "this looks like a template: render it first (`helm template`)";

/// Whether a text, or what is said about it, holds a placeholder of Helm's.
pub(super) fn is_in(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), b"{{").is_some()
}
