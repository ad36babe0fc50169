//! `verdict explain`: one question, one answer.

use super::args::{Explain, ExplainFormat, Global};
use super::compile::no_image;
use super::output::{self, Answer, Style};
use super::render::{Report, explain as render, human, json};
use super::session::{Session, is_error};
use super::{Answered, Failure};
use crate::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use crate::cluster::{Cluster, PodId};
use crate::diagnostic::Diagnostic;
use crate::engine::{Engine, EngineKind};
use crate::explain::report::{Explanation, QuestionReport, Word};
use crate::explain::{Asking, Context};
use crate::query::meant;

pub(super) fn run(global: &Global, explain: &Explain) -> Result<Answered, Failure> {
    let session = Session::open(global, &explain.inputs);
    let engine = session.engine(global, explain.engine, EngineKind::Spec)?;
    let explanation = match answer(&session, explain, engine) {
        Ok((explanation, notes)) => {
            say(global, &session, &notes);
            explanation
        }
        Err(problems) => {
            say(global, &session, &problems);
            return Err(Failure::Input);
        }
    };
    print(global, explain, &explanation)?;
    let certain = explanation.incomplete.is_empty();
    let passes = matches!(explanation.verdict, Word::Allow | Word::Redirect);
    Ok((passes && certain).into())
}

/// The answer with what there is to say about the question, or what is wrong with the question.
fn answer(
    session: &Session,
    explain: &Explain,
    engine: EngineKind,
) -> Result<(Explanation, Vec<Diagnostic>), Vec<Diagnostic>> {
    let cluster = &session.loaded.cluster;
    let mut problems = Vec::new();
    let from = resolved(cluster, &explain.from, &mut problems);
    let to = resolved(cluster, &explain.to, &mut problems);
    let port = PortSpec::parse(&explain.port).map_err(|problem| problems.push(*problem));
    let (Some(from), Some(to), Ok(port)) = (from, to, port) else {
        return Err(problems);
    };
    let context = Context {
        sources: &session.sources,
        cluster,
        policies: &session.loaded.policies,
    };
    let ends = from.iter().chain(&to);
    let pods: Vec<PodId> = ends.flat_map(|end| meant::pods(cluster, end)).collect();
    let engine = Engine::about(
        engine,
        context.sources,
        cluster,
        context.policies,
        Some(&pods),
    )
    .map_err(|error| vec![no_image(cluster, &session.loaded.policies, &error)])?;
    let asking = Asking {
        context,
        engine: &engine,
    };
    let mut explanation = crate::suggest::ask(asking, &from, &to, &port)?;
    explanation.incomplete.extend(session.incomplete());
    explanation.question = Some(QuestionReport {
        from: explain.from.clone(),
        to: explain.to.clone(),
        port: explain.port.clone(),
    });
    let notes = from.iter().chain(&to);
    let notes = notes.filter_map(|one| peer::note(cluster, one)).collect();
    Ok((explanation, notes))
}

fn resolved(
    cluster: &Cluster,
    text: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<Resolved>> {
    match PeerSpec::parse(text).and_then(|spec| peer::resolve(cluster, &spec)) {
        Ok(resolved) => Some(resolved),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

/// Says something about the question.
pub(super) fn say(global: &Global, session: &Session, diagnostics: &[Diagnostic]) {
    if diagnostics.is_empty() || global.common.quiet && !diagnostics.iter().any(is_error) {
        return;
    }
    let report = Report {
        diagnostics,
        ..session.report()
    };
    let style = Style::of_stderr(global.common.color);
    output::remark(&human::question(&report, style, global));
}

fn print(global: &Global, explain: &Explain, explanation: &Explanation) -> Result<(), Failure> {
    let answer = Answer::new(global);
    match explain.format {
        ExplainFormat::Human => {
            let setting = render::Setting {
                style: Style::of_answer(global),
                verbose: global.verbose,
                quiet: global.common.quiet,
                again: &again(global, explain),
            };
            let text = render::text(explanation, setting);
            answer.write(|out| out.write_all(text.as_bytes()))
        }
        ExplainFormat::Json => answer.write(|out| json::line(explanation, out)),
    }
}

/// The command that asks the same question again, for a shell.
fn again(global: &Global, explain: &Explain) -> String {
    let mut words = vec!["verdict".to_owned(), "explain".to_owned()];
    let paths = explain.inputs.paths.iter();
    words.extend(paths.map(|path| path.display().to_string()));
    let settings = global.settings.first();
    let mut options = vec![
        ("--from", Some(explain.from.clone())),
        ("--to", Some(explain.to.clone())),
        ("--port", Some(explain.port.clone())),
        (
            "--settings",
            settings.map(|path| path.display().to_string()),
        ),
    ];
    options.extend(global.set.iter().map(|set| ("--set", Some(set.clone()))));
    for (option, value) in options {
        if let Some(value) = value {
            words.extend([option.to_owned(), value]);
        }
    }
    if global.keep_going {
        words.push("--keep-going".into());
    }
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them() {
        assert_eq!(quoted("shop/web"), "shop/web");
        assert_eq!(quoted("shop[app=web]"), "'shop[app=web]'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
