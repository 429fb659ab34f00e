//! Ops over rows: softmax, cross-entropy and norms, forward and backward, over every way in which the operand lies in memory.

use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::*;

const TOLERANCE: f64 = 2e-5;

/// `op` over all inputs.
fn everywhere(what: &str, op: &dyn Fn(&Tensor) -> Tensor, failures: &mut Vec<String>) {
    for input in &INPUTS {
        compare(what, input, op, TOLERANCE, failures);
    }
}

/// `op` over the inputs that the CPU reference computes at once.
fn small(what: &str, op: &dyn Fn(&Tensor) -> Tensor, failures: &mut Vec<String>) {
    for input in INPUTS.iter().filter(|input| !input.is_large()) {
        compare(what, input, op, TOLERANCE, failures);
    }
}

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn softmax_of_rows_and_columns() {
    let mut failures = Vec::new();
    for dim in [0, 1] {
        everywhere(&format!("softmax {dim}"), &|x| x.softmax(dim), &mut failures);
        everywhere(&format!("log_softmax {dim}"), &|x| x.log_softmax(dim), &mut failures);
    }
    // With an op before and after, in the same kernel where fusion allows.
    small("softmax between", &|x| (x * 1.5).softmax(1).square() + 1.0, &mut failures);
    small("log_softmax between", &|x| (x - 0.5).log_softmax(0).tanh(), &mut failures);
    report(failures);
}

#[test]
fn norms_of_rows_and_columns() {
    let mut failures = Vec::new();
    for p in [1.0, 2.0, 3.0, f32::INFINITY] {
        let over = if p == 2.0 { everywhere } else { small };
        for dim in [0, 1] {
            over(&format!("norm {p} of {dim}"), &|x| x.norm_dims(p, &[dim], false), &mut failures);
        }
        over(&format!("norm {p}"), &|x| x.norm(p), &mut failures);
    }
    report(failures);
}

/// The kernels for GPUs with subgroups, of whatever size this adapter has.
#[test]
fn rows_by_subgroups_of_any_size() {
    let device = Device::gpu_with(true, |caps| {
        caps.software = false;
        caps.subgroup = caps.subgroup.map(|(smallest, largest)| (smallest, largest.max(32)));
    })
    .unwrap();
    for (rows, size) in [(1, 1), (3, 7), (5, 33), (9, 128), (2, 1000), (300, 1024), (70, 20_000)] {
        let mut rng = Rng((rows * size) as u64);
        let mut x = rng.vec(rows * size, -3.0, 3.0);
        let (w, b, up) = (rng.vec(size, -1.0, 1.0), rng.vec(size, -1.0, 1.0), rng.vec(rows * size, -1.0, 1.0));
        let targets: Vec<f64> = (0..rows).map(|_| rng.below(size) as f64).collect();
        let run = |x: &[f64], device: &Device| {
            poison(device);
            let leaf = |values: &[f64], shape: &[usize]| floats(values, shape, device).requires_grad();
            let (x, w, b) = (leaf(x, &[rows, size]), leaf(&w, &[size]), leaf(&b, &[size]));
            let up = floats(&up, &[rows, size], device);
            let targets = tensor(&targets, &[rows], DType::I32, device);
            let results = [x.softmax(1), x.log_softmax(1), x.layer_norm(&w, &b, 1e-5), x.rms_norm(&w, 1e-5)];
            let loss = loss::cross_entropy(&x, &targets);
            let all = results.iter().fold(loss.clone(), |sum, y| sum + (y * &up).sum());
            all.backward().unwrap();
            let grads = [&x, &w, &b].map(|leaf| leaf.grad().unwrap());
            results.iter().chain(&grads).chain([&loss]).map(values).collect::<Vec<_>>()
        };
        let compared = |x: &[f64], what: &str| {
            let (found, expected) = (run(x, &device), run(x, cpu()));
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{rows} x {size}, {what}, {i}"), found, expected, TOLERANCE);
            }
        };
        compared(&x, "numbers");
        // A row with NaN, and one with an infinity, spoil themselves only.
        x[size / 2] = f64::NAN;
        x[rows * size - 1] = f64::NEG_INFINITY;
        let softmax = |device: &Device| values(&floats(&x, &[rows, size], device).log_softmax(1));
        assert_close(&format!("{rows} x {size}, NaN"), &softmax(&device), &softmax(cpu()), TOLERANCE);
    }
}

/// Losses with every option, of `[n, classes]`.
fn options(classes: usize, ignored: i32, device: &Device) -> Vec<(&'static str, CrossEntropy)> {
    let weight: Vec<f64> = (0..classes).map(|k| 0.25 + (k % 5) as f64 * 0.5).collect();
    let weight = || Some(floats(&weight, &[classes], device));
    let plain = CrossEntropy::default;
    vec![
        ("plain", plain()),
        ("smooth", CrossEntropy { label_smoothing: 0.125, ..plain() }),
        ("ignore", CrossEntropy { ignore_index: Some(ignored), ..plain() }),
        ("weight", CrossEntropy { weight: weight(), ..plain() }),
        ("ignore, smooth", CrossEntropy { label_smoothing: 0.25, ignore_index: Some(ignored), ..plain() }),
        ("all", CrossEntropy { label_smoothing: 0.25, ignore_index: Some(ignored), weight: weight(), ..plain() }),
    ]
}

#[test]
fn cross_entropy_with_every_option() {
    let mut failures = Vec::new();
    for option in 0..6 {
        for unsigned in [false, true] {
            let name = options(1, 1, cpu())[option].0;
            let targets = |x: &Tensor| indices(x.shape()[0], x.shape()[1], &[x.shape()[0]], unsigned, x.device());
            let chosen = |x: &Tensor| options(x.shape()[1], 2, x.device()).swap_remove(option).1;
            let op = |x: &Tensor| loss::cross_entropy_with(x, &targets(x), &chosen(x));
            let nll = |x: &Tensor| loss::nll_with(x, &targets(x), &chosen(x));
            for input in &INPUTS {
                // No class means that every target is out of range; the large inputs take long on the CPU.
                if input.name == "no columns" || (input.is_large() && unsigned == (option % 2 == 0)) {
                    continue;
                }
                let what = |loss: &str| format!("{loss} {name}, unsigned {unsigned}");
                compare(&what("cross_entropy"), input, &op, TOLERANCE, &mut failures);
                compare(&what("nll"), input, &nll, TOLERANCE, &mut failures);
            }
        }
    }
    report(failures);
}

#[test]
fn cross_entropy_of_pixels() {
    const CUBES: [Input; 4] = [
        Input { name: "contiguous", leaf: &[4, 5, 3], view: Tensor::clone },
        Input { name: "permuted", leaf: &[3, 4, 5], view: |x| x.permute(&[1, 2, 0]) },
        Input { name: "flipped", leaf: &[4, 5, 3], view: |x| x.flip(&[0, 2]) },
        Input { name: "expanded", leaf: &[4, 5, 1], view: |x| x.expand([4, 5, 3]) },
    ];
    let mut failures = Vec::new();
    for input in &CUBES {
        for option in 0..6 {
            // The targets are a view as well.
            let op = |x: &Tensor| {
                let (name, chosen) = options(5, 2, x.device()).swap_remove(option);
                assert!(!name.is_empty());
                loss::cross_entropy_with(x, &indices(12, 5, &[3, 4], option % 2 == 0, x.device()).t(), &chosen)
            };
            compare(&format!("option {option}"), input, &op, TOLERANCE, &mut failures);
        }
    }
    report(failures);
}

/// An ignored target may be no class, or no value of the targets' type at all.
#[test]
fn ignored_targets_of_any_value() {
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.0, 1.0, 0.25], [2, 3], device);
        let ignoring = |i| CrossEntropy { ignore_index: Some(i), ..CrossEntropy::default() };
        let plain = loss::cross_entropy(&x, &Tensor::from_slice(&[0i32, 1], [2], device)).item::<f32>().unwrap();
        let last = loss::cross_entropy(&x.slice(0, 1..2), &Tensor::from_slice(&[1i32], [1], device));
        let last = last.item::<f32>().unwrap();
        let signed = Tensor::from_slice(&[-100i32, 1], [2], device);
        let found = loss::cross_entropy_with(&x, &signed, &ignoring(-100)).item::<f32>().unwrap();
        assert!((found - last).abs() < 1e-6, "{device:?}: {found} instead of {last}");
        // No unsigned target is below 0, so nothing is ignored.
        let unsigned = Tensor::from_slice(&[0u32, 1], [2], device);
        for ignored in [-100, -1, i32::MIN] {
            for option in [ignoring(ignored), CrossEntropy { label_smoothing: 1e-9, ..ignoring(ignored) }] {
                let found = loss::cross_entropy_with(&x, &unsigned, &option).item::<f32>().unwrap();
                assert!((found - plain).abs() < 1e-6, "{device:?}, ignoring {ignored}: {found} instead of {plain}");
                let found = loss::nll_with(&x.log_softmax(1), &unsigned, &option).item::<f32>().unwrap();
                assert!((found - plain).abs() < 1e-6, "{device:?}, nll ignoring {ignored}: {found} instead of {plain}");
            }
        }
    }
}

/// Softmax and cross-entropy of the CPU reference against loops that share nothing with it.
#[test]
fn the_reference_agrees_with_plain_loops() {
    let (n, c) = (5usize, 7usize);
    let x = Rng(5).vec(n * c, -3.0, 3.0);
    let targets: Vec<usize> = (0..n).map(|i| (i * 3 + 1) % c).collect();
    let weight: Vec<f64> = (0..c).map(|k| 0.25 + k as f64 * 0.5).collect();
    let (smoothing, ignored) = (0.125, targets[2]);
    let tensor = floats(&x, &[n, c], cpu());
    let (mut soft, mut log_soft) = (vec![0.0; n * c], vec![0.0; n * c]);
    let (mut top, mut bottom) = (0.0, 0.0);
    for i in 0..n {
        let total: f64 = (0..c).map(|k| x[i * c + k].exp()).sum();
        for k in 0..c {
            soft[i * c + k] = x[i * c + k].exp() / total;
            log_soft[i * c + k] = soft[i * c + k].ln();
        }
        if targets[i] == ignored {
            continue;
        }
        bottom += weight[targets[i]];
        for k in 0..c {
            let wanted = smoothing / c as f64 + if k == targets[i] { 1.0 - smoothing } else { 0.0 };
            top -= wanted * weight[k] * log_soft[i * c + k];
        }
    }
    assert_close("softmax", &values(&tensor.softmax(1)), &soft, 1e-12);
    assert_close("log_softmax", &values(&tensor.log_softmax(1)), &log_soft, 1e-12);
    let indices: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
    let indices = Tensor::from_slice(&indices, [n], cpu());
    let weight = Some(floats(&weight, &[c], cpu()));
    let options = CrossEntropy {
        label_smoothing: smoothing as f32,
        ignore_index: Some(ignored as i32),
        weight,
        ..CrossEntropy::default()
    };
    let found = loss::cross_entropy_with(&tensor, &indices, &options);
    assert_close("cross_entropy", &values(&found), &[top / bottom], 1e-12);
    let plain: f64 = (0..n).map(|i| -log_soft[i * c + targets[i]]).sum::<f64>() / n as f64;
    assert_close("plain", &values(&loss::cross_entropy(&tensor, &indices)), &[plain], 1e-12);
    let norms: Vec<f64> = x.chunks(c).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
    assert_close("norm", &values(&tensor.norm_dims(2.0, &[1], false)), &norms, 1e-12);
}

/// Numbers of classes beyond what one invocation walks, with every option, values and gradients; classes in the middle too.
#[test]
fn cross_entropy_of_very_many_classes() {
    for (classes, rows) in [(16_388, 5), (49_152, 4), (50_257, 3), (140_001, 2), (300_004, 1)] {
        let mut rng = Rng(classes as u64);
        let data: Vec<f64> = rng.vec(rows * classes, -4.0, 4.0).iter().map(|v| v + 300.0).collect();
        let target: Vec<i32> = (0..rows).map(|r| if r == 1 { 2 } else { rng.below(classes) as i32 }).collect();
        for option in 0..6 {
            for middle in [false, true] {
                let run = |device: &Device| {
                    poison(device);
                    let leaf = match middle {
                        false => floats(&data, &[rows, classes], device),
                        true => floats(&data, &[1, rows, classes], device).transpose(1, 2).contiguous().detach(),
                    }
                    .requires_grad();
                    let target = Tensor::from_slice(&target, [rows], device);
                    let target = if middle { target.unsqueeze(0) } else { target };
                    let (name, chosen) = options(classes, 2, device).swap_remove(option);
                    let y = loss::cross_entropy_with(&leaf, &target, &chosen);
                    (&y * 3.0).backward().unwrap();
                    (name, values(&y), values(&leaf.grad().unwrap()))
                };
                // The large ones once, with all options.
                if classes > 60_000 && (option != 5 && option != 4 || middle) {
                    continue;
                }
                let (name, y, gradient) = run(cpu());
                for device in [gpu(), hardware(), plain()] {
                    let found = run(device);
                    let what = format!("{name}: {classes} classes, in the middle: {middle}");
                    assert_close(&what, &found.1, &y, 2e-5);
                    let norm = gradient.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-30);
                    let off = found.2.iter().zip(&gradient).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(off / norm < 2e-5, "gradient of {what}: {:e}", off / norm);
                }
            }
        }
    }
}

#[test]
fn cross_entropy_of_special_rows() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for classes in [12, 20_004] {
        for (first, last, target) in [
            (0.0, inf, 0),
            (-inf, 1.0, 0),
            (nan, 1.0, 1),
            (1.0, nan, 0),
            (-inf, -inf, 1),
            (1e30, -1e30, 0),
            (-inf, 0.0, 3),
        ] {
            let mut data = vec![0.5; classes];
            (data[0], data[classes - 1]) = (first, last);
            let run = |device: &Device| {
                let leaf = floats(&data, &[1, classes], device).requires_grad();
                let smooth = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
                let t = Tensor::from_slice(&[target], [1], device);
                let y = loss::cross_entropy(&leaf, &t);
                y.backward().unwrap();
                let grad = values(&leaf.grad().unwrap());
                (values(&y), values(&loss::cross_entropy_with(&leaf, &t, &smooth)), grad)
            };
            let expected = run(cpu());
            for device in [gpu(), hardware(), plain()] {
                let found = run(device);
                let what = format!("{classes} classes from {first} to {last}, target {target}");
                assert_close(&what, &found.0, &expected.0, 1e-5);
                assert_close(&format!("{what}, smooth"), &found.1, &expected.1, 1e-5);
                assert_close(&format!("{what}, gradient"), &found.2, &expected.2, 1e-5);
            }
        }
    }
}
