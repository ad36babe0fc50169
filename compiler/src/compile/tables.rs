//! The tables of the endpoints of some nodes together, and what is kept of them for the next compile.
//!
//! What an endpoint is asked in a direction hangs on nothing but its case: the policies that govern it, the ends that there may be
//! and, where rules go by name, its named ports. So tables are made of one endpoint of each case. They are kept under the
//! [digest of all that](Fingerprints), and so is what was proved of them: a table of the same digest is right, and neither made nor
//! proved once more. The image of every node is held to the tables as ever. Of bytes that are damaged, or that have another layout,
//! nothing is taken; tables of another verdict have other digests.

use super::Compiler;
use crate::cluster::{NodeId, PodId};
use crate::hir::{Direction, PerDirection, PolicyId, Resolution};
use crate::kept::{self, Form, PRINT, Words, words_of, write_list};
use crate::lir::{self, ChainId, Origin, number};
use crate::opt::Library;
use crate::opt::kept::Told;
use crate::verify::{Fingerprints, Held, Shared};
use rustc_hash::FxHashMap;

/// How the files begin.
const FORM: Form = Form {
    magic: b"VERDICTT",
    version: 1,
};

/// The tables of some nodes together, and what is proved of them.
#[derive(Debug)]
pub struct Together {
    pub(super) library: Library,
    pub(super) shared: Shared,
    taken: usize,
}

impl Together {
    /// What the tables decide, to be changed as a fault would: decisions, and rows of their indices. The proof is to find it.
    pub fn tables_mut(&mut self) -> (&mut [lir::Decision], &mut [Box<[u32]>]) {
        self.library.tables_mut()
    }

    /// How many kinds of endpoints have tables that were kept, each direction by itself.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// Tables that were kept.
#[derive(Debug)]
pub struct Tables {
    library: Library,
    /// By case: its chain, and what is proved of it.
    cases: FxHashMap<u32, (u32, Held)>,
}

/// Who decides where nobody does, a policy isolates, a rule for what comes in, and one for what goes out.
const NOBODY: u32 = 0;
const ISOLATION: u32 = 1;
const INGRESS: u32 = 2;
const EGRESS: u32 = 3;

impl Compiler<'_> {
    /// The tables of what the endpoints of some nodes are asked; none where rules are resolved by precedence.
    #[must_use]
    pub fn library<'p>(
        &self,
        nodes: impl Iterator<Item = &'p (Option<NodeId>, Vec<PodId>)>,
    ) -> Option<Together> {
        self.library_with(None, nodes)
    }

    /// The same, with tables that were kept.
    #[must_use]
    pub fn library_with<'p>(
        &self,
        kept: Option<Tables>,
        nodes: impl Iterator<Item = &'p (Option<NodeId>, Vec<PodId>)>,
    ) -> Option<Together> {
        match self.policies.resolution {
            Resolution::Isolation => {}
            Resolution::Precedence(_) => return None,
        }
        let pods: Vec<PodId> = nodes.flat_map(|(_, pods)| pods.iter().copied()).collect();
        let case = |pod: PodId, direction| self.prover.case(pod, direction);
        let kept_cases = |case: &u32| {
            kept.as_ref()
                .is_some_and(|kept| kept.cases.contains_key(case))
        };
        // By case that is not kept: an endpoint that has it.
        let mut missing: FxHashMap<u32, (PodId, Direction)> = FxHashMap::default();
        let mut examples: Vec<PodId> = Vec::new();
        for pod in &pods {
            for direction in [Direction::Ingress, Direction::Egress] {
                let case = case(*pod, direction)?;
                if !kept_cases(&case) && !missing.contains_key(&case) {
                    missing.insert(case, (*pod, direction));
                    if examples.last() != Some(pod) {
                        examples.push(*pod);
                    }
                }
            }
        }
        let made = Library::new(&self.lowering, [&(None, examples)].into_iter());
        let mut cases: Vec<(u32, u32, Option<Held>)> = Vec::new();
        for (case, (pod, direction)) in missing {
            cases.push((case, made.chain_of(pod, direction)?, None));
        }
        let first = made.chain_count();
        let mut taken = 0;
        let library = match kept {
            None => made,
            Some(kept) => {
                taken = kept.cases.len();
                let own = kept.cases.into_iter();
                cases.extend(own.map(|(case, (chain, held))| (case, first + chain, Some(held))));
                made.and(kept.library)
            }
        };
        let chains: FxHashMap<u32, u32> = cases
            .iter()
            .map(|(case, chain, _)| (*case, *chain))
            .collect();
        let chain = |pod, direction| {
            let chain = chains.get(&case(pod, direction)?);
            chain.copied().map(ChainId)
        };
        let endpoints = pods.iter().filter_map(|pod| {
            let chains = PerDirection {
                ingress: chain(*pod, Direction::Ingress)?,
                egress: chain(*pod, Direction::Egress)?,
            };
            Some((*pod, chains))
        });
        let library = library.with_endpoints(endpoints);
        let shared = Shared::new(&self.prover, &library, cases.into_iter());
        Some(Together {
            library,
            shared,
            taken,
        })
    }

    /// The bytes of a file that keeps the tables of which everything is proved; none where there is nothing that can be kept.
    #[must_use]
    pub fn keep_tables(&self, prints: &Fingerprints, together: &Together) -> Option<Vec<u8>> {
        let held = together.shared.held();
        let mut words = Vec::new();
        let policies = prints.policies();
        words.push(number(policies.len()));
        policies
            .iter()
            .for_each(|print| words.extend(words_of(print)));
        words.push(number(held.len()));
        for (case, _, held) in &held {
            words.extend(words_of(prints.proofs().get(*case as usize)?));
            words.extend([held.apart as u32, (held.apart >> 32) as u32]);
            for leaves in &held.aside {
                write_list(&mut words, leaves.iter().copied());
            }
        }
        let chains: Vec<u32> = held.iter().map(|(_, chain, _)| *chain).collect();
        let places = self.places();
        let tell = |origin| tell(&places, origin);
        if !together.library.write(&mut words, &chains, tell) {
            return None;
        }
        kept::sealed(FORM, &words)
    }

    /// Reads tables that were kept: those of cases that there are now. `None` where the bytes are damaged, or of another layout.
    #[must_use]
    pub fn kept_tables(&self, prints: &Fingerprints, file: &[u8]) -> Option<Tables> {
        let words = kept::unsealed(FORM, file)?;
        let mut words = Words(&words);
        let count = words.one()? as usize;
        let (policies, _) = words.some(count.checked_mul(PRINT)?)?.as_chunks::<PRINT>();
        let numbers: FxHashMap<[u32; PRINT], PolicyId> = (0..)
            .map(PolicyId)
            .zip(prints.policies())
            .map(|(id, print)| (words_of(print), id))
            .collect();
        let now: FxHashMap<[u32; PRINT], u32> = (0..)
            .zip(prints.proofs())
            .map(|(case, print)| (words_of(print), case))
            .collect();
        let count = words.one()?;
        let mut found = Vec::new();
        for _ in 0..count {
            let print = *words.some(PRINT)?.first_chunk::<PRINT>()?;
            let [low, high] = *words.some(2)?.first_chunk::<2>()?;
            let held = Held {
                apart: u64::from(high) << 32 | u64::from(low),
                aside: [words.list()?.to_vec(), words.list()?.to_vec()],
            };
            found.push((now.get(&print).copied(), held));
        }
        let live: Vec<bool> = found.iter().map(|(case, _)| case.is_some()).collect();
        let leaves = self.lowering.leaves().list().len();
        if !live.contains(&true) {
            // Where leaves are others, so are all digests.
            return Some(Tables {
                library: Library::new(&self.lowering, std::iter::empty()),
                cases: FxHashMap::default(),
            });
        }
        let who = |[kind, policy, rule]: Told| {
            if kind == NOBODY {
                return Some(Origin::Nobody);
            }
            let policy = *numbers.get(policies.get(policy as usize)?)?;
            let direction = match kind {
                ISOLATION => return Some(Origin::Isolation(policy)),
                INGRESS => Direction::Ingress,
                EGRESS => Direction::Egress,
                _ => return None,
            };
            let rules = self.policies.policy(policy)?.rules.get(direction);
            Some(Origin::Rule(rules.get(rule as usize)?.id))
        };
        let (library, chains) = Library::read(&mut words, leaves, &live, who)?;
        if !words.0.is_empty() {
            return None;
        }
        let cases = found.into_iter().zip(chains);
        let cases = cases.filter_map(|((case, held), chain)| Some((case?, (chain?, held))));
        Some(Tables {
            library,
            cases: cases.collect(),
        })
    }

    /// By rule: its policy, direction and number in that.
    fn places(&self) -> Vec<Told> {
        let mut places = vec![[NOBODY, 0, 0]; self.policies.origins.len()];
        for policy in &self.policies.policies {
            let lists = [
                (INGRESS, &policy.rules.ingress),
                (EGRESS, &policy.rules.egress),
            ];
            for (kind, rules) in lists {
                for (rule, index) in rules.iter().zip(0..) {
                    if let Some(place) = places.get_mut(rule.id.index()) {
                        *place = [kind, policy.id.0, index];
                    }
                }
            }
        }
        places
    }
}

fn tell(places: &[Told], origin: Origin) -> Option<Told> {
    match origin {
        Origin::Nobody => Some([NOBODY, 0, 0]),
        Origin::Isolation(policy) => Some([ISOLATION, policy.0, 0]),
        Origin::Rule(rule) => places.get(rule.index()).copied(),
    }
}
