//! Numbers of events by their rates.

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Op, Var};

use super::generate::{Key, random_bits, random_function, random_more, unit};

/// Draws for each rate, by the two words of a key.
#[derive(Hash)]
struct Poisson;

impl Op for Poisson {
    fn name(&self) -> &str {
        "poisson"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        match u32::try_from(inputs[0].shape.checked_numel().unwrap_or(usize::MAX)) {
            Ok(_) => Ok(inputs[0].clone()),
            Err(_) => Err(Error::shape("poisson", "takes at most 2^32 - 1 rates", &[&inputs[0].shape])),
        }
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Elementwise(random_function("random_poisson"))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let [seed, stream] = [1, 2].map(|k| inputs[k].to_f64()[0] as u32);
        let rates = inputs[0].to_f64();
        let counts = rates.iter().enumerate().map(|(i, &rate)| count(i as u32, rate as f32, seed, stream)).collect();
        Ok(Array::from_vec(&output.shape, counts).cast(output.dtype))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

/// As `random_poisson` in `random.wgsl`.
fn count(i: u32, rate: f32, seed: u32, stream: u32) -> f32 {
    if !rate.is_finite() || rate < 0.0 {
        return f32::NAN;
    }
    if rate < 10.0 {
        let u = unit(random_bits(i, seed, stream)[0]) as f32;
        let (mut count, mut p) = (0.0, (-rate).exp());
        let mut sum = p;
        for _ in 0..64 {
            if u < sum || (p <= 3e-8 && count >= rate) {
                break;
            }
            count += 1.0;
            p *= rate / count;
            sum += p;
        }
        return count;
    }
    let b = 0.931 + 2.53 * rate.sqrt();
    let a = 0.02483 * b - 0.059;
    let (scale, inner) = (1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0));
    for draw in 0..64 {
        let bits = random_more(i, seed, stream, draw);
        let middle = |bits: u32| ((bits >> 9) as f32 + 0.5) / (1 << 23) as f32;
        let (u, v) = (middle(bits[0]) - 0.5, middle(bits[1]));
        let us = 0.5 - u.abs();
        let count = ((2.0 * a / us + b) * u + rate + 0.43).floor();
        if us >= 0.07 && v <= inner {
            return count;
        }
        let possible = count >= 0.0 && (us >= 0.013 || v <= us);
        if possible && (v * scale / (a / (us * us) + b)).ln() <= log_probability(count, rate) {
            return count;
        }
    }
    rate.floor()
}

/// ln of the probability of a count; without cancellation near the rate.
fn log_probability(count: f32, rate: f32) -> f32 {
    if count < 1.0 {
        return -rate;
    }
    // More digits in place of the shader's series.
    let (k, rate) = (f64::from(count), f64::from(rate));
    let deviance = k * (k / rate).ln() + rate - k;
    let rest = (1.0 / 12.0 - 1.0 / (360.0 * k * k)) / k;
    (-deviance - 0.5 * (std::f64::consts::TAU * k).ln() - rest) as f32
}

impl Var {
    /// Random counts of events with these rates (f32), for the key (seed, stream): NaN for a rate that is negative or not finite.
    #[track_caller]
    pub fn generate_poisson(&self, key: (u32, u32)) -> Var {
        let [seed, stream]: [Var; 2] = Var::key(key as Key, &self.0.context);
        Var::apply(Poisson, &[&self.cast(DType::F32), &seed, &stream])
    }
}
