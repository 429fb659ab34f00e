//! Optimizers and what stands around them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod around;
mod graph;
mod mixed;
mod schedules;
mod state;
mod trajectories;

use std::sync::OnceLock;

use wgrad::optim::{Adadelta, Adagrad, Adam, AdamW, Adamax, Asgd, Lion, NAdam, Optimizer, RAdam, RmsProp, Rprop, Sgd};
use wgrad::{Device, Tensor};

/// The shared GPU device and the CPU reference.
fn devices() -> [Device; 2] {
    static SHARED: OnceLock<Device> = OnceLock::new();
    let gpu = SHARED.get_or_init(|| Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}")));
    [gpu.clone(), Device::cpu()]
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

/// Leaves of shapes [5, 4], [4] and [3, 2, 2].
fn parameters(device: &Device) -> Vec<Tensor> {
    let wave = |n: usize, k: f32| (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect::<Vec<_>>();
    [vec![5, 4], vec![4], vec![3, 2, 2]]
        .iter()
        .enumerate()
        .map(|(i, shape)| {
            let n: usize = shape.iter().product();
            Tensor::from_slice(&wave(n, 0.7 + i as f32), shape.as_slice(), device).requires_grad()
        })
        .collect()
}

/// Sets gradients that depend on the parameters and on the step.
fn set_gradients(parameters: &[Tensor], step: usize) {
    for (i, p) in parameters.iter().enumerate() {
        p.zero_grad();
        let target = (step * (i + 1)) as f32 * 0.1;
        ((p - target.sin()).square() * 0.5 + p.sin() * 0.3).sum().backward().unwrap();
    }
}

type Make = fn(Vec<Tensor>) -> Box<dyn Optimizer + Send>;

/// Every optimizer, with all its options in some of them.
fn optimizers() -> Vec<(&'static str, Make)> {
    vec![
        ("sgd", |p| Box::new(Sgd::new(p, 0.05))),
        ("momentum", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).weight_decay(1e-2))),
        ("nesterov", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).nesterov(true))),
        ("dampening", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).dampening(0.25))),
        ("adam", |p| Box::new(Adam::new(p, 0.05).weight_decay(1e-2))),
        ("amsgrad", |p| Box::new(Adam::new(p, 0.05).amsgrad(true).betas((0.8, 0.9)))),
        ("adamw", |p| Box::new(AdamW::new(p, 0.05))),
        ("rmsprop", |p| Box::new(RmsProp::new(p, 0.02).weight_decay(1e-2))),
        ("rmsprop centered", |p| Box::new(RmsProp::new(p, 0.02).centered(true).momentum(0.9).alpha(0.9))),
        ("adagrad", |p| Box::new(Adagrad::new(p, 0.1).lr_decay(0.1))),
        ("adadelta", |p| Box::new(Adadelta::new(p, 1.0).weight_decay(1e-2))),
        ("adamax", |p| Box::new(Adamax::new(p, 0.05))),
        ("nadam", |p| Box::new(NAdam::new(p, 0.05).weight_decay(1e-2).decoupled_weight_decay(true))),
        ("radam", |p| Box::new(RAdam::new(p, 0.05).betas((0.9, 0.9)).weight_decay(1e-2))),
        ("asgd", |p| Box::new(Asgd::new(p, 0.05).lambd(1e-2).t0(2.0))),
        ("rprop", |p| Box::new(Rprop::new(p, 0.02))),
        ("maximize", |p| Box::new(AdamW::new(p, 0.01).maximize(true))),
        ("lion", |p| Box::new(Lion::new(p, 0.02).weight_decay(1e-2))),
    ]
}
