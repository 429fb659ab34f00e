//! A case for each op of the registry that is no row of the elementwise table.

use super::ops::{Case, Input, list};
use crate::dtype::DType;
use crate::nn::loss;
use crate::ops::conv::{Conv, ConvTranspose};
use crate::ops::index::ScatterReduction;
use crate::ops::interpolate::Interpolate;
use crate::tensor::Tensor;

mod more;

/// `name fixed [shape], … => |x| value;`. `(n [shape])` is an operand of indices below `n`; `free` in the place of `fixed` lets the sizes
/// of the one operand vary.
macro_rules! cases {
    (@input [$($size:literal),*]) => { Input { shape: &[$($size),*], bound: 0 } };
    (@input ($bound:literal [$($size:literal),*])) => { Input { shape: &[$($size),*], bound: $bound } };
    ($($name:ident $size:ident $($input:tt),* => |$x:ident| $value:expr;)*) => {
        &[$(Case {
            name: stringify!($name),
            is_free: cases!(@free $size),
            inputs: &[$(cases!(@input $input)),*],
            run: |$x| list($value),
        }),*]
    };
    (@free fixed) => { false };
    (@free free) => { true };
}
pub(super) use cases;

/// All cases.
pub fn all() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(more::CASES)
}

/// A bool tensor of indices below 2.
fn mask(x: &Tensor) -> Tensor {
    x.to_dtype(DType::Bool)
}

const CASES: &[Case] = cases! {
    full fixed [1] => |x| Tensor::full([3, 5], 2.5, x[0].device());
    zeros fixed [1] => |x| Tensor::zeros([3, 5], x[0].device());
    ones fixed [1] => |x| Tensor::ones([7], x[0].device());
    full_like fixed [3, 5] => |x| x[0].full_like(2.0);
    zeros_like fixed [3, 5] => |x| x[0].zeros_like();
    ones_like fixed [3, 5] => |x| x[0].ones_like();
    arange fixed [1] => |x| Tensor::arange(-3.0, 40.0, 0.75, x[0].device());
    linspace fixed [1] => |x| Tensor::linspace(-1.0, 2.0, 33, x[0].device());
    eye fixed [1] => |x| Tensor::eye(7, x[0].device());
    rand fixed [1] => |x| Tensor::rand([7, 33], x[0].device());
    randn fixed [1] => |x| Tensor::randn([7, 33], x[0].device());
    rand_like fixed [7, 33] => |x| x[0].rand_like();
    randn_like fixed [7, 33] => |x| x[0].randn_like();
    uniform fixed [1] => |x| Tensor::uniform([7, 33], -2.0, 3.0, x[0].device());
    randint fixed [1] => |x| Tensor::randint([7, 33], -4, 9, x[0].device());
    bernoulli fixed [1] => |x| Tensor::bernoulli([7, 33], 0.3, x[0].device());
    normal fixed [1] => |x| Tensor::normal([7, 33], 1.0, 2.0, x[0].device());
    poisson fixed [7, 33] => |x| (x[0].detach().abs() + 0.5).poisson();
    categorical fixed [7, 9] => |x| x[0].detach().categorical();
    multinomial fixed [7, 9] => |x| x[0].detach().exp().multinomial(3, true);
    randperm fixed [1] => |x| Tensor::randperm(50, x[0].device());
    to_dtype free [5, 7] => |x| x[0].to_dtype(DType::F32);
    powi free [5, 7] => |x| x[0].powi(3);
    rem fixed [5, 7] => |x| (&x[0] * 2.0 + 0.3).rem(3.0);
    masked_fill fixed [5, 7], (2 [7]) => |x| x[0].masked_fill(&mask(&x[1]), 1.0);
    nan_to_num free [5, 7] => |x| x[0].nan_to_num(0.0, 9.0, -9.0);
    is_close fixed [5, 7], [5, 7] => |x| x[0].is_close(&x[1], 0.2, 0.3, false);
    glu fixed [5, 8] => |x| x[0].glu(1);
    prelu fixed [2, 5, 7], [5] => |x| x[0].prelu(&x[1]);
    dropout fixed [5, 33] => |x| x[0].dropout(0.4, true);
    feature_dropout fixed [3, 9, 4] => |x| x[0].feature_dropout(0.4, true);
    sum free [5, 7] => |x| vec![x[0].sum(), x[0].sum_dims(&[0], false), x[0].sum_dims(&[1], true)];
    mean free [5, 7] => |x| vec![x[0].mean(), x[0].mean_dims(&[1], false)];
    prod fixed [3, 4] => |x| vec![x[0].prod(), x[0].prod_dims(&[1], false)];
    max fixed [5, 7] => |x| vec![x[0].max(), x[0].max_dims(&[0], false), x[0].max_dims(&[1], false)];
    min fixed [5, 7] => |x| vec![x[0].min(), x[0].min_dims(&[0], false), x[0].min_dims(&[1], false)];
    aminmax fixed [5, 7] => |x| vec![x[0].aminmax().0, x[0].aminmax_dim(1, false).1];
    argmax fixed [5, 7] => |x| vec![x[0].argmax(0, false), x[0].argmax(1, true)];
    argmin fixed [5, 7] => |x| vec![x[0].argmin(0, false), x[0].argmin(1, true)];
    any free [5, 7] => |x| vec![x[0].any(), x[0].any_dims(&[1], false)];
    all free [5, 7] => |x| vec![x[0].all(), x[0].all_dims(&[1], false)];
    count_nonzero free [5, 7] => |x| vec![x[0].count_nonzero(), x[0].count_nonzero_dims(&[1], false)];
    var fixed [5, 7] => |x| vec![x[0].var(1.0), x[0].var_dims(&[0], 0.0, false)];
    std fixed [5, 7] => |x| vec![x[0].std(1.0), x[0].std_dims(&[1], 0.0, false)];
    norm fixed [5, 7] => |x| vec![x[0].norm(2.0), x[0].norm_dims(3.0, &[1], false), x[0].norm_dims(1.0, &[0], false)];
    logsumexp fixed [5, 7] => |x| vec![x[0].logsumexp(), x[0].logsumexp_dims(&[1], false)];
    nansum free [5, 7] => |x| vec![x[0].nansum(), x[0].nansum_dims(&[0], false)];
    nanmean fixed [5, 7] => |x| vec![x[0].nanmean(), x[0].nanmean_dims(&[0], false)];
    trace fixed [5, 7] => |x| x[0].trace();
    allclose fixed [5, 7], [5, 7] => |x| {
        Tensor::scalar(f64::from(u8::from(x[0].allclose(&x[1], 1e-3, 1e-3).unwrap_or(true))), x[0].device())
    };
    cumsum free [5, 7] => |x| vec![x[0].cumsum(0), x[0].cumsum(1)];
    cumprod fixed [5, 7] => |x| vec![x[0].cumprod(0), x[0].cumprod(1)];
    cummax fixed [5, 7] => |x| vec![x[0].cummax(1).0, x[0].cummax(0).1];
    cummin fixed [5, 7] => |x| vec![x[0].cummin(1).0, x[0].cummin(0).1];
    logcumsumexp fixed [5, 7] => |x| x[0].logcumsumexp(1);
    diff fixed [5, 7] => |x| x[0].diff(1);
    sort free [5, 7] => |x| vec![x[0].sort(1, false).0, x[0].sort(0, true).1];
    argsort free [5, 7] => |x| x[0].argsort(1, true);
    topk fixed [5, 7] => |x| x[0].topk(3, 1);
    kthvalue fixed [5, 7] => |x| x[0].kthvalue(2, 1, false);
    median fixed [5, 7] => |x| vec![x[0].median(), x[0].median_dim(1, false).0];
    nanmedian fixed [5, 7] => |x| vec![x[0].nanmedian(), x[0].nanmedian_dim(1, false).0];
    bincount fixed (9 [40]) => |x| x[0].bincount(None, 9);
    reshape fixed [4, 6] => |x| x[0].t().reshape([3, 8]) * 2.0;
    flatten fixed [2, 3, 4] => |x| x[0].permute(&[2, 0, 1]).flatten(0, 1);
    unflatten fixed [4, 6] => |x| x[0].unflatten(1, [2, 3]);
    squeeze fixed [4, 1, 6] => |x| x[0].squeeze(1);
    unsqueeze fixed [4, 6] => |x| x[0].unsqueeze(1);
    permute fixed [2, 3, 4] => |x| x[0].permute(&[2, 0, 1]).contiguous();
    transpose fixed [2, 3, 4] => |x| x[0].transpose(0, 2).contiguous();
    t fixed [4, 6] => |x| x[0].t().contiguous();
    movedim fixed [2, 3, 4] => |x| x[0].movedim(&[0], &[2]).contiguous();
    expand fixed [3, 1] => |x| x[0].expand([2, 3, 4]).contiguous();
    slice fixed [5, 7] => |x| x[0].slice(1, 1..6).contiguous();
    slice_step fixed [5, 7] => |x| x[0].slice_step(1, 1..7, 3).contiguous();
    narrow fixed [5, 7] => |x| x[0].narrow(0, 1, 3).contiguous();
    select fixed [5, 7] => |x| x[0].select(1, -2).contiguous();
    get fixed [5, 7] => |x| x[0].get(3).contiguous();
    unbind fixed [3, 7] => |x| x[0].unbind(0);
    split fixed [5, 7] => |x| x[0].split(&[2, 5], 1);
    chunk fixed [5, 7] => |x| x[0].chunk(3, 1);
    flip free [5, 7] => |x| x[0].flip(&[0, 1]).contiguous();
    diagonal fixed [5, 7] => |x| x[0].diagonal(1, 0, 1).contiguous();
    unfold fixed [5, 9] => |x| x[0].unfold(1, 3, 2).contiguous();
    contiguous free [5, 7] => |x| x[0].t().contiguous();
    cat fixed [5, 7], [5, 2] => |x| Tensor::cat(&[&x[0], &x[1]], 1);
    stack fixed [5, 7], [5, 7] => |x| Tensor::stack(&[&x[0], &x[1]], 1);
    hstack fixed [5, 7], [5, 2] => |x| Tensor::hstack(&[&x[0], &x[1]]);
    vstack fixed [5, 7], [2, 7] => |x| Tensor::vstack(&[&x[0], &x[1]]);
    pad free [5, 7] => |x| x[0].pad(&[(1, 2), (0, 3)], 1.0);
    roll free [5, 7] => |x| x[0].roll(&[2, -1], &[0, 1]);
    repeat fixed [2, 3] => |x| x[0].repeat(&[2, 3]).contiguous();
    tile fixed [2, 3] => |x| x[0].tile(&[3, 1]).contiguous();
    repeat_interleave fixed [4, 3] => |x| x[0].repeat_interleave(3, 1).contiguous();
    rot90 fixed [5, 7] => |x| x[0].rot90(1, (0, 1)).contiguous();
    meshgrid fixed [4], [5] => |x| Tensor::meshgrid(&[&x[0], &x[1]]).iter().map(Tensor::contiguous).collect::<Vec<_>>();
    triu fixed [5, 7] => |x| x[0].triu(1);
    tril fixed [5, 7] => |x| x[0].tril(-1);
    diag fixed [6] => |x| x[0].diag(1);
    diag_embed fixed [3, 4] => |x| x[0].diag_embed(0, 1, 2);
    pixel_shuffle fixed [1, 8, 3, 4] => |x| x[0].pixel_shuffle(2).contiguous();
    pixel_unshuffle fixed [1, 2, 4, 6] => |x| x[0].pixel_unshuffle(2).contiguous();
    gather fixed [6, 5], (6 [9, 5]) => |x| x[0].gather(0, &x[1]);
    take_along_dim fixed [6, 5], (5 [6, 2]) => |x| x[0].take_along_dim(&x[1], 1);
    index_select fixed [6, 5], (6 [11]) => |x| x[0].index_select(0, &x[1]);
    embedding fixed [12, 8], (12 [3, 7]) => |x| Tensor::embedding(&x[0], &x[1]);
    scatter fixed [6, 5], (6 [9, 5]), [9, 5] => |x| x[0].scatter(0, &x[1], &x[2]);
    scatter_add fixed [6, 5], (6 [9, 5]), [9, 5] => |x| x[0].scatter_add(0, &x[1], &x[2]);
    scatter_reduce fixed [6, 5], (6 [9, 5]), [9, 5] => |x| {
        let by = |how| x[0].scatter_reduce(0, &x[1], &x[2], how, true);
        vec![by(ScatterReduction::Sum), by(ScatterReduction::Amax)]
    };
    index_add fixed [6, 5], (6 [9]), [9, 5] => |x| x[0].index_add(0, &x[1], &x[2]);
    index_copy fixed [6, 5], (6 [9]), [9, 5] => |x| x[0].index_copy(0, &x[1], &x[2]);
    index_fill fixed [6, 5], (6 [3]) => |x| x[0].index_fill(0, &x[1], 1.0);
    one_hot fixed (7 [12]) => |x| x[0].one_hot(7);
    softmax free [5, 7] => |x| vec![x[0].softmax(1), x[0].softmax(0)];
    log_softmax free [5, 7] => |x| vec![x[0].log_softmax(1), x[0].log_softmax(0)];
    softmin fixed [5, 7] => |x| x[0].softmin(1);
    interpolate fixed [2, 3, 5, 7] => |x| {
        let by = |how| x[0].interpolate(&[8, 4], how);
        vec![by(Interpolate::Nearest), by(Interpolate::Bilinear), by(Interpolate::Bicubic)]
    };
    conv1d fixed [2, 4, 19], [6, 2, 3] => |x| x[0].conv1d(&x[1], None, Conv::default().stride(2).padding(1).groups(2));
    conv2d fixed [2, 4, 9, 8], [6, 4, 3, 3], [6] => |x| x[0].conv2d(&x[1], Some(&x[2]), Conv::default().padding(1));
    conv3d fixed [1, 3, 5, 6, 7], [4, 3, 2, 3, 3] => |x| x[0].conv3d(&x[1], None, Conv::default().padding(1));
    conv_transpose1d fixed [2, 4, 9], [4, 3, 4] => |x| {
        x[0].conv_transpose1d(&x[1], None, ConvTranspose::default().stride(2))
    };
    conv_transpose2d fixed [2, 4, 5, 6], [4, 3, 3, 3] => |x| {
        x[0].conv_transpose2d(&x[1], None, ConvTranspose::default().stride(2).padding(1))
    };
    conv_transpose3d fixed [1, 2, 3, 4, 3], [2, 3, 2, 2, 2] => |x| {
        x[0].conv_transpose3d(&x[1], None, ConvTranspose::default())
    };
    unfold2d fixed [2, 3, 7, 8] => |x| x[0].unfold2d(3, Conv::default().padding(1)).contiguous();
    fold2d fixed [2, 12, 12] => |x| x[0].fold2d([4, 5], 2, Conv::default());
    cross_entropy fixed [9, 5], (5 [9]) => |x| loss::cross_entropy(&x[0], &x[1]);
    nll fixed [9, 5], (5 [9]) => |x| loss::nll(&x[0].log_softmax(1), &x[1]);
    multi_margin fixed [9, 5], (5 [9]) => |x| loss::multi_margin(&x[0], &x[1], 1.0);
};
