//! Connections for people and pictures: by destination, with what is equal put together.
//!
//! [`View`] holds what all of these formats show; each is a module of its own name.

pub(in crate::cli) mod csv;
pub(in crate::cli) mod dot;
pub(in crate::cli) mod exposure;
pub(in crate::cli) mod graph;
pub(in crate::cli) mod human;
pub(in crate::cli::render) mod lines;
pub(in crate::cli) mod markdown;
pub(in crate::cli) mod mermaid;
pub(in crate::cli::render) mod table;

use super::clean;
use crate::diagnostic::counted;
use crate::hir::Direction;
use crate::list::words::Names;
use crate::list::{Block, Focus, Listing, Party, PeerId};
use std::collections::BTreeSet;
use table::Section;

/// How many names of a namespace are told, and how many namespaces.
pub(in crate::cli::render) const MOST_NAMES: usize = 6;

/// What a view shows beside connections.
#[derive(Debug)]
pub(in crate::cli) struct Setting {
    /// How many policies there are.
    pub(in crate::cli) policies: usize,
    /// What was left out of the input.
    pub(in crate::cli) incomplete: Vec<String>,
    /// Whether all names are told.
    pub(in crate::cli) verbose: bool,
}

/// Blocks of connections in words.
#[derive(Debug)]
pub(in crate::cli) struct View<'a> {
    listing: &'a Listing<'a>,
    names: Names<'a>,
    sections: Vec<Section>,
    setting: Setting,
    /// Peers that no policy governs, with what that says of them.
    ungoverned: Vec<(&'static str, Vec<Party>)>,
}

impl<'a> View<'a> {
    /// The view of some blocks.
    pub(in crate::cli) fn new(
        listing: &'a Listing<'a>,
        blocks: &[Block],
        focus: &Focus,
        setting: Setting,
    ) -> Self {
        let most = if setting.verbose {
            usize::MAX
        } else {
            MOST_NAMES
        };
        Self {
            listing,
            names: Names::new(listing.directory(), most),
            sections: table::sections(blocks, |block| table::listed(listing, block)),
            ungoverned: ungoverned(listing, focus),
            setting,
        }
    }

    /// `7 workloads in 4 namespaces, 9 policies`
    fn headline(&self) -> String {
        let peers = self.listing.peers().len();
        format!(
            "{} in {}, {}",
            counted(peers, self.names.noun()),
            counted(self.names.namespaces(), "namespace"),
            match self.setting.policies {
                1 => "1 policy".to_owned(),
                several => format!("{several} policies"),
            }
        )
    }

    /// What must be known to read the list: what is missing from it, and who is open for want of a policy.
    fn remarks(&self) -> Vec<String> {
        let incomplete = self.setting.incomplete.iter();
        let incomplete = incomplete.map(|missing| format!("incomplete: {missing}"));
        let open = self.ungoverned.iter();
        let open = open.map(|(what, peers)| format!("{what}: {}", self.names(peers)));
        incomplete
            .chain(open)
            .map(|text| clean(&text).into_owned())
            .collect()
    }

    fn names(&self, parties: &[Party]) -> String {
        clean(&self.names.of(parties)).into_owned()
    }

    /// Why there are no connections, where there are none.
    fn nothing(&self) -> &'static str {
        if self.listing.peers().is_empty() {
            "there is nothing to list: the inputs have no pods and no workloads"
        } else {
            "no connection is allowed"
        }
    }
}

fn ungoverned(listing: &Listing<'_>, focus: &Focus) -> Vec<(&'static str, Vec<Party>)> {
    let of = |direction| -> BTreeSet<PeerId> {
        let peers = listing.ungoverned(direction).into_iter();
        peers.filter(|peer| focus.has_peer(*peer)).collect()
    };
    let (ingress, egress) = (of(Direction::Ingress), of(Direction::Egress));
    let sets: [(&str, Vec<PeerId>); 3] = [
        (
            "governed by no policy",
            ingress.intersection(&egress).copied().collect(),
        ),
        (
            "ingress governed by no policy",
            ingress.difference(&egress).copied().collect(),
        ),
        (
            "egress governed by no policy",
            egress.difference(&ingress).copied().collect(),
        ),
    ];
    let told = sets.into_iter().filter(|(_, peers)| !peers.is_empty());
    told.map(|(what, peers)| (what, peers.into_iter().map(Party::Peer).collect()))
        .collect()
}
