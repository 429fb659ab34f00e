//! Products by tiles in workgroup memory, and by cooperative matrices.

use super::tiles::Tiling;
use crate::error::Result;
use crate::graph::kernel::{Access, Stage, Wgsl, Word};
use crate::ops::matmul::plan::Planner;
use crate::ops::matmul::problem::{
    COOPERATIVE_SUBGROUPS, MAX_ITERATIONS, MAX_STEPS, Reading, Side, count, cut, product,
};
use crate::ops::routine::wgsl;

impl Planner<'_> {
    pub(in crate::ops) fn tiled(mut self) -> Result<Vec<Stage>> {
        let (m, n, k, matrices) = (self.problem.m, self.problem.n, self.problem.k, self.problem.matrices());
        let Tiling { cut, mut consts, mut params, workgroups } =
            Tiling::new([m, n, k], matrices, self.caps, self.candidate)?;
        let [a, b] = [&self.a, &self.b].map(reading);
        // Whether neighbouring invocations copy neighbours along k.
        for (name, reading, side) in [("A_ALONG_K", a, &self.a), ("B_ALONG_K", b, &self.b)] {
            let along_k = reading == Reading::AlongK || reading == Reading::Elements && side.k_is_contiguous();
            consts.push((name, u32::from(along_k)));
        }
        params.push(("batch1", count(self.sizes[1])?));
        params.push(("batch2", count(self.sizes[2])?));
        params.extend(self.element_params());
        let vec4 = n.is_multiple_of(4);
        let mut write = self.write(cut, vec4)?;
        if cut.splits > 1 {
            write.name = "sums";
        }
        let access = |reading| if reading == Reading::Elements { Access::Raw } else { Access::RawVec4 };
        self.stages.push(Stage {
            name: "matmul_tiled",
            source: text(a, b, cut.splits > 1, vec4),
            reads: self.reads(access(a), access(b)),
            writes: vec![write],
            consts,
            params,
            checks_indices: false,
            workgroups,
        });
        self.sum(cut)?;
        Ok(self.stages)
    }

    pub(in crate::ops) fn cooperative(mut self) -> Result<Vec<Stage>> {
        let (m, n, k, matrices) = (self.problem.m, self.problem.n, self.problem.k, self.problem.matrices());
        let is_small = self.caps.cooperative == Some(8);
        let fragment = if is_small { 8 } else { 16 };
        let (edge, depth) = (4 * fragment, 2 * fragment);
        let lanes = self.caps.lanes().unwrap_or(32);
        let (row_tiles, column_tiles) = (m.div_ceil(edge), n.div_ceil(edge));
        let tiles = row_tiles.saturating_mul(column_tiles).saturating_mul(matrices);
        // Turns of all loops of the kernel that one step of the walk over k takes.
        let iterations = 4 + edge * depth / (COOPERATIVE_SUBGROUPS * lanes) as usize;
        let cut = cut(k, tiles, 128, 256, (MAX_ITERATIONS / iterations * depth).min(MAX_STEPS), depth);
        let tiles = product(&[row_tiles, column_tiles, matrices, cut.splits])?;
        let mut params = self.common(cut)?;
        params.push(("tiles", Word::U32(tiles)));
        params.push(("row_tiles", count(row_tiles)?));
        params.push(("column_tiles", count(column_tiles)?));
        params.extend(self.element_params());
        self.stages.push(Stage {
            name: "matmul_cooperative",
            source: match (is_small, cut.splits == 1) {
                (true, true) => wgsl!("matmul/fragment_8", "matmul/batch", "matmul/store_one", "matmul/cooperative"),
                (true, false) => wgsl!("matmul/fragment_8", "matmul/batch", "matmul/partial_one", "matmul/cooperative"),
                (false, true) => wgsl!("matmul/fragment_16", "matmul/batch", "matmul/store_one", "matmul/cooperative"),
                (false, false) => {
                    wgsl!("matmul/fragment_16", "matmul/batch", "matmul/partial_one", "matmul/cooperative")
                }
            },
            reads: self.reads(Access::Raw, Access::Raw),
            writes: vec![self.write(cut, false)?],
            consts: vec![
                ("LANES", lanes),
                ("A_ALONG_K", u32::from(self.a.k_is_contiguous())),
                ("B_ALONG_K", u32::from(self.b.k_is_contiguous())),
            ],
            params,
            checks_indices: false,
            workgroups: u64::from(tiles),
        });
        self.sum(cut)?;
        Ok(self.stages)
    }
}

/// How the kernel reads an operand. Across its contiguous dim it steps forward only.
fn reading(side: &Side) -> Reading {
    match side.reading() {
        Reading::AlongFree if side.k_stride < 0 => Reading::Elements,
        reading => reading,
    }
}

/// The text of the kernel: how it reads A and B, where it stores, and the kernel.
fn text(a: Reading, b: Reading, partial: bool, vec4: bool) -> Wgsl {
    macro_rules! with_kernel {
        ($a:literal, $b:literal, $finish:literal, $c:literal) => {
            wgsl!(
                concat!("sums/", $finish),
                "matmul/batch",
                "matmul/tile_places",
                concat!("matmul/tile_a_", $a),
                concat!("matmul/tile_b_", $b),
                concat!("matmul/", $c),
                "matmul/tiled"
            )
        };
    }
    macro_rules! with_store {
        ($a:literal, $b:literal) => {
            match (partial, vec4) {
                (false, true) => with_kernel!($a, $b, "finish_output_quads", "tile_c_quads"),
                (false, false) => with_kernel!($a, $b, "finish_output", "tile_c_each"),
                (true, true) => with_kernel!($a, $b, "finish_sum_quads", "tile_c_quads"),
                (true, false) => with_kernel!($a, $b, "finish_sum", "tile_c_each"),
            }
        };
    }
    macro_rules! with_b {
        ($a:literal) => {
            match b {
                Reading::AlongK => with_store!($a, "along_k"),
                Reading::AlongFree => with_store!($a, "along_columns"),
                Reading::Elements => with_store!($a, "elements"),
            }
        };
    }
    match a {
        Reading::AlongK => with_b!("along_k"),
        Reading::AlongFree => with_b!("along_rows"),
        Reading::Elements => with_b!("elements"),
    }
}
