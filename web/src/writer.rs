//! The writer of the demo page: a small GPT that learns a text character by character, a few steps at a call, and writes on.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wgrad::data::{CharCorpus, Dataset, Random, Windows};
use wgrad::nn::{Module, Parameters};
use wgrad::optim::AdamW;
use wgrad::{Result, Tensor, no_grad};

use crate::gpt::Gpt;
use crate::saved::{self, Saved};
use crate::{Device, exception, promise};

/// Characters that the model looks back, and windows of text of a step.
const CONTEXT: usize = 64;
const BATCH: usize = 8;
/// Scores are divided by it before a character is drawn: below 1, likely ones become likelier.
const TEMPERATURE: f32 = 0.8;
/// The keys of a file's words.
const STEPS: &str = "steps";
const SEED: &str = "seed";
const TEXT: &str = "text";

/// A model that learns to write like a text.
#[wasm_bindgen]
pub struct Writer(Rc<RefCell<State>>);

struct State {
    device: wgrad::Device,
    text: String,
    corpus: CharCorpus,
    windows: Windows,
    model: Rc<Gpt>,
    optimizer: AdamW,
    seed: u64,
    steps: usize,
}

impl State {
    fn new(device: &wgrad::Device, text: &str, seed: u64) -> Result<State> {
        let corpus = CharCorpus::new(text)?;
        let windows = corpus.windows(CONTEXT)?;
        device.seed(seed);
        let model = Gpt::new(corpus.vocabulary().len(), CONTEXT, device);
        Ok(State {
            device: device.clone(),
            text: text.to_owned(),
            windows,
            optimizer: AdamW::new(model.parameters(), 3e-3).weight_decay(0.01),
            model: Rc::new(model),
            corpus,
            seed,
            steps: 0,
        })
    }

    /// Records and submits steps, and returns the mean of their losses.
    fn train(&mut self, steps: usize) -> Result<Tensor> {
        // It starts as data, so that all steps have one structure.
        let mut total = Tensor::from_slice(&[0f32], (), &self.device);
        for _ in 0..steps {
            let mut random = Random::of(&[self.seed, self.steps as u64]);
            let starts: Vec<usize> = (0..BATCH).map(|_| random.below(self.windows.len())).collect();
            let batch = self.windows.batch(&starts, &self.device)?;
            let loss = self.model.loss(&batch[0], &batch[1]);
            self.optimizer.zero_grad();
            loss.backward()?;
            total = &total + &loss.detach();
            self.optimizer.step()?;
            self.steps += 1;
        }
        Ok(total / steps.max(1) as f32)
    }

    fn load(device: &wgrad::Device, bytes: &[u8]) -> Result<State> {
        let saved = Saved::read(bytes)?;
        let (steps, seed, text) = (saved.number(STEPS)?, saved.number(SEED)?, saved.word(TEXT)?);
        let mut state = State::new(device, text, seed)?;
        state.model.load_state_dict(&saved.model)?;
        state.optimizer.load_state_dict(&saved.optimizer)?;
        state.steps = steps as usize;
        Ok(state)
    }
}

#[wasm_bindgen]
impl Writer {
    /// A model with random weights for this text, which needs more than 64 characters.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &Device, text: &str, seed: u32) -> Result<Writer, JsValue> {
        let state = State::new(&device.0, text, u64::from(seed)).map_err(exception)?;
        Ok(Writer(Rc::new(RefCell::new(state))))
    }

    /// Goes on from what `save` gave, to the same bits.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Writer, JsValue> {
        Ok(Writer(Rc::new(RefCell::new(State::load(&device.0, bytes).map_err(exception)?))))
    }

    /// Trains so many steps; the promise gives the mean of their losses.
    #[wasm_bindgen(unchecked_return_type = "Promise<number>")]
    pub fn train(&self, steps: usize) -> Promise {
        let loss = self.0.borrow_mut().train(steps);
        promise(async move { loss?.item_async::<f32>().await })
    }

    /// Writes so many characters after a beginning, by the weights of now. Characters of the beginning that the text has not are left out. `draw`
    /// chooses among samples.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn write(&self, beginning: &str, length: usize, draw: u32) -> Promise {
        let state = self.0.borrow();
        let (device, model) = (state.device.clone(), state.model.clone());
        let vocabulary = state.corpus.vocabulary().clone();
        let known: String = beginning.chars().filter(|c| vocabulary.chars().contains(c)).collect();
        let mut random = Random::of(&[state.seed, u64::from(draw)]);
        promise(async move {
            let mut tokens = vocabulary.encode(&known)?;
            if tokens.is_empty() {
                tokens.push(0);
            }
            for _ in 0..length {
                // Always a whole window, so that every step has the same shapes: what stands behind the last token is not looked at.
                let seen = &tokens[tokens.len().saturating_sub(CONTEXT)..];
                let last = Tensor::from_slice(&[seen.len() as u32 - 1], [1], &device);
                let mut window = seen.to_vec();
                window.resize(CONTEXT, 0);
                let x = Tensor::from_slice(&window, [1, CONTEXT], &device);
                let scores = no_grad(|| model.forward(&x)).flatten(0, 1).index_select(0, &last);
                let shares = (scores / TEMPERATURE).softmax(-1).to_vec_async::<f32>().await?;
                tokens.push(choose(random.unit(), &shares) as i32);
            }
            vocabulary.decode(&tokens)
        })
    }

    /// What a forward pass over one window runs, in words.
    pub fn kernels(&self) -> Result<String, JsValue> {
        let state = self.0.borrow();
        let window = Tensor::from_slice(&[0; CONTEXT], [1, CONTEXT], &state.device);
        let explained = no_grad(|| state.model.forward(&window)).explain();
        explained.map(|explanation| explanation.to_string()).map_err(exception)
    }

    /// The text that it learns.
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.0.borrow().text.clone()
    }

    /// Different characters of the text.
    #[wasm_bindgen(getter)]
    pub fn vocabulary(&self) -> usize {
        self.0.borrow().corpus.vocabulary().len()
    }

    /// Numbers that are trained.
    #[wasm_bindgen(getter)]
    pub fn parameters(&self) -> usize {
        self.0.borrow().model.parameters().iter().map(Tensor::numel).sum()
    }

    /// Steps taken.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// Characters of a step.
    #[wasm_bindgen(getter, js_name = batchSize)]
    pub fn batch_size(&self) -> usize {
        BATCH * CONTEXT
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

    /// Weights, the optimizer's state, the text and the count of steps, as the bytes of a safetensors file.
    #[wasm_bindgen(unchecked_return_type = "Promise<Uint8Array>")]
    pub fn save(&self) -> Promise {
        let state = self.0.borrow();
        let words = [(STEPS, state.steps.to_string()), (SEED, state.seed.to_string()), (TEXT, state.text.clone())];
        let words = words.map(|(key, value)| (key.to_owned(), value)).into();
        saved::save(state.model.state_dict(), state.optimizer.state_dict(), words)
    }

    /// A hash of all weights' bits.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn hash(&self) -> Promise {
        saved::hash(self.0.borrow().model.state_dict().into_values().collect())
    }
}

/// The place of a share, by a number from 0 to 1.
fn choose(drawn: f32, shares: &[f32]) -> usize {
    let mut left = drawn * shares.iter().sum::<f32>();
    for (place, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return place;
        }
    }
    shares.len().saturating_sub(1)
}
