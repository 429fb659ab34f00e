//! How an op runs on a GPU, in terms that the scheduler can fuse and the code generator can print.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Meta;
use crate::layout::{Layout, View};

/// A WGSL function of scalars, pasted once into every kernel that calls it.
///
/// ```
/// use wgrad::graph::kernel::WgslFn;
/// let source = "fn twice(x: f32) -> f32 { return x + x; }";
/// let twice = WgslFn { name: "twice".into(), source: source.into(), trusted: false };
/// assert!(twice.source.contains(twice.name.as_str()));
/// ```
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
///
/// ```
/// use std::sync::Arc;
/// use wgrad::graph::kernel::{Elementwise, Kernel, WgslFn};
/// let source = "fn twice(x: f32) -> f32 { return x + x; }";
/// let function = Arc::new(WgslFn { name: "twice".into(), source: source.into(), trusted: false });
/// let kernel = Kernel::Elementwise(Elementwise { function, field: None, left_out: Vec::new(), index: false });
/// ```
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
///
/// ```
/// use wgrad::graph::kernel::{Combine, Reduce};
/// let rows = Reduce { combine: Combine::Max, dims: [1].into_iter().collect() };
/// assert_eq!(rows.combine, Combine::Max);
/// ```
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
///
/// ```
/// use wgrad::graph::kernel::{Combine, Kernel, Reduce};
/// let sum = Kernel::Reduce(Reduce { combine: Combine::Sum, dims: [0, 2].into_iter().collect() });
/// ```
#[derive(Clone, Debug)]
pub struct Reduce {
    /// How elements combine.
    pub combine: Combine,
    /// The dims that go away.
    pub dims: SmallVec<[usize; 6]>,
}

/// How an op runs.
///
/// ```
/// use wgrad::graph::kernel::Kernel;
/// use wgrad::layout::View;
/// let reversed = Kernel::View(View::Slice { dim: 0, start: 2, step: -1, len: 3 }); // of three, the last one first
/// assert!(matches!(reversed, Kernel::View(_)));
/// ```
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
///
/// ```
/// use wgrad::DType;
/// use wgrad::graph::{Meta, kernel::Operand};
/// use wgrad::layout::Layout;
/// let x = Operand { meta: Meta::new([2, 3], DType::F32), layout: Layout::contiguous([2, 3]) };
/// assert_eq!(x.meta.shape, x.layout.shape);
/// ```
#[derive(Clone, Debug)]
pub struct Operand {
    /// Shape and type.
    pub meta: Meta,
    /// Where its elements lie in the bound buffer. Outputs are contiguous.
    pub layout: Layout,
}

/// A kernel that is more than an elementwise function or a reduction.
///
/// ```
/// use wgrad::caps::Caps;
/// use wgrad::graph::kernel::{Operand, Routine, Stage};
/// use wgrad::{Error, Result};
/// /// Computes what has no element, and refuses all else.
/// struct Empty;
/// impl Routine for Empty {
///     fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
///         if output.meta.numel() == 0 { Ok(vec![]) } else { Err(Error::argument("empty", "there are elements")) }
///     }
/// }
/// assert!(!Empty.fuses_epilogue());
/// ```
pub trait Routine: Send + Sync {
    /// The dispatches that compute `output` from `inputs`, in order.
    ///
    /// ```
    /// # use wgrad::DType;
    /// # use wgrad::graph::Meta;
    /// # use wgrad::layout::Layout;
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Nothing;
    /// impl Routine for Nothing {
    ///     fn stages(&self, _inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
    ///         Ok(vec![])
    ///     }
    /// }
    /// let y = Operand { meta: Meta::new([0], DType::F32), layout: Layout::contiguous([0]) };
    /// assert!(Nothing.stages(&[], &y, &Caps::baseline())?.is_empty());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the device cannot run it at this size.
    fn stages(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>>;

    /// Whether every element is stored exactly once, by the last stage, through `store`; only then may elementwise
    /// consumers be fused into it.
    ///
    /// ```
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own;
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn fuses_epilogue(&self) -> bool {
    ///         true
    ///     }
    /// }
    /// assert!(Own.fuses_epilogue());
    /// ```
    fn fuses_epilogue(&self) -> bool {
        false
    }

    /// Whether the text of the last stage calls `store` at many places, so that a long epilogue makes a very long kernel.
    ///
    /// ```
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own;
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn stores_at_many_places(&self) -> bool {
    ///         true
    ///     }
    /// }
    /// assert!(Own.stores_at_many_places());
    /// ```
    fn stores_at_many_places(&self) -> bool {
        false
    }

    /// Whether its stages ask what index checks have found. For the planner's own use.
    #[doc(hidden)]
    fn awaits_checks(&self) -> bool {
        false
    }

    /// How often each element of input `input` is loaded, where every stage that reads it does so by functions (not
    /// [`Access::Raw`]): the scheduler may then have the ops that make the input computed where it is loaded. `None` where they
    /// have to be stored.
    ///
    /// ```
    /// # use wgrad::{DType, graph::Meta, layout::Layout};
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own;
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn loads(&self, _input: usize, _inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Option<usize> {
    ///         Some(2) // once for a maximum and once for what is stored
    ///     }
    /// }
    /// let x = Operand { meta: Meta::new([4], DType::F32), layout: Layout::contiguous([4]) };
    /// assert_eq!(Own.loads(0, &[x.clone()], &x, &Caps::baseline()), Some(2));
    /// ```
    fn loads(&self, _input: usize, _inputs: &[Operand], _output: &Operand, _caps: &Caps) -> Option<usize> {
        None
    }

    /// A routine that computes the same in the plainest way, where there are faster ones to be held against it. With `WGRAD_VALIDATE=1`
    /// both run on made-up floats before a device runs the routine's kernels for the first time; where they disagree, what was to be
    /// computed is an error.
    ///
    /// ```
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own {
    ///     plain: bool, // whether to compute without tiles
    /// }
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn yardstick(&self) -> Option<Box<dyn Routine>> {
    ///         Some(Box::new(Own { plain: true }))
    ///     }
    /// }
    /// assert!(Own { plain: false }.yardstick().is_some());
    /// ```
    fn yardstick(&self) -> Option<Box<dyn Routine>> {
        None
    }

    /// The class of shapes for which one choice of kernels is as good as any, where it has several ([`Routine::candidate`]).
    ///
    /// ```
    /// # use wgrad::{DType, graph::Meta, layout::Layout};
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own;
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn class(&self, inputs: &[Operand]) -> Option<String> {
    ///         Some(format!("own {}", inputs[0].meta.numel().next_power_of_two()))
    ///     }
    /// }
    /// let x = Operand { meta: Meta::new([5], DType::F32), layout: Layout::contiguous([5]) };
    /// assert_eq!(Own.class(&[x]).as_deref(), Some("own 8"));
    /// ```
    fn class(&self, _inputs: &[Operand]) -> Option<String> {
        None
    }

    /// The same by the kernels of this number, below [`CANDIDATES`](crate::tuning::CANDIDATES); number 0 is what is taken where nothing
    /// was tried. With `WGRAD_TUNE` set the fastest is found out for each class of shapes; the routine's stages then look it
    /// up in [`Caps::choices`].
    ///
    /// ```
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// struct Own {
    ///     candidate: usize,
    /// }
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn candidate(&self, candidate: usize) -> Option<Box<dyn Routine>> {
    ///         (candidate < 2).then(|| Box::new(Own { candidate }) as Box<dyn Routine>)
    ///     }
    /// }
    /// assert!(Own { candidate: 0 }.candidate(2).is_none());
    /// ```
    fn candidate(&self, _candidate: usize) -> Option<Box<dyn Routine>> {
        None
    }

    /// Floating-point operations of one of its stages, where known: for explanations only.
    ///
    /// ```
    /// # use wgrad::{DType, graph::Meta, layout::Layout};
    /// # use wgrad::{Result, caps::Caps, graph::kernel::{Operand, Routine, Stage}};
    /// # let (source, reads, writes, consts, params) = (&[""], vec![], vec![], vec![], vec![]);
    /// # let (name, checks_indices, workgroups) = ("own", false, 1);
    /// # let stage = Stage { name, source, reads, writes, consts, params, checks_indices, workgroups };
    /// struct Own;
    /// impl Routine for Own {
    /// #   fn stages(&self, _: &[Operand], _: &Operand, _: &Caps) -> Result<Vec<Stage>> { Ok(vec![]) }
    ///     fn flops(&self, _stage: &Stage, _inputs: &[Operand], output: &Operand) -> Option<u64> {
    ///         Some(output.meta.numel() as u64 * 2) // a product and a sum for each element
    ///     }
    /// }
    /// let x = Operand { meta: Meta::new([4], DType::F32), layout: Layout::contiguous([4]) };
    /// assert_eq!(Own.flops(&stage, &[], &x), Some(8));
    /// ```
    fn flops(&self, _stage: &Stage, _inputs: &[Operand], _output: &Operand) -> Option<u64> {
        None
    }
}

/// A shader's text, in pieces that are put one after the other: files that kernels share stand in the program once.
///
/// ```
/// let text: wgrad::graph::kernel::Wgsl = &["const TWO: f32 = 2.0;\n", "fn twice(x: f32) -> f32 { return TWO * x; }\n"];
/// assert!(text.concat().ends_with("TWO * x; }\n"));
/// ```
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
///
/// ```
/// use wgrad::graph::kernel::{Access, Read, Slot, Stage, Word, Write};
/// const SOURCE: &str = "
///     @compute @workgroup_size(64)
///     fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
///             @builtin(local_invocation_index) lane: u32) {
///         let i = workgroup_index(group, groups) * 64u + lane;
///         if (i < params.total) { store(i, 2.0 * load_x(i)); }
///     }";
/// let double = |total: u32| Stage {
///     name: "double",
///     source: &[SOURCE],
///     reads: vec![Read { name: "x", slot: Slot::Input(0), access: Access::Logical }],
///     writes: vec![Write { name: "y", slot: Slot::Output, vec4: false, scratch: None }],
///     consts: vec![],
///     params: vec![("total", Word::U32(total))],
///     checks_indices: false,
///     workgroups: u64::from(total.div_ceil(64)),
/// };
/// assert_eq!(double(100).workgroups, 2);
/// ```
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
///
/// ```
/// use wgrad::DType;
/// use wgrad::graph::kernel::{Access, Read, Slot, Write};
/// let sums = Write { name: "sums", slot: Slot::Scratch(0), vec4: false, scratch: Some((64, DType::F32)) };
/// let again = Read { name: "sums", slot: Slot::Scratch(0), access: Access::Raw }; // in a later stage
/// assert_eq!(sums.slot, again.slot);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
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
///
/// ```
/// use wgrad::graph::kernel::{Access, Read, Slot};
/// let x = Read { name: "x", slot: Slot::Input(0), access: Access::Logical }; // the shader calls `load_x(i)`
/// assert_eq!(x.slot, Slot::Input(0));
/// ```
#[derive(Clone, Debug)]
pub struct Read {
    /// Name in the shader.
    pub name: &'static str,
    /// The buffer.
    pub slot: Slot,
    /// How it is read.
    pub access: Access,
}

/// How a stage reads a buffer.
///
/// ```
/// use wgrad::graph::kernel::{Access, Read, Slot};
/// let x = Read { name: "x", slot: Slot::Input(0), access: Access::RawVec4 }; // the shader calls `quad_x(i)`
/// assert_eq!(x.access, Access::RawVec4);
/// ```
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
///
/// ```
/// use wgrad::graph::kernel::{Slot, Write};
/// let y = Write { name: "y", slot: Slot::Output, vec4: true, scratch: None }; // the shader calls `store(i, value)`
/// assert!(y.vec4 && y.scratch.is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Write {
    /// Name in the shader: `store_NAME`, or `store` for the output whatever the name.
    pub name: &'static str,
    /// The buffer.
    pub slot: Slot,
    /// Store four neighbours at once.
    pub vec4: bool,
    /// Elements and type of a scratch buffer or a panel; ignored for the output.
    pub scratch: Option<(usize, DType)>,
}

/// A runtime parameter of a stage.
///
/// ```
/// use wgrad::graph::kernel::Word;
/// assert_eq!((Word::F32(1.0).wgsl(), Word::F32(1.0).bits()), ("f32", 0x3f80_0000));
/// ```
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
    ///
    /// ```
    /// use wgrad::graph::kernel::Word;
    /// assert_eq!([Word::U32(1), Word::I32(-1)].map(Word::wgsl), ["u32", "i32"]);
    /// ```
    pub fn wgsl(self) -> &'static str {
        match self {
            Word::U32(_) => "u32",
            Word::I32(_) => "i32",
            Word::F32(_) => "f32",
        }
    }

    /// The bits as they travel.
    ///
    /// ```
    /// use wgrad::graph::kernel::Word;
    /// assert_eq!([Word::U32(1), Word::I32(-1)].map(Word::bits), [1, u32::MAX]);
    /// ```
    pub fn bits(self) -> u32 {
        match self {
            Word::U32(v) => v,
            Word::I32(v) => v as u32,
            Word::F32(v) => v.to_bits(),
        }
    }
}
