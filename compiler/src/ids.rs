//! Ids: 32 bits wide, each a type of its own, so that none is taken for another.

/// Makes ids, `Name, "letters": "what it is the index of"`; where letters are given, they are how it is displayed.
macro_rules! ids {
    ($($name:ident $(, $letters:literal)?: $what:literal;)*) => {$(
        #[doc = concat!("The index of ", $what, ".")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        $(
            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, concat!($letters, "{}"), self.0)
                }
            }
        )?
    )*};
}

pub(crate) use ids;
