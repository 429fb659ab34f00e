//! Linear algebra, softmax, indexing.

use std::panic::Location;

use crate::tensor::Tensor;

impl Tensor {
    /// Matrix product. `[…, m, k] · […, k, n] = […, m, n]`; batch dims broadcast; a vector on the left counts as a row, on the
    /// right as a column, and its dim is dropped.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let a = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &device);
    /// let x = Tensor::from_slice(&[1f32, -1.], [2], &device);
    /// assert_eq!(a.matmul(&x).to_vec::<f32>()?, [-1.0, -1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.matmul(&other.node())))
    }

    /// `x · wᵀ + bias` with `w` `[out, in]` and `bias` `[out]`.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.linear(&weight.node(), bias.map(Tensor::node).as_ref())))
    }
}
