//! Linear algebra, softmax, losses.

use wgrad::Tensor;
use wgrad::nn::loss::{self, Reduction};

use crate::attributes::Attributes;
use crate::ops::Run;

/// What the loss returns: the mean where nothing is said.
pub fn reduction(a: &Attributes) -> Reduction {
    match a.has("reduction").then(|| a.text("reduction")) {
        None | Some("mean") => Reduction::Mean,
        Some("sum") => Reduction::Sum,
        Some("none") => Reduction::None,
        Some(other) => panic!("no reduction {other}"),
    }
}

/// Options of the losses with classes; the weights are the third input.
fn options(x: &[Tensor], a: &Attributes) -> loss::CrossEntropy {
    loss::CrossEntropy {
        reduction: reduction(a),
        label_smoothing: if a.has("label_smoothing") { a.f32("label_smoothing") } else { 0.0 },
        ignore_index: a.has("ignore_index").then(|| a.int("ignore_index") as i32),
        weight: a.flag("weighted").then(|| x[2].clone()),
    }
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "matmul" => |x, _, _| vec![x[0].matmul(&x[1])],
        "linear" => |x, _, _| vec![x[0].linear(&x[1], x.get(2))],
        "softmax" => |x, a, _| vec![x[0].softmax(a.int("dim"))],
        "log_softmax" => |x, a, _| vec![x[0].log_softmax(a.int("dim"))],
        "cross_entropy" => |x, a, _| vec![loss::cross_entropy_with(&x[0], &x[1], &options(x, a))],
        "nll" => |x, a, _| vec![loss::nll_with(&x[0], &x[1], &options(x, a))],
        "mse" => |x, a, _| vec![reduction(a).mse(&x[0], &x[1])],
        "l1" => |x, a, _| vec![reduction(a).l1(&x[0], &x[1])],
        "huber" => |x, a, _| vec![reduction(a).huber(&x[0], &x[1], a.f32("delta"))],
        "smooth_l1" => |x, a, _| vec![reduction(a).smooth_l1(&x[0], &x[1], a.f32("beta"))],
        "bce" => |x, a, _| vec![reduction(a).bce(&x[0], &x[1])],
        "bce_with_logits" => |x, a, _| {
            vec![match x.get(2) {
                Some(weight) => reduction(a).bce_with_logits_with(&x[0], &x[1], weight),
                None => reduction(a).bce_with_logits(&x[0], &x[1]),
            }]
        },
        "kl_div" => |x, a, _| vec![reduction(a).kl_div(&x[0], &x[1])],
        "multi_margin" => |x, a, _| vec![reduction(a).multi_margin(&x[0], &x[1], a.f32("margin"))],
        "cosine_embedding" => |x, a, _| vec![reduction(a).cosine_embedding(&x[0], &x[1], &x[2], a.f32("margin"))],
        _ => return None,
    };
    Some(run)
}
