//! Asynchronous calls give what their blocking counterparts give, errors too; bytes are those of files, and of the moment of the call.

use std::collections::BTreeMap;

use pollster::block_on;
use wgrad::Target;
use wgrad::internals::Caps;
use wgrad::{DType, Device, Error, Tensor, capture, io, load_captured, load_captured_bytes};

use crate::saved::{outcome, training};
use crate::{gpu, new_gpu};

/// A text with the lines of source files left out, which differ from call to call, and the call's name with them.
fn gist(error: Error) -> String {
    let text = error.to_string().replace("_async", "");
    text.split(" (at ").next().unwrap_or_default().to_owned()
}

#[test]
fn reads_are_the_same_on_both_ways() {
    for device in [&Device::cpu(), gpu()] {
        let x = Tensor::arange(0.0, 6.0, 1.0, device).reshape([2, 3]) * 0.5;
        assert_eq!(block_on(x.to_vec_async::<f32>()).unwrap(), x.to_vec::<f32>().unwrap());
        assert_eq!(block_on(x.to_array_async::<f32>()).unwrap(), x.to_array::<f32>().unwrap());
        assert_eq!(block_on(x.sum().item_async::<f32>()).unwrap(), 7.5);
        for to in [&Device::cpu(), gpu()] {
            let moved = block_on(x.to_device_async(to));
            assert!(moved.device().same(to));
            assert_eq!(moved.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
        }
        block_on(device.sync_async()).unwrap();
        // Errors, too, and they name this file.
        let wrong = [
            (block_on(x.item_async::<f32>()).map(drop), x.item::<f32>().map(drop)),
            (block_on(x.item_async::<i32>()).map(drop), x.item::<i32>().map(drop)),
            (block_on(x.to_vec_async::<u32>()).map(drop), x.to_vec::<u32>().map(drop)),
            (block_on(x.to_array_async::<i32>()).map(drop), x.to_array::<i32>().map(drop)),
        ];
        for (ours, blocking) in wrong {
            let (ours, blocking) = (ours.unwrap_err(), blocking.unwrap_err());
            assert!(ours.to_string().contains("asynchronous.rs"), "{ours}");
            assert!(blocking.to_string().contains("asynchronous.rs"), "{blocking}");
            assert_eq!(gist(ours), gist(blocking));
        }
        let failed = Tensor::ones([2], device).matmul(&Tensor::ones([3], device));
        let moved = block_on(failed.to_device_async(&Device::cpu()));
        assert_eq!(moved.check().unwrap_err().to_string(), failed.check().unwrap_err().to_string());
    }
}

#[test]
fn devices_open_on_both_ways() {
    assert!(block_on(Device::named_async("cpu")).unwrap().is_cpu());
    let adapters = Device::adapters();
    assert_eq!(block_on(Device::adapters_async()), adapters);
    let first = &adapters[0].name;
    assert_eq!(&block_on(Device::named_async(first)).unwrap().info().name, first);
    let unknown = block_on(Device::named_async("abacus")).unwrap_err();
    assert_eq!(gist(unknown), gist(Device::named("abacus").unwrap_err()));
}

#[test]
fn safetensors_bytes_are_those_of_files() {
    let path = std::env::temp_dir().join(format!("wgrad-asynchronous-{}.safetensors", std::process::id()));
    for device in [&Device::cpu(), gpu()] {
        let tensors = BTreeMap::from([
            ("w".to_owned(), Tensor::arange(0.0, 6.0, 1.0, device).reshape([2, 3])),
            ("flags".to_owned(), Tensor::arange(0.0, 3.0, 1.0, device).gt(0.5)),
            ("n".to_owned(), Tensor::from_slice(&[7i32], (), device)),
        ]);
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        io::save_safetensors_with_metadata(&path, &tensors, &metadata).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(io::to_safetensors_bytes(&tensors, &metadata).unwrap(), file);
        assert_eq!(block_on(io::to_safetensors_bytes_async(&tensors, &metadata)).unwrap(), file);
        let (read, words) = io::from_safetensors_bytes(&file, device).unwrap();
        assert_eq!(words, metadata);
        assert_eq!(read.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
        assert_eq!(read["flags"].dtype(), DType::Bool);
        assert_eq!(read["w"].to_vec::<f32>().unwrap(), tensors["w"].to_vec::<f32>().unwrap());
        for cut in [0, 7, 8, file.len() / 2, file.len() - 1] {
            let error = io::from_safetensors_bytes(&file[..cut], device).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{cut} bytes: {error}");
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_step_in_bytes_is_the_file_and_of_the_moment_of_the_call() {
    let path = std::env::temp_dir().join(format!("wgrad-asynchronous-step-{}.safetensors", std::process::id()));
    let device = new_gpu();
    let (_net, step) = training(&device);
    assert!(matches!(step.to_bytes(), Err(Error::Argument { .. })), "nothing is recorded yet");
    outcome(&step, 0, 4, &device);
    step.save(&path).unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!(step.to_bytes().unwrap(), file);
    let later = step.to_bytes_async();
    let on_file = load_captured(&path, &new_gpu()).unwrap();
    let straight = outcome(&step, 4, 8, &device);
    // Runs since then, which write over the values, are not in it.
    let bytes = block_on(later).unwrap();
    assert_eq!(bytes, file);
    let loaded = load_captured_bytes(&bytes, &new_gpu()).unwrap();
    assert_eq!(outcome(&loaded, 4, 8, loaded.device()), straight);
    assert_eq!(outcome(&on_file, 4, 8, on_file.device()), straight);
    for cut in [0, 8, file.len() / 2] {
        assert!(matches!(load_captured_bytes(&bytes[..cut], &device), Err(Error::Argument { .. })));
    }
    let cpu = Device::cpu();
    assert!(matches!(load_captured_bytes(&bytes, &cpu), Err(Error::Unsupported { .. })));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_step_for_the_portable_target_runs_within_webgpus_default_limits() {
    let device = Device::gpu_for(&Target::portable()).unwrap();
    let (_net, step) = training(&device);
    let straight = outcome(&step, 0, 2, &device);
    assert!(straight.iter().flatten().any(|word| *word != 0));
    let bytes = step.to_bytes().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for feature in ["subgroupAdd", "enable f16", "texture_storage_2d", "vec2<u64>"] {
        assert!(!text.contains(feature), "{feature}");
    }
    // On an adapter with nothing more than that, which this one plays, and on this one with all that it has.
    let least = Device::gpu_with(true, |caps| *caps = Caps { cores: caps.cores, ..Caps::baseline() }).unwrap();
    let rest = outcome(&step, 2, 6, &device);
    for other in [least, new_gpu()] {
        let loaded = load_captured_bytes(&bytes, &other).unwrap();
        assert_eq!(outcome(&loaded, 2, 6, &other), rest);
    }
}

#[test]
fn inputs_of_a_step_are_listed_by_variant() {
    let device = gpu();
    let step = capture(device, |x: &[Tensor]| vec![x[0].index_select(0, &x[1])]).unwrap();
    assert!(step.inputs().is_empty());
    for n in [2, 3] {
        step.run(&[Tensor::ones([4, n], device), Tensor::from_slice(&[0i32], [1], device)]).unwrap();
    }
    let described: Vec<Vec<String>> = (step.inputs().iter())
        .map(|inputs| inputs.iter().map(|(dtype, shape)| format!("{dtype} {shape}")).collect())
        .collect();
    assert_eq!(described, [["f32 [4, 2]", "i32 [1]"], ["f32 [4, 3]", "i32 [1]"]]);
}
