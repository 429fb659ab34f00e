//! Where in the user's code something was made: the line, and the layer that it is part of.
//!
//! `#[track_caller]` carries the user's line through plain calls, not through closures, threads and calls of a `dyn` method. So layers, losses
//! and what drives them enter a scope that remembers the line by which the library was entered: a line of the library's own takes that one's
//! place. Lines of the user's own layers stay as they are. The scope also knows the path of the layer.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

/// A line of the user's code, and the layer that was running there. It dereferences to the line.
///
/// ```
/// use wgrad::error::Site;
/// let site = Site::from(std::panic::Location::caller());
/// assert!(site.file().ends_with(".rs") && site.layer().is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Site {
    line: &'static Location<'static>,
    layer: Option<&'static Layer>,
}

impl Site {
    /// The layer with its path, such as `hidden (Linear 32→16) in Sequential`, and the loss in front of it; `None` outside of any.
    pub fn layer(&self) -> Option<String> {
        self.layer.map(ToString::to_string)
    }

    /// The same for good, small enough for an error. There are as many as a program has lines with mistakes, in layers.
    pub(crate) fn kept(self) -> &'static Site {
        static KEPT: Mutex<Vec<&'static Site>> = Mutex::new(Vec::new());
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| ***known == self) {
            return known;
        }
        let site: &'static Site = Box::leak(Box::new(self));
        kept.push(site);
        site
    }

    /// Whether the line is the user's: behind a reference to a `dyn` trait that no scope stands around, only the library's own is known.
    fn is_known(&self) -> bool {
        cfg!(test) || !is_ours(self.line)
    }

    /// The path without functions: those stand in front of an error's op.
    pub(crate) fn path(&self) -> Option<&'static Layer> {
        self.layer.and_then(Layer::outside)
    }

    /// The function (a loss) that the site is in, if it is the innermost.
    pub(crate) fn function(&self) -> Option<&'static str> {
        self.layer.filter(|layer| layer.function).map(|layer| &*layer.what)
    }
}

impl Deref for Site {
    type Target = Location<'static>;

    fn deref(&self) -> &Location<'static> {
        self.line
    }
}

impl From<&'static Location<'static>> for Site {
    fn from(line: &'static Location<'static>) -> Site {
        let scope = SCOPE.get();
        Site { line: scope.line.filter(|_| is_ours(line)).unwrap_or(line), layer: scope.layer }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_known(), self.path()) {
            (true, Some(path)) => write!(f, "{}, in {path}", self.line),
            (true, None) => write!(f, "{}", self.line),
            (false, Some(path)) => write!(f, "a line that is not known, in {path}"),
            (false, None) => f.write_str("a line that is not known"),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A level of a path. Each path exists once and for good: there are as many as a program has places for layers of one kind and size.
pub(crate) struct Layer {
    parent: Option<&'static Layer>,
    /// Its name in the container; empty where it has none.
    name: Box<str>,
    /// Its type and sizes, or the name of a function.
    what: Box<str>,
    function: bool,
    children: Children,
}

type Children = Mutex<Option<HashMap<Box<str>, &'static Layer>>>;

/// Paths without a container.
static ROOTS: Children = Mutex::new(None);

impl Layer {
    fn outside(&'static self) -> Option<&'static Layer> {
        let mut layer = Some(self);
        while let Some(inner) = layer.filter(|layer| layer.function) {
            layer = inner.parent;
        }
        layer
    }

    /// The level below `parent` with this name and text.
    fn below(parent: Option<&'static Layer>, name: &str, what: fmt::Arguments, function: bool) -> &'static Layer {
        thread_local! {
            static KEY: RefCell<String> = const { RefCell::new(String::new()) };
        }
        KEY.with_borrow_mut(|key| {
            key.clear();
            // Writing to a String cannot fail.
            let _ = write!(key, "{}{name}\0{what}", if function { "\0" } else { "" });
            let children = parent.map_or(&ROOTS, |parent| &parent.children);
            let mut children = children.lock().unwrap_or_else(PoisonError::into_inner);
            let children = children.get_or_insert_default();
            if let Some(found) = children.get(key.as_str()) {
                return *found;
            }
            let what = what.to_string().trim_end().into();
            let layer: &'static Layer =
                Box::leak(Box::new(Layer { parent, name: name.into(), what, function, children: Mutex::default() }));
            children.insert(key.as_str().into(), layer);
            layer
        })
    }
}

impl PartialEq for Layer {
    fn eq(&self, other: &Layer) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Layer {}

impl std::hash::Hash for Layer {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self);
        while let Some(layer) = next {
            match &*layer.name {
                "" => f.write_str(&layer.what)?,
                name => write!(f, "{name} ({})", layer.what)?,
            }
            next = layer.parent;
            if next.is_some() {
                f.write_str(" in ")?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct ScopeState {
    /// The line by which the library was entered.
    line: Option<&'static Location<'static>>,
    layer: Option<&'static Layer>,
    /// The type that `layer` stands for, where a container has entered it and the layer itself has not.
    open: Option<&'static str>,
}

thread_local! {
    static SCOPE: Cell<ScopeState> = const { Cell::new(ScopeState { line: None, layer: None, open: None }) };
}

/// Whether a line is one of this library's.
fn is_ours(line: &Location) -> bool {
    const HERE: &str = file!();
    // The folder that the library's files lie in, as the compiler names it.
    const ROOT: usize = HERE.len() - "site.rs".len();
    line.file().as_bytes().get(..ROOT) == Some(&HERE.as_bytes()[..ROOT])
}

/// A scope, until it is dropped.
#[must_use = "the scope ends when it is dropped"]
pub(crate) struct Scope(ScopeState);

impl Scope {
    fn new(line: &'static Location<'static>, change: impl FnOnce(ScopeState) -> ScopeState) -> Scope {
        let before = SCOPE.get();
        let line = if is_ours(line) { before.line.unwrap_or(line) } else { line };
        SCOPE.set(change(ScopeState { line: Some(line), ..before }));
        Scope(before)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        SCOPE.set(self.0);
    }
}

/// The last part of a type's name, without its parameters.
fn short(kind: &'static str) -> &'static str {
    let kind = kind.split('<').next().unwrap_or(kind);
    kind.rsplit("::").next().unwrap_or(kind)
}

/// The user entered the library at this line: what happens inside belongs to it.
pub(crate) fn from(line: &'static Location<'static>) -> Scope {
    Scope::new(line, |state| state)
}

/// The line by which the user entered the library, for threads that go on for it.
pub(crate) fn entered() -> Option<&'static Location<'static>> {
    SCOPE.get().line
}

/// A layer of type `L` runs; `detail` gives its sizes.
pub(crate) fn layer<L: ?Sized>(line: &'static Location<'static>, detail: fmt::Arguments) -> Scope {
    let kind = std::any::type_name::<L>();
    Scope::new(line, |state| {
        let (parent, name) = match (state.open, state.layer) {
            (Some(open), Some(layer)) if open == kind || open.starts_with("dyn ") => (layer.parent, &*layer.name),
            _ => (state.layer, ""),
        };
        let layer = Layer::below(parent, name, format_args!("{} {detail}", short(kind)), false);
        ScopeState { layer: Some(layer), open: None, ..state }
    })
}

/// A container's part of type `kind` is about to run.
pub(crate) fn part(line: &'static Location<'static>, name: &str, kind: &'static str) -> Scope {
    Scope::new(line, |state| {
        let layer = Layer::below(state.layer, name, format_args!("{}", short(kind)), false);
        ScopeState { layer: Some(layer), open: Some(kind), ..state }
    })
}

/// A pointer of type `P` passes a call on to an `M`.
pub(crate) fn through<P: ?Sized, M: ?Sized>(line: &'static Location<'static>) -> Scope {
    let (pointer, inner) = (std::any::type_name::<P>(), std::any::type_name::<M>());
    Scope::new(line, |state| match (state.open, state.layer) {
        (Some(open), Some(layer)) if open == pointer => {
            let renamed = Layer::below(layer.parent, &layer.name, format_args!("{}", short(inner)), false);
            ScopeState { layer: Some(renamed), open: Some(inner), ..state }
        }
        _ => state,
    })
}

/// A function made of several ops, a loss, runs: errors of its ops name it.
pub(crate) fn function(line: &'static Location<'static>, name: &'static str) -> Scope {
    Scope::new(line, |state| ScopeState {
        layer: Some(Layer::below(state.layer, "", format_args!("{name}"), true)),
        open: None,
        ..state
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Inner;

    #[test]
    fn a_part_takes_the_sizes_of_the_layer_that_it_is() {
        let line = Location::caller();
        let site = || Site::from(line).layer().unwrap_or_default();
        let _model = layer::<Site>(line, format_args!(""));
        {
            let _part = part(line, "a", std::any::type_name::<Inner>());
            assert_eq!(site(), "a (Inner) in Site");
            {
                let _other = layer::<str>(line, format_args!("3"));
                assert_eq!(site(), "str 3 in a (Inner) in Site");
            }
            let _layer = layer::<Inner>(line, format_args!("{}→{}", 1, 2));
            assert_eq!(site(), "a (Inner 1→2) in Site");
            let _loss = function(line, "mse");
            assert_eq!(site(), "mse in a (Inner 1→2) in Site");
            let here = Site::from(line);
            assert_eq!(here.function(), Some("mse"));
            assert!(here.to_string().ends_with(", in a (Inner 1→2) in Site"));
        }
        assert_eq!(site(), "Site");
    }

    #[test]
    fn a_boxed_part_is_what_is_in_the_box() {
        let line = Location::caller();
        let _part = part(line, "0", std::any::type_name::<Box<dyn Send>>());
        let _through = through::<Box<dyn Send>, dyn Send>(line);
        let _layer = layer::<Inner>(line, format_args!(""));
        assert_eq!(Site::from(line).layer().unwrap(), "0 (Inner)");
    }

    #[test]
    fn paths_are_made_once() {
        let line = Location::caller();
        let make = || {
            let _layer = layer::<Inner>(line, format_args!("{}", 7));
            Site::from(line)
        };
        assert_eq!(make(), make());
    }
}
