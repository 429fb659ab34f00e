//! References to nodes, and how nodes are made.

use std::any::Any;
use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use smallvec::SmallVec;

use super::{Context, GradCell, Meta, Node, Value, lock};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{At, Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::op::Op;
use crate::graph::pending_checks::PendingChecks;
use crate::graph::{anomaly, recording, transaction};
use crate::shape::Shape;
use crate::site::Site;

/// A reference to a node: what gradient rules and composite ops compute with. Its methods are those of [`Tensor`](crate::Tensor), with dims
/// counted from 0.
#[derive(Clone)]
pub struct Var(pub Arc<Node>);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An id between those of all nodes so far and those of all nodes to come.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

thread_local! {
    static GRAD_DISABLED: Cell<u32> = const { Cell::new(0) };
    static LOCATION: Cell<Option<Site>> = const { Cell::new(None) };
}

/// Runs `f` without recording what gradients would need.
///
/// ```
/// use wgrad::{Device, Tensor, no_grad};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let y = no_grad(|| w.sum());
/// assert!(y.backward().is_err()); // nothing was recorded
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _disabled = GradDisabled::new();
    f()
}

/// Runs `f` with what gradients need recorded, also inside [`no_grad`]: for gradients inside the backward pass of a function of one's own
/// ([`autograd::Function`](crate::autograd::Function)), which is not recorded itself.
///
/// ```
/// use wgrad::{Device, Tensor, autograd, enable_grad, no_grad};
/// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
/// let gradient = no_grad(|| enable_grad(|| autograd::grad(&[&x.square().sum()], &[&x], false)))?;
/// assert_eq!(gradient[0].item::<f32>()?, 6.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn enable_grad<R>(f: impl FnOnce() -> R) -> R {
    let _enabled = GradEnabled::new();
    f()
}

// What these functions do around `f` is in types of its own, and so compiled once, not for each `f`.

/// Nothing is recorded while it lives.
struct GradDisabled(());

impl GradDisabled {
    fn new() -> GradDisabled {
        GRAD_DISABLED.with(|c| c.set(c.get() + 1));
        GradDisabled(())
    }
}

impl Drop for GradDisabled {
    fn drop(&mut self) {
        GRAD_DISABLED.with(|c| c.set(c.get() - 1));
    }
}

/// All is recorded while it lives; then as before.
struct GradEnabled(u32);

impl GradEnabled {
    fn new() -> GradEnabled {
        GradEnabled(GRAD_DISABLED.replace(0))
    }
}

impl Drop for GradEnabled {
    fn drop(&mut self) {
        GRAD_DISABLED.set(self.0);
    }
}

/// New nodes belong to a location while it lives; then to the one of before.
struct AtLocation(Option<Site>);

impl AtLocation {
    fn new(site: Site) -> AtLocation {
        AtLocation(LOCATION.with(|c| c.replace(Some(site))))
    }
}

impl Drop for AtLocation {
    fn drop(&mut self) {
        LOCATION.with(|c| c.set(self.0));
    }
}

/// Runs `f` with every node that it makes attributed to `site`, a line and a layer: gradient nodes belong to the line of their forward op.
pub fn with_location<R>(site: impl Into<Site>, f: impl FnOnce() -> R) -> R {
    let _at = AtLocation::new(site.into());
    f()
}

/// The user's line and layer: those that [`with_location`] names, else the caller's.
#[track_caller]
pub fn here() -> Site {
    let line = Location::caller();
    LOCATION.with(Cell::get).unwrap_or_else(|| line.into())
}

impl Var {
    /// Applies an op. Bad operands give a node that carries the error; so does an operand that carries one.
    #[track_caller]
    pub fn apply(op: impl Op, inputs: &[&Var]) -> Var {
        Var::apply_in(Arc::new(op), inputs, &inputs[0].0.context)
    }

    /// [`Var::apply`] with the context given, for ops without inputs.
    #[track_caller]
    pub fn apply_in(op: Arc<dyn Op>, inputs: &[&Var], context: &Arc<Context>) -> Var {
        let at = here();
        let metas: SmallVec<[&Meta; 4]> = inputs.iter().map(|v| &v.0.meta).collect();
        // What carries an error keeps the shape and type that it would have, or those of the first operand.
        let known = || {
            let inferred = op.infer(&metas).ok().filter(|meta| meta.shape.checked_numel().is_some());
            inferred.or_else(|| metas.first().map(|meta| (*meta).clone()))
        };
        if let Some(error) = inputs.iter().find_map(|v| v.0.error.clone()) {
            return Var::failed_as(error, known(), context, at);
        }
        if let Some(other) = inputs.iter().find(|v| !Arc::ptr_eq(&v.0.context, context)) {
            let devices = vec![context.device.clone(), other.0.context.device.clone()];
            let error = Error::DeviceMismatch { op: op.name().into(), devices, at: At(None) };
            return Var::failed_as(error.or_at(at), known(), context, at);
        }
        let inferred = op.infer(&metas).and_then(|meta| match meta.shape.checked_numel() {
            Some(_) => Ok(meta),
            None => Err(Error::argument(op.name(), format!("shape {} has too many elements", meta.shape))),
        });
        match inferred {
            Ok(meta) => {
                let tracked = op.differentiable()
                    && meta.dtype.is_float()
                    && GRAD_DISABLED.with(Cell::get) == 0
                    && inputs.iter().any(|v| v.0.tracked);
                let inputs = inputs.iter().map(|v| (*v).clone()).collect();
                Var::insert(Parts { op, meta, at, tracked, grad_cell: None, inputs, value: None, error: None }, context)
            }
            Err(error) => {
                let first = metas.first().map(|meta| (*meta).clone());
                Var::failed_as(error.or_at(at), first, context, at)
            }
        }
    }

    /// A node that holds a value from the start.
    #[track_caller]
    pub fn data(meta: Meta, value: Value, context: &Arc<Context>) -> Var {
        let at = here();
        let parts = Parts {
            op: data_op(),
            meta,
            at,
            tracked: false,
            grad_cell: None,
            inputs: SmallVec::new(),
            value: Some(value),
            error: None,
        };
        Var::insert(parts, context)
    }

    /// A value as a flush left it, without what it was computed from.
    pub fn computed(meta: Meta, value: Value, pending_checks: PendingChecks, at: Site, context: &Arc<Context>) -> Var {
        let var = with_location(at, || Var::data(meta, value, context));
        var.0.set_pending_checks(pending_checks);
        var
    }

    /// The same op without its inputs, for plans that outlive their graph.
    pub fn skeleton(&self) -> Var {
        let node = &self.0;
        Var::bare(node.op.clone(), node.meta.clone(), node.at, &node.context)
    }

    /// A node of a plan alone, without inputs.
    pub(crate) fn bare(op: Arc<dyn Op>, meta: Meta, at: Site, context: &Arc<Context>) -> Var {
        let (inputs, value, error) = (SmallVec::new(), None, None);
        Var::make(Parts { op, meta, at, tracked: false, grad_cell: None, inputs, value, error }, context)
    }

    /// Puts a computed value of this shape instead of the present one, where nobody else holds the node: what captured
    /// steps do at each run, without making a node.
    ///
    /// # Errors
    /// Gives the value back where the node is shared, or is not just a value.
    pub(crate) fn renew(
        &mut self,
        meta: &Meta,
        value: Value,
        pending_checks: PendingChecks,
        at: Site,
    ) -> std::result::Result<(), (Value, PendingChecks)> {
        // A number says by its op what it is, and not by its value.
        let is_data = self.is_data();
        let plain = |node: &&mut Node| is_data && node.error.is_none() && node.meta == *meta;
        let Some(node) = Arc::get_mut(&mut self.0).filter(plain) else { return Err((value, pending_checks)) };
        let inputs = node.inputs.get_mut().unwrap_or_else(PoisonError::into_inner);
        let held = node.value.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !inputs.is_empty() || held.is_none() || *node.freed.get_mut() {
            return Err((value, pending_checks));
        }
        *held = Some(value);
        *node.pending_checks.get_mut().unwrap_or_else(PoisonError::into_inner) = pending_checks;
        *node.differentiated.get_mut() = false;
        node.at = at;
        Ok(())
    }

    /// An op on inputs that are known to fit it, tracked or not whatever the thread's state.
    pub(crate) fn rebuilt(
        op: Arc<dyn Op>,
        meta: Meta,
        at: Site,
        tracked: bool,
        inputs: SmallVec<[Var; 2]>,
        context: &Arc<Context>,
    ) -> Var {
        if let Some(error) = inputs.iter().find_map(|v| v.0.error.clone()) {
            return Var::failed_as(error, Some(meta), context, at);
        }
        Var::insert(Parts { op, meta, at, tracked, grad_cell: None, inputs, value: None, error: None }, context)
    }

    /// Whether the value was there from the start: uploaded, or left by a captured step.
    pub fn is_data(&self) -> bool {
        let op: &dyn Any = &*self.0.op;
        op.is::<Data>()
    }

    /// A leaf: a new name for `self`, at which backward stops and puts the gradient into `cell`.
    #[track_caller]
    pub fn leaf(&self, cell: Arc<GradCell>) -> Var {
        let at = here();
        if self.0.error.is_some() {
            return self.clone();
        }
        let parts = Parts {
            op: Arc::new(Alias { leaf: true }),
            meta: self.0.meta.clone(),
            at,
            tracked: true,
            grad_cell: Some(cell),
            inputs: SmallVec::from_iter([self.clone()]),
            value: None,
            error: None,
        };
        Var::insert(parts, &self.0.context)
    }

    /// The same value outside the graph. It shares the storage once the value is computed, and then holds nothing else.
    #[track_caller]
    pub fn detach(&self) -> Var {
        no_grad(|| Var::apply(Alias { leaf: false }, &[self]))
    }

    /// Where the input of an alias or a leaf has been computed, takes over its value and lets the input go.
    pub fn share_value(&self) {
        // A captured step must see where its values come from. An assignment waits for the index checks of its new value.
        let waits = || {
            self.is_assignment() && self.0.with_inputs(|inputs| inputs.first().is_some_and(|new| new.0.is_unchecked()))
        };
        if !recording::active() && !self.0.has_value() && self.is_alias() && !waits() {
            self.share_value_now();
        }
    }

    /// [`Var::share_value`] for values that are no part of a step that is being captured, whatever index checks they depend on.
    pub(crate) fn share_value_now(&self) {
        if self.is_alias() {
            let found =
                self.0.with_inputs(|inputs| inputs.first().and_then(|v| Some((v.0.value()?, v.0.pending_checks()))));
            if let Some((value, pending_checks)) = found.filter(|_| !self.0.has_value()) {
                self.0.set_pending_checks(pending_checks);
                self.0.set_value(value);
            }
        }
    }

    /// Whether the node is its input by another name.
    pub fn is_alias(&self) -> bool {
        self.0.op.is_name()
    }

    /// Whether the node is a new value of a variable that may have to be withheld.
    pub(crate) fn is_assignment(&self) -> bool {
        self.0.op.needs() == 1
    }

    /// A node that carries an error, of which nothing else is known: it says that it is an f32 scalar.
    pub fn failed(error: Error, context: &Arc<Context>, at: impl Into<Site>) -> Var {
        Var::failed_as(error, None, context, at)
    }

    /// [`Var::failed`] of a known shape and type, so far as they are: code that looks at shapes goes on to where the error is read.
    pub(crate) fn failed_as(error: Error, known: Option<Meta>, context: &Arc<Context>, at: impl Into<Site>) -> Var {
        if crate::env::get().panic {
            // The environment variable asks for a panic at the first error, for its backtrace.
            panic!("{error}");
        }
        let parts = Parts {
            op: Arc::new(Data),
            meta: known.unwrap_or_else(|| Meta::new((), DType::F32)),
            at: at.into(),
            tracked: false,
            grad_cell: None,
            inputs: SmallVec::new(),
            value: None,
            error: Some(error),
        };
        Var::insert(parts, context)
    }

    fn insert(parts: Parts, context: &Arc<Context>) -> Var {
        let var = Var::make(parts, context);
        if var.0.error.is_none() && !var.0.op.is_source() {
            context.unflushed.fetch_add(1, Ordering::Relaxed);
            crate::trace::recording(context.lane);
        }
        var
    }

    fn make(parts: Parts, context: &Arc<Context>) -> Var {
        // An assignment that is not sure of its checks keeps the old value.
        let unchecked = |input: &Var| input.0.checked || input.0.is_unchecked();
        let checked = parts.op.checks_indices() || parts.op.needs() > 1 && parts.inputs.iter().any(unchecked);
        Var(Arc::new(Node {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            op: parts.op,
            meta: parts.meta,
            at: parts.at,
            context: context.clone(),
            tracked: parts.tracked,
            transaction: transaction::current(),
            checked,
            grad_cell: parts.grad_cell,
            error: parts.error,
            inputs: RwLock::new(parts.inputs),
            value: RwLock::new(parts.value),
            handles: AtomicU32::new(0),
            differentiated: AtomicBool::new(false),
            replaces: AtomicU64::new(0),
            freed: AtomicBool::new(false),
            pending_checks: Mutex::default(),
            hooks: Mutex::default(),
        }))
    }

    /// Registers the node with its device as held by a user, so that a flush of everything computes it.
    pub fn register(&self) {
        if self.0.error.is_none() && !self.0.has_value() && !recording::hold(&self.0) && !anomaly::keep(&self.0) {
            lock(&self.0.context.pending).push(Arc::downgrade(&self.0));
        }
    }

    /// Shape and type.
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// Shape.
    pub fn shape(&self) -> &Shape {
        &self.0.meta.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.meta.dtype
    }

    /// The error that the node carries, if any.
    pub fn check(&self) -> Result<()> {
        match &self.0.error {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// What a new node is made of.
struct Parts {
    op: Arc<dyn Op>,
    meta: Meta,
    at: Site,
    tracked: bool,
    grad_cell: Option<Arc<GradCell>>,
    inputs: SmallVec<[Var; 2]>,
    value: Option<Value>,
    error: Option<Error>,
}

/// A node that holds its value from the start.
#[derive(Hash)]
struct Data;

fn data_op() -> Arc<dyn Op> {
    static SHARED: OnceLock<Arc<dyn Op>> = OnceLock::new();
    SHARED.get_or_init(|| Arc::new(Data)).clone()
}

impl Op for Data {
    fn name(&self) -> &str {
        "data"
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Meta> {
        Err(Error::internal("data", "a data node is made by Var::data"))
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Data
    }
    fn reference(&self, _inputs: &[&Array], _output: &Meta) -> Result<Array> {
        Err(Error::internal("data", "a data node holds its value"))
    }
    fn is_source(&self) -> bool {
        true
    }
}

/// The same values under another name: a leaf, at which gradients stop to be collected, or a value outside the graph.
#[derive(Hash)]
struct Alias {
    leaf: bool,
}

impl Op for Alias {
    fn name(&self) -> &str {
        if self.leaf { "leaf" } else { "detach" }
    }
    crate::graph::op::passes_on!();
    fn is_name(&self) -> bool {
        true
    }
    fn differentiable(&self) -> bool {
        self.leaf
    }
}
