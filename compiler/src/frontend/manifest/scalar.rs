//! What a scalar means: the resolver of go-yaml v2, and the key that sigs.k8s.io/yaml makes of it.
//!
//! Input: the text of a scalar and its tag. Output: a typed value. Guarantee: the same value that kubectl's
//! reader computes: YAML 1.1 booleans, `017` and `0o17` as octal numbers, `1_000`, no sexagesimal numbers,
//! timestamps left as text. Refused: a text that its tag does not allow. [`resolve`] is the entry.

use super::tagged::{base64, is_timestamp};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The value of a scalar. Text is what stands in the scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text,
    /// Base64 that was checked: its bytes are the text.
    Binary,
}

/// A tag, as far as the resolver tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// No tag on a plain scalar: the text decides.
    Implicit,
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    /// Any other: the scalar is text.
    Other,
}

impl Tag {
    /// The tag of a scalar event.
    pub(super) fn new(tag: Option<&str>, implicit: bool) -> Self {
        let Some(tag) = tag.filter(|tag| !tag.is_empty()) else {
            return if implicit { Self::Implicit } else { Self::Str };
        };
        match tag.strip_prefix("tag:yaml.org,2002:") {
            Some("str") => Self::Str,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("null") => Self::Null,
            Some("timestamp") => Self::Timestamp,
            Some("binary") => Self::Binary,
            _ => Self::Other,
        }
    }

    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Implicit | Self::Other => "!",
            Self::Str => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
            Self::Timestamp => "!!timestamp",
            Self::Binary => "!!binary",
        }
    }
}

/// The text is not of the type that its tag demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TagMismatch;

/// The value of a scalar.
///
/// # Errors
/// [`TagMismatch`] where the tag does not allow the text.
pub(super) fn resolve(tag: Tag, text: &str) -> Result<Scalar, TagMismatch> {
    match tag {
        Tag::Implicit => Ok(implicit(text)),
        Tag::Str | Tag::Other => Ok(Scalar::Text),
        Tag::Binary if base64(text).is_some() => Ok(Scalar::Binary),
        Tag::Timestamp if is_timestamp(text) => Ok(Scalar::Text),
        Tag::Binary | Tag::Timestamp => Err(TagMismatch),
        Tag::Bool | Tag::Int | Tag::Float | Tag::Null => match (tag, implicit(text)) {
            (Tag::Bool, value @ Scalar::Bool(_))
            | (Tag::Int, value @ (Scalar::Int(_) | Scalar::Uint(_)))
            | (Tag::Float, value @ Scalar::Float(_))
            | (Tag::Null, value @ Scalar::Null) => Ok(value),
            #[expect(clippy::cast_precision_loss, reason = "as kubectl rounds it")]
            (Tag::Float, Scalar::Int(value)) => Ok(Scalar::Float(value as f64)),
            _ => Err(TagMismatch),
        },
    }
}

fn implicit(text: &str) -> Scalar {
    match text.as_bytes() {
        [] => Scalar::Null,
        [b'+' | b'-' | b'.' | b'0'..=b'9', ..] => number(text),
        [
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~',
            ..,
        ] => word(text),
        _ => Scalar::Text,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Scalar::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let plain = if text.contains('_') {
        Cow::Owned(text.replace('_', ""))
    } else {
        Cow::Borrowed(text)
    };
    if text.starts_with('.') {
        if !underscores_between_digits(text) {
            return Scalar::Text;
        }
    } else if let Some(value) = integer(&plain) {
        return value;
    }
    float(&plain).map_or(Scalar::Text, Scalar::Float)
}

/// Go's rule for digit separators in a number without a base prefix.
fn underscores_between_digits(text: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'_', bytes).all(|at| {
        is_digit(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && is_digit(bytes.get(at + 1))
    })
}

/// A whole number of 64 bits: Go's `ParseInt` and `ParseUint` with base 0, and go-yaml's own `0b`, which
/// takes a sign behind the prefix.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)?),
        Some(b'+') => (false, text.get(1..)?),
        _ => (false, text),
    };
    let value = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => radix(digits.get(2..)?, 16),
        [b'0', b'o' | b'O', _, ..] => radix(digits.get(2..)?, 8),
        [b'0', b'b' | b'B', _, ..] => radix(digits.get(2..)?, 2),
        [b'0', _, ..] => radix(digits.get(1..)?, 8),
        _ => radix(digits, 10),
    };
    if let Some(value) = value {
        return if negative {
            0_i64.checked_sub_unsigned(value).map(Scalar::Int)
        } else if let Ok(value) = i64::try_from(value) {
            Some(Scalar::Int(value))
        } else {
            (!text.starts_with('+')).then_some(Scalar::Uint(value))
        };
    }
    let signed = text.strip_prefix("0b")?;
    let magnitude = i64::try_from(radix(signed.get(1..)?, 2)?).ok();
    match signed.as_bytes().first() {
        Some(b'+') => magnitude.map(Scalar::Int),
        Some(b'-') => 0_i64
            .checked_sub_unsigned(radix(signed.get(1..)?, 2)?)
            .map(Scalar::Int),
        _ => None,
    }
}

pub(super) fn radix(digits: &str, base: u32) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|digit| char::from(digit).is_digit(base));
    if all {
        u64::from_str_radix(digits, base).ok()
    } else {
        None
    }
}

/// A decimal number that a 64-bit float can hold.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Rust also takes `inf`, `nan` and `infinity`.
    let numeric = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let value = text.parse::<f64>().ok().filter(|_| numeric)?;
    value.is_finite().then_some(value)
}

/// What a float becomes on its way through JSON: whole numbers lose their point.
pub(super) fn through_json(value: f64) -> Scalar {
    if value.fract() == 0.0
        && value.abs() < 1e19
        && let Ok(whole) = value.to_string().parse()
    {
        return Scalar::Int(whole);
    }
    Scalar::Float(value)
}

/// The key that a scalar gives in a JSON object; none for null and for numbers above 64 signed bits.
pub(super) fn key(value: Scalar, text: &str) -> Option<Cow<'_, str>> {
    match value {
        Scalar::Text => Some(Cow::Borrowed(text)),
        Scalar::Bool(true) => Some(Cow::Borrowed("true")),
        Scalar::Bool(false) => Some(Cow::Borrowed("false")),
        Scalar::Int(value) => Some(Cow::Owned(value.to_string())),
        Scalar::Float(value) => Some(Cow::Owned(float_key(value))),
        Scalar::Binary => Some(Cow::Owned(base64(text)?)),
        Scalar::Null | Scalar::Uint(_) => None,
    }
}

/// Go's `FormatFloat(value, 'g', -1, 32)` with YAML's words for what is no number.
fn float_key(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "kubectl rounds keys to 32 bits"
    )]
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Why a plain scalar may mean something else to its author than to kubectl: the value in kubectl's reading,
/// where other readers (YAML 1.2's core schema) and most people read another one.
pub(super) fn surprise(value: Scalar, text: &str) -> Option<String> {
    let mut reading = String::new();
    match value {
        Scalar::Bool(value)
            if !matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") =>
        {
            let _ = write!(reading, "the boolean {value}");
        }
        Scalar::Int(value) if other_number(text, value) => {
            let _ = write!(reading, "the number {value}");
        }
        Scalar::Uint(_) | Scalar::Float(_) if text.contains('_') => reading.push_str("a number"),
        Scalar::Null
        | Scalar::Bool(_)
        | Scalar::Int(_)
        | Scalar::Uint(_)
        | Scalar::Float(_)
        | Scalar::Text
        | Scalar::Binary => return None,
    }
    Some(reading)
}

/// Whether YAML 1.2's core schema reads another value: it knows decimal numbers, `0o` and `0x`.
fn other_number(text: &str, value: i64) -> bool {
    let core = match text.as_bytes() {
        [b'0', b'o', ..] => text.get(2..).and_then(|digits| radix(digits, 8)),
        [b'0', b'x', ..] => text.get(2..).and_then(|digits| radix(digits, 16)),
        _ => return text.parse() != Ok(value),
    };
    core.is_none_or(|core| i64::try_from(core) != Ok(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Scalar) {
        let found = resolve(Tag::Implicit, text).unwrap();
        assert!(
            found == expected || format!("{found:?}") == format!("{expected:?}"),
            "{text}: {found:?}, not {expected:?}"
        );
    }

    #[test]
    fn plain_scalars_resolve_as_in_go_yaml() {
        use Scalar::{Bool, Float, Int, Null, Text, Uint};
        let table = [
            ("", Null),
            ("~", Null),
            ("NULL", Null),
            ("nULL", Text),
            ("y", Bool(true)),
            ("ON", Bool(true)),
            ("oN", Text),
            ("no", Bool(false)),
            ("017", Int(15)),
            ("0o17", Int(15)),
            ("0O17", Int(15)),
            ("0o", Text),
            ("08", Float(8.0)),
            ("00", Int(0)),
            ("0x1F", Int(31)),
            ("-0x1f", Int(-31)),
            ("0x", Text),
            ("0b11", Int(3)),
            ("0b-1", Int(-1)),
            ("0b+1", Int(1)),
            ("-0b-1", Text),
            ("0B-1", Text),
            ("1_000", Int(1000)),
            ("1_", Int(1)),
            ("_1", Text),
            ("+1", Int(1)),
            ("+", Text),
            ("-", Text),
            ("9223372036854775807", Int(i64::MAX)),
            ("-9223372036854775808", Int(i64::MIN)),
            ("9223372036854775808", Uint(1 << 63)),
            ("+9223372036854775808", Float(9_223_372_036_854_775_808.0)),
            ("-9223372036854775809", Float(-9_223_372_036_854_775_808.0)),
            ("0x10000000000000000", Text),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            (".1_0", Float(0.1)),
            (".1_", Text),
            ("._1", Text),
            (".74e81_", Text),
            ("1e3", Float(1000.0)),
            ("1e1000", Text),
            ("-.inf", Float(f64::NEG_INFINITY)),
            ("-.inf_", Text),
            (".nan", Float(f64::NAN)),
            ("inf", Text),
            ("-inf", Text),
            ("+nan", Text),
            (".", Text),
            ("1:30", Text),
            ("2001-01-01", Text),
            ("1.2.3.4", Text),
            ("<<", Text),
        ];
        for (text, expected) in table {
            check(text, expected);
        }
    }

    #[test]
    fn tags_demand_their_type() {
        let fits = |tag, text| resolve(tag, text).is_ok();
        assert!(fits(Tag::Timestamp, "2001-12-14t21:59:43.10-05:00"));
        assert!(fits(Tag::Timestamp, "2004-2-29 1:2:3"));
        assert!(!fits(Tag::Timestamp, "2001-2-29"));
        assert!(!fits(Tag::Timestamp, "2001-01-01T00:00:00"));
        assert!(!fits(Tag::Int, "3.0"));
        assert!(fits(Tag::Bool, "yes"));
        assert!(!fits(Tag::Binary, "%%"));
        assert_eq!(resolve(Tag::Float, "3"), Ok(Scalar::Float(3.0)));
    }

    #[test]
    fn keys_are_written_as_kubectl_writes_them() {
        let written = |text| key(implicit(text), text).map(Cow::into_owned);
        assert_eq!(written("1.10").as_deref(), Some("1.1"));
        assert_eq!(written("1e3").as_deref(), Some("1000"));
        assert_eq!(written("1e6").as_deref(), Some("1e+06"));
        assert_eq!(written("0.00001").as_deref(), Some("1e-05"));
        assert_eq!(written("16777217.0").as_deref(), Some("1.6777216e+07"));
        assert_eq!(written("1e300").as_deref(), Some(".inf"));
        assert_eq!(written("on").as_deref(), Some("true"));
        assert_eq!(written("~"), None);
        assert_eq!(written("9223372036854775808"), None);
    }

    #[test]
    fn surprises_are_readings_that_yaml_1_2_does_not_share() {
        let surprising = |text| surprise(implicit(text), text).is_some();
        for text in ["yes", "N", "017", "1_000", "0b11", "0O17", "-0x1f"] {
            assert!(surprising(text), "{text}");
        }
        for text in [
            "true", "False", "80", "007", "0x1F", "0o17", "1e3", "1.10", "+1",
        ] {
            assert!(!surprising(text), "{text}");
        }
    }
}
