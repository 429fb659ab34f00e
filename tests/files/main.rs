//! Files: what is written is read again, PyTorch's and numpy's files are read, damage is an `Err`, checkpoints resume exactly.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod checkpoints;
mod damage;
#[allow(dead_code, reason = "a whole program, whose own `main` is not called")]
#[path = "../../examples/digits_cnn.rs"]
mod digits_cnn;
mod exchange;
mod fuzz;
mod killed;
mod metrics;
mod options;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wgrad-files-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The GPU device that tests share.
fn gpu() -> &'static wgrad::Device {
    static SHARED: OnceLock<wgrad::Device> = OnceLock::new();
    SHARED.get_or_init(|| wgrad::Device::gpu().unwrap_or_else(|error| panic!("{error}")))
}

/// A file of `tests/files/fixtures`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files/fixtures").join(name)
}

/// One tensor of each type, with odd shapes.
fn samples(device: &wgrad::Device) -> std::collections::BTreeMap<String, wgrad::Tensor> {
    use wgrad::{Tensor, f16};
    let half = [f16::from_f32(-0.5), f16::from_f32(65504.0), f16::INFINITY];
    [
        ("f32", Tensor::from_slice(&[1.5f32, -0.0, f32::MIN_POSITIVE, 3e38, -7.25, 0.1], [2, 3], device)),
        ("f64", Tensor::from_slice(&[0.1f64, -1e300], [2], device)),
        ("f16", Tensor::from_slice(&half, [3, 1], device)),
        ("i32", Tensor::from_slice(&[i32::MIN, -1, i32::MAX], [3], device)),
        ("u32", Tensor::from_slice(&[0u32, u32::MAX], [1, 2], device)),
        ("bool", Tensor::from_slice(&[true, false, true], [3], device)),
        ("scalar", Tensor::from_slice(&[42f32], (), device)),
        ("empty", Tensor::from_slice(&[0f32; 0], [2, 0, 3], device)),
        // A view whose elements do not lie in order.
        ("turned", Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], device).t()),
    ]
    .into_iter()
    .map(|(name, tensor)| (format!("layer.{name}"), tensor))
    .collect()
}

/// Shape, type and values of a tensor as text, for comparison.
fn show(tensor: &wgrad::Tensor) -> String {
    use wgrad::DType;
    let values = match tensor.dtype() {
        DType::F32 => format!("{:?}", tensor.to_vec::<f32>().unwrap()),
        DType::F64 => format!("{:?}", tensor.to_vec::<f64>().unwrap()),
        DType::F16 => format!("{:?}", tensor.to_vec::<wgrad::f16>().unwrap()),
        DType::I32 => format!("{:?}", tensor.to_vec::<i32>().unwrap()),
        DType::U32 => format!("{:?}", tensor.to_vec::<u32>().unwrap()),
        DType::Bool => format!("{:?}", tensor.to_vec::<bool>().unwrap()),
    };
    format!("{} {:?} {values}", tensor.dtype(), tensor.shape())
}
