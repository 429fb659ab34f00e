//! Two linear classifiers on handwritten digits: multiclass SVM (hinge) loss against softmax loss.
//!
//! Both compute scores `W·x` and differ in what they ask of them: the hinge loss is satisfied once the right score leads
//! by a margin of 1, the softmax loss (cross-entropy) always wants more. Both are trained with L2 regularisation on the
//! same batches; their loss curves are drawn side by side.
//!
//! Then the question "W or 2W?": where W reaches a hinge loss of exactly zero, so does 2W. The data cannot tell them
//! apart, the regularisation can. The example shows it with numbers and checks them.
//!
//! ```text
//! cargo run --release --example linear_classifiers
//! cargo run --release --example linear_classifiers -- --epochs 10 --regularisation 1e-3
//! ```
//!
//! Writes `losses.png` and `losses.svg` to `out/linear_classifiers`.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::{Value, json};
use wgrad::data::{Batches, Digits};
use wgrad::nn::loss;
use wgrad::optim::Sgd;
use wgrad::train::plot::{self, Panel};
use wgrad::{Device, Tensor, no_grad};

/// Compare the hinge and the softmax loss of a linear classifier on handwritten digits
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,

    /// Weight of the squared norm of W in the loss
    #[arg(long, default_value_t = 1e-4)]
    regularisation: f32,
}

/// A loss of scores and labels, averaged over the batch.
type Loss = fn(&Tensor, &Tensor) -> Tensor;

fn hinge(scores: &Tensor, labels: &Tensor) -> Tensor {
    loss::multi_margin(scores, labels, 1.0)
}

fn softmax(scores: &Tensor, labels: &Tensor) -> Tensor {
    loss::cross_entropy(scores, labels)
}

/// Images with a constant 1 appended, so that the last column of W is the bias; and their labels.
struct Data {
    images: Tensor,
    labels: Tensor,
}

impl Data {
    fn new(digits: &Digits, device: &Device) -> Data {
        let (images, labels) = digits.tensors(device);
        Data { images: images.pad(&[(0, 0), (0, 1)], 1.0), labels }
    }

    fn scores(&self, w: &Tensor) -> Tensor {
        self.images.linear(w, None)
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("linear_classifiers")?;
    let (train, test) = (Data::new(&Digits::train(), &device), Data::new(&Digits::test(), &device));

    // Small and common to both, so that the curves start alike.
    let start = &Tensor::randn([Digits::CLASSES, Digits::PIXELS + 1], &device) * 0.01;
    let svm = fit("SVM (hinge)", hinge, &start, &train, &test, args, &device)?;
    let softmax_run = fit("softmax", softmax, &start, &train, &test, args, &device)?;

    println!();
    common::table(
        ["classifier", "data loss", "λ·|W|²", "training accuracy", "test accuracy"],
        &[&svm, &softmax_run].map(|run| {
            [
                run.name.to_string(),
                format!("{:.4}", run.data_losses.last().copied().unwrap_or(f32::NAN)),
                format!("{:.4}", run.penalties.last().copied().unwrap_or(f32::NAN)),
                format!("{:.2} %", 100.0 * run.train_accuracy),
                format!("{:.2} %", 100.0 * run.test_accuracy),
            ]
        }),
    );
    let panels = [svm.panel("Multiclass SVM (hinge) loss"), softmax_run.panel("Softmax loss")];
    common::drew(plot::curves(out.join("losses"), &panels)?);

    let scales = w_or_2w(args.regularisation, &device)?;
    args.run.write_json(&json!({
        "example": "linear_classifiers",
        "seed": args.run.seed,
        "regularisation": args.regularisation,
        "svm": svm.json()?,
        "softmax": softmax_run.json()?,
        "w_or_2w": scales,
        "device": common::device_json(&device),
    }))?;
    for run in [&svm, &softmax_run] {
        ensure(run.test_accuracy >= 0.85, format!("{}: the test accuracy is below 85 %", run.name))?;
    }
    Ok(())
}

/// A trained classifier with its loss in each epoch.
struct Fit {
    name: &'static str,
    w: Tensor,
    data_losses: Vec<f32>,
    penalties: Vec<f32>,
    train_accuracy: f32,
    test_accuracy: f32,
}

fn fit(
    name: &'static str,
    data_loss: Loss,
    start: &Tensor,
    train: &Data,
    test: &Data,
    args: &Args,
    device: &Device,
) -> Result<Fit> {
    let epochs = args.train.epochs.unwrap_or(if args.run.quick { 5 } else { 40 });
    let count = train.labels.numel();
    let batch_size = args.train.batch_size.unwrap_or(64).clamp(1, count);
    let batches = Batches::new(count, batch_size, args.run.seed).drop_last(true);
    let lambda = args.regularisation;

    let w = start.detach().requires_grad();
    let mut optimizer = Sgd::new(vec![w.clone()], args.train.lr.unwrap_or(0.2)).momentum(0.9);
    let (mut data_losses, mut penalties) = (Vec::new(), Vec::new());
    for epoch in 0..epochs {
        let mut total = Tensor::scalar(0.0, device);
        for batch in batches.epoch(epoch) {
            let batch = common::indices(&batch, device);
            let scores = train.images.index_select(0, &batch).linear(&w, None);
            let data = data_loss(&scores, &train.labels.index_select(0, &batch));
            let loss = &data + &(&w.square().sum() * lambda);
            optimizer.zero_grad();
            loss.backward()?;
            total = &total + &data.detach();
            optimizer.step()?;
        }
        data_losses.push(total.item::<f32>()? / batches.per_epoch() as f32);
        penalties.push(lambda * squared_norm(&w)?);
    }
    let train_accuracy = common::accuracy(&no_grad(|| train.scores(&w)), &train.labels)?;
    let test_accuracy = common::accuracy(&no_grad(|| test.scores(&w)), &test.labels)?;
    Ok(Fit { name, w, data_losses, penalties, train_accuracy, test_accuracy })
}

impl Fit {
    fn panel<'a>(&self, title: &'a str) -> Panel<'a> {
        let line = |value: &dyn Fn(usize) -> f32| -> Vec<(f64, f64)> {
            (0..self.data_losses.len()).map(|i| (i as f64 + 1.0, f64::from(value(i)))).collect()
        };
        Panel {
            title,
            x: "epoch",
            y: "loss",
            lines: vec![
                ("data + λ·|W|²", line(&|i| self.data_losses[i] + self.penalties[i])),
                ("data", line(&|i| self.data_losses[i])),
                ("λ·|W|²", line(&|i| self.penalties[i])),
            ],
        }
    }

    fn json(&self) -> Result<Value> {
        Ok(json!({
            "data_losses": self.data_losses,
            "penalties": self.penalties,
            "train_accuracy": self.train_accuracy,
            "test_accuracy": self.test_accuracy,
            "weights_hash": common::weights_hash(std::slice::from_ref(&self.w))?,
        }))
    }
}

fn squared_norm(w: &Tensor) -> Result<f32> {
    Ok(w.detach().square().sum().item::<f32>()?)
}

/// Finds a W with a hinge loss of zero on the first images, and looks at its multiples.
fn w_or_2w(lambda: f32, device: &Device) -> Result<Value> {
    const IMAGES: usize = 100;
    const MOST_STEPS: usize = 3000;
    // A little more than the margin that is measured below, so that rounding cannot bring a margin back under it.
    const MARGIN: f32 = 1.01;
    println!("\nW or 2W? On the first {IMAGES} images, without regularisation:");
    let (images, labels) = Digits::train().tensors(device);
    let few = Data {
        images: images.pad(&[(0, 0), (0, 1)], 1.0).narrow(0, 0, IMAGES).contiguous(),
        labels: labels.narrow(0, 0, IMAGES).contiguous(),
    };

    // The classes can be separated, so plain gradient descent meets every margin after finitely many steps; from then on
    // the gradient is exactly zero and W no longer moves.
    let w = Tensor::zeros([Digits::CLASSES, Digits::PIXELS + 1], device).requires_grad();
    let mut optimizer = Sgd::new(vec![w.clone()], 2.0);
    let unmet = |w: &Tensor| loss::multi_margin(&few.scores(w), &few.labels, MARGIN);
    let mut steps = 0;
    while steps < MOST_STEPS && unmet(&w.detach()).item::<f32>()? > 0.0 {
        for _ in 0..25 {
            optimizer.zero_grad();
            unmet(&w).backward()?;
            optimizer.step()?;
            steps += 1;
        }
    }
    println!("  every margin was met within {steps} steps");

    let w = w.detach();
    let mut rows = Vec::new();
    let mut figures = Vec::new();
    for scale in [0.5f32, 1.0, 2.0, 4.0] {
        let scaled = &w * scale;
        let scores = few.scores(&scaled);
        let hinge = hinge(&scores, &few.labels).item::<f32>()?;
        let softmax = softmax(&scores, &few.labels).item::<f32>()?;
        let penalty = lambda * squared_norm(&scaled)?;
        rows.push([
            format!("{scale}·W"),
            format!("{hinge:.6}"),
            format!("{softmax:.6}"),
            format!("{penalty:.6}"),
            format!("{:.6}", hinge + penalty),
            format!("{:.6}", softmax + penalty),
        ]);
        figures.push((scale, hinge, softmax, penalty));
    }
    common::table(["weights", "hinge", "softmax", "λ·|W|²", "hinge + λ·|W|²", "softmax + λ·|W|²"], &rows);

    let [_, (_, hinge1, softmax1, penalty1), (_, hinge2, softmax2, penalty2), _] = figures[..] else {
        return Err("four scales were compared".into());
    };
    ensure(hinge1 == 0.0, format!("the hinge loss is still {hinge1} after {MOST_STEPS} steps"))?;
    ensure(hinge2 == 0.0, "2W must have a hinge loss of zero where W has")?;
    ensure(softmax2 < softmax1, "2W must have a smaller softmax loss than W")?;
    ensure(penalty2 > 3.99 * penalty1, "2W must cost four times the regularisation of W")?;
    println!(
        "  The hinge loss is zero for W and for 2W: only the regularisation, four times as large for 2W, prefers W."
    );
    println!("  The softmax loss is never zero and prefers 2W; here too the regularisation sets the limit.");
    Ok(json!(
        figures
            .iter()
            .map(|(scale, hinge, softmax, penalty)| json!({
                "scale": scale, "hinge": hinge, "softmax": softmax, "penalty": penalty,
            }))
            .collect::<Vec<_>>()
    ))
}
