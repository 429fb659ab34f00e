//! Normalisation by statistics of the data: layer, RMS, group, instance and batch norm, out of one op.
//!
//! The op computes the normalised values. In layer and RMS norm weight and bias are its operands, whose gradients are one op as well; in
//! the others they are elementwise and join its kernel. Very long rows, and batch norm over many values per channel, are composed of
//! reductions, which the scheduler spreads over the device.

mod kernels;

use std::ops::Range;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Bits, Meta, Op, Var, Vjp, no_grad};
use crate::ops::routine::{expect_float, poisoned};
use crate::shape::Shape;

/// Longest row of the kernels: one invocation walks it up to four times, within the 65,535 iterations after which some
/// software adapters end loops.
const LONGEST_ROW: usize = 16_000;

/// Most values of a channel for which batch norm uses the row kernels; there are few channels, so longer ones would
/// leave most of the device idle.
const LONGEST_CHANNEL: usize = 1024;

/// What is taken out of the elements of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Mean and standard deviation: `(x − mean) / √(var + eps)`.
    Layer,
    /// Root mean square: `x / √(mean x² + eps)`.
    Rms,
}

/// What a normalised row is scaled and shifted by: operands of the op after x, of the shape of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Parameters {
    None,
    Weight,
    Both,
}

/// Rows of mean 0 and variance 1 (or mean square 1), scaled and shifted. The dims `rows` number the rows; a row is all elements of
/// the others. With parameters these are the last dims.
#[derive(Clone, Hash)]
struct Normalize {
    /// What the user called.
    name: &'static str,
    statistic: Statistic,
    rows: Range<usize>,
    eps: Bits,
    parameters: Parameters,
}

/// The gradient of [`Normalize`] with respect to x from x, the upstream gradient and the weight, where there is one.
#[derive(Clone, Hash)]
struct NormalizeBackward(Normalize);

/// The gradients of weight and bias from x and the upstream gradient: `[2, …]`, with the dims of a row.
#[derive(Clone, Hash)]
struct ParametersBackward(Normalize);

/// A shape seen as `[outer, rows, inner]`.
struct Rows {
    outer: usize,
    rows: usize,
    inner: usize,
}

impl Rows {
    fn new(shape: &Shape, rows: &Range<usize>) -> Rows {
        let product = |dims: &[usize]| dims.iter().product();
        Rows {
            outer: product(&shape[..rows.start]),
            rows: product(&shape[rows.clone()]),
            inner: product(&shape[rows.end..]),
        }
    }

    fn size(&self) -> usize {
        self.outer * self.inner
    }
}

impl Normalize {
    /// The dims that a row extends over.
    fn dims(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|d| !self.rows.contains(d)).collect()
    }

    /// Each row of the inputs in f64 handed to `f`, which returns the new row.
    fn map_rows(&self, inputs: &[&Array], output: &Meta, f: impl Fn(&[Vec<f64>]) -> Vec<f64>) -> Array {
        let Rows { outer, rows, inner } = Rows::new(&output.shape, &self.rows);
        let values: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
        let mut out = vec![0.0; output.numel()];
        for r in 0..rows {
            let places: Vec<usize> =
                (0..outer).flat_map(|o| (0..inner).map(move |i| (o * rows + r) * inner + i)).collect();
            let row: Vec<Vec<f64>> = values.iter().map(|v| places.iter().map(|&p| v[p]).collect()).collect();
            for (&p, y) in places.iter().zip(f(&row)) {
                out[p] = y;
            }
        }
        Array::from_vec(&output.shape, out).cast(output.dtype)
    }

    /// A row less its mean (not for RMS), and what it is divided by.
    fn statistics(&self, x: &[f64]) -> (Vec<f64>, f64) {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let centre = if self.statistic == Statistic::Layer { mean(x) } else { 0.0 };
        let centred: Vec<f64> = x.iter().map(|v| v - centre).collect();
        let squares: Vec<f64> = centred.iter().map(|v| v * v).collect();
        let root = (mean(&squares) + self.eps.0).sqrt();
        (centred, root)
    }

    /// The rows before scale and shift, out of primitive ops.
    fn composed(&self, x: &Var) -> Var {
        x.normalize_composed(self.statistic, self.rows.clone(), self.eps.0)
    }

    /// The gradient with respect to x out of other ops.
    fn gradient(&self, x: &Var, weight: Option<&Var>, dy: &Var, output: &Var) -> Var {
        let dims = self.dims(x.shape().rank());
        // The output is the normalised row where nothing scales it.
        let y = if weight.is_some() { self.composed(x) } else { output.cast(x.dtype()) };
        let dy = dy.cast(x.dtype());
        let dy = weight.map_or(dy.clone(), |weight| dy * weight.cast(x.dtype()));
        let along = &y * (&dy * &y).mean(&dims, true);
        let scale = (x.moments(self.statistic, &dims).1 + self.eps.0).rsqrt();
        match self.statistic {
            Statistic::Layer => scale * (&dy - dy.mean(&dims, true) - along),
            Statistic::Rms => scale * (dy - along),
        }
    }

    /// The same name for each op of a statistic.
    fn named(&self, layer: &'static str, rms: &'static str) -> &'static str {
        match self.statistic {
            Statistic::Layer => layer,
            Statistic::Rms => rms,
        }
    }
}

/// The elements of a parameter in the order of a row, where it is there.
fn parameter(inputs: &[&Array], k: usize) -> Option<Vec<f64>> {
    inputs.get(k).map(|a| a.to_f64())
}

impl Op for Normalize {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        expect_float(self.name, inputs[0].dtype)?;
        if self.rows.start > self.rows.end || self.rows.end > inputs[0].shape.rank() {
            let detail = format!("dims {:?} do not lie in shape {}", self.rows, inputs[0].shape);
            return Err(Error::argument(self.name, detail));
        }
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(self.clone()))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (weight, bias) = (parameter(inputs, 1), parameter(inputs, 2));
        Ok(self.map_rows(&inputs[..1], output, |rows| {
            let (centred, root) = self.statistics(&rows[0]);
            let scaled = |(k, v): (usize, f64)| {
                v / root * weight.as_ref().map_or(1.0, |w| w[k]) + bias.as_ref().map_or(0.0, |b| b[k])
            };
            centred.into_iter().enumerate().map(scaled).collect()
        }))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (x, weight, dy) = (&cx.inputs[0], cx.inputs.get(1), cx.dy);
        let expressions = cx.create_graph || dy.0.context.traits.prefers_expressions;
        let over_rows: Vec<usize> = self.rows.clone().collect();
        let needs = |k: usize| cx.needs.get(k).copied().unwrap_or(false);
        let mut gradients = match (needs(0), expressions) {
            (false, _) => vec![None],
            (true, false) => {
                let inputs: Vec<&Var> = [x, dy].into_iter().chain(weight).collect();
                vec![Some(Var::apply(NormalizeBackward(self.clone()), &inputs))]
            }
            (true, true) => {
                let gradient = |x: &Var| self.gradient(x, weight, dy, cx.output);
                vec![Some(x.in_f32(gradient).unwrap_or_else(|| gradient(x)))]
            }
        };
        let both = (needs(1) && !expressions).then(|| Var::apply(ParametersBackward(self.clone()), &[x, dy]));
        let part = |both: &Var, k: usize| both.slice(0, k, 1, 1).squeeze(0);
        if weight.is_some() {
            gradients.push(needs(1).then(|| match &both {
                Some(both) => part(both, 0),
                None => (dy * self.composed(x)).sum(&over_rows, false),
            }));
        }
        if self.parameters == Parameters::Both {
            gradients.push(needs(2).then(|| match &both {
                Some(both) => part(both, 1),
                None => dy.sum(&over_rows, false),
            }));
        }
        Ok(gradients)
    }
}

impl Op for NormalizeBackward {
    fn name(&self) -> &str {
        self.0.named("normalize_backward", "rms_normalize_backward")
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(self.clone()))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let weight = parameter(inputs, 2);
        Ok(self.0.map_rows(&inputs[..2], output, |rows| {
            let (centred, root) = self.0.statistics(&rows[0]);
            let scaled = |(k, dy): (usize, &f64)| dy * weight.as_ref().map_or(1.0, |w| w[k]);
            let dy: Vec<f64> = rows[1].iter().enumerate().map(scaled).collect();
            let n = dy.len() as f64;
            let mean = if self.0.statistic == Statistic::Layer { dy.iter().sum::<f64>() / n } else { 0.0 };
            let along = centred.iter().zip(&dy).map(|(v, dy)| v / root * dy).sum::<f64>() / n;
            centred.iter().zip(&dy).map(|(v, dy)| (dy - mean - v / root * along) / root).collect()
        }))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Op for ParametersBackward {
    fn name(&self) -> &str {
        self.0.named("normalize_parameters_backward", "rms_normalize_parameters_backward")
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        let shape: Shape = std::iter::once(2).chain(shape[self.0.rows.end..].iter().copied()).collect();
        Ok(Meta::new(shape, *dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(self.clone()))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let size = output.numel() / 2;
        let (x, dy) = (inputs[0].to_f64(), inputs[1].to_f64());
        let mut sums = vec![0.0; 2 * size];
        for (x, dy) in x.chunks(size.max(1)).zip(dy.chunks(size.max(1))) {
            let (centred, root) = self.0.statistics(x);
            for (k, (v, dy)) in centred.iter().zip(dy).enumerate() {
                sums[k] += v / root * dy;
                sums[size + k] += dy;
            }
        }
        Ok(Array::from_vec(&output.shape, sums).cast(output.dtype))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

/// Checks that `scale` or `shift` of an op over `x` has `shape`.
fn expect_shape(op: &str, what: &str, part: Option<&Var>, shape: &[usize], x: &Var) -> Result<()> {
    let Some(part) = part else { return Ok(()) };
    expect_float(op, part.dtype())?;
    match part.shape()[..] == *shape {
        true => Ok(()),
        false => {
            let detail = format!("the {what} must have shape {shape:?}");
            Err(Error::shape(op, detail, &[x.shape(), part.shape()]))
        }
    }
}

/// The rank of an input `[N, C, …]`, checked.
fn expect_channels(op: &str, x: &Var) -> Result<()> {
    expect_float(op, x.dtype())?;
    match x.shape().rank() >= 2 {
        true => Ok(()),
        false => Err(Error::shape(op, "takes [N, C] or [N, C, …]", &[x.shape()])),
    }
}

/// A normalised value times `weight` plus `bias`, which broadcast.
fn affine(y: Var, weight: Option<Var>, bias: Option<Var>) -> Var {
    let y = weight.map_or(y.clone(), |weight| y * weight);
    bias.map_or(y.clone(), |bias| y + bias)
}

/// The first of the operands that carries an error.
fn failed(x: &Var, others: &[Option<&Var>]) -> Option<Var> {
    let all: Vec<&Var> = std::iter::once(x).chain(others.iter().copied().flatten()).collect();
    poisoned(&all)
}

impl Var {
    /// The elements less their mean over `dims` (not for RMS) and the mean of the squares of that, which keeps the
    /// dims.
    ///
    /// The mean is taken of differences from one of the elements, so that data far from zero lose nothing.
    #[track_caller]
    fn moments(&self, statistic: Statistic, dims: &[usize]) -> (Var, Var) {
        let centred = match statistic {
            Statistic::Rms => self.clone(),
            Statistic::Layer if self.meta().numel() == 0 => self.clone(),
            Statistic::Layer => {
                // The mean of the differences moves along with the element that they are from: no gradient goes through
                // it.
                let near = self - self.first_of(dims);
                &near - near.mean(dims, true)
            }
        };
        let variance = centred.square().mean(dims, true);
        (centred, variance)
    }

    /// The first element along each of `dims`, kept at size 1, without a gradient.
    fn first_of(&self, dims: &[usize]) -> Var {
        no_grad(|| dims.iter().fold(self.clone(), |x, &d| x.slice(d, 0, 1, 1)))
    }

    #[track_caller]
    fn normalize_rows(
        &self,
        name: &'static str,
        statistic: Statistic,
        rows: Range<usize>,
        longest: usize,
        eps: f64,
    ) -> Var {
        if Rows::new(self.shape(), &rows).size() > longest {
            return self.normalize_composed(statistic, rows, eps);
        }
        Var::apply(Normalize { name, statistic, rows, eps: Bits(eps), parameters: Parameters::None }, &[self])
    }

    /// Normalisation out of primitive ops: what the kernels are tested against, and what very long rows use. The dims
    /// `rows` number the rows; the statistics run over all others.
    #[track_caller]
    pub fn normalize_composed(&self, statistic: Statistic, rows: Range<usize>, eps: f64) -> Var {
        if let Some(y) = self.in_f32(|x| x.normalize_composed(statistic, rows.clone(), eps)) {
            return y;
        }
        let dims: Vec<usize> = (0..self.shape().rank()).filter(|d| !rows.contains(d)).collect();
        let (centred, variance) = self.moments(statistic, &dims);
        centred * (variance + eps).rsqrt()
    }

    /// Layer norm (or RMS norm) over the last `count` dims; weight and bias have their shape.
    #[track_caller]
    pub fn norm_over(
        &self,
        statistic: Statistic,
        count: usize,
        weight: Option<&Var>,
        bias: Option<&Var>,
        eps: f64,
    ) -> Var {
        if let Some(failed) = failed(self, &[weight, bias]) {
            return failed;
        }
        let name = if statistic == Statistic::Layer { "layer_norm" } else { "rms_norm" };
        let rank = self.shape().rank();
        let checked = || {
            expect_float(name, self.dtype())?;
            if count == 0 || count > rank {
                let detail = format!("cannot normalise over the last {count} dims of shape {}", self.shape());
                return Err(Error::argument(name, detail));
            }
            let shape = &self.shape()[rank - count..];
            expect_shape(name, "weight", weight, shape, self)?;
            expect_shape(name, "bias", bias, shape, self)
        };
        match checked() {
            Ok(()) => {
                let rows = 0..rank - count;
                let same = |v: &Var| v.dtype() == self.dtype();
                if let Some(weight) = weight.filter(|w| same(w) && w.meta().numel() <= LONGEST_ROW)
                    && bias.is_none_or(same)
                {
                    let parameters = if bias.is_some() { Parameters::Both } else { Parameters::Weight };
                    let inputs: Vec<&Var> = [self, weight].into_iter().chain(bias).collect();
                    return Var::apply(Normalize { name, statistic, rows, eps: Bits(eps), parameters }, &inputs);
                }
                let y = self.normalize_rows(name, statistic, rows, LONGEST_ROW, eps);
                affine(y, weight.cloned(), bias.cloned())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Group norm of `[N, C, …]`: the channels in `groups` of equal size, each group of each sample normalised; weight
    /// and bias are `[C]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: Option<&Var>, bias: Option<&Var>, eps: f64) -> Var {
        if let Some(failed) = failed(self, &[weight, bias]) {
            return failed;
        }
        let shape = self.shape();
        let checked = || {
            expect_channels("group_norm", self)?;
            if groups == 0 || shape[1] == 0 || !shape[1].is_multiple_of(groups) {
                let detail = format!("{} channels do not divide into {groups} groups", shape[1]);
                return Err(Error::shape("group_norm", detail, &[shape]));
            }
            expect_shape("group_norm", "weight", weight, &shape[1..2], self)?;
            expect_shape("group_norm", "bias", bias, &shape[1..2], self)?;
            match self.meta().numel() / groups {
                1 => Err(Error::shape("group_norm", "expects more than one value a group", &[shape])),
                _ => Ok(()),
            }
        };
        if let Err(error) = checked() {
            return self.fail(error);
        }
        // [N, C, …] as [N, groups, C / groups, …], in which weight and bias are [groups, C / groups, 1, …].
        let mut split = shape.clone();
        split.dims_mut()[1] /= groups;
        let split = split.with_inserted(1, groups);
        let part = |v: &Var| {
            let sizes = split[1..3].iter().copied().chain(shape[2..].iter().map(|_| 1));
            v.reshape(&sizes.collect())
        };
        let y = self.reshape(&split).normalize_rows("group_norm", Statistic::Layer, 0..2, LONGEST_ROW, eps);
        affine(y, weight.map(part), bias.map(part)).reshape(shape)
    }

    /// Instance norm of `[N, C, …]`: each channel of each sample normalised; weight and bias are `[C]`.
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Var>, bias: Option<&Var>, eps: f64) -> Var {
        if let Some(failed) = failed(self, &[weight, bias]) {
            return failed;
        }
        let shape = self.shape();
        let checked = || {
            expect_channels("instance_norm", self)?;
            expect_shape("instance_norm", "weight", weight, &shape[1..2], self)?;
            expect_shape("instance_norm", "bias", bias, &shape[1..2], self)?;
            match shape[2..].iter().product() {
                1usize => Err(Error::shape("instance_norm", "expects more than one value a channel", &[shape])),
                _ => Ok(()),
            }
        };
        match checked() {
            Ok(()) => {
                let y = self.normalize_rows("instance_norm", Statistic::Layer, 0..2, LONGEST_ROW, eps);
                affine(y, weight.map(|w| self.per_channel(w)), bias.map(|b| self.per_channel(b)))
            }
            Err(error) => self.fail(error),
        }
    }

    /// `[C]` as `[C, 1, …]`, to broadcast against this `[N, C, …]`.
    fn per_channel(&self, part: &Var) -> Var {
        part.reshape(&part.shape().iter().copied().chain(self.shape()[2..].iter().map(|_| 1)).collect())
    }

    /// Batch norm of `[N, C, …]`: output, new running mean, new running variance; all but this value are `[C]`.
    ///
    /// In training the channels are normalised by their own mean and (biased) variance, and the running statistics move
    /// towards the mean and the unbiased variance by `momentum`; else the running statistics normalise and stay.
    #[allow(clippy::too_many_arguments, reason = "the operands and options of the op, as PyTorch has them")]
    #[track_caller]
    pub fn batch_norm(
        &self,
        weight: Option<&Var>,
        bias: Option<&Var>,
        mean: &Var,
        var: &Var,
        training: bool,
        momentum: f64,
        eps: f64,
    ) -> (Var, Var, Var) {
        if let Some(failed) = failed(self, &[weight, bias, Some(mean), Some(var)]) {
            return (failed.clone(), failed.clone(), failed);
        }
        let shape = self.shape();
        let checked = || {
            expect_channels("batch_norm", self)?;
            let parts =
                [("weight", weight), ("bias", bias), ("running mean", Some(mean)), ("running variance", Some(var))];
            parts.into_iter().try_for_each(|(what, v)| expect_shape("batch_norm", what, v, &shape[1..2], self))?;
            match training && Rows::new(shape, &(1..2)).size() == 1 {
                true => {
                    Err(Error::shape("batch_norm", "expects more than one value a channel when training", &[shape]))
                }
                false => Ok(()),
            }
        };
        if let Err(error) = checked() {
            let failed = self.fail(error);
            return (failed.clone(), failed.clone(), failed);
        }
        let channel = |v: &Var| self.per_channel(v);
        let (weight, bias) = (weight.map(channel), bias.map(channel));
        if !training || self.meta().numel() == 0 {
            let y = (self - channel(mean)) * (channel(var) + eps).rsqrt();
            return (affine(y, weight, bias), mean.clone(), var.clone());
        }
        let dims: Vec<usize> = (0..shape.rank()).filter(|&d| d != 1).collect();
        let size = Rows::new(shape, &(1..2)).size();
        // Squares of f16 pass its largest number from 256 on.
        let wide = if self.dtype() == DType::F16 { self.cast(DType::F32) } else { self.clone() };
        let (y, variance) = if size > LONGEST_CHANNEL {
            let (centred, variance) = wide.moments(Statistic::Layer, &dims);
            ((centred * (&variance + eps).rsqrt()).cast(self.dtype()), variance)
        } else {
            let y = self.normalize_rows("batch_norm", Statistic::Layer, 1..2, LONGEST_CHANNEL, eps);
            (y, no_grad(|| wide.moments(Statistic::Layer, &dims).1))
        };
        let (new_mean, new_var) = no_grad(|| {
            let shift = wide.first_of(&dims);
            let batch_mean = ((&wide - &shift).mean(&dims, true) + shift).reshape(mean.shape());
            let unbiased = variance.reshape(var.shape()) * (size as f64 / (size - 1) as f64);
            let towards = |old: &Var, new: Var| (old * (1.0 - momentum) + new * momentum).cast(old.dtype());
            (towards(mean, batch_mean), towards(var, unbiased))
        });
        (affine(y, weight, bias), new_mean, new_var)
    }
}
