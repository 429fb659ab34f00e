//! Products of tensors by name: Einstein summation and what it covers.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::tensor::Tensor;
use crate::tensor::movement::join;

/// Checks the ranks of operands.
fn expect_ranks(op: &str, operands: &[(&Var, usize)]) -> Result<()> {
    match operands.iter().all(|(v, rank)| v.shape().rank() == *rank) {
        true => Ok(()),
        false => {
            let ranks: Vec<String> = operands.iter().map(|(_, rank)| rank.to_string()).collect();
            let shapes: Vec<_> = operands.iter().map(|(v, _)| v.shape()).collect();
            Err(Error::shape(op, format!("takes operands of rank {}", ranks.join(" and ")), &shapes))
        }
    }
}

impl Tensor {
    /// Sums of products of elements, as the equation says: a letter for each dim of each operand, terms separated by commas.
    /// Letters that the output lacks are summed over; a letter twice in a term takes a diagonal; `...` stands for any number of
    /// dims, which broadcast. Without `->` the output has the dims of `...` and then the letters that occur once, in
    /// alphabetical order.
    ///
    /// Operands are multiplied from left to right, through batched [`Tensor::matmul`] where dims are summed. Carries an error
    /// that names the term where operands do not fit.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let a = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &device);
    /// assert_eq!(Tensor::einsum("ij,kj->ik", &[&a, &a]).to_vec::<f32>()?, [5.0, 11.0, 11.0, 25.0]);
    /// assert_eq!(Tensor::einsum("ii", &[&a]).item::<f32>()?, 5.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
        let operands: Vec<Tensor> = operands.iter().map(|t| t.narrowed()).collect();
        let operands: Vec<&Tensor> = operands.iter().collect();
        join(&operands, "einsum", Location::caller(), |vars| Var::einsum(equation, vars))
    }

    /// Sums of products over pairs of dims: `dims.0[p]` of this tensor with `dims.1[p]` of the other. The result has this
    /// tensor's other dims, then the other's.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (a, b) = (Tensor::ones([2, 3, 4], &device), Tensor::ones([4, 3, 5], &device));
    /// assert_eq!(a.tensordot(&b, (&[1, 2], &[1, 0])).shape(), [2, 5]);
    /// ```
    #[track_caller]
    pub fn tensordot(&self, other: &Tensor, dims: (&[isize], &[isize])) -> Tensor {
        let other = other.narrowed();
        self.narrowed().build(Location::caller(), |v| {
            let other = other.node();
            other.check()?;
            let resolve = |v: &Var, dims: &[isize]| -> Result<Vec<usize>> {
                dims.iter().map(|&d| v.shape().dim("tensordot", d)).collect()
            };
            v.tensordot(&other, (&resolve(v, dims.0)?, &resolve(&other, dims.1)?))
        })
    }

    /// The sum of products of two vectors.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &Device::default());
    /// assert_eq!(x.dot(&x).item::<f32>()?, 14.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn dot(&self, other: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            let other = other.node();
            other.check()?;
            expect_ranks("dot", &[(v, 1), (&other, 1)])?;
            if v.shape() != other.shape() {
                return Err(Error::shape("dot", "vectors must have one length", &[v.shape(), other.shape()]));
            }
            Ok(v.mul(&other).sum(&[0], false))
        })
    }

    /// All products of the elements of two vectors, `[n]` and `[m]` to `[n, m]`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::from_slice(&[1f32, 2.0], [2], &device), Tensor::from_slice(&[3f32, 4.0], [2], &device));
    /// assert_eq!(a.outer(&b).to_vec::<f32>()?, [3.0, 4.0, 6.0, 8.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            let other = other.node();
            other.check()?;
            expect_ranks("outer", &[(v, 1), (&other, 1)])?;
            Ok(v.unsqueeze(1).mul(&other.unsqueeze(0)))
        })
    }

    /// Matrix products of two batches, `[b, m, k] · [b, k, n] = [b, m, n]`; sizes do not broadcast.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::ones([2, 3, 4], &device), Tensor::ones([2, 4, 5], &device));
    /// assert_eq!(a.bmm(&b).shape(), [2, 3, 5]);
    /// assert!(a.bmm(&b.narrow(0, 0, 1)).check().is_err()); // batches of 2 and 1
    /// ```
    #[track_caller]
    pub fn bmm(&self, other: &Tensor) -> Tensor {
        let other = other.narrowed();
        self.narrowed().build(Location::caller(), |v| {
            let other = other.node();
            other.check()?;
            expect_ranks("bmm", &[(v, 3), (&other, 3)])?;
            if v.shape()[0] != other.shape()[0] || v.shape()[2] != other.shape()[1] {
                return Err(Error::shape("bmm", "takes [b, m, k] and [b, k, n]", &[v.shape(), other.shape()]));
            }
            Ok(v.matmul(&other))
        })
    }

    /// `beta · self + alpha · a · b` with matrices `a` `[m, k]` and `b` `[k, n]`; this tensor broadcasts to `[m, n]`. With
    /// `beta` 0 its values do not matter, not even NaN.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let a = Tensor::from_slice(&[1f32, 2.0], [1, 2], &device);
    /// let bias = Tensor::from_slice(&[10f32, 20.0], [2], &device);
    /// let y = bias.addmm(&a, &Tensor::eye(2, &device), 1.0, 2.0);
    /// assert_eq!(y.to_vec::<f32>()?, [12.0, 24.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn addmm(&self, a: &Tensor, b: &Tensor, beta: impl Into<f64>, alpha: impl Into<f64>) -> Tensor {
        let (beta, alpha) = (beta.into(), alpha.into());
        let (a, b) = (a.narrowed(), b.narrowed());
        self.narrowed().build(Location::caller(), |v| {
            let (a, b) = (a.node(), b.node());
            a.check()?;
            b.check()?;
            expect_ranks("addmm", &[(&a, 2), (&b, 2)])?;
            let product = a.matmul(&b);
            product.check()?;
            if v.shape().broadcast("addmm", product.shape())? != *product.shape() {
                let detail = format!("{} does not broadcast to {}", v.shape(), product.shape());
                return Err(Error::shape("addmm", detail, &[v.shape(), product.shape()]));
            }
            let scaled = if alpha == 1.0 { product } else { product * alpha };
            Ok(match beta {
                0.0 => scaled,
                1.0 => scaled.add(v),
                _ => scaled.add(&(v * beta)),
            })
        })
    }
}
