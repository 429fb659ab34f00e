//! The 8×8 handwritten digits that ship with the crate.

use crate::{Device, Tensor};

/// Format, origin and licence: `data/digits/README.md`.
const FILE: &[u8] = include_bytes!("../../data/digits/digits.bin");
const HEADER: usize = 16;
const PIXELS: usize = 64;
const CLASSES: usize = 10;
/// One image in this many belongs to the test split.
const TEST_EVERY: usize = 5;

/// 1,797 handwritten digits of 8×8 pixels: the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
/// C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0), small enough to be part of the library.
///
/// # Split
/// Images are ordered by label, keeping the file's order within a label; every fifth of them (the first, the sixth, …) is
/// a test image. That gives 360 test images, 35 to 37 of each digit, and 1,437 training images, without random numbers.
///
/// ```
/// use wgrad::data::Digits;
///
/// let (train, test) = (Digits::train(), Digits::test());
/// assert_eq!((train.len(), test.len()), (1437, 360));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digits {
    /// Pixels, 64 an image, row by row; 0 is paper, 1 is ink.
    pub images: Vec<f32>,
    /// The digit that each image shows, 0 to 9.
    pub labels: Vec<i32>,
}

impl Digits {
    /// Pixels of an image.
    pub const PIXELS: usize = PIXELS;
    /// Number of classes.
    pub const CLASSES: usize = CLASSES;

    /// All 1,797 images, in the order of the file.
    pub fn load() -> Digits {
        let mut digits = Digits::default();
        for record in FILE[HEADER..].chunks_exact(PIXELS + 1) {
            digits.images.extend(record[..PIXELS].iter().map(|&ink| f32::from(ink) / 16.0));
            digits.labels.push(i32::from(record[PIXELS]));
        }
        digits
    }

    /// The 1,437 images of the training split, in the order of the file.
    pub fn train() -> Digits {
        Digits::split(false)
    }

    /// The 360 images of the test split, in the order of the file.
    pub fn test() -> Digits {
        Digits::split(true)
    }

    fn split(test: bool) -> Digits {
        let all = Digits::load();
        // The file's digits run in near cycles of ten, so every fifth image of the file would favour some digits.
        let mut by_label: Vec<usize> = (0..all.len()).collect();
        by_label.sort_by_key(|&i| all.labels[i]);
        let mut chosen: Vec<usize> = by_label
            .into_iter()
            .enumerate()
            .filter(|(position, _)| (position % TEST_EVERY == 0) == test)
            .map(|(_, i)| i)
            .collect();
        chosen.sort_unstable();

        let mut digits = Digits::default();
        for i in chosen {
            digits.images.extend_from_slice(all.image(i));
            digits.labels.push(all.labels[i]);
        }
        digits
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The 64 pixels of image `i`, row by row.
    ///
    /// # Panics
    /// Where `i` is not below [`len`](Digits::len).
    pub fn image(&self, i: usize) -> &[f32] {
        &self.images[i * PIXELS..(i + 1) * PIXELS]
    }

    /// The images `[N, 64]` (f32) and the labels `[N]` (i32) as tensors on `device`.
    pub fn tensors(&self, device: &Device) -> (Tensor, Tensor) {
        (
            Tensor::from_slice(&self.images, [self.len(), PIXELS], device),
            Tensor::from_slice(&self.labels, [self.len()], device),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_class(digits: &Digits) -> [usize; CLASSES] {
        let mut counts = [0; CLASSES];
        for &label in &digits.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    #[test]
    fn the_header_describes_the_file() {
        let number = |at: usize| u32::from_le_bytes(FILE[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&FILE[..4], b"DIG8");
        assert_eq!([number(4), number(8), number(12)], [1797, 8, 8]);
        assert_eq!(FILE.len(), HEADER + 1797 * (PIXELS + 1));
    }

    #[test]
    fn values_are_those_of_the_origin() {
        let all = Digits::load();
        assert_eq!(per_class(&all), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(all.image(0)[..8].iter().map(|v| v * 16.0).collect::<Vec<_>>(), [0., 0., 5., 13., 9., 1., 0., 0.]);
        // The sum over all intensities, which multiples of 1/16 in f64 hold exactly.
        let sum: f64 = all.images.iter().map(|&v| f64::from(v) * 16.0).sum();
        assert_eq!(sum, 561718.0);
        assert!(all.images.iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn the_splits_are_balanced_and_share_nothing() {
        let (all, train, test) = (Digits::load(), Digits::train(), Digits::test());
        assert_eq!(per_class(&test), [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]);
        assert_eq!(train.len() + test.len(), all.len());

        // Both keep the file's order, so merging them has to give the file back.
        let (mut from_train, mut from_test) = (0, 0);
        for i in 0..all.len() {
            let matches = |split: &Digits, at: usize| {
                at < split.len() && split.labels[at] == all.labels[i] && split.image(at) == all.image(i)
            };
            if matches(&train, from_train) {
                from_train += 1;
            } else {
                assert!(matches(&test, from_test), "image {i} is in neither split");
                from_test += 1;
            }
        }
        assert_eq!((from_train, from_test), (1437, 360));
    }
}
