//! What tells an op from another of its type: the hash of its fields, by which plans are found again.

use std::hash::{Hash, Hasher};

/// The fields of an op as a hash; every type that is [`Hash`] has it. An op derives `Hash`, so no field can be forgotten.
pub trait Structure {
    /// Feeds the fields to the hash.
    fn structure(&self, hash: &mut dyn Hasher);
}

impl<T: Hash> Structure for T {
    fn structure(&self, mut hash: &mut dyn Hasher) {
        self.hash(&mut hash);
    }
}

/// A number that a kernel is made for: hashed and compared by its bits.
///
/// ```
/// use wgrad::custom::Bits;
/// assert_eq!(Bits(f64::NAN), Bits(f64::NAN));
/// assert_ne!(Bits(0.0), Bits(-0.0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bits(pub f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Bits) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Bits {}

impl Hash for Bits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A field that is left out of the hash: it changes neither the kernel's text nor its grid nor shapes, or follows from other fields.
///
/// ```
/// use std::hash::{DefaultHasher, Hash, Hasher};
/// use wgrad::custom::Unhashed;
/// let mut hasher = DefaultHasher::new();
/// let empty = hasher.finish();
/// Unhashed("a note for messages").hash(&mut hasher);
/// assert_eq!(hasher.finish(), empty);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Unhashed<T>(pub T);

impl<T> Hash for Unhashed<T> {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn fields_count_but_for_those_left_out() {
        #[derive(Hash)]
        struct Roll {
            dim: usize,
            by: Bits,
            note: Unhashed<&'static str>,
        }
        let hash = |dim: usize, by: f64, note: &'static str| {
            let mut hasher = DefaultHasher::new();
            let op: &dyn Structure = &Roll { dim, by: Bits(by), note: Unhashed(note) };
            op.structure(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(0, 1.0, "here"), hash(0, 1.0, "there"));
        assert_ne!(hash(0, 1.0, ""), hash(1, 1.0, ""));
        assert_ne!(hash(0, 0.0, ""), hash(0, -0.0, ""));
    }
}
