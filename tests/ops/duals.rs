//! The dual numbers by which reference formulas get their derivatives, beside those of another library and numeric differences.

use num_dual::{Dual64, DualNum};

// The library keeps them to itself; this file of it stands alone.
#[allow(dead_code, reason = "the tests need a part of the file")]
#[path = "../../src/ops/float.rs"]
mod float;

use float::{Dual, Float};

#[test]
fn duals_agree_with_num_dual_and_differences() {
    macro_rules! check {
        ($($name:ident: $ours:expr, $theirs:expr;)*) => {$(
            for x in [0.2, 0.7, 0.95] {
                let ours: Dual<f64> = $ours(Dual::variable(x));
                let theirs: Dual64 = $theirs(Dual64::new(x, 1.0));
                assert!((ours.value - theirs.re).abs() < 1e-13, "{} {x}", stringify!($name));
                assert!((ours.slope - theirs.eps).abs() < 1e-12, "{} {x}", stringify!($name));
                let at = |x: f64| -> f64 { $ours(Dual::constant(x)).value };
                let difference = (at(x + 1e-6) - at(x - 1e-6)) / 2e-6;
                assert!((ours.slope - difference).abs() < 1e-6, "{} {x}", stringify!($name));
            }
        )*};
    }
    check! {
        exp: Float::exp, |x: Dual64| x.exp();
        expm1: Float::expm1, |x: Dual64| x.exp_m1();
        ln: Float::ln, |x: Dual64| x.ln();
        log1p: Float::log1p, |x: Dual64| x.ln_1p();
        sqrt: Float::sqrt, |x: Dual64| x.sqrt();
        sin: Float::sin, |x: Dual64| x.sin();
        cos: Float::cos, |x: Dual64| x.cos();
        tan: Float::tan, |x: Dual64| x.tan();
        asin: Float::asin, |x: Dual64| x.asin();
        acos: Float::acos, |x: Dual64| x.acos();
        atan: Float::atan, |x: Dual64| x.atan();
        sinh: Float::sinh, |x: Dual64| x.sinh();
        cosh: Float::cosh, |x: Dual64| x.cosh();
        tanh: Float::tanh, |x: Dual64| x.tanh();
        power: |x: Dual<f64>| x.pow(x), |x: Dual64| (x.ln() * x).exp();
        quotient: |x: Dual<f64>| x / (x * x + Float::of(1.0)), |x: Dual64| x / (x * x + 1.0);
        angle: |x: Dual<f64>| x.atan2(x * x), |x: Dual64| (x / (x * x)).atan();
        sigmoid: Float::sigmoid, |x: Dual64| ((-x).exp() + 1.0).recip();
        softplus: Float::softplus, |x: Dual64| (x.exp() + 1.0).ln();
    }
}
