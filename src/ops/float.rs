//! The numbers of the CPU reference: `f32`, `f64` and dual numbers over them.
//!
//! A reference formula is written once over [`Float`]. Run on [`Dual`] it gives its own derivative by forward-mode
//! automatic differentiation (R. E. Wengert, "A simple automatic derivative evaluation program", CACM 7(8), 1964; A. Griewank,
//! A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, chapter 3).

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What reference formulas compute with. Comparisons look at the value only.
pub trait Float:
    Copy
    + Debug
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// A constant.
    fn of(value: f64) -> Self;
    /// The value as `f64`, without derivative.
    fn value(self) -> f64;
    /// A number with the given value, and with this number's derivative times `slope`.
    fn chain(self, value: impl FnOnce(f64) -> f64, slope: impl FnOnce(f64) -> f64) -> Self;

    /// Whether this is not a number.
    fn is_nan(self) -> bool {
        self.value().is_nan()
    }
    /// A constant 1 or 0.
    fn truth(condition: bool) -> Self {
        Self::of(f64::from(u8::from(condition)))
    }
    /// `|x|`, with slope 0 at 0.
    fn abs(self) -> Self {
        self.chain(f64::abs, |x| if x == 0.0 { 0.0 } else { x.signum() })
    }
    /// `e^x`
    fn exp(self) -> Self {
        self.chain(f64::exp, f64::exp)
    }
    /// `e^x - 1`
    fn expm1(self) -> Self {
        self.chain(f64::exp_m1, f64::exp)
    }
    /// Natural logarithm.
    fn ln(self) -> Self {
        self.chain(f64::ln, f64::recip)
    }
    /// `ln(1 + x)`
    fn log1p(self) -> Self {
        self.chain(f64::ln_1p, |x| 1.0 / (1.0 + x))
    }
    /// Square root.
    fn sqrt(self) -> Self {
        self.chain(f64::sqrt, |x| 0.5 / x.sqrt())
    }
    /// Sine.
    fn sin(self) -> Self {
        self.chain(f64::sin, f64::cos)
    }
    /// Cosine.
    fn cos(self) -> Self {
        self.chain(f64::cos, |x| -x.sin())
    }
    /// Tangent.
    fn tan(self) -> Self {
        self.chain(f64::tan, |x| 1.0 + x.tan().powi(2))
    }
    /// Inverse sine.
    fn asin(self) -> Self {
        self.chain(f64::asin, |x| 1.0 / (1.0 - x * x).sqrt())
    }
    /// Inverse cosine.
    fn acos(self) -> Self {
        self.chain(f64::acos, |x| -1.0 / (1.0 - x * x).sqrt())
    }
    /// Inverse tangent.
    fn atan(self) -> Self {
        self.chain(f64::atan, |x| 1.0 / (1.0 + x * x))
    }
    /// Hyperbolic sine.
    fn sinh(self) -> Self {
        self.chain(f64::sinh, f64::cosh)
    }
    /// Hyperbolic cosine.
    fn cosh(self) -> Self {
        self.chain(f64::cosh, f64::sinh)
    }
    /// Hyperbolic tangent.
    fn tanh(self) -> Self {
        self.chain(f64::tanh, |x| 1.0 - x.tanh().powi(2))
    }
    /// Error function.
    fn erf(self) -> Self {
        self.chain(erf, |x| std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp())
    }
    /// `1 - erf(x)`
    fn erfc(self) -> Self {
        self.chain(erfc, |x| -std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp())
    }
    /// `√(a² + b²)`
    fn hypot(self, other: Self) -> Self {
        let (a, b) = (self.value(), other.value());
        let y = a.hypot(b);
        self.chain(|a| a.hypot(b), |a| a / y) + other.chain(|_| 0.0, |b| b / y)
    }
    /// `1 / (1 + e^-x)`
    fn sigmoid(self) -> Self {
        self.chain(sigmoid, |x| sigmoid(x) * sigmoid(-x))
    }
    /// `ln(1 + e^x)`
    fn softplus(self) -> Self {
        self.chain(|x| if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }, sigmoid)
    }
    /// A step function of the value: slope 0.
    fn step(self, f: impl FnOnce(f64) -> f64) -> Self {
        self.chain(f, |_| 0.0)
    }
    /// `self^exponent`; slopes as documented on the op `pow`.
    fn pow(self, exponent: Self) -> Self {
        let (a, b) = (self.value(), exponent.value());
        let by_base = self.chain(|a| a.powf(b), |a| if b == 0.0 { 0.0 } else { b * a.powf(b - 1.0) });
        let by_exponent = exponent.chain(|_| 0.0, |b| if a == 0.0 && b >= 0.0 { 0.0 } else { a.powf(b) * a.ln() });
        by_base + by_exponent
    }
    /// Angle of the point (`x`, `self`).
    fn atan2(self, x: Self) -> Self {
        let (a, b) = (self.value(), x.value());
        let square = a * a + b * b;
        self.chain(|a| a.atan2(b), |_| b / square) + x.chain(|_| 0.0, |_| -a / square)
    }
    /// The larger number, NaN where either is; ties take the mean of the slopes.
    fn maximum(self, other: Self) -> Self {
        if self == other {
            // Not the mean of the two, whose sum may overflow.
            self.chain(|v| v, |_| 0.5) + other.chain(|_| 0.0, |_| 0.5)
        } else if self.is_nan() || self > other {
            self
        } else {
            other
        }
    }
    /// The smaller number, NaN where either is; ties take the mean of the slopes.
    fn minimum(self, other: Self) -> Self {
        -(-self).maximum(-other)
    }
}

macro_rules! float {
    ($($t:ident),*) => {$(
        impl Float for $t {
            fn of(value: f64) -> Self {
                value as $t
            }
            fn value(self) -> f64 {
                f64::from(self)
            }
            fn chain(self, value: impl FnOnce(f64) -> f64, _slope: impl FnOnce(f64) -> f64) -> Self {
                value(f64::from(self)) as $t
            }
        }
    )*};
}
float!(f32, f64);

/// A number `value + slope · ε` with `ε² = 0`: a value together with one derivative.
#[derive(Clone, Copy, Debug)]
pub struct Dual<T> {
    /// The value.
    pub value: T,
    /// The derivative.
    pub slope: T,
}

impl<T: Float> Dual<T> {
    /// The variable that is differentiated by.
    pub fn variable(value: T) -> Dual<T> {
        Dual { value, slope: T::of(1.0) }
    }

    /// A number that does not depend on the variable.
    pub fn constant(value: T) -> Dual<T> {
        Dual { value, slope: T::of(0.0) }
    }

    /// `slope · factor`, where a slope of 0 stays 0 whatever the factor: what does not depend on the variable must not
    /// make a NaN from an infinite factor.
    fn scaled(self, factor: T) -> T {
        if self.slope == T::of(0.0) { self.slope } else { self.slope * factor }
    }
}

impl<T: Float> PartialEq for Dual<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl<T: Float> PartialOrd for Dual<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}
impl<T: Float> Neg for Dual<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Dual { value: -self.value, slope: -self.slope }
    }
}
impl<T: Float> Add for Dual<T> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Dual { value: self.value + other.value, slope: self.slope + other.slope }
    }
}
impl<T: Float> Sub for Dual<T> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Dual { value: self.value - other.value, slope: self.slope - other.slope }
    }
}
impl<T: Float> Mul for Dual<T> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Dual { value: self.value * other.value, slope: self.scaled(other.value) + other.scaled(self.value) }
    }
}
impl<T: Float> Div for Dual<T> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Dual { value, slope: self.scaled(T::of(1.0) / other.value) - other.scaled(value / other.value) }
    }
}
impl<T: Float> Float for Dual<T> {
    fn of(value: f64) -> Self {
        Dual::constant(T::of(value))
    }
    fn value(self) -> f64 {
        self.value.value()
    }
    fn chain(self, value: impl FnOnce(f64) -> f64, slope: impl FnOnce(f64) -> f64) -> Self {
        let x = self.value.value();
        Dual { value: T::of(value(x)), slope: self.scaled(T::of(slope(x))) }
    }
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// Evaluates a polynomial from its highest coefficient down (Horner).
fn horner(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().fold(0.0, |sum, &c| sum * x + c)
}

/// The error function to double precision by the rational approximations of W. J. Cody, "Rational Chebyshev approximations
/// for the error function", Math. Comp. 23 (1969) 631–637.
#[allow(clippy::excessive_precision, reason = "the coefficients are kept as printed")]
pub fn erf(x: f64) -> f64 {
    const A: [f64; 5] = [
        1.857_777_061_846_031_53e-1,
        3.161_123_743_870_565_60,
        1.138_641_541_510_501_56e2,
        3.774_852_376_853_020_21e2,
        3.209_377_589_138_469_47e3,
    ];
    const B: [f64; 5] = [
        1.0,
        2.360_129_095_234_412_09e1,
        2.440_246_379_344_441_73e2,
        1.282_616_526_077_372_28e3,
        2.844_236_833_439_170_62e3,
    ];
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a <= 0.46875 {
        return x * horner(x * x, &A) / horner(x * x, &B);
    }
    (1.0 - complement(a)).copysign(x)
}

/// `1 - erf(x)`, without cancellation for large `x`.
pub fn erfc(x: f64) -> f64 {
    match x {
        _ if x.is_nan() || x.abs() <= 0.46875 => 1.0 - erf(x),
        _ if x > 0.0 => complement(x),
        _ => 2.0 - complement(-x),
    }
}

/// `1 - erf(a)` for `a > 0.46875`.
#[allow(clippy::excessive_precision, reason = "the coefficients are kept as printed")]
fn complement(a: f64) -> f64 {
    const C: [f64; 9] = [
        2.153_115_354_744_038_46e-8,
        5.641_884_969_886_700_89e-1,
        8.883_149_794_388_375_94,
        6.611_919_063_714_162_95e1,
        2.986_351_381_974_001_31e2,
        8.819_522_212_417_690_90e2,
        1.712_047_612_634_070_58e3,
        2.051_078_377_826_071_47e3,
        1.230_339_354_797_997_25e3,
    ];
    const D: [f64; 9] = [
        1.0,
        1.574_492_611_070_983_47e1,
        1.176_939_508_913_124_99e2,
        5.371_811_018_620_098_58e2,
        1.621_389_574_566_690_19e3,
        3.290_799_235_733_459_63e3,
        4.362_619_090_143_247_16e3,
        3.439_367_674_143_721_64e3,
        1.230_339_354_803_749_42e3,
    ];
    const P: [f64; 6] = [
        1.631_538_713_730_209_78e-2,
        3.053_266_349_612_323_44e-1,
        3.603_448_999_498_044_39e-1,
        1.257_817_261_112_292_46e-1,
        1.608_378_514_874_227_66e-2,
        6.587_491_615_298_378_03e-4,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.568_520_192_289_822_42,
        1.872_952_849_923_467_25,
        5.279_051_029_514_284_12e-1,
        6.051_834_131_244_131_91e-2,
        2.335_204_976_268_691_85e-3,
    ];
    if a <= 4.0 {
        (-a * a).exp() * horner(a, &C) / horner(a, &D)
    } else if a < 27.0 {
        let z = 1.0 / (a * a);
        let tail = 0.5 * std::f64::consts::FRAC_2_SQRT_PI - z * horner(z, &P) / horner(z, &Q);
        (-a * a).exp() * tail / a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_its_integral() {
        for x in [-5.0, -2.0, -0.5, -0.1, 0.0, 0.3, 0.46875, 0.47, 1.0, 2.5, 3.99, 4.01, 5.5] {
            // Simpson's rule over 2,000 intervals.
            let h = x / 2000.0;
            let weight = |i: i32| if i == 0 || i == 2000 { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            let sum: f64 = (0..=2000).map(|i| weight(i) * (-(h * f64::from(i)).powi(2)).exp()).sum();
            let integral = std::f64::consts::FRAC_2_SQRT_PI * sum * h / 3.0;
            assert!((erf(x) - integral).abs() < 1e-13, "{x}: {} {integral}", erf(x));
        }
    }

    #[test]
    fn erfc_keeps_its_tail() {
        // Abramowitz and Stegun, table 7.3, by x e^(x²) erfc(x).
        for (x, expected) in
            [(2.0, 0.004_677_734_981_047_266), (5.0, 1.537_459_794_428_035e-12), (-1.0, 1.842_700_792_949_715)]
        {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-13, "{x}: {}", erfc(x));
        }
        assert_eq!((erfc(30.0), erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (0.0, 0.0, 2.0));
    }
}
