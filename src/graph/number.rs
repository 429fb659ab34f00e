//! Numbers that the host knows and that change from run to run of a captured step: learning rates, counts of steps, and what is
//! computed from them. They are data and not closures, so that a captured step can be written to a file.

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::error::Error;
use crate::graph::recording::{self, Tick};

/// A number that may differ from run to run of a captured step. A flush reads the number that its node was made with; only
/// replays look here.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<AtomicU64>);

impl Live {
    /// A number that is `value` for now.
    pub fn new(value: f64) -> Live {
        Live(Arc::new(AtomicU64::new(value.to_bits())))
    }

    /// Sets the number of the next run.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The number of the present run.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Which number this is: the same for clones.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// A number for one op, as the host knows it now.
#[derive(Clone)]
pub struct Number {
    /// The number.
    pub value: f32,
    /// Where replays find theirs.
    pub live: Option<Live>,
}

/// The learning rate of an optimizer, shared with it: a handle for schedules that outlives the optimizer's move into a captured
/// step.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Sgd};
/// let device = Device::default();
/// let w = Tensor::ones([1], &device).requires_grad();
/// let mut optimizer = Sgd::new(vec![w.clone()], 0.5);
/// let rate = optimizer.rate();
/// let step = wgrad::capture(&device, move |_| {
///     optimizer.zero_grad();
///     w.sum().backward()?;
///     optimizer.step()?;
///     Ok(vec![w.clone()])
/// })?;
/// assert_eq!(step.run(&[])?[0].item::<f32>()?, 0.5);
/// rate.set(0.25);
/// assert_eq!(step.run(&[])?[0].item::<f32>()?, 0.25);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rate(Arc<AtomicU32>);

impl Rate {
    pub(crate) fn new(rate: f32) -> Rate {
        Rate(Arc::new(AtomicU32::new(rate.to_bits())))
    }

    /// The present rate.
    pub fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets the rate for all steps to come. Inside a captured step this would happen once and never again, so it makes the run
    /// an error.
    #[track_caller]
    pub fn set(&self, rate: f32) {
        if recording::active() {
            let detail =
                "a captured step cannot set the learning rate: set it between the runs, through optimizer.rate()";
            recording::refuse(Error::unsupported("set_lr", detail).or_at(Location::caller()));
        }
        self.0.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// The rate as an operand that follows it.
    pub(crate) fn number(&self) -> Number {
        recording::follow(self.formula())
    }

    /// The rate as a part of other numbers.
    pub(crate) fn formula(&self) -> Formula {
        Formula::Rate(self.clone())
    }

    /// Which rate this is: the same for clones.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// How many steps were taken. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    steps: AtomicI32,
    retired: AtomicBool,
}

impl From<i32> for Count {
    fn from(count: i32) -> Count {
        Count(Arc::new(Counted { steps: AtomicI32::new(count), retired: AtomicBool::new(false) }))
    }
}

impl Count {
    /// The present count.
    pub fn get(&self) -> i32 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Goes on from another count.
    pub fn set(&self, count: i32) {
        self.0.steps.store(count, Ordering::Relaxed);
    }

    /// Notes that those who counted together no longer do: captured steps that count by this have to be captured anew.
    pub fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }

    /// Whether [`Count::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.0.retired.load(Ordering::Relaxed)
    }

    /// Counts one more step, in every run of a captured step.
    pub fn advance(&self) {
        self.increment();
        recording::tick(Tick::Count(self.clone()));
    }

    pub(crate) fn increment(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// The count as a part of numbers.
    pub fn formula(&self) -> Formula {
        Formula::Count(self.clone())
    }

    /// Which count this is: the same for clones.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// How a number follows from rates and counts, computed in f64.
#[derive(Clone)]
pub(crate) enum Formula {
    Const(f64),
    Rate(Rate),
    Count(Count),
    /// Square root.
    Sqrt(Arc<Formula>),
    Two(Operation, Arc<[Formula; 2]>),
}

/// What [`Formula::Two`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Sub,
    Mul,
    Div,
    /// A power; the exponent is cut to an integer.
    Powi,
    /// A power.
    Pow,
    /// The larger one.
    Max,
    /// 1 where the first is the larger, else 0.
    Above,
}

impl Formula {
    /// The number now.
    pub fn value(&self) -> f64 {
        match self {
            Formula::Const(value) => *value,
            Formula::Rate(rate) => f64::from(rate.get()),
            Formula::Count(count) => f64::from(count.get()),
            Formula::Sqrt(x) => x.value().sqrt(),
            Formula::Two(operation, operands) => {
                let [a, b] = [operands[0].value(), operands[1].value()];
                match operation {
                    Operation::Add => a + b,
                    Operation::Sub => a - b,
                    Operation::Mul => a * b,
                    Operation::Div => a / b,
                    Operation::Powi => a.powi(b as i32),
                    Operation::Pow => a.powf(b),
                    Operation::Max => a.max(b),
                    Operation::Above => f64::from(a > b),
                }
            }
        }
    }

    /// Its square root.
    pub fn sqrt(self) -> Formula {
        Formula::Sqrt(Arc::new(self))
    }

    /// Its power to a whole number.
    pub fn powi(self, exponent: impl Into<Formula>) -> Formula {
        Formula::Two(Operation::Powi, Arc::new([self, exponent.into()]))
    }

    /// Its power.
    pub fn pow(self, exponent: impl Into<Formula>) -> Formula {
        Formula::Two(Operation::Pow, Arc::new([self, exponent.into()]))
    }

    /// The larger of two numbers.
    pub fn max(self, other: impl Into<Formula>) -> Formula {
        Formula::Two(Operation::Max, Arc::new([self, other.into()]))
    }

    /// 1 where it is above `other`, else 0.
    pub fn above(self, other: impl Into<Formula>) -> Formula {
        Formula::Two(Operation::Above, Arc::new([self, other.into()]))
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Formula::Const(value) => write!(f, "{value}"),
            Formula::Rate(_) => f.write_str("rate"),
            Formula::Count(_) => f.write_str("count"),
            Formula::Sqrt(x) => write!(f, "√({x})"),
            Formula::Two(operation, operands) => {
                let sign = match operation {
                    Operation::Add => "+",
                    Operation::Sub => "-",
                    Operation::Mul => "·",
                    Operation::Div => "/",
                    Operation::Powi | Operation::Pow => "^",
                    Operation::Max => "max",
                    Operation::Above => ">",
                };
                write!(f, "({} {sign} {})", operands[0], operands[1])
            }
        }
    }
}

impl From<f64> for Formula {
    fn from(value: f64) -> Formula {
        Formula::Const(value)
    }
}

impl From<f32> for Formula {
    fn from(value: f32) -> Formula {
        Formula::Const(f64::from(value))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl<R: Into<Formula>> $trait<R> for Formula {
            type Output = Formula;
            fn $method(self, other: R) -> Formula {
                Formula::Two(Operation::$trait, Arc::new([self, other.into()]))
            }
        }
        impl $trait<Formula> for f64 {
            type Output = Formula;
            fn $method(self, other: Formula) -> Formula {
                Formula::Two(Operation::$trait, Arc::new([self.into(), other]))
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_follow_what_they_are_made_of() {
        let (rate, count) = (Rate::new(0.5), Count::default());
        let bias = 1.0 - Formula::from(0.5f64).powi(count.formula() + 1.0);
        let formula = rate.formula() / bias.clone().sqrt() * 2.0;
        assert_eq!(bias.value(), 0.5);
        count.increment();
        rate.set(3.0);
        assert_eq!((bias.value(), formula.value()), (0.75, 3.0 / 0.75f64.sqrt() * 2.0));
        assert_eq!(bias.to_string(), "(1 - (0.5 ^ (count + 1)))");
        let count = || count.formula();
        assert_eq!([count().above(0.5), count().above(1.0)].map(|f| f.value()), [1.0, 0.0]);
        assert_eq!((count().max(3.0).value(), (count() + 3.0).pow(0.5).value()), (3.0, 2.0));
    }
}
