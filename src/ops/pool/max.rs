//! The largest element of each window: values, places, and the two linear ops that pick elements at places and put them
//! back.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Word, Write};
use crate::graph::{Meta, Op, Var, Vjp, no_grad};
use crate::ops::routine::{self, expect_float};
use crate::ops::window::{Geometry, WindowKind, sum_stages, sum_texts, window_texts};

/// The largest element of each window, or its place in the plane (u32).
#[derive(Clone, Copy, Hash)]
struct Largest {
    name: &'static str,
    geometry: Geometry,
    index: bool,
}

/// The gradient of [`Largest`] from its input and the upstream gradient, for windows that do not overlap.
#[derive(Clone, Copy, Hash)]
struct LargestBackward {
    name: &'static str,
    geometry: Geometry,
}

/// The elements at the places that [`Largest`] found.
#[derive(Clone, Copy, Hash)]
struct Pick {
    name: &'static str,
    geometry: Geometry,
}

/// The transpose of [`Pick`]: sums at each place what was picked from it.
#[derive(Clone, Copy, Hash)]
struct Spread {
    name: &'static str,
    geometry: Geometry,
}

/// Taps of a window and positions from one window to the next that one invocation walks through at most.
const LONGEST_CELL: usize = 16_384;

/// Windows that an invocation has beside each other, while it walks down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// Two, in one load a row.
    Pairs,
    Singles,
}

/// What the kernels that walk take.
struct Walks {
    /// Invocations.
    total: usize,
    params: Vec<(&'static str, Word)>,
    consts: Vec<(&'static str, u32)>,
}

impl Geometry {
    /// Steps from window to window, where windows do not overlap, start at the first position and are short enough to be searched
    /// by one invocation.
    fn apart(&self) -> Option<[usize; 3]> {
        let WindowKind::Sliding { kernel, stride, padding, dilation, .. } = self.kind else { return None };
        let apart = (0..3).all(|a| stride[a] > (kernel[a] - 1) * dilation[a]);
        let cell = (0..3).map(|a| stride[a].min(self.input[a])).fold(1, usize::saturating_mul);
        (apart && padding == [0; 3] && cell <= LONGEST_CELL).then_some(stride)
    }

    /// Whether windows are two neighbours wide and two apart, in rows of whole quads.
    fn pairs(&self) -> bool {
        let WindowKind::Sliding { kernel, stride, dilation, .. } = self.kind else { return false };
        self.apart().is_some()
            && (kernel[2], stride[2], dilation[2]) == (2, 2, 1)
            && self.input[2].is_multiple_of(4)
            && self.is_inside()
    }

    /// How many cells, each worked on by one invocation, all planes have together, and the parameters of the kernels that walk over
    /// `cells` in each plane.
    fn cells(&self, op: &str, cells: [usize; 3], planes: usize) -> Result<(usize, Vec<(&'static str, Word)>)> {
        let total = planes * cells.iter().product::<usize>();
        let mut params = self.params(op, total, (0, LONGEST_CELL))?;
        for (name, cells) in ["cells_d", "cells_h", "cells_w"].into_iter().zip(cells) {
            params.push((name, routine::size(op, cells)?));
        }
        Ok((total, params))
    }

    /// How windows can be walked, if they lie in the input and have few elements.
    fn walk(&self) -> Option<Walk> {
        if self.pairs() {
            Some(Walk::Pairs)
        } else if self.fixed_taps() > 0 {
            Some(Walk::Singles)
        } else {
            None
        }
    }

    /// As [`Geometry::cells`] for kernels that walk, whose invocations go down several rows of windows: as many as leave enough
    /// invocations. Those of GPUs stay with one. Also the constants of the walk.
    fn walks(&self, op: &str, walk: Walk, cells: [usize; 3], planes: usize, caps: &Caps) -> Result<Walks> {
        let [depth, rows, width] = cells;
        let WindowKind::Sliding { kernel, stride, .. } = self.kind else {
            return Err(Error::unsupported(op, "no windows"));
        };
        let all = cells.into_iter().fold(planes, usize::saturating_mul);
        let per_core = caps.policy().walks_per_core;
        let fewest = per_core.map_or(usize::MAX, |walks| caps.cores.max(1) as usize * walks);
        let product = |sizes: [usize; 3]| sizes.into_iter().fold(1, usize::saturating_mul);
        let longest = LONGEST_CELL / product(kernel).max(product(stride)).max(1);
        let iterations = (all / fewest).min(longest).clamp(1, rows.max(1));
        let (total, mut params) = self.cells(op, [depth, rows.div_ceil(iterations), width], planes)?;
        params.push(("iterations", routine::size(op, iterations)?));
        params.push(("rows", routine::size(op, rows)?));
        let mut consts = self.consts();
        consts.extend(match walk {
            Walk::Pairs => [("UNIT", 4), ("COLUMN", 1), ("WINDOWS", 2)],
            // `check` has seen that it fits.
            Walk::Singles => [("UNIT", 1), ("COLUMN", stride[2] as u32), ("WINDOWS", 1)],
        });
        Ok(Walks { total, params, consts })
    }

    fn planes(&self, x: usize) -> usize {
        x.checked_div(self.input.iter().product()).unwrap_or(0)
    }
}

impl Op for Largest {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        expect_float(self.name, *dtype)?;
        let shape = self.geometry.resize(self.name, shape, false)?;
        Ok(Meta::new(shape, if self.index { DType::U32 } else { *dtype }))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let x = inputs[0].to_f64();
        let ins: usize = self.geometry.input.iter().product();
        let windows = self.geometry.windows();
        let mut found = Vec::with_capacity(output.numel());
        for n in 0..self.geometry.planes(x.len()) {
            for window in &windows {
                let mut best = window[0].0;
                for &(p, _) in window {
                    let (new, old) = (x[n * ins + p], x[n * ins + best]);
                    if new.is_nan() || new > old {
                        best = p;
                    }
                }
                found.push(if self.index { best as f64 } else { x[n * ins + best] });
            }
        }
        Ok(Array::from_vec(&output.shape, found).cast(output.dtype))
    }

    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        let numbers = inputs.iter().map(|input| input.numel()).sum::<usize>() + output.numel();
        self.geometry.windows_bytes().saturating_add(16 * numbers as u64)
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let Largest { name, geometry, .. } = *self;
        let expressions = cx.create_graph || cx.output.0.context.traits.prefers_expressions;
        if !expressions && geometry.apart().is_some() {
            return Ok(vec![Some(Var::apply(LargestBackward { name, geometry }, &[&cx.inputs[0], cx.dy]))]);
        }
        let index = Var::apply(Largest { index: true, ..*self }, &[&cx.inputs[0]]);
        Ok(vec![Some(Var::apply(Spread { name, geometry }, &[cx.dy, &index]))])
    }

    fn differentiable(&self) -> bool {
        !self.index
    }
}

impl Op for LargestBackward {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, dy) = (inputs[0], inputs[1]);
        match self.geometry.resize(self.name, &x.shape, false)? == dy.shape {
            true => Ok(x.clone()),
            false => {
                Err(Error::shape(self.name, "the gradient must have one element a window", &[&x.shape, &dy.shape]))
            }
        }
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let LargestBackward { name, geometry } = *self;
        let index = Meta::new(geometry.resize(name, &output.shape, false)?, DType::U32);
        let index = Largest { name, geometry, index: true }.reference(&inputs[..1], &index)?;
        Spread { name, geometry }.reference(&[inputs[1], &index], output)
    }

    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        let numbers = inputs.iter().map(|input| input.numel()).sum::<usize>() + output.numel();
        self.geometry.windows_bytes().saturating_add(16 * numbers as u64)
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Op for Pick {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        let shape = self.geometry.resize(self.name, &x.shape, false)?;
        expect_index(self.name, index, &shape, x)?;
        Ok(Meta::new(shape, x.dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (x, index) = (inputs[0].to_f64(), inputs[1].to_f64());
        let (ins, outs): (usize, usize) = (self.geometry.input.iter().product(), self.geometry.output.iter().product());
        let picked = index.iter().enumerate().map(|(i, &p)| x[i / outs * ins + p as usize]).collect();
        Ok(Array::from_vec(&output.shape, picked).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let Pick { name, geometry } = *self;
        Ok(vec![Some(Var::apply(Spread { name, geometry }, &[cx.dy, &cx.inputs[1]])), None])
    }
}

impl Op for Spread {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        expect_index(self.name, index, &x.shape, x)?;
        Ok(Meta::new(self.geometry.resize(self.name, &x.shape, true)?, x.dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (x, index) = (inputs[0].to_f64(), inputs[1].to_f64());
        let (ins, outs): (usize, usize) = (self.geometry.input.iter().product(), self.geometry.output.iter().product());
        let mut sums = vec![0.0; output.numel()];
        for (i, (value, p)) in x.iter().zip(index).enumerate() {
            sums[i / outs * ins + p as usize] += value;
        }
        Ok(Array::from_vec(&output.shape, sums).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let Spread { name, geometry } = *self;
        Ok(vec![Some(Var::apply(Pick { name, geometry }, &[cx.dy, &cx.inputs[1]])), None])
    }
}

fn expect_index(op: &str, index: &Meta, shape: &crate::shape::Shape, x: &Meta) -> Result<()> {
    match index.dtype == DType::U32 && index.shape == *shape {
        true => Ok(()),
        false => Err(Error::shape(op, "places must be u32, one for each window", &[&x.shape, &index.shape])),
    }
}

/// Reads x by elements, or by quads.
fn read_x(quads: bool) -> Read {
    let access = if quads { Access::LogicalVec4 } else { Access::Logical };
    Read { access, ..routine::read("x", 0) }
}

impl Largest {
    fn walking(&self, walk: Walk, output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let geometry = &self.geometry;
        let [d, h, w] = geometry.output;
        let planes = output.meta.numel() / (d * h * w).max(1);
        let width = if walk == Walk::Pairs { w / 2 } else { w };
        let Walks { total, params, consts } = geometry.walks(self.name, walk, [d, h, width], planes, caps)?;
        Ok(vec![Stage {
            name: self.name,
            source: match walk {
                Walk::Pairs => {
                    window_texts!(@text "pool/sliding", "pool/found", "pool/walk", "pool/pairs", "pool/pairs_forward", "pool/walk_forward")
                }
                Walk::Singles => {
                    window_texts!(@text "pool/sliding", "pool/found", "pool/walk", "pool/singles", "pool/singles_forward", "pool/walk_forward")
                }
            },
            reads: vec![read_x(walk == Walk::Pairs)],
            writes: vec![routine::output()],
            consts,
            params,
            checks_indices: false,
            workgroups: routine::grid(total),
        }])
    }
}

impl Routine for Largest {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let (geometry, kind) = (&self.geometry, self.geometry.kind);
        if let Some(walk) = geometry.walk().filter(|_| !self.index) {
            return self.walking(walk, output, caps);
        }
        macro_rules! text {
            ($begin:literal, $finish:literal) => {
                window_texts!(kind, $begin, $finish, "pool/found", "pool/search", "pool/largest")
            };
        }
        let total = output.meta.numel();
        let buffer = |k: usize| BufferSlot::Scratch(k % 2);
        let stage = |(k, (first, last, start, end)): (usize, (bool, bool, usize, usize))| {
            let mut reads = vec![routine::read("x", 0)];
            if !first {
                reads.push(Read { name: "places", slot: buffer(k + 1), access: Access::Raw });
            }
            let places = Write { name: "places", slot: buffer(k), vec4: false, scratch: Some((total, DType::U32)) };
            Ok(Stage {
                name: self.name,
                source: match (first, last, self.index) {
                    (true, true, false) => text!("pool/begin_nowhere", "pool/finish_value"),
                    (true, true, true) => text!("pool/begin_nowhere", "pool/finish_index"),
                    (true, false, _) => text!("pool/begin_nowhere", "pool/finish_place"),
                    (false, true, false) => text!("pool/begin_place", "pool/finish_value"),
                    (false, true, true) => text!("pool/begin_place", "pool/finish_index"),
                    (false, false, _) => text!("pool/begin_place", "pool/finish_place"),
                },
                reads,
                writes: vec![if last { routine::output() } else { places }],
                consts: geometry.consts(),
                params: geometry.params(self.name, total, (start, end))?,
                checks_indices: false,
                workgroups: routine::grid(total),
            })
        };
        geometry.chunks(false).into_iter().enumerate().map(stage).collect()
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for LargestBackward {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let (geometry, input) = (&self.geometry, self.geometry.input);
        let Some(stride) = geometry.apart() else {
            return Err(Error::unsupported(self.name, "the windows overlap"));
        };
        let walk = geometry.walk();
        let pairs = walk == Some(Walk::Pairs);
        let mut cells: [usize; 3] = std::array::from_fn(|a| input[a].div_ceil(stride[a]));
        if pairs {
            cells[2] = input[2] / 4;
        }
        let planes = geometry.planes(output.meta.numel());
        let Walks { total, params, mut consts } = match walk {
            Some(walk) => geometry.walks(self.name, walk, cells, planes, caps)?,
            None => {
                let (total, params) = geometry.cells(self.name, cells, planes)?;
                Walks { total, params, consts: geometry.consts() }
            }
        };
        consts.push(("WHOLE", u32::from((0..3).all(|a| input[a].is_multiple_of(stride[a])))));
        Ok(vec![Stage {
            name: self.name,
            source: match walk {
                Some(Walk::Pairs) => {
                    window_texts!(
                        @text "pool/sliding", "pool/found", "pool/walk", "pool/pairs", "pool/pairs_backward", "pool/walk_backward"
                    )
                }
                Some(Walk::Singles) => {
                    window_texts!(
                        @text "pool/sliding", "pool/found", "pool/walk", "pool/singles", "pool/singles_backward", "pool/walk_backward"
                    )
                }
                None => window_texts!(@text "pool/sliding", "pool/found", "pool/search", "pool/largest_backward"),
            },
            reads: vec![read_x(pairs), routine::read("dy", 1)],
            writes: vec![Write { vec4: pairs, ..routine::output() }],
            consts,
            params,
            checks_indices: false,
            workgroups: routine::grid(total),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for Pick {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let (geometry, total) = (&self.geometry, output.meta.numel());
        Ok(vec![Stage {
            name: self.name,
            source: window_texts!(geometry.kind, "pool/pick"),
            reads: vec![routine::read("x", 0), routine::read("index", 1)],
            writes: vec![routine::output()],
            consts: geometry.consts(),
            params: geometry.params(self.name, total, (0, 0))?,
            checks_indices: false,
            workgroups: routine::grid(total),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for Spread {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let kind = self.geometry.kind;
        let text = |first: bool, last: bool| sum_texts!(kind, first, last, "pool/spread");
        let reads = [routine::read("x", 0), routine::read("index", 1)];
        sum_stages(self.name, &self.geometry, true, output, &reads, text)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Var {
    #[track_caller]
    pub(super) fn largest(&self, name: &'static str, geometry: Geometry) -> Var {
        Var::apply(Largest { name, geometry, index: false }, &[self])
    }

    #[track_caller]
    pub(super) fn largest_with_indices(&self, name: &'static str, geometry: Geometry) -> (Var, Var) {
        let index = no_grad(|| Var::apply(Largest { name, geometry, index: true }, &[self]));
        (Var::apply(Pick { name, geometry }, &[self, &index]), index)
    }
}
