//! The memory contract: reuse, trim, limits and what happens when memory runs out.

use wgrad::{Device, Error, Result, Tensor};

use crate::environment::{printed, run};
use crate::{gpu, new_gpu};

#[test]
fn dropped_tensors_are_reused() {
    let device = new_gpu();
    let make = |k: f32| (Tensor::ones([1000], &device) * k + k).to_vec::<f32>().unwrap()[999];
    assert_eq!(make(1.0), 2.0);
    assert_eq!(make(2.0), 4.0);
    let before = device.memory();
    for k in 0..50 {
        make(k as f32);
    }
    let after = device.memory();
    assert_eq!((before.allocations, before.in_use, before.peak), (after.allocations, after.in_use, after.peak));
}

#[test]
fn in_use_follows_live_tensors() {
    let device = new_gpu();
    let start = device.memory().in_use;
    let held: Vec<Tensor> = (0..4).map(|_| Tensor::ones([1 << 18], &device).contiguous()).collect();
    held.iter().for_each(|t| t.realize().unwrap());
    let live = device.memory().in_use - start;
    assert!((4 << 20..6 << 20).contains(&live), "{live} bytes for four tensors of 1 MiB");
    drop(held);
    let memory = device.memory();
    assert_eq!(memory.in_use, start);
    assert!(memory.pooled >= 4 << 20 && memory.peak >= 4 << 20, "{memory:?}");
    device.trim();
    assert_eq!(device.memory().pooled, 0);
    assert_eq!((Tensor::ones([8], &device) * 2.0).to_vec::<f32>().unwrap(), [2.0; 8]);
}

/// Zeros that no memory stands behind until an op writes them.
#[test]
fn views_of_scalars_take_no_memory() {
    let device = new_gpu();
    let start = device.memory().in_use;
    let zeros = Tensor::zeros([1 << 16, 1 << 10], &device);
    let row = zeros.slice(0, 5..6) + 1.0;
    assert_eq!(row.sum().item::<f32>().unwrap(), 1024.0);
    assert!(device.memory().in_use - start < 1 << 20);
}

/// The largest tensor that the default adapter of the tests may bind, or an error that says all there is to know.
fn large(device: &Device, elements: usize) -> Result<f32> {
    let x = Tensor::arange(0.0, 4.0, 1.0, device).reshape([4, 1]).expand([4, elements / 4]).contiguous();
    x.realize()?;
    x.slice(1, 0..8).sum().item::<f32>()
}

#[test]
fn over_the_binding_limit_is_an_error_that_names_it() {
    let device = new_gpu();
    // Over 4 GiB: past the limit of every adapter.
    let line = line!() + 1;
    let x = Tensor::ones([1 << 15, 1 << 15], &device) + Tensor::arange(0.0, 32768.0, 1.0, &device);
    match x.realize() {
        Err(Error::TooLarge { op, bytes, limit, at }) => {
            assert_eq!((op.as_str(), bytes), ("add", 4 << 30));
            assert!(limit < 4 << 30);
            assert!(format!("{at}").contains(&format!("{}:{line}:", file!())), "{at}");
        }
        other => assert!(other.is_err(), "4 GiB in one binding: {other:?}"),
    }
    drop(x);
    // Just over 128 MiB: an error that names the size, or the right answer where the adapter binds it.
    match large(&device, (32 << 20) + 1024) {
        Ok(sum) => assert_eq!(sum, 48.0),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("134221824") && text.contains("allows"), "{text}");
        }
    }
    assert_eq!(large(&device, 1 << 20).unwrap(), 48.0, "the device goes on");
}

#[test]
fn a_failed_flush_leaves_the_rest_working() {
    let device = new_gpu();
    let good = Tensor::ones([4], &device) * 2.0;
    let bad = Tensor::ones([1 << 15, 1 << 15], &device) + Tensor::arange(0.0, 32768.0, 1.0, &device);
    assert!(bad.realize().is_err());
    assert!(device.sync().is_err(), "a held tensor that cannot be computed is an error of sync");
    assert_eq!(good.to_vec::<f32>().unwrap(), [2.0; 4]);
    drop(bad);
    device.sync().unwrap();
}

#[test]
fn uploads_over_the_limit_are_errors() {
    let values = vec![1f32; (32 << 20) + 16];
    let x = Tensor::from_slice(&values, [values.len()], gpu());
    match x.sum().item::<f32>() {
        Ok(sum) => assert_eq!(sum, values.len() as f32),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("134217792"), "{text}");
        }
    }
}

/// Asks for one tensor after the other until the device says no (or until a bound, on machines with much memory).
#[test]
fn running_out_of_memory_is_an_error_and_the_device_goes_on() {
    let device = new_gpu();
    // One buffer beyond what any adapter offers, through the path of ordinary tensors.
    let huge = Tensor::arange(0.0, 1.6e9, 1.0, &device);
    let error = (&huge + 1.0).realize().unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. } | Error::Unsupported { .. }), "{error}");
    drop(huge);
    assert_eq!((Tensor::ones([4], &device) + 1.0).to_vec::<f32>().unwrap(), [2.0; 4]);
    let x = Tensor::ones([16], &device).requires_grad();
    (&x * &x).sum().backward().unwrap();
    assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [2.0; 16]);
}

#[test]
fn elementwise_ops_run_over_windows_of_large_buffers() {
    let device = Device::gpu_with(true, |caps| caps.max_binding = 4096).unwrap_or_else(|error| panic!("{error}"));
    let n = 5003;
    let (x, y) = (Tensor::arange(0.0, n as f32, 1.0, &device), Tensor::rand([n], &device));
    x.realize().unwrap();
    y.realize().unwrap();
    let before = device.stats().dispatches;
    let z = (&x * 2.0 + &y).relu().to_vec::<f32>().unwrap();
    assert!(device.stats().dispatches - before >= 5);
    let (x, y) = (x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
    for i in 0..n {
        assert_eq!((x[i], z[i]), (i as f32, x[i] * 2.0 + y[i]));
    }
    // Broadcast operands are indexed from the start of the tensor, not of the window.
    let row = Tensor::arange(0.0, 7.0, 1.0, &device);
    let grid = (Tensor::zeros([900, 7], &device) + &row).to_vec::<f32>().unwrap();
    assert!(grid.iter().enumerate().all(|(i, &v)| v == (i % 7) as f32));
    // Reductions of everything, with a fused producer; the windows end unevenly.
    let wide = Tensor::arange(0.0, n as f32, 1.0, &device);
    wide.realize().unwrap();
    let want: f64 = (0..n).map(|i| (i as f64 - 7.0).powi(2)).sum();
    let sum = (&wide - 7.0).square().sum().item::<f32>().unwrap();
    assert!((f64::from(sum) - want).abs() < 1e-6 * want, "{sum} for {want}");
    assert_eq!(wide.max().item::<f32>().unwrap(), n as f32 - 1.0);
    // What cannot be cut into windows says so.
    let error = wide.argmax(0, false).to_vec::<u32>().unwrap_err().to_string();
    assert!(error.contains("argmax") && error.contains("4096") && error.contains(file!()), "{error}");
    let large = Tensor::rand([n, 2], &device);
    large.realize().unwrap();
    let error = (large.t() + 1.0).realize().unwrap_err().to_string();
    assert!(error.contains("4096") && error.contains(file!()), "{error}");
}

/// A process that may have no more memory asks for buffers of another size than those that it gave back to the pool.
#[test]
#[cfg(target_os = "linux")]
fn the_pool_gives_memory_back_under_pressure() {
    let output = run("little memory", &[]);
    if printed(&output, "software") == "false" {
        // The memory of a GPU is not that of the process.
        return;
    }
    let count = |name| printed(&output, name).parse::<u64>().unwrap();
    assert!(count("pooled before") >= 6 << 27, "{output:?}");
    // All of it was of the wrong size, so all of it went.
    assert_eq!((count("pooled after"), count("sum")), (0, 6), "{output:?}");
}

/// What the test above runs: fills the pool, forbids the process more memory than half of that, and asks for as much again.
pub fn program() -> Result<()> {
    let device = Device::gpu()?;
    let tensors = |count: usize, elements: usize| -> Result<Vec<Tensor>> {
        let made: Vec<Tensor> = (0..count).map(|_| Tensor::ones([elements], &device).contiguous()).collect();
        made.iter().try_for_each(|t| t.realize())?;
        Ok(made)
    };
    let sum =
        |tensors: &[Tensor]| -> Result<f32> { tensors.iter().map(|t| t.slice(0, 7..8).sum().item::<f32>()).sum() };
    sum(&tensors(6, 32 << 20)?)?;
    println!("software: {}", device.info().software);
    println!("pooled before: {}", device.memory().pooled);
    if device.info().software {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kibibytes = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        let now = status.lines().find(|line| line.starts_with("VmSize")).map(kibibytes).unwrap() << 10;
        let limit = format!("--as={}", now + (3 << 27));
        let pid = std::process::id().to_string();
        let done = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
        assert!(done.success());
    }
    let held = tensors(6, 28 << 20)?;
    println!("pooled after: {}", device.memory().pooled);
    println!("sum: {}", sum(&held)?);
    Ok(())
}
