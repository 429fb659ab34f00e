//! Values computed from their index: ranges, masks and counter-based random numbers.

use std::sync::{Arc, OnceLock};

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Elementwise, Kernel, WgslFn};
use crate::graph::recording;
use crate::graph::{Context, Meta, Op, Unhashed, Var};
use crate::shape::Shape;

/// A shader file of index functions.
struct File {
    text: &'static str,
    shared: OnceLock<Arc<str>>,
}

impl File {
    const fn new(text: &'static str) -> File {
        File { text, shared: OnceLock::new() }
    }

    fn source(&self) -> Arc<str> {
        self.shared.get_or_init(|| self.text.into()).clone()
    }
}

static ARANGE: File = File::new(include_str!("../../../shaders/elementwise/arange.wgsl"));
static MASK: File = File::new(include_str!("../../../shaders/elementwise/mask.wgsl"));
static RANDOM: File = File::new(include_str!("../../../shaders/elementwise/random.wgsl"));

/// An op whose elements follow from their row-major index and scalar operands.
#[derive(Hash)]
struct Generate {
    file: Unhashed<&'static File>,
    function: &'static str,
    output: Meta,
    /// The element at an index, given the scalars; the same integer arithmetic as the shader's. The function's name tells which.
    value: Unhashed<fn(u32, &[f64]) -> f64>,
}

impl Op for Generate {
    fn name(&self) -> &str {
        self.function
    }
    fn infer(&self, _inputs: &[&Meta]) -> Result<Meta> {
        match u32::try_from(self.output.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX)) {
            Ok(_) => Ok(self.output.clone()),
            Err(_) => {
                Err(Error::argument(self.function, format!("{} has more than 2^32 - 1 elements", self.output.shape)))
            }
        }
    }
    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        let function = Arc::new(WgslFn { name: self.function.into(), source: self.file.0.source(), trusted: true });
        Kernel::Elementwise(Elementwise { function, field: None, left_out: Vec::new(), index: true })
    }
    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let scalars: Vec<f64> = inputs.iter().map(|a| a.to_f64()[0]).collect();
        let values = (0..output.numel()).map(|i| (self.value.0)(i as u32, &scalars)).collect();
        Ok(super::op::array(output, values))
    }
    fn differentiable(&self) -> bool {
        false
    }
}

/// 128 hashed bits of a counter and a key: pcg4d of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3),
/// 2020; bit for bit as in `random.wgsl`.
pub fn random_bits(i: u32, seed: u32, stream: u32) -> [u32; 4] {
    random_more(i, seed, stream, 0)
}

/// More bits for the same counter, by the number of the draw.
pub(super) fn random_more(i: u32, seed: u32, stream: u32, draw: u32) -> [u32; 4] {
    let mut v = [i, seed, stream, 0x9e37_79b9_u32.wrapping_add(draw)]
        .map(|x: u32| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        for (to, a, b) in [(0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)] {
            v[to] = v[to].wrapping_add(v[a].wrapping_mul(v[b]));
        }
        if round == 0 {
            v = v.map(|x| x ^ (x >> 16));
        }
    }
    v
}

/// `[0, 1)` in steps of 2^-24.
pub(super) fn unit(bits: u32) -> f64 {
    f64::from(bits >> 8) / f64::from(1 << 24)
}

fn bits(i: u32, key: &[f64]) -> [u32; 4] {
    random_bits(i, key[0] as u32, key[1] as u32)
}

pub(super) type Key = (u32, u32);

/// The function of `random.wgsl` of this name.
pub(super) fn random_function(name: &str) -> Elementwise {
    let function = Arc::new(WgslFn { name: name.into(), source: RANDOM.source(), trusted: true });
    Elementwise { function, field: None, left_out: Vec::new(), index: true }
}

impl Var {
    #[track_caller]
    fn generate(op: Generate, scalars: &[(f64, DType)], context: &Arc<Context>) -> Var {
        let scalars: Vec<Var> = scalars.iter().map(|&(v, t)| Var::scalar(v, t, context)).collect();
        Var::generate_from(op, &scalars, context)
    }

    #[track_caller]
    fn generate_from(op: Generate, scalars: &[Var], context: &Arc<Context>) -> Var {
        Var::apply_in(Arc::new(op), &scalars.iter().collect::<Vec<_>>(), context)
    }

    /// The key's words as scalars, which replays of a captured step draw anew.
    #[track_caller]
    pub(super) fn key(key: Key, context: &Arc<Context>) -> [Var; 2] {
        let [first, second] = recording::drawn(key).map_or([None, None], |live| live.map(Some));
        let word = |word: u32, live| Var::live_scalar(f64::from(word), DType::U32, live, context);
        [word(key.0, first), word(key.1, second)]
    }

    #[track_caller]
    fn random(
        function: &'static str,
        output: Meta,
        scalars: &[(f64, DType)],
        key: Key,
        context: &Arc<Context>,
        value: fn(u32, &[f64]) -> f64,
    ) -> Var {
        let mut all: Vec<Var> = scalars.iter().map(|&(v, t)| Var::scalar(v, t, context)).collect();
        all.extend(Var::key(key, context));
        Var::generate_from(
            Generate { file: Unhashed(&RANDOM), function, output, value: Unhashed(value) },
            &all,
            context,
        )
    }

    /// Uniform f32 numbers in `[low, high)` for the key (seed, stream).
    #[track_caller]
    pub fn generate_uniform(shape: impl Into<Shape>, low: f64, high: f64, key: Key, context: &Arc<Context>) -> Var {
        let scalars = [(low, DType::F32), (high, DType::F32)];
        Var::random("random_uniform", Meta::new(shape, DType::F32), &scalars, key, context, |i, s| {
            let (low, high) = (s[0] as f32, s[1] as f32);
            let x = low + (high - low) * unit(bits(i, &s[2..])[0]) as f32;
            f64::from(if x >= high { low } else { x })
        })
    }

    /// Normally distributed f32 numbers (Box and Muller 1958) for the key (seed, stream).
    #[track_caller]
    pub fn generate_normal(shape: impl Into<Shape>, mean: f64, std: f64, key: Key, context: &Arc<Context>) -> Var {
        let scalars = [(mean, DType::F32), (std, DType::F32)];
        Var::random("random_normal", Meta::new(shape, DType::F32), &scalars, key, context, |i, s| {
            let bits = bits(i, &s[2..]);
            let radius = (-2.0 * (unit(bits[0]) + unit(1 << 8)).ln()).sqrt();
            s[0] + s[1] * radius * (std::f64::consts::TAU * unit(bits[1])).cos()
        })
    }

    /// Numbers of the standard Gumbel distribution, as f32, for the key (seed, stream).
    #[track_caller]
    pub fn generate_gumbel(shape: impl Into<Shape>, key: Key, context: &Arc<Context>) -> Var {
        Var::random("random_gumbel", Meta::new(shape, DType::F32), &[], key, context, |i, s| {
            let bits = bits(i, s);
            let fine = (f64::from(bits[1] >> 9) + 0.5) / f64::from(1 << 23);
            let u = ((f64::from(bits[0] >> 8) + fine) / f64::from(1 << 24)) as f32;
            -(-(-f64::from(u.min(1.0 - f32::EPSILON / 2.0))).ln_1p()).ln()
        })
    }

    /// True with probability `p`, for the key (seed, stream).
    #[track_caller]
    pub fn generate_bernoulli(shape: impl Into<Shape>, p: f64, key: Key, context: &Arc<Context>) -> Var {
        Var::random("random_bernoulli", Meta::new(shape, DType::Bool), &[(p, DType::F32)], key, context, |i, s| {
            f64::from(u8::from(unit(bits(i, &s[1..])[0]) < s[0]))
        })
    }

    /// Uniform i32 numbers in `low..high` for the key (seed, stream).
    #[track_caller]
    pub fn generate_randint(shape: impl Into<Shape>, low: i32, high: i32, key: Key, context: &Arc<Context>) -> Var {
        let at = crate::graph::here();
        if low >= high {
            let error = Error::argument("randint", format!("the range {low}..{high} is empty"));
            return Var::failed(error.or_at(at), context, at);
        }
        let scalars = [(f64::from(low), DType::I32), (f64::from(high), DType::I32)];
        Var::random("random_randint", Meta::new(shape, DType::I32), &scalars, key, context, |i, s| {
            let range = (s[1] - s[0]) as u32;
            s[0] + f64::from(bits(i, &s[2..])[0] % range)
        })
    }

    /// `start + i · step` for `i` in `0..len`, as f32, i32 or u32 (f64 on the CPU).
    #[track_caller]
    pub fn generate_arange(start: f64, step: f64, len: usize, dtype: DType, context: &Arc<Context>) -> Var {
        let function = match dtype {
            DType::I32 => "arange_i32",
            DType::U32 => "arange_u32",
            _ => "arange_f32",
        };
        let value = |i: u32, s: &[f64]| s[0] + f64::from(i) * s[1];
        let op = Generate { file: Unhashed(&ARANGE), function, output: Meta::new(len, dtype), value: Unhashed(value) };
        Var::generate(op, &[(start, dtype), (step, dtype)], context)
    }

    /// `len` numbers evenly spaced from `start` to `end`, as f32: counted from the nearer end, so that both ends are exact.
    #[track_caller]
    pub fn generate_linspace(start: f64, end: f64, len: usize, context: &Arc<Context>) -> Var {
        let step = if len > 1 { (end - start) / (len - 1) as f64 } else { 0.0 };
        let value = |i: u32, s: &[f64]| match i < s[3] as u32 / 2 {
            true => s[0] + f64::from(i) * s[2],
            false => s[1] - f64::from(s[3] as u32 - 1 - i) * s[2],
        };
        let op = Generate {
            file: Unhashed(&ARANGE),
            function: "linspace",
            output: Meta::new(len, DType::F32),
            value: Unhashed(value),
        };
        // One number is the start.
        let end = if len > 1 { end } else { start };
        let f = DType::F32;
        Var::generate(op, &[(start, f), (end, f), (step, f), (len as f64, DType::U32)], context)
    }

    #[track_caller]
    fn mask(
        function: &'static str,
        rows: usize,
        cols: usize,
        k: i32,
        context: &Arc<Context>,
        value: fn(u32, &[f64]) -> f64,
    ) -> Var {
        let op = Generate {
            file: Unhashed(&MASK),
            function,
            output: Meta::new([rows, cols], DType::Bool),
            value: Unhashed(value),
        };
        Var::generate(op, &[(cols as f64, DType::U32), (f64::from(k), DType::I32)], context)
    }

    /// The mask `[rows, cols]` of the elements on and below diagonal `k`.
    #[track_caller]
    pub fn generate_tril_mask(rows: usize, cols: usize, k: i32, context: &Arc<Context>) -> Var {
        Var::mask("mask_tril", rows, cols, k, context, |i, s| f64::from(u8::from(diagonal(i, s) <= s[1])))
    }

    /// The mask `[rows, cols]` of the elements on and above diagonal `k`.
    #[track_caller]
    pub fn generate_triu_mask(rows: usize, cols: usize, k: i32, context: &Arc<Context>) -> Var {
        Var::mask("mask_triu", rows, cols, k, context, |i, s| f64::from(u8::from(diagonal(i, s) >= s[1])))
    }

    /// Ones on the main diagonal of `[rows, cols]`, zeros elsewhere.
    #[track_caller]
    pub fn generate_eye(rows: usize, cols: usize, dtype: DType, context: &Arc<Context>) -> Var {
        let equal = |i: u32, s: &[f64]| f64::from(u8::from(diagonal(i, s) == s[1]));
        Var::mask("mask_eye", rows, cols, 0, context, equal).cast(dtype)
    }
}

/// Column minus row of element `i`, given the number of columns first.
fn diagonal(i: u32, scalars: &[f64]) -> f64 {
    let cols = scalars[0] as u32;
    f64::from(i % cols) - f64::from(i / cols)
}
