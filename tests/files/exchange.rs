//! Files of PyTorch and numpy, and our own read again.

use wgrad::{Device, Tensor, io};

use crate::{Folder, fixture, samples, show};

#[test]
fn what_is_written_is_read_again() {
    let (folder, device) = (Folder::new(), Device::cpu());
    let tensors = samples(&device);
    let shown: Vec<String> = tensors.values().map(show).collect();
    let metadata = [("format".to_string(), "pt".to_string()), ("note".to_string(), "ä\"\n".to_string())].into();
    let path = folder.join("all.safetensors");
    io::save_safetensors_with_metadata(&path, &tensors, &metadata).unwrap();
    let (read, words) = io::load_safetensors_with_metadata(&path, &device).unwrap();
    assert!(read.keys().eq(tensors.keys()));
    assert_eq!(read.values().map(show).collect::<Vec<_>>(), shown);
    assert_eq!(words, metadata);
    let first = std::fs::read(&path).unwrap();
    io::save_safetensors_with_metadata(&path, &read, &words).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same tensors give the same bytes");

    let path = folder.join("all.npz");
    io::save_npz(&path, &tensors).unwrap();
    let read = io::load_npz(&path, &device).unwrap();
    assert!(read.keys().eq(tensors.keys()));
    assert_eq!(read.values().map(show).collect::<Vec<_>>(), shown);
    for (name, tensor) in &tensors {
        let path = folder.join(&format!("{name}.npy"));
        io::save_npy(&path, tensor).unwrap();
        assert_eq!(show(&io::load_npy(&path, &device).unwrap()), show(tensor));
    }
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2 + tensors.len(), "no temporary file is left");
}

#[test]
fn files_move_between_devices() {
    let (folder, gpu) = (Folder::new(), Device::gpu().unwrap_or_else(|error| panic!("{error}")));
    let path = folder.join("w.safetensors");
    let w = Tensor::arange(0.0, 1000.0, 1.0, &gpu).reshape([10, 100]);
    io::save_safetensors(&path, &[("w".to_string(), w.t())].into()).unwrap();
    let read = io::load_safetensors(&path, &Device::cpu()).unwrap();
    assert_eq!(show(&read["w"]), show(&w.t()));
    // The CPU's f64 becomes f32 where there is none.
    io::save_npz(folder.join("x.npz"), &samples(&Device::cpu())).unwrap();
    let read = io::load_npz(folder.join("x.npz"), &gpu).unwrap();
    assert_eq!(read["layer.f64"].to_vec::<f32>().unwrap(), [0.1, f32::NEG_INFINITY]);
    assert_eq!(read["layer.i32"].to_vec::<i32>().unwrap(), [i32::MIN, -1, i32::MAX]);
}

/// `fixtures/torch.safetensors` and `numpy*.npz` are made by `generator/make.py`, which holds the same values.
#[test]
fn pytorchs_types_are_read() {
    let device = Device::cpu();
    let (read, metadata) = io::load_safetensors_with_metadata(fixture("torch.safetensors"), &device).unwrap();
    assert_eq!(metadata["format"], "pt");
    for (name, expected) in [
        ("bf16", "f32 [3] [1.5, -2.0, 3.140625]"),
        ("bool", "bool [2, 2] [true, false, false, true]"),
        ("f16", "f16 [2] [0.5, -1024.0]"),
        ("f32", "f32 [2, 3] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]"),
        ("f64", "f64 [1] [0.1]"),
        ("i16", "i32 [2] [-300, 300]"),
        ("i32", "i32 [2] [-70000, 70000]"),
        ("i64", "i32 [2] [-2147483648, 2147483647]"),
        ("i8", "i32 [2] [-128, 127]"),
        ("num_batches_tracked", "i32 [] [7]"),
        ("u8", "u32 [2] [0, 255]"),
    ] {
        assert_eq!(show(&read[name]), expected, "{name}");
    }
    assert_eq!(read.len(), 11);
}

#[test]
fn numpys_files_are_read() {
    for name in ["numpy.npz", "numpy_compressed.npz"] {
        let read = io::load_npz(fixture(name), &Device::cpu()).unwrap();
        for (name, expected) in [
            ("big_endian", "f32 [2] [1.5, -2.0]"),
            ("bool", "bool [3] [true, false, true]"),
            ("columns", "f64 [2, 3] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]"),
            ("cube", "i32 [2, 3, 2] [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"),
            ("empty", "f32 [0, 4] []"),
            ("f16", "f16 [1] [0.25]"),
            ("i64", "i32 [2] [-5, 5]"),
            ("scalar", "f64 [] [2.5]"),
            ("u8", "u32 [2] [0, 255]"),
        ] {
            assert_eq!(show(&read[name]), expected, "{name}");
        }
        assert_eq!(read.len(), 9 + 1);
        assert_eq!(read["zeros"].to_vec::<f32>().unwrap(), vec![0.0; 10_000]);
    }
}
