//! The inner loop of a kernel, read from the listing of its instructions: those of RADV (AMD), ANV (Intel), NVK (NVIDIA) and Turnip
//! (Adreno). Counts are static: what a branch may leave out counts, and a loop inside counts once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The loop with the most multiply-adds; of several the one with the fewest instructions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// Its instructions.
    pub instructions: usize,
    /// Instructions that are multiply-adds.
    pub multiply_adds: usize,
    /// Multiply-adds that an invocation makes.
    pub per_invocation: f64,
    /// Bytes of workgroup memory that an invocation reads.
    pub workgroup_bytes: f64,
    /// Loads and stores of private memory.
    pub private: usize,
    /// Moves between registers.
    pub moves: usize,
}

impl Loop {
    /// Instructions a multiply-add instruction.
    pub fn instructions_each(&self) -> f64 {
        self.instructions as f64 / self.multiply_adds.max(1) as f64
    }

    /// The share of multiply-adds among the instructions.
    pub fn share(&self) -> f64 {
        self.multiply_adds as f64 / self.instructions.max(1) as f64
    }

    /// Bytes of workgroup memory a multiply-add.
    pub fn bytes_each(&self) -> f64 {
        self.workgroup_bytes / self.per_invocation.max(1.0)
    }
}

/// Whose listing it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    Amd,
    Intel,
    Nvidia,
    Adreno,
}

enum Item<'a> {
    Label(&'a str),
    /// An instruction: its name, its operands, the label that it jumps back to, and how often it runs in a row.
    Op(&'a str, &'a str, Option<&'a str>, usize),
}

/// The inner loop, where there is one with multiply-adds. `lanes` are those of a subgroup.
pub fn inner_loop(listing: &str, lanes: u32) -> Option<Loop> {
    let maker = maker(listing)?;
    let items: Vec<Item> = listing.lines().filter_map(|line| item(maker, line)).collect();
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mut best: Option<Loop> = None;
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Label(name) => {
                labels.entry(name).or_insert(at);
            }
            Item::Op(_, _, Some(target), _) => {
                let Some(&start) = labels.get(target) else { continue };
                let found = count(maker, &items[start..=at], lanes);
                let is_better = best.as_ref().is_none_or(|best| {
                    (found.multiply_adds, best.instructions) > (best.multiply_adds, found.instructions)
                });
                if found.multiply_adds > 0 && is_better {
                    best = Some(found);
                }
            }
            Item::Op(..) => {}
        }
    }
    best
}

fn maker(listing: &str) -> Option<Maker> {
    [("s_endpgm", Maker::Amd), ("align1", Maker::Intel), ("wt=0", Maker::Nvidia), ("(sy)", Maker::Adreno)]
        .into_iter()
        .find(|(mark, _)| listing.contains(mark))
        .map(|(_, maker)| maker)
}

fn item(maker: Maker, line: &str) -> Option<Item<'_>> {
    let bare = line.split(if maker == Maker::Nvidia { "//" } else { ";" }).next()?.trim();
    if let Some(name) = bare.strip_suffix(':').filter(|name| name.chars().all(char::is_alphanumeric)) {
        return Some(Item::Label(name));
    }
    if maker == Maker::Nvidia {
        if bare.starts_with("block") {
            return bare.split_whitespace().nth(2).map(Item::Label);
        }
        // Results stand in front of the operation, and a predicate in front of both.
        let operation = bare.rsplit(" = ").next()?;
        let operation =
            operation.strip_prefix('@').and_then(|rest| rest.split_once(' ')).map_or(operation, |rest| rest.1);
        let (name, operands) = split(operation.trim());
        let target = (name == "bra").then(|| operands.split_whitespace().last()).flatten();
        return name.starts_with(|c: char| c.is_ascii_lowercase()).then_some(Item::Op(name, operands, target, 1));
    }
    let (mut rest, mut times) = (bare, 1);
    // Flags and predicates in brackets; Adreno's instructions may be repeated for neighbouring registers.
    while let Some((flag, behind)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        rest = behind.trim_start();
        times += flag.strip_prefix("rpt").and_then(|more| more.parse().ok()).unwrap_or(0);
    }
    let (name, operands) = split(rest);
    let target = match maker {
        Maker::Amd => (name.starts_with("s_cbranch") || name == "s_branch").then(|| operands.trim()),
        Maker::Intel => (name.starts_with("while")).then(|| operands.split_whitespace().nth(1)).flatten(),
        _ => operands.split_once('#').map(|(_, label)| label.trim()),
    };
    // Messages of Intel's sends go on in a line of their own.
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && (maker != Maker::Intel || name.contains('(') || name == "sync");
    is_name.then_some(Item::Op(name, operands, target, times))
}

fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

fn count(maker: Maker, items: &[Item], lanes: u32) -> Loop {
    let mut found = Loop::default();
    for item in items {
        let Item::Op(name, operands, _, times) = item else { continue };
        for _ in 0..*times {
            match maker {
                Maker::Amd => amd(&mut found, name, operands),
                Maker::Intel => intel(&mut found, name, operands, lanes),
                Maker::Nvidia => nvidia(&mut found, name),
                Maker::Adreno => adreno(&mut found, name, operands),
            }
        }
    }
    found
}

fn multiply_add(found: &mut Loop, each: f64) {
    found.multiply_adds += 1;
    found.per_invocation += each;
}

fn amd(found: &mut Loop, name: &str, operands: &str) {
    // Two instructions that are issued together stand in one line.
    for (place, name) in
        std::iter::once(name).chain(operands.split("::").skip(1).map(|half| split(half.trim()).0)).enumerate()
    {
        found.instructions += usize::from(place == 0);
        let is_f32 = name.contains("_f32");
        if is_f32 && ["_fma_", "_fmac_", "_mac_", "_mad_", "_fmaak_", "_fmamk_"].iter().any(|kind| name.contains(kind))
        {
            multiply_add(found, if name.starts_with("v_pk") { 2.0 } else { 1.0 });
        } else if name.starts_with("ds_load") || name.starts_with("ds_read") {
            let width = [("b128", 16.0), ("b96", 12.0), ("b64", 8.0)].into_iter().find(|(kind, _)| name.contains(kind));
            let two = if name.contains("read2") || name.contains("2addr") { 2.0 } else { 1.0 };
            found.workgroup_bytes += two * width.map_or(4.0, |(_, bytes)| bytes);
        } else if name.starts_with("scratch") {
            found.private += 1;
        } else if name.starts_with("v_mov") || name.starts_with("v_dual_mov") {
            found.moves += 1;
        }
    }
}

fn intel(found: &mut Loop, name: &str, operands: &str, lanes: u32) {
    found.instructions += 1;
    let (name, width) = name.split_once('(').unwrap_or((name, ""));
    let width: f64 = width.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(1.0);
    if matches!(name, "mad" | "mac") && operands.contains("<1>F") {
        multiply_add(found, width / f64::from(lanes));
    } else if name == "mov" {
        found.moves += 1;
    }
}

fn nvidia(found: &mut Loop, name: &str) {
    found.instructions += 1;
    if name.starts_with("ffma") {
        multiply_add(found, 1.0);
    } else if name.starts_with("ld.shared") {
        let bits = name.rsplit(".b").next().and_then(|bits| bits.parse::<f64>().ok());
        found.workgroup_bytes += bits.unwrap_or(32.0) / 8.0;
    } else if name.contains(".local") {
        found.private += 1;
    } else if name == "mov" {
        found.moves += 1;
    }
}

fn adreno(found: &mut Loop, name: &str, operands: &str) {
    found.instructions += 1;
    if name.starts_with("mad.f32") {
        multiply_add(found, 1.0);
    } else if name.starts_with("ldl") {
        let words = operands.rsplit(',').next().and_then(|words| words.trim().parse::<f64>().ok());
        found.workgroup_bytes += 4.0 * words.unwrap_or(1.0);
    } else if name.starts_with("ldp") || name.starts_with("stp") {
        found.private += 1;
    } else if name.starts_with("mov") {
        found.moves += 1;
    }
}
