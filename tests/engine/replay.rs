//! What runs of captured steps cost and hold: footprint, dispatches, index checks, memory.

use wgrad::optim::Adam;
use wgrad::{Captured, Device, Error, Result, Tensor, capture};

use crate::capture::{Net, batch, bits, optimizers};
use crate::new_gpu;

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
        // The variable never sees what the bad index went into.
        assert_eq!(total.item::<f32>().unwrap(), 3.0 + 12.0 + 21.0);
        let after = step.run(&index(1)).unwrap().remove(0);
        assert_eq!(after.to_vec::<f32>().unwrap(), [3.0, 4.0, 5.0]);
        assert_eq!(total.item::<f32>().unwrap(), 3.0 + 12.0 + 21.0 + 12.0);
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
