//! `share-chains`: endpoints with equal rules share one chain.
//!
//! Equation: an endpoint decides as another whose chain is equal. Proof: [`Program::decide`] asks nothing of an
//! endpoint but its chain.

use crate::lir::{Chain, ChainId, Program, RuleChain, number};
use rustc_hash::FxHashMap;

pub(super) fn run(program: &mut Program) {
    let mut given = std::mem::take(&mut program.chains);
    let (mut known, mut kept) = (FxHashMap::default(), Vec::new());
    known.reserve(given.len());
    let mut new: Vec<Option<ChainId>> = vec![None; given.len()];
    for endpoint in &mut program.endpoints {
        let chains = &mut endpoint.chains;
        for chain in [&mut chains.ingress, &mut chains.egress] {
            let index = chain.index();
            let slot = new.get_mut(index).zip(given.get(index));
            if let Some((slot, own)) = slot {
                *chain = *slot.get_or_insert_with(|| {
                    *known.entry(own).or_insert_with(|| {
                        kept.push(index);
                        ChainId(number(kept.len() - 1))
                    })
                });
            }
        }
    }
    drop(known);
    let nothing = || Chain::Rules(RuleChain::default());
    program.chains = kept
        .into_iter()
        .filter_map(|index| Some(std::mem::replace(given.get_mut(index)?, nothing())))
        .collect();
}
