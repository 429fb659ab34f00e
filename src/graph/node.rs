//! Nodes of the graph and the context that they belong to.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use smallvec::SmallVec;

use crate::caps::AdapterKind;
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::kernel::Kernel;
use crate::graph::op::Op;
use crate::graph::pending_checks::PendingChecks;
use crate::graph::recording::{self, Rebindable};
use crate::shape::Shape;
use crate::site::Site;

mod var;

pub(crate) use var::next_id;
pub use var::{Var, enable_grad, here, no_grad, with_location};

/// Shape and element type.
///
/// ```
/// use wgrad::{DType, custom::Meta};
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
    /// For which kind of adapters kernels are made.
    pub kind: AdapterKind,
    /// Whether a software adapter runs shaders in subgroups of eight lanes or more.
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
    /// The device, where it is more than a set of nodes.
    device_handle: OnceLock<Weak<dyn Any + Send + Sync>>,
}

impl Context {
    /// The context of a new device.
    pub fn new(device: impl Into<String>, traits: Traits) -> Arc<Context> {
        Context::traced(device, traits, 0)
    }

    /// The context of a device that is a process of the trace.
    pub fn traced(device: impl Into<String>, traits: Traits, lane: u32) -> Arc<Context> {
        let (pending, unflushed) = (Mutex::default(), AtomicU64::new(0));
        let device_handle = OnceLock::new();
        Arc::new(Context { device: device.into(), traits, pending, unflushed, lane, device_handle })
    }

    /// Says which device it is that of.
    pub fn belongs_to(&self, device: Weak<dyn Any + Send + Sync>) {
        // A context is told once, when its device is made.
        let _ = self.device_handle.set(device);
    }

    /// The device, while it is there.
    pub fn device_handle(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.device_handle.get()?.upgrade()
    }

    /// Takes the list of pending nodes that somebody still holds.
    pub fn take_pending(&self) -> Vec<Arc<Node>> {
        self.unflushed.store(0, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.pending)).iter().filter_map(Weak::upgrade).collect()
    }

    /// The pending nodes that somebody holds.
    pub fn held_pending(&self) -> Vec<Arc<Node>> {
        let mut held = Vec::new();
        lock(&self.pending).retain(|node| {
            let Some(node) = node.upgrade().filter(|node| !node.has_value()) else { return false };
            if node.is_held() {
                held.push(node);
            }
            true
        });
        held
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
    /// Puts another gradient instead of the present one. A gradient counts as held by the user.
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
        if let (Some(new), Some(old)) = (&new, cell.as_ref()) {
            new.0.replace(&old.0);
        }
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

impl Rebindable for GradCell {
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
        pending_checks: PendingChecks,
        at: Site,
    ) -> Result<(), (Value, PendingChecks)> {
        match &mut *lock(&self.grad) {
            Some(grad) => grad.renew(meta, value, pending_checks, at),
            None => Err((value, pending_checks)),
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
    /// The user's line, and the layer that it runs in.
    pub at: Site,
    /// The device's context.
    pub context: Arc<Context>,
    /// Whether gradients flow through this node.
    pub tracked: bool,
    /// A number of the training step that the node belongs to.
    pub transaction: u32,
    /// Whether the value was computed by way of ops that check indices, assignments left aside.
    pub checked: bool,
    /// Set on leaves that want a gradient.
    pub grad_cell: Option<Arc<GradCell>>,
    /// The error that this node carries instead of a value.
    pub error: Option<Error>,
    inputs: RwLock<SmallVec<[Var; 2]>>,
    value: RwLock<Option<Value>>,
    handles: AtomicU32,
    differentiated: AtomicBool,
    freed: AtomicBool,
    /// The node that a variable was bound to before it was bound to this one; 0 where there was none.
    replaces: AtomicU64,
    /// Index checks that may have failed, or yet turn out to have; the backend's affair.
    pending_checks: Mutex<PendingChecks>,
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

    /// [`Node::with_inputs`] of those inputs that are computed in any case.
    pub fn with_needed_inputs<R>(&self, f: impl FnOnce(&[Var]) -> R) -> R {
        self.with_inputs(|inputs| f(&inputs[..inputs.len().min(self.op.needs())]))
    }

    /// Whether the value depends on index checks that have not answered yet.
    pub fn is_unchecked(&self) -> bool {
        if self.has_value() { !lock(&self.pending_checks).is_empty() } else { self.checked }
    }

    /// The computed value.
    pub fn value(&self) -> Option<Value> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a value has been computed.
    pub fn has_value(&self) -> bool {
        self.value.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes that a variable is bound to this node now, which was bound to `old` before: this value may be written over that one.
    pub fn replace(&self, old: &Node) {
        // What never had a value has no buffer; its own predecessor may have one.
        let id = if old.has_value() { old.id } else { old.replaces().unwrap_or(old.id) };
        self.replaces.store(id, Ordering::Relaxed);
    }

    /// The id of the node whose value this one's is to replace.
    pub fn replaces(&self) -> Option<u64> {
        Some(self.replaces.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }

    /// Whether the node lets go of its inputs when it has a value.
    pub fn lets_go(&self) -> bool {
        !self.tracked || self.grad_cell.is_some() || self.is_freed()
    }

    /// Whether the node has a value, and no other node or program shares it.
    pub fn is_only_owner(&self) -> bool {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        value.as_ref().is_some_and(|value| Arc::strong_count(value) == 1)
    }

    /// Takes the value away, which another node has written over.
    pub fn give_up_value(&self) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Stores the computed value and lets go of what only its computation needed.
    pub fn set_value(&self, value: Value) {
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        if self.lets_go() {
            self.forget_inputs();
        }
    }

    fn forget_inputs(&self) {
        let inputs = std::mem::take(&mut *self.inputs.write().unwrap_or_else(PoisonError::into_inner));
        drop_iteratively(inputs);
    }

    /// Lets go of what only another backward pass would need: at once where the value is computed, else when it is.
    pub fn free(&self) {
        self.freed.store(true, Ordering::SeqCst);
        self.op.release();
        if self.has_value() {
            self.forget_inputs();
        }
    }

    /// Whether a backward pass has freed the graph here: none can go through it again.
    pub fn is_freed(&self) -> bool {
        self.freed.load(Ordering::SeqCst)
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

    /// The index checks that the value depends on and that may have met an index out of range.
    pub fn pending_checks(&self) -> PendingChecks {
        lock(&self.pending_checks).clone()
    }

    /// Sets [`Node::pending_checks`], before the value.
    pub fn set_pending_checks(&self, pending_checks: PendingChecks) {
        *lock(&self.pending_checks) = pending_checks;
    }

    /// Adds a function that sees the gradient of this node.
    pub fn add_hook(&self, hook: Hook) {
        lock(&self.hooks).push(hook);
    }

    /// The functions that see the gradient.
    pub fn hooks(&self) -> Vec<Hook> {
        lock(&self.hooks).clone()
    }

    /// How the node runs; that of data once it is computed and has let its inputs go.
    pub fn kernel(&self) -> Kernel {
        self.with_inputs(|inputs| {
            if inputs.is_empty() && self.has_value() {
                return Kernel::Data;
            }
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

/// Locks a mutex; a panic of another thread while it held the lock does not matter to the plain data kept in them here.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
