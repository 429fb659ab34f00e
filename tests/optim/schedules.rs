//! Learning rates against PyTorch's, step by step.

use std::collections::BTreeMap;

use wgrad::optim::lr::{
    Anneal, Constant, CosineAnnealing, CosineWarmRestarts, Cyclic, CyclicScale, Exponential, Improvement, Linear,
    LinearWarmup, MultiStep, OneCycle, Polynomial, ReduceOnPlateau, Schedule, Scheduler, StepLr,
};
use wgrad::optim::{ParamGroup, Sgd};
use wgrad::{Device, Tensor};

fn recorded() -> BTreeMap<String, Vec<f64>> {
    serde_json::from_str(include_str!("fixtures/schedules.json")).unwrap()
}

fn optimizer(lr: f32) -> Sgd {
    Sgd::new(vec![Tensor::ones([1], &Device::cpu()).requires_grad()], lr)
}

fn boxed(schedule: impl Schedule + Send + Sync + 'static) -> Box<dyn Schedule + Send + Sync> {
    Box::new(schedule)
}

#[test]
fn every_rate_is_pytorchs() {
    let recorded = recorded();
    let schedules = [
        ("step", boxed(StepLr::new(0.1, 7, 0.5))),
        ("multi_step", boxed(MultiStep::new(0.1, &[3, 10, 30], 0.1))),
        ("exponential", boxed(Exponential::new(0.1, 0.9))),
        ("polynomial", boxed(Polynomial::new(0.1, 40, 0.9))),
        ("cosine", boxed(CosineAnnealing::new(0.1, 25).eta_min(0.01))),
        ("warm_restarts", boxed(CosineWarmRestarts::new(0.1, 10).eta_min(0.01))),
        ("warm_restarts_longer", boxed(CosineWarmRestarts::new(0.1, 5).t_mult(2))),
        ("one_cycle", boxed(OneCycle::new(0.5, 60))),
        (
            "one_cycle_linear",
            boxed(
                OneCycle::new(0.5, 60).pct_start(0.25).anneal(Anneal::Linear).div_factor(10.0).final_div_factor(100.0),
            ),
        ),
        ("one_cycle_three_phase", boxed(OneCycle::new(0.5, 60).three_phase(true))),
        ("momentum_of_one_cycle", boxed(OneCycle::new(0.5, 60).momentum(0.85, 0.95))),
        ("momentum_of_one_cycle_three_phase", boxed(OneCycle::new(0.5, 60).three_phase(true).momentum(0.85, 0.95))),
        ("constant", boxed(Constant::new(0.1, 0.25, 8))),
        ("linear", boxed(Linear::new(0.1, 0.25, 0.75, 20))),
        ("cyclic", boxed(Cyclic::new(0.01, 0.1, 7).steps_down(5))),
        ("cyclic_halved", boxed(Cyclic::new(0.01, 0.1, 6).scale(CyclicScale::Triangular2))),
        ("cyclic_exponential", boxed(Cyclic::new(0.01, 0.1, 6).scale(CyclicScale::ExpRange(0.95)))),
        ("chained", boxed(Exponential::new(0.1, 0.9).times(Constant::new(1.0, 0.5, 10)))),
        ("lambda", boxed(|t: usize| 0.1 / (1.0 + t as f32))),
        ("warmup", boxed(LinearWarmup::new(0.1, 8).start_factor(0.25))),
        ("warmup_cosine", boxed(LinearWarmup::new(0.1, 8).start_factor(0.25).then(CosineAnnealing::new(0.1, 40)))),
    ];
    let names = recorded.keys().filter(|n| !n.starts_with("plateau") && *n != "metrics").count();
    assert_eq!(names, schedules.len());
    for (name, schedule) in schedules {
        for (step, expected) in recorded[name].iter().enumerate() {
            let rate = f64::from(schedule.rate(step));
            // PyTorch chains some of its schedules, which adds rounding; 1e-9 is far below any rate but the end of a polynomial.
            assert!(
                (rate - expected).abs() <= 3e-6 * expected.abs() + 1e-9,
                "{name}, step {step}: {rate} != {expected}"
            );
        }
    }
}

#[test]
fn plateaus_are_pytorchs() {
    let recorded = recorded();
    type Make = fn(ReduceOnPlateau) -> ReduceOnPlateau;
    let cases: [(&str, Make); 3] = [
        ("plateau_min", |p| p.factor(0.5).patience(2)),
        ("plateau_max", |p| p.improvement(Improvement::MaxAbsolute(0.01)).factor(0.5).patience(3).cooldown(2)),
        ("plateau_floor", |p| p.improvement(Improvement::MinRelative(0.05)).factor(0.1).patience(0).min_lr(1e-3)),
    ];
    for (name, make) in cases {
        let optimizer = optimizer(0.1);
        let mut plateau = make(ReduceOnPlateau::new(optimizer.rates()));
        for (i, (metric, expected)) in recorded["metrics"].iter().zip(&recorded[name]).enumerate() {
            if i % 7 == 3 {
                // Saved and loaded on the way.
                let saved = plateau.state_dict();
                plateau = make(ReduceOnPlateau::new(optimizer.rates()));
                plateau.load_state_dict(&saved).unwrap();
            }
            plateau.step(*metric as f32);
            let rate = f64::from(optimizer.lr());
            assert!((rate - expected).abs() <= 1e-6 * expected, "{name}, step {i}: {rate} != {expected}");
        }
        assert!(optimizer.lr() < 0.1, "{name} never lowered the rate");
    }
}

#[test]
fn schedulers_are_saved_and_refuse_what_does_not_fit() {
    let optimizer = optimizer(1.0);
    let make = || Scheduler::new(optimizer.rates(), |_| StepLr::new(1.0, 1, 0.5));
    let mut scheduler = make();
    (0..3).for_each(|_| scheduler.step());
    let saved = scheduler.state_dict();
    let mut other = make();
    assert_eq!(optimizer.lr(), 1.0);
    other.load_state_dict(&saved).unwrap();
    assert_eq!((optimizer.lr(), other.position()), (0.125, 3));
    let mut bad = saved.clone();
    bad.insert("more".into(), Tensor::ones([1], &Device::cpu()));
    bad.remove("position");
    let message = other.load_state_dict(&bad).unwrap_err().to_string();
    assert!(message.contains("Scheduler: position is missing; more is unexpected"), "{message}");
    assert_eq!(other.position(), 3);
}

/// A run goes on where it stopped in whatever order its parts are loaded, with the rates that an uninterrupted one has.
#[test]
fn schedules_resume_from_their_base_rates() {
    type Make = fn(f32) -> Box<dyn Schedule + Send + Sync>;
    let makes: [Make; 9] = [
        |lr| Box::new(MultiStep::new(lr, &[2, 4], 0.1)),
        |lr| Box::new(StepLr::new(lr, 2, 0.5)),
        |lr| Box::new(Exponential::new(lr, 0.9)),
        |lr| Box::new(Constant::new(lr, 0.25, 3)),
        |lr| Box::new(Polynomial::new(lr, 8, 2.0)),
        |lr| Box::new(CosineAnnealing::new(lr, 8).eta_min(0.5)),
        |lr| Box::new(LinearWarmup::new(lr, 3).then(CosineAnnealing::new(lr, 5))),
        |lr| Box::new(OneCycle::new(lr, 10)),
        |lr| Box::new(Cyclic::new(lr, 4.0 * lr, 3)),
    ];
    let rates = |optimizer: &Sgd| optimizer.rates().iter().map(|rate| rate.get()).collect::<Vec<_>>();
    let fresh = |lr: f32| {
        let leaf = || vec![Tensor::ones([1], &Device::cpu()).requires_grad()];
        Sgd::with_groups(vec![ParamGroup::new(leaf()), ParamGroup::new(leaf()).lr(lr / 4.0)], lr)
    };
    for (k, make) in makes.into_iter().enumerate() {
        for stop in 0..8 {
            let optimizer = fresh(10.0);
            let mut scheduler = Scheduler::new(optimizer.rates(), make);
            (0..stop).for_each(|_| scheduler.step());
            let (saved, schedule) = (optimizer.state_dict(), scheduler.state_dict());
            let here = rates(&optimizer);
            scheduler.step();
            let next = rates(&optimizer);
            // The optimizer's state before, between and after; also into an optimizer that was made with another rate.
            for (order, lr) in (0..3).flat_map(|order| [10.0, 3.0].map(|lr| (order, lr))) {
                let mut optimizer = fresh(lr);
                if order == 0 {
                    optimizer.load_state_dict(&saved).unwrap();
                }
                let mut scheduler = Scheduler::new(optimizer.rates(), make);
                if order == 1 {
                    optimizer.load_state_dict(&saved).unwrap();
                }
                scheduler.load_state_dict(&schedule).unwrap();
                if order == 2 {
                    optimizer.load_state_dict(&saved).unwrap();
                }
                assert_eq!(rates(&optimizer), here, "schedule {k} at {stop}, order {order}");
                assert_eq!(scheduler.position(), stop);
                scheduler.step();
                assert_eq!(rates(&optimizer), next, "schedule {k} after {stop}, order {order}");
            }
        }
    }
}

/// States of before there were base rates keep those that the scheduler was made with.
#[test]
fn schedulers_load_states_without_base_rates() {
    let optimizer = optimizer(10.0);
    let mut scheduler = Scheduler::new(optimizer.rates(), |lr| MultiStep::new(lr, &[2], 0.1));
    let mut old = scheduler.state_dict();
    old.retain(|name, _| name == "position");
    scheduler.set_position(5);
    scheduler.load_state_dict(&old).unwrap();
    assert_eq!((scheduler.position(), optimizer.lr()), (0, 10.0));
    // But not some of them, and not of other types.
    let mut bad = scheduler.state_dict();
    bad.insert("base.1".into(), Tensor::ones([], &Device::cpu()));
    bad.insert("base.0".into(), Tensor::ones([2], &Device::cpu()));
    let message = scheduler.load_state_dict(&bad).unwrap_err().to_string();
    assert!(
        message.contains("base.0 is f32 [2], not one number") && message.contains("base.1 is unexpected"),
        "{message}"
    );
}
