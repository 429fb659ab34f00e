//! Cross-entropy of logits with class indices, a row at a time, fused with its gradient.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage, Wgsl, Word, Write};
use crate::graph::{Bits, IndexCheck, Meta, Op, Var, Vjp};
use crate::ops::routine::{self, largest};
use crate::ops::row_kernels::{RowPlan, rows_texts};
use crate::shape::Shape;

/// Loss of each row: `[rows, classes]` and `[rows]` to `[rows]`.
#[derive(Clone, Copy, Hash)]
pub(super) struct CrossEntropy {
    pub smoothing: Bits,
    pub ignore_index: Option<i64>,
}

/// Gradient of [`CrossEntropy`] with respect to the logits, from logits, targets and upstream gradient.
#[derive(Clone, Copy, Hash)]
struct CrossEntropyBackward(CrossEntropy);

/// Which targets are not `ignored`. The comparison is signed whatever the targets are: -100 is no u32.
pub(super) fn kept(targets: &Var, ignored: i64) -> Var {
    targets.cast(DType::I32).ne(&Var::scalar(ignored as f64, DType::I32, &targets.0.context))
}

impl CrossEntropy {
    /// The distribution that the targets stand for: `(1 - s) [k = t] + s / classes`, 0 in ignored rows.
    fn wanted(&self, targets: &Var, logits: &Var) -> Var {
        let (rows, classes) = (logits.shape()[0], logits.shape()[1]);
        let kept = self.kept(targets);
        // Ignored targets may be no class at all.
        let class = match &kept {
            Some(kept) => kept.where_(targets, &targets.scalar_like(0.0)),
            None => targets.clone(),
        };
        // Ones scattered to the classes: unlike a comparison with every class, this notices a target out of range.
        let ones = logits.scalar_like(1.0).expand(&Shape::from([rows, 1]));
        let hot = logits.scalar_like(0.0).expand(logits.shape()).scatter_add(1, &class.unsqueeze(1), &ones);
        let wanted = hot * (1.0 - self.smoothing.0) + self.smoothing.0 / classes as f64;
        match kept {
            Some(kept) => kept.unsqueeze(1).where_(&wanted, &wanted.scalar_like(0.0)),
            None => wanted,
        }
    }

    /// Which rows count, where some may not.
    pub(super) fn kept(&self, targets: &Var) -> Option<Var> {
        self.ignore_index.map(|ignored| kept(targets, ignored))
    }

    /// Softmax of each row, the wanted class (`None`: ignored), for the CPU.
    fn rows(&self, logits: &Array, targets: &Array) -> Result<Vec<(Vec<f64>, Option<usize>)>> {
        let classes = logits.shape()[1];
        let (x, t) = (logits.to_f64(), targets.to_f64());
        let row = |(r, &class): (usize, &f64)| {
            let row = x[r * classes..(r + 1) * classes].to_vec();
            let ignored = self.ignore_index.is_some_and(|i| i as f64 == class);
            if ignored {
                return Ok((row, None));
            }
            if class < 0.0 || class >= classes as f64 {
                let (index, bound) = (class as i64, classes as u64);
                return Err(Error::IndexOutOfRange {
                    op: "cross_entropy".into(),
                    index,
                    bound,
                    shape: None,
                    at: Default::default(),
                });
            }
            Ok((row, Some(class as usize)))
        };
        t.iter().enumerate().map(row).collect()
    }
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = largest(row);
    largest + row.iter().map(|v| (v - largest).exp()).sum::<f64>().ln()
}

impl Op for CrossEntropy {
    fn name(&self) -> &str {
        "cross_entropy"
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 1, bound: inputs[0].shape[1] as u64, ignored: self.ignore_index })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, t) = (inputs[0], inputs[1]);
        if !x.dtype.is_float() || !t.dtype.is_int() {
            let detail = "takes float logits and i32 or u32 class indices";
            return Err(Error::dtype("cross_entropy", detail, &[x.dtype, t.dtype]));
        }
        if x.shape.rank() != 2 || x.shape[..1] != t.shape[..] || x.shape[1] == 0 {
            let detail = "logits must be [rows, classes] and targets [rows]";
            return Err(Error::shape("cross_entropy", detail, &[&x.shape, &t.shape]));
        }
        Ok(Meta { shape: t.shape.clone(), dtype: x.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let s = self.smoothing.0;
        let loss = |(row, class): (Vec<f64>, Option<usize>)| match class {
            Some(class) => {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                log_sum_exp(&row) - (1.0 - s) * row[class] - if s == 0.0 { 0.0 } else { s * mean }
            }
            None => 0.0,
        };
        let losses: Vec<f64> = self.rows(inputs[0], inputs[1])?.into_iter().map(loss).collect();
        Ok(Array::from_vec(&output.shape, losses).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (x, t) = (&cx.inputs[0], &cx.inputs[1]);
        if !cx.create_graph {
            return Ok(vec![Some(Var::apply(CrossEntropyBackward(*self), &[x, t, cx.dy])), None]);
        }
        // Softmax less the wanted distribution; ignored rows have neither.
        let p = x.softmax(1);
        let p = match self.kept(t) {
            Some(kept) => kept.unsqueeze(1).where_(&p, &p.scalar_like(0.0)),
            None => p,
        };
        Ok(vec![Some((p - self.wanted(t, x)) * cx.dy.unsqueeze(1)), None])
    }
}

impl Op for CrossEntropyBackward {
    fn name(&self) -> &str {
        "cross_entropy_backward"
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, inputs: &[&Meta]) -> Option<IndexCheck> {
        self.0.index_check(inputs)
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let s = self.0.smoothing.0;
        let mut out = Vec::with_capacity(output.numel());
        for ((row, class), dy) in self.0.rows(inputs[0], inputs[1])?.into_iter().zip(inputs[2].to_f64()) {
            let total = log_sum_exp(&row);
            let count = row.len() as f64;
            out.extend(row.iter().enumerate().map(|(k, v)| match class {
                Some(class) => dy * ((v - total).exp() - s / count - if k == class { 1.0 - s } else { 0.0 }),
                None => 0.0,
            }));
        }
        Ok(Array::from_vec(&output.shape, out).cast(output.dtype))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

impl CrossEntropy {
    fn stage(
        &self,
        name: &'static str,
        plan: RowPlan,
        logits: &Shape,
        source: Wgsl,
        writes: Vec<Write>,
    ) -> Result<Stage> {
        let (rows, classes) = (logits[0], logits[1]);
        // An index beyond i32 names no class, so nothing is ignored then.
        let ignored = self.ignore_index.and_then(|i| i32::try_from(i).ok());
        let mut params = plan.params(name, rows)?;
        params.extend([
            ("classes", routine::size(name, classes)?),
            ("ignores", Word::U32(u32::from(ignored.is_some()))),
            ("ignore_index", Word::I32(ignored.unwrap_or(0))),
            ("smoothing", Word::F32(self.smoothing.0 as f32)),
        ]);
        Ok(Stage {
            name,
            source,
            reads: vec![plan.read("x", 0), routine::read("t", 1)],
            writes,
            consts: plan.consts(),
            params,
            checks_indices: true,
            workgroups: plan.workgroups(rows),
        })
    }
}

fn rows_of(logits: &Shape, caps: &Caps) -> RowPlan {
    RowPlan::new(caps, logits[0], logits[1], logits[1])
}

impl Routine for CrossEntropy {
    fn stages(&self, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let logits = &inputs[0].meta.shape;
        let plan = rows_of(logits, caps);
        let text = plan.text(rows_texts!("cross_entropy/statistics", "cross_entropy/forward"));
        let mut stage = self.stage("cross_entropy", plan, logits, text, vec![routine::output()])?;
        stage.reads.push(routine::read("logit", 0));
        Ok(vec![stage])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn loads(&self, input: usize, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Option<usize> {
        rows_of(&inputs[0].meta.shape, caps).loads().filter(|_| input == 0)
    }
}

impl Routine for CrossEntropyBackward {
    fn stages(&self, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let logits = &inputs[0].meta.shape;
        let plan = rows_of(logits, caps);
        let text = plan.text(rows_texts!("cross_entropy/statistics", "cross_entropy/backward"));
        let mut stage = self.0.stage("cross_entropy_backward", plan, logits, text, vec![plan.output()])?;
        // Targets are checked here too: a loss that nobody reads is never computed.
        stage.reads.push(routine::read("dy", 2));
        Ok(vec![stage])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn loads(&self, input: usize, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Option<usize> {
        match input {
            0 => rows_of(&inputs[0].meta.shape, caps).loads(),
            // The upstream gradient of a mean is a number: nothing has to run before for it.
            2 => Some(1),
            _ => None,
        }
    }
}
