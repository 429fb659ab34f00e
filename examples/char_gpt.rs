//! A small GPT that learns to write like a text, character by character.
//!
//! Shows a transformer made of layers, a training step that is captured once and replayed, checkpoints from which a run that was
//! killed at any moment goes on to the same bits, Ctrl-C that saves and stops, and sampling.
//!
//! ```text
//! cargo run --release --example char_gpt
//! cargo run --release --example char_gpt -- --text book.txt --layers 4 --width 128 --steps 5000
//! ```
//!
//! Writes checkpoints, `log.csv`, `loss` as PNG and SVG, `sample.txt`, `vocabulary.txt` and `model.safetensors` to `out/char_gpt`. The same
//! command again goes on where the last run stopped; `--fresh` begins anew. Ctrl-C stops after the current step.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::data::{CharCorpus, DataLoader, Dataset, Random, Vocabulary};
use wgrad::nn::{Dropout, Embedding, LayerNorm, Linear, Module, MultiheadAttention, Parameters, loss};
use wgrad::optim::AdamW;
use wgrad::train::{Supervised, Trainer};
use wgrad::{Device, Tensor, io, no_grad};

/// The text that is learnt where none is named.
const TEXT: &str = include_str!("../data/text/harbour.txt");

/// Train a small GPT on a text file
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,

    /// The text file to learn [default: data/text/harbour.txt]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,

    /// Training steps in all [default: 500]
    #[arg(long)]
    steps: Option<u64>,

    /// Windows of text in a step [default: 16]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Characters that the model looks back [default: 64]
    #[arg(long, value_name = "N")]
    context: Option<usize>,

    /// Transformer blocks [default: 2]
    #[arg(long, value_name = "N")]
    layers: Option<usize>,

    /// Channels [default: 64]
    #[arg(long, value_name = "N")]
    width: Option<usize>,

    /// Attention heads
    #[arg(long, default_value_t = 4, value_name = "N")]
    heads: usize,

    /// Peak learning rate
    #[arg(long, default_value_t = 3e-3)]
    lr: f32,

    /// Steps between checkpoints [default: 100]
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,

    /// Do not go on from a checkpoint
    #[arg(long)]
    fresh: bool,

    /// Characters to write at the end
    #[arg(long, default_value_t = 400, value_name = "N")]
    sample: usize,

    /// What the sample begins with
    #[arg(long, default_value = "The ")]
    prompt: String,
}

/// A block of the transformer: attention, then a small network at each position, each beside a way that skips it.
#[derive(Module)]
struct Block {
    ln_1: LayerNorm,
    attn: MultiheadAttention,
    ln_2: LayerNorm,
    fc: Linear,
    proj: Linear,
    dropout: Dropout,
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let seen = self.ln_1.forward(x);
        let x = x + self.dropout.forward(&self.attn.attend(&seen, &seen, &seen, None, true));
        let inner = self.fc.forward(&self.ln_2.forward(&x)).gelu();
        &x + self.dropout.forward(&self.proj.forward(&inner))
    }
}

/// Tokens `[batch, time]` to scores of the next token `[batch, time, vocabulary]`.
#[derive(Module)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    head: Linear,
}

impl Gpt {
    fn new(vocabulary: usize, context: usize, width: usize, heads: usize, layers: usize, device: &Device) -> Gpt {
        let block = |_| Block {
            ln_1: LayerNorm::new([width], device),
            attn: MultiheadAttention::new(width, heads, device),
            ln_2: LayerNorm::new([width], device),
            fc: Linear::new(width, 4 * width, device),
            proj: Linear::new(4 * width, width, device),
            dropout: Dropout::new(0.1),
        };
        Gpt {
            tokens: Embedding::new(vocabulary, width, device),
            positions: Embedding::new(context, width, device),
            blocks: (0..layers).map(block).collect(),
            ln_f: LayerNorm::new([width], device),
            head: Linear::new(width, vocabulary, device).without_bias(),
        }
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

/// Mean cross-entropy of the next character.
fn loss_of(model: &Gpt, batch: &[Tensor]) -> Tensor {
    loss::cross_entropy(&model.forward(&batch[0]).flatten(0, 1), &batch[1].flatten(0, 1))
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("char_gpt")?;
    let quick = args.run.quick;
    let (steps, batch_size) = (args.steps.unwrap_or(if quick { 60 } else { 500 }), args.batch_size.unwrap_or(16));
    let context = args.context.unwrap_or(if quick { 32 } else { 64 });
    let (layers, width) =
        (args.layers.unwrap_or(if quick { 1 } else { 2 }), args.width.unwrap_or(if quick { 32 } else { 64 }));
    ensure(steps > 0 && args.heads > 0 && width.is_multiple_of(args.heads), "--width must be a multiple of --heads")?;

    let corpus = match &args.text {
        Some(path) => CharCorpus::load(path)?,
        None => CharCorpus::new(TEXT)?,
    };
    let (train, test) = corpus.split(0.9);
    println!("{} characters, {} different ones", corpus.tokens().len(), corpus.vocabulary().len());
    corpus.vocabulary().save(out.join("vocabulary.txt"))?;

    let model = Gpt::new(corpus.vocabulary().len(), context, width, args.heads, layers, &device);
    let parameters: usize = model.parameters().iter().map(Tensor::numel).sum();
    println!("{parameters} parameters");
    let optimizer = AdamW::new(model.parameters(), args.lr).weight_decay(0.01);
    let loader = DataLoader::new(train.windows(context)?, batch_size, &device)
        .shuffle(args.run.seed)
        .drop_last(true)
        .prefetch(2);

    // Every `context`th window: each character of the held-out text once.
    let held_out = test.windows(context)?;
    let starts: Vec<usize> = (0..held_out.len()).step_by(context).collect();
    let held_out = held_out.batch(&starts, &device)?;

    let peak = args.lr;
    let mut task =
        Supervised::new(model, optimizer, loader, &device, |model, batch| vec![("loss".into(), loss_of(model, batch))])
            .schedule(move |step| peak * warm_up_and_cosine(step, steps))
            .evaluate(move |model, _| {
                Ok(vec![("held out".into(), f64::from(loss_of(model, &held_out).item::<f32>()?))])
            });

    let outcome = Trainer::new(steps, &device)
        .folder(&out)
        .report_every(steps.div_ceil(60).max(10))
        .evaluate_every(steps.div_ceil(15).max(20))
        .checkpoint_every(args.checkpoint_every.unwrap_or(100))
        .resume(!args.fresh && (!quick || args.steps.is_some()))
        .run(&mut task)?;
    if !outcome.finished {
        println!("{} of {steps} steps are done; the same command goes on from here", outcome.steps);
        return Ok(());
    }

    let model = task.model();
    common::drew(
        outcome.history.draw(out.join("loss"), &[("Cross-entropy of the next character", &["loss", "held out"])])?,
    );
    io::save_safetensors(out.join("model.safetensors"), &model.state_dict())?;
    let text = sample(model, corpus.vocabulary(), context, &args.prompt, args.sample, args.run.seed, &device)?;
    println!("\n{text}\n");
    common::write(&out.join("sample.txt"), &text)?;

    let weights = model.parameters();
    let hash = common::weights_hash(&weights)?;
    let series = outcome.history.series("loss");
    let (first, last) = (series.first().map_or(f64::NAN, |p| p.1), series.last().map_or(f64::NAN, |p| p.1));
    common::table(
        ["result", "value"],
        &[
            ["steps".into(), format!("{steps} of {batch_size} × {context} characters")],
            ["loss, then".into(), format!("{first:.3}")],
            ["loss, now".into(), format!("{last:.3}")],
            ["held-out loss".into(), format!("{:.3}", outcome.history.last("held out").unwrap_or(f64::NAN))],
            ["training time".into(), format!("{:.1} s", outcome.seconds)],
            ["weights' hash".into(), hash.clone()],
        ],
    );
    args.run.write_json(&json!({
        "example": "char_gpt",
        "seed": args.run.seed,
        "steps": steps,
        "parameters": parameters,
        "resumed_from": outcome.resumed,
        "first_loss": first,
        "loss": last,
        "held_out_loss": outcome.history.last("held out"),
        "seconds": outcome.seconds,
        "weights_hash": hash,
        "history": serde_json::from_str::<serde_json::Value>(&outcome.history.to_json())?,
        "device": common::device_json(&device),
    }))?;
    ensure(series.len() < 2 || last < 0.9 * first, "the loss has not fallen by a tenth: something is broken")
}

/// A twentieth of the steps up from 0, then half a cosine down to a tenth.
fn warm_up_and_cosine(step: u64, steps: u64) -> f32 {
    let warm_up = (steps / 20).max(1);
    if step < warm_up {
        return (step + 1) as f32 / warm_up as f32;
    }
    let progress = (step - warm_up) as f32 / (steps - warm_up).max(1) as f32;
    0.1 + 0.9 * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos())
}

/// Lets the model go on writing from a prompt.
fn sample(
    model: &Gpt,
    vocabulary: &Vocabulary,
    context: usize,
    prompt: &str,
    length: usize,
    seed: u64,
    device: &Device,
) -> Result<String> {
    // A prompt may have characters that the text has not.
    let known: String = prompt.chars().filter(|c| vocabulary.chars().contains(c)).collect();
    let mut tokens = vocabulary.encode(&known)?;
    if tokens.is_empty() {
        tokens.push(0);
    }
    let mut random = Random::new(seed);
    model.eval();
    for _ in 0..length {
        // Always a whole window, so that every step has the same shapes: what stands behind the last token is not looked at.
        let seen = &tokens[tokens.len().saturating_sub(context)..];
        let last = Tensor::from_slice(&[seen.len() as u32 - 1], [1], device);
        let mut window = seen.to_vec();
        window.resize(context, 0);
        let x = Tensor::from_slice(&window, [1, context], device);
        let scores = no_grad(|| model.forward(&x)).flatten(0, 1).index_select(0, &last);
        tokens.push(common::choose(&mut random, &(scores / 0.8).softmax(-1).to_vec::<f32>()?) as i32);
    }
    model.train(true);
    Ok(vocabulary.decode(&tokens)?)
}
