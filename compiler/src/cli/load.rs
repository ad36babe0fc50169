//! Stands in for `frontend::load` until it is wired.
use crate::cluster::Cluster;
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::frontend::manifest;
use crate::frontend::settings::Settings;
use crate::hir::PolicySet;
use crate::source::Sources;

#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) cluster: Cluster,
    pub(crate) policies: PolicySet,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) objects: usize,
    pub(crate) refused: Vec<ObjectRef>,
}

pub(crate) fn load(sources: &Sources, settings: &Settings) -> Loaded {
    let mut diagnostics = Vec::new();
    let mut objects = 0;
    for (id, file) in sources.iter() {
        for chunk in manifest::split(id, file) {
            let (document, more) = manifest::parse(file, &chunk);
            objects += usize::from(document.is_some());
            diagnostics.extend(more);
        }
    }
    Loaded {
        cluster: Cluster::default(),
        policies: PolicySet {
            semantics: settings.semantics(),
            ..PolicySet::default()
        },
        diagnostics,
        objects,
        refused: Vec::new(),
    }
}
