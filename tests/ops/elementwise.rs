//! The elementwise table: every row in every form, forward and backward, against the f64 reference.

use wgrad::internals::rows;
use wgrad::internals::{Row, RowKind};
use wgrad::{DType, Device, Tensor};

use crate::common::*;

/// How the operands lie in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// One dim of this many elements.
    Plain(usize),
    /// No element, three dims.
    Empty,
    /// No dim.
    RankZero,
    /// Every second column from the second on.
    Strided,
    /// Rows of a wider matrix, cut at a multiple of four.
    Window,
    Flipped,
    Transposed,
    /// The first operand has every dim, the others are rows.
    BroadcastOne,
    /// The first operand is a column, the others are rows.
    BroadcastBoth,
    /// All operands but the first (or the first) are numbers.
    Scalar {
        first: bool,
    },
    /// All operands but the first are buffers of one element.
    OneElement,
}

const FORMS: [Form; 16] = [
    Form::Plain(4097),
    Form::Plain(1023),
    Form::Plain(7),
    Form::Plain(1),
    Form::Plain(0),
    Form::Empty,
    Form::RankZero,
    Form::Strided,
    Form::Window,
    Form::Flipped,
    Form::Transposed,
    Form::BroadcastOne,
    Form::BroadcastBoth,
    Form::Scalar { first: false },
    Form::Scalar { first: true },
    Form::OneElement,
];

impl Form {
    fn applies_to(self, row: &Row) -> bool {
        match self {
            Form::Scalar { .. } | Form::OneElement | Form::BroadcastOne => row.tensors > 1,
            _ => true,
        }
    }

    fn is_scalar(self, operand: usize) -> bool {
        matches!(self, Form::Scalar { first } if (operand == 0) == first)
    }

    /// Shape of the leaf behind an operand.
    fn shape(self, operand: usize) -> Vec<usize> {
        match self {
            Form::Plain(n) => vec![n],
            Form::Empty => vec![3, 0, 5],
            Form::RankZero => vec![],
            Form::Strided => vec![9, 15],
            Form::Window => vec![6, 16],
            Form::Flipped => vec![9, 7],
            Form::Transposed => vec![5, 3, 4],
            Form::BroadcastOne if operand == 0 => vec![6, 8],
            Form::BroadcastOne => vec![8],
            Form::BroadcastBoth if operand == 0 => vec![6, 1],
            Form::BroadcastBoth => vec![1, 8],
            Form::Scalar { .. } => vec![37],
            Form::OneElement => {
                if operand == 0 {
                    vec![3, 7]
                } else {
                    vec![]
                }
            }
        }
    }

    /// The operand that the op sees.
    fn view(self, leaf: &Tensor, tensors: usize) -> Tensor {
        match self {
            Form::Strided => leaf.slice_step(1, 1..15, 2),
            Form::Window => leaf.narrow(1, 4, 8),
            Form::Flipped => leaf.flip(&[0, 1]),
            Form::Transposed => leaf.permute(&[2, 0, 1]),
            Form::BroadcastBoth if tensors == 1 => leaf.expand([6, 8]),
            _ => leaf.clone(),
        }
    }
}

fn is_bit(row: &Row, operand: usize) -> bool {
    row.kind == RowKind::Logical || (row.kind == RowKind::Select && operand == 0)
}

/// Random numbers where the row's tests sample; `coarse` ones lie on a grid and so meet ties and kinks.
fn sample(row: &Row, operand: usize, count: usize, coarse: bool, rng: &mut Rng) -> Vec<f64> {
    let (low, high) = row.domain[operand];
    let number = |x: f64| f64::from(((x * 2.0).round() / 2.0).clamp(low, high) as f32);
    rng.vec(count, low, high)
        .into_iter()
        .map(|x| match (is_bit(row, operand), coarse || row.kind == RowKind::Compare) {
            (true, _) => x.round(),
            (false, true) => number(x),
            (false, false) => x,
        })
        .collect()
}

/// A case with its data: leaves, numbers and the upstream gradient.
struct Case<'a> {
    row: &'a Row,
    form: Form,
    data: Vec<Vec<f64>>,
    seed: u64,
}

/// What a device makes of a case.
struct Outcome {
    y: Vec<f64>,
    dtype: DType,
    shape: Vec<usize>,
    grads: Vec<Option<Vec<f64>>>,
}

impl<'a> Case<'a> {
    fn new(row: &'a Row, form: Form, seed: u64, coarse: bool) -> Case<'a> {
        let mut rng = Rng(seed);
        let count = |k: usize| {
            let scalar = k >= row.tensors || form.is_scalar(k);
            if scalar { 1 } else { form.shape(k).iter().product() }
        };
        let data = (0..row.args.len()).map(|k| sample(row, k, count(k), coarse, &mut rng)).collect();
        Case { row, form, data, seed }
    }

    /// Runs the case; with `flush` the forward value is computed before the gradient is asked for.
    fn run(&self, device: &Device, flush: bool) -> Outcome {
        let row = self.row;
        let mut leaves: Vec<Option<Tensor>> = Vec::new();
        let mut operands: Vec<Tensor> = Vec::new();
        for (k, values) in self.data.iter().enumerate() {
            if k >= row.tensors || self.form.is_scalar(k) {
                leaves.push(None);
                let scalar = Tensor::scalar(values[0] as f32, device);
                operands.push(if is_bit(row, k) { scalar.to_dtype(DType::Bool) } else { scalar });
                continue;
            }
            let dtype = if is_bit(row, k) { DType::Bool } else { DType::F32 };
            let mut leaf = tensor(values, &self.form.shape(k), dtype, device);
            if row.derivative.is_some() && dtype == DType::F32 {
                leaf = leaf.requires_grad();
            }
            operands.push(self.form.view(&leaf, row.tensors));
            leaves.push(Some(leaf));
        }
        let rest: Vec<&Tensor> = operands[1..].iter().collect();
        let y = operands[0].elementwise(row.name, &rest);
        y.check().unwrap_or_else(|error| panic!("{} {:?}: {error}", row.name, self.form));
        if flush {
            y.realize().unwrap();
        }
        let mut grads = vec![None; row.args.len()];
        if leaves.iter().flatten().any(Tensor::is_leaf_with_grad) {
            let dy = floats(&Rng(self.seed ^ 0xdead).vec(y.numel(), -1.5, 1.5), y.shape(), device);
            y.backward_with(&dy).unwrap_or_else(|error| panic!("{} {:?}: {error}", row.name, self.form));
            for (grad, leaf) in grads.iter_mut().zip(&leaves) {
                let leaf = leaf.as_ref().filter(|l| l.is_leaf_with_grad());
                *grad = leaf.map(|l| values(&l.grad().expect("a gradient")));
            }
        }
        Outcome { dtype: y.dtype(), shape: y.shape().to_vec(), y: values(&y), grads }
    }

    /// Compares a GPU device with the reference; returns the worst forward and backward errors.
    fn compare(&self, flush: bool, device: &Device) -> Result<(f64, f64), String> {
        let expected = self.run(cpu(), flush);
        let found = self.run(device, flush);
        let what = format!("{} {:?}", self.row.name, self.form);
        if found.shape != expected.shape {
            return Err(format!("{what}: shape {:?} instead of {:?}", found.shape, expected.shape));
        }
        let wanted = if expected.dtype == DType::F64 { DType::F32 } else { expected.dtype };
        if found.dtype != wanted {
            return Err(format!("{what}: type {} instead of {wanted}", found.dtype));
        }
        let check = |part: &str, a: &[f64], b: &[f64]| {
            let error = relative_error(a, b);
            if error <= self.row.tolerance {
                return Ok(error);
            }
            let first = first_difference(a, b, self.row.tolerance);
            Err(format!("{what} {part}: error {error:.2e}, {first}"))
        };
        let forward = check("forward", &found.y, &expected.y)?;
        let mut backward = 0f64;
        for (k, (a, b)) in found.grads.iter().zip(&expected.grads).enumerate() {
            if let (Some(a), Some(b)) = (a, b) {
                backward = backward.max(check(&format!("gradient of {}", self.row.args[k]), a, b)?);
            }
        }
        Ok((forward, backward))
    }
}

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_row_in_every_form() {
    let mut failures = Vec::new();
    let mut table = String::from("op                forward   backward\n");
    for (r, row) in rows().iter().enumerate() {
        poison(gpu());
        let mut worst = (0f64, 0f64);
        for (f, &form) in FORMS.iter().enumerate().filter(|(_, f)| f.applies_to(row)) {
            let seed = (r * 1000 + f) as u64;
            let mut cases = vec![(Case::new(row, form, seed, false), f % 2 == 0)];
            if form == Form::Plain(1023) {
                cases.push((Case::new(row, form, seed + 100, true), false));
                cases.push((Case::new(row, form, seed + 200, false), true));
            }
            for (case, flush) in cases {
                match case.compare(flush, gpu()) {
                    Ok((forward, backward)) => worst = (worst.0.max(forward), worst.1.max(backward)),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        table += &format!("{:16} {:9.1e} {:9.1e}\n", row.name, worst.0, worst.1);
    }
    println!("{table}");
    report(failures);
}

/// More workgroups than one dimension of a dispatch takes: they are laid out in two.
#[test]
fn every_row_in_more_workgroups_than_a_dimension_takes() {
    // A workgroup of one invocation computes four elements.
    let form = Form::Plain(4 * 65_537 + 5);
    let mut failures = Vec::new();
    for (r, row) in rows().iter().enumerate() {
        if let Err(failure) = Case::new(row, form, r as u64, false).compare(false, crate::grid::one_invocation()) {
            failures.push(failure);
        }
    }
    report(failures);
}

/// As many elements as a binding holds on many adapters (128 MiB). Data and verdict stay on the GPU.
#[test]
fn as_large_as_a_binding() {
    let n = 1usize << 25;
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu());
    x.realize().unwrap();
    let y = (&x + 3.0).relu();
    y.realize().unwrap();
    // Each op rounds as f32 does, so this difference is exact.
    let wrong = (&y - &x).ne(3.0).logical_and(x.lt(16_777_000.0)).to_dtype(DType::I32).sum();
    assert_eq!(wrong.item::<i32>().unwrap(), 0);
    let tail = y.slice(0, n - 3..n);
    assert_eq!(values(&tail), [n as f64, n as f64, n as f64 + 4.0].map(|v| f64::from(v as f32)));
}

/// Invocations that take eight elements on some adapters: several operands, one of them twice, of two types, with numbers that say where
/// they are, several results, and sizes that are not a multiple of eight.
#[test]
fn chains_over_many_elements() {
    for (seed, n) in [(1, 1 << 16), (2, (1 << 16) + 8), (3, (1 << 16) + 4), (4, (1 << 16) + 1), (5, 3 << 17)] {
        let mut rng = Rng(seed);
        let (x, y) = (rng.vec(n, -2.0, 2.0), rng.vec(n, -2.0, 2.0));
        let counts: Vec<i32> = (0..n).map(|_| rng.bits() as i32 % 5).collect();
        let run = |device: &Device| {
            poison(device);
            let (x, y) = (floats(&x, &[n], device).requires_grad(), floats(&y, &[n], device));
            let counts = Tensor::from_slice(&counts, [n], device);
            let place = Tensor::arange(0.0, n as f32, 1.0, device) / n as f32;
            let chain = (&x * &y + &x).relu() * 0.5 + &place;
            let chosen = counts.gt(0.0).where_(&chain, y.sin());
            let flags = chosen.gt(0.25);
            let total = (&chosen * &y).sum();
            total.backward().unwrap_or_else(|error| panic!("{error}"));
            [chosen, counts.to_dtype(DType::F32), flags.to_dtype(DType::F32), total, x.grad().unwrap()]
        };
        for (found, expected) in run(gpu()).iter().zip(&run(cpu())) {
            assert_same(&format!("{n} elements"), found, expected, 1e-5);
        }
    }
}
