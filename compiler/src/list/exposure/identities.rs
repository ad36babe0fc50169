//! What selectors of identities ask of a pod that does not exist: of its own labels, and of the labels of its namespace.
//!
//! Of the labels that the implementation gives, all but those two are the same for every such pod: it is in this cluster, it has
//! the service account of pods that name none, and its named ports are not known, so that it has no label of them. Where blocks
//! match pods, what a selector asks of blocks hangs on an address that is not known. Guarantee: a selector has no pods but those
//! that its [`PodSelector`] here has, as [`crate::identity`] describes them, and which of these it has, nothing but the address
//! decides.

use crate::cluster::NAMESPACE_NAME_LABEL;
use crate::hir::{
    IdentitySelector, NamespaceSelector, Operator, PodSelector, Requirement, SourcedRequirement,
    Subject,
};
use crate::identity::{Options, key, source};
use crate::ir::Program;
use crate::query::DEFAULT_SERVICE_ACCOUNT;
use std::borrow::Cow;

/// The pods that a subject has; `None` where there are none.
pub(super) fn of_pods<'p>(program: &Program, subject: &'p Subject) -> Option<Cow<'p, PodSelector>> {
    match subject {
        Subject::Pods(pods) => Some(Cow::Borrowed(pods)),
        Subject::Endpoints(selector) => {
            let options = program.kinds.as_ref()?.enforcement.identities.options();
            of_identities(options, selector).map(Cow::Owned)
        }
        Subject::Nodes(_) => None,
    }
}

/// What is asked by a requirement.
enum Of {
    /// The namespace: a label of it.
    Namespace(Requirement),
    /// The pod: a label of its own.
    Pod(Requirement),
    /// Nothing that such pods differ in, but perhaps by their addresses.
    Constant(bool),
}

fn of_identities(options: &Options, selector: &IdentitySelector) -> Option<PodSelector> {
    let (mut namespaces, mut pods) = (Vec::new(), Vec::new());
    for requirement in &selector.requirements {
        match of(options, requirement) {
            Of::Namespace(requirement) => namespaces.push(requirement),
            Of::Pod(requirement) => pods.push(requirement),
            Of::Constant(true) => {}
            Of::Constant(false) => return None,
        }
    }
    Some(PodSelector {
        namespaces: NamespaceSelector::Labels(namespaces.into_iter().collect()),
        pods: pods.into_iter().collect(),
    })
}

fn of(options: &Options, requirement: &SourcedRequirement) -> Of {
    let key = &*requirement.key;
    let asks = |key: &str| Requirement {
        key: key.into(),
        operator: requirement.operator.clone(),
    };
    let is_known = [source::K8S, source::ANY].contains(&&*requirement.source)
        && options.filter.keeps(source::K8S, key);
    if !is_known {
        let of_blocks = [source::CIDR, source::CIDR_GROUP, source::ANY];
        let is_open = options.blocks_match_pods && of_blocks.contains(&&*requirement.source);
        return Of::Constant(is_open || meets(&requirement.operator, None));
    }
    match key {
        key::NAMESPACE => Of::Namespace(asks(NAMESPACE_NAME_LABEL)),
        key::CLUSTER => Of::Constant(meets(&requirement.operator, Some(&options.cluster))),
        key::SERVICE_ACCOUNT => {
            Of::Constant(meets(&requirement.operator, Some(DEFAULT_SERVICE_ACCOUNT)))
        }
        _ => match key.strip_prefix(key::NAMESPACE_LABELS) {
            Some(own) => Of::Namespace(asks(own)),
            None => Of::Pod(asks(key)),
        },
    }
}

/// Whether a label that is the same for all meets what is asked of it.
fn meets(operator: &Operator, value: Option<&str>) -> bool {
    let is_one_of = |values: &[Box<str>]| {
        value.is_some_and(|value| values.iter().any(|known| &**known == value))
    };
    match operator {
        Operator::In(values) => is_one_of(values),
        Operator::NotIn(values) => !is_one_of(values),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}
