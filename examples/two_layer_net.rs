//! A network of two layers, trained three ways: numeric gradient, backward by hand, autograd.
//!
//! 64 random inputs of 1000 numbers pass through a hidden layer of 100 with ReLU to 10 outputs; the loss is the sum of
//! squared differences to random targets. The gradient of a few weights is estimated from loss values alone, all
//! gradients are computed by formulas written out in tensors, and by `backward`. All three must agree, and so must the
//! weights after 500 steps of gradient descent by hand and by autograd; the example fails where they do not.
//!
//! ```text
//! cargo run --release --example two_layer_net
//! cargo run --release --example two_layer_net -- --device cpu --steps 100
//! ```
//!
//! Writes `loss.png` and `loss.svg` to `out/two_layer_net`.

mod common;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::optim::Sgd;
use wgrad::train::plot::{self, Panel};
use wgrad::{Device, Tensor};

const N: usize = 64;
const D_IN: usize = 1000;
const H: usize = 100;
const D_OUT: usize = 10;

/// Train a network of two layers with a numeric, a hand-written and an automatic gradient
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,

    /// Steps of gradient descent [default: 500; 60 with --quick]
    #[arg(long, visible_alias = "epochs")]
    steps: Option<usize>,

    /// Learning rate
    #[arg(long, default_value_t = 1e-6)]
    lr: f32,
}

/// Inputs and targets.
struct Data {
    x: Tensor,
    y: Tensor,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("two_layer_net")?;
    let steps = args.steps.unwrap_or(if args.run.quick { 60 } else { 500 });
    ensure(steps > 0, "--steps must be at least 1")?;

    let data = Data { x: Tensor::randn([N, D_IN], &device), y: Tensor::randn([N, D_OUT], &device) };
    // Both runs start from the same weights.
    let (w1, w2) = (Tensor::randn([D_IN, H], &device), Tensor::randn([H, D_OUT], &device));

    println!("\nThe gradient at the first step, three ways:");
    let by_hand = gradients_by_hand(&data, &w1, &w2);
    let by_autograd = gradients_by_autograd(&data, &w1, &w2)?;
    let numeric_error = check_numeric(&data, [&w1, &w2], [&by_hand.0, &by_hand.1], [&by_autograd.0, &by_autograd.1])?;
    let error1 = relative_difference(&by_hand.0, &by_autograd.0)?;
    let error2 = relative_difference(&by_hand.1, &by_autograd.1)?;
    println!("  all weights, by hand against autograd: largest relative difference {:.1e}", error1.max(error2));
    ensure(error1.max(error2) < 1e-5, "the gradients by hand and by autograd differ")?;

    println!("\n{steps} steps of gradient descent:");
    let start = Instant::now();
    let hand = train_by_hand(&data, &w1, &w2, steps, args.lr, &device)?;
    let hand_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let auto = train_by_autograd(&data, &w1, &w2, steps, args.lr, &device)?;
    let auto_seconds = start.elapsed().as_secs_f64();

    let shown = (0..steps).filter(|s| [0, 1, 10].contains(s) || (s + 1) % (steps / 5).max(1) == 0);
    common::table(
        ["step", "loss by hand", "loss by autograd"],
        &shown
            .map(|s| [s.to_string(), format!("{:.4e}", hand.losses[s]), format!("{:.4e}", auto.losses[s])])
            .collect::<Vec<_>>(),
    );
    let weights_error = relative_difference(&hand.w1, &auto.w1)?.max(relative_difference(&hand.w2, &auto.w2)?);
    println!("  weights after {steps} steps: largest relative difference {weights_error:.1e}");
    println!("  {hand_seconds:.2} s by hand, {auto_seconds:.2} s by autograd");
    ensure(weights_error < 1e-3, "training by hand and by autograd ends at different weights")?;
    ensure(auto.losses[steps - 1] < auto.losses[0] || steps == 1, "the loss did not fall")?;
    println!("  all three agree\n");

    let points = |losses: &[f32]| -> Vec<(f64, f64)> {
        losses.iter().enumerate().map(|(i, &loss)| (i as f64, f64::from(loss).log10())).collect()
    };
    let panel = Panel {
        title: "Sum of squares, 64-1000-100-10",
        x: "step",
        y: "log10 of the loss",
        lines: vec![("by hand", points(&hand.losses)), ("autograd", points(&auto.losses))],
    };
    common::drew(plot::curves(out.join("loss"), &[panel])?);
    args.run.write_json(&json!({
        "example": "two_layer_net",
        "seed": args.run.seed,
        "steps": steps,
        "learning_rate": args.lr,
        "largest_relative_difference": {
            "numeric_gradient": numeric_error,
            "gradient_by_hand_and_autograd": error1.max(error2),
            "weights_by_hand_and_autograd": weights_error,
        },
        "losses_by_hand": hand.losses,
        "losses_by_autograd": auto.losses,
        "seconds_by_hand": hand_seconds,
        "seconds_by_autograd": auto_seconds,
        "weights_hash": common::weights_hash(&[auto.w1.clone(), auto.w2.clone()])?,
        "device": common::device_json(&device),
    }))
}

fn loss(data: &Data, w1: &Tensor, w2: &Tensor) -> Tensor {
    let predicted = data.x.matmul(w1).relu().matmul(w2);
    (&predicted - &data.y).square().sum()
}

/// The chain rule, written out. Returns the gradients of both weights.
fn gradients_by_hand(data: &Data, w1: &Tensor, w2: &Tensor) -> (Tensor, Tensor) {
    let (_, d_w1, d_w2) = step_by_hand(data, w1, w2);
    (d_w1, d_w2)
}

/// Loss and both gradients by formulas.
fn step_by_hand(data: &Data, w1: &Tensor, w2: &Tensor) -> (Tensor, Tensor, Tensor) {
    let hidden = data.x.matmul(w1);
    let active = hidden.relu();
    let difference = &active.matmul(w2) - &data.y;
    let loss = difference.square().sum();

    let d_predicted = &difference * 2.0;
    let d_w2 = active.t().matmul(&d_predicted);
    let d_active = d_predicted.matmul(&w2.t());
    // ReLU passes the gradient where its input was positive.
    let d_hidden = d_active.masked_fill(&hidden.le(0.0), 0.0);
    let d_w1 = data.x.t().matmul(&d_hidden);
    (loss, d_w1, d_w2)
}

fn gradients_by_autograd(data: &Data, w1: &Tensor, w2: &Tensor) -> Result<(Tensor, Tensor)> {
    let (w1, w2) = (w1.detach().requires_grad(), w2.detach().requires_grad());
    loss(data, &w1, &w2).backward()?;
    Ok((w1.grad().ok_or("w1 has no gradient")?, w2.grad().ok_or("w2 has no gradient")?))
}

/// Estimates the gradient of a few weights by central differences and prints all three values.
///
/// The loss is some 10⁷, where neighbouring f32 values are 2 apart, so the losses are computed on the CPU reference in f64.
fn check_numeric(data: &Data, weights: [&Tensor; 2], hand: [&Tensor; 2], auto: [&Tensor; 2]) -> Result<f64> {
    const STEP: f64 = 1e-4;
    let cpu = Device::cpu();
    let wide = |t: &Tensor| -> Result<Vec<f64>> { Ok(t.to_vec::<f32>()?.into_iter().map(f64::from).collect()) };
    let tensor = |values: &[f64], shape: &[usize]| Tensor::from_slice(values, shape, &cpu);
    let data = Data { x: tensor(&wide(&data.x)?, data.x.shape()), y: tensor(&wide(&data.y)?, data.y.shape()) };

    let mut rows = Vec::new();
    let mut worst = 0f64;
    for (which, name) in ["w1", "w2"].into_iter().enumerate() {
        let (hand, auto) = (hand[which].to_vec::<f32>()?, auto[which].to_vec::<f32>()?);
        let columns = weights[which].shape()[1];
        let scale = auto.iter().fold(0f32, |largest, g| largest.max(g.abs()));
        // Spread over the whole matrix: no row or column twice.
        for pick in 0..4 {
            let at = (auto.len() - 1) * (2 * pick + 1) / 8;
            let loss_at = |change: f64| -> Result<f64> {
                let mut moved = [wide(weights[0])?, wide(weights[1])?];
                moved[which][at] += change;
                let [w1, w2] = [0, 1].map(|i| tensor(&moved[i], weights[i].shape()));
                Ok(loss(&data, &w1, &w2).item::<f64>()?)
            };
            let numeric = (loss_at(STEP)? - loss_at(-STEP)?) / (2.0 * STEP);
            for value in [hand[at], auto[at]] {
                worst = worst.max((f64::from(value) - numeric).abs() / f64::from(scale));
            }
            rows.push([
                format!("{name}[{}, {}]", at / columns, at % columns),
                format!("{numeric:.4}"),
                format!("{:.4}", hand[at]),
                format!("{:.4}", auto[at]),
            ]);
        }
    }
    common::table(["weight", "numeric", "by hand", "autograd"], &rows);
    println!("  largest difference to the numeric gradient: {worst:.1e} of the largest gradient");
    ensure(worst < 1e-4, "the numeric gradient disagrees")?;
    Ok(worst)
}

/// The largest difference, in units of the largest value.
fn relative_difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    Ok((&(a - b).abs().max() / &b.abs().max()).item::<f32>()?)
}

/// Weights after training, and the loss before each step.
struct Trained {
    w1: Tensor,
    w2: Tensor,
    losses: Vec<f32>,
}

fn train_by_hand(data: &Data, w1: &Tensor, w2: &Tensor, steps: usize, lr: f32, device: &Device) -> Result<Trained> {
    let (mut w1, mut w2) = (w1.clone(), w2.clone());
    let mut losses = Vec::new();
    for _ in 0..steps {
        let (loss, d_w1, d_w2) = step_by_hand(data, &w1, &w2);
        w1 = &w1 - &(&d_w1 * lr);
        w2 = &w2 - &(&d_w2 * lr);
        losses.push(loss);
        device.sync()?;
    }
    Ok(Trained { w1, w2, losses: read(&losses)? })
}

fn train_by_autograd(data: &Data, w1: &Tensor, w2: &Tensor, steps: usize, lr: f32, device: &Device) -> Result<Trained> {
    let (w1, w2) = (w1.detach().requires_grad(), w2.detach().requires_grad());
    let mut optimizer = Sgd::new(vec![w1.clone(), w2.clone()], lr);
    let mut losses = Vec::new();
    for _ in 0..steps {
        let loss = loss(data, &w1, &w2);
        optimizer.zero_grad();
        loss.backward()?;
        losses.push(loss.detach());
        optimizer.step()?;
        // Only for a fair comparison of times: the run by hand waits here too.
        device.sync()?;
    }
    Ok(Trained { w1: w1.detach(), w2: w2.detach(), losses: read(&losses)? })
}

/// Losses stay on the device while training runs and are read together at the end.
fn read(losses: &[Tensor]) -> Result<Vec<f32>> {
    Ok(losses.iter().map(|loss| loss.item::<f32>()).collect::<wgrad::Result<_>>()?)
}
