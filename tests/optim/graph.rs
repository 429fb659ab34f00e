//! Checkpoints, and the search for the op that made a NaN or an infinity.

use wgrad::internals::Caps;
use wgrad::optim::Sgd;
use wgrad::{Device, Error, Result, Tensor, autograd, capture};

use crate::{bits, devices};

/// Devices that no other test draws random numbers from.
fn own_devices() -> [Device; 2] {
    [Device::gpu_with_fusion(true).unwrap_or_else(|error| panic!("{error}")), Device::cpu()]
}

struct Net {
    weights: Vec<Tensor>,
}

impl Net {
    fn new(layers: usize, width: usize, device: &Device) -> Net {
        let wave = |k: usize| (0..width * width).map(|i| ((i * (k + 3)) as f32 * 0.37).sin() * 0.3).collect::<Vec<_>>();
        let make = |k: usize| Tensor::from_slice(&wave(k), [width, width], device).requires_grad();
        Net { weights: (0..layers).map(make).collect() }
    }

    /// Layers in segments of two, with dropout and a value that the segment reads besides its inputs.
    fn forward(&self, x: &Tensor, scale: &Tensor, checkpointed: bool) -> Tensor {
        let mut h = x.clone();
        for pair in self.weights.chunks(2) {
            let segment = |x: &[Tensor]| {
                pair.iter().fold(x[0].clone(), |h, w| (h.matmul(w).tanh() * scale).dropout(0.25, true) + &x[0])
            };
            h = if checkpointed { autograd::checkpoint(segment, &[&h]) } else { segment(&[h.clone()]) };
        }
        h.square().mean()
    }
}

#[test]
fn checkpoints_give_the_same_values() {
    for device in own_devices() {
        let x = Tensor::from_slice(&(0..40).map(|i| (i as f32).cos()).collect::<Vec<_>>(), [5, 8], &device);
        let run = |checkpointed: bool, read: bool| {
            let net = Net::new(4, 8, &device);
            let scale = Tensor::from_slice(&[0.9f32], (), &device).requires_grad();
            device.seed(5);
            let loss = net.forward(&x, &(&scale * 1.1), checkpointed);
            if read {
                loss.item::<f32>().unwrap();
            }
            loss.backward().unwrap();
            let mut out: Vec<Vec<u32>> = net.weights.iter().map(|w| bits(&w.grad().unwrap())).collect();
            out.push(bits(&scale.grad().unwrap()));
            out.push(bits(&loss));
            // Random numbers go on as they would have.
            out.push(bits(&Tensor::rand([3], &device)));
            out
        };
        let expected = run(false, false);
        for read in [false, true] {
            let (got, expected) = (run(true, read), if read { run(false, true) } else { expected.clone() });
            // The random numbers are the same to the bit.
            assert_eq!(got.last(), expected.last());
            // Without segments other values stand beside each other in a kernel, whose arithmetic a driver may rearrange, and the CPU
            // reference multiplies other views.
            for (got, expected) in got.iter().zip(&expected) {
                let of = |bits: &[u32]| bits.iter().map(|&b| f64::from(f32::from_bits(b))).collect::<Vec<_>>();
                let (got, expected) = (of(got), of(expected));
                let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
                let gap = norm(&mut got.iter().zip(&expected).map(|(a, b)| a - b));
                assert!(gap <= 1e-6 * norm(&mut expected.iter().copied()), "{gap}");
            }
        }
    }
}

#[test]
fn checkpoints_can_be_differentiated_again() {
    let device = Device::cpu();
    let x = Tensor::from_slice(&[0.3f64, -1.2, 0.8], [3], &device);
    let f = |x: &[Tensor]| autograd::checkpoint(|x| x[0].sin() * x[1].exp() + &x[0], &[&x[0], &x[1]]).square();
    let y = Tensor::from_slice(&[0.1f64, 0.7, -0.4], [3], &device);
    autograd::gradcheck(f, &[&x, &y], 1e-6).unwrap();
    autograd::gradgradcheck(f, &[&x, &y], 1e-6).unwrap();
}

#[test]
fn checkpoints_pass_hooks_errors_and_constants() {
    let device = Device::cpu();
    let x = Tensor::ones([2], &device);
    assert_eq!(autograd::checkpoint(|x| &x[0] * 2.0, &[&x]).to_vec::<f32>().unwrap(), [2.0, 2.0]);
    let bad = autograd::checkpoint(|x| &x[0] + Tensor::ones([3], &device), &[&x.requires_grad()]);
    assert!(bad.check().unwrap_err().to_string().starts_with("add: "));
    let w = x.requires_grad();
    let segment = |x: &[Tensor]| {
        let h = &x[0] * 3.0;
        h.register_hook(|g| Some(g * 10.0));
        h.square()
    };
    autograd::checkpoint(segment, &[&w]).sum().backward().unwrap();
    assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [180.0, 180.0]);
    // The input itself.
    assert_eq!(autograd::checkpoint(|x| x[0].clone(), &[&w]).to_vec::<f32>().unwrap(), [1.0, 1.0]);
}

#[test]
fn captured_steps_may_contain_checkpoints() {
    for device in own_devices() {
        let x = Tensor::from_slice(&(0..40).map(|i| (i as f32).cos()).collect::<Vec<_>>(), [5, 8], &device);
        let train = |captured: bool| {
            let net = Net::new(4, 8, &device);
            let weights = net.weights.clone();
            let mut optimizer = Sgd::new(weights.clone(), 0.1);
            device.seed(9);
            let mut f = move |x: &[Tensor]| -> Result<Vec<Tensor>> {
                optimizer.zero_grad();
                let loss = net.forward(&x[0], &x[0].mean(), true);
                loss.backward()?;
                optimizer.step()?;
                Ok(vec![loss])
            };
            let losses: Vec<_> = if captured {
                let step = capture(&device, f).unwrap();
                (0..4).map(|_| bits(&step.run(std::slice::from_ref(&x)).unwrap()[0])).collect()
            } else {
                (0..4).map(|_| bits(&f(std::slice::from_ref(&x)).unwrap()[0])).collect()
            };
            (losses, weights.iter().map(bits).collect::<Vec<_>>())
        };
        assert_eq!(train(false), train(true));
    }
}

#[test]
fn checkpoints_keep_less_memory() {
    let peak = |checkpointed: bool| {
        let device = Device::null(Caps::baseline(), true);
        let width = 64;
        let data = |shape: [usize; 2]| Tensor::from_slice(&vec![0f32; shape[0] * shape[1]], shape, &device);
        let weights: Vec<Tensor> = (0..16).map(|_| data([width, width]).requires_grad()).collect();
        let x = data([4096, width]);
        let mut h = x.clone();
        for four in weights.chunks(4) {
            let segment = |x: &[Tensor]| four.iter().fold(x[0].clone(), |h, w| h.matmul(w).tanh());
            h = if checkpointed { autograd::checkpoint(segment, &[&h]) } else { segment(&[h.clone()]) };
        }
        let loss = h.square().mean();
        loss.backward().unwrap();
        device.sync().unwrap();
        let plan = device.planned().pop().unwrap();
        plan.peak_bytes
    };
    let (plain, checkpointed) = (peak(false), peak(true));
    println!("peak {plain} bytes, with checkpoints {checkpointed}");
    // 16 activations of a mebibyte against 4 and a segment of 4.
    assert!((checkpointed as f64) < 0.75 * plain as f64, "{checkpointed} of {plain}");
}

fn found<R: std::fmt::Debug>(result: Result<R>, parts: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

/// Other threads' flushes of everything compute nothing that a search has yet to look at.
#[test]
fn searches_beside_other_threads_find_what_they_look_for() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    for device in devices() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    device.sync().unwrap();
                }
            });
            let search = || {
                let w = Tensor::from_slice(&[3e38f32], [1], &device).requires_grad();
                w.set_grad(Some(&Tensor::from_slice(&[-3e38f32], [1], &device)));
                let mut optimizer = Sgd::new(vec![w], 1.0);
                autograd::detect_anomaly(&device, || optimizer.step())
            };
            let results: Vec<_> = (0..300).map(|_| search()).collect();
            done.store(true, Relaxed);
            results.into_iter().for_each(|result| found(result, &["sub: 1 of 1", "infinite"]));
        });
    }
}

#[test]
fn the_first_op_that_made_a_nan_or_an_infinity_is_named() {
    for device in devices() {
        let x = Tensor::from_slice(&[0f32, -1.0, 2.0], [3], &device);
        let line = line!() + 2;
        let forward = || {
            let y = x.log();
            Ok((y.exp() * 2.0).sum())
        };
        found(
            autograd::detect_anomaly(&device, forward),
            &["log: 1 of 3 elements of shape [3] are NaN, in the forward pass", &format!("graph.rs:{line}")],
        );
        found(
            autograd::detect_anomaly(&device, || (&x * 100.0).exp().sum().item::<f32>()),
            &["exp: 1 of 3 elements", "infinite"],
        );
        // Infinities that are given, as masks are, and what they do, are no fault.
        let masked = || x.masked_fill(&x.lt(0.0), f32::NEG_INFINITY).softmax(0).sum().item::<f32>();
        assert!((autograd::detect_anomaly(&device, masked).unwrap() - 1.0).abs() < 1e-6);
        // A NaN among the data.
        let given = Tensor::from_slice(&[1f32, f32::NAN], [2], &device);
        found(
            autograd::detect_anomaly(&device, || (&given * 2.0).sum().item::<f32>()),
            &["leaf: 1 of 2 elements of shape [2] are NaN from the start"],
        );
        // Seen through a view, and among what is trained; infinities there too, but not among the data.
        let square = Tensor::from_slice(&[1f32, f32::NAN, 0.0, 2.0], [2, 2], &device);
        let ones = Tensor::ones([2, 2], &device).contiguous();
        found(
            autograd::detect_anomaly(&device, || ones.matmul(&square.t()).sum().item::<f32>()),
            &["leaf: 1 of 4 elements of shape [2, 2] are NaN from the start"],
        );
        for (bad, what) in [(f32::NAN, "NaN"), (f32::INFINITY, "infinite")] {
            let line = line!() + 1;
            let w = Tensor::from_slice(&[1f32, bad], [2], &device).requires_grad();
            found(
                autograd::detect_anomaly(&device, || (&w * 2.0).sum().backward()),
                &[
                    &format!("leaf: 1 of 2 elements of shape [2] are {what}"),
                    "gets gradients",
                    &format!("graph.rs:{line}"),
                ],
            );
        }
        let mask = Tensor::from_slice(&[0f32, f32::NEG_INFINITY], [2], &device);
        let shown = || (&mask + 1.0).softmax(0).sum().item::<f32>();
        assert_eq!(autograd::detect_anomaly(&device, shown).unwrap(), 1.0);
        // The gradient.
        let w = Tensor::from_slice(&[0f32, 4.0], [2], &device).requires_grad();
        let line = line!() + 3;
        let backward = || {
            let h = &w * 3.0;
            let y = h.sqrt();
            y.sum().backward()
        };
        let parts = ["sqrt: its gradient", "1 of 2 elements", "in the backward pass", &format!("graph.rs:{line}")];
        found(autograd::detect_anomaly(&device, backward), &parts);
        // The forward pass comes first, also where the gradient does not need what it made.
        let hidden = || (w.log() * 0.0).sum().backward();
        found(autograd::detect_anomaly(&device, hidden), &["log: 1 of 2 elements", "infinite, in the forward pass"]);
        let at_zero = |x: &Tensor| (x.log() * 0.0).sum();
        let point = w.detach();
        let hidden = || autograd::jacobian(at_zero, &point);
        found(autograd::detect_anomaly(&device, hidden), &["log: 1 of 2 elements", "infinite, in the forward pass"]);
        let hidden = || autograd::hessian(at_zero, &point);
        found(autograd::detect_anomaly(&device, hidden), &["log: 1 of 2 elements", "infinite, in the forward pass"]);
        // An update.
        let w = Tensor::from_slice(&[3e38f32], [1], &device).requires_grad();
        w.set_grad(Some(&Tensor::from_slice(&[-3e38f32], [1], &device)));
        let mut optimizer = Sgd::new(vec![w], 1.0);
        found(autograd::detect_anomaly(&device, || optimizer.step()), &["sub: 1 of 1", "infinite"]);
        // Outside nothing is looked at, and an error of the closure's own comes out as it is.
        assert!(x.log().sum().item::<f32>().unwrap().is_nan());
        let own = autograd::detect_anomaly(&device, || (&x + Tensor::ones([2], &device)).to_vec::<f32>()).unwrap_err();
        assert!(matches!(own, Error::Shape { .. }));
    }
}
