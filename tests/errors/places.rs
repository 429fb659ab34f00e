//! The line is the user's and the path says which layer, through every container.

use std::sync::Arc;

use wgrad::data::{DataLoader, Dataset, Digits, Subset};
use wgrad::nn::{
    Activation, Embedding, Flatten, Gru, Lambda, LayerNorm, Linear, Lstm, Module, MultiheadAttention, Parameters, Relu,
    Rnn, Sequential, Transformer, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder,
    TransformerEncoderLayer, loss,
};
use wgrad::optim::{Adam, Optimizer, Sgd};
use wgrad::train::{Supervised, Task, Trainer};
use wgrad::{Device, Error, Result, Tensor, amp, autograd};

use crate::both;

/// The error of a read, which must name this file, the line and `path`.
#[track_caller]
fn expect(result: Result<()>, line: u32, path: &str) -> Error {
    let error = result.expect_err("bad input was accepted");
    let place = format!("(at {}:{line}:", file!());
    let text = error.to_string();
    let in_path = if path.is_empty() { String::new() } else { format!(", in {path})") };
    assert!(text.contains(&place) && text.contains(&in_path), "{place} and {in_path} are not both in: {text}");
    error
}

fn read(y: &Tensor) -> Result<()> {
    y.to_vec::<f32>().map(drop)
}

fn wide(device: &Device) -> Tensor {
    Tensor::ones([3, 7], device)
}

#[test]
fn sequential_names_the_layer_and_the_line() {
    for d in both() {
        let model =
            Sequential::new().add_named("hidden", Linear::new(32, 16, &d)).add(Relu).add(Linear::new(16, 10, &d));
        let (y, line) = (model.forward(&wide(&d)), line!());
        expect(read(&y), line, "hidden (Linear 32→16) in Sequential");
        let model = Sequential::new().add(Flatten::default()).add(model).add(Relu);
        let (y, line) = (model.forward(&wide(&d)), line!());
        expect(read(&y), line, "hidden (Linear 32→16) in 1 (Sequential) in Sequential");
        // Beside it nothing is left behind.
        let (y, line) = (wide(&d).matmul(&wide(&d)), line!());
        let error = expect(read(&y), line, "");
        assert!(!error.to_string().contains("Sequential"));
    }
}

#[derive(Clone)]
struct Block {
    inner: Linear,
}
wgrad::module!(Block { inner });

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.inner.forward(x) // the line in the user's own layer
    }
}
const IN_BLOCK: u32 = line!() - 3;

#[test]
fn users_layers_keep_their_lines() {
    for d in both() {
        let block = || Block { inner: Linear::new(4, 2, &d) };
        expect(read(&block().forward(&wide(&d))), IN_BLOCK, "Linear 4→2");
        let model = Sequential::new().add_named("block", block());
        expect(read(&model.forward(&wide(&d))), IN_BLOCK, "Linear 4→2 in block (Block) in Sequential");
        let (model, line) = (Sequential::new().add(Lambda::new(|x: &Tensor| x.reshape([5]))), line!());
        expect(read(&model.forward(&wide(&d))), line, "0 (Lambda) in Sequential");
    }
}

#[test]
fn pointers_pass_the_line_on() {
    for d in both() {
        let boxed: Box<dyn Module> = Box::new(Linear::new(4, 2, &d));
        let (y, line) = (boxed.forward(&wide(&d)), line!());
        expect(read(&y), line, "Linear 4→2");
        let shared: Arc<dyn Module> = Arc::from(boxed);
        let model = Sequential::new().add(shared).add(Arc::new(Relu));
        let (y, line) = (model.forward(&wide(&d)), line!());
        expect(read(&y), line, "0 (Linear 4→2) in Sequential");
        let model = Sequential::new().add(Arc::new(Linear::new(4, 2, &d)));
        let (y, line) = (model.forward(&wide(&d)), line!());
        expect(read(&y), line, "0 (Linear 4→2) in Sequential");
    }
}

#[test]
fn without_a_line_the_layer_is_named() {
    for d in both() {
        let layer: &dyn Module = &Linear::new(4, 2, &d);
        let error = layer.forward(&wide(&d)).check().unwrap_err().to_string();
        assert!(error.ends_with("(at a line that is not known, in Linear 4→2)"), "{error}");
    }
}

#[test]
fn loaders_name_the_line_that_asks() {
    struct Broken;
    impl Dataset for Broken {
        fn len(&self) -> usize {
            4
        }
        fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
            Digits::test().batch(&[indices[0] + 5000], device)
        }
    }
    let in_batch = line!() - 3;
    let d = Device::cpu();
    for prefetch in [0, 2] {
        let mut loader = DataLoader::new(Broken, 2, &d).prefetch(prefetch);
        expect(loader.next_batch().map(drop), in_batch, "");
        let mut loader = DataLoader::new(Subset::new(Digits::test(), vec![0; 8]).unwrap(), 0, &d).prefetch(prefetch);
        let (batch, line) = (loader.next_batch().map(drop), line!());
        expect(batch, line, "");
        let (batches, line) = (loader.epoch().collect::<Vec<_>>(), line!());
        let [Err(error)] = &batches[..] else { panic!("{} batches", batches.len()) };
        expect(Err(error.clone()), line, "");
    }
}

#[test]
fn transformers_name_their_parts() {
    for d in both() {
        let x = Tensor::ones([2, 5, 8], &d);
        let mut layer = TransformerEncoderLayer::new(8, 2, 16, &d).activation(Activation::Gelu);
        layer.linear2 = Linear::new(12, 8, &d);
        let (y, line) = (layer.forward(&x), line!());
        expect(read(&y), line, "linear2 (Linear 12→8) in TransformerEncoderLayer 8");
        let (y, line) = (layer.forward_with(&wide(&d), None, true), line!());
        expect(read(&y), line, "self_attn (MultiheadAttention 8, 2 heads) in TransformerEncoderLayer 8");
        let encoder = TransformerEncoder {
            layers: vec![TransformerEncoderLayer::new(8, 2, 16, &d), layer],
            norm: Some(LayerNorm::new(9, &d)),
        };
        let model = Sequential::new().add_named("encoder", encoder);
        let (y, line) = (model.forward(&x), line!());
        let path = "linear2 (Linear 12→8) in layers.1 (TransformerEncoderLayer 8) in encoder (TransformerEncoder) in Sequential";
        expect(read(&y), line, path);
        let mut layer = TransformerDecoderLayer::new(8, 2, 16, &d).norm_first(true);
        layer.norm3 = LayerNorm::new(9, &d);
        let decoder = TransformerDecoder { layers: vec![layer], norm: None };
        let (y, line) = (decoder.decode(&x, &x, None, None, true), line!());
        expect(read(&y), line, "norm3 (LayerNorm 9) in layers.0 (TransformerDecoderLayer 8) in TransformerDecoder");
        let mut both = Transformer::new(8, 2, 1, 1, 16, &d).unwrap();
        both.encoder.norm = Some(LayerNorm::new(9, &d));
        let (y, line) = (both.forward_pair(&x, &x), line!());
        expect(read(&y), line, "norm (LayerNorm 9) in encoder (TransformerEncoder) in Transformer");
        let (built, line) = (Transformer::new(9, 2, 1, 1, 16, &d).map(drop), line!());
        expect(built, line, "");
    }
}

#[test]
fn attention_and_recurrent_layers() {
    for d in both() {
        let mut attention = MultiheadAttention::new(8, 2, &d);
        attention.out_proj.bias = Some(Tensor::ones([5], &d));
        let (y, line) = (attention.forward(&Tensor::ones([2, 5, 8], &d)), line!());
        expect(read(&y), line, "out_proj (Linear 8→8) in MultiheadAttention 8, 2 heads");
        let (y, line) = (Rnn::new(4, 8, &d).forward_seq(&wide(&d), None).0, line!());
        expect(read(&y), line, "Rnn 4→8");
        let x = Tensor::ones([2, 3, 5], &d);
        let (y, line) = (Lstm::new(4, 8, &d).forward_seq(&x, None).0, line!());
        expect(read(&y), line, "Lstm 4→8");
        let (y, line) = (Gru::new(4, 8, &d).forward_seq(&x, None).0, line!());
        expect(read(&y), line, "Gru 4→8");
    }
}

#[test]
fn what_only_the_run_finds_has_the_path_too() {
    for d in both() {
        let model =
            Sequential::new().add_named("tokens", Embedding::new(10, 4, &d)).add_named("out", Linear::new(4, 3, &d));
        let tokens = Tensor::from_slice(&[1i32, 10], [2], &d);
        let (y, line) = (model.forward(&tokens), line!());
        let error = expect(read(&y), line, "tokens (Embedding 10×4) in Sequential");
        assert!(matches!(error, Error::IndexOutOfRange { index: 10, .. }));
        // A loss stands in front of its op.
        let targets = Tensor::from_slice(&[1i32, 3], [2], &d);
        let (y, line) = (loss::nll(&Tensor::zeros([2, 3], &d), &targets), line!());
        let error = expect(read(&y), line, "");
        assert!(error.to_string().starts_with("nll: gather: index 3 "), "{error}");
        let _ = d.sync();
    }
}

#[test]
fn losses_name_themselves() {
    for d in both() {
        let (a, b) = (Tensor::ones([2, 3], &d), Tensor::ones([4], &d));
        let (y, line) = (loss::mse(&a, &b), line!());
        let error = expect(read(&y), line, "");
        assert!(error.to_string().starts_with("mse: sub: sizes 3 and 4"), "{error}");
        let (y, line) = (loss::huber(&a, &a, -1.0), line!());
        let error = expect(read(&y), line, "");
        assert!(error.to_string().starts_with("huber: delta"), "once is enough: {error}");
        let (y, line) = (loss::bce_with_logits_with(&a, &b, &a), line!());
        let error = expect(read(&y), line, "");
        assert!(error.to_string().starts_with("bce_with_logits: mul: "), "{error}");
    }
}

fn digits(d: &Device, width: usize) -> Supervised<Sequential, Sgd> {
    let model = Sequential::new().add_named("out", Linear::new(width, 10, d));
    let optimizer = Sgd::new(model.parameters(), 0.1);
    Supervised::new(model, optimizer, DataLoader::new(Digits::test(), 32, d), d, |model, batch| {
        vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    })
}
const IN_TASK: u32 = line!() - 3;

#[test]
fn trainer_tasks() {
    for d in both() {
        for captured in [false, true] {
            let mut task = digits(&d, 63).captured(captured);
            expect(Trainer::new(2, &d).quiet().run(&mut task).map(drop), IN_TASK, "out (Linear 63→10) in Sequential");
            // What the task does itself belongs to the line that runs it.
            let frozen = digits(&d, 64).captured(captured);
            frozen.model().requires_grad_(false);
            let mut task = frozen;
            let (done, line) = (Trainer::new(2, &d).quiet().run(&mut task).map(drop), line!());
            expect(done, line, "");
            let (done, line) = (task.step(0).map(drop), line!());
            expect(done, line, "");
        }
    }
}

#[test]
fn optimizers_behind_pointers_and_scalers() {
    for d in both() {
        let w = Tensor::ones([2], &d).requires_grad();
        let mut boxed: Box<dyn Optimizer> = Box::new(Adam::new(vec![w.clone()], -1.0));
        let (done, line) = (boxed.step(), line!());
        expect(done, line, "");
        let mut scaler = amp::GradScaler::new(&d);
        scaler.scale(&w.sum()).backward().unwrap();
        let (done, line) = (scaler.step(&mut *boxed), line!());
        expect(done, line, "");
    }
}

#[test]
fn reports_and_anomalies_name_the_layer() {
    for d in both() {
        let model = Sequential::new().add_named("hidden", Linear::new(4, 3, &d)).add(Relu);
        let (y, line) = (model.forward(&Tensor::ones([2, 4], &d)), line!());
        let report = y.explain().unwrap();
        let place = format!("{}:{line} in hidden (Linear 4→3) in Sequential", file!());
        assert!(report.kernels.iter().any(|kernel| kernel.lines.contains(&place)), "{:?}", report.kernels[0].lines);
        assert!(report.to_string().contains("in hidden (Linear 4→3) in Sequential"));
        let line = line!() + 2;
        let found = autograd::detect_anomaly(&d, || {
            let y = model.forward(&(Tensor::ones([2, 4], &d) * f32::INFINITY));
            loss::mse(&y, &y).item::<f32>()
        });
        let error = found.map(drop).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{}:{line}:", file!())), "{error}");
    }
}

#[test]
fn threads_have_paths_of_their_own() {
    let d = Device::cpu();
    let model = Arc::new(Sequential::new().add_named("a", Linear::new(4, 3, &d)));
    let lines: Vec<String> = std::thread::scope(|s| {
        let run = |_| s.spawn(|| model.forward(&wide(&d)).check().unwrap_err().to_string());
        (0..4).map(run).collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(lines.iter().all(|line| line.contains("in a (Linear 4→3) in Sequential")), "{lines:?}");
}
