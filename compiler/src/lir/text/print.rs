//! From a program to its text.

use crate::lir::transport::{LAST, parts};
use crate::lir::{
    Action, Asks, Chain, CodeId, Decision, Level, Origin, Program, Rule, RuleChain, ToItself,
    number,
};
use crate::ranges::Ranges;
use std::fmt::{self, Display, Formatter, Write as _};

/// Prints a program.
#[must_use]
pub fn print(program: &Program) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(program, &mut out);
    out
}

fn write(program: &Program, out: &mut String) -> fmt::Result {
    writeln!(out, "leaves {}", program.leaves.len())?;
    writeln!(out, "classes {}", program.classes)?;
    for class in 0..program.classes {
        let members = program.leaves.iter().zip(0_u32..);
        let members = members.filter(|(of, _)| of.0 == class);
        let members = Ranges::new(members.map(|(_, leaf)| (leaf, leaf)).collect());
        writeln!(out, "class c{class} ={}", Members(&members))?;
    }
    for (open, classes) in &program.either {
        write!(out, "either {open} =")?;
        for class in classes {
            write!(out, " {}", class.0)?;
        }
        out.push('\n');
    }
    writeln!(out, "own-node{}", Members(&program.own_node))?;
    writeln!(out, "port-classes {}", program.port_classes)?;
    let ends = program
        .transports
        .iter()
        .skip(1)
        .map(|(start, _)| *start - 1);
    for ((start, class), last) in program.transports.iter().zip(ends.chain([LAST])) {
        writeln!(out, "keys {} {class}", Keys(*start, last))?;
    }
    if !program.unasked.is_empty() {
        writeln!(out, "unasked{}", Members(&program.unasked))?;
    }
    for (set, index) in program.remotes.iter().zip(0..) {
        writeln!(out, "remotes s{index} ={}", Members(set))?;
    }
    for (set, index) in program.ports.iter().zip(0..) {
        writeln!(out, "ports t{index} ={}", Members(set))?;
    }
    for (chain, index) in program.chains.iter().zip(0_u32..) {
        match chain {
            Chain::Rules(chain) => rules(chain, index, out)?,
            Chain::Table(table) => {
                writeln!(out, "table chain{index}")?;
                writeln!(
                    out,
                    "  rows{}",
                    Runs(table.rows.iter().map(|row| row.0).collect())
                )?;
                writeln!(
                    out,
                    "  hairpin{}",
                    Runs(table.hairpin.iter().map(|row| row.0).collect())
                )?;
            }
        }
    }
    for (code, index) in program.codes.iter().zip(0..) {
        writeln!(out, "{} {code}", CodeId(index))?;
    }
    for (row, index) in program.rows.iter().zip(0_u32..) {
        writeln!(
            out,
            "row{index}{}",
            Runs(row.iter().map(|code| code.0).collect())
        )?;
    }
    for endpoint in &program.endpoints {
        let chains = endpoint.chains;
        writeln!(
            out,
            "endpoint {} ingress {} egress {}",
            endpoint.name, chains.ingress, chains.egress
        )?;
    }
    Ok(())
}

fn rules(chain: &RuleChain, index: u32, out: &mut String) -> fmt::Result {
    writeln!(out, "chain chain{index}")?;
    levels("admin", &chain.admin, out)?;
    if chain.keeps_own_node {
        out.push_str("  keeps-own-node\n");
    }
    match chain.to_itself {
        ToItself::Asked => {}
        ToItself::Passes => out.push_str("  skips-itself\n"),
        ToItself::AsOthers => out.push_str("  itself-as-others\n"),
    }
    if chain.audits {
        out.push_str("  audits\n");
    }
    if let Some(policies) = &chain.isolated_by {
        out.push_str("  isolated");
        for policy in policies {
            write!(out, " {policy}")?;
        }
        out.push('\n');
    }
    if !chain.namespace.is_empty() {
        writeln!(out, "  namespace")?;
        list(&chain.namespace, out)?;
    }
    levels("baseline", &chain.baseline, out)
}

fn levels(tier: &str, levels: &[Level], out: &mut String) -> fmt::Result {
    for level in levels {
        writeln!(out, "  {tier}")?;
        for rules in &level.lists {
            writeln!(out, "  list")?;
            list(rules, out)?;
        }
        if level.ends_tier {
            out.push_str("  next-tier\n");
        }
    }
    Ok(())
}

fn list(rules: &[Rule], out: &mut String) -> fmt::Result {
    for rule in rules {
        write!(out, "   ")?;
        for origin in &rule.origins {
            write!(out, " {origin}")?;
        }
        let Rule { remotes, ports, .. } = rule;
        write!(
            out,
            " {} remotes {} {} ports {} {}",
            rule.action, remotes.yes, remotes.maybe, ports.yes, ports.maybe
        )?;
        if let Some(Asks { width, auth }) = rule.asks {
            write!(out, " asks {width}")?;
            if let Some(auth) = auth {
                write!(out, " {auth}")?;
            }
        }
        out.push('\n');
    }
    Ok(())
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny => f.write_str("deny"),
            Self::Pass => f.write_str("pass"),
            Self::Audit => f.write_str("audit"),
            Self::Allow => f.write_str("allow"),
            Self::Redirect(listener) => write!(f, "redirect:{listener}"),
            Self::Prove(auth, listener) => write!(f, "prove:{auth}:{listener}"),
        }
    }
}

impl Display for Decision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        if self.depends {
            f.write_str(" depends")?;
        }
        match self.origin {
            Origin::Nobody => Ok(()),
            Origin::Isolation(policy) => write!(f, " {policy}"),
            Origin::Rule(rule) => write!(f, " {rule}"),
        }
    }
}

/// The members of a set, each with a space in front.
struct Members<'a>(&'a Ranges<u32>);

impl Display for Members<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (first, last) in self.0.iter() {
            write!(f, " {first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// Numbers with how often each follows in a row: ` 3*12 4`.
struct Runs(Vec<u32>);

impl Display for Runs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for run in self.0.chunk_by(|a, b| a == b) {
            let value = run.first().copied().unwrap_or_default();
            write!(f, " {value}")?;
            if run.len() > 1 {
                write!(f, "*{}", number(run.len()))?;
            }
        }
        Ok(())
    }
}

/// Keys `first` to `last`.
struct Keys(u32, u32);

impl Display for Keys {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let one = |f: &mut Formatter<'_>, key| {
            let (protocol, value) = parts(key);
            write!(f, "{}/{value}", protocol.0)
        };
        one(f, self.0)?;
        if self.0 != self.1 {
            f.write_str("-")?;
            one(f, self.1)?;
        }
        Ok(())
    }
}
