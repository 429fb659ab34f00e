//! The kernels that are planned for named GPUs, for `benches/compilers` to compile: those of the benchmarks' shapes and of the sample.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use wgrad::internals::Caps;
use wgrad::nn::loss;
use wgrad::{Conv, Device, Tensor};

use crate::graphs::{data, leaf, plan_all};

/// Named GPUs with what wgpu finds on them, as far as kernels are chosen by it.
fn targets() -> Vec<(&'static str, Caps)> {
    let gpu = |subgroup, few_registers| Caps {
        subgroup: Some(subgroup),
        few_registers,
        f16: true,
        max_storage_buffers: 16,
        max_invocations: 1024,
        workgroup_memory: 32 << 10,
        ..Caps::baseline()
    };
    vec![
        ("webgpu", Caps::baseline()),
        ("rdna2", gpu((32, 64), false)),
        ("rdna3", gpu((32, 64), false)),
        ("xe-lp", gpu((8, 32), true)),
        ("xe2", gpu((16, 32), true)),
        ("ada", gpu((32, 32), false)),
        ("m1", gpu((4, 64), false)),
        ("adreno740", gpu((64, 128), false)),
    ]
}

/// The shapes of `benches/`.
fn benchmarks(d: &Device) {
    let check = |t: &Tensor| t.realize().unwrap();
    let gradients = |loss: &Tensor, of: &[&Tensor]| {
        wgrad::autograd::grad(&[loss], of, false).unwrap().iter().for_each(check);
    };
    let (a, b) = (data([1024, 1024], d), data([1024, 1024], d));
    check(&a.matmul(&b));
    check(&a.t().contiguous().t().matmul(&b));
    check(&a.matmul(&b.t().contiguous().t()));
    check(&a.matmul(&b).relu());
    check(&data([32, 128, 64], d).matmul(&data([32, 64, 128], d)));
    check(&data([1, 1024], d).matmul(&b));
    check(&data([256, 256], d).matmul(&data([256, 256], d)));
    check(&data([4096, 1024], d).softmax(-1));
    check(&data([4096, 1024], d).sum());
    check(&data([4096, 1024], d).sum_dims(&[0], false));
    check(&data([4096, 1024], d).sum_dims(&[1], false));
    let e = data([1 << 20], d);
    check(&(((&e * 2.0 + 1.0).relu() * 3.0) + &e));
    let (x, w, b) = (leaf([4096, 1024], d), leaf([1024], d), leaf([1024], d));
    let y = x.layer_norm(&w, &b, 1e-5);
    gradients(&y.square().sum(), &[&x, &w, &b]);
    let part = || leaf([2, 8, 512, 64], d);
    let (q, k, v) = (part(), part(), part());
    gradients(&Tensor::scaled_dot_product_attention(&q, &k, &v, None, true).square().sum(), &[&q, &k, &v]);
    let (x, w) = (leaf([16, 64, 28, 28], d), leaf([64, 64, 3, 3], d));
    gradients(&x.conv2d(&w, None, Conv::default().padding(1)).square().sum(), &[&x, &w]);
    let logits = leaf([1024, 8192], d);
    gradients(&loss::cross_entropy(&logits, &Tensor::from_slice(&[1i32; 1024], [1024], d)), &[&logits]);
}

/// Kernels by a number and their names, each text once, with what they come from.
fn kernels(caps: &Caps) -> Vec<(String, String)> {
    let (mut seen, mut out) = (HashSet::new(), Vec::new());
    for (from, plan, modes) in
        [("bench", benchmarks as fn(&Device), &[true][..]), ("sample", plan_all as fn(&Device), &[true, false][..])]
    {
        for &fuse in modes {
            let device = Device::null(caps.clone(), fuse);
            plan(&device);
            for planned in device.planned() {
                for (name, text) in planned.kernels.iter().zip(planned.shaders) {
                    let name: String =
                        name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).take(60).collect();
                    if seen.insert(text.clone()) {
                        out.push((format!("{from}_{:04}_{name}", out.len()), text));
                    }
                }
            }
        }
    }
    out
}

/// With `WGRAD_TARGET_KERNELS` set, writes the kernels into a folder for each target there: of all targets, or of those that `WGRAD_TARGETS`
/// names.
#[test]
fn kernels_for_named_targets() {
    let folder = std::env::var_os("WGRAD_TARGET_KERNELS").map(PathBuf::from);
    // Without a folder, one target says whether the sample can be planned.
    let all = if folder.is_some() { "webgpu rdna2 rdna3 xe-lp xe2 ada m1 adreno740" } else { "rdna2" };
    let wanted = std::env::var("WGRAD_TARGETS").unwrap_or_else(|_| all.into());
    for name in wanted.split_whitespace() {
        assert!(targets().iter().any(|(target, _)| *target == name), "no target {name}");
    }
    for (target, caps) in
        targets().into_iter().filter(|(target, _)| wanted.split_whitespace().any(|name| name == *target))
    {
        let kernels = kernels(&caps);
        assert!(kernels.len() > 300, "{target}: {}", kernels.len());
        let written_out = kernels.iter().filter(|(_, text)| text.contains("const WRITTEN_OUT: u32 = 1u")).count();
        assert!(written_out > 0, "{target}");
        let Some(folder) = folder.as_ref().map(|folder| folder.join(target)) else { continue };
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in kernels {
            fs::write(folder.join(format!("{name}.wgsl")), text).unwrap();
        }
    }
}
