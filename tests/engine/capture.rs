//! Captured steps against the dynamic loops that they stand for.

use std::sync::atomic::{AtomicUsize, Ordering};

use wgrad::optim::{Adam, AdamW, Optimizer, Rate, Sgd};
use wgrad::{Captured, DType, Device, Error, Result, Tensor, capture};

use crate::{new_gpu, unfused};

/// A network with a bias and a running mean beside its weights.
#[derive(Clone)]
pub(crate) struct Net {
    pub(crate) parameters: Vec<Tensor>,
    running: Tensor,
}

impl Net {
    pub(crate) fn new(device: &Device) -> Net {
        device.seed(3);
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], device).requires_grad();
        let parameters = vec![weight(12, 16), zeros(16), weight(16, 5), zeros(5)];
        let running = Tensor::from_slice(&[0f32; 12], [12], device);
        Net { parameters, running }
    }

    /// Forward and backward with dropout and a running mean as batch norm keeps it.
    pub(crate) fn loss(&self, x: &Tensor, y: &Tensor, dropout: f32) -> Result<Tensor> {
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

pub(crate) fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

pub(crate) fn batch(i: usize, n: usize, device: &Device) -> [Tensor; 2] {
    let x: Vec<f32> = (0..n * 12).map(|k| ((k + 7 * i) as f32 * 0.37).sin()).collect();
    let y: Vec<f32> = (0..n * 5).map(|k| ((k + 3 * i) as f32 * 0.11).cos()).collect();
    [Tensor::from_slice(&x, [n, 12], device), Tensor::from_slice(&y, [n, 5], device)]
}

pub(crate) type Make = fn(Vec<Tensor>) -> (Box<dyn Optimizer + Send>, Rate);

pub(crate) fn optimizers() -> Vec<(&'static str, Make)> {
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
pub(crate) fn scores(device: &Device) -> (Tensor, Captured<'static>) {
    let w = Tensor::arange(0.0, 3.0, 1.0, device).requires_grad();
    let own = w.clone();
    (w, capture(device, move |x: &[Tensor]| vec![(&x[0] * &own).sum_dims(&[1], false)]).unwrap())
}

pub(crate) fn rows(n: usize, device: &Device) -> Tensor {
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

#[test]
fn a_variable_that_began_as_a_number_is_what_the_runs_made_of_it() {
    for device in [new_gpu(), Device::cpu()] {
        let total = Tensor::zeros((), &device);
        assert_eq!(total.item::<f32>().unwrap(), 0.0);
        let own = total.clone();
        let step = capture(&device, move |x: &[Tensor]| {
            own.assign(&(&own + x[0].sum()));
            Vec::new()
        })
        .unwrap();
        for run in 1..=3 {
            step.run(&[Tensor::ones([2], &device)]).unwrap();
            let expected = 2.0 * run as f32;
            assert_eq!(
                ((&total + 0.5).item::<f32>().unwrap(), total.item::<f32>().unwrap()),
                (expected + 0.5, expected)
            );
        }
    }
}
