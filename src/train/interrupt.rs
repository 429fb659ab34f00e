//! Ctrl-C (and on Unix SIGTERM and SIGHUP) as a wish that a training loop can look at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static ASKED: AtomicU32 = AtomicU32::new(0);

/// Listens from now on. The first signal sets [`requested`], the second ends the process.
pub fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let handler = || {
            if ASKED.fetch_add(1, Ordering::Relaxed) > 0 {
                super::dashboard::leave();
                // What the shell expects of a process that Ctrl-C has ended.
                std::process::exit(130);
            }
            if super::dashboard::is_open() {
                return; // it says so itself
            }
            eprintln!("\nstopping after this step; once more to stop at once");
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            log::warn!("Ctrl-C ends the program without saving: {error}");
        }
    });
}

/// Whether somebody has asked to stop.
pub fn requested() -> bool {
    ASKED.load(Ordering::Relaxed) > 0
}
