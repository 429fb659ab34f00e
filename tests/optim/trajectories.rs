//! Every optimizer against PyTorch, step by step; `generate.py` has recorded the trajectories.

use safetensors::SafeTensors;
use wgrad::optim::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Asgd, Lbfgs, Lion, Muon, MuonScale, NAdam, Optimizer, ParamGroup, RAdam,
    Rate, RmsProp, Rprop, Sgd, clip_grad_norm,
    lr::{OneCycle, Scheduler},
};
use wgrad::{DType, Device, Result, Tensor, capture, no_grad};

use crate::{Make, devices};

const FIXTURES: &[u8] = include_bytes!("fixtures/trajectories.safetensors");
const STEPS: usize = 40;
const RECORDED: [usize; 7] = [1, 2, 3, 5, 10, 20, 40];

/// The cases of the generator, by name.
fn cases() -> Vec<(&'static str, Make)> {
    vec![
        ("sgd", |p| Box::new(Sgd::new(p, 0.05))),
        ("sgd momentum", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).weight_decay(0.01))),
        ("sgd nesterov", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).nesterov(true))),
        ("sgd dampening", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).dampening(0.25))),
        ("sgd clipped", |p| Box::new(Sgd::new(p, 0.05).momentum(0.9))),
        ("adam", |p| Box::new(Adam::new(p, 0.05).weight_decay(0.01))),
        ("adam amsgrad", |p| Box::new(Adam::new(p, 0.05).betas((0.8, 0.9)).amsgrad(true))),
        ("adamw", |p| Box::new(AdamW::new(p, 0.05).weight_decay(0.1))),
        ("adamw groups", |p| {
            let groups =
                vec![ParamGroup::new(p[..1].to_vec()), ParamGroup::new(p[1..].to_vec()).lr(0.02).weight_decay(0.0)];
            Box::new(AdamW::with_groups(groups, 0.05).weight_decay(0.1))
        }),
        ("adamax", |p| Box::new(Adamax::new(p, 0.05).weight_decay(0.01))),
        ("nadam", |p| Box::new(NAdam::new(p, 0.05))),
        ("nadam decoupled", |p| {
            let nadam = NAdam::new(p, 0.05).betas((0.9, 0.99)).weight_decay(0.1);
            Box::new(nadam.momentum_decay(0.1).decoupled_weight_decay(true))
        }),
        ("radam", |p| Box::new(RAdam::new(p, 0.05).weight_decay(0.01))),
        ("radam decoupled", |p| {
            let radam = RAdam::new(p, 0.05).betas((0.8, 0.9)).eps(1e-4).weight_decay(0.1);
            Box::new(radam.decoupled_weight_decay(true))
        }),
        ("asgd", |p| Box::new(Asgd::new(p, 0.05).lambd(0.01).alpha(0.75).t0(5.0).weight_decay(0.01))),
        ("rprop", |p| Box::new(Rprop::new(p, 0.02).step_sizes((1e-3, 0.1)))),
        ("adamw maximize", |p| Box::new(AdamW::new(p, 0.05).weight_decay(0.1).amsgrad(true).maximize(true))),
        ("rmsprop", |p| Box::new(RmsProp::new(p, 0.02).weight_decay(0.01))),
        ("rmsprop centered", |p| Box::new(RmsProp::new(p, 0.02).alpha(0.9).momentum(0.9).centered(true).eps(1e-3))),
        ("adagrad", |p| Box::new(Adagrad::new(p, 0.2))),
        ("adagrad decay", |p| {
            Box::new(Adagrad::new(p, 0.2).lr_decay(0.1).weight_decay(0.01).initial_accumulator_value(0.5))
        }),
        ("adadelta", |p| Box::new(Adadelta::new(p, 1.0).eps(1e-3).weight_decay(0.01))),
        ("lion", |p| Box::new(Lion::new(p, 0.02).weight_decay(0.1))),
        ("muon", |p| Box::new(Muon::new(p, 0.05))),
        ("muon matched", |p| {
            let muon = Muon::new(p, 0.02).weight_decay(0.0).momentum(0.9).nesterov(false).iterations(3);
            Box::new(muon.scale(MuonScale::MatchAdamW))
        }),
    ]
}

/// An optimizer and the schedules that go on after each step.
type Driven = (Box<dyn Optimizer + Send>, Vec<Scheduler>);

type MakeDriven = fn(Vec<Tensor>) -> Driven;

/// The cases in which rate and momentum follow a cycle.
fn cycles() -> Vec<(&'static str, MakeDriven)> {
    fn driven(optimizer: impl Optimizer + Send + 'static, momentum: Rate) -> Driven {
        let cycle = OneCycle::new(0.1, STEPS);
        let rates = {
            let cycle = cycle.clone();
            Scheduler::new(optimizer.rates(), move |_| cycle.clone())
        };
        let momenta = Scheduler::new(vec![momentum], move |_| cycle.momentum(0.85, 0.95));
        (Box::new(optimizer), vec![rates, momenta])
    }
    vec![
        ("sgd one cycle", |p| {
            let mut sgd = Sgd::new(p, 0.05).momentum(0.9).nesterov(true);
            let momentum = sgd.momentum_rate();
            driven(sgd, momentum)
        }),
        ("adam one cycle", |p| {
            let mut adam = Adam::new(p, 0.05);
            let momentum = adam.momentum_rate();
            driven(adam, momentum)
        }),
    ]
}

struct Fixtures(SafeTensors<'static>);

impl Fixtures {
    fn load() -> Fixtures {
        Fixtures(SafeTensors::deserialize(FIXTURES).unwrap())
    }

    fn values(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let view = self.0.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let values = match view.dtype() {
            safetensors::Dtype::F64 => {
                view.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
            }
            _ => view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        };
        (view.shape().to_vec(), values)
    }

    fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Tensor {
        let (shape, values) = self.values(name);
        match dtype {
            DType::F64 => Tensor::from_slice(&values, shape, device),
            _ => Tensor::from_slice(&values.iter().map(|v| *v as f32).collect::<Vec<_>>(), shape, device),
        }
    }

    fn parameters(&self, indices: &[usize], dtype: DType, device: &Device) -> Vec<Tensor> {
        indices.iter().map(|i| self.tensor(&format!("initial.{i}"), dtype, device).requires_grad()).collect()
    }
}

fn indices(name: &str) -> &'static [usize] {
    if name.starts_with("muon") { &[0, 3] } else { &[0, 1, 2] }
}

fn flat(parameters: &[Tensor]) -> Vec<f64> {
    let read = |p: &Tensor| match p.dtype() {
        DType::F64 => p.to_vec::<f64>().unwrap(),
        _ => p.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
    };
    parameters.iter().flat_map(read).collect()
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(x, y)| x - y)) / norm(&mut b.iter().copied())
}

/// Gradients of the generator's function, for targets given as scalars.
fn set_gradients(parameters: &[Tensor], targets: &[Tensor]) {
    for (p, target) in parameters.iter().zip(targets) {
        let g = no_grad(|| (p - target) + p.cos() * 0.3);
        p.set_grad(Some(&g));
    }
}

fn run(name: &str, make: &dyn Fn(Vec<Tensor>) -> Driven, dtype: DType, device: &Device, captured: bool) -> f64 {
    let fixtures = Fixtures::load();
    let suffix = if dtype == DType::F64 { "f64" } else { "f32" };
    let (_, expected) = fixtures.values(&format!("{name}.{suffix}"));
    let parameters = fixtures.parameters(indices(name), dtype, device);
    let (mut optimizer, mut schedules) = make(parameters.clone());
    let target = |i: &usize| fixtures.tensor(&format!("target.{i}"), dtype, device);
    let targets: Vec<Tensor> = indices(name).iter().map(target).collect();
    let (own, clipped) = (parameters.clone(), name == "sgd clipped");
    let mut f = move |targets: &[Tensor]| -> Result<Vec<Tensor>> {
        set_gradients(&own, targets);
        if clipped {
            clip_grad_norm(&own, 1.0).check()?;
        }
        optimizer.step()?;
        Ok(vec![])
    };
    let at = |step: usize| -> Vec<Tensor> { targets.iter().map(|t| t.select(0, step as isize).contiguous()).collect() };
    let mut worst: f64 = 0.0;
    let mut compare = |step: usize| {
        let Some(row) = RECORDED.iter().position(|r| *r == step + 1) else { return };
        let got = flat(&parameters);
        worst = worst.max(difference(&got, &expected[row * got.len()..(row + 1) * got.len()]));
    };
    if captured {
        let step = capture(device, f).unwrap();
        for i in 0..STEPS {
            step.run(&at(i)).unwrap();
            compare(i);
            schedules.iter_mut().for_each(Scheduler::step);
        }
        assert_eq!(step.variants(), 1, "{name}");
    } else {
        for i in 0..STEPS {
            f(&at(i)).unwrap();
            compare(i);
            schedules.iter_mut().for_each(Scheduler::step);
        }
    }
    worst
}

fn check(name: &str, make: &dyn Fn(Vec<Tensor>) -> Driven) {
    let [gpu, cpu] = devices();
    // Hyperparameters are 32-bit, and so are the numbers that follow from them: that is what remains in f64.
    let double = run(name, make, DType::F64, &cpu, false);
    let [single, captured, on_cpu] =
        [(&gpu, false), (&gpu, true), (&cpu, false)].map(|(d, c)| run(name, make, DType::F32, d, c));
    println!("{name}: f64 {double:.1e}, f32 {single:.1e}, captured {captured:.1e}, CPU {on_cpu:.1e}");
    assert!(double < 1e-6, "{name} in f64: {double:e}");
    for error in [single, captured, on_cpu] {
        assert!(error < 1e-5, "{name} in f32: {error:e}");
    }
    assert_eq!(single.to_bits(), captured.to_bits(), "{name}: captured steps differ");
}

#[test]
fn trajectories_are_pytorchs() {
    for (name, make) in cases() {
        check(name, &|p| (make(p), Vec::new()));
    }
}

#[test]
fn cycles_of_rate_and_momentum_are_pytorchs() {
    for (name, make) in cycles() {
        check(name, &make);
    }
}

#[test]
fn every_trajectory_of_the_fixtures_is_replayed() {
    let recorded = Fixtures::load();
    let mut names: Vec<String> =
        recorded.0.names().iter().filter_map(|n| n.strip_suffix(".f64")).map(str::to_owned).collect();
    names.retain(|n| !n.starts_with("lbfgs"));
    names.sort();
    let mut known: Vec<&str> = cases().iter().map(|(name, _)| *name).collect();
    known.extend(cycles().iter().map(|(name, _)| *name));
    known.sort();
    assert_eq!(names, known);
}

fn lbfgs(wolfe: bool, dtype: DType, device: &Device, interrupt: bool) -> Vec<f64> {
    let parameters = Fixtures::load().parameters(&[0, 1, 2], dtype, device);
    let make = || {
        let lr = if wolfe { 1.0 } else { 0.3 };
        Lbfgs::new(parameters.clone(), lr).max_iter(4).history_size(5).strong_wolfe(wolfe)
    };
    let mut optimizer = make();
    let mut rows = Vec::new();
    for _ in 0..4 {
        if interrupt {
            let saved = optimizer.state_dict();
            optimizer = make();
            optimizer.load_state_dict(&saved).unwrap();
        }
        let closure = || {
            parameters.iter().for_each(Tensor::zero_grad);
            let total = parameters.iter().map(Tensor::sum).reduce(|a, b| a + b).unwrap();
            let each = parameters.iter().map(|p| ((p - 0.5).square() + p.sin()).sum()).reduce(|a, b| a + b).unwrap();
            let loss = each + total.square() * 0.1;
            loss.backward()?;
            Ok(loss)
        };
        optimizer.step(closure).unwrap().check().unwrap();
        rows.extend(flat(&parameters));
    }
    rows
}

#[test]
fn lbfgs_is_pytorchs() {
    let [gpu, cpu] = devices();
    for (name, wolfe) in [("lbfgs", false), ("lbfgs wolfe", true)] {
        let fixtures = Fixtures::load();
        let (double, single) = (fixtures.values(&format!("{name}.f64")).1, fixtures.values(&format!("{name}.f32")).1);
        let n = double.len() / 4;
        for (device, dtype, expected, bound) in
            [(&cpu, DType::F64, &double, 1e-6), (&cpu, DType::F32, &single, 1e-4), (&gpu, DType::F32, &single, 1e-4)]
        {
            let got = lbfgs(wolfe, dtype, device, false);
            for step in 0..4 {
                let (a, b) = (&got[step * n..(step + 1) * n], &expected[step * n..(step + 1) * n]);
                // The search ends close to 0, where in f32 rounding decides the last digits: there the distance is absolute.
                let scale = if wolfe { b.iter().map(|v| v * v).sum::<f64>().sqrt().min(1.0) } else { 1.0 };
                let error = difference(a, b) * scale;
                println!("{name} {dtype} step {step}: {error:.1e}");
                let bound = if wolfe && dtype == DType::F32 { 1e-3 } else { bound };
                assert!(error < bound, "{name} {dtype}, step {step}: {error:e}");
            }
            // Saved and loaded before every step it goes the same way, to the bit.
            assert_eq!(got, lbfgs(wolfe, dtype, device, true), "{name} {dtype}");
        }
    }
}
