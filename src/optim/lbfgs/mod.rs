//! L-BFGS.

mod wolfe;

use std::collections::VecDeque;
use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{no_grad, recording};
use crate::optim::Rate;
use crate::optim::driver::{in_domain, run};
use crate::optim::state::{self, Loader};
use crate::state::StateDict;
use crate::tensor::Tensor;
use wolfe::Point;

/// Limited-memory BFGS (Liu & Nocedal 1989), for smooth functions without noise: a step evaluates the function several times, so it takes
/// a closure that computes loss and gradients. In PyTorch's form; [`Lbfgs::strong_wolfe`] searches along each direction for a
/// point that meets the strong Wolfe conditions.
///
/// Losses and slopes are read at every evaluation, so captured steps cannot contain it.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Lbfgs};
/// let device = Device::default();
/// let w = Tensor::from_slice(&[-1.5f32, 2.0], [2], &device).requires_grad();
/// let mut optimizer = Lbfgs::new(vec![w.clone()], 1.0).strong_wolfe(true);
/// for _ in 0..5 {
///     optimizer.step(|| {
///         w.zero_grad();
///         let (x, y) = (w.select(0, 0), w.select(0, 1));
///         let loss = (1.0 - &x).square() + (y - x.square()).square() * 100.0; // Rosenbrock's valley
///         loss.backward()?;
///         Ok(loss)
///     })?;
/// }
/// assert!(w.to_vec::<f32>()?.iter().all(|v| (v - 1.0).abs() < 1e-2));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Lbfgs {
    parameters: Vec<Tensor>,
    rate: Rate,
    max_iter: usize,
    max_eval: Option<usize>,
    tolerance_grad: f32,
    tolerance_change: f32,
    history_size: usize,
    strong_wolfe: bool,
    memory: Option<Memory>,
    evaluations: i32,
}

/// What one step leaves for the next.
#[derive(Clone)]
struct Memory {
    iterations: i32,
    direction: Tensor,
    t: f64,
    pairs: VecDeque<Pair>,
    /// Scale of the first approximation of the inverse Hessian.
    diagonal: f64,
    gradient: Tensor,
}

/// Change of the gradient and of the parameters in one iteration.
#[derive(Clone)]
struct Pair {
    y: Tensor,
    s: Tensor,
    /// `1 / (y·s)`.
    ro: f64,
}

impl Lbfgs {
    /// L-BFGS with PyTorch's defaults: at most 20 iterations and 25 evaluations a step, a history of 100, no line search. The usual
    /// learning rate is 1. All parameters must be of one float type and on one device.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Lbfgs {
        Lbfgs {
            parameters,
            rate: Rate::new(lr),
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            strong_wolfe: false,
            memory: None,
            evaluations: 0,
        }
    }

    /// Most iterations a step.
    pub fn max_iter(mut self, max_iter: usize) -> Lbfgs {
        self.max_iter = max_iter;
        self
    }

    /// Most evaluations a step; without it 1.25 times the iterations.
    pub fn max_eval(mut self, max_eval: usize) -> Lbfgs {
        self.max_eval = Some(max_eval);
        self
    }

    /// The largest element of a gradient that counts as 0.
    pub fn tolerance_grad(mut self, tolerance: f32) -> Lbfgs {
        self.tolerance_grad = tolerance;
        self
    }

    /// The least change of loss or parameters that counts.
    pub fn tolerance_change(mut self, tolerance: f32) -> Lbfgs {
        self.tolerance_change = tolerance;
        self
    }

    /// How many iterations are remembered; each takes twice the memory of the parameters.
    pub fn history_size(mut self, history_size: usize) -> Lbfgs {
        self.history_size = history_size;
        self
    }

    /// Searches along each direction, instead of stepping by the learning rate.
    pub fn strong_wolfe(mut self, strong_wolfe: bool) -> Lbfgs {
        self.strong_wolfe = strong_wolfe;
        self
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// The learning rate's handle.
    pub fn rate(&self) -> Rate {
        self.rate.clone()
    }

    /// Forgets the gradients of all parameters.
    pub fn zero_grad(&self) {
        self.parameters.iter().for_each(Tensor::zero_grad);
    }

    /// Takes up to `max_iter` iterations. `closure` forgets the gradients, computes the loss and its gradients, and returns the loss; it
    /// is called several times, at other parameter values. Returns the first loss.
    ///
    /// # Errors
    /// The closure's error; a parameter or hyperparameter that does not fit; where a step is being captured. The parameters then
    /// are where the last evaluation was.
    #[track_caller]
    pub fn step(&mut self, mut closure: impl FnMut() -> Result<Tensor>) -> Result<Tensor> {
        let at = Location::caller();
        self.validate().map_err(|e| e.or_at(at))?;
        recording::forbid_reading("Lbfgs", Some(at))?;
        let first = closure()?;
        self.evaluations += 1;
        if self.parameters.is_empty() {
            return Ok(first);
        }
        let mut loss = number(&first)?;
        let mut gradient = self.gradient();
        if largest(&gradient)? <= f64::from(self.tolerance_grad) {
            return Ok(first);
        }
        let (max_eval, change) = (self.max_eval.unwrap_or(self.max_iter * 5 / 4), f64::from(self.tolerance_change));
        let lr = f64::from(self.rate.get());
        let (mut evaluations, mut iteration) = (1usize, 0usize);
        while iteration < self.max_iter {
            iteration += 1;
            let mut memory = self.advance_memory(&gradient)?;
            memory.gradient = gradient.clone();
            let (before, direction) = (loss, memory.direction.clone());
            let [slope, size] = read([no_grad(|| (&gradient * &direction).sum()), no_grad(|| gradient.abs().sum())])?;
            memory.t = if memory.iterations == 1 { lr * (1.0 / size).min(1.0) } else { lr };
            if slope > -change {
                self.memory = Some(memory);
                break;
            }
            let mut flat = false;
            if self.strong_wolfe {
                let origin = self.values();
                let start = Point { t: 0.0, value: loss, slope, gradient: gradient.clone() };
                let scale = largest(&direction)?;
                let limit = max_eval.saturating_sub(evaluations);
                let found = wolfe::search(&start, memory.t, scale, change, limit, |t| {
                    self.place(&origin, &direction, t)?;
                    let value = closure()?;
                    let gradient = self.gradient();
                    let slope = no_grad(|| (&gradient * &direction).sum());
                    let [value, slope] = read([single(&value).to_dtype(slope.dtype()), slope])?;
                    Ok(Point { t, value, slope, gradient })
                })?;
                memory.t = found.point.t;
                self.place(&origin, &direction, memory.t)?;
                (loss, gradient) = (found.point.value, found.point.gradient);
                evaluations += found.evaluations;
                self.evaluations += i32::try_from(found.evaluations).unwrap_or(i32::MAX);
                flat = largest(&gradient)? <= f64::from(self.tolerance_grad);
            } else {
                self.place(&self.values(), &direction, memory.t)?;
                if iteration != self.max_iter {
                    loss = number(&closure()?)?;
                    gradient = self.gradient();
                    flat = largest(&gradient)? <= f64::from(self.tolerance_grad);
                    evaluations += 1;
                    self.evaluations += 1;
                }
            }
            let moved = largest(&direction)? * memory.t;
            self.memory = Some(memory);
            let little = moved.abs() <= change || (loss - before).abs() < change;
            if iteration == self.max_iter || evaluations >= max_eval || flat || little {
                break;
            }
        }
        run(&self.parameters)?;
        Ok(first)
    }

    fn validate(&self) -> Result<()> {
        in_domain("Lbfgs", "lr", self.rate.get(), "[0, ∞]", |lr| lr >= 0.0)?;
        in_domain("Lbfgs", "history_size", self.history_size as f32, "1 or more", |n| n >= 1.0)?;
        if self.parameters.is_empty() {
            let detail = "there are no parameters: give those of a model, `model.parameters()`";
            return Err(Error::argument("Lbfgs", detail));
        }
        for (i, p) in self.parameters.iter().enumerate() {
            p.check()?;
            let first = &self.parameters[0];
            if !p.is_leaf_with_grad() {
                let detail = format!("parameter {i} of shape {:?} was not made with requires_grad", p.shape());
                return Err(Error::argument("Lbfgs", detail));
            }
            if p.dtype() != first.dtype() || !p.device().same(first.device()) || p.dtype() == DType::F16 {
                let detail = "all parameters must be f32, or all f64, and on one device";
                return Err(Error::dtype("Lbfgs", detail, &[first.dtype(), p.dtype()]));
            }
        }
        Ok(())
    }

    /// Gradients of all parameters as one vector; zeros where there is none.
    fn gradient(&self) -> Tensor {
        no_grad(|| {
            let flat = |p: &Tensor| p.grad().unwrap_or_else(|| p.zeros_like()).reshape([-1]);
            let parts: Vec<Tensor> = self.parameters.iter().map(flat).collect();
            Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)
        })
    }

    /// The parameters' values, apart from their handles.
    fn values(&self) -> Vec<Tensor> {
        self.parameters.iter().map(|p| no_grad(|| p.detach())).collect()
    }

    /// Moves the parameters to `origin + t · direction`.
    fn place(&self, origin: &[Tensor], direction: &Tensor, t: f64) -> Result<()> {
        let mut start = 0;
        for (p, from) in self.parameters.iter().zip(origin) {
            let value = no_grad(|| {
                let part = direction.narrow(0, start, p.numel()).reshape(p.shape());
                from + scaled(&part, t)
            });
            p.try_assign(&value)?;
            start += p.numel();
        }
        Ok(())
    }

    /// What is remembered, with the last iteration taken in, and the next direction.
    fn advance_memory(&self, gradient: &Tensor) -> Result<Memory> {
        let Some(mut memory) = self.memory.clone() else {
            let direction = no_grad(|| -gradient);
            let (pairs, gradient) = (VecDeque::new(), gradient.clone());
            return Ok(Memory { iterations: 1, direction, t: 0.0, pairs, diagonal: 1.0, gradient });
        };
        no_grad(|| {
            memory.iterations = memory.iterations.saturating_add(1);
            let (y, s) = (gradient - &memory.gradient, scaled(&memory.direction, memory.t));
            let [ys, yy] = read([(&y * &s).sum(), (&y * &y).sum()])?;
            if ys > 1e-10 {
                if memory.pairs.len() >= self.history_size {
                    memory.pairs.pop_front();
                }
                memory.diagonal = ys / yy;
                memory.pairs.push_back(Pair { y, s, ro: 1.0 / ys });
            }
            // The two loops of Nocedal (1980); the factors stay on the device.
            let mut q = -gradient;
            let mut factors = Vec::with_capacity(memory.pairs.len());
            for pair in memory.pairs.iter().rev() {
                let factor = scaled(&(&pair.s * &q).sum(), pair.ro);
                q = q.sub(&pair.y * &factor);
                factors.push(factor);
            }
            let mut r = scaled(&q, memory.diagonal);
            for (pair, factor) in memory.pairs.iter().zip(factors.iter().rev()) {
                let back = scaled(&(&pair.y * &r).sum(), pair.ro);
                r = r.add(&pair.s * (factor - back));
            }
            memory.direction = r;
            Ok(memory)
        })
    }

    /// Everything that a later step depends on besides parameters and hyperparameters, with PyTorch's names: `group.0.lr`, `state.func_evals`,
    /// and after the first iteration `state.{n_iter, t, H_diag, d, prev_flat_grad}` and `state.{old_dirs, old_stps, ro}.I`.
    pub fn state_dict(&self) -> StateDict {
        let cpu = Device::cpu();
        let mut entries = StateDict::from([
            ("group.0.lr".to_owned(), state::number(self.rate.get(), &cpu)),
            ("state.func_evals".to_owned(), state::number(self.evaluations, &cpu)),
        ]);
        let Some(memory) = &self.memory else { return entries };
        entries.insert("state.n_iter".into(), state::number(memory.iterations, &cpu));
        entries.insert("state.t".into(), state::number(memory.t, &cpu));
        entries.insert("state.H_diag".into(), state::number(memory.diagonal, &cpu));
        entries.insert("state.d".into(), memory.direction.clone());
        entries.insert("state.prev_flat_grad".into(), memory.gradient.clone());
        for (i, pair) in memory.pairs.iter().enumerate() {
            entries.insert(format!("state.old_dirs.{i}"), pair.y.clone());
            entries.insert(format!("state.old_stps.{i}"), pair.s.clone());
            entries.insert(format!("state.ro.{i}"), state::number(pair.ro, &cpu));
        }
        entries
    }

    /// Takes over what [`Lbfgs::state_dict`] has returned.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the entries that are missing, unexpected, or of another shape or type; then nothing has
    /// changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("Lbfgs", entries);
        let (rate, evaluations) = (loader.number::<f32>("group.0.lr"), loader.number::<i32>("state.func_evals"));
        let mut memory = None;
        if loader.has("state.n_iter") && !self.parameters.is_empty() {
            let flat = self.gradient();
            let count = (0..).take_while(|i| loader.has(&format!("state.ro.{i}"))).count();
            let iterations = loader.number::<i32>("state.n_iter");
            let (t, diagonal) = (loader.number::<f64>("state.t"), loader.number::<f64>("state.H_diag"));
            let (d, g) = (loader.tensor("state.d", &flat), loader.tensor("state.prev_flat_grad", &flat));
            let pairs: Option<VecDeque<Pair>> = (0..count)
                .map(|i| {
                    let y = loader.tensor(&format!("state.old_dirs.{i}"), &flat);
                    let s = loader.tensor(&format!("state.old_stps.{i}"), &flat);
                    let ro = loader.number::<f64>(&format!("state.ro.{i}"));
                    Some(Pair { y: y?, s: s?, ro: ro? })
                })
                .collect();
            if let (Some(iterations), Some(t), Some(diagonal), Some(direction), Some(gradient), Some(pairs)) =
                (iterations, t, diagonal, d, g, pairs)
            {
                memory = Some(Memory { iterations, direction, t, pairs, diagonal, gradient });
            }
        }
        loader.finish().map_err(|e| e.or_at(at))?;
        self.memory = memory;
        self.evaluations = evaluations.unwrap_or(0);
        if let Some(rate) = rate {
            self.rate.set(rate);
        }
        Ok(())
    }
}

/// `x · factor`; on f64 tensors with all the factor's digits.
fn scaled(x: &Tensor, factor: f64) -> Tensor {
    match x.dtype() {
        DType::F64 => x * Tensor::from_slice(&[factor], (), x.device()),
        _ => x * factor as f32,
    }
}

/// Scalars of one type, by one read.
fn read<const N: usize>(scalars: [Tensor; N]) -> Result<[f64; N]> {
    let together = no_grad(|| Tensor::stack(&scalars.iter().collect::<Vec<_>>(), 0));
    let values: Vec<f64> = match together.dtype() {
        DType::F64 => together.to_vec()?,
        _ => together.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
    };
    values.try_into().map_err(|_| Error::argument("Lbfgs", "the loss is no scalar"))
}

fn number(loss: &Tensor) -> Result<f64> {
    read([single(loss)]).map(|[value]| value)
}

/// A tensor with one element as a scalar outside the graph.
fn single(loss: &Tensor) -> Tensor {
    no_grad(|| if loss.numel() == 1 { loss.sum() } else { loss.detach() })
}

/// The largest absolute value.
fn largest(x: &Tensor) -> Result<f64> {
    read([no_grad(|| x.abs().max())]).map(|[value]| value)
}
