//! Convolutions and their gradients where few channels share a group, as in depthwise ones: each invocation has a column of an image, past
//! which the rows of the other operand are moved (`shaders/conv/column.wgsl`), so that what a row brings is loaded once for all taps of
//! a column of the kernel.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Stage, Wgsl, Write};
use crate::ops::conv::geometry::{Geometry, volume};
use crate::ops::conv::kernels::{MAX_ITERATIONS, MAX_SLOTS, SHORTEST, WORKGROUP, names, sizes, strides, sum_stage};
use crate::ops::conv::{Convolution, Role};
use crate::ops::per_dim::DIMS;
use crate::ops::routine::{self, wgsl};

/// From so many channels on, what is loaded for one serves others too.
const MANY_CHANNELS: usize = 4;
/// Numbers of a column.
const COLUMN: usize = 8;
/// The dim along which columns lie.
const H: usize = 1;

macro_rules! text {
    ($finish:literal, $kernel:literal) => {
        wgsl!(concat!("sums/", $finish), "conv/window", "conv/column", concat!("conv/depthwise_", $kernel))
    };
}

/// The stages, where this way suits the sizes.
///
/// # Errors
/// Where sizes do not fit 32 bits.
pub fn stages(
    op: &Convolution,
    name: &'static str,
    inputs: &[Operand],
    output: &Operand,
    caps: &Caps,
) -> Result<Option<Vec<Stage>>> {
    let (result, channels) = match op.role {
        Role::X => (op.geometry.input, op.geometry.input_channels),
        Role::W => (op.geometry.kernel, op.geometry.output_channels),
        Role::Y => (op.geometry.output, op.geometry.output_channels),
    };
    if channels / op.geometry.groups >= MANY_CHANNELS {
        return Ok(None);
    }
    // Neighbours in memory are neighbours in a workgroup, so columns lie along the height; but not where it is short.
    let turned = result[H] < COLUMN / 2 && result[H] < result[H + 1];
    let columns = Columns { op, name, g: if turned { turn(op.geometry) } else { op.geometry }, turned };
    if columns.g.dilation[H] != 1 && columns.g.kernel[H] != 1 {
        return Ok(None);
    }
    match op.role {
        Role::W => columns.weight_gradient(inputs, output, caps),
        Role::X | Role::Y => columns.product(inputs, output, caps),
    }
}

/// Height and width exchanged.
fn turn(mut g: Geometry) -> Geometry {
    for sizes in [&mut g.input, &mut g.kernel, &mut g.output, &mut g.stride, &mut g.padding, &mut g.dilation] {
        sizes.swap(H, H + 1);
    }
    g
}

struct Columns<'a> {
    op: &'a Convolution,
    name: &'static str,
    /// The sizes, height and width exchanged where columns lie along the width.
    g: Geometry,
    turned: bool,
}

impl Columns<'_> {
    /// The convolution, and its gradient with respect to the input.
    fn product(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Option<Vec<Stage>>> {
        let g = &self.g;
        let stride = g.stride[H];
        let is_forward = self.op.role == Role::Y;
        let (mut columns, terms) = match is_forward {
            true => (g.output, g.input_channels / g.groups),
            false => (g.input, g.output_channels / g.groups),
        };
        columns[H] =
            if is_forward { columns[H].div_ceil(COLUMN) } else { columns[H].div_ceil(COLUMN * stride) * stride };
        let channels = output.meta.shape[1];
        let items = g.batch * channels * volume(&columns);
        let lines = terms.saturating_mul(g.kernel[0]).saturating_mul(g.kernel[2]);
        let iterations = lines.saturating_mul(1 + COLUMN * stride.min(g.kernel[H]) + g.kernel[H]);
        // With less work than this, sums are better spread over more invocations.
        if iterations > MAX_ITERATIONS
            || items * COLUMN < caps.policy().busy && terms * volume(&g.kernel) >= 2 * SHORTEST
        {
            return Ok(None);
        }
        let source = match is_forward {
            true => text!("finish_output", "forward"),
            false => text!("finish_output", "input_gradient"),
        };
        Ok(Some(vec![self.stage(source, items, 1, inputs, output)?]))
    }

    fn weight_gradient(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Option<Vec<Stage>>> {
        let g = &self.g;
        let filters = output.meta.numel() / g.kernel[H] * g.kernel[H].div_ceil(COLUMN);
        let columns = g.batch * g.output[0] * g.output[2];
        let iterations = COLUMN + g.output[H].saturating_mul(1 + g.stride[H]);
        let fit = (caps.max_binding.min(caps.max_buffer) / 4) as usize / output.meta.numel();
        let longest = MAX_ITERATIONS / iterations;
        if g.stride[H] > COLUMN || longest == 0 {
            return Ok(None);
        }
        let by_work = (caps.policy().busy / filters).min(columns * g.output[H] / SHORTEST).min(columns);
        let slots = columns.div_ceil(longest).max(by_work.min(fit).min(MAX_SLOTS)).max(1);
        if slots > fit.min(MAX_SLOTS) {
            return Ok(None);
        }
        if slots == 1 {
            let source = text!("finish_output", "weight_gradient");
            return Ok(Some(vec![self.stage(source, filters, 1, inputs, output)?]));
        }
        let total = output.meta.numel();
        let sums = BufferSlot::Scratch(0);
        let partial = Write { name: "sums", slot: sums, vec4: false, scratch: Some((slots * total, DType::F32)) };
        let mut walk =
            self.stage(text!("finish_sum", "weight_gradient"), filters.saturating_mul(slots), slots, inputs, output)?;
        walk.writes = vec![partial];
        Ok(Some(vec![walk, sum_stage(self.name, sums, total, slots)?]))
    }

    fn stage(&self, source: Wgsl, items: usize, slots: usize, inputs: &[Operand], output: &Operand) -> Result<Stage> {
        let g = &self.g;
        let total = output.meta.numel();
        routine::size(self.name, slots.saturating_mul(total))?;
        let columns = g.batch * g.output[0] * g.output[2];
        routine::size(self.name, columns.saturating_add(slots))?;
        let mut params = sizes(g)?;
        for (name, size) in [("items", items), ("total", total), ("slots", slots), ("columns", columns)] {
            params.push((name, routine::size(self.name, size)?));
        }
        let result = &output.meta.shape[2..];
        let width = result[result.len() - 1];
        let height = if result.len() > 1 { result[result.len() - 2] } else { 1 };
        let mut steps = [height * width, width, 1];
        let mut names = names(self.op.role);
        if self.turned {
            steps.swap(H, H + 1);
            names.iter_mut().for_each(|(_, names)| names.swap(3 + H, 4 + H));
        }
        for (name, step) in ["result_d", "result_h", "result_w"].into_iter().zip(steps) {
            params.push((name, routine::size(self.name, step)?));
        }
        for (operand, (_, names)) in inputs.iter().zip(&names) {
            params.extend(strides(*names, operand));
        }
        let reads = names.iter().enumerate();
        Ok(Stage {
            name: self.name,
            source,
            reads: reads.map(|(i, (name, _))| Read { name, slot: BufferSlot::Input(i), access: Access::Raw }).collect(),
            writes: vec![routine::output()],
            consts: vec![
                ("WORKGROUP", WORKGROUP),
                ("STRIDE_D", g.stride[0] as u32),
                ("STRIDE_H", g.stride[H] as u32),
                ("STRIDE_W", g.stride[DIMS - 1] as u32),
            ],
            params,
            checks_indices: false,
            workgroups: (items as u64).div_ceil(u64::from(WORKGROUP)),
        })
    }
}
