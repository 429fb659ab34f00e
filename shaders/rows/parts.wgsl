// A row is read in parts (one element, or four neighbours), part k by lane k % LANES. A lane that has HELD parts or fewer holds them in
// registers, so that every element is loaded once however often the kernel walks over the row; with HELD = 0 each walk loads.
//
// Needs of rows/quads or rows/scalars: Part, all_of, total
// Needs of the generator: HELD, params.iterations
// Gives: is_kept, iterations, no_sum, scaled, value_of, with_term

// Turns of a walk over the row.
fn iterations() -> u32 {
    if (HELD > 0u) { return HELD; }
    return params.iterations;
}

fn is_kept() -> bool { return HELD > 0u; }

// A sum over a lane's parts of a row. Of long rows 32 terms are added up before they join a total, and as many of these before they join
// the next, so that rounding errors hardly grow with the row.
struct Sum {
    all: Part,
    blocks: Part,
    block: Part,
}

fn no_sum() -> Sum { return Sum(all_of(0.0), all_of(0.0), all_of(0.0)); }

// The sum with the term x of turn h.
fn with_term(sum: Sum, h: u32, x: Part) -> Sum {
    var next = sum;
    next.block += x;
    if (!is_kept() && h % 32u == 31u) {
        next.blocks += next.block;
        next.block = all_of(0.0);
        if (h % 1024u == 1023u) {
            next.all += next.blocks;
            next.blocks = all_of(0.0);
        }
    }
    return next;
}

fn scaled(sum: Sum, factor: f32) -> Sum { return Sum(sum.all * factor, sum.blocks * factor, sum.block * factor); }

fn value_of(sum: Sum) -> f32 { return total(sum.all + (sum.blocks + sum.block)); }
