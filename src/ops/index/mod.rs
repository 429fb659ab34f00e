//! Indexing by tensors: `gather` and `scatter_add`, which are each other's gradient, and what is built from them. Scattering
//! kernels are in `scatter.rs` and `reduce.rs`, methods that scatter in `update.rs`.
//!
//! Indices are checked where they are used: one out of range becomes an error at reads of what was computed with it, and
//! memory outside the tensor is never touched. Sums run in the order of the indices without atomics, so results are the same from run to run.

mod finite;
mod reduce;
mod scatter;
mod update;

pub use reduce::ScatterReduction;

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage, Word};
use crate::graph::{IndexCheck, Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, poisoned, wgsl};
use crate::shape::Shape;

/// `y[o, j, i] = x[o, index[o, j, i], i]` along `dim`; all other dims of `x` and `index` agree.
#[derive(Clone, Copy, Hash)]
struct Gather {
    dim: usize,
    /// What the user called.
    name: &'static str,
}

fn expect_index(op: &str, index: &Meta) -> Result<()> {
    match index.dtype.is_int() {
        true => Ok(()),
        false => Err(Error::dtype(op, "indices must be i32 or u32", &[index.dtype])),
    }
}

fn with_dim(shape: &Shape, dim: usize, size: usize) -> Shape {
    let mut out = shape.clone();
    out.dims_mut()[dim] = size;
    out
}

/// 1 at each index along a new last dim of size `classes`, else 0.
#[derive(Clone, Copy, Hash)]
struct OneHot {
    classes: usize,
}

/// Indices as i64, each checked against `bound`.
fn checked(op: &str, index: &Array, bound: usize) -> Result<Vec<usize>> {
    let check = |v: f64| {
        let inside = v >= 0.0 && v < bound as f64;
        let fault = || Error::IndexOutOfRange {
            op: op.into(),
            index: v as i64,
            bound: bound as u64,
            shape: None,
            at: Default::default(),
        };
        if inside { Ok(v as usize) } else { Err(fault()) }
    };
    index.to_f64().into_iter().map(check).collect()
}

impl Op for Gather {
    fn name(&self) -> &str {
        self.name
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 1, bound: inputs[0].shape[self.dim] as u64, ignored: None })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        expect_index(self.name, index)?;
        check_dim(self.name, &x.shape, self.dim)?;
        let same_rank = index.shape.rank() == x.shape.rank();
        if !same_rank || with_dim(&index.shape, self.dim, x.shape[self.dim]) != x.shape {
            let detail = format!("the index must match the tensor in every dim but {}", self.dim);
            return Err(Error::shape(self.name, detail, &[&x.shape, &index.shape]));
        }
        Ok(Meta { shape: index.shape.clone(), dtype: x.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[0].shape(), self.dim), around(&output.shape, self.dim));
        let index = checked(self.name, inputs[1], from.size)?;
        let place = |(p, k): (usize, usize)| {
            let o = p / to.inner / to.size;
            (o * from.size + k) * from.inner + p % to.inner
        };
        let places: Vec<usize> = index.into_iter().enumerate().map(place).collect();
        Ok(crate::with_array!(inputs[0], x => {
            let x: Vec<_> = x.iter().copied().collect();
            Array::from_vec(&output.shape, places.into_iter().map(|p| x[p]).collect())
        }))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let size = cx.inputs[0].shape()[self.dim];
        Ok(vec![Some(Var::apply(scatter::ScatterSum { dim: self.dim, size }, &[cx.dy, &cx.inputs[1]])), None])
    }

    fn is_flat(&self) -> bool {
        // The indices may come from what is indexed, as those of sorting do.
        true
    }
}

impl Op for OneHot {
    fn name(&self) -> &str {
        "one_hot"
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, _inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 0, bound: self.classes as u64, ignored: None })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let index = inputs[0];
        expect_index("one_hot", index)?;
        if self.classes == 0 && index.numel() > 0 {
            // The kernel runs once for each element, so here it could not report what it finds.
            return Err(Error::argument("one_hot", format!("no index of {} is one of 0 classes", index.shape)));
        }
        Ok(Meta { shape: index.shape.with_inserted(index.shape.rank(), self.classes), dtype: DType::F32 })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let mut out = vec![0f32; output.numel()];
        for (p, class) in checked("one_hot", inputs[0], self.classes)?.into_iter().enumerate() {
            out[p * self.classes + class] = 1.0;
        }
        Ok(Array::from_vec(&output.shape, out))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Routine for OneHot {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let total = output.meta.numel();
        Ok(vec![Stage {
            name: "one_hot",
            source: wgsl!("index/one_hot"),
            reads: vec![routine::read("index", 0)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: vec![
                ("total", routine::size("one_hot", total)?),
                ("classes", routine::size("one_hot", self.classes)?),
            ],
            checks_indices: true,
            workgroups: routine::grid(total),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// Parameters that the index kernels share: elements of the output, and the shape around the dim.
fn params(total: usize, inner: usize, size: usize, len: usize) -> Result<Vec<(&'static str, Word)>> {
    let word = |n| routine::size("index", n);
    Ok(vec![("total", word(total)?), ("inner", word(inner)?), ("size", word(size)?), ("len", word(len)?)])
}

impl Routine for Gather {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let to = around(&output.meta.shape, self.dim);
        let size = inputs[0].meta.shape[self.dim];
        Ok(vec![Stage {
            name: "gather",
            source: wgsl!("index/gather"),
            reads: vec![routine::read("x", 0), routine::read("index", 1)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: params(output.meta.numel(), to.inner, size, to.size)?,
            checks_indices: true,
            workgroups: routine::grid(output.meta.numel()),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// `x` and `index` as vectors of one element where they are scalars; `None` where neither is.
fn with_dims(x: &Var, index: &Var) -> Option<(Var, Var)> {
    let scalar = |v: &Var| v.shape().rank() == 0;
    (scalar(x) || scalar(index)).then(|| (x.at_least_1d(), index.at_least_1d()))
}

impl Var {
    fn at_least_1d(&self) -> Var {
        if self.shape().rank() == 0 { self.reshape(&Shape::from([1])) } else { self.clone() }
    }

    /// This value, which carries an error or has as many elements, in `shape`.
    fn reshape_as(&self, shape: &Shape) -> Var {
        if self.0.error.is_some() { self.clone() } else { self.reshape(shape) }
    }

    /// Elements at the given indices along `dim`; `index` has this rank and is not larger in any other dim. Scalars count as vectors of
    /// one element.
    #[track_caller]
    pub fn gather(&self, dim: usize, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        if let Some((x, i)) = with_dims(self, index) {
            return x.gather(dim, &i).reshape_as(index.shape());
        }
        let mut x = self.clone();
        if index.shape().rank() == self.shape().rank() {
            for d in (0..self.shape().rank()).filter(|&d| d != dim) {
                if index.shape()[d] < self.shape()[d] {
                    x = x.slice(d, 0, 1, index.shape()[d]);
                }
            }
        }
        Var::apply(Gather { dim, name: "gather" }, &[&x, index])
    }

    /// [`Var::gather`] with sizes that broadcast in all dims but `dim`.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not, or where the ranks differ.
    #[track_caller]
    pub fn take_along_dim(&self, index: &Var, dim: usize) -> Result<Var> {
        self.check()?;
        index.check()?;
        let rank = self.shape().rank();
        if index.shape().rank() != rank {
            let detail = "the index must have the tensor's rank";
            return Err(Error::shape("take_along_dim", detail, &[self.shape(), index.shape()]));
        }
        check_dim("take_along_dim", self.shape(), dim)?;
        let common = with_dim(self.shape(), dim, 1).broadcast("take_along_dim", &with_dim(index.shape(), dim, 1))?;
        let (x, index) = (
            self.expand(&with_dim(&common, dim, self.shape()[dim])),
            index.expand(&with_dim(&common, dim, index.shape()[dim])),
        );
        Ok(Var::apply(Gather { dim, name: "take_along_dim" }, &[&x, &index]))
    }

    /// The slices at the given indices (rank 1, or one number) along `dim`. A scalar is indexed by one number and stays a scalar.
    #[track_caller]
    pub fn index_select(&self, dim: usize, index: &Var) -> Var {
        self.select_at("index_select", dim, index)
    }

    #[track_caller]
    fn select_at(&self, name: &'static str, dim: usize, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        if self.shape().rank() == 0 && index.meta().numel() != 1 {
            let detail = "a scalar is indexed by one number";
            return self.fail(Error::shape(name, detail, &[self.shape(), index.shape()]));
        }
        if let Some((x, i)) = with_dims(self, index) {
            let y = x.select_at(name, dim, &i);
            return if self.shape().rank() == 0 { y.reshape_as(self.shape()) } else { y };
        }
        if let Err(error) = check_dim(name, self.shape(), dim) {
            return self.fail(error);
        }
        if index.shape().rank() != 1 {
            let detail = "the index must have one dim";
            return self.fail(Error::shape(name, detail, &[self.shape(), index.shape()]));
        }
        if let Err(error) = expect_index(name, index.meta()) {
            return self.fail(error);
        }
        let len = index.shape()[0];
        let along: Shape = (0..self.shape().rank()).map(|d| if d == dim { len } else { 1 }).collect();
        let full = with_dim(self.shape(), dim, len);
        Var::apply(Gather { dim, name }, &[self, &index.reshape(&along).expand(&full)])
    }

    /// Rows of this `[n, d]` at indices of any shape.
    #[track_caller]
    pub fn embedding(&self, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        if self.shape().rank() != 2 {
            return self.fail(Error::shape("embedding", "the weight must be [n, d]", &[self.shape(), index.shape()]));
        }
        let rows = self.select_at("embedding", 0, &index.reshape(&Shape::from([index.shape().numel()])));
        let out: Shape = index.shape().iter().copied().chain([self.shape()[1]]).collect();
        if rows.0.error.is_some() { rows } else { rows.reshape(&out) }
    }

    /// 1 at each index along a new last dim of size `classes`, else 0, as f32.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Var {
        Var::apply(OneHot { classes }, &[self])
    }

    /// Whether each index equals each of `0..classes`, along a new last dim.
    pub(crate) fn is_class(&self, classes: usize) -> Var {
        let numbers = Var::generate_arange(0.0, 1.0, classes, self.dtype(), &self.0.context);
        self.unsqueeze(self.shape().rank()).eq(&numbers)
    }
}
