//! Methods for every row of the elementwise table, and those built on them.

use std::panic::Location;

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::Var;
use crate::graph::number::Number;
use crate::tensor::Tensor;
use crate::tensor::create::expect_type;

/// The other side of an elementwise op: a tensor or a number (`f64`, `f32`, `i32`, `u32`, `i64`, `usize`).
///
/// Numbers take the type of the tensor beside them: an f64 tensor (CPU reference) computes with the f64 number, an f32 tensor with that
/// number rounded once. Literals are f64, and i32 without a point: integer tensors stay integers beside those. On the left side of an operator
/// stand `f64` and `i32`; an `f32` goes to the right, or through `f64::from`.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&[1f32, 4.0], [2], &device);
/// assert_eq!(x.maximum(2f32).to_vec::<f32>()?, [2.0, 4.0]);
/// assert_eq!(x.maximum(&Tensor::from_slice(&[3f32, 3.0], [2], &device)).to_vec::<f32>()?, [3.0, 4.0]);
/// let n = Tensor::from_slice(&[5i32, 7], [2], &device);
/// assert_eq!((1 + &n * 2).to_vec::<i32>()?, [11, 15]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Operand {
    /// The operand as a node beside `like`.
    #[doc(hidden)]
    fn beside(&self, like: &Var) -> Var;
}

impl Operand for &Tensor {
    fn beside(&self, _like: &Var) -> Var {
        self.node()
    }
}

impl Operand for Tensor {
    fn beside(&self, _like: &Var) -> Var {
        self.node()
    }
}

impl Operand for f32 {
    fn beside(&self, like: &Var) -> Var {
        f64::from(*self).beside(like)
    }
}

impl Operand for f64 {
    // Of type f32 beside integers; beside f64 tensors it is cast, which keeps a number as it is.
    fn beside(&self, like: &Var) -> Var {
        Var::scalar(*self, DType::F32, &like.0.context)
    }
}

impl Operand for Number {
    fn beside(&self, like: &Var) -> Var {
        Var::live_scalar(f64::from(self.value), DType::F32, self.live.clone(), &like.0.context)
    }
}

impl Operand for i32 {
    fn beside(&self, like: &Var) -> Var {
        Var::scalar(f64::from(*self), DType::I32, &like.0.context)
    }
}

// An integer variable of another type. A literal is an i32, the only integer for which operators stand on both sides.
macro_rules! integer_operands {
    ($($t:ty),*) => {$(
        impl Operand for $t {
            fn beside(&self, like: &Var) -> Var {
                let context = &like.0.context;
                let wide = *self as i128;
                if like.dtype().is_float() {
                    return Var::scalar(*self as f64, DType::F32, context);
                }
                match (i32::try_from(wide), u32::try_from(wide)) {
                    (Ok(value), _) => Var::scalar(f64::from(value), DType::I32, context),
                    (_, Ok(value)) if like.dtype() == DType::U32 => Var::scalar(f64::from(value), DType::U32, context),
                    _ => {
                        let at = crate::graph::here();
                        let detail = format!("{self} does not fit {}, the type of the tensor beside it", like.dtype());
                        Var::failed(Error::argument("scalar", detail).or_at(at), context, at)
                    }
                }
            }
        }
    )*};
}
integer_operands!(u32, i64, usize);

macro_rules! methods {
    ($(
        #[doc = $doc:literal]
        $name:ident ( $first:ident $(, $rest:ident)* $(; $($scalar:ident),+)? ) $kind:ident { $($body:tt)* }
    )*) => {
        impl Tensor {$(
            #[doc = $doc]
            #[track_caller]
            pub fn $name(&self $(, $rest: impl Operand)* $($(, $scalar: impl Into<f64>)+)?) -> Tensor {
                $($(let $scalar: f64 = $scalar.into();)+)?
                self.precise(stringify!($name)).build(Location::caller(), |v| {
                    Ok(v.elementwise(stringify!($name), &[
                        $(&$rest.beside(v),)*
                        $($(&$scalar.beside(v),)+)?
                    ]))
                })
            }
        )*}
    };
}

crate::for_each_elementwise!(methods);

impl Tensor {
    /// `x^n` for a whole number.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[2f32, -3.0], [2], &Device::cpu());
    /// assert_eq!(x.powi(3).to_vec::<f32>()?, [8.0, -27.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn powi(&self, exponent: i32) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.powi(exponent)))
    }

    /// `value` where the boolean mask holds, else this tensor.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, -2.0, 3.0], [3], &Device::default());
    /// assert_eq!(x.masked_fill(&x.lt(0.0), 0.0).to_vec::<f32>()?, [1.0, 0.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: impl Into<f64>) -> Tensor {
        let value = value.into();
        self.build(Location::caller(), |v| Ok(mask.node().where_(&v.scalar_like(value), v)))
    }

    /// The remainder with the sign of the dividend, as Rust's `%`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[5.5f32, -5.5], [2], &Device::cpu());
    /// assert_eq!(x.rem(2.0).to_vec::<f32>()?, [1.5, -1.5]);
    /// assert_eq!((&x % 2.0).to_vec::<f32>()?, [1.5, -1.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rem(&self, other: impl Operand) -> Tensor {
        self.fmod(other)
    }

    /// The elements converted to another type: to bool by `≠ 0`, from float to integer by truncation.
    ///
    /// ```
    /// use wgrad::{DType, Device, Tensor};
    /// let x = Tensor::from_slice(&[1.9f32, -1.9], [2], &Device::default());
    /// assert_eq!(x.to_dtype(DType::I32).to_vec::<i32>()?, [1, -1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn to_dtype(&self, dtype: DType) -> Tensor {
        self.build(Location::caller(), |v| {
            expect_type("to_dtype", dtype, &v.0.context)?;
            Ok(v.cast(dtype))
        })
    }

    /// Applies the row of this name in the elementwise table to this tensor and further operands.
    #[doc(hidden)]
    #[track_caller]
    pub fn elementwise(&self, name: &str, rest: &[&Tensor]) -> Tensor {
        let vars: Vec<Var> = rest.iter().map(|t| t.node()).collect();
        self.build(Location::caller(), |v| Ok(v.elementwise(name, &vars.iter().collect::<Vec<_>>())))
    }

    /// Applies any op to this tensor and further operands of the same device.
    #[doc(hidden)]
    #[track_caller]
    pub fn apply_op(&self, op: impl crate::graph::Op, rest: &[&Tensor]) -> Tensor {
        let vars: Vec<Var> = std::iter::once(self).chain(rest.iter().copied()).map(Tensor::node).collect();
        self.build(Location::caller(), |_| Ok(Var::apply(op, &vars.iter().collect::<Vec<_>>())))
    }

    /// A scalar on this tensor's device.
    #[track_caller]
    pub(super) fn scalar_beside(&self, value: impl Operand) -> Tensor {
        self.build(Location::caller(), |v| Ok(value.beside(v)))
    }
}
