//! The engines and how they are started.

use std::process::Command;

use crate::options::Options;

/// An engine.
pub struct EngineInfo {
    /// What flags call it.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// Its program, or `bench_torch.py`.
    pub program: &'static str,
    /// What the program is told.
    pub args: &'static [&'static str],
    /// Whether it has a column; the others' figures stand beside the targets.
    pub column: bool,
    /// Whether it computes on the adapter.
    pub gpu: bool,
    /// Colour of its bars.
    pub colour: &'static str,
}

/// All of them, in the table's order. The versions are those of `Cargo.toml`.
pub const ENGINES: [EngineInfo; 8] = [
    EngineInfo {
        name: "wgrad",
        title: "wgrad",
        program: "wgrad",
        args: &[],
        column: true,
        gpu: true,
        colour: "#1b6ca8",
    },
    EngineInfo {
        name: "captured",
        title: "wgrad, captured",
        program: "wgrad",
        args: &["--captured"],
        column: true,
        gpu: true,
        colour: "#74b3dd",
    },
    EngineInfo {
        name: "burn",
        title: "burn 0.22.1, wgpu",
        program: "burn",
        args: &[],
        column: true,
        gpu: true,
        colour: "#d1495b",
    },
    EngineInfo {
        name: "meganeura",
        title: "meganeura 0.3.0",
        program: "meganeura",
        args: &[],
        column: true,
        gpu: true,
        colour: "#7a5195",
    },
    EngineInfo {
        name: "candle",
        title: "candle 0.11.1, CPU",
        program: "candle",
        args: &[],
        column: true,
        gpu: false,
        colour: "#c9a227",
    },
    EngineInfo {
        name: "torch",
        title: "PyTorch, CPU",
        program: "bench_torch.py",
        args: &[],
        column: true,
        gpu: false,
        colour: "#6b8e23",
    },
    EngineInfo {
        name: "bare",
        title: "bare wgpu",
        program: "bare-wgpu",
        args: &[],
        column: false,
        gpu: true,
        colour: "#888888",
    },
    EngineInfo {
        name: "reference",
        title: "wgrad's CPU reference",
        program: "wgrad",
        args: &["--cpu"],
        column: false,
        gpu: false,
        colour: "#888888",
    },
];

impl EngineInfo {
    /// The command that starts it, without caches and folders.
    pub fn command(&self, options: &Options) -> Command {
        let mut command = if self.program.ends_with(".py") {
            let mut command = Command::new(&options.python);
            command.arg(options.scripts.join(self.program)).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        } else {
            Command::new(options.programs.join(self.program))
        };
        command.args(self.args);
        command
    }
}
