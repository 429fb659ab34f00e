//! Matrix multiplication of two square f32 matrices: the naive kernel, the kernel family that is chosen for the adapter, and
//! the CPU reference (the `gemm` crate), in one run.
//!
//! ```text
//! cargo bench --bench matmul
//! ```

mod common;

use common::{Bench, giga};
use wgrad::internals::Array;
use wgrad::internals::Caps;
use wgrad::internals::kernel::{Kernel, Operand, Routine, Stage};
use wgrad::internals::plan::{self, Family, Problem};
use wgrad::internals::{Meta, Op, Var};
use wgrad::{Device, Error, Result, Tensor};

/// Matrix multiplication by the textbook's kernel: one element of the result an invocation.
#[derive(Hash)]
struct Naive;

impl Op for Naive {
    fn name(&self) -> &str {
        "matmul_naive"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(Meta::new([inputs[0].shape[0], inputs[1].shape[1]], inputs[0].dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(Naive))
    }

    fn reference(&self, _inputs: &[&Array], _output: &Meta) -> Result<Array> {
        Err(Error::unsupported(self.name(), "the baseline runs on GPUs only"))
    }
}

impl Routine for Naive {
    fn stages(&self, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        plan::stages(&Problem::new(&inputs[0], &inputs[1])?, caps, Some(Family::Naive))
    }
}

fn naive(a: &Tensor, b: &Tensor) -> Tensor {
    wgrad::internals::tensor(Var::apply(Naive, &[&wgrad::internals::node(a), &wgrad::internals::node(b)]), a.device())
}

fn repeat(iterations: u64, device: &Device, f: impl Fn() -> Tensor) -> Result<()> {
    (0..iterations).try_for_each(|_| f().realize())?;
    device.sync()
}

fn main() {
    let mut bench = Bench::new();
    let device = bench.device();
    let cpu = Device::cpu();
    let mut group = bench.group("matmul f32");
    for n in [256, 512, 1024] {
        let operands = |device: &Device| {
            device.seed(1);
            let (a, b) = (Tensor::randn([n, n], device), Tensor::randn([n, n], device));
            a.realize().and(b.realize()).map(|()| (a, b)).expect("random matrices")
        };
        let work = 2.0 * (n as f64).powi(3);
        let mut slow = None;
        if !device.is_cpu() {
            let (a, b) = operands(&device);
            let case = format!("{n}³ naive");
            slow = group.time(&case, |iterations| repeat(iterations, &device, || naive(&a, &b)));
            if let Some(time) = slow {
                group.row(&case, time, format!("{:.1} GFLOP/s", giga(work, time)));
            }
            let case = format!("{n}³");
            if let Some(time) = group.time(&case, |iterations| repeat(iterations, &device, || a.matmul(&b))) {
                let ratio = slow.map(|s| format!(", {:.1} × naive", s.as_secs_f64() / time.as_secs_f64()));
                group.row(&case, time, format!("{:.1} GFLOP/s{}", giga(work, time), ratio.unwrap_or_default()));
            }
            // The two kernels must agree, or the comparison means nothing.
            let (x, y) = (a.matmul(&b), naive(&a, &b));
            let error = (&x - &y).square().sum() / y.square().sum();
            let error = error.sqrt().item::<f32>().expect("the error");
            assert!(error < 1e-5, "naive and default kernel differ by {error:e}");
        }
        let (a, b) = operands(&cpu);
        let case = format!("{n}³ CPU reference");
        if let Some(time) = group.time(&case, |iterations| repeat(iterations, &cpu, || a.matmul(&b))) {
            let ratio = slow.map(|s| format!(", {:.1} × naive", s.as_secs_f64() / time.as_secs_f64()));
            group.row(&case, time, format!("{:.1} GFLOP/s{}", giga(work, time), ratio.unwrap_or_default()));
        }
    }
    drop(group);
    bench.finish();
}
