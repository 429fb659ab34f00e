//! One training step of two small networks: forward, backward and update.
//!
//! *Wall* is the time of a step in a loop that never reads; *host* is how long the calls of one step take on an idle device,
//! until they return. From the third step on nothing is allocated or compiled; the run fails where that is not so.
//!
//! ```text
//! cargo bench --bench training
//! ```

mod common;

use std::time::{Duration, Instant};

use common::{Bench, Group, show};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Result, Tensor};

/// A training step, and the state that it changes.
type Step<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// 64 inputs of 1000 numbers, 100 hidden units, 10 outputs, sum of squares, plain gradient descent.
fn two_layer_net(device: &Device) -> Result<Step<'static>> {
    let (x, y) = (Tensor::randn([64, 1000], device), Tensor::randn([64, 10], device));
    x.realize().and(y.realize())?;
    let w1 = Tensor::randn([1000, 100], device).requires_grad();
    let w2 = Tensor::randn([100, 10], device).requires_grad();
    let mut optimizer = Sgd::new(vec![w1.clone(), w2.clone()], 1e-6);
    Ok(Box::new(move || {
        let loss = (x.matmul(&w1).relu().matmul(&w2) - &y).square().sum();
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()
    }))
}

/// 128 inputs of 784 numbers, two hidden layers of 512, 10 classes, cross-entropy, Adam.
fn mlp(device: &Device) -> Result<Step<'static>> {
    let x = Tensor::rand([128, 784], device);
    let classes: Vec<f32> = (0..128 * 10).map(|i| f32::from(u8::from(i % 10 == (i / 10) % 10))).collect();
    let one_hot = Tensor::from_slice(&classes, [128, 10], device);
    x.realize()?;
    let layer = |inputs: usize, outputs: usize| {
        let bound = 1.0 / (inputs as f32).sqrt();
        let weight = Tensor::uniform([outputs, inputs], -bound, bound, device).requires_grad();
        (weight, Tensor::zeros([outputs], device).requires_grad())
    };
    let layers = [layer(784, 512), layer(512, 512), layer(512, 10)];
    let parameters = layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
    let mut optimizer = Adam::new(parameters, 1e-3);
    Ok(Box::new(move || {
        let [(w1, b1), (w2, b2), (w3, b3)] = &layers;
        let logits = x.linear(w1, Some(b1)).relu().linear(w2, Some(b2)).relu().linear(w3, Some(b3));
        let loss = (logits.logsumexp_dims(&[1], false) - (&logits * &one_hot).sum_dims(&[1], false)).mean();
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()
    }))
}

fn measure(group: &mut Group, case: &str, device: &Device, mut step: Step) {
    let mut steps = |count: u64| -> Result<()> {
        (0..count).try_for_each(|_| step())?;
        device.sync()
    };
    steps(4).expect("the first steps");
    let before = (device.stats(), device.memory().allocations);
    steps(10).expect("ten steps");
    let after = (device.stats(), device.memory().allocations);
    let new = |f: fn(&wgrad::Stats) -> u64| f(&after.0) - f(&before.0);
    let made = [new(|s| s.kernels_compiled), new(|s| s.plans_built), new(|s| s.bind_groups), after.1 - before.1];
    assert_eq!(made, [0; 4], "{case}: pipelines, plans, bind groups and buffers made in a steady loop");
    let (submits, dispatches) = (new(|s| s.submits) as f64 / 10.0, new(|s| s.dispatches) as f64 / 10.0);

    let Some(wall) = group.time(case, &mut steps) else { return };
    let mut host: Vec<Duration> = (0..15)
        .map(|_| {
            let start = Instant::now();
            step().expect("a step");
            let elapsed = start.elapsed();
            device.sync().expect("the end of a step");
            elapsed
        })
        .collect();
    host.sort();
    let figure = if device.is_cpu() {
        "wall".to_owned()
    } else {
        format!("wall; host {}, {dispatches:.1} dispatches and {submits:.1} submits a step", show(host[7]))
    };
    group.row(case, wall, figure);
}

fn main() {
    let mut bench = Bench::new();
    let device = bench.device();
    let mut group = bench.group("training step");
    let mut devices = vec![(device, "")];
    if !devices[0].0.is_cpu() {
        devices.push((Device::cpu(), ", CPU reference"));
    }
    for (device, suffix) in devices {
        device.seed(1);
        let step = two_layer_net(&device).expect("the two-layer net");
        measure(&mut group, &format!("two-layer net 1000-100-10, batch 64, SGD{suffix}"), &device, step);
        let step = mlp(&device).expect("the MLP");
        measure(&mut group, &format!("MLP 784-512-512-10, batch 128, Adam{suffix}"), &device, step);
    }
    drop(group);
    bench.finish();
}
