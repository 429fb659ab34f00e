//! Indexing: gather, scatter and what is built from them, forward and backward, over every way in which the operand lies in
//! memory, with indices of both types.

use wgrad::{Device, Tensor};

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
        for (dim, unsigned) in [(0, false), (0, true), (1, false), (1, true)] {
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
            if input.name == "many rows" && dim == 0 {
                continue; // More indices along the dim than `scatter` takes.
            }
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
            let at = index.to_dtype(wgrad::DType::I32).to_vec::<i32>().unwrap();
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
            let rows = row.to_dtype(wgrad::DType::I32).to_vec::<i32>().unwrap();
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
        let x = Tensor::from_slice(&[2i32, 0, -1, 3], [2, 2], device).t().one_hot(3);
        assert_eq!(x.shape(), [2, 2, 3]);
        assert_eq!(x.to_vec::<f32>().unwrap(), [0., 0., 1., 0., 0., 0., 1., 0., 0., 0., 0., 0.]);
        let x = Tensor::from_slice(&[1u32, u32::MAX], [2], device).one_hot(2);
        assert_eq!(x.to_vec::<f32>().unwrap(), [0., 1., 0., 0.]);
        assert_eq!(
            Tensor::from_slice(&[1i32], [1], device).expand([3]).one_hot(2).to_vec::<f32>().unwrap(),
            [0., 1., 0., 1., 0., 1.]
        );
        assert_eq!(Tensor::from_slice::<i32>(&[], [0], device).one_hot(4).shape(), [0, 4]);
        assert_eq!(Tensor::from_slice(&[1i32, 0], [2], device).one_hot(0).to_vec::<f32>().unwrap(), [0f32; 0]);
    }
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
    for device in [Device::cpu(), Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}"))] {
        let (x, source) = (Tensor::zeros([2, 0], &device), Tensor::ones([2, 3], &device));
        let index = indices(6, 1, &[2, 3], false, &device);
        let none = Tensor::zeros([2, 0], &device);
        let no_index = indices(0, 1, &[2, 0], false, &device);
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
