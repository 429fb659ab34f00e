//! Reductions with their fused producers and consumers.
//!
//! An invocation combines every `chunks`-th element of one output, in order, and stores a partial result; further stages
//! combine the partial results. So the order is fixed, no invocation loops longer than `MAX_TURNS`, and neighbouring
//! invocations load neighbouring elements. The last stage runs the consumers.

use std::sync::{Arc, OnceLock};

use crate::caps::Caps;
use crate::codegen::expr::{self, Space, Value};
use crate::codegen::writer::Writer;
use crate::codegen::{Bound, Call, Calls, ParamSource, elementwise, word, workgroup_size};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Combine, Reduce};
use crate::schedule::group::{Body, Group};
use crate::schedule::snapshot::{Snapshot, Source};

/// Loop turns of one invocation; some drivers end loops silently after 65,535.
const MAX_TURNS: usize = 8192;

/// The reduction of a group.
pub struct Parts<'a> {
    pub node: usize,
    pub reduce: &'a Reduce,
    pub body: &'a Body,
    pub value: usize,
}

/// What one stage combines.
enum Input<'a> {
    /// The producers' value over the input's index space; `vec4` takes four reduced elements at a time.
    Producers { parts: &'a Parts<'a>, vec4: bool },
    /// Partial results: scratch buffers of values and, for arg reductions, of indices.
    Partials { values: usize, indices: usize, row_major: bool },
}

struct Stage<'a> {
    input: Input<'a>,
    outputs: usize,
    /// Elements (or groups of four) that are combined for each output.
    length: usize,
    chunks: usize,
    /// Whether the chunks of one output are neighbours (else the outputs of one chunk are).
    row_major: bool,
}

pub fn generate(group: &Group, snap: &Snapshot, caps: &Caps, parts: Parts) -> Result<Calls> {
    let shape = snap.var(snap.inputs[parts.node][0]).shape();
    let dims = &parts.reduce.dims;
    let length: usize = dims.iter().map(|&d| shape[d]).product();
    let reduces_innermost = (0..shape.rank()).rev().find(|&d| shape[d] > 1).is_none_or(|d| dims.contains(&d));
    let is_arg = matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin);
    let vec4 = reduces_innermost && !is_arg && length.is_multiple_of(4) && length > 0 && loads_quads(parts.body, dims);
    let dtype = parts.body.code[parts.value].dtype;

    let mut calls = Vec::new();
    let mut scratch = Vec::new();
    let outputs = group.numel;
    let mut length = if vec4 { length / 4 } else { length };
    let mut input = Input::Producers { parts: &parts, vec4 };
    let mut row_major = reduces_innermost;
    loop {
        let chunks = chunks(outputs, length, caps);
        let stage = Stage { input, outputs, length, chunks, row_major };
        let work = (outputs * length * 4) as u64 * if vec4 { 4 } else { 1 };
        if chunks == 1 {
            calls.push(stage.last(group, snap, caps, &parts, dtype, work)?);
            return Ok(Calls { calls, scratch });
        }
        let (values, indices) = (scratch.len(), scratch.len() + 1);
        scratch.push((outputs * chunks * 4) as u64);
        if is_arg {
            scratch.push((outputs * chunks * 4) as u64);
        }
        calls.push(stage.partial(snap, caps, &parts, dtype, (values, indices), work)?);
        input = Input::Partials { values, indices, row_major };
        length = chunks;
        row_major = true;
    }
}

/// Whether every load can take four reduced elements at a time or is the same for all of them.
fn loads_quads(body: &Body, dims: &[usize]) -> bool {
    body.leaves.iter().all(|leaf| {
        let (outer, inner) = expr::split(&leaf.layout, dims);
        let flat = inner.collapsed();
        let aligned = outer.offset % 4 == 0 && outer.strides.iter().all(|s| s % 4 == 0);
        inner.is_single() || (flat.shape.rank() == 1 && flat.strides[0] == 1 && aligned)
    })
}

/// Into how many partial results each output's elements are combined at first.
fn chunks(outputs: usize, length: usize, caps: &Caps) -> usize {
    // A second dispatch pays only where one invocation a result would leave the device idle for longer than that takes.
    let (threads, alone) = if caps.software { (1024, 2048) } else { (65_536, 256) };
    let at_least = length.div_ceil(MAX_TURNS);
    if length <= alone || outputs >= threads {
        return at_least.max(1);
    }
    (threads / outputs.max(1)).min(length / 32).max(at_least).max(1)
}

fn combine_functions() -> &'static Arc<str> {
    static SOURCE: OnceLock<Arc<str>> = OnceLock::new();
    SOURCE.get_or_init(|| Arc::from(include_str!("../../shaders/reduce/combine.wgsl")))
}

impl Stage<'_> {
    /// Writes the loop; leaves the combined value in `result` (and its index in `result_index`).
    fn combine(&self, writer: &mut Writer, combine: Combine, dtype: DType) -> Result<()> {
        writer.paste(combine_functions());
        let kind = dtype.wgsl();
        let chunks = writer.constant(word(self.chunks)?);
        let length = writer.constant(word(self.length)?);
        let turns = writer.constant(word(self.length.div_ceil(self.chunks))?);
        if self.chunks == 1 {
            writer.line("let output = thread;\n    let chunk = 0u;");
        } else if self.row_major {
            writer.line(&format!("let output = thread / {chunks};\n    let chunk = thread - output * {chunks};"));
        } else {
            let outputs = writer.constant(word(self.outputs)?);
            writer.line(&format!("let chunk = thread / {outputs};\n    let output = thread - chunk * {outputs};"));
        }
        let vec4 = matches!(self.input, Input::Producers { vec4: true, .. });
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
        writer.line(&format!("for (var turn = 0u; turn < {turns}; turn += 1u) {{"));
        writer.line(&format!("let r = turn * {chunks} + chunk;\n    if (r >= {length}) {{ break; }}"));
        let (value, index) = match &self.input {
            Input::Producers { parts, vec4 } => {
                let space = Space::Split { kept: "output", reduced: "r", dims: &parts.reduce.dims, vec4: *vec4 };
                let values = expr::emit(writer, parts.body, &space, None)?;
                (values[parts.value].clone(), "r".to_owned())
            }
            Input::Partials { values, indices, row_major } => {
                let at = if *row_major {
                    format!("output * {length} + r")
                } else {
                    let outputs = writer.constant(word(self.outputs)?);
                    format!("r * {outputs} + output")
                };
                let buffer = writer.bind(Bound::Scratch(*values), dtype, false, false);
                let text = format!("{buffer}[{at}]{}", if dtype == DType::Bool { " != 0u" } else { "" });
                let name = writer.let_(&text);
                let index = if is_arg {
                    let buffer = writer.bind(Bound::Scratch(*indices), DType::U32, false, false);
                    writer.let_(&format!("{buffer}[{at}]"))
                } else {
                    String::new()
                };
                (Value { name, dtype, vec4: false }, index)
            }
        };
        let value = if vec4 { value.splat() } else { value.name };
        if is_arg {
            writer.line(&format!(
                "if (turn == 0u || beats_{name}_{kind}({value}, {index}, acc, acc_index)) {{ acc = {value}; acc_index = {index}; }}"
            ));
        } else {
            let joined = |a: &str, b: &str| format!("combine_{name}_{kind}({a}, {b})");
            let next = if vec4 {
                let parts: Vec<String> =
                    ["x", "y", "z", "w"].iter().map(|c| joined(&format!("acc.{c}"), &format!("four.{c}"))).collect();
                writer.line(&format!("let four = {value};"));
                format!("{ty}({})", parts.join(", "))
            } else {
                joined("acc", &value)
            };
            let first = if vec4 { "four".to_owned() } else { value };
            match combine {
                Combine::Sum | Combine::Prod => writer.line(&format!("acc = {next};")),
                _ => writer.line(&format!("if (turn == 0u) {{ acc = {first}; }} else {{ acc = {next}; }}")),
            }
        }
        writer.line("}");
        let result = if vec4 {
            let joined = |a: &str, b: &str| format!("combine_{name}_{kind}({a}, {b})");
            joined(&joined("acc.x", "acc.y"), &joined("acc.z", "acc.w"))
        } else {
            "acc".into()
        };
        writer.line(&format!("let result: {kind} = {result};"));
        Ok(())
    }

    fn partial(
        &self,
        snap: &Snapshot,
        caps: &Caps,
        parts: &Parts,
        dtype: DType,
        (values, indices): (usize, usize),
        work: u64,
    ) -> Result<Call> {
        let mut writer = Writer::default();
        let threads = word(self.outputs * self.chunks)?;
        let limit = writer.named_param("threads", "u32", ParamSource::Const(threads));
        self.combine(&mut writer, parts.reduce.combine, dtype)?;
        let value = Value { name: "result".into(), dtype, vec4: false };
        expr::store(&mut writer, Bound::Scratch(values), "thread", &value, false);
        if matches!(parts.reduce.combine, Combine::ArgMax | Combine::ArgMin) {
            let index = Value { name: "acc_index".into(), dtype: DType::U32, vec4: false };
            expr::store(&mut writer, Bound::Scratch(indices), "thread", &index, false);
        }
        let size = workgroup_size(caps).min(64);
        let name = format!("{}_partial", snap.nodes[parts.node].0.op.name());
        Ok(writer.finish_threads(name, size, &limit, u64::from(threads.div_ceil(size)), work))
    }

    fn last(
        &self,
        group: &Group,
        snap: &Snapshot,
        caps: &Caps,
        parts: &Parts,
        dtype: DType,
        work: u64,
    ) -> Result<Call> {
        let mut writer = Writer::default();
        let threads = word(self.outputs)?;
        let limit = writer.named_param("threads", "u32", ParamSource::Const(threads));
        self.combine(&mut writer, parts.reduce.combine, dtype)?;
        let result = match parts.reduce.combine {
            Combine::ArgMax | Combine::ArgMin => Value { name: "acc_index".into(), dtype: DType::U32, vec4: false },
            _ => Value { name: "result".into(), dtype, vec4: false },
        };
        let space = Space::Linear { index: "output", vec4: false, numel: &limit };
        let values = expr::emit(&mut writer, &group.body, &space, Some(&result))?;
        for &(value, node) in &group.outputs {
            expr::store(&mut writer, Bound::Source(Source::Pending(node)), "output", &values[value], false);
        }
        let size = workgroup_size(caps).min(64);
        Ok(writer.finish_threads(elementwise::name(group, snap), size, &limit, u64::from(threads.div_ceil(size)), work))
    }
}
