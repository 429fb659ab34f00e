//! The memory and compile contract of steady loops.

use wgrad::nn::loss;
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Memory, Stats, Tensor};

use crate::{models, new_gpu};

/// Everything that must stand still in a steady loop.
fn footprint(device: &Device) -> (u64, u64, u64, u64, u64, u64) {
    let (s, m): (Stats, Memory) = (device.stats(), device.memory());
    (s.kernels_compiled, s.plans_built, s.bind_groups, m.allocations, m.in_use, m.peak)
}

/// Runs `step` and holds it against the contract from the third step on.
fn assert_steady(device: &Device, steps: usize, dispatches: u64, step: impl FnMut(usize)) {
    assert_steady_after(2, device, steps, dispatches, step);
}

fn assert_steady_after(warm_up: usize, device: &Device, steps: usize, dispatches: u64, mut step: impl FnMut(usize)) {
    (0..warm_up).for_each(&mut step);
    let (fixed, mut stats) = (footprint(device), device.stats());
    for i in warm_up..steps {
        step(i);
        let now = device.stats();
        assert_eq!(footprint(device), fixed, "step {i} made something new");
        assert_eq!(now.submits - stats.submits, 1, "step {i}: submits");
        assert!(
            now.dispatches - stats.dispatches <= dispatches,
            "step {i}: {} dispatches",
            now.dispatches - stats.dispatches
        );
        stats = now;
    }
}

struct TwoLayerNet {
    x: Tensor,
    y: Tensor,
    w1: Tensor,
    w2: Tensor,
}

fn two_layer_net(device: &Device) -> TwoLayerNet {
    device.seed(1);
    let (n, d_in, h, d_out) = (64, 1000, 100, 10);
    let net = TwoLayerNet {
        x: Tensor::randn([n, d_in], device),
        y: Tensor::randn([n, d_out], device),
        w1: Tensor::randn([d_in, h], device).requires_grad(),
        w2: Tensor::randn([h, d_out], device).requires_grad(),
    };
    net.x.realize().unwrap();
    net.y.realize().unwrap();
    net
}

impl TwoLayerNet {
    fn loss(&self) -> Tensor {
        (self.x.matmul(&self.w1).relu().matmul(&self.w2) - &self.y).square().sum()
    }
}

#[test]
fn two_layer_net_with_sgd() {
    let device = new_gpu();
    let net = two_layer_net(&device);
    let mut optimizer = Sgd::new(vec![net.w1.clone(), net.w2.clone()], 1e-6);
    let first = net.loss().item::<f32>().unwrap();
    assert_steady(&device, 20, 10, |_| {
        let loss = net.loss();
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    });
    let last = net.loss().item::<f32>().unwrap();
    assert!(last < 0.9 * first, "{first} -> {last}");
}

/// The loss of the step before is still held, as a progress bar does. While one step runs, two losses then have buffers, and
/// each step's loss takes the buffer that the step before the last gave back. Steps alternate between two sets of buffers
/// anyway; the loss joins in once there were both of its buffers, which takes up to four steps.
#[test]
fn a_held_loss_does_not_disturb_the_loop() {
    let device = new_gpu();
    let net = two_layer_net(&device);
    let mut optimizer = Sgd::new(vec![net.w1.clone(), net.w2.clone()], 1e-6);
    let mut held = None;
    assert_steady_after(4, &device, 20, 10, |_| {
        let loss = net.loss();
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
        held = Some(loss);
    });
    assert!(held.unwrap().item::<f32>().unwrap().is_finite());
}

#[test]
fn two_layer_net_with_hand_written_updates() {
    let device = new_gpu();
    let TwoLayerNet { x, y, mut w1, mut w2 } = two_layer_net(&device);
    assert_steady(&device, 12, 10, |_| {
        let loss = (x.matmul(&w1).relu().matmul(&w2) - &y).square().sum();
        loss.backward().unwrap();
        let (g1, g2) = (w1.grad().unwrap(), w2.grad().unwrap());
        w1 -= g1 * 1e-6;
        w2 -= g2 * 1e-6;
        w1.zero_grad();
        w2.zero_grad();
        drop(loss);
        device.sync().unwrap();
    });
}

/// What people train: from the fifth step on nothing is made, whatever the model.
#[test]
fn models_make_nothing_in_their_steady_state() {
    for (name, make) in models::LIST.into_iter().take(4) {
        let device = new_gpu();
        let mut step = make(&device);
        (0..4).for_each(|_| drop(step().unwrap()));
        let (fixed, mut stats) = (footprint(&device), device.stats());
        for i in 4..8 {
            let _ = step().unwrap();
            let now = device.stats();
            assert_eq!(footprint(&device), fixed, "{name}, step {i}: something was made");
            assert_eq!(now.submits - stats.submits, 1, "{name}, step {i}: submits");
            println!("{name}: {} dispatches", now.dispatches - stats.dispatches);
            stats = now;
        }
    }
}

struct Mlp {
    parameters: Vec<Tensor>,
}

impl Mlp {
    fn new(device: &Device) -> Mlp {
        device.seed(5);
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], device).requires_grad();
        Mlp { parameters: vec![weight(64, 32), zeros(32), weight(32, 32), zeros(32), weight(32, 10), zeros(10)] }
    }

    fn logits(&self, x: &Tensor) -> Tensor {
        let p = &self.parameters;
        let h = (x.matmul(&p[0]) + &p[1]).relu();
        let h = (h.matmul(&p[2]) + &p[3]).tanh();
        h.matmul(&p[4]) + &p[5]
    }

    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        (self.logits(x) - y).square().mean()
    }
}

fn batch(n: usize, k: usize, device: &Device) -> (Tensor, Tensor) {
    let x: Vec<f32> = (0..n * 64).map(|i| ((i + k) as f32 * 0.37).sin()).collect();
    let y: Vec<f32> = (0..n * 10).map(|i| ((i + 3 * k) as f32 * 0.11).cos()).collect();
    (Tensor::from_slice(&x, [n, 64], device), Tensor::from_slice(&y, [n, 10], device))
}

#[test]
fn mlp_with_adam_and_a_varying_learning_rate() {
    let device = new_gpu();
    let mlp = Mlp::new(&device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-2);
    let (x, y) = batch(32, 0, &device);
    // Six parameters: an update each, beside forward and backward.
    assert_steady(&device, 300, 24, |i| {
        optimizer.set_lr(1e-2 / (1.0 + i as f32));
        let loss = mlp.loss(&x, &y);
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    });
}

#[test]
fn fresh_batches_allocate_nothing_new() {
    let device = new_gpu();
    let mlp = Mlp::new(&device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-3);
    let mut step = |i: usize| {
        let (x, y) = batch(32, i, &device);
        let loss = mlp.loss(&x, &y);
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    };
    (0..6).for_each(&mut step);
    let (s, m) = (device.stats(), device.memory());
    (6..60).for_each(&mut step);
    let (s2, m2) = (device.stats(), device.memory());
    assert_eq!(
        (s.kernels_compiled, s.plans_built, m.allocations),
        (s2.kernels_compiled, s2.plans_built, m2.allocations)
    );
    assert_eq!(s.bind_groups, s2.bind_groups, "bind groups of fresh batches");
}

#[test]
fn varying_batch_sizes_settle() {
    let device = new_gpu();
    let mlp = Mlp::new(&device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-3);
    let batches: Vec<(Tensor, Tensor)> = [32, 17, 8, 31].iter().map(|&n| batch(n, n, &device)).collect();
    let mut compiled_by_size = Vec::new();
    let mut step = |i: usize| {
        let (x, y) = &batches[i % 4];
        let loss = mlp.loss(x, y);
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    };
    for i in 0..4 {
        step(i);
        compiled_by_size.push(device.stats().kernels_compiled);
    }
    (4..24).for_each(&mut step);
    let (s, m) = (device.stats(), device.memory());
    (24..64).for_each(&mut step);
    let (s2, m2) = (device.stats(), device.memory());
    assert_eq!(s.kernels_compiled, s2.kernels_compiled, "kernels by size: {compiled_by_size:?}");
    assert_eq!((s.plans_built, m.allocations, m.in_use), (s2.plans_built, m2.allocations, m2.in_use));
    assert_eq!(s2.submits - s.submits, 40);
}

/// Steps of `mlp` with Adam at these batch sizes in turn; returns how many kernels each size compiled.
fn compiled_by_size(device: &Device, sizes: &[usize]) -> Vec<u64> {
    let mlp = Mlp::new(device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-3);
    let mut compiled = Vec::new();
    for &n in sizes {
        let (x, y) = batch(n, n, device);
        let before = device.stats().kernels_compiled;
        for _ in 0..2 {
            let loss = mlp.loss(&x, &y);
            optimizer.zero_grad();
            loss.backward().unwrap();
            optimizer.step().unwrap();
        }
        device.sync().unwrap();
        compiled.push(device.stats().kernels_compiled - before);
    }
    compiled
}

/// Kernels are keyed by structure: sizes are parameters, and only what they are divisible by can choose another kernel.
#[test]
fn kernels_are_keyed_by_structure_not_by_size() {
    let device = new_gpu();
    let compiled = compiled_by_size(&device, &[32, 64, 8, 48, 128, 256, 96, 31, 17, 45, 64, 31]);
    println!("kernels compiled by batch size: {compiled:?}");
    assert!(compiled[0] > 0);
    // From 256 on the mean of the loss is taken in two stages, apart from the sums beside which it stands else. Sums over a batch that is
    // no multiple of four have a tail, which gives two more forms of the weight gradient.
    let classes = [compiled[0], 0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0];
    if device.info().software {
        assert_eq!(compiled, classes);
    } else {
        assert!(compiled.iter().zip(classes).skip(1).all(|(&found, most)| found <= most.max(3)), "{compiled:?}");
    }
}

/// Batches of eight sizes in any order: each size has a plan of its own, and every parameter two buffers, whichever plan runs. So
/// once each plan has written either buffer, there is nothing left to make.
#[test]
fn batches_of_eight_sizes_make_nothing_after_warm_up() {
    let device = new_gpu();
    let mlp = Mlp::new(&device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-3);
    let batches: Vec<(Tensor, Tensor)> = [32, 17, 8, 31, 64, 3, 40, 25].iter().map(|&n| batch(n, n, &device)).collect();
    let mut step = |i: usize| {
        let (x, y) = &batches[i % 8];
        let loss = mlp.loss(x, y);
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    };
    // An odd number of steps between two rounds, so that either round writes the buffers that the other one reads.
    (0..16).chain(0..1).chain(0..16).for_each(&mut step);
    let fixed = footprint(&device);
    let mut state = 1u32;
    for turn in 0..96 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        step((state >> 24) as usize);
        assert_eq!(footprint(&device), fixed, "turn {turn} made something new");
    }
}

/// The loop of a training program: batches gathered on the device by an index that is uploaded anew each step, class labels,
/// a running total of the loss that is read now and then.
#[test]
fn batches_gathered_by_fresh_indices() {
    let device = new_gpu();
    let mlp = Mlp::new(&device);
    let mut optimizer = Adam::new(mlp.parameters.clone(), 1e-3);
    let (images, _) = batch(200, 0, &device);
    let labels: Vec<i32> = (0..200).map(|i| i % 10).collect();
    let labels = Tensor::from_slice(&labels, [200], &device);
    // Data, not a scalar of the graph: so the first step has the structure of all others.
    let zero = || Tensor::from_slice(&[0f32], (), &device);
    let mut total = zero();
    let mut step = |i: usize| {
        let rows: Vec<u32> = (0..32).map(|k| ((i * 37 + k * 11) % 200) as u32).collect();
        let rows = Tensor::from_slice(&rows, [32], &device);
        let logits = mlp.logits(&images.index_select(0, &rows));
        let loss = loss::cross_entropy(&logits, &labels.index_select(0, &rows));
        optimizer.zero_grad();
        loss.backward().unwrap();
        total = &total + &loss.detach();
        optimizer.step().unwrap();
        if i % 5 == 4 {
            assert!(total.item::<f32>().unwrap().is_finite());
            // As at the start of an epoch.
            total = zero();
        }
    };
    // The loss is added up beside the update of parameters, in one kernel: either has two buffers, which meet in four ways, since the
    // total starts anew after an odd number of steps.
    (0..10).for_each(&mut step);
    let fixed = footprint(&device);
    for i in 10..40 {
        step(i);
        assert_eq!(footprint(&device), fixed, "step {i} made something new");
    }
}

#[test]
fn a_loop_without_reads_does_not_grow() {
    let device = new_gpu();
    let mut x = Tensor::ones([16], &device);
    for _ in 0..20_000 {
        x = x * 0.999 + 0.001;
    }
    assert!(device.stats().submits >= 2, "40,000 ops were recorded without a flush");
    let before = device.memory();
    for _ in 0..60_000 {
        x = x * 0.999 + 0.001;
    }
    let after = device.memory();
    assert_eq!(before.allocations, after.allocations);
    assert!(x.to_vec::<f32>().unwrap().iter().all(|v| (v - 1.0).abs() < 1e-2));
}

#[test]
fn a_training_loop_without_reads_or_steps_does_not_grow() {
    let device = new_gpu();
    let mut w = Tensor::ones([8], &device).requires_grad();
    let mut memory = Vec::new();
    for i in 0..4000 {
        (&w * &w).sum().backward().unwrap();
        let g = w.grad().unwrap();
        w -= g * 1e-4;
        w.zero_grad();
        if i % 1000 == 999 {
            memory.push(device.memory().in_use);
        }
    }
    assert!(memory[3] <= memory[1], "{memory:?}");
    let expected = (1.0f64 - 2e-4).powi(4000) as f32;
    assert!(w.to_vec::<f32>().unwrap().iter().all(|v| (v - expected).abs() < 1e-3));
}

#[test]
fn a_step_that_fails_changes_no_parameter() {
    let device = crate::gpu();
    let make = |v: f32| (Tensor::ones([3], device) * v).requires_grad();
    let (a, b) = (make(1.0), make(2.0));
    let mut adam = Adam::new(vec![a.clone(), b.clone()], 0.1);
    let mut sgd = Sgd::new(vec![a.clone(), b.clone()], 0.1).momentum(0.9);
    a.set_grad(Some(&Tensor::ones([3], device)));
    b.set_grad(Some(&Tensor::ones([4], device)));
    for error in [adam.step().unwrap_err(), sgd.step().unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("[3]") && text.contains("[4]") && text.contains(file!()), "{text}");
    }
    assert_eq!(a.to_vec::<f32>().unwrap(), [1.0; 3]);
    b.set_grad(Some(&Tensor::ones([3], device)));
    adam.step().unwrap();
    let first = a.to_vec::<f32>().unwrap()[0];
    assert!((first - 0.9).abs() < 1e-4, "{first}: the first step of Adam moves by the learning rate");
}
