//! The kernels of an op, by a builder.

use crate::compiling::look_first;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Read, Stage, Wgsl, Word, Write};

/// A run-time parameter of a kernel, from a `u32`, an `i32` or an `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Param(Word);

impl From<u32> for Param {
    fn from(value: u32) -> Param {
        Param(Word::U32(value))
    }
}

impl From<i32> for Param {
    fn from(value: i32) -> Param {
        Param(Word::I32(value))
    }
}

impl From<f32> for Param {
    fn from(value: f32) -> Param {
        Param(Word::F32(value))
    }
}

/// One or several dispatches of WGSL compute shaders that compute an op's output.
///
/// The text of a dispatch is a complete shader with an entry point `main`. Written in front of it are, and may be called:
/// - `load_NAME(i: u32) -> T` for each [`input`](Kernel::input), with `i` the row-major index: a view is read as such without a copy;
/// - `store(i: u32, value: T)` in the last dispatch, for the output, in row-major order;
/// - `store_NAME` and, in later dispatches, `load_NAME` for [`scratch`](Kernel::scratch) storage;
/// - `params.NAME` for each [`param`](Kernel::param) and [`size`](Kernel::size), and `const NAME: u32` for each
///   [`constant`](Kernel::constant);
/// - `workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32`, from the builtins `workgroup_id` and `num_workgroups`: the number of the
///   workgroup. There may be more than were asked for, so the index of an element has to be compared with the number of elements;
/// - the functions of the built-in ops' prelude, such as `is_nan`.
///
/// `T` is `f32` for f32 and f16, else the type's own. Shaders are validated, and run with bounds checks.
///
/// ```
/// use ndarray::ArrayD;
/// use wgrad::custom::{Kernel, Meta, Op};
/// use wgrad::{DType, Device, Result, Tensor};
///
/// /// The sum of all elements, in two dispatches.
/// #[derive(Hash)]
/// struct Total;
///
/// const PARTS: &str = "
///     @compute @workgroup_size(1)
///     fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
///         let part = workgroup_index(group, groups);
///         if (part >= PARTS) { return; }
///         var sum = 0.0;
///         for (var i = part; i < params.total; i += PARTS) { sum += load_x(i); }
///         store_parts(part, sum);
///     }";
/// const WHOLE: &str = "
///     @compute @workgroup_size(1)
///     fn main() {
///         var sum = 0.0;
///         for (var part = 0u; part < PARTS; part++) { sum += load_parts(part); }
///         store(0u, sum);
///     }";
///
/// impl Op for Total {
///     fn name(&self) -> &str {
///         "total"
///     }
///     fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
///         Ok(Meta::new((), inputs[0].dtype))
///     }
///     fn kernel(&self, inputs: &[&Meta], _output: &Meta) -> Kernel {
///         Kernel::new("total_parts", &[PARTS])
///             .input("x", 0)
///             .size("total", inputs[0].numel())
///             .constant("PARTS", 8)
///             .scratch("parts", 8, DType::F32)
///             .workgroups(8)
///             .then("total_whole", &[WHOLE])
///             .read_scratch("parts")
///             .constant("PARTS", 8)
///             .workgroups(1)
///     }
///     fn reference(&self, inputs: &[ArrayD<f64>], _output: &Meta) -> Result<ArrayD<f64>> {
///         Ok(ndarray::arr0(inputs[0].sum()).into_dyn())
///     }
/// }
///
/// let x = Tensor::arange(0.0, 100.0, 1.0, &Device::default());
/// assert_eq!(Total.apply(&[&x]).item::<f32>()?, 4950.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Kernel {
    stages: Vec<Stage>,
    scratch: Vec<&'static str>,
    stores_once: bool,
    /// What is wrong with it.
    fault: Option<String>,
}

impl Kernel {
    /// A first dispatch, by a name for logs and the pieces of its text, which are put one after the other.
    pub fn new(name: &'static str, source: Wgsl) -> Kernel {
        look_first();
        Kernel { stages: vec![stage(name, source)], scratch: Vec::new(), stores_once: false, fault: None }
    }

    /// Another dispatch after what stands; what follows is about it.
    pub fn then(mut self, name: &'static str, source: Wgsl) -> Kernel {
        self.stages.push(stage(name, source));
        self
    }

    /// Reads an input of the op, by its number, as `load_NAME`.
    pub fn input(self, name: &'static str, number: usize) -> Kernel {
        self.read(name, BufferSlot::Input(number))
    }

    /// Writes temporary storage of so many elements as `store_NAME`.
    pub fn scratch(mut self, name: &'static str, elements: usize, dtype: DType) -> Kernel {
        if self.scratch.contains(&name) {
            return self.wrong(format!("the scratch storage {name} is written by two dispatches"));
        }
        let slot = BufferSlot::Scratch(self.scratch.len());
        self.scratch.push(name);
        self.last().writes.push(Write { name, slot, vec4: false, scratch: Some((elements, dtype)) });
        self
    }

    /// Reads what an earlier dispatch wrote to temporary storage, as `load_NAME`.
    pub fn read_scratch(self, name: &'static str) -> Kernel {
        match self.scratch.iter().position(|known| *known == name) {
            Some(number) => self.read(name, BufferSlot::Scratch(number)),
            None => self.wrong(format!("the scratch storage {name} is read, but no dispatch before writes it")),
        }
    }

    /// A run-time parameter `params.NAME`: another value compiles nothing.
    pub fn param(mut self, name: &'static str, value: impl Into<Param>) -> Kernel {
        self.last().params.push((name, value.into().0));
        self
    }

    /// A run-time parameter `params.NAME: u32`, of a size or a count.
    pub fn size(self, name: &'static str, value: usize) -> Kernel {
        match u32::try_from(value) {
            Ok(value) => self.param(name, value),
            Err(_) => self.wrong(format!("{name} = {value} is above 2^32 - 1")),
        }
    }

    /// A constant of the text, `const NAME: u32`: another value is another kernel.
    pub fn constant(mut self, name: &'static str, value: u32) -> Kernel {
        self.last().consts.push((name, value));
        self
    }

    /// How many workgroups run; 0 by default.
    pub fn workgroups(mut self, count: usize) -> Kernel {
        self.last().workgroups = count as u64;
        self
    }

    /// Says that the last dispatch stores each element of the output exactly once, through `store`. Elementwise ops that follow are then
    /// computed where it stores.
    pub fn stores_once(mut self) -> Kernel {
        self.stores_once = true;
        self
    }

    pub(super) fn is_stored_once(&self) -> bool {
        self.stores_once
    }

    /// The dispatches, for an op of so many inputs.
    pub(super) fn stages(&self, op: &str, inputs: usize) -> Result<Vec<Stage>> {
        if let Some(fault) = &self.fault {
            return Err(Error::argument(op, format!("its kernel is wrong: {fault}")));
        }
        let slots = self.stages.iter().flat_map(|stage| &stage.reads).map(|read| read.slot);
        let beyond = slots.filter_map(|slot| if let BufferSlot::Input(i) = slot { Some(i) } else { None }).max();
        if let Some(number) = beyond.filter(|number| *number >= inputs) {
            return Err(Error::argument(op, format!("its kernel reads input {number}, but there are {inputs}")));
        }
        let mut stages = self.stages.clone();
        if let Some(last) = stages.last_mut() {
            last.writes.push(Write { name: "y", slot: BufferSlot::Output, vec4: false, scratch: None });
        }
        Ok(stages)
    }

    fn read(mut self, name: &'static str, slot: BufferSlot) -> Kernel {
        self.last().reads.push(Read { name, slot, access: Access::Logical });
        self
    }

    fn last(&mut self) -> &mut Stage {
        self.stages.last_mut().expect("a kernel is made with a first dispatch")
    }

    fn wrong(mut self, fault: String) -> Kernel {
        self.fault.get_or_insert(fault);
        self
    }
}

fn stage(name: &'static str, source: Wgsl) -> Stage {
    let (reads, writes, consts, params) = Default::default();
    Stage { name, source, reads, writes, consts, params, checks_indices: false, workgroups: 0 }
}
