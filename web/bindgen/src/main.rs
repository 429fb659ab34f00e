//! `bindgen FILE.wasm FOLDER`: writes an ES module and its types for a wasm file.

use std::env::args;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let usage = "usage: bindgen FILE.wasm FOLDER";
    let (file, folder) = (args().nth(1).context(usage)?, args().nth(2).context(usage)?);
    let mut bindgen = Bindgen::new();
    bindgen.input_path(file).typescript(true).omit_default_module_path(false);
    bindgen.web(true)?.generate(folder)
}
