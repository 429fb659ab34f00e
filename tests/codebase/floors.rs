//! A file imports only from its own floor and from floors below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floor of a module at the top of the crate, by the map in the design; `None` for one that is not on it.
///
/// `gpu` stands beside the others: it imports floor 0 only, and the backend is the first to import it.
fn floor(module: &str) -> Option<u32> {
    Some(match module {
        "error" | "compiling" | "env" | "file" | "host" | "dtype" | "shape" | "dims" | "site" | "layout" | "caps"
        | "tuning" | "array" | "trace" | "wait" => 0,
        "graph" => 1,
        "ops" => 2,
        "differentiate" | "ir" => 3,
        "fuse" => 4,
        "codegen" => 5,
        "plan" => 6,
        "backend" => 7,
        "tensor" => 8,
        "arguments" | "custom" | "internals" | "nn" | "optim" | "amp" | "data" | "io" | "train" | "autograd"
        | "state" => 9,
        "certify" => 10,
        _ => return None,
    })
}

/// The module that a name at the crate's root comes from: re-exports, and macros that `#[macro_export]` puts there.
fn home(name: &str) -> &str {
    match name {
        "Device" | "DeviceInfo" | "Memory" | "Stats" | "Explanation" | "KernelReport" | "KernelTotals"
        | "StoredValue" | "RngState" => "backend",
        "DType" => "dtype",
        "Error" | "Result" => "error",
        "no_grad" => "graph",
        "PlanSummary" => "plan",
        "StoreReason" | "EndReason" => "ir",
        "Shape" => "shape",
        "Tensor" => "tensor",
        "with_array" => "array",
        "module" => "nn",
        name if name.starts_with("for_each_") => "ops",
        module => module,
    }
}

/// The first names after `crate::` in a text: one, or those between braces.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut start_of_line = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let code_end = line.find("//").unwrap_or(line.len());
        for (at, _) in line[..code_end].match_indices("crate::") {
            let rest = &text[start_of_line + at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => found.extend(first_names(list).into_iter().map(|name| (number + 1, name))),
                None => found.push((number + 1, identifier(rest))),
            }
        }
        start_of_line += line.len();
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each entry of a braced list, up to its closing brace.
fn first_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut entry) = (0, String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut entry)),
            c => entry.push(c),
        }
    }
    names.push(entry);
    names.iter().map(|e| identifier(e.trim())).filter(|n| !n.is_empty()).collect()
}

/// What a file of `module` imports from above, a line each.
fn violations(module: &str, file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, name) in imports(text) {
        // A macro's own variable (`crate::$table!`) names nothing.
        if name.is_empty() {
            continue;
        }
        let target = home(&name);
        let allowed = match (module, target) {
            _ if module == target => true,
            ("gpu", target) => floor(target) == Some(0),
            (module, "gpu") => floor(module) >= floor("backend"),
            (module, target) => match (floor(module), floor(target)) {
                (Some(own), Some(other)) => other <= own,
                _ => false,
            },
        };
        if !allowed {
            found.push(format!("{file}:{line}: {module} imports {name}, which is above it or on no floor"));
        }
    }
    found
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn nothing_imports_upward() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    let mut found = Vec::new();
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        // The root declares the modules; it is no floor.
        if module == "lib" {
            continue;
        }
        assert!(module == "gpu" || floor(module).is_some(), "{module} stands on no floor; add it to this test");
        found.extend(violations(module, &relative.to_string_lossy(), &fs::read_to_string(&path).unwrap()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Modules that import each other, directly or through others, by the modules that each imports.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let comes_back = |start: &String| {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![start]);
        while let Some(module) = stack.pop() {
            stack.extend(imports.get(module).into_iter().flatten().filter(|next| seen.insert(*next)));
        }
        seen.contains(start)
    };
    imports.keys().filter(|module| comes_back(module)).cloned().collect()
}

#[test]
fn no_modules_import_each_other() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut imported: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs").to_owned();
        if module != "lib" {
            let text = fs::read_to_string(&path).unwrap();
            let targets = imports(&text).into_iter().map(|(_, name)| home(&name).to_owned());
            imported.entry(module.clone()).or_default().extend(targets.filter(|target| *target != module));
        }
    }
    assert!(imported["optim"].contains("tensor") && imported["plan"].contains("codegen"));
    assert_eq!(circles(&imported), [""; 0], "these modules import each other");
}

#[test]
fn the_scanner_catches_circles() {
    let of = |pairs: &[(&str, &str)]| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in pairs {
            all.entry((*from).into()).or_default().insert((*to).into());
        }
        circles(&all)
    };
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("a", "c")]), [""; 0]);
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "b")]), ["b", "c"]);
}

#[test]
fn the_scanner_catches_violations() {
    let lines = |module: &str, text: &str| violations(module, "synthetic.rs", text).len();
    assert_eq!(lines("graph", "use crate::tensor::Tensor;"), 1);
    assert_eq!(lines("graph", "use crate::Tensor;"), 1);
    assert_eq!(lines("ops", "use crate::graph::{Var, Op};\nuse crate::backend::Device;"), 1);
    assert_eq!(lines("ops", "use crate::{\n    graph::{Meta, Op},\n    optim::Adam,\n    dtype::DType,\n};"), 1);
    assert_eq!(lines("shape", "fn f() { let _ = crate::graph::order::reachable; }"), 1);
    assert_eq!(lines("gpu", "use crate::graph::Var;"), 1);
    assert_eq!(lines("plan", "use crate::gpu::Buffer;"), 1);
    assert_eq!(lines("ops", "use crate::newcomer::Thing;"), 1);
    assert_eq!(lines("ir", "use crate::fuse::merge::merge;"), 1);
    assert_eq!(lines("fuse", "use crate::codegen::workgroup_of;"), 1);
    assert_eq!(lines("codegen", "use crate::plan::Plan;"), 1);
    assert_eq!(lines("gpu", "use crate::error::Error;\nuse crate::caps::Caps;"), 0);
    assert_eq!(lines("backend", "use crate::gpu::Gpu;\nuse crate::plan::Plan;"), 0);
    assert_eq!(lines("codegen", "use crate::ir::group::Group; // crate::tensor is above\n"), 0);
    assert_eq!(lines("data", "use crate::{Device, Tensor};"), 0);
}

/// The files of `src` with their texts, without comments, by their paths below it.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.retain(|path| path.file_name().is_some_and(|name| name != "tests.rs"));
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    };
    files.iter().map(|path| (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), code(path))).collect()
}

/// Kernels are chosen for a kind of adapters, which is told from an adapter in one place; those for software adapters are used by nothing but
/// the choice.
#[test]
fn kinds_of_adapters_are_told_apart_in_one_place() {
    let sources = sources();
    let with = |word: &str| -> Vec<&str> {
        sources.iter().filter(|(_, text)| text.contains(word)).map(|(path, _)| path.as_str()).collect()
    };
    let asked: Vec<&str> = with("caps.software").into_iter().chain(with("self.software")).collect();
    // The others describe the adapter to users, or make devices of another kind to certify their kernels.
    assert_eq!(asked, ["backend/device.rs", "certify/kernels.rs", "certify/report.rs", "caps.rs", "gpu/device.rs"]);
    let users: Vec<&str> =
        with("software::").into_iter().filter(|path| !path.starts_with("ops/kernels/software")).collect();
    assert_eq!(users, ["ops/kernels/mod.rs"]);
    let shaders: Vec<&str> =
        with("\"software/").into_iter().filter(|path| !path.starts_with("ops/kernels/software")).collect();
    // Rows share their texts between all kinds, and the registry lists files.
    assert_eq!(shaders, ["ops/registry.rs", "ops/row_kernels.rs"]);
}
