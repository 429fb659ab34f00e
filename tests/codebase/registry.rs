//! The registry of ops against what the crate has: methods, shader files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wgrad::internals::registry::{Form, entries};

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_path_buf()
}

fn text_of(folder: &str) -> String {
    let mut texts = String::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            texts += &fs::read_to_string(path).unwrap();
        }
    }
    texts
}

/// Names that follow `pub fn`.
fn public_functions(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    text.split("pub fn ").skip(1).map(name).filter(|n| !n.is_empty()).collect()
}

/// Methods of tensors that are no ops: handles, reading, gradients, pictures.
const OTHERS: &[&str] = &[
    "autocast",
    "checkpoint",
    "detect_anomaly",
    "new",
    "off",
    "capture",
    "explain",
    "grad_allow_unused",
    "fit_within",
    "plan",
    "plan_dot",
    "plan_svg",
    "run",
    "strict",
    "variants",
    "apply",
    "apply_op",
    "assign",
    "attention_composed",
    "backward",
    "backward_retain_graph",
    "backward_with",
    "backward_with_retain_graph",
    "check",
    "detach",
    "device",
    "dims",
    "dtype",
    "elementwise",
    "from_array",
    "from_slice",
    "from_var",
    "item_async",
    "to_array_async",
    "to_device_async",
    "grad",
    "grad_retain_graph",
    "grad_with",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "hvp",
    "is_frozen",
    "is_leaf_with_grad",
    "is_same",
    "item",
    "jacobian",
    "jvp",
    "node",
    "numel",
    "rank",
    "realize",
    "register_hook",
    "requires_grad",
    "requires_grad_",
    "save",
    "scalar",
    "set_grad",
    "shape",
    "tensors",
    "to_array",
    "to_device",
    "to_dot",
    "to_svg",
    "to_vec",
    "to_vec_async",
    "try_assign",
    "vjp",
    "zero_grad",
];

/// Endings of variants that their op's entry covers.
const VARIANTS: &[&str] = &["_as", "_dims", "_dim", "_by", "_with", "_with_indices", "_with_scale"];

#[test]
fn names_are_unique() {
    let mut seen = BTreeSet::new();
    for entry in entries() {
        assert!(seen.insert(entry.name), "{} has two entries", entry.name);
    }
    assert!(seen.len() > 250);
}

#[test]
fn every_method_is_an_op_of_the_registry() {
    let names: BTreeSet<&str> = entries().iter().map(|e| e.name).collect();
    let base = |name: &str| {
        let cut = VARIANTS.iter().filter_map(|ending| name.strip_suffix(ending)).find(|base| names.contains(base));
        cut.unwrap_or(name).to_owned()
    };
    let methods =
        public_functions(&(text_of("src/tensor") + &fs::read_to_string(root().join("src/nn/loss.rs")).unwrap()));
    let unknown: Vec<String> = methods
        .iter()
        .map(|m| base(m))
        .filter(|m| !names.contains(m.as_str()) && !OTHERS.contains(&m.as_str()))
        .collect();
    assert!(unknown.is_empty(), "neither in the registry nor among the methods that are no ops: {unknown:?}");
}

#[test]
fn every_op_of_the_registry_is_a_method() {
    let text = text_of("src/tensor") + &text_of("src/nn") + &text_of("src/ops/elementwise");
    let words: BTreeSet<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let missing: Vec<&str> = entries().iter().map(|e| e.name).filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "no method has these names: {missing:?}");
}

#[test]
fn shader_files_exist_and_every_folder_is_used() {
    let shaders = root().join("shaders");
    let mut folders = BTreeSet::new();
    for entry in entries() {
        for file in entry.forward.iter().chain(entry.backward) {
            assert!(shaders.join(format!("{file}.wgsl")).is_file(), "{}: shaders/{file}.wgsl is not there", entry.name);
            folders.insert(file.split('/').next().unwrap().to_owned());
        }
        let runs = entry.form != Form::View && entry.form != Form::Composed && entry.name != "contiguous";
        assert!(!runs || !entry.forward.is_empty(), "{} has a kernel and names no shader", entry.name);
    }
    // Pieces that kernels of several folders share.
    folders.extend(["rows", "sums", "types", "pool", "interpolate"].map(str::to_owned));
    for entry in fs::read_dir(shaders).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!path.is_dir() || folders.contains(&name), "no op of the registry uses shaders/{name}");
    }
}
