//! How kernels over rows (softmax, norms, cross-entropy) read their rows, and which invocations share one.

use crate::caps::Caps;
use crate::error::Result;
use crate::graph::kernel::{Access, BufferSlot, Read, Wgsl, Word, Write};
use crate::ops::kernels;
use crate::ops::routine::{self, LONG_ROW};

/// Parts of a row that an invocation holds in registers at most.
const MOST_HELD: usize = 32;
/// The same on GPUs, where registers are shared by the invocations under way.
const MOST_HELD_GPU: usize = 8;
/// The same for so few elements that loading them again costs less than the driver takes to compile long kernels: a loop over what is
/// held is unrolled.
const MOST_HELD_SMALL: usize = 4;
/// Elements of all rows that are few in this sense.
const SMALL: usize = 64 << 10;
/// Groups of invocations that keep a device busy.
const SHARERS: usize = 128;
/// Invocations of a workgroup that share a row.
const WORKGROUP: u32 = 128;
/// Longest row for which every plan's walks are as short as some drivers want them.
pub(super) const LONGEST_ROW: usize = LONG_ROW * WORKGROUP as usize;

/// The texts of a kernel over rows, `$file` and what it builds on, in the order that [`RowPlan::text`] picks from: by who shares a
/// row, then by the width of its parts.
macro_rules! rows_texts {
    ($($file:literal),+) => {
        [
            [rows_texts!(@ "software/rows/row_per_invocation", "scalars", $($file),+), rows_texts!(@ "software/rows/row_per_invocation", "quads", $($file),+)],
            [rows_texts!(@ "software/rows/row_per_subgroup", "scalars", $($file),+), rows_texts!(@ "software/rows/row_per_subgroup", "quads", $($file),+)],
            [rows_texts!(@ "rows/row_per_workgroup", "scalars", $($file),+), rows_texts!(@ "rows/row_per_workgroup", "quads", $($file),+)],
            [
                rows_texts!(@ "rows/row_per_workgroup_subgroups", "scalars", $($file),+),
                rows_texts!(@ "rows/row_per_workgroup_subgroups", "quads", $($file),+),
            ],
        ]
    };
    (@ $lanes:literal, $width:literal, $($file:literal),+) => {
        $crate::ops::routine::wgsl!(concat!("rows/", $width), "rows/parts", $lanes, $($file),+)
    };
}
pub(super) use rows_texts;

/// Who works on one row: the kinds of adapters choose (`ops::kernels`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Sharers {
    /// One invocation: short rows and rows across memory, on software adapters.
    One,
    /// A subgroup of so many lanes: long rows on software adapters.
    Subgroup(u32),
    /// A workgroup with workgroup memory: GPUs, and rows that are too long for the others.
    Workgroup,
    /// The same where the subgroups of a workgroup combine in registers what their lanes found.
    WorkgroupOfSubgroups,
}

/// How a kernel walks over rows of equal size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlan {
    who: Sharers,
    /// Whether a part is four neighbours.
    quads: bool,
    /// Parts of a row.
    parts: usize,
    /// Parts that an invocation holds; 0 where it loads them again.
    held: usize,
}

impl RowPlan {
    /// For `rows` rows of `size` elements, of which runs of `run` lie next to each other in the logical order.
    pub fn new(caps: &Caps, rows: usize, size: usize, run: usize) -> RowPlan {
        let quads = run >= 4 && run.is_multiple_of(4);
        let parts = if quads { size / 4 } else { size };
        let who = kernels::of(caps.kind()).row_sharers(parts, run, caps);
        let plan = RowPlan { who, quads, parts, held: 0 };
        let most = match who {
            Sharers::Workgroup | Sharers::WorkgroupOfSubgroups => MOST_HELD_GPU,
            Sharers::One if rows.saturating_mul(size) < SMALL => MOST_HELD_SMALL,
            _ => MOST_HELD,
        };
        // By powers of two, so that rows of many sizes share few kernels.
        let held = plan.iterations().next_power_of_two();
        RowPlan { held: if held <= most { held } else { 0 }, ..plan }
    }

    /// Invocations that share a row.
    fn sharers(&self) -> u32 {
        match self.who {
            Sharers::One => 1,
            Sharers::Subgroup(lanes) => lanes,
            Sharers::Workgroup | Sharers::WorkgroupOfSubgroups => self.workgroup(),
        }
    }

    fn workgroup(&self) -> u32 {
        match self.who {
            Sharers::One | Sharers::Subgroup(_) => 64,
            Sharers::Workgroup | Sharers::WorkgroupOfSubgroups => WORKGROUP,
        }
    }

    /// Rows that the sharers of a row take one after the other where something is loaded once for all of them: on software adapters
    /// some, as long as there is work for all cores.
    pub fn rows_together(&self, rows: usize) -> usize {
        match self.who {
            Sharers::Subgroup(_) if self.held > 0 => (rows / SHARERS).clamp(1, 16),
            _ => 1,
        }
    }

    /// Rows that the sharers of a row take one after the other where they hold sums over rows in registers; `None` where the
    /// row is too long for that.
    pub fn rows_summed(&self, rows: usize) -> Option<usize> {
        let sharers = match self.who {
            Sharers::One => return None,
            Sharers::Subgroup(_) => SHARERS,
            Sharers::Workgroup | Sharers::WorkgroupOfSubgroups => 4 * SHARERS,
        };
        // Some drivers end loops after 65,535 iterations: four walks over the parts of each row.
        let most = 8192usize.checked_div(self.held)?;
        Some(rows.div_ceil(sharers).clamp(1, most))
    }

    fn iterations(&self) -> usize {
        self.parts.div_ceil(self.sharers() as usize)
    }

    /// How many parts so many neighbours are.
    pub fn parts(&self, elements: usize) -> usize {
        if self.quads { elements / 4 } else { elements }
    }

    /// Whether a part is four neighbours.
    pub fn has_quads(&self) -> bool {
        self.quads
    }

    /// The text that goes with the plan.
    pub fn text(&self, texts: [[Wgsl; 2]; 4]) -> Wgsl {
        let index = match self.who {
            Sharers::One => 0,
            Sharers::Subgroup(_) => 1,
            Sharers::Workgroup => 2,
            Sharers::WorkgroupOfSubgroups => 3,
        };
        texts[index][usize::from(self.quads)]
    }

    /// The constants that the texts need.
    pub fn consts(&self) -> Vec<(&'static str, u32)> {
        vec![
            ("WORKGROUP", self.workgroup()),
            ("LANES", self.sharers()),
            ("HELD", self.held as u32),
            ("HELD_SIZE", self.held.max(1) as u32),
        ]
    }

    /// The parameters that the texts need.
    ///
    /// # Errors
    /// Where sizes do not fit 32 bits.
    pub fn params(&self, op: &str, rows: usize) -> Result<Vec<(&'static str, Word)>> {
        Ok(vec![
            ("rows", routine::size(op, rows)?),
            ("parts", routine::size(op, self.parts)?),
            ("iterations", routine::size(op, self.iterations())?),
        ])
    }

    /// The read of input `index` through `load_NAME`, by parts.
    pub fn read(&self, name: &'static str, index: usize) -> Read {
        let access = if self.quads { Access::LogicalVec4 } else { Access::Logical };
        Read { name, slot: BufferSlot::Input(index), access }
    }

    /// How often a kernel that holds its rows loads each element; `None` where each walk loads them again.
    pub fn loads(&self) -> Option<usize> {
        (self.held > 0).then_some(1)
    }

    /// The write of the output through `store`, by parts.
    pub fn output(&self) -> Write {
        Write { vec4: self.quads, ..routine::output() }
    }

    /// Workgroups for `rows` rows.
    pub fn workgroups(&self, rows: usize) -> u64 {
        (rows as u64).div_ceil(u64::from(self.workgroup() / self.sharers()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps::AdapterKind;

    /// Every part of a row falls to some lane, and what is held fits.
    #[test]
    fn plans_cover_the_rows() {
        let software = Caps { software: true, subgroup: Some((8, 8)), ..Caps::baseline() };
        let plain = Caps { subgroup: None, ..software.clone() };
        let subgroups = Caps { subgroup: Some((8, 32)), ..Caps::baseline() };
        for caps in [software, plain, Caps::baseline(), subgroups] {
            for size in [1, 3, 4, 10, 31, 32, 65, 96, 1000, 1024, 1028, 4096, 16_384, 49_152, 300_001, LONGEST_ROW] {
                for (rows, run) in [(7, 1), (7, size), (100_000, 1), (100_000, size)] {
                    let plan = RowPlan::new(&caps, rows, size, run);
                    let width = if plan.quads { 4 } else { 1 };
                    assert_eq!(plan.parts * width, size, "{plan:?}");
                    assert!(plan.iterations() * plan.sharers() as usize >= plan.parts, "{plan:?}");
                    assert!(
                        size > LONG_ROW || plan.who != Sharers::Workgroup || caps.kind() == AdapterKind::Gpu,
                        "{plan:?}"
                    );
                    assert!(plan.iterations() <= LONG_ROW, "{plan:?}");
                    assert!(plan.held == 0 || (plan.iterations()..=MOST_HELD).contains(&plan.held), "{plan:?}");
                }
            }
        }
    }
}
