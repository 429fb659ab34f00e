//! Elementwise ops that users define by a WGSL file.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::entries::rows;
use super::methods::broadcast;
use super::op::{Definition, Expression, Forward, Host, UserDerivative, UserReference};
use super::table::RowKind;
use super::wgsl::{Signature, signatures};
use crate::compiling::look_first;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::graph::node::lock;

/// Parses and validates a user's pair of functions: `<name>_fwd` and, for gradients, `<name>_bwd`.
///
/// # Errors
/// [`Error::Shader`] where the text is not valid WGSL or lacks the functions.
pub fn define(name: &str, wgsl_source: &str) -> Result<Definition> {
    let failed = |detail: String| Error::Shader { name: name.into(), detail };
    let functions = signatures(name, wgsl_source)?;
    let forward = functions
        .get(&format!("{name}_fwd"))
        .ok_or_else(|| failed(format!("the file defines no function {name}_fwd")))?;
    let floats = forward.parameters.iter().all(|(_, ty)| ty == "f32") && forward.returns == "f32";
    if forward.parameters.is_empty() || !floats {
        return Err(failed(format!("{name}_fwd takes one or more f32 and returns f32")));
    }
    let args: Vec<String> = forward.parameters.iter().map(|(p, _)| p.clone()).collect();
    if let Some(backward) = functions.get(&format!("{name}_bwd")) {
        let known = |p: &str| p == "y" || p == "dy" || args.iter().any(|a| a == p);
        if let Some((p, _)) = backward.parameters.iter().find(|(p, ty)| !known(p) || ty != "f32") {
            return Err(failed(format!("{name}_bwd: {p} is no f32 operand of {name}_fwd, and neither y nor dy")));
        }
        if !backward.parameters.iter().any(|(p, _)| p == "dy") {
            return Err(failed(format!("{name}_bwd does not take dy")));
        }
        let one = args.len() == 1 && backward.returns == "f32";
        let all = args.iter().all(|a| backward.fields.contains(&format!("d{a}").as_str()));
        if !one && !all {
            return Err(failed(format!("{name}_bwd returns a struct with one field d<operand> for each operand")));
        }
    }
    // Kernels paste the files of all their ops, so one name stands for one text.
    static KNOWN: OnceLock<Mutex<HashMap<String, String>>> = OnceLock::new();
    if rows().iter().any(|r| r.name.trim_end_matches('_') == name) {
        return Err(failed("a built-in elementwise op has this name".into()));
    }
    if let Some(taken) = functions.keys().find(|f| is_built_in(f)) {
        return Err(failed(format!("the function name {taken} is taken by the crate's own shaders")));
    }
    let mut known = lock(KNOWN.get_or_init(Mutex::default));
    if let Some(taken) = functions.keys().find(|f| known.get(*f).is_some_and(|text| text != wgsl_source)) {
        return Err(failed(format!("another elementwise op has a function {taken} with another text")));
    }
    known.extend(functions.keys().map(|f| (f.clone(), wgsl_source.to_owned())));
    look_first();
    Ok(Definition::new(name.into(), wgsl_source, args, RowKind::Float, Host::User(None), Expression::User(None), sign))
}

/// The signature of the backward function, as naga reads it.
pub fn sign(name: &str, source: &str) -> Result<Option<Signature>> {
    Ok(signatures(name, source)?.remove(&format!("{name}_bwd")))
}

impl Definition {
    /// The same op with another formula for the CPU reference.
    pub fn with_reference(&self, reference: UserReference) -> Definition {
        self.rebuilt(Host::User(Some(reference)), self.expression.clone())
    }

    /// The same op with another gradient expression.
    pub fn with_derivative(&self, derivative: UserDerivative) -> Definition {
        self.rebuilt(self.host.clone(), Expression::User(Some(derivative)))
    }

    fn rebuilt(&self, host: Host, expression: Expression) -> Definition {
        Definition::new(self.name.clone(), &self.source, self.args.clone(), self.kind, host, expression, sign)
    }
}

/// Applies a user's op; the operands, of which there is one at least, broadcast.
#[track_caller]
pub fn apply(definition: &Arc<Definition>, operands: &[Var]) -> Var {
    broadcast(Forward(definition.clone()), operands)
}

/// Whether a function of the crate's own shaders, which one kernel may hold beside a user's, has this name.
fn is_built_in(function: &str) -> bool {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        // Every built-in file parses; a test holds them to it.
        let files = rows().iter().filter_map(|row| signatures(row.name, row.wgsl).ok());
        files.flat_map(HashMap::into_keys).collect()
    });
    let generated = ["main", "store", "report_index", "random_bits"].contains(&function);
    let prefixed = ["store_", "load_", "combine_", "beats_", "lanes_", "cast_"].iter().any(|p| function.starts_with(p));
    generated || prefixed || names.contains(function)
}
