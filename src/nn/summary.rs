//! What a model consists of.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use crate::error::Result;
use crate::nn::{Members, Module, Parameters};
use crate::tensor::Tensor;
use crate::{DType, no_grad};

/// The layers of a model: names, kinds, output shapes, parameters, memory. Made by [`summary`] and [`summary_with`]; shown as a table.
///
/// ```
/// use wgrad::nn::{self, Linear, Relu, Sequential};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let model = Sequential::new().add(Linear::new(4, 8, &device)).add(Relu).add_named("head", Linear::new(8, 2, &device));
/// let summary = nn::summary(&model, &Tensor::zeros([16, 4], &device))?;
/// assert_eq!(summary.parameters, 4 * 8 + 8 + 8 * 2 + 2);
/// assert_eq!(summary.rows[2].output.as_deref(), Some(&[16, 8][..])); // the ReLU's
/// println!("{summary}");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The model, then its layers and theirs, each before its own.
    pub rows: Vec<SummaryRow>,
    /// Elements of all parameters, each tensor once.
    pub parameters: usize,
    /// Elements of the parameters that are not frozen.
    pub trained: usize,
    /// Bytes of parameters and buffers.
    pub parameter_bytes: u64,
    /// Bytes of the outputs of all layers that have a shape here and no layers of their own: about what a backward pass needs of them.
    pub output_bytes: u64,
}

/// A layer of a [`Summary`].
///
/// ```
/// use wgrad::nn::{self, Linear};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let summary = nn::summary(&Linear::new(4, 3, &device), &Tensor::zeros([2, 4], &device))?;
/// let row = &summary.rows[0];
/// assert_eq!((row.kind.as_str(), row.parameters), ("Linear", 15));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Its name, with those that it is part of: `body.0`; empty for the model.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// The shape of its output, where it ran. Layers without parameters have one where a [`Sequential`](crate::nn::Sequential) runs them.
    pub output: Option<Vec<usize>>,
    /// Elements of its parameters and those of its layers.
    pub parameters: usize,
}

/// A layer among the members of a model.
pub(super) struct Part {
    pub name: String,
    pub kind: String,
    /// What its output is noted under, where its owner notes it.
    pub key: Option<usize>,
}

/// Output shapes and bytes by layer.
type Outputs = HashMap<usize, (Vec<usize>, u64)>;

thread_local! {
    /// What layers gave, while somebody looks.
    static SEEN: RefCell<Option<Outputs>> = const { RefCell::new(None) };
}

/// Notes the output of the layer of this key.
pub(super) fn seen_as(key: usize, y: Tensor) -> Tensor {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            seen.insert(key, (y.shape().to_vec(), bytes(&y)));
        }
    });
    y
}

/// Notes the output of the layer with this parameter.
pub(super) fn seen(parameter: Option<&Tensor>, y: Tensor) -> Tensor {
    match parameter {
        Some(parameter) => seen_as(parameter.variable(), y),
        None => y,
    }
}

fn bytes(tensor: &Tensor) -> u64 {
    tensor.numel() as u64 * tensor.dtype().size() as u64
}

/// Takes [`SEEN`] back, whatever happens.
struct Looking;

impl Drop for Looking {
    fn drop(&mut self) {
        SEEN.set(None);
    }
}

/// Runs a model on `x` (in evaluation mode, without computing anything: shapes are known before) and says what it consists of.
///
/// ```
/// use wgrad::nn::{self, Conv2d, Flatten, Linear, Sequential};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let model = Sequential::new()
///     .add_named("conv", Conv2d::new(1, 4, 3, &device))
///     .add(Flatten::default())
///     .add_named("fc", Linear::new(4 * 6 * 6, 10, &device));
/// let text = nn::summary(&model, &Tensor::zeros([1, 1, 8, 8], &device))?.to_string();
/// assert!(text.contains("Conv2d") && text.contains("[1, 4, 6, 6]"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// The error that the output carries.
#[track_caller]
pub fn summary(model: &(impl Module + ?Sized), x: &Tensor) -> Result<Summary> {
    summary_with(model, || model.forward(x))
}

/// [`summary`] of a model that takes other arguments: `run` calls it.
///
/// ```
/// use wgrad::nn::{self, Lstm};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let lstm = Lstm::new(3, 5, &device);
/// let summary = nn::summary_with(&lstm, || lstm.forward_seq(&Tensor::zeros([2, 7, 3], &device), None).0)?;
/// assert_eq!(summary.rows[0].output.as_deref(), Some(&[2, 7, 5][..]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// The error that the output carries.
#[track_caller]
pub fn summary_with(model: &(impl Parameters + ?Sized), run: impl FnOnce() -> Tensor) -> Result<Summary> {
    let members = Members::of(model);
    let device = members.tensors.first().map(|(_, tensor)| tensor.device().clone());
    let random = device.as_ref().map(|device| device.rng_state());
    let training: Vec<bool> = members.modes.iter().map(|mode| mode.training()).collect();
    members.modes.iter().for_each(|mode| mode.set(false));
    SEEN.set(Some(HashMap::new()));
    let looking = Looking;
    let y = no_grad(run);
    let found = SEEN.take().unwrap_or_default();
    drop(looking);
    members.modes.iter().zip(training).for_each(|(mode, training)| mode.set(training));
    if let (Some(device), Some(random)) = (device, random) {
        device.set_rng_state(random);
    }
    y.check()?;
    Ok(collect(model.kind(), &members, found, Some(&y)))
}

/// The table of `members`, whose outputs have been found.
fn collect(kind: String, members: &Members, found: Outputs, y: Option<&Tensor>) -> Summary {
    let within =
        |name: &str, part: &str| part.is_empty() || name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'));
    let elements = |part: &str, wanted: &dyn Fn(&Tensor) -> bool| {
        let mut once = std::collections::HashSet::new();
        let all = members.tensors.iter().filter(|(name, tensor)| {
            within(name, part) && tensor.dtype().is_float() && wanted(tensor) && once.insert(tensor.variable())
        });
        all.map(|(_, tensor)| tensor.numel()).sum::<usize>()
    };
    let parameter: &dyn Fn(&Tensor) -> bool = &Tensor::is_leaf_with_grad;
    let output = |part: &Part| {
        // Its own tensors, not those of its layers.
        let owns =
            |name: &str| within(name, &part.name) && !name[part.name.len()..].trim_start_matches('.').contains('.');
        let own = || members.tensors.iter().filter(|(name, _)| owns(name)).find_map(|(_, t)| found.get(&t.variable()));
        part.key.and_then(|key| found.get(&key)).or_else(own)
    };
    let mut rows = Vec::with_capacity(members.parts.len() + 1);
    let root = Part { name: String::new(), kind, key: None };
    let mut output_bytes = 0;
    for part in std::iter::once(&root).chain(&members.parts) {
        let seen = output(part);
        let is_leaf = !members.parts.iter().any(|other| other.name != part.name && within(&other.name, &part.name));
        if is_leaf {
            output_bytes += seen.map_or(0, |(_, bytes)| *bytes);
        }
        rows.push(SummaryRow {
            name: part.name.clone(),
            kind: part.kind.clone(),
            output: seen.map(|(shape, _)| shape.clone()),
            parameters: elements(&part.name, parameter),
        });
    }
    if let (Some(first), Some(y)) = (rows.first_mut(), y) {
        first.output = Some(y.shape().to_vec());
    }
    let mut once = std::collections::HashSet::new();
    let parameter_bytes =
        members.tensors.iter().filter(|(_, t)| once.insert(t.variable())).map(|(_, t)| bytes(t)).sum();
    let trained = elements("", &|tensor| tensor.is_leaf_with_grad() && !tensor.is_frozen());
    let parameters = elements("", parameter);
    Summary { rows, parameters, trained, parameter_bytes, output_bytes }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |row: &SummaryRow| {
            let depth = row.name.matches('.').count() + usize::from(!row.name.is_empty());
            let name = row.name.rsplit('.').next().unwrap_or_default();
            let name = if row.name.is_empty() { row.kind.clone() } else { format!("{name}: {}", row.kind) };
            let output = row.output.as_ref().map_or_else(|| "–".into(), |shape| format!("{shape:?}"));
            [format!("{}{name}", "  ".repeat(depth)), output, grouped(row.parameters as u64)]
        };
        let head = ["layer", "output", "parameters"].map(String::from);
        let lines: Vec<[String; 3]> = std::iter::once(head).chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let [a, b, c] = [0, 1, 2].map(width);
        for (i, line) in lines.iter().enumerate() {
            writeln!(f, "{:a$}  {:b$}  {:>c$}", line[0], line[1], line[2])?;
            if i == 0 {
                writeln!(f, "{}", "─".repeat(a + b + c + 4))?;
            }
        }
        let (all, trained) = (grouped(self.parameters as u64), grouped(self.trained as u64));
        writeln!(f, "{all} parameters, {trained} of them trained: {}", size(self.parameter_bytes))?;
        write!(f, "outputs of layers: {}", size(self.output_bytes))
    }
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in a unit that is easy to read.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Layers and parameters of a module that is known by its trait alone, as a tree: `Sequential { 0: Linear { weight: f32 [8, 4], … }, … }`.
pub(super) fn describe(module: &(impl Parameters + ?Sized), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let members = Members::of(module);
    branch(&module.kind(), "", &members, f)
}

fn branch(kind: &str, name: &str, members: &Members, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // What stands directly below `name`.
    let below = |full: &str| -> Option<String> {
        let rest = if name.is_empty() { full } else { full.strip_prefix(name)?.strip_prefix('.')? };
        (!rest.is_empty()).then(|| rest.to_owned())
    };
    let part = |full: &str| members.parts.iter().find(|part| part.name == full);
    let is_below = |full: &str, of: &str| full.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
    let nearest = |full: &str| {
        // Not inside a layer that is itself below `name`.
        !members.parts.iter().any(|other| below(&other.name).is_some() && is_below(full, &other.name))
    };
    struct Inner<'a>(&'a str, &'a str, &'a Members);
    impl fmt::Debug for Inner<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            branch(self.0, self.1, self.2, f)
        }
    }
    struct Plain(DType, Vec<usize>);
    impl fmt::Debug for Plain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} {:?}", self.0, self.1)
        }
    }
    let mut text = f.debug_struct(kind);
    let tensors = members.tensors.iter().map(|(full, tensor)| (full.as_str(), Some(tensor)));
    for (full, tensor) in members.parts.iter().map(|part| (part.name.as_str(), None)).chain(tensors) {
        let Some(short) = below(full).filter(|_| nearest(full)) else { continue };
        match (tensor, part(full)) {
            (Some(tensor), _) => text.field(&short, &Plain(tensor.dtype(), tensor.shape().to_vec())),
            (None, Some(part)) => text.field(&short, &Inner(&part.kind, full, members)),
            (None, None) => &mut text,
        };
    }
    text.finish()
}

/// The last parts of a type's path, without those of its arguments: `Linear`.
pub(super) fn short_name(full: &str) -> String {
    let base = full.split('<').next().unwrap_or(full);
    base.rsplit("::").next().unwrap_or(base).to_owned()
}
