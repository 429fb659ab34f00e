//! Rows about how the adapter computes: what ops promise of NaN, infinity, rounding and integers, and facts on which no promise depends.

use super::ops::{relative_error, values};
use super::{Row, Section, Status};
use crate::autograd::ElementwiseOp;
use crate::backend::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;

/// Numbers at which formulas break.
const SPECIAL: [f32; 16] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-30,
    1e30,
    88.0,
    -104.0,
];

/// Something that is computed of [`SPECIAL`], a matrix of four rows, and of the same in the opposite order.
type Probe = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

const PROBES: &[Probe] = &[
    ("NaN wins in the larger", |x, y| x.maximum(y)),
    ("NaN wins in the smaller", |x, y| x.minimum(y)),
    ("NaN wins in the largest of rows", |x, _| x.max_dims(&[1], false)),
    ("NaN wins in the smallest of columns", |x, _| x.min_dims(&[0], false)),
    ("place of the largest, with NaN", |x, _| x.argmax(1, false)),
    ("NaN is equal to nothing", |x, y| x.eq(y)),
    ("NaN is unlike everything", |x, y| x.ne(y)),
    ("NaN is not less", |x, y| x.lt(y)),
    ("NaN is not greater or equal", |x, y| x.ge(y)),
    ("NaN is known", |x, _| x.is_nan()),
    ("infinity is known", |x, _| x.is_inf()),
    ("finite numbers are known", |x, _| x.is_finite()),
    ("sums with infinities", |x, y| x + y),
    ("differences with infinities", |x, y| x - y),
    ("products with infinities", |x, y| x * y),
    ("quotients with zeros", |x, y| x / y),
    ("square roots", |x, _| x.sqrt()),
    ("exponentials that overflow", |x, _| x.exp()),
    ("logarithms of zero and less", |x, _| x.log()),
    ("hyperbolic tangent", |x, _| x.tanh()),
    ("sigmoid", |x, _| x.sigmoid()),
    ("ReLU", |x, _| x.relu()),
    ("GELU", |x, _| x.gelu()),
    ("softplus", |x, _| x.softplus()),
    ("bounds", |x, _| x.clamp(-1.0, 1.0)),
    ("signs", |x, _| x.sign()),
    ("whole numbers", |x, _| x.round()),
    ("sums of rows with NaN and infinity", |x, _| x.sum_dims(&[1], false)),
    ("softmax with infinity", |x, _| x.softmax(1)),
    ("log-sum-exp with infinity", |x, _| x.logsumexp_dims(&[0], false)),
    ("order with NaN", |x, _| x.sort(1, false).0),
    ("choice by a condition", |x, y| x.gt(0.0).where_(x, y)),
    ("products of matrices with NaN", |x, y| x.matmul(&y.t())),
];

/// All rows.
pub fn rows(device: &Device) -> Vec<Row> {
    let reference = Device::cpu();
    let mut rows: Vec<Row> = PROBES.iter().map(|probe| special(probe, device, &reference)).collect();
    rows.push(found("integers wrap", integers(device, &reference)));
    rows.push(found("floats to integers", to_integers(device, &reference)));
    rows.push(match device.caps().is_some_and(|caps| caps.f16) {
        true => found("rounding to 16-bit floats", halves(device)),
        false => {
            Row::new(Section::Numbers, "rounding to 16-bit floats", Status::NotOffered, "no 16-bit floats in shaders")
        }
    });
    rows.push(found("subnormal numbers", subnormal(device)));
    rows.push(found("a·b + c", contraction(device)));
    rows
}

/// A row of a probe that says what it found, or what is wrong.
fn found(name: &str, outcome: Result<(bool, String)>) -> Row {
    match outcome {
        Ok((true, note)) => Row::new(Section::Numbers, name, Status::Passed, note),
        Ok((false, note)) => Row::new(Section::Numbers, name, Status::Failed, note),
        Err(error) => Row::refused(Section::Numbers, name, &error),
    }
}

fn special((name, probe): &Probe, device: &Device, reference: &Device) -> Row {
    let run = |device: &Device| {
        let x = Tensor::from_slice(&SPECIAL, [4, 4], device);
        values(&probe(&x, &x.flip(&[0, 1])))
    };
    match (run(device), run(reference)) {
        (Ok(found), Ok(expected)) => {
            // One number at a time: a large one would hide the others.
            let errors = found.iter().zip(&expected).map(|(a, b)| relative_error(&[*a], &[*b]));
            let worst = errors.clone().fold(0.0, f64::max);
            let first = errors.clone().position(|error| error > 1e-4);
            let note = first.map_or_else(String::new, |i| format!("{} instead of {}", found[i], expected[i]));
            Row::measured(Section::Numbers, *name, worst, 1e-4, note)
        }
        (Err(error), _) | (_, Err(error)) => Row::refused(Section::Numbers, *name, &error),
    }
}

/// Sums, products and negation at the ends of the range.
fn integers(device: &Device, reference: &Device) -> Result<(bool, String)> {
    let run = |device: &Device| -> Result<(Vec<i32>, Vec<u32>)> {
        let x = Tensor::from_slice(&[i32::MAX, i32::MIN, 123_456_789, -5], [4], device);
        let y = Tensor::from_slice(&[1, -1, 987_654_321, i32::MIN], [4], device);
        let (u, v) = (
            Tensor::from_slice(&[0u32, u32::MAX, 7], [3], device),
            Tensor::from_slice(&[1u32, 2, 3_000_000_000], [3], device),
        );
        let signed = [&x + &y, &x - &y, &x * &y, x.neg()];
        let unsigned = [&u + &v, &u - &v, &u * &v];
        let signed: Vec<Vec<i32>> = signed.iter().map(Tensor::to_vec::<i32>).collect::<Result<_>>()?;
        let unsigned: Vec<Vec<u32>> = unsigned.iter().map(Tensor::to_vec::<u32>).collect::<Result<_>>()?;
        Ok((signed.concat(), unsigned.concat()))
    };
    let (found, expected) = (run(device)?, run(reference)?);
    Ok((
        found == expected,
        if found == expected { String::new() } else { format!("{found:?} instead of {expected:?}") },
    ))
}

/// Fractions are cut off.
fn to_integers(device: &Device, reference: &Device) -> Result<(bool, String)> {
    let run = |device: &Device| {
        let x = Tensor::from_slice(&[1.9f32, -1.9, 0.0, 16_777_216.0, -2_000_000_000.0, 0.99], [6], device);
        x.to_dtype(DType::I32).to_vec::<i32>()
    };
    let (found, expected) = (run(device)?, run(reference)?);
    Ok((
        found == expected,
        if found == expected { String::new() } else { format!("{found:?} instead of {expected:?}") },
    ))
}

/// Halfway cases, numbers that overflow, and subnormal ones.
fn halves(device: &Device) -> Result<(bool, String)> {
    const GIVEN: [f32; 10] =
        [2049.0, 2051.0, 1.000_488_3, 1.001_464_8, 65_504.0, 65_519.0, 65_520.0, 1e-7, 3e-8, -2049.0];
    let found = Tensor::from_slice(&GIVEN, [GIVEN.len()], device).to_dtype(DType::F16).to_vec::<half::f16>()?;
    let wanted = GIVEN.map(half::f16::from_f32);
    let near = |(a, b): (&half::f16, &half::f16)| a == b || a.to_bits().abs_diff(b.to_bits()) <= 1;
    let exact = found == wanted;
    let right = found.iter().zip(&wanted).all(near);
    let note = match (exact, right) {
        (true, _) => "to the nearest, ties to even".to_owned(),
        (false, true) => format!("within one unit in the last place: {found:?}"),
        (false, false) => format!("{found:?} instead of {wanted:?}"),
    };
    Ok((right, note))
}

/// What a function of one number that the compiler cannot know gives.
fn raw(name: &str, source: &str, inputs: &[f32], device: &Device) -> Result<f32> {
    let op = ElementwiseOp::new(name, source)?;
    let inputs: Vec<Tensor> = inputs.iter().map(|&x| Tensor::from_slice(&[x], [1], device)).collect();
    op.apply(&inputs.iter().collect::<Vec<_>>()).item::<f32>()
}

/// Whether numbers below 2⁻¹²⁶ are kept: a fact; no op depends on it.
fn subnormal(device: &Device) -> Result<(bool, String)> {
    let given = f32::from_bits(0x0010_0000);
    let product = raw(
        "certify_product",
        "fn certify_product_fwd(x: f32, y: f32) -> f32 { return x * y; }",
        &[f32::MIN_POSITIVE, 0.125],
        device,
    )?;
    let passed =
        raw("certify_sum", "fn certify_sum_fwd(x: f32, y: f32) -> f32 { return x + y; }", &[given, 0.0], device)?;
    let say = |kept: bool| if kept { "kept" } else { "flushed to zero" };
    let known = [0.0, given];
    let right = known.contains(&product) && known.contains(&passed);
    Ok((right, format!("{} as results, {} as operands", say(product != 0.0), say(passed != 0.0))))
}

/// Whether a product and a sum are rounded once: a fact.
fn contraction(device: &Device) -> Result<(bool, String)> {
    let (a, c) = (1.0 + 2f32.powi(-12), -(1.0 + 2f32.powi(-11)));
    let plain = raw(
        "certify_product_and_sum",
        "fn certify_product_and_sum_fwd(a: f32, b: f32, c: f32) -> f32 { return a * b + c; }",
        &[a, a, c],
        device,
    )?;
    let fused = raw(
        "certify_fma",
        "fn certify_fma_fwd(a: f32, b: f32, c: f32) -> f32 { return fma(a, b, c); }",
        &[a, a, c],
        device,
    )?;
    let say = |value: f32| if value == 0.0 { "rounded twice" } else { "rounded once" };
    let right = [plain, fused].iter().all(|&value| value == 0.0 || value == 2f32.powi(-24));
    Ok((right, format!("{}; fma is {}", say(plain), say(fused))))
}
