//! Certificates, and devices that check their kernels when they are opened: a kernel that is made wrong is found, named, and not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use wgrad::certify::{Certificate, CertifyOptions, Section, Status};
use wgrad::{Device, Error, Result, Tensor};

use crate::environment::{printed, run};
use crate::gpu;

/// Names the kernel that a child process's device has wrong.
const FAULTY: &str = "WGRAD_TEST_FAULTY";

/// A device one of whose kernels is wrong.
fn faulty(kernel: &str) -> Device {
    let kernel: &'static str = Box::leak(kernel.to_owned().into_boxed_str());
    Device::gpu_with(true, |caps| caps.faulty = Some(kernel)).unwrap_or_else(|error| panic!("{error}"))
}

/// A product and a sum of rows, whose right values are whole numbers.
fn values(device: &Device) -> Result<(Vec<f32>, Vec<f32>)> {
    let (a, b) = (Tensor::full([20, 30], 2.0, device), Tensor::full([30, 40], 0.5, device));
    let (a, b) = (a + 0.0, b + 0.0);
    a.realize()?;
    b.realize()?;
    Ok((a.matmul(&b).to_vec::<f32>()?, a.sum_dims(&[1], false).to_vec::<f32>()?))
}

/// The name of the kernel of that product.
fn product_kernel() -> String {
    let (a, b) = (Tensor::randn([70, 45], gpu()), Tensor::randn([45, 90], gpu()));
    a.realize().unwrap();
    b.realize().unwrap();
    a.matmul(&b).explain().unwrap().kernels.last().unwrap().name.clone()
}

/// What a child process runs.
pub fn program() -> Result<()> {
    let device = match std::env::var(FAULTY) {
        Ok(kernel) => faulty(&kernel),
        Err(_) => Device::gpu()?,
    };
    let (products, sums) = values(&device)?;
    println!("products right: {}", products == vec![30.0; 800]);
    println!("sums right: {}", sums == vec![60.0; 20]);
    println!("dispatches: {}", device.stats().dispatches);
    Ok(())
}

/// A file for the cache of one test, which is not there yet.
fn cache(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wgrad {test} {}", std::process::id())).join("certified.json");
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    path
}

fn opened(kernel: Option<&str>, cache: &Path) -> Output {
    let cache = cache.to_str().unwrap();
    let mut variables = vec![("WGRAD_CERTIFY", "1"), ("WGRAD_CERTIFY_CACHE", cache), ("WGRAD_LOG", "wgrad=warn")];
    variables.extend(kernel.map(|kernel| (FAULTY, kernel)));
    run("certified", &variables)
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_short_form_passes_and_survives_json() {
    let device = gpu();
    device.seed(9);
    let before = device.rng_state();
    let certificate = device.certify_with(CertifyOptions::new().quick(true)).unwrap();
    assert!(certificate.passed(), "{certificate}");
    assert_eq!(device.rng_state(), before);
    assert_eq!((certificate.adapter.as_str(), certificate.quick), (device.info().name.as_str(), true));
    for section in [Section::Kernels, Section::Numbers, Section::Determinism] {
        let rows = certificate.rows.iter().filter(|row| row.section == section && row.status == Status::Passed);
        assert!(rows.count() >= 5, "{section}");
    }
    assert_eq!(Certificate::from_json(&certificate.to_json()).unwrap(), certificate);
    assert!(matches!(Certificate::from_json("{}"), Err(Error::Argument { .. })));
    let text = certificate.to_markdown();
    let wanted = [device.info().name.as_str(), &device.info().driver, "PASSED", "softmax", "NaN wins", "| Kernels |"];
    wanted.iter().for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
    assert!(!text.contains("## Failed"));
}

#[test]
fn a_certificate_names_a_wrong_kernel() {
    let kernel = product_kernel();
    let device = faulty(&kernel);
    assert_ne!(values(&device).unwrap().0, vec![30.0; 800]);
    let certificate = device.certify_with(CertifyOptions::new().quick(true)).unwrap();
    assert!(!certificate.passed());
    let failed: Vec<_> = certificate.failed().filter(|row| row.section == Section::Kernels).collect();
    assert!(failed.iter().any(|row| row.name.starts_with("product") && row.error > row.tolerance), "{failed:?}");
    assert!(failed.iter().any(|row| row.note.contains(&kernel) && row.note.contains("matmul")), "{failed:?}");
    // Other families pass.
    let softmax = certificate.rows.iter().find(|row| row.name.starts_with("softmax")).unwrap();
    assert_eq!(softmax.status, Status::Passed);
    assert!(certificate.to_markdown().contains("## Failed"));
    assert!(certificate.to_string().contains("FAILED: Kernels: product"), "{certificate}");
}

#[test]
fn wrong_kernels_are_switched_away_from_and_remembered() {
    let kernel = product_kernel();
    let cache = cache("wrong kernel");
    // Unasked, the device computes by the wrong kernel.
    assert_eq!(printed(&run("certified", &[(FAULTY, &kernel)]), "products right"), "false");
    let first = opened(Some(&kernel), &cache);
    assert_eq!((printed(&first, "products right"), printed(&first, "sums right")), ("true".into(), "true".into()));
    let warning = log(&first);
    assert!(warning.contains("matmul runs plain kernels") && warning.contains(&kernel), "{warning}");
    // The next device believes the file.
    let second = opened(Some(&kernel), &cache);
    assert_eq!(printed(&second, "products right"), "true");
    assert!(log(&second).contains("as an earlier check found"), "{}", log(&second));
    // Users count what they ran.
    assert_eq!(printed(&first, "dispatches"), printed(&second, "dispatches"));
    // It does so whatever the file says.
    let kept = fs::read_to_string(&cache).unwrap();
    let mut table: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let entry = table.as_object_mut().unwrap().values_mut().next().unwrap();
    assert_eq!(entry["plain"], serde_json::json!(["matmul"]));
    entry["plain"] = serde_json::json!([]);
    fs::write(&cache, table.to_string()).unwrap();
    assert_eq!(printed(&opened(Some(&kernel), &cache), "products right"), "false");
    // But not if another version of the crate, or another driver, has written it, or it is damaged.
    for (field, value) in [("wgrad", "0.0.1"), ("driver", "another")] {
        let mut other = table.clone();
        other.as_object_mut().unwrap().values_mut().next().unwrap()[field] = value.into();
        fs::write(&cache, other.to_string()).unwrap();
        let again = opened(Some(&kernel), &cache);
        assert_eq!(printed(&again, "products right"), "true", "{field}");
        assert!(log(&again).contains("matmul runs plain kernels"), "{}", log(&again));
        assert_eq!(fs::read_to_string(&cache).unwrap(), kept);
    }
    fs::write(&cache, &kept[..kept.len() / 2]).unwrap();
    assert_eq!(printed(&opened(Some(&kernel), &cache), "products right"), "true");
    assert_eq!(fs::read_to_string(&cache).unwrap(), kept);
    fs::remove_dir_all(cache.parent().unwrap()).unwrap();
}

#[test]
fn wrong_reductions_are_switched_away_from() {
    let cache = cache("wrong reduction");
    assert_eq!(printed(&run("certified", &[(FAULTY, "reduction")]), "sums right"), "false");
    let output = opened(Some("reduction"), &cache);
    assert_eq!((printed(&output, "products right"), printed(&output, "sums right")), ("true".into(), "true".into()));
    assert!(log(&output).contains("reduction runs plain kernels"), "{}", log(&output));
    fs::remove_dir_all(cache.parent().unwrap()).unwrap();
}

#[test]
fn a_right_device_says_nothing() {
    let cache = cache("right device");
    let output = opened(None, &cache);
    assert_eq!(printed(&output, "products right"), "true");
    assert!(!log(&output).contains("plain kernels"), "{}", log(&output));
    assert!(fs::read_to_string(&cache).unwrap().contains("\"plain\": []"));
    // A cache that cannot be written is no reason not to open.
    let folder = cache.parent().unwrap().to_path_buf();
    let output = opened(None, &folder);
    assert_eq!(printed(&output, "products right"), "true");
    assert!(log(&output).contains("is not kept"), "{}", log(&output));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn certificates_are_of_gpus() {
    let refused = Device::cpu().certify();
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}
