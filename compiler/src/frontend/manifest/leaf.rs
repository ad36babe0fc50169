//! Puts scalars into the arena, as values and as keys.
//!
//! Input: what [`super::scalar`] makes of a text. Output: the node's kind; warnings where kubectl reads
//! something else than stands there. Refused: nothing; what JSON cannot hold is left to [`super::expand`].

use super::Kind;
use super::build::Builder;
use super::scalar::{self, Scalar};
use crate::diagnostic::{Diagnostic, codes};
use std::ops::Range;

impl Builder<'_> {
    pub(super) fn value_kind(&mut self, value: Scalar, written: &str, text: Kind) -> Kind {
        let value = if let Scalar::Float(float) = value {
            scalar::through_json(float)
        } else {
            value
        };
        match value {
            Scalar::Null => Kind::Null,
            Scalar::Bool(value) => Kind::Bool(value),
            Scalar::Int(value) => Kind::Int(value),
            Scalar::Uint(value) => Kind::Uint(value),
            Scalar::Float(value) => {
                self.raw.not_json |= !value.is_finite();
                Kind::Float(value)
            }
            Scalar::Text => text,
            Scalar::Binary => self.keep(super::tagged::base64(written).unwrap_or_default()),
        }
    }

    pub(super) fn key_kind(&mut self, value: Scalar, written: &str, text: Kind) -> Kind {
        match scalar::key(value, written) {
            Some(_) if value == Scalar::Text => text,
            Some(key) if key == written && matches!(text, Kind::Slice { .. }) => text,
            Some(key) => self.keep(key),
            None => {
                self.raw.not_json = true;
                if let Scalar::Uint(value) = value {
                    Kind::Uint(value)
                } else {
                    Kind::Null
                }
            }
        }
    }

    pub(super) fn report_key(&mut self, value: Scalar, written: &str, span: Range<usize>) {
        let Some(key) = scalar::key(value, written).filter(|key| key != written) else {
            return;
        };
        let span = self.span(span.start, span.end);
        self.warn(|| {
            Diagnostic::new(
                &codes::SURPRISING_KEY,
                format!("kubectl reads the key `{written}` as `{key}`"),
            )
            .at(span, format!("this is the key `{key}`"))
            .help(format!("quote it: `\"{written}\"`"))
        });
    }

    pub(super) fn report_value(&mut self, value: Scalar, written: &str, span: Range<usize>) {
        let Some(reading) = scalar::surprise(value, written) else {
            return;
        };
        // File modes are octal by custom: `defaultMode: 0644`.
        if matches!(self.current_key(), Some("mode" | "defaultMode")) {
            return;
        }
        let span = self.span(span.start, span.end);
        self.warn(|| {
            let plain = reading.rsplit(' ').next().unwrap_or("");
            let help = if plain == "number" {
                format!("quote it if text is meant: `\"{written}\"`")
            } else {
                format!("write `{plain}` if that is meant, or quote the text: `\"{written}\"`")
            };
            Diagnostic::new(
                &codes::SURPRISING_SCALAR,
                format!("kubectl reads `{written}` as {reading}"),
            )
            .at(span, format!("this is {reading}"))
            .help(help)
        });
    }
}
