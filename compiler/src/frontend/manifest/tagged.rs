//! The forms that the tags `!!binary` and `!!timestamp` demand of a scalar, as go-yaml v2 takes them.

use super::scalar::radix;

/// The bytes of padded base64 as text, each byte that is no UTF-8 replaced; line breaks are skipped.
pub(super) fn base64(text: &str) -> Option<String> {
    let mut digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let padded = digits.len();
    for _ in 0..2 {
        if digits.last() == Some(&b'=') {
            digits.pop();
        }
    }
    let mut bytes = Vec::with_capacity(padded / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | base64_digit(*digit)?;
        }
        let [_, one, two, three] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let whole = [one, two, three];
        bytes.extend(whole.into_iter().take(group.len() * 6 / 8));
    }
    let mut decoded = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        decoded.push_str(part.valid());
        decoded.extend(part.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Some(decoded)
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// The four forms that go-yaml takes for a timestamp.
pub(super) fn is_timestamp(text: &str) -> bool {
    timestamp(text).is_some()
}

fn timestamp(text: &str) -> Option<()> {
    let (year, rest) = text.split_at_checked(4)?;
    let year = radix(year, 10)?;
    let (month, rest) = one_or_two_digits(rest.strip_prefix('-')?)?;
    let (day, rest) = one_or_two_digits(rest.strip_prefix('-')?)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let zoned = rest.starts_with(['T', 't']);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    // Go skips further spaces where the form has one.
    let rest = if zoned {
        rest
    } else {
        rest.trim_start_matches(' ')
    };
    let (hour, rest) = one_or_two_digits(rest)?;
    let (minute, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    let (second, rest) = one_or_two_digits(rest.strip_prefix(':')?)?;
    let fraction = rest.strip_prefix(['.', ',']);
    let rest = match fraction {
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if rest.len() == fraction.len() {
                return None;
            }
            rest
        }
        None => rest,
    };
    let clock = hour < 24 && minute < 60 && second < 60;
    (clock
        && if zoned {
            is_zone(rest)
        } else {
            rest.is_empty()
        })
    .then_some(())
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        [b'Z'] => true,
        [
            b'+' | b'-',
            h1 @ b'0'..=b'9',
            h2 @ b'0'..=b'9',
            b':',
            m1 @ b'0'..=b'9',
            m2 @ b'0'..=b'9',
        ] => {
            let two = |tens: u8, ones: u8| (tens - b'0') * 10 + (ones - b'0');
            two(*h1, *h2) <= 24 && two(*m1, *m2) <= 60
        }
        _ => false,
    }
}

fn one_or_two_digits(text: &str) -> Option<(u64, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(count)?;
    Some((radix(digits, 10)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        assert_eq!(base64("aGVs\nbG8=").as_deref(), Some("hello"));
        assert_eq!(base64("/w==").as_deref(), Some("\u{FFFD}"));
        assert_eq!(base64("aGVsbG8"), None);
    }
}
