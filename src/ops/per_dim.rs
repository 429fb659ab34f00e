//! Numbers of windows: one for all spatial dims, or one for each.

use std::fmt;

use crate::error::{Error, Result};

/// Spatial dims that there are at most.
pub(super) const DIMS: usize = 3;

/// One number for all spatial dims (`2.into()`), or one for each (`[2, 1].into()`).
///
/// ```
/// use wgrad::{Device, PerDim, Tensor};
/// let x = Tensor::ones([1, 1, 4, 4], &Device::cpu());
/// let (both, each) = (PerDim::from(2), PerDim::from([2, 1]));
/// assert_eq!(x.avg_pool2d(both, both, 0).shape(), [1, 1, 2, 2]);
/// assert_eq!(x.avg_pool2d(each, each, 0).shape(), [1, 1, 2, 4]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PerDim {
    /// The first [`DIMS`] numbers.
    sizes: [usize; DIMS],
    /// How many numbers were given.
    count: usize,
}

impl PerDim {
    /// One number for each of `dims` spatial dims; dims that are missing in front of the third are `missing`.
    ///
    /// # Errors
    /// [`Error::Argument`] where another count of numbers was given.
    pub(crate) fn resolve(self, op: &str, what: &str, dims: usize, missing: usize) -> Result<[usize; DIMS]> {
        let mut out = [missing; DIMS];
        match self.count {
            1 => out[DIMS - dims..].fill(self.sizes[0]),
            n if n == dims => out[DIMS - dims..].copy_from_slice(&self.sizes[..dims]),
            n => {
                let detail = format!("{what} has {n} numbers; give one, or one for each of the {dims} spatial dims");
                return Err(Error::argument(op, detail));
            }
        }
        Ok(out)
    }
}

impl fmt::Debug for PerDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.sizes[0].fmt(f),
            n => self.sizes[..n.min(DIMS)].fmt(f),
        }
    }
}

impl From<usize> for PerDim {
    fn from(size: usize) -> PerDim {
        PerDim::from([size])
    }
}

impl<const N: usize> From<[usize; N]> for PerDim {
    fn from(sizes: [usize; N]) -> PerDim {
        PerDim::from(&sizes[..])
    }
}

impl From<&[usize]> for PerDim {
    fn from(given: &[usize]) -> PerDim {
        let mut sizes = [0; DIMS];
        sizes.iter_mut().zip(given).for_each(|(size, &given)| *size = given);
        PerDim { sizes, count: given.len() }
    }
}
