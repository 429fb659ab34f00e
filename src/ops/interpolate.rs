//! Resizing of the spatial dims by neighbours, lines, cubics and areas, and the moves between channels and space.

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::window::{Corners, Geometry, Ratio, WindowKind, WindowSum, spatial, three};
use crate::shape::Shape;

/// How [`Var::interpolate`] makes new elements.
///
/// ```
/// use wgrad::{Device, Interpolate, Tensor};
/// let x = Tensor::from_slice(&[1f32, 2.0], [1, 1, 1, 2], &Device::cpu());
/// let y = x.interpolate(&[2, 4], Interpolate::Nearest);
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolate {
    /// The element at ⌊o · in / out⌋ along each dim.
    Nearest,
    /// The element at ⌊(o + ½) · in / out⌋ along each dim: the one whose middle is nearest.
    NearestExact,
    /// Linear between the neighbours of (o + ½) · in / out − ½ in every spatial dim (linear, bilinear or trilinear by
    /// their number), with the corners not aligned.
    Bilinear,
    /// Linear as `Bilinear` with `align_corners=True`: between the neighbours of o · (in − 1) / (out − 1), so that the outermost elements
    /// stay as they are.
    BilinearAligned,
    /// Cubic between the four neighbours of (o + ½) · in / out − ½ along both dims of images, by Keys's convolution (1981) with a = −¾; elements
    /// beyond the ends are those at the ends.
    Bicubic,
    /// As `Bicubic` with `align_corners=True`: around o · (in − 1) / (out − 1).
    BicubicAligned,
    /// The mean over ⌊o · in / out⌋ .. ⌈(o + 1) · in / out⌉, as adaptive average pooling has it: for images made smaller.
    Area,
}

/// What is resized.
struct Resized<'a> {
    shape: &'a Shape,
    dims: usize,
    sizes: [usize; 3],
}

impl Resized<'_> {
    fn misfit(&self, wanted: &str) -> Error {
        let detail = format!("takes [N, C, …] with one to three spatial dims and {wanted}");
        Error::shape("interpolate", detail, &[self.shape])
    }
}

/// Whole numbers whose quotient is `x` (above 0) to the precision of f64, or as near as the kernels' 32-bit arithmetic over `size`
/// positions lets them be: the convergents of the continued fraction.
fn fraction(x: f64, size: usize) -> (usize, usize) {
    let most = (f64::from(u32::MAX) / (4.0 * (size as f64 + 1.0))).max(1.0);
    let (mut before, mut last, mut rest) = ((0.0, 1.0), (1.0, 0.0), x);
    loop {
        let whole = rest.floor();
        let next = (whole * last.0 + before.0, whole * last.1 + before.1);
        if next.0.max(next.1) > most {
            break;
        }
        (before, last) = (last, next);
        rest = (rest - whole).recip();
        if (x - last.0 / last.1).abs() <= 4.0 * f64::EPSILON * x {
            break;
        }
    }
    // Nothing fits where `x` itself is out of range: 1 / 0 at the start, 0 / 1 after a whole part of 0.
    ((last.0 as usize).max(1), (last.1 as usize).max(1))
}

impl Var {
    /// `[N, C, *spatial]` with the one to three spatial dims resized to `size`.
    #[track_caller]
    pub fn interpolate(&self, size: &[usize], mode: Interpolate) -> Var {
        self.resized(|input| {
            if size.len() != input.dims {
                return Err(input.misfit(&format!("as many sizes, not {size:?}")));
            }
            if size.contains(&0) {
                return Err(Error::argument("interpolate", format!("sizes {size:?} must be above 0")));
            }
            let output = three(size, 1);
            Ok((output, Ratio { input: input.sizes, output }, mode))
        })
    }

    /// `[N, C, *spatial]` with the one to three spatial dims of size n resized to ⌊n · factor⌋, by one factor or one for each dim.
    /// New elements lie 1 / factor apart, whatever the sizes are; with aligned corners and areas the sizes alone count.
    #[track_caller]
    pub fn interpolate_by(&self, factors: &[f64], mode: Interpolate) -> Var {
        self.resized(|input| {
            let each: Vec<f64> = match factors {
                [factor] => vec![*factor; input.dims],
                _ if factors.len() == input.dims => factors.to_vec(),
                _ => return Err(input.misfit(&format!("one factor or as many, not {factors:?}"))),
            };
            let (mut output, mut ratio) = ([1; 3], Ratio { input: [1; 3], output: [1; 3] });
            for (axis, factor) in (3 - input.dims..3).zip(each) {
                let size = (input.sizes[axis] as f64 * factor).floor();
                // Not so for NaN. The geometry's check refuses what is too large.
                let is_resized = size >= 1.0 && factor.is_finite();
                if !is_resized {
                    let detail =
                        format!("factors {factors:?} leave nothing of sizes {:?}", &input.sizes[3 - input.dims..]);
                    return Err(Error::argument("interpolate", detail));
                }
                output[axis] = size as usize;
                (ratio.input[axis], ratio.output[axis]) = match mode {
                    _ if output[axis] == input.sizes[axis] => (1, 1),
                    // So PyTorch has it.
                    Interpolate::Nearest if output[axis] == input.sizes[axis].saturating_mul(2) => (1, 2),
                    _ => fraction(1.0 / factor, input.sizes[axis].max(output[axis])),
                };
            }
            Ok((output, ratio, mode))
        })
    }

    /// The resized tensor, where `resize` says to which size and in which steps.
    #[track_caller]
    fn resized(&self, resize: impl FnOnce(Resized) -> Result<([usize; 3], Ratio, Interpolate)>) -> Var {
        let geometry = || -> Result<Geometry> {
            let shape = self.shape();
            let Some(dims) = shape.rank().checked_sub(2).filter(|dims| (1..=3).contains(dims)) else {
                let detail = "takes [N, C, …] with one to three spatial dims";
                return Err(Error::shape("interpolate", detail, &[shape]));
            };
            // Before sizes are worked out, which needs them above 0.
            let sizes = spatial("interpolate", self, dims)?;
            let (output, ratio, mode) = resize(Resized { shape, dims, sizes })?;
            if matches!(mode, Interpolate::Bicubic | Interpolate::BicubicAligned) && dims != 2 {
                return Err(Error::shape("interpolate", "bicubic takes images [N, C, H, W]", &[shape]));
            }
            let aligned = Ratio::aligned(sizes, output);
            let kind = match mode {
                Interpolate::Nearest => WindowKind::Nearest(ratio),
                Interpolate::NearestExact => WindowKind::NearestExact(ratio),
                Interpolate::Bilinear => WindowKind::Linear(ratio, Corners::Edges),
                Interpolate::BilinearAligned => WindowKind::Linear(aligned, Corners::Points),
                Interpolate::Bicubic => WindowKind::Cubic(ratio, Corners::Edges),
                Interpolate::BicubicAligned => WindowKind::Cubic(aligned, Corners::Points),
                Interpolate::Area => WindowKind::Adaptive,
            };
            Ok(Geometry { dims, input: sizes, output, kind })
        };
        match geometry() {
            Ok(geometry) if geometry.input == geometry.output => self.clone(),
            Ok(geometry) => Var::apply(WindowSum { name: "interpolate", geometry, transposed: false }, &[self]),
            Err(error) => self.fail(error),
        }
    }

    /// `[…, C·r², H, W]` to `[…, C, H·r, W·r]`: blocks of r² channels become r×r pixels.
    #[track_caller]
    pub fn pixel_shuffle(&self, r: usize) -> Var {
        self.shuffle("pixel_shuffle", r, |[c, h, w], square| {
            let sizes = (c % square == 0).then(|| c / square)?;
            Some((vec![sizes, r, r, h, w], [0, 3, 1, 4, 2], [sizes, h.checked_mul(r)?, w.checked_mul(r)?]))
        })
    }

    /// `[…, C, H·r, W·r]` to `[…, C·r², H, W]`: the inverse of [`Var::pixel_shuffle`].
    #[track_caller]
    pub fn pixel_unshuffle(&self, r: usize) -> Var {
        self.shuffle("pixel_unshuffle", r, |[c, h, w], square| {
            let fits = h % r == 0 && w % r == 0;
            fits.then(|| Some((vec![c, h / r, r, w / r, r], [0, 2, 4, 1, 3], [c.checked_mul(square)?, h / r, w / r])))?
        })
    }

    /// Splits the last three dims, reorders the parts, joins them; `plan` says how, `None` where they do not divide.
    #[track_caller]
    #[allow(clippy::type_complexity, reason = "the type of one closure, written once")]
    fn shuffle(
        &self,
        op: &str,
        r: usize,
        plan: impl FnOnce([usize; 3], usize) -> Option<(Vec<usize>, [usize; 5], [usize; 3])>,
    ) -> Var {
        let shape = self.shape();
        let Some(lead) = shape.rank().checked_sub(3) else {
            return self.fail(Error::shape(op, "needs at least three dims", &[shape]));
        };
        let last = [shape[lead], shape[lead + 1], shape[lead + 2]];
        let square = r.checked_mul(r).filter(|&square| square > 0);
        let Some((split, order, joined)) = square.and_then(|square| plan(last, square)) else {
            return self.fail(Error::shape(op, format!("the dims do not divide by a factor of {r}"), &[shape]));
        };
        let with = |sizes: &[usize]| -> Shape { shape[..lead].iter().chain(sizes).copied().collect() };
        let order: Vec<usize> = (0..lead).chain(order.iter().map(|d| lead + d)).collect();
        self.reshape(&with(&split)).permute(&order).reshape(&with(&joined))
    }
}
