//! How files are packed, by their first bytes: in one place for all who read files.

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Packed {
    /// How a file is packed that begins with these bytes, of which at least four are needed; `None` where it is not packed.
    pub(crate) fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            // A frame, or one that is to be skipped.
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Self::Zstd),
            [0xFD, b'7', b'z', b'X', ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The name of the format.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// The program that unpacks it.
    pub(crate) fn unpacker(self) -> &'static str {
        match self {
            Self::Gzip => "gunzip",
            Self::Zstd => "unzstd",
            Self::Xz => "unxz",
            Self::Bzip2 => "bunzip2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_from_text() {
        let of = |text: &str| Packed::of(text.as_bytes());
        assert_eq!([of(""), of("BZ"), of("BZhm: 1"), of("P*M: 1")], [None; 4]);
        assert_eq!(of("BZh91AY&SY"), Some(Packed::Bzip2));
        assert_eq!(Packed::of(b"\x5A\x2A\x4D\x18"), Some(Packed::Zstd));
    }
}
