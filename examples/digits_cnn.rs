//! A convolutional network with batch norm and dropout that reads handwritten digits.
//!
//! Shows layers put together by `Sequential` and summed up, images distorted at random as they are loaded, label smoothing, clipping, averaged
//! weights, metrics on test data, early stopping, the best state kept, the trainer with its log, dashboard and curves, and saving the weights
//! with PyTorch's names. A run that was ended, by Ctrl-C or by a power cut, goes on with `--resume`, to the same bits.
//!
//! ```text
//! cargo run --release --example digits_cnn
//! cargo run --release --example digits_cnn -- --device cpu --epochs 5 --dashboard
//! cargo run --release --example digits_cnn -- --resume
//! ```
//!
//! Writes `learning_curve` and `misclassified` (PNG and SVG), `log.csv`, `best.safetensors`, `model.safetensors` and checkpoints to
//! `out/digits_cnn`.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::Result;
use serde_json::json;
use wgrad::data::{Augmented, DataLoader, Dataset, Digits, Random, TensorDataset};
use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::nn::{self, BatchNorm2d, Conv2d, Dropout, Flatten, Lambda, Linear, Module, Parameters, Relu, Sequential};
use wgrad::optim::AdamW;
use wgrad::optim::lr::Improvement;
use wgrad::train::metric::{self, Average, ConfusionMatrix, Metric};
use wgrad::train::{Checkpoint, EarlyStopping, Supervised, Trainer};
use wgrad::{Device, Tensor, io};

/// Train a convolutional network to read handwritten digits
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,
    /// Go on from the last checkpoint in the folder
    #[arg(long)]
    resume: bool,
    /// Show the run as a live dashboard
    #[arg(long)]
    dashboard: bool,
}

/// Images `[N, 1, 8, 8]` to scores `[N, 10]`.
fn network(device: &Device) -> Sequential {
    let convolution = |from: usize, to: usize| Conv2d::new(from, to, 3, device).padding(1);
    Sequential::new()
        .add_named("conv1", convolution(1, 32))
        .add_named("bn1", BatchNorm2d::new(32, device))
        .add(Relu)
        .add_named("conv2", convolution(32, 64))
        .add_named("bn2", BatchNorm2d::new(64, device))
        .add(Relu)
        .add(Lambda::new(|x| x.max_pool2d(2, 2, 0)))
        .add_named("conv3", convolution(64, 128))
        .add_named("bn3", BatchNorm2d::new(128, device))
        .add(Relu)
        .add(Lambda::new(|x| x.max_pool2d(2, 2, 0)))
        .add(Flatten::default())
        .add(Dropout::new(0.3))
        .add_named("fc", Linear::new(128 * 2 * 2, Digits::CLASSES, device))
}

/// Ways to turn, scale, shear and move an image of 8×8 pixels a little, so that the network sees more than the 1,437 images that there are.
struct Distortions {
    /// `[WAYS, 64, 64]`. An image is a row of 64 pixels, and a distortion of it the matrix that computes each new pixel between four old ones.
    matrices: Tensor,
}

impl Distortions {
    const WAYS: usize = 256;
    const SIDE: usize = 8;
    const PIXELS: usize = Self::SIDE * Self::SIDE;

    fn new(seed: u64, device: &Device) -> Distortions {
        let mut random = Random::new(seed);
        let mut around_zero = |most: f32| random.uniform(-most, most);
        let mut matrices = vec![0.0f32; Self::WAYS * Self::PIXELS * Self::PIXELS];
        for matrix in matrices.chunks_mut(Self::PIXELS * Self::PIXELS) {
            let (sin, cos) = around_zero(12f32.to_radians()).sin_cos();
            let (scale, shear) = (1.0 + around_zero(0.1), around_zero(0.15));
            let (down, right) = (around_zero(0.7), around_zero(0.7));
            for to in 0..Self::PIXELS {
                let middle = (Self::SIDE - 1) as f32 / 2.0;
                let (y, x) = ((to / Self::SIDE) as f32 - middle, (to % Self::SIDE) as f32 - middle);
                let from_x = scale * cos * x + (shear - scale * sin) * y + right + middle;
                let from_y = scale * sin * x + scale * cos * y + down + middle;
                for (row, col) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                    let (row, col) = (from_y.floor() + row, from_x.floor() + col);
                    let inside = 0.0..Self::SIDE as f32;
                    if inside.contains(&row) && inside.contains(&col) {
                        let from = row as usize * Self::SIDE + col as usize;
                        let share = (1.0 - (from_y - row).abs()) * (1.0 - (from_x - col).abs());
                        matrix[from * Self::PIXELS + to] = share;
                    }
                }
            }
        }
        let shape = [Self::WAYS, Self::PIXELS, Self::PIXELS];
        Distortions { matrices: Tensor::from_slice(&matrices, shape, device) }
    }

    /// Each image `[N, 1, 8, 8]` distorted in one of the ways.
    fn apply(&self, images: &Tensor, random: &mut Random) -> Tensor {
        let ways: Vec<u32> = (0..images.shape()[0]).map(|_| random.below(Self::WAYS) as u32).collect();
        let ways = Tensor::from_slice(&ways, [ways.len()], images.device());
        let rows = images.reshape([-1, 1, Self::PIXELS as isize]);
        rows.matmul(&self.matrices.index_select(0, &ways)).reshape(images.shape())
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

/// The whole program.
pub fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("digits_cnn")?;
    let epochs = args.train.epochs(if args.run.quick { 3 } else { 20 })?;
    let peak = args.train.lr.unwrap_or(4e-3);

    let set = |digits: &Digits| -> wgrad::Result<TensorDataset> {
        let (images, labels) = digits.tensors(&device);
        TensorDataset::new(vec![images.reshape([-1, 1, 8, 8]), labels])
    };
    let (train, test) = (set(&Digits::train())?, Digits::test());
    let batch_size = args.train.batch_size(64, train.len());
    let distortions = Distortions::new(args.run.seed, &device);
    let train =
        Augmented::new(train, move |batch, random| Ok(vec![distortions.apply(&batch[0], random), batch[1].clone()]));
    let loader = DataLoader::new(train, batch_size, &device).shuffle(args.run.seed).drop_last(true);
    let per_epoch = loader.per_epoch() as u64;
    let steps = per_epoch * epochs as u64;
    let test_set = set(&test)?;
    let test_images = test_set.tensors()[0].clone();

    let model = network(&device);
    println!("{}\n", nn::summary(&model, &test_images.narrow(0, 0, 1))?);
    let optimizer = AdamW::new(model.parameters(), peak).weight_decay(1e-2);
    let mut task = Supervised::new(model, optimizer, loader, &device, move |model, batch| {
        let scores = model.forward(&batch[0]);
        let smoothed = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
        vec![
            ("loss".into(), loss::cross_entropy_with(&scores, &batch[1], &smoothed)),
            ("accuracy".into(), metric::accuracy(&scores, &batch[1])),
        ]
    })
    .schedule(move |step| peak * common::one_cycle(step as f32 / steps as f32))
    .clip_grad_norm(5.0)
    .ema(0.95)
    .validate(DataLoader::new(test_set, 180, &device))
    .metrics([Metric::TopK(3), Metric::F1(Average::Macro)], |model, batch| (model.forward(&batch[0]), batch[1].clone()))
    .early_stopping(EarlyStopping::new("validation loss").patience(8))
    .keep_best("validation accuracy", Improvement::MaxAbsolute(0.0));
    let trainer = Trainer::new(steps, &device).folder(&out).report_every(per_epoch).evaluate_every(per_epoch);
    let trainer = trainer.checkpoint_every(per_epoch.div_ceil(2)).resume(args.resume);
    let trainer = if args.dashboard { trainer.dashboard() } else { trainer };
    let outcome = trainer.run(&mut task)?;
    if !outcome.finished {
        println!("Go on with --resume.");
        return Ok(());
    }

    let history = &outcome.history;
    let panels: [(&str, &[&str]); 2] =
        [("Cross-entropy", &["loss", "validation loss"]), ("Accuracy", &["accuracy", "validation accuracy"])];
    common::drew(history.draw(out.join("learning_curve"), &panels)?);
    // The averaged weights of the best evaluation, with the running statistics that went with them.
    let best = Checkpoint::load(out.join("best.safetensors"), &device)?;
    let model = task.model();
    best.load_model(model)?;
    model.load_matching(best.part("ema")?)?;
    let read = common::answers(model, &test_images)?;
    let mut confusion = ConfusionMatrix::new(Digits::CLASSES);
    for (&label, &read) in test.labels.iter().zip(&read) {
        confusion.note(label as usize, read as usize)?;
    }
    println!("\nConfusion matrix (rows: targets, columns: predictions):\n{confusion}\n");
    let wrong = common::draw_wrong(&out.join("misclassified"), &test, &read)?;
    io::save_safetensors(out.join("model.safetensors"), &model.state_dict())?;
    let accuracy = 1.0 - wrong as f64 / test.len() as f64;
    let weights = model.parameters();
    let hash = common::weights_hash(&weights)?;
    let mut rows = vec![
        ["parameters".into(), weights.iter().map(Tensor::numel).sum::<usize>().to_string()],
        ["test accuracy".into(), format!("{:.2} %", 100.0 * accuracy)],
        ["misclassified".into(), format!("{wrong} of {}", test.len())],
    ];
    rows.extend(common::training_rows(epochs, per_epoch, batch_size, outcome.seconds, &hash));
    common::table(["result", "value"], &rows);
    args.run.write_json(&json!({
        "example": "digits_cnn",
        "seed": args.run.seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "test_accuracy": accuracy,
        "seconds": outcome.seconds,
        "weights_hash": hash,
        "history": serde_json::from_str::<serde_json::Value>(&history.to_json())?,
        "device": common::device_json(&device),
    }))?;
    args.train.ensure_accuracy(&args.run, accuracy, 0.985, 0.8)
}
