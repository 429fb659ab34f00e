//! Every op that users see: its types, how it runs, the shaders of both directions. `docs/OPS.md` is made from it, and tests hold
//! it against the methods of `Tensor`, the shader files and the gradient checks.

use crate::ops::elementwise::rows;
use crate::ops::elementwise::table::RowKind;

/// Element types that an op takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// f16, f32, and f64 on the CPU reference.
    Floats,
    /// Floats, i32 and u32.
    Numbers,
    /// Numbers and booleans.
    All,
    /// Booleans; numbers count as true where they are not 0.
    Bools,
    /// i32 and u32.
    Integers,
    /// None: the op makes f32 values (or what the table's form says) from nothing.
    Source,
}

/// How an op runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An elementwise function, fused with its neighbours.
    Elementwise,
    /// A reduction, fused with what it reads and with what reads it.
    Reduction,
    /// Another walk over the same memory.
    View,
    /// Shaders of its own; elementwise consumers fuse into the last store.
    Routine,
    /// Other ops, which fuse as they can.
    Composed,
}

/// Which derivatives there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// None: the op is not differentiable.
    None,
    /// Of any order.
    Any,
}

/// An op.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Heading in the documentation.
    pub family: &'static str,
    /// Name of the method.
    pub name: &'static str,
    /// Element types.
    pub types: Types,
    /// How it runs.
    pub form: Form,
    /// Shader files below `shaders/`, without ending. Composed ops name those of the ops that do the work.
    pub forward: &'static [&'static str],
    /// The same for the gradient, where it has files of its own; else the gradient is other ops.
    pub backward: &'static [&'static str],
    /// Derivatives.
    pub gradient: Gradient,
}

/// A row of the table below.
type Row = (&'static str, Types, Form, &'static [&'static str], &'static [&'static str], Gradient);

use Form::{Composed, Reduction, Routine, View};
use Gradient::{Any, None as No};
use Types::{All, Bools, Floats, Integers, Numbers, Source};

const MATMUL: &[&str] =
    &["matmul/tiled", "software/matmul/subgroup", "software/matmul/plain", "software/matmul/pack", "matmul/sum"];
const REDUCE: &[&str] = &["reduce/combine"];
const PAD: &[&str] = &["pad/forward"];
const CONV: &[&str] = &["conv/forward"];
const CONV_BACK: &[&str] = &["conv/input_gradient", "conv/weight_gradient"];
const TRANSPOSED: &[&str] = &["conv/input_gradient"];
const TRANSPOSED_BACK: &[&str] = &["conv/forward", "conv/weight_gradient"];
const GATHER: &[&str] = &["index/gather"];
const SCATTER: &[&str] = &["index/scatter_add", "index/segment_sum", "sort/merge"];
const LAST: &[&str] = &["index/last_writer", "index/last_of_segment"];
const SORT: &[&str] = &["sort/block", "sort/merge"];
const SCAN: &[&str] = &["scan/scan", "scan/reduce"];
const NORM: &[&str] = &["norm/forward"];
const NORM_BACK: &[&str] = &["norm/backward"];
const LARGEST: &[&str] = &["pool/largest"];
const SPREAD: &[&str] = &["pool/spread"];
const WINDOW: &[&str] = &["window/forward"];
const WINDOW_BACK: &[&str] = &["window/transpose"];
const SOFTMAX: &[&str] = &["softmax/forward"];
const SOFTMAX_BACK: &[&str] = &["softmax/backward"];
const ENTROPY: &[&str] = &["cross_entropy/forward"];
const ENTROPY_BACK: &[&str] = &["cross_entropy/backward"];
const RANDOM: &[&str] = &["elementwise/random"];
const MASK: &[&str] = &["elementwise/mask"];

/// Everything that is not a row of the elementwise table.
const STRUCTURED: &[(&str, &[Row])] = &[
    (
        "Creation",
        &[
            ("full", Source, View, &[], &[], No),
            ("zeros", Source, View, &[], &[], No),
            ("ones", Source, View, &[], &[], No),
            ("full_like", All, View, &[], &[], No),
            ("zeros_like", All, View, &[], &[], No),
            ("ones_like", All, View, &[], &[], No),
            ("arange", Source, Form::Elementwise, &["elementwise/arange"], &[], No),
            ("linspace", Source, Form::Elementwise, &["elementwise/arange"], &[], No),
            ("eye", Source, Form::Elementwise, MASK, &[], No),
            ("rand", Source, Form::Elementwise, RANDOM, &[], No),
            ("randn", Source, Form::Elementwise, RANDOM, &[], No),
            ("rand_like", Floats, Form::Elementwise, RANDOM, &[], No),
            ("randn_like", Floats, Form::Elementwise, RANDOM, &[], No),
            ("uniform", Source, Form::Elementwise, RANDOM, &[], No),
            ("randint", Source, Form::Elementwise, RANDOM, &[], No),
            ("bernoulli", Source, Form::Elementwise, RANDOM, &[], No),
            ("normal", Source, Form::Elementwise, RANDOM, &[], No),
            ("poisson", Floats, Form::Elementwise, RANDOM, &[], No),
            ("categorical", Floats, Composed, RANDOM, &[], No),
            ("multinomial", Floats, Composed, RANDOM, &[], No),
            ("randperm", Source, Routine, SORT, &[], No),
        ],
    ),
    (
        "Elementwise, composed",
        &[
            ("to_dtype", All, Form::Elementwise, &["elementwise/cast"], &["elementwise/cast"], Any),
            ("powi", Floats, Form::Elementwise, &["elementwise/powf"], &["elementwise/powf"], Any),
            ("rem", Numbers, Form::Elementwise, &["elementwise/fmod"], &["elementwise/fmod"], Any),
            ("masked_fill", All, Form::Elementwise, &["elementwise/where_"], &["elementwise/where_"], Any),
            ("nan_to_num", Floats, Composed, &["elementwise/where_"], &[], Any),
            ("is_close", Numbers, Composed, &["elementwise/le"], &[], No),
            ("glu", Floats, Composed, &["elementwise/sigmoid"], &[], Any),
            ("prelu", Floats, Composed, &["elementwise/where_"], &[], Any),
            ("dropout", Floats, Composed, RANDOM, &[], Any),
            ("feature_dropout", Floats, Composed, RANDOM, &[], Any),
        ],
    ),
    (
        "Reductions",
        &[
            ("sum", Numbers, Reduction, REDUCE, &[], Any),
            ("mean", Floats, Reduction, REDUCE, &[], Any),
            ("prod", Numbers, Reduction, REDUCE, &[], Any),
            ("max", All, Reduction, REDUCE, &[], Any),
            ("min", All, Reduction, REDUCE, &[], Any),
            ("aminmax", All, Reduction, REDUCE, &[], Any),
            ("argmax", All, Reduction, REDUCE, &[], No),
            ("argmin", All, Reduction, REDUCE, &[], No),
            ("any", Bools, Reduction, REDUCE, &[], No),
            ("all", Bools, Reduction, REDUCE, &[], No),
            ("count_nonzero", All, Reduction, REDUCE, &[], No),
            ("var", Floats, Composed, REDUCE, &[], Any),
            ("std", Floats, Composed, REDUCE, &[], Any),
            ("norm", Floats, Composed, REDUCE, &[], Any),
            ("logsumexp", Floats, Composed, REDUCE, &[], Any),
            ("nansum", Floats, Composed, REDUCE, &[], Any),
            ("nanmean", Floats, Composed, REDUCE, &[], Any),
            ("trace", Numbers, Composed, REDUCE, &[], Any),
            ("allclose", Numbers, Composed, REDUCE, &[], No),
        ],
    ),
    (
        "Scans",
        &[
            ("cumsum", Numbers, Routine, SCAN, SCAN, Any),
            ("cumprod", Numbers, Routine, SCAN, SCAN, Any),
            ("cummax", Numbers, Routine, SCAN, GATHER, Any),
            ("cummin", Numbers, Routine, SCAN, GATHER, Any),
            ("logcumsumexp", Floats, Routine, SCAN, SCAN, Any),
            ("diff", Numbers, Composed, &["elementwise/sub"], &[], Any),
        ],
    ),
    (
        "Order",
        &[
            ("sort", All, Routine, SORT, SCATTER, Any),
            ("argsort", All, Routine, SORT, &[], No),
            ("topk", All, Routine, SORT, SCATTER, Any),
            ("kthvalue", All, Routine, SORT, SCATTER, Any),
            ("median", Numbers, Routine, SORT, SCATTER, Any),
            ("nanmedian", Floats, Routine, SORT, SCATTER, Any),
            ("bincount", Integers, Routine, SCATTER, &[], No),
        ],
    ),
    (
        "Views and movement",
        &[
            ("reshape", All, View, &[], &[], Any),
            ("flatten", All, View, &[], &[], Any),
            ("unflatten", All, View, &[], &[], Any),
            ("squeeze", All, View, &[], &[], Any),
            ("unsqueeze", All, View, &[], &[], Any),
            ("permute", All, View, &[], &[], Any),
            ("transpose", All, View, &[], &[], Any),
            ("t", All, View, &[], &[], Any),
            ("movedim", All, View, &[], &[], Any),
            ("expand", All, View, &[], REDUCE, Any),
            ("slice", All, View, &[], PAD, Any),
            ("slice_step", All, View, &[], PAD, Any),
            ("narrow", All, View, &[], PAD, Any),
            ("select", All, View, &[], PAD, Any),
            ("get", All, View, &[], PAD, Any),
            ("unbind", All, View, &[], PAD, Any),
            ("split", All, View, &[], PAD, Any),
            ("chunk", All, View, &[], PAD, Any),
            ("flip", All, View, &[], &[], Any),
            ("diagonal", All, View, &[], PAD, Any),
            ("unfold", All, View, &[], &["fold/forward"], Any),
            ("contiguous", All, Form::Elementwise, &[], &[], Any),
            ("cat", All, Routine, &["cat/forward"], &[], Any),
            ("stack", All, Routine, &["cat/forward"], &[], Any),
            ("hstack", All, Routine, &["cat/forward"], &[], Any),
            ("vstack", All, Routine, &["cat/forward"], &[], Any),
            ("pad", All, Routine, PAD, &[], Any),
            ("roll", All, Composed, &["cat/forward"], &[], Any),
            ("repeat", All, Composed, &[], REDUCE, Any),
            ("tile", All, Composed, &[], REDUCE, Any),
            ("repeat_interleave", All, Composed, &[], REDUCE, Any),
            ("rot90", All, View, &[], &[], Any),
            ("meshgrid", All, View, &[], REDUCE, Any),
            ("triu", All, Composed, MASK, &[], Any),
            ("tril", All, Composed, MASK, &[], Any),
            ("diag", All, Composed, PAD, &[], Any),
            ("diag_embed", All, Composed, PAD, &[], Any),
            ("pixel_shuffle", All, View, &[], &[], Any),
            ("pixel_unshuffle", All, View, &[], &[], Any),
        ],
    ),
    (
        "Indexing",
        &[
            ("gather", All, Routine, GATHER, SCATTER, Any),
            ("take_along_dim", All, Routine, GATHER, SCATTER, Any),
            ("index_select", All, Routine, GATHER, SCATTER, Any),
            ("embedding", All, Routine, GATHER, SCATTER, Any),
            ("scatter", All, Routine, LAST, GATHER, Any),
            ("scatter_add", Numbers, Routine, SCATTER, GATHER, Any),
            ("scatter_reduce", Numbers, Routine, SCATTER, GATHER, Any),
            ("index_add", Numbers, Routine, SCATTER, GATHER, Any),
            ("index_copy", All, Routine, LAST, GATHER, Any),
            ("index_fill", All, Routine, LAST, &[], Any),
            ("one_hot", Integers, Routine, &["index/one_hot"], &[], No),
        ],
    ),
    (
        "Linear algebra",
        &[
            ("matmul", Floats, Routine, MATMUL, MATMUL, Any),
            ("linear", Floats, Routine, MATMUL, MATMUL, Any),
            ("bmm", Floats, Routine, MATMUL, MATMUL, Any),
            ("addmm", Floats, Routine, MATMUL, MATMUL, Any),
            ("dot", Floats, Composed, REDUCE, &[], Any),
            ("outer", Numbers, Composed, &["elementwise/mul"], &[], Any),
            ("kron", Numbers, Composed, &["elementwise/mul"], &[], Any),
            ("tensordot", Floats, Routine, MATMUL, MATMUL, Any),
            ("einsum", Floats, Routine, MATMUL, MATMUL, Any),
        ],
    ),
    (
        "Convolution",
        &[
            ("conv1d", Floats, Routine, CONV, CONV_BACK, Any),
            ("conv2d", Floats, Routine, CONV, CONV_BACK, Any),
            ("conv3d", Floats, Routine, CONV, CONV_BACK, Any),
            ("conv_transpose1d", Floats, Routine, TRANSPOSED, TRANSPOSED_BACK, Any),
            ("conv_transpose2d", Floats, Routine, TRANSPOSED, TRANSPOSED_BACK, Any),
            ("conv_transpose3d", Floats, Routine, TRANSPOSED, TRANSPOSED_BACK, Any),
            ("unfold2d", Floats, Composed, PAD, &["fold/forward"], Any),
            ("fold2d", Floats, Composed, &["fold/forward"], &[], Any),
        ],
    ),
    (
        "Pooling and resampling",
        &[
            ("max_pool1d", Floats, Routine, LARGEST, SPREAD, Any),
            ("max_pool2d", Floats, Routine, LARGEST, SPREAD, Any),
            ("max_pool3d", Floats, Routine, LARGEST, SPREAD, Any),
            ("avg_pool1d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("avg_pool2d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("avg_pool3d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("lp_pool1d", Floats, Composed, WINDOW, WINDOW_BACK, Any),
            ("lp_pool2d", Floats, Composed, WINDOW, WINDOW_BACK, Any),
            ("lp_pool3d", Floats, Composed, WINDOW, WINDOW_BACK, Any),
            ("adaptive_avg_pool1d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("adaptive_avg_pool2d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("adaptive_avg_pool3d", Floats, Routine, WINDOW, WINDOW_BACK, Any),
            ("adaptive_max_pool1d", Floats, Routine, LARGEST, SPREAD, Any),
            ("adaptive_max_pool2d", Floats, Routine, LARGEST, SPREAD, Any),
            ("adaptive_max_pool3d", Floats, Routine, LARGEST, SPREAD, Any),
            ("interpolate", Floats, Routine, WINDOW, WINDOW_BACK, Any),
        ],
    ),
    (
        "Normalisation",
        &[
            ("softmax", Floats, Routine, SOFTMAX, SOFTMAX_BACK, Any),
            ("log_softmax", Floats, Routine, SOFTMAX, SOFTMAX_BACK, Any),
            ("softmin", Floats, Routine, SOFTMAX, SOFTMAX_BACK, Any),
            ("layer_norm", Floats, Routine, NORM, NORM_BACK, Any),
            ("rms_norm", Floats, Routine, NORM, NORM_BACK, Any),
            ("group_norm", Floats, Routine, NORM, NORM_BACK, Any),
            ("instance_norm", Floats, Routine, NORM, NORM_BACK, Any),
            ("batch_norm", Floats, Routine, NORM, NORM_BACK, Any),
            ("normalize", Floats, Composed, REDUCE, &[], Any),
            ("cosine_similarity", Floats, Composed, REDUCE, &[], Any),
            ("pairwise_distance", Floats, Composed, REDUCE, &[], Any),
        ],
    ),
    (
        "Attention",
        &[
            (
                "scaled_dot_product_attention",
                Floats,
                Routine,
                &["attention/forward"],
                &["attention/statistics", "attention/backward_q", "attention/backward_kv"],
                Any,
            ),
            ("rope", Floats, Routine, &["rope/forward"], &["rope/forward"], Any),
        ],
    ),
    (
        "Losses (`nn::loss`)",
        &[
            ("cross_entropy", Floats, Routine, ENTROPY, ENTROPY_BACK, Any),
            ("nll", Floats, Composed, GATHER, SCATTER, Any),
            ("mse", Floats, Composed, REDUCE, &[], Any),
            ("l1", Floats, Composed, REDUCE, &[], Any),
            ("huber", Floats, Composed, REDUCE, &[], Any),
            ("smooth_l1", Floats, Composed, REDUCE, &[], Any),
            ("bce", Floats, Composed, REDUCE, &[], Any),
            ("bce_with_logits", Floats, Composed, REDUCE, &[], Any),
            ("multi_margin", Floats, Composed, GATHER, SCATTER, Any),
            ("kl_div", Floats, Composed, REDUCE, &[], Any),
            ("cosine_embedding", Floats, Composed, REDUCE, &[], Any),
            ("margin_ranking", Floats, Composed, REDUCE, &[], Any),
            ("hinge_embedding", Floats, Composed, REDUCE, &[], Any),
            ("triplet_margin", Floats, Composed, REDUCE, &[], Any),
            ("soft_margin", Floats, Composed, REDUCE, &[], Any),
            ("poisson_nll", Floats, Composed, REDUCE, &[], Any),
            ("gaussian_nll", Floats, Composed, REDUCE, &[], Any),
        ],
    ),
];

/// Every op, family by family, the elementwise table first.
pub fn entries() -> Vec<Entry> {
    let table = rows().iter().map(|row| {
        let types = match row.kind {
            RowKind::Float | RowKind::Test => Floats,
            RowKind::Number | RowKind::Compare => Numbers,
            RowKind::Logical => Bools,
            RowKind::Select => All,
        };
        let file: &'static [&'static str] = std::slice::from_ref(&row.file);
        let has_backward = row.wgsl.contains(&format!("fn {}_bwd(", row.name.trim_end_matches('_')));
        Entry {
            family: "Elementwise",
            name: row.name,
            types,
            form: Form::Elementwise,
            forward: file,
            backward: if has_backward { file } else { &[] },
            gradient: if row.derivative.is_some() { Any } else { No },
        }
    });
    let structured = STRUCTURED.iter().flat_map(|(family, rows)| {
        rows.iter().map(|&(name, types, form, forward, backward, gradient)| Entry {
            family,
            name,
            types,
            form,
            forward,
            backward,
            gradient,
        })
    });
    table.chain(structured).collect()
}
