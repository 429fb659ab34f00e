//! Kernels of routines: a shader file behind generated parameters, accessors and stores.

use crate::caps::{Caps, PANELS};
use crate::codegen::expr::{self, Space, Value};
use crate::codegen::writer::{Held, Writer};
use crate::codegen::{Bound, Calls, GATE_WORDS, ParamSource, calls, word};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Meta;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Routine, Stage};
use crate::ir::group::{Group, Leaf, Producer};
use crate::ir::{Dag, Source};
use crate::layout::Layout;

/// The words of a gate, as its shader names them.
const GATE_PARAMS: [&str; GATE_WORDS] =
    ["slots0", "slots1", "slots2", "slots3", "slots4", "slots5", "slots6", "slots7", "failed"];

/// The routine of a group.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub node: usize,
    pub routine: &'a dyn Routine,
    pub inputs: &'a [Leaf],
    pub producers: &'a [Option<Producer>],
}

pub fn generate(group: &Group, dag: &Dag, caps: &Caps, parts: Parts) -> Result<Calls> {
    let Parts { node, routine, inputs, .. } = parts;
    let meta = dag.nodes[node].meta();
    let operands: Vec<Operand> = inputs
        .iter()
        .map(|leaf| Operand {
            meta: Meta { shape: leaf.layout.shape.clone(), dtype: leaf.dtype },
            layout: leaf.layout.clone(),
        })
        .collect();
    let output = Operand { meta: meta.clone(), layout: Layout::contiguous(meta.shape.clone()) };
    word(meta.numel())?;
    for operand in &operands {
        word(operand.layout.span().map_or(0, |(_, high)| high as usize))?;
    }
    let stages = routine.stages(&operands, &output, caps)?;
    let mut scratch: Vec<(u64, DType)> = Vec::new();
    let mut panels = [0; PANELS];
    for write in stages.iter().flat_map(|s| &s.writes) {
        if let (BufferSlot::Scratch(k), Some((numel, dtype))) = (write.slot, write.scratch) {
            if scratch.len() <= k {
                scratch.resize(k + 1, (0, DType::F32));
            }
            let bytes = numel as u64 * dtype.size() as u64;
            scratch[k] = (scratch[k].0.max(bytes), dtype);
        }
        if let (BufferSlot::Panel(k), Some((numel, _))) = (write.slot, write.scratch) {
            panels[k] = panels[k].max(numel.div_ceil(4) as u64);
        }
    }
    let printer = Printer { group, dag, caps, parts, operands: &operands, output: &output, scratch: &scratch };
    let last = stages.len().saturating_sub(1);
    let fuses = routine.fuses_epilogue();
    let calls =
        stages.iter().enumerate().map(|(k, s)| printer.stage(s, fuses && k == last)).collect::<Result<Vec<_>>>()?;
    Ok(Calls { calls, scratch: scratch.iter().map(|(bytes, _)| *bytes).collect(), panels })
}

struct Printer<'a> {
    group: &'a Group,
    dag: &'a Dag,
    caps: &'a Caps,
    parts: Parts<'a>,
    operands: &'a [Operand],
    output: &'a Operand,
    scratch: &'a [(u64, DType)],
}

impl Printer<'_> {
    /// The buffer of a slot; a panel is none.
    fn bound(&self, slot: BufferSlot) -> (Bound, DType) {
        match slot {
            BufferSlot::Input(i) => (Bound::Source(self.parts.inputs[i].source), self.parts.inputs[i].dtype),
            BufferSlot::Output => {
                (Bound::Source(Source::Pending(self.parts.node)), self.dag.nodes[self.parts.node].dtype())
            }
            BufferSlot::Scratch(k) | BufferSlot::Panel(k) => {
                (Bound::Scratch(k), self.scratch.get(k).map_or(DType::F32, |s| s.1))
            }
        }
    }

    fn stage(&self, stage: &Stage, runs_epilogue: bool) -> Result<crate::codegen::Call> {
        let mut writer = Writer::new(self.caps);
        let awaits = self.parts.routine.awaits_checks();
        writer.checks_indices = stage.checks_indices || awaits;
        writer.untrusted = !self.parts.routine.is_trusted();
        for (name, value) in &stage.consts {
            writer.const_u32(name, *value);
        }
        for (name, value) in &stage.params {
            writer.named_param(name, value.wgsl(), ParamSource::Const(value.bits()));
        }
        if awaits {
            for (word, name) in GATE_PARAMS.iter().enumerate() {
                writer.named_param(name, "u32", ParamSource::Gate { node: self.parts.node, word });
            }
        }
        // For tests of what finds wrong kernels.
        let faulty =
            self.caps.faulty == Some(stage.name) && !self.caps.is_plain(self.dag.nodes[self.parts.node].0.op.name());
        let mut touched = 0;
        for read in &stage.reads {
            if let BufferSlot::Panel(panel) = read.slot {
                writer.panel(read.name, panel, false);
                continue;
            }
            let (bound, dtype) = self.bound(read.slot);
            touched += self.bytes(read.slot);
            if let Some(producer) = self.producer(read.slot) {
                self.computed(&mut writer, read, producer, dtype)?;
                continue;
            }
            match read.access {
                Access::Raw => {
                    self.raw(&mut writer, read.name, bound, dtype, false, stage);
                }
                Access::RawVec4 => {
                    self.raw(&mut writer, read.name, bound, dtype, true, stage);
                }
                Access::RawOctets => writer.bind_octets(read.name, bound, dtype),
                Access::LogicalVec4 => {
                    let layout = self.layout(read.slot, dtype);
                    let numel = writer.constant(word(layout.shape.numel())?);
                    let space = Space::Linear { index: "i", local: "i", vec4: true, numel: &numel };
                    let value = expr::load(&mut writer, bound, &layout, dtype, &space)?;
                    let (statements, element) = (writer.take_body(), value.splat());
                    writer.function(&format!(
                        "fn load_{}(i: u32) -> vec4<{}> {{\n{statements}    return {element};\n}}\n",
                        read.name,
                        dtype.wgsl()
                    ));
                }
                Access::Element => {
                    let buffer = writer.bind(bound, dtype, false, false);
                    let element = match dtype {
                        DType::Bool => format!("{buffer}[i] != 0u"),
                        DType::F16 => format!("f32({buffer}[i])"),
                        _ => format!("{buffer}[i]"),
                    };
                    writer.function(&format!(
                        "fn element_{}(i: u32) -> {} {{ return {element}; }}\n",
                        read.name,
                        dtype.wgsl()
                    ));
                }
                Access::Logical => {
                    let layout = self.layout(read.slot, dtype);
                    let offset = expr::offset(&mut writer, &layout, "i")?;
                    let buffer = writer.bind(bound, dtype, false, false);
                    let statements = writer.take_body();
                    let element = match dtype {
                        DType::Bool => format!("{buffer}[{offset}] != 0u"),
                        DType::F16 => format!("f32({buffer}[{offset}])"),
                        _ => format!("{buffer}[{offset}]"),
                    };
                    writer.function(&format!(
                        "fn load_{}(i: u32) -> {} {{\n{statements}    return {element};\n}}\n",
                        read.name,
                        dtype.wgsl()
                    ));
                }
            }
        }
        if stage.source.iter().any(|file| file.contains("at_columns(")) {
            let holds = runs_epilogue && stage.writes.iter().any(|w| w.slot == BufferSlot::Output && w.vec4);
            self.at_columns(&mut writer, stage, holds)?;
        }
        for write in &stage.writes {
            if let BufferSlot::Panel(panel) = write.slot {
                writer.panel(write.name, panel, true);
                continue;
            }
            let (bound, dtype) = self.bound(write.slot);
            touched += self.bytes(write.slot);
            let is_output = write.slot == BufferSlot::Output;
            let name = if is_output { "store".to_owned() } else { format!("store_{}", write.name) };
            let ty = if write.vec4 { format!("vec4<{}>", dtype.wgsl()) } else { dtype.wgsl().to_owned() };
            let value =
                Value { name: if faulty { "(value + value)" } else { "value" }.into(), dtype, vec4: write.vec4 };
            if is_output && runs_epilogue {
                let numel = writer.constant(word(self.group.numel)?);
                let space = Space::Linear { index: "i", local: "i", vec4: write.vec4, numel: &numel };
                let values = expr::emit(&mut writer, &self.group.body, &space, Some(&value))?;
                for &(value, node) in &self.group.outputs {
                    let target = Bound::Source(Source::Pending(node));
                    expr::store(&mut writer, target, "i", &values[value], write.vec4);
                }
            } else {
                expr::store(&mut writer, bound, "i", &value, write.vec4);
            }
            let statements = writer.take_body();
            writer.function(&format!("fn {name}(i: u32, value: {ty}) {{\n{statements}}}\n"));
        }
        if stage.checks_indices {
            let tag = writer.param("u32", ParamSource::Tag { node: self.parts.node });
            let slot = writer.param("u32", ParamSource::Slot { node: self.parts.node });
            writer.function(&format!(
                "// Notes the first index that is out of range; reads of what depends on it return it as an error.\n\
                 fn report_index(index: i32, bound: u32) {{\n    \
                 let slot = 4u * {slot};\n    \
                 if (atomicExchange(&index_fault[slot], 1u) == 0u) {{\n        \
                 atomicStore(&index_fault[slot + 1u], {tag});\n        \
                 atomicStore(&index_fault[slot + 2u], u32(index));\n        \
                 atomicStore(&index_fault[slot + 3u], bound);\n    }}\n}}\n"
            ));
        }
        let mut call = writer.finish(stage.name.to_owned(), &stage.source.concat(), stage.workgroups, touched);
        let epilogue = if runs_epilogue { calls(&self.group.body) * self.group.numel as u64 } else { 0 };
        call.flops =
            self.parts.routine.flops(stage, self.operands, self.output).map(|own| own.saturating_add(epilogue));
        Ok(call)
    }

    /// Writes `at_columns(column)`: where the epilogue `holds`, it loads what differs only along rows of results, as a bias does, for the
    /// four columns from `column` on, so that the stores of many rows need not load it again.
    fn at_columns(&self, writer: &mut Writer, stage: &Stage, holds: bool) -> Result<()> {
        let n = stage.params.iter().find(|(name, _)| *name == "n").map_or(0, |(_, n)| n.bits() as usize);
        let leaves = &self.group.body.leaves;
        for (k, leaf) in leaves.iter().enumerate().filter(|_| holds) {
            let same = |other: &&Leaf| other.source == leaf.source;
            let first = leaves[..k].iter().all(|other| other.source != leaf.source);
            let alike = leaves.iter().filter(same).all(|other| other.layout == leaf.layout);
            let Some(row) = along_row(&leaf.layout, n).filter(|_| first && alike) else { continue };
            let numel = writer.constant(word(n)?);
            let space = Space::Linear { index: "group", local: "group", vec4: true, numel: &numel };
            let value = expr::load(writer, Bound::Source(leaf.source), &row, leaf.dtype, &space)?;
            let (name, scalar) = (format!("columns{k}"), leaf.dtype.wgsl());
            let ty = if value.vec4 { format!("vec4<{scalar}>") } else { scalar.to_owned() };
            writer.declare(&format!("var<private> {name}: {ty};\n"));
            writer.line(&format!("{name} = {};", value.name));
            writer.hold(Bound::Source(leaf.source), Held { name, vec4: value.vec4 });
        }
        let statements = writer.take_body();
        writer.function(&format!("fn at_columns(column: u32) {{\n    let group = column / 4u;\n{statements}}}\n"));
        Ok(())
    }

    /// Binds a bare array under the routine's own name. A buffer that the stage also writes is bound once, writable.
    fn raw(&self, writer: &mut Writer, name: &str, bound: Bound, dtype: DType, vec4: bool, stage: &Stage) {
        let writable =
            stage.writes.iter().any(|w| !matches!(w.slot, BufferSlot::Panel(_)) && self.bound(w.slot).0 == bound);
        let actual = writer.named_bind(name, bound, dtype, vec4, writable);
        if actual != name {
            // One operand used twice (`x.matmul(&x)`): WGSL has no aliases for variables, so bind it again under its own
            // name; both bindings are read-only.
            writer.rebind(name, bound, dtype, vec4);
        }
        if vec4 {
            writer.read_quads(name);
        }
    }

    /// What computes a buffer's elements where they are read.
    fn producer(&self, slot: BufferSlot) -> Option<&Producer> {
        let BufferSlot::Input(i) = slot else { return None };
        self.parts.producers.get(i)?.as_ref()
    }

    /// Writes the function by which the stage reads an input that is computed where it is read.
    fn computed(&self, writer: &mut Writer, read: &Read, producer: &Producer, dtype: DType) -> Result<()> {
        let (function, vec4) = match read.access {
            Access::Logical => ("load", false),
            Access::LogicalVec4 => ("load", true),
            Access::Element | Access::Raw => ("element", false),
            Access::RawVec4 | Access::RawOctets => ("quad", true),
        };
        let layout = self.layout(read.slot, dtype);
        let logical = function == "load" && !layout.is_flat();
        let BufferSlot::Input(input) = read.slot else { return Ok(()) };
        let numel = self.dag.var(self.parts.inputs[input].source).meta().numel();
        let numel = writer.constant(word(numel)?);
        // The value at offset `index` of the buffer that would hold it.
        let at = |writer: &mut Writer, index: &str, vec4: bool| -> Result<Value> {
            let space = Space::Linear { index, local: index, vec4, numel: &numel };
            Ok(expr::emit(writer, &producer.body, &space, None)?.swap_remove(producer.value))
        };
        let value = match (logical, vec4) {
            (false, _) => at(writer, "i", vec4)?,
            (true, false) => {
                let offset = expr::offset(writer, &layout, "i")?;
                let offset = writer.let_(&offset);
                at(writer, &offset, false)?
            }
            (true, true) => {
                let mut parts = Vec::with_capacity(4);
                for c in 0..4 {
                    let element = writer.let_(&format!("i * 4u + {c}u"));
                    let offset = expr::offset(writer, &layout, &element)?;
                    let offset = writer.let_(&offset);
                    parts.push(at(writer, &offset, false)?.name);
                }
                Value { name: format!("vec4<{}>({})", dtype.wgsl(), parts.join(", ")), dtype, vec4: true }
            }
        };
        let statements = writer.take_body();
        let (ty, text) = match vec4 {
            true => (format!("vec4<{}>", dtype.wgsl()), value.splat()),
            false => (dtype.wgsl().to_owned(), value.name),
        };
        writer
            .function(&format!("fn {function}_{}(i: u32) -> {ty} {{\n{statements}    return {text};\n}}\n", read.name));
        if read.access == Access::RawOctets {
            writer.function(&format!(
                "fn octet_{0}(i: u32) -> array<{ty}, 2> {{\n    return array<{ty}, 2>(quad_{0}(2u * i), quad_{0}(2u * i + 1u));\n}}\n",
                read.name
            ));
        }
        Ok(())
    }

    /// How the logical elements of a buffer that is read lie.
    fn layout(&self, slot: BufferSlot, dtype: DType) -> Layout {
        match slot {
            BufferSlot::Input(i) => self.operands[i].layout.clone(),
            _ => Layout::contiguous([(self.bytes(slot) / dtype.size() as u64) as usize]),
        }
    }

    fn bytes(&self, slot: BufferSlot) -> u64 {
        if let Some(producer) = self.producer(slot) {
            return producer.body.leaves.iter().map(|leaf| self.dag.var(leaf.source).meta().bytes()).sum();
        }
        match slot {
            BufferSlot::Input(i) => self.operands[i].meta.bytes(),
            BufferSlot::Output => self.dag.nodes[self.parts.node].meta().bytes(),
            BufferSlot::Scratch(k) => self.scratch.get(k).map_or(0, |s| s.0),
            BufferSlot::Panel(_) => 0,
        }
    }
}

/// The walk along a row of `n` results, where the layout is the same for every row.
fn along_row(layout: &Layout, n: usize) -> Option<Layout> {
    let flat = layout.collapsed();
    let last = flat.shape.rank().checked_sub(1)?;
    let repeats = flat.shape[last] == n && flat.strides[last] != 0 && flat.strides[..last].iter().all(|&s| s == 0);
    repeats.then(|| Layout {
        shape: [n].into(),
        strides: std::iter::once(flat.strides[last]).collect(),
        offset: flat.offset,
    })
}
