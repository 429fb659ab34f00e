//! Resizing of the spatial dims, and the moves between channels and space.

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::routine::poisoned;
use crate::ops::window::{Geometry, Kind, WindowSum, spatial, three};
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
    /// Linear between the neighbours of (o + ½) · in / out − ½ in every spatial dim (linear, bilinear or trilinear by
    /// their number), with the corners not aligned.
    Bilinear,
}

impl Var {
    /// `[N, C, *spatial]` with the one to three spatial dims resized to `size`.
    ///
    /// ```
    /// use wgrad::{Device, Interpolate, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[0f32, 4.0], [1, 1, 2], &device).node();
    /// let y = x.interpolate(&[4], Interpolate::Bilinear);
    /// assert_eq!(Tensor::from_var(y, &device).to_vec::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn interpolate(&self, size: &[usize], mode: Interpolate) -> Var {
        if let Some(failed) = poisoned(&[self]) {
            return failed;
        }
        let geometry = || -> Result<Geometry> {
            let (shape, dims) = (self.shape(), size.len());
            if !(1..=3).contains(&dims) || shape.rank() != dims + 2 {
                let detail = format!("takes [N, C, …] with one to three spatial dims and as many sizes, not {size:?}");
                return Err(Error::shape("interpolate", detail, &[shape]));
            }
            if size.contains(&0) {
                return Err(Error::argument("interpolate", format!("sizes {size:?} must be above 0")));
            }
            let kind = match mode {
                Interpolate::Nearest => Kind::Nearest,
                Interpolate::Bilinear => Kind::Linear,
            };
            Ok(Geometry { dims, input: spatial("interpolate", self, dims)?, output: three(size, 1), kind })
        };
        match geometry() {
            Ok(geometry) if geometry.input == geometry.output => self.clone(),
            Ok(geometry) => Var::apply(WindowSum { name: "interpolate", geometry, transposed: false }, &[self]),
            Err(error) => self.fail(error),
        }
    }

    /// `[…, C·r², H, W]` to `[…, C, H·r, W·r]`: blocks of r² channels become r×r pixels.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::arange(0.0, 8.0, 1.0, &device).reshape([4, 1, 2]).node();
    /// let y = x.pixel_shuffle(2);
    /// assert_eq!(Tensor::from_var(y, &device).to_vec::<f32>()?, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pixel_shuffle(&self, r: usize) -> Var {
        self.shuffle("pixel_shuffle", r, |[c, h, w], square| {
            let sizes = (c % square == 0).then(|| c / square)?;
            Some((vec![sizes, r, r, h, w], [0, 3, 1, 4, 2], [sizes, h.checked_mul(r)?, w.checked_mul(r)?]))
        })
    }

    /// `[…, C, H·r, W·r]` to `[…, C·r², H, W]`: the inverse of [`Var::pixel_shuffle`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::arange(0.0, 8.0, 1.0, &device).reshape([1, 2, 4]).node();
    /// let y = x.pixel_unshuffle(2);
    /// assert_eq!(Tensor::from_var(y, &device).to_vec::<f32>()?, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pixel_unshuffle(&self, r: usize) -> Var {
        self.shuffle("pixel_unshuffle", r, |[c, h, w], square| {
            let fits = h % r == 0 && w % r == 0;
            fits.then(|| Some((vec![c, h / r, r, w / r, r], [0, 2, 4, 1, 3], [c.checked_mul(square)?, h / r, w / r])))?
        })
    }

    /// Splits the last three dims, reorders the parts, joins them; `plan` says how, `None` where they do not divide.
    #[track_caller]
    #[allow(clippy::type_complexity)]
    fn shuffle(
        &self,
        op: &str,
        r: usize,
        plan: impl FnOnce([usize; 3], usize) -> Option<(Vec<usize>, [usize; 5], [usize; 3])>,
    ) -> Var {
        if let Some(failed) = poisoned(&[self]) {
            return failed;
        }
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
