//! `verdict diff`: which connections a change of manifests, settings or dialect opens or closes.

use super::args::{Diff, DiffFormat, Global, Inputs};
use super::explain::say;
use super::list::{MAX_CONNECTIONS, too_many};
use super::output::{Answer, Style};
use super::progress::Progress;
use super::render::{diff as render, json};
use super::session::Session;
use super::{Answered, Failure};
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, codes};
use crate::diff::{self, Programs, Told, Worlds};
use crate::explain::Context;
use crate::list::Focus;
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::path::Path;

pub(super) fn run(global: &Global, diff: &Diff) -> Result<Answered, Failure> {
    let [old, new] = asked(global, diff)?;
    let [old, mut new] = [open(old), open(new)];
    new.session.leave_out_errors_of(&old.session);
    let answerable = [&old, &new].map(|side| side.session.answerable(global));
    answerable.into_iter().collect::<Result<(), Failure>>()?;
    let sides = Sides { diff, old, new };
    let (of_old, of_new) = sides.clusters(global)?;
    let progress = Progress::start(global, "comparing");
    let worlds = Worlds {
        old: context(&sides.old.session, &of_old),
        new: context(&sides.new.session, &of_new),
    };
    let programs = Programs::resolve(&worlds);
    let mut compared = diff::Diff::new(worlds, &programs, diff.by.into());
    drop(progress);
    let focus = sides.focus(global, &compared)?;
    sides.answer(global, &mut compared, &focus)
}

/// What is asked for of one side.
struct AskedSide<'a> {
    path: &'a Path,
    /// The path, and by what it differs from the other side where that has the same.
    name: String,
    global: Global,
}

/// The two sides: two paths, or one under two settings files or dialects.
fn asked<'a>(global: &Global, diff: &'a Diff) -> Result<[AskedSide<'a>; 2], Failure> {
    let usage = |message: &str| Err(Failure::Usage(message.into()));
    let has_two_settings = global.settings.len() == 2;
    if !matches!(diff.dialect.len(), 0 | 2) {
        return usage(
            "`--dialect` is given twice: for the side before the change and for the one behind it",
        );
    }
    let differ = has_two_settings || !diff.dialect.is_empty();
    let Some(new) = diff.new.as_deref().or(differ.then_some(&*diff.old)) else {
        return usage(
            "`diff` compares two paths, or one path under two `--settings` or two `--dialect`",
        );
    };
    let stdin = Path::new("-");
    if diff.old == stdin && new == stdin {
        return usage(
            "`-` is standard input, and only one side of a comparison can be read from it",
        );
    }
    let is_one = new == diff.old;
    Ok([(0, &*diff.old), (1, new)].map(|(index, path)| {
        let mut own = global.clone();
        let mut name = format!("`{}`", path.display());
        if has_two_settings {
            own.settings = global.settings.get(index).cloned().into_iter().collect();
            for settings in own.settings.iter().filter(|_| is_one) {
                name.push_str(&format!(" under `{}`", settings.display()));
            }
        }
        if let Some(dialect) = diff.dialect.get(index) {
            own.set.push(format!("dialect={dialect}"));
            if is_one {
                name.push_str(&format!(" in the dialect `{dialect}`"));
            }
        }
        AskedSide {
            path,
            name,
            global: own,
        }
    }))
}

/// What was read of one side.
struct Side {
    name: String,
    session: ManuallyDrop<Session>,
}

fn open(asked: AskedSide<'_>) -> Side {
    let paths = vec![asked.path.to_owned()];
    Side {
        name: asked.name,
        session: Session::open(&asked.global, &Inputs { paths }),
    }
}

fn context<'a>(session: &'a Session, cluster: &'a Cluster) -> Context<'a> {
    Context {
        sources: &session.sources,
        cluster,
        policies: &session.loaded.policies,
    }
}

/// What was read of both sides.
struct Sides<'a> {
    diff: &'a Diff,
    old: Side,
    new: Side,
}

impl Sides<'_> {
    /// The cluster of each side: a side that has none takes that of the other, but for its own DNS answers.
    fn clusters(&self, global: &Global) -> Result<(Cow<'_, Cluster>, Cow<'_, Cluster>), Failure> {
        let [old, new] = [&self.old, &self.new].map(|side| &side.session.loaded.cluster);
        if old.pods().is_empty() && new.pods().is_empty() {
            say(global, &self.new.session, &[nothing()]);
            return Err(Failure::Input);
        }
        for (cluster, side) in [(old, &self.old), (new, &self.new)] {
            let lacking = lacking(cluster, &side.name);
            say(global, &self.new.session, lacking.as_slice());
        }
        Ok((of_side(old, new), of_side(new, old)))
    }

    /// Whose connections are asked for, after what there is to say about that.
    fn focus(&self, global: &Global, compared: &diff::Diff<'_>) -> Result<Focus, Failure> {
        let Diff {
            focus, direction, ..
        } = self.diff;
        if focus.is_empty() {
            return Ok(Focus::everything());
        }
        match compared.focus(focus, direction.map(Into::into)) {
            Ok((focus, notes)) => {
                say(global, &self.new.session, &notes);
                Ok(focus)
            }
            Err(problems) => {
                say(global, &self.new.session, &problems);
                Err(Failure::Input)
            }
        }
    }

    /// What was left out of the input of either side.
    fn incomplete(&self) -> Vec<String> {
        let of = |side: &Side| {
            let name = side.name.clone();
            let missing = side.session.incomplete().into_iter();
            missing.map(move |what| format!("in {name}: {what}"))
        };
        of(&self.old).chain(of(&self.new)).collect()
    }

    fn answer(
        &self,
        global: &Global,
        compared: &mut diff::Diff<'_>,
        focus: &Focus,
    ) -> Result<Answered, Failure> {
        let differs = match self.diff.format {
            DiffFormat::Json => self.pairs(global, compared, focus)?,
            DiffFormat::Human | DiffFormat::Markdown => self.view(global, compared, focus)?,
        };
        Ok((!differs && self.incomplete().is_empty()).into())
    }

    /// Each pair by itself, for programs; returns whether there is any.
    fn pairs(
        &self,
        global: &Global,
        compared: &mut diff::Diff<'_>,
        focus: &Focus,
    ) -> Result<bool, Failure> {
        let progress = Progress::start(global, "comparing");
        let count = compared.count_of(focus);
        if count.total > MAX_CONNECTIONS {
            drop(progress);
            let help = "`--format human` puts together what is equal, `--focus PEER` compares the connections of \
                        one peer";
            say(global, &self.new.session, &[too_many(&count, help)]);
            return Err(Failure::Input);
        }
        let pairs = compared.pairs_of(focus);
        let told = Told::of(compared, &pairs);
        let mut report = told.report(compared, &pairs);
        report.incomplete = self.incomplete();
        drop(progress);
        Answer::new(global).write(|out| json::line(&report, out))?;
        Ok(count.total > 0 || !report.inspected.is_empty())
    }

    /// What is equal together, for people; returns whether there is anything.
    fn view(
        &self,
        global: &Global,
        compared: &mut diff::Diff<'_>,
        focus: &Focus,
    ) -> Result<bool, Failure> {
        let progress = Progress::start(global, "comparing");
        let setting = render::Setting {
            incomplete: self.incomplete(),
            verbose: global.verbose,
        };
        let blocks = compared.blocks_of(focus);
        let view = render::View::new(compared, &blocks, setting);
        let differs = !blocks.is_empty() || view.has_inspected();
        let text = if self.diff.format == DiffFormat::Markdown {
            render::markdown::text(&view)
        } else {
            render::human::text(&view, Style::of_answer(global), global.common.quiet)
        };
        drop(progress);
        Answer::new(global).write(|out| out.write_all(text.as_bytes()))?;
        Ok(differs)
    }
}

/// The cluster of a side: that of the other where it has none, with its own DNS answers.
pub(super) fn of_side<'c>(own: &'c Cluster, other: &'c Cluster) -> Cow<'c, Cluster> {
    if own.has_anyone() {
        Cow::Borrowed(own)
    } else if own.names().is_empty() {
        Cow::Borrowed(other)
    } else {
        Cow::Owned(other.with_names_of(own))
    }
}

fn nothing() -> Diagnostic {
    Diagnostic::new(
        &codes::NOTHING_TO_COMPARE,
        "neither side has pods or workloads, so there is nothing to compare",
    )
    .help(
        "add the manifests of the workloads or a snapshot of the cluster to one side at least: \
         `kubectl get namespaces,nodes,pods -A -o yaml > OLD/cluster.yaml`",
    )
}

/// What there is to say of a side that has no pods, where the other has some.
pub(super) fn lacking(cluster: &Cluster, side: &str) -> Option<Diagnostic> {
    if !cluster.has_anyone() {
        Some(other_cluster(side))
    } else if cluster.pods().is_empty() {
        Some(nobody(side))
    } else {
        None
    }
}

fn other_cluster(side: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::OTHER_CLUSTER,
        format!(
            "{side} has no namespaces, pods or workloads: its policies are compared on the cluster of the other side"
        ),
    )
}

fn nobody(side: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::NOBODY_ON_ONE_SIDE,
        format!("{side} has namespaces, but no pods and no workloads: all of the other side are new or have vanished"),
    )
    .help("add the workloads to this side, or leave its namespaces out to compare its policies on the other cluster")
}
