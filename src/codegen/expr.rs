//! Statements for straight-line code over an index space.

use crate::caps::Caps;
use crate::codegen::cancel::Sums;
use crate::codegen::writer::{Held, Writer};
use crate::codegen::{Bound, ParamSource, word};
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::group::{Body, Leaf, What};
use crate::layout::Layout;

/// How the code is told which element it is at.
pub enum Space<'a> {
    /// By one row-major index, the expression `index`. With `vec4` it counts groups of four elements, and `numel` is an
    /// expression for the number of elements, at which gathers stop.
    /// `local` is the same index counted from where the bound part of contiguous buffers starts.
    Linear { index: &'a str, local: &'a str, vec4: bool, numel: &'a str },
    /// By an index over the dims that a reduction keeps and one over the `dims` that it reduces.
    Split { kept: &'a str, reduced: &'a str, dims: &'a [usize], quads: Quads },
}

/// Which index of a reduction counts groups of four elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quads {
    /// Neither.
    None,
    /// The one over the reduced dims.
    Reduced,
    /// The one over the kept dims.
    Kept,
}

/// A value in a register.
#[derive(Clone)]
pub struct Value {
    /// Name or expression.
    pub name: String,
    pub dtype: DType,
    /// Whether it is a `vec4` of four neighbours; else one value (which may stand for four equal ones).
    pub vec4: bool,
}

impl Value {
    /// The expression of component `c`.
    fn component(&self, c: usize) -> String {
        if self.vec4 { format!("{}.{}", self.name, ["x", "y", "z", "w"][c]) } else { self.name.clone() }
    }

    /// The value as a `vec4` expression of its register type.
    pub fn splat(&self) -> String {
        if self.vec4 { self.name.clone() } else { format!("vec4<{}>({})", self.dtype.wgsl(), self.name) }
    }
}

/// Writes statements that compute every instruction of `body`; returns their values. `result` is what `What::Result` stands for.
pub fn emit(writer: &mut Writer, body: &Body, space: &Space, result: Option<&Value>) -> Result<Vec<Value>> {
    let mut values: Vec<Value> = Vec::with_capacity(body.code.len());
    let mut sums = Sums::default();
    for inst in &body.code {
        let cancelled = sums.add(inst);
        let value = match &inst.what {
            What::Result => match result {
                Some(value) if inst.dtype == DType::F16 => {
                    Value { name: writer.let_(&rounded(value)), dtype: inst.dtype, vec4: value.vec4 }
                }
                Some(value) => value.clone(),
                None => Value { name: "0".into(), dtype: inst.dtype, vec4: false },
            },
            What::Copy(from) => values[*from].clone(),
            What::Scalar(node) => {
                let source = ParamSource::Scalar { node: *node, dtype: inst.dtype };
                let param = writer.param(inst.dtype.wgsl_param(), source);
                let name = if inst.dtype == DType::Bool { format!("({param} != 0u)") } else { param };
                Value { name, dtype: inst.dtype, vec4: false }
            }
            What::Load(leaf) => {
                let leaf = &body.leaves[*leaf];
                load(writer, Bound::Source(leaf.source), &leaf.layout, leaf.dtype, space)?
            }
            What::Index(layout) => {
                let access = access(writer, layout, space)?;
                let (name, vec4) = match access {
                    At::One(offset) => (writer.let_(&offset), false),
                    At::Quad { first, .. } => (writer.let_(&format!("{first} + vec4<u32>(0u, 1u, 2u, 3u)")), true),
                    At::Four(offsets) => (writer.let_(&format!("vec4<u32>({})", offsets.join(", "))), true),
                };
                Value { name, dtype: DType::U32, vec4 }
            }
            What::Call { function, field, args, left_out } => {
                writer.paste(&function.source);
                writer.untrusted |= !function.trusted;
                let args: Vec<&Value> = args.iter().map(|&a| &values[a]).collect();
                let field = field.map_or(String::new(), |f| format!(".{f}"));
                let call = |c: usize| {
                    let mut list: Vec<String> = args.iter().map(|a| a.component(c)).collect();
                    left_out.iter().for_each(|&(position, value)| list.insert(position, value.to_owned()));
                    format!("{}({}){field}", function.name, list.join(", "))
                };
                let vec4 = args.iter().any(|a| a.vec4);
                let text = if vec4 {
                    let calls: Vec<String> = (0..4).map(call).collect();
                    format!("vec4<{}>({})", inst.dtype.wgsl(), calls.join(", "))
                } else {
                    call(0)
                };
                let mut value = Value { name: writer.let_(&text), dtype: inst.dtype, vec4 };
                for (test, operand) in cancelled {
                    value = unless(writer, &value, test, &values[operand]);
                }
                if inst.dtype == DType::F16 {
                    // So that a value is the same whether it is stored and loaded or stays in a register.
                    value.name = writer.let_(&rounded(&value));
                }
                value
            }
        };
        values.push(value);
    }
    Ok(values)
}

/// NaN where the `test` on an operand says so, else the value.
fn unless(writer: &mut Writer, value: &Value, test: &str, operand: &Value) -> Value {
    let vec4 = value.vec4 || operand.vec4;
    let part = |c: usize| format!("{test}({}, {})", value.component(c), operand.component(c));
    let text = match vec4 {
        true => format!("vec4<f32>({})", (0..4).map(part).collect::<Vec<_>>().join(", ")),
        false => part(0),
    };
    Value { name: writer.let_(&text), dtype: value.dtype, vec4 }
}

/// The value rounded to what an f16 holds.
fn rounded(value: &Value) -> String {
    if value.vec4 {
        let parts: Vec<String> = (0..4).map(|c| format!("round_f16({})", value.component(c))).collect();
        format!("vec4<f32>({})", parts.join(", "))
    } else {
        format!("round_f16({})", value.name)
    }
}

/// Writes a load.
pub fn load(writer: &mut Writer, bound: Bound, layout: &Layout, dtype: DType, space: &Space) -> Result<Value> {
    if let Some(Held { name, vec4 }) = writer.held(bound).cloned() {
        return Ok(Value { name, dtype, vec4 });
    }
    let access = access(writer, layout, space)?;
    let quad = matches!(access, At::Quad { .. });
    let buffer = writer.bind(bound, dtype, quad, false);
    let (text, vec4) = match access {
        At::One(offset) => (format!("{buffer}[{offset}]"), false),
        At::Quad { first, aligned } => {
            writer.read_quads(&buffer);
            let group = aligned.unwrap_or_else(|| format!("({first}) / 4u"));
            (format!("quad_{buffer}({group})"), true)
        }
        At::Four(offsets) => {
            let loads: Vec<String> = offsets.iter().map(|o| format!("{buffer}[{o}]")).collect();
            (format!("vec4<{}>({})", dtype.wgsl_storage(), loads.join(", ")), true)
        }
    };
    let text = match (dtype, vec4) {
        (DType::Bool, false) => format!("{text} != 0u"),
        (DType::Bool, true) => format!("{text} != vec4<u32>(0u)"),
        (DType::F16, false) => format!("f32({text})"),
        (DType::F16, true) if !quad => format!("vec4<f32>({text})"),
        _ => text,
    };
    Ok(Value { name: writer.let_(&text), dtype, vec4 })
}

/// Where the elements that one step of the code works on lie.
enum At {
    /// One element (or four equal ones).
    One(String),
    /// Four neighbours from element offset `first`, a multiple of four; `aligned` is that offset in fours, where it is at hand.
    Quad { first: String, aligned: Option<String> },
    /// Four elements anywhere.
    Four(Vec<String>),
}

fn access(writer: &mut Writer, layout: &Layout, space: &Space) -> Result<At> {
    if let Some((low, high)) = layout.span() {
        debug_assert!(low >= 0);
        word(high as usize)?;
    }
    match space {
        Space::Linear { index, vec4: false, .. } => Ok(At::One(offset(writer, layout, index)?)),
        Space::Linear { index, local, vec4: true, numel } => {
            if layout.is_single() {
                return Ok(At::One(offset(writer, layout, "0u")?));
            }
            let flat = layout.collapsed();
            if layout.is_flat() {
                return Ok(At::Quad { first: format!("({index} * 4u)"), aligned: Some((*local).to_owned()) });
            }
            match inner_run(&flat) {
                Run::Unit => {
                    let first = writer.let_(&format!("{index} * 4u"));
                    Ok(At::Quad { first: offset(writer, &flat, &first)?, aligned: None })
                }
                Run::Constant => {
                    let first = writer.let_(&format!("{index} * 4u"));
                    Ok(At::One(offset(writer, &flat, &first)?))
                }
                Run::Other => {
                    let mut offsets = Vec::with_capacity(4);
                    for c in 0..4 {
                        // The last group may reach past the end.
                        let element = writer.let_(&format!("min({index} * 4u + {c}u, {numel} - 1u)"));
                        offsets.push(offset(writer, &flat, &element)?);
                    }
                    Ok(At::Four(offsets))
                }
            }
        }
        Space::Split { kept, reduced, dims, quads: Quads::Kept } => {
            let (outer, inner) = split(layout, dims);
            let row = if inner.is_single() { None } else { Some(offset(writer, &inner, reduced)?) };
            let add = |first: String| match &row {
                Some(row) => format!("{first} + {row}"),
                None => first,
            };
            let flat = outer.collapsed();
            let aligned = inner.strides.iter().all(|s| s % 4 == 0);
            let here = |writer: &mut Writer, c: usize| -> Result<String> {
                let element = writer.let_(&format!("{kept} * 4u + {c}u"));
                Ok(add(offset(writer, &flat, &element)?))
            };
            match inner_run(&flat) {
                Run::Unit if aligned => Ok(At::Quad { first: here(writer, 0)?, aligned: None }),
                Run::Constant => Ok(At::One(here(writer, 0)?)),
                _ => Ok(At::Four((0..4).map(|c| here(writer, c)).collect::<Result<_>>()?)),
            }
        }
        Space::Split { kept, reduced, dims, quads } => {
            let (outer, inner) = split(layout, dims);
            let base = if outer.is_single() && outer.offset == 0 { None } else { Some(offset(writer, &outer, kept)?) };
            let add = |rest: String| match &base {
                Some(base) => format!("{base} + {rest}"),
                None => rest,
            };
            if inner.is_single() {
                return Ok(At::One(base.unwrap_or_else(|| "0u".into())));
            }
            if *quads == Quads::None {
                let rest = offset(writer, &inner, reduced)?;
                return Ok(At::One(add(rest)));
            }
            let flat = inner.collapsed();
            let aligned = |l: &Layout| l.offset % 4 == 0 && l.strides.iter().all(|s| s % 4 == 0);
            if matches!(inner_run(&flat), Run::Unit) && aligned(&outer.collapsed()) {
                let first = writer.let_(&format!("{reduced} * 4u"));
                let rest = offset(writer, &flat, &first)?;
                return Ok(At::Quad { first: add(rest), aligned: None });
            }
            let mut offsets = Vec::with_capacity(4);
            for c in 0..4 {
                let element = writer.let_(&format!("{reduced} * 4u + {c}u"));
                let rest = offset(writer, &flat, &element)?;
                offsets.push(add(rest));
            }
            Ok(At::Four(offsets))
        }
    }
}

/// Splits a layout into the walk over the dims that a reduction keeps (with the offset) and over those that it reduces.
pub fn split(layout: &Layout, dims: &[usize]) -> (Layout, Layout) {
    let pick = |reduced: bool, offset: isize| {
        let chosen: Vec<usize> = (0..layout.shape.rank()).filter(|d| dims.contains(d) == reduced).collect();
        Layout {
            shape: chosen.iter().map(|&d| layout.shape[d]).collect(),
            strides: chosen.iter().map(|&d| layout.strides[d]).collect(),
            offset,
        }
    };
    (pick(false, layout.offset), pick(true, 0))
}

/// Whether four elements from each multiple of four on are four neighbours in memory, at a multiple of four where the layout starts at
/// one.
pub fn is_in_quads(layout: &Layout) -> bool {
    matches!(inner_run(&layout.collapsed()), Run::Unit)
}

/// Whether it pays to load eight neighbours of the leaf at once: software adapters load lane by lane, at the same cost whatever a load
/// brings.
pub fn loads_octets(leaf: &Leaf, caps: &Caps) -> bool {
    let fits = matches!(leaf.dtype, DType::F32 | DType::I32 | DType::U32);
    caps.policy().loads_octets && caps.wide_loads && fits && leaf.layout.is_flat()
}

/// What four neighbours that start at a multiple of four have in common.
enum Run {
    /// They are four neighbours in memory, at a multiple of four.
    Unit,
    /// They are one element.
    Constant,
    /// Nothing.
    Other,
}

fn inner_run(flat: &Layout) -> Run {
    let Some(last) = flat.shape.rank().checked_sub(1) else { return Run::Constant };
    if flat.strides[last] == 1 {
        let whole =
            last == 0 || (flat.shape[last].is_multiple_of(4) && flat.strides[..last].iter().all(|s| s % 4 == 0));
        return if whole && flat.offset % 4 == 0 { Run::Unit } else { Run::Other };
    }
    if flat.strides[last] == 0 && flat.shape[last].is_multiple_of(4) {
        return Run::Constant;
    }
    Run::Other
}

/// Writes statements that map the row-major index `index` to an element offset; returns the offset's expression.
/// Strides travel as wrapping u32, so that negative ones need no case of their own.
pub fn offset(writer: &mut Writer, layout: &Layout, index: &str) -> Result<String> {
    let flat = layout.collapsed();
    // What `quotient` takes; a group of four may reach past the end.
    let short = flat.shape.numel() <= (1 << 31) - 4;
    let mut terms: Vec<String> = Vec::new();
    let mut rest = index.to_owned();
    if !flat.is_single() {
        for d in (0..flat.shape.rank()).rev() {
            let here = if d == 0 {
                rest.clone()
            } else {
                let size = writer.constant(word(flat.shape[d])?);
                let quotient =
                    writer.let_(&if short { format!("quotient({rest}, {size})") } else { format!("{rest} / {size}") });
                let remainder = format!("({rest} - {quotient} * {size})");
                rest = quotient;
                remainder
            };
            match flat.strides[d] {
                0 => {}
                1 => terms.push(here),
                stride => {
                    let stride = writer.constant(stride as i32 as u32);
                    terms.push(format!("{here} * {stride}"));
                }
            }
        }
    }
    if flat.offset != 0 {
        terms.push(writer.constant(word(flat.offset as usize)?));
    }
    Ok(if terms.is_empty() { "0u".into() } else { terms.join(" + ") })
}

/// Writes a store of `value` at `index` (an element, or a group of four if `vec4`) of a buffer in row-major order.
pub fn store(writer: &mut Writer, bound: Bound, index: &str, value: &Value, vec4: bool) {
    let buffer = writer.bind(bound, value.dtype, vec4, true);
    let text = match (vec4, value.dtype) {
        (false, DType::Bool) => format!("select(0u, 1u, {})", value.name),
        (false, DType::F16) => format!("f16({})", rounded(value)),
        (true, DType::F16) => format!("vec4<f16>({})", rounded(&Value { name: value.splat(), vec4: true, ..*value })),
        (false, _) => value.name.clone(),
        (true, DType::Bool) => format!("select(vec4<u32>(0u), vec4<u32>(1u), {})", value.splat()),
        (true, _) => value.splat(),
    };
    writer.line(&format!("{buffer}[{index}] = {text};"));
}
