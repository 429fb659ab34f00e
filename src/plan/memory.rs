//! Where stored values live during a flush.
//!
//! Values that outlive the flush get buffers of their own. The others share a workspace: a value takes the region of one
//! whose last reader has run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::caps::{GRAIN, size_class};

/// A stored value: bytes and the first and last step that touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub bytes: u64,
    pub first: usize,
    pub last: usize,
}

/// Where a value lies in the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The buffer.
    pub buffer: usize,
    /// Where it starts there, in bytes.
    pub offset: u64,
}

/// Buffers of the workspace, and where the values lie in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Bytes of each buffer, the largest first.
    pub buffers: Vec<u64>,
    /// The region of each value.
    pub regions: Vec<Region>,
}

impl Assignment {
    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }
}

/// How long [`assign`] looks for better orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// A few orders, for plans that are only compared.
    Quick,
    /// Many, where the few do not come near the lower bound.
    Thorough,
}

/// Pairs of values that no buffer may hold together: a kernel reads the one and writes the other, and a buffer is either read or
/// written by a kernel.
pub type Conflicts = HashSet<(usize, usize)>;

/// Gives every value a region; values whose lifetimes overlap never overlap in a buffer.
///
/// Values choose one after the other: first the large ones, so that small ones fill the gaps (greedy by size), or first those
/// that are alive when most is (greedy by breadth); both from Pisarchyk & Lee 2020, arXiv 2001.03288. A value takes the gap
/// of an old buffer that it fills best, else makes the buffer longer that grows least by it, else gets a buffer of its own.
/// Which order is better depends on the graph, so several are tried until one comes near the lower bound.
pub fn assign(values: &[Lifetime], conflicts: &Conflicts, largest: u64, search: Search) -> Assignment {
    if values.len() > MANY {
        return scan(values);
    }
    let near = lower_bound(values) / 100 * 102;
    let orders = [by_size(values), by_breadth(values), by_area(values)];
    let mut best: Option<(Assignment, Vec<usize>)> = None;
    for order in orders {
        let found = greedy(values, conflicts, largest, &order);
        if best.as_ref().is_none_or(|(old, _)| found.bytes() < old.bytes()) {
            best = Some((found, order));
        }
        if best.as_ref().is_some_and(|(found, _)| found.bytes() <= near) {
            break;
        }
    }
    let Some((mut best, mut order)) = best else { return Assignment::default() };
    // Then one value at a time chooses earlier, as long as that does no harm: a walk that is the same every time.
    let n = values.len();
    let mut state = 1u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..(SEARCH / (n * n).max(1)).min(ROUNDS) {
        if best.bytes() <= near || search == Search::Quick {
            break;
        }
        let later = 1 + below(n.saturating_sub(1).max(1));
        let earlier = below(later);
        let mut other = order.clone();
        other[earlier..=later.min(n - 1)].rotate_right(1);
        let found = greedy(values, conflicts, largest, &other);
        if found.bytes() <= best.bytes() {
            (best, order) = (found, other);
        }
    }
    best
}

/// Pairs of values that the search looks at, at most.
const SEARCH: usize = 6_000_000;
/// Orders that it looks at, at most.
const ROUNDS: usize = 600;

/// Values above which the quadratic search gives way to one scan in time.
const MANY: usize = 2048;

/// Bindings start at multiples of this many bytes on every device.
const ALIGN: u64 = 256;

/// Bytes that a buffer for `bytes` has.
fn room(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(GRAIN)
}

/// Sorts buffers by size and takes the order along.
fn sorted(buffers: Vec<u64>, mut regions: Vec<Region>) -> Assignment {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&b| (Reverse(buffers[b]), b));
    let mut rank = vec![0; buffers.len()];
    order.iter().enumerate().for_each(|(r, &b)| rank[b] = r);
    regions.iter_mut().for_each(|region| region.buffer = rank[region.buffer]);
    Assignment { buffers: order.iter().map(|&b| buffers[b]).collect(), regions }
}

/// One scan in time: a value takes the region of the class that fell free last.
fn scan(values: &[Lifetime]) -> Assignment {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&v| (values[v].first, v));
    let mut ends: BinaryHeap<Reverse<(usize, u64, usize)>> = BinaryHeap::new();
    let mut free: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut buffers: Vec<u64> = Vec::new();
    let mut regions = vec![Region::default(); values.len()];
    for v in order {
        while let Some(&Reverse((last, class, buffer))) = ends.peek() {
            if last >= values[v].first {
                break;
            }
            ends.pop();
            free.entry(class).or_default().push(buffer);
        }
        let class = size_class(values[v].bytes);
        let buffer = free.get_mut(&class).and_then(Vec::pop).unwrap_or_else(|| {
            buffers.push(0);
            buffers.len() - 1
        });
        buffers[buffer] = buffers[buffer].max(room(values[v].bytes));
        regions[v].buffer = buffer;
        ends.push(Reverse((values[v].last, class, buffer)));
    }
    sorted(buffers, regions)
}

/// Large values first.
fn by_size(values: &[Lifetime]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&v| (Reverse(values[v].bytes), values[v].first, v));
    order
}

/// Large and long-lived values first.
fn by_area(values: &[Lifetime]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let area = |v: usize| values[v].bytes.saturating_mul((values[v].last - values[v].first + 1) as u64);
    order.sort_by_key(|&v| (Reverse(area(v)), v));
    order
}

/// The values of the fullest step first, large ones before small ones, then those of the next.
fn by_breadth(values: &[Lifetime]) -> Vec<usize> {
    let alive = alive(values);
    let mut steps: Vec<usize> = (0..alive.len()).collect();
    steps.sort_by_key(|&s| (Reverse(alive[s]), s));
    let by_size = by_size(values);
    let mut taken = vec![false; values.len()];
    let mut order = Vec::with_capacity(values.len());
    for step in steps {
        for &v in &by_size {
            if !taken[v] && values[v].first <= step && step <= values[v].last {
                taken[v] = true;
                order.push(v);
            }
        }
    }
    order
}

/// Values choose in this order.
fn greedy(values: &[Lifetime], conflicts: &Conflicts, largest: u64, order: &[usize]) -> Assignment {
    let mut buffers: Vec<u64> = Vec::new();
    let mut held: Vec<Vec<usize>> = Vec::new();
    let mut regions = vec![Region::default(); values.len()];
    for &v in order {
        let (value, wanted) = (values[v], room(values[v].bytes));
        let overlaps = |h: usize| values[h].first <= value.last && value.first <= values[h].last;
        // Beside others in a buffer, or alone in one of its own: how much it grows, what is left of the gap, and where.
        let mut best = (wanted, 0, buffers.len(), 0);
        for (b, inside) in held.iter().enumerate() {
            if inside.iter().any(|&h| conflicts.contains(&(v.min(h), v.max(h)))) {
                continue;
            }
            let mut taken: Vec<(u64, u64)> = inside
                .iter()
                .filter(|&&h| overlaps(h))
                .map(|&h| (regions[h].offset, regions[h].offset + values[h].bytes))
                .collect();
            taken.sort_unstable();
            let mut start = 0u64;
            for (from, to) in taken.into_iter().chain([(buffers[b].max(wanted), u64::MAX)]) {
                let gap = from.saturating_sub(start);
                if gap >= wanted {
                    best = best.min((buffers[b].max(start + wanted) - buffers[b], gap - wanted, b, start));
                } else if to == u64::MAX && start + wanted <= largest {
                    best = best.min((start + wanted - buffers[b], 0, b, start));
                }
                start = start.max(to.min(u64::MAX / 2).next_multiple_of(ALIGN));
            }
        }
        let (_, _, buffer, offset) = best;
        if buffer == buffers.len() {
            buffers.push(0);
            held.push(Vec::new());
        }
        buffers[buffer] = buffers[buffer].max(offset + wanted);
        held[buffer].push(v);
        regions[v] = Region { buffer, offset };
    }
    sorted(buffers, regions)
}

/// Bytes alive at each step.
pub fn alive(values: &[Lifetime]) -> Vec<u64> {
    let steps = values.iter().map(|v| v.last + 2).max().unwrap_or(0);
    let mut change = vec![0i64; steps];
    for value in values {
        change[value.first] += room(value.bytes) as i64;
        change[value.last + 1] -= room(value.bytes) as i64;
    }
    let mut sum = 0i64;
    change
        .iter()
        .map(|step| {
            sum += step;
            sum as u64
        })
        .collect()
}

/// The largest sum of bytes alive at one step: no assignment needs less.
pub fn lower_bound(values: &[Lifetime]) -> u64 {
    alive(values).into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_lifetimes_never_share_a_place() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let values: Vec<Lifetime> = (0..300)
            .map(|_| {
                let first = next(100) as usize;
                Lifetime { bytes: 1 + next(1 << 20), first, last: first + next(20) as usize }
            })
            .collect();
        // Neighbours in time are read and written by one kernel.
        let touch = |a: &Lifetime, b: &Lifetime| a.last == b.first || b.last == a.first;
        let pairs = |i: usize| (i + 1..values.len()).map(move |j| (i, j));
        let conflicts: Conflicts =
            (0..values.len()).flat_map(pairs).filter(|&(i, j)| touch(&values[i], &values[j])).collect();
        let orders = [by_size(&values), by_breadth(&values), by_area(&values)];
        let greedy = orders.iter().map(|order| greedy(&values, &conflicts, u64::MAX / 4, order));
        for assignment in greedy.chain([scan(&values), assign(&values, &conflicts, 4 << 20, Search::Thorough)]) {
            check(&values, &conflicts, &assignment);
        }
        let bound = lower_bound(&values);
        let bytes = assign(&values, &Conflicts::default(), u64::MAX / 4, Search::Quick).bytes();
        assert!((bound..bound * 11 / 10).contains(&bytes), "{bytes} for {bound}");
    }

    /// Two small values stand where a large one was.
    #[test]
    fn values_of_other_sizes_share_a_buffer() {
        let life = |bytes, first, last| Lifetime { bytes, first, last };
        let values = [life(1000, 0, 1), life(512, 2, 3), life(480, 3, 4)];
        let assignment = assign(&values, &Conflicts::default(), 1 << 20, Search::Quick);
        assert_eq!((assignment.buffers.len(), assignment.bytes()), (1, 1008));
        check(&values, &Conflicts::default(), &assignment);
        // Where a kernel reads the one and writes the other they do not.
        let conflicts = Conflicts::from_iter([(1, 2)]);
        let assignment = assign(&values, &conflicts, 1 << 20, Search::Quick);
        assert_eq!((assignment.buffers.len(), assignment.bytes()), (2, 1008 + 480));
        check(&values, &conflicts, &assignment);
    }

    fn check(values: &[Lifetime], conflicts: &Conflicts, assignment: &Assignment) {
        assert!(assignment.buffers.is_sorted_by(|a, b| a >= b));
        let part = |v: usize| (assignment.regions[v].offset, assignment.regions[v].offset + values[v].bytes);
        for (i, a) in values.iter().enumerate() {
            let region = assignment.regions[i];
            assert!(region.offset.is_multiple_of(ALIGN) && part(i).1 <= assignment.buffers[region.buffer]);
            for (j, b) in values.iter().enumerate().skip(i + 1) {
                if region.buffer != assignment.regions[j].buffer {
                    continue;
                }
                assert!(!conflicts.contains(&(i, j)), "{a:?} and {b:?} are read and written");
                let together = a.first <= b.last && b.first <= a.last;
                let disjoint = part(i).1 <= part(j).0 || part(j).1 <= part(i).0;
                assert!(!together || disjoint, "{a:?} and {b:?} share a region");
            }
        }
    }
}
