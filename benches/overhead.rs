//! What one tiny op costs: 1,000 ops on 16 elements, each of which needs the one before.
//!
//! ```text
//! cargo bench --bench overhead
//! ```

mod common;

use common::{Bench, Group};
use wgrad::{Device, Result, Tensor};

const OPS: usize = 1000;

fn chain(x: &Tensor, realize: bool) -> Result<Tensor> {
    let mut y = x.clone();
    for i in 0..OPS {
        y = if i % 2 == 0 { y * 0.999 } else { y + 0.001 };
        if realize {
            y.realize()?;
        }
    }
    y.realize()?;
    Ok(y)
}

fn measure(group: &mut Group, case: &str, device: &Device, realize: bool) {
    let x = Tensor::ones([16], device).contiguous();
    let run = |turns: u64| -> Result<()> {
        for _ in 0..turns {
            drop(chain(&x, realize)?);
            device.sync()?;
        }
        Ok(())
    };
    if let Some(time) = group.time(case, run) {
        group.row(case, time, format!("{:.2} µs an op", time.as_secs_f64() * 1e6 / OPS as f64));
    }
}

fn main() {
    let mut bench = Bench::new();
    let unfused = bench.unfused();
    let device = bench.device();
    let mut group = bench.group("1,000 dependent tiny ops");
    measure(&mut group, "fused, one flush", &device, false);
    measure(&mut group, "each op flushed", &device, true);
    if let Some(unfused) = unfused {
        measure(&mut group, "one kernel an op, one flush", &unfused, false);
    }
    drop(group);
    bench.finish();
}
