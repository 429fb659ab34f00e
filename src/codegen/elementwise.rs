//! Kernels of elementwise code alone: four elements per invocation.
//!
//! Where a buffer is larger than a binding may be, the kernel runs over windows: each run binds a part of every buffer that is
//! walked from start to end, and the others whole.

use crate::caps::Caps;
use crate::codegen::expr::{self, Space};
use crate::codegen::writer::{Held, Segment, Writer};
use crate::codegen::{Bound, Call, Calls, calls, word, workgroup_size};
use crate::error::{Error, Result};
use crate::ir::group::Group;
use crate::ir::{Dag, Source};

/// Bytes of the largest element in a buffer.
const ELEMENT: u64 = 4;
/// Elements from which it pays to load eight at once.
const MANY: usize = 1 << 16;
/// A window starts at a multiple of this many elements, so that bindings start at multiples of 256 bytes, even of f16.
pub(super) const WINDOW_GRAIN: u64 = 128;

pub fn generate(group: &Group, dag: &Dag, caps: &Caps) -> Result<Calls> {
    let largest = largest(group, dag);
    if largest <= caps.max_binding {
        return Ok(Calls { calls: vec![kernel(group, dag, caps, None)?], ..Calls::default() });
    }
    // A buffer bound in part cannot be walked in another order as well.
    let flat = |source: Source| group.body.leaves.iter().any(|l| l.source == source && l.layout.is_flat());
    if group.body.leaves.iter().any(|l| flat(l.source) && !l.layout.is_flat()) {
        let op = name(group, dag);
        return Err(Error::TooLarge { op, bytes: largest, limit: caps.max_binding, at: Default::default() });
    }
    let window = (caps.max_binding / ELEMENT / WINDOW_GRAIN * WINDOW_GRAIN) as usize;
    let starts = (0..group.numel).step_by(window.max(1));
    let calls = starts.map(|start| kernel(group, dag, caps, Some((start, window.min(group.numel - start)))));
    Ok(Calls { calls: calls.collect::<Result<_>>()?, ..Calls::default() })
}

/// The kernel over all elements, or over a window: first element and number of elements.
fn kernel(group: &Group, dag: &Dag, caps: &Caps, window: Option<(usize, usize)>) -> Result<Call> {
    let mut writer = Writer::new(caps);
    let segment = match octets(group, caps, window) {
        true => pairs(&mut writer, group, caps)?,
        false => segment(&mut writer, group, caps, window)?,
    };
    let mut call = writer.finish_threads(name(group, dag), &segment);
    if let Some((start, count)) = window {
        let range = |source: Source| {
            let size = dag.var(source).dtype().size() as u64;
            (start as u64 * size, (count as u64 * size).next_multiple_of(16))
        };
        let windowed = |source: &Source| {
            let mut reads = group.body.leaves.iter().filter(|l| l.source == *source);
            group.outputs.iter().any(|&(_, node)| group.target(node) == *source) || reads.any(|l| l.layout.is_flat())
        };
        let of = |bound: &Bound| match bound {
            Bound::Source(s) if windowed(s) => Some(range(*s)),
            _ => None,
        };
        call.windows = call.bound.iter().map(of).collect();
    }
    Ok(call)
}

/// Whether invocations take eight elements.
fn octets(group: &Group, caps: &Caps, window: Option<(usize, usize)>) -> bool {
    let leaves = &group.body.leaves;
    let many = group.numel.is_multiple_of(8) && group.numel >= MANY;
    // A buffer that is written is bound in one width.
    many && window.is_none()
        && group.in_place.is_empty()
        && !leaves.is_empty()
        && leaves.iter().all(|leaf| expr::loads_octets(leaf, caps))
}

/// Writes the body for two groups of four elements, whose operands are loaded together.
fn pairs(writer: &mut Writer, group: &Group, caps: &Caps) -> Result<Segment> {
    let octets = word(group.numel / 8)?;
    let numel = writer.named_constant("numel", word(group.numel)?);
    let limit = writer.named_constant("octets", octets);
    let mut pairs: Vec<(Source, String)> = Vec::new();
    for leaf in &group.body.leaves {
        if pairs.iter().all(|(source, _)| *source != leaf.source) {
            let name = format!("input{}", pairs.len());
            writer.bind_octets(&name, Bound::Source(leaf.source), leaf.dtype);
            let pair = writer.let_(&format!("octet_{name}(thread)"));
            pairs.push((leaf.source, pair));
        }
    }
    for (half, index) in ["first", "second"].into_iter().enumerate() {
        writer.line(&format!("let {index} = 2u * thread + {half}u;"));
        for (source, pair) in &pairs {
            writer.hold(Bound::Source(*source), Held { name: format!("{pair}[{half}]"), vec4: true });
        }
        let space = Space::Linear { index, local: index, vec4: true, numel: &numel };
        compute(writer, group, &space, index)?;
    }
    Ok(over(group, caps, group.numel, limit, octets))
}

/// Writes the body over all elements, or over a window.
pub fn segment(writer: &mut Writer, group: &Group, caps: &Caps, window: Option<(usize, usize)>) -> Result<Segment> {
    let count = window.map_or(group.numel, |(_, count)| count);
    let quads = word(count)?.div_ceil(4);
    let numel = writer.named_constant("numel", word(group.numel)?);
    let limit = writer.named_constant("quads", quads);
    let mut index = "thread";
    if let Some((start, _)) = window {
        let first = writer.named_constant("first_quad", word(start / 4)?);
        writer.line(&format!("let quad = {first} + thread;"));
        index = "quad";
    }
    let space = Space::Linear { index, local: "thread", vec4: true, numel: &numel };
    compute(writer, group, &space, "thread")?;
    Ok(over(group, caps, count, limit, quads))
}

/// Writes the body for four elements, and their stores at `place`.
fn compute(writer: &mut Writer, group: &Group, space: &Space, place: &str) -> Result<()> {
    let values = expr::emit(writer, &group.body, space, None)?;
    for &(value, node) in &group.outputs {
        expr::store(writer, Bound::Source(group.target(node)), place, &values[value], true);
    }
    Ok(())
}

/// A segment of so many threads over `count` elements.
fn over(group: &Group, caps: &Caps, count: usize, limit: String, threads: u32) -> Segment {
    let work = (group.body.leaves.len() + group.outputs.len()) as u64 * count as u64 * ELEMENT;
    Segment { size: workgroup_size(caps), limit, threads, work, flops: calls(&group.body) * count as u64 }
}

/// Whether every buffer can be bound whole.
pub fn is_bound_whole(group: &Group, dag: &Dag, caps: &Caps) -> bool {
    largest(group, dag) <= caps.max_binding
}

/// Bytes of the largest buffer.
fn largest(group: &Group, dag: &Dag) -> u64 {
    let sources = group.body.leaves.iter().map(|l| l.source);
    let stored = group.outputs.iter().map(|&(_, node)| Source::Pending(node));
    sources.chain(stored).map(|s| dag.var(s).meta().bytes()).max().unwrap_or(0)
}

/// A kernel's name: the ops in it.
pub fn name(group: &Group, dag: &Dag) -> String {
    let ops: Vec<&str> = group.members.iter().take(6).map(|&m| dag.nodes[m].0.op.name()).collect();
    ops.join("_")
}
