//! Dropout, gates, similarities and the further losses.

use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::nn::loss;
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::{hardware, own_hardware};

type Case = (&'static str, fn(&[Tensor]) -> Tensor);

/// Signs 1 and -1 of the shape of `x`.
fn signs(x: &Tensor) -> Tensor {
    let values: Vec<f64> = (0..x.numel()).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
    floats(&values, x.shape(), x.device())
}

const CASES: [Case; 16] = [
    ("glu", |x| x[0].glu(-1)),
    ("prelu", |x| x[0].prelu(&x[2]) * &x[1]),
    ("prelu of one slope", |x| x[0].prelu(&x[2].narrow(0, 1, 1)) * &x[1]),
    ("softmin", |x| x[0].softmin(1)),
    ("cosine_similarity", |x| x[0].cosine_similarity(&x[1], -1)),
    ("cosine_similarity that broadcasts", |x| x[0].cosine_similarity(&x[1].narrow(0, 0, 1), 1)),
    ("pairwise_distance", |x| x[0].pairwise_distance(&x[1], 2.0)),
    ("normalize", |x| x[0].normalize(2.0, 1)),
    ("normalize by another norm", |x| x[0].normalize(3.0, 0)),
    ("margin_ranking", |x| loss::margin_ranking(&x[0], &x[1], &signs(&x[0]), 0.3)),
    ("hinge_embedding", |x| loss::hinge_embedding(&x[0], &signs(&x[0]), 1.1)),
    ("triplet_margin", |x| loss::triplet_margin(&x[0], &x[1], &x[1].flip(&[0]), 1.0, 2.0)),
    ("soft_margin", |x| loss::soft_margin(&x[0], &signs(&x[0]))),
    ("poisson_nll", |x| loss::poisson_nll(&x[0], &x[1].square())),
    ("gaussian_nll", |x| loss::gaussian_nll(&x[0], &x[1], &(x[1].square() + 0.1))),
    ("dropout that keeps all", |x| x[0].dropout(0.0, true) + x[1].dropout(0.7, false)),
];

fn operands(device: &Device) -> Vec<Tensor> {
    let x = |seed: u64, shape: &[usize]| floats(&Rng(seed).vec(shape.iter().product(), -2.0, 2.0), shape, device);
    vec![x(1, &[5, 6]), x(2, &[5, 6]), x(3, &[6])]
}

#[test]
fn values_and_gradients_agree_with_the_reference() {
    for (name, f) in CASES {
        let run = |device: &Device| {
            poison(device);
            let x: Vec<Tensor> = operands(device).iter().map(Tensor::requires_grad).collect();
            let y = f(&x);
            y.square().sum().backward().unwrap_or_else(|e| panic!("{name}: {e}"));
            std::iter::once(values(&y)).chain(x.iter().filter_map(Tensor::grad).map(|g| values(&g))).collect::<Vec<_>>()
        };
        let expected = run(cpu());
        for device in [gpu(), hardware()] {
            for (found, expected) in run(device).iter().zip(&expected) {
                assert_close(name, found, expected, 3e-6);
            }
        }
    }
}

#[test]
fn derivatives_of_both_orders() {
    for (name, f) in CASES {
        let x = operands(cpu());
        let used: &[&Tensor] = match name {
            "glu" | "softmin" | "normalize" | "normalize by another norm" | "hinge_embedding" | "soft_margin" => {
                &[&x[0]]
            }
            "prelu" | "prelu of one slope" => &[&x[0], &x[1], &x[2]],
            _ => &[&x[0], &x[1]],
        };
        gradcheck(f, used, 1e-5).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Err(error) = gradgradcheck(f, used, 1e-4) {
            // Piecewise linear: the first derivative is constant.
            assert!(error.to_string().contains("take part"), "{name}: {error}");
        }
    }
}

#[test]
fn known_values() {
    let x = |v: &[f64]| floats(v, &[v.len()], gpu());
    let one = |t: Tensor| values(&t)[0];
    assert_eq!(one(loss::margin_ranking(&x(&[1.0, 2.0]), &x(&[0.5, 3.0]), &x(&[1.0, 1.0]), 1.0)), 1.25);
    assert_eq!(one(loss::hinge_embedding(&x(&[0.25, 0.25]), &x(&[1.0, -1.0]), 1.0)), 0.5);
    assert_close("soft_margin", &values(&loss::soft_margin(&x(&[0.0]), &x(&[1.0]))), &[2f64.ln()], 1e-6);
    assert_close("poisson", &values(&loss::poisson_nll(&x(&[0.0]), &x(&[2.0]))), &[1.0], 1e-6);
    assert_close(
        "gaussian",
        &values(&loss::gaussian_nll(&x(&[1.0]), &x(&[3.0]), &x(&[4.0]))),
        &[0.5 * 4f64.ln() + 0.5],
        1e-6,
    );
    assert_eq!(values(&x(&[1.0, 2.0, 0.0, 0.0]).glu(0)), [0.5, 1.0]);
    assert_close("normalize", &values(&x(&[3.0, 4.0]).normalize(2.0, 0)), &[0.6, 0.8], 1e-6);
    assert_close("cosine", &values(&x(&[3.0, 4.0]).cosine_similarity(&x(&[4.0, 3.0]), 0)), &[0.96], 1e-6);
}

#[test]
fn dropout_keeps_its_promise() {
    // Devices of its own: other tests draw from the shared ones.
    for device in &[Device::gpu().unwrap(), own_hardware(), Device::cpu()] {
        device.seed(7);
        let x = Tensor::full([100_000], 3.0, device).contiguous().requires_grad();
        let y = x.dropout(0.25, true);
        y.sum().backward().unwrap();
        let (y, g) = (values(&y), values(&x.grad().unwrap()));
        let kept = y.iter().filter(|v| **v != 0.0).count() as f64 / 100_000.0;
        assert!((kept - 0.75).abs() < 0.01, "{kept}");
        for (y, g) in y.iter().zip(&g) {
            assert!((*y == 0.0 && *g == 0.0) || ((y - 4.0).abs() < 1e-6 && (g - 4.0 / 3.0).abs() < 1e-6), "{y} {g}");
        }
        device.seed(7);
        assert_eq!(values(&x.dropout(0.25, true)), y, "the same seed gives the same mask");
        assert_ne!(values(&x.dropout(0.25, true)), y, "the next mask is another");
        assert_eq!(values(&x.dropout(1.0, true).sum()), [0.0]);
        let channels = values(&Tensor::ones([4, 50, 3, 3], device).feature_dropout(0.5, true));
        assert!(channels.chunks(9).all(|c| c.iter().all(|v| *v == c[0])));
        assert!(channels.contains(&0.0) && channels.contains(&2.0));
    }
}

#[test]
fn bad_calls_are_errors() {
    let x = Tensor::zeros([2, 3], cpu());
    let contains = |t: Tensor, part: &str| {
        let text = t.check().unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    contains(x.dropout(1.5, true), "not in 0..=1");
    contains(x.dropout(f32::NAN, true), "not in 0..=1");
    contains(x.to_dtype(DType::I32).dropout(0.5, true), "floats");
    contains(Tensor::zeros([3], cpu()).feature_dropout(0.5, true), "channels");
    contains(x.glu(1), "odd");
    contains(x.glu(2), "dim 2");
    contains(x.prelu(&Tensor::zeros([2], cpu())), "one a channel");
    contains(x.cosine_similarity(&Tensor::zeros([2, 4], cpu()), 1), "broadcast");
    contains(x.normalize(2.0, 5), "dim 5");
    contains(x.pairwise_distance(&Tensor::zeros([2, 4], cpu()), 2.0), "broadcast");
}
