//! Functions of one to five inputs, over every family of ops.

use wgrad::nn::loss;
use wgrad::{Conv, DType, Interpolate, Tensor};

/// A function under test and the shapes of its inputs.
pub struct Case {
    pub name: &'static str,
    pub shapes: &'static [&'static [usize]],
    pub differentiable: bool,
    pub function: fn(&[Tensor]) -> Tensor,
}

fn index(values: &[i32], shape: &[usize], like: &Tensor) -> Tensor {
    Tensor::from_slice(values, shape, like.device())
}

/// Numbers above zero.
fn positive(x: &Tensor) -> Tensor {
    x.square() + 0.25
}

macro_rules! cases {
    ($($name:literal $([$($size:expr),*])+ => $function:expr;)* @ $($other:literal $([$($length:expr),*])+ => $plain:expr;)*) => {
        &[
            $(Case { name: $name, shapes: &[$(&[$($size),*]),+], differentiable: true, function: $function },)*
            $(Case { name: $other, shapes: &[$(&[$($length),*]),+], differentiable: false, function: $plain },)*
        ]
    };
}

pub const CASES: &[Case] = cases! {
    "add" [3, 5] [5] => |x| &x[0] + &x[1];
    "sub" [3, 5] [3, 1] => |x| &x[0] - &x[1];
    "mul" [4, 7] [4, 7] => |x| &x[0] * &x[1];
    "div" [4, 7] [4, 7] => |x| &x[0] / positive(&x[1]);
    "pow" [3, 5] [3, 5] => |x| positive(&x[0]).pow(&x[1]);
    "exp" [9, 5] => |x| x[0].exp();
    "log" [9, 5] => |x| positive(&x[0]).log();
    "sqrt" [9, 5] => |x| positive(&x[0]).sqrt();
    "rsqrt" [9, 5] => |x| positive(&x[0]).rsqrt();
    "sin and cos" [9, 5] => |x| x[0].sin() * x[0].cos();
    "tan" [9, 5] => |x| (&x[0] * 0.5).tan();
    "atan2" [9, 5] [9, 5] => |x| x[0].atan2(&x[1]);
    "sinh and cosh" [9, 5] => |x| x[0].sinh() + x[0].cosh();
    "tanh" [9, 5] => |x| x[0].tanh();
    "asinh" [9, 5] => |x| x[0].asinh();
    "erf" [9, 5] => |x| x[0].erf();
    "sigmoid" [9, 5] => |x| x[0].sigmoid();
    "relu" [9, 5] => |x| x[0].relu();
    "gelu" [9, 5] => |x| x[0].gelu();
    "silu" [9, 5] => |x| x[0].silu();
    "softplus" [9, 5] => |x| x[0].softplus();
    "mish" [9, 5] => |x| x[0].mish();
    "elu" [9, 5] => |x| x[0].elu(1.0);
    "abs and clamp" [9, 5] => |x| x[0].abs().clamp(0.25, 1.0);
    "maximum" [9, 5] [9, 5] => |x| x[0].maximum(&x[1]);
    "hypot" [9, 5] [9, 5] => |x| x[0].hypot(&x[1]);
    "xlogy" [9, 5] [9, 5] => |x| x[0].xlogy(positive(&x[1]));
    "lerp" [9, 5] [9, 5] => |x| x[0].lerp(&x[1], 0.25);
    "sum" [33, 65] => |x| x[0].sum();
    "sum of rows" [33, 65] => |x| x[0].sum_dims(&[1], false);
    "sum of columns" [65, 33] => |x| x[0].sum_dims(&[0], true);
    "mean" [2, 3, 4] => |x| x[0].mean_dims(&[1], true);
    "prod" [3, 5] => |x| x[0].prod_dims(&[1], false);
    "max" [3, 5] => |x| x[0].max_dims(&[1], false);
    "min" [3, 5] => |x| x[0].min_dims(&[0], true);
    "norm" [3, 5] => |x| x[0].norm_dims(2.0, &[1], false);
    "var" [5, 9] => |x| x[0].var_dims(&[1], 1.0, false);
    "std" [5, 9] => |x| x[0].std(1.0);
    "logsumexp" [3, 5] => |x| x[0].logsumexp_dims(&[0], false);
    "matmul" [17, 33] [33, 9] => |x| x[0].matmul(&x[1]);
    "matmul, 64" [64, 64] [64, 64] => |x| x[0].matmul(&x[1]);
    "matmul, 200" [200, 120] [120, 136] => |x| x[0].matmul(&x[1]);
    "matmul of batches" [2, 1, 3, 4] [5, 4, 2] => |x| x[0].matmul(&x[1]);
    "matrix and vector" [33, 65] [65] => |x| x[0].matmul(&x[1]);
    "linear" [6, 20] [5, 20] [5] => |x| x[0].linear(&x[1], Some(&x[2]));
    "linear, relu, linear" [37, 20] [16, 20] [7, 16] => |x| x[0].linear(&x[1], None).relu().linear(&x[2], None);
    "einsum" [2, 3, 4] [4, 3] => |x| Tensor::einsum("bij,ji->b", &[&x[0], &x[1]]);
    "softmax" [7, 33] => |x| x[0].softmax(1);
    "softmax of an inner dim" [2, 4, 3] => |x| x[0].softmax(1);
    "log_softmax" [7, 33] => |x| x[0].log_softmax(-1);
    "layer_norm" [7, 33] [33] [33] => |x| x[0].layer_norm(&x[1], &x[2], 1e-5);
    "rms_norm" [7, 33] [33] => |x| x[0].rms_norm(&x[1], 1e-5);
    "group_norm" [2, 6, 4, 4] [6] [6] => |x| x[0].group_norm(3, &x[1], &x[2], 1e-5);
    "conv2d" [2, 3, 8, 8] [4, 3, 3, 3] [4] => |x| x[0].conv2d(&x[1], Some(&x[2]), Conv::default().padding(1));
    "conv2d, strided" [2, 4, 9, 9] [6, 4, 3, 3] => |x| x[0].conv2d(&x[1], None, Conv::default().stride(2));
    "conv2d, grouped" [2, 4, 8, 8] [4, 2, 3, 3] => |x| x[0].conv2d(&x[1], None, Conv::default().groups(2));
    "conv2d, depthwise" [2, 4, 8, 8] [4, 1, 3, 3] => |x| x[0].conv2d(&x[1], None, Conv::default().groups(4).padding(1));
    "max_pool2d" [2, 3, 8, 8] => |x| x[0].max_pool2d(2, 2, 0);
    "avg_pool2d" [2, 3, 8, 8] => |x| x[0].avg_pool2d(2, 2, 0);
    "interpolate" [1, 2, 5, 5] => |x| x[0].interpolate(&[9, 8], Interpolate::Bilinear);
    "attention" [2, 2, 9, 8] [2, 2, 9, 8] [2, 2, 9, 8] => |x| x[0].scaled_dot_product_attention(&x[1], &x[2], None, false);
    "attention, causal" [1, 2, 33, 16] [1, 2, 33, 16] [1, 2, 33, 16] => |x| x[0].scaled_dot_product_attention(&x[1], &x[2], None, true);
    "attention, grouped" [1, 4, 9, 8] [1, 2, 9, 8] [1, 2, 9, 8] => |x| x[0].scaled_dot_product_attention(&x[1], &x[2], None, true);
    "rope" [1, 2, 9, 8] => |x| x[0].rope(10000.0, 0);
    "embedding" [5, 3] => |x| Tensor::embedding(&x[0], &index(&[4, 0, 4, 2, 2, 2], &[2, 3], &x[0]));
    "gather" [3, 4] => |x| x[0].gather(1, &index(&[0, 3, 3, 1], &[2, 2], &x[0]));
    "index_select" [4, 3] => |x| x[0].index_select(0, &index(&[3, 0, 3, 3, 1], &[5], &x[0]));
    "scatter" [2, 4] [2, 3] => |x| x[0].scatter(1, &index(&[0, 3, 3, 1, 1, 2], &[2, 3], &x[0]), &x[1]);
    "scatter_add" [3, 4] [2, 3] => |x| x[0].scatter_add(1, &index(&[0, 3, 3, 1, 1, 1], &[2, 3], &x[0]), &x[1]);
    "sort" [3, 17] => |x| x[0].sort(1, false).0;
    "topk" [3, 17] => |x| x[0].topk(4, 1).0;
    "cumsum" [3, 65] => |x| x[0].cumsum(1);
    "cumprod" [3, 9] => |x| x[0].cumprod(1);
    "logcumsumexp" [3, 9] => |x| x[0].logcumsumexp(1);
    "permute" [2, 3, 4] => |x| x[0].permute(&[2, 0, 1]);
    "expand" [3, 1] => |x| x[0].expand([2, 3, 4]);
    "slice" [7, 4] => |x| x[0].slice_step(0, 1..7, 3);
    "flip" [3, 4] => |x| x[0].flip(&[1]);
    "pad" [2, 3] => |x| x[0].pad(&[(1, 0), (2, 3)], 0.5);
    "cat" [2, 3] [2, 1] [2, 4] => |x| Tensor::cat(&[&x[0], &x[1], &x[2]], 1);
    "stack" [2, 3] [2, 3] => |x| Tensor::stack(&[&x[0], &x[1]], 1);
    "roll" [3, 4] => |x| x[0].roll(&[1, -1], &[0, 1]);
    "repeat" [2, 3] => |x| x[0].repeat(&[2, 2]);
    "unfold" [3, 10] => |x| x[0].unfold(1, 4, 3);
    "tril" [2, 3, 4] => |x| x[0].tril(-1);
    "masked_fill" [3, 4] => |x| x[0].masked_fill(&x[0].detach().gt(0.5), 0.75);
    "cross_entropy" [4, 5] => |x| loss::cross_entropy(&x[0], &index(&[4, 0, 1, 1], &[4], &x[0]));
    "nll" [4, 3] => |x| loss::nll(&x[0].log_softmax(1), &index(&[0, 2, 1, 1], &[4], &x[0]));
    "mse" [3, 2] [3, 2] => |x| loss::mse(&x[0], &x[1]);
    "huber" [3, 2] [3, 2] => |x| loss::huber(&x[0], &x[1], 0.75);
    "bce_with_logits" [3, 2] [3, 2] => |x| loss::bce_with_logits(&x[0], &x[1]);
    "kl_div" [3, 4] [3, 4] => |x| loss::kl_div(&x[0].log_softmax(1), &x[1].softmax(1));
    @
    "argmax" [7, 33] => |x| x[0].argmax(-1, false);
    "argsort" [3, 17] => |x| x[0].sort(1, true).1;
    "comparisons" [9, 5] [9, 5] => |x| x[0].gt(&x[1]).to_dtype(DType::F32) + x[0].le(0.25).to_dtype(DType::F32);
    "rounding" [9, 5] => |x| (&x[0] * 3.0).round() + (&x[0] * 3.0).floor() * 0.5 + (&x[0] * 3.0).trunc();
    "integers" [9, 5] => |x| (&x[0] * 100.0).to_dtype(DType::I32).remainder(7);
    "random numbers" [9, 5] => |x| { x[0].device().seed(7); Tensor::randn([64], x[0].device()) };
    "dropout" [9, 5] => |x| { x[0].device().seed(7); x[0].dropout(0.5, true) };
    "one_hot" [3] => |x| index(&[2, 0, 1], &[3], &x[0]).one_hot(4);
};
