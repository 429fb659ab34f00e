//! Pictures of plans: a box for each kernel with the ops in it, and what it leaves in memory.

use std::collections::HashMap;
use std::fmt::Write;

use crate::graph::dot::label;
use crate::graph::svg;
use crate::ir::{Merged, Source, StoreReason};
use crate::plan::Cluster;

/// What an op in a cluster reads, views looked through.
enum Read {
    /// An op of the same cluster.
    Inside(usize),
    /// A value that an earlier cluster left in memory: the cluster, and the op.
    Stored(usize, usize),
    Leaf(usize),
    /// A number that travels as a parameter.
    Number(String),
}

/// Who stores what, and what each op reads.
struct Drawing<'a> {
    graph: &'a Merged,
    clusters: &'a [Cluster],
    /// The clusters that leave a node's value in memory, in order; several where it is computed again.
    makers: HashMap<usize, Vec<usize>>,
}

impl Drawing<'_> {
    fn new<'a>(graph: &'a Merged, clusters: &'a [Cluster]) -> Drawing<'a> {
        let mut makers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (c, cluster) in clusters.iter().enumerate() {
            cluster.stored.iter().for_each(|(i, _)| makers.entry(*i).or_default().push(c));
        }
        Drawing { graph, clusters, makers }
    }

    /// The cluster whose value of op `i` cluster `c` reads: the last before it.
    fn maker(&self, i: usize, c: usize) -> Option<usize> {
        let makers = self.makers.get(&i)?;
        makers.iter().rev().find(|&&maker| maker < c).or(makers.first()).copied()
    }

    fn reads(&self, c: usize, op: usize) -> Vec<Read> {
        let find = |&source: &Source| {
            let mut source = source;
            loop {
                match source {
                    Source::Leaf(l) => return Some(Read::Leaf(l)),
                    Source::Pending(i) if self.clusters[c].ops.contains(&i) => return Some(Read::Inside(i)),
                    Source::Pending(i) => {
                        if let Some(maker) = self.maker(i, c) {
                            return Some(Read::Stored(maker, i));
                        }
                        // What is neither computed here nor stored anywhere is a view, a number, or another op's value.
                        match (self.graph.representative(i), self.graph.inputs[i].first()) {
                            (Some(representative), _) => source = Source::Pending(representative),
                            (None, Some(input)) => source = *input,
                            (None, None) => return Some(Read::Number(label(&self.graph.nodes[i]))),
                        }
                    }
                }
            }
        };
        match self.graph.representative(op) {
            Some(representative) => find(&Source::Pending(representative)).into_iter().collect(),
            None => self.graph.inputs[op].iter().filter_map(find).collect(),
        }
    }

    /// The op, and the numbers that it takes.
    fn name(&self, c: usize, op: usize) -> String {
        let mut name = label(&self.graph.nodes[op]);
        for read in self.reads(c, op) {
            if let Read::Number(number) = read {
                let _ = write!(name, " {number}");
            }
        }
        name
    }

    fn reason(&self, c: usize, op: usize) -> Option<StoreReason> {
        self.clusters[c].stored.iter().find(|(i, _)| *i == op).map(|(_, reason)| *reason)
    }

    /// The computed values that clusters read, each once.
    fn leaves(&self) -> Vec<usize> {
        let mut leaves: Vec<usize> = Vec::new();
        for (c, cluster) in self.clusters.iter().enumerate() {
            for read in cluster.ops.iter().flat_map(|&op| self.reads(c, op)) {
                if let Read::Leaf(l) = read
                    && !leaves.contains(&l)
                {
                    leaves.push(l);
                }
            }
        }
        leaves
    }
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// Graphviz' DOT text: clusters hold the ops of a kernel, filled ops are stored. An op that several kernels compute
/// stands in each of them.
pub fn dot(graph: &Merged, clusters: &[Cluster]) -> String {
    let drawing = Drawing::new(graph, clusters);
    let mut out = String::from(
        "digraph plan {\n  rankdir=LR;\n  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=\"rounded\"];\n  \
         fontname=\"Helvetica\";\n",
    );
    // Writing to a String cannot fail, here and below.
    for l in drawing.leaves() {
        let meta = graph.leaves[l].meta();
        let _ = writeln!(
            out,
            "  l{l} [label=\"{}\\n{} {}\\n{}\", style=filled, fillcolor=\"#eeeeee\"];",
            quoted(&label(&graph.leaves[l])),
            meta.dtype,
            meta.shape,
            size(meta.bytes())
        );
    }
    for (c, cluster) in clusters.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{c} {{\n    label=\"{} {}\";", c + 1, quoted(&cluster.name));
        for &op in &cluster.ops {
            let meta = graph.nodes[op].meta();
            let stored = drawing.reason(c, op).map(|reason| (size(meta.bytes()), reason));
            let (style, note) = match stored {
                Some((bytes, reason)) => {
                    (", style=\"rounded,filled\", fillcolor=\"#f7e3b5\"", format!("\\nstored, {bytes}: {reason}"))
                }
                None => ("", String::new()),
            };
            let name = quoted(&drawing.name(c, op));
            let _ = writeln!(out, "    n{c}_{op} [label=\"{name}\\n{} {}{note}\"{style}];", meta.dtype, meta.shape);
        }
        out.push_str("  }\n");
    }
    for (c, cluster) in clusters.iter().enumerate() {
        for &op in &cluster.ops {
            for read in drawing.reads(c, op) {
                let from = match read {
                    Read::Inside(i) => format!("n{c}_{i}"),
                    Read::Stored(maker, i) => format!("n{maker}_{i}"),
                    Read::Leaf(l) => format!("l{l}"),
                    Read::Number(_) => continue,
                };
                let _ = writeln!(out, "  {from} -> n{c}_{op};");
            }
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The text, or as much of it as fits.
fn cut(text: &str, fit: usize) -> String {
    if text.chars().count() <= fit {
        return text.to_owned();
    }
    text.chars().take(fit - 1).chain(['…']).collect()
}

const COLUMN: usize = 390;
const WIDTH: usize = 330;
/// Characters of a line that fit a box.
const FIT: usize = 62;
/// Characters of a title, which is larger and bold.
const FIT_TITLE: usize = 44;
const LINE: usize = 15;
const GAP: usize = 22;

/// A box of the SVG: a title and lines; those with a fill are stored values.
struct Card {
    title: String,
    lines: Vec<(String, bool)>,
    leaf: bool,
    /// Cards that it reads.
    reads: Vec<usize>,
}

/// A layered drawing: one box for each kernel, with its ops in order; edges are values that travel through memory.
pub fn svg(graph: &Merged, clusters: &[Cluster]) -> String {
    let drawing = Drawing::new(graph, clusters);
    let leaves = drawing.leaves();
    let mut cards: Vec<Card> = leaves
        .iter()
        .map(|&l| {
            let meta = graph.leaves[l].meta();
            let line = format!("{} {}, {}", meta.dtype, meta.shape, size(meta.bytes()));
            Card { title: label(&graph.leaves[l]), lines: vec![(line, false)], leaf: true, reads: Vec::new() }
        })
        .collect();
    for (c, cluster) in clusters.iter().enumerate() {
        let (mut lines, mut reads) = (Vec::new(), Vec::new());
        for &op in &cluster.ops {
            let meta = graph.nodes[op].meta();
            lines.push((format!("{}  {} {}", drawing.name(c, op), meta.dtype, meta.shape), false));
            if let Some(reason) = drawing.reason(c, op) {
                lines.push((format!("stored, {}: {reason}", size(meta.bytes())), true));
            }
            for read in drawing.reads(c, op) {
                let card = match read {
                    Read::Leaf(l) => leaves.iter().position(|x| *x == l),
                    Read::Stored(maker, _) => Some(leaves.len() + maker),
                    Read::Inside(_) | Read::Number(_) => None,
                };
                if let Some(card) = card.filter(|card| !reads.contains(card)) {
                    reads.push(card);
                }
            }
        }
        cards.push(Card { title: format!("{} {}", c + 1, cluster.name), lines, leaf: false, reads });
    }
    // A box's column is its longest distance from the leaves; kernels read from earlier kernels only.
    let mut columns = vec![0; cards.len()];
    let mut bottoms: Vec<usize> = Vec::new();
    let mut tops = vec![0; cards.len()];
    let height = |card: &Card| 26 + card.lines.len() * LINE;
    for (i, card) in cards.iter().enumerate() {
        let first = usize::from(!card.leaf);
        columns[i] = card.reads.iter().map(|&r| columns[r] + 1).max().unwrap_or(0).max(first);
        if bottoms.len() <= columns[i] {
            bottoms.resize(columns[i] + 1, GAP);
        }
        tops[i] = bottoms[columns[i]];
        bottoms[columns[i]] += height(card) + GAP;
    }
    let mut out = svg::open(GAP + bottoms.len() * COLUMN, bottoms.iter().max().copied().unwrap_or(GAP));
    for (i, card) in cards.iter().enumerate() {
        for &from in &card.reads {
            let (x1, y1) = (GAP + columns[from] * COLUMN + WIDTH, tops[from] + height(&cards[from]) / 2);
            let (x2, y2) = (GAP + columns[i] * COLUMN, tops[i] + height(card) / 2);
            out.push_str(&svg::edge((x1, y1), (x2, y2)));
        }
    }
    for (i, card) in cards.iter().enumerate() {
        let (x, y, fill) = (GAP + columns[i] * COLUMN, tops[i], if card.leaf { "#eeeeee" } else { "#dce8f7" });
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{}\" rx=\"6\" fill=\"{fill}\" stroke=\"#555\"/>\n\
             <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            height(card),
            x + WIDTH / 2,
            y + 16,
            svg::escape(&cut(&card.title, FIT_TITLE))
        );
        for (k, (line, stored)) in card.lines.iter().enumerate() {
            let top = y + 20 + k * LINE;
            if *stored {
                let _ = writeln!(
                    out,
                    "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{LINE}\" fill=\"#f7e3b5\"/>",
                    x + 6,
                    top + 1,
                    WIDTH - 12
                );
            }
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"10\">{}</text>",
                x + WIDTH / 2,
                top + 12,
                svg::escape(&cut(line, FIT))
            );
        }
    }
    out.push_str("</svg>\n");
    out
}
