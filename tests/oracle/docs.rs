//! `docs/OPS.md`: the registry of ops with what the replay measured. `WGRAD_BLESS=1 cargo test --test oracle` writes it anew; without
//! it the test compares.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use wgrad::internals::registry::{Entry, Form, Gradient, Types, entries};

use crate::table::Line;

/// The last bit of an f32.
const LAST_BIT: f64 = 1.2e-7;

const HEAD: &str = "# Ops

Made from the registry (`src/ops/registry.rs`) and a replay of the fixtures of `tests/oracle` on lavapipe and on the CPU reference; a
test compares. Write it anew with `WGRAD_BLESS=1 cargo test --test oracle`.

- *types*: floats are f16 (where the adapter has it), f32, and f64 on the CPU reference; numbers are floats, i32 and u32; all are numbers and
  bool.
- *runs as*: elementwise ops and reductions fuse with their neighbours; a routine has kernels of its own, and elementwise consumers fuse
  into its last store; views cost nothing; composed ops are other ops, which fuse as they can.
- *gradients*: any: of any order, each built from differentiable ops.
- *worst error*: relative in the norm (elementwise ops: relative for each element) against PyTorch in f64 rounded to f32, over forward
  results and gradients, rounded up; exact where every bit agrees. A dash: no fixture, since the op is random or made of ops that have some.
";

fn types(types: Types) -> &'static str {
    match types {
        Types::Floats => "floats",
        Types::Numbers => "numbers",
        Types::All => "all",
        Types::Bools => "bool",
        Types::Integers => "integers",
        Types::Source => "",
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Elementwise => "elementwise",
        Form::Reduction => "reduction",
        Form::View => "view",
        Form::Routine => "routine",
        Form::Composed => "composed",
    }
}

fn files(files: &[&str]) -> String {
    files.iter().map(|file| format!("[{file}](../shaders/{file}.wgsl)")).collect::<Vec<_>>().join(", ")
}

/// An error rounded up to one digit.
fn rounded_up(error: f64) -> String {
    if error == 0.0 {
        return "exact".into();
    }
    let mut exponent = error.log10().floor() as i32;
    let mut digit = (error / 10f64.powi(exponent)).ceil() as i32;
    if digit == 10 {
        (digit, exponent) = (1, exponent + 1);
    }
    format!("{digit}e{exponent}")
}

/// The fixtures' name of an op.
fn fixture(entry: &Entry) -> &'static str {
    match entry.name {
        "is_close" => "isclose",
        name => name.trim_end_matches('_'),
    }
}

/// What the replay measured of an op: cases, and the worst errors on the GPU and on the CPU.
#[derive(Clone, Copy, Default)]
struct Measured {
    cases: usize,
    gpu: f64,
    cpu: f64,
}

/// The measurements by op; a variant of an op that has an entry counts as the op.
fn measured(lines: &[Line], all: &[Entry]) -> BTreeMap<String, Measured> {
    let mut out: BTreeMap<String, Measured> = BTreeMap::new();
    for line in lines {
        let known = |op: &str| all.iter().any(|e| fixture(e) == op);
        let base = line.op.strip_suffix("_dim").filter(|base| !known(&line.op) && known(base));
        let op = base.unwrap_or(&line.op);
        assert!(known(op), "{op} has fixtures and no entry in the registry");
        let sum = out.entry(op.into()).or_default();
        let [gpu, cpu] = line.worst();
        *sum = Measured { cases: sum.cases + line.cases, gpu: sum.gpu.max(gpu), cpu: sum.cpu.max(cpu) };
    }
    out
}

/// Whether the errors that a row states still hold. Another machine's arithmetic may round otherwise, so twice the error counts
/// as the same, and so does a last bit. The GPU column holds what lavapipe gives; other adapters keep to the tolerances.
fn holds(row: &str, found: Option<Measured>, adapter: &str) -> bool {
    let Some(found) = found else { return row.ends_with("| - | - |") };
    let mut cells = row.trim_end_matches(" |").rsplit(" | ");
    let gpu = if adapter.contains("llvmpipe") { found.gpu } else { 0.0 };
    [found.cpu, gpu].into_iter().all(|error| match cells.next() {
        Some("exact") => error <= LAST_BIT,
        Some(cell) => cell.parse::<f64>().is_ok_and(|stated| error <= (2.0 * stated).max(LAST_BIT)),
        None => false,
    })
}

/// The start of an op's row: what does not depend on the machine.
fn row(entry: &Entry, measured: Option<Measured>) -> String {
    let gradient = match entry.gradient {
        Gradient::None => "none",
        Gradient::Any => "any",
    };
    format!(
        "| `{}` | {} | {} | {} | {} | {gradient} | {}",
        entry.name,
        types(entry.types),
        form(entry.form),
        files(entry.forward),
        files(entry.backward),
        measured.map_or_else(|| "-".into(), |m| m.cases.to_string()),
    )
}

/// Compares `docs/OPS.md` with the registry and the replay, or writes it.
pub fn check(lines: &[Line], adapter: &str) {
    let all = entries();
    let measured = measured(lines, &all);
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("docs/OPS.md");
    let (mut text, mut family) = (HEAD.to_owned(), "");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let old: BTreeMap<&str, &str> =
        old.lines().filter_map(|l| Some((l.strip_prefix("| `")?.split('`').next()?, l))).collect();
    let mut stale = Vec::new();
    for entry in &all {
        if entry.family != family {
            family = entry.family;
            let _ = write!(
                text,
                "\n## {family}\n\n| op | types | runs as | forward | backward | gradients | cases | worst error, GPU | CPU |\n\
                 |---|---|---|---|---|---|---|---|---|\n"
            );
        }
        let found = measured.get(fixture(entry)).copied();
        let start = row(entry, found);
        let [gpu, cpu] = found.map_or(["-".into(), "-".into()], |m| [rounded_up(m.gpu), rounded_up(m.cpu)]);
        let _ = writeln!(text, "{start} | {gpu} | {cpu} |");
        match old.get(entry.name) {
            Some(line) if line.starts_with(&format!("{start} |")) && holds(line, found, adapter) => {}
            Some(line) => stale.push(format!("{line}\n    is now\n{start} | {gpu} | {cpu} |")),
            None => stale.push(format!("`{}` is missing", entry.name)),
        }
    }
    if std::env::var_os("WGRAD_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("docs/OPS.md lies in a folder")).expect("docs/ can be made");
        std::fs::write(&path, text).expect("docs/OPS.md can be written");
        return;
    }
    let advice = "docs/OPS.md is out of date; WGRAD_BLESS=1 cargo test --test oracle writes it anew";
    assert!(stale.is_empty() && old.len() == all.len(), "{advice}:\n{}", stale.join("\n"));
}
