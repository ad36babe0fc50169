//! An explanation for people, most of all for one who is in a hurry.
//!
//! The first line is the answer with its reason. Then each side: what isolates the end, which rules decide,
//! which almost matched and why not, each with its place. Last comes the change that allows a denied flow, and
//! the command that checks it.

mod reason;
#[cfg(test)]
mod tests;

use super::clean;
use crate::cli::output::Style;
use crate::diagnostic::counted;
use crate::explain::report::{
    Action, Edit, Explanation, Further, RuleReport, SideReport, Suggestion, Word,
};
use crate::list::words;
use clap::builder::styling::{AnsiColor, Effects, Style as Ansi};
use reason::reason;
use std::fmt::{self, Write};

/// How many rules that almost matched are shown for a side, and how many answers of a wide question.
const SHOWN: usize = 3;

/// How many further connections of a suggestion are shown.
const SHOWN_FURTHER: usize = 5;

/// How an explanation is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Setting<'a> {
    pub(in crate::cli) style: Style,
    /// With everything.
    pub(in crate::cli) verbose: bool,
    /// With the answer alone.
    pub(in crate::cli) quiet: bool,
    /// The command that asks again.
    pub(in crate::cli) again: &'a str,
}

/// Shows an explanation.
pub(in crate::cli) fn text(explanation: &Explanation, setting: Setting<'_>) -> String {
    let mut text = String::new();
    let printer = Printer {
        setting,
        out: &mut text,
    };
    // Writing to a string does not fail.
    let _ = printer.all(explanation);
    text
}

struct Printer<'a> {
    setting: Setting<'a>,
    out: &'a mut String,
}

impl Printer<'_> {
    fn all(mut self, explanation: &Explanation) -> fmt::Result {
        self.headline(explanation)?;
        for left_out in &explanation.incomplete {
            self.wrapped("  incomplete: ", &clean(left_out))?;
        }
        if self.setting.quiet {
            return Ok(());
        }
        self.conditions(explanation)?;
        if explanation.alike > 0 {
            let flows = counted(explanation.alike, "other flow");
            let has = if explanation.alike == 1 {
                "has"
            } else {
                "have"
            };
            let line = format!(
                "for {}; {flows} of the question {has} the same answer",
                explanation.flow
            );
            self.wrapped("  ", &clean(&line))?;
        }
        if explanation.cases.is_empty() {
            self.body(explanation)
        } else {
            self.cases(&explanation.cases)
        }
    }

    /// What the answer hangs on.
    fn conditions(&mut self, explanation: &Explanation) -> fmt::Result {
        for condition in &explanation.conditions {
            self.wrapped("  - ", &clean(condition))?;
        }
        Ok(())
    }

    fn headline(&mut self, explanation: &Explanation) -> fmt::Result {
        let word = explanation.verdict.to_string().to_uppercase();
        // One flow says more than the question, unless it is one of several, or its port is not known.
        let is_vague =
            explanation.alike > 0 || !explanation.cases.is_empty() || !explanation.flow.is_whole();
        let asked = match explanation.question.as_ref().filter(|_| is_vague) {
            Some(question) => question.to_string(),
            None => explanation.flow.to_string(),
        };
        let line = format!("{asked}: {}", reason(explanation));
        let start = format!(
            "{}  ",
            self.painted(&word, verdict_style(explanation.verdict))
        );
        self.wrapped_at(&start, word.len() + 2, &clean(&line))
    }

    fn body(&mut self, explanation: &Explanation) -> fmt::Result {
        let said = reason(explanation);
        let said = |side: &SideReport| said.ends_with(&side.because);
        let egress = format!("egress of {}", explanation.flow.src);
        self.side(&egress, &explanation.egress, said(&explanation.egress))?;
        let ingress = format!("ingress of {}", explanation.flow.dst);
        self.side(&ingress, &explanation.ingress, said(&explanation.ingress))?;
        match &explanation.suggestion {
            Some(suggestion) => self.suggestion(suggestion),
            None => self.no_suggestion(explanation.no_suggestion.as_deref()),
        }
    }

    /// The different answers of a wide question: those that do not allow first.
    fn cases(&mut self, cases: &[Explanation]) -> fmt::Result {
        let mut order: Vec<&Explanation> = cases.iter().collect();
        order.sort_by_key(|case| case.verdict == Word::Allow);
        let shown = if self.setting.verbose {
            order.len()
        } else {
            SHOWN
        };
        for case in order.iter().take(shown) {
            self.out.push('\n');
            self.headline(case)?;
            self.conditions(case)?;
            self.body(case)?;
        }
        match order.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(self.out, "\n… and {more} more answers (`-v` shows all)"),
        }
    }

    /// One side; its reason is left out where the first line has said it.
    fn side(&mut self, title: &str, side: &SideReport, said: bool) -> fmt::Result {
        self.out.push('\n');
        let title = clean(title);
        let word = side.verdict.to_string().to_uppercase();
        writeln!(
            self.out,
            "{}  {}",
            self.painted(&title, Ansi::new().bold()),
            self.painted(&word, verdict_style(side.verdict)),
        )?;
        if !said {
            self.wrapped("  ", &clean(&side.because))?;
        }
        for isolating in &side.isolated_by {
            let place = format!("{}:{}", isolating.file, isolating.line);
            self.entry("isolated by", &isolating.policy.to_string(), &place)?;
        }
        let (deciding, missing): (Vec<&RuleReport>, Vec<&RuleReport>) =
            side.rules.iter().partition(|rule| rule.matched);
        for rule in deciding {
            self.rule("decides", rule)?;
        }
        let shown = if self.setting.verbose {
            missing.len()
        } else {
            SHOWN
        };
        for rule in missing.iter().take(shown) {
            self.rule("no match", rule)?;
        }
        match missing.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(
                self.out,
                "  … and {more} more rules that do not match (`-v` shows all)"
            ),
        }
    }

    fn rule(&mut self, what: &str, rule: &RuleReport) -> fmt::Result {
        let name = rule.name.as_ref().map(|name| format!(" \"{name}\""));
        let line = format!(
            "{} {} {}{}",
            rule.policy,
            rule.rule,
            rule.action,
            name.unwrap_or_default()
        );
        self.entry(what, &line, &format!("{}:{}", rule.file, rule.line))?;
        let field = rule.field.strip_prefix(&rule.rule).unwrap_or(&rule.field);
        let field = field.trim_start_matches('.');
        let why = if field.is_empty() {
            rule.why.clone()
        } else {
            format!("{field}: {}", rule.why)
        };
        self.wrapped("               ", &clean(&why))
    }

    /// `  isolated by  NetworkPolicy/shop/api  shop/policies.yaml:3`
    fn entry(&mut self, what: &str, line: &str, place: &str) -> fmt::Result {
        let place = self.painted(&clean(place), AnsiColor::Cyan.on_default());
        writeln!(self.out, "  {what:<11}  {}  {place}", clean(line))
    }

    fn suggestion(&mut self, suggestion: &Suggestion) -> fmt::Result {
        let title = self.painted("to allow it", Ansi::new().bold());
        let remaining = match suggestion.remaining {
            0 => None,
            flows => Some(format!("{} of the question", counted(flows, "other flow"))),
        };
        let family = suggestion
            .one_family
            .then(|| "in the other address family".to_owned());
        let not: Vec<String> = family.into_iter().chain(remaining).collect();
        let but = if not.is_empty() { "" } else { ", but not " };
        let not = not.join(" and not ");
        writeln!(
            self.out,
            "\n{title}  (tried: the flow is allowed then{but}{not})"
        )?;
        for edit in &suggestion.edits {
            self.edit(edit)?;
        }
        self.further("opens", '+', &suggestion.opens)?;
        self.further("closes", '-', &suggestion.closes)?;
        writeln!(
            self.out,
            "  then check:\n      {}",
            clean(self.setting.again)
        )
    }

    fn no_suggestion(&mut self, why: Option<&str>) -> fmt::Result {
        let Some(why) = why else { return Ok(()) };
        let title = self.painted("to allow it", Ansi::new().bold());
        let start = format!("\n{title}  ");
        self.wrapped_at(
            &start,
            "to allow it  ".len(),
            &clean(&format!("no edit is suggested: {why}")),
        )
    }

    fn edit(&mut self, edit: &Edit) -> fmt::Result {
        let (what, line) = match edit.action {
            Action::Add => ("add as", item(edit)),
            Action::Replace => ("replace", item(edit)),
            Action::Create => ("create", edit.object.to_string()),
            Action::Label => ("set in", format!("{} of {}", edit.path, edit.object)),
        };
        self.entry(what, &line, &format!("{}:{}", edit.file, edit.line))?;
        for line in edit.yaml.lines() {
            writeln!(self.out, "      {}", clean(line))?;
        }
        Ok(())
    }

    /// What changes beside what was asked.
    fn further(&mut self, verb: &str, sign: char, further: &Further) -> fmt::Result {
        let others = counted(further.count, "other connection");
        match (further.count, further.connections.is_empty()) {
            (0, _) if verb == "opens" => return writeln!(self.out, "  it opens nothing else"),
            (0, _) => return Ok(()),
            (_, true) => return writeln!(self.out, "  it {verb} {others}, too many to name"),
            (_, false) => writeln!(self.out, "  it {verb} {others}:")?,
        }
        let shown = if self.setting.verbose {
            further.connections.len()
        } else {
            SHOWN_FURTHER
        };
        for connection in further.connections.iter().take(shown) {
            let line = format!(
                "{} -> {}  {}",
                words::report(&connection.src),
                words::report(&connection.dst),
                words::report_ports(&connection.ports, &connection.depends)
            );
            self.wrapped(&format!("    {sign} "), &clean(&line))?;
        }
        match further.connections.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(self.out, "    … and {more} more (`-v` shows all)"),
        }
    }

    fn painted(&self, text: &str, style: Ansi) -> String {
        if self.setting.style.color {
            format!("{style}{text}{style:#}")
        } else {
            text.into()
        }
    }

    fn wrapped(&mut self, start: &str, text: &str) -> fmt::Result {
        self.wrapped_at(start, start.len(), text)
    }

    /// Sets text behind a start of some columns; further lines are indented alike.
    fn wrapped_at(&mut self, start: &str, indent: usize, text: &str) -> fmt::Result {
        let width = self.setting.style.width;
        self.out.push_str(start);
        let mut column = indent;
        for (index, word) in text.split_whitespace().enumerate() {
            let length = word.chars().count();
            if index > 0 && column + 1 + length > width {
                write!(self.out, "\n{:indent$}", "")?;
                column = indent;
            } else if index > 0 {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(word);
            column += length;
        }
        self.out.push('\n');
        Ok(())
    }
}

/// The item that an edit makes: those that stood there and behind it, stand behind it then.
fn item(edit: &Edit) -> String {
    let index = edit.index.map(|index| format!("[{index}]"));
    let index = index.unwrap_or_default();
    format!("{}{index} of {}", edit.path, edit.object)
}

fn verdict_style(verdict: Word) -> Ansi {
    let color = match verdict {
        Word::Allow => AnsiColor::Green,
        Word::Redirect => AnsiColor::Cyan,
        Word::Deny => AnsiColor::Red,
        Word::Depends => AnsiColor::Yellow,
    };
    color.on_default().effects(Effects::BOLD)
}
