//! What is kept of the ground that all images stand on, for the next compile: the leaves, and who each address is.
//!
//! Both hang on the cluster and on where blocks cut its addresses, and on nothing else that policies say; they are kept under the
//! [digest of all that](ground) once they were proved, so that neither is found nor proved once more. Of bytes that are damaged, or
//! that another verdict wrote, nothing is taken.

use super::{Compiler, Written};
use crate::image::{Addresses, COUNTS};
use crate::ir;
use crate::kept::{self, Form, PRINT, Words, print_of, words_of};
use crate::lir::Lowering;
use crate::lir::leaves::Leaves;
use crate::verify::{ProvedAddresses, ground};

/// How the file begins.
const FORM: Form = Form {
    magic: b"VERDICTG",
    version: 1,
};

/// A file in which the ground of images was kept.
#[derive(Debug)]
pub struct KeptGround(
    /// None where it is damaged.
    Option<Vec<u32>>,
);

impl KeptGround {
    /// Unpacks a file.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        Self(kept::unsealed(FORM, file))
    }
}

/// What became of a file in which the ground of images was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroundFile {
    /// There is none.
    Missing,
    /// It was taken.
    Taken,
    /// It is of other leaves or addresses.
    Stale,
    /// It is damaged, or another verdict wrote it.
    Unusable,
}

/// What was kept.
struct Ground {
    leaves: Leaves,
    addresses: Addresses,
    proved: ProvedAddresses,
}

impl<'a> Compiler<'a> {
    /// Prepares the images of a cluster upon what was kept of another compile, if it is the same. `build` is what tells this verdict
    /// from others: where that is not known nothing is taken, and nothing is kept.
    #[must_use]
    pub fn upon(
        written: Written<'a>,
        program: &'a ir::Program,
        build: Option<&[u8]>,
        file: Option<KeptGround>,
    ) -> (Self, GroundFile) {
        let (cluster, policies) = (written.cluster, written.policies);
        let words = file.as_ref().and_then(|file| file.0.as_ref());
        let words = words.and_then(|words| words.split_first_chunk());
        // Mostly it is of these, and is read while that is found out.
        let (print, kept) = rayon::join(
            || build.map(|build| ground(build, cluster, policies, program)),
            || words.and_then(|(_, rest)| read(rest, program)),
        );
        let told = match (file.as_ref().zip(print.as_ref()), words) {
            (None, _) => GroundFile::Missing,
            (Some((_, print)), Some((known, _))) if *known != words_of(print) => GroundFile::Stale,
            (Some(_), _) if kept.is_some() => GroundFile::Taken,
            (Some(_), _) => GroundFile::Unusable,
        };
        // What is not used is not held while leaves are found anew.
        drop(file);
        let kept = kept.filter(|_| told == GroundFile::Taken);
        let mut compiler = match kept {
            None => Self::with(written, Lowering::new(cluster, program)),
            Some(kept) => {
                let lowering = Lowering::with(cluster, program, kept.leaves);
                Self::made(written, lowering, Some((kept.addresses, kept.proved)))
            }
        };
        compiler.ground = print.filter(|_| told != GroundFile::Taken);
        (compiler, told)
    }

    /// The bytes of a file that keeps the leaves and who each address is, once both are proved; none where they were kept.
    #[must_use]
    pub fn keep_ground(&self) -> Option<Vec<u8>> {
        let print = self.ground.as_ref()?;
        let (digests, counts) = self.prover.proved_addresses()?;
        let mut words = words_of(print).to_vec();
        words.extend(counts);
        words.extend(digests.iter().flat_map(words_of));
        if !self.lowering.leaves().write(&mut words) {
            return None;
        }
        self.common.told_addresses().write(&mut words);
        kept::sealed(FORM, &words)
    }
}

/// What a file has behind its digest.
fn read(words: &[u32], program: &ir::Program) -> Option<Ground> {
    let mut words = Words(words);
    let counts = *words.some(COUNTS.len())?.first_chunk()?;
    let mut digests = ProvedAddresses::default().0;
    for digest in &mut digests {
        *digest = print_of(words.some(PRINT)?.first_chunk()?);
    }
    let ground = Ground {
        leaves: Leaves::read(&mut words, program)?,
        addresses: Addresses::read(&mut words)?,
        proved: (digests, counts),
    };
    words.0.is_empty().then_some(ground)
}
