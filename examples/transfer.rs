//! Takes a network over from PyTorch and teaches it new digits from a few images.
//!
//! `data/pretrained/digits-0-to-4.safetensors` was saved by PyTorch after training on the digits 0 to 4. This example loads it, checks
//! that it gives PyTorch's scores, puts a new head for all ten digits on it, and trains that on ten images a digit: first the head
//! alone with everything else frozen, then all of it at a small rate. A network that starts from nothing sees the same images,
//! for comparison. The result is saved with PyTorch's names.
//!
//! ```text
//! cargo run --release --example transfer
//! cargo run --release --example transfer -- --weights other.safetensors
//! ```
//!
//! Writes `accuracy` and `misclassified` (PNG and SVG) and `model.safetensors` to `out/transfer`; the latter loads in PyTorch with
//! `strict=True`.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::data::{DataLoader, Digits, TensorDataset};
use wgrad::nn::{BatchNorm2d, Conv2d, Linear, Module, Parameters, loss};
use wgrad::optim::AdamW;
use wgrad::train::plot::{self, Panel};
use wgrad::train::{History, Supervised, Trainer};
use wgrad::{Device, Tensor, io, no_grad};

/// Fine-tune a network that PyTorch has trained
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,

    /// The file with PyTorch's weights
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/pretrained/digits-0-to-4.safetensors"))]
    weights: PathBuf,

    /// Training images of each digit
    #[arg(long, default_value_t = 10, value_name = "N")]
    images: usize,
}

/// The network of `data/pretrained/make.py`; fields are named as there.
#[derive(Module)]
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    head: Linear,
}

impl Net {
    fn new(classes: usize, device: &Device) -> Net {
        Net {
            conv1: Conv2d::new(1, 16, 3, device).padding(1),
            bn1: BatchNorm2d::new(16, device),
            conv2: Conv2d::new(16, 32, 3, device).padding(1),
            bn2: BatchNorm2d::new(32, device),
            head: Linear::new(32 * 2 * 2, classes, device),
        }
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.bn1.forward(&self.conv1.forward(x)).relu().max_pool2d(2, 2, 0);
        let x = self.bn2.forward(&self.conv2.forward(&x)).relu().max_pool2d(2, 2, 0);
        self.head.forward(&x.flatten(1, -1))
    }
}

/// Images and labels on the device.
#[derive(Clone)]
struct Set {
    images: Tensor,
    labels: Tensor,
}

impl Set {
    fn new(digits: &Digits, device: &Device) -> Set {
        let (images, labels) = digits.tensors(device);
        Set { images: images.reshape([-1, 1, 8, 8]), labels }
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("transfer")?;
    let steps = if args.run.quick { 30 } else { 120 };
    ensure(args.images > 0, "--images must be at least 1")?;

    // What PyTorch has saved is what this network has, name by name.
    let saved = io::load_safetensors(&args.weights, &device)?;
    let old = Net::new(5, &device);
    old.load_state_dict(&saved)?;
    old.eval();
    check_scores(&old, args, &device)?;

    let mut few = Digits::default();
    let train = Digits::train();
    let mut taken = [0; Digits::CLASSES];
    for i in 0..train.len() {
        let label = train.labels[i] as usize;
        if taken[label] < args.images {
            taken[label] += 1;
            few.images.extend_from_slice(train.image(i));
            few.labels.push(train.labels[i]);
        }
    }
    let (few, test) = (Set::new(&few, &device), Set::new(&Digits::test(), &device));

    // The body as it was, a new head.
    let model = Net::new(Digits::CLASSES, &device);
    let body = saved.iter().filter(|(name, _)| !name.starts_with("head."));
    let unmatched = model.load_matching(&body.map(|(name, tensor)| (name.clone(), tensor.clone())).collect())?;
    println!("taken over but for {}", unmatched.missing.join(", "));
    model.requires_grad_(false);
    model.head.requires_grad_(true);
    let (model, mut tuned) = fit(model, &few, &test, steps / 2, 1e-2, args.run.seed, &device)?;
    println!("head alone: {:.2} %", percent(&tuned));
    model.requires_grad_(true);
    let (model, rest) = fit(model, &few, &test, steps / 2, 1e-3, args.run.seed, &device)?;
    for (step, value) in rest.series("test accuracy") {
        tuned.push(steps / 2 + step as u64, 0.0, &[("test accuracy", value)]);
    }
    println!("all of it:  {:.2} %", percent(&tuned));
    let (_, scratch) = fit(Net::new(Digits::CLASSES, &device), &few, &test, steps, 1e-2, args.run.seed, &device)?;
    println!("from nothing: {:.2} %", percent(&scratch));

    let series =
        |history: &History| history.series("test accuracy").iter().map(|&(step, a)| (step, 100.0 * a)).collect();
    let title = format!("Test accuracy, {} images of each digit", args.images);
    let lines = vec![("fine-tuned", series(&tuned)), ("from nothing", series(&scratch))];
    common::drew(plot::curves(out.join("accuracy"), &[Panel { title: &title, x: "step", y: "%", lines }])?);
    let read = common::answers(&model, &test.images)?;
    let wrong = common::draw_wrong(&out.join("misclassified"), &Digits::test(), &read)?;
    let file = out.join("model.safetensors");
    io::save_safetensors_with_metadata(&file, &model.state_dict(), &[("format".into(), "pt".into())].into())?;
    println!("wrote {}", file.display());

    args.run.write_json(&json!({
        "example": "transfer",
        "seed": args.run.seed,
        "images_of_each_digit": args.images,
        "fine_tuned": percent(&tuned),
        "from_nothing": percent(&scratch),
        "misclassified": wrong,
        "weights_hash": common::weights_hash(&model.parameters())?,
        "device": common::device_json(&device),
    }))?;
    println!("test accuracy: {:.2} %", percent(&tuned));
    ensure(percent(&tuned) > 80.0, "the test accuracy is below 80 %: something is broken")
}

/// The last test accuracy.
fn percent(history: &History) -> f64 {
    100.0 * history.last("test accuracy").unwrap_or(f64::NAN)
}

/// Trains what is not frozen, and measures now and then.
fn fit(model: Net, few: &Set, test: &Set, steps: u64, peak: f32, seed: u64, device: &Device) -> Result<(Net, History)> {
    let optimizer = AdamW::new(model.parameters(), peak);
    let set = TensorDataset::new(vec![few.images.clone(), few.labels.clone()])?;
    let loader = DataLoader::new(set, 50, device).shuffle(seed);
    let test = test.clone();
    let mut task = Supervised::new(model, optimizer, loader, device, |model: &Net, batch| {
        vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    })
    .schedule(move |step| peak * common::one_cycle(step as f32 / steps as f32))
    .evaluate(move |model, _| {
        let accuracy = common::hits(&model.forward(&test.images), &test.labels).item::<f32>()?;
        Ok(vec![("test accuracy".into(), f64::from(accuracy))])
    });
    let outcome = Trainer::new(steps, device).quiet().evaluate_every((steps / 15).max(1)).run(&mut task)?;
    Ok((task.into_model().ok_or("the model is still in use")?, outcome.history))
}

/// Holds the scores of the first images against those that PyTorch has computed with the same weights.
fn check_scores(model: &Net, args: &Args, device: &Device) -> Result {
    let file = args.weights.with_file_name("scores.npy");
    if !file.exists() {
        println!("there is no {} to compare scores with", file.display());
        return Ok(());
    }
    let expected = io::load_npy(&file, device)?;
    let (images, _) = Digits::load().tensors(device);
    let scores = no_grad(|| model.forward(&images.narrow(0, 0, expected.shape()[0]).reshape([-1, 1, 8, 8])));
    let error = ((&scores - &expected).norm(2.0) / expected.norm(2.0)).item::<f32>()?;
    println!("scores are PyTorch's within {error:.1e}, relative in norm");
    ensure(error < 1e-4, "the scores are not PyTorch's")
}
