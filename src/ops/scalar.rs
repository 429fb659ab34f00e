//! A single value known on the host. It travels as a kernel parameter, so that a new value compiles nothing.

use std::any::Any;
use std::sync::Arc;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::Kernel;
use crate::graph::number::Live;
use crate::graph::{Context, Meta, Op, Unhashed, Var};
use crate::shape::Shape;

/// The op behind [`Var::scalar`].
#[derive(Hash)]
pub struct Scalar {
    /// The value; integers and booleans are exact in f64.
    pub value: Unhashed<f64>,
    dtype: DType,
    /// Where replays of a captured step find theirs.
    live: Unhashed<Option<Live>>,
}

impl Op for Scalar {
    fn name(&self) -> &str {
        "scalar"
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Meta> {
        Ok(Meta::new((), self.dtype))
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Scalar(self.value.0)
    }
    fn reference(&self, _inputs: &[&Array], output: &Meta) -> Result<Array> {
        Ok(Array::full(&Shape::scalar(), output.dtype, self.value.0))
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn is_source(&self) -> bool {
        true
    }
}

impl Var {
    /// A scalar (shape `[]`) on the device of `context`. Elementwise ops take it beside operands of any shape.
    #[track_caller]
    pub fn scalar(value: f64, dtype: DType, context: &Arc<Context>) -> Var {
        Var::live_scalar(value, dtype, None, context)
    }

    /// [`Var::scalar`] of a number that differs from run to run of a captured step.
    #[track_caller]
    pub fn live_scalar(value: f64, dtype: DType, live: Option<Live>, context: &Arc<Context>) -> Var {
        Var::apply_in(Arc::new(Scalar { value: Unhashed(value), dtype, live: Unhashed(live) }), &[], context)
    }

    /// Where replays find the value of this scalar.
    pub fn live(&self) -> Option<Live> {
        let op: &dyn Any = &*self.0.op;
        op.downcast_ref::<Scalar>().and_then(|scalar| scalar.live.0.clone())
    }

    /// A scalar of this value's type on its device.
    #[track_caller]
    pub fn scalar_like(&self, value: f64) -> Var {
        Var::scalar(value, self.dtype(), &self.0.context)
    }

    /// A number as it stands beside this value: as it is beside f64, else rounded to f32.
    pub(crate) fn number(&self, number: impl Into<f64>) -> f64 {
        let number = number.into();
        if self.dtype() == DType::F64 { number } else { f64::from(number as f32) }
    }

    /// The value, where this node is a scalar known on the host.
    pub fn scalar_value(&self) -> Option<f64> {
        let op: &dyn Any = &*self.0.op;
        op.downcast_ref::<Scalar>().map(|scalar| scalar.value.0)
    }
}

/// How a number travels as a kernel parameter of `dtype`.
pub fn bits(value: f64, dtype: DType) -> u32 {
    match dtype {
        DType::F16 | DType::F32 | DType::F64 => (value as f32).to_bits(),
        DType::I32 => value as i32 as u32,
        DType::U32 => value as u32,
        DType::Bool => u32::from(value != 0.0),
    }
}
