//! `WGRAD_VALIDATE=1`: what the GPU computed against the CPU reference, flush by flush.

use std::sync::Arc;

use crate::array::Array;
use crate::backend::cpu;
use crate::backend::gpu::GpuBackend;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::gpu::Buffer;
use crate::graph::Meta;
use crate::ir::Snapshot;
use crate::ir::Source;

/// Relative error in the Euclidean norm up to which values count as equal; rounding stays far below it.
pub const TOLERANCE: f64 = 1e-3;

/// Runs the snapshot on the CPU and compares every value that the flush left behind.
///
/// # Errors
/// [`Error::Unsupported`] naming the first op whose value differs, with its source line.
pub fn compare<'a>(
    backend: &GpuBackend,
    snap: &Snapshot,
    leaves: &[Buffer],
    outputs: impl Iterator<Item = (usize, &'a Buffer)>,
) -> Result<()> {
    let fetch = |buffer: &Buffer, meta: &Meta| -> Result<Arc<Array>> {
        let (bytes, _) = pollster::block_on(backend.gpu.read(buffer, 0, meta.bytes(), 0..0))?;
        Ok(Arc::new(from_bytes(&bytes, meta)))
    };
    let leaves = snap.leaves.iter().zip(leaves).map(|(v, b)| fetch(b, v.meta())).collect::<Result<Vec<_>>>()?;
    let outputs = outputs.map(|(i, b)| Ok((i, fetch(b, snap.nodes[i].meta())?))).collect::<Result<Vec<_>>>()?;
    let all_pending_checks: Vec<_> = snap.leaves.iter().map(|leaf| leaf.0.pending_checks()).collect();
    let failures = cpu::failures(&all_pending_checks);
    let mut fault = None;
    // What an index out of range has spoilt holds arbitrary numbers, on both sides.
    let mut spoilt: Vec<bool> = Vec::with_capacity(snap.nodes.len());
    let output = |i: usize| outputs.iter().find(|(o, _)| *o == i);
    cpu::interpret(
        snap,
        cpu::Given { leaves: &leaves, failures: &failures },
        |i| output(i).is_some(),
        |i, found| {
            let inherited = |source: &Source| match source {
                Source::Leaf(leaf) => failures[*leaf].of_value,
                Source::Pending(input) => spoilt[*input],
            };
            spoilt.push(found.fault.is_some() || snap.check_inputs(i).iter().any(inherited));
            if let (None, false, Some((_, got)), Some(expected)) = (&fault, spoilt[i], output(i), found.array) {
                let error = relative_error(&got.to_f64(), &expected.to_f64());
                if error.is_nan() || error > TOLERANCE {
                    let node = &snap.nodes[i].0;
                    let detail =
                        format!("GPU and CPU disagree on shape {}: relative error {error:.2e}", node.meta.shape);
                    fault = Some(Error::unsupported(node.op.name(), detail).or_at(node.at));
                }
            }
        },
    )?;
    fault.map_or(Ok(()), Err)
}

/// `‖a − b‖ / ‖b‖` over elements that are not the same special value on both sides.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        if x == y || (x.is_nan() && y.is_nan()) {
            norm += if y.is_finite() { y * y } else { 0.0 };
            continue;
        }
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    if difference == 0.0 { 0.0 } else { (difference / norm.max(f64::MIN_POSITIVE)).sqrt() }
}

/// An array from the bytes of a GPU buffer.
pub fn from_bytes(bytes: &[u8], meta: &Meta) -> Array {
    match meta.dtype {
        DType::Bool => Array::from_vec(&meta.shape, bool::from_bytes(bytes)),
        DType::U32 => Array::from_vec(&meta.shape, u32::from_bytes(bytes)),
        DType::I32 => Array::from_vec(&meta.shape, i32::from_bytes(bytes)),
        DType::F16 => Array::from_vec(&meta.shape, half::f16::from_bytes(bytes)),
        DType::F32 => Array::from_vec(&meta.shape, f32::from_bytes(bytes)),
        DType::F64 => Array::from_vec(&meta.shape, f64::from_bytes(bytes)),
    }
}
