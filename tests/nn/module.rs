//! Names, state and mode of models.

use wgrad::nn::{
    BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, Module, Parameters, Relu, Sequential, StateDict, loss,
};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Conv, DType, Device, Error, Tensor, capture};

use crate::devices;

struct Block {
    conv: Conv2d,
    norm: BatchNorm2d,
}
wgrad::module!(Block { conv, norm });

struct Net {
    blocks: Vec<Block>,
    skip: Option<Linear>,
    absent: Option<Linear>,
    head: Sequential,
    scale: Tensor,
    offset: Tensor,
}
wgrad::module!(Net { blocks, skip as "extra.skip", absent, head, scale, offset });

impl Net {
    fn new(device: &Device) -> Net {
        let block = |a, b| Block { conv: Conv2d::new(a, b, 3, device).padding(1), norm: BatchNorm2d::new(b, device) };
        Net {
            blocks: vec![block(1, 3), block(3, 2)],
            skip: Some(Linear::new(16, 5, device).without_bias()),
            absent: None,
            head: Sequential::new()
                .add(Flatten::default())
                .add(Dropout::new(0.3))
                .add(Linear::new(32, 8, device))
                .add(BatchNorm1d::new(8, device))
                .add(Relu)
                .add_named("last", Linear::new(8, 5, device)),
            scale: Tensor::ones([5], device).requires_grad(),
            offset: Tensor::from_slice(&[0.5f32; 5], [5], device),
        }
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let deep = self.blocks.iter().fold(x.clone(), |x, b| b.norm.forward(&b.conv.forward(&x)).relu());
        let y = self.head.forward(&deep) * &self.scale + &self.offset;
        match &self.skip {
            Some(skip) => y + skip.forward(&x.flatten(1, -1)),
            None => y,
        }
    }
}

fn names(tensors: Vec<(String, Tensor)>) -> Vec<String> {
    tensors.into_iter().map(|(name, _)| name).collect()
}

fn values(module: &dyn Parameters) -> Vec<(String, Vec<f32>)> {
    let read = |(name, t): (String, Tensor)| (name, t.to_dtype(DType::F32).to_vec::<f32>().unwrap());
    module.state_dict().into_iter().map(read).collect()
}

#[test]
fn names_follow_fields_and_numbers() {
    let net = Net::new(&Device::cpu());
    let norm = |prefix: &str| ["weight", "bias"].map(|n| format!("{prefix}.{n}"));
    let mut expected = Vec::new();
    for prefix in ["blocks.0.conv", "blocks.0.norm", "blocks.1.conv", "blocks.1.norm"] {
        expected.extend(norm(prefix));
    }
    expected.push("extra.skip.weight".to_string());
    for prefix in ["head.2", "head.3", "head.last"] {
        expected.extend(norm(prefix));
    }
    expected.push("scale".to_string());
    assert_eq!(names(net.named_parameters()), expected);
    assert_eq!(net.parameters().len(), expected.len());
    let buffers = names(net.named_buffers());
    assert_eq!(buffers.len(), 10);
    assert_eq!(
        buffers[..3],
        ["running_mean", "running_var", "num_batches_tracked"].map(|n| format!("blocks.0.norm.{n}"))
    );
    assert_eq!(buffers[9], "offset");
    assert_eq!(net.state_dict().len(), expected.len() + buffers.len());
}

#[test]
fn a_tensor_with_two_names_is_one_parameter() {
    struct Tied {
        first: Linear,
        second: Linear,
    }
    wgrad::module!(Tied { first, second });
    let device = Device::cpu();
    let (first, mut second) = (Linear::new(3, 3, &device), Linear::new(3, 3, &device));
    second.weight = first.weight.clone();
    let tied = Tied { first, second };
    assert_eq!(names(tied.named_parameters()), ["first.weight", "first.bias", "second.bias"]);
    assert_eq!(tied.state_dict().len(), 4);
}

#[test]
fn a_state_goes_from_device_to_device() {
    let [gpu, cpu] = devices();
    for (from, to) in [(gpu, cpu), (cpu, gpu), (gpu, gpu)] {
        let (a, b) = (Net::new(from), Net::new(to));
        // Running statistics that are not those of a new model.
        a.forward(&Tensor::randn([6, 1, 4, 4], from)).realize().unwrap();
        assert_ne!(values(&a), values(&b));
        b.load_state_dict(&a.state_dict()).unwrap();
        assert_eq!(values(&a), values(&b));
        a.eval();
        b.eval();
        let x = Tensor::randn([6, 1, 4, 4], from);
        let (ya, yb) = (a.forward(&x), b.forward(&x.to_device(to)).to_device(from));
        assert!(ya.allclose(&yb, 1e-4, 1e-5).unwrap());
    }
}

#[test]
fn a_state_is_a_snapshot() {
    for device in devices() {
        let net = Net::new(device);
        let (before, state) = (values(&net), net.state_dict());
        let mut optimizer = Sgd::new(net.parameters(), 0.5);
        net.forward(&Tensor::randn([4, 1, 4, 4], device)).square().sum().backward().unwrap();
        optimizer.step().unwrap();
        assert_ne!(values(&net), before);
        net.load_state_dict(&state).unwrap();
        assert_eq!(values(&net), before);
    }
}

#[test]
fn what_does_not_fit_is_one_error_and_changes_nothing() {
    let device = Device::cpu();
    let net = Net::new(&device);
    let before = values(&net);
    let mut state: StateDict = Net::new(&device).state_dict();
    let moved = state.remove("blocks.0.conv.weight").unwrap();
    state.insert("block.0.conv.weight".into(), moved);
    assert!(state.remove("scale").is_some());
    state.insert("offset".into(), Tensor::zeros([4], &device));
    state.insert("head.last.bias".into(), Tensor::zeros([5], &device).to_dtype(DType::I32));
    state.insert("elsewhere".into(), Tensor::zeros([1, 2], &device));
    let error = net.load_state_dict(&state).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        "2 missing: blocks.0.conv.weight [3, 1, 3, 3] (is it \"block.0.conv.weight\"?), scale [5]",
        "2 not known: block.0.conv.weight [3, 1, 3, 3], elsewhere [1, 2]",
        "2 of another shape or type: head.last.bias is f32, the value i32, offset is [5], the value [4]",
        "tests/nn/module.rs",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(values(&net), before);

    // Names that only one side has may be passed over, shapes not.
    assert!(net.load_matching(&state).is_err());
    state.retain(|name, _| name != "offset" && name != "head.last.bias");
    let unmatched = net.load_matching(&state).unwrap();
    assert_eq!(unmatched.missing, ["blocks.0.conv.weight", "head.last.bias", "scale", "offset"]);
    assert_eq!(unmatched.unexpected, ["block.0.conv.weight", "elsewhere"]);
    assert_ne!(values(&net), before);
}

#[test]
fn a_value_with_an_error_is_not_loaded() {
    let device = Device::cpu();
    let layer = Linear::new(3, 2, &device);
    let before = values(&layer);
    let mut state = layer.state_dict();
    state.insert("bias".into(), Tensor::zeros([2], &device) + Tensor::zeros([3], &device));
    assert!(matches!(layer.load_state_dict(&state), Err(Error::Shape { .. })));
    assert_eq!(values(&layer), before);
}

#[test]
fn long_lists_are_cut() {
    let layers: Vec<Linear> = (0..40).map(|_| Linear::new(1, 1, &Device::cpu())).collect();
    struct Deep(Vec<Linear>);
    impl Parameters for Deep {
        fn members(&self, members: &mut wgrad::nn::Members) {
            members.add("layers", &self.0);
        }
    }
    let text = Deep(layers).load_state_dict(&StateDict::new()).unwrap_err().to_string();
    assert!(text.contains("80 missing: ") && text.contains("and 68 more"), "{text}");
}

#[test]
fn evaluation_uses_the_running_statistics() {
    for device in devices() {
        let norm = BatchNorm2d::new(2, device);
        for _ in 0..60 {
            norm.forward(&(Tensor::randn([8, 2, 3, 3], device) * 3.0 + 1.0)).realize().unwrap();
        }
        assert_eq!(norm.num_batches_tracked.item::<i32>().unwrap(), 60);
        let (mean, var) = (norm.running_mean.to_vec::<f32>().unwrap(), norm.running_var.to_vec::<f32>().unwrap());
        assert!(mean.iter().all(|m| (m - 1.0).abs() < 0.5), "{mean:?}");
        assert!(var.iter().all(|v| (v / 9.0 - 1.0).abs() < 0.3), "{var:?}");
        norm.eval();
        let y = norm.forward(&Tensor::ones([1, 2, 1, 1], device)).to_vec::<f32>().unwrap();
        for c in 0..2 {
            assert!((y[c] - (1.0 - mean[c]) / (var[c] + 1e-5).sqrt()).abs() < 1e-5);
        }
        assert_eq!(norm.num_batches_tracked.item::<i32>().unwrap(), 60);
    }
}

#[test]
fn an_input_that_does_not_fit_leaves_the_statistics() {
    for device in devices() {
        let norm = BatchNorm2d::new(2, device);
        for shape in [&[3, 2][..], &[3, 3, 2, 2], &[1, 2, 1, 1]] {
            assert!(norm.forward(&Tensor::ones(shape, device)).check().is_err(), "{shape:?}");
        }
        let failed = Tensor::ones([2], device) + Tensor::ones([3], device);
        assert!(norm.forward(&failed).check().is_err());
        assert_eq!(norm.running_mean.to_vec::<f32>().unwrap(), [0.0, 0.0]);
        assert_eq!(norm.num_batches_tracked.item::<i32>().unwrap(), 0);
    }
}

#[test]
fn a_captured_step_keeps_the_statistics_as_a_loop_does() {
    // Devices of its own: other tests draw random numbers from the shared ones.
    for device in &[Device::gpu().unwrap(), Device::cpu()] {
        let run = |captured: bool| {
            device.seed(7);
            let net = Net::new(device);
            let mut optimizer = Adam::new(net.parameters(), 0.01);
            let mut losses = Vec::new();
            let mut step = |x: &[Tensor]| -> wgrad::Result<Vec<Tensor>> {
                let loss = loss::cross_entropy(&net.forward(&x[0]), &x[1]);
                optimizer.zero_grad();
                loss.backward()?;
                optimizer.step()?;
                Ok(vec![loss])
            };
            let batch = |i: usize| {
                let x: Vec<f32> = (0..8 * 16).map(|k| ((k + 5 * i) as f32 * 0.37).sin()).collect();
                let y: Vec<i32> = (0..8).map(|k| (k * (i as i32 + 1)) % 5).collect();
                [Tensor::from_slice(&x, [8, 1, 4, 4], device), Tensor::from_slice(&y, [8], device)]
            };
            if captured {
                let step = capture(device, step).unwrap();
                (0..12).for_each(|i| losses.push(step.run(&batch(i)).unwrap()[0].item::<f32>().unwrap()));
            } else {
                (0..12).for_each(|i| losses.push(step(&batch(i)).unwrap()[0].item::<f32>().unwrap()));
            }
            net.eval();
            (losses, values(&net), net.forward(&batch(3)[0]).to_vec::<f32>().unwrap())
        };
        let (dynamic, captured) = (run(false), run(true));
        assert!(dynamic == captured, "losses {:?} and {:?} on {device:?}", dynamic.0, captured.0);
        assert!(dynamic.1.iter().any(|(name, value)| name.ends_with("num_batches_tracked") && value == &[12.0]));
    }
}

#[test]
fn frozen_parameters_stay() {
    for device in devices() {
        let net = Net::new(device);
        let mut optimizer = Adam::new(net.parameters(), 0.1);
        let frozen = [&net.blocks[0].conv as &dyn Parameters, &net.blocks[1]];
        let read =
            || frozen.iter().flat_map(|p| p.parameters()).map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>();
        let step = |optimizer: &mut Adam| {
            optimizer.zero_grad();
            net.forward(&Tensor::randn([4, 1, 4, 4], device)).square().sum().backward().unwrap();
            optimizer.step().unwrap();
        };
        let (before, head) = (read(), net.scale.to_vec::<f32>().unwrap());
        frozen.iter().for_each(|p| p.requires_grad_(false));
        // What loading assigns to a frozen parameter is frozen too.
        net.load_state_dict(&net.state_dict()).unwrap();
        step(&mut optimizer);
        assert_eq!(read(), before);
        assert_ne!(net.scale.to_vec::<f32>().unwrap(), head);
        assert_eq!(net.parameters().len(), 16);
        frozen.iter().for_each(|p| p.requires_grad_(true));
        step(&mut optimizer);
        // The gradient of a bias in front of batch norm may be exactly zero; that of a weight is not.
        let weights = read().into_iter().zip(&before).filter(|(now, _)| now.len() > 4);
        let moved: Vec<bool> = weights.map(|(now, before)| now != *before).collect();
        assert!(!moved.is_empty() && moved.iter().all(|&moved| moved), "{moved:?}");
    }
}

#[test]
fn a_frozen_body_costs_no_backward_pass() {
    let device = Device::gpu().unwrap();
    let (body, head) = (Linear::new(64, 64, &device), Linear::new(64, 2, &device));
    let count = || {
        let before = device.stats().dispatches;
        let loss = head.forward(&body.forward(&Tensor::ones([8, 64], &device)).relu()).sum();
        loss.backward().unwrap();
        device.sync().unwrap();
        device.stats().dispatches - before
    };
    count();
    let whole = count();
    body.requires_grad_(false);
    count();
    assert!(count() < whole, "{whole} dispatches before");
}

#[test]
fn hooks_outlive_freezing() {
    let device = Device::cpu();
    let w = Tensor::ones([1], &device).requires_grad();
    w.register_hook(|grad| Some(grad * 10.0));
    w.requires_grad_(false).unwrap();
    w.assign(&Tensor::full([1], 2.0, &device));
    w.requires_grad_(true).unwrap();
    (&w * 3.0).sum().backward().unwrap();
    assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [30.0]);
    assert!(matches!(Tensor::ones([1], &device).requires_grad_(true), Err(Error::Autograd { .. })));
}

#[test]
fn impossible_layers_carry_errors() {
    let device = Device::cpu();
    let layer = Conv2d::new_with(3, 4, 3, Conv::default().groups(2), &device);
    let error = layer.forward(&Tensor::ones([1, 3, 5, 5], &device)).check().unwrap_err().to_string();
    assert!(error.contains("3 input and 4 output channels do not fall into 2 groups"), "{error}");
    assert!(error.contains("tests/nn/module.rs"), "{error}");
    assert!(Conv2d::new(3, 4, [3, 3, 3], &device).weight.check().is_err());
    assert!(Adam::new(layer.parameters(), 0.1).step().is_err());
}
