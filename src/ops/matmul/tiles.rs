//! How a product is cut into tiles of workgroups, for GPUs (`shaders/matmul/tiled.wgsl`).

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::Word;
use crate::ops::matmul::problem::{count, product};

/// Some drivers end loops silently after 65,535 iterations an invocation; no kernel here takes more than half of that.
pub(super) const MAX_ITERATIONS: usize = 32_768;
/// Steps of k that one sum takes at most. Longer ones are cut, which also keeps the rounding errors of long sums small.
pub(super) const MAX_STEPS: usize = 16_384;

/// Tiles from which every multiprocessor of a usual GPU has something to do.
const BUSY: usize = 96;
/// Sides up to which a product is tall or wide.
const NARROW: usize = 32;

/// How k is cut: `splits` parts of `chunk` steps each (the last may be shorter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub splits: usize,
    pub chunk: usize,
}

/// Cuts k into parts of at most `longest` steps, and further while there are fewer than `wanted` tiles of work and the
/// parts stay at least `shortest` long. Parts are multiples of `grain`.
pub(super) fn cut(k: usize, tiles: usize, wanted: usize, shortest: usize, longest: usize, grain: usize) -> Cut {
    let by_length = k.div_ceil(longest);
    let by_work = wanted.div_ceil(tiles.max(1)).min(k / shortest);
    let splits = by_length.max(by_work).max(1);
    let chunk = k.div_ceil(splits).next_multiple_of(grain);
    Cut { splits: k.div_ceil(chunk), chunk }
}

/// A tile of C, along rows and along columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Invocations.
    sides: [u32; 2],
    /// Groups of four elements that each of them has.
    quads: [u32; 2],
    /// Steps of k that are in workgroup memory at a time.
    depth: u32,
}

const LARGE: Tile = Tile { sides: [16, 16], quads: [2, 2], depth: 8 };
const MEDIUM: Tile = Tile { sides: [16, 16], quads: [1, 1], depth: 16 };
const SMALL: Tile = Tile { sides: [8, 8], quads: [1, 1], depth: 8 };
const WIDE: Tile = Tile { sides: [8, 32], quads: [1, 1], depth: 8 };
const TALL: Tile = Tile { sides: [32, 8], quads: [1, 1], depth: 8 };

impl Tile {
    /// Elements of C along both sides.
    fn edges(&self) -> [usize; 2] {
        [0, 1].map(|d| (self.sides[d] * self.quads[d] * 4) as usize)
    }

    /// Turns of all loops that one step of the walk over k takes.
    fn iterations(&self) -> usize {
        let threads = self.sides[0] * self.sides[1];
        let copies: u32 = [0, 1].map(|d| (self.depth * self.sides[d] * self.quads[d]).div_ceil(threads)).iter().sum();
        (1 + copies + self.depth * (1 + self.quads[0] * (1 + self.quads[1]))) as usize
    }

    /// The tile for C of `m` by `n`, of which there are `matrices`: the largest that keeps the device busy, and one that is no wider than
    /// C where C is narrow. Other candidates than the first are others of which not most would be empty.
    fn choose(m: usize, n: usize, matrices: usize, caps: &Caps, candidate: usize) -> Tile {
        let busy = |tile: &Tile| {
            let [rows, columns] = tile.edges();
            m.div_ceil(rows).saturating_mul(n.div_ceil(columns)).saturating_mul(matrices) >= BUSY
        };
        let candidates: &[Tile] = match (m <= NARROW, n <= NARROW) {
            (true, true) => &[],
            (true, false) => &[WIDE],
            (false, true) => &[TALL],
            (false, false) => &[LARGE, MEDIUM],
        };
        let fits = |tile: &Tile| tile.sides[0] * tile.sides[1] <= caps.max_invocations;
        let first = candidates.iter().copied().find(|tile| fits(tile) && busy(tile)).unwrap_or(SMALL);
        let is_full = |tile: &Tile| {
            let [rows, columns] = tile.edges();
            m.next_multiple_of(rows).saturating_mul(n.next_multiple_of(columns))
                <= m.saturating_mul(n).saturating_mul(2)
        };
        let all = [MEDIUM, LARGE, SMALL, WIDE, TALL];
        let mut others = all.into_iter().filter(|tile| *tile != first && fits(tile) && is_full(tile));
        candidate.checked_sub(1).and_then(|other| others.nth(other)).unwrap_or(first)
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
        let tile = Tile::choose(m, n, matrices, caps, candidate);
        let [rows, columns] = tile.edges();
        let (row_tiles, column_tiles) = (m.div_ceil(rows), n.div_ceil(columns));
        let depth = tile.depth as usize;
        let longest = (MAX_ITERATIONS / tile.iterations() * depth).min(MAX_STEPS);
        let tiles = row_tiles.saturating_mul(column_tiles).saturating_mul(matrices);
        let cut = cut(k, tiles, 128, 256, longest, depth);
        let tiles = product(&[row_tiles, column_tiles, matrices, cut.splits])?;
        Ok(Tiling {
            cut,
            consts: vec![
                ("ROW_SIDE", tile.sides[0]),
                ("COLUMN_SIDE", tile.sides[1]),
                ("ROW_QUADS", tile.quads[0]),
                ("COLUMN_QUADS", tile.quads[1]),
                ("DEPTH", tile.depth),
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
        let caps = Caps::baseline();
        let of = |m, n| Tile::choose(m, n, 1, &caps, 0);
        assert_eq!([of(4096, 4096), of(1024, 1024), of(256, 256)], [LARGE, MEDIUM, SMALL]);
        assert_eq!([of(32, 50_000), of(50_000, 10), of(8, 8)], [WIDE, TALL, SMALL]);
        assert_eq!(Tile::choose(64, 64, 1000, &caps, 0), LARGE);
        assert_eq!(Tile::choose(4096, 4096, 1, &Caps { max_invocations: 128, ..caps.clone() }, 0), SMALL);
        assert_eq!([1, 2].map(|c| Tile::choose(1024, 1024, 1, &caps, c)), [LARGE, SMALL]);
        // All others would be mostly empty.
        assert_eq!([1, 2].map(|c| Tile::choose(20, 20, 1, &caps, c)), [SMALL, SMALL]);
        for tile in [LARGE, MEDIUM, SMALL, WIDE, TALL] {
            assert!(tile.iterations() * (MAX_ITERATIONS / tile.iterations()) <= MAX_ITERATIONS);
            let bytes = tile.depth * 16 * (tile.sides[0] * tile.quads[0] + tile.sides[1] * tile.quads[1] + 2);
            // With the columns of a convolution, 16 bytes each.
            assert!(bytes + tile.sides[1] * tile.quads[1] * 4 * 16 <= caps.workgroup_memory, "{tile:?}: {bytes}");
        }
        let tiling = Tiling::new([30, 100_000, 70_000], 3, &caps, 0).unwrap();
        assert!(tiling.cut.chunk * tiling.cut.splits >= 70_000 && tiling.cut.chunk <= MAX_STEPS);
    }
}
