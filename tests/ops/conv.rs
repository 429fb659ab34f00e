//! Convolutions and transposed ones against the CPU reference in f64, forward and backward, over every kind of geometry and way in
//! which operands lie in memory; long sums, large grids, derivatives, errors.

use wgrad::autograd::{grad, gradcheck, gradgradcheck};
use wgrad::{Conv, ConvTranspose, DType, Device, Tensor};

use crate::common::*;
use crate::inputs::{hardware, plain};

const TOLERANCE: f64 = 1e-5;

/// A convolution; a transposed one where there is an `output_padding`.
#[derive(Clone, Copy)]
struct Case {
    x: &'static [usize],
    w: &'static [usize],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
    groups: usize,
    output_padding: Option<[usize; 3]>,
}

/// The plainest options; the cases change what they are about.
const PLAIN: Case =
    Case { x: &[], w: &[], stride: [1; 3], padding: [0; 3], dilation: [1; 3], groups: 1, output_padding: None };

/// Channels in blocks of 1, 2 and 4 with and without a rest; odd sizes; every option, alone and together.
const CASES: &[Case] = &[
    Case { x: &[2, 3, 9], w: &[5, 3, 3], ..PLAIN },
    Case {
        x: &[3, 4, 17],
        w: &[6, 2, 4],
        stride: [2, 0, 0],
        padding: [3, 0, 0],
        dilation: [2, 0, 0],
        groups: 2,
        ..PLAIN
    },
    Case { x: &[1, 1, 1], w: &[1, 1, 1], ..PLAIN },
    Case { x: &[4, 7], w: &[2, 4, 3], padding: [1, 0, 0], ..PLAIN },
    Case { x: &[2, 5, 7, 6], w: &[7, 5, 3, 2], padding: [1, 2, 0], ..PLAIN },
    Case { x: &[2, 4, 8, 9], w: &[8, 1, 3, 3], stride: [2, 1, 0], padding: [1, 1, 0], groups: 4, ..PLAIN },
    Case { x: &[1, 6, 9, 9], w: &[6, 1, 3, 3], padding: [1, 1, 0], groups: 6, ..PLAIN },
    Case { x: &[5, 3, 5, 5], w: &[2, 3, 5, 5], ..PLAIN },
    Case { x: &[9, 3, 6, 5], w: &[4, 3, 1, 1], stride: [3, 2, 0], ..PLAIN },
    Case {
        x: &[2, 2, 5, 4, 6],
        w: &[3, 2, 2, 3, 2],
        stride: [2, 1, 1],
        padding: [1, 1, 0],
        dilation: [1, 1, 2],
        ..PLAIN
    },
    Case { x: &[3, 5, 7], w: &[5, 2, 4], stride: [3, 0, 0], output_padding: Some([0; 3]), padding: [2, 0, 0], ..PLAIN },
    Case { x: &[2, 4, 7], w: &[4, 3, 3], dilation: [3, 0, 0], output_padding: Some([2; 3]), groups: 2, ..PLAIN },
    Case {
        x: &[2, 3, 4, 5],
        w: &[3, 5, 3, 3],
        stride: [2, 1, 0],
        padding: [1, 0, 0],
        output_padding: Some([1, 0, 0]),
        ..PLAIN
    },
    Case { x: &[4, 3, 3], w: &[4, 1, 2, 2], stride: [2, 2, 0], output_padding: Some([0; 3]), groups: 4, ..PLAIN },
    Case { x: &[1, 2, 3, 2, 3], w: &[2, 2, 2, 2, 3], stride: [1, 2, 1], output_padding: Some([0, 1, 0]), ..PLAIN },
];

fn conv(case: &Case, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let dims = w.rank() - 2;
    let [stride, padding, dilation] =
        [case.stride, case.padding, case.dilation].map(|values| wgrad::PerDim::from(&values[..dims]));
    if let Some(extra) = case.output_padding {
        let options =
            ConvTranspose { stride, padding, output_padding: extra[..dims].into(), dilation, groups: case.groups };
        return match dims {
            1 => x.conv_transpose1d(w, bias, options),
            2 => x.conv_transpose2d(w, bias, options),
            _ => x.conv_transpose3d(w, bias, options),
        };
    }
    let options = Conv { stride, padding: padding.into(), dilation, groups: case.groups };
    match dims {
        1 => x.conv1d(w, bias, options),
        2 => x.conv2d(w, bias, options),
        _ => x.conv3d(w, bias, options),
    }
}

/// Channels of the result.
fn channels(case: &Case) -> usize {
    if case.output_padding.is_some() { case.w[1] * case.groups } else { case.w[0] }
}

/// A tensor of `shape` that lies in memory in one of five ways, behind a leaf.
fn operand(way: usize, shape: &[usize], seed: u64, device: &Device) -> (Tensor, Tensor) {
    let mut stored = shape.to_vec();
    let last = shape.len() - 1;
    match way % 5 {
        1 => stored.reverse(),
        3 => stored[0] = 1,
        4 => stored[last] = 2 * shape[last] + 1,
        _ => {}
    }
    let leaf = floats(&Rng(seed).vec(stored.iter().product(), -1.0, 1.0), &stored, device).requires_grad();
    let order: Vec<isize> = (0..shape.len() as isize).collect();
    let view = match way % 5 {
        0 => leaf.clone(),
        1 => leaf.permute(&order.iter().rev().copied().collect::<Vec<_>>()),
        2 => leaf.flip(&order),
        3 => leaf.expand(shape),
        _ => leaf.slice_step(-1, 1..2 * shape[last] + 1, 2),
    };
    (leaf, view)
}

/// What a convolution gives: the result, and the gradients of the leaves.
const PARTS: [&str; 4] = ["y", "dx", "dw", "db"];

/// The parts that are asked for.
fn run(case: &Case, ways: [usize; 3], parts: &[&str], seed: u64, device: &Device) -> Vec<Vec<f64>> {
    poison(device);
    let shapes = [case.x, case.w, &[channels(case)]];
    let operands: Vec<(Tensor, Tensor)> =
        (0..3).map(|k| operand(ways[k], shapes[k], seed + k as u64, device)).collect();
    let view = |k: usize| match parts.contains(&PARTS[k + 1]) {
        true => operands[k].1.clone(),
        false => operands[k].1.detach(),
    };
    let y = conv(case, &view(0), &view(1), Some(&view(2)));
    y.check().unwrap_or_else(|error| panic!("{error}"));
    if parts != ["y"] {
        let dy = operand(ways[2] + 1, y.shape(), seed + 3, device).1.detach();
        y.backward_with(&dy).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut found = Vec::new();
    if parts.contains(&"y") {
        found.push(values(&y));
    }
    // What nobody holds is not computed.
    drop(y);
    found.extend(operands.iter().filter_map(|(leaf, _)| leaf.grad()).map(|g| values(&g)));
    found
}

fn compare(what: &str, case: &Case, ways: [usize; 3], parts: &[&str], seed: u64) {
    let expected = run(case, ways, parts, seed, cpu());
    for (family, device) in [("software", gpu()), ("hardware", hardware()), ("without subgroups", plain())] {
        let found = run(case, ways, parts, seed, device);
        assert!(found.len() == parts.len() && expected.len() == parts.len());
        for (part, (found, expected)) in parts.iter().zip(found.iter().zip(&expected)) {
            let what = format!("{what}, x {:?}, w {:?}, ways {ways:?}, {part}, {family}", case.x, case.w);
            assert_close(&what, found, expected, TOLERANCE);
        }
    }
}

#[test]
fn convolutions_match_the_reference() {
    for (i, case) in CASES.iter().enumerate() {
        for seed in 0..3u64 {
            let way = |k: usize| i + seed as usize * (k + 1) + k;
            compare("convolution", case, [way(0), way(1), way(2)], &PARTS, 100 * i as u64 + 10 * seed);
        }
    }
}

/// More rows than a tile, channels that fill lines and that do not, images whose positions are and are not a multiple of four, products
/// with few columns, and in f16.
#[test]
fn tiles_of_every_size() {
    for (i, (x, w, stride)) in [
        ([2usize, 8, 6, 6], [40usize, 8, 3, 3], 1usize),
        ([3, 5, 7, 5], [33, 5, 2, 3], 2),
        ([1, 1, 28, 28], [16, 1, 3, 3], 1),
        ([5, 2, 9, 8], [4, 2, 1, 5], 1),
        ([2, 17, 4, 4], [12, 17, 3, 3], 3),
    ]
    .into_iter()
    .enumerate()
    {
        for (seed, dtype) in [(1, DType::F32), (2, DType::F32), (3, DType::F16)] {
            let run = |device: &Device| {
                poison(device);
                let leaf = |shape: &[usize], salt: u64| {
                    let values = Rng(1000 * seed + 10 * i as u64 + salt).vec(shape.iter().product(), -1.0, 1.0);
                    tensor(&values, shape, dtype, device).requires_grad()
                };
                let (x, w) = (leaf(&x, 0), leaf(&w, 1));
                let options = Conv { stride: stride.into(), padding: 1.into(), ..Conv::default() };
                let y = x.conv2d(&w, None, options);
                let dy = leaf(y.shape(), 2).detach();
                let gradients = grad(&[&(&y * &dy).sum()], &[&x, &w], false).unwrap_or_else(|e| panic!("{e}"));
                [values(&y), values(&gradients[0]), values(&gradients[1])]
            };
            let expected = run(cpu());
            for device in [gpu(), hardware(), plain()] {
                for (part, (found, expected)) in PARTS.iter().zip(run(device).iter().zip(&expected)) {
                    let tolerance = if dtype == DType::F16 { 2e-3 } else { TOLERANCE };
                    assert_close(&format!("{part} of {x:?} by {w:?}, {dtype:?}"), found, expected, tolerance);
                }
            }
        }
    }
}

/// Many channels a group: tiles of workgroups on GPUs, full ones and not, for each group, with every option, and with sums that are cut.
#[test]
fn many_channels_a_group() {
    const CASES: &[Case] = &[
        Case { x: &[2, 32, 7, 9], w: &[40, 16, 3, 3], padding: [1, 1, 0], groups: 2, ..PLAIN },
        Case { x: &[2, 32, 6, 8], w: &[84, 16, 3, 3], padding: [1, 1, 0], groups: 2, ..PLAIN },
        Case { x: &[3, 17, 9, 8], w: &[20, 17, 2, 3], stride: [2, 3, 0], padding: [1, 2, 0], ..PLAIN },
        Case { x: &[1, 70, 6, 6], w: &[33, 70, 3, 4], dilation: [2, 1, 0], ..PLAIN },
        Case { x: &[40, 16, 4, 5], w: &[16, 16, 1, 1], ..PLAIN },
        Case { x: &[3, 16, 8, 8], w: &[20, 16, 1, 1], ..PLAIN },
        Case { x: &[2, 34, 9, 11], w: &[40, 17, 1, 1], groups: 2, ..PLAIN },
        Case { x: &[5, 24, 30], w: &[72, 8, 5], stride: [2, 0, 0], padding: [2, 0, 0], groups: 3, ..PLAIN },
        Case { x: &[2, 18, 4, 3, 5], w: &[130, 18, 2, 2, 2], padding: [1, 0, 1], dilation: [1, 2, 1], ..PLAIN },
        Case {
            x: &[2, 40, 5, 4],
            w: &[40, 16, 3, 2],
            stride: [2, 1, 0],
            padding: [1, 0, 0],
            output_padding: Some([1, 0, 0]),
            groups: 2,
            ..PLAIN
        },
    ];
    for (i, case) in CASES.iter().enumerate() {
        for seed in 0..2u64 {
            let way = |k: usize| i + seed as usize * (k + 1) + k;
            compare("many channels", case, [way(0), way(1), way(2)], &PARTS, 8000 + 100 * i as u64 + 10 * seed);
        }
    }
}

/// Few channels a group, as in depthwise convolutions: columns of eight outputs, inputs and taps, full ones and not, along the height and
/// along the width, and with options that leave them to the kernels for any convolution.
#[test]
fn few_channels_a_group() {
    const CASES: &[Case] = &[
        Case { x: &[2, 5, 17, 9], w: &[5, 1, 3, 3], padding: [1, 1, 0], groups: 5, ..PLAIN },
        Case { x: &[3, 4, 16, 7], w: &[12, 1, 5, 4], stride: [2, 2, 0], padding: [2, 1, 0], groups: 4, ..PLAIN },
        Case { x: &[1, 6, 23, 5], w: &[4, 3, 4, 2], stride: [3, 1, 0], padding: [1, 0, 0], groups: 2, ..PLAIN },
        Case { x: &[2, 3, 24, 6], w: &[3, 1, 11, 3], stride: [1, 3, 0], padding: [5, 4, 0], groups: 3, ..PLAIN },
        Case { x: &[2, 3, 2, 31], w: &[6, 1, 2, 9], stride: [1, 2, 0], padding: [0, 4, 0], groups: 3, ..PLAIN },
        Case { x: &[4, 3, 40], w: &[3, 1, 7], padding: [3, 0, 0], groups: 3, ..PLAIN },
        Case { x: &[2, 2, 29], w: &[4, 1, 10], stride: [9, 0, 0], padding: [9, 0, 0], groups: 2, ..PLAIN },
        Case { x: &[2, 2, 20, 8], w: &[2, 1, 3, 3], dilation: [1, 3, 0], padding: [0, 2, 0], groups: 2, ..PLAIN },
        Case { x: &[2, 2, 20, 8], w: &[2, 1, 3, 3], dilation: [3, 1, 0], padding: [2, 0, 0], groups: 2, ..PLAIN },
        Case {
            x: &[2, 3, 4, 18, 5],
            w: &[6, 1, 2, 3, 2],
            stride: [2, 2, 1],
            padding: [1, 2, 1],
            dilation: [2, 1, 2],
            groups: 3,
            ..PLAIN
        },
        Case {
            x: &[2, 4, 9, 6],
            w: &[4, 2, 4, 3],
            stride: [3, 2, 0],
            padding: [1, 1, 0],
            output_padding: Some([2, 1, 0]),
            groups: 4,
            ..PLAIN
        },
        Case { x: &[1, 3, 64, 65], w: &[1, 3, 5, 5], padding: [2, 2, 0], ..PLAIN },
        Case { x: &[9, 2, 60, 40], w: &[2, 1, 1, 1], groups: 2, ..PLAIN },
    ];
    for (i, case) in CASES.iter().enumerate() {
        for seed in 0..2u64 {
            let way = |k: usize| i + seed as usize * (k + 1) + k;
            compare("few channels", case, [way(0), way(1), way(2)], &PARTS, 5000 + 100 * i as u64 + 10 * seed);
        }
    }
}

/// `−5 … 5` in an order without symmetry, as the values below were made with PyTorch 2.
fn sequence(shape: &[usize], device: &Device) -> Tensor {
    let at = |i: usize| ((i * 7 + 3) % 11) as f64 - 5.0;
    floats(&(0..shape.iter().product()).map(at).collect::<Vec<_>>(), shape, device).requires_grad()
}

fn exact(name: &str, case: &Case, bias: usize, expected: [&[i32]; 4]) {
    for device in [cpu(), gpu(), hardware()] {
        let (x, w, bias) = (sequence(case.x, device), sequence(case.w, device), sequence(&[bias], device));
        let y = conv(case, &x, &w, Some(&bias));
        let dy: Vec<f64> = (0..y.numel()).map(|i| ((i * 5 + 2) % 7) as f64 - 3.0).collect();
        y.backward_with(&floats(&dy, y.shape(), device)).unwrap();
        let found = [y, x.grad().unwrap(), w.grad().unwrap(), bias.grad().unwrap()];
        for (found, expected) in found.iter().zip(expected) {
            let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
            assert_eq!(values(found), expected, "{name} on {:?}", device.info());
        }
    }
}

#[test]
fn convolution_is_pytorchs() {
    let case = Case {
        x: &[1, 2, 4, 5],
        w: &[4, 1, 2, 3],
        stride: [2, 1, 0],
        padding: [1, 2, 0],
        dilation: [1, 2, 0],
        groups: 2,
        ..PLAIN
    };
    #[rustfmt::skip]
    let expected: [&[i32]; 4] = [
        &[-10, 18, 8, -29, 11, 9, -31, 22, 11, -60, 14, 1, -31, 13, 1, -1, 21, 9, -26, 8, -4, -12, 25, 30, -53, 21, 2, -22, 14, 18,
          9, -19, -23, 9, -7, -10, 25, -47, -3, 12, -10, -2, 22, -14, 17, -3, 18, -4, -9, -9, 12, 13, -8, 7, -12, -24, 0, 16, -12, 13],
        &[-16, 2, 5, -8, -2, 32, 0, -16, -7, 12, 32, 1, -18, -6, 14, -16, 1, 34, -3, -12, -2, 18, -12, -12, 25, 12, -11, 19, 1, -11,
          14, -8, -13, 26, -14, -12, -7, -2, -3, 20],
        &[34, -22, 4, 8, -29, 35, 8, -19, 35, -17, 25, 4, 10, -27, 34, 8, 20, 8, -17, 26, 8, 5, 6, -17],
        &[-1, -3, 2, 0],
    ];
    exact("conv2d", &case, 4, expected);
}

#[test]
fn transposed_convolution_is_pytorchs() {
    let case = Case {
        x: &[1, 4, 2, 3],
        w: &[4, 1, 2, 3],
        stride: [3, 1, 0],
        padding: [1, 2, 0],
        output_padding: Some([2, 1, 0]),
        dilation: [1, 2, 0],
        groups: 2,
    };
    #[rustfmt::skip]
    let expected: [&[i32]; 4] = [
        &[-16, 24, 8, -8, -2, -2, -2, -2, -24, 24, -6, 0, -14, 18, 4, -6, -2, -2, -2, -2, -23, 7, 10, -4, 5, 5, 5, 5, 2, 7, -26, 15,
          -5, 9, -11, -5, 5, 5, 5, 5],
        &[-4, -12, 11, -3, 12, -7, -6, -6, 9, -1, 16, -5, 12, -8, 4, -11, 1, -11, -17, 12, 8, 0, -8, -11],
        &[0, 17, -8, -1, -16, -13, 6, 19, -4, -5, -18, -9, 4, -12, 8, 5, 1, -9, -5, 14, 4, -15, 14, -7],
        &[-1, -3],
    ];
    exact("conv_transpose2d", &case, 2, expected);
}

/// Sums of more terms than a loop of an invocation may turn: over channels, taps, the batch, positions. They are cut into slots
/// where there is little work, and into rounds where there is much.
#[test]
fn long_sums() {
    let cases: [(&str, &[&str], Case); 8] = [
        ("channels", &PARTS, Case { x: &[1, 8000, 4, 3], w: &[3, 8000, 3, 3], padding: [1, 0, 0], ..PLAIN }),
        ("taps", &PARTS, Case { x: &[1, 1, 3], w: &[1, 1, 70_001], padding: [35_000, 0, 0], ..PLAIN }),
        ("rounds of channels", &["y"], Case { x: &[1, 6600, 520], w: &[4, 6600, 1], ..PLAIN }),
        ("batch", &PARTS, Case { x: &[70_001, 1, 2], w: &[2, 1, 2], ..PLAIN }),
        ("positions", &PARTS, Case { x: &[1, 2, 300, 301], w: &[3, 2, 2, 1], ..PLAIN }),
        ("rounds of positions", &["dw"], Case { x: &[1, 520, 6600], w: &[4, 520, 1], ..PLAIN }),
        ("rounds of output channels", &["dx"], Case { x: &[1, 4, 520], w: &[6600, 4, 1], ..PLAIN }),
        (
            "transposed",
            &PARTS,
            Case { x: &[1, 8000, 2, 2], w: &[8000, 2, 3, 3], output_padding: Some([0; 3]), ..PLAIN },
        ),
    ];
    for (name, parts, case) in cases {
        compare(name, &case, [0; 3], parts, 7);
    }
}

/// More workgroups than a dimension of the grid takes. With one channel a group and one tap, the convolution and its gradients are
/// elementwise products, with which they are compared where they lie.
#[test]
fn large_grids() {
    let n = (65_535 + 9) * 64;
    let compute = |device: &Device| -> wgrad::Result<()> {
        let ramp = |low: f32| (Tensor::arange(0.0, n as f32, 1.0, device) * 1e-6 + low).detach();
        let (x, w) = (ramp(-2.0).requires_grad(), ramp(0.5).requires_grad());
        let dy = ramp(-1.5);
        let y = x.reshape([n, 1]).conv1d(&w.reshape([n, 1, 1]), None, Conv::default().groups(n)).reshape([n]);
        y.backward_with(&dy)?;
        for (found, expected) in [(&y, &x * &w), (&x.grad().unwrap(), &dy * &w), (&w.grad().unwrap(), &dy * &x)] {
            assert_eq!(found.ne(&expected).to_dtype(DType::I32).sum().item::<i32>()?, 0);
            assert_eq!(values(&found.slice(0, n - 2..n)), values(&expected.slice(0, n - 2..n)));
        }
        Ok(())
    };
    // At this size both families run the same kernels.
    compute(gpu()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn nothing_and_little() {
    for device in [cpu(), gpu(), hardware()] {
        poison(device);
        let leaf = |shape: &[usize]| floats(&vec![1.5; shape.iter().product()], shape, device).requires_grad();
        // No batch: an empty result, and gradients of zero.
        let (x, w, bias) = (leaf(&[0, 3, 5, 5]), leaf(&[4, 3, 3, 3]), leaf(&[4]));
        let y = x.conv2d(&w, Some(&bias), Conv::default());
        assert_eq!(y.shape(), [0, 4, 3, 3]);
        y.sum().backward().unwrap();
        assert_eq!(x.grad().unwrap().shape(), [0, 3, 5, 5]);
        assert_eq!(values(&w.grad().unwrap()), [0.0; 108]);
        assert_eq!(values(&bias.grad().unwrap()), [0.0; 4]);
        // No channels: the bias alone.
        let (x, w) = (leaf(&[2, 0, 3]), leaf(&[2, 0, 2]));
        let y = x.conv1d(&w, Some(&floats(&[1.0, 2.0], &[2], device)), Conv::default());
        assert_eq!(values(&y), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        y.sum().backward().unwrap();
        assert_eq!(w.grad().unwrap().shape(), [2, 0, 2]);
        // Padding that cuts off everything.
        let (x, w) = (leaf(&[2, 4, 2]), leaf(&[4, 3, 1]));
        let y = x.conv_transpose1d(&w, None, ConvTranspose::default().padding(1));
        assert_eq!(y.shape(), [2, 3, 0]);
        y.sum().backward().unwrap();
        assert_eq!(values(&x.grad().unwrap()), [0.0; 16]);
        assert_eq!(values(&w.grad().unwrap()), [0.0; 12]);
        // A kernel that sees nothing but padding.
        let (x, w) = (leaf(&[1, 1, 1, 1]), leaf(&[1, 1, 1, 1]));
        let y = x.conv2d(&w, None, Conv::default().stride(3).padding(2));
        assert_eq!(values(&y), [0.0; 4]);
    }
}

/// NaN and infinity go through where they are seen, and nowhere else.
#[test]
fn not_a_number_stays_in_its_window() {
    for device in [cpu(), gpu(), hardware()] {
        let x = floats(&[f64::NAN, 1.0, 2.0, 3.0, f64::INFINITY], &[1, 1, 5], device);
        let w = floats(&[1.0, 1.0], &[1, 1, 2], device);
        let y = values(&x.conv1d(&w, None, Conv::default()));
        assert!(y[0].is_nan() && y[1..3] == [3.0, 5.0] && y[3] == f64::INFINITY, "{y:?}");
    }
}

#[test]
fn derivatives_match_central_differences() {
    let cases = [
        Case { x: &[2, 2, 5], w: &[2, 1, 2], stride: [2, 0, 0], padding: [1, 0, 0], groups: 2, ..PLAIN },
        Case {
            x: &[1, 2, 4, 4],
            w: &[3, 2, 2, 2],
            stride: [1, 2, 0],
            dilation: [2, 1, 0],
            padding: [0, 1, 0],
            ..PLAIN
        },
        Case { x: &[1, 2, 3, 2, 2], w: &[1, 2, 2, 1, 2], stride: [2, 1, 1], ..PLAIN },
        Case {
            x: &[1, 2, 3],
            w: &[2, 1, 2],
            stride: [3, 0, 0],
            padding: [1, 0, 0],
            output_padding: Some([2; 3]),
            groups: 2,
            ..PLAIN
        },
        Case {
            x: &[2, 2, 2],
            w: &[2, 1, 2, 2],
            dilation: [3, 1, 0],
            stride: [2, 1, 0],
            output_padding: Some([2, 0, 0]),
            ..PLAIN
        },
        Case { x: &[1, 1, 2, 2, 1], w: &[1, 2, 1, 2, 2], stride: [1, 2, 1], output_padding: Some([0; 3]), ..PLAIN },
    ];
    for case in &cases {
        let operands = [case.x, case.w, &[channels(case)]];
        let operands: Vec<Tensor> =
            operands.iter().zip(1..).map(|(shape, seed)| operand(0, shape, seed, cpu()).0).collect();
        let refs: Vec<&Tensor> = operands.iter().collect();
        let apply = |x: &[Tensor]| conv(case, &x[0], &x[1], Some(&x[2]));
        gradcheck(apply, &refs, 1e-6).unwrap_or_else(|error| panic!("x {:?}: {error}", case.x));
        let squared = |x: &[Tensor]| apply(x).square();
        gradgradcheck(squared, &refs, 1e-5).unwrap_or_else(|error| panic!("x {:?}: {error}", case.x));
    }
}

/// Gradients of gradients on the GPU, which are convolutions of convolutions.
#[test]
fn second_derivatives_on_the_gpu() {
    for case in [CASES[1], CASES[5], CASES[9], CASES[11], CASES[12]] {
        let second = |device: &Device| -> Vec<Vec<f64>> {
            let (x, w) = (operand(0, case.x, 1, device).0, operand(0, case.w, 2, device).0);
            let y = conv(&case, &x, &w, None);
            let first = grad(&[&y.powi(3).sum()], &[&x, &w], true).unwrap();
            let total = first[0].square().sum() + (&first[1] * 0.5).square().sum();
            grad(&[&total], &[&x, &w], false).unwrap().iter().map(values).collect()
        };
        let expected = second(cpu());
        for device in [gpu(), hardware()] {
            for (found, expected) in second(device).iter().zip(&expected) {
                assert_close(&format!("x {:?}, w {:?}", case.x, case.w), found, expected, 1e-4);
            }
        }
    }
}

/// Bias and activation are computed where the convolution stores its result.
#[test]
fn bias_and_activation_cost_no_dispatch() {
    // Devices of its own, which count no other test's dispatches.
    for software in [true, false] {
        let device = &Device::gpu_with(true, |caps| caps.software = software).unwrap_or_else(|error| panic!("{error}"));
        let tensor = |shape: &[usize], seed| operand(0, shape, seed, device).1.detach();
        let (x, w, bias) = (tensor(&[8, 8, 40, 40], 1), tensor(&[16, 8, 3, 3], 2), tensor(&[16], 3));
        for t in [&x, &w, &bias] {
            t.realize().unwrap();
        }
        let before = device.stats().dispatches;
        let y = x.conv2d(&w, None, Conv::default());
        y.realize().unwrap();
        let alone = device.stats().dispatches;
        let z = x.conv2d(&w, Some(&bias), Conv::default()).relu();
        z.realize().unwrap();
        assert_eq!(device.stats().dispatches - alone, alone - before);
        let expected = (y + bias.reshape([16, 1, 1])).relu();
        assert_same("fused", &z, &expected, 1e-6);
    }
}

/// Every call that PyTorch rejects carries an error that says why.
#[test]
fn bad_calls_are_errors() {
    let device = cpu();
    let z = |shape: &[usize]| Tensor::zeros(shape, device);
    let plain = Conv::default;
    let back = ConvTranspose::default;
    let (x, w) = (z(&[2, 4, 5, 5]), z(&[6, 4, 3, 3]));
    let ints = Tensor::from_slice(&[1i32; 12], [1, 3, 4], device);
    let double = Tensor::from_slice(&[1f64; 12], [1, 3, 4], device);
    let cases: Vec<(Tensor, &str)> = vec![
        (x.conv1d(&w, None, plain()), "conv1d: the input must be [N, C, …] or [C, …] with 1 spatial dims"),
        (x.conv2d(&z(&[6, 4, 3]), None, plain()), "the weight must have 4 dims, of which 2 are spatial"),
        (z(&[5, 5]).conv2d(&w, None, plain()), "operand shapes [5, 5] and [6, 4, 3, 3]"),
        (z(&[4, 2, 9]).conv2d(&w, None, plain()), "operand shapes [4, 2, 9] and [6, 4, 3, 3]"),
        (x.conv2d(&z(&[6, 3, 3, 3]), None, plain()), "need a weight of 4 channels at dim 1, not 3"),
        (x.conv2d(&w, None, plain().groups(2)), "4 input channels in 2 groups need a weight of 2 channels"),
        (x.conv2d(&z(&[6, 1, 3, 3]), None, plain().groups(3)), "4 input channels in 3 groups"),
        (
            x.conv2d(&z(&[5, 2, 3, 3]), None, plain().groups(2)),
            "size 5 at dim 0 of the weight does not fall into 2 groups",
        ),
        (x.conv2d(&w, None, plain().groups(0)), "groups must not be 0"),
        (
            x.conv2d(&z(&[6, 4, 6, 3]), None, plain()),
            "reaches over 6 elements of spatial dim 0, but the padded input has 5",
        ),
        (x.conv2d(&w, None, plain().dilation([1, 3])), "reaches over 7 elements of spatial dim 1"),
        (x.conv2d(&w, None, plain().stride([1, 0])), "stride 0 and dilation 1 must not be 0"),
        (x.conv2d(&w, None, plain().dilation(0)), "stride 1 and dilation 0 must not be 0"),
        (x.conv2d(&w, None, plain().stride([1, 2, 3])), "stride has 3 numbers"),
        (x.conv2d(&w, None, plain().padding([1; 5])), "padding has 5 numbers"),
        (x.conv2d(&w, None, plain().dilation([0usize; 0])), "dilation has 0 numbers"),
        (x.conv2d(&w, None, plain().padding(usize::MAX)), "exceeds 1073741824"),
        (x.conv2d(&w, None, plain().dilation(usize::MAX)), "exceeds 1073741824"),
        (x.conv2d(&w, None, plain().stride(usize::MAX)), "exceeds 1073741824"),
        (x.conv2d(&w, Some(&z(&[4])), plain()), "the bias must have shape [6]"),
        (x.conv2d(&w, Some(&z(&[6, 1])), plain()), "the bias must have shape [6]"),
        (x.conv2d(&z(&[0, 4, 3, 3]), None, plain()), "size 0 at dim 0 of the weight"),
        (x.conv2d(&z(&[6, 4, 0, 3]), None, plain()), "the kernel has a spatial size of 0"),
        (z(&[2, 4, 0, 5]).conv2d(&w, None, plain().padding(3)), "the input has a spatial size of 0"),
        (ints.conv1d(&ints, None, plain()), "conv1d: takes floats of one type; operand dtypes i32 and i32"),
        (double.conv1d(&z(&[1, 3, 2]), None, plain()), "takes floats of one type"),
        (double.conv1d(&double, Some(&z(&[1])), plain()), "takes floats of one type"),
        (x.conv_transpose2d(&w, None, back()), "4 input channels need a weight of as many at dim 0, not 6"),
        (x.conv_transpose2d(&z(&[4, 3, 3, 3]), None, back().groups(3)), "does not fall into 3 groups"),
        (
            x.conv_transpose2d(&z(&[4, 3, 3, 3]), None, back().stride(2).dilation(3).output_padding([0, 3])),
            "output_padding 3 must be smaller than stride 2 or dilation 3",
        ),
        (
            x.conv_transpose2d(&z(&[4, 3, 3, 3]), None, back().padding(4)),
            "padding cuts 8 off the 7 elements of spatial dim 0",
        ),
        (x.conv_transpose2d(&z(&[4, 3, 3, 3]), Some(&z(&[4])), back()), "the bias must have shape [3]"),
        (x.conv_transpose2d(&z(&[4, 3, 3, 3]), None, back().stride(0)), "conv_transpose2d: stride 0"),
        (z(&[4, 5, 5]).conv_transpose3d(&w, None, back()), "conv_transpose3d: the input must be"),
    ];
    let var = wgrad::internals::tensor(
        wgrad::internals::node(&x).conv(4, &wgrad::internals::node(&w), None, &plain()),
        device,
    );
    assert!(var.check().is_err_and(|error| error.to_string().starts_with("conv: 4 spatial dims are not 1 to 3")));
    for (result, expected) in cases {
        let text = result.check().map_or_else(|error| error.to_string(), |()| "no error".into());
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        assert!(text.contains("conv.rs"), "{text:?} does not name the line");
    }
}
