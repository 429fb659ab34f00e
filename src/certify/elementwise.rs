//! Every row of the elementwise table.

use super::ops::{Findings, Lie, Operand, Random, lies, types};
use crate::dtype::DType;
use crate::ops::elementwise::{Row, RowKind, row};
use crate::ops::registry::Entry;
use crate::tensor::Tensor;

/// Whether an operand is a condition.
fn is_bit(row: &Row, operand: usize) -> bool {
    row.kind == RowKind::Logical || (row.kind == RowKind::Select && operand == 0)
}

/// A row in all its types, in memory in several ways, and at several sizes.
pub fn try_all(entry: &Entry, half: bool, findings: &mut Findings) {
    let Some(row) = row(entry.name) else { return };
    let mut number = 0;
    let mut compare = |what: &str, dtype: DType, lie: Lie, shape: &[usize], findings: &mut Findings| {
        number += 1;
        let mut random = Random(number);
        let operand = |k: usize| {
            let (low, high) = row.domain[k];
            match is_bit(row, k) {
                true => Operand::random(shape, lie, DType::Bool, (-1.0, 1.0), &mut random),
                // Integers of an interval that starts above 0 would all be 0.
                false if !dtype.is_float() => {
                    Operand::random(shape, lie, dtype, (low.min(0.0), high + 1.0), &mut random)
                }
                false => {
                    // The bottom operand of a broadcast pair is one row; the others are whole.
                    let lie = if lie == Lie::Broadcast && k == 0 && row.tensors > 1 { Lie::Contiguous } else { lie };
                    Operand::random(shape, lie, dtype, (low, high), &mut random)
                }
            }
        };
        let operands: Vec<Operand> = (0..row.tensors).map(operand).collect();
        let run = |x: &[Tensor]| {
            // Options, which get no gradients, in the middle of what tests sample.
            let middle = |&(low, high): &(f64, f64)| Tensor::scalar((low + high) / 2.0, x[0].device());
            let options: Vec<Tensor> = row.domain[row.tensors..].iter().map(middle).collect();
            let rest: Vec<&Tensor> = x[1..].iter().chain(&options).collect();
            vec![x[0].elementwise(row.name, &rest)]
        };
        findings.compare(what, dtype, &operands, &run, dtype != DType::F32);
    };
    for dtype in types(entry, half) {
        compare("contiguous", dtype, Lie::Contiguous, &[5, 7], findings);
    }
    let first = types(entry, half)[0];
    for (what, lie) in lies(findings.device.info().software, findings.seed) {
        compare(what, first, lie, &[5, 7], findings);
    }
    for shape in [[0, 7], [1, 1], [1021, 33]] {
        compare(&format!("{shape:?}"), first, Lie::Contiguous, &shape, findings);
    }
}
