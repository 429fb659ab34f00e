//! [`Tensor`]: the handle that users hold.

mod attention;
pub mod autocast;
pub mod autograd;
pub mod capture;
pub mod checkpoint;
mod compare;
mod conv;
mod create;
mod cumulative;
mod diagonal;
mod display;
mod einsum;
mod elementwise;
pub mod function;
pub mod functional;
pub mod gradcheck;
mod indexing;
mod initial;
mod inside;
mod layers;
mod movement;
mod network;
mod norm;
mod operators;
mod order;
mod pool;
mod random;
mod read;
mod rearrange;
mod reduce;
mod slicing;

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::pending_checks::PendingChecks;
use crate::graph::recording::{self, Rebindable};
use crate::graph::{GradCell, Meta, Value, Var, with_location};
use crate::shape::Shape;
use crate::site::Site;

pub use attention::Offset;
pub use elementwise::Operand;
use initial::Initial;
pub use movement::Sizes;
pub use slicing::{Position, Positions};

/// An n-dimensional array on a [`Device`], with gradients. A cheap handle: clones share the value.
///
/// Ops are recorded and run when a value is read (or at [`Tensor::realize`], [`Device::sync`], an optimizer's step). Bad input
/// makes a tensor that carries the error; [`Tensor::check`] and every read return it.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let w = Tensor::from_slice(&[1f32, -2.0], [2], &device).requires_grad();
/// let loss = (&w * &w).sum();
/// loss.backward()?;
/// assert_eq!(w.grad().unwrap().to_vec::<f32>()?, [2.0, -4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "ops return new tensors and change none"]
pub struct Tensor {
    inner: Arc<Inner>,
}

struct Inner {
    value: RwLock<Held>,
    meta: Meta,
    device: Device,
    /// Set on leaves that want a gradient; survives assignments.
    cell: Option<Arc<GradCell>>,
    /// A leaf that gets no gradient for the time being.
    frozen: AtomicBool,
    initial: Initial,
}

impl Inner {
    /// What the variable is bound to; an initial value that waits is computed.
    fn present(&self) -> Var {
        if self.initial.waits() {
            self.begin();
        }
        self.held()
    }

    /// What the variable is bound to, which may be an initial value that waits.
    fn held(&self) -> Var {
        self.value.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn rebind(&self, var: Var) {
        // The variable is bound to an alias of what is computed; either may be what a plan sees.
        let (old, mut new) = (self.held(), Some(var.clone()));
        while let Some(node) = new {
            node.0.replace(&old.0);
            new = if node.is_alias() { node.0.with_inputs(|inputs| inputs.first().cloned()) } else { None };
        }
        self.forget_initial();
        self.bind_to(var);
    }

    fn bind_to(&self, var: Var) {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *value, Held::new(var));
        // The old graph may hold users' closures, whose destructors may read this tensor: not under the lock.
        drop(value);
        drop(old);
    }

    /// What this variable is bound to where it takes on `value`, which has no graph: a leaf, where it wants gradients.
    fn bound(&self, value: Var) -> Var {
        let Some(cell) = &self.cell else { return value };
        let new = match self.frozen.load(Ordering::Relaxed) {
            true => value,
            false => with_location(value.0.at, || value.leaf(cell.clone())),
        };
        // Hooks belong to the variable, not to one of its values.
        self.held().0.hooks().into_iter().for_each(|hook| new.0.add_hook(hook));
        new
    }
}

impl Rebindable for Inner {
    fn value(&self) -> Option<Var> {
        Some(self.present())
    }

    fn is_there(&self) -> bool {
        true
    }

    fn bind(&self, value: Option<Var>) {
        let Some(value) = value else { return };
        let new = self.bound(value);
        new.share_value();
        self.rebind(new);
    }

    fn renew(
        &self,
        meta: &Meta,
        value: Value,
        pending_checks: PendingChecks,
        at: Site,
    ) -> std::result::Result<(), (Value, PendingChecks)> {
        let mut held = self.value.write().unwrap_or_else(PoisonError::into_inner);
        held.0.renew(meta, value, pending_checks, at)
    }

    fn gradient(&self) -> Option<usize> {
        self.cell.as_ref().map(|cell| Arc::as_ptr(cell) as usize)
    }
}

/// A node that counts as held by a user.
struct Held(Var);

impl Held {
    fn new(var: Var) -> Held {
        var.0.add_handle();
        var.register();
        Held(var)
    }

    /// A value that no flush of everything computes.
    fn unregistered(var: Var) -> Held {
        var.0.add_handle();
        Held(var)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.remove_handle();
    }
}

impl Tensor {
    /// The handle of a node on `device`. The counterpart of [`Tensor::node`].
    pub(crate) fn from_var(var: Var, device: &Device) -> Tensor {
        Tensor::with_cell(var, device, None)
    }

    fn with_cell(var: Var, device: &Device, cell: Option<Arc<GradCell>>) -> Tensor {
        let meta = var.meta().clone();
        let tensor = Tensor {
            inner: Arc::new(Inner {
                value: RwLock::new(Held::new(var)),
                meta,
                device: device.clone(),
                cell,
                frozen: AtomicBool::new(false),
                initial: Initial::default(),
            }),
        };
        device.flush_if_long();
        tensor
    }

    /// The node in the graph.
    pub(crate) fn node(&self) -> Var {
        let var = self.inner.present();
        if recording::active() {
            recording::read(&self.inner, Some(&var));
        }
        var
    }

    /// Makes a tensor of what `f` builds from this one's node, attributed to `at`.
    pub(crate) fn build(&self, at: impl Into<Site>, f: impl FnOnce(&Var) -> Result<Var>) -> Tensor {
        let (at, var) = (at.into(), self.node());
        let built = with_location(at, || f(&var));
        self.built(built, &var, at)
    }

    /// What was built of `var`, this tensor's node, or the error, as a tensor.
    fn built(&self, built: Result<Var>, var: &Var, at: Site) -> Tensor {
        // An error goes on whatever is made of it, of the shape that this would have.
        let failed = |error: &Error, known: &Var| {
            let error = error.clone().or_at(at);
            Var::failed_as(error, Some(known.meta().clone()), &var.0.context, at)
        };
        let built = match (&var.0.error, built) {
            (None, Ok(built)) => built,
            (None, Err(error)) => failed(&error, var),
            (Some(error), Ok(built)) if built.0.error.is_none() => failed(error, &built),
            (Some(_), Ok(built)) => built,
            (Some(error), Err(_)) => failed(error, var),
        };
        Tensor::from_var(built, self.device())
    }

    /// [`Tensor::build`] for ops with two results.
    pub(crate) fn build_pair(
        &self,
        at: &'static Location<'static>,
        f: impl FnOnce(&Var) -> Result<(Var, Var)>,
    ) -> (Tensor, Tensor) {
        let mut second = None;
        let first = self.build(at, |v| {
            let (first, other) = f(v)?;
            second = Some(other);
            Ok(first)
        });
        let second = second.map_or_else(|| first.clone(), |v| Tensor::from_var(v, self.device()));
        (first, second)
    }

    /// Whether both are handles of one variable, so that an assignment to one is seen through the other: clones are, equal
    /// values are not.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// assert!(w.is_same(&w.clone()) && !w.is_same(&w.detach()));
    /// ```
    pub fn is_same(&self, other: &Tensor) -> bool {
        self.variable() == other.variable()
    }

    /// A number that handles of one variable share and no others have, as long as they live.
    pub(crate) fn variable(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// Size along each dim. A tensor that carries an error ([`Tensor::check`]) has the shape that it would have as far as that is known, or
    /// that of the first operand of the op that failed; so code that looks at sizes goes on to where the error is read.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.shape(), [2, 3]);
    /// ```
    pub fn shape(&self) -> &[usize] {
        &self.inner.meta.shape
    }

    /// Sizes as an array, for destructuring: `let [n, d] = x.dims()?;`.
    ///
    /// # Errors
    /// Where the rank is not `N`, or the tensor carries an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([5, 7], &Device::default());
    /// let [rows, columns] = x.dims()?;
    /// assert_eq!((rows, columns), (5, 7));
    /// assert!(x.dims::<3>().is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        let at = Location::caller();
        self.check()?;
        self.shape().try_into().map_err(|_| {
            let detail = format!("shape {} has rank {}, not {N}", self.inner.meta.shape, self.rank());
            Error::argument("dims", detail).or_at(at)
        })
    }

    /// Number of dims; 0 for a scalar.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.rank(), 2);
    /// ```
    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    /// Number of elements.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.numel(), 6);
    /// ```
    pub fn numel(&self) -> usize {
        self.inner.meta.numel()
    }

    /// Element type; of a tensor with an error, the one that it would have as far as that is known.
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.dtype(), DType::F32);
    /// ```
    pub fn dtype(&self) -> DType {
        self.inner.meta.dtype
    }

    /// The device that the tensor lives on.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert!(x.device().is_cpu());
    /// ```
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The error that this tensor carries, if any. Needs no computation, so it finds what the shapes tell, not what the data
    /// does (an index out of range). Shape and type of a tensor with an error are those that are known.
    ///
    /// ```
    /// use wgrad::{Device, Error, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::zeros([2, 3], &device) + Tensor::zeros([4], &device); // no panic
    /// let error = (x * 2.0).check().unwrap_err();
    /// assert!(matches!(error, Error::Shape { .. }));
    /// assert!(error.to_string().starts_with("add: sizes 3 and 4 at dim 1 do not broadcast"));
    /// ```
    ///
    /// # Errors
    /// The first error among the ops that led here.
    pub fn check(&self) -> Result<()> {
        self.inner.held().check()
    }

    /// Computes the value now, without reading it back.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let y = Tensor::ones([3], &Device::cpu()) * 2.0;
    /// y.realize()?; // computed here, once
    /// assert_eq!(y.to_vec::<f32>()?, [2.0, 2.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What went wrong on the way here.
    pub fn realize(&self) -> Result<()> {
        self.device().flush(&[self.node()])
    }

    /// Graphviz' DOT text of the graph that leads to this tensor.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([3], &Device::default());
    /// assert!(x.exp().sum().to_dot().contains("exp"));
    /// ```
    pub fn to_dot(&self) -> String {
        crate::graph::dot::to_dot(&[self.node()])
    }

    /// A picture of the graph that leads to this tensor, as SVG text.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([3], &Device::cpu());
    /// assert!(x.exp().sum().to_svg().contains("<svg"));
    /// ```
    pub fn to_svg(&self) -> String {
        crate::graph::svg::to_svg(&[self.node()])
    }

    fn full_shape(&self) -> &Shape {
        &self.inner.meta.shape
    }
}
