//! What a training run needs to go on: kept in one file, written atomically, with a checksum.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::array::Array;
use crate::data::{DataLoader, Position};
use crate::error::{Error, Result};
use crate::file::{create_folder, failed};
use crate::io::{self, safetensors};
use crate::nn::{Parameters, StateDict};
use crate::optim::Optimizer;
use crate::{Device, RngState, Tensor};

/// Metadata: that a file is a checkpoint, and of which form.
const FORM: &str = "wgrad.checkpoint";
const VERSION: &str = "1";
/// Metadata: checksum of everything else.
const CHECKSUM: &str = "wgrad.crc32";
/// Metadata: the names of the parts.
const PARTS: &str = "wgrad.parts";
/// Stands in front of the keys of values.
const VALUE: &str = "value.";

/// The state of a training run: tensors in named parts (model, optimizer), values as text (steps done, random numbers, position
/// in the data). A checkpoint is a safetensors file, so other programs can read the weights out of it.
///
/// ```
/// use wgrad::data::{DataLoader, Digits};
/// use wgrad::nn::{Linear, Parameters};
/// use wgrad::optim::Adam;
/// use wgrad::train::Checkpoint;
/// use wgrad::Device;
/// # let folder = std::env::temp_dir().join(format!("wgrad-checkpoint-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let device = Device::default();
/// let model = Linear::new(64, 10, &device);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// let mut loader = DataLoader::new(Digits::train(), 32, &device).shuffle(42);
///
/// let mut checkpoint = Checkpoint::new();
/// checkpoint.put_model(&model);
/// checkpoint.put_optimizer(&optimizer);
/// checkpoint.put_loader(&loader);
/// checkpoint.put_rng(&device);
/// checkpoint.set("epochs without progress", 3);
/// checkpoint.save(folder.join("run.safetensors"))?;
///
/// let saved = Checkpoint::load(folder.join("run.safetensors"), &device)?;
/// saved.load_model(&model)?;
/// saved.load_optimizer(&mut optimizer)?;
/// saved.load_loader(&mut loader)?;
/// saved.load_rng(&device)?;
/// assert_eq!(saved.get::<u32>("epochs without progress")?, 3);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Checkpoint {
    parts: BTreeMap<String, StateDict>,
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(|(name, part)| format!("{name} ({})", part.len())).collect();
        write!(f, "Checkpoint({}; {:?})", parts.join(", "), self.values)
    }
}

impl Checkpoint {
    /// An empty checkpoint.
    pub fn new() -> Checkpoint {
        Checkpoint::default()
    }

    /// Adds a part: tensors by name. A part of the same name is replaced.
    pub fn put(&mut self, part: &str, tensors: StateDict) {
        self.parts.insert(part.to_owned(), tensors);
    }

    /// The tensors of a part.
    ///
    /// # Errors
    /// [`Error::Argument`] that lists the parts where there is none of that name.
    pub fn part(&self, part: &str) -> Result<&StateDict> {
        self.parts.get(part).ok_or_else(|| {
            let parts: Vec<&str> = self.parts.keys().map(String::as_str).collect();
            Error::argument("Checkpoint", format!("there is no part {part:?}, only {}", parts.join(", ")))
        })
    }

    /// Sets a value, which is kept as text.
    pub fn set(&mut self, key: &str, value: impl Display) {
        self.values.insert(key.to_owned(), value.to_string());
    }

    /// A value.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is none under this key, or it is no `T`.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.values.get(key).ok_or_else(|| {
            Error::argument("Checkpoint", format!("there is no value {key:?}, only {:?}", self.values.keys()))
        })?;
        text.parse().map_err(|_| {
            let kind = std::any::type_name::<T>();
            Error::argument("Checkpoint", format!("the value {key:?} is {text:?}, not of type {kind}"))
        })
    }

    /// Puts the parameters and buffers of a model into the part `model`.
    pub fn put_model(&mut self, model: &(impl Parameters + ?Sized)) {
        self.put("model", model.state_dict());
    }

    /// Sets a model's parameters and buffers to those of the part `model`.
    ///
    /// # Errors
    /// Where there is no such part, or it does not fit the model.
    pub fn load_model(&self, model: &(impl Parameters + ?Sized)) -> Result<()> {
        model.load_state_dict(self.part("model")?)
    }

    /// Puts the state of an optimizer into the part `optimizer`.
    pub fn put_optimizer(&mut self, optimizer: &(impl Optimizer + ?Sized)) {
        self.put("optimizer", optimizer.state_dict());
    }

    /// Gives an optimizer the state of the part `optimizer`.
    ///
    /// # Errors
    /// Where there is no such part, or it does not fit the optimizer.
    pub fn load_optimizer(&self, optimizer: &mut (impl Optimizer + ?Sized)) -> Result<()> {
        optimizer.load_state_dict(self.part("optimizer")?)
    }

    /// Notes where a device's random numbers are.
    pub fn put_rng(&mut self, device: &Device) {
        let RngState { seed, drawn } = device.rng_state();
        self.set("rng.seed", seed);
        self.set("rng.drawn", drawn);
    }

    /// Lets a device's random numbers go on from where they were.
    ///
    /// # Errors
    /// Where [`Checkpoint::put_rng`] was not called.
    pub fn load_rng(&self, device: &Device) -> Result<()> {
        device.set_rng_state(RngState { seed: self.get("rng.seed")?, drawn: self.get("rng.drawn")? });
        Ok(())
    }

    /// Notes the position of a loader.
    pub fn put_loader(&mut self, loader: &DataLoader) {
        let Position { epoch, batch, batches } = loader.position();
        self.set("loader.epoch", epoch);
        self.set("loader.batch", batch);
        self.set("loader.batches", format!("{batches:?}"));
    }

    /// Lets a loader go on from the position that was noted.
    ///
    /// # Errors
    /// Where [`Checkpoint::put_loader`] was not called, or the loader has another number of samples, batch size, seed or order.
    pub fn load_loader(&self, loader: &mut DataLoader) -> Result<()> {
        let batches = loader.position().batches;
        let (was, is) = (self.get::<String>("loader.batches")?, format!("{batches:?}"));
        if was != is {
            let detail = format!("the position was noted in {was}, the loader has {is}");
            return Err(Error::argument("Checkpoint", detail));
        }
        loader.restore(Position { epoch: self.get("loader.epoch")?, batch: self.get("loader.batch")?, batches })
    }

    /// Writes the checkpoint into a file, atomically: after a crash at any moment the file is the old one or the new one.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written; the error that a tensor carries.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_checked(path.as_ref(), |_, _| Ok(()))
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        let tensors = self.parts.values().flat_map(StateDict::values);
        tensors.map(|tensor| (tensor.numel() * tensor.dtype().size()) as u64).sum()
    }

    /// The tensor `part.name`.
    pub(super) fn tensor(&self, full: &str) -> Option<&Tensor> {
        self.parts.iter().find_map(|(part, tensors)| tensors.get(full.strip_prefix(part)?.strip_prefix('.')?))
    }

    /// [`Checkpoint::save`] that writes nothing where `check` objects to a value.
    pub(super) fn save_checked(&self, path: &Path, check: impl Fn(&str, &Array) -> Result<()>) -> Result<()> {
        let mut arrays = BTreeMap::new();
        for (part, tensors) in &self.parts {
            for (name, tensor) in tensors {
                let full = format!("{part}.{name}");
                let array = tensor.to_host()?;
                check(&full, &array)?;
                if arrays.insert(full, array).is_some() {
                    return Err(failed(path, format!("two tensors would be called {part}.{name}")));
                }
            }
        }
        let mut metadata: BTreeMap<String, String> =
            self.values.iter().map(|(key, value)| (format!("{VALUE}{key}"), value.clone())).collect();
        metadata.insert(FORM.into(), VERSION.into());
        metadata.insert(PARTS.into(), self.parts.keys().map(String::as_str).collect::<Vec<_>>().join("\n"));
        let checksum = checksum(&arrays, &metadata);
        metadata.insert(CHECKSUM.into(), checksum);
        safetensors::write(path, &arrays, &metadata)
    }

    /// Reads a checkpoint onto a device.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, is damaged (a single flipped bit is noticed), or is something else.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Checkpoint> {
        let path = path.as_ref();
        let (arrays, mut metadata) = safetensors::read(path)?;
        match metadata.get(FORM).map(String::as_str) {
            Some(VERSION) => {}
            Some(other) => return Err(failed(path, format!("is a checkpoint of form {other:?}, not {VERSION:?}"))),
            None => return Err(failed(path, "is a safetensors file, but no checkpoint")),
        }
        let noted = metadata.remove(CHECKSUM);
        if noted.as_ref() != Some(&checksum(&arrays, &metadata)) {
            return Err(failed(path, "is damaged: its checksum is another"));
        }
        let mut checkpoint = Checkpoint::new();
        let parts = metadata.get(PARTS).map(String::as_str).unwrap_or_default();
        checkpoint.parts.extend(parts.lines().map(|part| (part.to_owned(), StateDict::new())));
        for (name, tensor) in io::to_device(arrays, device)? {
            // A part's name may have dots, so it is the longest that fits.
            let owner = checkpoint.parts.iter_mut().rev().find_map(|(part, tensors)| {
                let own = name.strip_prefix(part.as_str())?.strip_prefix('.')?;
                Some((own.to_owned(), tensors))
            });
            let (own, tensors) = owner.ok_or_else(|| failed(path, format!("tensor {name:?} belongs to no part")))?;
            tensors.insert(own, tensor);
        }
        for (key, value) in metadata {
            if let Some(key) = key.strip_prefix(VALUE) {
                checkpoint.values.insert(key.to_owned(), value);
            }
        }
        Ok(checkpoint)
    }
}

/// CRC-32 of everything that a checkpoint says.
fn checksum(arrays: &BTreeMap<String, Array>, metadata: &BTreeMap<String, String>) -> String {
    let mut crc = crc32fast::Hasher::new();
    let mut text = |text: &str| {
        crc.update(&(text.len() as u64).to_le_bytes());
        crc.update(text.as_bytes());
    };
    for (key, value) in metadata {
        text(key);
        text(value);
    }
    for (name, array) in arrays {
        text(name);
        text(&format!("{} {}", array.dtype(), array.shape()));
    }
    for array in arrays.values() {
        crc.update(&array.to_bytes());
    }
    format!("{:08x}", crc.finalize())
}

/// A folder of checkpoints, of which the newest are kept: `step-0000000100.safetensors` and so on.
///
/// ```
/// use wgrad::train::{Checkpoint, Checkpoints};
/// use wgrad::Device;
/// # let folder = std::env::temp_dir().join(format!("wgrad-checkpoints-{}", std::process::id()));
/// let checkpoints = Checkpoints::open(&folder)?.keep(2);
/// for step in [10, 20, 30] {
///     checkpoints.save(step, &Checkpoint::new())?;
/// }
/// assert_eq!(checkpoints.steps()?, [20, 30]);
/// assert_eq!(checkpoints.latest(&Device::cpu())?.unwrap().step, 30);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

/// The newest checkpoint that can be read; see [`Checkpoints::latest`].
///
/// ```
/// use wgrad::train::{Checkpoint, Checkpoints};
/// use wgrad::Device;
/// let folder = std::env::temp_dir().join(format!("wgrad-latest-{}", std::process::id()));
/// let checkpoints = Checkpoints::open(&folder)?;
/// checkpoints.save(10, &Checkpoint::new())?;
/// let latest = checkpoints.latest(&Device::cpu())?.unwrap();
/// assert!(latest.step == 10 && latest.damaged.is_empty());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Latest {
    /// Steps done.
    pub step: u64,
    /// What was saved.
    pub checkpoint: Checkpoint,
    /// Why newer ones were passed over.
    pub damaged: Vec<Error>,
}

impl Checkpoints {
    /// A folder, made where it does not exist. What a killed process has left half-written in it is removed.
    ///
    /// # Errors
    /// [`Error::Io`] where that cannot be done.
    pub fn open(folder: impl AsRef<Path>) -> Result<Checkpoints> {
        let folder = folder.as_ref().to_owned();
        create_folder(&folder)?;
        let checkpoints = Checkpoints { folder, keep: 3 };
        for name in checkpoints.names()? {
            if name.starts_with("step-") && name.ends_with(".tmp") {
                checkpoints.remove(&name)?;
            }
        }
        Ok(checkpoints)
    }

    /// How many checkpoints to keep, at least 1 (default: 3).
    pub fn keep(self, keep: usize) -> Checkpoints {
        Checkpoints { keep: keep.max(1), ..self }
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.folder).map_err(|e| failed(&self.folder, e))?;
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.map(|e| e.file_name().to_string_lossy().into_owned()).map_err(|e| failed(&self.folder, e))
        };
        entries.map(name).collect()
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::remove_file(&path).map_err(|e| failed(&path, e))
    }

    /// The file of the checkpoint of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(file_name(step))
    }

    /// The steps of which there are checkpoints, ascending.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let step = |name: String| name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok();
        let mut steps: Vec<u64> = self.names()?.into_iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes the checkpoint of a step, then removes those that are no longer to be kept: the oldest, and those of later steps,
    /// which a run that went back to this step has left behind.
    ///
    /// # Errors
    /// As [`Checkpoint::save`]; [`Error::Io`] where an old one cannot be removed.
    pub fn save(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf> {
        self.save_checked(step, checkpoint, |_, _| Ok(()))
    }

    /// [`Checkpoints::save`] that writes and removes nothing where `check` objects to a value.
    pub(super) fn save_checked(
        &self,
        step: u64,
        checkpoint: &Checkpoint,
        check: impl Fn(&str, &Array) -> Result<()>,
    ) -> Result<PathBuf> {
        let path = self.path(step);
        checkpoint.save_checked(&path, check)?;
        let steps = self.steps()?;
        let (earlier, later): (Vec<u64>, Vec<u64>) = steps.into_iter().partition(|&s| s <= step);
        for &old in later.iter().chain(earlier.iter().rev().skip(self.keep)) {
            self.remove(&file_name(old))?;
        }
        Ok(path)
    }

    /// The newest checkpoint that can be read; `None` where there is none at all. Newer ones that are damaged are passed over,
    /// with a warning in the log.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read, or there are checkpoints and all are damaged.
    pub fn latest(&self, device: &Device) -> Result<Option<Latest>> {
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(self.path(step), device) {
                Ok(checkpoint) => return Ok(Some(Latest { step, checkpoint, damaged })),
                Err(error @ Error::Io { .. }) => {
                    log::warn!("a checkpoint is passed over: {error}");
                    damaged.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        let all: Vec<String> = damaged.iter().map(Error::to_string).collect();
        let detail = format!("no checkpoint can be read ({}); remove them to begin anew", all.join("; "));
        Err(failed(&self.folder, detail))
    }
}

fn file_name(step: u64) -> String {
    format!("step-{step:010}.safetensors")
}
