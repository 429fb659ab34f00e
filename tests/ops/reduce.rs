//! Reductions: every kind over every subset of dims, of every layout, fused with their neighbours.

use wgrad::{DType, Device, Tensor};

use crate::common::*;

type Reduction = fn(&Tensor, &[isize], bool) -> Tensor;

/// The reductions with a gradient, and how closely the GPU follows f64.
const FLOAT: [(&str, Reduction, f64); 8] = [
    ("sum", |x, d, k| x.sum_dims(d, k), 3e-6),
    ("mean", |x, d, k| x.mean_dims(d, k), 3e-6),
    ("prod", |x, d, k| x.prod_dims(d, k), 1e-5),
    ("max", |x, d, k| x.max_dims(d, k), 1e-7),
    ("min", |x, d, k| x.min_dims(d, k), 1e-7),
    ("logsumexp", |x, d, k| x.logsumexp_dims(d, k), 1e-5),
    ("var", |x, d, k| x.var_dims(d, 1.0, k), 1e-5),
    ("std", |x, d, k| x.std_dims(d, 0.0, k), 1e-5),
];

/// Non-empty subsets of the dims of a tensor, the last given from the end.
fn subsets(rank: usize) -> Vec<Vec<isize>> {
    (1..1usize << rank)
        .map(|bits| {
            let dims = (0..rank).filter(|d| bits >> d & 1 == 1);
            dims.map(|d| if d + 1 == rank { -1 } else { d as isize }).collect()
        })
        .collect()
}

/// A layout by name: the leaf's shape and the view of it that is reduced.
type Layout = (&'static str, &'static [usize], fn(&Tensor) -> Tensor);

const LAYOUTS: [Layout; 9] = [
    ("contiguous", &[3, 5, 8], |x| x.clone()),
    ("eights", &[5, 4, 16], |x| x.clone()),
    ("odd", &[5, 7, 3], |x| x.clone()),
    ("transposed", &[4, 6, 5], |x| x.permute(&[2, 0, 1])),
    ("strided", &[3, 9, 14], |x| x.slice_step(1, 1..9, 2).slice_step(2, 1..14, 3)),
    ("window", &[3, 6, 16], |x| x.narrow(2, 4, 8)),
    ("flipped", &[3, 5, 8], |x| x.flip(&[0, 2])),
    ("expanded", &[3, 1, 4], |x| x.expand([3, 5, 4])),
    ("one element", &[1, 1, 1], |x| x.clone()),
];

/// Value and gradient of `f` on one leaf.
fn run(f: impl Fn(&Tensor) -> Tensor, data: &[f64], shape: &[usize], device: &Device) -> (Tensor, Tensor) {
    let leaf = floats(data, shape, device).requires_grad();
    let y = f(&leaf);
    let dy = floats(&Rng(5).vec(y.numel(), -1.5, 1.5), y.shape(), device);
    y.backward_with(&dy).unwrap_or_else(|error| panic!("{error}"));
    let grad = leaf.grad().expect("a gradient");
    (y, grad)
}

#[track_caller]
fn compare(what: &str, f: impl Fn(&Tensor) -> Tensor, data: &[f64], shape: &[usize], tolerance: f64) {
    let (found, expected) = (run(&f, data, shape, gpu()), run(&f, data, shape, cpu()));
    // The gradient first, so that forward and backward are planned together.
    assert_same(&format!("gradient of {what}"), &found.1, &expected.1, tolerance * 10.0);
    assert_same(what, &found.0, &expected.0, tolerance);
}

#[test]
fn every_subset_of_dims_of_every_layout() {
    poison(gpu());
    for (r, (name, reduction, tolerance)) in FLOAT.into_iter().enumerate() {
        for (l, (layout, shape, view)) in LAYOUTS.into_iter().enumerate() {
            // An unbiased variance of one element is NaN; that is tested elsewhere.
            if layout == "one element" && (name == "var" || name == "std") {
                continue;
            }
            let data = Rng((r * 100 + l) as u64).vec(shape.iter().product(), 0.4, 1.6);
            for (s, dims) in subsets(3).into_iter().enumerate() {
                let keepdim = (s + l) % 2 == 0;
                let sizes = |x: &Tensor| dims.iter().map(|&d| x.shape()[d.rem_euclid(3) as usize]).product::<usize>();
                if (name == "var" || name == "std") && sizes(&view(&floats(&data, shape, cpu()))) < 2 {
                    continue;
                }
                // Of equal elements, f32 and f64 round the mean differently.
                if name == "std" && layout == "expanded" && dims == [1] {
                    continue;
                }
                // A third of the combinations is enough for what is composed of sums and maxima.
                if !(name == "sum" || name == "max") && (r + l + s) % 3 != 0 {
                    continue;
                }
                let what = format!("{name} of {layout} over {dims:?}, keepdim {keepdim}");
                compare(&what, |x| reduction(&view(x), &dims, keepdim), &data, shape, tolerance);
            }
        }
    }
}

#[test]
fn sizes_from_one_to_many() {
    for &n in &[1usize, 2, 3, 4, 7, 31, 64, 1023, 2048, 2049, 4097, 70_001] {
        let data = Rng(n as u64).vec(n, -1.0, 2.0);
        for (name, reduction, tolerance) in FLOAT {
            // A product of many numbers is 0 or infinite.
            if name == "prod" && n > 64 || (name == "var" || name == "std") && n < 3 {
                continue;
            }
            compare(&format!("{name} of {n}"), |x| reduction(x, &[0], false), &data, &[n], tolerance);
        }
        for (rows, cols) in [(n, 3), (3, n), (n, 4)] {
            let data = Rng(1 + n as u64).vec(rows * cols, -1.0, 2.0);
            for dim in [0, 1] {
                let what = format!("sum of {rows}×{cols} over {dim}");
                compare(&what, |x| x.sum_dims(&[dim], false), &data, &[rows, cols], 1e-6);
                let what = format!("max of {rows}×{cols} over {dim}");
                compare(&what, |x| x.max_dims(&[dim], false), &data, &[rows, cols], 1e-7);
            }
        }
    }
}

#[test]
fn fused_producers_and_epilogues() {
    let data = Rng(3).vec(6 * 10 * 12, 0.2, 1.5);
    let shape = [6, 10, 12];
    for dims in subsets(3) {
        let centred = |x: &Tensor| {
            let mean = x.mean_dims(&dims, true);
            (x - &mean).square().sum_dims(&dims, true).sqrt() * 0.5 + x.tanh().sum_dims(&dims, true)
        };
        compare(&format!("norm about the mean over {dims:?}"), centred, &data, &shape, 1e-5);
        let softmax = |x: &Tensor| {
            let e = (x - &x.max_dims(&dims, true)).exp();
            &e / &e.sum_dims(&dims, true)
        };
        compare(&format!("softmax over {dims:?}"), softmax, &data, &shape, 1e-5);
    }
    // Broadcast producers, two reductions of one producer, a reduction of a reduction.
    let outer = |x: &Tensor| {
        let a = x.select(0, 0).unsqueeze(1);
        let b = x.select(0, 1).unsqueeze(0);
        let product = (a.permute(&[0, 2, 1]) * b.permute(&[0, 2, 1])).sigmoid();
        product.sum_dims(&[0], false) + product.max_dims(&[0], false).sum()
    };
    compare("outer product", outer, &data, &shape, 1e-5);
    let nested = |x: &Tensor| x.square().sum_dims(&[2], false).max_dims(&[1], false).mean().log();
    compare("nested", nested, &data, &shape, 1e-5);
}

#[test]
fn index_reductions_and_ties() {
    let mut rng = Rng(8);
    for (layout, shape, view) in LAYOUTS {
        // A coarse grid, so that there are ties.
        let data: Vec<f64> = rng.vec(shape.iter().product(), -2.0, 2.0).into_iter().map(f64::round).collect();
        for dtype in [DType::F32, DType::I32, DType::U32, DType::Bool] {
            let data: Vec<f64> =
                if dtype == DType::U32 { data.iter().map(|x| x.abs()).collect() } else { data.clone() };
            for dim in 0..3 {
                for keepdim in [false, true] {
                    let what = format!("{layout} {dtype} over {dim}");
                    let on = |device: &Device| {
                        let x = view(&tensor(&data, shape, dtype, device));
                        [x.argmax(dim, keepdim), x.argmin(dim, keepdim)]
                    };
                    for (found, expected) in on(gpu()).iter().zip(&on(cpu())) {
                        assert_eq!(found.dtype(), DType::U32);
                        assert_same(&what, found, expected, 0.0);
                    }
                }
            }
        }
        // Ties share the gradient evenly.
        for dims in subsets(3) {
            compare("max of ties", |x| view(x).max_dims(&dims, false), &data, shape, 1e-6);
            compare("min of ties", |x| view(x).min_dims(&dims, false), &data, shape, 1e-6);
        }
    }
}

#[test]
fn integers_and_booleans() {
    let mut rng = Rng(4);
    for (layout, shape, view) in LAYOUTS {
        let count: usize = shape.iter().product();
        for dims in subsets(3) {
            for dtype in [DType::I32, DType::U32] {
                let data: Vec<f64> = (0..count)
                    .map(|_| match dtype {
                        DType::I32 => f64::from(rng.bits() as i32),
                        _ => f64::from(rng.bits() as u32),
                    })
                    .collect();
                let on = |device: &Device| {
                    let x = view(&tensor(&data, shape, dtype, device));
                    // Sums and products wrap.
                    [
                        x.sum_dims(&dims, false),
                        x.prod_dims(&dims, true),
                        x.max_dims(&dims, false),
                        x.min_dims(&dims, false),
                    ]
                };
                for (found, expected) in on(gpu()).iter().zip(&on(cpu())) {
                    assert_eq!(found.dtype(), dtype);
                    assert_same(&format!("{dtype} of {layout} over {dims:?}"), found, expected, 0.0);
                }
            }
            for sparse in [0.1, 0.9] {
                let data: Vec<f64> =
                    rng.vec(count, 0.0, 1.0).iter().map(|&x| f64::from(u8::from(x < sparse))).collect();
                let on = |device: &Device| {
                    let x = view(&tensor(&data, shape, DType::Bool, device));
                    [x.any_dims(&dims, false), x.all_dims(&dims, true), x.sum_dims(&dims, false)]
                };
                for (found, expected) in on(gpu()).iter().zip(&on(cpu())) {
                    assert_same(&format!("booleans of {layout} over {dims:?}"), found, expected, 0.0);
                }
            }
        }
    }
}

#[test]
fn not_a_number_and_infinity() {
    let nan = f64::NAN;
    let rows = [
        [1.0, nan, 3.0, nan],
        [nan, 1.0, 2.0, 3.0],
        [1.0, 2.0, 3.0, nan],
        [f64::INFINITY, 1.0, nan, f64::NEG_INFINITY],
        [f64::INFINITY, 1.0, 2.0, f64::INFINITY],
        [f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY],
        [f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0],
        [-0.0, 0.0, -0.0, 0.0],
    ];
    for width in [4usize, 8, 5000] {
        let data: Vec<f64> = rows.iter().flat_map(|r| (0..width).map(|i| if i < 4 { r[i] } else { r[1] })).collect();
        let shape = [rows.len(), width];
        let on = |device: &Device| {
            let x = floats(&data, &shape, device);
            vec![
                x.sum_dims(&[1], false),
                x.mean_dims(&[1], false),
                x.prod_dims(&[1], false),
                x.max_dims(&[1], false),
                x.min_dims(&[1], false),
                x.logsumexp_dims(&[1], false),
                x.argmax(1, false),
                x.argmin(1, false),
                x.max(),
                x.min(),
                x.sum(),
            ]
        };
        for (i, (found, expected)) in on(gpu()).iter().zip(&on(cpu())).enumerate() {
            assert_same(&format!("reduction {i} of width {width}"), found, expected, 1e-6);
        }
    }
    let (std, slope) = run(|x| x.std(0.0), &[2.5; 4], &[4], gpu());
    assert_eq!((values(&std), values(&slope)), (vec![0.0], vec![0.0; 4]));
    let single = floats(&[3.0], &[1], gpu()).var(1.0).item::<f32>().unwrap();
    assert!(single.is_nan(), "an unbiased variance of one element is {single}");
    let one = floats(&[3.0], &[1], gpu()).std(0.0).item::<f32>().unwrap();
    assert_eq!(one, 0.0);
}

#[test]
fn no_elements() {
    let x = |device: &Device| floats(&[], &[3, 0, 2], device);
    assert_eq!(values(&x(gpu()).sum()), [0.0]);
    assert_eq!(values(&x(gpu()).prod()), [1.0]);
    assert_eq!(values(&x(gpu()).sum_dims(&[1], false)), [0.0; 6]);
    assert_eq!(values(&x(gpu()).prod_dims(&[1], true)), [1.0; 6]);
    assert_eq!(x(gpu()).sum_dims(&[0], false).shape(), [0, 2]);
    assert_eq!(values(&x(gpu()).max_dims(&[0], false)), [0.0; 0]);
    assert_eq!(values(&x(gpu()).argmax(2, false)), [0.0; 0]);
    assert!(values(&x(gpu()).mean())[0].is_nan());
    let none = tensor(&[], &[0], DType::Bool, gpu());
    assert_eq!((values(&none.any()), values(&none.all())), (vec![0.0], vec![1.0]));
    assert_eq!(values(&x(gpu()).logsumexp_dims(&[1], false)), values(&x(cpu()).logsumexp_dims(&[1], false)));
    for error in [x(gpu()).max().check(), x(gpu()).min_dims(&[1], false).check(), x(gpu()).argmax(1, false).check()] {
        let text = error.unwrap_err().to_string();
        assert!(text.contains("no element"), "{text}");
    }
    let (y, grad) = run(|x| x.sum_dims(&[1], false), &[], &[3, 0, 2], gpu());
    assert_eq!((values(&y), values(&grad).len()), (vec![0.0; 6], 0));
}

/// Some drivers end loops silently after 65,535 iterations.
#[test]
fn sixteen_million_elements() {
    let n = (1usize << 24) + 3;
    let mut rng = Rng(16);
    let mut data: Vec<f32> = (0..n).map(|_| (rng.bits() >> 40) as f32 / (1u64 << 24) as f32).collect();
    let place = n - 5;
    data[place] = 2.0;
    data[place + 3] = 2.0;
    data[77] = -1.0;
    let exact: f64 = data.iter().map(|&x| f64::from(x)).sum();
    let x = Tensor::from_slice(&data, [n], gpu());
    let sum = f64::from(x.sum().item::<f32>().unwrap());
    assert!((sum - exact).abs() / exact < 1e-6, "{sum} instead of {exact}");
    let mean = f64::from(x.mean().item::<f32>().unwrap());
    assert!((mean - exact / n as f64).abs() < 1e-6, "{mean}");
    assert_eq!(x.argmax(0, false).item::<u32>().unwrap() as usize, place);
    assert_eq!(x.argmin(0, false).item::<u32>().unwrap(), 77);
    assert_eq!(x.max().item::<f32>().unwrap(), 2.0);
    // The whole of a matrix, and long columns.
    let columns = x.narrow(0, 0, n - 3).reshape([-1, 4]);
    let found: Vec<f64> = values(&columns.sum_dims(&[0], false));
    let mut wanted = [0f64; 4];
    data[..n - 3].iter().enumerate().for_each(|(i, &v)| wanted[i % 4] += f64::from(v));
    assert_close("columns", &found, &wanted, 1e-6);
}

/// More workgroups than one dimension of a dispatch has.
#[test]
fn more_than_65535_workgroups() {
    let n = 65_536 * 64 + 3;
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu());
    let pair = Tensor::stack(&[&x, &x.flip(&[0])], 1);
    let found = pair.sum_dims(&[1], false).to_vec::<f32>().unwrap();
    assert_eq!(found.len(), n);
    assert!(found.iter().all(|&v| v == (n - 1) as f32));
    let last = pair.max_dims(&[1], false).to_vec::<f32>().unwrap();
    assert!((0..n).all(|i| last[i] == i.max(n - 1 - i) as f32));
}
