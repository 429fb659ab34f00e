//! The CPU reference: runs the graph op by op, unfused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::array::Array;
use crate::backend::indexed;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::node::lock;
use crate::graph::{Meta, Value, Var};
use crate::schedule::Snapshot;
use crate::schedule::snapshot::Source;

/// The backend of the CPU reference.
#[derive(Default)]
pub struct CpuBackend {
    /// Flushes run one at a time: a flush takes the inputs away from nodes that it computes.
    running: Mutex<()>,
    pub flushes: AtomicU64,
    pub ops: AtomicU64,
}

impl CpuBackend {
    /// Computes what `targets` and the held nodes among `also` need.
    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        let _one_at_a_time = lock(&self.running);
        let snap = Snapshot::new(targets, also, 0);
        if snap.nodes.is_empty() {
            return Ok(());
        }
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.ops.fetch_add(snap.nodes.len() as u64, Ordering::Relaxed);
        let leaves = snap.leaves.iter().map(host_array).collect::<Result<Vec<_>>>()?;
        interpret(&snap, &leaves, |i, array| {
            let keep = snap.keep[i];
            if keep.root || keep.held || keep.awaits_backward {
                snap.nodes[i].0.set_value(array.clone() as Value);
            }
        })?;
        snap.nodes.iter().for_each(Var::settle);
        Ok(())
    }
}

/// Runs the reference of every node in order and hands each result to `done`. Results live until their last reader ran.
pub fn interpret(snap: &Snapshot, leaves: &[Arc<Array>], mut done: impl FnMut(usize, &Arc<Array>)) -> Result<()> {
    let mut readers = vec![0usize; snap.nodes.len()];
    for source in snap.inputs.iter().flatten() {
        if let Source::Pending(i) = source {
            readers[*i] += 1;
        }
    }
    let mut values: Vec<Option<Arc<Array>>> = vec![None; snap.nodes.len()];
    for (i, var) in snap.nodes.iter().enumerate() {
        let node = &var.0;
        let inputs = snap.inputs[i]
            .iter()
            .map(|source| match source {
                Source::Leaf(l) => Ok(leaves[*l].clone()),
                Source::Pending(j) => values[*j].clone().ok_or_else(|| missing(var)),
            })
            .collect::<Result<Vec<_>>>()?;
        let refs: Vec<&Array> = inputs.iter().map(|a| &**a).collect();
        let array = reference(var, &refs).map_err(|error| {
            let first = inputs.first().map(|array| array.shape());
            error.or_at(node.at).or_shape(|| indexed(var, first))
        })?;
        if (array.shape(), array.dtype()) != (node.meta.shape.clone(), node.meta.dtype) {
            let detail = format!(
                "the CPU reference gave {} {}, but the op's shape rule says {} {}",
                array.dtype(),
                array.shape(),
                node.meta.dtype,
                node.meta.shape
            );
            return Err(Error::argument(node.op.name(), detail).or_at(node.at));
        }
        let array = Arc::new(array);
        done(i, &array);
        if readers[i] > 0 {
            values[i] = Some(match var.scalar_value() {
                // Numbers beside f16 tensors keep their f32 value.
                Some(value) => Arc::new(Array::full(&node.meta.shape, node.meta.dtype.register(), value)),
                None => array,
            });
        }
        for source in &snap.inputs[i] {
            if let Source::Pending(j) = source {
                readers[*j] -= 1;
                if readers[*j] == 0 {
                    values[*j] = None;
                }
            }
        }
    }
    Ok(())
}

/// What the op's reference says; f16 is computed in f32 and rounded once.
fn reference(var: &Var, inputs: &[&Array]) -> Result<Array> {
    let (op, meta) = (&var.0.op, &var.0.meta);
    if meta.dtype != DType::F16 && inputs.iter().all(|a| a.dtype() != DType::F16) {
        return op.reference(inputs, meta);
    }
    let wide: Vec<Array> = inputs.iter().map(|a| a.cast(a.dtype().register())).collect();
    let output = Meta { shape: meta.shape.clone(), dtype: meta.dtype.register() };
    Ok(op.reference(&wide.iter().collect::<Vec<_>>(), &output)?.cast(meta.dtype))
}

/// The host array that a computed node of a CPU device holds.
pub fn host_array(var: &Var) -> Result<Arc<Array>> {
    let value = var.0.value().ok_or_else(|| missing(var))?;
    value.downcast::<Array>().map_err(|_| missing(var))
}

fn missing(var: &Var) -> Error {
    Error::argument(var.0.op.name(), "the value is not in host memory").or_at(var.0.at)
}
