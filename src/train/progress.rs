//! What a user sees while a model trains.

use std::time::Duration;

use crate::compiling;
use crate::train::History;

/// How the run stands.
pub struct Standing<'a> {
    /// Steps done.
    pub step: u64,
    /// The last figures.
    pub figures: &'a [(String, f64)],
    /// Steps a second since the last report.
    pub rate: f64,
}

/// The figures as one line.
pub fn line(figures: &[(String, f64)]) -> String {
    let figure = |(name, value): &(String, f64)| {
        let size = value.abs();
        if size != 0.0 && !(1e-3..1e6).contains(&size) {
            format!("{name} {value:.3e}")
        } else {
            format!("{name} {value:.4}")
        }
    };
    figures.iter().map(figure).collect::<Vec<_>>().join("  ")
}

fn time(seconds: f64) -> String {
    // Unknown rates give no time.
    if !seconds.is_finite() || seconds > 1e8 {
        return "?".into();
    }
    let s = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// What the bar says while kernels are compiled; nothing when they are.
#[cfg(any(feature = "train", test))]
fn compiling_text(done: usize, of: usize) -> String {
    if done < of { format!("compiling kernels {done}/{of}") } else { String::new() }
}

/// A progress bar or a dashboard on a terminal; elsewhere, and without the feature `train`, a line a report; or nothing.
pub struct Progress {
    steps: u64,
    quiet: bool,
    #[cfg(feature = "train")]
    bar: indicatif::ProgressBar,
    #[cfg(feature = "train")]
    dashboard: Option<crate::train::dashboard::Dashboard>,
}

impl Progress {
    #[cfg(feature = "train")]
    pub fn new(steps: u64, done: u64, quiet: bool, dashboard: bool) -> Progress {
        use indicatif::{ProgressBar, ProgressStyle};
        let dashboard = (dashboard && !quiet).then(|| crate::train::dashboard::Dashboard::open(steps, done)).flatten();
        let bar = if quiet || dashboard.is_some() { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}") {
            bar.set_style(style);
        }
        bar.set_position(done);
        bar.reset_elapsed();
        Progress { steps, quiet, bar, dashboard }
    }

    #[cfg(not(feature = "train"))]
    pub fn new(steps: u64, _done: u64, quiet: bool, _dashboard: bool) -> Progress {
        Progress { steps, quiet }
    }

    /// Shows kernels that are being compiled, while the guard lives.
    pub fn watch_compiling(&self) -> Option<compiling::Watch> {
        #[cfg(feature = "train")]
        if !self.bar.is_hidden() {
            let bar = self.bar.clone();
            return Some(compiling::watch(move |done, of| bar.set_message(compiling_text(done, of))));
        }
        None
    }

    /// One more step.
    pub fn step(&self) {
        #[cfg(feature = "train")]
        match &self.dashboard {
            Some(dashboard) => dashboard.step(),
            None => self.bar.inc(1),
        }
    }

    /// Shows figures.
    pub fn report(&self, standing: &Standing) {
        let left = time((self.steps.saturating_sub(standing.step)) as f64 / standing.rate);
        let speed = format!("{:.1} steps/s  {left} left", standing.rate);
        #[cfg(feature = "train")]
        if let Some(dashboard) = &self.dashboard {
            dashboard.report(&speed);
            return;
        }
        let text = format!("{}  {speed}", line(standing.figures));
        #[cfg(feature = "train")]
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            return;
        }
        if !self.quiet {
            println!("step {:>6}/{}  {text}", standing.step, self.steps);
        }
    }

    /// Shows all figures so far, where there is a dashboard.
    pub fn chart(&self, _history: &History) {
        #[cfg(feature = "train")]
        if let Some(dashboard) = &self.dashboard {
            dashboard.chart(_history);
        }
    }

    /// Says something beside the figures.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        #[cfg(feature = "train")]
        if let Some(dashboard) = &self.dashboard {
            dashboard.say(text);
            return;
        }
        #[cfg(feature = "train")]
        if !self.bar.is_hidden() {
            self.bar.println(text);
            return;
        }
        println!("{text}");
    }

    /// The run is over.
    pub fn finish(&self) {
        #[cfg(feature = "train")]
        match &self.dashboard {
            Some(dashboard) => dashboard.close(),
            None => self.bar.abandon(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_counted_while_they_are_compiled() {
        assert_eq!([compiling_text(12, 40), compiling_text(40, 40)], ["compiling kernels 12/40", ""]);
    }

    #[test]
    fn figures_and_times_are_readable() {
        let figures = [("loss".to_owned(), 1.23456), ("lr".to_owned(), 1e-5), ("zero".to_owned(), 0.0)];
        assert_eq!(line(&figures), "loss 1.2346  lr 1.000e-5  zero 0.0000");
        assert_eq!([time(59.9), time(61.0), time(7325.0), time(f64::INFINITY)], ["0:59", "1:01", "2:02:05", "?"]);
    }
}
