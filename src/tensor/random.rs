//! Random numbers, by a counter-based generator: the same device, seed and order of calls give the same bits.

use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::Var;
use crate::ops::sampling;
use crate::shape::Shape;
use crate::tensor::create::make;
use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// Uniform random numbers in `[0, 1)`, by a counter-based generator: the same device, seed and order of calls give the same
    /// bits.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::rand([10], &Device::cpu()).to_vec::<f32>()?;
    /// assert!(x.iter().all(|v| (0.0..1.0).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::uniform(shape, 0.0, 1.0, device)
    }

    /// Uniform random numbers in `[low, high)`. Carries an error where `low` is above `high`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::uniform([10], -2.0, 2.0, &Device::cpu()).to_vec::<f32>()?;
    /// assert!(x.iter().all(|v| (-2.0..=2.0).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f32, high: f32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if low.is_nan() || high.is_nan() || low > high {
                return Err(Error::argument("uniform", format!("no range from {low} to {high}")));
            }
            let (low, high) = (f64::from(low), f64::from(high));
            Ok(Var::generate_uniform(&shape, low, high, device.next_key(), device.context()))
        })
    }

    /// Normal random numbers with mean 0 and standard deviation 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// device.seed(42);
    /// let first = Tensor::randn([4], &device).to_vec::<f32>()?;
    /// device.seed(42);
    /// assert_eq!(Tensor::randn([4], &device).to_vec::<f32>()?, first);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            Ok(Var::generate_normal(&shape, 0.0, 1.0, device.next_key(), device.context()))
        })
    }

    /// Normal random numbers with means and standard deviations (0 or more): numbers, or tensors that broadcast to the shape. No gradient flows into
    /// them, as in PyTorch; `mean + std * Tensor::randn(…)` has one.
    ///
    /// Carries an error where a number is not allowed; where a tensor holds such a one, reads of the result return the error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let means = Tensor::from_slice(&[0f32, 100.0], [2], &device);
    /// let x = Tensor::normal([5, 2], &means, 0.5, &device);
    /// assert!(x.get(0).gt(50.0).to_vec::<bool>()? == [false, true]);
    /// assert!(Tensor::normal([2], 0.0, -1.0, &device).check().is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn normal(shape: impl Into<Shape>, mean: impl Operand, std: impl Operand, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            // What numbers stand beside.
            let like = Var::scalar(0.0, DType::F32, device.context());
            sampling::normal(&shape, &mean.beside(&like), &std.beside(&like), device.next_key())
        })
    }

    /// Random counts of events: Poisson distributions with these rates (floats of any shape), in their type.
    ///
    /// Where a rate is negative or not finite, reads of the result return an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let rates = Tensor::from_slice(&[0f32, 1000.0], [2], &Device::default());
    /// let counts = rates.poisson().to_vec::<f32>()?;
    /// assert!(counts[0] == 0.0 && (700.0..1300.0).contains(&counts[1]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn poisson(&self) -> Tensor {
        self.build(Location::caller(), |v| v.poisson(self.device().next_key()))
    }

    /// Random indices (i32) by logits `[.., classes]`: one for each row, by the row's softmax. Several for each row come of
    /// `logits.expand([n, …])`.
    ///
    /// Where a row holds NaN or infinity, or minus infinity alone, reads of the result return an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let logits = Tensor::from_slice(&[f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY], [3], &Device::default());
    /// assert_eq!(logits.expand([4, 3]).categorical().to_vec::<i32>()?, [1, 1, 1, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn categorical(&self) -> Tensor {
        self.build(Location::caller(), |v| v.categorical(self.device().next_key()))
    }

    /// `count` random indices (i32) by weights `[classes]` or `[rows, classes]`, floats that need not add up to 1, for each row: `[count]` or
    /// `[rows, count]`. Without `replacement` no index comes twice, and they come in the order in which they are drawn.
    ///
    /// Carries an error where more are asked for than there are classes, without replacement. Where weights are negative or not finite, or too
    /// few of them are above 0, reads of the result return an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let weights = Tensor::from_slice(&[0f32, 3.0, 1.0], [3], &Device::default());
    /// assert!(!weights.multinomial(100, true).to_vec::<i32>()?.contains(&0));
    /// let mut both = weights.multinomial(2, false).to_vec::<i32>()?;
    /// both.sort();
    /// assert_eq!(both, [1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn multinomial(&self, count: usize, replacement: bool) -> Tensor {
        self.build(Location::caller(), |v| v.multinomial(count, replacement, self.device().next_key()))
    }

    /// Random integers (i32) in `low..high`. Carries an error where the range is empty.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let dice = Tensor::randint([10], 1, 7, &Device::cpu()).to_vec::<i32>()?;
    /// assert!(dice.iter().all(|v| (1..7).contains(v)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randint(shape: impl Into<Shape>, low: i32, high: i32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if low >= high {
                return Err(Error::argument("randint", format!("no integers in {low}..{high}")));
            }
            Ok(Var::generate_randint(&shape, low, high, device.next_key(), device.context()))
        })
    }

    /// Random booleans that are true with probability `p`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// assert_eq!(Tensor::bernoulli([4], 0.5, &device).shape(), [4]);
    /// assert_eq!(Tensor::bernoulli([2], 0.0, &device).to_vec::<bool>()?, [false, false]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn bernoulli(shape: impl Into<Shape>, p: f32, device: &Device) -> Tensor {
        let shape = shape.into();
        make(device, Location::caller(), || {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::argument("bernoulli", format!("probability {p} is not in 0..=1")));
            }
            Ok(Var::generate_bernoulli(&shape, f64::from(p), device.next_key(), device.context()))
        })
    }

    /// Uniform random numbers in `[0, 1)` of this tensor's shape and device; f16 for an f16 tensor, else f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.rand_like().shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn rand_like(&self) -> Tensor {
        self.as_half(Tensor::rand(self.full_shape(), self.device()))
    }

    /// Normal random numbers of this tensor's shape and device; f16 for an f16 tensor, else f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.randn_like().shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn randn_like(&self) -> Tensor {
        self.as_half(Tensor::randn(self.full_shape(), self.device()))
    }

    #[track_caller]
    fn as_half(&self, x: Tensor) -> Tensor {
        if self.dtype() == DType::F16 { x.to_dtype(DType::F16) } else { x }
    }
}
