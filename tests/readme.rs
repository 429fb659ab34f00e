//! Holds the documents against the code.

use wgrad::ops::elementwise::rows;

const README: &str = include_str!("../README.md");

#[test]
fn the_readme_names_every_elementwise_op() {
    let missing: Vec<&str> =
        rows().iter().map(|row| row.name).filter(|name| !README.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "README.md, \"What is supported\": {missing:?} are missing");
}

#[test]
fn the_readme_names_every_environment_variable() {
    let source = include_str!("../src/env.rs");
    let (code, _) = source.split_once("#[cfg(test)]").expect("tests stand at the end of env.rs");
    for name in code.split('"').filter(|text| text.starts_with("WGRAD_")) {
        assert!(README.contains(&format!("| `{name}`")), "README.md, \"Environment variables\": {name} is missing");
    }
}

#[test]
fn contributing_shows_the_softshrink_that_is_in_the_table() {
    let shown: Vec<&str> = include_str!("../CONTRIBUTING.md").lines().filter_map(|l| l.strip_prefix('+')).collect();
    let shader = include_str!("../shaders/elementwise/softshrink.wgsl");
    let table = include_str!("../src/ops/elementwise/table.rs");
    for line in shown.iter().filter(|line| !line.starts_with("++")) {
        assert!(shader.lines().chain(table.lines()).any(|l| l == *line), "CONTRIBUTING.md shows {line:?}");
    }
    assert!(shown.len() > 10);
}
