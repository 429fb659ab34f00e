//! Values that drivers take out of arithmetic, although they may be infinite or NaN.
//!
//! Shaders may be rearranged as real numbers may: drivers make 0 of `x - x` and b of `(a + b) - a`, and 1 of `x / x`. IEEE 754 has NaN there
//! where what is taken out is infinite or NaN (or 0, of a quotient). Where code has such a form, the result is chosen by the bits of that
//! value, which no driver looks through.

use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

use crate::ir::group::{Inst, What};

/// Longest sum that is looked through.
const MOST_TERMS: usize = 16;

/// An instruction's value as a sum: of which earlier values, and whether each is negated.
type Terms = SmallVec<[(usize, bool); 2]>;

/// What a call computes: function, field and arguments.
type Key = (String, Option<&'static str>, SmallVec<[Terms; 4]>);

/// The values of the code so far as sums of others.
#[derive(Default)]
pub struct Sums {
    terms: Vec<Terms>,
    /// The first call of each kind, and whether its sign was turned to make it of the kind: a node that is read through two paths is
    /// computed twice.
    calls: HashMap<Key, (usize, bool)>,
}

impl Sums {
    /// Takes the next instruction; the functions of `prelude.wgsl` by which its value has to be chosen, and the values that they look at.
    pub fn add(&mut self, inst: &Inst) -> SmallVec<[(&'static str, usize); 1]> {
        let own = self.terms.len();
        let mut found = SmallVec::new();
        let mut terms: Terms = smallvec![(own, false)];
        match &inst.what {
            What::Copy(from) => terms = self.terms[*from].clone(),
            What::Call { function, field, args, .. } if function.trusted && inst.dtype.is_float() => {
                let (name, args) = (function.name.as_str(), &args[..]);
                let sum = match (name, field, args) {
                    ("add_fwd", _, &[a, b]) => Some(self.sum(&[(a, false), (b, false)])),
                    ("sub_fwd", _, &[a, b]) => Some(self.sum(&[(a, false), (b, true)])),
                    ("sub_bwd", Some("db"), &[dy]) => Some(self.sum(&[(dy, true)])),
                    ("neg_fwd" | "neg_bwd", _, &[x]) => Some(self.sum(&[(x, true)])),
                    _ => None,
                };
                if let Some(sum) = &sum {
                    for &(value, _) in sum.iter().filter(|&&(value, turned)| !turned && sum.contains(&(value, true))) {
                        if !found.contains(&("nan_unless_finite", value)) {
                            found.push(("nan_unless_finite", value));
                        }
                    }
                }
                // dy / b, and -dy / b * (a / b).
                let (dividends, divisor) = match (name, field, args) {
                    ("div_fwd", _, &[a, b]) => (smallvec![a], b),
                    ("div_bwd", Some("da"), &[.., b, dy]) => (smallvec![dy], b),
                    ("div_bwd", Some("db"), &[a, b, dy]) => (smallvec![a, dy], b),
                    _ => (SmallVec::<[usize; 2]>::new(), own),
                };
                if dividends.iter().any(|&dividend| self.terms[dividend] == self.terms[divisor]) {
                    found.push(("nan_unless_ratio", divisor));
                }
                terms = match sum.filter(|sum| sum.len() <= MOST_TERMS) {
                    // What is rounded or chosen is not looked through.
                    Some(sum) if found.is_empty() && inst.dtype == inst.dtype.register() => sum,
                    _ => self.alike(own, name, *field, args),
                };
            }
            _ => {}
        }
        self.terms.push(terms);
        found
    }

    /// The value of a call as the first one of its kind, or the negative of that: backward functions are linear in the upstream gradient,
    /// their last parameter.
    fn alike(&mut self, own: usize, name: &str, field: Option<&'static str>, args: &[usize]) -> Terms {
        let mut args: SmallVec<[Terms; 4]> = args.iter().map(|&arg| self.terms[arg].clone()).collect();
        let odd = match name {
            "mul_fwd" | "div_fwd" => 0..args.len(),
            _ if name.ends_with("_bwd") => args.len().saturating_sub(1)..args.len(),
            _ => 0..0,
        };
        let mut turned = false;
        for arg in &mut args[odd] {
            if let [(_, negated)] = &mut arg[..] {
                turned ^= std::mem::take(negated);
            }
        }
        let (first, was_turned) = *self.calls.entry((name.to_owned(), field, args)).or_insert((own, turned));
        smallvec![(first, turned != was_turned)]
    }

    fn sum(&self, parts: &[(usize, bool)]) -> Terms {
        let terms =
            |&(value, turned): &(usize, bool)| self.terms[value].iter().map(move |&(term, own)| (term, own != turned));
        parts.iter().flat_map(terms).collect()
    }
}
