//! Compiles kernels with whatever Vulkan driver is there, and reports what became of them.
//!
//! ```text
//! compilers compile [--isa FOLDER] KERNEL.wgsl…   one line of JSON a kernel
//! compilers check TARGET RESULTS.jsonl            the budgets of one target
//! compilers page TARGET=RESULTS.jsonl…            a page in Markdown; fails where a budget is not kept
//! ```

mod budget;
mod driver;
mod isa;
mod page;

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What is known of a compiled kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compiled {
    /// The file's name.
    pub kernel: String,
    /// Processor time of compiling, in milliseconds.
    pub ms: f64,
    /// Lanes of a subgroup.
    pub lanes: u32,
    /// The driver's statistics under their own names.
    pub statistics: BTreeMap<String, String>,
    /// The loop with the most multiply-adds.
    pub inner: Option<isa::Loop>,
    /// Why there is nothing else.
    pub error: Option<String>,
}

/// The kernels of a file that `compile` has written.
fn read(path: &str) -> Result<Vec<Compiled>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| format!("{path}: {e}"))).collect()
}

fn run() -> Result<bool, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["compile", "--isa", folder, ref files @ ..] => driver::compile(files, Some(folder)).map(|()| true),
        ["compile", ref files @ ..] => driver::compile(files, None).map(|()| true),
        ["check", target, path] => {
            let found = budget::misses(target, &read(path)?)?;
            found.iter().for_each(|line| println!("{line}"));
            Ok(found.is_empty())
        }
        ["page", ref targets @ ..] => {
            let mut columns = Vec::new();
            for target in targets {
                let (name, path) = target.split_once('=').ok_or("TARGET=RESULTS.jsonl")?;
                columns.push((name.to_owned(), read(path)?));
            }
            page::print(&columns)
        }
        _ => Err("compile, check or page: see src/main.rs".into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
