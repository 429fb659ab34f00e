//! Draws by weights, by logits and by rates, out of other ops. What a value makes impossible is found on the device, as indices out of
//! range are.

use crate::dtype::DType;
use crate::error::{Error, Expected, Result};
use crate::graph::Var;
use crate::ops::routine::expect_float;
use crate::shape::Shape;

type Key = (u32, u32);

/// Floats as f32, outside the graph.
fn numbers(op: &str, x: &Var) -> Result<Var> {
    x.check()?;
    expect_float(op, x.dtype())?;
    Ok(x.detach().cast(DType::F32))
}

/// The last dim, which must have elements.
fn classes(op: &str, x: &Var, ranks: &str, fits: bool) -> Result<usize> {
    match x.shape().last() {
        Some(&classes) if fits && classes > 0 => Ok(classes),
        _ => Err(Error::shape(op, format!("takes {ranks} with at least one class"), &[x.shape()])),
    }
}

impl Var {
    /// An index along the last dim for each row of logits, by their softmax (i32).
    pub(crate) fn categorical(&self, key: Key) -> Result<Var> {
        const NAME: &str = "categorical";
        let x = numbers(NAME, self)?;
        classes(NAME, &x, "logits [.., classes]", true)?;
        let last = x.shape().rank() - 1;
        let largest = x.max(&[last], true);
        // NaN wins in a maximum, and is not finite.
        let x = x.expect(NAME, Expected::Logits, &largest.is_finite());
        let noise = Var::generate_gumbel(x.shape(), key, &x.0.context);
        Ok((x + noise).argmax(last, false).cast(DType::I32))
    }

    /// `count` indices for each row of weights `[classes]` or `[rows, classes]`, by their share of the row (i32).
    pub(crate) fn multinomial(&self, count: usize, replacement: bool, key: Key) -> Result<Var> {
        const NAME: &str = "multinomial";
        let w = numbers(NAME, self)?;
        let rank = w.shape().rank();
        let classes = classes(NAME, &w, "weights [classes] or [rows, classes]", rank <= 2)?;
        if count == 0 || (!replacement && count > classes) {
            let detail = format!("{count} draws of {classes} classes without replacement");
            return Err(Error::argument(NAME, if count == 0 { "0 draws were asked for".into() } else { detail }));
        }
        let last = rank - 1;
        let zero = w.scalar_like(0.0);
        let needed = if replacement { 1 } else { count };
        let positive = w.gt(&zero).cast(DType::I32).sum(&[last], true);
        let sound = w.ge(&zero).all(&[last], true);
        let holds = w.sum(&[last], true).is_finite().logical_and(&sound);
        let holds = holds.logical_and(&positive.ge(&positive.scalar_like(needed as f64)));
        let w = w.expect(NAME, Expected::Weights, &holds);
        if !replacement {
            // The largest of logarithms with noise are drawn one after the other (Yellott 1977).
            let noise = Var::generate_gumbel(w.shape(), key, &w.0.context);
            return Ok((w.log() + noise).topk(count, last, true)?.1.cast(DType::I32));
        }
        // The first class up to which the weights add up to more than a share of the whole. Those of weight 0 are no such class: they repeat
        // the sum before them, and rounding lets no sum fall.
        let nothing = w.scalar_like(f64::NEG_INFINITY);
        let sums = w.gt(&zero).where_(&w.cumsum(last), &nothing).cummax(last).0;
        let shape = Shape::from([&w.shape()[..last], &[count]].concat().as_slice());
        let share = Var::generate_uniform(&shape, 0.0, 1.0, key, &w.0.context) * sums.slice(last, classes - 1, 1, 1);
        let mut below = Var::scalar(0.0, DType::I32, &w.0.context).expand(&shape);
        let mut step = classes.next_power_of_two();
        while step > 0 {
            let probe = &below + step as f64;
            let at = (&probe - 1.0).clamp_max((classes - 1) as f64).cast(DType::I32);
            let passed = sums.gather(last, &at).le(&share);
            let inside = probe.le(&probe.scalar_like(classes as f64));
            below = passed.logical_and(&inside).where_(&probe, &below).cast(DType::I32);
            step /= 2;
        }
        Ok(below)
    }

    /// Random counts of events with these rates, in their type.
    pub(crate) fn poisson(&self, key: Key) -> Result<Var> {
        const NAME: &str = "poisson";
        let rates = numbers(NAME, self)?;
        let holds = rates.ge(&rates.scalar_like(0.0)).logical_and(&rates.is_finite());
        Ok(rates.expect(NAME, Expected::Rates, &holds).generate_poisson(key).cast(self.dtype()))
    }
}

/// Normal random numbers of `shape` with means and standard deviations that broadcast to it.
pub(crate) fn normal(shape: &Shape, mean: &Var, std: &Var, key: Key) -> Result<Var> {
    const NAME: &str = "normal";
    mean.check()?;
    std.check()?;
    for v in [mean, std] {
        if shape.broadcast(NAME, v.shape()).ok().as_ref() != Some(shape) {
            let detail = format!("means and standard deviations must broadcast to {shape}");
            return Err(Error::shape(NAME, detail, &[mean.shape(), std.shape()]));
        }
    }
    let context = &mean.0.context;
    if let (Some(mean), Some(std)) = (mean.scalar_value(), std.scalar_value()) {
        if !mean.is_finite() || !std.is_finite() || std < 0.0 {
            let detail = format!("the mean must be finite and the standard deviation 0 or more, not {mean} and {std}");
            return Err(Error::argument(NAME, detail));
        }
        return Ok(Var::generate_normal(shape, mean, std, key, context));
    }
    let (mean, std) = (mean.detach(), std.detach());
    let holds = std.ge(&std.scalar_like(0.0)).logical_and(&std.is_finite()).logical_and(&mean.is_finite());
    let noise = Var::generate_normal(shape, 0.0, 1.0, key, context);
    Ok((noise * std + mean).expect(NAME, Expected::Deviations, &holds))
}
