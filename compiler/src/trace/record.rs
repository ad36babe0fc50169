//! One record of the native form.

use crate::cluster::Protocol;
use crate::cluster::peer::PortSpec;
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::spec::Verdict;
use schemars::JsonSchema;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A record: one line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record<'a> {
    /// Where the packet comes from: a peer.
    #[serde(borrow)]
    pub src: Cow<'a, str>,
    /// Where it goes: a peer.
    #[serde(borrow)]
    pub dst: Cow<'a, str>,
    /// The protocol: a name in any case, or its number.
    #[serde(borrow)]
    pub protocol: NumberOrText<'a>,
    /// The destination port: a number, or a name that the destination gives a port.
    #[serde(borrow, default)]
    pub dport: Option<NumberOrText<'a>>,
    /// The source port; no rule looks at it.
    #[serde(default)]
    pub sport: Option<u16>,
    /// The type of an ICMP packet.
    #[serde(rename = "type", default)]
    pub icmp_type: Option<u8>,
    /// The code of an ICMP packet.
    #[serde(default)]
    pub code: Option<u8>,
    /// The side that is asked; both where it is absent.
    #[serde(default)]
    pub direction: Option<Side>,
    /// When it was recorded: any text.
    #[serde(borrow, default)]
    pub time: Option<Cow<'a, str>>,
    /// What its author expects.
    #[serde(default)]
    pub expect: Option<Word>,
    /// What became of it.
    #[serde(default)]
    pub recorded: Option<Word>,
}

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The source's.
    Egress,
    /// The destination's.
    Ingress,
}

impl Side {
    /// The side in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// A verdict in a word.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It passes.
    Allow,
    /// It does not pass.
    Deny,
    /// It passes by way of a proxy.
    Redirect,
    /// It hangs on something that is not known.
    Depends,
}

impl Word {
    /// Every word, in their order.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::Redirect, Self::Depends];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Redirect => "redirect",
            Self::Depends => "depends",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Redirect => Self::Redirect,
            Verdict::Deny => Self::Deny,
            Verdict::Depends => Self::Depends,
        }
    }
}

/// A number, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberOrText<'a> {
    /// A number.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
}

impl fmt::Display for NumberOrText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for NumberOrText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTextVisitor)
    }
}

struct NumberOrTextVisitor;

impl<'de> Visitor<'de> for NumberOrTextVisitor {
    type Value = NumberOrText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number that is not negative, or a string")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(NumberOrText::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(NumberOrText::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(NumberOrText::Text(Cow::Owned(text.to_owned())))
    }
}

impl JsonSchema for NumberOrText<'_> {
    fn schema_name() -> Cow<'static, str> {
        "NumberOrText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["integer", "string"], "minimum": 0})
    }
}

/// The port of a record, its name not resolved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Port<'a> {
    /// None: not recorded, or the protocol has none.
    None,
    Number(u16),
    Name(&'a str),
}

fn senseless(message: String, help: &str) -> Diagnostic {
    Diagnostic::new(&codes::RECORD_VALUE, message).help(help)
}

impl Record<'_> {
    /// The protocol.
    pub(super) fn protocol(&self) -> Result<Protocol, Diagnostic> {
        let text = match &self.protocol {
            NumberOrText::Number(number) => {
                let number = u8::try_from(*number);
                return number.map(Protocol).map_err(|_| {
                    senseless(
                        format!("there is no protocol `{}`", self.protocol),
                        "a protocol's number is 0 to 255",
                    )
                });
            }
            NumberOrText::Text(text) => &**text,
        };
        match text {
            "TCP" | "tcp" => Ok(Protocol::TCP),
            "UDP" | "udp" => Ok(Protocol::UDP),
            "SCTP" | "sctp" => Ok(Protocol::SCTP),
            other => match PortSpec::parse(&format!("/{other}")) {
                Ok(PortSpec::Protocol(protocol)) => Ok(protocol),
                Ok(_) | Err(_) => Err(senseless(
                    format!("there is no protocol `{other}`"),
                    "write `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6` or a number from 0 to 255",
                )),
            },
        }
    }

    /// The port.
    pub(super) fn port(&self, protocol: Protocol) -> Result<Port<'_>, Diagnostic> {
        let Some(port) = &self.dport else {
            return Ok(Port::None);
        };
        if !protocol.has_ports() {
            return Err(senseless(
                format!("`dport` is {port}, but {protocol} has no ports"),
                "leave `dport` out; ICMP has `type` and `code`",
            ));
        }
        match port {
            NumberOrText::Number(number) => {
                u16::try_from(*number).map(Port::Number).map_err(|_| {
                    senseless(format!("there is no port {number}"), "a port is 0 to 65535")
                })
            }
            NumberOrText::Text(text) => Ok(match text.parse() {
                Ok(number) => Port::Number(number),
                Err(_) => Port::Name(text),
            }),
        }
    }

    /// Type and code.
    pub(super) fn icmp(&self, protocol: Protocol) -> Result<Option<(u8, u8)>, Diagnostic> {
        match (self.icmp_type, self.code) {
            (None, None) => Ok(None),
            (Some(_), _) | (None, Some(_))
                if !matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) =>
            {
                Err(senseless(
                    format!("{protocol} has neither `type` nor `code`"),
                    "leave them out, or write `ICMP` or `ICMPv6` as the protocol",
                ))
            }
            (Some(kind), code) => Ok(Some((kind, code.unwrap_or(0)))),
            (None, Some(_)) => Err(senseless(
                "`code` is given without `type`".into(),
                "add the ICMP type",
            )),
        }
    }
}
