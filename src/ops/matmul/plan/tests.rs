//! Tests of the planner.

use super::*;
use crate::graph::Meta;
use smallvec::SmallVec;

use crate::error::Error;
use crate::graph::kernel::Operand;
use crate::layout::{Layout, View};
use crate::ops::matmul::problem::Reading;
use crate::shape::Shape;

fn operand(layout: Layout) -> Operand {
    Operand { meta: Meta { shape: layout.shape.clone(), dtype: DType::F32 }, layout }
}

fn problem(a: impl Into<Shape>, b: impl Into<Shape>) -> Result<Problem> {
    Problem::new(&operand(Layout::contiguous(a)), &operand(Layout::contiguous(b)))
}

fn software() -> Caps {
    Caps { software: true, subgroup: Some((8, 8)), ..Caps::baseline() }
}

fn names(problem: &Problem, caps: &Caps) -> Vec<&'static str> {
    stages(problem, caps, None).unwrap().iter().map(|s| s.name).collect()
}

fn param(stage: &Stage, name: &str) -> u32 {
    stage.params.iter().find(|(n, _)| *n == name).unwrap().1.bits()
}

#[test]
fn batch_dims_collapse() {
    // Rows of A follow one another across the batch: one matrix.
    let p = problem([4, 5, 6], [6, 7]).unwrap();
    assert_eq!((p.batch.rank(), p.m, p.n, p.k), (0, 20, 7, 6));
    // Two dims that both operands walk with one stride merge.
    let p = problem([2, 3, 5, 6], [2, 3, 6, 7]).unwrap();
    assert_eq!((&p.batch[..], &p.a.batch[..], &p.b.batch[..]), (&[6][..], &[30][..], &[42][..]));
    // A repeats over the first, B over the second: two dims.
    let p = problem([1, 3, 5, 6], [2, 1, 6, 7]).unwrap();
    assert_eq!((&p.batch[..], p.m, &p.a.batch[..], &p.b.batch[..]), (&[2][..], 15, &[0][..], &[42][..]));
    let p = problem([2, 1, 5, 6], [1, 3, 6, 7]).unwrap();
    assert_eq!((&p.batch[..], &p.a.batch[..], &p.b.batch[..]), (&[2, 3][..], &[30, 0][..], &[0, 42][..]));
    assert!(problem([2, 1, 2, 1, 5, 6], [1, 2, 1, 2, 6, 7]).is_err());
}

#[test]
fn vectors_and_bad_shapes() {
    let p = problem([6], [6]).unwrap();
    assert_eq!((p.m, p.n, p.k), (1, 1, 6));
    let p = problem([5, 6], [6]).unwrap();
    assert_eq!((p.m, p.n, p.b.row, p.b.col), (5, 1, 1, 0));
    assert!(problem([5, 6], [5, 6]).is_err());
    assert!(problem((), [5]).is_err());
    assert!(problem([2, 5, 6], [3, 6, 5]).is_err());
}

#[test]
fn empty_problems() {
    assert!(names(&problem([0, 3], [3, 4]).unwrap(), &software()).is_empty());
    assert_eq!(names(&problem([2, 0], [0, 4]).unwrap(), &software()), ["matmul_zero"]);
}

#[test]
fn operands_are_read_in_the_widest_way() {
    let reading = |a: Layout, b: Layout| {
        let p = Problem::new(&operand(a), &operand(b)).unwrap();
        let planner =
            Planner::new(&p, &software(), Family::CpuSubgroup, 0, [0, 1]).map(|p| (p.a.reading(), p.b.reading()));
        planner.unwrap()
    };
    let transposed =
        |shape: [usize; 2]| Layout::contiguous(shape).view(&View::Permute(SmallVec::from_slice(&[1, 0]))).unwrap();
    let plain = |shape: [usize; 2]| Layout::contiguous(shape);
    assert_eq!(reading(plain([8, 16]), plain([16, 12])), (Reading::AlongK, Reading::AlongFree));
    assert_eq!(reading(plain([8, 16]), transposed([12, 16])), (Reading::AlongK, Reading::AlongK));
    assert_eq!(reading(transposed([16, 8]), plain([16, 12])), (Reading::AlongFree, Reading::AlongFree));
    assert_eq!(reading(plain([8, 17]), plain([17, 11])), (Reading::Elements, Reading::Elements));
    let mut shifted = plain([8, 16]);
    shifted.offset = 1;
    assert_eq!(reading(shifted, plain([16, 12])).0, Reading::Elements);
}

#[test]
fn contiguous_columns_of_a_are_read_in_place() {
    let transposed = |k: usize, m: usize, offset: isize| {
        let shape = Layout::contiguous([k, m]);
        Layout { offset, ..shape.view(&View::Permute(SmallVec::from_slice(&[1, 0]))).unwrap() }
    };
    let caps = Caps { wide_loads: true, ..software() };
    let access = |a: Layout, family: Family| {
        let k = a.shape[1];
        let problem = Problem::new(&operand(a), &operand(Layout::contiguous([k, 96]))).unwrap();
        let stages = stages(&problem, &caps, Some(family)).unwrap();
        (stages.len(), stages.last().unwrap().reads[0].access)
    };
    assert_eq!(access(transposed(64, 1000, 0), Family::CpuSubgroup), (1, Access::RawOctets));
    assert_eq!(access(transposed(68, 1000, 0), Family::CpuSubgroup), (1, Access::RawOctets));
    assert_eq!(access(transposed(64, 1000, 4), Family::CpuSubgroup), (1, Access::RawVec4));
    assert_eq!(access(transposed(64, 1004, 0), Family::CpuSubgroup), (1, Access::RawVec4));
    // Other sizes, and adapters whose lanes do not work together, pack.
    assert_eq!(access(transposed(66, 1000, 0), Family::CpuSubgroup).0, 2);
    assert_eq!(access(transposed(64, 1000, 0), Family::CpuPlain).0, 2);
}

#[test]
fn families_follow_the_adapter() {
    let p = problem([64, 64], [64, 64]).unwrap();
    assert_eq!(names(&p, &software()), ["matmul_cpu_subgroup"]);
    assert_eq!(names(&p, &Caps { subgroup: None, ..software() }), ["matmul_cpu_plain"]);
    assert_eq!(names(&p, &Caps { subgroup: Some((4, 64)), ..software() }), ["matmul_cpu_plain"]);
    assert_eq!(names(&p, &Caps::baseline()), ["matmul_tiled"]);
    let large = problem([1024, 1024], [1024, 1024]).unwrap();
    assert_eq!(names(&large, &software()), ["matmul_pack", "matmul_cpu_subgroup"]);
    // A vector on either side runs as a row times a matrix.
    let column = stages(&problem([512, 64], [64, 1]).unwrap(), &software(), None).unwrap();
    assert_eq!((param(column.last().unwrap(), "m"), column[0].reads[0].slot), (1, BufferSlot::Input(1)));
}

#[test]
fn loops_are_bounded() {
    for k in [1, 511, 512, 16_384, 16_385, 100_000, 16_777_216] {
        for tiles in [1, 3, 1000] {
            let cut = cut(k, tiles, 128, 256, MAX_STEPS, 8);
            assert!(cut.chunk <= MAX_STEPS && cut.splits <= MAX_ITERATIONS, "{k} {cut:?}");
            assert!(cut.chunk * cut.splits >= k && cut.chunk * (cut.splits - 1) < k, "{k} {cut:?}");
        }
    }
    let p = problem([2, 100_000], [100_000, 3]).unwrap();
    for family in [Family::Naive, Family::CpuPlain, Family::CpuSubgroup, Family::Tiled] {
        let stages = stages(&p, &software(), Some(family)).unwrap();
        assert_eq!(stages.last().unwrap().name, "matmul_sum");
        let main = &stages[stages.len() - 2];
        assert!(param(main, "k_chunk") as usize <= MAX_STEPS, "{family:?}");
        assert!(family == Family::Naive || param(main, "k_chunk").is_multiple_of(4));
    }
}

#[test]
fn offsets_past_u32_are_refused() {
    let huge = Layout { shape: [4, 4].into(), strides: SmallVec::from_slice(&[1 << 31, 1]), offset: 0 };
    let p = Problem::new(&operand(huge), &operand(Layout::contiguous([4, 4]))).unwrap();
    assert!(matches!(stages(&p, &software(), None), Err(Error::TooManyElements { .. })));
    let outer = problem([1 << 17, 1], [1, 1 << 17]).unwrap();
    assert!(matches!(stages(&outer, &software(), None), Err(Error::TooManyElements { .. })));
}
