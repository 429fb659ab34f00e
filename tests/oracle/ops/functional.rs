//! Ops composed of others: gates, distances, further losses, rearrangements, indexed updates, reductions around NaN.

use wgrad::{Conv, Tensor};

use crate::attributes::Attributes;
use crate::ops::Run;
use crate::ops::network::reduction;

fn references(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

fn both((a, b): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![a, b]
}

fn windows(a: &Attributes) -> Conv {
    Conv {
        stride: a.per_dim("stride", 2, 1)[..].into(),
        padding: a.per_dim("padding", 2, 0)[..].into(),
        dilation: a.per_dim("dilation", 2, 1)[..].into(),
        groups: 1,
    }
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "glu" => |x, a, _| vec![x[0].glu(a.int("dim"))],
        "prelu" => |x, _, _| vec![x[0].prelu(&x[1])],
        "softmin" => |x, a, _| vec![x[0].softmin(a.int("dim"))],
        "dropout" => |x, a, _| vec![x[0].dropout(a.f32("p"), a.flag("training"))],
        "feature_dropout" => |x, a, _| vec![x[0].feature_dropout(a.f32("p"), a.flag("training"))],
        "cosine_similarity" => |x, a, _| vec![x[0].cosine_similarity(&x[1], a.int("dim"))],
        "pairwise_distance" => |x, a, _| vec![x[0].pairwise_distance(&x[1], a.f32("p"))],
        "normalize" => |x, a, _| vec![x[0].normalize(a.f32("p"), a.int("dim"))],
        "margin_ranking" => |x, a, _| vec![reduction(a).margin_ranking(&x[0], &x[1], &x[2], a.f32("margin"))],
        "hinge_embedding" => |x, a, _| vec![reduction(a).hinge_embedding(&x[0], &x[1], a.f32("margin"))],
        "soft_margin" => |x, a, _| vec![reduction(a).soft_margin(&x[0], &x[1])],
        "poisson_nll" => |x, a, _| vec![reduction(a).poisson_nll(&x[0], &x[1])],
        "gaussian_nll" => |x, a, _| vec![reduction(a).gaussian_nll(&x[0], &x[1], &x[2])],
        "triplet_margin" => {
            |x, a, _| vec![reduction(a).triplet_margin(&x[0], &x[1], &x[2], a.f32("margin"), a.f32("p"))]
        }
        "meshgrid" => |x, _, _| Tensor::meshgrid(&references(x)),
        "unbind" => |x, a, _| x[0].unbind(a.int("dim")),
        "hstack" => |x, _, _| vec![Tensor::hstack(&references(x))],
        "vstack" => |x, _, _| vec![Tensor::vstack(&references(x))],
        "rot90" => |x, a, _| vec![x[0].rot90(a.int("k") as i32, (a.ints("dims")[0], a.ints("dims")[1]))],
        "kron" => |x, _, _| vec![x[0].kron(&x[1])],
        "trace" => |x, _, _| vec![x[0].trace()],
        "unflatten" => |x, a, _| vec![x[0].unflatten(a.int("dim"), a.ints("sizes"))],
        "unfold2d" => |x, a, _| vec![x[0].unfold2d(&a.sizes("kernel")[..], windows(a))],
        "fold2d" => |x, a, _| vec![x[0].fold2d(&a.sizes("size")[..], &a.sizes("kernel")[..], windows(a))],
        "index_add" => |x, a, _| vec![x[0].index_add(a.int("dim"), &x[1], &x[2])],
        "index_copy" => |x, a, _| vec![x[0].index_copy(a.int("dim"), &x[1], &x[2])],
        "index_fill" => |x, a, _| vec![x[0].index_fill(a.int("dim"), &x[1], a.f32("value"))],
        "take_along_dim" => |x, a, _| vec![x[0].take_along_dim(&x[1], a.int("dim"))],
        "bincount" => |x, a, _| vec![x[0].bincount(x.get(1), a.size("bins"))],
        "nansum" => |x, a, _| {
            vec![match a.has("dims") {
                true => x[0].nansum_dims(&a.ints("dims"), a.flag("keepdim")),
                false => x[0].nansum(),
            }]
        },
        "nanmean" => |x, a, _| {
            vec![match a.has("dims") {
                true => x[0].nanmean_dims(&a.ints("dims"), a.flag("keepdim")),
                false => x[0].nanmean(),
            }]
        },
        "count_nonzero" => |x, a, _| {
            vec![match a.has("dims") {
                true => x[0].count_nonzero_dims(&a.ints("dims"), a.flag("keepdim")),
                false => x[0].count_nonzero(),
            }]
        },
        "aminmax" => |x, a, _| {
            both(match a.has("dim") {
                true => x[0].aminmax_dim(a.int("dim"), a.flag("keepdim")),
                false => x[0].aminmax(),
            })
        },
        "nanmedian" => |x, _, _| vec![x[0].nanmedian()],
        "nanmedian_dim" => |x, a, _| both(x[0].nanmedian_dim(a.int("dim"), a.flag("keepdim"))),
        "lp_pool1d" => |x, a, _| vec![x[0].lp_pool1d(a.f32("p"), &a.sizes("kernel")[..], &a.sizes("stride")[..])],
        "lp_pool2d" => |x, a, _| vec![x[0].lp_pool2d(a.f32("p"), &a.sizes("kernel")[..], &a.sizes("stride")[..])],
        "lp_pool3d" => |x, a, _| vec![x[0].lp_pool3d(a.f32("p"), &a.sizes("kernel")[..], &a.sizes("stride")[..])],
        _ => return None,
    };
    Some(run)
}
