//! Runs that are interrupted and resumed, and checkpoints that are damaged.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use wgrad::data::{DataLoader, Digits};
use wgrad::nn::{BatchNorm1d, Dropout, Linear, Module, Parameters, Relu, Sequential, loss};
use wgrad::optim::Adam;
use wgrad::train::{Checkpoint, Checkpoints, Metrics, Outcome, Supervised, Task, Trainer};
use wgrad::{Device, Error, Result, Tensor, io};

use crate::Folder;

const STEPS: u64 = 40;

/// A task with everything that has a state: random numbers, running statistics, moments, a schedule, an order of the data.
fn task(device: &Device, captured: bool) -> Supervised<Sequential, Adam> {
    device.seed(5);
    let model = Sequential::new()
        .add(Linear::new(64, 16, device))
        .add(BatchNorm1d::new(16, device))
        .add(Relu)
        .add(Dropout::new(0.2))
        .add(Linear::new(16, 10, device));
    let optimizer = Adam::new(model.parameters(), 1e-2);
    let loader = DataLoader::new(Digits::test(), 64, device).shuffle(9).prefetch(2);
    Supervised::new(model, optimizer, loader, device, |model, batch| {
        vec![("loss".into(), loss::cross_entropy(&model.forward(&batch[0]), &batch[1]))]
    })
    .schedule(|step| 1e-2 / (1.0 + step as f32))
    .captured(captured)
}

fn trainer(folder: &Path, device: &Device) -> Trainer {
    Trainer::new(STEPS, device).quiet().folder(folder).report_every(7).checkpoint_every(6).keep(2)
}

/// All numbers of the model, bit for bit.
fn bits(model: &Sequential) -> Vec<u32> {
    let tensors = model.state_dict().into_values().filter(|t| t.dtype() == wgrad::DType::F32);
    tensors.flat_map(|t| t.to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
}

fn losses(outcome: &Outcome) -> Vec<(f64, f64)> {
    outcome.history.series("loss")
}

/// A task that fails before a step, as if the process ended there.
struct Crashing<T>(T, u64);

impl<T: Task> Task for Crashing<T> {
    fn step(&mut self, step: u64) -> Result<Metrics> {
        if step == self.1 {
            return Err(Error::argument("step", "the power is gone"));
        }
        self.0.step(step)
    }
    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.0.save(checkpoint)
    }
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.0.load(checkpoint)
    }
}

fn gpu() -> Device {
    Device::gpu().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one() {
    for (device, captured) in [(gpu(), true), (gpu(), false), (Device::cpu(), false)] {
        let whole = Folder::new();
        let mut expected = task(&device, captured);
        let outcome = trainer(&whole.0, &device).run(&mut expected).unwrap();
        assert!(outcome.finished && losses(&outcome).len() == 6, "{:?}", losses(&outcome));
        let folder = Folder::new();
        // At the first step, between checkpoints, right behind one, at the last step.
        for (crash, from) in [(0, None), (5, None), (20, None), (30, Some(18)), (39, Some(30))] {
            let mut crashing = Crashing(task(&device, captured), crash);
            let error = trainer(&folder.0, &device).run(&mut crashing).unwrap_err();
            assert!(error.to_string().contains("the power is gone"), "{error}");
            let steps = Checkpoints::open(folder.join("checkpoints")).unwrap().steps().unwrap();
            assert!(steps.len() <= 2 && from.is_none_or(|from| steps.last() >= Some(&from)), "{steps:?}");
        }
        let mut resumed = task(&device, captured);
        let end = trainer(&folder.0, &device).run(&mut resumed).unwrap();
        assert_eq!(end.resumed, Some(36));
        assert_eq!(bits(resumed.model()), bits(expected.model()), "{device:?}, captured: {captured}");
        assert_eq!(losses(&end), losses(&outcome));
        let columns = |folder: &Folder| -> Vec<String> {
            let text = fs::read_to_string(folder.join("log.csv")).unwrap();
            // All but the times.
            text.lines()
                .map(|line| line.split(',').enumerate().filter(|(i, _)| *i != 1).map(|(_, c)| c).collect())
                .collect()
        };
        assert_eq!(columns(&folder), columns(&whole));
        // Nothing is left to do.
        let again = trainer(&folder.0, &device).run(&mut task(&device, captured)).unwrap();
        assert_eq!((again.resumed, again.steps), (Some(STEPS), STEPS));
        let anew = trainer(&folder.0, &device).resume(false).run(&mut task(&device, captured)).unwrap();
        assert_eq!((anew.resumed, losses(&anew)), (None, losses(&outcome)));
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (folder, device) = (Folder::new(), Device::cpu());
    let mut expected = task(&device, false);
    trainer(&folder.0, &device).run(&mut expected).unwrap();
    let checkpoints = Checkpoints::open(folder.join("checkpoints")).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [36, 40]);
    let (newest, good) = (checkpoints.path(40), fs::read(checkpoints.path(40)).unwrap());
    let mut flipped = good.clone();
    flipped[good.len() - 100] ^= 4;
    for damaged in [&good[..good.len() / 2], b"", &flipped] {
        fs::write(&newest, damaged).unwrap();
        let latest = checkpoints.latest(&device).unwrap().unwrap();
        assert_eq!((latest.step, latest.damaged.len()), (36, 1));
        let mut resumed = task(&device, false);
        let outcome = trainer(&folder.0, &device).run(&mut resumed).unwrap();
        assert_eq!(outcome.resumed, Some(36));
        assert_eq!(bits(resumed.model()), bits(expected.model()));
    }
    for step in [36, 40] {
        fs::write(checkpoints.path(step), b"").unwrap();
    }
    let error = trainer(&folder.0, &device).run(&mut task(&device, false)).unwrap_err().to_string();
    assert!(error.contains("no checkpoint can be read") && error.contains("remove them"), "{error}");
}

#[test]
fn files_that_are_no_checkpoint_and_models_that_do_not_fit() {
    let (folder, device) = (Folder::new(), Device::cpu());
    let path = folder.join("x.safetensors");
    io::save_safetensors(&path, &[("w".to_string(), Tensor::ones([2], &device))].into()).unwrap();
    assert!(Checkpoint::load(&path, &device).unwrap_err().to_string().contains("but no checkpoint"));
    let mut checkpoint = Checkpoint::new();
    checkpoint.put_model(&Linear::new(2, 3, &device));
    checkpoint.save(&path).unwrap();
    let read = Checkpoint::load(&path, &device).unwrap();
    assert!(read.load_model(&Linear::new(3, 3, &device)).is_err());
    assert!(read.part("optimizer").unwrap_err().to_string().contains("no part \"optimizer\", only model"));
    assert!(read.get::<u64>("step").unwrap_err().to_string().contains("no value \"step\""));
    let error = Trainer::new(1, &device).checkpoint_every(1).run(&mut task(&device, false)).unwrap_err();
    assert!(error.to_string().contains("need a folder"), "{error}");
    let closure = &mut |_: u64| Ok(vec![("loss".to_string(), Tensor::ones([1], &Device::cpu()))]);
    let error = Trainer::new(1, &device).quiet().folder(&folder.0).checkpoint_every(1).run(closure).unwrap_err();
    assert!(error.to_string().contains("implement Task::save"), "{error}");
}

/// Where the child of [`a_killed_process_resumes`] trains.
const FOLDER: &str = "WGRAD_TEST_FOLDER";

/// Trains in a folder and writes the bits of the weights there: the child process of [`a_killed_process_resumes`].
#[test]
#[ignore = "a child process of another test"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (folder, device) = (Path::new(&folder), Device::cpu());
    let mut task = task(&device, false);
    Trainer::new(400, &device)
        .quiet()
        .folder(folder)
        .report_every(50)
        .checkpoint_every(3)
        .keep(2)
        .run(&mut task)
        .unwrap();
    io::write_atomically(folder.join("bits"), |file| file.write_all(format!("{:?}", bits(task.model())).as_bytes()))
        .unwrap();
}

#[test]
fn a_killed_process_resumes() {
    let start = |folder: &Folder| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["checkpoints::child", "--exact", "--ignored"]).env(FOLDER, &folder.0);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let whole = Folder::new();
    assert!(start(&whole).wait().unwrap().success());
    let folder = Folder::new();
    let files = || fs::read_dir(folder.join("checkpoints")).map_or(0, Iterator::count);
    for round in 0..5 {
        let mut child = start(&folder);
        // Once it writes checkpoints, a moment that differs from round to round.
        while files() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_micros(30_000 + 7_919 * round));
        let _ = child.kill();
        child.wait().unwrap();
        for step in Checkpoints::open(folder.join("checkpoints")).unwrap().steps().unwrap() {
            let path = Checkpoints::open(folder.join("checkpoints")).unwrap().path(step);
            Checkpoint::load(path, &Device::cpu()).unwrap();
        }
    }
    assert!(start(&folder).wait().unwrap().success());
    let bits = |folder: &Folder| fs::read(folder.join("bits")).unwrap();
    assert_eq!(bits(&folder), bits(&whole));
}
