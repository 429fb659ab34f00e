//! Reverse-mode automatic differentiation, graph to graph: gradients are ordinary nodes, so they fuse, are planned and can
//! be differentiated again like any others.
//!
//! The walk goes through the graph in descending order of ids, so a node is reached when all its consumers have added their
//! share to its gradient (upstream gradient times local gradient; branches of a fork add). Nothing recurses, so graphs may
//! be of any depth.
//!
//! Sources: Griewank & Walther, *Evaluating Derivatives* (2008), chapter 3; Linnainmaa 1976.

mod checkpoint;
mod flat;

pub use checkpoint::checkpoint;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use crate::error::{At, Error, Result};
use crate::graph::{Var, Vjp, anomaly, next_id, no_grad, order, recording, with_location};
use crate::ops::pad::Padded;

/// What becomes of the graph that a backward pass goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// It is freed: its nodes let go of what only another pass would need.
    Free,
    /// It stays for another pass.
    Retain,
    /// It stays, and the gradients are themselves a graph that can be differentiated.
    Create,
}

impl Graph {
    /// [`Graph::Create`] where gradients are to be differentiated, else [`Graph::Free`].
    pub fn create(create_graph: bool) -> Graph {
        if create_graph { Graph::Create } else { Graph::Free }
    }
}

/// The error of a pass through what an earlier one has freed.
pub fn freed(op: &str) -> Error {
    let detail = format!(
        "a backward pass has gone through {op} already and freed the graph behind it, which a second one needs; call \
         backward_retain_graph (or autograd::grad_retain_graph) for the first one, or compute the value again"
    );
    Error::Autograd { op: "backward".into(), detail, at: Default::default() }
}

/// Computes the gradient of `loss` with respect to every leaf that it depends on and adds it to what the leaves hold.
///
/// `dy` is the gradient of `loss` itself, of its shape; without it `loss` must have one element. The graph is freed unless `graph`
/// says that it is kept.
///
/// # Errors
/// [`Error::Autograd`] where `loss` has several elements and no `dy`, depends on no leaf, or its graph has been freed; errors of
/// gradient rules.
pub fn backward(loss: &Var, dy: Option<&Var>, graph: Graph) -> Result<()> {
    loss.check()?;
    if !loss.0.tracked {
        let detail =
            "the tensor depends on no leaf made with requires_grad, or was made under no_grad or detach".into();
        return Err(Error::Autograd { op: "backward".into(), detail, at: Default::default() });
    }
    // What leaves keep must not hold a graph.
    let dy = seed("backward", loss, dy)?;
    let dy = if dy.0.tracked { dy.detach() } else { dy };
    let mut leaves = Vec::new();
    let walk = Walk { keep: &|var| var.0.grad_cell.is_some(), earliest: 0, graph };
    walk.run(&[(loss.clone(), dy)], |var, grad| leaves.push((var.clone(), grad.clone())))?;
    for (leaf, grad) in leaves {
        if let Some(cell) = &leaf.0.grad_cell {
            cell.update(|old| match old {
                Some(old) => Some(with_location(leaf.0.at, || no_grad(|| old.add(&grad)))),
                None => Some(grad),
            });
        }
    }
    Ok(())
}

/// Gradients of `outputs` (weighted by `dys`, 1 where none is given) with respect to `inputs`.
///
/// # Errors
/// [`Error::Autograd`] where an output without `dy` has several elements, or an input does not take part.
pub fn grad(outputs: &[Var], inputs: &[Var], dys: &[Option<Var>], graph: Graph) -> Result<Vec<Var>> {
    let missing = |i: usize| Error::Autograd {
        op: "grad".into(),
        detail: format!("input {i} of shape {} does not take part in computing the outputs", inputs[i].shape()),
        at: Default::default(),
    };
    let found = gradients(outputs, inputs, dys, graph)?;
    found.into_iter().enumerate().map(|(i, grad)| grad.ok_or_else(|| missing(i))).collect()
}

/// [`grad`] with `None` for inputs that do not take part. Inputs that take part in pieces only have gradients of zeros.
///
/// # Errors
/// [`Error::Autograd`] where an output without `dy` has several elements, or the graph on the way has been freed.
pub fn gradients(outputs: &[Var], inputs: &[Var], dys: &[Option<Var>], graph: Graph) -> Result<Vec<Option<Var>>> {
    let mut roots = Vec::with_capacity(outputs.len());
    for (output, dy) in outputs.iter().zip(dys) {
        output.check()?;
        roots.push((output.clone(), seed("grad", output, dy.as_ref())?));
    }
    let wanted: HashSet<u64> = inputs.iter().map(|v| v.0.id).collect();
    let mut found: HashMap<u64, Var> = HashMap::new();
    let earliest = wanted.iter().min().copied().unwrap_or(u64::MAX);
    let walk = Walk { keep: &|var| wanted.contains(&var.0.id), earliest, graph };
    let nodes = walk.run(&roots, |var, grad| {
        found.insert(var.0.id, grad.clone());
    })?;
    let nodes: HashSet<u64> = nodes.iter().map(|var| var.0.id).filter(|id| wanted.contains(id)).collect();
    let zeros = |input: &Var| {
        let takes_part = nodes.contains(&input.0.id) && input.dtype().is_float();
        takes_part.then(|| no_grad(|| input.zeros()))
    };
    Ok(inputs.iter().map(|input| found.get(&input.0.id).cloned().or_else(|| zeros(input))).collect())
}

/// The gradient that a walk starts from.
fn seed(op: &str, output: &Var, dy: Option<&Var>) -> Result<Var> {
    match dy {
        Some(dy) => {
            dy.check()?;
            if dy.shape() != output.shape() {
                let detail = "the given gradient has another shape than the tensor";
                return Err(Error::shape(op, detail, &[dy.shape(), output.shape()]));
            }
            if dy.dtype() != output.dtype() {
                let detail = "the given gradient has another dtype than the tensor";
                return Err(Error::dtype(op, detail, &[dy.dtype(), output.dtype()]));
            }
            if !std::sync::Arc::ptr_eq(&dy.0.context, &output.0.context) {
                let devices = vec![output.0.context.device.clone(), dy.0.context.device.clone()];
                return Err(Error::DeviceMismatch { op: op.into(), devices, at: Default::default() });
            }
            Ok(dy.clone())
        }
        None if output.meta().numel() == 1 => Ok(no_grad(|| output.scalar_like(1.0).expand(output.shape()))),
        None => Err(Error::Autograd {
            op: op.into(),
            detail: format!(
                "a tensor of shape {} is no scalar; reduce it with sum() or mean(), or give its gradient",
                output.shape()
            ),
            at: Default::default(),
        }),
    }
}

/// One reverse walk.
struct Walk<'a> {
    /// Nodes whose gradient is wanted.
    keep: &'a dyn Fn(&Var) -> bool,
    /// The lowest id that a wanted node may have.
    earliest: u64,
    /// What becomes of the graph.
    graph: Graph,
}

impl Walk<'_> {
    /// Whether the gradients are to be differentiated again.
    fn create_graph(&self) -> bool {
        self.graph == Graph::Create
    }

    /// Nothing leads on from a node that an earlier pass has freed. Wanted nodes may lie behind it: those have lower ids.
    fn refuse_freed(&self, nodes: &[Var]) -> Result<()> {
        let ends = |var: &&Var| var.0.tracked && var.0.is_freed() && var.0.id > self.earliest;
        let Some(var) = nodes.iter().rfind(ends) else { return Ok(()) };
        Err(freed(var.0.op.name()).or_at(var.0.at))
    }

    /// A captured step cannot go backward through a graph that it did not make: at later runs there is none.
    fn refuse_outside(&self, nodes: &[Var]) -> Result<()> {
        let outside =
            |var: &&Var| var.0.tracked && var.0.grad_cell.is_none() && !(self.keep)(var) && recording::predates(var);
        let Some(var) = nodes.iter().find(outside) else { return Ok(()) };
        let detail = format!(
            "a captured step cannot go backward through a graph made outside, which leads to {}: detach it, or compute it inside",
            var.0.op.name()
        );
        let error = Error::Autograd { op: "backward".into(), detail, at: At(None) }.or_at(var.0.at);
        recording::refuse(error.clone());
        Err(error)
    }

    /// Walks from `roots` and hands each wanted node's complete gradient to `found`. Gives the nodes that it came by.
    fn run(&self, roots: &[(Var, Var)], mut found: impl FnMut(&Var, &Var)) -> Result<Vec<Var>> {
        let starts: Vec<Var> = roots.iter().map(|(v, _)| v.clone()).collect();
        // Untracked nodes stop the walk unless a gradient with respect to them is asked for.
        let nodes = order::reachable(&starts, |var| !var.0.tracked && !(self.keep)(var));
        self.refuse_outside(&nodes)?;
        self.refuse_freed(&nodes)?;
        let needed = self.needed(&nodes);
        let mut grads: HashMap<u64, Shares> = HashMap::new();
        for (output, dy) in roots {
            self.add(&mut grads, output, dy.clone());
        }
        let mut passed: Vec<&Var> = Vec::new();
        for var in nodes.iter().rev() {
            let Some(shares) = grads.remove(&var.0.id) else { continue };
            let sum = || with_location(var.0.at, || shares.sum());
            let mut dy = if self.create_graph() { sum() } else { no_grad(sum) }?;
            for hook in var.0.hooks() {
                let called = if self.create_graph() { hook(&dy) } else { no_grad(|| hook(&dy)) };
                let Some(replaced) = called else { continue };
                replaced.check()?;
                if replaced.meta() != dy.meta() {
                    let detail = "a hook returned a gradient of another shape or dtype";
                    return Err(Error::shape("hook", detail, &[replaced.shape(), dy.shape()]).or_at(var.0.at));
                }
                dy = replaced;
            }
            if (self.keep)(var) {
                found(var, &dy);
            }
            if needed.contains(&var.0.id)
                && var.0.grad_cell.is_none()
                && anomaly::in_backward(&var.0, || self.step(var, &dy, &needed, &mut grads))?
            {
                passed.push(var);
            }
        }
        if self.graph == Graph::Free {
            passed.iter().for_each(|var| var.0.free());
        }
        Ok(nodes)
    }

    /// Nodes on a path to a wanted one.
    fn needed(&self, nodes: &[Var]) -> HashSet<u64> {
        let mut needed = HashSet::new();
        for var in nodes {
            let below = || var.0.with_inputs(|inputs| inputs.iter().any(|i| needed.contains(&i.0.id)));
            if (self.keep)(var) || (var.0.grad_cell.is_none() && below()) {
                needed.insert(var.0.id);
            }
        }
        needed
    }

    /// Passes the gradient of a node on to its inputs; whether any of them needs it.
    fn step(&self, var: &Var, dy: &Var, needed: &HashSet<u64>, grads: &mut HashMap<u64, Shares>) -> Result<bool> {
        let node = &var.0;
        let inputs = node.inputs();
        let needs: Vec<bool> = inputs.iter().map(|i| needed.contains(&i.0.id)).collect();
        if !needs.contains(&true) {
            return Ok(false);
        }
        let cx = Vjp { inputs: &inputs, output: var, dy, needs: &needs, create_graph: self.create_graph() };
        let since = next_id();
        let rule = || with_location(node.at, || node.op.vjp(&cx));
        let shares = if self.create_graph() { rule() } else { no_grad(rule) }.map_err(|e| e.or_at(node.at))?;
        if shares.len() != inputs.len() {
            let detail = format!("the gradient rule gave {} gradients for {} inputs", shares.len(), inputs.len());
            return Err(Error::Autograd { op: node.op.name().into(), detail, at: At(None) }.or_at(node.at));
        }
        if !self.create_graph() {
            node.mark_differentiated();
        }
        for ((input, share), needed) in inputs.iter().zip(shares).zip(&needs) {
            if let (true, Some(share)) = (*needed, share) {
                share.check()?;
                let share = match self.create_graph() {
                    true => with_location(node.at, || flat::linked(share, since, &cx)),
                    false => share,
                };
                if share.meta() != input.meta() {
                    let detail = format!("the gradient rule gave {:?} for input {:?}", share.meta(), input.meta());
                    return Err(Error::Autograd { op: node.op.name().into(), detail, at: At(None) }.or_at(node.at));
                }
                with_location(node.at, || self.add(grads, input, share));
            }
        }
        Ok(true)
    }

    /// Branches of a fork add.
    fn add(&self, grads: &mut HashMap<u64, Shares>, var: &Var, share: Var) {
        let shares = grads.entry(var.0.id).or_default();
        match share.placed() {
            Some(placed) => shares.slices.push((share, placed)),
            None if self.create_graph() => shares.add(share),
            None => no_grad(|| shares.add(share)),
        }
    }
}

/// The shares of a node's gradient so far.
#[derive(Default)]
struct Shares {
    sum: Option<Var>,
    /// Those of slices: the share among zeros, and the share alone.
    slices: Vec<(Var, Padded)>,
}

impl Shares {
    fn add(&mut self, share: Var) {
        self.sum = Some(match self.sum.take() {
            Some(old) => old.add(&share),
            None => share,
        });
    }

    /// The whole gradient. Shares of slices that make up the whole (as those of `chunk`, or of the steps of a sequence) are
    /// put one after the other, instead of each among zeros and then added.
    fn sum(mut self) -> Result<Var> {
        match self.joined() {
            Some(joined) => self.add(joined?),
            None => std::mem::take(&mut self.slices).into_iter().for_each(|(share, _)| self.add(share)),
        }
        let missing = || Error::internal("backward", "a gradient has no shares");
        self.sum.ok_or_else(missing)
    }

    fn joined(&self) -> Option<Result<Var>> {
        let mut slices: Vec<&Padded> = self.slices.iter().map(|(_, placed)| placed).collect();
        slices.sort_by_key(|placed| (placed.dim, placed.start));
        let (first, last) = (slices.first()?, slices.last()?);
        let follows = |pair: &[&Padded]| pair[1].dim == pair[0].dim && pair[1].start == pair[0].end();
        let whole = first.start == 0 && last.end() == last.size && slices.windows(2).all(follows);
        (slices.len() > 1 && whole)
            .then(|| Var::cat(&slices.iter().map(|placed| &placed.part).collect::<Vec<_>>(), first.dim))
    }
}
