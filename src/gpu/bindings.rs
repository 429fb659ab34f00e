//! The cache of bind groups.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

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
    entries: HashMap<Key, Entry, BuildHasherDefault<Multiply>>,
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

/// A multiply-and-rotate hash: keys are small numbers that no attacker chooses, and the lookup is on the path of every
/// dispatch.
#[derive(Default)]
pub(super) struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[test]
    fn neighbouring_keys_hash_apart() {
        let hasher = BuildHasherDefault::<Multiply>::default();
        let hashes: HashSet<u64> = (0..1000)
            .map(|id| {
                hasher.hash_one(Key {
                    layout: 1,
                    generation: 1,
                    buffers: [(BufferId(id), 0, 256)].into_iter().collect(),
                })
            })
            .map(|hash| hash & 0xffff)
            .collect();
        assert!(hashes.len() > 900, "{}", hashes.len());
    }
}
