//! What a user reads when something is wrong: the message, the line, the layer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod mistakes;
mod own_ops;
mod places;

use std::cell::RefCell;
use std::sync::OnceLock;

use wgrad::Device;

/// The device that tests share. Without an adapter they fail, with advice on what to install.
fn gpu() -> &'static Device {
    static SHARED: OnceLock<Device> = OnceLock::new();
    SHARED.get_or_init(|| Device::gpu().unwrap_or_else(|error| panic!("{error}")))
}

fn both() -> [Device; 2] {
    [gpu().clone(), Device::cpu()]
}

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what a thread logs, from level info on.
struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }
    fn log(&self, record: &log::Record) {
        LOGGED.with_borrow_mut(|kept| kept.push(record.args().to_string()));
    }
    fn flush(&self) {}
}

/// What `f` logs.
fn logged(f: impl FnOnce()) -> Vec<String> {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        log::set_logger(&Keep).expect("these tests have one logger");
        log::set_max_level(log::LevelFilter::Info);
    });
    LOGGED.take();
    f();
    LOGGED.take()
}
