//! Views, other movement, indexing, creation.

use wgrad::{ScatterReduction, Tensor};

use crate::ops::Run;

fn references(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "reshape" => |x, a, _| vec![x[0].reshape(a.ints("shape"))],
        "flatten" => |x, a, _| vec![x[0].flatten(a.int("from"), a.int("to"))],
        "squeeze" => |x, a, _| vec![x[0].squeeze(a.int("dim"))],
        "unsqueeze" => |x, a, _| vec![x[0].unsqueeze(a.int("dim"))],
        "permute" => |x, a, _| vec![x[0].permute(&a.ints("order"))],
        "transpose" => |x, a, _| vec![x[0].transpose(a.int("a"), a.int("b"))],
        "t" => |x, _, _| vec![x[0].t()],
        "expand" => |x, a, _| vec![x[0].expand(a.sizes("shape"))],
        "slice" => |x, a, _| {
            let (dim, start) = (a.int("dim"), a.int("start"));
            vec![match a.has("stop") {
                false => x[0].slice(dim, start..),
                true if a.size("step") == 1 => x[0].slice(dim, start..a.int("stop")),
                true => x[0].slice_step(dim, start..a.int("stop"), a.size("step")),
            }]
        },
        "get" => |x, a, _| vec![x[0].get(a.int("index"))],
        "narrow" => |x, a, _| vec![x[0].narrow(a.int("dim"), a.size("start"), a.size("len"))],
        "select" => |x, a, _| vec![x[0].select(a.int("dim"), a.int("index"))],
        "flip" => |x, a, _| vec![x[0].flip(&a.ints("dims"))],
        "roll" => |x, a, _| vec![x[0].roll(&a.ints("shifts"), &a.ints("dims"))],
        "repeat" => |x, a, _| vec![x[0].repeat(&a.sizes("times"))],
        "pad" => |x, a, _| vec![x[0].pad(&a.pairs("padding"), a.f32("value"))],
        "triu" => |x, a, _| vec![x[0].triu(a.int("k") as i32)],
        "tril" => |x, a, _| vec![x[0].tril(a.int("k") as i32)],
        "cat" => |x, a, _| vec![Tensor::cat(&references(x), a.int("dim"))],
        "stack" => |x, a, _| vec![Tensor::stack(&references(x), a.int("dim"))],
        "split" => |x, a, _| x[0].split(&a.sizes("sizes"), a.int("dim")),
        "chunk" => |x, a, _| x[0].chunk(a.size("n"), a.int("dim")),
        "gather" => |x, a, _| vec![x[0].gather(a.int("dim"), &x[1])],
        "scatter" => |x, a, _| vec![x[0].scatter(a.int("dim"), &x[1], &x[2])],
        "scatter_add" => |x, a, _| vec![x[0].scatter_add(a.int("dim"), &x[1], &x[2])],
        "scatter_reduce" => |x, a, _| {
            let reduction = match a.text("reduction") {
                "sum" => ScatterReduction::Sum,
                "mean" => ScatterReduction::Mean,
                "amax" => ScatterReduction::Amax,
                "amin" => ScatterReduction::Amin,
                "prod" => ScatterReduction::Prod,
                other => panic!("no reduction {other}"),
            };
            vec![x[0].scatter_reduce(a.int("dim"), &x[1], &x[2], reduction, a.flag("include_self"))]
        },
        "index_select" => |x, a, _| vec![x[0].index_select(a.int("dim"), &x[1])],
        "embedding" => |x, _, _| vec![Tensor::embedding(&x[0], &x[1])],
        "one_hot" => |x, a, _| vec![x[0].one_hot(a.size("classes"))],
        "arange" => |_, a, device| {
            vec![match a.has("dtype") {
                true => Tensor::arange_as(a.f64("start"), a.f64("end"), a.f64("step"), a.dtype("dtype"), device),
                false => Tensor::arange(a.f32("start"), a.f32("end"), a.f32("step"), device),
            }]
        },
        "linspace" => |_, a, device| vec![Tensor::linspace(a.f32("start"), a.f32("end"), a.size("steps"), device)],
        "eye" => |_, a, device| vec![Tensor::eye(a.size("n"), device)],
        "full" => |_, a, device| {
            vec![match a.has("dtype") {
                true => Tensor::full_as(a.sizes("shape"), a.f32("value"), a.dtype("dtype"), device),
                false => Tensor::full(a.sizes("shape"), a.f32("value"), device),
            }]
        },
        "zeros" => |_, a, device| vec![Tensor::zeros_as(a.sizes("shape"), a.dtype("dtype"), device)],
        "ones" => |_, a, device| vec![Tensor::ones_as(a.sizes("shape"), a.dtype("dtype"), device)],
        "zeros_like" => |x, _, _| vec![x[0].zeros_like()],
        "ones_like" => |x, _, _| vec![x[0].ones_like()],
        "full_like" => |x, a, _| vec![x[0].full_like(a.f32("value"))],
        _ => return None,
    };
    Some(run)
}
