//! The elementwise table at special values, and in integers and booleans.

use wgrad::internals::rows;
use wgrad::internals::{Row, RowKind};
use wgrad::{DType, Device, Tensor};

use crate::common::*;
use crate::inputs::hardware;

const SPECIAL: [f64; 15] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1e-40,
    -1e-40,
    1e38,
    -1e38,
    88.0,
    -88.0,
    200.0,
    -200.0,
];

/// Every combination of special values, an operand a column; scalars get one value of their domain.
fn combinations(row: &Row, special: &[f64]) -> Vec<Vec<f64>> {
    let n = special.len();
    let count = n.pow(row.tensors as u32);
    let column = |k: usize| {
        if k >= row.tensors {
            return vec![f64::from(row.domain[k].1 as f32)];
        }
        let bit = row.kind == RowKind::Logical || (row.kind == RowKind::Select && k == 0);
        let value = |i: usize| special[i / n.pow(k as u32) % n];
        (0..count).map(|i| if bit { f64::from(u8::from(value(i) > 0.0)) } else { value(i) }).collect()
    };
    (0..row.args.len()).map(column).collect()
}

/// The op's value in f32 arithmetic, where an intermediate result may overflow.
fn in_f32(row: &Row, data: &[Vec<f64>]) -> Vec<f64> {
    let at = |i: usize| -> Vec<f32> { data.iter().map(|v| v[i % v.len()] as f32).collect() };
    (0..data[0].len()).map(|i| f64::from((row.reference.f32)(&at(i)))).collect()
}

/// The operands, and the op's value on them.
fn apply(row: &Row, data: &[Vec<f64>], device: &Device, leaf: bool) -> (Vec<Tensor>, Tensor) {
    let operand = |(k, v): (usize, &Vec<f64>)| {
        if k >= row.tensors {
            return Tensor::scalar(v[0] as f32, device);
        }
        let bit = row.kind == RowKind::Logical || (row.kind == RowKind::Select && k == 0);
        let tensor = tensor(v, &[v.len()], if bit { DType::Bool } else { DType::F32 }, device);
        if leaf && !bit { tensor.requires_grad() } else { tensor }
    };
    let operands: Vec<Tensor> = data.iter().enumerate().map(operand).collect();
    let y = operands[0].elementwise(row.name, &operands[1..].iter().collect::<Vec<_>>());
    (operands, y)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    NaN,
    Plus,
    Minus,
    Finite,
}

/// What a value is once it is an f32.
fn class(x: f64) -> Class {
    match x as f32 {
        x if x.is_nan() => Class::NaN,
        f32::INFINITY => Class::Plus,
        f32::NEG_INFINITY => Class::Minus,
        _ => Class::Finite,
    }
}

/// Shaders may take subnormal numbers for zeros.
fn flushed(data: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let flush = |&x: &f64| if x != 0.0 && x.abs() < f64::from(f32::MIN_POSITIVE) { x * 0.0 } else { x };
    data.iter().map(|v| v.iter().map(flush).collect()).collect()
}

/// Functions of large angles, where f32 shaders have no accuracy to speak of.
const PERIODIC: [&str; 3] = ["sin", "cos", "tan"];

#[test]
fn special_values_forward() {
    let mut failures = Vec::new();
    for row in rows() {
        let data = combinations(row, &SPECIAL);
        // The numbers that f32 holds, on both sides.
        let data: Vec<Vec<f64>> = data.into_iter().map(|v| v.iter().map(|&x| f64::from(x as f32)).collect()).collect();
        let found = values(&apply(row, &data, gpu(), false).1);
        let exact = values(&apply(row, &data, cpu(), false).1);
        let zeros = values(&apply(row, &flushed(&data), cpu(), false).1);
        // Where an intermediate product overflows in f32.
        let single = if row.tensors == 3 { in_f32(row, &data) } else { exact.clone() };
        for (i, &a) in found.iter().enumerate() {
            let fits = |b: f64| {
                let close = (a - b).abs() <= 1e-4 * b.abs().max(1e-30) || a == b || b.abs() < 1e-37 && a.abs() < 1e-36;
                let angle = PERIODIC.contains(&row.name) && data[0][i].abs() > 1e3;
                let bounded = a.abs() <= 1.001 || row.name == "tan";
                class(a) == class(b) && (class(a) != Class::Finite || close || angle && bounded)
            };
            if ![&exact, &zeros, &single].iter().any(|b| fits(b[i])) {
                let x: Vec<f64> = data.iter().map(|v| v[i % v.len()]).collect();
                failures.push(format!("{} at {x:?}: {a} instead of {}", row.name, exact[i]));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn special_values_backward() {
    let mut failures = Vec::new();
    for row in rows().iter().filter(|r| r.derivative.is_some()) {
        let finite: Vec<f64> =
            SPECIAL.into_iter().filter(|x| x.is_finite() && (*x == 0.0 || x.abs() > 1e-30)).collect();
        let data: Vec<Vec<f64>> =
            combinations(row, &finite).into_iter().map(|v| v.iter().map(|&x| f64::from(x as f32)).collect()).collect();
        let run = |device: &Device| {
            let (leaves, y) = apply(row, &data, device, true);
            y.backward_with(&y.ones_like()).unwrap();
            let read = |leaf: &Tensor| leaf.grad().map(|g| values(&g));
            (values(&y), leaves.iter().map(read).collect::<Vec<_>>())
        };
        let ((_, found), (value, expected)) = (run(gpu()), run(cpu()));
        for (k, (a, b)) in found.iter().zip(&expected).enumerate() {
            let (Some(a), Some(b)) = (a, b) else { continue };
            for i in 0..a.len() {
                // Where the value itself is beyond f32, so may be everything that follows from it.
                let settled = class(value[i]) == Class::Finite && class(b[i]) == Class::Finite;
                let close = (a[i] - b[i]).abs() <= 1e-4 * b[i].abs().max(1e-30) || b[i].abs() < 1e-30;
                let angle = PERIODIC.contains(&row.name) && data[0][i].abs() > 1e3;
                if settled && (class(a[i]) != Class::Finite || !(close || angle)) {
                    let x: Vec<f64> = data.iter().map(|v| v[i % v.len()]).collect();
                    let name = row.args[k];
                    failures.push(format!("{} by {name} at {x:?}: {} instead of {}", row.name, a[i], b[i]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Integers with the ends of the range among them.
fn integers(dtype: DType, rng: &mut Rng) -> Vec<f64> {
    match dtype {
        DType::I32 => {
            let mut v = vec![0.0, 1.0, -1.0, 2.0, -7.0, f64::from(i32::MAX), f64::from(i32::MIN), 65_536.0, 46_341.0];
            v.extend((0..4).map(|_| f64::from(rng.bits() as i32)));
            v
        }
        DType::U32 => {
            let mut v = vec![0.0, 1.0, 2.0, 7.0, f64::from(u32::MAX), 2_147_483_648.0, 65_536.0, 65_535.0];
            v.extend((0..4).map(|_| f64::from(rng.bits() as u32)));
            v
        }
        _ => vec![0.0, 1.0, 1.0, 0.0, 0.0],
    }
}

#[test]
fn integers_and_booleans_are_exact() {
    let mut failures = Vec::new();
    let mut rng = Rng(9);
    for row in rows() {
        let dtypes: &[DType] = match row.kind {
            RowKind::Number | RowKind::Compare => &[DType::I32, DType::U32],
            RowKind::Select => &[DType::I32, DType::U32, DType::Bool],
            _ => continue,
        };
        for &dtype in dtypes {
            let base = integers(dtype, &mut rng);
            let n = base.len();
            let run = |device: &Device, flip: bool| {
                let operand = |k: usize| {
                    if k >= row.tensors {
                        // The bounds of a clamp.
                        return Tensor::scalar(if k == 1 { 3.0 } else { 1000.0 }, device);
                    }
                    let bit = row.kind == RowKind::Select && k == 0;
                    let v: Vec<f64> = if bit { (0..n).map(|i| (i % 3 % 2) as f64).collect() } else { base.clone() };
                    let leaf = tensor(&v, &[n], if bit { DType::Bool } else { dtype }, device);
                    let leaf = if flip { leaf.flip(&[0]) } else { leaf };
                    // All pairs.
                    if k + 1 == row.tensors && k > 0 { leaf.unsqueeze(1) } else { leaf }
                };
                let operands: Vec<Tensor> = (0..row.args.len()).map(operand).collect();
                operands[0].elementwise(row.name, &operands[1..].iter().collect::<Vec<_>>())
            };
            for flip in [false, true] {
                let (a, b) = (run(gpu(), flip), run(cpu(), flip));
                let name = format!("{} of {dtype}", row.name);
                if a.dtype() != b.dtype() {
                    failures.push(format!("{name}: {} instead of {}", a.dtype(), b.dtype()));
                    continue;
                }
                let (a, b) = (values(&a), values(&b));
                if let Some(i) = (0..a.len()).find(|&i| a[i] != b[i]) {
                    let (x, y) = (base[i % n], base[i / n]);
                    failures.push(format!("{name}, flip {flip}, of {x} and {y}: {} instead of {}", a[i], b[i]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn casts_and_promotion() {
    let numbers = [0.0, -0.0, 0.5, -0.5, 1.9, -1.9, 3e9, -3e9, 5e9, f64::INFINITY, f64::NEG_INFINITY, 2_147_483_520.0];
    let types = [DType::F32, DType::I32, DType::U32, DType::Bool];
    for from in types {
        for to in types {
            let data: Vec<f64> = match from {
                DType::F32 => numbers.to_vec(),
                from => integers(from, &mut Rng(3)),
            };
            let run = |device: &Device| tensor(&data, &[data.len()], from, device).to_dtype(to);
            let (a, b) = (values(&run(gpu())), values(&run(cpu())));
            assert_eq!(a, b, "{from} to {to} of {data:?}");
        }
    }
    for name in ["div", "sqrt", "sigmoid", "atan2"] {
        let row = wgrad::internals::row(name).unwrap();
        let run = |device: &Device| {
            let x = tensor(&[1.0, 2.0, 3.0, 7.0], &[4], DType::I32, device);
            let y = tensor(&[4.0, 2.0, 3.0, 1.0], &[4], DType::U32, device).to_dtype(DType::I32);
            if row.tensors == 2 { x.elementwise(name, &[&y]) } else { x.elementwise(name, &[]) }
        };
        assert_eq!(run(gpu()).dtype(), DType::F32, "{name}");
        assert_close(name, &values(&run(gpu())), &values(&run(cpu())), 1e-6);
    }
}

/// The prelude's integer division, on which index arithmetic rests, against Rust's.
#[test]
fn quotients_are_exact() -> wgrad::Result<()> {
    let op = wgrad::custom::ElementwiseOp::new(
        "quotient_bits",
        "fn quotient_bits_fwd(n_high: f32, n_low: f32, d_high: f32, d_low: f32) -> f32 {
            let n = (u32(n_high) << 16u) | u32(n_low);
            let d = (u32(d_high) << 16u) | u32(d_low);
            let q = quotient(n, d);
            return select(0.0, 1.0, q == n / d && n - q * d < d);
        }",
    )?;
    const LARGEST: u64 = (1 << 31) - 1;
    let mut rng = Rng(3);
    let mut pairs: Vec<(u64, u64)> =
        vec![(0, 1), (LARGEST, 1), (LARGEST, LARGEST), (LARGEST - 1, LARGEST), (0, LARGEST)];
    for _ in 0..40_000 {
        // Of every length; multiples of d and their neighbours are the hard ones.
        let d = (rng.bits() & LARGEST) >> (rng.bits() % 31);
        let d = d.max(1);
        let q = (rng.bits() & LARGEST) >> (rng.bits() % 31);
        let n = (q % (LARGEST / d + 1)) * d;
        pairs.extend([(n, d), (n.saturating_sub(1), d), ((n + d - 1).min(LARGEST), d), (rng.bits() & LARGEST, d)]);
    }
    for device in [gpu(), hardware()] {
        let part = |f: &dyn Fn(&(u64, u64)) -> u64| {
            let values: Vec<f32> = pairs.iter().map(|pair| f(pair) as f32).collect();
            Tensor::from_slice(&values, [values.len()], device)
        };
        let operands = [part(&|p| p.0 >> 16), part(&|p| p.0 & 0xffff), part(&|p| p.1 >> 16), part(&|p| p.1 & 0xffff)];
        let right = op.apply(&operands.iter().collect::<Vec<_>>()).to_vec::<f32>()?;
        let wrong = right.iter().position(|&r| r != 1.0).map(|i| pairs[i]);
        assert_eq!(wrong, None);
    }
    Ok(())
}
