//! Linear algebra, softmax, losses.

use wgrad::Tensor;
use wgrad::nn::loss;

use crate::attributes::Attributes;
use crate::ops::Run;

/// Options of the losses with classes; the weights are the third input.
fn options(x: &[Tensor], a: &Attributes) -> loss::CrossEntropy {
    loss::CrossEntropy {
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
        "mse" => |x, _, _| vec![loss::mse(&x[0], &x[1])],
        "l1" => |x, _, _| vec![loss::l1(&x[0], &x[1])],
        "huber" => |x, a, _| vec![loss::huber(&x[0], &x[1], a.f32("delta"))],
        "smooth_l1" => |x, a, _| vec![loss::smooth_l1(&x[0], &x[1], a.f32("beta"))],
        "bce" => |x, _, _| vec![loss::bce(&x[0], &x[1])],
        "bce_with_logits" => |x, _, _| vec![loss::bce_with_logits(&x[0], &x[1])],
        "kl_div" => |x, _, _| vec![loss::kl_div(&x[0], &x[1])],
        "multi_margin" => |x, a, _| vec![loss::multi_margin(&x[0], &x[1], a.f32("margin"))],
        "cosine_embedding" => |x, a, _| vec![loss::cosine_embedding(&x[0], &x[1], &x[2], a.f32("margin"))],
        _ => return None,
    };
    Some(run)
}
