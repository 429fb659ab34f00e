//! Who measures what, and when: the engines take iterations, a short slice each, round after round, so that what else happens on the
//! machine meets them alike.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use wgrad_peers::expect;
use wgrad_peers::workloads::{ALL, Workload};

use crate::engines::EngineInfo;
use crate::options::Options;
use crate::process::Process;

/// Seconds of one engine's turn; a call is always finished.
const SLICE: f64 = 0.2;
/// An engine may search for its fastest kernels while it prepares.
const PREPARE: Duration = Duration::from_secs(400);
const MEASURE: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(120);

/// What came of an engine and a workload.
pub enum Cell {
    /// Seconds a unit, and how wrong the result was.
    Measured { samples: Vec<f64>, error: f64, memory: Option<u64> },
    /// What went wrong.
    Failed(String),
    /// The command line leaves it out.
    Skipped,
}

impl Cell {
    /// The median time, where there is one.
    pub fn median(&self) -> Option<f64> {
        match self {
            Cell::Measured { samples, .. } => median(samples),
            _ => None,
        }
    }
}

/// The middle value, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (n > 0).then(|| (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0)
}

/// An engine that takes part.
pub struct Seat {
    pub info: &'static EngineInfo,
    /// What it says it runs on, or why it does not run.
    pub device: Result<String, String>,
    process: Option<Process>,
}

impl Seat {
    /// Starts the process where it is not there.
    fn start(&mut self, options: &Options) -> Result<&mut Process, String> {
        if self.process.is_none() {
            let mut process = Process::start(self.info.command(options), &options.cache, self.info.name)?;
            let hello = process.reply(START)?;
            self.device = Ok(hello["device"].as_str().unwrap_or("unknown").into());
            self.process = Some(process);
        }
        self.process.as_mut().ok_or_else(|| "not started".into())
    }

    /// The reply to a command, or the failure that it tells of; a process that failed to answer is given up.
    fn ask(&mut self, options: &Options, command: &str, limit: Duration) -> Result<Value, String> {
        let reply = self.start(options)?.ask(command, limit).inspect_err(|_| self.process = None)?;
        match reply["failed"].as_str() {
            Some(failure) => Err(failure.to_owned()),
            None => Ok(reply),
        }
    }
}

/// A build's cost.
pub struct Build {
    pub engine: String,
    pub what: String,
    pub cpu_seconds: f64,
    pub crates: u64,
    pub bytes: u64,
}

/// All that was measured.
pub struct Run {
    pub seats: Vec<Seat>,
    /// By workload and engine.
    pub cells: Cells,
    /// Seconds from process start to the first training step, by engine.
    pub cold: BTreeMap<&'static str, Cell>,
    pub builds: Vec<Build>,
    pub rounds: usize,
    pub seconds: f64,
}

impl Run {
    /// Starts the engines.
    pub fn new(options: &Options) -> Run {
        let mut seats: Vec<Seat> = options
            .engines
            .iter()
            .map(|info| Seat { info, device: Err("not started".into()), process: None })
            .collect();
        for seat in &mut seats {
            if let Err(failure) = seat.start(options).map(drop) {
                seat.device = Err(failure);
            }
            let device = seat.device.as_ref().unwrap_or_else(|failure| failure);
            println!("{}: {device}", seat.info.title);
        }
        let rounds = if options.quick { 3 } else { 7 };
        let (cells, cold) = Default::default();
        Run { seats, cells, cold, builds: Vec::new(), rounds, seconds: 0.0 }
    }

    /// The adapter's name, as the first engine on it says it.
    pub fn adapter(&self) -> Option<&str> {
        let on_adapter = self.seats.iter().filter(|s| s.info.gpu);
        on_adapter.filter_map(|s| s.device.as_deref().ok()).next()
    }

    /// Measures all workloads.
    pub fn workloads(&mut self, options: &Options) {
        for workload in &ALL {
            let large = ["matmul_1024", "matmul_2048"].contains(&workload.name);
            if options.wants(workload.name) && !(options.quick && large) {
                self.workload(options, workload);
            }
        }
    }

    fn workload(&mut self, options: &Options, workload: &'static Workload) {
        let start = Instant::now();
        println!("{}", workload.title);
        let mut ready = Vec::new();
        for (i, seat) in self.seats.iter_mut().enumerate() {
            let place = (workload.name, seat.info.name);
            if seat.device.is_err() {
                continue;
            }
            if options.skips(seat.info.name, workload.name) {
                self.cells.insert(place, Cell::Skipped);
                continue;
            }
            match seat.ask(options, &format!("prepare {}", workload.name), PREPARE) {
                Ok(reply) if reply["absent"] == true => {}
                Ok(reply) => {
                    let error = reply["error"].as_f64().unwrap_or(f64::INFINITY);
                    self.cells.insert(place, Cell::Measured { samples: Vec::new(), error, memory: None });
                    ready.push(i);
                }
                Err(failure) => fail(&mut self.cells, place, failure),
            }
        }
        for _ in 0..self.rounds {
            for &i in &ready {
                let place = (workload.name, self.seats[i].info.name);
                let Some(Cell::Measured { samples, .. }) = self.cells.get_mut(&place) else { continue };
                match self.seats[i].ask(options, &format!("measure {SLICE}"), MEASURE) {
                    Ok(reply) => {
                        samples.extend(reply["samples"].as_array().into_iter().flatten().filter_map(Value::as_f64))
                    }
                    Err(failure) => fail(&mut self.cells, place, failure),
                }
            }
            // Another one begins.
            if !ready.is_empty() {
                ready.rotate_left(1);
            }
        }
        for &i in &ready {
            let place = (workload.name, self.seats[i].info.name);
            let Some(Cell::Measured { memory, .. }) = self.cells.get_mut(&place) else { continue };
            match self.seats[i].ask(options, "finish", MEASURE) {
                Ok(reply) => *memory = reply["memory"].as_u64(),
                Err(failure) => fail(&mut self.cells, place, failure),
            }
        }
        for seat in &self.seats {
            let time = self.cells.get(&(workload.name, seat.info.name)).and_then(Cell::median);
            if let Some(time) = time {
                println!("    {:<24}{}", seat.info.title, crate::table::time(time));
            }
        }
        println!("    in {:.0} s", start.elapsed().as_secs_f64());
    }

    /// Measures process starts in folders of their own, with nothing cached in them. An engine that takes long is measured once.
    pub fn cold_starts(&mut self, options: &Options) {
        if !options.cold || !options.wants("cold") {
            return;
        }
        println!("process start to the first training step");
        let seats = self.seats.iter_mut().filter(|s| s.info.column && s.info.name != "captured" && s.device.is_ok());
        let mut engines: Vec<_> = seats
            .map(|seat| {
                seat.process = None; // idle processes could still take time
                (seat.info, Vec::new(), 0f64, None)
            })
            .collect();
        for round in 0..3 {
            for (info, samples, worst, failure) in &mut engines {
                let slow = samples.first().is_some_and(|s: &f64| *s > 10.0);
                if slow || failure.is_some() || options.skips(info.name, "cold") {
                    continue;
                }
                match cold_start(info, options, round) {
                    Ok((seconds, error)) => {
                        samples.push(seconds);
                        *worst = worst.max(error);
                    }
                    Err(text) => *failure = Some(text),
                }
            }
        }
        for (info, samples, error, failure) in engines {
            let cell = match failure {
                Some(failure) => Cell::Failed(failure),
                None if samples.is_empty() => Cell::Skipped,
                None => Cell::Measured { samples, error, memory: None },
            };
            if let Some(time) = cell.median() {
                println!("    {:<24}{}", info.title, crate::table::time(time));
            }
            self.cold.insert(info.name, cell);
        }
    }

    /// Reads what `build_cost` has measured.
    pub fn builds(&mut self, options: &Options) {
        let text = options.builds.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        for line in text.lines() {
            let Ok(build) = serde_json::from_str::<Value>(line) else { continue };
            let word = |key: &str| build[key].as_str().unwrap_or_default().to_owned();
            let engine = word("engine");
            self.builds.retain(|b| b.engine != engine);
            self.builds.push(Build {
                engine,
                what: word("what"),
                cpu_seconds: build["cpu_seconds"].as_f64().unwrap_or(f64::NAN),
                crates: build["crates"].as_u64().unwrap_or_default(),
                bytes: build["bytes"].as_u64().unwrap_or_default(),
            });
        }
    }
}

type Cells = BTreeMap<(&'static str, &'static str), Cell>;

fn fail(cells: &mut Cells, place: (&'static str, &'static str), failure: String) {
    println!("    {} failed: {failure}", place.1);
    cells.insert(place, Cell::Failed(failure));
}

/// Seconds from the start of a process to the loss of its first training step, with empty caches, and the loss's error.
fn cold_start(info: &EngineInfo, options: &Options, round: usize) -> Result<(f64, f64), String> {
    let folder = options.cache.join(format!("cold-{}-{}-{round}", info.name, std::process::id()));
    // A folder of the same name may be left from a run that was killed.
    let _ = std::fs::remove_dir_all(&folder);
    let mut command = info.command(options);
    command.arg("--cold").env("HOME", &folder).env("MESA_SHADER_CACHE_DIR", &folder);
    command.env("XDG_DATA_HOME", &folder).env("XDG_CONFIG_HOME", &folder);
    let start = Instant::now();
    let result = Process::start(command, &folder, info.name).and_then(|mut process| process.reply(PREPARE));
    let seconds = start.elapsed().as_secs_f64();
    let _ = std::fs::remove_dir_all(&folder);
    let reply = result?;
    match reply["loss"].as_f64() {
        Some(loss) => Ok((seconds, expect::losses("mlp", &[loss as f32]))),
        None => Err(reply["failed"].as_str().unwrap_or("no loss").to_owned()),
    }
}
