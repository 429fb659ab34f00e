//! Memory of the host: a large allocation is looked at before it is made, because one that fails ends the process.
//!
//! Linux grants more memory than there is and ends the process that touches it, so there the figures of the system are looked at too.

use crate::error::{At, Error, Result};
use crate::shape::Shape;

/// Allocations below this are not looked at: a machine that lacks so little cannot go on anyway.
const SMALL: u64 = 1 << 20;
/// Allocations above this are compared with the memory that is available.
const LARGE: u64 = 1 << 30;

/// Memory of the machine, or of the container that the process runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    total: u64,
    available: u64,
}

/// Checks that `bytes` bytes can be allocated, for a value of `shape` that `op` makes.
///
/// # Errors
/// [`Error::OutOfMemory`] where they cannot.
pub fn room_for(op: &str, shape: Option<&Shape>, bytes: u64) -> Result<()> {
    if bytes < SMALL {
        return Ok(());
    }
    let figures = if bytes > LARGE { figures() } else { None };
    let granted = usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    if granted && figures.is_none_or(|figures| bytes <= figures.available) {
        return Ok(());
    }
    let in_use = figures.map_or(0, |figures| figures.total.saturating_sub(figures.available));
    Err(Error::OutOfMemory { op: op.into(), shape: shape.cloned(), asked: bytes, in_use, pooled: 0, at: At(None) })
}

/// A vector with `len` times `value`.
///
/// # Errors
/// [`Error::OutOfMemory`] where there is no room for it.
pub fn filled<T: Clone>(op: &str, len: usize, value: T) -> Result<Vec<T>> {
    room_for(op, Some(&Shape::from([len])), (len as u64).saturating_mul(size_of::<T>() as u64))?;
    Ok(vec![value; len])
}

/// The figures of the system, where it gives any.
#[cfg(target_os = "linux")]
fn figures() -> Option<Figures> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = of_meminfo(&read("/proc/meminfo")?)?;
    let group = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"));
    let container = (|| of_group(&group("max")?, &group("current")?, &group("stat")?))();
    // A container's limit may be larger than the machine.
    Some(container.filter(|container| container.available < machine.available).unwrap_or(machine))
}

#[cfg(not(target_os = "linux"))]
fn figures() -> Option<Figures> {
    None
}

/// The figures in the text of `/proc/meminfo`.
#[cfg(any(test, target_os = "linux"))]
fn of_meminfo(text: &str) -> Option<Figures> {
    let kilobytes = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB");
    let bytes = |name: &str| kilobytes(name)?.trim().parse::<u64>().ok()?.checked_mul(1024);
    Some(Figures { total: bytes("MemTotal:")?, available: bytes("MemAvailable:")? })
}

/// The figures of a control group (version 2): its limit, what it uses, and how much of that is cached files, which make room.
#[cfg(any(test, target_os = "linux"))]
fn of_group(limit: &str, used: &str, details: &str) -> Option<Figures> {
    let total: u64 = limit.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    let cached = details.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()?;
    Some(Figures { total, available: total.saturating_sub(used.saturating_sub(cached)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_linux_are_read() {
        let text =
            "MemTotal:       24576000 kB\nMemFree:         1000 kB\nMemAvailable:   20480000 kB\nBuffers: 7 kB\n";
        let machine = Figures { total: 24_576_000 << 10, available: 20_480_000 << 10 };
        assert_eq!(of_meminfo(text), Some(machine));
        assert_eq!(of_meminfo("MemTotal: 5 kB\n"), None);
        let group = of_group("1000\n", "700\n", "anon 5\ninactive_file 300\nfile 400\n");
        assert_eq!(group, Some(Figures { total: 1000, available: 600 }));
        assert_eq!(of_group("max\n", "700\n", "inactive_file 300\n"), None);
    }

    #[test]
    fn what_no_machine_holds_is_refused() {
        assert!(room_for("add", None, 0).is_ok() && room_for("add", None, 64 << 20).is_ok());
        for bytes in [1 << 44, 1 << 60, u64::MAX] {
            let error = room_for("add", Some(&Shape::from([3, 4])), bytes).unwrap_err();
            assert!(matches!(&error, Error::OutOfMemory { asked, .. } if *asked == bytes), "{error}");
            assert!(
                error.to_string().starts_with("add: out of memory") && error.to_string().contains("[3, 4]"),
                "{error}"
            );
        }
        assert_eq!(filled("count", 3, 7u8).unwrap(), [7, 7, 7]);
        assert!(filled("count", usize::MAX / 16, 0f64).is_err());
    }

    /// Linux grants this much to whoever asks, and has less.
    #[cfg(target_os = "linux")]
    #[test]
    fn more_than_is_available_is_refused() {
        let Figures { total, available } = figures().unwrap();
        assert!(available <= total && total > SMALL);
        assert!(room_for("add", None, total.max(LARGE) + 1).is_err());
    }
}
