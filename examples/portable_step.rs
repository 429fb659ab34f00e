//! Captures a training step that runs on any adapter, in a browser too, and saves it as a file.
//!
//! The step is captured for WebGPU's default limits, trained a little here, and saved with its weights and the state of Adam. A page that
//! loads the file goes on from there (`web/README.md`); what a page has saved goes on here with `--resume`.
//!
//! ```text
//! cargo run --release --example portable_step -- --out out/step
//! cargo run --release --example portable_step -- --out out/step --resume from_page.safetensors --from 200
//! ```
//!
//! Writes `step.safetensors` and `losses.json`: the losses of the steps after the saved one, as this adapter computes them.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::Result;
use serde_json::json;
use wgrad::Target;
use wgrad::data::{Batches, Digits};
use wgrad::nn::loss;
use wgrad::optim::Adam;
use wgrad::{Captured, Device, Tensor, capture, load_captured};

/// Capture a training step that runs on any adapter
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    /// Steps before the file is saved
    #[arg(long, default_value_t = 20)]
    before: usize,
    /// Steps after that, whose losses are written down
    #[arg(long, default_value_t = 100)]
    after: usize,
    /// A step to go on with, as a page has saved it
    #[arg(long)]
    resume: Option<std::path::PathBuf>,
    /// Steps that the one to go on with has taken
    #[arg(long, default_value_t = 0)]
    from: usize,
}

/// Images and labels of the training split, in the batches of one order.
struct Batched {
    images: Tensor,
    labels: Tensor,
    batches: Batches,
}

impl Batched {
    fn new(device: &Device) -> Batched {
        let data = Digits::train();
        let (images, labels) = data.tensors(device);
        Batched { images, labels, batches: Batches::new(data.len(), 32, 0).drop_last(true) }
    }

    /// The inputs of a step.
    fn step(&self, step: usize) -> Result<[Tensor; 2]> {
        let (epoch, number) = (step / self.batches.per_epoch(), step % self.batches.per_epoch());
        let batch = self.batches.epoch(epoch).nth(number).ok_or("no such batch")?;
        let batch = common::indices(&batch, self.images.device());
        let inputs = [self.images.index_select(0, &batch), self.labels.index_select(0, &batch)];
        // As values, not as a graph.
        inputs.iter().try_for_each(Tensor::realize)?;
        Ok(inputs)
    }

    /// The losses of steps.
    fn losses(&self, step: &Captured<'_>, steps: std::ops::Range<usize>) -> Result<Vec<f32>> {
        steps.map(|i| Ok(step.run(&self.step(i)?)?[0].item::<f32>()?)).collect()
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let out = args.run.out_dir("portable_step")?;
    let device = Device::gpu_for(&Target::portable())?;
    println!("Running on {}, within the limits of every adapter.", device.info().name);
    device.seed(args.run.seed);
    let data = Batched::new(&device);
    let step = match &args.resume {
        Some(path) => load_captured(path, &device)?,
        None => training(&device)?,
    };
    let start = args.from + if args.resume.is_some() { 0 } else { args.before };
    if args.resume.is_none() {
        data.losses(&step, 0..start)?;
        let path = out.join("step.safetensors");
        step.save(&path)?;
        println!("wrote {}", path.display());
    }
    let losses = data.losses(&step, start..start + args.after)?;
    let path = out.join("losses.json");
    let figures = json!({ "adapter": device.info().to_string(), "from": start, "losses": losses });
    wgrad::io::write_atomically(&path, |file| file.write_all(figures.to_string().as_bytes()))?;
    println!("wrote {}", path.display());
    println!("{} steps, loss {:.4} to {:.4}", losses.len(), losses[0], losses[losses.len() - 1]);
    Ok(())
}

/// A step of a network of two layers with dropout, under Adam.
fn training(device: &Device) -> Result<Captured<'static>> {
    let layer = |inputs: usize, outputs: usize| {
        let bound = (6.0 / inputs as f32).sqrt();
        [
            Tensor::uniform([outputs, inputs], -bound, bound, device).requires_grad(),
            Tensor::zeros([outputs], device).requires_grad(),
        ]
    };
    let [[w1, b1], [w2, b2]] = [layer(Digits::PIXELS, 32), layer(32, Digits::CLASSES)];
    let names = ["0.weight", "0.bias", "1.weight", "1.bias"];
    let parameters = [w1.clone(), b1.clone(), w2.clone(), b2.clone()];
    let mut optimizer = Adam::new(parameters.to_vec(), 2e-3);
    let step = capture(device, move |x: &[Tensor]| {
        let hidden = x[0].linear(&w1, Some(&b1)).relu().dropout(0.1, true);
        let loss = loss::cross_entropy(&hidden.linear(&w2, Some(&b2)), &x[1]);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(vec![loss])
    })?;
    Ok(step.named(names.into_iter().zip(parameters)))
}
