//! The kernels that training spends its time in, one at a time: rows, attention, convolution, indexing.
//!
//! GB/s counts what has to be moved at least, GFLOP/s the multiplications and additions of the definition.
//!
//! ```text
//! cargo bench --bench kernels
//! ```

mod common;

use common::{Bench, Group, giga};
use wgrad::{Conv, Device, Result, Tensor, autograd};

/// Work of a kernel.
enum Work {
    /// Bytes moved.
    Bytes(f64),
    /// Floating-point operations.
    Flops(f64),
}

fn measure(group: &mut Group, device: &Device, case: &str, work: Work, f: impl Fn() -> Result<Vec<Tensor>>) {
    let run = |turns: u64| -> Result<()> {
        for _ in 0..turns {
            f()?.iter().try_for_each(Tensor::realize)?;
        }
        device.sync()
    };
    if let Some(time) = group.time(case, run) {
        let figure = match work {
            Work::Bytes(bytes) => format!("{:.2} GB/s", giga(bytes, time)),
            Work::Flops(flops) => format!("{:.1} GFLOP/s", giga(flops, time)),
        };
        group.row(case, time, figure);
    }
}

/// Random numbers, there before the measurement begins.
fn input(shape: &[usize], device: &Device) -> Tensor {
    let x = Tensor::randn(shape, device);
    x.realize().map(|()| x).expect("random numbers")
}

fn rows(group: &mut Group, device: &Device) {
    let x = input(&[4096, 1024], device);
    let bytes = 4.0 * x.numel() as f64;
    measure(group, device, "softmax [4096, 1024]", Work::Bytes(2.0 * bytes), || Ok(vec![x.softmax(-1)]));
    let leaf = x.requires_grad();
    let (weight, bias) = (Tensor::ones([1024], device), Tensor::zeros([1024], device));
    let dy = input(&[4096, 1024], device);
    // Forward reads x and writes y; backward reads x and dy and writes dx.
    measure(group, device, "layer norm [4096, 1024], forward and backward", Work::Bytes(5.0 * bytes), || {
        let y = leaf.layer_norm(&weight, &bias, 1e-5);
        let dx = autograd::grad(&[&(&y * &dy).sum()], &[&leaf], false)?;
        Ok([vec![y], dx].concat())
    });
}

fn attention(group: &mut Group, device: &Device) {
    let part = || input(&[8, 4, 128, 32], device).requires_grad();
    let (q, k, v) = (part(), part(), part());
    // Two products forward, five backward; causal attention needs half of each.
    let flops = 7.0 * 2.0 * (8 * 4 * 128 * 128 * 32) as f64 / 2.0;
    measure(group, device, "causal attention [8, 4, 128, 32], forward and backward", Work::Flops(flops), || {
        let y = q.scaled_dot_product_attention(&k, &v, None, true);
        autograd::grad(&[&y.square().sum()], &[&q, &k, &v], false)
    });
}

fn convolution(group: &mut Group, device: &Device) {
    let (x, w) = (input(&[64, 16, 14, 14], device).requires_grad(), input(&[32, 16, 3, 3], device).requires_grad());
    let conv = || x.conv2d(&w, None, Conv { padding: 1.into(), ..Conv::default() });
    let dy = input(conv().shape(), device);
    let flops = 2.0 * (64 * 32 * 14 * 14 * 16 * 9) as f64;
    let case = |part: &str| format!("convolution 3 × 3 of [64, 16, 14, 14] to 32 channels, {part}");
    measure(group, device, &case("forward"), Work::Flops(flops), || Ok(vec![conv()]));
    for (part, leaf) in [("gradient of the input", &x), ("gradient of the weight", &w)] {
        measure(group, device, &case(part), Work::Flops(flops), || {
            autograd::grad(&[&(conv() * &dy).sum()], &[leaf], false)
        });
    }
}

fn indexing(group: &mut Group, device: &Device) {
    let table = input(&[50_000, 64], device).requires_grad();
    let tokens = Tensor::randint([1024], 0, 50_000, device);
    tokens.realize().expect("tokens");
    let dy = input(&[1024, 64], device);
    // The gradient of the whole table is written.
    let bytes = 4.0 * (table.numel() + dy.numel()) as f64;
    measure(group, device, "embedding backward, 1,024 tokens of 50,000, 64 wide", Work::Bytes(bytes), || {
        autograd::grad(&[&(Tensor::embedding(&table, &tokens) * &dy).sum()], &[&table], false)
    });
}

fn main() {
    let mut bench = Bench::new();
    let device = bench.device();
    device.seed(1);
    let mut group = bench.group("kernels");
    rows(&mut group, &device);
    attention(&mut group, &device);
    convolution(&mut group, &device);
    indexing(&mut group, &device);
    drop(group);
    bench.finish();
}
