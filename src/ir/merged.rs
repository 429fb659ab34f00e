//! The nodes of a snapshot with one representative for all that compute the same value.

use std::ops::Deref;

use crate::ir::{Dag, Source};

/// A graph in which whoever read a duplicate reads its representative. Made by `fuse::merge`.
#[derive(Clone, Default)]
pub struct Merged {
    pub(crate) dag: Dag,
    /// The earlier node that computes the same value, for each node.
    pub(crate) representative: Vec<Option<usize>>,
    /// Whether anything that is kept needs the value.
    pub(crate) needed: Vec<bool>,
}

impl Merged {
    /// A graph without duplicates, or whose duplicates are computed.
    pub fn without_duplicates(dag: Dag) -> Merged {
        let n = dag.nodes.len();
        Merged { dag, representative: vec![None; n], needed: vec![true; n] }
    }

    /// The earlier node that computes the value of node `i`.
    pub fn representative(&self, i: usize) -> Option<usize> {
        self.representative[i]
    }

    /// Whether somebody needs the value of node `i`.
    pub fn is_needed(&self, i: usize) -> bool {
        self.needed[i]
    }

    /// What computing node `i` reads: its inputs, or its representative.
    pub fn reads(&self, i: usize) -> Vec<Source> {
        match self.representative[i] {
            Some(representative) => vec![Source::Pending(representative)],
            None => self.dag.inputs[i].to_vec(),
        }
    }
}

impl Deref for Merged {
    type Target = Dag;

    fn deref(&self) -> &Dag {
        &self.dag
    }
}
