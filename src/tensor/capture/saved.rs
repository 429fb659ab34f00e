//! Captured steps read from files, and from bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::format::{
    CheckFile, MetaFile, OriginFile, OutcomeFile, StepFile, TickFile, VERSION, VariantFile, Version, at, unsound,
};
use super::{Captured, Origin, Outcome, Read, State, Variant};
use crate::backend::faults::Check;
use crate::backend::program::Computed;
use crate::backend::recipe::Recipe;
use crate::backend::{Device, from_bytes};
use crate::codegen::KernelText;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::file;
use crate::graph::number::{Count, Live, Rate};
use crate::graph::recording::{Rebindable, Tick};
use crate::graph::{GradCell, Meta, Var, with_location};
use crate::ir::hash::StructuralHasher;
use crate::shape::Shape;
use crate::site::Site;
use crate::tensor::Tensor;

/// Under which name the metadata hold the step.
pub(super) const KEY: &str = "wgrad.captured";
/// Hexadecimal digits of the checksum in front of the step.
const CHECKSUM: usize = 32;
/// What errors call a step that is in no file.
pub(super) const BYTES: &str = "captured step";

pub(super) fn stored_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool | DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

/// Finds damage, not forgery.
pub(super) fn checksum<'a>(text: &str, values: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = StructuralHasher::default();
    hash.write(text.as_bytes());
    for (name, bytes) in values {
        hash.write(name.as_bytes());
        hash.write(bytes);
    }
    format!("{:032x}", hash.finish128())
}

/// Reads a step that [`Captured::save`] has written, on a device that can run it: the same adapter, or one with the capabilities
/// that its kernels were made for. It runs like a captured step, with variables of its own that start from the saved values, but
/// it has no closure: inputs of a shape that was not recorded are an error. Learning rates are set through
/// [`Captured::rates`], variables through [`Captured::variables`]. Where the step draws random numbers, the device's random
/// numbers go on from where they were when it was saved.
///
/// Nothing in the file is trusted. Its kernels are validated and run with all run-time checks, which costs them some speed; on
/// the same adapter the results have the same bits. What is wrong with a file is an `Err`.
///
/// The example is at [`Captured::save`].
///
/// ```
/// use wgrad::{Device, Tensor, capture, load_captured};
/// let device = Device::default();
/// let step = capture(&device, |x: &[Tensor]| vec![&x[0] * 2.0])?;
/// let x = [Tensor::ones([2], &device)];
/// step.run(&x)?;
/// let path = std::env::temp_dir().join(format!("wgrad-load-captured-{}", std::process::id()));
/// if !device.is_cpu() {
///     step.save(&path)?;
///     let loaded = load_captured(&path, &device)?;
///     assert_eq!(loaded.run(&x)?[0].to_vec::<f32>()?, [2.0, 2.0]);
/// #   std::fs::remove_file(&path).unwrap();
/// }
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Argument`] where it is damaged, is no captured step, or is of another
/// version of the format; [`Error::Unsupported`] where the device cannot run its kernels; [`Error::Shader`] where a kernel does
/// not compile.
#[track_caller]
pub fn load_captured(path: impl AsRef<Path>, device: &Device) -> Result<Captured<'static>> {
    let at = Site::from(Location::caller());
    let path = path.as_ref();
    let loaded = || load(path, || file::read(path, u64::MAX).map(Cow::Owned), device, at);
    with_location(at, loaded).map_err(|error| error.or_at(at))
}

/// [`load_captured`] of bytes that [`Captured::to_bytes`] has given, or that lie in a file. It never blocks.
///
/// ```
/// use wgrad::{Device, load_captured_bytes};
/// let error = load_captured_bytes(b"no step", &Device::default()).unwrap_err();
/// println!("{error}");
/// ```
///
/// # Errors
/// As [`load_captured`], but for those of files.
#[track_caller]
pub fn load_captured_bytes(bytes: &[u8], device: &Device) -> Result<Captured<'static>> {
    let at = Site::from(Location::caller());
    let loaded = || load(Path::new(BYTES), || Ok(Cow::Borrowed(bytes)), device, at);
    with_location(at, loaded).map_err(|error| error.or_at(at))
}

fn load<'a>(
    path: &Path,
    read: impl FnOnce() -> Result<Cow<'a, [u8]>>,
    device: &Device,
    line: Site,
) -> Result<Captured<'static>> {
    super::refuse_nesting(line)?;
    let Some(caps) = device.caps() else {
        return Err(Error::unsupported("load_captured", "saved steps run on GPU adapters only"));
    };
    let bytes = read()?;
    let named = |error: Error| match error {
        Error::Argument { op, detail, at } => {
            Error::Argument { op, detail: format!("{}: {detail}", path.display()), at }
        }
        other => other,
    };
    let (step, tensors) = parse(&bytes).map_err(named)?;
    if let Some(lacking) = step.needs.missing(caps) {
        let detail = format!("{}: made for {}, the step needs {lacking}", path.display(), step.adapter);
        return Err(Error::unsupported("load_captured", detail));
    }
    build(step, &tensors, device, line).map_err(named)
}

/// The parts of a file, whole and of this version.
fn parse(bytes: &[u8]) -> Result<(StepFile, SafeTensors<'_>)> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(unsound)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let Some((stored, text)) = text.and_then(|text| text.split_at_checked(CHECKSUM)) else {
        return Err(Error::argument("load_captured", "this is no captured step"));
    };
    let Version { version, written_by } = serde_json::from_str(text).map_err(unsound)?;
    if version != VERSION {
        let detail = format!("format {version}, written by {written_by}; this build reads format {VERSION}");
        return Err(Error::argument("load_captured", detail));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(unsound)?;
    let sorted: BTreeMap<&str, TensorView<'_>> = tensors.iter().collect();
    if checksum(text, sorted.iter().map(|(name, view)| (*name, view.data()))) != stored {
        return Err(unsound("its checksum is wrong"));
    }
    Ok((serde_json::from_str(text).map_err(unsound)?, tensors))
}

/// The value of this name, put onto the device.
fn upload(tensors: &SafeTensors<'_>, name: &str, meta: &MetaFile, device: &Device) -> Result<Var> {
    let meta = meta.read()?;
    let view = tensors.tensor(name).map_err(unsound)?;
    if view.shape() != &meta.shape[..] || view.dtype() != stored_dtype(meta.dtype) {
        return Err(unsound(format!("{name} has another shape than it should")));
    }
    if view.data().len() as u64 != meta.bytes() {
        return Err(unsound(format!("{name} has {} bytes", view.data().len())));
    }
    device.upload(from_bytes(view.data(), &meta))
}

fn build(step: StepFile, tensors: &SafeTensors<'_>, device: &Device, line: Site) -> Result<Captured<'static>> {
    let kernels = step.kernels.into_iter().map(|k| k.read().map(Arc::new)).collect::<Result<Vec<_>>>()?;
    let rates: Vec<Rate> = step.rates.iter().map(|bits| Rate::new(f32::from_bits(*bits))).collect();
    let counts: Vec<Count> = step.counts.iter().map(|count| Count::from(*count)).collect();
    let mut slots: Vec<(Arc<dyn Rebindable>, Option<Meta>)> = Vec::with_capacity(step.variables.len());
    let mut names = Vec::with_capacity(step.variables.len());
    for variable in &step.variables {
        let value = variable.value.as_ref().map(|meta| upload(tensors, &variable.name, meta, device)).transpose()?;
        let meta = value.as_ref().map(|var| var.meta().clone());
        let slot: Arc<dyn Rebindable> = if variable.gradient {
            let cell = Arc::new(GradCell::default());
            cell.bind(value);
            cell
        } else {
            let Some(value) = value else { return Err(unsound(format!("{} has no value", variable.name))) };
            Tensor::from_var(value, device).inner.clone()
        };
        names.push((variable.name.clone(), slot.clone()));
        slots.push((slot, meta));
    }
    let constants = step.constants.iter().enumerate().map(|(i, meta)| {
        let var = upload(tensors, &format!("constant.{i}"), meta, device)?;
        Ok((Computed::of(&var)?, var.meta().clone()))
    });
    let constants = constants.collect::<Result<Vec<(Computed, Meta)>>>()?;
    let mut variants = Vec::with_capacity(step.variants.len());
    if step.variants.is_empty() || step.variants.len() > super::VARIANTS {
        return Err(unsound(format!("{} variants", step.variants.len())));
    }
    for file in step.variants {
        let parts = Parts { kernels: &kernels, slots: &slots, constants: &constants, rates: &rates, counts: &counts };
        variants.push(parts.variant(file, device, line)?);
    }
    if let Some((seed, stream)) = step.random {
        device.set_random_state(seed, stream);
    }
    let state = State { f: None, variants, clock: 0 };
    Ok(Captured { device: device.clone(), strict: false, names, state: Mutex::new(state) })
}

/// What the variants of a file share.
struct Parts<'a> {
    kernels: &'a [Arc<KernelText>],
    slots: &'a [(Arc<dyn Rebindable>, Option<Meta>)],
    constants: &'a [(Computed, Meta)],
    rates: &'a [Rate],
    counts: &'a [Count],
}

impl Parts<'_> {
    fn variant(&self, file: VariantFile, device: &Device, line: Site) -> Result<Variant> {
        let live: Vec<Live> = file.live.iter().map(|bits| Live::new(f64::from_bits(*bits))).collect();
        let kernels = file.kernels.iter().map(|&k| at(self.kernels, k, "kernel").cloned()).collect::<Result<_>>()?;
        let check = |check: &CheckFile| {
            let shape = check.shape.as_ref().map(|dims| Shape::from(&dims[..]));
            Check { op: check.op.clone(), shape, at: None }
        };
        let checks = file.checks.iter().map(check).collect();
        let recipe = Recipe { kernels, live: live.clone(), checks, ..file.recipe };
        let inputs = file.inputs.iter().map(MetaFile::read).collect::<Result<Vec<_>>>()?;
        // Of which shape what the step starts from is, by where it comes from.
        let meta_of = |origin: OriginFile| -> Result<Meta> {
            Ok(match origin {
                OriginFile::Input(i) => at(&inputs, i, "input")?.clone(),
                OriginFile::Constant(i) => at(self.constants, i, "constant")?.1.clone(),
                OriginFile::Read(i) => {
                    let (variable, _) = at(&file.reads, i, "read")?;
                    let (_, meta) = at(self.slots, *variable, "variable")?;
                    meta.clone().ok_or_else(|| unsound("a variable that is read has no value"))?
                }
            })
        };
        let origin = |origin: OriginFile| -> Result<Origin> {
            Ok(match origin {
                OriginFile::Input(i) => Origin::Input(i),
                OriginFile::Read(i) => Origin::Read(i),
                OriginFile::Constant(i) => {
                    let (value, meta) = at(self.constants, i, "constant")?.clone();
                    Origin::Constant(value, meta)
                }
            })
        };
        if file.leaves.len() != recipe.leaves.len() {
            return Err(unsound("the values that the step starts from are not those of its kernels"));
        }
        for (from, bytes) in file.leaves.iter().zip(&recipe.leaves) {
            if meta_of(*from)?.bytes() < *bytes {
                return Err(unsound("a value that the step starts from is too small"));
            }
        }
        let outcome = |outcome: &OutcomeFile| -> Result<(Outcome, Meta)> {
            let (made, meta, given) = outcome.read(&recipe, &live, meta_of, line)?;
            Ok(((made, given.map(origin).transpose()?), meta))
        };
        let outputs = file.outputs.iter().map(|o| Ok(outcome(o)?.0)).collect::<Result<Vec<_>>>()?;
        let mut writes = Vec::with_capacity(file.writes.len());
        for (variable, made) in &file.writes {
            let (slot, meta) = at(self.slots, *variable, "variable")?;
            let made = made.as_ref().map(outcome).transpose()?;
            match (&made, meta) {
                (Some((_, own)), Some(meta)) if own != meta => {
                    return Err(unsound("a variable changes its shape"));
                }
                (None, _) if !slot.is_gradient() => return Err(unsound("a variable loses its value")),
                _ => {}
            }
            writes.push((slot.clone(), made.map(|(made, _)| made)));
        }
        let leaves = file.leaves.iter().map(|from| origin(*from)).collect::<Result<Vec<_>>>()?;
        let mut reads = Vec::with_capacity(file.reads.len());
        for (variable, there) in &file.reads {
            let (slot, _) = at(self.slots, *variable, "variable")?;
            reads.push(Read { slot: slot.clone(), there: *there, needed: false });
        }
        let given = outputs.iter().chain(writes.iter().filter_map(|(_, made)| made.as_ref()));
        for from in leaves.iter().chain(given.filter_map(|(_, given)| given.as_ref())) {
            if let Origin::Read(r) = from {
                match reads.get_mut(*r) {
                    Some(read) if read.there => read.needed = true,
                    _ => return Err(unsound("a value is read that is not there")),
                }
            }
        }
        let tick = |tick: &TickFile| -> Result<Tick> {
            Ok(match tick {
                TickFile::Seed(seed) => Tick::Seed(*seed),
                TickFile::Draw(a, b) => {
                    Tick::Draw([at(&live, *a, "number")?.clone(), at(&live, *b, "number")?.clone()])
                }
                TickFile::Count(count) => Tick::Count(at(self.counts, *count, "count")?.clone()),
                TickFile::Number(number, formula) => {
                    Tick::Number(at(&live, *number, "number")?.clone(), formula.read(self.rates, self.counts)?)
                }
            })
        };
        let ticks = file.ticks.iter().map(tick).collect::<Result<Vec<_>>>()?;
        let program = device.assemble(recipe)?;
        Ok(Variant::new(inputs, reads, leaves, program, ticks, outputs, writes))
    }
}
