//! Dispatches of more workgroups than one dimension takes. Softmax and cross-entropy over 70,000 rows, a workgroup each, are in
//! `rows`; the elementwise table is in `elementwise`.

use std::sync::OnceLock;

use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::hardware;

/// The adapter, with one invocation in a workgroup of the generated kernels.
pub fn one_invocation() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        Device::gpu_with(true, |caps| caps.max_invocations = 1).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Kernels that read with strides, and reductions with one invocation a row.
#[test]
fn strided_reads_and_reductions() {
    let (m, n) = (65_543usize, 5usize);
    let data = Rng(3).vec(m * n, -1.0, 1.0);
    let compute = |device: &Device| -> Vec<Vec<f64>> {
        let x = floats(&data, &[n, m], device).requires_grad();
        let y = x.t() * 2.0 + x.flip(&[1]).t();
        let (sum, max) = (y.sum_dims(&[1], false), y.max_dims(&[1], false));
        let loss = (&sum * &max).sum() + y.tanh().mean() + y.sum_dims(&[0], false).square().mean();
        loss.backward().unwrap_or_else(|error| panic!("{error}"));
        [&y, &sum, &max, &x.grad().unwrap(), &y.argmax(1, false)].map(values).to_vec()
    };
    let expected = compute(cpu());
    for device in [one_invocation(), hardware()] {
        for (k, (found, expected)) in compute(device).iter().zip(&expected).enumerate() {
            assert_close(&format!("result {k}"), found, expected, 1e-5);
        }
    }
}

/// The indexing kernels have 256 invocations in a workgroup on every device. Data and verdict stay on the GPU.
#[test]
fn gather_of_as_many_elements() {
    let n = 1usize << 24; // 65,536 workgroups; f32 still counts exactly
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu());
    let index = x.flip(&[0]).to_dtype(DType::I32);
    let y = (&x * 2.0).gather(0, &index);
    y.realize().unwrap();
    let wrong = (&y + &x * 2.0).ne(2.0 * (n as f32 - 1.0)).to_dtype(DType::I32).sum();
    // The sum rounds to 25 bits of which f32 keeps 24, so only even numbers occur and all are exact.
    assert_eq!(wrong.item::<i32>().unwrap(), 0);
    assert_eq!(values(&y.slice(0, n - 2..n)), [2.0, 0.0]);
}

/// So do the kernels of sorts and scans; here each row is short, so that one stage does it.
#[test]
fn sorts_and_scans_of_as_many_elements() {
    let n = (1usize << 24) + 512;
    let x = Tensor::arange(0.0, n as f32, 1.0, gpu());
    let sums = x.reshape([n, 1]).cumsum(1).reshape([n]);
    assert_eq!(sums.ne(&x).to_dtype(DType::I32).sum().item::<i32>().unwrap(), 0);
    let pairs = x.reshape([n / 2, 2]);
    let order = pairs.slice(0, 0..(1 << 23)).argsort(1, true);
    assert_eq!(order.shape(), [1 << 23, 2]);
    // Numbers below 2²⁴ ascend, so every row is turned round: the sum of its first places is the number of rows.
    assert_eq!(order.select(1, 0).to_dtype(DType::I32).sum().item::<i32>().unwrap(), 1 << 23);
    let sorted = pairs.sort(1, true).0;
    assert_eq!(sorted.ne(pairs.flip(&[1])).to_dtype(DType::I32).sum().item::<i32>().unwrap(), 0);
}
