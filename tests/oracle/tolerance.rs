//! How far results may be from PyTorch's, by class of op. Nothing in f32 is looser than 1e-4.
//!
//! WGSL ("Accuracy of floating-point evaluation") asks for correct rounding of `+ - *`, 2.5 ULP of division, and leaves
//! transcendental functions rather free; this crate computes most of those itself, to a few ULP. WGSL also lets an
//! implementation flush subnormal numbers to zero, so numbers below the smallest normal one count as equal.

/// The step from 1 to the next f32.
const EPSILON: f64 = f32::EPSILON as f64;

/// What kind of arithmetic an op does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Moves, compares, rounds or counts: equal.
    Exact,
    /// One or two operations that are rounded correctly or nearly: 4 ULP.
    Arithmetic,
    /// Sums of products, which may cancel: 4 ULP of 1 or of the result.
    Blend,
    /// A transcendental function without a zero that rounding could move: 16 ULP.
    Function,
    /// A transcendental function near whose zeros only the absolute error is small: 16 ULP of 1 or of the result.
    Crossing,
    /// `a^b`: the rounding of `b · ln a` grows with it: 128 ULP.
    Power,
    /// Sums over many elements, in another order than PyTorch's: 1e-5 in the norm.
    Accumulate,
    /// Values that are copied, and gradients that are sums.
    ExactSum,
    /// f16: each result is rounded to 11 bits, 2^-11 relative, and that of a composition a second time: 2^-10 in the norm.
    /// Gradients meet about twice as many roundings, since the CPU reference rounds after every op of a decomposition.
    Half,
}

/// The measure of one class: per element relative to the larger of the expected value and `floor`, or over all in the norm.
#[derive(Clone, Copy)]
pub struct Bound {
    pub tolerance: f64,
    floor: f64,
    norm: bool,
}

/// What f16 results may differ by.
const HALF: Bound = Bound { tolerance: 1.0 / 1024.0, floor: 1.0 / 1024.0, norm: true };

impl Class {
    /// The class of this name in the index.
    pub fn named(name: &str) -> Class {
        match name {
            "exact" => Class::Exact,
            "arithmetic" => Class::Arithmetic,
            "blend" => Class::Blend,
            "function" => Class::Function,
            "crossing" => Class::Crossing,
            "power" => Class::Power,
            "accumulate" => Class::Accumulate,
            "exact_sum" => Class::ExactSum,
            "half" => Class::Half,
            _ => panic!("no class {name}"),
        }
    }

    /// The bound on values.
    pub fn forward(self) -> Bound {
        let elements = |ulps: f64, floor: f64| Bound { tolerance: ulps * EPSILON, floor, norm: false };
        let smallest = f64::from(f32::MIN_POSITIVE);
        match self {
            Class::Exact | Class::ExactSum => elements(0.0, 1.0),
            Class::Arithmetic => elements(4.0, smallest),
            Class::Blend => elements(4.0, 1.0),
            Class::Function => elements(16.0, smallest),
            Class::Crossing => elements(16.0, 1.0),
            Class::Power => elements(128.0, smallest),
            Class::Accumulate => Bound { tolerance: 1e-5, floor: 1.0, norm: true },
            Class::Half => HALF,
        }
    }

    /// The bound on gradients: products with `dy`, of size 1, and sums of them, so that errors are measured against 1.
    pub fn backward(self) -> Bound {
        let elements = |ulps: f64| Bound { tolerance: ulps * EPSILON, floor: 1.0, norm: false };
        match self {
            Class::Exact | Class::Arithmetic | Class::Blend => elements(8.0),
            Class::Function | Class::Crossing => elements(32.0),
            Class::Power => elements(128.0),
            Class::Accumulate | Class::ExactSum => Bound { tolerance: 1e-5, floor: 1.0, norm: true },
            Class::Half => Bound { tolerance: 2.0 * HALF.tolerance, ..HALF },
        }
    }
}

impl Bound {
    /// The error of `found`, to be held against the tolerance. Infinite where NaN or an infinity stands on one side only. The
    /// sign of zero does not count.
    pub fn error(&self, found: &[f64], expected: &[f64]) -> f64 {
        let mut worst = 0f64;
        let (mut difference, mut norm) = (0f64, 0f64);
        for (&a, &b) in found.iter().zip(expected) {
            let error = self.of_element(a, b);
            if error.is_infinite() {
                return error;
            }
            worst = worst.max(error);
            if b.is_finite() {
                difference += (a - b) * (a - b);
                norm += b * b;
            }
        }
        if self.norm { difference.sqrt() / norm.sqrt().max(self.floor) } else { worst }
    }

    fn of_element(&self, a: f64, b: f64) -> f64 {
        let subnormal = |v: f64| v.abs() < f64::from(f32::MIN_POSITIVE);
        if a == b || (a.is_nan() && b.is_nan()) || (self.tolerance > 0.0 && subnormal(a) && subnormal(b)) {
            0.0
        } else if a.is_finite() && b.is_finite() {
            (a - b).abs() / b.abs().max(self.floor)
        } else {
            f64::INFINITY
        }
    }

    /// The element that is worst, for messages.
    pub fn worst(&self, found: &[f64], expected: &[f64]) -> Option<usize> {
        let error = |i: &usize| self.of_element(found[*i], expected[*i]);
        (0..found.len()).max_by(|i, j| error(i).total_cmp(&error(j)))
    }
}

/// The bounds do what they say: each sees an error just above it, and what is not a number.
#[test]
fn bounds_notice_errors() {
    for class in [
        Class::Exact,
        Class::Arithmetic,
        Class::Blend,
        Class::Function,
        Class::Crossing,
        Class::Power,
        Class::Accumulate,
        Class::ExactSum,
        Class::Half,
    ] {
        for bound in [class.forward(), class.backward()] {
            assert!(bound.tolerance <= if class == Class::Half { 2e-3 } else { 1e-4 });
            assert_eq!(bound.error(&[2.0, f64::NAN, f64::INFINITY, -0.0], &[2.0, f64::NAN, f64::INFINITY, 0.0]), 0.0);
            assert!(bound.error(&[2.0 + 2.1 * bound.tolerance + 1e-12], &[2.0]) > bound.tolerance);
            for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, f64::NEG_INFINITY), (f64::INFINITY, 3e38)]
            {
                assert_eq!(bound.error(&[1.0, a], &[1.0, b]), f64::INFINITY);
            }
        }
    }
    assert!(Class::Arithmetic.forward().error(&[1.00001e-30], &[1e-30]) > Class::Arithmetic.forward().tolerance);
}
