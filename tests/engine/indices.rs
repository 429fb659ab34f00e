//! Indices that come from data are checked on the device.

use std::sync::Barrier;
use std::thread;

use wgrad::nn::loss;
use wgrad::optim::Sgd;
use wgrad::{Device, Error, Result, Tensor};

use crate::new_gpu;

fn index(values: &[i32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

/// Reading `result` fails with the index, the bound and the user's line.
#[track_caller]
fn assert_refused(result: &Tensor, line: u32, op: &str, wrong: i64, size: u64, shape: &str) {
    let error = result.to_vec::<f32>().unwrap_err();
    let text = error.to_string();
    let fits = matches!(error, Error::IndexOutOfRange { index, bound, .. } if (index, bound) == (wrong, size));
    assert!(fits, "{text}");
    let place = format!("{}:{line}:", file!());
    assert!(
        text.starts_with(&format!("{op}: index {wrong} ")) && text.contains(shape) && text.contains(&place),
        "{text}"
    );
}

#[test]
fn indices_out_of_range_are_errors_and_the_device_goes_on() {
    for d in [new_gpu(), Device::cpu()] {
        let x = Tensor::arange(0.0, 12.0, 1.0, &d).reshape([4, 3]);
        let wide = Tensor::from_slice(&[0i32, 1, 2, 7], [4, 1], &d);
        let (line, selected) = (line!(), x.index_select(0, &index(&[0, 9], &d)));
        assert_refused(&selected, line, "index_select", 9, 4, "[4, 3]");
        let (line, gathered) = (line!(), x.gather(1, &wide));
        assert_refused(&gathered, line, "gather", 7, 3, "[4, 3]");
        let (line, embedded) = (line!(), Tensor::embedding(&x, &index(&[3, -5], &d)));
        assert_refused(&embedded, line, "embedding", -5, 4, "[4, 3]");
        let (line, added) = (line!(), x.scatter_add(1, &wide, &Tensor::ones([4, 1], &d)));
        assert_refused(&added, line, "scatter_add", 7, 3, "[4, 3]");
        let (line, set) = (line!(), x.scatter(1, &wide, &Tensor::ones([4, 1], &d)));
        assert_refused(&set, line, "scatter", 7, 3, "[4, 3]");
        let (line, loss) = (line!(), loss::cross_entropy(&x, &index(&[0, 1, 3, 2], &d)));
        assert_refused(&loss, line, "cross_entropy", 3, 3, "[4, 3]");
        // The error comes once; then the device works as before.
        assert_eq!(x.index_select(0, &index(&[2], &d)).to_vec::<f32>().unwrap(), [6.0, 7.0, 8.0]);
        assert_eq!(x.sum().item::<f32>().unwrap(), 66.0);
    }
}

/// The index of the fault that `outcome` returns, if it returns one.
#[track_caller]
fn fault<T>(outcome: Result<T>) -> Option<i64> {
    match outcome {
        Ok(_) => None,
        Err(Error::IndexOutOfRange { index, .. }) => Some(index),
        Err(other) => panic!("{other}"),
    }
}

/// `0, 1, 2, 3`, to be indexed.
fn four(device: &Device) -> Tensor {
    Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0], [4], device)
}

#[test]
fn a_fault_spoils_only_what_hangs_on_it() {
    [new_gpu(), Device::cpu()].into_iter().for_each(spoils_only_what_hangs_on_it);
}

fn spoils_only_what_hangs_on_it(d: Device) {
    let x = four(&d);
    let elsewhere = x.index_select(0, &index(&[2], &d));
    let bad = x.index_select(0, &index(&[4], &d));
    elsewhere.realize().unwrap();
    bad.realize().unwrap();
    // The first read after the fault is of other values.
    assert_eq!(elsewhere.to_vec::<f32>().unwrap(), [2.0]);
    assert_eq!((&x * 2.0).sum().item::<f32>().unwrap(), 12.0);
    assert_eq!(fault(bad.to_vec::<f32>()), Some(4));
    assert_eq!(fault(d.sync()), None);

    // One flush computes all of these.
    let picked = x.index_select(0, &index(&[3, 1], &d));
    let wrong = x.index_select(0, &index(&[-7, 1], &d));
    let (plain, good, mixed) = (&x + 1.0, &picked * 10.0, (&picked + &wrong).sum());
    let (before, plans) = (d.stats(), d.stats().plans_built);
    assert_eq!(fault(d.sync()), Some(-7));
    if !d.is_cpu() {
        assert_eq!((d.stats().submits - before.submits, d.stats().plans_built - plans), (2, 1));
    }
    assert_eq!(plain.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(good.to_vec::<f32>().unwrap(), [30.0, 10.0]);
    for _ in 0..2 {
        assert_eq!(fault(mixed.item::<f32>()), Some(-7));
        assert_eq!(fault(wrong.to_vec::<f32>()), Some(-7));
        assert_eq!(fault((&wrong.detach() * 0.0).to_vec::<f32>()), Some(-7));
        assert_eq!(picked.to_vec::<f32>().unwrap(), [3.0, 1.0]);
        assert_eq!(fault(d.sync()), None);
    }
}

#[test]
fn sync_returns_each_fault_once() {
    [new_gpu(), Device::cpu()].into_iter().for_each(returns_each_fault_once);
}

fn returns_each_fault_once(d: Device) {
    let x = Tensor::arange(0.0, 12.0, 1.0, &d).reshape([4, 3]);
    let (first, selected) = (line!(), x.index_select(0, &index(&[0, 9], &d)));
    selected.realize().unwrap();
    let (second, embedded) = (line!(), Tensor::embedding(&x, &index(&[3, -5], &d)));
    embedded.realize().unwrap();
    for (op, line) in [("index_select: index 9 ", first), ("embedding: index -5 ", second)] {
        let text = d.sync().unwrap_err().to_string();
        assert!(text.starts_with(op) && text.contains(&format!("{}:{line}:", file!())), "{text}");
    }
    d.sync().unwrap();
    for _ in 0..2 {
        assert_refused(&embedded, second, "embedding", -5, 4, "[4, 3]");
        assert_refused(&selected, first, "index_select", 9, 4, "[4, 3]");
    }
    d.sync().unwrap();

    // Loss and gradient both check the targets; that is one fault.
    let w = Tensor::zeros([2, 3], &d).requires_grad();
    let loss = loss::cross_entropy(&w, &index(&[0, 5], &d));
    loss.backward().unwrap();
    let grad = w.grad().unwrap();
    assert_eq!(fault(d.sync()), Some(5));
    d.sync().unwrap();
    assert_eq!((fault(loss.item::<f32>()), fault(grad.to_vec::<f32>())), (Some(5), Some(5)));

    // The value is gone before anybody looked.
    x.index_select(0, &index(&[8], &d)).realize().unwrap();
    assert_eq!(x.sum().item::<f32>().unwrap(), 66.0);
    assert_eq!(fault(d.sync()), Some(8));
    d.sync().unwrap();
}

#[test]
fn threads_meet_their_own_faults_only() {
    // Not the shared device: a `sync` in another test would return these faults.
    let d = &new_gpu();
    let x = four(d);
    x.realize().unwrap();
    thread::scope(|scope| {
        for t in 0..8usize {
            let x = &x;
            scope.spawn(move || {
                let mut sum = Tensor::zeros([2], d);
                for turn in 0..40usize {
                    if t % 2 == 0 {
                        let wrong = (100 * (t + 1) + turn) as i32;
                        let bad = x.index_select(0, &index(&[1, wrong], d)) * 2.0;
                        if turn % 3 == 0 {
                            bad.realize().unwrap();
                            assert_eq!(x.to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0]);
                        }
                        assert_eq!(fault(bad.to_vec::<f32>()), Some(i64::from(wrong)));
                    } else {
                        // Depends on the checks of many flushes, between which lie those of others.
                        sum += x.index_select(0, &index(&[(turn % 4) as i32, 3], d));
                        sum.realize().unwrap();
                        if turn % 10 == 9 {
                            let expected: usize = (0..=turn).map(|i| i % 4).sum();
                            let found = sum.to_vec::<f32>().unwrap();
                            assert_eq!(found, [expected as f32, 3.0 * (turn + 1) as f32], "thread {t}, turn {turn}");
                        }
                    }
                }
            });
        }
    });
}

/// Whichever read learns of a fault, no other one hands out the spoilt value.
#[test]
fn every_reader_of_a_spoilt_value_is_told() {
    let d = &new_gpu();
    let x = four(d);
    for turn in 0..60 {
        let bad = x.index_select(0, &index(&[turn + 4], d)) + 1.0;
        bad.realize().unwrap();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for t in 0..4 {
                let (bad, x, start) = (&bad, &x, &start);
                scope.spawn(move || {
                    start.wait();
                    match t {
                        0 => assert_eq!(x.to_vec::<f32>().unwrap().len(), 4),
                        1 => assert_eq!(fault((bad * 2.0).to_vec::<f32>()), Some(i64::from(turn) + 4)),
                        _ => assert_eq!(fault(bad.to_vec::<f32>()), Some(i64::from(turn) + 4)),
                    }
                });
            }
        });
    }
}

/// More flushes with checks than the device has slots for, and more checks in one flush than a flush has.
#[test]
fn many_checks_between_reads() {
    let d = new_gpu();
    let x = four(&d);
    let faulty = [3, 255, 256, 257, 600];
    let mut running = Tensor::zeros([1], &d);
    let values: Vec<Tensor> = (0..700i32)
        .map(|i| {
            let at = if faulty.contains(&i) { 1000 + i } else { i % 4 };
            let y = x.index_select(0, &index(&[at], &d));
            if !faulty.contains(&i) {
                running = &running + &y;
            }
            y.realize().unwrap();
            running.realize().unwrap();
            y
        })
        .collect();
    let expected: i32 = (0..700).filter(|i| !faulty.contains(i)).map(|i| i % 4).sum();
    assert_eq!(running.to_vec::<f32>().unwrap(), [expected as f32]);
    for (i, y) in (0i32..).zip(&values) {
        match faulty.contains(&i) {
            true => assert_eq!(fault(y.to_vec::<f32>()), Some(1000 + i64::from(i))),
            false => assert_eq!(y.to_vec::<f32>().unwrap(), [(i % 4) as f32], "flush {i}"),
        }
    }
    d.sync().unwrap();

    let values: Vec<Tensor> =
        (0..600).map(|i| x.index_select(0, &index(&[if i == 290 { 44 } else { i % 4 }], &d))).collect();
    assert_eq!(fault(d.sync()), Some(44));
    for (i, y) in values.iter().enumerate() {
        // Every 256th op of a flush shares its fate.
        let found = fault(y.to_vec::<f32>());
        assert_eq!(found, (i % 256 == 290 % 256).then_some(44), "op {i}");
    }
    assert_eq!(x.index_select(0, &index(&[3], &d)).item::<f32>().unwrap(), 3.0);
    d.sync().unwrap();
}

#[test]
fn what_is_computed_from_a_spoilt_value_is_spoilt() {
    let d = new_gpu();
    let x = four(&d);
    let spoilt = x.index_select(0, &index(&[6], &d));
    spoilt.realize().unwrap();
    // Its own result is not read before many others have come.
    for i in 0..5 {
        assert_eq!(x.index_select(0, &index(&[i % 4], &d)).to_vec::<f32>().unwrap(), [(i % 4) as f32]);
    }
    for _ in 0..2 {
        assert_eq!(fault(spoilt.to_vec::<f32>()), Some(6));
        assert_eq!(fault((&spoilt * 0.0).sum().item::<f32>()), Some(6));
        assert_eq!(fault(spoilt.detach().to_vec::<f32>()), Some(6));
    }
    // A variable keeps what it holds, and takes the next good value.
    let w = Tensor::ones([1], &d);
    w.assign(&spoilt);
    assert_eq!(w.to_vec::<f32>().unwrap(), [1.0]);
    w.assign(&Tensor::zeros([1], &d));
    assert_eq!(w.to_vec::<f32>().unwrap(), [0.0]);
    d.sync().unwrap();
}

/// One plan, fault or none by iterations, until every slot has been used several times.
#[test]
fn a_reused_plan_tells_its_runs_apart() {
    let d = new_gpu();
    let x = four(&d);
    let mut plans = 0;
    for turn in 0..900i32 {
        let at = if turn % 3 == 1 { 4 + turn } else { turn % 4 };
        let y = x.gather(0, &index(&[at], &d)) + 1.0;
        if turn % 2 == 0 {
            y.realize().unwrap();
        }
        match turn % 3 == 1 {
            true => assert_eq!(fault(y.to_vec::<f32>()), Some(i64::from(at))),
            false => assert_eq!(y.to_vec::<f32>().unwrap(), [(at + 1) as f32], "turn {turn}"),
        }
        if turn == 0 {
            plans = d.stats().plans_built;
        }
    }
    assert_eq!(d.stats().plans_built, plans);
}

/// A spoilt value that somebody holds on to, and another model on the same device.
#[test]
fn a_spoilt_value_that_is_held_disturbs_no_other_model() {
    for d in [new_gpu(), Device::cpu()] {
        let bad = loss::cross_entropy(&Tensor::zeros([2, 3], &d), &index(&[0, 9], &d));
        let worse = (&bad * 2.0).exp();
        assert_eq!(fault(d.sync()), Some(9));
        let w = Tensor::ones([4], &d).requires_grad();
        let mut optimizer = Sgd::new(vec![w.clone()], 0.25);
        for turn in 1..=3 {
            optimizer.zero_grad();
            w.sum().backward().unwrap();
            optimizer.step().unwrap();
            d.sync().unwrap();
            assert_eq!(w.to_vec::<f32>().unwrap(), [1.0 - 0.25 * turn as f32; 4]);
            assert_eq!((fault(bad.item::<f32>()), fault(worse.item::<f32>())), (Some(9), Some(9)));
        }
        // One that no `sync` has told of yet is told of once, by whoever comes first, and hinders nothing either.
        let unseen = four(&d).index_select(0, &index(&[5], &d));
        optimizer.zero_grad();
        w.sum().backward().unwrap();
        optimizer.step().unwrap();
        assert_eq!(w.to_vec::<f32>().unwrap(), [0.0; 4]);
        assert_eq!(fault(unseen.to_vec::<f32>()), Some(5));
        d.sync().unwrap();
    }
}

/// Replays of captured steps say the same, run by run.
#[test]
fn a_captured_step_spoils_its_own_run_only() {
    for d in [new_gpu(), Device::cpu()] {
        let table = four(&d);
        let step = wgrad::capture(&d, move |x: &[Tensor]| Ok(vec![table.index_select(0, &x[0]), &x[1] * 2.0])).unwrap();
        for turn in 0..6 {
            let at = if turn % 2 == 1 { 4 + turn } else { turn % 4 };
            let out = step.run(&[index(&[at], &d), Tensor::ones([1], &d)]).unwrap();
            assert_eq!(out[1].to_vec::<f32>().unwrap(), [2.0]);
            let found = fault(out[0].to_vec::<f32>());
            assert_eq!(found, (turn % 2 == 1).then_some(i64::from(at)), "turn {turn}");
        }
        d.sync().unwrap();
    }
}
