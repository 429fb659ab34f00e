//! Layers and training runs against PyTorch. `generator/` made `fixtures/` with it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fixtures;
mod layers;
mod models;
mod runs;
mod state;

use std::sync::OnceLock;

use wgrad::Device;

/// The devices that tests share: a GPU adapter, without which they fail, and the CPU reference.
fn devices() -> [&'static Device; 2] {
    static SHARED: OnceLock<[Device; 2]> = OnceLock::new();
    let [gpu, cpu] = SHARED.get_or_init(|| [Device::gpu().unwrap_or_else(|error| panic!("{error}")), Device::cpu()]);
    [gpu, cpu]
}
