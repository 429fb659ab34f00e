//! Matrix multiplication: every kernel family on whatever adapter there is, against f64.

use wgrad::internals::Array;
use wgrad::internals::Caps;
use wgrad::internals::kernel::{Kernel, Operand, Routine, Stage};
use wgrad::internals::plan::{self, Family};
use wgrad::internals::{Meta, Op};
use wgrad::{DType, Device, Result, Tensor};

use crate::common::*;
use crate::inputs::hardware;

/// Every adapter runs all of them; without subgroups of a fixed size the third and fourth are the second, without panels the
/// fourth is the third.
const FAMILIES: [Family; 5] = [Family::Naive, Family::CpuPlain, Family::CpuSubgroup, Family::CpuPanels, Family::Tiled];

/// A matmul by one family, whatever the adapter.
#[derive(Hash)]
struct Forced(Family);

impl Op for Forced {
    fn name(&self) -> &str {
        match self.0 {
            Family::Naive => "matmul_by_naive",
            Family::CpuPlain => "matmul_by_cpu_plain",
            Family::CpuSubgroup => "matmul_by_cpu_subgroup",
            Family::CpuPanels => "matmul_by_cpu_panels",
            Family::Tiled => "matmul_by_tiled",
            Family::Cooperative => "matmul_by_cooperative",
        }
    }
    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        let shape: Vec<usize> = a[..a.rank() - 1].iter().copied().chain([b[b.rank() - 1]]).collect();
        Ok(Meta::new(shape, inputs[0].dtype))
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(ForcedRoutine(self.0)))
    }
    fn reference(&self, _inputs: &[&Array], output: &Meta) -> Result<Array> {
        Ok(Array::full(&output.shape, output.dtype, f64::NAN))
    }
}

struct ForcedRoutine(Family);

impl Routine for ForcedRoutine {
    fn stages(&self, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        plan::stages(&plan::Problem::new(&inputs[0], &inputs[1])?, caps, Some(self.0))
    }
    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// The operands on a device.
type Build = fn(&[Tensor]) -> Tensor;
/// Shapes of the two leaves and the views of them that are multiplied.
struct Problem {
    name: &'static str,
    a: &'static [usize],
    b: &'static [usize],
    views: [Build; 2],
}

const A: Build = |t| t[0].clone();
const B: Build = |t| t[1].clone();

macro_rules! plain {
    ($($m:literal $k:literal $n:literal),*) => {
        [$(Problem { name: stringify!($m $k $n), a: &[$m, $k], b: &[$k, $n], views: [A, B] }),*]
    };
}

const PLAIN: [Problem; 18] = plain![
    1 1 1, 1 5 1, 1 7 9, 9 7 1, 2 3 4, 3 5 7, 8 8 8, 16 16 16, 17 19 23, 31 33 65, 64 64 64, 63 100 37, 65 8 33, 128 4 12,
    5 1 5, 100 130 1, 1 130 100, 33 257 130
];

const VIEWS: [Problem; 14] = [
    Problem { name: "a transposed", a: &[19, 17], b: &[19, 23], views: [|t| t[0].t(), B] },
    Problem { name: "b transposed", a: &[17, 20], b: &[24, 20], views: [A, |t| t[1].t()] },
    Problem { name: "both transposed", a: &[16, 12], b: &[20, 16], views: [|t| t[0].t(), |t| t[1].t()] },
    Problem { name: "a window", a: &[20, 40], b: &[32, 16], views: [|t| t[0].narrow(1, 4, 32).narrow(0, 3, 9), B] },
    Problem {
        name: "odd window",
        a: &[20, 40],
        b: &[33, 17],
        views: [|t| t[0].narrow(1, 3, 31), |t| t[1].narrow(0, 1, 31)],
    },
    Problem { name: "flipped", a: &[12, 16], b: &[16, 12], views: [|t| t[0].flip(&[0, 1]), |t| t[1].flip(&[0])] },
    Problem {
        name: "strided",
        a: &[24, 32],
        b: &[16, 40],
        views: [|t| t[0].slice_step(1, 0..32, 2), |t| t[1].slice_step(1, 1..40, 3)],
    },
    Problem {
        name: "expanded",
        a: &[1, 16],
        b: &[16, 1],
        views: [|t| t[0].expand([9, 16]), |t| t[1].expand([16, 12])],
    },
    Problem { name: "batch", a: &[3, 9, 8], b: &[3, 8, 12], views: [A, B] },
    Problem { name: "batch transposed", a: &[3, 8, 9], b: &[3, 12, 8], views: [|t| t[0].t(), |t| t[1].t()] },
    Problem {
        name: "batch permuted",
        a: &[9, 3, 8],
        b: &[8, 12, 3],
        views: [|t| t[0].permute(&[1, 0, 2]), |t| t[1].permute(&[2, 0, 1])],
    },
    Problem {
        name: "broadcast batch",
        a: &[2, 1, 5, 8],
        b: &[1, 3, 8, 4],
        views: [|t| t[0].expand([2, 3, 5, 8]), |t| t[1].expand([2, 3, 8, 4])],
    },
    Problem { name: "batch of rows", a: &[5, 1, 16], b: &[5, 16, 20], views: [A, B] },
    Problem { name: "batch of columns", a: &[5, 18, 16], b: &[5, 16, 1], views: [A, B] },
];

/// Both operands' numbers.
fn data(problem: &Problem, seed: u64) -> [Vec<f64>; 2] {
    let mut rng = Rng(seed);
    [problem.a, problem.b].map(|shape| rng.vec(shape.iter().product(), -1.0, 1.0))
}

fn operands(problem: &Problem, data: &[Vec<f64>; 2], device: &Device) -> [Tensor; 2] {
    let leaves = [floats(&data[0], problem.a, device), floats(&data[1], problem.b, device)];
    problem.views.map(|view| view(&leaves))
}

#[test]
fn every_family_on_every_shape_and_layout() {
    poison(gpu());
    let problems = || PLAIN.iter().chain(&VIEWS);
    let expected: Vec<Tensor> = problems()
        .enumerate()
        .map(|(i, p)| {
            let [a, b] = operands(p, &data(p, i as u64), cpu());
            a.matmul(&b)
        })
        .collect();
    for family in FAMILIES {
        for (i, (problem, wanted)) in problems().zip(&expected).enumerate() {
            let [a, b] = operands(problem, &data(problem, i as u64), gpu());
            let found = a.apply_op(Forced(family), &[&b]);
            assert_same(&format!("{family:?} {}", problem.name), &found, wanted, 1e-5);
        }
    }
}

/// 16-bit floats, with an epilogue; by cooperative matrices too, where the adapter has them (else those products are tiled).
#[test]
fn every_family_multiplies_halves() {
    let ones = Tensor::ones([64, 64], hardware()).to_dtype(DType::F16);
    ones.realize().unwrap();
    let kernels = ones.matmul(&ones).explain().unwrap().kernels;
    println!("halves are multiplied by {}", kernels.iter().map(|k| k.name.as_str()).collect::<Vec<_>>().join(", "));
    poison(gpu());
    let large = plain![70 45 90, 24 3000 20, 33 20000 65, 128 128 128];
    for (i, problem) in PLAIN.iter().chain(&VIEWS).chain(&large).enumerate() {
        let on = |device: &Device, family: Option<Family>| {
            let [a, b] = operands(problem, &data(problem, 60 + i as u64), device).map(|x| x.to_dtype(DType::F16));
            let product = match family {
                Some(family) => a.apply_op(Forced(family), &[&b]),
                None => a.matmul(&b),
            };
            (product * 0.5).relu().to_dtype(DType::F32)
        };
        let expected = on(cpu(), None);
        for family in FAMILIES.into_iter().chain([Family::Cooperative]) {
            assert_same(&format!("{family:?} {}", problem.name), &on(gpu(), Some(family)), &expected, 2e-3);
        }
        assert_same(problem.name, &on(hardware(), None), &expected, 2e-3);
    }
}

#[test]
fn every_family_fuses_its_epilogue() {
    for family in FAMILIES {
        for (m, k, n) in [(17, 20, 24), (9, 5, 7), (64, 64, 32), (1, 40, 10), (40, 12, 1)] {
            let mut rng = Rng(m as u64);
            let (x, w) = (rng.vec(m * k, -1.0, 1.0), rng.vec(k * n, -1.0, 1.0));
            let (bias, scale) = (rng.vec(n, -1.0, 1.0), rng.vec(m, 0.5, 1.5));
            let product = |device: &Device| {
                let (x, w) = (floats(&x, &[m, k], device), floats(&w, &[k, n], device));
                if device.is_cpu() { x.matmul(&w) } else { x.apply_op(Forced(family), &[&w]) }
            };
            let layer = |device: &Device| {
                (product(device) + floats(&bias, &[n], device)).relu() * floats(&scale, &[m, 1], device)
            };
            let before = gpu().stats().plans_built;
            assert_same(&format!("{family:?} {m} {k} {n}"), &layer(gpu()), &layer(cpu()), 1e-5);
            assert!(gpu().stats().plans_built > before);
            // The plain product is wanted too.
            let (found, expected) = (product(gpu()), product(cpu()));
            let (f, e) = (&found.sigmoid() + &found, &expected.sigmoid() + &expected);
            assert_same(&format!("{family:?} twice"), &f, &e, 1e-5);
            assert_same(&format!("{family:?} kept"), &found, &expected, 1e-5);
        }
    }
}

/// Some drivers end loops silently after 65,535 iterations; a sum of 100,000 products must not be cut.
#[test]
fn long_inner_dimension() {
    let k = 100_000;
    let mut rng = Rng(100);
    for (m, n) in [(3, 5), (1, 8), (8, 1), (4, 16)] {
        let (a, b) = (rng.vec(m * k, 0.0, 1.0), rng.vec(k * n, 0.0, 1.0));
        let expected = floats(&a, &[m, k], cpu()).matmul(&floats(&b, &[k, n], cpu()));
        let (x, y) = (floats(&a, &[m, k], gpu()), floats(&b, &[k, n], gpu()));
        for family in FAMILIES {
            assert_same(&format!("{family:?} {m}×{n}"), &x.apply_op(Forced(family), &[&y]), &expected, 1e-5);
        }
        assert_same(&format!("{m}×{n}"), &x.matmul(&y), &expected, 1e-5);
        // The same with the inner dimension first in memory.
        let (xt, yt) = (x.t().contiguous(), y.t().contiguous());
        assert_same(&format!("transposed {m}×{n}"), &xt.t().matmul(&yt.t()), &expected, 1e-5);
    }
}

#[test]
fn larger_products() {
    let n = 300;
    let mut rng = Rng(300);
    let (a, b) = (rng.vec(n * n, -1.0, 1.0), rng.vec(n * n, -1.0, 1.0));
    let expected = floats(&a, &[n, n], cpu()).matmul(&floats(&b, &[n, n], cpu()));
    for family in FAMILIES {
        let found = floats(&a, &[n, n], gpu()).apply_op(Forced(family), &[&floats(&b, &[n, n], gpu())]);
        assert_same(&format!("{family:?}"), &found, &expected, 1e-5);
    }
}

/// A left operand whose columns are contiguous is read in place: by eight or four rows a load, tiles of 8, 16 and 32 rows, rows past the
/// last tile, parts of k, batches, and windows that move it off places of eight.
#[test]
fn left_operands_with_contiguous_columns() {
    let t: Build = |t| t[0].t();
    let problems = [
        Problem { name: "eight rows", a: &[4, 8], b: &[4, 5], views: [t, B] },
        Problem { name: "twelve rows", a: &[12, 12], b: &[12, 9], views: [t, B] },
        Problem { name: "quads, tall", a: &[100, 1020], b: &[100, 68], views: [t, B] },
        Problem { name: "octets, tall", a: &[100, 1032], b: &[100, 68], views: [t, B] },
        Problem { name: "quads, wide", a: &[64, 60], b: &[64, 1030], views: [t, B] },
        Problem { name: "octets, wide", a: &[64, 56], b: &[64, 1032], views: [t, B] },
        Problem { name: "long sums", a: &[20_000, 24], b: &[20_000, 8], views: [t, B] },
        Problem { name: "batch", a: &[3, 72, 104], b: &[3, 72, 132], views: [t, B] },
        Problem {
            name: "one for a batch",
            a: &[1, 72, 104],
            b: &[3, 72, 132],
            views: [|t| t[0].expand([3, 72, 104]).t(), B],
        },
        Problem {
            name: "window",
            a: &[40, 112],
            b: &[40, 1040],
            views: [|t| t[0].narrow(1, 4, 104).t(), |t| t[1].narrow(1, 4, 1000)],
        },
        Problem { name: "both transposed", a: &[64, 1000], b: &[100, 64], views: [t, |t| t[1].t()] },
    ];
    poison(gpu());
    for (i, problem) in problems.iter().enumerate() {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 2e-3)] {
            let on = |device: &Device| {
                let [a, b] = operands(problem, &data(problem, 80 + i as u64), device).map(|x| x.to_dtype(dtype));
                (a.matmul(&b) * 0.5).relu().to_dtype(DType::F32)
            };
            assert_same(&format!("{dtype:?} {}", problem.name), &on(gpu()), &on(cpu()), tolerance);
        }
    }
}

/// Value and gradients of a product of two leaves.
fn gradients(problem: &Problem, data: &[Vec<f64>; 2], device: &Device) -> [Tensor; 3] {
    let leaves =
        [floats(&data[0], problem.a, device).requires_grad(), floats(&data[1], problem.b, device).requires_grad()];
    let [a, b] = problem.views.map(|view| view(&leaves));
    let y = a.matmul(&b);
    let dy = floats(&Rng(1).vec(y.numel(), -1.0, 1.0), y.shape(), device);
    y.backward_with(&dy).unwrap_or_else(|error| panic!("{}: {error}", problem.name));
    [y, leaves[0].grad().unwrap(), leaves[1].grad().unwrap()]
}

#[test]
fn gradients_of_every_layout() {
    let broadcast = [
        Problem { name: "matrix for a batch", a: &[4, 3, 5], b: &[5, 6], views: [A, B] },
        Problem { name: "batch of right operands", a: &[3, 5], b: &[4, 5, 6], views: [A, B] },
        Problem { name: "two batches", a: &[2, 1, 3, 5], b: &[4, 5, 6], views: [A, B] },
        Problem { name: "row", a: &[5], b: &[5, 6], views: [A, B] },
        Problem { name: "column", a: &[3, 5], b: &[5], views: [A, B] },
        Problem { name: "dot", a: &[7], b: &[7], views: [A, B] },
        Problem { name: "batch by vector", a: &[4, 3, 5], b: &[5], views: [A, B] },
        Problem { name: "vector by batch", a: &[3], b: &[4, 3, 5], views: [A, B] },
        Problem { name: "no rows", a: &[0, 5], b: &[5, 6], views: [A, B] },
        Problem { name: "no columns", a: &[3, 5], b: &[5, 0], views: [A, B] },
        Problem { name: "no inner", a: &[3, 0], b: &[0, 6], views: [A, B] },
        Problem { name: "no batch", a: &[0, 3, 5], b: &[0, 5, 6], views: [A, B] },
    ];
    for (i, problem) in broadcast.iter().chain(&VIEWS).chain(&PLAIN).enumerate() {
        let data = data(problem, 40 + i as u64);
        let (found, expected) = (gradients(problem, &data, gpu()), gradients(problem, &data, cpu()));
        for ((found, expected), what) in found.iter().zip(&expected).zip(["value", "gradient of a", "gradient of b"]) {
            assert_same(&format!("{what}: {}", problem.name), found, expected, 1e-5);
        }
    }
}

#[test]
fn a_layer_with_bias_trains_like_the_reference() {
    let mut rng = Rng(12);
    let (x, w, b) = (rng.vec(33 * 20, -1.0, 1.0), rng.vec(12 * 20, -1.0, 1.0), rng.vec(12, -1.0, 1.0));
    let on = |device: &Device| {
        let (w, b) = (floats(&w, &[12, 20], device).requires_grad(), floats(&b, &[12], device).requires_grad());
        let y = floats(&x, &[33, 20], device).linear(&w, Some(&b)).tanh();
        let loss = (&y * &y).mean();
        loss.backward().unwrap();
        [loss, w.grad().unwrap(), b.grad().unwrap(), y]
    };
    for (found, expected) in on(gpu()).iter().zip(&on(cpu())) {
        assert_same("layer", found, expected, 1e-5);
    }
    let bad = Tensor::ones([2, 3], gpu()).matmul(&Tensor::ones([4, 5], gpu()));
    let text = bad.check().unwrap_err().to_string();
    assert!(text.contains("matmul") && text.contains("[2, 3]") && text.contains("[4, 5]"), "{text}");
    assert_eq!(Tensor::ones([2, 3], gpu()).matmul(&Tensor::ones([3, 2], gpu())).dtype(), DType::F32);
}

/// Views that strides can tell: transposed, stepped, flipped, cut, expanded along the batch, reshaped.
type View = (&'static str, &'static [usize], fn(&Tensor) -> Tensor);

const LEFT: [View; 7] = [
    ("as it is", &[3, 10, 14], Tensor::clone),
    ("transposed", &[3, 14, 10], |x| x.transpose(1, 2)),
    ("batch inside", &[10, 3, 14], |x| x.transpose(0, 1)),
    ("stepped", &[3, 20, 28], |x| x.slice_step(1, 1..20, 2).slice_step(2, 0..28, 2)),
    ("flipped", &[3, 10, 14], |x| x.flip(&[1, 2])),
    ("flipped rows", &[3, 14, 10], |x| x.flip(&[2]).transpose(1, 2)),
    ("expanded", &[1, 10, 14], |x| x.expand([3, 10, 14])),
];

const RIGHT: [View; 6] = [
    ("as it is", &[3, 14, 9], Tensor::clone),
    ("transposed", &[3, 9, 14], |x| x.transpose(1, 2)),
    ("one matrix", &[14, 9], Tensor::clone),
    ("one matrix transposed", &[9, 14], |x| x.t()),
    ("cut", &[3, 20, 12], |x| x.slice(1, 3..17).slice(2, 2..11)),
    ("column expanded", &[3, 14, 1], |x| x.expand([3, 14, 9])),
];

/// The CPU reference multiplies views as they lie: nothing but products runs, and they are right.
#[test]
fn the_reference_multiplies_views_without_copies() {
    for dtype in [DType::F32, DType::F64] {
        for (left, left_shape, left_view) in LEFT {
            for (right, right_shape, right_view) in RIGHT {
                let leaf = |seed: u64, shape: &[usize]| {
                    let x = floats(&Rng(seed).vec(shape.iter().product(), -1.0, 1.0), shape, cpu()).to_dtype(dtype);
                    x.realize().unwrap();
                    x.detach().requires_grad()
                };
                let (a, b) = (leaf(1, left_shape), leaf(2, right_shape));
                let product = || left_view(&a).matmul(&right_view(&b));
                let what = format!("{dtype}, {left} by {right}");
                let explained = product().explain().unwrap();
                let names: Vec<&str> = explained.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
                let products = names.iter().filter(|name| name.contains("matmul")).count();
                let copies = names.iter().filter(|name| ["permute", "expand", "slice"].contains(name)).count();
                assert_eq!((products, copies), (1, 0), "{what}: {names:?}");
                let copied = |x: Tensor| {
                    let y = x.contiguous();
                    y.realize().unwrap();
                    y
                };
                let expected = copied(left_view(&a)).matmul(&copied(right_view(&b)));
                assert_close(&what, &values(&product()), &values(&expected), 1e-6);
                let dy = floats(&Rng(3).vec(expected.numel(), -1.0, 1.0), expected.shape(), cpu()).to_dtype(dtype);
                let gradients = |y: Tensor| {
                    a.zero_grad();
                    b.zero_grad();
                    y.backward_with(&dy).unwrap();
                    [values(&a.grad().unwrap()), values(&b.grad().unwrap())]
                };
                let found = gradients(product());
                let expected = gradients(left_view(&a).contiguous().matmul(&right_view(&b).contiguous()));
                assert_close(&format!("{what}, da"), &found[0], &expected[0], 1e-6);
                assert_close(&format!("{what}, db"), &found[1], &expected[1], 1e-6);
            }
        }
    }
}

/// Linear layers on the CPU reference never copy their weight, forward or backward.
#[test]
fn linear_copies_no_weight_on_the_cpu() {
    let x = floats(&Rng(1).vec(6 * 20, -1.0, 1.0), &[2, 3, 20], cpu()).requires_grad();
    let w = floats(&Rng(2).vec(30 * 20, -1.0, 1.0), &[30, 20], cpu()).requires_grad();
    let y = x.linear(&w, None);
    let forward = y.explain().unwrap();
    y.square().sum().backward().unwrap();
    for (what, explained) in [
        ("forward", forward),
        ("weight", w.grad().unwrap().explain().unwrap()),
        ("input", x.grad().unwrap().explain().unwrap()),
    ] {
        let names: Vec<&str> = explained.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert!(!names.iter().any(|name| name.contains("permute")), "{what}: {names:?}");
        assert!(names.contains(&"matmul"), "{what}: {names:?}");
    }
}
