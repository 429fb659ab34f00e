//! Segments of a graph whose inner values are computed again in the backward pass, instead of being kept for it.
//!
//! Nothing of the user's code runs twice: the segment is remembered as ops and wiring, and made again from its inputs. So random numbers
//! come out the same (their keys are inputs), and what the code did besides happens once. Chen et al. 2016, arXiv 1604.06174.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;

use crate::differentiate::{Graph, freed, gradients};
use crate::error::Result;
use crate::graph::node::{Hook, lock};
use crate::graph::{Meta, Op, Unhashed, Var, Vjp};
use crate::site::Site;

/// Where an input of a step comes from.
enum Source {
    /// Something that gradients flow to, by its number.
    Outside(usize),
    Constant(Var),
    Step(usize),
}

/// A node of the segment.
struct Step {
    op: Arc<dyn Op>,
    meta: Meta,
    at: Site,
    tracked: bool,
    hooks: Vec<Hook>,
    inputs: SmallVec<[Source; 2]>,
}

/// The result of a segment; the first input is its value, the others are what gradients flow to.
#[derive(Hash)]
struct Checkpoint {
    /// Until a backward pass frees the graph.
    steps: Unhashed<Mutex<Option<Arc<Vec<Step>>>>>,
}

/// A node that stands for `output`, the result of nodes that were made from id `start` on. None of the values between is kept.
pub fn checkpoint(output: &Var, start: u64) -> Var {
    let inside = |var: &Var| {
        let computed = !var.0.tracked && var.0.has_value();
        var.0.id >= start && var.0.grad_cell.is_none() && !var.0.op.is_source() && !computed && !var.0.is_freed()
    };
    if output.check().is_err() || !output.0.tracked || !inside(output) {
        return output.clone();
    }
    let mut nodes: HashMap<u64, Var> = HashMap::new();
    let mut stack = vec![output.clone()];
    while let Some(var) = stack.pop() {
        if nodes.insert(var.0.id, var.clone()).is_none() {
            stack.extend(var.0.inputs().into_iter().filter(|input| inside(input)));
        }
    }
    let mut order: Vec<Var> = nodes.into_values().collect();
    order.sort_unstable_by_key(|var| var.0.id);
    let position: HashMap<u64, usize> = order.iter().enumerate().map(|(i, var)| (var.0.id, i)).collect();
    let mut outside: Vec<Var> = Vec::new();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    let mut steps = Vec::with_capacity(order.len());
    for var in &order {
        let source = |input: &Var| match position.get(&input.0.id) {
            Some(step) => Source::Step(*step),
            None if input.0.tracked => Source::Outside(*numbers.entry(input.0.id).or_insert_with(|| {
                outside.push(input.clone());
                outside.len() - 1
            })),
            None => Source::Constant(input.clone()),
        };
        let node = &var.0;
        let inputs = node.inputs().iter().map(source).collect();
        let (op, meta, at) = (node.op.clone(), node.meta.clone(), node.at);
        steps.push(Step { op, meta, at, tracked: node.tracked, hooks: node.hooks(), inputs });
        // Its value need not wait for a backward pass.
        node.mark_differentiated();
    }
    let value = output.detach();
    let inputs: Vec<&Var> = std::iter::once(&value).chain(&outside).collect();
    Var::apply_in(
        Arc::new(Checkpoint { steps: Unhashed(Mutex::new(Some(Arc::new(steps)))) }),
        &inputs,
        &output.0.context,
    )
}

impl Op for Checkpoint {
    fn name(&self) -> &str {
        "checkpoint"
    }

    crate::graph::op::passes_on!();

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let context = &cx.output.0.context;
        let again: Vec<Var> = cx.inputs[1..]
            .iter()
            .map(|x| {
                let x = if cx.create_graph { x.clone() } else { x.detach() };
                let (meta, at) = (x.meta().clone(), x.0.at);
                let inputs = SmallVec::from_iter([x, cx.dy.clone()]);
                Var::rebuilt(Arc::new(Again), meta, at, true, inputs, context)
            })
            .collect();
        let steps = lock(&self.steps.0).clone().ok_or_else(|| freed(self.name()))?;
        let mut made: Vec<Var> = Vec::with_capacity(steps.len());
        for step in &*steps {
            let input = |source: &Source| match source {
                Source::Outside(i) => again[*i].clone(),
                Source::Constant(var) => var.clone(),
                Source::Step(i) => made[*i].clone(),
            };
            let inputs = step.inputs.iter().map(input).collect();
            let var = Var::rebuilt(step.op.clone(), step.meta.clone(), step.at, step.tracked, inputs, context);
            step.hooks.iter().for_each(|hook| var.0.add_hook(hook.clone()));
            made.push(var);
        }
        let Some(output) = made.last() else { return Ok(vec![None; cx.inputs.len()]) };
        // Not freed: what its ops keep is this one's too, for another pass. It goes with this one's own.
        let graph = if cx.create_graph { Graph::Create } else { Graph::Retain };
        let grads = gradients(std::slice::from_ref(output), &again, &[Some(cx.dy.clone())], graph)?;
        Ok(std::iter::once(None).chain(grads).collect())
    }

    fn release(&self) {
        let steps = std::mem::take(&mut *lock(&self.steps.0));
        // Not under the lock: users' closures may go with them.
        drop(steps);
    }
}

/// An input of the segment in the backward pass. That it depends on the upstream gradient too tells the second computation from the first, and
/// puts it where the backward pass is.
#[derive(Hash)]
struct Again;

impl Op for Again {
    fn name(&self) -> &str {
        "again"
    }

    crate::graph::op::passes_on!();

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(cx.dy.clone()), None])
    }
}
