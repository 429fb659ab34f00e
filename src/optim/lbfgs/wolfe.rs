//! A line search for a step that meets the strong Wolfe conditions (Nocedal & Wright, *Numerical Optimization*, 2006, algorithms 3.5
//! and 3.6; the constants and safeguards are PyTorch's, which are those of minFunc).

use crate::error::Result;

/// Sufficient decrease, and how much flatter the slope has to become.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;

/// A point along the line: how far, its value and slope, and what the caller keeps of it.
#[derive(Clone)]
pub struct Point<G> {
    pub t: f64,
    pub value: f64,
    pub slope: f64,
    pub gradient: G,
}

/// What the search found, and how often it evaluated.
pub struct Found<G> {
    pub point: Point<G>,
    pub evaluations: usize,
}

/// Searches from `start` (at 0) with a first step of `t`. `scale` is the largest element of the direction: brackets narrower than
/// `tolerance / scale` end the search.
pub fn search<G: Clone>(
    start: &Point<G>,
    t: f64,
    scale: f64,
    tolerance: f64,
    limit: usize,
    mut evaluate: impl FnMut(f64) -> Result<Point<G>>,
) -> Result<Found<G>> {
    let armijo = |point: &Point<G>| point.value > start.value + C1 * point.t * start.slope;
    let flat = |point: &Point<G>| point.slope.abs() <= -C2 * start.slope;
    let (mut previous, mut new) = (start.clone(), evaluate(t)?);
    let (mut evaluations, mut iterations) = (1, 0);
    // A bracket of two points around a good one, or one good point.
    let mut bracket: Option<[Point<G>; 2]> = None;
    while iterations < limit {
        if armijo(&new) || (iterations > 1 && new.value >= previous.value) {
            bracket = Some([previous.clone(), new.clone()]);
            break;
        }
        if flat(&new) {
            return Ok(Found { point: new, evaluations });
        }
        if new.slope >= 0.0 {
            bracket = Some([previous.clone(), new.clone()]);
            break;
        }
        let bounds = (new.t + 0.01 * (new.t - previous.t), new.t * 10.0);
        let next = cubic(&previous, &new, bounds);
        previous = std::mem::replace(&mut new, evaluate(next)?);
        evaluations += 1;
        iterations += 1;
    }
    let mut bracket = bracket.unwrap_or([start.clone(), new]);
    let lower = |bracket: &[Point<G>; 2]| if bracket[0].value <= bracket[1].value { (0, 1) } else { (1, 0) };
    let (mut low, mut high) = lower(&bracket);
    let mut stuck = false;
    while iterations < limit {
        let (left, right) = (bracket[0].t.min(bracket[1].t), bracket[0].t.max(bracket[1].t));
        if (right - left) * scale < tolerance {
            break;
        }
        let mut t = cubic(&bracket[0], &bracket[1], (left, right));
        // Close to an end of the bracket twice in a row, or beyond it: a tenth of the bracket inside.
        let margin = 0.1 * (right - left);
        if (right - t).min(t - left) < margin {
            if stuck || t >= right || t <= left {
                t = if (t - right).abs() < (t - left).abs() { right - margin } else { left + margin };
                stuck = false;
            } else {
                stuck = true;
            }
        } else {
            stuck = false;
        }
        let point = evaluate(t)?;
        evaluations += 1;
        iterations += 1;
        if armijo(&point) || point.value >= bracket[low].value {
            bracket[high] = point;
            (low, high) = lower(&bracket);
            continue;
        }
        let done = flat(&point);
        if !done && point.slope * (bracket[high].t - bracket[low].t) >= 0.0 {
            bracket[high] = bracket[low].clone();
        }
        bracket[low] = point;
        if done {
            break;
        }
    }
    let [first, second] = bracket;
    Ok(Found { point: if low == 0 { first } else { second }, evaluations })
}

/// Where the cubic through two points with their slopes is smallest, within bounds; the middle where it has no minimum.
fn cubic<G>(a: &Point<G>, b: &Point<G>, (least, most): (f64, f64)) -> f64 {
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    // NaN has no minimum either.
    if square.is_nan() || square < 0.0 {
        return (least + most) / 2.0;
    }
    let d2 = square.sqrt();
    let at = if a.t <= b.t {
        b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2))
    } else {
        a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2.0 * d2))
    };
    at.max(least).min(most)
}
