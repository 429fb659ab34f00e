//! Gradients of tensors: leaves, `backward`, and functions that give gradients as values.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::differentiate::{self, Graph};
use crate::error::{Error, Result};
use crate::graph::{GradCell, Var, anomaly, no_grad, recording, with_location};
use crate::ops::assign::Scope;
use crate::tensor::Tensor;

impl Tensor {
    /// Makes a leaf: a tensor outside any graph that [`Tensor::backward`] gives a gradient. The value is computed now; an initial value,
    /// made of nothing but numbers and random numbers, when somebody first asks for it, so one that a checkpoint overwrites never is.
    ///
    /// Carries [`Error::DType`] for types other than floats.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let w = Tensor::randn([3, 4], &Device::default()).requires_grad();
    /// assert!(w.is_leaf_with_grad() && w.grad().is_none());
    /// ```
    #[track_caller]
    pub fn requires_grad(&self) -> Tensor {
        let at = Location::caller();
        if self.check().is_ok() && !self.dtype().is_float() {
            return self.build(at, |v| Err(Error::dtype("requires_grad", "only floats have gradients", &[v.dtype()])));
        }
        let cell = Arc::new(GradCell::default());
        if let Some(leaf) = self.initial_leaf(&cell, at) {
            return leaf;
        }
        // Parameters are wanted as data before the first step, so that the first step looks like all others. What goes wrong
        // here comes again when it is read.
        let _ = self.realize();
        let alias = with_location(at, || self.node().detach());
        alias.share_value();
        let leaf = with_location(at, || alias.leaf(cell.clone()));
        leaf.share_value();
        Tensor::with_cell(leaf, self.device(), Some(cell))
    }

    /// Whether this was made with [`Tensor::requires_grad`]: a leaf that gets a gradient, unless it is frozen.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let w = Tensor::ones([2], &Device::cpu()).requires_grad();
    /// assert!(w.is_leaf_with_grad() && !(&w * 2.0).is_leaf_with_grad());
    /// ```
    pub fn is_leaf_with_grad(&self) -> bool {
        self.inner.cell.is_some()
    }

    /// Freezes this leaf (`false`), or thaws it (`true`). A frozen leaf counts as a constant: no gradient is computed for it, the
    /// one it had is gone, and optimizers pass it over. Graphs that read it before stay as they were.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (w, b) = (Tensor::ones([2], &device).requires_grad(), Tensor::ones([2], &device).requires_grad());
    /// w.requires_grad_(false)?;
    /// (&w * &b).sum().backward()?;
    /// assert!(w.is_frozen() && w.grad().is_none() && b.grad().is_some());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Autograd`] for a tensor that was not made with [`Tensor::requires_grad`]; the error that this one carries.
    #[track_caller]
    pub fn requires_grad_(&self, on: bool) -> Result<()> {
        let at = Location::caller();
        self.check()?;
        if self.inner.cell.is_none() {
            let detail = "the tensor was not made with requires_grad, which is what makes a leaf".to_string();
            return Err(Error::Autograd { op: "requires_grad_".into(), detail, at: at.into() });
        }
        if self.inner.frozen.swap(!on, Ordering::Relaxed) == on {
            let value = with_location(at, || no_grad(|| self.node().detach()));
            self.zero_grad();
            let new = with_location(at, || self.inner.bound(value));
            new.share_value();
            self.rebind(new);
        }
        Ok(())
    }

    /// Whether this is a leaf that gets no gradient for the time being.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let w = Tensor::ones([2], &Device::cpu()).requires_grad();
    /// w.requires_grad_(false)?;
    /// assert!(w.is_frozen());
    /// w.requires_grad_(true)?;
    /// assert!(!w.is_frozen());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn is_frozen(&self) -> bool {
        self.inner.frozen.load(Ordering::Relaxed)
    }

    /// The same value outside the graph: no gradient flows through it.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
    /// let y = (&x * &x.detach()).sum(); // one of the factors counts as a constant
    /// y.backward()?;
    /// assert_eq!(x.grad().unwrap().item::<f32>()?, 3.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        self.build(Location::caller(), |v| Ok(detached(v)))
    }

    /// Computes the gradient of this scalar with respect to every leaf it depends on, and adds it to their [`Tensor::grad`].
    ///
    /// The graph behind this tensor is freed, as in PyTorch: once the work is done, the tensor holds its own value and nothing else,
    /// so a list of losses takes no more memory than their numbers. A second pass through any part of the graph (by another loss
    /// on the same trunk, say) is an error; [`Tensor::backward_retain_graph`] keeps the graph for one.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[-2f32, 5.0], [2], &device).requires_grad();
    /// let loss = x.square().sum();
    /// loss.backward()?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [-4.0, 10.0]);
    /// assert!(loss.backward().unwrap_err().to_string().contains("backward_retain_graph"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Autograd`] where the tensor is not a scalar, depends on no leaf, or its graph was freed by an earlier pass; the
    /// error that it carries.
    #[track_caller]
    pub fn backward(&self) -> Result<()> {
        self.differentiate(None, Graph::Free, Location::caller())
    }

    /// [`Tensor::backward`] that leaves the graph as it is, for another pass through it. What the graph holds (inputs, parameters as
    /// they were, values that were computed) stays in memory for as long as the tensor lives. (PyTorch's `retain_graph=True`.)
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[-2f32, 5.0], [2], &device).requires_grad();
    /// let loss = x.square().sum();
    /// loss.backward_retain_graph()?;
    /// loss.backward()?; // adds the same gradient again
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [-8.0, 20.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::backward`].
    #[track_caller]
    pub fn backward_retain_graph(&self) -> Result<()> {
        self.differentiate(None, Graph::Retain, Location::caller())
    }

    fn differentiate(&self, dy: Option<&Tensor>, graph: Graph, at: &'static Location<'static>) -> Result<()> {
        self.look_ahead()?;
        differentiate::backward(&self.node(), dy.map(Tensor::node).as_ref(), graph).map_err(|e| e.or_at(at))
    }

    /// [`Tensor::backward`] from a given gradient of this tensor, of the same shape.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device).requires_grad();
    /// x.square().backward_with(&Tensor::from_slice(&[1f32, 10.0], [2], &device))?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 40.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::backward`], and [`Error::Shape`] where the shapes differ.
    #[track_caller]
    pub fn backward_with(&self, dy: &Tensor) -> Result<()> {
        self.differentiate(Some(dy), Graph::Free, Location::caller())
    }

    /// [`Tensor::backward_with`] that leaves the graph as it is, as [`Tensor::backward_retain_graph`] does.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device).requires_grad();
    /// let y = x.square();
    /// y.backward_with_retain_graph(&Tensor::from_slice(&[1f32, 0.0], [2], &device))?;
    /// y.backward_with(&Tensor::from_slice(&[0f32, 10.0], [2], &device))?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 40.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::backward_with`].
    #[track_caller]
    pub fn backward_with_retain_graph(&self, dy: &Tensor) -> Result<()> {
        self.differentiate(Some(dy), Graph::Retain, Location::caller())
    }

    /// Where anomalies are searched, looks at the forward pass before there is a backward one: gradients may not need what went wrong.
    pub(super) fn look_ahead(&self) -> Result<()> {
        if anomaly::active() { self.device().flush(&[self.node()]) } else { Ok(()) }
    }

    /// The accumulated gradient of a leaf; `None` before the first [`Tensor::backward`] and on other tensors.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
    /// assert!(x.grad().is_none());
    /// x.square().sum().backward()?;
    /// assert_eq!(x.grad().unwrap().item::<f32>()?, 6.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn grad(&self) -> Option<Tensor> {
        let grad = self.inner.cell.as_ref()?.get()?;
        Some(Tensor::from_var(grad, self.device()))
    }

    /// Forgets the gradient of a leaf.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2], &Device::default()).requires_grad();
    /// x.sum().backward()?;
    /// x.zero_grad();
    /// assert!(x.grad().is_none());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn zero_grad(&self) {
        self.set_grad_node(None);
    }

    /// Replaces the gradient of a leaf (as gradient clipping does). Does nothing on other tensors.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let w = Tensor::ones([2], &device).requires_grad();
    /// w.set_grad(Some(&Tensor::full([2], 0.5, &device)));
    /// assert_eq!(w.grad().unwrap().to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn set_grad(&self, grad: Option<&Tensor>) {
        self.set_grad_node(grad.map(Tensor::node));
    }

    fn set_grad_node(&self, grad: Option<Var>) {
        if let Some(cell) = &self.inner.cell {
            cell.replace(grad);
        }
    }

    /// Binds a leaf (or any other tensor) to a new value, outside the graph. All clones of this handle see it; what read the
    /// old value keeps it.
    ///
    /// Where shape, type or device differ, the tensor carries the error from then on; [`Tensor::try_assign`] returns it and leaves
    /// the tensor as it is.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let w = Tensor::ones([2], &device).requires_grad();
    /// let doubled = &w * 2.0;
    /// w.assign(&Tensor::from_slice(&[5f32, 6.0], [2], &device));
    /// assert_eq!(w.to_vec::<f32>()?, [5.0, 6.0]);
    /// assert_eq!(doubled.to_vec::<f32>()?, [2.0, 2.0]); // reads what `w` was
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        if let Err(error) = self.try_assign(value) {
            let at = Location::caller();
            let failed = Var::failed(error.or_at(at), self.device().context(), at);
            self.rebind(failed);
        }
    }

    /// [`Tensor::assign`] that leaves the tensor as it is and returns the error where the value does not fit.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let w = Tensor::ones([2], &device);
    /// assert!(w.try_assign(&Tensor::zeros([3], &device)).is_err());
    /// w.try_assign(&Tensor::zeros([2], &device))?;
    /// assert_eq!(w.to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::DeviceMismatch`] where the value does not fit; the error it carries.
    #[track_caller]
    pub fn try_assign(&self, value: &Tensor) -> Result<()> {
        self.assign_by(value, Scope::Step)
    }

    /// [`Tensor::try_assign`] that waits for the index checks of `scope`.
    #[track_caller]
    pub(crate) fn assign_by(&self, value: &Tensor, scope: Scope) -> Result<()> {
        let at = Location::caller();
        value.check()?;
        if value.shape() != self.shape() {
            let shapes = [self.full_shape(), value.full_shape()];
            return Err(Error::shape("assign", "the new value has another shape", &shapes).or_at(at));
        }
        if value.dtype() != self.dtype() {
            let dtypes = [self.dtype(), value.dtype()];
            return Err(Error::dtype("assign", "the new value has another dtype", &dtypes).or_at(at));
        }
        if !value.device().same(self.device()) {
            let devices = vec![self.device().info().name.clone(), value.device().info().name.clone()];
            return Err(Error::DeviceMismatch { op: "assign".into(), devices, at: at.into() });
        }
        let value = value.node();
        let new = self.inner.bound(with_location(at, || value.assigned(&self.before(&value), scope)));
        new.share_value();
        self.rebind(new);
        self.device().flush_if_long();
        Ok(())
    }

    fn rebind(&self, var: Var) {
        recording::write(&self.inner);
        self.inner.rebind(var);
    }

    /// What this variable holds before it takes on `new`. A captured step reads that where it may have to keep it.
    fn before(&self, new: &Var) -> Var {
        let waits = !new.0.has_value() || new.0.is_unchecked();
        if waits && recording::active() { self.node() } else { self.inner.held() }
    }

    /// Binds this tensor, which no gradient flows through, to the node of `value`: for the state of optimizers, which must stay one variable
    /// for captured steps.
    pub(crate) fn advance(&self, value: &Tensor) {
        self.advance_by(value, Scope::Step);
    }

    /// [`Tensor::advance`] that waits for the index checks of `scope`.
    pub(crate) fn advance_by(&self, value: &Tensor, scope: Scope) {
        let new = value.node();
        let computed = new.0.has_value() && !new.0.is_unchecked();
        let next = if computed { new } else { with_location(new.0.at, || new.assigned(&self.before(&new), scope)) };
        self.rebind(next);
    }

    /// Binds this tensor to the node of `new`, or where index checks fail that it waits for, to that of `other`.
    pub(crate) fn advance_or(&self, new: &Tensor, other: &Tensor) {
        let (new, other) = (new.node(), other.node());
        self.rebind(with_location(new.0.at, || new.assigned(&other, Scope::Value)));
    }

    /// This value, which waits for the index checks of `others` too where it is assigned.
    pub(crate) fn together(&self, others: &[Var]) -> Tensor {
        Tensor::from_var(self.node().together(others), self.device())
    }

    /// Calls `f` with the gradient of this tensor when it is complete, during [`Tensor::backward`]; where `f` returns a tensor,
    /// that takes the gradient's place.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2], &Device::default()).requires_grad();
    /// let y = &x * 3.0;
    /// y.register_hook(|grad| Some(grad.clamp(-1.0, 1.0)));
    /// (&y * 100.0).sum().backward()?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [3.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn register_hook(&self, f: impl Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static) {
        let device = self.device().clone();
        self.node().0.add_hook(Arc::new(move |grad: &Var| {
            f(&Tensor::from_var(grad.clone(), &device)).map(|replaced| replaced.node())
        }));
    }
}

/// The same value outside the graph; where it is computed, at once.
fn detached(var: &Var) -> Var {
    let detached = no_grad(|| var.detach());
    detached.share_value();
    detached
}

/// Gradients of the sum of `outputs` with respect to `inputs`, which may be any tensors of the graph. With `create_graph` the
/// gradients can be differentiated again, and the graph stays; what they depend on in pieces only, as those of `relu` do on its input,
/// then has a gradient of zeros. Without, the graph is freed as by [`Tensor::backward`], and [`grad_retain_graph`] keeps it.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
/// let y = x.powi(3).sum();
/// let dx = &autograd::grad(&[&y], &[&x], true)?[0];
/// let ddx = &autograd::grad(&[&dx.sum()], &[&x], false)?[0];
/// assert_eq!((dx.item::<f32>()?, ddx.item::<f32>()?), (27.0, 18.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Autograd`] where an output is not a scalar, or where an input takes no part in computing the outputs, which it names by its
/// number ([`grad_allow_unused`] gives `None` there); the error that an output carries.
#[track_caller]
pub fn grad(outputs: &[&Tensor], inputs: &[&Tensor], create_graph: bool) -> Result<Vec<Tensor>> {
    gradients(outputs, &vec![None; outputs.len()], inputs, Graph::create(create_graph), Location::caller())
}

/// [`grad`] without `create_graph` that leaves the graph as it is, for another pass through it.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
/// let y = x.square();
/// let dx = &autograd::grad_retain_graph(&[&y], &[&x])?[0];
/// y.backward()?;
/// assert_eq!((dx.item::<f32>()?, x.grad().unwrap().item::<f32>()?), (6.0, 6.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`grad`].
#[track_caller]
pub fn grad_retain_graph(outputs: &[&Tensor], inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    gradients(outputs, &vec![None; outputs.len()], inputs, Graph::Retain, Location::caller())
}

/// [`grad`] from given gradients of the outputs (`None` stands for 1 and is for scalars only).
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&[1f32, 2.0], [2], &device).requires_grad();
/// let dy = Tensor::from_slice(&[1f32, 10.0], [2], &device);
/// let dx = autograd::grad_with(&[&x.square()], &[Some(&dy)], &[&x], false)?;
/// assert_eq!(dx[0].to_vec::<f32>()?, [2.0, 40.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`grad`].
#[track_caller]
pub fn grad_with(
    outputs: &[&Tensor],
    output_grads: &[Option<&Tensor>],
    inputs: &[&Tensor],
    create_graph: bool,
) -> Result<Vec<Tensor>> {
    gradients(outputs, output_grads, inputs, Graph::create(create_graph), Location::caller())
}

fn gradients(
    outputs: &[&Tensor],
    output_grads: &[Option<&Tensor>],
    inputs: &[&Tensor],
    graph: Graph,
    at: &'static Location<'static>,
) -> Result<Vec<Tensor>> {
    let (outputs, wanted, dys) = nodes(outputs, output_grads, inputs).map_err(|e| e.or_at(at))?;
    let grads = differentiate::grad(&outputs, &wanted, &dys, graph).map_err(|e| e.or_at(at))?;
    Ok(grads.into_iter().zip(inputs).map(|(g, input)| Tensor::from_var(g, input.device())).collect())
}

/// [`grad_with`] that gives `None` for inputs that take no part in computing the outputs, instead of an error. (PyTorch's
/// `allow_unused`.)
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::default();
/// let (x, other) = (Tensor::ones([2], &device).requires_grad(), Tensor::ones([2], &device).requires_grad());
/// let found = autograd::grad_allow_unused(&[&x.sum()], &[None], &[&x, &other], false)?;
/// assert_eq!(found[0].as_ref().unwrap().to_vec::<f32>()?, [1.0, 1.0]);
/// assert!(found[1].is_none());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Autograd`] where an output without a gradient is not a scalar; the error that an output carries.
#[track_caller]
pub fn grad_allow_unused(
    outputs: &[&Tensor],
    output_grads: &[Option<&Tensor>],
    inputs: &[&Tensor],
    create_graph: bool,
) -> Result<Vec<Option<Tensor>>> {
    let at = Location::caller();
    let (outputs, wanted, dys) = nodes(outputs, output_grads, inputs).map_err(|e| e.or_at(at))?;
    let grads =
        differentiate::gradients(&outputs, &wanted, &dys, Graph::create(create_graph)).map_err(|e| e.or_at(at))?;
    Ok(grads.into_iter().zip(inputs).map(|(g, input)| g.map(|g| Tensor::from_var(g, input.device()))).collect())
}

/// Nodes of outputs, inputs and gradients of outputs.
type Nodes = (Vec<Var>, Vec<Var>, Vec<Option<Var>>);

fn nodes(outputs: &[&Tensor], output_grads: &[Option<&Tensor>], inputs: &[&Tensor]) -> Result<Nodes> {
    if inputs.is_empty() {
        return Ok(Nodes::default());
    }
    if outputs.len() != output_grads.len() {
        let detail = format!("{} outputs but {} gradients for them", outputs.len(), output_grads.len());
        return Err(Error::argument("grad", detail));
    }
    outputs.iter().try_for_each(|output| output.look_ahead())?;
    let outputs = outputs.iter().map(|t| t.node()).collect();
    let wanted = inputs.iter().map(|t| t.node()).collect();
    Ok((outputs, wanted, output_grads.iter().map(|t| t.map(Tensor::node)).collect()))
}
