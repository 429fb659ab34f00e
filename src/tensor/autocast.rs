//! Mixed precision: which ops run in f16, and which in f32, while [`autocast`] is on.

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Elementwise functions whose results lose too much in f16, or leave its range (PyTorch's list).
const PRECISE: [&str; 18] = [
    "acos",
    "asin",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "pow",
    "powf",
    "recip",
    "rsqrt",
    "sinh",
    "tan",
    "xlogy",
];

/// Runs `f` in mixed precision: products (`matmul`, `linear`, `bmm`, `addmm`, convolutions, `scaled_dot_product_attention`) take their
/// f32 operands as f16 and sum in f32; reductions, norms, softmax, losses, and functions such as `exp` and `pow` take f16 operands as f32.
/// All other ops run in the type of their operands, the wider one where these differ. The lists are PyTorch's. Parameters and gradients stay
/// f32: a conversion passes gradients on, converted back.
///
/// Calls of `backward` and of an optimizer's `step` belong outside. Small gradients vanish in f16;
/// [`GradScaler`](crate::amp::GradScaler) keeps them.
///
/// ```
/// use wgrad::{DType, Device, Tensor, amp::autocast, nn::loss};
/// let device = Device::cpu(); // has f16 always; a GPU adapter may lack it
/// let w = Tensor::randn([8, 4], &device).requires_grad();
/// let (x, y) = (Tensor::randn([2, 8], &device), Tensor::zeros([2, 4], &device));
/// let loss = autocast(&device, || {
///     let h = x.matmul(&w);
///     assert_eq!(h.dtype(), DType::F16);
///     loss::mse(&h, &y)
/// })?;
/// assert_eq!(loss.dtype(), DType::F32);
/// loss.backward()?;
/// assert_eq!(w.grad().unwrap().dtype(), DType::F32);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] where the device has no f16; then `f` is not called.
#[track_caller]
pub fn autocast<R>(device: &Device, f: impl FnOnce() -> R) -> Result<R> {
    let _on = Autocast::new(device)?;
    Ok(f())
}

/// [`autocast`] as a guard: mixed precision on this thread until it is dropped.
///
/// ```
/// use wgrad::{DType, Device, Tensor, amp::Autocast};
/// let device = Device::cpu();
/// let x = Tensor::randn([2, 2], &device);
/// let on = Autocast::new(&device)?;
/// assert_eq!(x.matmul(&x).dtype(), DType::F16);
/// drop(on);
/// assert_eq!(x.matmul(&x).dtype(), DType::F32);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[must_use = "mixed precision ends when the guard is dropped"]
pub struct Autocast {
    before: bool,
    /// The switch is the thread's own.
    here: PhantomData<*const ()>,
}

impl Autocast {
    /// Switches mixed precision on.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the device has no f16.
    #[track_caller]
    pub fn new(device: &Device) -> Result<Autocast> {
        if !device.context().traits.allows_f16 {
            return Err(Error::unsupported("autocast", DType::NO_F16).or_at(Location::caller()));
        }
        Ok(Autocast { before: ON.with(|on| on.replace(true)), here: PhantomData })
    }

    /// Runs `f` in the types of its operands, inside mixed precision.
    pub fn off<R>(f: impl FnOnce() -> R) -> R {
        let _off = Autocast { before: ON.with(|on| on.replace(false)), here: PhantomData };
        f()
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        ON.with(|on| on.set(self.before));
    }
}

impl Tensor {
    /// An operand of a product: as f16 in mixed precision.
    #[track_caller]
    pub(super) fn narrowed(&self) -> Tensor {
        let narrow = ON.with(Cell::get) && self.dtype() == DType::F32 && self.device().context().traits.allows_f16;
        if narrow { self.to_dtype(DType::F16) } else { self.clone() }
    }

    /// An operand of what needs f32: as f32 in mixed precision.
    #[track_caller]
    pub(crate) fn widened(&self) -> Tensor {
        if ON.with(Cell::get) && self.dtype() == DType::F16 { self.to_dtype(DType::F32) } else { self.clone() }
    }

    /// What the reduction of this name takes: the largest and smallest elements and logical ones need no more digits.
    #[track_caller]
    pub(super) fn reduced(&self, op: &str) -> Tensor {
        if matches!(op, "max" | "min" | "any" | "all") { self.clone() } else { self.widened() }
    }

    /// An operand of the elementwise op of this name.
    #[track_caller]
    pub(super) fn precise(&self, op: &str) -> Tensor {
        if ON.with(Cell::get) && PRECISE.contains(&op) { self.widened() } else { self.clone() }
    }
}
