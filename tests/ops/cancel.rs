//! Equal operands that are infinite or NaN: what a driver may take out of a kernel as if they were real numbers.

#![allow(clippy::eq_op, reason = "equal operands are what is tested")]

use wgrad::nn::loss;
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::{hardware, plain};

const SPECIAL: [f64; 6] = [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -2.0];

/// `count` elements that come round in the order of `SPECIAL`.
fn special(count: usize, dtype: DType, device: &Device) -> Tensor {
    tensor(&(0..count).map(|i| SPECIAL[i % SPECIAL.len()]).collect::<Vec<_>>(), &[count], dtype, device)
}

type Case = (&'static str, fn(&Tensor) -> Tensor);

const CASES: [Case; 33] = [
    ("x - x", |x| x - x),
    ("exp(x) - exp(x)", |x| x.exp() - x.exp()),
    ("x + -x", |x| x + -x),
    ("-x + x", |x| -x + x),
    ("(x + 1) - x", |x| (x + 1.0) - x),
    ("(x - 1) - x", |x| (x - 1.0) - x),
    ("x - (x + 1)", |x| x - (x + 1.0)),
    ("(x + x) - x", |x| (x + x) - x),
    ("(x + 1) - (x + 2)", |x| (x + 1.0) - (x + 2.0)),
    ("(1 - x) + x", |x| (1.0 - x) + x),
    ("2 x - x - x", |x| x * 2.0 - x - x),
    ("x / x", |x| x / x),
    ("x * (1 / x)", |x| x * x.recip()),
    ("x / x - x / x", |x| x / x - x / x),
    ("(2 x) / x", |x| (x * 2.0) / x),
    ("x * 0", |x| x * 0.0),
    ("x * zeros", |x| x * Tensor::zeros(x.shape(), x.device()).to_dtype(x.dtype())),
    ("max(x, x)", |x| x.maximum(x)),
    ("min(x, x)", |x| x.minimum(x)),
    ("expanded", |x| x.unsqueeze(0).expand([2, x.numel()]) - x),
    ("reshaped", |x| x.reshape([2, x.numel() / 2]) - x.reshape([2, x.numel() / 2]).reshape([2, x.numel() / 2])),
    ("flipped twice", |x| x.flip(&[0]).flip(&[0]) - x),
    ("detached", |x| x.detach() - x),
    ("cast", |x| x.to_dtype(DType::F32) - x.to_dtype(DType::F32)),
    ("x = x", |x| x.eq(x).to_dtype(DType::F32)),
    ("x != x", |x| x.ne(x).to_dtype(DType::F32)),
    ("x <= x", |x| x.le(x).to_dtype(DType::F32)),
    ("x < x", |x| x.lt(x).to_dtype(DType::F32)),
    ("lerp", |x| x.lerp(x, 0.25)),
    ("logaddexp", |x| x.logaddexp(x)),
    ("a sum of differences", |x| (x - x).reshape([x.numel() / 2, 2]).sum_dims(&[1], false)),
    ("x^2 - x^2", |x| x.square() - x.square()),
    ("x atan2 x", |x| x.atan2(x)),
];

fn check(what: &str, found: &Tensor, expected: &Tensor) {
    let (found, expected) = (values(found), values(expected));
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 2e-3 * b.abs();
    assert!(found.iter().zip(&expected).all(same), "{what}: {found:?} instead of {expected:?}");
}

#[test]
fn equal_operands_stay_undefined() {
    for dtype in [DType::F32, DType::F16] {
        for device in [gpu(), hardware(), plain()] {
            // Kernels of four elements an invocation and of one, and with other ops around.
            for count in [24, 6, 90] {
                for (name, f) in CASES {
                    let what = format!("{name} of {count} {dtype}");
                    let x = special(count, dtype, device);
                    let exact = special(count, if dtype == DType::F16 { dtype } else { DType::F32 }, cpu());
                    check(&what, &f(&x), &f(&exact));
                    let around = |x: &Tensor| f(&(x * 1.0)) * 2.0 + 1.0;
                    check(&format!("{what}, fused"), &around(&x), &around(&exact));
                }
            }
        }
    }
}

#[test]
fn losses_of_equal_operands_are_undefined() {
    type Loss = (&'static str, fn(&Tensor, &Tensor) -> Tensor);
    let losses: [Loss; 6] = [
        ("mse", loss::mse),
        ("l1", loss::l1),
        ("huber", |x, y| loss::huber(x, y, 1.0)),
        ("smooth_l1", |x, y| loss::smooth_l1(x, y, 0.5)),
        ("margin_ranking", |x, y| loss::margin_ranking(x, y, &x.full_like(1.0), 0.5)),
        ("pairwise distance", |x, y| x.pairwise_distance(y, 2.0)),
    ];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for device in [gpu(), hardware(), plain(), cpu()] {
            for (name, loss) in losses {
                for count in [5, 8] {
                    let mut data = vec![1f32; count];
                    data[count - 2] = value;
                    let x = Tensor::from_slice(&data, [count], device);
                    let y = loss(&x, &x);
                    assert!(y.item::<f32>().unwrap().is_nan(), "{name} of {value} is {y:?}");
                    let made = x.exp() * 2.0 + &x * 3.0;
                    assert!(loss(&made, &made).item::<f32>().unwrap().is_nan(), "{name} of what is made of {value}");
                }
            }
        }
    }
}

/// Gradients whose two parts cancel: the upstream gradient is not finite.
#[test]
fn gradients_of_equal_operands() {
    type Op = (&'static str, fn(&Tensor) -> Tensor);
    let ops: [Op; 5] = [
        ("x - x", |x| x - x),
        ("x / x", |x| x / x),
        ("max(x, x)", |x| x.maximum(x)),
        ("lerp", |x| x.lerp(x, 0.25)),
        ("x - x.exp() + x.exp()", |x| x - x.exp() + x.exp()),
    ];
    for count in [6, 24] {
        for (name, op) in ops {
            let run = |device: &Device, second: bool| {
                let leaf = special(count, DType::F32, device).requires_grad();
                let dy = special(count, DType::F32, device).flip(&[0]);
                let y = op(&leaf);
                if second {
                    let grads = wgrad::autograd::grad(&[&(&y * &dy).sum()], &[&leaf], true).unwrap();
                    return values(&grads[0]);
                }
                y.backward_with(&dy).unwrap();
                values(&leaf.grad().unwrap())
            };
            for device in [gpu(), hardware(), plain()] {
                for second in [false, true] {
                    let (found, expected) = (run(device, second), run(cpu(), second));
                    let same = |(a, b): (&f64, &f64)| {
                        a.is_nan() == b.is_nan() && (a.is_nan() || (a - b).abs() < 1e-4 || a == b)
                    };
                    assert!(
                        found.iter().zip(&expected).all(same),
                        "{name}, {second}: {found:?} instead of {expected:?}"
                    );
                }
            }
        }
    }
}
