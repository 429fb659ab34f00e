//! Calls that PyTorch rejects are errors here: none panics, none is accepted. The text names the op and this file's line.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wgrad::ScatterReduction::{Amax, Amin, Mean, Prod, Sum};
use wgrad::nn::loss;
use wgrad::{Conv, ConvTranspose, DType, Device, Interpolate, Shape, Tensor};

use crate::common::{cpu, gpu};

/// Makes operands on a device.
struct Make(Device);

impl Make {
    fn device(&self) -> &Device {
        &self.0
    }

    fn f(&self, shape: impl Into<Shape>) -> Tensor {
        Tensor::ones(shape, &self.0)
    }

    fn i(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        Tensor::from_slice(&vec![0i32; shape.numel()], shape, &self.0)
    }

    fn b(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        Tensor::from_slice(&vec![true; shape.numel()], shape, &self.0)
    }

    fn ints(&self, values: &[i32], shape: impl Into<Shape>) -> Tensor {
        Tensor::from_slice(values, shape, &self.0)
    }

    /// Of another device.
    fn other(&self, shape: impl Into<Shape>) -> Tensor {
        Tensor::ones(shape, if self.0.is_cpu() { gpu() } else { cpu() })
    }

    /// A number that lints do not see through.
    fn rank(&self) -> isize {
        self.f([1; 4]).rank() as isize
    }

    fn conv(&self, stride: usize, dilation: usize, groups: usize) -> Conv {
        Conv { stride: stride.into(), dilation: dilation.into(), groups, ..Conv::default() }
    }

    fn up(&self, stride: usize, output_padding: usize) -> ConvTranspose {
        ConvTranspose { stride: stride.into(), output_padding: output_padding.into(), ..ConvTranspose::default() }
    }
}

type Call = fn(&Make) -> Tensor;

/// What went wrong with the rows of a table.
#[derive(Default)]
struct Table {
    rows: usize,
    /// Where only the data shows that a call is invalid: an adapter of the test's own, since the first read on a device reports.
    data: Option<Device>,
    misses: Vec<String>,
}

impl Table {
    /// One invalid call: on both devices an error that names `op` and the caller's line. What is composed of other ops is
    /// named by the one that does not fit.
    #[track_caller]
    fn row(&mut self, op: &str, call: Call) {
        let line = std::panic::Location::caller().line();
        self.rows += 1;
        for device in [self.data.as_ref().unwrap_or(gpu()), cpu()] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let result = call(&Make(device.clone()));
                match self.data.is_some() {
                    true => result.to_vec::<f32>().map(drop),
                    false => result.check(),
                }
            }));
            let detail = match outcome {
                Err(_) => "panics".into(),
                Ok(Ok(())) => "is accepted".into(),
                Ok(Err(error)) => {
                    let text = error.to_string();
                    // A call that is formatted over several lines is named by one of them.
                    let placed = (line..line + 8).any(|line| text.contains(&format!("{}:{line}:", file!())));
                    if text.contains(op) && placed {
                        continue;
                    }
                    format!("says: {text}")
                }
            };
            self.misses.push(format!("line {line}, {op} on {}: {detail}", device.info().name));
        }
    }

    fn finish(self) {
        assert!(self.misses.is_empty(), "{} misses:\n{}", self.misses.len(), self.misses.join("\n"));
    }
}

/// Shapes, dims, options, types and devices that do not fit: an error at the call.
#[test]
fn invalid_calls() {
    let mut t = Table::default();
    t.row("add", |d| d.f([2, 3]) + d.f([4, 3]));
    t.row("sub", |d| d.f([2, 3]) - d.f([2, 4]));
    t.row("mul", |d| d.f([2, 3]) * d.f([2]));
    t.row("div", |d| d.f([5]) / d.f([2, 4]));
    t.row("maximum", |d| d.f([2, 3]).maximum(d.f([2])));
    t.row("minimum", |d| d.f([0, 3]).minimum(d.f([2, 3])));
    t.row("pow", |d| d.f([3]).pow(d.f([4])));
    t.row("atan2", |d| d.f([2, 2]).atan2(d.f([3, 2])));
    t.row("fmod", |d| d.f([3]).fmod(d.f([2])));
    t.row("hypot", |d| d.f([3]).hypot(d.f([2])));
    t.row("logaddexp", |d| d.f([3]).logaddexp(d.f([2])));
    t.row("xlogy", |d| d.f([3]).xlogy(d.f([2])));
    t.row("remainder", |d| d.f([3]).remainder(d.f([2])));
    t.row("copysign", |d| d.f([3]).copysign(d.f([2])));
    t.row("heaviside", |d| d.f([3]).heaviside(d.f([2])));
    t.row("floor_divide", |d| d.f([3]).floor_divide(d.f([2])));
    t.row("lt", |d| d.f([3]).lt(d.f([2])));
    t.row("eq", |d| d.f([2, 3]).eq(d.f([3, 2])));
    t.row("logical_and", |d| d.b([3]).logical_and(d.b([2])));
    t.row("where", |d| d.b([3]).where_(d.f([2]), d.f([3])));
    t.row("where", |d| d.f([3]).masked_fill(&d.b([2]), 0.0));
    t.row("lerp", |d| d.f([3]).lerp(d.f([2]), 0.5));
    t.row("addcmul", |d| d.f([3]).addcmul(d.f([2]), d.f([3]), 1.0));
    t.row("addcdiv", |d| d.f([3]).addcdiv(d.f([3]), d.f([2]), 1.0));
    t.row("sum", |d| d.f([2, 3]).sum_dims(&[2], false));
    t.row("sum", |d| d.f([2, 3]).sum_dims(&[-3], false));
    t.row("sum", |d| d.f([2, 3]).sum_dims(&[0, 0], false));
    t.row("sum", |d| d.f([2, 3]).sum_dims(&[1, -1], true));
    t.row("mean", |d| d.f([2, 3]).mean_dims(&[5], false));
    t.row("mean", |d| d.i([2, 3]).mean());
    t.row("prod", |d| d.f([2, 3]).prod_dims(&[2], false));
    t.row("max", |d| d.f([0, 3]).max_dims(&[0], false));
    t.row("max", |d| d.f([0]).max());
    t.row("min", |d| d.f([2, 0]).min_dims(&[1], false));
    t.row("min", |d| d.f([2, 3]).min_dims(&[3], false));
    t.row("argmax", |d| d.f([2, 3]).argmax(2, false));
    t.row("argmax", |d| d.f([0, 3]).argmax(0, false));
    t.row("argmin", |d| d.f([2, 0]).argmin(1, true));
    t.row("any", |d| d.b([2]).any_dims(&[1], false));
    t.row("all", |d| d.b([2]).all_dims(&[-2], false));
    t.row("var", |d| d.f([2, 3]).var_dims(&[2], 1.0, false));
    t.row("var", |d| d.i([3]).var(1.0));
    t.row("var", |d| d.i([3]).std(1.0));
    t.row("std", |d| d.f([3]).std_dims(&[1], 1.0, false));
    t.row("norm", |d| d.f([3]).norm_dims(2.0, &[1], false));
    t.row("norm", |d| d.i([3]).norm(2.0));
    t.row("max", |d| d.f([2, 0]).norm_dims(f32::INFINITY, &[1], false));
    t.row("logsumexp", |d| d.f([3]).logsumexp_dims(&[2], false));
    t.row("softmax", |d| d.f([2, 3]).softmax(2));
    t.row("log_softmax", |d| d.f([2, 3]).log_softmax(-3));
    t.row("softmin", |d| d.f([2, 3]).softmin(2));
    t.row("cumsum", |d| d.f([3]).cumsum(1));
    t.row("cumprod", |d| d.f([3]).cumprod(-2));
    t.row("logcumsumexp", |d| d.f([3]).logcumsumexp(1));
    t.row("cummax", |d| d.f([3]).cummax(1).0);
    t.row("cummin", |d| d.f([3]).cummin(-2).1);
    t.row("diff", |d| d.f([3]).diff(1));
    t.row("diff", |d| d.f([]).diff(0));
    t.row("count_nonzero", |d| d.f([3]).count_nonzero_dims(&[1], false));
    t.row("aminmax", |d| d.f([2, 3]).aminmax_dim(2, false).0);
    t.row("min", |d| d.f([0]).aminmax().0);
    t.row("nansum", |d| d.f([3]).nansum_dims(&[1], false));
    t.row("nanmean", |d| d.f([3]).nanmean_dims(&[1], false));
    t.row("nanmean", |d| d.i([3]).nanmean());
    t.row("sort", |d| d.f([3]).sort(1, false).0);
    t.row("argsort", |d| d.f([2, 3]).argsort(-3, false));
    t.row("topk", |d| d.f([3]).topk(4, 0).0);
    t.row("topk", |d| d.f([3]).topk(1, 1).1);
    t.row("kthvalue", |d| d.f([3]).kthvalue(0, 0, false).0);
    t.row("kthvalue", |d| d.f([3]).kthvalue(4, 0, false).0);
    t.row("median", |d| d.f([2, 3]).median_dim(2, false).0);
    t.row("median", |d| d.f([0, 3]).median_dim(0, false).0);
    t.row("nanmedian", |d| d.f([3]).nanmedian_dim(1, false).0);
    t.row("reshape", |d| d.f([2, 3]).reshape([4, 2]));
    t.row("reshape", |d| d.f([2, 3]).reshape([4, -1]));
    t.row("reshape", |d| d.f([2, 3]).reshape([-1, -1]));
    t.row("reshape", |d| d.f([2, 3]).reshape([-2, 3]));
    t.row("reshape", |d| d.f([0, 3]).reshape([-1, 0]));
    t.row("flatten", |d| d.f([2, 3]).flatten(1, 0));
    t.row("flatten", |d| d.f([2, 3]).flatten(0, 2));
    t.row("squeeze", |d| d.f([1, 3]).squeeze(2));
    t.row("squeeze", |d| d.f([]).squeeze(1));
    t.row("unsqueeze", |d| d.f([3]).unsqueeze(2));
    t.row("unsqueeze", |d| d.f([3]).unsqueeze(-3));
    t.row("permute", |d| d.f([2, 3]).permute(&[0, 0]));
    t.row("permute", |d| d.f([2, 3]).permute(&[0]));
    t.row("permute", |d| d.f([2, 3]).permute(&[0, 2]));
    t.row("transpose", |d| d.f([2, 3]).transpose(0, 2));
    t.row("expand", |d| d.f([2, 3]).expand([2, 4]));
    t.row("expand", |d| d.f([2, 3]).expand([3]));
    t.row("narrow", |d| d.f([4]).narrow(0, 3, 2));
    t.row("narrow", |d| d.f([4]).narrow(1, 0, 2));
    t.row("narrow", |d| d.f([4]).narrow(0, 5, 0));
    t.row("select", |d| d.f([4]).select(0, 4));
    t.row("select", |d| d.f([4]).select(0, -5));
    t.row("select", |d| d.f([4]).select(1, 0));
    t.row("select", |d| d.f([]).select(0, 0));
    t.row("select", |d| d.f([4]).select(0, usize::MAX));
    t.row("get", |d| d.f([4, 2]).get(4));
    t.row("get", |d| d.f([4, 2]).get(-5));
    t.row("get", |d| d.f([]).get(0));
    t.row("slice", |d| d.f([4]).slice(0, 5..));
    t.row("slice", |d| d.f([4]).slice(0, -5..));
    t.row("slice", |d| d.f([4]).slice(0, ..=4));
    t.row("slice", |d| d.f([4]).slice(0, 2..1 - d.rank()));
    t.row("slice", |d| d.f([4]).slice(1, ..));
    t.row("slice_step", |d| d.f([4]).slice_step(0, .., 0));
    t.row("full", |d| Tensor::full_as([2], -1, DType::U32, d.device()));
    t.row("full", |d| Tensor::full_as([2], f64::NAN, DType::I32, d.device()));
    t.row("full", |d| Tensor::full_as([2], 3e9, DType::I32, d.device()));
    t.row("arange", |d| Tensor::arange_as(0, 5, 0, DType::I32, d.device()));
    t.row("arange", |d| Tensor::arange_as(0.5, 5, 1, DType::I32, d.device()));
    t.row("arange", |d| Tensor::arange_as(0, 5, 0.5, DType::U32, d.device()));
    t.row("arange", |d| Tensor::arange_as(0, -5, -1, DType::U32, d.device()));
    t.row("arange", |d| Tensor::arange_as(0, 2, 1, DType::Bool, d.device()));
    t.row("from_slice", |d| Tensor::from_slice(&[1i64, -3_000_000_000], [2], d.device()));
    t.row("from_slice", |d| Tensor::from_slice(&[usize::MAX], [1], d.device()));
    t.row("from_array", |d| Tensor::from_array(&ndarray::arr1(&[1u64 << 40]), d.device()));
    t.row("does not fit i32", |d| d.i([2]) + 3_000_000_000i64);
    t.row("rope", |d| d.f([2, 3, 4]).rope(10.0, &d.f([1])));
    t.row("rope", |d| d.f([2, 3, 4]).rope(10.0, &d.i([3])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.f([2, 4])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.f([2])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([]), &d.f([])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.i([2, 3]), &d.f([2, 3])));
    t.row("cross_entropy", |d| {
        let ignoring = loss::CrossEntropy { ignore_index: Some(1), ..Default::default() };
        loss::cross_entropy_with(&d.f([2, 3]), &d.f([2, 3]), &ignoring)
    });
    t.row("cross_entropy", |d| {
        let weighted = loss::CrossEntropy { weight: Some(d.f([2])), ..Default::default() };
        loss::cross_entropy_with(&d.f([2, 3]), &d.f([2, 3]), &weighted)
    });
    t.row("sub", |d| loss::Reduction::None.mse(&d.f([2, 3]), &d.f([2, 4])));
    t.row("huber", |d| loss::Reduction::Sum.huber(&d.f([2]), &d.f([2]), 0.0));
    t.row("normal", |d| Tensor::normal([2], 0.0, -1.0, d.device()));
    t.row("normal", |d| Tensor::normal([2], f32::NAN, 1.0, d.device()));
    t.row("normal", |d| Tensor::normal([2], d.f([3]), 1.0, d.device()));
    t.row("normal", |d| Tensor::normal([2], d.f([4, 2]), 1.0, d.device()));
    t.row("poisson", |d| d.i([2]).poisson());
    t.row("categorical", |d| d.f([]).categorical());
    t.row("categorical", |d| d.f([2, 0]).categorical());
    t.row("categorical", |d| d.i([2, 3]).categorical());
    t.row("multinomial", |d| d.f([2, 3]).multinomial(4, false));
    t.row("multinomial", |d| d.f([2, 3]).multinomial(0, true));
    t.row("multinomial", |d| d.f([2, 2, 3]).multinomial(1, true));
    t.row("multinomial", |d| d.f([2, 0]).multinomial(1, true));
    t.row("multinomial", |d| d.i([3]).multinomial(1, true));
    t.row("flip", |d| d.f([4]).flip(&[1]));
    t.row("flip", |d| d.f([2, 4]).flip(&[0, 0]));
    t.row("roll", |d| d.f([4]).roll(&[1], &[1]));
    t.row("roll", |d| d.f([4]).roll(&[1, 2], &[0]));
    t.row("repeat", |d| d.f([2, 3]).repeat(&[2]));
    t.row("repeat_interleave", |d| d.f([2, 3]).repeat_interleave(2, 2));
    t.row("cat", |d| Tensor::cat(&[&d.f([2, 3]), &d.f([3, 2])], 0));
    t.row("cat", |d| Tensor::cat(&[&d.f([2, 3]), &d.f([2, 3])], 2));
    t.row("cat", |d| Tensor::cat(&[&d.f([2, 3]), &d.f([2])], 0));
    t.row("stack", |d| Tensor::stack(&[&d.f([2, 3]), &d.f([3, 2])], 0));
    t.row("stack", |d| Tensor::stack(&[&d.f([3]), &d.f([3])], 2));
    t.row("cat", |d| Tensor::hstack(&[&d.f([2, 3]), &d.f([3, 3])]));
    t.row("cat", |d| Tensor::vstack(&[&d.f([2, 3]), &d.f([2, 4])]));
    t.row("split", |d| d.f([4]).split(&[1, 2], 0).swap_remove(0));
    t.row("split", |d| d.f([4]).split(&[4], 1).swap_remove(0));
    t.row("chunk", |d| d.f([4]).chunk(0, 0).swap_remove(0));
    t.row("chunk", |d| d.f([4]).chunk(2, 1).swap_remove(0));
    t.row("unbind", |d| d.f([4]).unbind(1).swap_remove(0));
    t.row("unbind", |d| d.f([]).unbind(0).swap_remove(0));
    t.row("movedim", |d| d.f([2, 3]).movedim(&[0], &[2]));
    t.row("movedim", |d| d.f([2, 3]).movedim(&[0, 1], &[0]));
    t.row("movedim", |d| d.f([2, 3]).movedim(&[0, 0], &[0, 1]));
    t.row("rot90", |d| d.f([2, 3]).rot90(1, (0, 0)));
    t.row("rot90", |d| d.f([2, 3]).rot90(1, (0, 2)));
    t.row("meshgrid", |d| Tensor::meshgrid(&[&d.f([2, 3])]).swap_remove(0));
    t.row("trace", |d| d.f([3]).trace());
    t.row("trace", |d| d.f([2, 3, 3]).trace());
    t.row("unflatten", |d| d.f([6]).unflatten(0, [4, 2]));
    t.row("unflatten", |d| d.f([6]).unflatten(1, [2, 3]));
    t.row("diag", |d| d.f([2, 2, 2]).diag(0));
    t.row("diagonal", |d| d.f([3]).diagonal(0, 0, 1));
    t.row("diagonal", |d| d.f([3, 3]).diagonal(0, 1, 1));
    t.row("diag_embed", |d| d.f([3]).diag_embed(0, 0, 0));
    t.row("diag_embed", |d| d.f([3]).diag_embed(0, 0, 2));
    t.row("tril", |d| d.f([3]).tril(0));
    t.row("triu", |d| d.f([]).triu(0));
    t.row("unfold", |d| d.f([4]).unfold(0, 5, 1));
    t.row("unfold", |d| d.f([4]).unfold(0, 2, 0));
    t.row("unfold", |d| d.f([4]).unfold(1, 2, 1));
    t.row("gather", |d| d.f([2, 3]).gather(2, &d.i([2, 3])));
    t.row("gather", |d| d.f([2, 3]).gather(0, &d.i([2])));
    t.row("gather", |d| d.f([2, 3]).gather(0, &d.i([2, 4])));
    t.row("gather", |d| d.f([2, 3]).gather(0, &d.f([2, 3])));
    t.row("scatter_add", |d| d.f([2, 3]).scatter_add(2, &d.i([2, 3]), &d.f([2, 3])));
    t.row("scatter_add", |d| d.f([2, 3]).scatter_add(0, &d.i([2, 4]), &d.f([2, 4])));
    t.row("scatter_add", |d| d.f([2, 3]).scatter_add(0, &d.i([2, 3]), &d.i([2, 3])));
    t.row("scatter", |d| d.f([2, 3]).scatter(0, &d.i([2, 3]), &d.f([2, 2])));
    t.row("scatter", |d| d.f([2, 3]).scatter(0, &d.f([2, 3]), &d.f([2, 3])));
    t.row("scatter_reduce", |d| d.f([2, 3]).scatter_reduce(2, &d.i([2, 3]), &d.f([2, 3]), Prod, true));
    t.row("scatter_reduce", |d| d.f([2, 3]).scatter_reduce(0, &d.i([2, 4]), &d.f([2, 4]), Amax, true));
    t.row("scatter_reduce", |d| d.f([2, 3]).scatter_reduce(0, &d.i([2, 3]), &d.i([2, 3]), Mean, false));
    t.row("scatter_reduce", |d| d.f([2, 3]).scatter_reduce(0, &d.f([2, 3]), &d.f([2, 3]), Sum, false));
    t.row("scatter_reduce", |d| d.b([3]).scatter_reduce(0, &d.i([3]), &d.b([3]), Amin, true));
    t.row("scatter_reduce", |d| d.f([0, 3]).scatter_reduce(0, &d.i([1, 3]), &d.f([1, 3]), Prod, true));
    t.row("index_select", |d| d.f([2, 3]).index_select(2, &d.i([2])));
    t.row("index_select", |d| d.f([2, 3]).index_select(0, &d.i([2, 1])));
    t.row("index_select", |d| d.f([2, 3]).index_select(0, &d.f([2])));
    t.row("index_add", |d| d.f([2, 3]).index_add(0, &d.i([2]), &d.f([3, 3])));
    t.row("index_add", |d| d.f([2, 3]).index_add(0, &d.i([2, 1]), &d.f([2, 3])));
    t.row("index_add", |d| d.f([2, 3]).index_add(2, &d.i([2]), &d.f([2, 3])));
    t.row("index_copy", |d| d.f([2, 3]).index_copy(0, &d.i([2]), &d.f([2, 4])));
    t.row("index_copy", |d| d.f([2, 3]).index_copy(0, &d.f([2]), &d.f([2, 3])));
    t.row("index_fill", |d| d.f([2, 3]).index_fill(2, &d.i([2]), 1.0));
    t.row("index_fill", |d| d.f([2, 3]).index_fill(0, &d.f([2]), 1.0));
    t.row("take_along_dim", |d| d.f([2, 3]).take_along_dim(&d.i([2]), 0));
    t.row("take_along_dim", |d| d.f([2, 3]).take_along_dim(&d.f([2, 3]), 0));
    t.row("index_add", |d| d.f([3]).bincount(None, 2));
    t.row("bincount", |d| d.i([3]).bincount(Some(&d.f([2])), 2));
    t.row("one_hot", |d| d.f([3]).one_hot(2));
    t.row("embedding", |d| Tensor::embedding(&d.f([3, 2]), &d.f([2])));
    t.row("embedding", |d| Tensor::embedding(&d.f([3]), &d.i([2])));
    t.row("matmul", |d| d.f([2, 3]).matmul(&d.f([4, 5])));
    t.row("matmul", |d| d.f([3]).matmul(&d.f([4])));
    t.row("matmul", |d| d.f([]).matmul(&d.f([4])));
    t.row("matmul", |d| d.f([2, 2, 3]).matmul(&d.f([3, 3, 4])));
    t.row("linear", |d| d.f([2, 3]).linear(&d.f([4, 5]), None));
    t.row("add", |d| d.f([2, 3]).linear(&d.f([4, 3]), Some(&d.f([3]))));
    t.row("bmm", |d| d.f([2, 3]).bmm(&d.f([3, 4])));
    t.row("bmm", |d| d.f([2, 3, 4]).bmm(&d.f([1, 4, 5])));
    t.row("matmul", |d| d.f([2, 2]).addmm(&d.f([2, 3]), &d.f([4, 2]), 1.0, 1.0));
    t.row("addmm", |d| d.f([3, 2]).addmm(&d.f([2, 3]), &d.f([3, 2]), 1.0, 1.0));
    t.row("dot", |d| d.f([3]).dot(&d.f([4])));
    t.row("dot", |d| d.f([1, 3]).dot(&d.f([1, 3])));
    t.row("outer", |d| d.f([2, 3]).outer(&d.f([3])));
    t.row("tensordot", |d| d.f([2, 3]).tensordot(&d.f([4, 5]), (&[1], &[0])));
    t.row("tensordot", |d| d.f([2, 3]).tensordot(&d.f([3, 5]), (&[1], &[])));
    t.row("einsum", |d| Tensor::einsum("ij,jk->ik", &[&d.f([2, 3]), &d.f([4, 5])]));
    t.row("einsum", |d| Tensor::einsum("ij,jk->ik", &[&d.f([2, 3])]));
    t.row("einsum", |d| Tensor::einsum("ijk->i", &[&d.f([2, 3])]));
    t.row("einsum", |d| Tensor::einsum("ij->iz", &[&d.f([2, 3])]));
    t.row("einsum", |d| Tensor::einsum("ij->ii", &[&d.f([2, 3])]));
    t.row("conv1d", |d| d.f([1, 2, 5]).conv1d(&d.f([3, 4, 2]), None, Conv::default()));
    t.row("conv1d", |d| d.f([5]).conv1d(&d.f([3, 4, 2]), None, Conv::default()));
    t.row("conv2d", |d| d.f([1, 2, 5, 5]).conv2d(&d.f([3, 2, 6, 2]), None, Conv::default()));
    t.row("conv2d", |d| d.f([1, 2, 5, 5]).conv2d(&d.f([3, 2, 2, 2]), Some(&d.f([2])), Conv::default()));
    t.row("conv2d", |d| d.f([1, 4, 5, 5]).conv2d(&d.f([3, 2, 2, 2]), None, d.conv(1, 1, 2)));
    t.row("conv2d", |d| d.f([1, 2, 5, 5]).conv2d(&d.f([3, 2, 2, 2]), None, d.conv(0, 1, 1)));
    t.row("conv2d", |d| d.f([1, 2, 5, 5]).conv2d(&d.f([3, 2, 2, 2]), None, d.conv(1, 0, 1)));
    t.row("conv2d", |d| d.f([1, 2, 5, 5]).conv2d(&d.f([3, 2, 2, 2]), None, d.conv(1, 1, 0)));
    t.row("conv3d", |d| d.f([1, 2, 4, 4]).conv3d(&d.f([3, 1, 2, 2]), None, Conv::default()));
    t.row("conv_transpose1d", |d| d.f([1, 2, 5]).conv_transpose1d(&d.f([3, 2, 2]), None, ConvTranspose::default()));
    t.row("conv_transpose2d", |d| d.f([1, 2, 5, 5]).conv_transpose2d(&d.f([2, 3, 2, 2]), None, d.up(1, 1)));
    t.row("conv_transpose3d", |d| {
        d.f([1, 2, 3, 3]).conv_transpose3d(&d.f([2, 1, 2, 2, 2]), Some(&d.f([2])), d.up(1, 0))
    });
    t.row("unfold2d", |d| d.f([1, 1, 3, 3]).unfold2d(4, Conv::default()));
    t.row("fold2d", |d| d.f([1, 4, 5]).fold2d(3, 2, Conv::default()));
    t.row("fold2d", |d| d.f([1, 3, 4]).fold2d(3, 2, Conv::default()));
    t.row("max_pool1d", |d| d.f([1, 2, 3]).max_pool1d(4, 4, 0));
    t.row("max_pool2d", |d| d.f([1, 2, 4, 4]).max_pool2d(2, 2, 2));
    t.row("max_pool2d", |d| d.f([4, 4]).max_pool2d(2, 2, 0));
    t.row("max_pool2d", |d| d.f([1, 2, 4, 4]).max_pool2d(0, 1, 0));
    t.row("max_pool3d", |d| d.f([1, 4, 4]).max_pool3d(2, 2, 0));
    t.row("avg_pool1d", |d| d.f([1, 2, 3]).avg_pool1d(2, 0, 0));
    t.row("avg_pool2d", |d| d.f([1, 2, 3, 3]).avg_pool2d(4, 1, 0));
    t.row("avg_pool2d", |d| d.f([1, 2, 3, 3]).avg_pool2d(2, 1, 2));
    t.row("avg_pool3d", |d| d.f([3, 3]).avg_pool3d(1, 1, 0));
    t.row("adaptive_avg_pool2d", |d| d.f([3, 3]).adaptive_avg_pool2d(2));
    t.row("adaptive_max_pool2d", |d| d.f([1, 2, 0, 3]).adaptive_max_pool2d(2));
    t.row("avg_pool2d", |d| d.f([1, 1, 3, 3]).lp_pool2d(2.0, 4, 4));
    t.row("interpolate", |d| d.f([3, 3]).interpolate(&[4], Interpolate::Nearest));
    t.row("interpolate", |d| d.f([1, 2, 3, 3]).interpolate(&[4], Interpolate::Bilinear));
    t.row("interpolate", |d| d.f([1, 2, 3]).interpolate(&[0], Interpolate::Nearest));
    t.row("interpolate", |d| d.f([1, 2, 3]).interpolate(&[4], Interpolate::Bicubic));
    t.row("interpolate", |d| d.f([1, 2, 3, 3, 3]).interpolate(&[4, 4, 4], Interpolate::BicubicAligned));
    t.row("interpolate", |d| d.f([1, 2, 3, 3]).interpolate(&[4, 0], Interpolate::Area));
    t.row("interpolate", |d| d.i([1, 2, 3]).interpolate(&[4], Interpolate::NearestExact));
    t.row("interpolate", |d| d.f([1, 2, 3]).interpolate_by(&[0.1], Interpolate::BilinearAligned));
    t.row("pixel_shuffle", |d| d.f([1, 3, 2, 2]).pixel_shuffle(2));
    t.row("pixel_shuffle", |d| d.f([2, 2]).pixel_shuffle(1));
    t.row("pixel_unshuffle", |d| d.f([1, 1, 3, 4]).pixel_unshuffle(2));
    t.row("layer_norm", |d| d.f([2, 3]).layer_norm(&d.f([2]), &d.f([3]), 1e-5));
    t.row("layer_norm", |d| d.f([2, 3]).layer_norm(&d.f([3]), &d.f([2]), 1e-5));
    t.row("rms_norm", |d| d.f([2, 3]).rms_norm(&d.f([2]), 1e-5));
    t.row("group_norm", |d| d.f([2, 4, 3]).group_norm(3, &d.f([4]), &d.f([4]), 1e-5));
    t.row("group_norm", |d| d.f([2, 4, 3]).group_norm(2, &d.f([3]), &d.f([4]), 1e-5));
    t.row("group_norm", |d| d.f([2, 4, 3]).group_norm(0, &d.f([4]), &d.f([4]), 1e-5));
    t.row("batch_norm", |d| d.f([2, 3]).batch_norm(&d.f([2]), &d.f([3]), &d.f([3]), &d.f([3]), true, 0.1, 1e-5).0);
    t.row("batch_norm", |d| d.f([2, 3]).batch_norm(&d.f([3]), &d.f([3]), &d.f([2]), &d.f([3]), false, 0.1, 1e-5).0);
    t.row("batch_norm", |d| d.f([1, 3]).batch_norm(&d.f([3]), &d.f([3]), &d.f([3]), &d.f([3]), true, 0.1, 1e-5).0);
    t.row("instance_norm", |d| d.f([2, 3, 1]).instance_norm(None, None, 1e-5));
    t.row("dropout", |d| d.f([3]).dropout(1.5, true));
    t.row("dropout", |d| d.f([3]).dropout(-0.1, false));
    t.row("glu", |d| d.f([2, 3]).glu(1));
    t.row("glu", |d| d.f([2, 4]).glu(2));
    t.row("prelu", |d| d.f([2, 3]).prelu(&d.f([2])));
    t.row("cosine_similarity", |d| d.f([2, 3]).cosine_similarity(&d.f([2, 4]), 1));
    t.row("cosine_similarity", |d| d.f([2, 3]).cosine_similarity(&d.f([2, 3]), 2));
    t.row("sub", |d| d.f([2, 3]).pairwise_distance(&d.f([2, 4]), 2.0));
    t.row("normalize", |d| d.f([2, 3]).normalize(2.0, 2));
    t.row("scaled_dot_product_attention", |d| {
        d.f([1, 1, 2, 3]).scaled_dot_product_attention(&d.f([1, 1, 2, 4]), &d.f([1, 1, 2, 4]), None, false)
    });
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.i([3])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.i([2, 1])));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.f([2])));
    t.row("nll", |d| loss::nll(&d.f([2, 3]), &d.i([4])));
    t.row("mul", |d| loss::bce(&d.f([3]), &d.f([2])));
    t.row("mul", |d| loss::bce_with_logits(&d.f([3]), &d.f([2])));
    t.row("sub", |d| loss::mse(&d.f([3]), &d.f([2])));
    t.row("sub", |d| loss::l1(&d.f([3]), &d.f([2])));
    t.row("sub", |d| loss::huber(&d.f([3]), &d.f([2]), 1.0));
    t.row("huber", |d| loss::huber(&d.f([3]), &d.f([3]), 0.0));
    t.row("sub", |d| loss::smooth_l1(&d.f([3]), &d.f([2]), 1.0));
    t.row("smooth_l1", |d| loss::smooth_l1(&d.f([3]), &d.f([3]), -1.0));
    t.row("sub", |d| loss::kl_div(&d.f([3]), &d.f([2])));
    t.row("multi_margin", |d| loss::multi_margin(&d.f([2, 3]), &d.i([3]), 1.0));
    t.row("mul", |d| loss::cosine_embedding(&d.f([2, 3]), &d.f([2, 4]), &d.f([2]), 0.0));
    t.row("sub", |d| loss::margin_ranking(&d.f([3]), &d.f([2]), &d.f([3]), 0.0));
    t.row("where", |d| loss::hinge_embedding(&d.f([3]), &d.f([2]), 1.0));
    t.row("mul", |d| loss::soft_margin(&d.f([3]), &d.f([2])));
    t.row("mul", |d| loss::poisson_nll(&d.f([3]), &d.f([2])));
    t.row("sub", |d| loss::gaussian_nll(&d.f([3]), &d.f([2]), &d.f([3])));
    t.row("sub", |d| loss::triplet_margin(&d.f([2, 3]), &d.f([2, 4]), &d.f([2, 3]), 1.0, 2.0));
    t.row("mul", |d| d.b([2]).kron(&d.other([2])));
    t.row("add", |d| d.f([2]) + d.other([2]));
    t.row("cat", |d| Tensor::cat(&[&d.f([2]), &d.other([2])], 0));
    t.row("add", |d| d.f([2, 2]).linear(&d.f([2, 2]), Some(&d.other([2]))));
    t.row("layer_norm", |d| d.f([2, 2]).layer_norm(&d.other([2]), None, 1e-5));
    t.row("sub", |d| loss::mse(&d.f([2]), &d.other([2])));
    t.row("eye", |d| Tensor::eye(usize::MAX, d.device()));
    t.row("arange", |d| Tensor::arange(0.0, 5.0, 0.0, d.device()));
    t.row("bernoulli", |d| Tensor::bernoulli([2], 1.5, d.device()));
    t.row("randint", |d| Tensor::randint([2], 3, 3, d.device()));
    t.row("uniform", |d| Tensor::uniform([2], 1.0, 0.0, d.device()));
    t.row("requires_grad", |d| d.i([2]).requires_grad());
    assert!(t.rows >= 268, "only {} rows", t.rows);
    t.finish();
}

/// Indices in the data that point nowhere: an error at the first read.
#[test]
fn invalid_data() {
    let own = Device::gpu_with(true, |_| ()).unwrap_or_else(|error| panic!("{error}"));
    let mut t = Table { data: Some(own), ..Table::default() };
    t.row("gather", |d| d.f([2, 3]).gather(0, &d.ints(&[0, 2, 0], [1, 3])));
    t.row("gather", |d| d.f([2, 3]).gather(1, &d.ints(&[-1, 0], [2, 1])));
    t.row("scatter_add", |d| d.f([3]).scatter_add(0, &d.ints(&[3], [1]), &d.f([1])));
    t.row("scatter", |d| d.f([3]).scatter(0, &d.ints(&[5], [1]), &d.f([1])));
    t.row("index_select", |d| d.f([3]).index_select(0, &d.ints(&[3], [1])));
    t.row("scatter_add", |d| d.f([3]).index_add(0, &d.ints(&[4], [1]), &d.f([1])));
    t.row("embedding", |d| Tensor::embedding(&d.f([3, 2]), &d.ints(&[1, 3], [2])));
    t.row("one_hot", |d| d.ints(&[0, 3], [2]).one_hot(3));
    t.row("cross_entropy", |d| loss::cross_entropy(&d.f([2, 3]), &d.ints(&[0, 3], [2])));
    t.row("gather", |d| loss::nll(&d.f([2, 3]), &d.ints(&[0, -1], [2])));
    t.row("gather", |d| loss::multi_margin(&d.f([2, 3]), &d.ints(&[0, 3], [2]), 1.0));
    assert!(t.rows >= 11, "only {} rows", t.rows);
    t.finish();
}
