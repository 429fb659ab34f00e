//! The dual numbers by which reference formulas get their derivatives, beside those of another library and numeric differences.

use num_dual::{Dual64, DualNum};

// The library keeps them to itself; this file of it stands alone.
#[allow(dead_code, reason = "the tests need a part of the file")]
#[path = "../../src/ops/real.rs"]
mod real;

use real::{Dual, Real};

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
        exp: Real::exp, |x: Dual64| x.exp();
        expm1: Real::expm1, |x: Dual64| x.exp_m1();
        ln: Real::ln, |x: Dual64| x.ln();
        log1p: Real::log1p, |x: Dual64| x.ln_1p();
        sqrt: Real::sqrt, |x: Dual64| x.sqrt();
        sin: Real::sin, |x: Dual64| x.sin();
        cos: Real::cos, |x: Dual64| x.cos();
        tan: Real::tan, |x: Dual64| x.tan();
        asin: Real::asin, |x: Dual64| x.asin();
        acos: Real::acos, |x: Dual64| x.acos();
        atan: Real::atan, |x: Dual64| x.atan();
        sinh: Real::sinh, |x: Dual64| x.sinh();
        cosh: Real::cosh, |x: Dual64| x.cosh();
        tanh: Real::tanh, |x: Dual64| x.tanh();
        power: |x: Dual<f64>| x.pow(x), |x: Dual64| (x.ln() * x).exp();
        quotient: |x: Dual<f64>| x / (x * x + Real::of(1.0)), |x: Dual64| x / (x * x + 1.0);
        angle: |x: Dual<f64>| x.atan2(x * x), |x: Dual64| (x / (x * x)).atan();
        sigmoid: Real::sigmoid, |x: Dual64| ((-x).exp() + 1.0).recip();
        softplus: Real::softplus, |x: Dual64| (x.exp() + 1.0).ln();
    }
}
