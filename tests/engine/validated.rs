//! `WGRAD_VALIDATE` with all kinds of flushes: it finds nothing where nothing is wrong.

use wgrad::autograd::ElementwiseOp;
use wgrad::data::{DataLoader, Digits};
use wgrad::nn::{Dropout, Linear, Module, Parameters, Relu, Sequential, loss};
use wgrad::optim::{Adam, Sgd};
use wgrad::train::{Supervised, Trainer};
use wgrad::{Device, Error, Result, Tensor, no_grad};

use crate::environment::{printed, run};

/// What the child process runs.
pub fn program() -> Result<()> {
    let device = Device::default();
    values_that_are_views_and_numbers(&device)?;
    bad_indices(&device)?;
    for captured in [false, true] {
        trainer(&device, captured)?;
    }
    println!("validated: {}", device.info().name);
    Ok(())
}

/// Leaves that are views, numbers, other names of computed values, or computed side by side with them.
fn values_that_are_views_and_numbers(device: &Device) -> Result<()> {
    let x = Tensor::randn([5, 7], device);
    let s = x.sum().detach();
    let t = no_grad(|| &s + &x.mean());
    device.sync()?;
    let (sum, mean) = (x.sum().item::<f32>()?, x.mean().item::<f32>()?);
    let stacked = Tensor::stack(&[&t, &s], 0).to_vec::<f32>()?;
    assert!((stacked[0] - sum - mean).abs() < 1e-4 && (stacked[1] - sum).abs() < 1e-4, "{stacked:?} {sum} {mean}");

    let (zeros, scalar) = (Tensor::zeros([3, 4], device), Tensor::scalar(2.5, device));
    let (row, turned, part) = (x.select(0, 1), x.t(), x.slice(1, 2..6).detach());
    device.sync()?;
    let joined = Tensor::cat(&[&row, &turned.sum_dims(&[1], false), &part.reshape([-1])], 0) * &scalar;
    assert_eq!(joined.numel(), 7 + 7 + 20);
    joined.realize()?;
    assert_eq!((&zeros + &scalar).to_vec::<f32>()?, [2.5; 12]);
    let counts = Tensor::from_slice(&[3i32, -1, 2], [3], device);
    let (order, sorted) = (counts.argsort(0, false), counts.sort(0, true).0);
    let mask = counts.gt(0.0);
    device.sync()?;
    assert_eq!(mask.where_(&sorted, counts.zeros_like()).to_vec::<i32>()?, [3, 0, -1]);
    assert_eq!(order.shape(), [3]);
    let empty = Tensor::zeros([0, 4], device).exp();
    device.sync()?;
    assert_eq!(Tensor::cat(&[&empty, &zeros], 0).shape(), [3, 4]);

    // A leaf, its gradient, and the values of a chain that is read piece by piece.
    let w = Tensor::randn([7, 3], device).requires_grad();
    let h = x.matmul(&w).tanh();
    let loss = h.square().mean();
    let _ = loss.item::<f32>()?;
    loss.backward()?;
    device.sync()?;
    w.assign(&(&w - w.grad().map_or(w.zeros_like(), |g| g * 0.1)));
    device.sync()?;
    assert!(h.max().item::<f32>()? <= 1.0);
    Ok(())
}

fn bad_indices(device: &Device) -> Result<()> {
    let x = Tensor::arange(0.0, 4.0, 1.0, device);
    let bad = x.index_select(0, &Tensor::from_slice(&[9i32, 1], [2], device));
    let good = &x * 2.0;
    assert!(matches!(device.sync(), Err(Error::IndexOutOfRange { index: 9, .. })));
    let worse = &bad + 1.0;
    device.sync()?;
    assert_eq!(good.to_vec::<f32>()?, [0.0, 2.0, 4.0, 6.0]);
    assert!(worse.to_vec::<f32>().is_err());
    Ok(())
}

fn trainer(device: &Device, captured: bool) -> Result<()> {
    device.seed(1);
    let model = Sequential::new()
        .add(Linear::new(64, 16, device))
        .add(Relu)
        .add(Dropout::new(0.2))
        .add(Linear::new(16, 10, device));
    let optimizer = Adam::new(model.parameters(), 1e-2);
    let loader = DataLoader::new(Digits::train(), 50, device).shuffle(1);
    let loss = |model: &Sequential, batch: &[Tensor]| {
        let logits = model.forward(&batch[0].flatten(1, -1));
        let hits = logits.argmax(1, false).eq(&batch[1]).to_dtype(wgrad::DType::F32).mean();
        vec![("loss".to_string(), loss::cross_entropy(&logits, &batch[1])), ("accuracy".to_string(), hits)]
    };
    let mut task = Supervised::new(model, optimizer, loader, device, loss).captured(captured);
    let outcome = Trainer::new(12, device).report_every(3).quiet().run(&mut task)?;
    assert!(outcome.finished);
    let w = Tensor::ones([2], device).requires_grad();
    w.square().sum().backward()?;
    Sgd::new(vec![w.clone()], 0.1).momentum(0.9).step()?;
    Ok(())
}

/// What a training step with an op of the user's gives, whose backward function is as it should be or not, by operand or by value.
pub fn own_ops() -> Result<()> {
    let device = Device::default();
    let reference = |x: &[f64]| x[0].tanh();
    let by_operand = |factor: &str| {
        format!("x: f32, dy: f32) -> f32 {{ let y = safe_tanh(x); return {factor} * (1.0 - y * y) * dy; }}")
    };
    let by_value = |factor: &str| format!("y: f32, dy: f32) -> f32 {{ return {factor} * (1.0 - y * y) * dy; }}");
    let mut said = Vec::new();
    for (name, backward) in [
        ("squash_a", by_operand("1.0")),
        ("squash_b", by_operand("1.1")),
        ("squash_c", by_value("1.0")),
        ("squash_d", by_value("1.1")),
    ] {
        let source = format!("fn {name}_fwd(x: f32) -> f32 {{ return safe_tanh(x); }}\nfn {name}_bwd({backward}");
        let op = ElementwiseOp::new(name, &source)?.with_reference(reference);
        let w = Tensor::linspace(-4.0, 4.0, 33, &device).requires_grad();
        op.apply(&[&w]).square().sum().backward()?;
        said.push(match w.grad().map(|g| g.to_vec::<f32>()) {
            Some(Err(error)) => error.to_string(),
            _ => "right".into(),
        });
    }
    println!("own ops: {}", said.join(" | "));
    Ok(())
}

#[test]
fn backward_functions_of_users_are_held_against_their_references() {
    let said = printed(&run("own ops", &[("WGRAD_VALIDATE", "1")]), "own ops");
    let said: Vec<&str> = said.split(" | ").collect();
    let [a, b, c, d] = said[..] else { panic!("{said:?}") };
    assert_eq!([a, c], ["right"; 2]);
    for wrong in [b, d] {
        assert!(
            wrong.contains("_backward: GPU and CPU disagree") || wrong.contains("mul: GPU and CPU disagree"),
            "{wrong}"
        );
        assert!(wrong.contains("validated.rs:"), "{wrong}");
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is_wrong() {
    printed(&run("validated", &[("WGRAD_VALIDATE", "1")]), "validated");
}

#[test]
fn the_same_without_validation_and_on_the_reference() {
    printed(&run("validated", &[]), "validated");
    printed(&run("validated", &[("WGRAD_DEVICE", "cpu")]), "validated");
}
