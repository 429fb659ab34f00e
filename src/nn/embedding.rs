//! Tables of vectors.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::nn::module::{enter, size};
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Module, Parameters, init};
use crate::tensor::Tensor;

/// A table of vectors that are looked up by index: indices (i32 or u32) of any shape `[…]` to `[…, size]`.
///
/// `weight` is `[count, size]` and begins normal with variance 1. An index out of range becomes
/// [`Error::IndexOutOfRange`] when the result, or what is computed from it, is read.
///
/// ```
/// use wgrad::nn::{Embedding, Module};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let table = Embedding::new(10, 3, &device);
/// let words = Tensor::from_slice(&[1i32, 2, 9, 4], [2, 2], &device);
/// assert_eq!(table.forward(&words).shape(), [2, 2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    /// `[count, size]`.
    pub weight: Tensor,
    /// The index whose vector gets no gradient.
    pub padding_idx: Option<usize>,
}

impl Embedding {
    /// A table of `count` vectors.
    #[track_caller]
    pub fn new(count: usize, size: usize, device: &Device) -> Embedding {
        Embedding { weight: Tensor::randn([count, size], device).requires_grad(), padding_idx: None }
    }

    /// A table whose vector at `padding_idx` begins at 0 and gets no gradient, so that it stays so. The table carries an
    /// error where it is out of range.
    #[track_caller]
    pub fn with_padding(count: usize, size: usize, padding_idx: usize, device: &Device) -> Embedding {
        let drawn = || -> Result<Tensor> {
            if padding_idx >= count {
                let detail = format!("padding_idx {padding_idx} is out of range for {count} vectors");
                return Err(Error::argument("Embedding", detail));
            }
            let index = i32::try_from(padding_idx)
                .map_err(|_| Error::argument("Embedding", format!("padding_idx {padding_idx} exceeds 31 bits")))?;
            let index = Tensor::from_slice(&[index], [1], device);
            Ok(Tensor::randn([count, size], device).index_fill(0, &index, 0.0).requires_grad())
        };
        let at = Location::caller();
        let weight = drawn().unwrap_or_else(|error| init::failed(error, device, at));
        Embedding { weight, padding_idx: Some(padding_idx) }
    }
}

impl Parameters for Embedding {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
    }
}

impl Module for Embedding {
    #[track_caller]
    fn forward(&self, index: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}×{}", size(&self.weight, 0), size(&self.weight, 1)));
        let found = Tensor::embedding(&self.weight, index);
        let found = match self.padding_idx.and_then(|p| i32::try_from(p).ok()) {
            // The same value, which counts as a constant.
            Some(padding) if found.check().is_ok() => index.eq(padding).unsqueeze(-1).where_(found.detach(), &found),
            _ => found,
        };
        seen(Some(&self.weight), found)
    }
}
