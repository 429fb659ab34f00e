//! The models of `generator/models.py`, with the same names.

use wgrad::nn::{
    Activation, BatchNorm2d, Conv2d, Embedding, LayerNorm, Linear, Lstm, Module, Parameters, TransformerEncoderLayer,
    loss,
};
use wgrad::{Device, Tensor};

/// A model with its loss on a batch.
pub trait Model: Parameters {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor;
}

struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}
wgrad::module!(Mlp { fc1, fc2, fc3 });

impl Model for Mlp {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let h = self.fc2.forward(&self.fc1.forward(x).relu()).tanh();
        loss::cross_entropy(&self.fc3.forward(&h), y)
    }
}

/// A network of convolutions.
pub struct Cnn {
    conv1: Conv2d,
    pub bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}
wgrad::module!(Cnn { conv1, bn1, conv2, bn2, fc });

impl Cnn {
    pub fn new(d: &Device) -> Cnn {
        Cnn {
            conv1: Conv2d::new(1, 6, 3, d).padding(1).without_bias(),
            bn1: BatchNorm2d::new(6, d),
            conv2: Conv2d::new(6, 8, 3, d).padding(1).stride(2).without_bias(),
            bn2: BatchNorm2d::new(8, d),
            fc: Linear::new(8 * 2 * 2, 5, d),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.bn1.forward(&self.conv1.forward(x)).relu().max_pool2d(2, 2, 0);
        let h = self.bn2.forward(&self.conv2.forward(&h)).relu();
        self.fc.forward(&h.flatten(1, -1))
    }
}

impl Model for Cnn {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        loss::cross_entropy(&self.forward(x), y)
    }
}

struct Words {
    embedding: Embedding,
    lstm: Lstm,
    head: Linear,
}
wgrad::module!(Words { embedding, lstm, head });

impl Model for Words {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let (h, _) = self.lstm.forward_seq(&self.embedding.forward(x), None);
        loss::cross_entropy(&self.head.forward(&h).flatten(0, 1), &y.flatten(0, 1))
    }
}

struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
    head: Linear,
}
wgrad::module!(Gpt { tokens, positions, layers, norm, head });

impl Model for Gpt {
    fn loss(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let length = x.shape()[1];
        let start = self.tokens.forward(x) + self.positions.weight.narrow(0, 0, length);
        let h = self.layers.iter().fold(start, |h, layer| layer.forward_with(&h, None, true));
        loss::cross_entropy(&self.head.forward(&self.norm.forward(&h)).flatten(0, 1), &y.flatten(0, 1))
    }
}

pub fn make(name: &str, d: &Device) -> Box<dyn Model> {
    match name {
        "mlp" => Box::new(Mlp { fc1: Linear::new(16, 32, d), fc2: Linear::new(32, 24, d), fc3: Linear::new(24, 5, d) }),
        "cnn" => Box::new(Cnn::new(d)),
        "lstm" => Box::new(Words {
            embedding: Embedding::new(12, 8, d),
            lstm: Lstm::new(8, 16, d),
            head: Linear::new(16, 12, d),
        }),
        "gpt" => {
            let layer = || {
                let layer = TransformerEncoderLayer::new(16, 2, 32, d).dropout(0.0).without_bias();
                layer.norm_first(true).activation(Activation::Gelu)
            };
            Box::new(Gpt {
                tokens: Embedding::new(12, 16, d),
                positions: Embedding::new(8, 16, d),
                layers: vec![layer(), layer()],
                norm: LayerNorm::new(16, d),
                head: Linear::new(16, 12, d).without_bias(),
            })
        }
        other => panic!("no model is called {other}"),
    }
}
