//! Slopes of a user's reference function, by differences.

/// The slope of `f` in argument `k`. At a kink the smaller of both sides counts, as for `relu` at 0; 0 where they are of one size.
pub fn slope(f: &dyn Fn(&[f64]) -> f64, args: &[f64], k: usize) -> f64 {
    let mut moved = args.to_vec();
    let size = args[k].abs().max(1.0);
    let mut at = |by: f64| {
        moved[k] = args[k] + by;
        f(&moved)
    };
    let step = 1e-5 * size;
    let (y, right, further) = (at(0.0), at(step), at(2.0 * step));
    let (left, further_left) = (at(-step), at(-2.0 * step));
    // Of second order from each side, of fourth from both.
    let from_right = (4.0 * right - 3.0 * y - further) / (2.0 * step);
    let from_left = (3.0 * y - 4.0 * left + further_left) / (2.0 * step);
    let both = (8.0 * (right - left) - (further - further_left)) / (12.0 * step);
    let (a, b) = (from_left.abs(), from_right.abs());
    if (from_left - from_right).abs() <= 1e-4 * a.max(b).max(1.0) || both.is_nan() {
        both
    } else if (a - b).abs() <= 1e-4 * a.max(b) {
        0.0
    } else if a < b {
        from_left
    } else {
        from_right
    }
}

/// A value of argument `k` at which `f` is `y`, or as near to it as is found.
pub fn inverse(f: &dyn Fn(&[f64]) -> f64, args: &[f64], k: usize, y: f64) -> f64 {
    let mut moved = args.to_vec();
    let mut off = |x: f64| {
        moved[k] = x;
        f(&moved) - y
    };
    // From the middle outwards, ever further apart, on both sides.
    let reach = |i: i32| if i == 0 { 0.0 } else { f64::from(i.signum()) * (f64::from(i.abs()) / 8.0).exp_m1() };
    let (mut best, mut least) = (0.0, f64::INFINITY);
    for i in 0..96 {
        for (from, to) in [(reach(i), reach(i + 1)), (reach(-i - 1), reach(-i))] {
            let (a, b) = (off(from), off(to));
            for (x, distance) in [(from, a.abs()), (to, b.abs())] {
                if distance < least {
                    (best, least) = (x, distance);
                }
            }
            if a * b < 0.0 {
                return bisect(&mut off, from, to, a);
            }
        }
    }
    best
}

fn bisect(off: &mut dyn FnMut(f64) -> f64, mut from: f64, mut to: f64, start: f64) -> f64 {
    for _ in 0..100 {
        let middle = 0.5 * (from + to);
        if (off(middle) < 0.0) == (start < 0.0) {
            from = middle;
        } else {
            to = middle;
        }
    }
    0.5 * (from + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_formula() {
        let f = |x: &[f64]| x[0].tanh() * x[1];
        assert!((slope(&f, &[0.7, 3.0], 0) - 3.0 * (1.0 - 0.7f64.tanh().powi(2))).abs() < 1e-9);
        assert!((slope(&f, &[0.7, 3.0], 1) - 0.7f64.tanh()).abs() < 1e-9);
        assert!((slope(&|x| x[0].powi(3), &[1e4], 0) / 3e8 - 1.0).abs() < 1e-6);
        let kinked = [slope(&|x| x[0].max(0.0), &[0.0], 0), slope(&|x| x[0].abs(), &[0.0], 0)];
        assert!(kinked.iter().all(|slope| slope.abs() < 1e-9), "{kinked:?}");
        let leaky = slope(&|x| if x[0] > 0.0 { x[0] } else { 0.1 * x[0] }, &[0.0], 0);
        assert!((leaky - 0.1).abs() < 1e-9);
    }

    #[test]
    fn operands_are_found_from_the_value() {
        for x in [-30.0, -2.0, -0.01, 0.0, 0.3, 5.0, 900.0] {
            let found = inverse(&|a| a[0] * a[1] + a[0], &[x, 2.0], 0, 3.0 * x);
            assert!((found - x).abs() < 1e-9 * f64::abs(x).max(1.0), "{found} for {x}");
        }
        // Out of reach: the nearest.
        assert!(inverse(&|a| a[0].tanh(), &[0.5], 0, 1.0) > 15.0);
    }
}
