//! The engine as a whole, on a GPU adapter: fusion, steady loops, graphs, threads, errors, environment variables,
//! determinism and memory.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod asynchronous;
mod budget;
mod capture;
mod certificate;
mod certified;
mod determinism;
mod environment;
mod errors;
mod freed;
mod fusion;
mod graph;
mod in_place;
mod indices;
mod inside;
mod memory;
#[path = "../models/mod.rs"]
mod models;
mod reads;
mod refusals;
mod replay;
mod saved;
mod sizes;
mod soak;
mod steady;
mod threads;
mod tuned;
mod validated;
mod withheld;

use std::sync::OnceLock;

use wgrad::Device;

/// The device that tests share. Without an adapter they fail, with advice on what to install.
fn gpu() -> &'static Device {
    static SHARED: OnceLock<Device> = OnceLock::new();
    SHARED.get_or_init(new_gpu)
}

/// The shared device that runs one kernel an op.
fn unfused() -> &'static Device {
    static SHARED: OnceLock<Device> = OnceLock::new();
    SHARED.get_or_init(|| Device::gpu_with_fusion(false).unwrap_or_else(|error| panic!("{error}")))
}

/// `‖a − b‖ / ‖b‖`.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let gap = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    gap / norm(&mut b.iter().map(|&b| f64::from(b)))
}

/// A device of its own, for tests that count.
fn new_gpu() -> Device {
    Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}"))
}
