//! Losses at their edges: ignored targets of every index type, infinities in ignored rows, shapes past any memory.

use wgrad::nn::loss::{CrossEntropy, Reduction, cross_entropy_with, nll_with};
use wgrad::{DType, Device, Tensor, f16};

use crate::common::gpu;

fn devices() -> [Device; 2] {
    [Device::cpu(), gpu().clone()]
}

#[test]
fn a_negative_ignore_index_ignores_nothing_among_unsigned_targets() {
    for device in devices() {
        let logits = Tensor::from_slice(&[2f32, 0., 1., -1., 0.5, 3.], [2, 3], &device);
        let unsigned = Tensor::from_slice(&[0u32, 1], [2], &device);
        let signed = Tensor::from_slice(&[0i32, 1], [2], &device);
        let plain = cross_entropy_with(&logits, &signed, &CrossEntropy::default()).item::<f32>().unwrap();
        let options = CrossEntropy { ignore_index: Some(-100), ..CrossEntropy::default() };
        for targets in [&signed, &unsigned] {
            let loss = cross_entropy_with(&logits, targets, &options).item::<f32>().unwrap();
            assert!((loss - plain).abs() < 1e-6, "{loss} for {plain}");
            let loss = nll_with(&logits.log_softmax(1), targets, &options).item::<f32>().unwrap();
            assert!((loss - plain).abs() < 1e-6, "{loss} for {plain}");
        }
    }
}

#[test]
fn what_an_ignored_row_holds_does_not_count() {
    for device in devices() {
        let values = [f32::NEG_INFINITY, -0.5, f32::NAN, -1.0, -0.25, -2.0];
        let log_probs = Tensor::from_slice(&values, [2, 3], &device).requires_grad();
        let targets = Tensor::from_slice(&[-100i32, 1], [2], &device);
        let options = CrossEntropy { ignore_index: Some(-100), ..CrossEntropy::default() };
        let loss = nll_with(&log_probs, &targets, &options);
        assert_eq!(loss.item::<f32>().unwrap(), 0.25);
        loss.backward().unwrap();
        assert_eq!(log_probs.grad().unwrap().to_vec::<f32>().unwrap(), [0.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
    }
}

#[test]
fn shapes_past_any_memory_are_errors() {
    for device in devices() {
        let row = Tensor::ones([1, 4], &device);
        let huge = [
            Tensor::zeros([1 << 32, 1 << 32], &device),
            row.expand([1 << 62, 4]),
            row.repeat(&[1 << 40, 1 << 40]),
            row.pad(&[(usize::MAX, 1), (0, 0)], 0.0),
            row.reshape([usize::MAX]),
            row.reshape([1usize << 33, 1 << 33]),
        ];
        for tensor in huge {
            let error = tensor.check().unwrap_err().to_string();
            assert!(error.contains(file!()), "{error}");
        }
        assert!(row.split(&[usize::MAX, 1], 1).iter().all(|part| part.check().is_err()));
    }
}

/// f16 holds no sum of many rows, nor the logarithm of many classes; what is summed is f32 until the end.
#[test]
fn soft_targets_and_sums_in_half_precision() {
    for device in devices() {
        let (rows, classes) = (300, 40);
        let logits = Tensor::randn([rows, classes], &device).to_dtype(DType::F16);
        let labels =
            Tensor::from_slice(&(0..rows).map(|r| (r * 7 % classes) as i64).collect::<Vec<_>>(), [rows], &device);
        let soft = labels.one_hot(classes).to_dtype(DType::F16);
        let options = CrossEntropy { label_smoothing: 0.125, ..CrossEntropy::default() };
        let read = |loss: Tensor| loss.to_dtype(DType::F32).to_vec::<f32>().unwrap();
        let hard = read(cross_entropy_with(&logits, &labels, &options))[0];
        let found = read(cross_entropy_with(&logits, &soft, &options));
        assert!((found[0] - hard).abs() < 4e-3 * hard, "{found:?} for {hard}");
        let each = CrossEntropy { reduction: Reduction::None, ..options.clone() };
        let all = cross_entropy_with(&logits, &soft, &each);
        assert_eq!((all.shape(), all.dtype()), (&[rows][..], DType::F16));
        let sum = CrossEntropy { reduction: Reduction::Sum, ..options };
        let found = read(cross_entropy_with(&logits, &soft, &sum))[0];
        assert!((found - hard * rows as f32).abs() < 2e-3 * found, "{found} for {}", hard * rows as f32);
        let ones = Tensor::full_as([70_000], 1, DType::F16, &device);
        assert_eq!(read(Reduction::Mean.l1(&ones, &ones.zeros_like())), [1.0]);
        let sum = Reduction::Sum.l1(&(ones * 0.5), &Tensor::zeros_as([70_000], DType::F16, &device));
        assert_eq!(read(sum), [f16::from_f32(35_000.0).to_f32()]);
    }
}
