//! The table of elementwise ops: one row per op.
//!
//! A row reads
//! ```text
//! /// Formula, for the docs.
//! name(tensor operands; scalar operands) RowKind {
//!     value: forward formula over `T: Float`,               // the CPU reference; dual numbers differentiate it
//!     int: the same over i64,                              // kinds that take integers; wraps by truncation
//!     grad: |y, dy| [gradient of each tensor operand],     // expressions in other ops; left out: not differentiable
//!     on: [(low, high) of each operand],                   // where tests sample
//!     kinks: [points of the first operand to keep away from in finite differences],
//! }
//! ```
//! and stands beside `shaders/elementwise/<name>.wgsl`. The rows are kept as macros that hand them to a callback, so that
//! methods, docs, tests and benchmarks are generated from them.

use std::sync::{Arc, OnceLock};

use super::op::Definition;
use crate::graph::{Var, Vjp};
use crate::ops::float::Dual;

/// Which element types an op takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Floats to float; integers are promoted to f32.
    Float,
    /// Floats or integers, all of one type, to that type.
    Number,
    /// Numbers of one type to bool.
    Compare,
    /// Bools to bool.
    Logical,
    /// A float to bool.
    Test,
    /// A bool and two values of one type, any, to that type.
    Select,
}

/// The CPU reference of an op.
#[derive(Clone, Copy)]
pub struct Reference {
    /// The formula in f32.
    pub f32: fn(&[f32]) -> f32,
    /// The formula in f64; bools are 0 and 1.
    pub f64: fn(&[f64]) -> f64,
    /// The formula in dual numbers.
    pub dual: fn(&[Dual<f64>]) -> Dual<f64>,
    /// The formula in integers; truncation to 32 bits makes it wrap.
    pub int: Option<fn(&[i64]) -> i64>,
}

/// A derivative as an expression in other ops: one entry for each tensor operand.
pub type Derivative = fn(&Vjp) -> Vec<Option<Var>>;

/// One elementwise op.
pub struct Row {
    /// Name of the op and of the method.
    pub name: &'static str,
    /// One line with the formula.
    pub doc: &'static str,
    /// The shader file below `shaders/`, without ending.
    pub file: &'static str,
    /// Text of the shader file.
    pub wgsl: &'static str,
    /// Names of the operands, tensors first.
    pub args: &'static [&'static str],
    /// How many operands are tensors.
    pub tensors: usize,
    /// Element types.
    pub kind: RowKind,
    /// CPU reference.
    pub reference: Reference,
    /// Gradient expression.
    pub derivative: Option<Derivative>,
    /// Interval of each operand that tests sample from.
    pub domain: &'static [(f64, f64)],
    /// Values of the first operand (or of the difference of the first two) at which the derivative jumps.
    pub kinks: &'static [f64],
    /// Relative tolerance of shaders against the reference (absolute below 1).
    pub tolerance: f64,
    pub(super) definition: OnceLock<Arc<Definition>>,
}

/// Hands the rows of one-operand functions to a callback macro.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_unary {
    ($callback:ident) => {
        $callback! {
            /// `-x`
            neg(x) Number { value: -x, int: x.wrapping_neg(), grad: |y, dy| [-dy], on: [(-3.0, 3.0)], kinks: [], }
            /// `|x|`; the gradient at 0 is 0.
            abs(x) Number { value: x.abs(), int: x.wrapping_abs(), grad: |y, dy| [dy * x.sign()], on: [(-3.0, 3.0)], kinks: [0.0], }
            /// `1`, `0` or `-1` by the sign of `x`, and `0` for NaN; the gradient is 0.
            sign(x) Number {
                value: x.step(|x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 }),
                int: x.signum(), grad: |y, dy| [dy.zeros()], on: [(-3.0, 3.0)], kinks: [0.0],
            }
            /// `e^x`
            exp(x) Float { value: x.exp(), grad: |y, dy| [dy * y], on: [(-5.0, 5.0)], kinks: [], }
            /// `2^x`
            exp2(x) Float { value: T::of(2.0).pow(x), grad: |y, dy| [dy * y * LN_2], on: [(-5.0, 5.0)], kinks: [], }
            /// `ln x`
            log(x) Float { value: x.ln(), grad: |y, dy| [dy / x], on: [(0.05, 5.0)], kinks: [], }
            /// `ln x / ln 2`
            log2(x) Float { value: x.ln() * T::of(LOG2_E), grad: |y, dy| [dy * LOG2_E / x], on: [(0.05, 5.0)], kinks: [], }
            /// `ln x / ln 10`
            log10(x) Float { value: x.ln() * T::of(LOG10_E), grad: |y, dy| [dy * LOG10_E / x], on: [(0.05, 5.0)], kinks: [], }
            /// `ln(1 + x)`, accurate near 0.
            log1p(x) Float { value: x.log1p(), grad: |y, dy| [dy / (1.0 + x)], on: [(-0.9, 3.0)], kinks: [], }
            /// `e^x - 1`, accurate near 0.
            expm1(x) Float { value: x.expm1(), grad: |y, dy| [dy * (y + 1.0)], on: [(-3.0, 3.0)], kinks: [], }
            /// `√x`
            sqrt(x) Float { value: x.sqrt(), grad: |y, dy| [0.5 * dy / y], on: [(0.05, 5.0)], kinks: [], }
            /// `1 / √x`
            rsqrt(x) Float { value: T::of(1.0) / x.sqrt(), grad: |y, dy| [-0.5 * dy * y * y * y], on: [(0.1, 5.0)], kinks: [], }
            /// `1 / x`
            recip(x) Float { value: T::of(1.0) / x, grad: |y, dy| [-(dy * y * y)], on: [(0.2, 3.0)], kinks: [], }
            /// `x²`
            square(x) Number { value: x * x, int: x.wrapping_mul(x), grad: |y, dy| [2.0 * dy * x], on: [(-3.0, 3.0)], kinks: [], }
            /// `sin x`
            sin(x) Float { value: x.sin(), grad: |y, dy| [dy * x.cos()], on: [(-6.0, 6.0)], kinks: [], }
            /// `cos x`
            cos(x) Float { value: x.cos(), grad: |y, dy| [-(dy * x.sin())], on: [(-6.0, 6.0)], kinks: [], }
            /// `tan x`
            tan(x) Float { value: x.tan(), grad: |y, dy| [dy * (1.0 + y.square())], on: [(-1.2, 1.2)], kinks: [], }
            /// `arcsin x`
            asin(x) Float { value: x.asin(), grad: |y, dy| [dy / ((1.0 - x) * (1.0 + x)).sqrt()], on: [(-0.95, 0.95)], kinks: [], }
            /// `arccos x`
            acos(x) Float { value: x.acos(), grad: |y, dy| [-(dy / ((1.0 - x) * (1.0 + x)).sqrt())], on: [(-0.95, 0.95)], kinks: [], }
            /// `arctan x`
            atan(x) Float { value: x.atan(), grad: |y, dy| [dy / (1.0 + x.square())], on: [(-5.0, 5.0)], kinks: [], }
            /// `(e^x - e^-x) / 2`
            sinh(x) Float { value: x.sinh(), grad: |y, dy| [dy * x.cosh()], on: [(-3.0, 3.0)], kinks: [], }
            /// `(e^x + e^-x) / 2`
            cosh(x) Float { value: x.cosh(), grad: |y, dy| [dy * x.sinh()], on: [(-3.0, 3.0)], kinks: [], }
            /// `(e^x - e^-x) / (e^x + e^-x)`
            tanh(x) Float { value: x.tanh(), grad: |y, dy| [dy * (1.0 - y.square())], on: [(-3.0, 3.0)], kinks: [], }
            /// `2/√π ∫₀ˣ e^(-t²) dt`
            erf(x) Float { value: x.erf(), grad: |y, dy| [dy * FRAC_2_SQRT_PI * (-x.square()).exp()], on: [(-3.0, 3.0)], kinks: [], }
            /// `1 - erf x`, without cancellation for large `x`.
            erfc(x) Float { value: x.erfc(), grad: |y, dy| [dy * -FRAC_2_SQRT_PI * (-x.square()).exp()], on: [(-3.0, 3.0)], kinks: [], }
            /// `arsinh x = ln(x + √(x² + 1))`
            asinh(x) Float { value: x.chain(f64::asinh, |x| 1.0 / x.hypot(1.0)), grad: |y, dy| [dy / (x.square() + 1.0).sqrt()], on: [(-3.0, 3.0)], kinks: [], }
            /// `arcosh x = ln(x + √(x² - 1))`
            acosh(x) Float { value: x.chain(f64::acosh, |x| 1.0 / (x * x - 1.0).sqrt()), grad: |y, dy| [dy / ((x - 1.0) * (x + 1.0)).sqrt()], on: [(1.1, 4.0)], kinks: [], }
            /// `artanh x = ln((1 + x) / (1 - x)) / 2`
            atanh(x) Float { value: x.chain(f64::atanh, |x| 1.0 / (1.0 - x * x)), grad: |y, dy| [dy / ((1.0 - x) * (1.0 + x))], on: [(-0.9, 0.9)], kinks: [], }
            /// `x - trunc x`, with the sign of `x`.
            frac(x) Float { value: x.chain(|x| x - x.trunc(), |_| 1.0), grad: |y, dy| [dy.clone()], on: [(0.1, 0.9)], kinks: [], }
            /// The largest integer not above `x`; the gradient is 0.
            floor(x) Float { value: x.step(f64::floor), grad: |y, dy| [dy.zeros()], on: [(0.1, 0.9)], kinks: [], }
            /// The smallest integer not below `x`; the gradient is 0.
            ceil(x) Float { value: x.step(f64::ceil), grad: |y, dy| [dy.zeros()], on: [(0.1, 0.9)], kinks: [], }
            /// The nearest integer, ties to even; the gradient is 0.
            round(x) Float { value: x.step(f64::round_ties_even), grad: |y, dy| [dy.zeros()], on: [(0.6, 1.4)], kinks: [], }
            /// `x` without its fraction; the gradient is 0.
            trunc(x) Float { value: x.step(f64::trunc), grad: |y, dy| [dy.zeros()], on: [(0.1, 0.9)], kinks: [], }
            /// Logical not.
            logical_not(x) Logical { value: T::truth(x == T::of(0.0)), on: [(0.0, 1.0)], kinks: [], }
            /// Whether `x` is not a number.
            is_nan(x) Test { value: T::truth(x.is_nan()), on: [(-3.0, 3.0)], kinks: [], }
            /// Whether `x` is neither infinite nor NaN.
            is_finite(x) Test { value: T::truth(x.value().is_finite()), on: [(-3.0, 3.0)], kinks: [], }
            /// Whether `x` is an infinity of either sign.
            is_inf(x) Test { value: T::truth(x.value().is_infinite()), on: [(-3.0, 3.0)], kinks: [], }
        }
    };
}

/// Hands the rows of activation functions to a callback macro.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_activation {
    ($callback:ident) => {
        $callback! {
            /// `max(x, 0)`; the gradient at 0 is 0. (Nair, Hinton 2010)
            relu(x) Float {
                value: if x <= T::of(0.0) { T::of(0.0) } else { x },
                grad: |y, dy| [y.le(&y.scalar_like(0.0)).where_(&dy.zeros(), dy)], on: [(-3.0, 3.0)], kinks: [0.0],
            }
            /// `x` where `x > 0`, else `slope · x`. (Maas, Hannun, Ng 2013)
            leaky_relu(x; slope) Float {
                value: if x > T::of(0.0) { x } else { slope * x },
                grad: |y, dy| [x.gt(&x.scalar_like(0.0)).where_(dy, &(dy * slope))], on: [(-3.0, 3.0), (0.01, 0.3)], kinks: [0.0],
            }
            /// `x` where `x > 0`, else `alpha · (e^x - 1)`. (Clevert, Unterthiner, Hochreiter 2016, arXiv 1511.07289)
            elu(x; alpha) Float {
                value: if x > T::of(0.0) { x } else { alpha * x.expm1() },
                grad: |y, dy| [x.gt(&x.scalar_like(0.0)).where_(dy, &(dy * alpha * x.clamp_max(0.0).exp()))],
                on: [(-3.0, 3.0), (0.5, 1.5)], kinks: [0.0],
            }
            /// `scale · elu(x, alpha)` with fixed constants. (Klambauer et al. 2017, arXiv 1706.02515)
            selu(x) Float {
                value: T::of(SELU_SCALE) * if x > T::of(0.0) { x } else { T::of(SELU_ALPHA) * x.expm1() },
                grad: |y, dy| [SELU_SCALE * x.gt(&x.scalar_like(0.0)).where_(dy, &(SELU_ALPHA * dy * x.clamp_max(0.0).exp()))],
                on: [(-3.0, 3.0)], kinks: [0.0],
            }
            /// `x/2 · (1 + erf(x / √2))`. (Hendrycks, Gimpel 2016, arXiv 1606.08415)
            gelu(x) Float {
                value: if x == T::of(f64::NEG_INFINITY) { T::of(0.0) } else { T::of(0.5) * x * (-x * T::of(FRAC_1_SQRT_2)).erfc() },
                grad: |y, dy| [dy * (0.5 * (x * -FRAC_1_SQRT_2).erfc()
                    + x * (0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI) * (-0.5 * x.square()).exp())],
                on: [(-4.0, 4.0)], kinks: [],
            }
            /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`. (Hendrycks, Gimpel 2016, arXiv 1606.08415)
            gelu_tanh(x) Float {
                value: if x == T::of(f64::NEG_INFINITY) { T::of(0.0) } else {
                    // 1 + tanh u = 2 sigmoid(2u), which does not cancel.
                    x * (T::of(2.0 * SQRT_2_OVER_PI) * (x + T::of(0.044715) * x * x * x)).sigmoid()
                },
                grad: |y, dy| [{
                    let s = (2.0 * SQRT_2_OVER_PI * (x + 0.044715 * x * x.square())).sigmoid();
                    let slope = 2.0 * SQRT_2_OVER_PI * (1.0 + (3.0 * 0.044715) * x.square());
                    dy * &s * (1.0 + x * (1.0 - &s) * slope)
                }],
                on: [(-4.0, 4.0)], kinks: [],
            }
            /// `x · sigmoid(x)`. (Elfwing, Uchibe, Doya 2018, arXiv 1702.03118)
            silu(x) Float {
                value: if x == T::of(f64::NEG_INFINITY) { T::of(0.0) } else { x * x.sigmoid() },
                grad: |y, dy| [{ let s = x.sigmoid(); dy * &s * (1.0 + x * (1.0 - &s)) }], on: [(-4.0, 4.0)], kinks: [],
            }
            /// `x · tanh(softplus(x))`. (Misra 2019, arXiv 1908.08681)
            mish(x) Float {
                value: if x == T::of(f64::NEG_INFINITY) { T::of(0.0) } else { x * x.softplus().tanh() },
                grad: |y, dy| [{ let t = x.softplus().tanh(); dy * (&t + x * x.sigmoid() * (1.0 - t.square())) }],
                on: [(-4.0, 4.0)], kinks: [],
            }
            /// `1 / (1 + e^-x)`
            sigmoid(x) Float { value: x.sigmoid(), grad: |y, dy| [dy * y * (1.0 - y)], on: [(-4.0, 4.0)], kinks: [], }
            /// `ln sigmoid(x)`
            log_sigmoid(x) Float { value: -(-x).softplus(), grad: |y, dy| [dy * (-x).sigmoid()], on: [(-4.0, 4.0)], kinks: [], }
            /// `ln(1 + e^x)`. (Dugas et al. 2000)
            softplus(x) Float { value: x.softplus(), grad: |y, dy| [dy * x.sigmoid()], on: [(-4.0, 4.0)], kinks: [], }
            /// `x / (1 + |x|)`. (Turian, Bergstra, Bengio 2009)
            softsign(x) Float {
                value: if x.value().is_infinite() { x.step(f64::signum) } else { x / (T::of(1.0) + x.abs()) },
                grad: |y, dy| [dy * (1.0 + x.abs()).recip().square()],
                // The slope is continuous at 0, but |x| has none there in dual numbers.
                on: [(-3.0, 3.0)], kinks: [0.0],
            }
            /// `x` clamped to `[0, 6]`; the gradient at the bounds is 0. (Krizhevsky 2010)
            relu6(x) Float {
                value: if x <= T::of(0.0) { T::of(0.0) } else if x >= T::of(6.0) { T::of(6.0) } else { x },
                grad: |y, dy| [y.le(&y.scalar_like(0.0)).logical_or(&y.ge(&y.scalar_like(6.0))).where_(&dy.zeros(), dy)],
                on: [(-3.0, 9.0)], kinks: [0.0, 6.0],
            }
            /// `x` where `x > 0`, else `alpha · (e^(x / alpha) - 1)`. (Barron 2017, arXiv 1704.07483)
            celu(x; alpha) Float {
                value: if x > T::of(0.0) { x } else { alpha * (x / alpha).expm1() },
                grad: |y, dy| [x.gt(&x.scalar_like(0.0)).where_(dy, &(dy * (x.clamp_max(0.0) / alpha).exp()))],
                on: [(-3.0, 3.0), (0.5, 1.5)], kinks: [0.0],
            }
            /// `x` where `|x| > lambda`, else `0`; the gradient at the bounds is 0. (Donoho 1995)
            hardshrink(x; lambda) Float {
                value: if x > lambda || x < -lambda || x.is_nan() { x } else { T::of(0.0) },
                grad: |y, dy| [x.abs().le(lambda).where_(&dy.zeros(), dy)],
                on: [(-3.0, 3.0), (0.5, 0.5)], kinks: [-0.5, 0.5],
            }
            /// `x - tanh x`
            tanhshrink(x) Float {
                value: x.chain(|x| if x.abs() < 1e-3 { x * x * x / 3.0 } else { x - x.tanh() }, |x| x.tanh() * x.tanh()),
                grad: |y, dy| [dy * x.tanh().square()], on: [(-3.0, 3.0)], kinks: [],
            }
            /// `x` where `x > limit`, else `value`; the gradient at the limit is 0.
            threshold(x; limit, value) Float {
                value: if x <= limit { value } else { x },
                grad: |y, dy| [x.le(limit).where_(&dy.zeros(), dy)],
                on: [(-3.0, 3.0), (0.5, 0.5), (-1.0, 2.0)], kinks: [0.5],
            }
            /// `x` clamped to `[-1, 1]`; the gradient at the bounds is 0. (Collobert 2004)
            hardtanh(x) Float {
                value: if x <= T::of(-1.0) { T::of(-1.0) } else if x >= T::of(1.0) { T::of(1.0) } else { x },
                grad: |y, dy| [y.abs().ge(&y.scalar_like(1.0)).where_(&dy.zeros(), dy)], on: [(-3.0, 3.0)], kinks: [-1.0, 1.0],
            }
            /// `(x + 3) / 6` clamped to `[0, 1]`; the gradient at the bounds is 0. (Courbariaux et al. 2015)
            hardsigmoid(x) Float {
                value: if x <= T::of(-3.0) { T::of(0.0) } else if x >= T::of(3.0) { T::of(1.0) } else { x / T::of(6.0) + T::of(0.5) },
                grad: |y, dy| [x.abs().ge(&x.scalar_like(3.0)).where_(&dy.zeros(), &(dy / 6.0))],
                on: [(-5.0, 5.0)], kinks: [-3.0, 3.0],
            }
            /// `x · hardsigmoid(x)`. (Howard et al. 2019, arXiv 1905.02244)
            hardswish(x) Float {
                value: if x <= T::of(-3.0) { T::of(0.0) } else if x >= T::of(3.0) { x } else { x * (x / T::of(6.0) + T::of(0.5)) },
                grad: |y, dy| [x.le(&x.scalar_like(-3.0)).where_(&dy.zeros(),
                    &x.ge(&x.scalar_like(3.0)).where_(dy, &(dy * (x / 3.0 + 0.5))))],
                on: [(-5.0, 5.0)], kinks: [-3.0, 3.0],
            }
            /// `x - lambda` where `x > lambda`, `x + lambda` where `x < -lambda`, else `0`; the gradient at the bounds is 0. (Donoho 1995)
            softshrink(x; lambda) Float {
                value: if x > lambda { x - lambda } else if x < -lambda { x + lambda } else { x * T::of(0.0) },
                grad: |y, dy| [x.abs().le(lambda).where_(&dy.zeros(), dy)],
                on: [(-3.0, 3.0), (0.5, 0.5)], kinks: [-0.5, 0.5],
            }
        }
    };
}

/// Hands the rows of functions of several operands to a callback macro.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_binary {
    ($callback:ident) => {
        $callback! {
            /// `a + b`
            add(a, b) Number { value: a + b, int: a.wrapping_add(b), grad: |y, dy| [dy.clone(), dy.clone()], on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a - b`
            sub(a, b) Number { value: a - b, int: a.wrapping_sub(b), grad: |y, dy| [dy.clone(), -dy], on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a · b`
            mul(a, b) Number { value: a * b, int: a.wrapping_mul(b), grad: |y, dy| [dy * b, dy * a], on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a / b`; two integers give f32.
            div(a, b) Float { value: a / b, grad: |y, dy| [dy / b, -(dy / b * y)], on: [(-3.0, 3.0), (0.3, 3.0)], kinks: [], }
            /// `a - b · trunc(a / b)`, with the sign of `a`; an integer modulo 0 is 0.
            fmod(a, b) Number {
                value: if b == T::of(0.0) { T::of(f64::NAN) } else if b.value().is_infinite() && a.value().is_finite() { a } else {
                    let remainder = a.value() % b.value();
                    a.chain(|_| remainder, |_| 1.0) - b.chain(|_| 0.0, |b| (a.value() / b).trunc())
                },
                int: a.checked_rem(b).unwrap_or(0),
                grad: |y, dy| [dy.clone(), -(dy * (a / b).trunc())], on: [(2.2, 2.9), (1.5, 2.0)], kinks: [],
            }
            /// `a^b`, with NaN for a negative base and a fractional exponent.
            pow(a, b) Float {
                value: a.pow(b),
                grad: |y, dy| [
                    b.eq(&b.scalar_like(0.0)).where_(&dy.zeros(), &(dy * b * a.pow(&(b - 1.0)))),
                    a.eq(&a.scalar_like(0.0)).logical_and(&b.ge(&b.scalar_like(0.0))).where_(&dy.zeros(), &(dy * y * a.log()))
                ],
                on: [(0.2, 3.0), (-2.0, 2.0)], kinks: [],
            }
            /// `x^exponent`, with NaN for a negative base and a fractional exponent.
            powf(x; exponent) Float {
                value: x.pow(exponent),
                grad: |y, dy| [if exponent.scalar_value() == Some(0.0) { dy.zeros() } else {
                    dy * exponent * x.elementwise("powf", &[&(exponent - 1.0)])
                }],
                on: [(0.2, 3.0), (-2.5, 2.5)], kinks: [],
            }
            /// The angle of the point `(b, a)` in `[-π, π]`.
            atan2(a, b) Float {
                value: a.atan2(b),
                grad: |y, dy| [dy * b / (a.square() + b.square()), -(dy * a / (a.square() + b.square()))],
                on: [(0.3, 3.0), (-3.0, 3.0)], kinks: [],
            }
            /// The larger of `a` and `b`, NaN where either is; ties share the gradient in halves.
            maximum(a, b) Number {
                value: a.maximum(b), int: a.max(b),
                grad: |y, dy| [
                    dy * (0.5 * (a.ge(b).cast(dy.dtype()) + a.gt(b).cast(dy.dtype()))),
                    dy * (0.5 * (b.ge(a).cast(dy.dtype()) + b.gt(a).cast(dy.dtype())))
                ],
                on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [0.0],
            }
            /// The smaller of `a` and `b`, NaN where either is; ties share the gradient in halves.
            minimum(a, b) Number {
                value: a.minimum(b), int: a.min(b),
                grad: |y, dy| [
                    dy * (0.5 * (a.le(b).cast(dy.dtype()) + a.lt(b).cast(dy.dtype()))),
                    dy * (0.5 * (b.le(a).cast(dy.dtype()) + b.lt(a).cast(dy.dtype())))
                ],
                on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [0.0],
            }
            /// `min(max(x, low), high)`; the gradient passes at the bounds, and NaN passes.
            clamp(x; low, high) Number {
                value: { let floor = if x < low { low } else { x }; if floor > high { high } else { floor } },
                int: x.max(low).min(high),
                grad: |y, dy| [x.lt(low).logical_or(&x.gt(high)).where_(&dy.zeros(), dy)],
                on: [(-3.0, 3.0), (-1.0, -1.0), (1.0, 1.0)], kinks: [-1.0, 1.0],
            }
            /// `max(x, low)`; the gradient passes at the bound, and NaN passes.
            clamp_min(x; low) Number {
                value: if x < low { low } else { x }, int: x.max(low),
                grad: |y, dy| [x.lt(low).where_(&dy.zeros(), dy)], on: [(-3.0, 3.0), (0.5, 0.5)], kinks: [0.5],
            }
            /// `min(x, high)`; the gradient passes at the bound, and NaN passes.
            clamp_max(x; high) Number {
                value: if x > high { high } else { x }, int: x.min(high),
                grad: |y, dy| [x.gt(high).where_(&dy.zeros(), dy)], on: [(-3.0, 3.0), (0.5, 0.5)], kinks: [0.5],
            }
            /// `√(a² + b²)`, without overflow in between.
            hypot(a, b) Float {
                value: a.hypot(b), grad: |y, dy| [dy * (a / y), dy * (b / y)], on: [(0.3, 3.0), (-3.0, 3.0)], kinks: [],
            }
            /// `ln(e^a + e^b)`, without overflow.
            logaddexp(a, b) Float {
                value: if a.value() == b.value() && a.value().is_infinite() { a } else { a.maximum(b) + (-(a - b).abs()).exp().log1p() },
                grad: |y, dy| [dy * (a - b).sigmoid(), dy * (b - a).sigmoid()],
                on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [0.0],
            }
            /// `a · ln b`, and 0 where `a` is 0.
            xlogy(a, b) Float {
                value: if b.is_nan() { b } else if a == T::of(0.0) { a * T::of(0.0) } else { a * b.ln() },
                grad: |y, dy| [
                    a.eq(&a.scalar_like(0.0)).logical_and(&b.le(&b.scalar_like(0.0))).where_(&dy.zeros(), &(dy * b.log())),
                    dy * a / b
                ],
                on: [(0.2, 3.0), (0.2, 3.0)], kinks: [],
            }
            /// `a - b · floor(a / b)`, with the sign of `b`; an integer modulo 0 is 0.
            remainder(a, b) Number {
                value: if b == T::of(0.0) || !a.value().is_finite() { T::of(f64::NAN) } else if b.value().is_infinite() {
                    if a == T::of(0.0) || (a < T::of(0.0)) == (b < T::of(0.0)) { a } else { b }
                } else {
                    let rest = a.value() % b.value();
                    let rest = if rest != 0.0 && (rest < 0.0) != (b.value() < 0.0) { rest + b.value() } else { rest };
                    a.chain(|_| rest, |_| 1.0) - b.chain(|_| 0.0, |b| (a.value() / b).floor())
                },
                int: if b == 0 { 0 } else { ((a % b) + b) % b },
                grad: |y, dy| [dy.clone(), -(dy * a.floor_divide(b))], on: [(-2.9, -2.2), (1.5, 2.0)], kinks: [],
            }
            /// `|a|` with the sign of `b`; the gradient at `a = 0` is 0.
            copysign(a, b) Float {
                value: a.chain(|a| a.copysign(b.value()), |a| if a == 0.0 { 0.0 } else { a.signum() * 1f64.copysign(b.value()) }),
                grad: |y, dy| [dy * a.sign() * y.sign(), dy.zeros()], on: [(0.3, 3.0), (-3.0, 3.0)], kinks: [],
            }
            /// `0` where `x < 0`, `middle` where it is 0, `1` where `x > 0`; `0` for NaN.
            heaviside(x, middle) Number {
                value: if x > T::of(0.0) { T::of(1.0) } else if x == T::of(0.0) { middle } else { T::of(0.0) },
                int: if x < 0 { 0 } else if x > 0 { 1 } else { middle }, on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [0.0],
            }
            /// `floor(a / b)`; an integer by 0 gives 0, an infinite `a` gives NaN.
            floor_divide(a, b) Number {
                value: if a.value().is_infinite() && b != T::of(0.0) { T::of(f64::NAN) } else if a.value().abs() < b.value().abs() && a != T::of(0.0) {
                    T::of(if (a < T::of(0.0)) == (b < T::of(0.0)) { 0.0 } else { -1.0 }) + a * T::of(0.0)
                } else { (a / b).step(f64::floor) },
                int: if b == 0 { 0 } else { a.div_euclid(b) - i64::from(b < 0 && a.rem_euclid(b) != 0) },
                on: [(2.2, 2.9), (1.5, 2.0)], kinks: [],
            }
            /// `a + weight · (b - a)`, exactly `a` at weight 0 and `b` at weight 1.
            lerp(a, b; weight) Float {
                value: if weight.abs() < T::of(0.5) { a + weight * (b - a) } else { b - (b - a) * (T::of(1.0) - weight) },
                grad: |y, dy| [dy * (1.0 - weight), dy * weight], on: [(-3.0, 3.0), (-3.0, 3.0), (0.1, 0.9)], kinks: [],
            }
            /// `x + value · a · b`
            addcmul(x, a, b; value) Float {
                value: x + value * a * b,
                grad: |y, dy| [dy.clone(), dy * value * b, dy * value * a],
                on: [(-3.0, 3.0), (-3.0, 3.0), (-3.0, 3.0), (0.2, 2.0)], kinks: [],
            }
            /// `x + value · a / b`
            addcdiv(x, a, b; value) Float {
                value: x + value * a / b,
                grad: |y, dy| [dy.clone(), dy * value / b, -(dy * value / b * (a / b))],
                on: [(-3.0, 3.0), (-3.0, 3.0), (0.4, 3.0), (0.2, 2.0)], kinks: [],
            }
        }
    };
}

/// Hands the rows of comparisons, logic and choice to a callback macro.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_comparison {
    ($callback:ident) => {
        $callback! {
            /// `a = b`, elementwise.
            eq(a, b) Compare { value: T::truth(a == b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a ≠ b`, elementwise.
            ne(a, b) Compare { value: T::truth(a != b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a < b`, elementwise.
            lt(a, b) Compare { value: T::truth(a < b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a ≤ b`, elementwise.
            le(a, b) Compare { value: T::truth(a <= b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a > b`, elementwise.
            gt(a, b) Compare { value: T::truth(a > b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a ≥ b`, elementwise.
            ge(a, b) Compare { value: T::truth(a >= b), on: [(-3.0, 3.0), (-3.0, 3.0)], kinks: [], }
            /// `a` and `b`.
            logical_and(a, b) Logical { value: a * b, on: [(0.0, 1.0), (0.0, 1.0)], kinks: [], }
            /// `a` or `b`.
            logical_or(a, b) Logical { value: a.maximum(b), on: [(0.0, 1.0), (0.0, 1.0)], kinks: [], }
            /// Either `a` or `b`, not both.
            logical_xor(a, b) Logical { value: T::truth(a != b), on: [(0.0, 1.0), (0.0, 1.0)], kinks: [], }
            /// `a` where the condition holds, else `b`.
            where_(condition, a, b) Select {
                value: if condition == T::of(0.0) { b } else { a },
                grad: |y, dy| [None::<Var>, condition.where_(dy, &dy.zeros()), condition.where_(&dy.zeros(), dy)],
                on: [(0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)], kinks: [],
            }
        }
    };
}

/// Hands every row of the table to a callback macro, one area after the other. The callback is invoked in item position with
/// rows of the form `#[doc = …] name(first, rest…; scalars…) RowKind { … }`.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_elementwise {
    ($callback:ident) => {
        $crate::for_each_unary!($callback);
        $crate::for_each_activation!($callback);
        $crate::for_each_binary!($callback);
        $crate::for_each_comparison!($callback);
    };
}
