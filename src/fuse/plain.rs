//! Ops whose fast kernels are wrong on the adapter run by their plainest ones.

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::{Operand, Routine, Stage};

/// The routine of the op of this name: where [`Caps::plain`] has it, its plainest form, by the plainest kernels.
pub fn routine(op: &str, routine: Box<dyn Routine>, caps: &Caps) -> Box<dyn Routine> {
    if !caps.is_plain(op) {
        return routine;
    }
    let plainest = caps.plainest();
    match routine.baseline() {
        Some(baseline) => Box::new(Plain { routine: baseline, caps: plainest }),
        None => Box::new(Plain { routine, caps: plainest }),
    }
}

/// A routine by the kernels of other capabilities than the device's.
struct Plain {
    routine: Box<dyn Routine>,
    caps: Caps,
}

impl Routine for Plain {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        self.routine.stages(inputs, output, &self.caps)
    }

    fn fuses_epilogue(&self) -> bool {
        self.routine.fuses_epilogue()
    }

    fn stores_at_many_places(&self) -> bool {
        self.routine.stores_at_many_places()
    }

    fn is_trusted(&self) -> bool {
        self.routine.is_trusted()
    }

    fn awaits_checks(&self) -> bool {
        self.routine.awaits_checks()
    }

    fn loads(&self, input: usize, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Option<usize> {
        self.routine.loads(input, inputs, output, &self.caps)
    }

    fn flops(&self, stage: &Stage, inputs: &[Operand], output: &Operand) -> Option<u64> {
        self.routine.flops(stage, inputs, output)
    }
}
