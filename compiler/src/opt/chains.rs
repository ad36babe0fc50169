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
    let mut new: Vec<Option<ChainId>> = vec![None; given.len()];
    for endpoint in &mut program.endpoints {
        let chains = &mut endpoint.chains;
        for chain in [&mut chains.ingress, &mut chains.egress] {
            let slot = new.get_mut(chain.index()).zip(given.get(chain.index()));
            if let Some((slot, own)) = slot {
                let kept = &mut program.chains;
                *chain =
                    *slot.get_or_insert_with(|| ChainId(intern(&mut known, kept, own.clone())));
            }
        }
    }
}
