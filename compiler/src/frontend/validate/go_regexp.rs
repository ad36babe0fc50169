//! Whether Go's `regexp.Compile` takes an expression.
//!
//! Input: the text. Output: nothing, or what is wrong with it. Guarantee: the grammar is that of `regexp/syntax`
//! with its Perl flags, the limits on repetition and nesting included. Names of Unicode classes are not looked up:
//! any that could be one is taken.

use std::collections::HashSet;
use std::iter::Peekable;
use std::str::Chars;

/// The most that a repetition may count, those inside it multiplied.
const MOST_REPEATED: u32 = 1000;

/// How deep groups may be nested.
const MOST_NESTED: usize = 1000;

/// What is wrong with an expression, as half a sentence.
pub(super) type Fault = &'static str;

const POSIX_CLASSES: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Checks an expression.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    let mut parser = Parser {
        rest: text.chars().peekable(),
        groups: vec![Group::default()],
        names: HashSet::new(),
    };
    while let Some(sign) = parser.rest.next() {
        parser.sign(sign)?;
    }
    if parser.groups.len() > 1 {
        return Err("has a `(` that is not closed");
    }
    Ok(())
}

/// What is known of a group that is being read.
#[derive(Default)]
struct Group {
    /// How much the last item repeats what is in it; nothing where there is no item to repeat.
    last: Option<u32>,
    /// Whether the last item is a repetition.
    is_repetition: bool,
    /// The most that any item repeats.
    most: u32,
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
    groups: Vec<Group>,
    names: HashSet<String>,
}

impl Parser<'_> {
    fn sign(&mut self, sign: char) -> Result<(), Fault> {
        match sign {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.item(None);
                Ok(())
            }
            '*' | '+' | '?' => self.repeat(1),
            '{' => match self.count() {
                Some(count) => self.repeat(count?),
                None => {
                    self.item(Some(1));
                    Ok(())
                }
            },
            '[' => {
                self.class()?;
                self.item(Some(1));
                Ok(())
            }
            '\\' => self.escape(),
            _ => {
                self.item(Some(1));
                Ok(())
            }
        }
    }

    /// Takes an item that repeats its content so much, or a sign that leaves nothing to repeat.
    fn item(&mut self, repeated: Option<u32>) {
        if let Some(group) = self.groups.last_mut() {
            group.last = repeated;
            group.is_repetition = false;
            group.most = group.most.max(repeated.unwrap_or(0));
        }
    }

    fn repeat(&mut self, count: u32) -> Result<(), Fault> {
        self.rest.next_if_eq(&'?');
        let Some(group) = self.groups.last_mut() else {
            return Ok(());
        };
        let Some(inner) = group.last else {
            return Err("has a repetition with nothing in front of it");
        };
        if group.is_repetition {
            return Err("repeats a repetition");
        }
        let repeated = inner.saturating_mul(count.max(1));
        if repeated > MOST_REPEATED {
            return Err("repeats more than 1000 times");
        }
        group.last = Some(repeated);
        group.is_repetition = true;
        group.most = group.most.max(repeated);
        Ok(())
    }

    /// The greatest number in `{2}`, `{2,}` or `{2,3}`; nothing where the brace stands for itself.
    fn count(&mut self) -> Option<Result<u32, Fault>> {
        let mut ahead = self.rest.clone();
        let least = number(&mut ahead)?;
        let most = if ahead.next_if_eq(&',').is_none() {
            Some(least)
        } else if ahead.peek() == Some(&'}') {
            None
        } else {
            Some(number(&mut ahead)?)
        };
        ahead.next_if_eq(&'}')?;
        self.rest = ahead;
        let greatest = most.unwrap_or(least);
        if greatest > MOST_REPEATED || least > greatest {
            return Some(Err("has a repetition of an impossible size"));
        }
        Some(Ok(greatest))
    }

    fn open(&mut self) -> Result<(), Fault> {
        if self.rest.next_if_eq(&'?').is_some() && !self.flags()? {
            return Ok(());
        }
        self.groups.push(Group::default());
        if self.groups.len() > MOST_NESTED {
            return Err("nests groups too deeply");
        }
        Ok(())
    }

    /// What follows `(?`; says whether it opens a group.
    fn flags(&mut self) -> Result<bool, Fault> {
        const UNKNOWN: Fault = "has a group of a kind that Go does not know";
        if self.rest.next_if_eq(&'P').is_some() && self.rest.peek() != Some(&'<') {
            return Err(UNKNOWN);
        }
        if self.rest.next_if_eq(&'<').is_some() {
            return self.name().map(|()| true);
        }
        let (mut negated, mut counted) = (false, false);
        for sign in self.rest.by_ref() {
            match sign {
                'i' | 'm' | 's' | 'U' => counted = true,
                '-' if !negated => (negated, counted) = (true, false),
                ':' | ')' if negated && !counted => return Err(UNKNOWN),
                ':' => return Ok(true),
                ')' => return Ok(false),
                _ => return Err(UNKNOWN),
            }
        }
        Err("has a `(` that is not closed")
    }

    fn name(&mut self) -> Result<(), Fault> {
        let mut name = String::new();
        loop {
            match self.rest.next() {
                Some('>') => break,
                Some(sign) if sign.is_ascii_alphanumeric() || sign == '_' => name.push(sign),
                Some(_) | None => return Err("has a group with an invalid name"),
            }
        }
        if name.is_empty() || !self.names.insert(name) {
            return Err("has a group with an invalid name");
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        if self.groups.len() < 2 {
            return Err("has a `)` without its `(`");
        }
        let most = self.groups.pop().map_or(1, |group| group.most.max(1));
        self.item(Some(most));
        Ok(())
    }

    /// An escape outside of a class.
    fn escape(&mut self) -> Result<(), Fault> {
        match self.rest.peek() {
            Some('A' | 'b' | 'B' | 'z' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.rest.next();
            }
            Some('p' | 'P') => self.unicode_class()?,
            Some('Q') => {
                self.rest.next();
                self.literal();
                return Ok(());
            }
            Some(_) | None => {
                self.escaped()?;
            }
        }
        self.item(Some(1));
        Ok(())
    }

    /// Up to `\E`, everything stands for itself.
    fn literal(&mut self) {
        while let Some(sign) = self.rest.next() {
            if sign == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.item(Some(1));
        }
    }

    fn unicode_class(&mut self) -> Result<(), Fault> {
        const UNKNOWN: Fault = "names an unknown class of characters";
        self.rest.next();
        let is_name = |sign: &char| sign.is_ascii_alphabetic() || *sign == '_';
        if self.rest.next_if_eq(&'{').is_none() {
            return match self.rest.next() {
                Some('C' | 'L' | 'M' | 'N' | 'P' | 'S' | 'Z') => Ok(()),
                Some(_) | None => Err(UNKNOWN),
            };
        }
        self.rest.next_if_eq(&'^');
        let mut length = 0;
        while self.rest.next_if(is_name).is_some() {
            length += 1;
        }
        if length == 0 || self.rest.next() != Some('}') {
            return Err(UNKNOWN);
        }
        Ok(())
    }

    /// An escape that stands for one character.
    fn escaped(&mut self) -> Result<char, Fault> {
        const INVALID: Fault = "has an escape that Go does not know";
        let sign = self.rest.next().ok_or("ends in a `\\`")?;
        match sign {
            '0'..='7' => {
                let is_octal = |sign: &char| ('0'..='7').contains(sign);
                // One digit alone would refer back to a group, which Go cannot do.
                let more = self.rest.next_if(is_octal);
                if sign != '0' && more.is_none() {
                    return Err(INVALID);
                }
                let last = more.and_then(|_| self.rest.next_if(is_octal));
                let digits: String = [Some(sign), more, last].into_iter().flatten().collect();
                let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
                char::from_u32(code).ok_or(INVALID)
            }
            'x' => self.hexadecimal().ok_or(INVALID),
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            sign if sign.is_ascii() && !sign.is_ascii_alphanumeric() => Ok(sign),
            _ => Err(INVALID),
        }
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let mut digits = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                digits.push(digit);
            }
            self.rest.next_if_eq(&'}')?;
        } else {
            digits.extend([
                self.rest.next_if(char::is_ascii_hexdigit)?,
                self.rest.next_if(char::is_ascii_hexdigit)?,
            ]);
        }
        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
    }

    /// A class, behind its `[`.
    fn class(&mut self) -> Result<(), Fault> {
        const OPEN: Fault = "has a `[` that is not closed";
        self.rest.next_if_eq(&'^');
        let mut is_first = true;
        loop {
            let sign = self.rest.next().ok_or(OPEN)?;
            if sign == ']' && !is_first {
                return Ok(());
            }
            is_first = false;
            if sign == '[' && self.rest.peek() == Some(&':') && self.posix_class()? {
                continue;
            }
            let low = match sign {
                '\\' => match self.rest.peek() {
                    Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                        self.rest.next();
                        continue;
                    }
                    Some('p' | 'P') => {
                        self.unicode_class()?;
                        continue;
                    }
                    Some(_) | None => self.escaped()?,
                },
                sign => sign,
            };
            self.range(low)?;
        }
    }

    /// The rest of a range that starts with a character, if it is one.
    fn range(&mut self, low: char) -> Result<(), Fault> {
        let mut ahead = self.rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|sign| *sign != ']');
        if !is_range {
            return Ok(());
        }
        self.rest = ahead;
        let high = match self.rest.next() {
            Some('\\') => self.escaped()?,
            Some(sign) => sign,
            None => return Ok(()),
        };
        if high < low {
            return Err("has a range of characters in the wrong order");
        }
        Ok(())
    }

    /// `[:alpha:]` in a class; says whether there is one.
    fn posix_class(&mut self) -> Result<bool, Fault> {
        let text: String = self.rest.clone().collect();
        let Some((name, _)) = text.get(1..).and_then(|text| text.split_once(":]")) else {
            return Ok(false);
        };
        let plain = name.strip_prefix('^').unwrap_or(name);
        if !POSIX_CLASSES.contains(&plain) {
            return Err("names an unknown class of characters");
        }
        for _ in 0..name.chars().count() + 3 {
            self.rest.next();
        }
        Ok(true)
    }
}

/// The digits ahead as a number, unless there are none, or a zero in front of them.
fn number(rest: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let first = rest.next_if(char::is_ascii_digit)?.to_digit(10)?;
    let mut value = first;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        if first == 0 {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(digit.to_digit(10)?);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_is_taken() {
        for good in [
            "",
            "GET|POST",
            "/api/v[0-9]+/.*",
            "^/a$",
            "^*",
            "a{2}",
            "a{2,}",
            "a{2,3}?",
            "a{",
            "a{01}",
            "{2",
            "(?i)get",
            "(?i-s:a)",
            "(?P<x>a)(?<y>b)",
            "(?:a*)*",
            "()",
            "a|",
            "|a",
            "[]a]",
            "[^]a]",
            "[a-]",
            "[-a]",
            "[[:alpha:][:^digit:]]",
            "[[:]",
            r"[\d\-\]]",
            r"\Qa(b\E",
            r"\pL\p{Greek}\P{^Lu}",
            r"\x41\x{10FFFF}\012\0",
            r"\_\.\/",
            "}",
            "]",
            "(a{30}){33}",
            "é+",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for bad in [
            "(",
            ")",
            "(a",
            "a)",
            "*",
            "(*a)",
            "a|*",
            "a**",
            "a*??",
            "a{2}{3}",
            "{2}",
            "a{1001}",
            "a{3,2}",
            "(a{34}){30}",
            "[",
            "[]",
            "[z-a]",
            "[[:foo:]]",
            r"[a-\d]",
            r"\",
            r"\8",
            r"\1",
            r"\C",
            r"\y",
            r"\xg",
            r"\p{",
            r"\pX",
            "(?P=a)",
            "(?=a)",
            "(?<!a)",
            "(?i",
            "(?-)",
            "(?<a>b)(?<a>c)",
            "(?<>b)",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
