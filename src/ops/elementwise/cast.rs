//! Conversions between element types.

use std::sync::{Arc, OnceLock};

use crate::array::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Elementwise, Kernel, WgslFn};
use crate::graph::{Meta, Op, Var, Vjp};

/// Text of the shader file.
pub(super) const SOURCE: &str = include_str!("../../../shaders/elementwise/cast.wgsl");

/// The op behind [`Var::cast`].
#[derive(Hash)]
pub struct Cast(DType);

impl Op for Cast {
    fn name(&self) -> &str {
        "cast"
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(Meta { shape: inputs[0].shape.clone(), dtype: self.0 })
    }
    fn kernel(&self, inputs: &[&Meta], _output: &Meta) -> Kernel {
        static TEXT: OnceLock<Arc<str>> = OnceLock::new();
        let source = TEXT.get_or_init(|| SOURCE.into()).clone();
        let name = format!("cast_{}_{}", inputs[0].dtype.wgsl(), self.0.wgsl());
        let function = Arc::new(WgslFn { name, source, trusted: true });
        Kernel::Elementwise(Elementwise { function, field: None, left_out: Vec::new(), index: false })
    }
    fn reference(&self, inputs: &[&Array], _output: &Meta) -> Result<Array> {
        Ok(inputs[0].cast(self.0))
    }
    fn reference_bytes(&self, _inputs: &[&Meta], output: &Meta) -> u64 {
        output.bytes()
    }
    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let dtype = cx.inputs[0].dtype();
        Ok(vec![dtype.is_float().then(|| cx.dy.cast(dtype))])
    }
}

impl Var {
    /// The same values as another type: to bool by `!= 0`, from float to integer by truncation (saturating).
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Var {
        if self.dtype() == dtype {
            return self.clone();
        }
        match self.scalar_value() {
            // A scalar stays one, so that it goes on travelling as a parameter.
            Some(value) => {
                // A number that stands beside f32 and f64 tensors is rounded where it is used, not before.
                if (self.dtype(), dtype) == (DType::F32, DType::F64) {
                    return Var::live_scalar(value, dtype, self.live(), &self.0.context);
                }
                // As a number beside f16 tensors it keeps its f32 value; what is computed with it is rounded.
                let cast =
                    Array::full(&crate::shape::Shape::scalar(), self.dtype().register(), value).cast(dtype.register());
                // Numbers that live from step to step are floats beside floats, which are f32 in registers either way.
                let live = self.live().filter(|_| self.dtype().is_float() && dtype.is_float());
                Var::live_scalar(cast.to_f64()[0], dtype, live, &self.0.context)
            }
            None => Var::apply(Cast(dtype), &[self]),
        }
    }
}
