//! The table from an op's name in the fixtures to the call of this crate.

mod elementwise;
mod movement;
mod network;
mod reduce;

use wgrad::{Device, Tensor};

use crate::attributes::Attributes;

/// Calls an op on the inputs of a case. The device is for ops without inputs.
pub type Run = fn(&[Tensor], &Attributes, &Device) -> Vec<Tensor>;

/// THE ONE LIST of ops that have fixtures but no call here yet. A test fails where an op is in both.
pub const NOT_YET: &[&str] = &[
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "addmm",
    "argsort",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bmm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "diag",
    "diag_embed",
    "diagonal",
    "diff",
    "dot",
    "einsum",
    "group_norm",
    "instance_norm",
    "interpolate",
    "isclose",
    "kthvalue",
    "layer_norm",
    "logcumsumexp",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "median",
    "median_dim",
    "movedim",
    "nan_to_num",
    "outer",
    "pixel_shuffle",
    "pixel_unshuffle",
    "repeat_interleave",
    "rms_norm",
    "rope",
    "scaled_dot_product_attention",
    "sort",
    "tensordot",
    "tile",
    "topk",
    "unfold",
];

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    elementwise::find(op).or_else(|| reduce::find(op)).or_else(|| movement::find(op)).or_else(|| network::find(op))
}
