//! burn on wgpu, with its default features: fusion and autotune.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;
use burn::tensor::activation::{gelu, relu, softmax};
use burn::tensor::{module::attention, ops::AttentionModuleOptions};
use wgrad_peers::inputs::{self, CHECKED_STEPS, Dense, LARGE, Norm, ROWS, TINY, TINY_OPS, TWO_LAYER_STEPS, TwoLayer};
use wgrad_peers::serve::{Engine, Job, Result, serve};
use wgrad_peers::{expect, inputs::Cnn as CnnData, inputs::Gpt as GptData, inputs::Mlp as MlpData};

struct Burn {
    device: Device,
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn classes<const D: usize>(values: &[u32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    let values: Vec<i32> = values.iter().map(|v| *v as i32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn read<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>> {
    x.into_data().try_to_vec::<f32>().map_err(|e| format!("{e:?}").into())
}

fn sync(device: &Device) -> Result<()> {
    device.sync().map_err(|e| format!("{e:?}").into())
}

fn param<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(tensor(values, shape, device))
}

fn linear(dense: &Dense, bias: bool, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(dense.inputs, dense.outputs).with_bias(bias).init(device);
    layer.weight = param(&dense.transposed(), [dense.inputs, dense.outputs], device);
    layer.bias = bias.then(|| param(&dense.bias, [dense.outputs], device));
    layer
}

fn layer_norm(norm: &Norm, device: &Device) -> LayerNorm {
    let width = norm.weight.len();
    let mut layer = LayerNormConfig::new(width).with_epsilon(GptData::EPS).init(device);
    layer.gamma = param(&norm.weight, [width], device);
    layer.beta = Some(param(&norm.bias, [width], device));
    layer
}

fn embedding(values: &[f32], rows: usize, width: usize, device: &Device) -> Embedding {
    let mut layer = EmbeddingConfig::new(rows, width).init(device);
    layer.weight = param(values, [rows, width], device);
    layer
}

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
    loss: CrossEntropyLoss,
}

impl Mlp {
    fn new(data: &MlpData, device: &Device) -> Mlp {
        let layers = data.layers.iter().map(|l| linear(l, true, device)).collect();
        Mlp { layers, loss: CrossEntropyLossConfig::new().init(device) }
    }

    fn loss(&self, x: Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
        let h = relu(self.layers[1].forward(relu(self.layers[0].forward(x))));
        self.loss.forward(self.layers[2].forward(h), y)
    }
}

#[derive(Module, Debug)]
struct Cnn {
    convs: Vec<Conv2d>,
    pool: MaxPool2d,
    head: Linear,
    loss: CrossEntropyLoss,
}

impl Cnn {
    fn new(data: &CnnData, device: &Device) -> Cnn {
        let conv = |i: usize| {
            let [inputs, outputs] = [CnnData::CHANNELS[i], CnnData::CHANNELS[i + 1]];
            let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
            let mut layer = Conv2dConfig::new([inputs, outputs], [3, 3]).with_padding(padding).init(device);
            layer.weight = param(&data.convs[i].weight, [outputs, inputs, 3, 3], device);
            layer.bias = Some(param(&data.convs[i].bias, [outputs], device));
            layer
        };
        Cnn {
            convs: vec![conv(0), conv(1)],
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            head: linear(&data.head, true, device),
            loss: CrossEntropyLossConfig::new().init(device),
        }
    }

    fn loss(&self, x: Tensor<4>, y: Tensor<1, Int>) -> Tensor<1> {
        let h = self.convs.iter().fold(x, |h, conv| self.pool.forward(relu(conv.forward(h))));
        self.loss.forward(self.head.forward(h.flatten::<2>(1, 3)), y)
    }
}

#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc: Linear,
    out: Linear,
}

impl Block {
    fn new(data: &inputs::Block, device: &Device) -> Block {
        Block {
            norm1: layer_norm(&data.norm1, device),
            qkv: linear(&data.qkv, true, device),
            proj: linear(&data.proj, true, device),
            norm2: layer_norm(&data.norm2, device),
            fc: linear(&data.fc, true, device),
            out: linear(&data.out, true, device),
        }
    }

    fn forward(&self, h: Tensor<3>) -> Tensor<3> {
        let ([n, t, d], heads) = (h.dims(), GptData::HEADS);
        let parts = self.qkv.forward(self.norm1.forward(h.clone())).chunk(3, 2);
        let split = |i: usize| parts[i].clone().reshape([n, t, heads, d / heads]).swap_dims(1, 2);
        let causal = AttentionModuleOptions { is_causal: true, ..Default::default() };
        let seen: Tensor<4> = attention(split(0), split(1), split(2), None, None, causal);
        let h = h + self.proj.forward(seen.swap_dims(1, 2).reshape([n, t, d]));
        h.clone() + self.out.forward(gelu(self.fc.forward(self.norm2.forward(h))))
    }
}

#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    places: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    loss: CrossEntropyLoss,
}

impl Gpt {
    fn new(data: &GptData, device: &Device) -> Gpt {
        Gpt {
            tokens: embedding(&data.token_table, GptData::VOCABULARY, GptData::WIDTH, device),
            places: embedding(&data.place_table, GptData::LENGTH, GptData::WIDTH, device),
            blocks: data.blocks.iter().map(|b| Block::new(b, device)).collect(),
            norm: layer_norm(&data.norm, device),
            head: linear(&data.head, false, device),
            loss: CrossEntropyLossConfig::new().init(device),
        }
    }

    fn loss(&self, tokens: Tensor<2, Int>, places: Tensor<2, Int>, y: Tensor<1, Int>) -> Tensor<1> {
        let h = self.tokens.forward(tokens) + self.places.forward(places);
        let h = self.blocks.iter().fold(h, |h, block| block.forward(h));
        let logits = self.head.forward(self.norm.forward(h));
        self.loss.forward(logits.reshape([GptData::TOKENS, GptData::VOCABULARY]), y)
    }
}

/// A training step: the loss of the weights as they are, and their update.
fn stepper<M: Module + 'static>(
    model: M,
    mut optimizer: ModuleOptimizer,
    rate: f64,
    loss: impl Fn(&M) -> Tensor<1> + 'static,
) -> impl FnMut() -> Result<Tensor<1>> {
    let mut slot = Some(model);
    move || {
        let model = slot.take().ok_or("an earlier step failed")?;
        let loss = loss(&model);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        slot = Some(optimizer.step(rate, model, gradients));
        Ok(loss)
    }
}

impl Burn {
    /// Computes something again and again.
    fn repeat<const D: usize>(&self, error: f64, f: impl Fn() -> Tensor<D> + 'static) -> Job {
        let device = self.device.clone();
        Job::new(error, move || {
            let out = f();
            sync(&device)?;
            drop(out);
            Ok(())
        })
    }

    fn matmul(&self, n: usize) -> Result<Job> {
        let operands = inputs::matrices(n);
        let [a, b] = operands.each_ref().map(|v| tensor(v, [n, n], &self.device));
        let f = move || a.clone().matmul(b.clone());
        Ok(self.repeat(expect::matmul(n, &operands, &read(f())?), f))
    }

    fn elementwise(&self) -> Result<Job> {
        let operands = inputs::chain();
        let [x, a, b, c] = operands.each_ref().map(|v| tensor(v, [LARGE], &self.device));
        let f = move || relu(x.clone() * a.clone() + b.clone()) * c.clone() + x.clone();
        Ok(self.repeat(expect::chain(&operands, &read(f())?), f))
    }

    fn sum(&self) -> Result<Job> {
        let values = inputs::summands();
        let x = tensor(&values, [LARGE], &self.device);
        // On some adapters its plain sum leaves most of so many numbers out: then rows are summed first, which takes two kernels.
        let plain = x.clone();
        let whole = move || plain.clone().sum();
        let error = expect::sum(&values, read(whole())?[0]);
        if error < 1e-3 {
            return Ok(self.repeat(error, whole));
        }
        let rows = move || x.clone().reshape([LARGE / ROWS[1], ROWS[1]]).sum_dim(1).sum();
        Ok(self.repeat(expect::sum(&values, read(rows())?[0]), rows))
    }

    fn softmax(&self) -> Result<Job> {
        let values = inputs::softmax_rows();
        let x = tensor(&values, ROWS, &self.device);
        let f = move || softmax(x.clone(), 1);
        Ok(self.repeat(expect::softmax(&values, &read(f())?), f))
    }

    fn layer_norm(&self) -> Result<Job> {
        let operands = inputs::layer_norm();
        let autodiff = self.device.clone().autodiff();
        let layer = layer_norm(&operands.1, &autodiff);
        let x = tensor(&operands.0, ROWS, &autodiff).require_grad();
        let dy = tensor(&operands.2, ROWS, &autodiff);
        let device = self.device.clone();
        let f = move || -> Result<(Option<Tensor<2>>, Option<Tensor<1>>, Option<Tensor<1>>)> {
            let y = layer.forward(x.clone());
            let gradients = (y * dy.clone()).sum().backward();
            let beta = layer.beta.as_ref().and_then(|b| b.val().grad(&gradients));
            let got = (x.grad(&gradients), layer.gamma.val().grad(&gradients), beta);
            sync(&device)?;
            Ok(got)
        };
        let (Some(dx), Some(dw), Some(db)) = f()? else { return Err("a gradient is missing".into()) };
        let error = expect::layer_norm(&operands, [&read(dx)?, &read(dw)?, &read(db)?]);
        Ok(Job::new(error, move || f().map(drop)))
    }

    fn two_layer(&self) -> Result<Job> {
        let (data, device) = (TwoLayer::new(), self.device.clone().autodiff());
        let ([inputs, hidden, outputs], batch) = (TwoLayer::SIZES, TwoLayer::BATCH);
        let (x, y) = (tensor(&data.x, [batch, inputs], &device), tensor(&data.y, [batch, outputs], &device));
        let first =
            (tensor(&data.w1, [inputs, hidden], &self.device), tensor(&data.w2, [hidden, outputs], &self.device));
        let plain = self.device.clone();
        let run = move || -> Result<Option<Tensor<1>>> {
            let leaf = |w: Tensor<2>| Tensor::from_inner(w).require_grad();
            let (mut w1, mut w2) = (leaf(first.0.clone()), leaf(first.1.clone()));
            let mut last = None;
            for _ in 0..TWO_LAYER_STEPS {
                let loss = (relu(x.clone().matmul(w1.clone())).matmul(w2.clone()) - y.clone()).square().sum();
                let gradients = loss.backward();
                let update = |w: Tensor<2>| -> Result<Tensor<2>> {
                    let gradient = w.grad(&gradients).ok_or("a gradient is missing")?;
                    Ok(leaf(w.inner() - gradient.inner() * TwoLayer::RATE as f32))
                };
                (w1, w2) = (update(w1)?, update(w2)?);
                last = Some(loss);
            }
            sync(&plain)?;
            Ok(last)
        };
        let loss = run()?.ok_or("no step")?;
        let error = expect::losses("two_layer", &read(loss)?);
        Ok(Job::new(error, move || run().map(drop)).units(TWO_LAYER_STEPS))
    }

    fn train(&self, workload: &str, mut step: impl FnMut() -> Result<Tensor<1>> + 'static) -> Result<Job> {
        let mut losses = Vec::new();
        for _ in 0..CHECKED_STEPS {
            losses.extend(read(step()?)?);
        }
        let (device, measured) = (self.device.clone(), self.device.clone());
        let mut first = true;
        let job = Job::new(expect::losses(workload, &losses), move || {
            let loss = step()?;
            sync(&device)?;
            drop(loss);
            // What the search for fast kernels took is given back before anything is measured.
            if std::mem::take(&mut first) {
                device.memory_cleanup();
            }
            Ok(())
        });
        Ok(job.memory(move || measured.memory_pool_usage().map(|usage| usage.bytes_reserved)))
    }

    fn mlp_step(&self) -> impl FnMut() -> Result<Tensor<1>> + use<> {
        let (data, device) = (MlpData::new(), self.device.clone().autodiff());
        let x = tensor(&data.x, [MlpData::BATCH, MlpData::INPUTS], &device);
        let y = classes(&data.y, [MlpData::BATCH], &device);
        let optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        stepper(Mlp::new(&data, &device), optimizer, MlpData::RATE, move |m| m.loss(x.clone(), y.clone()))
    }

    fn cnn(&self) -> Result<Job> {
        let (data, device) = (CnnData::new(), self.device.clone().autodiff());
        let x = tensor(&data.x, [CnnData::BATCH, 1, CnnData::SIDE, CnnData::SIDE], &device);
        let y = classes(&data.y, [CnnData::BATCH], &device);
        let (model, optimizer) = (Cnn::new(&data, &device), SgdConfig::new().init());
        self.train("cnn", stepper(model, optimizer, CnnData::RATE, move |m| m.loss(x.clone(), y.clone())))
    }

    fn gpt(&self) -> Result<Job> {
        let (data, device) = (GptData::new(), self.device.clone().autodiff());
        let tokens = classes(&data.tokens, [GptData::BATCH, GptData::LENGTH], &device);
        let places: Vec<u32> = (0..GptData::LENGTH as u32).collect();
        let places = classes(&places, [1, GptData::LENGTH], &device);
        let y = classes(&data.targets, [GptData::TOKENS], &device);
        let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(GptData::DECAY as f32).init();
        let loss = move |m: &Gpt| m.loss(tokens.clone(), places.clone(), y.clone());
        self.train("gpt", stepper(Gpt::new(&data, &device), optimizer, GptData::RATE, loss))
    }

    fn tiny(&self, fused: bool) -> Result<Job> {
        let values = inputs::tiny();
        let x = tensor(&values, [values.len()], &self.device);
        let device = self.device.clone();
        let run = move || -> Result<Tensor<1>> {
            let mut y = x.clone();
            for i in 0..TINY_OPS {
                y = if i % 2 == 0 { y * TINY.0 } else { y + TINY.1 };
                if !fused {
                    device.flush().map_err(|e| format!("{e:?}"))?;
                }
            }
            sync(&device)?;
            Ok(y)
        };
        let error = expect::tiny(&values, &read(run()?)?);
        Ok(Job::new(error, move || run().map(drop)).units(TINY_OPS))
    }
}

impl Engine for Burn {
    fn device(&self) -> String {
        self.device.identity().map_or("unknown".into(), |identity| identity.name)
    }

    fn job(&mut self, workload: &str) -> Result<Option<Job>> {
        let job = match workload {
            "elementwise" => self.elementwise(),
            "sum" => self.sum(),
            "softmax" => self.softmax(),
            "layer_norm" => self.layer_norm(),
            "two_layer" => self.two_layer(),
            "mlp" => self.train("mlp", self.mlp_step()),
            "cnn" => self.cnn(),
            "gpt" => self.gpt(),
            "tiny_fused" => self.tiny(true),
            "tiny_unfused" => self.tiny(false),
            name => match name.strip_prefix("matmul_").and_then(|n| n.parse().ok()) {
                Some(n) => self.matmul(n),
                None => return Ok(None),
            },
        };
        job.map(Some)
    }

    fn first_step(&mut self) -> Result<f32> {
        Ok(read(self.mlp_step()()?)?[0])
    }
}

fn main() {
    serve(Burn { device: Device::wgpu(DeviceKind::DefaultDevice) });
}
