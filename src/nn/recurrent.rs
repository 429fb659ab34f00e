//! Recurrent layers, batch first.
//!
//! One product maps the inputs of all steps up front; a step is then one product with the state, and few elementwise kernels
//! for all gates.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::nn::module::enter;
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Mode, Parameters, init};
use crate::shape::Shape;
use crate::site;
use crate::tensor::Tensor;

/// Options of recurrent layers; the default is one layer in one direction, with biases, without dropout.
///
/// ```
/// use wgrad::nn::Recurrent;
/// let options = Recurrent { layers: 2, bidirectional: true, ..Recurrent::default() };
/// assert!(options.bias && options.dropout == 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// Layers on top of each other.
    pub layers: usize,
    /// Whether each layer also runs from the end to the start; both results are put side by side.
    pub bidirectional: bool,
    /// Whether there are biases.
    pub bias: bool,
    /// Probability with which, in training, an output of a layer becomes 0 on its way to the next.
    pub dropout: f32,
}

impl Default for Recurrent {
    fn default() -> Recurrent {
        Recurrent { layers: 1, bidirectional: false, bias: true, dropout: 0.0 }
    }
}

impl Recurrent {
    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

/// The parameters of one direction of one layer. With `g` gates: 1 for [`Rnn`], 3 for [`Gru`], 4 for [`Lstm`].
///
/// ```
/// use wgrad::nn::Lstm;
/// use wgrad::Device;
/// let lstm = Lstm::new(3, 5, &Device::cpu());
/// let direction = &lstm.parts()[0];
/// assert_eq!(direction.weight_ih.shape(), [4 * 5, 3]);
/// assert_eq!(direction.weight_hh.shape(), [4 * 5, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct Direction {
    /// `[g · hidden, inputs]`.
    pub weight_ih: Tensor,
    /// `[g · hidden, hidden]`.
    pub weight_hh: Tensor,
    /// `[g · hidden]`, if any.
    pub bias_ih: Option<Tensor>,
    /// `[g · hidden]`, if any.
    pub bias_hh: Option<Tensor>,
}

/// What the three kinds share: parameters, and the way of a sequence through layers and directions.
#[derive(Clone, Debug)]
struct Core {
    name: &'static str,
    inputs: usize,
    hidden: usize,
    options: Recurrent,
    /// By layer, then direction.
    parts: Vec<Direction>,
    mode: Mode,
}

impl Core {
    #[track_caller]
    fn new(
        name: &'static str,
        gates: usize,
        inputs: usize,
        hidden: usize,
        options: Recurrent,
        device: &Device,
    ) -> Core {
        let _from = site::from(Location::caller());
        let rows = gates * hidden;
        let mut parts = Vec::new();
        for layer in 0..options.layers {
            for _ in 0..options.directions() {
                let width = if layer == 0 { inputs } else { hidden * options.directions() };
                let draw = |shape: &[usize]| init::by_fan(shape, hidden, device);
                parts.push(Direction {
                    weight_ih: draw(&[rows, width]),
                    weight_hh: draw(&[rows, hidden]),
                    bias_ih: options.bias.then(|| draw(&[rows])),
                    bias_hh: options.bias.then(|| draw(&[rows])),
                });
            }
        }
        Core { name, inputs, hidden, options, parts, mode: Mode::new() }
    }

    fn check(&self, x: &Tensor, states: &[&Tensor]) -> Result<()> {
        x.check()?;
        let shape = || Shape::from(x.shape());
        let &[batch, steps, width] = x.shape() else {
            let detail = format!("expects [batch, steps, {}]", self.inputs);
            return Err(Error::shape(self.name, detail, &[&shape()]));
        };
        if width != self.inputs || steps == 0 {
            let detail = format!("expects [batch, steps, {}] with at least one step", self.inputs);
            return Err(Error::shape(self.name, detail, &[&shape()]));
        }
        if self.parts.is_empty() {
            return Err(Error::argument(self.name, "there are no layers"));
        }
        let expected = [self.parts.len(), batch, self.hidden];
        for state in states {
            state.check()?;
            if state.shape() != expected {
                let detail = format!("the state must be {expected:?} (layers × directions, batch, hidden)");
                return Err(Error::shape(self.name, detail, &[&shape(), &state.shape().into()]));
            }
        }
        Ok(())
    }

    /// Runs the sequence `[batch, steps, inputs]` through all layers. `run` takes one direction's parameters, the inputs of
    /// the layer, the states `[batch, hidden]` that it begins with (none for 0), and the order of steps; it returns the
    /// outputs by step, and the last states. With `lengths`, each sequence ends at its own.
    #[track_caller]
    fn run(
        &self,
        x: &Tensor,
        states: &[&Tensor],
        kinds: usize,
        lengths: Option<&Tensor>,
        run: impl Fn(&Direction, &Tensor, Vec<Tensor>, &Order) -> (Vec<Tensor>, Vec<Tensor>),
    ) -> (Tensor, Vec<Tensor>) {
        if let Err(error) = self.check(x, states).and_then(|()| self.check_lengths(x, lengths)) {
            let failed = x.build(Location::caller(), |_| Err(error));
            return (failed.clone(), vec![failed; kinds]);
        }
        let steps = x.shape()[1];
        let reached = lengths.map(|lengths| {
            let lengths = lengths.unsqueeze(1);
            (0..steps).map(|t| lengths.gt(t as i32)).collect::<Vec<Tensor>>()
        });
        let mut sequence = x.clone();
        if let Some(reached) = &reached {
            // What stands behind a sequence may be anything, NaN too, and must not reach a gradient.
            let inside = Tensor::stack(&reached.iter().collect::<Vec<_>>(), 1);
            sequence = inside.where_(x, x.zeros_like());
        }
        let forwards = Order { steps: (0..steps).collect(), reached: reached.clone() };
        let backwards = Order { steps: (0..steps).rev().collect(), reached };
        let mut last: Vec<Vec<Tensor>> = vec![Vec::new(); kinds];
        for (layer, directions) in self.parts.chunks(self.options.directions()).enumerate() {
            if layer > 0 && self.options.dropout > 0.0 {
                sequence = sequence.dropout(self.options.dropout, self.mode.training());
            }
            let mut outputs = Vec::new();
            for (d, part) in directions.iter().enumerate() {
                let place = (layer * self.options.directions() + d) as isize;
                let start = states.iter().map(|state| state.select(0, place)).collect();
                let order = if d == 0 { &forwards } else { &backwards };
                let (by_step, end) = run(part, &sequence, start, order);
                outputs.push(Tensor::stack(&by_step.iter().collect::<Vec<_>>(), 1));
                last.iter_mut().zip(end).for_each(|(list, state)| list.push(state));
            }
            sequence = match &outputs[..] {
                [one] => one.clone(),
                both => Tensor::cat(&both.iter().collect::<Vec<_>>(), 2),
            };
        }
        let sequence = seen(self.parts.first().map(|part| &part.weight_ih), sequence);
        (sequence, last.iter().map(|list| Tensor::stack(&list.iter().collect::<Vec<_>>(), 0)).collect())
    }

    fn check_lengths(&self, x: &Tensor, lengths: Option<&Tensor>) -> Result<()> {
        let Some(lengths) = lengths else { return Ok(()) };
        lengths.check()?;
        if lengths.shape() != &x.shape()[..1] {
            let detail = "the lengths must be [batch], one a sequence";
            return Err(Error::shape(self.name, detail, &[&x.shape().into(), &lengths.shape().into()]));
        }
        if !lengths.dtype().is_int() {
            return Err(Error::dtype(self.name, "takes lengths in i32 or u32", &[lengths.dtype()]));
        }
        Ok(())
    }

    /// Calls `step` for the steps in order, which gives the new states, the first of them the output; outputs come by step. A sequence that
    /// does not reach a step keeps its states there, and its output is 0.
    fn walk(
        order: &Order,
        mut states: Vec<Tensor>,
        mut step: impl FnMut(usize, &[Tensor]) -> Vec<Tensor>,
    ) -> (Vec<Tensor>, Vec<Tensor>) {
        let mut outputs = Vec::with_capacity(order.steps.len());
        for &t in &order.steps {
            let new = step(t, &states);
            let Some(reached) = order.reached.as_ref().map(|reached| &reached[t]) else {
                outputs.extend(new.first().cloned());
                states = new;
                continue;
            };
            outputs.extend(new.first().map(|output| reached.where_(output, output.zeros_like())));
            let kept = |(i, new): (usize, Tensor)| match states.get(i) {
                Some(old) => reached.where_(&new, old),
                None => reached.where_(&new, new.zeros_like()),
            };
            states = new.into_iter().enumerate().map(kept).collect();
        }
        if order.steps.first() > order.steps.last() {
            outputs.reverse();
        }
        (outputs, states)
    }
}

/// In which order steps are taken, and which sequences reach each, as booleans `[batch, 1]`.
struct Order {
    steps: Vec<usize>,
    reached: Option<Vec<Tensor>>,
}

/// What gates see at a step: the map of the input, and of the state, which is 0 where there is none.
#[track_caller]
fn gates(from_x: &Tensor, step: usize, h: Option<&Tensor>, back: &Tensor) -> Tensor {
    let new = from_x.select(1, step as isize);
    match h {
        Some(h) => new + h.matmul(back),
        None => new,
    }
}

impl Direction {
    /// The map of all inputs, with both biases where they are only ever added.
    #[track_caller]
    fn inputs(&self, x: &Tensor) -> Tensor {
        let bias = match (&self.bias_ih, &self.bias_hh) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.clone().or(other.clone()),
        };
        x.linear(&self.weight_ih, bias.as_ref())
    }
}

/// A recurrent layer: constructors, parameters.
macro_rules! recurrent {
    ($(#[$doc:meta])* $name:ident, $gates:literal gates) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Core);

        impl $name {
            /// One layer in one direction.
            #[track_caller]
            pub fn new(inputs: usize, hidden: usize, device: &Device) -> $name {
                $name::new_with(inputs, hidden, Recurrent::default(), device)
            }

            /// With several layers, both directions, no biases or dropout between layers.
            #[track_caller]
            pub fn new_with(inputs: usize, hidden: usize, options: Recurrent, device: &Device) -> $name {
                $name(Core::new(stringify!($name), $gates, inputs, hidden, options, device))
            }

            /// The parameters by layer, then direction.
            pub fn parts(&self) -> &[Direction] {
                &self.0.parts
            }

            /// Layers, directions and the rest.
            pub fn options(&self) -> &Recurrent {
                &self.0.options
            }
        }

        impl Parameters for $name {
            fn members(&self, members: &mut Members) {
                let directions = self.0.options.directions();
                for (i, part) in self.0.parts.iter().enumerate() {
                    let suffix = if i % directions == 1 { "_reverse" } else { "" };
                    let name = |what: &str| format!("{what}_l{}{suffix}", i / directions);
                    members.add(&name("weight_ih"), &part.weight_ih);
                    members.add(&name("weight_hh"), &part.weight_hh);
                    members.add(&name("bias_ih"), &part.bias_ih);
                    members.add(&name("bias_hh"), &part.bias_hh);
                }
                members.add("mode", &self.0.mode);
            }

            fn members_mut(&mut self, members: &mut MembersMut) {
                for part in &mut self.0.parts {
                    members.add(&mut part.weight_ih);
                    members.add(&mut part.weight_hh);
                    members.add(&mut part.bias_ih);
                    members.add(&mut part.bias_hh);
                }
                members.add(&mut self.0.mode);
            }
        }
    };
}

recurrent! {
    /// A recurrent layer: `h ← tanh(W_ih x + b_ih + W_hh h + b_hh)` (Elman 1990).
    ///
    /// Parameters have PyTorch's names (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then `_l1` and so on,
    /// with `_reverse` for the way back) and begin uniform in `±1/√hidden`.
    ///
    /// ```
    /// use wgrad::nn::{Recurrent, Rnn};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = Rnn::new_with(3, 4, Recurrent { layers: 2, ..Recurrent::default() }, &device);
    /// let (sequence, state) = layer.forward_seq(&Tensor::randn([2, 5, 3], &device), None);
    /// assert_eq!((sequence.shape(), state.shape()), (&[2, 5, 4][..], &[2, 2, 4][..]));
    /// ```
    Rnn, 1 gates
}

impl Rnn {
    /// The outputs of all steps, `[batch, steps, hidden · directions]`, and the last state, `[layers · directions, batch,
    /// hidden]`, of a sequence `[batch, steps, inputs]`. Without a state it begins at 0.
    ///
    /// ```
    /// use wgrad::nn::Rnn;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Rnn::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (whole, _) = layer.forward_seq(&x, None);
    /// let (_, state) = layer.forward_seq(&x.narrow(1, 0, 4), None);
    /// let (rest, _) = layer.forward_seq(&x.narrow(1, 4, 2), Some(&state)); // goes on where the first four steps ended
    /// assert!((whole.narrow(1, 4, 2) - rest).abs().max().item::<f32>()? < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_seq(&self, x: &Tensor, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, None, state)
    }

    /// `forward_seq` of sequences of different lengths (PyTorch's packed sequences): `lengths` is `[batch]`, i32 or u32. Outputs behind the end of
    /// a sequence are 0, and its last state is the one at its end; the way back begins there. What `x` holds behind it plays no part.
    ///
    /// ```
    /// use wgrad::nn::Rnn;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Rnn::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (sequence, h) = layer.forward_lengths(&x, &Tensor::from_slice(&[6i32, 4], [2], &device), None);
    /// let (shorter, _) = layer.forward_seq(&x.narrow(0, 1, 1).narrow(1, 0, 4), None);
    /// let end = shorter.select(1, 3).select(0, 0);
    /// assert!((h.select(0, 0).select(0, 1) - end).abs().max().item::<f32>()? < 1e-6);
    /// assert_eq!(sequence.select(0, 1).narrow(0, 4, 2).abs().max().item::<f32>()?, 0.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_lengths(&self, x: &Tensor, lengths: &Tensor, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, Some(lengths), state)
    }

    #[track_caller]
    fn sequences(&self, x: &Tensor, lengths: Option<&Tensor>, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let states: Vec<&Tensor> = state.into_iter().collect();
        let (sequence, mut last) = self.0.run(x, &states, 1, lengths, |part, x, states, order| {
            let (from_x, back) = (part.inputs(x), part.weight_hh.t());
            Core::walk(order, states, |t, states| vec![gates(&from_x, t, states.first(), &back).tanh()])
        });
        (sequence, last.remove(0))
    }
}

recurrent! {
    /// Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000): with `[i, f, g, o] = W_ih x + b_ih +
    /// W_hh h + b_hh`, `c ← σ(f)·c + σ(i)·tanh(g)` and `h ← σ(o)·tanh(c)`.
    ///
    /// Parameters are named and begin as those of [`Rnn`].
    ///
    /// ```
    /// use wgrad::nn::{Lstm, Parameters, Recurrent};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = Lstm::new_with(3, 4, Recurrent { bidirectional: true, ..Recurrent::default() }, &device);
    /// let x = Tensor::randn([2, 5, 3], &device);
    /// let (sequence, (h, c)) = layer.forward_seq(&x, None);
    /// assert_eq!((sequence.shape(), h.shape()), (&[2, 5, 8][..], &[2, 2, 4][..]));
    /// let (_more, _state) = layer.forward_seq(&x, Some(&(h, c))); // goes on from there
    /// assert_eq!(layer.named_parameters()[4].0, "weight_ih_l0_reverse");
    /// ```
    Lstm, 4 gates
}

impl Lstm {
    /// The outputs of all steps, `[batch, steps, hidden · directions]`, and the last states h and c, each
    /// `[layers · directions, batch, hidden]`, of a sequence `[batch, steps, inputs]`. Without states they begin at 0.
    ///
    /// ```
    /// use wgrad::nn::Lstm;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Lstm::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (whole, _) = layer.forward_seq(&x, None);
    /// let (_, state) = layer.forward_seq(&x.narrow(1, 0, 4), None);
    /// let (rest, _) = layer.forward_seq(&x.narrow(1, 4, 2), Some(&state)); // goes on where the first four steps ended
    /// assert!((whole.narrow(1, 4, 2) - rest).abs().max().item::<f32>()? < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_seq(&self, x: &Tensor, state: Option<&(Tensor, Tensor)>) -> (Tensor, (Tensor, Tensor)) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, None, state)
    }

    /// `forward_seq` of sequences of different lengths (PyTorch's packed sequences): `lengths` is `[batch]`, i32 or u32. Outputs behind the end of
    /// a sequence are 0, and its last state is the one at its end; the way back begins there. What `x` holds behind it plays no part.
    ///
    /// ```
    /// use wgrad::nn::Lstm;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Lstm::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (sequence, (h, _c)) = layer.forward_lengths(&x, &Tensor::from_slice(&[6i32, 4], [2], &device), None);
    /// let (shorter, _) = layer.forward_seq(&x.narrow(0, 1, 1).narrow(1, 0, 4), None);
    /// let end = shorter.select(1, 3).select(0, 0);
    /// assert!((h.select(0, 0).select(0, 1) - end).abs().max().item::<f32>()? < 1e-6);
    /// assert_eq!(sequence.select(0, 1).narrow(0, 4, 2).abs().max().item::<f32>()?, 0.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_lengths(
        &self,
        x: &Tensor,
        lengths: &Tensor,
        state: Option<&(Tensor, Tensor)>,
    ) -> (Tensor, (Tensor, Tensor)) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, Some(lengths), state)
    }

    #[track_caller]
    fn sequences(
        &self,
        x: &Tensor,
        lengths: Option<&Tensor>,
        state: Option<&(Tensor, Tensor)>,
    ) -> (Tensor, (Tensor, Tensor)) {
        let states: Vec<&Tensor> = state.into_iter().flat_map(|(h, c)| [h, c]).collect();
        let hidden = self.0.hidden;
        let (sequence, last) = self.0.run(x, &states, 2, lengths, |part, x, states, order| {
            let (from_x, back) = (part.inputs(x), part.weight_hh.t());
            Core::walk(order, states, |t, states| {
                let gates = gates(&from_x, t, states.first(), &back).split(&[hidden; 4], 1);
                let new = gates[0].sigmoid() * gates[2].tanh();
                let c = match states.get(1) {
                    Some(c) => gates[1].sigmoid() * c + new,
                    None => new,
                };
                vec![gates[3].sigmoid() * c.tanh(), c]
            })
        });
        let [h, c] = <[Tensor; 2]>::try_from(last).unwrap_or_else(|_| [sequence.clone(), sequence.clone()]);
        (sequence, (h, c))
    }
}

recurrent! {
    /// Gated recurrent unit (Cho et al. 2014): with `[r, z, n] = W_ih x + b_ih` and `[r', z', n'] = W_hh h + b_hh`,
    /// `h ← z·h + (1 − z)·tanh(n + r·n')` where `r` and `z` are `σ(r + r')` and `σ(z + z')`.
    ///
    /// Parameters are named and begin as those of [`Rnn`].
    ///
    /// ```
    /// use wgrad::nn::Gru;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (sequence, state) = Gru::new(3, 4, &device).forward_seq(&Tensor::randn([2, 5, 3], &device), None);
    /// assert_eq!((sequence.shape(), state.shape()), (&[2, 5, 4][..], &[1, 2, 4][..]));
    /// ```
    Gru, 3 gates
}

impl Gru {
    /// The outputs of all steps, `[batch, steps, hidden · directions]`, and the last state, `[layers · directions, batch,
    /// hidden]`, of a sequence `[batch, steps, inputs]`. Without a state it begins at 0.
    ///
    /// ```
    /// use wgrad::nn::Gru;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Gru::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (whole, _) = layer.forward_seq(&x, None);
    /// let (_, state) = layer.forward_seq(&x.narrow(1, 0, 4), None);
    /// let (rest, _) = layer.forward_seq(&x.narrow(1, 4, 2), Some(&state)); // goes on where the first four steps ended
    /// assert!((whole.narrow(1, 4, 2) - rest).abs().max().item::<f32>()? < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_seq(&self, x: &Tensor, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, None, state)
    }

    /// `forward_seq` of sequences of different lengths (PyTorch's packed sequences): `lengths` is `[batch]`, i32 or u32. Outputs behind the end of
    /// a sequence are 0, and its last state is the one at its end; the way back begins there. What `x` holds behind it plays no part.
    ///
    /// ```
    /// use wgrad::nn::Gru;
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (layer, x) = (Gru::new(3, 4, &device), Tensor::randn([2, 6, 3], &device));
    /// let (sequence, h) = layer.forward_lengths(&x, &Tensor::from_slice(&[6i32, 4], [2], &device), None);
    /// let (shorter, _) = layer.forward_seq(&x.narrow(0, 1, 1).narrow(1, 0, 4), None);
    /// let end = shorter.select(1, 3).select(0, 0);
    /// assert!((h.select(0, 0).select(0, 1) - end).abs().max().item::<f32>()? < 1e-6);
    /// assert_eq!(sequence.select(0, 1).narrow(0, 4, 2).abs().max().item::<f32>()?, 0.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_lengths(&self, x: &Tensor, lengths: &Tensor, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let _layer = enter::<Self>(format_args!("{}→{}", self.0.inputs, self.0.hidden));
        self.sequences(x, Some(lengths), state)
    }

    #[track_caller]
    fn sequences(&self, x: &Tensor, lengths: Option<&Tensor>, state: Option<&Tensor>) -> (Tensor, Tensor) {
        let states: Vec<&Tensor> = state.into_iter().collect();
        let hidden = self.0.hidden;
        let (sequence, mut last) = self.0.run(x, &states, 1, lengths, |part, x, states, order| {
            let from_x = x.linear(&part.weight_ih, part.bias_ih.as_ref());
            Core::walk(order, states, |t, states| {
                let zeros = || Tensor::zeros([x.shape()[0], hidden], x.device()).to_dtype(x.dtype());
                let h = &states.first().cloned().unwrap_or_else(zeros);
                let (new, old) = (from_x.select(1, t as isize), h.linear(&part.weight_hh, part.bias_hh.as_ref()));
                let part = |of: &Tensor, k: usize| of.narrow(1, k * hidden, hidden);
                let gate = |k: usize| (part(&new, k) + part(&old, k)).sigmoid();
                let n = (part(&new, 2) + gate(0) * part(&old, 2)).tanh();
                vec![&n + gate(1) * (h - &n)]
            })
        });
        (sequence, last.remove(0))
    }
}
