//! This crate against PyTorch: replays the cases of `fixtures/`, made by `generator/`, on a GPU adapter and on the CPU
//! reference, forward and backward. `README.md` beside this file describes format and tolerances.
//!
//! `WGRAD_ORACLE=softmax,matmul cargo test --test oracle -- --nocapture` runs the named ops only; a name with a star at its
//! end stands for all ops that begin so.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attributes;
mod docs;
mod fixtures;
mod ops;
mod replay;
mod second_order;
mod table;
mod tolerance;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fixtures::Case;
use replay::Outcome;
use table::Line;
use wgrad::{Device, Tensor};

/// Cases and ops that have to be replayed, so that none gets lost.
const CASES: usize = 3605;
const OPS: usize = 249;
/// How many of the cases are in f16.
const HALVES: usize = 75;

/// Misses of one op that are printed.
const SHOWN: usize = 4;

/// Whether `WGRAD_ORACLE` asks for the op.
fn asked(op: &str) -> bool {
    let Ok(filter) = std::env::var("WGRAD_ORACLE") else { return true };
    filter.split(',').map(str::trim).any(|name| match name.strip_suffix('*') {
        Some(start) => op.starts_with(start),
        None => op == name,
    })
}

/// All cases in the order of the index.
fn load() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/fixtures");
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let index = String::from_utf8(read("index.jsonl")).expect("the index is UTF-8");
    fixtures::parse(&index, |area| read(&format!("{area}.safetensors")))
}

fn replay(cases: &[Case], device: &Device) -> Outcome {
    pollster::block_on(replay::replay(&cases.iter().collect::<Vec<_>>(), device))
}

#[test]
fn every_op_agrees_with_pytorch() {
    let gpu = Device::gpu().unwrap_or_else(|error| {
        panic!(
            "{error}\nThis test needs a GPU adapter. A software one will do; on Debian: apt install mesa-vulkan-drivers"
        )
    });
    // The same adapter with the kernels that hardware GPUs get.
    let hardware = Device::gpu_with(true, |caps| caps.software = false).expect("the adapter opens a second time");
    let cpu = Device::cpu();
    let gpu_has_f16 = Tensor::from_slice(&[wgrad::f16::ONE], [1], &gpu).realize().is_ok();
    if !gpu_has_f16 {
        println!("this adapter has no f16: those cases run nowhere");
    }
    let mut by_op: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in load() {
        if ops::find(&case.op).is_some() && asked(&case.op) && (gpu_has_f16 || !case.is_half()) {
            by_op.entry(case.op.clone()).or_default().push(case);
        }
    }
    let cases: Vec<&[Case]> = by_op.values().map(Vec::as_slice).collect();
    let (on_gpu, on_cpu) = std::thread::scope(|scope| {
        let other = scope.spawn(|| cases.iter().map(|op| replay(op, &cpu)).collect::<Vec<_>>());
        let both = |op: &&[Case]| (replay(op, &gpu), replay(op, &hardware));
        let on_gpu: Vec<_> = cases.iter().map(both).collect();
        (on_gpu, other.join().expect("the thread of the CPU reference ends"))
    });

    let mut lines = Vec::new();
    let mut misses = Vec::new();
    for ((cases, (gpu, hardware)), cpu) in cases.iter().zip(on_gpu).zip(on_cpu) {
        for (device, outcome) in [("GPU", &gpu), ("GPU, hardware kernels,", &hardware), ("CPU", &cpu)] {
            let shown = outcome.misses.iter().take(SHOWN).map(|miss| format!("{device} {miss}"));
            misses.extend(shown);
            if outcome.misses.len() > SHOWN {
                misses.push(format!("{device} {}: {} more misses", cases[0].op, outcome.misses.len() - SHOWN));
            }
        }
        lines.push(Line::new(cases, &gpu.worse(hardware), &cpu));
    }
    table::print(&lines);
    assert!(
        misses.is_empty(),
        "{} ops differ from PyTorch:\n{}",
        lines.iter().filter(|l| l.missed()).count(),
        misses.join("\n")
    );
    if std::env::var("WGRAD_ORACLE").is_err() {
        let count: usize = by_op.values().map(Vec::len).sum();
        let halves = by_op.values().flatten().filter(|case| case.is_half()).count();
        assert_eq!(halves, if gpu_has_f16 { HALVES } else { 0 }, "cases in f16");
        assert!(
            count + (HALVES - halves) >= CASES && by_op.len() >= OPS,
            "only {count} cases of {} ops were replayed",
            by_op.len()
        );
        docs::check(&lines, &gpu.info().name);
    }
    assert!(!by_op.is_empty(), "WGRAD_ORACLE names no op that has cases");
}

/// Every op of the fixtures is known here.
#[test]
fn no_op_is_left_out_unnoticed() {
    let stored: BTreeSet<String> = load().into_iter().map(|case| case.op).collect();
    let unknown: Vec<&String> = stored.iter().filter(|op| ops::find(op).is_none()).collect();
    assert!(unknown.is_empty(), "fixtures of ops that tests/oracle/ops does not know: {unknown:?}");
}
