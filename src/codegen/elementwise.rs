//! Kernels of elementwise code alone: four elements an invocation.

use crate::caps::Caps;
use crate::codegen::expr::{self, Space};
use crate::codegen::writer::Writer;
use crate::codegen::{Bound, Calls, word, workgroup_size};
use crate::error::Result;
use crate::schedule::group::Group;
use crate::schedule::snapshot::{Snapshot, Source};

pub fn generate(group: &Group, snap: &Snapshot, caps: &Caps) -> Result<Calls> {
    let numel = word(group.numel)?;
    let quads = numel.div_ceil(4);
    let mut writer = Writer::default();
    let numel = writer.named_param("numel", "u32", super::ParamSource::Const(numel));
    let threads = writer.named_param("quads", "u32", super::ParamSource::Const(quads));
    let space = Space::Linear { index: "thread", vec4: true, numel: &numel };
    let values = expr::emit(&mut writer, &group.body, &space, None)?;
    for &(value, node) in &group.outputs {
        expr::store(&mut writer, Bound::Source(Source::Pending(node)), "thread", &values[value], true);
    }
    let size = workgroup_size(caps);
    let workgroups = u64::from(quads.div_ceil(size));
    let work = (group.body.leaves.len() + group.outputs.len()) as u64 * group.numel as u64 * 4;
    let call = writer.finish_threads(name(group, snap), size, &threads, workgroups, work);
    Ok(Calls { calls: vec![call], scratch: Vec::new() })
}

/// A kernel's name: the ops in it.
pub fn name(group: &Group, snap: &Snapshot) -> String {
    let ops: Vec<&str> = group.members.iter().take(6).map(|&m| snap.nodes[m].0.op.name()).collect();
    ops.join("_")
}
