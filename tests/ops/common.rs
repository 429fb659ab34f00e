//! What all modules share: the devices, random data, comparison.

use std::sync::{Mutex, OnceLock, PoisonError};

use wgrad::{DType, Device, Tensor};

/// The adapter's device, or one that runs other kernels than those for the adapter, as `WGRAD_TEST_KERNELS` asks: `gpu` for those of GPUs
/// on a software adapter, `gpu-few-registers` for those of GPUs with few registers an invocation.
fn open() -> wgrad::Result<Device> {
    let few_registers = match std::env::var("WGRAD_TEST_KERNELS").as_deref() {
        Err(_) => return Device::gpu(),
        Ok("gpu") => false,
        Ok("gpu-few-registers") => true,
        Ok(other) => panic!("WGRAD_TEST_KERNELS is gpu or gpu-few-registers, not {other}"),
    };
    Device::gpu_with(true, |caps| {
        (caps.software, caps.few_registers, caps.wide_loads, caps.panel_texels) = (false, few_registers, false, 0);
    })
}

/// A device that many tests use in turn. Their kernels, of which a software adapter's take megabytes each, are let go after some hundred.
pub fn shared(device: &'static Device) -> &'static Device {
    const MOST: u64 = 300;
    static LAST: Mutex<Vec<(&'static Device, u64)>> = Mutex::new(Vec::new());
    let compiled = device.stats().kernels_compiled;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match last.iter_mut().find(|(known, _)| known.same(device)) {
        None => last.push((device, compiled)),
        // The counters start anew where a test resets them.
        Some((_, before)) if compiled < *before => *before = compiled,
        Some((_, before)) if compiled - *before > MOST => {
            *before = compiled;
            drop(last);
            device.trim();
        }
        Some(_) => {}
    }
    device
}

/// The one GPU device of this binary. A machine without an adapter fails the tests; it does not skip them.
pub fn gpu() -> &'static Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    shared(GPU.get_or_init(|| {
        open().unwrap_or_else(|error| {
            panic!(
                "{error}\nThese tests need a GPU adapter. A software one will do; on Debian: apt install mesa-vulkan-drivers"
            )
        })
    }))
}

/// The CPU reference.
pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu)
}

/// SplitMix64: the same numbers on every machine.
pub struct Rng(pub u64);

impl Rng {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// A number in `[low, high)` that f32 holds exactly.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        f64::from((low + (high - low) * unit) as f32)
    }

    /// `count` numbers in `[low, high)`.
    pub fn vec(&mut self, count: usize, low: f64, high: f64) -> Vec<f64> {
        (0..count).map(|_| self.uniform(low, high)).collect()
    }
}

/// A tensor of `shape` and `dtype`. Floats are f32 on the GPU and f64 on the CPU, which makes the CPU the oracle.
pub fn tensor(values: &[f64], shape: &[usize], dtype: DType, device: &Device) -> Tensor {
    match dtype {
        DType::F32 | DType::F64 if device.is_cpu() => Tensor::from_slice(values, shape, device),
        DType::F32 | DType::F64 => {
            Tensor::from_slice(&values.iter().map(|&v| v as f32).collect::<Vec<_>>(), shape, device)
        }
        DType::F16 => {
            Tensor::from_slice(&values.iter().map(|&v| wgrad::f16::from_f64(v)).collect::<Vec<_>>(), shape, device)
        }
        DType::I32 => Tensor::from_slice(&values.iter().map(|&v| v as i32).collect::<Vec<_>>(), shape, device),
        DType::U32 => Tensor::from_slice(&values.iter().map(|&v| v as u32).collect::<Vec<_>>(), shape, device),
        DType::Bool => Tensor::from_slice(&values.iter().map(|&v| v != 0.0).collect::<Vec<_>>(), shape, device),
    }
}

/// A float tensor.
pub fn floats(values: &[f64], shape: &[usize], device: &Device) -> Tensor {
    tensor(values, shape, DType::F32, device)
}

/// The elements as f64, which holds every other type exactly.
#[track_caller]
pub fn values(tensor: &Tensor) -> Vec<f64> {
    let read = match tensor.dtype() {
        DType::F64 => tensor.to_vec::<f64>(),
        DType::F16 => tensor.to_vec::<wgrad::f16>().map(|v| v.into_iter().map(f64::from).collect()),
        DType::F32 => tensor.to_vec::<f32>().map(|v| v.into_iter().map(f64::from).collect()),
        DType::I32 => tensor.to_vec::<i32>().map(|v| v.into_iter().map(f64::from).collect()),
        DType::U32 => tensor.to_vec::<u32>().map(|v| v.into_iter().map(f64::from).collect()),
        DType::Bool => tensor.to_vec::<bool>().map(|v| v.into_iter().map(|b| f64::from(u8::from(b))).collect()),
    };
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// `‖found − expected‖ / max(‖expected‖, 1)`; infinite where a NaN or an infinity stands on one side only.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let (mut difference, mut norm) = (0f64, 0f64);
    for (&a, &b) in found.iter().zip(expected) {
        if a == b || (a.is_nan() && b.is_nan()) {
            norm += if b.is_finite() { b * b } else { 0.0 };
        } else if !a.is_finite() || !b.is_finite() {
            return f64::INFINITY;
        } else {
            difference += (a - b) * (a - b);
            norm += b * b;
        }
    }
    if difference == 0.0 { 0.0 } else { (difference / norm.max(1.0)).sqrt() }
}

/// The first element that differs by more than `tolerance` relative to the larger of it and 1, for messages.
pub fn first_difference(found: &[f64], expected: &[f64], tolerance: f64) -> String {
    let differs = |(a, b): (f64, f64)| {
        a != b && !(a.is_nan() && b.is_nan()) && ((a - b).abs() > tolerance * b.abs().max(1.0) || !(a - b).is_finite())
    };
    match found.iter().zip(expected).position(|(&a, &b)| differs((a, b))) {
        Some(i) => format!("element {i}: {} instead of {}", found[i], expected[i]),
        None => "small differences everywhere".into(),
    }
}

/// Panics where `found` is not within `tolerance` of `expected` (relative, in the norm). Returns the error.
#[track_caller]
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> f64 {
    let error = relative_error(found, expected);
    assert!(
        error <= tolerance,
        "{what}: relative error {error:.2e} > {tolerance:.0e}; {}",
        first_difference(found, expected, tolerance)
    );
    error
}

/// Panics where the tensors differ in shape or by more than `tolerance`.
#[track_caller]
pub fn assert_same(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) -> f64 {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    assert_close(what, &values(found), &values(expected), tolerance)
}

/// Fills freed buffers of the pool with NaN, so that an element that no kernel writes shows.
pub fn poison(device: &Device) {
    let held: Vec<Tensor> = [16, 64, 128, 256, 512, 1024, 2048, 4096, 5120, 8192]
        .iter()
        .flat_map(|&n| (0..4).map(move |_| Tensor::from_slice(&vec![f32::NAN; n], [n], device)))
        .collect();
    drop(held);
}
