//! What the crate needs to know of a shader file: its functions' parameters, read by naga's front end.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock};

use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::dependence::{self, Parameters};
use crate::error::{Error, Result};
use crate::graph::kernel::WgslFn;
use crate::graph::node::lock;

/// Text that stands in front of every kernel.
pub const PRELUDE: &str = include_str!("../../../shaders/prelude.wgsl");

/// The signature of a WGSL function.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Parameter names and types.
    pub parameters: Vec<(String, String)>,
    /// Fields of the returned struct, or empty where a scalar is returned.
    pub fields: Vec<&'static str>,
    /// For each field, which parameters matter to it.
    pub uses: Vec<Parameters>,
    /// For each field, the parameter that it is a copy of.
    pub copies: Vec<Option<usize>>,
    /// The returned scalar type; `"struct"` for a struct, empty for nothing.
    pub returns: String,
}

/// The signatures of a shader file's functions, the prelude's left out. The file is fully validated.
///
/// # Errors
/// [`Error::Shader`] with naga's message where the file is not valid WGSL.
pub fn signatures(name: &str, source: &str) -> Result<HashMap<String, Signature>> {
    let (text, module) = parse(name, source)?;
    Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|e| Error::Shader { name: name.into(), detail: e.emit_to_string_with_path(&text, name) })?;
    described(name, &module)
}

/// The text with the prelude, and its module.
fn parse(name: &str, source: &str) -> Result<(String, naga::Module)> {
    // The user's text stands first, so that errors count its lines; the order of declarations makes no difference.
    let text = format!("{source}\n{PRELUDE}");
    match naga::front::wgsl::parse_str(&text) {
        Ok(module) => Ok((text, module)),
        Err(e) => Err(Error::Shader { name: name.into(), detail: e.emit_to_string_with_path(&text, name) }),
    }
}

fn described(name: &str, module: &naga::Module) -> Result<HashMap<String, Signature>> {
    let failed = |detail: String| Error::Shader { name: name.into(), detail };
    if !module.entry_points.is_empty() || !module.global_variables.is_empty() {
        return Err(failed("the file of an elementwise op holds functions only, no entry points or variables".into()));
    }
    let type_name = |ty: naga::Handle<naga::Type>| match &module.types[ty].inner {
        naga::TypeInner::Scalar(scalar) => match scalar.kind {
            naga::ScalarKind::Float => "f32",
            naga::ScalarKind::Sint => "i32",
            naga::ScalarKind::Uint => "u32",
            _ => "bool",
        },
        naga::TypeInner::Struct { .. } => "struct",
        _ => "other",
    };
    let mut found = HashMap::new();
    for (_, function) in module.functions.iter() {
        let Some(function_name) = function.name.clone() else { continue };
        if prelude_functions().contains(&function_name) {
            continue;
        }
        let parameters = function
            .arguments
            .iter()
            .map(|a| (a.name.clone().unwrap_or_default(), type_name(a.ty).to_string()))
            .collect();
        let (mut fields, mut returns) = (Vec::new(), String::new());
        if let Some(result) = &function.result {
            returns = type_name(result.ty).into();
            if let naga::TypeInner::Struct { members, .. } = &module.types[result.ty].inner {
                fields = members.iter().map(|m| intern(m.name.as_deref().unwrap_or_default())).collect();
            }
        }
        let uses = dependence::uses(function, fields.len());
        let copies = dependence::copies(function, fields.len());
        found.insert(function_name, Signature { parameters, fields, uses, copies, returns });
    }
    Ok(found)
}

/// How long a function is: its statements, and those of the prelude's functions that it calls.
pub fn length(function: &WgslFn) -> usize {
    static PRELUDE_LENGTHS: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    // WGSL has no recursion, so this ends.
    fn of_prelude(name: &str) -> usize {
        statements(PRELUDE, name, &of_prelude)
    }
    let known = PRELUDE_LENGTHS
        .get_or_init(|| prelude_functions().iter().map(|name| (name.as_str(), of_prelude(name))).collect());
    statements(&function.source, &function.name, &|callee| known.get(callee).copied().unwrap_or(0))
}

/// The statements of a function of `text`, and for each of the prelude's functions that it calls what `of_callee` says.
fn statements(text: &str, name: &str, of_callee: &dyn Fn(&str) -> usize) -> usize {
    let Some(start) = text.find(&format!("fn {name}(")) else { return 0 };
    let body = &text[start + 3 + name.len()..];
    let ends = ["\n}", "\nfn ", "\n//"].into_iter().filter_map(|next| body.find(next));
    let body = &body[..ends.min().unwrap_or(body.len())];
    let words = body.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let called: HashSet<&str> = words.filter(|word| prelude_functions().contains(*word)).collect();
    body.matches(';').count() + called.into_iter().map(of_callee).sum::<usize>()
}

/// Names of the prelude's functions.
pub fn prelude_functions() -> &'static HashSet<String> {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let heads = PRELUDE.lines().filter_map(|line| line.strip_prefix("fn ")?.split_once('('));
        heads.map(|(name, _)| name.to_owned()).collect()
    })
}

/// A name that lives as long as the program. Kernels refer to fields by static names; there are few distinct ones.
pub fn intern(name: &str) -> &'static str {
    static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut names = lock(NAMES.get_or_init(Mutex::default));
    match names.get(name) {
        Some(known) => known,
        None => {
            let known: &'static str = Box::leak(name.into());
            names.insert(known);
            known
        }
    }
}
