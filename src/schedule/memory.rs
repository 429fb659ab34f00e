//! Where stored values live during a flush.
//!
//! Values that outlive the flush get buffers of their own. The others share a workspace: a value takes the place of one
//! whose last reader has run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::caps::size_class;

/// A stored value: bytes and the first and last step that touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub bytes: u64,
    pub first: usize,
    pub last: usize,
}

/// A place in the workspace: the `index`-th buffer of the class that holds `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub bytes: u64,
    pub index: usize,
}

/// Gives every value a place; values whose lifetimes overlap never share one. Large values choose first, so that small ones
/// fill the gaps (greedy by size, Pisarchyk & Lee 2020, arXiv 2001.03288).
pub fn assign(values: &[Lifetime]) -> Vec<Place> {
    if values.len() > MANY { scan(values) } else { by_size(values) }
}

/// Values above which the quadratic search by size gives way to one scan in time.
const MANY: usize = 2048;

/// One scan in time: a value takes the place of the class that fell free last.
fn scan(values: &[Lifetime]) -> Vec<Place> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&v| (values[v].first, v));
    let mut ends: BinaryHeap<Reverse<(usize, Place)>> = BinaryHeap::new();
    let mut free: HashMap<u64, Vec<Place>> = HashMap::new();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let mut places = vec![Place { bytes: 0, index: 0 }; values.len()];
    for v in order {
        while let Some(&Reverse((last, place))) = ends.peek() {
            if last >= values[v].first {
                break;
            }
            ends.pop();
            free.entry(place.bytes).or_default().push(place);
        }
        let bytes = size_class(values[v].bytes);
        places[v] = free.get_mut(&bytes).and_then(Vec::pop).unwrap_or_else(|| {
            let count = counts.entry(bytes).or_insert(0);
            *count += 1;
            Place { bytes, index: *count - 1 }
        });
        ends.push(Reverse((values[v].last, places[v])));
    }
    places
}

fn by_size(values: &[Lifetime]) -> Vec<Place> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|&v| (Reverse(values[v].bytes), values[v].first, v));
    // Each buffer of the workspace with the lifetimes it holds.
    let mut buffers: Vec<(Place, Vec<Lifetime>)> = Vec::new();
    let mut classes: HashMap<u64, usize> = HashMap::new();
    let mut places = vec![Place { bytes: 0, index: 0 }; values.len()];
    for v in order {
        let value = values[v];
        let free = |held: &[Lifetime]| held.iter().all(|h| value.last < h.first || h.last < value.first);
        // The smallest buffer that is free for the value's whole life.
        let best = buffers
            .iter_mut()
            .filter(|(place, held)| place.bytes >= value.bytes && free(held))
            .min_by_key(|(place, _)| (place.bytes, place.index));
        places[v] = match best {
            Some((place, held)) => {
                held.push(value);
                *place
            }
            None => {
                let bytes = size_class(value.bytes);
                let count = classes.entry(bytes).or_insert(0);
                let place = Place { bytes, index: *count };
                *count += 1;
                buffers.push((place, vec![value]));
                place
            }
        };
    }
    places
}

/// Bytes of the workspace that `places` need.
pub fn workspace_bytes(places: &[Place]) -> u64 {
    let mut distinct: Vec<&Place> = places.iter().collect();
    distinct.sort_by_key(|p| (p.bytes, p.index));
    distinct.dedup();
    distinct.iter().map(|p| p.bytes).sum()
}

/// The largest sum of bytes alive at one step: no assignment needs less.
pub fn lower_bound(values: &[Lifetime]) -> u64 {
    let steps = values.iter().map(|v| v.last + 2).max().unwrap_or(0);
    let mut change = vec![0i64; steps];
    for value in values {
        change[value.first] += value.bytes as i64;
        change[value.last + 1] -= value.bytes as i64;
    }
    let alive = change.iter().scan(0i64, |sum, step| {
        *sum += step;
        Some(*sum)
    });
    alive.max().unwrap_or(0) as u64
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
        for places in [by_size(&values), scan(&values)] {
            check(&values, &places);
        }
        assert!(workspace_bytes(&by_size(&values)) < 2 * lower_bound(&values));
    }

    fn check(values: &[Lifetime], places: &[Place]) {
        for (i, a) in values.iter().enumerate() {
            assert!(places[i].bytes >= a.bytes);
            for (j, b) in values.iter().enumerate().skip(i + 1) {
                let overlap = a.first <= b.last && b.first <= a.last;
                assert!(!(overlap && places[i] == places[j]), "{a:?} and {b:?} share {:?}", places[i]);
            }
        }
    }
}
