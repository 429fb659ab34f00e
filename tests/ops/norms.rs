//! Layer, RMS, group, instance and batch norm, forward and backward, over every way in which the operand lies in
//! memory.

use wgrad::autograd::{grad_with, gradcheck, gradgradcheck};
use wgrad::internals::Statistic;
use wgrad::internals::Var;
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::*;

const TOLERANCE: f64 = 2e-5;
const EPS: f32 = 1e-3;

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A fixed vector.
fn part(salt: u64, shape: &[usize], like: &Tensor) -> Tensor {
    floats(&Rng(salt).vec(shape.iter().product(), 0.5, 1.5), shape, like.device())
}

/// `[n, c, …]` in memory in several ways; the last ones are long.
const IMAGES: [Input; 7] = [
    Input { name: "contiguous", leaf: &[3, 4, 5], view: Tensor::clone },
    Input { name: "permuted", leaf: &[5, 3, 4], view: |x| x.permute(&[1, 2, 0]) },
    Input { name: "flipped", leaf: &[3, 4, 5], view: |x| x.flip(&[0, 1, 2]) },
    Input { name: "every second", leaf: &[3, 8, 10], view: |x| x.slice_step(1, 0..8, 2).slice_step(2, 1..10, 2) },
    Input { name: "expanded", leaf: &[3, 1, 5], view: |x| x.expand([3, 4, 5]) },
    Input { name: "two images of rank 4", leaf: &[2, 8, 3, 3], view: |x| x * 1.5 },
    Input { name: "large images", leaf: &[1, 4, 90, 100], view: Tensor::clone },
];

/// Rows of more than one kernel walks, rows that it just walks, more rows than workgroups in a dim of the grid.
const LARGE: [Input; 3] = [
    Input { name: "long rows", leaf: &[2, 20_000], view: Tensor::clone },
    Input { name: "rows of the longest kernel", leaf: &[2, 16_000], view: Tensor::clone },
    Input { name: "many rows", leaf: &[66_000, 2], view: Tensor::clone },
];

#[test]
fn layer_and_rms_norm_of_rows() {
    let mut failures = Vec::new();
    for input in &LARGE {
        compare("layer_norm", input, &|x| x.layer_norm(None, None, EPS), TOLERANCE, &mut failures);
        compare("rms_norm", input, &|x| x.rms_norm(None, EPS), TOLERANCE, &mut failures);
    }
    for input in INPUTS.iter().filter(|input| !input.is_large()) {
        let d = |x: &Tensor| part(1, &x.shape()[1..], x);
        let layer = |x: &Tensor| x.layer_norm(&d(x), &part(2, &x.shape()[1..], x), EPS);
        compare("layer_norm", input, &layer, TOLERANCE, &mut failures);
        compare("rms_norm", input, &|x| x.rms_norm(&d(x), EPS), TOLERANCE, &mut failures);
        compare("layer_norm plain", input, &|x| x.layer_norm(None, None, EPS), TOLERANCE, &mut failures);
        let fused = |x: &Tensor| (x * 0.5).layer_norm(&d(x), None, EPS).tanh() + 1.0;
        compare("layer_norm between", input, &fused, TOLERANCE, &mut failures);
    }
    for input in IMAGES.iter().filter(|input| !input.is_large()) {
        let layer = |x: &Tensor| x.layer_norm_dims(2, None, None, EPS);
        compare("layer_norm of two dims", input, &layer, TOLERANCE, &mut failures);
    }
    report(failures);
}

#[test]
fn norms_of_channels() {
    let mut failures = Vec::new();
    for input in &IMAGES {
        let (w, b) = (|x: &Tensor| part(3, &x.shape()[1..2], x), |x: &Tensor| part(4, &x.shape()[1..2], x));
        // The CPU reference takes its time over the large ones.
        for groups in if input.is_large() { vec![2] } else { vec![1, 2, 4] } {
            let group = |x: &Tensor| x.group_norm(groups, &w(x), &b(x), EPS);
            compare(&format!("group_norm {groups}"), input, &group, TOLERANCE, &mut failures);
        }
        if input.is_large() {
            let batch = |x: &Tensor| x.batch_norm(&w(x), None, &part(5, &x.shape()[1..2], x), &w(x), true, 0.1, EPS).0;
            compare("batch_norm", input, &batch, TOLERANCE, &mut failures);
            continue;
        }
        compare("instance_norm", input, &|x| x.instance_norm(&w(x), None, EPS), TOLERANCE, &mut failures);
        for (training, index) in [(true, 0), (true, 1), (true, 2), (false, 0)] {
            let batch = |x: &Tensor| {
                let all = x.batch_norm(
                    &w(x),
                    &b(x),
                    &part(5, &x.shape()[1..2], x),
                    &part(6, &x.shape()[1..2], x),
                    training,
                    0.1,
                    EPS,
                );
                // The running statistics have no gradient.
                let all = [all.0, all.1, all.2];
                if index == 0 { all[0].clone() } else { &all[index] + &(x * 0.0).sum() }
            };
            compare(&format!("batch_norm {index}, training {training}"), input, &batch, TOLERANCE, &mut failures);
        }
    }
    report(failures);
}

/// Gradients of x, weight and bias: rows that are held and rows that are not, one row and none, many rows, operands with strides, f16.
#[test]
fn gradients_of_weights_and_biases() {
    const SIZES: [(usize, usize); 9] =
        [(0, 8), (3, 0), (1, 1), (5, 7), (37, 33), (300, 128), (66_000, 2), (9, 1028), (150, 512)];
    for (i, (rows, size)) in SIZES.into_iter().enumerate() {
        for (seed, rms, dtype) in [(0, false, DType::F32), (1, true, DType::F32), (2, false, DType::F16)] {
            // Large ones take their time, on the CPU reference and to compile.
            if rows * size > 1000 && seed != i as u64 % 3 {
                continue;
            }
            let run = |device: &Device| {
                poison(device);
                let data = |count: usize, salt: u64| Rng(100 * i as u64 + 10 * seed + salt).vec(count, -1.0, 2.0);
                let x = tensor(&data(rows * size, 0), &[size, rows], dtype, device).requires_grad();
                let w = tensor(&data(2 * size, 1), &[2 * size], dtype, device).requires_grad();
                let b = tensor(&data(size, 2), &[size], dtype, device).requires_grad();
                let dy = tensor(&data(rows * size, 3), &[rows, size], dtype, device);
                let weight = w.slice_step(0, 0..2 * size, 2);
                let y = match rms {
                    true => x.t().rms_norm(&weight, EPS) + &b,
                    false => x.t().layer_norm(&weight, &b, EPS),
                };
                let gradients = grad_with(&[&(&y * &dy).sum()], &[None], &[&x, &w, &b], false);
                let gradients = gradients.unwrap_or_else(|e| panic!("{e}"));
                [&[y][..], &gradients].concat().iter().map(values).collect::<Vec<_>>()
            };
            let expected = run(cpu());
            for device in [gpu(), hardware(), plain()] {
                for (part, (found, expected)) in ["y", "dx", "dw", "db"].iter().zip(run(device).iter().zip(&expected)) {
                    let tolerance = if dtype == DType::F16 { 3e-3 } else { TOLERANCE };
                    assert_close(&format!("{part} of [{rows}, {size}], {dtype:?}"), found, expected, tolerance);
                }
            }
        }
    }
}

type Function<'a> = &'a dyn Fn(&Tensor) -> Tensor;

/// The kernels against the decomposition that gradients of gradients use, on every device.
#[test]
fn kernels_agree_with_their_decompositions() {
    for device in [cpu(), gpu(), hardware()] {
        poison(device);
        for seed in 0..3 {
            let data = Rng(40 + seed).vec(3 * 6 * 35, -3.0, 2.0);
            let dy = floats(&Rng(50 + seed).vec(data.len(), -1.0, 1.0), &[3, 6, 35], device);
            let both = |f: &dyn Fn(&Tensor) -> Tensor, create_graph: bool| {
                let x = floats(&data, &[3, 6, 35], device).requires_grad();
                let y = f(&x);
                let dx = grad_with(&[&y], &[Some(&dy)], &[&x], create_graph).unwrap_or_else(|e| panic!("{e}"));
                (values(&y), values(&dx[0]))
            };
            let composed = |statistic: Statistic, rows: std::ops::Range<usize>| {
                move |x: &Tensor| {
                    let y: Var = wgrad::internals::node(x).normalize_composed(statistic, rows.clone(), f64::from(EPS));
                    wgrad::internals::tensor(y, x.device())
                }
            };
            let zeros = |x: &Tensor| Tensor::zeros([6], x.device());
            let cases: [(&str, Function, Function); 4] = [
                ("layer", &|x| x.layer_norm(None, None, EPS), &composed(Statistic::Layer, 0..2)),
                ("rms", &|x| x.rms_norm(None, EPS), &composed(Statistic::Rms, 0..2)),
                ("group", &|x| x.group_norm(6, None, None, EPS), &composed(Statistic::Layer, 0..2)),
                (
                    "batch",
                    &|x| x.batch_norm(None, None, &zeros(x), &zeros(x), true, 0.1, EPS).0,
                    &composed(Statistic::Layer, 1..2),
                ),
            ];
            for (name, fused, composed) in cases {
                let (y, dx) = both(fused, false);
                let (expected, expected_dx) = both(composed, false);
                assert_close(name, &y, &expected, 2e-6);
                assert_close(&format!("{name} backward"), &dx, &expected_dx, 5e-6);
                assert_close(&format!("{name} for second order"), &both(fused, true).1, &expected_dx, 5e-6);
            }
        }
    }
}

/// Data of mean 1000 and standard deviation 1 lose nothing to cancellation, short rows or long.
#[test]
fn data_far_from_zero() {
    for n in [64usize, 9001, 40_000] {
        let data: Vec<f64> = Rng(7).vec(2 * n, -1.7, 1.7).iter().map(|v| f64::from((v + 1000.0) as f32)).collect();
        let expected = values(&floats(&data, &[2, n], cpu()).layer_norm(None, None, 1e-5));
        let exact: Vec<f64> = data
            .chunks(n)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / n as f64;
                let var = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
                row.iter().map(move |v| (v - mean) / (var + f64::from(1e-5f32)).sqrt()).collect::<Vec<_>>()
            })
            .collect();
        assert_close("the reference", &expected, &exact, 1e-9);
        for device in [gpu(), hardware()] {
            let worst = |found: Vec<f64>| found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let layer = worst(values(&floats(&data, &[2, n], device).layer_norm(None, None, 1e-5)));
            // The same rows as channels of a batch.
            let x = floats(&data, &[2, n], device).t();
            let zeros = Tensor::zeros([2], device);
            let (y, mean, var) = x.batch_norm(None, None, &zeros, &zeros, true, 1.0, 1e-5);
            let batch = worst(values(&y.t()));
            assert!(layer < 1e-5 && batch < 1e-5, "{n}: {layer:.1e}, {batch:.1e}");
            for (k, row) in data.chunks(n).enumerate() {
                let exact = row.iter().sum::<f64>() / n as f64;
                let unbiased = row.iter().map(|v| (v - exact) * (v - exact)).sum::<f64>() / (n - 1) as f64;
                assert!((values(&mean)[k] - exact).abs() < 7e-5, "{n}");
                assert!((values(&var)[k] - unbiased).abs() < 1e-5, "{n}");
            }
        }
    }
}

/// Worked by hand: [1, 3] has mean 2, biased variance 1, unbiased variance 2.
#[test]
fn running_statistics() -> wgrad::Result<()> {
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[1f32, 10.0, 3.0, 30.0], [2, 2], device);
        let (mean, var) = (Tensor::from_slice(&[4f32, 0.0], [2], device), Tensor::ones([2], device));
        let (w, b) = (Tensor::from_slice(&[2f32, 1.0], [2], device), Tensor::from_slice(&[0f32, 5.0], [2], device));
        let (y, new_mean, new_var) = x.batch_norm(&w, &b, &mean, &var, true, 0.25, 0.0);
        assert_close("training", &values(&y), &[-2.0, 4.0, 2.0, 6.0], 1e-6);
        assert_close("mean", &values(&new_mean), &[3.5, 5.0], 1e-6);
        assert_close("var", &values(&new_var), &[1.25, 50.75], 1e-6);
        let (y, same_mean, same_var) = x.batch_norm(&w, &b, &mean, &var, false, 0.25, 0.0);
        assert_close("evaluation", &values(&y), &[-6.0, 15.0, -2.0, 35.0], 1e-6);
        assert_eq!((values(&same_mean), values(&same_var)), (values(&mean), values(&var)));
    }
    Ok(())
}

#[test]
fn derivatives_of_first_and_second_order() -> wgrad::Result<()> {
    let cpu = cpu();
    let x = floats(&Rng(1).vec(24, -2.0, 2.0), &[2, 4, 3], cpu);
    let (w, b) = (floats(&Rng(2).vec(4, 0.5, 1.5), &[4], cpu), floats(&Rng(3).vec(4, -1.0, 1.0), &[4], cpu));
    let (u, v) = (floats(&Rng(4).vec(3, 0.5, 1.5), &[3], cpu), floats(&Rng(5).vec(12, -1.0, 1.0), &[4, 3], cpu));
    let check = |f: &dyn Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor]| {
        gradcheck(f, inputs, 1e-6)?;
        gradgradcheck(|x| f(x).square(), inputs, 1e-5)
    };
    check(&|x| x[0].layer_norm(&x[1], &x[2], 1e-2), &[&x, &u, &u])?;
    check(&|x| x[0].layer_norm_dims(2, &x[1], &x[2], 1e-2), &[&x, &v, &v])?;
    check(&|x| x[0].rms_norm(&x[1], 1e-2), &[&x, &u])?;
    check(&|x| x[0].group_norm(2, &x[1], &x[2], 1e-2), &[&x, &w, &b])?;
    check(&|x| x[0].instance_norm(&x[1], &x[2], 1e-2), &[&x, &w, &b])?;
    for training in [true, false] {
        let batch = |x: &[Tensor]| {
            let running = Tensor::full([4], 0.75, x[0].device());
            x[0].batch_norm(&x[1], &x[2], &running, &running, training, 0.1, 1e-2).0
        };
        check(&batch, &[&x, &w, &b])?;
    }
    check(
        &|x| {
            wgrad::internals::tensor(
                wgrad::internals::node(&x[0]).normalize_composed(Statistic::Layer, 1..2, 1e-2),
                x[0].device(),
            )
        },
        &[&x],
    )?;
    Ok(())
}

/// Second derivatives by the GPU's kernels.
#[test]
fn second_derivatives_on_the_gpu() {
    let second = |device: &Device, f: &dyn Fn(&Tensor) -> Tensor| {
        let x = floats(&Rng(21).vec(60, -2.0, 2.0), &[3, 4, 5], device).requires_grad();
        let dy = floats(&Rng(22).vec(60, -2.0, 2.0), &[3, 4, 5], device);
        let first = grad_with(&[&f(&x)], &[Some(&dy)], &[&x], true).unwrap_or_else(|e| panic!("{e}"));
        let total = (&first[0] * &dy.tanh()).sum();
        values(&grad_with(&[&total], &[None], &[&x], false).unwrap_or_else(|e| panic!("{e}"))[0])
    };
    let functions: [(&str, Function); 3] = [
        ("layer", &|x| x.layer_norm(None, None, 1e-2)),
        ("rms", &|x| x.rms_norm(None, 1e-2)),
        ("group", &|x| x.group_norm(2, None, None, 1e-2)),
    ];
    for (name, f) in functions {
        for device in [gpu(), hardware()] {
            assert_close(name, &second(device, f), &second(cpu(), f), 1e-4);
        }
    }
}

#[test]
fn empty_and_single_inputs() {
    for device in [cpu(), gpu(), hardware()] {
        let vector = |n: usize| Tensor::ones([n], device);
        for shape in [[0usize, 3, 2], [2, 3, 0]] {
            let x = Tensor::zeros(shape, device);
            for y in [
                x.layer_norm(None, None, EPS),
                x.layer_norm_dims(3, None, None, EPS),
                x.rms_norm(None, EPS),
                x.group_norm(3, &vector(3), None, EPS),
                x.instance_norm(None, None, EPS),
                x.batch_norm(None, &vector(3), &vector(3), &vector(3), true, 0.1, EPS).0,
            ] {
                assert_eq!(
                    (y.shape(), y.to_vec::<f64>().or_else(|_| Ok::<_, wgrad::Error>(values(&y))).unwrap()),
                    (&shape[..], vec![])
                );
            }
            // Nothing was seen, so nothing is known better than before.
            let (_, mean, var) = x.batch_norm(None, None, &vector(3), &vector(3), true, 0.1, EPS);
            assert_eq!((values(&mean), values(&var)), (vec![1.0; 3], vec![1.0; 3]));
        }
        // One element less its mean is 0.
        let one = Tensor::full([1, 1], 3.0, device);
        assert_eq!(values(&one.layer_norm(None, None, EPS)), [0.0]);
        assert!((values(&one.rms_norm(None, 0.0))[0] - 1.0).abs() < 1e-6);
        // NaN stays in its row.
        let x = Tensor::from_slice(&[f32::NAN, 1.0, 1.0, 3.0], [2, 2], device);
        let y = values(&x.layer_norm(None, None, 0.0));
        assert!(y[0].is_nan() && y[1].is_nan() && (y[2] + 1.0).abs() < 1e-6 && (y[3] - 1.0).abs() < 1e-6, "{y:?}");
    }
}

#[test]
fn bad_calls_are_errors() {
    let device = gpu();
    let t = |shape: &[usize]| Tensor::ones(shape, device);
    let (x, c, d) = (t(&[2, 4, 3]), t(&[4]), t(&[3]));
    let whole = Tensor::from_slice(&[1i32, 2], [1, 2], device);
    let batch = |x: &Tensor, w: &Tensor, m: &Tensor, v: &Tensor| x.batch_norm(w, None, m, v, true, 0.1, EPS).0;
    let failed = x.reshape([7]);
    for (y, text) in [
        (x.layer_norm(&c, None, EPS), "layer_norm: the weight must have shape [3]"),
        (x.layer_norm(&d, &c, EPS), "layer_norm: the bias must have shape [3]"),
        (x.layer_norm_dims(0, None, None, EPS), "layer_norm: cannot normalise over the last 0 dims of shape [2, 4, 3]"),
        (x.layer_norm_dims(4, None, None, EPS), "the last 4 dims"),
        (t(&[]).rms_norm(None, EPS), "rms_norm: cannot normalise over the last 1 dims of shape []"),
        (whole.layer_norm(None, None, EPS), "layer_norm: takes floats"),
        (x.rms_norm(&c, EPS), "rms_norm: the weight must have shape [3]"),
        (x.rms_norm(&whole.reshape([2]), EPS), "rms_norm: takes floats"),
        (x.group_norm(3, None, None, EPS), "group_norm: 4 channels do not divide into 3 groups"),
        (x.group_norm(0, None, None, EPS), "into 0 groups"),
        (x.group_norm(2, &d, None, EPS), "group_norm: the weight must have shape [4]"),
        (t(&[4]).group_norm(2, None, None, EPS), "group_norm: takes [N, C]"),
        (t(&[1, 4]).group_norm(4, None, None, EPS), "group_norm: expects more than one value"),
        (t(&[2, 4, 1]).instance_norm(None, None, EPS), "instance_norm: expects more than one value"),
        (t(&[2, 4]).instance_norm(None, None, EPS), "instance_norm: expects more than one value"),
        (x.instance_norm(None, &d, EPS), "instance_norm: the bias must have shape [4]"),
        (batch(&t(&[1, 4]), &c, &c, &c), "batch_norm: expects more than one value a channel when training"),
        (batch(&x, &d, &c, &c), "batch_norm: the weight must have shape [4]"),
        (batch(&x, &c, &d, &c), "batch_norm: the running mean must have shape [4]"),
        (batch(&x, &c, &c, &d), "batch_norm: the running variance must have shape [4]"),
        (batch(&t(&[4]), &c, &c, &c), "batch_norm: takes [N, C]"),
        (batch(&failed, &c, &c, &c), "reshape"),
        (x.layer_norm(&failed, None, EPS), "reshape"),
    ] {
        let error = y.check().expect_err(text).to_string();
        assert!(error.contains(text) && error.contains("norms.rs:"), "{error} instead of {text}");
    }
    // Evaluation takes one value a channel.
    let (y, ..) = t(&[1, 4]).batch_norm(None, None, &c, &c, false, 0.1, 0.0);
    assert_eq!(values(&y), [0.0; 4]);
}
