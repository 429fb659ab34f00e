//! Elementwise ops.

use crate::ops::Run;

/// `match` on the name, with arms for methods without arguments, methods of a second tensor or number, and others.
macro_rules! table {
    ($op:expr; unary $($unary:ident)*; binary $($binary:ident)*; scalar $($scalar:ident($name:literal))*; $($other:literal => $run:expr,)*) => {
        match $op {
            $(stringify!($unary) => |x, _, _| vec![x[0].$unary()],)*
            $(stringify!($binary) => |x, a, _| vec![if a.has("scalar") { x[0].$binary(a.f32("scalar")) } else { x[0].$binary(&x[1]) }],)*
            $(stringify!($scalar) => |x, a, _| vec![x[0].$scalar(a.f32($name))],)*
            $($other => $run,)*
            _ => return None,
        }
    };
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = table! { op;
        unary neg abs sign exp exp2 log log2 log10 log1p expm1 sqrt rsqrt recip square sin cos tan asin acos atan sinh cosh tanh
            erf floor ceil round trunc is_nan is_finite relu selu gelu gelu_tanh silu mish sigmoid log_sigmoid softplus softsign
            hardtanh hardsigmoid hardswish logical_not erfc asinh acosh atanh frac relu6 tanhshrink is_inf;
        binary add sub mul div fmod pow atan2 maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor
            hypot logaddexp xlogy remainder copysign heaviside floor_divide;
        scalar leaky_relu("slope") elu("alpha") celu("alpha") hardshrink("lambda") softshrink("lambda") clamp_min("low") clamp_max("high") powf("exponent");
        "powi" => |x, a, _| vec![x[0].powi(a.int("exponent") as i32)],
        "threshold" => |x, a, _| vec![x[0].threshold(a.f32("limit"), a.f32("value"))],
        "clamp" => |x, a, _| vec![x[0].clamp(a.f32("low"), a.f32("high"))],
        "lerp" => |x, a, _| vec![x[0].lerp(&x[1], a.f32("weight"))],
        "addcmul" => |x, a, _| vec![x[0].addcmul(&x[1], &x[2], a.f32("value"))],
        "addcdiv" => |x, a, _| vec![x[0].addcdiv(&x[1], &x[2], a.f32("value"))],
        "where" => |x, _, _| vec![x[0].where_(&x[1], &x[2])],
        "masked_fill" => |x, a, _| vec![x[0].masked_fill(&x[1], a.f32("value"))],
        "to_dtype" => |x, a, _| vec![x[0].to_dtype(a.dtype("dtype"))],
    };
    Some(run)
}
