//! Pooling as layers.

use crate::nn::module::stateless;
use crate::ops::per_dim::PerDim;
use crate::ops::pool::{AvgPool, Pool};
#[cfg(doc)]
use crate::tensor::Tensor;

/// Windows that slide: name, options, method of [`Tensor`], spatial dims.
macro_rules! sliding {
    ($($name:ident($options:ident): $method:ident $short:ident $dims:literal $what:literal;)*) => {$(
        #[doc = concat!($what, " of each window; see [`Tensor::", stringify!($short), "`].")]
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{Module, ", stringify!($name), "};")]
        /// use wgrad::{Device, Tensor};
        #[doc = concat!("let x = Tensor::ones(&[2, 3, 6, 6, 6][..2 + ", $dims, "], &Device::default());")]
        #[doc = concat!("assert_eq!(", stringify!($name), "::new(2).forward(&x).shape(), &[2, 3, 3, 3, 3][..2 + ", $dims, "]);")]
        #[doc = concat!("let overlapping = ", stringify!($name), "::new(3).stride(1).padding(1);")]
        /// assert_eq!(overlapping.forward(&x).shape(), x.shape());
        /// ```
        #[derive(Clone, Debug)]
        pub struct $name {
            /// Kernel, stride, padding and the rest.
            pub options: $options,
        }

        impl $name {
            /// Windows side by side: the stride is the kernel. One size, or one for each dim.
            pub fn new(kernel: impl Into<PerDim>) -> $name {
                $name { options: $options::new(kernel) }
            }

            /// Sets the steps from window to window: one number, or one for each dim.
            pub fn stride(mut self, stride: impl Into<PerDim>) -> $name {
                self.options.stride = stride.into();
                self
            }

            /// Sets the padding before and after the input: one number, or one for each dim.
            pub fn padding(mut self, padding: impl Into<PerDim>) -> $name {
                self.options.padding = padding.into();
                self
            }
        }

        stateless!($name, |self, x| sliding!(@call $options x.$method(&self.options)));
    )*};
    (@call Pool $x:ident.$method:ident($options:expr)) => { $x.$method($options).0 };
    (@call AvgPool $x:ident.$method:ident($options:expr)) => { $x.$method($options) };
}

sliding! {
    MaxPool1d(Pool): max_pool1d_with max_pool1d 1 "The largest element";
    MaxPool2d(Pool): max_pool2d_with max_pool2d 2 "The largest element";
    MaxPool3d(Pool): max_pool3d_with max_pool3d 3 "The largest element";
    AvgPool1d(AvgPool): avg_pool1d_with avg_pool1d 1 "The average";
    AvgPool2d(AvgPool): avg_pool2d_with avg_pool2d 2 "The average";
    AvgPool3d(AvgPool): avg_pool3d_with avg_pool3d 3 "The average";
}

/// Windows that bring spatial dims to a size.
macro_rules! adaptive {
    ($($name:ident: $method:ident $dims:literal;)*) => {$(
        #[doc = concat!("[`Tensor::", stringify!($method), "`] as a layer.")]
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{Module, ", stringify!($name), "};")]
        /// use wgrad::{Device, Tensor};
        #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::default());")]
        #[doc = concat!("assert_eq!(", stringify!($name), "::new(1).forward(&x).numel(), 6);")]
        /// ```
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            /// Sizes of the spatial dims of the output.
            pub size: PerDim,
        }

        impl $name {
            /// To this size: one number, or one for each spatial dim.
            pub fn new(size: impl Into<PerDim>) -> $name {
                $name { size: size.into() }
            }
        }

        stateless!($name, |self, x| x.$method(self.size));
    )*};
}

adaptive! {
    AdaptiveAvgPool1d: adaptive_avg_pool1d 1;
    AdaptiveAvgPool2d: adaptive_avg_pool2d 2;
    AdaptiveAvgPool3d: adaptive_avg_pool3d 3;
    AdaptiveMaxPool1d: adaptive_max_pool1d 1;
    AdaptiveMaxPool2d: adaptive_max_pool2d 2;
    AdaptiveMaxPool3d: adaptive_max_pool3d 3;
}
