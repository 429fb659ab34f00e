//! Cases of products, pooling, norms, attention and losses.

use super::super::ops::{Case, Input, list};
use super::cases;
use crate::nn::loss;
use crate::tensor::Tensor;

pub const CASES: &[Case] = cases! {
    matmul fixed [9, 13], [13, 7] => |x| x[0].matmul(&x[1]);
    linear fixed [2, 5, 13], [7, 13], [7] => |x| x[0].linear(&x[1], Some(&x[2]));
    bmm fixed [3, 5, 7], [3, 7, 4] => |x| x[0].bmm(&x[1]);
    addmm fixed [5, 4], [5, 7], [7, 4] => |x| x[0].addmm(&x[1], &x[2], 0.5, 2.0);
    dot fixed [33], [33] => |x| x[0].dot(&x[1]);
    outer fixed [5], [7] => |x| x[0].outer(&x[1]);
    kron fixed [3, 2], [2, 4] => |x| x[0].kron(&x[1]);
    tensordot fixed [3, 4, 5], [5, 4, 2] => |x| x[0].tensordot(&x[1], (&[1, 2], &[1, 0]));
    einsum fixed [3, 4, 5], [3, 5, 2] => |x| Tensor::einsum("bij,bjk->bki", &[&x[0], &x[1]]);
    max_pool1d fixed [2, 3, 11] => |x| x[0].max_pool1d(3, 2, 1);
    max_pool2d fixed [2, 3, 9, 8] => |x| x[0].max_pool2d(3, 2, 1);
    max_pool3d fixed [1, 2, 5, 6, 5] => |x| x[0].max_pool3d(2, 2, 0);
    avg_pool1d fixed [2, 3, 11] => |x| x[0].avg_pool1d(3, 2, 1);
    avg_pool2d fixed [2, 3, 9, 8] => |x| x[0].avg_pool2d(3, 2, 1);
    avg_pool3d fixed [1, 2, 5, 6, 5] => |x| x[0].avg_pool3d(2, 2, 0);
    lp_pool1d fixed [2, 3, 11] => |x| x[0].lp_pool1d(2.0, 3, 2);
    lp_pool2d fixed [2, 3, 9, 8] => |x| x[0].lp_pool2d(2.0, 3, 2);
    lp_pool3d fixed [1, 2, 5, 6, 5] => |x| x[0].lp_pool3d(2.0, 2, 2);
    adaptive_avg_pool1d fixed [2, 3, 11] => |x| x[0].adaptive_avg_pool1d(4);
    adaptive_avg_pool2d fixed [2, 3, 9, 8] => |x| x[0].adaptive_avg_pool2d([4, 3]);
    adaptive_avg_pool3d fixed [1, 2, 5, 6, 5] => |x| x[0].adaptive_avg_pool3d(2);
    adaptive_max_pool1d fixed [2, 3, 11] => |x| x[0].adaptive_max_pool1d(4);
    adaptive_max_pool2d fixed [2, 3, 9, 8] => |x| x[0].adaptive_max_pool2d([4, 3]);
    adaptive_max_pool3d fixed [1, 2, 5, 6, 5] => |x| x[0].adaptive_max_pool3d(2);
    layer_norm fixed [6, 33], [33], [33] => |x| x[0].layer_norm(&x[1], &x[2], 1e-5);
    rms_norm fixed [6, 33], [33] => |x| x[0].rms_norm(&x[1], 1e-5);
    group_norm fixed [3, 6, 5], [6], [6] => |x| x[0].group_norm(3, &x[1], &x[2], 1e-5);
    instance_norm fixed [3, 6, 5], [6], [6] => |x| x[0].instance_norm(&x[1], &x[2], 1e-5);
    batch_norm fixed [5, 4, 6], [4], [4] => |x| {
        let (mean, var) = (x[1].detach().zeros_like(), x[1].detach().ones_like());
        let (y, mean, var) = x[0].batch_norm(&x[1], &x[2], &mean, &var, true, 0.1, 1e-5);
        vec![y, mean.detach(), var.detach()]
    };
    normalize fixed [5, 7] => |x| x[0].normalize(2.0, 1);
    cosine_similarity fixed [5, 7], [5, 7] => |x| x[0].cosine_similarity(&x[1], 1);
    pairwise_distance fixed [5, 7], [5, 7] => |x| x[0].pairwise_distance(&x[1], 2.0);
    scaled_dot_product_attention fixed [2, 2, 19, 16], [2, 2, 21, 16], [2, 2, 21, 16] => |x| {
        vec![
            x[0].scaled_dot_product_attention(&x[1], &x[2], None, false),
            x[0].scaled_dot_product_attention(&x[1], &x[2], None, true),
        ]
    };
    rope fixed [2, 9, 16] => |x| x[0].rope(10_000.0, 3);
    mse fixed [5, 7], [5, 7] => |x| loss::mse(&x[0], &x[1]);
    l1 fixed [5, 7], [5, 7] => |x| loss::l1(&x[0], &x[1]);
    huber fixed [5, 7], [5, 7] => |x| loss::huber(&x[0], &x[1], 0.7);
    smooth_l1 fixed [5, 7], [5, 7] => |x| loss::smooth_l1(&x[0], &x[1], 0.7);
    bce fixed [5, 7], [5, 7] => |x| loss::bce(&x[0].sigmoid(), &x[1].sigmoid());
    bce_with_logits fixed [5, 7], [5, 7] => |x| loss::bce_with_logits(&x[0], &x[1].sigmoid());
    kl_div fixed [5, 7], [5, 7] => |x| loss::kl_div(&x[0].log_softmax(1), &x[1].softmax(1));
    cosine_embedding fixed [6, 7], [6, 7], (2 [6]) => |x| loss::cosine_embedding(&x[0], &x[1], &(&x[2] * 2 - 1), 0.1);
    margin_ranking fixed [9], [9], (2 [9]) => |x| {
        loss::margin_ranking(&x[0], &x[1], &(x[2].to_dtype(x[0].dtype()) * 2.0 - 1.0), 0.1)
    };
    hinge_embedding fixed [9], (2 [9]) => |x| {
        loss::hinge_embedding(&x[0], &(x[1].to_dtype(x[0].dtype()) * 2.0 - 1.0), 1.0)
    };
    triplet_margin fixed [5, 7], [5, 7], [5, 7] => |x| loss::triplet_margin(&x[0], &x[1], &x[2], 1.0, 2.0);
    soft_margin fixed [9], (2 [9]) => |x| loss::soft_margin(&x[0], &(x[1].to_dtype(x[0].dtype()) * 2.0 - 1.0));
    poisson_nll fixed [5, 7], [5, 7] => |x| loss::poisson_nll(&x[0], &x[1].abs());
    gaussian_nll fixed [5, 7], [5, 7], [5, 7] => |x| loss::gaussian_nll(&x[0], &x[1], &(x[2].abs() + 0.5));
};
