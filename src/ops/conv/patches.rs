//! The windows that a convolution over two dims sees, as columns (im2col), and their sum back in place (col2im).

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::conv::geometry::{Geometry, Sides};
use crate::ops::conv::options::Conv;
use crate::ops::per_dim::PerDim;
use crate::shape::Shape;

/// The convolution with one output channel that sees the windows of an image.
fn windows(op: &str, image: &Shape, kernel: PerDim, options: &Conv) -> Result<(Geometry, Sides)> {
    if options.groups != 1 {
        return Err(Error::argument(op, format!("windows have no groups, but {} were given", options.groups)));
    }
    let [_, height, width] = kernel.resolve(op, "kernel", 2, 1)?;
    Geometry::forward(op, 2, image, &Shape::from([1, image[1], height, width]), options)
}

/// `[C, …]` as `[1, C, …]`; whether there was a batch.
fn batched(op: &str, x: &Var, rank: usize) -> Result<(Var, bool)> {
    match x.shape().rank() {
        r if r == rank => Ok((x.clone(), true)),
        r if r + 1 == rank => Ok((x.unsqueeze(0), false)),
        _ => Err(Error::shape(op, format!("needs {rank} dims, or {} without a batch", rank - 1), &[x.shape()])),
    }
}

impl Var {
    /// The windows of `[N, C, H, W]` that a convolution with these options sees, as columns `[N, C·kh·kw, windows]`; without a
    /// batch likewise. Carries an error where they do not fit.
    #[track_caller]
    pub fn unfold2d(&self, kernel: PerDim, options: &Conv) -> Var {
        let plan = || {
            let (x, batch) = batched("unfold2d", self, 4)?;
            let (g, more) = windows("unfold2d", x.shape(), kernel, options)?;
            Ok((x, batch, g, more))
        };
        let (x, batch, g, more) = match plan() {
            Ok(planned) => planned,
            Err(error) => return self.fail(error),
        };
        let sides = [1, 2].map(|d| (g.padding[d] + more[d].0, g.padding[d] + more[d].1));
        let mut x = x.pad(&[(0, 0), (0, 0), sides[0], sides[1]], 0.0);
        for d in [1, 2] {
            let reach = (g.kernel[d] - 1) * g.dilation[d] + 1;
            x = x.unfold(d + 1, reach, g.stride[d]);
            // [N, C, oh, W, kh], then [N, C, oh, ow, kh, kw].
            x = x.slice(d + 3, 0, g.dilation[d] as isize, g.kernel[d]);
        }
        let rows = g.input_channels * g.kernel[1] * g.kernel[2];
        let columns = x.permute(&[0, 1, 4, 5, 2, 3]).reshape(&Shape::from([g.batch, rows, g.output[1] * g.output[2]]));
        if batch || columns.0.error.is_some() { columns } else { columns.squeeze(0) }
    }

    /// The transpose of [`Var::unfold2d`]: adds columns `[N, C·kh·kw, windows]` up where their windows lie in an image `[N, C,
    /// size]`. Carries an error where they do not fit.
    #[track_caller]
    pub fn fold2d(&self, size: PerDim, kernel: PerDim, options: &Conv) -> Var {
        let plan = || {
            let (x, batch) = batched("fold2d", self, 3)?;
            let [_, height, width] = size.resolve("fold2d", "size", 2, 1)?;
            let [_, kh, kw] = kernel.resolve("fold2d", "kernel", 2, 1)?;
            let taps = kh.checked_mul(kw).filter(|&taps| taps > 0 && x.shape()[1].is_multiple_of(taps));
            let channels = taps.map(|taps| x.shape()[1] / taps).ok_or_else(|| {
                Error::shape(
                    "fold2d",
                    format!("{} rows are not whole windows of {kh}×{kw}", x.shape()[1]),
                    &[x.shape()],
                )
            })?;
            let (g, more) = windows("fold2d", &Shape::from([x.shape()[0], channels, height, width]), kernel, options)?;
            if g.output[1].checked_mul(g.output[2]) != Some(x.shape()[2]) {
                let detail =
                    format!("{height}×{width} has {}×{} windows, not {}", g.output[1], g.output[2], x.shape()[2]);
                return Err(Error::shape("fold2d", detail, &[x.shape()]));
            }
            Ok((x, batch, g, more))
        };
        let (x, batch, g, more) = match plan() {
            Ok(planned) => planned,
            Err(error) => return self.fail(error),
        };
        let windows = [g.batch, g.input_channels, g.kernel[1], g.kernel[2], g.output[1], g.output[2]];
        let mut x = x.reshape(&Shape::from(windows)).permute(&[0, 1, 4, 5, 2, 3]);
        for d in [2, 1] {
            let reach = (g.kernel[d] - 1) * g.dilation[d] + 1;
            // [N, C, oh, ow, kh, kw], then [N, C, oh, W, kh], then [N, C, H, W].
            x = x.pad_dim(d + 3, 0, g.dilation[d] as isize, reach, 0.0);
            x = x.fold(d + 1, g.input[d] + 2 * g.padding[d], g.stride[d]);
        }
        let own = |d: usize| (g.padding[d] + more[d].0, g.input[d] - more[d].0 - more[d].1);
        let ((top, height), (left, width)) = (own(1), own(2));
        let image = x.slice(2, top, 1, height).slice(3, left, 1, width);
        if batch || image.0.error.is_some() { image } else { image.squeeze(0) }
    }
}
