//! Nodes of the graph and the context that they belong to.

use std::any::Any;
use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use smallvec::SmallVec;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::anomaly;
use crate::graph::doubt::Doubt;
use crate::graph::kernel::Kernel;
use crate::graph::op::Op;
use crate::graph::recording::{self, Slot};
use crate::shape::Shape;

/// Shape and element type.
///
/// ```
/// use wgrad::{DType, graph::Meta};
/// let meta = Meta::new([2, 3], DType::F32);
/// assert_eq!((meta.numel(), meta.bytes()), (6, 24));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Size along each dim.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
}

impl Meta {
    /// A shape with a type.
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> Meta {
        Meta { shape: shape.into(), dtype }
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// Bytes of the elements in a GPU buffer.
    pub fn bytes(&self) -> u64 {
        self.numel() as u64 * self.dtype.size() as u64
    }
}

/// A computed value as the backend keeps it: a GPU buffer or a host array.
pub type Value = Arc<dyn Any + Send + Sync>;

/// What graphs are built by on a device.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Whether f64 tensors may live here (the CPU reference).
    pub allows_f64: bool,
    /// Whether f16 tensors may live here.
    pub allows_f16: bool,
    /// Whether gradients are built from the rules' expressions always (the CPU reference, which runs no shaders).
    pub prefers_expressions: bool,
    /// Whether shaders run on CPU cores, where matrix products often beat one fused kernel.
    pub software: bool,
    /// Whether they run there in subgroups of eight lanes or more.
    pub lanes: bool,
}

/// What the nodes of one device share.
pub struct Context {
    /// A name that is unique to the device, for error texts.
    pub device: String,
    /// What it can do.
    pub traits: Traits,
    /// Nodes that have no value yet and that a user may still hold, in the order of their making.
    pending: Mutex<Vec<Weak<Node>>>,
    unflushed: AtomicU64,
    /// The device's process in the trace; 0 where there is none.
    lane: u32,
}

impl Context {
    /// The context of a new device.
    pub fn new(device: impl Into<String>, traits: Traits) -> Arc<Context> {
        Context::traced(device, traits, 0)
    }

    /// The context of a device that is a process of the trace.
    pub fn traced(device: impl Into<String>, traits: Traits, lane: u32) -> Arc<Context> {
        let (pending, unflushed) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Context { device: device.into(), traits, pending, unflushed, lane })
    }

    /// Takes the list of pending nodes that somebody still holds.
    pub fn take_pending(&self) -> Vec<Arc<Node>> {
        self.unflushed.store(0, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.pending)).iter().filter_map(Weak::upgrade).collect()
    }

    /// Puts nodes back that a failed flush could not compute.
    pub fn restore_pending(&self, nodes: &[Arc<Node>]) {
        lock(&self.pending).extend(nodes.iter().map(Arc::downgrade));
    }

    /// Nodes made since the last flush of everything or the last [`Context::prune`].
    pub fn unflushed(&self) -> u64 {
        self.unflushed.load(Ordering::Relaxed)
    }

    /// Forgets nodes that are gone or computed; the number of those left.
    pub fn prune(&self) -> u64 {
        let mut pending = lock(&self.pending);
        pending.retain(|node| node.upgrade().is_some_and(|node| !node.has_value()));
        let left = pending.len() as u64;
        self.unflushed.store(left, Ordering::Relaxed);
        left
    }
}

/// Where the gradient of a leaf is kept. Shared by the leaf's successive values.
#[derive(Default)]
pub struct GradCell {
    /// The accumulated gradient.
    pub grad: Mutex<Option<Var>>,
}

impl GradCell {
    /// Puts another gradient in the place of the present one. A gradient counts as held by the user.
    pub fn replace(self: &Arc<Self>, grad: Option<Var>) {
        recording::write(self);
        self.exchange(|_| grad);
    }

    /// [`GradCell::replace`] by what `f` makes of the present gradient; no other thread changes it meanwhile.
    pub fn update(self: &Arc<Self>, f: impl FnOnce(Option<&Var>) -> Option<Var>) {
        if recording::active() {
            self.get();
            recording::write(self);
        }
        self.exchange(f);
    }

    /// The gradient.
    pub fn get(self: &Arc<Self>) -> Option<Var> {
        let grad = lock(&self.grad).clone();
        if recording::active() {
            recording::read(self, grad.as_ref());
        }
        grad
    }

    fn exchange(&self, f: impl FnOnce(Option<&Var>) -> Option<Var>) {
        let mut cell = lock(&self.grad);
        let new = f(cell.as_ref());
        if let Some(new) = &new {
            new.0.add_handle();
            new.register();
        }
        let old = std::mem::replace(&mut *cell, new);
        drop(cell);
        if let Some(old) = old {
            old.0.remove_handle();
        }
    }
}

impl Slot for GradCell {
    fn value(&self) -> Option<Var> {
        lock(&self.grad).clone()
    }
    fn is_there(&self) -> bool {
        lock(&self.grad).is_some()
    }
    fn bind(&self, value: Option<Var>) {
        self.exchange(|_| value);
    }
    fn renew(
        &self,
        meta: &Meta,
        value: Value,
        doubt: Doubt,
        at: &'static Location<'static>,
    ) -> std::result::Result<(), (Value, Doubt)> {
        match &mut *lock(&self.grad) {
            Some(grad) => grad.renew(meta, value, doubt, at),
            None => Err((value, doubt)),
        }
    }
    fn gradient(&self) -> Option<usize> {
        Some(std::ptr::from_ref(self) as usize)
    }
    fn is_gradient(&self) -> bool {
        true
    }
}

/// A value in the graph, computed or not.
pub struct Node {
    /// Unique and ascending: inputs have lower ids than their consumers, so ids are a topological order.
    pub id: u64,
    /// The operation.
    pub op: Arc<dyn Op>,
    /// Shape and type.
    pub meta: Meta,
    /// The user's line.
    pub at: &'static Location<'static>,
    /// The device's context.
    pub context: Arc<Context>,
    /// Whether gradients flow through this node.
    pub tracked: bool,
    /// Set on leaves that want a gradient.
    pub grad_cell: Option<Arc<GradCell>>,
    /// The error that this node carries instead of a value.
    pub error: Option<Error>,
    inputs: RwLock<SmallVec<[Var; 2]>>,
    value: RwLock<Option<Value>>,
    handles: AtomicU32,
    differentiated: AtomicBool,
    /// Where the value lay that a variable had before it was bound to this node; 0 where there was none. Only compared.
    succeeds: AtomicUsize,
    /// Index checks that may have failed, or yet turn out to have; the backend's affair.
    doubt: Mutex<Doubt>,
    /// Called with the gradient during backward; may replace it.
    hooks: Mutex<Vec<Hook>>,
}

/// Where something shared lies, the same for all that share it: an identity of values and variables.
pub fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}

/// A function that sees, and may replace, the gradient of a node.
pub type Hook = Arc<dyn Fn(&Var) -> Option<Var> + Send + Sync>;

impl Node {
    /// The inputs; empty once a value that no gradient needs has been computed.
    pub fn inputs(&self) -> SmallVec<[Var; 2]> {
        self.inputs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `f` on the inputs without cloning them.
    pub fn with_inputs<R>(&self, f: impl FnOnce(&[Var]) -> R) -> R {
        f(&self.inputs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The computed value.
    pub fn value(&self) -> Option<Value> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a value has been computed.
    pub fn has_value(&self) -> bool {
        self.value.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes that a variable is bound to this node now, which had `value` before: as a hint of which buffer to store it in.
    pub fn succeed(&self, value: &Value) {
        self.succeeds.store(address(value), Ordering::Relaxed);
    }

    /// The address of the value that this node's is to replace.
    pub fn succeeded(&self) -> Option<usize> {
        Some(self.succeeds.load(Ordering::Relaxed)).filter(|&address| address != 0)
    }

    /// Stores the computed value and lets go of what only its computation needed.
    pub fn set_value(&self, value: Value) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        if !self.tracked || self.grad_cell.is_some() {
            let inputs = std::mem::take(&mut *self.inputs.write().unwrap_or_else(PoisonError::into_inner));
            drop_iteratively(inputs);
        }
    }

    /// A user's handle was made.
    pub fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// A user's handle was dropped.
    pub fn remove_handle(&self) {
        self.handles.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a user holds this node.
    pub fn is_held(&self) -> bool {
        self.handles.load(Ordering::Relaxed) > 0
    }

    /// Notes that `backward` has gone through this node: its value need not be kept for another one (it is recomputed
    /// should one come).
    pub fn mark_differentiated(&self) {
        self.differentiated.store(true, Ordering::Relaxed);
    }

    /// Whether a first `backward` may still come and would be dear without this node's value.
    pub fn awaits_backward(&self) -> bool {
        self.tracked && !self.differentiated.load(Ordering::Relaxed)
    }

    /// The index checks that the value hangs on and that may have met an index out of range.
    pub fn doubt(&self) -> Doubt {
        lock(&self.doubt).clone()
    }

    /// Sets [`Node::doubt`], before the value.
    pub fn set_doubt(&self, doubt: Doubt) {
        *lock(&self.doubt) = doubt;
    }

    /// Adds a function that sees the gradient of this node.
    pub fn add_hook(&self, hook: Hook) {
        lock(&self.hooks).push(hook);
    }

    /// The functions that see the gradient.
    pub fn hooks(&self) -> Vec<Hook> {
        lock(&self.hooks).clone()
    }

    /// How the node runs.
    pub fn kernel(&self) -> Kernel {
        self.with_inputs(|inputs| {
            let metas: SmallVec<[&Meta; 4]> = inputs.iter().map(|v| &v.0.meta).collect();
            self.op.kernel(&metas, &self.meta)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop_iteratively(std::mem::take(self.inputs.get_mut().unwrap_or_else(PoisonError::into_inner)));
    }
}

/// Drops a graph without recursion, so that a chain of any depth fits the stack.
fn drop_iteratively(inputs: SmallVec<[Var; 2]>) {
    let mut stack = inputs;
    while let Some(var) = stack.pop() {
        if let Some(mut node) = Arc::into_inner(var.0) {
            stack.extend(std::mem::take(node.inputs.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

/// A reference to a node: what gradient rules and composite ops compute with. Its methods are those of [`Tensor`](crate::Tensor), with dims
/// counted from 0; the docs of their namesakes there have examples.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &device).node();
/// let y = x.matmul(&x.transpose(0, 1)).sum(&[1], false);
/// assert_eq!(Tensor::from_var(y, &device).to_vec::<f32>()?, [16.0, 36.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Var(pub Arc<Node>);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An id between those of all nodes so far and those of all nodes to come.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

thread_local! {
    static GRAD_DISABLED: Cell<u32> = const { Cell::new(0) };
    static LOCATION: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
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
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            GRAD_DISABLED.with(|c| c.set(c.get() - 1));
        }
    }
    GRAD_DISABLED.with(|c| c.set(c.get() + 1));
    let _restore = Restore;
    f()
}

/// Runs `f` with every node that it makes attributed to `location`: gradient nodes belong to the line of their forward op.
pub fn with_location<R>(location: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<&'static Location<'static>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LOCATION.with(|c| c.set(self.0));
        }
    }
    let _restore = Restore(LOCATION.with(|c| c.replace(Some(location))));
    f()
}

/// The user's line: the one that [`with_location`] names, else the caller's.
#[track_caller]
pub fn here() -> &'static Location<'static> {
    LOCATION.with(Cell::get).unwrap_or(Location::caller())
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
        if let Some(error) = inputs.iter().find_map(|v| v.0.error.clone()) {
            return Var::failed(error, context, at);
        }
        if let Some(other) = inputs.iter().find(|v| !Arc::ptr_eq(&v.0.context, context)) {
            let devices = vec![context.device.clone(), other.0.context.device.clone()];
            return Var::failed(Error::DeviceMismatch { op: op.name().into(), devices, at: at.into() }, context, at);
        }
        let metas: SmallVec<[&Meta; 4]> = inputs.iter().map(|v| &v.0.meta).collect();
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
            Err(error) => Var::failed(error.or_at(at), context, at),
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
    pub fn computed(
        meta: Meta,
        value: Value,
        doubt: Doubt,
        at: &'static Location<'static>,
        context: &Arc<Context>,
    ) -> Var {
        let var = with_location(at, || Var::data(meta, value, context));
        if !doubt.is_empty() {
            var.0.set_doubt(doubt);
        }
        var
    }

    /// The same op without its inputs, for plans that outlive their graph.
    pub fn skeleton(&self) -> Var {
        let node = &self.0;
        let parts = Parts {
            op: node.op.clone(),
            meta: node.meta.clone(),
            at: node.at,
            tracked: false,
            grad_cell: None,
            inputs: SmallVec::new(),
            value: None,
            error: None,
        };
        Var::make(parts, &node.context)
    }

    /// Puts a computed value of this shape in the place of the present one, where nobody else holds the node: what captured
    /// steps do at each run, without making a node.
    ///
    /// # Errors
    /// Gives the value back where the node is shared, or is not just a value.
    pub(crate) fn renew(
        &mut self,
        meta: &Meta,
        value: Value,
        doubt: Doubt,
        at: &'static Location<'static>,
    ) -> std::result::Result<(), (Value, Doubt)> {
        let Some(node) = Arc::get_mut(&mut self.0).filter(|node| node.error.is_none() && node.meta == *meta) else {
            return Err((value, doubt));
        };
        let inputs = node.inputs.get_mut().unwrap_or_else(PoisonError::into_inner);
        let held = node.value.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !inputs.is_empty() || held.is_none() {
            return Err((value, doubt));
        }
        *held = Some(value);
        *node.doubt.get_mut().unwrap_or_else(PoisonError::into_inner) = doubt;
        *node.differentiated.get_mut() = false;
        node.at = at;
        Ok(())
    }

    /// An op on inputs that are known to fit it, tracked or not whatever the thread's state.
    pub(crate) fn rebuilt(
        op: Arc<dyn Op>,
        meta: Meta,
        at: &'static Location<'static>,
        tracked: bool,
        inputs: SmallVec<[Var; 2]>,
        context: &Arc<Context>,
    ) -> Var {
        if let Some(error) = inputs.iter().find_map(|v| v.0.error.clone()) {
            return Var::failed(error, context, at);
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
    pub fn settle(&self) {
        // A captured step must see where its values come from.
        if recording::active() {
            return;
        }
        if self.is_alias() {
            let found = self.0.with_inputs(|inputs| inputs.first().and_then(|v| Some((v.0.value()?, v.0.doubt()))));
            if let Some((value, doubt)) = found {
                self.0.set_doubt(doubt);
                self.0.set_value(value);
            }
        }
    }

    /// Whether the node is its input by another name.
    pub fn is_alias(&self) -> bool {
        let op: &dyn Any = &*self.0.op;
        op.is::<Alias>()
    }

    /// A node that carries an error.
    pub fn failed(error: Error, context: &Arc<Context>, at: &'static Location<'static>) -> Var {
        if crate::env::get().panic {
            // The environment variable asks for a panic at the first error, for its backtrace.
            panic!("{error}");
        }
        let parts = Parts {
            op: Arc::new(Data),
            meta: Meta::new((), DType::F32),
            at,
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
        Var(Arc::new(Node {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            op: parts.op,
            meta: parts.meta,
            at: parts.at,
            context: context.clone(),
            tracked: parts.tracked,
            grad_cell: parts.grad_cell,
            error: parts.error,
            inputs: RwLock::new(parts.inputs),
            value: RwLock::new(parts.value),
            handles: AtomicU32::new(0),
            differentiated: AtomicBool::new(false),
            succeeds: AtomicUsize::new(0),
            doubt: Mutex::default(),
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
    at: &'static Location<'static>,
    tracked: bool,
    grad_cell: Option<Arc<GradCell>>,
    inputs: SmallVec<[Var; 2]>,
    value: Option<Value>,
    error: Option<Error>,
}

/// A node that holds its value from the start.
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
        Err(Error::argument("data", "a data node is made by Var::data"))
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Data
    }
    fn reference(&self, _inputs: &[&Array], _output: &Meta) -> Result<Array> {
        Err(Error::argument("data", "a data node holds its value"))
    }
    fn is_source(&self) -> bool {
        true
    }
}

/// The same values under another name: a leaf, at which gradients stop to be collected, or a value outside the graph.
struct Alias {
    leaf: bool,
}

impl Op for Alias {
    fn name(&self) -> &str {
        if self.leaf { "leaf" } else { "detach" }
    }
    crate::graph::op::passes_on!();
    fn differentiable(&self) -> bool {
        self.leaf
    }
}

/// Locks a mutex; a panic of another thread while it held the lock does not matter to the plain data kept in them here.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
