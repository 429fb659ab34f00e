//! Prints the outcome, a line an op.

use crate::fixtures::Case;
use crate::replay::Outcome;

/// One op: how many cases, worst errors, whether a case was missed.
pub struct Line {
    pub op: String,
    pub cases: usize,
    errors: [f64; 4],
    tolerance: f64,
    misses: usize,
}

impl Line {
    pub fn new(cases: &[Case], gpu: &Outcome, cpu: &Outcome) -> Line {
        Line {
            op: cases[0].op.clone(),
            cases: cases.len(),
            errors: [gpu.forward, gpu.backward, cpu.forward, cpu.backward],
            tolerance: cases.iter().map(|case| case.class.forward().tolerance).fold(0.0, f64::max),
            misses: gpu.misses.len() + cpu.misses.len(),
        }
    }

    /// The worst error on the GPU and on the CPU, forward or backward.
    pub fn worst(&self) -> [f64; 2] {
        let [a, b, c, d] = self.errors;
        [a.max(b), c.max(d)]
    }

    pub fn missed(&self) -> bool {
        self.misses > 0
    }
}

/// The table, with the worst errors of the cases that are right.
pub fn print(lines: &[Line]) {
    let row = "------------------------------ ------ --------- --------- --------- --------- ---------";
    println!(
        "{:30} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "op", "cases", "GPU fwd", "GPU bwd", "CPU fwd", "CPU bwd", "allowed"
    );
    println!("{row}");
    for line in lines {
        let [a, b, c, d] = line.errors;
        let misses = if line.misses > 0 { format!("  {} misses", line.misses) } else { String::new() };
        println!("{:30} {:6} {a:9.1e} {b:9.1e} {c:9.1e} {d:9.1e} {:9.1e}{misses}", line.op, line.cases, line.tolerance);
    }
    println!("{row}");
    println!("{:30} {:6}", format!("{} ops", lines.len()), lines.iter().map(|line| line.cases).sum::<usize>());
}
