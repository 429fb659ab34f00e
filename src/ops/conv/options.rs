//! Options of convolutions.

use crate::error::{Error, Result};
use crate::ops::per_dim::{DIMS, PerDim};

/// Zeros around the input of a convolution.
///
/// ```
/// use wgrad::{Conv, Device, Padding, Tensor};
/// let device = Device::default();
/// let (x, w) = (Tensor::ones([1, 1, 6], &device), Tensor::ones([1, 1, 3], &device));
/// let sizes = |options: Conv| x.conv1d(&w, None, options).shape()[2];
/// assert_eq!(sizes(Conv::default().padding(1)), 6); // one on each side
/// assert_eq!(sizes(Conv::default().padding(Padding::Same).dilation(2)), 6);
/// assert_eq!(sizes(Conv::default().padding(Padding::sides(2, 0))), 6); // two before, as a causal convolution has
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many on both sides.
    Both(PerDim),
    /// So many before and after.
    Sides {
        /// In front of the first element.
        before: PerDim,
        /// Behind the last one.
        after: PerDim,
    },
    /// As many as give the output the input's size, where the stride is 1: `dilation·(kernel − 1)` in all, the odd one after.
    Same,
}

impl Padding {
    /// So many zeros before the first element and after the last one of each spatial dim.
    pub fn sides(before: impl Into<PerDim>, after: impl Into<PerDim>) -> Padding {
        Padding::Sides { before: before.into(), after: after.into() }
    }

    /// What stands before and after each dim of a kernel of these sizes.
    ///
    /// # Errors
    /// [`Error::Argument`] where another count of numbers was given, or [`Padding::Same`] meets a stride.
    pub(super) fn resolve(
        self,
        op: &str,
        dims: usize,
        kernel: &[usize; DIMS],
        [stride, dilation]: [&[usize; DIMS]; 2],
    ) -> Result<[[usize; DIMS]; 2]> {
        match self {
            Padding::Both(both) => both.resolve(op, "padding", dims, 0).map(|both| [both, both]),
            Padding::Sides { before, after } => {
                Ok([before.resolve(op, "padding", dims, 0)?, after.resolve(op, "padding", dims, 0)?])
            }
            Padding::Same => {
                if stride.iter().any(|&stride| stride != 1) {
                    let given = &stride[DIMS - dims..];
                    let detail = format!("padding of the same size needs a stride of 1, not {given:?}");
                    return Err(Error::argument(op, detail));
                }
                // A reach beyond all bounds is refused later.
                let total: [usize; DIMS] =
                    std::array::from_fn(|d| kernel[d].saturating_sub(1).saturating_mul(dilation[d]));
                Ok([total.map(|total| total / 2), total.map(|total| total - total / 2)])
            }
        }
    }
}

impl<P: Into<PerDim>> From<P> for Padding {
    fn from(both: P) -> Padding {
        Padding::Both(both.into())
    }
}

/// Options of a convolution; the default is stride 1, no padding, dilation 1, one group.
///
/// ```
/// use wgrad::Conv;
/// let options = Conv::default().stride(2).padding([1, 0]).dilation(3).groups(4);
/// assert_eq!(options, Conv { stride: 2.into(), padding: [1, 0].into(), dilation: 3.into(), groups: 4 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Distance between neighbouring positions of the kernel.
    pub stride: PerDim,
    /// Zeros added around the input.
    pub padding: Padding,
    /// Distance between neighbouring elements of the kernel.
    pub dilation: PerDim,
    /// Groups that the channels fall into; an output channel sees the input channels of its own group only.
    pub groups: usize,
}

impl Default for Conv {
    fn default() -> Conv {
        Conv { stride: 1.into(), padding: 0.into(), dilation: 1.into(), groups: 1 }
    }
}

/// Options of a transposed convolution; the default is stride 1, no padding, dilation 1, one group.
///
/// ```
/// use wgrad::ConvTranspose;
/// let options = ConvTranspose::default().stride(2).output_padding(1).padding(1).dilation(2).groups(4);
/// assert_eq!((options.output_padding, options.groups), (1.into(), 4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Distance between the places where neighbouring input elements put their kernels.
    pub stride: PerDim,
    /// Elements cut off on both sides of the output.
    pub padding: PerDim,
    /// Elements added at the end of the output: a stride leaves several output sizes possible, and this chooses among them.
    /// Smaller than stride or dilation.
    pub output_padding: PerDim,
    /// Distance between neighbouring elements of the kernel.
    pub dilation: PerDim,
    /// Groups that the channels fall into; an output channel sees the input channels of its own group only.
    pub groups: usize,
}

impl Default for ConvTranspose {
    fn default() -> ConvTranspose {
        ConvTranspose { stride: 1.into(), padding: 0.into(), output_padding: 0.into(), dilation: 1.into(), groups: 1 }
    }
}

macro_rules! builders {
    ($($options:ident: $($field:ident $kind:ident),*;)*) => {$(
        impl $options {
            $(
                #[doc = concat!("Sets `", stringify!($field), "`: one number, or one for each spatial dim.")]
                #[must_use]
                pub fn $field(self, $field: impl Into<$kind>) -> $options {
                    $options { $field: $field.into(), ..self }
                }
            )*

            /// Sets `groups`.
            #[must_use]
            pub fn groups(self, groups: usize) -> $options {
                $options { groups, ..self }
            }
        }
    )*};
}
builders! {
    Conv: stride PerDim, padding Padding, dilation PerDim;
    ConvTranspose: stride PerDim, padding PerDim, output_padding PerDim, dilation PerDim;
}
