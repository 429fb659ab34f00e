//! Flushes that look at every value: see [`detect_anomaly`](crate::autograd::detect_anomaly).

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use crate::array::Array;
use crate::backend::Device;
use crate::error::{At, Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Var, anomaly};
use crate::wait::wait;

/// What a value holds besides finite numbers.
#[derive(Clone, Copy, Default)]
struct Special {
    nan: usize,
    infinite: usize,
}

impl Special {
    fn of(array: &Array) -> Special {
        let mut special = Special::default();
        for value in array.to_f64() {
            special.nan += usize::from(value.is_nan());
            special.infinite += usize::from(value.is_infinite());
        }
        special
    }
}

impl Device {
    /// Computes the pending nodes below `targets` one by one, in the order of their making, and notes the first that made a NaN of
    /// none, or an infinity of finite numbers.
    pub(super) fn search_anomaly(&self, targets: &[&Var]) -> Result<()> {
        // With their inputs, which a node lets go once it is computed, as it may be beside another.
        let mut pending: BTreeMap<u64, (Var, SmallVec<[Var; 2]>)> = BTreeMap::new();
        let mut stack: Vec<Var> = targets.iter().map(|v| (*v).clone()).collect();
        while let Some(var) = stack.pop() {
            let inputs = var.0.inputs();
            if !var.0.has_value() && !pending.contains_key(&var.0.id) {
                stack.extend(inputs.iter().cloned());
                pending.insert(var.0.id, (var, inputs));
            }
        }
        let mut known: HashMap<u64, Special> = HashMap::new();
        for (var, inputs) in pending.into_values() {
            if anomaly::is_found() {
                break;
            }
            let metas: SmallVec<[&Meta; 4]> = inputs.iter().map(Var::meta).collect();
            if var.0.op.is_source() {
                continue;
            }
            let moves = !inputs.is_empty() && matches!(var.0.op.kernel(&metas, var.meta()), Kernel::View(_));
            let mut before = Special::default();
            // Of views only what they show is looked at, if it was there before.
            for input in inputs.iter().filter(|input| !moves || input.0.has_value()) {
                let special = self.special(input, &mut known)?;
                before.nan += special.nan;
                before.infinite += special.infinite;
            }
            if moves {
                continue;
            }
            let after = self.special(&var, &mut known)?;
            let made = match (before.nan, before.infinite) {
                (0, _) if after.nan > 0 => Some(("NaN", after.nan)),
                (0, 0) if after.infinite > 0 => Some(("infinite", after.infinite)),
                _ => None,
            };
            if let Some((what, count)) = made {
                anomaly::found(fault(&var, what, count));
            }
        }
        Ok(())
    }

    /// What the value of a node holds; it is computed.
    fn special(&self, var: &Var, known: &mut HashMap<u64, Special>) -> Result<Special> {
        if let Some(special) = known.get(&var.0.id) {
            return Ok(*special);
        }
        let special = if let Some(value) = var.scalar_value() {
            Special { nan: usize::from(value.is_nan()), infinite: usize::from(value.is_infinite()) }
        } else if var.dtype().is_float() {
            let given = var.0.has_value();
            self.compute(std::slice::from_ref(var), &[])?;
            let special =
                Special::of(&wait("detect_anomaly", "use it natively or on the CPU reference", self.fetch(var))?);
            if given {
                look_at_leaf(var, special);
            }
            special
        } else {
            Special::default()
        };
        known.insert(var.0.id, special);
        Ok(special)
    }
}

/// Notes a value that was bad from the start: NaN in anything, infinities in what is trained (as data they may be masks).
fn look_at_leaf(var: &Var, special: Special) {
    let (count, what) = match special {
        Special { nan: 1.., .. } => (special.nan, "NaN"),
        Special { infinite: 1.., .. } if var.0.grad_cell.is_some() => (special.infinite, "infinite"),
        _ => return,
    };
    let shape = var.shape();
    let kind = if var.0.grad_cell.is_some() { "a tensor that gets gradients" } else { "given" };
    let detail =
        format!("{count} of {} elements of shape {shape} are {what} from the start ({kind}, made here)", shape.numel());
    anomaly::found(Error::NonFinite { op: "leaf".into(), detail, at: At(None) }.or_at(var.0.at));
}

fn fault(var: &Var, what: &str, count: usize) -> Error {
    let (name, shape) = (var.0.op.name(), var.shape());
    let made = format!("{count} of {} elements of shape {shape} are {what}", shape.numel());
    let (op, detail) = match anomaly::gradient_of(var.0.id) {
        Some(op) => {
            let detail = format!("its gradient, by {name}: {made}, in the backward pass");
            (op, detail)
        }
        None => (name.to_owned(), format!("{made}, in the forward pass")),
    };
    Error::NonFinite { op, detail, at: At(None) }.or_at(var.0.at)
}
