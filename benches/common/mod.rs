//! What the benchmarks share: short measurements by criterion, and a Markdown table of the medians at the end.

#![allow(dead_code, reason = "every benchmark compiles this module for itself and uses its own part of it")]

pub mod models;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use wgrad::{Device, Result};

/// Samples of every measurement.
const SAMPLES: usize = 10;

/// Rows of the table, and criterion's state.
pub struct Bench {
    criterion: Criterion,
    device: Device,
    rows: Vec<[String; 4]>,
}

impl Bench {
    /// Starts the benchmarks on the default device, which is named first.
    pub fn new() -> Bench {
        let device = Device::default();
        let info = device.info();
        println!("adapter: {}", info.name);
        println!("interface: {}, driver {}, {}", info.backend, info.driver, info.kind);
        Bench { criterion: Criterion::default().configure_from_args(), device, rows: Vec::new() }
    }

    /// The device to measure.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// The same adapter with fusion turned off; `None` on the CPU reference, which never fuses.
    pub fn unfused(&self) -> Option<Device> {
        let same = |d: &Device| d.info() == self.device.info();
        Device::gpu_with_fusion(false).ok().filter(same)
    }

    /// A group of measurements.
    pub fn group<'a>(&'a mut self, name: &'a str) -> Group<'a> {
        let mut group = self.criterion.benchmark_group(name);
        group
            .sample_size(SAMPLES)
            .sampling_mode(SamplingMode::Flat)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_millis(700));
        Group { name, group, rows: &mut self.rows }
    }

    /// Prints the table.
    pub fn finish(self) {
        self.criterion.final_summary();
        println!("\n| benchmark | case | time | figure |\n|---|---|---|---|");
        for [benchmark, case, time, figure] in self.rows {
            println!("| {benchmark} | {case} | {time} | {figure} |");
        }
    }
}

/// A group of measurements.
pub struct Group<'a> {
    name: &'a str,
    group: BenchmarkGroup<'a, WallTime>,
    rows: &'a mut Vec<[String; 4]>,
}

impl Group<'_> {
    /// The median time of one turn of `run`, which takes the number of iterations to do and ends with the device idle. `None`
    /// where the command line filters the case out.
    pub fn time(&mut self, case: &str, mut run: impl FnMut(u64) -> Result<()>) -> Option<Duration> {
        let mut samples: Vec<Duration> = Vec::new();
        self.group.bench_function(case, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                if let Err(error) = run(iterations) {
                    panic!("{case}: {error}");
                }
                let elapsed = start.elapsed();
                samples.push(elapsed / iterations.max(1) as u32);
                elapsed
            });
        });
        // What came before the last samples was the warm-up.
        let warm_up = samples.len().saturating_sub(SAMPLES);
        let mut measured = samples.split_off(warm_up);
        measured.sort();
        measured.get(measured.len() / 2).copied()
    }

    /// Adds a row to the table.
    pub fn row(&mut self, case: &str, time: Duration, figure: String) {
        self.rows.push([self.name.into(), case.into(), show(time), figure]);
    }
}

/// A time with three digits.
pub fn show(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// Billions a second.
pub fn giga(count: f64, time: Duration) -> f64 {
    count / time.as_secs_f64() / 1e9
}
