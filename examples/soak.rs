//! A long run: 20,000 captured and 20,000 dynamic training steps on batches of eight sizes in turn. Memory must stay flat, no kernel may
//! be compiled after the warm-up, and both ways must end with the same bits.
//!
//! ```text
//! cargo run --release --example soak                 # the whole run
//! cargo run --example soak -- --steps 2000
//! ```

mod common;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{Result, RunArgs, ensure, exit, table, weights_hash};
use serde_json::json;
use wgrad::optim::Adam;
use wgrad::{Device, Tensor, capture};

#[derive(Parser)]
#[command(about = "Thousands of steps on varying batches: nothing grows")]
struct Args {
    #[command(flatten)]
    run: RunArgs,

    /// Steps of each kind [default: 20000, with --quick 400]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
}

const SIZES: [usize; 8] = [7, 12, 16, 25, 32, 33, 48, 64];

/// One step.
type Call = Box<dyn FnMut(&[Tensor]) -> wgrad::Result<Tensor>>;

/// Bytes of memory that the process holds, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

struct Net {
    parameters: Vec<Tensor>,
    optimizer: Adam,
}

impl Net {
    fn new(device: &Device, seed: u64) -> Net {
        device.seed(seed);
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], device).requires_grad();
        let parameters = vec![weight(32, 64), zeros(64), weight(64, 10), zeros(10)];
        Net { optimizer: Adam::new(parameters.clone(), 1e-3), parameters }
    }

    fn step(&mut self, x: &[Tensor]) -> wgrad::Result<Vec<Tensor>> {
        let p = &self.parameters;
        let h = (x[0].matmul(&p[0]) + &p[1]).relu().dropout(0.1, true);
        let loss = (h.matmul(&p[2]) + &p[3] - &x[1]).square().mean();
        self.optimizer.zero_grad();
        loss.backward()?;
        self.optimizer.step()?;
        Ok(vec![loss])
    }
}

fn run(args: &Args) -> Result {
    let device = args.run.device()?;
    let steps = args.steps.unwrap_or(if args.run.quick { 400 } else { 20_000 });
    let warm_up = (steps / 10).max(100);
    let batches = SIZES.map(|n| [Tensor::rand([n, 32], &device), Tensor::rand([n, 10], &device)]);
    device.sync()?;
    let (mut rows, mut figures, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for captured in [false, true] {
        let way = if captured { "captured" } else { "dynamic" };
        let mut net = Net::new(&device, args.run.seed);
        let parameters = net.parameters.clone();
        let mut call: Call = if captured {
            let step = capture(&device, move |x: &[Tensor]| net.step(x))?;
            Box::new(move |x| Ok(step.run(x)?.remove(0)))
        } else {
            Box::new(move |x| Ok(net.step(x)?.remove(0)))
        };
        let look = || -> wgrad::Result<_> {
            device.sync()?;
            let (stats, memory) = (device.stats(), device.memory());
            let fixed = (stats.kernels_compiled, stats.plans_built, memory.allocations);
            Ok((fixed, memory.in_use, stats.bind_groups, resident()))
        };
        let (start, mut warm, mut last) = (Instant::now(), None, f32::NAN);
        for i in 0..steps {
            let loss = call(&batches[(5 * i + i / 8) % SIZES.len()])?;
            if i + 1 == warm_up {
                warm = Some(look()?);
            }
            if (i + 1) % (steps / 5).max(1) == 0 {
                last = loss.item::<f32>()?;
                let ((kernels, plans, allocations), in_use, groups, held) = look()?;
                rows.push([
                    way.to_owned(),
                    (i + 1).to_string(),
                    kernels.to_string(),
                    plans.to_string(),
                    groups.to_string(),
                    allocations.to_string(),
                    format!("{:.1} KiB", in_use as f64 / 1024.0),
                    held.map_or("-".into(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0)),
                    format!("{:.3} ms", start.elapsed().as_secs_f64() * 1e3 / (i + 1) as f64),
                ]);
            }
        }
        let (warm, end) = (warm.ok_or("too few steps")?, look()?);
        ensure(warm.0 == end.0, format!("{way}: something grew: {:?} became {:?}", warm.0, end.0))?;
        ensure(end.1 <= warm.1, format!("{way}: tensors took {} bytes and now take {}", warm.1, end.1))?;
        if let (Some(before), Some(after)) = (warm.3, end.3) {
            let grown = after.saturating_sub(before);
            ensure(grown < 16 << 20, format!("{way}: the process grew by {grown} bytes"))?;
        }
        ensure(last.is_finite(), "the loss is not finite")?;
        let hash = weights_hash(&parameters)?;
        figures.push(json!({ "way": way, "steps": steps, "loss": last, "weights_hash": hash }));
        ends.push(hash);
    }
    let header = ["way", "steps", "kernels", "plans", "bind groups", "allocations", "tensors", "process", "a step"];
    table(header, &rows);
    ensure(ends[0] == ends[1], "the captured and the dynamic run end with different weights")?;
    println!("Both ways end with weights {}.", ends[0]);
    args.run.write_json(&json!({ "results": figures }))
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}
