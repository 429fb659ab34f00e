//! How well numbers are predicted.

use crate::Tensor;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Means and squares of the targets' columns, in f64.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    columns: Vec<Column>,
    rows: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Column {
    mean: f64,
    /// Squares around the mean, and of what predictions miss.
    around: f64,
    missed: f64,
}

impl Moments {
    /// Takes in a batch.
    pub fn add(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        let (shape, wanted) = (Shape::from(predictions.shape()), Shape::from(targets.shape()));
        if predictions.shape() != targets.shape() || targets.rank() == 0 {
            return Err(Error::shape("Meter", "R² needs predictions of the targets' shape [n, …]", &[&shape, &wanted]));
        }
        let rows = targets.shape()[0];
        let width = targets.numel() / rows.max(1);
        if !self.columns.is_empty() && self.columns.len() != width && rows > 0 {
            let detail = format!("a batch has {width} columns of targets, the ones before it {}", self.columns.len());
            return Err(Error::argument("Meter", detail));
        }
        self.columns.resize(width.max(self.columns.len()), Column::default());
        let (predicted, wanted) = (predictions.to_host()?.to_f64(), targets.to_host()?.to_f64());
        for row in 0..rows {
            self.rows += 1.0;
            for (c, column) in self.columns.iter_mut().enumerate() {
                let (y, t) = (predicted[row * width + c], wanted[row * width + c]);
                // Welford 1962: no cancellation far from 0.
                let before = t - column.mean;
                column.mean += before / self.rows;
                column.around += before * (t - column.mean);
                column.missed += (t - y).powi(2);
            }
        }
        Ok(())
    }

    /// The mean over the columns; `None` of no row.
    pub fn r2(&self) -> Option<f64> {
        let of = |column: &Column| match (column.around, column.missed) {
            (0.0, 0.0) => 1.0,
            (0.0, _) => 0.0,
            (around, missed) => 1.0 - missed / around,
        };
        (self.rows > 0.0 && !self.columns.is_empty())
            .then(|| self.columns.iter().map(of).sum::<f64>() / self.columns.len() as f64)
    }
}
