//! Where a tensor's elements lie in a buffer: shape, strides and offset, and the views that need no copy.

use smallvec::SmallVec;

use crate::shape::Shape;

/// Maps an index over `shape` to an element offset: `offset + Σ index[d] · strides[d]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The index space.
    pub shape: Shape,
    /// Step in elements along each dim; 0 repeats, negative walks backwards.
    pub strides: SmallVec<[isize; 6]>,
    /// Offset of index 0 in elements.
    pub offset: isize,
}

/// A change of index space. `Layout::view` says whether strides alone can express it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The same index space (a new name for the same values).
    Identity,
    /// The same index space in row-major order from offset 0: a copy where the elements lie otherwise.
    Contiguous,
    /// Output dim `i` is input dim `self[i]`.
    Permute(SmallVec<[usize; 6]>),
    /// Dims of size 1 repeat up to the given shape; new dims stand in front.
    Expand(Shape),
    /// Along `dim`: `len` elements from `start`, `step` apart (negative walks backwards).
    Slice {
        /// The dim that is cut.
        dim: usize,
        /// The first element.
        start: usize,
        /// The distance between elements; negative walks backwards.
        step: isize,
        /// Number of elements.
        len: usize,
    },
    /// Windows of `size` elements along `dim`, `step` apart: `dim` counts the windows, a new last dim holds their elements.
    Unfold {
        /// The dim that is cut into windows.
        dim: usize,
        /// Elements of a window.
        size: usize,
        /// The distance between the starts of windows.
        step: usize,
    },
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
}

impl Layout {
    /// Whether the layout walks its buffer from start to end, so that a part of the index space is a part of the buffer.
    pub fn is_flat(&self) -> bool {
        let flat = self.collapsed();
        flat.offset == 0 && flat.shape.rank() == 1 && flat.strides[0] == 1
    }

    /// Row-major layout from offset 0.
    pub fn contiguous(shape: impl Into<Shape>) -> Layout {
        let shape = shape.into();
        Layout { strides: shape.strides(), shape, offset: 0 }
    }

    /// Whether the elements lie in row-major order without gaps from offset 0.
    pub fn is_contiguous(&self) -> bool {
        self.offset == 0 && self.is_dense()
    }

    /// Whether the elements lie in row-major order without gaps, from any offset.
    pub fn is_dense(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 {
                if stride != expected {
                    return false;
                }
                expected *= size as isize;
            }
        }
        true
    }

    /// Whether every index maps to one element (or there is none).
    pub fn is_single(&self) -> bool {
        self.shape.iter().zip(&self.strides).all(|(&size, &stride)| size <= 1 || stride == 0)
    }

    /// The layout seen through `view`; `None` where strides cannot express it and the elements must be copied.
    /// The view must fit the shape (op inference has checked that).
    pub fn view(&self, view: &View) -> Option<Layout> {
        match view {
            View::Identity => Some(self.clone()),
            View::Contiguous => self.is_contiguous().then(|| self.clone()),
            View::Permute(order) => Some(Layout {
                shape: order.iter().map(|&d| self.shape[d]).collect(),
                strides: order.iter().map(|&d| self.strides[d]).collect(),
                offset: self.offset,
            }),
            View::Expand(shape) => {
                let lead = shape.rank() - self.shape.rank();
                let strides = (0..shape.rank())
                    .map(|d| match d.checked_sub(lead) {
                        Some(own) if self.shape[own] == shape[d] => self.strides[own],
                        _ => 0,
                    })
                    .collect();
                Some(Layout { shape: shape.clone(), strides, offset: self.offset })
            }
            View::Slice { dim, start, step, len } => {
                let mut out = self.clone();
                out.offset += *start as isize * self.strides[*dim];
                out.strides[*dim] *= step;
                out.shape.dims_mut()[*dim] = *len;
                Some(out)
            }
            View::Unfold { dim, size, step } => {
                let mut out = self.clone();
                let windows = self.shape[*dim].saturating_sub(*size) / step + 1;
                out.shape = self.shape.with_inserted(self.shape.rank(), *size);
                out.shape.dims_mut()[*dim] = windows;
                // One window is never stepped over, so its step may be as large as it likes.
                out.strides[*dim] = if windows > 1 { self.strides[*dim] * *step as isize } else { 0 };
                out.strides.push(self.strides[*dim]);
                Some(out)
            }
            View::Reshape(shape) => self.reshape(shape),
        }
    }

    fn reshape(&self, shape: &Shape) -> Option<Layout> {
        if self.shape.numel() == 0 || self.is_dense() {
            return Some(Layout { strides: shape.strides(), shape: shape.clone(), offset: self.offset });
        }
        // Each run of old dims that one stride walks can be cut anew, but no new dim may span two runs.
        let runs = self.collapsed();
        let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(0, shape.rank());
        let mut next = runs.shape.rank();
        let (mut left, mut stride) = (1usize, 0isize);
        for d in (0..shape.rank()).rev() {
            let size = shape[d];
            if size == 1 {
                continue;
            }
            if left == 1 {
                next = next.checked_sub(1)?;
                (left, stride) = (runs.shape[next], runs.strides[next]);
            }
            if left % size != 0 {
                return None;
            }
            strides[d] = stride;
            stride *= size as isize;
            left /= size;
        }
        (left == 1 && next == 0).then(|| Layout { shape: shape.clone(), strides, offset: self.offset })
    }

    /// The same row-major walk over as few dims as possible: dims of size 1 dropped, neighbours that one stride walks merged.
    pub fn collapsed(&self) -> Layout {
        let mut shape: SmallVec<[usize; 6]> = SmallVec::new();
        let mut strides: SmallVec<[isize; 6]> = SmallVec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            if size == 1 {
                continue;
            }
            match (shape.last_mut(), strides.last_mut()) {
                (Some(outer_size), Some(outer_stride)) if *outer_stride == stride * size as isize => {
                    *outer_size *= size;
                    *outer_stride = stride;
                }
                _ => {
                    shape.push(size);
                    strides.push(stride);
                }
            }
        }
        Layout { shape: Shape::from(&shape[..]), strides, offset: self.offset }
    }

    /// The element offset of every index in row-major order.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, self.shape.rank());
        let mut offset = self.offset;
        (0..self.shape.numel()).map(move |_| {
            let here = offset as usize;
            for d in (0..index.len()).rev() {
                index[d] += 1;
                offset += self.strides[d];
                if index[d] < self.shape[d] {
                    break;
                }
                offset -= self.shape[d] as isize * self.strides[d];
                index[d] = 0;
            }
            here
        })
    }

    /// Lowest and highest element offset that an index reaches; `None` for an empty index space.
    pub fn span(&self) -> Option<(isize, isize)> {
        if self.shape.numel() == 0 {
            return None;
        }
        let (mut low, mut high) = (self.offset, self.offset);
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = (size as isize - 1) * stride;
            if reach < 0 {
                low += reach;
            } else {
                high += reach;
            }
        }
        Some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(layout: &Layout) -> Vec<usize> {
        layout.offsets().collect()
    }

    #[test]
    fn reshape_keeps_the_walk_or_refuses() {
        let base = Layout::contiguous([4, 6]);
        let transposed = base.view(&View::Permute(SmallVec::from_slice(&[1, 0]))).unwrap();
        assert!(transposed.view(&View::Reshape([24].into())).is_none());
        for target in [[3, 2, 4].as_slice(), &[6, 2, 2], &[6, 1, 4], &[2, 3, 2, 2]] {
            let got = transposed.view(&View::Reshape(target.into())).unwrap();
            assert_eq!(offsets(&got), offsets(&transposed), "{target:?}");
        }
        let slice = base.view(&View::Slice { dim: 1, start: 5, step: -2, len: 3 }).unwrap();
        assert_eq!(slice.offsets().take(3).collect::<Vec<_>>(), [5, 3, 1]);
        assert_eq!(offsets(&slice.collapsed()), offsets(&slice));
        let expanded = Layout::contiguous([3, 1]).view(&View::Expand([2, 3, 4].into())).unwrap();
        assert_eq!(offsets(&expanded), offsets(&expanded.collapsed()));
        assert_eq!(expanded.collapsed().shape.rank(), 3);
        let flat = expanded.view(&View::Reshape([2, 12].into()));
        assert!(flat.is_none());
        assert_eq!(expanded.view(&View::Reshape([2, 3, 2, 2].into())).map(|l| offsets(&l)), Some(offsets(&expanded)));
    }
}
