//! How an op runs on a GPU, in terms that the scheduler can fuse and the code generator can print.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Meta;
use crate::layout::{Layout, View};

/// A WGSL function of scalars, pasted once into every kernel that calls it.
#[derive(Debug)]
pub struct WgslFn {
    /// Name of the function in `source`.
    pub name: String,
    /// Complete text of the file that defines it (the forward and backward function and their helper types stand
    /// together). Kernels paste a file once, however many of its functions they call.
    pub source: Arc<str>,
    /// Whether the text is this crate's own; users' functions are compiled with all run-time checks.
    pub trusted: bool,
}

/// An elementwise kernel: `output[i] = function(input_0[i], input_1[i], …)`.
#[derive(Clone, Debug)]
pub struct Elementwise {
    /// The function to call; its parameters are the op's inputs in order, after the index where `index` is set and around what is
    /// left out.
    pub function: Arc<WgslFn>,
    /// Field of the returned struct (`"da"`), where the function returns several gradients.
    pub field: Option<&'static str>,
    /// Parameters that are none of the inputs, by position (ascending), with the WGSL value in their place: those that do not
    /// matter to `field`.
    pub left_out: Vec<(usize, &'static str)>,
    /// Whether the function's first parameter is the row-major index of the element (`i: u32`).
    pub index: bool,
}

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// Sum.
    Sum,
    /// Product.
    Prod,
    /// The largest element; NaN where there is one.
    Max,
    /// The smallest element; NaN where there is one.
    Min,
    /// Index (u32) of the first largest element along the one reduced dim.
    ArgMax,
    /// Index (u32) of the first smallest element along the one reduced dim.
    ArgMin,
}

/// A reduction over `dims` (ascending, not empty); the output keeps the other dims in order.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// How elements combine.
    pub combine: Combine,
    /// The dims that go away.
    pub dims: SmallVec<[usize; 6]>,
}

/// How an op runs.
pub enum Kernel {
    /// One value known on the host; travels as a kernel parameter, so that a new value compiles nothing.
    Scalar(f64),
    /// The node holds its data from the start.
    Data,
    /// Another walk over the input's elements.
    View(View),
    /// Fused with its neighbours.
    Elementwise(Elementwise),
    /// Fused with its elementwise producers and consumers.
    Reduce(Reduce),
    /// Complete shaders of its own; elementwise consumers may be fused into its last store, producers into its loads.
    Routine(Box<dyn Routine>),
}

/// An operand or the result of a routine as the scheduler resolved it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Shape and type.
    pub meta: Meta,
    /// Where its elements lie in the bound buffer. Outputs are contiguous.
    pub layout: Layout,
}

/// A kernel that is more than an elementwise function or a reduction.
pub trait Routine: Send + Sync {
    /// The dispatches that compute `output` from `inputs`, in order.
    ///
    /// # Errors
    /// Where the device cannot run it at this size.
    fn stages(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>>;

    /// Whether every element is stored exactly once, by the last stage, through `store`; only then may elementwise
    /// consumers be fused into it.
    fn fuses_epilogue(&self) -> bool {
        false
    }

    /// Whether the text of the last stage calls `store` at many places, so that a long epilogue makes a very long kernel.
    fn stores_at_many_places(&self) -> bool {
        false
    }

    /// Whether its shaders are known to stay within their buffers, and run without checks of it. Those of users are not.
    fn is_trusted(&self) -> bool {
        true
    }

    /// Whether its stages ask what index checks have found. For the planner's own use.
    #[doc(hidden)]
    fn awaits_checks(&self) -> bool {
        false
    }

    /// How often each element of input `input` is loaded, where every stage that reads it does so by functions (not
    /// [`Access::Raw`]): the scheduler may then have the ops that make the input computed where it is loaded. `None` where they
    /// have to be stored.
    fn loads(&self, _input: usize, _inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Option<usize> {
        None
    }

    /// A routine that computes the same in the plainest way, where there are faster ones to be held against it. With `WGRAD_VALIDATE=1`
    /// both run on made-up floats before a device runs the routine's kernels for the first time; where they disagree, what was to be
    /// computed is an error.
    fn baseline(&self) -> Option<Box<dyn Routine>> {
        None
    }

    /// The class of shapes for which one choice of kernels is as good as any, where it has several ([`Routine::candidate`]).
    fn class(&self, _inputs: &[Operand]) -> Option<String> {
        None
    }

    /// The same by the kernels of this number, below `tuning::CANDIDATES`; number 0 is what is taken where nothing
    /// was tried. With `WGRAD_TUNE` set the fastest is found out for each class of shapes; the routine's stages then look it
    /// up in [`Caps::choices`].
    fn candidate(&self, _candidate: usize) -> Option<Box<dyn Routine>> {
        None
    }

    /// Floating-point operations of one of its stages, where known: for explanations only.
    fn flops(&self, _stage: &Stage, _inputs: &[Operand], _output: &Operand) -> Option<u64> {
        None
    }
}

/// A shader's text, in pieces that are put one after the other: files that kernels share stand in the program once.
pub type Wgsl = &'static [&'static str];

/// One dispatch of a routine.
///
/// `source` is, put together, a complete WGSL file with an entry point `main`, written against what the code generator puts in front of it:
/// - the prelude (`shaders/prelude.wgsl`);
/// - `const NAME: u32 = …;` for each of `consts` (they are part of the pipeline's identity);
/// - `params.NAME` for each of `params` (they are not);
/// - for each of `reads`, by its [`Access`]: `load_NAME(i)`, `element_NAME(i)`, `quad_NAME(i)`, or the bare storage array `NAME`;
/// - for each of `writes`: `store(i, value)` for the routine's output, `store_NAME(i, value)` for a scratch buffer; where
///   `vec4` is set, `i` counts groups of four and `value` is a `vec4`. Output stores run the fused epilogue;
/// - where the text calls it, `at_columns(column)`: told the first of the four columns that are stored to from then on, in rows of
///   `params.n` results, it loads what the fused epilogue reads by column alone, so that the stores need not;
/// - `workgroup_index(group, groups)`: the linear workgroup index, to be guarded against the grid's tail;
/// - where `checks_indices` is set, `report_index(index: i32, bound: u32)`, which makes reads of the output, and of
///   all that is computed from it, an `IndexOutOfRange` error.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name for logs and pipeline labels, such as `"matmul_cpu"`.
    pub name: &'static str,
    /// The shader's text, in the pieces that make it up.
    pub source: Wgsl,
    /// Buffers that it reads.
    pub reads: Vec<Read>,
    /// Buffers that it writes.
    pub writes: Vec<Write>,
    /// Constants, which are part of the text.
    pub consts: Vec<(&'static str, u32)>,
    /// Parameters, which travel at run time.
    pub params: Vec<(&'static str, Word)>,
    /// Whether `report_index` is there to be called. The op then says so too, by [`Op::checks_indices`](crate::graph::Op::checks_indices).
    pub checks_indices: bool,
    /// Workgroups to run; the dispatcher folds counts over 65,535 into two dimensions.
    pub workgroups: u64,
}

/// A buffer that a stage touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferSlot {
    /// The op's input of this number.
    Input(usize),
    /// The op's output.
    Output,
    /// Temporary storage that lives from the first to the last stage that names it.
    Scratch(usize),
    /// The device's panel of this number, where [`Caps::panel_texels`] allows: temporary storage of `vec4<f32>`, written through
    /// `store_NAME` and read by [`Access::RawVec4`]. Any kernel after this routine's may write it anew.
    Panel(usize),
}

/// A buffer that a stage reads.
#[derive(Clone, Debug)]
pub struct Read {
    /// Name in the shader.
    pub name: &'static str,
    /// The buffer.
    pub slot: BufferSlot,
    /// How it is read.
    pub access: Access,
}

/// How a stage reads a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `load_NAME(i: u32) -> T` with `i` the row-major logical index; the generator resolves strides.
    Logical,
    /// The bare array `NAME: array<T>`, indexed by element offset in the buffer; the routine resolves strides itself.
    Raw,
    /// `element_NAME(i: u32) -> T` with `i` the element offset in the buffer; the routine resolves strides itself. Where the
    /// input is computed in place, its offsets are those of a buffer that held it.
    Element,
    /// `load_NAME(i: u32) -> vec4<T>` with `i` counting groups of four neighbours in row-major logical order; the generator
    /// resolves strides. The number of elements is a multiple of four.
    LogicalVec4,
    /// `quad_NAME(i: u32) -> vec4<T>` with `i` a quarter of the element offset in the buffer, as for [`Access::Element`]; the
    /// routine resolves strides itself.
    RawVec4,
    /// `octet_NAME(i: u32) -> array<vec4<T>, 2>` with `i` an eighth of the element offset in the buffer, which the stage does not write; the
    /// routine resolves strides itself. Software adapters load lane by lane, at a cost of its own for each load.
    RawOctets,
}

/// A buffer that a stage writes.
#[derive(Clone, Debug)]
pub struct Write {
    /// Name in the shader: `store_NAME`, or `store` for the output whatever the name.
    pub name: &'static str,
    /// The buffer.
    pub slot: BufferSlot,
    /// Store four neighbours at once.
    pub vec4: bool,
    /// Elements and type of a scratch buffer or a panel; ignored for the output.
    pub scratch: Option<(usize, DType)>,
}

/// A runtime parameter of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// An unsigned integer.
    U32(u32),
    /// A signed integer.
    I32(i32),
    /// A float.
    F32(f32),
}

impl Word {
    /// The WGSL type of the parameter.
    pub fn wgsl(self) -> &'static str {
        match self {
            Word::U32(_) => "u32",
            Word::I32(_) => "i32",
            Word::F32(_) => "f32",
        }
    }

    /// The bits as they travel.
    pub fn bits(self) -> u32 {
        match self {
            Word::U32(v) => v,
            Word::I32(v) => v as u32,
            Word::F32(v) => v.to_bits(),
        }
    }
}
