//! Rotary position embedding: pairs of elements turn by an angle that grows with the position.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::host;
use crate::ops::routine::{self, WORKGROUP, expect_float, poisoned, wgsl};
use crate::shape::Shape;

/// Positions that 32-bit phases reach exactly.
const MAX_POSITIONS: usize = 1 << 16;

/// Turns each pair (i, i + half) of the last dim; inputs are x `[.., positions, 2 half]`, a table of phases `[half, 4]`, and where `offsets`
/// is set integers `[..]` that are added to the positions.
#[derive(Clone, Copy, Hash)]
struct Rope {
    /// Turns the other way round: the gradient.
    back: bool,
    offsets: bool,
}

impl Op for Rope {
    fn name(&self) -> &str {
        if self.back { "rope_backward" } else { "rope" }
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (x, table) = (inputs[0].to_f64(), inputs[1].to_f64());
        let size = output.shape[output.shape.rank() - 1];
        let (half, positions) = (size / 2, output.shape[output.shape.rank() - 2]);
        let offsets = inputs.get(2).map(|offsets| offsets.to_f64());
        let mut y = x.clone();
        for row in 0..x.len() / size.max(1) {
            for pair in 0..half {
                let words: Vec<u64> = table[pair * 4..pair * 4 + 4].iter().map(|&w| w as u64).collect();
                let (base, step) = (words[0] << 32 | words[1], words[2] << 32 | words[3]);
                let offset = offsets.as_ref().map_or(0, |offsets| offsets[row / positions] as i64);
                let phase = base.wrapping_add(step.wrapping_mul(((row % positions) as i64 + offset) as u64));
                let angle = phase as f64 / 2f64.powi(64) * std::f64::consts::TAU;
                let (sin, cos) = if self.back { (-angle).sin_cos() } else { angle.sin_cos() };
                let (a, b) = (row * size + pair, row * size + half + pair);
                y[a] = x[a] * cos - x[b] * sin;
                y[b] = x[a] * sin + x[b] * cos;
            }
        }
        Ok(Array::from_vec(&output.shape, y).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let mut inputs: Vec<&Var> = cx.inputs.iter().collect();
        inputs[0] = cx.dy;
        let mut gradients = vec![Some(Var::apply(Rope { back: !self.back, ..*self }, &inputs))];
        gradients.resize(inputs.len(), None);
        Ok(gradients)
    }
}

impl Routine for Rope {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let (shape, rank) = (&output.meta.shape, output.meta.shape.rank());
        let size = |n| routine::size("rope", n);
        let total = output.meta.numel();
        let mut reads = vec![routine::read("x", 0), routine::read("table", 1)];
        if self.offsets {
            reads.push(routine::read("offset", 2));
        }
        Ok(vec![Stage {
            name: if self.back { "rope_backward" } else { "rope" },
            source: match self.offsets {
                true => wgsl!("rope/offsets", "rope/forward"),
                false => wgsl!("rope/positions", "rope/forward"),
            },
            reads,
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP), ("SIGN_IS_MINUS", u32::from(self.back))],
            params: vec![
                ("total", size(total)?),
                ("positions", size(shape[rank - 2])?),
                ("half", size(shape[rank - 1] / 2)?),
            ],
            checks_indices: false,
            workgroups: routine::grid(total),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// How far each pair is turned at position `offset`, and how far it goes a position, as pairs of 32-bit words of 2⁻⁶⁴ iterations.
///
/// # Errors
/// Where `theta` is not a positive number.
pub fn phases(half: usize, theta: f64, offset: usize) -> Result<Array> {
    if !(theta.is_finite() && theta > 0.0) {
        return Err(Error::argument("rope", format!("theta must be positive, not {theta}")));
    }
    host::room_for("rope", Some(&Shape::from([half, 4])), (half as u64).saturating_mul(16))?;
    let mut table = Vec::with_capacity(half * 4);
    for i in 0..half {
        let iterations = theta.powf(-(i as f64) / half as f64) / std::f64::consts::TAU;
        let step = (iterations.fract() * 2f64.powi(64)) as u64;
        let base = step.wrapping_mul(offset as u64);
        table.extend([base >> 32, base, step >> 32, step].map(|w| w as u32));
    }
    Ok(Array::from_vec(&Shape::from([half, 4]), table))
}

impl Var {
    /// The size of half a row of this `[.., positions, d]`, whose last dim must be even.
    ///
    /// # Errors
    /// Where it is not, there is no dim of positions, or the type is no float.
    pub fn rope_half(&self) -> Result<usize> {
        self.check()?;
        let shape = self.shape();
        let rank = shape.rank();
        if rank < 2 || !shape[rank - 1].is_multiple_of(2) {
            return Err(Error::shape("rope", "takes [.., positions, d] with an even d", &[shape]));
        }
        expect_float("rope", self.dtype())?;
        if shape[rank - 2] > MAX_POSITIONS {
            let detail = format!("{} positions; at most {MAX_POSITIONS} at once", shape[rank - 2]);
            return Err(Error::unsupported("rope", detail));
        }
        Ok(shape[rank - 1] / 2)
    }

    /// Turns the pairs (i, i + d/2) by a table of phases.
    #[track_caller]
    pub fn rope(&self, table: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, table]) {
            return failed;
        }
        debug_assert_eq!(table.dtype(), DType::U32);
        Var::apply(Rope { back: false, offsets: false }, &[self, table])
    }

    /// [`Var::rope`] with integers that are added to the positions: one, or such that broadcast to the dims in front of `[positions, d]`.
    ///
    /// # Errors
    /// [`Error::DType`] and [`Error::Shape`] where the offsets are no integers or do not broadcast.
    #[track_caller]
    pub fn rope_from(&self, table: &Var, offsets: &Var) -> Result<Var> {
        for v in [self, table, offsets] {
            v.check()?;
        }
        debug_assert_eq!(table.dtype(), DType::U32);
        if !offsets.dtype().is_int() {
            return Err(Error::dtype("rope", "offsets must be i32 or u32", &[offsets.dtype()]));
        }
        let lead = Shape::from(&self.shape()[..self.shape().rank().saturating_sub(2)]);
        // One number may have dims of its own.
        let one = offsets.meta().numel() == 1;
        let offsets = if one { offsets.reshape(&Shape::scalar()) } else { offsets.clone() };
        if lead.broadcast("rope", offsets.shape()).ok().as_ref() != Some(&lead) {
            let detail = format!("offsets must be one integer or broadcast to {lead}, the dims in front of positions");
            return Err(Error::shape("rope", detail, &[self.shape(), offsets.shape()]));
        }
        Ok(Var::apply(Rope { back: false, offsets: true }, &[self, table, &offsets.cast(DType::I32).expand(&lead)]))
    }
}
