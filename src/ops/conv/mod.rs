//! Convolutions over one to three spatial dims, and transposed ones.
//!
//! A convolution is one linear form in three tensors: with x `[N, C, input]`, w `[O, C / groups, kernel]` and y `[N, O, output]`,
//!
//! `F(x, w, y) = Σ w[o, c, k] · x[n, c, p·stride + k·dilation − padding] · y[n, o, p]`.
//!
//! Its derivative with respect to y is the convolution of x by w; the one with respect to x is the gradient of the input, which is
//! the transposed convolution; the one with respect to w is the gradient of the weight. So there is one op with three roles, and
//! the gradients of each role are the two others.

mod depthwise;
pub(in crate::ops) mod geometry;
pub(in crate::ops) mod kernels;
mod options;
mod patches;
mod reference;

pub use options::{Conv, ConvTranspose, Padding};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::conv::geometry::{Geometry, Sides, batched};
use crate::ops::per_dim::DIMS;
use crate::ops::routine::poisoned;
use crate::shape::Shape;

/// One of the three tensors of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Role {
    /// What is convolved.
    X,
    /// The weight.
    W,
    /// The result.
    Y,
}

const ROLES: [Role; 3] = [Role::X, Role::W, Role::Y];

/// Computes the tensor of one role from the two others, which are its inputs in the order x, w, y.
#[derive(Clone, Copy, Hash)]
pub(in crate::ops) struct Convolution {
    pub role: Role,
    pub geometry: Geometry,
    /// Whether the kernels for any convolution are to run.
    pub is_plain: bool,
}

impl Convolution {
    fn shape(&self, role: Role) -> Shape {
        match role {
            Role::X => self.geometry.x(),
            Role::W => self.geometry.w(),
            Role::Y => self.geometry.y(),
        }
    }

    /// The roles of the inputs.
    fn inputs(&self) -> impl Iterator<Item = Role> {
        let own = self.role;
        ROLES.into_iter().filter(move |&role| role != own)
    }
}

impl Op for Convolution {
    fn name(&self) -> &str {
        match self.role {
            Role::X => "conv_transpose",
            Role::W => "conv_weight_gradient",
            Role::Y => "conv",
        }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(Error::dtype(self.name(), "takes floats of one type", &[a.dtype, b.dtype]));
        }
        if self.inputs().zip(inputs).any(|(role, input)| self.shape(role) != input.shape) {
            return Err(Error::shape(self.name(), "the operands do not fit the options", &[&a.shape, &b.shape]));
        }
        Ok(Meta { shape: self.shape(self.role), dtype: a.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (a, b) = (inputs[0].to_f64(), inputs[1].to_f64());
        let result = match self.role {
            Role::X => reference::x(&self.geometry, &a, &b),
            Role::W => reference::w(&self.geometry, &a, &b),
            Role::Y => reference::y(&self.geometry, &a, &b),
        };
        Ok(Array::from_vec(&output.shape, result).cast(output.dtype))
    }

    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        let operands = inputs.iter().map(|input| 16 * input.numel() as u64);
        let result = 24 * output.numel() as u64 + output.bytes();
        operands.fold(reference::scratch_bytes(&self.geometry).saturating_add(result), u64::saturating_add)
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let mut tensors = [cx.dy, cx.dy, cx.dy];
        for (role, input) in self.inputs().zip(cx.inputs) {
            tensors[role as usize] = input;
        }
        let gradient = |role: Role| {
            let op = Convolution { role, ..*self };
            let others: Vec<&Var> = op.inputs().map(|other| tensors[other as usize]).collect();
            Var::apply(op, &others)
        };
        Ok(self.inputs().zip(cx.needs).map(|(role, &needed)| needed.then(|| gradient(role))).collect())
    }
}

impl Var {
    /// Convolution over the last `dims` dims: `y[n, o, p] = Σ w[o, c, k] x[n, c, p·stride + k·dilation − padding] + bias[o]`. `self` is
    /// `[N, C, …]` or `[C, …]`, `weight` `[O, C / groups, …]`, `bias` `[O]`. Carries an error where they do not fit.
    #[track_caller]
    pub fn conv(&self, dims: usize, weight: &Var, bias: Option<&Var>, options: &Conv) -> Var {
        let Some(op) = ["conv1d", "conv2d", "conv3d"].get(dims.wrapping_sub(1)) else {
            return self.fail(Error::argument("conv", format!("{dims} spatial dims are not 1 to 3")));
        };
        self.convolve(op, dims, weight, bias, || {
            let (geometry, more) = Geometry::forward(op, dims, self.shape(), weight.shape(), options)?;
            Ok((Convolution { role: Role::Y, geometry, is_plain: false }, geometry.output_channels, more))
        })
    }

    /// Transposed convolution over the last `dims` dims: the gradient of [`Var::conv`] with respect to its input. `self` is
    /// `[N, C, …]` or `[C, …]`, `weight` `[C, O / groups, …]`, `bias` `[O]`. Carries an error where they do not fit.
    #[track_caller]
    pub fn conv_transpose(&self, dims: usize, weight: &Var, bias: Option<&Var>, options: &ConvTranspose) -> Var {
        let Some(op) = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"].get(dims.wrapping_sub(1)) else {
            return self.fail(Error::argument("conv_transpose", format!("{dims} spatial dims are not 1 to 3")));
        };
        self.convolve(op, dims, weight, bias, || {
            let geometry = Geometry::transposed(op, dims, self.shape(), weight.shape(), options)?;
            Ok((Convolution { role: Role::X, geometry, is_plain: false }, geometry.input_channels, [(0, 0); DIMS]))
        })
    }

    /// What both share: batches, types, bias. `plan` makes the op, and says how many channels come out and what is added around the input first.
    #[track_caller]
    fn convolve(
        &self,
        op: &str,
        dims: usize,
        weight: &Var,
        bias: Option<&Var>,
        plan: impl FnOnce() -> Result<(Convolution, usize, Sides)>,
    ) -> Var {
        let operands: Vec<&Var> = [self, weight].into_iter().chain(bias).collect();
        if let Some(failed) = poisoned(&operands) {
            return failed;
        }
        let dtypes: Vec<_> = operands.iter().map(|v| v.dtype()).collect();
        if !self.dtype().is_float() || dtypes.iter().any(|&d| d != self.dtype()) {
            return self.fail(Error::dtype(op, "takes floats of one type", &dtypes));
        }
        let (convolution, channels, more) = match plan() {
            Ok(planned) => planned,
            Err(error) => return self.fail(error),
        };
        if let Some(bias) = bias
            && bias.shape()[..] != [channels]
        {
            let detail = format!("the bias must have shape [{channels}], one number an output channel");
            return self.fail(Error::shape(op, detail, &[self.shape(), weight.shape(), bias.shape()]));
        }
        let mut x = self.reshape(&batched(self.shape(), dims));
        if more != [(0, 0); DIMS] {
            x = x.pad(&[&[(0, 0); 2][..], &more[DIMS - dims..]].concat(), 0.0);
        }
        let mut y = match convolution.role {
            Role::X => Var::apply(convolution, &[weight, &x]),
            Role::Y | Role::W => Var::apply(convolution, &[&x, weight]),
        };
        if let Some(bias) = bias {
            y = y.add(&bias.reshape(&[channels].into_iter().chain(std::iter::repeat_n(1, dims)).collect()));
        }
        if self.shape().rank() == dims + 2 || y.0.error.is_some() { y } else { y.squeeze(0) }
    }
}
