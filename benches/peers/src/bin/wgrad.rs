//! wgrad. `--captured` replays captured steps instead of loops; `--cpu` runs the matrix product of the CPU reference.

use wgrad::nn::loss::cross_entropy;
use wgrad::optim::{Adam, AdamW, Optimizer, Sgd};
use wgrad::{Conv, Device, Tensor, capture};
use wgrad_peers::inputs::{self, CHECKED_STEPS, Cnn, Dense, Gpt, LARGE, Mlp, Norm, ROWS, TINY, TINY_OPS, TwoLayer};
use wgrad_peers::serve::{Engine, Job, Result, serve};
use wgrad_peers::{expect, inputs::TWO_LAYER_STEPS};

struct Wgrad {
    device: Device,
    captured: bool,
}

/// A training step: the loss of the weights as they are, and their update.
type Step = Box<dyn FnMut(&[Tensor]) -> wgrad::Result<Vec<Tensor>> + Send>;

fn step(mut optimizer: impl Optimizer + Send + 'static, loss: impl Fn(&[Tensor]) -> Tensor + Send + 'static) -> Step {
    Box::new(move |inputs| {
        let loss = loss(inputs);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(vec![loss])
    })
}

/// Weights and biases.
struct Layer(Tensor, Tensor);

impl Layer {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.0, Some(&self.1))
    }
}

impl Wgrad {
    fn tensor(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        let x = Tensor::from_slice(values, shape, &self.device);
        x.realize()?;
        Ok(x)
    }

    fn classes(&self, values: &[u32], shape: &[usize]) -> Result<Tensor> {
        let x = Tensor::from_slice(values, shape, &self.device);
        x.realize()?;
        Ok(x)
    }

    fn leaf(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        Ok(self.tensor(values, shape)?.requires_grad())
    }

    fn layer(&self, dense: &Dense) -> Result<Layer> {
        self.shaped(dense, &[dense.outputs, dense.inputs])
    }

    fn shaped(&self, dense: &Dense, shape: &[usize]) -> Result<Layer> {
        Ok(Layer(self.leaf(&dense.weight, shape)?, self.leaf(&dense.bias, &[dense.outputs])?))
    }

    /// Computes something again and again.
    fn repeat(&self, error: f64, f: impl Fn() -> Tensor + 'static) -> Job {
        let device = self.device.clone();
        Job::new(error, move || {
            f().realize()?;
            Ok(device.sync()?)
        })
    }

    fn matmul(&self, n: usize) -> Result<Job> {
        let operands = inputs::matrices(n);
        let [a, b] = [self.tensor(&operands[0], &[n, n])?, self.tensor(&operands[1], &[n, n])?];
        let error = expect::matmul(n, &operands, &a.matmul(&b).to_vec::<f32>()?);
        Ok(self.repeat(error, move || a.matmul(&b)))
    }

    fn elementwise(&self) -> Result<Job> {
        let operands = inputs::chain();
        let tensors = operands.each_ref().map(|v| self.tensor(v, &[LARGE]));
        let [x, a, b, c] = tensors;
        let (x, a, b, c) = (x?, a?, b?, c?);
        let f = move || (&x * &a + &b).relu() * &c + &x;
        Ok(self.repeat(expect::chain(&operands, &f().to_vec::<f32>()?), f))
    }

    fn sum(&self) -> Result<Job> {
        let values = inputs::summands();
        let x = self.tensor(&values, &[LARGE])?;
        Ok(self.repeat(expect::sum(&values, x.sum().item::<f32>()?), move || x.sum()))
    }

    fn softmax(&self) -> Result<Job> {
        let values = inputs::softmax_rows();
        let x = self.tensor(&values, &ROWS)?;
        Ok(self.repeat(expect::softmax(&values, &x.softmax(-1).to_vec::<f32>()?), move || x.softmax(-1)))
    }

    fn layer_norm(&self) -> Result<Job> {
        let operands = inputs::layer_norm();
        let (values, Norm { weight, bias }, upstream) = &operands;
        let leaves = [self.leaf(values, &ROWS)?, self.leaf(weight, &[ROWS[1]])?, self.leaf(bias, &[ROWS[1]])?];
        let dy = self.tensor(upstream, &ROWS)?;
        let device = self.device.clone();
        let f = move || -> wgrad::Result<[Option<Tensor>; 3]> {
            let [x, w, b] = &leaves;
            leaves.iter().for_each(Tensor::zero_grad);
            // The output lives until the device is done, so it is stored, as in the other engines.
            let y = x.layer_norm(w, b, 1e-5);
            (&y * &dy).sum().backward()?;
            device.sync()?;
            Ok([x.grad(), w.grad(), b.grad()])
        };
        let mut got = Vec::new();
        for gradient in f()? {
            got.push(gradient.ok_or("a gradient is missing")?.to_vec::<f32>()?);
        }
        let error = expect::layer_norm(&operands, [&got[0], &got[1], &got[2]]);
        Ok(Job::new(error, move || Ok(f().map(drop)?)))
    }

    /// A loop over a step, or its replay.
    fn runner(&self, mut step: Step) -> Result<Step> {
        if !self.captured {
            return Ok(step);
        }
        let captured = capture(&self.device, move |x: &[Tensor]| step(x))?;
        Ok(Box::new(move |x| captured.run(x)))
    }

    fn train(&self, workload: &str, step: Step, inputs: Vec<Tensor>) -> Result<Job> {
        let (mut step, device) = (self.runner(step)?, self.device.clone());
        // The program may have run other workloads before.
        device.trim();
        device.reset_peak_memory();
        let mut losses = Vec::new();
        for _ in 0..CHECKED_STEPS {
            losses.push(step(&inputs)?[0].item::<f32>()?);
        }
        let measured = device.clone();
        let job = Job::new(expect::losses(workload, &losses), move || {
            let loss = step(&inputs)?;
            device.sync()?;
            drop(loss);
            Ok(())
        });
        Ok(job.memory(move || (!measured.is_cpu()).then(|| measured.memory().peak)))
    }

    fn two_layer(&self) -> Result<Job> {
        let data = TwoLayer::new();
        let ([inputs, hidden, outputs], batch) = (TwoLayer::SIZES, TwoLayer::BATCH);
        let (x, y) = (self.tensor(&data.x, &[batch, inputs])?, self.tensor(&data.y, &[batch, outputs])?);
        let first = [self.tensor(&data.w1, &[inputs, hidden])?, self.tensor(&data.w2, &[hidden, outputs])?];
        let weights = first.each_ref().map(|w| w.detach().requires_grad());
        let [w1, w2] = weights.clone();
        let optimizer = Sgd::new(weights.to_vec(), TwoLayer::RATE as f32);
        let step = step(optimizer, move |x| (x[0].matmul(&w1).relu().matmul(&w2) - &x[1]).square().sum());
        let (mut step, device) = (self.runner(step)?, self.device.clone());
        let mut run = move || -> Result<Vec<Tensor>> {
            weights.iter().zip(&first).for_each(|(w, first)| w.assign(first));
            let mut loss = Vec::new();
            for _ in 0..TWO_LAYER_STEPS {
                loss = step(&[x.clone(), y.clone()])?;
            }
            device.sync()?;
            Ok(loss)
        };
        let error = expect::losses("two_layer", &[run()?[0].item::<f32>()?]);
        Ok(Job::new(error, move || run().map(drop)).units(TWO_LAYER_STEPS))
    }

    fn mlp_step(&self) -> Result<(Step, Vec<Tensor>)> {
        let data = Mlp::new();
        let inputs = vec![self.tensor(&data.x, &[Mlp::BATCH, Mlp::INPUTS])?, self.classes(&data.y, &[Mlp::BATCH])?];
        let layers = data.layers.iter().map(|l| self.layer(l)).collect::<Result<Vec<_>>>()?;
        let weights = layers.iter().flat_map(|Layer(w, b)| [w.clone(), b.clone()]).collect();
        let loss = move |x: &[Tensor]| {
            let h = layers[1].forward(&layers[0].forward(&x[0]).relu()).relu();
            cross_entropy(&layers[2].forward(&h), &x[1])
        };
        Ok((step(Adam::new(weights, Mlp::RATE as f32), loss), inputs))
    }

    fn mlp(&self) -> Result<Job> {
        let (step, inputs) = self.mlp_step()?;
        self.train("mlp", step, inputs)
    }

    fn cnn(&self) -> Result<Job> {
        let (data, side) = (Cnn::new(), Cnn::SIDE);
        let inputs = vec![self.tensor(&data.x, &[Cnn::BATCH, 1, side, side])?, self.classes(&data.y, &[Cnn::BATCH])?];
        let conv = |i: usize| self.shaped(&data.convs[i], &[Cnn::CHANNELS[i + 1], Cnn::CHANNELS[i], 3, 3]);
        let layers = [conv(0)?, conv(1)?, self.layer(&data.head)?];
        let weights = layers.iter().flat_map(|Layer(w, b)| [w.clone(), b.clone()]).collect();
        let loss = move |x: &[Tensor]| {
            let convolved = |x: &Tensor, Layer(w, b): &Layer| {
                let h = x.conv2d(w, Some(b), Conv { padding: 1.into(), ..Conv::default() });
                h.relu().max_pool2d(2, 2, 0)
            };
            let h = convolved(&convolved(&x[0], &layers[0]), &layers[1]);
            cross_entropy(&layers[2].forward(&h.flatten(1, -1)), &x[1])
        };
        self.train("cnn", step(Sgd::new(weights, Cnn::RATE as f32), loss), inputs)
    }

    fn gpt(&self) -> Result<Job> {
        let data = Gpt::new();
        let (n, t, d, heads) = (Gpt::BATCH, Gpt::LENGTH, Gpt::WIDTH, Gpt::HEADS);
        let inputs = vec![self.classes(&data.tokens, &[n, t])?, self.classes(&data.targets, &[n * t])?];
        let places = self.classes(&(0..t as u32).collect::<Vec<_>>(), &[t])?;
        let norm = |norm: &Norm| {
            Ok::<_, Box<dyn std::error::Error>>(Layer(self.leaf(&norm.weight, &[d])?, self.leaf(&norm.bias, &[d])?))
        };
        let mut layers = Vec::new();
        for b in &data.blocks {
            layers.push([
                norm(&b.norm1)?,
                self.layer(&b.qkv)?,
                self.layer(&b.proj)?,
                norm(&b.norm2)?,
                self.layer(&b.fc)?,
                self.layer(&b.out)?,
            ]);
        }
        let tables =
            Layer(self.leaf(&data.token_table, &[Gpt::VOCABULARY, d])?, self.leaf(&data.place_table, &[t, d])?);
        let (last, head) = (norm(&data.norm)?, self.leaf(&data.head.weight, &[Gpt::VOCABULARY, d])?);
        let pairs = layers.iter().flatten().chain([&tables, &last]);
        let mut weights: Vec<Tensor> = pairs.flat_map(|Layer(w, b)| [w.clone(), b.clone()]).collect();
        weights.push(head.clone());
        let normed = |x: &Tensor, Layer(w, b): &Layer| x.layer_norm(w, b, Gpt::EPS as f32);
        let loss = move |x: &[Tensor]| {
            let mut h = Tensor::embedding(&tables.0, &x[0]) + Tensor::embedding(&tables.1, &places);
            for [norm1, qkv, proj, norm2, fc, out] in &layers {
                let parts = qkv.forward(&normed(&h, norm1)).chunk(3, -1);
                let split = |i: usize| parts[i].reshape([n, t, heads, d / heads]).transpose(1, 2);
                let seen = split(0).scaled_dot_product_attention(&split(1), &split(2), None, true);
                h = &h + proj.forward(&seen.transpose(1, 2).reshape([n, t, d]));
                h = &h + out.forward(&fc.forward(&normed(&h, norm2)).gelu());
            }
            let logits = normed(&h, &last).linear(&head, None);
            cross_entropy(&logits.reshape([n * t, Gpt::VOCABULARY]), &x[1])
        };
        let optimizer = AdamW::new(weights, Gpt::RATE as f32).weight_decay(Gpt::DECAY as f32);
        self.train("gpt", step(optimizer, loss), inputs)
    }

    fn tiny(&self, fused: bool, submitted: bool) -> Result<Job> {
        let device = if fused { self.device.clone() } else { Device::gpu_with_fusion(submitted)? };
        let values = inputs::tiny();
        let x = Tensor::from_slice(&values, [values.len()], &device);
        x.realize()?;
        let chain = move |x: &Tensor| -> wgrad::Result<Tensor> {
            let mut y = x.clone();
            for i in 0..TINY_OPS {
                y = if i % 2 == 0 { &y * TINY.0 } else { &y + TINY.1 };
                if submitted {
                    y.realize()?;
                }
            }
            Ok(y)
        };
        let mut run: Box<dyn FnMut(&Tensor) -> wgrad::Result<Tensor>> = Box::new(chain);
        if self.captured {
            let captured = capture(&device, move |x: &[Tensor]| Ok::<_, wgrad::Error>(vec![chain(&x[0])?]))?;
            run = Box::new(move |x| Ok(captured.run(std::slice::from_ref(x))?.remove(0)));
        }
        let error = expect::tiny(&values, &run(&x)?.to_vec::<f32>()?);
        let job = Job::new(error, move || {
            let y = run(&x)?;
            y.realize()?;
            device.sync()?;
            Ok(())
        });
        Ok(job.units(TINY_OPS))
    }
}

impl Engine for Wgrad {
    fn device(&self) -> String {
        self.device.info().name.clone()
    }

    fn job(&mut self, workload: &str) -> Result<Option<Job>> {
        self.device.seed(0);
        if self.device.is_cpu() {
            return if workload == "reference_matmul" { self.matmul(1024).map(Some) } else { Ok(None) };
        }
        let job = match (workload, self.captured) {
            ("two_layer", _) => self.two_layer(),
            ("mlp", _) => self.mlp(),
            ("cnn", _) => self.cnn(),
            ("gpt", _) => self.gpt(),
            ("tiny_fused", _) => self.tiny(true, false),
            ("tiny_unfused", _) => self.tiny(false, false),
            ("tiny_submitted", false) => self.tiny(false, true),
            ("elementwise", false) => self.elementwise(),
            ("sum", false) => self.sum(),
            ("softmax", false) => self.softmax(),
            ("layer_norm", false) => self.layer_norm(),
            (name, false) => match name.strip_prefix("matmul_").and_then(|n| n.parse().ok()) {
                Some(n) => self.matmul(n),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        job.map(Some)
    }

    fn first_step(&mut self) -> Result<f32> {
        let (mut step, inputs) = self.mlp_step()?;
        Ok(step(&inputs)?[0].item::<f32>()?)
    }
}

fn main() {
    let has = |flag: &str| std::env::args().any(|a| a == flag);
    let device = if has("--cpu") { Device::cpu() } else { Device::default() };
    serve(Wgrad { device, captured: has("--captured") });
}
