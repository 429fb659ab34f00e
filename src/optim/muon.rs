//! Muon.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::recording;
use crate::optim::driver::{Rule, StateField, Update, in_domain, not_negative};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Coefficients of the quintic Newton-Schulz iteration, chosen for a steep slope at 0 (Jordan 2024).
const COEFFICIENTS: (f32, f32, f32) = (3.4445, -4.775, 2.0315);

super::optimizer! {
    /// Muon (Jordan et al. 2024, *Muon: an optimizer for hidden layers in neural networks*) for weights of two dims: the momentum is made
    /// nearly orthogonal by five Newton-Schulz iterations before it is added, so that all directions move alike. In PyTorch's form:
    /// `b ← μ·b + (1−μ)·g`, `u = (1−μ)·g + μ·b`, `p ← p·(1 − lr·λ) − lr·√max(1, rows/columns) · NS(u)`. The iterations run in
    /// the parameter's own type, f32 where it is f16. Biases, norms and embeddings are for another optimizer.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Muon};
    /// let w = Tensor::eye(3, &Device::default()).requires_grad();
    /// let mut optimizer = Muon::new(vec![w.clone()], 0.1).weight_decay(0.0);
    /// w.square().sum().backward()?;
    /// optimizer.step()?;
    /// assert!(w.sum().item::<f32>()? < 2.9);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Muon(Orthogonal { momentum: 0.95, nesterov: true, iterations: 5, eps: 1e-7, scale: MuonScale::Original });
    /// Muon with a momentum of 0.95 (Nesterov's), a weight decay of 0.1 and five iterations.
    new;
    weight_decay = 0.1, decoupled;
    @momentum |rule| rule.momentum;
    /// How slowly the running mean of gradients forgets.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Muon};
    /// let w = Tensor::zeros([1, 1], &Device::default()).requires_grad();
    /// let mut optimizer = Muon::new(vec![w.clone()], 0.1).momentum(0.5);
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert_eq!(optimizer.state_dict()["state.0.momentum_buffer"].item::<f32>()?, 0.5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    momentum: f32;
    /// Looks ahead along the momentum.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Muon};
    /// let moved = |nesterov: bool| -> wgrad::Result<f32> {
    ///     let w = Tensor::zeros([1, 1], &Device::cpu()).requires_grad();
    ///     let mut optimizer = Muon::new(vec![w.clone()], 0.5).momentum(0.5).iterations(0).weight_decay(0.0).nesterov(nesterov);
    ///     for gradient in [4.0, -1.0] {
    ///         optimizer.zero_grad();
    ///         (&w * gradient).sum().backward()?;
    ///         optimizer.step()?;
    ///     }
    ///     w.item::<f32>()
    /// };
    /// assert!((moved(false)? + 1.0).abs() < 1e-5); // the momentum, 0.5 · 2 − 0.5 · 1, still goes on
    /// assert!(moved(true)?.abs() < 1e-5); // with the gradient it turns back
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    nesterov: bool;
    /// Number of Newton-Schulz iterations, fewer than 100.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Muon};
    /// let w = Tensor::zeros([1, 1], &Device::default()).requires_grad();
    /// let mut optimizer = Muon::new(vec![w.clone()], 0.5).iterations(0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // along the momentum, made as long as 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    iterations: usize;
    /// The least norm that a momentum is divided by.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Muon};
    /// let w = Tensor::zeros([1, 1], &Device::default()).requires_grad();
    /// let mut optimizer = Muon::new(vec![w.clone()], 0.5).iterations(0).momentum(0.0).eps(2.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.25).abs() < 1e-5); // 1 / max(1, 2)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// How the learning rate follows from the shape of a weight.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::{Muon, MuonScale}};
    /// let w = Tensor::zeros([1, 1], &Device::default()).requires_grad();
    /// let mut optimizer = Muon::new(vec![w.clone()], 0.5).iterations(0).scale(MuonScale::MatchAdamW);
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.1).abs() < 1e-5); // 0.5 · 0.2 · √1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    scale: MuonScale;
}

/// How the learning rate follows from the shape of a weight.
///
/// ```
/// use wgrad::{Device, Tensor, optim::{Muon, MuonScale}};
/// let w = Tensor::eye(3, &Device::cpu()).requires_grad();
/// let mut optimizer = Muon::new(vec![w.clone()], 1e-2).scale(MuonScale::MatchAdamW);
/// w.square().sum().backward()?;
/// optimizer.step()?;
/// assert!(w.sum().item::<f32>()? < 3.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MuonScale {
    /// By `√max(1, rows/columns)`.
    #[default]
    Original,
    /// By `0.2·√max(rows, columns)`, so that rates tuned for AdamW fit (Liu et al. 2025, arXiv 2502.16982).
    MatchAdamW,
}

struct Orthogonal {
    momentum: f32,
    nesterov: bool,
    iterations: usize,
    eps: f32,
    scale: MuonScale,
}

impl Rule for Orthogonal {
    fn validate(&self, op: &str) -> Result<()> {
        not_negative(op, &[("momentum", self.momentum), ("eps", self.eps)])?;
        in_domain(op, "iterations", self.iterations as f32, "0 to 99", |n| n < 100.0)
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("momentum_buffer")]
    }

    fn accepts(&self, op: &str, parameter: &Tensor) -> Result<()> {
        if parameter.rank() == 2 {
            return Ok(());
        }
        let detail = "Muon is for weights of two dims; give others to another optimizer";
        Err(Error::shape(op, detail, &[&Shape::from(parameter.shape())]))
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let share = cx.momentum(self.momentum);
        let momentum = share.rest().lerp(cx.state(0), &cx.g);
        let along = if self.nesterov { share.lerp(&cx.g, &momentum) } else { momentum.clone() };
        let (rows, columns) = (cx.p.shape()[0] as f64, cx.p.shape()[1] as f64);
        let scale = match self.scale {
            MuonScale::Original => (rows / columns).max(1.0).sqrt(),
            MuonScale::MatchAdamW => 0.2 * rows.max(columns).sqrt(),
        };
        let wide = if cx.p.dtype() == DType::F16 { along.to_dtype(DType::F32) } else { along };
        let along = orthogonalised(&wide, self.iterations, self.eps).to_dtype(cx.p.dtype());
        (cx.shrunk() - along.mul(recording::follow(cx.rate() * scale)), vec![momentum])
    }
}

/// `x` with all its singular values brought near 1.
fn orthogonalised(x: &Tensor, iterations: usize, eps: f32) -> Tensor {
    let (a, b, c) = COEFFICIENTS;
    // The products are smallest over the shorter side.
    let tall = x.shape()[0] > x.shape()[1];
    let x = if tall { x.t() } else { x.clone() };
    let mut x = &x / &x.square().sum().sqrt().clamp_min(eps);
    for _ in 0..iterations {
        let gram = x.matmul(&x.t());
        let polynomial = gram.matmul(&gram) * c + &gram * b;
        x = polynomial.matmul(&x) + &x * a;
    }
    if tall { x.t() } else { x }
}
