//! Captured steps in files: the same bits in another process, and no damage that is not an error.

use std::path::{Path, PathBuf};

use wgrad::optim::Adam;
use wgrad::{Captured, Device, Error, Result, Tensor, capture, load_captured};

use crate::capture::{Net, batch, bits, optimizers};
use crate::environment::{printed, run};
use crate::new_gpu;

/// A path of its own for a test, free at first and removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> TempFile {
        TempFile(std::env::temp_dir().join(format!("wgrad-saved-{name}-{}.safetensors", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A step with dropout, a running mean, an index check and an optimizer with two moments.
pub fn training(device: &Device) -> (Net, Captured<'static>) {
    let net = Net::new(device);
    let (own, mut optimizer) = (net.clone(), Adam::new(net.parameters.clone(), 0.01).weight_decay(1e-3));
    let scale = Tensor::arange(1.0, 4.0, 1.0, device).contiguous();
    let step = capture(device, move |x: &[Tensor]| {
        let loss = own.loss(&x[0], &x[1], 0.25)?;
        let picked = scale.index_select(0, &x[2]);
        optimizer.step()?;
        // A view, a constant that is handed on, and a number.
        Ok(vec![&loss * picked.sum(), own.parameters[0].t(), scale.clone(), Tensor::scalar(2.5, x[0].device())])
    });
    let step = step.unwrap().named(net.parameters.iter().enumerate().map(|(i, p)| (format!("net.{i}"), p.clone())));
    (net, step)
}

fn inputs(i: usize, n: usize, device: &Device) -> Vec<Tensor> {
    let mut inputs = batch(i, n, device).to_vec();
    inputs.push(Tensor::from_slice(&[(i % 3) as i32], [1], device));
    inputs
}

/// The words of f32 and integer tensors.
fn words(x: &Tensor) -> Vec<u32> {
    match x.dtype() {
        wgrad::DType::I32 => x.to_vec::<i32>().unwrap().into_iter().map(|v| v as u32).collect(),
        _ => bits(x),
    }
}

pub fn outcome(step: &Captured<'_>, from: usize, to: usize, device: &Device) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    for i in from..to {
        // Two batch sizes are two variants.
        let out = step.run(&inputs(i, 8 + 4 * (i % 2), device)).unwrap();
        all.extend(out.iter().map(bits));
    }
    all.extend(step.variables().iter().filter_map(|v| v.get()).map(|value| words(&value)));
    all
}

fn digest(values: &[Vec<u32>]) -> String {
    // FNV-1a (Fowler, Noll & Vo).
    let fold = |h: u64, v: &u32| (h ^ u64::from(*v)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x} of {}", values.iter().flatten().fold(0xcbf2_9ce4_8422_2325, fold), values.len())
}

/// What the child process of the test below does.
pub fn program() -> Result<()> {
    let path = std::env::var("WGRAD_TEST_FILE").map_err(|e| Error::argument("test", e.to_string()))?;
    let device = Device::gpu_with_fusion(true)?;
    let step = load_captured(&path, &device)?;
    let (first, before) = (inputs(6, 8, &device), device.stats());
    drop(step.run(&first)?);
    println!("plans: {}", device.stats().plans_built - before.plans_built);
    let step = load_captured(&path, &device)?;
    println!("digest: {}", digest(&outcome(&step, 6, 14, &device)));
    println!("rates: {}", step.rates().len());
    Ok(())
}

#[test]
fn a_saved_step_goes_on_in_another_process_with_the_same_bits() {
    let device = new_gpu();
    let file = TempFile::new("process");
    let (_net, step) = training(&device);
    device.seed(11);
    outcome(&step, 0, 6, &device);
    step.save(&file.0).unwrap();
    let here = digest(&outcome(&step, 6, 14, &device));
    let path = file.0.to_str().unwrap();
    let child = run("saved step", &[("WGRAD_TEST_FILE", path)]);
    assert_eq!(printed(&child, "digest"), here);
    assert_eq!(printed(&child, "rates"), "1");
    assert_eq!(printed(&child, "plans"), "0");
}

#[test]
fn every_optimizer_goes_on_from_a_file() {
    let device = new_gpu();
    for (name, make) in optimizers() {
        let file = TempFile::new(name);
        let net = Net::new(&device);
        let (own, (mut optimizer, rate)) = (net.clone(), make(net.parameters.clone()));
        let step = capture(&device, move |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let loss = own.loss(&x[0], &x[1], 0.0)?;
            optimizer.step()?;
            Ok(vec![loss])
        })
        .unwrap();
        (0..3).for_each(|i| drop(step.run(&batch(i, 8, &device)).unwrap()));
        step.save(&file.0).unwrap();
        let loaded = load_captured(&file.0, &device).unwrap();
        assert_eq!(loaded.rates()[0].get(), rate.get(), "{name}");
        rate.set(0.002);
        loaded.rates()[0].set(0.002);
        for i in 3..20 {
            let x = batch(i, 8, &device);
            assert_eq!(bits(&step.run(&x).unwrap()[0]), bits(&loaded.run(&x).unwrap()[0]), "{name}, step {i}");
        }
        for (a, b) in step.variables().iter().zip(loaded.variables()) {
            assert_eq!((a.name(), a.is_gradient()), (b.name(), b.is_gradient()));
            assert_eq!(a.get().map(|v| bits(&v)), b.get().map(|v| bits(&v)), "{name}: {}", a.name());
        }
        // What was saved twice is the same file.
        let (first, second) = (TempFile::new("first"), TempFile::new("second"));
        step.save(&first.0).unwrap();
        loaded.save(&second.0).unwrap();
        let again = load_captured(&second.0, &device).unwrap();
        let x = batch(30, 8, &device);
        assert_eq!(bits(&step.run(&x).unwrap()[0]), bits(&again.run(&x).unwrap()[0]), "{name}");
        step.save(&first.0).unwrap();
    }
}

#[test]
fn variables_are_listed_read_and_set() {
    let device = new_gpu();
    let file = TempFile::new("variables");
    let (net, step) = training(&device);
    assert!(step.variables().is_empty());
    let early = step.save(&file.0).unwrap_err();
    assert!(early.to_string().contains("run it once"), "{early}");
    step.run(&inputs(0, 8, &device)).unwrap();
    step.save(&file.0).unwrap();
    let loaded = load_captured(&file.0, &device).unwrap();
    for p in ["net.0", "net.1", "net.2", "net.3"] {
        let variable = loaded.variable(p).unwrap();
        assert!(variable.is_read() && variable.is_written() && !variable.is_gradient());
        assert!(loaded.variable(&format!("{p}.grad")).unwrap().is_gradient());
    }
    let w = loaded.variable("net.0").unwrap();
    assert_eq!(bits(&w.get().unwrap()), bits(&net.parameters[0]));
    let moved = &net.parameters[0].detach() + 1.0;
    w.set(&moved).unwrap();
    assert_eq!(bits(&w.get().unwrap()), bits(&moved));
    assert_ne!(bits(&net.parameters[0]), bits(&moved));
    net.parameters[0].assign(&moved);
    let x = inputs(1, 8, &device);
    // Both draw their dropout from the device's one stream of random numbers.
    device.seed(5);
    let own = bits(&step.run(&x).unwrap()[0]);
    device.seed(5);
    assert_eq!(bits(&loaded.run(&x).unwrap()[0]), own);
    assert!(matches!(w.set(&Tensor::zeros([2, 2], &device)), Err(Error::Shape { .. })));
    assert!(matches!(w.set(&Tensor::zeros([12, 16], &new_gpu())), Err(Error::DeviceMismatch { .. })));
    let text = loaded.describe();
    for part in ["net.0: f32 [12, 16], read and written", "f32 [8, 12]", "rate", "count", "kernels", "workspace"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_loaded_step_refuses_what_was_not_recorded() {
    let device = new_gpu();
    let file = TempFile::new("refuses");
    let (_net, step) = training(&device);
    step.run(&inputs(0, 8, &device)).unwrap();
    step.save(&file.0).unwrap();
    let loaded = load_captured(&file.0, &device).unwrap();
    let error = loaded.run(&inputs(0, 9, &device)).unwrap_err().to_string();
    assert!(error.contains("f32 [8, 12]") && error.contains("f32 [9, 12]") && error.contains("file"), "{error}");
    let mut bad = inputs(0, 8, &device);
    bad[2] = Tensor::from_slice(&[7i32], [1], &device);
    let error = loaded.run(&bad).and_then(|out| out[0].item::<f32>()).unwrap_err();
    assert!(matches!(error, Error::IndexOutOfRange { index: 7, bound: 3, .. }), "{error}");
    assert!(error.to_string().contains("saved.rs:"), "{error}");
    assert!(matches!(load_captured(&file.0, &Device::cpu()), Err(Error::Unsupported { .. })));
    let cpu = Device::cpu();
    let (_net, on_cpu) = training(&cpu);
    on_cpu.run(&inputs(0, 8, &cpu)).unwrap();
    assert!(matches!(on_cpu.save(&file.0), Err(Error::Unsupported { .. })));
    // The file of before is still whole.
    load_captured(&file.0, &device).unwrap();
}

fn refused(path: &Path, device: &Device, what: &str) -> String {
    match load_captured(path, device) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{what} was read"),
    }
}

/// The step of a file with its checksum taken off, and back with the right one.
fn edit(bytes: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let text = header["__metadata__"]["wgrad.captured"].as_str().unwrap().to_owned();
    let changed = change(&text[32..]);
    let mut tensors: Vec<(&String, &serde_json::Value)> =
        header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__").collect();
    tensors.sort_by_key(|(name, _)| name.as_str());
    let data = &bytes[8 + n..];
    let mut hash = wgrad::internals::StructuralHasher::default();
    std::hash::Hasher::write(&mut hash, changed.as_bytes());
    for (name, info) in tensors {
        let offset = |i: usize| info["data_offsets"][i].as_u64().unwrap() as usize;
        std::hash::Hasher::write(&mut hash, name.as_bytes());
        std::hash::Hasher::write(&mut hash, &data[offset(0)..offset(1)]);
    }
    header["__metadata__"]["wgrad.captured"] = format!("{:032x}{changed}", hash.finish128()).into();
    let mut text = serde_json::to_vec(&header).unwrap();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text);
    out.extend(data);
    out
}

#[test]
fn damaged_files_are_errors() {
    let device = new_gpu();
    let (file, bad) = (TempFile::new("whole"), TempFile::new("damaged"));
    let (_net, step) = training(&device);
    step.run(&inputs(0, 8, &device)).unwrap();
    step.save(&file.0).unwrap();
    let whole = std::fs::read(&file.0).unwrap();
    let try_bytes = |bytes: &[u8], what: &str| {
        std::fs::write(&bad.0, bytes).unwrap();
        refused(&bad.0, &device, what)
    };
    assert!(refused(Path::new("/nonexistent/step"), &device, "nothing").contains("/nonexistent/step"));
    assert!(refused(&std::env::temp_dir(), &device, "a folder").contains("is a folder"));
    try_bytes(&[], "an empty file");
    try_bytes(&u64::MAX.to_le_bytes(), "a header of 2^64 bytes");
    for cut in [1, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        try_bytes(&whole[..cut], "a truncated file");
    }
    // A pseudo-random byte each time, over the whole file.
    let mut state = 1u64;
    for _ in 0..200 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut bytes = whole.clone();
        bytes[(state >> 33) as usize % whole.len()] ^= 1 << (state >> 30 & 7);
        try_bytes(&bytes, "a flipped bit");
    }
    std::fs::write(&bad.0, edit(&whole, str::to_owned)).unwrap();
    load_captured(&bad.0, &device).unwrap(); // the edit alone damages nothing
    let newer = edit(&whole, |text| text.replacen("\"version\":3", "\"version\":7", 1));
    assert!(try_bytes(&newer, "another version").contains("format 7"));
    let f16 = edit(&whole, |text| text.replacen("\"storage_buffers\":", "\"storage_buffers\":9", 1));
    assert!(try_bytes(&f16, "what the adapter lacks").contains("this adapter has"));
}

/// Files with a right checksum that lie.
#[test]
fn forged_files_are_errors() {
    let device = new_gpu();
    let (file, bad) = (TempFile::new("true"), TempFile::new("forged"));
    let w = Tensor::ones([4], &device);
    let own = w.clone();
    let step = capture(&device, move |x: &[Tensor]| {
        own.assign(&(&own * 0.5 + &x[0]));
        vec![own.exp()]
    })
    .unwrap();
    let x = [Tensor::ones([4], &device)];
    step.run(&x).unwrap();
    step.save(&file.0).unwrap();
    let whole = std::fs::read(&file.0).unwrap();
    let n = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&whole[8..8 + n]).unwrap();
    let text = &header["__metadata__"]["wgrad.captured"].as_str().unwrap()[32..];
    let step: serde_json::Value = serde_json::from_str(text).unwrap();
    // Every number of the description in turn becomes absurd, and every list empty: an error, or a step that runs.
    let mut paths = Vec::new();
    collect(&step, &mut Vec::new(), &mut paths);
    assert!(paths.len() > 40, "{}", paths.len());
    let mut refused = 0;
    for path in &paths {
        for value in [serde_json::json!(1_000_000), serde_json::json!(u64::MAX), serde_json::json!([])] {
            let forged = edit(&whole, |_| {
                let mut step = step.clone();
                *path.iter().fold(&mut step, |at, key| match key {
                    Key::Field(name) => &mut at[name],
                    Key::Item(i) => &mut at[i],
                }) = value.clone();
                step.to_string()
            });
            std::fs::write(&bad.0, forged).unwrap();
            match load_captured(&bad.0, &device) {
                Err(_) => refused += 1,
                // What it computes is its own affair, as long as it ends.
                Ok(step) => refused += usize::from(step.run(&x).is_err()),
            }
        }
    }
    assert!(refused > paths.len(), "{refused} of {}", paths.len());
    // The device is as good as before.
    let honest = load_captured(&file.0, &device).unwrap();
    let got = honest.run(&x).unwrap()[0].to_vec::<f32>().unwrap();
    assert!(got.iter().all(|v| (v / 1.75f32.exp() - 1.0).abs() < 1e-6), "{got:?}");
    device.sync().unwrap();
}

#[derive(Clone)]
enum Key {
    Field(String),
    Item(usize),
}

fn collect(value: &serde_json::Value, path: &mut Vec<Key>, paths: &mut Vec<Vec<Key>>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                path.push(Key::Field(name.clone()));
                collect(field, path, paths);
                path.pop();
            }
        }
        serde_json::Value::Array(items) => {
            paths.push(path.clone());
            for (i, item) in items.iter().enumerate() {
                path.push(Key::Item(i));
                collect(item, path, paths);
                path.pop();
            }
        }
        serde_json::Value::Number(_) => paths.push(path.clone()),
        _ => {}
    }
}
