//! Captured steps in files.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::format::{
    CheckFile, FormulaFile, KernelFile, MetaFile, Needs, OriginFile, OutcomeFile, Sources, StepFile, Table, TickFile,
    VERSION, VariableFile, VariantFile, Version, at, unsound,
};
use super::{Captured, Origin, Outcome, Read, State, Variant, settle};
use crate::backend::faults::Check;
use crate::backend::program::Computed;
use crate::backend::recipe::Recipe;
use crate::backend::{Device, from_bytes};
use crate::codegen::KernelText;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::file;
use crate::graph::node::{address, lock};
use crate::graph::number::{Count, Live, Rate};
use crate::graph::recording::{Slot, Tick};
use crate::graph::{GradCell, Meta, Var, with_location};
use crate::schedule::snapshot::StructuralHasher;
use crate::shape::Shape;
use crate::site::Site;
use crate::tensor::Tensor;

/// Under which name the metadata hold the step.
const KEY: &str = "wgrad.captured";
/// Hexadecimal digits of the checksum in front of the step.
const CHECKSUM: usize = 32;

impl Captured<'_> {
    /// Writes the step to a file, with everything that it takes to go on in another process: kernels, dispatches, buffers,
    /// constants, the present values of its variables (parameters, an optimizer's state, gradients), learning rates, counts of
    /// steps, and where the device's random numbers are. All recorded variants go into it. The file is a safetensors file,
    /// from which other programs can read the variables by name ([`Captured::named`]); bools are stored as 32-bit integers. It
    /// is replaced as a whole, so a crash leaves the old or the new one. [`load_captured`] reads it.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, capture, load_captured, optim::Sgd};
    /// let device = Device::default();
    /// let w = Tensor::ones([3], &device).requires_grad();
    /// let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
    /// let own = w.clone();
    /// let step = capture(&device, move |x: &[Tensor]| {
    ///     let loss = (&own * &x[0]).sum();
    ///     optimizer.zero_grad();
    ///     loss.backward()?;
    ///     optimizer.step()?;
    ///     Ok(vec![loss])
    /// })?
    /// .named([("w", &w)]);
    /// let x = [Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device)];
    /// step.run(&x)?;
    /// let path = std::env::temp_dir().join(format!("step-{}.safetensors", std::process::id()));
    /// if !device.is_cpu() {
    ///     step.save(&path)?;
    ///     let again = load_captured(&path, &device)?; // in another process, as a rule
    ///     again.rates()[0].set(0.2);
    ///     again.run(&x)?;
    ///     let loaded = again.variable("w").unwrap().get().unwrap().to_vec::<f32>()?;
    ///     assert!((loaded[0] - 0.7).abs() < 1e-5 && (loaded[2] - 0.1).abs() < 1e-5);
    ///     assert!((w.to_vec::<f32>()?[0] - 0.9).abs() < 1e-5); // the loaded step has variables of its own
    /// #   std::fs::remove_file(path).unwrap();
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] before the first run, which records the step; [`Error::Unsupported`] on the CPU reference, which has
    /// no kernels, and where the step runs host code that cannot be written down (seeding another device); the error of a
    /// variable that could not be computed; [`Error::Io`].
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let at = Location::caller();
        with_location(at, || self.write(path.as_ref())).map_err(|error| error.or_at(at))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let state = lock(&self.state);
        let Some(caps) = self.device.caps() else {
            return Err(Error::unsupported(
                "save",
                "steps are saved from GPU adapters; this one runs its graph, not kernels",
            ));
        };
        if state.variants.is_empty() {
            return Err(Error::argument(
                "save",
                "the step is recorded at its first run: run it once before it is saved",
            ));
        }
        let table = self.table(&state);
        let position: HashMap<usize, usize> =
            table.iter().enumerate().map(|(i, variable)| (address(variable.slot()), i)).collect();
        let mut values: BTreeMap<String, (Meta, Vec<u8>)> = BTreeMap::new();
        let mut variables = Vec::with_capacity(table.len());
        for variable in &table {
            let value = variable.value();
            if let Some(var) = &value {
                settle(&self.device, std::slice::from_ref(var))?;
                let clash = values.insert(variable.name().to_owned(), (var.meta().clone(), self.bytes(var)?));
                if clash.is_some() {
                    let detail = format!("two variables are called {:?}", variable.name());
                    return Err(Error::argument("save", detail));
                }
            }
            variables.push(VariableFile {
                name: variable.name().to_owned(),
                gradient: variable.is_gradient(),
                value: value.map(|var| MetaFile::of(var.meta())),
            });
        }
        let mut constants: Table<(Computed, Meta)> = Table::default();
        let mut kernels: Table<Arc<KernelText>> = Table::default();
        let mut sources = Sources::default();
        let mut draws = false;
        let mut variants = Vec::with_capacity(state.variants.len());
        for variant in &state.variants {
            let Some(recipe) = variant.program.recipe() else {
                return Err(Error::unsupported("save", "the step has no kernels"));
            };
            let mut origin = |origin: &Origin| match origin {
                Origin::Input(i) => OriginFile::Input(*i),
                Origin::Read(r) => OriginFile::Read(*r),
                Origin::Constant(value, meta) => {
                    OriginFile::Constant(constants.position(address(&value.value), &(value.clone(), meta.clone())))
                }
            };
            let mut live: Table<Live> = Table::default();
            for source in &recipe.live {
                live.position(source.id(), source);
            }
            let leaves = variant.leaves.iter().map(&mut origin).collect();
            let mut outcome = |(made, given): &Outcome| {
                let given = given.as_ref().map(&mut origin);
                OutcomeFile::of(made, given, &mut live)
            };
            let outputs = variant.outputs.iter().map(&mut outcome).collect();
            let writes: Vec<_> = (variant.writes.iter())
                .map(|(slot, made)| (position[&address(slot)], made.as_ref().map(&mut outcome)))
                .collect();
            let mut ticks = Vec::with_capacity(variant.ticks.len());
            for tick in &variant.ticks {
                ticks.push(match tick {
                    Tick::Seed(seed) => TickFile::Seed(*seed),
                    Tick::Draw([a, b]) => {
                        draws = true;
                        TickFile::Draw(live.position(a.id(), a), live.position(b.id(), b))
                    }
                    Tick::Count(count) => TickFile::Count(sources.counts.position(count.id(), count)),
                    Tick::Number(number, formula) => {
                        let formula = FormulaFile::of(formula, &mut sources);
                        TickFile::Number(live.position(number.id(), number), formula)
                    }
                    Tick::Opaque(_) => {
                        let detail = "the step seeds another device, which a file cannot describe";
                        return Err(Error::unsupported("save", detail));
                    }
                });
            }
            variants.push(VariantFile {
                inputs: variant.inputs.iter().map(MetaFile::of).collect(),
                reads: variant.reads.iter().map(|read| (position[&address(&read.slot)], read.there)).collect(),
                leaves,
                kernels: recipe.kernels.iter().map(|k| kernels.position(Arc::as_ptr(k) as usize, k)).collect(),
                live: live.list.iter().map(|live| live.get().to_bits()).collect(),
                checks: recipe.checks.iter().map(check_file).collect(),
                recipe: recipe.clone(),
                ticks,
                outputs,
                writes,
            });
        }
        for (i, (value, meta)) in constants.list.iter().enumerate() {
            let Computed { value, doubt } = value.clone();
            let var = Var::computed(meta.clone(), value, doubt, super::location(), self.device.context());
            if values.insert(format!("constant.{i}"), (meta.clone(), self.bytes(&var)?)).is_some() {
                return Err(Error::argument("save", format!("a variable may not be called \"constant.{i}\"")));
            }
        }
        let step = StepFile {
            version: VERSION,
            written_by: format!("wgrad {}", env!("CARGO_PKG_VERSION")),
            adapter: self.device.info().to_string(),
            needs: Needs::of(state.variants.iter().filter_map(|variant| variant.program.recipe()), caps),
            kernels: kernels.list.iter().map(|kernel| KernelFile::of(kernel)).collect(),
            variables,
            constants: constants.list.iter().map(|(_, meta)| MetaFile::of(meta)).collect(),
            rates: sources.rates.list.iter().map(|rate| rate.get().to_bits()).collect(),
            counts: sources.counts.list.iter().map(Count::get).collect(),
            random: draws.then(|| self.device.random_state()),
            variants,
        };
        let text = serde_json::to_string(&step).map_err(|error| file::failed(path, error))?;
        let views = values.iter().map(|(name, (meta, bytes))| {
            // A bool lies in GPU buffers as a 32-bit integer.
            let view = TensorView::new(stored_dtype(meta.dtype), meta.shape.to_vec(), bytes);
            view.map(|view| (name.clone(), view)).map_err(|error| file::failed(path, error))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let checksum = checksum(&text, values.iter().map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())));
        let metadata = [(KEY.to_owned(), format!("{checksum}{text}"))].into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| file::failed(path, error))?;
        file::write_atomically(path, |out| out.write_all(&bytes))
    }

    /// The elements of a computed value, as they lie in GPU buffers.
    fn bytes(&self, var: &Var) -> Result<Vec<u8>> {
        Ok(pollster::block_on(self.device.read(var))?.to_bytes())
    }
}

fn check_file(check: &Check) -> CheckFile {
    // The line belongs to another program by the time that the file is read.
    let op = check.at.map_or_else(|| check.op.clone(), |at| format!("{} (captured at {at})", check.op));
    CheckFile { op, shape: check.shape.as_ref().map(|shape| shape.to_vec()) }
}

fn stored_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool | DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

/// Finds damage, not forgery.
fn checksum<'a>(text: &str, values: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
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
    with_location(at, || load(path.as_ref(), device, at)).map_err(|error| error.or_at(at))
}

fn load(path: &Path, device: &Device, line: Site) -> Result<Captured<'static>> {
    super::refuse_nesting(line)?;
    let Some(caps) = device.caps() else {
        return Err(Error::unsupported("load_captured", "saved steps run on GPU adapters only"));
    };
    let bytes = file::read(path, u64::MAX)?;
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
    let mut slots: Vec<(Arc<dyn Slot>, Option<Meta>)> = Vec::with_capacity(step.variables.len());
    let mut names = Vec::with_capacity(step.variables.len());
    for variable in &step.variables {
        let value = variable.value.as_ref().map(|meta| upload(tensors, &variable.name, meta, device)).transpose()?;
        let meta = value.as_ref().map(|var| var.meta().clone());
        let slot: Arc<dyn Slot> = if variable.gradient {
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
    slots: &'a [(Arc<dyn Slot>, Option<Meta>)],
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
