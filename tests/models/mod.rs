//! Models whose training steps tests plan and run: what people train, at sizes that a software adapter runs in no time.

use wgrad::nn::loss;
use wgrad::optim::{Adam, AdamW, Optimizer, Sgd};
use wgrad::{Conv, Device, Result, Shape, Tensor};

/// A step of training.
pub type Step = Box<dyn FnMut() -> Result<Tensor>>;

/// Numbers that look random, the same on every device.
fn numbers(shape: impl Into<Shape>, scale: f32, device: &Device) -> Tensor {
    let shape = shape.into();
    let mut state = shape.numel() as u32 | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    let values: Vec<f32> = (0..shape.numel()).map(|_| next()).collect();
    Tensor::from_slice(&values, shape, device)
}

fn weight(shape: impl Into<Shape>, device: &Device) -> Tensor {
    let shape = shape.into();
    let scale = 1.0 / (shape.numel() as f32 / shape[0].max(1) as f32).sqrt();
    numbers(shape, scale, device).requires_grad()
}

fn constant(value: f32, n: usize, device: &Device) -> Tensor {
    Tensor::from_slice(&vec![value; n], [n], device).requires_grad()
}

fn classes(n: usize, bound: usize, device: &Device) -> Tensor {
    let values: Vec<i32> = (0..n).map(|i| ((i * 7 + i / 3) % bound) as i32).collect();
    Tensor::from_slice(&values, [n], device)
}

/// Runs one step: the loss, its gradients, the update.
fn train(optimizer: &mut dyn Optimizer, loss: Tensor) -> Result<Tensor> {
    optimizer.zero_grad();
    loss.backward()?;
    optimizer.step()?;
    Ok(loss.detach())
}

/// A matrix product, relu, a matrix product, the sum of squares, plain SGD.
pub fn two_layer_net(device: &Device) -> Step {
    let (x, y) = (numbers([64, 1000], 1.0, device), numbers([64, 10], 1.0, device));
    let (w1, w2) = (weight([1000, 100], device), weight([100, 10], device));
    let mut optimizer = Sgd::new(vec![w1.clone(), w2.clone()], 1e-4);
    Box::new(move || train(&mut optimizer, (x.matmul(&w1).relu().matmul(&w2) - &y).square().sum()))
}

/// 784-512-512-10 with biases, cross-entropy and Adam.
pub fn mlp(device: &Device) -> Step {
    let (x, y) = (numbers([128, 784], 1.0, device), classes(128, 10, device));
    let sizes = [784, 512, 512, 10];
    let layers: Vec<(Tensor, Tensor)> =
        sizes.windows(2).map(|s| (weight([s[1], s[0]], device), constant(0.0, s[1], device))).collect();
    let mut optimizer = Adam::new(layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect(), 1e-3);
    Box::new(move || {
        let h = x.linear(&layers[0].0, Some(&layers[0].1)).relu();
        let h = h.linear(&layers[1].0, Some(&layers[1].1)).relu();
        train(&mut optimizer, loss::cross_entropy(&h.linear(&layers[2].0, Some(&layers[2].1)), &y))
    })
}

/// Two convolutions with batch norm, relu and max pooling, and a linear layer; SGD with momentum.
pub fn cnn(device: &Device) -> Step {
    let (x, y) = (numbers([16, 1, 28, 28], 1.0, device), classes(16, 10, device));
    struct Block {
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        variance: Tensor,
    }
    let block = |inputs: usize, outputs: usize| Block {
        weight: weight([outputs, inputs, 3, 3], device),
        scale: constant(1.0, outputs, device),
        shift: constant(0.0, outputs, device),
        mean: constant(0.0, outputs, device).detach(),
        variance: constant(1.0, outputs, device).detach(),
    };
    let mut blocks = [block(1, 8), block(8, 16)];
    let (head, bias) = (weight([10, 16 * 49], device), constant(0.0, 10, device));
    let of_block = |b: &Block| [b.weight.clone(), b.scale.clone(), b.shift.clone()];
    let parameters = blocks.iter().flat_map(of_block).chain([head.clone(), bias.clone()]).collect();
    let mut optimizer = Sgd::new(parameters, 1e-2).momentum(0.9);
    Box::new(move || {
        let mut h = x.clone();
        for b in &mut blocks {
            let y = h.conv2d(&b.weight, None, Conv::default().padding(1));
            let (y, mean, variance) = y.batch_norm(&b.scale, &b.shift, &b.mean, &b.variance, true, 0.1, 1e-5);
            (b.mean, b.variance) = (mean, variance);
            h = y.relu().max_pool2d(2, 2, 0);
        }
        train(&mut optimizer, loss::cross_entropy(&h.flatten(1, -1).linear(&head, Some(&bias)), &y))
    })
}

/// Sizes of a character-level GPT.
#[derive(Clone, Copy, Debug)]
pub struct Gpt {
    pub layers: usize,
    pub batch: usize,
    pub block: usize,
    pub width: usize,
    pub heads: usize,
    pub vocabulary: usize,
}

impl Gpt {
    /// 128 characters of 65, 128 wide, 4 heads, batches of 8.
    pub fn small(layers: usize) -> Gpt {
        Gpt { layers, batch: 8, block: 128, width: 128, heads: 4, vocabulary: 65 }
    }
}

struct Layer {
    norms: [(Tensor, Tensor); 2],
    qkv: (Tensor, Tensor),
    project: (Tensor, Tensor),
    up: (Tensor, Tensor),
    down: (Tensor, Tensor),
}

impl Layer {
    fn new(width: usize, device: &Device) -> Layer {
        let norm = || (constant(1.0, width, device), constant(0.0, width, device));
        let linear = |i: usize, o: usize| (weight([o, i], device), constant(0.0, o, device));
        Layer {
            norms: [norm(), norm()],
            qkv: linear(width, 3 * width),
            project: linear(width, width),
            up: linear(width, 4 * width),
            down: linear(4 * width, width),
        }
    }

    fn parameters(&self) -> Vec<Tensor> {
        let [a, b] = &self.norms;
        [a, b, &self.qkv, &self.project, &self.up, &self.down]
            .into_iter()
            .flat_map(|(w, b)| [w.clone(), b.clone()])
            .collect()
    }

    fn forward(&self, x: &Tensor, heads: usize) -> Tensor {
        let [batch, block, width] = x.dims::<3>().unwrap();
        let norm = |x: &Tensor, (w, b): &(Tensor, Tensor)| x.layer_norm(w, b, 1e-5);
        let linear = |x: &Tensor, (w, b): &(Tensor, Tensor)| x.linear(w, Some(b));
        let qkv = linear(&norm(x, &self.norms[0]), &self.qkv);
        let qkv = qkv.reshape([batch, block, 3, heads, width / heads]).permute(&[2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| qkv.select(0, i));
        let seen = q.scaled_dot_product_attention(&k, &v, None, true);
        let seen = seen.permute(&[0, 2, 1, 3]).reshape([batch, block, width]);
        let x = x + linear(&seen, &self.project);
        &x + linear(&linear(&norm(&x, &self.norms[1]), &self.up).gelu(), &self.down)
    }
}

/// What computes a GPT's logits, `[batch * block, vocabulary]`, and its parameters.
pub fn gpt_logits(sizes: Gpt, device: &Device) -> (Vec<Tensor>, Box<dyn Fn() -> Tensor>) {
    let Gpt { layers, batch, block, width, heads, vocabulary } = sizes;
    let tokens = classes(batch * block, vocabulary, device).reshape([batch, block]);
    let (embedding, positions) = (weight([vocabulary, width], device), weight([block, width], device));
    let layers: Vec<Layer> = (0..layers).map(|_| Layer::new(width, device)).collect();
    let (scale, shift) = (constant(1.0, width, device), constant(0.0, width, device));
    let head = weight([vocabulary, width], device);
    let mut parameters = vec![embedding.clone(), positions.clone(), scale.clone(), shift.clone(), head.clone()];
    parameters.extend(layers.iter().flat_map(Layer::parameters));
    let logits = move || {
        let x = Tensor::embedding(&embedding, &tokens) + &positions;
        let x = layers.iter().fold(x, |x, layer| layer.forward(&x, heads));
        x.layer_norm(&scale, &shift, 1e-5).linear(&head, None).reshape([batch * block, vocabulary])
    };
    (parameters, Box::new(logits))
}

/// A GPT with learned positions and AdamW.
pub fn gpt(sizes: Gpt, device: &Device) -> Step {
    let (parameters, logits) = gpt_logits(sizes, device);
    let targets = classes(sizes.batch * sizes.block, sizes.vocabulary, device);
    let mut optimizer = AdamW::new(parameters, 1e-3);
    Box::new(move || train(&mut optimizer, loss::cross_entropy(&logits(), &targets)))
}

/// A name, and what makes the model's training step.
pub type Model = (&'static str, fn(&Device) -> Step);

/// All of them by name.
pub const LIST: [Model; 5] = [
    ("two_layer_net", two_layer_net),
    ("mlp", mlp),
    ("cnn", cnn),
    ("gpt of 2 layers", |device| gpt(Gpt::small(2), device)),
    ("gpt of 4 layers", |device| gpt(Gpt::small(4), device)),
];
