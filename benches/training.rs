//! One training step of four networks: forward, backward and update.
//!
//! *Wall* is the time of a step in a loop that never reads; *host* is how long the calls of one step take on an idle device,
//! until they return. From the third step on nothing is allocated or compiled; the run fails where that is not so.
//!
//! ```text
//! cargo bench --bench training
//! ```

mod common;

use std::time::{Duration, Instant};

use common::models::{self, Build, Step};
use common::{Bench, Group, show};
use wgrad::{Device, Result};

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
        let steps: [(&str, Build); 4] = [
            ("two-layer net 1000-100-10, batch 64, SGD", models::two_layer_net),
            ("MLP 784-512-512-10, batch 128, Adam", models::mlp),
            ("CNN, 64 pictures of 28 × 28, SGD", models::cnn),
            ("char-GPT, 8 × 128 tokens, 128 wide, 4 layers, AdamW", models::char_gpt),
        ];
        for (name, step) in steps {
            let step = step(&device).expect(name);
            measure(&mut group, &format!("{name}{suffix}"), &device, step);
        }
    }
    drop(group);
    bench.finish();
}
