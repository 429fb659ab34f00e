//! Dynamic against static graphs: what a small network costs when its ops run one by one as they are called, when they are
//! recorded and planned anew at each call, when plans are reused, and when the whole step is captured. The network is that of
//! TensorFlow's guide to graphs: 784-128-10 with dropout, 60 images a call; forward only, and a whole training step.
//!
//! ```text
//! cargo run --release --example static_vs_dynamic
//! ```

mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use common::{Result, RunArgs, ensure, exit, table};
use serde_json::json;
use wgrad::nn::loss;
use wgrad::optim::Sgd;
use wgrad::train::plot;
use wgrad::{Device, Tensor, capture};

#[derive(Parser)]
#[command(about = "A small network op by op, dynamic, and captured")]
struct Args {
    #[command(flatten)]
    run: RunArgs,
}

/// Images in a call.
const BATCH: usize = 60;

/// How calls are run.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Eager,
    Anew,
    Reused,
    Captured,
}

const MODES: [(Mode, &str); 4] = [
    (Mode::Eager, "op by op"),
    (Mode::Anew, "planned anew"),
    (Mode::Reused, "plan reused"),
    (Mode::Captured, "captured"),
];

type Call<'a> = Box<dyn FnMut() -> wgrad::Result<Tensor> + 'a>;

/// The network and its inputs on a device of its own, ready to be called.
struct Work {
    device: Device,
    x: Tensor,
    labels: Tensor,
    parameters: Vec<Tensor>,
}

impl Work {
    fn new(mode: Mode, cpu: bool, seed: u64) -> wgrad::Result<Work> {
        let device = if cpu { Device::cpu() } else { Device::gpu_with_fusion(mode != Mode::Eager)? };
        device.seed(seed);
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], &device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], &device).requires_grad();
        let parameters = vec![weight(784, 128), zeros(128), weight(128, 10), zeros(10)];
        let x = Tensor::rand([BATCH, 784], &device);
        let labels = Tensor::randint([BATCH], 0, 10, &device);
        device.sync()?;
        device.set_eager(mode == Mode::Eager);
        device.set_plan_reuse(mode != Mode::Anew);
        Ok(Work { device, x, labels, parameters })
    }

    /// One call: the mean output, or the loss of a training step.
    fn call(&self, training: bool, mode: Mode) -> wgrad::Result<Call<'_>> {
        let p = self.parameters.clone();
        let mut optimizer = Sgd::new(p.clone(), 0.05);
        let mut step = move |x: &[Tensor]| -> wgrad::Result<Vec<Tensor>> {
            let h = (x[0].matmul(&p[0]) + &p[1]).relu().dropout(0.2, training);
            let scores = h.matmul(&p[2]) + &p[3];
            if !training {
                return Ok(vec![scores.detach()]);
            }
            let loss = loss::cross_entropy(&scores, &x[1]);
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
            Ok(vec![loss])
        };
        let inputs = [self.x.clone(), self.labels.clone()];
        if mode == Mode::Captured {
            let step = capture(&self.device, step)?;
            return Ok(Box::new(move || Ok(step.run(&inputs)?.remove(0))));
        }
        Ok(Box::new(move || {
            let out = step(&inputs)?.remove(0);
            out.realize()?;
            Ok(out)
        }))
    }
}

/// The time of so many calls, with the device idle before and after.
fn time(work: &Work, calls: usize, call: &mut Call<'_>) -> wgrad::Result<Duration> {
    work.device.sync()?;
    let start = Instant::now();
    for _ in 0..calls {
        drop(call()?);
    }
    work.device.sync()?;
    Ok(start.elapsed())
}

fn run(args: &Args) -> Result {
    let chosen = args.run.device()?;
    let out = args.run.out_dir("static_vs_dynamic")?;
    let modes: Vec<(Mode, &str)> = MODES
        .into_iter()
        .filter(|(mode, _)| !chosen.is_cpu() || matches!(mode, Mode::Reused | Mode::Captured))
        .collect();
    let (counts, rounds) = if args.run.quick { ([5, 20], 1) } else { ([10, 1000], 5) };
    let (mut rows, mut panels, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for training in [false, true] {
        let what = if training { "training step" } else { "forward" };
        let works = modes.iter().map(|(mode, _)| Work::new(*mode, chosen.is_cpu(), args.run.seed));
        let works = works.collect::<wgrad::Result<Vec<_>>>()?;
        let mut calls = Vec::new();
        for (work, (mode, _)) in works.iter().zip(&modes) {
            calls.push(work.call(training, *mode)?);
        }
        // Kernels are compiled and the first plans made; after as many calls all ways must have come to the same.
        let mut values = Vec::new();
        for call in &mut calls {
            drop(call()?);
            drop(call()?);
            values.push(call()?.to_vec::<f32>()?);
        }
        let scale = values[0].iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        for (value, (_, name)) in values.iter().zip(&modes) {
            let apart = value.iter().zip(&values[0]).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            ensure(apart <= 1e-4 * scale, format!("{what}, {name}: results differ by {apart}"))?;
        }
        for n in counts {
            // The ways take iterations, so that whatever else the machine does meets all alike. The median counts.
            let mut times = vec![Vec::new(); modes.len()];
            for _ in 0..rounds {
                for ((times, call), work) in times.iter_mut().zip(&mut calls).zip(&works) {
                    times.push(time(work, n, call)?.as_secs_f64() * 1e3);
                }
            }
            let medians: Vec<f64> = times
                .into_iter()
                .map(|mut times| {
                    times.sort_by(f64::total_cmp);
                    times[times.len() / 2]
                })
                .collect();
            for ((_, name), total) in modes.iter().zip(&medians) {
                let factor = medians[0] / total;
                rows.push([
                    what.to_owned(),
                    n.to_string(),
                    (*name).to_owned(),
                    format!("{total:.1} ms"),
                    format!("{:.3} ms", total / n as f64),
                    format!("{factor:.2}"),
                ]);
                figures.push(json!({
                    "what": what, "calls": n, "mode": name, "milliseconds": total, "times_faster_than_first": factor
                }));
            }
            let bars = modes.iter().zip(&medians).map(|((_, name), total)| (*name, total / n as f64)).collect();
            panels.push(plot::Bars { title: format!("{what}, {n} calls"), unit: "ms a call", bars });
        }
    }
    let first = format!("faster than {}", modes[0].1);
    table(["work", "calls", "way", "time", "a call", &first], &rows);
    common::drew(plot::bars(out.join("static_vs_dynamic"), &panels)?);
    args.run.write_json(&json!({ "device": common::device_json(&chosen), "results": figures }))
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}
