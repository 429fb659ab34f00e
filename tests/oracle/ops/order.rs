//! Order, cumulative ops, products, diagonals.

use wgrad::Tensor;

use crate::ops::Run;

fn both((values, indices): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![values, indices]
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "sort" => |x, a, _| both(x[0].sort(a.int("dim"), a.flag("descending"))),
        "argsort" => |x, a, _| vec![x[0].argsort(a.int("dim"), a.flag("descending"))],
        "topk" => |x, a, _| both(x[0].topk_with(a.size("k"), a.int("dim"), a.flag("largest"), true)),
        "kthvalue" => |x, a, _| both(x[0].kthvalue(a.size("k"), a.int("dim"), a.flag("keepdim"))),
        "median" => |x, _, _| vec![x[0].median()],
        "median_dim" => |x, a, _| both(x[0].median_dim(a.int("dim"), a.flag("keepdim"))),
        "cumsum" => |x, a, _| vec![x[0].cumsum(a.int("dim"))],
        "cumprod" => |x, a, _| vec![x[0].cumprod(a.int("dim"))],
        "logcumsumexp" => |x, a, _| vec![x[0].logcumsumexp(a.int("dim"))],
        "cummax" => |x, a, _| both(x[0].cummax(a.int("dim"))),
        "cummin" => |x, a, _| both(x[0].cummin(a.int("dim"))),
        "diff" => |x, a, _| vec![(0..a.size("n")).fold(x[0].clone(), |y, _| y.diff(a.int("dim")))],
        "diag" => |x, a, _| vec![x[0].diag(a.int("k"))],
        "diagonal" => |x, a, _| vec![x[0].diagonal(a.int("offset"), a.int("dim1"), a.int("dim2"))],
        "diag_embed" => |x, a, _| vec![x[0].diag_embed(a.int("offset"), a.int("dim1"), a.int("dim2"))],
        "einsum" => |x, a, _| vec![Tensor::einsum(a.text("equation"), &x.iter().collect::<Vec<_>>())],
        "tensordot" => |x, a, _| vec![x[0].tensordot(&x[1], (&a.ints("left"), &a.ints("right")))],
        "dot" => |x, _, _| vec![x[0].dot(&x[1])],
        "outer" => |x, _, _| vec![x[0].outer(&x[1])],
        "bmm" => |x, _, _| vec![x[0].bmm(&x[1])],
        "addmm" => |x, a, _| vec![x[0].addmm(&x[1], &x[2], a.f32("beta"), a.f32("alpha"))],
        "movedim" => |x, a, _| vec![x[0].movedim(&a.ints("from"), &a.ints("to"))],
        "tile" => |x, a, _| vec![x[0].tile(&a.sizes("times"))],
        "repeat_interleave" => |x, a, _| vec![x[0].repeat_interleave(a.size("n"), a.int("dim"))],
        "nan_to_num" => |x, a, _| {
            let or = |name: &str, value: f32| if a.has(name) { a.f32(name) } else { value };
            vec![x[0].nan_to_num(or("nan", 0.0), or("posinf", f32::MAX), or("neginf", f32::MIN))]
        },
        "isclose" => |x, a, _| vec![x[0].is_close(&x[1], a.f32("rtol"), a.f32("atol"), a.flag("equal_nan"))],
        _ => return None,
    };
    Some(run)
}
