//! What a captured step may not do.

use wgrad::optim::Sgd;
use wgrad::{Device, Error, Result, Tensor, capture};

use crate::capture::{rows, scores};
use crate::new_gpu;

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
