//! The `WGRAD_*` environment variables, read once. An empty one counts as unset; `0`, `false`, `off` and `no` switch off.

use std::sync::OnceLock;

/// What the environment asks for. An empty variable counts as unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Env {
    /// `WGRAD_DEVICE`: what `Device::default()` opens: `cpu`, `gpu`, `vulkan`, `metal`, `dx12`, `webgpu`, or a part of an
    /// adapter's name or driver. Unset: the best adapter, else the CPU reference. Where nothing matches, the CPU reference,
    /// with a warning.
    pub device: Option<String>,
    /// `WGRAD_LOG`, else `RUST_LOG`: starts env_logger with this filter when the first device is opened, unless the program
    /// has a logger.
    pub log: Option<String>,
    /// `WGRAD_DEBUG`: 1 per line for each device and each new plan; 2 also one for each kernel that is run, with its time
    /// and rates (kernels are measured then, so flushes wait); 3 also, for each kernel of a new plan, its ops, what it
    /// stores and why it ends; 4 also its WGSL. Goes to the log at level info, with the filter `wgrad=info` where no
    /// other is given.
    pub debug: u8,
    /// `WGRAD_FUSE=0` turns fusion off: one kernel for each op.
    pub fuse: bool,
    /// `WGRAD_VALIDATE=1` runs each flush again on the CPU reference and compares every value that it left behind; kernels of
    /// products and convolutions are held against the plainest ones before their first use.
    pub validate: bool,
    /// `WGRAD_TRACE`: a file for a trace in Chrome's format, with lanes for threads and for the GPU. Kernels are
    /// measured then, so flushes wait.
    pub trace: Option<String>,
    /// `WGRAD_TUNE`: a file that keeps which kernel was fastest for a class of products; those not in it yet are tried out.
    pub tune: Option<String>,
    /// `WGRAD_CERTIFY=1` checks the kernels of a device when it is opened, and lets it run the plain ones of ops whose fast ones are
    /// wrong.
    pub certify: bool,
    /// `WGRAD_CERTIFY_CACHE`: the file that keeps what the checks have found; without it a file in the user's cache folder.
    pub certify_cache: Option<String>,
    /// `WGRAD_PANIC=1`: the first op on bad input panics, for a backtrace.
    pub panic: bool,
}

impl Env {
    /// Reads the variables through `lookup`, so that tests need not change the process's own environment.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Env {
        let text = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let flag = |name: &str, default: bool| text(name).map_or(default, |v| on(&v));
        Env {
            device: text("WGRAD_DEVICE"),
            log: text("WGRAD_LOG").or_else(|| text("RUST_LOG")),
            debug: text("WGRAD_DEBUG").map_or(0, |v| v.parse().unwrap_or_else(|_| u8::from(on(&v)))),
            fuse: flag("WGRAD_FUSE", true),
            validate: flag("WGRAD_VALIDATE", false),
            trace: text("WGRAD_TRACE"),
            tune: text("WGRAD_TUNE"),
            certify: flag("WGRAD_CERTIFY", false),
            certify_cache: text("WGRAD_CERTIFY_CACHE"),
            panic: flag("WGRAD_PANIC", false),
        }
    }
}

fn on(value: &str) -> bool {
    !["0", "false", "off", "no"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

/// The environment as it was at the first call.
pub fn get() -> &'static Env {
    static ENV: OnceLock<Env> = OnceLock::new();
    ENV.get_or_init(|| Env::from_lookup(|name| std::env::var(name).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_lookup(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn defaults_and_empty_variables() {
        let unset = env(&[]);
        assert!(unset.fuse && !unset.validate && !unset.panic && unset.debug == 0 && unset.device.is_none());
        assert_eq!(env(&[("WGRAD_DEVICE", " "), ("WGRAD_FUSE", ""), ("WGRAD_DEBUG", "")]), unset);
    }

    #[test]
    fn values_are_read() {
        let e = env(&[
            ("WGRAD_DEVICE", "vulkan"),
            ("RUST_LOG", "info"),
            ("WGRAD_DEBUG", "3"),
            ("WGRAD_FUSE", "0"),
            ("WGRAD_VALIDATE", "1"),
            ("WGRAD_TRACE", "t.json"),
            ("WGRAD_TUNE", "choices.json"),
            ("WGRAD_CERTIFY", "1"),
            ("WGRAD_CERTIFY_CACHE", "found.json"),
            ("WGRAD_PANIC", "true"),
        ]);
        assert_eq!(e.tune.as_deref(), Some("choices.json"));
        assert!(e.certify && e.certify_cache.as_deref() == Some("found.json"));
        assert_eq!(
            (e.device.as_deref(), e.log.as_deref(), e.trace.as_deref()),
            (Some("vulkan"), Some("info"), Some("t.json"))
        );
        assert!(e.debug == 3 && !e.fuse && e.validate && e.panic);
        assert_eq!(env(&[("RUST_LOG", "info"), ("WGRAD_LOG", "debug")]).log.as_deref(), Some("debug"));
        assert_eq!(env(&[("WGRAD_DEBUG", "yes")]).debug, 1);
    }
}
