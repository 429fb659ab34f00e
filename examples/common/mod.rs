//! What the examples share: command-line flags, the choice of a device, tables, JSON, and a hash of the weights.

#![allow(dead_code, reason = "every example compiles this module for itself and uses its own part of it")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use wgrad::data::Random;
use wgrad::nn::Module;
use wgrad::train::plot::{self, Picture};
use wgrad::{Device, Tensor};

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Flags of every example.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// Where to compute: `cpu`, `gpu`, or part of an adapter's name [default: the best GPU, the CPU where there is none]
    #[arg(long)]
    pub device: Option<String>,

    /// Seed of all random numbers; the same seed gives the same numbers on the same device
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// Folder for the files that the example writes [default: out/<example>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// A short run that still checks its result
    #[arg(long)]
    pub quick: bool,
}

/// Flags of the examples that train on mini-batches.
#[derive(clap::Args, Debug)]
pub struct TrainArgs {
    /// Passes over the training data
    #[arg(long)]
    pub epochs: Option<usize>,

    /// Images per optimizer step
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,

    /// Learning rate
    #[arg(long)]
    pub lr: Option<f32>,
}

impl TrainArgs {
    /// Passes over the data, where the flags do not say `default`; at least one.
    pub fn epochs(&self, default: usize) -> Result<usize> {
        let epochs = self.epochs.unwrap_or(default);
        ensure(epochs > 0, "--epochs must be at least 1")?;
        Ok(epochs)
    }

    /// Samples in a step, where the flags do not say `default`; at least one and at most all.
    pub fn batch_size(&self, default: usize, samples: usize) -> usize {
        self.batch_size.unwrap_or(default).clamp(1, samples.max(1))
    }

    /// An error where a test accuracy is below what the whole run, or a quick one, promises. Settings that were changed promise
    /// nothing.
    pub fn ensure_accuracy(&self, run: &RunArgs, accuracy: f64, whole: f64, quick: f64) -> Result {
        let least = if run.quick { quick } else { whole };
        let defaults = self.epochs.is_none() && self.batch_size.is_none() && self.lr.is_none();
        let text = format!(
            "the test accuracy is {:.2} %, below {:.1} %: something is broken",
            100.0 * accuracy,
            100.0 * least
        );
        ensure(!defaults || accuracy >= least, text)
    }
}

impl RunArgs {
    /// The device and the folder of an example.
    pub fn begin(&self, example: &str) -> Result<(Device, PathBuf)> {
        Ok((self.device()?, self.out_dir(example)?))
    }

    /// The device that the flags ask for, seeded; prints a line that names it.
    pub fn device(&self) -> Result<Device> {
        let device = match self.device.as_deref() {
            None => Device::default(),
            Some("cpu") => Device::cpu(),
            Some("gpu") => Device::gpu()?,
            Some(name) => Device::named(name)?,
        };
        device.seed(self.seed);
        let chosen = self.device.is_some() || std::env::var_os("WGRAD_DEVICE").is_some();
        if device.is_cpu() && !chosen {
            println!("No GPU adapter was found: running on the CPU reference.");
        } else {
            let software = device.info().software && !device.is_cpu();
            let kind = if software { ", a software adapter that runs on CPU cores" } else { "" };
            println!("Running on {}{kind}.", device.info().name);
        }
        Ok(device)
    }

    /// The folder for the example's files, made if it does not exist.
    pub fn out_dir(&self, example: &str) -> Result<PathBuf> {
        let dir = self.out.clone().unwrap_or_else(|| Path::new("out").join(example));
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(dir)
    }

    /// Writes the figures where `--json` was given.
    pub fn write_json(&self, figures: &Value) -> Result {
        if let Some(path) = &self.json {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
            }
            write(path, &format!("{figures:#}\n"))?;
        }
        Ok(())
    }
}

/// Turns the outcome of an example into its exit code, with the error as one readable line.
pub fn exit(outcome: Result) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An error with this text where `condition` does not hold.
pub fn ensure(condition: bool, otherwise: impl Into<String>) -> Result {
    if condition { Ok(()) } else { Err(otherwise.into().into()) }
}

/// Writes a text file and says so.
pub fn write(path: &Path, text: &str) -> Result {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Says which pictures were drawn.
pub fn drew([png, svg]: [PathBuf; 2]) {
    println!("wrote {} and {}", png.display(), svg.display());
}

/// Prints rows under a header, the first column to the left and the others to the right.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) {
    let width: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).chain([header[column].chars().count()]).max().unwrap_or(0)
    });
    let print = |cells: [&str; N]| {
        let cells: Vec<String> = (0..N)
            .map(|i| if i == 0 { format!("{:<1$}", cells[i], width[i]) } else { format!("{:>1$}", cells[i], width[i]) })
            .collect();
        println!("  {}", cells.join("  ").trim_end());
    };
    print(header);
    println!("  {}", width.map(|w| "-".repeat(w)).join("  "));
    for row in rows {
        print(std::array::from_fn(|i| row[i].as_str()));
    }
}

/// The device's name, counters and memory, for `--json`.
pub fn device_json(device: &Device) -> Value {
    let (stats, memory) = (device.stats(), device.memory());
    json!({
        "name": device.info().name,
        "cpu_reference": device.is_cpu(),
        "stats": {
            "submits": stats.submits,
            "dispatches": stats.dispatches,
            "kernels_compiled": stats.kernels_compiled,
            "plans_built": stats.plans_built,
            "plans_reused": stats.plans_reused,
            "bind_groups": stats.bind_groups,
        },
        "memory": {
            "in_use": memory.in_use,
            "pooled": memory.pooled,
            "peak": memory.peak,
            "allocations": memory.allocations,
        },
    })
}

/// 64-bit FNV-1a over the bits of all values: equal hashes mean equal weights, bit for bit.
pub fn weights_hash(parameters: &[Tensor]) -> Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for parameter in parameters {
        for value in parameter.to_vec::<f32>()? {
            for byte in value.to_bits().to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(format!("{hash:016x}"))
}

/// The share of rows whose highest score stands at the label.
pub fn accuracy(scores: &Tensor, labels: &Tensor) -> Result<f32> {
    Ok(hits(scores, labels).item::<f32>()?)
}

/// [`accuracy`] as a tensor, which stays on the device.
pub fn hits(scores: &Tensor, labels: &Tensor) -> Tensor {
    let right = scores.argmax(-1, false).to_dtype(wgrad::DType::I32).eq(labels);
    right.to_dtype(wgrad::DType::F32).mean()
}

/// The class of the highest score of each image, in evaluation and in batches that fit small devices.
pub fn answers(model: &impl Module, images: &Tensor) -> wgrad::Result<Vec<u32>> {
    const AT_ONCE: usize = 500;
    model.eval();
    let mut answers = Vec::with_capacity(images.shape()[0]);
    for start in (0..images.shape()[0]).step_by(AT_ONCE) {
        let part = images.narrow(0, start, AT_ONCE.min(images.shape()[0] - start));
        answers.extend(wgrad::no_grad(|| model.forward(&part)).argmax(-1, false).to_vec::<u32>()?);
    }
    Ok(answers)
}

/// Rows of a table of results that all training examples have.
pub fn training_rows(epochs: usize, per_epoch: u64, batch_size: usize, seconds: f64, hash: &str) -> [[String; 2]; 3] {
    [
        ["epochs × steps of samples".into(), format!("{epochs} × {per_epoch} of {batch_size}")],
        ["training time".into(), format!("{seconds:.1} s")],
        ["weights' hash".into(), hash.into()],
    ]
}

/// A learning rate's share of its peak while `progress` goes from 0 to 1: up over the first fifth, then half a cosine down.
pub fn one_cycle(progress: f32) -> f32 {
    if progress < 0.2 {
        return 0.1 + 0.9 * progress / 0.2;
    }
    0.01 + 0.99 * 0.5 * (1.0 + (std::f32::consts::PI * (progress - 0.2) / 0.8).cos())
}

/// Indices as a tensor, to gather a mini-batch where the data lies.
pub fn indices(batch: &[usize], device: &Device) -> Tensor {
    let indices: Vec<u32> = batch.iter().map(|&i| i as u32).collect();
    Tensor::from_slice(&indices, [indices.len()], device)
}

/// A place, each as likely as its share of `shares`.
pub fn choose(random: &mut Random, shares: &[f32]) -> usize {
    let mut left = random.unit() * shares.iter().sum::<f32>();
    for (place, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return place;
        }
    }
    shares.len().saturating_sub(1)
}

/// The digits that a model reads wrongly, drawn with what it reads, at most 40; how many there are.
pub fn draw_wrong(path: &Path, test: &wgrad::data::Digits, read: &[u32]) -> Result<usize> {
    const MOST: usize = 40;
    let wrong: Vec<usize> = (0..test.len()).filter(|&i| read[i] as i32 != test.labels[i]).collect();
    let caption = |i: usize| format!("{}, read as {}", test.labels[i], read[i]);
    let pictures: Vec<Picture> = wrong
        .iter()
        .take(MOST)
        .map(|&i| Picture { pixels: test.image(i).to_vec(), width: 8, caption: caption(i) })
        .collect();
    let title = match wrong.len() {
        0 => "All test digits are read rightly".to_string(),
        n if n > MOST => format!("The first {MOST} of {n} misclassified digits"),
        n => format!("{n} of {} read wrongly", test.len()),
    };
    let columns = (pictures.len() as f64).sqrt().ceil().min(8.0) as usize;
    drew(plot::grid(path, &title, &pictures, columns)?);
    Ok(wrong.len())
}
