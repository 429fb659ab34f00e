//! Draws by weights, logits, rates and parameters: reproducible, the CPU's draws but for rounding, and by the right distributions.

use wgrad::{DType, Device, Tensor, capture, f16};

use crate::common::*;
use crate::inputs::own_hardware;
use crate::random::drawn;

fn floats32(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

fn integers(x: &Tensor) -> Vec<i32> {
    x.to_vec::<i32>().unwrap_or_else(|error| panic!("{error}"))
}

/// Some of each kind of draw, as integers or bits.
fn all(device: &Device) -> [Vec<i32>; 5] {
    let weights = Tensor::arange(0.0, 40.0, 1.0, device).reshape([4, 10]);
    let rates = Tensor::arange(0.0, 400.0, 0.25, device) * 0.1;
    let normal = Tensor::normal([40, 10], weights.get(1), 2.0, device).to_vec::<f32>().unwrap();
    [
        integers(&weights.multinomial(200, true)),
        integers(&weights.expand([30, 4, 10]).reshape([120, 10]).multinomial(5, false)),
        integers(&weights.log().expand([300, 4, 10]).categorical()),
        integers(&rates.poisson().to_dtype(DType::I32)),
        normal.into_iter().map(|v| (v * 1e3).round() as i32).collect(),
    ]
}

#[test]
fn a_seed_gives_the_same_draws_on_every_device() {
    let found = drawn(gpu(), 3, all);
    assert_eq!(found, drawn(gpu(), 3, all));
    let cpu = drawn(cpu(), 3, all);
    let other = drawn(gpu(), 4, all);
    for ((a, b), c) in found.iter().zip(&cpu).zip(&other) {
        let differ = |b: &[i32]| a.iter().zip(b).filter(|(x, y)| x != y).count() as f64 / a.len() as f64;
        // Where rounding decides.
        assert!(a.len() == b.len() && differ(b) < 0.01, "{}", differ(b));
        assert!(differ(c) > 0.2, "{}", differ(c));
    }
}

/// Pearson's statistic is within six of its standard deviations.
fn assert_shares(what: &str, counts: &[usize], shares: &[f64]) {
    let n = counts.iter().sum::<usize>() as f64;
    assert!(counts.iter().zip(shares).all(|(&count, &share)| share > 0.0 || count == 0), "{what}: {counts:?}");
    let possible: Vec<(f64, f64)> =
        counts.iter().zip(shares).filter(|(_, s)| **s > 0.0).map(|(&count, &s)| (count as f64, n * s)).collect();
    let statistic: f64 = possible.iter().map(|(count, wanted)| (count - wanted).powi(2) / wanted).sum();
    let degrees = (possible.len() - 1) as f64;
    assert!(statistic < degrees + 6.0 * (2.0 * degrees).sqrt(), "{what}: {statistic} for {degrees}: {counts:?}");
}

fn counts(draws: &[i32], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    draws.iter().for_each(|&k| counts[usize::try_from(k).unwrap()] += 1);
    counts
}

const SHARES: [f64; 6] = [0.5, 0.0, 0.25, 0.2, 0.0, 0.05];

#[test]
fn categories_and_weights() {
    for (device, n) in [(gpu(), 200_000), (cpu(), 20_000)] {
        let shares = floats32(&SHARES.map(|s| s as f32), device);
        let draws = drawn(device, 1, |_| integers(&shares.log().expand([n, 6]).categorical()));
        assert_shares("categorical", &counts(&draws, 6), &SHARES);
        // Logits far from 0 have the same softmax.
        let far = drawn(device, 2, |_| integers(&(shares.log() - 1000.0).expand([n, 6]).categorical()));
        assert_shares("far", &counts(&far, 6), &SHARES);
        let draws = drawn(device, 3, |_| integers(&(&shares * 7.0).multinomial(n, true)));
        assert_shares("with replacement", &counts(&draws, 6), &SHARES);
        let pairs = drawn(device, 4, |_| integers(&shares.expand([n, 6]).multinomial(2, false)));
        let mut found = vec![0; 36];
        pairs.chunks(2).for_each(|pair| found[pair[0] as usize * 6 + pair[1] as usize] += 1);
        let wanted = |i: usize| {
            let (a, b) = (SHARES[i / 6], SHARES[i % 6]);
            if i / 6 == i % 6 { 0.0 } else { a * b / (1.0 - a) }
        };
        assert_shares("without", &found, &(0..36).map(wanted).collect::<Vec<_>>());
        // Everything, in some order.
        let mut order = integers(&Tensor::ones([257], device).multinomial(257, false));
        order.sort_unstable();
        assert_eq!(order, (0..257).collect::<Vec<_>>());
    }
}

/// Sums over thousands of weights round; a class of weight 0 is drawn all the same never, and each of the others as often as the next.
#[test]
fn many_classes() {
    for (device, classes) in [(gpu(), 100_003usize), (cpu(), 5_001)] {
        let n = 200_000;
        let weights: Vec<f32> = (0..classes).map(|k| if k % 3 == 1 { 0.1 } else { 0.0 }).collect();
        let draws = drawn(device, 5, |_| integers(&floats32(&weights, device).multinomial(n, true)));
        assert!(draws.iter().all(|k| k % 3 == 1));
        let tenths = draws.iter().map(|&k| (k as usize * 10 / classes) as i32).collect::<Vec<_>>();
        assert_shares("tenths", &counts(&tenths, 10), &[0.1; 10]);
    }
    let half = Tensor::full_as([40_000], 3.0, DType::F16, gpu());
    let draws = drawn(gpu(), 6, |_| integers(&half.multinomial(1000, true)));
    assert!(draws.iter().any(|&k| k > 38_000) && draws.iter().all(|&k| (0..40_000).contains(&k)));
}

#[test]
fn counts_of_events() {
    for (device, n) in [(gpu(), 100_000usize), (cpu(), 20_000)] {
        for (seed, rate) in [0.0f32, 0.5, 3.0, 9.75, 10.0, 15.0, 300.0, 1e6].into_iter().enumerate() {
            let rates = Tensor::full([n], rate, device);
            let found = drawn(device, seed as u64, |_| values(&rates.poisson()));
            assert!(found.iter().all(|&k| k >= 0.0 && k.fract() == 0.0));
            let r = f64::from(rate);
            let moment = |p: i32| found.iter().map(|k| (k - r).powi(p)).sum::<f64>() / n as f64;
            // Central moments, and the variances of their estimates.
            let spread = [r, r + 2.0 * r * r, 15.0 * r.powi(3) + 24.0 * r * r + r];
            for (p, wanted) in [(1, 0.0), (2, r), (3, r)] {
                let error = (moment(p) - wanted).abs();
                let bound = 5.0 * (spread[p as usize - 1] / n as f64).sqrt();
                assert!(error <= bound, "rate {rate}, moment {p}: {error} is above {bound}");
            }
            if [0.5, 3.0, 15.0].contains(&rate) {
                // ln k! step by step; what lies far out counts as one.
                let most = (r + 6.0 * r.sqrt()).ceil() as usize;
                let mut shares = vec![(-r).exp()];
                (1..most).for_each(|k| shares.push(shares[k - 1] * r / k as f64));
                shares.push(1.0 - shares.iter().sum::<f64>());
                shares[most] = shares[most].max(1e-6);
                let all = found.iter().map(|&k| (k as usize).min(most) as i32).collect::<Vec<_>>();
                assert_shares(&format!("rate {rate}"), &counts(&all, most + 1), &shares);
            }
        }
    }
    let half = Tensor::full_as([100], 4.0, DType::F16, cpu()).poisson();
    assert_eq!(half.dtype(), DType::F16);
    assert!(half.to_vec::<f16>().unwrap().iter().any(|&k| k > f16::ZERO));
}

#[test]
fn normal_by_tensors() {
    for device in [gpu(), cpu()] {
        let n = 100_000;
        let (means, stds) = (floats32(&[-3.0, 0.0, 50.0], device), floats32(&[0.5, 0.0, 4.0], device));
        let x = drawn(device, 7, |d| values(&Tensor::normal([n, 3], &means, &stds, d)));
        for (c, (mean, std)) in [(-3.0, 0.5), (0.0, 0.0), (50.0, 4.0)].into_iter().enumerate() {
            let column: Vec<f64> = x.chunks(3).map(|row| row[c]).collect();
            let found = column.iter().sum::<f64>() / n as f64;
            let spread = (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
            assert!((found - mean).abs() <= 5.0 * std / (n as f64).sqrt(), "{found}");
            assert!((spread - std).abs() <= 5.0 * std / (2.0 * n as f64).sqrt(), "{spread}");
        }
        let numbers = drawn(device, 8, |d| values(&Tensor::normal([50], 2.0, 3.0, d)));
        let plain = drawn(device, 8, |d| values(&(Tensor::randn([50], d) * 3.0 + 2.0)));
        assert_close("numbers", &numbers, &plain, 1e-5);
        // No gradient flows into the parameters.
        let mean = means.requires_grad();
        assert!(Tensor::normal([3], &mean, 1.0, device).sum().backward().is_err());
    }
}

#[test]
fn captured_steps_draw_anew() {
    for device in [gpu(), cpu()] {
        let logits = Tensor::zeros([64, 50], device);
        let draw = || {
            let rates = Tensor::full([64], 20.0, device);
            vec![logits.categorical(), logits.exp().multinomial(3, true), rates.poisson().to_dtype(DType::I32)]
        };
        let runs = drawn(device, 9, |d| {
            let step = capture(d, |_| draw()).unwrap();
            (0..3).map(|_| step.run(&[]).unwrap().iter().map(integers).collect()).collect::<Vec<Vec<_>>>()
        });
        for (a, b) in runs[0].iter().zip(&runs[1]).chain(runs[1].iter().zip(&runs[2])) {
            assert_ne!(a, b);
        }
    }
}

/// What only the data shows is an error when the draws are read.
#[test]
fn impossible_parameters_are_errors_at_reads() {
    for device in [Device::cpu(), own_hardware()] {
        let f = |values: &[f32]| floats32(values, &device);
        let inf = f32::INFINITY;
        let cases: [(&str, Tensor); 12] = [
            ("poisson: rates must be 0 or more", f(&[1.0, -1.0]).poisson().to_dtype(DType::I32)),
            ("poisson: rates must be 0 or more", f(&[f32::NAN]).poisson().to_dtype(DType::I32)),
            ("poisson: rates must be 0 or more", f(&[inf]).poisson().to_dtype(DType::I32)),
            ("multinomial: the weights", f(&[1.0, -1.0]).multinomial(1, true)),
            ("multinomial: the weights", f(&[0.0, 0.0]).multinomial(1, true)),
            ("multinomial: the weights", f(&[f32::NAN, 1.0]).multinomial(1, false)),
            ("multinomial: the weights", f(&[inf, 1.0]).multinomial(1, false)),
            ("multinomial: the weights", f(&[0.0, 1.0, 0.0]).multinomial(2, false)),
            ("categorical: logits", f(&[f32::NAN, 1.0]).categorical()),
            ("categorical: logits", f(&[inf, 1.0]).categorical()),
            ("categorical: logits", f(&[-inf, -inf]).categorical()),
            ("normal: means", Tensor::normal([2], f(&[0.0, 1.0]), f(&[1.0, -1.0]), &device).to_dtype(DType::I32)),
        ];
        for (i, (wanted, draws)) in cases.iter().enumerate() {
            let error = draws.to_vec::<i32>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{i}: {error}");
            assert!(error.contains(file!()), "{error}");
        }
        // Other rows of the same weights are sound.
        let rows = f(&[1.0, 0.0, 2.0, 3.0]).reshape([2, 2]).multinomial(2, true);
        assert_eq!(integers(&rows.get(0)), [0, 0]);
    }
}
