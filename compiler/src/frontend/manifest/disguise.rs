//! Lets libyaml read what only go-yaml's older scanner reads.
//!
//! Input: a text, and the places where the two differ. Output: a text of the same length that libyaml reads
//! as go-yaml reads the first one, once [`Fed::restore`] has put back what was replaced. Refused: more than
//! [`MAX_DISGUISED`] such places; a text that already holds all the signs that could stand in.

use std::borrow::Cow;

pub(super) const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// The text as it is handed to libyaml: signs that it would take for something else than go-yaml does stand
/// in disguise, each as a sign of the same length that the text does not hold.
pub(super) struct Fed<'s> {
    pub(super) text: Cow<'s, str>,
    /// Stands for a byte order mark: go-yaml takes one within the text for text.
    mark: Option<char>,
    /// Stands for a colon in a plain scalar.
    colon: Option<char>,
    /// Whether the escape `\a` stands for `\'`, which only go-yaml knows.
    quote: bool,
    disguised: usize,
}

/// Each disguise costs reading the document anew.
const MAX_DISGUISED: usize = 64;

impl<'s> Fed<'s> {
    pub(super) fn new(body: &'s str) -> Self {
        let mut text = Cow::Borrowed(body);
        let mut mark = None;
        let mut encoded = [0; 4];
        let order_mark = BYTE_ORDER_MARK.encode_utf8(&mut encoded);
        if memchr::memmem::find(body.as_bytes(), order_mark.as_bytes()).is_some() {
            mark = ('\u{E000}'..'\u{E100}').find(|free| !body.contains(*free));
            if let Some(mark) = mark {
                text = Cow::Owned(body.replace(BYTE_ORDER_MARK, mark.encode_utf8(&mut [0; 4])));
            }
        }
        Self {
            text,
            mark,
            colon: None,
            quote: false,
            disguised: 0,
        }
    }

    /// Disguises the sign at an offset; false where that cannot be done.
    pub(super) fn disguise(&mut self, at: usize) -> bool {
        self.disguised += 1;
        let sign = self.text.get(at..).and_then(|rest| rest.chars().next());
        let disguise = match sign {
            Some(':') => {
                let free = |free: &char| free.is_alphabetic() && !self.text.contains(*free);
                self.colon = self.colon.or_else(|| ('A'..='z').find(free));
                self.colon
            }
            Some('\'') => {
                let bells = ["\\a", "\\x07", "\\u0007", "\\U00000007"];
                self.quote |= !bells.iter().any(|bell| self.text.contains(bell));
                self.quote.then_some('a')
            }
            // What stands in a tag with such signs does not matter: it is a tag that nothing knows.
            _ => Some('~'),
        };
        let Some(disguise) = disguise.filter(|_| self.disguised <= MAX_DISGUISED) else {
            return false;
        };
        let disguise = disguise.encode_utf8(&mut [0; 4]).to_owned();
        self.text.to_mut().replace_range(at..at + 1, &disguise);
        true
    }

    /// The value of a scalar without disguises.
    pub(super) fn restore<'v>(&self, value: &'v [u8]) -> Cow<'v, str> {
        let mut value = String::from_utf8_lossy(value);
        if let Some(mark) = self.mark
            && value.contains(mark)
        {
            value = Cow::Owned(value.replace(mark, "\u{FEFF}"));
        }
        if let Some(colon) = self.colon
            && value.contains(colon)
        {
            value = Cow::Owned(value.replace(colon, ":"));
        }
        if self.quote && value.contains('\u{7}') {
            value = Cow::Owned(value.replace('\u{7}', "'"));
        }
        value
    }
}
