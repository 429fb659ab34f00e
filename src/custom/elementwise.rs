//! Elementwise ops from a pair of WGSL functions.

use std::panic::Location;
use std::sync::Arc;

use crate::backend::Device;
use crate::custom::Backward;
use crate::error::{Error, Result};
use crate::graph::{Var, Vjp, with_location};
use crate::ops::elementwise::{Definition, user};
use crate::tensor::Tensor;

/// A user-defined elementwise op: a WGSL pair `<name>_fwd` and, for gradients, `<name>_bwd`. It fuses like a built-in op.
///
/// The parameters of the forward function are the operands (all `f32`). Those of the backward function are any of them by
/// name, the output `y` and the upstream gradient `dy`; with several operands it returns a struct with fields `d<operand>`.
///
/// ```
/// use wgrad::custom::ElementwiseOp;
/// use wgrad::{Device, Tensor};
/// let cube = ElementwiseOp::new(
///     "cube",
///     "fn cube_fwd(x: f32) -> f32 { return x * x * x; }
///      fn cube_bwd(x: f32, dy: f32) -> f32 { return 3.0 * x * x * dy; }",
/// )?
/// .with_reference(|args| args[0].powi(3)) // for the CPU reference
/// .with_derivative(|cx| vec![Some(cx.dy * cx.inputs[0].square() * 3.0)]); // for gradients of gradients
/// let x = Tensor::from_slice(&[2f32], [1], &Device::default()).requires_grad();
/// let y = cube.apply(&[&x]).sum();
/// y.backward()?;
/// assert_eq!((y.item::<f32>()?, x.grad().unwrap().item::<f32>()?), (8.0, 12.0));
/// assert!(ElementwiseOp::new("thrice", "fn other(x: f32) -> f32 { return x; }").is_err()); // no thrice_fwd
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct ElementwiseOp(Arc<Definition>);

impl std::fmt::Debug for ElementwiseOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElementwiseOp").field("name", &self.0.name).field("args", &self.0.args).finish()
    }
}

impl ElementwiseOp {
    /// Parses and validates the text.
    ///
    /// # Errors
    /// [`Error::Shader`] where it is not valid WGSL or lacks the functions described above; positions count its own lines.
    pub fn new(name: &str, wgsl_source: &str) -> Result<ElementwiseOp> {
        user::define(name, wgsl_source).map(|definition| ElementwiseOp(Arc::new(definition)))
    }

    /// The op's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Gives the formula for the CPU reference: the value at one element, from those of the operands.
    pub fn with_reference(self, reference: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> ElementwiseOp {
        ElementwiseOp(Arc::new(self.0.with_reference(Arc::new(reference))))
    }

    /// Gives the gradient as an expression in other ops, one entry per operand, for gradients of gradients.
    pub fn with_derivative(
        self,
        derivative: impl Fn(&Backward) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> ElementwiseOp {
        let in_nodes = move |cx: &Vjp| match Backward::of(cx, |cx| Ok(derivative(cx))) {
            Ok(gradients) => gradients,
            Err(error) => {
                let failed = || Var::failed(error.clone(), &cx.output.0.context, cx.output.0.at);
                cx.inputs.iter().map(|_| Some(failed())).collect()
            }
        };
        ElementwiseOp(Arc::new(self.0.with_derivative(Arc::new(in_nodes))))
    }

    /// Applies the op to tensors of shapes that broadcast, of which there is one at least.
    #[track_caller]
    pub fn apply(&self, operands: &[&Tensor]) -> Tensor {
        let at = Location::caller();
        let Some(first) = operands.first() else {
            let device = Device::cpu();
            let error = Error::argument(self.name(), "no operands were given").or_at(at);
            return Tensor::from_var(Var::failed(error, device.context(), at), &device);
        };
        let vars: Vec<Var> = operands.iter().map(|t| t.node()).collect();
        let built = with_location(at, || user::apply(&self.0, &vars));
        first.build(at, |_| Ok(built))
    }
}
