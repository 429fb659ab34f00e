//! Pooling and interpolation.

use wgrad::{AvgPool, Interpolate, Pool, Tensor};

use crate::attributes::Attributes;
use crate::ops::Run;

/// Options of max pooling; the stride is the kernel where it is not given.
fn pool(a: &Attributes, dims: usize) -> Pool {
    let kernel = a.per_dim("kernel", dims, 1);
    Pool {
        kernel: kernel[..].into(),
        stride: if a.has("stride") { a.per_dim("stride", dims, 1) } else { kernel }[..].into(),
        padding: a.per_dim("padding", dims, 0)[..].into(),
        dilation: a.per_dim("dilation", dims, 1)[..].into(),
        ceil_mode: a.flag("ceil_mode"),
    }
}

fn average(a: &Attributes, dims: usize) -> AvgPool {
    let Pool { kernel, stride, padding, ceil_mode, .. } = pool(a, dims);
    let count_include_pad = !a.has("count_include_pad") || a.flag("count_include_pad");
    let divisor_override = a.has("divisor_override").then(|| a.size("divisor_override"));
    AvgPool { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override }
}

fn both((values, indices): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![values, indices]
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "max_pool1d" => |x, a, _| both(x[0].max_pool1d_with(&pool(a, 1))),
        "max_pool2d" => |x, a, _| both(x[0].max_pool2d_with(&pool(a, 2))),
        "max_pool3d" => |x, a, _| both(x[0].max_pool3d_with(&pool(a, 3))),
        "avg_pool1d" => |x, a, _| vec![x[0].avg_pool1d_with(&average(a, 1))],
        "avg_pool2d" => |x, a, _| vec![x[0].avg_pool2d_with(&average(a, 2))],
        "avg_pool3d" => |x, a, _| vec![x[0].avg_pool3d_with(&average(a, 3))],
        "adaptive_avg_pool1d" => |x, a, _| vec![x[0].adaptive_avg_pool1d(&a.sizes("size")[..])],
        "adaptive_avg_pool2d" => |x, a, _| vec![x[0].adaptive_avg_pool2d(&a.sizes("size")[..])],
        "adaptive_avg_pool3d" => |x, a, _| vec![x[0].adaptive_avg_pool3d(&a.sizes("size")[..])],
        "adaptive_max_pool1d" => |x, a, _| both(x[0].adaptive_max_pool1d_with_indices(&a.sizes("size")[..])),
        "adaptive_max_pool2d" => |x, a, _| both(x[0].adaptive_max_pool2d_with_indices(&a.sizes("size")[..])),
        "adaptive_max_pool3d" => |x, a, _| both(x[0].adaptive_max_pool3d_with_indices(&a.sizes("size")[..])),
        "interpolate" => |x, a, _| {
            let mode = match a.text("mode") {
                "nearest" => Interpolate::Nearest,
                "nearest_exact" => Interpolate::NearestExact,
                "bilinear_aligned" => Interpolate::BilinearAligned,
                "bicubic" => Interpolate::Bicubic,
                "bicubic_aligned" => Interpolate::BicubicAligned,
                "area" => Interpolate::Area,
                _ => Interpolate::Bilinear,
            };
            vec![match a.has("factor") {
                true => x[0].interpolate_by(&[a.f64("factor")], mode),
                false => x[0].interpolate(&a.sizes("size"), mode),
            }]
        },
        "pixel_shuffle" => |x, a, _| vec![x[0].pixel_shuffle(a.size("factor"))],
        "pixel_unshuffle" => |x, a, _| vec![x[0].pixel_unshuffle(a.size("factor"))],
        _ => return None,
    };
    Some(run)
}
