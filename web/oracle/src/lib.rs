//! The modules of `tests/oracle` that have nothing to do with where the cases are run.

#[path = "../../../tests/oracle/attributes.rs"]
pub mod attributes;
#[path = "../../../tests/oracle/fixtures.rs"]
pub mod fixtures;
#[path = "../../../tests/oracle/ops/mod.rs"]
pub mod ops;
#[path = "../../../tests/oracle/replay.rs"]
pub mod replay;
#[path = "../../../tests/oracle/tolerance.rs"]
pub mod tolerance;
