//! The numbers that all engines compute with. They are functions of a tag and a place, so that every program, `bench_torch.py`
//! included, makes the same ones; a tag belongs to one tensor of one workload.

/// Elements of the elementwise workload and of the sum.
pub const LARGE: usize = 1 << 24;
/// Rows and columns of softmax and layer norm.
pub const ROWS: [usize; 2] = [4096, 1024];
/// Training steps of one call of the two-layer network, which starts from the first weights each time.
pub const TWO_LAYER_STEPS: usize = 100;
/// Training steps whose losses are checked, elsewhere.
pub const CHECKED_STEPS: usize = 5;
/// Dependent tiny ops, multiplications and additions in iterations.
pub const TINY_OPS: usize = 1000;
/// What the tiny ops multiply by and add.
pub const TINY: (f32, f32) = (1.0001, 0.0001);

/// 64 mixed bits (SplitMix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
fn mixed(tag: u64, place: u64) -> u64 {
    let mut z = ((tag << 40 | place) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `n` numbers from `low` to `high`.
pub fn uniform(tag: u64, n: usize, low: f64, high: f64) -> Vec<f32> {
    let unit = |i: usize| (mixed(tag, i as u64) >> 40) as f64 / (1u64 << 24) as f64;
    (0..n).map(|i| (low + (high - low) * unit(i)) as f32).collect()
}

/// `n` numbers with mean 0 and variance 1.
pub fn spread(tag: u64, n: usize) -> Vec<f32> {
    let bound = 3f64.sqrt();
    uniform(tag, n, -bound, bound)
}

/// `n` classes below `count`.
pub fn classes(tag: u64, n: usize, count: usize) -> Vec<u32> {
    (0..n).map(|i| ((mixed(tag, i as u64) >> 33) % count as u64) as u32).collect()
}

/// One row a class, with a one in its place.
pub fn one_hot(classes: &[u32], count: usize) -> Vec<f32> {
    let mut rows = vec![0.0; classes.len() * count];
    for (row, &class) in classes.iter().enumerate() {
        rows[row * count + class as usize] = 1.0;
    }
    rows
}

/// A layer of weights `[outputs, inputs]` (`inputs` counts a convolution's window too) and biases.
pub struct Dense {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub outputs: usize,
    pub inputs: usize,
}

impl Dense {
    /// Uniform up to `1/sqrt(inputs)`; takes two tags.
    fn new(tag: u64, inputs: usize, outputs: usize) -> Dense {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = uniform(tag, inputs * outputs, -bound, bound);
        Dense { weight, bias: uniform(tag + 1, outputs, -bound, bound), outputs, inputs }
    }

    /// The weights as `[inputs, outputs]`.
    pub fn transposed(&self) -> Vec<f32> {
        let at = |k: usize| self.weight[k % self.outputs * self.inputs + k / self.outputs];
        (0..self.weight.len()).map(at).collect()
    }

    /// The `part`-th of `parts` equal groups of outputs.
    pub fn part(&self, part: usize, parts: usize) -> Dense {
        let (rows, inputs) = (self.outputs / parts, self.inputs);
        let weight = self.weight[part * rows * inputs..][..rows * inputs].to_vec();
        Dense { weight, bias: self.bias[part * rows..][..rows].to_vec(), outputs: rows, inputs }
    }
}

/// Weights and biases of a layer norm.
pub struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Norm {
    /// Weights about 1, biases about 0; takes two tags.
    pub fn new(tag: u64, width: usize) -> Norm {
        Norm { weight: uniform(tag, width, 0.5, 1.5), bias: uniform(tag + 1, width, -0.1, 0.1) }
    }
}

/// 64 inputs of 1000 numbers, 100 hidden units, 10 outputs; sum of squares, plain gradient descent at a rate of 1e-6.
pub struct TwoLayer {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    pub w1: Vec<f32>,
    pub w2: Vec<f32>,
}

impl TwoLayer {
    pub const BATCH: usize = 64;
    pub const SIZES: [usize; 3] = [1000, 100, 10];
    pub const RATE: f64 = 1e-6;

    #[allow(clippy::new_without_default)]
    pub fn new() -> TwoLayer {
        let [inputs, hidden, outputs] = Self::SIZES;
        TwoLayer {
            x: spread(100, Self::BATCH * inputs),
            y: spread(101, Self::BATCH * outputs),
            w1: spread(102, inputs * hidden),
            w2: spread(103, hidden * outputs),
        }
    }
}

/// A classifier 784-512-512-10 of 128 inputs; ReLU, cross-entropy, Adam.
pub struct Mlp {
    pub x: Vec<f32>,
    pub y: Vec<u32>,
    pub layers: [Dense; 3],
}

impl Mlp {
    pub const BATCH: usize = 128;
    pub const INPUTS: usize = 784;
    pub const CLASSES: usize = 10;
    pub const RATE: f64 = 1e-3;

    #[allow(clippy::new_without_default)]
    pub fn new() -> Mlp {
        let layers = [Dense::new(202, 784, 512), Dense::new(204, 512, 512), Dense::new(206, 512, 10)];
        Mlp { x: spread(200, Self::BATCH * Self::INPUTS), y: classes(201, Self::BATCH, Self::CLASSES), layers }
    }
}

/// A classifier of 64 pictures `[1, 28, 28]`: twice a 3 × 3 convolution, ReLU and max pooling by 2, then a dense layer;
/// cross-entropy, plain gradient descent.
pub struct Cnn {
    pub x: Vec<f32>,
    pub y: Vec<u32>,
    pub convs: [Dense; 2],
    pub head: Dense,
}

impl Cnn {
    pub const BATCH: usize = 64;
    pub const SIDE: usize = 28;
    pub const CHANNELS: [usize; 3] = [1, 16, 32];
    pub const CLASSES: usize = 10;
    pub const RATE: f64 = 1e-2;

    #[allow(clippy::new_without_default)]
    pub fn new() -> Cnn {
        let [a, b, c] = Self::CHANNELS;
        Cnn {
            x: spread(300, Self::BATCH * Self::SIDE * Self::SIDE),
            y: classes(301, Self::BATCH, Self::CLASSES),
            convs: [Dense::new(302, a * 9, b), Dense::new(304, b * 9, c)],
            head: Dense::new(306, c * 49, Self::CLASSES),
        }
    }
}

/// A transformer over characters: norms first, exact GELU, causal attention, no dropout; cross-entropy, AdamW.
pub struct Gpt {
    pub tokens: Vec<u32>,
    pub targets: Vec<u32>,
    pub token_table: Vec<f32>,
    pub place_table: Vec<f32>,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    /// Used without its bias.
    pub head: Dense,
}

/// One block of the transformer.
pub struct Block {
    pub norm1: Norm,
    pub qkv: Dense,
    pub proj: Dense,
    pub norm2: Norm,
    pub fc: Dense,
    pub out: Dense,
}

impl Gpt {
    pub const BATCH: usize = 8;
    pub const LENGTH: usize = 128;
    pub const VOCABULARY: usize = 65;
    pub const WIDTH: usize = 128;
    pub const HEADS: usize = 4;
    pub const LAYERS: usize = 4;
    pub const TOKENS: usize = Self::BATCH * Self::LENGTH;
    pub const RATE: f64 = 1e-3;
    pub const DECAY: f64 = 1e-2;
    pub const EPS: f64 = 1e-5;

    #[allow(clippy::new_without_default)]
    pub fn new() -> Gpt {
        let d = Self::WIDTH;
        let block = |i: usize| {
            let tag = 410 + 20 * i as u64;
            Block {
                norm1: Norm::new(tag, d),
                qkv: Dense::new(tag + 2, d, 3 * d),
                proj: Dense::new(tag + 4, d, d),
                norm2: Norm::new(tag + 6, d),
                fc: Dense::new(tag + 8, d, 4 * d),
                out: Dense::new(tag + 10, 4 * d, d),
            }
        };
        Gpt {
            tokens: classes(400, Self::TOKENS, Self::VOCABULARY),
            targets: classes(401, Self::TOKENS, Self::VOCABULARY),
            token_table: uniform(402, Self::VOCABULARY * d, -0.1, 0.1),
            place_table: uniform(403, Self::LENGTH * d, -0.1, 0.1),
            blocks: (0..Self::LAYERS).map(block).collect(),
            norm: Norm::new(404, d),
            head: Dense::new(406, d, Self::VOCABULARY),
        }
    }
}

/// Operands of the product of two `n` × `n` matrices.
pub fn matrices(n: usize) -> [Vec<f32>; 2] {
    [uniform(1, n * n, -1.0, 1.0), uniform(2, n * n, -1.0, 1.0)]
}

/// `x`, `a`, `b`, `c` of `relu(x·a + b)·c + x`.
pub fn chain() -> [Vec<f32>; 4] {
    [3, 4, 5, 6].map(|tag| uniform(tag, LARGE, -1.0, 1.0))
}

/// What is summed.
pub fn summands() -> Vec<f32> {
    uniform(7, LARGE, 0.0, 1.0)
}

/// Rows of softmax.
pub fn softmax_rows() -> Vec<f32> {
    uniform(8, ROWS[0] * ROWS[1], -4.0, 4.0)
}

/// Input, norm and upstream gradient of the layer norm.
pub fn layer_norm() -> (Vec<f32>, Norm, Vec<f32>) {
    let n = ROWS[0] * ROWS[1];
    (uniform(9, n, -1.0, 3.0), Norm::new(10, ROWS[1]), uniform(12, n, -1.0, 1.0))
}

/// Where the tiny ops start.
pub fn tiny() -> Vec<f32> {
    uniform(13, 16, 0.0, 1.0)
}
