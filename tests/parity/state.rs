//! State dicts from PyTorch.

use wgrad::nn::{Module, Parameters};

use crate::devices;
use crate::fixtures::{File, distance, read};
use crate::models::Cnn;

#[test]
fn a_state_that_pytorch_saved_loads_and_gives_the_same_answers() {
    let (saved, answer) = (File::read("saved"), File::read("answer"));
    for device in devices() {
        let model = Cnn::new(device);
        model.load_state_dict(&saved.state("", device)).unwrap();
        assert_eq!(model.bn1.num_batches_tracked.item::<i32>().unwrap(), 1);
        model.eval();
        let y = model.forward(&answer.at("x").upload(device));
        let distance = distance(&read(&y), &answer.at("y").values);
        assert!(distance < 1e-6, "{distance:e} on {device:?}");
    }
}
