//! The table from an op's name in the fixtures to the call of this crate.

mod attention;
mod convolution;
mod elementwise;
mod functional;
mod movement;
mod network;
mod norm;
mod order;
mod pooling;
mod reduce;

use wgrad::{Device, Tensor};

use crate::attributes::Attributes;

/// Calls an op on the inputs of a case. The device is for ops without inputs.
pub type Run = fn(&[Tensor], &Attributes, &Device) -> Vec<Tensor>;

/// The call of the op of this name.
pub fn find(op: &str) -> Option<Run> {
    let tables = [
        elementwise::find,
        reduce::find,
        movement::find,
        network::find,
        attention::find,
        convolution::find,
        norm::find,
        order::find,
        pooling::find,
        functional::find,
    ];
    tables.iter().find_map(|find| find(op))
}
