//! Reductions.

use crate::ops::Run;

/// Reductions over everything, or over `dims`.
macro_rules! table {
    ($op:expr; $($whole:ident $dims:ident)*; $($other:literal => $run:expr,)*) => {
        match $op {
            $(stringify!($whole) => |x, a, _| vec![if a.has("dims") {
                x[0].$dims(&a.ints("dims"), a.flag("keepdim"))
            } else {
                x[0].$whole()
            }],)*
            $($other => $run,)*
            _ => return None,
        }
    };
}

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let run: Run = table! { op;
        sum sum_dims mean mean_dims prod prod_dims max max_dims min min_dims any any_dims all all_dims logsumexp logsumexp_dims;
        "var" => |x, a, _| vec![if a.has("dims") {
            x[0].var_dims(&a.ints("dims"), a.f32("correction"), a.flag("keepdim"))
        } else {
            x[0].var(a.f32("correction"))
        }],
        "std" => |x, a, _| vec![if a.has("dims") {
            x[0].std_dims(&a.ints("dims"), a.f32("correction"), a.flag("keepdim"))
        } else {
            x[0].std(a.f32("correction"))
        }],
        "norm" => |x, a, _| vec![if a.has("dims") {
            x[0].norm_dims(a.f32("p"), &a.ints("dims"), a.flag("keepdim"))
        } else {
            x[0].norm(a.f32("p"))
        }],
        "argmax" => |x, a, _| vec![x[0].argmax(a.int("dim"), a.flag("keepdim"))],
        "argmin" => |x, a, _| vec![x[0].argmin(a.int("dim"), a.flag("keepdim"))],
    };
    Some(run)
}
