//! What mini-batches are taken from.

use std::panic::Location;
use std::sync::Arc;

use crate::Device;
use crate::data::{Batches, Digits, Random};
use crate::error::{Error, Result};
use crate::site;
use crate::tensor::Tensor;

/// A set of samples that can be read by their numbers: what a [`DataLoader`](crate::data::DataLoader) takes its batches from.
///
/// ```
/// use wgrad::data::{DataLoader, Dataset};
/// use wgrad::{Device, Result, Tensor};
///
/// /// Numbers and their squares.
/// struct Squares(usize);
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
///         let x: Vec<f32> = indices.iter().map(|&i| i as f32).collect();
///         let x = Tensor::from_slice(&x, [indices.len(), 1], device);
///         Ok(vec![x.clone(), x.square()])
///     }
/// }
///
/// let mut loader = DataLoader::new(Squares(10), 4, &Device::cpu());
/// let batch = loader.next_batch()?;
/// assert_eq!(batch[1].to_vec::<f32>()?, [0.0, 1.0, 4.0, 9.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples `indices` (each below [`len`](Dataset::len)) as tensors on `device`, such as inputs and targets, with the samples
    /// along dim 0. May run on a thread of its own, ahead of time: what it draws from the device's random numbers would not be
    /// reproducible, so random changes of the data belong into [`Dataset::batch_with`].
    ///
    /// # Errors
    /// Whatever keeps the samples from being read.
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>>;

    /// [`Dataset::batch`] with random changes of the samples (augmentation); without changes, unless a data set says otherwise. This is what a
    /// [`DataLoader`](crate::data::DataLoader) calls. `random` follows from the loader's seed, the epoch and the number of the batch, so a run
    /// that is resumed, or prepares its batches on a thread, sees the same samples. [`Augmented`] does it by a closure.
    ///
    /// # Errors
    /// As [`Dataset::batch`].
    fn batch_with(&self, indices: &[usize], _random: &mut Random, device: &Device) -> Result<Vec<Tensor>> {
        self.batch(indices, device)
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    #[track_caller]
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        let _from = site::from(Location::caller());
        (**self).batch(indices, device)
    }

    fn batch_with(&self, indices: &[usize], random: &mut Random, device: &Device) -> Result<Vec<Tensor>> {
        (**self).batch_with(indices, random, device)
    }
}

/// Tensors whose rows belong together, such as all images and all labels; batches are gathered where the tensors live.
///
/// ```
/// use wgrad::data::{DataLoader, Digits, TensorDataset};
/// use wgrad::Device;
/// let device = Device::default();
/// let (images, labels) = Digits::train().tensors(&device);
/// let mut loader = DataLoader::new(TensorDataset::new(vec![images, labels])?, 32, &device).shuffle(42);
/// let batch = loader.next_batch()?;
/// assert_eq!(batch[0].shape(), [32, 64]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct TensorDataset {
    tensors: Vec<Tensor>,
}

impl TensorDataset {
    /// A data set of the rows of `tensors`.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is no tensor, one is a scalar, or they do not have the same number of rows; the error that
    /// a tensor carries.
    #[track_caller]
    pub fn new(tensors: Vec<Tensor>) -> Result<TensorDataset> {
        let at = Location::caller();
        tensors.iter().try_for_each(Tensor::check)?;
        let rows: Vec<Option<&usize>> = tensors.iter().map(|t| t.shape().first()).collect();
        match rows.first() {
            Some(Some(_)) if rows.iter().all(|r| *r == rows[0]) => Ok(TensorDataset { tensors }),
            _ => {
                let shapes: Vec<&[usize]> = tensors.iter().map(Tensor::shape).collect();
                let detail = format!("tensors of shapes {shapes:?} do not have the same number of rows");
                Err(Error::argument("TensorDataset", detail).or_at(at))
            }
        }
    }

    /// The tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.tensors[0].shape()[0]
    }

    #[track_caller]
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        check_samples("TensorDataset", indices, self.len())?;
        let rows: Vec<u32> = indices.iter().map(|&i| i as u32).collect();
        let rows = Tensor::from_slice(&rows, [rows.len()], self.tensors[0].device());
        Ok(self.tensors.iter().map(|t| t.index_select(0, &rows).to_device(device)).collect())
    }
}

/// Some of the samples of a data set, in an order of their own.
///
/// ```
/// use wgrad::data::{Dataset, Digits, Subset};
/// let first = Subset::new(Digits::train(), (0..100).collect())?;
/// assert_eq!(first.len(), 100);
/// assert!(Subset::new(Digits::train(), vec![1437]).is_err());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples of these numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] where the data set has no sample of one of them.
    #[track_caller]
    pub fn new(dataset: impl Dataset + 'static, indices: Vec<usize>) -> Result<Subset> {
        check_samples("Subset", &indices, dataset.len())?;
        Ok(Subset { dataset: Arc::new(dataset), indices })
    }

    /// Cuts a data set at random into parts of these sizes, which follow from `seed`. (PyTorch's `random_split`.)
    ///
    /// # Errors
    /// [`Error::Argument`] where the sizes do not add up to the data set's.
    #[track_caller]
    pub fn split<const N: usize>(dataset: impl Dataset + 'static, sizes: [usize; N], seed: u64) -> Result<[Subset; N]> {
        let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if total != Some(dataset.len()) {
            let detail = format!("sizes {sizes:?} do not add up to {} samples", dataset.len());
            return Err(Error::argument("Subset", detail).or_at(Location::caller()));
        }
        let mut order = Batches::new(dataset.len(), dataset.len().max(1), seed).epoch(0).flatten();
        let dataset: Arc<dyn Dataset> = Arc::new(dataset);
        Ok(sizes.map(|size| Subset { dataset: dataset.clone(), indices: order.by_ref().take(size).collect() }))
    }

    /// The numbers of the samples in the whole set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    #[track_caller]
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        check_samples("Subset", indices, self.len())?;
        let indices: Vec<usize> = indices.iter().map(|&i| self.indices[i]).collect();
        self.dataset.batch(&indices, device)
    }

    fn batch_with(&self, indices: &[usize], random: &mut Random, device: &Device) -> Result<Vec<Tensor>> {
        let indices: Vec<usize> = indices.iter().map(|&i| self.indices[i]).collect();
        self.dataset.batch_with(&indices, random, device)
    }
}

/// A change of a batch.
type Change = dyn Fn(Vec<Tensor>, &mut Random) -> Result<Vec<Tensor>> + Send + Sync;

/// A data set whose batches are changed at random as a loader hands them out: moved, mirrored, with noise. Evaluate on the data set without it.
///
/// The change may run on the loader's thread, so what it draws comes from the [`Random`] that it is given and not from the device.
///
/// ```
/// use wgrad::data::{Augmented, DataLoader, Digits};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let noisy = Augmented::new(Digits::train(), |batch, random| {
///     let noise: Vec<f32> = (0..batch[0].numel()).map(|_| 0.1 * random.normal()).collect();
///     let noise = Tensor::from_slice(&noise, batch[0].shape(), batch[0].device());
///     Ok(vec![&batch[0] + noise, batch[1].clone()])
/// });
/// let batch = DataLoader::new(noisy, 32, &device).shuffle(42).prefetch(2).next_batch()?;
/// assert_eq!(batch[0].shape(), [32, 64]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Augmented {
    dataset: Arc<dyn Dataset>,
    change: Arc<Change>,
}

impl Augmented {
    /// A data set whose batches go through `change`.
    pub fn new(
        dataset: impl Dataset + 'static,
        change: impl Fn(Vec<Tensor>, &mut Random) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Augmented {
        Augmented { dataset: Arc::new(dataset), change: Arc::new(change) }
    }
}

impl Dataset for Augmented {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        self.dataset.batch(indices, device)
    }

    fn batch_with(&self, indices: &[usize], random: &mut Random, device: &Device) -> Result<Vec<Tensor>> {
        let batch = self.dataset.batch_with(indices, random, device)?;
        (self.change)(batch, random)
    }
}

/// Images `[N, 64]` (f32) and labels `[N]` (i32).
/// That the samples asked for are there.
#[track_caller]
fn check_samples(op: &str, indices: &[usize], len: usize) -> Result<()> {
    let at = Location::caller();
    match indices.iter().find(|&&index| index >= len) {
        None => Ok(()),
        Some(index) => {
            let detail = format!("there is no sample {index} among {len}, which are counted from 0");
            Err(Error::argument(op, detail).or_at(at))
        }
    }
}

impl Dataset for Digits {
    fn len(&self) -> usize {
        self.labels.len()
    }

    #[track_caller]
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        check_samples("Digits", indices, self.len())?;
        let images: Vec<f32> = indices.iter().flat_map(|&i| self.image(i)).copied().collect();
        let labels: Vec<i32> = indices.iter().map(|&i| self.labels[i]).collect();
        Ok(vec![
            Tensor::from_slice(&images, [indices.len(), Digits::PIXELS], device),
            Tensor::from_slice(&labels, [indices.len()], device),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_split_share_nothing_and_leave_nothing_out() {
        let parts = Subset::split(Digits::test(), [100, 0, 260], 7).unwrap();
        let mut all: Vec<usize> = parts.iter().flat_map(|part| part.indices().to_vec()).collect();
        assert!(!all.is_sorted(), "drawn at random");
        all.sort_unstable();
        assert_eq!(all, (0..360).collect::<Vec<_>>());
        let again = Subset::split(Digits::test(), [100, 0, 260], 7).unwrap();
        assert_eq!(parts[2].indices(), again[2].indices());
        assert!(
            Subset::split(Digits::test(), [100, 259], 7).is_err()
                && Subset::split(Digits::test(), [usize::MAX, 2], 7).is_err()
        );
        // Samples are those of the numbers.
        let labels = parts[2].batch(&[3, 0], &Device::cpu()).unwrap()[1].to_vec::<i32>().unwrap();
        let of = |i: usize| Digits::test().labels[parts[2].indices()[i]];
        assert_eq!(labels, [of(3), of(0)]);
    }
}
