//! Ops of users with kernels of their own.

use ndarray::{ArrayD, arr0};
use wgrad::custom::{Backward, Bits, Kernel, Meta, Op};
use wgrad::{DType, Device, Error, Result, Tensor, autograd};

use crate::common::*;

/// `scale · x[i] · x[n − 1 − i]` along a vector; by a kernel that can be made wrong.
#[derive(Clone, Copy, Hash)]
struct Folded {
    scale: Bits,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq)]
enum Fault {
    None,
    /// Reads far beyond the input, and stores beyond the output.
    OutOfBounds,
    /// Reads an input that is not there.
    NoInput,
    /// Reads storage that nothing writes.
    NoScratch,
    /// Does not compile.
    Syntax,
    /// Forgets an input's gradient.
    Gradients,
    /// The reference has another shape.
    Reference,
}

const FOLDED: &str = "
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
            @builtin(local_invocation_index) invocation: u32) {
        let i = workgroup_index(group, groups) * 64u + invocation;
        if (i >= params.total) { return; }
        store(i, params.scale * load_x(i + SHIFT) * load_x(params.total - 1u - i));
        if (SHIFT != 0u) { store(i + SHIFT, 7.0); }
    }";

impl Op for Folded {
    fn name(&self) -> &str {
        "folded"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        if inputs[0].shape.rank() != 1 {
            return Err(Error::shape("folded", "takes a vector", &[&inputs[0].shape]));
        }
        Ok(inputs[0].clone())
    }

    fn kernel(&self, inputs: &[&Meta], _output: &Meta) -> Kernel {
        let total = inputs[0].numel();
        let source = if self.fault == Fault::Syntax {
            &["@compute @workgroup_size(1)\nfn main() { nothing(); }"]
        } else {
            &[FOLDED]
        };
        let kernel = Kernel::new("folded", source)
            .input("x", if self.fault == Fault::NoInput { 3 } else { 0 })
            .size("total", total)
            .param("scale", self.scale.0 as f32)
            .constant("SHIFT", if self.fault == Fault::OutOfBounds { 1 << 28 } else { 0 })
            .workgroups(total.div_ceil(64))
            .stores_once();
        if self.fault == Fault::NoScratch { kernel.read_scratch("sums") } else { kernel }
    }

    fn reference(&self, inputs: &[ArrayD<f64>], _output: &Meta) -> Result<ArrayD<f64>> {
        if self.fault == Fault::Reference {
            return Ok(arr0(1.0).into_dyn());
        }
        let x = &inputs[0];
        Ok(ArrayD::from_shape_fn(x.shape(), |i| self.scale.0 * x[[i[0]]] * x[[x.len() - 1 - i[0]]]))
    }

    fn backward(&self, cx: &Backward) -> Result<Vec<Option<Tensor>>> {
        if self.fault == Fault::Gradients {
            return Ok(vec![]);
        }
        let x = &cx.inputs[0];
        let (mirrored, dy) = (x.flip(&[0]), cx.dy + cx.dy.flip(&[0]));
        Ok(vec![Some(dy * mirrored * self.scale.0)])
    }
}

fn folded(scale: f64) -> Folded {
    Folded { scale: Bits(scale), fault: Fault::None }
}

/// Sums of the rows of a matrix in two dispatches, with storage in between.
#[derive(Hash)]
struct RowSums;

const HALVES: &str = "
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
            @builtin(local_invocation_index) invocation: u32) {
        let part = workgroup_index(group, groups) * 64u + invocation;
        if (part >= 2u * params.rows) { return; }
        var sum = 0.0;
        for (var k = part % 2u; k < params.width; k += 2u) { sum += load_x(part / 2u * params.width + k); }
        store_halves(part, sum);
    }";
const WHOLE: &str = "
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
            @builtin(local_invocation_index) invocation: u32) {
        let row = workgroup_index(group, groups) * 64u + invocation;
        if (row < params.rows) { store(row, load_halves(2u * row) + load_halves(2u * row + 1u)); }
    }";

impl Op for RowSums {
    fn name(&self) -> &str {
        "row_sums"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(Meta::new([inputs[0].shape[0]], inputs[0].dtype))
    }

    fn kernel(&self, inputs: &[&Meta], _output: &Meta) -> Kernel {
        let rows = inputs[0].shape[0];
        Kernel::new("row_halves", &[HALVES])
            .input("x", 0)
            .size("rows", rows)
            .size("width", inputs[0].shape[1])
            .scratch("halves", 2 * rows, DType::F32)
            .workgroups((2 * rows).div_ceil(64))
            .then("row_sums", &[WHOLE])
            .read_scratch("halves")
            .size("rows", rows)
            .workgroups(rows.div_ceil(64))
            .stores_once()
    }

    fn reference(&self, inputs: &[ArrayD<f64>], _output: &Meta) -> Result<ArrayD<f64>> {
        Ok(inputs[0].sum_axis(ndarray::Axis(1)))
    }
}

#[test]
fn kernels_agree_with_their_reference() {
    for n in [0, 1, 63, 64, 1000] {
        let x = Tensor::randn([2 * n], gpu()).slice_step(0, .., 2); // strided
        let y = folded(0.5).apply(&[&(&x + 1.0)]).tanh();
        let on_cpu = folded(0.5).apply(&[&(x.to_device(&Device::cpu()) + 1.0)]).tanh();
        assert_same(&format!("folded {n}"), &y, &on_cpu, 1e-6);
    }
    for (rows, width) in [(0, 3), (1, 1), (70, 129), (3, 0)] {
        let x = Tensor::randn([width, rows], gpu()).t();
        let (y, on_cpu) = (RowSums.apply(&[&x]).exp(), RowSums.apply(&[&x.to_device(&Device::cpu())]).exp());
        assert_same(&format!("row_sums {rows} {width}"), &y, &on_cpu, 1e-5);
    }
}

#[test]
fn gradients_and_plans() {
    let x = Tensor::from_slice(&[0.5f32, -1.5, 2.0, 0.25, 1.0], [5], gpu());
    autograd::gradcheck(|x| folded(0.5).apply(&[&x[0]]).tanh(), &[&x], 1e-6).unwrap();
    autograd::gradgradcheck(|x| folded(0.5).apply(&[&x[0]]), &[&x], 1e-5).unwrap();
    let gradient = |device: &Device| {
        let x = x.to_device(device).requires_grad();
        folded(2.0).apply(&[&x]).square().sum().backward().unwrap();
        x.grad().unwrap()
    };
    assert_same("gradient", &gradient(gpu()), &gradient(&Device::cpu()), 1e-6);
    // Other fields, another plan.
    let twice = folded(2.0).apply(&[&x]).to_vec::<f32>().unwrap();
    let thrice = folded(3.0).apply(&[&x]).to_vec::<f32>().unwrap();
    assert!(twice.iter().zip(&thrice).all(|(a, b)| (1.5 * a - b).abs() < 1e-5));
    // The op that follows is part of the kernel.
    let y = folded(2.0).apply(&[&x]).exp();
    let before = gpu().stats().dispatches;
    y.realize().unwrap();
    assert_eq!(gpu().stats().dispatches - before, 1);
    let error = RowSums.apply(&[&x.unsqueeze(0).requires_grad()]).sum().backward().unwrap_err().to_string();
    assert!(error.contains("row_sums") && error.contains("no gradient"), "{error}");
}

#[test]
fn what_is_wrong_is_an_error() {
    let x = Tensor::ones([8], gpu());
    let with = |fault: Fault| Folded { scale: Bits(1.0), fault };
    for (fault, text) in [
        (Fault::NoInput, "reads input 3, but there are 1"),
        (Fault::NoScratch, "the scratch storage sums is read"),
        (Fault::Syntax, "nothing"),
    ] {
        let error = with(fault).apply(&[&x]).to_vec::<f32>().unwrap_err().to_string();
        assert!(error.contains(text), "{fault:?}: {error}");
    }
    let line = line!() + 1;
    let error = folded(1.0).apply(&[&x.reshape([2, 4])]).check().unwrap_err().to_string();
    assert!(error.contains("takes a vector") && error.contains(&format!("{}:{line}:", file!())), "{error}");
    assert!(folded(1.0).apply(&[]).check().is_err());
    let leaf = x.clone().requires_grad();
    let error = with(Fault::Gradients).apply(&[&leaf]).sum().backward().unwrap_err().to_string();
    assert!(error.contains("0 gradients for 1 inputs"), "{error}");
    let on_cpu = x.to_device(&Device::cpu());
    let error = with(Fault::Reference).apply(&[&on_cpu]).to_vec::<f32>().unwrap_err().to_string();
    assert!(error.contains("reference gives shape []"), "{error}");
    // Shaders of users run with bounds checks: what is beyond the buffers harms no other tensor.
    let others: Vec<Tensor> = (0..8).map(|i| Tensor::full([64], i as f32, gpu()) + 0.5).collect();
    others.iter().for_each(|other| other.realize().unwrap());
    with(Fault::OutOfBounds).apply(&[&x]).realize().unwrap();
    for (i, other) in others.iter().enumerate() {
        assert_eq!(other.to_vec::<f32>().unwrap(), [i as f32 + 0.5; 64]);
    }
}
