//! How fast the adapter copies and multiplies, and how long kernels take by comparison.

use std::time::Duration;

use super::{Row, Section, Status, text_of};
use crate::autograd::{ElementwiseOp, grad};
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::loss;
use crate::ops::conv::Conv;
use crate::tensor::Tensor;

/// Times that a family is measured; the best counts.
const RUNS: usize = 3;

/// Multiplications and additions of each element of the measurement of arithmetic: so many steps of four independent chains.
const STEPS: usize = 256;

/// Time, bytes and operations of the kernels of a computation.
struct Measured {
    time: Duration,
    bytes: u64,
    flops: u64,
}

/// The best of some runs.
fn measure(run: &dyn Fn() -> Result<Tensor>) -> Result<Measured> {
    let mut best: Option<Measured> = None;
    for _ in 0..=RUNS {
        let explanation = run()?.explain()?;
        let Some(time) = explanation.kernel_time().filter(|time| !time.is_zero()) else {
            return Err(Error::unsupported("certify", "the adapter cannot tell how long kernels take"));
        };
        if best.as_ref().is_none_or(|best| time < best.time) {
            best = Some(Measured { time, bytes: explanation.bytes(), flops: explanation.flops() });
        }
    }
    best.ok_or_else(|| Error::internal("certify", "nothing was measured"))
}

/// Makes operands of a size, and then what is measured.
type Make = fn(&Device, usize) -> Result<Box<dyn Fn() -> Result<Tensor>>>;

/// A family of kernels: its name, and what is measured.
struct Family {
    name: &'static str,
    /// Whether it needs 16-bit floats.
    half: bool,
    make: Make,
}

/// A tensor of random numbers that is computed.
fn randn(shape: &[usize], device: &Device) -> Result<Tensor> {
    let x = Tensor::randn(shape, device);
    x.realize()?;
    Ok(x)
}

fn family(name: &'static str, make: Make) -> Family {
    Family { name, half: false, make }
}

fn families() -> Vec<Family> {
    vec![
        family("product", |device, n| {
            let (a, b) = (randn(&[n, n], device)?, randn(&[n, n], device)?);
            Ok(Box::new(move || Ok(a.matmul(&b))))
        }),
        Family {
            half: true,
            ..family("product, 16-bit floats", |device, n| {
                let of = |x: Tensor| -> Result<Tensor> {
                    let x = x.to_dtype(DType::F16);
                    x.realize()?;
                    Ok(x)
                };
                let (a, b) = (of(randn(&[n, n], device)?)?, of(randn(&[n, n], device)?)?);
                Ok(Box::new(move || Ok(a.matmul(&b))))
            })
        },
        family("convolution", |device, n| {
            let (x, w) = (randn(&[8, 32, n / 16, n / 16], device)?, randn(&[64, 32, 3, 3], device)?);
            Ok(Box::new(move || Ok(x.conv2d(&w, None, Conv::default().padding(1)))))
        }),
        family("convolution, gradient of the filter", |device, n| {
            let (x, w) = (randn(&[8, 32, n / 16, n / 16], device)?, randn(&[64, 32, 3, 3], device)?.requires_grad());
            Ok(Box::new(move || {
                let y = x.conv2d(&w, None, Conv::default().padding(1)).sum();
                Ok(grad(&[&y], &[&w], false)?.swap_remove(0))
            }))
        }),
        family("attention", |device, n| {
            let [q, k, v] = [(); 3].map(|()| randn(&[4, 4, n / 2, 64], device));
            let (q, k, v) = (q?, k?, v?);
            Ok(Box::new(move || Ok(q.scaled_dot_product_attention(&k, &v, None, true))))
        }),
        family("softmax", |device, n| {
            let x = randn(&[4 * n, 1024], device)?;
            Ok(Box::new(move || Ok(x.softmax(1))))
        }),
        family("layer norm", |device, n| {
            let (x, w) = (randn(&[4 * n, 1024], device)?, randn(&[1024], device)?);
            Ok(Box::new(move || Ok(x.layer_norm(&w, None, 1e-5))))
        }),
        family("cross-entropy", |device, n| {
            let (x, y) = (randn(&[4 * n, 1024], device)?, Tensor::randint([4 * n], 0, 1024, device));
            y.realize()?;
            Ok(Box::new(move || Ok(loss::cross_entropy(&x, &y))))
        }),
        family("sum of rows", |device, n| {
            let x = randn(&[4 * n, 1024], device)?;
            Ok(Box::new(move || Ok(x.sum_dims(&[1], false))))
        }),
        family("sum of columns", |device, n| {
            let x = randn(&[4 * n, 1024], device)?;
            Ok(Box::new(move || Ok(x.sum_dims(&[0], false))))
        }),
        family("running sum", |device, n| {
            let x = randn(&[4 * n, 1024], device)?;
            Ok(Box::new(move || Ok(x.cumsum(1))))
        }),
        family("sort", |device, n| {
            let x = randn(&[n / 2, 1024], device)?;
            Ok(Box::new(move || Ok(x.argsort(1, false))))
        }),
        family("rows by number", |device, n| {
            let (x, at) = (randn(&[4 * n, 256], device)?, Tensor::randint([4 * n], 0, 4 * n as i32, device));
            at.realize()?;
            Ok(Box::new(move || Ok(x.index_select(0, &at))))
        }),
        family("scatter", |device, n| {
            let (x, at) = (randn(&[4 * n, 64], device)?, Tensor::randint([4 * n], 0, 4 * n as i32, device));
            at.realize()?;
            Ok(Box::new(move || Ok(x.zeros_like().index_add(0, &at, &x))))
        }),
        family("max pooling", |device, n| {
            let x = randn(&[8, 32, n / 8, n / 8], device)?;
            Ok(Box::new(move || Ok(x.max_pool2d(3, 2, 1))))
        }),
        family("random numbers", |device, n| {
            let device = device.clone();
            Ok(Box::new(move || Ok(Tensor::randn([4 * n, 1024], &device))))
        }),
        family("elementwise, transposed", |device, n| {
            let x = randn(&[4 * n, 1024], device)?;
            Ok(Box::new(move || Ok(x.t().contiguous())))
        }),
    ]
}

/// Rows: the two rates of the adapter, then families by comparison.
pub fn rows(device: &Device) -> Vec<Row> {
    let software = device.info().software;
    let copied: usize = if software { 1 << 22 } else { 1 << 26 };
    let copy = || -> Result<Measured> {
        let x = randn(&[copied], device)?;
        measure(&|| Ok(x.neg()))
    };
    let elements: usize = if software { 1 << 16 } else { 1 << 22 };
    let arithmetic = || -> Result<Measured> {
        let chain = format!(
            "fn certify_chain_fwd(x: f32, y: f32) -> f32 {{\n    var a = vec4<f32>(x, x + 1.0, x + 2.0, x + 3.0);\n    \
             for (var i = 0u; i < {STEPS}u; i++) {{ a = fma(a, vec4<f32>(y), vec4<f32>(x)); }}\n    \
             return a.x + a.y + a.z + a.w;\n}}"
        );
        let op = ElementwiseOp::new("certify_chain", &chain)?;
        let (x, y) = (randn(&[elements], device)?, Tensor::full([elements], 0.5, device) + 0.0);
        y.realize()?;
        let measured = measure(&|| Ok(op.apply(&[&x, &y])))?;
        Ok(Measured { flops: (elements * STEPS * 8) as u64, ..measured })
    };
    let (copy, arithmetic) = match (copy(), arithmetic()) {
        (Ok(copy), Ok(arithmetic)) => (copy, arithmetic),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Row::new(Section::Rates, "rates", Status::NotOffered, text_of(&error))];
        }
    };
    let bandwidth = copy.bytes as f64 / copy.time.as_secs_f64();
    let rate = arithmetic.flops as f64 / arithmetic.time.as_secs_f64();
    let mut rows = vec![
        Row::new(Section::Rates, "copy", Status::Passed, format!("{:.1} GB/s, {} MiB", bandwidth / 1e9, copied >> 18)),
        Row::new(Section::Rates, "multiply-add", Status::Passed, format!("{:.1} GFLOP/s", rate / 1e9)),
    ];
    let half = device.caps().is_some_and(|caps| caps.f16);
    let size = if software { 256 } else { 2048 };
    for family in families() {
        if family.half && !half {
            rows.push(Row::new(Section::Rates, family.name, Status::NotOffered, "no 16-bit floats in shaders"));
            continue;
        }
        rows.push(match (family.make)(device, size).and_then(|run| measure(&*run)) {
            Ok(measured) => {
                let seconds = measured.time.as_secs_f64();
                let least = (measured.bytes as f64 / bandwidth).max(measured.flops as f64 / rate);
                let note = format!(
                    "{:.3} ms; {:.1} GB/s, {:.1} GFLOP/s; {:.1} × what its copies or operations alone would take",
                    seconds * 1e3,
                    measured.bytes as f64 / seconds / 1e9,
                    measured.flops as f64 / seconds / 1e9,
                    seconds / least.max(1e-12)
                );
                Row::new(Section::Rates, family.name, Status::Passed, note)
            }
            Err(Error::OutOfMemory { .. }) => {
                Row::new(Section::Rates, family.name, Status::NotOffered, "too little memory")
            }
            Err(error) => Row::refused(Section::Rates, family.name, &error),
        });
    }
    rows
}
