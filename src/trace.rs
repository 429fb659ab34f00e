//! `WGRAD_TRACE`: what happened when, as a trace that [Perfetto](https://ui.perfetto.dev) and `chrome://tracing` open.
//!
//! The file is an array of events in Chrome's trace format. Each device is a process of the trace, with a lane for each
//! thread that used it and one for the GPU. The closing bracket is written with every batch of events and overwritten
//! by the next, so that the file is complete whenever the program ends.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The lane of the GPU; threads have higher numbers.
const GPU: u32 = 0;
/// Where the lanes start of kernels that run while another does.
const BESIDE: u32 = 1 << 20;

/// Time since the first call in this process.
pub fn now() -> Duration {
    static START: OnceLock<web_time::Instant> = OnceLock::new();
    START.get_or_init(web_time::Instant::now).elapsed()
}

struct Output {
    file: File,
    /// Events that are not in the file yet.
    events: String,
    empty: bool,
    failed: bool,
}

static OUTPUT: OnceLock<Option<Mutex<Output>>> = OnceLock::new();
static PROCESSES: AtomicU32 = AtomicU32::new(1);
static THREADS: AtomicU32 = AtomicU32::new(GPU + 1);

thread_local! {
    static THREAD: u32 = THREADS.fetch_add(1, Ordering::Relaxed);
    /// Spans that are open on this thread.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Processes that this thread is named in.
    static NAMED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Since when this thread has been recording ops, by process.
    static RECORDING: RefCell<Vec<(u32, Duration)>> = const { RefCell::new(Vec::new()) };
}

fn output() -> Option<&'static Mutex<Output>> {
    let open = || {
        let path = crate::env::get().trace.as_ref()?;
        match File::create(path) {
            Ok(file) => Some(Mutex::new(Output { file, events: String::new(), empty: true, failed: false })),
            Err(error) => {
                log::warn!("WGRAD_TRACE: {path}: {error}");
                eprintln!("wgrad: WGRAD_TRACE: {path}: {error}; nothing is traced");
                None
            }
        }
    };
    OUTPUT.get_or_init(open).as_ref()
}

/// Whether a trace is written.
pub fn enabled() -> bool {
    crate::env::get().trace.is_some() && output().is_some()
}

/// A value of an event's arguments.
#[derive(Clone, Debug)]
pub enum Arg<'a> {
    Text(&'a str),
    Number(u64),
    Fraction(f64),
}

/// Text as a JSON string, quotes included.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                // Writing to a String cannot fail, here and below.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn args_json(args: &[(&str, Arg)]) -> String {
    let one = |(name, value): &(&str, Arg)| match value {
        Arg::Text(text) => format!("{}:{}", json(name), json(text)),
        Arg::Number(number) => format!("{}:{number}", json(name)),
        Arg::Fraction(number) if number.is_finite() => format!("{}:{number}", json(name)),
        Arg::Fraction(_) => format!("{}:null", json(name)),
    };
    args.iter().map(one).collect::<Vec<_>>().join(",")
}

fn push(event: &str) {
    if let Some(output) = output() {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        if !output.events.is_empty() {
            output.events.push_str(",\n");
        }
        output.events.push_str(event);
    }
}

fn complete(process: u32, lane: u32, name: &str, start: Duration, length: Duration, args: &[(&str, Arg)]) {
    let micros = |d: Duration| d.as_nanos() as f64 / 1e3;
    let category = if lane == GPU || lane >= BESIDE { "gpu" } else { "cpu" };
    push(&format!(
        "{{\"ph\":\"X\",\"cat\":\"{category}\",\"pid\":{process},\"tid\":{lane},\"name\":{},\"ts\":{:.3},\"dur\":{:.3},\"args\":{{{}}}}}",
        json(name),
        micros(start),
        micros(length),
        args_json(args)
    ));
}

fn metadata(process: u32, lane: u32, kind: &str, name: &str) {
    push(&format!(
        "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{lane},\"name\":\"{kind}\",\"args\":{{\"name\":{}}}}}",
        json(name)
    ));
}

/// A new process of the trace for a device; 0 where nothing is traced. `gpu` names the lane of its kernels.
pub fn process(name: &str, gpu: Option<&str>) -> u32 {
    if !enabled() {
        return 0;
    }
    let process = PROCESSES.fetch_add(1, Ordering::Relaxed);
    metadata(process, GPU, "process_name", name);
    if let Some(gpu) = gpu {
        metadata(process, GPU, "thread_name", gpu);
    }
    write();
    process
}

/// The lane of this thread, which is named in the process at the first call.
fn thread(process: u32) -> u32 {
    let lane = THREAD.with(|lane| *lane);
    let new = NAMED.with_borrow_mut(|named| {
        !named.contains(&process) && {
            named.push(process);
            true
        }
    });
    if new {
        let current = std::thread::current();
        metadata(process, lane, "thread_name", current.name().unwrap_or(&format!("thread {lane}")));
    }
    lane
}

/// A span of time on this thread, from its making to its drop.
#[must_use = "the span ends when it is dropped"]
pub struct Span {
    /// 0 where nothing is traced.
    process: u32,
    name: &'static str,
    start: Duration,
}

/// Opens a span in a device's process, 0 for none.
pub fn span(process: u32, name: &'static str) -> Span {
    span_since(process, name, if process == 0 { Duration::ZERO } else { now() })
}

/// Opens a span that began a little earlier.
pub fn span_since(process: u32, name: &'static str, start: Duration) -> Span {
    if process != 0 {
        DEPTH.set(DEPTH.get() + 1);
    }
    Span { process, name, start }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.process == 0 {
            return;
        }
        let end = now();
        complete(self.process, thread(self.process), self.name, self.start, end.saturating_sub(self.start), &[]);
        DEPTH.set(DEPTH.get().saturating_sub(1));
        if DEPTH.get() == 0 {
            write();
        }
    }
}

/// A span on this thread that is over already.
pub fn past(process: u32, name: &str, start: Duration, length: Duration, args: &[(&str, Arg)]) {
    if process != 0 {
        complete(process, thread(process), name, start, length, args);
    }
}

/// A span on the GPU. Viewers want the spans of a lane one after the other, so of kernels that run at once, all but one go
/// to other `lane`s, counted from 0.
pub fn kernel(process: u32, lane: usize, name: &str, start: Duration, length: Duration, args: &[(&str, Arg)]) {
    if process == 0 {
        return;
    }
    let lane = match u32::try_from(lane) {
        Ok(beside @ 1..) => {
            let lane = BESIDE + beside;
            // Naming a lane again changes nothing.
            metadata(process, lane, "thread_name", "GPU, kernels beside others");
            lane
        }
        _ => GPU,
    };
    complete(process, lane, name, start, length, args);
}

/// Notes that this thread records ops for a device, since now unless it does already.
pub fn recording(process: u32) {
    if process != 0 {
        RECORDING.with_borrow_mut(|since| {
            if since.iter().all(|(p, _)| *p != process) {
                since.push((process, now()));
            }
        });
    }
}

/// Ends the span of recording, if there is one: a flush began at `end`.
pub fn recorded(process: u32, end: Duration) {
    if process == 0 {
        return;
    }
    let since = RECORDING
        .with_borrow_mut(|since| since.iter().position(|(p, _)| *p == process).map(|i| since.swap_remove(i).1));
    if let Some(since) = since {
        past(process, "record", since, end.saturating_sub(since), &[]);
    }
}

/// Brings all events so far into the file.
fn write() {
    let Some(output) = output() else { return };
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    if output.failed || output.events.is_empty() {
        return;
    }
    let head = if output.empty { "[\n" } else { ",\n" };
    let text = format!("{head}{}{END}", std::mem::take(&mut output.events));
    // One write, over the closing bracket of the one before.
    let back = if output.empty { 0 } else { END.len() as i64 };
    let written = output.file.seek(SeekFrom::Current(-back)).and_then(|_| output.file.write_all(text.as_bytes()));
    output.empty = false;
    if let Err(error) = written {
        log::warn!("WGRAD_TRACE: {error}; the trace ends here");
        output.failed = true;
    }
}

/// The end of the file.
const END: &str = "\n]\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_json() {
        assert_eq!(json("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\u000a\\u0001é\"");
        let args = args_json(&[("n", Arg::Number(3)), ("x", Arg::Fraction(0.5)), ("bad", Arg::Fraction(f64::NAN))]);
        assert_eq!(args, "\"n\":3,\"x\":0.5,\"bad\":null");
        let parsed: serde_json::Value = serde_json::from_str(&format!("{{{args},\"t\":{}}}", json("\t\"\\"))).unwrap();
        assert_eq!(parsed["t"], "\t\"\\");
    }
}
