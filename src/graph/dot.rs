//! Pictures of the graph in Graphviz' DOT language.

use std::fmt::Write;

use crate::graph::kernel::Kernel;
use crate::graph::{Var, order};

/// What a picture calls a node: the op, or a scalar's value.
pub fn label(var: &Var) -> String {
    let node = &var.0;
    if node.op.is_source()
        && let Kernel::Scalar(value) = node.kernel()
    {
        return value.to_string();
    }
    node.op.name().to_owned()
}

/// The graph that `roots` depend on, with op, shape and type of every node.
pub fn to_dot(roots: &[Var]) -> String {
    let mut out = String::from("digraph wgrad {\n  rankdir=LR;\n  node [fontname=\"Helvetica\", fontsize=11];\n");
    for var in order::reachable(roots, |_| false) {
        let node = &var.0;
        let (shape, fill) = match (&node.grad_cell, node.op.is_source()) {
            (Some(_), _) => ("box", "#cfe8cf"),
            (None, true) => ("box", "#eeeeee"),
            (None, false) => ("ellipse", "#ffffff"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  n{} [label=\"{}\\n{} {}\", shape={shape}, style=filled, fillcolor=\"{fill}\"];",
            node.id,
            label(&var),
            node.meta.dtype,
            node.meta.shape
        );
        node.with_inputs(|inputs| {
            for input in inputs {
                let _ = writeln!(out, "  n{} -> n{};", input.0.id, node.id);
            }
        });
    }
    out.push_str("}\n");
    out
}
