//! IDX, the format of MNIST's files: a magic with element type and rank, the dims, the elements; big-endian, often gzipped.

use std::path::Path;

use crate::error::Result;
use crate::io::source::Source;
use crate::io::{failed, write_atomically};

/// The type code of unsigned bytes, the only one that is read.
const BYTES: u8 = 0x08;

/// An IDX file of bytes.
///
/// ```
/// use wgrad::data::Idx;
/// # let folder = std::env::temp_dir().join(format!("wgrad-idx-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("t10k-labels-idx1-ubyte");
/// Idx { dims: vec![3], bytes: vec![7, 2, 1] }.save(&path)?;
/// assert_eq!(Idx::load(&path)?.bytes, [7, 2, 1]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Size along each dim.
    pub dims: Vec<usize>,
    /// The elements, row-major.
    pub bytes: Vec<u8>,
}

impl Idx {
    /// Reads an IDX file, plain or gzipped.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) that names the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Idx> {
        let mut source = Source::open(path.as_ref())?;
        let bytes = source.unpacked()?;
        let bad = |detail: String| source.failed(format!("is no sound IDX file: {detail}"));
        let &[a, b, kind, rank] = bytes.first_chunk().ok_or_else(|| bad(format!("it has {} bytes", bytes.len())))?;
        if (a, b) != (0, 0) {
            return Err(bad(format!("it begins with {a:#04x} {b:#04x}, not with two zeros")));
        }
        if kind != BYTES {
            return Err(bad(format!("its elements are of type {kind:#04x}; only bytes (0x08) are read")));
        }
        let data = 4 + 4 * usize::from(rank);
        let sizes = bytes.get(4..data).ok_or_else(|| bad("its header is cut off".into()))?;
        let dims: Vec<usize> =
            sizes.chunks_exact(4).map(|c| c.iter().fold(0, |n, &byte| n << 8 | usize::from(byte))).collect();
        let numel = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if numel != Some(bytes.len() - data) {
            return Err(bad(format!("dims {dims:?} do not fit its {} elements", bytes.len() - data)));
        }
        Ok(Idx { dims, bytes: bytes[data..].to_vec() })
    }

    /// Writes an IDX file, atomically and plain.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where dims and bytes do not fit each other or the format, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let sizes: Option<Vec<u32>> = self.dims.iter().map(|&d| u32::try_from(d).ok()).collect();
        let numel = self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let (Some(sizes), Ok(rank)) = (sizes, u8::try_from(self.dims.len())) else {
            return Err(failed(path, format!("dims {:?} are too large for an IDX file", self.dims)));
        };
        if numel != Some(self.bytes.len()) {
            return Err(failed(path, format!("dims {:?} do not fit {} bytes", self.dims, self.bytes.len())));
        }
        write_atomically(path, |file| {
            file.write_all(&[0, 0, BYTES, rank])?;
            sizes.iter().try_for_each(|size| file.write_all(&size.to_be_bytes()))?;
            file.write_all(&self.bytes)
        })
    }
}
