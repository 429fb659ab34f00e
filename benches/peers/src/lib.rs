//! wgrad and other engines on the same workloads.
//!
//! Every engine is a program of its own (`src/bin`), built with its own feature, that does what it is told on standard input
//! ([`serve`]). The driver (`src/bin/peers`) starts them all, lets them take turns on each workload, and writes a table and a chart.
//! All get the same numbers ([`inputs`]), and each one's results are checked against the host's ([`expect`]) before it is timed.

pub mod expect;
pub mod inputs;
pub mod serve;
pub mod workloads;
