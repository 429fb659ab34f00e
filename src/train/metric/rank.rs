//! Areas under curves, by ranks.

use crate::error::{Error, Result};

/// What orders the samples, and their classes.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    /// By class; one list where there are two classes.
    scores: Vec<Vec<f32>>,
    labels: Vec<usize>,
}

impl Ranks {
    /// Takes in the samples `used` of a batch.
    pub fn add(&mut self, scores: &[Vec<f32>], labels: &[i64], used: &[usize]) -> Result<()> {
        if self.scores.is_empty() {
            self.scores = vec![Vec::new(); scores.len()];
        }
        if self.scores.len() != scores.len() {
            let detail =
                format!("a batch has {} columns of scores, the ones before it {}", scores.len(), self.scores.len());
            return Err(Error::argument("Meter", detail));
        }
        for (all, new) in self.scores.iter_mut().zip(scores) {
            all.extend(used.iter().map(|&i| new[i]));
        }
        self.labels.extend(used.iter().map(|&i| labels[i] as usize));
        Ok(())
    }

    /// The area, or its mean over the classes that some samples have and some have not; NaN where there are none.
    pub fn auroc(&self) -> f64 {
        let areas: Vec<f64> = match &self.scores[..] {
            [one] => area(one, &self.labels, 1).into_iter().collect(),
            many => many.iter().enumerate().filter_map(|(class, scores)| area(scores, &self.labels, class)).collect(),
        };
        areas.iter().sum::<f64>() / areas.len() as f64
    }
}

/// The share of pairs (one of the class, one not) in the right order, ties by half (Mann & Whitney 1947). NaN scores make it NaN.
fn area(scores: &[f32], labels: &[usize], class: usize) -> Option<f64> {
    let positive = labels.iter().filter(|&&label| label == class).count();
    let negative = labels.len() - positive;
    if positive == 0 || negative == 0 {
        return None;
    }
    if scores.iter().any(|score| score.is_nan()) {
        return Some(f64::NAN);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut sum, mut start) = (0.0, 0);
    while start < order.len() {
        // −0 and 0 are equal, though not in the total order, where they are neighbours.
        let tied = order[start..].iter().take_while(|&&i| scores[i] == scores[order[start]]).count();
        let rank = start as f64 + (tied as f64 + 1.0) / 2.0;
        sum += rank * order[start..start + tied].iter().filter(|&&i| labels[i] == class).count() as f64;
        start += tied;
    }
    let (p, n) = (positive as f64, negative as f64);
    Some((sum - p * (p + 1.0) / 2.0) / (p * n))
}
