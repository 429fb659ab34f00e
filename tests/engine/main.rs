//! The engine as a whole, on a GPU adapter: fusion, steady loops, graphs, threads, errors, environment variables,
//! determinism and memory.

mod budget;
mod capture;
mod certificate;
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

/// A device of its own, for tests that count.
fn new_gpu() -> Device {
    Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}"))
}
