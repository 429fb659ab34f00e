//! Normalisation.

use std::panic::Location;

use crate::graph::Var;
use crate::ops::norm::Statistic;
use crate::tensor::Tensor;

/// The node of an operand that may be left out.
fn node<'a>(part: impl Into<Option<&'a Tensor>>) -> Option<Var> {
    part.into().map(Tensor::node)
}

impl Tensor {
    /// Layer norm over the last dim: `(x − mean) / √(var + eps) · weight + bias`, with the biased variance. `weight`
    /// and `bias` are `[d]`, or `None`. (Ba, Kiros & Hinton 2016)
    ///
    /// Floats of any shape with a last dim `d`, else the tensor carries an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 3.0, 10.0, 14.0], [2, 2], &device);
    /// let (w, b) = (Tensor::full([2], 2.0, &device), Tensor::ones([2], &device));
    /// let y = x.layer_norm(&w, &b, 0.0).to_vec::<f32>()?;
    /// assert!(y.iter().zip([-1.0, 3.0, -1.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: impl Into<f64>,
    ) -> Tensor {
        self.layer_norm_dims(1, weight, bias, eps)
    }

    /// [`Tensor::layer_norm`] over the last `count` dims together; `weight` and `bias` have their shape.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 1.0, 3.0, 3.0], [2, 2], &Device::cpu());
    /// let y = x.layer_norm_dims(2, None, None, 0.0).to_vec::<f32>()?;
    /// assert!(y.iter().zip([-1.0, -1.0, 1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_norm_dims<'a>(
        &self,
        count: usize,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: impl Into<f64>,
    ) -> Tensor {
        let (weight, bias) = (node(weight), node(bias));
        self.widened().build(Location::caller(), |v| {
            Ok(v.norm_over(Statistic::Layer, count, weight.as_ref(), bias.as_ref(), v.number(eps)))
        })
    }

    /// RMS norm over the last dim: `x / √(mean x² + eps) · weight`, with `weight` `[d]` or `None`. (Zhang & Sennrich
    /// 2019)
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 7.0], [1, 2], &Device::default());
    /// let y = x.rms_norm(None, 0.0).to_vec::<f32>()?; // the mean square is 25
    /// assert!((y[0] - 0.2).abs() < 1e-6 && (y[1] - 1.4).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rms_norm<'a>(&self, weight: impl Into<Option<&'a Tensor>>, eps: impl Into<f64>) -> Tensor {
        self.rms_norm_dims(1, weight, eps)
    }

    /// [`Tensor::rms_norm`] over the last `count` dims together; `weight` has their shape.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 1.0, 5.0, 3.0], [2, 2], &Device::default());
    /// let y = x.rms_norm_dims(2, None, 0.0).to_vec::<f32>()?; // the mean square is 9
    /// assert!(y.iter().zip([1.0, 1.0, 5.0, 3.0]).all(|(a, b)| (a - b / 3.0).abs() < 1e-5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rms_norm_dims<'a>(
        &self,
        count: usize,
        weight: impl Into<Option<&'a Tensor>>,
        eps: impl Into<f64>,
    ) -> Tensor {
        let weight = node(weight);
        self.widened()
            .build(Location::caller(), |v| Ok(v.norm_over(Statistic::Rms, count, weight.as_ref(), None, v.number(eps))))
    }

    /// Group norm of `[N, C, …]`: the channels form `groups` groups of equal size, and each group of each sample is
    /// normalised as in [`Tensor::layer_norm`]. `weight` and `bias` are `[C]`, or `None`. (Wu & He 2018)
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::randn([2, 6, 4, 4], &Device::default());
    /// let y = x.group_norm(3, None, None, 1e-5);
    /// assert!(y.select(0, 0).slice(0, 0..2).mean().item::<f32>()?.abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn group_norm<'a>(
        &self,
        groups: usize,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: impl Into<f64>,
    ) -> Tensor {
        let (weight, bias) = (node(weight), node(bias));
        self.widened()
            .build(Location::caller(), |v| Ok(v.group_norm(groups, weight.as_ref(), bias.as_ref(), v.number(eps))))
    }

    /// Instance norm of `[N, C, …]`: each channel of each sample is normalised. `weight` and `bias` are `[C]`, or
    /// `None`. (Ulyanov, Vedaldi & Lempitsky 2016)
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0, 10.0, 14.0], [1, 2, 2], &Device::default());
    /// let y = x.instance_norm(None, None, 0.0).to_vec::<f32>()?;
    /// assert!(y.iter().zip([-1.0, 1.0, -1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn instance_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: impl Into<f64>,
    ) -> Tensor {
        let (weight, bias) = (node(weight), node(bias));
        self.widened().build(Location::caller(), |v| Ok(v.instance_norm(weight.as_ref(), bias.as_ref(), v.number(eps))))
    }

    /// Batch norm of `[N, C]` or `[N, C, …]`: the output, the new running mean and the new running variance. `weight`
    /// and `bias` (or `None`), `mean` and `var` are `[C]`. (Ioffe & Szegedy 2015)
    ///
    /// With `training` each channel is normalised by its own mean and biased variance, and the running statistics
    /// become `(1 − momentum) · old + momentum · batch`, with the unbiased variance; one value per channel is an error.
    /// Without it the running statistics normalise and are returned as they are.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 3.0], [2, 1], &device);
    /// let (mean, var) = (Tensor::zeros([1], &device), Tensor::ones([1], &device));
    /// let (y, mean, var) = x.batch_norm(None, None, &mean, &var, true, 0.5, 0.0);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
    /// assert_eq!((mean.item::<f32>()?, var.item::<f32>()?), (1.0, 1.5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[allow(clippy::too_many_arguments, reason = "the operands and options of the op, as PyTorch has them")]
    #[track_caller]
    pub fn batch_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        mean: &Tensor,
        var: &Tensor,
        training: bool,
        momentum: impl Into<f64>,
        eps: impl Into<f64>,
    ) -> (Tensor, Tensor, Tensor) {
        let at = Location::caller();
        let (weight, bias) = (node(weight), node(bias));
        let mut moved = None;
        let y = self.widened().build(at, |v| {
            let (mean, var) = (mean.node(), var.node());
            let (momentum, eps) = (v.number(momentum), v.number(eps));
            let (y, mean, var) = v.batch_norm(weight.as_ref(), bias.as_ref(), &mean, &var, training, momentum, eps);
            moved = Some((mean, var));
            Ok(y)
        });
        match moved {
            Some((mean, var)) => {
                let (mean, var) = (Tensor::from_var(mean, self.device()), Tensor::from_var(var, self.device()));
                (y, mean, var)
            }
            // This tensor carries an error, which goes on in all three.
            None => (y.clone(), y.clone(), y),
        }
    }
}
