//! Resizing by sizes and by factors, and the transposes of all weighted sums of windows.

use wgrad::nn::{Module, Upsample};
use wgrad::{AvgPool, Device, Interpolate, Tensor};

use crate::common::*;
use crate::inputs::hardware;

pub const MODES: [Interpolate; 7] = [
    Interpolate::Nearest,
    Interpolate::NearestExact,
    Interpolate::Bilinear,
    Interpolate::BilinearAligned,
    Interpolate::Bicubic,
    Interpolate::BicubicAligned,
    Interpolate::Area,
];

type Windows = Box<dyn Fn(&Tensor) -> Tensor>;

/// Every linear op over windows of spatial dims of these sizes, with sizes it leads to.
fn windows(rng: &mut Rng, sizes: &[usize]) -> Vec<(String, Windows)> {
    let dims = sizes.len();
    let mut all: Vec<(String, Windows)> = Vec::new();
    for mode in MODES {
        if matches!(mode, Interpolate::Bicubic | Interpolate::BicubicAligned) && dims != 2 {
            continue;
        }
        let to: Vec<usize> = sizes.iter().map(|&n| 1 + rng.below(7 * n)).collect();
        all.push((format!("{mode:?} to {to:?}"), Box::new(move |x| x.interpolate(&to, mode))));
        let by: Vec<f64> = sizes.iter().map(|&n| rng.uniform(1.0 / n as f64 + 1e-3, 5.0)).collect();
        all.push((format!("{mode:?} by {by:?}"), Box::new(move |x| x.interpolate_by(&by, mode))));
    }
    let kernel = 1 + rng.below(*sizes.iter().min().unwrap());
    let pool = AvgPool {
        stride: (1 + rng.below(3)).into(),
        padding: rng.below(kernel / 2 + 1).into(),
        ceil_mode: rng.below(2) == 1,
        count_include_pad: rng.below(2) == 1,
        ..AvgPool::new(kernel)
    };
    let to: Vec<usize> = sizes.iter().map(|&n| 1 + rng.below(2 * n)).collect();
    all.push((
        format!("{pool:?}"),
        Box::new(move |x| match dims {
            1 => x.avg_pool1d_with(&pool),
            2 => x.avg_pool2d_with(&pool),
            _ => x.avg_pool3d_with(&pool),
        }),
    ));
    all.push((
        format!("adaptive {to:?}"),
        Box::new(move |x| match dims {
            1 => x.adaptive_avg_pool1d(to[0]),
            2 => x.adaptive_avg_pool2d([to[0], to[1]]),
            _ => x.adaptive_avg_pool3d([to[0], to[1], to[2]]),
        }),
    ));
    all
}

fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ⟨f(x), y⟩ = ⟨x, fᵀ(y)⟩ on every device, with f of the CPU reference: fᵀ holds each weight of f, once, at its place.
#[test]
fn gradients_of_windows_are_their_transposes() {
    let mut rng = Rng(41);
    for round in 0..16 {
        for dims in 1..=3 {
            let sizes: Vec<usize> = (0..dims).map(|_| 1 + rng.below([23, 8, 5][dims - 1])).collect();
            let shape: Vec<usize> = [2, 1].into_iter().chain(sizes.iter().copied()).collect();
            let data = rng.vec(shape.iter().product(), -2.0, 2.0);
            for (name, f) in windows(&mut rng, &sizes) {
                let what = format!("{name} of {shape:?}, round {round}");
                let y = f(&floats(&data, &shape, cpu()));
                let upstream = rng.vec(y.numel(), -2.0, 2.0);
                let forward = values(&y);
                let total = sum_of_products(&forward, &upstream);
                let mut expected = None;
                for device in [cpu(), gpu(), hardware()] {
                    let x = floats(&data, &shape, device).requires_grad();
                    let y = f(&x);
                    assert_close(&what, &values(&y), &forward, 1e-5);
                    y.backward_with(&floats(&upstream, y.shape(), device)).unwrap();
                    let gradient = values(&x.grad().unwrap());
                    let transposed = sum_of_products(&data, &gradient);
                    assert!(
                        (transposed - total).abs() < 1e-4 * total.abs().max(1.0),
                        "{what}: {transposed} and {total}"
                    );
                    assert_close(&what, &gradient, expected.get_or_insert(gradient.clone()), 1e-5);
                }
            }
        }
    }
}

/// Sums of weights over a position, for resizing by whole factors: the factor everywhere.
#[test]
fn gradients_of_resizing_by_whole_factors() {
    for device in [cpu(), gpu(), hardware()] {
        for (n, factor) in [(3, 6), (2, 9), (5, 4), (1, 7), (4, 33)] {
            for mode in [Interpolate::Bilinear, Interpolate::Nearest] {
                let x = Tensor::ones([1, 1, n], device).requires_grad();
                x.interpolate(&[n * factor], mode).sum().backward().unwrap();
                let gradient = values(&x.grad().unwrap());
                assert_close(&format!("{n} to {}", n * factor), &gradient, &vec![factor as f64; n], 1e-6);
            }
        }
    }
}

fn upsampled(data: &[f64], factor: f64, mode: Interpolate, device: &Device) -> Vec<f64> {
    values(&Upsample::scale(factor, mode).forward(&floats(data, &[1, 1, data.len()], device)))
}

/// Numbers by PyTorch's formulas: (o + ½) / factor − ½ and ⌊o / factor⌋ with the factor as given, not the quotient of the sizes.
#[test]
fn factors_are_taken_as_given() {
    let data = [0.0, 1.0, 2.0, 3.0, 4.0];
    for device in [cpu(), gpu(), hardware()] {
        for (factor, expected) in [
            // 7 elements.
            (1.5, (0..7).map(|o| ((o as f64 + 0.5) / 1.5 - 0.5).max(0.0)).collect::<Vec<_>>()),
            // 3 elements, of which none is beyond the end.
            (0.7, (0..3).map(|o| (o as f64 + 0.5) / 0.7 - 0.5).collect()),
            // 11 elements; the last lies behind the last of the input.
            (2.3, (0..11).map(|o| ((o as f64 + 0.5) / 2.3 - 0.5).clamp(0.0, 4.0)).collect()),
            // 5 elements, as they are: so PyTorch has it.
            (1.1, data.to_vec()),
        ] {
            let linear = upsampled(&data, factor, Interpolate::Bilinear, device);
            assert_close(&format!("linear by {factor}"), &linear, &expected, 1e-6);
        }
        for (factor, expected) in [
            (1.5, vec![0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0]),
            (0.7, vec![0.0, 1.0, 2.0]),
            // 10 elements: twice as many, so each twice.
            (2.1, vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]),
            (2.3, vec![0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0]),
        ] {
            assert_eq!(upsampled(&data, factor, Interpolate::Nearest, device), expected, "nearest by {factor}");
        }
        // One factor each.
        let x = Tensor::arange(0.0, 12.0, 1.0, device).reshape([1, 1, 3, 4]);
        assert_eq!(x.interpolate_by(&[2.0, 0.5], Interpolate::Nearest).shape(), [1, 1, 6, 2]);
        for (factors, text) in [
            (vec![0.1], "factors [0.1] leave nothing of sizes [3, 4]"),
            (vec![-1.0], "leave nothing"),
            (vec![f64::NAN, 1.0], "leave nothing"),
            (vec![f64::INFINITY], "leave nothing"),
            (vec![1e12], "exceed 32-bit index arithmetic"),
            (vec![1.0; 3], "one factor or as many, not [1.0, 1.0, 1.0]"),
            (vec![], "one factor or as many"),
        ] {
            let error = x.interpolate_by(&factors, Interpolate::Bilinear).check().expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("resize.rs:"), "{error} instead of {text}");
        }
    }
}
