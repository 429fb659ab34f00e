//! Saving and loading the state of optimizers.

use std::collections::BTreeMap;

use wgrad::optim::{Adam, Optimizer, ParamGroup, Sgd};
use wgrad::{Device, Error, Result, Tensor, capture};

use crate::{bits, devices, optimizers, parameters, set_gradients};

type Entries = BTreeMap<String, Tensor>;
type Spoil = Box<dyn Fn(&mut Entries)>;

/// Through the host, as a file would take it.
fn copied(entries: &Entries, device: &Device) -> Entries {
    let copy = |t: &Tensor| match t.dtype() {
        wgrad::DType::I32 => Tensor::from_slice(&t.to_vec::<i32>().unwrap(), t.shape(), device),
        _ => Tensor::from_slice(&t.to_vec::<f32>().unwrap(), t.shape(), device),
    };
    entries.iter().map(|(name, t)| (name.clone(), copy(t))).collect()
}

#[test]
fn a_loaded_run_goes_on_bit_for_bit() {
    for device in devices() {
        for (name, make) in optimizers() {
            let p = parameters(&device);
            let mut optimizer = make(p.clone());
            let steps = |p: &[Tensor], optimizer: &mut dyn Optimizer, range: std::ops::Range<usize>| {
                for i in range {
                    set_gradients(p, i);
                    if i < 2 {
                        p[1].zero_grad(); // a parameter whose state begins later
                    }
                    optimizer.set_lr(0.02 / (1.0 + i as f32));
                    optimizer.step().unwrap();
                }
            };
            for pause in [0, 1, 4] {
                steps(&p, &mut *optimizer, if pause == 0 { 0..0 } else { 0..pause });
                let saved = copied(&optimizer.state_dict(), &device);
                let values = p.iter().map(|t| Tensor::from_slice(&t.to_vec::<f32>().unwrap(), t.shape(), &device));
                let q: Vec<Tensor> = values.map(|t| t.requires_grad()).collect();
                let mut other = make(q.clone());
                other.load_state_dict(&saved).unwrap();
                assert_eq!(other.lr(), optimizer.lr());
                steps(&p, &mut *optimizer, pause..8);
                steps(&q, &mut *other, pause..8);
                for (a, b) in p.iter().zip(&q) {
                    assert_eq!(bits(a), bits(b), "{name}, {device:?}, saved after {pause} steps");
                }
                let (a, b) = (optimizer.state_dict(), other.state_dict());
                assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
                for (key, t) in a.iter().filter(|(_, t)| t.dtype() == wgrad::DType::F32) {
                    assert_eq!(bits(t), bits(&b[key]), "{name}: {key}");
                }
            }
        }
    }
}

#[test]
fn captured_steps_go_on_with_a_loaded_state() {
    for device in devices() {
        for (name, make) in optimizers() {
            let p = parameters(&device);
            let mut plain = make(p.clone());
            for i in 0..3 {
                set_gradients(&p, i);
                plain.step().unwrap();
            }
            let q: Vec<Tensor> = p.iter().map(|t| t.detach().requires_grad()).collect();
            let mut optimizer = make(q.clone());
            optimizer.load_state_dict(&plain.state_dict()).unwrap();
            let own = q.clone();
            let step = capture(&device, move |_: &[Tensor]| -> Result<Vec<Tensor>> {
                set_gradients(&own, 3);
                optimizer.step()?;
                Ok(vec![])
            })
            .unwrap();
            for _ in 0..4 {
                set_gradients(&p, 3);
                plain.step().unwrap();
                step.run(&[]).unwrap();
                for (a, b) in p.iter().zip(&q) {
                    assert_eq!(bits(a), bits(b), "{name}, {device:?}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_one_error_and_changes_nothing() {
    let device = Device::cpu();
    let p = parameters(&device);
    let mut optimizer = Adam::new(p.clone(), 0.1);
    set_gradients(&p, 0);
    optimizer.step().unwrap();
    let good = optimizer.state_dict();
    optimizer.set_lr(0.5);
    set_gradients(&p, 1);
    optimizer.step().unwrap();
    let before = optimizer.state_dict();
    let cases: Vec<(&str, Spoil)> = vec![
        ("state.1.exp_avg is missing", Box::new(|e| drop(e.remove("state.1.exp_avg")))),
        ("group.0.lr is missing", Box::new(|e| drop(e.remove("group.0.lr")))),
        ("state.7.step is unexpected", Box::new(|e| drop(e.insert("state.7.step".into(), e["state.0.step"].clone())))),
        (
            "state.0.exp_avg is f32 [4], not f32 [5, 4]",
            Box::new(|e| drop(e.insert("state.0.exp_avg".into(), e["state.1.exp_avg"].clone()))),
        ),
        (
            "state.2.step is f32 [], not one number of type i32",
            Box::new(|e| drop(e.insert("state.2.step".into(), e["group.0.lr"].clone()))),
        ),
        (
            "state.2.exp_avg carries an error",
            Box::new(|e| {
                drop(e.insert("state.2.exp_avg".into(), e["state.0.exp_avg"].clone() + e["state.1.step"].reshape([7])))
            }),
        ),
    ];
    for (text, spoil) in &cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        let (line, error) = (line!(), optimizer.load_state_dict(&bad).unwrap_err());
        assert!(matches!(error, Error::Argument { .. }));
        let message = error.to_string();
        for part in [text, "load_state_dict: Adam: ", format!("state.rs:{line}").as_str()] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        let after = optimizer.state_dict();
        for (key, t) in before.iter().filter(|(_, t)| t.dtype() == wgrad::DType::F32) {
            assert_eq!(bits(t), bits(&after[key]), "{key} after {text}");
        }
        assert_eq!(after["state.0.step"].item::<i32>().unwrap(), 2);
    }
    // All faults in one text.
    let mut bad = good.clone();
    bad.remove("state.0.exp_avg");
    bad.insert("more".into(), good["group.0.lr"].clone());
    let message = optimizer.load_state_dict(&bad).unwrap_err().to_string();
    assert!(message.contains("state.0.exp_avg is missing; more is unexpected"), "{message}");
    // A state without entries begins anew.
    let empty: Entries =
        good.iter().filter(|(k, _)| k.starts_with("group")).map(|(k, t)| (k.clone(), t.clone())).collect();
    optimizer.load_state_dict(&empty).unwrap();
    assert_eq!(optimizer.state_dict()["state.0.step"].item::<i32>().unwrap(), 0);
    assert_eq!(optimizer.state_dict()["state.0.exp_avg"].abs().max().item::<f32>().unwrap(), 0.0);
}

#[test]
fn groups_have_rates_and_decays_of_their_own() {
    for device in devices() {
        let (p, q) = (parameters(&device), parameters(&device));
        let groups =
            vec![ParamGroup::new(vec![p[0].clone()]), ParamGroup::new(vec![p[1].clone()]).lr(0.3).weight_decay(0.0)];
        let mut grouped = Sgd::with_groups(groups, 0.1).momentum(0.9).weight_decay(0.2);
        grouped.add_param_group(ParamGroup::new(vec![p[2].clone()]).weight_decay(0.1));
        let mut single = [
            Sgd::new(vec![q[0].clone()], 0.1).momentum(0.9).weight_decay(0.2),
            Sgd::new(vec![q[1].clone()], 0.3).momentum(0.9),
            Sgd::new(vec![q[2].clone()], 0.1).momentum(0.9).weight_decay(0.1),
        ];
        for i in 0..5 {
            set_gradients(&p, i);
            set_gradients(&q, i);
            grouped.step().unwrap();
            single.iter_mut().for_each(|s| s.step().unwrap());
        }
        for (a, b) in p.iter().zip(&q) {
            assert_eq!(bits(a), bits(b));
        }
        assert_eq!(grouped.rates().iter().map(|r| r.get()).collect::<Vec<_>>(), [0.1, 0.3, 0.1]);
        assert_eq!(grouped.state_dict()["group.1.lr"].item::<f32>().unwrap(), 0.3);
        grouped.set_lr(0.7);
        assert!(grouped.rates().iter().all(|r| r.get() == 0.7));
    }
}

#[test]
fn bad_hyperparameters_and_repeated_parameters_are_errors_of_the_step() {
    let device = Device::cpu();
    let p = parameters(&device);
    set_gradients(&p, 0);
    let before = bits(&p[0]);
    let check = |error: Error, parts: &[&str]| {
        let message = error.to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    check(Sgd::new(p.clone(), -1.0).step().unwrap_err(), &["Sgd: lr = -1 is out of its domain", "state.rs"]);
    check(Sgd::new(p.clone(), f32::NAN).step().unwrap_err(), &["lr = NaN"]);
    check(Sgd::new(p.clone(), 0.1).nesterov(true).step().unwrap_err(), &["Nesterov", "momentum = 0"]);
    check(Adam::new(p.clone(), 0.1).betas((1.0, 0.5)).step().unwrap_err(), &["Adam: beta1 = 1"]);
    check(Adam::new(p.clone(), 0.1).weight_decay(-0.5).step().unwrap_err(), &["weight_decay = -0.5"]);
    let twice = Adam::new(vec![p[0].clone(), p[1].clone(), p[0].clone()], 0.1).step().unwrap_err();
    check(twice, &["Adam: parameter 2 of group 0 is given twice"]);
    assert_eq!(bits(&p[0]), before);
}

#[test]
fn a_driven_momentum_is_saved_and_a_momentum_of_nothing_refused() {
    let device = Device::cpu();
    let p = parameters(&device);
    let mut optimizer = Sgd::new(p.clone(), 0.1).momentum(0.5);
    assert!(!optimizer.state_dict().contains_key("momentum"));
    let momentum = optimizer.momentum_rate();
    momentum.set(0.75);
    set_gradients(&p, 0);
    optimizer.step().unwrap();
    let saved = optimizer.state_dict();
    let mut other = Sgd::new(p.clone(), 0.1).momentum(0.5);
    let message = other.load_state_dict(&saved).unwrap_err().to_string();
    assert!(message.contains("momentum is unexpected"), "{message}");
    let again = other.momentum_rate();
    other.load_state_dict(&saved).unwrap();
    assert_eq!(again.get(), 0.75);
    momentum.set(1.5);
    let message = optimizer.step().unwrap_err().to_string();
    assert!(message.contains("Sgd: momentum = 1.5 is out of its domain"), "{message}");
    let mut none = Sgd::new(p.clone(), 0.1);
    none.momentum_rate();
    let message = none.step().unwrap_err().to_string();
    assert!(message.contains("a momentum of 0 cannot be driven"), "{message}");
}
