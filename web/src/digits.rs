//! The digits trainer of the demo page: a network of three linear layers, trained a few steps at a call.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Float32Array, Promise};
use wasm_bindgen::prelude::*;
use wgrad::data::{Batches, Digits as Data};
use wgrad::nn::{StateDict, loss};
use wgrad::optim::Adam;
use wgrad::{Error, Result, Tensor, no_grad};

use crate::saved::{self, Saved};
use crate::{Device, exception, promise};

const SIZES: [usize; 4] = [Data::PIXELS, 128, 64, Data::CLASSES];
const BATCH: usize = 32;
/// The key of a file's metadata under which the count of steps stands.
const STEPS: &str = "steps";
/// The key of the seed, by which the images are shuffled.
const SEED: &str = "seed";

/// A network that learns to read digits of 8×8 pixels.
#[wasm_bindgen]
pub struct Digits(Rc<RefCell<State>>);

struct State {
    device: wgrad::Device,
    layers: [(Tensor, Tensor); 3],
    optimizer: Adam,
    batches: Batches,
    seed: u64,
    steps: usize,
    train: (Tensor, Tensor),
    test: (Tensor, Tensor),
    /// The order of the epoch that is being trained.
    order: Option<(usize, Vec<Vec<usize>>)>,
}

/// The mini-batches of all epochs, shuffled by a seed.
fn batches(seed: u64) -> Batches {
    Batches::new(Data::train().len(), BATCH, seed).drop_last(true)
}

impl State {
    fn new(device: &wgrad::Device, seed: u64) -> State {
        device.seed(seed);
        let layers = std::array::from_fn(|i| {
            // Kaiming's bound for layers with ReLU.
            let bound = (6.0 / SIZES[i] as f32).sqrt();
            (
                Tensor::uniform([SIZES[i + 1], SIZES[i]], -bound, bound, device).requires_grad(),
                Tensor::zeros([SIZES[i + 1]], device).requires_grad(),
            )
        });
        let parameters: Vec<Tensor> =
            (&layers as &[(Tensor, Tensor)]).iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
        let train = Data::train();
        State {
            device: device.clone(),
            layers,
            optimizer: Adam::new(parameters, 2e-3),
            batches: batches(seed),
            seed,
            steps: 0,
            train: train.tensors(device),
            test: Data::test().tensors(device),
            order: None,
        }
    }

    fn scores(&self, images: &Tensor) -> Tensor {
        let [(w1, b1), (w2, b2), (w3, b3)] = &self.layers;
        images.linear(w1, Some(b1)).relu().linear(w2, Some(b2)).relu().linear(w3, Some(b3))
    }

    /// Records and submits steps, and returns the mean of their losses.
    fn train(&mut self, steps: usize) -> Result<Tensor> {
        // It starts as data, so that all steps have one structure.
        let mut total = Tensor::from_slice(&[0f32], (), &self.device);
        for _ in 0..steps {
            let (epoch, number) = (self.steps / self.batches.per_epoch(), self.steps % self.batches.per_epoch());
            if self.order.as_ref().is_none_or(|(known, _)| *known != epoch) {
                self.order = Some((epoch, self.batches.epoch(epoch).collect()));
            }
            let Some((_, order)) = &self.order else { break };
            let batch: Vec<i32> = order[number].iter().map(|&i| i as i32).collect();
            let batch = Tensor::from_slice(&batch, [batch.len()], &self.device);
            let (images, labels) = (self.train.0.index_select(0, &batch), self.train.1.index_select(0, &batch));
            let loss = loss::cross_entropy(&self.scores(&images), &labels);
            self.optimizer.zero_grad();
            loss.backward()?;
            total = &total + &loss.detach();
            self.optimizer.step()?;
            self.steps += 1;
        }
        Ok(total / steps.max(1) as f32)
    }

    /// The weights by their names.
    fn weights(&self) -> StateDict {
        let layers = self.layers.iter().enumerate();
        let named = |(i, (weight, bias)): (usize, &(Tensor, Tensor))| {
            [(format!("{i}.weight"), weight.detach()), (format!("{i}.bias"), bias.detach())]
        };
        layers.flat_map(named).collect()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let mut saved = Saved::read(bytes)?;
        let (steps, seed) = (saved.number(STEPS)?, saved.number(SEED)?);
        let mut values = Vec::new();
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            for (name, like) in [(format!("{i}.weight"), weight), (format!("{i}.bias"), bias)] {
                let value = saved.model.remove(&name).filter(|value| value.shape() == like.shape());
                let value = value.ok_or_else(|| Error::Io {
                    path: "file".into(),
                    detail: format!("it has no {name} of shape {:?}", like.shape()),
                })?;
                let value = value.to_device(&self.device);
                value.realize()?;
                values.push((like.clone(), value));
            }
        }
        self.optimizer.load_state_dict(&saved.optimizer)?;
        no_grad(|| values.iter().for_each(|(parameter, value)| parameter.assign(value)));
        (self.batches, self.seed, self.order) = (batches(seed), seed, None);
        self.steps = steps as usize;
        Ok(())
    }
}

#[wasm_bindgen]
impl Digits {
    /// A network with random weights.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &Device, seed: u32) -> Digits {
        Digits(Rc::new(RefCell::new(State::new(&device.0, u64::from(seed)))))
    }

    /// Trains so many steps; the promise gives the mean of their losses.
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn train(&self, steps: usize) -> Promise {
        let loss = self.0.borrow_mut().train(steps);
        promise(async move { loss?.item_async::<f32>().await })
    }

    /// The share of the test images that are read rightly.
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn accuracy(&self) -> Promise {
        let state = self.0.borrow();
        let (images, labels) = &state.test;
        let read = no_grad(|| state.scores(images)).argmax(-1, false).to_dtype(labels.dtype());
        let right = read.eq(labels).to_dtype(wgrad::DType::F32).mean();
        promise(async move { right.item_async::<f32>().await })
    }

    /// The probabilities of the ten digits for an image of 8×8 pixels from 0 (paper) to 1 (ink).
    #[wasm_bindgen(unchecked_return_type = "Promise<Float32Array>")]
    pub fn probabilities(&self, pixels: &[f32]) -> Promise {
        let state = self.0.borrow();
        let image = Tensor::from_slice(pixels, [1, Data::PIXELS], &state.device);
        let probabilities = no_grad(|| state.scores(&image)).softmax(-1);
        promise(async move { Ok(Float32Array::from(&probabilities.to_vec_async::<f32>().await?[..])) })
    }

    /// What evaluating the network on the test images runs, in words.
    pub fn kernels(&self) -> Result<String, JsValue> {
        let state = self.0.borrow();
        let explained = no_grad(|| state.scores(&state.test.0)).explain();
        explained.map(|explanation| explanation.to_string()).map_err(exception)
    }

    /// Steps taken.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// Steps of a pass over the training images.
    #[wasm_bindgen(getter, js_name = stepsPerEpoch)]
    pub fn steps_per_epoch(&self) -> usize {
        self.0.borrow().batches.per_epoch()
    }

    /// Images of a step.
    #[wasm_bindgen(getter, js_name = batchSize)]
    pub fn batch_size(&self) -> usize {
        BATCH
    }

    /// The learning rate.
    #[wasm_bindgen(getter)]
    pub fn rate(&self) -> f32 {
        self.0.borrow().optimizer.lr()
    }

    /// Changes the learning rate for the steps to come.
    #[wasm_bindgen(setter, js_name = rate)]
    pub fn set_rate(&self, rate: f32) {
        self.0.borrow_mut().optimizer.set_lr(rate);
    }

    /// Weights, the optimizer's state and the count of steps, as the bytes of a safetensors file.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array>")]
    pub fn save(&self) -> Promise {
        let state = self.0.borrow();
        let numbers = [(STEPS, state.steps as u64), (SEED, state.seed)];
        let words = numbers.map(|(key, number)| (key.to_owned(), number.to_string())).into();
        saved::save(state.weights(), state.optimizer.state_dict(), words)
    }

    /// Goes on from what `save` gave, to the same bits.
    pub fn load(&self, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.borrow_mut().load(bytes).map_err(exception)
    }

    /// A hash of all weights' bits.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn hash(&self) -> Promise {
        saved::hash(self.0.borrow().weights().into_values().collect())
    }
}
