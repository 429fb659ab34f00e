//! Pooling over one to three spatial dims of `[N, C, *spatial]` or `[C, *spatial]`.

mod max;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::per_dim::PerDim;
use crate::ops::window::{Divisor, Geometry, WindowKind, WindowSum, spatial};

/// Windows of max pooling; the fields take a number or one for each spatial dim.
///
/// ```
/// use wgrad::Pool;
/// let pool = Pool { padding: 1.into(), ..Pool::new(3) }; // stride 3
/// assert_eq!(pool.stride, 3.into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Taps of a window.
    pub kernel: PerDim,
    /// Steps from window to window.
    pub stride: PerDim,
    /// Positions before and after the input, at most half the kernel; they never win.
    pub padding: PerDim,
    /// Steps from tap to tap.
    pub dilation: PerDim,
    /// Whether a last window may hang over the end, as long as it starts in the input or the padding before it.
    pub ceil_mode: bool,
}

impl Pool {
    /// Windows that stand side by side: the stride is the kernel.
    pub fn new(kernel: impl Into<PerDim>) -> Pool {
        let kernel = kernel.into();
        Pool { stride: kernel, kernel, padding: 0.into(), dilation: 1.into(), ceil_mode: false }
    }
}

/// Windows of average pooling, as [`Pool`], and what sums are divided by.
///
/// ```
/// use wgrad::{AvgPool, Device, Tensor};
/// let x = Tensor::ones([1, 1, 2], &Device::cpu());
/// let pool = AvgPool { padding: 1.into(), count_include_pad: false, ..AvgPool::new(2) }; // stride 2
/// assert_eq!(x.avg_pool1d_with(&pool).to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AvgPool {
    /// Taps of a window.
    pub kernel: PerDim,
    /// Steps from window to window.
    pub stride: PerDim,
    /// Zeros before and after the input, at most half the kernel.
    pub padding: PerDim,
    /// Whether a last window may hang over the end, as long as it starts in the input or the padding before it.
    pub ceil_mode: bool,
    /// Whether the zeros of the padding count in the average.
    pub count_include_pad: bool,
    /// What every sum is divided by instead.
    pub divisor_override: Option<usize>,
}

impl AvgPool {
    /// Windows that stand side by side; padding counts.
    pub fn new(kernel: impl Into<PerDim>) -> AvgPool {
        let kernel = kernel.into();
        let (stride, padding) = (kernel, 0.into());
        AvgPool { kernel, stride, padding, ceil_mode: false, count_include_pad: true, divisor_override: None }
    }
}

/// Positions of the windows along one dim.
///
/// The last window of `ceil_mode` is dropped where it would start in the padding after the input.
fn windows(size: usize, [kernel, stride, padding, dilation]: [usize; 4], ceil_mode: bool) -> Option<usize> {
    let extent = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
    let room = padding.checked_mul(2)?.checked_add(size)?.checked_sub(extent)?;
    let count = if ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
    let hangs_over = ceil_mode && (count - 1).checked_mul(stride)? >= size + padding;
    Some(if hangs_over { count - 1 } else { count })
}

/// The windows over `x`, checked.
fn sliding(op: &str, x: &Var, dims: usize, pool: &Pool, divisor: Divisor) -> Result<Geometry> {
    let input = spatial(op, x, dims)?;
    let kernel = pool.kernel.resolve(op, "kernel", dims, 1)?;
    let stride = pool.stride.resolve(op, "stride", dims, 1)?;
    let padding = pool.padding.resolve(op, "padding", dims, 0)?;
    let dilation = pool.dilation.resolve(op, "dilation", dims, 1)?;
    let text = || {
        let Pool { kernel, stride, padding, dilation, .. } = pool;
        format!("kernel {kernel:?}, stride {stride:?}, padding {padding:?}, dilation {dilation:?}")
    };
    if [kernel, stride, dilation].iter().flatten().any(|&n| n == 0) {
        return Err(Error::argument(op, format!("kernel, stride and dilation must be above 0, not {}", text())));
    }
    if (0..3).any(|axis| padding[axis] > kernel[axis] / 2) {
        return Err(Error::argument(op, format!("the padding may be at most half the kernel, not {}", text())));
    }
    let mut output = [0; 3];
    for axis in 0..3 {
        let along = [kernel[axis], stride[axis], padding[axis], dilation[axis]];
        match windows(input[axis], along, pool.ceil_mode) {
            Some(count) if count > 0 => output[axis] = count,
            _ => return Err(Error::shape(op, format!("no window fits ({})", text()), &[x.shape()])),
        }
    }
    let geometry =
        Geometry { dims, input, output, kind: WindowKind::Sliding { kernel, stride, padding, dilation, divisor } };
    geometry.check(op)?;
    // Dilated taps can step over all of a short input.
    let empty = |axis: usize| dilation[axis] > 1 && (0..output[axis]).any(|o| geometry.taps(axis, o).is_empty());
    if (0..3).any(empty) {
        return Err(Error::shape(op, format!("a window reads padding only ({})", text()), &[x.shape()]));
    }
    Ok(geometry)
}

/// Windows that bring the spatial dims of `x` to `size`, checked.
fn adaptive(op: &str, x: &Var, dims: usize, size: &PerDim) -> Result<Geometry> {
    let input = spatial(op, x, dims)?;
    let output = size.resolve(op, "size", dims, 1)?;
    let geometry = Geometry { dims, input, output, kind: WindowKind::Adaptive };
    geometry.check(op)?;
    Ok(geometry)
}

fn name(names: [&'static str; 3], dims: usize) -> &'static str {
    names[dims.clamp(1, 3) - 1]
}

impl Var {
    /// The largest element of each window over the last `dims` dims. NaN wins; of equal elements the first gets the
    /// gradient.
    #[track_caller]
    pub fn max_pool(&self, dims: usize, pool: &Pool) -> Var {
        let name = name(["max_pool1d", "max_pool2d", "max_pool3d"], dims);
        self.pooled(|| sliding(name, self, dims, pool, Divisor::Inside), |geometry| self.largest(name, geometry))
    }

    /// [`Var::max_pool`] with the place of each element (u32) in the flattened spatial dims.
    #[track_caller]
    pub fn max_pool_with_indices(&self, dims: usize, pool: &Pool) -> (Var, Var) {
        let name = name(["max_pool1d", "max_pool2d", "max_pool3d"], dims);
        self.pooled_with_indices(name, || sliding(name, self, dims, pool, Divisor::Inside))
    }

    /// The average of each window over the last `dims` dims.
    #[track_caller]
    pub fn avg_pool(&self, dims: usize, pool: &AvgPool) -> Var {
        let name = name(["avg_pool1d", "avg_pool2d", "avg_pool3d"], dims);
        let AvgPool { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override } = pool.clone();
        let geometry = || {
            let divisor = match divisor_override {
                Some(0) => return Err(Error::argument(name, "the divisor must not be 0")),
                Some(n) => Divisor::Fixed(n),
                None if count_include_pad => Divisor::Padded,
                None => Divisor::Inside,
            };
            sliding(name, self, dims, &Pool { kernel, stride, padding, dilation: 1.into(), ceil_mode }, divisor)
        };
        self.pooled(geometry, |geometry| Var::apply(WindowSum { name, geometry, transposed: false }, &[self]))
    }

    /// Averages over windows that bring the last `dims` dims to `size`, whatever they were.
    #[track_caller]
    pub fn adaptive_avg_pool(&self, dims: usize, size: &PerDim) -> Var {
        let name = name(["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"], dims);
        self.pooled(
            || adaptive(name, self, dims, size),
            |geometry| {
                if geometry.output == [1; 3] {
                    let rank = self.shape().rank();
                    let last: SmallVec<[usize; 3]> = (rank - dims..rank).collect();
                    return self.mean(&last, true);
                }
                Var::apply(WindowSum { name, geometry, transposed: false }, &[self])
            },
        )
    }

    /// Largest elements over windows that bring the last `dims` dims to `size`.
    #[track_caller]
    pub fn adaptive_max_pool(&self, dims: usize, size: &PerDim) -> Var {
        let name = name(["adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"], dims);
        self.pooled(|| adaptive(name, self, dims, size), |geometry| self.largest(name, geometry))
    }

    /// [`Var::adaptive_max_pool`] with the place of each element (u32) in the flattened spatial dims.
    #[track_caller]
    pub fn adaptive_max_pool_with_indices(&self, dims: usize, size: &PerDim) -> (Var, Var) {
        let name = name(["adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"], dims);
        self.pooled_with_indices(name, || adaptive(name, self, dims, size))
    }

    /// The p-norm without absolute values of each window, `(Σ xᵖ)^(1/p)`, out of primitive ops.
    #[track_caller]
    pub fn lp_pool(&self, dims: usize, p: f64, kernel: &PerDim, stride: &PerDim) -> Var {
        if p == 0.0 || p.is_nan() {
            return self.fail(Error::argument("lp_pool", format!("the order {p} has no root")));
        }
        let stride = *stride;
        let sums = AvgPool { stride, divisor_override: Some(1), ..AvgPool::new(*kernel) };
        self.powf(p).avg_pool(dims, &sums).powf(1.0 / p)
    }

    #[track_caller]
    fn pooled(&self, geometry: impl FnOnce() -> Result<Geometry>, pool: impl FnOnce(Geometry) -> Var) -> Var {
        match geometry() {
            Ok(geometry) => pool(geometry),
            Err(error) => self.fail(error),
        }
    }

    #[track_caller]
    fn pooled_with_indices(&self, name: &'static str, geometry: impl FnOnce() -> Result<Geometry>) -> (Var, Var) {
        match geometry() {
            Ok(geometry) => self.largest_with_indices(name, geometry),
            Err(error) => {
                let failed = self.fail(error);
                (failed.clone(), failed)
            }
        }
    }
}
