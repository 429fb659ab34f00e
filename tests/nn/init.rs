//! Initial values: bounds, variance, structure. Samples are large, so that a wrong factor shows; seeds are fixed.

use wgrad::nn::init::{self, Fan, Gain};
use wgrad::nn::{
    Conv1d, Conv2d, ConvTranspose2d, Embedding, Gru, LayerNorm, Linear, Lstm, MultiheadAttention, Parameters, Rnn,
    TransformerEncoderLayer,
};
use wgrad::{Conv, ConvTranspose, DType, Device, Error, Tensor};

use crate::devices;

/// Mean, variance, and largest absolute value.
fn moments(tensor: &Tensor) -> (f64, f64, f64) {
    let values: Vec<f64> = tensor.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    (mean, variance, values.iter().fold(0.0, |a, v| a.max(v.abs())))
}

/// Uniform in `±bound`: everything inside, the bounds nearly reached, mean and variance as they must be within five standard
/// errors.
#[track_caller]
fn uniform(tensor: &Tensor, bound: f64) {
    let n = tensor.numel() as f64;
    let (mean, variance, largest) = moments(tensor);
    let expected = bound * bound / 3.0;
    assert!(largest <= bound * (1.0 + 1e-6), "{largest} is outside ±{bound}");
    assert!(largest > bound * (1.0 - 20.0 / n), "only {largest} of ±{bound} is reached");
    assert!(mean.abs() < 5.0 * (expected / n).sqrt(), "mean {mean}");
    // The variance of a uniform variable's square is 4/45 of the bound's fourth power.
    assert!((variance - expected).abs() < 5.0 * bound * bound * (4.0 / 45.0 / n).sqrt(), "{variance}, not {expected}");
}

/// Normal with mean 0: mean, variance, and the share beyond two standard deviations.
#[track_caller]
fn normal(tensor: &Tensor, std: f64) {
    let n = tensor.numel() as f64;
    let (mean, variance, _) = moments(tensor);
    assert!(mean.abs() < 5.0 * std / n.sqrt(), "mean {mean}");
    assert!((variance / (std * std) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {variance}, not {}", std * std);
    let beyond = tensor.to_vec::<f32>().unwrap().iter().filter(|v| f64::from(v.abs()) > 2.0 * std).count() as f64 / n;
    assert!((beyond - 0.0455).abs() < 5.0 * (0.0455 / n).sqrt(), "{beyond} lie beyond two standard deviations");
}

#[test]
fn layers_begin_as_in_pytorch() {
    // A device of its own: its random numbers are not those of other tests.
    for device in &[Device::gpu().unwrap(), Device::cpu()] {
        device.seed(5);
        let by_fan = |parameters: &dyn Parameters, fan: f64| {
            parameters.parameters().iter().for_each(|t| uniform(t, 1.0 / fan.sqrt()));
        };
        by_fan(&Linear::new(100, 400, device), 100.0);
        by_fan(&Conv1d::new(6, 500, 5, device), 30.0);
        by_fan(&Conv2d::new_with(8, 400, [3, 2], Conv::default().groups(2), device), 24.0);
        let options = ConvTranspose::default().groups(2);
        by_fan(&ConvTranspose2d::new_with(60, 400, [3, 2], options, device), 200.0 * 6.0);
        for recurrent in
            [&Rnn::new(30, 400, device) as &dyn Parameters, &Lstm::new(30, 100, device), &Gru::new(30, 100, device)]
        {
            by_fan(recurrent, if recurrent.parameters()[1].shape()[1] == 400 { 400.0 } else { 100.0 });
        }
        normal(&Embedding::new(300, 40, device).weight, 1.0);
        let table = Embedding::with_padding(300, 40, 7, device).weight;
        assert_eq!(table.select(0, 7).to_vec::<f32>().unwrap(), [0.0; 40]);
        normal(&table.narrow(0, 8, 292), 1.0);

        let attention = MultiheadAttention::new(64, 4, device);
        uniform(attention.in_proj_weight.as_ref().unwrap(), (6.0f64 / 256.0).sqrt());
        uniform(&attention.out_proj.weight, 0.125);
        for bias in [attention.in_proj_bias.unwrap(), attention.out_proj.bias.unwrap()] {
            assert!(bias.to_vec::<f32>().unwrap().iter().all(|&v| v == 0.0));
        }
        let layer = TransformerEncoderLayer::new(64, 4, 300, device);
        by_fan(&layer.linear1, 64.0);
        by_fan(&layer.linear2, 300.0);
        let LayerNorm { weight, bias, .. } = layer.norm1;
        assert_eq!(
            (weight.unwrap().to_vec::<f32>().unwrap(), bias.unwrap().to_vec::<f32>().unwrap()),
            (vec![1.0; 64], vec![0.0; 64])
        );
    }
}

#[test]
fn distributions() {
    for device in &[Device::gpu().unwrap(), Device::cpu()] {
        device.seed(6);
        let weight = || Tensor::zeros([60, 30, 3, 2], device).requires_grad();
        let (fan_in, fan_out) = (180.0f64, 360.0f64);
        let after = |f: &dyn Fn(&Tensor) -> wgrad::Result<()>| {
            let w = weight();
            f(&w).unwrap();
            assert!(w.is_leaf_with_grad());
            w
        };
        uniform(&after(&|w| init::uniform(w, -0.5, 0.5)), 0.5);
        normal(&after(&|w| init::normal(w, 0.0, 0.3)), 0.3);
        let tanh = 5.0 / 3.0;
        uniform(&after(&|w| init::xavier_uniform(w, Gain::Tanh)), tanh * (6.0 / (fan_in + fan_out)).sqrt());
        normal(&after(&|w| init::xavier_normal(w, Gain::Linear)), (2.0 / (fan_in + fan_out)).sqrt());
        uniform(&after(&|w| init::kaiming_uniform(w, Fan::In, Gain::Relu)), (6.0 / fan_in).sqrt());
        let leaky = (2.0f64 / 1.04).sqrt();
        normal(&after(&|w| init::kaiming_normal(w, Fan::Out, Gain::LeakyRelu(0.2))), leaky / fan_out.sqrt());
        // The same as a layer's default.
        let five = Gain::LeakyRelu(5f32.sqrt());
        uniform(&after(&|w| init::kaiming_uniform(w, Fan::In, five)), 1.0 / fan_in.sqrt());
        assert_eq!(after(&|w| init::ones(w)).mean().item::<f32>().unwrap(), 1.0);
    }
}

#[test]
fn a_truncated_normal_has_its_moments() {
    let device = Device::gpu().unwrap();
    device.seed(8);
    let w = Tensor::zeros([40_000], &device).requires_grad();
    init::trunc_normal(&w, 0.0, 1.0, -2.0, 2.0).unwrap();
    let (mean, variance, largest) = moments(&w);
    // 1 − 2·2·φ(2) / (Φ(2) − Φ(−2)).
    assert!((variance - 0.773_741).abs() < 0.015 && mean.abs() < 0.02, "{mean} {variance}");
    assert!(largest <= 2.0 && largest > 1.99);
    init::trunc_normal(&w, 5.0, 2.0, 5.0, 30.0).unwrap();
    let (mean, _, _) = moments(&w);
    // A half normal: mean + std·√(2/π).
    assert!((mean - 6.595_77).abs() < 0.03, "{mean}");
    assert!(w.min().item::<f32>().unwrap() >= 5.0);
    assert!(matches!(init::trunc_normal(&w, 0.0, 1.0, 30.0, 31.0), Err(Error::Argument { .. })));
}

#[test]
fn orthogonal_is_orthogonal_and_uniform() {
    for device in devices() {
        for shape in [&[20, 20][..], &[8, 30], &[30, 8], &[6, 2, 3, 3], &[1, 1], &[5, 1]] {
            let w = Tensor::zeros(shape, device).requires_grad();
            init::orthogonal(&w, Gain::Factor(2.0)).unwrap();
            let matrix = w.flatten(1, -1);
            let short = matrix.shape()[0].min(matrix.shape()[1]);
            let product =
                if matrix.shape()[0] == short { matrix.matmul(&matrix.t()) } else { matrix.t().matmul(&matrix) };
            let error = (product - Tensor::eye(short, device) * 4.0).abs().max().item::<f32>().unwrap();
            assert!(error < 1e-5, "{error} for {shape:?}");
        }
    }
    // Where signs are not drawn, the first element keeps one sign.
    let device = Device::cpu();
    device.seed(1);
    let mut sum = 0.0;
    for _ in 0..200 {
        let w = Tensor::zeros([2, 2], &device).requires_grad();
        init::orthogonal(&w, Gain::Linear).unwrap();
        sum += w.select(0, 0).select(0, 0).item::<f32>().unwrap();
    }
    assert!(sum.abs() < 60.0, "{sum}");
}

#[test]
fn what_makes_no_sense_is_an_error_and_changes_nothing() {
    let device = Device::cpu();
    let (vector, matrix) = (Tensor::ones([4], &device).requires_grad(), Tensor::ones([4, 4], &device).requires_grad());
    let whole = Tensor::ones([4, 4], &device).to_dtype(DType::I32);
    assert!(matches!(init::kaiming_normal(&vector, Fan::In, Gain::Relu), Err(Error::Argument { .. })));
    assert!(matches!(init::xavier_uniform(&vector, Gain::Relu), Err(Error::Argument { .. })));
    assert!(matches!(init::orthogonal(&vector, Gain::Relu), Err(Error::Argument { .. })));
    assert!(matches!(init::normal(&matrix, 0.0, -1.0), Err(Error::Argument { .. })));
    assert!(matches!(init::uniform(&matrix, 1.0, -1.0), Err(Error::Argument { .. })));
    assert!(matches!(init::trunc_normal(&matrix, 0.0, 0.0, -1.0, 1.0), Err(Error::Argument { .. })));
    assert!(matches!(init::xavier_normal(&matrix, Gain::Factor(f32::NAN)), Err(Error::Argument { .. })));
    assert!(matches!(init::zeros(&whole), Err(Error::DType { .. })));
    let text = init::uniform(&matrix, 1.0, -1.0).unwrap_err().to_string();
    assert!(text.contains("tests/nn/init.rs"), "{text}");
    assert_eq!(matrix.to_vec::<f32>().unwrap(), [1.0; 16]);
}
