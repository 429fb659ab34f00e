//! Generated kernels kept as text, so that a change of the code generator shows in review.
//!
//! `WGRAD_BLESS=1 cargo test --test codebase snapshots` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use wgrad::nn::loss;
use wgrad::{Conv, Device, Tensor};

use crate::graphs::{adapters, data, leaf};

/// The kinds of adapters, by their names in [`adapters`] and as folders.
const TARGETS: [(&str, &str); 3] =
    [("gpu", "gpu"), ("gpu with subgroups", "gpu-subgroups"), ("software with subgroups", "software-subgroups")];

/// What is computed on a device, and under which name its kernels are kept.
type Computation = fn(&Device) -> Vec<Tensor>;

fn gradients(loss: &Tensor, of: &[&Tensor]) -> Vec<Tensor> {
    wgrad::autograd::grad(&[loss], of, false).unwrap()
}

/// Twelve computations, one for each form of kernel.
const COMPUTATIONS: [(&str, Computation); 12] = [
    ("elementwise-chain", |d| vec![(data([256, 64], d).exp() + 1.0) * data([64], d)]),
    ("strided-and-broadcast", |d| vec![data([48, 32], d).t() + data([32, 1], d)]),
    ("sum-of-all", |d| vec![data([1000, 33], d).sum()]),
    ("sum-of-columns", |d| vec![data([512, 96], d).sum_dims(&[0], false)]),
    ("argmax-of-rows", |d| vec![data([64, 100], d).argmax(-1, false)]),
    ("softmax", |d| vec![data([128, 200], d).softmax(-1)]),
    ("layer-norm-backward", |d| {
        let (x, w, b) = (leaf([64, 96], d), leaf([96], d), leaf([96], d));
        gradients(&x.layer_norm(&w, &b, 1e-5).square().sum(), &[&x, &w, &b])
    }),
    ("matmul-with-epilogue", |d| vec![(data([128, 96], d).matmul(&data([96, 64], d)) + data([64], d)).relu()]),
    ("conv2d", |d| vec![data([2, 8, 16, 16], d).conv2d(&data([16, 8, 3, 3], d), None, Conv::default())]),
    ("attention", |d| {
        let part = || data([1, 2, 40, 32], d);
        vec![Tensor::scaled_dot_product_attention(&part(), &part(), &part(), None, true)]
    }),
    ("cross-entropy-backward", |d| {
        let x = leaf([32, 10], d);
        gradients(&loss::cross_entropy(&x, &Tensor::from_slice(&[1i32; 32], [32], d)), &[&x])
    }),
    ("embedding-gradient", |d| {
        let table = leaf([50, 16], d);
        gradients(&Tensor::embedding(&table, &Tensor::from_slice(&[3i32; 24], [24], d)).square().sum(), &[&table])
    }),
];

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/codebase/snapshots")).to_path_buf()
}

/// The kernels that a computation takes, in order, each once.
fn kernels(computation: Computation, device: &Device) -> String {
    let before = device.planned().len();
    let results = computation(device);
    results.iter().for_each(|result| result.realize().unwrap());
    let mut texts: Vec<String> = Vec::new();
    for plan in device.planned().into_iter().skip(before) {
        for (name, text) in plan.kernels.iter().zip(plan.shaders) {
            let text = format!("// Kernel {name}\n{}\n", text.trim_end());
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts.join("\n")
}

#[test]
fn generated_kernels_are_as_reviewed() {
    let bless = std::env::var_os("WGRAD_BLESS").is_some();
    let adapters = adapters();
    let mut changed = Vec::new();
    for (adapter, target) in TARGETS {
        let caps = &adapters.iter().find(|(name, _)| *name == adapter).unwrap().1;
        for (name, computation) in COMPUTATIONS {
            let text = kernels(computation, &Device::null(caps.clone(), true));
            assert!(text.contains("fn main("), "{name} on {adapter} runs no kernel");
            let path = folder().join(target).join(format!("{name}.wgsl"));
            if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
                continue;
            }
            if bless {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &text).unwrap();
            } else {
                changed.push(format!("{target}/{name}"));
            }
        }
    }
    assert!(changed.is_empty(), "these kernels changed (WGRAD_BLESS=1 keeps what they are now): {changed:?}");
}
