//! The `WGRAD_*` variables, end to end. They are read once a process, so each test starts this executable again with a
//! variable set, and has it run one of the programs below.

use std::process::{Command, Output};

use wgrad::nn::loss;
use wgrad::optim::Adam;
use wgrad::{Device, Result, Tensor};

/// Names the program that a child process runs.
const PROGRAM: &str = "WGRAD_TEST_PROGRAM";

/// Runs one of the programs with variables set, and without all others that wgrad reads.
pub fn run(program: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "environment::programs", "--nocapture", "--test-threads=1"]).env(PROGRAM, program);
    for name in ["DEVICE", "LOG", "DEBUG", "FUSE", "VALIDATE", "PANIC", "TRACE", "TUNE", "CERTIFY", "CERTIFY_CACHE"] {
        command.env_remove(format!("WGRAD_{name}"));
    }
    command.env_remove("RUST_LOG").envs(variables.iter().copied()).output().unwrap()
}

/// What a program that succeeds printed after `name: `.
#[track_caller]
pub fn printed(output: &Output, name: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let line = out.lines().find_map(|line| line.split_once(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {out}\n{err}")).1.to_owned()
}

fn numbers(text: &str) -> Vec<f32> {
    text.split(' ').map(|v| v.parse().unwrap()).collect()
}

/// What child processes run; in the parent, where no program is named, there is nothing to do.
#[test]
fn programs() {
    match std::env::var(PROGRAM).as_deref() {
        Ok("train") => train().unwrap(),
        Ok("look inside") => crate::inside::program(false).unwrap(),
        Ok("exit early") => crate::inside::program(true).unwrap(),
        Ok("saved step") => crate::saved::program().unwrap(),
        Ok("captured") => crate::soak::program().unwrap(),
        Ok("little memory") => crate::memory::program().unwrap(),
        Ok("certificate") => crate::certificate::program().unwrap(),
        Ok("certified products") => crate::certificate::products().unwrap(),
        Ok("certified") => crate::certified::program().unwrap(),
        Ok("tuned") => crate::tuned::program().unwrap(),
        Ok("own ops") => crate::validated::own_ops().unwrap(),
        Ok("validated") => crate::validated::program().unwrap(),
        Ok("device") => println!("device: {}", Device::default().info().name),
        Ok("mistake") => {
            let device = Device::default();
            let product = Tensor::ones([2, 3], &device).matmul(&Tensor::ones([4, 5], &device));
            println!("error: {}", product.check().unwrap_err());
        }
        Ok(other) => panic!("no program is called {other}"),
        Err(_) => {}
    }
}

/// Trains a small network on class labels and prints its losses and counts.
fn train() -> Result<()> {
    let device = Device::default();
    device.seed(3);
    let w1 = (Tensor::randn([12, 20], &device) * 0.3).requires_grad();
    let b1 = Tensor::zeros([20], &device).requires_grad();
    let w2 = (Tensor::randn([20, 5], &device) * 0.3).requires_grad();
    let x = Tensor::randn([30, 12], &device);
    let labels: Vec<i32> = (0..30).map(|i| i % 5).collect();
    let labels = Tensor::from_slice(&labels, [30], &device);
    x.realize()?;
    let mut optimizer = Adam::new(vec![w1.clone(), b1.clone(), w2.clone()], 1e-2);
    let mut losses = Vec::new();
    for _ in 0..2 {
        let logits = (x.matmul(&w1) + &b1).relu().matmul(&w2);
        let loss = loss::cross_entropy(&logits, &labels);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        losses.push(loss.item::<f32>()?.to_string());
    }
    losses.push((x.matmul(&w1) + &b1).relu().matmul(&w2).square().mean().item::<f32>()?.to_string());
    println!("numbers: {}", losses.join(" "));
    println!("dispatches: {}", device.stats().dispatches);
    Ok(())
}

#[test]
fn fusion_off_gives_the_same_numbers() {
    let (fused, unfused) = (run("train", &[]), run("train", &[("WGRAD_FUSE", "0")]));
    let (a, b) = (numbers(&printed(&fused, "numbers")), numbers(&printed(&unfused, "numbers")));
    assert!(a.len() == 3 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * a.abs()), "{a:?} {b:?}");
    let dispatches = |output| printed(output, "dispatches").parse::<u64>().unwrap();
    assert!(dispatches(&unfused) > 2 * dispatches(&fused), "{} {}", dispatches(&unfused), dispatches(&fused));
}

#[test]
fn validation_finds_nothing_wrong_with_training() {
    let (plain, validated) = (run("train", &[]), run("train", &[("WGRAD_VALIDATE", "1")]));
    assert_eq!(printed(&validated, "numbers"), printed(&plain, "numbers"));
}

#[test]
fn the_first_error_panics_where_asked() {
    let text = printed(&run("mistake", &[]), "error");
    assert!(text.starts_with("matmul:") && text.contains("[2, 3] and [4, 5]"), "{text}");
    let output = run("mistake", &[("WGRAD_PANIC", "1")]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && !out.contains("error: "), "{out}");
    assert!(err.contains("panicked") && err.contains(&text), "{text:?} is not in {err}");
}

#[test]
fn devices_by_name() {
    let cpu = Device::cpu().info().name.clone();
    let output = run("device", &[("WGRAD_DEVICE", "cpu")]);
    assert_eq!(printed(&output, "device"), cpu);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("WGRAD_DEVICE"));
    assert_eq!(printed(&run("device", &[("WGRAD_DEVICE", "gpu")]), "device"), crate::gpu().info().name);
    // A name that nothing has: the CPU reference, and a warning that nobody overlooks.
    let output = run("device", &[("WGRAD_DEVICE", "nonsense")]);
    assert_eq!(printed(&output, "device"), cpu);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        err.contains("WGRAD_DEVICE") && err.contains("nonsense") && err.contains(&crate::gpu().info().name),
        "{err}"
    );
}
