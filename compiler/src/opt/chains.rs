//! `share-chains`: endpoints with equal rules share one chain.
//!
//! Equation: an endpoint decides as another whose chain is equal. Proof: [`Program::decide`] asks nothing of an
//! endpoint but its chain.

use super::sets::intern;
use crate::lir::{ChainId, Program};
use rustc_hash::FxHashMap;

pub(super) fn run(program: &mut Program) {
    let given = std::mem::take(&mut program.chains);
    let mut known = FxHashMap::default();
    let mut new_id = |old: ChainId, kept: &mut Vec<_>| {
        let chain = given.get(old.index()).cloned();
        chain.map_or(old, |chain| ChainId(intern(&mut known, kept, chain)))
    };
    for endpoint in &mut program.endpoints {
        let chains = &mut endpoint.chains;
        chains.ingress = new_id(chains.ingress, &mut program.chains);
        chains.egress = new_id(chains.egress, &mut program.chains);
    }
}
