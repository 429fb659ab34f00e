//! Captured steps written to files, and to bytes.

use std::collections::{BTreeMap, HashMap};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::TensorView;

use super::format::{
    CheckFile, FormulaFile, KernelFile, MetaFile, Needs, OriginFile, OutcomeFile, Sources, StepFile, Table, TickFile,
    VERSION, VariableFile, VariantFile,
};
use super::saved::{BYTES, KEY, checksum, stored_dtype};
use super::{Captured, Origin, Outcome, realize_all};
use crate::backend::Device;
use crate::backend::faults::Check;
use crate::backend::program::Computed;
use crate::codegen::KernelText;
use crate::error::{Error, Result};
use crate::file;
use crate::graph::node::{address, lock};
use crate::graph::number::{Count, Live};
use crate::graph::recording::Tick;
use crate::graph::{Meta, Var, with_location};
use crate::wait::wait;

impl Captured<'_> {
    /// Writes the step to a file, with everything that it takes to go on in another process: kernels, dispatches, buffers,
    /// constants, the present values of its variables (parameters, an optimizer's state, gradients), learning rates, counts of
    /// steps, and where the device's random numbers are. All recorded variants go into it. The file is a safetensors file,
    /// from which other programs can read the variables by name ([`Captured::named`]); bools are stored as 32-bit integers. It
    /// is replaced as a whole, so a crash leaves the old or the new one. [`load_captured`](crate::load_captured) reads it.
    ///
    /// # Errors
    /// [`Error::Argument`] before the first run, which records the step; [`Error::Unsupported`] on the CPU reference, which has
    /// no kernels, and where the step runs host code that cannot be written down (seeding another device); the error of a
    /// variable that could not be computed; [`Error::Io`].
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let at = Location::caller();
        let path = path.as_ref();
        let bytes = wait("save", "await to_bytes_async", self.serialize(path, at));
        let written = bytes.and_then(|bytes| file::write_atomically(path, |out| out.write_all(&bytes)));
        written.map_err(|error| error.or_at(at))
    }

    /// What [`Captured::save`] writes, as bytes, for where there are no files; [`load_captured_bytes`](crate::load_captured_bytes) reads them.
    ///
    /// # Errors
    /// As [`Captured::save`], but for those of files.
    #[track_caller]
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let at = Location::caller();
        wait("to_bytes", "await to_bytes_async", self.serialize(Path::new(BYTES), at)).map_err(|error| error.or_at(at))
    }

    /// [`Captured::to_bytes`] as a future, for browsers, where it does not block; natively it blocks the thread that awaits it. All
    /// values are those of the call, whatever runs before the bytes are there.
    ///
    /// # Errors
    /// As [`Captured::to_bytes`].
    #[track_caller]
    pub fn to_bytes_async(&self) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        self.serialize(Path::new(BYTES), Location::caller())
    }

    fn serialize(&self, path: &Path, at: &'static Location<'static>) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        // At once; what is read after that are values that no later run changes.
        let draft = with_location(at, || self.draft());
        let (device, path) = (self.device.clone(), path.to_owned());
        async move {
            let bytes = async { draft?.bytes(&device, &path).await }.await;
            bytes.map_err(|error| error.or_at(at))
        }
    }

    /// The step as it is now, with its values still on the device.
    fn draft(&self) -> Result<Draft> {
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
        let mut values: BTreeMap<String, Var> = BTreeMap::new();
        let mut variables = Vec::with_capacity(table.len());
        for variable in &table {
            let value = variable.value();
            if let Some(var) = &value {
                realize_all(&self.device, std::slice::from_ref(var))?;
                if values.insert(variable.name().to_owned(), var.clone()).is_some() {
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
            let Computed { value, pending_checks } = value.clone();
            let var = Var::computed(meta.clone(), value, pending_checks, super::location(), self.device.context());
            if values.insert(format!("constant.{i}"), var).is_some() {
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
        Ok(Draft { step, values })
    }
}

/// A step on its way into bytes.
struct Draft {
    step: StepFile,
    values: BTreeMap<String, Var>,
}

impl Draft {
    async fn bytes(self, device: &Device, path: &Path) -> Result<Vec<u8>> {
        let mut values: BTreeMap<String, (Meta, Vec<u8>)> = BTreeMap::new();
        for (name, var) in self.values {
            // As they lie in GPU buffers.
            let bytes = device.read(&var).await?.to_bytes();
            values.insert(name, (var.meta().clone(), bytes));
        }
        let text = serde_json::to_string(&self.step).map_err(|error| file::failed(path, error))?;
        let views = values.iter().map(|(name, (meta, bytes))| {
            // A bool lies in GPU buffers as a 32-bit integer.
            let view = TensorView::new(stored_dtype(meta.dtype), meta.shape.to_vec(), bytes);
            view.map(|view| (name.clone(), view)).map_err(|error| file::failed(path, error))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let checksum = checksum(&text, values.iter().map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())));
        let metadata = [(KEY.to_owned(), format!("{checksum}{text}"))].into_iter().collect();
        safetensors::serialize(views, Some(metadata)).map_err(|error| file::failed(path, error))
    }
}

fn check_file(check: &Check) -> CheckFile {
    // The line belongs to another program by the time that the file is read.
    let op = check.at.map_or_else(|| check.op.clone(), |at| format!("{} (captured at {at})", check.op));
    CheckFile { op, shape: check.shape.as_ref().map(|shape| shape.to_vec()) }
}
