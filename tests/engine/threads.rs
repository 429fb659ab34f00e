//! Handles may be shared and moved between threads.

use std::thread;

use wgrad::{Device, Tensor};

use crate::gpu;

#[test]
fn handles_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Tensor>();
    check::<Device>();
    check::<wgrad::Error>();
    check::<wgrad::optim::Adam>();
}

fn both() -> [Device; 2] {
    [gpu().clone(), Device::cpu()]
}

/// Builds, reads and differentiates graphs that differ by thread and turn.
fn work(device: &Device, thread: usize) {
    for turn in 0..20 {
        let n = 3 + (thread + turn) % 5;
        let start: Vec<f32> = (0..n * n).map(|i| ((i + thread) as f32 * 0.3 + turn as f32).sin()).collect();
        let x = Tensor::from_slice(&start, [n, n], device).requires_grad();
        let y = (&x * 2.0 + 1.0).relu();
        let product = y.matmul(&x);
        let loss = product.sum() + y.mean();
        if turn % 2 == 0 {
            y.to_vec::<f32>().unwrap();
        }
        loss.backward().unwrap();
        let found = x.grad().unwrap().to_vec::<f32>().unwrap();
        // d/dx of Σᵢₖⱼ y[i,k] x[k,j] + mean(y), with y = relu(2x + 1).
        let y: Vec<f32> = start.iter().map(|v| (2.0 * v + 1.0).max(0.0)).collect();
        for k in 0..n {
            for j in 0..n {
                let column: f32 = (0..n).map(|i| y[i * n + k]).sum();
                let row: f32 = (0..n).map(|m| start[j * n + m]).sum();
                let gate = if y[k * n + j] > 0.0 { 2.0 } else { 0.0 };
                let expected = column + gate * (row + 1.0 / (n * n) as f32);
                let found = found[k * n + j];
                assert!((found - expected).abs() < 1e-3, "thread {thread}, turn {turn}: {found} against {expected}");
            }
        }
    }
}

#[test]
fn eight_threads_on_one_device() {
    for device in both() {
        thread::scope(|scope| {
            for t in 0..8 {
                let device = &device;
                scope.spawn(move || work(device, t));
            }
        });
    }
}

/// Threads read one lazy graph, whose values are computed by whoever comes first.
#[test]
fn eight_threads_read_one_graph() {
    for device in both() {
        for _ in 0..20 {
            let x = Tensor::arange(0.0, 64.0, 1.0, &device);
            let y = (&x * 2.0).reshape([8, 8]);
            let z = (&y + 1.0).sum_dims(&[1], false);
            thread::scope(|scope| {
                for t in 0..8 {
                    let (y, z, device) = (&y, &z, &device);
                    scope.spawn(move || match t % 4 {
                        0 => assert_eq!(y.to_vec::<f32>().unwrap()[63], 126.0),
                        1 => assert_eq!(z.to_vec::<f32>().unwrap()[0], 64.0),
                        2 => assert_eq!((z * 0.5).sum().item::<f32>().unwrap(), 2048.0),
                        _ => device.sync().unwrap(),
                    });
                }
            });
        }
    }
}

#[test]
fn concurrent_backward_on_separate_leaves() {
    for device in both() {
        let shared = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device);
        let leaves: Vec<Tensor> = (0..8).map(|t| Tensor::full([3], t as f32, &device).requires_grad()).collect();
        thread::scope(|scope| {
            for leaf in &leaves {
                let shared = &shared;
                scope.spawn(move || {
                    for _ in 0..10 {
                        (leaf * leaf * shared).sum().backward().unwrap();
                    }
                });
            }
        });
        for (t, leaf) in leaves.iter().enumerate() {
            let expected: Vec<f32> = [1.0, 2.0, 3.0].iter().map(|s| 20.0 * t as f32 * s).collect();
            assert_eq!(leaf.grad().unwrap().to_vec::<f32>().unwrap(), expected);
        }
    }
}

#[test]
fn concurrent_backward_on_one_leaf_loses_nothing() {
    for device in both() {
        let leaf = Tensor::ones([3], &device).requires_grad();
        thread::scope(|scope| {
            for _ in 0..8 {
                let leaf = &leaf;
                scope.spawn(move || {
                    for _ in 0..25 {
                        (leaf * 2.0).sum().backward().unwrap();
                    }
                });
            }
        });
        assert_eq!(leaf.grad().unwrap().to_vec::<f32>().unwrap(), [400.0; 3]);
    }
}

#[test]
fn a_tensor_made_in_one_thread_is_read_in_another() {
    let y = thread::spawn(|| Tensor::ones([4], gpu()) * 3.0).join().unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [3.0; 4]);
}
