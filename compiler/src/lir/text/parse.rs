//! From a text to its program.

use crate::cluster::Protocol;
use crate::hir::{Auth, PerDirection, PolicyId, RuleId};
use crate::lir::transport::key;
use crate::lir::{
    Action, Asks, Chain, ChainId, ClassId, CodeId, Decision, Endpoint, Level, Match, Origin,
    PortClassId, PortsId, Program, RemotesId, RowId, Rule, RuleChain, Table, ToItself,
};
use crate::ranges::Ranges;
use std::fmt;
use std::str::SplitWhitespace;

/// A line that is none of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
    /// What would be right.
    pub expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            text,
            expected,
        } = self;
        write!(f, "line {line}: `{text}`: expected {expected}")
    }
}

/// The most leaves that a text may announce.
const MAX_LEAVES: u32 = 1 << 24;

/// Reads a program. It is well formed only if [`check`](super::super::check::check) says so.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    let mut reader = Reader::default();
    for (line, index) in text.lines().zip(1..) {
        let code = line.split_once('#').map_or(line, |(code, _)| code);
        let mut words = Words {
            rest: code.split_whitespace(),
        };
        let Some(first) = words.rest.next() else {
            continue;
        };
        let read = reader
            .line(first, &mut words)
            .and_then(|()| match words.rest.next() {
                None => Ok(()),
                Some(_) => Err("the end of the line"),
            });
        read.map_err(|expected| ParseError {
            line: index,
            text: line.trim().to_owned(),
            expected,
        })?;
    }
    Ok(reader.program)
}

type Read<T> = Result<T, &'static str>;

/// Where rules go.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Nowhere,
    Admin,
    Namespace,
    Baseline,
}

#[derive(Default)]
struct Reader {
    program: Program,
    place: Place,
}

impl Reader {
    fn line(&mut self, first: &str, words: &mut Words<'_>) -> Read<()> {
        let program = &mut self.program;
        match first {
            "leaves" => {
                let count: u32 = words.number("the number of leaves")?;
                if count > MAX_LEAVES {
                    return Err("fewer leaves");
                }
                program.leaves = vec![ClassId(0); count as usize];
            }
            "classes" => program.classes = words.number("the number of classes")?,
            "class" => self.class(words)?,
            "own-node" => program.own_node = words.members()?,
            "unasked" => program.unasked = words.members()?,
            "either" => {
                let open = ClassId(words.id("c", "a class, such as `c0`")?);
                words.word("=", "`=`")?;
                let classes = words.runs()?.into_iter().map(ClassId).collect();
                program.either.push((open, classes));
            }
            "port-classes" => program.port_classes = words.number("the number of classes")?,
            "keys" => {
                let start = words.key()?;
                let class = words.id("k", "a class of keys, such as `k0`")?;
                program.transports.push((start, PortClassId(class)));
            }
            "remotes" => {
                words.set("s", program.remotes.len())?;
                program.remotes.push(words.members()?);
            }
            "ports" => {
                words.set("t", program.ports.len())?;
                program.ports.push(words.members()?);
            }
            "chain" => {
                words.next_id("chain", program.chains.len())?;
                program.chains.push(Chain::Rules(RuleChain::default()));
                self.place = Place::Nowhere;
            }
            "table" => {
                words.next_id("chain", program.chains.len())?;
                let table = Table {
                    rows: Vec::new(),
                    hairpin: Vec::new(),
                };
                program.chains.push(Chain::Table(table));
            }
            "rows" | "hairpin" => {
                let rows = words.runs()?.into_iter().map(RowId).collect();
                let Some(Chain::Table(table)) = program.chains.last_mut() else {
                    return Err("a table in front of its rows");
                };
                match first {
                    "rows" => table.rows = rows,
                    _ => table.hairpin = rows,
                }
            }
            "admin" | "namespace" | "baseline" | "isolated" | "list" | "next-tier"
            | "keeps-own-node" | "skips-itself" | "itself-as-others" | "audits" => {
                self.part(first, words)?
            }
            "endpoint" => self.endpoint(words)?,
            other => self.numbered(other, words)?,
        }
        Ok(())
    }

    fn class(&mut self, words: &mut Words<'_>) -> Read<()> {
        let class = words.id("c", "a class, such as `c0`")?;
        words.word("=", "`=`")?;
        for (first, last) in words.members()?.iter() {
            let leaves = self.program.leaves.get_mut(first as usize..=last as usize);
            leaves.ok_or("leaves that exist")?.fill(ClassId(class));
        }
        Ok(())
    }

    fn chain(&mut self) -> Read<&mut RuleChain> {
        match self.program.chains.last_mut() {
            Some(Chain::Rules(chain)) => Ok(chain),
            Some(Chain::Table(_)) | None => Err("a chain in front of its parts"),
        }
    }

    fn part(&mut self, first: &str, words: &mut Words<'_>) -> Read<()> {
        let place = self.place;
        let chain = self.chain()?;
        match first {
            "admin" => {
                chain.admin.push(Level::default());
                self.place = Place::Admin;
            }
            "baseline" => {
                chain.baseline.push(Level::default());
                self.place = Place::Baseline;
            }
            "namespace" => self.place = Place::Namespace,
            "keeps-own-node" => chain.keeps_own_node = true,
            "skips-itself" => chain.to_itself = ToItself::Passes,
            "itself-as-others" => chain.to_itself = ToItself::AsOthers,
            "audits" => chain.audits = true,
            "next-tier" => {
                let level = match place {
                    Place::Admin => chain.admin.last_mut(),
                    Place::Baseline => chain.baseline.last_mut(),
                    Place::Nowhere | Place::Namespace => None,
                };
                level.ok_or("a tier in front of the next")?.ends_tier = true;
            }
            "isolated" => {
                let isolated_by = chain.isolated_by.get_or_insert_default();
                for word in words.rest.by_ref() {
                    let id = id(word, "p").ok_or("policies, such as `p0`")?;
                    isolated_by.push(PolicyId(id));
                }
            }
            _ => {
                let level = match place {
                    Place::Admin => chain.admin.last_mut(),
                    Place::Baseline => chain.baseline.last_mut(),
                    Place::Nowhere | Place::Namespace => None,
                };
                let level = level.ok_or("`admin` or `baseline` in front of a list")?;
                level.lists.push(Vec::new());
            }
        }
        Ok(())
    }

    fn endpoint(&mut self, words: &mut Words<'_>) -> Read<()> {
        let name = words.rest.next().ok_or("the name of the endpoint")?.into();
        let mut chain = |direction, expected| {
            words.word(direction, expected)?;
            words.id("chain", "a chain, such as `chain0`").map(ChainId)
        };
        let chains = PerDirection {
            ingress: chain("ingress", "`ingress`")?,
            egress: chain("egress", "`egress`")?,
        };
        self.program.endpoints.push(Endpoint { name, chains });
        Ok(())
    }

    /// A line that begins with an id: a code, a row or a rule.
    fn numbered(&mut self, first: &str, words: &mut Words<'_>) -> Read<()> {
        let program = &mut self.program;
        if let Some(index) = id(first, "code") {
            if index as usize != program.codes.len() {
                return Err("codes in order");
            }
            program.codes.push(words.decision()?);
            return Ok(());
        }
        if let Some(index) = id(first, "row") {
            if index as usize != program.rows.len() {
                return Err("rows in order");
            }
            let row = words.runs()?.into_iter().map(CodeId).collect();
            program.rows.push(row);
            return Ok(());
        }
        let origin = id(first, "r").ok_or("an item of a program")?;
        let rule = words.rule(RuleId(origin))?;
        let place = self.place;
        let chain = self.chain()?;
        let list = match place {
            Place::Admin => chain
                .admin
                .last_mut()
                .and_then(|level| level.lists.last_mut()),
            Place::Baseline => chain
                .baseline
                .last_mut()
                .and_then(|level| level.lists.last_mut()),
            Place::Namespace => Some(&mut chain.namespace),
            Place::Nowhere => None,
        };
        list.ok_or("a list in front of its rules")?.push(rule);
        Ok(())
    }
}

/// The number behind some letters.
fn id(word: &str, letters: &str) -> Option<u32> {
    word.strip_prefix(letters)?.parse().ok()
}

struct Words<'a> {
    rest: SplitWhitespace<'a>,
}

impl Words<'_> {
    fn number(&mut self, expected: &'static str) -> Read<u32> {
        let word = self.rest.next().ok_or(expected)?;
        word.parse().map_err(|_| expected)
    }

    fn word(&mut self, word: &str, expected: &'static str) -> Read<()> {
        let found = self.rest.next() == Some(word);
        found.then_some(()).ok_or(expected)
    }

    fn id(&mut self, letters: &str, expected: &'static str) -> Read<u32> {
        let word = self.rest.next().ok_or(expected)?;
        id(word, letters).ok_or(expected)
    }

    fn next_id(&mut self, letters: &str, count: usize) -> Read<()> {
        const EXPECTED: &str = "ids in order, from 0";
        let id = self.id(letters, EXPECTED)?;
        (id as usize == count).then_some(()).ok_or(EXPECTED)
    }

    fn set(&mut self, letters: &str, count: usize) -> Read<()> {
        self.next_id(letters, count)?;
        self.word("=", "`=`")
    }

    /// The rest of the line as members of a set.
    fn members(&mut self) -> Read<Ranges<u32>> {
        const EXPECTED: &str = "numbers and ranges, such as `3 5-9`";
        let mut ranges = Vec::new();
        for word in self.rest.by_ref() {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let range = first.parse().ok().zip(last.parse().ok()).ok_or(EXPECTED)?;
            ranges.push(range);
        }
        Ok(Ranges::new(ranges))
    }

    /// The rest of the line as numbers, each with how often it follows in a row.
    fn runs(&mut self) -> Read<Vec<u32>> {
        const EXPECTED: &str = "numbers, such as `3*12 4`";
        const MOST: usize = 1 << 24;
        let mut numbers = Vec::new();
        for word in self.rest.by_ref() {
            let (value, count) = word.split_once('*').unwrap_or((word, "1"));
            let value: u32 = value.parse().map_err(|_| EXPECTED)?;
            let count: usize = count.parse().map_err(|_| EXPECTED)?;
            if count > MOST - numbers.len() {
                return Err("fewer numbers");
            }
            numbers.extend(std::iter::repeat_n(value, count));
        }
        Ok(numbers)
    }

    /// The first of some keys.
    fn key(&mut self) -> Read<u32> {
        const EXPECTED: &str = "keys, such as `6/80-6/90`";
        let word = self.rest.next().ok_or(EXPECTED)?;
        let first = word.split('-').next().unwrap_or(word);
        let (protocol, value) = first.split_once('/').ok_or(EXPECTED)?;
        let protocol = protocol.parse().map_err(|_| EXPECTED)?;
        let value: u32 = value.parse().map_err(|_| EXPECTED)?;
        (value < 1 << 17)
            .then(|| key(Protocol(protocol), value))
            .ok_or(EXPECTED)
    }

    fn action(word: &str) -> Read<Action> {
        match word {
            "deny" => Ok(Action::Deny),
            "pass" => Ok(Action::Pass),
            "audit" => Ok(Action::Audit),
            "allow" => Ok(Action::Allow),
            other => {
                let mut parts = other.split(':');
                let action = match (parts.next(), parts.next(), parts.next()) {
                    (Some("redirect"), Some(listener), None) => {
                        listener.parse().ok().map(Action::Redirect)
                    }
                    (Some("prove"), Some(auth), Some(listener)) => {
                        let parts = auth_of(auth).zip(listener.parse().ok());
                        parts.map(|(auth, listener)| Action::Prove(auth, listener))
                    }
                    (_, _, _) => None,
                };
                action.filter(|_| parts.next().is_none()).ok_or("an action")
            }
        }
    }

    /// What a rule says of authentication, where anything is said of that.
    fn asks(&mut self) -> Read<Option<Asks>> {
        if self.rest.clone().next() != Some("asks") {
            return Ok(None);
        }
        self.word("asks", "`asks`")?;
        let width = self.rest.next().and_then(|width| width.parse().ok());
        let auth = match self.rest.next() {
            None => None,
            Some(word) => Some(auth_of(word).ok_or("a way to authenticate")?),
        };
        Ok(Some(Asks {
            width: width.ok_or("a number of ports")?,
            auth,
        }))
    }

    fn decision(&mut self) -> Read<Decision> {
        let action = Self::action(self.rest.next().ok_or("an action")?)?;
        let mut word = self.rest.next();
        let depends = word == Some("depends");
        if depends {
            word = self.rest.next();
        }
        let origin = match word {
            None => Origin::Nobody,
            Some(word) => id(word, "p")
                .map(|policy| Origin::Isolation(PolicyId(policy)))
                .or_else(|| id(word, "r").map(|rule| Origin::Rule(RuleId(rule))))
                .ok_or("a policy or a rule")?,
        };
        Ok(Decision {
            action,
            depends,
            origin,
        })
    }

    fn rule(&mut self, first: RuleId) -> Read<Rule> {
        let mut origins = vec![first];
        let action = loop {
            let word = self.rest.next().ok_or("an action")?;
            match id(word, "r") {
                Some(origin) => origins.push(RuleId(origin)),
                None => break Self::action(word)?,
            }
        };
        self.word("remotes", "`remotes`")?;
        let remotes = Match {
            yes: RemotesId(self.id("s", "a set, such as `s0`")?),
            maybe: RemotesId(self.id("s", "a set, such as `s0`")?),
        };
        self.word("ports", "`ports`")?;
        let ports = Match {
            yes: PortsId(self.id("t", "a set, such as `t0`")?),
            maybe: PortsId(self.id("t", "a set, such as `t0`")?),
        };
        Ok(Rule {
            origins,
            action,
            remotes,
            ports,
            asks: self.asks()?,
        })
    }
}

fn auth_of(word: &str) -> Option<Auth> {
    let all = [Auth::Disabled, Auth::Required, Auth::AlwaysFails];
    all.into_iter().find(|auth| auth.to_string() == word)
}
