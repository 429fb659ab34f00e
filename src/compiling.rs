//! How far the compilation of kernels has come: for the log, and for whoever shows it.

use std::cell::RefCell;
use std::time::Duration;

use crate::trace;

/// A compilation that takes longer is told to the log.
const LONG: Duration = Duration::from_secs(1);

#[cfg(target_arch = "wasm32")]
type Look = fn(&str) -> Result<(), String>;

/// See [`look_first`].
#[cfg(target_arch = "wasm32")]
static LOOK: std::sync::OnceLock<Look> = std::sync::OnceLock::new();

/// From here on naga looks at kernels before they are compiled: a browser reports errors in a text too late to be caught. The crate's own texts are
/// right, so this is for programs that bring texts of their own; others do not hold naga.
pub fn look_first() {
    #[cfg(target_arch = "wasm32")]
    LOOK.get_or_init(|| |text| naga::front::wgsl::parse_str(text).map(drop).map_err(|e| e.emit_to_string(text)));
}

/// What is wrong with a kernel's text, where somebody looks.
#[cfg(target_arch = "wasm32")]
pub fn looked_at(text: &str) -> Result<(), String> {
    LOOK.get().map_or(Ok(()), |look| look(text))
}

type Watcher = Box<dyn Fn(usize, usize)>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

#[cfg_attr(not(feature = "train"), allow(dead_code, reason = "only the progress bar of the feature `train` watches"))]
/// Calls `f` with the kernels done and the kernels to compile, whenever this thread has compiled one, until the guard is dropped.
#[must_use = "watching ends when the guard is dropped"]
pub fn watch(f: impl Fn(usize, usize) + 'static) -> Watch {
    Watch(WATCHER.replace(Some(Box::new(f))))
}

/// Ends [`watch`].
pub struct Watch(Option<Watcher>);

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHER.set(self.0.take());
    }
}

/// The compilation of some kernels.
pub struct Compilation<'a> {
    device: &'a str,
    kernels: usize,
    done: usize,
    start: Duration,
    told: bool,
}

impl<'a> Compilation<'a> {
    /// Of so many kernels that the device has not compiled yet.
    pub fn new(device: &'a str, kernels: usize) -> Compilation<'a> {
        let compilation = Compilation { device, kernels, done: 0, start: trace::now(), told: false };
        compilation.show();
        compilation
    }

    fn show(&self) {
        if self.kernels > 0 {
            WATCHER.with_borrow(|watcher| watcher.iter().for_each(|f| f(self.done, self.kernels)));
        }
    }

    /// One more is there.
    pub fn step(&mut self) {
        self.done += 1;
        self.show();
        let taken = trace::now().saturating_sub(self.start);
        if taken > LONG && !self.told && self.done < self.kernels {
            self.told = true;
            log::info!("{}: compiling kernels, {} of {} in {taken:.1?} so far", self.device, self.done, self.kernels);
        }
    }

    /// All are there.
    pub fn finish(self) {
        let taken = trace::now().saturating_sub(self.start);
        if taken > LONG {
            log::info!(
                "{}: compiled {} kernels in {taken:.1?}; this comes once for each graph, later runs take them as they are",
                self.device,
                self.done
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_watcher_sees_every_kernel_and_no_empty_compilation() {
        let seen: Rc<RefCell<Vec<(usize, usize)>>> = Rc::default();
        let to = seen.clone();
        let watch = watch(move |done, of| to.borrow_mut().push((done, of)));
        Compilation::new("a device", 0).finish();
        let mut two = Compilation::new("a device", 2);
        two.step();
        two.step();
        two.finish();
        drop(watch);
        Compilation::new("a device", 1).step();
        assert_eq!(*seen.borrow(), [(0, 2), (1, 2), (2, 2)]);
    }
}
