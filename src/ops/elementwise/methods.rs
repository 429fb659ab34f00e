//! Methods and operators of [`Var`] for the table's rows, with broadcasting and type promotion.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::sync::Arc;

use smallvec::SmallVec;

use super::entries::row;
use super::op::Forward;
use super::table::{Row, RowKind};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Meta, Op, Var, recording};
use crate::shape::Shape;

/// The type that `operands` compute in. Scalars adapt to tensors of their category, as in PyTorch.
fn operand_type(kind: RowKind, operands: &[&Var]) -> DType {
    let tensors = operands.iter().filter(|v| v.scalar_value().is_none()).map(|v| v.dtype()).max();
    let scalars = operands.iter().filter_map(|v| Some((v.dtype(), v.scalar_value()?)));
    let mut dtype = match tensors {
        None => operands.iter().map(|v| v.dtype()).max().unwrap_or(DType::F32),
        Some(tensor) => scalars.fold(tensor, |dtype, (scalar, value)| {
            let fits = match dtype {
                DType::F16 | DType::F32 | DType::F64 => true,
                // The exact test of a host value, not of a computed one.
                DType::I32 => f64::from(value as i32) == value,
                DType::U32 => f64::from(value as u32) == value,
                DType::Bool => scalar == DType::Bool,
            };
            match (fits, scalar.is_float() && kind != RowKind::Select || !scalar.is_int()) {
                (true, _) => dtype,
                (false, true) => DType::F32,
                (false, false) => DType::I32,
            }
        }),
    };
    if matches!(kind, RowKind::Float | RowKind::Test) && !dtype.is_float() {
        dtype = DType::F32;
    }
    match kind {
        RowKind::Number | RowKind::Compare if dtype == DType::Bool => DType::I32,
        RowKind::Logical => DType::Bool,
        _ => dtype,
    }
}

impl Var {
    /// Applies a row of the table to operands of any shapes that broadcast and any types that promote.
    #[track_caller]
    pub fn elementwise(&self, name: &str, rest: &[&Var]) -> Var {
        let at = crate::graph::here();
        match row(name) {
            Some(row) => self.apply_row(row, rest),
            None => Var::failed(Error::argument(name, "no such elementwise op").or_at(at), &self.0.context, at),
        }
    }

    #[track_caller]
    fn apply_row(&self, row: &'static Row, rest: &[&Var]) -> Var {
        let operands: SmallVec<[&Var; 4]> = std::iter::once(self).chain(rest.iter().copied()).collect();
        let values = usize::from(row.kind == RowKind::Select);
        let dtype = operand_type(row.kind, &operands[values..]);
        let cast = |(i, v): (usize, &&Var)| v.cast(if i < values { DType::Bool } else { dtype });
        let operands: SmallVec<[Var; 4]> = operands.iter().enumerate().map(cast).collect();
        if let Some(constant) = fold(row, &operands) {
            return constant;
        }
        broadcast(Forward(row.definition()), &operands)
    }

    /// Zeros of this value's shape and type.
    #[track_caller]
    pub fn zeros(&self) -> Var {
        self.scalar_like(0.0).expand(self.shape())
    }

    /// `x^n` for a whole number.
    #[track_caller]
    pub fn powi(&self, exponent: i32) -> Var {
        self.powf(f64::from(exponent))
    }

    /// `value` where `mask` holds, else this.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Var, value: f64) -> Var {
        mask.where_(&self.scalar_like(value), self)
    }
}

/// Rows whose values IEEE 754 defines to the bit.
const EXACT: [&str; 6] = ["neg", "abs", "add", "sub", "mul", "div"];

/// The op as a number, where all operands are numbers that stay as they are: gradients of losses begin with such. Not where it is no finite
/// number, so that whoever looks for the op that made it finds it; and not in a step that is recorded, where a number may be what a variable
/// holds for now.
#[track_caller]
fn fold(row: &Row, operands: &[Var]) -> Option<Var> {
    if recording::active() {
        return None;
    }
    let mut values: SmallVec<[f64; 4]> = SmallVec::new();
    for v in operands {
        values.push(v.scalar_value().filter(|_| !v.0.tracked && v.live().is_none())?);
    }
    let (dtype, context) = (operands[0].dtype(), &operands[0].0.context);
    if !EXACT.contains(&row.name) || !operands.iter().all(|v| Arc::ptr_eq(&v.0.context, context)) {
        return None;
    }
    let value = match dtype {
        DType::F32 => f64::from((row.reference.f32)(&values.iter().map(|&v| v as f32).collect::<SmallVec<[f32; 4]>>())),
        DType::F64 => (row.reference.f64)(&values),
        _ => return None,
    };
    value.is_finite().then(|| Var::scalar(value, dtype, context))
}

/// Expands the operands to their common shape and applies `op`.
#[track_caller]
pub(super) fn broadcast(op: Forward, operands: &[Var]) -> Var {
    let at = crate::graph::here();
    let name = &op.0.name;
    let shape = operands.iter().try_fold(Shape::scalar(), |shape, v| shape.broadcast(name, v.shape()));
    let shape = match shape {
        Ok(shape) => shape,
        Err(error) => {
            // What fits is broadcast; an error that an operand carries comes first.
            let fitting = |shape: Shape, v: &Var| shape.broadcast(name, v.shape()).unwrap_or(shape);
            let shape = operands.iter().fold(Shape::scalar(), fitting);
            let metas: SmallVec<[Meta; 4]> = operands.iter().map(|v| Meta::new(shape.clone(), v.dtype())).collect();
            let known = op.infer(&metas.iter().collect::<SmallVec<[&Meta; 4]>>());
            let error = operands.iter().find_map(|v| v.0.error.clone()).unwrap_or_else(|| error.or_at(at));
            return Var::failed_as(error, known.ok().or(metas.into_iter().next()), &operands[0].0.context, at);
        }
    };
    let expand = |v: &Var| if v.scalar_value().is_some() { v.clone() } else { v.expand(&shape) };
    let operands: SmallVec<[Var; 4]> = operands.iter().map(expand).collect();
    let inputs: SmallVec<[&Var; 4]> = operands.iter().collect();
    Var::apply(op, &inputs)
}

macro_rules! methods {
    ($(
        #[doc = $doc:literal]
        $name:ident ( $first:ident $(, $rest:ident)* $(; $($scalar:ident),+)? ) $kind:ident { $($body:tt)* }
    )*) => {
        impl Var {$(
            #[doc = $doc]
            #[track_caller]
            pub fn $name(&self $(, $rest: &Var)* $($(, $scalar: impl IntoScalar)+)?) -> Var {
                self.elementwise(stringify!($name), &[$($rest,)* $($(&$scalar.into_scalar(self),)+)?])
            }
        )*}
    };
}
crate::for_each_elementwise!(methods);

/// A scalar operand: a number, or a scalar node.
pub trait IntoScalar {
    /// The scalar node, on the device of `like`.
    fn into_scalar(self, like: &Var) -> Var;
}
impl IntoScalar for f64 {
    #[track_caller]
    fn into_scalar(self, like: &Var) -> Var {
        let dtype = if like.dtype().is_float() { like.dtype() } else { DType::F32 };
        Var::scalar(self, dtype, &like.0.context)
    }
}
impl IntoScalar for f32 {
    #[track_caller]
    fn into_scalar(self, like: &Var) -> Var {
        f64::from(self).into_scalar(like)
    }
}
impl IntoScalar for &Var {
    fn into_scalar(self, _like: &Var) -> Var {
        self.clone()
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $name:literal),*) => {$(
        operators!(@pair $trait $method $name [&Var, &Var] [&Var, Var] [Var, &Var] [Var, Var]);
        impl $trait<f64> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: f64) -> Var {
                self.elementwise($name, &[&other.into_scalar(self)])
            }
        }
        impl $trait<f64> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: f64) -> Var {
                self.elementwise($name, &[&other.into_scalar(&self)])
            }
        }
        impl $trait<&Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: &Var) -> Var {
                self.into_scalar(other).elementwise($name, &[other])
            }
        }
        impl $trait<Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: Var) -> Var {
                self.into_scalar(&other).elementwise($name, &[&other])
            }
        }
    )*};
    (@pair $trait:ident $method:ident $name:literal $([$a:ty, $b:ty])*) => {$(
        impl $trait<$b> for $a {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: $b) -> Var {
                Var::elementwise(&self, $name, &[&other])
            }
        }
    )*};
}
operators!(Add add "add", Sub sub "sub", Mul mul "mul", Div div "div", Rem rem "fmod");

impl Neg for &Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        self.elementwise("neg", &[])
    }
}
impl Neg for Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        self.elementwise("neg", &[])
    }
}
