//! Attention and rotary position embedding: fused kernels and compositions against the CPU reference and the definition.

use wgrad::autograd::{grad, gradcheck, gradgradcheck};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::hardware;

/// Sizes of a problem.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    d: usize,
    v_size: usize,
}

const fn sizes(of: [usize; 7]) -> Sizes {
    let [batch, heads, kv_heads, queries, keys, d, v_size] = of;
    Sizes { batch, heads, kv_heads, queries, keys, d, v_size }
}

const PROBLEMS: [Sizes; 12] = [
    sizes([1, 1, 1, 1, 1, 1, 1]),
    sizes([2, 3, 3, 5, 7, 4, 4]),
    sizes([1, 4, 2, 9, 9, 6, 9]),
    sizes([2, 6, 1, 7, 3, 5, 9]),
    sizes([1, 2, 2, 70, 33, 8, 12]),
    sizes([3, 1, 1, 4, 0, 4, 4]),
    sizes([1, 2, 1, 0, 3, 4, 4]),
    sizes([0, 2, 1, 2, 3, 4, 4]),
    sizes([1, 1, 1, 300, 2, 17, 2]),
    sizes([2, 2, 2, 70, 75, 32, 32]),
    sizes([1, 4, 2, 35, 30, 32, 20]),
    sizes([1, 2, 1, 5, 6, 300, 4]),
];

/// Heads that take several parts a lane.
const WIDE: [(Sizes, Mask, bool); 5] = [
    (sizes([2, 2, 1, 35, 30, 64, 64]), Mask::None, false),
    (sizes([1, 2, 1, 35, 30, 64, 64]), Mask::Float, true),
    (sizes([1, 2, 2, 9, 21, 80, 128]), Mask::Bool, false),
    (sizes([1, 2, 2, 20, 19, 256, 40]), Mask::None, true),
    (sizes([1, 2, 2, 10, 17, 33, 256]), Mask::None, false),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mask {
    None,
    Bool,
    /// Booleans that differ by key alone, and hide all of the last batch.
    Padding,
    Float,
}

fn mask(kind: Mask, s: Sizes, device: &Device) -> Option<Tensor> {
    let full = [s.batch, s.heads, s.queries, s.keys];
    let count = full.iter().product::<usize>();
    match kind {
        Mask::None => None,
        Mask::Bool => Some(tensor(
            &Rng(9).vec(count, -0.5, 1.0).iter().map(|v| v.floor() + 1.0).collect::<Vec<_>>(),
            &full,
            DType::Bool,
            device,
        )),
        Mask::Padding => {
            let seen: Vec<f64> = (0..s.batch * s.keys)
                .map(|i| f64::from(u8::from(i / s.keys.max(1) + 1 != s.batch && i % 3 != 1)))
                .collect();
            Some(tensor(&seen, &[s.batch, 1, 1, s.keys], DType::Bool, device))
        }
        Mask::Float => {
            let bias = |i: usize| if i % 5 == 3 { f64::NEG_INFINITY } else { (i % 7) as f64 * 0.3 - 1.0 };
            Some(floats(&(0..s.queries * s.keys).map(bias).collect::<Vec<_>>(), &[s.queries, s.keys], device))
        }
    }
}

/// The result and the gradients of q, k and v.
fn run(s: Sizes, kind: Mask, causal: bool, strided: bool, composed: bool, device: &Device) -> Vec<Tensor> {
    let leaf = |seed: u64, shape: [usize; 4]| {
        let data = Rng(seed).vec(shape.iter().product(), -1.5, 1.5);
        if strided {
            // As a network has it: heads side by side in one row.
            let apart = [shape[0], shape[2], shape[1], shape[3]];
            let leaf = floats(&data, &apart, device).requires_grad();
            (leaf.clone(), leaf.transpose(1, 2))
        } else {
            let leaf = floats(&data, &shape, device).requires_grad();
            (leaf.clone(), leaf)
        }
    };
    poison(device);
    let (q_leaf, q) = leaf(1, [s.batch, s.heads, s.queries, s.d]);
    let (k_leaf, k) = leaf(2, [s.batch, s.kv_heads, s.keys, s.d]);
    let (v_leaf, v) = leaf(3, [s.batch, s.kv_heads, s.keys, s.v_size]);
    let mask = mask(kind, s, device);
    let y = match composed {
        true => q.attention_composed(&k, &v, mask.as_ref(), causal),
        false => q.scaled_dot_product_attention(&k, &v, mask.as_ref(), causal),
    };
    y.backward_with(&floats(&Rng(4).vec(y.numel(), -1.0, 1.0), y.shape(), device)).unwrap_or_else(|e| panic!("{e}"));
    let grads = [q_leaf, k_leaf, v_leaf].map(|leaf| leaf.grad().unwrap());
    std::iter::once(y).chain(grads).collect()
}

#[test]
fn every_mask_on_both_families() {
    for (n, &s) in PROBLEMS.iter().enumerate() {
        for kind in [Mask::None, Mask::Bool, Mask::Padding, Mask::Float] {
            for causal in [false, true] {
                let strided = n % 2 == 1;
                let expected = run(s, kind, causal, strided, false, cpu());
                for (family, device, composed) in
                    [("software", gpu(), false), ("fused", hardware(), false), ("composed", hardware(), true)]
                {
                    let what = format!("{s:?}, {kind:?}, causal: {causal}, {family}");
                    let found = run(s, kind, causal, strided, composed, device);
                    for (part, (a, b)) in ["y", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected)) {
                        assert_same(&format!("{what}, {part}"), a, b, 3e-6);
                    }
                }
            }
        }
    }
}

#[test]
fn wide_heads() {
    for (s, kind, causal) in WIDE {
        let expected = run(s, kind, causal, true, false, cpu());
        for device in [gpu(), hardware()] {
            let found = run(s, kind, causal, true, false, device);
            for (part, (a, b)) in ["y", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected)) {
                assert_same(&format!("{s:?}, {kind:?}, causal: {causal}, {part}"), a, b, 3e-6);
            }
        }
    }
}

/// Some drivers end loops silently after 65,535 iterations: sequences near and past the longest that one kernel walks.
#[test]
fn long_sequences() {
    for (queries, keys) in [(3, 59_998), (59_999, 5), (2, 66_001), (66_001, 3)] {
        let s = sizes([1, 1, 1, queries, keys, 4, 4]);
        let expected = run(s, Mask::None, false, false, false, cpu());
        let found = run(s, Mask::None, false, false, false, gpu());
        for (part, (a, b)) in ["y", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected)) {
            assert_same(&format!("{s:?}, {part}"), a, b, 1e-5);
        }
    }
    // Such drivers count the turns of all loops of the kernels for GPUs.
    for (queries, keys) in [(3, 9_998), (9_999, 5)] {
        let s = sizes([1, 1, 1, queries, keys, 4, 4]);
        let expected = run(s, Mask::None, false, false, false, cpu());
        let found = run(s, Mask::None, false, false, false, hardware());
        for (part, (a, b)) in ["y", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected)) {
            assert_same(&format!("{s:?}, {part}"), a, b, 1e-5);
        }
    }
}

#[test]
fn the_fused_kernels_run_where_they_should() {
    let s = sizes([1, 2, 1, 8, 8, 4, 4]);
    // A device of its own: others count what other tests run.
    let device = Device::gpu_with(true, |caps| caps.software = false).unwrap();
    let y = {
        let x = |heads: usize, seed: u64| floats(&Rng(seed).vec(heads * 32, -1.0, 1.0), &[1, heads, 8, 4], &device);
        x(s.heads, 1).scaled_dot_product_attention(&x(s.kv_heads, 2), &x(s.kv_heads, 3), None, true).transpose(1, 2)
    };
    y.realize().unwrap();
    assert_eq!(device.stats().dispatches, 1);
}

#[test]
fn known_values() {
    // Two keys with scores 0 and ln 3: weights 1/4 and 3/4.
    for device in [cpu(), gpu(), hardware()] {
        let q = floats(&[1.0], &[1, 1, 1, 1], device);
        let k = floats(&[0.0, 3f64.ln()], &[1, 1, 2, 1], device);
        let v = floats(&[4.0, 8.0, 0.0, 4.0], &[1, 1, 2, 2], device);
        assert_close("weights", &values(&q.scaled_dot_product_attention(&k, &v, None, false)), &[1.0, 5.0], 1e-6);
        let doubled = q.scaled_dot_product_attention_with_scale(&k, &v, None, false, 2.0);
        assert_close("scale 2", &values(&doubled), &[0.4, 4.4], 1e-6);
        // Causal attention aligns at the top left: the one query sees the first key.
        assert_eq!(values(&q.scaled_dot_product_attention(&k, &v, None, true)), [4.0, 8.0]);
        let nothing = tensor(&[0.0, 0.0], &[2], DType::Bool, device);
        assert_eq!(values(&q.scaled_dot_product_attention(&k, &v, Some(&nothing), false)), [0.0, 0.0]);
        // Large scores neither overflow nor drown.
        let large = q.scaled_dot_product_attention_with_scale(&k, &v, None, false, 1e30);
        assert_eq!(values(&large), [0.0, 4.0]);
    }
}

#[test]
fn other_ranks() {
    for device in [cpu(), gpu(), hardware()] {
        let data = Rng(1).vec(2 * 3 * 5 * 4, -1.0, 1.0);
        let whole = floats(&data, &[1, 6, 5, 4], device);
        let expected = whole.scaled_dot_product_attention(&whole, &whole, None, true);
        for shape in [&[6, 5, 4][..], &[2, 1, 3, 5, 4]] {
            let x = floats(&data, shape, device);
            let y = x.scaled_dot_product_attention(&x, &x, None, true);
            assert_eq!(y.shape(), shape);
            assert_same("ranks", &y.reshape([1, 6, 5, 4]), &expected, 1e-6);
        }
        let flat = floats(&data[..20], &[5, 4], device);
        assert_same(
            "matrix",
            &flat.scaled_dot_product_attention(&flat, &flat, None, true),
            &expected.select(0, 0).select(0, 0),
            1e-6,
        );
    }
}

#[test]
fn gradients_of_any_order() {
    let s = sizes([1, 4, 2, 3, 4, 3, 2]);
    for kind in [Mask::None, Mask::Bool, Mask::Padding] {
        let q = floats(&Rng(1).vec(36, -1.0, 1.0), &[1, 4, 3, 3], cpu());
        let k = floats(&Rng(2).vec(24, -1.0, 1.0), &[1, 2, 4, 3], cpu());
        let v = floats(&Rng(3).vec(16, -1.0, 1.0), &[1, 2, 4, 2], cpu());
        let f = |x: &[Tensor]| {
            let mask = mask(kind, s, x[0].device());
            x[0].scaled_dot_product_attention(&x[1], &x[2], mask.as_ref(), kind == Mask::None)
        };
        gradcheck(f, &[&q, &k, &v], 1e-6).unwrap();
        if kind != Mask::Padding {
            gradgradcheck(f, &[&q, &k, &v], 1e-5).unwrap();
        }
    }
    // A mask of floats gets a gradient too.
    let x = floats(&Rng(5).vec(12, -1.0, 1.0), &[1, 1, 4, 3], cpu());
    let bias = floats(&Rng(6).vec(16, -1.0, 1.0), &[4, 4], cpu());
    gradcheck(|x| x[0].scaled_dot_product_attention(&x[0], &x[0], Some(&x[1]), false), &[&x, &bias], 1e-6).unwrap();
}

#[test]
fn a_mask_gets_its_gradient_on_the_gpu() {
    let gradient = |device: &Device| {
        let x = floats(&Rng(5).vec(48, -1.0, 1.0), &[2, 2, 4, 3], device);
        let bias = floats(&Rng(6).vec(16, -1.0, 1.0), &[4, 4], device).requires_grad();
        let y = x.scaled_dot_product_attention(&x, &x, Some(&bias), true);
        grad(&[&y.square().sum()], &[&bias], false).unwrap().remove(0)
    };
    for device in [gpu(), hardware()] {
        assert_same("mask", &gradient(device), &gradient(cpu()), 1e-5);
    }
}

#[test]
fn half_precision() {
    let run = |device: &Device| {
        let x =
            |seed: u64| tensor(&Rng(seed).vec(2 * 6 * 8, -1.0, 1.0), &[1, 2, 6, 8], DType::F16, device).requires_grad();
        let (q, k, v) = (x(1), x(2), x(3));
        let y = q.scaled_dot_product_attention(&k, &v, None, true);
        assert_eq!(y.dtype(), DType::F16);
        y.sum().backward().unwrap();
        [values(&y), values(&q.grad().unwrap()), values(&k.grad().unwrap()), values(&v.grad().unwrap())]
    };
    let expected = run(cpu());
    for device in [gpu(), hardware()] {
        for (found, expected) in run(device).iter().zip(&expected) {
            assert_close("f16", found, expected, 2e-3);
        }
    }
}

#[test]
fn bad_operands_are_errors() {
    let x = |shape: &[usize]| Tensor::zeros(shape, cpu());
    let attend = |q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>| {
        q.scaled_dot_product_attention(k, v, mask, false).check().unwrap_err().to_string()
    };
    let q = x(&[2, 4, 5, 8]);
    let contains = |text: String, part: &str| assert!(text.contains(part), "{text}");
    contains(attend(&q, &x(&[2, 4, 5, 7]), &x(&[2, 4, 5, 8]), None), "same last dim");
    contains(attend(&q, &x(&[2, 4, 5, 8]), &x(&[2, 4, 6, 8]), None), "batch, heads and length");
    contains(attend(&q, &x(&[2, 3, 5, 8]), &x(&[2, 3, 5, 8]), None), "multiple of the heads");
    contains(attend(&q, &x(&[1, 4, 5, 8]), &x(&[1, 4, 5, 8]), None), "batch dims");
    contains(attend(&q, &x(&[4, 5, 8]), &x(&[4, 5, 8]), None), "one rank");
    contains(attend(&q, &q, &q, Some(&x(&[4, 5]))), "must broadcast");
    contains(attend(&q, &q, &q, Some(&x(&[3, 1, 1, 5, 5]))), "must broadcast");
    contains(attend(&q, &q, &q, Some(&x(&[5, 5]).to_dtype(DType::I32))), "booleans or floats");
    contains(attend(&q.to_dtype(DType::I32), &q, &q, None), "takes floats");
}

#[test]
fn rope_turns_pairs() {
    let rotate = |x: &[f64], positions: usize, d: usize, theta: f64, offset: usize| -> Vec<f64> {
        let mut y = x.to_vec();
        for row in 0..x.len() / d {
            for i in 0..d / 2 {
                let angle = (offset + row % positions) as f64 * theta.powf(-2.0 * i as f64 / d as f64);
                let (sin, cos) = angle.sin_cos();
                let (a, b) = (x[row * d + i], x[row * d + i + d / 2]);
                y[row * d + i] = a * cos - b * sin;
                y[row * d + i + d / 2] = b * cos + a * sin;
            }
        }
        y
    };
    for (shape, theta, offset) in [
        ([2usize, 3, 7, 8], 10_000.0, 0usize),
        ([1, 1, 5, 2], 100.0, 1_000_003),
        ([1, 2, 1, 6], 500_000.0, 131_071),
        ([1, 1, 3000, 4], 2.0, 5),
    ] {
        let data = Rng(3).vec(shape.iter().product(), -1.0, 1.0);
        let expected = rotate(&data, shape[2], shape[3], theta, offset);
        for device in [cpu(), gpu(), hardware()] {
            poison(device);
            let x = floats(&data, &shape, device).requires_grad();
            let y = x.rope(theta as f32, offset);
            assert_close("rope", &values(&y), &expected, 1e-6);
            // Turning there and back is nothing: the gradient of |y|²/2 is x itself.
            (y.square().sum() * 0.5).backward().unwrap();
            assert_close("gradient", &values(&x.grad().unwrap()), &data, 1e-6);
        }
    }
    // Strided operands, and a size of 0.
    let data = Rng(3).vec(2 * 5 * 3 * 4, -1.0, 1.0);
    let run = |device: &Device| floats(&data, &[2, 5, 3, 4], device).transpose(1, 2).flip(&[3]).rope(10_000.0, 2);
    assert_same("strided", &run(gpu()), &run(cpu()), 1e-6);
    assert_eq!(Tensor::zeros([2, 0, 4], gpu()).rope(10_000.0, 0).shape(), [2, 0, 4]);
    let x = floats(&Rng(1).vec(12, -1.0, 1.0), &[1, 3, 4], cpu());
    gradcheck(|x| x[0].rope(100.0, 3), &[&x], 1e-7).unwrap();
    gradgradcheck(|x| x[0].rope(100.0, 3).square(), &[&x], 1e-6).unwrap();
}

/// Offsets that a tensor holds, each sequence its own, far and negative ones among them; and their gradient.
#[test]
fn rope_takes_its_offset_from_a_tensor() {
    let shape = [3, 2, 5, 6];
    let data = Rng(4).vec(shape.iter().product(), -1.0, 1.0);
    let starts = [3usize, 70_001, 1_000_000_007];
    for device in [cpu(), gpu(), hardware()] {
        poison(device);
        let x = floats(&data, &shape, device).requires_grad();
        let offsets = Tensor::from_slice(&starts, [3, 1], device);
        let y = x.rope(10_000.0, &offsets);
        (&y * &y * &y).sum().backward().unwrap();
        for (i, &start) in starts.iter().enumerate() {
            let alone = floats(&data, &shape, device).get(i).requires_grad();
            let expected = alone.rope(10_000.0, start);
            assert_close("rope", &values(&y.get(i)), &values(&expected), 1e-6);
            (&expected * &expected * &expected).sum().backward().unwrap();
            assert_close("gradient", &values(&x.grad().unwrap().get(i)), &values(&alone.grad().unwrap()), 1e-5);
        }
        // One for all, of any shape; before the first position the angle is negative.
        let x = floats(&data, &shape, device);
        for one in [Tensor::from_slice(&[3u32], (), device), Tensor::from_slice(&[3i32], [1, 1, 1, 1, 1], device)] {
            assert_close("one", &values(&x.rope(10_000.0, &one)), &values(&x.rope(10_000.0, 3)), 1e-6);
        }
        let back = x.rope(50.0, &Tensor::from_slice(&[-4i32], [1], device)).narrow(2, 4, 1);
        assert_close("before", &values(&back), &values(&x.narrow(2, 4, 1)), 1e-6);
    }
    let x = floats(&Rng(1).vec(12, -1.0, 1.0), &[1, 3, 4], cpu());
    let turned = |x: &Tensor| x.rope(100.0, &Tensor::from_slice(&[2i32], [1], x.device()));
    gradcheck(|x| turned(&x[0]), &[&x], 1e-7).unwrap();
    gradgradcheck(|x| turned(&x[0]).square(), &[&x], 1e-6).unwrap();
}

/// A decoding step with a cache of keys is captured once and right at every position.
#[test]
fn rope_in_a_captured_step_needs_no_other_recording() {
    for device in [cpu(), gpu()] {
        let (positions, size) = (6, 4);
        let tokens = floats(&Rng(8).vec(positions * size, -1.0, 1.0), &[1, positions, size], device);
        let (place, cache) = (Tensor::zeros_as([1], DType::I32, device), tokens.zeros_like());
        let range = Tensor::arange_as(0, positions as i32, 1, DType::I32, device);
        let step = wgrad::capture(device, |token| {
            let turned = token[0].rope(100.0, &place);
            cache.assign(&cache.index_copy(1, &place, &turned));
            let seen = range.le(&place).unsqueeze(0);
            let y = turned.scaled_dot_product_attention(&cache, &cache, Some(&seen), false);
            place.assign(&(&place + 1));
            vec![y]
        })
        .unwrap();
        let whole = tokens.rope(100.0, 0);
        let expected = whole.scaled_dot_product_attention(&whole, &whole, None, true);
        for p in 0..positions {
            let y = step.run(&[tokens.narrow(1, p, 1)]).unwrap().remove(0);
            assert_close("token", &values(&y), &values(&expected.narrow(1, p, 1)), 1e-5);
        }
        assert_eq!(step.variants(), 1);
    }
}

#[test]
fn bad_rope_is_an_error() {
    let fault = |x: Tensor, theta: f32| x.rope(theta, 0).check().unwrap_err().to_string();
    assert!(fault(Tensor::zeros([2, 3], cpu()), 10.0).contains("even d"));
    assert!(fault(Tensor::zeros([4], cpu()), 10.0).contains("even d"));
    assert!(fault(Tensor::zeros([2, 4], cpu()), -1.0).contains("theta must be positive"));
    assert!(fault(Tensor::zeros([70_000, 2], cpu()), 10.0).contains("at most 65536"));
    assert!(fault(Tensor::zeros([2, 2], cpu()).to_dtype(DType::I32), 10.0).contains("floats"));
}

/// The kernels for wide heads in f16, and gradients of one operand at a time.
#[test]
fn wide_heads_in_half_precision_and_alone() {
    for (heads, kv_heads, size) in [(2, 1, 64), (1, 1, 150)] {
        let run = |device: &Device, needs: usize| {
            let x = |i: usize, heads: usize| {
                let x =
                    tensor(&Rng(i as u64).vec(heads * 9 * size, -1.0, 1.0), &[1, heads, 9, size], DType::F16, device);
                if needs == i || needs == 3 { x.requires_grad() } else { x }
            };
            let all = [x(0, heads), x(1, kv_heads), x(2, kv_heads)];
            let y = all[0].scaled_dot_product_attention(&all[1], &all[2], None, true);
            y.square().sum().backward().unwrap();
            let mut found = vec![values(&y)];
            found.extend(all.iter().filter_map(|x| x.grad()).map(|g| values(&g)));
            found
        };
        for needs in 0..4 {
            let expected = run(cpu(), needs);
            assert_eq!(expected.len(), if needs == 3 { 4 } else { 2 });
            for device in [gpu(), hardware()] {
                for (found, expected) in run(device, needs).iter().zip(&expected) {
                    assert_close(&format!("heads of {size}, gradient {needs}"), found, expected, 4e-3);
                }
            }
        }
    }
}
