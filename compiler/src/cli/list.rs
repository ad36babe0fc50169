//! `verdict list`: every connection at once.

use super::args::{Global, List, ListBy, ListFormat};
use super::output::{Answer, Style};
use super::progress::Progress;
use super::render::{exposure as exposed, json, list as render};
use super::session::Session;
use super::{Answered, Failure};
use crate::flows::Connections;
use crate::ir::Program;
use crate::list::exposure::{Exposure, report as exposure};
use crate::list::report::{ListReport, Shown, VERSION};
use crate::list::{By, Listing};
use crate::query::Families;

/// How many connections are written one by one; more are refused.
const MAX_CONNECTIONS: usize = 1_000_000;

pub(super) fn run(global: &Global, list: &List) -> Result<Answered, Failure> {
    let session = Session::open(global, &list.inputs);
    session.answerable(global)?;
    let cluster = &session.loaded.cluster;
    let by = match list.by {
        ListBy::Workload => By::Workload,
        ListBy::Pod => By::Pod,
    };
    let progress = Progress::start(global, "listing");
    let program = Program::resolve(cluster, &session.loaded.policies);
    let connections = Connections::new(cluster, &program, Families::of(cluster));
    let mut listing = Listing::new(connections, by);
    let new_pods: Option<Exposure> = list.exposure.then(|| listing.exposure());
    let answer = Answer::new(global);
    match list.format {
        ListFormat::Human => {
            let blocks = listing.blocks();
            drop(progress);
            session.remark_incomplete();
            let style = Style::of_answer(global);
            let mut text = render::text(&listing, &blocks, style);
            if let Some(new_pods) = &new_pods {
                text.push_str(&exposed::text(&listing, new_pods, |_, _| true, style));
            }
            answer.write(|out| out.write_all(text.as_bytes()))?;
        }
        ListFormat::Json => {
            let pairs = listing.pairs();
            let shown = Shown::of(&listing, &pairs);
            drop(progress);
            let report = ListReport {
                version: VERSION,
                connections: pairs
                    .iter()
                    .filter_map(|pair| shown.connection(pair))
                    .collect(),
                exposure: new_pods
                    .as_ref()
                    .map(|new_pods| exposure::exposure(&listing, new_pods, |_, _| true)),
                unprotected: new_pods
                    .as_ref()
                    .map(|_| exposure::unprotected(&listing, |_, _| true)),
                incomplete: session.incomplete(),
            };
            answer.write(|out| json::line(&report, out))?;
        }
    }
    Ok(session.incomplete().is_empty().into())
}
