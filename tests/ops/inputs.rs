//! Operands that lie in memory in every way, and the comparison of an op over them with the CPU reference.

use std::sync::OnceLock;

use wgrad::{DType, Device, Result, Tensor};

use crate::common::*;

/// The adapter with the kernels that a hardware GPU gets.
pub fn hardware() -> &'static Device {
    static HARDWARE: OnceLock<Device> = OnceLock::new();
    shared(HARDWARE.get_or_init(own_hardware))
}

/// Another device like [`hardware`].
pub fn own_hardware() -> Device {
    Device::gpu_with(true, |caps| caps.software = false).unwrap_or_else(|error| panic!("{error}"))
}

/// The adapter with the kernels that a software adapter without subgroups and 64-bit integers gets.
pub fn plain() -> &'static Device {
    static PLAIN: OnceLock<Device> = OnceLock::new();
    shared(PLAIN.get_or_init(|| {
        Device::gpu_with(true, |caps| {
            caps.software = true;
            caps.subgroup = None;
            caps.wide_loads = false;
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }))
}

/// A matrix: the leaf behind it, and the view of the leaf that the op sees.
pub struct Input {
    pub name: &'static str,
    pub leaf: &'static [usize],
    pub view: fn(&Tensor) -> Tensor,
}

/// Every way in which a small matrix lies in memory, matrices without elements, of one element, and of sizes at which kernels
/// loop or split.
pub const INPUTS: [Input; 13] = [
    Input { name: "contiguous", leaf: &[5, 7], view: Tensor::clone },
    Input { name: "transposed", leaf: &[7, 5], view: |x| x.t() },
    Input { name: "flipped", leaf: &[5, 7], view: |x| x.flip(&[0, 1]) },
    Input { name: "every second row", leaf: &[9, 7], view: |x| x.slice_step(0, 1..9, 2) },
    Input { name: "every third column", leaf: &[5, 20], view: |x| x.slice_step(1, 1..20, 3) },
    Input { name: "one row expanded", leaf: &[1, 7], view: |x| x.expand([5, 7]) },
    Input { name: "one column expanded", leaf: &[5, 1], view: |x| x.expand([5, 7]) },
    Input { name: "a fused sum", leaf: &[7, 5], view: |x| x.t() + x.flip(&[1]).t() * 0.5 },
    Input { name: "no rows", leaf: &[0, 7], view: Tensor::clone },
    Input { name: "no columns", leaf: &[5, 0], view: Tensor::clone },
    Input { name: "one element", leaf: &[1, 1], view: Tensor::clone },
    Input { name: "many rows", leaf: &[70_000, 8], view: Tensor::clone },
    Input { name: "long rows", leaf: &[7, 20_000], view: Tensor::clone },
];

impl Input {
    /// Whether the CPU reference takes its time over it.
    pub fn is_large(&self) -> bool {
        self.leaf.iter().product::<usize>() > 1000
    }
}

/// `count` indices below `bound` with repeats, as i32 or u32.
pub fn indices(count: usize, bound: usize, shape: &[usize], unsigned: bool, device: &Device) -> Tensor {
    let at = |i: usize| (i * 5 + i / 3 + 2) % bound.max(1);
    match unsigned {
        true => Tensor::from_slice(&(0..count).map(|i| at(i) as u32).collect::<Vec<_>>(), shape, device),
        false => Tensor::from_slice(&(0..count).map(|i| at(i) as i32).collect::<Vec<_>>(), shape, device),
    }
}

/// The elements of a float tensor, or the error that it carries or meets.
fn read(x: &Tensor) -> Result<Vec<f64>> {
    match x.dtype() {
        DType::F64 => x.to_vec::<f64>(),
        _ => Ok(x.to_vec::<f32>()?.into_iter().map(f64::from).collect()),
    }
}

/// Shape, values and the leaf's gradient.
type Outcome = (Vec<usize>, Vec<f64>, Vec<f64>);

fn run(input: &Input, op: &dyn Fn(&Tensor) -> Tensor, device: &Device) -> Result<Outcome> {
    let data = Rng(71).vec(input.leaf.iter().product(), -2.0, 2.0);
    let leaf = floats(&data, input.leaf, device).requires_grad();
    let y = op(&(input.view)(&leaf));
    y.check()?;
    let dy = floats(&Rng(72).vec(y.numel(), -1.5, 1.5), y.shape(), device);
    y.backward_with(&dy)?;
    let found = read(&y)?;
    let grad = leaf.grad().map_or(Ok(Vec::new()), |g| read(&g))?;
    Ok((y.shape().to_vec(), found, grad))
}

/// Runs `op` over `input` on both kernel families, forward and backward, and adds to `failures` where one differs from the CPU
/// reference.
pub fn compare(what: &str, input: &Input, op: &dyn Fn(&Tensor) -> Tensor, tolerance: f64, failures: &mut Vec<String>) {
    let expected = run(input, op, cpu());
    for (family, device) in [("software", gpu()), ("hardware", hardware())] {
        let what = format!("{what}, {}, {family}", input.name);
        match (run(input, op, device), &expected) {
            (Ok(found), Ok(expected)) if found.0 != expected.0 => {
                failures.push(format!("{what}: shape {:?} instead of {:?}", found.0, expected.0));
            }
            (Ok(found), Ok(expected)) => {
                for (part, a, b) in [("forward", &found.1, &expected.1), ("backward", &found.2, &expected.2)] {
                    if a.len() != b.len() {
                        failures.push(format!("{what} {part}: {} elements instead of {}", a.len(), b.len()));
                    } else if relative_error(a, b) > tolerance {
                        let first = first_difference(a, b, tolerance);
                        failures.push(format!("{what} {part}: error {:.1e}, {first}", relative_error(a, b)));
                    }
                }
            }
            (Err(found), Err(expected)) => {
                if found.to_string() != expected.to_string() {
                    failures.push(format!("{what}: {found}; the CPU says {expected}"));
                }
            }
            (found, expected) => {
                failures.push(format!(
                    "{what}: {:?} on the GPU, {:?} on the CPU",
                    found.err(),
                    expected.as_ref().err()
                ));
            }
        }
    }
}
