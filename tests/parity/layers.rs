//! Each layer once, forward and backward.

use std::sync::Arc;

use wgrad::nn::{
    Activation, BatchNorm1d, BatchNorm2d, BatchNorm3d, Bilinear, Conv1d, Conv2d, Conv3d, ConvTranspose1d,
    ConvTranspose2d, ConvTranspose3d, Embedding, GroupNorm, Gru, InstanceNorm, LayerNorm, Linear, Lstm, Module,
    MultiheadAttention, Parameters, Prelu, Recurrent, RmsNorm, Rnn, Transformer, TransformerDecoderLayer,
    TransformerEncoderLayer,
};
use wgrad::{Conv, ConvTranspose, Device, Tensor};

use crate::devices;
use crate::fixtures::{File, distance, read};

type Call = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// A layer, and its outputs for its inputs.
struct Case {
    layer: Arc<dyn Parameters>,
    call: Call,
}

fn case<L: Parameters + 'static>(layer: L, call: impl Fn(&L, &[Tensor]) -> Vec<Tensor> + 'static) -> Case {
    let layer = Arc::new(layer);
    Case { layer: layer.clone(), call: Box::new(move |x| call(&layer, x)) }
}

fn plain(layer: impl Module + 'static) -> Case {
    case(layer, |layer, x| vec![layer.forward(&x[0])])
}

fn make(name: &str, d: &Device) -> Case {
    let deep = Recurrent { layers: 2, bidirectional: true, ..Recurrent::default() };
    let encoder = || TransformerEncoderLayer::new(8, 2, 12, d).dropout(0.0);
    let decoder = || TransformerDecoderLayer::new(8, 2, 12, d).dropout(0.0);
    // The first sequence of two has three keys to see, the second six, of seven.
    let some_keys = || {
        let seen: Vec<bool> = (0..14).map(|i| if i < 7 { i < 3 } else { i < 13 }).collect();
        Tensor::from_slice(&seen, [2, 1, 1, 7], d)
    };
    match name {
        "linear" => plain(Linear::new(6, 4, d)),
        "conv1d" => plain(Conv1d::new(3, 4, 3, d).stride(2).padding(1)),
        "conv2d" => {
            plain(Conv2d::new_with(4, 6, [3, 2], Conv::default().groups(2), d).padding([1, 0]).dilation([1, 2]))
        }
        "conv3d" => plain(Conv3d::new(2, 3, 2, d).without_bias()),
        "conv_transpose1d" => plain(ConvTranspose1d::new(3, 4, 4, d).stride(2).padding(1)),
        "conv_transpose2d" => {
            let options = ConvTranspose::default().stride(2).padding(1).output_padding(1).groups(2);
            plain(ConvTranspose2d::new_with(4, 6, 3, options, d))
        }
        "conv_transpose3d" => plain(ConvTranspose3d::new(2, 3, 2, d).stride(2)),
        "layer_norm" => plain(LayerNorm::new([4, 6], d)),
        "rms_norm" => plain(RmsNorm::new(6, d)),
        "group_norm" => plain(GroupNorm::new(2, 6, d)),
        "instance_norm" => plain(InstanceNorm::with_affine(3, d)),
        "batch_norm1d" => plain(BatchNorm1d::new(4, d)),
        "batch_norm2d" => plain(BatchNorm2d::new(3, d).momentum(0.3)),
        "batch_norm2d_eval" => {
            let layer = BatchNorm2d::new(3, d);
            layer.eval();
            plain(layer)
        }
        "prelu" => plain(Prelu::new(4, d)),
        "attention" => plain(MultiheadAttention::new(8, 2, d)),
        "attention_causal" => case(MultiheadAttention::new(8, 2, d).without_bias(), |layer, x| {
            vec![layer.attend(&x[0], &x[0], &x[0], None, true)]
        }),
        "attention_cross" => {
            let seen = some_keys();
            case(MultiheadAttention::new(8, 4, d), move |layer, x| {
                vec![layer.attend(&x[0], &x[1], &x[1], Some(&seen), false)]
            })
        }
        "attention_sizes" => case(MultiheadAttention::new_with(6, 3, 4, 5, d), |layer, x| {
            vec![layer.attend(&x[0], &x[1], &x[2], None, false)]
        }),
        "attention_bias_kv" => case(MultiheadAttention::new(8, 2, d).add_bias_kv().add_zero_attn(true), |layer, x| {
            vec![layer.attend(&x[0], &x[0], &x[0], None, true)]
        }),
        "attention_bias_kv_masked" => {
            let seen = some_keys();
            case(MultiheadAttention::new_with(8, 4, 6, 6, d).add_bias_kv(), move |layer, x| {
                vec![layer.attend(&x[0], &x[1], &x[1], Some(&seen), false)]
            })
        }
        "decoder_post" => {
            let seen = some_keys();
            case(decoder(), move |layer, x| vec![layer.decode(&x[0], &x[1], None, Some(&seen), true)])
        }
        "decoder_pre" => {
            let layer = decoder().norm_first(true).activation(Activation::Gelu).without_bias();
            case(layer, |layer, x| vec![layer.decode(&x[0], &x[1], None, None, false)])
        }
        "transformer" => {
            let mut model = Transformer::new(8, 2, 1, 2, 12, d).unwrap();
            model.encoder.layers = model.encoder.layers.into_iter().map(|layer| layer.dropout(0.0)).collect();
            model.decoder.layers = model.decoder.layers.into_iter().map(|layer| layer.dropout(0.0)).collect();
            case(model, |model, x| vec![model.forward_pair(&x[0], &x[1])])
        }
        "batch_norm3d" => plain(BatchNorm3d::new(2, d)),
        "batch_norm_cumulative" => {
            case(BatchNorm2d::new(3, d).momentum(None), |layer, x| x.iter().map(|x| layer.forward(x)).collect())
        }
        "bilinear" => case(Bilinear::new(4, 3, 5, d), |layer, x| vec![layer.forward_pair(&x[0], &x[1])]),
        "attention_three" => {
            case(MultiheadAttention::new(6, 3, d), |layer, x| vec![layer.attend(&x[0], &x[1], &x[2], None, false)])
        }
        "encoder_post" => plain(encoder()),
        "encoder_pre" => plain(encoder().norm_first(true).activation(Activation::Gelu)),
        "encoder_causal" => {
            case(encoder().norm_first(true).without_bias(), |layer, x| vec![layer.forward_with(&x[0], None, true)])
        }
        "rnn" => case(Rnn::new_with(3, 4, Recurrent { layers: 2, ..Recurrent::default() }, d), |layer, x| {
            let (y, h) = layer.forward_seq(&x[0], None);
            vec![y, h]
        }),
        "lstm" => case(Lstm::new(3, 4, d), |layer, x| {
            let (y, (h, c)) = layer.forward_seq(&x[0], None);
            vec![y, h, c]
        }),
        "lstm_deep" => case(Lstm::new_with(3, 4, deep, d), |layer, x| {
            let (y, (h, c)) = layer.forward_seq(&x[0], Some(&(x[1].clone(), x[2].clone())));
            vec![y, h, c]
        }),
        "gru" => case(Gru::new_with(3, 4, Recurrent { bias: false, ..Recurrent::default() }, d), |layer, x| {
            let (y, h) = layer.forward_seq(&x[0], None);
            vec![y, h]
        }),
        "gru_deep" => case(Gru::new_with(3, 4, deep, d), |layer, x| {
            let (y, h) = layer.forward_seq(&x[0], Some(&x[1]));
            vec![y, h]
        }),
        "embedding" => plain(Embedding::with_padding(5, 3, 0, d)),
        other => panic!("no layer is called {other}"),
    }
}

#[test]
fn layers_agree_forward_and_backward() {
    let file = File::read("layers");
    let names = file.sections();
    assert_eq!(names.len(), 37, "{names:?}");
    for device in devices() {
        for name in &names {
            let Case { layer, call } = make(name, device);
            layer
                .load_state_dict(&file.state(&format!("{name}/state/"), device))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let close = |what: &str, ours: &Tensor, key: &str| {
                let stored = file.at(key);
                assert_eq!(ours.shape(), &stored.shape[..], "{name}: {what} on {device:?}");
                let distance = distance(&read(ours), &stored.values);
                assert!(distance < 3e-6, "{name}: {what} on {device:?}, distance {distance:e}");
            };
            let mut inputs = Vec::new();
            while let Some(x) = file.get(&format!("{name}/x{}", inputs.len())) {
                let x = x.upload(device);
                inputs.push(if x.dtype().is_float() { x.requires_grad() } else { x });
            }
            let outputs = call(&inputs);
            let mut loss = Tensor::zeros([], device);
            for (i, y) in outputs.iter().enumerate() {
                close(&format!("output {i}"), y, &format!("{name}/y{i}"));
                loss = &loss + (y * &file.at(&format!("{name}/dy{i}")).upload(device)).sum();
            }
            assert!(file.get(&format!("{name}/y{}", outputs.len())).is_none());
            loss.backward().unwrap();
            for (i, x) in inputs.iter().enumerate().filter(|(_, x)| x.dtype().is_float()) {
                close(&format!("gradient of input {i}"), &x.grad().unwrap(), &format!("{name}/dx{i}"));
            }
            for (parameter, tensor) in layer.named_parameters() {
                close(
                    &format!("gradient of {parameter}"),
                    &tensor.grad().unwrap(),
                    &format!("{name}/grad/{parameter}"),
                );
            }
            for (buffer, tensor) in layer.named_buffers() {
                close(&buffer, &tensor, &format!("{name}/after/{buffer}"));
            }
        }
    }
}
