//! The rules of the codebase, tested without any device: floors, shaders on disk, and plans.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod contracts;
mod floors;
mod graphs;
mod memory;
#[path = "../models/mod.rs"]
mod models;
mod mutations;
mod plans;
mod registry;
mod shaders;
mod snapshots;
mod targets;
