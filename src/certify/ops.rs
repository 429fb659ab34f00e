//! Rows about ops: each one forward and backward on fresh random inputs, against the CPU reference, in every element type that the
//! adapter has.

use super::{Row, Section, Status, cases, elementwise, text_of};
use crate::autograd;
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::no_grad;
use crate::ops::registry::{Entry, Types, entries};
use crate::tensor::Tensor;

/// An operand: of the type that is tried, or indices below a bound.
pub struct Input {
    pub shape: &'static [usize],
    /// 0 where it is of the type that is tried.
    pub bound: usize,
}

/// An op on operands.
pub struct Case {
    pub name: &'static str,
    /// Whether the sizes of its one operand, a matrix, may be others.
    pub is_free: bool,
    pub inputs: &'static [Input],
    pub run: fn(&[Tensor]) -> Vec<Tensor>,
}

/// What ops return.
pub trait Results {
    fn all(self) -> Vec<Tensor>;
}

impl Results for Tensor {
    fn all(self) -> Vec<Tensor> {
        vec![self]
    }
}

impl Results for (Tensor, Tensor) {
    fn all(self) -> Vec<Tensor> {
        vec![self.0, self.1]
    }
}

impl Results for Vec<Tensor> {
    fn all(self) -> Vec<Tensor> {
        self
    }
}

/// The results of an op as a list.
pub fn list(results: impl Results) -> Vec<Tensor> {
    results.all()
}

/// How operands lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    Contiguous,
    /// Every second element along the last dim.
    Strided,
    /// The dims in the opposite order.
    Turned,
    /// One row, or one element, in the place of all.
    Broadcast,
}

impl Lie {
    /// The shape of the values behind an operand.
    fn shape(self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        match self {
            Lie::Contiguous => {}
            Lie::Strided => shape.iter_mut().rev().take(1).for_each(|last| *last = 2 * *last + 1),
            Lie::Turned => shape.reverse(),
            Lie::Broadcast => shape.iter_mut().take(1).for_each(|first| *first = (*first).min(1)),
        }
        shape
    }

    /// The operand as a view of those.
    fn view(self, leaf: &Tensor, shape: &[usize]) -> Tensor {
        match self {
            Lie::Strided if !shape.is_empty() => leaf.slice_step(-1, 1..leaf.shape()[shape.len() - 1], 2),
            Lie::Contiguous | Lie::Strided => leaf.clone(),
            Lie::Turned => leaf.permute(&(0..shape.len() as isize).rev().collect::<Vec<_>>()),
            Lie::Broadcast => leaf.expand(shape),
        }
    }
}

/// An operand with its values.
pub struct Operand {
    pub shape: Vec<usize>,
    pub lie: Lie,
    pub dtype: DType,
    /// The values behind it, which its type holds exactly.
    pub values: Vec<f64>,
}

impl Operand {
    /// Random numbers of an interval, as the type holds them.
    pub fn random(shape: &[usize], lie: Lie, dtype: DType, interval: (f64, f64), random: &mut Random) -> Operand {
        let count = lie.shape(shape).iter().product();
        let values = (0..count).map(|_| held(random.between(interval.0, interval.1), dtype)).collect();
        Operand { shape: shape.to_vec(), lie, dtype, values }
    }

    fn leaf(&self, device: &Device) -> Tensor {
        let shape = self.lie.shape(&self.shape);
        let leaf = |dtype: DType| match dtype {
            DType::F64 => Tensor::from_slice(&self.values, shape.clone(), device),
            DType::F32 => Tensor::from_slice(&self.as_type(|v| v as f32), shape.clone(), device),
            DType::F16 => Tensor::from_slice(&self.as_type(half::f16::from_f64), shape.clone(), device),
            DType::I32 => Tensor::from_slice(&self.as_type(|v| v as i32), shape.clone(), device),
            DType::U32 => Tensor::from_slice(&self.as_type(|v| v as u32), shape.clone(), device),
            DType::Bool => Tensor::from_slice(&self.as_type(|v| v != 0.0), shape.clone(), device),
        };
        match self.dtype {
            // In f64 the reference has no rounding of its own worth mentioning.
            DType::F32 if device.is_cpu() => leaf(DType::F64),
            dtype => leaf(dtype),
        }
    }

    fn as_type<T>(&self, convert: impl Fn(f64) -> T) -> Vec<T> {
        self.values.iter().map(|&value| convert(value)).collect()
    }
}

/// A number as a type holds it.
fn held(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::F32 | DType::F64 => f64::from(value as f32),
        DType::I32 => value.floor(),
        DType::U32 => value.abs().floor(),
        DType::Bool => f64::from(u8::from(value > 0.0)),
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        low + (high - low) * unit
    }
}

/// Shapes and values: of results, and of the gradients of leaves.
type Outcome = Vec<(Vec<usize>, Vec<f64>)>;

/// The elements as f64, which holds every other type exactly.
pub fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(match x.dtype() {
        DType::F64 => x.to_vec::<f64>()?,
        DType::F32 => x.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
        DType::F16 => x.to_vec::<half::f16>()?.into_iter().map(f64::from).collect(),
        DType::I32 => x.to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        DType::U32 => x.to_vec::<u32>()?.into_iter().map(f64::from).collect(),
        DType::Bool => x.to_vec::<bool>()?.into_iter().map(|bit| f64::from(u8::from(bit))).collect(),
    })
}

/// `‖found − expected‖ / ‖expected‖`; infinite where a NaN or an infinity stands on one side only.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let (mut difference, mut norm) = (0f64, 0f64);
    for (&a, &b) in found.iter().zip(expected) {
        if a == b || (a.is_nan() && b.is_nan()) {
            norm += if b.is_finite() { b * b } else { 0.0 };
        } else if !a.is_finite() || !b.is_finite() {
            return f64::INFINITY;
        } else {
            difference += (a - b) * (a - b);
            norm += b * b;
        }
    }
    if difference == 0.0 { 0.0 } else { (difference / norm.max(1e-6)).sqrt() }
}

fn outcome(
    operands: &[Operand],
    run: &dyn Fn(&[Tensor]) -> Vec<Tensor>,
    seed: u64,
    device: &Device,
) -> Result<Outcome> {
    device.seed(seed);
    let leaves: Vec<Tensor> = operands
        .iter()
        .map(|operand| {
            let leaf = operand.leaf(device);
            if operand.dtype.is_float() { leaf.requires_grad() } else { leaf }
        })
        .collect();
    let inputs: Vec<Tensor> =
        leaves.iter().zip(operands).map(|(leaf, operand)| operand.lie.view(leaf, &operand.shape)).collect();
    let results = run(&inputs);
    results.iter().try_for_each(Tensor::check)?;
    let mut random = Random(seed ^ 0xd1);
    let mut loss: Option<Tensor> = None;
    for y in results.iter().filter(|y| y.dtype().is_float() && y.node().0.tracked) {
        let dtype = if device.is_cpu() && y.dtype() == DType::F64 { DType::F32 } else { y.dtype() };
        let dy = Operand::random(y.shape(), Lie::Contiguous, dtype, (-1.5, 1.5), &mut random).leaf(device);
        let share = (y * dy).sum();
        loss = Some(loss.map_or(share.clone(), |loss| loss + share));
    }
    let mut tensors = results;
    if let Some(loss) = loss {
        let floats: Vec<&Tensor> = leaves.iter().filter(|leaf| leaf.dtype().is_float()).collect();
        tensors.extend(autograd::grad_allow_unused(&[&loss], &[None], &floats, false)?.into_iter().flatten());
    }
    no_grad(|| tensors.iter().map(|x| Ok((x.shape().to_vec(), values(x)?))).collect())
}

/// What is known of an op after some cases.
pub struct Findings<'a> {
    pub device: &'a Device,
    reference: &'a Device,
    name: String,
    pub seed: u64,
    cases: usize,
    types: Vec<DType>,
    /// The worst error by comparison with what is allowed.
    worst: (f64, f64),
    wrong: Option<String>,
}

impl<'a> Findings<'a> {
    pub fn new(name: &str, device: &'a Device, reference: &'a Device, seed: u64) -> Findings<'a> {
        let (types, worst) = (Vec::new(), (0.0, tolerance(DType::F32)));
        Findings { device, reference, name: name.to_owned(), seed, cases: 0, types, worst, wrong: None }
    }

    /// Compares one case. Whether the reference refuses it, as `may_refuse` allows, is then all that the device has to agree on.
    pub fn compare(
        &mut self,
        what: &str,
        dtype: DType,
        operands: &[Operand],
        run: &dyn Fn(&[Tensor]) -> Vec<Tensor>,
        may_refuse: bool,
    ) {
        self.cases += 1;
        if !self.types.contains(&dtype) {
            self.types.push(dtype);
        }
        let found = outcome(operands, run, self.seed, self.device);
        let wrong = match (found, outcome(operands, run, self.seed, self.reference)) {
            (Ok(found), Ok(expected)) => self.distance(&found, &expected, dtype),
            (Err(_), Err(_)) if may_refuse => None,
            (Err(error), _) => Some(text_of(&error)),
            (Ok(_), Err(error)) => Some(format!("the reference says {}", text_of(&error))),
        };
        if let Some(wrong) = wrong {
            self.wrong.get_or_insert(format!("{what}, {dtype}: {wrong}"));
        }
    }

    fn distance(&mut self, found: &Outcome, expected: &Outcome, dtype: DType) -> Option<String> {
        if found.len() != expected.len() {
            return Some(format!("{} results and gradients instead of {}", found.len(), expected.len()));
        }
        let allowed = tolerance(dtype);
        let mut wrong = None;
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            if found.0 != expected.0 {
                return Some(format!("value {i} has shape {:?} instead of {:?}", found.0, expected.0));
            }
            let error = relative_error(&found.1, &expected.1);
            if error / allowed > self.worst.0 / self.worst.1 {
                self.worst = (error, allowed);
            }
            if error > allowed && wrong.is_none() {
                wrong = Some(format!("value {i} of results and gradients has an error of {error:.1e}"));
            }
        }
        wrong
    }

    /// The row.
    pub fn row(self) -> Row {
        let types: Vec<String> = self.types.iter().map(DType::to_string).collect();
        let note = format!("{}; {} cases", types.join(" "), self.cases);
        match self.wrong {
            None if self.cases == 0 => Row::new(Section::Ops, self.name, Status::Failed, "nothing was tried"),
            None => Row::measured(Section::Ops, self.name, self.worst.0, self.worst.1, note),
            Some(wrong) => {
                let row =
                    Row::measured(Section::Ops, self.name, self.worst.0, self.worst.1, format!("{wrong} ({note})"));
                Row { status: Status::Failed, ..row }
            }
        }
    }
}

/// The relative error that is allowed. Integers and booleans are exact, and what ops make of them in f32 is all but that.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-2,
        DType::F32 | DType::F64 => 1e-4,
        DType::I32 | DType::U32 | DType::Bool => 1e-6,
    }
}

/// The element types that an op is tried in.
pub fn types(entry: &Entry, half: bool) -> Vec<DType> {
    let floats: &[DType] = if half { &[DType::F32, DType::F16] } else { &[DType::F32] };
    let (floats, integers) = (floats.to_vec(), [DType::I32, DType::U32]);
    match entry.types {
        Types::Floats => floats,
        Types::Numbers => [floats, integers.to_vec()].concat(),
        Types::All => [floats, integers.to_vec(), vec![DType::Bool]].concat(),
        Types::Bools => vec![DType::Bool, DType::F32],
        Types::Integers => vec![DType::I32],
        Types::Source => vec![DType::F32],
    }
}

/// Rows of all ops.
pub fn rows(device: &Device, seed: u64) -> Vec<Row> {
    let reference = Device::cpu();
    let half = device.caps().is_some_and(|caps| caps.f16);
    let mut rows = Vec::new();
    for (number, entry) in entries().iter().enumerate() {
        let name = format!("{}: {}", entry.family, entry.name);
        let mut findings = Findings::new(&name, device, &reference, seed.wrapping_add(number as u64));
        if entry.family == "Elementwise" {
            elementwise::try_all(entry, half, &mut findings);
        } else {
            cases::all()
                .filter(|case| case.name == entry.name)
                .for_each(|case| try_all(case, entry, half, &mut findings));
        }
        rows.push(findings.row());
    }
    rows
}

/// An op in all its types, in memory in several ways, and at several sizes where it takes any.
fn try_all(case: &Case, entry: &Entry, half: bool, findings: &mut Findings) {
    let (seed, software) = (findings.seed, findings.device.info().software);
    let mut compare = |what: &str, dtype: DType, lie: Lie, size: Option<&[usize]>, may_refuse: bool| {
        let mut random = Random(seed);
        let operand = |input: &Input| match input.bound {
            0 => Operand::random(size.unwrap_or(input.shape), lie, dtype, interval(dtype), &mut random),
            bound => Operand::random(input.shape, Lie::Contiguous, DType::I32, (0.0, bound as f64), &mut random),
        };
        let operands: Vec<Operand> = case.inputs.iter().map(operand).collect();
        findings.compare(what, dtype, &operands, &case.run, may_refuse);
    };
    for dtype in types(entry, half) {
        compare("contiguous", dtype, Lie::Contiguous, None, dtype != DType::F32);
    }
    let takes_values = case.inputs.iter().any(|input| input.bound == 0 && input.shape != [1]);
    if !takes_values {
        return;
    }
    let first = types(entry, half)[0];
    for (what, lie) in lies(software, seed) {
        compare(what, first, lie, None, false);
    }
    if case.is_free {
        for size in [[0, 7], [1, 1], [257, 129]] {
            compare(&format!("{size:?}"), first, Lie::Contiguous, Some(&size), true);
        }
    }
}

/// How operands lie in memory beside contiguously: in every way, and on software adapters, whose compilers are slow, in one of them.
pub fn lies(software: bool, number: u64) -> impl Iterator<Item = (&'static str, Lie)> {
    let all = [("strided", Lie::Strided), ("turned", Lie::Turned), ("broadcast", Lie::Broadcast)];
    all.into_iter().enumerate().filter(move |(i, _)| !software || *i as u64 == number % 3).map(|(_, lie)| lie)
}

/// Where random numbers come from.
fn interval(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::I32 | DType::U32 => (-4.0, 6.0),
        _ => (-2.0, 2.0),
    }
}
