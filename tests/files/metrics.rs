//! Metrics against PyTorch's arithmetic and the formulas of scikit-learn.

use wgrad::train::metric::{self, Average, ConfusionMatrix, Meter, Metric};
use wgrad::{Device, Error, Tensor};

const SCORES: [f32; 48] = [
    -1.0, -0.99, -0.48, -0.47, 1.0, 0.51, -0.48, -1.97, 0.5, -1.49, 0.52, 0.53, 0.0, 1.01, 1.02, 0.03, -1.5, -1.49,
    0.52, 1.03, 0.5, -1.49, -0.48, 2.03, 1.0, -0.49, 0.02, 0.03, 1.5, 1.51, 1.02, -0.97, -0.5, 0.01, -0.48, 0.03, 0.5,
    0.01, 0.52, 0.53, 0.0, 1.01, -0.48, 0.03, 0.5, 2.51, -1.48, -1.47,
];
const TARGETS: [i32; 12] = [0, 1, 2, 3, 0, 1, 2, 2, 2, 0, 1, 1];

const CLASSES: [Metric; 9] = [
    Metric::Accuracy,
    Metric::TopK(2),
    Metric::Precision(Average::Macro),
    Metric::Recall(Average::Macro),
    Metric::F1(Average::Macro),
    Metric::F1(Average::Weighted),
    Metric::Precision(Average::Class(1)),
    Metric::Auroc,
    Metric::Perplexity,
];
/// By PyTorch 2.15 (argmax, topk, softmax, cross_entropy), and the definitions written out on its results.
const EXPECTED: [f64; 9] = [
    1.0 / 6.0,
    1.0 / 3.0,
    1.0 / 6.0,
    0.125,
    1.0 / 7.0,
    0.190_476_190_476,
    2.0 / 3.0,
    0.464_015_151_515,
    5.197_516_740_440,
];

fn devices() -> [Device; 2] {
    [crate::gpu().clone(), Device::cpu()]
}

#[test]
fn figures_are_those_of_pytorch_in_any_batches() {
    for device in devices() {
        for sizes in [vec![12], vec![5, 7], vec![1; 12]] {
            let (mut meter, mut start) = (Meter::new(CLASSES), 0);
            for rows in sizes {
                let scores = Tensor::from_slice(&SCORES[4 * start..4 * (start + rows)], [rows, 4], &device);
                let targets = Tensor::from_slice(&TARGETS[start..start + rows], [rows], &device);
                meter.add(&scores, &targets).unwrap();
                start += rows;
            }
            for ((name, value), expected) in meter.read().unwrap().into_iter().zip(EXPECTED) {
                assert!((value - expected).abs() < 1e-5, "{name}: {value}, not {expected}");
            }
            assert_eq!(meter.confusion().unwrap().count(2, 3), 2);
        }
        // The same of one batch on the device, and of tokens [n, t, classes].
        let scores = Tensor::from_slice(&SCORES, [12, 4], &device);
        let targets = Tensor::from_slice(&TARGETS, [12], &device);
        let single = [metric::accuracy(&scores, &targets), metric::top_k(&scores, &targets, 2)];
        assert_eq!(single.map(|t| t.item::<f32>().unwrap()), [1.0f32 / 6.0, 1.0 / 3.0]);
        let mut meter = Meter::new(CLASSES);
        meter.add(&scores.reshape([3, 4, 4]), &targets.reshape([3, 4]).to_dtype(wgrad::DType::U32)).unwrap();
        assert!((meter.read().unwrap()[8].1 - EXPECTED[8]).abs() < 1e-5);
    }
}

#[test]
fn regression_is_measured_by_column() {
    for device in devices() {
        let y = Tensor::from_slice(&[1f32, 10.0, 2.0, 30.0, 4.0, 20.0, 3.0, 50.0], [4, 2], &device);
        let p = Tensor::from_slice(&[1.5f32, 12.0, 2.0, 28.0, 3.0, 25.0, 3.5, 44.0], [4, 2], &device);
        let mut meter = Meter::new([Metric::R2]);
        for half in [0, 2] {
            meter.add(&p.narrow(0, half, 2), &y.narrow(0, half, 2)).unwrap();
        }
        assert!((meter.read().unwrap()[0].1 - (0.7 + 1.0 - 69.0 / 875.0) / 2.0).abs() < 1e-12);
        // Far from 0 nothing cancels.
        let far = Tensor::from_slice(&[16_777_210f32, 16_777_212.0, 16_777_214.0], [3], &device);
        let mut meter = Meter::new([Metric::R2]);
        meter.add(&(&far + 1.0), &far).unwrap();
        assert!((meter.read().unwrap()[0].1 - (1.0 - 3.0 / 8.0)).abs() < 1e-9);
        for (predicted, expected) in [(3.0, 1.0), (4.0, 0.0)] {
            let mut constant = Meter::new([Metric::R2]);
            constant.add(&Tensor::full([2], predicted, &device), &Tensor::full([2], 3.0, &device)).unwrap();
            assert_eq!(constant.read().unwrap()[0].1, expected);
        }
    }
}

#[test]
fn two_classes_ties_and_padding() {
    let device = Device::cpu();
    let logits = Tensor::from_slice(&[2f32, -1.0, 0.5, 0.5, -3.0], [5, 1], &device);
    let labels = Tensor::from_slice(&[1i32, 0, 1, 0, -100], [5], &device);
    let mut meter = Meter::new([Metric::Accuracy, Metric::Recall(Average::Class(1)), Metric::Auroc]).ignore_index(-100);
    meter.add(&logits, &labels).unwrap();
    let figures: Vec<f64> = meter.read().unwrap().into_iter().map(|(_, value)| value).collect();
    assert_eq!(figures, [0.75, 1.0, 0.875]); // of four pairs three are in order, and one is a tie
    // One class alone orders nothing.
    let mut one = Meter::new([Metric::Auroc]);
    one.add(&logits.narrow(0, 0, 1), &labels.narrow(0, 0, 1)).unwrap();
    assert!(one.read().unwrap()[0].1.is_nan());
    let mut matrix = ConfusionMatrix::new(3);
    [(0, 0), (1, 2), (1, 1)].into_iter().try_for_each(|(t, p)| matrix.note(t, p)).unwrap();
    assert_eq!(matrix.to_string(), " target 0 1 2\n      0 1 0 0\n      1 0 1 1\n      2 0 0 0");
    assert_eq!(matrix.recall(Average::Macro), 0.5, "class 2 was predicted, and counts with 0");
}

#[test]
fn what_does_not_fit_is_refused_with_nothing_counted() {
    let device = Device::cpu();
    let scores = Tensor::zeros([2, 3], &device);
    let targets = |values: &[i32]| Tensor::from_slice(values, [values.len()], &device);
    let mut meter = Meter::new([Metric::Accuracy, Metric::TopK(1)]);
    for (targets, text) in [
        (targets(&[0, 3]), "target 3 is none of 3 classes"),
        (targets(&[-1, 0]), "target -1 is none of 3 classes"),
        (targets(&[0]), "scores are"),
        (Tensor::zeros([2], &device), "targets are classes, i32 or u32, and not f32"),
    ] {
        let error = meter.add(&scores, &targets).unwrap_err();
        assert!(error.to_string().contains(text) && error.to_string().contains("metrics.rs"), "{error}");
    }
    assert!(meter.read().unwrap_err().to_string().contains("no target"));
    let failed = &Tensor::zeros([2, 3], &device) + &Tensor::zeros([5], &device);
    assert!(matches!(meter.add(&failed, &targets(&[0, 1])), Err(Error::Shape { .. })));
    let error = Meter::new([Metric::R2]).add(&scores, &Tensor::zeros([3, 2], &device)).unwrap_err();
    assert!(error.to_string().contains("R²"), "{error}");
    let binary = Tensor::zeros([2], &device);
    for metric in [Metric::TopK(1), Metric::Perplexity] {
        assert!(Meter::new([metric]).add(&binary, &targets(&[0, 1])).is_err());
    }
    let mut matrix = ConfusionMatrix::new(3);
    assert!(matrix.add(&scores, &targets(&[0, -2])).unwrap_err().to_string().contains("target below 0"));
    assert_eq!(matrix.accuracy(), 0.0);
}
