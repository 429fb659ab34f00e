//! MNIST and what comes in its form (Fashion-MNIST, KMNIST, QMNIST's subsets).

use std::path::{Path, PathBuf};

use crate::Device;
use crate::data::{Dataset, Idx};
use crate::error::Result;
use crate::io::failed;
use crate::tensor::Tensor;

/// Images and labels from a folder of IDX files, as MNIST (LeCun, Cortes and Burges) and its successors come:
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, each plain or with `.gz`.
///
/// ```no_run
/// use wgrad::data::{DataLoader, Mnist};
/// use wgrad::Device;
/// let train = Mnist::train("mnist")?;
/// println!("{} images of {} × {}", train.labels.len(), train.height, train.width);
/// let loader = DataLoader::new(train, 128, &Device::default()).shuffle(42).prefetch(2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mnist {
    /// Pixels, image by image, row by row; 0 is paper, 255 is ink.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
}

impl Mnist {
    /// The training images of a folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) that names the file that is missing, damaged or does not fit the other one.
    pub fn train(folder: impl AsRef<Path>) -> Result<Mnist> {
        Mnist::load(folder.as_ref(), "train")
    }

    /// The test images of a folder.
    ///
    /// # Errors
    /// As [`Mnist::train`].
    pub fn test(folder: impl AsRef<Path>) -> Result<Mnist> {
        Mnist::load(folder.as_ref(), "t10k")
    }

    fn load(folder: &Path, split: &str) -> Result<Mnist> {
        let (images_path, labels_path) = (find(folder, split, "images", 3)?, find(folder, split, "labels", 1)?);
        let (images, labels) = (Idx::load(&images_path)?, Idx::load(&labels_path)?);
        let &[count, height, width] = &images.dims[..] else {
            return Err(failed(&images_path, format!("has dims {:?}, not images, rows and columns", images.dims)));
        };
        if labels.dims != [count] {
            return Err(failed(&labels_path, format!("has dims {:?}, but there are {count} images", labels.dims)));
        }
        Ok(Mnist { pixels: images.bytes, labels: labels.bytes, height, width })
    }

    /// Writes the images as the files `<split>-images-idx3-ubyte` and `<split>-labels-idx1-ubyte`, where `split` is `train` or
    /// `t10k`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the sizes do not fit each other or the files cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>, split: &str) -> Result<()> {
        let folder = folder.as_ref();
        let dims = vec![self.labels.len(), self.height, self.width];
        Idx { dims, bytes: self.pixels.clone() }.save(folder.join(format!("{split}-images-idx3-ubyte")))?;
        let labels = Idx { dims: vec![self.labels.len()], bytes: self.labels.clone() };
        labels.save(folder.join(format!("{split}-labels-idx1-ubyte")))
    }

    /// The images `[N, 1, height, width]` (f32, 0 to 1) and the labels `[N]` (i32) as tensors on `device`.
    ///
    /// # Errors
    /// Those of [`Dataset::batch`].
    pub fn tensors(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let all: Vec<usize> = (0..self.labels.len()).collect();
        let mut batch = self.batch(&all, device)?;
        let labels = batch.swap_remove(1);
        Ok((batch.swap_remove(0), labels))
    }
}

/// The file of a folder, by the names under which it is known.
fn find(folder: &Path, split: &str, what: &str, rank: u8) -> Result<PathBuf> {
    let names = [format!("{split}-{what}-idx{rank}-ubyte"), format!("{split}-{what}.idx{rank}-ubyte")];
    let candidates = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    candidates.into_iter().find(|path| path.exists()).ok_or_else(|| {
        let detail = if folder.is_dir() {
            format!("there is no {} (or {}.gz) in this folder", names[0], names[0])
        } else {
            "is no folder with IDX files".to_owned()
        };
        failed(folder, detail)
    })
}

/// Images `[N, 1, height, width]` (f32, 0 to 1) and labels `[N]` (i32).
impl Dataset for Mnist {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        let size = self.height * self.width;
        let image = |&i: &usize| &self.pixels[i * size..(i + 1) * size];
        let pixels: Vec<f32> = indices.iter().flat_map(image).map(|&p| f32::from(p) / 255.0).collect();
        let labels: Vec<i32> = indices.iter().map(|&i| i32::from(self.labels[i])).collect();
        Ok(vec![
            Tensor::from_slice(&pixels, [indices.len(), 1, self.height, self.width], device),
            Tensor::from_slice(&labels, [indices.len()], device),
        ])
    }
}
