//! A certificate as text, Markdown and JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::{Certificate, Row, Section, Status};
use crate::caps::Caps;
use crate::error::{Error, Result};

/// What an adapter has, by name.
pub fn limits(caps: &Caps) -> Vec<(String, String)> {
    let bytes = |bytes: u64| match bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{} KiB", b >> 10),
        b => format!("{b} bytes"),
    };
    let yes = |has: bool| if has { "yes" } else { "no" }.to_owned();
    let rows = [
        ("largest binding", bytes(caps.max_binding)),
        ("largest buffer", bytes(caps.max_buffer)),
        ("storage buffers per kernel", caps.max_storage_buffers.to_string()),
        ("workgroups per dimension", caps.max_workgroups.to_string()),
        ("invocations per workgroup", caps.max_invocations.to_string()),
        ("workgroup memory", bytes(u64::from(caps.workgroup_memory))),
        ("subgroups", caps.subgroup.map_or_else(|| "no".to_owned(), |(low, high)| format!("{low} to {high} lanes"))),
        ("16-bit floats", yes(caps.f16)),
        ("cooperative matrices", caps.cooperative.map_or_else(|| "no".to_owned(), |side| format!("{side} × {side}"))),
        ("timestamps", yes(caps.timestamps)),
        ("software adapter", yes(caps.software)),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let number = |value: Option<f64>| match value {
            Some(value) if value == f64::MAX => "∞".to_owned(),
            Some(0.0) => "0".to_owned(),
            Some(value) => format!("{value:.1e}"),
            None => String::new(),
        };
        [self.name.clone(), self.status.to_string(), number(self.error), number(self.tolerance), self.note.clone()]
    }
}

/// The rows of each section.
fn sections(rows: &[Row]) -> BTreeMap<Section, Vec<&Row>> {
    let mut sections: BTreeMap<Section, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| sections.entry(row.section).or_default().push(row));
    sections
}

/// How many rows passed, failed, and were not offered.
fn counts<'a>(rows: impl IntoIterator<Item = &'a Row>) -> [usize; 3] {
    rows.into_iter().fold([0; 3], |mut counts, row| {
        counts[match row.status {
            Status::Passed => 0,
            Status::Failed => 1,
            Status::NotOffered => 2,
        }] += 1;
        counts
    })
}

/// A cell of a table in Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

impl Certificate {
    fn verdict(&self) -> String {
        let [passed, failed, missing] = counts(&self.rows);
        let word = if failed == 0 { "PASSED" } else { "FAILED" };
        format!("{word}: {passed} passed, {failed} failed, {missing} not offered, in {:.1} s", self.seconds)
    }

    fn facts(&self) -> Vec<(&str, String)> {
        let form = if self.quick { "short" } else { "whole" };
        let mut facts = vec![
            ("adapter", format!("{} ({}, {})", self.adapter, self.interface, self.kind)),
            ("driver", self.driver.clone()),
            ("system", self.system.clone()),
            ("versions", format!("wgrad {}, wgpu {}", self.wgrad, self.wgpu)),
            ("form", format!("{form}, seed {}", self.seed)),
        ];
        if !self.plain.is_empty() {
            facts.push(("plain kernels for", self.plain.join(", ")));
        }
        facts
    }

    /// The certificate as Markdown: what the device is, counts, everything that failed, then all rows.
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        line(&format!("# Certificate: {}\n\n**{}**\n", cell(&self.adapter), self.verdict()));
        line("| | |\n|---|---|");
        self.facts().iter().for_each(|(name, value)| line(&format!("| {name} | {} |", cell(value))));
        self.limits.iter().for_each(|(name, value)| line(&format!("| {name} | {value} |")));
        line("\n| section | passed | failed | not offered |\n|---|--:|--:|--:|");
        for (section, rows) in sections(&self.rows) {
            let [passed, failed, missing] = counts(rows);
            line(&format!("| {section} | {passed} | {failed} | {missing} |"));
        }
        let table = |line: &mut dyn FnMut(&str), rows: &[&Row]| {
            line("| what | status | worst error | allowed | found |\n|---|---|--:|--:|---|");
            rows.iter().for_each(|row| line(&format!("| {} |", row.cells().map(|text| cell(&text)).join(" | "))));
        };
        let failed: Vec<&Row> = self.failed().collect();
        if !failed.is_empty() {
            line("\n## Failed\n");
            table(&mut line, &failed);
        }
        for (section, rows) in sections(&self.rows) {
            line(&format!("\n## {section}\n"));
            table(&mut line, &rows);
        }
        out
    }

    /// The certificate as JSON.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists of those: nothing that JSON lacks. A row's error is finite.
        serde_json::to_string_pretty(self).expect("a certificate has only what JSON has")
    }

    /// Reads what [`Certificate::to_json`] has written.
    ///
    /// # Errors
    /// [`Error::Argument`] where the text is something else.
    pub fn from_json(text: &str) -> Result<Certificate> {
        serde_json::from_str(text).map_err(|error| Error::argument("Certificate::from_json", error.to_string()))
    }
}

impl fmt::Display for Certificate {
    /// What the device is, counts by section, rates, and everything that failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.facts() {
            writeln!(f, "{name:18} {value}")?;
        }
        let mut table = String::new();
        for (section, rows) in sections(&self.rows) {
            let [passed, failed, missing] = counts(rows.iter().copied());
            writeln!(table, "{section:18} {passed:4} passed {failed:4} failed {missing:4} not offered")?;
        }
        f.write_str(&table)?;
        for row in self.rows.iter().filter(|row| row.section == Section::Rates && row.status == Status::Passed) {
            writeln!(f, "{:34} {}", row.name, row.note)?;
        }
        for row in self.failed() {
            let [name, status, error, tolerance, note] = row.cells();
            let measured = if error.is_empty() { error } else { format!(" (error {error}, allowed {tolerance})") };
            writeln!(f, "{status}: {}: {name}{measured}: {note}", row.section)?;
        }
        f.write_str(&self.verdict())
    }
}
