//! Numbers of windows: one for all spatial dims, or one for each.

use crate::error::{Error, Result};

/// Spatial dims that there are at most.
pub(super) const DIMS: usize = 3;

/// One number for all spatial dims (`2.into()`), or one for each (`[2, 1].into()`).
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

impl std::fmt::Debug for PerDim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.count {
            1 => self.sizes[0].fmt(f),
            count => f.debug_list().entries(&self.sizes[..count.min(DIMS)]).finish(),
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
