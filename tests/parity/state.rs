//! State dicts from PyTorch, and back.

use wgrad::io;
use wgrad::nn::{Module, Parameters};

use crate::devices;
use crate::fixtures::{File, distance, path, read};
use crate::models::Cnn;

#[test]
fn a_state_that_pytorch_saved_loads_and_gives_the_same_answers() {
    let answer = File::read("answer");
    for device in devices() {
        let model = Cnn::new(device);
        model.load_state_dict(&io::load_safetensors(path("saved"), device).unwrap()).unwrap();
        assert_eq!(model.bn1.num_batches_tracked.item::<i32>().unwrap(), 1);
        // For `generator/load.py`, which loads it in PyTorch.
        if let (true, Some(path)) = (device.is_cpu(), std::env::var_os("WGRAD_PARITY_OUT")) {
            io::save_safetensors(path, &model.state_dict()).unwrap();
        }
        model.eval();
        let y = model.forward(&answer.at("x").upload(device));
        let distance = distance(&read(&y), &answer.at("y").values);
        assert!(distance < 1e-6, "{distance:e} on {device:?}");
    }
}
