//! State dicts from PyTorch, and back.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgrad::nn::{Module, Parameters};
use wgrad::{DType, Tensor};

use crate::devices;
use crate::fixtures::{File, distance, read};
use crate::models::Cnn;

/// Writes a state as a safetensors file, for `generator/load.py`.
fn write(path: &Path, model: &Cnn) {
    let bytes = |tensor: &Tensor| match tensor.dtype() {
        DType::I32 => tensor.to_vec::<i32>().unwrap().into_iter().flat_map(i32::to_le_bytes).collect::<Vec<u8>>(),
        _ => tensor.to_vec::<f32>().unwrap().into_iter().flat_map(f32::to_le_bytes).collect(),
    };
    let stored: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = model
        .state_dict()
        .into_iter()
        .map(|(name, t)| {
            let dtype = if t.dtype() == DType::I32 { Dtype::I32 } else { Dtype::F32 };
            (name, dtype, t.shape().to_vec(), bytes(&t))
        })
        .collect();
    let views =
        stored.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_state_that_pytorch_saved_loads_and_gives_the_same_answers() {
    let (saved, answer) = (File::read("saved"), File::read("answer"));
    for device in devices() {
        let model = Cnn::new(device);
        model.load_state_dict(&saved.state("", device)).unwrap();
        assert_eq!(model.bn1.num_batches_tracked.item::<i32>().unwrap(), 1);
        if let (true, Some(path)) = (device.is_cpu(), std::env::var_os("WGRAD_PARITY_OUT")) {
            write(Path::new(&path), &model);
        }
        model.eval();
        let y = model.forward(&answer.at("x").upload(device));
        let distance = distance(&read(&y), &answer.at("y").values);
        assert!(distance < 1e-6, "{distance:e} on {device:?}");
    }
}
