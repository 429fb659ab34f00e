//! `WGRAD_VALIDATE=1` holds an op's kernels against its plainest ones before the first use.

use wgrad::internals::Array;
use wgrad::internals::Caps;
use wgrad::internals::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Word, Write};
use wgrad::internals::{Meta, Op, Var};
use wgrad::{Device, Result, Tensor};

use crate::environment::{printed, run};

/// `factor · x`, by kernels that are plain or fast; the fast ones may be wrong.
#[derive(Clone, Copy, Hash)]
struct Scale {
    factor: u32,
    is_fast: bool,
    error: u32,
}

const PLAIN: &str = "@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.total) { store(id.x, f32(FACTOR) * load_x(id.x)); }
}";
const FAST: &str = "// The fast one.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.total) { store(id.x, load_x(id.x) * f32(FACTOR + ERROR)); }
}";

impl Op for Scale {
    fn name(&self) -> &str {
        "scale"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        Ok(inputs[0].clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    /// As wrong as the kernels, which is then not what is found.
    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let factor = f64::from(self.factor + self.error);
        Ok(Array::from_vec(&output.shape, inputs[0].to_f64().iter().map(|x| factor * x).collect()).cast(output.dtype))
    }
}

impl Routine for Scale {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let total = output.meta.numel() as u32;
        let error = self.is_fast.then_some(("ERROR", self.error));
        Ok(vec![Stage {
            name: if self.is_fast { "scale_fast" } else { "scale_plain" },
            source: if self.is_fast { &[FAST] } else { &[PLAIN] },
            reads: vec![Read { name: "x", slot: BufferSlot::Input(0), access: Access::Logical }],
            writes: vec![Write { name: "y", slot: BufferSlot::Output, vec4: false, scratch: None }],
            consts: [("FACTOR", self.factor)].into_iter().chain(error).collect(),
            params: vec![("total", Word::U32(total))],
            checks_indices: false,
            workgroups: u64::from(total.div_ceil(64)),
        }])
    }

    fn baseline(&self) -> Option<Box<dyn Routine>> {
        Some(Box::new(Scale { is_fast: false, ..*self }))
    }
}

/// What a child process runs.
pub fn program() -> Result<()> {
    let device = Device::default();
    let scaled = |rows: usize, error: u32| {
        let x = Tensor::from_slice(&vec![1f32; 2 * rows], [rows, 2], &device);
        let op = Scale { factor: 3, is_fast: true, error };
        wgrad::internals::tensor(Var::apply(op, &[&wgrad::internals::node(&x.transpose(0, 1))]), &device)
    };
    let mut counts = Vec::new();
    for rows in [2, 3, 3] {
        let before = device.stats().dispatches;
        assert_eq!(scaled(rows, 0).to_vec::<f32>()?, vec![3.0; 2 * rows]);
        counts.push((device.stats().dispatches - before).to_string());
    }
    println!("dispatches: {}", counts.join(" "));
    let wrong = scaled(2, 2);
    println!("wrong: {:?}", wrong.to_vec::<f32>().map_err(|error| error.to_string()));
    println!("after: {:?}", scaled(2, 0).to_vec::<f32>()?);
    Ok(())
}

#[test]
fn kernels_are_held_against_plain_ones_before_their_first_use() {
    let usual = run("certificate", &[]);
    assert_eq!(printed(&usual, "dispatches"), "1 1 1");
    assert_eq!(printed(&usual, "wrong"), "Ok([5.0, 5.0, 5.0, 5.0])");
    let validated = run("certificate", &[("WGRAD_VALIDATE", "1")]);
    // The same kernels for another shape are not tried again.
    assert_eq!(printed(&validated, "dispatches"), "3 1 1");
    let wrong = printed(&validated, "wrong");
    let parts = ["scale: the kernels scale_fast and the plainest ones disagree on shapes [2, 2]", "6.67e-1", file!()];
    assert!(wrong.starts_with("Err") && parts.iter().all(|part| wrong.contains(part)), "{wrong}");
    assert_eq!(printed(&validated, "after"), "[3.0, 3.0, 3.0, 3.0]");
}

/// All kernels of products and convolutions that this device takes for shapes of all classes pass.
pub fn products() -> Result<()> {
    let device = Device::default();
    device.seed(5);
    let mut certified = device.stats().dispatches;
    for [m, k, n] in [[1, 40, 30], [5, 7, 1], [64, 1000, 100], [130, 64, 72], [3, 3000, 5], [256, 256, 256]] {
        let (a, b) = (Tensor::randn([m, k], &device).requires_grad(), Tensor::randn([n, k], &device).requires_grad());
        a.matmul(&b.t()).square().sum().backward()?;
        device.sync()?;
    }
    for (x, w, groups) in
        [([2, 8, 9, 9], [12, 8, 3, 3], 1), ([2, 6, 17, 8], [6, 1, 3, 3], 6), ([3, 1, 8, 8], [16, 1, 5, 5], 1)]
    {
        let (x, w) = (Tensor::randn(x, &device).requires_grad(), Tensor::randn(w, &device).requires_grad());
        let options = wgrad::Conv::default().padding(1).groups(groups);
        x.conv2d(&w, None, options).square().sum().backward()?;
        device.sync()?;
    }
    certified = device.stats().dispatches - certified;
    println!("dispatches: {certified}");
    Ok(())
}

#[test]
fn kernels_of_products_and_convolutions_pass() {
    let dispatches = |variables: &[(&str, &str)]| {
        printed(&run("certified products", variables), "dispatches").parse::<u64>().unwrap()
    };
    let (usual, validated) = (dispatches(&[]), dispatches(&[("WGRAD_VALIDATE", "1")]));
    assert!(validated > usual + 20, "{validated} dispatches against {usual}");
}
