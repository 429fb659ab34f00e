//! Mixed precision.

use wgrad::amp::{Autocast, GradScaler, autocast};
use wgrad::nn::loss;
use wgrad::optim::{Adam, Optimizer, Sgd, clip_grad_norm};
use wgrad::{Conv, DType, Device, Error, Result, Tensor, capture};

use crate::{bits, devices, parameters};

/// The devices that have f16; the software adapter of the tests and the CPU reference do.
fn with_half() -> Vec<Device> {
    devices().into_iter().filter(|d| Autocast::new(d).is_ok()).collect()
}

#[test]
fn products_run_in_f16_and_what_needs_range_in_f32() {
    assert!(!with_half().is_empty());
    for device in with_half() {
        let x = Tensor::randn([2, 4, 6], &device);
        let (w, b) = (Tensor::randn([5, 6], &device), Tensor::randn([5], &device));
        let image = Tensor::randn([1, 2, 5, 5], &device);
        let kernel = Tensor::randn([3, 2, 3, 3], &device);
        let q = Tensor::randn([1, 2, 4, 8], &device);
        let (weight, mean) = (Tensor::ones([2], &device), Tensor::zeros([2], &device));
        autocast(&device, || {
            let half: Vec<(&str, Tensor)> = vec![
                ("matmul", x.matmul(&w.t())),
                ("linear", x.linear(&w, Some(&b))),
                ("bmm", x.bmm(&x.transpose(1, 2))),
                ("addmm", b.addmm(&x.select(0, 0), &w.t(), 1.0, 1.0)),
                ("einsum", Tensor::einsum("bij,kj->bik", &[&x, &w])),
                ("conv2d", image.conv2d(&kernel, None, Conv::default())),
                ("attention", q.scaled_dot_product_attention(&q, &q, None, true)),
                ("relu", x.to_dtype(DType::F16).relu()),
                ("max", x.to_dtype(DType::F16).max()),
            ];
            for (name, y) in &half {
                y.check().unwrap();
                assert_eq!(y.dtype(), DType::F16, "{name}");
            }
            let h = x.to_dtype(DType::F16);
            let targets = Tensor::from_slice(&[0i32, 1], [2], &device);
            let full: Vec<(&str, Tensor)> = vec![
                ("sum", h.sum()),
                ("mean", h.mean_dims(&[0], false)),
                ("var", h.var(1.0)),
                ("cumsum", h.cumsum(1)),
                ("softmax", h.softmax(-1)),
                ("log_softmax", h.log_softmax(-1)),
                ("exp", h.exp()),
                ("pow", h.pow(2.0)),
                ("layer_norm", h.layer_norm(None, None, 1e-5)),
                ("group_norm", image.to_dtype(DType::F16).group_norm(2, &weight, &mean, 1e-5)),
                ("mse", loss::mse(&h, &x)),
                ("cross_entropy", loss::cross_entropy(&h.select(1, 0), &targets)),
                ("add of both", &h + &x),
            ];
            for (name, y) in &full {
                y.check().unwrap();
                assert_eq!(y.dtype(), DType::F32, "{name}");
            }
            assert_eq!(Autocast::off(|| x.matmul(&w.t())).dtype(), DType::F32);
            assert_eq!(x.matmul(&w.t()).dtype(), DType::F16);
        })
        .unwrap();
        assert_eq!(x.matmul(&w.t()).dtype(), DType::F32);
        assert_eq!(x.to_dtype(DType::F16).sum().dtype(), DType::F16);
    }
}

#[test]
fn gradients_through_mixed_precision_are_those_of_f32() {
    for device in with_half() {
        let wave = |n: usize, k: f32| (0..n).map(|i| (i as f32 * k).sin()).collect::<Vec<_>>();
        let x = Tensor::from_slice(&wave(24, 0.7), [4, 6], &device);
        let w = Tensor::from_slice(&wave(30, 0.3), [5, 6], &device).requires_grad();
        let b = Tensor::from_slice(&wave(5, 1.3), [5], &device).requires_grad();
        let targets = Tensor::from_slice(&[0i32, 4, 2, 1], [4], &device);
        let f = || loss::cross_entropy(&x.linear(&w, Some(&b)).tanh(), &targets);
        let mixed = autocast(&device, f).unwrap();
        mixed.backward().unwrap();
        let read = |t: Tensor| t.to_vec::<f32>().unwrap();
        let (mixed_loss, mixed_w) = (mixed.item::<f32>().unwrap(), read(w.grad().unwrap()));
        w.zero_grad();
        let full = f();
        full.backward().unwrap();
        let (loss, grad) = (full.item::<f32>().unwrap(), read(w.grad().unwrap()));
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
        let error = norm(&mut mixed_w.iter().zip(&grad).map(|(a, b)| a - b)) / norm(&mut grad.iter().copied());
        assert!((mixed_loss - loss).abs() < 2e-3 * loss && error < 5e-3, "{mixed_loss} {loss} {error}");
        assert_ne!(mixed_w, grad, "nothing ran in f16");
    }
}

#[test]
fn without_f16_it_is_an_error_and_nothing_runs() {
    let device = Device::gpu_with(true, |caps| caps.f16 = false).unwrap();
    let mut called = false;
    let (line, error) = (line!(), autocast(&device, || called = true).unwrap_err());
    assert!(matches!(error, Error::Unsupported { .. }) && !called);
    let text = error.to_string();
    assert!(text.contains("autocast: ") && text.contains(&format!("mixed.rs:{line}")), "{text}");
}

/// Scale and count after each step, by PyTorch's rule on the host.
fn expected_scales(finite: &[bool], interval: u32) -> Vec<f32> {
    let (mut scale, mut tracker) = (256.0, 0);
    let mut step = |good: &bool| {
        if !good {
            (scale, tracker) = (scale * 0.5, 0);
        } else if tracker + 1 == interval {
            (scale, tracker) = (scale * 2.0, 0);
        } else {
            tracker += 1;
        }
        scale
    };
    finite.iter().map(&mut step).collect()
}

type Step = Box<dyn FnMut(&[Tensor]) -> Result<Vec<Tensor>>>;

#[test]
fn overflowing_steps_change_nothing_and_halve_the_scale() {
    let finite = [true, true, false, true, true, true, false, false, true, true, true, true];
    let scales = expected_scales(&finite, 3);
    for device in devices() {
        for captured in [false, true] {
            type Make = fn(Vec<Tensor>) -> Box<dyn Optimizer + Send>;
            let makes: [Make; 2] =
                [|p| Box::new(Sgd::new(p, 0.1).momentum(0.9)), |p| Box::new(Adam::new(p, 0.1).weight_decay(0.01))];
            for make in makes {
                let (p, q) = (parameters(&device), parameters(&device));
                let (mut scaled, mut plain) = (make(p.clone()), make(q.clone()));
                let mut run = {
                    let mut scaler = GradScaler::new(&device).init_scale(256.0).growth_interval(3);
                    let own = p.clone();
                    let mut f = move |x: &[Tensor]| -> Result<Vec<Tensor>> {
                        scaled.zero_grad();
                        let loss = own.iter().map(|p| (p * &x[0]).square().sum()).reduce(|a, b| a + b).unwrap();
                        scaler.scale(&loss).backward()?;
                        scaler.unscale(&*scaled)?;
                        let norm = clip_grad_norm(&own, 1e4);
                        scaler.step(&mut *scaled)?;
                        scaler.update()?;
                        Ok(vec![scaler.get_scale(), norm])
                    };
                    let either: Step = if captured {
                        let step = capture(&device, f).unwrap();
                        Box::new(move |x| step.run(x))
                    } else {
                        Box::new(move |x| f(x))
                    };
                    either
                };
                for (i, good) in finite.iter().enumerate() {
                    let x = Tensor::from_slice(&[if *good { 1.0 / (1.0 + i as f32) } else { 1e30 }], (), &device);
                    let before: Vec<_> = p.iter().map(bits).collect();
                    let found = run(std::slice::from_ref(&x)).unwrap();
                    assert_eq!(found[0].item::<f32>().unwrap(), scales[i], "step {i}");
                    assert_eq!(found[1].item::<f32>().unwrap().is_finite(), *good);
                    if !good {
                        assert_eq!(p.iter().map(bits).collect::<Vec<_>>(), before);
                        continue;
                    }
                    plain.zero_grad();
                    q.iter().map(|p| (p * &x).square().sum()).reduce(|a, b| a + b).unwrap().backward().unwrap();
                    plain.step().unwrap();
                    for (a, b) in p.iter().zip(&q) {
                        let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
                        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs() + 1e-5), "{a:?} {b:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_scaler_says_what_is_out_of_order_and_is_saved() {
    let device = Device::cpu();
    let p = parameters(&device);
    let mut optimizer = Sgd::new(p.clone(), 0.1);
    let mut scaler = GradScaler::new(&device);
    assert!(scaler.update().unwrap_err().to_string().contains("update comes after step"));
    p[1].set_grad(Some(&Tensor::ones([4], &device)));
    scaler.unscale(&optimizer).unwrap();
    assert!(scaler.unscale(&optimizer).unwrap_err().to_string().contains("were divided since"));
    scaler.step(&mut optimizer).unwrap();
    scaler.update().unwrap();
    let saved = scaler.state_dict();
    let mut other = GradScaler::new(&device).init_scale(2.0);
    other.load_state_dict(&saved).unwrap();
    assert_eq!(other.get_scale().item::<f32>().unwrap(), 65536.0);
    assert_eq!(other.state_dict()["growth_tracker"].item::<f32>().unwrap(), 1.0);
    let empty = wgrad::nn::StateDict::new();
    assert!(other.load_state_dict(&empty).unwrap_err().to_string().contains("growth_tracker is missing"));
}
