//! What go-yaml's older scanner reads otherwise than libyaml.
//!
//! Input: the event of a scalar and its place. Output: nothing where both read the same; else how to let libyaml
//! read it as go-yaml does, or go-yaml's error.

use super::{Reader, Stop};
use crate::frontend::manifest::libyaml::ScalarEvent;
use std::ops::Range;

impl Reader<'_, '_> {
    /// go-yaml takes a lone `!` for a tag of its own, libyaml drops it.
    pub(super) fn has_bare_tag(&self, event: &ScalarEvent<'_>, start: usize, end: usize) -> bool {
        if event.tag.is_some() || !event.implicit {
            return false;
        }
        if !event.plain {
            return true;
        }
        let (at, rest) = self.behind_properties(start, &['&']);
        at < end && rest.starts_with('!')
    }

    /// The text behind the properties (`&` anchors, `!` tags) that start at an offset, and where it starts.
    fn behind_properties(&self, start: usize, signs: &[char]) -> (usize, &str) {
        let all = self.text.get(start..).unwrap_or("");
        let mut rest = all;
        while rest.starts_with(signs) {
            let property = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest = rest.get(property..).unwrap_or("").trim_start();
            while rest.starts_with('#') {
                let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
                rest = rest.get(line..).unwrap_or("").trim_start();
            }
        }
        (start + (all.len() - rest.len()), rest)
    }

    /// Stops where the two differ.
    pub(super) fn check_dialect(
        &self,
        event: &ScalarEvent<'_>,
        slice: Option<&Range<usize>>,
        start: usize,
        end: usize,
    ) -> Result<(), Stop> {
        let in_flow = self.flow_depth > 0;
        if event.plain && event.value.is_empty() {
            self.check_tag(in_flow, start, end)
        } else if event.plain && in_flow && event.value.contains(&b'?') {
            self.check_question_mark(slice, start, end)
        } else if !event.plain && slice.is_none() {
            self.check_escapes(start, end)
        } else {
            Ok(())
        }
    }

    fn check_tag(&self, in_flow: bool, start: usize, end: usize) -> Result<(), Stop> {
        let written = self.text.get(start..end).unwrap_or("");
        if in_flow && written.contains('!') && self.text.as_bytes().get(end) == Some(&b',') {
            let refused = self.error(
                end..end + 1,
                "a tag runs into a comma".to_owned(),
                "the comma is part of the tag",
                "put a space or a value in front of the comma",
            );
            return Err(Stop::Differs(end - self.base, refused));
        }
        Ok(())
    }

    fn check_question_mark(
        &self,
        slice: Option<&Range<usize>>,
        start: usize,
        end: usize,
    ) -> Result<(), Stop> {
        let behind = || self.behind_properties(start, &['&', '!']).0;
        let from = slice.map_or_else(behind, |slice| slice.start);
        let region = self.text.get(from..end).unwrap_or("");
        let mut later = region.char_indices().skip(1);
        let Some((at, _)) = later.find(|(_, sign)| *sign == '?') else {
            return Ok(());
        };
        Err(Stop::Refused(self.error(
            from + at..from + at + 1,
            "a `?` between brackets or braces".to_owned(),
            "did not find expected ',' or ']'",
            "quote the value",
        )))
    }

    /// In double quotes only libyaml knows `\/`.
    fn check_escapes(&self, start: usize, end: usize) -> Result<(), Stop> {
        let written = self.text.get(start..end).unwrap_or("");
        if !written.ends_with('"') {
            return Ok(());
        }
        let mut escapes = written.char_indices();
        while let Some((_, sign)) = escapes.next() {
            if sign == '\\'
                && let Some((at, '/')) = escapes.next()
            {
                return Err(Stop::Refused(self.error(
                    start + at - 1..start + at + 1,
                    "an escape that YAML does not know".to_owned(),
                    "found unknown escape character",
                    "write `/` without a backslash",
                )));
            }
        }
        Ok(())
    }
}
