//! Einstein summation, mapped onto diagonals, permutations, products and batched `matmul`.

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::routine::check_dim;
use crate::shape::Shape;

/// A label of a dim: a letter, or a dim of the ellipsis, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// A value whose dims have labels, each at most once.
struct Labelled {
    value: Var,
    labels: Vec<Label>,
}

fn bad(detail: String) -> Error {
    Error::argument("einsum", detail)
}

/// The letters of a term in order, with `None` for the ellipsis.
fn parse(term: &str) -> Result<Vec<Option<char>>> {
    let mut out = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            if out.contains(&None) {
                return Err(bad(format!("term {term:?} has more than one ellipsis")));
            }
            out.push(None);
            rest = behind;
        } else if c.is_ascii_alphabetic() {
            out.push(Some(c));
            rest = &rest[1..];
        } else {
            return Err(bad(format!("term {term:?} has {c:?}, which is neither a letter nor \"...\"")));
        }
    }
    Ok(out)
}

/// Labels of the dims of an operand, or of the output with `rank` dims for its ellipsis.
fn spread(term: &[Option<char>], ellipsis: usize) -> Vec<Label> {
    term.iter()
        .flat_map(|part| match part {
            Some(c) => vec![Label::Letter(*c)],
            None => (0..ellipsis).rev().map(Label::Ellipsis).collect(),
        })
        .collect()
}

impl Labelled {
    fn size(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|l| *l == label).map(|d| self.value.shape()[d])
    }

    /// An operand with a diagonal taken for each label that it repeats.
    fn operand(value: &Var, term: &str, mut labels: Vec<Label>) -> Result<Labelled> {
        let mut value = value.clone();
        while let Some((a, b)) = (0..labels.len())
            .flat_map(|a| (a + 1..labels.len()).map(move |b| (a, b)))
            .find(|&(a, b)| labels[a] == labels[b])
        {
            let (m, n) = (value.shape()[a], value.shape()[b]);
            if m != n {
                let detail = format!("term {term:?} repeats a letter for dims of sizes {m} and {n}");
                return Err(Error::shape("einsum", detail, &[value.shape()]));
            }
            value = value.diagonal(0, a, b)?;
            let label = labels[a];
            labels.retain(|l| *l != label);
            labels.push(label);
        }
        Ok(Labelled { value, labels })
    }

    /// Sums over the dims whose label is not wanted.
    fn keep(self, wanted: impl Fn(Label) -> bool) -> Labelled {
        let dims: Vec<usize> = (0..self.labels.len()).filter(|&d| !wanted(self.labels[d])).collect();
        let labels = self.labels.iter().copied().filter(|l| wanted(*l)).collect();
        let value = if dims.is_empty() { self.value } else { self.value.sum(&dims, false) };
        Labelled { value, labels }
    }

    /// The dims in the order of `labels`, with size 1 for those that are not there.
    fn arranged(&self, labels: &[Label]) -> Var {
        let order: Vec<usize> = labels.iter().filter_map(|l| self.labels.iter().position(|own| own == l)).collect();
        let shape: Shape = labels.iter().map(|l| self.size(*l).unwrap_or(1)).collect();
        self.value.permute(&order).reshape(&shape)
    }

    /// The product of two values, summed over the labels that are not wanted afterwards.
    fn contract(self, other: Labelled, wanted: impl Fn(Label) -> bool) -> Labelled {
        let a = self.keep(|l| other.labels.contains(&l) || wanted(l));
        let b = other.keep(|l| a.labels.contains(&l) || wanted(l));
        let shared = |l: &Label| a.labels.contains(l) && b.labels.contains(l);
        let own = |v: &Labelled| -> Vec<Label> { v.labels.iter().copied().filter(|l| !shared(l)).collect() };
        let (rows, cols) = (own(&a), own(&b));
        let of = |keep: bool| a.labels.iter().copied().filter(|l| shared(l) && wanted(*l) == keep).collect::<Vec<_>>();
        let (batch, summed) = (of(true), of(false));
        let all = [&batch[..], &rows, &cols].concat();
        let count = |v: &Labelled, labels: &[Label]| -> usize { labels.iter().filter_map(|l| v.size(*l)).product() };
        let (m, n, k) = (count(&a, &rows), count(&b, &cols), count(&a, &summed));
        let floats = a.value.dtype().is_float() && a.value.dtype() == b.value.dtype();
        if !floats || summed.is_empty() || (m == 1 && n == 1) {
            // A product without sums, of integers, or of vectors: elementwise, and fused with its sum.
            let order = [&all[..], &summed].concat();
            let product = a.arranged(&order).mul(&b.arranged(&order));
            let dims: Vec<usize> = (all.len()..order.len()).collect();
            let value = if dims.is_empty() { product } else { product.sum(&dims, false) };
            return Labelled { value, labels: all };
        }
        let batches = count(&a, &batch);
        let left = a.arranged(&[&batch[..], &rows, &summed].concat()).reshape(&Shape::from([batches, m, k]));
        let right = b.arranged(&[&batch[..], &summed, &cols].concat()).reshape(&Shape::from([batches, k, n]));
        let sizes = batch.iter().chain(&rows).filter_map(|l| a.size(*l)).chain(cols.iter().filter_map(|l| b.size(*l)));
        Labelled { value: left.matmul(&right).reshape(&sizes.collect()), labels: all }
    }
}

impl Var {
    /// Sums of products of elements as the equation says, such as `"bij,bjk->bik"`: a letter for each dim of each operand;
    /// letters that the output lacks are summed over. See [`crate::Tensor::einsum`].
    ///
    /// # Errors
    /// [`Error::Argument`] for an equation that makes no sense, [`Error::Shape`] where operands do not fit it.
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Var]) -> Result<Var> {
        for v in operands {
            v.check()?;
        }
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (&text[..], None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != operands.len() {
            let (found, given) = (terms.len(), operands.len());
            return Err(bad(format!("{equation:?} has {found} terms for {given} operands")));
        }
        let parsed = terms.iter().map(|t| parse(t)).collect::<Result<Vec<_>>>()?;
        // Dims of the widest ellipsis; narrower ones broadcast from the right.
        let mut ellipsis = 0;
        for ((term, letters), v) in terms.iter().zip(&parsed).zip(operands) {
            let named = letters.iter().flatten().count();
            let rank = v.shape().rank();
            if named > rank || (named < rank && !letters.contains(&None)) {
                let detail = format!("term {term:?} names {named} dims of an operand of rank {rank}");
                return Err(Error::shape("einsum", detail, &[v.shape()]));
            }
            ellipsis = ellipsis.max(if letters.contains(&None) { rank - named } else { 0 });
        }
        let labels: Vec<Vec<Label>> = parsed
            .iter()
            .zip(operands)
            .map(|(letters, v)| spread(letters, v.shape().rank() - letters.iter().flatten().count()))
            .collect();
        let output = output_labels(equation, right, &labels, ellipsis)?;
        let mut values = operands
            .iter()
            .zip(&terms)
            .zip(&labels)
            .map(|((v, term), labels)| Labelled::operand(v, term, labels.clone()))
            .collect::<Result<Vec<_>>>()?;
        broadcast(&terms, &mut values)?;
        // Left to right; what no later term and not the output names is summed at once.
        let mut rest = values.into_iter().collect::<std::collections::VecDeque<_>>();
        let Some(mut total) = rest.pop_front() else {
            return Err(bad(format!("{equation:?} has no operands")));
        };
        while let Some(next) = rest.pop_front() {
            let wanted = |l: Label| output.contains(&l) || rest.iter().any(|v| v.labels.contains(&l));
            total = total.contract(next, wanted);
        }
        Ok(total.keep(|l| output.contains(&l)).arranged(&output))
    }

    /// Sums of products over pairs of dims: dim `dims.0[p]` of this value with dim `dims.1[p]` of the other. The result has this
    /// value's other dims, then the other's.
    ///
    /// # Errors
    /// Where the dims do not pair up.
    #[track_caller]
    pub fn tensordot(&self, other: &Var, dims: (&[usize], &[usize])) -> Result<Var> {
        self.check()?;
        other.check()?;
        if dims.0.len() != dims.1.len() {
            let detail = format!("dims {:?} and {:?} do not pair up", dims.0, dims.1);
            return Err(Error::argument("tensordot", detail));
        }
        for (v, dims) in [(self, dims.0), (other, dims.1)] {
            for (k, &d) in dims.iter().enumerate() {
                check_dim("tensordot", v.shape(), d)?;
                if dims[..k].contains(&d) {
                    return Err(Error::argument("tensordot", format!("dims {dims:?} name one dim twice")));
                }
            }
        }
        for (&a, &b) in dims.0.iter().zip(dims.1) {
            if self.shape()[a] != other.shape()[b] {
                let detail = format!("dims {a} and {b} have sizes {} and {}", self.shape()[a], other.shape()[b]);
                return Err(Error::shape("tensordot", detail, &[self.shape(), other.shape()]));
            }
        }
        let free = |v: &Var, dims: &[usize]| (0..v.shape().rank()).filter(|d| !dims.contains(d)).collect::<Vec<_>>();
        let (rows, cols) = (free(self, dims.0), free(other, dims.1));
        let pick = |v: &Var, dims: &[usize]| dims.iter().map(|&d| v.shape()[d]).collect::<Vec<_>>();
        let count = |v: &Var, dims: &[usize]| dims.iter().map(|&d| v.shape()[d]).product::<usize>();
        let k = count(self, dims.0);
        let left = self.permute(&[&rows[..], dims.0].concat()).reshape(&Shape::from([count(self, &rows), k]));
        let right = other.permute(&[dims.1, &cols[..]].concat()).reshape(&Shape::from([k, count(other, &cols)]));
        let out = [pick(self, &rows), pick(other, &cols)].concat();
        Ok(Var::einsum("ik,kj->ij", &[&left, &right])?.reshape(&Shape::from(out)))
    }
}

/// Labels of the output: as given, or the ellipsis and then every letter that occurs once, in alphabetical order.
fn output_labels(equation: &str, given: Option<&str>, inputs: &[Vec<Label>], ellipsis: usize) -> Result<Vec<Label>> {
    let occurrences = |l: Label| inputs.iter().flatten().filter(|other| **other == l).count();
    let Some(term) = given else {
        let mut letters: Vec<char> = inputs
            .iter()
            .flatten()
            .filter_map(|l| match l {
                Label::Letter(c) if occurrences(*l) == 1 => Some(*c),
                _ => None,
            })
            .collect();
        letters.sort_unstable();
        let lead = (0..ellipsis).rev().map(Label::Ellipsis);
        return Ok(lead.chain(letters.into_iter().map(Label::Letter)).collect());
    };
    let labels = spread(&parse(term)?, ellipsis);
    for (k, label) in labels.iter().enumerate() {
        if let Label::Letter(c) = label {
            if labels[..k].contains(label) {
                return Err(bad(format!("the output of {equation:?} names {c:?} twice")));
            }
            if occurrences(*label) == 0 {
                return Err(bad(format!("the output of {equation:?} names {c:?}, which no operand has")));
            }
        }
    }
    Ok(labels)
}

/// Checks that each label has one size; dims of size 1 where others are larger are dropped, which broadcasts them.
fn broadcast(terms: &[&str], values: &mut [Labelled]) -> Result<()> {
    let mut sizes: Vec<(Label, usize)> = Vec::new();
    for (term, v) in terms.iter().zip(values.iter()) {
        for (d, &label) in v.labels.iter().enumerate() {
            let size = v.value.shape()[d];
            match sizes.iter_mut().find(|(l, _)| *l == label) {
                None => sizes.push((label, size)),
                Some((_, known)) if *known == 1 => *known = size,
                Some((_, known)) if size == 1 || size == *known => {}
                Some((_, known)) => {
                    let name = match label {
                        Label::Letter(c) => format!("{c:?}"),
                        Label::Ellipsis(_) => "a dim of \"...\"".into(),
                    };
                    let detail = format!("term {term:?} has size {size} for {name}, which has size {known} before");
                    return Err(Error::shape("einsum", detail, &[v.value.shape()]));
                }
            }
        }
    }
    for v in values {
        let stretched = |l: &Label, size: usize| size == 1 && sizes.iter().any(|(other, s)| other == l && *s != 1);
        let keep: Vec<usize> = (0..v.labels.len()).filter(|&d| !stretched(&v.labels[d], v.value.shape()[d])).collect();
        if keep.len() < v.labels.len() {
            let shape: Shape = keep.iter().map(|&d| v.value.shape()[d]).collect();
            v.value = v.value.reshape(&shape);
            v.labels = keep.iter().map(|&d| v.labels[d]).collect();
        }
    }
    Ok(())
}
