//! Indexing: gather, scatter and what is built from them, forward and backward, over every way in which the operand lies in
//! memory, with indices of both types.

use wgrad::autograd::{gradcheck, gradgradcheck};
use wgrad::{DType, Device, Error, Tensor};

use crate::common::*;
use crate::inputs::*;

const TOLERANCE: f64 = 1e-5;

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn shape_of(x: &Tensor) -> [usize; 2] {
    x.dims::<2>().unwrap_or_else(|error| panic!("{error}"))
}

/// How many indices go into a dim: no more than it has, and few enough that sums over them stay short.
fn few(size: usize) -> usize {
    if size == 0 { 0 } else { 9 }
}

#[test]
fn gather_from_rows_and_columns() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for unsigned in [false, true] {
            let what = |name: &str| format!("{name}, unsigned {unsigned}");
            let rows = |x: &Tensor| {
                let [m, n] = shape_of(x);
                x.gather(0, &indices(few(m) * n, m, &[few(m), n], unsigned, x.device()))
            };
            compare(&what("gather 0"), input, &rows, TOLERANCE, &mut failures);
            let columns = |x: &Tensor| {
                let [m, n] = shape_of(x);
                // A transposed index, for not all of the rows.
                let m = m - m / 3;
                x.gather(1, &indices(few(n) * m, n, &[few(n), m], unsigned, x.device()).t())
            };
            compare(&what("gather 1"), input, &columns, TOLERANCE, &mut failures);
            let expanded = |x: &Tensor| {
                let [m, n] = shape_of(x);
                let index = indices(few(m), m, &[few(m), 1], unsigned, x.device());
                (x * 2.0).gather(0, &index.expand([few(m), n])).square()
            };
            compare(&what("gather at expanded"), input, &expanded, TOLERANCE, &mut failures);
            for dim in [0, 1] {
                let select = |x: &Tensor| {
                    let size = x.shape()[dim];
                    x.index_select(
                        dim as isize,
                        &indices(few(size), size, &[few(size)], unsigned, x.device()).flip(&[0]),
                    )
                };
                compare(&what(&format!("index_select {dim}")), input, &select, TOLERANCE, &mut failures);
            }
            let embedding = |x: &Tensor| {
                let k = few(x.shape()[0]) / 3;
                Tensor::embedding(x, &indices(2 * k, x.shape()[0], &[2, k], unsigned, x.device()).t())
            };
            compare(&what("embedding"), input, &embedding, TOLERANCE, &mut failures);
        }
    }
    report(failures);
}

#[test]
fn scatter_into_rows_and_columns() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for (dim, unsigned) in [(0, false), (1, true), (0, true), (1, false)] {
            if input.is_large() && unsigned != (dim == 1) {
                continue;
            }
            let what = |name: &str| format!("{name} {dim}, unsigned {unsigned}");
            let index = |x: &Tensor, bound: usize| indices(x.numel(), bound, x.shape(), unsigned, x.device());
            // The operand is the source; the base is small along the dim.
            let base = |x: &Tensor| {
                let mut shape = shape_of(x);
                shape[dim] = 4;
                floats(&Rng(9).vec(shape.iter().product(), -1.0, 1.0), &shape, x.device())
            };
            let added = |x: &Tensor| base(x).scatter_add(dim as isize, &index(x, 4), x);
            compare(&what("scatter_add of"), input, &added, TOLERANCE, &mut failures);
            let put = |x: &Tensor| base(x).scatter(dim as isize, &index(x, 4), x);
            compare(&what("scatter of"), input, &put, TOLERANCE, &mut failures);
            // The operand is the base; the source is small along the dim, and narrower in the other one.
            let part = |x: &Tensor, narrow: bool| {
                let mut shape = shape_of(x);
                let bound = shape[dim];
                shape[dim] = few(bound).min(5);
                if narrow {
                    shape[1 - dim] -= shape[1 - dim] / 3;
                }
                let count = shape.iter().product();
                let index = indices(count, bound, &shape, unsigned, x.device());
                (index, floats(&Rng(10).vec(count, -1.0, 1.0), &shape, x.device()))
            };
            let added = |x: &Tensor| {
                let (index, source) = part(x, true);
                x.scatter_add(dim as isize, &index, &source)
            };
            compare(&what("scatter_add to"), input, &added, TOLERANCE, &mut failures);
            let put = |x: &Tensor| {
                let (index, source) = part(x, false);
                x.scatter(dim as isize, &index, &source)
            };
            compare(&what("scatter to"), input, &put, TOLERANCE, &mut failures);
        }
    }
    report(failures);
}

#[test]
fn triangles() {
    let mut failures = Vec::new();
    for input in &INPUTS {
        for k in [-9, -2, -1, 0, 1, 3, 9] {
            compare(&format!("tril {k}"), input, &|x| x.tril(k), 1e-6, &mut failures);
            compare(&format!("triu {k}"), input, &|x| x.triu(k), 1e-6, &mut failures);
        }
    }
    report(failures);
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [2, 2, 3], device);
        assert_eq!(x.tril(0).to_vec::<i32>().unwrap(), [1, 0, 0, 4, 5, 0, 7, 0, 0, 10, 11, 0]);
        assert_eq!(x.tril(1).to_vec::<i32>().unwrap(), [1, 2, 0, 4, 5, 6, 7, 8, 0, 10, 11, 12]);
        assert_eq!(x.triu(0).to_vec::<i32>().unwrap(), [1, 2, 3, 0, 5, 6, 7, 8, 9, 0, 11, 12]);
        assert_eq!(x.triu(2).to_vec::<i32>().unwrap(), [0, 0, 3, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(x.triu(-1).to_vec::<i32>().unwrap(), x.to_vec::<i32>().unwrap());
    }
}

/// Data of every type is gathered bit by bit.
#[test]
fn other_data_than_floats() {
    let whole = [i32::MIN, -7, 0, 16_777_217, i32::MAX, 3];
    for device in [cpu(), gpu(), hardware()] {
        for unsigned in [false, true] {
            let index = indices(8, 3, &[2, 4], unsigned, device);
            let at = index.to_dtype(DType::I32).to_vec::<i32>().unwrap();
            let pick = |i: usize| (i / 4) * 3 + at[i] as usize;
            let signed = Tensor::from_slice(&whole, [2, 3], device).gather(1, &index);
            assert_eq!(signed.to_vec::<i32>().unwrap(), (0..8).map(|i| whole[pick(i)]).collect::<Vec<_>>());
            let words = whole.map(|v| v as u32);
            let x = Tensor::from_slice(&words, [3, 2], device).t().contiguous().reshape([2, 3]);
            let order = [0, 2, 4, 1, 3, 5].map(|k| words[k]);
            let found = x.gather(1, &index).to_vec::<u32>().unwrap();
            assert_eq!(found, (0..8).map(|i| order[pick(i)]).collect::<Vec<_>>());
            let bits = whole.map(|v| v > 0);
            let found = Tensor::from_slice(&bits, [2, 3], device).gather(1, &index).to_vec::<bool>().unwrap();
            assert_eq!(found, (0..8).map(|i| bits[pick(i)]).collect::<Vec<_>>());
            let row = indices(3, 2, &[3], unsigned, device);
            let found = Tensor::from_slice(&whole, [2, 3], device).index_select(0, &row).to_vec::<i32>().unwrap();
            let rows = row.to_dtype(DType::I32).to_vec::<i32>().unwrap();
            assert_eq!(found, rows.iter().flat_map(|&r| whole[r as usize * 3..][..3].to_vec()).collect::<Vec<_>>());
            let put = Tensor::from_slice(&whole, [1, 6], device).scatter(
                1,
                &indices(2, 6, &[1, 2], unsigned, device),
                &Tensor::from_slice(&[-1i32, i32::MAX], [1, 2], device),
            );
            let mut expected = whole;
            (expected[2], expected[1]) = (-1, i32::MAX);
            assert_eq!(put.to_vec::<i32>().unwrap(), expected, "unsigned {unsigned}");
        }
    }
}

#[test]
fn one_hot_rows() {
    for device in [cpu(), gpu(), hardware()] {
        let x = Tensor::from_slice(&[2i32, 0, 1, 1], [2, 2], device).t().one_hot(3);
        assert_eq!(x.shape(), [2, 2, 3]);
        assert_eq!(x.to_vec::<f32>().unwrap(), [0., 0., 1., 0., 1., 0., 1., 0., 0., 0., 1., 0.]);
        assert_eq!(
            Tensor::from_slice(&[1u32], [1], device).expand([3]).one_hot(2).to_vec::<f32>().unwrap(),
            [0., 1., 0., 1., 0., 1.]
        );
        assert_eq!(Tensor::from_slice::<i32>(&[], [0], device).one_hot(4).shape(), [0, 4]);
        for (bad, index) in [
            (Tensor::from_slice(&[1i32, 3], [2], device), 3),
            (Tensor::from_slice(&[-1i32, 2], [2], device), -1),
            (Tensor::from_slice(&[0u32, 7], [2], device), 7),
        ] {
            let error = bad.one_hot(3).to_vec::<f32>().unwrap_err();
            let found = matches!(error, Error::IndexOutOfRange { index: i, bound: 3, .. } if i == index);
            assert!(found && error.to_string().starts_with("one_hot: index"), "{error}");
        }
        let error = Tensor::from_slice(&[0i32], [1], device).one_hot(0).check().unwrap_err().to_string();
        assert!(error.starts_with("one_hot: no index of [1] is one of 0 classes"), "{error}");
    }
}

/// Indices that are sorted first: rows of their own, rows shared along outer or inner dims, segments over many chunks.
#[test]
fn many_indices() {
    let mut failures = Vec::new();
    let input = |leaf| Input { name: "many indices", leaf, view: Tensor::clone };
    let random = |count: usize, bound: usize, x: &Tensor| {
        let mut rng = Rng(count as u64 + bound as u64);
        let data: Vec<i32> = (0..count).map(|_| rng.below(bound) as i32).collect();
        Tensor::from_slice(&data, [count], x.device())
    };
    for bound in [1, 2, 300, 5000] {
        let own = |x: &Tensor| {
            let base = Tensor::zeros([2, bound, 3], x.device()).to_dtype(x.dtype());
            base.scatter_add(1, &random(x.numel(), bound, x).reshape(x.shape()), x)
        };
        compare(&format!("scatter_add {bound}"), &input(&[2, 2500, 3]), &own, 1e-5, &mut failures);
        let put = |x: &Tensor| {
            let base = Tensor::zeros([2, bound, 3], x.device()).to_dtype(x.dtype());
            base.scatter(1, &random(x.numel(), bound, x).reshape(x.shape()), x)
        };
        compare(&format!("scatter {bound}"), &input(&[2, 2500, 3]), &put, 1e-6, &mut failures);
        let shared = |x: &Tensor| {
            let base = Tensor::ones([2, bound, 3], x.device()).to_dtype(x.dtype());
            base.index_add(1, &random(2500, bound, x), x)
        };
        compare(&format!("index_add {bound}"), &input(&[2, 2500, 3]), &shared, 1e-5, &mut failures);
        let outer = |x: &Tensor| {
            let base = Tensor::ones([4, bound], x.device()).to_dtype(x.dtype());
            base.scatter_add(1, &random(3000, bound, x).reshape([1, 3000]).expand([4, 3000]), x)
        };
        compare(&format!("one row of indices {bound}"), &input(&[4, 3000]), &outer, 1e-5, &mut failures);
    }
    let table = |x: &Tensor| Tensor::embedding(x, &random(900, 3000, x).reshape([30, 30]));
    compare("embedding", &input(&[3000, 16]), &table, 1e-6, &mut failures);
    report(failures);
}

/// The gradient of a large table, whose every element would look at every index otherwise.
#[test]
fn a_large_vocabulary() {
    let (vocabulary, tokens, width) = (50_000, 1024, 64);
    let mut rng = Rng(4);
    let index: Vec<i32> = (0..tokens).map(|k| if k % 3 == 0 { 7 } else { rng.below(vocabulary) as i32 }).collect();
    for device in [gpu(), hardware()] {
        let weight = Tensor::zeros([vocabulary, width], device).requires_grad();
        let at = Tensor::from_slice(&index, [tokens], device);
        let start = std::time::Instant::now();
        Tensor::embedding(&weight, &at).sum().backward().unwrap();
        let counts = weight.grad().unwrap().select(1, 5).to_vec::<f32>().unwrap();
        // Without the sort this takes minutes on a software adapter.
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        let mut expected = vec![0f32; vocabulary];
        index.iter().for_each(|&k| expected[k as usize] += 1.0);
        assert_eq!(counts, expected);
    }
}

/// Bad indices among many are reported, and memory beside the tensor stays as it is.
#[test]
fn bad_indices_among_many() {
    for device in [cpu(), gpu(), hardware()] {
        let n = 3000;
        for (bad, op) in [(-2i32, 0), (40, 0), (i32::MIN, 1), (41, 1), (40, 2)] {
            let mut at: Vec<i32> = (0..n as i32).map(|k| k % 40).collect();
            at[n / 2] = bad;
            let at = Tensor::from_slice(&at, [n, 1], device).expand([n, 60]);
            let (x, source) = (Tensor::zeros([40, 60], device), Tensor::ones([n, 60], device));
            let (found, name) = match op {
                0 => (x.scatter_add(0, &at, &source), "scatter_add"),
                1 => (x.scatter(0, &at, &source), "scatter"),
                _ => (x.index_add(0, &at.select(1, 0), &source), "scatter_add"),
            };
            let error = found.to_vec::<f32>().unwrap_err();
            let fits = matches!(error, Error::IndexOutOfRange { index, bound: 40, .. } if index == i64::from(bad));
            assert!(fits && error.to_string().starts_with(name), "{error}");
            assert_eq!(x.sum().item::<f32>().unwrap(), 0.0);
        }
    }
}

/// Sums of integers, slices put and filled, counts; sources and indices that are smaller than the tensor.
#[test]
fn slices_and_integers() {
    for device in [cpu(), gpu(), hardware()] {
        let at = Tensor::from_slice(&[2i32, 0, 2], [3], device);
        let ints = Tensor::from_slice(&[i32::MAX, 5, 1], [3], device);
        let zeros = Tensor::zeros([4], device);
        let sums = zeros.to_dtype(DType::I32).scatter_add(0, &at, &ints);
        assert_eq!(sums.to_vec::<i32>().unwrap(), [5, 0, i32::MIN, 0]);
        let words = Tensor::from_slice(&[u32::MAX, 5, 1], [3], device);
        let sums = zeros.to_dtype(DType::U32).index_add(-1, &at, &words);
        assert_eq!(sums.to_vec::<u32>().unwrap(), [5, 0, 0, 0]);
        let long = Tensor::from_slice(&(0..5000).collect::<Vec<i32>>(), [5000], device);
        let sums = long.slice(0, 0..300).index_add(0, &long.fmod(300.0).to_dtype(DType::I32), &long);
        let expected: Vec<i32> = (0..300).map(|k| k + (k..5000).step_by(300).sum::<i32>()).collect();
        assert_eq!(sums.to_vec::<i32>().unwrap(), expected);
        let x = Tensor::arange(0.0, 6.0, 1.0, device).reshape([2, 3]);
        let rows = Tensor::from_slice(&[10f32, 20., 30., 40.], [2, 2], device);
        let two = Tensor::from_slice(&[2u32, 0], [2], device);
        assert_eq!(x.index_copy(1, &two, &rows).to_vec::<f32>().unwrap(), [20., 1., 10., 40., 4., 30.]);
        assert_eq!(x.index_add(1, &two, &rows).to_vec::<f32>().unwrap(), [20., 1., 12., 43., 4., 35.]);
        assert_eq!(x.index_fill(1, &two, -1.0).to_vec::<f32>().unwrap(), [-1., 1., -1., -1., 4., -1.]);
        assert_eq!(x.index_fill(0, &two.slice(0, 1..2), 9.0).to_vec::<f32>().unwrap(), [9., 9., 9., 3., 4., 5.]);
        // An index narrower than the tensor and the source, as torch.scatter takes it.
        let part = Tensor::from_slice(&[1i32, 0], [1, 2], device);
        let source = Tensor::from_slice(&[7f32, 8., 9., 1., 2., 3.], [2, 3], device);
        assert_eq!(x.scatter(0, &part, &source).to_vec::<f32>().unwrap(), [0., 8., 2., 7., 4., 5.]);
        assert_eq!(x.scatter_add(0, &part, &source).to_vec::<f32>().unwrap(), [0., 9., 2., 10., 4., 5.]);
        let column = Tensor::from_slice(&[2i32, 1], [2, 1], device);
        assert_eq!(x.take_along_dim(&column, 1).to_vec::<f32>().unwrap(), [2., 4.]);
        assert_eq!(x.take_along_dim(&part, 1).to_vec::<f32>().unwrap(), [1., 0., 4., 3.]);
        assert_eq!(at.bincount(None, 4).to_vec::<i32>().unwrap(), [1, 0, 2, 0]);
        let weights = Tensor::from_slice(&[0.5f32, 1.0, 2.0], [3], device);
        assert_eq!(at.bincount(Some(&weights), 3).to_vec::<f32>().unwrap(), [1.0, 0.0, 2.5]);
        assert!(matches!(at.bincount(None, 2).to_vec::<i32>(), Err(Error::IndexOutOfRange { index: 2, .. })));
        for (found, text) in [
            (x.index_add(1, &two, &source), "index_add: the source must have shape [2, 2]"),
            (x.index_copy(1, &part, &rows), "index_copy: the index must have one dim"),
            (x.index_fill(2, &two, 0.0), "index_fill: dim 2 is out of range"),
            (x.index_add(1, &weights, &source), "index_add: indices must be i32 or u32"),
            (x.take_along_dim(&two, 1), "take_along_dim: the index must have the tensor's rank"),
            (x.scatter(1, &part.expand([3, 2]), &rows), "scatter: all must have the tensor's rank"),
            (at.bincount(Some(&rows), 4), "bincount: weights must have the shape of the indices"),
        ] {
            let error = found.check().expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

#[test]
fn derivatives_of_slices() -> wgrad::Result<()> {
    let x = floats(&Rng(1).vec(12, -1.0, 1.0), &[4, 3], cpu()).requires_grad();
    let y = floats(&Rng(2).vec(9, -1.0, 1.0), &[3, 3], cpu()).requires_grad();
    let functions: [fn(&[Tensor]) -> Tensor; 5] = [
        |x| x[0].index_add(0, &indices(3, 4, &[3], false, x[0].device()), &x[1]),
        |x| x[0].index_copy(0, &indices(3, 4, &[3], true, x[0].device()), &x[1]),
        |x| x[0].index_fill(1, &indices(1, 3, &[1], true, x[0].device()), 0.5) + x[1].sum(),
        |x| x[0].scatter(0, &indices(4, 4, &[2, 2], false, x[0].device()), &x[1]),
        |x| x[0].take_along_dim(&indices(2, 4, &[2, 1], false, x[0].device()), 0) * x[1].sum(),
    ];
    for f in functions {
        gradcheck(f, &[&x, &y], 1e-6)?;
        gradgradcheck(|x| f(x).square(), &[&x, &y], 1e-5)?;
    }
    Ok(())
}

/// The CPU reference against loops that share nothing with it.
#[test]
fn the_reference_agrees_with_plain_loops() {
    let (m, n, k) = (4usize, 6usize, 5usize);
    let (x, source) = (Rng(1).vec(m * n, -2.0, 2.0), Rng(2).vec(m * k, -2.0, 2.0));
    let index: Vec<i32> = (0..m * k).map(|i| ((i * 5 + 1) % n) as i32).collect();
    let (mut gathered, mut added, mut put) = (vec![0.0; m * k], x.clone(), x.clone());
    for r in 0..m {
        for j in 0..k {
            let at = r * n + index[r * k + j] as usize;
            gathered[r * k + j] = x[at];
            added[at] += source[r * k + j];
            put[at] = source[r * k + j];
        }
    }
    let (tensor, from) = (floats(&x, &[m, n], cpu()), floats(&source, &[m, k], cpu()));
    let at = Tensor::from_slice(&index, [m, k], cpu());
    assert_eq!(values(&tensor.gather(1, &at)), gathered);
    assert_close("scatter_add", &values(&tensor.scatter_add(1, &at, &from)), &added, 1e-12);
    assert_eq!(values(&tensor.scatter(1, &at, &from)), put);
    let rows = Tensor::from_slice(&[3i32, 0, 3], [3], cpu());
    let expected = [&x[3 * n..], &x[..n], &x[3 * n..]].concat();
    assert_eq!(values(&tensor.index_select(0, &rows)), expected);
    assert_eq!(values(&Tensor::embedding(&tensor, &rows)), expected);
}

/// No index lies in a dim without elements, though no kernel runs that could say so.
#[test]
fn dims_without_elements_have_no_place_for_indices() {
    for device in [cpu(), gpu(), hardware()] {
        let (x, source) = (Tensor::zeros([2, 0], device), Tensor::ones([2, 3], device));
        let index = indices(6, 1, &[2, 3], false, device);
        let none = Tensor::zeros([2, 0], device);
        let no_index = indices(0, 1, &[2, 0], false, device);
        for (found, name) in [
            (x.scatter_add(1, &index, &source), "scatter_add"),
            (x.scatter(1, &index, &source), "scatter"),
            (x.gather(1, &index), "gather"),
        ] {
            let error = found.to_vec::<f32>().expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("indexing.rs:"), "{error}");
        }
        for found in [x.scatter_add(1, &no_index, &none), x.scatter(1, &no_index, &none), x.gather(1, &no_index)] {
            assert_eq!((found.shape(), found.to_vec::<f32>().unwrap()), (&[2usize, 0][..], Vec::new()));
        }
    }
}

/// Rows of a table that many indices name: by fours and one by one, few and many indices, along each dim, on every family.
#[test]
fn rows_of_tables() {
    let dtypes = [DType::F32, DType::F16, DType::I32];
    for (n, (rows, width, count)) in
        [(700, 576, 40), (3000, 7, 400), (70, 64, 5000), (70, 5, 2500), (40_000, 36, 1)].into_iter().enumerate()
    {
        let mut rng = Rng(n as u64);
        let index: Vec<i32> = (0..count).map(|k| if k % 3 == 0 { rows / 2 } else { rng.below(rows) } as i32).collect();
        let (source, base) = (rng.vec(count * width, -1.0, 1.0), rng.vec(rows * width, -1.0, 1.0));
        for dtype in dtypes.into_iter().take(if n < 3 { 3 } else { 1 }) {
            let scale = if dtype == DType::I32 { 100.0 } else { 1.0 };
            // Integers within a hundred; floats as they are.
            let scaled = |data: &[f64]| data.iter().map(|v| v * scale).collect::<Vec<_>>();
            let (source, base) = (scaled(&source), scaled(&base));
            let run = |device: &Device| {
                poison(device);
                let index = Tensor::from_slice(&index, [count], device);
                let (x, source) =
                    (tensor(&base, &[rows, width], dtype, device), tensor(&source, &[count, width], dtype, device));
                let down = x.index_add(0, &index, &source);
                // The same along the middle dim of three, from a source that lies across memory.
                let middle = (x.reshape([1, rows, width]).expand([2, rows, width])).index_add(
                    1,
                    &index,
                    &source.t().contiguous().t().unsqueeze(0).expand([2, count, width]),
                );
                (values(&down), values(&middle))
            };
            let (expected, middle) = run(cpu());
            for device in [gpu(), hardware(), plain()] {
                let what = format!("{rows} rows of {width}, {count} indices, {dtype}");
                let tolerance = if dtype == DType::F16 { 1e-3 } else { 1e-6 };
                let found = run(device);
                assert_close(&what, &found.0, &expected, tolerance);
                assert_close(&what, &found.1, &middle, tolerance);
                assert_eq!(found, run(device), "{what}: twice the same bits");
            }
        }
    }
}

/// The gradient of a table that is also the weight of the last layer, and of one with a row that gets none.
#[test]
fn gradients_of_tied_and_padded_tables() {
    let (rows, width, count) = (4000, 24, 300);
    let mut rng = Rng(8);
    let index: Vec<i32> = (0..count).map(|_| rng.below(rows) as i32 / 7).collect();
    let (table, dy) = (rng.vec(rows * width, -1.0, 1.0), rng.vec(count * width, -1.0, 1.0));
    let run = |device: &Device| {
        poison(device);
        let leaf = floats(&table, &[rows, width], device).requires_grad();
        let at = Tensor::from_slice(&index, [count], device);
        let found = Tensor::embedding(&leaf, &at) * floats(&dy, &[count, width], device);
        let logits = found.slice(0, 0..5).matmul(&leaf.t());
        (found.sum() + logits.square().mean()).backward().unwrap();
        let tied = values(&leaf.grad().unwrap());
        // Once more, added to what is there.
        (Tensor::embedding(&leaf, &at) * 2.0).sum().backward().unwrap();
        let twice = values(&leaf.grad().unwrap());
        let mut layer = wgrad::nn::Embedding::with_padding(rows, width, index[3] as usize, device);
        layer.weight = floats(&table, &[rows, width], device).requires_grad();
        use wgrad::nn::Module;
        (layer.forward(&at) * floats(&dy, &[count, width], device)).sum().backward().unwrap();
        [tied, twice, values(&layer.weight.grad().unwrap())]
    };
    let expected = run(cpu());
    for device in [gpu(), hardware(), plain()] {
        for (found, expected) in run(device).iter().zip(&expected) {
            assert_close("a table's gradient", found, expected, 1e-5);
        }
    }
}
