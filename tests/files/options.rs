//! The options of `Supervised`: each does what a loop by hand does, and all of them together resume exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wgrad::amp::{GradScaler, autocast};
use wgrad::data::{Augmented, DataLoader, Dataset, Digits};
use wgrad::nn::{BatchNorm1d, Dropout, Linear, Module, Parameters, Relu, Sequential, loss};
use wgrad::optim::lr::Improvement;
use wgrad::optim::{self, Adam, Ema, Optimizer, Sgd};
use wgrad::train::metric::{Average, Metric};
use wgrad::train::{Checkpoint, EarlyStopping, LrRange, Metrics, Supervised, Task, Trainer};
use wgrad::{DType, Device, Error, Result, Tensor};

use crate::Folder;

fn devices() -> [Device; 2] {
    [crate::gpu().clone(), Device::cpu()]
}

fn has_f16(device: &Device) -> bool {
    autocast(device, || ()).is_ok()
}

fn measure(model: &Linear, batch: &[Tensor]) -> Metrics {
    vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
}

fn loader(batch: usize, device: &Device) -> DataLoader {
    DataLoader::new(Digits::test(), batch, device).shuffle(3).drop_last(true)
}

/// A linear classifier that is the same each time.
fn task(batch: usize, lr: f32, device: &Device) -> Supervised<Linear, Sgd> {
    device.seed(11);
    let model = Linear::new(64, 10, device);
    let optimizer = Sgd::new(model.parameters(), lr).momentum(0.5);
    Supervised::new(model, optimizer, loader(batch, device), device, measure)
}

fn weights(model: &Linear) -> Vec<f32> {
    model.weight.to_vec().unwrap()
}

fn close(a: &[f32], b: &[f32], within: f32) {
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && worst <= within, "{worst}");
}

/// The same steps in a loop by hand: `scaler`, limits of gradients, averages.
fn by_hand(steps: usize, device: &Device, clip: impl Fn(&[Tensor]), scaler: Option<f32>) -> (Linear, Vec<Tensor>) {
    device.seed(11);
    let model = Linear::new(64, 10, device);
    let mut optimizer = Sgd::new(model.parameters(), 0.5).momentum(0.5);
    let ema = Ema::new(model.parameters(), 0.75);
    let mut loader = loader(60, device);
    let mut scaler = scaler.map(|scale| GradScaler::new(device).init_scale(scale));
    for _ in 0..steps {
        let batch = loader.next_batch().unwrap();
        optimizer.zero_grad();
        match &mut scaler {
            Some(scaler) => {
                let loss = autocast(device, || measure(&model, &batch).remove(0).1).unwrap();
                scaler.scale(&loss).backward().unwrap();
                scaler.unscale(&optimizer).unwrap();
                clip(optimizer.parameters());
                scaler.step(&mut optimizer).unwrap();
                scaler.update().unwrap();
            }
            None => {
                measure(&model, &batch)[0].1.backward().unwrap();
                clip(optimizer.parameters());
                optimizer.step().unwrap();
            }
        }
        ema.update().unwrap();
    }
    (model, ema.averages())
}

fn run(task: &mut impl Task, steps: u64, device: &Device) {
    Trainer::new(steps, device).quiet().run(task).unwrap();
}

#[test]
fn clipping_averages_and_mixed_precision_are_those_of_a_loop_by_hand() {
    for device in devices() {
        for captured in [true, false] {
            let norm = |p: &[Tensor]| drop(optim::clip_grad_norm(p, 0.05));
            let mut clipped = task(60, 0.5, &device).clip_grad_norm(0.05).ema(0.75).captured(captured);
            run(&mut clipped, 8, &device);
            let (expected, averages) = by_hand(8, &device, norm, None);
            close(&weights(clipped.model()), &weights(&expected), 1e-6);
            clipped.swap_averages().unwrap();
            close(&weights(clipped.model()), &averages[0].to_vec::<f32>().unwrap(), 1e-6);
            let mut cut = task(60, 0.5, &device).clip_grad_value(0.001).captured(captured);
            run(&mut cut, 8, &device);
            let (expected, _) = by_hand(8, &device, |p| optim::clip_grad_value(p, 0.001), None);
            close(&weights(cut.model()), &weights(&expected), 1e-6);
            if has_f16(&device) {
                let scaler = GradScaler::new(&device).init_scale(256.0);
                let mut mixed = task(60, 0.5, &device).mixed_precision(scaler).clip_grad_norm(0.05).captured(captured);
                run(&mut mixed, 8, &device);
                let (expected, _) = by_hand(8, &device, norm, Some(256.0));
                close(&weights(mixed.model()), &weights(&expected), 1e-5);
            }
        }
    }
    let unlimited = by_hand(8, &Device::cpu(), |_| {}, None).0;
    let limited = by_hand(8, &Device::cpu(), |p| drop(optim::clip_grad_norm(p, 0.05)), None).0;
    assert_ne!(weights(&unlimited), weights(&limited), "the limit matters");
}

#[test]
fn gradients_of_several_batches_are_those_of_one_large() {
    for device in devices() {
        for captured in [true, false] {
            let mut parts = task(15, 0.5, &device).accumulate(4).captured(captured);
            let mut whole = task(60, 0.5, &device).captured(captured);
            for task in [&mut parts, &mut whole] {
                run(task, 9, &device);
            }
            close(&weights(parts.model()), &weights(whole.model()), 1e-5);
            let losses = |task: &mut Supervised<Linear, Sgd>| task.step(9).unwrap()[0].1.item::<f32>().unwrap();
            assert!((losses(&mut parts) - losses(&mut whole)).abs() < 1e-5);
        }
    }
}

#[test]
fn a_bad_index_in_any_of_several_batches_is_found() {
    let device = Device::cpu();
    let mut digits = Digits::test();
    digits.labels[45] = 77;
    device.seed(1);
    let model = Linear::new(64, 10, &device);
    let optimizer = Sgd::new(model.parameters(), 0.1);
    let loader = DataLoader::new(digits, 20, &device);
    let mut task = Supervised::new(model, optimizer, loader, &device, measure).accumulate(3);
    let error = Trainer::new(5, &device).quiet().run(&mut task).unwrap_err();
    assert!(error.to_string().contains("sample 45, number 45 of the data set"), "{error}");
}

#[test]
fn any_closure_will_do() {
    let device = Device::cpu();
    let (calls, counted) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (seen, mut rates) = (calls.clone(), [0.5f32, 0.25, 0.0].into_iter());
    let inner = counted.clone();
    let (mut own, model) = (0, Linear::new(64, 10, &device));
    let optimizer = Sgd::new(model.parameters(), 0.1);
    let mut task = Supervised::new(model, optimizer, loader(60, &device), &device, move |model, batch| {
        own += 1; // FnMut
        seen.store(own, Ordering::Relaxed);
        measure(model, batch)
    })
    .schedule(move |_| rates.next().unwrap_or(0.0))
    .before_step(move |parameters, optimizer| {
        inner.fetch_add(parameters.len() as u32, Ordering::Relaxed);
        assert!(optimizer.lr() <= 0.5);
        Ok(())
    })
    .captured(false);
    run(&mut task, 3, &device);
    assert_eq!((calls.load(Ordering::Relaxed), counted.load(Ordering::Relaxed)), (3, 6));
    // Its error ends the run.
    let mut failing = task.before_step(|_, _| Err(Error::argument("before_step", "no")));
    assert!(failing.step(3).is_err());
}

/// Everything that has a memory.
fn everything(device: &Device, captured: bool) -> Supervised<Sequential, Adam> {
    device.seed(5);
    let model = Sequential::new()
        .add(Linear::new(64, 16, device))
        .add(BatchNorm1d::new(16, device))
        .add(Relu)
        .add(Dropout::new(0.2))
        .add(Linear::new(16, 10, device));
    let optimizer = Adam::new(model.parameters(), 1e-2);
    let noisy = Augmented::new(Digits::train(), |batch, random| {
        let noise: Vec<f32> = (0..batch[0].numel()).map(|_| 0.1 * random.normal()).collect();
        Ok(vec![&batch[0] + Tensor::from_slice(&noise, batch[0].shape(), batch[0].device()), batch[1].clone()])
    });
    let train = DataLoader::new(noisy, 50, device).shuffle(9).prefetch(2);
    let measured = |model: &Sequential, batch: &[Tensor]| -> Metrics {
        vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    };
    let task = Supervised::new(model, optimizer, train, device, measured)
        .schedule(|step| 3e-2 / (1.0 + 0.2 * step as f32))
        .accumulate(2)
        .clip_grad_norm(1.0)
        .ema(0.8)
        .validate(DataLoader::new(Digits::test(), 100, device))
        .metrics([Metric::Accuracy, Metric::F1(Average::Macro)], |model, batch| {
            (model.forward(&batch[0]), batch[1].clone())
        })
        .early_stopping(EarlyStopping::new("validation loss").improvement(Improvement::MinAbsolute(0.05)).patience(4))
        .keep_best("validation accuracy", Improvement::MaxAbsolute(0.0))
        .captured(captured);
    if has_f16(device) { task.mixed_precision(GradScaler::new(device).growth_interval(3)) } else { task }
}

fn trainer(folder: &Folder, device: &Device, steps: u64) -> Trainer {
    let trainer = Trainer::new(steps, device).quiet().folder(&folder.0).report_every(7);
    trainer.evaluate_every(3).checkpoint_every(5).keep(2)
}

/// All numbers of a state, bit for bit.
fn bits(task: &impl Task) -> Vec<(String, Vec<u32>)> {
    let mut state = Checkpoint::new();
    task.save(&mut state).unwrap();
    let parts = ["model", "optimizer", "ema"].into_iter().chain(state.part("scaler").is_ok().then_some("scaler"));
    let entry = |(name, tensor): (&String, &Tensor)| {
        (name.clone(), tensor.to_dtype(DType::F32).to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect())
    };
    parts.flat_map(|part| state.part(part).unwrap().iter().map(entry).collect::<Vec<_>>()).collect()
}

#[test]
fn all_options_together_resume_to_the_same_bits_and_stop_where_they_would() {
    for (device, captured) in [(crate::gpu().clone(), true), (Device::cpu(), true), (Device::cpu(), false)] {
        let whole = Folder::new();
        let mut expected = everything(&device, captured);
        let outcome = trainer(&whole, &device, 200).run(&mut expected).unwrap();
        let stopped = outcome.stopped.clone().expect("it stops long before 200 steps");
        assert!(
            outcome.finished && outcome.steps < 200 && stopped.contains("validation loss has not improved in 4"),
            "{stopped}"
        );
        let best = expected.best().unwrap();
        let folder = Folder::new();
        // Ended again and again, between checkpoints and evaluations.
        for end in [4, 9, 13, 21] {
            struct Crashing<'a>(&'a mut Supervised<Sequential, Adam>, u64);
            impl Task for Crashing<'_> {
                fn begin(&mut self, trainer: &Trainer) -> Result<()> {
                    self.0.begin(trainer)
                }
                fn step(&mut self, step: u64) -> Result<Metrics> {
                    if step == self.1 {
                        return Err(Error::argument("step", "the power is gone"));
                    }
                    self.0.step(step)
                }
                fn evaluate(&mut self, steps: u64) -> Result<Vec<(String, f64)>> {
                    self.0.evaluate(steps)
                }
                fn judge(&mut self, steps: u64, figures: &[(String, f64)]) -> Result<bool> {
                    self.0.judge(steps, figures)
                }
                fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
                    self.0.save(checkpoint)
                }
                fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
                    self.0.load(checkpoint)
                }
            }
            let mut own = everything(&device, captured);
            let error = trainer(&folder, &device, 200).run(&mut Crashing(&mut own, end)).unwrap_err();
            assert!(error.to_string().contains("the power is gone"), "{error}");
        }
        let mut resumed = everything(&device, captured);
        let end = trainer(&folder, &device, 200).run(&mut resumed).unwrap();
        assert_eq!((end.resumed, end.steps, &end.stopped), (Some(20), outcome.steps, &outcome.stopped));
        assert_eq!(bits(&resumed), bits(&expected), "{device:?}, captured: {captured}");
        assert_eq!(resumed.best(), Some(best));
        for name in outcome.history.names() {
            assert_eq!(
                format!("{:?}", end.history.series(name)),
                format!("{:?}", outcome.history.series(name)),
                "{name}"
            );
        }
        // The best state is the one of its step, and gives its accuracy again.
        let saved = Checkpoint::load(folder.join("best.safetensors"), &device).unwrap();
        let mut again = everything(&device, captured);
        again.load(&saved).unwrap();
        let figures = Task::evaluate(&mut again, 0).unwrap();
        assert_eq!(figures[1], ("validation accuracy".to_owned(), best.1));
        // A run that has stopped stays so.
        let third = trainer(&folder, &device, 200).run(&mut everything(&device, captured)).unwrap();
        assert_eq!((third.resumed, third.steps), (Some(outcome.steps), outcome.steps));
    }
}

#[test]
fn goals_that_are_never_measured_are_an_error() {
    let (device, folder) = (Device::cpu(), Folder::new());
    let stopping = |figure: &str| task(60, 0.1, &device).early_stopping(EarlyStopping::new(figure));
    let run =
        |trainer: Trainer, mut task: Supervised<Linear, Sgd>| trainer.quiet().run(&mut task).unwrap_err().to_string();
    let error = run(Trainer::new(20, &device), stopping("validation loss"));
    assert!(
        error.contains("\"validation loss\" was not measured, only loss") && error.contains("evaluate_every"),
        "{error}"
    );
    let validated = stopping("valid loss").validate(loader(60, &device));
    let error = run(Trainer::new(20, &device).evaluate_every(5), validated);
    assert!(error.contains("\"valid loss\" was not measured") && error.contains("validation loss"), "{error}");
    let best = || task(60, 0.1, &device).keep_best("loss", Improvement::MinAbsolute(0.0));
    assert!(run(Trainer::new(20, &device), best()).contains("needs a folder"));
    let outcome = Trainer::new(20, &device).quiet().folder(&folder.0).run(&mut best()).unwrap();
    assert!(outcome.finished && folder.join("best.safetensors").exists());
    let metrics = task(60, 0.1, &device).metrics([Metric::Accuracy], |model, b| (model.forward(&b[0]), b[1].clone()));
    assert!(run(Trainer::new(2, &device), metrics).contains("call Supervised::validate"));
}

#[test]
fn rates_are_tried_and_the_state_is_put_back() {
    for device in devices() {
        let mut task = task(60, 0.1, &device).ema(0.9);
        run(&mut task, 3, &device);
        let before = (bits(&task), task.loader().position(), device.rng_state());
        let curve = task.find_lr(&LrRange { start: 1e-3, end: 1e3, steps: 60, stop_at: 3.0 }).unwrap();
        assert_eq!((bits(&task), task.loader().position(), device.rng_state()), before);
        let points = curve.points();
        assert!(points.len() < 60, "it ends where the loss explodes: {points:?}");
        assert!((points[0].0 - 1e-3).abs() < 1e-9 && points.windows(2).all(|pair| pair[1].0 > pair[0].0));
        let rate = curve.suggestion().unwrap();
        assert!((1e-2..1e2).contains(&rate), "{rate}");
        for bad in [LrRange { start: 0.0, ..LrRange::default() }, LrRange { steps: 1, ..LrRange::default() }] {
            assert!(task.find_lr(&bad).is_err());
        }
    }
}

#[test]
fn changes_of_the_data_follow_from_seed_epoch_and_batch() {
    let device = Device::cpu();
    let noisy = |seed: u64, prefetch: usize| {
        let set = Augmented::new(Digits::test(), |batch, random| {
            let noise: Vec<f32> = (0..batch[0].numel()).map(|_| random.unit()).collect();
            Ok(vec![Tensor::from_slice(&noise, batch[0].shape(), batch[0].device()), batch[1].clone()])
        });
        DataLoader::new(set, 120, &Device::cpu()).shuffle(seed).prefetch(prefetch)
    };
    let read = |loader: &mut DataLoader| loader.next_batch().unwrap()[0].to_vec::<f32>().unwrap();
    let (mut plain, mut ahead) = (noisy(1, 0), noisy(1, 3));
    let all: Vec<Vec<f32>> = (0..7).map(|_| read(&mut plain)).collect();
    assert!(all.iter().all(|batch| *batch == read(&mut ahead)), "a thread changes nothing");
    assert!((1..7).all(|i| all[0] != all[i]), "each batch of each epoch has its own");
    let mut resumed = noisy(1, 2);
    let mut position = resumed.position();
    (position.epoch, position.batch) = (1, 1);
    resumed.restore(position).unwrap();
    assert_eq!(read(&mut resumed), all[4]);
    assert_eq!(resumed.batch_at(position).unwrap().1[0].to_vec::<f32>().unwrap(), all[4]);
    assert_ne!(read(&mut noisy(2, 0)), all[0]);
    // What is evaluated is not changed.
    let set = Augmented::new(Digits::test(), |_, _| Err(Error::argument("change", "not here")));
    assert!(set.batch(&[0], &device).is_ok());
    assert!(DataLoader::new(set, 2, &device).next_batch().is_err());
}
