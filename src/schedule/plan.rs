//! A plan: the dispatches of a flush, ready to run again on any data of the same structure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::caps::Caps;
use crate::codegen::{self, Bound, KernelText};
use crate::error::{Error, Result};
use crate::schedule::fuse;
use crate::schedule::memory::{self, Lifetime, Place};
use crate::schedule::snapshot::{Snapshot, Source};

pub use crate::codegen::ParamSource;

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferRef {
    /// The value of the leaf at this position.
    Leaf(usize),
    /// A value that the flush leaves behind: position in [`Plan::outputs`].
    Output(usize),
    /// A place in the workspace: position in [`Plan::places`].
    Place(usize),
}

/// One dispatch.
pub struct Step {
    pub kernel: Arc<KernelText>,
    pub buffers: Vec<BufferRef>,
    /// Parts that are bound in place of whole buffers: offset and size in bytes. Empty where all are bound whole.
    pub windows: Vec<Option<(u64, u64)>>,
    pub params: Vec<ParamSource>,
    pub workgroups: u64,
    /// Bytes touched at least.
    pub work: u64,
    /// Positions of the nodes that the kernel computes.
    pub members: Vec<usize>,
}

/// Everything that a flush of one structure does.
pub struct Plan {
    pub steps: Vec<Step>,
    /// Nodes whose values outlive the flush: (position, bytes).
    pub outputs: Vec<(usize, u64)>,
    /// Workspace places in use.
    pub places: Vec<Place>,
    /// Bytes of the workspace.
    pub workspace: u64,
    /// Bytes alive at once at least, workspace only.
    pub lower_bound: u64,
}

impl Plan {
    /// Plans a snapshot for a device.
    ///
    /// # Errors
    /// Where an op cannot run on the device at its size.
    pub fn new(snap: &Snapshot, caps: &Caps, fuse: bool) -> Result<Plan> {
        // Eight storage buffers are what every WebGPU device binds; one of them may be the index-fault buffer.
        let budget = caps.max_storage_buffers.min(8) as usize - 1;
        let (groups, keep) = fuse::groups(snap, budget, fuse)?;
        let mut steps = Vec::new();
        // Values in the order of their making, each with its lifetime in steps.
        let mut values: Vec<(Key, Lifetime)> = Vec::new();
        let mut index_of: HashMap<Key, usize> = HashMap::new();
        let mut bounds: Vec<Vec<Key>> = Vec::new();
        for (g, group) in groups.iter().enumerate() {
            let calls = codegen::generate(group, snap, caps)?;
            for call in calls.calls {
                if call.workgroups == 0 {
                    continue;
                }
                let step = steps.len();
                let mut own = Vec::with_capacity(call.bound.len());
                for bound in &call.bound {
                    let bound = match *bound {
                        Bound::Source(source) => Key::Source(source),
                        Bound::Scratch(k) => Key::Scratch(g, k),
                    };
                    own.push(bound);
                    let bytes = match bound {
                        Key::Source(Source::Leaf(_)) => continue,
                        Key::Source(Source::Pending(i)) => snap.nodes[i].meta().bytes(),
                        Key::Scratch(_, k) => calls.scratch[k],
                    };
                    let slot = *index_of.entry(bound).or_insert_with(|| {
                        values.push((bound, Lifetime { bytes, first: step, last: step }));
                        values.len() - 1
                    });
                    values[slot].1.last = step;
                }
                bounds.push(own);
                check_binding_sizes(&bounds[step], &call.windows, snap, &calls.scratch, caps, group)?;
                steps.push(Step {
                    kernel: call.kernel,
                    buffers: Vec::new(),
                    windows: call.windows,
                    params: call.params,
                    workgroups: call.workgroups,
                    work: call.work,
                    members: group.members.clone(),
                });
            }
        }
        let outputs: Vec<(usize, u64)> =
            (0..snap.nodes.len()).filter(|&i| keep[i]).map(|i| (i, snap.nodes[i].meta().bytes())).collect();
        let output_of: HashMap<usize, usize> = outputs.iter().enumerate().map(|(o, (i, _))| (*i, o)).collect();
        let transient: Vec<usize> = (0..values.len())
            .filter(|&v| !matches!(values[v].0, Key::Source(Source::Pending(i)) if output_of.contains_key(&i)))
            .collect();
        let lifetimes: Vec<Lifetime> = transient.iter().map(|&v| values[v].1).collect();
        let assigned = memory::assign(&lifetimes);
        let mut places: Vec<Place> = Vec::new();
        let mut place_of: HashMap<Key, usize> = HashMap::new();
        for (&v, place) in transient.iter().zip(&assigned) {
            let p = places.iter().position(|p| p == place).unwrap_or_else(|| {
                places.push(*place);
                places.len() - 1
            });
            place_of.insert(values[v].0, p);
        }
        for (step, own) in steps.iter_mut().zip(&bounds) {
            step.buffers = own
                .iter()
                .map(|bound| match bound {
                    Key::Source(Source::Leaf(l)) => Ok(BufferRef::Leaf(*l)),
                    Key::Source(Source::Pending(i)) if output_of.contains_key(i) => Ok(BufferRef::Output(output_of[i])),
                    other => place_of
                        .get(other)
                        .map(|&p| BufferRef::Place(p))
                        .ok_or_else(|| Error::argument("plan", "a buffer has no place")),
                })
                .collect::<Result<Vec<_>>>()?;
        }
        Ok(Plan {
            steps,
            outputs,
            workspace: memory::workspace_bytes(&assigned),
            lower_bound: memory::lower_bound(&lifetimes),
            places,
        })
    }
}

/// A buffer, unique in the plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Source(Source),
    /// Scratch buffer of a group.
    Scratch(usize, usize),
}

fn check_binding_sizes(
    bounds: &[Key],
    windows: &[Option<(u64, u64)>],
    snap: &Snapshot,
    scratch: &[u64],
    caps: &Caps,
    group: &crate::schedule::group::Group,
) -> Result<()> {
    for (i, bound) in bounds.iter().enumerate() {
        let in_windows = windows.get(i).is_some_and(Option::is_some);
        let limit = if in_windows { caps.max_buffer } else { caps.max_binding };
        let bytes = match bound {
            Key::Source(source) => snap.var(*source).meta().bytes(),
            Key::Scratch(_, k) => scratch[*k],
        };
        if bytes > limit {
            let node = &snap.nodes[group.members[0]].0;
            return Err(Error::TooLarge { op: node.op.name().into(), bytes, limit, at: node.at.into() });
        }
    }
    Ok(())
}
