//! Dropout.

use crate::nn::module::enter;
use crate::nn::{Members, MembersMut, Mode, Module, Parameters};
use crate::tensor::Tensor;

/// In training, elements become 0 with probability `p` and the others are divided by `1 − p`; in evaluation nothing happens.
/// See [`Tensor::dropout`].
///
/// ```
/// use wgrad::nn::{Dropout, Module, Parameters};
/// use wgrad::{Device, Tensor};
/// let dropout = Dropout::new(0.5);
/// let x = Tensor::ones([1000], &Device::default());
/// assert!(dropout.forward(&x).to_vec::<f32>()?.contains(&0.0));
/// dropout.eval();
/// assert_eq!(dropout.forward(&x).sum().item::<f32>()?, 1000.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Probability of becoming 0.
    pub p: f32,
    /// Training or evaluation.
    pub mode: Mode,
}

impl Dropout {
    /// Dropout with probability `p`, in `0..=1`.
    pub fn new(p: f32) -> Dropout {
        Dropout { p, mode: Mode::new() }
    }
}

impl Parameters for Dropout {
    fn members(&self, members: &mut Members) {
        members.add("mode", &self.mode);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.mode);
    }
}

impl Module for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        x.dropout(self.p, self.mode.training())
    }
}

/// Dropout of whole channels: name, spatial dims, and what the input looks like.
macro_rules! of_channels {
    ($($name:ident $shape:literal $example:literal;)*) => {$(
        #[doc = concat!("Dropout of whole channels of `", $shape, "` (Tompson et al. 2015); see [`Tensor::feature_dropout`]. The rest as [`Dropout`].")]
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{", stringify!($name), ", Module};")]
        /// use wgrad::{Device, Tensor};
        #[doc = concat!("let x = Tensor::ones(", $example, ", &Device::default());")]
        #[doc = concat!("let y = ", stringify!($name), "::new(0.5).forward(&x).flatten(2, -1);")]
        /// // All of a channel, or nothing of it.
        /// let (least, most) = (y.min_dims(&[2], false).to_vec::<f32>()?, y.max_dims(&[2], false).to_vec::<f32>()?);
        /// assert_eq!(least, most);
        /// # Ok::<(), wgrad::Error>(())
        /// ```
        #[derive(Clone, Debug)]
        pub struct $name {
            /// Probability with which a channel becomes 0.
            pub p: f32,
            /// Training or evaluation.
            pub mode: Mode,
        }

        impl $name {
            /// Dropout with probability `p`, in `0..=1`.
            pub fn new(p: f32) -> $name {
                $name { p, mode: Mode::new() }
            }
        }

        impl Parameters for $name {
            fn members(&self, members: &mut Members) {
                members.add("mode", &self.mode);
            }

            fn members_mut(&mut self, members: &mut MembersMut) {
                members.add(&mut self.mode);
            }
        }

        impl Module for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let _layer = enter::<Self>(format_args!(""));
                x.feature_dropout(self.p, self.mode.training())
            }
        }
    )*};
}

of_channels! {
    Dropout1d "[N, C, L]" "[2, 16, 5]";
    Dropout2d "[N, C, H, W]" "[2, 16, 3, 3]";
    Dropout3d "[N, C, D, H, W]" "[2, 16, 2, 2, 2]";
}

/// Dropout for networks of [`Selu`](crate::nn::Selu): elements take the value that SELU has far below 0, and all are scaled so that mean 0 and
/// variance 1 stay (Klambauer et al. 2017).
///
/// ```
/// use wgrad::nn::{AlphaDropout, Module};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let y = AlphaDropout::new(0.2).forward(&Tensor::randn([10_000], &device));
/// assert!(y.mean().item::<f32>()?.abs() < 0.1 && (y.std(0.0).item::<f32>()? - 1.0).abs() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AlphaDropout {
    /// Probability with which an element is replaced.
    pub p: f32,
    /// Training or evaluation.
    pub mode: Mode,
}

impl AlphaDropout {
    /// SELU's limit for large negative input.
    const LIMIT: f32 = -1.758_099_3;

    /// Dropout with probability `p`, in `0..=1`.
    pub fn new(p: f32) -> AlphaDropout {
        AlphaDropout { p, mode: Mode::new() }
    }
}

impl Parameters for AlphaDropout {
    fn members(&self, members: &mut Members) {
        members.add("mode", &self.mode);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.mode);
    }
}

impl Module for AlphaDropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        if !self.mode.training() || self.p == 0.0 {
            // Says so where `p` makes no sense.
            return x.dropout(self.p, false);
        }
        let kept = 1.0 - self.p;
        let scale = if kept > 0.0 { (kept * (1.0 + self.p * Self::LIMIT.powi(2))).sqrt().recip() } else { 0.0 };
        let shift = -scale * Self::LIMIT * self.p;
        let mask = x.detach().ones_like().dropout(self.p, true).gt(0.0);
        mask.where_(x, x.full_like(Self::LIMIT)) * scale + shift
    }
}
