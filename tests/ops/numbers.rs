//! Numbers beside tensors: f64 tensors compute with them as they are, f32 tensors with them rounded once.

use wgrad::autograd::grad;
use wgrad::nn::{LayerNorm, LeakyRelu, Module, loss};
use wgrad::{DType, Device, Tensor};

use crate::common::*;

/// Elements for which no op of the list is at a kink.
const X: [f64; 4] = [0.7, 1.9, -1.3, 2.6];
/// Not a number that f32 holds.
const C: f64 = 0.123_456_789_012_345_6;

type Case = (&'static str, fn(&Tensor) -> Tensor, fn(f64) -> f64);

/// Ops with a number, and the same in plain f64.
const CASES: [Case; 32] = [
    ("x + c", |x| x + C, |x| x + C),
    ("c + x", |x| C + x, |x| C + x),
    ("x - c", |x| x.clone() - C, |x| x - C),
    ("c - x", |x| C - x.clone(), |x| C - x),
    ("x * c", |x| x * C, |x| x * C),
    ("c * x", |x| C * x, |x| C * x),
    ("x / c", |x| x / C, |x| x / C),
    ("c / x", |x| C / x, |x| C / x),
    ("x % c", |x| x % C, |x| x % C),
    ("x * 3", |x| x * 3, |x| x * 3.0),
    ("1 - x", |x| 1 - x, |x| 1.0 - x),
    ("assigned", |x| assigned(x), |x| ((x + C) * C - C) / C),
    ("add", |x| x.add(C), |x| x + C),
    ("powf", |x| x.abs().powf(C), |x| x.abs().powf(C)),
    ("clamp", |x| x.clamp(-C, C), |x| x.clamp(-C, C)),
    ("clamp_min", |x| x.clamp_min(C), |x| x.max(C)),
    ("maximum", |x| x.maximum(C), |x| x.max(C)),
    ("lerp", |x| x.lerp(&(x * 2), C), |x| x + C * (2.0 * x - x)),
    ("leaky_relu", |x| x.leaky_relu(C), |x| if x > 0.0 { x } else { C * x }),
    ("LeakyRelu", |x| LeakyRelu { slope: C }.forward(x), |x| if x > 0.0 { x } else { C * x }),
    ("elu", |x| x.elu(C), |x| if x > 0.0 { x } else { C * x.exp_m1() }),
    ("softshrink", |x| x.softshrink(C), |x| x - C * x.signum()),
    ("masked_fill", |x| x.masked_fill(&x.lt(0), C), |x| if x < 0.0 { C } else { x }),
    ("full_like", |x| x.full_like(C), |_| C),
    ("pad", |x| x.pad(&[(1, 0)], C).narrow(0, 0, 1).expand([4]), |_| C),
    ("nan_to_num", |x| (x * f64::NAN).nan_to_num(C, 0.0, 0.0), |_| C),
    ("where", |x| x.lt(0.0).where_(C, x), |x| if x < 0.0 { C } else { x }),
    ("addcmul", |x| x.addcmul(x, x, C), |x| x + C * x * x),
    (
        "gelu_tanh",
        |x| x.gelu_tanh(),
        |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
    ),
    (
        "selu",
        |x| x.selu(),
        |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() },
    ),
    ("smooth_l1", |x| smooth(x), |x| if x.abs() < C { 0.5 * x * x / C } else { x.abs() - 0.5 * C }),
    ("rms_norm", |x| x.reshape([4, 1]).rms_norm(None, C).flatten(0, 1), |x| x / (x * x + C).sqrt()),
];

fn assigned(x: &Tensor) -> Tensor {
    let mut y = x.clone();
    y += C;
    y *= C;
    y -= C;
    y /= C;
    y
}

fn smooth(x: &Tensor) -> Tensor {
    let zero = Tensor::zeros([], x.device()).to_dtype(x.dtype());
    let each = x.unbind(0).into_iter().map(|x| loss::smooth_l1(&x, &zero, C)).collect::<Vec<_>>();
    Tensor::stack(&each.iter().collect::<Vec<_>>(), 0)
}

#[test]
fn numbers_beside_f64_are_f64() {
    for (name, f, expected) in CASES {
        let x = Tensor::from_slice(&X, [4], cpu());
        let y = f(&x);
        assert_eq!(y.dtype(), DType::F64, "{name}");
        let expected: Vec<f64> = X.into_iter().map(expected).collect();
        assert_close(name, &values(&y), &expected, 1e-15);
    }
    let x = Tensor::from_slice(&[0.1f64, C], [2], cpu());
    assert_eq!(values(&x.eq(0.1)), [1.0, 0.0]);
    assert_eq!(values(&x.eq(C)), [0.0, 1.0]);
    assert_eq!(values(&x.le(C)), [1.0, 1.0]);
    assert_eq!(values(&x.ne(0.1f32)), [1.0, 1.0]); // an f32 is what it is
    assert_eq!(values(&x.index_fill(0, &Tensor::from_slice(&[0i32], [1], cpu()), C)), [C, C]);
    // Gradients, too.
    let x = Tensor::from_slice(&X, [4], cpu()).requires_grad();
    let dx = &grad(&[&(&x * C).sum()], &[&x], false).unwrap()[0];
    assert_eq!(values(dx), [C; 4]);
    let dx = &grad(&[&x.square().powf(1.0 + C).sum()], &[&x], false).unwrap()[0];
    let expected: Vec<f64> = X.iter().map(|x| 2.0 * (1.0 + C) * x * (x * x).powf(C)).collect();
    assert_close("gradient of powf", &values(dx), &expected, 1e-15);
    // The epsilon of a layer.
    let y = LayerNorm::new(4, cpu()).eps(C).without_affine().forward(&Tensor::from_slice(&X, [4], cpu()));
    let mean = X.iter().sum::<f64>() / 4.0;
    let variance = X.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
    let expected: Vec<f64> = X.iter().map(|x| (x - mean) / (variance + C).sqrt()).collect();
    assert_close("layer_norm", &values(&y), &expected, 1e-15);
}

/// Beside f32 the bits are those of the rounded number, on every device.
#[test]
fn numbers_beside_f32_are_rounded_once() {
    let bits = |t: &Tensor| t.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let data: Vec<f32> = X.iter().map(|&x| x as f32).collect();
    let c = C as f32;
    let plain = |f: fn(f32, f32) -> f32| data.iter().map(|&x| f(x, c).to_bits()).collect::<Vec<_>>();
    let on = |device: &Device| Tensor::from_slice(&data, [4], device);
    for device in [cpu(), gpu()] {
        let x = on(device);
        for (name, wide, narrow, expected) in [
            ("add", &x + C, &x + c, plain(|x, c| x + c)),
            ("sub", C - &x, f64::from(c) - &x, plain(|x, c| c - x)),
            ("mul", C * &x, &x * c, plain(|x, c| x * c)),
            ("maximum", x.maximum(C), x.maximum(c), plain(f32::max)),
            ("full_like", x.full_like(C), x.full_like(c), plain(|_, c| c)),
            ("masked_fill", x.masked_fill(&x.lt(9), C), x.masked_fill(&x.lt(9.0f32), c), plain(|_, c| c)),
        ] {
            assert_eq!((wide.dtype(), narrow.dtype()), (DType::F32, DType::F32), "{name}");
            assert_eq!(bits(&wide), expected, "{name}");
            assert_eq!(bits(&narrow), expected, "{name}");
        }
        for (name, f, _) in CASES {
            assert_eq!(f(&x).dtype(), DType::F32, "{name}");
            assert_close(name, &values(&f(&x)), &values(&f(&on(cpu()))), 1e-6);
        }
        assert_eq!(values(&x.eq(X[0])), [1.0, 0.0, 0.0, 0.0]);
        // A tensor holds what f32 holds.
        assert_eq!(Tensor::scalar(C, device).item::<f32>().unwrap(), c);
        assert_eq!(Tensor::full([2], C, device).to_vec::<f32>().unwrap(), [c; 2]);
        // Beside integers, numbers without a fraction are integers.
        let whole = Tensor::from_slice(&[1i32, 2], [2], device);
        assert_eq!(((&whole + 1).dtype(), (&whole + 1.0).dtype()), (DType::I32, DType::I32));
        assert_eq!(((2 * &whole).dtype(), (&whole * 0.5).dtype()), (DType::I32, DType::F32));
        assert_eq!(Tensor::arange(0.0, 0.3, 0.1, device).shape(), [3]);
    }
    // Widened afterwards, a tensor keeps the rounded number.
    for x in [Tensor::scalar(C, cpu()), Tensor::full([], C, cpu()), Tensor::zeros([], cpu()).full_like(C)] {
        assert_eq!(values(&x.to_dtype(DType::F64)), [f64::from(c)]);
    }
}

/// Types of results are known before those of literals.
#[test]
fn literals_need_no_suffix() {
    let x = Tensor::from_slice(&X, [4], cpu());
    let y = (2.0 * (&x * 2.0).sum() + (1 - &x).mean()).exp().powi(2);
    assert_eq!(y.rank(), 0);
    let half: f32 = 0.5;
    assert_eq!(values(&((&x * half).clamp(-half, 1) - 1.0)).len(), 4);
}
