//! Pictures of the graph as SVG.
//!
//! A layered drawing: a node's column is its longest distance from the sources, so that edges run from left to right.

use std::collections::HashMap;
use std::fmt::Write;

use crate::graph::dot::label;
use crate::graph::{Var, order};

const COLUMN: usize = 170;
const ROW: usize = 62;
const WIDTH: usize = 130;
const HEIGHT: usize = 40;

/// The graph that `roots` depend on, with op, shape and type of every node.
pub fn to_svg(roots: &[Var]) -> String {
    let nodes = order::reachable(roots, |_| false);
    let mut column: HashMap<u64, usize> = HashMap::new();
    let mut rows: Vec<usize> = Vec::new();
    let mut place: HashMap<u64, (usize, usize)> = HashMap::new();
    for var in &nodes {
        let depth =
            var.0.with_inputs(|inputs| inputs.iter().filter_map(|i| column.get(&i.0.id)).max().map_or(0, |d| d + 1));
        column.insert(var.0.id, depth);
        if rows.len() <= depth {
            rows.resize(depth + 1, 0);
        }
        place.insert(var.0.id, (20 + depth * COLUMN, 20 + rows[depth] * ROW));
        rows[depth] += 1;
    }
    let width = 20 + rows.len() * COLUMN;
    let height = 20 + rows.iter().max().copied().unwrap_or(0) * ROW;
    let mut out = open(width, height);
    for var in &nodes {
        let node = &var.0;
        let (x, y) = place[&node.id];
        node.with_inputs(|inputs| {
            for (from_x, from_y) in inputs.iter().filter_map(|i| place.get(&i.0.id)) {
                out.push_str(&edge((from_x + WIDTH, from_y + HEIGHT / 2), (x, y + HEIGHT / 2)));
            }
        });
        let (radius, fill) = match (&node.grad_cell, node.op.is_source()) {
            (Some(_), _) => (4, "#cfe8cf"),
            (None, true) => (4, "#eeeeee"),
            (None, false) => (18, "#dce8f7"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"#555\"/>\n\
             <text x=\"{cx}\" y=\"{t1}\">{name}</text>\n<text x=\"{cx}\" y=\"{t2}\" fill=\"#555\" font-size=\"10\">{dtype} {shape}</text>",
            cx = x + WIDTH / 2,
            t1 = y + 17,
            t2 = y + 32,
            name = escape(&label(var)),
            dtype = node.meta.dtype,
            shape = node.meta.shape,
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The head of a picture of this size.
pub fn open(width: usize, height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"Helvetica, sans-serif\" font-size=\"12\" text-anchor=\"middle\">\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0,0L8,4L0,8z\" fill=\"#666\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    )
}

/// An arrow from the right side of one box to the left side of another.
pub fn edge((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let bend = (x1 + x2) / 2;
    format!(
        "<path d=\"M{x1},{y1} C{bend},{y1} {bend},{y2} {x2},{y2}\" fill=\"none\" stroke=\"#666\" marker-end=\"url(#arrow)\"/>\n"
    )
}

/// Text without the characters that mean something in XML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
