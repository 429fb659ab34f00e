//! What the checks of kernels compute: shapes at which every family takes each of its forms.

use crate::graph::Var;
use crate::ops::conv::{Conv, ConvTranspose};
use crate::ops::interpolate::Interpolate;
use crate::ops::loss::{ClassOptions, cross_entropy};
use crate::ops::norm::Statistic;
use crate::ops::pool::{AvgPool, Pool};

/// An operand: floats, or indices below a bound.
pub struct Input {
    pub shape: &'static [usize],
    /// 0 for floats.
    pub bound: usize,
}

/// Something to compute.
pub struct Trial {
    pub name: &'static str,
    /// Whether it belongs to the short list.
    pub is_short: bool,
    /// Whether the short list has it with 16-bit floats too.
    pub is_half: bool,
    /// Whether the CPU reference takes its time over it.
    pub is_large: bool,
    pub inputs: &'static [Input],
    pub run: fn(&[Var]) -> Var,
}

/// `"name" flags [shape], … => |x| value`; `(shape; bound)` is an operand of indices. Flags: `short`, `half` (short, with f16 too), `more`,
/// `large`.
macro_rules! trials {
    (@input [$($size:literal),*]) => { Input { shape: &[$($size),*], bound: 0 } };
    (@input ([$($size:literal),*]; $bound:literal)) => { Input { shape: &[$($size),*], bound: $bound } };
    (@short more) => { false };
    (@short large) => { false };
    (@short $other:ident) => { true };
    (@half half) => { true };
    (@half $other:ident) => { false };
    (@large large) => { true };
    (@large $other:ident) => { false };
    ($($name:literal $flag:ident $($input:tt),+ => $run:expr;)*) => {
        &[$(Trial {
            name: $name,
            is_short: trials!(@short $flag),
            is_half: trials!(@half $flag),
            is_large: trials!(@large $flag),
            inputs: &[$(trials!(@input $input)),+],
            run: $run,
        }),*]
    };
}

/// Softmax of primitive ops, which become one kernel over rows.
fn rows(x: &Var) -> Var {
    let shifted = x.sub(&x.max(&[1], true).detach().expand(x.shape())).exp();
    shifted.div(&shifted.sum(&[1], true).expand(x.shape()))
}

fn classes(x: &[Var]) -> Var {
    match cross_entropy(&x[0], &x[1], &ClassOptions::default()) {
        Ok(loss) => loss,
        Err(error) => x[0].fail(error),
    }
}

pub const TRIALS: &[Trial] = trials! {
    "product" half [70, 45], [45, 90] => |x| x[0].matmul(&x[1]);
    "product, transposed operands" short [45, 70], [90, 45] => |x| x[0].transpose(0, 1).matmul(&x[1].transpose(0, 1));
    "product, a long sum" short [24, 3000], [3000, 20] => |x| x[0].matmul(&x[1]);
    "product of a row" short [1, 40], [40, 33] => |x| x[0].matmul(&x[1]);
    "product with a column" more [33, 40], [40, 1] => |x| x[0].matmul(&x[1]);
    "products, batched" more [3, 17, 20], [3, 20, 9] => |x| x[0].matmul(&x[1]);
    "products, a broadcast operand" more [3, 17, 20], [20, 8] => |x| x[0].matmul(&x[1]);
    "product, large" short [160, 136], [136, 132] => |x| x[0].matmul(&x[1]);
    "product, whole tiles" large [256, 512], [512, 256] => |x| x[0].matmul(&x[1]);
    "convolution" half [2, 8, 9, 9], [12, 8, 3, 3] => |x| x[0].conv(2, &x[1], None, &Conv::default().padding(1));
    "convolution, first layer" short [3, 1, 8, 8], [16, 1, 5, 5] => |x| x[0].conv(2, &x[1], None, &Conv::default());
    "convolution by depth" short [2, 6, 17, 8], [6, 1, 3, 3] => |x| {
        x[0].conv(2, &x[1], None, &Conv::default().padding(1).groups(6))
    };
    "convolution in steps" short [2, 4, 11, 13], [6, 2, 3, 2] => |x| {
        x[0].conv(2, &x[1], None, &Conv::default().stride(2).padding([1, 0]).dilation([1, 2]).groups(2))
    };
    "convolution of 1 × 1" more [2, 16, 12, 12], [24, 16, 1, 1] => |x| x[0].conv(2, &x[1], None, &Conv::default());
    "convolution, 16 channels" more [4, 16, 16, 16], [32, 16, 3, 3] => |x| {
        x[0].conv(2, &x[1], None, &Conv::default().padding(1))
    };
    "convolution, large" large [8, 32, 32, 32], [64, 32, 3, 3] => |x| {
        x[0].conv(2, &x[1], None, &Conv::default().padding(1))
    };
    "convolution over one dim" more [3, 5, 40], [7, 5, 4] => |x| x[0].conv(1, &x[1], None, &Conv::default().stride(3));
    "convolution over three dims" more [1, 3, 6, 7, 8], [4, 3, 2, 3, 3] => |x| {
        x[0].conv(3, &x[1], None, &Conv::default().padding(1))
    };
    "transposed convolution" short [2, 6, 7, 7], [6, 4, 3, 3] => |x| {
        x[0].conv_transpose(2, &x[1], None, &ConvTranspose::default().stride(2).padding(1))
    };
    "attention" half [2, 3, 37, 16], [2, 3, 37, 16], [2, 3, 37, 16] => |x| {
        x[0].scaled_dot_product_attention(&x[1], &x[2], None, true, None)
    };
    "attention, wide heads" more [1, 2, 65, 64], [1, 2, 70, 64], [1, 2, 70, 64] => |x| {
        x[0].scaled_dot_product_attention(&x[1], &x[2], None, false, None)
    };
    "attention, shared keys and a mask" more [1, 4, 20, 24], [1, 2, 50, 24], [1, 2, 50, 40], [20, 50] => |x| {
        x[0].scaled_dot_product_attention(&x[1], &x[2], Some(&x[3].detach()), false, None)
    };
    "attention, long rows" large [1, 2, 300, 32], [1, 2, 2050, 32], [1, 2, 2050, 32] => |x| {
        x[0].scaled_dot_product_attention(&x[1], &x[2], None, true, None)
    };
    "softmax" half [37, 70] => |x| x[0].softmax(1);
    "softmax, short rows" more [300, 5] => |x| x[0].softmax(1);
    "softmax, long rows" short [5, 5000] => |x| x[0].softmax(1);
    "softmax, very long rows" large [2, 70_000] => |x| x[0].softmax(1);
    "softmax over an inner dim" more [4, 33, 7] => |x| x[0].softmax(1);
    "softmax of many rows" large [70_000, 8] => |x| x[0].softmax(1);
    "log-softmax" short [37, 72] => |x| x[0].log_softmax(1);
    "layer norm" half [40, 96], [96], [96] => |x| x[0].norm_over(Statistic::Layer, 1, Some(&x[1]), Some(&x[2]), 1e-5);
    "RMS norm" short [33, 61], [61] => |x| x[0].norm_over(Statistic::Rms, 1, Some(&x[1]), None, 1e-5);
    "layer norm, long rows" more [3, 5000], [5000], [5000] => |x| {
        x[0].norm_over(Statistic::Layer, 1, Some(&x[1]), Some(&x[2]), 1e-5)
    };
    "group norm" more [3, 8, 5, 7], [8], [8] => |x| x[0].group_norm(4, Some(&x[1]), Some(&x[2]), 1e-5);
    "cross-entropy" half [50, 37], ([50]; 37) => classes;
    "cross-entropy, many classes" more [6, 9000], ([6]; 9000) => classes;
    "sum of rows" half [300, 257] => |x| x[0].sum(&[1], false);
    "sum of columns" short [300, 257] => |x| x[0].sum(&[0], false);
    "sum of all" short [401, 509] => |x| x[0].sum(&[0, 1], false);
    "product of rows" more [30, 20] => |x| x[0].prod(&[1], false);
    "largest of rows" short [70, 130] => |x| x[0].max(&[1], false);
    "place of the smallest" short [70, 130] => |x| x[0].argmin(1, false);
    "sums of many rows" large [70_000, 9] => |x| x[0].sum(&[1], false);
    "fused rows" short [300, 64] => |x| rows(&x[0]);
    "fused rows, long ones" more [40, 1000] => |x| rows(&x[0]);
    "running sum" short [7, 300] => |x| x[0].cumsum(1);
    "running sum, long rows" more [2, 9000] => |x| x[0].cumsum(1);
    "running product" more [7, 30] => |x| x[0].cumprod(1);
    "sort" short [5, 300] => |x| x[0].sort(1, false).0;
    "sort, long rows" more [2, 5000] => |x| x[0].sort(1, true).0;
    "gather" short [60, 7], ([41, 7]; 60) => |x| x[0].gather(0, &x[1]);
    "rows by number" short [60, 8], ([200]; 60) => |x| x[0].index_select(0, &x[1]);
    "scatter" short [20, 7], ([50, 7]; 20), [50, 7] => |x| x[0].scatter_add(0, &x[1], &x[2]);
    "max pooling" short [2, 3, 11, 12] => |x| {
        x[0].max_pool(2, &Pool { stride: 2.into(), padding: 1.into(), ..Pool::new(3) })
    };
    "average pooling" short [2, 3, 11, 12] => |x| {
        x[0].avg_pool(2, &AvgPool { stride: 2.into(), padding: 1.into(), ..AvgPool::new(3) })
    };
    "resampling" short [2, 3, 7, 9] => |x| x[0].interpolate(&[11, 5], Interpolate::Bilinear);
    "padding and joining" more [5, 6], [5, 4] => |x| {
        let parts = [x[0].pad(&[(1, 0), (0, 2)], 0.5), x[1].pad(&[(0, 1), (1, 0)], 0.0)];
        match Var::cat(&[&parts[0], &parts[1]], 1) {
            Ok(joined) => joined,
            Err(error) => x[0].fail(error),
        }
    };
    "elementwise, fused" half [67, 33] => |x| x[0].tanh().mul(&x[0].sigmoid()).add(&x[0].square()).gelu();
    "elementwise, strided" short [33, 40] => |x| {
        let (t, flipped) = (x[0].transpose(0, 1), x[0].flip(&[1]).transpose(0, 1));
        t.slice(0, 1, 3, 13).exp().mul(&flipped.slice(0, 0, 3, 13))
    };
};
