//! Training loops: a [`Trainer`] with a progress bar or a dashboard, a log, curves, checkpoints and Ctrl-C, and its parts, each of which works
//! alone.
//!
//! The progress bar, the dashboard, Ctrl-C and pictures need the cargo feature `train`; without it a trainer prints plain lines.

mod checkpoint;
#[cfg(feature = "train")]
mod dashboard;
mod finder;
mod goal;
mod history;
#[cfg(feature = "train")]
mod interrupt;
pub mod metric;
mod metrics;
#[cfg(feature = "train")]
pub mod plot;
mod progress;
mod supervised;
mod task;
mod trainer;
mod watch;

pub use checkpoint::{Checkpoint, Checkpoints, Latest};
pub use finder::{LrCurve, LrRange};
pub use goal::EarlyStopping;
pub use history::{History, Row};
pub use metrics::Metrics;
pub use supervised::Supervised;
pub use task::Task;
pub use trainer::{Outcome, Trainer};
