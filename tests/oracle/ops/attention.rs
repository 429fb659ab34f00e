//! Attention and rotary position embedding.

use crate::ops::Run;

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "scaled_dot_product_attention" => {
            |x, a, _| vec![x[0].scaled_dot_product_attention(&x[1], &x[2], x.get(3), a.flag("causal"))]
        }
        "rope" => |x, a, _| vec![x[0].rope(a.f32("theta"), a.size("offset"))],
        _ => return None,
    };
    Some(run)
}
