//! The budgets of kernel families (`budgets.json`), and what each driver calls what they bound.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Compiled;

/// What the kernels of a family may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Registers spilt, at most.
    #[serde(default)]
    pub spills: u64,
    /// Bytes of private memory an invocation, at most.
    #[serde(default)]
    pub private: u64,
    /// Milliseconds to compile, at most.
    pub ms: f64,
    /// Registers of an invocation by target, at most.
    #[serde(default)]
    pub registers: BTreeMap<String, u64>,
    /// Share of multiply-adds in the inner loop by target, at least.
    #[serde(default)]
    pub share: BTreeMap<String, f64>,
}

/// The budgets by the beginning of a kernel's name; the longest one counts.
pub fn budgets() -> Result<BTreeMap<String, Budget>, String> {
    serde_json::from_str(include_str!("../budgets.json")).map_err(|e| format!("budgets.json: {e}"))
}

/// A kernel's name without the number that a file has in front.
pub fn family(kernel: &str) -> &str {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut rest = kernel.split_once('_').map_or(kernel, |(_, rest)| rest);
    while let Some((_, behind)) = rest.split_once('_').filter(|(first, _)| is_number(first)) {
        rest = behind;
    }
    rest
}

/// A driver's figures under one name each.
pub struct Figures {
    pub registers: u64,
    pub spills: u64,
    pub private: u64,
    pub occupancy: String,
    pub instructions: u64,
}

impl Compiled {
    fn number(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.statistics.get(*name)?.parse::<u64>().ok()).sum()
    }

    fn first(&self, names: &[&str]) -> u64 {
        names.iter().find_map(|name| self.statistics.get(*name)?.parse().ok()).unwrap_or(0)
    }

    /// Registers are those of a lane (VGPRs, live registers of a subgroup on Intel, GPRs, half-words on Apple, vec4s on Adreno).
    pub fn figures(&self) -> Figures {
        let occupancy = [
            ("Subgroups per SIMD", "waves a SIMD"),
            ("Max warps/SM", "warps an SM"),
            ("Threads", "threads a core"),
            ("Max Waves Per Core", "waves a core"),
        ]
        .into_iter()
        .find_map(|(name, unit)| Some(format!("{} {unit}", self.statistics.get(name)?)))
        .unwrap_or_else(|| format!("SIMD{}", self.lanes));
        Figures {
            registers: self.first(&["VGPRs", "Max live registers", "Number of GPRs", "GPRs", "Registers used"]),
            spills: self.number(&["Spilled VGPRs", "Spills", "Spills to memory"]),
            // Adreno counts accesses.
            private: self.number(&[
                "Scratch size",
                "Scratch Memory Size",
                "SLM size",
                "Scratch",
                "STP Count",
                "LDP Count",
            ]),
            occupancy,
            instructions: self.first(&["Instructions", "Instruction count", "Instruction Count"]),
        }
    }
}

/// Each budget that a kernel of a target does not keep.
pub fn misses(target: &str, kernels: &[Compiled]) -> Result<Vec<String>, String> {
    let budgets = budgets()?;
    if kernels.is_empty() {
        return Err(format!("{target}: no kernels"));
    }
    let mut found = Vec::new();
    for kernel in kernels {
        let mut miss = |what: String| found.push(format!("{target}: {}: {what}", kernel.kernel));
        if let Some(error) = &kernel.error {
            miss(error.clone());
            continue;
        }
        let family = family(&kernel.kernel);
        let own = budgets.iter().filter(|(name, _)| family.starts_with(name.as_str()));
        let budget = own.max_by_key(|(name, _)| name.len()).map(|(_, budget)| budget).ok_or("no budget for all")?;
        let figures = kernel.figures();
        if figures.spills > budget.spills {
            miss(format!("{} spills, {} allowed", figures.spills, budget.spills));
        }
        if figures.private > budget.private {
            miss(format!("{} of private memory, {} allowed", figures.private, budget.private));
        }
        if kernel.ms > budget.ms {
            miss(format!("{:.0} ms to compile, {:.0} allowed", kernel.ms, budget.ms));
        }
        if let Some(&most) = budget.registers.get(target).filter(|&&most| figures.registers > most) {
            miss(format!("{} registers, {most} allowed", figures.registers));
        }
        if let (Some(&least), Some(inner)) = (budget.share.get(target), &kernel.inner)
            && inner.share() < least
        {
            miss(format!("multiply-adds are {:.2} of the inner loop, at least {least:.2} wanted", inner.share()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_bound_what_drivers_report() {
        assert_eq!(family("bench_00_01_matmul_tiled"), "matmul_tiled");
        assert_eq!(family("sample_007_conv"), "conv");
        let statistics = [("VGPRs", "250"), ("Spilled VGPRs", "3"), ("Scratch size", "0")];
        let kernel = Compiled {
            kernel: "bench_00_01_matmul_tiled".into(),
            ms: 10.0,
            lanes: 64,
            statistics: statistics.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            inner: None,
            error: None,
        };
        assert_eq!(misses("rdna2", std::slice::from_ref(&kernel)).unwrap().len(), 2);
        assert!(misses("rdna2", &[Compiled { ms: 5000.0, ..kernel }]).unwrap().iter().any(|m| m.contains("5000 ms")));
        assert!(misses("rdna2", &[]).is_err());
    }
}
