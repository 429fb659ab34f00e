//! Reads MNIST, or any data set in its form (Fashion-MNIST, KMNIST), from a folder of IDX files and trains a small network on it.
//!
//! ```text
//! cargo run --release --example mnist -- --data mnist
//! ```
//!
//! The folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each
//! plain or with `.gz`; `docs/examples.md` says where people get them. Images of any size will do. With `--quick` and without a folder the
//! digits of this crate are written as such a folder first.
//!
//! Writes `learning_curve` and `misclassified` (PNG and SVG), `log.csv` and `model.safetensors` to `out/mnist`.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::data::{DataLoader, Dataset, Digits, Mnist};
use wgrad::nn::{BatchNorm2d, Conv2d, Flatten, Lambda, Linear, Module, Parameters, Relu, Sequential, loss};
use wgrad::optim::Adam;
use wgrad::train::plot::{self, Picture};
use wgrad::train::{Supervised, Trainer};
use wgrad::{Device, io};

/// Train on a folder of IDX files
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,

    /// Folder with the IDX files
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

/// Images `[N, 1, height, width]` to scores of the classes.
fn network(height: usize, width: usize, classes: usize, device: &Device) -> Sequential {
    Sequential::new()
        .add_named("conv1", Conv2d::new(1, 16, 3, device).padding(1))
        .add_named("bn1", BatchNorm2d::new(16, device))
        .add(Relu)
        .add(Lambda::new(|x| x.max_pool2d(2, 2, 0)))
        .add_named("conv2", Conv2d::new(16, 32, 3, device).padding(1))
        .add_named("bn2", BatchNorm2d::new(32, device))
        .add(Relu)
        .add(Lambda::new(|x| x.max_pool2d(2, 2, 0)))
        .add(Flatten::default())
        .add_named("fc", Linear::new(32 * (height / 4) * (width / 4), classes, device))
}

/// Writes the digits that ship with the crate as a folder of IDX files.
fn write_digits(folder: &Path) -> Result {
    std::fs::create_dir_all(folder)?;
    for (split, digits) in [("train", Digits::train()), ("t10k", Digits::test())] {
        let pixels = digits.images.iter().map(|ink| (ink * 255.0).round() as u8).collect();
        let labels = digits.labels.iter().map(|&label| label as u8).collect();
        Mnist { pixels, labels, height: 8, width: 8 }.save(folder, split)?;
    }
    println!("wrote the digits of this crate as IDX files into {}", folder.display());
    Ok(())
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("mnist")?;
    let folder = match &args.data {
        Some(folder) => folder.clone(),
        None if args.run.quick => {
            let folder = out.join("digits-as-idx");
            write_digits(&folder)?;
            folder
        }
        None => {
            return Err(
                "--data names the folder with MNIST's four IDX files; docs/examples.md, \"Data\", says where people get them \
                        (--quick does without)"
                    .into(),
            );
        }
    };
    let (train, test) = (Mnist::train(&folder)?, Mnist::test(&folder)?);
    let (height, width) = (train.height, train.width);
    ensure((test.height, test.width) == (height, width), "training and test images have different sizes")?;
    ensure(
        height >= 4 && width >= 4 && !train.labels.is_empty() && !test.labels.is_empty(),
        "there are too few pixels or images",
    )?;
    let classes = 1 + usize::from(train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0));
    println!(
        "{} training and {} test images of {height} × {width}, {classes} classes",
        train.labels.len(),
        test.labels.len()
    );

    let epochs = args.train.epochs(2)?;
    let peak = args.train.lr.unwrap_or(3e-3);
    let batch_size = args.train.batch_size(64, train.labels.len());
    // The images stay on the host as bytes; a thread turns the next batches into tensors while the device computes.
    let loader = DataLoader::new(train, batch_size, &device).shuffle(args.run.seed).drop_last(true).prefetch(2);
    let per_epoch = loader.per_epoch() as u64;
    let steps = per_epoch * epochs as u64;

    let model = network(height, width, classes, &device);
    let optimizer = Adam::new(model.parameters(), peak);
    let shown = test.clone();
    let mut task = Supervised::new(model, optimizer, loader, &device, |model, batch| {
        let scores = model.forward(&batch[0]);
        vec![
            ("loss".into(), loss::cross_entropy(&scores, &batch[1])),
            ("accuracy".into(), common::hits(&scores, &batch[1])),
        ]
    })
    .schedule(move |step| peak * common::one_cycle(step as f32 / steps as f32))
    .evaluate(move |model, _| {
        let answers = read(model, &shown)?;
        let wrong = answers.iter().zip(&shown.labels).filter(|(read, label)| **read != u32::from(**label)).count();
        Ok(vec![("test accuracy".into(), 1.0 - wrong as f64 / shown.labels.len() as f64)])
    });
    let trainer = Trainer::new(steps, &device).folder(&out).report_every((steps / 40).max(5)).evaluate_every(per_epoch);
    let outcome = trainer.run(&mut task)?;

    let model = task.model();
    let panels: [(&str, &[&str]); 2] = [("Cross-entropy", &["loss"]), ("Accuracy", &["accuracy", "test accuracy"])];
    common::drew(outcome.history.draw(out.join("learning_curve"), &panels)?);
    let answers = read(model, &test)?;
    let wrong: Vec<usize> = (0..answers.len()).filter(|&i| answers[i] != u32::from(test.labels[i])).collect();
    let size = height * width;
    let picture = |&i: &usize| Picture {
        pixels: test.pixels[i * size..(i + 1) * size].iter().map(|&p| f32::from(p) / 255.0).collect(),
        width,
        caption: format!("{}, read as {}", test.labels[i], answers[i]),
    };
    let title = format!("{} of {} read wrongly", wrong.len(), answers.len());
    let pictures: Vec<Picture> = wrong.iter().take(40).map(picture).collect();
    common::drew(plot::grid(out.join("misclassified"), &title, &pictures, 8)?);
    io::save_safetensors(out.join("model.safetensors"), &model.state_dict())?;

    let accuracy = 1.0 - wrong.len() as f64 / answers.len() as f64;
    let weights = model.parameters();
    let hash = common::weights_hash(&weights)?;
    let mut rows = vec![["test accuracy".into(), format!("{:.2} %", 100.0 * accuracy)]];
    rows.extend(common::training_rows(epochs, per_epoch, batch_size, outcome.seconds, &hash));
    common::table(["result", "value"], &rows);
    args.run.write_json(&json!({
        "example": "mnist",
        "seed": args.run.seed,
        "epochs": epochs,
        "test_accuracy": accuracy,
        "seconds": outcome.seconds,
        "weights_hash": hash,
        "device": common::device_json(&device),
    }))?;
    ensure(accuracy > 2.0 / classes as f64, "the test accuracy is close to chance: something is broken")
}

/// What the network reads on each image, in parts that fit small devices.
fn read(model: &Sequential, set: &Mnist) -> wgrad::Result<Vec<u32>> {
    let device = model.parameters()[0].device().clone();
    let all: Vec<usize> = (0..set.labels.len()).collect();
    let mut answers = Vec::with_capacity(all.len());
    for indices in all.chunks(500) {
        answers.extend(common::answers(model, &set.batch(indices, &device)?[0])?);
    }
    Ok(answers)
}
