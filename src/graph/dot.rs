//! Pictures of the graph in Graphviz' DOT language.

use std::fmt::Write;

use crate::graph::{Var, order};

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
            node.op.name(),
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
