//! What is said where the policies and an image disagree.

use std::fmt;

/// A flow about which the policies and the image disagree, or something else that the image says wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What kind of check found it.
    pub by: Check,
    /// The endpoint: `namespace/name`, or in words what stands for all.
    pub endpoint: Box<str>,
    /// What was asked, in words.
    pub question: Box<str>,
    /// What the policies, or the cluster, say.
    pub expected: Box<str>,
    /// What was found.
    pub found: Box<str>,
}

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Leaves stand for all ends that they are to stand for.
    Leaves,
    /// Who the endpoints are, and their addresses.
    Endpoints,
    /// Who each address is.
    Addresses,
    /// The class of each packet.
    Ports,
    /// What codes do, and after whom they are named.
    Codes,
    /// What the image carries for pods, addresses and names that come later.
    OpenWorld,
    /// What is decided.
    Decisions,
    /// What is decided about what an endpoint sends to itself by way of a service.
    Hairpins,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaves => "leaves",
            Self::Endpoints => "endpoints",
            Self::Addresses => "addresses",
            Self::Ports => "ports",
            Self::Codes => "codes",
            Self::OpenWorld => "open world",
            Self::Decisions => "decisions",
            Self::Hairpins => "hairpins",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by: _,
            endpoint,
            question,
            expected,
            found,
        } = self;
        write!(
            f,
            "{endpoint}, {question}: expected {expected}, found {found}"
        )
    }
}

/// What is found by a check that is about no endpoint in particular.
pub(super) fn general(
    by: Check,
    question: impl Into<Box<str>>,
    expected: impl Into<Box<str>>,
    found: impl Into<Box<str>>,
) -> Box<Mismatch> {
    Box::new(Mismatch {
        by,
        endpoint: "every endpoint".into(),
        question: question.into(),
        expected: expected.into(),
        found: found.into(),
    })
}
