//! Movement of elements and dims that is composed of views.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::tensor::movement::join;

impl Tensor {
    /// Moves the dims `from` to the positions `to`; the others keep their order.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], &Device::default());
    /// assert_eq!(x.movedim(&[0], &[-1]).shape(), [3, 4, 2]);
    /// ```
    #[track_caller]
    pub fn movedim(&self, from: &[isize], to: &[isize]) -> Tensor {
        self.build(Location::caller(), |v| {
            let shape = v.shape();
            if from.len() != to.len() {
                let detail = format!("{} dims for {} positions", from.len(), to.len());
                return Err(Error::argument("movedim", detail));
            }
            // Each at most once.
            shape.dims_sorted("movedim", from)?;
            shape.dims_sorted("movedim", to)?;
            let mut order: Vec<Option<usize>> = vec![None; shape.rank()];
            for (&from, &to) in from.iter().zip(to) {
                order[shape.dim("movedim", to)?] = Some(shape.dim("movedim", from)?);
            }
            let mut others = (0..shape.rank()).filter(|d| !order.contains(&Some(*d))).collect::<Vec<_>>().into_iter();
            let order: Vec<usize> = order.iter().filter_map(|place| place.or_else(|| others.next())).collect();
            Ok(v.permute(&order))
        })
    }

    /// Repeats the tensor `times[d]` times along each dim, counted from the last: missing entries are 1, more entries than dims
    /// add dims in front.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::cpu());
    /// assert_eq!(x.tile(&[2]).to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0]);
    /// assert_eq!(Tensor::zeros([2, 3], &Device::cpu()).tile(&[2]).shape(), [2, 6]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn tile(&self, times: &[usize]) -> Tensor {
        let missing = self.rank().saturating_sub(times.len());
        self.repeat(&[&vec![1; missing][..], times].concat())
    }

    /// Repeats each element `times` times in a row along `dim`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::default());
    /// assert_eq!(x.repeat_interleave(2, 0).to_vec::<f32>()?, [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn repeat_interleave(&self, times: usize, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let d = v.shape().dim("repeat_interleave", dim)?;
            let wide = v.shape().with_inserted(d + 1, times);
            let mut out = v.shape().clone();
            out.dims_mut()[d] = out[d].saturating_mul(times);
            Ok(v.unsqueeze(d + 1).expand(&wide).reshape(&out))
        })
    }

    /// Turns the plane of two dims by `k` quarter iterations, from the first towards the second.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &Device::default());
    /// assert_eq!(x.rot90(1, (0, 1)).to_vec::<f32>()?, [2.0, 4.0, 1.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rot90(&self, k: i32, dims: (isize, isize)) -> Tensor {
        self.build(Location::caller(), |v| {
            v.shape().dims_sorted("rot90", &[dims.0, dims.1])?;
            let (a, b) = (v.shape().dim("rot90", dims.0)?, v.shape().dim("rot90", dims.1)?);
            Ok(match k.rem_euclid(4) {
                1 => v.flip(&[b]).transpose(a, b),
                2 => v.flip(&[a, b]),
                3 => v.flip(&[a]).transpose(a, b),
                _ => v.clone(),
            })
        })
    }

    /// Grids from vectors: one tensor for each, of shape `[n₀, n₁, …]`, that varies along its own dim only (`indexing="ij"`).
    /// Views, no copies.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (x, y) = (Tensor::arange(0.0, 2.0, 1.0, &device), Tensor::arange(0.0, 3.0, 1.0, &device));
    /// let grids = Tensor::meshgrid(&[&x, &y]);
    /// assert_eq!(grids[0].to_vec::<f32>()?, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    /// assert_eq!(grids[1].to_vec::<f32>()?, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn meshgrid(tensors: &[&Tensor]) -> Vec<Tensor> {
        let at = Location::caller();
        let grid = |k: usize| {
            join(tensors, "meshgrid", at, |vars| {
                if let Some(v) = vars.iter().find(|v| v.shape().rank() > 1) {
                    return Err(Error::shape("meshgrid", "takes vectors", &[v.shape()]));
                }
                let full: Shape = vars.iter().map(|v| v.meta().numel()).collect();
                let along: Shape = (0..full.rank()).map(|d| if d == k { full[d] } else { 1 }).collect();
                Ok(vars[k].reshape(&along).expand(&full))
            })
        };
        (0..tensors.len()).map(grid).collect()
    }

    /// The slices along `dim`, which goes away. Of a tensor that carries an error, or has no such dim, one that carries it.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// let rows = x.unbind(0);
    /// assert_eq!(rows.len(), 2);
    /// assert_eq!(rows[1].to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn unbind(&self, dim: isize) -> Vec<Tensor> {
        let at = Location::caller();
        let resolved = self.check().and_then(|()| self.full_shape().dim("unbind", dim));
        match resolved {
            Ok(d) => (0..self.shape()[d]).map(|k| self.build(at, |v| Ok(v.select(d, k)))).collect(),
            Err(error) => vec![self.build(at, |_| Err(error))],
        }
    }

    /// Joins tensors along their columns: along dim 1, vectors along their only dim.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::zeros([2, 1], &device), Tensor::ones([2, 2], &device));
    /// assert_eq!(Tensor::hstack(&[&a, &b]).to_vec::<f32>()?, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn hstack(tensors: &[&Tensor]) -> Tensor {
        join(tensors, "hstack", Location::caller(), |vars| {
            let vars: Vec<Var> = vars.iter().map(|v| at_least(v, 1)).collect();
            Var::cat(&vars.iter().collect::<Vec<_>>(), usize::from(vars[0].shape().rank() > 1))
        })
    }

    /// Joins tensors along their rows, dim 0; vectors count as rows.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::zeros([2], &device), Tensor::ones([2], &device));
    /// let rows = Tensor::vstack(&[&a, &b]);
    /// assert_eq!(rows.shape(), [2, 2]);
    /// assert_eq!(rows.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn vstack(tensors: &[&Tensor]) -> Tensor {
        join(tensors, "vstack", Location::caller(), |vars| {
            let vars: Vec<Var> = vars.iter().map(|v| at_least(v, 2)).collect();
            Var::cat(&vars.iter().collect::<Vec<_>>(), 0)
        })
    }

    /// Kronecker product: each element of this tensor times the whole of the other, instead of the element.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::from_slice(&[1f32, 2.0], [2], &device), Tensor::from_slice(&[1f32, 10.0], [2], &device));
    /// assert_eq!(a.kron(&b).to_vec::<f32>()?, [1.0, 10.0, 2.0, 20.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn kron(&self, other: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| -> Result<Var> {
            let other = other.node();
            other.check()?;
            let rank = v.shape().rank().max(other.shape().rank());
            // [a, b] and [c, d] as [a, 1, b, 1] and [1, c, 1, d].
            let size = |v: &Var, d: usize| (d + v.shape().rank()).checked_sub(rank).map_or(1, |own| v.shape()[own]);
            let left: Shape = (0..rank).flat_map(|d| [size(v, d), 1]).collect();
            let right: Shape = (0..rank).flat_map(|d| [1, size(&other, d)]).collect();
            let out: Shape = (0..rank).map(|d| size(v, d).saturating_mul(size(&other, d))).collect();
            Ok(v.reshape(&left).mul(&other.reshape(&right)).reshape(&out))
        })
    }
}

/// The value with dims of size 1 in front up to `rank`.
fn at_least(v: &Var, rank: usize) -> Var {
    let lead = rank.saturating_sub(v.shape().rank());
    v.reshape(&(0..lead).map(|_| 1).chain(v.shape().iter().copied()).collect())
}
