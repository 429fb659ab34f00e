//! The results as a Markdown page.

use std::fmt::Write;

use wgrad_peers::workloads::{ALL, COLD_TOLERANCE, Figure, Target, Workload};

use crate::rounds::{Cell, Run, Seat};

/// A time with three digits.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    format!("{} {unit}", digits(value))
}

/// Three digits.
fn digits(value: f64) -> String {
    let places = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.places$}")
}

/// What a time is in the workload's measure.
fn figure(workload: &Workload, seconds: f64) -> Option<String> {
    match workload.figure {
        Figure::Flops(count) => Some(format!("{} GFLOP/s", digits(count / seconds / 1e9))),
        Figure::Bytes(count) => Some(format!("{} GB/s", digits(count / seconds / 1e9))),
        Figure::Tokens(count) => Some(format!("{:.0} tokens/s", count / seconds)),
        Figure::Time => None,
    }
}

/// Whether a result was wrong.
pub fn wrong(cell: &Cell, tolerance: f64) -> bool {
    matches!(cell, Cell::Measured { error, .. } if *error > tolerance)
}

fn show_error(error: f64) -> String {
    if error > 1e30 { "not a number".into() } else { format!("{error:.0e}") }
}

fn show(cell: Option<&Cell>, tolerance: f64, figure: impl Fn(f64) -> Option<String>) -> String {
    let cell = match cell {
        None => return "–".into(),
        Some(Cell::Skipped) => return "left out".into(),
        Some(Cell::Failed(_)) => return "failed".into(),
        Some(cell) => cell,
    };
    let Some(median) = cell.median() else { return "failed".into() };
    let mut parts = vec![time(median)];
    parts.extend(figure(median));
    if let (true, Cell::Measured { error, .. }) = (wrong(cell, tolerance), cell) {
        parts.insert(0, format!("**WRONG** by {}", show_error(*error)));
    }
    parts.join("<br>")
}

impl Run {
    fn cell(&self, workload: &str, engine: &str) -> Option<&Cell> {
        let found = self.cells.iter().find(|((w, e), _)| *w == workload && *e == engine);
        found.map(|(_, cell)| cell)
    }

    fn median(&self, workload: &str, engine: &str) -> Option<f64> {
        self.cell(workload, engine).and_then(Cell::median)
    }

    /// How many times as fast as burn wgrad's loop is.
    fn times_burn(&self, workload: &str) -> Option<f64> {
        Some(self.median(workload, "burn")? / self.median(workload, "wgrad")?)
    }

    fn memory(&self, engine: &str) -> Option<f64> {
        match self.cell("gpt", engine)? {
            Cell::Measured { memory, .. } => memory.map(|bytes| bytes as f64),
            _ => None,
        }
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => ": met",
        Some(false) => ": **missed**",
        None => "",
    }
}

fn target(run: &Run, workload: &Workload) -> String {
    let mine = run.median(workload.name, "wgrad");
    // Speed meets nothing where the result is wrong.
    let right = |engine: &str| !run.cell(workload.name, engine).is_some_and(|cell| wrong(cell, workload.tolerance));
    match workload.target {
        None => "–".into(),
        Some(Target::TimesBurn(least)) => {
            let met = run.times_burn(workload.name).map(|times| times >= least && right("wgrad"));
            format!("at least {least} × burn{}", verdict(met))
        }
        Some(Target::TimesBare(most)) => match (mine, run.median(workload.name, "bare")) {
            (Some(mine), Some(bare)) => {
                let times = mine / bare;
                let met = verdict(Some(times <= most && right("wgrad")));
                format!("at most {most} × bare wgpu, which takes {}; is {times:.2} ×{met}", time(bare))
            }
            _ => format!("at most {most} × bare wgpu"),
        },
        Some(Target::Flops(least)) => {
            let reference = run.median(workload.name, "reference");
            let met = reference.map(|seconds| {
                matches!(workload.figure, Figure::Flops(n) if n / seconds >= least) && right("reference")
            });
            format!("at least {:.0} GFLOP/s{}", least / 1e9, verdict(met))
        }
    }
}

fn row(page: &mut String, cells: &[String]) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn header(page: &mut String, cells: &[String]) {
    row(page, cells);
    row(page, &vec!["---".into(); cells.len()]);
}

/// The seats that have a column.
pub fn columns(run: &Run) -> Vec<&Seat> {
    run.seats.iter().filter(|s| s.info.column).collect()
}

fn workloads(run: &Run, page: &mut String) {
    let columns = columns(run);
    let titles = columns.iter().map(|s| s.info.title.to_owned());
    let after = ["wgrad against burn".to_owned(), "target".into()];
    header(page, &["workload".to_owned()].into_iter().chain(titles).chain(after).collect::<Vec<_>>());
    for workload in &ALL {
        if run.cells.keys().all(|(name, _)| *name != workload.name) {
            continue;
        }
        let mut cells = vec![workload.title.to_owned()];
        for seat in &columns {
            // On CPU cores it is the reference that stands for wgrad.
            let reference = workload.name == "reference_matmul" && seat.info.name == "wgrad";
            let engine = if reference { "reference" } else { seat.info.name };
            let cell = run.cell(workload.name, engine);
            if cell.is_none() && seat.device.is_err() {
                cells.push("did not start".into());
                continue;
            }
            cells.push(show(cell, workload.tolerance, |seconds| figure(workload, seconds)));
        }
        let flawed = run.cell(workload.name, "burn").is_some_and(|cell| wrong(cell, workload.tolerance));
        let times = run.times_burn(workload.name);
        cells.push(times.map_or("–".into(), |t| format!("{t:.2} ×{}", if flawed { ", burn wrong" } else { "" })));
        cells.push(target(run, workload));
        row(page, &cells);
    }
    cold(run, page);
    memory(run, page);
    builds(run, page);
}

fn cold(run: &Run, page: &mut String) {
    if run.cold.is_empty() {
        return;
    }
    let mut cells = vec!["process start to the first MLP step, nothing cached".to_owned()];
    cells.extend(columns(run).iter().map(|s| show(run.cold.get(s.info.name), COLD_TOLERANCE, |_| None)));
    let of = |engine: &str| run.cold.get(engine).and_then(Cell::median);
    let ratio = of("burn").zip(of("wgrad")).map(|(burn, mine)| burn / mine);
    cells.push(ratio.map_or("–".into(), |r| format!("{r:.1} ×")));
    let software = ["llvmpipe", "SwiftShader", "Basic Render"];
    let right = !run.cold.get("wgrad").is_some_and(|cell| wrong(cell, COLD_TOLERANCE));
    let on_cores = run.adapter().is_some_and(|name| software.iter().any(|s| name.contains(s)));
    let most = if on_cores { 1.2 } else { 0.5 };
    cells.push(format!("at most {most} s{}", verdict(of("wgrad").map(|seconds| seconds <= most && right))));
    row(page, &cells);
}

fn memory(run: &Run, page: &mut String) {
    if ["wgrad", "burn", "meganeura"].iter().all(|engine| run.memory(engine).is_none()) {
        return;
    }
    let mut cells = vec!["device memory of the GPT step, at its peak".to_owned()];
    let show = |bytes: f64| format!("{} MiB", digits(bytes / 1048576.0));
    cells.extend(columns(run).iter().map(|s| run.memory(s.info.name).map_or("–".into(), show)));
    let share = run.memory("wgrad").zip(run.memory("burn")).map(|(mine, burn)| mine / burn);
    cells.push(share.map_or("–".into(), |share| format!("{share:.2} of burn's")));
    cells.push(format!("at most 0.75 of burn's{}", verdict(share.map(|share| share <= 0.75))));
    row(page, &cells);
}

fn builds(run: &Run, page: &mut String) {
    if run.builds.is_empty() {
        return;
    }
    let mut cells = vec!["clean release build: processor time, crates, program".to_owned()];
    for seat in columns(run) {
        let build = run.builds.iter().find(|b| b.engine == seat.info.name);
        cells.push(build.map_or("–".into(), |b| {
            let (seconds, size) = (b.cpu_seconds, b.bytes as f64 / 1e6);
            format!("{seconds:.0} s<br>{} crates<br>{size:.1} MB", b.crates)
        }));
    }
    cells.push("–".into());
    let mine = run.builds.iter().find(|b| b.engine == "wgrad");
    let met = mine.map(|b| b.cpu_seconds <= 220.0 && b.crates <= 130 && b.bytes <= 11_000_000);
    cells.push(format!("at most 220 s, 130 crates, 11 MB{}", verdict(met)));
    row(page, &cells);
}

fn errors(run: &Run, page: &mut String) {
    let columns = columns(run);
    let titles = columns.iter().map(|s| s.info.title.to_owned());
    header(page, &["workload".to_owned(), "right up to".into()].into_iter().chain(titles).collect::<Vec<_>>());
    for workload in &ALL {
        let of = |seat: &&Seat| match run.cell(workload.name, seat.info.name) {
            Some(Cell::Measured { error, .. }) if *error > workload.tolerance => format!("**{}**", show_error(*error)),
            Some(Cell::Measured { error, .. }) => show_error(*error),
            _ => "–".into(),
        };
        let errors: Vec<String> = columns.iter().map(of).collect();
        if errors.iter().any(|e| e != "–") {
            let first = [workload.title.to_owned(), format!("{:.0e}", workload.tolerance)];
            row(page, &first.into_iter().chain(errors).collect::<Vec<_>>());
        }
    }
}

/// What did not run, and why.
fn failures(run: &Run) -> Vec<String> {
    let absent = run.seats.iter().filter_map(|s| {
        let failure = s.device.as_ref().err()?;
        Some(format!("{}: not measured; {failure}", s.info.title))
    });
    let title = |name: &str| ALL.iter().find(|w| w.name == name).map_or("?", |w| w.title);
    let failed = run.cells.iter().filter_map(|((workload, engine), cell)| match cell {
        Cell::Failed(failure) => Some(format!("{engine}, {}: {failure}", title(workload))),
        _ => None,
    });
    let cold = run.cold.iter().filter_map(|(engine, cell)| match cell {
        Cell::Failed(failure) => Some(format!("{engine}, process start: {failure}")),
        _ => None,
    });
    absent.chain(failed).chain(cold).collect()
}

const NOTES: &str = "\
- A time is the median of all calls of all rounds; a call ends when the device is done. Times of the two-layer net are those of 100 steps and \
one wait, divided by 100; of the others each step waits. *Captured* is the same step, recorded once and replayed.
- GB/s counts what has to be moved at least, however often an engine passes over it.
- Every engine has the same numbers, weights, losses and optimizers. A result is **WRONG** where its error passes what the second table \
allows: the norm of the difference over the norm of the right result, computed on the host in f64; for training, the largest relative \
error of the first five losses (of the 100th, for the two-layer net) against PyTorch's in f64. A time of a wrong result is of no use.
- candle's fast layer norm and softmax have no backward; training and the layer norm's row use its slow ones. meganeura works on static graphs, \
built before the clock runs. Engines without a lazy or recorded graph run tiny ops one by one in any case, and stand in that row.
- Device memory: what wgrad's pool held at most; what burn's allocator had reserved after a clean-up and further steps; what \
meganeura's session allocated. The builds are those of the engines' programs of this benchmark.
";

/// The page.
pub fn document(run: &Run, chart: &str) -> String {
    let mut page = String::new();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let _ = writeln!(page, "# wgrad and other engines on {}\n", run.adapter().unwrap_or("no adapter"));
    let _ = writeln!(
        page,
        "Written by `benches/peers/run`, {} rounds in iterations, {:.0} s. Host {}, {}, {cores} cores.\n",
        run.rounds,
        run.seconds,
        std::env::consts::OS,
        model.unwrap_or(std::env::consts::ARCH),
    );
    workloads(run, &mut page);
    let _ = writeln!(page, "\n![time against wgrad's]({chart})\n\n{NOTES}");
    let _ = writeln!(page, "## Errors of the results\n");
    errors(run, &mut page);
    let _ = writeln!(page, "\n## What ran where\n");
    for seat in &run.seats {
        if let Ok(device) = &seat.device {
            let _ = writeln!(page, "- {}: {device}", seat.info.title);
        }
    }
    for build in &run.builds {
        let _ = writeln!(page, "- clean build, {}: {}", build.engine, build.what);
    }
    let failures = failures(run);
    if !failures.is_empty() {
        let _ = writeln!(page, "\n## What failed\n");
        for failure in failures {
            let _ = writeln!(page, "- {}", failure.replace('\n', " "));
        }
    }
    page
}
