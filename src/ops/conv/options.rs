//! Options of convolutions.

use crate::ops::per_dim::PerDim;

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
    /// Zeros added on both sides of the input.
    pub padding: PerDim,
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
    ($($options:ident: $($field:ident),*;)*) => {$(
        impl $options {
            $(
                #[doc = concat!("Sets `", stringify!($field), "`: one number, or one for each spatial dim.")]
                #[must_use]
                pub fn $field(self, $field: impl Into<PerDim>) -> $options {
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
    Conv: stride, padding, dilation;
    ConvTranspose: stride, padding, output_padding, dilation;
}
