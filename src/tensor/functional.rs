//! Derivatives of functions: products with Jacobians and Hessians, and the matrices themselves.
//!
//! All take a function of one tensor and the point. Forward-mode products come from two reverse passes (the "double backward"
//! trick: the vector-Jacobian product is linear in its vector, and its transpose is the Jacobian-vector product).

use std::panic::Location;

use crate::differentiate::{self, Graph};
use crate::error::{Error, Result};
use crate::graph::{Var, no_grad};
use crate::shape::Shape;
use crate::site;
use crate::tensor::Tensor;

/// The value of `f` at `x`, and `vᵀ J`: the gradient of `⟨f(x), v⟩`. `v` has the shape of `f(x)`.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::default();
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device);
/// let v = Tensor::from_slice(&[1f32, 10.0], [2], &device);
/// let (y, product) = autograd::vjp(|x| x.square(), &x, &v)?;
/// assert_eq!((y.to_vec::<f32>()?, product.to_vec::<f32>()?), (vec![1.0, 4.0], vec![2.0, 40.0]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] where `v` has another shape than `f(x)`; the error that `f` makes.
#[track_caller]
pub fn vjp(f: impl Fn(&Tensor) -> Tensor, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
    let at = Location::caller();
    let _from = site::from(at);
    let x = leaf(x);
    let y = f(&x);
    let product = pull(&y, &v.node(), &x, Graph::Free).map_err(|e| e.or_at(at))?;
    Ok((y.detach(), product))
}

/// The value of `f` at `x`, and `J v`: the change of `f` along `v`, which has the shape of `x`.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device);
/// let v = Tensor::from_slice(&[1f32, 10.0], [2], &device);
/// let (y, product) = autograd::jvp(|x| x.square(), &x, &v)?;
/// assert_eq!((y.to_vec::<f32>()?, product.to_vec::<f32>()?), (vec![1.0, 4.0], vec![2.0, 40.0]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`vjp`]; [`Error::Shape`] where `v` has another shape than `x`.
#[track_caller]
pub fn jvp(f: impl Fn(&Tensor) -> Tensor, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
    let at = Location::caller();
    let _from = site::from(at);
    same_shape("jvp", x, v).map_err(|e| e.or_at(at))?;
    let x = leaf(x);
    let y = f(&x);
    y.check()?;
    let u = y.zeros_like().requires_grad();
    let pulled = pull(&y, &u.node(), &x, Graph::Create).map_err(|e| e.or_at(at))?;
    let product = pull(&pulled, &v.node(), &u, Graph::Free).map_err(|e| e.or_at(at))?;
    Ok((y.detach(), product))
}

/// The value of the scalar function `f` at `x`, and `H v`, without the Hessian itself (Pearlmutter 1994). `v` has the shape of `x`.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device);
/// let (y, product) = autograd::hvp(|x| x.powi(3).sum(), &x, &Tensor::ones([2], &device))?;
/// assert_eq!((y.item::<f32>()?, product.to_vec::<f32>()?), (9.0, vec![6.0, 12.0]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Autograd`] where `f(x)` is no scalar; [`Error::Shape`] where `v` has another shape than `x`; the error that `f` makes.
#[track_caller]
pub fn hvp(f: impl Fn(&Tensor) -> Tensor, x: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
    let at = Location::caller();
    let _from = site::from(at);
    same_shape("hvp", x, v).map_err(|e| e.or_at(at))?;
    let x = leaf(x);
    let y = f(&x);
    let gradient = gradient(&y, &x).map_err(|e| e.or_at(at))?;
    let product = pull(&gradient, &v.node(), &x, Graph::Free).map_err(|e| e.or_at(at))?;
    Ok((y.detach(), product))
}

/// All derivatives of `f` at `x`: shape `f(x).shape() + x.shape()`. One reverse pass an element of `f(x)`.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::cpu());
/// let jacobian = autograd::jacobian(|x| x.square(), &x)?;
/// assert_eq!(jacobian.to_vec::<f32>()?, [2.0, 0.0, 0.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// The error that `f` makes.
#[track_caller]
pub fn jacobian(f: impl Fn(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let at = Location::caller();
    let _from = site::from(at);
    let x = leaf(x);
    rows(&f(&x), &x).map_err(|e| e.or_at(at))
}

/// All second derivatives of the scalar function `f` at `x`: shape `x.shape() + x.shape()`.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::default());
/// let hessian = autograd::hessian(|x| x.powi(3).sum(), &x)?;
/// assert_eq!(hessian.to_vec::<f32>()?, [6.0, 0.0, 0.0, 12.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Autograd`] where `f(x)` is no scalar; the error that `f` makes.
#[track_caller]
pub fn hessian(f: impl Fn(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let at = Location::caller();
    let _from = site::from(at);
    let x = leaf(x);
    let gradient = gradient(&f(&x), &x).map_err(|e| e.or_at(at))?;
    rows(&gradient, &x).map_err(|e| e.or_at(at))
}

fn leaf(x: &Tensor) -> Tensor {
    x.detach().requires_grad()
}

fn same_shape(op: &str, x: &Tensor, v: &Tensor) -> Result<()> {
    if x.shape() == v.shape() {
        return Ok(());
    }
    Err(Error::shape(op, "the vector has another shape than the point", &[x.full_shape(), v.full_shape()]))
}

/// `vᵀ ∂y/∂x`; zeros where `y` does not depend on `x`.
fn pull(y: &Tensor, v: &Var, x: &Tensor, graph: Graph) -> Result<Tensor> {
    y.check()?;
    y.look_ahead()?;
    let found = differentiate::gradients(&[y.node()], &[x.node()], &[Some(v.clone())], graph)?;
    Ok(match found.into_iter().next().flatten() {
        Some(product) => Tensor::from_var(product, x.device()),
        None => no_grad(|| x.zeros_like()),
    })
}

/// The gradient of a scalar, to be differentiated again.
fn gradient(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    y.check()?;
    y.look_ahead()?;
    let found = differentiate::gradients(&[y.node()], &[x.node()], &[None], Graph::Create)?;
    Ok(match found.into_iter().next().flatten() {
        Some(gradient) => Tensor::from_var(gradient, x.device()),
        None => no_grad(|| x.zeros_like()),
    })
}

/// The derivative of every element of `y`.
fn rows(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    y.check()?;
    let shape: Shape = y.shape().iter().chain(x.shape()).copied().collect();
    let count = y.numel();
    if count == 0 {
        return Ok(no_grad(|| x.full_like(0.0).sum().expand(shape)));
    }
    let units = Tensor::eye(count, x.device()).to_dtype(y.dtype());
    let rows = (0..count).map(|i| {
        let unit = no_grad(|| units.node().select(0, i).reshape(y.full_shape()));
        pull(y, &unit, x, Graph::Retain)
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let refs: Vec<&Tensor> = rows.iter().collect();
    let sizes: Vec<usize> = shape.to_vec();
    Ok(Tensor::stack(&refs, 0).reshape(sizes))
}
