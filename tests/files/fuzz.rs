//! Random bytes, and valid files with flipped bits, cut ends and changed headers: every loader returns, saved plans' too, and what it
//! returns is no larger than a file of that size can hold.

use std::path::Path;

use proptest::prelude::*;
use wgrad::data::{CharCorpus, Csv, Idx, Vocabulary};
use wgrad::optim::Adam;
use wgrad::train::{Checkpoint, History};
use wgrad::{Device, Tensor, capture, io, load_captured};

use crate::{Folder, fixture, gpu, samples};

/// Runs every loader over a file.
fn load_all(path: &Path, len: usize) {
    let cpu = Device::cpu();
    // Four bytes an element for one in the file; compressed files may hold more, within the limits tested in `damage`.
    let most = 4 * len.max(1);
    if let Ok(tensors) = io::load_safetensors(path, &cpu) {
        assert!(tensors.values().map(|t| t.numel()).sum::<usize>() <= most);
    }
    if let Ok(tensor) = io::load_npy(path, &cpu) {
        assert!(tensor.numel() <= most);
    }
    let _ = io::load_npz(path, &cpu);
    let _ = Checkpoint::load(path, &cpu);
    let _ = Idx::load(path);
    let _ = Csv::load(path);
    let _ = CharCorpus::load(path);
    let _ = Vocabulary::load(path);
    let _ = History::load_csv(path);
    // Kernels of a plan are checked when it is read; nothing runs.
    let _ = load_captured(path, gpu());
}

/// A saved training step.
fn plan(path: &Path) {
    let device = gpu();
    let w = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25], [2, 2], device).requires_grad();
    let mut optimizer = Adam::new(vec![w.clone()], 0.1);
    let step = capture(device, move |x: &[Tensor]| {
        optimizer.zero_grad();
        let loss = (x[0].matmul(&w).softmax(-1) * &x[0]).dropout(0.5, true).square().mean();
        loss.backward()?;
        optimizer.step()?;
        Ok(vec![loss])
    });
    let step = step.unwrap();
    step.run(&[Tensor::ones([3, 2], device)]).unwrap();
    step.save(path).unwrap();
}

/// Valid files of every kind.
fn seeds() -> Vec<Vec<u8>> {
    let (folder, cpu) = (Folder::new(), Device::cpu());
    let tensors = samples(&cpu);
    io::save_safetensors(folder.join("a"), &tensors).unwrap();
    io::save_npz(folder.join("b"), &tensors).unwrap();
    io::save_npy(folder.join("c"), &tensors["layer.turned"]).unwrap();
    let mut checkpoint = Checkpoint::new();
    checkpoint.put("model", tensors);
    checkpoint.set("step", 7);
    checkpoint.save(folder.join("d")).unwrap();
    Idx { dims: vec![2, 3], bytes: vec![1; 6] }.save(folder.join("e")).unwrap();
    let mut history = History::new();
    history.push(1, 0.5, &[("loss", 0.25), ("accuracy", 1.0)]);
    history.save_csv(folder.join("f")).unwrap();
    plan(&folder.join("g"));
    let own = ["a", "b", "c", "d", "e", "f", "g"].map(|name| folder.join(name));
    let theirs = ["torch.safetensors", "numpy.npz", "numpy_compressed.npz", "labels-idx1-ubyte.gz"].map(fixture);
    own.iter().chain(&theirs).map(|path| std::fs::read(path).unwrap()).collect()
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Edit {
    /// Flips a bit.
    Flip(prop::sample::Index, u8),
    /// Sets a byte, most likely among the first or the last 200, where headers and directories stand.
    Set(prop::sample::Index, u8, bool),
    /// Writes an extreme number of 32 bits.
    Number(prop::sample::Index, u32),
    /// Cuts the end off.
    Cut(prop::sample::Index),
    /// Doubles a stretch.
    Repeat(prop::sample::Index, usize),
    /// Replaces a digit of the text by another.
    Digit(prop::sample::Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    use any as a;
    prop_oneof![
        (a::<prop::sample::Index>(), 0u8..8).prop_map(|(i, b)| Edit::Flip(i, b)),
        (a::<prop::sample::Index>(), a::<u8>(), a::<bool>()).prop_map(|(i, b, end)| Edit::Set(i, b, end)),
        (a::<prop::sample::Index>(), prop::sample::select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX]))
            .prop_map(|(i, n)| Edit::Number(i, n)),
        a::<prop::sample::Index>().prop_map(Edit::Cut),
        (a::<prop::sample::Index>(), 1usize..64).prop_map(|(i, n)| Edit::Repeat(i, n)),
        (a::<prop::sample::Index>(), b'0'..=b'9').prop_map(|(i, d)| Edit::Digit(i, d)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match edit {
        Edit::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Edit::Set(at, byte, end) => {
            let near = at.index(len.min(200));
            bytes[if *end { len - 1 - near } else { near }] = *byte;
        }
        Edit::Number(at, number) => {
            let at = at.index(len);
            for (to, from) in bytes[at..].iter_mut().zip(number.to_le_bytes()) {
                *to = from;
            }
        }
        Edit::Cut(at) => bytes.truncate(at.index(len)),
        Edit::Repeat(at, n) => {
            let at = at.index(len);
            let stretch = bytes[at..(at + n).min(len)].to_vec();
            bytes.splice(at..at, stretch);
        }
        Edit::Digit(at, digit) => {
            let digits: Vec<usize> = (0..len).filter(|&i| bytes[i].is_ascii_digit()).collect();
            if !digits.is_empty() {
                bytes[digits[at.index(digits.len())]] = *digit;
            }
        }
    }
}

#[test]
fn random_bytes_are_survived() {
    let folder = Folder::new();
    let magic = prop::sample::select(vec![
        &b""[..],
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x02\x00",
        b"PK\x03\x04",
        b"\x40\0\0\0\0\0\0\0{\"",
        b"\x1f\x8b\x08\x00",
        b"\0\0\x08\x02",
        b"step,seconds,",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    let outcome = runner.run(&(magic, bytes), |(magic, bytes)| {
        let bytes = [magic, &bytes].concat();
        load_all(&folder.file("x", &bytes), bytes.len());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn changed_files_are_survived() {
    let (folder, seeds) = (Folder::new(), seeds());
    let cases = (0..seeds.len(), prop::collection::vec(edit(), 1..4));
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 1500, ..ProptestConfig::default() });
    let outcome = runner.run(&cases, |(seed, edits)| {
        let mut bytes = seeds[seed].clone();
        edits.iter().for_each(|edit| apply(&mut bytes, edit));
        load_all(&folder.file("x", &bytes), bytes.len());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn every_cut_of_every_file_is_survived() {
    let folder = Folder::new();
    for seed in seeds() {
        // All cuts of small files, some of large ones; the ends of headers lie at the beginning.
        let steps = (0..seed.len()).filter(|&n| n < 64 || n % (1 + seed.len() / 60) == 0);
        for n in steps {
            load_all(&folder.file("x", &seed[..n]), n);
        }
    }
}

/// Any single flipped bit of a checkpoint is noticed.
#[test]
fn a_checkpoint_notices_every_flipped_bit() {
    let (folder, cpu) = (Folder::new(), Device::cpu());
    let path = folder.join("x");
    let mut checkpoint = Checkpoint::new();
    checkpoint.put("model", samples(&cpu));
    checkpoint.set("step", 7);
    checkpoint.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let shown = format!("{:?}", Checkpoint::load(&path, &cpu).unwrap());
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(read) = Checkpoint::load(&path, &cpu) {
            // Padding of the header, or a letter of a key that a JSON escape leaves the same.
            assert_eq!(format!("{read:?}"), shown, "byte {at}");
            assert!(good[at] == b' ', "byte {at} ({:?}) was changed unnoticed", good[at] as char);
        }
    }
}
