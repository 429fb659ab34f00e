//! Layers and models, on a GPU adapter and on the CPU reference.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod derived;
mod init;
mod layers;
mod lazy;
mod module;
mod options;

use std::sync::OnceLock;

use wgrad::Device;

/// The devices that tests share: a GPU adapter, without which they fail, and the CPU reference.
fn devices() -> [&'static Device; 2] {
    static SHARED: OnceLock<[Device; 2]> = OnceLock::new();
    let [gpu, cpu] = SHARED.get_or_init(|| [Device::gpu().unwrap_or_else(|error| panic!("{error}")), Device::cpu()]);
    [gpu, cpu]
}
