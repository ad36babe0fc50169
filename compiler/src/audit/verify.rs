//! Whether maps that were made of manifests say what these say.

use super::compare::{Audit, endpoints};
use super::dump::{Dump, Endpoint as DumpEndpoint};
use super::labels;
use super::report::DifferenceReport;
use crate::cluster::NodeId;
use crate::explain::Context;
use crate::hir::Enforcement;
use crate::policymap::Entry;
use crate::source::to_u64;

/// What was asked of maps that were made of manifests, and where they say something else.
#[derive(Debug)]
pub struct Verified {
    /// Packets that get something else.
    pub differences: Vec<DifferenceReport>,
    /// How many packets were asked for.
    pub compared: u64,
}

/// Compares maps that were made of the manifests with what these say. Endpoints of one identity with equal maps are asked once. Of more
/// identities than `budget` allows, in packets times rules, every second, third, ... is asked.
#[must_use]
pub fn verify(
    context: Context<'_>,
    enforcement: &Enforcement,
    node: Option<NodeId>,
    mut dump: Dump,
    budget: u64,
) -> Verified {
    let mut seen: Vec<(u32, &[Entry])> = Vec::new();
    let (policies, endpoints_of) = (&dump.policies, std::mem::take(&mut dump.endpoints));
    let is_new = |endpoint: &DumpEndpoint| {
        let entries = policies.get(&endpoint.id).map_or(&[][..], Vec::as_slice);
        let asked = (endpoint.identity, entries);
        let is_new = !seen.contains(&asked);
        if is_new {
            seen.push(asked);
        }
        is_new
    };
    let kept: Vec<DumpEndpoint> = endpoints_of.into_iter().filter(is_new).collect();
    let entries: usize = seen.iter().map(|(_, entries)| entries.len()).sum();
    dump.endpoints = kept;
    let mut known = labels::known(&dump, enforcement.identities.options().aggregates);
    let rules = context.policies.origins.len();
    let per_identity = to_u64(entries.saturating_add(64)).saturating_mul(to_u64(rules.max(1)));
    let most = (budget / per_identity).max(16);
    let stride = to_u64(known.len()).div_ceil(most).max(1);
    let mut index = 0;
    known.retain(|number, _| {
        index += 1;
        *number < FEW || index % stride == 0
    });
    let (pods, _) = endpoints(context.cluster, node, &dump);
    let enforcement = enforcement.without_audit();
    let audit = Audit::new(context, &enforcement, &dump, &known);
    Verified {
        differences: audit.differences(&pods),
        compared: audit.compared.into_inner(),
    }
}

/// Identities with fixed numbers are always asked.
const FEW: u32 = 100;
