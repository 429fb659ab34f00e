//! Memory bandwidth: a chain of five elementwise ops, fused and one kernel an op, and a sum, over 2²⁴ f32 elements.
//!
//! GB/s counts what has to be moved at least: the chain reads and writes every element once, the sum reads it once. So the
//! unfused figure shows what the traffic of the intermediate values costs.
//!
//! ```text
//! cargo bench --bench elementwise
//! ```

mod common;

use common::{Bench, giga};
use wgrad::{Device, Result, Tensor};

const COUNT: usize = 1 << 24;

/// `relu(x · a + b) · c + x`
fn chain(x: &Tensor) -> Tensor {
    (x * 1.5 + 0.25).relu() * 0.5 + x
}

fn repeat(iterations: u64, device: &Device, f: impl Fn() -> Tensor) -> Result<()> {
    (0..iterations).try_for_each(|_| f().realize())?;
    device.sync()
}

fn main() {
    let mut bench = Bench::new();
    let unfused = bench.unfused();
    let device = bench.device();
    let mut group = bench.group("elementwise, 16 M f32");
    let input = |device: &Device| {
        let x = Tensor::randn([COUNT], device);
        x.realize().map(|()| x).expect("random numbers")
    };
    {
        let x = input(&device);
        let case = "relu(x·a + b)·c + x";
        if let Some(time) = group.time(case, |iterations| repeat(iterations, &device, || chain(&x))) {
            group.row(case, time, format!("{:.1} GB/s", giga(8.0 * COUNT as f64, time)));
        }
        let case = "sum";
        if let Some(time) = group.time(case, |iterations| repeat(iterations, &device, || x.sum())) {
            group.row(case, time, format!("{:.1} GB/s", giga(4.0 * COUNT as f64, time)));
        }
    }
    if let Some(device) = unfused {
        let x = input(&device);
        let case = "relu(x·a + b)·c + x, one kernel an op";
        if let Some(time) = group.time(case, |iterations| repeat(iterations, &device, || chain(&x))) {
            group.row(case, time, format!("{:.1} GB/s", giga(8.0 * COUNT as f64, time)));
        }
    }
    drop(group);
    bench.finish();
}
