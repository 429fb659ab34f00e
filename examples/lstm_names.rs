//! A recurrent network that learns how names are made, letter by letter, and makes up new ones.
//!
//! Shows an LSTM over sequences of different lengths (padding that the loss ignores), a data set of one's own, and generating with the
//! state carried from letter to letter.
//!
//! ```text
//! cargo run --release --example lstm_names
//! cargo run --release --example lstm_names -- --names towns.txt
//! ```
//!
//! Writes `loss` and `letters` (PNG and SVG) and `names.txt` to `out/lstm_names`.

mod common;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::json;
use wgrad::data::{DataLoader, Dataset, Random, Vocabulary};
use wgrad::nn::{Embedding, Linear, Lstm, Module, Parameters, loss};
use wgrad::optim::Adam;
use wgrad::train::plot::{self, Bars};
use wgrad::train::{Supervised, Trainer};
use wgrad::{Device, Tensor, no_grad};

/// The names that are learnt where no file is named.
const NAMES: &str = include_str!("../data/names/names.txt");
/// What stands before and after each name.
const END: char = '\n';
/// A target that the loss passes over.
const IGNORED: i32 = -1;

/// Train an LSTM on a list of names and let it make up new ones
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
    #[command(flatten)]
    train: common::TrainArgs,

    /// A text file with a name in each line [default: data/names/names.txt]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,

    /// Hidden units
    #[arg(long, default_value_t = 96, value_name = "N")]
    hidden: usize,

    /// Names to make up
    #[arg(long, default_value_t = 24, value_name = "N")]
    count: usize,
}

/// Names as tokens, padded to one length: inputs `[N, longest + 1]` begin with the end mark, targets end with it.
struct Names {
    names: Vec<Vec<i32>>,
    longest: usize,
}

impl Dataset for Names {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn batch(&self, indices: &[usize], device: &Device) -> wgrad::Result<Vec<Tensor>> {
        let time = self.longest + 1;
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for name in indices.iter().map(|&i| &self.names[i]) {
            // The end mark is the first character of the vocabulary.
            inputs.extend(std::iter::once(0).chain(name.iter().copied()).chain(std::iter::repeat(0)).take(time));
            let padded = name.iter().copied().chain([0]).chain(std::iter::repeat(IGNORED));
            targets.extend(padded.take(time));
        }
        let tensor = |values: &[i32]| Tensor::from_slice(values, [indices.len(), time], device);
        Ok(vec![tensor(&inputs), tensor(&targets)])
    }
}

#[derive(Module)]
struct Model {
    letters: Embedding,
    lstm: Lstm,
    head: Linear,
}

impl Model {
    /// Scores of the next letter `[batch, time, vocabulary]` and the state after the last one.
    fn step(&self, x: &Tensor, state: Option<&(Tensor, Tensor)>) -> (Tensor, (Tensor, Tensor)) {
        let (h, state) = self.lstm.forward_seq(&self.letters.forward(x), state);
        (self.head.forward(&h), state)
    }
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("lstm_names")?;
    let epochs = args.train.epochs(if args.run.quick { 6 } else { 20 })?;
    let peak = args.train.lr.unwrap_or(1e-2);
    let text = match &args.names {
        Some(path) => std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?,
        None => NAMES.to_owned(),
    };
    let list: Vec<&str> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    ensure(!list.is_empty(), "there is no name in the file")?;
    // The end mark sorts before all letters.
    let vocabulary = Vocabulary::of(&(END.to_string() + &list.concat()));
    ensure(vocabulary.chars()[0] == END, "the names have control characters")?;
    let names: Vec<Vec<i32>> = list.iter().map(|name| vocabulary.encode(name)).collect::<wgrad::Result<_>>()?;
    let longest = names.iter().map(Vec::len).max().unwrap_or(0);
    println!("{} names of up to {longest} letters, {} different letters", names.len(), vocabulary.len() - 1);

    let batch_size = args.train.batch_size(32, names.len());
    let loader = DataLoader::new(Names { names, longest }, batch_size, &device).shuffle(args.run.seed).drop_last(true);
    let per_epoch = loader.per_epoch() as u64;
    let steps = per_epoch * epochs as u64;

    let model = Model {
        letters: Embedding::new(vocabulary.len(), 24, &device),
        lstm: Lstm::new(24, args.hidden, &device),
        head: Linear::new(args.hidden, vocabulary.len(), &device),
    };
    let optimizer = Adam::new(model.parameters(), peak);
    let mut task = Supervised::new(model, optimizer, loader, &device, |model: &Model, batch| {
        let (scores, _) = model.step(&batch[0], None);
        let options = loss::CrossEntropy { ignore_index: Some(IGNORED), ..Default::default() };
        vec![("loss".into(), loss::cross_entropy_with(&scores.flatten(0, 1), &batch[1].flatten(0, 1), &options))]
    })
    .schedule(move |step| peak * common::one_cycle(step as f32 / steps as f32));
    let outcome = Trainer::new(steps, &device).folder(&out).report_every(per_epoch).run(&mut task)?;
    common::drew(outcome.history.draw(out.join("loss"), &[("Cross-entropy of the next letter", &["loss"])])?);

    let model = task.model();
    let known: HashSet<&str> = list.iter().copied().collect();
    let mut random = Random::new(args.run.seed);
    let mut made = Vec::new();
    for _ in 0..args.count {
        made.push(make_up(model, &vocabulary, 2 * longest, &mut random, &device)?);
    }
    let new = made.iter().filter(|name| !known.contains(name.as_str())).count();
    println!("\n{}\n\n{new} of {} are not on the list\n", made.join("  "), made.len());
    common::write(&out.join("names.txt"), &(made.join("\n") + "\n"))?;

    // How likely each letter is to begin a name, as learnt and as counted.
    let start = Tensor::from_slice(&[0i32], [1, 1], &device);
    let learnt = no_grad(|| model.step(&start, None).0).softmax(-1).to_vec::<f32>()?;
    let counted = |token: usize| {
        let letter = vocabulary.chars()[token];
        list.iter().filter(|name| name.starts_with(letter)).count() as f64 / list.len() as f64
    };
    let letters: Vec<String> = vocabulary.chars()[1..].iter().map(char::to_string).collect();
    let panel = |title: &str, share: &dyn Fn(usize) -> f64| Bars {
        title: title.into(),
        unit: "% of names that begin with it",
        bars: letters.iter().enumerate().map(|(i, letter)| (letter.as_str(), 100.0 * share(i + 1))).collect(),
    };
    let panels =
        [panel("First letters as learnt", &|t| f64::from(learnt[t])), panel("First letters in the list", &counted)];
    common::drew(plot::bars(out.join("letters"), &panels)?);

    let series = outcome.history.series("loss");
    let (first, last) = (series.first().map_or(f64::NAN, |p| p.1), series.last().map_or(f64::NAN, |p| p.1));
    let weights = model.parameters();
    let hash = common::weights_hash(&weights)?;
    let mut rows = vec![
        ["loss in the first epoch".into(), format!("{first:.3}")],
        ["loss in the last epoch".into(), format!("{last:.3}")],
    ];
    rows.extend(common::training_rows(epochs, per_epoch, batch_size, outcome.seconds, &hash));
    common::table(["result", "value"], &rows);
    args.run.write_json(&json!({
        "example": "lstm_names",
        "seed": args.run.seed,
        "epochs": epochs,
        "first_loss": first,
        "loss": last,
        "names": made,
        "seconds": outcome.seconds,
        "weights_hash": hash,
        "device": common::device_json(&device),
    }))?;
    ensure(series.len() < 2 || last < 0.95 * first, "the loss has not fallen: something is broken")
}

/// A name, letter by letter; the state goes from each to the next.
fn make_up(
    model: &Model,
    vocabulary: &Vocabulary,
    longest: usize,
    random: &mut Random,
    device: &Device,
) -> Result<String> {
    let mut state = None;
    let (mut token, mut name) = (0i32, Vec::new());
    while name.len() < longest {
        let x = Tensor::from_slice(&[token], [1, 1], device);
        let (scores, next) = no_grad(|| model.step(&x, state.as_ref()));
        state = Some(next);
        token = common::choose(random, &(scores / 0.7).softmax(-1).to_vec::<f32>()?) as i32;
        if token == 0 {
            break;
        }
        name.push(token);
    }
    Ok(vocabulary.decode(&name)?)
}
