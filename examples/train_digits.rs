//! Trains a network of three linear layers to read handwritten digits.
//!
//! Shows the whole of a training run: data as tensors on the device, mini-batches gathered there, forward, backward and
//! Adam in one submit a step, a learning rate that changes without compiling anything, and what the network still reads
//! wrongly.
//!
//! ```text
//! cargo run --release --example train_digits
//! cargo run --release --example train_digits -- --device cpu --epochs 10 --seed 7 --json out/figures.json
//! ```
//!
//! Writes `learning_curve` and `misclassified`, each as PNG and SVG, to `out/train_digits`.

mod common;

use std::f32::consts::PI;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use wgrad::data::{Batches, Digits};
use wgrad::nn::loss;
use wgrad::optim::Adam;
use wgrad::train::plot::{self, Panel};
use wgrad::{Device, Tensor, no_grad};

/// Train a small network to read handwritten digits
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,
}

/// Three linear layers with ReLU between them: 64 pixels in, one score a digit out.
struct Mlp {
    layers: [(Tensor, Tensor); 3],
}

impl Mlp {
    const SIZES: [usize; 4] = [Digits::PIXELS, 128, 64, Digits::CLASSES];

    fn new(device: &Device) -> Mlp {
        let layers = std::array::from_fn(|i| {
            let (inputs, outputs) = (Mlp::SIZES[i], Mlp::SIZES[i + 1]);
            // Kaiming's bound keeps the size of activations the same through layers with ReLU.
            let bound = (6.0 / inputs as f32).sqrt();
            (
                Tensor::uniform([outputs, inputs], -bound, bound, device).requires_grad(),
                Tensor::zeros([outputs], device).requires_grad(),
            )
        });
        Mlp { layers }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let [(w1, b1), (w2, b2), (w3, b3)] = &self.layers;
        images.linear(w1, Some(b1)).relu().linear(w2, Some(b2)).relu().linear(w3, Some(b3))
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect()
    }
}

/// What one epoch brought.
struct Epoch {
    loss: f32,
    train_accuracy: f32,
    test_accuracy: f32,
    learning_rate: f32,
    seconds: f64,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("train_digits")?;
    let epochs = args.train.epochs(if args.run.quick { 4 } else { 30 })?;
    let peak_rate = args.train.lr.unwrap_or(2e-3);

    let test = Digits::test();
    let (train_images, train_labels) = Digits::train().tensors(&device);
    let (test_images, test_labels) = test.tensors(&device);
    let train_len = train_labels.numel();
    let batch_size = args.train.batch_size(32, train_len);

    let model = Mlp::new(&device);
    let mut optimizer = Adam::new(model.parameters(), peak_rate);
    // Batches of one size give graphs of one shape: every step after the first reuses the same plan.
    let batches = Batches::new(train_len, batch_size, args.run.seed).drop_last(true);
    let steps = batches.per_epoch() * epochs;

    let bar = ProgressBar::new(steps as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} steps  {elapsed}  {msg}")?);
    let mut history: Vec<Epoch> = Vec::new();
    let mut step = 0;
    for epoch in 0..epochs {
        let start = Instant::now();
        let mut learning_rate = peak_rate;
        // The sum of losses stays on the device: reading it at each step would wait for each step.
        // It starts as data, so that the first step has the structure of all others and uses their plan.
        let mut total = Tensor::from_slice(&[0f32], (), &device);
        for batch in batches.epoch(epoch) {
            learning_rate = peak_rate * cosine(step as f32 / steps as f32);
            optimizer.set_lr(learning_rate);

            let batch = common::indices(&batch, &device);
            let images = train_images.index_select(0, &batch);
            let labels = train_labels.index_select(0, &batch);
            let loss = loss::cross_entropy(&model.forward(&images), &labels);
            optimizer.zero_grad();
            loss.backward()?;
            total = &total + &loss.detach();
            optimizer.step()?;

            step += 1;
            bar.inc(1);
        }
        let loss = total.item::<f32>()? / batches.per_epoch() as f32;
        let seconds = start.elapsed().as_secs_f64();

        let result = Epoch {
            loss,
            train_accuracy: common::accuracy(&no_grad(|| model.forward(&train_images)), &train_labels)?,
            test_accuracy: common::accuracy(&no_grad(|| model.forward(&test_images)), &test_labels)?,
            learning_rate,
            seconds,
        };
        let line = format!(
            "epoch {:>3}  loss {:.4}  accuracy: training {:.2} %, test {:.2} %",
            epoch + 1,
            result.loss,
            100.0 * result.train_accuracy,
            100.0 * result.test_accuracy
        );
        if bar.is_hidden() {
            println!("{line}");
        }
        bar.set_message(line);
        history.push(result);
    }
    bar.finish();

    let read = no_grad(|| model.forward(&test_images)).argmax(-1, false).to_vec::<u32>()?;
    let wrong: Vec<usize> = (0..test.len()).filter(|&i| read[i] as i32 != test.labels[i]).collect();
    let accuracy = 1.0 - wrong.len() as f64 / test.len() as f64;
    let hash = common::weights_hash(&model.parameters())?;
    let seconds: f64 = history.iter().map(|e| e.seconds).sum();
    // The first epoch also builds plans and compiles kernels, so the speed is that of the others where there are any.
    let timed = if epochs > 1 { &history[1..] } else { &history[..] };
    let images_timed = (timed.len() * batches.per_epoch() * batch_size) as f64;
    let speed = images_timed / timed.iter().map(|e| e.seconds).sum::<f64>();

    draw_history(&out, &history)?;
    common::draw_wrong(&out.join("misclassified"), &test, &read)?;
    let last = history.last().ok_or("no epoch was run")?;
    println!();
    common::table(
        ["result", "value"],
        &[
            ["adapter".into(), device.info().name.clone()],
            ["epochs × steps of images".into(), format!("{epochs} × {} of {batch_size}", batches.per_epoch())],
            ["training loss".into(), format!("{:.4}", last.loss)],
            ["training accuracy".into(), format!("{:.2} %", 100.0 * last.train_accuracy)],
            ["test accuracy".into(), format!("{:.2} %", 100.0 * accuracy)],
            ["misclassified".into(), format!("{} of {}", wrong.len(), test.len())],
            ["training time".into(), format!("{seconds:.2} s")],
            ["speed after the first epoch".into(), format!("{speed:.0} samples/s")],
            ["weights' hash".into(), hash.clone()],
        ],
    );
    args.run.write_json(&json!({
        "example": "train_digits",
        "seed": args.run.seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "peak_learning_rate": peak_rate,
        "layers": Mlp::SIZES,
        "test_accuracy": accuracy,
        "misclassified": wrong.iter().map(|&i| json!({
            "test_image": i, "label": test.labels[i], "read": read[i],
        })).collect::<Vec<_>>(),
        "training_seconds": seconds,
        "samples_per_second": speed,
        "weights_hash": hash,
        "history": history.iter().map(|e| json!({
            "loss": e.loss,
            "train_accuracy": e.train_accuracy,
            "test_accuracy": e.test_accuracy,
            "learning_rate": e.learning_rate,
            "seconds": e.seconds,
        })).collect::<Vec<_>>(),
        "device": common::device_json(&device),
    }))?;
    println!("test accuracy: {:.2} %", 100.0 * accuracy);

    args.train.ensure_accuracy(&args.run, accuracy, 0.97, 0.85)
}

/// Half a cosine from 1 to 0.01 while `progress` goes from 0 to 1: large steps first, fine ones at the end.
fn cosine(progress: f32) -> f32 {
    0.01 + 0.99 * 0.5 * (1.0 + (PI * progress).cos())
}

fn draw_history(out: &Path, history: &[Epoch]) -> Result {
    let line = |value: fn(&Epoch) -> f32| -> Vec<(f64, f64)> {
        history.iter().enumerate().map(|(i, e)| (i as f64 + 1.0, f64::from(value(e)))).collect()
    };
    let loss = Panel { title: "Loss", x: "epoch", y: "cross-entropy", lines: vec![("training", line(|e| e.loss))] };
    let accuracy = vec![("training", line(|e| 100.0 * e.train_accuracy)), ("test", line(|e| 100.0 * e.test_accuracy))];
    let accuracy = Panel { title: "Accuracy", x: "epoch", y: "%", lines: accuracy };
    common::drew(plot::curves(out.join("learning_curve"), &[loss, accuracy])?);
    Ok(())
}
