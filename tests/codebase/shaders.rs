//! Shader files validate alone, are all used, and every kernel of a broad sample of graphs validates, keeps to what each
//! WebGPU device binds, and translates to the languages of Vulkan, Metal and Direct3D.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgrad::Device;
use wgrad::internals::Caps;

use crate::graphs::{adapters, data, leaf, plan_all};

pub fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("shaders")
}

/// Shader files as (path below `shaders`, text).
pub fn files() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(self::folder()).unwrap().to_string_lossy().replace('\\', "/");
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    assert!(out.len() > 60);
    out
}

fn validate(text: &str) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let info = Validator::new(
        ValidationFlags::all(),
        Capabilities::SUBGROUP
            | Capabilities::SHADER_FLOAT16
            | Capabilities::SHADER_INT64
            | Capabilities::COOPERATIVE_MATRIX,
    )
    .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
    .subgroup_operations(naga::valid::SubgroupOperationSet::all())
    .validate(&module)
    .map_err(|e| e.emit_to_string(text))?;
    Ok((module, info))
}

/// Translates to SPIR-V, MSL and HLSL. HLSL has no cooperative matrices.
fn translate(text: &str) -> Result<(), String> {
    let (module, info) = validate(text)?;
    let spirv = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    naga::back::spv::write_vec(&module, &info, &spirv, None).map_err(|e| format!("SPIR-V: {e}"))?;
    let cooperative = text.contains("enable wgpu_cooperative_matrix;");
    let msl = naga::back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    naga::back::msl::write_string(&module, &info, &msl, &Default::default()).map_err(|e| format!("MSL: {e}"))?;
    if cooperative {
        return Ok(());
    }
    let hlsl = naga::back::hlsl::Options {
        fake_missing_bindings: true,
        shader_model: naga::back::hlsl::ShaderModel::V6_2,
        ..Default::default()
    };
    let mut out = String::new();
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    naga::back::hlsl::Writer::new(&mut out, &hlsl, &pipeline)
        .write(&module, &info, None)
        .map_err(|e| format!("HLSL: {e}"))?;
    Ok(())
}

#[test]
fn the_prelude_and_elementwise_files_validate_alone() {
    let prelude = fs::read_to_string(folder().join("prelude.wgsl")).unwrap();
    validate(&prelude).unwrap();
    let mut checked = 0;
    for (name, text) in files() {
        if name.starts_with("elementwise/") {
            validate(&format!("{prelude}\n{text}")).unwrap_or_else(|e| panic!("{name}: {e}"));
            checked += 1;
        }
    }
    assert!(checked > 60);
}

#[test]
fn broken_shaders_are_caught() {
    assert!(translate("@compute @workgroup_size(1) fn main() { let x: f32 = 1u; }").is_err());
    assert!(validate("fn f() -> f32 { return y; }").is_err());
    translate("@compute @workgroup_size(1) fn main() { }").unwrap();
}

/// Products of small matrices and their gradients, one beside the other, of which some read by fours what others read one by one.
#[test]
fn groups_side_by_side_bind_no_more_than_the_device_has() {
    for most in 8..20 {
        let caps = Caps { software: true, subgroup: Some((4, 4)), max_storage_buffers: most, ..Caps::baseline() };
        let device = Device::null(caps, true);
        let mut results = Vec::new();
        for (a, b) in [(&[2, 3][..], &[3, 2][..]), (&[2, 1, 2], &[1, 3, 1])] {
            let (a, b) = (leaf(a, &device), leaf(b, &device));
            let y = a.kron(&b);
            (&y * data(y.shape(), &device)).sum().backward().unwrap();
            results.extend([y.detach(), a.grad().unwrap(), b.grad().unwrap()]);
        }
        let _ = device.sync();
        let plans = device.planned();
        let bound = plans.iter().flat_map(|plan| &plan.shaders).map(|text| text.matches("var<storage").count());
        let largest = bound.max().unwrap_or_default();
        assert!(largest <= most as usize, "a kernel binds {largest} storage buffers of {most}");
        assert!(largest > 4, "nothing stands side by side");
    }
}

/// Distinct kernels of the sample on every kind of adapter, fused and not: text to name and adapter.
fn sample() -> HashMap<String, String> {
    let mut kernels = HashMap::new();
    for (adapter, caps) in adapters() {
        for fuse in [true, false] {
            let device = Device::null(caps.clone(), fuse);
            plan_all(&device);
            for plan in device.planned() {
                for (name, text) in plan.kernels.iter().zip(plan.shaders) {
                    kernels.entry(text).or_insert_with(|| format!("{name} on {adapter}"));
                }
            }
        }
    }
    kernels
}

/// Writes the kernels that a browser may have to compile into the folder that `WGRAD_KERNELS` names, for `scripts/chrome/check.mjs`.
fn write_for_browsers(kernels: &HashMap<String, String>) {
    let Some(folder) = std::env::var_os("WGRAD_KERNELS").map(PathBuf::from) else { return };
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    // WebGPU has neither 64-bit integers nor cooperative matrices.
    let browser = kernels.iter().filter(|(text, _)| !text.contains("u64") && !text.contains("coop"));
    for (i, (text, name)) in browser.enumerate() {
        let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        fs::write(folder.join(format!("{name}_{i}.wgsl")), text).unwrap();
    }
}

#[test]
fn every_kernel_translates_and_keeps_to_the_limits() {
    let kernels = sample();
    println!("{} distinct kernels", kernels.len());
    write_for_browsers(&kernels);
    assert!(kernels.len() > 300);
    let files = files();
    let mut seen: HashSet<&str> = HashSet::new();
    for (text, name) in &kernels {
        translate(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        let buffers = text.matches("var<storage").count();
        // Where a device binds more, updates stand side by side in one kernel.
        let allowed = if name.ends_with("64 buffers") { 48 } else { 8 };
        assert!(buffers <= allowed, "{name} binds {buffers} storage buffers:\n{text}");
        assert_eq!(idle_functions(text), 0, "{name} has functions that it does not call:\n{text}");
        // lavapipe of Mesa 26.1 (LLVM 21) computed one wrongly.
        assert!(!text.contains("switch "), "{name} has a switch:\n{text}");
        seen.extend(text.lines().map(str::trim));
    }
    // Gradients that are the upstream gradient as it is are not computed.
    seen.extend(["struct AddGrad { da: f32, db: f32 }", "fn add_bwd(dy: f32) -> AddGrad { return AddGrad(dy, dy); }"]);
    let is_unused = |line: &String| !seen.contains(line.as_str());
    let unused: Vec<(&str, Vec<String>)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), code(text).into_iter().filter(is_unused).collect::<Vec<_>>()))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    assert!(unused.is_empty(), "no kernel of the sample uses {unused:#?}: dead functions, or gaps in the sample");
}

/// How many functions of a module its entry points do not reach.
fn idle_functions(text: &str) -> usize {
    let mut module = naga::front::wgsl::parse_str(text).unwrap();
    let all = module.functions.len();
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    all - module.functions.len()
}

/// The lines of a file that the compiler sees.
fn code(text: &str) -> Vec<String> {
    let strip = |line: &str| line.trim().to_owned();
    text.lines().map(strip).filter(|l| !l.is_empty() && !l.starts_with("//") && !l.starts_with("enable ")).collect()
}
