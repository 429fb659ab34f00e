//! What a trainer does about losses and weights that are not finite, and about bad indices.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wgrad::data::{DataLoader, TensorDataset};
use wgrad::nn::{Linear, Module, Parameters, loss};
use wgrad::optim::Sgd;
use wgrad::train::{Checkpoint, Checkpoints, Metrics, Supervised, Task, Trainer};
use wgrad::{Device, Error, Result, Tensor};

fn both() -> [Device; 2] {
    [Device::gpu().unwrap_or_else(|error| panic!("{error}")), Device::cpu()]
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("wgrad-watch-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Folder(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Forty samples of four features in three classes, in batches of five; the data as `change` leaves them.
fn task(device: &Device, captured: bool, change: impl Fn(&mut Vec<f32>, &mut Vec<i32>)) -> Supervised<Linear, Sgd> {
    device.seed(5);
    let mut features: Vec<f32> = (0..160).map(|i| ((i * 37 % 11) as f32 - 5.0) / 5.0).collect();
    let mut labels: Vec<i32> = (0..40).map(|i| i % 3).collect();
    change(&mut features, &mut labels);
    let x = Tensor::from_slice(&features, [40, 4], device);
    let y = Tensor::from_slice(&labels, [40], device);
    let loader = DataLoader::new(TensorDataset::new(vec![x, y]).unwrap(), 5, device).shuffle(2);
    let model = Linear::new(4, 3, device);
    let optimizer = Sgd::new(model.parameters(), 0.1).momentum(0.9);
    let loss = |model: &Linear, batch: &[Tensor]| {
        vec![("loss".to_string(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    };
    Supervised::new(model, optimizer, loader, device, loss).captured(captured)
}

fn weights(task: &Supervised<Linear, Sgd>) -> Vec<f32> {
    task.model().weight.to_vec::<f32>().unwrap()
}

/// The first step that reads a sample, and the place of the sample in its batch.
fn step_of(sample: usize) -> (u64, usize) {
    let device = Device::cpu();
    let numbers: Vec<i32> = (0..40).collect();
    let data = TensorDataset::new(vec![Tensor::from_slice(&numbers, [40], &device)]).unwrap();
    let mut loader = DataLoader::new(data, 5, &device).shuffle(2);
    for step in 0.. {
        let batch = loader.next_batch().unwrap()[0].to_vec::<i32>().unwrap();
        if let Some(row) = batch.iter().position(|&number| number as usize == sample) {
            return (step, row);
        }
    }
    unreachable!()
}

#[test]
fn a_bad_number_in_the_data_ends_the_run_with_its_place() {
    let (step, _) = step_of(23);
    for device in both() {
        for (captured, every) in [(false, 3), (true, 10), (true, 0), (false, 1000)] {
            let folder = Folder::new("data");
            let bad = |features: &mut Vec<f32>, _: &mut Vec<i32>| features[23 * 4 + 1] = f32::NAN;
            let mut task = task(&device, captured, bad);
            let trainer = Trainer::new(40, &device).quiet().report_every(every).folder(&folder.0).checkpoint_every(2);
            let error = trainer.run(&mut task).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::NonFinite { .. }), "{text}");
            let place =
                format!("the loss of step {step} (epoch 0, batch {step}) is NaN; the first of its kind: leaf: 1 of");
            assert!(text.contains(&place), "{text}");
            // What was saved is good, and the model has good values again.
            let saved = Checkpoints::open(folder.0.join("checkpoints")).unwrap();
            assert!(saved.steps().unwrap().iter().all(|&saved| saved <= step), "{:?} {step}", saved.steps());
            if let Some(latest) = saved.latest(&device).unwrap() {
                let weight = latest.checkpoint.part("model").unwrap()["weight"].to_vec::<f32>().unwrap();
                assert!(weight.iter().all(|v| v.is_finite()));
            }
            assert!(weights(&task).iter().all(|v| v.is_finite()));
        }
        // Without checkpoints the state that is kept in memory serves; switched off, the run goes on.
        let bad = |features: &mut Vec<f32>, _: &mut Vec<i32>| features[23 * 4 + 1] = f32::NAN;
        let mut watched = task(&device, true, bad);
        let text = Trainer::new(40, &device).quiet().run(&mut watched).unwrap_err().to_string();
        assert!(text.contains(&format!("step {step} ")) && text.contains("leaf: 1 of"), "{text}");
        assert!(text.contains("is back in place") && weights(&watched).iter().all(|v| v.is_finite()), "{text}");
        let mut free = task(&device, true, bad);
        let outcome = Trainer::new(40, &device).quiet().stop_on_non_finite(false).run(&mut free).unwrap();
        assert!(outcome.finished && weights(&free).iter().all(|v| v.is_nan()));
    }
}

/// A parameter that goes down until an op makes a NaN of it.
struct Descent {
    w: Tensor,
    optimizer: Sgd,
    loss: fn(&Tensor) -> Tensor,
}

impl Descent {
    fn new(start: f32, lr: f32, device: &Device, loss: fn(&Tensor) -> Tensor) -> Descent {
        let w = Tensor::full([1], start, device).requires_grad();
        Descent { optimizer: Sgd::new(vec![w.clone()], lr), w, loss }
    }
}

impl Task for Descent {
    fn step(&mut self, _step: u64) -> Result<Metrics> {
        let loss = (self.loss)(&self.w);
        self.optimizer.zero_grad();
        loss.backward()?;
        self.optimizer.step()?;
        Ok(vec![("loss".into(), loss)])
    }
    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.put("w", [("w".to_string(), self.w.detach())].into());
        checkpoint.put_optimizer(&self.optimizer);
        Ok(())
    }
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.w.try_assign(&checkpoint.part("w")?["w"])?;
        checkpoint.load_optimizer(&mut self.optimizer)
    }
}

#[test]
fn the_op_that_made_a_loss_bad_is_named() {
    for device in both() {
        for every in [1, 4, 10] {
            // w goes 1, 0.5, 0, −0.5: the logarithm of 0 is infinite.
            let mut task = Descent::new(1.0, 0.5, &device, |w| (w.detach().log() + w).sum());
            let trainer = Trainer::new(20, &device).quiet().report_every(every);
            let error = trainer.run(&mut task).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("the loss of step 2 is infinite; the first of its kind: log: 1 of 1"), "{text}");
            assert!(text.contains("watch.rs:"), "{text}");
            assert!(task.w.item::<f32>().unwrap().is_finite());
        }
    }
}

/// The loss is finite, the gradient is not: the step after shows it, or the checkpoint before that.
#[test]
fn weights_that_went_bad_are_not_saved() {
    for device in both() {
        for (report, save) in [(1, 1), (3, 3), (1, 3), (10, 5)] {
            // w goes 0.75, 0.5, 0.25, 0: there the root has no finite gradient.
            let folder = Folder::new("weights");
            let mut task = Descent::new(0.75, 0.25, &device, |w| {
                let at_zero = w.detach().le(0.1);
                (w + at_zero.where_(w, w.ones_like()).sqrt()).sum()
            });
            let trainer =
                Trainer::new(12, &device).quiet().report_every(report).folder(&folder.0).checkpoint_every(save);
            let text = trainer.run(&mut task).unwrap_err().to_string();
            assert!(text.contains("sqrt: its gradient"), "{text}");
            let saved = Checkpoints::open(folder.0.join("checkpoints")).unwrap();
            if let Some(latest) = saved.latest(&device).unwrap() {
                let w = latest.checkpoint.part("w").unwrap()["w"].item::<f32>().unwrap();
                assert!(w.is_finite() && latest.step <= 3, "{w} at {}", latest.step);
            }
            assert!(task.w.item::<f32>().unwrap().is_finite());
        }
    }
}

#[test]
fn a_bad_label_ends_the_run_with_its_sample_or_is_left_out() {
    let (step, row) = step_of(31);
    for device in both() {
        for captured in [false, true] {
            let bad = |_: &mut Vec<f32>, labels: &mut Vec<i32>| labels[31] = 8;
            let mut stopped = task(&device, captured, bad);
            let error = Trainer::new(16, &device).quiet().run(&mut stopped).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::IndexOutOfRange { index: 8, bound: 3, .. }), "{text}");
            let place = format!(
                "step {step} (epoch 0, batch {step}), sample {row}, number 31 of the data set: cross_entropy: index 8"
            );
            assert!(text.contains(&place), "{text}");
            assert!(weights(&stopped).iter().all(|v| v.is_finite()));

            let mut skipping = task(&device, captured, bad);
            let start = weights(&skipping);
            let trainer = Trainer::new(16, &device).quiet().skip_bad_batches(true);
            let outcome = trainer.run(&mut skipping).unwrap();
            // Two epochs of eight batches, each with the bad one.
            assert!(
                outcome.finished && outcome.skipped.len() == 2 && outcome.skipped[0] == step,
                "{:?}",
                outcome.skipped
            );
            assert!(outcome.history.last("loss").unwrap().is_finite());
            let end = weights(&skipping);
            assert!(end.iter().all(|v| v.is_finite()) && end != start);
            device.sync().unwrap();
        }
    }
}

/// Leaving a batch out gives the weights of a run that never had it.
#[test]
fn a_batch_that_is_left_out_changes_nothing() {
    let (step, _) = step_of(31);
    for device in both() {
        let mut with = task(&device, false, |_, labels| labels[31] = -4);
        Trainer::new(8, &device).quiet().skip_bad_batches(true).run(&mut with).unwrap();
        let mut without = task(&device, false, |_, _| {});
        for turn in 0..8 {
            match turn == step {
                true => without.pass_over().unwrap(),
                false => drop(without.step(turn).unwrap()),
            }
        }
        assert_eq!(weights(&with), weights(&without));
    }
}

#[test]
fn closures_are_watched_too() {
    let device = Device::cpu();
    let count = Arc::new(AtomicU64::new(0));
    let seen = count.clone();
    let mut task = move |step: u64| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(vec![("loss".to_string(), Tensor::full((), if step == 4 { -1.0 } else { 1.0 }, &device).sqrt())])
    };
    let error = Trainer::new(30, &Device::cpu()).quiet().report_every(6).run(&mut task).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the loss of step 4 is NaN") && text.contains("detect_anomaly"), "{text}");
    assert_eq!(count.load(Ordering::Relaxed), 6);
}
