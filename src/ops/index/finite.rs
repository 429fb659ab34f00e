//! A value that has to be finite, or what else an op needs: what is not is found where it is computed, and reported as an index out of range is.

use crate::array::Array;
use crate::caps::Caps;
use crate::error::{Error, Expected, NOT_FINITE, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::{Meta, Op, Var};
use crate::ops::routine::{self, WORKGROUP, wgsl};

/// The input, where all of it is finite, or for what else is expected where none of it is NaN.
#[derive(Clone, Copy, Hash)]
struct Finite {
    /// What the user called.
    name: &'static str,
    /// What is reported where it is not.
    expected: Expected,
}

impl Finite {
    fn no_infinity(&self) -> bool {
        self.expected == Expected::Norm
    }
}

impl Op for Finite {
    fn name(&self) -> &str {
        self.name
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        routine::expect_float(self.name, inputs[0].dtype)?;
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], _output: &Meta) -> Result<Array> {
        match inputs[0].to_f64().into_iter().find(|x| x.is_nan() || (self.no_infinity() && x.is_infinite())) {
            Some(x) => Err(Error::unexpected(self.name, self.expected, x.is_nan())),
            None => Ok(inputs[0].clone()),
        }
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl Routine for Finite {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let total = output.meta.numel();
        Ok(vec![Stage {
            name: self.name,
            source: wgsl!("index/finite"),
            reads: vec![routine::read("x", 0)],
            writes: vec![routine::output()],
            consts: vec![
                ("WORKGROUP", WORKGROUP),
                ("NOT_FINITE", NOT_FINITE),
                ("EXPECTED", self.expected as u32),
                ("NO_INFINITY", u32::from(self.no_infinity())),
            ],
            params: vec![("total", routine::size(self.name, total)?)],
            checks_indices: true,
            workgroups: routine::grid(total),
        }])
    }
}

impl Var {
    /// This value, outside the graph of gradients. Where an element is NaN or infinite, reads of it, and of what is computed from it, return
    /// [`Error::NonFinite`], and nothing that depends on it is assigned.
    #[track_caller]
    pub(crate) fn expect_finite(&self, name: &'static str) -> Var {
        Var::apply(Finite { name, expected: Expected::Norm }, &[self])
    }

    /// This value, outside the graph of gradients, where `holds`, which broadcasts to it, does so everywhere; else an error that says what was
    /// expected, as [`Var::expect_finite`].
    #[track_caller]
    pub(crate) fn expect(&self, name: &'static str, expected: Expected, holds: &Var) -> Var {
        let marked = holds.where_(self, &self.scalar_like(f64::NAN)).expand(self.shape());
        Var::apply(Finite { name, expected }, &[&marked])
    }
}
