//! Shuffled mini-batches of indices.

use crate::data::Random;
use crate::error::{Error, Result};
use crate::host;
use crate::shape::Shape;

/// The indices `0..len` in mini-batches, in a new order each epoch.
///
/// The order depends on the seed and the number of the epoch alone: not on earlier epochs, the machine, or the version of
/// a random number library. So a training run that resumes at epoch 7 sees what it would have seen.
///
/// ```
/// use wgrad::data::Batches;
///
/// let batches = Batches::new(10, 4, 42);
/// let sizes: Vec<usize> = batches.epoch(0).map(|indices| indices.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// assert!(batches.epoch(3).eq(batches.epoch(3)));
///
/// assert_eq!(batches.drop_last(true).epoch(0).count(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    len: usize,
    batch_size: usize,
    /// `None` in order.
    seed: Option<u64>,
    drop_last: bool,
}

impl Batches {
    /// Mini-batches of `batch_size` of the indices `0..len`; a size of 0 counts as 1.
    pub fn new(len: usize, batch_size: usize, seed: u64) -> Batches {
        if batch_size == 0 {
            log::warn!("Batches: a batch size of 0 gives no batches");
        }
        Batches { len, batch_size, seed: Some(seed), drop_last: false }
    }

    /// Whether to leave out the last batch of an epoch where it is smaller than the others (default: keep it).
    pub fn drop_last(self, drop_last: bool) -> Batches {
        Batches { drop_last, ..self }
    }

    /// Each epoch in the order `0..len`.
    pub fn in_order(self) -> Batches {
        Batches { seed: None, ..self }
    }

    /// Each epoch in an order of its own, which follows from `seed`.
    pub fn shuffled(self, seed: u64) -> Batches {
        Batches { seed: Some(seed), ..self }
    }

    /// Number of batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        match (self.batch_size, self.drop_last) {
            (0, _) => 0,
            (size, true) => self.len / size,
            (size, false) => self.len.div_ceil(size),
        }
    }

    /// Looks for room for the order of an epoch.
    /// Whether batches have no size.
    pub(crate) fn is_unsized(&self) -> bool {
        self.batch_size == 0
    }

    /// That there are batches.
    pub(crate) fn check(&self) -> Result<()> {
        let detail = match (self.len, self.batch_size) {
            _ if self.per_epoch() > 0 => return Ok(()),
            (_, 0) => "the batch size is 0; it must be 1 or more".into(),
            (0, _) => "the data set has no samples".into(),
            (len, size) => {
                format!("{len} samples are fewer than one batch of {size}, and drop_last leaves them out")
            }
        };
        Err(Error::argument("DataLoader", detail))
    }

    pub(crate) fn room(&self) -> Result<()> {
        let bytes = (self.len as u64).saturating_mul(4 * size_of::<usize>() as u64);
        host::room_for("DataLoader", Some(&Shape::from([self.len])), bytes)
    }

    /// What random changes of a batch draw from; unrelated to the order of the epoch.
    pub(crate) fn random(&self, epoch: usize, batch: usize) -> Random {
        Random::of(&[self.seed.unwrap_or(0), epoch as u64, batch as u64])
    }

    /// The batches of epoch number `epoch`.
    pub fn epoch(&self, epoch: usize) -> impl ExactSizeIterator<Item = Vec<usize>> + use<> {
        let mut order: Vec<usize> = (0..self.len).collect();
        if let Some(seed) = self.seed {
            let mut random = Random::of(&[seed, epoch as u64]);
            for last in (1..order.len()).rev() {
                order.swap(last, random.below(last + 1));
            }
        }
        let batch_size = self.batch_size;
        (0..self.per_epoch()).map(move |batch| {
            let start = batch * batch_size;
            order[start..(start + batch_size).min(order.len())].to_vec()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(batches: Batches, epoch: usize) -> Vec<usize> {
        batches.epoch(epoch).flatten().collect()
    }

    #[test]
    fn the_order_is_fixed_for_ever() {
        assert_eq!(order(Batches::new(8, 3, 42), 0), [5, 1, 7, 0, 3, 4, 2, 6]);
        assert_eq!(order(Batches::new(8, 3, 42), 1), [7, 2, 3, 5, 6, 0, 1, 4]);
        assert_eq!(order(Batches::new(8, 3, 43), 0), [4, 6, 7, 5, 2, 3, 1, 0]);
        assert_eq!(order(Batches::new(8, 3, 43).in_order(), 1), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn every_index_comes_once_an_epoch() {
        for epoch in 0..5 {
            let mut seen = order(Batches::new(1437, 32, 7), epoch);
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..1437));
        }
    }

    #[test]
    fn the_last_partial_batch_is_kept_or_dropped() {
        let sizes = |batches: Batches| batches.epoch(0).map(|b| b.len()).collect::<Vec<_>>();
        assert_eq!(sizes(Batches::new(10, 4, 0)), [4, 4, 2]);
        assert_eq!(sizes(Batches::new(10, 4, 0).drop_last(true)), [4, 4]);
        assert_eq!(sizes(Batches::new(8, 4, 0).drop_last(true)), [4, 4]);
        assert_eq!(sizes(Batches::new(3, 4, 0)), [3]);
        assert_eq!(sizes(Batches::new(3, 4, 0).drop_last(true)), [0; 0]);
        assert_eq!(sizes(Batches::new(0, 4, 0)), [0; 0]);
        assert_eq!(sizes(Batches::new(2, 0, 0)), [0; 0]);
    }

    #[test]
    fn a_shuffled_position_is_uniform() {
        // Index 0 lands on each of 5 positions about 1,000 times in 5,000 epochs; 150 is over five standard deviations.
        let batches = Batches::new(5, 5, 1);
        let mut counts = [0i32; 5];
        for epoch in 0..5000 {
            counts[order(batches, epoch).iter().position(|&i| i == 0).unwrap()] += 1;
        }
        assert!(counts.iter().all(|c| (c - 1000).abs() < 150), "{counts:?}");
    }
}
