//! Random graphs: the fused GPU, the GPU with one kernel an op, and the CPU reference agree on values and gradients.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wgrad::{Device, Result, Tensor};

use crate::{gpu, unfused};

/// One op; operands are chosen among the values made so far, newest first.
#[derive(Clone, Debug)]
enum Step {
    Unary(u8, usize),
    Binary(u8, usize, usize),
    View(u8, usize),
    Reduce(u8, usize),
    Matmul(usize, usize),
    Join(u8, usize, usize),
}

impl Step {
    fn operands(&self) -> [usize; 2] {
        match *self {
            Step::Unary(_, a) | Step::View(_, a) | Step::Reduce(_, a) => [a, a],
            Step::Binary(_, a, b) | Step::Matmul(a, b) | Step::Join(_, a, b) => [a, b],
        }
    }
}

/// A graph: leaf shapes, steps, which steps' values stay alive, and whether values are read before the backward pass.
#[derive(Clone, Debug)]
struct Program {
    leaves: Vec<(usize, usize)>,
    steps: Vec<Step>,
    kept: Vec<bool>,
    read_first: bool,
    realize_at: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let v = 0usize..6;
    prop_oneof![
        4 => (0u8..9, v.clone()).prop_map(|(k, a)| Step::Unary(k, a)),
        5 => (0u8..5, v.clone(), v.clone()).prop_map(|(k, a, b)| Step::Binary(k, a, b)),
        3 => (0u8..8, v.clone()).prop_map(|(k, a)| Step::View(k, a)),
        2 => (0u8..5, v.clone()).prop_map(|(k, a)| Step::Reduce(k, a)),
        2 => (v.clone(), v.clone()).prop_map(|(a, b)| Step::Matmul(a, b)),
        1 => (0u8..2, v.clone(), v).prop_map(|(k, a, b)| Step::Join(k, a, b)),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let size = prop_oneof![Just(1usize), Just(3), Just(4), Just(5), Just(8)];
    let leaves = prop::collection::vec((size.clone(), size), 1..4);
    let steps = prop::collection::vec(step(), 1..10);
    (
        leaves,
        steps,
        prop::collection::vec(prop::bool::weighted(0.25), 10),
        any::<bool>(),
        prop::option::weighted(0.3, 0usize..10),
    )
        .prop_map(|(leaves, steps, kept, read_first, realize_at)| Program {
            leaves,
            steps,
            kept,
            read_first,
            realize_at,
        })
}

/// Brings `b` to a shape that broadcasts against `a`.
fn fit(a: &Tensor, b: &Tensor) -> Tensor {
    let ([m, n], [p, q]) = (dims(a), dims(b));
    if (p == m || p == 1 || m == 1) && (q == n || q == 1 || n == 1) {
        b.clone()
    } else if (q == m || q == 1) && (p == n || p == 1) {
        b.t()
    } else {
        b.sum_dims(&[0, 1], true) * 0.25
    }
}

fn dims(t: &Tensor) -> [usize; 2] {
    t.dims::<2>().unwrap()
}

fn apply(step: &Step, a: &Tensor, b: &Tensor) -> Tensor {
    let [m, n] = dims(a);
    match step {
        Step::Unary(0, _) => a.tanh(),
        Step::Unary(1, _) => a.sigmoid(),
        // Shifted so that exact zeros, which sums of equal terms give, do not sit on the kink.
        Step::Unary(2, _) => (a + 0.371).relu(),
        Step::Unary(3, _) => a * 0.5 + 0.25,
        Step::Unary(4, _) => -a,
        Step::Unary(5, _) => (a.sin() + a.cos()) * 0.5,
        Step::Unary(6, _) => 1.0 / (a.square() + 1.0),
        Step::Unary(7, _) => a.detach() * 0.3 + a,
        Step::Unary(..) => a.gt(0.123).where_(a.tanh(), &(a * 0.1)),
        Step::Binary(0, ..) => a + fit(a, b),
        Step::Binary(1, ..) => a * fit(a, b),
        Step::Binary(2, ..) => a - fit(a, b),
        Step::Binary(3, ..) => a / (fit(a, b).square() + 0.5),
        Step::Binary(..) => {
            let f = fit(a, b);
            (a + &f).tanh() * (a - &f).sigmoid()
        }
        Step::View(0, _) => a.t(),
        Step::View(1, _) => a.flip(&[1]),
        Step::View(2, _) => a.slice(0, m / 2..m),
        Step::View(3, _) => a.reshape([n, m]),
        Step::View(4, _) => a.t().reshape([m, n]),
        Step::View(5, _) if m * n < 100 => a.unsqueeze(0).expand([2, m, n]).reshape([2 * m, n]),
        Step::View(6, _) => a.slice_step(1, 0..n, 2),
        Step::View(..) => a.flip(&[0, 1]).t(),
        Step::Reduce(0, _) => a.sum_dims(&[0], true) * 0.5,
        Step::Reduce(1, _) => a.mean_dims(&[1], true),
        Step::Reduce(2, _) => a - a.mean_dims(&[0], true),
        Step::Reduce(3, _) => a.square().sum_dims(&[1], true).sqrt_shifted(),
        Step::Reduce(..) => a - a.max_dims(&[1], true).detach(),
        Step::Matmul(..) => {
            let [p, q] = dims(b);
            match (n == p, n == q) {
                (true, _) => a.matmul(b) * 0.3,
                (_, true) => a.matmul(&b.t()) * 0.3,
                _ => a.t().matmul(a) * 0.3,
            }
        }
        Step::Join(0, ..) if m < 20 => a.pad(&[(1, 0), (0, 2)], 0.5),
        Step::Join(..) => {
            let [p, q] = dims(b);
            match (p == m && n < 20, q == n && m < 20) {
                (true, _) => Tensor::cat(&[a, b], 1),
                (_, true) => Tensor::cat(&[a, b, a], 0),
                _ => a + 0.5,
            }
        }
    }
}

trait Shifted {
    fn sqrt_shifted(&self) -> Tensor;
}

impl Shifted for Tensor {
    fn sqrt_shifted(&self) -> Tensor {
        (self + 1.0).sqrt()
    }
}

/// Values that stayed alive, the loss, and the leaves' gradients.
fn run(program: &Program, device: &Device) -> Result<Vec<Vec<f32>>> {
    let leaf = |(k, &(m, n)): (usize, &(usize, usize))| {
        let values: Vec<f32> = (0..m * n).map(|i| ((i * 7 + 3 * k + 1) as f32 * 0.731).sin()).collect();
        Tensor::from_slice(&values, [m, n], device).requires_grad()
    };
    let leaves: Vec<Tensor> = program.leaves.iter().enumerate().map(leaf).collect();
    let first = leaves.len();
    let resolve = |made: usize, choice: usize| made - 1 - choice % made;
    let mut last_use: Vec<usize> = (0..first + program.steps.len()).collect();
    for (s, step) in program.steps.iter().enumerate() {
        for operand in step.operands() {
            last_use[resolve(first + s, operand)] = first + s;
        }
    }
    let mut pool: Vec<Option<Tensor>> = leaves.iter().cloned().map(Some).collect();
    let mut kept: Vec<Tensor> = Vec::new();
    for (s, step) in program.steps.iter().enumerate() {
        let made = first + s;
        let [a, b] = step.operands().map(|o| pool[resolve(made, o)].clone().unwrap());
        let value = apply(step, &a, &b);
        value.check()?;
        if program.realize_at == Some(s) {
            value.realize()?;
        }
        if program.kept[s] {
            kept.push(value.clone());
        }
        // A value that nobody reads again takes part in the loss, but no handle keeps it alive.
        pool.push(Some(value));
        for (i, slot) in pool.iter_mut().enumerate() {
            if last_use[i] == made && i != made {
                *slot = None;
            }
        }
    }
    let unread = pool.iter().flatten().chain(&kept).map(|t| (t * 0.7).tanh().mean());
    let loss = unread.reduce(|a, b| a + b).unwrap();
    drop(pool);
    let mut out = Vec::new();
    if program.read_first {
        out.push(loss.to_vec::<f32>()?);
    }
    loss.backward()?;
    let grads: Vec<Tensor> = leaves.iter().map(|l| l.grad().unwrap_or_else(|| l.zeros_like())).collect();
    for t in kept.iter().chain(&grads).chain([&loss]) {
        out.push(t.to_vec::<f32>()?);
    }
    Ok(out)
}

fn agree(name: &str, program: &Program, found: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (k, (f, e)) in found.iter().zip(expected).enumerate() {
        prop_assert_eq!(f.len(), e.len());
        let scale = e.iter().fold(1f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in f.iter().zip(e).enumerate() {
            let close = (a - b).abs() <= 5e-4 * scale;
            prop_assert!(close, "{}: result {}, element {}: {} against {} of {:?}", name, k, i, a, b, program);
        }
    }
    Ok(())
}

#[test]
fn fused_unfused_and_cpu_agree() {
    let defaults = ProptestConfig::default();
    let seed = match defaults.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_240_607),
        fixed => fixed,
    };
    let config =
        ProptestConfig { cases: 180, rng_seed: seed, failure_persistence: None, max_shrink_iters: 400, ..defaults };
    let cpu = Device::cpu();
    proptest!(config, |(program in program())| {
        let expected = run(&program, &cpu).unwrap();
        prop_assume!(expected.iter().flatten().all(|v| v.abs() < 1e3));
        agree("fused", &program, &run(&program, gpu()).unwrap(), &expected)?;
        agree("unfused", &program, &run(&program, unfused()).unwrap(), &expected)?;
    });
}

/// The same graph at sizes that are no multiple of four, with several outputs and a view between.
#[test]
fn a_chain_with_several_outputs_and_a_view() {
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let x = Tensor::arange(-40.0, 41.0, 1.0, device).reshape([9, 9]) * 0.05;
        let x = x.requires_grad();
        let a = (&x * 2.0 + 1.0).tanh();
        let b = a.t() * &x;
        let c = (&a + &b).slice(0, 1..8).sigmoid();
        let loss = (&c * c.flip(&[1])).sum() + a.mean();
        loss.backward().unwrap();
        [a, b, c, loss, x.grad().unwrap()].iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    let expected = compute(&Device::cpu());
    for device in [gpu(), unfused()] {
        for (found, expected) in compute(device).iter().zip(&expected) {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}\n{expected:?}");
        }
    }
}

/// A reshape that strides cannot express, of an expanded chain.
#[test]
fn a_copy_of_an_expanded_chain() {
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let x = Tensor::from_slice(&[0.1f32, 0.5, -0.3, 0.9], [4, 1], device).requires_grad();
        let y = x.tanh().unsqueeze(0).expand([2, 4, 1]).reshape([8, 1]);
        let loss = (y * 0.7).tanh().mean();
        loss.backward().unwrap();
        [loss, x.grad().unwrap()].iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    let expected = compute(&Device::cpu());
    for (name, device) in [("fused", gpu()), ("unfused", unfused())] {
        for (found, expected) in compute(device).iter().zip(&expected) {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {found:?} {expected:?}");
        }
    }
}
