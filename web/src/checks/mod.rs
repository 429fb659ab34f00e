//! What the tests in a browser call beside the package: ops against the CPU reference, and batches of digits.

mod cases;
mod contest;
mod oracle;

use js_sys::{Array, Float32Array, Int32Array, Promise};
use wasm_bindgen::prelude::*;
use wgrad::data::{Batches, Digits};
use wgrad::{Result, Tensor};

use self::cases::{CASES, Case};
use crate::{Device, promise};

/// Names of the cases.
#[wasm_bindgen(js_name = caseNames)]
pub fn case_names() -> Vec<String> {
    CASES.iter().map(|case| case.name.to_owned()).collect()
}

/// Runs a case on the device and on the CPU reference: the largest relative errors of its value and of its gradients, which are -1 where
/// there are none.
#[wasm_bindgen(js_name = runCase, unchecked_return_type = "Promise<[number, number]>")]
pub fn run_case(index: usize, device: &Device) -> Promise {
    let device = device.0.clone();
    promise(async move {
        let case = &CASES[index];
        let (value, gradients) = outcome(case, &device).await?;
        let (expected, expected_gradients) = outcome(case, &wgrad::Device::cpu()).await?;
        let worst = gradients.iter().zip(&expected_gradients).map(|(a, b)| distance(a, b)).fold(-1.0, f64::max);
        let missing = gradients.len() != expected_gradients.len();
        let gradients = if missing { f64::INFINITY } else { worst };
        Ok(Array::of2(&distance(&value, &expected).into(), &gradients.into()))
    })
}

/// The value of a case, and the gradients of its inputs under varied weights.
async fn outcome(case: &Case, device: &wgrad::Device) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
    let inputs: Vec<Tensor> = (case.shapes.iter().enumerate())
        .map(|(salt, shape)| Tensor::from_slice(&values(shape.iter().product(), salt), *shape, device).requires_grad())
        .collect();
    let y = (case.function)(&inputs).to_dtype(wgrad::DType::F32);
    let weights = Tensor::from_slice(&values(y.numel(), 9), y.shape(), device);
    let mut gradients = Vec::new();
    if case.differentiable {
        (&y * &weights).sum().backward()?;
        for gradient in inputs.iter().filter_map(Tensor::grad) {
            gradients.push(gradient.to_vec_async::<f32>().await?);
        }
    }
    Ok((y.to_vec_async::<f32>().await?, gradients))
}

/// Values of varied size and sign, no two equal.
fn values(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| (((i * 7 + salt * 5 + 1) as f64 * 0.618).sin() * 1.5) as f32).collect()
}

/// The largest difference, relative to the largest value. Equal infinities and NaN in both are no difference.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let largest = b.iter().filter(|v| v.is_finite()).fold(1e-30f64, |m, v| m.max(f64::from(v.abs())));
    let one = |(a, b): (&f32, &f32)| match a == b || (a.is_nan() && b.is_nan()) {
        true => 0.0,
        false if a.is_finite() && b.is_finite() => f64::from((a - b).abs()) / largest,
        false => f64::INFINITY,
    };
    a.iter().zip(b).map(one).fold(0.0, f64::max)
}

/// Images and labels of a step of training on the digits: 32 of them, in the order of `examples/portable_step.rs`.
#[wasm_bindgen(js_name = digitsBatch, unchecked_return_type = "[Float32Array, Int32Array]")]
pub fn digits_batch(step: usize) -> Array {
    let data = Digits::train();
    let batches = Batches::new(data.len(), 32, 0).drop_last(true);
    let (epoch, number) = (step / batches.per_epoch(), step % batches.per_epoch());
    let batch = batches.epoch(epoch).nth(number).unwrap_or_default();
    let images: Vec<f32> =
        batch.iter().flat_map(|&i| &data.images[i * Digits::PIXELS..(i + 1) * Digits::PIXELS]).copied().collect();
    let labels: Vec<i32> = batch.iter().map(|&i| data.labels[i]).collect();
    Array::of2(&Float32Array::from(&images[..]).into(), &Int32Array::from(&labels[..]).into())
}

/// Calls that block, each with what it says on a GPU in a browser; a call that returns is an empty text.
#[wasm_bindgen(js_name = blockingCalls)]
pub fn blocking_calls(device: &Device) -> Vec<String> {
    let device = &device.0;
    let x = Tensor::ones([3], device);
    let text = |name: &str, outcome: Result<()>| {
        format!("{name}: {}", outcome.err().map_or_else(String::new, |error| error.to_string()))
    };
    let step = wgrad::capture(device, |x: &[Tensor]| vec![&x[0] * 2.0]).and_then(|step| {
        step.run(&[Tensor::ones([2], device)])?;
        Ok(step)
    });
    let step = match step {
        Ok(step) => step,
        Err(error) => return vec![format!("capture: {error}")],
    };
    let named = [("x".to_owned(), x.clone())].into();
    vec![
        text("to_vec", x.to_vec::<f32>().map(drop)),
        text("item", x.sum().item::<f32>().map(drop)),
        text("to_array", x.to_array::<f32>().map(drop)),
        text("to_device", x.to_device(&wgrad::Device::cpu()).check()),
        text("sync", device.sync()),
        text("Device::gpu", wgrad::Device::gpu().map(drop)),
        text("Device::named", wgrad::Device::named("webgpu").map(drop)),
        text("to_safetensors_bytes", wgrad::io::to_safetensors_bytes(&named, &Default::default()).map(drop)),
        text("to_bytes", step.to_bytes().map(drop)),
        text("save", step.save("step.safetensors")),
        text("save_safetensors", wgrad::io::save_safetensors("x.safetensors", &named)),
        text("load_captured", wgrad::load_captured("step.safetensors", device).map(drop)),
        text("load_safetensors", wgrad::io::load_safetensors("x.safetensors", device).map(drop)),
        text(
            "Display",
            if format!("{x}").contains("error: ") {
                Err(wgrad::Error::argument("Display", format!("{x}")))
            } else {
                Ok(())
            },
        ),
    ]
}

/// Names and kinds of the adapters.
#[wasm_bindgen(js_name = adapters, unchecked_return_type = "Promise<string>")]
pub fn adapters() -> Promise {
    promise(async {
        let found: Vec<String> = wgrad::Device::adapters_async().await.iter().map(ToString::to_string).collect();
        Ok(found.join("; "))
    })
}
