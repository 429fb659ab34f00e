//! The structural hash: wide enough that equal hashes stand for equal structures.

use std::hash::{Hash, Hasher};

/// A 128-bit hash by two lanes of multiply-and-fold (the mixing step of wyhash), wide enough that equal hashes may be taken
/// for equal structures.
#[derive(Clone)]
pub struct StructuralHasher {
    lanes: [u64; 2],
}

impl Default for StructuralHasher {
    fn default() -> StructuralHasher {
        StructuralHasher { lanes: [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9] }
    }
}

impl StructuralHasher {
    fn mix(&mut self, word: u64) {
        const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        for (lane, key) in self.lanes.iter_mut().zip(KEYS) {
            let product = u128::from(*lane ^ word).wrapping_mul(u128::from(key | 1)).wrapping_add(u128::from(word));
            *lane = (product as u64) ^ ((product >> 64) as u64).rotate_left(29);
        }
    }

    /// The hash in full width.
    pub fn finish128(&self) -> u128 {
        let mut last = self.clone();
        last.mix(0x5851_f42d_4c95_7f2d);
        u128::from(last.lanes[0]) << 64 | u128::from(last.lanes[1])
    }
}

impl Hasher for StructuralHasher {
    fn finish(&self) -> u64 {
        self.finish128() as u64
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_ne_bytes(chunk.try_into().unwrap_or_default()));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_ne_bytes(last));
        }
        self.mix(bytes.len() as u64);
    }
    fn write_u8(&mut self, v: u8) {
        self.mix(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.mix(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        self.mix(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.mix(v as u64);
    }
}

/// The structural hash of a text.
pub fn hash_text(text: &str) -> u128 {
    let mut hash = StructuralHasher::default();
    text.hash(&mut hash);
    hash.finish128()
}
