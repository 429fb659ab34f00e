//! The workloads of `benches/peers/browser`: the same networks, weights and batches as the other libraries get.

use std::sync::{Arc, Mutex};

use js_sys::{Float32Array, Promise};
use wasm_bindgen::prelude::*;
use wgrad::nn::loss;
use wgrad::optim::Adam;
use wgrad::{Captured, Conv, Result, capture};

use crate::data::Tensor;
use crate::{Device, exception, named, promise};

/// Scores by the parameters and the inputs.
type Forward = fn(&[wgrad::Tensor], &wgrad::Tensor) -> wgrad::Tensor;

const HEADS: isize = 4;

fn mlp(p: &[wgrad::Tensor], x: &wgrad::Tensor) -> wgrad::Tensor {
    let hidden = x.linear(&p[0], Some(&p[1])).relu().linear(&p[2], Some(&p[3])).relu();
    hidden.linear(&p[4], Some(&p[5]))
}

fn cnn(p: &[wgrad::Tensor], x: &wgrad::Tensor) -> wgrad::Tensor {
    let layer = |x: &wgrad::Tensor, i: usize| {
        x.conv2d(&p[i], Some(&p[i + 1]), Conv::default().padding(1)).relu().max_pool2d(2, 2, 0)
    };
    layer(&layer(x, 0), 2).flatten(1, 3).linear(&p[4], Some(&p[5]))
}

/// Tokens, positions; twelve parameters a block; the last norm and the head.
fn gpt(p: &[wgrad::Tensor], x: &wgrad::Tensor) -> wgrad::Tensor {
    let mut h = wgrad::Tensor::embedding(&p[0], x) + &p[1];
    for block in p[2..p.len() - 3].chunks_exact(12) {
        let [ln_1, ln_1_bias, qkv, qkv_bias, out, out_bias, ln_2, ln_2_bias, fc, fc_bias, proj, proj_bias] = block
        else {
            break;
        };
        let projected = h.layer_norm(ln_1, ln_1_bias, 1e-5).linear(qkv, Some(qkv_bias)).chunk(3, 2);
        let split = |x: &wgrad::Tensor| x.unflatten(2, [HEADS, -1]).transpose(1, 2);
        let seen =
            split(&projected[0]).scaled_dot_product_attention(&split(&projected[1]), &split(&projected[2]), None, true);
        h = h + seen.transpose(1, 2).flatten(2, 3).linear(out, Some(out_bias));
        let inner = h.layer_norm(ln_2, ln_2_bias, 1e-5).linear(fc, Some(fc_bias)).gelu_tanh();
        h = h + inner.linear(proj, Some(proj_bias));
    }
    let [.., ln, ln_bias, head] = p else { return h };
    h.layer_norm(ln, ln_bias, 1e-5).linear(head, None).flatten(0, 1)
}

/// A network under Adam, on batches that lie on the device.
#[wasm_bindgen]
pub struct Contest {
    training: Arc<Mutex<Training>>,
    /// The step as it is captured, or none where each step is recorded anew.
    captured: Option<Captured<'static>>,
    batches: Vec<[wgrad::Tensor; 2]>,
    next: usize,
}

struct Training {
    forward: Forward,
    parameters: Vec<wgrad::Tensor>,
    optimizer: Adam,
}

impl Training {
    fn step(&mut self, x: &wgrad::Tensor, y: &wgrad::Tensor) -> Result<wgrad::Tensor> {
        let loss = loss::cross_entropy(&(self.forward)(&self.parameters, x), y);
        self.optimizer.zero_grad();
        loss.backward()?;
        self.optimizer.step()?;
        Ok(loss.detach())
    }
}

#[wasm_bindgen]
impl Contest {
    /// The workload `mlp`, `cnn` or `gpt`, with its parameters in order and its batches.
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &Device,
        workload: &str,
        rate: f32,
        parameters: Vec<Tensor>,
        inputs: Vec<Tensor>,
        targets: Vec<Tensor>,
        captured: bool,
    ) -> Result<Contest, JsValue> {
        let forward = match workload {
            "mlp" => mlp as Forward,
            "cnn" => cnn,
            "gpt" => gpt,
            _ => return Err(named("Argument", format!("there is no workload {workload:?}"))),
        };
        let parameters: Vec<wgrad::Tensor> = parameters.into_iter().map(|value| value.0.requires_grad()).collect();
        let optimizer = Adam::new(parameters.clone(), rate);
        let training = Arc::new(Mutex::new(Training { forward, parameters, optimizer }));
        let own = training.clone();
        let step = move |x: &[wgrad::Tensor]| -> Result<Vec<wgrad::Tensor>> {
            let mut training = own.lock().expect("one thread");
            Ok(vec![training.step(&x[0], &x[1])?])
        };
        let captured = if captured { Some(capture(&device.0, step).map_err(exception)?) } else { None };
        let batches = inputs.into_iter().zip(targets).map(|(x, y)| [x.0, y.0]).collect();
        Ok(Contest { training, captured, batches, next: 0 })
    }

    fn step(&mut self) -> Result<wgrad::Tensor> {
        let [x, y] = &self.batches[self.next % self.batches.len()];
        self.next += 1;
        match &self.captured {
            Some(step) => Ok(step.run(&[x.clone(), y.clone()])?.remove(0)),
            None => self.training.lock().expect("one thread").step(x, y),
        }
    }

    /// Trains so many steps; the promise gives their losses, once the last has been taken.
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn train(&mut self, steps: usize) -> Promise {
        let losses: Result<Vec<_>> = (0..steps).map(|_| self.step()).collect();
        promise(async move {
            let losses = losses?;
            let all = wgrad::Tensor::stack(&losses.iter().collect::<Vec<_>>(), 0);
            Ok(Float32Array::from(&all.to_vec_async::<f32>().await?[..]))
        })
    }
}
