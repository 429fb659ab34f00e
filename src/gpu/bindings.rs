//! The cache of bind groups.

use foldhash::{HashMap, HashSet};
use smallvec::SmallVec;

use super::pool::BufferId;

/// Entries kept at most. Past that the least recently used quarter goes.
const CAP: usize = 16 << 10;

/// What a bind group consists of. The generation is the arena's where the kernel has parameters, else 0.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub layout: u32,
    pub generation: u32,
    pub buffers: SmallVec<[(BufferId, u64, u64); 8]>,
}

struct Entry {
    group: wgpu::BindGroup,
    used: u64,
}

/// A `wgpu::BindGroup` keeps its buffers alive, so an entry goes when one of its buffers is given up: otherwise the memory
/// would not come back.
#[derive(Default)]
pub(super) struct BindGroups {
    entries: HashMap<Key, Entry>,
    clock: u64,
}

impl BindGroups {
    /// The cached group of `key`, or the one that `build` makes.
    pub(super) fn get(&mut self, key: Key, build: impl FnOnce() -> wgpu::BindGroup) -> &wgpu::BindGroup {
        self.clock += 1;
        if self.entries.len() >= CAP && !self.entries.contains_key(&key) {
            self.evict();
        }
        let used = self.clock;
        let entry = self.entries.entry(key).or_insert_with(|| Entry { group: build(), used });
        entry.used = used;
        &entry.group
    }

    /// Drops the entries that bind one of `buffers`.
    pub(super) fn forget(&mut self, buffers: &HashSet<BufferId>) {
        if !buffers.is_empty() {
            self.entries.retain(|key, _| !key.buffers.iter().any(|(id, ..)| buffers.contains(id)));
        }
    }

    /// Drops the entries that bind an arena of another generation.
    pub(super) fn forget_arenas_but(&mut self, generation: u32) {
        self.entries.retain(|key, _| key.generation == 0 || key.generation == generation);
    }

    /// Drops everything: after a failed run an entry may hold an invalid group.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    fn evict(&mut self) {
        let mut ages: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        let (_, &mut limit, _) = ages.select_nth_unstable(CAP / 4);
        self.entries.retain(|_, entry| entry.used > limit);
    }
}
