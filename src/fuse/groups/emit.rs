//! From the nodes of a kernel to straight-line code.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::{Fuser, Path, Role, fold};
use crate::dtype::DType;
use crate::graph::Var;
use crate::ir::Source;
use crate::ir::group::{Body, Inst, Leaf, What};
use crate::layout::View;

/// Turns nodes into straight-line code, each (node, path) once.
pub struct Emitter<'a> {
    pub memo: HashMap<(usize, Path), usize>,
    pub body: Body,
    /// The kernel whose stored members are values at hand.
    inside: Option<usize>,
    group_of: &'a HashMap<usize, usize>,
    /// The nodes computed so far; each once.
    pub computed: Vec<usize>,
    seen: HashSet<usize>,
}

impl Emitter<'_> {
    pub fn new(inside: Option<usize>, group_of: &HashMap<usize, usize>) -> Emitter<'_> {
        let (memo, seen) = (HashMap::new(), HashSet::new());
        Emitter { memo, body: Body::default(), inside, group_of, computed: Vec::new(), seen }
    }

    fn push(&mut self, what: What, dtype: DType) -> usize {
        self.body.code.push(Inst { what, dtype });
        self.body.code.len() - 1
    }

    /// The value of `source` seen through `path`, in an index space of `space`.
    pub fn read(&mut self, fuser: &Fuser, source: Source, path: &[View], space: &crate::shape::Shape) -> usize {
        let var: &Var = fuser.graph.var(source);
        if let (true, Source::Pending(i)) = (fuser.is_scalar(source), source) {
            return match self.memo.get(&(i, Path::new())) {
                Some(&value) => value,
                None => {
                    let value = self.push(What::Scalar(i), var.dtype());
                    self.memo.insert((i, Path::new()), value);
                    value
                }
            };
        }
        // Paths that leave every element in place are one path; but a reduction's own space is split by dims, so there the
        // shape matters too.
        let in_place = self.inside.is_some() && fuser.is_same_index(source, path);
        let path: Path = if in_place { Path::new() } else { path.to_vec() };
        if let Source::Pending(i) = source {
            if let Some(&value) = self.memo.get(&(i, path.clone())) {
                return value;
            }
            let at_hand = self.inside.is_some() && self.group_of.get(&i).copied() == self.inside && path.is_empty();
            if fuser.is_virtual(source) || at_hand {
                let value = self.compute(fuser, i, &path);
                self.memo.insert((i, path), value);
                return value;
            }
        }
        let layout = fold(&var.meta().shape, &path).unwrap_or_else(|| {
            // `Fuser::fit` stored every base that a path could not reach.
            unreachable!("the path {path:?} to {} is not expressible over {space}", var.meta().shape)
        });
        let leaf = Leaf { source, layout, dtype: var.dtype() };
        let number = self.body.leaves.iter().position(|l| *l == leaf).unwrap_or_else(|| {
            self.body.leaves.push(leaf);
            self.body.leaves.len() - 1
        });
        let loaded = self.body.code.iter().position(|inst| matches!(inst.what, What::Load(l) if l == number));
        loaded.unwrap_or_else(|| self.push(What::Load(number), var.dtype()))
    }

    /// Evaluates elementwise node `i` at the elements that `path` selects.
    pub fn compute(&mut self, fuser: &Fuser, i: usize, path: &[View]) -> usize {
        let meta = fuser.graph.nodes[i].meta();
        if let Role::Fill(scalar) = fuser.role[i] {
            self.note(i);
            return self.push(What::Scalar(scalar), meta.dtype);
        }
        let operands = fuser.operands(i);
        let mut args = Vec::with_capacity(operands.len() + 1);
        if fuser.is_generator(i) {
            let layout = fold(&meta.shape, path)
                .unwrap_or_else(|| unreachable!("a generator's path {path:?} was checked by Fuser::fit"));
            args.push(self.push(What::Index(layout), DType::U32));
        }
        for (source, mut inner) in operands {
            inner.extend(path.iter().cloned());
            args.push(self.read(fuser, source, &inner, &meta.shape));
        }
        self.note(i);
        match &fuser.role[i] {
            Role::Elementwise(kernel) => {
                let (function, left_out) = (kernel.function.clone(), kernel.left_out.clone());
                let what = What::Call { function, field: kernel.field, args, left_out };
                self.push(what, meta.dtype)
            }
            _ => self.push(What::Copy(args[0]), meta.dtype),
        }
    }

    fn note(&mut self, i: usize) {
        if self.seen.insert(i) {
            self.computed.push(i);
        }
    }
}
