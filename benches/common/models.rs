//! The training steps that the benchmarks measure, in plain tensors.

use wgrad::nn::loss;
use wgrad::optim::{Adam, AdamW, Optimizer, Sgd};
use wgrad::{Conv, Device, Result, Tensor};

/// A training step, and the state that it changes.
pub type Step = Box<dyn FnMut() -> Result<()>>;

/// Makes a model and its data on a device.
pub type Build = fn(&Device) -> Result<Step>;

/// A weight `[outputs, inputs]` and a bias, uniform within 1/√inputs.
fn linear(inputs: usize, outputs: usize, device: &Device) -> (Tensor, Tensor) {
    let bound = 1.0 / (inputs as f32).sqrt();
    let weight = Tensor::uniform([outputs, inputs], -bound, bound, device).requires_grad();
    (weight, Tensor::uniform([outputs], -bound, bound, device).requires_grad())
}

/// A step of `optimizer` down the gradient of `loss`.
fn step(mut optimizer: impl Optimizer + 'static, loss: impl Fn() -> Tensor + 'static) -> Step {
    Box::new(move || {
        optimizer.zero_grad();
        loss().backward()?;
        optimizer.step()
    })
}

/// 64 inputs of 1000 numbers, 100 hidden units, 10 outputs, sum of squares, plain gradient descent.
pub fn two_layer_net(device: &Device) -> Result<Step> {
    let (x, y) = (Tensor::randn([64, 1000], device), Tensor::randn([64, 10], device));
    x.realize().and(y.realize())?;
    let w1 = Tensor::randn([1000, 100], device).requires_grad();
    let w2 = Tensor::randn([100, 10], device).requires_grad();
    let optimizer = Sgd::new(vec![w1.clone(), w2.clone()], 1e-6);
    Ok(step(optimizer, move || (x.matmul(&w1).relu().matmul(&w2) - &y).square().sum()))
}

/// 128 inputs of 784 numbers, two hidden layers of 512, 10 classes, cross-entropy, Adam.
pub fn mlp(device: &Device) -> Result<Step> {
    let (x, classes) = (Tensor::rand([128, 784], device), Tensor::randint([128], 0, 10, device));
    x.realize().and(classes.realize())?;
    let layers = [linear(784, 512, device), linear(512, 512, device), linear(512, 10, device)];
    let parameters = layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
    Ok(step(Adam::new(parameters, 1e-3), move || {
        let [(w1, b1), (w2, b2), (w3, b3)] = &layers;
        let logits = x.linear(w1, Some(b1)).relu().linear(w2, Some(b2)).relu().linear(w3, Some(b3));
        loss::cross_entropy(&logits, &classes)
    }))
}

/// 64 pictures of 28 × 28, two 3 × 3 convolutions to 16 and 32 channels, each with ReLU and 2 × 2 max pooling, 10 classes,
/// plain gradient descent.
pub fn cnn(device: &Device) -> Result<Step> {
    let (x, classes) = (Tensor::rand([64, 1, 28, 28], device), Tensor::randint([64], 0, 10, device));
    x.realize().and(classes.realize())?;
    let conv = |inputs: usize, outputs: usize| {
        let (weight, bias) = linear(inputs * 9, outputs, device);
        (weight.reshape([outputs, inputs, 3, 3]).detach().requires_grad(), bias)
    };
    let ((w1, b1), (w2, b2), (w3, b3)) = (conv(1, 16), conv(16, 32), linear(1568, 10, device));
    let parameters = [&w1, &b1, &w2, &b2, &w3, &b3].map(Tensor::clone).to_vec();
    Ok(step(Sgd::new(parameters, 1e-2), move || {
        let padded = || Conv { padding: 1.into(), ..Conv::default() };
        let hidden = x.conv2d(&w1, Some(&b1), padded()).relu().max_pool2d(2, 2, 0);
        let hidden = hidden.conv2d(&w2, Some(&b2), padded()).relu().max_pool2d(2, 2, 0);
        loss::cross_entropy(&hidden.flatten(1, -1).linear(&w3, Some(&b3)), &classes)
    }))
}

/// A block of a transformer.
struct Block {
    norm1: [Tensor; 2],
    qkv: (Tensor, Tensor),
    proj: (Tensor, Tensor),
    norm2: [Tensor; 2],
    up: (Tensor, Tensor),
    down: (Tensor, Tensor),
}

impl Block {
    fn new(width: usize, device: &Device) -> Block {
        let norm = || [Tensor::ones([width], device).requires_grad(), Tensor::zeros([width], device).requires_grad()];
        Block {
            norm1: norm(),
            qkv: linear(width, 3 * width, device),
            proj: linear(width, width, device),
            norm2: norm(),
            up: linear(width, 4 * width, device),
            down: linear(4 * width, width, device),
        }
    }

    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        let layers = [&self.qkv, &self.proj, &self.up, &self.down].into_iter().flat_map(|(w, b)| [w, b]);
        self.norm1.iter().chain(&self.norm2).chain(layers)
    }

    fn forward(&self, x: &Tensor, heads: usize) -> Tensor {
        let (batch, seq, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let dense = |x: &Tensor, (w, b): &(Tensor, Tensor)| x.linear(w, Some(b));
        let norm = |x: &Tensor, [w, b]: &[Tensor; 2]| x.layer_norm(w, b, 1e-5);
        let qkv = dense(&norm(x, &self.norm1), &self.qkv);
        let head = |part: usize| {
            qkv.narrow(2, part * width, width).reshape([batch, seq, heads, width / heads]).transpose(1, 2)
        };
        let seen = head(0).scaled_dot_product_attention(&head(1), &head(2), None, true);
        let x = x + dense(&seen.transpose(1, 2).reshape([batch, seq, width]), &self.proj);
        &x + dense(&dense(&norm(&x, &self.norm2), &self.up).gelu(), &self.down)
    }
}

/// A GPT on 8 sequences of 128 characters out of 65: 4 layers, 128 wide, 4 heads, layer norm first, GELU, AdamW.
pub fn char_gpt(device: &Device) -> Result<Step> {
    const VOCAB: usize = 65;
    const SEQ: usize = 128;
    const WIDTH: usize = 128;
    let (x, targets) = (Tensor::randint([8, SEQ], 0, 65, device), Tensor::randint([8 * SEQ], 0, 65, device));
    x.realize().and(targets.realize())?;
    let embedding = |rows: usize| (Tensor::randn([rows, WIDTH], device) * 0.02).detach().requires_grad();
    let (tokens, places) = (embedding(VOCAB), embedding(SEQ));
    let blocks: Vec<Block> = (0..4).map(|_| Block::new(WIDTH, device)).collect();
    let last = [Tensor::ones([WIDTH], device).requires_grad(), Tensor::zeros([WIDTH], device).requires_grad()];
    let (head, _) = linear(WIDTH, VOCAB, device);
    let mut parameters = vec![tokens.clone(), places.clone(), last[0].clone(), last[1].clone(), head.clone()];
    parameters.extend(blocks.iter().flat_map(Block::parameters).cloned());
    Ok(step(AdamW::new(parameters, 1e-3), move || {
        let hidden = Tensor::embedding(&tokens, &x) + &places;
        let hidden = blocks.iter().fold(hidden, |hidden, block| block.forward(&hidden, 4));
        let logits = hidden.layer_norm(&last[0], &last[1], 1e-5).linear(&head, None);
        loss::cross_entropy(&logits.reshape([8 * SEQ, VOCAB]), &targets)
    }))
}
