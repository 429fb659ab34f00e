//! Values are computed once, in whatever order they are read, and what was computed is there.

use wgrad::nn::{Linear, Module, Parameters};
use wgrad::optim::Sgd;
use wgrad::{Conv, ConvTranspose, DType, Device, Tensor, capture, f16, no_grad};

use crate::{gpu, new_gpu};

/// Kernels that `f` runs.
fn kernels(device: &Device, f: impl FnOnce()) -> u64 {
    let before = device.stats().dispatches;
    f();
    device.stats().dispatches - before
}

/// A residual network whose two branches start with layers on the same input: their gradients are the same products and sums.
struct Branches {
    p: Linear,
    q: Linear,
    x: Tensor,
}

impl Branches {
    fn new(device: &Device) -> Branches {
        device.seed(3);
        let (p, q) = (Linear::new(32, 24, device), Linear::new(32, 24, device));
        let x = Tensor::randn([16, 32], device);
        device.sync().unwrap();
        Branches { p, q, x }
    }

    fn loss(&self) -> Tensor {
        (self.p.forward(&self.x) + self.q.forward(&self.x)).square().mean()
    }

    fn parameters(&self) -> [&Tensor; 4] {
        [&self.p.weight, self.p.bias.as_ref().unwrap(), &self.q.weight, self.q.bias.as_ref().unwrap()]
    }

    fn gradients(&self) -> Vec<Vec<f32>> {
        self.parameters().iter().map(|p| p.grad().unwrap().to_vec::<f32>().unwrap()).collect()
    }
}

#[test]
fn merged_results_have_values() {
    let device = new_gpu();
    let dynamic = Branches::new(&device);
    dynamic.loss().backward().unwrap();
    device.sync().unwrap();
    let mut gradients = Vec::new();
    assert_eq!(kernels(&device, || gradients = dynamic.gradients()), 0, "reading what was computed runs nothing");
    assert_eq!((&gradients[0], &gradients[1]), (&gradients[2], &gradients[3]));

    let captured = Branches::new(&device);
    let step = capture(&device, |_: &[Tensor]| {
        let loss = captured.loss();
        loss.backward()?;
        Ok::<_, wgrad::Error>(vec![loss])
    })
    .unwrap();
    step.run(&[]).unwrap();
    assert_eq!(captured.gradients(), gradients);
    assert_eq!(kernels(&device, || drop(captured.gradients())), 0);

    let reference = Branches::new(&Device::cpu());
    reference.loss().backward().unwrap();
    for (ours, theirs) in gradients.iter().zip(reference.gradients()) {
        let error = crate::relative_error(ours, &theirs);
        assert!(error < 1e-5, "{error}");
    }
}

/// Views of merged values, and merged values of all kinds, are there after a flush.
#[test]
fn views_of_merged_values_are_followed() {
    let device = new_gpu();
    let x = Tensor::randn([8, 6], &device);
    let w = Tensor::randn([6, 4], &device);
    device.sync().unwrap();
    let twice = |f: &(dyn Fn() -> Tensor + Sync)| (f(), f());
    let makers: [&(dyn Fn() -> Tensor + Sync); 6] = [
        &|| x.matmul(&w).t(),
        &|| x.matmul(&w).reshape([2, 16]),
        &|| x.sum_dims(&[0], true).expand([8, 6]),
        &|| (&x * 2.0).exp().slice(1, 1..3),
        &|| x.softmax(-1).narrow(0, 2, 3),
        &|| x.matmul(&w).detach().flip(&[0]),
    ];
    for (i, make) in makers.into_iter().enumerate() {
        let (a, b) = twice(make);
        device.sync().unwrap();
        let expected = a.to_vec::<f32>().unwrap();
        assert_eq!(b.to_vec::<f32>().unwrap(), expected, "case {i}");
        // A read copies what its strides do not hold in order, and computes nothing.
        assert!(kernels(&device, || drop(b.to_vec::<f32>())) <= 1, "case {i}");
        let step = capture(&device, |_: &[Tensor]| {
            let (a, b) = twice(make);
            vec![a, b]
        })
        .unwrap();
        for value in step.run(&[]).unwrap() {
            assert_eq!(value.to_vec::<f32>().unwrap(), expected, "case {i}");
        }
    }
}

struct Mlp {
    layers: [Linear; 3],
    optimizer: Sgd,
    x: Tensor,
}

impl Mlp {
    fn new(device: &Device) -> Mlp {
        device.seed(5);
        let layers = [Linear::new(40, 64, device), Linear::new(64, 64, device), Linear::new(64, 10, device)];
        let parameters = layers.iter().flat_map(Linear::parameters).collect();
        let x = Tensor::randn([32, 40], device);
        device.sync().unwrap();
        Mlp { layers, optimizer: Sgd::new(parameters, 0.01).momentum(0.9), x }
    }

    fn forward(&self) -> Tensor {
        let [a, b, c] = &self.layers;
        c.forward(&b.forward(&a.forward(&self.x).relu()).tanh())
    }

    fn loss(&self) -> Tensor {
        self.forward().square().mean()
    }

    fn gradients(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(Linear::parameters).filter_map(|p| p.grad()).collect()
    }

    fn bits(&self) -> Vec<u32> {
        let parameters = self.layers.iter().flat_map(Linear::parameters);
        parameters.flat_map(|p| p.to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
    }
}

/// The loops that people write cost the same: the kernels of the second step, and the bits after three steps.
#[test]
fn the_order_of_reads_is_free() {
    type Loop = (&'static str, fn(&mut Mlp));
    let orders: [Loop; 6] = [
        ("backward, step, item", |net| {
            net.optimizer.zero_grad();
            let loss = net.loss();
            loss.backward().unwrap();
            net.optimizer.step().unwrap();
            loss.item::<f32>().unwrap();
        }),
        ("item, backward, step", |net| {
            net.optimizer.zero_grad();
            let loss = net.loss();
            loss.item::<f32>().unwrap();
            loss.backward().unwrap();
            net.optimizer.step().unwrap();
        }),
        ("backward, item, step", |net| {
            net.optimizer.zero_grad();
            let loss = net.loss();
            loss.backward().unwrap();
            loss.item::<f32>().unwrap();
            net.optimizer.step().unwrap();
        }),
        ("backward, each gradient, step", |net| {
            net.optimizer.zero_grad();
            let loss = net.loss();
            loss.backward().unwrap();
            for gradient in net.gradients() {
                gradient.to_vec::<f32>().unwrap();
            }
            net.optimizer.step().unwrap();
        }),
        ("backward, sync, step, item", |net| {
            net.optimizer.zero_grad();
            let loss = net.loss();
            loss.backward().unwrap();
            loss.device().sync().unwrap();
            net.optimizer.step().unwrap();
            loss.item::<f32>().unwrap();
        }),
        ("output, backward, step, loss", |net| {
            net.optimizer.zero_grad();
            let y = net.forward();
            y.realize().unwrap();
            let loss = y.square().mean();
            loss.backward().unwrap();
            net.optimizer.step().unwrap();
            loss.item::<f32>().unwrap();
        }),
    ];
    let mut counts = Vec::new();
    let mut bits: Option<Vec<u32>> = None;
    for (name, step) in orders {
        let device = new_gpu();
        let mut net = Mlp::new(&device);
        step(&mut net);
        counts.push((name, kernels(&device, || step(&mut net))));
        step(&mut net);
        let own = net.bits();
        assert_eq!(bits.get_or_insert_with(|| own.clone()), &own, "{name}");
    }
    let least = counts.iter().map(|(_, n)| *n).min().unwrap();
    // What is computed in two flushes has one kernel more where the update cannot join a kernel of the backward pass, and the sums
    // of a loss that is read before.
    assert!(counts.iter().all(|(_, n)| *n <= least + 2), "{counts:?}");
}

/// Running statistics, which nobody reads, share the forward pass with the output that is read.
#[test]
fn a_read_computes_what_is_held_beside_it() {
    let device = new_gpu();
    device.seed(1);
    let norm = wgrad::nn::BatchNorm1d::new(16, &device);
    let layer = Linear::new(16, 16, &device);
    let x = Tensor::randn([64, 16], &device);
    device.sync().unwrap();
    let y = norm.forward(&layer.forward(&x));
    y.realize().unwrap();
    assert_eq!(kernels(&device, || device.sync().unwrap()), 0);

    // What shares nothing with it is left alone.
    let (a, b) = no_grad(|| (x.exp().sum(), x.sin().sum()));
    a.item::<f32>().unwrap();
    assert!(kernels(&device, || drop(b.item::<f32>())) > 0);
}

/// What a view repeats may be far more than memory holds.
#[test]
fn a_view_that_repeats_too_much_is_an_error() {
    for device in [new_gpu(), Device::cpu()] {
        let x = Tensor::from_slice(&[2f32], [1], &device);
        let error = x.expand([1 << 20, 1 << 20]).to_vec::<f32>().unwrap_err();
        assert!(error.to_string().contains("1048576"), "{error}");
        assert_eq!(x.expand([2, 2]).to_vec::<f32>().unwrap(), [2.0; 4]);
        assert_eq!(x.expand([2, 2]).reshape([4]).to_vec::<f32>().unwrap(), [2.0; 4]);
    }
}

/// A model of the test below: its parameters, and its loss from an input.
struct Model {
    parameters: Vec<Tensor>,
    loss: Box<dyn Fn(&Tensor) -> Tensor + Send>,
    input: Vec<usize>,
}

fn leaf(shape: &[usize], device: &Device) -> Tensor {
    (Tensor::randn(shape.to_vec(), device) * 0.2).requires_grad()
}

/// Two blocks of residual convolutions; the second one halves the image, also in its shortcut, which reads what the first branch reads.
fn residual(normalised: bool, device: &Device) -> Model {
    let shapes: [&[usize]; 6] =
        [&[8, 3, 3, 3], &[8, 8, 3, 3], &[8, 8, 3, 3], &[16, 8, 1, 1], &[16, 8, 1, 1], &[16, 16, 3, 3]];
    let w: Vec<Tensor> = shapes.iter().map(|shape| leaf(shape, device)).collect();
    let affine: Vec<(Tensor, Tensor)> = (0..2)
        .map(|_| (Tensor::ones([8], device).requires_grad(), Tensor::zeros([8], device).requires_grad()))
        .collect();
    let mut parameters = w.clone();
    if normalised {
        parameters.extend(affine.iter().flat_map(|(a, b)| [a.clone(), b.clone()]));
    }
    let loss = move |x: &Tensor| {
        let same = Conv { padding: 1.into(), ..Conv::default() };
        let half = Conv { stride: 2.into(), ..Conv::default() };
        let norm = |x: Tensor, i: usize| if normalised { x.group_norm(4, &affine[i].0, &affine[i].1, 1e-5) } else { x };
        let x = x.conv2d(&w[0], None, same).relu();
        let x = (norm(norm(x.conv2d(&w[1], None, same), 0).relu().conv2d(&w[2], None, same), 1) + &x).relu();
        // Both branches start as the same kind of convolution of one input.
        let x = (x.conv2d(&w[3], None, half) + x.conv2d(&w[4], None, half).relu().conv2d(&w[5], None, same)).relu();
        x.mean_dims(&[2, 3], false).square().mean()
    };
    Model { parameters, loss: Box::new(loss), input: vec![2, 3, 8, 8] }
}

/// Down and up again, with what was on the way down beside what comes up.
fn u_net(device: &Device) -> Model {
    let shapes: [&[usize]; 4] = [&[8, 3, 3, 3], &[16, 8, 3, 3], &[16, 8, 2, 2], &[3, 16, 3, 3]];
    let w: Vec<Tensor> = shapes.iter().map(|shape| leaf(shape, device)).collect();
    let parameters = w.clone();
    let loss = move |x: &Tensor| {
        let same = Conv { padding: 1.into(), ..Conv::default() };
        let down = x.conv2d(&w[0], None, same).silu();
        let low = down.max_pool2d(2, 2, 0).conv2d(&w[1], None, same).silu();
        let up = low.conv_transpose2d(&w[2], None, ConvTranspose { stride: 2.into(), ..ConvTranspose::default() });
        (Tensor::cat(&[&down, &up], 1).conv2d(&w[3], None, same) - x).square().mean()
    };
    Model { parameters, loss: Box::new(loss), input: vec![2, 3, 8, 8] }
}

/// A transformer layer whose head is its embedding; queries and keys start as products of one input.
fn tied_transformer(device: &Device) -> Model {
    let shapes: [&[usize]; 6] = [&[12, 16], &[16, 16], &[16, 16], &[16, 16], &[32, 16], &[16, 32]];
    let w: Vec<Tensor> = shapes.iter().map(|shape| leaf(shape, device)).collect();
    let norm = Tensor::ones([16], device).requires_grad();
    let tokens = Tensor::from_slice(&(0..20).map(|i| (i * 5 + i / 3) % 12).collect::<Vec<i32>>(), [2, 10], device);
    let mut parameters = w.clone();
    parameters.push(norm.clone());
    let loss = move |scale: &Tensor| {
        let x = Tensor::embedding(&w[0], &tokens) * scale;
        let split = |x: Tensor| x.reshape([2, 10, 2, 8]).permute(&[0, 2, 1, 3]);
        let y = x.rms_norm(&norm, 1e-6);
        let [q, k, v] = [1, 2, 3].map(|i| split(y.linear(&w[i], None)));
        let seen = q.scaled_dot_product_attention(&k, &v, None, true).permute(&[0, 2, 1, 3]).reshape([2, 10, 16]);
        let x = &x + &seen;
        let x = &x + x.rms_norm(&norm, 1e-6).linear(&w[4], None).gelu().linear(&w[5], None);
        let logits = x.linear(&w[0], None).reshape([20, 12]);
        wgrad::nn::loss::cross_entropy(&logits, &tokens.reshape([20]))
    };
    Model { parameters, loss: Box::new(loss), input: vec![1] }
}

/// Captured and dynamic steps of networks with shortcuts and shared weights give the same bits, and everything that can be read
/// afterwards is there.
#[test]
fn networks_with_branches_leave_everything_computed() {
    type Make = (&'static str, fn(&Device) -> Model);
    let models: [Make; 4] = [
        ("residual", |device| residual(false, device)),
        ("residual with norms", |device| residual(true, device)),
        ("u-net", u_net),
        ("tied transformer", tied_transformer),
    ];
    for (name, make) in models {
        let device = new_gpu();
        let run = |is_captured: bool| {
            device.seed(17);
            let Model { parameters, loss, input } = make(&device);
            let x = Tensor::randn(input, &device);
            device.sync().unwrap();
            let mut optimizer = wgrad::optim::AdamW::new(parameters.clone(), 1e-2);
            let mut step = move |x: &Tensor| {
                optimizer.zero_grad();
                let loss = loss(x);
                loss.backward()?;
                optimizer.step()?;
                Ok::<_, wgrad::Error>(loss)
            };
            let mut losses = Vec::new();
            if is_captured {
                let step = capture(&device, move |x: &[Tensor]| step(&x[0]).map(|loss| vec![loss])).unwrap();
                (0..3).for_each(|_| losses.extend(step.run(std::slice::from_ref(&x)).unwrap()));
            } else {
                (0..3).for_each(|_| losses.push(step(&x).unwrap()));
            }
            let mut bits = Vec::new();
            let read = || {
                let gradients = parameters.iter().map(|p| p.grad().unwrap());
                for t in parameters.iter().cloned().chain(gradients).chain(losses.iter().cloned()) {
                    bits.push(t.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>());
                }
            };
            assert_eq!(kernels(&device, read), 0, "{name}, captured {is_captured}: reads run kernels");
            assert!(bits.iter().flatten().all(|&b| f32::from_bits(b).is_finite()));
            bits
        };
        assert!(run(false) == run(true), "{name}");
    }
}

/// Constants in 16-bit floats, which the CPU reference keeps in f32 until they are read, and copies of nothing.
#[test]
fn constants_in_half_precision_and_empty_copies_are_read() -> wgrad::Result<()> {
    let x = Tensor::full_as([2, 3], 1.5, DType::F16, &Device::cpu());
    assert_eq!(x.to_vec::<f16>()?, [f16::from_f32(1.5); 6]);
    assert_eq!(x.zeros_like().t().to_vec::<f16>()?, [f16::ZERO; 6]);
    for device in [gpu().clone(), Device::cpu()] {
        let empty = Tensor::zeros([0, 7], &device).t().contiguous();
        assert_eq!((empty.shape(), empty.to_vec::<f32>()?), (&[7, 0][..], vec![]));
    }
    Ok(())
}
