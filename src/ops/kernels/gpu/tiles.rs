//! How a product is cut into tiles of workgroups (`shaders/matmul/tiled.wgsl`).

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::Word;
use crate::ops::matmul::problem::{Cut, MAX_ITERATIONS, MAX_STEPS, count, cut, product};

/// Tiles from which every multiprocessor of a usual GPU has something to do.
const BUSY: usize = 96;
/// Sides up to which a product is tall or wide.
const NARROW: usize = 32;

/// A tile of C, along rows and along columns. An invocation has eight rows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Invocations.
    sides: [u32; 2],
    /// Groups of four columns that each of them has: one or two.
    column_quads: u32,
}

/// Steps of k that are in workgroup memory at a time; the kernel has as many written out.
const DEPTH: usize = 16;
/// Rows that an invocation has.
const ROWS: u32 = 8;
/// Steps from which each part of a long sum is taken for a tile of its own, where the size of tiles is chosen.
const DEEP: usize = 512;

// With eight by eight sums an invocation needs a byte of workgroup memory a multiplication, with eight by four one and a half.
const LARGE: Tile = Tile { sides: [16, 8], column_quads: 2 };
const BROAD: Tile = Tile { sides: [8, 16], column_quads: 2 };
const MEDIUM: Tile = Tile { sides: [8, 16], column_quads: 1 };
const SMALL: Tile = Tile { sides: [4, 8], column_quads: 1 };
const WIDE: Tile = Tile { sides: [4, 32], column_quads: 1 };
const TALL: Tile = Tile { sides: [16, 8], column_quads: 1 };

impl Tile {
    /// Elements of C along both sides.
    fn edges(&self) -> [usize; 2] {
        [self.sides[0] * ROWS, self.sides[1] * self.column_quads * 4].map(|edge| edge as usize)
    }

    fn threads(&self) -> u32 {
        self.sides[0] * self.sides[1]
    }

    /// Elements of tiles that cover C of `m` by `n`.
    fn covered(&self, m: usize, n: usize) -> usize {
        let [rows, columns] = self.edges();
        m.next_multiple_of(rows).saturating_mul(n.next_multiple_of(columns))
    }

    /// Turns of all loops that the steps of a tile take.
    fn iterations() -> usize {
        1 + DEPTH
    }

    /// The tile for `matrices` products of `m` by `k` and `k` by `n`: the largest that keeps the device busy, and one that is no wider than
    /// C where C is narrow. Other candidates than the first are others of which not most would be empty.
    fn choose([m, n, k]: [usize; 3], matrices: usize, caps: &Caps, candidate: usize) -> Tile {
        let parts = (k / DEEP).max(1).saturating_mul(matrices);
        let busy = |tile: &Tile| {
            let [rows, columns] = tile.edges();
            m.div_ceil(rows).saturating_mul(n.div_ceil(columns)).saturating_mul(parts) >= BUSY
        };
        let candidates: &[Tile] = match (m <= NARROW, n <= NARROW) {
            (true, true) => &[],
            (true, false) => &[WIDE],
            (false, true) => &[TALL],
            (false, false) if BROAD.covered(m, n) < LARGE.covered(m, n) => &[BROAD, MEDIUM],
            (false, false) => &[LARGE, MEDIUM],
        };
        let fits = |tile: &Tile| tile.threads() <= caps.max_invocations;
        let first = candidates.iter().copied().find(|tile| fits(tile) && busy(tile)).unwrap_or(SMALL);
        let is_full = |tile: &Tile| tile.covered(m, n) <= m.saturating_mul(n).saturating_mul(2);
        let all = [MEDIUM, LARGE, SMALL, BROAD, WIDE, TALL];
        let mut others = all.into_iter().filter(|tile| *tile != first && fits(tile) && is_full(tile));
        candidate.checked_sub(1).and_then(|other| others.nth(other)).unwrap_or(first)
    }

    /// Whether the steps are written out in the kernel.
    fn is_written_out(&self, caps: &Caps) -> bool {
        !(caps.few_registers && self.column_quads > 1)
    }
}

/// What a stage of the tiled kernel takes from how its product is cut, whatever its operands are.
pub struct Tiling {
    pub cut: Cut,
    pub consts: Vec<(&'static str, u32)>,
    pub params: Vec<(&'static str, Word)>,
    pub workgroups: u64,
}

impl Tiling {
    /// For `matrices` products of `m` by `k` and `k` by `n`, by one of the candidates for the tile.
    ///
    /// # Errors
    /// Where sizes do not fit 32 bits.
    pub fn new([m, n, k]: [usize; 3], matrices: usize, caps: &Caps, candidate: usize) -> Result<Tiling> {
        let tile = Tile::choose([m, n, k], matrices, caps, candidate);
        let [rows, columns] = tile.edges();
        let (row_tiles, column_tiles) = (m.div_ceil(rows), n.div_ceil(columns));
        let longest = (MAX_ITERATIONS / Tile::iterations() * DEPTH).min(MAX_STEPS);
        let tiles = row_tiles.saturating_mul(column_tiles).saturating_mul(matrices);
        let cut = cut(k, tiles, 128, 256, longest, DEPTH);
        let tiles = product(&[row_tiles, column_tiles, matrices, cut.splits])?;
        Ok(Tiling {
            cut,
            consts: vec![
                ("ROW_SIDE", tile.sides[0]),
                ("COLUMN_SIDE", tile.sides[1]),
                ("COLUMN_QUADS", tile.column_quads),
                ("DEPTH", DEPTH as u32),
                ("WRITTEN_OUT", u32::from(tile.is_written_out(caps))),
            ],
            params: vec![
                ("m", count(m)?),
                ("n", count(n)?),
                ("k", count(k)?),
                ("k_chunk", count(cut.chunk)?),
                ("matrices", count(matrices)?),
                ("tiles", Word::U32(tiles)),
                ("row_tiles", count(row_tiles)?),
                ("column_tiles", count(column_tiles)?),
            ],
            workgroups: u64::from(tiles),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_suit_the_shape_and_their_loops_are_bounded() {
        let caps = Caps { few_registers: false, ..Caps::baseline() };
        let of = |m, n| Tile::choose([m, n, 256], 1, &caps, 0);
        assert_eq!([of(4096, 4096), of(1024, 1024), of(512, 1024), of(256, 256)], [LARGE, LARGE, MEDIUM, SMALL]);
        assert_eq!([of(32, 50_000), of(50_000, 10), of(8, 8), of(64, 50_000)], [WIDE, TALL, SMALL, BROAD]);
        assert_eq!(Tile::choose([128, 64, 64], 1000, &caps, 0), LARGE);
        // A long sum is cut into parts.
        assert_eq!(Tile::choose([64, 576, 12_544], 1, &caps, 0), BROAD);
        assert_eq!(Tile::choose([4096, 4096, 64], 1, &Caps { max_invocations: 64, ..caps.clone() }, 0), SMALL);
        assert_eq!([1, 2].map(|c| Tile::choose([1024, 1024, 64], 1, &caps, c)), [MEDIUM, SMALL]);
        // All others would be mostly empty.
        assert_eq!([1, 2].map(|c| Tile::choose([20, 20, 20], 1, &caps, c)), [SMALL, SMALL]);
        assert!(Tile::iterations() * (MAX_ITERATIONS / Tile::iterations()) <= MAX_ITERATIONS);
        for tile in [LARGE, BROAD, MEDIUM, SMALL, WIDE, TALL] {
            let quads = [tile.sides[0] * ROWS / 4, tile.sides[1] * tile.column_quads];
            // Each invocation copies one block of an operand at most.
            assert!(quads.iter().all(|quads| quads * DEPTH as u32 / 4 <= tile.threads()), "{tile:?}");
            let bytes = DEPTH as u32 * 16 * (quads[0] + quads[1] + 2);
            // With the columns of a convolution, 16 bytes each.
            assert!(bytes + quads[1] * 4 * 16 <= caps.workgroup_memory, "{tile:?}: {bytes}");
        }
        let short = Caps { few_registers: true, ..caps.clone() };
        assert!(LARGE.is_written_out(&caps) && !LARGE.is_written_out(&short) && MEDIUM.is_written_out(&short));
        let tiling = Tiling::new([30, 100_000, 70_000], 3, &caps, 0).unwrap();
        assert!(tiling.cut.chunk * tiling.cut.splits >= 70_000 && tiling.cut.chunk <= MAX_STEPS);
    }
}
