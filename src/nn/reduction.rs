//! Losses as methods of [`Reduction`]: what the functions of `loss` average, averaged, added up or as it is.

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::nn::loss::{CrossEntropy, cross_entropy_with, nll_with};
use crate::ops::loss::{self, Reduction};
use crate::shape::Shape;
use crate::site::{self, Site};
use crate::tensor::Tensor;

/// A loss made from `x`: its ops, and errors of theirs, name it.
#[track_caller]
pub(super) fn named(name: &'static str, x: &Tensor, f: impl FnOnce(&Var) -> Result<Var>) -> Tensor {
    let at = Location::caller();
    let _loss = site::function(at, name);
    x.widened().build(at, f)
}

/// [`named`] for a loss of pairs of elements: says where they are made pairs by broadcasting, which is hardly ever meant.
#[track_caller]
fn pairwise(name: &'static str, x: &Tensor, y: &Tensor, f: impl FnOnce(&Var) -> Result<Var>) -> Tensor {
    warn_of_broadcast(name, x, y);
    named(name, x, f)
}

#[track_caller]
fn warn_of_broadcast(name: &'static str, x: &Tensor, y: &Tensor) {
    /// Lines that were warned of: a training loop comes by again and again.
    static WARNED: Mutex<BTreeSet<(&str, u32, u32)>> = Mutex::new(BTreeSet::new());
    let at = Site::from(Location::caller());
    let (a, b) = (Shape::from(x.shape()), Shape::from(y.shape()));
    if a == b || x.check().is_err() || y.check().is_err() {
        return;
    }
    // Shapes that do not broadcast are an error, which says so.
    let Ok(both) = a.broadcast(name, &b) else { return };
    let line = (at.file(), at.line(), at.column());
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(line) {
        log::warn!(
            "{name}: shapes {a} and {b} differ and broadcast to {both}, so that elements are paired with several others: give both \
             the same shape, by reshape or unsqueeze (at {at})"
        );
    }
}

impl Reduction {
    /// [`loss::cross_entropy`](crate::nn::loss::cross_entropy) with this reduction; [`CrossEntropy`] has it as a field.
    #[track_caller]
    pub fn cross_entropy(self, logits: &Tensor, targets: &Tensor) -> Tensor {
        cross_entropy_with(logits, targets, &CrossEntropy { reduction: self, ..CrossEntropy::default() })
    }

    /// [`loss::nll`](crate::nn::loss::nll) with this reduction; [`CrossEntropy`] has it as a field.
    #[track_caller]
    pub fn nll(self, log_probs: &Tensor, targets: &Tensor) -> Tensor {
        nll_with(log_probs, targets, &CrossEntropy { reduction: self, ..CrossEntropy::default() })
    }

    /// [`loss::mse`](crate::nn::loss::mse) with this reduction.
    #[track_caller]
    pub fn mse(self, x: &Tensor, y: &Tensor) -> Tensor {
        pairwise("mse", x, y, |v| Ok(loss::mse(v, &y.node(), self)))
    }

    /// [`loss::l1`](crate::nn::loss::l1) with this reduction.
    #[track_caller]
    pub fn l1(self, x: &Tensor, y: &Tensor) -> Tensor {
        pairwise("l1", x, y, |v| Ok(loss::l1(v, &y.node(), self)))
    }

    /// [`loss::huber`](crate::nn::loss::huber) with this reduction.
    #[track_caller]
    pub fn huber(self, x: &Tensor, y: &Tensor, delta: impl Into<f64>) -> Tensor {
        let delta = delta.into();
        pairwise("huber", x, y, |v| match delta > 0.0 {
            true => Ok(loss::huber(v, &y.node(), v.number(delta), self)),
            false => Err(Error::argument("huber", format!("delta must be above 0, not {delta}"))),
        })
    }

    /// [`loss::smooth_l1`](crate::nn::loss::smooth_l1) with this reduction.
    #[track_caller]
    pub fn smooth_l1(self, x: &Tensor, y: &Tensor, beta: impl Into<f64>) -> Tensor {
        let beta = beta.into();
        pairwise("smooth_l1", x, y, |v| match beta >= 0.0 {
            true => Ok(loss::smooth_l1(v, &y.node(), v.number(beta), self)),
            false => Err(Error::argument("smooth_l1", format!("beta must not be negative, as {beta} is"))),
        })
    }

    /// [`loss::bce`](crate::nn::loss::bce) with this reduction.
    #[track_caller]
    pub fn bce(self, probabilities: &Tensor, targets: &Tensor) -> Tensor {
        pairwise("bce", probabilities, targets, |v| Ok(loss::bce(v, &targets.node(), self)))
    }

    /// [`loss::bce_with_logits`](crate::nn::loss::bce_with_logits) with this reduction.
    #[track_caller]
    pub fn bce_with_logits(self, logits: &Tensor, targets: &Tensor) -> Tensor {
        pairwise("bce_with_logits", logits, targets, |v| Ok(loss::bce_with_logits(v, &targets.node(), self)))
    }

    /// [`loss::bce_with_logits_with`](crate::nn::loss::bce_with_logits_with) with this reduction.
    #[track_caller]
    pub fn bce_with_logits_with(self, logits: &Tensor, targets: &Tensor, pos_weight: &Tensor) -> Tensor {
        let _loss = site::function(Location::caller(), "bce_with_logits");
        let positive = targets * pos_weight * logits.log_sigmoid();
        let negative = (1.0 - targets) * (-logits).log_sigmoid();
        self.of(-(positive + negative))
    }

    /// [`loss::multi_margin`](crate::nn::loss::multi_margin) with this reduction.
    #[track_caller]
    pub fn multi_margin(self, scores: &Tensor, targets: &Tensor, margin: impl Into<f64>) -> Tensor {
        named("multi_margin", scores, |v| loss::multi_margin(v, &targets.node(), v.number(margin), self))
    }

    /// [`loss::kl_div`](crate::nn::loss::kl_div) with this reduction.
    #[track_caller]
    pub fn kl_div(self, log_probs: &Tensor, probabilities: &Tensor) -> Tensor {
        pairwise("kl_div", log_probs, probabilities, |v| Ok(loss::kl_div(v, &probabilities.node(), self)))
    }

    /// [`loss::cosine_embedding`](crate::nn::loss::cosine_embedding) with this reduction.
    #[track_caller]
    pub fn cosine_embedding(self, a: &Tensor, b: &Tensor, sign: &Tensor, margin: impl Into<f64>) -> Tensor {
        named("cosine_embedding", a, |v| Ok(loss::cosine_embedding(v, &b.node(), &sign.node(), v.number(margin), self)))
    }

    /// [`loss::margin_ranking`](crate::nn::loss::margin_ranking) with this reduction.
    #[track_caller]
    pub fn margin_ranking(self, a: &Tensor, b: &Tensor, y: &Tensor, margin: impl Into<f64>) -> Tensor {
        named("margin_ranking", a, |v| Ok(loss::margin_ranking(v, &b.node(), &y.node(), v.number(margin), self)))
    }

    /// [`loss::hinge_embedding`](crate::nn::loss::hinge_embedding) with this reduction.
    #[track_caller]
    pub fn hinge_embedding(self, x: &Tensor, y: &Tensor, margin: impl Into<f64>) -> Tensor {
        named("hinge_embedding", x, |v| Ok(loss::hinge_embedding(v, &y.node(), v.number(margin), self)))
    }

    /// [`loss::triplet_margin`](crate::nn::loss::triplet_margin) with this reduction.
    #[track_caller]
    pub fn triplet_margin(
        self,
        anchor: &Tensor,
        positive: &Tensor,
        negative: &Tensor,
        margin: impl Into<f64>,
        p: impl Into<f64>,
    ) -> Tensor {
        named("triplet_margin", anchor, |v| {
            Ok(loss::triplet_margin(v, &positive.node(), &negative.node(), v.number(margin), v.number(p), self))
        })
    }

    /// [`loss::soft_margin`](crate::nn::loss::soft_margin) with this reduction.
    #[track_caller]
    pub fn soft_margin(self, x: &Tensor, y: &Tensor) -> Tensor {
        pairwise("soft_margin", x, y, |v| Ok(loss::soft_margin(v, &y.node(), self)))
    }

    /// [`loss::poisson_nll`](crate::nn::loss::poisson_nll) with this reduction.
    #[track_caller]
    pub fn poisson_nll(self, log_rates: &Tensor, counts: &Tensor) -> Tensor {
        pairwise("poisson_nll", log_rates, counts, |v| Ok(loss::poisson_nll(v, &counts.node(), self)))
    }

    /// [`loss::gaussian_nll`](crate::nn::loss::gaussian_nll) with this reduction.
    #[track_caller]
    pub fn gaussian_nll(self, means: &Tensor, y: &Tensor, variances: &Tensor) -> Tensor {
        pairwise("gaussian_nll", means, y, |v| Ok(loss::gaussian_nll(v, &y.node(), &variances.node(), self)))
    }

    #[track_caller]
    fn of(self, losses: Tensor) -> Tensor {
        match self {
            Reduction::None => losses,
            Reduction::Sum => losses.sum(),
            Reduction::Mean => losses.mean(),
        }
    }
}
