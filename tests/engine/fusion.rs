//! Random graphs: the fused GPU, the GPU with one kernel an op, and the CPU reference agree on values and gradients.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wgrad::nn::loss;
use wgrad::optim::Adam;
use wgrad::{Conv, ConvTranspose, DType, Device, Error, Result, Tensor};

use crate::{gpu, unfused};

/// One op; operands are chosen among the values made so far, newest first.
#[derive(Clone, Debug)]
enum Step {
    Unary(u8, usize),
    Binary(u8, usize, usize),
    View(u8, usize),
    Reduce(u8, usize),
    Row(u8, usize),
    Index(u8, usize, usize),
    Matmul(usize, usize),
    Join(u8, usize, usize),
    /// The same op twice, beside each other.
    Twice(Box<Step>),
}

impl Step {
    fn operands(&self) -> [usize; 2] {
        match *self {
            Step::Twice(ref step) => step.operands(),
            Step::Unary(_, a) | Step::View(_, a) | Step::Reduce(_, a) | Step::Row(_, a) => [a, a],
            Step::Binary(_, a, b) | Step::Matmul(a, b) | Step::Join(_, a, b) | Step::Index(_, a, b) => [a, b],
        }
    }
}

/// A graph: leaf shapes, steps, which steps' values stay alive, and whether values are read before the backward pass.
#[derive(Clone, Debug)]
struct Program {
    leaves: Vec<[usize; 3]>,
    steps: Vec<Step>,
    kept: Vec<bool>,
    read_first: bool,
    realize_at: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![6 => single(), 1 => single().prop_map(|step| Step::Twice(Box::new(step)))]
}

fn single() -> impl Strategy<Value = Step> {
    let v = 0usize..6;
    prop_oneof![
        4 => (0u8..11, v.clone()).prop_map(|(k, a)| Step::Unary(k, a)),
        5 => (0u8..5, v.clone(), v.clone()).prop_map(|(k, a, b)| Step::Binary(k, a, b)),
        4 => (0u8..13, v.clone()).prop_map(|(k, a)| Step::View(k, a)),
        3 => (0u8..12, v.clone()).prop_map(|(k, a)| Step::Reduce(k, a)),
        2 => (0u8..7, v.clone()).prop_map(|(k, a)| Step::Row(k, a)),
        2 => (0u8..6, v.clone(), v.clone()).prop_map(|(k, a, b)| Step::Index(k, a, b)),
        2 => (v.clone(), v.clone()).prop_map(|(a, b)| Step::Matmul(a, b)),
        1 => (0u8..2, v.clone(), v).prop_map(|(k, a, b)| Step::Join(k, a, b)),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let size = prop_oneof![Just(1usize), Just(3), Just(4), Just(5), Just(8)];
    let leaf = (1usize..4, size.clone(), size).prop_map(|(k, m, n)| [k, m, n]);
    let leaves = prop::collection::vec(leaf, 1..4);
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
    let ([k, m, n], [l, p, q]) = (dims(a), dims(b));
    let fits = |a: usize, b: usize| a == b || a == 1 || b == 1;
    if k.max(l) * m.max(p) * n.max(q) > 2000 {
        return b.mean_dims(&[0, 1, 2], true);
    }
    let b = if fits(k, l) { b.clone() } else { b.sum_dims(&[0], true) * 0.25 };
    if fits(m, p) && fits(n, q) {
        b
    } else if (q == m || q == 1) && (p == n || p == 1) {
        b.t()
    } else {
        b.sum_dims(&[1, 2], true) * 0.25
    }
}

fn dims(t: &Tensor) -> [usize; 3] {
    t.dims::<3>().unwrap()
}

/// `count` numbers below `bound`, with repeats.
fn indices(count: usize, bound: usize, shape: &[usize], device: &Device) -> Tensor {
    let values: Vec<i32> = (0..count).map(|i| ((i * 5 + i / 3 + 2) % bound) as i32).collect();
    Tensor::from_slice(&values, shape, device)
}

fn unary(kind: u8, a: &Tensor) -> Tensor {
    match kind {
        0 => a.tanh(),
        1 => a.sigmoid(),
        // Shifted so that exact zeros, which sums of equal terms give, do not sit on the kink.
        2 => (a + 0.371).relu(),
        3 => a * 0.5 + 0.25,
        4 => -a,
        5 => (a.sin() + a.cos()) * 0.5,
        6 => 1.0 / (a.square() + 1.0),
        7 => a.detach() * 0.3 + a,
        8 => a + coarse(a).to_dtype(DType::F32) * 0.1,
        9 => coarse(a).rem(3.0).to_dtype(DType::Bool).where_(a.tanh(), &(a * 0.3)),
        _ => a.gt(0.123).where_(a.tanh(), &(a * 0.1)),
    }
}

/// Integers that small errors do not change but by bad luck: values that occur often lie between the steps.
fn coarse(a: &Tensor) -> Tensor {
    ((a.detach() + 0.137) * 4.0).clamp(-50.0, 50.0).floor().to_dtype(DType::I32)
}

fn view(kind: u8, a: &Tensor) -> Tensor {
    let [k, m, n] = dims(a);
    match kind {
        0 => a.t(),
        1 => a.flip(&[2]),
        2 => a.slice(1, m / 2..m),
        3 => a.reshape([k, n, m]),
        4 => a.t().reshape([k, m, n]),
        5 if k * m * n < 100 => a.unsqueeze(1).expand([k, 2, m, n]).reshape([k, 2 * m, n]),
        6 => a.slice_step(2, 0..n, 2),
        7 => a.permute(&[1, 0, 2]),
        8 => a.permute(&[2, 0, 1]),
        9 => a.permute(&[2, 1, 0]).flip(&[1]),
        10 => a.reshape([1, k * m, n]),
        11 => a.permute(&[1, 0, 2]).reshape([m, n, k]),
        _ => a.flip(&[0, 1]).t(),
    }
}

fn reduce(kind: u8, a: &Tensor) -> Tensor {
    match kind {
        0 => a.sum_dims(&[1], true) * 0.5,
        1 => a.mean_dims(&[2], true),
        2 => a - a.mean_dims(&[0, 1], true),
        3 => a.square().sum_dims(&[2], true).sqrt_shifted(),
        4 => a - a.max_dims(&[2], true).detach(),
        5 => (a.tanh() * 0.5 + 1.0).prod_dims(&[1], true),
        6 => a + a.min_dims(&[0, 2], true).detach() * 0.5,
        7 => a.logsumexp_dims(&[2], true),
        8 => a - a.logsumexp_dims(&[0, 1], true) * 0.5,
        9 => a.var_dims(&[1], 0.0, true),
        10 => coarse(a).to_dtype(DType::F32).argmax(2, true).to_dtype(DType::F32) * 0.1 + a,
        _ => coarse(a).to_dtype(DType::F32).argmin(1, true).to_dtype(DType::F32) * 0.1 + a.mean_dims(&[1], true),
    }
}

/// Softmax, and losses of rows with fixed targets.
fn row(kind: u8, a: &Tensor) -> Tensor {
    let [k, m, n] = dims(a);
    match kind {
        0 => a.softmax(2),
        1 => a.softmax(0) * 2.0,
        2 => a.log_softmax(1) * 0.3,
        3 => a.log_softmax(2).tanh(),
        4 => {
            let targets = indices(k * m, n, &[k * m], a.device());
            loss::cross_entropy(&a.reshape([k * m, n]), &targets).reshape([1, 1, 1]) * a
        }
        5 => {
            let options =
                loss::CrossEntropy { label_smoothing: 0.25, ignore_index: Some(1), weight: None, ..Default::default() };
            let targets = indices(k * n, m + 1, &[k, n], a.device()).minimum(m as i32 - 1).to_dtype(DType::I32);
            // Where every target is ignored the loss is NaN.
            match m {
                1..=3 => loss::cross_entropy(a, &targets),
                _ => loss::cross_entropy_with(a, &targets, &options) * 0.5,
            }
            .reshape([1, 1, 1])
        }
        _ => -a.log_softmax(2).gather(2, &indices(k * m, n, &[k, m, 1], a.device())) * 0.5,
    }
}

fn pick(kind: u8, a: &Tensor, b: &Tensor) -> Tensor {
    let [k, m, n] = dims(a);
    let device = a.device();
    match kind {
        0 => a.gather(2, &indices(k * m * 3, n, &[k, m, 3], device)),
        1 => a.gather(1, &indices(k * 2 * n, m, &[k, n, 2], device).t()),
        2 => a.index_select(1, &indices(4, m, &[4], device)),
        3 => a.index_select(0, &indices(2, k, &[2], device)),
        4 => {
            let source = fit(a, b) * a;
            let [k, m, n] = dims(&source);
            Tensor::zeros([k, 3, n], device).scatter_add(1, &indices(k * m * n, 3, &[k, m, n], device), &source)
        }
        _ => {
            let source = a.slice(2, 0..n.min(2)) * b.mean();
            a.scatter(2, &indices(k * m * n.min(2), n, &[k, m, n.min(2)], device), &source)
        }
    }
}

fn apply(step: &Step, a: &Tensor, b: &Tensor) -> Tensor {
    let [k, m, n] = dims(a);
    let [l, p, q] = dims(b);
    match *step {
        Step::Twice(ref step) => {
            let (first, second) = (apply(step, a, b), apply(step, a, b));
            (&first * 0.5 + &second).tanh() - second * &first * 0.1
        }
        Step::Unary(kind, _) => unary(kind, a),
        Step::Binary(0, ..) => a + fit(a, b),
        Step::Binary(1, ..) => a * fit(a, b),
        Step::Binary(2, ..) => a - fit(a, b),
        Step::Binary(3, ..) => a / (fit(a, b).square() + 0.5),
        Step::Binary(..) => {
            let f = fit(a, b);
            (a + &f).tanh() * (a - &f).sigmoid()
        }
        Step::View(kind, _) => view(kind, a),
        Step::Reduce(kind, _) => reduce(kind, a),
        Step::Row(kind, _) => row(kind, a),
        Step::Index(kind, ..) => pick(kind, a, b),
        Step::Matmul(..) => {
            let b = if k == l || k == 1 || l == 1 { b.clone() } else { b.slice(0, 0..1) };
            match (n == p, n == q) {
                (true, _) => a.matmul(&b) * 0.3,
                (_, true) => a.matmul(&b.t()) * 0.3,
                _ => a.t().matmul(a) * 0.3,
            }
        }
        Step::Join(0, ..) if k * m < 20 => a.pad(&[(0, 1), (1, 0), (0, 2)], 0.5),
        Step::Join(..) => match (k == l && p == m && n < 20, k == l && q == n && m < 20) {
            (true, _) => Tensor::cat(&[a, b], 2),
            (_, true) => Tensor::cat(&[a, b, a], 1),
            _ => a + 0.5,
        },
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

/// The values of a tensor; with `tight` computed in as little memory as there is a plan for.
fn read(t: &Tensor, tight: bool) -> Result<Vec<f32>> {
    if !tight {
        return t.to_vec::<f32>();
    }
    t.device().set_memory_budget(Some(0));
    match t.to_vec::<f32>() {
        Err(Error::OverBudget { least, .. }) => t.device().set_memory_budget(Some(least)),
        other => return other,
    }
    t.to_vec::<f32>()
}

/// Values that stayed alive, the loss, and the leaves' gradients.
fn run(program: &Program, device: &Device, tight: bool) -> Result<Vec<Vec<f32>>> {
    if tight {
        device.set_memory_budget(None);
    }
    let leaf = |(k, &sizes): (usize, &[usize; 3])| {
        let count = sizes.iter().product();
        let values: Vec<f32> = (0..count).map(|i: usize| ((i * 7 + 3 * k + 1) as f32 * 0.731).sin()).collect();
        Tensor::from_slice(&values, sizes, device).requires_grad()
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
        out.push(read(&loss, tight)?);
    }
    loss.backward()?;
    if tight {
        device.set_memory_budget(None);
    }
    let grads: Vec<Tensor> = leaves.iter().map(|l| l.grad().unwrap_or_else(|| l.zeros_like())).collect();
    for t in kept.iter().chain(&grads).chain([&loss]) {
        out.push(read(t, tight)?);
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
        ProptestConfig { cases: 90, rng_seed: seed, failure_persistence: None, max_shrink_iters: 400, ..defaults };
    let (cpu, tight) = (Device::cpu(), crate::new_gpu());
    proptest!(config, |(program in program())| {
        let expected = run(&program, &cpu, false).unwrap();
        prop_assume!(expected.iter().flatten().all(|v| v.abs() < 1e3));
        let fused = run(&program, gpu(), false).unwrap();
        agree("fused", &program, &fused, &expected)?;
        agree("unfused", &program, &run(&program, unfused(), false).unwrap(), &expected)?;
        let tightly = run(&program, &tight, true).unwrap();
        let bits = |values: &[Vec<f32>]| values.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u32>>();
        prop_assert_eq!(bits(&fused), bits(&tightly), "in little memory: {:?}", program);
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

/// Kernels side by side in one dispatch give the same bits as one after the other.
#[test]
fn horizontal_or_one_by_one_gives_the_same_bits() {
    let train = |device: &Device| {
        let leaf = |shape: &[usize]| {
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37 + shape[0] as f32).sin() * 0.5).collect();
            Tensor::from_slice(&values, shape, device).requires_grad()
        };
        let p = [leaf(&[13, 31]), leaf(&[31]), leaf(&[31, 7]), leaf(&[7]), leaf(&[1])];
        let (x, y) = (leaf(&[9, 13]).detach(), leaf(&[9, 7]).detach());
        let mut optimizer = Adam::new(p.to_vec(), 1e-2);
        for _ in 0..4 {
            let out = (x.matmul(&p[0]) + &p[1]).tanh().matmul(&p[2]) * &p[4] + &p[3];
            optimizer.zero_grad();
            (out - &y).square().mean().backward().unwrap();
            optimizer.step().unwrap();
        }
        p.iter().flat_map(|p| p.to_vec::<f32>().unwrap()).map(f32::to_bits).collect::<Vec<u32>>()
    };
    let narrow = Device::gpu_with(true, |caps| caps.max_storage_buffers = 8).unwrap();
    let wide = Device::gpu_with(true, |caps| caps.max_storage_buffers = 64).unwrap();
    assert_eq!(train(&wide), train(&narrow));
    let dispatches = |device: &Device| device.stats().dispatches;
    assert!(dispatches(&wide) < dispatches(&narrow), "{} and {}", dispatches(&wide), dispatches(&narrow));
}

/// A tensor of sines, another one for each `k`.
fn waves(shape: &[usize], k: f32, device: &Device) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.371 + k).sin()).collect();
    Tensor::from_slice(&values, shape, device)
}

/// Asserts that each of these devices computes what the CPU does, up to a share of the largest value of a result, or of 1.
#[track_caller]
fn assert_as_on_the_cpu(compute: impl Fn(&Device) -> Vec<Vec<f32>>, tolerance: f32, devices: &[(&str, &Device)]) {
    let expected = compute(&Device::cpu());
    for (name, device) in devices {
        for (k, (found, expected)) in compute(device).iter().zip(&expected).enumerate() {
            let scale = expected.iter().fold(1f32, |m, v| m.max(v.abs()));
            let worst = found.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert_eq!(found.len(), expected.len(), "{name}, case {k}");
            assert!(worst <= tolerance * scale, "{name}, case {k}: {worst} of {scale}");
        }
    }
}

/// Operands that are computed where they are loaded: as if they were stored before, bit for bit, and as on the CPU.
#[test]
fn operands_computed_in_place_agree() {
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let make = |shape: &[usize], k: f32| waves(shape, k, device);
        let mut out = Vec::new();
        for (m, k, n) in [(1, 8, 4), (33, 20, 7), (64, 128, 96), (130, 259, 40), (128, 256, 64)] {
            let (x, w, b) = (make(&[m, k], 0.1), make(&[k, n], 0.7), make(&[m, k], 1.3));
            let across = make(&[k, m], 0.4);
            let batched = make(&[3, m, k], 0.9);
            out.push(x.relu().matmul(&w));
            out.push((&x * 0.5).matmul(&(&w - 0.25)));
            out.push((&across * &b.t()).t().matmul(&w));
            out.push((&x * &b).matmul(&w.slice(1, 1..n).tanh()));
            out.push(((&across.t() + 1.0).slice(0, 0..m)).matmul(&w));
            out.push(batched.sigmoid().matmul(&w.t().unsqueeze(0).transpose(1, 2)));
            out.push((make(&[m], 0.2) * 2.0).matmul(&(&b + &x)));
            out.push((&x * 0.3 + &make(&[k], 0.5)).softmax(-1));
            out.push((&x * &b).flip(&[1]).log_softmax(0));
            out.push(x.gt(0.0).where_(&x, &b).softmax(1));
            let classes: Vec<i32> = (0..m as i32).map(|i| i * 7 % k as i32).collect();
            let classes = Tensor::from_slice(&classes, [m], device);
            let logits = make(&[m, k], 0.6).requires_grad();
            let loss = loss::cross_entropy(&(&logits * 1.7), &classes);
            loss.backward().unwrap();
            out.extend([loss.detach(), logits.grad().unwrap()]);
        }
        out.iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    let plain = Device::gpu_with(true, |caps| caps.subgroup = None).unwrap();
    assert_as_on_the_cpu(compute, 2e-5, &[("fused", gpu()), ("unfused", unfused()), ("without subgroups", &plain)]);
    // Products are too dear to be rearranged with what makes their operands.
    let bits = |device: &Device| -> Vec<Vec<u32>> {
        let values = compute(device).into_iter();
        values.map(|values| values.into_iter().map(f32::to_bits).collect()).collect()
    };
    for (k, (fused, unfused)) in bits(gpu()).iter().zip(&bits(unfused())).enumerate() {
        assert!(k % 12 >= 7 || fused == unfused, "case {k}");
    }
}

/// Convolutions whose operands are computed where they are packed, and their gradients: as if stored before, and as on the CPU.
#[test]
fn convolutions_of_computed_operands_agree() {
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let make = |shape: &[usize], k: f32| waves(shape, k, device);
        let mut out = Vec::new();
        for (n, from, to, side, kernel, stride) in
            [(2, 1, 5, 9, 3, 1), (3, 6, 8, 12, 3, 2), (1, 16, 32, 8, 1, 1), (2, 3, 4, 7, 5, 1), (2, 2, 1, 6, 2, 3)]
        {
            let x = make(&[n, from, side, side], 0.1).requires_grad();
            let w = make(&[to, from, kernel, kernel], 0.7).requires_grad();
            let shift = make(&[from, 1, 1], 1.1);
            let options = || Conv { padding: (kernel / 2).into(), stride: stride.into(), ..Conv::default() };
            let scaled = (&x * 1.3 + &shift).conv2d(&w, None, options());
            let turned = (x.transpose(2, 3) - 0.25).flip(&[3]).conv2d(&(&w * 0.5), None, options());
            let back = (&scaled * 2.0).relu().conv_transpose2d(&w, None, ConvTranspose::default());
            // The upstream gradient is computed where it is packed too.
            (scaled.tanh().sum() + turned.square().mean() + back.mean()).backward().unwrap();
            out.extend([scaled.detach(), turned.detach(), back.detach(), x.grad().unwrap(), w.grad().unwrap()]);
        }
        out.iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    let plain = Device::gpu_with(true, |caps| caps.subgroup = None).unwrap();
    assert_as_on_the_cpu(compute, 2e-5, &[("fused", gpu()), ("unfused", unfused()), ("without subgroups", &plain)]);
}

/// Softmax and normalisations in primitive ops, which take one kernel: an invocation has a row of its own, or shares it on GPUs.
#[test]
fn chains_over_rows_agree() {
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let mut out = Vec::new();
        for shape in [&[2, 3][..], &[5, 8], &[300, 64], &[257, 100], &[33, 129], &[4, 8, 20], &[3, 1, 7], &[1, 40]] {
            let x = waves(shape, 0.1, device).requires_grad();
            let w = waves(shape, 0.7, device);
            let softmax = {
                let e = (&x - x.max_dims(&[-1], true)).exp();
                &e / e.sum_dims(&[-1], true)
            };
            let centred = &x - x.mean_dims(&[-1], true);
            let norm = &centred * (centred.square().mean_dims(&[-1], true) + 1e-5).rsqrt();
            let unit = &x.transpose(0, 1) / (x.transpose(0, 1).square().sum_dims(&[-1], true).sqrt() + 1e-3);
            // A row's value is wanted too, and one that only the chain reads.
            let (largest, spread) = (x.max_dims(&[-1], false), &x - x.min_dims(&[-1], true) * 0.5);
            let loss = (&softmax * &w).sum() + (&norm * &w).square().sum() + unit.sum() + (&spread * &w).sum();
            loss.backward().unwrap();
            let integers = (&x * 9.0).to_dtype(DType::I32);
            let least = &integers - integers.min_dims(&[-1], true);
            out.extend([
                softmax.detach(),
                norm.detach(),
                unit.contiguous().detach(),
                largest.detach(),
                spread.detach(),
            ]);
            out.extend([least.to_dtype(DType::F32), x.grad().unwrap()]);
        }
        out.iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    let shared = Device::gpu_with(true, |caps| caps.software = false).unwrap();
    assert_as_on_the_cpu(compute, 5e-5, &[("fused", gpu()), ("unfused", unfused()), ("rows shared", &shared)]);
}

/// Reductions of rows that invocations share, as on GPUs: rows of all sizes, more of them than a grid has workgroups in one dim, and NaN.
#[test]
fn reductions_of_shared_rows_agree() {
    let shared = Device::gpu_with(true, |caps| caps.software = false).unwrap();
    let compute = |device: &Device| -> Vec<Vec<f32>> {
        let mut out = Vec::new();
        for shape in [[2, 256], [5, 257], [3, 1000], [2, 8192], [700, 300], [2, 8193], [66_000, 257]] {
            // Nothing this large is stored.
            let x = waves(&[shape[0], 1], 0.3, device) + waves(&[1, shape[1]], 0.1, device);
            let integers = (&x * 9.0).to_dtype(DType::I32);
            out.extend([x.sum_dims(&[-1], false), x.max_dims(&[1], true) * 2.0, x.min_dims(&[-1], false)]);
            out.extend([
                (&x * 0.01 + 1.0).prod_dims(&[-1], false),
                integers.sum_dims(&[1], false).to_dtype(DType::F32),
            ]);
            let (any, all) = (x.gt(1.2).any_dims(&[1], false), x.gt(-1.0).all_dims(&[1], false));
            out.extend([any.to_dtype(DType::F32), all.to_dtype(DType::F32)]);
        }
        out.iter().map(|t| t.to_vec::<f32>().unwrap()).collect()
    };
    assert_as_on_the_cpu(compute, 2e-5, &[("rows shared", &shared)]);
    let x = Tensor::from_slice(&[vec![f32::NAN], vec![1.0; 999]].concat(), [2, 500], &shared);
    let largest = x.max_dims(&[1], false).to_vec::<f32>().unwrap();
    assert!(largest[0].is_nan() && largest[1] == 1.0, "{largest:?}");
}

/// Arithmetic on numbers alone is done on the host.
#[test]
fn numbers_are_folded() {
    for device in [gpu(), &Device::cpu()] {
        let x = Tensor::from_slice(&[1f32, -2.0], [2], device);
        let number = |value: f32| Tensor::scalar(value, device);
        let y = {
            let seven = number(2.0) * 3.0 + number(1.0).abs();
            &x * (-seven / 2.0)
        };
        let explanation = y.explain().unwrap();
        let ops: Vec<&String> = explanation.kernels.iter().flat_map(|kernel| &kernel.ops).collect();
        assert_eq!(ops, ["mul"], "{explanation}");
        assert_eq!(y.to_vec::<f32>().unwrap(), [-3.5, 7.0]);
        // Rounded as the device would.
        assert_eq!((number(0.1) + number(0.2)).item::<f32>().unwrap(), 0.1f32 + 0.2f32);
        // What has a gradient is an op.
        let a = number(2.0).requires_grad();
        let (square, product) = (&a * &a, &a * number(5.0));
        (square + product).backward().unwrap();
        assert_eq!(a.grad().unwrap().item::<f32>().unwrap(), 9.0);
        // So is what makes an infinity, which would have no name else.
        let infinite = wgrad::autograd::detect_anomaly(device, || (number(1.0) / number(0.0)).item::<f32>());
        assert!(infinite.unwrap_err().to_string().starts_with("div: 1 of 1"));
        // Numbers of different devices do not meet.
        let other = number(1.0) + Tensor::scalar(1.0, &Device::cpu());
        assert!(matches!(other.check(), Err(Error::DeviceMismatch { .. })));
    }
}
