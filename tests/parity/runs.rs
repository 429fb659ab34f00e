//! A hundred steps of training, four models with each optimizer: the losses on the way and the weights at the end.

use wgrad::optim::{Adam, AdamW, Optimizer, RmsProp, Sgd};
use wgrad::{Device, Result, Tensor, capture};

use crate::devices;
use crate::fixtures::{File, distance, read};
use crate::models;

const STEPS: usize = 100;
const BATCHES: usize = 4;
/// Largest relative difference of a loss.
const LOSS: f64 = 1e-4;
/// Largest difference of a weight (or buffer) at the end, relative to it in norm.
const WEIGHTS: f64 = 1e-3;
/// The same relative to how far the weight has come in training, which says more where it has not come far.
const WAY: f64 = 1e-3;

fn optimizer(kind: &str, parameters: Vec<Tensor>, lr: f32) -> Box<dyn Optimizer + Send> {
    match kind {
        "sgd" => Box::new(Sgd::new(parameters, lr).momentum(0.9)),
        "adam" => Box::new(Adam::new(parameters, lr)),
        "adamw" => Box::new(AdamW::new(parameters, lr).weight_decay(0.05)),
        "rmsprop" => Box::new(RmsProp::new(parameters, lr)),
        other => panic!("no optimizer is called {other}"),
    }
}

/// What differs most.
struct Report {
    loss: f64,
    weights: (f64, String),
    way: (f64, String),
}

fn train(name: &str, kind: &str, file: &File, device: &Device) -> Result<Report> {
    let model = models::make(name, device);
    model.load_state_dict(&file.state("start/", device))?;
    let mut optimizer = optimizer(kind, model.parameters(), file.at(&format!("{kind}/lr")).values[0] as f32);
    let batch = |i: usize| ["x", "y"].map(|part| file.at(&format!("batch/{i}/{part}")).upload(device));
    let batches: Vec<[Tensor; 2]> = (0..BATCHES).map(batch).collect();
    let step = capture(device, |batch: &[Tensor]| {
        let loss = model.loss(&batch[0], &batch[1]);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(vec![loss])
    })?;
    let losses: Vec<Tensor> =
        (0..STEPS).map(|i| Ok(step.run(&batches[i % BATCHES])?.remove(0))).collect::<Result<_>>()?;
    let losses = Tensor::stack(&losses.iter().collect::<Vec<_>>(), 0);
    let expected = &file.at(&format!("{kind}/losses")).values;
    let loss = read(&losses).iter().zip(expected).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max);
    let mut report = Report { loss, weights: (0.0, String::new()), way: (0.0, String::new()) };
    for (tensor, value) in model.state_dict() {
        let (value, end) = (read(&value), &file.at(&format!("{kind}/end/{tensor}")).values);
        let start = &file.at(&format!("start/{tensor}")).values;
        let minus = |a: &[f64]| a.iter().zip(start).map(|(a, b)| a - b).collect::<Vec<f64>>();
        let apart = distance(&value, end);
        if apart > report.weights.0 {
            report.weights = (apart, tensor.clone());
        }
        let apart = distance(&minus(&value), &minus(end));
        if apart > report.way.0 {
            report.way = (apart, tensor);
        }
    }
    Ok(report)
}

fn check(name: &str) {
    let file = File::read(name);
    let mut misses = Vec::new();
    for device in devices() {
        for kind in ["sgd", "adam", "adamw", "rmsprop"] {
            let Report { loss, weights, way } = train(name, kind, &file, device).unwrap();
            let line = format!(
                "{name:5} {kind:8} {:4} losses {loss:.1e}, weights {:.1e} ({}), way {:.1e} ({})",
                if device.is_cpu() { "cpu" } else { "gpu" },
                weights.0,
                weights.1,
                way.0,
                way.1
            );
            println!("{line}");
            // Not a number is a miss too.
            if !(loss < LOSS && weights.0 < WEIGHTS && way.0 < WAY) {
                misses.push(line);
            }
        }
    }
    assert!(misses.is_empty(), "\n{}", misses.join("\n"));
}

#[test]
fn mlp() {
    check("mlp");
}

#[test]
fn cnn_with_batch_norm() {
    check("cnn");
}

#[test]
fn lstm() {
    check("lstm");
}

#[test]
fn gpt() {
    check("gpt");
}
