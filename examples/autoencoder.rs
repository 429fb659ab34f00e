//! An autoencoder that squeezes handwritten digits through eight numbers.
//!
//! Shows training without labels and a loss by pixels. The pictures are what one looks at: each digit above what the network makes of
//! it, and digits on the way from one to another through the narrow layer.
//!
//! ```text
//! cargo run --release --example autoencoder
//! ```
//!
//! Writes `reconstructions`, `between` and `loss`, each as PNG and SVG, to `out/autoencoder`.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::data::{DataLoader, Digits, TensorDataset};
use wgrad::nn::{Linear, Module, Parameters, loss};
use wgrad::optim::Adam;
use wgrad::train::plot::{self, Picture};
use wgrad::train::{Supervised, Trainer};
use wgrad::{Device, Tensor, no_grad};

/// Train an autoencoder on handwritten digits
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,

    /// Numbers in the narrow layer
    #[arg(long, default_value_t = 8, value_name = "N")]
    code: usize,
}

#[derive(Module)]
struct Autoencoder {
    encoder: [Linear; 2],
    decoder: [Linear; 2],
}

impl Autoencoder {
    fn new(code: usize, device: &Device) -> Autoencoder {
        let (pixels, hidden) = (Digits::PIXELS, 128);
        Autoencoder {
            encoder: [Linear::new(pixels, hidden, device), Linear::new(hidden, code, device)],
            decoder: [Linear::new(code, hidden, device), Linear::new(hidden, pixels, device)],
        }
    }

    fn encode(&self, images: &Tensor) -> Tensor {
        let [first, second] = &self.encoder;
        second.forward(&first.forward(images).gelu())
    }

    /// Images as logits: `sigmoid` makes grey values of them.
    fn decode(&self, codes: &Tensor) -> Tensor {
        let [first, second] = &self.decoder;
        second.forward(&first.forward(codes).gelu())
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("autoencoder")?;
    let epochs = args.train.epochs(if args.run.quick { 5 } else { 60 })?;
    let peak = args.train.lr.unwrap_or(4e-3);
    ensure(args.code > 0, "--code must be at least 1")?;

    let (train, _) = Digits::train().tensors(&device);
    let test = Digits::test();
    let (images, _) = test.tensors(&device);
    let batch_size = args.train.batch_size(64, train.shape()[0]);
    let loader =
        DataLoader::new(TensorDataset::new(vec![train])?, batch_size, &device).shuffle(args.run.seed).drop_last(true);
    let per_epoch = loader.per_epoch() as u64;
    let steps = per_epoch * epochs as u64;

    let model = Autoencoder::new(args.code, &device);
    let optimizer = Adam::new(model.parameters(), peak);
    let shown = images.clone();
    let error =
        |model: &Autoencoder, images: &Tensor| loss::mse(&model.decode(&model.encode(images)).sigmoid(), images);
    let mut task = Supervised::new(model, optimizer, loader, &device, |model: &Autoencoder, batch| {
        let logits = model.decode(&model.encode(&batch[0]));
        let loss = loss::bce_with_logits(&logits, &batch[0]);
        vec![("loss".into(), loss), ("squared error".into(), loss::mse(&logits.sigmoid(), &batch[0]))]
    })
    .schedule(move |step| peak * common::one_cycle(step as f32 / steps as f32))
    .evaluate(move |model, _| Ok(vec![("test squared error".into(), f64::from(error(model, &shown).item::<f32>()?))]));
    let trainer = Trainer::new(steps, &device).folder(&out).report_every(per_epoch).evaluate_every(per_epoch);
    let outcome = trainer.run(&mut task)?;
    let history = &outcome.history;
    common::drew(history.draw(
        out.join("loss"),
        &[("Binary cross-entropy", &["loss"]), ("Squared error of a pixel", &["squared error", "test squared error"])],
    )?);

    let model = task.model();
    let codes = no_grad(|| model.encode(&images));
    let made = no_grad(|| model.decode(&codes)).sigmoid().to_vec::<f32>()?;
    let pixels = |values: &[f32], i: usize| values[i * Digits::PIXELS..(i + 1) * Digits::PIXELS].to_vec();
    // The first test images of each digit, two rows of ten, each above its reconstruction.
    let labels = &test.labels;
    let pick = |nth: usize| (0..10).filter_map(move |digit| (0..labels.len()).filter(|&i| labels[i] == digit).nth(nth));
    let mut pictures = Vec::new();
    for nth in 0..2 {
        let row: Vec<usize> = pick(nth).collect();
        let picture =
            |values: &[f32], i: usize, caption: String| Picture { pixels: pixels(values, i), width: 8, caption };
        pictures.extend(row.iter().map(|&i| picture(&test.images, i, format!("a {}", test.labels[i]))));
        pictures.extend(row.iter().map(|&i| picture(&made, i, "made of it".into())));
    }
    let title = format!("Test digits, and what is made of {} numbers", args.code);
    common::drew(plot::grid(out.join("reconstructions"), &title, &pictures, 10)?);

    // From a 1 to an 8 and so on: codes on a straight line between two digits.
    let mut pictures = Vec::new();
    for (from, to) in [(0, 6), (1, 8), (4, 9)] {
        let of = |digit: i32| test.labels.iter().position(|&label| label == digit).unwrap_or(0);
        let code = |digit: i32| codes.narrow(0, of(digit), 1);
        let way = Tensor::linspace(0.0, 1.0, 8, &device).reshape([8, 1]);
        let between = code(from) * (way.full_like(1.0) - &way) + code(to) * &way;
        let drawn = no_grad(|| model.decode(&between)).sigmoid().to_vec::<f32>()?;
        for i in 0..8 {
            let caption = if i == 0 {
                from.to_string()
            } else if i == 7 {
                to.to_string()
            } else {
                String::new()
            };
            pictures.push(Picture { pixels: pixels(&drawn, i), width: 8, caption });
        }
    }
    common::drew(plot::grid(out.join("between"), "From one digit to another", &pictures, 8)?);

    let last = history.last("test squared error").unwrap_or(f64::NAN);
    // What one gets by always drawing the mean image.
    let plain = images.var_dims(&[0], 0.0, false).mean().item::<f32>()?;
    let explained = 1.0 - last / f64::from(plain);
    let weights = model.parameters();
    let hash = common::weights_hash(&weights)?;
    let mut rows = vec![
        ["squared error of a test pixel".into(), format!("{last:.4}")],
        ["of the mean image".into(), format!("{plain:.4}")],
        ["explained".into(), format!("{:.1} %", 100.0 * explained)],
    ];
    rows.extend(common::training_rows(epochs, per_epoch, batch_size, outcome.seconds, &hash));
    common::table(["result", "value"], &rows);
    args.run.write_json(&json!({
        "example": "autoencoder",
        "seed": args.run.seed,
        "epochs": epochs,
        "code": args.code,
        "test_squared_error": last,
        "explained": explained,
        "seconds": outcome.seconds,
        "weights_hash": hash,
        "device": common::device_json(&device),
    }))?;
    let least = if args.run.quick { 0.2 } else { 0.7 };
    ensure(
        explained > least,
        format!("less than {:.0} % of the pixels' variance is explained: something is broken", 100.0 * least),
    )
}
