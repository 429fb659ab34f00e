//! Attention by the kernels for GPUs, at random sizes and layouts, against the CPU reference by the relative error in a norm.

use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::{hardware, plain};

/// Sequence lengths and sizes of heads around what a tile and a block hold.
const LENGTHS: [usize; 14] = [0, 1, 2, 5, 15, 31, 32, 33, 63, 64, 65, 97, 128, 131];
const HEADS: [usize; 16] = [1, 3, 4, 8, 17, 30, 32, 36, 64, 65, 68, 96, 128, 132, 200, 256];

/// How the operands of a problem lie in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    InOrder,
    /// Heads side by side in one row, as a network has them.
    SideBySide,
    /// The last dim walked backwards.
    Backwards,
    /// Cut out of rows that are one element longer.
    Cut,
}

/// A leaf of small random numbers, and the operand as a view of it.
fn operand(rng: &mut Rng, shape: [usize; 4], lies: Lies, dtype: DType, device: &Device) -> (Tensor, Tensor) {
    let [b, heads, seq, size] = shape;
    let of = match lies {
        Lies::InOrder | Lies::Backwards => shape,
        Lies::SideBySide => [b, seq, heads, size],
        Lies::Cut => [b, heads, seq, size + 1],
    };
    let leaf = tensor(&rng.vec(of.iter().product(), -1.0, 1.0), &of, dtype, device).requires_grad();
    let view = match lies {
        Lies::InOrder => leaf.clone(),
        Lies::SideBySide => leaf.transpose(1, 2),
        Lies::Backwards => leaf.flip(&[3]),
        Lies::Cut => leaf.narrow(3, 1, size),
    };
    (leaf, view)
}

/// A random mask that hides whole tiles, and rows: none, booleans or floats.
fn mask(rng: &mut Rng, kind: usize, shape: [usize; 4], dtype: DType, device: &Device) -> Option<Tensor> {
    let [b, heads, queries, keys] = shape;
    let band = 20 + rng.below(60);
    let batches = if rng.below(2) == 0 { 1 } else { b };
    let of = [batches, if rng.below(2) == 0 { 1 } else { heads }, queries, keys];
    let hides = |rng: &mut Rng, i: usize| {
        let (query, key) = (i / keys.max(1) % queries.max(1), i % keys.max(1));
        query.abs_diff(key) > band || query % 11 == 3 || rng.below(4) == 0
    };
    let count = of.iter().product();
    let hidden: Vec<bool> = (0..count).map(|i| hides(rng, i)).collect();
    match kind {
        0 => None,
        1 => {
            let seen: Vec<f64> = hidden.iter().map(|&hides| f64::from(u8::from(!hides))).collect();
            Some(tensor(&seen, &of, DType::Bool, device))
        }
        _ => {
            let bias = rng.vec(count, -1.0, 1.0);
            let bias: Vec<f64> =
                hidden.iter().zip(bias).map(|(&hides, b)| if hides { f64::NEG_INFINITY } else { b }).collect();
            Some(tensor(&bias, &of, dtype, device))
        }
    }
}

/// The relative error of `found` in the norm. Where the expected values cancel out to nothing (the gradients of scores with one
/// key), the root mean square of the error, as a part of the root mean square of `terms` products of numbers in [-1, 1].
fn relative_error(found: &[f64], expected: &[f64], terms: usize) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&mut found.iter().zip(expected).map(|(f, e)| f - e));
    let (size, count) = (norm(&mut expected.iter().copied()), (expected.len() as f64).sqrt());
    if error == 0.0 {
        0.0
    } else {
        error / if size > 1e-6 * count { size } else { count * (terms as f64 / 9.0).sqrt().max(1.0) }
    }
}

/// The result and the gradients of the leaves of q, k and v, with what was drawn and how many products a gradient sums.
fn run(seed: u64, dtype: DType, device: &Device) -> (String, usize, Vec<Vec<f64>>) {
    let mut rng = Rng(seed);
    let length = |rng: &mut Rng| LENGTHS[rng.below(LENGTHS.len())];
    let size = |rng: &mut Rng| HEADS[rng.below(HEADS.len())];
    let (b, kv_heads, group) = (1 + rng.below(2), 1 + rng.below(2), 1 + rng.below(3));
    let (queries, keys, d, v_size) = (length(&mut rng), length(&mut rng), size(&mut rng), size(&mut rng));
    let v_size = if rng.below(2) == 0 { d } else { v_size };
    let causal = rng.below(2) == 0;
    let lies = [Lies::InOrder, Lies::SideBySide, Lies::Backwards, Lies::Cut][rng.below(4)];
    let kind = rng.below(3);
    let heads = kv_heads * group;
    let what = format!(
        "seed {seed}: {b}x{heads}/{kv_heads}, {queries} queries, {keys} keys, {d} and {v_size}, mask {kind}, causal {causal}, {lies:?}"
    );
    poison(device);
    let (q_leaf, q) = operand(&mut rng, [b, heads, queries, d], lies, dtype, device);
    let (k_leaf, k) = operand(&mut rng, [b, kv_heads, keys, d], lies, dtype, device);
    let (v_leaf, v) = operand(&mut rng, [b, kv_heads, keys, v_size], lies, dtype, device);
    let mask = mask(&mut rng, kind, [b, heads, queries, keys], dtype, device);
    let y = q.scaled_dot_product_attention(&k, &v, mask.as_ref(), causal);
    y.backward_with(&tensor(&rng.vec(y.numel(), -1.0, 1.0), y.shape(), dtype, device)).unwrap();
    let grads = [q_leaf, k_leaf, v_leaf].map(|leaf| values(&leaf.grad().unwrap()));
    (what, group * queries * v_size, std::iter::once(values(&y)).chain(grads).collect())
}

fn compare(seeds: std::ops::Range<u64>, dtype: DType, device: &Device, tolerance: f64) {
    for seed in seeds {
        let (what, terms, expected) = run(seed, dtype, cpu());
        let (_, _, found) = run(seed, dtype, device);
        for (part, (found, expected)) in ["y", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found.len(), expected.len(), "{what}, {part}");
            let error = relative_error(found, expected, terms);
            assert!(error < tolerance, "{what}, {part}: {error:e}");
        }
    }
}

#[test]
fn random_problems() {
    compare(0..60, DType::F32, hardware(), 2e-6);
}

#[test]
fn random_problems_in_half_precision() {
    // Half a step of 16-bit floats is 2⁻¹¹ of a number; operands of the gradients are rounded as well.
    compare(100..130, DType::F16, hardware(), 1.5e-3);
}

/// Software adapters without subgroups run the same kernels where scores would take much memory.
#[test]
fn many_scores_on_a_plain_adapter() {
    let run = |device: &Device| {
        let x =
            |seed: u64, seq: usize| floats(&Rng(seed).vec(seq * 4, -1.0, 1.0), &[1, 1, seq, 4], device).requires_grad();
        let (q, k, v) = (x(1, 4000), x(2, 4300), x(3, 4300));
        let y = q.scaled_dot_product_attention(&k, &v, None, true);
        y.sum().backward().unwrap();
        [values(&y), values(&q.grad().unwrap()), values(&k.grad().unwrap()), values(&v.grad().unwrap())]
    };
    // The other kernels, which are tested against the CPU reference.
    for (found, expected) in run(plain()).iter().zip(&run(gpu())) {
        let error = relative_error(found, expected, terms);
        assert!(error < 1e-5, "{error:e}");
    }
}

/// Scores far apart, and equal ones that are large: the largest score changes from tile to tile.
#[test]
fn scores_that_grow() {
    let run = |device: &Device| {
        let (queries, keys, d) = (40, 150, 8);
        let q = floats(&vec![3.0; queries * d], &[1, 1, queries, d], device).requires_grad();
        let rising: Vec<f64> = (0..keys * d).map(|i| (i / d) as f64 * 0.25).collect();
        let k = floats(&rising, &[1, 1, keys, d], device).requires_grad();
        let v = floats(&Rng(3).vec(keys * d, -1.0, 1.0), &[1, 1, keys, d], device).requires_grad();
        let y = q.scaled_dot_product_attention(&k, &v, None, true);
        y.square().sum().backward().unwrap();
        [values(&y), values(&q.grad().unwrap()), values(&k.grad().unwrap()), values(&v.grad().unwrap())]
    };
    for (found, expected) in run(hardware()).iter().zip(&run(cpu())) {
        let error = relative_error(found, expected, terms);
        assert!(error < 2e-5, "{error:e}");
    }
}

/// Tiles that a mask hides wholly are not computed: values that are not finite do not spread from there.
#[test]
fn hidden_tiles_are_skipped() {
    let (seq, d, seen) = (256, 16, 64);
    for wide in [false, true] {
        let d = if wide { d * 8 } else { d };
        let mut data = Rng(1).vec(seq * d, -1.0, 1.0);
        let finite = floats(&data[..seen * d], &[1, 1, seen, d], cpu());
        data[2 * seen * d..].fill(f64::INFINITY);
        let x = floats(&data, &[1, 1, seq, d], hardware());
        let q = x.narrow(2, 0, seen);
        let visible: Vec<f64> = (0..seq).map(|key| f64::from(u8::from(key < seen))).collect();
        let mask = tensor(&visible, &[seq], DType::Bool, hardware());
        let y = q.scaled_dot_product_attention(&x, &x, Some(&mask), false);
        let expected = finite.scaled_dot_product_attention(&finite, &finite, None, false);
        assert_same("skipped", &y, &expected, 3e-6);
        // Causal: tiles behind the last query of a tile.
        let causal = q.scaled_dot_product_attention(&x, &x, None, true);
        let expected = finite.scaled_dot_product_attention(&finite, &finite, None, true);
        assert_same("causal", &causal, &expected, 3e-6);
    }
}

/// Kernels without atomics in their sums give the same bits each time.
#[test]
fn the_same_bits_each_time() {
    for seed in [3, 7] {
        let (_, first) = run(seed, DType::F32, hardware());
        let (_, again) = run(seed, DType::F32, hardware());
        let bits = |all: &[Vec<f64>]| all.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&first), bits(&again));
    }
}
