//! The house rules, tested without any device: floors, shaders on disk, and plans.

mod floors;
mod graphs;
mod memory;
#[path = "../models/mod.rs"]
mod models;
mod mutations;
mod plans;
mod registry;
mod shaders;
