//! The workloads, what is derived from their times, how exact results have to be, and what wgrad aims at.

use crate::inputs::{Gpt, LARGE, ROWS};

/// A workload that all engines are asked for.
pub struct Workload {
    /// What the programs call it.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// What a time is turned into.
    pub figure: Figure,
    /// The largest error of a right result.
    pub tolerance: f64,
    /// What wgrad aims at.
    pub target: Option<Target>,
}

/// What a time is turned into.
#[derive(Clone, Copy)]
pub enum Figure {
    /// Floating-point operations of a call.
    Flops(f64),
    /// Bytes that have to be moved at least.
    Bytes(f64),
    /// Tokens of a training step.
    Tokens(f64),
    /// Nothing: the time says it.
    Time,
}

/// What wgrad aims at.
#[derive(Clone, Copy)]
pub enum Target {
    /// At least this many times burn's speed.
    TimesBurn(f64),
    /// At most this many times the time of a loop of bare wgpu calls.
    TimesBare(f64),
    /// At least so many floating-point operations a second.
    Flops(f64),
}

const fn matmul(name: &'static str, title: &'static str, n: f64, target: Option<Target>) -> Workload {
    Workload { name, title, figure: Figure::Flops(2.0 * n * n * n), tolerance: 1e-4, target }
}

const fn training(name: &'static str, title: &'static str, times: f64) -> Workload {
    Workload { name, title, figure: Figure::Time, tolerance: 1e-3, target: Some(Target::TimesBurn(times)) }
}

const fn tiny(name: &'static str, title: &'static str, target: Option<Target>) -> Workload {
    Workload { name, title, figure: Figure::Time, tolerance: 1e-4, target }
}

/// The largest error of the first loss of a process start.
pub const COLD_TOLERANCE: f64 = 1e-3;

const ROW_BYTES: f64 = (ROWS[0] * ROWS[1] * 4) as f64;

/// All workloads, in the table's order.
pub const ALL: [Workload; 16] = [
    matmul("matmul_256", "matmul 256", 256.0, None),
    matmul("matmul_512", "matmul 512", 512.0, Some(Target::TimesBurn(2.5))),
    matmul("matmul_1024", "matmul 1024", 1024.0, Some(Target::TimesBurn(2.5))),
    matmul("matmul_2048", "matmul 2048", 2048.0, Some(Target::TimesBurn(2.5))),
    Workload {
        name: "elementwise",
        title: "relu(x·a + b)·c + x, 16 M",
        figure: Figure::Bytes(5.0 * 4.0 * LARGE as f64),
        tolerance: 1e-5,
        target: Some(Target::TimesBurn(1.2)),
    },
    Workload {
        name: "sum",
        title: "sum of 16 M",
        figure: Figure::Bytes(4.0 * LARGE as f64),
        tolerance: 1e-6,
        target: Some(Target::TimesBurn(1.5)),
    },
    Workload {
        name: "softmax",
        title: "softmax [4096, 1024]",
        figure: Figure::Bytes(2.0 * ROW_BYTES),
        tolerance: 1e-4,
        target: Some(Target::TimesBurn(5.0)),
    },
    Workload {
        name: "layer_norm",
        title: "layer norm [4096, 1024], forward and backward",
        // Forward reads x and writes y; backward reads x and the upstream gradient and writes the gradient.
        figure: Figure::Bytes(5.0 * ROW_BYTES),
        tolerance: 1e-4,
        target: Some(Target::TimesBurn(5.0)),
    },
    training("two_layer", "two-layer net 1000-100-10, SGD, a step", 5.0),
    training("mlp", "MLP 784-512-512-10, Adam, a step", 2.5),
    training("cnn", "small CNN, SGD, a step", 5.0),
    Workload {
        name: "gpt",
        title: "char-GPT, 4 layers of 128, AdamW, a step",
        figure: Figure::Tokens(Gpt::TOKENS as f64),
        tolerance: 1e-3,
        target: Some(Target::TimesBurn(4.0)),
    },
    tiny("tiny_fused", "1,000 dependent tiny ops, an op", None),
    tiny("tiny_unfused", "the same, one kernel an op", Some(Target::TimesBare(1.2))),
    tiny("tiny_submitted", "the same, one submission an op", Some(Target::TimesBare(1.2))),
    matmul("reference_matmul", "matmul 1024 on CPU cores", 1024.0, Some(Target::Flops(150e9))),
];
