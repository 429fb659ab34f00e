//! Random numbers on the host that follow from a seed, on every machine.

/// Random numbers for changes of the data ([`Dataset::batch_with`](crate::data::Dataset::batch_with)): the same seed gives the same numbers on
/// every machine and with every version. SplitMix64 (Steele, Lea and Flood 2014): a mixed counter.
///
/// ```
/// use wgrad::data::Random;
/// let (mut a, mut b) = (Random::new(7), Random::new(7));
/// assert_eq!([a.unit(), a.unit()], [b.unit(), b.unit()]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Numbers that follow from several numbers, in this order, such as seed, epoch and batch.
    pub fn of(numbers: &[u64]) -> Random {
        // Each is mixed before the next is added, so that (1, 0) and (0, 1) are unrelated.
        let seed = numbers.iter().copied().reduce(|seed, number| mix(Random(seed).bits().wrapping_add(number)));
        Random(seed.unwrap_or(0))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A whole number below `bound`, each as likely; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number in `0.0..1.0`, a multiple of 2⁻²⁴.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A number between `low` and `high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number of the normal distribution with mean 0 and variance 1 (Box & Muller 1958).
    pub fn normal(&mut self) -> f32 {
        // 1 − u is above 0, so the logarithm is finite.
        let (u, v) = (f64::from(self.unit()), f64::from(self.unit()));
        ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }
}

/// The finalizer of SplitMix64.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_values() {
        let mut random = Random::new(1234567);
        let values = [random.bits(), random.bits(), random.bits()];
        assert_eq!(values, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }
}
