//! An engine's side of the run: it takes commands on standard input, one a line, and answers each with one line of JSON after
//! an `@`, since libraries print too.
//!
//! | command | what it does |
//! |---|---|
//! | `prepare NAME` | sets a workload up, checks its result, warms up: `{"error": …}`, `{"absent": true}` or `{"failed": "…"}` |
//! | `measure SECONDS` | calls it at least once, and until the time is over: `{"samples": [seconds a unit, …]}` |
//! | `finish` | lets it go: `{"memory": bytes or null}` |

use std::any::Any;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A failure, as text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A workload that is set up.
pub struct Job {
    /// One call; returns when the device is done.
    pub call: Box<dyn FnMut() -> Result<()>>,
    /// What times are divided by: training steps or ops in a call.
    pub units: usize,
    /// How wrong the result was, against the host's.
    pub error: f64,
    /// Device memory that it takes, where the engine tells.
    pub memory: Option<Box<dyn FnMut() -> Option<u64>>>,
}

impl Job {
    /// A call that counts as one.
    pub fn new(error: f64, call: impl FnMut() -> Result<()> + 'static) -> Job {
        Job { call: Box::new(call), units: 1, error, memory: None }
    }

    /// Divides times by `units`.
    pub fn units(mut self, units: usize) -> Job {
        self.units = units;
        self
    }

    /// Tells how much memory it takes.
    pub fn memory(mut self, memory: impl FnMut() -> Option<u64> + 'static) -> Job {
        self.memory = Some(Box::new(memory));
        self
    }
}

/// An engine that is compared.
pub trait Engine {
    /// The device it runs on, in words.
    fn device(&self) -> String;

    /// Sets a workload up; `None` where the engine has no such thing.
    fn job(&mut self, workload: &str) -> Result<Option<Job>>;

    /// Sets the MLP up, does one step and reads its loss.
    fn first_step(&mut self) -> Result<f32>;
}

/// Runs an engine: by commands, or with `--cold` for one training step only.
pub fn serve(mut engine: impl Engine) {
    if std::env::args().any(|a| a == "--cold") {
        match guarded(|| engine.first_step()) {
            Ok(loss) => answer(&json!({ "loss": loss })),
            Err(failure) => answer(&json!({ "failed": failure })),
        }
        return;
    }
    answer(&json!({ "device": engine.device() }));
    let mut job: Option<Job> = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let mut words = line.split_whitespace();
        let reply = match (words.next(), words.next()) {
            (Some("prepare"), Some(name)) => {
                job = None;
                let made = guarded(|| {
                    let mut made = engine.job(name)?;
                    made.as_mut().map(warm_up).transpose()?;
                    Ok(made)
                });
                match made {
                    Ok(Some(made)) => json!({ "error": job.insert(made).error.min(f64::MAX) }),
                    Ok(None) => json!({ "absent": true }),
                    Err(failure) => json!({ "failed": failure }),
                }
            }
            (Some("measure"), Some(seconds)) => match job.as_mut() {
                Some(job) => measure(job, seconds.parse().unwrap_or(1.0)),
                None => json!({ "failed": "nothing is prepared" }),
            },
            (Some("finish"), None) => {
                let memory = job.take().and_then(|mut job| job.memory.as_mut().and_then(|memory| memory()));
                json!({ "memory": memory })
            }
            _ => json!({ "failed": format!("unknown command {line}") }),
        };
        answer(&reply);
    }
}

fn answer(reply: &Value) {
    let mut out = std::io::stdout().lock();
    // The driver is gone where this fails, and so is the next command.
    let _ = writeln!(out, "@ {reply}").and_then(|()| out.flush());
}

/// At least two calls, and a tenth of a second.
fn warm_up(job: &mut Job) -> Result<()> {
    let start = Instant::now();
    let mut calls = 0;
    while calls < 2 || start.elapsed() < Duration::from_millis(100) {
        (job.call)()?;
        calls += 1;
    }
    Ok(())
}

fn measure(job: &mut Job, seconds: f64) -> Value {
    let (start, mut samples) = (Instant::now(), Vec::new());
    while samples.is_empty() || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        if let Err(failure) = guarded(|| (job.call)()) {
            return json!({ "failed": failure });
        }
        samples.push(begin.elapsed().as_secs_f64() / job.units as f64);
    }
    json!({ "samples": samples })
}

/// A panic is a failure like others.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    let text = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_else(|| "panic".into())
    };
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(panic) => Err(text(panic)),
    }
}
