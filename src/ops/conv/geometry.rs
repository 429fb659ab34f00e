//! The sizes of a convolution, worked out and checked once for all three ops.

use crate::error::{Error, Result};
use crate::ops::conv::options::{Conv, ConvTranspose};
use crate::ops::per_dim::DIMS;
use crate::shape::Shape;

/// Largest padded size, reach of a kernel, or stride: sums and products of positions stay within 32 bits.
const LARGEST: usize = 1 << 30;

/// Elements added before and after each spatial dim.
pub type Sides = [(usize, usize); DIMS];

/// A convolution of x `[batch, input_channels, input]` by w `[output_channels, input_channels / groups, kernel]` to y `[batch,
/// output_channels, output]`. Spatial sizes are depth, height and width; missing ones are 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Number of spatial dims, 1 to 3.
    pub dims: usize,
    /// Size of the batch.
    pub batch: usize,
    /// Channels of x.
    pub input_channels: usize,
    /// Channels of y.
    pub output_channels: usize,
    /// Groups that the channels fall into.
    pub groups: usize,
    /// Spatial sizes of x.
    pub input: [usize; DIMS],
    /// Spatial sizes of w.
    pub kernel: [usize; DIMS],
    /// Spatial sizes of y.
    pub output: [usize; DIMS],
    /// Distance between positions.
    pub stride: [usize; DIMS],
    /// Zeros on both sides of x.
    pub padding: [usize; DIMS],
    /// Distance between elements of the kernel.
    pub dilation: [usize; DIMS],
}

impl Geometry {
    /// The convolution of `x`, with or without a batch, by `w`, and what is added before and after x beyond the padding of both sides.
    ///
    /// # Errors
    /// Where they do not fit each other or the options.
    pub fn forward(op: &str, dims: usize, given: &Shape, w: &Shape, options: &Conv) -> Result<(Geometry, Sides)> {
        check_operands(op, dims, given, w, options.groups)?;
        let (x, groups) = (&batched(given, dims), options.groups);
        let fault = |detail: String| Error::shape(op, detail, &[given, w]);
        if !x[1].is_multiple_of(groups) || w[1] != x[1] / groups {
            let split = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
            let detail = format!("{} input channels{split} need a weight of {}", x[1], x[1] / groups);
            // Images with their channels last are a usual cause.
            let last = x[1] != w[1] && groups == 1 && given.last() == Some(&w[1]);
            let advice = if last { "; channels come before spatial dims: [N, C, …]" } else { "" };
            return Err(fault(format!("{detail} channels at dim 1, not {}{advice}", w[1])));
        }
        let mut geometry = Geometry {
            dims,
            batch: x[0],
            input_channels: x[1],
            output_channels: w[0],
            groups,
            input: spatial(x),
            kernel: spatial(w),
            output: [1; DIMS],
            stride: options.stride.resolve(op, "stride", dims, 1)?,
            padding: [0; DIMS],
            dilation: options.dilation.resolve(op, "dilation", dims, 1)?,
        };
        let windows = [&geometry.stride, &geometry.dilation];
        let [before, after] = options.padding.resolve(op, dims, &geometry.kernel, windows)?;
        geometry.padding = std::array::from_fn(|d| before[d].min(after[d]));
        let mut more = [(0, 0); DIMS];
        for d in 0..DIMS {
            more[d] = (before[d] - geometry.padding[d], after[d] - geometry.padding[d]);
            let sides = more[d].0.checked_add(more[d].1);
            geometry.input[d] = small(op, sides.and_then(|sides| geometry.input[d].checked_add(sides)))?;
            let reach = geometry.reach(op, d)?;
            let padded = small(op, geometry.padding[d].checked_mul(2).and_then(|p| p.checked_add(geometry.input[d])))?;
            if padded < reach {
                let detail = format!("the kernel reaches over {reach} elements of spatial dim {}", d + dims - DIMS);
                return Err(fault(format!("{detail}, but the padded input has {padded}")));
            }
            geometry.output[d] = (padded - reach) / geometry.stride[d] + 1;
        }
        Ok((geometry, more))
    }

    /// The convolution whose input gradient is the transposed convolution of `x` (which plays y), with or without a
    /// batch, by `w`.
    ///
    /// # Errors
    /// Where they do not fit each other or the options.
    pub fn transposed(op: &str, dims: usize, given: &Shape, w: &Shape, options: &ConvTranspose) -> Result<Geometry> {
        check_operands(op, dims, given, w, options.groups)?;
        let (x, groups) = (&batched(given, dims), options.groups);
        let fault = |detail: String| Error::shape(op, detail, &[given, w]);
        if w[0] != x[1] {
            return Err(fault(format!("{} input channels need a weight of as many at dim 0, not {}", x[1], w[0])));
        }
        let input_channels = w[1].checked_mul(groups).ok_or_else(|| fault("too many output channels".into()))?;
        let mut geometry = Geometry {
            dims,
            batch: x[0],
            input_channels,
            output_channels: x[1],
            groups,
            input: [1; DIMS],
            kernel: spatial(w),
            output: spatial(x),
            stride: options.stride.resolve(op, "stride", dims, 1)?,
            padding: options.padding.resolve(op, "padding", dims, 0)?,
            dilation: options.dilation.resolve(op, "dilation", dims, 1)?,
        };
        let extra = options.output_padding.resolve(op, "output_padding", dims, 0)?;
        for d in 0..DIMS {
            let (stride, dilation, extra) = (geometry.stride[d], geometry.dilation[d], extra[d]);
            let reach = geometry.reach(op, d)?;
            if extra >= stride.max(dilation) && extra > 0 {
                let detail =
                    format!("output_padding {extra} must be smaller than stride {stride} or dilation {dilation}");
                return Err(Error::argument(op, detail));
            }
            let spread = (geometry.output[d] - 1).checked_mul(stride);
            let padded = small(op, spread.and_then(|s| s.checked_add(reach)?.checked_add(extra)))?;
            let cut = small(op, geometry.padding[d].checked_mul(2))?;
            geometry.input[d] = padded.checked_sub(cut).ok_or_else(|| {
                fault(format!("padding cuts {cut} off the {padded} elements of spatial dim {}", d + dims - DIMS))
            })?;
        }
        Ok(geometry)
    }

    /// Elements that the kernel reaches over along `d`; checks stride and dilation.
    fn reach(&self, op: &str, d: usize) -> Result<usize> {
        let (stride, dilation) = (self.stride[d], self.dilation[d]);
        if stride == 0 || dilation == 0 {
            return Err(Error::argument(op, format!("stride {stride} and dilation {dilation} must not be 0")));
        }
        small(op, Some(stride))?;
        small(op, (self.kernel[d] - 1).checked_mul(dilation).and_then(|r| r.checked_add(1)))
    }

    /// Shape of x.
    pub fn x(&self) -> Shape {
        self.shape(self.batch, self.input_channels, &self.input)
    }

    /// Shape of w.
    pub fn w(&self) -> Shape {
        self.shape(self.output_channels, self.input_channels / self.groups, &self.kernel)
    }

    /// Shape of y.
    pub fn y(&self) -> Shape {
        self.shape(self.batch, self.output_channels, &self.output)
    }

    fn shape(&self, outer: usize, channels: usize, sizes: &[usize; DIMS]) -> Shape {
        [outer, channels].into_iter().chain(sizes[DIMS - self.dims..].iter().copied()).collect()
    }
}

/// Positions of a box.
pub(in crate::ops) fn volume(sizes: &[usize; DIMS]) -> usize {
    sizes.iter().product()
}

/// A size, where positions computed from it fit the kernels' integers.
fn small(op: &str, size: Option<usize>) -> Result<usize> {
    size.filter(|&s| s <= LARGEST)
        .ok_or_else(|| Error::argument(op, format!("a stride, padded size or reach of the kernel exceeds {LARGEST}")))
}

/// `[C, …]` as `[1, C, …]`.
pub(in crate::ops) fn batched(x: &Shape, dims: usize) -> Shape {
    if x.rank() == dims + 1 { x.with_inserted(0, 1) } else { x.clone() }
}

/// The spatial sizes of a shape with two other dims in front.
fn spatial(shape: &Shape) -> [usize; DIMS] {
    let mut out = [1; DIMS];
    let sizes = &shape[2..];
    out[DIMS - sizes.len()..].copy_from_slice(sizes);
    out
}

/// Checks what convolutions and transposed ones have in common.
fn check_operands(op: &str, dims: usize, x: &Shape, w: &Shape, groups: usize) -> Result<()> {
    let fault = |detail: String| Err(Error::shape(op, detail, &[x, w]));
    if x.rank() != dims + 1 && x.rank() != dims + 2 {
        return fault(format!("the input must be [N, C, …] or [C, …] with {dims} spatial dims"));
    }
    if w.rank() != dims + 2 {
        return fault(format!("the weight must have {} dims, of which {dims} are spatial", dims + 2));
    }
    if groups == 0 {
        return Err(Error::argument(op, "groups must not be 0"));
    }
    if w[0] == 0 || !w[0].is_multiple_of(groups) {
        return fault(format!("size {} at dim 0 of the weight does not fall into {groups} groups", w[0]));
    }
    if w[2..].contains(&0) {
        return fault("the kernel has a spatial size of 0".into());
    }
    if x[x.rank() - dims..].contains(&0) {
        return fault("the input has a spatial size of 0; only the batch and the channels may be empty".into());
    }
    Ok(())
}
