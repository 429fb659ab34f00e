//! Long runs, in short: `examples/soak.rs` is the long form. And what captured runs show of themselves.

use wgrad::optim::Adam;
use wgrad::{Captured, Device, Result, Tensor, capture};

use crate::capture::{Net, batch, bits};
use crate::environment::run;
use crate::new_gpu;

const SIZES: [usize; 8] = [3, 5, 8, 9, 12, 16, 21, 32];

fn training(device: &Device) -> (Net, impl FnMut(&[Tensor]) -> Result<Vec<Tensor>> + Send + 'static) {
    let net = Net::new(device);
    let (own, mut optimizer) = (net.clone(), Adam::new(net.parameters.clone(), 1e-3));
    let step = move |x: &[Tensor]| {
        let loss = own.loss(&x[0], &x[1], 0.1)?;
        optimizer.step()?;
        Ok(vec![loss])
    };
    (net, step)
}

type Call = Box<dyn FnMut(&[Tensor]) -> Vec<Tensor>>;

/// 1,200 steps of each kind over eight batch sizes: nothing grows, and both ways end with the same bits.
#[test]
fn eight_batch_sizes_settle_and_agree() {
    let device = new_gpu();
    let batches: Vec<_> = SIZES.iter().map(|&n| batch(n, n, &device)).collect();
    let footprint = |captured: bool| {
        device.sync().unwrap();
        let (s, m) = (device.stats(), device.memory());
        // Plans of many sizes hand buffers of one size class round among each other, and the cache of bind groups, which has a
        // bound, takes long to have met all combinations.
        let groups = if captured { s.bind_groups } else { 0 };
        (s.kernels_compiled, s.plans_built, groups, m.allocations, m.in_use, m.peak)
    };
    let mut ends = Vec::new();
    for captured in [false, true] {
        let (net, mut f) = training(&device);
        device.seed(17);
        let mut losses = Vec::new();
        let mut run: Call = if captured {
            let step = capture(&device, f).unwrap();
            Box::new(move |x| step.run(x).unwrap())
        } else {
            Box::new(move |x| f(x).unwrap())
        };
        let mut fixed = None;
        for i in 0..1200 {
            let loss = run(&batches[(i * 5 + i / 8) % 8]).remove(0);
            if i % 100 == 99 {
                losses.push(bits(&loss));
            }
            drop(loss);
            if i == 399 {
                fixed = Some(footprint(captured));
            } else if i > 399 && i % 200 == 199 {
                assert_eq!(Some(footprint(captured)), fixed, "captured: {captured}, after {i} steps");
            }
        }
        ends.push((losses, net.parameters.iter().map(bits).collect::<Vec<_>>()));
    }
    assert!(ends[0] == ends[1], "the captured and the dynamic loop differ");
}

/// What a child process runs whose kernels are looked at.
pub fn program() -> Result<()> {
    let device = Device::default();
    let step: Captured<'_> = capture(&device, |x: &[Tensor]| vec![(&x[0] * 2.0).tanh().sum()])?;
    let x = [Tensor::ones([1000], &device)];
    (0..3).try_for_each(|_| step.run(&x)?[0].item::<f32>().map(drop))
}

#[test]
fn captured_runs_show_in_log_and_trace() {
    let trace = std::env::temp_dir().join(format!("wgrad-captured-{}.json", std::process::id()));
    let out = run("captured", &[("WGRAD_DEBUG", "2"), ("WGRAD_TRACE", trace.to_str().unwrap())]);
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{log}");
    // A line for each kernel of each run, the replays among them.
    let lines = log.lines().filter(|line| line.contains("GB/s") && line.contains("soak.rs:")).count();
    assert!(lines >= 3, "{lines} lines in\n{log}");
    let text = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).unwrap();
    let events: serde_json::Value = serde_json::from_str(&text).unwrap();
    let count = |f: &dyn Fn(&serde_json::Value) -> bool| events.as_array().unwrap().iter().filter(|e| f(e)).count();
    assert_eq!(count(&|e| e["name"] == "replay"), 3);
    assert!(count(&|e| e["cat"] == "gpu" && e["args"]["source"].as_str().is_some_and(|s| s.contains("soak.rs"))) >= 3);
}

#[test]
fn a_captured_run_explains_itself() {
    for device in [new_gpu(), Device::cpu()] {
        let step = capture(&device, |x: &[Tensor]| vec![x[0].matmul(&x[1]).tanh()]).unwrap();
        let x = [Tensor::ones([20, 30], &device), Tensor::ones([30, 40], &device)];
        for turn in 0..3 {
            let (out, explanation) = step.explain(&x).unwrap();
            assert_eq!(out[0].shape(), [20, 40]);
            assert!(!explanation.kernels.is_empty(), "{explanation}");
            assert!(explanation.flops() >= 2 * 20 * 30 * 40, "run {turn}: {explanation}");
            assert!(explanation.kernels.iter().any(|k| k.ops.iter().any(|op| op == "tanh")), "{explanation}");
            assert!(explanation.kernels.iter().flat_map(|k| &k.lines).any(|l| l.contains("soak.rs:")), "{explanation}");
        }
    }
}
