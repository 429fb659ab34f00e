//! Explanations in print: totals first, then the kernels.

use std::fmt;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

use super::{Explanation, KernelReport, KernelTotals, StoredValue, micros, short};
use crate::plan::picture::size;

/// Rows of a table of totals, and lines of the list of kernels, that the short form prints.
const TOTALS: usize = 20;
const LIST: usize = 120;
/// Names that the short form prints in a line.
const NAMES: usize = 12;

/// What kernels of one name, or parts of kernels from one line, add up to.
#[derive(Default)]
struct Sum {
    kernels: usize,
    time: Option<f64>,
    bytes: f64,
    flops: f64,
}

impl Explanation {
    /// Totals by the name of kernels, the dearest first.
    pub fn by_kernel(&self) -> Vec<KernelTotals> {
        self.totals(|kernel| vec![kernel.name.as_str()])
    }

    /// Totals by the lines of the program, the dearest first. A kernel that computes ops of several lines counts for each of them by an equal
    /// part.
    pub fn by_line(&self) -> Vec<KernelTotals> {
        self.totals(|kernel| match kernel.lines.is_empty() {
            true => vec!["no line"],
            false => kernel.lines.iter().map(String::as_str).collect(),
        })
    }

    fn totals<'a>(&'a self, names: impl Fn(&'a KernelReport) -> Vec<&'a str>) -> Vec<KernelTotals> {
        let mut sums: HashMap<&str, Sum> = HashMap::new();
        let mut order = Vec::new();
        for kernel in &self.kernels {
            let names = names(kernel);
            let part = 1.0 / names.len() as f64;
            for name in names {
                let sum = sums.entry(name).or_insert_with(|| {
                    order.push(name);
                    Sum::default()
                });
                sum.kernels += 1;
                sum.bytes += part * kernel.bytes() as f64;
                sum.flops += part * kernel.flops.unwrap_or(0) as f64;
                if let Some(time) = kernel.time {
                    *sum.time.get_or_insert(0.0) += part * time.as_secs_f64();
                }
            }
        }
        let all_time: f64 = sums.values().filter_map(|sum| sum.time).sum();
        let all_bytes: f64 = sums.values().map(|sum| sum.bytes).sum();
        let share = |sum: &Sum| match all_time > 0.0 {
            true => sum.time.unwrap_or(0.0) / all_time,
            false => sum.bytes / all_bytes.max(f64::MIN_POSITIVE),
        };
        let total = |name: &str| {
            let sum = &sums[name];
            KernelTotals {
                name: name.to_owned(),
                kernels: sum.kernels,
                time: sum.time.map(Duration::from_secs_f64),
                bytes: sum.bytes.round() as u64,
                flops: sum.flops.round() as u64,
                share: share(sum),
            }
        };
        let mut totals: Vec<KernelTotals> = order.into_iter().map(total).collect();
        // What is equally dear stays in the order in which it ran.
        totals.sort_by(|a, b| b.share.total_cmp(&a.share));
        totals
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.kernels.len() == 1 { "" } else { "s" };
        let time = self.kernel_time().map_or(String::new(), |time| format!(" in {}", micros(time)));
        let (count, bytes, flops) = (self.kernels.len(), size(self.bytes()), self.flops());
        writeln!(f, "{}: {count} kernel{s}{time}, {bytes}, {flops} operations", self.device)?;
        writeln!(
            f,
            "{} plan: planned in {}, compiled in {}, run in {}; peak {}, workspace {}",
            if self.plan_reused { "known" } else { "new" },
            micros(self.planning),
            micros(self.compiling),
            micros(self.running),
            size(self.plan.peak_bytes),
            size(self.plan.workspace)
        )?;
        if !self.has_times {
            writeln!(f, "this adapter has no timestamps, so there are no times of kernels")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kernels.is_empty() {
            return writeln!(f, "{}: nothing to run, the value is there already", self.device);
        }
        self.head(f)?;
        let whole = f.alternate();
        if self.kernels.len() > 1 {
            table(f, "kernels by name", &self.by_kernel(), whole)?;
            table(f, "source lines", &self.by_line(), whole)?;
        }
        let details: Vec<Vec<String>> = self.kernels.iter().map(|kernel| details(kernel, whole)).collect();
        let detailed = whole || details.iter().map(|own| 1 + own.len()).sum::<usize>() <= LIST;
        let listed = if whole { usize::MAX } else { LIST };
        let width = self.kernels.iter().map(|k| k.name.chars().count()).max().unwrap_or(0).clamp(6, 40);
        writeln!(
            f,
            "{:>3}  {:<width$}  {:>10}  {:>10}  {:>8}  {:>12}  {:>8}  {:>10}",
            "#", "kernel", "time", "traffic", "GB/s", "operations", "GFLOP/s", "workgroups"
        )?;
        for (i, (kernel, details)) in self.kernels.iter().zip(details).enumerate().take(listed) {
            row(f, i + 1, width, kernel)?;
            if detailed {
                details.iter().try_for_each(|line| writeln!(f, "     {line}"))?;
            }
        }
        if self.kernels.len() > listed {
            writeln!(f, "and {} more", self.kernels.len() - listed)?;
        }
        if !detailed {
            writeln!(f, "{{:#}} prints all kernels with their ops, what they store and why they end, and the WGSL")?;
        }
        if whole { texts(f, &self.kernels) } else { Ok(()) }
    }
}

/// A table of totals.
fn table(f: &mut fmt::Formatter<'_>, title: &str, totals: &[KernelTotals], whole: bool) -> fmt::Result {
    let shown = if whole { totals.len() } else { totals.len().min(TOTALS) };
    let width = totals[..shown].iter().map(|t| t.name.chars().count()).max().unwrap_or(0).clamp(title.len(), 60);
    writeln!(
        f,
        "{:>6}  {title:<width$}  {:>7}  {:>10}  {:>10}  {:>14}",
        "share", "kernels", "time", "traffic", "operations"
    )?;
    for KernelTotals { name, kernels, time, bytes, flops, share } in &totals[..shown] {
        let (share, time) = (format!("{:.1} %", 100.0 * share), time.map_or("-".to_owned(), micros));
        writeln!(f, "{share:>6}  {name:<width$}  {kernels:>7}  {time:>10}  {:>10}  {flops:>14}", size(*bytes))?;
    }
    if totals.len() > shown {
        let rest: f64 = totals[shown..].iter().map(|total| total.share).sum();
        writeln!(f, "{:>6}  and {} more", format!("{:.1} %", 100.0 * rest), totals.len() - shown)?;
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, number: usize, width: usize, kernel: &KernelReport) -> fmt::Result {
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), short);
    writeln!(
        f,
        "{number:>3}  {:<width$}  {:>10}  {:>10}  {:>8}  {:>12}  {:>8}  {:>10}",
        kernel.name,
        kernel.time.map_or("-".to_owned(), micros),
        size(kernel.bytes()),
        figure(kernel.gigabytes_per_second()),
        kernel.flops.map_or("-".to_owned(), |flops| flops.to_string()),
        figure(kernel.gigaflops_per_second()),
        kernel.workgroups
    )
}

/// What a kernel computes, stores, and why it ends.
fn details(kernel: &KernelReport, whole: bool) -> Vec<String> {
    let listed = |names: &[String], with: &str| match names.len() > NAMES && !whole {
        true => format!("{}{with}and {} more", names[..NAMES].join(with), names.len() - NAMES),
        false => names.join(with),
    };
    let mut lines = vec![format!("ops: {}; from {}", listed(&kernel.ops, " "), listed(&kernel.lines, ", "))];
    for StoredValue { op, shape, dtype, bytes, reason } in &kernel.stored {
        lines.push(format!("stores {op} {dtype} {shape}, {}: {reason}", size(*bytes)));
    }
    lines.extend(kernel.ended.iter().map(|(consumer, reason)| format!("ends here: {consumer} {reason}")));
    lines
}

/// The text of each distinct kernel, with the numbers of the kernels that it is of.
fn texts(f: &mut fmt::Formatter<'_>, kernels: &[KernelReport]) -> fmt::Result {
    let mut numbers: HashMap<&str, Vec<String>> = HashMap::new();
    let mut order = Vec::new();
    for (i, kernel) in kernels.iter().enumerate().filter(|(_, kernel)| !kernel.wgsl.is_empty()) {
        let own = numbers.entry(&kernel.wgsl).or_default();
        if own.is_empty() {
            order.push(kernel);
        }
        own.push((i + 1).to_string());
    }
    for kernel in order {
        writeln!(f, "\n{} ({}):\n{}", kernel.name, numbers[kernel.wgsl.as_str()].join(", "), kernel.wgsl)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    /// A kernel of a name from some lines.
    fn kernel(name: &str, lines: &[&str], micros: Option<u64>, bytes: u64) -> KernelReport {
        KernelReport {
            name: name.into(),
            ops: vec!["add".into(); 30],
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            stored: vec![StoredValue {
                op: "add".into(),
                shape: Shape::from([4]),
                dtype: crate::DType::F32,
                bytes: 16,
                reason: crate::StoreReason::Asked,
            }],
            ended: Vec::new(),
            wgsl: format!("fn {name}() {{}}"),
            workgroups: 1,
            bytes_read: bytes,
            bytes_written: 0,
            flops: Some(10),
            time: micros.map(Duration::from_micros),
        }
    }

    fn explanation(kernels: Vec<KernelReport>) -> Explanation {
        Explanation { has_times: true, kernels, ..Explanation::new("device".into()) }
    }

    #[test]
    fn totals_add_up() {
        let kernels = vec![
            kernel("a", &["x.rs:1", "x.rs:2"], Some(30), 100),
            kernel("b", &["x.rs:2"], Some(60), 100),
            kernel("a", &["x.rs:3"], Some(10), 300),
        ];
        let timed = explanation(kernels.clone());
        let names = |totals: &[KernelTotals]| totals.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        let by_kernel = timed.by_kernel();
        assert_eq!(names(&by_kernel), ["b", "a"]);
        assert_eq!((by_kernel[1].kernels, by_kernel[1].bytes, by_kernel[1].flops), (2, 400, 20));
        assert!((by_kernel[0].share - 0.6).abs() < 1e-9);
        let by_line = timed.by_line();
        assert_eq!(names(&by_line), ["x.rs:2", "x.rs:1", "x.rs:3"]);
        assert_eq!(by_line[0].time, Some(Duration::from_micros(75)));
        assert!((by_line.iter().map(|t| t.share).sum::<f64>() - 1.0).abs() < 1e-9);
        // Without times the bytes decide.
        let untimed = explanation(kernels.into_iter().map(|k| KernelReport { time: None, ..k }).collect());
        assert_eq!(names(&untimed.by_kernel()), ["a", "b"]);
        assert!((untimed.by_kernel()[0].share - 0.8).abs() < 1e-9 && untimed.by_kernel()[0].time.is_none());
        assert!(untimed.to_string().contains("80.0 %"));
    }

    #[test]
    fn the_short_form_is_short_and_the_long_one_says_each_text_once() {
        for count in [1usize, 5, 70, 2000] {
            let make = |i: usize| kernel(&format!("k{}", i % 7), &[&format!("x.rs:{i}")], Some(i as u64), 64);
            let all = explanation((0..count).map(make).collect());
            let (short, long) = (all.to_string(), format!("{all:#}"));
            assert!(short.lines().count() < 200, "{} lines for {count} kernels", short.lines().count());
            assert!(!short.contains("fn k0()") && short.lines().all(|line| line.chars().count() < 200), "{short}");
            assert_eq!(long.matches("fn k0()").count(), 1);
            assert_eq!(long.matches("stores add").count(), count);
            assert_eq!(short.contains("source lines"), count > 1);
            if count > 1 {
                let at = |text: &str| short.find(text).unwrap();
                assert!(at("kernels by name") < at("source lines") && at("source lines") < at("workgroups"));
            }
            assert_eq!(short.contains("{:#} prints"), count > 40);
        }
    }
}
