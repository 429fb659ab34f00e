//! A small GPT over characters.

use wgrad::nn::{Embedding, LayerNorm, Linear, Module, MultiheadAttention, loss};
use wgrad::{Device, Tensor};

/// Channels, heads and blocks.
pub const WIDTH: usize = 64;
const HEADS: usize = 4;
const LAYERS: usize = 2;

/// A block of the transformer: attention, then a small network at each position, each beside a way that skips it.
#[derive(Module)]
struct Block {
    ln_1: LayerNorm,
    attn: MultiheadAttention,
    ln_2: LayerNorm,
    fc: Linear,
    proj: Linear,
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let seen = self.ln_1.forward(x);
        let x = x + self.attn.attend(&seen, &seen, &seen, None, true);
        &x + self.proj.forward(&self.fc.forward(&self.ln_2.forward(&x)).gelu_tanh())
    }
}

/// Tokens `[batch, time]` to scores of the next token `[batch, time, vocabulary]`.
#[derive(Module)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    head: Linear,
}

impl Gpt {
    /// A model with random weights.
    pub fn new(vocabulary: usize, context: usize, device: &Device) -> Gpt {
        let block = |_| Block {
            ln_1: LayerNorm::new([WIDTH], device),
            attn: MultiheadAttention::new(WIDTH, HEADS, device),
            ln_2: LayerNorm::new([WIDTH], device),
            fc: Linear::new(WIDTH, 4 * WIDTH, device),
            proj: Linear::new(4 * WIDTH, WIDTH, device),
        };
        Gpt {
            tokens: Embedding::new(vocabulary, WIDTH, device),
            positions: Embedding::new(context, WIDTH, device),
            blocks: (0..LAYERS).map(block).collect(),
            ln_f: LayerNorm::new([WIDTH], device),
            head: Linear::new(WIDTH, vocabulary, device).without_bias(),
        }
    }

    /// Mean cross-entropy of the next characters.
    pub fn loss(&self, inputs: &Tensor, targets: &Tensor) -> Tensor {
        loss::cross_entropy(&self.forward(inputs).flatten(0, 1), &targets.flatten(0, 1))
    }
}

impl Module for Gpt {
    fn forward(&self, x: &Tensor) -> Tensor {
        let time = x.shape().last().copied().unwrap_or(0);
        let mut h = self.tokens.forward(x) + self.positions.weight.narrow(0, 0, time);
        for block in &self.blocks {
            h = block.forward(&h);
        }
        self.head.forward(&self.ln_f.forward(&h))
    }
}
