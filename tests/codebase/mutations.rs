//! The deliberate faults of `scripts/mutate` fit the code as it is.

use std::fs;
use std::path::Path;

#[test]
fn every_fault_can_be_applied() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut count = 0;
    for entry in fs::read_dir(root.join("tests/mutations")).unwrap() {
        let path = entry.unwrap().path();
        let patch = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(
            patch.lines().nth(1).is_some_and(|l| l.starts_with("tests: --")),
            "{name}: the second line names the tests"
        );
        let file =
            patch.lines().find_map(|l| l.strip_prefix("--- a/")).unwrap_or_else(|| panic!("{name} names no file"));
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{name}: {file}: {e}"));
        for hunk in patch.split("\n@@").skip(1) {
            let old = |line: &str| line.strip_prefix([' ', '-']).map(str::to_owned);
            let block: Vec<String> = hunk.lines().skip(1).filter_map(old).collect();
            assert!(text.contains(&block.join("\n")), "{name} does not fit {file} any more:\n{}", block.join("\n"));
            assert!(hunk.lines().skip(1).any(|l| l.starts_with(['-', '+'])), "{name} changes nothing");
        }
        count += 1;
    }
    assert!(count >= 10);
}
