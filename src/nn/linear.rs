//! Linear maps.

use crate::backend::Device;
use crate::nn::init;
use crate::nn::module::{enter, size};
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Module, Parameters};
use crate::tensor::Tensor;

/// `y = x Wᵀ + b` over the last dim: `[…, inputs]` to `[…, outputs]`.
///
/// `weight` is `[outputs, inputs]`, `bias` `[outputs]`; both begin uniform in `±1/√inputs`.
///
/// ```
/// use wgrad::nn::{Linear, Module};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = Linear::new(20, 30, &device);
/// assert_eq!(layer.forward(&Tensor::randn([128, 20], &device)).shape(), [128, 30]);
/// assert!(layer.forward(&Tensor::randn([128, 21], &device)).check().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`, if any.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// A layer with a bias.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Linear {
        let weight = init::by_fan(&[outputs, inputs], inputs, device);
        let bias = init::by_fan(&[outputs], inputs, device);
        Linear { weight, bias: Some(bias) }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Linear {
        Linear { bias: None, ..self }
    }
}

impl Parameters for Linear {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
        members.add(&mut self.bias);
    }
}

impl Module for Linear {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}→{}", size(&self.weight, 1), size(&self.weight, 0)));
        seen(Some(&self.weight), x.linear(&self.weight, self.bias.as_ref()))
    }
}

/// `yₖ = aᵀ Wₖ b + cₖ` of two inputs `[…, first]` and `[…, second]` to `[…, outputs]`.
///
/// `weight` is `[outputs, first, second]`, `bias` `[outputs]`; both begin uniform in `±1/√first`.
///
/// ```
/// use wgrad::nn::Bilinear;
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let layer = Bilinear::new(4, 3, 5, &device);
/// let y = layer.forward_pair(&Tensor::randn([2, 7, 4], &device), &Tensor::randn([2, 7, 3], &device));
/// assert_eq!(y.shape(), [2, 7, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct Bilinear {
    /// `[outputs, first, second]`.
    pub weight: Tensor,
    /// `[outputs]`, if any.
    pub bias: Option<Tensor>,
}

impl Bilinear {
    /// A layer with a bias.
    #[track_caller]
    pub fn new(first: usize, second: usize, outputs: usize, device: &Device) -> Bilinear {
        let weight = init::by_fan(&[outputs, first, second], first, device);
        let bias = init::by_fan(&[outputs], first, device);
        Bilinear { weight, bias: Some(bias) }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Bilinear {
        Bilinear { bias: None, ..self }
    }

    /// The output for two inputs. Carries an error where they do not fit the weight and each other.
    #[track_caller]
    pub fn forward_pair(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let w = &self.weight;
        let _layer = enter::<Self>(format_args!("{} and {}→{}", size(w, 1), size(w, 2), size(w, 0)));
        let y = Tensor::einsum("...i,kij,...j->...k", &[a, &self.weight, b]);
        let y = match &self.bias {
            Some(bias) => y + bias,
            None => y,
        };
        seen(Some(&self.weight), y)
    }
}

impl Parameters for Bilinear {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
        members.add(&mut self.bias);
    }
}
