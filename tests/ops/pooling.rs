//! Pooling and interpolation, forward and backward, against the CPU reference, PyTorch's numbers and plain loops.

use wgrad::autograd::{grad_with, gradcheck, gradgradcheck};
use wgrad::{AvgPool, DType, Device, Interpolate, Pool, Tensor};

use crate::common::*;
use crate::inputs::*;
use crate::resize::MODES;

const TOLERANCE: f64 = 1e-5;

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

type Function = fn(&Tensor) -> Tensor;

/// Images in memory in several ways.
const IMAGES: [Input; 8] = [
    Input { name: "contiguous", leaf: &[2, 3, 7, 6], view: Tensor::clone },
    Input { name: "unbatched", leaf: &[3, 7, 6], view: Tensor::clone },
    Input { name: "permuted", leaf: &[7, 2, 6, 3], view: |x| x.permute(&[1, 3, 0, 2]) },
    Input { name: "flipped", leaf: &[2, 3, 7, 6], view: |x| x.flip(&[1, 2, 3]) },
    Input { name: "every second", leaf: &[2, 3, 14, 12], view: |x| x.slice_step(2, 1..14, 2).slice_step(3, 0..12, 2) },
    Input { name: "expanded planes", leaf: &[1, 1, 7, 6], view: |x| x.expand([2, 3, 7, 6]) },
    Input { name: "a fused sum", leaf: &[2, 3, 6, 7], view: |x| x.permute(&[0, 1, 3, 2]) * 0.5 + 1.0 },
    Input { name: "no images", leaf: &[0, 3, 7, 6], view: Tensor::clone },
];

/// Sequences and volumes.
const OTHERS: [(usize, Input); 3] = [
    (1, Input { name: "sequences", leaf: &[2, 3, 11], view: Tensor::clone }),
    (1, Input { name: "reversed", leaf: &[3, 11], view: |x| x.flip(&[1]) }),
    (3, Input { name: "volumes", leaf: &[2, 4, 5, 6], view: |x| x.flip(&[2]) }),
];

fn pools() -> Vec<Pool> {
    vec![
        Pool::new(2),
        Pool { stride: 2.into(), padding: 1.into(), ..Pool::new(3) },
        Pool { stride: [1, 3].into(), padding: [1, 0].into(), dilation: [1, 2].into(), ..Pool::new([3, 2]) },
        Pool { stride: 3.into(), ceil_mode: true, ..Pool::new(2) },
        Pool { stride: 2.into(), padding: 1.into(), ceil_mode: true, dilation: 2.into(), ..Pool::new(2) },
        Pool { stride: 9.into(), ..Pool::new([7, 6]) },
        Pool { stride: [4, 3].into(), dilation: [2, 1].into(), ..Pool::new(2) },
        Pool { stride: [3, 2].into(), ceil_mode: true, ..Pool::new([3, 2]) },
    ]
}

fn averages() -> Vec<AvgPool> {
    let base = || AvgPool { stride: 2.into(), padding: 1.into(), ..AvgPool::new(3) };
    vec![
        AvgPool::new(2),
        base(),
        AvgPool { ceil_mode: true, ..base() },
        AvgPool { ceil_mode: true, count_include_pad: false, stride: [1, 2].into(), ..base() },
        AvgPool { divisor_override: Some(5), ..base() },
    ]
}

#[test]
fn max_pooling() {
    let mut failures = Vec::new();
    for device in [gpu(), hardware()] {
        poison(device);
    }
    for input in &IMAGES {
        for (k, pool) in pools().iter().enumerate() {
            let both = |x: &Tensor| {
                let (values, index) = x.max_pool2d_with(pool);
                values + index.to_dtype(DType::F32) * 0.125
            };
            compare(&format!("with indices, pool {k}"), input, &both, TOLERANCE, &mut failures);
            // Windows that do not overlap have a gradient kernel of their own.
            let alone = |x: &Tensor| {
                wgrad::internals::tensor(wgrad::internals::node(&(x * 2.0)).max_pool(2, pool), x.device()).square()
            };
            compare(&format!("pool {k}"), input, &alone, TOLERANCE, &mut failures);
        }
        compare("max_pool2d", input, &|x| (x * 2.0).max_pool2d(3, 2, 1).square(), TOLERANCE, &mut failures);
        for size in [[3, 4], [9, 1], [7, 6]] {
            let adaptive = |x: &Tensor| x.adaptive_max_pool2d(size) * 2.0;
            compare(&format!("adaptive {size:?}"), input, &adaptive, TOLERANCE, &mut failures);
        }
    }
    for (dims, input) in &OTHERS {
        let (pool, adaptive): (Function, Function) = match dims {
            1 => (|x| x.max_pool1d(3, 2, 1), |x| x.adaptive_max_pool1d_with_indices(4).0),
            _ => (|x| x.max_pool3d([2, 3, 2], [1, 2, 2], [1, 0, 1]), |x| x.adaptive_max_pool3d([3, 2, 7])),
        };
        compare("max pool", input, &pool, TOLERANCE, &mut failures);
        compare("adaptive", input, &adaptive, TOLERANCE, &mut failures);
    }
    report(failures);
}

/// So many windows that invocations of software adapters walk down several rows of them: two neighbours in one load or alone, with rows,
/// columns and slices left over, in other orders in memory, and windows that overlap.
#[test]
fn max_pooling_of_many_windows() {
    let pools = [
        Pool::new(2),
        Pool::new(3),
        Pool { stride: [3, 2].into(), ..Pool::new([2, 2]) },
        Pool { stride: [1, 2].into(), ..Pool::new([3, 2]) },
        Pool { dilation: [2, 1].into(), stride: [4, 3].into(), ..Pool::new(2) },
    ];
    const MANY: [Input; 4] = [
        Input { name: "quads", leaf: &[16, 40, 19, 20], view: Tensor::clone },
        Input { name: "no quads", leaf: &[16, 40, 19, 14], view: Tensor::clone },
        Input { name: "odd columns", leaf: &[40, 16, 21, 15], view: |x| x.transpose(0, 1) },
        Input { name: "flipped", leaf: &[16, 40, 19, 20], view: |x| x.flip(&[2, 3]) },
    ];
    let mut failures = Vec::new();
    for input in &MANY {
        for (k, pool) in pools.iter().enumerate() {
            let op =
                |x: &Tensor| wgrad::internals::tensor(wgrad::internals::node(x).max_pool(2, pool), x.device()).square();
            compare(&format!("pool {k}"), input, &op, TOLERANCE, &mut failures);
        }
    }
    const VOLUME: Input = Input { name: "volumes", leaf: &[8, 24, 5, 12, 12], view: Tensor::clone };
    compare("max_pool3d", &VOLUME, &|x| x.max_pool3d([2, 2, 2], [2, 2, 2], [0, 0, 0]), TOLERANCE, &mut failures);
    compare("max_pool3d", &VOLUME, &|x| x.max_pool3d([2, 3, 3], [3, 3, 3], [0, 0, 0]), TOLERANCE, &mut failures);
    report(failures);
}

#[test]
fn average_pooling() {
    let mut failures = Vec::new();
    for input in &IMAGES {
        for (k, pool) in averages().iter().enumerate() {
            compare(&format!("average {k}"), input, &|x| x.avg_pool2d_with(pool), TOLERANCE, &mut failures);
        }
        compare("avg_pool2d", input, &|x| (x * 2.0).avg_pool2d(2, 1, 1).square(), TOLERANCE, &mut failures);
        for size in [[3, 4], [9, 1], [1, 1], [0, 2]] {
            let adaptive = |x: &Tensor| x.adaptive_avg_pool2d(size) * 2.0;
            compare(&format!("adaptive {size:?}"), input, &adaptive, TOLERANCE, &mut failures);
        }
    }
    for (dims, input) in &OTHERS {
        let (pool, adaptive): (Function, Function) = match dims {
            1 => (|x| x.avg_pool1d(3, 2, 1), |x| x.adaptive_avg_pool1d(4)),
            _ => (|x| x.avg_pool3d([2, 3, 2], [1, 2, 2], [1, 0, 1]), |x| x.adaptive_avg_pool3d([3, 2, 7])),
        };
        compare("average", input, &pool, TOLERANCE, &mut failures);
        compare("adaptive", input, &adaptive, TOLERANCE, &mut failures);
    }
    compare("lp", &IMAGES[0], &|x| x.square().lp_pool2d(2.0, 2, 1), TOLERANCE, &mut failures);
    report(failures);
}

#[test]
fn interpolation() {
    let mut failures = Vec::new();
    for mode in MODES {
        for input in IMAGES.iter().filter(|input| input.name != "unbatched") {
            for size in [[14, 12], [3, 5], [20, 1], [8, 6]] {
                let resize = |x: &Tensor| (x * 0.5).interpolate(&size, mode) + 1.0;
                compare(&format!("{mode:?} to {size:?}"), input, &resize, TOLERANCE, &mut failures);
            }
        }
        const LINE: Input = Input { name: "line", leaf: &[2, 11], view: |x| x.reshape([1, 2, 11]) };
        const CUBE: Input = Input { name: "cube", leaf: &[2, 3, 4, 5], view: |x| x.reshape([1, 2, 3, 4, 5]) };
        if matches!(mode, Interpolate::Bicubic | Interpolate::BicubicAligned) {
            continue;
        }
        compare("line", &LINE, &|x| x.interpolate(&[29], mode), TOLERANCE, &mut failures);
        compare("cube", &CUBE, &|x| x.interpolate(&[7, 2, 9], mode), TOLERANCE, &mut failures);
    }
    for input in &IMAGES[..2] {
        let shuffled = |x: &Tensor| x.slice(-2, 0..6).pixel_unshuffle(2).square().pixel_shuffle(2);
        compare("pixel_shuffle", input, &shuffled, TOLERANCE, &mut failures);
    }
    report(failures);
}

/// Windows of more taps than one stage walks through, forward and backward.
#[test]
fn windows_of_many_taps() {
    let mut failures = Vec::new();
    const IMAGE: Input = Input { name: "image", leaf: &[1, 260, 252], view: Tensor::clone };
    const PIXEL: Input = Input { name: "pixel", leaf: &[1, 1, 1], view: Tensor::clone };
    let kernel = [256, 250];
    compare("max", &IMAGE, &|x| x.max_pool2d(kernel, 1, 0), TOLERANCE, &mut failures);
    let index = |x: &Tensor| {
        let (values, index) = x.max_pool2d_with(&Pool { stride: 2.into(), ..Pool::new(kernel) });
        values + index.to_dtype(DType::F32)
    };
    compare("index", &IMAGE, &index, TOLERANCE, &mut failures);
    let mean = |x: &Tensor| x.avg_pool2d(kernel, [3, 1], 0) * 1000.0;
    compare("average", &IMAGE, &mean, 1e-4, &mut failures);
    for mode in [Interpolate::Nearest, Interpolate::Bilinear] {
        let grow = |x: &Tensor| x.reshape([1, 1, 1, 1]).interpolate(&[250, 260], mode);
        compare("interpolate", &PIXEL, &grow, 1e-4, &mut failures);
    }
    compare("adaptive average", &PIXEL, &|x| x.adaptive_avg_pool2d([250, 260]), 1e-4, &mut failures);
    compare("adaptive max", &PIXEL, &|x| x.adaptive_max_pool2d([250, 260]), 1e-4, &mut failures);
    report(failures);
}

/// More than 65,535 workgroups of 256.
#[test]
fn outputs_of_many_workgroups() {
    let n = 1usize << 24;
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu()).reshape([1, n]);
    let wrong = |y: &Tensor| y.ne(&x).to_dtype(DType::I32).sum().item::<i32>().unwrap();
    assert_eq!(wrong(&x.max_pool1d(1, 1, 0)), 0);
}

/// The numbers of PyTorch 2.
#[test]
fn known_values() {
    let row = |v: &[f64], device: &Device| floats(v, &[1, 1, v.len()], device);
    for device in [cpu(), gpu(), hardware()] {
        let six = row(&[1., 2., 3., 4., 5., 6.], device);
        let ceil = AvgPool { stride: 2.into(), padding: 1.into(), ceil_mode: true, ..AvgPool::new(3) };
        assert_close("ceil", &values(&six.avg_pool1d_with(&ceil)), &[1., 3., 5., 3.], 1e-6);
        let inside = AvgPool { count_include_pad: false, ..ceil };
        assert_close("inside", &values(&six.avg_pool1d_with(&inside)), &[1.5, 3., 5., 6.], 1e-6);
        let three = row(&[1., 2., 4.], device);
        let linear = |n: usize| values(&three.interpolate(&[n], Interpolate::Bilinear));
        assert_close("linear up", &linear(5), &[1.0, 1.4, 2.0, 3.2, 4.0], 1e-6);
        assert_close("linear down", &linear(2), &[1.25, 3.5], 1e-6);
        let square = floats(&[0., 1., 2., 3.], &[1, 1, 2, 2], device).interpolate(&[3, 4], Interpolate::Bilinear);
        let expected = [0., 0.25, 0.75, 1., 1., 1.25, 1.75, 2., 2., 2.25, 2.75, 3.];
        assert_close("bilinear", &values(&square), &expected, 1e-6);
        let five = row(&[0., 1., 2., 3., 4.], device);
        let nearest = |n: usize| values(&five.interpolate(&[n], Interpolate::Nearest));
        assert_eq!(nearest(3), [0., 1., 3.]);
        assert_eq!(nearest(8), [0., 0., 1., 1., 2., 3., 3., 4.]);
        assert_close("lp", &values(&row(&[1., -2., 4., 3.], device).lp_pool1d(2.0, 2, 2)), &[5f64.sqrt(), 5.0], 1e-6);
        let shuffled = Tensor::arange(0.0, 16.0, 1.0, device).reshape([4, 2, 2]).pixel_shuffle(2);
        assert_eq!(values(&shuffled), [0., 4., 1., 5., 8., 12., 9., 13., 2., 6., 3., 7., 10., 14., 11., 15.]);
        let image = |h: usize, w: usize| Tensor::ones([1, 1, h, w], device);
        let ceil = |stride: usize, padding: usize| Pool {
            stride: stride.into(),
            padding: padding.into(),
            ceil_mode: true,
            ..Pool::new(2)
        };
        assert_eq!(image(5, 5).max_pool2d_with(&ceil(2, 0)).0.shape(), [1, 1, 3, 3]);
        // The third window would start in the padding after the input.
        assert_eq!(image(5, 5).max_pool2d_with(&ceil(3, 1)).0.shape(), [1, 1, 2, 2]);
    }
}

/// Ties, NaN and infinities: the first of equal elements wins, NaN wins over all.
#[test]
fn which_element_is_largest() -> wgrad::Result<()> {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[3f32, 3., 1., 3., nan, 1., nan, inf, -inf, -inf, -inf, -inf], [1, 12], device);
        let (y, index) = x.max_pool1d_with(&Pool::new(4));
        let found = values(&y);
        assert!(found[0] == 3.0 && found[1].is_nan() && found[2] == f64::NEG_INFINITY, "{found:?}");
        assert_eq!(values(&index), [0.0, 6.0, 8.0]);
        assert_eq!(index.dtype(), DType::U32);
        let x = Tensor::from_slice(&[1f32, 2., 2., 0.], [1, 4], device).requires_grad();
        x.max_pool1d(3, 1, 1).sum().backward()?;
        assert_eq!(values(&x.grad().unwrap()), [0.0, 3.0, 1.0, 0.0]);
    }
    Ok(())
}

/// Where windows overlap, and with holes, against loops that share nothing with the reference.
#[test]
fn the_reference_agrees_with_plain_loops() {
    let (h, w) = (7i64, 6i64);
    let data = Rng(3).vec((h * w) as usize, -2.0, 2.0);
    let x = floats(&data, &[1, 7, 6], cpu());
    for (kernel, stride, padding, dilation) in [(3, 2, 1, 1), (2, 1, 1, 2), (3, 3, 0, 1), (1, 2, 0, 1)] {
        let out = |size: i64| (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
        let (mut largest, mut places, mut means) = (Vec::new(), Vec::new(), Vec::new());
        for (i, j) in (0..out(h)).flat_map(|i| (0..out(w)).map(move |j| (i, j))) {
            let (mut best, mut place, mut sum) = (f64::NEG_INFINITY, 0, 0.0);
            for (a, b) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                let (r, c) = (i * stride - padding + a * dilation, j * stride - padding + b * dilation);
                if (0..h).contains(&r) && (0..w).contains(&c) {
                    let value = data[(r * w + c) as usize];
                    sum += value;
                    if value > best {
                        (best, place) = (value, r * w + c);
                    }
                }
            }
            largest.push(best);
            places.push(place as f64);
            means.push(sum / (kernel * kernel) as f64);
        }
        let n = |v: i64| (v as usize).into();
        let pool =
            Pool { kernel: n(kernel), stride: n(stride), padding: n(padding), dilation: n(dilation), ceil_mode: false };
        let (y, index) = x.max_pool2d_with(&pool);
        assert_eq!((values(&y), values(&index)), (largest, places));
        if dilation == 1 {
            let y = x.avg_pool2d(kernel as usize, stride as usize, padding as usize);
            assert_close("average", &values(&y), &means, 1e-12);
        }
    }
}

/// One input each; second derivatives are those of the square.
const FUNCTIONS: [(&str, &[usize], Function); 16] = [
    ("max", &[1, 2, 5, 4], |x| x.max_pool2d(3, 2, 1)),
    ("max, dilated", &[2, 7], |x| {
        x.max_pool1d_with(&Pool { stride: 1.into(), padding: 1.into(), dilation: 3.into(), ..Pool::new(2) }).0
    }),
    ("max 3d", &[1, 3, 3, 4], |x| x.max_pool3d(2, 1, 0)),
    ("average", &[1, 2, 5, 4], |x| x.avg_pool2d(3, 2, 1)),
    ("average inside", &[2, 7], |x| {
        let pool = AvgPool { stride: 2.into(), padding: 1.into(), ceil_mode: true, ..AvgPool::new(3) };
        x.avg_pool1d_with(&AvgPool { count_include_pad: false, ..pool })
    }),
    ("adaptive average", &[2, 5, 4], |x| x.adaptive_avg_pool2d([3, 6])),
    ("adaptive max", &[2, 5, 4], |x| x.adaptive_max_pool2d([3, 6])),
    ("nearest", &[1, 2, 5], |x| x.interpolate(&[8], Interpolate::Nearest)),
    ("bilinear", &[1, 1, 3, 4], |x| x.interpolate(&[5, 3], Interpolate::Bilinear)),
    ("nearest exact", &[1, 2, 5], |x| x.interpolate(&[8], Interpolate::NearestExact)),
    ("aligned", &[1, 1, 3, 4], |x| x.interpolate(&[5, 3], Interpolate::BilinearAligned)),
    ("bicubic", &[1, 1, 3, 4], |x| x.interpolate(&[5, 3], Interpolate::Bicubic)),
    ("bicubic aligned", &[1, 1, 3, 4], |x| x.interpolate(&[5, 3], Interpolate::BicubicAligned)),
    ("area", &[1, 1, 3, 4], |x| x.interpolate(&[5, 3], Interpolate::Area)),
    ("lp", &[1, 6], |x| (x.square() + 0.5).lp_pool1d(3.0, 2, 1)),
    ("shuffle", &[4, 2, 1], |x| x.pixel_shuffle(2)),
];

#[test]
fn derivatives_of_first_and_second_order() {
    let mut failures = Vec::new();
    for (name, shape, f) in FUNCTIONS {
        let x = floats(&Rng(11).vec(shape.iter().product(), -2.0, 2.0), shape, cpu());
        if let Err(error) = gradcheck(|x| f(&x[0]), &[&x], 1e-6) {
            failures.push(format!("{name}: {error}"));
        }
        if let Err(error) = gradgradcheck(|x| f(&x[0]).square(), &[&x], 1e-5) {
            failures.push(format!("{name}, second order: {error}"));
        }
    }
    report(failures);
}

/// Gradients of gradients by the GPU's kernels.
#[test]
fn second_derivatives_on_the_gpu() {
    for (name, shape, f) in FUNCTIONS {
        let second = |device: &Device| {
            let x = floats(&Rng(12).vec(shape.iter().product(), -2.0, 2.0), shape, device).requires_grad();
            let y = f(&x).square();
            let first = grad_with(&[&y.sum()], &[None], &[&x], true).unwrap_or_else(|e| panic!("{name}: {e}"));
            let total = (&first[0] * &first[0]).sum();
            values(&grad_with(&[&total], &[None], &[&x], false).unwrap_or_else(|e| panic!("{name}: {e}"))[0])
        };
        let expected = second(cpu());
        for device in [gpu(), hardware()] {
            assert_close(name, &second(device), &expected, 1e-5);
        }
    }
}

#[test]
fn bad_calls_are_errors() {
    let t = |shape: &[usize]| Tensor::ones(shape, gpu());
    let (x, whole) = (t(&[2, 3, 6, 6]), Tensor::from_slice(&[1i32, 2], [1, 2], gpu()));
    let huge = 1usize << 40;
    let dilated = Pool { dilation: 3.into(), padding: 1.into(), stride: 1.into(), ..Pool::new(2) };
    for (y, text) in [
        (t(&[6, 6]).max_pool2d(2, 2, 0), "max_pool2d: takes [N, C, …] or [C, …] with 2 spatial dims"),
        (t(&[1, 1, 1, 6, 6]).avg_pool2d(2, 2, 0), "avg_pool2d: takes [N, C, …]"),
        (t(&[2, 0, 6, 6]).max_pool2d(2, 2, 0), "none but N of size 0"),
        (t(&[2, 3, 0, 6]).adaptive_avg_pool2d(2), "none but N of size 0"),
        (whole.max_pool1d(2, 2, 0), "max_pool1d: takes floats"),
        (whole.avg_pool1d(2, 2, 0), "avg_pool1d: takes floats"),
        (x.max_pool2d(0, 2, 0), "must be above 0"),
        (x.max_pool2d(2, 0, 0), "must be above 0, not kernel 2, stride 0"),
        (x.max_pool2d_with(&Pool { dilation: 0.into(), ..Pool::new(2) }).1, "must be above 0"),
        (
            x.max_pool2d(2, 2, 2),
            "max_pool2d: the padding may be at most half the kernel, not kernel 2, stride 2, padding 2",
        ),
        (x.max_pool2d([2, 2, 2], 2, 0), "kernel has 3 numbers; give one, or one for each of the 2 spatial dims"),
        (x.max_pool2d(2, [2, 2, 2], 0), "stride has 3 numbers"),
        (x.max_pool2d(7, 1, 0), "max_pool2d: no window fits"),
        (x.avg_pool2d([7, 2], 1, 0), "avg_pool2d: no window fits"),
        (x.max_pool2d(huge, 1, huge / 2), "max_pool2d"),
        (x.max_pool2d(usize::MAX, 1, usize::MAX / 2), "max_pool2d"),
        (x.max_pool2d(2, huge, 0), "exceed 32-bit index arithmetic"),
        (t(&[1, 2, 2]).max_pool2d_with(&dilated).0, "a window reads padding only"),
        (x.avg_pool2d_with(&AvgPool { divisor_override: Some(0), ..AvgPool::new(2) }), "the divisor must not be 0"),
        (x.adaptive_avg_pool2d([2, 2, 2]), "size has 3 numbers"),
        (x.adaptive_max_pool2d(huge), "exceed 32-bit index arithmetic"),
        (x.lp_pool2d(0.0, 2, 2), "lp_pool: the order 0 has no root"),
        (x.interpolate(&[3], Interpolate::Nearest), "interpolate: takes [N, C, …]"),
        (x.interpolate(&[], Interpolate::Nearest), "interpolate: takes [N, C, …]"),
        (x.interpolate(&[3, 0], Interpolate::Bilinear), "sizes [3, 0] must be above 0"),
        (x.interpolate(&[huge, 3], Interpolate::Bilinear), "exceed 32-bit index arithmetic"),
        (whole.reshape([1, 1, 2]).interpolate(&[3], Interpolate::Nearest), "interpolate: takes floats"),
        (t(&[2, 0, 4]).interpolate(&[3], Interpolate::Nearest), "none but N of size 0"),
        (t(&[3, 2, 2]).pixel_shuffle(2), "pixel_shuffle: the dims do not divide by a factor of 2"),
        (t(&[4, 2, 2]).pixel_shuffle(0), "by a factor of 0"),
        (t(&[4, 2]).pixel_shuffle(2), "pixel_shuffle: needs at least three dims"),
        (t(&[1, 3, 4]).pixel_unshuffle(2), "pixel_unshuffle: the dims do not divide"),
        (t(&[1, 3, 4]).pixel_unshuffle(usize::MAX), "pixel_unshuffle: the dims do not divide"),
        (x.reshape([7]).max_pool2d_with(&Pool::new(2)).1, "reshape"),
        (x.reshape([7]).interpolate(&[2, 2], Interpolate::Nearest), "reshape"),
    ] {
        let error = y.check().expect_err(text).to_string();
        assert!(error.contains(text) && error.contains("pooling.rs:"), "{error} instead of {text}");
    }
}
