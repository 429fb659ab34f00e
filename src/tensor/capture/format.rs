//! How a captured step lies in a file: a safetensors file, whose metadata hold the step as JSON and whose tensors hold the values
//! of variables and constants. Nothing in it is trusted: what it says is checked against itself before anything is made of it.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::backend::program::{Base, Made};
use crate::backend::recipe::Recipe;
use crate::caps::{Caps, PANELS};
use crate::codegen::KernelText;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Meta;
use crate::graph::number::{Count, Formula, Live, Operation, Rate};
use crate::ir::hash::hash_text;
use crate::layout::View;
use crate::shape::Shape;
use crate::site::Site;

/// The version of the format. It changes with everything that older builds would misread.
pub const VERSION: u32 = 3;

/// What every version has.
#[derive(Serialize, Deserialize)]
pub struct Version {
    pub version: u32,
    pub written_by: String,
}

/// A captured step. Floats are kept as their bits, since text would round them.
#[derive(Serialize, Deserialize)]
pub struct StepFile {
    pub version: u32,
    pub written_by: String,
    /// The adapter that the kernels were made for.
    pub adapter: String,
    pub needs: Needs,
    pub kernels: Vec<KernelFile>,
    pub variables: Vec<VariableFile>,
    pub constants: Vec<MetaFile>,
    /// Bits of the learning rates.
    pub rates: Vec<u32>,
    /// Steps taken.
    pub counts: Vec<i32>,
    /// Seed and position of the device's random numbers, where the step draws some.
    pub random: Option<(u64, u64)>,
    pub variants: Vec<VariantFile>,
}

/// What an adapter must have for the kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Subgroup sizes that the kernels were made for, where one uses subgroups.
    pub subgroup: Option<(u32, u32)>,
    pub f16: bool,
    /// 64-bit integers, in which some kernels read pairs of values.
    pub wide_loads: bool,
    pub storage_buffers: u32,
    pub invocations: u32,
    pub workgroup_memory: u32,
    pub buffer: u64,
    pub binding: u64,
    pub panel_texels: u64,
}

#[derive(Serialize, Deserialize)]
pub struct KernelFile {
    pub name: String,
    pub wgsl: String,
    pub writable: Vec<bool>,
    pub params_bytes: u32,
    pub checks_indices: bool,
    pub panels: Vec<(usize, bool)>,
}

#[derive(Serialize, Deserialize)]
pub struct MetaFile {
    pub dtype: String,
    pub shape: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
pub struct VariableFile {
    pub name: String,
    pub gradient: bool,
    /// Absent where the variable, a gradient, has no value.
    pub value: Option<MetaFile>,
}

#[derive(Serialize, Deserialize)]
pub struct VariantFile {
    pub inputs: Vec<MetaFile>,
    /// Variables that it reads, and whether they had a value.
    pub reads: Vec<(usize, bool)>,
    pub leaves: Vec<OriginFile>,
    /// Positions of its kernels among those of the file.
    pub kernels: Vec<usize>,
    /// The bits of its numbers.
    pub live: Vec<u64>,
    pub checks: Vec<CheckFile>,
    pub recipe: Recipe,
    pub ticks: Vec<TickFile>,
    pub outputs: Vec<OutcomeFile>,
    /// Variables that it writes; without a value where it takes a gradient away.
    pub writes: Vec<(usize, Option<OutcomeFile>)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum OriginFile {
    Input(usize),
    Read(usize),
    Constant(usize),
}

#[derive(Serialize, Deserialize)]
pub struct CheckFile {
    pub op: String,
    pub shape: Option<Vec<usize>>,
}

#[derive(Serialize, Deserialize)]
pub enum TickFile {
    Seed(u64),
    Draw(usize, usize),
    Count(usize),
    Number(usize, FormulaFile),
}

#[derive(Serialize, Deserialize)]
pub enum FormulaFile {
    Const(u64),
    Rate(usize),
    Count(usize),
    Sqrt(Box<FormulaFile>),
    Add(Box<[FormulaFile; 2]>),
    Sub(Box<[FormulaFile; 2]>),
    Mul(Box<[FormulaFile; 2]>),
    Div(Box<[FormulaFile; 2]>),
    Powi(Box<[FormulaFile; 2]>),
    Pow(Box<[FormulaFile; 2]>),
    Max(Box<[FormulaFile; 2]>),
    Above(Box<[FormulaFile; 2]>),
}

/// A value that the step leaves behind.
#[derive(Serialize, Deserialize)]
pub struct OutcomeFile {
    pub base: BaseFile,
    pub meta: MetaFile,
    pub views: Vec<ViewFile>,
}

#[derive(Serialize, Deserialize)]
pub enum BaseFile {
    Output(usize),
    Number { bits: u64, live: Option<usize>, dtype: String },
    Given(OriginFile),
}

#[derive(Serialize, Deserialize)]
pub enum ViewFile {
    Identity,
    Contiguous,
    Permute(Vec<usize>),
    Expand(Vec<usize>),
    Slice { dim: usize, start: usize, step: isize, len: usize },
    Unfold { dim: usize, size: usize, step: usize },
    Reshape(Vec<usize>),
}

/// What a file says that cannot be.
pub fn unsound(what: impl std::fmt::Display) -> Error {
    Error::argument("load_captured", format!("the file is damaged: {what}"))
}

fn shape(dims: &[usize]) -> Result<Shape> {
    let shape = Shape::from(dims);
    match shape.checked_numel() {
        Some(_) => Ok(shape),
        None => Err(unsound(format!("shape {shape} has too many elements"))),
    }
}

/// The element at a position.
pub fn at<'a, T>(list: &'a [T], position: usize, what: &str) -> Result<&'a T> {
    list.get(position).ok_or_else(|| unsound(format!("{what} {position} of {}", list.len())))
}

pub fn dtype(name: &str) -> Result<DType> {
    let all = [DType::Bool, DType::U32, DType::I32, DType::F16, DType::F32];
    all.into_iter().find(|t| t.to_string() == name).ok_or_else(|| unsound(format!("dtype {name:?}")))
}

impl MetaFile {
    pub fn of(meta: &Meta) -> MetaFile {
        MetaFile { dtype: meta.dtype.to_string(), shape: meta.shape.to_vec() }
    }

    pub fn read(&self) -> Result<Meta> {
        Ok(Meta::new(shape(&self.shape)?, dtype(&self.dtype)?))
    }
}

impl KernelFile {
    pub fn of(kernel: &KernelText) -> KernelFile {
        let KernelText { name, wgsl, writable, params_bytes, checks_indices, panels, .. } = kernel;
        KernelFile {
            name: name.clone(),
            wgsl: wgsl.clone(),
            writable: writable.clone(),
            params_bytes: *params_bytes,
            checks_indices: *checks_indices,
            panels: panels.clone(),
        }
    }

    /// The kernel. It is not trusted, whoever wrote it.
    pub fn read(self) -> Result<KernelText> {
        let KernelFile { name, wgsl, writable, params_bytes, checks_indices, panels } = self;
        let no_panel = panels.len() > PANELS || panels.iter().any(|(panel, _)| *panel >= PANELS);
        if params_bytes > 64 << 10 || writable.len() > 64 || no_panel {
            let bound = writable.len() + panels.len();
            return Err(unsound(format!("kernel {name} has {params_bytes} bytes of parameters and {bound} bindings")));
        }
        let key = hash_text(&format!("{writable:?} {params_bytes} {checks_indices} {panels:?} {wgsl}"));
        Ok(KernelText { name, wgsl, writable, params_bytes, checks_indices, panels, trusted: false, key })
    }
}

impl Needs {
    /// What the kernels and buffers of a step take.
    pub fn of<'a>(recipes: impl Iterator<Item = &'a Recipe>, caps: &Caps) -> Needs {
        let mut needs = Needs::default();
        for recipe in recipes {
            for kernel in &recipe.kernels {
                let text = &kernel.wgsl;
                if text.contains("subgroup") {
                    needs.subgroup = caps.subgroup;
                }
                needs.f16 |= text.contains("enable f16");
                needs.wide_loads |= text.contains("<u64>");
                let buffers = kernel.writable.len() as u32 + u32::from(kernel.checks_indices);
                needs.storage_buffers = needs.storage_buffers.max(buffers);
                let (invocations, memory) = workgroup(text);
                needs.invocations = needs.invocations.max(invocations);
                if memory {
                    needs.workgroup_memory = caps.workgroup_memory.min(16 << 10);
                }
            }
            let sizes: Vec<u64> = {
                let workspace_buffers = recipe.workspace_buffers.iter();
                recipe.leaves.iter().chain(&recipe.outputs).chain(workspace_buffers).copied().collect()
            };
            needs.panel_texels = recipe.panels.iter().copied().fold(needs.panel_texels, u64::max);
            needs.buffer = sizes.iter().copied().fold(needs.buffer, u64::max);
            for (buffer, window) in recipe.calls.iter().flat_map(|call| &call.operands) {
                let size = window.map_or(sizes[*buffer], |(_, size)| size);
                needs.binding = needs.binding.max(size);
            }
        }
        needs
    }

    /// What an adapter lacks, if anything.
    pub fn missing(&self, caps: &Caps) -> Option<String> {
        if let Some((least, most)) = self.subgroup
            && caps.subgroup != Some((least, most))
        {
            let own = caps.subgroup.map_or("no subgroups".to_owned(), |(a, b)| format!("subgroups of {a} to {b}"));
            return Some(format!("kernels for subgroups of {least} to {most} invocations; this adapter has {own}"));
        }
        if self.f16 && !caps.f16 {
            return Some("16-bit floats in shaders, which this adapter lacks".into());
        }
        if self.wide_loads && !caps.wide_loads {
            return Some("loads of 64-bit integers in shaders, which this adapter is not used with".into());
        }
        let amounts = [
            ("storage buffers in a kernel", u64::from(self.storage_buffers), u64::from(caps.max_storage_buffers)),
            ("invocations in a workgroup", u64::from(self.invocations), u64::from(caps.max_invocations)),
            ("bytes of workgroup memory", u64::from(self.workgroup_memory), u64::from(caps.workgroup_memory)),
            ("bytes in a buffer", self.buffer, caps.max_buffer),
            ("bytes in a binding", self.binding, caps.max_binding),
            ("texels in a panel", self.panel_texels, caps.panel_texels),
        ];
        let lacking = amounts.into_iter().find(|(_, needed, there)| needed > there);
        lacking.map(|(what, needed, there)| format!("{needed} {what}; this adapter has {there}"))
    }
}

/// Invocations of a kernel's workgroup, and whether it has workgroup memory.
fn workgroup(text: &str) -> (u32, bool) {
    let list = text.split_once("@workgroup_size(").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(l, _)| l);
    let sizes = list.split(',').filter_map(|size| size.trim().trim_end_matches('u').parse::<u32>().ok());
    (sizes.fold(1, u32::saturating_mul), text.contains("var<workgroup>"))
}

/// Things that several workspace_buffers refer to, by position.
pub struct Table<T> {
    pub list: Vec<T>,
    ids: Vec<usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { list: Vec::new(), ids: Vec::new() }
    }
}

impl<T: Clone> Table<T> {
    pub fn position(&mut self, id: usize, item: &T) -> usize {
        self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.list.push(item.clone());
            self.ids.push(id);
            self.list.len() - 1
        })
    }
}

/// The rates and counts of a step.
#[derive(Default)]
pub struct Sources {
    pub rates: Table<Rate>,
    pub counts: Table<Count>,
}

impl FormulaFile {
    pub fn of(formula: &Formula, sources: &mut Sources) -> FormulaFile {
        match formula {
            Formula::Const(value) => FormulaFile::Const(value.to_bits()),
            Formula::Rate(rate) => FormulaFile::Rate(sources.rates.position(rate.id(), rate)),
            Formula::Count(count) => FormulaFile::Count(sources.counts.position(count.id(), count)),
            Formula::Sqrt(x) => FormulaFile::Sqrt(Box::new(FormulaFile::of(x, sources))),
            Formula::Two(operation, operands) => {
                let [a, b] = &**operands;
                let pair = Box::new([FormulaFile::of(a, sources), FormulaFile::of(b, sources)]);
                match operation {
                    Operation::Add => FormulaFile::Add(pair),
                    Operation::Sub => FormulaFile::Sub(pair),
                    Operation::Mul => FormulaFile::Mul(pair),
                    Operation::Div => FormulaFile::Div(pair),
                    Operation::Powi => FormulaFile::Powi(pair),
                    Operation::Pow => FormulaFile::Pow(pair),
                    Operation::Max => FormulaFile::Max(pair),
                    Operation::Above => FormulaFile::Above(pair),
                }
            }
        }
    }

    /// The formula. The depth is bounded by the reader of the JSON.
    pub fn read(&self, rates: &[Rate], counts: &[Count]) -> Result<Formula> {
        let (operation, pair) = match self {
            FormulaFile::Const(bits) => return Ok(Formula::Const(f64::from_bits(*bits))),
            FormulaFile::Rate(i) => return Ok(at(rates, *i, "rate")?.formula()),
            FormulaFile::Count(i) => return Ok(at(counts, *i, "count")?.formula()),
            FormulaFile::Sqrt(x) => return Ok(x.read(rates, counts)?.sqrt()),
            FormulaFile::Add(pair) => (Operation::Add, pair),
            FormulaFile::Sub(pair) => (Operation::Sub, pair),
            FormulaFile::Mul(pair) => (Operation::Mul, pair),
            FormulaFile::Div(pair) => (Operation::Div, pair),
            FormulaFile::Powi(pair) => (Operation::Powi, pair),
            FormulaFile::Pow(pair) => (Operation::Pow, pair),
            FormulaFile::Max(pair) => (Operation::Max, pair),
            FormulaFile::Above(pair) => (Operation::Above, pair),
        };
        let operands = [pair[0].read(rates, counts)?, pair[1].read(rates, counts)?];
        Ok(Formula::Two(operation, std::sync::Arc::new(operands)))
    }
}

impl ViewFile {
    fn of(view: &View) -> ViewFile {
        match view {
            View::Identity => ViewFile::Identity,
            View::Contiguous => ViewFile::Contiguous,
            View::Permute(order) => ViewFile::Permute(order.to_vec()),
            View::Expand(to) => ViewFile::Expand(to.to_vec()),
            View::Slice { dim, start, step, len } => {
                ViewFile::Slice { dim: *dim, start: *start, step: *step, len: *len }
            }
            View::Unfold { dim, size, step } => ViewFile::Unfold { dim: *dim, size: *size, step: *step },
            View::Reshape(to) => ViewFile::Reshape(to.to_vec()),
        }
    }

    fn read(&self) -> Result<View> {
        // Far more than any tensor has; sums of such numbers cannot overflow.
        const MOST: usize = 1 << if usize::BITS == 64 { 40 } else { 30 };
        let small = |n: usize| if n <= MOST { Ok(n) } else { Err(unsound(format!("a view of {n} elements"))) };
        Ok(match self {
            ViewFile::Identity => View::Identity,
            ViewFile::Contiguous => View::Contiguous,
            ViewFile::Permute(order) => View::Permute(SmallVec::from_slice(order)),
            ViewFile::Expand(to) => View::Expand(shape(to)?),
            ViewFile::Slice { dim, start, step, len } => {
                let reach = step.unsigned_abs().checked_mul((*len).max(1)).ok_or_else(|| unsound("a view's step"))?;
                small(reach)?;
                View::Slice { dim: small(*dim)?, start: small(*start)?, step: *step, len: small(*len)? }
            }
            ViewFile::Unfold { dim, size, step } => {
                View::Unfold { dim: small(*dim)?, size: small(*size)?, step: small(*step)? }
            }
            ViewFile::Reshape(to) => View::Reshape(shape(to)?),
        })
    }
}

impl OutcomeFile {
    pub fn of(made: &Made, given: Option<OriginFile>, live: &mut Table<Live>) -> OutcomeFile {
        let base = match (&made.base, given) {
            (_, Some(origin)) => BaseFile::Given(origin),
            (Base::Number { value, live: source, dtype }, None) => BaseFile::Number {
                bits: value.to_bits(),
                live: source.as_ref().map(|source| live.position(source.id(), source)),
                dtype: dtype.to_string(),
            },
            (Base::Output(o), None) => BaseFile::Output(*o),
            (Base::Given(_) | Base::Known, None) => BaseFile::Output(usize::MAX),
        };
        let views = made.views.iter().map(ViewFile::of).collect();
        OutcomeFile { base, meta: MetaFile::of(&made.meta), views }
    }

    /// The value's making, checked: its base is large enough, and its views fit.
    pub fn read(
        &self,
        recipe: &Recipe,
        live: &[Live],
        origin: impl Fn(OriginFile) -> Result<Meta>,
        line: Site,
    ) -> Result<(Made, Meta, Option<OriginFile>)> {
        let mut meta = self.meta.read()?;
        let mut given = None;
        let base = match &self.base {
            BaseFile::Output(o) => {
                if meta.bytes() > *at(&recipe.outputs, *o, "output")? {
                    return Err(unsound("a result is larger than its buffer"));
                }
                Base::Output(*o)
            }
            BaseFile::Number { bits, live: source, dtype: name } => {
                let dtype = dtype(name)?;
                meta = Meta::new((), dtype);
                let source = source.map(|i| at(live, i, "number").cloned()).transpose()?;
                Base::Number { value: f64::from_bits(*bits), live: source, dtype }
            }
            BaseFile::Given(from) => {
                if origin(*from)? != meta {
                    return Err(unsound("a value that is handed on has another shape"));
                }
                given = Some(*from);
                Base::Known
            }
        };
        let views = self.views.iter().map(ViewFile::read).collect::<Result<Vec<_>>>()?;
        let made = Made { base, meta, at: line, views };
        let shape = made.shape().map_err(unsound)?;
        Ok((made, shape, given))
    }
}
