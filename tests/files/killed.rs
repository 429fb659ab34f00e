//! The digits example with all its options: killed at any moment and resumed, it ends with the bits of an uninterrupted run.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Parser;

use crate::Folder;
use crate::digits_cnn;

/// Where the child trains, and whether it goes on.
const FOLDER: &str = "WGRAD_TEST_DIGITS";

#[test]
#[ignore = "a child process of another test"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder).to_str().unwrap();
    let flags = ["digits_cnn", "--device", "cpu", "--epochs", "2", "--batch-size", "128", "--resume", "--out", folder];
    digits_cnn::run(&digits_cnn::Args::parse_from(flags)).unwrap();
}

fn start(folder: &Folder) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["killed::child", "--exact", "--ignored"]).env(FOLDER, &folder.0);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_digits_example_resumes_to_the_same_bits() {
    let whole = Folder::new();
    assert!(start(&whole).wait().unwrap().success());
    let folder = Folder::new();
    let newest = || {
        let files = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
        files.map(|file| file.file_name()).filter(|name| name.to_string_lossy().ends_with(".safetensors")).max()
    };
    for round in 0..3u64 {
        let before = newest();
        let mut child = start(&folder);
        // Until it has got one checkpoint further, and then some.
        while newest() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(71 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(start(&folder).wait().unwrap().success());
    for file in ["model.safetensors", "learning_curve.svg"] {
        assert!(fs::read(folder.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{file}");
    }
    // All but the times.
    let history = |folder: &Folder| -> Vec<String> {
        let text = fs::read_to_string(folder.join("log.csv")).unwrap();
        let cells = |line: &str| line.split(',').enumerate().filter(|(i, _)| *i != 1).map(|(_, c)| c).collect();
        text.lines().map(cells).collect()
    };
    assert_eq!(history(&folder), history(&whole));
}
