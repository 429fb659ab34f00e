//! Attention and rotary position embedding.

use std::panic::Location;

use crate::graph::Var;
use crate::ops::rope;
use crate::tensor::Tensor;

impl Tensor {
    /// Attention of these queries to keys and values: `softmax(q kᵀ / √d + mask) v` (Vaswani et al. 2017).
    ///
    /// Shapes, after any equal batch dims: q `[heads, queries, d]`, k `[kv_heads, keys, d]`, v `[kv_heads, keys, v_size]`, all of
    /// floats; the result is `[heads, queries, v_size]`. Fewer key heads than query heads are shared in groups: query head `h`
    /// looks at key head `h / (heads / kv_heads)`.
    ///
    /// `mask` broadcasts to `[.., heads, queries, keys]`: booleans that are true where a query may look, or floats that are added
    /// to the scores (and get a gradient). With `causal`, query `i` sees the keys up to `i`, in addition to the mask. A query
    /// that sees nothing gives 0.
    ///
    /// On GPUs one kernel per pass computes it without storing scores (Dao et al. 2022); gradients of gradients, and software
    /// adapters where the scores are small, use matrix products.
    ///
    /// Carries an error where shapes or types do not fit.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let q = Tensor::randn([2, 4, 5, 8], &device);
    /// let (k, v) = (Tensor::randn([2, 2, 5, 8], &device), Tensor::randn([2, 2, 5, 8], &device));
    /// let y = q.scaled_dot_product_attention(&k, &v, None, true);
    /// assert_eq!(y.shape(), [2, 4, 5, 8]);
    /// // The first query sees the first key alone.
    /// let first = (y.narrow(2, 0, 1).narrow(1, 0, 1) - v.narrow(2, 0, 1).narrow(1, 0, 1)).abs().max();
    /// assert!(first.item::<f32>()? < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scaled_dot_product_attention(&self, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        let (k, v) = (k.narrowed(), v.narrowed());
        self.narrowed().build(Location::caller(), |q| {
            let mask = mask.map(Tensor::node);
            Ok(q.scaled_dot_product_attention(&k.node(), &v.node(), mask.as_ref(), causal, None))
        })
    }

    /// [`Tensor::scaled_dot_product_attention`] with another factor on the scores than `1/√d`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let q = Tensor::randn([2, 5, 16], &device);
    /// let (k, v) = (Tensor::randn([2, 5, 16], &device), Tensor::randn([2, 5, 16], &device));
    /// let y = q.scaled_dot_product_attention_with_scale(&k, &v, None, false, 0.25);
    /// let same = q.scaled_dot_product_attention(&k, &v, None, false); // 1/√16 is 0.25
    /// assert!((y - same).abs().max().item::<f32>()? < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scaled_dot_product_attention_with_scale(
        &self,
        k: &Tensor,
        v: &Tensor,
        mask: Option<&Tensor>,
        causal: bool,
        scale: impl Into<f64>,
    ) -> Tensor {
        let (k, v) = (k.narrowed(), v.narrowed());
        self.narrowed().build(Location::caller(), |q| {
            let mask = mask.map(Tensor::node);
            Ok(q.scaled_dot_product_attention(&k.node(), &v.node(), mask.as_ref(), causal, Some(q.number(scale))))
        })
    }

    /// The same out of primitive ops, which the fused kernels are tested against.
    #[doc(hidden)]
    #[track_caller]
    pub fn attention_composed(&self, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
        self.build(Location::caller(), |q| {
            Ok(q.attention_composed(&k.node(), &v.node(), mask.map(Tensor::node).as_ref(), causal, None))
        })
    }

    /// Rotary position embedding (Su et al. 2021) of `[.., positions, d]`, floats, d even: at position `offset + p` the pair
    /// (xᵢ, xᵢ₊d⸝₂) turns by the angle `(offset + p) · theta^(-2i/d)`. Angles are exact to 2⁻³² of a turn at any position; at most 65,536
    /// positions at once.
    ///
    /// `offset` is the place of the first position, for generation with a cache of keys: a number, or a tensor of i32 or u32 (below 2³¹) with
    /// one element, or with one for each sequence that broadcasts to the dims in front of positions. A captured step with a tensor
    /// works at every position, where a number is part of the recording.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::randn([1, 2, 6, 8], &device);
    /// let y = x.rope(10_000.0, 0);
    /// // The last two positions alone, told where they stand.
    /// let late = x.narrow(2, 4, 2).rope(10_000.0, 4);
    /// assert!((late - y.narrow(2, 4, 2)).abs().max().item::<f32>()? < 1e-6);
    /// let four = Tensor::from_slice(&[4i32], [1], &device);
    /// let late = x.narrow(2, 4, 2).rope(10_000.0, &four);
    /// assert!((late - y.narrow(2, 4, 2)).abs().max().item::<f32>()? < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rope(&self, theta: impl Into<f64>, offset: impl Offset) -> Tensor {
        self.build(Location::caller(), |x| {
            let (first, offsets) = offset.split();
            let table = rope::phases(x.rope_half()?, x.number(theta), first)?;
            let table = self.device().upload(table)?;
            match offsets {
                Some(offsets) => x.rope_from(&table, &offsets),
                None => Ok(x.rope(&table)),
            }
        })
    }
}

/// Where [`Tensor::rope`] starts: a number of positions, or a tensor of them.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::ones([2, 1, 4], &device);
/// let starts = Tensor::from_slice(&[7i32, 9], [2], &device); // one for each sequence
/// let y = x.rope(10_000.0, &starts);
/// assert!((y.get(1) - x.get(1).rope(10_000.0, 9)).abs().max().item::<f32>()? < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Offset {
    /// What is known on the host, and what is not.
    #[doc(hidden)]
    fn split(&self) -> (usize, Option<Var>);
}

impl Offset for usize {
    fn split(&self) -> (usize, Option<Var>) {
        (*self, None)
    }
}

impl Offset for &Tensor {
    fn split(&self) -> (usize, Option<Var>) {
        (0, Some(self.node()))
    }
}
