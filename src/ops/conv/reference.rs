//! Convolution on the CPU: one element of the kernel after another, each a matrix product of channels.
//!
//! Where the kernel's element k meets x, the form of the folder is `Σ w_k[o, c] · x_k[c, n·p] · y[o, n·p]`, with `x_k[c, n·p] = x[n, c,
//! p·stride + k·dilation − padding]`, or 0 in the padding. Its derivatives with respect to y, w and x are three matrix products of the others,
//! in f64.

use ndarray::{ArrayD, IxDyn};

use crate::ops::conv::geometry::{Geometry, volume};
use crate::ops::matmul::{Matrices, multiply};
use crate::shape::Shape;

/// The result of x and w.
pub fn y(g: &Geometry, x: &[f64], w: &[f64]) -> Vec<f64> {
    let x = channels_first(g.batch, g.input_channels, x);
    let mut sums = vec![0.0; g.output_channels * g.batch * volume(&g.output)];
    for tap in taps(g) {
        let part = product(&tap.weights(g, w), &tap.seen(g, &x), &matrices(g, rows_out(g), columns(g)));
        sums.iter_mut().zip(part).for_each(|(sum, term)| *sum += term);
    }
    channels_first(g.output_channels, g.batch, &sums)
}

/// The gradient of the weight, of x and y.
pub fn w(g: &Geometry, x: &[f64], y: &[f64]) -> Vec<f64> {
    let x = channels_first(g.batch, g.input_channels, x);
    let y = matrix(g, rows_out(g), columns(g), channels_first(g.batch, g.output_channels, y));
    let size = volume(&g.kernel);
    let mut gradient = vec![0.0; g.output_channels * rows_in(g) * size];
    for tap in taps(g) {
        let seen = tap.seen(g, &x).permuted_axes(IxDyn(&[0, 2, 1]));
        let part = product(&y, &seen, &matrices(g, rows_out(g), rows_in(g)));
        part.into_iter().enumerate().for_each(|(i, value)| gradient[i * size + tap.index] = value);
    }
    gradient
}

/// The gradient of the input, of w and y.
pub fn x(g: &Geometry, w: &[f64], y: &[f64]) -> Vec<f64> {
    let y = matrix(g, rows_out(g), columns(g), channels_first(g.batch, g.output_channels, y));
    let (from, to) = (volume(&g.output), volume(&g.input));
    let mut sums = vec![0.0; g.input_channels * g.batch * to];
    for tap in taps(g) {
        let weights = tap.weights(g, w).permuted_axes(IxDyn(&[0, 2, 1]));
        let part = product(&weights, &y, &matrices(g, rows_in(g), columns(g)));
        for image in 0..g.input_channels * g.batch {
            tap.meets.iter().for_each(|&(q, p)| sums[image * to + q] += part[image * from + p]);
        }
    }
    channels_first(g.input_channels, g.batch, &sums)
}

/// Bytes that the three need for an element of the kernel, at most: what it sees of x and what the product gives, and where.
pub fn scratch_bytes(g: &Geometry) -> u64 {
    let images = g.batch.saturating_mul(g.input_channels.saturating_add(g.output_channels)) as u64;
    let positions = volume(&g.output) as u64;
    positions.saturating_mul(images.saturating_mul(8).saturating_add(size_of::<([usize; 3], (usize, usize))>() as u64))
}

/// The products of matrices as they lie.
fn product(a: &ArrayD<f64>, b: &ArrayD<f64>, shape: &Shape) -> Vec<f64> {
    multiply(Matrices::of(a), Matrices::of(b), shape)
}

/// An element of the kernel.
struct Tap {
    /// Where it lies in the kernel.
    index: usize,
    /// The positions of x that it meets, with those of y that it meets them for.
    meets: Vec<(usize, usize)>,
}

impl Tap {
    /// `w_k`: `[groups, outs, ins]` of w `[O, ins, kernel]`.
    fn weights(&self, g: &Geometry, w: &[f64]) -> ArrayD<f64> {
        let own = w.iter().skip(self.index).step_by(volume(&g.kernel)).copied().collect();
        matrix(g, rows_out(g), rows_in(g), own)
    }

    /// `x_k`: `[groups, ins, N · output]` of x `[C, N, input]`.
    fn seen(&self, g: &Geometry, x: &[f64]) -> ArrayD<f64> {
        let (from, to) = (volume(&g.input), volume(&g.output));
        let mut seen = vec![0.0; g.input_channels * g.batch * to];
        for image in 0..g.input_channels * g.batch {
            self.meets.iter().for_each(|&(q, p)| seen[image * to + p] = x[image * from + q]);
        }
        matrix(g, rows_in(g), columns(g), seen)
    }
}

/// The kernel's elements, in row-major order.
fn taps(g: &Geometry) -> impl Iterator<Item = Tap> {
    let outputs: Vec<[usize; 3]> = positions(g.output).collect();
    positions(g.kernel).enumerate().map(move |(index, k)| {
        let meet = |(at, p): (usize, &[usize; 3])| {
            let mut q = [0; 3];
            for d in 0..3 {
                let padded = p[d] * g.stride[d] + k[d] * g.dilation[d];
                q[d] = padded.checked_sub(g.padding[d]).filter(|&q| q < g.input[d])?;
            }
            Some(((q[0] * g.input[1] + q[1]) * g.input[2] + q[2], at))
        };
        Tap { index, meets: outputs.iter().enumerate().filter_map(meet).collect() }
    })
}

/// The positions of a volume, in row-major order.
fn positions([depth, height, width]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| [d, h, w])))
}

/// Input channels of a group.
fn rows_in(g: &Geometry) -> usize {
    g.input_channels / g.groups
}

/// Output channels of a group.
fn rows_out(g: &Geometry) -> usize {
    g.output_channels / g.groups
}

/// Positions of the output in the whole batch.
fn columns(g: &Geometry) -> usize {
    g.batch * volume(&g.output)
}

fn matrices(g: &Geometry, rows: usize, columns: usize) -> Shape {
    Shape::from([g.groups, rows, columns])
}

/// A matrix for each group.
fn matrix(g: &Geometry, rows: usize, columns: usize, values: Vec<f64>) -> ArrayD<f64> {
    // Invariant: callers pass as many values as the geometry says.
    ArrayD::from_shape_vec(IxDyn(&[g.groups, rows, columns]), values).expect("a value for each place")
}

/// `[a, b, …]` as `[b, a, …]`.
fn channels_first(a: usize, b: usize, values: &[f64]) -> Vec<f64> {
    let inner = values.len() / (a * b).max(1);
    (0..b).flat_map(|j| (0..a).flat_map(move |i| &values[(i * b + j) * inner..][..inner])).copied().collect()
}
