//! The same seed on the same device gives the same bits.

use wgrad::optim::Adam;
use wgrad::{Device, Tensor};

use crate::new_gpu;

/// The weights of a small network after 50 steps from one seed.
fn train(device: &Device) -> Vec<Vec<f32>> {
    device.seed(7);
    let leaf = |t: Tensor| t.requires_grad();
    let parameters = vec![
        leaf(Tensor::randn([20, 33], device) * 0.2),
        leaf(Tensor::zeros([33], device)),
        leaf(Tensor::randn([33, 5], device) * 0.2),
        leaf(Tensor::zeros([5], device)),
    ];
    let x = Tensor::randn([64, 20], device);
    let y = Tensor::uniform([64, 5], -1.0, 1.0, device);
    x.realize().unwrap();
    y.realize().unwrap();
    let mut optimizer = Adam::new(parameters.clone(), 1e-2);
    for _ in 0..50 {
        let mask = Tensor::bernoulli([64, 33], 0.9, device);
        let h = (x.matmul(&parameters[0]) + &parameters[1]).relu() * mask;
        let loss = (h.matmul(&parameters[2]) + &parameters[3] - &y).square().mean();
        optimizer.zero_grad();
        loss.backward().unwrap();
        optimizer.step().unwrap();
    }
    parameters.iter().map(|p| p.to_vec::<f32>().unwrap()).collect()
}

/// FNV-1a over the bits of all weights.
fn hash(weights: &[Vec<f32>]) -> u64 {
    let bytes = weights.iter().flatten().flat_map(|v| v.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn fifty_steps_give_the_same_bits_twice() {
    // The seed belongs to the device, so each test has devices of its own.
    let own = new_gpu();
    for device in [&own, &Device::cpu()] {
        let (a, b) = (train(device), train(device));
        assert!(a.iter().flatten().all(|v| v.is_finite()));
        assert_eq!(hash(&a), hash(&b), "{device:?}");
    }
    assert_eq!(hash(&train(&own)), hash(&train(&new_gpu())), "a device opened anew");
}

#[test]
fn seeds_differ() {
    let device = new_gpu();
    let own = |seed: u64| {
        device.seed(seed);
        let first = Tensor::rand([64], &device).to_vec::<f32>().unwrap();
        (first, Tensor::rand([64], &device).to_vec::<f32>().unwrap())
    };
    let ((a, b), (c, d)) = (own(1), own(1));
    assert_eq!((&a, &b), (&c, &d));
    assert_ne!(a, b, "two draws of one seed");
    assert_ne!(a, own(2).0);
}

#[test]
fn fusion_and_device_do_not_change_the_result() {
    let expected = train(&Device::cpu());
    for device in [new_gpu(), Device::gpu_with_fusion(false).unwrap()] {
        for (found, expected) in train(&device).iter().zip(&expected) {
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 5e-3, "{device:?}: weights differ by {worst}");
        }
    }
}
