//! What mini-batches are taken from.

use std::sync::Arc;

use crate::Device;
use crate::data::Digits;
use crate::error::{Error, Result};
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
    /// reproducible, so random changes of the data belong into the training step.
    ///
    /// # Errors
    /// Whatever keeps the samples from being read.
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>>;
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        (**self).batch(indices, device)
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
        let at = std::panic::Location::caller();
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

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        let rows: Vec<u32> = indices.iter().map(|&i| i as u32).collect();
        let rows = Tensor::from_slice(&rows, [rows.len()], self.tensors[0].device());
        Ok(self.tensors.iter().map(|t| t.index_select(0, &rows).to_device(device)).collect())
    }
}

/// Images `[N, 64]` (f32) and labels `[N]` (i32).
impl Dataset for Digits {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        let images: Vec<f32> = indices.iter().flat_map(|&i| self.image(i)).copied().collect();
        let labels: Vec<i32> = indices.iter().map(|&i| self.labels[i]).collect();
        Ok(vec![
            Tensor::from_slice(&images, [indices.len(), Digits::PIXELS], device),
            Tensor::from_slice(&labels, [indices.len()], device),
        ])
    }
}
