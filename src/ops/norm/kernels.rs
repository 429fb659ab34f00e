//! Which kernels normalise rows, and how many rows the invocations that share one take.

use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Operand, Read, Routine, Stage, Wgsl, Word, Write};
use crate::ops::norm::{Normalize, NormalizeBackward, Parameters, ParametersBackward, Rows, Statistic};
use crate::ops::routine::{self, WORKGROUP, wgsl};
use crate::ops::row_kernels::{RowPlan, rows_texts};
use crate::shape::Shape;

/// Statistics of the rows, and sums over chunks of rows.
const STATISTICS: BufferSlot = BufferSlot::Scratch(0);
const SUMS: BufferSlot = BufferSlot::Scratch(1);
/// Rows that an invocation walks down at most where rows are not held: as many pages as a TLB likes.
const LONGEST_COLUMN: usize = 128;

impl Normalize {
    fn rows_of(&self, shape: &Shape) -> (Rows, usize) {
        let rows = Rows::new(shape, &self.rows);
        let size = rows.size();
        (rows, size)
    }

    fn plan(&self, shape: &Shape, caps: &Caps) -> RowPlan {
        let (rows, size) = self.rows_of(shape);
        RowPlan::new(caps, rows.rows, size, rows.inner)
    }

    /// A stage over rows of `shape`, `chunk` of them for each group of invocations that share a row.
    fn stage(&self, shape: &Shape, caps: &Caps, source: Wgsl, chunk: usize) -> Result<Stage> {
        let (rows, size) = self.rows_of(shape);
        let plan = self.plan(shape, caps);
        let chunks = rows.rows.div_ceil(chunk);
        let mut consts = plan.consts();
        consts.push(("RMS", u32::from(self.statistic == Statistic::Rms)));
        consts.push(("WHOLE", u32::from(rows.outer == 1)));
        let mut params = plan.params(self.name, if rows.outer == 1 { chunks } else { rows.rows })?;
        params.push(("all_rows", routine::size(self.name, rows.rows)?));
        params.push(("chunk", routine::size(self.name, chunk)?));
        params.push(("inner", routine::size(self.name, plan.parts(rows.inner))?));
        params.push(("size", routine::size(self.name, size)?));
        params.push(("eps", Word::F32(self.eps.0 as f32)));
        Ok(Stage {
            name: self.name,
            source,
            reads: Vec::new(),
            writes: vec![plan.output()],
            consts,
            params,
            checks_indices: false,
            workgroups: if size == 0 { 0 } else { plan.workgroups(chunks) },
        })
    }

    /// Rows for each group of invocations of the kernels that load parameters once for all of them.
    fn chunk(&self, shape: &Shape, caps: &Caps) -> usize {
        match self.parameters {
            Parameters::None => 1,
            Parameters::Weight | Parameters::Both => self.plan(shape, caps).rows_together(self.rows_of(shape).0.rows),
        }
    }
}

impl Routine for Normalize {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let shape = &output.meta.shape;
        let plan = self.plan(shape, caps);
        let texts = match self.parameters {
            Parameters::None => rows_texts!("norm/statistics", "norm/parameters_none", "norm/forward"),
            Parameters::Weight => rows_texts!("norm/statistics", "norm/parameters_weight", "norm/forward"),
            Parameters::Both => rows_texts!("norm/statistics", "norm/parameters_both", "norm/forward"),
        };
        let mut stage = self.stage(shape, caps, plan.text(texts), self.chunk(shape, caps))?;
        let inputs = match self.parameters {
            Parameters::None => &["x"][..],
            Parameters::Weight => &["x", "weight"],
            Parameters::Both => &["x", "weight", "bias"],
        };
        stage.reads = inputs.iter().enumerate().map(|(i, input)| plan.read(input, i)).collect();
        Ok(vec![stage])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for NormalizeBackward {
    fn stages(&self, _inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let shape = &output.meta.shape;
        let plan = self.0.plan(shape, caps);
        let (texts, inputs) = match self.0.parameters {
            Parameters::None => {
                (rows_texts!("norm/statistics", "norm/parameters_none", "norm/backward"), &["x", "dy"][..])
            }
            Parameters::Weight | Parameters::Both => {
                (rows_texts!("norm/statistics", "norm/parameters_weight", "norm/backward"), &["x", "dy", "weight"][..])
            }
        };
        let mut stage = self.0.stage(shape, caps, plan.text(texts), self.0.chunk(shape, caps))?;
        stage.reads = inputs.iter().enumerate().map(|(i, input)| plan.read(input, i)).collect();
        Ok(vec![stage])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl ParametersBackward {
    /// Where chunks are summed: in the output, or in scratch that a last stage adds up.
    fn write(&self, plan: &RowPlan, elements: usize, chunks: usize) -> Write {
        let sums = Write {
            name: "sums",
            slot: SUMS,
            vec4: plan.has_quads(),
            scratch: Some((chunks.saturating_mul(elements), DType::F32)),
        };
        if chunks == 1 { plan.output() } else { sums }
    }
}

impl Routine for ParametersBackward {
    fn stages(&self, inputs: &[Operand], output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let (norm, shape, elements) = (&self.0, &inputs[0].meta.shape, output.meta.numel());
        let plan = norm.plan(shape, caps);
        let rows = norm.rows_of(shape).0.rows;
        let reads = vec![plan.read("x", 0), plan.read("dy", 1)];
        let mut stages = Vec::new();
        let chunks = if let Some(chunk) = plan.rows_summed(rows) {
            let chunks = rows.div_ceil(chunk).max(1);
            let texts = match chunks {
                1 => rows_texts!("norm/statistics", "sums/finish_part_output", "norm/parameters_backward"),
                _ => rows_texts!("norm/statistics", "sums/finish_part_sum", "norm/parameters_backward"),
            };
            // Without rows one group still stores the empty sums.
            let mut stage = norm.stage(shape, caps, plan.text(texts), chunk)?;
            stage.params.retain(|(name, _)| *name != "rows");
            stage.params.push(("rows", routine::size(norm.name, chunks)?));
            stage.workgroups = if elements == 0 { 0 } else { plan.workgroups(chunks) };
            stage.reads = reads;
            stage.writes = vec![self.write(&plan, elements, chunks)];
            stages.push(stage);
            chunks
        } else {
            let chunks = rows.div_ceil(LONGEST_COLUMN).max(1);
            let texts = rows_texts!("norm/statistics", "norm/row_statistics");
            let mut statistics = norm.stage(shape, caps, plan.text(texts), 1)?;
            statistics.reads = vec![plan.read("x", 0)];
            statistics.writes = vec![Write {
                name: "rows",
                slot: STATISTICS,
                vec4: true,
                scratch: Some((rows.max(1) * 4, DType::F32)),
            }];
            stages.push(statistics);
            let source = match (plan.has_quads(), chunks) {
                (false, 1) => wgsl!("rows/scalars", "sums/finish_part_output", "norm/parameters_columns"),
                (false, _) => wgsl!("rows/scalars", "sums/finish_part_sum", "norm/parameters_columns"),
                (true, 1) => wgsl!("rows/quads", "sums/finish_part_output", "norm/parameters_columns"),
                (true, _) => wgsl!("rows/quads", "sums/finish_part_sum", "norm/parameters_columns"),
            };
            let parts = plan.parts(elements / 2);
            let mut reads = reads;
            reads.push(Read { name: "rows", slot: STATISTICS, access: Access::RawVec4 });
            let mut params = Vec::new();
            for (name, value) in [
                ("items", parts.saturating_mul(chunks)),
                ("parts", parts),
                ("chunk", LONGEST_COLUMN),
                ("all_rows", rows),
            ] {
                params.push((name, routine::size(norm.name, value)?));
            }
            stages.push(Stage {
                name: norm.name,
                source,
                reads,
                writes: vec![self.write(&plan, elements, chunks)],
                consts: vec![("WORKGROUP", WORKGROUP)],
                params,
                checks_indices: false,
                workgroups: routine::grid(parts * chunks),
            });
            chunks
        };
        if chunks > 1 {
            let vec4 = plan.has_quads();
            let count = plan.parts(elements);
            stages.push(Stage {
                name: norm.name,
                source: if vec4 {
                    wgsl!("matmul/partial_sum_quads", "matmul/sum")
                } else {
                    wgsl!("matmul/partial_sums", "matmul/sum")
                },
                reads: vec![Read {
                    name: "partial",
                    slot: SUMS,
                    access: if vec4 { Access::RawVec4 } else { Access::Raw },
                }],
                writes: vec![plan.output()],
                consts: vec![("WORKGROUP", WORKGROUP)],
                params: vec![
                    ("count", routine::size(norm.name, count)?),
                    ("splits", routine::size(norm.name, chunks)?),
                ],
                checks_indices: false,
                workgroups: routine::grid(count),
            });
        }
        Ok(stages)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}
