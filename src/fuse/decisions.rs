//! What a plan within a memory budget takes over from the plan that it was made of.

/// Decisions per node of a graph in which some kernels run twice. Each value is computed by a kernel of the same arithmetic as before, and has
/// the same bits.
#[derive(Clone, Default)]
pub struct Decisions {
    /// The position of each node in the graph without copies.
    pub origin: Vec<usize>,
    /// For copies, where the first of those made together stands.
    pub copied: Vec<Option<usize>>,
    /// Which nodes are computed once, not by each of their readers.
    pub stored: Vec<bool>,
    /// A number for the kernel that computes each of those. Copies of a kernel have a number of their own.
    pub kernel: Vec<Option<usize>>,
    /// Whether that kernel leaves the value in memory.
    pub written: Vec<bool>,
    /// A number for the kernel over rows that the kernel is part of.
    pub row: Vec<Option<usize>>,
    /// Whether that one leaves the value in memory.
    pub beyond_row: Vec<bool>,
}

impl Decisions {
    /// Appends the decisions for a copy of node `i` of another graph.
    pub fn adopt(&mut self, from: &Decisions, i: usize) {
        self.origin.push(from.origin[i]);
        self.copied.push(None);
        self.stored.push(from.stored[i]);
        self.kernel.push(from.kernel[i]);
        self.written.push(from.written[i]);
        self.row.push(from.row[i]);
        self.beyond_row.push(from.beyond_row[i]);
    }
}
