//! Convolutions.

use wgrad::{Conv, ConvTranspose};

use crate::attributes::Attributes;
use crate::ops::Run;

fn conv(a: &Attributes, dims: usize) -> Conv {
    Conv {
        stride: a.per_dim("stride", dims, 1)[..].into(),
        padding: a.per_dim("padding", dims, 0)[..].into(),
        dilation: a.per_dim("dilation", dims, 1)[..].into(),
        groups: a.per_dim("groups", 1, 1)[0],
    }
}

fn transposed(a: &Attributes, dims: usize) -> ConvTranspose {
    ConvTranspose {
        stride: a.per_dim("stride", dims, 1)[..].into(),
        padding: a.per_dim("padding", dims, 0)[..].into(),
        output_padding: a.per_dim("output_padding", dims, 0)[..].into(),
        dilation: a.per_dim("dilation", dims, 1)[..].into(),
        groups: a.per_dim("groups", 1, 1)[0],
    }
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "conv1d" => |x, a, _| vec![x[0].conv1d(&x[1], x.get(2), conv(a, 1))],
        "conv2d" => |x, a, _| vec![x[0].conv2d(&x[1], x.get(2), conv(a, 2))],
        "conv3d" => |x, a, _| vec![x[0].conv3d(&x[1], x.get(2), conv(a, 3))],
        "conv_transpose1d" => |x, a, _| vec![x[0].conv_transpose1d(&x[1], x.get(2), transposed(a, 1))],
        "conv_transpose2d" => |x, a, _| vec![x[0].conv_transpose2d(&x[1], x.get(2), transposed(a, 2))],
        "conv_transpose3d" => |x, a, _| vec![x[0].conv_transpose3d(&x[1], x.get(2), transposed(a, 3))],
        "unfold" => |x, a, _| vec![x[0].unfold(a.int("dim"), a.size("size"), a.size("step"))],
        _ => return None,
    };
    Some(run)
}
