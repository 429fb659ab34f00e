//! Convolutions.

use std::panic::Location;

use crate::ops::conv::{Conv, ConvTranspose};
use crate::ops::per_dim::PerDim;
use crate::tensor::Tensor;

impl Tensor {
    /// Convolution over one spatial dim: [`Tensor::conv2d`] with this tensor `[N, C, L]` or `[C, L]` and `weight`
    /// `[O, C / groups, k]`.
    ///
    /// ```
    /// use wgrad::{Conv, Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 2., 4., 8.], [1, 1, 4], &device);
    /// let w = Tensor::from_slice(&[1f32, -1.], [1, 1, 2], &device);
    /// assert_eq!(x.conv1d(&w, None, Conv::default()).to_vec::<f32>()?, [-1.0, -2.0, -4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv(1, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// Convolution over two spatial dims (Dumoulin & Visin 2016, [arXiv:1603.07285](https://arxiv.org/abs/1603.07285)):
    ///
    /// `y[n, o, p] = Σ w[o, c, k] · x[n, c, p·stride + k·dilation − padding] + bias[o]`, where x is 0 outside and c runs over the
    /// channels of the group of o. The kernel is not flipped.
    ///
    /// This tensor is `[N, C, H, W]`, or `[C, H, W]` without a batch; `weight` is `[O, C / groups, kh, kw]`, `bias` `[O]`. Each
    /// spatial size becomes `(size + 2·padding − dilation·(kernel − 1) − 1) / stride + 1`, rounded down. All are floats of one
    /// type.
    ///
    /// Carries an error where types or shapes do not fit, the kernel is larger than the padded input, the channels do not fall
    /// into the groups, or an option has a wrong number of entries or is 0 where it must not be.
    ///
    /// ```
    /// use wgrad::{Conv, Device, Tensor};
    /// let device = Device::default();
    /// let (x, w) = (Tensor::ones([8, 3, 32, 32], &device), Tensor::ones([16, 3, 3, 3], &device));
    /// let y = x.conv2d(&w, None, Conv::default().stride(2).padding([1, 0]));
    /// assert_eq!(y.shape(), [8, 16, 16, 15]);
    /// assert!(x.conv2d(&w, None, Conv::default().groups(2)).check().is_err());
    /// ```
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv(2, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// Convolution over three spatial dims: [`Tensor::conv2d`] with this tensor `[N, C, D, H, W]` or `[C, D, H, W]` and `weight`
    /// `[O, C / groups, kd, kh, kw]`.
    ///
    /// ```
    /// use wgrad::{Conv, Device, Tensor};
    /// let device = Device::default();
    /// let (x, w) = (Tensor::ones([1, 4, 5, 5, 5], &device), Tensor::ones([2, 4, 3, 3, 3], &device));
    /// assert_eq!(x.conv3d(&w, None, Conv::default().padding(1)).shape(), [1, 2, 5, 5, 5]);
    /// ```
    #[track_caller]
    pub fn conv3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv(3, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// Transposed convolution over one spatial dim: [`Tensor::conv_transpose2d`] with this tensor `[N, C, L]` or `[C, L]` and
    /// `weight` `[C, O / groups, k]`.
    ///
    /// ```
    /// use wgrad::{ConvTranspose, Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 10.], [1, 1, 2], &device);
    /// let w = Tensor::from_slice(&[1f32, 2., 3.], [1, 1, 3], &device);
    /// let y = x.conv_transpose1d(&w, None, ConvTranspose::default().stride(2));
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 2.0, 13.0, 20.0, 30.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn conv_transpose1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv_transpose(1, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// Transposed convolution over two spatial dims: the gradient of [`Tensor::conv2d`] with respect to its input, as an op of its
    /// own (Dumoulin & Visin 2016, chapter 4). Element p puts `w · x[p]` at `p·stride − padding` and following.
    ///
    /// This tensor is `[N, C, H, W]`, or `[C, H, W]` without a batch; `weight` is `[C, O / groups, kh, kw]`, `bias` `[O]`. Each
    /// spatial size becomes `(size − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1`. All are floats of one
    /// type.
    ///
    /// Carries an error where types or shapes do not fit, `padding` cuts off more than there is, `output_padding` is not smaller
    /// than stride or dilation, the channels do not fall into the groups, or an option has a wrong number of entries or is 0
    /// where it must not be.
    ///
    /// ```
    /// use wgrad::{ConvTranspose, Device, Tensor};
    /// let device = Device::default();
    /// let (x, w) = (Tensor::ones([8, 16, 7, 7], &device), Tensor::ones([16, 3, 3, 3], &device));
    /// let y = x.conv_transpose2d(&w, None, ConvTranspose::default().stride(2).padding(1).output_padding(1));
    /// assert_eq!(y.shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv_transpose(2, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// Transposed convolution over three spatial dims: [`Tensor::conv_transpose2d`] with this tensor `[N, C, D, H, W]` or
    /// `[C, D, H, W]` and `weight` `[C, O / groups, kd, kh, kw]`.
    ///
    /// ```
    /// use wgrad::{ConvTranspose, Device, Tensor};
    /// let device = Device::default();
    /// let (x, w) = (Tensor::ones([1, 4, 3, 3, 3], &device), Tensor::ones([4, 2, 2, 2, 2], &device));
    /// let y = x.conv_transpose3d(&w, None, ConvTranspose::default().stride(2));
    /// assert_eq!(y.shape(), [1, 2, 6, 6, 6]);
    /// ```
    #[track_caller]
    pub fn conv_transpose3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed().build(Location::caller(), |v| {
            Ok(v.conv_transpose(3, &weight.node(), bias.as_ref().map(Tensor::node).as_ref(), &options))
        })
    }

    /// The windows that [`Tensor::conv2d`] with these options (without groups) sees, as columns (im2col): `[N, C, H, W]` to
    /// `[N, C·kh·kw, windows]`, or `[C, H, W]` to `[C·kh·kw, windows]`. PyTorch's `nn.functional.unfold`.
    ///
    /// Carries an error where shape, kernel and options do not fit.
    ///
    /// ```
    /// use wgrad::{Conv, Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::arange(0.0, 9.0, 1.0, &device).reshape([1, 3, 3]);
    /// let columns = x.unfold2d([2, 2], Conv::default());
    /// assert_eq!(columns.shape(), [4, 4]);
    /// assert_eq!(columns.select(1, 3).to_vec::<f32>()?, [4.0, 5.0, 7.0, 8.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn unfold2d(&self, kernel: impl Into<PerDim>, options: Conv) -> Tensor {
        let kernel = kernel.into();
        self.build(Location::caller(), |v| Ok(v.unfold2d(kernel, &options)))
    }

    /// Adds columns up where their windows lie in an image of `size` (col2im), the transpose of [`Tensor::unfold2d`]:
    /// `[N, C·kh·kw, windows]` to `[N, C, H, W]`, or without a batch. PyTorch's `nn.functional.fold`.
    ///
    /// Carries an error where shape, size, kernel and options do not fit.
    ///
    /// ```
    /// use wgrad::{Conv, Device, Tensor};
    /// let columns = Tensor::ones([4, 4], &Device::default());
    /// let image = columns.fold2d([3, 3], [2, 2], Conv::default());
    /// assert_eq!(image.to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn fold2d(&self, size: impl Into<PerDim>, kernel: impl Into<PerDim>, options: Conv) -> Tensor {
        let (size, kernel) = (size.into(), kernel.into());
        self.build(Location::caller(), |v| Ok(v.fold2d(size, kernel, &options)))
    }
}
