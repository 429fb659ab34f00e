//! Holds the documents against the code.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wgrad::internals::rows;

const README: &str = include_str!("../README.md");
const SUPPORTED: &str = include_str!("../docs/supported.md");
const ENVIRONMENT: &str = include_str!("../docs/environment.md");

#[test]
fn every_elementwise_op_is_named() {
    let missing: Vec<&str> =
        rows().iter().map(|row| row.name).filter(|name| !SUPPORTED.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/supported.md: {missing:?} are missing");
}

#[test]
fn every_environment_variable_is_described() {
    let source = include_str!("../src/env.rs");
    let (code, _) = source.split_once("#[cfg(test)]").expect("tests stand at the end of env.rs");
    for name in code.split('"').filter(|text| text.starts_with("WGRAD_")) {
        assert!(ENVIRONMENT.contains(&format!("| `{name}`")), "docs/environment.md: {name} is missing");
    }
}

#[test]
fn the_readme_is_short_and_in_order() {
    assert!(README.lines().count() <= 150, "{} lines", README.lines().count());
    let places: Vec<_> = ["## Try it", "## Use it in your crate", "## Ten lines", "## Pictures", "## More"]
        .map(|title| README.lines().position(|line| line == title))
        .to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let pages = ["docs", "docs/decisions"].into_iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let pages = pages.map(|entry| entry.unwrap().path());
    let pages =
        pages.chain(["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"].map(|name| root.join(name)));
    let mut links = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            // Code has such brackets too; a link has no blank.
            if file.is_empty() || file.contains("://") || file.contains(char::is_whitespace) || !file.contains('.') {
                continue;
            }
            links += 1;
            assert!(page.with_file_name(file).exists(), "{}: {target} is not there", page.display());
        }
    }
    assert!(links > 50, "{links}");
}

/// The tests that `docs/reliability.md` names are there.
#[test]
fn promises_have_their_tests() {
    let text = include_str!("../docs/reliability.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| tests |")).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let named = row.rsplit('|').nth(1).unwrap();
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds: {row}");
        for name in names {
            let of_library = name.strip_prefix("lib: ");
            let path: Vec<&str> = of_library.unwrap_or(name).split("::").collect();
            let (test, file) = match path[..] {
                [binary] => ("fn ", root.join(binary).join("main.rs")),
                [binary, test] => (test, root.join(binary).join("main.rs")),
                [folder, file, "tests", test] => (test, root.join("../src").join(folder).join(format!("{file}.rs"))),
                [binary, file, test] => (test, root.join(binary).join(format!("{file}.rs"))),
                _ => panic!("{name}"),
            };
            let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(source.contains(&format!("fn {test}()")) || test == "fn ", "{name} is not in {}", file.display());
        }
    }
}

/// Every decision is listed on the index page by its own number, and has the parts that a decision has.
#[test]
fn decisions_are_listed_and_whole() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/decisions"));
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    names.sort();
    for (name, number) in names.iter().zip(1..) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is not number {number}");
        assert!(index.contains(&format!("| [{number}]({name}) |")), "docs/decisions/README.md: {name} is missing");
        let page = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.starts_with(&format!("# {number}. ")), "{name}: {:?}", page.lines().next());
        for part in ["**Context.**", "**Decision", "**Consequences.**"] {
            assert!(page.contains(&format!("\n{part}")), "{name} has no {part}");
        }
    }
    assert!(!names.is_empty());
}

#[test]
fn the_architecture_is_short() {
    let lines = include_str!("../ARCHITECTURE.md").lines().count();
    assert!(lines < 300, "{lines} lines");
}

/// The profile that the README gives to users is the one that this crate is developed with.
#[test]
fn the_block_for_cargo_is_that_of_this_crate() {
    let block = README.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let own = include_str!("../Cargo.toml");
    let profile = &block[block.find("[profile.dev.package").unwrap()..];
    assert!(own.contains(profile.trim()), "{profile}");
    let features = block.split("features = [\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(own.contains(&format!("\n{features} = [")), "there is no feature {features}");
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
