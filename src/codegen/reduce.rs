//! Reductions with their fused producers and consumers.
//!
//! An invocation combines some of the elements of one output, in order, and stores a partial result; further stages combine
//! the partial results. So the order is fixed and no invocation loops longer than `MAX_ITERATIONS`. On GPUs the elements of
//! neighbouring invocations interleave, so that they load neighbouring elements at once; on software adapters each takes a
//! run of neighbours, which is what the caches of a CPU like. The last stage runs the consumers.
//!
//! Four elements are taken at a time where the memory layout allows it: four reduced ones of one output where the innermost
//! dim is reduced, one each of four outputs where it is kept.

use std::sync::{Arc, OnceLock};

use crate::caps::Caps;
use crate::codegen::expr::{self, Quads, Space, Value};
use crate::codegen::writer::{Segment, Writer};
use crate::codegen::{Bound, Call, Calls, ParamSource, calls as codegen_calls, elementwise, word, workgroup_size};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Combine, Reduce};
use crate::ir::group::{Body, Core, Group, Leaf, What};
use crate::ir::{Dag, Source};
use crate::shape::Shape;

/// Loop iterations of one invocation; some drivers end loops silently after 65,535.
const MAX_ITERATIONS: usize = 8192;

/// Terms of a sum of floats that are added one after the other; their sums are added so in turn. So rounding errors hardly grow with the
/// number of terms (pairwise summation, Higham 2002, section 4.2, in blocks).
const BLOCK: usize = 16;
/// Loops over blocks around the loop over elements, at every size, so that sizes do not choose kernels.
const LEVELS: u32 = 2;

/// Elements from which it matters how many rows are walked down at a time.
const TALL: usize = 1 << 18;

/// The reduction of a group.
pub struct Parts<'a> {
    pub node: usize,
    pub reduce: &'a Reduce,
    pub body: &'a Body,
    pub value: usize,
}

impl<'a> Parts<'a> {
    /// The reduction that a kernel is built around, where it is one.
    pub fn of(core: &'a Core) -> Option<Parts<'a>> {
        match core {
            Core::Reduce { node, reduce, body, value } => Some(Parts { node: *node, reduce, body, value: *value }),
            _ => None,
        }
    }
}

/// What one stage combines.
enum Input<'a> {
    /// The producers' value over the input's index space.
    Producers { parts: &'a Parts<'a> },
    /// A buffer that is read from its start to its end, by eights.
    Octets { leaf: &'a Leaf },
    /// Partial results: scratch buffers of values and, for arg reductions, of indices.
    Partials { values: usize, indices: usize, row_major: bool },
}

struct Stage<'a> {
    input: Input<'a>,
    /// Which of the two following counts groups of four, or of eight where the input is octets.
    quads: Quads,
    outputs: usize,
    /// Elements that are combined for each output.
    length: usize,
    chunks: usize,
    /// Whether the elements of one chunk are neighbours.
    blocked: bool,
    /// Whether the chunks of one output are neighbours (else the outputs of one chunk are).
    row_major: bool,
    /// Neighbouring invocations that combine one output together; the others are one each.
    sharers: u32,
}

pub fn generate(group: &Group, dag: &Dag, caps: &Caps, parts: Parts) -> Result<Calls> {
    let shape = dag.var(dag.inputs[parts.node][0]).shape();
    let is_arg = matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin);
    let Opening { mut quads, outputs, mut length, mut row_major, dtype } = opening(group, dag, &parts);
    let mut input = Input::Producers { parts: &parts };
    if let Some(octets) = octets(&parts, shape, quads, length * 4, caps) {
        (input, length) = (octets, length / 2);
    }
    let mut calls = Vec::new();
    let mut scratch = Vec::new();
    if let Some(window) = window(group, dag, caps, &parts)? {
        let all: usize = shape.numel();
        length = 0;
        for start in (0..all).step_by(window) {
            let count = window.min(all - start);
            let quads = if count.is_multiple_of(4) && !is_arg { Quads::Reduced } else { Quads::None };
            let octets = octets(&parts, shape, quads, count, caps);
            let part = count / if octets.is_some() { 8 } else { width(quads) };
            let chunks = chunks(1, part, true, caps);
            let input = octets.unwrap_or(Input::Producers { parts: &parts });
            let stage = Stage {
                input,
                quads,
                outputs: 1,
                length: part,
                chunks,
                blocked: caps.policy().blocked_reductions,
                row_major: true,
                sharers: 1,
            };
            let mut call = stage.partial(dag, caps, &parts, dtype, (0, 1), Some(length), (count * 4) as u64)?;
            let range = |source: Source| {
                let size = dag.var(source).dtype().size() as u64;
                (start as u64 * size, (count as u64 * size).next_multiple_of(16))
            };
            let of = |bound: &Bound| if let Bound::Source(source) = bound { Some(range(*source)) } else { None };
            call.windows = call.bound.iter().map(of).collect();
            calls.push(call);
            length += chunks;
        }
        scratch.push(length as u64 * 4);
        input = Input::Partials { values: 0, indices: 1, row_major: true };
        quads = Quads::None;
        row_major = true;
    }
    loop {
        let chunks = chunks(outputs, length, row_major, caps);
        let stage = Stage {
            input,
            quads,
            outputs,
            length,
            chunks,
            blocked: caps.policy().blocked_reductions,
            row_major,
            sharers: 1,
        };
        if chunks == 1 {
            let mut writer = Writer::new(caps);
            let segment = stage.last(&mut writer, group, caps, &parts, dtype)?;
            calls.push(writer.finish_threads(elementwise::name(group, dag), &segment));
            return Ok(Calls { calls, scratch, ..Calls::default() });
        }
        let (values, indices) = (scratch.len(), scratch.len() + 1);
        scratch.push((outputs * chunks * 4) as u64 * if quads == Quads::Kept { 4 } else { 1 });
        if is_arg {
            scratch.push((outputs * chunks * 4) as u64);
        }
        let work = stage.work();
        calls.push(stage.partial(dag, caps, &parts, dtype, (values, indices), None, work)?);
        input = Input::Partials { values, indices, row_major };
        length = chunks;
        row_major = true;
        if quads == Quads::Reduced {
            quads = Quads::None;
        }
    }
}

/// Elements that are taken at a time along the reduced dims.
fn width(quads: Quads) -> usize {
    if quads == Quads::Reduced { 4 } else { 1 }
}

/// The input by eights, where `count` neighbours of one buffer are loaded for each output, four of them at a time, and nothing is computed
/// from them.
fn octets<'a>(parts: &'a Parts, shape: &Shape, quads: Quads, count: usize, caps: &Caps) -> Option<Input<'a>> {
    let ([inst], [leaf]) = (&parts.body.code[..], &parts.body.leaves[..]) else { return None };
    let loads = matches!(inst.what, What::Load(_)) && expr::loads_octets(leaf, caps);
    let is_reduced = |dim: &usize| parts.reduce.dims.contains(dim);
    let rows =
        (0..shape.rank()).filter(|&dim| shape[dim] > 1).skip_while(|dim| !is_reduced(dim)).all(|dim| is_reduced(&dim));
    let suits = loads && rows && quads == Quads::Reduced && count.is_multiple_of(8);
    suits.then_some(Input::Octets { leaf })
}

/// How the first stage takes the input.
struct Opening {
    quads: Quads,
    outputs: usize,
    length: usize,
    row_major: bool,
    dtype: DType,
}

fn opening(group: &Group, dag: &Dag, parts: &Parts) -> Opening {
    let shape = dag.var(dag.inputs[parts.node][0]).shape();
    let dims = &parts.reduce.dims;
    let length: usize = dims.iter().map(|&d| shape[d]).product();
    let reduces_innermost = (0..shape.rank()).rev().find(|&d| shape[d] > 1).is_none_or(|d| dims.contains(&d));
    let is_arg = matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin);
    let reduced_quads = length.is_multiple_of(4) && length > 0 && loads_quads(parts.body, dims);
    let quads = match reduces_innermost {
        _ if is_arg => Quads::None,
        true if reduced_quads => Quads::Reduced,
        false if group.numel.is_multiple_of(4) => Quads::Kept,
        _ => Quads::None,
    };
    // Partial results of f16 values are f32.
    let dtype = parts.body.code[parts.value].dtype.register();
    Opening {
        quads,
        outputs: if quads == Quads::Kept { group.numel / 4 } else { group.numel },
        length: length / width(quads),
        row_major: reduces_innermost,
        dtype,
    }
}

/// Whether one stage does it, over buffers that are bound whole.
pub fn is_one_stage(group: &Group, dag: &Dag, caps: &Caps, parts: &Parts) -> bool {
    let Opening { outputs, length, row_major, .. } = opening(group, dag, parts);
    matches!(window(group, dag, caps, parts), Ok(None))
        && elementwise::is_bound_whole(group, dag, caps)
        && chunks(outputs, length, row_major, caps) == 1
}

/// Writes the body of a reduction of one stage.
pub fn segment(writer: &mut Writer, group: &Group, dag: &Dag, caps: &Caps, parts: &Parts) -> Result<Segment> {
    let Opening { quads, outputs, length, row_major, dtype } = opening(group, dag, parts);
    let input = Input::Producers { parts };
    let stage = Stage {
        input,
        quads,
        outputs,
        length,
        chunks: 1,
        blocked: caps.policy().blocked_reductions,
        row_major,
        sharers: 1,
    };
    stage.last(writer, group, caps, parts, dtype)
}

/// Writes the reduction of one row, `thread`, over `[rows, length]` with its consumers; gives the values of the group's outputs, to
/// each of the row's `sharers`.
#[allow(clippy::too_many_arguments, reason = "each is a part of the kernel, and one place calls it")]
pub fn row(
    writer: &mut Writer,
    parts: &Parts,
    group: &Group,
    rows: usize,
    length: usize,
    quads: Quads,
    limit: &str,
    sharers: u32,
) -> Result<Vec<Value>> {
    let reduce = Reduce { combine: parts.reduce.combine, dims: [1usize].into_iter().collect() };
    let parts = Parts { reduce: &reduce, ..*parts };
    let dtype = parts.body.code[parts.value].dtype.register();
    let input = Input::Producers { parts: &parts };
    let stage =
        Stage { input, quads, outputs: rows, length, chunks: 1, blocked: sharers == 1, row_major: true, sharers };
    stage.combine(writer, parts.reduce.combine, dtype)?;
    let result = Value { name: "result".into(), dtype, vec4: false };
    let space = Space::Linear { index: "output", local: "output", vec4: false, numel: limit };
    let values = expr::emit(writer, &group.body, &space, Some(&result))?;
    Ok(group.outputs.iter().map(|&(value, _)| values[value].clone()).collect())
}

/// Invocations of a workgroup where rows are shared.
pub const SHARED_WORKGROUP: u32 = 128;

/// Writes the function that combines the values of a row's `sharers`, by a tree in workgroup memory, and gives the result to all of
/// them; its name.
fn across(writer: &mut Writer, combine: &str, kind: &str, sharers: u32) -> String {
    let (name, memory) = (format!("across_{combine}_{kind}"), format!("shared_{kind}"));
    writer.declare(&format!("var<workgroup> {memory}: array<{kind}, {SHARED_WORKGROUP}>;\n"));
    writer.declare(&format!(
        "fn {name}(value: {kind}, lane: u32) -> {kind} {{
    {memory}[lane] = value;
    workgroupBarrier();
    for (var half = {half}u; half > 0u; half /= 2u) {{
        if (lane % {sharers}u < half) {{ {memory}[lane] = combine_{combine}_{kind}({memory}[lane], {memory}[lane + half]); }}
        workgroupBarrier();
    }}
    let result = {memory}[lane - lane % {sharers}u];
    workgroupBarrier();
    return result;
}}
",
        half = sharers / 2
    ));
    name
}

/// Elements of the windows that a reduction of everything runs over where a buffer is larger than a binding may be.
///
/// # Errors
/// [`Error::TooLarge`] where windows cannot do it: some dims are kept, the input is not walked from start to end, or indices
/// count.
fn window(group: &Group, dag: &Dag, caps: &Caps, parts: &Parts) -> Result<Option<usize>> {
    let body = parts.body;
    let bytes = |leaf: &Leaf| dag.var(leaf.source).meta().bytes();
    let largest = body.leaves.iter().map(bytes).max().unwrap_or(0);
    if largest <= caps.max_binding {
        return Ok(None);
    }
    let counts = matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin)
        || body.code.iter().any(|inst| matches!(inst.what, What::Index(_)));
    if group.numel != 1 || counts || !body.leaves.iter().all(|leaf| leaf.layout.is_flat()) {
        let op = dag.nodes[parts.node].0.op.name().into();
        return Err(Error::TooLarge { op, bytes: largest, limit: caps.max_binding, at: Default::default() });
    }
    let grain = elementwise::WINDOW_GRAIN;
    Ok(Some((caps.max_binding / 4 / grain * grain) as usize))
}

/// Whether every load can take four reduced elements at a time or is the same for all of them.
pub fn loads_quads(body: &Body, dims: &[usize]) -> bool {
    body.leaves.iter().all(|leaf| {
        let (outer, inner) = expr::split(&leaf.layout, dims);
        let aligned = outer.offset % 4 == 0 && outer.strides.iter().all(|s| s % 4 == 0);
        inner.is_single() || (expr::is_in_quads(&inner) && aligned)
    })
}

/// Into how many partial results each output's elements are combined at first.
fn chunks(outputs: usize, length: usize, row_major: bool, caps: &Caps) -> usize {
    // A second dispatch pays only where one invocation a result would leave the device idle for longer than that takes.
    let policy = caps.policy();
    let tall_rows = policy.tall_rows.filter(|_| !row_major && outputs * length > TALL);
    let at_least = length.div_ceil(tall_rows.unwrap_or(MAX_ITERATIONS)).max(1);
    let wanted = if length <= policy.alone || outputs >= policy.busy {
        at_least
    } else {
        (policy.busy / outputs.max(1)).min(length / 32).max(at_least)
    };
    // No chunk may be empty, so no more of them than whole turns fill.
    length.div_ceil(length.div_ceil(wanted).max(1)).max(1)
}

/// Chunks that share a block: the lanes of software adapters.
const INTERLEAVED: usize = 8;

fn combine_functions() -> &'static Arc<str> {
    static SOURCE: OnceLock<Arc<str>> = OnceLock::new();
    SOURCE.get_or_init(|| Arc::from(include_str!("../../shaders/reduce/combine.wgsl")))
}

impl Stage<'_> {
    /// One operation for each element that is combined, and those of its producers.
    fn flops(&self) -> u64 {
        let producers = match &self.input {
            Input::Producers { parts } => codegen_calls(parts.body),
            Input::Octets { .. } | Input::Partials { .. } => 0,
        };
        self.elements() * (1 + producers)
    }

    /// Neighbouring chunks that take turns in one block of elements, where chunks are blocks: lanes that walk together then read neighbours.
    /// Blocks of their own are often a power of two apart, so that all lanes' elements fall into the same few lines of a cache.
    fn interleaved(&self) -> usize {
        let block = (self.length.div_ceil(self.chunks) * INTERLEAVED).max(1);
        // As many blocks as `chunks` makes; no lane of the last one may be without elements.
        let last = self.length % block;
        let fits = self.blocked && self.row_major && self.chunks.is_multiple_of(INTERLEAVED);
        if fits && (last == 0 || last >= INTERLEAVED) { INTERLEAVED } else { 1 }
    }

    /// Writes the loop; leaves the combined value in `result` (and its index in `result_index`).
    fn combine(&self, writer: &mut Writer, combine: Combine, dtype: DType) -> Result<()> {
        writer.paste(combine_functions());
        let kind = dtype.wgsl();
        let chunks = writer.constant(word(self.chunks)?);
        let length = writer.constant(word(self.length)?);
        if self.sharers > 1 {
            writer.line("let output = thread;\n    let chunk = sharer;");
        } else if self.chunks == 1 {
            writer.line("let output = thread;\n    let chunk = 0u;");
        } else if self.row_major {
            writer.line(&format!("let output = thread / {chunks};\n    let chunk = thread - output * {chunks};"));
        } else {
            let outputs = writer.constant(word(self.outputs)?);
            writer.line(&format!("let chunk = thread / {outputs};\n    let output = thread - chunk * {outputs};"));
        }
        let vec4 = self.quads != Quads::None;
        let (name, is_arg) = match combine {
            Combine::Sum => ("sum", false),
            Combine::Prod => ("prod", false),
            Combine::Max => ("max", false),
            Combine::Min => ("min", false),
            Combine::ArgMax => ("max", true),
            Combine::ArgMin => ("min", true),
        };
        let ty = if vec4 { format!("vec4<{kind}>") } else { kind.to_owned() };
        let identity = match (combine, dtype) {
            // What no element at all gives.
            (Combine::Prod, _) | (Combine::Min, DType::Bool) => format!("{ty}({kind}(1))"),
            _ => format!("{ty}({kind}(0))"),
        };
        writer.line(&format!("var acc: {ty} = {identity};"));
        if is_arg {
            writer.line("var acc_index: u32 = 0u;");
        }
        let before_loop = writer.body.len();
        let interleaved = self.interleaved();
        if self.blocked {
            let block = writer.constant(word(self.length.div_ceil(self.chunks) * interleaved)?);
            writer.line(&format!("let block = chunk / {interleaved}u * {block};"));
            writer.line(&format!("let begin = block + chunk % {interleaved}u;"));
            writer.line(&format!("let end = min(block + {block}, {length});\n    let stride = {interleaved}u;"));
        } else {
            let stride = if self.sharers > 1 { format!("{}u", self.sharers) } else { chunks };
            writer.line(&format!("let begin = chunk;\n    let end = {length};\n    let stride = {stride};"));
        }
        let levels = if combine == Combine::Sum && dtype.is_float() { LEVELS } else { 0 };
        // From the outermost loop, over blocks of blocks, to the one over elements.
        let (mut first, mut end, mut total) = ("begin".to_owned(), "end".to_owned(), "acc".to_owned());
        let mut totals = Vec::new();
        for level in (1..=levels).rev() {
            let step = format!("stride * {}u", BLOCK.pow(level));
            let (at, inner) = (format!("first_{level}"), format!("acc_{level}"));
            writer.line(&format!("for (var {at} = {first}; {at} < {end}; {at} += {step}) {{"));
            writer.line(&format!("let end_{level} = min({end}, {at} + {step});\n    var {inner}: {ty} = {identity};"));
            totals.push((total, inner.clone()));
            (first, end, total) = (at, format!("end_{level}"), inner);
        }
        let acc = total;
        writer.line(&format!("for (var r = {first}; r < {end}; r += stride) {{"));
        let mut second = None;
        let (value, index) = match &self.input {
            Input::Producers { parts } => {
                let space = Space::Split { kept: "output", reduced: "r", dims: &parts.reduce.dims, quads: self.quads };
                let values = expr::emit(writer, parts.body, &space, None)?;
                (values[parts.value].clone(), "r".to_owned())
            }
            Input::Octets { leaf } => {
                writer.bind_octets("input", Bound::Source(leaf.source), leaf.dtype);
                let pair = writer.let_(&format!("octet_input(output * {length} + r)"));
                second = Some(format!("{pair}[1]"));
                (Value { name: format!("{pair}[0]"), dtype, vec4 }, String::new())
            }
            Input::Partials { values, indices, row_major } => {
                let at = if *row_major {
                    format!("output * {length} + r")
                } else {
                    let outputs = writer.constant(word(self.outputs)?);
                    format!("r * {outputs} + output")
                };
                let buffer = writer.bind(Bound::Scratch(*values), dtype, vec4, false);
                let test = match (dtype, vec4) {
                    (DType::Bool, false) => " != 0u",
                    (DType::Bool, true) => " != vec4<u32>(0u)",
                    _ => "",
                };
                let text = format!("{buffer}[{at}]{test}");
                let name = writer.let_(&text);
                let index = if is_arg {
                    let buffer = writer.bind(Bound::Scratch(*indices), DType::U32, false, false);
                    writer.let_(&format!("{buffer}[{at}]"))
                } else {
                    String::new()
                };
                (Value { name, dtype, vec4 }, index)
            }
        };
        let value = if vec4 { value.splat() } else { value.name };
        if is_arg {
            writer.line(&format!(
                "if (r == begin || beats_{name}_{kind}({value}, {index}, acc, acc_index)) {{ acc = {value}; acc_index = {index}; }}"
            ));
        } else {
            let joined = |a: &str, b: &str| format!("combine_{name}_{kind}({a}, {b})");
            let with = |acc: &str, four: &str| {
                let part = |c: &&str| joined(&format!("{acc}.{c}"), &format!("{four}.{c}"));
                format!("{ty}({})", ["x", "y", "z", "w"].iter().map(part).collect::<Vec<_>>().join(", "))
            };
            let (first, next) = if vec4 {
                writer.line(&format!("let four = {value};"));
                if let Some(second) = &second {
                    writer.line(&format!("let four_more = {second};\n    let both = {};", with("four", "four_more")));
                    ("both".to_owned(), with(&acc, "both"))
                } else {
                    ("four".to_owned(), with(&acc, "four"))
                }
            } else {
                let next = joined(&acc, &value);
                (value, next)
            };
            match combine {
                Combine::Sum | Combine::Prod => writer.line(&format!("{acc} = {next};")),
                _ => writer.line(&format!("if (r == begin) {{ acc = {first}; }} else {{ acc = {next}; }}")),
            }
        }
        writer.line("}");
        for (total, inner) in totals.into_iter().rev() {
            writer.line(&format!("{total} = {total} + {inner};\n    }}"));
        }
        writer.read_params_once(before_loop);
        let result = if self.quads == Quads::Reduced {
            let joined = |a: &str, b: &str| format!("combine_{name}_{kind}({a}, {b})");
            joined(&joined("acc.x", "acc.y"), &joined("acc.z", "acc.w"))
        } else {
            "acc".into()
        };
        let result = match self.sharers {
            1 => result,
            sharers => format!("{}({result}, lane)", across(writer, name, kind, sharers)),
        };
        let result = if writer.faulty_reductions { format!("{result} + {result}") } else { result };
        writer.line(&format!("let result = {result};"));
        Ok(())
    }

    /// The kernel of a stage that leaves partial results, from place `first` of the scratch buffers on where that is given.
    #[allow(clippy::too_many_arguments, reason = "each is a part of the kernel, and one place calls it")]
    fn partial(
        &self,
        dag: &Dag,
        caps: &Caps,
        parts: &Parts,
        dtype: DType,
        (values, indices): (usize, usize),
        first: Option<usize>,
        work: u64,
    ) -> Result<Call> {
        let mut writer = Writer::new(caps);
        let threads = word(self.outputs * self.chunks)?;
        let limit = writer.named_param("threads", "u32", ParamSource::Const(threads));
        let mut place = "thread".to_owned();
        if let Some(first) = first {
            place = format!("{} + thread", writer.constant(word(first)?));
        }
        self.combine(&mut writer, parts.reduce.combine, dtype)?;
        let vec4 = self.quads == Quads::Kept;
        let value = Value { name: "result".into(), dtype, vec4 };
        expr::store(&mut writer, Bound::Scratch(values), &place, &value, vec4);
        if matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin) {
            let index = Value { name: "acc_index".into(), dtype: DType::U32, vec4: false };
            expr::store(&mut writer, Bound::Scratch(indices), &place, &index, false);
        }
        let name = format!("{}_partial", dag.nodes[parts.node].0.op.name());
        let segment = Segment { size: workgroup_size(caps).min(64), limit, threads, work, flops: self.flops() };
        Ok(writer.finish_threads(name, &segment))
    }

    /// Writes the body of the last stage, which runs the consumers.
    fn last(&self, writer: &mut Writer, group: &Group, caps: &Caps, parts: &Parts, dtype: DType) -> Result<Segment> {
        let threads = word(self.outputs)?;
        let limit = writer.named_constant("threads", threads);
        self.combine(writer, parts.reduce.combine, dtype)?;
        let result = match parts.reduce.combine {
            Combine::ArgMax | Combine::ArgMin => Value { name: "acc_index".into(), dtype: DType::U32, vec4: false },
            _ => Value { name: "result".into(), dtype, vec4: self.quads == Quads::Kept },
        };
        let vec4 = self.quads == Quads::Kept;
        let numel = if vec4 { writer.constant(word(group.numel)?) } else { limit.clone() };
        let space = Space::Linear { index: "output", local: "output", vec4, numel: &numel };
        let values = expr::emit(writer, &group.body, &space, Some(&result))?;
        for &(value, node) in &group.outputs {
            expr::store(writer, Bound::Source(Source::Pending(node)), "output", &values[value], vec4);
        }
        let flops = self.flops() + codegen_calls(&group.body) * group.numel as u64;
        Ok(Segment { size: workgroup_size(caps).min(64), limit, threads, work: self.work(), flops })
    }

    /// Bytes that the stage touches at least.
    fn work(&self) -> u64 {
        4 * self.elements()
    }

    /// Elements that the stage combines.
    fn elements(&self) -> u64 {
        let width = match (&self.input, self.quads) {
            (Input::Octets { .. }, _) => 8,
            (_, Quads::None) => 1,
            _ => 4,
        };
        (self.outputs * self.length * width) as u64
    }
}
