//! Rows about sizes around the adapter's limits, and about determinism.

use super::ops::{relative_error, values};
use super::{Row, Section, Status, text_of};
use crate::autograd::grad;
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::loss;
use crate::ops::conv::Conv;
use crate::tensor::Tensor;

/// Bytes up to which a tensor at the limit of a binding is computed, and not only planned.
const COMPUTED: u64 = 512 << 20;
/// The same for tensors with indices past 2²⁴.
const INDEXED: u64 = 64 << 20;

fn row(section: Section, name: impl Into<String>, outcome: Result<(bool, String)>) -> Row {
    match outcome {
        Ok((true, note)) => Row::new(section, name, Status::Passed, note),
        Ok((false, note)) => Row::new(section, name, Status::Failed, note),
        Err(Error::OutOfMemory { .. }) => Row::new(section, name, Status::NotOffered, "too little memory"),
        Err(error) => Row::refused(section, name, &error),
    }
}

/// Rows of limits.
pub fn rows(device: &Device) -> Vec<Row> {
    let Some(caps) = device.caps().cloned() else { return Vec::new() };
    let reference = Device::cpu();
    let mut rows = Vec::new();
    // With one invocation in a workgroup, few elements fill a dimension of the grid.
    if let Some(narrow) = device.variant(|caps| caps.max_invocations = 1) {
        for workgroups in [65_534, 65_535, 65_536, 65_543] {
            let name = format!("{workgroups} workgroups");
            rows.push(row(Section::Limits, name, grid(workgroups, &narrow, &reference)));
        }
    }
    let name = "indices past 2²⁴, in as many invocations";
    rows.push(match caps.max_binding >= INDEXED + (1 << 20) {
        true => row(Section::Limits, name, indices(device)),
        false => Row::new(Section::Limits, name, Status::NotOffered, "bindings are too small"),
    });
    let elements = (caps.max_binding / 4).min(u64::from(u32::MAX)) as usize / 4 * 4;
    for (what, count) in
        [("4 elements fewer than", elements - 4), ("as much as", elements), ("4 elements more than", elements + 4)]
    {
        let name = format!("{what} a binding holds");
        rows.push(row(Section::Limits, name, at_the_limit(count, caps.max_binding, device)));
    }
    rows.push(row(Section::Limits, "a routine past the largest binding is refused", refused(device, elements)));
    rows.push(row(Section::Limits, "2³² elements are refused", whole_range(device)));
    rows
}

/// An elementwise op with strides, and reductions, over as many workgroups of one invocation.
fn grid(workgroups: usize, narrow: &Device, reference: &Device) -> Result<(bool, String)> {
    let run = |device: &Device| -> Result<Vec<f64>> {
        let numbers: Vec<f32> = (0..workgroups * 4).map(|i| (i % 1013) as f32 / 512.0 - 1.0).collect();
        let x = Tensor::from_slice(&numbers, [4, workgroups], device).requires_grad();
        let y = &x * 2.0 + x.flip(&[1]);
        let sums = x.t().sum_dims(&[1], false);
        let loss = (&sums * &sums).sum() + y.square().mean();
        let dx = grad(&[&loss], &[&x], false)?;
        Ok([values(&y)?, values(&sums)?, values(&dx[0])?].concat())
    };
    let error = relative_error(&run(narrow)?, &run(reference)?);
    Ok((error < 1e-5, format!("relative error {error:.1e}")))
}

/// Elements by their numbers, which f32 could not hold.
fn indices(device: &Device) -> Result<(bool, String)> {
    let (rows, columns) = (4097usize, 4096usize);
    let part = |count: usize| Tensor::arange_as(0.0, count as f64, 1.0, DType::I32, device);
    let numbers = (part(rows).reshape([rows, 1]) * columns as i32 + part(columns)).reshape([rows * columns]);
    let gathered = numbers.gather(0, &numbers.flip(&[0]));
    let wrong = gathered.ne(numbers.flip(&[0])).to_dtype(DType::I32).sum().item::<i32>()?;
    let last = gathered.slice(0, 0..1).item::<i32>()?;
    Ok((wrong == 0 && last as usize == rows * columns - 1, format!("{wrong} of {} are wrong", rows * columns)))
}

/// An elementwise op and a sum: in windows, where a binding does not hold all.
fn at_the_limit(count: usize, binding: u64, device: &Device) -> Result<(bool, String)> {
    if u32::try_from(count).is_err() {
        let refused = (Tensor::zeros([count], device) + 1.0).sum().plan().is_err();
        return Ok((refused, "refused: 32-bit indices do not reach it".into()));
    }
    let ones = Tensor::zeros_as([count], DType::I32, device) + 1;
    if binding > COMPUTED {
        // Both ops read what is stored; nothing of this size is computed.
        ones.plan()?;
        return Ok((true, "planned only".into()));
    }
    ones.realize()?;
    let sum = ones.sum().item::<i32>()?;
    Ok((sum as usize == count, format!("the sum of {count} ones is {sum}")))
}

/// Routines bind whole tensors: past the limit they are an error, and nothing else happens.
fn refused(device: &Device, elements: usize) -> Result<(bool, String)> {
    let large = Tensor::zeros([elements + 1024], device) + 1.0;
    let mut kept = Vec::new();
    let plans = [
        ("cumsum", large.cumsum(0).plan().err()),
        ("sort", large.sort(0, false).0.plan().err()),
        ("softmax", large.reshape([1, elements + 1024]).softmax(1).plan().err()),
        ("gather", large.gather(0, &Tensor::zeros_as([3], DType::I32, device)).plan().err()),
    ];
    for (name, error) in plans {
        match error {
            Some(Error::TooLarge { .. } | Error::TooManyElements { .. }) => {}
            Some(error) => kept.push(format!("{name}: {error}")),
            None => kept.push(format!("{name} is planned")),
        }
    }
    let right = kept.is_empty();
    Ok((right, if right { "cumsum, sort, softmax, gather".to_owned() } else { kept.join("; ") }))
}

fn whole_range(device: &Device) -> Result<(bool, String)> {
    let outcome = (Tensor::zeros([1 << 16, 1 << 16], device) + 1.0).plan();
    Ok((outcome.is_err(), outcome.err().map_or_else(|| "planned".to_owned(), |error| text_of(&error))))
}

/// What is computed for determinism.
type Run = fn(&Device) -> Result<Vec<f32>>;

const RUNS: &[(&str, Run)] = &[
    ("products and their gradients", |device| {
        let (a, b) =
            (Tensor::randn([70, 300], device).requires_grad(), Tensor::randn([300, 90], device).requires_grad());
        let y = a.matmul(&b);
        bits(&y, &grad(&[&y.square().sum()], &[&a, &b], false)?)
    }),
    ("convolutions and their gradients", |device| {
        let (x, w) = (
            Tensor::randn([4, 8, 15, 15], device).requires_grad(),
            Tensor::randn([12, 8, 3, 3], device).requires_grad(),
        );
        let y = x.conv2d(&w, None, Conv::default().padding(1));
        bits(&y, &grad(&[&y.square().sum()], &[&x, &w], false)?)
    }),
    ("attention and its gradients", |device| {
        let q: Vec<Tensor> = (0..3).map(|_| Tensor::randn([2, 2, 50, 16], device).requires_grad()).collect();
        let y = q[0].scaled_dot_product_attention(&q[1], &q[2], None, true);
        bits(&y, &grad(&[&y.square().sum()], &[&q[0], &q[1], &q[2]], false)?)
    }),
    ("sums, losses and scatters", |device| {
        let x = Tensor::randn([500, 37], device).requires_grad();
        let classes = Tensor::randint([500], 0, 37, device);
        let y = loss::cross_entropy(&x, &classes) + x.sum().tanh() + x.index_select(0, &classes).square().mean();
        bits(&y, &grad(&[&y], &[&x], false)?)
    }),
    ("norms", |device| {
        let (x, w) = (Tensor::randn([300, 96], device).requires_grad(), Tensor::randn([96], device).requires_grad());
        let y = x.layer_norm(&w, None, 1e-5).softmax(1);
        bits(&y, &grad(&[&y.square().sum()], &[&x, &w], false)?)
    }),
];

/// The elements of a value and of gradients.
fn bits(y: &Tensor, gradients: &[Tensor]) -> Result<Vec<f32>> {
    let all = std::iter::once(y).chain(gradients).map(Tensor::to_vec::<f32>);
    Ok(all.collect::<Result<Vec<_>>>()?.concat())
}

/// Rows of determinism: the same seed three times.
pub fn determinism(device: &Device, seed: u64) -> Vec<Row> {
    let same = |run: &Run| -> Result<(bool, String)> {
        let once = || -> Result<Vec<u32>> {
            device.seed(seed);
            Ok(run(device)?.into_iter().map(f32::to_bits).collect())
        };
        let first = once()?;
        let differ = |other: Vec<u32>| first.iter().zip(&other).filter(|(a, b)| a != b).count();
        let different = differ(once()?) + differ(once()?);
        Ok((different == 0, format!("{different} of {} values differ", 2 * first.len())))
    };
    RUNS.iter().map(|(name, run)| row(Section::Determinism, *name, same(run))).collect()
}
