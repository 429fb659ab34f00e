//! candle on the CPU; it has no backend that the other engines' adapter runs.

use candle_core::{D, Device, Module, Tensor, Var};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Embedding, Linear, Optimizer, ParamsAdamW, SGD, loss::cross_entropy, ops,
};
use wgrad_peers::expect;
use wgrad_peers::inputs::{
    self, CHECKED_STEPS, Cnn, Dense, Gpt, LARGE, Mlp, Norm, ROWS, TINY, TINY_OPS, TWO_LAYER_STEPS, TwoLayer,
};
use wgrad_peers::serve::{Engine, Job, Result, serve};

const CPU: Device = Device::Cpu;

struct Candle;

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, &CPU)?)
}

fn classes(values: &[u32], shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, &CPU)?)
}

fn read(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?)
}

/// The parameters of a model.
#[derive(Default)]
struct Weights(Vec<Var>);

impl Weights {
    fn tensor(&mut self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        let var = Var::from_tensor(&tensor(values, shape)?)?;
        let tensor = var.as_tensor().clone();
        self.0.push(var);
        Ok(tensor)
    }

    fn linear(&mut self, dense: &Dense, bias: bool) -> Result<Linear> {
        let weight = self.tensor(&dense.weight, &[dense.outputs, dense.inputs])?;
        let bias = if bias { Some(self.tensor(&dense.bias, &[dense.outputs])?) } else { None };
        Ok(Linear::new(weight, bias))
    }

    fn norm(&mut self, norm: &Norm) -> Result<[Tensor; 2]> {
        let width = norm.weight.len();
        Ok([self.tensor(&norm.weight, &[width])?, self.tensor(&norm.bias, &[width])?])
    }
}

/// The fast layer norm has no backward.
fn normed(x: &Tensor, [weight, bias]: &[Tensor; 2]) -> candle_core::Result<Tensor> {
    ops::layer_norm_slow(x, weight, bias, Gpt::EPS as f32)
}

fn adam(weights: Weights, rate: f64, weight_decay: f64) -> Result<AdamW> {
    let parameters = ParamsAdamW { lr: rate, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay };
    Ok(AdamW::new(weights.0, parameters)?)
}

/// A training step: the loss of the weights as they are, and their update.
fn stepper(
    mut optimizer: impl Optimizer + 'static,
    loss: impl Fn() -> candle_core::Result<Tensor> + 'static,
) -> impl FnMut() -> Result<f32> {
    move || {
        let loss = loss()?;
        optimizer.backward_step(&loss)?;
        Ok(loss.to_scalar::<f32>()?)
    }
}

fn train(workload: &str, mut step: impl FnMut() -> Result<f32> + 'static) -> Result<Job> {
    let losses = (0..CHECKED_STEPS).map(|_| step()).collect::<Result<Vec<_>>>()?;
    Ok(Job::new(expect::losses(workload, &losses), move || step().map(drop)))
}

/// Computes something again and again.
fn repeat(error: f64, f: impl Fn() -> candle_core::Result<Tensor> + 'static) -> Job {
    Job::new(error, move || Ok(f().map(drop)?))
}

fn matmul(n: usize) -> Result<Job> {
    let operands = inputs::matrices(n);
    let (a, b) = (tensor(&operands[0], &[n, n])?, tensor(&operands[1], &[n, n])?);
    let error = expect::matmul(n, &operands, &read(&a.matmul(&b)?)?);
    Ok(repeat(error, move || a.matmul(&b)))
}

fn elementwise() -> Result<Job> {
    let operands = inputs::chain();
    let [x, a, b, c] = operands.each_ref().map(|v| tensor(v, &[LARGE]));
    let (x, a, b, c) = (x?, a?, b?, c?);
    let f = move || (((&x * &a)? + &b)?.relu()? * &c)? + &x;
    Ok(repeat(expect::chain(&operands, &read(&f()?)?), f))
}

fn softmax() -> Result<Job> {
    let values = inputs::softmax_rows();
    let x = tensor(&values, &ROWS)?;
    let error = expect::softmax(&values, &read(&ops::softmax_last_dim(&x)?)?);
    Ok(repeat(error, move || ops::softmax_last_dim(&x)))
}

fn sum() -> Result<Job> {
    let values = inputs::summands();
    let x = tensor(&values, &[LARGE])?;
    let error = expect::sum(&values, x.sum_all()?.to_scalar::<f32>()?);
    Ok(repeat(error, move || x.sum_all()))
}

fn layer_norm() -> Result<Job> {
    let operands = inputs::layer_norm();
    let x = Var::from_tensor(&tensor(&operands.0, &ROWS)?)?;
    let w = Var::from_tensor(&tensor(&operands.1.weight, &[ROWS[1]])?)?;
    let b = Var::from_tensor(&tensor(&operands.1.bias, &[ROWS[1]])?)?;
    let dy = tensor(&operands.2, &ROWS)?;
    let f = move || -> Result<[Tensor; 3]> {
        let y = normed(&x, &[w.as_tensor().clone(), b.as_tensor().clone()])?;
        let gradients = (y * &dy)?.sum_all()?.backward()?;
        let of = |v: &Var| gradients.get(v.as_tensor()).cloned().ok_or("a gradient is missing");
        Ok([of(&x)?, of(&w)?, of(&b)?])
    };
    let [dx, dw, db] = f()?;
    let error = expect::layer_norm(&operands, [&read(&dx)?, &read(&dw)?, &read(&db)?]);
    Ok(Job::new(error, move || f().map(drop)))
}

fn two_layer() -> Result<Job> {
    let data = TwoLayer::new();
    let ([inputs, hidden, outputs], batch) = (TwoLayer::SIZES, TwoLayer::BATCH);
    let (x, y) = (tensor(&data.x, &[batch, inputs])?, tensor(&data.y, &[batch, outputs])?);
    let first = [tensor(&data.w1, &[inputs, hidden])?, tensor(&data.w2, &[hidden, outputs])?];
    let vars = [Var::from_tensor(&first[0])?, Var::from_tensor(&first[1])?];
    let mut optimizer = SGD::new(vars.to_vec(), TwoLayer::RATE)?;
    let mut run = move || -> Result<f32> {
        for (var, first) in vars.iter().zip(&first) {
            var.set(first)?;
        }
        let mut last = None;
        for _ in 0..TWO_LAYER_STEPS {
            let loss = (x.matmul(&vars[0])?.relu()?.matmul(&vars[1])? - &y)?.sqr()?.sum_all()?;
            optimizer.backward_step(&loss)?;
            last = Some(loss);
        }
        Ok(last.ok_or("no step")?.to_scalar::<f32>()?)
    };
    let error = expect::losses("two_layer", &[run()?]);
    Ok(Job::new(error, move || run().map(drop)).units(TWO_LAYER_STEPS))
}

fn mlp_step() -> Result<impl FnMut() -> Result<f32> + 'static> {
    let (data, mut weights) = (Mlp::new(), Weights::default());
    let (x, y) = (tensor(&data.x, &[Mlp::BATCH, Mlp::INPUTS])?, classes(&data.y, &[Mlp::BATCH])?);
    let [a, b, c] = &data.layers;
    let (a, b, c) = (weights.linear(a, true)?, weights.linear(b, true)?, weights.linear(c, true)?);
    Ok(stepper(adam(weights, Mlp::RATE, 0.0)?, move || {
        let h = b.forward(&a.forward(&x)?.relu()?)?.relu()?;
        cross_entropy(&c.forward(&h)?, &y)
    }))
}

fn cnn() -> Result<Job> {
    let (data, mut weights) = (Cnn::new(), Weights::default());
    let x = tensor(&data.x, &[Cnn::BATCH, 1, Cnn::SIDE, Cnn::SIDE])?;
    let y = classes(&data.y, &[Cnn::BATCH])?;
    let mut convs = Vec::new();
    for (i, conv) in data.convs.iter().enumerate() {
        let weight = weights.tensor(&conv.weight, &[conv.outputs, Cnn::CHANNELS[i], 3, 3])?;
        let bias = weights.tensor(&conv.bias, &[conv.outputs])?;
        convs.push(Conv2d::new(weight, Some(bias), Conv2dConfig { padding: 1, ..Default::default() }));
    }
    let head = weights.linear(&data.head, true)?;
    let step = stepper(SGD::new(weights.0, Cnn::RATE)?, move || {
        let mut h = x.clone();
        for conv in &convs {
            h = conv.forward(&h)?.relu()?.max_pool2d(2)?;
        }
        cross_entropy(&head.forward(&h.flatten_from(1)?)?, &y)
    });
    train("cnn", step)
}

struct Block {
    norms: [[Tensor; 2]; 2],
    qkv: Linear,
    proj: Linear,
    fc: Linear,
    out: Linear,
}

impl Block {
    fn new(data: &inputs::Block, weights: &mut Weights) -> Result<Block> {
        Ok(Block {
            norms: [weights.norm(&data.norm1)?, weights.norm(&data.norm2)?],
            qkv: weights.linear(&data.qkv, true)?,
            proj: weights.linear(&data.proj, true)?,
            fc: weights.linear(&data.fc, true)?,
            out: weights.linear(&data.out, true)?,
        })
    }

    fn forward(&self, h: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
        let ((n, t, d), heads) = (h.dims3()?, Gpt::HEADS);
        let split = |z: &Tensor| z.reshape((n, t, heads, d / heads))?.transpose(1, 2)?.contiguous();
        let parts = self.qkv.forward(&normed(h, &self.norms[0])?)?.chunk(3, 2)?;
        let (q, k, v) = (split(&parts[0])?, split(&parts[1])?, split(&parts[2])?);
        let scores = (q.matmul(&k.transpose(2, 3)?)? * (1.0 / ((d / heads) as f64).sqrt()))?;
        // The fast softmax has no backward.
        let seen = ops::softmax(&scores.broadcast_add(mask)?, D::Minus1)?.matmul(&v)?;
        let h = (h + self.proj.forward(&seen.transpose(1, 2)?.reshape((n, t, d))?)?)?;
        &h + self.out.forward(&self.fc.forward(&normed(&h, &self.norms[1])?)?.gelu_erf()?)?
    }
}

fn gpt() -> Result<Job> {
    let (data, mut weights) = (Gpt::new(), Weights::default());
    let (n, t, d) = (Gpt::BATCH, Gpt::LENGTH, Gpt::WIDTH);
    let table = Embedding::new(weights.tensor(&data.token_table, &[Gpt::VOCABULARY, d])?, d);
    let places = Embedding::new(weights.tensor(&data.place_table, &[t, d])?, d);
    let blocks = data.blocks.iter().map(|b| Block::new(b, &mut weights)).collect::<Result<Vec<_>>>()?;
    let (last, head) = (weights.norm(&data.norm)?, weights.linear(&data.head, false)?);
    let (tokens, targets) = (classes(&data.tokens, &[n, t])?, classes(&data.targets, &[n * t])?);
    let mask: Vec<f32> = (0..t * t).map(|i| if i % t > i / t { f32::NEG_INFINITY } else { 0.0 }).collect();
    let (mask, order) = (tensor(&mask, &[t, t])?, Tensor::arange(0u32, t as u32, &CPU)?);
    let step = stepper(adam(weights, Gpt::RATE, Gpt::DECAY)?, move || {
        let mut h = table.forward(&tokens)?.broadcast_add(&places.forward(&order)?)?;
        for block in &blocks {
            h = block.forward(&h, &mask)?;
        }
        cross_entropy(&head.forward(&normed(&h, &last)?)?.reshape((n * t, Gpt::VOCABULARY))?, &targets)
    });
    train("gpt", step)
}

fn tiny() -> Result<Job> {
    let values = inputs::tiny();
    let x = tensor(&values, &[values.len()])?;
    let run = move || -> candle_core::Result<Tensor> {
        let mut y = x.clone();
        for i in 0..TINY_OPS {
            y = if i % 2 == 0 { (y * f64::from(TINY.0))? } else { (y + f64::from(TINY.1))? };
        }
        Ok(y)
    };
    Ok(repeat(expect::tiny(&values, &read(&run()?)?), run).units(TINY_OPS))
}

impl Engine for Candle {
    fn device(&self) -> String {
        "CPU".into()
    }

    fn job(&mut self, workload: &str) -> Result<Option<Job>> {
        let job = match workload {
            "elementwise" => elementwise(),
            "sum" => sum(),
            "softmax" => softmax(),
            "layer_norm" => layer_norm(),
            "two_layer" => two_layer(),
            "mlp" => train("mlp", mlp_step()?),
            "cnn" => cnn(),
            "gpt" => gpt(),
            "tiny_unfused" => tiny(),
            "reference_matmul" => matmul(1024),
            name => match name.strip_prefix("matmul_").and_then(|n| n.parse().ok()) {
                Some(n) => matmul(n),
                None => return Ok(None),
            },
        };
        job.map(Some)
    }

    fn first_step(&mut self) -> Result<f32> {
        mlp_step()?()
    }
}

fn main() {
    serve(Candle);
}
