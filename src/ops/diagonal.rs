//! Diagonals and triangles of matrices. A diagonal is a slice of the matrix laid out as one row, whose step is one more than the
//! number of columns; so no kernel is needed, and the gradient of taking one is placing one.

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::routine::check_dim;
use crate::shape::Shape;

/// Rows and columns that diagonal `offset` leaves out in front.
fn start_of(offset: isize) -> (usize, usize) {
    if offset < 0 { (offset.unsigned_abs(), 0) } else { (0, offset.unsigned_abs()) }
}

impl Var {
    /// Moves dim `a` to the last but one and `b` to the last place.
    fn dims_last(&self, op: &str, a: usize, b: usize) -> Result<Var> {
        check_dim(op, self.shape(), a)?;
        check_dim(op, self.shape(), b)?;
        if a == b {
            return Err(Error::argument(op, format!("dim {a} of shape {} is named twice", self.shape())));
        }
        let others = (0..self.shape().rank()).filter(|&d| d != a && d != b);
        Ok(self.permute(&others.chain([a, b]).collect::<Vec<_>>()))
    }

    /// The elements whose index along `dim2` is `offset` more than along `dim1`, along a new last dim instead of both.
    ///
    /// # Errors
    /// [`Error::Argument`] where the dims are equal or out of range.
    #[track_caller]
    pub fn diagonal(&self, offset: isize, dim1: usize, dim2: usize) -> Result<Var> {
        self.check()?;
        let moved = self.dims_last("diagonal", dim1, dim2)?;
        let rank = moved.shape().rank();
        let (rows, cols) = (moved.shape()[rank - 2], moved.shape()[rank - 1]);
        let (row, col) = start_of(offset);
        let len = rows.saturating_sub(row).min(cols.saturating_sub(col));
        let lead = &moved.shape()[..rank - 2];
        let flat: Shape = lead.iter().copied().chain([rows.saturating_mul(cols)]).collect();
        let start = if len == 0 { 0 } else { row * cols + col };
        Ok(moved.reshape(&flat).slice(rank - 2, start, cols as isize + 1, len))
    }

    /// Matrices with the elements along the last dim on diagonal `offset`, zeros elsewhere; rows and columns become dims `dim1`
    /// and `dim2` of the result. The transpose of [`Var::diagonal`].
    ///
    /// # Errors
    /// [`Error::Argument`] where the dims are equal or out of range; [`Error::Shape`] for a scalar.
    #[track_caller]
    pub fn diag_embed(&self, offset: isize, dim1: usize, dim2: usize) -> Result<Var> {
        self.check()?;
        let rank = self.shape().rank();
        if rank == 0 {
            return Err(Error::shape("diag_embed", "a scalar has no dim to place", &[self.shape()]));
        }
        if dim1 > rank || dim2 > rank || dim1 == dim2 {
            let detail = format!("dims {dim1} and {dim2} are not two of the {} of the result", rank + 1);
            return Err(Error::argument("diag_embed", detail));
        }
        let len = self.shape()[rank - 1];
        let (row, col) = start_of(offset);
        let side = len.saturating_add(row + col);
        let lead = &self.shape()[..rank - 1];
        let matrix: Shape = lead.iter().copied().chain([side, side]).collect();
        if matrix.checked_numel().is_none() {
            return Err(Error::argument("diag_embed", format!("{matrix} has too many elements")));
        }
        let flat = self.pad_dim(rank - 1, row * side + col, side as isize + 1, side * side, 0.0);
        let square = flat.reshape(&matrix);
        // Rows and columns go where they are asked for, the other dims keep their order.
        let mut others = 0..rank - 1;
        let from = |d: usize| match d {
            d if d == dim1 => rank - 1,
            d if d == dim2 => rank,
            _ => others.next().unwrap_or(0),
        };
        Ok(square.permute(&(0..=rank).map(from).collect::<Vec<_>>()))
    }

    /// Of a vector the matrix with it on diagonal `offset`; of a matrix its diagonal `offset`.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other rank.
    #[track_caller]
    pub fn diag(&self, offset: isize) -> Result<Var> {
        self.check()?;
        match self.shape().rank() {
            1 => self.diag_embed(offset, 0, 1),
            2 => self.diagonal(offset, 0, 1),
            _ => Err(Error::shape("diag", "takes a vector or a matrix", &[self.shape()])),
        }
    }

    /// The sum of the main diagonal of a matrix.
    ///
    /// # Errors
    /// [`Error::Shape`] for any other rank.
    #[track_caller]
    pub fn trace(&self) -> Result<Var> {
        self.check()?;
        match self.shape().rank() {
            2 => Ok(self.diagonal(0, 0, 1)?.sum(&[0], false)),
            _ => Err(Error::shape("trace", "takes a matrix", &[self.shape()])),
        }
    }

    /// The lower triangle of the last two dims up to the `k`-th diagonal.
    ///
    /// # Errors
    /// [`Error::Shape`] where the rank is below two.
    #[track_caller]
    pub fn tril(&self, k: i32) -> Result<Var> {
        let (rows, cols) = self.matrix("tril")?;
        let mask = Var::generate_tril_mask(rows, cols, k, &self.0.context);
        Ok(mask.where_(self, &self.scalar_like(0.0)))
    }

    /// The upper triangle of the last two dims from the `k`-th diagonal on.
    ///
    /// # Errors
    /// [`Error::Shape`] where the rank is below two.
    #[track_caller]
    pub fn triu(&self, k: i32) -> Result<Var> {
        let (rows, cols) = self.matrix("triu")?;
        let mask = Var::generate_triu_mask(rows, cols, k, &self.0.context);
        Ok(mask.where_(self, &self.scalar_like(0.0)))
    }

    fn matrix(&self, op: &str) -> Result<(usize, usize)> {
        match self.shape()[..] {
            [.., rows, cols] => Ok((rows, cols)),
            _ => Err(Error::shape(op, "needs at least two dims", &[self.shape()])),
        }
    }
}
