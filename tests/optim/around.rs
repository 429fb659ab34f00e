//! Clipping, moving averages, and conditional steps.

use wgrad::optim::{Adam, ClipNorm, Ema, Optimizer, Sgd, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
use wgrad::{DType, Device, Error, Result, Tensor, capture};

use crate::{bits, devices, optimizers, parameters, set_gradients};

fn host(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(|t| t.to_vec::<f32>().unwrap()).map(f64::from).collect()
}

fn gradients(parameters: &[Tensor]) -> Vec<Tensor> {
    parameters.iter().map(|p| p.grad().unwrap().to_dtype(DType::F32)).collect()
}

#[test]
fn norms_are_clipped_together() {
    for device in devices() {
        for (max_norm, dtype) in [(0.5, DType::F32), (1e6, DType::F32), (0.5, DType::F16)] {
            let p: Vec<Tensor> = parameters(&device).iter().map(|p| p.to_dtype(dtype).requires_grad()).collect();
            set_gradients(&p, 3);
            let before = host(&gradients(&p));
            let norm = before.iter().map(|g| g * g).sum::<f64>().sqrt();
            let submits = device.stats().submits;
            let returned = clip_grad_norm(&p, max_norm);
            assert!(device.stats().submits == submits || !device.is_cpu(), "clipping reads nothing");
            assert_eq!(returned.dtype(), DType::F32);
            assert!((f64::from(returned.item::<f32>().unwrap()) / norm - 1.0).abs() < 1e-5);
            let factor = (max_norm / (norm + 1e-6)).min(1.0);
            let tolerance = if dtype == DType::F16 { 2e-3 } else { 1e-5 };
            for (after, before) in host(&gradients(&p)).iter().zip(&before) {
                assert!((after - before * factor).abs() <= tolerance * (before * factor).abs() + 1e-7);
            }
        }
    }
}

#[test]
fn clipping_takes_missing_gradients_and_carries_errors() {
    let device = Device::cpu();
    let p = parameters(&device);
    assert_eq!(clip_grad_norm(&p, 1.0).item::<f32>().unwrap(), 0.0);
    assert_eq!(clip_grad_norm(&[], 1.0).item::<f32>().unwrap(), 0.0);
    p[1].set_grad(Some(&Tensor::full([4], 3.0, &device)));
    assert_eq!(clip_grad_norm(&p, 3.0).item::<f32>().unwrap(), 6.0);
    assert!(p[0].grad().is_none());
    assert!((p[1].grad().unwrap().to_vec::<f32>().unwrap()[0] - 1.5).abs() < 1e-6);
    p[1].set_grad(Some(&Tensor::from_slice(&[1f32, -9.0, 2.0, f32::INFINITY], [4], &device)));
    clip_grad_value(&p, 2.5);
    assert_eq!(p[1].grad().unwrap().to_vec::<f32>().unwrap(), [1.0, -2.5, 2.0, 2.5]);
    p[0].set_grad(Some(&(Tensor::ones([5, 4], &device) + Tensor::ones([3], &device))));
    assert!(clip_grad_norm(&p, 1.0).item::<f32>().unwrap_err().to_string().contains("broadcast"));
}

#[test]
fn averages_follow_and_come_back() {
    for device in devices() {
        for captured in [false, true] {
            let p = parameters(&device);
            let mut optimizer = Sgd::new(p.clone(), 0.1).momentum(0.5);
            let ema = std::sync::Arc::new(Ema::new(p.clone(), 0.9));
            let mut expected = host(&p);
            let (own, average) = (p.clone(), ema.clone());
            let mut f = move |_: &[Tensor]| -> Result<Vec<Tensor>> {
                set_gradients(&own, 2);
                optimizer.step()?;
                average.update()?;
                Ok(vec![])
            };
            let step = |f: &mut dyn FnMut()| {
                f();
                let decayed = |(a, p): (&mut f64, f64)| *a += (1.0 - f64::from(0.9f32)) * (p - *a);
                expected.iter_mut().zip(host(&p)).for_each(decayed);
            };
            let mut step = step;
            if captured {
                let run = capture(&device, f).unwrap();
                (0..5).for_each(|_| step(&mut || drop(run.run(&[]).unwrap())));
            } else {
                (0..5).for_each(|_| step(&mut || drop(f(&[]).unwrap())));
            }
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close(&host(&ema.averages()), &expected));
            let trained = host(&p);
            ema.swap().unwrap();
            assert_eq!((host(&p), host(&ema.averages())), (host(&p), trained.clone()));
            assert!(close(&host(&p), &expected) && p.iter().all(Tensor::is_leaf_with_grad));
            ema.swap().unwrap();
            assert_eq!(host(&p), trained);
            let mut other = Ema::new(p.clone(), 0.9);
            other.load_state_dict(&ema.state_dict()).unwrap();
            assert_eq!(host(&other.averages()), host(&ema.averages()));
            let mut bad = ema.state_dict();
            bad.insert("average.0".into(), Tensor::ones([2], &device));
            let message = other.load_state_dict(&bad).unwrap_err().to_string();
            assert!(message.contains("Ema: average.0 is f32 [2], not f32 [5, 4]"), "{message}");
        }
    }
    let bad = Ema::new(parameters(&Device::cpu()), 1.5).update().unwrap_err().to_string();
    assert!(bad.contains("decay = 1.5"), "{bad}");
}

#[test]
fn a_step_on_a_false_condition_changes_and_counts_nothing() {
    for device in devices() {
        for (name, make) in optimizers() {
            let (p, q) = (parameters(&device), parameters(&device));
            let (mut some, mut all) = (make(p.clone()), make(q.clone()));
            for i in 0..8 {
                let holds = i % 3 != 1;
                set_gradients(&p, i);
                if !holds {
                    p[0].set_grad(Some(&p[0].full_like(f32::NAN)));
                }
                let condition = Tensor::from_slice(&[holds], (), &device);
                let submits = device.stats().submits;
                some.step_if(&condition).unwrap();
                // Nothing is read, and only the first step makes states.
                // (Other tests share the GPU and its counts.)
                let one = device.stats().submits - submits == 1;
                assert!(i == 0 || one || !device.is_cpu(), "{name}: a step is one flush");
                if holds {
                    set_gradients(&q, i);
                    all.step().unwrap();
                }
            }
            for (a, b) in p.iter().zip(&q) {
                let (a, b) = (host(std::slice::from_ref(a)), host(std::slice::from_ref(b)));
                // Counted on the device, what follows from the number of a step is in f32.
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-5), "{name}: {a:?} {b:?}");
            }
            let (some, all) = (some.state_dict(), all.state_dict());
            assert_eq!(some.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
            for key in some.keys().filter(|key| key.ends_with("step")) {
                assert_eq!(some[key].item::<i32>().unwrap(), all[key].item::<i32>().unwrap(), "{name}: {key}");
            }
        }
    }
    let p = parameters(&Device::cpu());
    set_gradients(&p, 0);
    let before = bits(&p[0]);
    let error = Adam::new(p.clone(), 0.1).step_if(&Tensor::ones([2], &Device::cpu())).unwrap_err().to_string();
    assert!(error.contains("Adam: the condition of a step is a boolean scalar, not f32 [2]"), "{error}");
    assert_eq!(bits(&p[0]), before);
}

fn all_bits(parameters: &[Tensor]) -> Vec<u32> {
    parameters.iter().flat_map(bits).collect()
}

/// A norm that is not finite is an error at the read, of the norm and of the gradients.
#[test]
fn norms_that_are_not_finite_are_errors_on_request() {
    let strict = ClipNorm { error_if_nonfinite: true, ..ClipNorm::default() };
    for device in devices() {
        for (bad, text) in [(f32::NAN, "is NaN"), (f32::INFINITY, "is infinite"), (f32::NEG_INFINITY, "is infinite")] {
            let p = parameters(&device);
            let mut optimizer = Adam::new(p.clone(), 0.1);
            set_gradients(&p, 3);
            assert!(clip_grad_norm_with(&p, 0.5, &strict).check().is_ok());
            optimizer.step().unwrap();
            let before = all_bits(&p);
            set_gradients(&p, 4);
            p[1].set_grad(Some(&Tensor::from_slice(&[1f32, bad, 0.0, 2.0], [4], &device)));
            let norm = clip_grad_norm_with(&p, 0.5, &strict);
            norm.check().unwrap(); // nothing is read so far
            let error = norm.item::<f32>().unwrap_err();
            assert!(matches!(error, Error::NonFinite { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains(text) && message.contains("clip_grad_norm: the total norm"), "{message}");
            assert!(message.contains("around.rs:"), "{message}");
            assert!(p[0].grad().unwrap().to_vec::<f32>().is_err());
            drop(norm);
            // Who reads the norm first leaves the step out.
            assert_eq!(all_bits(&p), before);
            // The device goes on.
            set_gradients(&p, 5);
            assert!(clip_grad_norm_with(&p, 0.5, &strict).item::<f32>().unwrap().is_finite());
            optimizer.step().unwrap();
            assert_ne!(all_bits(&p), before);
            // Without the option it is PyTorch's default: the norm says so.
            p[1].set_grad(Some(&Tensor::from_slice(&[1f32, bad, 0.0, 2.0], [4], &device)));
            assert!(!clip_grad_norm(&p, 0.5).item::<f32>().unwrap().is_finite());
        }
    }
}

#[test]
fn norms_of_other_orders_and_limits_that_make_no_sense() {
    for device in devices() {
        for order in [1.0, 3.0, f64::INFINITY] {
            let p = parameters(&device);
            set_gradients(&p, 6);
            let before = host(&gradients(&p));
            let norm = match order {
                f64::INFINITY => before.iter().fold(0.0, |m: f64, g| m.max(g.abs())),
                _ => before.iter().map(|g| g.abs().powf(order)).sum::<f64>().powf(1.0 / order),
            };
            let options = ClipNorm { norm_type: order, ..ClipNorm::default() };
            let found = clip_grad_norm_with(&p, 0.25f32, &options).item::<f32>().unwrap();
            assert!((f64::from(found) / norm - 1.0).abs() < 1e-5, "order {order}: {found} and {norm}");
            for (after, before) in host(&gradients(&p)).iter().zip(&before) {
                assert!((after - before * 0.25 / norm).abs() < 1e-5 * before.abs() + 1e-6);
            }
        }
        for limit in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            let p = parameters(&device);
            let mut optimizer = Sgd::new(p.clone(), 0.1);
            let before = all_bits(&p);
            set_gradients(&p, 7);
            let message = clip_grad_norm(&p, limit).check().unwrap_err().to_string();
            assert!(message.contains(&format!("max_norm must not be negative or NaN, as {limit} is")), "{message}");
            assert!(message.contains("around.rs:") && optimizer.step().is_err(), "{message}");
            set_gradients(&p, 7);
            clip_grad_value(&p, limit);
            let message = p[0].grad().unwrap().check().unwrap_err().to_string();
            assert!(message.contains(&format!("max_value must not be negative or NaN, as {limit} is")), "{message}");
            assert!(message.contains("around.rs:") && optimizer.step().is_err(), "{message}");
            assert_eq!(all_bits(&p), before);
        }
        let p = parameters(&device);
        set_gradients(&p, 8);
        let before = host(&gradients(&p));
        assert!(clip_grad_norm(&p, f64::INFINITY).check().is_ok());
        clip_grad_value(&p, f32::INFINITY);
        assert_eq!(host(&gradients(&p)), before);
        clip_grad_value(&p, 0.0);
        assert!(host(&gradients(&p)).iter().all(|g| *g == 0.0));
        for order in [0.0, -2.0, f64::NAN] {
            set_gradients(&p, 8);
            let options = ClipNorm { norm_type: order, ..ClipNorm::default() };
            assert!(clip_grad_norm_with(&p, 1.0, &options).check().unwrap_err().to_string().contains("norm_type"));
        }
    }
}
