//! Normalization.

use crate::ops::Run;

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = match op {
        "layer_norm" => |x, a, _| vec![x[0].layer_norm(&x[1], &x[2], a.f32("eps"))],
        "rms_norm" => |x, a, _| vec![x[0].rms_norm(&x[1], a.f32("eps"))],
        "group_norm" => |x, a, _| vec![x[0].group_norm(a.size("groups"), &x[1], &x[2], a.f32("eps"))],
        "instance_norm" => |x, a, _| vec![x[0].instance_norm(None, None, a.f32("eps"))],
        "batch_norm" => |x, a, _| {
            let (training, momentum, eps) = (a.flag("training"), a.f32("momentum"), a.f32("eps"));
            let (y, mean, var) = x[0].batch_norm(&x[1], &x[2], &x[3], &x[4], training, momentum, eps);
            vec![y, mean, var]
        },
        _ => return None,
    };
    Some(run)
}
