//! Activations as layers.

use crate::backend::Device;
use crate::nn::module::{enter, stateless};
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Module, Parameters};
use crate::tensor::Tensor;

/// Layers without numbers: name and method of [`Tensor`].
macro_rules! plain {
    ($($name:ident: $method:ident;)*) => {$(
        #[doc = concat!("[`Tensor::", stringify!($method), "`] as a layer.")]
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{Module, ", stringify!($name), "};")]
        /// use wgrad::{Device, Tensor};
        /// let x = Tensor::from_slice(&[-1f32, 0.5], [2], &Device::cpu());
        #[doc = concat!("let y = ", stringify!($name), ".forward(&x);")]
        #[doc = concat!("assert_eq!(y.to_vec::<f32>()?, x.", stringify!($method), "().to_vec::<f32>()?);")]
        /// # Ok::<(), wgrad::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;
        stateless!($name, |self, x| x.$method());
    )*};
}

plain! {
    Relu: relu;
    Relu6: relu6;
    Selu: selu;
    Gelu: gelu;
    GeluTanh: gelu_tanh;
    Silu: silu;
    Mish: mish;
    Sigmoid: sigmoid;
    LogSigmoid: log_sigmoid;
    Tanh: tanh;
    Softplus: softplus;
    Softsign: softsign;
    Tanhshrink: tanhshrink;
    Hardtanh: hardtanh;
    Hardsigmoid: hardsigmoid;
    Hardswish: hardswish;
}

/// Layers with one number: name, method of [`Tensor`], field, its meaning, its type and PyTorch's default.
macro_rules! with_number {
    ($($name:ident: $method:ident($field:ident: $kind:ty, from $given:ty = $default:literal, $meaning:literal);)*) => {$(
        #[doc = concat!("[`Tensor::", stringify!($method), "`] as a layer; `", stringify!($field), "` is ", stringify!($default))]
        /// by default.
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{Module, ", stringify!($name), "};")]
        /// use wgrad::{Device, Tensor};
        /// let x = Tensor::from_slice(&[-1f32, 0.5], [1, 2], &Device::cpu());
        #[doc = concat!("let y = ", stringify!($name), "::default().forward(&x);")]
        #[doc = concat!("assert_eq!(y.to_vec::<f32>()?, x.", stringify!($method), "(", stringify!($default), ").to_vec::<f32>()?);")]
        /// # Ok::<(), wgrad::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            #[doc = $meaning]
            pub $field: $kind,
        }

        impl $name {
            #[doc = concat!("The layer with this `", stringify!($field), "`.")]
            #[allow(clippy::useless_conversion, reason = "some fields are given in their own type")]
            pub fn new($field: $given) -> $name {
                $name { $field: $field.into() }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $field: $default }
            }
        }
        stateless!($name, |self, x| x.$method(self.$field));
    )*};
}

with_number! {
    LeakyRelu: leaky_relu(slope: f64, from impl Into<f64> = 0.01, "Factor of what is below 0.");
    Elu: elu(alpha: f64, from impl Into<f64> = 1.0, "The limit for large negative input is `-alpha`.");
    Celu: celu(alpha: f64, from impl Into<f64> = 1.0, "The limit for large negative input is `-alpha`.");
    Hardshrink: hardshrink(lambda: f64, from impl Into<f64> = 0.5, "What is not farther than this from 0 becomes 0.");
    Softshrink: softshrink(lambda: f64, from impl Into<f64> = 0.5, "How far all moves towards 0.");
    Glu: glu(dim: isize, from isize = -1, "The dim that is halved.");
    Softmin: softmin(dim: isize, from isize = -1, "The dim over which the results sum to 1.");
    Softmax: softmax(dim: isize, from isize = -1, "The dim over which the results sum to 1.");
    LogSoftmax: log_softmax(dim: isize, from isize = -1, "The dim over which the exponentials of the results sum to 1.");
}

/// A leaky ReLU whose slope is learned ([`Tensor::prelu`]); `weight` is `[1]`, or `[channels]`, and begins at 0.25.
///
/// ```
/// use wgrad::nn::{Module, Prelu};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let y = Prelu::new(1, &device).forward(&Tensor::from_slice(&[-4f32, 2.0], [1, 2], &device));
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prelu {
    /// The slopes.
    pub weight: Tensor,
}

impl Prelu {
    /// One slope for all (`channels` 1), or one for each channel.
    #[track_caller]
    pub fn new(channels: usize, device: &Device) -> Prelu {
        Prelu { weight: Tensor::full([channels], 0.25, device).requires_grad() }
    }
}

impl Parameters for Prelu {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
    }
}

impl Module for Prelu {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!(""));
        seen(Some(&self.weight), x.prelu(&self.weight))
    }
}
