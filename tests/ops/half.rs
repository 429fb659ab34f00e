//! f16: storage in 16 bits, arithmetic in f32, one rounding an op, on both kernel families and on the CPU reference.

use wgrad::{Conv, ConvTranspose, DType, Device, Error, Interpolate, Tensor, f16};

use crate::common::*;
use crate::inputs::hardware;

/// A rounding of f16 is 2^-11 relative at most; a few of them add up in a gradient.
const TOLERANCE: f64 = 2e-3;

fn families() -> [&'static Device; 2] {
    [gpu(), hardware()]
}

fn f16s(values: &[f64], shape: &[usize], device: &Device) -> Tensor {
    tensor(values, shape, DType::F16, device)
}

#[test]
fn conversions_round_to_nearest_even() {
    let mut rng = Rng(5);
    let mut x: Vec<f32> = (0..20_000).map(|_| f32::from_bits(rng.bits() as u32)).collect();
    // Numbers that f16 holds, half way between two of them, and next to that.
    x.extend((0..20_000).map(|_| f32::from_bits((rng.bits() as u32 & 0x07ff_ffff) + 0x3500_0000)));
    for bits in (0..0x7c00u16).step_by(7) {
        let (low, high) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
        let middle = if high.is_finite() { low + (high - low) / 2.0 } else { 65520.0 };
        x.extend([low, -low, middle, -middle, middle.next_up(), middle.next_down()]);
    }
    x.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 65504.0, 65519.99, 65520.0, 1e-8, 2.98e-8, 1e-40]);
    let expected: Vec<f16> = x.iter().map(|&v| f16::from_f32(v)).collect();
    for device in families().into_iter().chain([cpu()]) {
        let found = Tensor::from_slice(&x, [x.len()], device).to_dtype(DType::F16).to_vec::<f16>().unwrap();
        for ((x, a), b) in x.iter().zip(&found).zip(&expected) {
            let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            assert!(same, "{x:e} gives {a:e} ({:x}) instead of {b:e} ({:x})", a.to_bits(), b.to_bits());
        }
    }
}

#[test]
fn every_f16_survives_the_way_through_f32() {
    let x: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for device in families() {
        let wide = Tensor::from_slice(&x, [x.len()], device).to_dtype(DType::F32);
        let narrow = wide.to_dtype(DType::F16).to_vec::<f16>().unwrap();
        for ((x, wide), narrow) in x.iter().zip(wide.to_vec::<f32>().unwrap()).zip(narrow) {
            assert!(x.to_f32().to_bits() == wide.to_bits() || (x.is_nan() && wide.is_nan()), "{x:e} became {wide:e}");
            assert!(x.to_bits() == narrow.to_bits() || (x.is_nan() && narrow.is_nan()), "{x:e} became {narrow:e}");
        }
    }
}

/// An op under a name, applied to two operands.
type Case = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

const CASES: [Case; 34] = [
    ("chain", |a, b| (a * b + 0.1).tanh() / (b.square() + 1.0)),
    ("mixed with f32", |a, b| a * b.to_dtype(DType::F32)),
    ("gelu", |a, _| a.gelu()),
    ("sum", |a, _| a.sum()),
    ("sum over columns", |a, b| (a * b).sum_dims(&[0], true)),
    ("mean over rows", |a, _| a.mean_dims(&[-1], false)),
    ("variance", |a, _| a.var_dims(&[-1], 1.0, false)),
    ("norm", |a, _| a.norm(2.0)),
    ("logsumexp", |a, _| a.logsumexp_dims(&[1], false)),
    ("max", |a, _| a.max_dims(&[1], false)),
    ("transposed", |a, b| a.t() + b.t().flip(&[0])),
    ("stepped", |a, b| a.slice_step(1, 1..9, 3) * b.slice_step(1, 0..8, 3)),
    ("reshaped", |a, b| (a + b).t().reshape([-1]).exp()),
    ("expanded", |a, b| a.slice(0, 0..1).expand([7, 10]) * b),
    ("cat", |a, b| Tensor::cat(&[a, b], 1)),
    ("pad", |a, _| a.pad(&[(1, 2), (0, 3)], 0.5)),
    ("softmax", |a, _| a.softmax(1)),
    ("log_softmax", |a, _| a.log_softmax(0)),
    ("matmul", |a, b| a.matmul(&b.t())),
    ("matmul of transposes", |a, b| a.t().matmul(b)),
    ("gather", |a, _| a.index_select(0, &Tensor::from_slice(&[6i32, 0, 3, 3, 1], [5], a.device()))),
    ("scatter_add", |a, b| {
        let index = Tensor::from_slice(&[2i32, 0, 2, 6, 1, 1, 1], [7, 1], a.device()).expand([7, 10]);
        a.scatter_add(0, &index, b)
    }),
    ("cross_entropy", |a, _| {
        wgrad::nn::loss::cross_entropy(a, &Tensor::from_slice(&[2i32, 0, 2, 6, 1, 1, 9], [7], a.device()))
    }),
    ("where", |a, b| a.gt(b).where_(a, &(b * 2.0))),
    ("sort", |a, _| a.sort(1, true).0),
    ("cumsum", |a, _| a.cumsum(1)),
    ("cumprod", |a, _| a.cumprod(0)),
    ("layer_norm", |a, b| a.layer_norm(&b.select(0, 0), &b.select(0, 1), 1e-5)),
    ("conv1d", |a, b| a.unsqueeze(0).conv1d(&b.reshape([2, 7, 5]), None, Conv::default().padding(2))),
    ("conv_transpose1d", |a, b| a.unsqueeze(0).conv_transpose1d(&b.reshape([7, 2, 5]), None, ConvTranspose::default())),
    ("max_pool1d", |a, _| a.max_pool1d(3, 2, 1)),
    ("avg_pool1d", |a, _| a.avg_pool1d(3, 2, 1)),
    ("interpolate", |a, _| a.unsqueeze(0).interpolate(&[17], Interpolate::Bilinear)),
    ("einsum", |a, b| Tensor::einsum("ij,kj->ik", &[a, b])),
];

#[test]
fn ops_agree_with_the_reference() {
    let mut rng = Rng(11);
    let (a, b) = (rng.vec(70, -2.0, 2.0), rng.vec(70, -2.0, 2.0));
    for (name, op) in CASES {
        let run = |device: &Device| {
            poison(device);
            let leaves = [&a, &b].map(|v| f16s(v, &[7, 10], device).requires_grad());
            let y = op(&leaves[0], &leaves[1]);
            let dtype = if name == "mixed with f32" { DType::F32 } else { DType::F16 };
            assert_eq!(y.dtype(), dtype, "{name}: {:?}", y.check());
            let dy = f16s(&Rng(12).vec(y.numel(), 0.5, 1.5), y.shape(), device).to_dtype(dtype);
            y.backward_with(&dy).unwrap();
            let grads = leaves.map(|leaf| {
                leaf.grad().map_or(Vec::new(), |g| {
                    assert_eq!(g.dtype(), DType::F16, "{name}");
                    values(&g)
                })
            });
            (values(&y), grads)
        };
        let expected = run(cpu());
        for device in families() {
            let found = run(device);
            assert_close(name, &found.0, &expected.0, TOLERANCE);
            for k in 0..2 {
                assert_eq!(found.1[k].len(), expected.1[k].len(), "{name}: gradient {k}");
                assert_close(&format!("{name}: gradient {k}"), &found.1[k], &expected.1[k], TOLERANCE);
            }
        }
    }
}

#[test]
fn fusion_changes_no_bit() {
    let unfused = Device::gpu_with(false, |_| ()).unwrap();
    let (a, b) = (Rng(3).vec(1001, -3.0, 3.0), Rng(4).vec(1001, -3.0, 3.0));
    let run = |device: &Device| {
        let (a, b) = (f16s(&a, &[1001], device), f16s(&b, &[1001], device));
        let x = (&a * &b + &a / 3.0).sigmoid() * (&a - 0.7).exp();
        let total = (&x * &b).sum();
        (x.to_vec::<f16>().unwrap(), total.to_vec::<f16>().unwrap())
    };
    assert_eq!(run(gpu()), run(&unfused));
}

#[test]
fn sums_are_kept_in_f32() {
    for device in families() {
        let x = Tensor::full([300_000], 0.5, device).to_dtype(DType::F16) + 0.25;
        assert_eq!(x.mean().item::<f16>().unwrap(), f16::from_f32(0.75));
        assert_eq!(x.sum().item::<f16>().unwrap(), f16::INFINITY);
        assert_eq!((x * 0.125).sum().item::<f16>().unwrap(), f16::from_f32(28_125.0));
        // 4,096 products of 1 and 1: sums in f16 would stop at 2,048.
        let ones = Tensor::ones([4, 4096], device).to_dtype(DType::F16);
        assert_eq!(ones.matmul(&ones.t()).to_vec::<f16>().unwrap(), [f16::from_f32(4096.0); 16]);
    }
}

#[test]
fn numbers_beside_f16_keep_their_f32_value() {
    for device in families().into_iter().chain([cpu()]) {
        let x = f16s(&[0.5, -0.25], &[2], device);
        assert_eq!(values(&(&x * 65536.0)), [32768.0, -16384.0]);
        assert_eq!(values(&(&x * 1e-8 * 1e8)), [0.0, 0.0], "rounded after each op");
        assert_eq!((&x * 2.0).dtype(), DType::F16);
    }
}

#[test]
fn matrix_products_of_every_family() {
    type Choice = fn(&mut wgrad::internals::Caps);
    let choices: [(&str, Choice); 3] = [
        ("subgroups", |_| ()),
        ("no subgroups", |caps| caps.subgroup = None),
        ("workgroup tiles", |caps| caps.software = false),
    ];
    for (family, choice) in choices {
        let device = Device::gpu_with(true, choice).unwrap();
        for (m, k, n) in [(1, 40, 36), (33, 64, 64), (40, 37, 29), (130, 300, 132), (64, 5000, 8)] {
            let (a, b) = (Rng(1).vec(m * k, -1.0, 1.0), Rng(2).vec(k * n, -1.0, 1.0));
            for transposed in [false, true] {
                let product = |device: &Device| {
                    let a = if transposed { f16s(&a, &[k, m], device).t() } else { f16s(&a, &[m, k], device) };
                    let b = if transposed { f16s(&b, &[n, k], device).t() } else { f16s(&b, &[k, n], device) };
                    a.matmul(&b)
                };
                let what = format!("{family}, {m} x {k} x {n}, transposed: {transposed}");
                assert_same(&what, &product(&device), &product(cpu()), TOLERANCE);
            }
        }
    }
}

#[test]
fn windows_over_operands_of_different_widths() {
    let small = Device::gpu_with(true, |caps| caps.max_binding = 40_000).unwrap();
    let (a, b) = (Rng(8).vec(30_001, -1.0, 1.0), Rng(9).vec(30_001, -1.0, 1.0));
    let run = |device: &Device| {
        let a = f16s(&a, &[30_001], device);
        let b = Tensor::from_slice(&b.iter().map(|&v| v as f32).collect::<Vec<_>>(), [30_001], device);
        let product = &a * &b;
        (values(&product.to_dtype(DType::F16)), values(&product), values(&(&a * 2.0).sum()))
    };
    let (found, expected) = (run(&small), run(cpu()));
    assert_close("f16", &found.0, &expected.0, TOLERANCE);
    assert_close("f32", &found.1, &expected.1, 1e-6);
    assert_close("sum", &found.2, &expected.2, TOLERANCE);
}

#[test]
fn an_adapter_without_f16_says_so() {
    let without = Device::gpu_with(true, |caps| caps.f16 = false).unwrap();
    let error = Tensor::from_slice(&[f16::ONE], [1], &without).check().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("16-bit floats"), "{error}");
    let error = Tensor::ones([2], &without).to_dtype(DType::F16).to_vec::<f16>().unwrap_err();
    assert!(error.to_string().contains("16-bit floats"), "{error}");
}
