//! Layers that only rearrange, repeat or resize: no parameters.

use crate::nn::module::stateless;
use crate::ops::interpolate::Interpolate;
use crate::ops::per_dim::PerDim;
use crate::tensor::Tensor;

/// The input itself: a place in a model where nothing happens.
///
/// ```
/// use wgrad::nn::{Identity, Module};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::ones([2], &Device::default());
/// assert_eq!(Identity.forward(&x).to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

stateless!(Identity, |self, x| x.clone());

/// The dims from `from` to `to` as one; all but the first by default, as between convolutions and linear layers.
///
/// ```
/// use wgrad::nn::{Flatten, Module};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::zeros([2, 3, 4, 5], &Device::default());
/// assert_eq!(Flatten::default().forward(&x).shape(), [2, 60]);
/// assert_eq!(Flatten { from: -2, to: -1 }.forward(&x).shape(), [2, 3, 20]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    /// The first of the dims.
    pub from: isize,
    /// The last of them.
    pub to: isize,
}

impl Default for Flatten {
    fn default() -> Flatten {
        Flatten { from: 1, to: -1 }
    }
}

stateless!(Flatten, |self, x| x.flatten(self.from, self.to));

/// A dim cut into several, one of which may be -1 and is worked out: [`Tensor::unflatten`].
///
/// ```
/// use wgrad::nn::{Module, Unflatten};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::zeros([2, 48], &Device::default());
/// assert_eq!(Unflatten::new(1, [3, 4, -1]).forward(&x).shape(), [2, 3, 4, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Unflatten {
    /// The dim.
    pub dim: isize,
    /// The sizes that it is cut into.
    pub sizes: Vec<isize>,
}

impl Unflatten {
    /// Cuts `dim` into dims of these sizes.
    pub fn new(dim: isize, sizes: impl Into<Vec<isize>>) -> Unflatten {
        Unflatten { dim, sizes: sizes.into() }
    }
}

stateless!(Unflatten, |self, x| x.unflatten(self.dim, &self.sizes[..]));

/// Constants around the input: [`Tensor::pad`]. (PyTorch's `ConstantPad` and `ZeroPad` of any number of dims.)
///
/// ```
/// use wgrad::nn::{Module, Pad};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::ones([1, 1, 2, 2], &Device::default());
/// let y = Pad::new([(0, 0), (0, 0), (1, 1), (0, 2)]).forward(&x);
/// assert_eq!((y.shape(), y.sum().item::<f32>()?), (&[1, 1, 4, 4][..], 4.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pad {
    /// How many elements stand before and after each dim.
    pub padding: Vec<(usize, usize)>,
    /// What they are.
    pub value: f64,
}

impl Pad {
    /// Zeros before and after each dim, from the first.
    pub fn new(padding: impl Into<Vec<(usize, usize)>>) -> Pad {
        Pad { padding: padding.into(), value: 0.0 }
    }

    /// Sets what stands there.
    pub fn value(self, value: impl Into<f64>) -> Pad {
        Pad { value: value.into(), ..self }
    }
}

stateless!(Pad, |self, x| x.pad(&self.padding, self.value));

/// What [`Upsample`] brings spatial dims to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Size(PerDim),
    Scale(f64),
}

/// Spatial dims of `[N, C, …]` resized, to a size ([`Tensor::interpolate`]) or by a factor ([`Tensor::interpolate_by`]), as [`Interpolate`]
/// says.
///
/// ```
/// use wgrad::nn::{Module, Upsample};
/// use wgrad::{Device, Interpolate, Tensor};
/// let x = Tensor::ones([1, 3, 4, 6], &Device::default());
/// assert_eq!(Upsample::scale(2.0, Interpolate::Nearest).forward(&x).shape(), [1, 3, 8, 12]);
/// assert_eq!(Upsample::size([5, 7], Interpolate::Bilinear).forward(&x).shape(), [1, 3, 5, 7]);
/// ```
#[derive(Clone, Debug)]
pub struct Upsample {
    target: Target,
    mode: Interpolate,
}

impl Upsample {
    /// To this size: one number, or one for each spatial dim.
    pub fn size(size: impl Into<PerDim>, mode: Interpolate) -> Upsample {
        Upsample { target: Target::Size(size.into()), mode }
    }

    /// By this factor, in each spatial dim, sizes rounded down; new elements lie 1 / factor apart, as in PyTorch. Carries
    /// [`Error::Argument`](crate::Error::Argument) at the forward pass where nothing is left.
    pub fn scale(factor: impl Into<f64>, mode: Interpolate) -> Upsample {
        Upsample { target: Target::Scale(factor.into()), mode }
    }

    #[track_caller]
    fn resized(&self, x: &Tensor) -> Tensor {
        let size = match self.target {
            Target::Scale(factor) => return x.interpolate_by(&[factor], self.mode),
            Target::Size(size) => size,
        };
        let dims = x.rank().saturating_sub(2);
        let sizes = match (1..=3).contains(&dims) {
            true => size.resolve("Upsample", "size", dims, 1).map(|sizes| sizes[3 - dims..].to_vec()),
            // `interpolate` says what is wrong.
            false => Ok(Vec::new()),
        };
        match sizes {
            Ok(sizes) => x.interpolate(&sizes, self.mode),
            Err(error) => x.build(std::panic::Location::caller(), |_| Err(error)),
        }
    }
}

stateless!(Upsample, |self, x| self.resized(x));

/// Blocks of r² channels become r × r pixels: [`Tensor::pixel_shuffle`].
///
/// ```
/// use wgrad::nn::{Module, PixelShuffle};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::zeros([1, 8, 3, 3], &Device::default());
/// assert_eq!(PixelShuffle(2).forward(&x).shape(), [1, 2, 6, 6]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PixelShuffle(
    /// How many pixels a block is high and wide.
    pub usize,
);

stateless!(PixelShuffle, |self, x| x.pixel_shuffle(self.0));

/// The inverse of [`PixelShuffle`]: [`Tensor::pixel_unshuffle`].
///
/// ```
/// use wgrad::nn::{Module, PixelUnshuffle};
/// use wgrad::{Device, Tensor};
/// let x = Tensor::zeros([1, 2, 6, 6], &Device::default());
/// assert_eq!(PixelUnshuffle(2).forward(&x).shape(), [1, 8, 3, 3]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PixelUnshuffle(
    /// How many pixels a block is high and wide.
    pub usize,
);

stateless!(PixelUnshuffle, |self, x| x.pixel_unshuffle(self.0));
