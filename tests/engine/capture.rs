//! Captured steps against the dynamic loops that they stand for.

use std::sync::atomic::{AtomicUsize, Ordering};

use wgrad::optim::{Adam, AdamW, Optimizer, Rate, Sgd};
use wgrad::{Captured, DType, Device, Error, Result, Tensor, capture};

use crate::{new_gpu, unfused};

/// A network with a bias and a running mean beside its weights.
#[derive(Clone)]
struct Net {
    parameters: Vec<Tensor>,
    running: Tensor,
}

impl Net {
    fn new(device: &Device) -> Net {
        device.seed(3);
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], device).requires_grad();
        let parameters = vec![weight(12, 16), zeros(16), weight(16, 5), zeros(5)];
        let running = Tensor::from_slice(&[0f32; 12], [12], device);
        Net { parameters, running }
    }

    /// Forward and backward with dropout and a running mean as batch norm keeps it.
    fn loss(&self, x: &Tensor, y: &Tensor, dropout: f32) -> Result<Tensor> {
        let p = &self.parameters;
        let mean = x.mean_dims(&[0], false);
        self.running.assign(&(&self.running * 0.9 + &mean * 0.1));
        let h = ((x - &mean).matmul(&p[0]) + &p[1]).relu().dropout(dropout, true);
        let loss = (h.matmul(&p[2]) + &p[3] - y).square().mean();
        p.iter().for_each(Tensor::zero_grad);
        loss.backward()?;
        Ok(loss)
    }

    fn values(&self) -> Vec<Vec<u32>> {
        self.parameters.iter().chain([&self.running]).map(bits).collect()
    }
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

fn batch(i: usize, n: usize, device: &Device) -> [Tensor; 2] {
    let x: Vec<f32> = (0..n * 12).map(|k| ((k + 7 * i) as f32 * 0.37).sin()).collect();
    let y: Vec<f32> = (0..n * 5).map(|k| ((k + 3 * i) as f32 * 0.11).cos()).collect();
    [Tensor::from_slice(&x, [n, 12], device), Tensor::from_slice(&y, [n, 5], device)]
}

type Make = fn(Vec<Tensor>) -> (Box<dyn Optimizer + Send>, Rate);

fn optimizers() -> Vec<(&'static str, Make)> {
    fn boxed(o: impl Optimizer + Send + 'static, rate: Rate) -> (Box<dyn Optimizer + Send>, Rate) {
        (Box::new(o), rate)
    }
    vec![
        ("sgd", |p| {
            let o = Sgd::new(p, 0.05);
            let rate = o.rate();
            boxed(o, rate)
        }),
        ("momentum", |p| {
            let o = Sgd::new(p, 0.05).momentum(0.9).nesterov(true).weight_decay(1e-3);
            let rate = o.rate();
            boxed(o, rate)
        }),
        ("adam", |p| {
            let o = Adam::new(p, 0.01).weight_decay(1e-3);
            let rate = o.rate();
            boxed(o, rate)
        }),
        ("adamw", |p| {
            let o = AdamW::new(p, 0.01);
            let rate = o.rate();
            boxed(o, rate)
        }),
    ]
}

/// Losses and final values of `steps` steps, called again each time or captured.
fn train(device: &Device, make: Make, steps: usize, captured: bool) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let net = Net::new(device);
    let (mut optimizer, rate) = make(net.parameters.clone());
    device.seed(11);
    let own = net.clone();
    let mut f = move |x: &[Tensor]| -> Result<Vec<Tensor>> {
        let loss = own.loss(&x[0], &x[1], 0.25)?;
        optimizer.step()?;
        Ok(vec![loss])
    };
    let mut losses = Vec::new();
    let lr = |i: usize| rate.set(0.01 / (1.0 + 0.1 * i as f32));
    if captured {
        let step = capture(device, f).unwrap();
        for i in 0..steps {
            lr(i);
            losses.push(bits(&step.run(&batch(i, 8, device)).unwrap()[0]));
        }
        assert_eq!(step.variants(), 1);
    } else {
        for i in 0..steps {
            lr(i);
            losses.push(bits(&f(&batch(i, 8, device)).unwrap()[0]));
        }
    }
    (losses, net.values())
}

#[test]
fn a_hundred_steps_equal_the_dynamic_loop_bit_for_bit() {
    for device in [new_gpu(), unfused().clone(), Device::cpu()] {
        for (name, make) in optimizers() {
            let dynamic = train(&device, make, 100, false);
            let captured = train(&device, make, 100, true);
            assert_eq!(dynamic.0, captured.0, "{name} on {device:?}: losses");
            assert_eq!(dynamic.1, captured.1, "{name} on {device:?}: parameters");
            assert!(dynamic.0[0] != dynamic.0[99]);
        }
    }
}

/// A step that only computes, with an input of any number of rows.
fn scores(device: &Device) -> (Tensor, Captured<'static>) {
    let w = Tensor::arange(0.0, 3.0, 1.0, device).requires_grad();
    let own = w.clone();
    (w, capture(device, move |x: &[Tensor]| vec![(&x[0] * &own).sum_dims(&[1], false)]).unwrap())
}

fn rows(n: usize, device: &Device) -> Tensor {
    Tensor::from_slice(&vec![1f32; 3 * n], [n, 3], device)
}

#[test]
fn every_input_shape_is_a_variant() {
    for device in [new_gpu(), Device::cpu()] {
        let (_, step) = scores(&device);
        for n in [2, 1, 0, 5, 2, 1, 0, 5, 2] {
            let out = step.run(&[rows(n, &device)]).unwrap();
            assert_eq!(out[0].to_vec::<f32>().unwrap(), vec![3.0; n]);
        }
        assert_eq!(step.variants(), 4);
        let halves = Tensor::from_slice(&[1i32; 6], [2, 3], &device);
        assert_eq!(step.run(&[halves]).unwrap()[0].to_vec::<f32>().unwrap(), [3.0, 3.0]);
        assert_eq!(step.variants(), 5);
    }
}

#[test]
fn strict_refuses_another_shape() {
    let device = Device::cpu();
    let (_, step) = scores(&device);
    let step = step.strict();
    step.run(&[rows(2, &device)]).unwrap();
    step.run(&[rows(2, &device)]).unwrap();
    let line = line!() + 1;
    let error = step.run(&[rows(3, &device)]).unwrap_err().to_string();
    assert!(error.contains("[2, 3]") && error.contains("[3, 3]") && error.contains(&format!(":{line}:")), "{error}");
    assert_eq!(step.variants(), 1);
}

#[test]
fn reading_inside_is_an_error_with_the_line() {
    for device in [new_gpu(), Device::cpu()] {
        let x = rows(2, &device);
        let line = line!() + 2;
        let item = capture(&device, |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let total = x[0].sum().item::<f32>()?;
            Ok(vec![&x[0] * total])
        });
        let error = item.unwrap().run(std::slice::from_ref(&x)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("item: ") && text.contains(&format!("{}:{line}:", file!())), "{text}");
        // Also where the closure ignores the error, and for other ways to read.
        let swallowed = capture(&device, |x: &[Tensor]| {
            let _ = x[0].to_vec::<f32>();
            vec![x[0].clone()]
        });
        let text = swallowed.unwrap().run(std::slice::from_ref(&x)).unwrap_err().to_string();
        assert!(text.starts_with("to_vec: "), "{text}");
        let moved = capture(&device, |x: &[Tensor]| vec![x[0].to_device(&Device::cpu()).to_device(x[0].device())]);
        if !device.is_cpu() {
            moved.unwrap().run(std::slice::from_ref(&x)).unwrap_err();
        }
        // The device goes on.
        assert_eq!(x.sum().item::<f32>().unwrap(), 6.0);
    }
}

#[test]
fn inputs_parameters_and_views_may_be_returned() {
    for device in [new_gpu(), Device::cpu()] {
        let w = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &device).requires_grad();
        let own = w.clone();
        let step = capture(&device, move |x: &[Tensor]| {
            let y = &x[0] + &own;
            let seven = Tensor::full([2], 7.0, own.device());
            vec![x[0].clone(), own.clone(), y.t(), x[0].t(), y.reshape([4]), seven, y.clone(), y.slice(0, 1..2)]
        })
        .unwrap();
        for i in 0..4 {
            let shift = i as f32;
            w.assign(&(Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &device) + shift));
            let x = Tensor::from_slice(&[10f32, 20.0, 30.0, 40.0], [2, 2], &device);
            let out = step.run(&[x]).unwrap();
            let read = |k: usize| out[k].to_vec::<f32>().unwrap();
            assert_eq!(read(0), [10.0, 20.0, 30.0, 40.0]);
            assert_eq!(read(1), [1.0, 2.0, 3.0, 4.0].map(|v| v + shift));
            assert_eq!(read(2), [11.0, 33.0, 22.0, 44.0].map(|v| v + shift));
            assert_eq!(read(3), [10.0, 30.0, 20.0, 40.0]);
            assert_eq!(read(4), [11.0, 22.0, 33.0, 44.0].map(|v| v + shift));
            assert_eq!(read(5), [7.0, 7.0]);
            assert_eq!(read(6), read(4));
            assert_eq!(read(7), [33.0, 44.0].map(|v| v + shift));
            assert!(!out[1].is_leaf_with_grad() && out[4].shape() == [4]);
        }
        assert_eq!(step.variants(), 1);
    }
}

#[test]
fn changes_from_outside_are_seen() {
    for device in [new_gpu(), Device::cpu()] {
        let (mut w, step) = scores(&device);
        let x = rows(1, &device);
        let run = || step.run(std::slice::from_ref(&x)).unwrap()[0].item::<f32>().unwrap();
        assert_eq!((run(), run()), (3.0, 3.0));
        w.assign(&Tensor::from_slice(&[10f32, 20.0, 30.0], [3], &device));
        assert_eq!(run(), 60.0);
        // Pending values, views and numbers too.
        w *= 2.0;
        assert_eq!(run(), 120.0);
        w.assign(&Tensor::zeros([3], &device));
        assert_eq!(run(), 0.0);
        w.assign(&Tensor::arange(0.0, 6.0, 1.0, &device).reshape([3, 2]).select(1, 1));
        assert_eq!(run(), 9.0);
        w.assign(&Tensor::ones([4], &device));
        let error = step.run(std::slice::from_ref(&x)).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
}

#[test]
fn steps_share_parameters() {
    for device in [new_gpu(), Device::cpu()] {
        let w = Tensor::from_slice(&[8f32, 4.0], [2], &device).requires_grad();
        let make = |rate: f32| {
            let (own, mut optimizer) = (w.clone(), Sgd::new(vec![w.clone()], rate));
            capture(&device, move |_: &[Tensor]| {
                optimizer.zero_grad();
                own.square().sum().backward()?;
                optimizer.step()?;
                Ok(Vec::new())
            })
            .unwrap()
        };
        let (halve, quarter) = (make(0.25), make(0.375));
        let mut expected = [8f32, 4.0];
        for i in 0..6 {
            let (step, factor) = if i % 2 == 0 { (&halve, 0.5) } else { (&quarter, 0.25) };
            assert!(step.run(&[]).unwrap().is_empty());
            expected = expected.map(|v| v * factor);
            assert_eq!(w.to_vec::<f32>().unwrap(), expected);
            assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), expected.map(|v| 2.0 * v / factor));
        }
    }
}

#[test]
fn gradients_accumulate_across_runs() {
    for device in [new_gpu(), Device::cpu()] {
        let w = Tensor::from_slice(&[1f32, 2.0], [2], &device).requires_grad();
        let own = w.clone();
        let step = capture(&device, move |x: &[Tensor]| {
            (&own * &x[0]).sum().backward()?;
            Ok(vec![])
        })
        .unwrap();
        let grad = || w.grad().map(|g| g.to_vec::<f32>().unwrap());
        let x = Tensor::from_slice(&[3f32, 5.0], [2], &device);
        for i in 1..=3 {
            step.run(std::slice::from_ref(&x)).unwrap();
            assert_eq!(grad(), Some(vec![3.0 * i as f32, 5.0 * i as f32]));
        }
        // Without a gradient, and with one to add to.
        assert_eq!(step.variants(), 2);
        w.zero_grad();
        step.run(std::slice::from_ref(&x)).unwrap();
        assert_eq!((grad(), step.variants()), (Some(vec![3.0, 5.0]), 2));
        let clear = {
            let own = w.clone();
            capture(&device, move |_: &[Tensor]| {
                own.zero_grad();
                vec![]
            })
        };
        clear.unwrap().run(&[]).unwrap();
        assert!(w.grad().is_none());
    }
}

/// The gradient of a sum is a view of one number.
#[test]
fn gradients_that_are_views_come_back() {
    for device in [new_gpu(), Device::cpu()] {
        let (w, v) = (Tensor::ones([3], &device).requires_grad(), Tensor::ones([2, 3], &device).requires_grad());
        let own = (w.clone(), v.clone());
        let step = capture(&device, move |x: &[Tensor]| {
            own.0.zero_grad();
            own.1.zero_grad();
            (own.0.sum() + (own.1.t().matmul(&x[0])).sum()).backward()?;
            Ok(vec![])
        })
        .unwrap();
        for _ in 0..3 {
            step.run(&[Tensor::from_slice(&[2f32, 3.0], [2], &device)]).unwrap();
            assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [1.0; 3]);
            assert_eq!(v.grad().unwrap().to_vec::<f32>().unwrap(), [2.0, 2.0, 2.0, 3.0, 3.0, 3.0]);
        }
        w.zero_grad();
        v.zero_grad();
        let own = (w.clone(), v.clone());
        let add = capture(&device, move |_: &[Tensor]| {
            (own.0.sum() * 2.0 + own.1.t().sum()).backward()?;
            Ok(vec![])
        })
        .unwrap();
        for i in 1..5 {
            add.run(&[]).unwrap();
            assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [2.0 * i as f32; 3]);
            assert_eq!(v.grad().unwrap().to_vec::<f32>().unwrap(), [i as f32; 6]);
        }
    }
}

#[test]
fn variables_may_trade_places() {
    for device in [new_gpu(), Device::cpu()] {
        let make = |v: f32| Tensor::from_slice(&[v], [1], &device);
        let (a, b, c) = (make(1.0), make(2.0), make(3.0));
        let own = [a.clone(), b.clone(), c.clone()];
        let step = capture(&device, move |x: &[Tensor]| {
            let [a, b, c] = &own;
            let old = a.detach();
            a.assign(b);
            b.assign(&old);
            c.assign(&x[0]);
            vec![]
        })
        .unwrap();
        for i in 0..4 {
            step.run(&[make(i as f32)]).unwrap();
            let expected = if i % 2 == 0 { (2.0, 1.0) } else { (1.0, 2.0) };
            assert_eq!((a.item::<f32>().unwrap(), b.item::<f32>().unwrap()), expected);
            assert_eq!(c.item::<f32>().unwrap(), i as f32);
        }
    }
}

#[test]
fn random_numbers_go_on_with_the_device() {
    for device in [new_gpu(), Device::cpu()] {
        let draw = |d: &Device| vec![Tensor::randn([5], d), Tensor::randint([4], 0, 1000, d), Tensor::rand([3], d)];
        let read = |out: &[Tensor]| {
            let ints = out[1].to_dtype(DType::F32).to_vec::<f32>().unwrap();
            [out[0].to_vec::<f32>().unwrap(), ints, out[2].to_vec::<f32>().unwrap()].concat()
        };
        device.seed(5);
        let expected: Vec<_> = (0..4).map(|_| read(&draw(&device))).collect();
        let d = device.clone();
        let step = capture(&device, move |_: &[Tensor]| draw(&d)).unwrap();
        device.seed(5);
        for numbers in &expected {
            assert_eq!(&read(&step.run(&[]).unwrap()), numbers);
        }
        // A seed set between the runs holds, and so does one set inside.
        device.seed(5);
        assert_eq!(&read(&step.run(&[]).unwrap()), &expected[0]);
        let d = device.clone();
        let seeded = capture(&device, move |_: &[Tensor]| {
            d.seed(5);
            draw(&d)
        })
        .unwrap();
        for _ in 0..3 {
            assert_eq!(&read(&seeded.run(&[]).unwrap()), &expected[0]);
        }
        assert_eq!(read(&draw(&device)), expected[1]);
    }
}

#[test]
fn what_cannot_be_captured_is_an_error() {
    let device = new_gpu();
    let x = rows(1, &device);
    let inner_device = device.clone();
    let nested = capture(&device, |x: &[Tensor]| {
        let inner = capture(&inner_device, |x: &[Tensor]| vec![x[0].clone()]);
        assert!(inner.is_err());
        vec![x[0].clone()]
    });
    let text = nested.unwrap().run(std::slice::from_ref(&x)).unwrap_err().to_string();
    assert!(text.contains("do not nest") && text.contains(file!()), "{text}");
    let inner = capture(&device, |x: &[Tensor]| vec![x[0].clone()]).unwrap();
    let outer = capture(&device, |x: &[Tensor]| inner.run(x));
    assert!(outer.unwrap().run(std::slice::from_ref(&x)).unwrap_err().to_string().contains("do not nest"));

    let (_, step) = scores(&device);
    let error = step.run(&[rows(1, &Device::cpu())]).unwrap_err();
    assert!(matches!(error, Error::DeviceMismatch { .. }) && error.to_string().contains(file!()), "{error}");
    let error = step.run(&[rows(1, &device).requires_grad()]).unwrap_err();
    assert!(matches!(error, Error::Autograd { .. }), "{error}");
    let error = step.run(&[&x + Tensor::ones([7], &device)]).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let error = step.run(&[Tensor::ones([4, 4], &device)]).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    // A failed variant is not kept.
    assert_eq!((step.run(std::slice::from_ref(&x)).unwrap().len(), step.variants()), (1, 1));

    let assigns = capture(&device, |x: &[Tensor]| {
        x[0].assign(&(&x[0] + 1.0));
        vec![]
    });
    let text = assigns.unwrap().run(std::slice::from_ref(&x)).unwrap_err().to_string();
    assert!(text.contains("assign to its inputs"), "{text}");

    let w = Tensor::ones([1], &device).requires_grad();
    let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
    let line = line!() + 2;
    let scheduled = capture(&device, move |_: &[Tensor]| {
        optimizer.set_lr(0.01);
        w.sum().backward()?;
        optimizer.step()?;
        Ok(vec![])
    });
    let text = scheduled.unwrap().run(&[]).unwrap_err().to_string();
    assert!(text.starts_with("set_lr: ") && text.contains(&format!("{}:{line}:", file!())), "{text}");

    let elsewhere = capture(&device, |_: &[Tensor]| vec![Tensor::ones([1], &Device::cpu())]);
    assert!(matches!(elsewhere.unwrap().run(&[]).unwrap_err(), Error::DeviceMismatch { .. }));
}

#[test]
fn a_panic_inside_leaves_the_thread_usable() {
    let device = Device::cpu();
    let step = capture(&device, |_: &[Tensor]| -> Vec<Tensor> { panic!("inside") }).unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step.run(&[])));
    assert!(outcome.is_err());
    assert_eq!(Tensor::ones([2], &device).sum().item::<f32>().unwrap(), 2.0);
    let (_, step) = scores(&device);
    assert_eq!(step.run(&[rows(1, &device)]).unwrap()[0].item::<f32>().unwrap(), 3.0);
}

/// The closure's own variable is another tensor after `=`: replays would always add to the first one.
#[test]
fn replacing_a_tensor_is_an_error_and_assigning_is_not() {
    for device in [new_gpu(), Device::cpu()] {
        let x = Tensor::from_slice(&[2f32], [1], &device);
        let zero = || Tensor::from_slice(&[0f32], [1], &device);
        let mut total = zero();
        let replaced = capture(&device, move |x: &[Tensor]| {
            total = &total + &x[0];
            vec![total.clone()]
        });
        let text = replaced.unwrap().run(std::slice::from_ref(&x)).unwrap_err().to_string();
        assert!(text.contains("assign") && text.contains(file!()), "{text}");
        let mut total = zero();
        let replaced = capture(&device, move |x: &[Tensor]| {
            total += &x[0];
            vec![total.clone()]
        });
        replaced.unwrap().run(std::slice::from_ref(&x)).unwrap_err();
        let total = zero();
        let assigned = capture(&device, move |x: &[Tensor]| {
            total.assign(&(&total + &x[0]));
            vec![total.clone()]
        })
        .unwrap();
        for i in 1..5 {
            assert_eq!(assigned.run(std::slice::from_ref(&x)).unwrap()[0].item::<f32>().unwrap(), 2.0 * i as f32);
        }
    }
}

#[test]
fn hand_written_updates() {
    for device in [new_gpu(), Device::cpu()] {
        let w = Tensor::from_slice(&[1f32, -2.0], [2], &device).requires_grad();
        let mut own = w.clone();
        let step = capture(&device, move |_: &[Tensor]| {
            own.square().sum().backward()?;
            let gradient = own.grad().map(|g| g * 0.25);
            own.zero_grad();
            if let Some(gradient) = gradient {
                own -= gradient;
            }
            Ok(vec![])
        })
        .unwrap();
        for i in 1..5 {
            step.run(&[]).unwrap();
            let factor = 0.5f32.powi(i);
            assert_eq!(w.to_vec::<f32>().unwrap(), [factor, -2.0 * factor]);
            assert!(w.grad().is_none());
        }
        assert_eq!(step.variants(), 1);
    }
}

#[test]
fn graphs_made_outside_are_values_inside() {
    for device in [new_gpu(), Device::cpu()] {
        let w = Tensor::from_slice(&[3f32], [1], &device).requires_grad();
        let h = w.square();
        let own = h.clone();
        let through = capture(&device, move |_: &[Tensor]| {
            (&own * 2.0).sum().backward()?;
            Ok(vec![])
        });
        let text = through.unwrap().run(&[]).unwrap_err().to_string();
        assert!(text.contains("outside") && text.contains("square") && text.contains(file!()), "{text}");
        let (own, h) = (w.clone(), h.clone());
        let beside = capture(&device, move |_: &[Tensor]| {
            own.zero_grad();
            (&own * h.detach()).sum().backward()?;
            Ok(vec![&own * &h])
        })
        .unwrap();
        for i in 0..3 {
            w.assign(&Tensor::from_slice(&[i as f32], [1], &device));
            assert_eq!(beside.run(&[]).unwrap()[0].item::<f32>().unwrap(), 9.0 * i as f32);
            assert_eq!(w.grad().unwrap().item::<f32>().unwrap(), 9.0);
        }
    }
}

/// A step may be made in one thread and run in others.
#[test]
fn steps_go_to_other_threads() {
    let device = new_gpu();
    let (_, step) = scores(&device);
    std::thread::scope(|scope| {
        for n in 1..5 {
            let (step, device) = (&step, &device);
            scope.spawn(move || {
                for _ in 0..10 {
                    assert_eq!(step.run(&[rows(n, device)]).unwrap()[0].to_vec::<f32>().unwrap(), vec![3.0; n]);
                }
            });
        }
    });
    assert_eq!(step.variants(), 4);
}

fn training_step(device: &Device) -> (Net, Captured<'static>) {
    let net = Net::new(device);
    let (own, mut optimizer) = (net.clone(), Adam::new(net.parameters.clone(), 0.01));
    let step = capture(device, move |x: &[Tensor]| {
        let loss = own.loss(&x[0], &x[1], 0.1)?;
        optimizer.step()?;
        Ok(vec![loss])
    });
    (net, step.unwrap())
}

#[test]
fn two_thousand_runs_make_nothing_new() {
    let device = new_gpu();
    let (_, step) = training_step(&device);
    let inputs = batch(0, 8, &device);
    let footprint = || {
        let (s, m) = (device.stats(), device.memory());
        (s.kernels_compiled, s.plans_built, s.bind_groups, m.allocations, m.in_use, m.peak)
    };
    (0..3).for_each(|_| drop(step.run(&inputs).unwrap()));
    let (fixed, before) = (footprint(), device.stats());
    for i in 3..2000 {
        drop(step.run(&inputs).unwrap());
        if i % 400 == 0 {
            device.sync().unwrap();
            assert_eq!(footprint(), fixed, "after {i} runs");
        }
    }
    assert_eq!(footprint(), fixed);
    let after = device.stats();
    assert_eq!((after.submits - before.submits, after.plans_reused), (1997, before.plans_reused));
}

#[test]
fn a_run_takes_no_more_dispatches_than_the_dynamic_step() {
    for make in optimizers().into_iter().map(|(_, make)| make) {
        let device = new_gpu();
        let count = |captured: bool| {
            let net = Net::new(&device);
            let (own, (mut optimizer, _)) = (net.clone(), make(net.parameters.clone()));
            let mut f = move |x: &[Tensor]| -> Result<Vec<Tensor>> {
                let loss = own.loss(&x[0], &x[1], 0.1)?;
                optimizer.step()?;
                Ok(vec![loss])
            };
            let inputs = batch(0, 8, &device);
            let measure = |run: &mut dyn FnMut() -> Vec<Tensor>| {
                (0..2).for_each(|_| drop(run()));
                let before = device.stats();
                run()[0].item::<f32>().unwrap();
                (device.stats().dispatches - before.dispatches, device.stats().submits - before.submits)
            };
            if captured {
                let step = capture(&device, f).unwrap();
                measure(&mut || step.run(&inputs).unwrap())
            } else {
                measure(&mut || f(&inputs).unwrap())
            }
        };
        let (dynamic, captured) = (count(false), count(true));
        assert!(captured.0 <= dynamic.0 && captured.1 <= dynamic.1, "{captured:?} > {dynamic:?}");
        assert!(captured.0 > 0);
    }
}

#[test]
fn indices_are_checked_at_every_run() {
    for device in [new_gpu(), Device::cpu()] {
        let table = Tensor::arange(0.0, 12.0, 1.0, &device).reshape([4, 3]).contiguous();
        let total = Tensor::from_slice(&[0f32], (), &device);
        let own = (table.clone(), total.clone());
        let line = line!() + 2;
        let step = capture(&device, move |x: &[Tensor]| {
            let rows = own.0.index_select(0, &x[0]);
            own.1.assign(&(&own.1 + rows.sum()));
            vec![rows]
        })
        .unwrap();
        let index = |i: i32| [Tensor::from_slice(&[i], [1], &device)];
        let good: Vec<Tensor> = (0..3).map(|i| step.run(&index(i)).unwrap().remove(0)).collect();
        for (i, rows) in good.iter().enumerate() {
            assert_eq!(rows.to_vec::<f32>().unwrap()[0], 3.0 * i as f32);
        }
        assert_eq!(total.item::<f32>().unwrap(), 3.0 + 12.0 + 21.0);
        let bad = step.run(&index(9)).and_then(|out| out[0].to_vec::<f32>());
        let error = bad.unwrap_err();
        assert!(matches!(error, Error::IndexOutOfRange { index: 9, bound: 4, .. }), "{error}");
        assert!(error.to_string().contains(&format!("{}:{line}:", file!())), "{error}");
        if !device.is_cpu() {
            // What the bad index went into stays an error, in the variable and in what runs make of it.
            total.item::<f32>().unwrap_err();
            let after = step.run(&index(1)).unwrap().remove(0);
            assert_eq!(after.to_vec::<f32>().unwrap(), [3.0, 4.0, 5.0]);
            total.item::<f32>().unwrap_err();
        }
        total.assign(&Tensor::zeros((), &device));
        step.run(&index(1)).unwrap();
        assert_eq!(total.item::<f32>().unwrap(), 12.0);
    }
}

/// Several runs are under way when the fault is read: those before the bad one stay good.
#[test]
fn a_fault_spoils_no_earlier_run() {
    let device = new_gpu();
    let table = Tensor::arange(0.0, 4.0, 1.0, &device).contiguous();
    let own = table.clone();
    let step = capture(&device, move |x: &[Tensor]| vec![own.index_select(0, &x[0])]).unwrap();
    let index = |i: i32| [Tensor::from_slice(&[i], [1], &device)];
    let out: Vec<Tensor> = [0, 1, 7, 2].iter().map(|&i| step.run(&index(i)).unwrap().remove(0)).collect();
    out[2].to_vec::<f32>().unwrap_err();
    assert_eq!(out[0].item::<f32>().unwrap(), 0.0);
    assert_eq!(out[1].item::<f32>().unwrap(), 1.0);
    out[2].to_vec::<f32>().unwrap_err();
}

#[test]
fn dropping_a_step_frees_its_memory() {
    let device = new_gpu();
    device.sync().unwrap();
    let before = device.memory().in_use;
    for _ in 0..3 {
        {
            let (_net, step) = training_step(&device);
            let inputs = batch(0, 8, &device);
            (0..4).for_each(|_| drop(step.run(&inputs).unwrap()));
            assert!(device.memory().in_use > before);
        }
        // The workspace, which all plans share, goes too.
        device.trim();
        let after = device.memory();
        assert_eq!((after.in_use, after.pooled), (before, 0));
    }
}

#[test]
fn results_may_be_held() {
    let device = new_gpu();
    let (net, step) = training_step(&device);
    let inputs = batch(0, 8, &device);
    let losses: Vec<Tensor> = (0..20).map(|_| step.run(&inputs).unwrap().remove(0)).collect();
    let weights = net.parameters[0].detach();
    let (first, seen) = (losses[0].item::<f32>().unwrap(), bits(&weights));
    (0..5).for_each(|_| drop(step.run(&inputs).unwrap()));
    assert_eq!(bits(&weights), seen);
    assert_ne!(bits(&net.parameters[0]), seen);
    let values: Vec<f32> = losses.iter().map(|l| l.item::<f32>().unwrap()).collect();
    assert_eq!(values[0], first);
    assert!(values.windows(2).all(|w| w[0] != w[1]), "{values:?}");
}

#[test]
fn the_closure_runs_once_for_each_variant() {
    let device = Device::cpu();
    let calls = AtomicUsize::new(0);
    let step = capture(&device, |x: &[Tensor]| {
        calls.fetch_add(1, Ordering::Relaxed);
        vec![&x[0] * 2.0]
    })
    .unwrap();
    for n in [1, 2, 1, 2, 3] {
        assert_eq!(step.run(&[rows(n, &device)]).unwrap()[0].to_vec::<f32>().unwrap(), vec![2.0; 3 * n]);
    }
    assert_eq!((calls.load(Ordering::Relaxed), step.variants()), (3, 3));
}

/// Tensors that the closure leaves behind by other ways than returning them are computed as ever, with the first run's numbers.
#[test]
fn leaked_tensors_keep_the_first_runs_values() {
    for device in [new_gpu(), Device::cpu()] {
        let mut leaked = None;
        {
            let slot = &mut leaked;
            let d = device.clone();
            device.seed(2);
            let step = capture(&device, move |x: &[Tensor]| {
                let noise = Tensor::rand([3], &d);
                slot.get_or_insert(&noise + 1.0);
                vec![&x[0] + &noise]
            })
            .unwrap();
            (0..3).for_each(|_| drop(step.run(&[rows(1, &device)]).unwrap()));
        }
        device.sync().unwrap();
        device.seed(2);
        let expected = (Tensor::rand([3], &device) + 1.0).to_vec::<f32>().unwrap();
        assert_eq!(leaked.unwrap().to_vec::<f32>().unwrap(), expected);
    }
}
