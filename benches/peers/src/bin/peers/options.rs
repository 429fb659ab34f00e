//! The driver's flags.

use std::path::PathBuf;

use crate::engines::{ENGINES, EngineInfo};

/// What the command line asks for.
pub struct Options {
    /// Prefixes of workloads; all where there are none.
    pub only: Vec<String>,
    /// Engines that take part.
    pub engines: Vec<&'static EngineInfo>,
    /// `ENGINE/WORKLOAD` pairs to leave out.
    pub skip: Vec<String>,
    /// Fewer rounds, no large matrices, no cold starts.
    pub quick: bool,
    /// Whether process starts with empty caches are measured.
    pub cold: bool,
    /// Where the engines' programs are.
    pub programs: PathBuf,
    /// The folder of `bench_torch.py`.
    pub scripts: PathBuf,
    /// The Python that runs it.
    pub python: String,
    /// Where the engines keep their caches of kernels from run to run.
    pub cache: PathBuf,
    /// A file of build figures, one JSON object a line.
    pub builds: Option<PathBuf>,
    /// The folder for table and chart.
    pub out: Option<PathBuf>,
}

impl Options {
    /// Reads the flags that `run` passes on.
    ///
    /// # Errors
    /// A text on what is wrong.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            only: Vec::new(),
            engines: ENGINES.iter().collect(),
            skip: Vec::new(),
            quick: false,
            cold: true,
            programs: PathBuf::from("."),
            scripts: PathBuf::from("."),
            python: "python3".into(),
            cache: std::env::temp_dir().join("wgrad-peers"),
            builds: None,
            out: None,
        };
        while let Some(flag) = args.next() {
            if flag == "--quick" {
                options.quick = true;
                options.cold = false;
                continue;
            }
            if flag == "--no-cold" {
                options.cold = false;
                continue;
            }
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            match flag.as_str() {
                "--only" => options.only = list(),
                "--engines" => options.engines = engines(&list())?,
                "--skip" => options.skip = list(),
                "--programs" => options.programs = value.into(),
                "--scripts" => options.scripts = value.into(),
                "--python" => options.python = value,
                "--cache" => options.cache = value.into(),
                "--builds" => options.builds = Some(value.into()),
                "--out" => options.out = Some(value.into()),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(options)
    }

    /// Whether a workload, or `cold` or `build`, is asked for.
    pub fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| workload.starts_with(prefix.as_str()))
    }

    /// Whether an engine leaves a workload out.
    pub fn skips(&self, engine: &str, workload: &str) -> bool {
        self.skip.iter().any(|pair| pair.split_once('/') == Some((engine, workload)))
    }
}

/// The engines of these names, in the table's order.
fn engines(names: &[String]) -> Result<Vec<&'static EngineInfo>, String> {
    if let Some(name) = names.iter().find(|n| ENGINES.iter().all(|e| e.name != n.as_str())) {
        let known: Vec<_> = ENGINES.iter().map(|e| e.name).collect();
        return Err(format!("no engine is called {name}; there are {}", known.join(", ")));
    }
    Ok(ENGINES.iter().filter(|e| names.iter().any(|n| n == e.name)).collect())
}
