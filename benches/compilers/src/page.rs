//! The page: a table a target, and the budgets that are not kept.

use crate::Compiled;
use crate::budget::{family, misses};

/// Prints the page for targets and their kernels; whether all budgets are kept.
///
/// # Errors
/// Where a target has no kernels.
pub fn print(targets: &[(String, Vec<Compiled>)]) -> Result<bool, String> {
    println!("# What compilers make of the kernels\n");
    println!(
        "Written by `benches/compilers/run`; `benches/compilers/README.md` says what the columns mean and how far to trust them.\n"
    );
    println!("## The whole sample\n");
    println!(
        "| target | kernels | spilling | with private memory | slowest to compile | sum of compile times | budgets missed |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for (target, kernels) in targets {
        let missed = misses(target, kernels)?;
        let count = |test: &dyn Fn(&Compiled) -> bool| kernels.iter().filter(|kernel| test(kernel)).count();
        let slowest = kernels.iter().map(|kernel| kernel.ms).fold(0.0, f64::max);
        let sum: f64 = kernels.iter().map(|kernel| kernel.ms).sum();
        println!(
            "| {target} | {} | {} | {} | {slowest:.0} ms | {:.1} s | {} |",
            kernels.len(),
            count(&|kernel| kernel.figures().spills > 0),
            count(&|kernel| kernel.figures().private > 0),
            sum / 1e3,
            missed.len(),
        );
        all.extend(missed);
    }
    for (target, kernels) in targets {
        println!("\n## {target}\n");
        println!(
            "| kernel | registers | spills | private | occupancy | instructions | inner loop | share of multiply-adds | workgroup bytes a \
             multiply-add | compile time |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        for kernel in kernels.iter().filter(|kernel| kernel.kernel.starts_with("bench_")) {
            let figures = kernel.figures();
            let inner = kernel.inner.as_ref().filter(|inner| inner.multiply_adds > 7);
            let cell = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} ms |",
                family(&kernel.kernel),
                figures.registers,
                figures.spills,
                figures.private,
                figures.occupancy,
                figures.instructions,
                cell(inner.map(|inner| format!("{}, {:.2} each", inner.instructions, inner.instructions_each()))),
                cell(inner.map(|inner| format!("{:.2}", inner.share()))),
                cell(
                    inner.filter(|inner| inner.workgroup_bytes > 0.0).map(|inner| format!("{:.2}", inner.bytes_each()))
                ),
                kernel.ms,
            );
        }
    }
    println!("\n## Budgets that are not kept\n");
    all.iter().for_each(|line| println!("- {line}"));
    if all.is_empty() {
        println!("None.");
    }
    Ok(all.is_empty())
}
