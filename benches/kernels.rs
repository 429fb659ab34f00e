//! The kernels that training spends its time in, one at a time: elementwise chains and sums, rows, products, convolution, pooling,
//! attention, indexing.
//!
//! GB/s counts what has to be moved at least, GFLOP/s the multiplications and additions of the definition. The share is that of a ceiling
//! measured first, in the same run: a copy of 16 M elements, and the product of two matrices of 1024 × 1024.
//!
//! ```text
//! cargo bench --bench kernels
//! cargo bench --bench kernels -- pool
//! ```

mod common;

use std::time::{Duration, Instant};

use common::{Bench, Group, giga};
use wgrad::{Conv, Device, Result, Tensor, autograd};

/// Work of a kernel.
#[derive(Clone, Copy)]
enum Work {
    /// Bytes moved.
    Bytes(f64),
    /// Floating-point operations.
    Flops(f64),
}

/// Rates that the adapter reaches where nothing else holds it up.
struct Ceiling {
    /// 10⁹ bytes a second, read and written.
    bytes: f64,
    /// 10⁹ operations a second.
    flops: f64,
}

impl Ceiling {
    /// The best of a few runs of each.
    fn measure(device: &Device) -> Result<Ceiling> {
        let best = |f: &dyn Fn() -> Tensor| -> Result<Duration> {
            let mut best = Duration::MAX;
            for _ in 0..6 {
                let start = Instant::now();
                f().realize()?;
                device.sync()?;
                best = best.min(start.elapsed());
            }
            Ok(best)
        };
        let x = input(&[1 << 24], device);
        let copy = best(&|| -&x)?;
        let (a, b) = (input(&[1024, 1024], device), input(&[1024, 1024], device));
        let product = best(&|| a.matmul(&b))?;
        Ok(Ceiling { bytes: giga(8.0 * f64::from(1 << 24), copy), flops: giga(2.0 * 1024f64.powi(3), product) })
    }
}

/// What the cases share.
struct Run<'a, 'b> {
    group: &'a mut Group<'b>,
    device: Device,
    ceiling: Ceiling,
}

impl Run<'_, '_> {
    fn measure(&mut self, case: &str, work: Work, f: impl Fn() -> Result<Vec<Tensor>>) {
        let run = |iterations: u64| -> Result<()> {
            for _ in 0..iterations {
                // One flush for all of them: what they share is computed once.
                let outputs = f()?;
                self.device.sync()?;
                drop(outputs);
            }
            Ok(())
        };
        if let Some(time) = self.group.time(case, run) {
            let (rate, unit, ceiling) = match work {
                Work::Bytes(bytes) => (giga(bytes, time), "GB/s", self.ceiling.bytes),
                Work::Flops(flops) => (giga(flops, time), "GFLOP/s", self.ceiling.flops),
            };
            self.group.row(case, time, format!("{rate:.2} {unit}, {:.0} %", 100.0 * rate / ceiling));
        }
    }

    fn input(&self, shape: &[usize]) -> Tensor {
        input(shape, &self.device)
    }

    fn leaf(&self, shape: &[usize]) -> Tensor {
        self.input(shape).requires_grad()
    }

    /// `forward` alone, and its gradients with respect to each of the leaves. `Work` is that of each.
    fn passes(&mut self, case: &str, work: Work, leaves: &[(&str, &Tensor)], forward: impl Fn() -> Tensor) {
        let dy = self.input(forward().shape());
        self.measure(&format!("{case}, forward"), work, || Ok(vec![forward()]));
        for (part, leaf) in leaves {
            let y = forward();
            self.measure(&format!("{case}, gradient of the {part}"), work, || {
                autograd::grad(&[&(&y * &dy).sum()], &[leaf], false)
            });
        }
    }
}

/// Random numbers, there before the measurement begins.
fn input(shape: &[usize], device: &Device) -> Tensor {
    let x = Tensor::randn(shape, device);
    x.realize().map(|()| x).expect("random numbers")
}

fn streams(run: &mut Run) {
    const N: usize = 1 << 24;
    let bytes = 4.0 * N as f64;
    let [x, a, b, c] = [0; 4].map(|_| run.input(&[N]));
    let chain = || Ok(vec![(&x * &a + &b).relu() * &c + &x]);
    run.measure("relu(x a + b) c + x on 16 M", Work::Bytes(5.0 * bytes), chain);
    run.measure("sum of 16 M", Work::Bytes(bytes), || Ok(vec![x.sum()]));
    let matrix = x.reshape([4096, 4096]);
    run.measure("sum of the columns of [4096, 4096]", Work::Bytes(bytes), || Ok(vec![matrix.sum_dims(&[0], false)]));
}

fn rows(run: &mut Run) {
    let x = run.leaf(&[4096, 1024]);
    let bytes = 4.0 * x.numel() as f64;
    run.measure("softmax [4096, 1024]", Work::Bytes(2.0 * bytes), || Ok(vec![x.detach().softmax(-1)]));
    let (weight, bias) = (run.leaf(&[1024]), run.leaf(&[1024]));
    let dy = run.input(&[4096, 1024]);
    let norm = || x.layer_norm(&weight, &bias, 1e-5);
    run.measure("layer norm [4096, 1024], forward", Work::Bytes(2.0 * bytes), || Ok(vec![norm()]));
    // Forward reads x and writes y; backward reads x and dy and writes dx.
    run.measure("layer norm [4096, 1024], forward and backward", Work::Bytes(5.0 * bytes), || {
        let y = norm();
        let gradients = autograd::grad(&[&(&y * &dy).sum()], &[&x, &weight, &bias], false)?;
        Ok([vec![y], gradients].concat())
    });
    let logits = run.leaf(&[128, 49_152]);
    let bytes = 4.0 * logits.numel() as f64;
    let (dy, classes) = (run.input(&[128, 49_152]), Tensor::randint([128], 0, 49_152, &run.device));
    classes.realize().expect("classes");
    run.measure("softmax [128, 49152], forward and backward", Work::Bytes(5.0 * bytes), || {
        autograd::grad_with(&[&logits.softmax(-1)], &[Some(&dy)], &[&logits], false)
    });
    run.measure("cross-entropy [128, 49152], forward and backward", Work::Bytes(3.0 * bytes), || {
        let loss = wgrad::nn::loss::cross_entropy(&logits, &classes);
        let gradients = autograd::grad(&[&loss], &[&logits], false)?;
        Ok([vec![loss], gradients].concat())
    });
}

fn products(run: &mut Run) {
    for (case, a, b) in [
        ("[128, 784] by [784, 512]", vec![128, 784], vec![784, 512]),
        ("[128, 512] by [512, 10]", vec![128, 512], vec![512, 10]),
        ("[1024, 1024] by a vector", vec![1024, 1024], vec![1024, 1]),
        ("32 times [64, 64] by [64, 64]", vec![32, 64, 64], vec![32, 64, 64]),
    ] {
        let flops = 2.0 * (a.iter().product::<usize>() * b[b.len() - 1]) as f64;
        let (a, b) = (run.input(&a), run.input(&b));
        run.measure(case, Work::Flops(flops), || Ok(vec![a.matmul(&b)]));
    }
}

fn convolution(run: &mut Run) {
    for (case, x, w, groups) in [
        ("convolution 3 × 3 of [64, 1, 28, 28] to 16 channels", [64, 1, 28, 28], [16, 1, 3, 3], 1),
        ("convolution 3 × 3 of [64, 16, 14, 14] to 32 channels", [64, 16, 14, 14], [32, 16, 3, 3], 1),
        ("depthwise convolution 3 × 3 of [16, 64, 28, 28]", [16, 64, 28, 28], [64, 1, 3, 3], 64),
    ] {
        let flops = 2.0 * (x[0] * x[2] * x[3] * w.iter().product::<usize>()) as f64;
        let (x, w) = (run.leaf(&x), run.leaf(&w));
        let forward = || x.conv2d(&w, None, Conv { padding: 1.into(), groups, ..Conv::default() });
        run.passes(case, Work::Flops(flops), &[("input", &x), ("weight", &w)], forward);
    }
}

fn pooling(run: &mut Run) {
    let x = run.leaf(&[64, 16, 28, 28]);
    for (case, kernel, stride) in [("2 × 2", 2, 2), ("3 × 3, stride 2", 3, 2)] {
        let bytes = 4.0 * x.numel() as f64 * 1.25;
        let forward = || x.max_pool2d(kernel, stride, 0);
        run.passes(&format!("max pooling {case} of [64, 16, 28, 28]"), Work::Bytes(bytes), &[("input", &x)], forward);
    }
}

fn attention(run: &mut Run) {
    let [q, k, v] = [0; 3].map(|_| run.leaf(&[8, 4, 128, 32]));
    // Two products forward, five backward; causal attention needs half of each.
    let flops = 7.0 * 2.0 * (8 * 4 * 128 * 128 * 32) as f64 / 2.0;
    run.measure("causal attention [8, 4, 128, 32], forward and backward", Work::Flops(flops), || {
        let y = q.scaled_dot_product_attention(&k, &v, None, true);
        autograd::grad(&[&y.square().sum()], &[&q, &k, &v], false)
    });
    let [q, k, v] = [0; 3].map(|_| run.leaf(&[1, 6, 1500, 64]));
    let flops = 7.0 * 2.0 * (6 * 1500 * 1500 * 64) as f64;
    run.measure("attention [1, 6, 1500, 64], forward and backward", Work::Flops(flops), || {
        let y = q.scaled_dot_product_attention(&k, &v, None, false);
        autograd::grad(&[&y.square().sum()], &[&q, &k, &v], false)
    });
}

fn indexing(run: &mut Run) {
    let table = run.leaf(&[50_000, 64]);
    let tokens = Tensor::randint([1024], 0, 49_152, &run.device);
    tokens.realize().expect("tokens");
    let dy = run.input(&[1024, 64]);
    // The gradient of the whole table is written.
    let bytes = 4.0 * (table.numel() + dy.numel()) as f64;
    run.measure("embedding backward, 1,024 tokens of 50,000, 64 wide", Work::Bytes(bytes), || {
        autograd::grad(&[&(Tensor::embedding(&table, &tokens) * &dy).sum()], &[&table], false)
    });
    // A language model's table, beside an addition over it.
    let table = run.leaf(&[49_152, 576]);
    let (tokens, dy) = (tokens.slice(0, 0..128), run.input(&[128, 576]));
    let bytes = 4.0 * table.numel() as f64;
    let other = run.input(&[49_152, 576]);
    run.measure("addition over a table of 49,152, 576 wide", Work::Bytes(3.0 * bytes), || {
        Ok(vec![table.detach() + &other])
    });
    run.measure("embedding backward, 128 tokens of 49,152, 576 wide", Work::Bytes(bytes), || {
        autograd::grad_with(&[&Tensor::embedding(&table, &tokens)], &[Some(&dy)], &[&table], false)
    });
    run.measure("the same, added to a gradient", Work::Bytes(2.0 * bytes), || {
        Ok(vec![other.index_add(0, &tokens, &dy)])
    });
}

fn main() {
    let mut bench = Bench::new();
    let device = bench.device();
    device.seed(1);
    let ceiling = Ceiling::measure(&device).expect("the ceilings");
    println!("ceilings: copy {:.2} GB/s, product {:.2} GFLOP/s", ceiling.bytes, ceiling.flops);
    let mut group = bench.group("kernels");
    let mut run = Run { group: &mut group, device, ceiling };
    for area in [streams, rows, products, convolution, pooling, attention, indexing] {
        area(&mut run);
    }
    drop(group);
    bench.finish();
}
