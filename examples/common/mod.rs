//! What the examples share: command-line flags, the choice of a device, tables, JSON, and a hash of the weights.

// Every example compiles this module for itself and uses its own part of it.
#![allow(dead_code)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
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

impl RunArgs {
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
pub fn weights_hash(parameters: &[&Tensor]) -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for parameter in parameters {
        for value in parameter.to_vec::<f32>()? {
            for byte in value.to_bits().to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(hash)
}

/// The share of rows whose highest score stands at the label.
pub fn accuracy(scores: &Tensor, labels: &Tensor) -> Result<f32> {
    let right = scores.argmax(-1, false).to_dtype(wgrad::DType::I32).eq(labels);
    Ok(right.to_dtype(wgrad::DType::F32).mean().item::<f32>()?)
}

/// Indices as a tensor, to gather a mini-batch where the data lies.
pub fn indices(batch: &[usize], device: &Device) -> Tensor {
    let indices: Vec<u32> = batch.iter().map(|&i| i as u32).collect();
    Tensor::from_slice(&indices, [indices.len()], device)
}
