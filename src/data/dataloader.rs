//! Batches of a data set, prepared ahead on a thread, with a position that can be saved.

use std::panic::Location;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::Device;
use crate::data::{Batches, Dataset, Random};
use crate::error::{Error, Result};
use crate::site;
use crate::tensor::Tensor;

/// Mini-batches of a [`Dataset`], epoch after epoch.
///
/// The order depends on the seed and the number of the epoch alone ([`Batches`]), so a loader that is [set](DataLoader::restore) to
/// a saved [position](DataLoader::position) goes on with exactly the batches that would have come.
///
/// ```
/// use wgrad::data::{DataLoader, Digits};
/// use wgrad::Device;
/// let device = Device::default();
/// let mut loader = DataLoader::new(Digits::train(), 64, &device).shuffle(42).drop_last(true).prefetch(2);
/// for batch in loader.epoch() {
///     let batch = batch?;
///     let (images, labels) = (&batch[0], &batch[1]);
///     assert_eq!((images.shape(), labels.shape()), (&[64, 64][..], &[64][..]));
/// }
/// assert_eq!(loader.position().epoch, 1);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct DataLoader {
    dataset: Arc<dyn Dataset>,
    batches: Batches,
    device: Device,
    prefetch: usize,
    epoch: usize,
    batch: usize,
    /// The rest of the epoch, made when it is first needed.
    order: Option<Vec<Vec<usize>>>,
    worker: Option<Worker>,
}

/// How far a [`DataLoader`] is, and what it needs to be to go on from there.
///
/// ```
/// use wgrad::data::{DataLoader, Digits};
/// use wgrad::Device;
/// let mut loader = DataLoader::new(Digits::test(), 50, &Device::cpu()).shuffle(3);
/// let start = loader.position();
/// loader.next_batch()?;
/// assert_eq!((loader.position().epoch, loader.position().batch), (0, 1));
/// loader.restore(start)?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the epoch, from 0.
    pub epoch: usize,
    /// Batches of it that have been handed out.
    pub batch: usize,
    /// The batches of which this is a position.
    pub batches: Batches,
}

impl DataLoader {
    /// Batches of `batch_size` (at least 1) in the data set's order, on `device`.
    pub fn new(dataset: impl Dataset + 'static, batch_size: usize, device: &Device) -> DataLoader {
        let batches = Batches::new(dataset.len(), batch_size, 0).in_order();
        DataLoader {
            dataset: Arc::new(dataset),
            batches,
            device: device.clone(),
            prefetch: 0,
            epoch: 0,
            batch: 0,
            order: None,
            worker: None,
        }
    }

    fn with(mut self, batches: Batches) -> DataLoader {
        self.batches = batches;
        self.order = None;
        self.worker = None;
        self
    }

    /// A new order each epoch, which follows from `seed`.
    pub fn shuffle(self, seed: u64) -> DataLoader {
        let batches = self.batches.shuffled(seed);
        self.with(batches)
    }

    /// Whether to leave out the last batch of an epoch where it is smaller than the others (default: keep it).
    pub fn drop_last(self, drop_last: bool) -> DataLoader {
        let batches = self.batches.drop_last(drop_last);
        self.with(batches)
    }

    /// Prepares up to `batches` batches ahead on a thread of its own (default: 0, no thread). The batches are the same.
    pub fn prefetch(mut self, batches: usize) -> DataLoader {
        self.prefetch = batches;
        self.worker = None;
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// Number of batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        self.batches.per_epoch()
    }

    /// How far the loader is: what has been handed out, not what a thread has prepared.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, batch: self.batch, batches: self.batches }
    }

    /// Goes on from a position. Later batches are those that would have come.
    ///
    /// # Errors
    /// [`Error::Argument`] where the position is of a loader with another number of samples, batch size, seed or order.
    #[track_caller]
    pub fn restore(&mut self, position: Position) -> Result<()> {
        if position.batches != self.batches || position.batch > self.per_epoch() {
            let detail = format!("the position {position:?} is of other batches than {:?}", self.batches);
            return Err(Error::argument("DataLoader", detail).or_at(Location::caller()));
        }
        (self.epoch, self.batch) = (position.epoch, position.batch);
        self.order = None;
        self.worker = None;
        Ok(())
    }

    /// The batches that are left of the present epoch. After the last one the position is the beginning of the next epoch.
    #[track_caller]
    pub fn epoch(&mut self) -> Epoch<'_> {
        let refused = self.batches.check().err().filter(|_| self.batches.is_unsized());
        Epoch { epoch: self.epoch, loader: self, at: Location::caller(), refused }
    }

    /// The next batch; after the last one of an epoch comes the first of the next.
    ///
    /// # Errors
    /// [`Error::Argument`] where an epoch has no batch; the data set's own error, after which the loader stays where it is.
    #[track_caller]
    pub fn next_batch(&mut self) -> Result<Vec<Tensor>> {
        let at = Location::caller();
        let _from = site::from(at);
        self.batches.check().map_err(|error| error.or_at(at))?;
        self.batches.room()?;
        let batch = self.fetch()?;
        self.batch += 1;
        if self.batch >= self.per_epoch() {
            (self.epoch, self.batch) = (self.epoch + 1, 0);
            self.order = None;
        }
        Ok(batch)
    }

    /// The batch that the loader hands out at a position, and the numbers of its samples in the data set. The loader stays where it is.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is no such batch; the data set's own error.
    pub fn batch_at(&self, position: Position) -> Result<(Vec<usize>, Vec<Tensor>)> {
        self.batches.room()?;
        let found = position.batches.epoch(position.epoch).nth(position.batch);
        let indices = found.filter(|_| position.batches == self.batches).ok_or_else(|| {
            Error::argument("DataLoader", format!("there is no batch at {position:?} in {:?}", self.batches))
        })?;
        let random = self.batches.random(position.epoch, position.batch);
        let batch = read(&*self.dataset, &indices, random, &self.device)?;
        Ok((indices, batch))
    }

    /// The batch at the position.
    fn fetch(&mut self) -> Result<Vec<Tensor>> {
        if self.prefetch > 0 {
            let start = (self.epoch, self.batch);
            let (dataset, device, batches, ahead) = (&self.dataset, &self.device, self.batches, self.prefetch);
            let user = site::entered();
            let worker = self.worker.get_or_insert_with(|| Worker::start(dataset, batches, device, start, ahead, user));
            let batch = worker.next();
            if batch.is_err() {
                // The next call tries this batch again.
                self.worker = None;
            }
            return batch;
        }
        let (epoch, batches) = (self.epoch, self.batches);
        let order = self.order.get_or_insert_with(|| batches.epoch(epoch).collect());
        read(&*self.dataset, &order[self.batch], batches.random(epoch, self.batch), &self.device)
    }
}

fn read(dataset: &dyn Dataset, indices: &[usize], mut random: Random, device: &Device) -> Result<Vec<Tensor>> {
    let batch = dataset.batch_with(indices, &mut random, device)?;
    batch.iter().try_for_each(Tensor::check)?;
    Ok(batch)
}

impl std::fmt::Debug for DataLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataLoader({:?}, prefetch {})", self.position(), self.prefetch)
    }
}

/// The batches that are left of an epoch; see [`DataLoader::epoch`].
///
/// ```
/// use wgrad::data::{DataLoader, Digits};
/// use wgrad::Device;
/// let mut loader = DataLoader::new(Digits::test(), 50, &Device::cpu());
/// loader.next_batch()?;
/// let left = loader.epoch().count();
/// assert_eq!(left, loader.per_epoch() - 1);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Epoch<'a> {
    epoch: usize,
    loader: &'a mut DataLoader,
    at: &'static Location<'static>,
    /// What is wrong with all batches, until it is said.
    refused: Option<Error>,
}

impl Iterator for Epoch<'_> {
    type Item = Result<Vec<Tensor>>;

    fn next(&mut self) -> Option<Self::Item> {
        let _from = site::from(self.at);
        if let Some(error) = self.refused.take() {
            return Some(Err(error.or_at(self.at)));
        }
        let done = self.loader.epoch != self.epoch || self.loader.per_epoch() == 0;
        (!done).then(|| self.loader.next_batch())
    }
}

/// A thread that prepares batches.
struct Worker {
    batches: Option<Receiver<Result<Vec<Tensor>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(
        dataset: &Arc<dyn Dataset>,
        batches: Batches,
        device: &Device,
        (first_epoch, first_batch): (usize, usize),
        ahead: usize,
        user: Option<&'static Location<'static>>,
    ) -> Worker {
        // One batch waits in the thread's hands.
        let (send, receive) = sync_channel(ahead - 1);
        let (dataset, device) = (dataset.clone(), device.clone());
        let work = move || {
            // Errors name the line that asked for the first batch.
            let _from = user.map(site::from);
            for epoch in first_epoch.. {
                let skip = if epoch == first_epoch { first_batch } else { 0 };
                for (number, indices) in batches.epoch(epoch).enumerate().skip(skip) {
                    let batch = read(&*dataset, &indices, batches.random(epoch, number), &device);
                    let failed = batch.is_err();
                    // The loader may be gone.
                    if send.send(batch).is_err() || failed {
                        return;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("wgrad data".into()).spawn(work);
        Worker { batches: Some(receive), thread: thread.ok() }
    }

    fn next(&mut self) -> Result<Vec<Tensor>> {
        let stopped = "the thread that prepares batches could not start, or panicked";
        let batch = self.batches.as_ref().and_then(|batches| batches.recv().ok());
        batch.unwrap_or_else(|| Err(Error::argument("DataLoader", stopped)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without its receiver the thread ends at its next batch.
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // It may have panicked; `next` has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::Digits;

    fn labels(batch: &[Tensor]) -> Vec<i32> {
        batch[1].to_vec().unwrap()
    }

    fn loader(prefetch: usize) -> DataLoader {
        DataLoader::new(Digits::test(), 50, &Device::cpu()).shuffle(3).prefetch(prefetch)
    }

    #[test]
    fn a_thread_and_a_restored_position_change_no_batch() {
        let mut plain = loader(0);
        let all: Vec<Vec<i32>> = (0..20).map(|_| labels(&plain.next_batch().unwrap())).collect();
        for prefetch in [0, 1, 4] {
            for stop in [0, 1, 7, 8, 13] {
                let mut first = loader(prefetch);
                for expected in &all[..stop] {
                    assert_eq!(labels(&first.next_batch().unwrap()), *expected);
                }
                let mut second = loader(prefetch);
                second.next_batch().unwrap();
                second.restore(first.position()).unwrap();
                for expected in &all[stop..] {
                    assert_eq!(labels(&second.next_batch().unwrap()), *expected);
                }
            }
        }
    }

    #[test]
    fn epochs_end_and_go_on() {
        let mut loader = loader(2);
        assert_eq!(loader.epoch().count(), 8);
        assert_eq!((loader.position().epoch, loader.position().batch), (1, 0));
        loader.epoch().take(3).for_each(|batch| drop(batch.unwrap()));
        assert_eq!((loader.position().epoch, loader.position().batch), (1, 3));
        assert_eq!(loader.epoch().count(), 5);
    }

    #[test]
    fn in_order_without_a_shuffle() {
        let mut loader = DataLoader::new(Digits::test(), 100, &Device::cpu());
        let read: Vec<i32> = loader.epoch().flat_map(|batch| labels(&batch.unwrap())).collect();
        assert_eq!(read, Digits::test().labels);
    }

    #[test]
    fn a_position_of_other_batches_is_refused() {
        let position = loader(0).position();
        for mut other in
            [loader(0).drop_last(true), loader(0).shuffle(4), DataLoader::new(Digits::test(), 51, &Device::cpu())]
        {
            assert!(other.restore(position).unwrap_err().to_string().contains("other batches"));
        }
    }

    struct Broken(AtomicUsize);
    impl Dataset for Broken {
        fn len(&self) -> usize {
            4
        }
        fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                1 => Err(Error::argument("batch", "the disk is gone")),
                3 => panic!("a bug in a data set"),
                _ => Ok(vec![Tensor::from_slice(&[indices[0] as f32], [1], device)]),
            }
        }
    }

    #[test]
    fn errors_and_panics_of_the_thread_come_out_as_errors() {
        let mut loader = DataLoader::new(Broken(AtomicUsize::new(0)), 1, &Device::cpu()).prefetch(1);
        assert_eq!(loader.next_batch().unwrap()[0].item::<f32>().unwrap(), 0.0);
        assert!(loader.next_batch().unwrap_err().to_string().contains("the disk is gone"));
        assert_eq!(loader.next_batch().unwrap()[0].item::<f32>().unwrap(), 1.0);
        assert!(loader.next_batch().unwrap_err().to_string().contains("panicked"));
        assert_eq!(loader.next_batch().unwrap()[0].item::<f32>().unwrap(), 2.0);
        assert!(DataLoader::new(Digits::default(), 1, &Device::cpu()).next_batch().is_err());
    }
}
