//! Ops with complete kernels.

use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;

use ndarray::ArrayD;

use crate::array::Array;
use crate::backend::Device;
use crate::caps::Caps;
use crate::custom::Kernel;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{self, Operand, Routine, Stage};
use crate::graph::{Meta, Var, Vjp, with_location};
use crate::tensor::Tensor;

/// An op of your own: shape rule, WGSL kernel, gradient rule and CPU reference.
///
/// It derives `Hash`, since a plan that was made for one is reused for another whose fields have the same hash: a float among the fields is a
/// [`Bits`](crate::custom::Bits); what changes neither kernel nor shapes may be [`Unhashed`](crate::custom::Unhashed).
///
/// ```
/// use ndarray::ArrayD;
/// use wgrad::custom::{Backward, Kernel, Meta, Op};
/// use wgrad::{Device, Error, Result, Tensor, autograd};
///
/// /// Squared distances `[n, m]` between the rows of a `[n, d]` and those of b `[m, d]`.
/// #[derive(Hash)]
/// struct Distances;
///
/// const SHADER: &str = "
///     @compute @workgroup_size(64)
///     fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
///             @builtin(local_invocation_index) invocation: u32) {
///         let i = workgroup_index(group, groups) * 64u + invocation;
///         if (i >= params.total) { return; }
///         var sum = 0.0;
///         for (var k = 0u; k < params.d; k++) {
///             let gap = load_a(i / params.m * params.d + k) - load_b(i % params.m * params.d + k);
///             sum += gap * gap;
///         }
///         store(i, sum);
///     }";
///
/// impl Op for Distances {
///     fn name(&self) -> &str {
///         "distances"
///     }
///     fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
///         let (a, b) = (&inputs[0].shape, &inputs[1].shape);
///         if a.rank() != 2 || b.rank() != 2 || a[1] != b[1] || inputs[0].dtype != inputs[1].dtype {
///             return Err(Error::shape("distances", "takes [n, d] and [m, d] of one type", &[a, b]));
///         }
///         Ok(Meta::new([a[0], b[0]], inputs[0].dtype))
///     }
///     fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel {
///         let total = output.numel();
///         Kernel::new("distances", &[SHADER])
///             .input("a", 0)
///             .input("b", 1)
///             .size("total", total)
///             .size("d", inputs[0].shape[1])
///             .size("m", output.shape[1])
///             .workgroups(total.div_ceil(64))
///             .stores_once() // so the ops that follow join the kernel
///     }
///     fn reference(&self, inputs: &[ArrayD<f64>], output: &Meta) -> Result<ArrayD<f64>> {
///         let (a, b) = (&inputs[0], &inputs[1]);
///         let square = |i: usize, j: usize| (0..a.shape()[1]).map(|k| (a[[i, k]] - b[[j, k]]).powi(2)).sum();
///         Ok(ArrayD::from_shape_fn(&output.shape[..], |at| square(at[0], at[1])))
///     }
///     fn backward(&self, cx: &Backward) -> Result<Vec<Option<Tensor>>> {
///         // The gradient of row i of a is 2 Σ_j dy_ij (a_i − b_j).
///         let pull = |x: &Tensor, y: &Tensor, dy: &Tensor| (x * dy.sum_dims(&[1], true) - dy.matmul(y)) * 2.0;
///         let (a, b) = (&cx.inputs[0], &cx.inputs[1]);
///         Ok(vec![Some(pull(a, b, cx.dy)), Some(pull(b, a, &cx.dy.t()))])
///     }
/// }
///
/// let device = Device::default();
/// let a = Tensor::from_slice(&[0f32, 0.0, 3.0, 4.0], [2, 2], &device);
/// let b = Tensor::from_slice(&[0f32, 0.0, 3.0, 0.0, 0.0, 1.0], [3, 2], &device);
/// let distances = Distances.apply(&[&a, &b]);
/// assert_eq!(distances.sqrt().to_vec::<f32>()?[..4], [0.0, 3.0, 1.0, 5.0]);
/// autograd::gradcheck(|x| Distances.apply(&[&x[0], &x[1]]), &[&a, &b], 1e-6)?;
/// assert!(Distances.apply(&[&a, &b.t()]).check().is_err());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Op: Hash + Send + Sync + Sized + 'static {
    /// Name in errors, logs and pictures.
    fn name(&self) -> &str;

    /// Shape and type of the output.
    ///
    /// # Errors
    /// Where the inputs do not fit, which are as many as were given to [`Op::apply`]; the caller adds the source line.
    fn infer(&self, inputs: &[&Meta]) -> Result<Meta>;

    /// How the op runs on a GPU. What is wrong with it is the error of what is computed from it.
    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> Kernel;

    /// The output on the CPU reference, in f64 whatever the types are: simple, and written independently of the kernel, since the one is
    /// compared with the other. By default an error.
    ///
    /// # Errors
    /// Where the values are bad.
    fn reference(&self, _inputs: &[ArrayD<f64>], _output: &Meta) -> Result<ArrayD<f64>> {
        Err(Error::unsupported(self.name(), "it has no CPU reference (custom::Op::reference)"))
    }

    /// The gradient of each input, `None` where it gets none. Of differentiable ops, so that gradients of gradients follow. By default an
    /// error.
    ///
    /// # Errors
    /// Where the op has no gradient.
    fn backward(&self, _cx: &Backward) -> Result<Vec<Option<Tensor>>> {
        let detail = "this op has no gradient (custom::Op::backward)".into();
        Err(Error::Autograd { op: self.name().into(), detail, at: Default::default() })
    }

    /// Whether gradients can flow through the op; `false` for comparisons, indices and the like.
    fn differentiable(&self) -> bool {
        true
    }

    /// Applies the op to tensors of one device, of which there is one at least.
    #[track_caller]
    fn apply(self, inputs: &[&Tensor]) -> Tensor {
        let at = Location::caller();
        let Some(first) = inputs.first() else {
            let device = Device::cpu();
            let error = Error::argument(self.name(), "no inputs were given").or_at(at);
            return Tensor::from_var(Var::failed(error, device.context(), at), &device);
        };
        let vars: Vec<Var> = inputs.iter().map(|t| t.node()).collect();
        let built = with_location(at, || Var::apply(User(self), &vars.iter().collect::<Vec<_>>()));
        first.build(at, |_| Ok(built))
    }
}

/// What a gradient rule sees.
#[non_exhaustive]
pub struct Backward<'a> {
    /// The op's inputs.
    pub inputs: &'a [Tensor],
    /// The op's output.
    pub output: &'a Tensor,
    /// Gradient of the loss with respect to the output (the upstream gradient), of the output's shape.
    pub dy: &'a Tensor,
    /// Which inputs need a gradient.
    pub needs: &'a [bool],
    /// Whether the gradient will itself be differentiated.
    pub create_graph: bool,
}

impl Backward<'_> {
    /// What a rule in tensors gives, in nodes.
    pub(super) fn of(
        cx: &Vjp,
        rule: impl FnOnce(&Backward) -> Result<Vec<Option<Tensor>>>,
    ) -> Result<Vec<Option<Var>>> {
        let device = Device::of(&cx.output.0.context)?;
        let tensor = |var: &Var| Tensor::from_var(var.clone(), &device);
        let inputs: Vec<Tensor> = cx.inputs.iter().map(tensor).collect();
        let (output, dy) = (tensor(cx.output), tensor(cx.dy));
        let seen =
            Backward { inputs: &inputs, output: &output, dy: &dy, needs: cx.needs, create_graph: cx.create_graph };
        let gradients = rule(&seen)?;
        Ok(gradients.into_iter().map(|gradient| gradient.map(|tensor| tensor.node())).collect())
    }
}

/// A user's op among the others.
#[derive(Hash)]
struct User<O>(O);

impl<O: Op> crate::graph::Op for User<O> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        self.0.infer(inputs)
    }

    fn kernel(&self, inputs: &[&Meta], output: &Meta) -> kernel::Kernel {
        kernel::Kernel::Routine(Box::new(Dispatches(self.0.kernel(inputs, output), self.name().into())))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let wide = |a: &&Array| ArrayD::from_shape_vec(&a.shape()[..], a.to_f64());
        let inputs: std::result::Result<Vec<_>, _> = inputs.iter().map(wide).collect();
        let inputs = inputs.map_err(|error| Error::internal(self.name(), error.to_string()))?;
        let value = self.0.reference(&inputs, output)?;
        if value.shape() != &output.shape[..] {
            let detail = format!("reference gives shape {:?}, infer {}", value.shape(), output.shape);
            return Err(Error::argument(self.name(), detail));
        }
        let value = Array::from_vec(&output.shape, value.iter().copied().collect::<Vec<f64>>());
        Ok(if output.dtype == DType::F64 { value } else { value.cast(output.dtype) })
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let gradients = Backward::of(cx, |cx| self.0.backward(cx))?;
        if gradients.len() != cx.inputs.len() {
            let detail = format!("backward returned {} gradients for {} inputs", gradients.len(), cx.inputs.len());
            return Err(Error::Autograd { op: self.name().into(), detail, at: Default::default() });
        }
        Ok(gradients)
    }

    fn differentiable(&self) -> bool {
        self.0.differentiable()
    }
}

/// The dispatches of a user's kernel.
struct Dispatches(Kernel, Arc<str>);

impl Routine for Dispatches {
    fn stages(&self, inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        self.0.stages(&self.1, inputs.len())
    }

    fn fuses_epilogue(&self) -> bool {
        self.0.is_stored_once()
    }

    fn is_trusted(&self) -> bool {
        false
    }
}
