//! Kernels over rows: an invocation takes a row, on GPUs some neighbours together, and each part of the group is a walk over it.

use crate::caps::Caps;
use crate::codegen::expr::{self, Quads, Space};
use crate::codegen::writer::{Held, Segment, Writer};
use crate::codegen::{Bound, Calls, calls, elementwise, reduce, word};
use crate::error::Result;
use crate::ir::group::{Body, Core, Group};
use crate::ir::{Dag, Source};

/// Invocations of a workgroup: few, since rows are long and all cores should have some.
const WORKGROUP: u32 = 16;
/// What a walk over the elements of a row counts by; the parts' bodies work on `[rows, size]`.
const DIMS: [usize; 1] = [1];

pub fn generate(group: &Group, parts: &[Group], rows: usize, size: usize, dag: &Dag, caps: &Caps) -> Result<Calls> {
    let mut writer = Writer::new(caps);
    let limit = writer.named_constant("threads", word(rows)?);
    let bodies = || parts.iter().map(over_elements);
    let quads = size.is_multiple_of(4) && bodies().all(|body| reduce::loads_quads(body, &DIMS));
    let (quads, width) = if quads { (Quads::Reduced, 4) } else { (Quads::None, 1) };
    let is_written = |node: usize| group.outputs.iter().any(|&(_, own)| own == node);
    let sharers = sharers(size / width, caps);
    let (first, step) = if sharers > 1 { ("sharer", sharers) } else { ("0u", 1) };
    // Opens a block for what only some sharers do.
    let only = |which: &str| if sharers > 1 { format!("if ({which}) {{") } else { "{".to_owned() };
    let mut flops = 0;
    for part in parts {
        flops += calls(over_elements(part)) * (rows * size) as u64;
        match reduce::Parts::of(&part.core) {
            Some(reduction) => {
                flops += (rows * size) as u64 + calls(&part.body) * rows as u64;
                let dtypes = part.outputs.iter().map(|&(_, node)| (node, dag.nodes[node].dtype()));
                for (node, dtype) in dtypes.clone() {
                    writer.line(&format!("var row_{node}: {};", dtype.wgsl()));
                }
                writer.line("{");
                let values = reduce::row(&mut writer, &reduction, part, rows, size / width, quads, &limit, sharers)?;
                for (&(_, node), value) in part.outputs.iter().zip(&values) {
                    writer.line(&format!("row_{node} = {};", value.name));
                }
                writer.line(&only("is_own && sharer == 0u"));
                for (&(_, node), value) in part.outputs.iter().zip(&values).filter(|((_, node), _)| is_written(*node)) {
                    expr::store(&mut writer, Bound::Source(Source::Pending(node)), "thread", value, false);
                }
                writer.line("}\n    }");
                for (node, _) in dtypes {
                    let held = Held { name: format!("row_{node}"), vec4: false };
                    writer.hold(Bound::Source(Source::Pending(node)), held);
                }
            }
            None => {
                let iterations = writer.constant(word(size / width)?);
                let before_loop = writer.body.len();
                writer.line(&only("is_own"));
                writer.line(&format!("for (var turn = {first}; turn < {iterations}; turn += {step}u) {{"));
                let space = Space::Split { kept: "thread", reduced: "turn", dims: &DIMS, quads };
                let values = expr::emit(&mut writer, &part.body, &space, None)?;
                let at = format!("thread * {iterations} + turn");
                for &(value, node) in &part.outputs {
                    let target = Bound::Source(Source::Pending(node));
                    expr::store(&mut writer, target, &at, &values[value], width == 4);
                }
                writer.line("}\n    }");
                writer.read_params_once(before_loop);
            }
        }
    }
    let work = (parts.len() * rows * size * 4) as u64;
    let size = if caps.policy().shares_rows { reduce::SHARED_WORKGROUP } else { WORKGROUP };
    let segment = Segment { size, limit, threads: word(rows)?, work, flops };
    let name = format!("{}_rows", elementwise::name(group, dag));
    let call = match sharers {
        1 => writer.finish_threads(name, &segment),
        _ => writer.finish_shared(name, &segment, sharers),
    };
    Ok(Calls { calls: vec![call], scratch: Vec::new(), panels: Default::default() })
}

/// Invocations that share a row of so many parts: each has at least one.
fn sharers(parts: usize, caps: &Caps) -> u32 {
    if caps.policy().shares_rows { 1 << parts.clamp(1, reduce::SHARED_WORKGROUP as usize).ilog2() } else { 1 }
}

/// The code that runs at every element.
fn over_elements(part: &Group) -> &Body {
    match &part.core {
        Core::Reduce { body, .. } => body,
        _ => &part.body,
    }
}
