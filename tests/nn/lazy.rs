//! Initial values are computed when they are asked for: what a checkpoint overwrites never is.

use wgrad::nn::{
    Conv2d, Embedding, LayerNorm, Linear, Module, MultiheadAttention, Parameters, Sequential, StateDict, init,
};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Tensor, io};

fn new_gpu() -> Device {
    Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}"))
}

fn model(device: &Device) -> Sequential {
    Sequential::new()
        .add(Linear::new(256, 512, device))
        .add(LayerNorm::new([512], device))
        .add(Linear::new(512, 256, device).without_bias())
}

/// Values of the model's names and shapes.
fn values(model: &Sequential, device: &Device) -> StateDict {
    let value = |(name, tensor): (String, Tensor)| {
        let numbers: Vec<f32> = (0..tensor.numel()).map(|i| i as f32 * 1e-3).collect();
        (name, Tensor::from_slice(&numbers, tensor.shape(), device))
    };
    model.named_parameters().into_iter().map(value).collect()
}

#[test]
fn what_a_checkpoint_overwrites_is_never_computed() {
    let path = std::env::temp_dir().join(format!("wgrad-lazy-{}.safetensors", std::process::id()));
    let made = Device::cpu();
    io::save_safetensors(&path, &values(&model(&made), &made)).unwrap();
    for device in [new_gpu(), Device::cpu()] {
        let before = device.stats();
        let model = model(&device);
        // Work of others on the device does not compute them either.
        let x = Tensor::ones([3], &device).exp();
        device.sync().unwrap();
        let other = device.stats().dispatches - before.dispatches;
        model.load_state_dict(&io::load_safetensors(&path, &device).unwrap()).unwrap();
        device.sync().unwrap();
        assert_eq!(device.stats().dispatches - before.dispatches, other);
        assert!(x.to_vec::<f32>().is_ok());
        if !device.is_cpu() {
            let bytes: u64 = model.parameters().iter().map(|p| 4 * p.numel() as u64).sum();
            let peak = device.memory().peak;
            assert!(peak <= bytes + bytes / 10 + 4096, "{peak} for {bytes} bytes of parameters");
        }
        let first = &model.parameters()[0].to_vec::<f32>().unwrap();
        assert_eq!(first[..3], [0.0, 0.001, 0.002]);
        // They are leaves like any others.
        model.forward(&Tensor::ones([2, 256], &device)).sum().backward().unwrap();
        assert!(model.parameters().iter().all(|p| p.grad().is_some()));
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn all_ways_to_begin_wait() {
    for device in [new_gpu(), Device::cpu()] {
        let before = device.stats().dispatches;
        let layer = Linear::new(40, 30, &device);
        let weight = &layer.weight;
        init::orthogonal(weight, init::Gain::Relu).unwrap();
        init::trunc_normal(weight, 0.0, 0.02, -0.04, 0.04).unwrap();
        init::kaiming_normal(weight, init::Fan::In, init::Gain::Relu).unwrap();
        init::normal(weight, 1.0, 2.0).unwrap();
        init::xavier_uniform(weight, init::Gain::Tanh).unwrap();
        init::constant(weight, 3.0).unwrap();
        let own = (Tensor::randn([7, 7], &device) * 0.1).requires_grad();
        let _ = (Embedding::with_padding(9, 3, 2, &device), MultiheadAttention::new(8, 2, &device));
        let _ = Conv2d::new(3, 4, 3, &device).without_bias();
        assert_eq!(device.stats().dispatches, before);
        assert_eq!(weight.to_vec::<f32>().unwrap(), [3.0; 1200]);
        let squares = own.to_vec::<f32>().unwrap().iter().map(|v| v * v).sum::<f32>() / 49.0;
        assert!((0.002..0.03).contains(&squares), "{squares}");
        init::orthogonal(weight, init::Gain::Linear).unwrap();
        let product = weight.matmul(&weight.t()).to_vec::<f32>().unwrap();
        for (i, v) in product.iter().enumerate() {
            let expected = if i % 31 == 0 { 1.0 } else { 0.0 };
            assert!((v - expected).abs() < 1e-5, "{v} at {i}");
        }
    }
}

/// Which key each layer draws, and so the bits, do not depend on what is asked for, or when.
#[test]
fn the_order_of_asking_changes_no_bits() {
    for device in [new_gpu(), Device::cpu()] {
        let draw = |order: [usize; 4]| {
            device.seed(11);
            let a = Linear::new(5, 4, &device);
            let b = Conv2d::new(2, 3, 3, &device).without_bias();
            init::trunc_normal(&a.weight, 0.0, 1.0, -2.0, 2.0).unwrap();
            let c = Linear::new(4, 4, &device);
            init::orthogonal(&c.weight, init::Gain::Linear).unwrap();
            let after = Tensor::randn([6], &device);
            let all = [a.weight, a.bias.unwrap(), b.weight, c.weight];
            let mut found = vec![Vec::new(); 4];
            order.iter().for_each(|&i| found[i] = all[i].to_vec::<f32>().unwrap());
            (found, after.to_vec::<f32>().unwrap())
        };
        assert_eq!(draw([0, 1, 2, 3]), draw([3, 1, 0, 2]));
    }
}

/// First asked for while a step is captured, by several threads at once, by an optimizer, or frozen.
#[test]
fn whoever_asks_first_gets_the_value() {
    for device in [new_gpu(), Device::cpu()] {
        let start = |device: &Device| {
            device.seed(4);
            model(device)
        };
        let x = Tensor::ones([2, 256], &device);
        let run = |captured: bool| {
            let model = start(&device);
            let parameters = model.parameters();
            let mut optimizer = Adam::new(model.parameters(), 1e-2);
            let mut step = move |x: &[Tensor]| {
                optimizer.zero_grad();
                let loss = model.forward(&x[0]).square().mean();
                loss.backward()?;
                optimizer.step()?;
                Ok(vec![loss])
            };
            let mut losses = Vec::new();
            if captured {
                let step = wgrad::capture(&device, step).unwrap();
                (0..3).for_each(|_| losses.push(step.run(std::slice::from_ref(&x)).unwrap()[0].item::<f32>().unwrap()));
            } else {
                (0..3).for_each(|_| losses.push(step(std::slice::from_ref(&x)).unwrap()[0].item::<f32>().unwrap()));
            }
            (losses, parameters[0].to_vec::<f32>().unwrap())
        };
        assert_eq!(run(false), run(true));
        let layer = Linear::new(300, 300, &device);
        let found: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| layer.weight.to_vec::<f32>().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found.iter().all(|values| values == &found[0]) && found[0].iter().any(|v| *v != 0.0));
        let layer = Linear::new(3, 3, &device);
        layer.weight.requires_grad_(false).unwrap();
        assert!(layer.weight.is_frozen() && layer.weight.to_vec::<f32>().unwrap().iter().any(|v| *v != 0.0));
        let second = layer.weight.clone();
        second.assign(&Tensor::zeros([3, 3], &device));
        assert_eq!(layer.weight.to_vec::<f32>().unwrap(), [0.0; 9]);
    }
}

/// The zero state that a dictionary overwrites is never computed, nor are parameters for its sake.
#[test]
fn states_of_optimizers_wait() {
    for device in [new_gpu(), Device::cpu()] {
        let source = Linear::new(6, 5, &device);
        source.forward(&Tensor::ones([1, 6], &device)).sum().backward().unwrap();
        let mut optimizer = Sgd::new(source.parameters(), 0.1).momentum(0.9);
        optimizer.step().unwrap();
        let saved = optimizer.state_dict();
        saved.values().for_each(|value| value.realize().unwrap());
        let layer = Linear::new(6, 5, &device);
        let mut fresh = Sgd::new(layer.parameters(), 0.1).momentum(0.9);
        let before = device.stats().dispatches;
        fresh.load_state_dict(&saved).unwrap();
        assert_eq!(device.stats().dispatches, before);
        let read = |optimizer: &Sgd| -> Vec<Vec<f32>> {
            let tensors = optimizer.state_dict();
            tensors.values().filter(|t| t.dtype() == wgrad::DType::F32).map(|t| t.to_vec::<f32>().unwrap()).collect()
        };
        assert_eq!(read(&fresh), read(&optimizer));
    }
}
