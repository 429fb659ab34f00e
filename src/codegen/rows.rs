//! Kernels over rows: an invocation takes a row, and each part of the group is a walk over it.

use crate::caps::Caps;
use crate::codegen::expr::{self, Quads, Space};
use crate::codegen::writer::{Segment, Writer};
use crate::codegen::{Bound, Calls, calls, elementwise, reduce, word};
use crate::error::Result;
use crate::schedule::group::{Body, Core, Group};
use crate::schedule::snapshot::{Snapshot, Source};

/// Invocations of a workgroup: few, since rows are long and all cores should have some.
const WORKGROUP: u32 = 16;
/// What a walk over the elements of a row counts by; the parts' bodies work on `[rows, size]`.
const DIMS: [usize; 1] = [1];

pub fn generate(
    group: &Group,
    parts: &[Group],
    rows: usize,
    size: usize,
    snap: &Snapshot,
    caps: &Caps,
) -> Result<Calls> {
    let mut writer = Writer::new(caps);
    let limit = writer.named_constant("threads", word(rows)?);
    let bodies = || parts.iter().map(over_elements);
    let quads = size.is_multiple_of(4) && bodies().all(|body| reduce::loads_quads(body, &DIMS));
    let (quads, width) = if quads { (Quads::Reduced, 4) } else { (Quads::None, 1) };
    let is_written = |node: usize| group.outputs.iter().any(|&(_, own)| own == node);
    let mut flops = 0;
    for part in parts {
        flops += calls(over_elements(part)) * (rows * size) as u64;
        match reduce::Parts::of(&part.core) {
            Some(reduction) => {
                flops += (rows * size) as u64 + calls(&part.body) * rows as u64;
                let dtypes = part.outputs.iter().map(|&(_, node)| (node, snap.nodes[node].dtype()));
                for (node, dtype) in dtypes.clone() {
                    writer.line(&format!("var row_{node}: {};", dtype.wgsl()));
                }
                writer.line("{");
                let values = reduce::row(&mut writer, &reduction, part, rows, size / width, quads, &limit)?;
                for (&(_, node), value) in part.outputs.iter().zip(&values) {
                    writer.line(&format!("row_{node} = {};", value.name));
                    if is_written(node) {
                        expr::store(&mut writer, Bound::Source(Source::Pending(node)), "thread", value, false);
                    }
                }
                writer.line("}");
                for (node, _) in dtypes {
                    writer.hold(Bound::Source(Source::Pending(node)), format!("row_{node}"));
                }
            }
            None => {
                let turns = writer.constant(word(size / width)?);
                let before_loop = writer.body.len();
                writer.line(&format!("for (var turn = 0u; turn < {turns}; turn += 1u) {{"));
                let space = Space::Split { kept: "thread", reduced: "turn", dims: &DIMS, quads };
                let values = expr::emit(&mut writer, &part.body, &space, None)?;
                let at = format!("thread * {turns} + turn");
                for &(value, node) in &part.outputs {
                    let target = Bound::Source(Source::Pending(node));
                    expr::store(&mut writer, target, &at, &values[value], width == 4);
                }
                writer.line("}");
                writer.read_params_once(before_loop);
            }
        }
    }
    let work = (parts.len() * rows * size * 4) as u64;
    let segment = Segment { size: WORKGROUP, limit, threads: word(rows)?, work, flops };
    let name = format!("{}_rows", elementwise::name(group, snap));
    Ok(Calls { calls: vec![writer.finish_threads(name, &segment)], scratch: Vec::new(), panels: Default::default() })
}

/// The code that runs at every element.
fn over_elements(part: &Group) -> &Body {
    match &part.core {
        Core::Reduce { body, .. } => body,
        _ => &part.body,
    }
}
